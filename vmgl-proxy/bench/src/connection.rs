//! A viewer's connection that blocks: the handshake, messages, and what comes within a while.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::BytesMut;
use vmgl_proxy::Address;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Framebuffer, FromServer, PixelFormat, Rect, ServerEvent, pseudo,
};

use crate::stream::Stream;

/// Longest wait in the handshake.
const PATIENCE: Duration = Duration::from_secs(20);

/// A viewer's connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    input: BytesMut,
    server: FromServer,
    /// What it shows.
    pub picture: Framebuffer,
}

impl Connection {
    /// Connects, says which encodings it knows beside sizes, and asks for the whole picture.
    ///
    /// # Errors
    /// When the server cannot be reached or does not keep to the protocol.
    pub fn open(to: &Address, known: &[i32]) -> Result<Self> {
        let mut stream = Stream::connect(to)?;
        let (mut input, mut out) = (BytesMut::new(), Vec::new());
        let mut hands = ClientHandshake::new(None, true);
        stream.patience(PATIENCE)?;
        let init = loop {
            let init = hands.step(&mut input, &mut out)?;
            stream.write_all(&std::mem::take(&mut out))?;
            match init {
                Some(init) => break init,
                None if piece(&mut stream, &mut input)? == 0 => bail!("{to} hung up in the handshake"),
                None => {}
            }
        };
        let picture = Framebuffer::new(init.width, init.height)?;
        let server = FromServer::new(PixelFormat::XRGB);
        let mut made = Self { stream, input, server, picture };
        made.say(&ClientMessage::SetPixelFormat(PixelFormat::XRGB))?;
        let sizes = [pseudo::DESKTOP_SIZE, pseudo::LAST_RECT];
        made.say(&ClientMessage::SetEncodings([known, &sizes].concat()))?;
        made.ask(false)?;
        Ok(made)
    }

    /// Says something.
    ///
    /// # Errors
    /// What writing gives.
    pub fn say(&mut self, message: &ClientMessage) -> io::Result<()> {
        let mut out = Vec::new();
        message.write(&mut out);
        self.stream.write_all(&out)
    }

    /// Asks for the picture, or for what changes of it.
    ///
    /// # Errors
    /// What writing gives.
    pub fn ask(&mut self, incremental: bool) -> io::Result<()> {
        let rect: Rect = self.picture.bounds();
        self.say(&ClientMessage::UpdateRequest { incremental, rect })
    }

    /// Reads what comes within that time, at least a microsecond: how many bytes; `None` when nothing came.
    ///
    /// # Errors
    /// When the server hung up, or what reading gives.
    pub fn wait(&mut self, most: Duration) -> io::Result<Option<usize>> {
        self.stream.patience(most.max(Duration::from_micros(1)))?;
        match piece(&mut self.stream, &mut self.input) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(n) => Ok(Some(n)),
            Err(late) if matches!(late.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(None),
            Err(why) => Err(why),
        }
    }

    /// The next event of what was read.
    ///
    /// # Errors
    /// When the server does not keep to the protocol.
    pub fn event(&mut self) -> Result<Option<ServerEvent>> {
        Ok(self.server.step(&mut self.input, &mut self.picture)?)
    }
}

fn piece(stream: &mut Stream, input: &mut BytesMut) -> io::Result<usize> {
    let mut piece = [0; 64 << 10];
    let n = stream.read(&mut piece)?;
    input.extend_from_slice(&piece[..n]);
    Ok(n)
}
