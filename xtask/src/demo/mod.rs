//! `cargo xtask demo`: the main job on real input, from a disk image to "identical".
//!
//! By default in the test guest, with real ublk, two network namespaces with a WAN between them and real sshd;
//! `--here` does the same on this machine, `--nbd` over NBD without root and without a guest. Where no guest can be
//! had the default falls back to `--nbd` and says so.

mod agent;
mod display;
mod files;
mod gl;
mod nbd;
mod nbd_story;
mod story;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::image::Image;
use crate::{guest, process, setup, workspace};

/// Size of the disk that is moved.
const IMAGE_BYTES: u64 = 1280 << 20;
/// Real files for it come from these folders of the machine.
const CONTENT: [&str; 3] = ["/usr/share", "/usr/include", "/usr/lib"];
/// So many and so much of them: enough to be real, little enough that an emulated guest reads them in a minute.
const FILES_MAX: usize = 4000;
const CONTENT_MAX: u64 = 240 << 20;

/// Show the main job: a disk that is used at two sites.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask demo\n  cargo xtask demo --nbd\n  cargo xtask demo display\n  cargo xtask demo gl\n  cargo xtask demo agent"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// On this machine itself: its kernel must have ublk and netem, and you must be root.
    #[arg(long, conflicts_with = "nbd")]
    here: bool,
    /// Over NBD: no root, no ublk, nothing to install but a C compiler; the two sites are joined by a pipe.
    #[arg(long)]
    nbd: bool,
    /// Where the sites' folders go.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The image to make the disk from (one is made otherwise).
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The wandisk program (built otherwise).
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show an agent instead that renders where it is fast and comes back to its user, by itself.
    Agent(agent::Arguments),
    /// Show the display proxy instead: frames a second from afar, and a recorded session, with and without it.
    Display(display::Arguments),
    /// Show VMGL instead: OpenGL of an agent that is far away, drawn at the desk, beside plain VNC.
    Gl(gl::Arguments),
}

/// Runs the demonstration.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    match &arguments.what {
        Some(What::Agent(arguments)) => return agent::main(arguments),
        Some(What::Display(arguments)) => return display::main(arguments),
        Some(What::Gl(arguments)) => return gl::main(arguments),
        None => {}
    }
    if arguments.nbd {
        return by_nbd(arguments);
    }
    if arguments.here {
        let program = arguments.program.clone().map_or_else(|| build(&[]), Ok)?;
        let image = arguments.image.clone().map_or_else(make_image, Ok)?;
        let dir = arguments.dir.clone().unwrap_or_else(|| workspace::target().join("demo"));
        return story::tell(&dir, &program, &image);
    }
    match in_guest() {
        Ok(code) => Ok(code),
        Err(e) => {
            println!("No test guest can be had here, so the demonstration goes over NBD without one: {e:#}");
            by_nbd(arguments)
        }
    }
}

fn in_guest() -> Result<ExitCode> {
    println!("Setting up what is missing, building wandisk, making a disk image …");
    setup::ensure_all()?;
    let program = build(&[])?;
    let image = make_image()?;
    let own = std::env::current_exe().context("this program's own path is unknown")?;
    let text = |path: &Path| path.display().to_string();
    let command = [
        text(&own),
        "demo".to_owned(),
        "--here".to_owned(),
        "--dir".to_owned(),
        "/scratch/demo".to_owned(),
        "--program".to_owned(),
        text(&program),
        "--image".to_owned(),
        text(&image),
    ];
    println!("Booting a guest with Linux 6.12 (ublk, netem) …");
    let options = guest::Options { limit: Duration::from_secs(1500), ..guest::Options::default() };
    let code = guest::run(&command, &options)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn by_nbd(arguments: &Arguments) -> Result<ExitCode> {
    let program = arguments.program.clone().map_or_else(|| build(&["--no-default-features"]), Ok)?;
    let image = arguments.image.clone().map_or_else(make_image, Ok)?;
    let dir = arguments.dir.clone().unwrap_or_else(|| workspace::target().join("demo"));
    nbd_story::tell(&dir, &program, &image)
}

/// Builds wandisk as users run it.
fn build(features: &[&str]) -> Result<PathBuf> {
    let mut command = workspace::cargo();
    command.args(["build", "--quiet", "--release", "--package", "wandisk"]).args(features);
    process::run(&mut command)?;
    Ok(workspace::target().join("release/wandisk"))
}

/// A file system with real files in it, kept for the next time.
fn make_image() -> Result<PathBuf> {
    let folder = workspace::target().join("demo-image");
    let file = folder.join("disk.img");
    if file.exists() {
        return Ok(file);
    }
    std::fs::create_dir_all(&folder)?;
    let content = folder.join("content");
    if content.exists() {
        std::fs::remove_dir_all(&content)?;
    }
    files::collect(&CONTENT, &content, FILES_MAX, CONTENT_MAX)?;
    let beside = folder.join("disk.new");
    Image::ext4(&beside, IMAGE_BYTES, Some(&content))?;
    std::fs::remove_dir_all(&content)?;
    process::run(Command::new("mv").arg(&beside).arg(&file))?;
    Ok(file)
}
