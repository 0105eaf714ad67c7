//! `cargo xtask setup`: finds what is missing and installs it.
//!
//! Each need is first looked for as a file, so that a second run takes no time and asks no network.
//! As root on Debian or Ubuntu, missing packages are installed with apt; elsewhere the command that
//! would do it is printed. The guest's kernel is unpacked below `target/guest`: none is installed and
//! apt's sources stay as they are.

mod apt;
pub(crate) mod kernel;
mod module_tree;
mod packages;
mod rublk;

pub(crate) use rublk::ensure_rublk;

use std::process::ExitCode;

use anyhow::{Result, bail};

use packages::{For, PACKAGES, Package};

/// Install what is missing to build, test and try Snowbird.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only say what is missing; fail if anything is.
    #[arg(long)]
    check: bool,
    /// Also compile rublk, which benchmarks are compared with.
    #[arg(long)]
    bench: bool,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.check {
        let missing = missing(&[For::Build, For::Guest, For::Test]);
        for package in &missing {
            println!("missing: {} ({})", package.name, package.why);
        }
        let kernel = kernel::Kernel::installed(kernel::Series::default());
        if let Err(error) = &kernel {
            println!("missing: {error:#}");
        }
        return Ok(if missing.is_empty() && kernel.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ensure_all()?;
    if arguments.bench {
        println!("rublk: {}", rublk::ensure_rublk()?.display());
    }
    println!("everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Everything for `cargo xtask test`.
pub(crate) fn ensure_all() -> Result<()> {
    ensure(&[For::Build, For::Guest, For::Test])?;
    kernel::ensure(kernel::Series::default())
}

/// What `cargo xtask test --quick` needs.
pub(crate) fn ensure_build() -> Result<()> {
    ensure(&[For::Build])
}

/// What the guest needs.
pub(crate) fn ensure_guest() -> Result<()> {
    ensure(&[For::Guest])?;
    kernel::ensure(kernel::Series::default())
}

fn missing(purposes: &[For]) -> Vec<&'static Package> {
    PACKAGES.iter().filter(|package| purposes.contains(&package.purpose) && !package.is_there()).collect()
}

fn ensure(purposes: &[For]) -> Result<()> {
    let wanted = missing(purposes);
    if wanted.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = wanted.iter().map(|package| package.name).collect();
    apt::install(&names)?;
    let still: Vec<_> = missing(purposes).iter().map(|package| package.name).collect();
    if !still.is_empty() {
        bail!("installed, but not found where expected: {}", still.join(" "));
    }
    Ok(())
}
