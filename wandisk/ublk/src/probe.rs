//! Is ublk there, and what can it do?

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libublk::sys;

use crate::control::{self, LOOK_AGAIN};
use crate::error::{UblkError, Unavailable};

/// How long loading the driver may take.
const LOAD_DEADLINE: Duration = Duration::from_secs(10);
/// How long the control device may take to appear after that.
const NODE_DEADLINE: Duration = Duration::from_secs(1);

const EPERM: i32 = 1;
const ENOMEM: i32 = 12;
const ENOSYS: i32 = 38;

/// What the driver of this kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(pub(crate) Option<u64>);

impl Features {
    fn has(self, flag: u32) -> bool {
        self.0.is_some_and(|bits| bits & u64::from(flag) != 0)
    }

    /// The driver's own bits; `None` before Linux 6.5, which cannot tell.
    #[must_use]
    pub fn bits(self) -> Option<u64> {
        self.0
    }

    /// Devices outlive their server (Linux 6.1; every driver that cannot tell its features is taken to have it).
    #[must_use]
    pub fn recovery(self) -> bool {
        self.0.is_none() || self.has(sys::UBLK_F_USER_RECOVERY)
    }

    /// Users other than root can make devices (Linux 6.3).
    #[must_use]
    pub fn unprivileged(self) -> bool {
        self.has(sys::UBLK_F_UNPRIVILEGED_DEV)
    }

    /// The pages of requests can be read and written without a copy through memory of the server's, by root
    /// (Linux 6.16).
    #[must_use]
    pub fn registers_pages(self) -> bool {
        self.has(sys::UBLK_F_AUTO_BUF_REG)
    }

    /// A live device can be resized (Linux 6.16).
    #[must_use]
    pub fn update_size(self) -> bool {
        self.has(sys::UBLK_F_UPDATE_SIZE)
    }
}

/// Whether ublk can be used by this process. Root loads the driver (`modprobe ublk_drv`) if it is not there.
///
/// # Errors
/// Why not.
pub fn probe() -> Result<Features, Unavailable> {
    if !Path::new("/dev/ublk-control").exists() {
        load()?;
    }
    match control::features() {
        Ok(bits) => Ok(Features(bits)),
        Err(UblkError::Unavailable(e)) => Err(e),
        Err(UblkError::Hangs { after, .. }) => Err(Unavailable::Hangs(after)),
        Err(UblkError::Kernel { source, .. } | UblkError::Thread(source)) => {
            Err(match source.raw_os_error() {
                // As `io_uring_setup` fails where a sysctl, seccomp or a limit on locked memory forbids it.
                Some(EPERM | ENOSYS | ENOMEM) => Unavailable::NoIoUring(source),
                _ => Unavailable::Broken(source),
            })
        }
        Err(e) => Err(Unavailable::Broken(std::io::Error::other(e))),
    }
}

/// Loads the driver, if we are root.
fn load() -> Result<(), Unavailable> {
    let missing = |reason| Err(Unavailable::NoDriver { reason });
    if !rustix::process::geteuid().is_root() {
        return missing(None);
    }
    let spawned = Command::new("modprobe")
        .args(["--quiet", "ublk_drv"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut modprobe) = spawned else { return missing(Some("modprobe could not be started")) };
    let until = Instant::now() + LOAD_DEADLINE;
    let status = loop {
        match modprobe.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_AGAIN),
            Ok(None) | Err(_) => {
                modprobe.kill().ok();
                modprobe.wait().ok();
                return Err(Unavailable::Hangs(LOAD_DEADLINE));
            }
        }
    };
    if !status.success() {
        return missing(Some("modprobe found no such module"));
    }
    let until = Instant::now() + NODE_DEADLINE;
    while !Path::new("/dev/ublk-control").exists() {
        if Instant::now() >= until {
            return missing(Some("it is loaded, but /dev has no ublk-control"));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
