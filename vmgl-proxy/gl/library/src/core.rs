//! The process's one state, and how a call of OpenGL's gets to it.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vmgl_gl_stream::{Caps, Command, Control, Data, limits};

use crate::counts::Counts;
use crate::glx::config::Config;
use crate::glx::context::Handle;
use crate::glx::drawable::Drawable;
use crate::glx::x::Server;
use crate::link::{Answer, Link, log};
use crate::shadow::{Group, State};

pub(crate) const INVALID_ENUM: u32 = 0x0500;
pub(crate) const INVALID_VALUE: u32 = 0x0501;
pub(crate) const INVALID_OPERATION: u32 = 0x0502;

/// A context: its state, and what it is for the renderer.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) state: State,
    pub(crate) group: usize,
    /// Drawables it draws on and reads, by their ids.
    pub(crate) draw: u32,
    pub(crate) read: u32,
    /// Destroyed while it was current: it ends when it is no longer.
    pub(crate) doomed: bool,
    /// So many threads have it as their current one.
    pub(crate) users: u32,
    /// It was current on a drawable once.
    pub(crate) begun: bool,
}

/// The way to the renderer.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) link: Link,
    buffer: Vec<u8>,
    next_reply: u32,
    /// The context that the stream is at.
    selected: u32,
    /// Errors that the renderer told of contexts that have not asked yet.
    pub(crate) late: Vec<(u32, u32)>,
    pub(crate) counts: Counts,
}

impl Wire {
    /// Puts a command at the end of the buffer.
    #[inline]
    pub(crate) fn put(&mut self, command: &Command<'_>) {
        command.encode(&mut self.buffer);
        self.counts.calls += 1;
        if self.buffer.len() >= limits::FLUSH {
            self.flush();
        }
    }

    /// Sends what is in the buffer.
    pub(crate) fn flush(&mut self) {
        if !self.buffer.is_empty() {
            let next = Vec::with_capacity(limits::FLUSH + limits::ARRAY);
            self.link.send(std::mem::replace(&mut self.buffer, next));
        }
    }

    /// A number for a question whose answer is looked for later.
    pub(crate) fn reply(&mut self) -> u32 {
        self.next_reply = self.next_reply.wrapping_add(1).max(1);
        self.next_reply
    }

    /// Waits for an answer; the program does, too.
    pub(crate) fn wait(&mut self, reply: u32) -> Option<Answer> {
        self.flush();
        self.counts.waits += 1;
        self.link.answer(reply)
    }
}

/// All that the library keeps for its process.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) wire: Wire,
    pub(crate) caps: Caps,
    pub(crate) contexts: HashMap<u32, Context>,
    pub(crate) groups: Vec<Group>,
    pub(crate) drawables: HashMap<u64, Drawable>,
    pub(crate) servers: HashMap<String, Server>,
    pub(crate) configs: HashMap<i32, &'static [Config]>,
    pub(crate) handles: HashMap<usize, Handle>,
    pub(crate) name: String,
    /// A picture was completed and nothing of the next one has been drawn: windows are looked at before it is.
    pub(crate) fresh: bool,
    pub(crate) last_context: u32,
    pub(crate) last_drawable: u32,
}

static PROGRAM: Mutex<Option<Program>> = Mutex::new(None);

thread_local! {
    /// The id of the thread's context; 0 for none.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

fn lock() -> MutexGuard<'static, Option<Program>> {
    // A call that panicked is told to whoever reads the log; what it left is better than nothing.
    PROGRAM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread's context.
pub(crate) fn current() -> u32 {
    CURRENT.get()
}

/// The thread has another context.
pub(crate) fn set_current(context: u32) {
    CURRENT.set(context);
}

/// The stream is open: from here on programs are served.
pub(crate) fn begin(link: Link, caps: Caps, name: String) {
    let wire = Wire {
        link,
        buffer: Vec::new(),
        next_reply: 0,
        selected: 0,
        late: Vec::new(),
        counts: Counts::default(),
    };
    *lock() = Some(Program {
        wire,
        caps,
        contexts: HashMap::new(),
        groups: Vec::new(),
        drawables: HashMap::new(),
        servers: HashMap::new(),
        configs: HashMap::new(),
        handles: HashMap::new(),
        name,
        fresh: false,
        last_context: 0,
        last_drawable: 0,
    });
}

/// Runs what must not panic into the program.
pub(crate) fn guard<R: Default>(body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        log(format_args!("a call was given up: this is a fault of vmgl's"));
        R::default()
    })
}

