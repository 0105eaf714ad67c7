//! The hot map: one byte a chunk that says whether a request may go straight to `data.img`.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::gate::{Gate, Lane, Pass};

/// What a request does to the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reads them.
    Read,
    /// Changes them.
    Write,
}

/// A chunk's state as the hot path sees it. The engine alone changes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ChunkState(u8);

impl ChunkState {
    /// `data.img` has the chunk's current bytes (or zeros, where they are zeros).
    pub const READABLE: ChunkState = ChunkState(1);
    /// Readable, its extent durably hot, and its version open: writing it costs no metadata.
    pub const WRITABLE: ChunkState = ChunkState(3);
    /// Everything goes the cold way.
    pub const COLD: ChunkState = ChunkState(0);

    fn allows(self, op: Op) -> bool {
        let need = match op {
            Op::Read => 1,
            Op::Write => 2,
        };
        self.0 & need != 0
    }
}

/// The hot path's view of a disk: a gate and a state a chunk.
///
/// Memory: one byte a chunk, allocated zeroed, so that chunks never touched cost no resident memory.
#[derive(Debug)]
pub struct HotMap {
    gate: Gate,
    chunk_shift: u32,
    states: Box<[AtomicU8]>,
}

impl HotMap {
    /// All chunks cold, the gate open.
    ///
    /// # Panics
    /// If `chunk_size` is not a power of two.
    #[must_use]
    pub fn new(chunks: usize, chunk_size: u32, lanes: usize) -> HotMap {
        assert!(chunk_size.is_power_of_two(), "chunk sizes are powers of two");
        // Collecting from a zeroed Vec<u8> in place keeps the pages untouched.
        let states = vec![0u8; chunks].into_iter().map(AtomicU8::new).collect();
        HotMap { gate: Gate::new(lanes), chunk_shift: chunk_size.trailing_zeros(), states }
    }

    /// Who is in flight, and what is shut.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.states.len()
    }

    /// The chunks that `len` bytes at `offset` touch; `len` is at least 1 and the range inside the disk.
    #[must_use]
    pub fn touched(&self, offset: u64, len: u64) -> std::ops::RangeInclusive<u64> {
        (offset >> self.chunk_shift)..=((offset + len - 1) >> self.chunk_shift)
    }

    /// May this request go straight to `data.img`? Hold the pass until its data has been moved.
    ///
    /// `None`: go the cold way ([`crate::Disk::begin`]). A range that is not inside the disk is `None` too.
    #[must_use]
    pub fn try_begin(&self, lane: Lane, op: Op, offset: u64, len: u64) -> Option<Pass<'_>> {
        let pass = self.gate.enter(lane);
        let shut = self.gate.shut();
        let kept_out = match op {
            Op::Read => shut.reads,
            Op::Write => shut.writes,
        };
        if kept_out || len == 0 {
            return None;
        }
        self.touched(offset, len).all(|chunk| self.state(chunk).allows(op)).then_some(pass)
    }

    /// Counts a request of the cold way in, once the engine has made its chunks fit for it.
    pub fn enter(&self, lane: Lane) -> Pass<'_> {
        self.gate.enter(lane)
    }

    /// A chunk's state; [`ChunkState::COLD`] outside the disk.
    #[must_use]
    pub fn state(&self, chunk: u64) -> ChunkState {
        let state = usize::try_from(chunk).ok().and_then(|i| self.states.get(i));
        state.map_or(ChunkState::COLD, |s| ChunkState(s.load(Ordering::SeqCst)))
    }

    /// Changes a chunk's state. To withdraw a right, follow with [`Gate::wait_grace`].
    ///
    /// # Panics
    /// If the chunk is outside the disk.
    pub fn set_state(&self, chunk: u64, state: ChunkState) {
        let index = usize::try_from(chunk).unwrap_or(usize::MAX);
        self.states[index].store(state.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Shut;

    const K: u64 = 1024;

    fn map() -> HotMap {
        HotMap::new(4, 4096, 1)
    }

    #[test]
    fn a_request_passes_only_if_every_chunk_it_touches_allows_it() {
        let map = map();
        map.set_state(0, ChunkState::WRITABLE);
        map.set_state(1, ChunkState::READABLE);
        assert!(map.try_begin(Lane(0), Op::Write, 0, 4 * K).is_some());
        assert!(map.try_begin(Lane(0), Op::Write, 0, 4 * K + 512).is_none());
        assert!(map.try_begin(Lane(0), Op::Read, 0, 8 * K).is_some());
        assert!(map.try_begin(Lane(0), Op::Read, 4 * K, 4 * K + 1).is_none());
    }

    #[test]
    fn outside_the_disk_nothing_passes() {
        let map = map();
        for chunk in 0..4 {
            map.set_state(chunk, ChunkState::WRITABLE);
        }
        assert!(map.try_begin(Lane(0), Op::Read, 0, 16 * K).is_some());
        assert!(map.try_begin(Lane(0), Op::Read, 0, 16 * K + 1).is_none());
        assert!(map.try_begin(Lane(0), Op::Read, u64::MAX - 512, 512).is_none());
    }

    #[test]
    fn a_shut_gate_keeps_requests_out() {
        let map = map();
        map.set_state(0, ChunkState::WRITABLE);
        map.gate().set_shut(Shut { writes: true, reads: false });
        assert!(map.try_begin(Lane(0), Op::Write, 0, 512).is_none());
        assert!(map.try_begin(Lane(0), Op::Read, 0, 512).is_some());
        map.gate().set_shut(Shut { writes: true, reads: true });
        assert!(map.try_begin(Lane(0), Op::Read, 0, 512).is_none());
    }
}
