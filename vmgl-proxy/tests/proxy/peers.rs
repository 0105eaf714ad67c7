//! What the tests talk to: the program, Xvnc, a blocking viewer, and a server that notes what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use serde_json::Value;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Encoder, Encoding, Framebuffer, FromServer, FromViewer, PixelFormat,
    Rect, Security, ServerEvent, ServerHandshake, ServerInit, Update, pseudo,
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes read at once.
const PIECE: usize = 16 << 10;

/// Waits until it is so.
pub(crate) fn eventually<T>(what: &str, mut so: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = so() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process that ends with the test.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// The proxy, with its door and its `ctl`.
pub(crate) struct Proxy {
    _running: Running,
    pub(crate) door: PathBuf,
    ctl: PathBuf,
}

impl Proxy {
    pub(crate) fn start(dir: &Path, upstream: &Path, more: &[&str]) -> Self {
        let (door, ctl) = (dir.join("door"), dir.join("ctl"));
        let mut child = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"))
            .args(["serve", "--upstream", &unix(upstream), "--listen", &unix(&door)])
            .arg("--ctl")
            .arg(&ctl)
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("listening "), "{line}");
        let proxy = Self { _running: Running(child), door, ctl };
        eventually("the proxy answers at its ctl", || proxy.ctl(&["status"]).ok());
        proxy
    }

    /// What `vmgl-proxy ctl` says.
    pub(crate) fn ctl(&self, words: &[&str]) -> Result<Value, String> {
        let program = env!("CARGO_BIN_EXE_vmgl-proxy");
        let done = Command::new(program).arg("ctl").arg(&self.ctl).args(words).output().unwrap();
        if done.status.success() {
            return Ok(serde_json::from_slice(&done.stdout).unwrap());
        }
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }

    pub(crate) fn attached(&self) {
        eventually("a server is shown", || {
            (self.ctl(&["status"]).ok()?["phase"] == "attached").then_some(())
        });
    }
}

pub(crate) fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// A TigerVNC server.
pub(crate) struct Xvnc {
    _running: Running,
    pub(crate) display: String,
    pub(crate) path: PathBuf,
}

impl Xvnc {
    pub(crate) fn start(path: PathBuf, size: &str) -> Self {
        let mut child = Command::new("Xvnc")
            .args(["-displayfd", "1", "-SecurityTypes", "None", "-rfbport", "-1", "-geometry", size])
            .args(["-depth", "24", "-rfbunixpath"])
            .arg(&path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("Xvnc is installed by xtask setup");
        let mut number = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut number).unwrap();
        Self { _running: Running(child), display: format!(":{}", number.trim()), path }
    }

    pub(crate) fn run(&self, words: &[&str]) -> Vec<u8> {
        Command::new(words[0]).args(&words[1..]).env("DISPLAY", &self.display).output().unwrap().stdout
    }

    pub(crate) fn paint(&self, size: &str, picture: &str) {
        self.run(&["display", "-size", size, "-window", "root", picture]);
    }

    /// What X itself says is on the screen.
    pub(crate) fn truth(&self) -> Vec<u32> {
        let rgb = self.run(&["import", "-window", "root", "-depth", "8", "rgb:-"]);
        rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b])).collect()
    }
}

/// A viewer.
pub(crate) struct Viewer {
    stream: UnixStream,
    input: BytesMut,
    server: FromServer,
    pub(crate) picture: Framebuffer,
    pub(crate) updates: u64,
}

impl Viewer {
    pub(crate) fn connect(path: &Path, encoding: Encoding, password: Option<&[u8]>) -> Result<Self, String> {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        let mut hands = ClientHandshake::new(password.map(<[u8]>::to_vec), true);
        let init = loop {
            let init = hands.step(&mut input, &mut out).map_err(|fault| fault.to_string())?;
            stream.write_all(&std::mem::take(&mut out)).unwrap();
            match init {
                Some(init) => break init,
                None => drop(read(&mut stream, &mut input)),
            }
        };
        let picture = Framebuffer::new(init.width, init.height).unwrap();
        let server = FromServer::new(PixelFormat::XRGB);
        let mut viewer = Self { stream, input, server, picture, updates: 0 };
        viewer.say(&ClientMessage::SetPixelFormat(PixelFormat::XRGB));
        let sizes = [pseudo::DESKTOP_SIZE, pseudo::LAST_RECT];
        viewer.say(&ClientMessage::SetEncodings([&[encoding.number()], &sizes[..]].concat()));
        viewer.ask(false);
        Ok(viewer)
    }

