//! Textures and what else holds pixels, as far as is needed to make them anew: parameters, levels with their pixels, and
//! which of them the renderer has drawn into, so that only it knows what they hold.
//!
//! Invariant: a share group keeps at most [`ROOM`] bytes of pixels and lists; what finds no room is made anew without
//! contents and named as lost.

use std::collections::BTreeMap;

use vmgl_gl_stream::{Command, Data, size};

use super::bindings::texture_place;
use super::{Group, State, levels};

/// Bytes of pixels and lists that a share group keeps at most.
pub(crate) const ROOM: usize = 256 << 20;
/// Parts of a level in other formats than its own that are kept; so many change it no more than a few.
const PARTS: usize = 64;

const BASE: i32 = 0;

/// How a level is made: `Stored` with all others of its texture, by one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    Image { dimensions: u8, internal: i32, border: i32 },
    Compressed { dimensions: u8, internal: u32, border: i32 },
    Multisample { internal: u32, samples: i32, fixed: u32 },
    Stored { dimensions: u8, internal: u32, is_packed: bool },
}

/// A level of one face.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) make: Make,
    pub(crate) sizes: [i32; 3],
    /// Format and type of the pixels that are kept.
    pub(crate) format: u32,
    pub(crate) kind: u32,
    /// Without gaps; empty if nothing is known of them.
    pub(crate) pixels: Vec<u8>,
    /// Commands that change parts of it, in other formats.
    pub(crate) parts: Vec<Vec<u8>>,
    /// The renderer wrote into it, or there was no room: what is here is old.
    pub(crate) is_lost: bool,
    /// It was asked of the renderer, and nothing was drawn since.
    pub(crate) is_home: bool,
    /// The renderer has made it as it is here: there was nothing to refuse.
    pub(super) is_sure: bool,
}

/// A texture.
#[derive(Debug, Default)]
pub(crate) struct Texture {
    pub(crate) target: u32,
    /// The command that set each parameter last.
    pub(crate) parameters: BTreeMap<u32, Vec<u8>>,
    /// By level and face.
    pub(crate) levels: BTreeMap<(i32, u32), Level>,
    /// The levels above the lowest were made of it.
    pub(crate) is_mipmapped: bool,
    /// The buffer that it shows.
    pub(crate) buffer: Option<(u32, u32)>,
    /// The command that made the room of all levels at once.
    pub(crate) storage: Option<Vec<u8>>,
}

/// A texture's name; of name 0 there is one for each target.
pub(crate) type Name = (u32, u32);

/// A format and a type in which a level can be made without pixels.
pub(super) fn plain(internal: i32) -> (u32, u32) {
    match internal {
        0x1903 | 0x1906 | 0x1907 | 0x1909 | 0x190a | 0x8227 => (internal.cast_unsigned(), 0x1401),
        0x1902 | 0x81a5..=0x81a7 | 0x8cac => (0x1902, 0x1405),
        0x84f9 | 0x88f0 => (0x84f9, 0x84fa),
        0x8cad => (0x84f9, 0x8dad),
        0x8d70..=0x8d8f | 0x8231..=0x823c => (0x8d99, 0x1405),
        // Floats.
        0x8814..=0x881f | 0x822d..=0x8230 | 0x8c3a | 0x8c3d => (0x1908, 0x1406),
        _ => (0x1908, 0x1401),
    }
}

impl Level {
    /// Nothing is known of its pixels.
    pub(super) fn empty(make: Make, sizes: [i32; 3], (format, kind): (u32, u32)) -> Self {
        let (pixels, parts) = (Vec::new(), Vec::new());
        Self { make, sizes, format, kind, pixels, parts, is_lost: false, is_home: false, is_sure: false }
    }

    pub(super) fn bytes(&self) -> usize {
        self.pixels.len() + self.parts.iter().map(Vec::len).sum::<usize>()
    }

