//! What each command changes of the shadow.

use std::sync::Arc;

use vmgl_gl_stream::Command;

use super::attributes::{Numbers, Slot, attribute, numbers};
use super::bindings::texture_place;
use super::kept::{Form, form_of, switch};
use super::lists::at_once;
use super::matrix::{IDENTITY, Matrix, frustum, orthogonal, rotation, scaling, translation, transpose};
use super::values::{self, slot};
use super::{Attributes, Group, State};

/// Numbers of an array of the program's.
pub(super) fn floats<const N: usize>(bytes: &[u8]) -> [f64; N] {
    let mut values = [0.0; N];
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f64::from(f32::from_le_bytes(*bytes));
    }
    values
}

fn doubles<const N: usize>(bytes: &[u8]) -> [f64; N] {
    let mut values = [0.0; N];
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<8>().0) {
        *value = f64::from_le_bytes(*bytes);
    }
    values
}

fn integers(bytes: &[u8]) -> [f64; 4] {
    let mut values = [0.0; 4];
    for (value, bytes) in values.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *value = f64::from(i32::from_le_bytes(*bytes));
    }
    values
}

/// Integers, which stand for -1 to 1 where a colour is meant.
pub(super) fn signed(colour: bool, bytes: &[u8]) -> [f64; 4] {
    let values = integers(bytes);
    if colour { values.map(|value| (2.0 * value + 1.0) / 4_294_967_295.0) } else { values }
}

fn unit_interval(values: [f64; 4]) -> [f64; 4] {
    values.map(|value| value.clamp(0.0, 1.0))
}

const FOG: [(u32, usize); 7] = [
    (0x0b61, slot(0x0b61)),
    (0x0b62, slot(0x0b62)),
    (0x0b63, slot(0x0b63)),
    (0x0b64, slot(0x0b64)),
    (0x0b65, slot(0x0b65)),
    (0x0b66, slot(0x0b66)),
    (0x8450, slot(0x8450)),
];

/// A vertex changes nothing here, and there are more of them than of all else.
fn is_vertex(command: &Command<'_>) -> bool {
    use Command as C;
    matches!(
        command,
        C::Vertex2d { .. }
            | C::Vertex2dv { .. }
            | C::Vertex2f { .. }
            | C::Vertex2fv { .. }
            | C::Vertex2i { .. }
            | C::Vertex2iv { .. }
            | C::Vertex2s { .. }
            | C::Vertex2sv { .. }
            | C::Vertex3d { .. }
            | C::Vertex3dv { .. }
            | C::Vertex3f { .. }
            | C::Vertex3fv { .. }
            | C::Vertex3i { .. }
            | C::Vertex3iv { .. }
            | C::Vertex3s { .. }
            | C::Vertex3sv { .. }
            | C::Vertex4d { .. }
            | C::Vertex4dv { .. }
            | C::Vertex4f { .. }
            | C::Vertex4fv { .. }
            | C::Vertex4i { .. }
            | C::Vertex4iv { .. }
            | C::Vertex4s { .. }
            | C::Vertex4sv { .. }
    )
}

impl State {
    /// A command is about to be sent.
    #[inline]
    pub(crate) fn track(&mut self, group: &mut Group, command: &Command<'_>) {
        if let Some(list) = &mut self.list
            && !at_once(command)
        {
            list.record(command, self.active);
            if !list.executes {
                return;
            }
        }
        if !is_vertex(command) {
            self.apply(group, command);
        }
    }

    pub(super) fn apply(&mut self, group: &mut Group, command: &Command<'_>) {
        if self.apply_fixed(command) || self.apply_raster(command) {
            return;
        }
        if let Some((slot, value)) = attribute(command) {
            return self.set_attribute(slot, value, numbers(command));
        }
        if self.apply_objects(group, command) || self.apply_arrays(command) {
            return;
        }
        if let Some(form) = form_of(command) {
            self.keep(&form, command);
        }
    }

    /// Keeps a command whose kind is kept as it is.
    fn keep(&mut self, form: &Form, command: &Command<'_>) {
        let matrix = form.by_matrix.then(|| self.modelview.top());
        Arc::make_mut(&mut self.kept).set(form, self.active, matrix, command);
    }

