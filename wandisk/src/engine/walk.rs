//! A look at all rows that holds nobody up: they are copied in pieces, and looked at when the state is let go of.
//!
//! A disk of millions of rows is looked through in tens of milliseconds, and `status` and `map` are asked again and again.
//! Each first write to a chunk needs the state, several times, so a walk under one lock would be a pause of the disk, and one that
//! lets go of it only to take it again makes each write wait several times over.
//!
//! Invariant: the state is held to copy a bounded number of pages, for a small part of the walk's time, and is handed over fairly: a
//! lock that is only let go of and taken again keeps others out, since they wake up too late each time.
//! Invariant: a walk is no task of the executor's. One that yielded to it after each piece would have it wake another thread
//! each time, to look for work that is not there.
//! What is told is of no one moment: each row as it was when the walk came by.

use wandisk_store::{CopiedRows, Counts, Row, Store};

use super::{Engine, State};

/// Pages of rows that are copied under one lock: some 100 KB.
const PIECE_PAGES: usize = 128;

/// What `status` counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Chunks by state; fetched ones whose row lags count as held, and zeros wherever they were made.
    pub counts: Counts,
    /// Chunks owned here.
    pub owned_here: u64,
    /// Chunks of which no other holder is known.
    pub only_here: u64,
}

impl Tally {
    fn count(&mut self, seen: &Seen) {
        let Seen { row, held, alone, owned } = seen;
        let counts = &mut self.counts;
        counts.written += 1;
        counts.zero += u64::from(row.zero);
        counts.held += u64::from(*held);
        counts.stale += u64::from(!held && !row.held.is_none());
        counts.absent += u64::from(!held && row.held.is_none());
        self.owned_here += u64::from(*owned);
        self.only_here += u64::from(*alone);
    }
}

/// A chunk's row, and what follows of it.
pub(super) struct Seen {
    pub(super) row: Row,
    /// Its current bytes are here, or zero; also of one that was fetched and whose row lags.
    pub(super) held: bool,
    /// It, or what was written here of it, is here, and no other holder is known.
    pub(super) alone: bool,
    /// It was written here last.
    pub(super) owned: bool,
}

/// Rows as they were at one moment, and what the state said of their chunks beside.
#[derive(Debug, Default)]
struct Piece {
    here: u8,
    rows: CopiedRows,
    /// Fetched, with a row that lags; in order.
    fetched: Vec<u64>,
    /// Written here in part, while the rest is elsewhere; in order.
    overlaid: Vec<u64>,
}

impl Piece {
    /// Copies what comes next; gives the chunk to go on from.
    fn copy(&mut self, state: &State, start: u64) -> Option<u64> {
        let next = state.table.copy(start, PIECE_PAGES, &mut self.rows);
        let chunks = self.rows.chunks();
        self.here = state.meta.here_number();
        self.fetched.clear();
        self.fetched.extend(state.pending.range(chunks.clone()).map(|(chunk, _)| *chunk));
        self.overlaid.clear();
        self.overlaid.extend(state.overlays.open_in(chunks));
        next
    }

    fn seen(&self) -> impl Iterator<Item = (u64, Seen)> {
        self.rows.rows().map(|(chunk, row)| {
            let is_in = |chunks: &[u64]| chunks.binary_search(&chunk).is_ok();
            let held = row.is_held() || row.zero || is_in(&self.fetched);
            let alone = row.is_held() && !row.zero && row.holders & !(1 << self.here) == 0;
            let owned = row.owner == self.here;
            (chunk, Seen { row, held, alone: alone || is_in(&self.overlaid), owned })
        })
    }
}

impl<S: Store> Engine<S> {
    /// Shows every row, with the state as it is when the walk comes by. Takes its thread for tens of milliseconds where there are
    /// millions of rows.
    pub(super) fn walk(&self, mut look: impl FnMut(u64, &Seen)) {
        S::blocking(|| {
            let (mut next, mut piece) = (Some(0), Piece::default());
            while let Some(start) = next {
                next = self.copy_piece(start, &mut piece);
                piece.seen().for_each(|(chunk, seen)| look(chunk, &seen));
            }
        });
    }

    fn copy_piece(&self, start: u64, piece: &mut Piece) -> Option<u64> {
        let state = self.state();
        let next = piece.copy(&state, start);
        parking_lot::MutexGuard::unlock_fair(state);
        next
    }

    /// Counts all rows; as [`Engine::walk`].
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.walk(|_, seen| tally.count(seen));
        tally
    }
}

#[cfg(test)]
mod tests {
    use wandisk_store::{
        DiskDir, DiskId, DiskMeta, KnownSite, LineageId, OpenError, PAGE_CHUNKS, SiteId, Version,
    };

    use super::*;

    const CHUNK_SIZE: u32 = 4096;
    /// Three pieces and a bit.
    const CHUNKS: u64 = PAGE_CHUNKS * (3 * PIECE_PAGES as u64 + 1);

    /// Of every eight chunks one has no row, and one is elsewhere.
    async fn engine(dir: &DiskDir) -> std::sync::Arc<Engine> {
        let here = KnownSite::named(SiteId::random(), "a");
        let size = CHUNKS * u64::from(CHUNK_SIZE);
        let mut meta = DiskMeta::new(DiskId::random(), size, CHUNK_SIZE, LineageId::random(), here);
        meta.sites.push(KnownSite::named(SiteId::random(), "b"));
        meta.counter = CHUNKS;
        dir.create(&meta, |_, _, _, table| -> Result<(), OpenError> {
            for chunk in (0..CHUNKS).filter(|chunk| chunk % 8 != 7) {
                let version = Version::new(0, chunk + 1);
                let held = if chunk % 8 == 6 { Version::NONE } else { version };
                let holders = if held.is_none() { 0b10 } else { 0b01 };
                table.set(chunk, Row { version, held, holders, ..Row::default() });
            }
            Ok(())
        })
        .unwrap();
        let lock = dir.lock().unwrap();
        Engine::open(dir, lock, tokio::runtime::Handle::current()).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_walk_has_let_go_of_the_state_when_it_looks_at_a_piece_and_comes_by_every_row() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DiskDir::new(folder.path().join("d"), "d");
        let engine = engine(&dir).await;

        let (mut next, mut pieces, mut piece, mut seen) = (Some(0), 0, Piece::default(), 0);
        while let Some(start) = next {
            next = engine.copy_piece(start, &mut piece);
            pieces += 1;
            assert!(engine.state.try_lock().is_some(), "the state is held after piece {pieces}");
            seen += piece.seen().count() as u64;
        }
        assert_eq!((pieces, seen), (4, CHUNKS / 8 * 7));
        let tally = engine.tally();
        let eighth = CHUNKS / 8;
        let counts = Counts { written: 7 * eighth, held: 6 * eighth, stale: 0, absent: eighth, zero: 0 };
        assert_eq!(tally, Tally { counts, owned_here: 7 * eighth, only_here: 6 * eighth });
        let map = engine.cells(3);
        assert_eq!(map.written.iter().sum::<u64>(), counts.written);
        assert_eq!(map.absent.iter().sum::<u64>(), counts.absent);
        assert_eq!(map.only_here.iter().sum::<u64>(), tally.only_here);
        engine.close().await.unwrap();
    }
}
