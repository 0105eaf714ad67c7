//! The state of one context, put into one that has just been made. What its share group has must be there already.

use vmgl_gl_stream::{Command, Data};

use super::steps::{View, matrix_bytes, steps};
use super::{Lost, Sink};
use crate::shadow::arrays::{Array, ArrayObject, FIXED, Fixed};
use crate::shadow::bindings::{ARRAY, BUFFERS, DRAW_FRAMEBUFFER, ELEMENT_ARRAY, READ_FRAMEBUFFER};
use crate::shadow::feedback;
use crate::shadow::kept::Kept;
use crate::shadow::matrix::{IDENTITY, Stack};
use crate::shadow::stacks::Saved;
use crate::shadow::values::Values;
use crate::shadow::{Attributes, PixelStore, State, UNITS, Unit};

const FRAMEBUFFER: u32 = 0x8d40;
const RENDERBUFFER: u32 = 0x8d41;
const ARRAY_BUFFER: u32 = 0x8892;
const MODELVIEW: u32 = 0x1700;
const PROJECTION: u32 = 0x1701;
const TEXTURE: u32 = 0x1702;
const TIMESTAMP: u32 = 0x8e28;

fn texture(unit: usize) -> u32 {
    0x84c0 + u32::try_from(unit).unwrap_or(0)
}

/// Puts it. A primitive that is being drawn is not begun: that must be the last of all.
pub(crate) fn context(state: &State, sink: &mut impl Sink, lost: &mut Lost) {
    matrices(state, sink);
    attributes(state, sink);
    all_arrays(state, sink);
    for (buffer, bytes) in state.indexed.values() {
        if *buffer != 0 {
            sink.put_bytes(bytes);
        }
    }
    feedback::bindings(state, sink, lost);
    for ((target, _), &buffer) in BUFFERS.iter().zip(&state.buffers) {
        // What was bound at a place is bound to the target, too.
        let feeds = *target == feedback::BUFFER && !state.feedbacks.is_empty();
        let by_place = feeds || state.indexed.keys().any(|(of, _)| of == target);
        if buffer != 0 || by_place || *target == ARRAY_BUFFER {
            sink.put(&Command::BindBuffer { target: *target, buffer });
        }
    }
    framebuffers(state, sink);
    queries(state, sink);
    stores(state, sink);
    if state.program != 0 {
        sink.put(&Command::UseProgram { program: state.program });
    }
    feedback::going(state, sink, lost);
    if let Some(list) = &state.list {
        let mode = if list.executes { 0x1301 } else { 0x1300 };
        sink.put(&Command::NewList { list: list.name, mode });
        match list.so_far() {
            Some(bytes) => sink.put_bytes(bytes),
            None => lost.note("display lists", list.name),
        }
    }
}

fn matrices(state: &State, sink: &mut impl Sink) {
    let mut any = false;
    let mut stack = |mode: u32, stack: &Stack, sink: &mut dyn FnMut(&Command<'_>)| {
        if stack.depth() == 1 && stack.top() == IDENTITY {
            return;
        }
        any = true;
        sink(&Command::MatrixMode { mode });
        for (level, matrix) in stack.levels().iter().enumerate() {
            if level > 0 {
                sink(&Command::PushMatrix);
            }
            sink(&Command::LoadMatrixd { m: &matrix_bytes(matrix) });
        }
    };
    stack(MODELVIEW, &state.modelview, &mut |command| sink.put(command));
    stack(PROJECTION, &state.projection, &mut |command| sink.put(command));
    let mut selected = 0;
    for (unit, it) in state.units.iter().enumerate() {
        stack(TEXTURE, &it.matrix, &mut |command| {
            if std::mem::replace(&mut selected, unit) != unit {
                sink.put(&Command::ActiveTexture { texture: texture(unit) });
            }
            sink.put(command);
        });
    }
    if selected != 0 {
        sink.put(&Command::ActiveTexture { texture: texture(0) });
    }
    if any {
        sink.put(&Command::MatrixMode { mode: MODELVIEW });
    }
}

/// What each level of the stack of attributes had, and what is now.
fn attributes(state: &State, sink: &mut impl Sink) {
    let is_es = state.api >= 2;
    let (values, units) = (Values::default(), vec![Unit::default(); UNITS]);
    let (first, kept) = (Attributes::default(), Kept::default());
    let mut at = View { values: &values, units: &units, active: 0, attributes: &first, kept: &kept };
    for saved in &state.stack {
        let Saved { groups, values, units, active, attributes, kept } = saved;
        let next = View { values, units, active: *active, attributes, kept };
        steps(at, next, is_es, sink);
        sink.put(&Command::PushAttrib { mask: *groups });
        at = next;
    }
    let State { values, units, active, attributes, kept, .. } = state;
    steps(at, View { values, units, active: *active, attributes, kept }, is_es, sink);
}

