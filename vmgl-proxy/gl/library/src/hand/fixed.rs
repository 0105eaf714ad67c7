//! What only OpenGL ES 1 has: numbers of 16.16 bits, which travel as floats, and floats where OpenGL has doubles.

use vmgl_gl_stream::{Command, size};

use crate::core::{Cx, INVALID_ENUM, INVALID_VALUE};
use crate::raw;

/// A number of 16.16 bits.
#[expect(clippy::cast_possible_truncation, reason = "a float has the bits that it has")]
fn float(fixed: i32) -> f32 {
    (f64::from(fixed) / 65536.0) as f32
}

fn double(fixed: i32) -> f64 {
    f64::from(fixed) / 65536.0
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, as OpenGL's own conversion")]
fn fixed(float: f64) -> i32 {
    (float * 65536.0).round() as i32
}

/// Whether a parameter is an enum or a switch, which is no number of 16.16 bits.
fn is_word(pname: u32) -> bool {
    matches!(
        pname,
        // The fog's mode; two sides; modes of texture environments, their sources and operands; filters, wraps, mipmaps.
        0x0b65 | 0x0b52 | 0x2200 | 0x8571 | 0x8572 | 0x8580..=0x8582 | 0x8588..=0x858a
            | 0x8590..=0x8592 | 0x8598..=0x859a | 0x8862 | 0x2800..=0x2803 | 0x8072 | 0x8191
    )
}

#[expect(clippy::cast_precision_loss, reason = "enums are small")]
fn parameter(pname: u32, value: i32) -> f32 {
    if is_word(pname) { value as f32 } else { float(value) }
}

/// The numbers at a place, as floats that lie as on the wire.
unsafe fn floats(place: *const i32, count: Option<usize>, each: impl Fn(i32) -> f32) -> Option<Vec<u8>> {
    let count = count.filter(|_| !place.is_null())?;
    // SAFETY: the caller's: so many.
    let numbers = (0..count).map(|index| unsafe { place.add(index).read_unaligned() });
    Some(numbers.flat_map(|number| each(number).to_le_bytes()).collect())
}

macro_rules! plain {
    ($($function:ident($($argument:ident: $type:ty),*) $command:expr;)*) => {$(
        pub(crate) fn $function(cx: &mut Cx<'_>, $($argument: $type),*) {
            cx.send($command);
        }
    )*};
}

plain! {
    alpha_funcx(func: u32, than: i32) Command::AlphaFunc { func, ref_: float(than) };
    clear_colorx(red: i32, green: i32, blue: i32, alpha: i32) Command::ClearColor {
        red: float(red), green: float(green), blue: float(blue), alpha: float(alpha)
    };
    clear_depthx(depth: i32) Command::ClearDepth { depth: double(depth) };
    color4x(red: i32, green: i32, blue: i32, alpha: i32) Command::Color4f {
        red: float(red), green: float(green), blue: float(blue), alpha: float(alpha)
    };
    depth_rangex(near: i32, far: i32) Command::DepthRange { n: double(near), f: double(far) };
    fogx(pname: u32, param: i32) Command::Fogf { pname, param: parameter(pname, param) };
    frustumf(l: f32, r: f32, b: f32, t: f32, n: f32, f: f32) Command::Frustum {
        left: l.into(), right: r.into(), bottom: b.into(), top: t.into(), z_near: n.into(), z_far: f.into()
    };
    frustumx(l: i32, r: i32, b: i32, t: i32, n: i32, f: i32) Command::Frustum {
        left: double(l), right: double(r), bottom: double(b), top: double(t), z_near: double(n), z_far: double(f)
    };
    light_modelx(pname: u32, param: i32) Command::LightModelf { pname, param: parameter(pname, param) };
    lightx(light: u32, pname: u32, param: i32) Command::Lightf { light, pname, param: float(param) };
    line_widthx(width: i32) Command::LineWidth { width: float(width) };
    materialx(face: u32, pname: u32, param: i32) Command::Materialf { face, pname, param: float(param) };
    multi_tex_coord4x(target: u32, s: i32, t: i32, r: i32, q: i32) Command::MultiTexCoord4f {
        target, s: float(s), t: float(t), r: float(r), q: float(q)
    };
    normal3x(nx: i32, ny: i32, nz: i32) Command::Normal3f { nx: float(nx), ny: float(ny), nz: float(nz) };
    orthof(l: f32, r: f32, b: f32, t: f32, n: f32, f: f32) Command::Ortho {
        left: l.into(), right: r.into(), bottom: b.into(), top: t.into(), z_near: n.into(), z_far: f.into()
    };
    orthox(l: i32, r: i32, b: i32, t: i32, n: i32, f: i32) Command::Ortho {
        left: double(l), right: double(r), bottom: double(b), top: double(t), z_near: double(n), z_far: double(f)
    };
    point_parameterx(pname: u32, param: i32) Command::PointParameterf { pname, param: float(param) };
    point_sizex(size: i32) Command::PointSize { size: float(size) };
    polygon_offsetx(factor: i32, units: i32) Command::PolygonOffset { factor: float(factor), units: float(units) };
    rotatex(angle: i32, x: i32, y: i32, z: i32) Command::Rotatef {
        angle: float(angle), x: float(x), y: float(y), z: float(z)
    };
    sample_coveragex(value: i32, invert: u8) Command::SampleCoverage { value: float(value), invert: invert.into() };
    scalex(x: i32, y: i32, z: i32) Command::Scalef { x: float(x), y: float(y), z: float(z) };
    tex_envx(target: u32, pname: u32, param: i32) Command::TexEnvf {
        target, pname, param: parameter(pname, param)
    };
    tex_parameterx(target: u32, pname: u32, param: i32) Command::TexParameterf {
        target, pname, param: parameter(pname, param)
    };
    translatex(x: i32, y: i32, z: i32) Command::Translatef { x: float(x), y: float(y), z: float(z) };
}

macro_rules! vectors {
    ($($function:ident, $length:ident, $Command:ident { $($argument:ident),* };)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, $($argument: u32,)* pname: u32, params: *const i32) {
            // SAFETY: the caller's: as many as the name has.
            let params = unsafe { floats(params, size::$length(pname), |value| parameter(pname, value)) };
            let Some(params) = params else { return cx.error(INVALID_ENUM) };
            cx.send(Command::$Command { $($argument,)* pname, params: &params });
        }
    )*};
}

