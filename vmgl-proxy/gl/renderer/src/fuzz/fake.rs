//! An OpenGL that draws nothing and looks at what it is given ([`look`](super::look)). Most of its functions are generated from the
//! registry's plans; here are those that remember, and those that the renderer calls by rules of its own.

use vmgl_gl_stream::size;

use super::look::{self, context, expect, fresh, is_bound, is_tight, named};
use crate::gl::Gl;
use crate::hands::number as n;
use crate::names::Class;

const RENDER: u32 = 0x1C00;
const FEEDBACK: u32 = 0x1C01;
const SELECT: u32 = 0x1C02;
const RENDER_MODE: u32 = 0x0C40;
const FEEDBACK_POINTER: u32 = 0x0DF0;
const SELECTION_POINTER: u32 = 0x0DF3;
/// Every texture is as wide and as high as this, and one deep.
const SIDE: i32 = 4;
/// Bytes of each that is compressed.
const COMPRESSED: i32 = 96;
/// Entries of every table for pixels.
const ENTRIES: u32 = 300;

#[allow(non_snake_case, unused_variables, unused_unsafe, clippy::too_many_arguments, reason = "generated")]
mod made {
    use vmgl_gl_stream::size;

    use super::super::look;
    use crate::gl::Gl;
    use crate::names::Class;

    include!(concat!(env!("OUT_DIR"), "/fakes.rs"));
}

/// All of it.
pub(super) fn gl() -> Gl {
    Gl {
        BindBuffer: Some(bind_buffer),
        BindFramebuffer: Some(bind_framebuffer),
        BindRenderbuffer: Some(bind_renderbuffer),
        CallLists: Some(call_lists),
        ClientActiveTexture: Some(client_active_texture),
        ColorPointer: Some(sized),
        CreateProgram: Some(create_program),
        CreateShader: Some(create_shader),
        DeleteBuffers: Some(delete_buffers),
        DeleteFramebuffers: Some(delete_framebuffers),
        DeleteLists: Some(delete_lists),
        DeleteRenderbuffers: Some(delete_renderbuffers),
        DeleteSync: Some(delete_sync),
        DrawElements: Some(draw_elements),
        DrawElementsBaseVertex: Some(draw_elements_one_more),
        DrawElementsInstanced: Some(draw_elements_one_more),
        DrawElementsInstancedBaseVertex: Some(draw_elements_two_more),
        DrawRangeElements: Some(draw_range),
        DrawRangeElementsBaseVertex: Some(draw_range_base),
        EdgeFlagPointer: Some(bare),
        FeedbackBuffer: Some(feedback_buffer),
        FenceSync: Some(fence_sync),
        FogCoordPointer: Some(typed),
        GenBuffers: Some(gen_buffers),
        GenFramebuffers: Some(gen_framebuffers),
        GenLists: Some(gen_lists),
        GenQueries: Some(gen_queries),
        GenRenderbuffers: Some(gen_renderbuffers),
        GenSamplers: Some(gen_samplers),
        GenTextures: Some(gen_textures),
        GenTransformFeedbacks: Some(gen_transform_feedbacks),
        GenVertexArrays: Some(gen_vertex_arrays),
        GetCompressedTexImage: Some(get_compressed_tex_image),
        GetIntegerv: Some(get_integer),
        GetPixelMapfv: Some(get_pixel_map::<f32>),
        GetPixelMapuiv: Some(get_pixel_map::<u32>),
        GetPixelMapusv: Some(get_pixel_map::<u16>),
        GetPointerv: Some(get_pointer),
        GetTexImage: Some(get_tex_image),
        GetTexLevelParameteriv: Some(get_level),
        IndexPointer: Some(typed),
        NormalPointer: Some(typed),
        PixelStorei: Some(pixel_store),
        ReadPixels: Some(read_pixels),
        RenderMode: Some(render_mode),
        SecondaryColorPointer: Some(sized),
        SelectBuffer: Some(select_buffer),
        ShaderSource: Some(shader_source),
        TexCoordPointer: Some(sized),
        TransformFeedbackVaryings: Some(varyings),
        VertexAttribIPointer: Some(integer_attribute),
        VertexAttribPointer: Some(attribute),
        VertexPointer: Some(sized),
        ..made::all()
    }
}

macro_rules! gives {
    ($($name:ident: $class:ident),*) => { $(
        unsafe extern "system" fn $name(count: i32, to: *mut u32) {
            let count = u32::try_from(count).unwrap_or(0);
            let first = fresh(Class::$class, count);
            // SAFETY: the caller says that there is room for so many.
            (0..count).for_each(|at| unsafe { to.add(at as usize).write(first + at) });
        }
    )* };
}

gives!(
    gen_buffers: Buffer, gen_framebuffers: Framebuffer, gen_queries: Query, gen_renderbuffers: Renderbuffer,
    gen_samplers: Sampler, gen_textures: Texture, gen_transform_feedbacks: TransformFeedback,
    gen_vertex_arrays: VertexArray
);

unsafe extern "system" fn gen_lists(count: i32) -> u32 {
    let count = u32::try_from(count).unwrap_or(0);
    look::spend(count as usize * 64);
    if count > 0 { fresh(Class::List, count) } else { 0 }
}

