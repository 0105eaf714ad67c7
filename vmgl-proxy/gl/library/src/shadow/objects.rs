//! Objects of a share group, as far as their names and contents are asked for here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use vmgl_gl_stream::Reflection;

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