vectors! {
    fogxv, fog, Fogfv {};
    light_modelxv, light_model, LightModelfv {};
    lightxv, light, Lightfv { light };
    materialxv, material, Materialfv { face };
    point_parameterxv, point_parameter, PointParameterfv {};
    tex_envxv, tex_env, TexEnvfv { target };
    tex_parameterxv, tex_parameter, TexParameterfv { target };
}

/// Writes what the renderer answered as numbers of 16.16 bits.
unsafe fn put(pname: u32, place: *mut i32, answer: Option<&[u8]>) {
    let numbers = answer.unwrap_or_default().as_chunks::<4>().0.iter().map(|bytes| {
        let value = f64::from(f32::from_le_bytes(*bytes));
        if is_word(pname) { fixed(value / 65536.0) } else { fixed(value) }
    });
    // SAFETY: the caller's: as many as were asked for.
    unsafe { raw::set_all(place, numbers) };
}

macro_rules! answers {
    ($($function:ident, $length:ident, $Command:ident { $argument:ident };)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, $argument: u32, pname: u32, params: *mut i32) {
            let capacity = size::bytes(size::$length(pname), 4).and_then(|bytes| u32::try_from(bytes).ok());
            let Some(params_cap) = capacity else { return cx.error(INVALID_ENUM) };
            let answer = cx.ask(|reply| Command::$Command { reply, $argument, pname, params_cap });
            if let Some(answer) = answer {
                // SAFETY: the caller's.
                unsafe { put(pname, params, answer.outs().next()) };
            }
        }
    )*};
}

