//! What the renderer's OpenGL is, and what programs and shaders became here: all that the agent's side may be asked of
//! them, told at once so that nobody asks again.

use vmgl_gl_stream::{Block, Caps, FLOATS, INTEGERS, Reflection, STRINGS, Uniform, Variable};

use crate::gl::Gl;

/// Most things of one kind that are told of a program.
const MANY: i32 = 1 << 12;
/// Most elements of an array of uniforms whose places are told.
const ELEMENTS: i32 = 1 << 14;
/// Longest text, in bytes.
const TEXT: i32 = 1 << 20;
/// Most extensions.
const EXTENSIONS: i32 = 4096;

const NUM_EXTENSIONS: u32 = 0x821D;
const EXTENSION_NAMES: u32 = 0x1F03;
const COMPILE_STATUS: u32 = 0x8B81;
const LINK_STATUS: u32 = 0x8B82;
const INFO_LOG_LENGTH: u32 = 0x8B84;
const ACTIVE_UNIFORMS: u32 = 0x8B86;
const ACTIVE_UNIFORM_MAX_LENGTH: u32 = 0x8B87;
const ACTIVE_ATTRIBUTES: u32 = 0x8B89;
const ACTIVE_ATTRIBUTE_MAX_LENGTH: u32 = 0x8B8A;
const ACTIVE_UNIFORM_BLOCK_MAX_NAME_LENGTH: u32 = 0x8A35;
const ACTIVE_UNIFORM_BLOCKS: u32 = 0x8A36;
const UNIFORM_BLOCK_INDEX: u32 = 0x8A3A;
const UNIFORM_OFFSET: u32 = 0x8A3B;
const UNIFORM_ARRAY_STRIDE: u32 = 0x8A3C;
const UNIFORM_MATRIX_STRIDE: u32 = 0x8A3D;
const UNIFORM_IS_ROW_MAJOR: u32 = 0x8A3E;
const UNIFORM_BLOCK_BINDING: u32 = 0x8A3F;
const UNIFORM_BLOCK_DATA_SIZE: u32 = 0x8A40;
const UNIFORM_BLOCK_ACTIVE_UNIFORMS: u32 = 0x8A42;
const UNIFORM_BLOCK_ACTIVE_UNIFORM_INDICES: u32 = 0x8A43;
/// By the vertex shader, the fragment shader, the geometry shader.
const UNIFORM_BLOCK_REFERENCED: [u32; 3] = [0x8A44, 0x8A46, 0x8A45];
const TRANSFORM_FEEDBACK_VARYING_MAX_LENGTH: u32 = 0x8C76;
const TRANSFORM_FEEDBACK_VARYINGS: u32 = 0x8C83;

/// What OpenGL is here, asked in the context that is current.
pub(crate) fn caps(gl: &Gl) -> Caps {
    let mut caps = Caps::default();
    for name in STRINGS {
        if let Some(text) = gl.GetString.and_then(|get| {
            // SAFETY: a call without pointers; what it gives is read at once.
            c_text(unsafe { get(*name) })
        }) {
            caps.strings.insert(*name, text);
        }
    }
    if let Some(get) = gl.GetStringi {
        let count = crate::hands::integer(gl, NUM_EXTENSIONS).clamp(0, EXTENSIONS);
        let names = (0..count.cast_unsigned()).filter_map(|at| {
            // SAFETY: as above.
            c_text(unsafe { get(EXTENSION_NAMES, at) })
        });
        caps.extensions = names.collect();
    }
    forget_errors(gl);
    for (name, count) in INTEGERS {
        let mut room = [0i64; 16];
        if let Some(get) = gl.GetInteger64v {
            // SAFETY: room for more values than any of these has.
            unsafe { get(*name, room.as_mut_ptr()) };
        }
        if !forget_errors(gl) {
            caps.integers.insert(*name, room.into_iter().take(*count).collect());
        }
    }
    for (name, count) in FLOATS {
        let mut room = [0f64; 16];
        if let Some(get) = gl.GetDoublev {
            // SAFETY: as above.
            unsafe { get(*name, room.as_mut_ptr()) };
        }
        if !forget_errors(gl) {
            caps.floats.insert(*name, room.into_iter().take(*count).collect());
        }
    }
    caps
}

