//! The thread that listens: takes what the renderer says, and finds another connection when one breaks.
//!
//! Where it looks: the renderer's place again and again, for as long as [`super::patience`] allows; there the stream goes on
//! if it is known, and begins anew if it is not. Then software in the agent ([`super::soft`]), from where it goes back as soon
//! as the renderer's place answers.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use vmgl_gl_stream::{
    ClientHello, Commands, Event, Frame, FrameError, Incoming, Outgoing, ServerHello, Verdict,
};

use super::inbox::Phase;
use super::socket::{self, Socket};
use super::{GLANCE, Gate, Link, LinkError, Shared, lock, log, random, soft};

/// The first connection must be there in so long: the program is waiting to open its window.
pub(super) const OPENING: Duration = Duration::from_secs(10);
/// How long a line may be silent that should not be ([`Shared::silence`]).
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// After so many frames without one of ours the listener acknowledges by itself.
const UNACKNOWLEDGED: u64 = 32;
/// Between the end of software here and its next beginning.
const SOFT_PAUSE: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// A connection that was welcomed.
#[derive(Debug)]
pub(crate) struct Open {
    pub(super) socket: Socket,
    pub(super) answer: ServerHello,
    /// What came behind the hello.
    pub(super) rest: Vec<u8>,
    pub(super) stream: [u8; 16],
}

/// Says hello, and waits for the answer; what came behind it is handed on.
pub(super) fn shake(socket: Socket, hello: &ClientHello) -> Result<Open, LinkError> {
    shake_within(OPENING, socket, hello)
}

/// As [`shake`], with whom may take so long.
pub(super) fn shake_within(
    patience: Duration,
    mut socket: Socket,
    hello: &ClientHello,
) -> Result<Open, LinkError> {
    socket.patience(Some(patience))?;
    socket.write_all(&hello.encode())?;
    let deadline = Instant::now() + patience;
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
            return Ok(Open { socket, answer, rest: bytes.split_off(length), stream: hello.stream });
        }
    }
}

pub(super) fn listen(shared: &Arc<Shared>, mut socket: Socket, mut incoming: Incoming) {
    loop {
        let why = hear(shared, &mut socket, &mut incoming);
        // A sender may be waiting for the socket while it holds the lock: it must get an error first.
        socket.close();
        lock(&shared.out).socket = None;
        match again(shared, &mut incoming, &why) {
            Ok(another) => socket = another,
            // The system gives no more threads, or no memory.
            Err(error) => {
                log(format_args!("the renderer is lost ({why}; {error}): nothing more is drawn"));
                return swallow(shared);
            }
        }
    }
}

/// The program goes on, and nothing of it is drawn.
fn swallow(shared: &Shared) {
    lock(&shared.out).gate = Gate::Shut;
    lock(&shared.inbox).phase = Phase::Gone;
    shared.changed.notify_all();
}

/// Another stream of the same program: its windows bear the first half of the id.
pub(super) fn fresh_hello(shared: &Shared) -> Result<ClientHello, LinkError> {
    let mut stream = lock(&shared.out).stream;
    stream[8..].copy_from_slice(&random::<8>()?);
    Ok(shared.hello(stream, 1, 0))
}

/// Makes another connection: for the same stream where it is known, else for a new one.
fn again(shared: &Arc<Shared>, incoming: &mut Incoming, why: &LinkError) -> Result<Socket, LinkError> {
    let began = Instant::now();
    // What was drawn in software and cannot be any more is not tried for ever.
    let mut is_soft_due = shared.soft.swap(false, Ordering::AcqRel);
    let (mut is_gone, mut is_new) = (false, false);
    let is_offered = lock(&shared.offer).is_some();
    if is_soft_due && !is_offered {
        thread::sleep(SOFT_PAUSE);
    }
    loop {
        if let Some(open) = lock(&shared.offer).take() {
            return begin_anew(shared, open, incoming);
        }
        let error = match connect(shared, incoming, is_new) {
            Ok((open, true)) => return begin_anew(shared, open, incoming),
            Ok((open, false)) => match resume(shared, open, incoming) {
                Ok(socket) => return Ok(socket),
                // The two do not agree on where the stream is.
                Err(error) => {
                    is_new = true;
                    error
                }
            },
            Err(error) => error,
        };
        let refused = matches!(error, LinkError::Verdict(Verdict::Refused | Verdict::OtherSpec));
        is_soft_due |= refused || began.elapsed() >= shared.patience;
        if is_soft_due && !is_gone {
            let place = shared.place();
            match soft::start(shared, refused) {
                Ok(open) => {
                    log(format_args!(
                        "no renderer at {place} ({why}; {error}): OpenGL is drawn in software here"
                    ));
                    return begin_anew(shared, open, incoming);
                }
                Err(soft) => {
                    log(format_args!(
                        "no renderer at {place} ({why}; {error}), and none here ({soft}): nothing is drawn"
                    ));
                    // Commands are swallowed from now on: that stream cannot go on.
                    swallow(shared);
                    (is_gone, is_new) = (true, true);
                }
            }
        }
        thread::sleep(PAUSE);
    }
}

