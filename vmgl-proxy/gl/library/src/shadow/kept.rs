//! State that no program asks for often enough to be kept as numbers: of each piece the command that set it last, for the
//! day when it must be set again. Which piece a command sets is its [`Key`].
//!
//! Replayed in the order in which they were given, later ones win over earlier ones as they did then. What a light's place,
//! a plane or a texture's generation depends on is the matrix of that moment; it is kept with them.
//!
//! Invariant: a key stands once, so that memory is bounded by the number of OpenGL's names.

use std::collections::BTreeMap;

use vmgl_gl_stream::{Command, Data};

use super::matrix::Matrix;
use super::values::group;

/// Groups of attributes that only these records have.
const POLYGON_STIPPLE: u32 = 0x10;
const PIXEL_MODE: u32 = 0x20;

/// Which piece of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    what: u8,
    unit: u8,
    target: u32,
    name: u32,
}

/// How a piece of state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    key: Key,
    groups: u32,
    /// The matrix of eye coordinates changes what it means.
    pub(crate) by_matrix: bool,
    /// It is the active texture unit's.
    by_unit: bool,
}

impl Form {
    /// The key, for commands of the unit that is active.
    pub(crate) fn key(&self, active: usize) -> Key {
        let unit = if self.by_unit { u8::try_from(active).unwrap_or(u8::MAX) } else { 0 };
        Key { unit, ..self.key }
    }

    /// Whether a display list needs only the last of its kind.
    pub(crate) fn is_free(&self) -> bool {
        !self.by_matrix && !self.by_unit
    }
}

fn form(what: u8, groups: u32, target: u32, name: u32) -> Form {
    Form { key: Key { what, unit: 0, target, name }, groups, by_matrix: false, by_unit: false }
}

/// How a command is kept, if it is kept so.
pub(crate) fn form_of(command: &Command<'_>) -> Option<Form> {
    use Command as C;
    Some(match *command {
        C::Lightf { light, pname, .. }
        | C::Lighti { light, pname, .. }
        | C::Lightfv { light, pname, .. }
        | C::Lightiv { light, pname, .. } => {
            // Where it is, and whither it shines.
            let by_matrix = matches!(pname, 0x1203 | 0x1204);
            Form { by_matrix, ..form(1, group::LIGHTING, light, pname) }
        }
        C::Materialf { face, pname, .. }
        | C::Materiali { face, pname, .. }
        | C::Materialfv { face, pname, .. }
        | C::Materialiv { face, pname, .. } => form(2, group::LIGHTING, face, pname),
        C::TexEnvf { target, pname, .. }
        | C::TexEnvi { target, pname, .. }
        | C::TexEnvfv { target, pname, .. }
        | C::TexEnviv { target, pname, .. } => {
            Form { by_unit: true, ..form(3, group::TEXTURE, target, pname) }
        }
        C::TexGend { coord, pname, .. }
        | C::TexGenf { coord, pname, .. }
        | C::TexGeni { coord, pname, .. }
        | C::TexGendv { coord, pname, .. }
        | C::TexGenfv { coord, pname, .. }
        | C::TexGeniv { coord, pname, .. } => {
            let by_matrix = pname == 0x2502;
            Form { by_unit: true, by_matrix, ..form(4, group::TEXTURE, coord, pname) }
        }
        C::ClipPlane { plane, .. } => Form { by_matrix: true, ..form(5, group::TRANSFORM, plane, 0) },
        C::PointParameterf { pname, .. }
        | C::PointParameteri { pname, .. }
        | C::PointParameterfv { pname, .. }
        | C::PointParameteriv { pname, .. } => form(6, group::POINT, pname, 0),
        C::PolygonStipple { mask: Data::Memory(_) } => form(7, POLYGON_STIPPLE, 0, 0),
        C::PixelTransferf { pname, .. } | C::PixelTransferi { pname, .. } => form(8, PIXEL_MODE, pname, 0),
        C::PixelZoom { .. } => form(9, PIXEL_MODE, 0, 0),
        C::PixelMapfv { map, values: Data::Memory(_), .. }
        | C::PixelMapuiv { map, values: Data::Memory(_), .. }
        | C::PixelMapusv { map, values: Data::Memory(_), .. } => form(10, group::NONE, map, 0),
        C::Map1d { target, .. }
        | C::Map1f { target, .. }
        | C::Map2d { target, .. }
        | C::Map2f { target, .. } => form(11, group::EVAL, target, 0),
        C::MapGrid1d { .. } | C::MapGrid1f { .. } => form(12, group::EVAL, 1, 0),
        C::MapGrid2d { .. } | C::MapGrid2f { .. } => form(12, group::EVAL, 2, 0),
        C::Enablei { target, index } | C::Disablei { target, index } => {
            form(14, group::ENABLE | group::COLOR, target, index)
        }
        C::ColorMaski { index, .. } => form(15, group::COLOR, index, 0),
        C::ClampColor { target, .. } => form(16, group::COLOR | group::ENABLE, target, 0),
        C::EdgeFlag { .. } | C::EdgeFlagv { .. } => form(17, group::CURRENT, 0, 0),
        C::SampleMaski { mask_number, .. } => form(18, group::MULTISAMPLE, mask_number, 0),
        _ => return None,
    })
}

