//! What may be read after which death, and which bytes each version that left a site names.

use std::collections::BTreeMap;

use wandisk_store::Version;

use super::machine::{Death, PER_CHUNK};

/// The values that a sector had since the last acknowledged flush, oldest first.
#[derive(Clone, Debug)]
struct History {
    /// Value, and whether its write was acknowledged. The first is the value at the flush.
    values: Vec<(u64, bool)>,
    /// How many older ones were dropped.
    dropped: usize,
}

/// What the guest was promised, and what the other sites were given.
#[derive(Clone, Debug, Hash)]
pub(super) struct Oracle {
    sectors: Vec<History>,
    /// The bytes of each version that another site has.
    elsewhere: BTreeMap<u64, (u64, [u64; PER_CHUNK])>,
}

/// Where each sector's history stood when a flush began.
#[derive(Debug)]
pub(super) struct FlushBegun(Vec<usize>);

impl Oracle {
    pub(super) fn new(values: impl IntoIterator<Item = u64>) -> Oracle {
        let sectors = values.into_iter().map(|v| History { values: vec![(v, true)], dropped: 0 }).collect();
        Oracle { sectors, elsewhere: BTreeMap::new() }
    }

    /// A write is on its way.
    pub(super) fn begin(&mut self, sectors: std::ops::Range<usize>, value: u64) {
        self.sectors[sectors].iter_mut().for_each(|s| s.values.push((value, false)));
    }

    /// It was acknowledged.
    pub(super) fn acknowledge(&mut self, sectors: std::ops::Range<usize>, value: u64) {
        for sector in &mut self.sectors[sectors] {
            let last = sector.values.iter_mut().rev().find(|(v, acked)| *v == value && !acked);
            last.expect("a write that began").1 = true;
        }
    }

    /// A flush is asked for.
    pub(super) fn flush_begins(&self) -> FlushBegun {
        FlushBegun(self.sectors.iter().map(|s| s.dropped + s.last_acknowledged()).collect())
    }

    /// It was acknowledged: what was overwritten before it began is gone for good.
    pub(super) fn flush_acknowledged(&mut self, begun: FlushBegun) {
        for (sector, upto) in self.sectors.iter_mut().zip(begun.0) {
            // Another flush that ended meanwhile may have dropped more.
            let n = upto.saturating_sub(sector.dropped);
            sector.values.drain(..n);
            sector.dropped += n;
        }
    }

    /// Is that what a guest may read in a sector after this death?
    pub(super) fn allows(&self, death: Death, sector: usize, value: u64) -> bool {
        let history = &self.sectors[sector];
        let from = if death == Death::Process { history.last_acknowledged() } else { 0 };
        history.values[from..].iter().any(|(v, _)| *v == value)
    }

    /// What may be read, for messages.
    pub(super) fn history(&self, sector: usize) -> String {
        format!("{:?}", self.sectors[sector].values)
    }

    /// The guest has read these values: they stay. What was never acknowledged is settled with that.
    pub(super) fn settle(&mut self, values: &[u64]) {
        for (sector, value) in self.sectors.iter_mut().zip(values) {
            sector.values = vec![(*value, true)];
        }
    }

    /// Bytes of a version came to be at another site.
    ///
    /// # Panics
    /// If the version names other bytes there already, or another chunk (law L2).
    pub(super) fn left(&mut self, chunk: u64, version: Version, values: [u64; PER_CHUNK]) {
        let known = self.elsewhere.entry(version.0).or_insert((chunk, values));
        assert_eq!(*known, (chunk, values), "version {version} names two things (chunk {chunk})");
    }

    /// The bytes that a version names, if another site has them.
    pub(super) fn elsewhere(&self, chunk: u64, version: Version) -> Option<[u64; PER_CHUNK]> {
        self.elsewhere.get(&version.0).filter(|(c, _)| *c == chunk).map(|(_, values)| *values)
    }
}

/// How much was dropped is of no matter to what may be read.
impl std::hash::Hash for History {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.values.hash(state);
    }
}

impl History {
    fn last_acknowledged(&self) -> usize {
        self.values.iter().rposition(|(_, acked)| *acked).expect("the first was")
    }
}
