//! From one state of fixed things to another, by the commands that make the difference.

use vmgl_gl_stream::Command;

use super::Sink;
use crate::shadow::attributes::Numbers;
use crate::shadow::bindings::TARGETS;
use crate::shadow::get::whole;
use crate::shadow::kept::Kept;
use crate::shadow::matrix::Matrix;
use crate::shadow::values::{Kind, ROWS, Values, find};
use crate::shadow::{Attributes, Unit};

const FRONT: u32 = 0x0404;
const BACK: u32 = 0x0405;
const BOTH: u32 = 0x0408;
const MODELVIEW: u32 = 0x1700;
const MATRIX_MODE: u32 = 0x0ba0;
const COLOR_MATERIAL: u32 = 0x0b57;
/// Booleans that no `glEnable` sets.
const NO_SWITCHES: [u32; 5] = [0x0b51, 0x0b52, 0x0b72, 0x0c23, 0x80ab];

/// The part of a context's state that `glPushAttrib` saves.
#[derive(Clone, Copy)]
pub(super) struct View<'v> {
    pub(super) values: &'v Values,
    pub(super) units: &'v [Unit],
    pub(super) active: usize,
    pub(super) attributes: &'v Attributes,
    pub(super) kept: &'v Kept,
}

pub(super) fn single(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "it was given as a float, or becomes one there")]
    let single = value as f32;
    single
}

