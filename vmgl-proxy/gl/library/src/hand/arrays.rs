//! Where vertices are. What lies in a buffer is told to the renderer at once; what lies in the program's memory is copied
//! when it is drawn ([`super::draws`]).

use vmgl_gl_stream::{Command, Data};

use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;
use crate::shadow::arrays::{Array, Fixed};

/// Changes an array, and tells it if it lies in a buffer.
fn place(
    cx: &mut Cx<'_>,
    which: impl FnOnce(&mut crate::shadow::State) -> Option<&mut Array>,
    (size, kind, stride): (i32, u32, i32),
    pointer: *const u8,
    tell: impl FnOnce(Data<'static>) -> Command<'static>,
) {
    if stride < 0 {
        return cx.error(INVALID_VALUE);
    }
    let buffer = cx.state.buffers[0];
    if buffer == 0 && cx.state.api == 1 && !pointer.is_null() {
        return cx.error(INVALID_OPERATION);
    }
    let Some(array) = which(cx.state) else { return cx.error(INVALID_VALUE) };
    (array.size, array.kind, array.stride) = (size, kind, stride);
    (array.pointer, array.buffer) = (pointer.addr(), buffer);
    if buffer != 0 {
        cx.send(tell(Data::Offset(pointer.addr() as u64)));
    }
}

pub(crate) unsafe fn vertex_pointer(cx: &mut Cx<'_>, size: i32, type_: u32, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::Vertex)),
        (size, type_, stride),
        pointer,
        |pointer| Command::VertexPointer { size, type_, stride, pointer },
    );
}

pub(crate) unsafe fn normal_pointer(cx: &mut Cx<'_>, type_: u32, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::Normal)),
        (3, type_, stride),
        pointer,
        |pointer| Command::NormalPointer { type_, stride, pointer },
    );
}

pub(crate) unsafe fn color_pointer(cx: &mut Cx<'_>, size: i32, type_: u32, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::Color)),
        (size, type_, stride),
        pointer,
        |pointer| Command::ColorPointer { size, type_, stride, pointer },
    );
}

pub(crate) unsafe fn index_pointer(cx: &mut Cx<'_>, type_: u32, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::Index)),
        (1, type_, stride),
        pointer,
        |pointer| Command::IndexPointer { type_, stride, pointer },
    );
}

pub(crate) unsafe fn edge_flag_pointer(cx: &mut Cx<'_>, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::EdgeFlag)),
        (1, 0x1401, stride),
        pointer,
        |pointer| Command::EdgeFlagPointer { stride, pointer },
    );
}

pub(crate) unsafe fn fog_coord_pointer(cx: &mut Cx<'_>, type_: u32, stride: i32, pointer: *const u8) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::FogCoord)),
        (1, type_, stride),
        pointer,
        |pointer| Command::FogCoordPointer { type_, stride, pointer },
    );
}

pub(crate) unsafe fn secondary_color_pointer(
    cx: &mut Cx<'_>,
    size: i32,
    type_: u32,
    stride: i32,
    pointer: *const u8,
) {
    place(
        cx,
        |state| Some(state.arrays().fixed(Fixed::SecondaryColor)),
        (size, type_, stride),
        pointer,
        |pointer| Command::SecondaryColorPointer { size, type_, stride, pointer },
    );
}

pub(crate) unsafe fn tex_coord_pointer(
    cx: &mut Cx<'_>,
    size: i32,
    type_: u32,
    stride: i32,
    pointer: *const u8,
) {
    let unit = cx.state.client_active;
    place(
        cx,
        |state| state.arrays().textures.get_mut(unit),
        (size, type_, stride),
        pointer,
        |pointer| Command::TexCoordPointer { size, type_, stride, pointer },
    );
}

fn generic(state: &mut crate::shadow::State, index: u32) -> Option<&mut Array> {
    let index = usize::try_from(index).ok()?;
    state.arrays().generic.get_mut(index)
}

pub(crate) unsafe fn vertex_attrib_pointer(
    cx: &mut Cx<'_>,
    index: u32,
    size: i32,
    type_: u32,
    normalized: u8,
    stride: i32,
    pointer: *const u8,
) {
    if let Some(array) = generic(cx.state, index) {
        (array.normalized, array.integer) = (normalized != 0, false);
    }
    let normalized = u32::from(normalized);
    place(
        cx,
        |state| generic(state, index),
        (size, type_, stride),
        pointer,
        |pointer| Command::VertexAttribPointer { index, size, type_, normalized, stride, pointer },
    );
}

pub(crate) unsafe fn vertex_attrib_ipointer(
    cx: &mut Cx<'_>,
    index: u32,
    size: i32,
    type_: u32,
    stride: i32,
    pointer: *const u8,
) {
    if let Some(array) = generic(cx.state, index) {
        (array.normalized, array.integer) = (false, true);
    }
    place(
        cx,
        |state| generic(state, index),
        (size, type_, stride),
        pointer,
        |pointer| Command::VertexAttribIPointer { index, size, type_, stride, pointer },
    );
}

/// Texture coordinates, colour and normal of a format of `glInterleavedArrays`: components (and whether the colour is of
/// bytes), then the vertex's.
type Format = (i32, (i32, bool), bool, i32);

fn format(name: u32) -> Option<Format> {
    Some(match name {
        0x2a20 => (0, (0, false), false, 2),
        0x2a21 => (0, (0, false), false, 3),
        0x2a22 => (0, (4, true), false, 2),
        0x2a23 => (0, (4, true), false, 3),
        0x2a24 => (0, (3, false), false, 3),
        0x2a25 => (0, (0, false), true, 3),
        0x2a26 => (0, (4, false), true, 3),
        0x2a27 => (2, (0, false), false, 3),
        0x2a28 => (4, (0, false), false, 4),
        0x2a29 => (2, (4, true), false, 3),
        0x2a2a => (2, (3, false), false, 3),
        0x2a2b => (2, (0, false), true, 3),
        0x2a2c => (2, (4, false), true, 3),
        0x2a2d => (4, (4, false), true, 4),
        _ => return None,
    })
}

