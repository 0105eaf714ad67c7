//! Drawings that a list records and that take their vertices out of buffers. A list has what the buffers hold at that moment,
//! whatever becomes of them: so that is what is kept of it, as if it came out of the program's memory.

use std::ops::Range;

use super::draws::{MOST, Used};
use crate::core::Cx;
use crate::shadow::arrays::Array;

/// Elements up to `end`, and so many instances of them, are about to be drawn. If that is recorded, what arrays in buffers hold
/// of them is kept with the list; where that is not known here, nor how many they are, the list cannot be kept.
pub(super) fn keep_arrays(cx: &mut Cx<'_>, end: Option<usize>, instances: usize) {
    if cx.state.recording().is_none() {
        return;
    }
    let in_buffer = |array: &Array| array.enabled && array.buffer != 0;
    let kept = end.and_then(|end| {
        let used = Used { elements: 0..end, instances };
        used.put(cx, in_buffer, held, |cx, command| cx.state.note_array(command))
    });
    if kept.is_none() {
        cx.state.spoil_list();
    }
}

/// What an array in a buffer holds of these elements.
fn held(cx: &Cx<'_>, array: &Array, elements: Range<usize>) -> Option<Vec<u8>> {
    let buffer = cx.group.stored.get(&array.buffer).filter(|buffer| !buffer.stale)?;
    let (each, step) = (array.element_bytes()?, array.step()?);
    let total = elements.len().checked_mul(each).filter(|bytes| *bytes <= MOST)?;
    let mut bytes = Vec::with_capacity(total);
    for element in elements {
        let start = array.pointer.checked_add(element.checked_mul(step)?)?;
        bytes.extend_from_slice(buffer.data.get(start..start.checked_add(each)?)?);
    }
    Some(bytes)
}