answers! {
    get_lightxv, light, GetLightfv { light };
    get_materialxv, material, GetMaterialfv { face };
    get_tex_envxv, tex_env, GetTexEnvfv { target };
    get_tex_parameterxv, tex_parameter, GetTexParameterfv { target };
}

macro_rules! matrices {
    ($($function:ident, $Command:ident;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, matrix: *const i32) {
            // SAFETY: the caller's: sixteen.
            let Some(m) = (unsafe { floats(matrix, Some(16), float) }) else { return cx.error(INVALID_VALUE) };
            cx.send(Command::$Command { m: &m });
        }
    )*};
}

matrices! {
    load_matrixx, LoadMatrixf;
    mult_matrixx, MultMatrixf;
}

fn plane(cx: &mut Cx<'_>, plane: u32, equation: [f64; 4]) {
    let bytes: Vec<u8> = equation.into_iter().flat_map(f64::to_le_bytes).collect();
    cx.send(Command::ClipPlane { plane, equation: &bytes });
}

pub(crate) unsafe fn clip_planef(cx: &mut Cx<'_>, name: u32, equation: *const f32) {
    if equation.is_null() {
        return cx.error(INVALID_VALUE);
    }
    // SAFETY: the caller's: four numbers.
    plane(cx, name, [0, 1, 2, 3].map(|index| f64::from(unsafe { equation.add(index).read_unaligned() })));
}

pub(crate) unsafe fn clip_planex(cx: &mut Cx<'_>, name: u32, equation: *const i32) {
    if equation.is_null() {
        return cx.error(INVALID_VALUE);
    }
    // SAFETY: the caller's: four numbers.
    plane(cx, name, [0, 1, 2, 3].map(|index| double(unsafe { equation.add(index).read_unaligned() })));
}

/// A plane as the renderer has it.
fn plane_of(cx: &mut Cx<'_>, plane: u32) -> Option<[f64; 4]> {
    let answer = cx.ask(|reply| Command::GetClipPlane { reply, plane, equation_cap: 32 })?;
    let numbers = answer.outs().next()?.first_chunk::<32>()?.as_chunks::<8>().0;
    let mut equation = [0.0; 4];
    equation.iter_mut().zip(numbers).for_each(|(to, from)| *to = f64::from_le_bytes(*from));
    Some(equation)
}

pub(crate) unsafe fn get_clip_planef(cx: &mut Cx<'_>, name: u32, equation: *mut f32) {
    if let Some(is) = plane_of(cx, name) {
        #[expect(clippy::cast_possible_truncation, reason = "as OpenGL's own conversion")]
        let numbers = is.map(|number| number as f32);
        // SAFETY: the caller's: four numbers.
        unsafe { raw::set_all(equation, numbers) };
    }
}

pub(crate) unsafe fn get_clip_planex(cx: &mut Cx<'_>, name: u32, equation: *mut i32) {
    if let Some(is) = plane_of(cx, name) {
        // SAFETY: the caller's: four numbers.
        unsafe { raw::set_all(equation, is.map(fixed)) };
    }
}

/// Of what is asked so only the shadow's part is there, which is all of ES 1's state that has numbers.
pub(crate) unsafe fn get_fixedv(cx: &mut Cx<'_>, pname: u32, params: *mut i32) {
    match cx.state.get(cx.caps, pname) {
        // SAFETY: the caller's.
        Some(got) => unsafe { raw::set_all(params, got.values.iter().map(|value| fixed(*value))) },
        None => cx.error(INVALID_ENUM),
    }
}

#[cfg(test)]
mod tests {
    use super::{fixed, float, parameter};

    #[test]
    fn numbers_are_scaled_and_words_are_not() {
        assert!((float(0x0001_8000) - 1.5).abs() < f32::EPSILON);
        assert!((float(-65536) + 1.0).abs() < f32::EPSILON);
        assert_eq!(fixed(-2.5), -0x0002_8000);
        assert!((parameter(0x2801, 0x2601) - 9729.0).abs() < f32::EPSILON, "a filter");
        assert!((parameter(0x0b62, 0x8000) - 0.5).abs() < f32::EPSILON, "a density");
    }
}
