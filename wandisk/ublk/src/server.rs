//! The thread that makes a device, looks after its queues, and takes it down again.
//!
//! All of a device's commands to the kernel are given from here, since libublk's handle lives in its thread, and
//! since any of them may hang: [`crate::Device`] waits for this thread with deadlines, and can leave it behind.
//!
//! ```text
//! Add ────> Open → Queues → Start ───> serving ─┬─(stop)──> Stop → Join → Delete
//! Recover ─────────────────> Recover ──────^    └─(leave)─> Join
//! ```
//! Invariant: when a start fails, or nobody waits for it any more, a device that was made here is deleted again, and
//! one that was to be recovered is left to be recovered.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use libublk::ctrl::{UblkCtrl, UblkCtrlBuilder};
use libublk::io::UblkDev;
use libublk::sys;
use rustix::fs::{Access, access};
use wandisk_io::Disk;

use crate::caches::reread_partitions;
use crate::control::{self, LOOK_AGAIN, Target};
use crate::error::{Step, UblkError};
use crate::info::{deleted, gone};
use crate::options::{End, Options};
use crate::params::params;
use crate::probe::Features;
use crate::queue::Ended;
use crate::shared::Shared;
use crate::threads::{self, QueueThread};

/// The name under which libublk's tools know our devices.
const TARGET_NAME: &str = "wandisk";
/// The server looks for partitions, not the driver. Drivers look in the background since Linux 6.19: then nobody knows
/// when they have done, and their reads keep the device from being stopped for as long as the engine lets them wait.
const OWN_SCAN: u32 = sys::UBLK_F_NO_AUTO_PART_SCAN;
/// How long a command may take that takes a device down whose start failed.
const CLEANUP_DEADLINE: Duration = Duration::from_secs(10);
/// How long the kernel may take to notice that a device was left.
const LEAVE_DEADLINE: Duration = Duration::from_secs(5);
/// How long a device's node may take to appear (devtmpfs) and to become ours (udev).
const NODE_DEADLINE: Duration = Duration::from_secs(10);
/// For commands whose duration the waiting side bounds.
const PATIENT: Duration = Duration::from_secs(24 * 3600);

/// What the device's owner and its threads tell the control thread.
#[derive(Debug)]
pub(crate) enum Message {
    /// Take the device down; the answer is whether its number is free again.
    Stop(SyncSender<Result<bool, UblkError>>),
    /// End the queues, and leave the device to be recovered.
    Leave(SyncSender<Result<bool, UblkError>>),
    /// A queue has ended.
    Ended(u16, io::Result<Ended>),
}

/// A device that has been started.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    pub(crate) id: u32,
    pub(crate) path: PathBuf,
}

/// What is to be done about the device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Task {
    /// Make a new one.
    Add,
    /// Take this one over, which a server left that died.
    Recover(u32),
}

/// The control thread of one device.
pub(crate) struct Server<D> {
    pub(crate) disk: Arc<D>,
    pub(crate) options: Options,
    pub(crate) task: Task,
    pub(crate) shared: Arc<Shared>,
    pub(crate) own: Sender<Message>,
    pub(crate) inbox: Receiver<Message>,
}

/// A device that exists in the kernel, and what of it is ours.
struct Made {
    ctrl: UblkCtrl,
    target: Target,
    queues: u16,
    /// Our hold on `/dev/ublkcN`: there from `Open` to `Join`.
    dev: Option<Arc<UblkDev>>,
    threads: Vec<QueueThread>,
}

impl<D: Disk> Server<D> {
    /// Makes the device, says how that went, and serves until it is stopped or left.
    pub(crate) fn run(self, started: &SyncSender<Result<Started, UblkError>>) {
        let mut made = match self.make() {
            Ok(made) => made,
            Err(e) => {
                started.send(Err(e)).ok();
                return;
            }
        };
        let start = self.start(&mut made);
        let failed = start.is_err();
        if failed {
            // First, so that a new attempt finds the number free.
            self.undo(&mut made);
        }
        if started.send(start).is_err() && !failed {
            return self.undo(&mut made);
        }
        if !failed {
            self.serve(&mut made);
        }
    }

