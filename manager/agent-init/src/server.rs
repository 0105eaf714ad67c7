//! A VNC server inside the tests' agent (`vnc=PORT` of the kernel's command line): a small picture ([`agent_init::glass`]) that
//! changes with each key, and lines that are typed at it.
//!
//! A thread a viewer, which waits for its words a moment and looks whether the picture has changed: as plain as a server can be.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_init::glass::{HEIGHT, WIDTH, picture};
use bytes::BytesMut;
use vmgl_rfb::{
    ClientMessage, Encoder, Encoding, Framebuffer, FromViewer, PixelFormat, Security, ServerHandshake,
    ServerInit, Update,
};

const LOOK: Duration = Duration::from_millis(10);
const RETURN: u32 = 0xff0d;

/// The port of `vnc=PORT` on the kernel's command line.
pub(crate) fn wanted() -> Option<u16> {
    let line = std::fs::read_to_string("/proc/cmdline").ok()?;
    line.split_whitespace().find_map(|word| word.strip_prefix("vnc=")?.parse().ok())
}

/// What was typed, by whomever.
#[derive(Debug, Default)]
struct Typed {
    keys: usize,
    line: String,
}

/// Serves for ever; lines go to `typed`.
pub(crate) fn serve(port: u16, typed: &Sender<String>) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))?;
    let all = Arc::new(Mutex::new(Typed::default()));
    for stream in listener.incoming() {
        let (stream, all, typed) = (stream?, Arc::clone(&all), typed.clone());
        std::thread::spawn(move || viewer(stream, &all, &typed).ok());
    }
    Ok(())
}

fn viewer(mut stream: TcpStream, all: &Mutex<Typed>, typed: &Sender<String>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LOOK))?;
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    let mut hands = ServerHandshake::new(Security::None);
    while hands.step(&mut input, &mut out).map_err(io::Error::other)?.is_none() {
        stream.write_all(&std::mem::take(&mut out))?;
        more(&mut stream, &mut input)?;
    }
    let format = PixelFormat::XRGB;
    ServerInit { width: WIDTH, height: HEIGHT, format, name: "inside".to_owned() }.write(&mut out);
    let (mut from, mut encoder, mut encoding) =
        (FromViewer::new(), Encoder::new(format, None), Encoding::Raw);
    // What it was shown last, and whether it waits for something else.
    let (mut shown, mut waits) = (None, false);
    loop {
        while let Some(message) = from.step(&mut input).map_err(io::Error::other)? {
            match message {
                ClientMessage::SetPixelFormat(format) => encoder.set_format(format),
                ClientMessage::SetEncodings(numbers) => {
                    encoding = vmgl_rfb::Preferences::new(&numbers).best();
                }
                ClientMessage::UpdateRequest { incremental, .. } => {
                    waits = true;
                    shown = shown.filter(|_| incremental);
                }
                ClientMessage::Key { down: true, keysym } => key(keysym, all, typed),
                _ => {}
            }
        }
        let keys = all.lock().unwrap_or_else(PoisonError::into_inner).keys;
        if waits && shown != Some(keys) {
            let mut screen = Framebuffer::new(WIDTH, HEIGHT).map_err(io::Error::other)?;
            screen.pixels_mut().copy_from_slice(&picture(keys));
            let mut update = Update::begin(&mut out);
            update.pixels(&mut encoder, encoding, &screen, screen.bounds());
            update.end();
            (shown, waits) = (Some(keys), false);
        }
        stream.write_all(&std::mem::take(&mut out))?;
        more(&mut stream, &mut input)?;
    }
}

fn key(keysym: u32, all: &Mutex<Typed>, typed: &Sender<String>) {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.keys += 1;
    if keysym == RETURN {
        typed.send(std::mem::take(&mut all.line)).ok();
    } else {
        all.line.extend(char::from_u32(keysym));
    }
}

/// Waits for a moment for more.
fn more(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<()> {
    let mut piece = [0; 4096];
    match stream.read(&mut piece) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Ok(len) => {
            input.extend_from_slice(&piece[..len]);
            Ok(())
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Begins it where it is wanted: lines that are typed at it come out.
pub(crate) fn begin() -> std::sync::mpsc::Receiver<String> {
    let (tell, typed) = channel();
    if let Some(port) = wanted() {
        std::thread::spawn(move || serve(port, &tell).ok());
    }
    typed
}
