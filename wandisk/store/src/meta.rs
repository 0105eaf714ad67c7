//! What is known of a disk as a whole: identity, who may write, which sites it knows.

use serde::{Deserialize, Serialize};

use crate::digest::TableDigest;
use crate::ids::{AttemptId, DiskId, Epoch, LineageId, SiteId};

/// Sites that a disk can know; holder masks have this many bits.
pub const SITES_MAX: usize = 32;
/// Lineages in a disk's ancestry at most.
pub const LINEAGES_MAX: usize = 255;
/// Smallest and largest chunk size in bytes.
pub const CHUNK_SIZE_RANGE: std::ops::RangeInclusive<u32> = 4096..=4 << 20;
/// Largest disk: 64 PiB less one chunk fits every offset calculation.
pub const DISK_SIZE_MAX: u64 = 1 << 56;

/// A site that the disk knows; its place in [`DiskMeta::sites`] is its number in rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownSite {
    /// Its UUID.
    pub id: SiteId,
    /// Its name, as it calls itself.
    pub name: String,
    /// How it could be reached from somewhere: a hint for sites that have no address of their own for it.
    pub address: Option<String>,
    /// When a sync last made its replica complete, in milliseconds since 1970.
    pub synced_at: Option<u64>,
    /// Missing chunks that it last told of.
    pub missing_chunks: Option<u64>,
}

/// A hand-over attempt, as both ends store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The site that gives the disk away.
    pub from: SiteId,
    /// The site that gets it.
    pub to: SiteId,
    /// The lineage it is in: epochs compare only there. (Attempts of programs that did not say are in none.)
    #[serde(default = "no_lineage")]
    pub lineage: LineageId,
    /// The epoch that is granted.
    pub epoch: Epoch,
    /// Digest of the table that both ends agreed on.
    pub digest: TableDigest,
}

fn no_lineage() -> LineageId {
    LineageId(uuid::Uuid::nil())
}

/// Where a lineage began: a forced takeover, with what was known of its parent (design §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fork {
    /// The lineage that began.
    pub lineage: LineageId,
    /// The one it left.
    pub parent: LineageId,
    /// The site that took over.
    pub by: SiteId,
    /// The parent's highest epoch known there.
    pub epoch: Epoch,
    /// The parent's table was complete there up to this counter.
    pub counter: u64,
    /// The digest of that table.
    pub digest: TableDigest,
    /// When, in milliseconds since 1970.
    pub at: u64,
}

/// This site's standing with the disk. Every change is durable before anybody is told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Residency {
    /// The disk may be written here.
    Resident,
    /// A replica; the disk is resident elsewhere.
    Replica,
    /// This site stored the final table of an attempt and answered *prepared*; a grant makes it resident.
    Prepared {
        /// The attempt it prepared for.
        attempt: Attempt,
    },
    /// This site gave the disk away (the commit point is passed); the grant may be asked for again for ever.
    Released {
        /// The attempt it was given away in.
        attempt: Attempt,
    },
    /// This site was resident and heard of a later resident of its own lineage, which no hand-over explains: its store
    /// is a copy or was set back. What it made may have the names of other bytes, so nothing here is served or believed.
    Overtaken {
        /// The later epoch.
        epoch: Epoch,
        /// Its resident.
        resident: SiteId,
    },
}

/// Everything about a disk that is not a chunk's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskMeta {
    /// The disk's UUID.
    pub uuid: DiskId,
    /// Size in bytes, a multiple of 512.
    pub size_bytes: u64,
    /// How often the size has grown; the higher one is the newer size.
    pub size_counter: u64,
    /// Chunk size in bytes.
    pub chunk_size: u32,
    /// The ancestry: the last is the current lineage; a version names its lineage by its place here.
    pub lineages: Vec<LineageId>,
    /// Where each lineage but the first began.
    #[serde(default)]
    pub forks: Vec<Fork>,
    /// Sites that were given up in a takeover: what only they hold is an error at once, until they are heard of again.
    #[serde(default)]
    pub lost: Vec<SiteId>,
    /// This replica is about to be removed: it promises nothing any more (law L14).
    #[serde(default)]
    pub leaving: bool,
    /// When this replica was last looked through for damage (ms since 1970).
    #[serde(default)]
    pub scrubbed_at: Option<u64>,
    /// Highest epoch granted that is known here.
    pub epoch: Epoch,
    /// The resident at that epoch, as far as known here.
    pub resident: SiteId,
    /// This site's standing.
    pub residency: Residency,
    /// The change counter: at the resident the highest ever given to a version, elsewhere the one up to which the
    /// table here is complete.
    pub counter: u64,
    /// The moment this replica's held chunks are of (ms since 1970); null while a sync is mixing two.
    pub consistent_at: Option<u64>,
    /// A moment that is kept beside a replica while a later one is mixed in: takeover can go back to it.
    #[serde(default)]
    pub kept_moment: Option<u64>,
    /// The last attempt in which this site gave the disk away and was told that it arrived: to repeat its commit is
    /// success, to abort it an error.
    #[serde(default)]
    pub given: Option<Attempt>,
    /// Sites by number; this site is among them.
    pub sites: Vec<KnownSite>,
    /// This site.
    pub here: SiteId,
}