pub(super) fn matrix_bytes(matrix: &Matrix) -> Vec<u8> {
    matrix.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn texture(unit: usize) -> u32 {
    0x84c0 + u32::try_from(unit).unwrap_or(0)
}

/// Puts what makes `new` of `old`. OpenGL ES has fewer functions.
pub(super) fn steps(old: View<'_>, new: View<'_>, is_es: bool, sink: &mut impl Sink) {
    let mut active = old.active;
    let mut select = |unit: usize, sink: &mut dyn FnMut(&Command<'_>)| {
        if std::mem::replace(&mut active, unit) != unit {
            sink(&Command::ActiveTexture { texture: texture(unit) });
        }
    };
    let mut mode_is_known = true;
    let pieces = new.kept.since(old.kept);
    let rows = Rows { old: old.values, new: new.values };
    // A material that follows the current colour is set by nothing else.
    let follows = !pieces.is_empty() && rows.was_on(COLOR_MATERIAL);
    if follows {
        switch(COLOR_MATERIAL, false, sink);
    }
    for piece in pieces {
        select(piece.unit, &mut |command| sink.put(command));
        let Some(matrix) = piece.matrix else {
            sink.put_bytes(piece.bytes);
            continue;
        };
        mode_is_known = false;
        sink.put(&Command::MatrixMode { mode: MODELVIEW });
        sink.put(&Command::PushMatrix);
        sink.put(&Command::LoadMatrixd { m: &matrix_bytes(matrix) });
        sink.put_bytes(piece.bytes);
        sink.put(&Command::PopMatrix);
    }
    for (index, (old, new)) in old.units.iter().zip(new.units).enumerate() {
        for (place, (target, _)) in TARGETS.iter().enumerate() {
            if old.bound[place] != new.bound[place] {
                select(index, &mut |command| sink.put(command));
                sink.put(&Command::BindTexture { target: *target, texture: new.bound[place] });
            }
            if (old.enabled ^ new.enabled) & 1 << place != 0 {
                select(index, &mut |command| sink.put(command));
                switch(*target, new.enabled & 1 << place != 0, sink);
            }
        }
        for bit in (0..4).filter(|bit| (old.generated ^ new.generated) & 1 << bit != 0) {
            select(index, &mut |command| sink.put(command));
            switch(0x0c60 + bit, new.generated & 1 << bit != 0, sink);
        }
        if old.sampler != new.sampler {
            let unit = u32::try_from(index).unwrap_or(0);
            sink.put(&Command::BindSampler { unit, sampler: new.sampler });
        }
    }
    select(new.active, &mut |command| sink.put(command));
    rows.put(is_es, sink);
    if follows && !rows.differ(&[COLOR_MATERIAL]) {
        switch(COLOR_MATERIAL, true, sink);
    }
    if !mode_is_known && !rows.differ(&[MATRIX_MODE]) {
        sink.put(&Command::MatrixMode { mode: rows.number(MATRIX_MODE) });
    }
    attributes(old, new, sink);
}

fn switch(cap: u32, on: bool, sink: &mut impl Sink) {
    sink.put(&if on { Command::Enable { cap } } else { Command::Disable { cap } });
}

fn attributes(old: View<'_>, new: View<'_>, sink: &mut impl Sink) {
    let (was, is) = (old.attributes, new.attributes);
    if was.color != is.color {
        let [red, green, blue, alpha] = is.color.map(single);
        sink.put(&Command::Color4f { red, green, blue, alpha });
    }
    if was.secondary != is.secondary {
        let [red, green, blue, _] = is.secondary.map(single);
        sink.put(&Command::SecondaryColor3f { red, green, blue });
    }
    if was.normal != is.normal {
        let [nx, ny, nz, _] = is.normal.map(single);
        sink.put(&Command::Normal3f { nx, ny, nz });
    }
    if was.fog.to_bits() != is.fog.to_bits() {
        sink.put(&Command::FogCoordf { coord: single(is.fog) });
    }
    if was.index.to_bits() != is.index.to_bits() {
        sink.put(&Command::Indexf { c: single(is.index) });
    }
    for (unit, (was, is)) in old.units.iter().zip(new.units).enumerate() {
        if was.coordinate != is.coordinate {
            let [s, t, r, q] = is.coordinate.map(single);
            sink.put(&Command::MultiTexCoord4f { target: texture(unit), s, t, r, q });
        }
    }
    // The one of number 0 is the vertex.
    let was = was.generic.iter().zip(&was.numbers);
    for (index, (was, is)) in (0..).zip(was.zip(is.generic.iter().zip(&is.numbers))).skip(1) {
        if was != is {
            let (value, numbers) = is;
            sink.put(&generic(index, *value, *numbers));
        }
    }
}

fn generic(index: u32, value: [f64; 4], numbers: Numbers) -> Command<'static> {
    match numbers {
        Numbers::Floats => {
            let [x, y, z, w] = value.map(single);
            Command::VertexAttrib4f { index, x, y, z, w }
        }
        Numbers::Signed => {
            let [x, y, z, w] = value.map(|part| whole(part).cast_signed());
            Command::VertexAttribI4i { index, x, y, z, w }
        }
        Numbers::Unsigned => {
            let [x, y, z, w] = value.map(whole);
            Command::VertexAttribI4ui { index, x, y, z, w }
        }
    }
}

struct Rows<'v> {
    old: &'v Values,
    new: &'v Values,
}

