//! A link to a VNC server: connects, keeps a picture of its own, asks ahead, and publishes when it is shown.
//!
//! Where the server offers continuous updates it sends by itself and its own congestion control works on
//! our answers to its fences; else [`Pace`] says when to ask. Once a second our own fence measures the
//! round trip, where the server knows fences.
//!
//! Invariant: only the link that [`crate::display::Shown::live`] names publishes.
//! Invariant: what is to be written is bounded: no word is taken from the hub while the server does not read.

mod shake;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use vmgl_rfb::{
    ClientMessage, Clipboard, Cursor, CutText, Encoding, Fence, Framebuffer, FromServer, PixelFormat, Rect,
    Screen, ServerEvent, limits, pseudo,
};

use crate::address::Address;
use crate::clipboard;
use crate::display::Shown;
use crate::input::Word;
use crate::pace::Pace;
use crate::region::Region;
use crate::rehome::LinkId;
pub use words::{LinkError, Means, Order, Told};

/// How long connecting and the handshake may take, each.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes that wait to be written before the hub has to wait.
const OUT: usize = 64 << 10;
/// After that long what there is of a refresh is shown: a server that never ends one must not blind viewers.
const REFRESH: Duration = Duration::from_secs(2);
/// Time between measurements of the round trip.
const PROBE: Duration = Duration::from_secs(1);
/// Most requests that are remembered for the answers owed to them.
const OWED: usize = 16;
const PROBE_MARK: &[u8] = b"vmgl-rtt";

/// Runs a link until it ends; what it has to say goes to `told`.
pub async fn run(
    id: LinkId,
    address: Address,
    means: Means,
    orders: mpsc::Receiver<Order>,
    told: mpsc::Sender<(LinkId, Told)>,
) {
    let Err(why) = Link::run(id, &address, means, orders, &told).await;
    tracing::info!("link {id} to {address}: {why}");
    let _closing = told.send((id, Told::Gone(why))).await;
}

struct Link {
    id: LinkId,
    address: Address,
    means: Means,
    told: mpsc::Sender<(LinkId, Told)>,
    began: Instant,
    name: String,
    picture: Framebuffer,
    /// The size that the server said last.
    size: (u16, u16),
    /// How its desktop is divided, as far as it said.
    screens: Vec<Screen>,
    /// The cursor, if it leaves it to us.
    cursor: Option<Cursor>,
    clipboard: clipboard::Clipboard,
    /// The last text of its clipboard.
    cut: Option<Arc<str>>,
    /// Who wanted another size and is owed the answer, the first first.
    resizers: VecDeque<u64>,
    changed: Region,
    /// Pixels that came of the whole picture that was asked for, and since when; `None` when it is there.
    refresh: Option<(u64, Instant)>,
    show: bool,
    loaded: bool,
    pace: Pace,
    /// When the update that comes began to come.
    first: Option<Duration>,
    /// When requests were sent to which the server owes its size, if it is one that says it.
    owed: VecDeque<Instant>,
    pushes: bool,
    fences: bool,
    /// The measurement that is on its way, and the last one.
    probe: Option<Instant>,
    probed: Option<Instant>,
    extended_keys: bool,
    resizes: bool,
    out: Vec<u8>,
}

/// Who waits for an answer has none to wait for any more.
impl Drop for Link {
    fn drop(&mut self) {
        for viewer in self.resizers.drain(..) {
            self.means.display.lock().answer_resize(viewer, Shown::PROHIBITED);
        }
    }
}

enum Never {}

