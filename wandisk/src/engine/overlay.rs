//! Overlays (law L7): what is written of a chunk whose current bytes are elsewhere does not wait for them.
//!
//! The written sectors lie in `data.img`, in place; which they are is noted in `overlay.map` before the write is
//! acknowledged (the process may die) and in the table with the next flush (the machine may). Everything else in the
//! chunk's place is at most a basis. When the base arrives its other sectors are put between them, and the whole is a
//! version of this site. An overlay is no version: nobody is served it, and a hand-over ends them all first.
//!
//! Invariant: the bytes of an overlay's sectors are changed by the guest alone, never by a fetch.
//! Invariant: a durable overlay goes in the commit that has the row of what took its place, not before.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::Notify;
use wandisk_io::IoError;
use wandisk_store::overlay::SECTOR;
use wandisk_store::{Image, Intent, Intents, Overlay, Sectors, Store, Version};

use super::fetched::StoreOutcome;
use super::{Engine, EngineError, State};

/// Overlays at most: beyond that, partial writes to absent chunks wait for their fetches.
const OVERLAYS_MAX: usize = 8192;
/// A chunk that is being written in order is soon written whole, and then nothing has to be fetched: so long after its last
/// write its base is asked for.
const REST: Duration = Duration::from_millis(50);
/// Bases fetched at a time.
const AT_ONCE: usize = 16;
/// After a base could not be had, so long before it is asked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long bases may take to come while writes go on, before something that needs the disk whole is refused.
const SETTLE_MAX: Duration = Duration::from_secs(15);
/// How long held writes may wait for bases before a freeze is given up.
const FROZEN_MAX: Duration = Duration::from_secs(5);

/// The overlays of a disk.
#[derive(Debug, Default)]
pub(super) struct Overlays {
    open: BTreeMap<u64, Open>,
    /// Chunks whose record in the table is not what is here.
    changed: BTreeSet<u64>,
    /// Rung when one is opened, for whoever merges them.
    bell: Arc<Notify>,
}

#[derive(Debug)]
struct Open {
    overlay: Overlay,
    /// Is it in the overlay map of this run?
    noted: bool,
    last_write: Instant,
}

/// What the table's record of an overlay is to become.
pub(super) type Record = (u64, Option<Overlay>);

impl Overlays {
    /// As the table has them; one is of no use where its chunk has another version than its base.
    pub(super) fn loaded(
        overlays: BTreeMap<u64, Overlay>,
        is_base: impl Fn(u64, Version) -> bool,
    ) -> Overlays {
        let mut loaded = Overlays::default();
        for (chunk, overlay) in overlays {
            if is_base(chunk, overlay.base) {
                loaded.open.insert(chunk, Open { overlay, noted: false, last_write: Instant::now() });
            } else {
                tracing::warn!(chunk, "what was written of it belongs to another version: it is left out");
                loaded.changed.insert(chunk);
            }
        }
        loaded
    }

    pub(super) fn is_open(&self, chunk: u64) -> bool {
        self.open.contains_key(&chunk)
    }

    pub(super) fn open_in(&self, chunks: Range<u64>) -> impl Iterator<Item = u64> {
        self.open.range(chunks).map(|(chunk, _)| *chunk)
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes up what a dead process noted.
    pub(super) fn take_up(&mut self, chunk: u64, base: Version, sectors: &Sectors) {
        let empty = || Overlay { base, sectors: sectors.clone() };
        let open = self.open.entry(chunk).or_insert_with(|| Open {
            overlay: empty(),
            noted: false,
            last_write: Instant::now(),
        });
        open.overlay.sectors.add_all(sectors);
        self.changed.insert(chunk);
    }

    /// The chunk is no longer overlaid; its record goes when what took its place is in the table.
    pub(super) fn close(&mut self, chunk: u64) -> bool {
        let was_open = self.open.remove(&chunk).is_some();
        if was_open {
            self.changed.insert(chunk);
        }
        was_open
    }

    pub(super) fn close_all(&mut self) -> usize {
        let all: Vec<u64> = self.open.keys().copied().collect();
        all.iter().filter(|chunk| self.close(**chunk)).count()
    }

    /// What changed since it was last taken.
    pub(super) fn take_changed(&mut self) -> Vec<Record> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|c| (c, self.open.get(&c).map(|o| o.overlay.clone()))).collect()
    }

    /// Their commit was not made.
    pub(super) fn put_back(&mut self, chunks: impl IntoIterator<Item = u64>) {
        self.changed.extend(chunks);
    }

    /// The intent map was cleared: what is open is in the table alone.
    pub(super) fn forget_notes(&mut self) {
        self.open.values_mut().for_each(|open| open.noted = false);
    }

    /// Overlays that have not been written to for a while, from chunk `start` on, at most `max`.
    fn resting(&self, start: u64, max: usize) -> Vec<u64> {
        let resting = self.open.range(start..).filter(|(_, open)| open.last_write.elapsed() >= REST);
        resting.map(|(chunk, _)| *chunk).take(max).collect()
    }
}

