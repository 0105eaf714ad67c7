//! A stream's contexts and drawables, and the commands that are carried out with them.
//!
//! Commands mean what they mean in the context that is current, as in the program. A drawable is a buffer off the screen;
//! a swap reads it back in one call, by a context of our own, so that nothing of the program's state is touched, into
//! memory that the proxy reads. What goes wrong in OpenGL is told to the program late; what makes no sense as a stream
//! ends it.
//!
//! Invariant: contexts, drawables and their sizes are bounded; an id that was not made is none.
//! Invariant: a swap is answered when its picture is the proxy's, and not sooner than the program's interval allows.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::{Duration, Instant};

use thiserror::Error;
use vmgl_gl_stream::{
    Assembler, Caps, Command, Commands, Control, DRAWABLE_SAMPLES, DecodeError, Event, limits, opcode_name,
    put_out,
};

use crate::drawable::{Drawable, Kit, read_back};
use crate::egl::{Buffer, Context, Egl, EglError, Wanted};
use crate::fault::Fault;
use crate::gl::Gl;
use crate::hands::{Answer, Hands, State};
use crate::names::{Class, Names};
use crate::reflect;
use crate::room::Room;
use crate::waited::Waits;
use crate::words::Counts;

/// Most contexts.
const CONTEXTS: usize = 256;
/// Most lines in the log about commands that had no effect.
const LINES: u32 = 20;
/// Errors of OpenGL's that are asked for after a frame.
const ERRORS: usize = 16;
/// Longest interval of swaps, in sixtieths of a second.
const INTERVAL: u32 = 60;

