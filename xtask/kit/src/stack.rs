//! A machine that is only a network: the kernel's own, in a namespace, behind a card whose frames are datagrams on unix sockets.
//! So what a machine's connections see is tried without a machine.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

/// How long an end may not be noticed.
const NOTICE: Duration = Duration::from_millis(100);
/// Longer than any frame.
const FRAME: usize = 2048;
/// What its card is called.
pub const CARD: &str = "eth0";

type Wish = Box<dyn FnOnce() + Send>;
/// The card's socket, and where its frames go.
type Plug = (Arc<UnixDatagram>, PathBuf);

/// Such a machine; it ends when dropped.
#[derive(Debug)]
pub struct Stack {
    plug: Arc<Mutex<Plug>>,
    wishes: mpsc::Sender<Wish>,
    end: Arc<AtomicBool>,
}

impl Stack {
    /// One whose card has this address and socket; `lines` are for `ip -batch`.
    ///
    /// # Panics
    /// Without root, or `/dev/net/tun`.
    #[must_use]
    pub fn behind(socket: UnixDatagram, to: PathBuf, mac: [u8; 6], lines: &str) -> Stack {
        let (wishes, wished) = mpsc::channel::<Wish>();
        let (made, device) = mpsc::channel();
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        let lines =
            format!("link set lo up\nlink set {CARD} address {mac} mtu 1500\nlink set {CARD} up\n{lines}");
        std::thread::spawn(move || {
            #[expect(
                deprecated,
                reason = "its danger is in tables of files that are no longer shared; this is a network"
            )]
            rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).expect("a namespace needs root");
            let device =
                DeviceBuilder::new().name(CARD).layer(Layer::L2).build_sync().expect("no tap can be made");
            device.set_nonblocking(true).unwrap();
            let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
            ip.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
            assert!(ip.wait().unwrap().success(), "ip does not understand: {lines}");
            made.send(Arc::new(device)).unwrap();
            wished.into_iter().for_each(|wish| wish());
        });
        let device: Arc<SyncDevice> = device.recv().expect("the thread in the namespace ended");
        let stack = Stack {
            plug: Arc::new(Mutex::new(plugged(socket, to))),
            wishes,
            end: Arc::new(AtomicBool::new(false)),
        };
        for pump in [sends as fn(&SyncDevice, &Mutex<Plug>), takes] {
            let (device, plug, end) = (Arc::clone(&device), Arc::clone(&stack.plug), Arc::clone(&stack.end));
            std::thread::spawn(move || {
                while !end.load(Ordering::SeqCst) {
                    pump(&device, &plug);
                }
            });
        }
        stack
    }

    /// Its card is plugged in elsewhere.
    pub fn plug(&self, socket: UnixDatagram, to: PathBuf) {
        *self.plug.lock().unwrap_or_else(PoisonError::into_inner) = plugged(socket, to);
    }

    /// Something is done in the machine: sockets and programs that begin there are there.
    ///
    /// # Panics
    /// As what is done.
    pub fn inside<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.wishes.send(Box::new(move || drop(done.send(what())))).unwrap();
        result.recv().expect("the thread in the namespace ended")
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
    }
}

fn plugged(socket: UnixDatagram, to: PathBuf) -> Plug {
    socket.set_read_timeout(Some(NOTICE)).unwrap();
    (Arc::new(socket), to)
}

fn now(plug: &Mutex<Plug>) -> Plug {
    plug.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Frames of the machine's, as long as some come.
fn sends(device: &SyncDevice, plug: &Mutex<Plug>) {
    let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    if poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&wait)) == Ok(0) {
        return;
    }
    let (socket, to) = now(plug);
    let mut buffer = [0; FRAME];
    for _ in 0..64 {
        let Ok(len) = device.recv(&mut buffer) else { return };
        // Nobody may be there, as while it moves.
        socket.send_to(&buffer[..len], &to).ok();
    }
}

/// Frames for it.
fn takes(device: &SyncDevice, plug: &Mutex<Plug>) {
    let (socket, _) = now(plug);
    let mut buffer = [0; FRAME];
    for _ in 0..64 {
        match socket.recv(&mut buffer) {
            Ok(len) => drop(device.send(&buffer[..len])),
            Err(error) => {
                let waits = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                assert!(waits, "the card's socket: {error}");
                return;
            }
        }
    }
}
