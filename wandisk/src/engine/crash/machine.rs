//! A machine's store as it dies: what is live, what is durable, what is neither yet.
//!
//! Bytes are kept as one value a sector (512 bytes, the unit that a device writes whole): 0 is a sector of zeros, any
//! other number stands for a sector filled with it. A write goes to `live` (the page cache) and to `pending`; a sync moves
//! all pending to `durable`. The death of the process keeps what is live. The death of the machine keeps what is
//! durable and any part of what is pending, in any order. A table commit is whole and durable, or not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wandisk_store::{
    Batch, ChunkTable, DiskMeta, HashRow, Intent, Loaded, Overlay, Page, Sectors, TableDigest,
};

/// Bytes of a sector.
pub(super) const SECTOR: usize = 512;
/// Sectors of a chunk.
pub(super) const PER_CHUNK: usize = 8;
/// Bytes of a chunk, the smallest there is.
pub(super) const CHUNK: u32 = 4096;

/// A sector of `data.img`: a hole, or a block with a value.
pub(super) type Sector = Option<u64>;

/// The value that a sector reads as.
pub(super) fn value(sector: Sector) -> u64 {
    sector.unwrap_or(0)
}

/// The intent map in the page cache.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct IntentFile {
    /// The boot that its header names; `None` before the first one is written.
    pub(super) boot: Option<u64>,
    /// The store failed.
    pub(super) failed: bool,
    /// Chunks that are not clean (1 modified, 2 being replaced, 3 overlaid).
    pub(super) chunks: BTreeMap<u64, u8>,
    /// The overlay map.
    pub(super) sectors: BTreeMap<u64, Sectors>,
}

/// The table as SQLite has it durably.
#[derive(Clone, Debug)]
pub(super) struct TableFile {
    pub(super) meta: Arc<DiskMeta>,
    pub(super) pages: BTreeMap<u64, Arc<[u8]>>,
    pub(super) digest: TableDigest,
    pub(super) hot: BTreeSet<u64>,
    pub(super) hashes: BTreeMap<u64, HashRow>,
    pub(super) overlays: BTreeMap<u64, Overlay>,
}

impl TableFile {
    /// A batch that has become durable.
    pub(super) fn apply(&mut self, batch: Batch) {
        for (number, rows) in batch.pages {
            self.pages.insert(number, rows.into());
        }
        self.digest = batch.digest.unwrap_or(self.digest);
        if let Some(meta) = batch.meta {
            self.meta = Arc::new(meta);
        }
        if batch.hot_clear {
            self.hot.clear();
        }
        batch.hot_remove.iter().for_each(|extent| {
            self.hot.remove(extent);
        });
        self.hot.extend(batch.hot_add);
        self.hashes.extend(batch.hashes.into_iter().map(|h| (h.chunk, h)));
        for (chunk, overlay) in batch.overlays {
            match overlay {
                Some(overlay) => self.overlays.insert(chunk, overlay),
                None => self.overlays.remove(&chunk),
            };
        }
    }

    /// What a program that opens the table reads.
    pub(super) fn load(&self) -> Loaded {
        let mut table = ChunkTable::default();
        for (number, rows) in &self.pages {
            table.load_page(*number, Page::decode(rows).expect("a stored page"));
        }
        table.loaded(self.digest);
        let (hot, overlays) = (self.hot.clone(), self.overlays.clone());
        Loaded { meta: DiskMeta::clone(&self.meta), table, hot, overlays }
    }
}

/// One site's files.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) live: Vec<Sector>,
    pub(super) durable: Vec<Sector>,
    /// Sector writes since the last sync, in order.
    pub(super) pending: Vec<(usize, Sector)>,
    /// Sector writes that a failed sync dropped: they may have reached the medium, and no later sync covers them.
    pub(super) limbo: Vec<(usize, Sector)>,
    pub(super) table: TableFile,
    pub(super) intents: IntentFile,
    pub(super) boot: u64,
}

/// How a machine or its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// The process alone: the page cache stays.
    Process,
    /// The machine, and nothing pending had reached the medium.
    Lost,
    /// The machine, and all of it had.
    Kept,
    /// The machine: of each pending write only every second sector, beginning with sector 0 or 1.
    Torn(usize),
    /// The machine: all of it, but where a sector was written twice the older write came last.
    Reordered,
    /// The machine: only the first half of the pending sector writes.
    FirstHalf,
    /// The machine: only the second half.
    SecondHalf,
    /// The machine: each pending sector write by a coin, in an order by dice.
    Dice(u64),
}

