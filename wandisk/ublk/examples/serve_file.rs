//! Serves a local file as `/dev/ublkbN`, for benchmarks and for trying things out.
//!
//! ```text
//! serve_file FILE [id=N] [recover=N] [queues=N] [depth=N] [read-only]
//! ```
//! Prints the device's path once it is usable. Ends at the end of its standard input, or at the line `stop`, by
//! stopping the device; at the line `leave` by leaving it to be recovered.

#![allow(clippy::print_stdout, reason = "an example talks to its user")]

use std::error::Error;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use wandisk_io::WholeFile;
use wandisk_ublk::{Device, Options, device_info};

const CHUNK_SIZE: u32 = 128 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let file = args.next().ok_or("which file?")?;
    let mut options = Options { mark: 0x5e27_e0f1_1e00_0001, ..Options::default() };
    let (mut recover, mut read_only) = (None, false);
    for arg in args {
        match arg.split_once('=').unwrap_or((&arg, "")) {
            ("id", n) => options.id = Some(n.parse()?),
            ("recover", n) => recover = Some(n.parse()?),
            ("queues", n) => options.queues = n.parse()?,
            ("depth", n) => options.depth = n.parse()?,
            ("read-only", _) => read_only = true,
            _ => return Err(format!("what is {arg}?").into()),
        }
    }
    let lanes = match recover {
        Some(id) => device_info(id)?.map_or(1, |i| i.queues),
        None => options.queues,
    };
    let file = OpenOptions::new().read(true).write(!read_only).open(file)?;
    let disk = Arc::new(WholeFile::new(file, CHUNK_SIZE, usize::from(lanes), read_only)?);
    let device = match recover {
        Some(id) => Device::recover(disk, id, options)?,
        None => Device::add(disk, options)?,
    };
    println!("{}", device.path().display());
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "stop" => break,
            "leave" => return Ok(device.leave()?),
            _ => println!("stop or leave?"),
        }
    }
    let stopped = device.stop(Duration::from_secs(30))?;
    println!("{stopped:?}");
    Ok(())
}