impl KnownSite {
    /// A site of which nothing is known but its name.
    #[must_use]
    pub fn named(id: SiteId, name: &str) -> KnownSite {
        KnownSite { id, name: name.to_owned(), address: None, synced_at: None, missing_chunks: None }
    }
}

impl DiskMeta {
    /// A disk that has just been made: resident `here`, of its first lineage and epoch, with nothing written.
    #[must_use]
    pub fn new(
        uuid: DiskId,
        size_bytes: u64,
        chunk_size: u32,
        lineage: LineageId,
        here: KnownSite,
    ) -> DiskMeta {
        DiskMeta {
            uuid,
            size_bytes,
            size_counter: 0,
            chunk_size,
            lineages: vec![lineage],
            forks: Vec::new(),
            lost: Vec::new(),
            leaving: false,
            scrubbed_at: None,
            epoch: Epoch(1),
            resident: here.id,
            residency: Residency::Resident,
            counter: 0,
            consistent_at: None,
            kept_moment: None,
            given: None,
            here: here.id,
            sites: vec![here],
        }
    }

    /// Number of chunks, the last one possibly short.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.size_bytes.div_ceil(u64::from(self.chunk_size))
    }

    /// The current lineage.
    #[must_use]
    pub fn lineage(&self) -> LineageId {
        self.lineages.last().copied().unwrap_or(LineageId(uuid::Uuid::nil()))
    }

    /// The current lineage's place in the ancestry.
    #[must_use]
    pub fn lineage_index(&self) -> u8 {
        u8::try_from(self.lineages.len().saturating_sub(1)).unwrap_or(u8::MAX)
    }

    /// A site's number in this table's rows.
    #[must_use]
    pub fn site_number(&self, id: SiteId) -> Option<u8> {
        let at = self.sites.iter().position(|s| s.id == id)?;
        u8::try_from(at).ok()
    }

    /// This site's number.
    #[must_use]
    pub fn here_number(&self) -> u8 {
        self.site_number(self.here).unwrap_or(0)
    }

    /// A site by its number.
    #[must_use]
    pub fn site(&self, number: u8) -> Option<&KnownSite> {
        self.sites.get(usize::from(number))
    }

    /// A site's name for people; its UUID where no name is known.
    #[must_use]
    pub fn site_name(&self, id: SiteId) -> String {
        self.sites.iter().find(|s| s.id == id).map_or_else(|| id.to_string(), |s| s.name.clone())
    }

    /// Adds a site or updates its name; gives its number. `None` when the disk knows too many.
    pub fn learn_site(&mut self, id: SiteId, name: &str, address: Option<&str>) -> Option<u8> {
        if let Some(number) = self.site_number(id) {
            let site = &mut self.sites[usize::from(number)];
            if !name.is_empty() {
                name.clone_into(&mut site.name);
            }
            if let Some(address) = address {
                site.address = Some(address.to_owned());
            }
            return Some(number);
        }
        if self.sites.len() >= SITES_MAX {
            return None;
        }
        let address = address.map(str::to_owned);
        self.sites.push(KnownSite { address, ..KnownSite::named(id, name) });
        self.site_number(id)
    }

    /// May the disk be written here?
    #[must_use]
    pub fn is_resident(&self) -> bool {
        self.residency == Residency::Resident
    }

    /// Does it make sense? Checked when read from a table or a peer.
    ///
    /// # Errors
    /// A sentence that names the first thing that does not.
    pub fn check(&self) -> Result<(), String> {
        let chunk_ok = self.chunk_size.is_power_of_two() && CHUNK_SIZE_RANGE.contains(&self.chunk_size);
        let size_ok =
            self.size_bytes > 0 && self.size_bytes.is_multiple_of(512) && self.size_bytes <= DISK_SIZE_MAX;
        let known_here = self.site_number(self.here).is_some();
        let checks = [
            (chunk_ok, "the chunk size is not a power of two from 4 KiB to 4 MiB"),
            (size_ok, "the size is not a positive multiple of 512 below 64 PiB"),
            (
                !self.lineages.is_empty() && self.lineages.len() <= LINEAGES_MAX,
                "the ancestry has no or too many lineages",
            ),
            (
                self.forks.len() < self.lineages.len() || self.forks.is_empty(),
                "the ancestry has more forks than lineages",
            ),
            (known_here && self.sites.len() <= SITES_MAX, "the list of sites lacks this one or is too long"),
        ];
        let wrong = checks.iter().find(|(ok, _)| !ok);
        wrong.map_or(Ok(()), |(_, text)| Err((*text).to_owned()))
    }
}
