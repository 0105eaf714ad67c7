//! What the watcher in the agent tells the proxy: where every window with OpenGL pictures is seen.
//!
//! A connection begins with [`MAGIC`]; then come reports, each of them whole, so that none depends on one before:
//!
//! ```text
//! u32 bytes that follow                      all little-endian
//! u16 windows   u16 bits: 0 a compositing manager runs; then for each window:
//!   u32 window   u64 program   i16 x   i16 y   u16 width   u16 height   u16 rectangles
//!   for each rectangle: u16 x   u16 y   u16 width   u16 height
//! ```
//!
//! Rectangles, at most [`RECTS`], are in the coordinates of the screen; `x` and `y` are where the window's own upper left corner is there.
//!
//! Invariant: what is read is no longer than [`LONGEST`], and lies as it says: a report that contradicts itself is refused.

use thiserror::Error;
use vmgl_rfb::Rect;

/// How a watcher's connection begins.
pub const MAGIC: [u8; 8] = *b"VMGLWAT2";
/// Most windows of a report.
pub const WINDOWS: usize = 256;
/// Most rectangles of a report, of all its windows: each part of the screen that is composed is compared with each of them.
pub const RECTS: usize = 4096;
/// Most bytes of a report.
pub const LONGEST: usize = 1 << 20;

/// A window with pictures, and what is seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its number at the agent's X server.
    pub window: u32,
    /// Which program draws in it: what the property [`PROPERTY`] says.
    pub program: u64,
    /// Where its upper left corner is on the screen, which may be outside.
    pub x: i16,
    /// See `x`.
    pub y: i16,
    /// Its width.
    pub width: u16,
    /// Its height.
    pub height: u16,
    /// What is seen of it: rectangles of the screen that do not overlap.
    pub rects: Vec<Rect>,
}

/// All that a watcher sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Windows with pictures.
    pub windows: Vec<Seen>,
    /// A compositing manager runs: what it makes of windows is not seen here.
    pub is_composited: bool,
}

/// The bit of [`Report::is_composited`].
const COMPOSITED: u16 = 1;

/// The property by which a program says that it draws in a window: two items of 32 bits, the lower half of its number first.
pub const PROPERTY: &str = "_VMGL_STREAM";
/// The selection that an X server's watcher owns: there is one.
pub const WATCHER: &str = "_VMGL_WATCHER";

/// Why a report is refused.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SeenError {
    /// It is shorter or longer than it says.
    #[error("a report that does not end where it says")]
    Length,
    /// Too much at once.
    #[error("a report of {0} bytes; {LONGEST} are the most")]
    TooLong(usize),
    /// Too many windows.
    #[error("a report of {0} windows; {WINDOWS} are the most")]
    TooMany(usize),
    /// Too many rectangles.
    #[error("a report of {0} rectangles or more; {RECTS} are the most")]
    TooManyRects(usize),
}

/// Writes a report with its length; windows beyond [`WINDOWS`] and those that find no room are left out.
#[must_use]
pub fn write(report: &Report) -> Vec<u8> {
    let (mut body, mut count, mut rects) = (Vec::new(), 0u16, 0);
    for seen in report.windows.iter().take(WINDOWS) {
        if body.len() + 22 + 8 * seen.rects.len() > LONGEST - 4 || rects + seen.rects.len() > RECTS {
            continue;
        }
        count += 1;
        rects += seen.rects.len();
        body.extend(seen.window.to_le_bytes());
        body.extend(seen.program.to_le_bytes());
        body.extend(seen.x.to_le_bytes());
        body.extend(seen.y.to_le_bytes());
        body.extend(seen.width.to_le_bytes());
        body.extend(seen.height.to_le_bytes());
        body.extend(u16::try_from(seen.rects.len()).unwrap_or(u16::MAX).to_le_bytes());
        for rect in seen.rects.iter().take(u16::MAX.into()) {
            for side in [rect.x, rect.y, rect.w, rect.h] {
                body.extend(side.to_le_bytes());
            }
        }
    }
    let bits = if report.is_composited { COMPOSITED } else { 0 };
    let mut bytes = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// How long the report is whose length these bytes say.
///
/// # Errors
/// When it would be too long.
pub fn length(bytes: [u8; 4]) -> Result<usize, SeenError> {
    let length = usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX);
    if length > LONGEST { Err(SeenError::TooLong(length)) } else { Ok(length) }
}