/// Commands that switch the arrays on, or off again, that an array object has on.
pub(crate) fn arrays_on(
    arrays: &ArrayObject,
    client_active: usize,
    on: bool,
    put: &mut dyn FnMut(&Command<'_>),
) {
    let client = |array: u32| {
        if on { Command::EnableClientState { array } } else { Command::DisableClientState { array } }
    };
    let names = [0x8074, 0x8075, 0x8076, 0x8077, 0x8079, 0x8457, 0x845e];
    for (name, _) in names.into_iter().zip(&arrays.fixed).filter(|(_, array)| array.enabled) {
        put(&client(name));
    }
    let mut selected = client_active;
    for (unit, _) in arrays.textures.iter().enumerate().filter(|(_, array)| array.enabled) {
        if std::mem::replace(&mut selected, unit) != unit {
            put(&Command::ClientActiveTexture { texture: texture(unit) });
        }
        put(&client(0x8078));
    }
    if selected != client_active {
        put(&Command::ClientActiveTexture { texture: texture(client_active) });
    }
    for (index, _) in (0..).zip(&arrays.generic).filter(|(_, array)| array.enabled) {
        put(&if on {
            Command::EnableVertexAttribArray { index }
        } else {
            Command::DisableVertexAttribArray { index }
        });
    }
}

/// An array that lies in a buffer.
fn place(array: &Array, bound: &mut u32, sink: &mut impl Sink) -> Option<Data<'static>> {
    if array.buffer == 0 {
        return None;
    }
    if std::mem::replace(bound, array.buffer) != array.buffer {
        sink.put(&Command::BindBuffer { target: ARRAY_BUFFER, buffer: array.buffer });
    }
    Some(Data::Offset(array.pointer as u64))
}

fn arrays(it: &ArrayObject, bound: &mut u32, sink: &mut impl Sink) {
    for (which, array) in FIXED.into_iter().zip(&it.fixed) {
        let Some(pointer) = place(array, bound, sink) else { continue };
        let (size, type_, stride) = (array.size, array.kind, array.stride);
        sink.put(&match which {
            Fixed::Vertex => Command::VertexPointer { size, type_, stride, pointer },
            Fixed::Normal => Command::NormalPointer { type_, stride, pointer },
            Fixed::Color => Command::ColorPointer { size, type_, stride, pointer },
            Fixed::Index => Command::IndexPointer { type_, stride, pointer },
            Fixed::EdgeFlag => Command::EdgeFlagPointer { stride, pointer },
            Fixed::FogCoord => Command::FogCoordPointer { type_, stride, pointer },
            Fixed::SecondaryColor => Command::SecondaryColorPointer { size, type_, stride, pointer },
        });
    }
    let mut selected = 0;
    for (unit, array) in it.textures.iter().enumerate() {
        let Some(pointer) = place(array, bound, sink) else { continue };
        if std::mem::replace(&mut selected, unit) != unit {
            sink.put(&Command::ClientActiveTexture { texture: texture(unit) });
        }
        let (size, type_, stride) = (array.size, array.kind, array.stride);
        sink.put(&Command::TexCoordPointer { size, type_, stride, pointer });
    }
    if selected != 0 {
        sink.put(&Command::ClientActiveTexture { texture: texture(0) });
    }
    for (index, array) in (0..).zip(&it.generic) {
        if let Some(pointer) = place(array, bound, sink) {
            let (size, type_, stride, normalized) =
                (array.size, array.kind, array.stride, u32::from(array.normalized));
            sink.put(&if array.integer {
                Command::VertexAttribIPointer { index, size, type_, stride, pointer }
            } else {
                Command::VertexAttribPointer { index, size, type_, normalized, stride, pointer }
            });
        }
        if array.divisor != 0 {
            sink.put(&Command::VertexAttribDivisor { index, divisor: array.divisor });
        }
    }
    arrays_on(it, 0, true, &mut |command| sink.put(command));
    if it.elements != 0 {
        sink.put(&Command::BindBuffer { target: ELEMENT_ARRAY, buffer: it.elements });
    }
}

fn all_arrays(state: &State, sink: &mut impl Sink) {
    let mut bound = 0;
    let mut names: Vec<u32> = state.array_objects.keys().copied().collect();
    names.sort_unstable();
    let mut at = 0;
    for name in names {
        let Some(it) = state.array_objects.get(&name) else { continue };
        if std::mem::replace(&mut at, name) != name {
            sink.put(&Command::BindVertexArray { array: name });
        }
        arrays(it, &mut bound, sink);
    }
    if at != state.array_object {
        sink.put(&Command::BindVertexArray { array: state.array_object });
    }
    if state.client_active != 0 {
        sink.put(&Command::ClientActiveTexture { texture: texture(state.client_active) });
    }
}

