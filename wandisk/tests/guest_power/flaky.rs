//! A device under the store that fails every write, or drops it and says that it was done (`dm-flakey`).

use std::path::PathBuf;

use crate::device::{bash, sh};
use crate::framework::*;
use crate::machine::{self, DEVICE_SECTORS, LOGGED, end_all_in};
use crate::model::{SECTOR, Tag};
use crate::oracle::Story;
use crate::raw::{self, Raw};
use crate::story::{bytes, flush, scribble};
use crate::{Rng, seed};

const STORE: &str = "/run/flaky";
const SIZE: u64 = 2 * MIB;
const SECTORS: u64 = SIZE / SECTOR as u64;
/// Nothing is written back or committed by the kernel's own choice for this long.
const NO_COMMITS: &str = "commit=300";

/// What becomes of a write.
enum Writes {
    Done,
    Failed,
    Dropped,
}

/// A site whose store is on such a device, with a disk *d* on which every sector has tag 1.
struct Flaky {
    a: Site,
    // Last: it kills what was started.
    world: World,
}

impl Flaky {
    fn new() -> Flaky {
        sh(&format!(
            "modprobe dm-flakey; mkdir -p {STORE}
             dmsetup create flaky --noudevsync --table '0 {DEVICE_SECTORS} linear {LOGGED} 0'; dmsetup mknodes
             mkfs.ext4 -q -F -E nodiscard /dev/mapper/flaky; mount -o {NO_COMMITS} /dev/mapper/flaky {STORE}"
        ));
        let world = World::new();
        let a = Site::init(PathBuf::from(STORE).join("home"), "a");
        let image = world.file("i");
        std::fs::write(&image, bytes(0, SECTORS, 1)).unwrap();
        a.ok(["create", "d", "--chunk-size", "64K", "--from", image.to_str().unwrap()]);
        Flaky { a, world }
    }

    /// From now on. What the kernel holds back is not written on the occasion.
    fn writes_are(&self, writes: Writes) {
        let table = match writes {
            Writes::Done => format!("linear {LOGGED} 0"),
            Writes::Failed => format!("flakey {LOGGED} 0 0 1 1 error_writes"),
            Writes::Dropped => format!("flakey {LOGGED} 0 0 1 1 drop_writes"),
        };
        sh(&format!(
            "dmsetup suspend --nolockfs flaky; dmsetup load flaky --table '0 {DEVICE_SECTORS} {table}'
             dmsetup resume --noudevsync flaky"
        ));
    }

    fn client(&self) -> Raw {
        self.a.attach("d");
        Raw::connect(&self.a.disk_file("d", "nbd.sock"))
    }

    /// Every byte as the disk gives it.
    fn read(&self) -> Vec<u8> {
        let file = self.world.file("read");
        self.a.attach("d").copy_to(&file);
        self.a.detach("d");
        std::fs::read(file).unwrap()
    }

    /// The store goes away with everything that is not on its device.
    fn unmount(&self) {
        end_all_in(&[self.a.home(), self.world.path()]);
        sh(&format!("umount {STORE}"));
    }

    fn mount(&self) {
        sh(&format!("mount -o {NO_COMMITS} /dev/mapper/flaky {STORE}"));
    }

    /// The machine is started again: everything is there that was flushed in rounds, and what is read first stays.
    #[track_caller]
    fn boots_with(&self, story: &Story, who: &str) {
        machine::new_boot();
        self.mount();
        let read = self.read();
        story.judge(usize::from(FLUSHES), &read, who);
        self.a.ok(["verify", "d"]);
        assert!(self.read() == read, "what was read first did not stay");
        machine::old_boot();
    }
}

impl Drop for Flaky {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.unmount();
            sh("dmsetup remove --noudevsync --retry flaky");
        }
    }
}

/// Rounds of acknowledged writes, each with a flush that is.
const FLUSHES: u8 = 4;

fn flushed_rounds(rng: &mut Rng, client: &mut Raw, story: &mut Story) {
    for round in 0..u64::from(FLUSHES) {
        scribble(rng, client, story, 2 + round * 8, 8);
        flush(client);
        story.flushed();
    }
}