/// How a switch is kept that is no number: evaluators, and what nobody has thought of.
pub(crate) fn switch(cap: u32) -> Form {
    form(13, group::ENABLE | group::EVAL, cap, 0)
}

#[derive(Debug, Clone)]
struct Record {
    order: u64,
    groups: u32,
    matrix: Option<Box<Matrix>>,
    bytes: Vec<u8>,
}

/// A record that differs from an older state's.
pub(crate) struct Piece<'k> {
    /// The unit that must be active.
    pub(crate) unit: usize,
    /// The matrix of eye coordinates that must hold.
    pub(crate) matrix: Option<&'k Matrix>,
    /// The command.
    pub(crate) bytes: &'k [u8],
}

/// The records of a context.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept {
    records: BTreeMap<Key, Record>,
    last: u64,
}

impl Kept {
    /// A command is given.
    pub(crate) fn set(&mut self, form: &Form, active: usize, matrix: Option<Matrix>, command: &Command<'_>) {
        self.last += 1;
        let fresh = || Record { order: 0, groups: form.groups, matrix: None, bytes: Vec::new() };
        let record = self.records.entry(form.key(active)).or_insert_with(fresh);
        record.order = self.last;
        record.matrix = matrix.map(Box::new);
        record.bytes.clear();
        command.encode(&mut record.bytes);
    }

    /// The command that set a piece last: its place in their order, the matrix that it depends on, and itself.
    pub(crate) fn last(&self, key: Key) -> Option<(u64, Option<&Matrix>, &[u8])> {
        self.records.get(&key).map(|record| (record.order, record.matrix.as_deref(), &record.bytes[..]))
    }

    /// Takes from others all that belongs to the groups.
    pub(crate) fn restore(&mut self, from: &Self, groups: u32) {
        self.records.retain(|_, record| record.groups & groups == 0);
        let saved = from.records.iter().filter(|(_, record)| record.groups & groups != 0);
        self.records.extend(saved.map(|(key, record)| (*key, record.clone())));
        self.last = self.last.max(from.last);
    }

    /// What has to be given to come here from an older state, in its order.
    pub(crate) fn since<'k>(&'k self, older: &Self) -> Vec<Piece<'k>> {
        let is_new = |key: &Key, record: &Record| {
            older.records.get(key).is_none_or(|old| old.bytes != record.bytes || old.matrix != record.matrix)
        };
        let mut pieces: Vec<(u64, Piece<'k>)> = self
            .records
            .iter()
            .filter(|(key, record)| is_new(key, record))
            .map(|(key, record)| {
                let matrix = record.matrix.as_deref();
                (record.order, Piece { unit: key.unit.into(), matrix, bytes: &record.bytes })
            })
            .collect();
        pieces.sort_by_key(|(order, _)| *order);
        pieces.into_iter().map(|(_, piece)| piece).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::Command;

    use super::{Kept, form_of, group};

    fn give(kept: &mut Kept, unit: usize, command: &Command<'_>) {
        kept.set(&form_of(command).unwrap(), unit, None, command);
    }

    fn material(pname: u32, param: f32) -> Command<'static> {
        Command::Materialf { face: 0x0408, pname, param }
    }

    fn encoded(command: &Command<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        bytes
    }

    fn pieces(kept: &Kept, older: &Kept) -> Vec<Vec<u8>> {
        kept.since(older).iter().map(|piece| piece.bytes.to_vec()).collect()
    }

    #[test]
    fn the_last_of_each_kind_is_kept_in_the_order_they_came() {
        let mut kept = Kept::default();
        give(&mut kept, 0, &material(0x1602, 1.0));
        give(&mut kept, 0, &material(0x1200, 2.0));
        give(&mut kept, 0, &material(0x1602, 3.0));
        let wanted = [encoded(&material(0x1200, 2.0)), encoded(&material(0x1602, 3.0))];
        assert_eq!(pieces(&kept, &Kept::default()), wanted);
        let older = kept.clone();
        give(&mut kept, 0, &material(0x1601, 4.0));
        assert_eq!(pieces(&kept, &older), [encoded(&material(0x1601, 4.0))]);
    }

    #[test]
    fn units_of_textures_have_their_own() {
        let mut kept = Kept::default();
        let mode = |param| Command::TexEnvi { target: 0x2300, pname: 0x2200, param };
        give(&mut kept, 0, &mode(1));
        give(&mut kept, 3, &mode(2));
        let units: Vec<_> = kept.since(&Kept::default()).iter().map(|piece| piece.unit).collect();
        assert_eq!(units, [0, 3]);
    }

    #[test]
    fn what_is_popped_is_what_belongs_to_the_groups() {
        let mut kept = Kept::default();
        give(&mut kept, 0, &material(0x1601, 1.0));
        let saved = kept.clone();
        give(&mut kept, 0, &material(0x1601, 2.0));
        give(&mut kept, 0, &Command::PixelZoom { xfactor: 2.0, yfactor: 2.0 });
        kept.restore(&saved, group::LIGHTING);
        let wanted =
            [encoded(&material(0x1601, 1.0)), encoded(&Command::PixelZoom { xfactor: 2.0, yfactor: 2.0 })];
        assert_eq!(pieces(&kept, &Kept::default()), wanted);
    }
}
