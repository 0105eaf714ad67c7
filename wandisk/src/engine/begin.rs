//! The cold way: makes the chunks of a request fit for it, then lets it in.

use std::ops::Range;
use std::sync::Arc;

use wandisk_io::{ChunkState, DetachedPass, IoError, Lane, Op, Ticket, WriteEnd};
use wandisk_store::{Image, Intent, Row, Store, Version};

use super::chunk_locks::ChunkGuard;
use super::{Access, Engine};

/// How a chunk was made fit for a write.
enum Opened {
    /// Open: written in place.
    InPlace,
    /// Not held: its lock is kept until the write has ended.
    Kept(Kept),
    /// The disk was frozen meanwhile: wait, without the chunk's lock, and look again.
    Frozen,
}

/// A chunk that is not held, while it is being written.
struct Kept {
    chunk: u64,
    how: How,
    _guard: ChunkGuard,
}

enum How {
    /// The write covers all of it: its old bytes are given up, its new ones count when all are there.
    Replacing,
    /// The write covers these sectors of it, which are kept for when the others come.
    Overlaying(Range<usize>),
}

/// What a write covers of a chunk.
enum Cover {
    All,
    /// These sectors; `None` if one of them in part.
    Part(Option<Range<usize>>),
}

/// A request of the cold way in flight.
struct Cold<S: Store> {
    engine: Arc<Engine<S>>,
    pass: Option<DetachedPass>,
    kept: Vec<Kept>,
}

impl<S: Store> Cold<S> {
    fn keeps(&self, chunk: u64) -> bool {
        self.kept.iter().any(|kept| kept.chunk == chunk)
    }
}

impl<S: Store> WriteEnd for Cold<S> {
    fn ended(mut self: Box<Self>, ok: bool) -> Result<(), IoError> {
        let mut noted = Ok(());
        for kept in std::mem::take(&mut self.kept).into_iter().filter(|_| ok) {
            noted = noted.and(match kept.how {
                How::Replacing => self.engine.replaced(kept.chunk),
                How::Overlaying(sectors) => self.engine.overlaid(kept.chunk, sectors),
            });
        }
        if let Some(pass) = self.pass.take() {
            self.engine.hot.gate().leave(pass);
        }
        noted
    }
}

impl<S: Store> Engine<S> {
    /// See [`wandisk_io::Disk::begin`]; without the time-out.
    pub(super) async fn begin_cold(
        self: Arc<Self>,
        lane: Lane,
        op: Op,
        offset: u64,
        len: u64,
    ) -> Result<Ticket, IoError> {
        self.check_request(op, offset, len)?;
        if let Some(ticket) = self.begin_now(lane, op, offset, len) {
            return Ok(ticket);
        }
        let mut cold = Box::new(Cold { engine: Arc::clone(&self), pass: None, kept: Vec::new() });
        loop {
            // No chunk is kept over a wait: a freeze that ends overlays needs their locks.
            cold.kept.clear();
            self.wait_for_access(op).await?;
            for chunk in self.hot.touched(offset, len) {
                if self.is_fit(chunk, op, offset, len) || cold.keeps(chunk) {
                    continue;
                }
                match op {
                    Op::Read => {
                        self.note_wanted(chunk);
                        self.read_ahead(chunk);
                        self.make_readable(chunk, true).await?;
                    }
                    Op::Write => {
                        let cover = self.cover(chunk, offset, len);
                        if matches!(cover, Cover::Part(_)) && self.hot.state(chunk) == ChunkState::COLD {
                            self.note_wanted(chunk);
                        }
                        match self.make_writable(chunk, cover).await? {
                            Opened::InPlace => {}
                            Opened::Kept(kept) => cold.kept.push(kept),
                            Opened::Frozen => break,
                        }
                    }
                }
            }
            match self.let_in(lane, op, (offset, len), cold) {
                Ok(ticket) => return Ok(ticket),
                Err(back) => cold = back,
            }
        }
    }

    /// As [`Engine::begin_cold`], for a request that need not wait: all it touches is here and, for a write, marked. Takes no
    /// longer than its locks and one small write a chunk, so that a queue's own thread may ask.
    pub(super) fn begin_now(self: &Arc<Self>, lane: Lane, op: Op, offset: u64, len: u64) -> Option<Ticket> {
        self.check_request(op, offset, len).ok()?;
        if *self.access.borrow() != Access::Open || self.is_poisoned() {
            return None;
        }
        for chunk in self.hot.touched(offset, len) {
            if self.is_fit(chunk, op, offset, len) {
                continue;
            }
            match op {
                Op::Read => {
                    if !self.is_here(chunk) {
                        return None;
                    }
                    self.note_wanted(chunk);
                    self.read_ahead(chunk);
                    self.open_if_here(chunk);
                }
                Op::Write => self.open_now(chunk)?,
            }
        }
        let cold = Box::new(Cold { engine: Arc::clone(self), pass: None, kept: Vec::new() });
        self.let_in(lane, op, (offset, len), cold).ok()
    }

