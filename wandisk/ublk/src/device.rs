//! A block device `/dev/ublkbN` over a disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wandisk_io::Disk;

use crate::control::LOOK_AGAIN;
use crate::error::{Shape, Step, UblkError};
use crate::info::device_info;
use crate::options::Options;
use crate::probe::probe;
use crate::server::{Message, Server, Started, Task};
use crate::shared::Shared;

/// How long the kernel may take to let a device go, once nothing waits for the engine any more.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a delete may take until it is left to end by itself: it waits for the last user.
const DELETE_GRACE: Duration = Duration::from_secs(2);

/// Of the control thread, to a stop: is the number free again?
type Answer = Result<bool, UblkError>;

/// A live ublk device.
///
/// Dropped without [`Device::stop`] or [`Device::leave`] it goes on until the process ends, and can then be
/// recovered if it was made so.
pub struct Device {
    id: u32,
    path: PathBuf,
    scan_cut_short: bool,
    shared: Arc<Shared>,
    messages: Sender<Message>,
    thread: JoinHandle<()>,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What became of a device that was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Its number can be used again. `false` while somebody (a mount) still holds the dead device.
    pub id_free: bool,
    /// The drain's deadline passed: requests that still waited for the engine were failed.
    pub forced: bool,
}

impl Device {
    /// Makes a device for `disk`. When it returns, `/dev/ublkbN` exists and is live.
    ///
    /// # Errors
    /// If ublk is not available, an option is bad, the number is taken, or the kernel refuses a step or takes too
    /// long over it. What was made is taken down again (in the background, where the kernel hangs).
    pub fn add<D: Disk>(disk: Arc<D>, options: Options) -> Result<Device, UblkError> {
        options.check()?;
        Device::start(disk, options, Task::Add)
    }

    /// Takes device `id` over, whose server died: its users, a mounted file system for one, go on. Requests that
    /// the server had not answered are asked again. Queues and their depth are as the device was made with.
    ///
    /// # Errors
    /// If there is no such device, it carries another mark than `options.mark`, is served by a living process, was
    /// not left to be recovered, or `disk` has another size; then it is left as it is.
    pub fn recover<D: Disk>(disk: Arc<D>, id: u32, options: Options) -> Result<Device, UblkError> {
        let info = device_info(id)?.ok_or(UblkError::NoSuchDevice(id))?;
        if info.mark != options.mark {
            return Err(UblkError::OtherDisk(id));
        }
        if let (true, Some(pid)) = (info.is_served(), info.pid) {
            return Err(UblkError::Served { id, pid });
        }
        if !info.awaits_recovery() {
            return Err(UblkError::NotRecoverable(id));
        }
        options.check_lanes(info.queues, disk.hot().gate().lanes())?;
        let geometry = disk.geometry();
        let now = Shape { size_bytes: geometry.size_bytes, read_only: geometry.read_only };
        let device = info.shape()?;
        if device != now {
            return Err(UblkError::Reshaped { id, device, disk: now });
        }
        Device::start(disk, options, Task::Recover(id))
    }

