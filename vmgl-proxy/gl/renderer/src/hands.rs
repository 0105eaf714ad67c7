//! What carries a command of OpenGL's out: its functions, the names of its context's share group, and what of the
//! context's state this side has to keep by itself.
//!
//! Pixels that come by the wire lie without gaps; the implementation is always set so. What the program says of gaps
//! (`glPixelStore`) is kept here and counts only where it reads or writes a buffer of its own. Arrays in the
//! program's memory are put into hidden buffers, so that a draw that passes their end meets the implementation's own
//! bounds and no memory of this process.
//!
//! Invariant: the implementation's pixel store says "no gaps" between two commands.
//! Invariant: no address that came by the wire is ever followed.

use std::collections::HashMap;

use vmgl_gl_stream::{Command, Data};

use crate::fault::Fault;
use crate::gl::{self, Gl};
use crate::names::{Class, Names};
use crate::resolve::Resolver;

/// OpenGL's numbers that are used by hand.
pub(crate) mod number {
    pub(crate) const ARRAY_BUFFER: u32 = 0x8892;
    pub(crate) const ARRAY_BUFFER_BINDING: u32 = 0x8894;
    pub(crate) const BACK: u32 = 0x0405;
    pub(crate) const BACK_LEFT: u32 = 0x0402;
    pub(crate) const CLIENT_ACTIVE_TEXTURE: u32 = 0x84E1;
    pub(crate) const COLOR_ATTACHMENT0: u32 = 0x8CE0;
    pub(crate) const COLOR_BUFFER_BIT: u32 = 0x4000;
    pub(crate) const DEPTH_COMPONENT: u32 = 0x1902;
    pub(crate) const DEPTH_STENCIL: u32 = 0x84F9;
    pub(crate) const DOUBLEBUFFER: u32 = 0x0C32;
    pub(crate) const DRAW_FRAMEBUFFER: u32 = 0x8CA9;
    pub(crate) const DRAW_FRAMEBUFFER_BINDING: u32 = 0x8CA6;
    pub(crate) const ELEMENT_ARRAY_BUFFER_BINDING: u32 = 0x8895;
    pub(crate) const FRONT: u32 = 0x0404;
    pub(crate) const FRONT_AND_BACK: u32 = 0x0408;
    pub(crate) const FRONT_LEFT: u32 = 0x0400;
    pub(crate) const NEAREST: u32 = 0x2600;
    pub(crate) const PIXEL_PACK_BUFFER_BINDING: u32 = 0x88ED;
    pub(crate) const PIXEL_UNPACK_BUFFER_BINDING: u32 = 0x88EF;
    pub(crate) const READ_FRAMEBUFFER: u32 = 0x8CA8;
    pub(crate) const READ_FRAMEBUFFER_BINDING: u32 = 0x8CAA;
    pub(crate) const RENDERBUFFER: u32 = 0x8D41;
    pub(crate) const RENDERBUFFER_BINDING: u32 = 0x8CA7;
    pub(crate) const RGBA8: u32 = 0x8058;
    pub(crate) const SCISSOR_TEST: u32 = 0x0C11;
    pub(crate) const STENCIL_INDEX: u32 = 0x1901;
    pub(crate) const STREAM_DRAW: u32 = 0x88E0;
    pub(crate) const CLIENT_PIXEL_STORE_BIT: u32 = 1;
    pub(crate) const UNSIGNED_INT: u32 = 0x1405;
}
use number as n;

/// Most levels of `glPushClientAttrib`.
const LEVELS: usize = 16;

/// What the program said of gaps in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Store([i32; 6]);

/// Row length, skipped rows, skipped pixels, alignment, skipped images, image height: as `glPixelStore` numbers them.
const UNPACK: [u32; 6] = [0x0CF2, 0x0CF3, 0x0CF4, 0x0CF5, 0x806D, 0x806E];
const PACK: [u32; 6] = [0x0D02, 0x0D03, 0x0D04, 0x0D05, 0x806B, 0x806C];
/// Without gaps.
const TIGHT: Store = Store([0, 0, 0, 1, 0, 0]);
/// As OpenGL begins.
const BEGIN: Store = Store([0, 0, 0, 4, 0, 0]);

/// What is kept of a context.
#[derive(Debug)]
pub(crate) struct State {
    unpack: Store,
    pack: Store,
    pushed: Vec<Option<(Store, Store)>>,
    /// Hidden buffers with arrays of the program's memory.
    arrays: HashMap<(u16, u32), u32>,
    /// Where OpenGL writes what was selected, and what was fed back, until the render mode is left.
    pub(crate) results: [Option<Box<[u32]>>; 2],
    /// The drawable has no back buffer: what is meant for it goes to the front.
    single: bool,
    /// Windows have several samples a pixel.
    pub(crate) multisampled: bool,
    /// Makes one of them, from its first use on.
    pub(crate) resolver: Option<Resolver>,
}

/// An answer for the program.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) reply: u32,
    pub(crate) value: u64,
    pub(crate) outs: Vec<Vec<u8>>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hands<'a> {
    pub(crate) gl: &'a Gl,
    pub(crate) names: &'a mut Names,
    /// Of the context alone.
    pub(crate) own: &'a mut Names,
    pub(crate) state: &'a mut State,
}

