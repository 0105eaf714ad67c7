//! What commands change of objects: names, bindings, contents, attachments, arrays and lists.

use vmgl_gl_stream::{Command, Data};

use super::arrays::{Array, Fixed};
use super::bindings::{DRAW_FRAMEBUFFER, ELEMENT_ARRAY, READ_FRAMEBUFFER, buffer_place, texture_place};
use super::feedback;
use super::lists::Recording;
use super::textures::Texture;
use super::{Attachment, Buffer, Group, Object, State};

/// What is attached is a texture's.
pub(super) const TEXTURE: u32 = 0x1702;

/// Names of an array of the program's.
pub(super) fn names(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
}

impl State {
    /// Names, bindings, contents and lists.
    pub(super) fn apply_objects(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        match *command {
            Command::ActiveTexture { texture } => {
                let unit = usize::try_from(texture.wrapping_sub(0x84c0)).unwrap_or(usize::MAX);
                if unit < self.units.len() {
                    self.active = unit;
                }
            }
            Command::BindTexture { target, texture } => {
                group.textures.take(texture);
                if let Some(place) = texture_place(target) {
                    if texture != 0 {
                        group.targets.entry(texture).or_insert(target);
                        let first = || Texture { target, ..Texture::default() };
                        group.kept_textures.entry((texture, 0)).or_insert_with(first);
                    }
                    self.unit().bound[place] = texture;
                }
            }
            Command::DeleteTextures { textures, .. } => {
                for name in names(textures).filter(|name| *name != 0) {
                    group.textures.free(name);
                    group.targets.remove(&name);
                    group.drop_texture(name);
                    let bound = self.units.iter_mut().flat_map(|unit| &mut unit.bound);
                    bound.filter(|bound| **bound == name).for_each(|bound| *bound = 0);
                }
                group.images += 1;
            }
            Command::RenderbufferStorage { .. } | Command::RenderbufferStorageMultisample { .. } => {
                group.store_renderbuffer(self.renderbuffer, command);
            }
            Command::BindSampler { unit, sampler } => {
                if let Some(unit) = usize::try_from(unit).ok().and_then(|unit| self.units.get_mut(unit)) {
                    unit.sampler = sampler;
                }
            }
            Command::DeleteSamplers { samplers, .. } => {
                for name in names(samplers) {
                    group.samplers.free(name);
                    group.sampler_parameters.retain(|(sampler, _), _| *sampler != name);
                    self.units
                        .iter_mut()
                        .filter(|unit| unit.sampler == name)
                        .for_each(|unit| unit.sampler = 0);
                }
            }
            Command::UseProgram { program } => self.use_program(group, program),
            Command::AttachShader { program, shader } => {
                if let Some(program) = group.program(program)
                    && !program.shaders.contains(&shader)
                {
                    program.shaders.push(shader);
                }
            }
            Command::DetachShader { program, shader } => {
                if let Some(program) = group.program(program) {
                    program.shaders.retain(|attached| *attached != shader);
                }
                group.sweep_shaders();
            }
            Command::DeleteShader { shader } => {
                if let Some(shader) = group.shader(shader) {
                    shader.doomed = true;
                }
                group.sweep_shaders();
            }
            Command::DeleteProgram { program } => {
                if self.program == program {
                    if let Some(program) = group.program(program) {
                        program.doomed = true;
                    }
                } else if group.program(program).is_some() {
                    group.drop_program(program);
                }
            }
            Command::UniformBlockBinding { program, uniform_block_index, uniform_block_binding } => {
                if let Some(program) = group.program(program) {
                    program.blocks.insert(uniform_block_index, uniform_block_binding);
                }
            }
            Command::NewList { list, mode } => {
                group.lists.take(list);
                self.list = Some(Recording::new(list, mode == 0x1301));
            }
            Command::EndList => {
                if let Some(list) = self.list.take() {
                    group.keep_list(list);
                }
            }
            Command::CallList { list } => self.call_list(group, list),
            Command::CallLists { lists, .. } => {
                for list in names(lists) {
                    self.call_list(group, list);
                }
            }
            Command::DeleteLists { list, range } => {
                for name in list..list.saturating_add_signed(range.max(0)) {
                    group.lists.free(name);
                    group.recorded.remove(&name);
                    group.drop_list(name);
                }
            }
            Command::FenceSync { sync, .. } => {
                group.fences.insert(sync);
            }
            Command::DeleteSync { sync } => {
                group.fences.remove(&sync);
                if let Ok(name) = u32::try_from(sync) {
                    group.syncs.free(name);
                }
            }
            _ => {
                return self.apply_buffers(group, command)
                    || self.apply_framebuffers(group, command)
                    || self.apply_textures(group, command)
                    || self.apply_storage(group, command)
                    || self.apply_feedback(group, command)
                    || self.apply_programs(group, command);
            }
        }
        true
    }

