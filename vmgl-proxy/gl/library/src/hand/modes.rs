//! Selection and feedback: the renderer keeps the results while the mode lasts, and gives them when it is left. And tables
//! whose lengths must be asked for before they are.

use vmgl_gl_stream::{Command, size};

use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;

const RENDER: u32 = 0x1c00;
const FEEDBACK: u32 = 0x1c01;
const SELECT: u32 = 0x1c02;

fn is_drawing(cx: &Cx<'_>) -> bool {
    matches!(cx.state.results.mode, 0 | RENDER)
}

pub(crate) unsafe fn select_buffer(cx: &mut Cx<'_>, size: i32, buffer: *mut u32) {
    let Ok(room) = usize::try_from(size) else { return cx.error(INVALID_VALUE) };
    if cx.state.results.mode == SELECT {
        return cx.error(INVALID_OPERATION);
    }
    cx.state.results.selection = (buffer.expose_provenance(), room);
    cx.send(Command::SelectBuffer { size });
}

pub(crate) unsafe fn feedback_buffer(cx: &mut Cx<'_>, size: i32, kind: u32, buffer: *mut f32) {
    let Ok(room) = usize::try_from(size) else { return cx.error(INVALID_VALUE) };
    if !(0x0600..=0x0604).contains(&kind) {
        return cx.error(INVALID_ENUM);
    }
    if cx.state.results.mode == FEEDBACK {
        return cx.error(INVALID_OPERATION);
    }
    cx.state.results.feedback = (buffer.expose_provenance(), room);
    cx.state.results.kind = kind;
    cx.send(Command::FeedbackBuffer { size, type_: kind });
}

/// Only who leaves a mode has to wait: entering one returns nought.
pub(crate) fn render_mode(cx: &mut Cx<'_>, mode: u32) -> i32 {
    let room = match mode {
        RENDER => usize::MAX,
        FEEDBACK => cx.state.results.feedback.1,
        SELECT => cx.state.results.selection.1,
        _ => {
            cx.error(INVALID_ENUM);
            return 0;
        }
    };
    if room == 0 {
        cx.error(INVALID_OPERATION);
        return 0;
    }
    if is_drawing(cx) {
        cx.state.results.enter(mode);
        let reply = cx.wire.reply();
        cx.wire.put(&Command::RenderMode { reply, mode });
        cx.wire.link.disregard(reply);
        return 0;
    }
    let results = &cx.state.results;
    let (address, room) = if results.mode == SELECT { results.selection } else { results.feedback };
    // A renderer that is lost meanwhile is followed by one in the mode that was, which is asked again.
    let answer = cx.ask(|reply| Command::RenderMode { reply, mode });
    if answer.is_some() || !cx.wire.is_unanswered() {
        cx.state.results.enter(mode);
    }
    let Some(answer) = answer else { return 0 };
    let place = std::ptr::with_exposed_provenance_mut(address);
    let capacity = u32::try_from(room.saturating_mul(4)).unwrap_or(u32::MAX);
    // SAFETY: the program gave this place for so many numbers, and keeps it until the mode is left.
    unsafe { raw::put(place, answer.outs().next(), capacity) };
    answer.low().cast_signed()
}

/// How many numbers an evaluator's answer has.
fn map_count(cx: &mut Cx<'_>, target: u32, query: u32) -> Option<usize> {
    let components = size::map_components(target)?;
    let directions = if target < 0x0db0 { 1 } else { 2 };
    match query {
        0x0a00 => {
            let v_cap = 8;
            let answer = cx.ask(|reply| Command::GetMapiv { reply, target, query: 0x0a01, v_cap })?;
            let orders = answer.outs().next()?.as_chunks::<4>().0.iter().take(directions);
            let order = |bytes: &[u8; 4]| usize::try_from(i32::from_le_bytes(*bytes)).unwrap_or(0).min(64);
            Some(orders.map(order).product::<usize>() * components)
        }
        0x0a01 => Some(directions),
        0x0a02 => Some(2 * directions),
        _ => None,
    }
}

macro_rules! maps {
    ($($function:ident, $Command:ident, $number:ty;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, target: u32, query: u32, place: *mut $number) {
            let bytes = size::bytes(map_count(cx, target, query), size_of::<$number>());
            let Some(v_cap) = bytes.and_then(|bytes| u32::try_from(bytes).ok()) else {
                return cx.error(INVALID_ENUM);
            };
            if let Some(answer) = cx.ask(|reply| Command::$Command { reply, target, query, v_cap }) {
                // SAFETY: the caller's: as many as the evaluator has.
                unsafe { raw::put(place.cast(), answer.outs().next(), v_cap) };
            }
        }
    )*};
}

maps! {
    get_mapdv, GetMapdv, f64;
    get_mapfv, GetMapfv, f32;
    get_mapiv, GetMapiv, i32;
}

macro_rules! tables {
    ($($function:ident, $Command:ident, $number:ty;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, map: u32, place: *mut $number) {
            if !(0x0c70..=0x0c79).contains(&map) {
                return cx.error(INVALID_ENUM);
            }
            if cx.state.pack_buffer() != 0 {
                return cx.error(INVALID_OPERATION);
            }
            let pname = map - 0x0c70 + 0x0cb0;
            let answer = cx.ask(|reply| Command::GetIntegerv { reply, pname, data_cap: 4 });
            let entries = answer.and_then(|answer| answer.outs().next()?.first_chunk().copied());
            let entries = u32::from_le_bytes(entries.unwrap_or_default());
            let each = u32::try_from(size_of::<$number>()).unwrap_or(4);
            let values_cap = entries.saturating_mul(each);
            if let Some(answer) = cx.ask(|reply| Command::$Command { reply, map, values_cap }) {
                // SAFETY: the caller's: as many as the table has.
                unsafe { raw::put(place.cast(), answer.outs().next(), values_cap) };
            }
        }
    )*};
}

tables! {
    get_pixel_mapfv, GetPixelMapfv, f32;
    get_pixel_mapuiv, GetPixelMapuiv, u32;
    get_pixel_mapusv, GetPixelMapusv, u16;
}
