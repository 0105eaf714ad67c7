//! Renderbuffers: how their room was made, and what they hold where that was asked of a renderer that goes.
//!
//! Only a renderer draws into them, so that without notice their contents are lost. With it they are read by a framebuffer of ours,
//! and the next renderer gets them by way of a texture: nothing else fills a renderbuffer. Those of several samples, of
//! integers, and of depth in floats are named as lost.

use vmgl_gl_stream::{Command, Data, size};

use super::Group;
use super::restore::{Lost, Sink};
use super::textures::ROOM;

/// A name of framebuffers and textures that no program's are given: the last one, and the one before it.
pub(crate) const OURS: u32 = u32::MAX;
const OTHER: u32 = OURS - 1;

const RENDERBUFFER: u32 = 0x8d41;
const FRAMEBUFFER: u32 = 0x8d40;
const READ: u32 = 0x8ca8;
const DRAW: u32 = 0x8ca9;
const TEXTURE_2D: u32 = 0x0de1;
const NEAREST: u32 = 0x2600;

/// A renderbuffer.
#[derive(Debug, Default)]
pub(crate) struct Renderbuffer {
    /// The command that made its room.
    made: Vec<u8>,
    /// What can be read of it.
    pub(crate) room: Option<Room>,
    /// What it holds; nothing unless its renderer is about to go.
    pixels: Option<Vec<u8>>,
}

/// How a renderbuffer is read, and filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// Where a framebuffer has it.
    pub(crate) attachment: u32,
    pub(crate) format: u32,
    pub(crate) kind: u32,
    /// What of a framebuffer is copied, and the format of the texture that it is copied from.
    mask: u32,
    internal: u32,
}

impl Room {
    /// None of what cannot be read and filled without loss.
    fn new(internal: u32, [width, height]: [i32; 2]) -> Option<Self> {
        let (attachment, format, kind, mask, internal) = match internal {
            0x84f9 | 0x88f0 => (0x821a, 0x84f9, 0x84fa, 0x500, 0x88f0),
            0x81a5 | 0x81a6 => (0x8d00, 0x1902, 0x1405, 0x100, internal),
            0x8814 | 0x881a => (0x8ce0, 0x1908, 0x1406, 0x4000, internal),
            0x1907 | 0x1908 | 0x8051 | 0x8056..=0x8058 => (0x8ce0, 0x1908, 0x1401, 0x4000, 0x8058),
            _ => return None,
        };
        Some(Self { width, height, attachment, format, kind, mask, internal })
    }

    /// Bytes of its pixels.
    pub(crate) fn bytes(&self) -> Option<usize> {
        size::image_2d(self.format, self.kind, self.width, self.height)
    }

    /// Whether it holds colours.
    pub(crate) fn is_colour(&self) -> bool {
        self.mask == 0x4000
    }
}

impl Group {
    /// Room for the pixels of a renderbuffer is made.
    pub(super) fn store_renderbuffer(&mut self, name: u32, command: &Command<'_>) {
        let room = match *command {
            Command::RenderbufferStorage { internalformat, width, height, .. }
            | Command::RenderbufferStorageMultisample { samples: 0, internalformat, width, height, .. } => {
                Room::new(internalformat, [width, height])
            }
            _ => None,
        };
        let mut made = Vec::new();
        command.encode(&mut made);
        self.images += 1;
        self.renderbuffers_kept.insert(name, Renderbuffer { made, room, pixels: None });
    }

    /// What a renderbuffer holds was asked of the renderer. It is kept no longer than until the next one has it.
    pub(crate) fn brought_renderbuffer(&mut self, name: u32, pixels: &[u8]) {
        let all: usize =
            self.renderbuffers_kept.values().filter_map(|it| Some(it.pixels.as_ref()?.len())).sum();
        if let Some(it) = self.renderbuffers_kept.get_mut(&name)
            && self.kept_bytes + all + pixels.len() <= ROOM
            && it.room.and_then(|room| room.bytes()) == Some(pixels.len())
        {
            it.pixels = Some(pixels.to_vec());
        }
    }

    /// From here on it may be drawn into again.
    pub(super) fn leave_renderbuffers(&mut self) {
        self.renderbuffers_kept.values_mut().for_each(|it| it.pixels = None);
    }
}