/// Forgets errors of OpenGL's; whether there were any.
fn forget_errors(gl: &Gl) -> bool {
    let Some(get) = gl.GetError else { return false };
    // SAFETY: a call without pointers.
    (0..8).take_while(|_| unsafe { get() } != 0).count() > 0
}

fn c_text(text: *const u8) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: OpenGL gives a text with a NUL behind it that stays as long as the context.
    let text = unsafe { std::ffi::CStr::from_ptr(text.cast()) };
    Some(text.to_string_lossy().into_owned())
}

/// Whether a shader was compiled, and the compiler's words.
pub(crate) fn shader(gl: &Gl, shader: u32) -> (bool, Vec<u8>) {
    let ask = |word: u32| {
        let mut value = [0i32; 4];
        if let Some(get) = gl.GetShaderiv {
            // SAFETY: each of these has one value.
            unsafe { get(shader, word, value.as_mut_ptr()) };
        }
        value[0]
    };
    let log = gl.GetShaderInfoLog.map(|get| {
        written(ask(INFO_LOG_LENGTH), |room, length, to| {
            // SAFETY: room for as many bytes as are said.
            unsafe { get(shader, room, length, to) };
        })
    });
    (ask(COMPILE_STATUS) != 0, log.unwrap_or_default())
}

/// A text that OpenGL writes into the room that it is given.
fn written(longest: i32, write: impl FnOnce(i32, *mut i32, *mut u8)) -> Vec<u8> {
    let room = longest.clamp(0, TEXT).saturating_add(1);
    let mut bytes = vec![0u8; usize::try_from(room).unwrap_or(1)];
    let mut length = 0i32;
    write(room, &raw mut length, bytes.as_mut_ptr());
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    bytes
}

