//! A machine that can lose its power: file systems of stores over `dm-log-writes`, and what is left of them at any moment.
//!
//! Several file systems lie on one logged device, so that one order is known of all their writes.

use std::fs::File;
use std::path::Path;

use crate::device::sh;
use crate::framework::{SOON, eventually, kill, processes_in};
use crate::log::{Entry, Log, SECTOR};

/// Size of the stores' device.
pub(crate) const DEVICE_SECTORS: u64 = 400 << 11;
// The devices of this guest: written to, its log, what is played back, and what a judge writes over that.
pub(crate) const LOGGED: &str = "/dev/vdb";
const LOG: &str = "/dev/vdc";
const PLAYED: &str = "/dev/vdd";
const OVER: &str = "/dev/vde";
/// What the kernel tells as its boot id.
const BOOT_ID: &str = "/run/boot_id";

/// Folders where file systems are, then and afterwards, on equal parts of the device.
pub(crate) type Stores = &'static [&'static str];

/// Makes the parts of a device.
fn part(device: &str, stores: Stores) -> String {
    let part = DEVICE_SECTORS / stores.len() as u64;
    let create = |n| {
        let start = part * n as u64;
        format!(
            "dmsetup create {device}{n} --noudevsync --table '0 {part} linear /dev/mapper/{device} {start}'\n"
        )
    };
    (0..stores.len()).map(create).chain(["dmsetup mknodes\n".to_owned()]).collect()
}

/// A line of shell for each store's number and folder.
fn each(stores: Stores, line: impl Fn(usize, &str) -> String) -> String {
    stores.iter().enumerate().map(|(n, store)| line(n, store) + "\n").collect()
}

fn mount(device: &str, stores: Stores) -> String {
    each(stores, |n, store| format!("mount /dev/mapper/{device}{n} {store}"))
}

fn unmount(device: &str, stores: Stores) -> String {
    let parts =
        each(stores, |n, store| format!("umount {store}; dmsetup remove --noudevsync --retry {device}{n}"));
    format!("{parts}dmsetup remove --noudevsync --retry {device}")
}

/// Makes the stores, their writes logged from the first one on.
pub(crate) fn start(stores: Stores) {
    sh(&format!(
        "modprobe dm-log-writes; modprobe dm-snapshot
         dmsetup create logged --noudevsync --table '0 {DEVICE_SECTORS} log-writes {LOGGED} {LOG}'
         dmsetup mknodes"
    ));
    sh(&part("logged", stores));
    sh(&each(stores, |n, store| {
        format!("mkdir -p {store}; mkfs.ext4 -q -E nodiscard /dev/mapper/logged{n}")
    }));
    sh(&mount("logged", stores));
}

/// Ends every process of sites in these folders: each keeper's mount namespace has the stores mounted as well.
pub(crate) fn end_all_in(folders: &[&Path]) {
    eventually("nobody uses the stores", SOON, || {
        let left: Vec<u32> = folders.iter().flat_map(|folder| processes_in(folder)).collect();
        left.iter().for_each(|pid| kill(*pid, rustix::process::Signal::KILL));
        left.is_empty()
    });
}

/// Says in the log that flush `number` of the story was acknowledged; 0 is the beginning.
pub(crate) fn mark_flush(number: usize) {
    sh(&format!("dmsetup message logged 0 mark f{number}"));
}

/// The log, complete.
pub(crate) fn stop(stores: Stores) -> Log {
    sh(&unmount("logged", stores));
    Log::read(Path::new(LOG)).unwrap()
}

/// The device as it was after some entries of a log.
pub(crate) struct Played {
    device: File,
    stores: Stores,
    upto: usize,
}

impl Played {
    /// Before the first entry: nothing is there, not even of another story.
    pub(crate) fn new(stores: Stores) -> Played {
        sh(&format!("blkdiscard -z -l {} {PLAYED}", DEVICE_SECTORS * SECTOR));
        Played { device: File::options().write(true).open(PLAYED).unwrap(), stores, upto: 0 }
    }

    /// Goes on until these many entries are played.
    pub(crate) fn go_to(&mut self, log: &Log, entries: usize) {
        for entry in &log.entries[self.upto..entries] {
            log.replay(entry, &self.device);
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
        on_its_way.iter().for_each(|entry| log.replay_torn(entry, &device, &mut arrived));
        device.sync_all().unwrap();
        drop(device);
        new_boot();
        sh(&part("judged", self.stores));
        sh(&mount("judged", self.stores));
        Booted { stores: self.stores }
    }
}

/// From now on the machine is one that was started again: it has another boot id.
pub(crate) fn new_boot() {
    sh(&format!(
        "cat /proc/sys/kernel/random/uuid > {BOOT_ID}; mount --bind {BOOT_ID} /proc/sys/kernel/random/boot_id"
    ));
}

/// The boot id is the kernel's again.
pub(crate) fn old_boot() {
    sh("umount /proc/sys/kernel/random/boot_id");
}

/// A machine that runs again; dropped, it is switched off.
pub(crate) struct Booted {
    stores: Stores,
}

impl Drop for Booted {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            sh(&unmount("judged", self.stores));
            old_boot();
        }
    }
}