    /// A part of it is given. Whether it could be kept.
    fn change(&mut self, place: [i32; 3], sizes: [i32; 3], (format, kind): (u32, u32), bytes: &[u8]) -> bool {
        if !matches!(self.make, Make::Image { border: 0, .. } | Make::Stored { is_packed: false, .. }) {
            return false;
        }
        if place == [0; 3] && sizes == self.sizes {
            (self.format, self.kind, self.is_lost) = (format, kind, false);
            self.pixels.clear();
            self.pixels.extend_from_slice(bytes);
            self.parts.clear();
            return true;
        }
        let whole = self.sizes;
        if self.pixels.is_empty() && self.parts.is_empty() {
            let [width, height, depth] = whole;
            let Some(total) = size::image_3d(format, kind, width, height, depth) else { return false };
            if total > ROOM {
                return false;
            }
            self.pixels = vec![0; total];
            (self.format, self.kind) = (format, kind);
        }
        if (self.format, self.kind) != (format, kind) || !self.parts.is_empty() {
            return false;
        }
        self.copy(place, sizes, bytes).is_some()
    }

    /// Copies rows of a part to where they belong.
    fn copy(&mut self, place: [i32; 3], sizes: [i32; 3], bytes: &[u8]) -> Option<()> {
        let number = |value: i32| usize::try_from(value).ok();
        let [x, y, z] = [number(place[0])?, number(place[1])?, number(place[2])?];
        let [width, height, depth] = [number(sizes[0])?, number(sizes[1])?, number(sizes[2])?];
        let [whole, tall, _] = [number(self.sizes[0])?, number(self.sizes[1])?, number(self.sizes[2])?];
        let pixel = size::pixel_bytes(self.format, self.kind)?;
        let row = width.checked_mul(pixel)?;
        if row == 0 || x + width > whole || y + height > tall {
            return None;
        }
        let mut rows = bytes.chunks_exact(row);
        for layer in z..z + depth {
            for line in y..y + height {
                let start = ((layer * tall + line) * whole + x) * pixel;
                self.pixels.get_mut(start..start + row)?.copy_from_slice(rows.next()?);
            }
        }
        Some(())
    }
}

impl State {
    /// The texture that commands for a target are about; none of a proxy.
    pub(super) fn texture_name(&mut self, target: u32) -> Option<Name> {
        let target = if (0x8515..=0x851a).contains(&target) { 0x8513 } else { target };
        let name = self.unit().bound[texture_place(target)?];
        Some((name, if name == 0 { target } else { 0 }))
    }

