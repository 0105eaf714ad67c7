//! The connection to the renderer, and the thread that listens on it.
//!
//! Callers put payloads ([`Link::send`]); the listener takes what the renderer says. Neither holds a lock that the other
//! needs while it waits for the socket: the listener only leaves numbers of acknowledgements behind, which the next sender
//! applies. When the connection breaks the listener makes another and sends again what is not acknowledged.
//!
//! A renderer that knows nothing of the stream (it was killed, or another desk has taken over) gets a new one, which
//! [`crate::core::restore`] fills from the shadow. From the moment that this is known until it is done the link is *lost*: what is
//! sent is dropped, because the shadow has it, and who waits for an answer is told so and asks again.
//!
//! Invariant: at most [`limits::RING`] bytes wait for acknowledgement; who would send more waits for the renderer.
//! Invariant: of a new stream nothing comes before what rebuilds it.

mod helper;
mod inbox;
mod listen;
mod pace;
mod socket;
mod soft;
mod trip;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;
use vmgl_gl_stream::{
    Caps, ClientHello, FrameError, HelloError, Incoming, Outgoing, Outs, SPEC, Verdict, limits,
};

use inbox::{Inbox, Phase};
use listen::{Open, shake};
pub(crate) use pace::Pace;
pub(crate) use socket::Place;
use socket::Socket;

/// The listener looks up this often.
const GLANCE: Duration = Duration::from_secs(1);
/// A renderer that does not come back in so long is given up, and the program drawn in software, if nobody says otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a renderer may be away: `VMGL_GL_PATIENCE`, in seconds.
fn patience() -> Duration {
    let said = std::env::var("VMGL_GL_PATIENCE").ok().and_then(|text| text.parse().ok());
    said.map_or(PATIENCE, Duration::from_secs)
}

