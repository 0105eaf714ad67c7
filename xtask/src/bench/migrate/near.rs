//! What is at the user's side while an agent moves: the other end of its TCP stream, and somebody who types at its screen.
//!
//! Each is a process in that side's network namespace and prints a line a sample: when (milliseconds since 1970), and how long
//! (milliseconds). The screen is looked at as plain viewers do, through the address that `snowbird view` gives; an echo is from
//! the key's press to the first change of the screen.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::rig::now_ms;

/// Which of both.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Near {
    /// Give back what the agent streams to this port, and tell how long each block came after the one before.
    #[arg(long)]
    stream: Option<u16>,
    /// Type at the screen at this address, and tell how late each key is seen.
    #[arg(long)]
    screen: Option<String>,
}

/// What the agent sends at once.
const BLOCK: usize = 4096;
/// From an echo to the next key: no beat that fits the screen's own.
const KEYS_MS: [u64; 5] = [210, 230, 270, 290, 330];
/// A key that is not seen by then is not waited for.
const LOST: Duration = Duration::from_secs(20);

fn say(at_ms: u64, time: Duration) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "{at_ms} {:.1}", time.as_secs_f64() * 1e3)?;
    Ok(out.flush()?)
}

/// Runs until what it talks to ends, or it is killed.
pub(crate) fn run(near: &Near) -> Result<()> {
    if let Some(port) = near.stream {
        return stream(port);
    }
    screen(near.screen.as_deref().context("neither a stream nor a screen")?)
}

fn stream(port: u16) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut block = vec![0; BLOCK];
    let mut last = Instant::now();
    loop {
        match stream.read_exact(&mut block) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let time = last.elapsed();
        last = Instant::now();
        say(now_ms(), time)?;
        stream.write_all(&block)?;
    }
}

fn screen(address: &str) -> Result<()> {
    let mut screen = Screen::connect(address)?;
    for wait in KEYS_MS.iter().cycle() {
        screen.rests(Duration::from_millis(*wait))?;
        let (at, began) = (now_ms(), Instant::now());
        screen.types(b'a')?;
        screen.changes()?;
        say(at, began.elapsed())?;
    }
    Ok(())
}

/// An RFB viewer that looks at nothing but when something changes.
struct Screen {
    stream: TcpStream,
}

impl Screen {
    fn connect(address: &str) -> Result<Screen> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot reach {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOST))?;
        let mut screen = Screen { stream };
        screen.take(12)?;
        screen.stream.write_all(b"RFB 003.008\n")?;
        let kinds = screen.take(1)?[0];
        ensure!(screen.take(usize::from(kinds))?.contains(&1), "the screen wants a password");
        screen.stream.write_all(&[1])?;
        ensure!(screen.take(4)? == [0; 4], "the screen refuses");
        screen.stream.write_all(&[1])?;
        let head = screen.take(24)?;
        let name = u32::from_be_bytes([head[20], head[21], head[22], head[23]]);
        screen.take(usize::try_from(name)?)?;
        // Raw, as all must know: 32 bits a pixel, as QEMU has them by itself.
        ensure!(head[4] == 32, "a screen of {} bits a pixel", head[4]);
        screen.stream.write_all(&[2, 0, 0, 1, 0, 0, 0, 0])?;
        screen.asks(false)?;
        screen.update()?;
        screen.asks(true)?;
        Ok(screen)
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).context("the screen is gone")?;
        Ok(bytes)
    }

    fn asks(&mut self, incremental: bool) -> Result<()> {
        Ok(self.stream.write_all(&[3, u8::from(incremental), 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])?)
    }

    fn types(&mut self, key: u8) -> Result<()> {
        Ok(self.stream.write_all(&[4, 1, 0, 0, 0, 0, 0, key, 4, 0, 0, 0, 0, 0, 0, key])?)
    }

    /// Takes the next change, and asks for the one after it.
    fn changes(&mut self) -> Result<()> {
        while self.update()? == 0 {}
        self.asks(true)
    }

    /// Takes what changes for so long: a key may change the screen more than once.
    fn rests(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(self.stream.set_read_timeout(Some(LOST))?);
            }
            self.stream.set_read_timeout(Some(left))?;
            if self.stream.peek(&mut [0]).is_ok_and(|len| len > 0) {
                self.stream.set_read_timeout(Some(LOST))?;
                self.changes()?;
            }
        }
    }

    /// The next update's number of pixels.
    fn update(&mut self) -> Result<usize> {
        loop {
            match self.take(1)?[0] {
                0 => break,
                2 => {}
                3 => {
                    let head = self.take(7)?;
                    let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
                    self.take(usize::try_from(len)?)?;
                }
                other => anyhow::bail!("the screen says {other}, which was not asked for"),
            }
        }
        let head = self.take(3)?;
        let mut pixels = 0;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            let place = self.take(12)?;
            let side = |at: usize| usize::from(u16::from_be_bytes([place[at], place[at + 1]]));
            ensure!(place[8..] == [0; 4], "the screen comes in an encoding that was not asked for");
            self.take(side(4) * side(6) * 4)?;
            pixels += side(4) * side(6);
        }
        Ok(pixels)
    }
}
