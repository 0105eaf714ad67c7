//! A viewer, which looks and types: at the display proxy as users' ones, or at QEMU itself to know what is true.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Encoding, Framebuffer, FromServer, PixelFormat, ServerEvent, pseudo,
};

use crate::world::eventually;

const PIECE: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_millis(20);
const RETURN: u32 = 0xff0d;

pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

pub struct Viewer {
    stream: Box<dyn Stream>,
    input: BytesMut,
    server: FromServer,
    pub picture: Framebuffer,
}

impl Viewer {
    /// At an address as `snowbird view --print` gives it.
    pub fn at(address: &str) -> Viewer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Viewer::over(Box::new(stream))
    }

    /// At a socket of QEMU's.
    pub fn of_qemu(path: &Path) -> Viewer {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Viewer::over(Box::new(stream))
    }

    fn over(mut stream: Box<dyn Stream>) -> Viewer {
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        let mut hands = ClientHandshake::new(None, true);
        let init = loop {
            let init = hands.step(&mut input, &mut out).unwrap();
            stream.write_all(&std::mem::take(&mut out)).unwrap();
            match init {
                Some(init) => break init,
                None => drop(read(&mut *stream, &mut input)),
            }
        };
        let picture = Framebuffer::new(init.width, init.height).unwrap();
        let mut viewer = Viewer { stream, input, server: FromServer::new(PixelFormat::XRGB), picture };
        viewer.say(&ClientMessage::SetPixelFormat(PixelFormat::XRGB));
        let can = vec![Encoding::Zrle.number(), Encoding::Raw.number(), pseudo::DESKTOP_SIZE];
        viewer.say(&ClientMessage::SetEncodings(can));
        viewer.ask(false);
        viewer
    }

    fn say(&mut self, message: &ClientMessage) {
        let mut out = Vec::new();
        message.write(&mut out);
        self.stream.write_all(&out).expect("the viewer was disconnected");
    }

    fn ask(&mut self, incremental: bool) {
        let rect = self.picture.bounds();
        self.say(&ClientMessage::UpdateRequest { incremental, rect });
    }

    /// Takes what is there, or comes within a moment. The connection must not end.
    pub fn look(&mut self) {
        while read(&mut *self.stream, &mut self.input) == PIECE {}
        while let Some(event) = self.server.step(&mut self.input, &mut self.picture).unwrap() {
            match event {
                ServerEvent::UpdateEnd => self.ask(true),
                ServerEvent::DesktopSize { .. } => self.ask(false),
                _ => {}
            }
        }
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        for keysym in line.chars().map(u32::from).chain([RETURN]) {
            for down in [true, false] {
                self.say(&ClientMessage::Key { down, keysym });
            }
        }
    }

    /// Sees what QEMU shows to somebody who asks it directly.
    #[track_caller]
    pub fn sees(&mut self, qemu: &Path) {
        let mut truth = Viewer::of_qemu(qemu);
        eventually("the viewer sees what QEMU shows", || {
            self.look();
            truth.look();
            // A picture of one colour is none.
            let drawn = truth.picture.pixels().iter().any(|pixel| *pixel != truth.picture.pixels()[0]);
            drawn && self.picture.pixels() == truth.picture.pixels()
        });
    }
}

/// How many bytes came.
fn read(stream: &mut dyn Stream, input: &mut BytesMut) -> usize {
    let mut piece = [0; PIECE];
    match stream.read(&mut piece) {
        Ok(0) => panic!("the viewer was disconnected"),
        Ok(len) => {
            input.extend_from_slice(&piece[..len]);
            len
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => 0,
        Err(error) => panic!("the viewer was disconnected: {error}"),
    }
}
