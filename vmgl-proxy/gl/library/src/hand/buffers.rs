//! Buffers: mapped from what is kept of them here, read from it, and asked for.

use vmgl_gl_stream::{Command, Data};

use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::entries::Address;
use crate::raw;
use crate::shadow::{Buffer, Map};

const READ: u32 = 1;
const WRITE: u32 = 2;
const FLUSH_EXPLICIT: u32 = 0x10;

/// The name of the buffer bound to a target; an error if there is none.
fn bound(cx: &mut Cx<'_>, target: u32) -> Option<u32> {
    match cx.state.bound_buffer(target) {
        None => cx.error(INVALID_ENUM),
        Some(0) => cx.error(INVALID_OPERATION),
        Some(name) => return Some(name),
    }
    None
}

/// What the renderer wrote into a buffer is brought here.
fn refresh(cx: &mut Cx<'_>, target: u32, name: u32) {
    let Some(size) = cx.group.stored.get(&name).filter(|it| it.stale).map(|it| it.data.len()) else { return };
    let (Ok(length), Ok(data_cap)) = (i64::try_from(size), u32::try_from(size)) else { return };
    let answer =
        cx.ask(|reply| Command::GetBufferSubData { reply, target, offset: 0, size: length, data_cap });
    if let (Some(answer), Some(buffer)) = (answer, cx.group.stored.get_mut(&name))
        && let Some(bytes) = answer.outs().next()
        && bytes.len() == buffer.data.len()
    {
        buffer.data.copy_from_slice(bytes);
        buffer.stale = false;
    }
}

fn map(cx: &mut Cx<'_>, target: u32, range: impl FnOnce(&Buffer) -> Option<Map>) -> Address {
    let Some(name) = bound(cx, target) else { return Address::default() };
    refresh(cx, target, name);
    if cx.wire.is_unanswered() {
        return Address::default();
    }
    let Some(buffer) = cx.group.stored.get_mut(&name) else { return Address::default() };
    if buffer.map.is_some() {
        cx.error(INVALID_OPERATION);
        return Address::default();
    }
    let Some(map) = range(buffer) else {
        cx.error(INVALID_VALUE);
        return Address::default();
    };
    buffer.map = Some(map);
    match buffer.data.get_mut(map.offset..) {
        // The program keeps it until it unmaps; a buffer that is mapped is not moved.
        Some(bytes) => Address(bytes.as_mut_ptr().cast_const().cast()),
        None => Address::default(),
    }
}

pub(crate) fn map_buffer(cx: &mut Cx<'_>, target: u32, access: u32) -> Address {
    let access = match access {
        0x88b8 => READ,
        0x88b9 => WRITE,
        0x88ba => READ | WRITE,
        _ => {
            cx.error(INVALID_ENUM);
            return Address::default();
        }
    };
    map(cx, target, |buffer| Some(Map { offset: 0, length: buffer.data.len(), access }))
}

pub(crate) fn map_buffer_range(
    cx: &mut Cx<'_>,
    target: u32,
    offset: i64,
    length: i64,
    access: u32,
) -> Address {
    map(cx, target, |buffer| {
        let (offset, length) = (usize::try_from(offset).ok()?, usize::try_from(length).ok()?);
        let fits = offset.checked_add(length)? <= buffer.data.len() && access & (READ | WRITE) != 0;
        fits.then_some(Map { offset, length, access })
    })
}

/// Sends a part of what is kept here.
fn write_back(cx: &mut Cx<'_>, target: u32, name: u32, offset: usize, length: usize) {
    let Some(buffer) = cx.group.stored.get(&name) else { return };
    let bytes = offset.checked_add(length).and_then(|end| buffer.data.get(offset..end));
    let (Some(bytes), Ok(offset), Ok(size)) = (bytes, i64::try_from(offset), i64::try_from(length)) else {
        return;
    };
    if !bytes.is_empty() {
        // It is here already: the shadow need not be told.
        cx.wire.put(&Command::BufferSubData { target, offset, size, data: Data::Memory(bytes) });
    }
}

