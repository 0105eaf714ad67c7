//! The connection to the renderer, and the thread that listens on it.
//!
//! Callers put payloads ([`Link::send`]); the listener takes what the renderer says. Neither holds a lock that the other
//! needs while it waits for the socket: the listener only leaves numbers of acknowledgements behind, which the next sender
//! applies. When the connection breaks the listener makes another and sends again what is not acknowledged.
//!
//! Invariant: at most [`limits::RING`] bytes wait for acknowledgement; who would send more waits for the renderer.

mod pace;
mod socket;

use std::collections::{HashMap, HashSet};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use vmgl_gl_stream::{
    Caps, ClientHello, Commands, Event, Frame, FrameError, HelloError, Incoming, Outgoing, Outs, SPEC,
    ServerHello, Verdict, limits,
};

pub(crate) use pace::Pace;
pub(crate) use socket::Place;
use socket::Socket;

/// A renderer that does not come back in so long is given up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The first connection must be there in so long: the program is waiting to open its window.
const OPENING: Duration = Duration::from_secs(10);
/// Where something is on its way and nothing comes for so long, the connection is taken for broken.
const SILENCE: Duration = Duration::from_secs(30);
/// The listener looks up this often.
const GLANCE: Duration = Duration::from_secs(1);
/// After so many frames without one of ours the listener acknowledges by itself.
const UNACKNOWLEDGED: u64 = 32;

