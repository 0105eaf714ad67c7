//! What a program asks of its linked programs: answered from the one reflection of each.

use vmgl_gl_stream::{Command, Reflection, Uniform};

use super::programs::reflection;
use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;

const NONE: u32 = u32::MAX;

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The longest name with its NUL.
fn longest<'n>(names: impl Iterator<Item = &'n str>) -> i32 {
    names.map(|name| number(name.len() + 1)).max().unwrap_or(0)
}

pub(crate) unsafe fn get_programiv(cx: &mut Cx<'_>, program: u32, pname: u32, params: *mut i32) {
    let Some(it) = cx.group.program(program) else { return super::named::wrong_program(cx, program) };
    let value = match pname {
        0x8b80 => it.doomed.into(),
        0x8b85 => number(it.shaders.len()),
        _ => {
            let empty = Reflection::default();
            let what = match reflection(cx, program) {
                Some(it) => it,
                None => &empty,
            };
            let uniforms = || what.uniforms.iter().map(|it| it.name.as_str());
            let attributes = || what.attributes.iter().map(|it| it.name.as_str());
            match pname {
                // Linked; what was linked is valid as far as is known here.
                0x8b82 | 0x8b83 => what.linked.into(),
                0x8b84 if what.log.is_empty() => 0,
                0x8b84 => number(what.log.len() + 1),
                0x8b86 => number(what.uniforms.len()),
                0x8b87 => longest(uniforms()),
                0x8b89 => number(what.attributes.len()),
                0x8b8a => longest(attributes()),
                0x8a36 => number(what.blocks.len()),
                0x8a35 => longest(what.blocks.iter().map(|it| it.name.as_str())),
                0x8c83 => number(what.varyings.len()),
                0x8c76 => longest(what.varyings.iter().map(|it| it.name.as_str())),
                _ => return cx.error(INVALID_ENUM),
            }
        }
    };
    // SAFETY: the caller's.
    unsafe { raw::set(params, value) };
}

pub(crate) unsafe fn get_program_info_log(
    cx: &mut Cx<'_>,
    program: u32,
    room: i32,
    length: *mut i32,
    log: *mut u8,
) {
    let text = reflection(cx, program).map(|it| it.log.as_str()).unwrap_or_default();
    // SAFETY: the caller's.
    unsafe { raw::put_text(log, room, length, text) };
}

