//! File systems live on a device as on any other.

use crate::lab::{Lab, MIB, sh};

/// Fills a file system, drops the caches, compares, and has it checked.
fn holds_a_tree(make: &str, check: &str) {
    let lab = Lab::new(512 * MIB);
    let dev = lab.path().display().to_string();
    sh(&format!(
        "{make} {dev}; m=$(mktemp -d -p /run); mount -o discard {dev} $m
         mkdir $m/a; cp -r /usr/share/doc/[a-d]* $m/a/; head -c 30M /dev/urandom > $m/blob; sum=$(sha256sum < $m/blob)
         umount $m; echo 3 > /proc/sys/vm/drop_caches; blockdev --flushbufs {dev}
         mount {dev} $m; test \"$sum\" = \"$(sha256sum < $m/blob)\"; rm $m/blob; fstrim $m
         sums() {{ (cd $1 && find [a-d]* -type f | sort | xargs -d '\\n' cksum); }}
         sums /usr/share/doc > /run/one; sums $m/a > /run/two; cmp /run/one /run/two
         umount $m; rmdir $m; {check} {dev}"
    ));
}

#[test]
fn ext4() {
    holds_a_tree("mkfs.ext4 -q", "e2fsck -fn");
}

#[test]
fn xfs() {
    holds_a_tree("modprobe xfs; mkfs.xfs -q", "xfs_repair -n");
}
