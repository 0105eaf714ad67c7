//! Objects of a share group: buffers, renderbuffers, textures, samplers, shaders and programs, lists, fences.

use std::collections::{HashMap, HashSet};

use vmgl_gl_stream::{Command, Control, Data, Reflection};

use super::{Lost, Sink};
use crate::shadow::textures::{Level, Make, Texture};
use crate::shadow::{Asked, Group, Linked, Object, Shader, renderbuffers, steps};

const ARRAY_BUFFER: u32 = 0x8892;
const COMPILE: u32 = 0x1300;
const FENCE: u32 = 0x9117;

/// Makes them. The programs whose answer must be looked at before [`uniforms`] are set, and the numbers of their questions.
pub(crate) fn objects(
    group: &Group,
    drawn: &HashSet<(u32, i32)>,
    sink: &mut impl Sink,
    lost: &mut Lost,
) -> Vec<(u32, u32)> {
    buffers(group, sink, lost);
    renderbuffers::put(group, sink, lost);
    for (&(name, of), texture) in &group.kept_textures {
        let target = if name == 0 { of } else { texture.target };
        sink.put(&Command::BindTexture { target, texture: name });
        make_texture(name, texture, drawn, sink, lost);
        if name != 0 {
            sink.put(&Command::BindTexture { target, texture: 0 });
        }
    }
    group.sampler_parameters.values().for_each(|bytes| sink.put_bytes(bytes));
    for &sync in &group.fences {
        sink.put(&Command::FenceSync { condition: FENCE, flags: 0, sync });
    }
    programs(group, sink)
}

/// Makes the lists, in a context of the compatibility profile.
pub(crate) fn lists(group: &Group, sink: &mut impl Sink, lost: &mut Lost) {
    for (&list, whole) in &group.kept_lists {
        sink.put(&Command::NewList { list, mode: COMPILE });
        match whole {
            Some(whole) => sink.put_bytes(whole),
            None => lost.note("display lists", list),
        }
        sink.put(&Command::EndList);
    }
}

fn buffers(group: &Group, sink: &mut impl Sink, lost: &mut Lost) {
    let mut names: Vec<_> = group.stored.keys().copied().collect();
    names.sort_unstable();
    for buffer in names {
        let Some(it) = group.stored.get(&buffer) else { continue };
        sink.put(&Command::BindBuffer { target: ARRAY_BUFFER, buffer });
        if let Ok(size) = i64::try_from(it.data.len())
            && it.usage != 0
        {
            let data = if size == 0 { Data::Null } else { Data::Memory(&it.data) };
            sink.put(&Command::BufferData { target: ARRAY_BUFFER, size, data, usage: it.usage });
        }
        if it.stale {
            lost.note("what was written into buffers", buffer);
        }
    }
    if !group.stored.is_empty() {
        sink.put(&Command::BindBuffer { target: ARRAY_BUFFER, buffer: 0 });
    }
}

fn make_texture(
    name: u32,
    texture: &Texture,
    drawn: &HashSet<(u32, i32)>,
    sink: &mut impl Sink,
    lost: &mut Lost,
) {
    texture.parameters.values().for_each(|bytes| sink.put_bytes(bytes));
    if let Some((internalformat, buffer)) = texture.buffer {
        sink.put(&Command::TexBuffer { target: texture.target, internalformat, buffer });
    }
    if let Some(bytes) = &texture.storage {
        sink.put_bytes(bytes);
    }
    let mut mipmaps = texture.is_mipmapped;
    for (&(level, face), it) in &texture.levels {
        if level > 0 && std::mem::take(&mut mipmaps) {
            sink.put(&Command::GenerateMipmap { target: texture.target });
        }
        make_level((face, level), it, sink);
        it.parts.iter().for_each(|part| sink.put_bytes(part));
        if it.is_lost || (drawn.contains(&(name, level)) && !it.is_home) {
            lost.note("what was drawn into textures", name);
        }
    }
    if mipmaps {
        sink.put(&Command::GenerateMipmap { target: texture.target });
    }
}

