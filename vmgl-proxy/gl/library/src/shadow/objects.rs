//! Objects of a share group, as far as their names and contents are asked for here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use vmgl_gl_stream::Reflection;

use super::renderbuffers::Renderbuffer;
use super::textures::{Name, Texture};
use crate::names::Names;

/// A range of a buffer that the program writes or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) offset: usize,
    pub(crate) length: usize,
    /// Bits of `glMapBufferRange`.
    pub(crate) access: u32,
}

/// A buffer: what it holds is kept here, too.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) data: Vec<u8>,
    pub(crate) usage: u32,
    pub(crate) map: Option<Map>,
    /// The renderer wrote into it: what is here is old.
    pub(crate) stale: bool,
}

/// Something that was asked for and may not have come yet.
#[derive(Debug)]
pub(crate) enum Asked<T> {
    /// Not asked.
    No,
    /// By this reply.
    Yes(u32),
    /// It is here.
    Known(T),
}

/// A shader.
#[derive(Debug)]
pub(crate) struct Shader {
    pub(crate) kind: u32,
    pub(crate) source: Vec<u8>,
    /// Whether it was compiled, and the compiler's words.
    pub(crate) status: Asked<(bool, String)>,
    pub(crate) doomed: bool,
}

/// A program.
#[derive(Debug)]
pub(crate) struct Linked {
    pub(crate) shaders: Vec<u32>,
    pub(crate) reflection: Asked<Box<Reflection>>,
    pub(crate) blocks: BTreeMap<u32, u32>,
    pub(crate) doomed: bool,
    /// Kinds and sources of the shaders of its last linking.
    pub(crate) made_of: Option<Vec<(u32, Vec<u8>)>>,
    /// Commands that bind attributes and outputs, by what they bind, and the one about varyings.
    pub(crate) bound: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) uniforms: Uniforms,
    /// Where uniforms are at a renderer that has put them elsewhere than the first one.
    pub(crate) moved: Option<HashMap<i32, i32>>,
}

impl Linked {
    /// A program that nobody has linked yet.
    pub(crate) fn new() -> Self {
        Self {
            shaders: Vec::new(),
            reflection: Asked::No,
            blocks: BTreeMap::new(),
            doomed: false,
            made_of: None,
            bound: BTreeMap::new(),
            uniforms: Uniforms::default(),
            moved: None,
        }
    }
}

/// Values of uniforms: by location and count the command that set them last.
#[derive(Debug, Default)]
pub(crate) struct Uniforms {
    commands: BTreeMap<(i32, i32), (u64, Vec<u8>)>,
    last: u64,
}

/// More uniforms than any program has.
const UNIFORMS: usize = 1 << 14;

impl Uniforms {
    /// A command sets so many from a location on.
    pub(crate) fn set(&mut self, place: (i32, i32), command: &vmgl_gl_stream::Command<'_>) {
        if self.commands.len() >= UNIFORMS && !self.commands.contains_key(&place) {
            return;
        }
        self.last += 1;
        let (order, bytes) = self.commands.entry(place).or_default();
        *order = self.last;
        bytes.clear();
        command.encode(bytes);
    }

    /// All, in their order: location and command.
    pub(crate) fn all(&self) -> Vec<(i32, &[u8])> {
        let mut all: Vec<_> =
            self.commands.iter().map(|((location, _), (order, bytes))| (*order, *location, bytes)).collect();
        all.sort_unstable_by_key(|(order, ..)| *order);
        all.into_iter().map(|(_, location, bytes)| (location, bytes.as_slice())).collect()
    }
}

/// Programs and shaders share their names.
#[derive(Debug)]
pub(crate) enum Object {
    Shader(Shader),
    Program(Linked),
}

/// What contexts share.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) textures: Names,
    pub(crate) buffers: Names,
    pub(crate) renderbuffers: Names,
    pub(crate) samplers: Names,
    pub(crate) objects: Names,
    pub(crate) lists: Names,
    pub(crate) syncs: Names,
    /// What a texture was first bound as.
    pub(crate) targets: HashMap<u32, u32>,
    pub(crate) stored: HashMap<u32, Buffer>,
    pub(crate) programs: HashMap<u32, Object>,
    /// Of each list the commands that change what is kept here.
    pub(crate) recorded: HashMap<u32, Arc<[u8]>>,
    /// Of each list all commands; nothing of one that could not be kept.
    pub(crate) kept_lists: BTreeMap<u32, Option<Arc<[u8]>>>,
    pub(crate) kept_textures: BTreeMap<Name, Texture>,
    /// Bytes of pixels and lists that are kept.
    pub(crate) kept_bytes: usize,
    pub(crate) renderbuffers_kept: BTreeMap<u32, Renderbuffer>,
    /// By sampler and parameter the command that set it last.
    pub(crate) sampler_parameters: BTreeMap<(u32, u32), Vec<u8>>,
    /// Fences that are waited for.
    pub(crate) fences: HashSet<u64>,
    /// Uniforms of a program are elsewhere than the program was told.
    pub(crate) any_moved: bool,
    /// Counts what may make a framebuffer complete or not.
    pub(crate) images: u64,
}

impl Group {
    pub(crate) fn shader(&mut self, name: u32) -> Option<&mut Shader> {
        match self.programs.get_mut(&name)? {
            Object::Shader(shader) => Some(shader),
            Object::Program(_) => None,
        }
    }

    pub(crate) fn program(&mut self, name: u32) -> Option<&mut Linked> {
        match self.programs.get_mut(&name)? {
            Object::Program(program) => Some(program),
            Object::Shader(_) => None,
        }
    }

    /// A shader that is to be deleted goes when no program has it any more.
    pub(crate) fn sweep_shaders(&mut self) {
        let held: Vec<u32> = self
            .programs
            .values()
            .filter_map(|object| match object {
                Object::Program(program) => Some(program.shaders.iter().copied()),
                Object::Shader(_) => None,
            })
            .flatten()
            .collect();
        let names = &mut self.objects;
        self.programs.retain(|name, object| {
            let goes = matches!(object, Object::Shader(shader) if shader.doomed) && !held.contains(name);
            if goes {
                names.free(*name);
            }
            !goes
        });
    }

    /// A program that is to be deleted and is in use nowhere goes.
    pub(crate) fn drop_program(&mut self, name: u32) {
        self.programs.remove(&name);
        self.objects.free(name);
        self.sweep_shaders();
    }
}