    pub(super) fn texture<'g>(&mut self, group: &'g mut Group, target: u32) -> Option<&'g mut Texture> {
        let name = self.texture_name(target)?;
        let target = if (0x8515..=0x851a).contains(&target) { 0x8513 } else { target };
        let first = || Texture { target, ..Texture::default() };
        Some(group.kept_textures.entry(name).or_insert_with(first))
    }

    /// A level is made, with its pixels if there are any.
    fn make_level(
        &mut self,
        group: &mut Group,
        (target, level): (u32, i32),
        (make, sizes): (Make, [i32; 3]),
        (format, kind): (u32, u32),
        data: Data<'_>,
    ) {
        let used = group.kept_bytes;
        let is_sure = self.api < 2
            && self.begun.is_none()
            && levels::is_sure(self.api == 1, target, (make, sizes), (format, kind), data);
        // Where the room of all levels is there OpenGL refuses to make another.
        let Some(texture) = self.texture(group, target).filter(|it| it.storage.is_none()) else { return };
        let before = texture.levels.get(&(level, target)).map_or(0, Level::bytes);
        let (mut pixels, mut is_lost) = (Vec::new(), matches!(data, Data::Offset(_)));
        if let Data::Memory(bytes) = data {
            is_lost = used - before + bytes.len() > ROOM;
            if !is_lost {
                pixels.extend_from_slice(bytes);
            }
        }
        let after = pixels.len();
        let made = Level { pixels, is_lost, is_sure, ..Level::empty(make, sizes, (format, kind)) };
        texture.levels.insert((level, target), made);
        group.kept_bytes = used - before + after;
    }

    fn change_level(
        &mut self,
        group: &mut Group,
        (target, level): (u32, i32),
        (place, sizes): ([i32; 3], [i32; 3]),
        format: Option<(u32, u32)>,
        (data, command): (Data<'_>, &Command<'_>),
    ) {
        let used = group.kept_bytes;
        let Some(texture) = self.texture(group, target) else { return };
        let Some(it) = texture.levels.get_mut(&(level, target)) else { return };
        let before = it.bytes();
        let Data::Memory(bytes) = data else {
            it.is_lost = true;
            return;
        };
        if used + bytes.len() > ROOM {
            it.is_lost = true;
            return;
        }
        if !format.is_some_and(|format| it.change(place, sizes, format, bytes)) {
            if it.parts.len() < PARTS {
                let mut part = Vec::new();
                command.encode(&mut part);
                it.parts.push(part);
            } else {
                it.is_lost = true;
            }
        }
        group.kept_bytes = used - before + it.bytes();
    }

    /// What commands change of textures.
    pub(super) fn apply_textures(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        use Command as C;
        match *command {
            C::TexParameterf { target, pname, .. }
            | C::TexParameteri { target, pname, .. }
            | C::TexParameterfv { target, pname, .. }
            | C::TexParameteriv { target, pname, .. }
            | C::TexParameterIiv { target, pname, .. }
            | C::TexParameterIuiv { target, pname, .. } => {
                if let Some(texture) = self.texture(group, target) {
                    let bytes = texture.parameters.entry(pname).or_default();
                    bytes.clear();
                    command.encode(bytes);
                }
                return true;
            }
            C::TexImage1D { target, level, internalformat, width, border, format, type_, pixels } => {
                let make = Make::Image { dimensions: 1, internal: internalformat, border };
                let how = (make, [width, 1, 1]);
                self.make_level(group, (target, level), how, (format, type_), pixels);
            }
            C::TexImage2D { target, level, internalformat, width, height, border, format, type_, pixels } => {
                let make = Make::Image { dimensions: 2, internal: internalformat, border };
                let how = (make, [width, height, 1]);
                self.make_level(group, (target, level), how, (format, type_), pixels);
            }
            C::TexImage3D {
                target,
                level,
                internalformat,
                width,
                height,
                depth,
                border,
                format,
                type_,
                pixels,
            } => {
                let make = Make::Image { dimensions: 3, internal: internalformat, border };
                let how = (make, [width, height, depth]);
                self.make_level(group, (target, level), how, (format, type_), pixels);
            }
            C::CompressedTexImage1D {
                target, level, internalformat: internal, width, border, data, ..
            } => {
                let make = Make::Compressed { dimensions: 1, internal, border };
                self.make_level(group, (target, level), (make, [width, 1, 1]), (0, 0), data);
            }
            C::CompressedTexImage2D {
                target,
                level,
                internalformat: internal,
                width,
                height,
                border,
                data,
                ..
            } => {
                let make = Make::Compressed { dimensions: 2, internal, border };
                self.make_level(group, (target, level), (make, [width, height, 1]), (0, 0), data);
            }
            C::CompressedTexImage3D {
                target,
                level,
                internalformat: internal,
                width,
                height,
                depth,
                border,
                data,
                ..
            } => {
                let make = Make::Compressed { dimensions: 3, internal, border };
                self.make_level(group, (target, level), (make, [width, height, depth]), (0, 0), data);
            }
            C::TexImage2DMultisample {
                target,
                samples,
                internalformat: internal,
                width,
                height,
                fixedsamplelocations: fixed,
            } => {
                let make = Make::Multisample { internal, samples, fixed };
                self.make_level(group, (target, 0), (make, [width, height, 0]), (0, 0), Data::Null);
            }
            C::TexImage3DMultisample {
                target,
                samples,
                internalformat: internal,
                width,
                height,
                depth,
                fixedsamplelocations: fixed,
            } => {
                let make = Make::Multisample { internal, samples, fixed };
                self.make_level(group, (target, 0), (make, [width, height, depth]), (0, 0), Data::Null);
            }
            _ => return self.apply_parts(group, command),
        }
        group.images += 1;
        true
    }

    fn apply_parts(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        use Command as C;
        match *command {
            C::TexSubImage1D { target, level, xoffset, width, format, type_, pixels } => {
                let part = ([xoffset, 0, 0], [width, 1, 1]);
                self.change_level(group, (target, level), part, Some((format, type_)), (pixels, command));
            }
            C::TexSubImage2D { target, level, xoffset, yoffset, width, height, format, type_, pixels } => {
                let part = ([xoffset, yoffset, 0], [width, height, 1]);
                self.change_level(group, (target, level), part, Some((format, type_)), (pixels, command));
            }
            C::TexSubImage3D {
                target,
                level,
                xoffset,
                yoffset,
                zoffset,
                width,
                height,
                depth,
                format,
                type_,
                pixels,
            } => {
                let part = ([xoffset, yoffset, zoffset], [width, height, depth]);
                self.change_level(group, (target, level), part, Some((format, type_)), (pixels, command));
            }
            C::CompressedTexSubImage1D { target, level, data, .. }
            | C::CompressedTexSubImage2D { target, level, data, .. }
            | C::CompressedTexSubImage3D { target, level, data, .. } => {
                self.change_level(group, (target, level), ([0; 3], [0; 3]), None, (data, command));
            }
            C::CopyTexImage1D { target, level, internalformat, width, border, .. } => {
                self.copied(group, (target, level), internalformat, (1, [width, 1, 1], border));
            }
            C::CopyTexImage2D { target, level, internalformat, width, height, border, .. } => {
                self.copied(group, (target, level), internalformat, (2, [width, height, 1], border));
            }
            C::CopyTexSubImage1D { target, level, .. }
            | C::CopyTexSubImage2D { target, level, .. }
            | C::CopyTexSubImage3D { target, level, .. } => {
                let texture = self.texture(group, target);
                if let Some(it) = texture.and_then(|it| it.levels.get_mut(&(level, target))) {
                    it.is_lost = true;
                }
            }
            C::GenerateMipmap { target } => {
                group.images += 1;
                let Some(texture) = self.texture(group, target) else { return true };
                texture.is_mipmapped = true;
                let upper = texture.levels.iter_mut().filter(|((level, _), _)| *level > BASE);
                let mut bytes = 0;
                for (_, it) in upper {
                    bytes += it.bytes();
                    let empty = Level::empty(it.make, it.sizes, (it.format, it.kind));
                    *it = Level { is_sure: it.is_sure, ..empty };
                }
                if texture.storage.is_none() {
                    texture.levels.retain(|(level, _), _| *level <= BASE);
                }
                group.kept_bytes -= bytes;
            }
            C::TexBuffer { target, internalformat, buffer } => {
                if let Some(texture) = self.texture(group, target) {
                    texture.buffer = Some((internalformat, buffer));
                }
            }
            _ => return false,
        }
        true
    }

    /// A level is made of what was drawn.
    fn copied(
        &mut self,
        group: &mut Group,
        place: (u32, i32),
        internal: u32,
        (dimensions, sizes, border): (u8, [i32; 3], i32),
    ) {
        let internal = internal.cast_signed();
        let make = Make::Image { dimensions, internal, border };
        self.make_level(group, place, (make, sizes), plain(internal), Data::Null);
        let is_sure = levels::can_be_copied(internal.cast_unsigned()) && self.reads_drawable();
        if let Some(it) = self.texture(group, place.0).and_then(|it| it.levels.get_mut(&(place.1, place.0))) {
            it.is_lost = true;
            it.is_sure &= is_sure;
        }
        group.images += 1;
    }
}