fn make_level((target, level): (u32, i32), it: &Level, sink: &mut impl Sink) {
    let [width, height, depth] = it.sizes;
    let pixels = if it.pixels.is_empty() { Data::Null } else { Data::Memory(&it.pixels) };
    let (format, type_) = (it.format, it.kind);
    match it.make {
        Make::Image { dimensions, internal: internalformat, border } => sink.put(&match dimensions {
            1 => Command::TexImage1D { target, level, internalformat, width, border, format, type_, pixels },
            2 => Command::TexImage2D {
                target,
                level,
                internalformat,
                width,
                height,
                border,
                format,
                type_,
                pixels,
            },
            _ => Command::TexImage3D {
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
            },
        }),
        Make::Compressed { dimensions, internal: internalformat, border } => {
            let Ok(image_size) = i32::try_from(it.pixels.len()) else { return };
            // Packed pixels are not made without any.
            if image_size == 0 {
                return;
            }
            let data = pixels;
            sink.put(&match dimensions {
                1 => Command::CompressedTexImage1D {
                    target,
                    level,
                    internalformat,
                    width,
                    border,
                    image_size,
                    data,
                },
                2 => Command::CompressedTexImage2D {
                    target,
                    level,
                    internalformat,
                    width,
                    height,
                    border,
                    image_size,
                    data,
                },
                _ => Command::CompressedTexImage3D {
                    target,
                    level,
                    internalformat,
                    width,
                    height,
                    depth,
                    border,
                    image_size,
                    data,
                },
            });
        }
        // Its room is there already.
        Make::Stored { .. } if it.pixels.is_empty() => {}
        Make::Stored { dimensions, .. } => sink.put(&stored((target, level), dimensions, it, pixels)),
        Make::Multisample { internal: internalformat, samples, fixed: fixedsamplelocations } => {
            sink.put(&if depth == 0 {
                Command::TexImage2DMultisample {
                    target,
                    samples,
                    internalformat,
                    width,
                    height,
                    fixedsamplelocations,
                }
            } else {
                Command::TexImage3DMultisample {
                    target,
                    samples,
                    internalformat,
                    width,
                    height,
                    depth,
                    fixedsamplelocations,
                }
            });
        }
    }
}

/// What fills a level whose room is there.
fn stored<'p>((target, level): (u32, i32), dimensions: u8, it: &Level, pixels: Data<'p>) -> Command<'p> {
    let ([width, height, depth], format, type_) = (it.sizes, it.format, it.kind);
    let (xoffset, yoffset, zoffset) = (0, 0, 0);
    match dimensions {
        1 => Command::TexSubImage1D { target, level, xoffset, width, format, type_, pixels },
        2 => Command::TexSubImage2D { target, level, xoffset, yoffset, width, height, format, type_, pixels },
        _ => Command::TexSubImage3D {
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
        },
    }
}

/// A shader with its source, compiled.
fn make_shader(name: u32, kind: u32, source: &[u8], compiled: bool, sink: &mut impl Sink) {
    sink.put(&Command::CreateShader { type_: kind, shader: name });
    sink.put(&Command::ShaderSource { shader: name, string: source });
    if compiled {
        sink.put(&Command::CompileShader { shader: name });
    }
}

fn programs(group: &Group, sink: &mut impl Sink) -> Vec<(u32, u32)> {
    let mut names: Vec<_> = group.programs.keys().copied().collect();
    names.sort_unstable();
    let shader = |name: &u32| match group.programs.get(name) {
        Some(Object::Shader(shader)) => Some(shader),
        _ => None,
    };
    for (&name, it) in names.iter().filter_map(|name| Some((name, shader(name)?))) {
        make_shader(name, it.kind, &it.source, !matches!(it.status, Asked::No), sink);
        if let Asked::Yes(reply) = it.status {
            sink.put(&Command::Control(Control::ShaderStatus { shader: name, reply }));
        }
    }
    let mut asked = Vec::new();
    for &name in &names {
        let Some(Object::Program(it)) = group.programs.get(&name) else { continue };
        let shaders: Vec<&Shader> = it.shaders.iter().filter_map(shader).collect();
        make_program(name, it, &shaders, sink);
        match it.reflection {
            Asked::No => {}
            Asked::Yes(reply) => sink.put(&Command::Control(Control::Reflect { program: name, reply })),
            Asked::Known(_) => {
                let reply = sink.reply();
                sink.put(&Command::Control(Control::Reflect { program: name, reply }));
                asked.push((name, reply));
            }
        }
    }
    // Those that wait for their programs' end.
    for (&name, _) in names.iter().filter_map(|name| Some((name, shader(name).filter(|it| it.doomed)?))) {
        sink.put(&Command::DeleteShader { shader: name });
    }
    asked
}

