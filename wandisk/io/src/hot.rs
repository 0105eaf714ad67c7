//! The hot map: one byte a chunk that says whether a request may go straight to `data.img`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::gate::{DetachedPass, Gate, Lane, Pass};
use crate::touched::Touched;

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

const COLD_BIT: u8 = 1;
const WRITABLE_BIT: u8 = 2;

impl ChunkState {
    /// `data.img` has the chunk's current bytes (or zeros, where they are zeros). What a chunk starts as,
    /// since one that was never written is a hole.
    pub const READABLE: ChunkState = ChunkState(0);
    /// Readable, its extent durably hot, and its version open: writing it costs no metadata.
    pub const WRITABLE: ChunkState = ChunkState(WRITABLE_BIT);
    /// Everything goes the cold way.
    pub const COLD: ChunkState = ChunkState(COLD_BIT);

    fn allows(self, op: Op) -> bool {
        match op {
            Op::Read => self.0 & COLD_BIT == 0,
            Op::Write => self.0 & WRITABLE_BIT != 0,
        }
    }
}

/// Chunks a leaf of the map covers; the only leaf of a small disk is as long as the disk.
const LEAF_CHUNKS: usize = 4096;

type Leaf = Box<[AtomicU8]>;

/// The hot path's view of a disk: a gate and a state a chunk.
///
/// Memory: one byte a chunk in leaves of 4096, allocated when a chunk of theirs first leaves
/// [`ChunkState::READABLE`]; so a sparse disk costs what was written to it, not its size.
#[derive(Debug)]
pub struct HotMap {
    gate: Gate,
    chunk_shift: u32,
    chunks: u64,
    leaves: Box<[OnceLock<Leaf>]>,
    read: Touched,
}

fn leaf_and_slot(chunk: u64) -> Option<(usize, usize)> {
    let index = usize::try_from(chunk).ok()?;
    Some((index / LEAF_CHUNKS, index % LEAF_CHUNKS))
}

impl HotMap {
    /// All chunks readable, the gate open.
    ///
    /// # Panics
    /// If `chunk_size` is not a power of two.
    #[must_use]
    pub fn new(chunks: u64, chunk_size: u32, lanes: usize) -> HotMap {
        assert!(chunk_size.is_power_of_two(), "chunk sizes are powers of two");
        let leaves = usize::try_from(chunks).unwrap_or(usize::MAX).div_ceil(LEAF_CHUNKS);
        HotMap {
            gate: Gate::new(lanes),
            chunk_shift: chunk_size.trailing_zeros(),
            chunks,
            leaves: (0..leaves).map(|_| OnceLock::new()).collect(),
            read: Touched::new(chunks),
        }
    }

    /// Who is in flight, and what is shut.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Size of a chunk in bytes.
    #[must_use]
    pub fn chunk_size(&self) -> u32 {
        1 << self.chunk_shift
    }

    /// Number of chunks.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The chunks that `len` bytes at `offset` touch; `len` is at least 1 and the range inside the disk.
    #[must_use]
    pub fn touched(&self, offset: u64, len: u64) -> std::ops::RangeInclusive<u64> {
        (offset >> self.chunk_shift)..=((offset + len - 1) >> self.chunk_shift)
    }

    /// May this request go straight to `data.img`? Hold the pass until its data has been moved.
    ///
    /// `None`: go the cold way ([`crate::Disk::begin`]). A range that is not inside the disk's chunks is `None`
    /// too; the front-end itself refuses what is past the disk's last byte.
    #[must_use]
    pub fn try_begin(&self, lane: Lane, op: Op, offset: u64, len: u64) -> Option<Pass<'_>> {
        let pass = self.gate.enter(lane);
        let shut = self.gate.shut();
        let kept_out = match op {
            Op::Read => shut.reads,
            Op::Write => shut.writes,
        };
        if kept_out || len == 0 || offset.checked_add(len).is_none() {
            return None;
        }
        if !self.allows(op, offset, len) {
            return None;
        }
        if op == Op::Read {
            self.touched(offset, len).for_each(|chunk| self.read.note(chunk));
        }
        Some(pass)
    }

    /// Counts a request of the cold way in, once the engine has made its chunks fit for it.
    pub fn enter(&self, lane: Lane) -> DetachedPass {
        self.gate.enter_detached(lane)
    }

    /// Does every chunk of the range allow `op`, as far as states go?
    #[must_use]
    pub fn allows(&self, op: Op, offset: u64, len: u64) -> bool {
        self.touched(offset, len).all(|chunk| self.state(chunk).allows(op))
    }

    /// Notes from now on when a read first goes straight to this chunk.
    pub fn watch(&self, chunk: u64) {
        self.read.watch(chunk);
    }

    /// The watched chunks that reads have gone straight to since the last call, each told once, by their number. One
    /// caller at a time.
    #[must_use]
    pub fn newly_read(&self) -> Vec<u64> {
        self.read.collect()
    }

    /// A chunk's state; [`ChunkState::COLD`] outside the disk.
    #[must_use]
    pub fn state(&self, chunk: u64) -> ChunkState {
        let Some((leaf, slot)) = leaf_and_slot(chunk).filter(|_| chunk < self.chunks) else {
            return ChunkState::COLD;
        };
        self.leaves[leaf].get().map_or(ChunkState::READABLE, |l| ChunkState(l[slot].load(Ordering::SeqCst)))
    }

    /// Changes a chunk's state. To withdraw a right, follow with [`Gate::wait_grace`].
    ///
    /// # Panics
    /// If the chunk is outside the disk.
    pub fn set_state(&self, chunk: u64, state: ChunkState) {
        assert!(chunk < self.chunks, "chunk {chunk} is outside the disk");
        if let Some((leaf, slot)) = leaf_and_slot(chunk) {
            let len = usize::try_from(self.chunks).unwrap_or(LEAF_CHUNKS).min(LEAF_CHUNKS);
            let leaf = self.leaves[leaf].get_or_init(|| (0..len).map(|_| AtomicU8::new(0)).collect());
            leaf[slot].store(state.0, Ordering::SeqCst);
        }
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
        map.set_state(2, ChunkState::COLD);
        assert!(map.try_begin(Lane(0), Op::Write, 0, 4 * K).is_some());
        assert!(map.try_begin(Lane(0), Op::Write, 0, 4 * K + 512).is_none());
        assert!(map.try_begin(Lane(0), Op::Read, 0, 8 * K).is_some());
        assert!(map.try_begin(Lane(0), Op::Read, 4 * K, 4 * K + 1).is_none());
        assert!(map.try_begin(Lane(0), Op::Read, 12 * K, 4 * K).is_some());
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
