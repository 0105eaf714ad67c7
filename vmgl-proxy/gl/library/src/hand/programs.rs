//! Shaders and programs: what they are is asked of the renderer when they are compiled and linked, and waited for only when
//! the program asks.

use vmgl_gl_stream::{Command, Control, Reflection};

use super::named::wrong_program;
use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::raw;
use crate::shadow::{Asked, Shader};

pub(crate) unsafe fn shader_source(
    cx: &mut Cx<'_>,
    shader: u32,
    count: i32,
    string: *const *const u8,
    length: *const i32,
) {
    let Ok(count) = usize::try_from(count) else { return cx.error(INVALID_VALUE) };
    let mut source = Vec::new();
    for index in 0..count {
        // SAFETY: the caller's: so many texts, and lengths of them unless none are given.
        let (text, length) = unsafe {
            let length = if length.is_null() { -1 } else { length.add(index).read_unaligned() };
            (string.add(index).read_unaligned(), length)
        };
        let part = match usize::try_from(length) {
            // SAFETY: as above.
            Ok(length) => unsafe { raw::bytes(text, Some(length)) }.unwrap_or_default(),
            // SAFETY: as above; a length below zero stands for a NUL at the end.
            Err(_) => unsafe { raw::text(text.cast()) },
        };
        source.extend_from_slice(part);
    }
    if source.contains(&0) {
        source.retain(|byte| *byte != 0);
    }
    let Some(it) = cx.group.shader(shader) else { return wrong_shader(cx, shader) };
    it.source.clone_from(&source);
    cx.send(Command::ShaderSource { shader, string: &source });
}

pub(crate) fn compile_shader(cx: &mut Cx<'_>, shader: u32) {
    let reply = cx.wire.reply();
    let Some(it) = cx.group.shader(shader) else { return wrong_shader(cx, shader) };
    let before = std::mem::replace(&mut it.status, Asked::Yes(reply));
    cx.send(Command::CompileShader { shader });
    cx.wire.put(&Command::Control(Control::ShaderStatus { shader, reply }));
    drop_answer(cx, &before);
}

pub(crate) fn link_program(cx: &mut Cx<'_>, program: u32) {
    let reply = cx.wire.reply();
    let Some(it) = cx.group.program(program) else { return wrong_program(cx, program) };
    let before = std::mem::replace(&mut it.reflection, Asked::Yes(reply));
    it.blocks.clear();
    cx.send(Command::LinkProgram { program });
    cx.wire.put(&Command::Control(Control::Reflect { program, reply }));
    drop_answer(cx, &before);
}

/// An answer that nobody asked for is not kept for ever.
fn drop_answer<T>(cx: &mut Cx<'_>, asked: &Asked<T>) {
    if let Asked::Yes(reply) = asked {
        cx.wire.link.disregard(*reply);
    }
}

fn wrong_shader(cx: &mut Cx<'_>, name: u32) {
    let error = if cx.group.is_program(name) { INVALID_OPERATION } else { INVALID_VALUE };
    cx.error(error);
}

/// A shader with what the compiler said of it.
pub(super) fn known_shader<'c>(cx: &'c mut Cx<'_>, shader: u32) -> Option<&'c mut Shader> {
    let asked = match cx.group.shader(shader) {
        None => {
            wrong_shader(cx, shader);
            return None;
        }
        Some(it) => match it.status {
            Asked::Yes(reply) => Some(reply),
            Asked::No | Asked::Known(_) => None,
        },
    };
    if let Some(reply) = asked {
        let answer = cx.wire.wait(reply, Control::ShaderStatus { shader, reply }.opcode());
        if cx.wire.is_unanswered() {
            return None;
        }
        let answer = answer.unwrap_or_default();
        let log = String::from_utf8_lossy(&answer.data).into_owned();
        if let Some(it) = cx.group.shader(shader) {
            it.status = Asked::Known((answer.value != 0, log));
        }
    }
    cx.group.shader(shader)
}

/// What a program is, as of its last linking; nothing if it was not linked.
pub(super) fn reflection<'c>(cx: &'c mut Cx<'_>, program: u32) -> Option<&'c Reflection> {
    let asked = match cx.group.program(program) {
        None => {
            wrong_program(cx, program);
            return None;
        }
        Some(it) => match it.reflection {
            Asked::Yes(reply) => Some(reply),
            Asked::No | Asked::Known(_) => None,
        },
    };
    if let Some(reply) = asked {
        let answer = cx.wire.wait(reply, Control::Reflect { program, reply }.opcode());
        if cx.wire.is_unanswered() {
            return None;
        }
        let answer = answer.unwrap_or_default();
        let known = Reflection::decode(&answer.data).unwrap_or_default();
        if let Some(it) = cx.group.program(program) {
            it.reflection = Asked::Known(Box::new(known));
        }
    }
    match &cx.group.program(program)?.reflection {
        Asked::Known(reflection) => Some(reflection),
        Asked::No | Asked::Yes(_) => None,
    }
}

