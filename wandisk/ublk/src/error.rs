//! What can go wrong with a ublk device.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why ublk cannot be used on this host, or by this user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No control device, and loading the driver did not bring one.
    #[error("this kernel has no ublk driver (ublk_drv): {}", reason.unwrap_or("it was not loaded, and only root can load it"))]
    NoDriver {
        /// What loading it said, in short.
        reason: Option<&'static str>,
    },
    /// The control device may not be opened by this user.
    #[error("/dev/ublk-control may not be opened by this user")]
    NotPermitted(#[source] io::Error),
    /// io_uring is switched off or missing.
    #[error("io_uring cannot be used by this process")]
    NoIoUring(#[source] io::Error),
    /// The driver answers wrongly or not at all.
    #[error("the ublk driver does not work")]
    Broken(#[source] io::Error),
    /// The driver did not answer in time.
    #[error("the ublk driver did not answer within {0:?}")]
    Hangs(Duration),
}

/// What was being done to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// `ADD_DEV`: the kernel makes the device.
    Add,
    /// Opening `/dev/ublkcN`.
    Open,
    /// The queues' threads set up their rings.
    Queues,
    /// `START_DEV`: the kernel makes `/dev/ublkbN` live and scans it for partitions.
    Start,
    /// `START_USER_RECOVERY` and `END_USER_RECOVERY`.
    Recover,
    /// `STOP_DEV`: the kernel waits for requests in flight and fails what comes after.
    Stop,
    /// The queues' threads end.
    Join,
    /// `DEL_DEV`: the kernel forgets the device.
    Delete,
    /// Reading what the kernel knows of a device.
    Query,
    /// Opening or asking the block device.
    Block,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Add => "adding the device",
            Step::Open => "opening the device's queues",
            Step::Queues => "setting up the queues",
            Step::Start => "starting the device",
            Step::Recover => "recovering the device",
            Step::Stop => "stopping the device",
            Step::Join => "ending the queues",
            Step::Delete => "deleting the device",
            Step::Query => "asking for the device's state",
            Step::Block => "asking the block device",
        })
    }
}

/// Why something could not be done with a ublk device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UblkError {
    /// ublk cannot be used here at all.
    #[error("ublk is not available")]
    Unavailable(#[from] Unavailable),
    /// The kernel refused a step.
    #[error("{step} failed")]
    Kernel {
        /// What was being done.
        step: Step,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A step that libublk itself refused.
    #[error("{step} failed in libublk")]
    Library {
        /// What was being done.
        step: Step,
        /// What it said.
        #[source]
        source: libublk::UblkError,
    },
    /// The kernel took too long over a step, and may never end it.
    #[error("{step} took longer than {after:?}; the kernel's ublk driver seems stuck (NBD does without it)")]
    Hangs {
        /// What was being done.
        step: Step,
        /// How long was waited.
        after: Duration,
    },
    /// The number asked for belongs to another device.
    #[error("ublk device {0} exists already")]
    IdTaken(u32),
    /// There is no such device.
    #[error("there is no ublk device {0}")]
    NoSuchDevice(u32),
    /// The device belongs to another disk.
    #[error("ublk device {0} belongs to another disk")]
    OtherDisk(u32),
    /// A living process serves the device.
    #[error("ublk device {id} is served by process {pid}")]
    Served {
        /// The device.
        id: u32,
        /// Who serves it.
        pid: u32,
    },
    /// The device was not left by a process that died while it served it.
    #[error("ublk device {0} cannot be taken over: it was not left behind by a server that died")]
    NotRecoverable(u32),
    /// The disk is no longer what the device was made for.
    #[error("ublk device {id} was made for {device} and the disk is now {disk}")]
    Reshaped {
        /// The device.
        id: u32,
        /// What the device says.
        device: Shape,
        /// What the disk says.
        disk: Shape,
    },
    /// The hot map has too few lanes for the queues.
    #[error("{queues} queues from lane {first} need more lanes than the disk's {lanes}")]
    Lanes {
        /// Queues of the device.
        queues: u16,
        /// The first queue's lane.
        first: usize,
        /// What the disk has.
        lanes: usize,
    },
    /// A bad option.
    #[error("{0}")]
    Option(&'static str),
    /// A queue could not be set up.
    #[error("queue {queue} could not be set up")]
    Queue {
        /// Its number.
        queue: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
    /// The thread that controls the device has died.
    #[error("the device's control thread has died")]
    ControlDied,
    /// A file of the system could not be read.
    #[error("{} could not be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What of a disk may not change under a device that lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Size in bytes.
    pub size_bytes: u64,
    /// No writes.
    pub read_only: bool,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {}", self.size_bytes, if self.read_only { "read-only" } else { "writable" })
    }
}

impl UblkError {
    /// Whether a block device was asked and could not read what it was asked for.
    #[must_use]
    pub fn is_failed_read(&self) -> bool {
        let errno = rustix::io::Errno::IO.raw_os_error();
        matches!(self, UblkError::File { source, .. } if source.raw_os_error() == Some(errno))
    }

    /// An error of libublk, as the errno that it wraps where there is one.
    pub(crate) fn library(step: Step, e: libublk::UblkError) -> UblkError {
        match e {
            libublk::UblkError::IOError(source) => UblkError::Kernel { step, source },
            libublk::UblkError::OtherError(n) | libublk::UblkError::UringIOError(n) if n < 0 => {
                UblkError::Kernel { step, source: io::Error::from_raw_os_error(-n) }
            }
            source => UblkError::Library { step, source },
        }
    }
}
