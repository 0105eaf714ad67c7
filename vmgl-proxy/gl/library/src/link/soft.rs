//! Software OpenGL in the agent, for a program whose renderer is out of reach: a process beside it ([`PROGRAM`]) that draws as a
//! renderer does and puts the pictures into the program's windows, where the agent's VNC server sees them.
//!
//! Meanwhile a thread looks out for the renderer: when it answers, its connection is offered to the listener.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use super::listen::{OPENING, Open, fresh_hello, shake};
use super::socket::Socket;
use super::{LinkError, Shared, log};

/// What draws, if `VMGL_PROXY` names nothing else.
const PROGRAM: &str = "vmgl-proxy";
/// Between two looks for the renderer.
const LOOK: Duration = Duration::from_secs(2);

/// Starts it and says hello. A renderer that refused is not looked out for.
pub(super) fn start(shared: &Arc<Shared>, refused: bool) -> Result<Open, LinkError> {
    let (ours, theirs) = UnixStream::pair()?;
    let program = std::env::var_os("VMGL_PROXY").unwrap_or_else(|| PROGRAM.into());
    let mut command = Command::new(program);
    command.args(["gl", "soft"]).stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    // These lead to this library, or into the program.
    for name in ["LD_PRELOAD", "__EGL_VENDOR_LIBRARY_FILENAMES", "__GLX_VENDOR_LIBRARY_NAME"] {
        command.env_remove(name);
    }
    let mut child = command.spawn()?;
    // It goes on as a process of nobody's, so that the program has no child that it does not know. A program that wants no
    // children may have taken this one already.
    let _ended = child.wait();
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
