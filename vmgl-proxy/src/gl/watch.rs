//! The watcher: a client of the agent's X server that tells the proxy where windows with OpenGL pictures are seen.
//!
//! It follows all windows ([`Tree`]), because any may cover one with pictures. Windows with pictures are those with the
//! property that the agent's OpenGL library sets on them. When all events that are there have been heard, the proxy is
//! told once, and only if something is seen otherwise; a proxy that cannot be reached is tried again, and told at once.
//!
//! A compositing manager may show windows through others, or moved; the watcher says so, in its log and to the proxy, and goes on
//! telling what the windows' own places and order say. Some of them announce themselves to nobody: the server tells of the
//! selection that each of them owns.
//!
//! An X server has one watcher, which owns a selection ([`WATCHER`]). A program's library starts one where there is none; one that is
//! started by hand takes the other's place.
//!
//! Invariant: what is asked about a window's children is asked with the server grabbed, so no event is older than it.
//! Fault model: the X server's end is the watcher's end. A proxy that does not read holds it up for [`PATIENCE`] at most.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use thiserror::Error;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::{ConnectError, ConnectionError, ReplyError};
use x11rb::protocol::Event as XEvent;
use x11rb::protocol::shape::{ConnectionExt as _, SK};
use x11rb::protocol::xfixes::{self, ConnectionExt as _, SelectionEventMask};
use x11rb::protocol::xproto::{
    Atom, AtomEnum, ChangeWindowAttributesAux, ConnectionExt, CreateWindowAux, EventMask, MapState,
    Place as Circulation, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use super::area::Piece;
use super::seen::{self, PROPERTY, Report, WATCHER};
use super::tree::{Child, Event, Place, TooMany, Tree};
use crate::Address;

/// How long connecting to the proxy, and a write to it, may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between attempts to reach the proxy.
const AGAIN: Duration = Duration::from_millis(500);
/// After so long without a word the system asks for a sign of life, and as often again.
const QUIET: Duration = Duration::from_secs(5);
/// How many of them may be without an answer: the most that the system takes, ten minutes.
const SIGNS: u32 = 127;

/// Why it ended.
#[derive(Debug, Error)]
pub enum WatchError {
    /// No X server.
    #[error("the X server cannot be reached")]
    Connect(#[from] ConnectError),
    /// It went away.
    #[error("the X server went away")]
    Gone(#[from] ConnectionError),
    /// It refused what every client may do.
    #[error("the X server refused a question")]
    Refused(#[from] ReplyError),
    /// It cannot say which shape windows have.
    #[error("the X server has no SHAPE extension")]
    NoShapes,
    /// Another is there, and is not to be replaced.
    #[error("another watcher tells of this X server's windows")]
    Another,
    /// Another was started.
    #[error("another watcher has taken this one's place")]
    Replaced,
    /// Too many windows.
    #[error(transparent)]
    TooMany(#[from] TooMany),
    /// The system.
    #[error("waiting for events")]
    Wait(#[from] rustix::io::Errno),
}

/// Watches until the X server at `display` (else `$DISPLAY`) goes away, and tells the proxy at `to`. A watcher that is there
/// is replaced, if `replaces`.
///
/// # Errors
/// Always: why it ended.
pub fn run(display: Option<&str>, to: &Address, replaces: bool) -> Result<(), WatchError> {
    let (x, screen) = x11rb::connect(display)?;
    let owned = own(&x, screen, replaces)?;
    let mut watcher = Watcher::new(x, screen, owned)?;
    let mut proxy = Proxy { to: to.clone(), stream: None, tried: None };
    loop {
        watcher.hear()?;
        proxy.tell(&watcher.report());
        if watcher.tree.was_cut() {
            tracing::warn!(
                "a window is covered by so many pieces that less of its pictures is shown than is seen"
            );
        }
        // What was heard while a question was answered waits in the connection, not in the socket.
        if let Some(event) = watcher.x.poll_for_event()? {
            watcher.apply(event)?;
            continue;
        }
        proxy.wait(watcher.x.stream().as_fd())?;
    }
}

/// Becomes the X server's only watcher; the selection that says so.
fn own(x: &RustConnection, screen: usize, replaces: bool) -> Result<Atom, WatchError> {
    let root = x.setup().roots.get(screen).ok_or(ConnectError::InvalidScreen)?.root;
    let owned = x.intern_atom(false, WATCHER.as_bytes())?.reply()?.atom;
    let window = x.generate_id().map_err(|_| ConnectionError::UnknownError)?;
    let input_only = WindowClass::INPUT_ONLY;
    x.create_window(0, window, root, 0, 0, 1, 1, 0, input_only, 0, &CreateWindowAux::new())?.check()?;
    // Nobody else may come in between the question and the claim.
    x.grab_server()?;
    let there = x.get_selection_owner(owned)?.reply()?.owner != x11rb::NONE;
    if replaces || !there {
        x.set_selection_owner(window, owned, x11rb::CURRENT_TIME)?;
    }
    x.ungrab_server()?;
    x.flush()?;
    if there && !replaces { Err(WatchError::Another) } else { Ok(owned) }
}

struct Watcher {
    x: RustConnection,
    owned: Atom,
    root: u32,
    property: Atom,
    compositor: Atom,
    manager: Atom,
    /// Bits of a window's number that are not of the client who made it.
    own_bits: u32,
    is_composited: bool,
    tree: Tree,
}

impl Watcher {
    fn new(x: RustConnection, screen: usize, owned: Atom) -> Result<Self, WatchError> {
        let setup = x.setup().roots.get(screen).ok_or(ConnectError::InvalidScreen)?;
        let (root, width, height) = (setup.root, setup.width_in_pixels, setup.height_in_pixels);
        let atom = |name: &str| Ok::<_, WatchError>(x.intern_atom(false, name.as_bytes())?.reply()?.atom);
        let (property, manager) = (atom(PROPERTY)?, atom("MANAGER")?);
        let compositor = atom(&format!("_NET_WM_CM_S{screen}"))?;
        if x.extension_information(x11rb::protocol::shape::X11_EXTENSION_NAME)?.is_none() {
            return Err(WatchError::NoShapes);
        }
        if x.extension_information(xfixes::X11_EXTENSION_NAME)?.is_some() {
            x.xfixes_query_version(1, 0)?.reply()?;
            let all = SelectionEventMask::SET_SELECTION_OWNER
                | SelectionEventMask::SELECTION_WINDOW_DESTROY
                | SelectionEventMask::SELECTION_CLIENT_CLOSE;
            x.xfixes_select_selection_input(root, compositor, all)?;
        }
        let (own_bits, tree) = (x.setup().resource_id_mask, Tree::new(root, width, height));
        let mut watcher =
            Self { x, owned, root, property, compositor, manager, own_bits, is_composited: false, tree };
        watcher.composited()?;
        watcher.learn(vec![root])?;
        Ok(watcher)
    }

    fn report(&mut self) -> Report {
        Report { windows: self.tree.seen(), is_composited: self.is_composited }
    }

    /// Hears all events that are there.
    fn hear(&mut self) -> Result<(), WatchError> {
        while let Some(event) = self.x.poll_for_event()? {
            self.apply(event)?;
        }
        Ok(())
    }

    fn apply(&mut self, event: XEvent) -> Result<(), WatchError> {
        let event = match event {
            XEvent::CreateNotify(e) => {
                let place =
                    Place { x: e.x, y: e.y, width: e.width, height: e.height, border: e.border_width };
                Event::Created { window: e.window, parent: e.parent, place }
            }
            XEvent::DestroyNotify(e) => Event::Destroyed(e.window),
            XEvent::MapNotify(e) => Event::Mapped(e.window, true),
            XEvent::UnmapNotify(e) => Event::Mapped(e.window, false),
            XEvent::ConfigureNotify(e) => {
                let place =
                    Place { x: e.x, y: e.y, width: e.width, height: e.height, border: e.border_width };
                Event::Configured(e.window, place, e.above_sibling)
            }
            XEvent::GravityNotify(e) => {
                self.tree.moved(e.window, e.x, e.y);
                return Ok(());
            }
            XEvent::ReparentNotify(e) => {
                Event::Reparented { window: e.window, parent: e.parent, x: e.x, y: e.y }
            }
            XEvent::CirculateNotify(e) => Event::Circulated(e.window, e.place == Circulation::ON_TOP),
            XEvent::PropertyNotify(e) if e.atom == self.property => return self.ask_owner(e.window),
            XEvent::ShapeNotify(e) if matches!(e.shape_kind, SK::BOUNDING | SK::CLIP) => {
                return self.ask_shape(e.affected_window);
            }
            XEvent::XfixesSelectionNotify(e) if e.selection == self.compositor => return self.composited(),
            XEvent::SelectionClear(e) if e.selection == self.owned => return Err(WatchError::Replaced),
            XEvent::ClientMessage(e) if e.type_ == self.manager => return self.composited(),
            _ => return Ok(()),
        };
        let learn = self.tree.event(event)?;
        self.learn(learn.into_iter().collect())
    }

    /// Asks all about these windows and what is below them, while nobody else can change it.
    fn learn(&mut self, mut windows: Vec<u32>) -> Result<(), WatchError> {
        if windows.is_empty() {
            return Ok(());
        }
        self.x.grab_server()?;
        let mut all = Vec::new();
        while let Some(window) = windows.pop() {
            windows.extend(self.learn_one(window)?);
            all.push(window);
        }
        self.x.ungrab_server()?;
        for window in all {
            self.ask_owner(window)?;
            self.ask_shape(window)?;
        }
        self.x.flush()?;
        Ok(())
    }

    fn learn_one(&mut self, window: u32) -> Result<Vec<u32>, WatchError> {
        let mut mask = EventMask::SUBSTRUCTURE_NOTIFY | EventMask::PROPERTY_CHANGE;
        if window == self.root {
            mask |= EventMask::STRUCTURE_NOTIFY;
        }
        self.x
            .change_window_attributes(window, &ChangeWindowAttributesAux::new().event_mask(mask))?
            .ignore_error();
        self.x.shape_select_input(window, true)?.ignore_error();
        let attributes = self.x.get_window_attributes(window)?;
        let tree = self.x.query_tree(window)?;
        // It may be gone again: an event says so.
        let (Some(attributes), Some(tree)) = (there(attributes.reply())?, there(tree.reply())?) else {
            return Ok(Vec::new());
        };
        let mut asked = Vec::with_capacity(tree.children.len());
        for child in tree.children {
            asked.push((child, self.x.get_geometry(child)?, self.x.get_window_attributes(child)?));
        }
        let mut children = Vec::with_capacity(asked.len());
        for (window, place, attributes) in asked {
            let (Some(place), Some(attributes)) = (there(place.reply())?, there(attributes.reply())?) else {
                continue;
            };
            let mapped = attributes.map_state != MapState::UNMAPPED;
            let place = Place {
                x: place.x,
                y: place.y,
                width: place.width,
                height: place.height,
                border: place.border_width,
            };
            children.push(Child { window, place, mapped });
        }
        // Of the server's own windows, which no client made, those below the root are what compositing managers paint on.
        let is_servers = window != self.root && window & !self.own_bits == 0;
        let covers_nothing = attributes.class == WindowClass::INPUT_ONLY || is_servers;
        Ok(self.tree.learnt(window, covers_nothing, &children)?)
    }

    fn ask_owner(&mut self, window: u32) -> Result<(), WatchError> {
        let reply = self.x.get_property(false, window, self.property, AtomEnum::CARDINAL, 0, 2)?.reply();
        let Some(reply) = there(reply)? else { return Ok(()) };
        let items: Vec<u32> = reply.value32().into_iter().flatten().collect();
        let program = match items[..] {
            [low, high] => Some(u64::from(low) | u64::from(high) << 32),
            _ => None,
        };
        self.tree.owned(window, program);
        Ok(())
    }

    fn ask_shape(&mut self, window: u32) -> Result<(), WatchError> {
        let extents = self.x.shape_query_extents(window)?;
        let [bounding, clip] = [SK::BOUNDING, SK::CLIP].map(|kind| self.x.shape_get_rectangles(window, kind));
        let (bounding, clip) = (bounding?, clip?);
        let (Some(extents), Some(bounding), Some(clip)) =
            (there(extents.reply())?, there(bounding.reply())?, there(clip.reply())?)
        else {
            return Ok(());
        };
        let piece = |r: &x11rb::protocol::xproto::Rectangle| {
            Piece::new(r.x.into(), r.y.into(), r.width.into(), r.height.into())
        };
        let pieces = |shaped: bool, all: &[_]| shaped.then(|| all.iter().map(piece).collect());
        self.tree.shaped(window, pieces(extents.bounding_shaped, &bounding.rectangles));
        self.tree.clipped(window, pieces(extents.clip_shaped, &clip.rectangles));
        Ok(())
    }

    fn composited(&mut self) -> Result<(), WatchError> {
        let is_composited = self.x.get_selection_owner(self.compositor)?.reply()?.owner != x11rb::NONE;
        match (std::mem::replace(&mut self.is_composited, is_composited), is_composited) {
            (false, true) => tracing::warn!(
                "a compositing manager runs: OpenGL pictures are shown where the windows themselves are, without its effects"
            ),
            (true, false) => tracing::info!("no compositing manager runs any more"),
            _ => {}
        }
        Ok(())
    }
}

/// An answer about a window; none when the server says that there is no such window.
fn there<T>(reply: Result<T, ReplyError>) -> Result<Option<T>, WatchError> {
    match reply {
        Ok(reply) => Ok(Some(reply)),
        Err(ReplyError::X11Error(_)) => Ok(None),
        Err(fault) => Err(fault.into()),
    }
}

trait Line: Read + Write + AsFd {}
impl<T: Read + Write + AsFd> Line for T {}

struct Proxy {
    to: Address,
    /// The connection, and what was told by it last.
    stream: Option<(Box<dyn Line>, Report)>,
    tried: Option<Instant>,
}

impl Proxy {
    fn tell(&mut self, report: &Report) {
        if self.stream.is_none() && self.tried.is_none_or(|at| at.elapsed() >= AGAIN) {
            match connect(&self.to) {
                Ok(stream) => {
                    tracing::info!("the proxy at {} is told", self.to);
                    self.stream = Some((stream, Report::default()));
                    self.say(report);
                }
                Err(fault) => {
                    if self.tried.is_none() {
                        tracing::warn!(
                            "the proxy at {} cannot be reached, and is tried again: {fault}",
                            self.to
                        );
                    }
                    self.tried = Some(Instant::now());
                }
            }
        } else if self.stream.as_ref().is_some_and(|(_, told)| told != report) {
            self.say(report);
        }
    }

    fn say(&mut self, report: &Report) {
        let Some((stream, told)) = &mut self.stream else { return };
        told.clone_from(report);
        if let Err(fault) = stream.write_all(&seen::write(report)) {
            self.lose(&fault);
        }
    }

    fn lose(&mut self, fault: &io::Error) {
        tracing::warn!("the proxy at {} went away: {fault}", self.to);
        self.stream = None;
        self.tried = Some(Instant::now());
    }

    /// Waits for X, for the proxy's end, or for the time to try it again.
    fn wait(&mut self, x: BorrowedFd<'_>) -> Result<(), WatchError> {
        let again = Timespec::try_from(AGAIN).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        let ended = match &self.stream {
            None => {
                poll(&mut [PollFd::from_borrowed_fd(x, PollFlags::IN)], Some(&again))?;
                return Ok(());
            }
            Some((stream, _)) => {
                let mut both = [
                    PollFd::from_borrowed_fd(x, PollFlags::IN),
                    PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN),
                ];
                poll(&mut both, None)?;
                !both[1].revents().is_empty()
            }
        };
        if ended && let Some((stream, _)) = &mut self.stream {
            // The proxy never says anything.
            match stream.read(&mut [0; 64]) {
                Ok(1..) => {}
                Ok(0) => self.lose(&io::ErrorKind::UnexpectedEof.into()),
                Err(fault) => self.lose(&fault),
            }
        }
        Ok(())
    }
}

/// Has the system notice that a connection is known no more: whoever carries it may die while no window changes, and the desk shows
/// nothing until it is told again. Silence is a line that is away, and ends nothing here.
fn signs_of_life(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, QUIET)?;
    sockopt::set_tcp_keepintvl(stream, QUIET)?;
    Ok(sockopt::set_tcp_keepcnt(stream, SIGNS)?)
}

fn connect(to: &Address) -> io::Result<Box<dyn Line>> {
    let mut line: Box<dyn Line> = match to {
        Address::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Box::new(stream)
        }
        Address::Tcp(at) => {
            let at = at.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
            let stream = TcpStream::connect_timeout(&at, PATIENCE)?;
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            signs_of_life(&stream)?;
            Box::new(stream)
        }
    };
    line.write_all(&seen::MAGIC)?;
    Ok(line)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_system_notices_that_a_proxy_knows_no_more_of_its_watcher_though_no_window_changes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Address::Tcp(listener.local_addr().unwrap().to_string());
        let line = connect(&to).unwrap();
        let line = line.as_fd();
        assert!(sockopt::socket_keepalive(line).unwrap());
        assert_eq!(
            (sockopt::tcp_keepidle(line).unwrap(), sockopt::tcp_keepcnt(line).unwrap()),
            (QUIET, SIGNS)
        );
    }
}
