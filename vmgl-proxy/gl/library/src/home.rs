//! What only the renderer has, brought home before it is replaced: levels of textures that were drawn, renderbuffers, pixmaps, and buffers
//! that were written there.
//!
//! What this changes of the stream's state is set right again when the next renderer is given all of it, or here if there is
//! none.

use std::collections::HashSet;

use vmgl_gl_stream::{Command, limits, size};

use crate::core::{Cx, Program};
use crate::shadow::bindings::{DRAW_FRAMEBUFFER, READ_FRAMEBUFFER, buffer_place};
use crate::shadow::renderbuffers::{OURS, Room};
use crate::shadow::textures::{Make, Name};

const PACK: u32 = 0x88eb;
const COPY_READ: u32 = 0x8f36;
const FRAMEBUFFER: u32 = 0x8d40;
const RENDERBUFFER: u32 = 0x8d41;

/// A level that is asked for: its texture, target, level, format and type, bytes.
type Wanted = (Name, (u32, i32), (u32, u32), u32);

impl Program {
    /// Asks for all of it.
    pub(crate) fn bring_home(&mut self) {
        let mut ids: Vec<u32> = self.contexts.keys().copied().collect();
        ids.sort_unstable();
        let began = self.bring_pixmaps();
        let mut done = HashSet::new();
        for id in ids {
            let Some(it) = self.contexts.get(&id).filter(|it| it.is_used && it.state.api < 2) else {
                continue;
            };
            if done.insert(it.group)
                && let Some(mut cx) = self.at(id)
            {
                cx.bring_textures();
                cx.bring_renderbuffers();
                cx.bring_buffers();
            }
        }
        self.have_pixmaps(began);
    }
}

impl Cx<'_> {
    fn bring_textures(&mut self) {
        let attached: HashSet<(u32, i32)> = self.state.attached().collect();
        let mut wanted: Vec<Wanted> = Vec::new();
        for (&name, texture) in &self.group.kept_textures {
            for (&(level, target), it) in &texture.levels {
                let is_drawn = it.is_lost || attached.contains(&(name.0, level));
                let (Make::Image { .. } | Make::Stored { is_packed: false, .. }) = it.make else { continue };
                let [width, height, depth] = it.sizes;
                let bytes = size::image_3d(it.format, it.kind, width, height, depth);
                if let Some(bytes) = bytes.filter(|bytes| is_drawn && *bytes <= limits::ANSWER)
                    && let Ok(bytes) = u32::try_from(bytes)
                {
                    wanted.push((name, (target, level), (it.format, it.kind), bytes));
                }
            }
        }
        let (pack, unit) = (self.state.pack_buffer(), self.state.active);
        self.wire.put(&Command::BindBuffer { target: PACK, buffer: 0 });
        for (name, (target, level), (format, type_), bytes) in wanted {
            let whole = if (0x8515..=0x851a).contains(&target) { 0x8513 } else { target };
            self.wire.put(&Command::BindTexture { target: whole, texture: name.0 });
            let answer = self.ask(|reply| Command::GetTexImage {
                reply,
                target,
                level,
                format,
                type_,
                pixels_cap: bytes,
                offset: 0,
            });
            if let Some(answer) = answer
                && let Some(pixels) = answer.outs().next()
            {
                self.group.brought(name, (level, target), pixels);
            }
            let bound = crate::shadow::texture_place(whole)
                .and_then(|place| self.state.units.get(unit).map(|unit| unit.bound[place]));
            self.wire.put(&Command::BindTexture { target: whole, texture: bound.unwrap_or(0) });
        }
        self.wire.put(&Command::BindBuffer { target: PACK, buffer: pack });
    }

    /// By a framebuffer that is none of the program's.
    fn bring_renderbuffers(&mut self) {
        let all = self.group.renderbuffers_kept.iter();
        let wanted: Vec<(u32, Room)> = all.filter_map(|(name, it)| Some((*name, it.room?))).collect();
        if wanted.is_empty() {
            return;
        }
        let pack = self.state.pack_buffer();
        self.wire.put(&Command::BindBuffer { target: PACK, buffer: 0 });
        for (name, room) in wanted {
            let Some(pixels_cap) = room.bytes().filter(|bytes| *bytes <= limits::ANSWER) else { continue };
            let Ok(pixels_cap) = u32::try_from(pixels_cap) else { continue };
            let Room { width, height, attachment, format, kind: type_, .. } = room;
            self.wire.put(&Command::BindFramebuffer { target: FRAMEBUFFER, framebuffer: OURS });
            self.wire.put(&Command::FramebufferRenderbuffer {
                target: FRAMEBUFFER,
                attachment,
                renderbuffertarget: RENDERBUFFER,
                renderbuffer: name,
            });
            if !room.is_colour() {
                self.wire.put(&Command::DrawBuffer { buf: 0 });
                self.wire.put(&Command::ReadBuffer { src: 0 });
            }
            let (x, y, offset) = (0, 0, 0);
            let answer = self.ask(|reply| Command::ReadPixels {
                reply,
                x,
                y,
                width,
                height,
                format,
                type_,
                pixels_cap,
                offset,
            });
            if let Some(answer) = answer
                && let Some(pixels) = answer.outs().next()
            {
                self.group.brought_renderbuffer(name, pixels);
            }
            self.wire.put(&Command::DeleteFramebuffers { n: 1, framebuffers: &OURS.to_le_bytes() });
        }
        for (target, framebuffer) in
            [(DRAW_FRAMEBUFFER, self.state.draw_framebuffer), (READ_FRAMEBUFFER, self.state.read_framebuffer)]
        {
            self.wire.put(&Command::BindFramebuffer { target, framebuffer });
        }
        self.wire.put(&Command::BindBuffer { target: PACK, buffer: pack });
    }

    fn bring_buffers(&mut self) {
        let stale = self.group.stored.iter().filter(|(_, it)| it.stale && it.data.len() <= limits::ANSWER);
        let wanted: Vec<(u32, usize)> = stale.map(|(name, it)| (*name, it.data.len())).collect();
        let bound = buffer_place(COPY_READ).map_or(0, |place| self.state.buffers[place]);
        for (name, bytes) in wanted {
            let (Ok(length), Ok(data_cap)) = (i64::try_from(bytes), u32::try_from(bytes)) else { continue };
            let target = COPY_READ;
            self.wire.put(&Command::BindBuffer { target, buffer: name });
            let answer = self.ask(|reply| Command::GetBufferSubData {
                reply,
                target,
                offset: 0,
                size: length,
                data_cap,
            });
            if let Some(answer) = answer
                && let Some(bytes) = answer.outs().next()
                && let Some(it) = self.group.stored.get_mut(&name)
                && it.data.len() == bytes.len()
            {
                it.data.copy_from_slice(bytes);
                it.stale = false;
            }
            self.wire.put(&Command::BindBuffer { target, buffer: bound });
        }
    }
}
