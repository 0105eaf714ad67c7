//! Lights and materials as the program asks for them: by the commands that set them last ([`super::kept`]), and what they are at first.
//!
//! What would have to be judged as the renderer judges it is not answered here: a command that it may have refused, a material that
//! follows the current colour, a number with a fraction that is asked for as an integer (some cut it, some round it).

use vmgl_gl_stream::{Assembler, Command, Commands};

use super::State;
use super::kept::form_of;
use super::matrix::Matrix;
use super::track::{floats, signed};
use super::values::slot;

const FRONT: u32 = 0x0404;
const FRONT_AND_BACK: u32 = 0x0408;
const AMBIENT: u32 = 0x1200;
const DIFFUSE: u32 = 0x1201;
const SPECULAR: u32 = 0x1202;
const POSITION: u32 = 0x1203;
const SPOT_DIRECTION: u32 = 0x1204;
const SPOT_EXPONENT: u32 = 0x1205;
const SPOT_CUTOFF: u32 = 0x1206;
const CONSTANT_ATTENUATION: u32 = 0x1207;
const QUADRATIC_ATTENUATION: u32 = 0x1209;
const EMISSION: u32 = 0x1600;
const SHININESS: u32 = 0x1601;
const AMBIENT_AND_DIFFUSE: u32 = 0x1602;
const COLOR_INDEXES: u32 = 0x1603;

/// What a command says of a light or a material, as it was given.
struct Given {
    name: u32,
    /// One number.
    is_scalar: bool,
    values: [f64; 4],
}

impl Given {
    fn of(command: &Command<'_>) -> Option<Self> {
        let one = |value: f64| [value, 0.0, 0.0, 0.0];
        let (name, is_scalar, values) = match *command {
            Command::Lightf { pname, param, .. } | Command::Materialf { pname, param, .. } => {
                (pname, true, one(param.into()))
            }
            Command::Lighti { pname, param, .. } | Command::Materiali { pname, param, .. } => {
                (pname, true, one(param.into()))
            }
            Command::Lightfv { pname, params, .. } | Command::Materialfv { pname, params, .. } => {
                (pname, false, floats(params))
            }
            Command::Lightiv { pname, params, .. } | Command::Materialiv { pname, params, .. } => {
                (pname, false, signed(is_colour(pname), params))
            }
            _ => return None,
        };
        Some(Self { name, is_scalar, values })
    }

    /// Whether no renderer refuses it.
    fn is_valid(&self) -> bool {
        let first = self.values[0];
        match self.name {
            SPOT_EXPONENT | SHININESS => (0.0..=128.0).contains(&first),
            SPOT_CUTOFF => (0.0..=90.0).contains(&first) || (first - 180.0).abs() < f64::EPSILON,
            CONSTANT_ATTENUATION..=QUADRATIC_ATTENUATION => first >= 0.0,
            _ => !self.is_scalar,
        }
    }
}

fn is_colour(name: u32) -> bool {
    matches!(name, AMBIENT..=SPECULAR | EMISSION | AMBIENT_AND_DIFFUSE)
}

/// Numbers as `glGetLightiv` and `glGetMaterialiv` give them, if that is not the renderer's to say.
#[expect(clippy::cast_possible_truncation, reason = "what does not fit is looked at before")]
pub(crate) fn whole(name: u32, values: &[f64]) -> Option<Vec<i32>> {
    let convert = |value: &f64| {
        // The renderer has it as a float.
        let value = f64::from(*value as f32);
        if is_colour(name) {
            return (value.abs() <= 1.0).then_some((value * f64::from(i32::MAX)) as i32);
        }
        let is_whole = value.fract() == 0.0 && value.abs() <= f64::from(1 << 24);
        is_whole.then_some(value as i32)
    };
    values.iter().map(convert).collect()
}

