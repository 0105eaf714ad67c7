//! A server of one colour that notes what it is told.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use bytes::BytesMut;
use vmgl_rfb::{
    ClientMessage, Encoder, Encoding, Framebuffer, FromViewer, PixelFormat, Rect, Security, ServerHandshake,
    ServerInit, Update,
};

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
