//! `cargo xtask dist`: programs that need nothing of the machine they run on, for sites that have other libraries.
//!
//! `snowbird site setup SITE --from target/dist` brings them to a site. They are linked statically with the C library, and
//! without OpenSSL: links over SSH are made by the program `ssh`. That nothing else is needed is shown by running each in a
//! root in which there is nothing else.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::{process, workspace};

/// The package, its features, and its program.
const PROGRAMS: [(&str, &[&str], &str); 2] =
    [("wandisk", &["--no-default-features", "--features", "ublk"], "wandisk"), ("manager", &[], "snowbird")];

/// Build programs for any Linux of this processor, into target/dist.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask dist\n  snowbird site setup big --from target/dist")]
pub(crate) struct Arguments {}

/// Runs the command.
pub(crate) fn main(_: &Arguments) -> Result<ExitCode> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = workspace::target().join("dist");
    fs::create_dir_all(&folder)?;
    for (package, features, program) in PROGRAMS {
        let mut build = workspace::cargo();
        build.args(["build", "--release", "--target", &target, "--package", package, "--bin", program]);
        // With --target, build scripts and macros are compiled without it.
        build.args(features).env("RUSTFLAGS", "-C target-feature=+crt-static");
        process::run(&mut build)?;
        let made = workspace::target().join(&target).join("release").join(program);
        fs::copy(&made, folder.join(program)).with_context(|| format!("cannot copy {}", made.display()))?;
        let bytes = fs::metadata(&made)?.len();
        println!("{}: {:.1} MiB, {}", program, megabytes(bytes), alone(&folder, program)?);
    }
    println!("in {}; `snowbird site setup SITE --from` it", folder.display());
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one place")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What a program says of its version in a root where there is nothing but these programs.
fn alone(folder: &Path, program: &str) -> Result<String> {
    let mut command = Command::new(process::find("unshare").context("unshare (util-linux) is not there")?);
    command
        .args(["--user", "--map-root-user", "--root"])
        .arg(folder)
        .arg(format!("/{program}"))
        .arg("--version");
    let said = process::output(&mut command)?;
    if !said.starts_with(program) {
        bail!("{program} says of itself: {said}");
    }
    Ok(said.trim().to_owned())
}