impl Group {
    /// A texture ends.
    pub(super) fn drop_texture(&mut self, name: u32) {
        if let Some(gone) = self.kept_textures.remove(&(name, 0)) {
            self.kept_bytes -= gone.levels.values().map(Level::bytes).sum::<usize>();
        }
    }

    /// What is attached may be drawn into again.
    pub(crate) fn leave_home(&mut self) {
        let levels = self.kept_textures.values_mut().flat_map(|texture| texture.levels.values_mut());
        levels.for_each(|level| level.is_home = false);
        self.leave_renderbuffers();
    }

    /// What a level holds was asked of the renderer.
    pub(crate) fn brought(&mut self, name: Name, place: (i32, u32), pixels: &[u8]) {
        let Some(it) = self.kept_textures.get_mut(&name).and_then(|it| it.levels.get_mut(&place)) else {
            return;
        };
        let before = it.bytes();
        if self.kept_bytes - before + pixels.len() > ROOM {
            return;
        }
        it.pixels.clear();
        it.pixels.extend_from_slice(pixels);
        it.parts.clear();
        it.is_lost = false;
        it.is_home = true;
        self.kept_bytes = self.kept_bytes - before + it.bytes();
    }

    /// The renderer may draw into a level from now on.
    pub(super) fn drawn_into(&mut self, name: u32, level: i32) {
        if let Some(texture) = self.kept_textures.get_mut(&(name, 0)) {
            let levels = texture.levels.iter_mut().filter(|((is, _), _)| *is == level);
            levels.for_each(|(_, it)| it.is_lost = true);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Caps, Command, Data};

    use super::{Group, Level, ROOM, State};
    use crate::caps::Strings;

    const RED: u32 = 0x1903;
    const BYTE: u32 = 0x1401;

    fn image(width: i32, height: i32, pixels: Data<'_>) -> Command<'_> {
        Command::TexImage2D {
            target: 0x0de1,
            level: 0,
            internalformat: 0x8229,
            width,
            height,
            border: 0,
            format: RED,
            type_: BYTE,
            pixels,
        }
    }

    fn part(x: i32, y: i32, width: i32, height: i32, format: u32, pixels: &[u8]) -> Command<'_> {
        Command::TexSubImage2D {
            target: 0x0de1,
            level: 0,
            xoffset: x,
            yoffset: y,
            width,
            height,
            format,
            type_: BYTE,
            pixels: Data::Memory(pixels),
        }
    }

    fn begin() -> (State, Group) {
        let mut state = State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0);
        let mut group = Group::default();
        state.track(&mut group, &Command::BindTexture { target: 0x0de1, texture: 7 });
        (state, group)
    }

