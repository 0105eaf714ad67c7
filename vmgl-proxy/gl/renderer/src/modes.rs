//! Selection and feedback, whose results OpenGL writes while the mode lasts, and tables whose length OpenGL says.
//!
//! Invariant: memory that OpenGL was given for results is kept for as long as it may write there: until it was given
//! another, or the context ends.

use vmgl_gl_stream::Command;

use crate::fault::Fault;
use crate::hands::{Answer, Hands, integer};
use crate::memory::Scratch;

const RENDER_MODE: u32 = 0x0C40;
const FEEDBACK: i32 = 0x1C01;
const SELECT: i32 = 0x1C02;
const FEEDBACK_POINTER: u32 = 0x0DF0;
const SELECTION_POINTER: u32 = 0x0DF3;
/// Most numbers of results.
const MOST: usize = 1 << 22;
/// The first table's name, and that of its size.
const TABLE: u32 = 0x0C70;
const TABLE_SIZE: u32 = 0x0CB0;

/// How many numbers so many hits take: each has the number of its names, two depths, and the names.
fn taken(results: &[u32], hits: usize) -> usize {
    let mut at = 0_usize;
    for _ in 0..hits {
        let Some(names) = results.get(at).and_then(|names| usize::try_from(*names).ok()) else { break };
        at = at.saturating_add(names).saturating_add(3);
    }
    at.min(results.len())
}

impl Hands<'_> {
    /// Carries out what is written here.
    pub(crate) fn modes(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        match command {
            Command::SelectBuffer { size } => self.room(0, SELECT, size, None),
            Command::FeedbackBuffer { size, type_ } => self.room(1, FEEDBACK, size, Some(type_)),
            Command::RenderMode { reply, mode } => self.mode(reply, mode),
            Command::GetPixelMapfv { reply, map, values_cap } => {
                let call = self.gl.GetPixelMapfv.ok_or(Fault::Missing)?;
                // SAFETY: room for as many as the table has.
                self.table(reply, map, values_cap, |at| unsafe { call(map, at.cast()) })
            }
            Command::GetPixelMapuiv { reply, map, values_cap } => {
                let call = self.gl.GetPixelMapuiv.ok_or(Fault::Missing)?;
                // SAFETY: as above.
                self.table(reply, map, values_cap, |at| unsafe { call(map, at.cast()) })
            }
            Command::GetPixelMapusv { reply, map, values_cap } => {
                let call = self.gl.GetPixelMapusv.ok_or(Fault::Missing)?;
                // SAFETY: as above; these are half as long.
                self.table(reply, map, values_cap, |at| unsafe { call(map, at.cast()) })
            }
            _ => Err(Fault::NotHere),
        }
    }

    /// Gives OpenGL room for results, but not while it writes into what it has.
    fn room(
        &mut self,
        place: usize,
        mode: i32,
        size: i32,
        kind: Option<u32>,
    ) -> Result<Option<Answer>, Fault> {
        let length = usize::try_from(size).ok().filter(|size| *size <= MOST).ok_or(Fault::Value)?;
        if integer(self.gl, RENDER_MODE) == mode {
            return Err(Fault::Memory);
        }
        let ask = self.gl.GetPointerv.ok_or(Fault::Missing)?;
        let mut room = vec![0_u32; length.max(1)].into_boxed_slice();
        let mut has = std::ptr::null_mut();
        // SAFETY: room for as many as are said, which is kept if OpenGL has it then; and a place for one pointer.
        unsafe {
            match kind {
                None => (self.gl.SelectBuffer.ok_or(Fault::Missing)?)(size, room.as_mut_ptr()),
                Some(kind) => {
                    (self.gl.FeedbackBuffer.ok_or(Fault::Missing)?)(size, kind, room.as_mut_ptr().cast());
                }
            }
            ask(if kind.is_none() { SELECTION_POINTER } else { FEEDBACK_POINTER }, &raw mut has);
        }
        // A call that OpenGL refused has left it with what it had.
        if has.addr() == room.as_ptr().addr() {
            self.state.results[place] = Some(room);
        }
        Ok(None)
    }

    fn mode(&mut self, reply: u32, mode: u32) -> Result<Option<Answer>, Fault> {
        let call = self.gl.RenderMode.ok_or(Fault::Missing)?;
        let before = integer(self.gl, RENDER_MODE);
        // SAFETY: a call without pointers.
        let count = unsafe { call(mode) };
        let results = match before {
            SELECT => self.state.results[0].as_deref(),
            FEEDBACK => self.state.results[1].as_deref(),
            _ => None,
        };
        let results = results.unwrap_or_default();
        let used = match (usize::try_from(count), before) {
            // There were more than there is room for: all of it was written.
            (Err(_), _) => results.len(),
            (Ok(hits), SELECT) => taken(results, hits),
            (Ok(values), _) => values.min(results.len()),
        };
        let out = results[..used].iter().flat_map(|number| number.to_le_bytes()).collect();
        let value = u64::from(count.cast_unsigned());
        Ok(Some(Answer { reply, value, outs: vec![out] }))
    }

    fn table(
        &self,
        reply: u32,
        map: u32,
        capacity: u32,
        read: impl FnOnce(*mut u8),
    ) -> Result<Option<Answer>, Fault> {
        let index = map.checked_sub(TABLE).filter(|index| *index < 10).ok_or(Fault::Value)?;
        let entries = integer(self.gl, TABLE_SIZE + index).cast_unsigned();
        let mut scratch = Scratch::new(entries.saturating_mul(4).max(capacity))?;
        read(scratch.pointer());
        let mut out = scratch.taken();
        out.truncate(usize::try_from(capacity).unwrap_or(0));
        Ok(Some(Answer { reply, value: 0, outs: vec![out] }))
    }
}

#[cfg(test)]
mod tests {
    use super::taken;

    #[test]
    fn hits_are_as_long_as_their_names_say_and_end_with_the_room() {
        let results = [1, 10, 20, 7, 0, 10, 20, 2, 1, 2, 3, 4, 99, 0];
        assert_eq!(taken(&results, 0), 0);
        assert_eq!(taken(&results, 1), 4);
        assert_eq!(taken(&results, 2), 7);
        assert_eq!(taken(&results, 3), 12);
        assert_eq!(taken(&results, 4), results.len());
        assert_eq!(taken(&[u32::MAX], 2), 1);
    }
}
