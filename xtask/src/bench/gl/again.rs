//! Bytes a frame of a program that gives the same textures anew with each picture: less than the compressor looks back, and more.

use std::time::Instant;

use anyhow::Result;

use super::Arguments;
use super::restore::state_program;
use super::world::World;
use crate::bench::display::bar::median;

/// MiB of textures with each picture.
const MIB: [u32; 2] = [2, 16];

/// Over this line.
pub(super) fn measure(world: &World, arguments: &Arguments) -> Result<()> {
    let program = state_program(world)?.display().to_string();
    println!("\n{} ms, 100 Mbit/s: textures that are given anew with each picture", world.rtt_ms);
    println!("  {:<12} {:>14} {:>9} {:>12}", "MiB a frame", "B/frame as is", "FPS", "B/frame");
    for mib in MIB {
        let run = || -> Result<(f64, f64)> {
            let words = [program.as_str(), "0", "0", "0", &mib.to_string()].map(str::to_owned);
            let playing = world.travelling_words(words.to_vec())?;
            let (before, began) = (world.stat(&playing)?, Instant::now());
            std::thread::sleep(arguments.time());
            let (after, passed) = (world.stat(&playing)?, began.elapsed());
            let frames = after.frames - before.frames;
            Ok((frames / passed.as_secs_f64(), (after.bytes - before.bytes) / frames.max(1.0)))
        };
        let runs = (0..arguments.runs).map(|_| run()).collect::<Result<Vec<_>>>()?;
        let (rate, bytes) =
            (median(runs.iter().map(|run| run.0).collect()), median(runs.iter().map(|run| run.1).collect()));
        println!("  {mib:<12} {:>14} {rate:>9.1} {bytes:>12.0}", u64::from(mib) << 20);
    }
    Ok(())
}