/// Where pictures and events go.
pub(crate) trait Outlet {
    /// The proxy is given room for a window's pictures.
    fn room(&mut self, room: u32, window: u32, size: (u16, u16), file: BorrowedFd<'_>) -> io::Result<()>;
    /// A picture is in this half.
    fn picture(&mut self, room: u32, half: u8, counts: Counts) -> io::Result<()>;
    /// A room is not used any more.
    fn closed(&mut self, room: u32) -> io::Result<()>;
    /// The next half that the proxy has released; waits for one if `wait`.
    fn released(&mut self, wait: bool) -> io::Result<Option<(u32, u8)>>;
    /// A command is carried out from now on, or something outside is waited for.
    fn work(&mut self, works: bool);
    /// Sends events to the program.
    fn tell(&mut self, events: Vec<u8>) -> io::Result<()>;
}

/// Why a stream ends.
#[derive(Debug, Error)]
pub enum SessionError {
    /// What the program sent.
    #[error("the program's stream makes no sense")]
    Stream(#[from] DecodeError),
    /// What the proxy, or the system, does not do.
    #[error("the proxy")]
    Proxy(#[from] io::Error),
    /// EGL, where nothing can be drawn without it.
    #[error(transparent)]
    Egl(#[from] EglError),
}

struct Known {
    context: Context,
    /// For drawables with several samples a pixel.
    multisampled: bool,
    /// Of OpenGL ES.
    es: bool,
    names: Rc<RefCell<Names>>,
    /// Of objects that no other context has.
    own: Names,
    /// From its first use on.
    state: Option<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Current {
    context: u32,
    draw: u32,
    read: u32,
}

/// See the module.
pub(crate) struct Session {
    egl: Rc<Egl>,
    gl: Gl,
    /// Ours, for drawables with one sample a pixel and, from its first use on, with several.
    kits: [Option<Kit>; 2],
    contexts: BTreeMap<u32, Known>,
    drawables: BTreeMap<u32, Drawable>,
    current: Option<Current>,
    assembler: Assembler,
    began: Instant,
    rooms: u32,
    events: Vec<u8>,
    /// Errors by context, OpenGL's number and command; how often.
    errors: BTreeMap<(u32, u32, u32), u32>,
    lines: u32,
    /// The program's state is being rebuilt: what goes wrong there is no error of the program's.
    restoring: bool,
    /// When what is carried out now came.
    pub(crate) arrived: Instant,
    /// What was done.
    pub(crate) counts: Counts,
    /// What the program waited for.
    pub(crate) waits: Waits,
}

impl Session {
    /// Nothing is made yet but what every stream needs.
    pub(crate) fn new(egl: Rc<Egl>) -> Result<(Self, Caps), SessionError> {
        let kit = Kit::new(&egl, false)?;
        egl.make_current(&kit.reader, &kit.idle, &kit.idle)?;
        let gl = egl.functions();
        let mut caps = reflect::caps(&gl);
        if egl.samples() > 0 {
            caps.integers.insert(DRAWABLE_SAMPLES, vec![egl.samples().into()]);
        }
        egl.leave()?;
        let session = Self {
            egl,
            gl,
            kits: [Some(kit), None],
            contexts: BTreeMap::new(),
            drawables: BTreeMap::new(),
            current: None,
            assembler: Assembler::new(),
            began: Instant::now(),
            rooms: 0,
            events: Vec::new(),
            errors: BTreeMap::new(),
            lines: 0,
            restoring: false,
            arrived: Instant::now(),
            counts: Counts::default(),
            waits: Waits::default(),
        };
        Ok((session, caps))
    }

    /// Carries a frame's commands out.
    pub(crate) fn execute(&mut self, payload: &[u8], outlet: &mut dyn Outlet) -> Result<(), SessionError> {
        self.counts.bytes += payload.len() as u64;
        let mut commands = Commands::new(payload);
        // The assembler lends what it gathered to the command: it is put back behind it.
        let mut assembler = std::mem::take(&mut self.assembler);
        while let Some(command) = assembler.next(&mut commands)? {
            self.counts.commands += 1;
            outlet.work(true);
            let (opcode, reply) = (command.opcode(), command.reply());
            let done = match command {
                Command::Control(control) => self.control(control, outlet)?,
                command => self.draw(command),
            };
            if let Err(fault) = done {
                self.failed(opcode, fault);
                // The program waits for it.
                if let Some(reply) = reply {
                    Event::put_reply(&mut self.events, reply, 0, &[]);
                }
            }
        }
        self.assembler = assembler;
        outlet.work(true);
        self.late_errors();
        outlet.work(false);
        Ok(())
    }

    /// Whether the program has nothing here any more.
    pub(crate) fn is_empty(&self) -> bool {
        self.contexts.is_empty() && self.drawables.is_empty()
    }

    /// What has to be told, and is not sent yet.
    pub(crate) fn take_events(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.events)
    }

    fn failed(&mut self, opcode: u16, fault: Fault) {
        if self.lines < LINES {
            self.lines += 1;
            tracing::warn!("{} had no effect: {fault}", opcode_name(opcode));
        }
        self.count_error(fault.code(), opcode);
    }

    fn count_error(&mut self, code: u32, opcode: u16) {
        if self.restoring {
            return;
        }
        self.counts.errors += 1;
        let context = self.current.map_or(0, |current| current.context);
        let count = self.errors.entry((context, code, opcode.into())).or_insert(0);
        *count = count.saturating_add(1);
    }

    fn late_errors(&mut self) {
        if let (Some(get), true) = (self.gl.GetError, self.current.is_some()) {
            for _ in 0..ERRORS {
                // SAFETY: a call without pointers.
                match unsafe { get() } {
                    0 => break,
                    code => self.count_error(code, 0),
                }
            }
        }
        for ((context, error, opcode), count) in std::mem::take(&mut self.errors) {
            Event::GlError { context, error, opcode, count }.encode(&mut self.events);
        }
    }

    fn draw(&mut self, command: Command<'_>) -> Result<(), Fault> {
        let current = self.current.ok_or(Fault::NoContext)?;
        let known = self.contexts.get_mut(&current.context).ok_or(Fault::NoContext)?;
        let state = known.state.as_mut().ok_or(Fault::NoContext)?;
        let mut names = known.names.borrow_mut();
        let mut hands = Hands { gl: &self.gl, names: &mut names, own: &mut known.own, state };
        let answer = hands.execute(command)?;
        drop(names);
        if let Some(answer) = answer {
            self.answer(answer);
        }
        Ok(())
    }

    fn answer(&mut self, Answer { reply, value, outs }: Answer) {
        let mut data = Vec::new();
        outs.iter().for_each(|out| put_out(&mut data, out));
        Event::put_reply(&mut self.events, reply, value, &data);
    }

    fn control(
        &mut self,
        control: Control<'_>,
        outlet: &mut dyn Outlet,
    ) -> Result<Result<(), Fault>, SessionError> {
        Ok(match control {
            Control::CreateContext { context, share, api, major, minor, flags, config } => {
                let wanted = Wanted { api, version: (major, minor), flags };
                self.create_context(context, share, wanted, self.is_multisampled(config))
            }
            Control::DestroyContext { context } => {
                if self.current.is_some_and(|current| current.context == context) {
                    self.leave();
                }
                self.contexts.remove(&context).map(|_| ()).ok_or(Fault::NoSuchName)
            }
            Control::CreateDrawable { drawable, kind, window, width, height, config } => {
                let window = (kind == 0 && window != 0).then_some(window);
                self.create_drawable(drawable, window, (width, height), self.is_multisampled(config))
            }
            Control::DestroyDrawable { drawable } => self.destroy_drawable(drawable, outlet)?,
            Control::ResizeDrawable { drawable, width, height } => self.resize(drawable, width, height),
            Control::MakeCurrent { context, draw, read } => {
                self.make_current(Current { context, draw, read })
            }
            Control::Swap { drawable, serial, interval } => self.swap(drawable, serial, interval, outlet)?,
            Control::Front { drawable } => self.present(drawable, outlet)?,
            Control::Read { drawable, y, rows, reply } => self.read(drawable, (y, rows), reply),
            Control::Ping { serial } => {
                Event::Pong { serial }.encode(&mut self.events);
                self.flush(outlet)?;
                Ok(())
            }
            Control::Reflect { program, reply } => self.reflect(program, reply),
            Control::ShaderStatus { shader, reply } => self.shader_status(shader, reply),
            Control::Restore { begin } => {
                self.late_errors();
                self.restoring = begin != 0;
                Ok(())
            }
            Control::Waited { opcode, micros } => {
                let is_known = self.waits.add(opcode, micros);
                self.counts.blocking += u64::from(is_known);
                if is_known { Ok(()) } else { Err(Fault::Value) }
            }
            Control::Part { .. } | Control::Keep { .. } | Control::Take { .. } | Control::Clear { .. } => {
                Err(Fault::NotHere)
            }
        })
    }

    fn flush(&mut self, outlet: &mut dyn Outlet) -> io::Result<()> {
        let events = self.take_events();
        if events.is_empty() { Ok(()) } else { outlet.tell(events) }
    }

    /// Whether a configuration of the stream's has several samples a pixel, and so has one of EGL's.
    fn is_multisampled(&self, config: u32) -> bool {
        config & 0xff00 != 0 && self.egl.samples() > 0
    }

    fn create_context(
        &mut self,
        id: u32,
        share: u32,
        wanted: Wanted,
        multisampled: bool,
    ) -> Result<(), Fault> {
        if id == 0 || self.contexts.contains_key(&id) || self.contexts.len() >= CONTEXTS {
            return Err(Fault::Value);
        }
        let with = match share {
            0 => None,
            share => Some(self.contexts.get(&share).ok_or(Fault::NoSuchName)?),
        };
        let context = self.egl.context(wanted, with.map(|known| &known.context), multisampled);
        let context = context.map_err(|fault| {
            tracing::warn!("a context of {wanted:?}: {fault:?}");
            Fault::Value
        })?;
        let names = with.map_or_else(Rc::default, |known| Rc::clone(&known.names));
        let es = wanted.api >= 2;
        let known = Known { context, multisampled, es, names, own: Names::default(), state: None };
        self.contexts.insert(id, known);
        Ok(())
    }

    fn buffer(
        &self,
        width: u32,
        height: u32,
        multisampled: bool,
        but: u32,
    ) -> Result<(Buffer, (u16, u16)), Fault> {
        let side = |n: u32| u16::try_from(n).ok().filter(|n| *n > 0).ok_or(Fault::Value);
        let size = (side(width)?, side(height)?);
        let others = self.drawables.iter().filter(|(id, _)| **id != but);
        let samples = |many: bool| if many { u64::from(self.egl.samples()) } else { 1 };
        let pixels = |(width, height): (u16, u16), many| u64::from(width) * u64::from(height) * samples(many);
        let before: u64 = others.map(|(_, it)| pixels(it.size, it.multisampled)).sum();
        if before + pixels(size, multisampled) > limits::PIXELS {
            return Err(Fault::TooLong);
        }
        let buffer = self.egl.buffer(size.0, size.1, multisampled).map_err(|fault| {
            tracing::warn!("a drawable of {width}x{height}: {fault:?}");
            Fault::TooLong
        })?;
        Ok((buffer, size))
    }

    fn create_drawable(
        &mut self,
        id: u32,
        window: Option<u32>,
        (width, height): (u32, u32),
        multisampled: bool,
    ) -> Result<(), Fault> {
        if id == 0 || self.drawables.contains_key(&id) || self.drawables.len() >= limits::DRAWABLES {
            return Err(Fault::Value);
        }
        let (buffer, size) = self.buffer(width, height, multisampled, id)?;
        let drawable = Drawable { buffer, multisampled, window, size, room: None, shown: None };
        self.drawables.insert(id, drawable);
        Ok(())
    }

    fn destroy_drawable(&mut self, id: u32, outlet: &mut dyn Outlet) -> io::Result<Result<(), Fault>> {
        let Some(gone) = self.drawables.remove(&id) else { return Ok(Err(Fault::NoSuchName)) };
        if let Some(room) = &gone.room {
            outlet.closed(room.number)?;
        }
        // The buffer stays as long as something draws in it.
        if let Some(current) = self.current.filter(|current| current.draw == id || current.read == id) {
            let other = |drawable: u32| if drawable == id { 0 } else { drawable };
            let without = Current { draw: other(current.draw), read: other(current.read), ..current };
            return Ok(self.make_current(without));
        }
        Ok(Ok(()))
    }

    fn resize(&mut self, id: u32, width: u32, height: u32) -> Result<(), Fault> {
        let Drawable { size, multisampled, .. } = *self.drawables.get(&id).ok_or(Fault::NoSuchName)?;
        if (u32::from(size.0), u32::from(size.1)) == (width, height) {
            return Ok(());
        }
        let (buffer, size) = self.buffer(width, height, multisampled, id)?;
        let before = self.drawables.get_mut(&id).map(|drawable| {
            drawable.size = size;
            std::mem::replace(&mut drawable.buffer, buffer)
        });
        let again = self.current.filter(|current| current.draw == id || current.read == id);
        let made = again.map_or(Ok(()), |current| self.make_current(current));
        drop(before);
        made
    }

    fn leave(&mut self) {
        self.current = None;
        if let Err(fault) = self.egl.leave() {
            tracing::warn!("{fault:?}");
        }
    }

    fn make_current(&mut self, wanted: Current) -> Result<(), Fault> {
        self.late_errors();
        if wanted.context == 0 {
            self.leave();
            return Ok(());
        }
        let multisampled = self.contexts.get(&wanted.context).ok_or(Fault::NoSuchName)?.multisampled;
        let kit = usize::from(multisampled);
        if self.kits[kit].is_none() {
            self.kits[kit] = Some(self.egl_fault(Kit::new(&self.egl, multisampled))?);
        }
        for drawable in [wanted.draw, wanted.read] {
            self.fit(drawable, multisampled)?;
        }
        let known = self.contexts.get_mut(&wanted.context).ok_or(Fault::NoSuchName)?;
        let idle = &self.kits[kit].as_ref().ok_or(Fault::NoContext)?.idle;
        let buffer = |id: u32| match id {
            0 => Ok((idle, (1, 1))),
            id => {
                let drawable = self.drawables.get(&id).ok_or(Fault::NoSuchName)?;
                Ok((&drawable.buffer, drawable.size))
            }
        };
        let ((draw, size), (read, _)) = (buffer(wanted.draw)?, buffer(wanted.read)?);
        self.egl.make_current(&known.context, draw, read).map_err(|fault| {
            tracing::warn!("{fault:?}");
            Fault::Value
        })?;
        if known.state.is_none() {
            known.state = Some(State::new(&self.gl, known.es, multisampled));
            let (width, height) = (size.0.into(), size.1.into());
            for call in [self.gl.Viewport, self.gl.Scissor].into_iter().flatten() {
                // SAFETY: a call without pointers.
                unsafe { call(0, 0, width, height) };
            }
        }
        self.current = Some(wanted);
        Ok(())
    }

    /// EGL's faults are logged; the program hears of an error of OpenGL's.
    fn egl_fault<T>(&self, made: Result<T, EglError>) -> Result<T, Fault> {
        made.map_err(|fault| {
            tracing::warn!("{fault:?}");
            Fault::Value
        })
    }

    /// A drawable has as many samples a pixel as who draws on it wants: a window that was made for another kind of context
    /// gets another buffer.
    fn fit(&mut self, id: u32, multisampled: bool) -> Result<(), Fault> {
        let Some(it) = self.drawables.get(&id).filter(|it| it.multisampled != multisampled) else {
            return Ok(());
        };
        let (buffer, _) = self.buffer(it.size.0.into(), it.size.1.into(), multisampled, id)?;
        if let Some(it) = self.drawables.get_mut(&id) {
            (it.buffer, it.multisampled) = (buffer, multisampled);
        }
        Ok(())
    }

    fn swap(
        &mut self,
        id: u32,
        serial: u32,
        interval: u32,
        outlet: &mut dyn Outlet,
    ) -> io::Result<Result<(), Fault>> {
        let Some(drawable) = self.drawables.get_mut(&id) else { return Ok(Err(Fault::NoSuchName)) };
        let now = Instant::now();
        let pause = Duration::from_secs(1) * interval.min(INTERVAL) / 60;
        // Who is in time keeps its beat; who was late begins a new one.
        let due = drawable.shown.map(|shown| shown + pause).filter(|due| now.duration_since(*due) < pause);
        drawable.shown = Some(due.unwrap_or(now));
        let wait = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        if !wait.is_zero() {
            self.flush(outlet)?;
            if let (Some(begin), true) = (self.gl.Flush, self.current.is_some()) {
                // The pause is for the screen: what is drawn is drawn meanwhile.
                // SAFETY: a call without pointers.
                unsafe { begin() };
            }
            outlet.work(false);
            std::thread::sleep(wait);
            outlet.work(true);
        }
        let done = self.present(id, outlet)?;
        let since = |moment: Instant| u64::try_from(moment.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (micros, held) = (since(self.began), since(self.arrived));
        Event::Swapped { drawable: id, serial, micros, held }.encode(&mut self.events);
        self.flush(outlet)?;
        Ok(done)
    }

    /// Gives the proxy what is drawn.
    fn present(&mut self, id: u32, outlet: &mut dyn Outlet) -> io::Result<Result<(), Fault>> {
        while let Some(released) = outlet.released(false)? {
            self.released(released);
        }
        let Some(drawable) = self.drawables.get_mut(&id) else { return Ok(Err(Fault::NoSuchName)) };
        let Some(window) = drawable.window else { return Ok(Ok(())) };
        let (width, height) = drawable.size;
        if drawable.room.as_ref().is_none_or(|room| !room.fits(width, height)) {
            self.rooms = self.rooms.wrapping_add(1);
            let room = Room::new(self.rooms, width, height)?;
            // The picture in the room before is seen until there is one in this.
            outlet.room(room.number, window, drawable.size, room.file())?;
            drawable.room = Some(room);
        }
        loop {
            let Some(drawable) = self.drawables.get_mut(&id) else { return Ok(Err(Fault::NoSuchName)) };
            let Some(room) = &mut drawable.room else { return Ok(Err(Fault::NoSuchName)) };
            let number = room.number;
            if let Some((half, pixels)) = room.free() {
                let what = (&drawable.buffer, drawable.multisampled);
                let read = match &mut self.kits[usize::from(drawable.multisampled)] {
                    Some(kit) => {
                        let (width, height) = drawable.size;
                        read_back(&self.egl, &self.gl, kit, what, (width, 0, height), pixels)
                    }
                    None => Err(Fault::NoContext),
                };
                if read.is_ok() {
                    room.told(half, true);
                    self.counts.swaps += 1;
                    outlet.picture(number, half, self.counts)?;
                }
                let again = self.current.take();
                let back = again.map_or(Ok(()), |current| self.make_current(current));
                return Ok(read.and(back));
            }
            // Events that are there already must not wait for the proxy.
            self.flush(outlet)?;
            if let Some(released) = outlet.released(true)? {
                self.released(released);
            }
        }
    }

    /// Gives the program rows of what is drawn.
    fn read(&mut self, id: u32, (y, rows): (u32, u32), reply: u32) -> Result<(), Fault> {
        let drawable = self.drawables.get(&id).ok_or(Fault::NoSuchName)?;
        let (width, height) = drawable.size;
        let row = |n: u32| u16::try_from(n).map_err(|_| Fault::Value);
        let (y, rows) = (row(y)?, row(rows)?);
        let bytes = usize::from(width) * usize::from(rows) * 4;
        if rows == 0 || y.checked_add(rows).is_none_or(|end| end > height) || bytes > limits::ANSWER {
            return Err(Fault::Value);
        }
        let mut pixels = vec![0; bytes];
        let what = (&drawable.buffer, drawable.multisampled);
        let read = match &mut self.kits[usize::from(drawable.multisampled)] {
            Some(kit) => read_back(&self.egl, &self.gl, kit, what, (width, y, rows), &mut pixels),
            None => Err(Fault::NoContext),
        };
        let again = self.current.take();
        let back = again.map_or(Ok(()), |current| self.make_current(current));
        read.and(back)?;
        self.answer(Answer { reply, value: 0, outs: vec![pixels] });
        Ok(())
    }

    fn released(&mut self, (number, half): (u32, u8)) {
        let mut rooms = self.drawables.values_mut().filter_map(|drawable| drawable.room.as_mut());
        if let Some(room) = rooms.find(|room| room.number == number) {
            room.told(half, false);
        }
    }

    fn reflect(&mut self, program: u32, reply: u32) -> Result<(), Fault> {
        let real = self.real(Class::Program, program);
        let known = real.map(|real| reflect::program(&self.gl, real)).unwrap_or_default();
        let mut data = Vec::new();
        known.encode(&mut data);
        Event::put_reply(&mut self.events, reply, u64::from(known.linked), &data);
        Ok(())
    }

    fn shader_status(&mut self, shader: u32, reply: u32) -> Result<(), Fault> {
        let real = self.real(Class::Shader, shader);
        let (compiled, log) = real.map(|real| reflect::shader(&self.gl, real)).unwrap_or_default();
        Event::put_reply(&mut self.events, reply, u64::from(compiled), &log);
        Ok(())
    }

    /// What the current context calls an object; none without one.
    fn real(&self, class: Class, name: u32) -> Option<u32> {
        let known = self.contexts.get(&self.current?.context)?;
        let real = known.names.borrow().get(class, name.into())?;
        u32::try_from(real).ok()
    }
}
