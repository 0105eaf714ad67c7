//! How far apart screens are that should match, and that should not: the ground for a replay's thresholds.
//!
//! `cargo run -p vmgl-proxy --example thresholds -- FILE…` takes recordings of one and the same doing. The
//! snapshots of one button in two of them should match; those of buttons at different places should not. For
//! each distance threshold it prints how many pixels mismatch: of those that should match the most and what 95 %
//! are within, of the others the least and what 95 % are above.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use vmgl_proxy::redux::matcher::Part;
use vmgl_proxy::redux::session::{Act, read};
use vmgl_rfb::{Framebuffer, Rect};

const DISTANCES: [u16; 8] = [0, 12, 24, 48, 96, 144, 192, 288];

/// Compares the snapshots of recordings of the same doing.
#[derive(Debug, Parser)]
struct Arguments {
    /// Two or more sessions with the same buttons in the same order
    #[arg(required = true, num_args = 2..)]
    files: Vec<PathBuf>,
}

/// A button's place and what was there.
type Button = ((u16, u16), Part);

fn buttons(path: &PathBuf) -> Result<Vec<Button>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let session = read(BufReader::new(file)).with_context(|| path.display().to_string())?;
    let button = |input: &vmgl_proxy::redux::session::Recorded| match (input.act, &input.before) {
        (Act::Pointer { x, y, .. }, Some(before)) => Some(((x, y), before.part())),
        _ => None,
    };
    Ok(session.inputs.iter().filter_map(button).collect())
}

/// Mismatches of two parts of one size, wherever each was.
fn mismatches(a: &Part, b: &Part, distance: u16) -> Result<u32> {
    let mut screen = Framebuffer::new(b.rect.w, b.rect.h)?;
    screen.pixels_mut().copy_from_slice(&b.pixels);
    let here = Part { rect: Rect::new(0, 0, a.rect.w, a.rect.h), pixels: a.pixels.clone() };
    Ok(here.mismatches(&screen, distance))
}

#[allow(clippy::print_stdout, reason = "its answer")]
fn main() -> Result<()> {
    let all = Arguments::parse().files.iter().map(buttons).collect::<Result<Vec<_>>>()?;
    let count = all.first().map_or(0, Vec::len);
    ensure!(all.iter().all(|buttons| buttons.len() == count) && count > 0, "other buttons in other files");
    println!("| distance | alike: most | 95 % within | other: 95 % above | least |\n|---|---|---|---|---|");
    for distance in DISTANCES {
        let (mut alike, mut other) = (Vec::new(), Vec::new());
        for (n, one) in all.iter().enumerate() {
            for (i, (at, part)) in one.iter().enumerate() {
                for two in all.iter().skip(n + 1) {
                    for (j, (place, with)) in two.iter().enumerate() {
                        let apart = mismatches(part, with, distance)?;
                        if i == j {
                            alike.push(apart);
                        } else if at != place {
                            other.push(apart);
                        }
                    }
                }
            }
        }
        alike.sort_unstable();
        other.sort_unstable();
        let at = |of: &[u32], percent: usize| {
            of.get((of.len() * percent / 100).min(of.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        println!(
            "| {distance} | {} | {} | {} | {} |",
            at(&alike, 100),
            at(&alike, 95),
            at(&other, 5),
            at(&other, 0)
        );
    }
    Ok(())
}
