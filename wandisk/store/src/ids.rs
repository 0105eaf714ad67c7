//! The names of things: UUIDs that cannot be mixed up, epochs and chunk versions.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new random one.
            #[must_use]
            pub fn random() -> $name {
                $name(Uuid::new_v4())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

uuid_id!(
    /// A disk, the same at every site.
    DiskId
);
uuid_id!(
    /// A site.
    SiteId
);
uuid_id!(
    /// A line of residents that follow each other by hand-over. A forced takeover starts a new one.
    LineageId
);
uuid_id!(
    /// One attempt at a hand-over.
    AttemptId
);

/// A disk's residency counter, the fencing token. Compares only within a lineage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch that a hand-over from this one grants.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A chunk's version: which lineage's resident made it, and that disk's change counter when it did.
///
/// It names bytes for ever (law L2): the counter is the disk's, so no two versions of a lineage are equal.
/// Packed: the lineage's place in the disk's ancestry in the upper 8 bits, the counter in the lower 56.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

impl Version {
    /// No version: the chunk has no row, or no bytes of any version are here.
    pub const NONE: Version = Version(0);
    /// Counters are below this.
    pub const COUNTER_LIMIT: u64 = 1 << 56;

    /// The version that lineage number `lineage` of the ancestry made at `counter` (at least 1).
    ///
    /// # Panics
    /// If the counter is 0 or too large: 2^56 first writes do not happen.
    #[must_use]
    pub fn new(lineage: u8, counter: u64) -> Version {
        assert!(counter > 0 && counter < Version::COUNTER_LIMIT, "a version's counter is out of range");
        Version(u64::from(lineage) << 56 | counter)
    }

    /// Is there none?
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Version::NONE
    }

    /// The disk's change counter when the version was made.
    #[must_use]
    pub fn counter(self) -> u64 {
        self.0 & (Version::COUNTER_LIMIT - 1)
    }

    /// The lineage's place in the ancestry.
    #[must_use]
    pub fn lineage(self) -> u8 {
        self.0.to_be_bytes()[0]
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() { write!(f, "none") } else { write!(f, "{}.{}", self.lineage(), self.counter()) }
    }
}
