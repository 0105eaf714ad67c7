//! A line between a program and the desk that breaks where a test wants it to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// See the module.
#[derive(Clone)]
pub(crate) struct Relay {
    shared: Arc<Shared>,
    pub(crate) address: String,
}

struct Shared {
    /// Where it leads.
    door: Mutex<PathBuf>,
    /// Bytes that still get through before the line breaks.
    left: AtomicUsize,
    /// Connections are ended at once.
    shut: AtomicBool,
    breaks: AtomicUsize,
    ends: Mutex<Vec<TcpStream>>,
    /// The beginning of what programs have said.
    said: Mutex<Vec<u8>>,
}

/// So much of it is kept.
const KEPT: usize = 1 << 20;

impl Relay {
    /// To a door that is a unix socket.
    pub(crate) fn to(door: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp:{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            door: Mutex::new(door.to_owned()),
            left: AtomicUsize::new(usize::MAX),
            shut: AtomicBool::new(false),
            breaks: AtomicUsize::new(0),
            ends: Mutex::default(),
            said: Mutex::default(),
        });
        let this = Self { shared: Arc::clone(&shared), address };
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let near = near.unwrap();
                if shared.shut.load(Ordering::SeqCst) {
                    continue;
                }
                let door = shared.door.lock().unwrap().clone();
                let Ok(far) = UnixStream::connect(door) else { continue };
                shared.ends.lock().unwrap().push(near.try_clone().unwrap());
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let (there, back) = (Arc::clone(&shared), Arc::clone(&shared));
                std::thread::spawn(move || carry(&there, near, &far, Some(&there.said)));
                std::thread::spawn(move || carry(&back, far_too, &near_too, None));
            }
        });
        this
    }

    /// The line breaks after so many bytes more, in the middle of whatever that is.
    pub(crate) fn break_after(&self, bytes: usize) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    /// Whether it will not break.
    pub(crate) fn is_whole(&self) -> bool {
        self.shared.left.load(Ordering::SeqCst) == usize::MAX
    }

    /// How often it broke.
    pub(crate) fn breaks(&self) -> usize {
        self.shared.breaks.load(Ordering::SeqCst)
    }

    /// The beginning of what programs have said.
    pub(crate) fn said(&self) -> Vec<u8> {
        self.shared.said.lock().unwrap().clone()
    }

    /// It leads to another door from now on; those that are through lose their line.
    pub(crate) fn leads_to(&self, door: &Path) {
        door.clone_into(&mut self.shared.door.lock().unwrap());
        self.shut(true);
        self.shut(false);
    }

    /// Nobody gets through from now on, or everybody again.
    pub(crate) fn shut(&self, shut: bool) {
        self.shared.shut.store(shut, Ordering::SeqCst);
        for end in self.shared.ends.lock().unwrap().drain(..).filter(|_| shut) {
            let _ended = end.shutdown(Shutdown::Both);
        }
    }
}

/// An end of a connection.
pub(crate) trait End: Read + Write {
    /// Ends it for whoever has it.
    fn end(&self);
}

impl End for TcpStream {
    fn end(&self) {
        let _ended = self.shutdown(Shutdown::Both);
    }
}

impl End for UnixStream {
    fn end(&self) {
        let _ended = self.shutdown(Shutdown::Both);
    }
}

fn carry<From: End, To: End>(shared: &Shared, mut from: From, to: &To, said: Option<&Mutex<Vec<u8>>>)
where
    for<'t> &'t To: Write,
{
    let (mut bytes, mut to_it) = (vec![0; 16 << 10], to);
    while let Ok(count) = from.read(&mut bytes)
        && count > 0
    {
        if let Some(mut said) = said.map(|said| said.lock().unwrap()) {
            let room = KEPT - said.len();
            said.extend_from_slice(&bytes[..count.min(room)]);
        }
        let take = |left: usize| Some(if left == usize::MAX { left } else { left.saturating_sub(count) });
        let left = shared.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap();
        if to_it.write_all(&bytes[..count.min(left)]).is_err() {
            break;
        }
        if left <= count {
            // One break a wish.
            shared.left.store(usize::MAX, Ordering::SeqCst);
            shared.breaks.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    from.end();
    to.end();
}
