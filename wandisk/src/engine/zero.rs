//! TRIM and write-zeroes. A whole chunk becomes *zero at a new version*: a hole here, a few bytes on the wire (law
//! L10). Part of a chunk is a write like any other, done by punching.

use std::sync::Arc;

use wandisk_io::{ChunkState, IoError, Lane, Op, ZeroMode};
use wandisk_store::{Image, Intent, Row, Store, Version};

use super::{Access, Engine};

/// Chunks zeroed under one grace period.
const BATCH: usize = 1024;

impl<S: Store> Engine<S> {
    pub(super) async fn zero_range(
        self: Arc<Self>,
        lane: Lane,
        offset: u64,
        len: u64,
        mode: ZeroMode,
    ) -> Result<(), IoError> {
        if len == 0 {
            return Ok(());
        }
        self.check_request(Op::Write, offset, len)?;
        self.wait_for_access(Op::Write).await?;
        if mode == ZeroMode::ZeroAllocated {
            return self.zero_part(lane, offset, len, mode).await;
        }
        let size = u64::from(self.hot.chunk_size());
        let end = offset + len;
        // The disk's short last chunk counts as whole when the range reaches the disk's end.
        let whole_from = offset.div_ceil(size);
        let whole_to = if end == self.data.size_bytes() { self.hot.chunks() } else { end / size };
        if whole_from >= whole_to {
            return self.zero_pieces(lane, offset, len, mode).await;
        }
        let head = whole_from * size - offset;
        if head > 0 {
            Arc::clone(&self).zero_pieces(lane, offset, head, mode).await?;
        }
        self.zero_chunks(whole_from..whole_to).await?;
        let tail_from = whole_to * size;
        if tail_from < end {
            self.zero_pieces(lane, tail_from, end - tail_from, mode).await?;
        }
        Ok(())
    }

    /// Parts of chunks, one chunk after the other.
    async fn zero_pieces(
        self: Arc<Self>,
        lane: Lane,
        offset: u64,
        len: u64,
        mode: ZeroMode,
    ) -> Result<(), IoError> {
        let size = u64::from(self.hot.chunk_size());
        for chunk in self.hot.touched(offset, len) {
            let from = offset.max(chunk * size);
            let to = (offset + len).min((chunk + 1) * size);
            let row = self.state().table.get(chunk);
            if !row.exists() || row.zero {
                // Zero already. A write racing with this trim may come before or after it: both are right.
                continue;
            }
            Arc::clone(&self).zero_part(lane, from, to - from, mode).await?;
        }
        Ok(())
    }

    async fn zero_part(
        self: Arc<Self>,
        lane: Lane,
        offset: u64,
        len: u64,
        mode: ZeroMode,
    ) -> Result<(), IoError> {
        let ticket = Arc::clone(&self).begin_cold(lane, Op::Write, offset, len).await?;
        let result = S::blocking(|| match mode {
            ZeroMode::ZeroAllocated => self.data.write_zeros(offset, len),
            ZeroMode::Trim | ZeroMode::ZeroMayPunch => self.data.punch(offset, len),
        });
        let noted = ticket.done(result.is_ok());
        result.map_err(|e| self.change_failed(e).io()).and(noted)
    }

    /// Whole chunks; those that were never written stay so.
    async fn zero_chunks(&self, chunks: std::ops::Range<u64>) -> Result<(), IoError> {
        let mut next = chunks.start;
        loop {
            let batch: Vec<u64> = {
                let state = self.state();
                let rows = state.table.rows_from(next).take_while(|(c, _)| *c < chunks.end);
                rows.filter(|(_, row)| !row.zero).map(|(c, _)| c).take(BATCH).collect()
            };
            let Some(last) = batch.last().copied() else { return Ok(()) };
            self.zero_batch(&batch).await?;
            next = last + 1;
        }
    }

    async fn zero_batch(&self, chunks: &[u64]) -> Result<(), IoError> {
        loop {
            let mut guards = Vec::with_capacity(chunks.len());
            for chunk in chunks {
                guards.push(self.locks.lock(*chunk).await);
            }
            for extent in chunks.iter().map(|c| self.extent_of(*c)).collect::<std::collections::BTreeSet<_>>()
            {
                self.mark(extent).await?;
            }
            self.close_chunks(chunks.iter().copied()).await.map_err(|e| e.io())?;
            if S::blocking(|| self.punch_closed(chunks))? {
                return Ok(());
            }
            drop(guards);
            self.wait_for_access(Op::Write).await?;
        }
    }

    /// Punches closed chunks and gives them their zero rows; `false` if the disk was frozen first.
    ///
    /// The state lock is held over the punching: a freeze or a cooling cannot come in between, and a trimmed batch
    /// is at most 1024 `fallocate` calls on holes-to-be.
    fn punch_closed(&self, chunks: &[u64]) -> Result<bool, IoError> {
        let mut state = self.state();
        match *self.access.borrow() {
            Access::Open => {}
            Access::Frozen => return Ok(false),
            Access::Closed => return Err(IoError::NotResident),
        }
        let all_hot = chunks.iter().all(|c| state.extents.touch(self.extent_of(*c)));
        if !all_hot {
            return Ok(false);
        }
        for chunk in chunks.iter().copied() {
            // Held bytes that are half punched are still ours (an unacknowledged trim); others are nobody's.
            let held = self.hot.state(chunk) != ChunkState::COLD;
            let intent = if held { Intent::Modified } else { Intent::Replacing };
            // What an overlay has of it was acknowledged: until the hole is whole, that stays said.
            let overlaid = state.overlays.is_open(chunk);
            let mut older = state.table.get(chunk);
            if !held {
                // Its extent is hot, so a machine crash withdraws the basis; should the punching fail half-way, this does.
                older.held = Version::NONE;
                state.table.set(chunk, older);
            }
            if !overlaid {
                self.note_intent(chunk, intent)?;
            }
            self.data.punch_chunk(chunk).map_err(|e| self.change_failed(e).io())?;
            self.note_intent(chunk, Intent::Modified)?;
            let row = state.new_version(true);
            state.table.set(chunk, row);
            state.overlays.close(chunk);
            if state.pending.remove(&chunk).is_some() || !older.is_held() {
                // The hole is not durable, and under it are not the chunk's bytes: see `make_writable`.
                state.table.hold_back(chunk, Row { held: Version::NONE, ..older });
            }
            self.hot.set_state(chunk, ChunkState::READABLE);
        }
        Ok(true)
    }
}
