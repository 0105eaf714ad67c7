//! The shadow: the state of a context and the objects of a share group, kept up with every command that is sent, so that
//! what the program asks is answered here.
//!
//! [`State::track`] is told each command before it goes. A display list is kept as the commands of it that change the
//! shadow; calling it applies them. What is not kept is asked of the renderer: slow, and right.
//!
//! All that a renderer must be given to go on where another one ended is kept, too, asked for or not: [`restore`] makes the commands.

pub(crate) mod arrays;
pub(crate) mod attributes;
pub(crate) mod bindings;
mod feedback;
pub(crate) mod get;
pub(crate) mod kept;
mod levels;
pub(crate) mod lights;
pub(crate) mod lists;
pub(crate) mod matrix;
pub(crate) mod objects;
mod owned;
pub(crate) mod queries;
pub(crate) mod renderbuffers;
pub(crate) mod restore;
mod stacks;
pub(crate) mod steps;
mod storage;
pub(crate) mod textures;
mod track;
pub(crate) mod values;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrays::ArrayObject;
pub(crate) use bindings::{TARGETS, buffer_place, texture_place};
pub(crate) use feedback::Results;
use matrix::Stack;
pub(crate) use objects::{Asked, Buffer, Group, Linked, Map, Object, Shader, Uniforms};
use values::Values;

use crate::caps::Strings;
use crate::names::Names;

/// Units of textures that are kept.
const UNITS: usize = 32;

/// A unit of textures.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    /// The texture bound to each of [`TARGETS`].
    pub(crate) bound: [u32; TARGETS.len()],
    /// Bits: which of [`TARGETS`] is on for fixed functions.
    enabled: u16,
    /// Bits: which of S, T, R and Q is generated.
    generated: u8,
    pub(crate) matrix: Stack,
    pub(crate) coordinate: [f64; 4],
    pub(crate) sampler: u32,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            bound: [0; TARGETS.len()],
            enabled: 0,
            generated: 0,
            matrix: Stack::default(),
            coordinate: [0.0, 0.0, 0.0, 1.0],
            sampler: 0,
        }
    }
}

/// Current attributes but those of texture units.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) color: [f64; 4],
    pub(crate) secondary: [f64; 4],
    pub(crate) normal: [f64; 4],
    pub(crate) fog: f64,
    pub(crate) index: f64,
    pub(crate) generic: [[f64; 4]; arrays::GENERIC],
    /// What each of the generic ones was given as.
    pub(crate) numbers: [attributes::Numbers; arrays::GENERIC],
}

impl Default for Attributes {
    fn default() -> Self {
        Self {
            color: [1.0; 4],
            secondary: [0.0, 0.0, 0.0, 1.0],
            normal: [0.0, 0.0, 1.0, 1.0],
            fog: 0.0,
            index: 1.0,
            generic: [[0.0, 0.0, 0.0, 1.0]; arrays::GENERIC],
            numbers: [attributes::Numbers::default(); arrays::GENERIC],
        }
    }
}

/// How pixels lie in the program's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PixelStore {
    pub(crate) swap_bytes: i32,
    pub(crate) lsb_first: i32,
    pub(crate) row_length: i32,
    pub(crate) skip_rows: i32,
    pub(crate) skip_pixels: i32,
    pub(crate) alignment: i32,
    pub(crate) image_height: i32,
    pub(crate) skip_images: i32,
}

impl Default for PixelStore {
    fn default() -> Self {
        Self {
            swap_bytes: 0,
            lsb_first: 0,
            row_length: 0,
            skip_rows: 0,
            skip_pixels: 0,
            alignment: 4,
            image_height: 0,
            skip_images: 0,
        }
    }
}

/// What is attached to a framebuffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attachment {
    /// `GL_TEXTURE` or `GL_RENDERBUFFER`.
    pub(crate) kind: u32,
    pub(crate) name: u32,
    pub(crate) level: i32,
    pub(crate) face: u32,
    pub(crate) layer: i32,
}

