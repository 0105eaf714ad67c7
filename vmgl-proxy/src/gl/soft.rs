//! OpenGL in software, in the agent, for one program whose renderer cannot be reached: a renderer as at the desk, whose pictures
//! are put into the program's own windows. The agent's VNC server sees them there as it sees all else.
//!
//! The program's library starts it with a socket as standard input, by which it then speaks as to the desk.
//!
//! Invariant: the renderer is believed no more than at the desk: its pictures are read by their size, never mapped.
//! Fault model: a window may be gone when its picture comes, which X is asked to overlook. The program's end, the renderer's
//! or the X server's is its end.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use thiserror::Error;
use vmgl_gl_renderer::words::{FromRenderer, ToRenderer, hear, pair, say};
use vmgl_gl_stream::{ClientHello, HelloError};
use vmgl_rfb::Framebuffer;
use x11rb::connection::{Connection, RequestConnection};
use x11rb::errors::{ConnectError, ConnectionError, ReplyOrIdError};
use x11rb::protocol::xproto::{ConnectionExt, CreateGCAux, ImageFormat};
use x11rb::rust_connection::RustConnection;

use super::door::FIXED;
use super::renderers::{Pictures, Room, start};

/// Bytes of a request to X before its pixels, and some more.
const HEAD: usize = 64;
/// The part of a pixel that is opaque, where a window has such a part.
const OPAQUE: u32 = 0xff00_0000;

/// Why it ended.
#[derive(Debug, Error)]
pub enum SoftError {
    /// The socket, the renderer.
    #[error("the program or its renderer")]
    Io(#[from] io::Error),
    /// What the program said first.
    #[error("the program's hello")]
    Hello(#[from] HelloError),
    /// No X server.
    #[error("the X server cannot be reached")]
    Connect(#[from] ConnectError),
    /// It went away.
    #[error("the X server went away")]
    Gone(#[from] ConnectionError),
    /// It refused what every client may do.
    #[error("the X server refused a question")]
    Refused(#[from] ReplyOrIdError),
}

/// Draws for the program at the other end until one of both ends.
///
/// # Errors
/// [`SoftError`] says what is wrong.
pub fn run(program: OwnedFd) -> Result<(), SoftError> {
    let mut program = UnixStream::from(program);
    let hello = hello(&mut program)?;
    let mut screen = Screen::connect()?;
    let (line, there) = pair()?;
    let mut child = start(there)?;
    say(&line, &ToRenderer::Connect { hello }, Some(program.as_fd()))?;
    // The renderer has it: its end must be heard by the program.
    drop(program);
    let done = show(&line, &mut screen);
    let _killed = child.kill();
    let _reaped = child.wait();
    done
}

fn hello(program: &mut UnixStream) -> Result<Vec<u8>, SoftError> {
    let mut bytes = vec![0; FIXED];
    program.read_exact(&mut bytes)?;
    while ClientHello::parse(&bytes)?.is_none() {
        let mut more = [0; 4];
        program.read_exact(&mut more)?;
        bytes.extend_from_slice(&more);
    }
    Ok(bytes)
}

fn show(line: &OwnedFd, screen: &mut Screen) -> Result<(), SoftError> {
    let mut pictures = Pictures::default();
    let mut spare = None;
    while let Some((word, file)) = hear::<FromRenderer>(line)? {
        match word {
            FromRenderer::Room { room, window, width, height } => {
                let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
                pictures.room(room, Room { window, width, height, file })?;
            }
            FromRenderer::Picture { room, half } => {
                let shown = pictures.read(room, half, spare.take())?;
                say(line, &ToRenderer::Release { room, half }, None)?;
                if let Some((window, picture)) = shown {
                    screen.put(window, &picture)?;
                    spare = Some(picture);
                }
            }
            FromRenderer::Closed { room } => {
                if let Some(window) = pictures.close(room) {
                    screen.forget(window)?;
                }
            }
            // There is one program, and no other to come back to.
            FromRenderer::Lost => return Ok(()),
            FromRenderer::Counts(_)
            | FromRenderer::Waited(_)
            | FromRenderer::Unconfined(_)
            | FromRenderer::Pulse => {}
        }
    }
    Ok(())
}

struct Screen {
    x: RustConnection,
    /// Of each window its depth and what draws in it.
    windows: HashMap<u32, (u8, u32)>,
}

impl Screen {
    fn connect() -> Result<Self, SoftError> {
        let (x, _) = x11rb::connect(None)?;
        Ok(Self { x, windows: HashMap::new() })
    }

    fn put(&mut self, window: u32, picture: &Framebuffer) -> Result<(), SoftError> {
        let (depth, gc) = match self.windows.get(&window) {
            Some(known) => *known,
            None => {
                // It may be gone already.
                let Ok(geometry) = self.x.get_geometry(window)?.reply() else { return Ok(()) };
                let gc = self.x.generate_id()?;
                self.x.create_gc(gc, window, &CreateGCAux::new().graphics_exposures(0))?.ignore_error();
                self.windows.insert(window, (geometry.depth, gc));
                (geometry.depth, gc)
            }
        };
        let (width, height) = (picture.width(), picture.height());
        let row = usize::from(width) * 4;
        let most = (self.x.maximum_request_bytes().saturating_sub(HEAD) / row.max(1)).max(1);
        let rows = u16::try_from(most).unwrap_or(u16::MAX);
        let mut y = 0;
        while y < height {
            let count = rows.min(height - y);
            let lines = (y..y + count).flat_map(|line| picture.row(0, line, width));
            let bytes: Vec<u8> = lines.flat_map(|pixel| (pixel | OPAQUE).to_le_bytes()).collect();
            let top = i16::try_from(y).unwrap_or(i16::MAX);
            let format = ImageFormat::Z_PIXMAP;
            let put = self.x.put_image(format, window, gc, width, count, 0, top, 0, depth, &bytes)?;
            put.ignore_error();
            y += count;
        }
        Ok(self.x.flush()?)
    }

    fn forget(&mut self, window: u32) -> Result<(), SoftError> {
        if let Some((_, gc)) = self.windows.remove(&window) {
            self.x.free_gc(gc)?.ignore_error();
        }
        Ok(())
    }
}
