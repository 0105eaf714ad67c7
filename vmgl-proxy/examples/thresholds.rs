//! How far apart screens are that should match, and that should not: the ground for a replay's thresholds.
//!
//! `cargo run -p vmgl-proxy --example thresholds -- FILE…` takes recordings of one and the same doing. The
//! snapshots of one button in two of them should match; those of buttons at different places should not. It
//! prints for each distance threshold how many pixels mismatch: for each button the most of any two recordings, and
//! the least and what 95 % are above of buttons at different places.

#![forbid(unsafe_code)]

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use vmgl_proxy::redux::matcher::Part;
use vmgl_proxy::redux::session::{Act, read};
use vmgl_rfb::{Framebuffer, Rect};

const DISTANCES: [u16; 6] = [0, 24, 48, 96, 192, 288];

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
    let two =
        || all.iter().enumerate().flat_map(|(n, one)| all.iter().skip(n + 1).map(move |two| (one, two)));
    println!("| button | {} |", DISTANCES.map(|distance| distance.to_string()).join(" | "));
    println!("|---|{}", "---|".repeat(DISTANCES.len()));
    for (i, (at, _)) in all.first().into_iter().flatten().enumerate() {
        let most = |distance| {
            two()
                .map(|(a, b)| mismatches(&a[i].1, &b[i].1, distance))
                .try_fold(0, |most, n| Ok::<_, anyhow::Error>(n?.max(most)))
        };
        row(&format!("{i} at {}, {}", at.0, at.1), most)?;
    }
    let elsewhere = |distance| {
        let pairs =
            two().flat_map(|(a, b)| a.iter().flat_map(move |one| b.iter().map(move |other| (one, other))));
        let mut apart = pairs
            .filter(|(one, other)| one.0 != other.0)
            .map(|(one, other)| mismatches(&one.1, &other.1, distance))
            .collect::<Result<Vec<_>>>()?;
        apart.sort_unstable();
        Ok::<_, anyhow::Error>(apart)
    };
    row("elsewhere: least", |distance| Ok(elsewhere(distance)?.first().copied().unwrap_or_default()))?;
    row("elsewhere: 95 % above", |distance| {
        let apart = elsewhere(distance)?;
        Ok(apart.get(apart.len() / 20).copied().unwrap_or_default())
    })?;
    Ok(())
}

#[allow(clippy::print_stdout, reason = "its answer")]
fn row(name: &str, of: impl Fn(u16) -> Result<u32>) -> Result<()> {
    let cells = DISTANCES.map(&of).into_iter().collect::<Result<Vec<_>>>()?;
    println!("| {name} | {} |", cells.iter().map(u32::to_string).collect::<Vec<_>>().join(" | "));
    Ok(())
}