pub(crate) fn flush_mapped_buffer_range(cx: &mut Cx<'_>, target: u32, offset: i64, length: i64) {
    let Some(name) = bound(cx, target) else { return };
    let map = cx.group.stored.get(&name).and_then(|buffer| buffer.map);
    let Some(map) = map.filter(|map| map.access & FLUSH_EXPLICIT != 0) else {
        return cx.error(INVALID_OPERATION);
    };
    match (usize::try_from(offset), usize::try_from(length)) {
        (Ok(offset), Ok(length)) if offset.checked_add(length).is_some_and(|end| end <= map.length) => {
            write_back(cx, target, name, map.offset + offset, length);
        }
        _ => cx.error(INVALID_VALUE),
    }
}

pub(crate) fn unmap_buffer(cx: &mut Cx<'_>, target: u32) -> u8 {
    let Some(name) = bound(cx, target) else { return 0 };
    let Some(map) = cx.group.stored.get_mut(&name).and_then(|buffer| buffer.map.take()) else {
        cx.error(INVALID_OPERATION);
        return 0;
    };
    if map.access & WRITE != 0 && map.access & FLUSH_EXPLICIT == 0 {
        write_back(cx, target, name, map.offset, map.length);
    }
    1
}

pub(crate) unsafe fn get_buffer_sub_data(
    cx: &mut Cx<'_>,
    target: u32,
    offset: i64,
    size: i64,
    data: *mut u8,
) {
    let Some(name) = bound(cx, target) else { return };
    refresh(cx, target, name);
    if cx.wire.is_unanswered() {
        return;
    }
    let range = usize::try_from(offset).ok().zip(usize::try_from(size).ok());
    let held = cx
        .group
        .stored
        .get(&name)
        .zip(range)
        .and_then(|(buffer, (offset, size))| buffer.data.get(offset..offset.checked_add(size)?));
    match held {
        // SAFETY: the caller's.
        Some(bytes) => unsafe { raw::put(data, Some(bytes), u32::try_from(bytes.len()).unwrap_or(0)) },
        None => cx.error(INVALID_VALUE),
    }
}

fn parameter(cx: &mut Cx<'_>, target: u32, pname: u32) -> Option<i64> {
    let name = bound(cx, target)?;
    let buffer = cx.group.stored.get(&name)?;
    let length = |bytes: usize| i64::try_from(bytes).unwrap_or(i64::MAX);
    Some(match (pname, buffer.map) {
        (0x8764, _) => length(buffer.data.len()),
        (0x8765, _) => buffer.usage.into(),
        (0x88bb, Some(map)) => match map.access & (READ | WRITE) {
            READ => 0x88b8,
            WRITE => 0x88b9,
            _ => 0x88ba,
        },
        (0x88bb, None) => 0x88ba,
        (0x88bc, map) => map.is_some().into(),
        (0x911f, map) => map.map_or(0, |map| map.access.into()),
        (0x9120, map) => map.map_or(0, |map| length(map.length)),
        (0x9121, map) => map.map_or(0, |map| length(map.offset)),
        _ => {
            cx.error(INVALID_ENUM);
            return None;
        }
    })
}

pub(crate) unsafe fn get_buffer_parameteriv(cx: &mut Cx<'_>, target: u32, pname: u32, params: *mut i32) {
    if let Some(value) = parameter(cx, target, pname) {
        // SAFETY: the caller's.
        unsafe { raw::set(params, i32::try_from(value).unwrap_or(i32::MAX)) };
    }
}

pub(crate) unsafe fn get_buffer_parameteri64v(cx: &mut Cx<'_>, target: u32, pname: u32, params: *mut i64) {
    if let Some(value) = parameter(cx, target, pname) {
        // SAFETY: the caller's.
        unsafe { raw::set(params, value) };
    }
}

pub(crate) unsafe fn get_buffer_pointerv(cx: &mut Cx<'_>, target: u32, pname: u32, params: *mut *mut u8) {
    if pname != 0x88bd {
        return cx.error(INVALID_ENUM);
    }
    let Some(name) = bound(cx, target) else { return };
    let buffer = cx.group.stored.get_mut(&name);
    let place = buffer.and_then(|buffer| {
        let map = buffer.map?;
        buffer.data.get_mut(map.offset..).map(<[u8]>::as_mut_ptr)
    });
    // SAFETY: the caller's.
    unsafe { raw::set(params, place.unwrap_or(std::ptr::null_mut())) };
}
