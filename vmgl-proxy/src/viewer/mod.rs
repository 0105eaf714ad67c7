//! One viewer: its handshake, what it says to the hub, and updates in its own format at its own pace.
//!
//! An update is encoded only when the one before has been written: a slow viewer misses pictures between,
//! in no case their order, and costs one update's bytes and the pixels they are made of. A viewer is always
//! let in beside others (the shared flag is read and not followed: one who opens a second window must not
//! lose the first).
//!
//! `hear` is what it says, `update` what it is sent, `lossy` what of its picture is not exact.

mod hear;
mod lossy;
mod update;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use vmgl_rfb::{
    ClientMessage, Encoder, FromViewer, HandshakeError, PixelFormat, Preferences, ProtocolError, Rect,
    Security, ServerHandshake, ServerInit, limits,
};

use crate::address::Stream;
use crate::clipboard::Clipboard;
use crate::display::Display;
use crate::seats::Seat;
use lossy::Lossy;

/// How long the handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of answers that wait for a viewer that does not read; it is not read from meanwhile. (While a
/// picture is on its way to it, it is.)
const OUT: usize = 64 << 10;
/// Most bytes of room that a viewer keeps when nothing is on its way to it.
const KEPT: usize = 1 << 20;

/// What a viewer did, for the hub.
#[derive(Debug)]
pub enum Said {
    /// Something for the server.
    Message(u64, ClientMessage),
    /// It gave a text for the clipboard: [`crate::display::Shown::given`].
    Clipboard,
    /// It went away.
    Gone(u64),
}

/// Why a viewer's connection ended.
#[derive(Debug, Error)]
pub enum ViewerError {
    /// The connection.
    #[error("the connection: {0}")]
    Io(#[from] std::io::Error),
    /// The handshake.
    #[error("the handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// What the viewer sent.
    #[error("the viewer does not keep to the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// It said nothing.
    #[error("the handshake took more than {PATIENCE:?}")]
    Late,
    /// Another one needed its seat.
    #[error("all seats were taken, and its handshake was not done: its seat is another's")]
    GaveWay,
    /// It left.
    #[error("it left")]
    Left,
}

/// What was offered to it already.
#[derive(Debug, Default)]
struct Offered {
    pushes: bool,
    fences: bool,
    extended_keys: bool,
    cursor: bool,
}

struct Viewer {
    id: u64,
    view_only: bool,
    encoder: Encoder,
    format: PixelFormat,
    wants: Preferences,
    /// The rectangle it asked for and has not got.
    asked: Option<Rect>,
    pushed: Option<Rect>,
    offered: Offered,
    /// The size it knows.
    size: (u16, u16),
    /// The size of what is shown, where it cannot be told: it sees that in a frame of the size it knows.
    under: (u16, u16),
    /// Where the pointer is in its picture, if it does not draw it itself.
    drawn: Option<Rect>,
    lossy: Lossy,
    clipboard: Clipboard,
    /// What is being written, of which `sent` bytes are.
    out: Vec<u8>,
    sent: usize,
    /// Bytes of answers in `out`.
    answers: usize,
}

/// Serves a viewer until it ends.
///
/// # Errors
/// Always: why it ended.
pub async fn run(
    stream: Box<dyn Stream>,
    from: String,
    seat: Seat,
    security: Security,
    view_only: bool,
    display: Display,
    said: mpsc::Sender<Said>,
) -> Result<(), ViewerError> {
    let ended = Viewer::run(stream, from.clone(), seat, security, view_only, &display, &said).await;
    if let Err(why) = &ended
        && !matches!(why, ViewerError::Left)
    {
        display.lock().viewer_end = Some(format!("{from}: {why}"));
    }
    ended
}

impl Viewer {
    async fn run(
        mut stream: Box<dyn Stream>,
        from: String,
        mut seat: Seat,
        security: Security,
        view_only: bool,
        display: &Display,
        said: &mpsc::Sender<Said>,
    ) -> Result<(), ViewerError> {
        let mut input = BytesMut::new();
        let hands = timeout(PATIENCE, shake(&mut stream, &mut input, security));
        let hands = seat.until_known(hands).await.ok_or(ViewerError::GaveWay)?;
        hands.map_err(|_| ViewerError::Late)??;
        let (id, wake, init) = {
            let mut shown = display.lock();
            let (id, wake) = shown.add(from);
            let (width, height) = (shown.picture.width(), shown.picture.height());
            let init = ServerInit { width, height, format: PixelFormat::XRGB, name: shown.name.clone() };
            (id, wake, init)
        };
        let mut viewer = Self {
            id,
            view_only,
            encoder: Encoder::new(PixelFormat::XRGB, None),
            format: PixelFormat::XRGB,
            wants: Preferences::new(&[]),
            asked: None,
            pushed: None,
            offered: Offered::default(),
            size: (init.width, init.height),
            under: (init.width, init.height),
            drawn: None,
            lossy: Lossy::default(),
            clipboard: Clipboard::default(),
            out: Vec::new(),
            sent: 0,
            answers: 0,
        };
        init.write(&mut viewer.out);
        let ended = viewer.serve(stream, input, &wake, display, said).await;
        display.lock().viewers.remove(&id);
        let _closing = said.send(Said::Gone(id)).await;
        ended
    }

    async fn serve(
        &mut self,
        stream: Box<dyn Stream>,
        mut input: BytesMut,
        wake: &tokio::sync::Notify,
        display: &Display,
        said: &mpsc::Sender<Said>,
    ) -> Result<(), ViewerError> {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut reader = FromViewer::new();
        loop {
            while self.answers < OUT
                && let Some(message) = reader.step(&mut input)?
            {
                let before = self.out.len();
                let word = self.hear(message, display)?;
                self.answers += self.out.len() - before;
                if let Some(word) = word
                    && said.send(word).await.is_err()
                {
                    return Err(ViewerError::Left);
                }
            }
            if self.out.is_empty() {
                self.update(display, Instant::now());
            }
            let idle = self.out.is_empty();
            let exact = self.lossy.next().filter(|_| idle && self.pushed.or(self.asked).is_some());
            let reading = self.answers < OUT && input.len() <= limits::UNIT;
            tokio::select! {
                got = read.read_buf(&mut input), if reading => if got? == 0 { return Err(ViewerError::Left) },
                wrote = write.write(&self.out[self.sent..]), if !idle => self.wrote(wrote?),
                () = wake.notified(), if idle => {}
                () = sleep_until(exact.unwrap_or_else(Instant::now).into()), if exact.is_some() => {}
            }
        }
    }

    fn wrote(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent >= self.out.len() {
            self.sent = 0;
            self.answers = 0;
            self.out.clear();
            // What one large picture needed is not kept for ever.
            self.out.shrink_to(KEPT);
        }
    }
}

async fn shake(
    stream: &mut Box<dyn Stream>,
    input: &mut BytesMut,
    security: Security,
) -> Result<(), ViewerError> {
    let mut hands = ServerHandshake::new(security);
    loop {
        let mut out = Vec::new();
        let step = hands.step(input, &mut out);
        stream.write_all(&out).await?;
        if step?.is_some() {
            return Ok(());
        }
        if stream.read_buf(input).await? == 0 {
            return Err(ViewerError::Left);
        }
    }
}