fn text(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

pub(crate) unsafe fn get_attrib_location(cx: &mut Cx<'_>, program: u32, name: *const u8) -> i32 {
    // SAFETY: the caller's.
    let name = text(unsafe { raw::text(name.cast()) });
    let Some(what) = reflection(cx, program) else { return -1 };
    if !what.linked {
        cx.error(INVALID_OPERATION);
        return -1;
    }
    what.attributes.iter().find(|it| it.name == name).map_or(-1, |it| it.location)
}

/// `name`, `name[0]` and `name[n]` of an array.
fn location(what: &Reflection, name: &str) -> i32 {
    let at = |it: &Uniform, index: usize| it.locations.get(index).copied().unwrap_or(-1);
    if let Some(it) = what.uniforms.iter().find(|it| it.name == name) {
        return at(it, 0);
    }
    let (stem, index) = match name.strip_suffix(']').and_then(|name| name.rsplit_once('[')) {
        Some((stem, index)) => match index.parse() {
            Ok(index) => (stem, index),
            Err(_) => return -1,
        },
        None => (name, 0),
    };
    let is = |it: &&Uniform| it.name == stem || it.name.strip_suffix("[0]") == Some(stem);
    what.uniforms.iter().find(is).map_or(-1, |it| at(it, index))
}

pub(crate) unsafe fn get_uniform_location(cx: &mut Cx<'_>, program: u32, name: *const u8) -> i32 {
    // SAFETY: the caller's.
    let name = text(unsafe { raw::text(name.cast()) });
    let Some(what) = reflection(cx, program) else { return -1 };
    if !what.linked {
        cx.error(INVALID_OPERATION);
        return -1;
    }
    location(what, name)
}

fn at<T>(list: &[T], index: u32) -> Option<&T> {
    list.get(usize::try_from(index).ok()?)
}

macro_rules! active {
    ($($function:ident, $list:ident;)*) => {$(
        pub(crate) unsafe fn $function(
            cx: &mut Cx<'_>,
            program: u32,
            index: u32,
            room: i32,
            length: *mut i32,
            size: *mut i32,
            kind: *mut u32,
            name: *mut u8,
        ) {
            let Some(what) = reflection(cx, program) else { return };
            let Some(it) = at(&what.$list, index) else { return cx.error(INVALID_VALUE) };
            // SAFETY: the caller's.
            unsafe {
                raw::put_text(name, room, length, &it.name);
                raw::set(size, it.size);
                raw::set(kind, it.kind);
            }
        }
    )*};
}

active! {
    get_active_attrib, attributes;
    get_active_uniform, uniforms;
    get_transform_feedback_varying, varyings;
}

pub(crate) unsafe fn get_active_uniform_name(
    cx: &mut Cx<'_>,
    program: u32,
    index: u32,
    room: i32,
    length: *mut i32,
    name: *mut u8,
) {
    let Some(what) = reflection(cx, program) else { return };
    let Some(it) = at(&what.uniforms, index) else { return cx.error(INVALID_VALUE) };
    // SAFETY: the caller's.
    unsafe { raw::put_text(name, room, length, &it.name) };
}

pub(crate) unsafe fn get_active_uniformsiv(
    cx: &mut Cx<'_>,
    program: u32,
    count: i32,
    indices: *const u32,
    pname: u32,
    params: *mut i32,
) {
    let Ok(count) = usize::try_from(count) else { return cx.error(INVALID_VALUE) };
    let Some(what) = reflection(cx, program) else { return };
    let mut values = Vec::new();
    for place in 0..count {
        // SAFETY: the caller's.
        let index = unsafe { indices.add(place).read_unaligned() };
        let Some(it) = at(&what.uniforms, index) else { return cx.error(INVALID_VALUE) };
        values.push(match pname {
            0x8a37 => it.kind.cast_signed(),
            0x8a38 => it.size,
            0x8a39 => number(it.name.len() + 1),
            0x8a3a => it.block,
            0x8a3b => it.offset,
            0x8a3c => it.array_stride,
            0x8a3d => it.matrix_stride,
            0x8a3e => it.row_major,
            _ => return cx.error(INVALID_ENUM),
        });
    }
    // SAFETY: the caller's.
    unsafe { raw::set_all(params, values) };
}

pub(crate) unsafe fn get_uniform_indices(
    cx: &mut Cx<'_>,
    program: u32,
    count: i32,
    names: *const *const u8,
    indices: *mut u32,
) {
    let Ok(count) = usize::try_from(count) else { return cx.error(INVALID_VALUE) };
    let Some(what) = reflection(cx, program) else { return };
    for place in 0..count {
        // SAFETY: the caller's.
        let name = text(unsafe { raw::text(names.add(place).read_unaligned().cast()) });
        let is = |it: &Uniform| it.name == name || it.name.strip_suffix("[0]") == Some(name);
        let index = what.uniforms.iter().position(is).and_then(|index| u32::try_from(index).ok());
        // SAFETY: the caller's.
        unsafe { raw::set(indices.wrapping_add(place), index.unwrap_or(NONE)) };
    }
}

pub(crate) unsafe fn get_uniform_block_index(cx: &mut Cx<'_>, program: u32, name: *const u8) -> u32 {
    // SAFETY: the caller's.
    let name = text(unsafe { raw::text(name.cast()) });
    let Some(what) = reflection(cx, program) else { return NONE };
    let index = what.blocks.iter().position(|block| block.name == name);
    index.and_then(|index| u32::try_from(index).ok()).unwrap_or(NONE)
}

pub(crate) unsafe fn get_active_uniform_blockiv(
    cx: &mut Cx<'_>,
    program: u32,
    index: u32,
    pname: u32,
    params: *mut i32,
) {
    let set = cx.group.program(program).and_then(|it| it.blocks.get(&index).copied());
    let Some(what) = reflection(cx, program) else { return };
    let Some(it) = at(&what.blocks, index) else { return cx.error(INVALID_VALUE) };
    let stage = |bit: u32| i32::from(it.stages & 1 << bit != 0);
    let values = match pname {
        0x8a3f => vec![set.map_or(it.binding, u32::cast_signed)],
        0x8a40 => vec![it.size],
        0x8a41 => vec![number(it.name.len() + 1)],
        0x8a42 => vec![number(it.uniforms.len())],
        0x8a43 => it.uniforms.clone(),
        0x8a44 => vec![stage(0)],
        0x8a45 => vec![stage(2)],
        0x8a46 => vec![stage(1)],
        _ => return cx.error(INVALID_ENUM),
    };
    // SAFETY: the caller's.
    unsafe { raw::set_all(params, values) };
}

pub(crate) unsafe fn get_active_uniform_block_name(
    cx: &mut Cx<'_>,
    program: u32,
    index: u32,
    room: i32,
    length: *mut i32,
    name: *mut u8,
) {
    let Some(what) = reflection(cx, program) else { return };
    let Some(it) = at(&what.blocks, index) else { return cx.error(INVALID_VALUE) };
    // SAFETY: the caller's.
    unsafe { raw::put_text(name, room, length, &it.name) };
}

/// Numbers of a uniform of that type.
fn components(kind: u32) -> u32 {
    match kind {
        0x8b50 | 0x8b53 | 0x8b57 | 0x8dc6 => 2,
        0x8b51 | 0x8b54 | 0x8b58 | 0x8dc7 => 3,
        0x8b52 | 0x8b55 | 0x8b59 | 0x8dc8 | 0x8b5a => 4,
        0x8b65 | 0x8b67 => 6,
        0x8b66 | 0x8b69 => 8,
        0x8b5b => 9,
        0x8b68 | 0x8b6a => 12,
        0x8b5c => 16,
        _ => 1,
    }
}

/// Bytes of a uniform's value; none if there is no such uniform.
fn uniform_bytes(cx: &mut Cx<'_>, program: u32, location: i32) -> Option<u32> {
    let what = reflection(cx, program)?;
    match what.uniforms.iter().find(|it| it.locations.contains(&location)) {
        Some(it) => Some(components(it.kind) * 4),
        None => {
            cx.error(INVALID_OPERATION);
            None
        }
    }
}

macro_rules! uniform_gets {
    ($($function:ident, $variant:ident, $number:ty;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, program: u32, location: i32, params: *mut $number) {
            let Some(params_cap) = uniform_bytes(cx, program, location) else { return };
            let location = cx.location(program, location);
            let answer = cx.ask(|reply| Command::$variant { reply, program, location, params_cap });
            if let Some(answer) = answer {
                // SAFETY: the caller's.
                unsafe { raw::put(params.cast(), answer.outs().next(), params_cap) };
            }
        }
    )*};
}

uniform_gets! {
    get_uniformfv, GetUniformfv, f32;
    get_uniformiv, GetUniformiv, i32;
    get_uniformuiv, GetUniformuiv, u32;
}

#[cfg(test)]
mod tests {
    use vmgl_gl_stream::{Reflection, Uniform};

    use super::location;

    #[test]
    fn elements_of_arrays_are_found_by_any_of_their_names() {
        let lights = Uniform { name: "lights[0]".to_owned(), locations: vec![4, 6, 8], ..Uniform::default() };
        let view = Uniform { name: "view".to_owned(), locations: vec![1], ..Uniform::default() };
        let what = Reflection { linked: true, uniforms: vec![lights, view], ..Reflection::default() };
        assert_eq!(location(&what, "lights"), 4);
        assert_eq!(location(&what, "lights[0]"), 4);
        assert_eq!(location(&what, "lights[2]"), 8);
        assert_eq!(location(&what, "lights[3]"), -1);
        assert_eq!(location(&what, "view"), 1);
        assert_eq!(location(&what, "absent"), -1);
    }
}
