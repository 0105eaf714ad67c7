//! TigerVNC's Xvnc and QEMU, in every encoding, pixel by pixel against what they themselves say is on the screen.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod qemu;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::BytesMut;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Encoding, Framebuffer, FromServer, PixelFormat, ServerEvent, pseudo,
};

use qemu::Qemu;

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn run(display: &str, program: &str, args: &[&str]) -> Vec<u8> {
    let out = Command::new(program).args(args).env("DISPLAY", display).output().unwrap();
    out.stdout
}

/// The whole screen as the server sends it in one encoding.
fn screen(path: &Path, encoding: Encoding) -> Framebuffer {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    let read = |stream: &mut UnixStream, input: &mut BytesMut| {
        let mut piece = [0; 4099];
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "the server hung up");
        input.extend_from_slice(&piece[..n]);
    };
    let mut handshake = ClientHandshake::new(None, true);
    let init = loop {
        let init = handshake.step(&mut input, &mut out).unwrap();
        stream.write_all(&std::mem::take(&mut out)).unwrap();
        match init {
            Some(init) => break init,
            None => read(&mut stream, &mut input),
        }
    };
    let mut fb = Framebuffer::new(init.width, init.height).unwrap();
    let rect = fb.bounds();
    ClientMessage::SetPixelFormat(PixelFormat::XRGB).write(&mut out);
    ClientMessage::SetEncodings(vec![encoding.number(), pseudo::CURSOR, pseudo::LAST_RECT]).write(&mut out);
    ClientMessage::UpdateRequest { incremental: false, rect }.write(&mut out);
    stream.write_all(&out).unwrap();
    let mut server = FromServer::new(PixelFormat::XRGB);
    let mut drawn = 0;
    loop {
        match server.step(&mut input, &mut fb).unwrap() {
            Some(ServerEvent::Damage(damage)) => drawn += damage.area(),
            Some(ServerEvent::UpdateEnd) if drawn >= rect.area() => return fb,
            Some(_) => {}
            None => read(&mut stream, &mut input),
        }
    }
}

#[test]
fn xvnc_shows_in_every_encoding_what_x_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vnc");
    let mut server = Command::new("Xvnc")
        .args(["-displayfd", "1", "-SecurityTypes", "None", "-rfbport", "-1", "-geometry", "501x303"])
        .args(["-depth", "24", "-rfbunixpath"])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut number = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
    let _server = Killed(server);
    let display = format!(":{}", number.trim());
    let pictures: [&[&str]; 2] = [
        &["display", "-size", "501x303", "-window", "root", "tile:pattern:checkerboard"],
        &["display", "-size", "501x303", "-window", "root", "plasma:red-blue"],
    ];
    for picture in pictures {
        run(&display, picture[0], &picture[1..]);
        let truth = run(&display, "import", &["-window", "root", "-depth", "8", "rgb:-"]);
        let truth: Vec<u32> =
            truth.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b])).collect();
        // `display` says failure after drawing on the root window: what is there counts.
        assert!(truth.iter().any(|pixel| *pixel != truth[0]), "nothing was drawn: {picture:?}");
        for encoding in Encoding::ALL {
            let shown = screen(&path, encoding);
            let wrong = shown.pixels().iter().zip(&truth).filter(|(a, b)| a != b).count();
            assert_eq!((wrong, truth.len()), (0, 501 * 303), "{encoding:?} of {picture:?}");
        }
    }
}

#[test]
fn qemu_shows_in_every_encoding_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let vnc = dir.path().join("vnc");
    let mut qemu = Qemu::start(dir.path(), &vnc);
    let (width, truth) = qemu.stopped();
    for encoding in Encoding::ALL {
        let shown = screen(&vnc, encoding);
        let wrong = shown.pixels().iter().zip(&truth).filter(|(a, b)| a != b).count();
        let size = (usize::from(shown.width()), shown.pixels().len());
        assert_eq!((wrong, size), (0, (width, truth.len())), "{encoding:?}");
    }
}