    fn make(&self) -> Result<Made, UblkError> {
        let id = match self.task {
            Task::Add => {
                self.shared.set_step(Step::Add);
                let driver = Features(control::features()?);
                control::add(described(&self.options, driver), PATIENT)?.dev_id
            }
            Task::Recover(id) => {
                self.shared.set_step(Step::Recover);
                id
            }
        };
        self.shared.set_step(Step::Open);
        // Before libublk asks about it: without privileges, the kernel answers only the owner of the node.
        let node = PathBuf::from(format!("/dev/ublkc{id}"));
        let opened = wait_for_node(&node, Access::READ_OK | Access::WRITE_OK).and_then(|()| open(id));
        if let (Err(_), Task::Add) = (&opened, self.task) {
            let target = Target { id, with_path: !privileged() };
            if let Err(e) = control::delete(target, CLEANUP_DEADLINE) {
                tracing::warn!(id, error = %e, "a ublk device could not be taken down");
            }
        }
        let ctrl = opened?;
        let info = ctrl.dev_info();
        let with_path = info.flags & u64::from(sys::UBLK_F_UNPRIVILEGED_DEV) != 0;
        let target = Target { id: info.dev_id, with_path };
        Ok(Made { ctrl, target, queues: info.nr_hw_queues, dev: None, threads: Vec::new() })
    }

    fn start(&self, made: &mut Made) -> Result<Started, UblkError> {
        self.options.check_lanes(made.queues, self.disk.hot().gate().lanes())?;
        if matches!(self.task, Task::Recover(_)) {
            control::start_recovery(made.target, self.options.start_deadline)?;
        }
        self.shared.set_step(Step::Open);
        let geometry = self.disk.geometry();
        let data = crate::queue::data_fd(&*self.disk);
        let describe = |dev: &mut UblkDev| {
            dev.tgt.dev_size = geometry.size_bytes;
            dev.tgt.params = params(geometry, dev.dev_info.max_io_buf_bytes);
            dev.tgt.fds[1] = data;
            dev.tgt.nr_fds = 2;
            Ok(())
        };
        let dev = UblkDev::new(TARGET_NAME.into(), describe, &made.ctrl)
            .map_err(|e| UblkError::library(Step::Open, e))?;
        let dev = made.dev.insert(Arc::new(dev));

        self.shared.set_step(Step::Queues);
        if matches!(self.task, Task::Add) {
            control::set_params(made.target, &dev.tgt.params)?;
        }
        let wakeups = threads::wakeups(dev)?;
        self.shared.set_wakeups(wakeups.clone());
        let (ready, set_up) = mpsc::channel();
        let seats = threads::Seats {
            disk: &self.disk,
            first_lane: self.options.first_lane,
            wakeups,
            own: &self.own,
            ready,
        };
        seats.spawn(dev, &made.ctrl, &mut made.threads)?;
        // libublk's own way of waiting for this knows nothing of devices without buffers.
        if !set_up.iter().take(usize::from(made.queues)).all(|done| done) {
            let unknown = || UblkError::Thread(io::ErrorKind::Other.into());
            return Err(self.queue_failure().unwrap_or_else(unknown));
        }

        match self.task {
            Task::Add => {
                self.shared.set_step(Step::Start);
                control::start(made.target, PATIENT)?;
            }
            Task::Recover(_) => {
                self.shared.set_step(Step::Recover);
                control::end_recovery(made.target, PATIENT)?;
            }
        }
        let path = PathBuf::from(format!("/dev/ublkb{}", made.target.id));
        wait_for_node(&path, Access::READ_OK)?;
        let flags = made.ctrl.dev_info().flags;
        if matches!(self.task, Task::Add) && flags & u64::from(OWN_SCAN) != 0 {
            // As the driver's own: a disk that cannot be read (yet) has no partitions.
            if let Err(e) = reread_partitions(&path, PATIENT) {
                tracing::debug!(id = made.target.id, error = %e, "no partitions were found");
            }
        }
        Ok(Started { id: made.target.id, path })
    }

    fn queue_failure(&self) -> Option<UblkError> {
        self.inbox.try_iter().find_map(|message| match message {
            Message::Ended(queue, Err(source) | Ok(Ended::Failed(source))) => {
                Some(UblkError::Queue { queue, source })
            }
            _ => None,
        })
    }

    /// Takes back what was done, after a start that failed or that nobody waits for.
    fn undo(&self, made: &mut Made) {
        let undone = match self.task {
            Task::Add => self.take_down(made, CLEANUP_DEADLINE, true).map(drop),
            Task::Recover(_) => self.leave(made),
        };
        if let Err(e) = undone {
            tracing::warn!(id = made.target.id, error = %e, "a ublk device could not be taken down");
        }
    }

    fn serve(mut self, made: &mut Made) {
        let mut on_end = self.options.on_end.take();
        let mut running = made.queues;
        while let Ok(message) = self.inbox.recv() {
            match message {
                Message::Stop(answer) => {
                    answer.send(self.take_down(made, PATIENT, false)).ok();
                    return;
                }
                Message::Leave(answer) => {
                    answer.send(self.leave(made).map(|()| false)).ok();
                    return;
                }
                Message::Ended(queue, ended) => {
                    running = running.saturating_sub(1);
                    let end = match ended {
                        Ok(Ended::Failed(source)) | Err(source) => Some(End::Failed { queue, source }),
                        Ok(Ended::Stopped | Ended::Left) => (running == 0).then_some(End::StoppedByOthers),
                    };
                    if let Some(end) = end {
                        tracing::warn!(id = made.target.id, ?end, "a ublk device ended by itself");
                        if let Some(told) = on_end.take() {
                            told(end);
                        }
                    }
                    if running == 0 {
                        // Whoever deletes it waits for our files.
                        join(made);
                    }
                }
            }
        }
    }