    /// Opens a chunk for writes in place, if that needs no wait.
    fn open_now(self: &Arc<Self>, chunk: u64) -> Option<()> {
        let _guard = self.locks.try_lock(chunk)?;
        if self.hot.state(chunk) == ChunkState::COLD && !self.open_if_here(chunk) {
            return None;
        }
        let extent = self.extent_of(chunk);
        let mut state = self.state();
        if *self.access.borrow() != Access::Open || !state.extents.touch(extent) {
            return None;
        }
        if self.hot.state(chunk) == ChunkState::COLD {
            return None;
        }
        if self.hot.state(chunk) != ChunkState::WRITABLE {
            self.open_version(&mut state, chunk).ok()?;
        }
        let comes_to_it = chunk.is_multiple_of(self.extent_chunks());
        let next = comes_to_it.then(|| state.extents.next_in_order(extent, self.extents_on_disk())).flatten();
        drop(state);
        if let Some(next) = next {
            // Marked by the time the writer is there. If that fails, the writer's own mark does, and is told.
            let engine = Arc::clone(self);
            self.runtime.spawn(async move { engine.mark(next).await.ok() });
        }
        Some(())
    }

    /// Counted in first, then looked at again: a right that was withdrawn meanwhile is asked for anew.
    fn let_in(
        &self,
        lane: Lane,
        op: Op,
        (offset, len): (u64, u64),
        mut cold: Box<Cold<S>>,
    ) -> Result<Ticket, Box<Cold<S>>> {
        let pass = self.hot.enter(lane);
        let fit = self
            .hot
            .touched(offset, len)
            .all(|chunk| self.is_fit(chunk, op, offset, len) || cold.keeps(chunk));
        let shut = self.hot.gate().shut();
        let kept_out = if op == Op::Read { shut.reads } else { shut.writes };
        if fit && !kept_out {
            cold.pass = Some(pass);
            return Ok(Ticket::new(cold));
        }
        self.hot.gate().leave(pass);
        Err(cold)
    }

    pub(super) fn check_request(&self, op: Op, offset: u64, len: u64) -> Result<(), IoError> {
        let end = offset.checked_add(len).ok_or(IoError::Invalid)?;
        if len == 0 || end > self.data.size_bytes() {
            return Err(IoError::Invalid);
        }
        if op == Op::Write && self.is_read_only() {
            return Err(IoError::ReadOnly);
        }
        Ok(())
    }

    fn is_fit(&self, chunk: u64, op: Op, offset: u64, len: u64) -> bool {
        let state = self.hot.state(chunk);
        match op {
            Op::Read => state != ChunkState::COLD || self.overlay_covers(chunk, offset, len),
            Op::Write => state == ChunkState::WRITABLE,
        }
    }

    fn cover(&self, chunk: u64, offset: u64, len: u64) -> Cover {
        let size = u64::from(self.hot.chunk_size());
        let end = ((chunk + 1) * size).min(self.data.size_bytes());
        if offset <= chunk * size && offset + len >= end {
            return Cover::All;
        }
        Cover::Part(self.sectors_of(chunk, offset, len))
    }

    /// Waits while the disk is frozen (or a standby that waits); refuses where it is not resident.
    pub(super) async fn wait_for_access(&self, op: Op) -> Result<(), IoError> {
        let mut access = self.access.subscribe();
        loop {
            if op == Op::Write && self.is_poisoned() {
                return Err(IoError::Io);
            }
            let now = *access.borrow_and_update();
            let waits = match now {
                Access::Open => return Ok(()),
                Access::Frozen if op == Op::Read => return Ok(()),
                Access::Frozen => true,
                Access::Closed => self.standby_waits(),
            };
            if !waits || access.changed().await.is_err() {
                return Err(IoError::NotResident);
            }
        }
    }