/// A framebuffer object.
#[derive(Debug, Default)]
pub(crate) struct Framebuffer {
    pub(crate) attachments: HashMap<u32, Attachment>,
    /// What the renderer said of it, and the count of changes then.
    pub(crate) status: Option<(u64, u32)>,
    /// The command that attached what is at each place.
    made: BTreeMap<u32, Vec<u8>>,
    draw_buffers: Option<Vec<u32>>,
    read_buffer: Option<u32>,
}

/// The state of a context.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) strings: Strings,
    /// 0 compatibility profile, 1 core, 2 OpenGL ES of any version.
    pub(crate) api: u32,
    pub(crate) flags: u32,
    /// What is drawn on, and whether it has one buffer only.
    pub(crate) drawable: (u32, bool),
    /// Samples of a pixel of it, where there are several.
    pub(crate) samples: u8,
    error: Option<u32>,
    pub(crate) values: Values,
    pub(crate) units: Vec<Unit>,
    pub(crate) active: usize,
    pub(crate) client_active: usize,
    pub(crate) modelview: Stack,
    pub(crate) projection: Stack,
    pub(crate) color_matrix: Stack,
    pub(crate) attributes: Attributes,
    /// The buffer bound to each place but that of indices.
    pub(crate) buffers: [u32; bindings::BUFFERS.len()],
    pub(crate) array_names: Names,
    array_objects: HashMap<u32, ArrayObject>,
    pub(crate) array_object: u32,
    pub(crate) framebuffer_names: Names,
    framebuffers: HashMap<u32, Framebuffer>,
    pub(crate) draw_framebuffer: u32,
    pub(crate) read_framebuffer: u32,
    pub(crate) renderbuffer: u32,
    pub(crate) program: u32,
    pub(crate) query_names: Names,
    pub(crate) feedback_names: Names,
    pub(crate) feedback: u32,
    feedbacks: BTreeMap<u32, feedback::Feedback>,
    queries: HashMap<u32, u32>,
    /// What each query has asked for.
    query_targets: BTreeMap<u32, u32>,
    pub(crate) query_results: queries::QueryResults,
    /// The command that bound each place of an indexed target: by target and place, with the buffer.
    indexed: BTreeMap<(u32, u32), (u32, Vec<u8>)>,
    kept: Arc<kept::Kept>,
    /// The primitive between `glBegin` and `glEnd`.
    begun: Option<u32>,
    pub(crate) results: Results,
    stack: Vec<stacks::Saved>,
    client_stack: Vec<stacks::SavedClient>,
    list: Option<lists::Recording>,
    nested: u32,
    pub(crate) unpack: PixelStore,
    pub(crate) pack: PixelStore,
}

impl State {
    /// As a context is at first.
    pub(crate) fn new(strings: Strings, api: u32, flags: u32) -> Self {
        Self {
            strings,
            api,
            flags,
            drawable: (0, false),
            samples: 0,
            error: None,
            values: Values::default(),
            units: vec![Unit::default(); UNITS],
            active: 0,
            client_active: 0,
            modelview: Stack::default(),
            projection: Stack::default(),
            color_matrix: Stack::default(),
            attributes: Attributes::default(),
            buffers: [0; bindings::BUFFERS.len()],
            array_names: Names::default(),
            array_objects: HashMap::new(),
            array_object: 0,
            framebuffer_names: Names::default(),
            framebuffers: HashMap::new(),
            draw_framebuffer: 0,
            read_framebuffer: 0,
            renderbuffer: 0,
            program: 0,
            query_names: Names::default(),
            feedback_names: Names::default(),
            feedback: 0,
            feedbacks: BTreeMap::new(),
            queries: HashMap::new(),
            query_targets: BTreeMap::new(),
            query_results: queries::QueryResults::default(),
            indexed: BTreeMap::new(),
            kept: Arc::default(),
            begun: None,
            results: Results::default(),
            stack: Vec::new(),
            client_stack: Vec::new(),
            list: None,
            nested: 0,
            unpack: PixelStore::default(),
            pack: PixelStore::default(),
        }
    }

