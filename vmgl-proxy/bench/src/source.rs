//! A VNC server with nothing between drawing and sending: each 1/60 s there is a new stamped frame, which is
//! stamped when it goes to a viewer that waits for one.
//!
//! As real servers it gives one update for all requests that have come, and, unless it is to be a plain one,
//! sends by itself to who asks for that. A viewer that does not read gets fewer frames, none of them late
//! by a queue of ours.

use std::io::{self, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use vmgl_rfb::{
    ClientMessage, Encoder, Encoding, Fence, Framebuffer, FromViewer, PixelFormat, Preferences, Rect,
    Security, ServerHandshake, ServerInit, Update, end_of_continuous_updates, fence, pseudo,
};

use crate::stamp::{Stamp, WIDTH, now_us};
use crate::stream::{Door, Stream};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// New frames a second; 0: there is one, and it stays.
    pub hertz: u32,
    /// Rows of a frame.
    pub height: u16,
    /// The screen's size.
    pub size: (u16, u16),
    /// It knows neither continuous updates nor fences.
    pub plain: bool,
}

/// What a viewer wants.
#[derive(Debug, Default)]
struct Wants {
    /// Everything, whether it changed or not.
    whole: bool,
    more: bool,
    pushes: bool,
    encoding: Option<Encoding>,
    format: Option<PixelFormat>,
    gone: bool,
}

#[derive(Debug)]
struct Shared {
    wants: Mutex<Wants>,
    changed: Condvar,
    out: Mutex<Stream>,
}

/// Serves each who comes, in threads of its own, until accepting fails.
///
/// # Errors
/// What accepting gives.
pub fn serve(door: &Door, settings: Settings) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let stream = door.accept()?;
        std::thread::spawn(move || {
            // A viewer that leaves is no fault.
            let _left = attend(stream, settings, began);
        });
    }
}

fn attend(mut stream: Stream, settings: Settings, began: Instant) -> io::Result<()> {
    let (mut input, mut out) = (BytesMut::new(), Vec::new());
    let mut hands = ServerHandshake::new(Security::None);
    loop {
        let done = hands.step(&mut input, &mut out).map_err(io::Error::other)?;
        stream.write_all(&std::mem::take(&mut out))?;
        if done.is_some() {
            break;
        }
        read(&mut stream, &mut input)?;
    }
    let (width, height) = settings.size;
    ServerInit { width, height, format: PixelFormat::XRGB, name: "source".to_owned() }.write(&mut out);
    stream.write_all(&out)?;
    let shared = Shared {
        wants: Mutex::new(Wants::default()),
        changed: Condvar::new(),
        out: Mutex::new(stream.second()?),
    };
    let shared = Arc::new(shared);
    let sender = Arc::clone(&shared);
    let sends = std::thread::spawn(move || sender.send(settings, began));
    let heard = shared.hear(&mut stream, input, settings);
    shared.change(|wants| wants.gone = true);
    stream.end();
    drop(sends.join());
    heard
}

fn read(stream: &mut Stream, input: &mut BytesMut) -> io::Result<()> {
    let mut piece = [0; 4096];
    let n = stream.read(&mut piece)?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    input.extend_from_slice(&piece[..n]);
    Ok(())
}

impl Shared {
    fn change(&self, what: impl FnOnce(&mut Wants)) {
        what(&mut self.wants.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_one();
    }

    fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(bytes)
    }

    fn hear(&self, stream: &mut Stream, mut input: BytesMut, settings: Settings) -> io::Result<()> {
        let mut reader = FromViewer::new();
        loop {
            while let Some(message) = reader.step(&mut input).map_err(io::Error::other)? {
                self.obey(message, settings)?;
            }
            read(stream, &mut input)?;
        }
    }

    fn obey(&self, message: ClientMessage, settings: Settings) -> io::Result<()> {
        let mut out = Vec::new();
        match message {
            ClientMessage::SetPixelFormat(format) => self.change(|wants| wants.format = Some(format)),
            ClientMessage::SetEncodings(numbers) => {
                let prefers = Preferences::new(&numbers);
                if !settings.plain && prefers.has(pseudo::CONTINUOUS_UPDATES) {
                    end_of_continuous_updates(&mut out);
                }
                self.change(|wants| wants.encoding = Some(prefers.best()));
            }
            ClientMessage::UpdateRequest { incremental, .. } => self.change(|wants| {
                wants.more = true;
                wants.whole |= !incremental;
            }),
            ClientMessage::ContinuousUpdates { enable, .. } => self.change(|wants| wants.pushes = enable),
            ClientMessage::Fence(asked) if asked.flags & Fence::REQUEST != 0 => {
                fence(&asked.answer(), &mut out);
            }
            _ => {}
        }
        if out.is_empty() { Ok(()) } else { self.say(&out) }
    }

    /// Waits until the viewer wants something: whether everything, the encoding, and a new format.
    fn wanted(&self, still: bool) -> Option<(bool, Encoding, Option<PixelFormat>)> {
        let mut wants = self.wants.lock().unwrap_or_else(PoisonError::into_inner);
        while !wants.gone && !wants.whole && (still || !wants.more && !wants.pushes) {
            wants = self.changed.wait(wants).unwrap_or_else(PoisonError::into_inner);
        }
        wants.more = false;
        let whole = std::mem::take(&mut wants.whole);
        (!wants.gone).then(|| (whole, wants.encoding.unwrap_or(Encoding::Raw), wants.format.take()))
    }

    fn send(&self, settings: Settings, began: Instant) -> io::Result<()> {
        let mut picture = Framebuffer::new(settings.size.0, settings.size.1).map_err(io::Error::other)?;
        let mut encoder = Encoder::new(PixelFormat::XRGB, Some(1));
        let mut random = fastrand::Rng::with_seed(1);
        let hertz = u64::from(settings.hertz.max(1));
        let (mut shown, mut out) = (0, Vec::new());
        while let Some((whole, encoding, format)) = self.wanted(settings.hertz == 0) {
            // The frame there is now, or the next one when that has been sent.
            let number = u64::try_from(began.elapsed().as_micros()).unwrap_or(0) * hertz / 1_000_000;
            let number = if whole { number.max(shown) } else { number.max(shown + 1) };
            let at = Duration::from_micros((number * 1_000_000).div_ceil(hertz));
            std::thread::sleep(at.saturating_sub(began.elapsed()));
            shown = number;
            if let Some(format) = format {
                encoder.set_format(format);
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let stamp = Stamp { number, made_us: now_us(), height: settings.height };
            let frame = stamp.frame(&mut random);
            for (y, row) in (0..settings.height).zip(frame.chunks(usize::from(WIDTH))) {
                picture.row_mut(0, y, WIDTH).copy_from_slice(row);
            }
            let rect = if whole { picture.bounds() } else { Rect::new(0, 0, WIDTH, settings.height) };
            out.clear();
            let mut update = Update::begin(&mut out);
            update.pixels(&mut encoder, encoding, &picture, rect);
            update.end();
            self.say(&out)?;
        }
        Ok(())
    }
}