impl State {
    /// Which of these may go into the table now, after the data was synced? The others wait for the next flush.
    pub(super) fn ripe_overlays(&mut self, records: Vec<Record>) -> Vec<Record> {
        let (mut ripe, mut later) = (Vec::new(), Vec::new());
        for (chunk, record) in records {
            let row_waits = self.table.is_held_back(chunk);
            match record {
                None if row_waits => later.push(chunk),
                // What took its place since is in the table already, or was never an overlay's to keep.
                Some(_) if !self.overlays.is_open(chunk) && !row_waits => {}
                record => ripe.push((chunk, record)),
            }
        }
        self.overlays.put_back(later);
        ripe
    }
}

impl<S: Store> Engine<S> {
    /// The sectors of `chunk` that a request covers; `None` if it covers one of them in part.
    pub(super) fn sectors_of(&self, chunk: u64, offset: u64, len: u64) -> Option<Range<usize>> {
        let begin = chunk * u64::from(self.hot.chunk_size());
        let from = offset.max(begin) - begin;
        let to = (offset + len).min(begin + u64::from(self.hot.chunk_size())) - begin;
        let at = |bytes: u64| usize::try_from(bytes / SECTOR).ok().filter(|_| bytes.is_multiple_of(SECTOR));
        Some(at(from)?..at(to)?)
    }

    /// Sectors of a chunk that are inside the disk.
    fn sectors_in(&self, chunk: u64) -> usize {
        let size = u64::from(self.hot.chunk_size());
        let bytes = self.data.size_bytes().saturating_sub(chunk * size).min(size);
        usize::try_from(bytes.div_ceil(SECTOR)).unwrap_or(usize::MAX)
    }

    /// Was all of this range of a chunk written here, so that it can be read without the rest?
    pub(super) fn overlay_covers(&self, chunk: u64, offset: u64, len: u64) -> bool {
        let state = self.state();
        let Some(open) = state.overlays.open.get(&chunk) else { return false };
        state.meta.is_resident()
            && self.sectors_of(chunk, offset, len).is_some_and(|s| open.overlay.sectors.covers(s))
    }

    /// May a part of this absent chunk be written before its base is here? Under the state lock.
    pub(super) fn may_overlay(&self, state: &State, chunk: u64) -> bool {
        let row = state.table.get(chunk);
        let room = state.overlays.is_open(chunk) || state.overlays.len() < OVERLAYS_MAX;
        // What nobody can give is not to be hidden under a write that succeeds.
        let lost = !state.meta.lost.is_empty() && self.is_lost(state, chunk);
        row.exists() && !row.zero && room && !lost
    }

    /// An absent chunk is about to be written in part: the files say so before a byte changes.
    pub(super) fn begin_overlay(&self, state: &mut State, chunk: u64) -> Result<(), IoError> {
        let mut row = state.table.get(chunk);
        let none = Sectors::none(self.hot.chunk_size());
        let open = state.overlays.open.entry(chunk).or_insert_with(|| Open {
            overlay: Overlay { base: row.version, sectors: none },
            noted: false,
            last_write: Instant::now(),
        });
        open.last_write = Instant::now();
        if !open.noted {
            // The sectors first: those of an earlier overlay may still be in the map.
            self.intents
                .set_sectors(chunk, &open.overlay.sectors)
                .and_then(|()| self.intents.set(chunk, Intent::Overlaid))
                .map_err(|e| self.change_failed(e).io())?;
            open.noted = true;
        }
        // Its extent is hot, so a machine crash withdraws the basis; the intent does so for the process.
        row.held = Version::NONE;
        state.table.set(chunk, row);
        // Remembered where nobody waits for it.
        state.overlays.bell.notify_one();
        Ok(())
    }

    /// Sectors of an absent chunk were written; the caller holds the chunk's lock. They may be acknowledged then.
    pub(super) fn overlaid(&self, chunk: u64, sectors: Range<usize>) -> Result<(), IoError> {
        let whole = {
            let mut state = self.state();
            let Some(open) = state.overlays.open.get_mut(&chunk) else { return Ok(()) };
            open.overlay.sectors.add(sectors);
            open.last_write = Instant::now();
            let noted = self.intents.set_sectors(chunk, &open.overlay.sectors);
            noted.map_err(|e| self.change_failed(e).io())?;
            let whole = open.overlay.sectors.gaps(self.sectors_in(chunk)).is_empty();
            state.overlays.changed.insert(chunk);
            whole
        };
        if whole {
            // Piece by piece all of it was written here: there is nothing left to fetch.
            self.replaced(chunk)?;
        }
        Ok(())
    }

