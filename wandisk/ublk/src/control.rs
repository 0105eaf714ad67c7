//! Commands to the ublk driver, and their time-outs.
//!
//! [`libublk::ctrl::UblkCtrl`] only describes our device to the rest of libublk. As the one who commands it does not
//! serve: when adding a device fails because the number is taken it deletes the device that has the number, it
//! sends a failed command a second time in an older encoding whose errno hides the first's, a signal makes it
//! forget a command, and it writes a JSON file below a folder that every user may write to. (Our devices have no
//! JSON: the disk's mark is in the kernel's own record, `ublksrv_flags`.)
//!
//! Invariant: no function here blocks its caller for longer than its deadline; what hangs is left to a thread.

use std::fs::{File, OpenOptions};
use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use libublk::sys;

use crate::error::{Step, UblkError, Unavailable};
use crate::sys::Command;

/// How long the driver may take to answer a question.
pub(crate) const QUERY_DEADLINE: Duration = Duration::from_secs(5);

const CONTROL_PATH: &str = "/dev/ublk-control";
/// Length that the driver is given for a char device's path.
const PATH_LEN: u16 = 32;
/// How often a state that the kernel signals to nobody is looked at.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(5);

pub(crate) const ENODEV: i32 = 19;
const EBUSY: i32 = 16;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;

/// Which device a command is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) id: u32,
    /// The driver wants the char device's path before anything else, to check permissions on it.
    pub(crate) with_path: bool,
}

/// A command, how long it may take, and what to call it in an error.
#[derive(Clone, Copy, Debug)]
struct Order {
    op: u32,
    data: u64,
    step: Step,
    deadline: Duration,
}

/// Runs `call` on a thread of its own and waits until `deadline`; `None` if it has not ended by then.
pub(crate) fn bounded<T: Send + 'static>(
    deadline: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, UblkError> {
    let (answer, answered) = mpsc::sync_channel(1);
    let run = move || answer.send(call()).unwrap_or_default();
    let thread = std::thread::Builder::new().name("ublk-ask".into()).spawn(run).map_err(UblkError::Thread)?;
    match answered.recv_timeout(deadline) {
        Ok(value) => {
            // It has answered, so it ends now.
            thread.join().ok();
            Ok(Some(value))
        }
        Err(mpsc::RecvTimeoutError::Timeout) => Ok(None),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(UblkError::ControlDied),
    }
}

/// Opens the control device, or says why it cannot be had.
pub(crate) fn open() -> Result<File, Unavailable> {
    OpenOptions::new().read(true).write(true).open(CONTROL_PATH).map_err(|e| match e.kind() {
        io::ErrorKind::PermissionDenied => Unavailable::NotPermitted(e),
        _ => Unavailable::NoDriver { reason: None },
    })
}

fn send(target: Target, order: Order, payload: &[u8]) -> Result<io::Result<Vec<u8>>, UblkError> {
    let control = open()?;
    let path_len = if target.with_path { PATH_LEN } else { 0 };
    let mut buffer = vec![0u8; usize::from(path_len)];
    if target.with_path {
        let name = format!("/dev/ublkc{}", target.id);
        buffer[..name.len()].copy_from_slice(name.as_bytes());
    }
    buffer.extend_from_slice(payload);
    let command = Command { op: order.op, id: target.id, data: order.data, path_len };
    let ran = bounded(order.deadline, move || {
        crate::sys::control(&control, command, buffer).map(|mut b| b.split_off(usize::from(path_len)))
    })?;
    ran.ok_or(UblkError::Hangs { step: order.step, after: order.deadline })
}

fn query(target: Target, op: u32, payload: &[u8]) -> Result<io::Result<Vec<u8>>, UblkError> {
    send(target, Order { op, data: 0, step: Step::Query, deadline: QUERY_DEADLINE }, payload)
}

fn order(target: Target, order: Order) -> Result<(), UblkError> {
    match send(target, order, &[])? {
        Ok(_) => Ok(()),
        Err(source) if source.raw_os_error() == Some(ENODEV) => {
            tracing::debug!(id = target.id, step = %order.step, error = %source, "no such ublk device");
            Err(UblkError::NoSuchDevice(target.id))
        }
        Err(source) => Err(UblkError::Kernel { step: order.step, source }),
    }
}

/// The driver's feature bits; `None` where it is too old to tell (before Linux 6.5).
pub(crate) fn features() -> Result<Option<u64>, UblkError> {
    let any = Target { id: u32::MAX, with_path: false };
    match query(any, sys::UBLK_U_CMD_GET_FEATURES, &[0; size_of::<u64>()])? {
        Ok(bytes) => Ok(bytes.first_chunk().map(|b| from_native(*b))),
        Err(e) if matches!(e.raw_os_error(), Some(EOPNOTSUPP | EINVAL | ENODEV)) => Ok(None),
        Err(source) => Err(UblkError::Kernel { step: Step::Query, source }),
    }
}