/// What a linked program is.
pub(crate) fn program(gl: &Gl, program: u32) -> Reflection {
    let known = Program { gl, program };
    Reflection {
        linked: known.ask(LINK_STATUS) != 0,
        log: text(known.log()),
        attributes: known.attributes(),
        uniforms: known.uniforms(),
        blocks: known.blocks(),
        varyings: known.varyings(),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Program<'a> {
    gl: &'a Gl,
    program: u32,
}

impl Program<'_> {
    fn ask(&self, word: u32) -> i32 {
        let mut value = [0i32; 4];
        if let Some(get) = self.gl.GetProgramiv {
            // SAFETY: each of these has one value.
            unsafe { get(self.program, word, value.as_mut_ptr()) };
        }
        value[0]
    }

    fn count(&self, word: u32) -> u32 {
        self.ask(word).clamp(0, MANY).cast_unsigned()
    }

    fn log(&self) -> Vec<u8> {
        let Some(get) = self.gl.GetProgramInfoLog else { return Vec::new() };
        written(self.ask(INFO_LOG_LENGTH), |room, length, to| {
            // SAFETY: room for as many bytes as are said.
            unsafe { get(self.program, room, length, to) };
        })
    }

    fn attributes(&self) -> Vec<Variable> {
        let Some((get, place)) = self.gl.GetActiveAttrib.zip(self.gl.GetAttribLocation) else {
            return Vec::new();
        };
        let longest = self.ask(ACTIVE_ATTRIBUTE_MAX_LENGTH);
        let one = |index: u32| {
            let (mut size, mut kind) = (0i32, 0u32);
            let name = text(written(longest, |room, length, to| {
                // SAFETY: room for as many bytes as are said, and for one number each.
                unsafe { get(self.program, index, room, length, &raw mut size, &raw mut kind, to) };
            }));
            let location = crate::memory::text(name.as_bytes()).map_or(-1, |name| {
                // SAFETY: a text with its NUL.
                unsafe { place(self.program, name.as_ptr().cast()) }
            });
            Variable { name, kind, size, location }
        };
        (0..self.count(ACTIVE_ATTRIBUTES)).map(one).collect()
    }

    fn uniforms(&self) -> Vec<Uniform> {
        let Some(get) = self.gl.GetActiveUniform else { return Vec::new() };
        let longest = self.ask(ACTIVE_UNIFORM_MAX_LENGTH);
        let one = |index: u32| {
            let (mut size, mut kind) = (0i32, 0u32);
            let name = text(written(longest, |room, length, to| {
                // SAFETY: room for as many bytes as are said, and for one number each.
                unsafe { get(self.program, index, room, length, &raw mut size, &raw mut kind, to) };
            }));
            let block = self.of_uniform(index, UNIFORM_BLOCK_INDEX, -1);
            let locations = if block == -1 { self.locations(&name, size) } else { Vec::new() };
            Uniform {
                name,
                kind,
                locations,
                size,
                block,
                offset: self.of_uniform(index, UNIFORM_OFFSET, -1),
                array_stride: self.of_uniform(index, UNIFORM_ARRAY_STRIDE, -1),
                matrix_stride: self.of_uniform(index, UNIFORM_MATRIX_STRIDE, -1),
                row_major: self.of_uniform(index, UNIFORM_IS_ROW_MAJOR, 0),
            }
        };
        (0..self.count(ACTIVE_UNIFORMS)).map(one).collect()
    }

    /// Where each element is.
    fn locations(&self, name: &str, size: i32) -> Vec<i32> {
        let Some(place) = self.gl.GetUniformLocation else { return Vec::new() };
        let locate = |name: &str| {
            crate::memory::text(name.as_bytes()).map_or(-1, |name| {
                // SAFETY: a text with its NUL.
                unsafe { place(self.program, name.as_ptr().cast()) }
            })
        };
        match name.strip_suffix("[0]") {
            Some(array) => (0..size.clamp(1, ELEMENTS)).map(|at| locate(&format!("{array}[{at}]"))).collect(),
            None => vec![locate(name)],
        }
    }

    fn of_uniform(&self, index: u32, word: u32, otherwise: i32) -> i32 {
        let mut value = otherwise;
        if let Some(get) = self.gl.GetActiveUniformsiv {
            // SAFETY: one index is given, and room for one value.
            unsafe { get(self.program, 1, &raw const index, word, &raw mut value) };
        }
        value
    }

    fn blocks(&self) -> Vec<Block> {
        let (Some(get), Some(name_of)) = (self.gl.GetActiveUniformBlockiv, self.gl.GetActiveUniformBlockName)
        else {
            return Vec::new();
        };
        let longest = self.ask(ACTIVE_UNIFORM_BLOCK_MAX_NAME_LENGTH);
        let one = |index: u32| {
            let ask = |word: u32| {
                let mut value = [0i32; 4];
                // SAFETY: each of these has one value.
                unsafe { get(self.program, index, word, value.as_mut_ptr()) };
                value[0]
            };
            let name = written(longest, |room, length, to| {
                // SAFETY: room for as many bytes as are said.
                unsafe { name_of(self.program, index, room, length, to) };
            });
            let count = ask(UNIFORM_BLOCK_ACTIVE_UNIFORMS).max(0);
            let mut uniforms = vec![-1i32; usize::try_from(count).unwrap_or(0)];
            if count > 0 {
                // SAFETY: room for as many as OpenGL said there are.
                unsafe {
                    get(self.program, index, UNIFORM_BLOCK_ACTIVE_UNIFORM_INDICES, uniforms.as_mut_ptr());
                }
            }
            let stages = (0..3).zip(UNIFORM_BLOCK_REFERENCED);
            Block {
                name: text(name),
                size: ask(UNIFORM_BLOCK_DATA_SIZE),
                binding: ask(UNIFORM_BLOCK_BINDING),
                uniforms,
                stages: stages.map(|(bit, word)| u32::from(ask(word) != 0) << bit).sum(),
            }
        };
        (0..self.count(ACTIVE_UNIFORM_BLOCKS)).map(one).collect()
    }

    fn varyings(&self) -> Vec<Variable> {
        let Some(get) = self.gl.GetTransformFeedbackVarying else { return Vec::new() };
        let longest = self.ask(TRANSFORM_FEEDBACK_VARYING_MAX_LENGTH);
        let one = |index: u32| {
            let (mut size, mut kind) = (0i32, 0u32);
            let name = text(written(longest, |room, length, to| {
                // SAFETY: room for as many bytes as are said, and for one number each.
                unsafe { get(self.program, index, room, length, &raw mut size, &raw mut kind, to) };
            }));
            Variable { name, kind, size, location: -1 }
        };
        (0..self.count(TRANSFORM_FEEDBACK_VARYINGS)).map(one).collect()
    }
}
