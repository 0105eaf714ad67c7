//! One viewer: its handshake, what it says to the hub, and updates in its own format at its own pace.
//!
//! An update is encoded only when the one before has been written: a slow viewer misses pictures between,
//! in no case their order, and costs one update's bytes. A viewer is always let in beside others (the
//! shared flag is read and not followed: one who opens a second window must not lose the first).

use std::time::Duration;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::timeout;
use vmgl_rfb::{
    ClientMessage, ColourMap, Encoder, Fence, FromViewer, HandshakeError, PixelFormat, Preferences,
    ProtocolError, Rect, Security, ServerHandshake, ServerInit, Update, bell, colour_map, cut_text,
    end_of_continuous_updates, fence, limits, pseudo,
};

use crate::address::Stream;
use crate::display::{Debt, Display, Shown};

/// How long the handshake may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of answers that wait for a viewer that does not read; it is not read from meanwhile.
const OUT: usize = 64 << 10;

/// What a viewer did, for the hub.
#[derive(Debug)]
pub enum Said {
    /// Something for the server.
    Message(u64, ClientMessage),
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
    /// It left.
    #[error("it left")]
    Left,
}

struct Viewer {
    id: u64,
    encoder: Encoder,
    format: PixelFormat,
    wants: Preferences,
    /// The rectangle it asked for and has not got.
    asked: Option<Rect>,
    pushed: Option<Rect>,
    offered: (bool, bool, bool),
    /// The size it knows.
    size: (u16, u16),
    out: Vec<u8>,
}

/// Serves a viewer until it ends.
///
/// # Errors
/// Always: why it ended.
pub async fn run(
    mut stream: Box<dyn Stream>,
    from: String,
    security: Security,
    view_only: bool,
    display: Display,
    said: mpsc::Sender<Said>,
) -> Result<(), ViewerError> {
    let mut input = BytesMut::new();
    let hands = shake(&mut stream, &mut input, security);
    timeout(PATIENCE, hands).await.map_err(|_| ViewerError::Late)??;
    let (id, wake, init) = {
        let mut shown = display.lock();
        let (id, wake) = shown.add(from);
        let (width, height) = (shown.picture.width(), shown.picture.height());
        let init = ServerInit { width, height, format: PixelFormat::XRGB, name: shown.name.clone() };
        (id, wake, init)
    };
    let mut viewer = Viewer {
        id,
        encoder: Encoder::new(PixelFormat::XRGB, None),
        format: PixelFormat::XRGB,
        wants: Preferences::new(&[]),
        asked: None,
        pushed: None,
        offered: (false, false, false),
        size: (init.width, init.height),
        out: Vec::new(),
    };
    init.write(&mut viewer.out);
    let ended = viewer.serve(stream, input, &wake, view_only, &display, &said).await;
    display.lock().viewers.remove(&id);
    let _closing = said.send(Said::Gone(id)).await;
    ended
}

impl Viewer {
    async fn serve(
        &mut self,
        stream: Box<dyn Stream>,
        mut input: BytesMut,
        wake: &tokio::sync::Notify,
        view_only: bool,
        display: &Display,
        said: &mpsc::Sender<Said>,
    ) -> Result<(), ViewerError> {
        let (mut read, mut write) = tokio::io::split(stream);
        let mut reader = FromViewer::new();
        loop {
            while self.out.len() < OUT
                && let Some(message) = reader.step(&mut input)?
            {
                if let Some(message) = self.hear(message, display)?
                    && !view_only
                    && said.send(Said::Message(self.id, message)).await.is_err()
                {
                    return Err(ViewerError::Left);
                }
            }
            if self.out.is_empty() {
                self.update(display);
            }
            let reading = self.out.len() < OUT && input.len() <= limits::UNIT;
            tokio::select! {
                got = read.read_buf(&mut input), if reading => if got? == 0 { return Err(ViewerError::Left) },
                wrote = write.write(&self.out), if !self.out.is_empty() => { self.out.drain(..wrote?); }
                () = wake.notified(), if self.out.is_empty() => {}
            }
        }
    }

