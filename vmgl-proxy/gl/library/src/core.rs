//! The process's one state, and how a call of OpenGL's gets to it.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use vmgl_gl_stream::{Caps, Command, Control, Data, Shelved, limits};

use crate::glx::config::Config;
use crate::glx::context::Handle;
use crate::glx::drawable::Drawable;
use crate::glx::x::Server;
use crate::link::{Answer, Link, Next, log};
use crate::shadow::steps::{moved, uniform};
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
    /// It was current once.
    pub(crate) is_used: bool,
    /// The command that made it.
    pub(crate) made: Control<'static>,
}

/// The way to the renderer.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) link: Link,
    buffer: Vec<u8>,
    /// Bytes of commands that have left the buffer.
    gone: u64,
    /// What the renderer has kept of long arrays, where bytes on the way count.
    shelved: Option<Shelved>,
    next_reply: u32,
    /// The context that the stream is at.
    selected: u32,
    /// Errors that the renderer told of contexts that have not asked yet.
    pub(crate) late: Vec<(u32, u32)>,
    /// The renderer was lost while an answer was waited for: the call is to be made again.
    unanswered: bool,
    /// Times that the program waited for an answer.
    pub(crate) waits: u64,
    /// Pictures that were completed.
    pub(crate) pictures: u64,
    /// Functions that were called and are not there.
    unsupported: HashSet<&'static str>,
}

impl Wire {
    /// The stream is a new one: what was to be sent is in the shadow, and nothing is known of where the stream is.
    pub(crate) fn begin_anew(&mut self) {
        self.gone += self.buffer.len() as u64;
        self.buffer.clear();
        self.shelved = self.link.is_far().then(Shelved::new);
        self.selected = 0;
        self.late.clear();
    }

    /// Whether the call that is being made will be made again.
    pub(crate) fn is_unanswered(&self) -> bool {
        self.unanswered
    }

    /// Puts commands that are encoded already.
    pub(crate) fn put_bytes(&mut self, commands: &[u8]) {
        self.buffer.extend_from_slice(commands);
        if self.buffer.len() >= limits::FLUSH {
            self.flush();
        }
    }

    /// How much has been said up to now: where it is the same as before, nothing was drawn since.
    pub(crate) fn position(&self) -> u64 {
        self.gone + self.buffer.len() as u64
    }

    /// Puts a command at the end of the buffer.
    #[inline]
    pub(crate) fn put(&mut self, command: &Command<'_>) {
        let start = self.buffer.len();
        command.encode(&mut self.buffer);
        if self.buffer.len() - start > limits::ARRAY
            && let Some(shelved) = &mut self.shelved
        {
            shelved.spare(&mut self.buffer, start);
        }
        if self.buffer.len() >= limits::FLUSH {
            self.flush();
        }
    }

    /// Sends what is in the buffer.
    pub(crate) fn flush(&mut self) {
        if !self.buffer.is_empty() {
            self.gone += self.buffer.len() as u64;
            let next = Vec::with_capacity(limits::FLUSH + limits::ARRAY);
            self.link.send(std::mem::replace(&mut self.buffer, next));
        }
    }

    /// A number for a question whose answer is looked for later.
    pub(crate) fn reply(&mut self) -> u32 {
        self.next_reply = self.next_reply.wrapping_add(1).max(1);
        self.next_reply
    }

