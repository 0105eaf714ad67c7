//! A site that attaches before residency comes, and an attach whose bytes are far away.

use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::device::{attach, bash, can_read, sh};
use crate::framework::*;

/// Writes a partition table with one partition of 64 MiB, as `fdisk` does; the kernel is told.
fn partition(device: &Path) {
    let mut sector = [0u8; 512];
    sector[446 + 4] = 0x83;
    sector[446 + 8..][..4].copy_from_slice(&2048u32.to_le_bytes());
    sector[446 + 12..][..4].copy_from_slice(&131_072u32.to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    std::fs::OpenOptions::new().write(true).open(device).unwrap().write_all_at(&sector, 0).unwrap();
    sh(&format!("blockdev --rereadpt {}", device.display()));
}

/// A disk with a partition table, an ext4 file system in its partition, and a file there.
fn partitioned(site: &Site) {
    site.ok(["create", "d", "--size", "96M"]);
    let device = attach(site, "d", &[]);
    partition(&device);
    let part = format!("{}p1", device.display());
    eventually("the partition is there", SOON, || Path::new(&part).exists());
    sh(&format!(
        "mkfs.ext4 -q {part}; mkdir -p /run/m; mount {part} /run/m; echo whole > /run/m/a; umount /run/m"
    ));
    site.detach("d");
}

/// QEMU's opening of a device past the page cache returns, whatever it makes of refused reads.
fn qemu_opens(device: &Path) {
    let opened = bash(&format!("timeout 60 qemu-io -r -n -f raw -c quit {}", device.display()));
    assert_ne!(opened.status.code(), Some(124), "the device answers nothing");
}

#[test]
fn a_standby_refuses_until_the_move_and_works_after_it() {
    let world = World::new();
    let (a, b) = world.pair();
    partitioned(&a);
    // It knows the disk, and is not resident: nothing was fetched.
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["move", "d", "--to", "a"]);

    let device = attach(&b, "d", &["--standby"]);
    assert!(!can_read(&device), "a standby gives bytes");
    // Interleaving 11: the kernel has looked for partitions, and QEMU tries reads to learn the alignment of what it opens.
    qemu_opens(&device);
    a.ok(["move", "d", "--to", "b"]);
    let device = device.display().to_string();
    eventually("its partition is seen", SOON, || Path::new(&format!("{device}p1")).exists());
    assert_eq!(
        sh(&format!("mkdir -p /run/m; mount {device}p1 /run/m; cat /run/m/a; umount /run/m")),
        "whole"
    );
    sh(&format!("e2fsck -fn {device}p1"));
    b.detach("d");
}

#[test]
fn what_a_standby_could_not_read_is_not_cached_as_zeros() {
    let world = World::new();
    let (a, b) = world.pair();
    partitioned(&a);
    let sum = {
        let device = attach(&a, "d", &[]);
        let sum = sh(&format!("head -c 1M {} | cksum", device.display()));
        a.detach("d");
        sum
    };
    a.ok(["move", "d", "--to", "b"]);
    b.ok(["move", "d", "--to", "a"]);
    let device = attach(&b, "d", &["--standby"]);
    assert!(!bash(&format!("head -c 1M {} | cksum", device.display())).status.success());
    a.ok(["move", "d", "--to", "b"]);
    assert_eq!(sh(&format!("head -c 1M {} | cksum", device.display())), sum);
    b.detach("d");
}

#[test]
fn an_attach_returns_while_the_first_chunk_is_far_and_its_partitions_come_with_its_holder() {
    let world = World::new();
    let (a, b) = (world.site("a"), world.site("b"));
    // b itself cannot dial a.
    let link = world.link(&a, &b);
    partitioned(&a);
    a.ok(["move", "d", "--to", "b"]);
    link.cut();
    let device = attach(&b, "d", &["--fetch-timeout", "2s"]);
    assert!(!can_read(&device), "nobody can have given these bytes");
    qemu_opens(&device);
    let partition = format!("{}p1", device.display());
    assert!(!Path::new(&partition).exists());

    // It is looked for again by itself.
    b.knows(&a);
    eventually("the partition is seen", SOON, || Path::new(&partition).exists());
    sh(&format!("e2fsck -fn {partition}"));
    b.detach("d");
}

#[test]
fn whoever_has_a_device_open_keeps_it_through_a_hand_over_that_lets_it_stay() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "64M"]);
    let device = attach(&a, "d", &[]);
    let open = std::fs::OpenOptions::new().read(true).write(true).open(&device).unwrap();
    open.write_all_at(&[1; 4096], 0).unwrap();
    open.sync_all().unwrap();
    let token = a.ok(["prepare", "d", "--to", "b"]);
    a.ok(["commit", "d", "--token", &token, "--standby"]);
    assert!(b.is_resident("d") && !can_read(&device));
    let there = std::fs::OpenOptions::new().write(true).open(attach(&b, "d", &[])).unwrap();
    there.write_all_at(&[2; 4096], 0).unwrap();
    there.sync_all().unwrap();
    drop(there);
    b.detach("d");
    b.ok(["move", "d", "--to", "a"]);
    // What the kernel had kept of it is of no use any more.
    let mut bytes = [0; 4096];
    open.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, [2; 4096]);
    open.write_all_at(&[3; 4096], 0).unwrap();
    open.sync_all().unwrap();
    drop(open);
    a.detach("d");
}