    pub(crate) fn say(&mut self, message: &ClientMessage) {
        let mut out = Vec::new();
        message.write(&mut out);
        self.stream.write_all(&out).unwrap();
    }

    fn ask(&mut self, incremental: bool) {
        let rect = self.picture.bounds();
        self.say(&ClientMessage::UpdateRequest { incremental, rect });
    }

    /// Takes what is there, or comes within a moment; the connection must not end.
    pub(crate) fn look(&mut self) {
        while read(&mut self.stream, &mut self.input) == PIECE {}
        while let Some(event) = self.server.step(&mut self.input, &mut self.picture).unwrap() {
            if event == ServerEvent::UpdateEnd {
                self.updates += 1;
                self.ask(true);
            }
        }
    }

    pub(crate) fn sees(&mut self, what: &str, so: impl Fn(&Framebuffer) -> bool) {
        eventually(what, || {
            self.look();
            so(&self.picture).then_some(())
        });
    }
}

/// How many bytes came.
fn read(stream: &mut UnixStream, input: &mut BytesMut) -> usize {
    let mut piece = [0; PIECE];
    match stream.read(&mut piece) {
        Ok(n) => {
            assert!(n > 0, "the proxy hung up");
            input.extend_from_slice(&piece[..n]);
            n
        }
        Err(late) => {
            assert_eq!(late.kind(), std::io::ErrorKind::WouldBlock);
            0
        }
    }
}

/// A server of one colour that passes on what it is told but requests.
pub(crate) fn notes(path: &Path, colour: u32) -> mpsc::Receiver<ClientMessage> {
    counts(path, colour).0
}

/// As [`notes`], with the number of times the whole picture was asked for.
pub(crate) fn counts(path: &Path, colour: u32) -> (mpsc::Receiver<ClientMessage>, Arc<AtomicUsize>) {
    let listener = UnixListener::bind(path).unwrap();
    let (sender, receiver) = mpsc::channel();
    let wholes = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&wholes);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (sender, count) = (sender.clone(), Arc::clone(&count));
            std::thread::spawn(move || serve(stream.unwrap(), colour, &sender, &count));
        }
    });
    (receiver, wholes)
}

/// Until the client leaves.
fn serve(
    mut stream: UnixStream,
    colour: u32,
    sender: &mpsc::Sender<ClientMessage>,
    wholes: &AtomicUsize,
) -> Option<()> {
    let mut picture = Framebuffer::new(64, 48).unwrap();
    picture.fill(picture.bounds(), colour);
    let (mut input, mut out, mut piece) = (BytesMut::new(), Vec::new(), [0; 4096]);
    let mut hands = ServerHandshake::new(Security::None);
    while hands.step(&mut input, &mut out).ok()?.is_none() {
        stream.write_all(&std::mem::take(&mut out)).ok()?;
        let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        input.extend_from_slice(&piece[..n]);
    }
    let name = "notes".to_owned();
    ServerInit { width: 64, height: 48, format: PixelFormat::XRGB, name }.write(&mut out);
    let (mut reader, mut encoder) = (FromViewer::new(), Encoder::new(PixelFormat::XRGB, None));
    loop {
        while let Some(message) = reader.step(&mut input).ok()? {
            match message {
                ClientMessage::UpdateRequest { incremental: false, rect } => {
                    wholes.fetch_add(1, Ordering::SeqCst);
                    // As the protocol has it, with each whole picture and in an update of its own.
                    let mut update = Update::begin(&mut out);
                    update.extended_desktop_size(0, 0, (64, 48), &[]);
                    update.end();
                    let mut update = Update::begin(&mut out);
                    update.pixels(&mut encoder, Encoding::Raw, &picture, rect);
                    update.end();
                }
                ClientMessage::Key { .. } | ClientMessage::Pointer { .. } => sender.send(message).ok()?,
                _ => {}
            }
        }
        stream.write_all(&std::mem::take(&mut out)).ok()?;
        let n = stream.read(&mut piece).ok().filter(|n| *n > 0)?;
        input.extend_from_slice(&piece[..n]);
    }
}

/// Whether all of it has this colour.
pub(crate) fn is(colour: u32) -> impl Fn(&Framebuffer) -> bool {
    move |picture| {
        picture.bounds() == Rect::new(0, 0, 64, 48) && picture.pixels().iter().all(|p| *p == colour)
    }
}
