//! What is asked of the state, of strings and of errors.

use vmgl_gl_stream::{Command, size};

use crate::core::{Cx, INVALID_ENUM, INVALID_VALUE};
use crate::entries::Address;
use crate::raw;
use crate::shadow::get::{Got, count, narrow};
use crate::shadow::lights::whole;

const COMPRESSED_FORMATS: u32 = 0x86a3;
const NUM_COMPRESSED_FORMATS: u32 = 0x86a2;

/// How many values the renderer is asked for.
fn wanted(cx: &mut Cx<'_>, name: u32) -> usize {
    if name != COMPRESSED_FORMATS {
        return count(name);
    }
    let answer = cx.ask(|reply| Command::GetIntegerv { reply, pname: NUM_COMPRESSED_FORMATS, data_cap: 4 });
    let number = answer.and_then(|answer| answer.outs().next().and_then(|out| out.first_chunk().copied()));
    usize::try_from(u32::from_le_bytes(number.unwrap_or_default())).unwrap_or(0).min(4096)
}

fn bytes_of(count: usize, each: u32) -> u32 {
    u32::try_from(count).unwrap_or(0).saturating_mul(each)
}

/// What a command with a reply wrote, into the program's memory.
unsafe fn ask_into<'c>(
    cx: &mut Cx<'_>,
    place: *mut u8,
    capacity: u32,
    question: impl FnOnce(u32) -> Command<'c>,
) {
    if let Some(answer) = cx.ask(question) {
        // SAFETY: the caller's.
        unsafe { raw::put(place, answer.outs().next(), capacity) };
    }
}

pub(crate) unsafe fn get_integerv(cx: &mut Cx<'_>, pname: u32, data: *mut i32) {
    if let Some(got) = cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(data, got.integers().map(narrow)) };
    }
    let capacity = bytes_of(wanted(cx, pname), 4);
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), capacity, |reply| Command::GetIntegerv {
            reply,
            pname,
            data_cap: capacity,
        });
    }
}

pub(crate) unsafe fn get_integer64v(cx: &mut Cx<'_>, pname: u32, data: *mut i64) {
    if let Some(got) = cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(data, got.integers()) };
    }
    let capacity = bytes_of(wanted(cx, pname), 8);
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), capacity, |reply| Command::GetInteger64v {
            reply,
            pname,
            data_cap: capacity,
        });
    }
}

#[expect(clippy::cast_possible_truncation, reason = "as OpenGL's own conversion")]
fn float(value: &f64) -> f32 {
    *value as f32
}

pub(crate) unsafe fn get_floatv(cx: &mut Cx<'_>, pname: u32, data: *mut f32) {
    if let Some(got) = cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(data, got.values.iter().map(float)) };
    }
    let capacity = bytes_of(wanted(cx, pname), 4);
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), capacity, |reply| Command::GetFloatv { reply, pname, data_cap: capacity });
    }
}

pub(crate) unsafe fn get_doublev(cx: &mut Cx<'_>, pname: u32, data: *mut f64) {
    if let Some(got) = cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(data, got.values) };
    }
    let capacity = bytes_of(wanted(cx, pname), 8);
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), capacity, |reply| Command::GetDoublev { reply, pname, data_cap: capacity });
    }
}

/// Bytes of so many floats; an error of the program's where its name has none.
fn capacity(cx: &mut Cx<'_>, count: Option<usize>) -> Option<u32> {
    let bytes = size::bytes(count, 4).and_then(|bytes| u32::try_from(bytes).ok());
    if bytes.is_none() {
        cx.error(INVALID_ENUM);
    }
    bytes
}

pub(crate) unsafe fn get_lightfv(cx: &mut Cx<'_>, light: u32, pname: u32, params: *mut f32) {
    if let Some(values) = cx.state.get_light(light, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(params, values.iter().map(float)) };
    }
    let Some(params_cap) = capacity(cx, size::light(pname)) else { return };
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, params.cast(), params_cap, |reply| Command::GetLightfv {
            reply,
            light,
            pname,
            params_cap,
        });
    }
}

pub(crate) unsafe fn get_materialfv(cx: &mut Cx<'_>, face: u32, pname: u32, params: *mut f32) {
    if let Some(values) = cx.state.get_material(face, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(params, values.iter().map(float)) };
    }
    let Some(params_cap) = capacity(cx, size::material(pname)) else { return };
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, params.cast(), params_cap, |reply| Command::GetMaterialfv {
            reply,
            face,
            pname,
            params_cap,
        });
    }
}

pub(crate) unsafe fn get_lightiv(cx: &mut Cx<'_>, light: u32, pname: u32, params: *mut i32) {
    if let Some(values) = cx.state.get_light(light, pname).and_then(|values| whole(pname, &values)) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(params, values) };
    }
    let Some(params_cap) = capacity(cx, size::light(pname)) else { return };
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, params.cast(), params_cap, |reply| Command::GetLightiv {
            reply,
            light,
            pname,
            params_cap,
        });
    }
}

pub(crate) unsafe fn get_materialiv(cx: &mut Cx<'_>, face: u32, pname: u32, params: *mut i32) {
    if let Some(values) = cx.state.get_material(face, pname).and_then(|values| whole(pname, &values)) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(params, values) };
    }
    let Some(params_cap) = capacity(cx, size::material(pname)) else { return };
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, params.cast(), params_cap, |reply| Command::GetMaterialiv {
            reply,
            face,
            pname,
            params_cap,
        });
    }
}

