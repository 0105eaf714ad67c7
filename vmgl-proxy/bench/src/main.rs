//! The program `vmgl-bench`: the parts of a measurement of the display proxy, each a process.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use vmgl_bench::looker::{Looker, write_ppm};
use vmgl_bench::stream::Door;
use vmgl_bench::{act, guest, paint, source, stamp, vtest, watch};
use vmgl_proxy::{Address, wan};
use vmgl_rfb::Encoding;

/// Parts of a measurement of the display proxy.
///
/// `cargo xtask bench display` and `cargo xtask bench gl` put them together. ADDR is tcp:HOST:PORT or unix:PATH.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  vmgl-bench paint :7
  vmgl-bench watch tcp:127.0.0.1:5907 --seconds 5
  vmgl-bench look tcp:127.0.0.1:5907 --seconds 5 --picture seen.ppm
  vmgl-bench wan --listen tcp:127.0.0.1:5908 --to tcp:127.0.0.1:5907 --rtt-ms 66 --rate 12500000"
)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Paint stamped frames on an X screen
    Paint {
        /// Such as `:7`
        display: String,
        #[command(flatten)]
        frames: Frames,
    },
    /// Be a VNC server that shows stamped frames
    Source {
        /// Where viewers connect
        #[arg(long, value_name = "ADDR")]
        listen: Address,
        /// Without continuous updates and fences
        #[arg(long)]
        plain: bool,
        #[command(flatten)]
        frames: Frames,
    },
    /// Look at a VNC server and print as JSON what was seen
    Watch {
        /// The server
        to: Address,
        /// Count for so long
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Look for so long before
        #[arg(long, default_value_t = 1.0)]
        before: f64,
        /// As numbers of the protocol: 0 raw, 7 Tight, 16 ZRLE
        #[arg(long, default_value_t = 16)]
        encoding: i32,
        /// Have updates sent without asking for each
        #[arg(long)]
        push: bool,
    },
    /// Look at a VNC server that shows anything and print as JSON how often its picture changed
    Look {
        /// The server
        to: Address,
        /// Count for so long
        #[arg(long, default_value_t = 5.0)]
        seconds: f64,
        /// Look for so long before
        #[arg(long, default_value_t = 1.0)]
        before: f64,
        /// As numbers of the protocol: 0 raw, 7 Tight, 16 ZRLE
        #[arg(long, default_value_t = 16)]
        encoding: i32,
        /// Write what is shown at the end, as a portable pixmap
        #[arg(long, value_name = "FILE")]
        picture: Option<PathBuf>,
    },
    /// Press a key at a VNC server that stops what moves and lets it move again; print as JSON how long each took to be seen
    Press {
        /// The server
        to: Address,
        /// The key, as X names it by number
        #[arg(long, default_value_t = u32::from(b'a'))]
        keysym: u32,
        /// Both, so often
        #[arg(long, default_value_t = 5)]
        times: usize,
        /// As numbers of the protocol: 0 raw, 7 Tight, 16 ZRLE
        #[arg(long, default_value_t = 16)]
        encoding: i32,
    },
    /// Carry Mesa's virpipe to a virgl_test_server that is elsewhere
    Vtest {
        /// Where its clients connect
        #[arg(long, value_name = "ADDR")]
        listen: Address,
        /// Where a line to the server begins
        #[arg(long, value_name = "ADDR")]
        to: Address,
    },
    /// Be a long thin line
    Wan {
        /// Its near end
        #[arg(long, value_name = "ADDR")]
        listen: Address,
        /// Where its far end leads
        #[arg(long, value_name = "ADDR")]
        to: Address,
        /// There and back
        #[arg(long, default_value_t = 0)]
        rtt_ms: u64,
        /// Bytes a second each way; without: no bound
        #[arg(long)]
        rate: Option<u64>,
    },
    /// Be a user at a VNC server: click, type lines, look
    Act {
        /// The server
        to: Address,
        /// What is typed, each with return at its end
        lines: Vec<String>,
        /// Of the times between keys
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write a disk for QEMU that boots into 60 colours a second
    Guest {
        /// The disk's file
        file: PathBuf,
    },
}

#[derive(clap::Args)]
struct Frames {
    /// New frames a second
    #[arg(long, default_value_t = 60)]
    hertz: u32,
    /// About so many bytes a frame, which no encoding makes less
    #[arg(long, default_value_t = 12_000)]
    bytes: usize,
}

/// Where the pointer is when a key is pressed.
const PLACE: (u16, u16) = (60, 60);
/// Of the times between keys.
const SEED: u64 = 1;

fn encoding_of(number: i32) -> Result<Encoding> {
    Encoding::from_number(number).context("no encoding has this number")
}

fn main() -> Result<()> {
    match Args::parse().what {
        What::Paint { display, frames } => {
            paint::run(&display, frames.hertz, stamp::height_of(frames.bytes), None)
        }
        What::Source { listen, plain, frames } => {
            let door = Door::open(&listen).with_context(|| format!("listening at {listen}"))?;
            let height = stamp::height_of(frames.bytes);
            let settings = source::Settings { hertz: frames.hertz, height, size: (640, 480), plain };
            Ok(source::serve(&door, settings)?)
        }
        What::Watch { to, seconds, before, encoding, push } => {
            let encoding = encoding_of(encoding)?;
            let [before, time] = [before, seconds].map(Duration::from_secs_f64);
            let report = watch::look(&to, watch::Settings { encoding, pushes: push, before, time })?;
            serde_json::to_writer(std::io::stdout(), &report)?;
            Ok(())
        }
        What::Look { to, seconds, before, encoding, picture } => {
            let mut looker = Looker::open(&to, encoding_of(encoding)?)?;
            let [before, time] = [before, seconds].map(Duration::from_secs_f64);
            serde_json::to_writer(std::io::stdout(), &looker.look(before, time)?)?;
            Ok(picture.map_or(Ok(()), |file| write_ppm(looker.picture(), &file))?)
        }
        What::Press { to, keysym, times, encoding } => {
            let mut looker = Looker::open(&to, encoding_of(encoding)?)?;
            serde_json::to_writer(std::io::stdout(), &looker.press(PLACE, keysym, times, SEED)?)?;
            Ok(())
        }
        What::Vtest { listen, to } => {
            let door = Door::open(&listen).with_context(|| format!("listening at {listen}"))?;
            Ok(vtest::serve(&door, &to)?)
        }
        What::Wan { listen, to, rtt_ms, rate } => {
            let delay = Duration::from_micros(rtt_ms * 500);
            let path = wan::Path { delay, rate, ..wan::Path::default() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(line(&listen, to, path))
        }
        What::Act { to, lines, seed } => act::work(&to, &lines, seed),
        What::Guest { file } => Ok(std::fs::write(file, guest::boot_sector())?),
    }
}

async fn line(listen: &Address, to: Address, path: wan::Path) -> Result<()> {
    Ok(wan::serve(listen.listen().await?, to, path).await?)
}
