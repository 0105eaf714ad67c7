//! `cargo xtask demo gl`: what VMGL does for a user, on real programs.
//!
//! Gears and an isosurface of VTK's in an agent that is 100 ms away, first as its own software draws them and a plain viewer
//! gets them, then drawn at the desk: pictures a second, bytes on the line, and what the viewer showed at the end.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::bench::gl::programs::{Pace, Program};
use crate::bench::gl::world::{Built, Pixels, Playing, World};
use crate::rig::Scratch;
use crate::{process, workspace};

/// Whom it shows.
const PROGRAMS: [&str; 2] = ["glxgears", "vtk isosurface"];
/// How long a viewer looks, and for how long before that.
const LOOK: Duration = Duration::from_secs(5);
const BEFORE: Duration = Duration::from_secs(1);

/// What of it.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Arguments {
    /// The line's round trip, in milliseconds.
    #[arg(long, default_value_t = 100, value_name = "MS")]
    rtt: u64,
}

/// Runs it.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    println!("Setting up what is missing, building the proxy and the library …");
    let mut scratch = Scratch::make("gl")?;
    let built = Built::make(scratch.path())?;
    let dir = workspace::target().join("demo-gl");
    std::fs::create_dir_all(&dir)?;
    println!(
        "An agent, {} ms and 100 Mbit/s away; a viewer looks at it for {LOOK:?} each time …",
        arguments.rtt
    );
    let world = World::make(&mut scratch, &built, arguments.rtt)?;
    println!("  {:<16} {:<30} {:>10} {:>14} {:>14}", "", "", "pictures/s", "KB/s, line", "KB a picture");
    for name in PROGRAMS {
        let program = Program::named(name).context("no such program")?;
        let picture = |way: &str| dir.join(format!("{}-{way}.png", name.replace(' ', "-")));
        let mut plain = world.staying(program, Pace::Screen, &[])?;
        plain.drawn_here().with_context(|| format!("{name} does not draw in the agent"))?;
        let at = &world.plain.at;
        show(&world, &plain, (name, "software and plain VNC"), (at, Pixels::Zrle), &picture("vnc"))?;
        drop(plain);
        let desk = world.travelling(program, Pace::Screen);
        let desk = desk.with_context(|| format!("{name} does not draw at the desk"))?;
        let at = &world.proxy.at;
        show(&world, &desk, (name, "VMGL: drawn at the desk"), (at, Pixels::Raw), &picture("vmgl"))?;
    }
    println!("Pictures, as the viewers had them, are in {}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// Has a viewer look, and tells what it saw.
fn show(
    world: &World,
    _playing: &Playing,
    (name, way): (&str, &str),
    (at, pixels): (&str, Pixels),
    picture: &Path,
) -> Result<()> {
    let pixmap = picture.with_extension("ppm");
    let looking = world.looking(at, pixels, (BEFORE, LOOK), Some(&pixmap))?;
    std::thread::sleep(BEFORE);
    let before = world.line_bytes()?;
    std::thread::sleep(LOOK);
    let line = (world.line_bytes()? - before) / LOOK.as_secs_f64() / 1e3;
    let seen = looking.done()?;
    println!("  {name:<16} {way:<30} {:>10.1} {line:>14.1} {:>14.2}", seen.rate, line / seen.rate.max(1.0));
    png(&pixmap, picture)
}

fn png(from: &Path, to: &Path) -> Result<()> {
    process::output(Command::new("convert").arg(from).arg(to))?;
    Ok(std::fs::remove_file(from)?)
}
