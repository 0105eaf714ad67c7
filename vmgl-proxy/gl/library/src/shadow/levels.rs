//! Levels of textures as the program asks for them: their sizes, and what the name of their format says.
//!
//! What the renderer may have refused, and what its driver chooses, is not answered here: how many bits formats have whose
//! names do not say it, levels that were made of others, several samples, proxies. Nor is what may not have found room.

use vmgl_gl_stream::{Caps, Data};

use super::textures::{Level, Make, Texture};
use super::{Group, State};
use crate::caps::Strings;

const TEXTURE_1D: u32 = 0x0de0;
const TEXTURE_2D: u32 = 0x0de1;
const TEXTURE_3D: u32 = 0x806f;
const RECTANGLE: u32 = 0x84f5;
const CUBE: u32 = 0x8513;
const TEXTURE_1D_ARRAY: u32 = 0x8c18;
const TEXTURE_2D_ARRAY: u32 = 0x8c1a;

const WIDTH: u32 = 0x1000;
const HEIGHT: u32 = 0x1001;
const INTERNAL_FORMAT: u32 = 0x1003;
const BORDER: u32 = 0x1005;
const RED_SIZE: u32 = 0x805c;
const ALPHA_SIZE: u32 = 0x805f;
const LUMINANCE_SIZE: u32 = 0x8060;
const INTENSITY_SIZE: u32 = 0x8061;
const DEPTH: u32 = 0x8071;
const COMPRESSED_IMAGE_SIZE: u32 = 0x86a0;
const COMPRESSED: u32 = 0x86a1;
const DEPTH_SIZE: u32 = 0x884a;
const STENCIL_SIZE: u32 = 0x88f1;
const RED_TYPE: u32 = 0x8c10;
const ALPHA_TYPE: u32 = 0x8c13;
const LUMINANCE_TYPE: u32 = 0x8c14;
const INTENSITY_TYPE: u32 = 0x8c15;
const DEPTH_TYPE: u32 = 0x8c16;
const SHARED_SIZE: u32 = 0x8c3f;
const SAMPLES: u32 = 0x9106;
const FIXED_SAMPLE_LOCATIONS: u32 = 0x9107;
/// A parameter by which the levels above are made of the lowest at each change.
const GENERATE_MIPMAP: u32 = 0x8191;

const INT: u32 = 0x1404;
const UNSIGNED_INT: u32 = 0x1405;
const FLOAT: u32 = 0x1406;
const UNSIGNED_NORMALIZED: u32 = 0x8c17;

/// A level of more texels may find no room, and then is not there.
const TEXELS: i64 = 1 << 24;

/// What pixels of a format are given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Colour,
    Integer,
    Depth,
    DepthStencil,
}

/// What a format's name says: its class, whether it names bits, and whether only the compatibility profile has it.
fn named(internal: u32) -> Option<(Class, bool, bool)> {
    Some(match internal {
        1..=4 | 0x1906 | 0x1909 | 0x190a | 0x8049 => (Class::Colour, false, true),
        0x803b..=0x8048 | 0x804a..=0x804d => (Class::Colour, true, true),
        0x1903 | 0x1907 | 0x1908 | 0x8227 | 0x8c40 | 0x8c42 => (Class::Colour, false, false),
        0x2a10 | 0x804f..=0x805b | 0x8229..=0x8230 | 0x8814 | 0x8815 | 0x881a | 0x881b => {
            (Class::Colour, true, false)
        }
        0x8c3a | 0x8c3d | 0x8c41 | 0x8c43 | 0x8f94..=0x8f9b => (Class::Colour, true, false),
        0x8231..=0x823c | 0x906f => (Class::Integer, true, false),
        0x8d70 | 0x8d71 | 0x8d76 | 0x8d77 | 0x8d7c | 0x8d7d => (Class::Integer, true, false),
        0x8d82 | 0x8d83 | 0x8d88 | 0x8d89 | 0x8d8e | 0x8d8f => (Class::Integer, true, false),
        0x1902 => (Class::Depth, false, false),
        0x81a5..=0x81a7 | 0x8cac => (Class::Depth, true, false),
        0x84f9 => (Class::DepthStencil, false, false),
        0x88f0 | 0x8cad => (Class::DepthStencil, true, false),
        _ => return None,
    })
}