/// One try; whether the stream is a new one.
fn connect(shared: &Shared, incoming: &Incoming, is_new: bool) -> Result<(Open, bool), LinkError> {
    let try_with = |hello: &ClientHello| shake(Socket::connect(&shared.place(), OPENING)?, hello);
    if !is_new {
        let (stream, last) = {
            let out = lock(&shared.out);
            (out.stream, out.outgoing.last())
        };
        match try_with(&shared.hello(stream, incoming.taken() + 1, last)) {
            Err(LinkError::Verdict(Verdict::Unknown)) => {}
            done => return Ok((done?, false)),
        }
    }
    Ok((try_with(&fresh_hello(shared)?)?, true))
}

/// Goes on with the stream.
fn resume(shared: &Shared, open: Open, incoming: &mut Incoming) -> Result<Socket, LinkError> {
    let Open { mut socket, answer, rest, .. } = open;
    incoming.resume()?;
    incoming.feed(&rest);
    let mut out = lock(&shared.out);
    let mut bytes = Vec::new();
    out.outgoing.resume(answer.next, shared.place().is_far(), incoming.taken(), &mut bytes)?;
    // A connection that breaks again at once is found out when it is listened on.
    let mut inbox = lock(&shared.inbox);
    inbox.trip.again(Instant::now());
    inbox.resumed += 1;
    drop(inbox);
    shared.changed.notify_all();
    let sent = socket.write_all(&bytes);
    out.socket = if sent.is_ok() { Some(socket.try_clone()?) } else { None };
    Ok(socket)
}

/// Goes on with another stream, and has it rebuilt.
fn begin_anew(shared: &Arc<Shared>, open: Open, incoming: &mut Incoming) -> Result<Socket, LinkError> {
    let Open { socket, rest, stream, .. } = open;
    let packed = shared.place().is_far() && !shared.soft.load(Ordering::Acquire);
    *incoming = Incoming::new()?;
    incoming.feed(&rest);
    let generation = {
        let mut out = lock(&shared.out);
        out.outgoing = Outgoing::new(packed)?;
        out.socket = Some(socket.try_clone()?);
        out.stream = stream;
        out.gate = Gate::Shut;
        out.generation += 1;
        shared.taken.store(0, Ordering::Release);
        shared.acked.store(0, Ordering::Release);
        lock(&shared.inbox).begin_anew();
        shared.changed.notify_all();
        out.generation
    };
    let link = Link(Arc::clone(shared));
    // Whoever rebuilds waits for answers that this thread hears.
    thread::Builder::new()
        .name("vmgl-restore".to_owned())
        .spawn(move || crate::core::restore(&link, generation))?;
    Ok(socket)
}

/// Takes what the renderer says until the connection ends, and tells why it did.
fn hear(shared: &Arc<Shared>, socket: &mut Socket, incoming: &mut Incoming) -> LinkError {
    let mut piece = vec![0; 64 << 10];
    let mut heard = Instant::now();
    let mut acknowledged = incoming.taken();
    let mut held = 0;
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
                let waits = match shared.out.try_lock() {
                    Ok(out) => {
                        held = 0;
                        out.outgoing.last() > incoming.acked()
                    }
                    // Whoever sends has waited for the socket since.
                    Err(_) => {
                        held += 1;
                        GLANCE * held > shared.silence
                    }
                };
                if waits && heard.elapsed() > shared.silence {
                    return LinkError::Silent;
                }
            }
            Err(error) => return error.into(),
        }
    }
}

fn take(shared: &Arc<Shared>, incoming: &mut Incoming) -> Result<(), LinkError> {
    while let Some(Frame { payload, .. }) = incoming.next_frame()? {
        let now = Instant::now();
        let mut inbox = lock(&shared.inbox);
        let mut commands = Commands::new(&payload);
        while let Some(event) = Event::next(&mut commands).map_err(FrameError::from)? {
            inbox.heard(&event, now);
        }
        let leave = inbox.leave.take();
        drop(inbox);
        if let Some(next) = leave {
            let link = Link(Arc::clone(shared));
            // It asks, and this thread hears the answers.
            let renew = move || crate::core::renew(&link, next);
            thread::Builder::new().name("vmgl-renew".to_owned()).spawn(renew)?;
        }
        shared.taken.store(incoming.taken(), Ordering::Release);
        shared.changed.notify_all();
    }
    if shared.acked.swap(incoming.acked(), Ordering::AcqRel) != incoming.acked() {
        shared.changed.notify_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::mpsc::channel;

    use vmgl_gl_stream::{Caps, SPEC};

    use super::*;
    use crate::link::Place;

    /// A renderer that welcomes a program and hears no more of it.
    fn welcomed(listener: &UnixListener) -> UnixStream {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        while ClientHello::parse(&bytes).unwrap().is_none() {
            let count = socket.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..count]);
        }
        let answer =
            ServerHello { spec: SPEC, verdict: Verdict::Welcome, next: 1, caps: Some(Caps::default()) };
        socket.write_all(&answer.encode()).unwrap();
        socket
    }

    #[test]
    fn a_line_that_takes_nothing_more_is_left_though_whoever_draws_hangs_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gl.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (tell, told) = channel();
        thread::spawn(move || {
            let _unread = welcomed(&listener);
            let _another = listener.accept();
            tell.send(()).unwrap();
        });
        let (link, _) = Link::open_with(Place::Unix(path), "test".to_owned(), GLANCE).unwrap();
        // It never comes back from one of these while the line is there.
        thread::spawn(move || {
            loop {
                link.send(vec![0; 1 << 20]);
            }
        });
        assert!(told.recv_timeout(Duration::from_secs(60)).is_ok(), "nobody looked for another line");
    }
}