    /// Stops, joins, deletes. `Ok(false)`: the number is not free yet, since somebody still holds the device.
    /// `half_made`: some queues may not have asked the driver for anything yet, so that it does not end them.
    fn take_down(&self, made: &mut Made, deadline: Duration, half_made: bool) -> Result<bool, UblkError> {
        self.shared.set_step(Step::Stop);
        gone(control::stop(made.target, deadline))?;
        self.shared.set_step(Step::Join);
        if half_made {
            self.shared.leave_queues();
        }
        join(made);
        self.shared.set_step(Step::Delete);
        deleted(control::delete(made.target, deadline))
    }

    /// Ends the queues, and waits until the kernel has noticed that nobody serves the device any more.
    fn leave(&self, made: &mut Made) -> Result<(), UblkError> {
        self.shared.set_step(Step::Join);
        self.shared.leave_queues();
        join(made);
        let until = Instant::now() + LEAVE_DEADLINE;
        while control::dev_info(made.target.id)?.is_some_and(|i| u32::from(i.state) == sys::UBLK_S_DEV_LIVE) {
            if Instant::now() >= until {
                return Err(UblkError::Hangs { step: Step::Join, after: LEAVE_DEADLINE });
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

fn join(made: &mut Made) {
    threads::join(&mut made.threads);
    // Closes our hold on the char device, which deleting waits for.
    made.dev = None;
}

fn privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// The device to be made, with what the driver can do for it.
fn described(options: &Options, driver: Features) -> sys::ublksrv_ctrl_dev_info {
    let mut flags = 0;
    if options.recoverable {
        flags |= u64::from(sys::UBLK_F_USER_RECOVERY | sys::UBLK_F_USER_RECOVERY_REISSUE);
    }
    if privileged() {
        // What is offered of these; the driver refuses them to others. Pages may hold what somebody else wrote.
        flags |= driver.bits().unwrap_or(0) & u64::from(sys::UBLK_F_AUTO_BUF_REG | OWN_SCAN);
    } else {
        flags |= u64::from(sys::UBLK_F_UNPRIVILEGED_DEV);
    }
    sys::ublksrv_ctrl_dev_info {
        dev_id: options.id.unwrap_or(u32::MAX),
        nr_hw_queues: options.queues,
        queue_depth: options.depth,
        max_io_buf_bytes: options.max_io,
        ublksrv_pid: std::process::id().cast_signed(),
        flags,
        ublksrv_flags: options.mark,
        ..Default::default()
    }
}

/// libublk's handle on a device that exists. Without the flag that says it was made here: such a handle deletes it.
fn open(id: u32) -> Result<UblkCtrl, UblkError> {
    let number = i32::try_from(id).map_err(|_| UblkError::NoSuchDevice(id))?;
    let _quiet = EmptyJson::put(id);
    UblkCtrlBuilder::default()
        .name(TARGET_NAME)
        .id(number)
        .build()
        .map_err(|e| UblkError::library(Step::Open, e))
}

/// An empty JSON file for libublk to find, which else complains on stderr that there is none; gone when dropped.
struct EmptyJson {
    path: PathBuf,
    made_folder: bool,
}

impl EmptyJson {
    /// `None` where it cannot be put there, or is there: then libublk says what it says.
    fn put(id: u32) -> Option<EmptyJson> {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        let folder = PathBuf::from(UblkCtrl::run_dir());
        // libublk itself would make it writable for everyone.
        let made_folder = std::fs::DirBuilder::new().mode(0o755).create(&folder).is_ok();
        let json = EmptyJson { path: folder.join(format!("{id:04}.json")), made_folder };
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&json.path).ok()?;
        io::Write::write_all(&mut file, b"{}").ok()?;
        Some(json)
    }
}

impl Drop for EmptyJson {
    fn drop(&mut self) {
        std::fs::remove_file(&self.path).ok();
        if self.made_folder {
            // Unless somebody else has begun to use it.
            self.path.parent().map(std::fs::remove_dir);
        }
    }
}

/// Waits until a node can be opened: devtmpfs makes it, udev may yet have to give it to us.
fn wait_for_node(path: &Path, how: Access) -> Result<(), UblkError> {
    let until = Instant::now() + NODE_DEADLINE;
    while let Err(e) = access(path, how) {
        if Instant::now() >= until {
            return Err(UblkError::File { path: path.into(), source: e.into() });
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}