    /// The first time that it is current: the window's size is the picture's.
    pub(crate) fn first_size(&mut self, width: u32, height: u32) {
        let size = [0.0, 0.0, f64::from(width), f64::from(height)];
        self.values.set_all(const { values::slot(0x0ba2) }, size);
        self.values.set_all(const { values::slot(0x0c10) }, size);
    }

    /// The drawable, if what is drawn is to be seen without a swap.
    pub(crate) fn front(&self) -> Option<u32> {
        self.shown().filter(|_| self.draw_framebuffer == 0)
    }

    /// The drawable, if what is drawn on it, now or when no framebuffer object is bound, is to be seen without a swap.
    pub(crate) fn shown(&self) -> Option<u32> {
        let buffers = self.framebuffers.get(&0).and_then(|it| it.draw_buffers.as_deref());
        let is_front = buffers.is_some_and(|buffers| matches!(buffers, [0x0400 | 0x0404 | 0x0408, ..]));
        let (drawable, single) = self.drawable;
        (drawable != 0 && (single || is_front)).then_some(drawable)
    }

    /// Whether what is read is a drawable's, of one sample a pixel.
    fn reads_drawable(&self) -> bool {
        let source = self.framebuffers.get(&0).and_then(|it| it.read_buffer);
        self.read_framebuffer == 0 && self.drawable.0 != 0 && self.samples == 0 && source != Some(0)
    }

    /// An error: the first one stays.
    pub(crate) fn error(&mut self, error: u32) {
        self.error.get_or_insert(error);
    }

    /// The error, which is then forgotten.
    pub(crate) fn take_error(&mut self) -> u32 {
        self.error.take().unwrap_or(0)
    }

    /// The arrays that are in use.
    pub(crate) fn arrays(&mut self) -> &mut ArrayObject {
        self.array_objects.entry(self.array_object).or_default()
    }

    /// The buffer bound to a target; none if there is no such target.
    pub(crate) fn bound_buffer(&mut self, target: u32) -> Option<u32> {
        if target == bindings::ELEMENT_ARRAY {
            return Some(self.arrays().elements);
        }
        buffer_place(target).map(|place| self.buffers[place])
    }

    /// The buffer that pixels are taken from.
    pub(crate) fn unpack_buffer(&self) -> u32 {
        self.buffers[const { bindings::UNPACK }]
    }

    /// The buffer that pixels are put into.
    pub(crate) fn pack_buffer(&self) -> u32 {
        self.buffers[const { bindings::PACK }]
    }

    /// The framebuffer object bound to a target.
    pub(crate) fn framebuffer(&mut self, target: u32) -> (u32, &mut Framebuffer) {
        let name =
            if target == bindings::READ_FRAMEBUFFER { self.read_framebuffer } else { self.draw_framebuffer };
        (name, self.framebuffers.entry(name).or_default())
    }

    /// The query that is going on.
    pub(crate) fn query(&self, target: u32) -> u32 {
        self.queries.get(&target).copied().unwrap_or(0)
    }

    /// The unit that texture calls are for.
    pub(crate) fn unit(&mut self) -> &mut Unit {
        let last = self.units.len() - 1;
        &mut self.units[self.active.min(last)]
    }

    /// The stack that matrices go to.
    fn matrices(&mut self) -> &mut Stack {
        let mode = self.values.get(const { values::slot(0x0ba0) })[0];
        if mode == 5889.0 {
            &mut self.projection
        } else if mode == 5890.0 {
            &mut self.unit().matrix
        } else if mode == 6144.0 {
            &mut self.color_matrix
        } else {
            &mut self.modelview
        }
    }

    /// The index that begins a new primitive, if there is one.
    pub(crate) fn restart_index(&self) -> Option<u32> {
        let on = self.values.get(const { values::slot(0x8f9d) })[0] != 0.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it was put there as a u32"
        )]
        on.then(|| self.values.get(const { values::slot(0x8f9e) })[0] as u32)
    }

    /// A list is being recorded: its name, and whether it is executed, too.
    pub(crate) fn recording(&self) -> Option<(u32, bool)> {
        self.list.as_ref().map(|list| (list.name, list.executes))
    }
}