    fn set_attribute(&mut self, slot: Slot, value: [f64; 4], numbers: Numbers) {
        match slot {
            Slot::Color => self.attributes.color = value,
            Slot::Secondary => self.attributes.secondary = value,
            Slot::Normal => self.attributes.normal = value,
            Slot::Fog => self.attributes.fog = value[0],
            Slot::Index => self.attributes.index = value[0],
            Slot::Texture(unit) => {
                let index = usize::try_from(unit.wrapping_sub(0x84c0)).unwrap_or(usize::MAX);
                if let Some(unit) = self.units.get_mut(index) {
                    unit.coordinate = value;
                }
            }
            Slot::Generic(index) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                let Attributes { generic, numbers: all, .. } = &mut self.attributes;
                if let (Some(place), Some(kind)) = (generic.get_mut(index), all.get_mut(index)) {
                    (*place, *kind) = (value, numbers);
                }
            }
        }
    }

    /// Matrices, stacks, lighting and fog.
    fn apply_fixed(&mut self, command: &Command<'_>) -> bool {
        let multiply = |state: &mut Self, matrix: Matrix| state.matrices().multiply(&matrix);
        match *command {
            Command::MatrixMode { mode } => self.values.set(const { slot(0x0ba0) }, mode),
            Command::LoadIdentity => self.matrices().load(IDENTITY),
            Command::LoadMatrixf { m } => self.matrices().load(floats(m)),
            Command::LoadMatrixd { m } => self.matrices().load(doubles(m)),
            Command::LoadTransposeMatrixf { m } => self.matrices().load(transpose(&floats(m))),
            Command::LoadTransposeMatrixd { m } => self.matrices().load(transpose(&doubles(m))),
            Command::MultMatrixf { m } => multiply(self, floats(m)),
            Command::MultMatrixd { m } => multiply(self, doubles(m)),
            Command::MultTransposeMatrixf { m } => multiply(self, transpose(&floats(m))),
            Command::MultTransposeMatrixd { m } => multiply(self, transpose(&doubles(m))),
            Command::Rotatef { angle, x, y, z } => {
                let [angle, x, y, z] = [angle, x, y, z].map(f64::from);
                multiply(self, rotation(angle, x, y, z));
            }
            Command::Rotated { angle, x, y, z } => multiply(self, rotation(angle, x, y, z)),
            Command::Scalef { x, y, z } => multiply(self, scaling(x.into(), y.into(), z.into())),
            Command::Scaled { x, y, z } => multiply(self, scaling(x, y, z)),
            Command::Translatef { x, y, z } => multiply(self, translation(x.into(), y.into(), z.into())),
            Command::Translated { x, y, z } => multiply(self, translation(x, y, z)),
            Command::Ortho { left, right, bottom, top, z_near, z_far } => {
                multiply(self, orthogonal([left, right, bottom, top, z_near, z_far]));
            }
            Command::Frustum { left, right, bottom, top, z_near, z_far } => {
                multiply(self, frustum([left, right, bottom, top, z_near, z_far]));
            }
            Command::PushMatrix => self.matrices().push(),
            Command::PopMatrix => self.matrices().pop(),
            Command::PushAttrib { mask } => self.push(mask),
            Command::PopAttrib => self.pop(),
            Command::PushClientAttrib { mask } => self.push_client(mask),
            Command::PopClientAttrib => self.pop_client(),
            Command::Begin { mode } => self.begun = Some(mode),
            Command::End => self.begun = None,
            Command::ShadeModel { mode } => self.values.set(const { slot(0x0b54) }, mode),
            Command::ColorMaterial { face, mode } => {
                self.leave_material();
                self.values.set(const { slot(0x0b55) }, face);
                self.values.set(const { slot(0x0b56) }, mode);
            }
            Command::Fogf { pname, param } => self.fog(pname, [param.into(), 0.0, 0.0, 0.0]),
            Command::Fogi { pname, param } => self.fog(pname, [param.into(), 0.0, 0.0, 0.0]),
            Command::Fogfv { pname, params } => self.fog(pname, floats(params)),
            Command::Fogiv { pname, params } => self.fog(pname, signed(pname == 0x0b66, params)),
            Command::LightModelf { pname, param } => self.light_model(pname, [param.into(), 0.0, 0.0, 0.0]),
            Command::LightModeli { pname, param } => self.light_model(pname, [param.into(), 0.0, 0.0, 0.0]),
            Command::LightModelfv { pname, params } => self.light_model(pname, floats(params)),
            Command::LightModeliv { pname, params } => {
                self.light_model(pname, signed(pname == 0x0b53, params));
            }
            _ => return false,
        }
        true
    }

    fn fog(&mut self, pname: u32, values: [f64; 4]) {
        if let Some((_, slot)) = FOG.iter().find(|(name, _)| *name == pname) {
            let values = if pname == 0x0b66 { unit_interval(values) } else { values };
            self.values.set_all(*slot, values);
        }
    }

    fn light_model(&mut self, pname: u32, values: [f64; 4]) {
        match pname {
            0x0b51 | 0x0b52 => {
                let place = if pname == 0x0b51 { const { slot(0x0b51) } } else { const { slot(0x0b52) } };
                self.values.set(place, f64::from(u8::from(values[0] != 0.0)));
            }
            0x0b53 => self.values.set_all(const { slot(0x0b53) }, values),
            0x81f8 => self.values.set_all(const { slot(0x81f8) }, values),
            _ => {}
        }
    }

    fn switch(&mut self, cap: u32, on: bool) {
        if let Some(place) = texture_place(cap) {
            let unit = self.unit();
            unit.enabled = if on { unit.enabled | 1 << place } else { unit.enabled & !(1 << place) };
        } else if (0x0c60..=0x0c63).contains(&cap) {
            let (unit, bit) = (self.unit(), 1 << (cap - 0x0c60));
            unit.generated = if on { unit.generated | bit } else { unit.generated & !bit };
        } else if values::find(cap).is_some() {
            if cap == 0x0b57 && !on {
                self.leave_material();
            }
            self.values.switch(cap, on);
        } else {
            let command = if on { Command::Enable { cap } } else { Command::Disable { cap } };
            self.keep(&switch(cap), &command);
        }
    }

    /// A material that followed the current colour stays as it is when it follows no longer.
    fn leave_material(&mut self) {
        if self.values.get(const { slot(0x0b57) })[0] == 0.0 {
            return;
        }
        let number = |name: usize| super::get::whole(self.values.get(name)[0]);
        let (face, pname) = (number(const { slot(0x0b55) }), number(const { slot(0x0b56) }));
        #[expect(clippy::cast_possible_truncation, reason = "it was given as a float")]
        let params = self.attributes.color.map(|part| (part as f32).to_le_bytes()).concat();
        let command = Command::Materialfv { face, pname, params: &params };
        if let Some(form) = form_of(&command) {
            self.keep(&form, &command);
        }
    }

    /// Rasterising, tests, blending and clearing.
    fn apply_raster(&mut self, command: &Command<'_>) -> bool {
        let v = &mut self.values;
        match *command {
            Command::Enable { cap } => self.switch(cap, true),
            Command::Disable { cap } => self.switch(cap, false),
            Command::Viewport { x, y, width, height } => {
                v.set_all(const { slot(0x0ba2) }, [x, y, width, height].map(f64::from));
            }
            Command::Scissor { x, y, width, height } => {
                v.set_all(const { slot(0x0c10) }, [x, y, width, height].map(f64::from));
            }
            Command::DepthFunc { func } => v.set(const { slot(0x0b74) }, func),
            Command::DepthMask { flag } => v.set(const { slot(0x0b72) }, flag.min(1)),
            Command::DepthRange { n, f } => {
                v.set_all(const { slot(0x0b70) }, [n.clamp(0.0, 1.0), f.clamp(0.0, 1.0)]);
            }
            Command::DepthRangef { n, f } => {
                v.set_all(const { slot(0x0b70) }, [n, f].map(|value| f64::from(value.clamp(0.0, 1.0))));
            }
            Command::ClearDepth { depth } => v.set(const { slot(0x0b73) }, depth.clamp(0.0, 1.0)),
            Command::ClearDepthf { d } => v.set(const { slot(0x0b73) }, d.clamp(0.0, 1.0)),
            Command::ClearColor { red, green, blue, alpha } => {
                v.set_all(const { slot(0x0c22) }, [red, green, blue, alpha].map(f64::from));
            }
            Command::ClearStencil { s } => v.set(const { slot(0x0b91) }, s),
            Command::ClearIndex { c } => v.set(const { slot(0x0c20) }, c),
            Command::ClearAccum { red, green, blue, alpha } => {
                v.set_all(const { slot(0x0b80) }, [red, green, blue, alpha].map(f64::from));
            }
            Command::ColorMask { red, green, blue, alpha } => {
                v.set_all(const { slot(0x0c23) }, [red, green, blue, alpha].map(|on| f64::from(on.min(1))));
            }
            Command::IndexMask { mask } => v.set(const { slot(0x0c21) }, mask),
            Command::AlphaFunc { func, ref_ } => {
                v.set(const { slot(0x0bc1) }, func);
                v.set(const { slot(0x0bc2) }, ref_.clamp(0.0, 1.0));
            }
            Command::BlendFunc { sfactor, dfactor } => self.blend(sfactor, dfactor, sfactor, dfactor),
            Command::BlendFuncSeparate { sfactor_r_g_b, dfactor_r_g_b, sfactor_alpha, dfactor_alpha } => {
                self.blend(sfactor_r_g_b, dfactor_r_g_b, sfactor_alpha, dfactor_alpha);
            }
            Command::BlendEquation { mode } => {
                v.set(const { slot(0x8009) }, mode);
                v.set(const { slot(0x883d) }, mode);
            }
            Command::BlendEquationSeparate { mode_r_g_b, mode_alpha } => {
                v.set(const { slot(0x8009) }, mode_r_g_b);
                v.set(const { slot(0x883d) }, mode_alpha);
            }
            Command::BlendColor { red, green, blue, alpha } => {
                v.set_all(const { slot(0x8005) }, [red, green, blue, alpha].map(f64::from));
            }
            Command::LogicOp { opcode } => v.set(const { slot(0x0bf0) }, opcode),
            Command::CullFace { mode } => v.set(const { slot(0x0b45) }, mode),
            Command::FrontFace { mode } => v.set(const { slot(0x0b46) }, mode),
            Command::PolygonMode { face, mode } => {
                let [front, back, ..] = v.get(const { slot(0x0b40) });
                let mode = f64::from(mode);
                let front = if face == 0x0405 { front } else { mode };
                let back = if face == 0x0404 { back } else { mode };
                v.set_all(const { slot(0x0b40) }, [front, back]);
            }
            Command::PolygonOffset { factor, units } => {
                v.set(const { slot(0x8038) }, factor);
                v.set(const { slot(0x2a00) }, units);
            }
            Command::LineWidth { width } => v.set(const { slot(0x0b21) }, width),
            Command::LineStipple { factor, pattern } => {
                v.set(const { slot(0x0b26) }, factor.clamp(1, 256));
                v.set(const { slot(0x0b25) }, pattern & 0xffff);
            }
            Command::PointSize { size } => v.set(const { slot(0x0b11) }, size),
            Command::Hint { target, mode } => {
                if let Some(place) = values::find(target) {
                    v.set(place, mode);
                }
            }
            Command::StencilFunc { func, ref_, mask } => {
                self.stencil_func(0x0404, func, ref_, mask);
                self.stencil_func(0x0405, func, ref_, mask);
            }
            Command::StencilFuncSeparate { face, func, ref_, mask } => {
                self.stencil_func(face, func, ref_, mask);
            }
            Command::StencilMask { mask } => {
                v.set(const { slot(0x0b98) }, mask);
                v.set(const { slot(0x8ca5) }, mask);
            }
            Command::StencilMaskSeparate { face, mask } => {
                if face != 0x0405 {
                    v.set(const { slot(0x0b98) }, mask);
                }
                if face != 0x0404 {
                    v.set(const { slot(0x8ca5) }, mask);
                }
            }
            Command::StencilOp { fail, zfail, zpass } => self.stencil_op(0x0408, [fail, zfail, zpass]),
            Command::StencilOpSeparate { face, sfail, dpfail, dppass } => {
                self.stencil_op(face, [sfail, dpfail, dppass]);
            }
            Command::SampleCoverage { value, invert } => {
                v.set(const { slot(0x80aa) }, value.clamp(0.0, 1.0));
                v.set(const { slot(0x80ab) }, invert.min(1));
            }
            Command::ProvokingVertex { mode } => v.set(const { slot(0x8e4f) }, mode),
            Command::PrimitiveRestartIndex { index } => v.set(const { slot(0x8f9e) }, index),
            Command::ListBase { base } => v.set(const { slot(0x0b32) }, base),
            _ => return false,
        }
        true
    }

    fn blend(&mut self, source: u32, target: u32, source_alpha: u32, target_alpha: u32) {
        let v = &mut self.values;
        v.set(const { slot(0x80c9) }, source);
        v.set(const { slot(0x80c8) }, target);
        v.set(const { slot(0x80cb) }, source_alpha);
        v.set(const { slot(0x80ca) }, target_alpha);
    }

    fn stencil_func(&mut self, face: u32, func: u32, reference: i32, mask: u32) {
        const FRONT: [usize; 3] = [slot(0x0b92), slot(0x0b97), slot(0x0b93)];
        const BACK: [usize; 3] = [slot(0x8800), slot(0x8ca3), slot(0x8ca4)];
        let both = [(FRONT, face != 0x0405), (BACK, face != 0x0404)];
        for ([func_at, reference_at, mask_at], _) in both.into_iter().filter(|(_, meant)| *meant) {
            self.values.set(func_at, func);
            self.values.set(reference_at, reference);
            self.values.set(mask_at, mask);
        }
    }

    fn stencil_op(&mut self, face: u32, ops: [u32; 3]) {
        const FRONT: [usize; 3] = [slot(0x0b94), slot(0x0b95), slot(0x0b96)];
        const BACK: [usize; 3] = [slot(0x8801), slot(0x8802), slot(0x8803)];
        let both = [(FRONT, face != 0x0405), (BACK, face != 0x0404)];
        for (places, _) in both.into_iter().filter(|(_, meant)| *meant) {
            places.into_iter().zip(ops).for_each(|(place, op)| self.values.set(place, op));
        }
    }
}
