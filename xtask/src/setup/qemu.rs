//! A QEMU of version 10 for the agents of tests and benchmarks, below `target/guest/qemu-10`, beside whatever the machine has.
//!
//! Debian 12 has 7.2, with which a translated agent stands while its memory is copied. Version 10 is in bookworm-backports: it is
//! unpacked, not installed, needs the libraries that 7.2 needs, and is found by whoever has [`folder`] first in its `PATH`.
//! Its program there is a script: Debian's QEMU looks for its firmware and modules in `/usr`, and is told where they are. Where the
//! machine's own QEMU is 9 or later already, the script runs that one.
//!
//! Invariant: the folder appears whole, by a rename, or not at all; what it holds has said its version once.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::apt::Source;
use super::kernel::{move_folder, remove};
use crate::{process, workspace};

/// The program.
pub(crate) const PROGRAM: &str = "qemu-system-x86_64";
/// What it is made of. (No network card's firmware: agents' cards have none.)
const PACKAGES: [&str; 4] = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];
/// Before, it forgot writes of translated machines while their memory was copied.
const MAJOR_LEAST: u32 = 9;

/// Runs what was unpacked beside it.
const UNPACKED: &str = r#"#!/bin/sh
at=$(dirname "$(dirname "$(readlink -f "$0")")")/usr
export QEMU_MODULE_DIR="$at/lib/x86_64-linux-gnu/qemu"
exec "$at/bin/qemu-system-x86_64" -L "$at/share/qemu" -L "$at/share/seabios" "$@"
"#;

fn place() -> PathBuf {
    workspace::guest().join("qemu-10")
}

/// The folder that has it, for a `PATH`.
///
/// # Errors
/// When it is not there.
pub(crate) fn folder() -> Result<PathBuf> {
    let folder = place().join("bin");
    ensure!(folder.join(PROGRAM).is_file(), "QEMU 10 is missing: cargo xtask setup");
    Ok(folder)
}

/// Gets and unpacks it unless it is there.
pub(super) fn ensure_newer() -> Result<()> {
    if folder().is_ok() {
        return Ok(());
    }
    let guest = workspace::guest();
    let ready = guest.join("qemu.new");
    remove(&ready)?;
    std::fs::create_dir_all(ready.join("bin"))
        .with_context(|| format!("cannot create {}", ready.display()))?;
    let script = match process::find(PROGRAM) {
        Some(own) if major(&own)? >= MAJOR_LEAST => format!("#!/bin/sh\nexec '{}' \"$@\"\n", own.display()),
        _ => {
            println!("getting QEMU 10");
            let apt = guest.join("apt-qemu");
            let backports = Source::backports("bookworm", &apt)?;
            for name in PACKAGES {
                let package = backports.fetch(name, &apt)?;
                process::output(Command::new("dpkg").arg("-x").arg(&package).arg(&ready))?;
                std::fs::remove_file(package)?;
            }
            UNPACKED.to_owned()
        }
    };
    let program = ready.join("bin").join(PROGRAM);
    std::fs::write(&program, script)?;
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755))?;
    let found = major(&program)?;
    if found < MAJOR_LEAST {
        bail!("bookworm-backports gave QEMU {found}, and {MAJOR_LEAST} or later is needed");
    }
    remove(&place())?;
    move_folder(&ready, &place())
}

/// The first number of a QEMU's version.
fn major(program: &Path) -> Result<u32> {
    let said = process::output(Command::new(program).arg("--version"))?;
    parse(&said).with_context(|| format!("{} does not say its version: {said}", program.display()))
}

fn parse(said: &str) -> Option<u32> {
    said.strip_prefix("QEMU emulator version ")?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_as_debian_writes_it() {
        let said =
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c) 2003\n";
        assert_eq!(parse(said), Some(10));
        assert_eq!(parse("bash: not found"), None);
    }
}