    /// Waits for the answer to a command of that number; the program does, too, and the desk is told of it. None if the
    /// renderer is lost: see [`Wire::is_unanswered`].
    pub(crate) fn wait(&mut self, reply: u32, opcode: u16) -> Option<Answer> {
        self.flush();
        self.waits += 1;
        let began = Instant::now();
        let answer = self.link.answer(reply);
        self.unanswered |= answer.is_none() && self.link.is_lost();
        if answer.is_some() {
            let micros = u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX);
            self.put(&Command::Control(Control::Waited { opcode: opcode.into(), micros }));
        }
        answer
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
    /// Swap intervals of windows that are not drawn on yet, by their X ids.
    pub(crate) intervals: HashMap<u64, u32>,
    pub(crate) servers: HashMap<String, Server>,
    pub(crate) configs: HashMap<i32, &'static [Config]>,
    pub(crate) handles: HashMap<usize, Handle>,
    /// A picture was completed and nothing of the next one has been drawn: windows are looked at before it is.
    pub(crate) fresh: bool,
    /// The address of the display that a context was last made current on.
    pub(crate) display: usize,
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
pub(crate) fn begin(link: Link, caps: Caps) {
    let shelved = link.is_far().then(Shelved::new);
    let wire = Wire {
        link,
        shelved,
        buffer: Vec::new(),
        gone: 0,
        next_reply: 0,
        selected: 0,
        late: Vec::new(),
        unanswered: false,
        waits: 0,
        pictures: 0,
        unsupported: HashSet::new(),
    };
    *lock() = Some(Program {
        wire,
        caps,
        contexts: HashMap::new(),
        groups: Vec::new(),
        drawables: HashMap::new(),
        intervals: HashMap::new(),
        servers: HashMap::new(),
        configs: HashMap::new(),
        handles: HashMap::new(),
        fresh: false,
        display: 0,
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

/// A call of OpenGL's: works on the thread's context, if it has one. A question that a renderer took along when it was lost
/// is asked again, of the next one; what comes before it in a call has no effect that matters twice.
#[inline]
pub(crate) fn enter<R: Default>(body: impl Fn(&mut Cx<'_>) -> R) -> R {
    let context = CURRENT.get();
    if context == 0 {
        return R::default();
    }
    loop {
        let (done, lost) = with_program(|program| {
            let done = program.at(context).map(|mut cx| body(&mut cx)).unwrap_or_default();
            let lost = std::mem::take(&mut program.wire.unanswered).then(|| program.wire.link.clone());
            (done, lost)
        });
        match lost {
            None => return done,
            Some(link) => link.until_live(),
        }
    }
}

/// The renderer will be replaced: what only it has is brought here, then the program goes to the next. The program waits meanwhile.
pub(crate) fn renew(link: &Link, next: Next) {
    let kept = |error| log(format_args!("there is no other renderer ({error}): this one is kept"));
    // Nobody waits for a place that does not answer.
    if let Next::To(place) = &next
        && let Err(error) = Link::answers_at(place)
    {
        return kept(error);
    }
    guard(|| {
        let mut program = lock();
        let Some(program) = program.as_mut() else { return };
        // What cannot be brought is lost, and the program goes all the same.
        guard(|| program.bring_home());
        let is_elsewhere = matches!(next, Next::To(_));
        match link.go(next) {
            Ok(()) if is_elsewhere => {
                program.servers.keys().for_each(|display| link.start_watcher(display.clone(), true));
            }
            Ok(()) => {}
            Err(error) => {
                kept(error);
                program.unselect();
            }
        }
        program.wire.unanswered = false;
    });
}

/// Rebuilds the link's new stream from what is kept of the program.
pub(crate) fn restore(link: &Link, generation: u64) {
    let done = guard(|| {
        let mut program = lock();
        program.as_mut().is_some_and(|program| {
            link.restoring(generation) && {
                let done = program.restore(link, generation);
                // Questions of ours are nobody's that is made again.
                program.wire.unanswered = false;
                done
            }
        })
    });
    // Who waits goes on in any case, unless there is a newer stream.
    if !done {
        link.restored(generation);
    }
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
        let Self { wire, caps, drawables, servers, .. } = self;
        Some(Cx { id: context, state: &mut it.state, group, wire, caps, drawables, servers })
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
    pub(crate) drawables: &'a HashMap<u64, Drawable>,
    pub(crate) servers: &'a HashMap<String, Server>,
}

impl Cx<'_> {
    /// Notes what a command changes, and sends it.
    #[inline]
    pub(crate) fn send(&mut self, command: Command<'_>) {
        self.state.track(self.group, &command);
        if self.group.any_moved
            && let Some((location, _)) = uniform(&command)
        {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            let location = self.location(self.state.program, location);
            return self.wire.put_bytes(&moved(&bytes, location));
        }
        self.wire.put(&command);
    }

    /// Where a uniform is at the renderer, of what the program was told.
    pub(crate) fn location(&mut self, program: u32, location: i32) -> i32 {
        let places = self.group.program(program).and_then(|program| program.moved.as_ref());
        places.map_or(location, |places| places.get(&location).copied().unwrap_or(location))
    }

    /// Sends an array of the program's memory, which goes ahead of what is drawn with it.
    pub(crate) fn send_array(&mut self, command: &Command<'_>) {
        self.state.note_array(command);
        self.wire.put(command);
    }

    /// Sends a question and waits for the answer; none if the renderer is gone.
    pub(crate) fn ask<'c>(&mut self, question: impl FnOnce(u32) -> Command<'c>) -> Option<Answer> {
        let reply = self.wire.reply();
        let question = question(reply);
        self.wire.put(&question);
        self.wire.wait(reply, question.opcode())
    }

    /// OpenGL's error: the first one stays until it is asked for.
    pub(crate) fn error(&mut self, error: u32) {
        self.state.error(error);
    }

    /// A function that is not there.
    pub(crate) fn unsupported<R: Default>(&mut self, name: &'static str) -> R {
        self.error(INVALID_OPERATION);
        if self.wire.unsupported.insert(name) {
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
