//! The renderers: a process for each OpenGL program, started when it connects, and its pictures on their way to the screen.
//!
//! A renderer is this same program in another role. It gets a program's connection as a descriptor and is heard by packets;
//! a thread each hears them, because reading pictures waits. A connection that goes on with a stream is handed to the renderer
//! that has it.
//!
//! A renderer in which a command does not end (a shader without an end) holds its program, and is ended; a program that brings
//! the next one to the same is sent away, and drawn in software in the agent.
//!
//! Invariant: at most [`MOST`] renderers; where all are taken, one whose program has no connection makes room.
//! Fault model: a renderer may say anything and die at any time. What it says is checked, a file of it is read with
//! `pread` and never mapped; when it is gone its pictures are taken away, and its program hears the connection's end.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thiserror::Error;
use vmgl_gl_renderer::words::{Counts, FromRenderer, ToRenderer, Waited, hear, pair, say};
use vmgl_gl_stream::{ClientHello, SPEC, ServerHello, Verdict, waited_name};
use vmgl_rfb::Framebuffer;

use super::pulse::{Pulse, waits};
use super::scene::Key;
use super::seen::Report;
use crate::address::Address;
use crate::display::Display;
use crate::tap::Tap;

/// Most renderers.
pub const MOST: usize = 32;
/// Most rooms for pictures of one renderer.
const ROOMS: usize = 256;
/// Pictures of the last so long say how many there are a second.
const WINDOW: Duration = Duration::from_secs(2);
/// Most moments of pictures that are remembered.
const MOMENTS: usize = 1024;
/// A program may bring so many renderers to a standstill.
const STANDSTILLS: u32 = 2;
/// Most programs of which that is remembered.
const REMEMBERED: usize = 1024;
/// Most parts of a sandbox of which a renderer says that they do not hold.
const PARTS: usize = 8;
/// Pixels that are read at once.
const BLOCK: usize = 16 << 10;
/// Of the environment, what a renderer keeps.
const KEPT: &[&str] = &[
    "PATH",
    "RUST_LOG",
    "LD_LIBRARY_PATH",
    "LIBGL_ALWAYS_SOFTWARE",
    "LIBGL_DRIVERS_PATH",
    "__EGL_VENDOR_LIBRARY_FILENAMES",
];

/// Why a program gets no renderer.
#[derive(Debug, Error)]
pub enum RendererError {
    /// All are taken.
    #[error("there are {MOST} renderers already")]
    Full,
    /// The system.
    #[error("a renderer could not be started")]
    Io(#[from] io::Error),
}

struct Renderer {
    stream: [u8; 16],
    name: String,
    pid: u32,
    process: u32,
    line: Arc<OwnedFd>,
    began: Instant,
    counts: Counts,
    /// What the program waited for, by the command's number.
    waited: BTreeMap<u16, Waited>,
    /// Parts of its sandbox that do not hold.
    unconfined: Vec<String>,
    pictures: VecDeque<Instant>,
    /// Since when the program has no connection.
    lost: Option<Instant>,
    /// The program was told to go to another desk.
    leaves: bool,
}

impl Renderer {
    fn program(&self) -> u64 {
        program_of(&self.stream)
    }
}

/// The program's number, which its windows bear: it stays when its stream begins anew.
fn program_of([a, b, c, d, e, f, g, h, ..]: &[u8; 16]) -> u64 {
    u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
}

#[derive(Default)]
struct State {
    running: BTreeMap<u64, Renderer>,
    last: u64,
    ended: u64,
    watched: bool,
    /// The watcher sees a compositing manager.
    is_composited: bool,
    /// How many renderers a program has brought to a standstill.
    stuck: BTreeMap<u64, u32>,
}

/// All renderers.
#[derive(Clone)]
pub struct Renderers {
    display: Display,
    tap: Tap,
    /// So long a command may take.
    limit: Duration,
    state: Arc<Mutex<State>>,
}

impl std::fmt::Debug for Renderers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderers").finish_non_exhaustive()
    }
}

