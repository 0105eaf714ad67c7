//! Drawing from arrays. What lies in the program's memory is copied now, element by element without gaps, and goes ahead
//! of the command; when all arrays lie there the first element that is used becomes the first that is sent.

use std::ops::Range;

use vmgl_gl_stream::{Command, Data, size};

use super::listed;
use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;
use crate::shadow::arrays::{Array, FIXED, Fixed};

/// More elements of one array than this are not drawn at once: nobody has them, and a wild index would copy everything.
pub(super) const MOST: usize = 64 << 20;

/// Elements of an array in the program's memory, one after the other.
unsafe fn gather(array: &Array, elements: Range<usize>) -> Option<Vec<u8>> {
    let (each, step) = (array.element_bytes()?, array.step()?);
    let total = elements.len().checked_mul(each).filter(|bytes| *bytes <= MOST)?;
    let start = array.pointer.checked_add(elements.start.checked_mul(step)?)?;
    let start = std::ptr::with_exposed_provenance::<u8>(start);
    if elements.is_empty() {
        return Some(Vec::new());
    }
    if step == each {
        // SAFETY: the caller's: the program draws these elements.
        return Some(unsafe { std::slice::from_raw_parts(start, total) }.to_vec());
    }
    let mut out = Vec::with_capacity(total);
    for index in 0..elements.len() {
        // SAFETY: as above.
        out.extend_from_slice(unsafe { std::slice::from_raw_parts(start.add(index * step), each) });
    }
    Some(out)
}

/// Sends what the arrays in memory hold of these elements, and of so many instances.
///
/// # Safety
/// The program's arrays hold these elements.
unsafe fn send_arrays(cx: &mut Cx<'_>, elements: Range<usize>, instances: usize) -> Option<()> {
    let used = Used { elements, instances };
    used.put(
        cx,
        Array::is_in_memory,
        // SAFETY: the caller's.
        |_, array, elements| unsafe { gather(array, elements) },
        |cx, command| cx.send_array(command),
    )
}

/// What of arrays is drawn.
pub(super) struct Used {
    pub(super) elements: Range<usize>,
    pub(super) instances: usize,
}

impl Used {
    /// Puts commands that give the arrays that are `wanted` from memory, with what is `held` of each of them.
    pub(super) fn put(
        &self,
        cx: &mut Cx<'_>,
        wanted: impl Fn(&Array) -> bool,
        held: impl Fn(&Cx<'_>, &Array, Range<usize>) -> Option<Vec<u8>>,
        put: impl Fn(&mut Cx<'_>, &Command<'_>),
    ) -> Option<()> {
        let arrays = cx.state.arrays().clone();
        let now_active = cx.state.client_active;
        let bytes_of = |cx: &Cx<'_>, array: &Array| {
            let divisor = usize::try_from(array.divisor).unwrap_or(usize::MAX);
            let elements =
                if divisor == 0 { self.elements.clone() } else { 0..self.instances.div_ceil(divisor) };
            held(cx, array, elements)
        };
        for (which, array) in FIXED.into_iter().zip(&arrays.fixed).filter(|(_, array)| wanted(array)) {
            let bytes = bytes_of(cx, array)?;
            let (size, type_, stride, pointer) = (array.size, array.kind, 0, Data::Memory(&bytes));
            put(
                cx,
                &match which {
                    Fixed::Vertex => Command::VertexPointer { size, type_, stride, pointer },
                    Fixed::Normal => Command::NormalPointer { type_, stride, pointer },
                    Fixed::Color => Command::ColorPointer { size, type_, stride, pointer },
                    Fixed::Index => Command::IndexPointer { type_, stride, pointer },
                    Fixed::EdgeFlag => Command::EdgeFlagPointer { stride, pointer },
                    Fixed::FogCoord => Command::FogCoordPointer { type_, stride, pointer },
                    Fixed::SecondaryColor => Command::SecondaryColorPointer { size, type_, stride, pointer },
                },
            );
        }
        let mut unit_told = now_active;
        let mut select = |cx: &mut Cx<'_>, unit: usize| {
            if std::mem::replace(&mut unit_told, unit) != unit {
                let texture = 0x84c0 + u32::try_from(unit).unwrap_or(0);
                put(cx, &Command::ClientActiveTexture { texture });
            }
        };
        for (unit, array) in arrays.textures.iter().enumerate().filter(|(_, array)| wanted(array)) {
            let bytes = bytes_of(cx, array)?;
            select(cx, unit);
            let (size, type_, stride, pointer) = (array.size, array.kind, 0, Data::Memory(&bytes));
            put(cx, &Command::TexCoordPointer { size, type_, stride, pointer });
        }
        select(cx, now_active);
        for (index, array) in (0..).zip(&arrays.generic).filter(|(_, array)| wanted(array)) {
            let bytes = bytes_of(cx, array)?;
            let (size, type_, stride, pointer) = (array.size, array.kind, 0, Data::Memory(&bytes));
            let normalized = u32::from(array.normalized);
            put(
                cx,
                &if array.integer {
                    Command::VertexAttribIPointer { index, size, type_, stride, pointer }
                } else {
                    Command::VertexAttribPointer { index, size, type_, normalized, stride, pointer }
                },
            );
        }
        Some(())
    }
}