/// What drivers give a format that they take at its word: bits of the colours, of depth and of stencil, and their type.
fn bits(internal: u32) -> Option<([i32; 4], [i32; 2], u32)> {
    let colours = |bits, kind| Some((bits, [0, 0], kind));
    match internal {
        0x8229 => colours([8, 0, 0, 0], UNSIGNED_NORMALIZED),
        0x822b => colours([8, 8, 0, 0], UNSIGNED_NORMALIZED),
        0x8051 | 0x8c41 => colours([8, 8, 8, 0], UNSIGNED_NORMALIZED),
        0x8058 | 0x8c43 => colours([8; 4], UNSIGNED_NORMALIZED),
        0x8059 => colours([10, 10, 10, 2], UNSIGNED_NORMALIZED),
        0x822d => colours([16, 0, 0, 0], FLOAT),
        0x822e => colours([32, 0, 0, 0], FLOAT),
        0x822f => colours([16, 16, 0, 0], FLOAT),
        0x8230 => colours([32, 32, 0, 0], FLOAT),
        0x881b => colours([16, 16, 16, 0], FLOAT),
        0x8815 => colours([32, 32, 32, 0], FLOAT),
        0x881a => colours([16; 4], FLOAT),
        0x8814 => colours([32; 4], FLOAT),
        0x8c3a => colours([11, 11, 10, 0], FLOAT),
        // Integers of one and two colours: 8, 16 and 32 bits, signed before unsigned.
        0x8231..=0x823c => {
            let (place, kind) = (internal - 0x8231, if internal % 2 == 1 { INT } else { UNSIGNED_INT });
            let each = 8 << (place / 2 % 3);
            colours([each, if place < 6 { 0 } else { each }, 0, 0], kind)
        }
        0x8d82 => colours([32; 4], INT),
        0x8d88 => colours([16; 4], INT),
        0x8d8e => colours([8; 4], INT),
        0x8d70 => colours([32; 4], UNSIGNED_INT),
        0x8d76 => colours([16; 4], UNSIGNED_INT),
        0x8d7c => colours([8; 4], UNSIGNED_INT),
        0x8cac => Some(([0; 4], [32, 0], FLOAT)),
        0x8cad => Some(([0; 4], [32, 8], FLOAT)),
        _ => None,
    }
}

/// Bytes of a block of four by four pixels that are given packed, and the extension that it takes.
fn block(internal: u32) -> Option<(i32, Option<&'static str>)> {
    let s3tc = Some("GL_EXT_texture_compression_s3tc");
    match internal {
        0x83f0 | 0x83f1 => Some((8, s3tc)),
        0x83f2 | 0x83f3 => Some((16, s3tc)),
        0x8dbb | 0x8dbc => Some((8, None)),
        0x8dbd | 0x8dbe => Some((16, None)),
        _ => None,
    }
}

fn packed_bytes(internal: u32, [width, height, _]: [i32; 3]) -> Option<i32> {
    let blocks = |side: i32| side.checked_add(3).map(|side| side / 4);
    blocks(width)?.checked_mul(blocks(height)?)?.checked_mul(block(internal)?.0)
}

/// Whether pixels may be given so for a format of the class.
fn fits(class: Class, is_core: bool, (format, kind): (u32, u32)) -> bool {
    match class {
        Class::Colour => match format {
            0x1906 | 0x1909 | 0x190a if is_core => false,
            0x1907 if matches!(kind, 0x8032 | 0x8362..=0x8364) => true,
            0x1908 | 0x80e1 if matches!(kind, 0x8033..=0x8036 | 0x8365..=0x8368) => true,
            0x1903..=0x190a | 0x80e0 | 0x80e1 | 0x8227 => matches!(kind, 0x1400..=0x1406 | 0x140b),
            _ => false,
        },
        Class::Integer => {
            matches!(format, 0x8d94 | 0x8d98..=0x8d9b | 0x8228) && matches!(kind, 0x1400..=0x1405)
        }
        Class::Depth => format == 0x1902 && matches!(kind, 0x1400..=0x1406),
        Class::DepthStencil => format == 0x84f9 && matches!(kind, 0x84fa | 0x8dad),
    }
}