impl Rows<'_> {
    fn differ(&self, names: &[u32]) -> bool {
        names.iter().filter_map(|name| find(*name)).any(|place| self.old.get(place) != self.new.get(place))
    }

    fn was_on(&self, name: u32) -> bool {
        find(name).is_some_and(|place| self.old.get(place)[0] != 0.0)
    }

    fn all(&self, name: u32) -> [f64; 4] {
        find(name).map(|place| self.new.get(place)).unwrap_or_default()
    }

    fn number(&self, name: u32) -> u32 {
        whole(self.all(name)[0])
    }

    fn integer(&self, name: u32) -> i32 {
        self.number(name).cast_signed()
    }

    fn float(&self, name: u32) -> f32 {
        single(self.all(name)[0])
    }

    fn floats(&self, name: u32) -> [f32; 4] {
        self.all(name).map(single)
    }

    fn bytes(&self, name: u32) -> Vec<u8> {
        self.floats(name).into_iter().flat_map(f32::to_le_bytes).collect()
    }

    fn put(&self, is_es: bool, sink: &mut impl Sink) {
        // Before it is on: it sets what it names.
        if self.differ(&[0x0b55, 0x0b56]) {
            sink.put(&Command::ColorMaterial { face: self.number(0x0b55), mode: self.number(0x0b56) });
        }
        for row in ROWS.iter().filter(|row| row.kind == Kind::Boolean && !NO_SWITCHES.contains(&row.name)) {
            if self.differ(&[row.name]) {
                switch(row.name, self.number(row.name) != 0, sink);
            }
        }
        self.put_raster(is_es, sink);
        self.put_fixed(sink);
        self.put_stencil(sink);
    }

    fn put_raster(&self, is_es: bool, sink: &mut impl Sink) {
        type Make = fn(&Rows<'_>) -> Command<'static>;
        let ones: [(&[u32], Make); 21] = [
            (&[0x0b11], |v| Command::PointSize { size: v.float(0x0b11) }),
            (&[0x0b21], |v| Command::LineWidth { width: v.float(0x0b21) }),
            (&[0x0b25, 0x0b26], |v| Command::LineStipple {
                factor: v.integer(0x0b26),
                pattern: v.number(0x0b25),
            }),
            (&[0x0b32], |v| Command::ListBase { base: v.number(0x0b32) }),
            (&[0x0b45], |v| Command::CullFace { mode: v.number(0x0b45) }),
            (&[0x0b46], |v| Command::FrontFace { mode: v.number(0x0b46) }),
            (&[0x0b72], |v| Command::DepthMask { flag: v.number(0x0b72) }),
            (&[0x0b74], |v| Command::DepthFunc { func: v.number(0x0b74) }),
            (&[0x0b80], |v| {
                let [red, green, blue, alpha] = v.floats(0x0b80);
                Command::ClearAccum { red, green, blue, alpha }
            }),
            (&[0x0bc1, 0x0bc2], |v| Command::AlphaFunc { func: v.number(0x0bc1), ref_: v.float(0x0bc2) }),
            (&[0x0bf0], |v| Command::LogicOp { opcode: v.number(0x0bf0) }),
            (&[0x0c20], |v| Command::ClearIndex { c: v.float(0x0c20) }),
            (&[0x0c21], |v| Command::IndexMask { mask: v.number(0x0c21) }),
            (&[0x0c22], |v| {
                let [red, green, blue, alpha] = v.floats(0x0c22);
                Command::ClearColor { red, green, blue, alpha }
            }),
            (&[0x0c23], |v| {
                let [red, green, blue, alpha] = v.all(0x0c23).map(whole);
                Command::ColorMask { red, green, blue, alpha }
            }),
            (&[0x2a00, 0x8038], |v| Command::PolygonOffset {
                factor: v.float(0x8038),
                units: v.float(0x2a00),
            }),
            (&[0x8005], |v| {
                let [red, green, blue, alpha] = v.floats(0x8005);
                Command::BlendColor { red, green, blue, alpha }
            }),
            (&[0x8009, 0x883d], |v| Command::BlendEquationSeparate {
                mode_r_g_b: v.number(0x8009),
                mode_alpha: v.number(0x883d),
            }),
            (&[0x80c8, 0x80c9, 0x80ca, 0x80cb], |v| Command::BlendFuncSeparate {
                sfactor_r_g_b: v.number(0x80c9),
                dfactor_r_g_b: v.number(0x80c8),
                sfactor_alpha: v.number(0x80cb),
                dfactor_alpha: v.number(0x80ca),
            }),
            (&[0x80aa, 0x80ab], |v| Command::SampleCoverage {
                value: v.float(0x80aa),
                invert: v.number(0x80ab),
            }),
            (&[0x8f9e], |v| Command::PrimitiveRestartIndex { index: v.number(0x8f9e) }),
        ];
        for (_, make) in ones.iter().filter(|(names, _)| self.differ(names)) {
            sink.put(&make(self));
        }
        if self.differ(&[0x0b40]) {
            let [front, back, ..] = self.all(0x0b40).map(whole);
            if front == back {
                sink.put(&Command::PolygonMode { face: BOTH, mode: front });
            } else {
                sink.put(&Command::PolygonMode { face: FRONT, mode: front });
                sink.put(&Command::PolygonMode { face: BACK, mode: back });
            }
        }
        let [near, far, ..] = self.all(0x0b70);
        let depth = self.all(0x0b73)[0];
        if self.differ(&[0x0b70]) {
            sink.put(&if is_es {
                Command::DepthRangef { n: single(near), f: single(far) }
            } else {
                Command::DepthRange { n: near, f: far }
            });
        }
        if self.differ(&[0x0b73]) {
            sink.put(&if is_es {
                Command::ClearDepthf { d: single(depth) }
            } else {
                Command::ClearDepth { depth }
            });
        }
        for (name, is_scissor) in [(0x0ba2, false), (0x0c10, true)] {
            if self.differ(&[name]) {
                let [x, y, width, height] = self.all(name).map(|value| whole(value).cast_signed());
                sink.put(&if is_scissor {
                    Command::Scissor { x, y, width, height }
                } else {
                    Command::Viewport { x, y, width, height }
                });
            }
        }
    }

    fn put_fixed(&self, sink: &mut impl Sink) {
        for pname in [0x0b51, 0x0b52, 0x81f8].into_iter().filter(|name| self.differ(&[*name])) {
            sink.put(&Command::LightModeli { pname, param: self.integer(pname) });
        }
        if self.differ(&[0x0b53]) {
            sink.put(&Command::LightModelfv { pname: 0x0b53, params: &self.bytes(0x0b53) });
        }
        if self.differ(&[0x0b54]) {
            sink.put(&Command::ShadeModel { mode: self.number(0x0b54) });
        }
        for pname in (0x0b61..=0x0b64).filter(|name| self.differ(&[*name])) {
            sink.put(&Command::Fogf { pname, param: self.float(pname) });
        }
        for pname in [0x0b65, 0x8450].into_iter().filter(|name| self.differ(&[*name])) {
            sink.put(&Command::Fogi { pname, param: self.integer(pname) });
        }
        if self.differ(&[0x0b66]) {
            sink.put(&Command::Fogfv { pname: 0x0b66, params: &self.bytes(0x0b66) });
        }
        for target in [0x0c50, 0x0c51, 0x0c52, 0x0c53, 0x0c54, 0x8192, 0x84ef, 0x8b8b] {
            if self.differ(&[target]) {
                sink.put(&Command::Hint { target, mode: self.number(target) });
            }
        }
        if self.differ(&[0x8e4f]) {
            sink.put(&Command::ProvokingVertex { mode: self.number(0x8e4f) });
        }
        if self.differ(&[MATRIX_MODE]) {
            sink.put(&Command::MatrixMode { mode: self.number(MATRIX_MODE) });
        }
    }

    fn put_stencil(&self, sink: &mut impl Sink) {
        if self.differ(&[0x0b91]) {
            sink.put(&Command::ClearStencil { s: self.integer(0x0b91) });
        }
        for (face, [func, reference, mask]) in
            [(FRONT, [0x0b92, 0x0b97, 0x0b93]), (BACK, [0x8800, 0x8ca3, 0x8ca4])]
        {
            if self.differ(&[func, reference, mask]) {
                let (func, ref_, mask) = (self.number(func), self.integer(reference), self.number(mask));
                sink.put(&Command::StencilFuncSeparate { face, func, ref_, mask });
            }
        }
        for (face, ops) in [(FRONT, [0x0b94, 0x0b95, 0x0b96]), (BACK, [0x8801, 0x8802, 0x8803])] {
            if self.differ(&ops) {
                let [sfail, dpfail, dppass] = ops.map(|name| self.number(name));
                sink.put(&Command::StencilOpSeparate { face, sfail, dpfail, dppass });
            }
        }
        for (face, mask) in [(FRONT, 0x0b98), (BACK, 0x8ca5)] {
            if self.differ(&[mask]) {
                sink.put(&Command::StencilMaskSeparate { face, mask: self.number(mask) });
            }
        }
    }
}