/// A write that may fail.
fn write(rng: &mut Rng, client: &mut Raw, story: &mut Story, tag: Tag) {
    let start = rng.below(SECTORS - 8);
    story.writes(start, 8, tag);
    client.call(0, raw::WRITE, start * SECTOR as u64, 4096, &bytes(start, 8, tag));
}

/// Only a read of a disk whose store failed works.
#[track_caller]
fn is_stopped(site: &Site, client: &mut Raw) {
    for command in [raw::WRITE_ZEROES, raw::FLUSH, raw::TRIM] {
        let len = if command == raw::FLUSH { 0 } else { 4096 };
        assert_ne!(client.call(0, command, 0, len, &[]).error, 0, "command {command} is acknowledged");
    }
    let status = site.status("d");
    assert_eq!(status["poisoned"], true, "{status}");
    let why = status["failure"].as_str().unwrap();
    assert!(why.contains("os error 5"), "{why}");
    assert!(site.ok(["status", "d"]).contains(why), "people are not told");
    assert_eq!(client.call(0, raw::READ, 0, 4096, &[]).error, 0);
}

#[test]
fn a_flush_that_failed_stops_the_disk_and_what_is_read_after_the_repair_stays() {
    let flaky = Flaky::new();
    let mut rng = seed();
    let mut story = Story::new(SECTORS, 1);
    let mut client = flaky.client();
    scribble(&mut rng, &mut client, &mut story, 2, 20);
    flush(&mut client);
    story.flushed();
    // No metadata but times changes below: the file system itself has nothing that must be written.
    sh(&format!("sync -f {STORE}"));

    flaky.writes_are(Writes::Failed);
    for tag in 30..40 {
        write(&mut rng, &mut client, &mut story, tag);
    }
    assert_ne!(client.call(0, raw::FLUSH, 0, 0, &[]).error, 0, "a flush is acknowledged that was not made");
    is_stopped(&flaky.a, &mut client);
    drop(client);

    flaky.writes_are(Writes::Done);
    sh(&format!("touch {STORE}/the-file-system-goes-on"));
    flaky.a.detach("d");
    let read = flaky.read();
    story.judge(1, &read, "after the repair");
    // The kernel called pages clean that were not on the device. Now they are there, or not what was read.
    flaky.unmount();
    flaky.mount();
    assert!(flaky.read() == read, "what was read is not what was on the device");
}

#[test]
fn a_medium_that_failed_for_long_has_what_was_flushed_before() {
    let flaky = Flaky::new();
    let mut rng = seed();
    let mut story = Story::new(SECTORS, 1);
    let mut client = flaky.client();
    flushed_rounds(&mut rng, &mut client, &mut story);
    scribble(&mut rng, &mut client, &mut story, 40, 8);

    flaky.writes_are(Writes::Failed);
    write(&mut rng, &mut client, &mut story, 50);
    assert_ne!(client.call(0, raw::FLUSH, 0, 0, &[]).error, 0, "a flush is acknowledged that was not made");
    is_stopped(&flaky.a, &mut client);
    drop(client);
    assert!(!bash(&format!("touch {STORE}/new; sync -f {STORE}")).status.success());
    assert!(!bash(&format!("touch {STORE}/newer")).status.success(), "the file system has not given up");

    flaky.unmount();
    flaky.writes_are(Writes::Done);
    flaky.boots_with(&story, "after the repair");
}

#[test]
fn a_medium_that_lied_before_a_power_cut_has_what_was_flushed_before_it_lied() {
    let flaky = Flaky::new();
    let mut rng = seed();
    let mut story = Story::new(SECTORS, 1);
    let mut client = flaky.client();
    flushed_rounds(&mut rng, &mut client, &mut story);
    flaky.writes_are(Writes::Dropped);
    scribble(&mut rng, &mut client, &mut Story::new(SECTORS, 1), 40, 20);
    flush(&mut client);
    drop(client);

    // Nothing that is still in memory reaches the device.
    flaky.unmount();
    flaky.writes_are(Writes::Done);
    flaky.boots_with(&story, "after the power cut");
}