/// A point in eye coordinates.
fn moved(matrix: &Matrix, [x, y, z, w]: [f64; 4]) -> [f64; 4] {
    [0, 1, 2, 3].map(|row| matrix[row] * x + matrix[row + 4] * y + matrix[row + 8] * z + matrix[row + 12] * w)
}

impl State {
    /// What `glGetLightfv` gives, if that is known here.
    pub(crate) fn get_light(&self, light: u32, name: u32) -> Option<Vec<f64>> {
        let number = light.checked_sub(0x4000).filter(|number| *number < 8)?;
        let count = vmgl_gl_stream::size::light(name)?;
        let first = match name {
            AMBIENT => [0.0, 0.0, 0.0, 1.0],
            DIFFUSE | SPECULAR if number == 0 => [1.0; 4],
            DIFFUSE | SPECULAR => [0.0, 0.0, 0.0, 1.0],
            POSITION => [0.0, 0.0, 1.0, 0.0],
            SPOT_DIRECTION => [0.0, 0.0, -1.0, 0.0],
            SPOT_CUTOFF => [180.0, 0.0, 0.0, 0.0],
            CONSTANT_ATTENUATION => [1.0, 0.0, 0.0, 0.0],
            _ => [0.0; 4],
        };
        let asked = Command::Lightf { light, pname: name, param: 0.0 };
        let values = match self.kept.last(form_of(&asked)?.key(0)) {
            None => first,
            Some((_, matrix, bytes)) => {
                let given = decoded(bytes).filter(Given::is_valid)?;
                match (name, matrix) {
                    (POSITION, Some(matrix)) => moved(matrix, given.values),
                    (SPOT_DIRECTION, Some(matrix)) => {
                        let [x, y, z, _] = given.values;
                        moved(matrix, [x, y, z, 0.0])
                    }
                    _ => given.values,
                }
            }
        };
        Some(values[..count].to_vec())
    }

    /// What `glGetMaterialfv` gives, if that is known here.
    pub(crate) fn get_material(&self, face: u32, name: u32) -> Option<Vec<f64>> {
        let count = vmgl_gl_stream::size::material(name)?;
        let first = match name {
            AMBIENT => [0.2, 0.2, 0.2, 1.0].map(|part: f32| f64::from(part)),
            DIFFUSE => [0.8, 0.8, 0.8, 1.0].map(|part: f32| f64::from(part)),
            SPECULAR | EMISSION => [0.0, 0.0, 0.0, 1.0],
            SHININESS => [0.0; 4],
            COLOR_INDEXES => [0.0, 1.0, 1.0, 0.0],
            // That is only set.
            _ => return None,
        };
        if !matches!(face, FRONT | 0x0405) || self.values.get(const { slot(0x0b57) })[0] != 0.0 {
            return None;
        }
        let both = matches!(name, AMBIENT | DIFFUSE).then_some(AMBIENT_AND_DIFFUSE);
        let names = [Some(name), both].into_iter().flatten();
        let places = names.flat_map(|name| [face, FRONT_AND_BACK].map(|face| (face, name)));
        let last = places
            .filter_map(|(face, pname)| {
                let asked = Command::Materialf { face, pname, param: 0.0 };
                self.kept.last(form_of(&asked)?.key(0))
            })
            .max_by_key(|(order, ..)| *order);
        let values = match last {
            None => first,
            Some((_, _, bytes)) => decoded(bytes).filter(Given::is_valid)?.values,
        };
        Some(values[..count].to_vec())
    }
}