/// Reads what follows the length.
///
/// # Errors
/// When it contradicts itself.
pub fn read(body: &[u8]) -> Result<Report, SeenError> {
    let mut from = Cursor(body);
    let count = usize::from(from.u16()?);
    if count > WINDOWS {
        return Err(SeenError::TooMany(count));
    }
    let is_composited = from.u16()? & COMPOSITED != 0;
    let (mut windows, mut all) = (Vec::with_capacity(count), 0);
    for _ in 0..count {
        let (window, program) = (u32::from_le_bytes(from.take()?), u64::from_le_bytes(from.take()?));
        let (x, y) = (i16::from_le_bytes(from.take()?), i16::from_le_bytes(from.take()?));
        let (width, height) = (from.u16()?, from.u16()?);
        let rects = from.u16()?;
        all += usize::from(rects);
        if all > RECTS {
            return Err(SeenError::TooManyRects(all));
        }
        let rects: Result<Vec<Rect>, SeenError> =
            (0..rects).map(|_| Ok(Rect::new(from.u16()?, from.u16()?, from.u16()?, from.u16()?))).collect();
        windows.push(Seen { window, program, x, y, width, height, rects: rects? });
    }
    if from.0.is_empty() { Ok(Report { windows, is_composited }) } else { Err(SeenError::Length) }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], SeenError> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(SeenError::Length)?;
        self.0 = rest;
        Ok(*first)
    }

    fn u16(&mut self) -> Result<u16, SeenError> {
        self.take().map(u16::from_le_bytes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen() -> impl Strategy<Value = Seen> {
        let rect = any::<[u16; 4]>().prop_map(|[x, y, w, h]| Rect::new(x, y, w, h));
        let place = any::<(i16, i16, u16, u16)>();
        (any::<u32>(), any::<u64>(), place, prop::collection::vec(rect, 0..5)).prop_map(
            |(window, program, (x, y, width, height), rects)| Seen {
                window,
                program,
                x,
                y,
                width,
                height,
                rects,
            },
        )
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_read() {
        assert_eq!(length(u32::MAX.to_le_bytes()), Err(SeenError::TooLong(0xffff_ffff)));
        assert_eq!(read(&[1, 2]), Err(SeenError::TooMany(513)));
        let two = [RECTS, 1].map(|count| Seen {
            window: 1,
            program: 2,
            x: 0,
            y: 0,
            width: 9,
            height: 9,
            rects: vec![Rect::new(0, 0, 1, 1); count],
        });
        let written = write(&Report { windows: two.to_vec(), is_composited: false });
        let mut body = written[4..].to_vec();
        assert_eq!(
            read(&body).map(|report| report.windows.len()),
            Ok(1),
            "one that finds no room is left out"
        );
        body[24..26].copy_from_slice(&u16::try_from(RECTS + 1).unwrap().to_le_bytes());
        assert_eq!(read(&body), Err(SeenError::TooManyRects(RECTS + 1)));
    }

    proptest! {
        #[test]
        fn a_report_is_read_as_it_was_written_and_no_part_of_it_is(windows in prop::collection::vec(seen(), 0..6), is_composited in any::<bool>(), cut in any::<prop::sample::Index>()) {
            let said = Report { windows, is_composited };
            let report = write(&said);
            let (head, body) = report.split_first_chunk::<4>().unwrap();
            prop_assert_eq!(length(*head), Ok(body.len()));
            prop_assert_eq!(read(body), Ok(said));
            let part = &body[..cut.index(body.len())];
            prop_assert_eq!(read(part), Err(SeenError::Length));
        }

        #[test]
        fn nonsense_is_refused_or_read_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = read(&bytes);
        }
    }
}