    fn use_program(&mut self, group: &mut Group, program: u32) {
        let before = std::mem::replace(&mut self.program, program);
        if before != program && group.program(before).is_some_and(|program| program.doomed) {
            group.drop_program(before);
        }
    }

    fn bind_buffer(&mut self, group: &mut Group, target: u32, buffer: u32) {
        if buffer != 0 {
            group.buffers.take(buffer);
            group.stored.entry(buffer).or_default();
        }
        if target == ELEMENT_ARRAY {
            self.arrays().elements = buffer;
        } else if let Some(place) = buffer_place(target) {
            self.buffers[place] = buffer;
        }
    }

    fn apply_buffers(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        match *command {
            Command::BindBuffer { target, buffer } => self.bind_buffer(group, target, buffer),
            Command::BindBufferBase { target, buffer, index }
            | Command::BindBufferRange { target, buffer, index, .. } => {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                if target == feedback::BUFFER {
                    self.current_feedback().bound.insert(index, (buffer, bytes));
                } else {
                    self.indexed.insert((target, index), (buffer, bytes));
                }
                self.bind_buffer(group, target, buffer);
            }
            Command::BufferData { target, size, data, usage } => {
                let bound = self.bound_buffer(target).and_then(|name| group.stored.get_mut(&name));
                if let (Some(buffer), Ok(size)) = (bound, usize::try_from(size)) {
                    let data = match data {
                        Data::Memory(bytes) => bytes.to_vec(),
                        Data::Null | Data::Offset(_) => vec![0; size],
                    };
                    *buffer = Buffer { data, usage, map: None, stale: false };
                }
            }
            Command::BufferSubData { target, offset, data: Data::Memory(bytes), .. } => {
                let bound = self.bound_buffer(target).and_then(|name| group.stored.get_mut(&name));
                if let (Some(buffer), Ok(offset)) = (bound, usize::try_from(offset))
                    && let Some(end) = offset.checked_add(bytes.len())
                    && let Some(place) = buffer.data.get_mut(offset..end)
                {
                    place.copy_from_slice(bytes);
                }
            }
            Command::CopyBufferSubData { read_target, write_target, read_offset, write_offset, size } => {
                self.copy_buffer(group, [read_target, write_target], [read_offset, write_offset, size]);
            }
            // What the renderer writes into a buffer is not known here.
            Command::ReadPixels { reply: 0, .. }
            | Command::GetTexImage { reply: 0, .. }
            | Command::GetCompressedTexImage { reply: 0, .. } => {
                if let Some(buffer) = group.stored.get_mut(&self.pack_buffer()) {
                    buffer.stale = true;
                }
            }
            Command::DeleteBuffers { buffers, .. } => {
                for name in names(buffers).filter(|name| *name != 0) {
                    group.buffers.free(name);
                    group.stored.remove(&name);
                    self.indexed.retain(|_, (buffer, _)| *buffer != name);
                    for it in self.feedbacks.values_mut() {
                        it.bound.retain(|_, (buffer, _)| *buffer != name);
                    }
                    self.buffers.iter_mut().filter(|bound| **bound == name).for_each(|bound| *bound = 0);
                    let arrays = self.arrays();
                    if arrays.elements == name {
                        arrays.elements = 0;
                    }
                    for array in arrays.all_mut().filter(|array| array.buffer == name) {
                        (array.buffer, array.pointer) = (0, 0);
                    }
                }
            }
            _ => return false,
        }
        true
    }

    fn copy_buffer(&mut self, group: &mut Group, targets: [u32; 2], numbers: [i64; 3]) {
        let [Some(read), Some(write)] = targets.map(|target| self.bound_buffer(target)) else { return };
        let [Ok(from), Ok(to), Ok(size)] = numbers.map(usize::try_from) else { return };
        let Some(source) = group.stored.get(&read) else { return };
        let stale = source.stale;
        let bytes = from.checked_add(size).and_then(|end| source.data.get(from..end)).map(<[u8]>::to_vec);
        let Some(target) = group.stored.get_mut(&write) else { return };
        target.stale |= stale;
        if let (Some(bytes), Some(end)) = (bytes, to.checked_add(size))
            && let Some(place) = target.data.get_mut(to..end)
        {
            place.copy_from_slice(&bytes);
        }
    }