fn decoded(bytes: &[u8]) -> Option<Given> {
    let (mut assembler, mut commands) = (Assembler::new(), Commands::new(bytes));
    assembler.next(&mut commands).ok().flatten().and_then(|command| Given::of(&command))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Caps, Command};

    use super::super::{Group, State};
    use super::*;
    use crate::caps::Strings;

    fn after(commands: &[Command<'_>]) -> State {
        let mut state = State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0);
        let mut group = Group::default();
        commands.iter().for_each(|command| state.track(&mut group, command));
        state
    }

    fn bytes(values: [f32; 4]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    #[test]
    fn a_light_stands_where_the_matrix_of_its_moment_puts_it() {
        let place = bytes([1.0, 2.0, 3.0, 1.0]);
        let state = after(&[
            Command::MatrixMode { mode: 0x1700 },
            Command::Translatef { x: 10.0, y: 0.0, z: 0.0 },
            Command::Lightfv { light: 0x4001, pname: POSITION, params: &place },
            Command::Lightfv { light: 0x4001, pname: SPOT_DIRECTION, params: &place[..12] },
            Command::LoadIdentity,
        ]);
        assert_eq!(state.get_light(0x4001, POSITION).unwrap(), [11.0, 2.0, 3.0, 1.0]);
        assert_eq!(state.get_light(0x4001, SPOT_DIRECTION).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(state.get_light(0x4000, POSITION).unwrap(), [0.0, 0.0, 1.0, 0.0]);
        assert_eq!(state.get_light(0x4000, DIFFUSE).unwrap(), [1.0; 4]);
        assert_eq!((state.get_light(0x4008, POSITION), state.get_light(0x4000, EMISSION)), (None, None));
    }

    #[test]
    fn as_integers_colours_fill_their_range_and_a_fraction_is_the_renderers_to_round() {
        assert_eq!(whole(DIFFUSE, &[1.0, 0.0, -1.0, 0.5]).unwrap(), [i32::MAX, 0, -i32::MAX, 0x3fff_ffff]);
        assert_eq!(whole(POSITION, &[11.0, -2.0, 3.0, 1.0]).unwrap(), [11, -2, 3, 1]);
        assert_eq!(whole(SPOT_CUTOFF, &[180.0]).unwrap(), [180]);
        assert_eq!(
            [whole(DIFFUSE, &[1.5]), whole(POSITION, &[0.25]), whole(SHININESS, &[1e30])],
            [None, None, None]
        );
    }

    #[test]
    fn of_what_sets_a_material_the_last_counts_whatever_faces_and_names_it_has() {
        let [one, two] = [1.0, 0.5].map(|part| bytes([part; 4]));
        let state = after(&[
            Command::Materialfv { face: FRONT, pname: AMBIENT, params: &one },
            Command::Materialfv { face: FRONT_AND_BACK, pname: AMBIENT_AND_DIFFUSE, params: &two },
            Command::Materialfv { face: FRONT, pname: DIFFUSE, params: &one },
            Command::Materialf { face: FRONT, pname: SHININESS, param: 7.0 },
        ]);
        assert_eq!(state.get_material(FRONT, AMBIENT).unwrap(), [0.5; 4]);
        assert_eq!(state.get_material(FRONT, DIFFUSE).unwrap(), [1.0; 4]);
        assert_eq!(state.get_material(0x0405, DIFFUSE).unwrap(), [0.5; 4]);
        assert_eq!(state.get_material(FRONT, SHININESS).unwrap(), [7.0]);
        assert_eq!(state.get_material(0x0405, SHININESS).unwrap(), [0.0]);
    }

    #[test]
    fn what_the_renderer_may_see_otherwise_is_asked_there() {
        let state = after(&[
            Command::Lightf { light: 0x4000, pname: SPOT_EXPONENT, param: 129.0 },
            Command::Lightf { light: 0x4000, pname: SPOT_CUTOFF, param: 91.0 },
            Command::Lightf { light: 0x4000, pname: DIFFUSE, param: 1.0 },
            Command::Materialf { face: FRONT, pname: SHININESS, param: -1.0 },
        ]);
        assert_eq!(
            [SPOT_EXPONENT, SPOT_CUTOFF, DIFFUSE].map(|name| state.get_light(0x4000, name)),
            [None, None, None]
        );
        assert_eq!(state.get_material(FRONT, SHININESS), None);
        let follows = after(&[Command::Enable { cap: 0x0b57 }]);
        assert_eq!(follows.get_material(FRONT, DIFFUSE), None);
    }
}