    fn level(group: &Group) -> &Level {
        &group.kept_textures[&(7, 0)].levels[&(0, 0x0de1)]
    }

    #[test]
    fn parts_of_a_level_come_to_their_place() {
        let (mut state, mut group) = begin();
        state.track(&mut group, &image(3, 2, Data::Memory(&[1, 2, 3, 4, 5, 6])));
        state.track(&mut group, &part(1, 0, 2, 2, RED, &[7, 8, 9, 10]));
        assert_eq!(level(&group).pixels, [1, 7, 8, 4, 9, 10]);
        assert_eq!(group.kept_bytes, 6);
        // Another format is kept beside it, until all is given anew.
        state.track(&mut group, &part(0, 0, 1, 1, 0x1906, &[1]));
        assert_eq!(level(&group).parts.len(), 1);
        state.track(&mut group, &part(0, 0, 3, 2, RED, &[0; 6]));
        assert!(level(&group).parts.is_empty() && group.kept_bytes == 6);
        state.track(&mut group, &Command::DeleteTextures { n: 1, textures: &7_u32.to_le_bytes() });
        assert!(group.kept_bytes == 0 && group.kept_textures.is_empty());
    }

    #[test]
    fn a_level_without_pixels_begins_black() {
        let (mut state, mut group) = begin();
        state.track(&mut group, &image(2, 1, Data::Null));
        assert!(level(&group).pixels.is_empty());
        state.track(&mut group, &part(1, 0, 1, 1, RED, &[9]));
        assert_eq!(level(&group).pixels, [0, 9]);
    }

    #[test]
    fn what_finds_no_room_or_is_drawn_is_lost() {
        let (mut state, mut group) = begin();
        group.kept_bytes = ROOM - 1;
        state.track(&mut group, &image(2, 1, Data::Memory(&[1, 2])));
        assert!(level(&group).is_lost && level(&group).pixels.is_empty() && group.kept_bytes == ROOM - 1);
        group.kept_bytes = 0;
        state.track(&mut group, &image(2, 1, Data::Memory(&[1, 2])));
        assert!(!level(&group).is_lost);
        state.track(&mut group, &Command::BindFramebuffer { target: 0x8d40, framebuffer: 1 });
        state.track(
            &mut group,
            &Command::FramebufferTexture2D {
                target: 0x8d40,
                attachment: 0x8ce0,
                textarget: 0x0de1,
                texture: 7,
                level: 0,
            },
        );
        assert!(level(&group).is_lost);
    }
}
