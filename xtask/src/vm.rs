//! `cargo xtask vm`: a command or a shell in the test guest.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::guest::{self, Options};
use crate::setup::kernel::Series;

/// Run a command, or a shell, in the test guest.
///
/// The guest is a virtual machine with a kernel that has ublk, netem and device-mapper, and this host's
/// own root with a tmpfs on top: every program is there, and what the command writes is lost, except
/// below /share (target/guest/share). /scratch is an ext4 file system on a disk. The exit code is the
/// command's, or 125 when the guest failed or ran out of time.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  cargo xtask vm
  cargo xtask vm -- sh -c 'modprobe ublk_drv && ls -l /dev/ublk-control'
  cargo xtask vm --disk 4G --timeout 120 -- ./my-test.sh")]
pub(crate) struct Arguments {
    /// Memory, for example 4G.
    #[arg(long, default_value = "3G", value_parser = size, value_name = "SIZE")]
    memory: u64,
    /// Number of processors.
    #[arg(long, default_value_t = 2, value_name = "N")]
    smp: u32,
    /// Size of the file system at /scratch; 0 for none.
    #[arg(long, default_value = "8G", value_parser = size, value_name = "SIZE")]
    scratch: u64,
    /// A further, empty disk: /dev/vdb, the next one /dev/vdc, … (from /dev/vda with --scratch 0).
    #[arg(long = "disk", value_parser = size, value_name = "SIZE")]
    disks: Vec<u64>,
    /// The folder of this host that the guest sees at /share [default: target/guest/share].
    #[arg(long, value_name = "FOLDER")]
    share: Option<PathBuf>,
    /// A variable of the command.
    #[arg(long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// End the guest after this many seconds; a shell has no limit.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    /// Connect the command to this terminal.
    #[arg(long, short)]
    interactive: bool,
    /// The kernel: Debian's 6.12, or the newest of its backports.
    #[arg(long, value_enum, default_value_t)]
    kernel: Series,
    /// A further argument of QEMU.
    #[arg(long = "qemu", value_name = "ARGUMENT", allow_hyphen_values = true)]
    qemu: Vec<String>,
    /// The command and its arguments; without one, a shell.
    #[arg(last = true)]
    command: Vec<String>,
}

/// What `cargo xtask vm` ends with when it is not the command that failed, as `env` and `timeout` do.
const NOT_RUN: u8 = 125;

/// Runs the command; the exit code is the command's.
pub(crate) fn main(arguments: Arguments) -> Result<ExitCode> {
    run(arguments).or_else(|error| {
        eprintln!("xtask: {error:#}");
        Ok(ExitCode::from(NOT_RUN))
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let interactive = arguments.interactive || arguments.command.is_empty();
    if interactive && !std::io::stdin().is_terminal() {
        bail!("a shell needs a terminal; give a command: cargo xtask vm -- COMMAND");
    }
    let mut command = if arguments.command.is_empty() { vec!["bash".to_owned()] } else { arguments.command };
    let mut options = Options {
        memory_mib: u32::try_from(arguments.memory >> 20)?,
        processors: arguments.smp,
        scratch_bytes: arguments.scratch,
        disks_bytes: arguments.disks,
        env: arguments.env,
        limit: Duration::from_secs(arguments.timeout),
        interactive,
        kernel: arguments.kernel,
        qemu: arguments.qemu,
        ..Options::default()
    };
    if let Some(share) = arguments.share {
        options.share = std::path::absolute(share)?;
    }
    if interactive {
        command = at_size(command);
        options.env.push(format!("TERM={}", std::env::var("TERM").unwrap_or_else(|_| "vt100".to_owned())));
    }
    crate::setup::ensure_guest()?;
    let code = guest::run(&command, &options)?;
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
}

/// The command, told the size of this terminal, which a console of QEMU's does not pass on.
fn at_size(command: Vec<String>) -> Vec<String> {
    // `stty size` says "ROWS COLUMNS" of its standard input, which is ours.
    let size = Command::new("stty").arg("size").stdin(Stdio::inherit()).output();
    let said = size.map(|done| String::from_utf8_lossy(&done.stdout).into_owned()).unwrap_or_default();
    let Some((rows, columns)) = said.trim().split_once(' ') else { return command };
    let script = "stty rows \"$1\" columns \"$2\"; shift 2; exec \"$@\"";
    let shell = ["sh", "-c", script, "sh", rows, columns].map(str::to_owned);
    shell.into_iter().chain(command).collect()
}

/// A size in bytes, with K, M, G or T for powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim_end_matches("iB") {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("{unit:?} is no unit; K, M, G and T are")),
    };
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is no size; 512M is one"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("0"), Ok(0));
        assert_eq!(size("3G"), Ok(3 << 30));
        assert_eq!(size("512MiB"), Ok(512 << 20));
        assert!(size("G").is_err() && size("1X").is_err() && size("99999999999T").is_err());
    }
}