unsafe extern "system" fn create_program() -> u32 {
    fresh(Class::Program, 1)
}

unsafe extern "system" fn create_shader(_: u32) -> u32 {
    fresh(Class::Shader, 1)
}

unsafe extern "system" fn fence_sync(_: u32, _: u32) -> u64 {
    fresh(Class::Sync, 1).into()
}

unsafe extern "system" fn delete_lists(list: u32, _: i32) {
    named(Class::List, list);
}

unsafe extern "system" fn delete_sync(sync: u64) {
    named(Class::Sync, sync);
}

unsafe extern "system" fn call_lists(count: i32, _: u32, lists: *const u8) {
    // SAFETY: as many as are said, of 32 bits.
    unsafe { look::names(Class::List, lists.cast(), usize::try_from(count).ok()) };
}

fn bind(binding: u32, name: u32) {
    context(|it| match name {
        0 => it.bound.remove(&binding),
        name => it.bound.insert(binding, name),
    });
}

unsafe extern "system" fn bind_buffer(target: u32, name: u32) {
    named(Class::Buffer, name);
    match target {
        0x8892 => bind(n::ARRAY_BUFFER_BINDING, name),
        0x8893 => bind(n::ELEMENT_ARRAY_BUFFER_BINDING, name),
        0x88EB => bind(n::PIXEL_PACK_BUFFER_BINDING, name),
        0x88EC => bind(n::PIXEL_UNPACK_BUFFER_BINDING, name),
        _ => {}
    }
}

unsafe extern "system" fn bind_framebuffer(target: u32, name: u32) {
    named(Class::Framebuffer, name);
    if target != n::READ_FRAMEBUFFER {
        bind(n::DRAW_FRAMEBUFFER_BINDING, name);
    }
    if target != n::DRAW_FRAMEBUFFER {
        bind(n::READ_FRAMEBUFFER_BINDING, name);
    }
}

unsafe extern "system" fn bind_renderbuffer(_: u32, name: u32) {
    named(Class::Renderbuffer, name);
    bind(n::RENDERBUFFER_BINDING, name);
}

/// What is bound and ends is bound no more.
unsafe fn delete(class: Class, count: i32, names: *const u32) {
    // SAFETY: as many as are said.
    unsafe { look::names(class, names, usize::try_from(count).ok()) };
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as above.
        let gone = unsafe { names.add(at).read() };
        context(|it| it.bound.retain(|_, name| *name != gone));
    }
}

unsafe extern "system" fn delete_buffers(count: i32, names: *const u32) {
    // SAFETY: as many as are said.
    unsafe { delete(Class::Buffer, count, names) };
}

unsafe extern "system" fn delete_framebuffers(count: i32, names: *const u32) {
    // SAFETY: as many as are said.
    unsafe { delete(Class::Framebuffer, count, names) };
}

unsafe extern "system" fn delete_renderbuffers(count: i32, names: *const u32) {
    // SAFETY: as many as are said.
    unsafe { delete(Class::Renderbuffer, count, names) };
}

unsafe extern "system" fn client_active_texture(unit: u32) {
    context(|it| it.texture_unit = unit);
}

unsafe extern "system" fn get_integer(name: u32, to: *mut i32) {
    let value = context(|it| match name {
        n::DOUBLEBUFFER => 1,
        n::CLIENT_ACTIVE_TEXTURE => it.texture_unit,
        RENDER_MODE if it.mode == 0 => RENDER,
        RENDER_MODE => it.mode,
        // The sizes of tables for pixels.
        0x0CB0..=0x0CB9 => ENTRIES,
        name => it.bound.get(&name).copied().unwrap_or(0),
    });
    // SAFETY: there is room for one at least.
    unsafe { to.write(value.cast_signed()) };
}

unsafe extern "system" fn pixel_store(word: u32, value: i32) {
    context(|it| it.store.insert(word, value));
}

unsafe extern "system" fn get_pointer(name: u32, to: *mut *mut u8) {
    let place = match name {
        SELECTION_POINTER => 0,
        FEEDBACK_POINTER => 1,
        _ => return,
    };
    let at = context(|it| it.results[place].map_or(std::ptr::null_mut(), |(at, _)| at.cast()));
    // SAFETY: there is room for one.
    unsafe { to.write(at) };
}

fn results(place: usize, mode: u32, size: i32, at: *mut u32) {
    if let Ok(size) = usize::try_from(size) {
        look::spend(size * 4);
        expect(context(|it| it.mode) != mode, "results have another place while they are written");
        context(|it| it.results[place] = Some((at, size)));
    }
}

unsafe extern "system" fn select_buffer(size: i32, at: *mut u32) {
    results(0, SELECT, size, at);
}

unsafe extern "system" fn feedback_buffer(size: i32, _: u32, at: *mut f32) {
    results(1, FEEDBACK, size, at.cast());
}

