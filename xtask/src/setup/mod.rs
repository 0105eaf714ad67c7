//! `cargo xtask setup`: finds what is missing and installs it.
//!
//! Each need is first looked for as a file, so that a second run takes no time and asks no network.
//! As root on Debian or Ubuntu, missing packages are installed with apt; elsewhere the command that
//! would do it is printed. Peers written in Python go below `target/peers`, noVNC below `target/npm`. The guest's kernel
//! and a newer QEMU are unpacked below `target/guest`, and a Debian for agents is made there: none is installed and apt's
//! sources stay as they are.

mod apt;
pub(crate) mod debian;
pub(crate) mod kernel;
mod module_tree;
mod npm;
mod packages;
mod python;
pub(crate) mod qemu;
mod rublk;

pub(crate) use rublk::ensure_rublk;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace;
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
    /// Also install the OpenGL programs of `bench gl` and `demo gl`.
    #[arg(long)]
    gl: bool,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode> {
    if arguments.check {
        let mut purposes = vec![For::Build, For::Guest, For::Test];
        purposes.extend(arguments.gl.then_some(For::Gl));
        let missing = missing(&purposes);
        for package in &missing {
            println!("missing: {} ({})", package.name, package.why);
        }
        let peers = python::missing();
        for peer in &peers {
            println!("missing: {peer} below {}", workspace::target().display());
        }
        let kernel = kernel::Kernel::installed(kernel::Series::default());
        if !npm::has_novnc() {
            println!("missing: noVNC below {}", workspace::target().display());
        }
        if let Err(error) = &kernel {
            println!("missing: {error:#}");
        }
        let qemu = qemu::folder();
        if let Err(error) = &qemu {
            println!("missing: {error:#}");
        }
        let debian = debian::disk();
        if let Err(error) = &debian {
            println!("missing: {error:#}");
        }
        let there = missing.is_empty()
            && peers.is_empty()
            && kernel.is_ok()
            && qemu.is_ok()
            && debian.is_ok()
            && npm::has_novnc();
        return Ok(if there { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    ensure_all()?;
    debian::ensure()?;
    if arguments.gl {
        ensure(&[For::Gl])?;
    }
    if arguments.bench {
        println!("rublk: {}", rublk::ensure_rublk()?.display());
    }
    println!("everything is there");
    Ok(ExitCode::SUCCESS)
}

/// Everything for `cargo xtask test`, but for the Debian of agents, which is made while all is compiled.
pub(crate) fn ensure_all() -> Result<()> {
    ensure(&[For::Build, For::Guest, For::Test])?;
    python::ensure()?;
    npm::ensure_novnc()?;
    qemu::ensure_newer()?;
    kernel::ensure(kernel::Series::default())
}

/// What `cargo xtask test --quick` needs.
pub(crate) fn ensure_build() -> Result<()> {
    ensure(&[For::Build])
}

/// Everything for `cargo xtask bench gl` and `cargo xtask demo gl`.
pub(crate) fn ensure_gl() -> Result<()> {
    ensure(&[For::Build, For::Guest, For::Test, For::Gl])
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
    let names = || missing(purposes).iter().map(|package| package.name).collect();
    settle(names, apt::install)
}

/// Installs what is missing until nothing is. One installation may take away what was there: a qemu-utils
/// newer than apt's sources goes when a qemu of theirs comes, and is then missing itself.
fn settle(
    missing: impl Fn() -> Vec<&'static str>,
    mut install: impl FnMut(&[&str]) -> Result<()>,
) -> Result<()> {
    let mut wanted = missing();
    for _ in 0..ROUNDS_MAX {
        if wanted.is_empty() {
            return Ok(());
        }
        install(&wanted)?;
        wanted = missing();
    }
    if !wanted.is_empty() {
        bail!("installed, but not found where expected: {}", wanted.join(" "));
    }
    Ok(())
}

/// How often what is missing is installed.
const ROUNDS_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn what_an_installation_takes_away_is_installed_again() {
        let there = RefCell::new(vec!["qemu-utils"]);
        let missing = || {
            ["qemu-utils", "qemu-system-x86"].into_iter().filter(|it| !there.borrow().contains(it)).collect()
        };
        let install = |names: &[&str]| {
            if names.contains(&"qemu-system-x86") {
                *there.borrow_mut() = vec!["qemu-system-x86"];
            } else {
                there.borrow_mut().push("qemu-utils");
            }
            Ok(())
        };
        settle(missing, install).unwrap();
        assert_eq!(there.into_inner(), ["qemu-system-x86", "qemu-utils"]);
    }

    #[test]
    fn what_never_comes_is_named() {
        let error = settle(|| vec!["fio"], |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("expected: fio"), "{error}");
    }
}
