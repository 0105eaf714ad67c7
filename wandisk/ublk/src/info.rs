//! What the kernel knows of ublk devices, ours and others', and how to get rid of one whose server died.

use std::io;
use std::time::{Duration, Instant};

use libublk::sys;

use crate::control::{self, Target};
use crate::error::{Shape, UblkError};
use crate::request::SECTOR;

/// Where the kernel lists the ublk devices.
const CLASS_PATH: &str = "/sys/class/ublk-char";

/// What a device is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Made and not started, or stopped.
    Dead,
    /// Served.
    Live,
    /// Its server died; requests wait for [`crate::Device::recover`].
    Quiesced,
    /// Its server died; requests fail.
    Failing,
}

/// A ublk device as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The *N* of `/dev/ublkbN`.
    pub id: u32,
    /// What it is doing.
    pub state: DeviceState,
    /// Number of queues, each of which needs a lane.
    pub queues: u16,
    /// Requests in flight that a queue may have.
    pub depth: u16,
    /// Largest request in bytes.
    pub max_io: u32,
    /// The process that serves it or did; `None` before it was started.
    pub pid: Option<u32>,
    /// The mark given in [`crate::Options`].
    pub mark: u64,
    /// Can be recovered when its server dies.
    pub recoverable: bool,
    /// Made by a user without privileges.
    pub unprivileged: bool,
    /// Its server reads and writes the pages of requests without memory of its own.
    pub registers_pages: bool,
    /// The user and the group that made it.
    pub owner: (u32, u32),
}

impl DeviceInfo {
    /// Does a living process serve it?
    #[must_use]
    pub fn is_served(&self) -> bool {
        self.state == DeviceState::Live && self.pid.is_some_and(alive)
    }

    /// Did a server die and leave it, so that [`crate::Device::recover`] may take it over?
    #[must_use]
    pub fn awaits_recovery(&self) -> bool {
        self.recoverable && self.state != DeviceState::Dead && !self.is_served()
    }

    pub(crate) fn target(&self) -> Target {
        Target { id: self.id, with_path: self.unprivileged }
    }

    /// What of the disk the device was made for.
    pub(crate) fn shape(&self) -> Result<Shape, UblkError> {
        let basic = control::params(self.target())?.basic;
        Ok(Shape {
            size_bytes: basic.dev_sectors.checked_mul(SECTOR).ok_or_else(control::garbled)?,
            read_only: basic.attrs & sys::UBLK_ATTR_READ_ONLY != 0,
        })
    }
}

/// A process that has not ended; a zombie has.
fn alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().map(str::trim_start);
    !state.is_some_and(|s| s.starts_with(['Z', 'X']))
}

/// What the kernel knows of device `id`; `None` if there is none.
///
/// # Errors
/// If ublk is not available, the driver does not answer, or the device is another user's.
pub fn device_info(id: u32) -> Result<Option<DeviceInfo>, UblkError> {
    let Some(info) = control::dev_info(id)? else { return Ok(None) };
    let state = match u32::from(info.state) {
        sys::UBLK_S_DEV_DEAD => DeviceState::Dead,
        sys::UBLK_S_DEV_LIVE => DeviceState::Live,
        sys::UBLK_S_DEV_QUIESCED => DeviceState::Quiesced,
        sys::UBLK_S_DEV_FAIL_IO => DeviceState::Failing,
        _ => return Err(control::garbled()),
    };
    let has = |flag: u32| info.flags & u64::from(flag) != 0;
    Ok(Some(DeviceInfo {
        id,
        state,
        queues: info.nr_hw_queues,
        depth: info.queue_depth,
        max_io: info.max_io_buf_bytes,
        pid: u32::try_from(info.ublksrv_pid).ok().filter(|pid| *pid > 0),
        mark: info.ublksrv_flags,
        recoverable: has(sys::UBLK_F_USER_RECOVERY),
        unprivileged: has(sys::UBLK_F_UNPRIVILEGED_DEV),
        registers_pages: has(sys::UBLK_F_AUTO_BUF_REG),
        owner: (info.owner_uid, info.owner_gid),
    }))
}

/// The devices on this host that carry `mark`, in order of their numbers.
///
/// # Errors
/// As [`device_info`]; devices of other users are passed over.
pub fn find(mark: u64) -> Result<Vec<DeviceInfo>, UblkError> {
    let entries = match std::fs::read_dir(CLASS_PATH) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(UblkError::File { path: CLASS_PATH.into(), source }),
    };
    let id = |e: std::fs::DirEntry| e.file_name().to_str()?.strip_prefix("ublkc")?.parse().ok();
    let mut ids: Vec<u32> = entries.flatten().filter_map(id).collect();
    ids.sort_unstable();
    let mut found = Vec::new();
    for id in ids {
        match device_info(id) {
            Ok(info) => found.extend(info.filter(|i| i.mark == mark)),
            Err(UblkError::Kernel { .. }) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

/// Fails all requests of a device that nobody serves, and deletes it. `Ok(false)`: it is dead and gone from `/dev`,
/// but its number is not free before its last user (a mount) lets go.
///
/// # Errors
/// If the device carries another mark, a living process serves it, or the kernel refuses or does not answer in time.
pub fn delete_orphan(id: u32, mark: u64, deadline: Duration) -> Result<bool, UblkError> {
    let until = Instant::now() + deadline;
    let target = loop {
        let Some(info) = device_info(id)? else { return Ok(true) };
        if info.mark != mark {
            return Err(UblkError::OtherDisk(id));
        }
        if info.state != DeviceState::Live {
            break info.target();
        }
        if let Some(pid) = info.pid.filter(|pid| alive(*pid)) {
            return Err(UblkError::Served { id, pid });
        }
        // Its server has just died, which the kernel has yet to notice.
        if Instant::now() >= until {
            break info.target();
        }
        std::thread::sleep(control::LOOK_AGAIN);
    };
    let left = || until.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
    gone(control::stop(target, left()))?;
    deleted(control::delete(target, left()))
}

/// A device that somebody else has deleted meanwhile is what was wanted.
pub(crate) fn gone(ended: Result<(), UblkError>) -> Result<(), UblkError> {
    match ended {
        Err(UblkError::NoSuchDevice(_)) => Ok(()),
        ended => ended,
    }
}

/// Whether the number is free after a delete.
pub(crate) fn deleted(ended: Result<(), UblkError>) -> Result<bool, UblkError> {
    match gone(ended) {
        Ok(()) => Ok(true),
        Err(UblkError::Hangs { .. }) => Ok(false),
        Err(e) => Err(e),
    }
}
