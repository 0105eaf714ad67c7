//! The ublk front-end of a program built without it: never there, and it says so.
#![allow(dead_code, reason = "it has the shape of the real one")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::engine::Engine;

/// Why there is no ublk.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this wandisk was built without ublk")]
pub(super) struct UblkError;

impl UblkError {
    pub(super) fn is_failed_read(self) -> bool {
        false
    }
}

/// What a kernel's ublk can do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Features {}

impl Features {
    pub(super) fn recovery(self) -> bool {
        match self {}
    }
}

/// A device that cannot exist.
#[derive(Debug)]
pub(super) enum Device {}

/// What became of it.
#[derive(Debug)]
pub(super) enum Stopped {}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {}

pub(super) type OnEnd = Box<dyn FnOnce(End) + Send>;

/// How a device would be made.
#[derive(Default)]
pub(super) struct Options {
    pub(super) id: Option<u32>,
    pub(super) mark: u64,
    pub(super) first_lane: usize,
    pub(super) recoverable: bool,
    pub(super) on_end: Option<OnEnd>,
}

/// A mount of a device.
#[derive(Debug)]
pub(super) struct MountedAt {
    pub(super) path: PathBuf,
}

/// A process that has a device open.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) pid: u32,
    pub(super) name: String,
}

/// Who uses a device.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) mounts: Vec<MountedAt>,
    pub(super) openers: Vec<Opener>,
    pub(super) claimed: bool,
}

/// A device that a dead process left.
#[derive(Debug)]
pub(super) struct DeviceInfo {
    pub(super) id: u32,
    pub(super) recoverable: bool,
}

impl DeviceInfo {
    pub(super) fn awaits_recovery(&self) -> bool {
        self.recoverable
    }

    pub(super) fn is_served(&self) -> bool {
        false
    }
}

pub(super) fn probe() -> Result<Features, UblkError> {
    Err(UblkError)
}

pub(super) fn find(_mark: u64) -> Result<Vec<DeviceInfo>, UblkError> {
    Ok(Vec::new())
}

pub(super) fn delete_orphan(_id: u32, _mark: u64, _deadline: Duration) -> Result<bool, UblkError> {
    Err(UblkError)
}

pub(super) fn in_use(_id: u32) -> Result<Usage, UblkError> {
    Err(UblkError)
}

pub(super) fn flush_caches(_path: &Path, _deadline: Duration) -> Result<(), UblkError> {
    Err(UblkError)
}

pub(super) fn reread_partitions(_path: &Path, _deadline: Duration) -> Result<(), UblkError> {
    Err(UblkError)
}

impl Device {
    pub(super) fn add(_disk: std::sync::Arc<Engine>, _options: Options) -> Result<Device, UblkError> {
        Err(UblkError)
    }

    pub(super) fn recover(
        _disk: std::sync::Arc<Engine>,
        _id: u32,
        _options: Options,
    ) -> Result<Device, UblkError> {
        Err(UblkError)
    }

    pub(super) fn id(&self) -> u32 {
        match *self {}
    }

    pub(super) fn path(&self) -> &Path {
        match *self {}
    }

    pub(super) fn stop(self, _drain: Duration) -> Result<Stopped, UblkError> {
        match self {}
    }

    pub(super) fn leave(self) -> Result<(), UblkError> {
        match self {}
    }
}