fn make_program(name: u32, it: &Linked, shaders: &[&Shader], sink: &mut impl Sink) {
    sink.put(&Command::CreateProgram { program: name });
    it.bound.values().for_each(|bytes| sink.put_bytes(bytes));
    let attach = |sink: &mut dyn FnMut(&Command<'_>)| {
        for &shader in &it.shaders {
            sink(&Command::AttachShader { program: name, shader });
        }
    };
    let Some(made_of) = &it.made_of else { return attach(&mut |command| sink.put(command)) };
    if let Asked::Known(known) = &it.reflection {
        // Where attributes are the program knows, and has said it to its arrays.
        for attribute in known.attributes.iter().filter(|it| it.location >= 0) {
            let (index, text) = (attribute.location.cast_unsigned(), attribute.name.as_bytes());
            sink.put(&Command::BindAttribLocation { program: name, index, name: text });
        }
    }
    let is_as_it_was = made_of.len() == shaders.len()
        && made_of.iter().zip(shaders).all(|((kind, source), is)| (*kind, source) == (is.kind, &is.source));
    if is_as_it_was {
        attach(&mut |command| sink.put(command));
        return sink.put(&Command::LinkProgram { program: name });
    }
    // The shaders that it was made of are others by now, or gone: names that nobody else has stand for them.
    let names = (0..made_of.len()).filter_map(|index| u32::MAX.checked_sub(u32::try_from(index).ok()?));
    let others: Vec<u32> = names.collect();
    for (&shader, (kind, source)) in others.iter().zip(made_of) {
        make_shader(shader, *kind, source, true, sink);
        sink.put(&Command::AttachShader { program: name, shader });
    }
    sink.put(&Command::LinkProgram { program: name });
    for shader in others {
        sink.put(&Command::DetachShader { program: name, shader });
        sink.put(&Command::DeleteShader { shader });
    }
    attach(&mut |command| sink.put(command));
}

/// Where each uniform of the first linking is at this renderer; none if all are where they were.
fn moved(was: &Reflection, is: &Reflection) -> Option<HashMap<i32, i32>> {
    let mut places = HashMap::new();
    for uniform in &was.uniforms {
        let now = is.uniforms.iter().find(|it| it.name == uniform.name);
        for (index, &location) in uniform.locations.iter().enumerate().filter(|(_, at)| **at >= 0) {
            let at = now.and_then(|it| it.locations.get(index)).copied().unwrap_or(-1);
            places.insert(location, at);
        }
    }
    places.iter().any(|(was, is)| was != is).then_some(places)
}

/// Gives a program its uniforms, by what the renderer has answered. Whether they are elsewhere than they were.
pub(crate) fn uniforms(
    name: u32,
    it: &mut Linked,
    answer: Option<&Reflection>,
    sink: &mut impl Sink,
) -> bool {
    let was = match &it.reflection {
        Asked::Known(was) => Some(&**was),
        Asked::No | Asked::Yes(_) => None,
    };
    let places = was.zip(answer).and_then(|(was, is)| moved(was, is));
    let mut in_use = false;
    for (location, bytes) in it.uniforms.all() {
        if !std::mem::replace(&mut in_use, true) {
            sink.put(&Command::UseProgram { program: name });
        }
        match &places {
            None => sink.put_bytes(bytes),
            Some(places) => {
                if let Some(&at) = places.get(&location).filter(|at| **at >= 0) {
                    sink.put_bytes(&steps::moved(bytes, at));
                }
            }
        }
    }
    for (&index, &binding) in &it.blocks {
        // Blocks are counted anew, and found by their names.
        let found = was.zip(answer).and_then(|(was, is)| {
            let block = &was.blocks.get(usize::try_from(index).ok()?)?.name;
            u32::try_from(is.blocks.iter().position(|it| it.name == *block)?).ok()
        });
        sink.put(&Command::UniformBlockBinding {
            program: name,
            uniform_block_index: found.unwrap_or(index),
            uniform_block_binding: binding,
        });
    }
    it.moved = places;
    it.moved.is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use vmgl_gl_stream::{Reflection, Uniform};

    use super::moved;

    fn with(uniforms: &[(&str, &[i32])]) -> Reflection {
        let uniforms = uniforms
            .iter()
            .map(|(name, locations)| Uniform {
                name: (*name).to_owned(),
                locations: locations.to_vec(),
                ..Uniform::default()
            })
            .collect();
        Reflection { linked: true, uniforms, ..Reflection::default() }
    }

    #[test]
    fn uniforms_that_are_elsewhere_are_found_by_their_names() {
        let was = with(&[("view", &[0]), ("lights[0]", &[1, 2]), ("gone", &[3])]);
        assert_eq!(moved(&was, &was.clone()), None);
        let is = with(&[("lights[0]", &[0, 1]), ("view", &[2])]);
        let places = moved(&was, &is).unwrap();
        assert_eq!((places[&0], places[&1], places[&2], places[&3]), (2, 0, 1, -1));
    }
}
