//! The keeper is killed; what uses its device waits for the next one, and notices nothing but the wait.

use crate::device::{attach, beside, devices, requests, sh};
use crate::framework::*;

#[test]
fn io_goes_on_after_the_keeper_was_killed() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "64M"]);
    let device = attach(&a, "d", &[]);
    let fio = beside(format!(
        "fio --name=v --filename={} --rw=randwrite --bsrange=4k-64k --size=64M --io_size=160M --iodepth=32 --fsync=64 \
         --verify=crc32c --verify_fatal=1 --verify_state_save=0 --ioengine=io_uring --direct=1 --randseed=3",
        device.display()
    ));
    for _ in 0..3 {
        let before = requests(&device);
        eventually("fio gets on", SOON, || requests(&device) > before + 300 || fio.is_finished());
        assert!(!fio.is_finished(), "fio ended too early for this test");
        a.kill_keeper("d");
        assert_eq!(attach(&a, "d", &[]), device, "the same device again");
    }
    fio.join().unwrap();
    a.detach("d");
    assert_eq!(devices(), 0);
}

#[test]
fn a_mounted_filesystem_outlives_its_keeper() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "256M"]);
    let device = attach(&a, "d", &[]).display().to_string();
    sh(&format!("mkfs.ext4 -q {device}; mkdir -p /run/m; mount {device} /run/m; echo before > /run/m/a"));
    a.kill_keeper("d");
    // A page cache full of writes, and a `sync` that waits for a keeper.
    let writer = beside("head -c 8M /dev/urandom > /run/m/b; sync; cksum < /run/m/b".to_owned());
    attach(&a, "d", &[]);
    let sum = writer.join().unwrap();
    a.kill_keeper("d");
    attach(&a, "d", &[]);
    sh("sync; echo 3 > /proc/sys/vm/drop_caches");
    assert_eq!(sh("cat /run/m/a; cksum < /run/m/b"), format!("before\n{sum}"));
    let errors = sh(&format!("dmesg | grep -c 'I/O error.*{}' || true", &device["/dev/".len()..]));
    assert_eq!(errors, "0", "the file system has seen errors");
    sh(&format!("umount /run/m; e2fsck -fn {device}"));
    a.detach("d");
}

#[test]
fn while_its_keeper_is_dead_a_device_in_use_is_neither_moved_nor_detached() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "64M"]);
    let device = attach(&a, "d", &[]);
    sh(&format!(
        "mkfs.ext4 -q {0}; mkdir -p /run/m; mount {0} /run/m; echo a > /run/m/a; sync",
        device.display()
    ));
    a.kill_keeper("d");
    a.fails(["move", "d", "--to", "b"]).says(&["mounted at /run/m", "attach the disk again"]);
    a.fails(["detach", "d"]).says(&["mounted at /run/m"]);
    assert!(a.is_resident("d"));
    assert_eq!(attach(&a, "d", &[]), device);
    sh("echo more > /run/m/b; sync; umount /run/m");
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    let there = attach(&b, "d", &[]);
    assert_eq!(
        sh(&format!("mount {} /run/m; cat /run/m/a /run/m/b; umount /run/m", there.display())),
        "a\nmore"
    );
    b.detach("d");
}

#[test]
fn the_device_of_a_dead_keeper_is_gone_after_detach() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "64M"]);
    attach(&a, "d", &[]);
    a.kill_keeper("d");
    assert_eq!(devices(), 1);
    a.detach("d");
    assert_eq!(devices(), 0);
}

#[test]
fn the_device_of_a_dead_keeper_is_gone_after_a_move() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "64M"]);
    attach(&a, "d", &[]);
    a.kill_keeper("d");
    b.fails(["attach", "d", "--ublk"]);
    a.ok(["move", "d", "--to", "b"]);
    assert_eq!(devices(), 0);
    a.fails(["attach", "d", "--ublk"]).says(&["resident at b"]);
}
