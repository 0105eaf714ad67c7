//! What the QEMU of this site can do: machine types, and whether KVM is there in truth.
//!
//! `/dev/kvm` says little: nested virtualisation may be there and lack what a processor of fifteen years ago had (seen: no
//! SSE3). So a machine with the agent's own processor is run whose whole firmware says a number and ends ([`kvm_works`]).

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";
/// What its machine types are it says in some tens of milliseconds, and in some kilobytes.
const SAYS: Duration = Duration::from_secs(20);
const SAID_MAX: u64 = 1 << 20;
/// It takes a tenth of a second where it works.
const TRIAL: Duration = Duration::from_secs(8);
/// What [`firmware`] says, as QEMU's exit code: twice the number and one.
const SAID: i32 = (0x2b << 1) | 1;

/// Why nothing is known of it.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// It is not installed.
    #[error("{QEMU} is not to be found in the PATH")]
    Missing,
    /// It could not be run.
    #[error("{QEMU} could not be run")]
    Run(#[from] std::io::Error),
    /// It hangs.
    #[error("{QEMU} did not say within {} s which machines it knows", limit.as_secs())]
    Late {
        /// How long was waited.
        limit: Duration,
    },
    /// It has no machine of the kind.
    #[error("QEMU has no q35 machine")]
    NoMachine,
}

impl MachineError {
    /// What to do about it, at the site of which it is said.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            MachineError::Missing | MachineError::NoMachine => {
                Some("install the package qemu-system-x86 there (its program is qemu-system-x86_64)")
            }
            MachineError::Run(_) | MachineError::Late { .. } => {
                Some("try what `qemu-system-x86_64 -machine help` says there")
            }
        }
    }
}

/// Finds a program in `PATH`, and beside this one.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let own = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(name)));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(std::env::split_paths(&path).map(|folder| folder.join(name)))
        .find(|file| file.is_file())
}

/// The names of all machine types, and which one `q35` stands for.
#[must_use]
pub fn machines(help: &str) -> (Vec<String>, Option<String>) {
    let words = help.lines().skip(1).filter_map(|line| Some((line.split_whitespace().next()?, line)));
    let mut names = Vec::new();
    let mut newest = None;
    for (name, line) in words {
        match line.rsplit_once("(alias of ") {
            Some((_, of)) if name == "q35" => newest = of.split(')').next().map(str::to_owned),
            _ => names.push(name.to_owned()),
        }
    }
    (names, newest)
}

/// A QEMU that is only asked something: it ends with the thread that asks, however that ends (where there is `setpriv`, of util-linux).
pub(crate) fn asked(qemu: &Path) -> Command {
    let Some(setpriv) = find("setpriv") else { return Command::new(qemu) };
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(qemu);
    command
}

/// What this site's QEMU says of its machine types.
///
/// # Errors
/// [`MachineError`].
pub fn known() -> Result<(Vec<String>, String), MachineError> {
    let qemu = find(QEMU).ok_or(MachineError::Missing)?;
    let (names, newest) = machines(&said(asked(&qemu).args(["-machine", "help"]), SAYS)?);
    Ok((names, newest.ok_or(MachineError::NoMachine)?))
}

/// What a program says on its standard output until it closes that; it is ended then, and when it has not by `limit`.
fn said(command: &mut Command, limit: Duration) -> Result<String, MachineError> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (sender, all) = channel();
    if let Some(stdout) = child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stdout.take(SAID_MAX).read_to_end(&mut bytes);
            sender.send(read.map(|_| bytes)).ok();
        });
    }
    let bytes = all.recv_timeout(limit);
    child.kill().ok();
    child.wait()?;
    Ok(String::from_utf8_lossy(&bytes.map_err(|_| MachineError::Late { limit })??).into_owned())
}

/// A firmware that says a number: `mov al, 0x2b; out 0xf4, al; hlt` where an x86 processor begins, 16 bytes before the end.
fn firmware() -> Vec<u8> {
    let mut rom = vec![0; 64 << 10];
    let start = rom.len() - 16;
    rom[start..start + 5].copy_from_slice(&[0xb0, 0x2b, 0xe6, 0xf4, 0xf4]);
    rom
}

/// Does a machine with this processor really run under KVM here?
#[must_use]
pub fn kvm_works(scratch: &Path, cpu: &str) -> bool {
    std::fs::File::options().read(true).write(true).open("/dev/kvm").is_ok()
        && runs(scratch, "kvm", &format!("{cpu},enforce")).unwrap_or(false)
}

fn runs(scratch: &Path, accelerator: &str, cpu: &str) -> std::io::Result<bool> {
    let rom = scratch.join(format!("trial-{}.rom", std::process::id()));
    std::fs::write(&rom, firmware())?;
    let mut command = asked(&find(QEMU).unwrap_or_else(|| QEMU.into()));
    command.args(["-accel", accelerator, "-cpu", cpu, "-machine", "q35", "-nodefaults", "-display", "none"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"]).arg(&rom);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let end = Instant::now() + TRIAL;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break status.code(),
            None if Instant::now() > end => {
                child.kill().ok();
                break child.wait()?.code();
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    std::fs::remove_file(rom).ok();
    Ok(status == Some(SAID))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_machine_type_is_named_with_its_version() {
        let help = "Supported machines are:\n\
                    pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)\n\
                    pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)\n\
                    q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)\n\
                    pc-q35-7.2           Standard PC (Q35 + ICH9, 2009)\n";
        let (names, newest) = machines(help);
        assert_eq!(newest.as_deref(), Some("pc-q35-7.2"));
        assert!(names.contains(&"pc-q35-7.2".to_owned()) && !names.contains(&"q35".to_owned()), "{names:?}");
    }

    #[test]
    fn a_program_that_says_nothing_and_does_not_end_is_ended() {
        let limit = Duration::from_millis(100);
        let late = said(Command::new("sleep").arg("600"), limit);
        assert!(matches!(late, Err(MachineError::Late { .. })), "{late:?}");
        assert_eq!(said(Command::new("echo").arg("x"), Duration::from_secs(60)).unwrap(), "x\n");
    }

    #[test]
    fn a_qemu_that_is_only_asked_ends_with_whoever_asks() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("qemu");
        std::fs::write(&script, "#!/bin/sh\nexec sleep 1000\n").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        // The thread that asks ends, once that is to be heard; nobody ends the process.
        let asks = std::thread::spawn(move || {
            let child = asked(&script).spawn().unwrap();
            let comm = format!("/proc/{}/comm", child.id());
            while std::fs::read_to_string(&comm).unwrap().trim() != "sleep" {
                assert!(Instant::now() < end, "it does not begin");
                std::thread::sleep(Duration::from_millis(5));
            }
            child
        });
        let mut child = asks.join().unwrap();
        while child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it still runs");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_real_qemu_runs_the_trial_and_tells_its_machines() {
        let (names, newest) = known().unwrap();
        assert!(names.contains(&newest), "{newest}: {names:?}");
        let folder = tempfile::tempdir().unwrap();
        assert!(runs(folder.path(), "tcg", "Nehalem").unwrap(), "the trial must run by translation");
        assert!(!runs(folder.path(), "tcg", "no-such-processor").unwrap());
    }
}