/// Whether no renderer that has room for a level refuses to make it; how large it may be is looked at when it is asked for.
pub(super) fn is_sure(
    is_core: bool,
    target: u32,
    (make, [width, height, _]): (Make, [i32; 3]),
    pixels: (u32, u32),
    data: Data<'_>,
) -> bool {
    let is_face = (0x8515..=0x851a).contains(&target);
    if is_face && width != height {
        return false;
    }
    match make {
        Make::Image { dimensions, internal, border: 0 } if !matches!(data, Data::Offset(_)) => {
            let it = named(internal.cast_unsigned()).filter(|(.., is_old)| !is_core || !is_old);
            let has_target = match dimensions {
                1 => target == TEXTURE_1D,
                2 => matches!(target, TEXTURE_2D | RECTANGLE | TEXTURE_1D_ARRAY) || is_face,
                _ => matches!(target, TEXTURE_3D | TEXTURE_2D_ARRAY),
            };
            has_target
                && it.is_some_and(|(class, ..)| {
                    let is_depth = matches!(class, Class::Depth | Class::DepthStencil);
                    fits(class, is_core, pixels) && !(is_depth && target == TEXTURE_3D)
                })
        }
        Make::Compressed { dimensions: 2, internal, border: 0 } => {
            let bytes = packed_bytes(internal, [width, height, 1]).and_then(|it| usize::try_from(it).ok());
            let is_whole = matches!(data, Data::Memory(given) if Some(given.len()) == bytes);
            (target == TEXTURE_2D || is_face) && is_whole
        }
        _ => false,
    }
}

/// The same of all levels of a texture at once.
pub(super) fn is_sure_stored(
    target: u32,
    internal: u32,
    [width, height, _]: [i32; 3],
    dimensions: u8,
) -> bool {
    let has_target = match dimensions {
        1 => target == TEXTURE_1D,
        2 => target == TEXTURE_2D || target == TEXTURE_1D_ARRAY || (target == CUBE && width == height),
        _ => matches!(target, TEXTURE_3D | TEXTURE_2D_ARRAY),
    };
    let class = named(internal).filter(|(_, is_sized, is_old)| *is_sized && !is_old).map(|(class, ..)| class);
    has_target
        && match class {
            Some(Class::Colour | Class::Integer) => true,
            Some(Class::Depth | Class::DepthStencil) => target != TEXTURE_3D,
            None => false,
        }
}

/// Whether what is drawn can be copied into a level of that format, where it has eight bits a colour.
pub(super) fn can_be_copied(internal: u32) -> bool {
    internal > 4 && matches!(named(internal), Some((Class::Colour, ..)))
}

/// How large a level may be; none if there is none of that number.
fn largest(caps: &Caps, target: u32, level: i32) -> Option<[i64; 3]> {
    let limit = |name: u32| caps.integers.get(&name)?.first().copied();
    let side = match target {
        TEXTURE_1D | TEXTURE_2D | TEXTURE_1D_ARRAY | TEXTURE_2D_ARRAY => limit(0x0d33)?,
        TEXTURE_3D => limit(0x8073)?,
        RECTANGLE if level == 0 => limit(0x84f8)?,
        0x8515..=0x851a => limit(0x851c)?,
        _ => return None,
    };
    let side = side.checked_shr(level.try_into().ok()?).filter(|side| *side > 0)?;
    Some(match target {
        TEXTURE_1D => [side, 1, 1],
        TEXTURE_1D_ARRAY => [side, limit(0x88ff)?, 1],
        TEXTURE_2D_ARRAY => [side, side, limit(0x88ff)?],
        TEXTURE_3D => [side; 3],
        _ => [side, side, 1],
    })
}

/// What is said of a level that nobody has made.
fn of_none(name: u32) -> Option<i32> {
    match name {
        WIDTH | HEIGHT | DEPTH | BORDER | COMPRESSED | DEPTH_SIZE | STENCIL_SIZE => Some(0),
        RED_SIZE..=ALPHA_SIZE | RED_TYPE..=ALPHA_TYPE => Some(0),
        _ => None,
    }
}

