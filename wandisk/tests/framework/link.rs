//! A link in the test's hands: counted, cut after a given byte, stalled, delayed, mended.
//!
//! The near site's `cmd:` program joins a unix socket; behind it, the far site's `serve --stdio` is started for each
//! connection, and every byte passes the counters first.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Site;

/// Joins standard input and output to the unix socket named by its first argument. (Python, since the NBD shell needs it
/// anyway, and a program of our own would have to be built beside the tests.)
const BRIDGE: &str = "
import os, socket, sys, threading
link = socket.socket(socket.AF_UNIX)
link.connect(sys.argv[1])
def there():
    while data := os.read(0, 65536):
        link.sendall(data)
    link.shutdown(socket.SHUT_WR)
threading.Thread(target=there, daemon=True).start()
while data := link.recv(65536):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
os._exit(0)
";

/// Which way bytes go, seen from the site that dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    There,
    Back,
}

#[derive(Default)]
struct State {
    there: u64,
    back: u64,
    dials: u64,
    cut_at: Option<(Way, u64)>,
    /// The byte of `cut_at` was reached.
    reached: bool,
    flip_at: Option<(Way, u64)>,
    flips: u64,
    down: bool,
    stalled: bool,
    stall_at: Option<(Way, u64)>,
    /// What bytes take one way.
    delay: Duration,
    cuts: u64,
    open: Vec<UnixStream>,
    serving: Vec<u32>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

pub struct Link {
    socket: PathBuf,
    shared: Arc<Shared>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn cut(&self, state: &mut State) {
        state.down = true;
        state.cuts += 1;
        state.cut_at = None;
        state.reached = false;
        for stream in state.open.drain(..) {
            stream.shutdown(Shutdown::Both).ok();
        }
        for pid in state.serving.drain(..) {
            super::kill(pid, rustix::process::Signal::KILL);
        }
        self.changed.notify_all();
    }

    /// How many of `wanted` bytes pass; fewer than wanted: the link is cut after them.
    fn admit(&self, way: Way, wanted: usize) -> usize {
        let mut state = self.changed.wait_while(self.state(), |s| s.stalled && !s.down).unwrap();
        if state.down {
            return 0;
        }
        let mut passes = wanted as u64;
        let so_far = if way == Way::There { state.there } else { state.back };
        if let Some((_, at)) = state.cut_at.filter(|(cut_way, _)| *cut_way == way) {
            passes = passes.min(at.saturating_sub(so_far));
            state.reached = passes < wanted as u64;
        }
        match way {
            Way::There => state.there += passes,
            Way::Back => state.back += passes,
        }
        if state.stall_at.is_some_and(|(stalled_way, at)| stalled_way == way && so_far + passes >= at) {
            (state.stalled, state.stall_at) = (true, None);
        }
        usize::try_from(passes).unwrap()
    }

    /// Changes one bit of what passes now, if it was told to.
    fn flip(&self, way: Way, passed: &mut [u8]) {
        let mut state = self.state();
        let upto = if way == Way::There { state.there } else { state.back };
        let from = upto - passed.len() as u64;
        if let Some((_, at)) = state.flip_at.filter(|(w, at)| *w == way && (from..upto).contains(at)) {
            passed[usize::try_from(at - from).unwrap()] ^= 1;
            state.flip_at = None;
            state.flips += 1;
        }
    }

