//! How a fake of OpenGL's looks at what it is given: arrays are read to their ends and answers written to theirs, so that a tool
//! that watches memory sees each step beyond; names must be those that OpenGL gave.
//!
//! What is wrong is kept in the [`World`] and not told by a panic, which cannot leave a function of C's.
//!
//! Invariant: one world a thread, until the next [`begin`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::hint::black_box;

use crate::hands::number as n;
use crate::names::Class;

/// Contexts that share their objects.
pub(crate) const CONTEXTS: usize = 2;
/// What `glPixelStore` says where there are no gaps: of what is read, and of what is written.
const UNPACK: [(u32, i32); 6] =
    [(0x0CF2, 0), (0x0CF3, 0), (0x0CF4, 0), (0x0CF5, 1), (0x806D, 0), (0x806E, 0)];
const PACK: [(u32, i32); 6] = [(0x0D02, 0), (0x0D03, 0), (0x0D04, 0), (0x0D05, 1), (0x806B, 0), (0x806C, 0)];

/// What is remembered of a context.
#[derive(Debug, Default, Clone)]
pub(crate) struct Context {
    /// Names of what is bound, by the number under which OpenGL tells it; 0 is not there.
    pub(crate) bound: BTreeMap<u32, u32>,
    /// What was said of gaps in pixels.
    pub(crate) store: BTreeMap<u32, i32>,
    pub(crate) texture_unit: u32,
    /// 0 is `GL_RENDER`.
    pub(crate) mode: u32,
    /// Where selection and feedback write, and how many words.
    pub(crate) results: [Option<(*mut u32, usize)>; 2],
}

#[derive(Debug, Default)]
struct World {
    current: usize,
    contexts: [Context; CONTEXTS],
    /// Names that were given.
    given: u32,
    /// Bytes that were read and written.
    spent: usize,
    wrong: Option<&'static str>,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(with: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(with)
}

/// A world in which nothing was done.
pub(crate) fn begin() {
    world(|world| *world = World { given: 1, ..World::default() });
}

/// Another context is current.
pub(crate) fn make_current(context: usize) {
    world(|world| world.current = context % CONTEXTS);
}

/// The current one.
pub(crate) fn context<T>(with: impl FnOnce(&mut Context) -> T) -> T {
    world(|world| with(&mut world.contexts[world.current]))
}

/// What was wrong first, if anything was.
pub(crate) fn wrong() -> Option<&'static str> {
    world(|world| world.wrong)
}

/// How many bytes were read and written.
pub(crate) fn spent() -> usize {
    world(|world| world.spent)
}

pub(crate) fn spend(bytes: usize) {
    world(|world| world.spent = world.spent.saturating_add(bytes));
}

pub(crate) fn expect(holds: bool, what: &'static str) {
    if !holds {
        world(|world| world.wrong = world.wrong.or(Some(what)));
    }
}

pub(crate) fn is_bound(binding: u32) -> bool {
    context(|it| it.bound.contains_key(&binding))
}

/// Whether pixels lie without gaps, both ways.
pub(crate) fn is_tight() -> bool {
    context(|it| UNPACK.iter().chain(&PACK).all(|(word, value)| it.store.get(word) == Some(value)))
}

/// The upper bits of names of a class: of one that each context has for itself, of this context.
fn kind(class: Class, context: usize) -> u32 {
    let own = if class.is_shared() { 0 } else { u32::try_from(context + 1).unwrap_or(0) };
    1 << 30 | (class as u32) << 26 | own << 24
}

/// So many names that nothing has yet; the first of them.
pub(crate) fn fresh(class: Class, count: u32) -> u32 {
    world(|world| {
        let first = kind(class, world.current) | world.given;
        world.given = world.given.wrapping_add(count) & 0x00ff_ffff;
        first
    })
}

/// A name is 0, or one that was given for its class.
pub(crate) fn named(class: Class, name: impl Into<u64>) {
    let (name, wanted) = (name.into(), kind(class, world(|world| world.current)));
    expect(name == 0 || name >> 24 == u64::from(wanted >> 24), "a name that was never given for its class");
}

/// An array is read.
pub(crate) unsafe fn array<T>(at: *const T, count: Option<usize>) {
    let bytes = count.and_then(|count| count.checked_mul(size_of::<T>()));
    expect(bytes.is_some(), "an array whose length makes no sense");
    let Some(bytes) = bytes.filter(|bytes| *bytes > 0) else { return };
    let sound = !at.is_null() && at.is_aligned();
    expect(sound, "an array that is nowhere, or lies askew");
    if sound {
        spend(bytes);
        // SAFETY: the caller says that there are so many.
        let bytes = unsafe { std::slice::from_raw_parts(at.cast::<u8>(), bytes) };
        black_box(bytes.iter().fold(0, |all: u8, byte| all ^ byte));
    }
}

/// An array of names is read.
pub(crate) unsafe fn names(class: Class, at: *const u32, count: Option<usize>) {
    // SAFETY: as many as the caller says.
    unsafe { array(at, count) };
    if !at.is_null() {
        // SAFETY: as above.
        (0..count.unwrap_or(0)).for_each(|index| named(class, unsafe { at.add(index).read() }));
    }
}

/// What a buffer is filled with is read, if it is filled.
pub(crate) unsafe fn contents<T>(at: *const T, count: Option<usize>) {
    if !at.is_null() {
        // SAFETY: as many as the caller says.
        unsafe { array(at, count) };
    }
}

/// Pixels are read, unless they are in a buffer.
pub(crate) unsafe fn pixels<T>(at: *const T, count: Option<usize>) {
    if !is_bound(n::PIXEL_UNPACK_BUFFER_BINDING) {
        expect(is_tight(), "pixels of the wire are read with gaps");
        // SAFETY: as many as the caller says.
        unsafe { contents(at, count) };
    }
}

/// A text is read.
pub(crate) unsafe fn text(at: *const u8) {
    // SAFETY: the caller says that there is a NUL.
    black_box(unsafe { CStr::from_ptr(at.cast()) }.count_bytes());
}

/// An answer is written.
pub(crate) unsafe fn write<T>(at: *mut T, count: Option<usize>) {
    let bytes = count.and_then(|count| count.checked_mul(size_of::<T>()));
    expect(bytes.is_some() && !at.is_null(), "an answer whose length makes no sense");
    if let Some(bytes) = bytes.filter(|_| !at.is_null()) {
        spend(bytes);
        // SAFETY: the caller says that there is room for so many.
        unsafe { std::ptr::write_bytes(at.cast::<u8>(), 0x5a, bytes) };
    }
}
