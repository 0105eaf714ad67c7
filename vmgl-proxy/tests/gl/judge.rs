//! Judges one picture by another of the same moment (pure).

/// Colours that differ by no more than this in each channel, of 255, are alike: two drivers round differently.
pub(crate) const ALIKE: u8 = 24;
/// So many pixels in a thousand of what was drawn may be unlike: edges fall one pixel beside.
pub(crate) const UNLIKE_PER_MILLE: usize = 2;
/// A program that draws fewer pixels than this has drawn nothing.
const FEW: usize = 400;

/// How two pictures compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Pixels of the first that are no background.
    pub(crate) drawn: usize,
    /// Pixels with any difference.
    pub(crate) different: usize,
    /// Pixels that are not [`ALIKE`].
    pub(crate) unlike: usize,
    /// The largest difference of a channel.
    pub(crate) largest: u8,
}

impl Verdict {
    /// Of pictures with as many pixels, `0x00RRGGBB`; `truth`'s most frequent colour is its background.
    pub(crate) fn of(truth: &[u32], other: &[u32]) -> Self {
        assert_eq!(truth.len(), other.len());
        let mut counts = std::collections::HashMap::<u32, usize>::new();
        truth.iter().for_each(|pixel| *counts.entry(*pixel).or_default() += 1);
        let background = counts.iter().max_by_key(|(_, count)| **count).map_or(0, |(pixel, _)| *pixel);
        let mut verdict = Self { drawn: 0, different: 0, unlike: 0, largest: 0 };
        for (a, b) in truth.iter().zip(other) {
            let apart = a.to_be_bytes().into_iter().zip(b.to_be_bytes()).map(|(a, b)| a.abs_diff(b)).max();
            let apart = apart.unwrap_or(0);
            verdict.drawn += usize::from(*a != background);
            verdict.different += usize::from(apart > 0);
            verdict.unlike += usize::from(apart > ALIKE);
            verdict.largest = verdict.largest.max(apart);
        }
        verdict
    }

    /// Something was drawn, and it is the same picture.
    pub(crate) fn is_same(&self) -> bool {
        self.drawn >= FEW && self.unlike * 1000 <= self.drawn * UNLIKE_PER_MILLE
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.drawn < FEW {
            return write!(f, "nothing is drawn ({} pixels)", self.drawn);
        }
        match (self.different, self.unlike) {
            (0, _) => write!(f, "not a pixel of {} differs", self.drawn),
            (different, unlike) => {
                write!(
                    f,
                    "{different} of {} pixels differ, {unlike} by more than {ALIKE} (at most {})",
                    self.drawn, self.largest
                )
            }
        }
    }
}

#[test]
fn pictures_are_the_same_within_what_drivers_round_and_no_further() {
    let mut truth = vec![0; 1000];
    truth.extend((0..1000_u32).map(|n| 0x0040_8020 + n % 7));
    let shifted: Vec<u32> = truth.iter().map(|pixel| pixel + 0x0003_0000).collect();
    assert!(Verdict::of(&truth, &truth).is_same());
    assert!(Verdict::of(&truth, &shifted).is_same());
    let mut other = truth.clone();
    other[1500..1502].fill(0x00ff_ffff);
    assert!(Verdict::of(&truth, &other).is_same());
    other[1500..1503].fill(0x00ff_ffff);
    assert!(!Verdict::of(&truth, &other).is_same());
    assert!(!Verdict::of(&[7; 2000], &[7; 2000]).is_same(), "nothing is drawn");
}