    /// The base of an overlay is here: its other sectors go between those written here. The caller holds the chunk's lock.
    pub(super) fn merge(
        &self,
        chunk: u64,
        base: Version,
        bytes: Option<&[u8]>,
    ) -> Result<StoreOutcome, EngineError> {
        let gaps = {
            let state = self.state();
            let open = state.overlays.open.get(&chunk).filter(|open| open.overlay.base == base);
            let Some(open) = open else { return Ok(StoreOutcome::NotWanted) };
            open.overlay.sectors.gaps(self.sectors_in(chunk))
        };
        let begin = chunk * u64::from(self.hot.chunk_size());
        let byte = |sector: usize| sector * usize::try_from(SECTOR).unwrap_or(512);
        S::blocking(|| {
            gaps.into_iter().try_for_each(|gap| {
                let (from, to) = (byte(gap.start), byte(gap.end));
                match bytes {
                    Some(bytes) => self.data.write_at(begin + from as u64, &bytes[from..to.min(bytes.len())]),
                    None => self.data.write_zeros(begin + from as u64, (to - from) as u64),
                }
            })
        })
        .map_err(|e| self.change_failed(e))?;
        self.replaced(chunk).map_err(|e| EngineError::Data(std::io::Error::from_raw_os_error(e.errno())))?;
        Ok(StoreOutcome::Stored)
    }

    /// How many chunks are partly written here while the rest of them is elsewhere.
    #[must_use]
    pub fn overlaid_chunks(&self) -> usize {
        self.state().overlays.len()
    }

    /// Ends the overlays there are now, while writes go on; new ones may come.
    ///
    /// # Errors
    /// [`EngineError::Overlaid`] if bases could not be had in time.
    pub async fn settle(self: &Arc<Self>) -> Result<(), EngineError> {
        match self.bring_bases(SETTLE_MAX).await {
            0 => Ok(()),
            chunks => Err(EngineError::Overlaid { chunks }),
        }
    }

    /// Brings the bases of the overlays there are now; how many could not be had.
    async fn bring_bases(self: &Arc<Self>, patience: Duration) -> usize {
        let open: Vec<u64> = self.state().overlays.open.keys().copied().collect();
        if open.is_empty() {
            return 0;
        }
        let wanted = open.clone();
        let brought = futures::stream::iter(open).for_each_concurrent(AT_ONCE, |chunk| async move {
            self.bring(chunk, true).await.ok();
        });
        tokio::time::timeout(patience, brought).await.ok();
        let state = self.state();
        wanted.iter().filter(|chunk| state.overlays.is_open(**chunk)).count()
    }

    /// As [`Engine::freeze`], and nothing is left that is no version: for whoever takes the disk or a moment of it along.
    /// Most of that is better done before, by [`Engine::settle`] while writes go on.
    ///
    /// # Errors
    /// As there; [`EngineError::Overlaid`] if bases could not be had in time. The disk is thawed again then.
    pub async fn freeze_whole(self: &Arc<Self>) -> Result<(), EngineError> {
        let frozen = async {
            self.set_access(super::Access::Frozen).await?;
            match self.bring_bases(FROZEN_MAX).await {
                0 => self.freeze().await,
                chunks => Err(EngineError::Overlaid { chunks }),
            }
        };
        let result = frozen.await;
        if result.is_err() {
            self.thaw().await;
        }
        result
    }

    /// Brings the bases of overlays as they come to rest; for ever. A disk without overlays costs nothing.
    pub async fn merge_overlays(self: Arc<Self>) {
        let bell = Arc::clone(&self.state().overlays.bell);
        let mut pause = tokio::time::interval(REST);
        pause.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Round and round: those that cannot be had must not keep others waiting for ever.
        let mut start = 0;
        loop {
            while self.state().overlays.len() == 0 {
                bell.notified().await;
            }
            pause.tick().await;
            let resting = self.state().overlays.resting(start, AT_ONCE * 4);
            start = resting.last().map_or(0, |last| last + 1);
            let failed = futures::stream::iter(resting).map(|chunk| {
                let engine = Arc::clone(&self);
                async move { engine.bring(chunk, false).await.is_err() }
            });
            let mut failed = failed.buffer_unordered(AT_ONCE);
            let mut any = false;
            while let Some(one) = failed.next().await {
                any |= one;
            }
            if any {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}
