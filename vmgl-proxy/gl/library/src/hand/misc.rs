//! Lists, evaluators, framebuffers, and what waits for nobody.

use vmgl_gl_stream::{Command, Control, size};

use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;

/// The picture is drawn in order anyhow, and nothing of a window's is read here: nobody waits.
pub(crate) fn finish(cx: &mut Cx<'_>) {
    flush(cx);
}

/// What is drawn on a pixmap comes into it, for which the program waits.
pub(crate) fn flush(cx: &mut Cx<'_>) {
    let is_pixmap = cx.bring_pixmap();
    if let Some(drawable) = cx.state.front().filter(|_| !is_pixmap) {
        cx.wire.put(&Command::Control(Control::Front { drawable }));
    }
    cx.wire.flush();
}

/// The names of lists, whatever their type, with the base added.
unsafe fn list_names(count: usize, kind: u32, lists: *const u8, base: u32) -> Option<Vec<u32>> {
    let width = match kind {
        0x1400 | 0x1401 => 1,
        0x1402 | 0x1403 | 0x1407 => 2,
        0x1408 => 3,
        0x1404..=0x1406 | 0x1409 => 4,
        _ => return None,
    };
    // SAFETY: the caller's.
    let bytes = unsafe { raw::bytes(lists, count.checked_mul(width)) }?;
    let name = |chunk: &[u8]| match (kind, chunk) {
        (0x1400, &[a]) => i32::from(a.cast_signed()).cast_unsigned(),
        (0x1401, &[a]) => u32::from(a),
        (0x1402, &[a, b]) => i32::from(i16::from_le_bytes([a, b])).cast_unsigned(),
        (0x1403, &[a, b]) => u32::from(u16::from_le_bytes([a, b])),
        // Two to four bytes, the first counting most.
        (0x1407..=0x1409, bytes) => bytes.iter().fold(0, |name, byte| name << 8 | u32::from(*byte)),
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        (0x1406, &[a, b, c, d]) => (f32::from_le_bytes([a, b, c, d]) as i32).cast_unsigned(),
        (_, &[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    Some(bytes.chunks_exact(width).map(|chunk| name(chunk).wrapping_add(base)).collect())
}

pub(crate) unsafe fn call_lists(cx: &mut Cx<'_>, n: i32, kind: u32, lists: *const u8) {
    let Ok(count) = usize::try_from(n) else { return cx.error(INVALID_VALUE) };
    let base = cx.state.list_base();
    // SAFETY: the caller's.
    let Some(names) = (unsafe { list_names(count, kind, lists, base) }) else {
        return cx.error(INVALID_ENUM);
    };
    let bytes: Vec<u8> = names.into_iter().flat_map(u32::to_le_bytes).collect();
    cx.send(Command::CallLists { n, type_: 0x1405, lists: &bytes });
}

/// Points of an evaluator, one after the other without gaps.
unsafe fn points<T: Copy, const N: usize>(
    place: *const T,
    bytes: fn(T) -> [u8; N],
    components: usize,
    directions: [(i32, i32); 2],
) -> Option<Vec<u8>> {
    let [(outer, outer_count), (inner, inner_count)] = directions.map(|(stride, order)| {
        (usize::try_from(stride).unwrap_or(usize::MAX), usize::try_from(order).unwrap_or(0))
    });
    if place.is_null() || outer < components || inner < components || outer_count > 64 || inner_count > 64 {
        return None;
    }
    let mut out = Vec::new();
    for u in 0..outer_count {
        for v in 0..inner_count {
            for component in 0..components {
                let index =
                    u.checked_mul(outer)?.checked_add(v.checked_mul(inner)?)?.checked_add(component)?;
                // SAFETY: the caller's.
                out.extend(bytes(unsafe { place.add(index).read_unaligned() }));
            }
        }
    }
    Some(out)
}

fn stride(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

macro_rules! evaluators {
    ($one:ident, $One:ident, $two:ident, $Two:ident, $number:ty) => {
        pub(crate) unsafe fn $one(
            cx: &mut Cx<'_>,
            target: u32,
            u1: $number,
            u2: $number,
            step: i32,
            order: i32,
            points_at: *const $number,
        ) {
            let Some(components) = size::map_components(target) else { return cx.error(INVALID_ENUM) };
            let directions = [(i32::MAX, 1), (step, order)];
            // SAFETY: the caller's.
            let points = unsafe { points(points_at, <$number>::to_le_bytes, components, directions) };
            let Some(points) = points else { return cx.error(INVALID_VALUE) };
            cx.send(Command::$One { target, u1, u2, stride: stride(components), order, points: &points });
        }

        pub(crate) unsafe fn $two(
            cx: &mut Cx<'_>,
            target: u32,
            u1: $number,
            u2: $number,
            ustep: i32,
            uorder: i32,
            v1: $number,
            v2: $number,
            vstep: i32,
            vorder: i32,
            points_at: *const $number,
        ) {
            let Some(components) = size::map_components(target) else { return cx.error(INVALID_ENUM) };
            let directions = [(ustep, uorder), (vstep, vorder)];
            // SAFETY: the caller's.
            let points = unsafe { points(points_at, <$number>::to_le_bytes, components, directions) };
            let Some(points) = points else { return cx.error(INVALID_VALUE) };
            let vstride = stride(components);
            let ustride = vstride.saturating_mul(vorder);
            let points = &points;
            cx.send(Command::$Two { target, u1, u2, ustride, uorder, v1, v2, vstride, vorder, points });
        }
    };
}

evaluators!(map1f, Map1f, map2f, Map2f, f32);
evaluators!(map1d, Map1d, map2d, Map2d, f64);

/// Asked of the renderer once for what is attached, then known until that changes.
pub(crate) fn check_framebuffer_status(cx: &mut Cx<'_>, target: u32) -> u32 {
    const COMPLETE: u32 = 0x8cd5;
    if !matches!(target, 0x8d40 | 0x8ca8 | 0x8ca9) {
        cx.error(INVALID_ENUM);
        return 0;
    }
    let images = cx.group.images;
    let (name, framebuffer) = cx.state.framebuffer(target);
    if name == 0 {
        return COMPLETE;
    }
    if let Some((then, status)) = framebuffer.status
        && then == images
    {
        return status;
    }
    let Some(answer) = cx.ask(|reply| Command::CheckFramebufferStatus { reply, target }) else {
        return COMPLETE;
    };
    let status = answer.low();
    cx.state.framebuffer(target).1.status = Some((images, status));
    status
}

pub(crate) unsafe fn get_framebuffer_attachment_parameteriv(
    cx: &mut Cx<'_>,
    target: u32,
    attachment: u32,
    pname: u32,
    params: *mut i32,
) {
    let (name, framebuffer) = cx.state.framebuffer(target);
    let place = if attachment == 0x821a { 0x8d00 } else { attachment };
    let known = framebuffer.attachments.get(&place).copied();
    let value = match (name, known, pname) {
        (0, _, _) => None,
        (_, None, 0x8cd0) => Some(0),
        (_, None, _) => return cx.error(INVALID_OPERATION),
        (_, Some(it), 0x8cd0) => Some(it.kind.cast_signed()),
        (_, Some(it), 0x8cd1) => Some(it.name.cast_signed()),
        (_, Some(it), 0x8cd2) => Some(it.level),
        (_, Some(it), 0x8cd3) => Some(it.face.cast_signed()),
        (_, Some(it), 0x8cd4) => Some(it.layer),
        _ => None,
    };
    if let Some(value) = value {
        // SAFETY: the caller's.
        return unsafe { raw::set(params, value) };
    }
    let answer = cx.ask(|reply| Command::GetFramebufferAttachmentParameteriv {
        reply,
        target,
        attachment,
        pname,
        params_cap: 4,
    });
    if let Some(answer) = answer {
        // SAFETY: the caller's.
        unsafe { raw::put(params.cast(), answer.outs().next(), 4) };
    }
}

/// Which query is going on is known by its name here; how many bits it counts with is the renderer's to say.
pub(crate) unsafe fn get_queryiv(cx: &mut Cx<'_>, target: u32, pname: u32, params: *mut i32) {
    if pname == 0x8865 {
        // SAFETY: the caller's.
        return unsafe { raw::set(params, cx.state.query(target).cast_signed()) };
    }
    let answer = cx.ask(|reply| Command::GetQueryiv { reply, target, pname, params_cap: 4 });
    if let Some(answer) = answer {
        // SAFETY: the caller's.
        unsafe { raw::put(params.cast(), answer.outs().next(), 4) };
    }
}

/// As every renderer of desktop OpenGL has it: floats of 32 bits, integers likewise.
pub(crate) unsafe fn get_shader_precision_format(
    _cx: &mut Cx<'_>,
    _shader: u32,
    precision_type: u32,
    range: *mut i32,
    precision: *mut i32,
) {
    let is_float = (0x8df0..=0x8df2).contains(&precision_type);
    let (low, high, bits) = if is_float { (127, 127, 23) } else { (31, 30, 0) };
    // SAFETY: the caller's.
    unsafe {
        raw::set_all(range, [low, high]);
        raw::set(precision, bits);
    }
}

/// Compilers stay where they are.
pub(crate) fn release_shader_compiler(_cx: &mut Cx<'_>) {}

/// There are no binary formats.
pub(crate) unsafe fn shader_binary(
    cx: &mut Cx<'_>,
    _count: i32,
    _shaders: *const u32,
    _binary_format: u32,
    _binary: *const u8,
    _length: i32,
) {
    cx.error(INVALID_ENUM);
}