/// Makes them.
pub(super) fn put(group: &Group, sink: &mut impl Sink, lost: &mut Lost) {
    for (&renderbuffer, it) in &group.renderbuffers_kept {
        sink.put(&Command::BindRenderbuffer { target: RENDERBUFFER, renderbuffer });
        sink.put_bytes(&it.made);
        match (&it.room, &it.pixels) {
            (Some(room), Some(pixels)) => fill(renderbuffer, room, pixels, sink),
            _ => lost.note("contents of renderbuffers", renderbuffer),
        }
    }
    if !group.renderbuffers_kept.is_empty() {
        sink.put(&Command::BindRenderbuffer { target: RENDERBUFFER, renderbuffer: 0 });
    }
}

fn fill(renderbuffer: u32, room: &Room, pixels: &[u8], sink: &mut impl Sink) {
    let Room { width, height, attachment, format, kind: type_, mask, internal } = *room;
    let (target, texture, level) = (TEXTURE_2D, OURS, 0);
    sink.put(&Command::BindTexture { target, texture });
    sink.put(&Command::TexImage2D {
        target,
        level,
        internalformat: internal.cast_signed(),
        width,
        height,
        border: 0,
        format,
        type_,
        pixels: Data::Memory(pixels),
    });
    sink.put(&Command::BindFramebuffer { target: READ, framebuffer: OURS });
    sink.put(&Command::FramebufferTexture2D { target: READ, attachment, textarget: target, texture, level });
    sink.put(&Command::BindFramebuffer { target: DRAW, framebuffer: OTHER });
    sink.put(&Command::FramebufferRenderbuffer {
        target: DRAW,
        attachment,
        renderbuffertarget: RENDERBUFFER,
        renderbuffer,
    });
    if !room.is_colour() {
        sink.put(&Command::DrawBuffer { buf: 0 });
        sink.put(&Command::ReadBuffer { src: 0 });
    }
    let [src_x0, src_y0, dst_x0, dst_y0] = [0; 4];
    let ([src_x1, src_y1], [dst_x1, dst_y1]) = ([width, height], [width, height]);
    let filter = NEAREST;
    sink.put(&Command::BlitFramebuffer {
        src_x0,
        src_y0,
        src_x1,
        src_y1,
        dst_x0,
        dst_y0,
        dst_x1,
        dst_y1,
        mask,
        filter,
    });
    sink.put(&Command::BindFramebuffer { target: FRAMEBUFFER, framebuffer: 0 });
    let framebuffers = [OURS.to_le_bytes(), OTHER.to_le_bytes()].concat();
    sink.put(&Command::DeleteFramebuffers { n: 2, framebuffers: &framebuffers });
    sink.put(&Command::DeleteTextures { n: 1, textures: &OURS.to_le_bytes() });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Caps, Command};

    use super::{Group, Lost, put};
    use crate::caps::Strings;
    use crate::shadow::State;

    #[test]
    fn contents_that_were_brought_home_are_given_and_all_others_are_named() {
        let mut state = State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0);
        let mut group = Group::default();
        let (target, width, height) = (0x8d41, 2, 1);
        // Colours, depth with stencil, depth in floats.
        for (renderbuffer, internalformat) in [(1, 0x8058), (2, 0x88f0), (3, 0x8cac)] {
            state.track(&mut group, &Command::BindRenderbuffer { target, renderbuffer });
            state.track(&mut group, &Command::RenderbufferStorage { target, internalformat, width, height });
        }
        let samples = 4;
        state.track(&mut group, &Command::BindRenderbuffer { target, renderbuffer: 4 });
        state.track(
            &mut group,
            &Command::RenderbufferStorageMultisample {
                target,
                samples,
                internalformat: 0x8058,
                width,
                height,
            },
        );
        for name in 1..=4 {
            group.brought_renderbuffer(name, &[7; 8]);
        }
        let told = |group: &Group| {
            let (mut bytes, mut lost) = (Vec::<u8>::new(), Lost::default());
            put(group, &mut bytes, &mut lost);
            (bytes.len(), lost.to_string())
        };
        let (with, lost) = told(&group);
        assert_eq!(lost, "contents of renderbuffers of 2 (the first is 3)");
        group.leave_renderbuffers();
        let (without, lost) = told(&group);
        assert_eq!(lost, "contents of renderbuffers of 4 (the first is 1)");
        assert!(with > without + 16);
        // Pixels that are not as many as there is room for are none.
        group.brought_renderbuffer(1, &[7; 9]);
        assert_eq!(told(&group).0, without);
    }
}