/// Why there is no connection.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum LinkError {
    #[error("the renderer cannot be reached")]
    Io(#[from] std::io::Error),
    #[error("the renderer does not answer")]
    Silent,
    #[error("the renderer's hello is wrong")]
    Hello(#[from] HelloError),
    #[error("the stream is broken")]
    Frame(#[from] FrameError),
    #[error("the renderer says no: {0:?}")]
    Verdict(Verdict),
}

/// The renderer's answer to a question.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// What the function returned.
    pub(crate) value: u64,
    /// What it wrote.
    pub(crate) data: Vec<u8>,
}

impl Answer {
    /// The arrays it wrote.
    pub(crate) fn outs(&self) -> Outs<'_> {
        Outs::new(&self.data)
    }

    /// The value's low half.
    pub(crate) fn low(&self) -> u32 {
        let [a, b, c, d, ..] = self.value.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}

#[derive(Debug, Default)]
struct Inbox {
    pieces: HashMap<u32, Vec<u8>>,
    answers: HashMap<u32, Answer>,
    disregarded: HashSet<u32>,
    paces: HashMap<u32, Pace>,
    errors: Vec<(u32, u32)>,
    round_trip: Option<Duration>,
    gone: bool,
}

struct Out {
    outgoing: Outgoing,
    socket: Option<Socket>,
    bytes: Vec<u8>,
}

struct Shared {
    place: Place,
    stream: [u8; 16],
    name: String,
    out: Mutex<Out>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    taken: AtomicU64,
    acked: AtomicU64,
    sent_bytes: AtomicU64,
}

/// The stream of a program.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("place", &self.0.place).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Connects, and starts to listen.
    ///
    /// # Errors
    /// [`LinkError`] if no renderer is there that speaks as we do.
    pub(crate) fn open(place: Place, name: String) -> Result<(Self, Caps), LinkError> {
        let mut stream = [0; 16];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut stream)?;
        let packed = place.is_far();
        let started = Instant::now();
        let hello =
            ClientHello { spec: SPEC, stream, next: 1, last: 0, pid: std::process::id(), name: name.clone() };
        let (socket, answer, rest) = shake(&place, &hello)?;
        let mut incoming = Incoming::new()?;
        incoming.feed(&rest);
        let out =
            Out { outgoing: Outgoing::new(packed)?, socket: Some(socket.try_clone()?), bytes: Vec::new() };
        let inbox = Inbox { round_trip: Some(started.elapsed()), ..Inbox::default() };
        let shared = Arc::new(Shared {
            place,
            stream,
            name,
            out: Mutex::new(out),
            inbox: Mutex::new(inbox),
            changed: Condvar::new(),
            taken: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
        });
        let listener = Arc::clone(&shared);
        thread::Builder::new().name("vmgl".to_owned()).spawn(move || listen(&listener, socket, incoming))?;
        Ok((Self(shared), answer.caps.unwrap_or_default()))
    }

    /// The first eight bytes of the stream's id: by them the desk knows which windows are the program's.
    pub(crate) fn id(&self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h, ..] = self.0.stream;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    /// Bytes that have been sent.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Sends a payload. Waits only while too much is not acknowledged.
    pub(crate) fn send(&self, payload: Vec<u8>) {
        let shared = &*self.0;
        loop {
            let mut out = lock(&shared.out);
            out.outgoing.acked(shared.acked.load(Ordering::Acquire));
            if out.outgoing.waiting_bytes() <= limits::RING {
                let taken = shared.taken.load(Ordering::Acquire);
                let Out { outgoing, socket, bytes } = &mut *out;
                bytes.clear();
                if outgoing.push(payload, taken, bytes).is_ok()
                    && let Some(open) = socket
                {
                    shared.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                    // What does not get through is sent again by the listener, on another connection.
                    if open.write_all(bytes).is_err() {
                        open.close();
                        *socket = None;
                    }
                }
                return;
            }
            drop(out);
            let inbox = lock(&shared.inbox);
            if inbox.gone {
                return;
            }
            let _woken = shared.changed.wait_timeout(inbox, GLANCE);
        }
    }

    /// Waits for an answer; none if the renderer is gone for good.
    pub(crate) fn answer(&self, reply: u32) -> Option<Answer> {
        let mut inbox = lock(&self.0.inbox);
        loop {
            if let Some(answer) = inbox.answers.remove(&reply) {
                return Some(answer);
            }
            if inbox.gone {
                return None;
            }
            inbox = self.0.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nobody will look for this answer.
    pub(crate) fn disregard(&self, reply: u32) {
        let mut inbox = lock(&self.0.inbox);
        if inbox.answers.remove(&reply).is_none() {
            inbox.disregarded.insert(reply);
        }
    }

    /// A picture of a drawable goes off: waits until few enough are on their way.
    pub(crate) fn swap(&self, drawable: u32, serial: u32) {
        let mut inbox = lock(&self.0.inbox);
        let round_trip = inbox.round_trip.unwrap_or_default();
        inbox.paces.entry(drawable).or_default().sent(serial, Instant::now());
        while !inbox.gone && inbox.paces.get(&drawable).is_some_and(|pace| !pace.may_go_on(round_trip)) {
            inbox = self.0.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A drawable ended.
    pub(crate) fn forget(&self, drawable: u32) {
        lock(&self.0.inbox).paces.remove(&drawable);
    }

    /// Errors of OpenGL's that came since: context and number.
    pub(crate) fn errors(&self) -> Vec<(u32, u32)> {
        std::mem::take(&mut lock(&self.0.inbox).errors)
    }
}

/// Says hello, and waits for the answer; what came behind it is handed on.
fn shake(place: &Place, hello: &ClientHello) -> Result<(Socket, ServerHello, Vec<u8>), LinkError> {
    let mut socket = Socket::connect(place, OPENING)?;
    socket.patience(Some(OPENING))?;
    socket.write_all(&hello.encode())?;
    let deadline = Instant::now() + OPENING;
    let (mut bytes, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let count = socket.read(&mut piece)?;
        if count == 0 || Instant::now() > deadline {
            return Err(LinkError::Silent);
        }
        bytes.extend_from_slice(&piece[..count]);
        if let Some((answer, length)) = ServerHello::parse(&bytes)? {
            if answer.verdict != Verdict::Welcome {
                return Err(LinkError::Verdict(answer.verdict));
            }
            socket.patience(Some(GLANCE))?;
            return Ok((socket, answer, bytes.split_off(length)));
        }
    }
}

fn listen(shared: &Shared, mut socket: Socket, mut incoming: Incoming) {
    loop {
        let why = hear(shared, &mut socket, &mut incoming);
        // A sender may be waiting for the socket while it holds the lock: it must get an error first.
        socket.close();
        lock(&shared.out).socket = None;
        match again(shared, &mut incoming) {
            Ok(another) => socket = another,
            Err(error) => {
                log(format_args!("the renderer is lost ({why}; {error}): nothing more is drawn"));
                lock(&shared.inbox).gone = true;
                shared.changed.notify_all();
                return;
            }
        }
    }
}

/// Makes another connection for the same stream.
fn again(shared: &Shared, incoming: &mut Incoming) -> Result<Socket, LinkError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last = lock(&shared.out).outgoing.last();
        let hello = ClientHello {
            spec: SPEC,
            stream: shared.stream,
            next: incoming.taken() + 1,
            last,
            pid: std::process::id(),
            name: shared.name.clone(),
        };
        match shake(&shared.place, &hello) {
            Ok((mut socket, answer, rest)) => {
                incoming.resume()?;
                incoming.feed(&rest);
                let mut out = lock(&shared.out);
                let mut bytes = Vec::new();
                out.outgoing.resume(answer.next, shared.place.is_far(), incoming.taken(), &mut bytes)?;
                socket.write_all(&bytes)?;
                out.socket = Some(socket.try_clone()?);
                return Ok(socket);
            }
            Err(error @ (LinkError::Verdict(_) | LinkError::Hello(_) | LinkError::Frame(_))) => {
                return Err(error);
            }
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// Takes what the renderer says until the connection ends, and tells why it did.
fn hear(shared: &Shared, socket: &mut Socket, incoming: &mut Incoming) -> LinkError {
    let mut piece = vec![0; 64 << 10];
    let mut heard = Instant::now();
    let mut acknowledged = incoming.taken();
    loop {
        if let Err(error) = take(shared, incoming) {
            return error;
        }
        if incoming.taken() >= acknowledged + UNACKNOWLEDGED
            && let Ok(mut out) = shared.out.try_lock()
        {
            acknowledged = incoming.taken();
            let mut bytes = Vec::new();
            Outgoing::acknowledge(acknowledged, &mut bytes);
            if let Some(open) = &mut out.socket
                && open.write_all(&bytes).is_err()
            {
                return LinkError::Silent;
            }
        }
        match socket.read(&mut piece) {
            Ok(0) => return LinkError::Silent,
            Ok(count) => {
                heard = Instant::now();
                incoming.feed(&piece[..count]);
            }
            Err(error) if socket::is_patience(&error) => {
                let waits = shared.out.try_lock().is_ok_and(|out| out.outgoing.last() > incoming.acked());
                if waits && heard.elapsed() > SILENCE {
                    return LinkError::Silent;
                }
            }
            Err(error) => return error.into(),
        }
    }
}

fn take(shared: &Shared, incoming: &mut Incoming) -> Result<(), LinkError> {
    while let Some(Frame { payload, .. }) = incoming.next_frame()? {
        let now = Instant::now();
        let mut inbox = lock(&shared.inbox);
        let mut commands = Commands::new(&payload);
        while let Some(event) = Event::next(&mut commands).map_err(FrameError::from)? {
            inbox.heard(&event, now);
        }
        drop(inbox);
        shared.taken.store(incoming.taken(), Ordering::Release);
        shared.changed.notify_all();
    }
    if shared.acked.swap(incoming.acked(), Ordering::AcqRel) != incoming.acked() {
        shared.changed.notify_all();
    }
    Ok(())
}

impl Inbox {
    fn heard(&mut self, event: &Event<'_>, now: Instant) {
        match *event {
            Event::Reply { reply, more, value, data } => {
                let gathered = self.pieces.entry(reply).or_default();
                if gathered.len() + data.len() <= limits::ANSWER + (1 << 20) {
                    gathered.extend_from_slice(data);
                }
                if more == 0 {
                    let data = self.pieces.remove(&reply).unwrap_or_default();
                    if !self.disregarded.remove(&reply) {
                        self.answers.insert(reply, Answer { value, data });
                    }
                }
            }
            Event::Swapped { drawable, serial, .. } => {
                if let Some(pace) = self.paces.get_mut(&drawable)
                    && let Some(latency) = pace.seen(serial, now)
                {
                    let least = self.round_trip.map_or(latency, |least| least.min(latency));
                    self.round_trip = Some(least);
                }
            }
            Event::GlError { context, error, .. } => {
                if self.errors.len() < 64 {
                    self.errors.push((context, error));
                }
            }
            Event::Pong { .. } => {}
            Event::Lost { what } => log(format_args!("the renderer lost what was drawn ({what})")),
        }
    }
}

/// A line for whoever started the program.
pub(crate) fn log(line: std::fmt::Arguments<'_>) {
    // Nobody may be listening.
    let _told = writeln!(std::io::stderr(), "vmgl: {line}");
}
