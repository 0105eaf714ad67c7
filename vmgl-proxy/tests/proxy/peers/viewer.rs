//! A viewer of any kind.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Cursor, Encoding, Framebuffer, FromServer, PixelFormat, ServerEvent,
    Version, pseudo,
};

use super::eventually;

/// Most bytes read at once.
const PIECE: usize = 16 << 10;

/// What a viewer is and can do.
#[derive(Debug, Clone)]
pub(crate) struct Kind {
    pub(crate) version: Version,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) format: PixelFormat,
    /// Encodings and pseudo-encodings.
    pub(crate) can: Vec<i32>,
}

impl Kind {
    /// One that can do what most can.
    pub(crate) fn of(encoding: Encoding) -> Self {
        let can = vec![encoding.number(), pseudo::DESKTOP_SIZE, pseudo::LAST_RECT, pseudo::CURSOR];
        Self { version: Version::V3_8, password: None, format: PixelFormat::XRGB, can }
    }

    /// One that can do nothing but this.
    pub(crate) fn only(can: &[i32]) -> Self {
        Self { can: can.to_vec(), ..Self::of(Encoding::Raw) }
    }

    pub(crate) fn can(mut self, number: i32) -> Self {
        self.can.push(number);
        self
    }

    pub(crate) fn in_format(self, format: PixelFormat) -> Self {
        Self { format, ..self }
    }
}

/// A viewer.
pub(crate) struct Viewer {
    stream: UnixStream,
    input: BytesMut,
    server: FromServer,
    pub(crate) picture: Framebuffer,
    pub(crate) cursor: Option<Cursor>,
    pub(crate) updates: u64,
    /// Everything it heard that is no picture and no cursor.
    pub(crate) heard: Vec<ServerEvent>,
}

impl Viewer {
    pub(crate) fn connect(path: &Path, encoding: Encoding, password: Option<&[u8]>) -> Result<Self, String> {
        Self::of(path, Kind { password: password.map(<[u8]>::to_vec), ..Kind::of(encoding) })
    }

    pub(crate) fn of(path: &Path, kind: Kind) -> Result<Self, String> {
        let mut stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        let mut hands = ClientHandshake::new(kind.password, true).at_most(kind.version);
        let init = loop {
            let init = hands.step(&mut input, &mut out).map_err(|fault| fault.to_string())?;
            stream.write_all(&std::mem::take(&mut out)).unwrap();
            match init {
                Some(init) => break init,
                None => drop(read(&mut stream, &mut input)),
            }
        };
        let picture = Framebuffer::new(init.width, init.height).unwrap();
        let server = FromServer::new(kind.format);
        let mut viewer = Self { stream, input, server, picture, cursor: None, updates: 0, heard: Vec::new() };
        viewer.say(&ClientMessage::SetPixelFormat(kind.format));
        viewer.say(&ClientMessage::SetEncodings(kind.can));
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
            match event {
                ServerEvent::UpdateEnd => {
                    self.updates += 1;
                    self.ask(true);
                }
                ServerEvent::Damage(_) => {}
                ServerEvent::Cursor(cursor) => self.cursor = Some(cursor),
                other => self.heard.push(other),
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