/// Makes a device like `info`, whose number is the one asked for or -1 for any; the kernel's own description of it.
pub(crate) fn add(
    info: sys::ublksrv_ctrl_dev_info,
    deadline: Duration,
) -> Result<sys::ublksrv_ctrl_dev_info, UblkError> {
    let target = Target { id: info.dev_id, with_path: false };
    let order = Order { op: sys::UBLK_U_CMD_ADD_DEV, data: 0, step: Step::Add, deadline };
    match send(target, order, &crate::sys::dev_info_bytes(info))? {
        Ok(bytes) => crate::sys::dev_info(&bytes).ok_or_else(garbled),
        Err(e) if e.raw_os_error() == Some(EEXIST) => Err(UblkError::IdTaken(info.dev_id)),
        Err(source) => Err(UblkError::Kernel { step: Step::Add, source }),
    }
}

/// The kernel's description of device `id`; `None` if there is none.
pub(crate) fn dev_info(id: u32) -> Result<Option<sys::ublksrv_ctrl_dev_info>, UblkError> {
    let target = Target { id, with_path: true };
    let room = [0; size_of::<sys::ublksrv_ctrl_dev_info>()];
    match query(target, sys::UBLK_U_CMD_GET_DEV_INFO2, &room)? {
        Ok(bytes) => crate::sys::dev_info(&bytes).map(Some).ok_or_else(garbled),
        Err(e) if e.raw_os_error() == Some(ENODEV) => Ok(None),
        Err(source) => Err(UblkError::Kernel { step: Step::Query, source }),
    }
}

/// The parameters that a device was made with.
pub(crate) fn params(target: Target) -> Result<sys::ublk_params, UblkError> {
    let mut room = [0; size_of::<sys::ublk_params>()];
    let len = u32::try_from(room.len()).unwrap_or(u32::MAX);
    // The driver reads the length that it may fill from the first field.
    room[..size_of::<u32>()].copy_from_slice(&native(len));
    match query(target, sys::UBLK_U_CMD_GET_PARAMS, &room)? {
        Ok(bytes) => crate::sys::params(&bytes).ok_or_else(garbled),
        Err(source) => Err(UblkError::Kernel { step: Step::Query, source }),
    }
}

#[allow(clippy::host_endian_bytes, reason = "a field of a struct shared with the kernel")]
fn native(value: u32) -> [u8; 4] {
    value.to_ne_bytes()
}

#[allow(clippy::host_endian_bytes, reason = "written by the kernel")]
fn from_native(bytes: [u8; 8]) -> u64 {
    u64::from_ne_bytes(bytes)
}

/// An answer of the driver that makes no sense.
pub(crate) fn garbled() -> UblkError {
    UblkError::Unavailable(Unavailable::Broken(io::ErrorKind::InvalidData.into()))
}

/// Says what the device is to look like, before it is started.
pub(crate) fn set_params(target: Target, params: &sys::ublk_params) -> Result<(), UblkError> {
    let order =
        Order { op: sys::UBLK_U_CMD_SET_PARAMS, data: 0, step: Step::Start, deadline: QUERY_DEADLINE };
    match send(target, order, &crate::sys::params_bytes(params))? {
        Ok(_) => Ok(()),
        Err(source) => Err(UblkError::Kernel { step: order.step, source }),
    }
}

/// Makes a device live, once all of its queues have asked for requests, and scans it for partitions.
pub(crate) fn start(target: Target, deadline: Duration) -> Result<(), UblkError> {
    let data = u64::from(std::process::id());
    order(target, Order { op: sys::UBLK_U_CMD_START_DEV, data, step: Step::Start, deadline })
}

/// Stops a device: waits for what its server has in flight, then fails what comes after.
pub(crate) fn stop(target: Target, deadline: Duration) -> Result<(), UblkError> {
    order(target, Order { op: sys::UBLK_U_CMD_STOP_DEV, data: 0, step: Step::Stop, deadline })
}

/// Deletes a device, and waits until its number is free. That may be never, as long as it is mounted; the device is
/// gone from `/dev` all the same.
pub(crate) fn delete(target: Target, deadline: Duration) -> Result<(), UblkError> {
    order(target, Order { op: sys::UBLK_U_CMD_DEL_DEV, data: 0, step: Step::Delete, deadline })
}

/// Takes a device over whose server has died, waiting for the kernel to be done with that server.
pub(crate) fn start_recovery(target: Target, deadline: Duration) -> Result<(), UblkError> {
    let until = Instant::now() + deadline;
    let recover = Order {
        op: sys::UBLK_U_CMD_START_USER_RECOVERY,
        data: 0,
        step: Step::Recover,
        deadline: QUERY_DEADLINE,
    };
    loop {
        match order(target, recover) {
            Err(UblkError::Kernel { source, .. }) if source.raw_os_error() == Some(EBUSY) => {
                if Instant::now() >= until {
                    return Err(UblkError::NotRecoverable(target.id));
                }
                std::thread::sleep(LOOK_AGAIN);
            }
            ended => return ended,
        }
    }
}

/// Lets a device that was taken over go on, once all of its queues have asked for requests.
pub(crate) fn end_recovery(target: Target, deadline: Duration) -> Result<(), UblkError> {
    let data = u64::from(std::process::id());
    order(target, Order { op: sys::UBLK_U_CMD_END_USER_RECOVERY, data, step: Step::Recover, deadline })
}