unsafe extern "system" fn render_mode(mode: u32) -> i32 {
    let wanted = match mode {
        RENDER => None,
        SELECT => Some(0),
        FEEDBACK => Some(1),
        _ => return 0,
    };
    if wanted.is_some_and(|place| context(|it| it.results[place].is_none())) {
        return 0;
    }
    let before = context(|it| std::mem::replace(&mut it.mode, mode));
    let place = match before {
        SELECT => 0,
        FEEDBACK => 1,
        _ => return 0,
    };
    let Some((at, size)) = context(|it| it.results[place]) else { return 0 };
    // SAFETY: the renderer keeps the place for as long as it may be written.
    unsafe { look::write(at, Some(size)) };
    i32::try_from(size).unwrap_or(-1)
}

unsafe extern "system" fn get_pixel_map<T>(_: u32, to: *mut T) {
    // SAFETY: there is room for as many as the table has.
    unsafe { look::write(to, Some(ENTRIES as usize)) };
}

unsafe extern "system" fn get_level(_: u32, _: i32, word: u32, to: *mut i32) {
    let value = match word {
        0x1000 | 0x1001 => SIDE,
        0x86A0 => COMPRESSED,
        _ => 1,
    };
    // SAFETY: there is room for one.
    unsafe { to.write(value) };
}

/// Pixels are written, unless they go into a buffer.
unsafe fn pack(to: *mut u8, bytes: Option<usize>) {
    if !is_bound(n::PIXEL_PACK_BUFFER_BINDING) {
        expect(is_tight(), "pixels are written with gaps");
        // SAFETY: the caller says that there is room.
        unsafe { look::write(to, bytes) };
    }
}

unsafe extern "system" fn read_pixels(
    _: i32,
    _: i32,
    width: i32,
    height: i32,
    format: u32,
    kind: u32,
    to: *mut u8,
) {
    // SAFETY: room for the pixels, or an offset.
    unsafe { pack(to, size::image_2d(format, kind, width, height)) };
}

unsafe extern "system" fn get_tex_image(_: u32, _: i32, format: u32, kind: u32, to: *mut u8) {
    // SAFETY: room for the pixels, or an offset.
    unsafe { pack(to, size::image_3d(format, kind, SIDE, SIDE, 1)) };
}

unsafe extern "system" fn get_compressed_tex_image(_: u32, _: i32, to: *mut u8) {
    // SAFETY: room for them, or an offset.
    unsafe { pack(to, usize::try_from(COMPRESSED).ok()) };
}

/// Indices are read, unless they are in a buffer.
unsafe fn indices(count: i32, kind: u32, at: *const u8) {
    if !is_bound(n::ELEMENT_ARRAY_BUFFER_BINDING) {
        // SAFETY: as many as are said.
        unsafe { look::array(at, size::indices(count, kind)) };
    }
}

unsafe extern "system" fn draw_elements(_: u32, count: i32, kind: u32, at: *const u8) {
    // SAFETY: as many as are said, or an offset.
    unsafe { indices(count, kind, at) };
}

unsafe extern "system" fn draw_elements_one_more(_: u32, count: i32, kind: u32, at: *const u8, _: i32) {
    // SAFETY: as many as are said, or an offset.
    unsafe { indices(count, kind, at) };
}

unsafe extern "system" fn draw_elements_two_more(
    _: u32,
    count: i32,
    kind: u32,
    at: *const u8,
    _: i32,
    _: i32,
) {
    // SAFETY: as many as are said, or an offset.
    unsafe { indices(count, kind, at) };
}

unsafe extern "system" fn draw_range(_: u32, _: u32, _: u32, count: i32, kind: u32, at: *const u8) {
    // SAFETY: as many as are said, or an offset.
    unsafe { indices(count, kind, at) };
}

unsafe extern "system" fn draw_range_base(
    _: u32,
    _: u32,
    _: u32,
    count: i32,
    kind: u32,
    at: *const u8,
    _: i32,
) {
    // SAFETY: as many as are said, or an offset.
    unsafe { indices(count, kind, at) };
}

/// The place of an array is never an address.
fn offset() {
    expect(is_bound(n::ARRAY_BUFFER_BINDING), "an array that is in no buffer");
}

unsafe extern "system" fn sized(_: i32, _: u32, _: i32, _: *const u8) {
    offset();
}

unsafe extern "system" fn typed(_: u32, _: i32, _: *const u8) {
    offset();
}

unsafe extern "system" fn bare(_: i32, _: *const u8) {
    offset();
}

unsafe extern "system" fn attribute(_: u32, _: i32, _: u32, _: u8, _: i32, _: *const u8) {
    offset();
}

unsafe extern "system" fn integer_attribute(_: u32, _: i32, _: u32, _: i32, _: *const u8) {
    offset();
}

unsafe extern "system" fn shader_source(shader: u32, _: i32, texts: *const *const u8, lengths: *const i32) {
    named(Class::Shader, shader);
    // SAFETY: one text, as long as is said.
    unsafe { look::array(texts.read(), usize::try_from(lengths.read()).ok()) };
}

unsafe extern "system" fn varyings(program: u32, count: i32, texts: *const *const u8, _: u32) {
    named(Class::Program, program);
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: as many as are said, each with its NUL.
        unsafe { look::text(texts.add(at).read()) };
    }
}