/// Prepares the arrays for elements `first..first + count`; the first element then.
unsafe fn ready(cx: &mut Cx<'_>, first: i32, count: i32, instances: i32) -> Option<i32> {
    let numbers = [first, count, instances].map(usize::try_from);
    let [Ok(from), Ok(length), Ok(instances)] = numbers else {
        cx.error(INVALID_VALUE);
        return None;
    };
    cx.state.note_drawing();
    listed::keep_arrays(cx, from.checked_add(length), instances);
    let arrays = cx.state.arrays();
    if !arrays.any_in_memory() {
        return Some(first);
    }
    let alone = arrays.all_in_memory();
    let elements = if alone { from..from + length } else { 0..from + length };
    // SAFETY: the caller's.
    unsafe { send_arrays(cx, elements, instances) }.or_else(|| {
        cx.error(INVALID_OPERATION);
        None
    })?;
    Some(if alone { 0 } else { first })
}

pub(crate) unsafe fn draw_arrays(cx: &mut Cx<'_>, mode: u32, first: i32, count: i32) {
    // SAFETY: the caller's.
    if let Some(first) = unsafe { ready(cx, first, count, 1) } {
        cx.send(Command::DrawArrays { mode, first, count });
        cx.state.note_drawn();
    }
}

pub(crate) unsafe fn draw_arrays_instanced(
    cx: &mut Cx<'_>,
    mode: u32,
    first: i32,
    count: i32,
    instancecount: i32,
) {
    // SAFETY: the caller's.
    if let Some(first) = unsafe { ready(cx, first, count, instancecount) } {
        cx.send(Command::DrawArraysInstanced { mode, first, count, instancecount });
        cx.state.note_drawn();
    }
}

pub(crate) unsafe fn multi_draw_arrays(
    cx: &mut Cx<'_>,
    mode: u32,
    first: *const i32,
    count: *const i32,
    drawcount: i32,
) {
    for index in 0..usize::try_from(drawcount).unwrap_or(0) {
        // SAFETY: the caller's.
        unsafe {
            draw_arrays(cx, mode, first.add(index).read_unaligned(), count.add(index).read_unaligned());
        };
    }
}