fn framebuffers(state: &State, sink: &mut impl Sink) {
    let mut names: Vec<u32> = state.framebuffers.keys().copied().collect();
    names.sort_unstable();
    let mut any = state.draw_framebuffer != 0 || state.read_framebuffer != 0;
    for name in names {
        let Some(it) = state.framebuffers.get(&name) else { continue };
        if name != 0 {
            any = true;
            sink.put(&Command::BindFramebuffer { target: FRAMEBUFFER, framebuffer: name });
        }
        it.made.values().for_each(|bytes| sink.put_bytes(bytes));
        match it.draw_buffers.as_deref() {
            None => {}
            // OpenGL ES has only the one for several.
            Some(&[buf]) if state.api < 2 => sink.put(&Command::DrawBuffer { buf }),
            Some(all) => {
                let bufs: Vec<u8> = all.iter().flat_map(|buffer| buffer.to_le_bytes()).collect();
                let n = i32::try_from(all.len()).unwrap_or(0);
                sink.put(&Command::DrawBuffers { n, bufs: &bufs });
            }
        }
        if let Some(src) = it.read_buffer {
            sink.put(&Command::ReadBuffer { src });
        }
    }
    if any {
        let (draw, read) = (state.draw_framebuffer, state.read_framebuffer);
        sink.put(&Command::BindFramebuffer { target: DRAW_FRAMEBUFFER, framebuffer: draw });
        sink.put(&Command::BindFramebuffer { target: READ_FRAMEBUFFER, framebuffer: read });
    }
    if state.renderbuffer != 0 {
        sink.put(&Command::BindRenderbuffer { target: RENDERBUFFER, renderbuffer: state.renderbuffer });
    }
}

/// Who waits for the result of one that was asked gets one: nothing was drawn meanwhile.
fn queries(state: &State, sink: &mut impl Sink) {
    let is_on = |id: u32| state.queries.values().any(|on| *on == id);
    for (&id, &target) in state.query_targets.iter().filter(|(id, _)| !is_on(**id)) {
        if target == TIMESTAMP {
            sink.put(&Command::QueryCounter { id, target });
        } else {
            sink.put(&Command::BeginQuery { target, id });
            sink.put(&Command::EndQuery { target });
        }
    }
    for (&target, &id) in &state.queries {
        sink.put(&Command::BeginQuery { target, id });
    }
}

/// How pixels lie, level by level of the client's stack. What a level had of arrays is what is now.
fn stores(state: &State, sink: &mut impl Sink) {
    let mut at = (PixelStore::default(), PixelStore::default());
    let mut to = |unpack: PixelStore, pack: PixelStore, sink: &mut dyn FnMut(&Command<'_>)| {
        let pairs = numbers(&at.0, 0).into_iter().chain(numbers(&at.1, 1));
        let wanted = numbers(&unpack, 0).into_iter().chain(numbers(&pack, 1));
        for ((pname, was), (_, param)) in pairs.zip(wanted) {
            if was != param {
                sink(&Command::PixelStorei { pname, param });
            }
        }
        at = (unpack, pack);
    };
    for saved in &state.client_stack {
        to(saved.unpack, saved.pack, &mut |command| sink.put(command));
        sink.put(&Command::PushClientAttrib { mask: saved.groups });
    }
    to(state.unpack, state.pack, &mut |command| sink.put(command));
}

fn numbers(store: &PixelStore, pack: usize) -> [(u32, i32); 8] {
    const NAMES: [[u32; 8]; 2] = [
        [0x0cf0, 0x0cf1, 0x0cf2, 0x0cf3, 0x0cf4, 0x0cf5, 0x806d, 0x806e],
        [0x0d00, 0x0d01, 0x0d02, 0x0d03, 0x0d04, 0x0d05, 0x806b, 0x806c],
    ];
    let PixelStore {
        swap_bytes,
        lsb_first,
        row_length,
        skip_rows,
        skip_pixels,
        alignment,
        image_height,
        skip_images,
    } = *store;
    let values =
        [swap_bytes, lsb_first, row_length, skip_rows, skip_pixels, alignment, skip_images, image_height];
    let names = NAMES[pack];
    std::array::from_fn(|index| (names[index], values[index]))
}

impl State {
    /// The primitive that is being drawn.
    pub(crate) fn begun(&self) -> Option<u32> {
        self.begun
    }

    /// Levels of textures that are attached: drawn into, as far as is known here.
    pub(crate) fn attached(&self) -> impl Iterator<Item = (u32, i32)> {
        let all = self.framebuffers.values().flat_map(|it| it.attachments.values());
        all.filter(|it| it.kind == crate::shadow::owned::TEXTURE).map(|it| (it.name, it.level))
    }
}

const _: () = assert!(BUFFERS[ARRAY].0 == ARRAY_BUFFER);