    fn attach(
        &mut self,
        group: &mut Group,
        (target, place): (u32, u32),
        attachment: Attachment,
        command: &Command<'_>,
    ) {
        group.images += 1;
        if attachment.kind == TEXTURE {
            group.drawn_into(attachment.name, attachment.level);
        }
        let (name, framebuffer) = self.framebuffer(target);
        if name == 0 {
            return;
        }
        if place == 0x821a {
            framebuffer.made.retain(|place, _| !matches!(place, 0x8d00 | 0x8d20));
        }
        let bytes = framebuffer.made.entry(place).or_default();
        bytes.clear();
        command.encode(bytes);
        // Depth and stencil at once are two places.
        let places: &[u32] = if place == 0x821a { &[0x8d00, 0x8d20] } else { &[place] };
        for place in places {
            if attachment.name == 0 {
                framebuffer.attachments.remove(place);
            } else {
                framebuffer.attachments.insert(*place, attachment);
            }
        }
    }

    fn apply_framebuffers(&mut self, group: &mut Group, command: &Command<'_>) -> bool {
        const RENDERBUFFER: u32 = 0x8d41;
        let image = |name, level, face, layer| Attachment { kind: TEXTURE, name, level, face, layer };
        match *command {
            Command::BindFramebuffer { target, framebuffer } => {
                self.framebuffer_names.take(framebuffer);
                if target != READ_FRAMEBUFFER {
                    self.draw_framebuffer = framebuffer;
                }
                if target != DRAW_FRAMEBUFFER {
                    self.read_framebuffer = framebuffer;
                }
            }
            Command::DeleteFramebuffers { framebuffers, .. } => {
                for name in names(framebuffers).filter(|name| *name != 0) {
                    self.framebuffer_names.free(name);
                    self.framebuffers.remove(&name);
                    for bound in [&mut self.draw_framebuffer, &mut self.read_framebuffer] {
                        *bound = if *bound == name { 0 } else { *bound };
                    }
                }
            }
            Command::BindRenderbuffer { renderbuffer, .. } => {
                group.renderbuffers.take(renderbuffer);
                self.renderbuffer = renderbuffer;
            }
            Command::DeleteRenderbuffers { renderbuffers, .. } => {
                for name in names(renderbuffers).filter(|name| *name != 0) {
                    group.renderbuffers.free(name);
                    group.renderbuffers_kept.remove(&name);
                    if self.renderbuffer == name {
                        self.renderbuffer = 0;
                    }
                }
                group.images += 1;
            }
            Command::FramebufferRenderbuffer { target, attachment, renderbuffer, .. } => {
                let it = Attachment { kind: RENDERBUFFER, name: renderbuffer, level: 0, face: 0, layer: 0 };
                self.attach(group, (target, attachment), it, command);
            }
            Command::FramebufferTexture { target, attachment, texture, level } => {
                self.attach(group, (target, attachment), image(texture, level, 0, 0), command);
            }
            Command::FramebufferTexture1D { target, attachment, textarget, texture, level }
            | Command::FramebufferTexture2D { target, attachment, textarget, texture, level } => {
                let face = if (0x8515..=0x851a).contains(&textarget) { textarget } else { 0 };
                self.attach(group, (target, attachment), image(texture, level, face, 0), command);
            }
            Command::FramebufferTexture3D { target, attachment, texture, level, zoffset: layer, .. }
            | Command::FramebufferTextureLayer { target, attachment, texture, level, layer } => {
                self.attach(group, (target, attachment), image(texture, level, 0, layer), command);
            }
            Command::DrawBuffer { buf } => {
                group.images += 1;
                self.framebuffer(DRAW_FRAMEBUFFER).1.draw_buffers = Some(vec![buf]);
            }
            Command::DrawBuffers { bufs, .. } => {
                group.images += 1;
                self.framebuffer(DRAW_FRAMEBUFFER).1.draw_buffers = Some(names(bufs).collect());
            }
            Command::ReadBuffer { src } => {
                group.images += 1;
                self.framebuffer(READ_FRAMEBUFFER).1.read_buffer = Some(src);
            }
            Command::BeginQuery { target, id } => {
                self.query_results.begin(id);
                self.query_names.take(id);
                self.query_targets.insert(id, target);
                self.queries.insert(target, id);
            }
            Command::EndQuery { target } => {
                self.queries.remove(&target);
            }
            Command::QueryCounter { id, target } => {
                self.query_results.begin(id);
                self.query_names.take(id);
                self.query_targets.insert(id, target);
            }
            Command::DeleteQueries { ids, .. } => {
                for name in names(ids) {
                    self.query_names.free(name);
                    self.query_targets.remove(&name);
                    self.query_results.begin(name);
                }
            }
            _ => return false,
        }
        true
    }