/// Is the calls that it stands for.
pub(crate) unsafe fn interleaved_arrays(cx: &mut Cx<'_>, name: u32, stride: i32, pointer: *const u8) {
    const FLOAT: u32 = 0x1406;
    let Some((texture, (color, bytes), normal, vertex)) = format(name) else { return cx.error(INVALID_ENUM) };
    let color_bytes = if bytes { 4 } else { color * 4 };
    let whole = texture * 4 + color_bytes + if normal { 12 } else { 0 } + vertex * 4;
    let stride = if stride == 0 { whole } else { stride };
    let enable = |cx: &mut Cx<'_>, array: u32, on: bool| {
        let it =
            if on { Command::EnableClientState { array } } else { Command::DisableClientState { array } };
        cx.send(it);
    };
    for (array, on) in [
        (0x8079, false),
        (0x8077, false),
        (0x8457, false),
        (0x845e, false),
        (0x8078, texture > 0),
        (0x8076, color > 0),
        (0x8075, normal),
        (0x8074, true),
    ] {
        enable(cx, array, on);
    }
    let mut at = pointer;
    let mut next = |count: i32| {
        let here = at;
        at = at.wrapping_add(usize::try_from(count).unwrap_or(0));
        here
    };
    // SAFETY: these only note where the arrays are.
    unsafe {
        if texture > 0 {
            tex_coord_pointer(cx, texture, FLOAT, stride, next(texture * 4));
        }
        if color > 0 {
            color_pointer(cx, color, if bytes { 0x1401 } else { FLOAT }, stride, next(color_bytes));
        }
        if normal {
            normal_pointer(cx, FLOAT, stride, next(12));
        }
        vertex_pointer(cx, vertex, FLOAT, stride, next(0));
    }
}

pub(crate) unsafe fn get_pointerv(cx: &mut Cx<'_>, pname: u32, params: *mut *mut u8) {
    let unit = cx.state.client_active;
    let arrays = cx.state.arrays();
    let which = match pname {
        0x808e => Fixed::Vertex,
        0x808f => Fixed::Normal,
        0x8090 => Fixed::Color,
        0x8091 => Fixed::Index,
        0x8093 => Fixed::EdgeFlag,
        0x8456 => Fixed::FogCoord,
        0x845d => Fixed::SecondaryColor,
        0x8092 => {
            let pointer = arrays.textures.get(unit).map_or(0, |array| array.pointer);
            // SAFETY: the caller's.
            return unsafe { raw::set(params, std::ptr::without_provenance_mut(pointer)) };
        }
        _ => return cx.error(INVALID_ENUM),
    };
    let pointer = arrays.fixed(which).pointer;
    // SAFETY: the caller's.
    unsafe { raw::set(params, std::ptr::without_provenance_mut(pointer)) };
}

pub(crate) unsafe fn get_vertex_attrib_pointerv(
    cx: &mut Cx<'_>,
    index: u32,
    _pname: u32,
    pointer: *mut *mut u8,
) {
    let Some(array) = generic(cx.state, index) else { return cx.error(INVALID_VALUE) };
    let address = array.pointer;
    // SAFETY: the caller's.
    unsafe { raw::set(pointer, std::ptr::without_provenance_mut(address)) };
}

/// What is asked of a generic attribute.
fn attribute(cx: &mut Cx<'_>, index: u32, pname: u32) -> Option<Vec<f64>> {
    let place = usize::try_from(index).ok();
    let current = place.and_then(|place| cx.state.attributes.generic.get(place)).copied();
    let (Some(array), Some(current)) = (generic(cx.state, index).copied(), current) else {
        cx.error(INVALID_VALUE);
        return None;
    };
    let one = match pname {
        0x8626 => return Some(current.to_vec()),
        0x8622 => f64::from(u8::from(array.enabled)),
        0x8623 => array.size.into(),
        0x8624 => array.stride.into(),
        0x8625 => array.kind.into(),
        0x886a => f64::from(u8::from(array.normalized)),
        0x889f => array.buffer.into(),
        0x88fd => f64::from(u8::from(array.integer)),
        0x88fe => array.divisor.into(),
        _ => {
            cx.error(INVALID_ENUM);
            return None;
        }
    };
    Some(vec![one])
}

macro_rules! attribute_gets {
    ($($function:ident, $number:ty;)*) => {$(
        #[expect(clippy::cast_possible_truncation, reason = "as OpenGL's own conversion")]
        #[allow(clippy::cast_sign_loss, reason = "as OpenGL's own conversion")]
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, index: u32, pname: u32, params: *mut $number) {
            if let Some(values) = attribute(cx, index, pname) {
                // SAFETY: the caller's.
                unsafe { raw::set_all(params, values.into_iter().map(|value| value as $number)) };
            }
        }
    )*};
}

attribute_gets! {
    get_vertex_attribfv, f32;
    get_vertex_attribiv, i32;
    get_vertex_attrib_iiv, i32;
    get_vertex_attrib_iuiv, u32;
}

pub(crate) unsafe fn get_vertex_attribdv(cx: &mut Cx<'_>, index: u32, pname: u32, params: *mut f64) {
    if let Some(values) = attribute(cx, index, pname) {
        // SAFETY: the caller's.
        unsafe { raw::set_all(params, values) };
    }
}