    async fn make_writable(self: &Arc<Self>, chunk: u64, cover: Cover) -> Result<Opened, IoError> {
        let extent = self.extent_of(chunk);
        loop {
            let guard = self.locks.lock(chunk).await;
            if self.hot.state(chunk) == ChunkState::WRITABLE {
                return Ok(Opened::InPlace);
            }
            let is_cold = |engine: &Self| engine.hot.state(chunk) == ChunkState::COLD;
            if is_cold(self) {
                // One that was brought ahead too, however much of it is to be written: a flush may be about to say in its
                // row that it is held, and that must not be said of what is being replaced.
                self.open_if_here(chunk);
            }
            if is_cold(self) && !self.need_not_wait(chunk, &cover) {
                drop(guard);
                self.make_readable(chunk, true).await?;
                continue;
            }
            self.mark(extent).await?;
            let mut state = self.state();
            if *self.access.borrow() != Access::Open {
                return Ok(Opened::Frozen);
            }
            if !state.extents.touch(extent) {
                continue; // cooled between the mark and here
            }
            if is_cold(self) {
                let how = match &cover {
                    Cover::All => {
                        self.begin_replacing(&mut state, chunk)?;
                        How::Replacing
                    }
                    Cover::Part(Some(sectors)) if self.may_overlay(&state, chunk) => {
                        self.begin_overlay(&mut state, chunk)?;
                        How::Overlaying(sectors.clone())
                    }
                    Cover::Part(_) => continue,
                };
                drop(state);
                return Ok(Opened::Kept(Kept { chunk, how, _guard: guard }));
            }
            self.open_version(&mut state, chunk)?;
            return Ok(Opened::InPlace);
        }
    }

    /// Lets writes at a chunk whose bytes are here and whose extent is hot, in a version of its own. The caller has its lock.
    fn open_version(&self, state: &mut super::State, chunk: u64) -> Result<(), IoError> {
        let older = state.table.get(chunk);
        self.note_intent(chunk, Intent::Modified)?;
        let still_open = older.fresh && older.is_held() && !older.zero;
        if !still_open {
            let row = state.new_version(false);
            state.table.set(chunk, row);
            if state.pending.remove(&chunk).is_some() {
                // What lies under the write was fetched and is not durable: until it is, the row that says who has
                // it must stay the stored one, or a machine crash would lose bytes that were never written here.
                state.table.hold_back(chunk, older);
            }
        }
        self.hot.set_state(chunk, ChunkState::WRITABLE);
        Ok(())
    }

    /// Can a cold chunk be written before its bytes are here?
    fn need_not_wait(&self, chunk: u64, cover: &Cover) -> bool {
        match cover {
            Cover::All => true,
            Cover::Part(None) => false,
            Cover::Part(Some(_)) => self.may_overlay(&self.state(), chunk),
        }
    }

    fn begin_replacing(&self, state: &mut super::State, chunk: u64) -> Result<(), IoError> {
        // The extent is hot, so a machine crash withdraws the basis; the intent does so for the process. What an overlay has
        // was acknowledged, and stays said until all of the chunk is written.
        if !state.overlays.is_open(chunk) {
            self.note_intent(chunk, Intent::Replacing)?;
        }
        let row = Row { held: Version::NONE, ..state.table.get(chunk) };
        state.table.set(chunk, row);
        Ok(())
    }

    /// All bytes of a chunk that was not held are here, and some were written here: it is ours now.
    ///
    /// # Errors
    /// If that could not be noted: the chunk is then still not held, and the write must not be acknowledged.
    pub(super) fn replaced(&self, chunk: u64) -> Result<(), IoError> {
        let extent = self.extent_of(chunk);
        let mut state = self.state();
        // Before the acknowledgement, the files say whose bytes these are (law L4).
        self.note_intent(chunk, Intent::Modified)?;
        let older = state.table.get(chunk);
        let row = state.new_version(false);
        state.table.set(chunk, row);
        state.overlays.close(chunk);
        // The bytes are in the page cache only: until they are durable the stored row says who has the old ones.
        state.table.hold_back(chunk, older);
        // If the mark was dropped meanwhile, nothing durable speaks of these bytes; the next write marks again.
        let hot = state.extents.touch(extent);
        self.hot.set_state(chunk, if hot { ChunkState::WRITABLE } else { ChunkState::READABLE });
        Ok(())
    }
}

impl super::State {
    /// A row for bytes that were made here just now.
    pub(super) fn new_version(&mut self, zero: bool) -> Row {
        let here = self.meta.here_number();
        let newest = self.table.newest_counter().max(self.meta.counter);
        let version = Version::new(self.meta.lineage_index(), newest + 1);
        self.meta.counter = newest + 1;
        Row { version, held: version, holders: 1 << here, owner: here, zero, fresh: !zero }
    }
}
