//! Frames that say in their own pixels which they are and when they were made.
//!
//! A frame is a picture of [`WIDTH`] columns whose first and last rows begin with the same stamp; between
//! them is noise, three bytes of which no encoding makes less. A frame whose two stamps differ is torn.

use rustix::time::{ClockId, clock_gettime};
use vmgl_rfb::Framebuffer;

/// Columns of a frame.
pub const WIDTH: u16 = 128;
/// Rows of the highest frame.
pub const HIGHEST: u16 = 240;
/// Pixels of a stamp.
const LEN: u16 = 6;
const MAGIC: u32 = 0x51_c0_de;
const MASK: u32 = 0xff_ff_ff;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Frames are counted from 1.
    pub number: u32,
    /// When it was made, in microseconds of the machine's clock.
    pub made_us: u64,
    /// Rows of the frame.
    pub height: u16,
}

/// What is where a stamp should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing that looks like a stamp.
    Nothing,
    /// Parts of two frames.
    Torn,
    /// A whole frame.
    Whole(Stamp),
}

/// Microseconds of the clock that all processes of the machine share.
#[must_use]
pub fn now_us() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000 + part(now.tv_nsec) / 1000
}

/// Rows of a frame of about so many bytes.
#[must_use]
pub fn height_of(bytes: usize) -> u16 {
    let rows = bytes / (3 * usize::from(WIDTH));
    u16::try_from(rows).unwrap_or(HIGHEST).clamp(2, HIGHEST)
}

impl Stamp {
    fn pixels(self) -> [u32; LEN as usize] {
        let part = |shift: u32| u32::try_from(self.made_us >> shift & u64::from(MASK)).unwrap_or(0);
        let said = [MAGIC, self.number & MASK, part(24), part(0), u32::from(self.height)];
        let [a, b, c, d, e] = said;
        [a, b, c, d, e, sum(&said)]
    }

    fn read(pixels: &[u32]) -> Option<Self> {
        let [MAGIC, number, high, low, height, check] = *pixels else { return None };
        if check != sum(&[MAGIC, number, high, low, height]) {
            return None;
        }
        let height = u16::try_from(height).ok().filter(|rows| (2..=HIGHEST).contains(rows))?;
        Some(Self { number, made_us: u64::from(high) << 24 | u64::from(low), height })
    }

    /// The frame with this stamp, row by row, with noise of `random`.
    #[must_use]
    pub fn frame(self, random: &mut fastrand::Rng) -> Vec<u32> {
        let width = usize::from(WIDTH);
        let mut pixels: Vec<u32> =
            (0..width * usize::from(self.height)).map(|_| random.u32(..) & MASK).collect();
        let last = pixels.len().saturating_sub(width);
        for start in [0, last] {
            if let Some(place) = pixels.get_mut(start..start + usize::from(LEN)) {
                place.copy_from_slice(&self.pixels());
            }
        }
        pixels
    }

    /// What the upper left corner of a picture shows.
    #[must_use]
    pub fn seen(picture: &Framebuffer) -> Seen {
        let at = |row| Self::read(picture.row(0, row, LEN));
        match at(0) {
            None => Seen::Nothing,
            Some(stamp) if at(stamp.height - 1) == Some(stamp) => Seen::Whole(stamp),
            Some(_) => Seen::Torn,
        }
    }
}

fn sum(pixels: &[u32]) -> u32 {
    pixels.iter().fold(0x5a_5a_5a, |sum: u32, pixel| sum.wrapping_mul(31).wrapping_add(*pixel)) & MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(picture: &mut Framebuffer, frame: &[u32], rows: u16) {
        for (y, row) in (0..rows).zip(frame.chunks(usize::from(WIDTH))) {
            picture.row_mut(0, y, WIDTH).copy_from_slice(row);
        }
    }

    #[test]
    fn a_whole_frame_is_read_and_a_torn_one_is_told() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut picture = Framebuffer::new(200, 300).unwrap();
        assert_eq!(Stamp::seen(&picture), Seen::Nothing);
        let stamp = Stamp { number: 9, made_us: now_us(), height: height_of(12_000) };
        draw(&mut picture, &stamp.frame(&mut random), stamp.height);
        assert_eq!(Stamp::seen(&picture), Seen::Whole(stamp));
        let next = Stamp { number: 10, ..stamp };
        draw(&mut picture, &next.frame(&mut random), 5);
        assert_eq!(Stamp::seen(&picture), Seen::Torn);
    }
}
