//! A long line between a program and the desk, at whose near end pictures are counted: those that went, and those that are
//! known to be shown.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use vmgl_gl_stream::{
    Assembler, ClientHello, Command, Commands, Control, Event, Frame, Incoming, ServerHello,
};

use crate::relay::End;

/// See the module.
pub(crate) struct Line {
    pub(crate) address: String,
    counted: Arc<Mutex<Counted>>,
}

#[derive(Default)]
struct Counted {
    sent: usize,
    shown: usize,
    most: usize,
}

impl Line {
    /// To a door that is a unix socket; so long is a round trip.
    pub(crate) fn to(door: &Path, trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("tcp:{}", listener.local_addr().unwrap());
        let counted = Arc::new(Mutex::new(Counted::default()));
        let (shared, door) = (Arc::clone(&counted), door.to_owned());
        thread::spawn(move || {
            let (near, _) = listener.accept().unwrap();
            near.set_nodelay(true).unwrap();
            let far = UnixStream::connect(&door).unwrap();
            let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            let (there, back) = (Arc::clone(&shared), shared);
            let mut commands = Ear::new(|bytes| Some(ClientHello::parse(bytes).unwrap()?.1));
            let mut assembler = Assembler::new();
            let goes = move |bytes: &[u8]| {
                commands.hear(bytes, |payload| {
                    let mut all = Commands::new(payload);
                    while let Some(command) = assembler.next(&mut all).unwrap() {
                        if matches!(command, Command::Control(Control::Swap { .. })) {
                            let mut counted = there.lock().unwrap();
                            counted.sent += 1;
                            counted.most = counted.most.max(counted.sent - counted.shown);
                        }
                    }
                });
            };
            let mut events = Ear::new(|bytes| Some(ServerHello::parse(bytes).unwrap()?.1));
            let comes = move |bytes: &[u8]| {
                events.hear(bytes, |payload| {
                    let mut all = Commands::new(payload);
                    while let Some(event) = Event::next(&mut all).unwrap() {
                        back.lock().unwrap().shown += usize::from(matches!(event, Event::Swapped { .. }));
                    }
                });
            };
            carry(near, far, trip / 2, goes, |_| {});
            carry(far_too, near_too, trip / 2, |_| {}, comes);
        });
        Self { address, counted }
    }

    /// Pictures that the program knows to be shown.
    pub(crate) fn shown(&self) -> usize {
        self.counted.lock().unwrap().shown
    }

    /// What was before does not count for [`Line::most`].
    pub(crate) fn count_anew(&self) {
        self.counted.lock().unwrap().most = 0;
    }

    /// Most pictures that were on their way.
    pub(crate) fn most(&self) -> usize {
        self.counted.lock().unwrap().most
    }
}

/// Hears the frames of one direction.
struct Ear<Hello> {
    /// How long a hello is, once it is whole.
    hello: Hello,
    begins: Option<Vec<u8>>,
    incoming: Incoming,
}

impl<Hello: Fn(&[u8]) -> Option<usize>> Ear<Hello> {
    fn new(hello: Hello) -> Self {
        Self { hello, begins: Some(Vec::new()), incoming: Incoming::new().unwrap() }
    }

    fn hear(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        match &mut self.begins {
            None => self.incoming.feed(bytes),
            Some(begins) => {
                begins.extend_from_slice(bytes);
                let Some(length) = (self.hello)(begins) else { return };
                self.incoming.feed(&begins[length..]);
                self.begins = None;
            }
        }
        while let Some(Frame { payload, .. }) = self.incoming.next_frame().unwrap() {
            each(&payload);
        }
    }
}

/// Bytes go on so long after they came; what is heard of them as they come, and as they leave.
fn carry(
    mut from: impl End + Send + 'static,
    mut to: impl End + Send + 'static,
    way: Duration,
    mut comes: impl FnMut(&[u8]) + Send + 'static,
    mut leaves: impl FnMut(&[u8]) + Send + 'static,
) {
    let (put, take) = channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut bytes)
            && count > 0
        {
            let bytes = bytes[..count].to_vec();
            comes(&bytes);
            if put.send((Instant::now() + way, bytes)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, bytes) in take {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            leaves(&bytes);
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        to.end();
    });
}