impl State {
    /// Of a context that has just been made current for the first time; `es` if it is one of OpenGL ES, `multisampled` if its
    /// windows have several samples a pixel.
    pub(crate) fn new(gl: &Gl, es: bool, multisampled: bool) -> Self {
        for (words, store) in [(UNPACK, TIGHT), (PACK, TIGHT)] {
            apply(gl, words, store);
        }
        // OpenGL ES knows the back buffer only, whatever it draws in.
        let single = !es && integer(gl, n::DOUBLEBUFFER) == 0;
        // What an older OpenGL ES has not of all that is no error of the program's.
        if let Some(get) = gl.GetError {
            // SAFETY: a call without pointers.
            (0..UNPACK.len() + PACK.len() + 1).take_while(|_| unsafe { get() } != 0).for_each(drop);
        }
        Self {
            unpack: BEGIN,
            pack: BEGIN,
            pushed: Vec::new(),
            arrays: HashMap::new(),
            results: [None, None],
            single,
            multisampled,
            resolver: None,
        }
    }
}

fn apply(gl: &Gl, words: [u32; 6], Store(values): Store) {
    let Some(store) = gl.PixelStorei else { return };
    for (word, value) in words.into_iter().zip(values) {
        // SAFETY: a call without pointers.
        unsafe { store(word, value) };
    }
}

/// A state variable of one value.
pub(crate) fn integer(gl: &Gl, name: u32) -> i32 {
    // Room for the longest answer that a number of one value's could be mistaken for.
    let mut room = [0i32; 16];
    if let Some(get) = gl.GetIntegerv {
        // SAFETY: room for more values than any number that is asked for here has.
        unsafe { get(name, room.as_mut_ptr()) };
    }
    room[0]
}