impl Death {
    /// The deaths of the explorer.
    pub(super) const ALL: [Death; 10] = [
        Death::Process,
        Death::Lost,
        Death::Kept,
        Death::Torn(0),
        Death::Torn(1),
        Death::Reordered,
        Death::FirstHalf,
        Death::SecondHalf,
        Death::Dice(1),
        Death::Dice(2),
    ];
}

/// A small generator (xorshift64*), so that a seed gives the same run everywhere.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(bits).expect("31 bits") % n
    }
}

impl Machine {
    /// Puts a value into a sector of the page cache.
    pub(super) fn write(&mut self, sector: usize, to: Sector) {
        self.live[sector] = to;
        self.pending.push((sector, to));
    }

    /// All that is pending becomes durable.
    pub(super) fn sync(&mut self) {
        for (sector, to) in std::mem::take(&mut self.pending) {
            self.durable[sector] = to;
        }
    }

    /// A sync fails: the kernel calls the pages clean, and whether they reached the medium nobody knows.
    pub(super) fn fail_sync(&mut self) {
        let dropped = std::mem::take(&mut self.pending);
        self.limbo.extend(dropped);
    }

    /// What is there after a death.
    #[must_use]
    pub(super) fn after(&self, death: Death) -> Machine {
        let mut after = self.clone();
        if death == Death::Process {
            return after;
        }
        let mut pending: Vec<(usize, Sector)> = self.limbo.iter().chain(&self.pending).copied().collect();
        let half = pending.len() / 2;
        match death {
            Death::Process | Death::Kept => {}
            Death::Lost => pending.clear(),
            Death::Torn(odd) => pending.retain(|(sector, _)| sector % 2 == odd),
            Death::Reordered => pending.reverse(),
            Death::FirstHalf => pending.truncate(half),
            Death::SecondHalf => drop(pending.drain(..half)),
            Death::Dice(seed) => {
                let mut dice = Dice::new(seed);
                pending.retain(|_| dice.below(2) == 0);
                for i in (1..pending.len()).rev() {
                    pending.swap(i, dice.below(i + 1));
                }
            }
        }
        for (sector, to) in pending {
            after.durable[sector] = to;
        }
        after.live = after.durable.clone();
        after.pending.clear();
        after.limbo.clear();
        after.boot += 1;
        after
    }

    /// The intents that a process of this boot finds.
    pub(super) fn intents_left(&self) -> Option<Vec<(u64, Intent)>> {
        let name = |byte: u8| match byte {
            1 => Intent::Modified,
            3 => Intent::Overlaid,
            _ => Intent::Replacing,
        };
        let of_this_boot = self.intents.boot == Some(self.boot);
        of_this_boot.then(|| self.intents.chunks.iter().map(|(c, i)| (*c, name(*i))).collect())
    }

    /// The values of a chunk as read from the page cache.
    pub(super) fn chunk(&self, chunk: u64) -> [u64; PER_CHUNK] {
        std::array::from_fn(|i| value(self.live[first_sector(chunk) + i]))
    }

    /// Everything that decides what a recovery does and finds, for telling states apart.
    pub(super) fn hash_into(&self, hasher: &mut impl std::hash::Hasher) {
        use std::hash::Hash;
        (&self.live, &self.durable, &self.pending, &self.limbo).hash(hasher);
        (&self.intents, self.boot, &self.table.pages, &self.table.hot).hash(hasher);
        self.table.overlays.hash(hasher);
        self.table.meta.counter.hash(hasher);
        self.table.meta.is_resident().hash(hasher);
    }
}

/// A chunk's first sector.
pub(super) fn first_sector(chunk: u64) -> usize {
    usize::try_from(chunk).expect("a tiny disk") * PER_CHUNK
}

/// The bytes of sectors.
pub(super) fn bytes_of(values: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * SECTOR);
    values.iter().for_each(|v| bytes.extend_from_slice(&v.to_le_bytes().repeat(SECTOR / 8)));
    bytes
}

/// The values of bytes; each sector must be whole.
pub(super) fn values_of(bytes: &[u8]) -> [u64; PER_CHUNK] {
    sector_values(bytes).try_into().expect("a chunk's sectors")
}

/// The values of any number of sectors; each must be whole.
pub(super) fn sector_values(bytes: &[u8]) -> Vec<u64> {
    let of = |sector: &[u8]| u64::from_le_bytes(sector[..8].try_into().expect("eight bytes"));
    let values: Vec<u64> = bytes.chunks(SECTOR).map(of).collect();
    assert!(bytes_of(&values) == bytes, "a sector is torn inside");
    values
}
