//! What each sector may read as after a power cut: its value at the last acknowledged flush, or one written since.

use crate::model::{SECTOR, Tag, tag_of};

/// What was written between two flushes.
#[derive(Default)]
struct Span {
    writes: Vec<(u64, u64, Tag)>,
}

/// The story of one disk's sectors.
pub(crate) struct Story {
    first: Vec<Tag>,
    spans: Vec<Span>,
}

impl Story {
    /// Begins with a disk on which every sector has this tag.
    pub(crate) fn new(sectors: u64, tag: Tag) -> Story {
        Story { first: vec![tag; usize::try_from(sectors).unwrap()], spans: vec![Span::default()] }
    }

    pub(crate) fn sectors(&self) -> u64 {
        self.first.len() as u64
    }

    pub(crate) fn writes(&mut self, start: u64, count: u64, tag: Tag) {
        self.spans.last_mut().unwrap().writes.push((start, count, tag));
    }

    /// A flush was acknowledged; its number.
    pub(crate) fn flushed(&mut self) -> usize {
        self.spans.push(Span::default());
        self.spans.len() - 1
    }

    /// Checks what is read of the whole disk after a power cut between flush `flush` and the next one.
    #[track_caller]
    pub(crate) fn judge(&self, flush: usize, bytes: &[u8], who: &str) {
        let mut allowed: Vec<Vec<Tag>> = self.first.iter().map(|tag| vec![*tag]).collect();
        for (n, span) in self.spans.iter().enumerate().take(flush + 1) {
            for (start, count, tag) in &span.writes {
                for sector in
                    &mut allowed[usize::try_from(*start).unwrap()..][..usize::try_from(*count).unwrap()]
                {
                    if n < flush {
                        sector.clear();
                    }
                    sector.push(*tag);
                }
            }
        }
        for (number, (bytes, allowed)) in (0u64..).zip(bytes.chunks_exact(SECTOR).zip(&allowed)) {
            let tag = tag_of(bytes, number);
            let fits = tag.is_some_and(|tag| allowed.contains(&tag));
            assert!(fits, "{who}: sector {number} holds {tag:?} ({:02x?}…), not {allowed:?}", &bytes[..16]);
        }
    }
}