    /// Passes what is written on when it has been on its way for as long as it takes; and who ends when all of it has arrived.
    fn later<W: Write + Send + 'static>(&self, mut to: W) -> (impl Write + use<W>, JoinHandle<()>) {
        let delay = self.state().delay;
        let (near, mut far) = UnixStream::pair().unwrap();
        let (sent, arrives) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
        let arriving = std::thread::spawn(move || {
            for (at, bytes) in arrives {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).and_then(|()| to.flush()).is_err() {
                    return;
                }
            }
        });
        std::thread::spawn(move || {
            let mut buffer = vec![0u8; 64 << 10];
            while let Ok(n @ 1..) = far.read(&mut buffer) {
                if sent.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() {
                    return;
                }
            }
        });
        (near, arriving)
    }

    fn pump(&self, way: Way, mut from: impl Read, mut to: impl Write) {
        let mut buffer = vec![0u8; 64 << 10];
        while let Ok(n @ 1..) = from.read(&mut buffer) {
            let passes = self.admit(way, n);
            self.flip(way, &mut buffer[..passes]);
            if to.write_all(&buffer[..passes]).and_then(|()| to.flush()).is_err() {
                break;
            }
            if passes < n {
                // Cut here, as planned; or it was cut, and perhaps mended again, which is no reason for another cut.
                let mut state = self.state();
                if state.reached {
                    self.cut(&mut state);
                }
                break;
            }
        }
    }

    fn serve(self: &Arc<Self>, stream: UnixStream, mut child: Child) {
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (read, write) = (stream.try_clone().unwrap(), stream);
        let there = {
            let shared = Arc::clone(self);
            let (input, _) = self.later(input);
            std::thread::spawn(move || shared.pump(Way::There, read, input))
        };
        let end = write.try_clone().unwrap();
        let (back, arriving) = self.later(write);
        self.pump(Way::Back, output, back);
        // What the far site said last still arrives, as over any link that is not cut.
        arriving.join().unwrap();
        end.shutdown(Shutdown::Both).ok();
        there.join().unwrap();
        let pid = child.id();
        self.state().serving.retain(|p| *p != pid);
        child.kill().ok();
        child.wait().ok();
    }
}

impl Link {
    pub fn new(socket: &Path, far: &Site) -> Link {
        let listener = UnixListener::bind(socket).unwrap();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let (accepting, home) = (Arc::clone(&shared), far.home().to_owned());
        let name = far.name().to_owned();
        std::thread::spawn(move || {
            let far = Site::at(home, &name);
            for stream in listener.incoming().flatten() {
                let mut state = accepting.state();
                state.dials += 1;
                if state.down {
                    continue;
                }
                let child = far
                    .serve_command()
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn();
                let Ok(child) = child else { continue };
                state.open.push(stream.try_clone().unwrap());
                state.serving.push(child.id());
                drop(state);
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream, child));
            }
        });
        Link { socket: socket.to_owned(), shared }
    }

    /// For `wandisk site add`.
    pub fn address(&self) -> String {
        let bridge = self.socket.with_extension("py");
        std::fs::write(&bridge, BRIDGE).unwrap();
        format!("cmd:/usr/bin/python3 {} {} serve --stdio", bridge.display(), self.socket.display())
    }

    /// Every connection ends now, and none can be made.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        self.shared.cut(&mut state);
    }

    /// Cuts when `bytes` more have gone that way; the rest of what was sent is lost.
    pub fn cut_after(&self, way: Way, bytes: u64) {
        let mut state = self.shared.state();
        let so_far = if way == Way::There { state.there } else { state.back };
        state.cut_at = Some((way, so_far + bytes));
    }

    /// One bit is another one after `bytes` more have gone that way.
    pub fn flip_after(&self, way: Way, bytes: u64) {
        let mut state = self.shared.state();
        let so_far = if way == Way::There { state.there } else { state.back };
        state.flip_at = Some((way, so_far + bytes));
    }

    /// Bits that were changed.
    pub fn flips(&self) -> u64 {
        self.shared.state().flips
    }

    /// Bytes of connections that are made from now on take so long, each way.
    pub fn is_far(&self, one_way: Duration) {
        self.shared.state().delay = one_way;
    }

    /// Connections can be made again; a cut or stall that was planned and did not come is off.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.down = false;
        state.stalled = false;
        state.cut_at = None;
        state.stall_at = None;
        state.reached = false;
        self.shared.changed.notify_all();
    }

    /// Nothing passes any more, and nobody is told.
    pub fn stall(&self) {
        self.shared.state().stalled = true;
    }

    /// Stalls when `bytes` more have gone that way.
    pub fn stall_after(&self, way: Way, bytes: u64) {
        let mut state = self.shared.state();
        let so_far = if way == Way::There { state.there } else { state.back };
        state.stall_at = Some((way, so_far + bytes));
    }

    pub fn is_stalled(&self) -> bool {
        self.shared.state().stalled
    }

    pub fn is_cut(&self) -> bool {
        self.shared.state().down
    }

    /// Bytes that went there and back.
    pub fn bytes(&self) -> (u64, u64) {
        let state = self.shared.state();
        (state.there, state.back)
    }

    pub fn dials(&self) -> u64 {
        self.shared.state().dials
    }
}