    pub(super) fn apply_arrays(&mut self, command: &Command<'_>) -> bool {
        match *command {
            Command::EnableClientState { array } => self.client_state(array, true),
            Command::DisableClientState { array } => self.client_state(array, false),
            Command::ClientActiveTexture { texture } => {
                let unit = usize::try_from(texture.wrapping_sub(0x84c0)).unwrap_or(usize::MAX);
                if unit < self.units.len() {
                    self.client_active = unit;
                }
            }
            Command::EnableVertexAttribArray { index } => self.generic(index, |array| array.enabled = true),
            Command::DisableVertexAttribArray { index } => self.generic(index, |array| array.enabled = false),
            Command::VertexAttribDivisor { index, divisor } => {
                self.generic(index, |array| array.divisor = divisor);
            }
            Command::BindVertexArray { array } => {
                self.array_names.take(array);
                self.array_object = array;
            }
            Command::DeleteVertexArrays { arrays, .. } => {
                for name in names(arrays).filter(|name| *name != 0) {
                    self.array_names.free(name);
                    self.array_objects.remove(&name);
                    if self.array_object == name {
                        self.array_object = 0;
                    }
                }
            }
            Command::PixelStorei { pname, param } => self.pixel_store(pname, param),
            Command::PixelStoref { pname, param } => {
                #[expect(clippy::cast_possible_truncation, reason = "saturates, as OpenGL rounds it")]
                self.pixel_store(pname, param.round() as i32);
            }
            _ => return false,
        }
        true
    }

    fn client_state(&mut self, array: u32, on: bool) {
        let unit = self.client_active;
        let arrays = self.arrays();
        let which = match array {
            0x8074 => Fixed::Vertex,
            0x8075 => Fixed::Normal,
            0x8076 => Fixed::Color,
            0x8077 => Fixed::Index,
            0x8078 => {
                if let Some(array) = arrays.textures.get_mut(unit) {
                    array.enabled = on;
                }
                return;
            }
            0x8079 => Fixed::EdgeFlag,
            0x8457 => Fixed::FogCoord,
            0x845e => Fixed::SecondaryColor,
            _ => return,
        };
        arrays.fixed(which).enabled = on;
    }

    fn generic(&mut self, index: u32, change: impl FnOnce(&mut Array)) {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if let Some(array) = self.arrays().generic.get_mut(index) {
            change(array);
        }
    }

    fn pixel_store(&mut self, pname: u32, value: i32) {
        let (unpack, pack) = (&mut self.unpack, &mut self.pack);
        let place = match pname {
            0x0cf0 => &mut unpack.swap_bytes,
            0x0cf1 => &mut unpack.lsb_first,
            0x0cf2 => &mut unpack.row_length,
            0x0cf3 => &mut unpack.skip_rows,
            0x0cf4 => &mut unpack.skip_pixels,
            0x0cf5 if matches!(value, 1 | 2 | 4 | 8) => &mut unpack.alignment,
            0x806d => &mut unpack.skip_images,
            0x806e => &mut unpack.image_height,
            0x0d00 => &mut pack.swap_bytes,
            0x0d01 => &mut pack.lsb_first,
            0x0d02 => &mut pack.row_length,
            0x0d03 => &mut pack.skip_rows,
            0x0d04 => &mut pack.skip_pixels,
            0x0d05 if matches!(value, 1 | 2 | 4 | 8) => &mut pack.alignment,
            0x806b => &mut pack.skip_images,
            0x806c => &mut pack.image_height,
            _ => return,
        };
        if value >= 0 {
            *place = value;
        }
    }
}

impl Group {
    /// Whether the name is a program's.
    pub(crate) fn is_program(&self, name: u32) -> bool {
        matches!(self.programs.get(&name), Some(Object::Program(_)))
    }

    /// Whether the name is a shader's.
    pub(crate) fn is_shader(&self, name: u32) -> bool {
        matches!(self.programs.get(&name), Some(Object::Shader(_)))
    }
}