fn index(bytes: &[u8]) -> u32 {
    match *bytes {
        [a] => a.into(),
        [a, b] => u16::from_le_bytes([a, b]).into(),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The least and the greatest index; the index that begins a new primitive counts for nothing.
fn bounds(indices: &[u8], width: usize, restart: Option<u32>) -> Option<(u32, u32)> {
    let all = indices.chunks_exact(width).map(index).filter(|it| Some(*it) != restart);
    all.fold(None, |bounds, it| match bounds {
        None => Some((it, it)),
        Some((least, most)) => Some((it.min(least), it.max(most))),
    })
}

/// Indices less a number, in their own width.
fn less(indices: &[u8], width: usize, least: u32, restart: Option<u32>) -> Vec<u8> {
    let change = |bytes: &[u8]| {
        let it = index(bytes);
        if Some(it) == restart { it } else { it - least }
    };
    indices
        .chunks_exact(width)
        .flat_map(|bytes| change(bytes).to_le_bytes().into_iter().take(width))
        .collect()
}

/// How indices are drawn, apart from where they are.
#[derive(Clone, Copy)]
struct Elements {
    mode: u32,
    count: i32,
    kind: u32,
    instances: Option<i32>,
    base: Option<i32>,
}

impl Elements {
    fn send(self, cx: &mut Cx<'_>, indices: Data<'_>) {
        self.send_and_keep(cx, indices, indices);
    }

    /// A list that is recorded keeps it with other indices.
    fn send_and_keep(self, cx: &mut Cx<'_>, indices: Data<'_>, kept: Data<'_>) {
        cx.state.track(cx.group, &self.command(kept));
        cx.wire.put(&self.command(indices));
        cx.state.note_drawn();
    }

    /// Behind the last element that indices name.
    fn end(self, indices: &[u8], width: usize, restart: Option<u32>) -> Option<usize> {
        let Some((_, most)) = bounds(indices, width, restart) else { return Some(0) };
        usize::try_from(i64::from(most) + i64::from(self.base.unwrap_or(0)) + 1).ok()
    }

    /// What its instances make of a number that may be wrong.
    fn times(self) -> usize {
        usize::try_from(self.instances.unwrap_or(1)).unwrap_or(0)
    }

    fn command(self, indices: Data<'_>) -> Command<'_> {
        let Self { mode, count, kind: type_, instances, base } = self;
        match (instances, base) {
            (None, None) => Command::DrawElements { mode, count, type_, indices },
            (None, Some(basevertex)) => {
                Command::DrawElementsBaseVertex { mode, count, type_, indices, basevertex }
            }
            (Some(instancecount), None) => {
                Command::DrawElementsInstanced { mode, count, type_, indices, instancecount }
            }
            (Some(instancecount), Some(basevertex)) => Command::DrawElementsInstancedBaseVertex {
                mode,
                count,
                type_,
                indices,
                instancecount,
                basevertex,
            },
        }
    }
}

unsafe fn elements(cx: &mut Cx<'_>, how: Elements, indices: *const u8) {
    let Some(width) = size::index_bytes(how.kind) else { return cx.error(INVALID_ENUM) };
    let Some(length) = size::indices(how.count, how.kind) else { return cx.error(INVALID_VALUE) };
    cx.state.note_drawing();
    let arrays = cx.state.arrays();
    let (buffer, any, alone) = (arrays.elements, arrays.any_in_memory(), arrays.all_in_memory());
    let (is_recorded, restart) = (cx.state.recording().is_some(), cx.state.restart_index());
    if buffer != 0 {
        let offset = indices.addr();
        if !any && !is_recorded {
            return how.send(cx, Data::Offset(offset as u64));
        }
        // The vertices are not in a buffer, or will be in a list: what the buffer of the indices holds is known here.
        let held =
            cx.group.stored.get(&buffer).and_then(|it| it.data.get(offset..offset.checked_add(length)?));
        let held = held.map(<[u8]>::to_vec);
        if is_recorded {
            let is_known = cx.group.stored.get(&buffer).is_some_and(|it| !it.stale);
            let known = held.as_ref().filter(|_| is_known);
            let end = known.and_then(|held| how.end(held, width, restart));
            listed::keep_arrays(cx, end, how.times());
        }
        let Some(held) = held else {
            if any {
                return cx.error(INVALID_OPERATION);
            }
            return how.send(cx, Data::Offset(offset as u64));
        };
        // SAFETY: the caller's.
        if any && unsafe { vertices(cx, how, &held, width, false) }.is_none() {
            return cx.error(INVALID_OPERATION);
        }
        return how.send_and_keep(cx, Data::Offset(offset as u64), Data::Memory(&held));
    }
    // SAFETY: the caller's.
    let Some(held) = (unsafe { raw::bytes(indices, Some(length)) }) else {
        return cx.error(INVALID_OPERATION);
    };
    if is_recorded {
        listed::keep_arrays(cx, how.end(held, width, restart), how.times());
    }
    if !any {
        return how.send(cx, Data::Memory(held));
    }
    let alone = alone && how.base.is_none();
    // SAFETY: the caller's.
    match unsafe { vertices(cx, how, held, width, alone) } {
        None => cx.error(INVALID_OPERATION),
        Some(0) => how.send(cx, Data::Memory(held)),
        Some(least) => {
            let indices = less(held, width, least, cx.state.restart_index());
            how.send(cx, Data::Memory(&indices));
        }
    }
}

/// Sends the vertices that indices name, from the least one on if they may be counted anew; what that least one is.
unsafe fn vertices(cx: &mut Cx<'_>, how: Elements, indices: &[u8], width: usize, anew: bool) -> Option<u32> {
    let restart = cx.state.restart_index();
    let Some((least, _)) = bounds(indices, width, restart) else { return Some(0) };
    let least = if anew { least } else { 0 };
    let end = how.end(indices, width, restart)?;
    let instances = usize::try_from(how.instances.unwrap_or(1)).ok()?;
    // SAFETY: the caller's.
    unsafe { send_arrays(cx, usize::try_from(least).ok()?..end, instances) }?;
    Some(least)
}

pub(crate) unsafe fn draw_elements(cx: &mut Cx<'_>, mode: u32, count: i32, kind: u32, indices: *const u8) {
    // SAFETY: the caller's.
    unsafe { elements(cx, Elements { mode, count, kind, instances: None, base: None }, indices) }
}

pub(crate) unsafe fn draw_range_elements(
    cx: &mut Cx<'_>,
    mode: u32,
    start: u32,
    end: u32,
    count: i32,
    kind: u32,
    indices: *const u8,
) {
    if end < start {
        return cx.error(INVALID_VALUE);
    }
    // SAFETY: the caller's. The range is the program's promise; the indices are looked at anyhow.
    unsafe { draw_elements(cx, mode, count, kind, indices) }
}

pub(crate) unsafe fn draw_elements_base_vertex(
    cx: &mut Cx<'_>,
    mode: u32,
    count: i32,
    kind: u32,
    indices: *const u8,
    basevertex: i32,
) {
    // SAFETY: the caller's.
    unsafe { elements(cx, Elements { mode, count, kind, instances: None, base: Some(basevertex) }, indices) }
}

pub(crate) unsafe fn draw_range_elements_base_vertex(
    cx: &mut Cx<'_>,
    mode: u32,
    _start: u32,
    _end: u32,
    count: i32,
    kind: u32,
    indices: *const u8,
    basevertex: i32,
) {
    // SAFETY: the caller's.
    unsafe { draw_elements_base_vertex(cx, mode, count, kind, indices, basevertex) }
}

pub(crate) unsafe fn draw_elements_instanced(
    cx: &mut Cx<'_>,
    mode: u32,
    count: i32,
    kind: u32,
    indices: *const u8,
    instancecount: i32,
) {
    let how = Elements { mode, count, kind, instances: Some(instancecount), base: None };
    // SAFETY: the caller's.
    unsafe { elements(cx, how, indices) }
}

pub(crate) unsafe fn draw_elements_instanced_base_vertex(
    cx: &mut Cx<'_>,
    mode: u32,
    count: i32,
    kind: u32,
    indices: *const u8,
    instancecount: i32,
    basevertex: i32,
) {
    let how = Elements { mode, count, kind, instances: Some(instancecount), base: Some(basevertex) };
    // SAFETY: the caller's.
    unsafe { elements(cx, how, indices) }
}

pub(crate) unsafe fn multi_draw_elements(
    cx: &mut Cx<'_>,
    mode: u32,
    count: *const i32,
    kind: u32,
    indices: *const *const u8,
    drawcount: i32,
) {
    for index in 0..usize::try_from(drawcount).unwrap_or(0) {
        // SAFETY: the caller's.
        unsafe {
            draw_elements(
                cx,
                mode,
                count.add(index).read_unaligned(),
                kind,
                indices.add(index).read_unaligned(),
            );
        }
    }
}

pub(crate) unsafe fn multi_draw_elements_base_vertex(
    cx: &mut Cx<'_>,
    mode: u32,
    count: *const i32,
    kind: u32,
    indices: *const *const u8,
    drawcount: i32,
    basevertex: *const i32,
) {
    for index in 0..usize::try_from(drawcount).unwrap_or(0) {
        // SAFETY: the caller's.
        unsafe {
            let (count, base) = (count.add(index).read_unaligned(), basevertex.add(index).read_unaligned());
            draw_elements_base_vertex(cx, mode, count, kind, indices.add(index).read_unaligned(), base);
        }
    }
}

/// Components of an element, as numbers; integers are made to what they stand for if that is asked.
unsafe fn components(array: &Array, bytes: &[u8], normalized: bool) -> Option<[f32; 4]> {
    let mut values = [0.0, 0.0, 0.0, 1.0];
    let width = size::type_bytes(array.kind)?;
    for (value, bytes) in values.iter_mut().zip(bytes.chunks_exact(width)) {
        let (number, largest) = match (array.kind, bytes) {
            (0x1400, &[a]) => (f64::from(a.cast_signed()), 127.0),
            (0x1401, &[a]) => (f64::from(a), 255.0),
            (0x1402, &[a, b]) => (f64::from(i16::from_le_bytes([a, b])), 32_767.0),
            (0x1403, &[a, b]) => (f64::from(u16::from_le_bytes([a, b])), 65_535.0),
            (0x1404, &[a, b, c, d]) => (f64::from(i32::from_le_bytes([a, b, c, d])), 2_147_483_647.0),
            (0x1405, &[a, b, c, d]) => (f64::from(u32::from_le_bytes([a, b, c, d])), 4_294_967_295.0),
            (0x1406, &[a, b, c, d]) => (f64::from(f32::from_le_bytes([a, b, c, d])), 1.0),
            (0x140a, bytes) => (f64::from_le_bytes(*bytes.first_chunk()?), 1.0),
            _ => return None,
        };
        #[expect(clippy::cast_possible_truncation, reason = "as OpenGL's own conversion")]
        let number = if normalized { number / largest } else { number } as f32;
        *value = number;
    }
    Some(values)
}

/// Is the calls of `glBegin` and `glEnd` that it stands for, the vertex last.
pub(crate) unsafe fn array_element(cx: &mut Cx<'_>, i: i32) {
    let Ok(element) = usize::try_from(i) else { return cx.error(INVALID_VALUE) };
    let arrays = cx.state.arrays().clone();
    let read = |cx: &Cx<'_>, array: &Array, normalized: bool| {
        let bytes = if array.buffer == 0 {
            // SAFETY: the caller's.
            unsafe { gather(array, element..element + 1) }?
        } else {
            let start = array.pointer.checked_add(element.checked_mul(array.step()?)?)?;
            let end = start.checked_add(array.element_bytes()?)?;
            cx.group.stored.get(&array.buffer)?.data.get(start..end)?.to_vec()
        };
        // SAFETY: as above.
        unsafe { components(array, &bytes, normalized) }
    };
    for (index, array) in (1..).zip(arrays.generic.iter().skip(1)).filter(|(_, array)| array.enabled) {
        if let Some([x, y, z, w]) = read(cx, array, array.normalized) {
            cx.send(Command::VertexAttrib4f { index, x, y, z, w });
        }
    }
    for (target, array) in (0x84c0..).zip(&arrays.textures).filter(|(_, array)| array.enabled) {
        if let Some([s, t, r, q]) = read(cx, array, false) {
            cx.send(Command::MultiTexCoord4f { target, s, t, r, q });
        }
    }
    let order = [
        Fixed::SecondaryColor,
        Fixed::Color,
        Fixed::Normal,
        Fixed::FogCoord,
        Fixed::EdgeFlag,
        Fixed::Index,
        Fixed::Vertex,
    ];
    for which in order {
        let array = arrays.fixed[which as usize];
        if !array.enabled {
            continue;
        }
        let unit = matches!(which, Fixed::Color | Fixed::SecondaryColor | Fixed::Normal);
        let Some([x, y, z, w]) = read(cx, &array, unit) else { continue };
        cx.send(match which {
            Fixed::SecondaryColor => Command::SecondaryColor3f { red: x, green: y, blue: z },
            Fixed::Color => Command::Color4f { red: x, green: y, blue: z, alpha: w },
            Fixed::Normal => Command::Normal3f { nx: x, ny: y, nz: z },
            Fixed::FogCoord => Command::FogCoordf { coord: x },
            Fixed::EdgeFlag => Command::EdgeFlag { flag: u32::from(x != 0.0) },
            Fixed::Index => Command::Indexf { c: x },
            Fixed::Vertex => Command::Vertex4f { x, y, z, w },
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::{bounds, less};

    #[test]
    fn indices_are_counted_anew_in_their_own_width() {
        let indices = [500_u16, 502, 501, 0xffff].map(u16::to_le_bytes).concat();
        assert_eq!(bounds(&indices, 2, Some(0xffff)), Some((500, 502)));
        assert_eq!(bounds(&indices, 2, None), Some((500, 65535)));
        let anew = less(&indices, 2, 500, Some(0xffff));
        assert_eq!(anew, [0_u16, 2, 1, 0xffff].map(u16::to_le_bytes).concat());
        assert_eq!(bounds(&[], 4, None), None);
    }
}