/// Why there is no connection.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub(crate) enum LinkError {
    #[error("the renderer cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    #[error("the renderer does not answer")]
    Silent,
    #[error("the renderer's hello is wrong")]
    Hello(#[from] HelloError),
    #[error("the stream is broken")]
    Frame(#[from] FrameError),
    #[error("the renderer says no: {0:?}")]
    Verdict(Verdict),
    #[error("it answers as before")]
    Stays,
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

/// Who may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    /// The program.
    Open,
    /// Nobody: the stream is a new one, and nothing of what it needs is there.
    Shut,
    /// Who rebuilds it.
    Restoring,
}

struct Out {
    outgoing: Outgoing,
    socket: Option<Socket>,
    bytes: Vec<u8>,
    stream: [u8; 16],
    /// Counts streams.
    generation: u64,
    gate: Gate,
}

/// To whom a program goes from its renderer.
#[derive(Debug)]
pub(crate) enum Next {
    /// To another one at the same place.
    Another,
    /// To this place, where renderers are looked for from then on.
    To(Place),
    /// To whoever answers next where renderers are looked for: this one does not any more.
    Away,
    /// To one that has answered.
    There(Open),
}

struct Shared {
    /// Where renderers are looked for.
    place: Mutex<Place>,
    name: String,
    patience: Duration,
    /// Where something is on its way and nothing comes for so long, the connection is taken for broken.
    silence: Duration,
    out: Mutex<Out>,
    inbox: Mutex<Inbox>,
    changed: Condvar,
    taken: AtomicU64,
    acked: AtomicU64,
    sent_bytes: AtomicU64,
    /// The program is drawn in software, here.
    soft: AtomicBool,
    /// A connection to another renderer that was made while this one was there.
    offer: Mutex<Option<Open>>,
}

/// The stream of a program.
#[derive(Clone)]
pub(crate) struct Link(Arc<Shared>);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("place", &self.0.place()).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that nobody can guess.
fn random<const N: usize>() -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Of a program that has said nothing yet.
fn first_hello(name: &str) -> Result<ClientHello, LinkError> {
    let (stream, pid) = (random()?, std::process::id());
    Ok(ClientHello { spec: SPEC, stream, next: 1, last: 0, pid, name: name.to_owned() })
}

impl Shared {
    fn place(&self) -> Place {
        lock(&self.place).clone()
    }

    /// Has the listener leave its connection, for this one if there is one.
    fn leave_for(&self, open: Option<Open>) {
        *lock(&self.offer) = open;
        if let Some(socket) = &lock(&self.out).socket {
            socket.close();
        }
    }

    fn hello(&self, stream: [u8; 16], next: u64, last: u64) -> ClientHello {
        ClientHello { spec: SPEC, stream, next, last, pid: std::process::id(), name: self.name.clone() }
    }
}

impl Link {
    /// Connects, and starts to listen.
    ///
    /// # Errors
    /// [`LinkError`] if no renderer is there that speaks as we do.
    pub(crate) fn open(place: Place, name: String) -> Result<(Self, Caps), LinkError> {
        Self::open_with(place, name, listen::SILENCE)
    }

    fn open_with(place: Place, name: String, silence: Duration) -> Result<(Self, Caps), LinkError> {
        let hello = first_hello(&name)?;
        let open = shake(Socket::connect(&place, listen::OPENING)?, &hello)?;
        Self::begin(place, name, silence, open, false)
    }

    /// Begins with software in the agent, for a program whose calls nobody else takes, and goes to the renderer's place when that
    /// answers; one that `refused` is not looked out for.
    ///
    /// # Errors
    /// [`LinkError`] if that cannot be had either.
    pub(crate) fn open_soft(place: Place, name: String, refused: bool) -> Result<(Self, Caps), LinkError> {
        let open = soft::open(&first_hello(&name)?)?;
        let (link, caps) = Self::begin(place, name, listen::SILENCE, open, true)?;
        soft::look_out(&link.0, refused)?;
        Ok((link, caps))
    }

    fn begin(
        place: Place,
        name: String,
        silence: Duration,
        open: Open,
        is_soft: bool,
    ) -> Result<(Self, Caps), LinkError> {
        let packed = place.is_far() && !is_soft;
        let Open { socket, answer, rest, stream } = open;
        let mut incoming = Incoming::new()?;
        incoming.feed(&rest);
        let out = Out {
            outgoing: Outgoing::new(packed)?,
            socket: Some(socket.try_clone()?),
            bytes: Vec::new(),
            stream,
            generation: 0,
            gate: Gate::Open,
        };
        let shared = Arc::new(Shared {
            place: Mutex::new(place),
            name,
            patience: patience(),
            silence,
            out: Mutex::new(out),
            inbox: Mutex::default(),
            changed: Condvar::new(),
            taken: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            sent_bytes: AtomicU64::new(0),
            soft: AtomicBool::new(is_soft),
            offer: Mutex::new(None),
        });
        let listener = Arc::clone(&shared);
        thread::Builder::new()
            .name("vmgl".to_owned())
            .spawn(move || listen::listen(&listener, socket, incoming))?;
        Ok((Self(shared), answer.caps.unwrap_or_default()))
    }

    /// The first eight bytes of the stream's id: by them the desk knows which windows are the program's.
    pub(crate) fn id(&self) -> [u32; 2] {
        let [a, b, c, d, e, f, g, h, ..] = lock(&self.0.out).stream;
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
    }

    /// Has the desk told where windows of this X server are seen: without that it shows no picture. Whoever tells another desk is
    /// replaced, if that `replaces`. Whoever draws does not wait for another program to start.
    pub(crate) fn start_watcher(&self, display: String, replaces: bool) {
        let to = self.0.place().to_string();
        let start = move || {
            let mut words = vec!["watch", "--beside", "--display", &display, "--to", &to];
            words.extend((!replaces).then_some("--first"));
            if let Err(e) = helper::start(&words, None) {
                log(format_args!(
                    "no watcher of windows could be started ({e}): the desk shows nothing unless `vmgl-proxy gl watch --to {to}` runs"
                ));
            }
        };
        if let Err(e) = thread::Builder::new().name("vmgl-watcher".to_owned()).spawn(start) {
            log(format_args!("no watcher of windows could be started: {e}"));
        }
    }

    /// Whether bytes on the way count.
    pub(crate) fn is_far(&self) -> bool {
        self.0.place().is_far()
    }

    /// Bytes that have been sent.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.0.sent_bytes.load(Ordering::Relaxed)
    }

    /// Sends a payload. Waits only while too much is not acknowledged; drops it if the stream has to be rebuilt.
    pub(crate) fn send(&self, payload: Vec<u8>) {
        let shared = &*self.0;
        loop {
            let mut out = lock(&shared.out);
            if out.gate == Gate::Shut {
                return;
            }
            out.outgoing.acked(shared.acked.load(Ordering::Acquire));
            if out.outgoing.waiting_bytes() <= limits::RING {
                let taken = shared.taken.load(Ordering::Acquire);
                let Out { outgoing, socket, bytes, .. } = &mut *out;
                bytes.clear();
                let is_pushed = outgoing.push(payload, taken, bytes).is_ok();
                shared.sent_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                if is_pushed && let Some(open) = socket {
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
            if inbox.phase == Phase::Gone {
                return;
            }
            let _woken = shared.changed.wait_timeout(inbox, GLANCE);
        }
    }

    /// Waits for an answer; none if the renderer is lost, or gone for good.
    pub(crate) fn answer(&self, reply: u32) -> Option<Answer> {
        let mut inbox = lock(&self.0.inbox);
        loop {
            if let Some(answer) = inbox.answers.remove(&reply) {
                return Some(answer);
            }
            if !inbox.answers_come() {
                return None;
            }
            inbox = self.0.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An answer, if it has come.
    pub(crate) fn answered(&self, reply: u32) -> Option<Answer> {
        lock(&self.0.inbox).answers.remove(&reply)
    }

    /// Nobody will look for this answer.
    pub(crate) fn disregard(&self, reply: u32) {
        let mut inbox = lock(&self.0.inbox);
        if inbox.answers.remove(&reply).is_none() {
            inbox.disregarded.insert(reply);
        }
    }

    /// A picture of a drawable is about to be sent. It is counted before, since that it was shown may be heard before
    /// whoever drew it comes to [`Link::swap`].
    pub(crate) fn goes(&self, drawable: u32, serial: u32) {
        let mut inbox = lock(&self.0.inbox);
        // What nobody gets is told of by nobody.
        if inbox.phase == Phase::Live {
            inbox.paces.entry(drawable).or_default().sent(serial, Instant::now());
        }
    }

    /// A picture of a drawable was sent: waits until few enough are on their way.
    pub(crate) fn swap(&self, drawable: u32) {
        let mut inbox = lock(&self.0.inbox);
        if inbox.phase == Phase::Lost {
            // It was dropped. Who draws waits until something is drawn.
            return drop(self.live(inbox));
        }
        while inbox.phase == Phase::Live && inbox.paces.get(&drawable).is_some_and(|pace| !pace.may_go_on()) {
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

    /// Whether an answer can still come if it is asked for anew.
    pub(crate) fn is_lost(&self) -> bool {
        lock(&self.0.inbox).phase == Phase::Lost
    }

    /// Waits while the stream is being rebuilt.
    pub(crate) fn until_live(&self) {
        drop(self.live(lock(&self.0.inbox)));
    }

    fn live<'i>(&self, mut inbox: MutexGuard<'i, Inbox>) -> MutexGuard<'i, Inbox> {
        while inbox.phase == Phase::Lost {
            inbox = self.0.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox
    }

    /// Whether anybody is at that place.
    ///
    /// # Errors
    /// [`LinkError`] if not.
    pub(crate) fn answers_at(place: &Place) -> Result<(), LinkError> {
        Ok(Socket::connect(place, listen::OPENING).map(drop)?)
    }

    /// Goes to another renderer, and waits until nothing more goes to this one.
    ///
    /// # Errors
    /// [`LinkError`] if there is no other: all stays as it is.
    pub(crate) fn go(&self, next: Next) -> Result<(), LinkError> {
        let shared = &*self.0;
        let (generation, resumed) = {
            let inbox = lock(&shared.inbox);
            (inbox.generation, inbox.resumed)
        };
        let reach = |place: &Place| {
            let hello = listen::fresh_hello(shared)?;
            shake(Socket::connect(place, listen::OPENING)?, &hello)
        };
        let open = match next {
            Next::Away => None,
            // Another was found meanwhile, because the software died.
            Next::There(_) if !shared.soft.load(Ordering::Acquire) => return Ok(()),
            Next::There(open) => Some(open),
            Next::Another => Some(reach(&shared.place())?),
            Next::To(place) => {
                let open = reach(&place)?;
                *lock(&shared.place) = place;
                Some(open)
            }
        };
        let is_away = open.is_none();
        shared.leave_for(open);
        let goes = |inbox: &mut Inbox| {
            let stays = is_away && inbox.resumed != resumed;
            inbox.generation == generation && inbox.phase != Phase::Gone && !stays
        };
        let inbox = shared.changed.wait_while(lock(&shared.inbox), goes);
        let inbox = inbox.unwrap_or_else(PoisonError::into_inner);
        if inbox.generation == generation && inbox.phase != Phase::Gone {
            Err(LinkError::Stays)
        } else {
            Ok(())
        }
    }

    /// Whoever calls rebuilds the stream of this generation from now on; false if there is a newer one.
    pub(crate) fn restoring(&self, generation: u64) -> bool {
        let mut out = lock(&self.0.out);
        let mut inbox = lock(&self.0.inbox);
        if out.generation != generation || inbox.phase != Phase::Lost {
            return false;
        }
        out.gate = Gate::Restoring;
        inbox.restoring = true;
        true
    }

    /// Waits until all that was sent was carried out; whether it was.
    pub(crate) fn pong(&self, serial: u32) -> bool {
        let mut inbox = lock(&self.0.inbox);
        while inbox.answers_come() && inbox.pong != serial {
            inbox = self.0.changed.wait(inbox).unwrap_or_else(PoisonError::into_inner);
        }
        inbox.pong == serial
    }

    /// The stream of this generation is as the program has it; false if there is a newer one.
    pub(crate) fn restored(&self, generation: u64) -> bool {
        let mut out = lock(&self.0.out);
        let mut inbox = lock(&self.0.inbox);
        if out.generation != generation || inbox.phase != Phase::Lost {
            return false;
        }
        out.gate = Gate::Open;
        inbox.restoring = false;
        inbox.phase = Phase::Live;
        self.0.changed.notify_all();
        true
    }
}

/// A line for whoever started the program.
pub(crate) fn log(line: std::fmt::Arguments<'_>) {
    // In one piece: other processes may write there, too. Nobody may be listening.
    let _told = std::io::stderr().write_all(format!("vmgl: {line}\n").as_bytes());
}