    /// What a message changes here; what is for the server is given back.
    fn hear(
        &mut self,
        message: ClientMessage,
        display: &Display,
    ) -> Result<Option<ClientMessage>, ViewerError> {
        match message {
            ClientMessage::SetPixelFormat(format) => {
                format.check()?;
                self.format = format;
                self.encoder.set_format(format);
                if !format.true_colour {
                    colour_map(&ColourMap::default(), &mut self.out);
                }
                self.owe(display, |debt| debt.cursor = true);
            }
            ClientMessage::SetEncodings(numbers) => self.prefer(&numbers, display),
            ClientMessage::UpdateRequest { incremental, rect } => {
                let whole = Rect::new(0, 0, self.size.0, self.size.1);
                let rect = rect.intersect(&whole);
                if !incremental {
                    // Who knows about screens is told of them each time, by the protocol.
                    self.owe(display, |debt| {
                        debt.damage.add(rect);
                        debt.size = true;
                    });
                }
                self.asked = Some(if self.asked.is_some() { whole } else { rect });
            }
            ClientMessage::ContinuousUpdates { enable, rect } => {
                if !enable && self.pushed.is_some() {
                    end_of_continuous_updates(&mut self.out);
                }
                self.pushed = enable.then_some(rect);
            }
            ClientMessage::Fence(request) if request.flags & Fence::REQUEST != 0 => {
                fence(&request.answer(), &mut self.out);
            }
            ClientMessage::Fence(_) | ClientMessage::Audio => {}
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    fn prefer(&mut self, numbers: &[i32], display: &Display) {
        let before = std::mem::replace(&mut self.wants, Preferences::new(numbers));
        if before.compress != self.wants.compress && before.encodings.is_empty() {
            self.encoder = Encoder::new(self.format, self.wants.compress);
        }
        self.encoder.set_quality(self.wants.quality);
        let all = [pseudo::CONTINUOUS_UPDATES, pseudo::FENCE];
        let [pushes, fences] = all.map(|number| self.wants.has(number));
        if pushes && !std::mem::replace(&mut self.offered.0, pushes) {
            end_of_continuous_updates(&mut self.out);
        }
        if fences && !std::mem::replace(&mut self.offered.1, fences) {
            fence(&Fence { flags: Fence::REQUEST, payload: Vec::new() }, &mut self.out);
        }
        self.owe(display, |debt| {
            debt.cursor = true;
            debt.size = true;
        });
    }

    fn owe(&self, display: &Display, what: impl FnOnce(&mut Debt)) {
        if let Some(viewer) = display.lock().viewers.get_mut(&self.id) {
            what(&mut viewer.debt);
        }
    }

    /// Encodes what it is owed, as far as it asked for it.
    fn update(&mut self, display: &Display) {
        let mut shown = display.lock();
        let Shown { picture, cursor, cut, screens, viewers, .. } = &mut *shown;
        let Some(me) = viewers.get_mut(&self.id) else { return };
        let debt = &mut me.debt;
        if std::mem::take(&mut debt.bell) {
            bell(&mut self.out);
        }
        if std::mem::take(&mut debt.cut)
            && let Some(text) = cut
        {
            cut_text(text, &mut self.out);
        }
        let Some(rect) = self.pushed.or(self.asked) else { return };
        let begin = self.out.len();
        let mut update = Update::begin(&mut self.out);
        if std::mem::take(&mut debt.size) {
            let size = (picture.width(), picture.height());
            if self.wants.has(pseudo::EXTENDED_DESKTOP_SIZE) {
                let one = [vmgl_rfb::Screen { id: 0, rect: picture.bounds(), flags: 0 }];
                let screens = if screens.is_empty() { &one[..] } else { screens };
                update.extended_desktop_size(0, 0, size, screens);
                self.size = size;
            } else if self.wants.has(pseudo::DESKTOP_SIZE) && size != self.size {
                update.desktop_size(size.0, size.1);
                self.size = size;
            }
            if self.wants.has(pseudo::QEMU_EXTENDED_KEY) && !std::mem::replace(&mut self.offered.2, true) {
                update.mark(Rect::default(), pseudo::QEMU_EXTENDED_KEY);
            }
        }
        // A new size has to be the last of its update: pixels come with the next.
        if update.rects() == 0 {
            if self.wants.has(pseudo::CURSOR)
                && std::mem::take(&mut debt.cursor)
                && let Some(cursor) = cursor
            {
                update.cursor(&self.encoder, cursor);
            }
            let known = Rect::new(0, 0, self.size.0, self.size.1);
            for rect in debt.damage.take(rect.intersect(&known)) {
                update.pixels(&mut self.encoder, self.wants.best(), picture, rect);
            }
        }
        update.end();
        if self.out.len() > begin {
            self.asked = None;
            me.updates += 1;
            me.bytes += (self.out.len() - begin) as u64;
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
