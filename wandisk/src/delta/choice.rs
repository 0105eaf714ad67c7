//! Which way a chunk is asked for: predictions from what was measured.
//!
//! Pure: facts in, a choice out. Facts are of this keeper's own links and chunks ([`Ledger`](super::Ledger) gathers them).
//! A prediction that is wrong costs time, never bytes of the disk: each chunk's BLAKE3 is compared whichever way it came.

/// How the basis here is told to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not at all: the chunk comes whole.
    Whole,
    /// By short hashes of its aligned blocks.
    Blocks,
    /// By a librsync signature, which finds what has shifted.
    Rolling,
}

/// What chunks asked for in one way came to, in the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Bytes of answer a byte of chunk.
    pub share: f64,
    /// Seconds of processor a byte of chunk, at this end.
    pub cost: f64,
}

/// What the choice of a way goes by.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes of the chunk; none of a basis to describe: `None`.
    pub basis: Option<usize>,
    /// Bytes a second that have come over the links lately, if any were busy.
    pub rate: Option<f64>,
    /// Chunks asked for with a basis before this one.
    pub asked: u64,
    /// What chunks that came whole came to.
    pub whole: Option<Seen>,
    /// What those came to that were asked for by their blocks.
    pub blocks: Option<Seen>,
    /// What those came to that were asked for by a signature.
    pub rolling: Option<Seen>,
}

/// Chunks below this come whole: a description would not pay.
const LEAST: usize = 16 << 10;
/// One chunk of so many tries the way of which nothing, or nothing new, is known.
const TRY_ONE_OF: u64 = 64;
/// Below this share of blocks a signature has nothing to win: an edit shifts half of a chunk, in the mean.
const SHIFTED: f64 = 0.25;
/// What a chunk comes to before the first one came.
const UNSEEN: Seen = Seen { share: 1.0, cost: 0.0 };

/// The way whose link and processor time are predicted to be the least.
#[must_use]
pub fn way(facts: &Facts) -> Way {
    let Some(len) = facts.basis.filter(|len| *len >= LEAST) else { return Way::Whole };
    let (Some(rate), Some(blocks)) = (facts.rate, facts.blocks) else { return Way::Blocks };
    let seconds = |seen: Seen, way| {
        (seen.share + super::description_len(way, len) as f64 / len as f64) / rate.max(1.0) + seen.cost
    };
    let tries = facts.asked % TRY_ONE_OF == TRY_ONE_OF - 1;
    let (whole, rolling) = (facts.whole.unwrap_or(UNSEEN), facts.rolling);
    let by_whole = seconds(whole, Way::Whole);
    let by_blocks = seconds(blocks, Way::Blocks);
    let least = by_whole.min(by_blocks);
    if blocks.share > SHIFTED {
        // The best that it could do, so that it is not tried where it cannot win.
        let hoped = Seen { share: 0.0, cost: rolling.map_or(blocks.cost, |seen| seen.cost) };
        let likely = rolling.is_some_and(|seen| seconds(seen, Way::Rolling) < least);
        if likely || tries && seconds(hoped, Way::Rolling) < least {
            return Way::Rolling;
        }
    }
    if by_whole < by_blocks && !tries { Way::Whole } else { Way::Blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 128 << 10;
    const SLOW: Option<f64> = Some(12.5e6);
    const FAST: Option<f64> = Some(5e9);

    fn facts(rate: Option<f64>, blocks: f64) -> Facts {
        Facts {
            basis: Some(CHUNK),
            rate,
            asked: 0,
            whole: None,
            blocks: Some(Seen { share: blocks, cost: 1e-9 }),
            rolling: None,
        }
    }

    #[test]
    fn without_a_basis_a_chunk_comes_whole() {
        assert_eq!(way(&Facts { basis: None, ..facts(SLOW, 0.1) }), Way::Whole);
        assert_eq!(way(&Facts { basis: Some(LEAST - 1), ..facts(SLOW, 0.1) }), Way::Whole);
    }

    #[test]
    fn blocks_are_compared_until_something_is_known() {
        assert_eq!(way(&Facts { blocks: None, ..facts(SLOW, 0.1) }), Way::Blocks);
        assert_eq!(way(&facts(None, 0.1)), Way::Blocks);
    }

    #[test]
    fn a_link_faster_than_the_processor_gets_whole_chunks() {
        assert_eq!(way(&facts(FAST, 0.9)), Way::Whole);
        assert_eq!(way(&facts(SLOW, 0.9)), Way::Blocks);
    }

    #[test]
    fn now_and_then_the_other_way_is_tried_so_that_a_change_is_seen() {
        let often = |facts: Facts, wanted: Way| {
            (0..640).filter(|asked| way(&Facts { asked: *asked, ..facts }) == wanted).count()
        };
        assert_eq!(often(facts(FAST, 0.9), Way::Blocks), 10);
        assert_eq!(often(facts(SLOW, 0.9), Way::Rolling), 10);
        assert_eq!(often(facts(SLOW, 0.05), Way::Rolling), 0, "nothing has shifted");
    }

    #[test]
    fn what_has_shifted_is_asked_for_by_a_signature_once_that_was_seen_to_pay() {
        let rolling = Some(Seen { share: 0.1, cost: 5e-9 });
        assert_eq!(way(&Facts { rolling, ..facts(SLOW, 0.6) }), Way::Rolling);
        assert_eq!(way(&Facts { rolling, ..facts(SLOW, 0.1) }), Way::Blocks);
        assert_eq!(way(&Facts { rolling, ..facts(FAST, 0.6) }), Way::Whole);
    }

    #[test]
    fn bytes_that_pack_well_anyhow_come_whole() {
        let whole = Some(Seen { share: 0.05, cost: 0.0 });
        assert_eq!(way(&Facts { whole, ..facts(SLOW, 0.3) }), Way::Whole);
    }
}