/// A number of a level of the bound texture; none if the renderer refuses to say it.
pub(super) fn level_parameter(cx: &mut Cx<'_>, target: u32, level: i32, pname: u32) -> Option<i32> {
    if let Some(value) = cx.state.get_level(cx.group, cx.caps, (target, level), pname) {
        return Some(value);
    }
    let answer =
        cx.ask(|reply| Command::GetTexLevelParameteriv { reply, target, level, pname, params_cap: 4 })?;
    answer.outs().next()?.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))
}

pub(crate) unsafe fn get_tex_level_parameteriv(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    pname: u32,
    params: *mut i32,
) {
    if let Some(value) = level_parameter(cx, target, level, pname) {
        // SAFETY: the caller's.
        unsafe { raw::set(params, value) };
    }
}

pub(crate) unsafe fn get_tex_level_parameterfv(
    cx: &mut Cx<'_>,
    target: u32,
    level: i32,
    pname: u32,
    params: *mut f32,
) {
    if let Some(value) = cx.state.get_level(cx.group, cx.caps, (target, level), pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set(params, float(&value.into())) };
    }
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, params.cast(), 4, |reply| Command::GetTexLevelParameterfv {
            reply,
            target,
            level,
            pname,
            params_cap: 4,
        });
    }
}

fn booleans(got: &Got) -> impl Iterator<Item = u8> + '_ {
    got.values.iter().map(|value| u8::from(*value != 0.0))
}

pub(crate) unsafe fn get_booleanv(cx: &mut Cx<'_>, pname: u32, data: *mut u8) {
    if let Some(got) = cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        return unsafe { raw::set_all(data, booleans(&got)) };
    }
    let capacity = bytes_of(wanted(cx, pname), 1);
    // SAFETY: the caller's.
    unsafe { ask_into(cx, data, capacity, |reply| Command::GetBooleanv { reply, pname, data_cap: capacity }) }
}

/// How many values an indexed name has.
fn indexed(target: u32) -> u32 {
    // Colour masks and blending have one for each draw buffer.
    if target == 0x0c23 { 4 } else { 1 }
}

pub(crate) unsafe fn get_booleani_v(cx: &mut Cx<'_>, target: u32, index: u32, data: *mut u8) {
    let data_cap = indexed(target);
    // SAFETY: the caller's.
    unsafe { ask_into(cx, data, data_cap, |reply| Command::GetBooleani_v { reply, target, index, data_cap }) }
}

pub(crate) unsafe fn get_integeri_v(cx: &mut Cx<'_>, target: u32, index: u32, data: *mut i32) {
    let data_cap = indexed(target) * 4;
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), data_cap, |reply| Command::GetIntegeri_v {
            reply,
            target,
            index,
            data_cap,
        });
    }
}

pub(crate) unsafe fn get_integer64i_v(cx: &mut Cx<'_>, target: u32, index: u32, data: *mut i64) {
    let data_cap = indexed(target) * 8;
    // SAFETY: the caller's.
    unsafe {
        ask_into(cx, data.cast(), data_cap, |reply| Command::GetInteger64i_v {
            reply,
            target,
            index,
            data_cap,
        });
    }
}

pub(crate) fn is_enabled(cx: &mut Cx<'_>, cap: u32) -> u8 {
    if let Some(on) = cx.state.is_on(cap) {
        return u8::from(on);
    }
    let answer = cx.ask(|reply| Command::GetBooleanv { reply, pname: cap, data_cap: 1 });
    answer.and_then(|answer| answer.outs().next().and_then(|out| out.first().copied())).unwrap_or(0)
}

pub(crate) fn is_enabledi(cx: &mut Cx<'_>, target: u32, index: u32) -> u8 {
    let answer = cx.ask(|reply| Command::GetBooleani_v { reply, target, index, data_cap: 1 });
    answer.and_then(|answer| answer.outs().next().and_then(|out| out.first().copied())).unwrap_or(0)
}

pub(crate) fn get_string(cx: &mut Cx<'_>, name: u32) -> Address {
    match cx.state.strings.get(name) {
        Some(text) => Address(text.as_ptr().cast()),
        None => {
            cx.error(INVALID_ENUM);
            Address::default()
        }
    }
}

pub(crate) fn get_stringi(cx: &mut Cx<'_>, name: u32, index: u32) -> Address {
    if name != 0x1f03 {
        cx.error(INVALID_ENUM);
        return Address::default();
    }
    let text = usize::try_from(index).ok().and_then(|index| cx.state.strings.extensions.get(index));
    match text {
        Some(text) => Address(text.as_ptr().cast()),
        None => {
            cx.error(INVALID_VALUE);
            Address::default()
        }
    }
}

/// Errors that the renderer found come late: they are told when they are here.
pub(crate) fn get_error(cx: &mut Cx<'_>) -> u32 {
    let told = cx.wire.link.errors();
    cx.wire.late.extend(told);
    let here = cx.id;
    if let Some(index) = cx.wire.late.iter().position(|(context, _)| *context == here) {
        let (_, error) = cx.wire.late.swap_remove(index);
        cx.error(error);
    }
    cx.state.take_error()
}