fn length(text: usize) -> i32 {
    if text == 0 { 0 } else { i32::try_from(text + 1).unwrap_or(i32::MAX) }
}

pub(crate) unsafe fn get_shaderiv(cx: &mut Cx<'_>, shader: u32, pname: u32, params: *mut i32) {
    let value = match pname {
        0x8b4f | 0x8b80 | 0x8b88 => match cx.group.shader(shader) {
            None => return wrong_shader(cx, shader),
            Some(it) => match pname {
                0x8b4f => it.kind.cast_signed(),
                0x8b80 => it.doomed.into(),
                _ => length(it.source.len()),
            },
        },
        0x8b81 | 0x8b84 => {
            let Some(it) = known_shader(cx, shader) else { return };
            match (&it.status, pname) {
                (Asked::Known((compiled, _)), 0x8b81) => (*compiled).into(),
                (Asked::Known((_, log)), _) => length(log.len()),
                _ => 0,
            }
        }
        _ => return cx.error(INVALID_ENUM),
    };
    // SAFETY: the caller's.
    unsafe { raw::set(params, value) };
}

pub(crate) unsafe fn get_shader_info_log(
    cx: &mut Cx<'_>,
    shader: u32,
    room: i32,
    length: *mut i32,
    log: *mut u8,
) {
    let Some(it) = known_shader(cx, shader) else { return };
    let text = match &it.status {
        Asked::Known((_, text)) => text.as_str(),
        Asked::No | Asked::Yes(_) => "",
    };
    // SAFETY: the caller's.
    unsafe { raw::put_text(log, room, length, text) };
}

pub(crate) unsafe fn get_shader_source(
    cx: &mut Cx<'_>,
    shader: u32,
    room: i32,
    length: *mut i32,
    source: *mut u8,
) {
    let Some(it) = cx.group.shader(shader) else { return wrong_shader(cx, shader) };
    // SAFETY: the caller's.
    unsafe { raw::put_text(source, room, length, &String::from_utf8_lossy(&it.source)) };
}

pub(crate) unsafe fn get_attached_shaders(
    cx: &mut Cx<'_>,
    program: u32,
    room: i32,
    count: *mut i32,
    shaders: *mut u32,
) {
    let Some(it) = cx.group.program(program) else { return wrong_program(cx, program) };
    let put = it.shaders.len().min(usize::try_from(room).unwrap_or(0));
    // SAFETY: the caller's.
    unsafe {
        raw::set(count, i32::try_from(put).unwrap_or(0));
        raw::set_all(shaders, it.shaders.iter().take(put).copied());
    }
}

pub(crate) unsafe fn get_object_parameteriv_arb(cx: &mut Cx<'_>, object: u32, pname: u32, params: *mut i32) {
    // SAFETY: the caller's, for all of these.
    unsafe {
        match (cx.group.is_shader(object), pname) {
            (true, 0x8b4e) => raw::set(params, 0x8b48),
            (false, 0x8b4e) => raw::set(params, 0x8b40),
            (true, _) => get_shaderiv(cx, object, pname, params),
            (false, _) => super::get_programiv(cx, object, pname, params),
        }
    }
}

pub(crate) unsafe fn get_info_log_arb(
    cx: &mut Cx<'_>,
    object: u32,
    room: i32,
    length: *mut i32,
    log: *mut u8,
) {
    // SAFETY: the caller's.
    unsafe {
        if cx.group.is_shader(object) {
            get_shader_info_log(cx, object, room, length, log);
        } else {
            super::get_program_info_log(cx, object, room, length, log);
        }
    }
}

pub(crate) unsafe fn transform_feedback_varyings(
    cx: &mut Cx<'_>,
    program: u32,
    count: i32,
    varyings: *const *const u8,
    buffer_mode: u32,
) {
    let Ok(count) = usize::try_from(count) else { return cx.error(INVALID_VALUE) };
    let mut names = Vec::new();
    for index in 0..count {
        // SAFETY: the caller's: so many texts with a NUL each.
        let name = unsafe { raw::text(varyings.add(index).read_unaligned().cast()) };
        names.extend_from_slice(name);
        names.push(0);
    }
    cx.send(Command::TransformFeedbackVaryings { program, varyings: &names, buffer_mode });
}

/// There are no binary formats: a program is its sources.
pub(crate) unsafe fn get_program_binary(
    cx: &mut Cx<'_>,
    _program: u32,
    _room: i32,
    length: *mut i32,
    _format: *mut u32,
    _binary: *mut u8,
) {
    // SAFETY: the caller's.
    unsafe { raw::set(length, 0) };
    cx.error(INVALID_OPERATION);
}

/// As above.
pub(crate) unsafe fn program_binary(
    cx: &mut Cx<'_>,
    _program: u32,
    _format: u32,
    _binary: *const u8,
    _length: i32,
) {
    cx.error(INVALID_ENUM);
}
