//! Names: generated here, and asked for here.

use vmgl_gl_stream::Command;

use crate::core::{Cx, INVALID_ENUM, INVALID_OPERATION, INVALID_VALUE};
use crate::names::Names;
use crate::raw;
use crate::shadow::{Asked, Linked, Object, Shader};

/// Names of a class to the program, and as bytes for the renderer.
unsafe fn generate(names: &mut Names, count: i32, place: *mut u32) -> Option<Vec<u8>> {
    let made = names.generate(usize::try_from(count).ok()?);
    // SAFETY: the caller's.
    unsafe { raw::set_all(place, made.iter().copied()) };
    Some(made.into_iter().flat_map(u32::to_le_bytes).collect())
}

macro_rules! generators {
    ($($function:ident, $place:ident, $owner:ident . $field:ident, $variant:ident, $argument:ident;)*) => {$(
        pub(crate) unsafe fn $function(cx: &mut Cx<'_>, n: i32, $place: *mut u32) {
            // SAFETY: the caller's.
            match unsafe { generate(&mut cx.$owner.$field, n, $place) } {
                Some(bytes) => cx.send(Command::$variant { $argument: n, $place: &bytes }),
                None => cx.error(INVALID_VALUE),
            }
        }
    )*};
}

generators! {
    gen_buffers, buffers, group.buffers, GenBuffers, n;
    gen_framebuffers, framebuffers, state.framebuffer_names, GenFramebuffers, n;
    gen_queries, ids, state.query_names, GenQueries, n;
    gen_renderbuffers, renderbuffers, group.renderbuffers, GenRenderbuffers, n;
    gen_samplers, samplers, group.samplers, GenSamplers, count;
    gen_textures, textures, group.textures, GenTextures, n;
    gen_transform_feedbacks, ids, state.feedback_names, GenTransformFeedbacks, n;
    gen_vertex_arrays, arrays, state.array_names, GenVertexArrays, n;
}

pub(crate) fn gen_lists(cx: &mut Cx<'_>, range: i32) -> u32 {
    let Ok(count) = u32::try_from(range) else {
        cx.error(INVALID_VALUE);
        return 0;
    };
    if count == 0 {
        return 0;
    }
    let list = cx.group.lists.range(count);
    cx.send(Command::GenLists { range, list });
    list
}

pub(crate) fn create_shader(cx: &mut Cx<'_>, kind: u32) -> u32 {
    if !matches!(kind, 0x8b30 | 0x8b31 | 0x8dd9) {
        cx.error(INVALID_ENUM);
        return 0;
    }
    let shader = cx.group.objects.range(1);
    let it = Shader { kind, source: Vec::new(), status: Asked::No, doomed: false };
    cx.group.programs.insert(shader, Object::Shader(it));
    cx.send(Command::CreateShader { type_: kind, shader });
    shader
}

pub(crate) fn create_program(cx: &mut Cx<'_>) -> u32 {
    let program = cx.group.objects.range(1);
    cx.group.programs.insert(program, Object::Program(Linked::new()));
    cx.send(Command::CreateProgram { program });
    program
}

pub(crate) fn fence_sync(cx: &mut Cx<'_>, condition: u32, flags: u32) -> u64 {
    let sync = u64::from(cx.group.syncs.range(1));
    cx.send(Command::FenceSync { condition, flags, sync });
    sync
}

pub(crate) fn delete_object_arb(cx: &mut Cx<'_>, object: u32) {
    if cx.group.is_shader(object) {
        cx.send(Command::DeleteShader { shader: object });
    } else if cx.group.is_program(object) {
        cx.send(Command::DeleteProgram { program: object });
    } else if object != 0 {
        cx.error(INVALID_VALUE);
    }
}

pub(crate) fn get_handle_arb(cx: &mut Cx<'_>, pname: u32) -> u32 {
    if pname == 0x8b40 {
        return cx.state.program;
    }
    cx.error(INVALID_ENUM);
    0
}

pub(crate) fn is_buffer(cx: &mut Cx<'_>, buffer: u32) -> u8 {
    // A name is an object from its first binding on.
    u8::from(cx.group.stored.contains_key(&buffer))
}

pub(crate) fn is_framebuffer(cx: &mut Cx<'_>, framebuffer: u32) -> u8 {
    u8::from(cx.state.framebuffer_names.has(framebuffer))
}

pub(crate) fn is_list(cx: &mut Cx<'_>, list: u32) -> u8 {
    u8::from(cx.group.lists.has(list))
}

pub(crate) fn is_program(cx: &mut Cx<'_>, program: u32) -> u8 {
    u8::from(cx.group.is_program(program))
}

pub(crate) fn is_query(cx: &mut Cx<'_>, id: u32) -> u8 {
    u8::from(cx.state.query_names.has(id))
}

pub(crate) fn is_renderbuffer(cx: &mut Cx<'_>, renderbuffer: u32) -> u8 {
    u8::from(cx.group.renderbuffers.has(renderbuffer))
}

pub(crate) fn is_sampler(cx: &mut Cx<'_>, sampler: u32) -> u8 {
    u8::from(cx.group.samplers.has(sampler))
}

pub(crate) fn is_shader(cx: &mut Cx<'_>, shader: u32) -> u8 {
    u8::from(cx.group.is_shader(shader))
}

pub(crate) fn is_sync(cx: &mut Cx<'_>, sync: u64) -> u8 {
    u8::from(u32::try_from(sync).is_ok_and(|sync| cx.group.syncs.has(sync)))
}

pub(crate) fn is_texture(cx: &mut Cx<'_>, texture: u32) -> u8 {
    u8::from(cx.group.targets.contains_key(&texture))
}

pub(crate) fn is_transform_feedback(cx: &mut Cx<'_>, id: u32) -> u8 {
    u8::from(cx.state.feedback_names.has(id))
}

pub(crate) fn is_vertex_array(cx: &mut Cx<'_>, array: u32) -> u8 {
    u8::from(cx.state.array_names.has(array))
}

pub(crate) unsafe fn are_textures_resident(
    cx: &mut Cx<'_>,
    n: i32,
    textures: *const u32,
    residences: *mut u8,
) -> u8 {
    let (Ok(count), false) = (usize::try_from(n), textures.is_null()) else {
        cx.error(INVALID_VALUE);
        return 0;
    };
    // SAFETY: the caller's.
    let known = |index| cx.group.textures.has(unsafe { textures.add(index).read_unaligned() });
    if !(0..count).all(known) {
        cx.error(INVALID_VALUE);
        return 0;
    }
    // SAFETY: the caller's. Where textures are at the desk is no matter of the program's.
    unsafe { raw::set_all(residences, (0..count).map(|_| 1)) };
    1
}

/// The object of that name must be a program: else OpenGL says which error it is.
pub(super) fn wrong_program(cx: &mut Cx<'_>, name: u32) {
    let error = if cx.group.is_shader(name) { INVALID_OPERATION } else { INVALID_VALUE };
    cx.error(error);
}