/// Works on the process's state.
pub(crate) fn with_program<R: Default>(body: impl FnOnce(&mut Program) -> R) -> R {
    guard(|| lock().as_mut().map(body).unwrap_or_default())
}

/// A call of OpenGL's: works on the thread's context, if it has one.
#[inline]
pub(crate) fn enter<R: Default>(body: impl FnOnce(&mut Cx<'_>) -> R) -> R {
    let context = CURRENT.get();
    if context == 0 {
        return R::default();
    }
    with_program(|program| program.at(context).map(|mut cx| body(&mut cx)).unwrap_or_default())
}

impl Program {
    /// A context with all it needs, to which the stream is switched.
    #[inline]
    pub(crate) fn at(&mut self, context: u32) -> Option<Cx<'_>> {
        if std::mem::take(&mut self.fresh) {
            self.look();
        }
        let it = self.contexts.get_mut(&context)?;
        let group = self.groups.get_mut(it.group)?;
        if self.wire.selected != context {
            self.wire.selected = context;
            let control = Control::MakeCurrent { context, draw: it.draw, read: it.read };
            self.wire.put(&Command::Control(control));
        }
        Some(Cx { id: context, state: &mut it.state, group, wire: &mut self.wire, caps: &self.caps })
    }

    /// What the stream is at is not known any more: the next call tells it.
    pub(crate) fn unselect(&mut self) {
        self.wire.selected = 0;
    }
}

/// A context while a call works on it.
#[derive(Debug)]
pub(crate) struct Cx<'a> {
    pub(crate) id: u32,
    pub(crate) state: &'a mut State,
    pub(crate) group: &'a mut Group,
    pub(crate) wire: &'a mut Wire,
    pub(crate) caps: &'a Caps,
}

impl Cx<'_> {
    /// Notes what a command changes, and sends it.
    #[inline]
    pub(crate) fn send(&mut self, command: Command<'_>) {
        self.state.track(self.group, &command);
        self.wire.put(&command);
    }

    /// Sends a question and waits for the answer; none if the renderer is gone.
    pub(crate) fn ask<'c>(&mut self, question: impl FnOnce(u32) -> Command<'c>) -> Option<Answer> {
        let reply = self.wire.reply();
        self.wire.put(&question(reply));
        self.wire.wait(reply)
    }

    /// OpenGL's error: the first one stays until it is asked for.
    pub(crate) fn error(&mut self, error: u32) {
        self.state.error(error);
    }

    /// A function that is not there.
    pub(crate) fn unsupported<R: Default>(&mut self, name: &'static str) -> R {
        self.error(INVALID_OPERATION);
        if self.wire.counts.unsupported.insert(name) {
            log(format_args!("{name} is not there; the program calls it"));
        }
        R::default()
    }

    /// What a pointer is that may be null or an offset into the pixel unpack buffer.
    ///
    /// # Safety
    /// `pointer` is null, an offset, or leads to that many bytes.
    pub(crate) unsafe fn data<'p>(
        &self,
        pointer: *const u8,
        wanted: Option<usize>,
        unpacks: bool,
    ) -> Option<Data<'p>> {
        let wanted = wanted?;
        if unpacks && self.state.unpack_buffer() != 0 {
            return Some(Data::Offset(pointer.addr() as u64));
        }
        if pointer.is_null() {
            return Some(Data::Null);
        }
        // SAFETY: the caller's.
        unsafe { crate::raw::bytes(pointer, Some(wanted)) }.map(Data::Memory)
    }
}
