//! Writes sessions as they are recorded.

use std::io::{self, Write};
use std::time::Duration;

use super::{
    Act, BUTTONS, END, EXTENDED_KEY, INPUTS_MAX, KEY, LENGTH_MAX, MAGIC, PACKED_MAX, POINTER, SNAPSHOT,
    Snapshot, VERSION,
};

/// Writes one session. Until it is finished a reader calls it cut off.
#[derive(Debug)]
pub struct Writer<W> {
    output: W,
    before: Duration,
    buttons: u8,
    inputs: usize,
    packed: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header: the size of the screen.
    ///
    /// # Errors
    /// What writing gives.
    pub fn new(mut output: W, width: u16, height: u16) -> io::Result<Self> {
        let mut bytes = MAGIC.to_vec();
        for field in [VERSION, width, height, 0] {
            bytes.extend(field.to_le_bytes());
        }
        output.write_all(&bytes)?;
        Ok(Self { output, before: Duration::ZERO, buttons: 0, inputs: 0, packed: 0 })
    }

    /// Whether this presses or releases a button, and so needs a snapshot.
    #[must_use]
    pub fn is_button(&self, act: Act) -> bool {
        matches!(act, Act::Pointer { buttons, .. } if (buttons ^ self.buttons) & BUTTONS != 0)
    }

    /// Writes an input that was `at` after the beginning; a button's snapshot is asked for.
    ///
    /// # Errors
    /// What writing gives; when the session is longer or larger than one may be.
    pub fn input(&mut self, at: Duration, act: Act, snapshot: impl FnOnce() -> Snapshot) -> io::Result<()> {
        let at = at.max(self.before);
        if at > LENGTH_MAX || self.inputs == INPUTS_MAX || self.packed > PACKED_MAX / 2 {
            return Err(io::Error::other(format!(
                "a session has at most {INPUTS_MAX} inputs, {LENGTH_MAX:?} and {} MiB of snapshots",
                PACKED_MAX >> 21
            )));
        }
        let mut bytes = Vec::new();
        if self.is_button(act) {
            let Snapshot { rect, packed } = snapshot();
            head(&mut bytes, SNAPSHOT, at);
            [rect.x, rect.y, rect.w, rect.h].iter().for_each(|field| bytes.extend(field.to_le_bytes()));
            let len = u32::try_from(packed.len()).map_err(io::Error::other)?;
            bytes.extend(len.to_le_bytes());
            bytes.extend(packed);
            self.packed += u64::from(len);
        }
        match act {
            Act::Key { down, keysym, keycode } => {
                head(&mut bytes, if keycode.is_some() { EXTENDED_KEY } else { KEY }, at);
                bytes.push(u8::from(down));
                bytes.extend(keysym.to_le_bytes());
                bytes.extend(keycode.into_iter().flat_map(u32::to_le_bytes));
            }
            Act::Pointer { buttons, x, y } => {
                head(&mut bytes, POINTER, at);
                bytes.push(buttons);
                bytes.extend([x, y].into_iter().flat_map(u16::to_le_bytes));
                self.buttons = buttons;
            }
        }
        self.output.write_all(&bytes)?;
        (self.before, self.inputs) = (at, self.inputs + 1);
        Ok(())
    }

    /// How many inputs were written.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Ends the session, which lasted so long, and gives back what was written to, flushed.
    ///
    /// # Errors
    /// What writing gives.
    pub fn finish(mut self, length: Duration) -> io::Result<W> {
        let mut bytes = Vec::new();
        head(&mut bytes, END, length.clamp(self.before, LENGTH_MAX));
        bytes.extend(u32::try_from(self.inputs).map_err(io::Error::other)?.to_le_bytes());
        self.output.write_all(&bytes)?;
        self.output.flush()?;
        Ok(self.output)
    }
}

fn head(bytes: &mut Vec<u8>, kind: u8, at: Duration) {
    bytes.push(kind);
    bytes.extend(u64::try_from(at.as_micros()).unwrap_or(u64::MAX).to_le_bytes());
}
