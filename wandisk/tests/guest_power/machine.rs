//! A machine that can lose its power: a store's file system over `dm-log-writes`, and what is left of it at any moment.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::device::sh;
use crate::log::{Entry, Log};

/// Size of the store's device.
const DEVICE_SECTORS: u64 = 400 << 11;
/// Where the store is, then and afterwards.
pub(crate) const STORE: &str = "/run/store";
// The devices of this guest: written to, its log, what is played back, and what a judge writes over that.
const LOGGED: &str = "/dev/vdb";
const LOG: &str = "/dev/vdc";
const PLAYED: &str = "/dev/vdd";
const OVER: &str = "/dev/vde";

/// Makes the store, its writes logged from the first one on.
pub(crate) fn start() {
    sh(&format!(
        "modprobe dm-log-writes; modprobe dm-snapshot; mkdir -p {STORE}
         dmsetup create logged --noudevsync --table '0 {DEVICE_SECTORS} log-writes {LOGGED} {LOG}'
         dmsetup mknodes; mkfs.ext4 -q -E nodiscard /dev/mapper/logged
         mount /dev/mapper/logged {STORE}"
    ));
}

/// Puts a word into the log.
pub(crate) fn mark(word: &str) {
    sh(&format!("dmsetup message logged 0 mark {word}"));
}

/// The log, complete.
pub(crate) fn stop() -> Log {
    sh(&format!("umount {STORE}; dmsetup remove --noudevsync logged"));
    Log::read(Path::new(LOG)).unwrap()
}

/// The device as it was after some entries of a log.
pub(crate) struct Played {
    device: File,
    pub(crate) upto: usize,
}

impl Played {
    pub(crate) fn new() -> Played {
        Played { device: File::options().write(true).open(PLAYED).unwrap(), upto: 0 }
    }

    /// Goes on until these many entries are played.
    pub(crate) fn go_to(&mut self, log: &Log, entries: usize) {
        for entry in &log.entries[self.upto..entries] {
            log.replay(entry, &self.device, || true);
        }
        self.upto = entries;
        self.device.sync_all().unwrap();
    }

    /// The machine starts again here, with some sectors of what was on its way, and another boot id.
    pub(crate) fn boot(&self, log: &Log, on_its_way: &[Entry], mut arrived: impl FnMut() -> bool) -> Booted {
        // The first sector of what a snapshot writes over names an older snapshot.
        sh(&format!(
            "dd if=/dev/zero of={OVER} bs=64k count=1 conv=fsync 2>/dev/null
             dmsetup create judged --noudevsync --table '0 {DEVICE_SECTORS} snapshot {PLAYED} {OVER} N 8'; dmsetup mknodes"
        ));
        let device = File::options().write(true).open("/dev/mapper/judged").unwrap();
        on_its_way.iter().for_each(|entry| log.replay(entry, &device, &mut arrived));
        device.sync_all().unwrap();
        drop(device);
        let boot_id = PathBuf::from("/run/boot_id");
        let id = sh("cat /proc/sys/kernel/random/uuid");
        std::fs::write(&boot_id, format!("{id}\n")).unwrap();
        sh(&format!(
            "mount --bind {} /proc/sys/kernel/random/boot_id; mount /dev/mapper/judged {STORE}",
            boot_id.display()
        ));
        Booted
    }
}

/// A machine that runs again; dropped, it is switched off.
pub(crate) struct Booted;

impl Drop for Booted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            sh(&format!(
                "umount {STORE}; umount /proc/sys/kernel/random/boot_id; dmsetup remove --noudevsync --retry judged"
            ));
        }
    }
}