impl Hands<'_> {
    /// Carries it out; an answer if the program waits for one.
    pub(crate) fn execute(&mut self, command: Command<'_>) -> Result<Option<Answer>, Fault> {
        let command = match command {
            Command::PixelStorei { pname, param } => return self.store(pname, param),
            #[allow(clippy::cast_possible_truncation, reason = "OpenGL rounds it so")]
            Command::PixelStoref { pname, param } => return self.store(pname, param.round() as i32),
            Command::PushClientAttrib { mask } => {
                if self.pushed_too_often() {
                    return Err(Fault::Value);
                }
                let kept =
                    (mask & n::CLIENT_PIXEL_STORE_BIT != 0).then_some((self.state.unpack, self.state.pack));
                self.state.pushed.push(kept);
                command
            }
            Command::PopClientAttrib {} => {
                if let Some(Some((unpack, pack))) = self.state.pushed.pop() {
                    (self.state.unpack, self.state.pack) = (unpack, pack);
                }
                command
            }
            Command::DrawBuffer { buf } => Command::DrawBuffer { buf: self.side(buf) },
            Command::ReadBuffer { src } => Command::ReadBuffer { src: self.side(src) },
            Command::DrawBuffers { n, bufs } => return self.draw_buffers(n, bufs),
            // The names of lists that are called come with the base added: here it stays nought.
            Command::ListBase { .. } => return Ok(None),
            command => command,
        };
        match self.by_hand(command) {
            Err(Fault::NotHere) => gl::call(self, command),
            done => done,
        }
    }

    fn pushed_too_often(&self) -> bool {
        self.state.pushed.len() >= LEVELS
    }

    /// Which buffer of a drawable is meant.
    fn side(&self, buffer: u32) -> u32 {
        match buffer {
            n::BACK | n::FRONT_AND_BACK if self.state.single => n::FRONT,
            n::BACK_LEFT if self.state.single => n::FRONT_LEFT,
            buffer => buffer,
        }
    }

    fn draw_buffers(&mut self, count: i32, buffers: &[u8]) -> Result<Option<Answer>, Fault> {
        let call = self.gl.DrawBuffers.ok_or(Fault::Missing)?;
        let single = self.state.single;
        let buffers: Vec<u32> = words(buffers)
            .map(|buffer| if single && buffer == n::BACK { n::FRONT_LEFT } else { self.side(buffer) })
            .collect();
        if usize::try_from(count).ok().is_none_or(|count| count > buffers.len()) {
            return Err(Fault::Value);
        }
        // SAFETY: there are at least as many as are said.
        unsafe { call(count, buffers.as_ptr()) };
        Ok(None)
    }

    /// `glPixelStore`: gaps are kept here, the order of bytes and bits is the implementation's.
    fn store(&mut self, word: u32, value: i32) -> Result<Option<Answer>, Fault> {
        for (words, store) in [(UNPACK, &mut self.state.unpack), (PACK, &mut self.state.pack)] {
            if let Some(at) = words.iter().position(|known| *known == word) {
                let sound = if at == 3 { matches!(value, 1 | 2 | 4 | 8) } else { value >= 0 };
                if !sound {
                    return Err(Fault::Value);
                }
                store.0[at] = value;
                return Ok(None);
            }
        }
        let call = self.gl.PixelStorei.ok_or(Fault::Missing)?;
        // SAFETY: a call without pointers.
        unsafe { call(word, value) };
        Ok(None)
    }

    /// Whether a buffer is bound where a pointer would be an offset.
    pub(crate) fn bound(&self, binding: u32) -> bool {
        integer(self.gl, binding) != 0
    }

    /// What a pointer is for OpenGL, where it is an offset if a buffer is bound there.
    pub(crate) fn pointer(&self, data: Data<'_>, binding: u32) -> Result<*const u8, Fault> {
        match (data, self.bound(binding)) {
            (Data::Memory(bytes), false) => Ok(bytes.as_ptr()),
            (Data::Offset(offset), true) => offset_pointer(offset),
            (Data::Null, true) => Ok(std::ptr::null()),
            _ => Err(Fault::Memory),
        }
    }

    /// Pixels that OpenGL reads. [`Hands::unpacked`] has to follow.
    pub(crate) fn unpack(&mut self, data: Data<'_>) -> Result<*const u8, Fault> {
        match (data, self.bound(n::PIXEL_UNPACK_BUFFER_BINDING)) {
            (Data::Memory(bytes), false) => Ok(bytes.as_ptr()),
            // Room without contents.
            (Data::Null, false) => Ok(std::ptr::null()),
            (Data::Null | Data::Offset(_), true) => {
                apply(self.gl, UNPACK, self.state.unpack);
                offset_pointer(if let Data::Offset(offset) = data { offset } else { 0 })
            }
            _ => Err(Fault::Memory),
        }
    }

    /// The pixels were read.
    pub(crate) fn unpacked(&mut self) {
        apply(self.gl, UNPACK, TIGHT);
    }

    /// Pixels are written into the program's own buffer by `write`, with the gaps that it wants.
    pub(crate) fn packed(&mut self, write: impl FnOnce()) {
        apply(self.gl, PACK, self.state.pack);
        write();
        apply(self.gl, PACK, TIGHT);
    }

    /// What an object is called here.
    pub(crate) fn name(&mut self, class: Class, name: u64) -> Result<u64, Fault> {
        let gl = self.gl;
        self.of(class).find(gl, class, name)
    }

    /// Where names of this class are.
    pub(crate) fn of(&mut self, class: Class) -> &mut Names {
        if class.is_shared() { self.names } else { self.own }
    }

    /// What objects are called here.
    pub(crate) fn names(&mut self, class: Class, names: &[u8]) -> Result<Vec<u32>, Fault> {
        words(names).map(|name| short(self.name(class, name.into())?)).collect()
    }

    /// What objects are called here that end now. What is not known is 0, which OpenGL passes over.
    pub(crate) fn forget_all(&mut self, class: Class, names: &[u8]) -> Result<Vec<u32>, Fault> {
        words(names).map(|name| short(self.of(class).forget(class, name.into()).unwrap_or(0))).collect()
    }

    /// Puts an array of the program's memory into the hidden buffer of its place, and makes `point` with that bound.
    pub(crate) fn array(
        &mut self,
        place: u16,
        index: u32,
        data: Data<'_>,
        point: impl FnOnce(*const u8),
    ) -> Result<(), Fault> {
        let bytes = match data {
            Data::Offset(offset) if self.bound(n::ARRAY_BUFFER_BINDING) => {
                point(offset_pointer(offset)?);
                return Ok(());
            }
            Data::Null if self.bound(n::ARRAY_BUFFER_BINDING) => {
                point(std::ptr::null());
                return Ok(());
            }
            Data::Offset(_) => return Err(Fault::Memory),
            Data::Memory(bytes) => bytes,
            Data::Null => &[],
        };
        let (bind, fill) = self.gl.BindBuffer.zip(self.gl.BufferData).ok_or(Fault::Missing)?;
        let hidden = match self.state.arrays.get(&(place, index)) {
            Some(hidden) => *hidden,
            None => {
                let hidden = short(crate::names::make(self.gl, Class::Buffer)?)?;
                self.state.arrays.insert((place, index), hidden);
                hidden
            }
        };
        let before = integer(self.gl, n::ARRAY_BUFFER_BINDING).cast_unsigned();
        let length = i64::try_from(bytes.len()).map_err(|_| Fault::TooLong)?;
        // SAFETY: as many bytes as are said.
        unsafe {
            bind(n::ARRAY_BUFFER, hidden);
            fill(n::ARRAY_BUFFER, length, bytes.as_ptr(), n::STREAM_DRAW);
        }
        point(std::ptr::null());
        // SAFETY: a call without pointers.
        unsafe { bind(n::ARRAY_BUFFER, before) };
        Ok(())
    }
}

/// Names and enums as they lie on the wire.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_le_bytes))
}

/// A name of OpenGL's is 32 bits.
pub(crate) fn short(name: u64) -> Result<u32, Fault> {
    u32::try_from(name).map_err(|_| Fault::NoSuchName)
}

fn offset_pointer(offset: u64) -> Result<*const u8, Fault> {
    usize::try_from(offset).map(std::ptr::without_provenance).map_err(|_| Fault::Value)
}