impl Renderers {
    /// Whose pictures go to this display, and count at this tap; whose commands take no longer than `limit`.
    #[must_use]
    pub fn new(display: Display, tap: Tap, limit: Duration) -> Self {
        Self { display, tap, limit, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A watcher is there, or is gone.
    pub fn watched(&self, watched: bool) {
        self.lock().watched = watched;
    }

    /// What the watcher sees.
    pub fn seen(&self, report: Report) {
        self.lock().is_composited = report.is_composited;
        self.display.lock().overlay(|scene| scene.report(report.windows));
    }

    /// Gives a program's connection to its renderer, which is started if the stream is a new one. A stream that is not
    /// known here any more is told so, and one of another version.
    ///
    /// # Errors
    /// When there are too many, or it cannot be started.
    pub fn connect(
        &self,
        hello: &ClientHello,
        bytes: Vec<u8>,
        program: OwnedFd,
    ) -> Result<(), RendererError> {
        let word = ToRenderer::Connect { hello: bytes };
        if hello.spec != SPEC {
            return Ok(send_away(&program, Verdict::OtherSpec)?);
        }
        let mut state = self.lock();
        if let Some(known) = state.running.values_mut().find(|it| it.stream == hello.stream) {
            known.lost = None;
            self.display.lock().overlay(|scene| scene.hide(known.program(), false));
            return Ok(say(&*known.line, &word, Some(program.as_fd()))?);
        }
        if hello.last > 0 {
            return Ok(send_away(&program, Verdict::Unknown)?);
        }
        if state.stuck.get(&program_of(&hello.stream)).is_some_and(|times| *times >= STANDSTILLS) {
            tracing::warn!(
                "{} (process {}) brings renderers to a standstill: sent away",
                hello.name,
                hello.pid
            );
            return Ok(send_away(&program, Verdict::Refused)?);
        }
        leave_behind(&state, hello);
        self.display.lock().overlay(|scene| scene.hide(program_of(&hello.stream), false));
        if state.running.len() >= MOST && !make_room(&mut state) {
            drop(state);
            send_away(&program, Verdict::Refused)?;
            return Err(RendererError::Full);
        }
        let (here, there) = pair()?;
        let child = start(there)?;
        let line = Arc::new(here);
        say(&*line, &word, Some(program.as_fd()))?;
        state.last += 1;
        let id = state.last;
        tracing::info!("{} (process {}) is drawn for by process {}", hello.name, hello.pid, child.id());
        state.running.insert(
            id,
            Renderer {
                stream: hello.stream,
                name: hello.name.clone(),
                pid: hello.pid,
                process: child.id(),
                line: Arc::clone(&line),
                began: Instant::now(),
                counts: Counts::default(),
                waited: BTreeMap::new(),
                unconfined: Vec::new(),
                pictures: VecDeque::new(),
                lost: None,
                leaves: false,
            },
        );
        drop(state);
        let this = self.clone();
        let program = program_of(&hello.stream);
        std::thread::Builder::new()
            .name("renderer".to_owned())
            .spawn(move || this.follow(id, program, &line, child))
            .inspect_err(|_| drop(self.lock().running.remove(&id)))?;
        Ok(())
    }

    /// Hears a renderer to its end.
    fn follow(&self, id: u64, program: u64, line: &OwnedFd, mut child: Child) {
        let (mut pictures, mut pulse) = (Pictures::default(), Pulse::default());
        let why = loop {
            match waits(line, self.limit / 2) {
                Ok(true) => pulse.heard(),
                Ok(false) if pulse.stands_still() => {
                    let mut state = self.lock();
                    if state.stuck.len() < REMEMBERED {
                        *state.stuck.entry(program).or_insert(0) += 1;
                    }
                    break format!("a command does not end; it has had {:?}", self.limit);
                }
                Ok(false) => {
                    self.hide_if_away(id, program);
                    continue;
                }
                Err(fault) => break format!("it cannot be heard: {fault}"),
            }
            match hear::<FromRenderer>(line) {
                Ok(Some((FromRenderer::Pulse, file))) => pulse.file = file,
                Ok(Some((word, file))) => {
                    if let Err(fault) = self.take(id, program, word, file, &mut pictures, line) {
                        break format!("it was let go: {fault}");
                    }
                }
                Ok(None) => break "it ended".to_owned(),
                Err(fault) => break format!("it cannot be heard: {fault}"),
            }
        };
        let (name, is_last) = {
            let mut state = self.lock();
            state.ended += 1;
            let name = state.running.remove(&id).map(|it| it.name).unwrap_or_default();
            (name, !state.running.values().any(|it| it.program() == program))
        };
        // The program may have come again meanwhile: what it shows by then is another renderer's.
        if is_last {
            self.display.lock().overlay(|scene| scene.gone(program));
        }
        let _killed = child.kill();
        match child.wait() {
            Ok(status) if status.success() => tracing::info!("the renderer of {name}: {why}"),
            Ok(status) => tracing::warn!("the renderer of {name}: {why}: {status}"),
            Err(fault) => tracing::warn!("the renderer of {name}: {why}: {fault}"),
        }
    }

    fn take(
        &self,
        id: u64,
        program: u64,
        word: FromRenderer,
        file: Option<OwnedFd>,
        pictures: &mut Pictures,
        line: &OwnedFd,
    ) -> io::Result<()> {
        match word {
            FromRenderer::Room { room, window, width, height } => {
                let file = file.ok_or(io::ErrorKind::InvalidData)?;
                pictures.room(room, Room { window, width, height, file })?;
            }
            FromRenderer::Picture { room, half } => {
                let spare = pictures.spare.take();
                let shown = pictures.read(room, half, spare)?;
                say(line, &ToRenderer::Release { room, half }, None)?;
                self.note(id, |it| {
                    it.pictures.push_back(Instant::now());
                    if it.pictures.len() > MOMENTS {
                        it.pictures.pop_front();
                    }
                });
                if let Some((window, picture)) = shown {
                    let key = Key { program, window };
                    let mut before = None;
                    let area = self.display.lock().overlay(|scene| {
                        let (changed, old) = scene.picture(key, picture);
                        before = old;
                        changed
                    });
                    pictures.spare = before;
                    if area > 0 {
                        self.tap.event(sensors::Event::Update { area });
                    }
                }
            }
            FromRenderer::Closed { room } => {
                if let Some(window) = pictures.close(room) {
                    self.display.lock().overlay(|scene| scene.closed(Key { program, window }));
                }
            }
            // The renderer says it last when the program is lost, and again when it is back.
            FromRenderer::Counts(counts) => {
                let mut was_lost = false;
                self.note(id, |it| {
                    it.counts = counts;
                    was_lost = it.lost.take().is_some();
                });
                if was_lost {
                    self.display.lock().overlay(|scene| scene.hide(program, false));
                }
            }
            FromRenderer::Waited(all) => self.note(id, |it| {
                let known = all.into_iter().filter(|one| waited_name(one.opcode).is_some());
                it.waited.extend(known.map(|one| (one.opcode, one)));
            }),
            FromRenderer::Unconfined(parts) => {
                tracing::warn!("a renderer is not confined as it should be: {parts:?} (see its warnings)");
                // It says so before it hears the program; what it says later takes nothing back.
                self.note(id, |it| {
                    it.unconfined.extend(parts);
                    it.unconfined.truncate(PARTS);
                });
            }
            // It was taken where it is heard.
            FromRenderer::Pulse => {}
            FromRenderer::Lost => {
                let mut leaves = false;
                self.note(id, |it| {
                    it.lost = Some(Instant::now());
                    leaves = it.leaves;
                });
                if leaves {
                    self.hide_if_away(id, program);
                }
            }
        }
        Ok(())
    }

    /// A program that has been away for a while is drawn elsewhere, where it is: its last picture here is old.
    fn hide_if_away(&self, id: u64, program: u64) {
        let state = self.lock();
        if state.running.get(&id).is_some_and(|it| it.lost.is_some()) {
            self.display.lock().overlay(|scene| scene.hide(program, true));
        }
    }

    fn note(&self, id: u64, what: impl FnOnce(&mut Renderer)) {
        if let Some(renderer) = self.lock().running.get_mut(&id) {
            what(renderer);
        }
    }

    /// Tells all programs to bring home what only their renderers have, and to take others: those of the proxy at this address, as it
    /// is reached from the agent, else of this one. How many were told.
    #[must_use]
    pub fn renew(&self, to: Option<&Address>) -> usize {
        self.tell_to_leave(to.map(Address::to_string).unwrap_or_default(), false)
    }

    /// Tells all programs to bring home what only their renderers have, and to end their connections: another desk will be where this
    /// one is for them. How many were told.
    #[must_use]
    pub fn send_away(&self) -> usize {
        self.tell_to_leave(String::new(), true)
    }

    fn tell_to_leave(&self, to: String, away: bool) -> usize {
        let elsewhere = away || !to.is_empty();
        let word = ToRenderer::Leave { to, away };
        let mut told = 0;
        for it in self.lock().running.values_mut() {
            if say(&*it.line, &word, None).is_ok() {
                it.leaves = elsewhere;
                told += 1;
            }
        }
        told
    }

    /// How many programs have a connection.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.lock().running.values().filter(|it| it.lost.is_none()).count()
    }

    /// How it stands, for `gl stat`.
    #[must_use]
    pub fn told(&self) -> Value {
        let (windows, shown) = self.display.lock().scene().counts();
        let state = self.lock();
        let now = Instant::now();
        let programs: Vec<Value> = state
            .running
            .values()
            .map(|it| {
                let recent = it.pictures.iter().filter(|at| now.duration_since(**at) < WINDOW).count();
                let rate = f64::from(u32::try_from(recent).unwrap_or(u32::MAX)) / WINDOW.as_secs_f64();
                json!({
                    "name": it.name,
                    "pid": it.pid,
                    "renderer_pid": it.process,
                    "connected": it.lost.is_none(),
                    "seconds": it.began.elapsed().as_secs(),
                    "commands": it.counts.commands,
                    "bytes": it.counts.bytes,
                    "packed_bytes": it.counts.packed_bytes,
                    "blocking": it.counts.blocking,
                    "waits": waited_for(&it.waited),
                    "errors": it.counts.errors,
                    "unconfined": it.unconfined,
                    "frames": it.counts.swaps,
                    "frames_per_second": rate,
                })
            })
            .collect();
        json!({
            "watched": state.watched,
            "composited": state.watched && state.is_composited,
            "windows": windows,
            "windows_shown": shown,
            "renderers_ended": state.ended,
            "programs": programs,
        })
    }
}

/// By command: how often and how long a program has waited for its answer.
fn waited_for(waited: &BTreeMap<u16, Waited>) -> Value {
    let one = |it: &Waited| {
        let name = waited_name(it.opcode)?.to_owned();
        Some((name, json!({ "times": it.times, "milliseconds": it.micros / 1000 })))
    };
    Value::Object(waited.values().filter_map(one).collect())
}

/// Tells a program that there is no renderer for it.
fn send_away(program: &OwnedFd, verdict: Verdict) -> io::Result<()> {
    let hello = ServerHello { spec: SPEC, verdict, next: 1, caps: None }.encode();
    // A new connection has room for so few bytes.
    rustix::net::send(program, &hello, rustix::net::SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Lets the renderer go whose program has been away longest; whether there is one.
fn make_room(state: &mut State) -> bool {
    let away = state.running.iter().filter_map(|(id, it)| Some((it.lost?, *id))).min();
    let gone = away.and_then(|(_, id)| state.running.remove(&id));
    // Its thread hears the end of the line, and reaps it.
    gone.map(|it| rustix::net::shutdown(&*it.line, rustix::net::Shutdown::Both)).is_some()
}

/// A program that begins anew has no use any more for the renderer that it had.
fn leave_behind(state: &State, hello: &ClientHello) {
    let program = program_of(&hello.stream);
    let is_its = |it: &&Renderer| it.program() == program && (it.lost.is_some() || it.pid == hello.pid);
    for old in state.running.values().filter(is_its) {
        // Its thread hears the end of the line, and reaps it. It may have ended already.
        let _ended = rustix::net::shutdown(&*old.line, rustix::net::Shutdown::Both);
    }
}

pub(super) fn start(line: OwnedFd) -> io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["gl", "render"]).env_clear();
    command.envs(KEPT.iter().filter_map(|name| Some((*name, std::env::var_os(name)?))));
    // What was compiled for one program is not kept for another, and there is no file to keep it in.
    command.env("MESA_SHADER_CACHE_DISABLE", "true").env("MESA_GLSL_CACHE_DISABLE", "true");
    command.stdin(Stdio::from(line)).stdout(Stdio::null()).spawn()
}

pub(super) struct Room {
    pub(super) window: u32,
    pub(super) width: u16,
    pub(super) height: u16,
    pub(super) file: OwnedFd,
}

#[derive(Default)]
pub(super) struct Pictures {
    rooms: BTreeMap<u32, Room>,
    /// A picture that is shown no more, to be painted over.
    spare: Option<Framebuffer>,
    bytes: Vec<u8>,
}

impl Pictures {
    pub(super) fn room(&mut self, number: u32, room: Room) -> io::Result<()> {
        self.rooms.retain(|_, other| other.window != room.window);
        if self.rooms.len() >= ROOMS {
            return Err(io::Error::other("too many rooms for pictures"));
        }
        self.rooms.insert(number, room);
        Ok(())
    }

