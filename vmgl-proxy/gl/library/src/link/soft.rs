//! Software OpenGL in the agent, for a program whose renderer is out of reach: a process beside it ([`helper`]) that draws as a
//! renderer does and puts the pictures into the program's windows, where the agent's VNC server sees them. A program may begin
//! with it, too ([`super::Link::open_soft`]).
//!
//! Meanwhile a thread looks out for the renderer: when it answers, the program goes there with what only the software has.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use vmgl_gl_stream::ClientHello;

use super::listen::{OPENING, Open, fresh_hello, shake, shake_within};
use super::socket::Socket;
use super::{Link, LinkError, Next, Shared, helper, log};

/// A process has to start and load drivers, perhaps beside many others. If it ends instead, its socket says so at once.
const STARTING: Duration = Duration::from_secs(60);
/// Between two looks for the renderer.
const LOOK: Duration = Duration::from_secs(2);

/// Starts it and says hello.
pub(super) fn open(hello: &ClientHello) -> Result<Open, LinkError> {
    let (ours, theirs) = UnixStream::pair()?;
    helper::start(&["soft"], Some(OwnedFd::from(theirs)))?;
    shake_within(STARTING, Socket::Unix(ours), hello)
}

/// Starts it for a program that has drawn elsewhere.
pub(super) fn start(shared: &Arc<Shared>, refused: bool) -> Result<Open, LinkError> {
    let open = open(&fresh_hello(shared)?)?;
    shared.soft.store(true, Ordering::Release);
    look_out(shared, refused)?;
    Ok(open)
}

/// Looks out for the renderer from now on, but for one that refused.
pub(super) fn look_out(shared: &Arc<Shared>, refused: bool) -> std::io::Result<()> {
    if !refused {
        let shared = Arc::clone(shared);
        thread::Builder::new().name("vmgl-look".to_owned()).spawn(move || look(&shared))?;
    }
    Ok(())
}

fn look(shared: &Arc<Shared>) {
    loop {
        thread::sleep(LOOK);
        if !shared.soft.load(Ordering::Acquire) {
            return;
        }
        let Ok(hello) = fresh_hello(shared) else { continue };
        let place = shared.place();
        let socket = Socket::connect(&place, OPENING).map_err(LinkError::from);
        if let Ok(open) = socket.and_then(|socket| shake(socket, &hello)) {
            log(format_args!("the renderer at {place} is back"));
            return crate::core::renew(&Link(Arc::clone(shared)), Next::There(open));
        }
    }
}
