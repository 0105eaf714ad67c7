//! The process: packets of the proxy's on one side, the program's connection on the other, and the session between.
//!
//! A program's connection may end and another one go on where it ended; what was drawn stays meanwhile, for [`PATIENCE`].
//! A program that left nothing behind is not waited for. When the proxy closes its end, this process ends.
//!
//! Invariant: what the program sent is acknowledged after it was carried out.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use thiserror::Error;
use vmgl_gl_stream::{
    Caps, ClientHello, Event, FrameError, HelloError, Incoming, Outgoing, SPEC, ServerHello, Verdict,
};

use crate::egl::{Egl, EglError};
use crate::heap;
use crate::pulse::Pulse;
use crate::reader::Reader;
use crate::session::{Outlet, Session, SessionError};
use crate::words::{Counts, FromRenderer, ToRenderer, hear, say};

/// How long a program whose connection ended is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a renderer ends before the proxy wants it to.
#[derive(Debug, Error)]
pub enum RunError {
    /// It cannot draw.
    #[error(transparent)]
    Egl(#[from] EglError),
    /// What the program's commands led to.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What the program sent.
    #[error("the program's frames make no sense")]
    Frame(#[from] FrameError),
    /// What the program said first.
    #[error("the program's hello makes no sense")]
    Hello(#[from] HelloError),
    /// The proxy, or the system.
    #[error("the proxy")]
    Proxy(#[from] io::Error),
}

/// Draws for one program until the proxy goes away, which is told what of the sandbox is missing.
///
/// # Errors
/// [`RunError`] says what is wrong.
pub fn run(proxy: OwnedFd, missing: Vec<String>) -> Result<(), RunError> {
    heap::keep();
    let egl = Egl::open()?;
    let (mut session, caps) = Session::new(egl)?;
    let mut line = Line::new(proxy)?;
    say(&line.proxy, &FromRenderer::Pulse, Some(line.pulse.file()))?;
    if !missing.is_empty() {
        say(&line.proxy, &FromRenderer::Unconfined(missing), None)?;
    }
    loop {
        if let Some((hello, program)) = line.connects.pop_front() {
            line.connect(&hello, program, &caps)?;
            if line.stream.is_none() {
                // It was sent away, and comes again as another stream, to another process.
                return Ok(());
            }
            // That the connection before was lost may just have been said.
            line.count(session.counts)?;
        }
        let Some(ready) = line.wait()? else {
            tracing::info!("no connection for {PATIENCE:?}");
            return Ok(());
        };
        if ready.proxy && !line.hear()? {
            return Ok(());
        }
        if let Some((to, away)) = line.leaves.take() {
            let mut events = Vec::new();
            Event::Leave { away: away.into(), to: to.as_bytes() }.encode(&mut events);
            line.tell(events)?;
            line.pulse.rest();
        }
        if ready.program {
            line.read(&mut session)?;
            if line.program.is_none() {
                if session.is_empty() {
                    return Ok(());
                }
                say(&line.proxy, &FromRenderer::Lost, None)?;
            }
        }
    }
}

struct Ready {
    proxy: bool,
    program: bool,
}

struct Line {
    proxy: OwnedFd,
    program: Option<Reader>,
    stream: Option<[u8; 16]>,
    outgoing: Outgoing,
    incoming: Incoming,
    connects: VecDeque<(Vec<u8>, OwnedFd)>,
    released: VecDeque<(u32, u8)>,
    told: Counts,
    /// The last frame that was carried out.
    done: u64,
    /// Until when a program without a connection is waited for.
    until: Instant,
    pulse: Pulse,
    /// The program is to be told to go, and where to, or away.
    leaves: Option<(String, bool)>,
}

impl Line {
    fn new(proxy: OwnedFd) -> Result<Self, RunError> {
        Ok(Self {
            proxy,
            program: None,
            stream: None,
            outgoing: Outgoing::new(false)?,
            incoming: Incoming::new()?,
            connects: VecDeque::new(),
            released: VecDeque::new(),
            told: Counts::default(),
            done: 0,
            until: Instant::now() + PATIENCE,
            pulse: Pulse::new()?,
            leaves: None,
        })
    }

    /// Waits for one of both; none when the program was waited for long enough.
    fn wait(&mut self) -> io::Result<Option<Ready>> {
        if !self.connects.is_empty() {
            return Ok(Some(Ready { proxy: false, program: false }));
        }
        let left = match self.program {
            None => Some(self.until.saturating_duration_since(Instant::now())),
            Some(_) => {
                self.until = Instant::now() + PATIENCE;
                None
            }
        };
        if left == Some(Duration::ZERO) {
            return Ok(None);
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut both = vec![PollFd::from_borrowed_fd(self.proxy.as_fd(), PollFlags::IN)];
        both.extend(self.program.as_ref().map(|it| PollFd::from_borrowed_fd(it.ready(), PollFlags::IN)));
        poll(&mut both, left.as_ref())?;
        let ready = |at: usize| both.get(at).is_some_and(|it| !it.revents().is_empty());
        Ok(Some(Ready { proxy: ready(0), program: ready(1) }))
    }

    /// Hears a word of the proxy's; false when it is gone.
    fn hear(&mut self) -> io::Result<bool> {
        match hear(&self.proxy)? {
            None => return Ok(false),
            Some((ToRenderer::Connect { hello }, Some(program))) => {
                // An older connection is one that broke.
                self.connects.clear();
                self.connects.push_back((hello, program));
            }
            Some((ToRenderer::Connect { .. }, None)) => return Err(io::ErrorKind::InvalidData.into()),
            Some((ToRenderer::Release { room, half }, _)) => self.released.push_back((room, half)),
            Some((ToRenderer::Leave { to, away }, _)) => self.leaves = Some((to, away)),
        }
        Ok(true)
    }

    /// A connection of the program's: its first, or one that goes on with the stream.
    fn connect(&mut self, hello: &[u8], program: OwnedFd, caps: &Caps) -> Result<(), RunError> {
        let Some((hello, _)) = ClientHello::parse(hello)? else {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        };
        let fresh = hello.last == 0 && self.stream.is_none();
        let known = self.stream == Some(hello.stream);
        let verdict = if hello.spec != SPEC {
            Verdict::OtherSpec
        } else if fresh || known {
            Verdict::Welcome
        } else if self.stream.is_none() {
            Verdict::Unknown
        } else {
            Verdict::Refused
        };
        let next = self.incoming.taken() + 1;
        let caps = (verdict == Verdict::Welcome && hello.last == 0).then(|| caps.clone());
        let mut out = ServerHello { spec: SPEC, verdict, next, caps }.encode();
        self.program = Some(Reader::new(program)?);
        if verdict != Verdict::Welcome {
            tracing::info!("{}: {verdict:?}", hello.name);
            self.write(&out);
            self.program = None;
            return Ok(());
        }
        self.stream = Some(hello.stream);
        self.incoming.resume()?;
        self.outgoing.resume(hello.next, false, self.incoming.taken(), &mut out)?;
        self.write(&out);
        Ok(())
    }

    /// Reads what the program sent, and has it carried out.
    fn read(&mut self, session: &mut Session) -> Result<(), RunError> {
        let Some(program) = &self.program else { return Ok(()) };
        let Some(piece) = program.piece()? else {
            self.program = None;
            return Ok(());
        };
        session.counts.packed_bytes += piece.bytes.len() as u64;
        self.incoming.feed(&piece.bytes);
        session.arrived = piece.at;
        while let Some(frame) = self.incoming.next_frame()? {
            self.outgoing.acked(self.incoming.acked());
            session.execute(&frame.payload, self)?;
            self.done = frame.seq;
            self.tell(session.take_events())?;
        }
        self.pulse.rest();
        self.outgoing.acked(self.incoming.acked());
        let waited = session.waits.take();
        if !waited.is_empty() {
            say(&self.proxy, &FromRenderer::Waited(waited), None)?;
        }
        if session.counts.commands >= self.told.commands + 1000 {
            self.count(session.counts)?;
        }
        Ok(())
    }

    fn count(&mut self, counts: Counts) -> io::Result<()> {
        self.told = counts;
        say(&self.proxy, &FromRenderer::Counts(counts), None)
    }

    /// Writes to the program, which is waited for if it does not read. A connection that breaks is one that another follows.
    fn write(&mut self, mut bytes: &[u8]) {
        self.pulse.rest();
        while let Some(program) = self.program.as_ref().filter(|_| !bytes.is_empty()) {
            match rustix::net::send(program.program(), bytes, rustix::net::SendFlags::NOSIGNAL) {
                Ok(sent) => bytes = bytes.get(sent..).unwrap_or_default(),
                Err(rustix::io::Errno::INTR) => {}
                Err(fault) => {
                    tracing::info!("the program's connection: {fault}");
                    self.program = None;
                }
            }
        }
    }

    fn proxy_waits(&self) -> io::Result<bool> {
        let mut one = [PollFd::from_borrowed_fd(self.proxy.as_fd(), PollFlags::IN)];
        Ok(poll(&mut one, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
    }
}

impl Outlet for Line {
    fn room(
        &mut self,
        room: u32,
        window: u32,
        (width, height): (u16, u16),
        file: BorrowedFd<'_>,
    ) -> io::Result<()> {
        say(&self.proxy, &FromRenderer::Room { room, window, width, height }, Some(file))
    }

    fn picture(&mut self, room: u32, half: u8, counts: Counts) -> io::Result<()> {
        self.count(counts)?;
        say(&self.proxy, &FromRenderer::Picture { room, half }, None)
    }

    fn closed(&mut self, room: u32) -> io::Result<()> {
        say(&self.proxy, &FromRenderer::Closed { room }, None)
    }

    fn released(&mut self, wait: bool) -> io::Result<Option<(u32, u8)>> {
        self.pulse.rest();
        while self.released.is_empty() && (wait || self.proxy_waits()?) {
            if !self.hear()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.pulse.work();
        Ok(self.released.pop_front())
    }

    fn work(&mut self, works: bool) {
        if works { self.pulse.work() } else { self.pulse.rest() }
    }

    fn tell(&mut self, events: Vec<u8>) -> io::Result<()> {
        let mut out = Vec::new();
        let ack = self.done;
        if events.is_empty() {
            Outgoing::acknowledge(ack, &mut out);
        } else {
            self.outgoing.push(events, ack, &mut out).map_err(io::Error::other)?;
        }
        self.write(&out);
        self.pulse.work();
        Ok(())
    }
}
