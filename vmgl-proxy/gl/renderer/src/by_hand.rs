//! The commands whose call is none of the plan's: names that the program allocated, arrays in its memory, draws, pixels
//! that are read, texts that travel as one.

use vmgl_gl_stream::{Command, Data, size};

use crate::fault::Fault;
use crate::hands::number as n;
use crate::hands::{Answer, Hands, integer, short, words};
use crate::memory::{Scratch, text};
use crate::names::{Class, make};
use crate::resolve::Resolver;

/// Most lists or varyings of one command.
const MANY: usize = 1 << 16;

/// The function, or that it is missing.
macro_rules! function {
    ($hands:ident, $name:ident) => {
        $hands.gl.$name.ok_or(Fault::Missing)?
    };
}

/// Sets a pointer to an array: the function with its arguments before the pointer.
macro_rules! point {
    ($hands:ident, $name:ident, $place:expr, $index:expr, $pointer:expr, $($argument:expr),*) => {{
        let call = function!($hands, $name);
        // SAFETY: the pointer is an offset into the buffer that is bound.
        $hands.array($place, $index, $pointer, |at| unsafe { call($($argument,)* at) })?;
        Ok(None)
    }};
}

impl Hands<'_> {
    /// Carries out what is written here; [`Fault::NotHere`] for all else.
    pub(crate) fn by_hand(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        match command {
            Command::GenBuffers { buffers, .. } => self.generate(Class::Buffer, buffers),
            Command::GenFramebuffers { framebuffers, .. } => self.generate(Class::Framebuffer, framebuffers),
            Command::GenQueries { ids, .. } => self.generate(Class::Query, ids),
            Command::GenRenderbuffers { renderbuffers, .. } => {
                self.generate(Class::Renderbuffer, renderbuffers)
            }
            Command::GenSamplers { samplers, .. } => self.generate(Class::Sampler, samplers),
            Command::GenTextures { textures, .. } => self.generate(Class::Texture, textures),
            Command::GenTransformFeedbacks { ids, .. } => self.generate(Class::TransformFeedback, ids),
            Command::GenVertexArrays { arrays, .. } => self.generate(Class::VertexArray, arrays),
            Command::CreateProgram { program } => {
                let call = function!(self, CreateProgram);
                // SAFETY: a call without pointers.
                let real = unsafe { call() };
                self.names.set(Class::Program, program.into(), real.into()).map(|()| None)
            }
            Command::CreateShader { type_, shader } => {
                let call = function!(self, CreateShader);
                // SAFETY: a call without pointers.
                let real = unsafe { call(type_) };
                self.names.set(Class::Shader, shader.into(), real.into()).map(|()| None)
            }
            Command::ShaderSource { shader, string } => self.shader_source(shader, string),
            Command::TransformFeedbackVaryings { program, varyings, buffer_mode } => {
                self.varyings(program, varyings, buffer_mode)
            }
            Command::GenLists { .. }
            | Command::DeleteLists { .. }
            | Command::CallLists { .. }
            | Command::FenceSync { .. }
            | Command::DeleteSync { .. } => self.lists_and_syncs(command),
            Command::ReadPixels { .. } => self.window_pixels(command),
            Command::GetTexImage { .. } | Command::GetCompressedTexImage { .. } => self.pixels(command),
            Command::SelectBuffer { .. }
            | Command::FeedbackBuffer { .. }
            | Command::RenderMode { .. }
            | Command::GetPixelMapfv { .. }
            | Command::GetPixelMapuiv { .. }
            | Command::GetPixelMapusv { .. } => self.modes(command),
            command => match self.arrays(command) {
                Err(Fault::NotHere) => self.draws(command),
                done => done,
            },
        }
    }

    fn generate(&mut self, class: Class, names: &[u8]) -> Result<Option<Answer>, Fault> {
        for name in words(names) {
            let real = make(self.gl, class)?;
            self.of(class).set(class, name.into(), real)?;
        }
        Ok(None)
    }

    fn shader_source(&mut self, shader: u32, string: &[u8]) -> Result<Option<Answer>, Fault> {
        let call = function!(self, ShaderSource);
        let shader = short(self.name(Class::Shader, shader.into())?)?;
        let length = i32::try_from(string.len()).map_err(|_| Fault::TooLong)?;
        let string = string.as_ptr();
        // SAFETY: one text, as long as is said.
        unsafe { call(shader, 1, &raw const string, &raw const length) };
        Ok(None)
    }

    fn varyings(&mut self, program: u32, varyings: &[u8], mode: u32) -> Result<Option<Answer>, Fault> {
        let call = function!(self, TransformFeedbackVaryings);
        let program = short(self.name(Class::Program, program.into())?)?;
        let texts: Result<Vec<_>, Fault> =
            varyings.split(|byte| *byte == 0).filter(|name| !name.is_empty()).take(MANY).map(text).collect();
        let texts = texts?;
        let pointers: Vec<*const u8> = texts.iter().map(|text| text.as_ptr().cast()).collect();
        let count = i32::try_from(pointers.len()).map_err(|_| Fault::TooLong)?;
        // SAFETY: as many texts as are said, each with its NUL.
        unsafe { call(program, count, pointers.as_ptr(), mode) };
        Ok(None)
    }

    fn lists_and_syncs(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        match command {
            Command::GenLists { range, list } => {
                let range = u32::try_from(range).map_err(|_| Fault::Value)?;
                if usize::try_from(range).is_ok_and(|range| range > MANY) {
                    return Err(Fault::TooManyNames);
                }
                let call = function!(self, GenLists);
                // SAFETY: a call without pointers.
                let first = unsafe { call(range.cast_signed()) };
                for at in 0..range {
                    let name = u64::from(list) + u64::from(at);
                    self.names.set(Class::List, name, u64::from(first) + u64::from(at))?;
                }
            }
            Command::DeleteLists { list, range } => {
                let range = u64::try_from(range).map_err(|_| Fault::Value)?.min(crate::names::MOST as u64);
                let call = function!(self, DeleteLists);
                for at in 0..range {
                    if let Some(real) = self.names.forget(Class::List, u64::from(list) + at) {
                        // SAFETY: a call without pointers.
                        unsafe { call(short(real)?, 1) };
                    }
                }
            }
            Command::CallLists { lists, .. } => {
                let call = function!(self, CallLists);
                let known = words(lists).filter_map(|list| self.names.get(Class::List, list.into()));
                let lists: Vec<u32> = known.map(short).collect::<Result<_, _>>()?;
                let count = i32::try_from(lists.len()).map_err(|_| Fault::TooLong)?;
                // SAFETY: as many names as are said.
                unsafe { call(count, n::UNSIGNED_INT, lists.as_ptr().cast()) };
            }
            Command::FenceSync { condition, flags, sync } => {
                let call = function!(self, FenceSync);
                // SAFETY: a call without pointers.
                let real = unsafe { call(condition, flags) };
                self.names.set(Class::Sync, sync, real)?;
            }
            Command::DeleteSync { sync } => {
                let call = function!(self, DeleteSync);
                if let Some(real) = self.names.forget(Class::Sync, sync) {
                    // SAFETY: the implementation gave it.
                    unsafe { call(real) };
                }
            }
            _ => return Err(Fault::NotHere),
        }
        Ok(None)
    }

    fn arrays(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        let place = command.opcode();
        match command {
            Command::VertexPointer { size, type_, stride, pointer } => {
                point!(self, VertexPointer, place, 0, pointer, size, type_, stride)
            }
            Command::ColorPointer { size, type_, stride, pointer } => {
                point!(self, ColorPointer, place, 0, pointer, size, type_, stride)
            }
            Command::SecondaryColorPointer { size, type_, stride, pointer } => {
                point!(self, SecondaryColorPointer, place, 0, pointer, size, type_, stride)
            }
            Command::TexCoordPointer { size, type_, stride, pointer } => {
                let unit = integer(self.gl, n::CLIENT_ACTIVE_TEXTURE).cast_unsigned();
                point!(self, TexCoordPointer, place, unit, pointer, size, type_, stride)
            }
            Command::NormalPointer { type_, stride, pointer } => {
                point!(self, NormalPointer, place, 0, pointer, type_, stride)
            }
            Command::FogCoordPointer { type_, stride, pointer } => {
                point!(self, FogCoordPointer, place, 0, pointer, type_, stride)
            }
            Command::IndexPointer { type_, stride, pointer } => {
                point!(self, IndexPointer, place, 0, pointer, type_, stride)
            }
            Command::EdgeFlagPointer { stride, pointer } => {
                point!(self, EdgeFlagPointer, place, 0, pointer, stride)
            }
            Command::VertexAttribPointer { index, size, type_, normalized, stride, pointer }
                if index < 64 =>
            {
                let normalized = u8::from(normalized != 0);
                point!(
                    self,
                    VertexAttribPointer,
                    place,
                    index,
                    pointer,
                    index,
                    size,
                    type_,
                    normalized,
                    stride
                )
            }
            Command::VertexAttribIPointer { index, size, type_, stride, pointer } if index < 64 => {
                point!(self, VertexAttribIPointer, place, index, pointer, index, size, type_, stride)
            }
            Command::VertexAttribPointer { .. } | Command::VertexAttribIPointer { .. } => Err(Fault::Value),
            _ => Err(Fault::NotHere),
        }
    }

    fn draws(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        match command {
            Command::DrawArrays { mode, first, count } => {
                let call = function!(self, DrawArrays);
                // SAFETY: all arrays are in buffers.
                unsafe { call(mode, first, count) };
            }
            Command::DrawArraysInstanced { mode, first, count, instancecount } => {
                let call = function!(self, DrawArraysInstanced);
                // SAFETY: all arrays are in buffers.
                unsafe { call(mode, first, count, instancecount) };
            }
            Command::DrawElements { mode, count, type_, indices } => {
                let (call, at) = (function!(self, DrawElements), self.indices(indices)?);
                // SAFETY: an offset into a buffer, or as many indices as are said; all arrays are in buffers.
                unsafe { call(mode, count, type_, at) };
            }
            Command::DrawElementsBaseVertex { mode, count, type_, indices, basevertex } => {
                let (call, at) = (function!(self, DrawElementsBaseVertex), self.indices(indices)?);
                // SAFETY: as above.
                unsafe { call(mode, count, type_, at, basevertex) };
            }
            Command::DrawElementsInstanced { mode, count, type_, indices, instancecount } => {
                let (call, at) = (function!(self, DrawElementsInstanced), self.indices(indices)?);
                // SAFETY: as above.
                unsafe { call(mode, count, type_, at, instancecount) };
            }
            Command::DrawElementsInstancedBaseVertex {
                mode,
                count,
                type_,
                indices,
                instancecount,
                basevertex,
            } => {
                let (call, at) = (function!(self, DrawElementsInstancedBaseVertex), self.indices(indices)?);
                // SAFETY: as above.
                unsafe { call(mode, count, type_, at, instancecount, basevertex) };
            }
            Command::DrawRangeElements { mode, start, end, count, type_, indices } => {
                let (call, at) = (function!(self, DrawRangeElements), self.indices(indices)?);
                // SAFETY: as above.
                unsafe { call(mode, start, end, count, type_, at) };
            }
            Command::DrawRangeElementsBaseVertex { mode, start, end, count, type_, indices, basevertex } => {
                let (call, at) = (function!(self, DrawRangeElementsBaseVertex), self.indices(indices)?);
                // SAFETY: as above.
                unsafe { call(mode, start, end, count, type_, at, basevertex) };
            }
            _ => return Err(Fault::NotHere),
        }
        Ok(None)
    }

    fn indices(&self, indices: Data<'_>) -> Result<*const u8, Fault> {
        self.pointer(indices, n::ELEMENT_ARRAY_BUFFER_BINDING)
    }

    /// Pixels that are read of what is drawn: of a window's samples one is made before.
    fn window_pixels(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        let gl = self.gl;
        let Command::ReadPixels { reply, x, y, width, height, format, type_, pixels_cap, offset } = command
        else {
            return Err(Fault::NotHere);
        };
        // Depth and stencil are those of one sample anyhow.
        let is_colour = !matches!(format, n::DEPTH_COMPONENT | n::STENCIL_INDEX | n::DEPTH_STENCIL);
        if !self.state.multisampled
            || !is_colour
            || width <= 0
            || height <= 0
            || self.bound(n::READ_FRAMEBUFFER_BINDING)
        {
            return self.pixels(command);
        }
        let resolver = match &mut self.state.resolver {
            Some(resolver) => resolver,
            none => none.insert(Resolver::new(gl)?),
        };
        let before = resolver.begin(gl, [x, y, width, height])?;
        let (x, y) = (0, 0);
        let moved = Command::ReadPixels { reply, x, y, width, height, format, type_, pixels_cap, offset };
        let done = self.pixels(moved);
        before.end(gl);
        done
    }

    /// Pixels for the program, or into a buffer of its own.
    fn pixels(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        let gl = self.gl;
        let (reply, capacity, offset, needed) = match command {
            Command::ReadPixels { reply, width, height, format, type_, pixels_cap, offset, .. } => {
                (reply, pixels_cap, offset, size::image_2d(format, type_, width, height))
            }
            Command::GetTexImage { reply, target, level, format, type_, pixels_cap, offset } => {
                let [width, height, depth] = self.level(target, level, [0x1000, 0x1001, 0x8071])?;
                (reply, pixels_cap, offset, size::image_3d(format, type_, width, height, depth))
            }
            Command::GetCompressedTexImage { reply, target, level, img_cap, offset } => {
                let [bytes] = self.level(target, level, [0x86A0])?;
                (reply, img_cap, offset, usize::try_from(bytes).ok())
            }
            _ => return Err(Fault::NotHere),
        };
        let write = |at: *mut u8| -> Result<(), Fault> {
            match command {
                Command::ReadPixels { x, y, width, height, format, type_, .. } => {
                    let call = gl.ReadPixels.ok_or(Fault::Missing)?;
                    // SAFETY: an offset into a buffer, or room for the pixels.
                    unsafe { call(x, y, width, height, format, type_, at) };
                }
                Command::GetTexImage { target, level, format, type_, .. } => {
                    let call = gl.GetTexImage.ok_or(Fault::Missing)?;
                    // SAFETY: as above.
                    unsafe { call(target, level, format, type_, at) };
                }
                Command::GetCompressedTexImage { target, level, .. } => {
                    let call = gl.GetCompressedTexImage.ok_or(Fault::Missing)?;
                    // SAFETY: as above.
                    unsafe { call(target, level, at) };
                }
                _ => {}
            }
            Ok(())
        };
        let mut done = Ok(());
        let out = if self.bound(n::PIXEL_PACK_BUFFER_BINDING) {
            let at = usize::try_from(offset).map_err(|_| Fault::Value)?;
            self.packed(|| done = write(std::ptr::without_provenance_mut(at)));
            Vec::new()
        } else {
            let needed = needed.and_then(|needed| u32::try_from(needed).ok()).ok_or(Fault::Value)?;
            let mut scratch = Scratch::new(needed.max(capacity))?;
            done = write(scratch.pointer());
            let mut out = scratch.taken();
            out.truncate(usize::try_from(capacity).unwrap_or(0));
            out
        };
        done?;
        Ok(Some(Answer { reply, value: 0, outs: vec![out] }))
    }

    /// What is known of a texture's level.
    fn level<const N: usize>(&self, target: u32, level: i32, words: [u32; N]) -> Result<[i32; N], Fault> {
        let call = self.gl.GetTexLevelParameteriv.ok_or(Fault::Missing)?;
        Ok(words.map(|word| {
            let mut value = [0i32; 4];
            // SAFETY: each of these has one value.
            unsafe { call(target, level, word, value.as_mut_ptr()) };
            value[0]
        }))
    }
}
