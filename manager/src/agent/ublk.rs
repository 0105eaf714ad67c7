//! May disks be block devices (ublk) at this site?
//!
//! Looks, and changes nothing: a driver that is not loaded yet is loaded by `wandisk attach`, by root.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::process::{Command, Stdio};

const CONTROL: &str = "/dev/ublk-control";
const DRIVER: &str = "ublk_drv";

/// Why not.
#[derive(Debug, thiserror::Error)]
pub enum NoUblk {
    /// No such driver.
    #[error("the kernel has no ublk (the module {DRIVER}; Linux 6.0 or later)")]
    Kernel,
    /// There is one.
    #[error("only root can load ublk's driver ({DRIVER}), which is not loaded")]
    NotLoaded,
    /// It is loaded.
    #[error("this user may not make ublk devices ({CONTROL})")]
    Forbidden(#[source] io::Error),
}

/// Whether they may.
///
/// # Errors
/// [`NoUblk`] says why not.
pub fn usable() -> Result<(), NoUblk> {
    let opened = File::options().read(true).write(true).open(CONTROL).map(drop);
    judged(opened, loadable, rustix::process::geteuid().is_root())
}

fn judged(opened: io::Result<()>, loadable: impl FnOnce() -> bool, root: bool) -> Result<(), NoUblk> {
    match opened {
        Ok(()) => Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(NoUblk::Forbidden(error)),
        Err(_) if !loadable() => Err(NoUblk::Kernel),
        Err(_) if !root => Err(NoUblk::NotLoaded),
        Err(_) => Ok(()),
    }
}

fn loadable() -> bool {
    let mut command = Command::new("modprobe");
    command.args(["--dry-run", "--quiet", DRIVER]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_root_can_load_is_as_good_as_one_that_is_there() {
        let no = |kind: ErrorKind| Err(io::Error::from(kind));
        assert!(judged(Ok(()), || false, false).is_ok());
        assert!(judged(no(ErrorKind::NotFound), || true, true).is_ok());
        assert!(matches!(judged(no(ErrorKind::NotFound), || true, false), Err(NoUblk::NotLoaded)));
        assert!(matches!(judged(no(ErrorKind::NotFound), || false, true), Err(NoUblk::Kernel)));
        assert!(matches!(judged(no(ErrorKind::PermissionDenied), || true, false), Err(NoUblk::Forbidden(_))));
    }
}
