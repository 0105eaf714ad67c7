//! How a device is to be made, and the limits on that.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::UblkError;

/// Most requests in flight that a queue may be given.
const MAX_DEPTH: u16 = 1024;
/// Most queues.
const MAX_QUEUES: u16 = 64;
/// Largest request that may be asked for, in bytes.
const MAX_IO: u32 = 4 << 20;
/// Most memory that a device's buffers may grow to, in bytes.
const MAX_BUFFERS: u64 = 2 << 30;

/// Queues that a device gets when nothing else is asked for: one a processor, at least 2 and at most 4. (The kernel
/// cuts it down to the number of processors.)
#[must_use]
pub fn default_queues() -> u16 {
    let processors =
        std::thread::available_parallelism().map_or(2, |n| u16::try_from(n.get()).unwrap_or(u16::MAX));
    processors.clamp(2, 4)
}

/// How a device ended that nobody had asked to stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum End {
    /// Another program stopped it.
    StoppedByOthers,
    /// A queue's ring failed. Where the device is recoverable its requests wait, else they fail.
    Failed {
        /// The queue.
        queue: u16,
        /// Why.
        source: io::Error,
    },
}

/// Told of an [`End`].
pub type OnEnd = Box<dyn FnOnce(End) + Send>;

/// How a device is made.
pub struct Options {
    /// The *N* of `/dev/ublkbN`; `None`: the lowest free.
    pub id: Option<u32>,
    /// What the kernel keeps with the device for [`crate::find`]; say, half of the disk's UUID.
    pub mark: u64,
    /// Queues, each with a thread and a lane of its own.
    pub queues: u16,
    /// Requests in flight a queue.
    pub depth: u16,
    /// Largest request in bytes, a multiple of 4096. Memory: up to `queues × depth × max_io`, as requests need it.
    pub max_io: u32,
    /// The first queue's lane; queue *i* uses lane `first_lane + i`.
    pub first_lane: usize,
    /// Whether the device outlives its server and waits to be recovered.
    pub recoverable: bool,
    /// How long the kernel may take to make the device usable, all in all.
    pub start_deadline: Duration,
    /// How long reads may wait for the engine while the kernel scans for partitions. After that they fail until the
    /// device is started, so that a disk whose first chunk is far away can be attached all the same.
    pub scan_patience: Duration,
    /// Called if the device ends without [`crate::Device::stop`].
    pub on_end: Option<OnEnd>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            id: None,
            mark: 0,
            queues: default_queues(),
            depth: 128,
            max_io: 512 << 10,
            first_lane: 0,
            recoverable: true,
            start_deadline: Duration::from_secs(30),
            scan_patience: Duration::from_secs(5),
            on_end: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("id", &self.id)
            .field("queues", &self.queues)
            .field("depth", &self.depth)
            .field("max_io", &self.max_io)
            .field("first_lane", &self.first_lane)
            .field("recoverable", &self.recoverable)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The driver itself takes more than is sensible, and rounds or refuses the rest without a word.
    pub(crate) fn check(&self) -> Result<(), UblkError> {
        let memory = u64::from(self.queues) * u64::from(self.depth) * u64::from(self.max_io);
        let bad = if self.queues == 0 || self.queues > MAX_QUEUES {
            "a ublk device has 1 to 64 queues"
        } else if self.depth == 0 || self.depth > MAX_DEPTH {
            "a ublk queue has 1 to 1024 requests in flight"
        } else if self.max_io == 0 || self.max_io > MAX_IO || !self.max_io.is_multiple_of(4096) {
            "a ublk request is at most 4 MiB, and its limit a multiple of 4 KiB"
        } else if memory > MAX_BUFFERS {
            "the queues' buffers would take more than 2 GiB"
        } else if self.id.is_some_and(|id| i32::try_from(id).is_err()) {
            "a ublk device's number is below 2^31"
        } else {
            return Ok(());
        };
        Err(UblkError::Option(bad))
    }

    /// Are there lanes for `queues` queues?
    pub(crate) fn check_lanes(&self, queues: u16, lanes: usize) -> Result<(), UblkError> {
        let enough = self.first_lane.checked_add(usize::from(queues)).is_some_and(|end| end <= lanes);
        let too_few = UblkError::Lanes { queues, first: self.first_lane, lanes };
        if enough { Ok(()) } else { Err(too_few) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert!(Options::default().check().is_ok());
        assert!((2..=4).contains(&default_queues()));
    }

    #[test]
    fn what_the_driver_would_round_or_overcommit_is_refused() {
        let bad = [
            Options { queues: 0, ..Options::default() },
            Options { depth: 0, ..Options::default() },
            Options { depth: 4096, ..Options::default() },
            Options { max_io: 4095, ..Options::default() },
            Options { max_io: 0, ..Options::default() },
            Options { queues: 64, depth: 1024, ..Options::default() },
            Options { id: Some(u32::MAX), ..Options::default() },
        ];
        assert!(bad.iter().all(|o| matches!(o.check(), Err(UblkError::Option(_)))));
    }

    #[test]
    fn every_queue_has_a_lane() {
        let from = |first_lane| Options { first_lane, ..Options::default() };
        assert!(from(2).check_lanes(2, 4).is_ok());
        assert!(from(3).check_lanes(2, 4).is_err());
        assert!(from(usize::MAX).check_lanes(1, 4).is_err());
    }
}
