//! Textures whose room is made at once (`glTexStorage`): all levels, whose sizes then stay as they are.

use vmgl_gl_stream::Command;

use super::textures::{Level, Make, plain};
use super::{Group, State, levels};

const TEXTURE_3D: u32 = 0x806f;
const CUBE: u32 = 0x8513;
/// Rows of it are layers, as many at each level.
const TEXTURE_1D_ARRAY: u32 = 0x8c18;
const TEXTURE_2D_ARRAY: u32 = 0x8c1a;

/// Whether a format packs its pixels.
fn is_packed(internal: u32) -> bool {
    matches!(
        internal,
        0x83f0..=0x83f3 | 0x8c4c..=0x8c4f | 0x8d64 | 0x8dbb..=0x8dbe | 0x8e8c..=0x8e8f | 0x9270..=0x9279
    )
}

/// The sizes of a level.
fn level_sizes(target: u32, level: i32, [width, height, depth]: [i32; 3]) -> [i32; 3] {
    let half = |side: i32| (side >> level).max(1);
    match target {
        TEXTURE_3D => [half(width), half(height), half(depth)],
        TEXTURE_1D_ARRAY => [half(width), height, depth],
        _ => [half(width), half(height), depth],
    }
}

impl State {
    /// What a command makes at once.
    pub(super) fn apply_storage(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        let (dimensions, target, levels, internal, sizes) = match *command {
            Command::TexStorage1D { target, levels, internalformat, width } => {
                (1, target, levels, internalformat, [width, 1, 1])
            }
            Command::TexStorage2D { target, levels, internalformat, width, height } => {
                (2, target, levels, internalformat, [width, height, 1])
            }
            Command::TexStorage3D { target, levels, internalformat, width, height, depth } => {
                (3, target, levels, internalformat, [width, height, depth])
            }
            _ => return false,
        };
        group.images += 1;
        // Layers are as many at each level.
        let sides = if target == TEXTURE_2D_ARRAY { &sizes[..2] } else { &sizes[..] };
        let sides = if target == TEXTURE_1D_ARRAY { &sizes[..1] } else { sides };
        let largest = sides.iter().copied().max().unwrap_or(0);
        // What OpenGL refuses makes nothing.
        if !(1..=31).contains(&levels) || sizes.iter().any(|side| *side < 1) || largest >> (levels - 1) == 0 {
            return true;
        }
        let is_named = self.texture_name(target).is_some_and(|(name, _)| name != 0);
        let is_sure = is_named
            && self.api < 2
            && self.begun.is_none()
            && levels::is_sure_stored(target, internal, sizes, dimensions);
        let Some(texture) = self.texture(group, target) else { return true };
        if texture.storage.is_some() {
            return true;
        }
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        texture.storage = Some(bytes);
        let gone: usize = std::mem::take(&mut texture.levels).values().map(Level::bytes).sum();
        texture.is_mipmapped = false;
        let faces = if target == CUBE { 0x8515..=0x851a } else { target..=target };
        let make = Make::Stored { dimensions, internal, is_packed: is_packed(internal) };
        for level in 0..levels {
            let sizes = level_sizes(target, level, sizes);
            for face in faces.clone() {
                let it = Level::empty(make, sizes, plain(internal.cast_signed()));
                texture.levels.insert((level, face), Level { is_sure, ..it });
            }
        }
        group.kept_bytes -= gone;
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Caps, Command, Data};

    use super::{CUBE, Group, Make, State, TEXTURE_1D_ARRAY, TEXTURE_3D, level_sizes};
    use crate::caps::Strings;

    const RGBA: (u32, u32) = (0x1908, 0x1401);

    fn begin(target: u32) -> (State, Group) {
        let mut state = State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0);
        let mut group = Group::default();
        state.track(&mut group, &Command::BindTexture { target, texture: 7 });
        (state, group)
    }

    fn storage(target: u32, levels: i32, width: i32) -> Command<'static> {
        Command::TexStorage2D { target, levels, internalformat: 0x8058, width, height: 4 }
    }

    fn part(target: u32, level: i32, pixels: &[u8]) -> Command<'_> {
        let (format, type_) = RGBA;
        let (width, height) = (1, 1);
        let pixels = Data::Memory(pixels);
        Command::TexSubImage2D { target, level, xoffset: 0, yoffset: 0, width, height, format, type_, pixels }
    }

    #[test]
    fn levels_are_halves_of_those_below_but_layers_stay_as_many() {
        assert_eq!(level_sizes(0x0de1, 2, [8, 3, 1]), [2, 1, 1]);
        assert_eq!(level_sizes(TEXTURE_3D, 1, [8, 4, 6]), [4, 2, 3]);
        assert_eq!(level_sizes(TEXTURE_1D_ARRAY, 1, [8, 6, 1]), [4, 6, 1]);
        assert_eq!(level_sizes(0x8c1a, 3, [8, 8, 5]), [1, 1, 5]);
    }

    #[test]
    fn all_levels_and_faces_are_there_at_once_and_keep_what_is_put_into_them() {
        let (mut state, mut group) = begin(CUBE);
        state.track(&mut group, &storage(CUBE, 3, 4));
        state.track(&mut group, &part(0x8517, 2, &[1, 2, 3, 4]));
        let texture = &group.kept_textures[&(7, 0)];
        assert_eq!(texture.levels.len(), 18);
        let it = &texture.levels[&(2, 0x8517)];
        assert_eq!((it.sizes, it.pixels.as_slice(), group.kept_bytes), ([1, 1, 1], &[1, 2, 3, 4][..], 4));
        assert!(matches!(it.make, Make::Stored { dimensions: 2, is_packed: false, .. }));
        // What is made of the lowest level needs no pixels, and can still be put into.
        state.track(&mut group, &Command::GenerateMipmap { target: CUBE });
        assert_eq!((group.kept_textures[&(7, 0)].levels.len(), group.kept_bytes), (18, 0));
        state.track(&mut group, &part(0x8517, 2, &[5, 6, 7, 8]));
        assert_eq!(group.kept_bytes, 4);
    }

    #[test]
    fn what_opengl_refuses_makes_nothing_and_room_is_made_once() {
        let (mut state, mut group) = begin(0x0de1);
        for refused in [storage(0x0de1, 4, 4), storage(0x0de1, 0, 4), storage(0x0de1, 1, 0)] {
            state.track(&mut group, &refused);
            assert!(group.kept_textures[&(7, 0)].storage.is_none(), "{refused:?}");
        }
        state.track(&mut group, &storage(0x0de1, 3, 4));
        state.track(&mut group, &storage(0x0de1, 1, 2));
        assert_eq!(group.kept_textures[&(7, 0)].levels.len(), 3);
    }
}