impl Link {
    async fn run(
        id: LinkId,
        address: &Address,
        means: Means,
        mut orders: mpsc::Receiver<Order>,
        told: &mpsc::Sender<(LinkId, Told)>,
    ) -> Result<Never, LinkError> {
        let stream = timeout(PATIENCE, address.connect()).await.map_err(|_| LinkError::Late)??;
        let (mut read, mut write) = tokio::io::split(stream);
        let mut input = BytesMut::new();
        let mut pace = if means.pull { Pace::pull() } else { Pace::new() };
        let hands = shake::shake(&mut read, &mut write, &mut input, means.password.clone(), &mut pace);
        let init = timeout(PATIENCE, hands).await.map_err(|_| LinkError::Late)??;
        let mut link = Self {
            id,
            address: address.clone(),
            means,
            told: told.clone(),
            began: Instant::now(),
            name: init.name,
            picture: Framebuffer::new(init.width, init.height)?,
            size: (init.width, init.height),
            screens: Vec::new(),
            cursor: None,
            clipboard: clipboard::Clipboard::default(),
            cut: None,
            resizers: VecDeque::new(),
            changed: Region::default(),
            refresh: None,
            show: false,
            loaded: false,
            pace,
            first: None,
            owed: VecDeque::new(),
            pushes: false,
            fences: false,
            probe: None,
            probed: None,
            extended_keys: false,
            resizes: false,
            out: Vec::new(),
        };
        link.greet();
        let mut server = FromServer::new(PixelFormat::XRGB);
        loop {
            while let Some(event) = server.step(&mut input, &mut link.picture)? {
                let ended = event == ServerEvent::UpdateEnd;
                link.hear(event).await;
                // Who pulls asks at once: its frames a second are what is compared with.
                if ended && link.means.pull {
                    link.ask().await;
                }
            }
            if server.in_update() && link.first.is_none() {
                link.first = Some(link.began.elapsed());
            }
            if input.len() > limits::UNIT {
                return Err(LinkError::HungUp);
            }
            input.reserve(64 << 10);
            let next = link.next();
            tokio::select! {
                got = read.read_buf(&mut input) => if got? == 0 { return Err(LinkError::HungUp) },
                wrote = write.write(&link.out), if !link.out.is_empty() => { link.out.drain(..wrote?); }
                order = orders.recv(), if link.out.len() < OUT => link.obey(order.ok_or(LinkError::LetGo)?),
                () = sleep_until(next.unwrap_or(link.began).into()), if next.is_some() => link.ask().await,
            }
        }
    }

    fn greet(&mut self) {
        ClientMessage::SetPixelFormat(PixelFormat::XRGB).write(&mut self.out);
        let pixels = [Encoding::CopyRect, Encoding::Zrle, Encoding::Tight, Encoding::Hextile, Encoding::Zlib];
        let mut encodings: Vec<i32> = pixels.iter().map(|encoding| encoding.number()).collect();
        encodings.extend([Encoding::Rre.number(), Encoding::Raw.number()]);
        encodings.extend([
            pseudo::CURSOR,
            pseudo::DESKTOP_SIZE,
            pseudo::EXTENDED_DESKTOP_SIZE,
            pseudo::LAST_RECT,
            pseudo::QEMU_EXTENDED_KEY,
            pseudo::EXTENDED_CLIPBOARD,
        ]);
        if !self.means.pull {
            encodings.extend([pseudo::FENCE, pseudo::CONTINUOUS_UPDATES]);
        }
        ClientMessage::SetEncodings(encodings).write(&mut self.out);
        self.whole();
    }

    fn whole(&mut self) {
        self.refresh = Some((0, Instant::now()));
        self.pace.asked(self.began.elapsed());
        self.anew(self.picture.bounds());
    }

