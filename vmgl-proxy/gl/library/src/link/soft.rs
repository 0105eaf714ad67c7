//! Software OpenGL in the agent, for a program whose renderer is out of reach: a process beside it ([`helper`]) that draws as a
//! renderer does and puts the pictures into the program's windows, where the agent's VNC server sees them.
//!
//! Meanwhile a thread looks out for the renderer: when it answers, its connection is offered to the listener.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::listen::{OPENING, Open, fresh_hello, shake};
use super::socket::Socket;
use super::{LinkError, Shared, helper, log};

/// Between two looks for the renderer.
const LOOK: Duration = Duration::from_secs(2);

/// Starts it and says hello. A renderer that refused is not looked out for.
pub(super) fn start(shared: &Arc<Shared>, refused: bool) -> Result<Open, LinkError> {
    let (ours, theirs) = UnixStream::pair()?;
    helper::start(&["soft"], Some(OwnedFd::from(theirs)))?;
    let open = shake(Socket::Unix(ours), &fresh_hello(shared)?)?;
    shared.soft.store(true, Ordering::Release);
    if !refused {
        let shared = Arc::clone(shared);
        thread::Builder::new().name("vmgl-look".to_owned()).spawn(move || look(&shared))?;
    }
    Ok(open)
}

fn look(shared: &Shared) {
    loop {
        thread::sleep(LOOK);
        if !shared.soft.load(Ordering::Acquire) {
            return;
        }
        let Ok(hello) = fresh_hello(shared) else { continue };
        let socket = Socket::connect(&shared.place, OPENING).map_err(LinkError::from);
        if let Ok(open) = socket.and_then(|socket| shake(socket, &hello)) {
            log(format_args!("the renderer at {} is back", shared.place));
            return shared.offer(open);
        }
    }
}