    fn start<D: Disk>(disk: Arc<D>, options: Options, task: Task) -> Result<Device, UblkError> {
        probe()?;
        let until = Instant::now() + options.start_deadline;
        let patience = options.scan_patience.min(options.start_deadline);
        let shared = Arc::new(Shared::default());
        let (messages, inbox) = mpsc::channel();
        let (started, start) = mpsc::sync_channel(0);
        let server =
            Server { disk, options, task, shared: Arc::clone(&shared), own: messages.clone(), inbox };
        let thread = std::thread::Builder::new()
            .name("ublk-control".into())
            .spawn(move || server.run(&started))
            .map_err(UblkError::Thread)?;

        let mut scan_cut_short = false;
        let mut answer = start.recv_timeout(patience);
        if matches!(answer, Err(RecvTimeoutError::Timeout)) {
            // The partition scan, most likely, waits for chunks that are far away.
            scan_cut_short = true;
            shared.set_refuse_waits(true);
            answer = start.recv_timeout(until.saturating_duration_since(Instant::now()));
            shared.set_refuse_waits(false);
        }
        match answer {
            Ok(Ok(Started { id, path })) => Ok(Device { id, path, scan_cut_short, shared, messages, thread }),
            Ok(Err(e)) => {
                thread.join().ok();
                Err(e)
            }
            Err(RecvTimeoutError::Timeout) => {
                // Its thread finds nobody waiting, should it ever get on, and undoes what it did.
                shared.set_refuse_waits(true);
                Err(UblkError::Hangs { step: shared.step(), after: until.elapsed() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(UblkError::ControlDied),
        }
    }

    /// The *N* of `/dev/ublkbN`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The block device.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads that waited for the engine were failed while the kernel looked for partitions, so it may have missed
    /// some: [`crate::reread_partitions`] once the first chunks are here.
    #[must_use]
    pub fn scan_cut_short(&self) -> bool {
        self.scan_cut_short
    }

    /// Whether requests that would have to wait for the engine ([`Disk::begin`]) fail at once. For a limited time:
    /// a file system takes a failed write badly.
    pub fn refuse_waits(&self, refuse: bool) {
        self.shared.set_refuse_waits(refuse);
    }

    /// Stops and deletes the device: no new requests, those in flight end, later ones fail; a mounted file system
    /// on it is dead. After `drain` requests that wait for the engine are failed instead of waited for. Whoever has the dead device open
    /// is not waited for.
    ///
    /// # Errors
    /// If the kernel refuses, or does not let go of the device after all.
    pub fn stop(self, drain: Duration) -> Result<Stopped, UblkError> {
        let begun = Instant::now();
        let (answer, stopped) = mpsc::sync_channel(1);
        self.tell(Message::Stop(answer))?;
        let mut forced = false;
        let mut ended = self.heard(&stopped, drain);
        if timed_out(&ended) && self.shared.step() != Step::Delete {
            forced = true;
            self.shared.set_refuse_waits(true);
            ended = self.heard(&stopped, STOP_GRACE);
        }
        if timed_out(&ended) && self.shared.step() == Step::Delete {
            return Ok(Stopped { id_free: false, forced });
        }
        let id_free = self.ended(ended, begun)?;
        Ok(Stopped { id_free, forced })
    }

    /// Ends the service and leaves the device to be recovered by the next server; until then its requests wait.
    ///
    /// # Errors
    /// If data in flight does not end.
    pub fn leave(self) -> Result<(), UblkError> {
        let begun = Instant::now();
        let (answer, left) = mpsc::sync_channel(1);
        self.tell(Message::Leave(answer))?;
        let ended = left.recv_timeout(STOP_GRACE);
        self.ended(ended, begun).map(drop)
    }

    /// What is said of a stop within this time. A delete, with which all requests have ended, has [`DELETE_GRACE`] from its
    /// beginning, and no more: it waits for the last user, who may never go.
    fn heard(&self, stopped: &Receiver<Answer>, patience: Duration) -> Result<Answer, RecvTimeoutError> {
        let mut until = Instant::now() + patience;
        let mut deletes = false;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match stopped.recv_timeout(left.min(LOOK_AGAIN)) {
                Err(RecvTimeoutError::Timeout) if !deletes && self.shared.step() == Step::Delete => {
                    (deletes, until) = (true, Instant::now() + DELETE_GRACE);
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() < until => {}
                answer => return answer,
            }
        }
    }

    fn tell(&self, message: Message) -> Result<(), UblkError> {
        self.messages.send(message).map_err(|_| UblkError::ControlDied)
    }

    fn ended(self, ended: Result<Answer, RecvTimeoutError>, begun: Instant) -> Result<bool, UblkError> {
        match ended {
            Ok(ended) => {
                self.thread.join().ok();
                ended
            }
            Err(RecvTimeoutError::Timeout) => {
                Err(UblkError::Hangs { step: self.shared.step(), after: begun.elapsed() })
            }
            Err(RecvTimeoutError::Disconnected) => Err(UblkError::ControlDied),
        }
    }
}

fn timed_out<T>(answer: &Result<T, RecvTimeoutError>) -> bool {
    matches!(answer, Err(RecvTimeoutError::Timeout))
}