    /// Asks for these pixels anew, with which the server owes its size.
    fn anew(&mut self, rect: Rect) {
        self.owed.push_back(Instant::now());
        if self.owed.len() > OWED {
            self.owed.clear();
        }
        ClientMessage::UpdateRequest { incremental: false, rect }.write(&mut self.out);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Show => {
                self.show = true;
                // The first picture is on its way already, and as new as another one.
                if self.loaded {
                    self.whole();
                }
            }
            Order::Say(Word::Say(ClientMessage::ExtendedKey { down, keysym, .. })) if !self.extended_keys => {
                if keysym != 0 {
                    ClientMessage::Key { down, keysym }.write(&mut self.out);
                }
            }
            Order::Say(Word::Say(message)) => message.write(&mut self.out),
            Order::Say(Word::Resize(viewer, message)) => {
                if self.resizes && self.resizers.len() < OWED {
                    self.resizers.push_back(viewer);
                    message.write(&mut self.out);
                } else {
                    self.means.display.lock().answer_resize(viewer, Shown::PROHIBITED);
                }
            }
            Order::Say(Word::Clipboard) => {
                // What the server has got since is newer, and its own.
                let shown = self.means.display.lock();
                let given = shown.given.clone().filter(|_| shown.given_newest);
                drop(shown);
                if let Some(offer) = given.and_then(|text| self.clipboard.offer_once(&text)) {
                    ClientMessage::CutText(offer).write(&mut self.out);
                }
            }
        }
    }

    /// When something is due by time, so that a server and a screen that are quiet cost nothing.
    fn next(&self) -> Option<Instant> {
        let patience = self.refresh.filter(|_| self.loaded).map(|(_, since)| since + REFRESH);
        let ask =
            (!self.pushes && self.out.is_empty()).then(|| self.pace.next(self.began.elapsed())).flatten();
        patience.into_iter().chain(self.probe_due()).chain(ask.map(|at| self.began + at)).min()
    }

    /// What is due by time: a request, or the end of the patience with a refresh.
    async fn ask(&mut self) {
        if self.refresh.is_some_and(|(_, since)| since.elapsed() >= REFRESH) && self.loaded {
            self.complete().await;
        }
        self.measure();
        let now = self.began.elapsed();
        if !self.pushes && self.pace.trip_due(now) {
            self.pace.measuring(now);
            if self.resizes && !self.fences {
                // One pixel: the word about the size comes at once, whether the picture changes or not.
                self.owed.clear();
                self.anew(Rect::new(0, 0, 1, 1));
            }
        }
        if !self.pushes && self.out.is_empty() && self.pace.due(now) {
            self.pace.asked(now);
            let rect = self.picture.bounds();
            ClientMessage::UpdateRequest { incremental: true, rect }.write(&mut self.out);
        }
    }

    fn probe_due(&self) -> Option<Instant> {
        let again = self.probe.map(|sent| sent + PATIENCE);
        let next = again.or_else(|| self.probed.map(|last| last + PROBE));
        self.fences.then(|| next.unwrap_or(self.began))
    }

    fn measure(&mut self) {
        let now = Instant::now();
        if self.probe_due().is_some_and(|due| due <= now) {
            (self.probe, self.probed) = (Some(now), Some(now));
            let flags = Fence::REQUEST | Fence::BLOCK_BEFORE;
            ClientMessage::Fence(Fence { flags, payload: PROBE_MARK.to_vec() }).write(&mut self.out);
        }
    }

    async fn hear(&mut self, event: ServerEvent) {
        let live = self.means.display.lock().live == self.id;
        match event {
            ServerEvent::Damage(rect) => {
                self.changed.add(rect);
                if let Some((pixels, _)) = &mut self.refresh {
                    *pixels += rect.area() as u64;
                }
            }
            ServerEvent::UpdateEnd => self.update_end().await,
            ServerEvent::DesktopSize { .. } => self.resized(Vec::new()),
            ServerEvent::ExtendedDesktopSize { reason, status, screens, .. } => {
                self.resizes = true;
                if reason == 1
                    && let Some(viewer) = self.resizers.pop_front()
                {
                    self.means.display.lock().answer_resize(viewer, status);
                }
                if reason == 0
                    && let Some(sent) = self.owed.pop_front()
                {
                    self.trip(sent.elapsed());
                }
                if status == 0 {
                    self.resized(screens);
                }
            }
            ServerEvent::Cursor(cursor) => {
                self.cursor = Some(cursor);
                if live {
                    self.means.display.lock().set_cursor(self.cursor.clone());
                }
            }
            ServerEvent::ExtendedKeys => self.extended_keys = true,
            ServerEvent::Bell if live => self.means.display.lock().ring(),
            ServerEvent::CutText(text) => self.cut_text(text, live),
            ServerEvent::Fence(fence) => self.fence(fence),
            ServerEvent::EndOfContinuousUpdates if !self.pushes => {
                self.pushes = true;
                self.push();
            }
            _ => {}
        }
    }

    fn cut_text(&mut self, text: CutText, live: bool) {
        if matches!(text, CutText::Extended(Clipboard::Caps { .. }))
            && let Some(caps) = self.clipboard.extend()
        {
            ClientMessage::CutText(caps).write(&mut self.out);
        }
        let heard = self.clipboard.hear(text);
        if let Some(answer) = heard.answer {
            ClientMessage::CutText(answer).write(&mut self.out);
        }
        if let Some(text) = heard.text {
            if live {
                self.means.display.lock().set_cut(Arc::clone(&text));
            }
            self.cut = Some(text);
        }
    }

    fn push(&mut self) {
        let rect = self.picture.bounds();
        ClientMessage::ContinuousUpdates { enable: true, rect }.write(&mut self.out);
    }

    /// The server said its size, which may be the one it had: every request for the whole is answered so.
    fn resized(&mut self, screens: Vec<Screen>) {
        let size = (self.picture.width(), self.picture.height());
        let changed = std::mem::replace(&mut self.size, size) != size;
        self.screens = screens;
        let mut shown = self.means.display.lock();
        if shown.live == self.id {
            if changed {
                self.changed.add(self.picture.bounds());
                shown.publish(&self.picture, &self.changed);
            }
            shown.set_screens(&self.screens);
        }
        drop(shown);
        if changed {
            // Nobody asked for this word.
            self.owed.clear();
            self.changed = Region::default();
            if self.pushes {
                self.push();
            }
            self.whole();
        }
    }

    fn fence(&mut self, fence: Fence) {
        self.fences = true;
        if fence.flags & Fence::REQUEST != 0 {
            ClientMessage::Fence(fence.answer()).write(&mut self.out);
        } else if fence.payload == PROBE_MARK
            && let Some(sent) = self.probe.take()
        {
            self.trip(sent.elapsed());
        }
    }

    fn trip(&mut self, trip: Duration) {
        self.pace.trip(trip);
        if self.means.display.lock().live == self.id {
            self.means.tap.event(sensors::Event::Rtt(trip));
        }
    }

    async fn update_end(&mut self) {
        let now = self.began.elapsed();
        let first = self.first.take().unwrap_or(now);
        // What answers a request for the size alone is no picture.
        if !self.changed.is_empty() {
            self.pace.answered(first, now);
        }
        let all = self.picture.bounds().area() as u64;
        if self.refresh.is_some_and(|(pixels, _)| pixels >= all) {
            self.complete().await;
        }
        let mut shown = self.means.display.lock();
        if shown.live == self.id {
            let area = shown.publish(&self.picture, &self.changed);
            drop(shown);
            if area > 0 {
                self.means.tap.event(sensors::Event::Update { area });
            }
        }
        self.changed = Region::default();
    }

    /// The whole picture is there.
    async fn complete(&mut self) {
        self.refresh = None;
        if self.show {
            self.show = false;
            let moved = {
                let mut shown = self.means.display.lock();
                let moved = shown.goes_live(self.id, &self.address);
                self.changed.add(self.picture.bounds());
                shown.publish(&self.picture, &self.changed);
                shown.set_screens(&self.screens);
                shown.set_cursor(self.cursor.clone());
                // A viewer's newer text goes to this server instead.
                if let Some(text) = self.cut.as_ref().filter(|_| !shown.given_newest) {
                    shown.set_cut(Arc::clone(text));
                }
                shown.name.clone_from(&self.name);
                moved
            };
            if moved {
                self.means.tap.event(sensors::Event::Restart { place: None });
            }
            // What the handshake measured: sensors need the path from the first input on.
            if let Some(trip) = self.pace.round_trip() {
                self.means.tap.event(sensors::Event::Rtt(trip));
            }
            let _closing = self.told.send((self.id, Told::Shown)).await;
        } else if !self.loaded {
            let _closing = self.told.send((self.id, Told::Loaded)).await;
        }
        self.loaded = true;
    }
}