impl Level {
    /// The format that it was made with.
    fn internal(&self) -> u32 {
        match self.make {
            Make::Image { internal, .. } => internal.cast_unsigned(),
            Make::Compressed { internal, .. }
            | Make::Multisample { internal, .. }
            | Make::Stored { internal, .. } => internal,
        }
    }

    fn get(&self, name: u32) -> Option<i32> {
        let [width, height, depth] = self.sizes;
        let (internal, is_packed) = (self.internal(), matches!(self.make, Make::Compressed { .. }));
        match name {
            WIDTH => return Some(width),
            HEIGHT => return Some(height),
            DEPTH => return Some(depth),
            BORDER | SAMPLES => return Some(0),
            FIXED_SAMPLE_LOCATIONS => return Some(1),
            COMPRESSED => return Some(is_packed.into()),
            COMPRESSED_IMAGE_SIZE if is_packed => return packed_bytes(internal, self.sizes),
            INTERNAL_FORMAT => {
                let says_all = is_packed || named(internal)?.1;
                return says_all.then_some(internal.cast_signed());
            }
            _ => {}
        }
        let (colours, [depth, stencil], kind) = bits(internal)?;
        let place = |first: u32| usize::try_from(name - first).ok().and_then(|index| colours.get(index));
        let type_of = |bits: i32| if bits > 0 { kind.cast_signed() } else { 0 };
        match name {
            RED_SIZE..=ALPHA_SIZE => place(RED_SIZE).copied(),
            RED_TYPE..=ALPHA_TYPE => place(RED_TYPE).map(|bits| type_of(*bits)),
            LUMINANCE_SIZE | INTENSITY_SIZE | LUMINANCE_TYPE | INTENSITY_TYPE | SHARED_SIZE => Some(0),
            DEPTH_SIZE => Some(depth),
            DEPTH_TYPE => Some(type_of(depth)),
            STENCIL_SIZE => Some(stencil),
            _ => None,
        }
    }
}

impl Texture {
    fn get(&self, caps: &Caps, (target, level): (u32, i32), name: u32) -> Option<i32> {
        let Some(it) = self.levels.get(&(level, target)) else {
            let may_be_made = self.is_mipmapped || self.parameters.contains_key(&GENERATE_MIPMAP);
            return if may_be_made { None } else { of_none(name) };
        };
        // Where all are made at once the lowest says whether that was done.
        let lowest = if matches!(it.make, Make::Stored { .. }) { 0 } else { level };
        let sizes = self.levels.get(&(lowest, target))?.sizes.map(i64::from);
        let largest = largest(caps, target, lowest)?;
        let is_small = sizes.iter().zip(largest).all(|(side, largest)| (1..=largest).contains(side))
            && sizes
                .iter()
                .try_fold(1_i64, |all, side| all.checked_mul(*side))
                .is_some_and(|all| all <= TEXELS);
        let takes = block(it.internal()).and_then(|(_, extension)| extension);
        let is_there = takes.is_none_or(|takes| caps.extensions.iter().any(|has| has == takes));
        if it.is_sure && is_small && is_there { it.get(name) } else { None }
    }
}

impl State {
    /// What `glGetTexLevelParameter` gives, if that is known here.
    pub(crate) fn get_level(
        &mut self,
        group: &Group,
        caps: &Caps,
        (target, level): (u32, i32),
        name: u32,
    ) -> Option<i32> {
        let is_old =
            matches!(name, BORDER | LUMINANCE_SIZE | INTENSITY_SIZE | LUMINANCE_TYPE | INTENSITY_TYPE);
        // From 3.3 on all formats that are known here are there.
        if self.api > 1 || (is_old && self.api != 0) || self.begun.is_some() || !Strings::can(caps, (3, 3)) {
            return None;
        }
        largest(caps, target, level)?;
        let texture = self.texture_name(target)?;
        match group.kept_textures.get(&texture) {
            Some(it) => {
                let is_face = (0x8515..=0x851a).contains(&target);
                let is_its_own = it.target == if is_face { CUBE } else { target };
                is_its_own.then(|| it.get(caps, (target, level), name)).flatten()
            }
            // Another context may have deleted it, and here it is bound still.
            None if texture.0 != 0 => None,
            None => of_none(name),
        }
    }
}

#[cfg(test)]
#[path = "levels_tests.rs"]
mod tests;
