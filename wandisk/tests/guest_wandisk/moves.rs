//! A disk with a device that is mounted moves only by force, and then the device is dead.

use crate::device::{attach, bash, can_read, devices, sh};
use crate::framework::*;

#[test]
fn a_mounted_disk_moves_only_by_force_and_its_device_is_dead_then() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "128M"]);
    let device = attach(&a, "d", &[]);
    sh(&format!(
        "mkfs.ext4 -q {0}; mkdir -p /run/m; mount {0} /run/m; echo kept > /run/m/a; sync",
        device.display()
    ));
    a.fails(["move", "d", "--to", "b"]).says(&["is mounted at /run/m", "--force"]);
    a.fails(["detach", "d"]).says(&["is mounted at /run/m"]);
    assert!(a.is_resident("d"));
    sh("echo on > /run/m/b; sync");

    a.ok(["move", "d", "--to", "b", "--force"]);
    sh("echo 3 > /proc/sys/vm/drop_caches");
    assert!(!bash("head -c 1M /dev/urandom > /run/m/c && sync -f /run/m/c").status.success());
    assert!(!can_read(&device));
    sh("umount /run/m");
    eventually("the dead device is gone", SOON, || devices() == 0);

    let there = attach(&b, "d", &[]).display().to_string();
    assert_eq!(sh(&format!("mount {there} /run/m; cat /run/m/a /run/m/b; umount /run/m")), "kept\non");
    sh(&format!("e2fsck -fn {there}"));
    b.detach("d");
}

#[test]
fn a_process_that_has_the_device_open_keeps_it_from_moving() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "64M"]);
    let device = attach(&a, "d", &[]);
    let open = std::fs::File::open(&device).unwrap();
    a.fails(["move", "d", "--to", "b"]).says(&["is open by guest_wandisk"]);
    drop(open);
    a.ok(["move", "d", "--to", "b"]);
    assert_eq!(devices(), 0);
    assert!(b.is_resident("d"));
}

#[test]
fn an_xfs_that_moved_twice_is_whole() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "512M"]);
    let device = attach(&a, "d", &[]).display().to_string();
    sh("modprobe xfs; mkdir -p /run/m");
    sh(&format!(
        "mkfs.xfs -q {device}; mount {device} /run/m; cp -r /usr/share/doc/[a-c]* /run/m/; umount /run/m"
    ));
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.detach("d");
        from.ok(["move", "d", "--to", to.name()]);
        let device = attach(to, "d", &[]).display().to_string();
        sh(&format!("mount -o discard {device} /run/m; echo {} >> /run/m/log; rm -r /run/m/a*", to.name()));
        sh("cp -r /usr/share/doc/a* /run/m/; fstrim /run/m; umount /run/m");
        sh(&format!("xfs_repair -n {device}"));
    }
    sh(&format!("mount {device} /run/m"));
    assert_eq!(sh("cat /run/m/log"), "b\na");
    let differ = sh("cd /usr/share/doc; diff -rq --no-dereference /run/m . | grep -v '^Only in' || true");
    assert_eq!(differ, "");
    sh("umount /run/m");
    a.detach("d");
}

#[test]
fn a_read_only_device_takes_no_writes() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "64M"]);
    let device = attach(&a, "d", &["--read-only"]);
    assert_eq!(sh(&format!("blockdev --getro {}", device.display())), "1");
    assert!(
        !bash(&format!("dd if=/dev/zero of={} bs=4k count=1 oflag=direct", device.display()))
            .status
            .success()
    );
    a.detach("d");
    assert_eq!(a.chunks("d", "written"), 0);
}

#[test]
fn an_attached_device_does_not_grow_and_the_detached_disk_does() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "64M"]);
    attach(&a, "d", &[]);
    a.fails(["resize", "d", "128M"]).says(&["detach"]);
    a.detach("d");
    a.ok(["resize", "d", "128M"]);
    let device = attach(&a, "d", &[]);
    assert_eq!(sh(&format!("blockdev --getsize64 {}", device.display())), (128 * MIB).to_string());
    a.detach("d");
}