    pub(super) fn close(&mut self, number: u32) -> Option<u32> {
        self.rooms.remove(&number).map(|room| room.window)
    }

    /// A picture and its window, if it is one that can be shown.
    pub(super) fn read(
        &mut self,
        number: u32,
        half: u8,
        spare: Option<Framebuffer>,
    ) -> io::Result<Option<(u32, Framebuffer)>> {
        let room = self.rooms.get(&number).ok_or(io::ErrorKind::InvalidData)?;
        let (width, height) = (room.width, room.height);
        let fits = spare.filter(|it| (it.width(), it.height()) == (width, height));
        let Some(mut picture) = fits.or_else(|| Framebuffer::new(width, height).ok()) else {
            tracing::warn!("a picture of {width}x{height} pixels is too large to be shown");
            return Ok(None);
        };
        if half > 1 || width == 0 || height == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let row = usize::from(width) * 4;
        let rows = (BLOCK * 4 / row).max(1);
        let mut offset = u64::from(half) * (row as u64) * u64::from(height);
        let mut y = height;
        while y > 0 {
            let count = rows.min(y.into());
            self.bytes.resize(count * row, 0);
            fill(&room.file, &mut self.bytes, offset)?;
            offset += self.bytes.len() as u64;
            // The lowest row is the first.
            for line in self.bytes.chunks_exact(row) {
                y -= 1;
                for (to, from) in picture.row_mut(0, y, width).iter_mut().zip(line.as_chunks::<4>().0) {
                    *to = u32::from_le_bytes(*from) & 0x00ff_ffff;
                }
            }
        }
        Ok(Some((room.window, picture)))
    }
}

fn fill(file: &OwnedFd, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let got = rustix::io::pread(file, &mut *bytes, offset)?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes = bytes.get_mut(got..).unwrap_or_default();
        offset += got as u64;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(bytes: &[u8]) -> OwnedFd {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.into()
    }

    #[test]
    fn the_lowest_row_comes_first_and_the_fourth_byte_means_nothing() {
        let mut pictures = Pictures::default();
        let bytes: Vec<u8> =
            [1u32, 2, 3, 4].iter().flat_map(|pixel| (pixel | 0xab00_0000).to_le_bytes()).collect();
        let both = [vec![0; 16], bytes].concat();
        pictures.room(1, Room { window: 9, width: 2, height: 2, file: file(&both) }).unwrap();
        let (window, picture) = pictures.read(1, 1, None).unwrap().unwrap();
        assert_eq!((window, picture.pixels()), (9, &[3, 4, 1, 2][..]));
    }

    #[test]
    fn a_picture_that_is_not_there_is_a_fault_and_one_that_is_too_large_is_not_shown() {
        let mut pictures = Pictures::default();
        pictures.room(1, Room { window: 9, width: 2, height: 2, file: file(&[0; 31]) }).unwrap();
        assert!(pictures.read(1, 0, None).is_ok());
        for (room, half) in [(1, 1), (1, 2), (2, 0)] {
            assert!(pictures.read(room, half, None).is_err(), "{room} {half}");
        }
        pictures.room(3, Room { window: 8, width: u16::MAX, height: u16::MAX, file: file(&[]) }).unwrap();
        assert!(pictures.read(3, 0, None).unwrap().is_none());
    }
}
