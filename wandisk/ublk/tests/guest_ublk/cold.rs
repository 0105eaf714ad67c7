//! Requests that wait for the engine: others go on, another thread's answer wakes them, and nothing hangs on them.

use std::time::{Duration, Instant};

use wandisk_io::{IoError, Op};
use wandisk_ublk::{Device, Options, flush_caches, reread_partitions};

use crate::lab::{Asked, CHUNK, Cold, Direct, LONG, Lab, LabDisk, MIB, errno, eventually, options, sh};

#[test]
fn a_request_that_waits_holds_up_no_other_and_another_thread_wakes_it() {
    let lab = Lab::new(8 * MIB);
    lab.disk.chill(1);
    lab.disk.set_cold(Cold::Wait);
    let path = lab.path();
    let cold = std::thread::spawn(move || Direct::open(&path).read(CHUNK));
    eventually("the cold read waits", || lab.disk.waiting() == 1);
    let direct = lab.direct();
    for turn in 0..50 {
        direct.write(turn * 4096 % CHUNK, 7).unwrap();
    }
    assert!(!cold.is_finished());
    let released = Instant::now();
    lab.disk.release();
    assert_eq!(cold.join().unwrap().unwrap(), [0; 4096]);
    // The ring would have looked by itself only after 20 s.
    assert!(released.elapsed() < Duration::from_secs(15), "{:?}", released.elapsed());
    assert_eq!(lab.disk.asked(), [Asked::Begin(Op::Read, CHUNK, 4096)]);
}

#[test]
fn an_idle_queue_is_woken_again_and_again() {
    let lab = Lab::new(8 * MIB);
    lab.disk.chill_all();
    lab.disk.set_cold(Cold::Wait);
    for turn in 0..40 {
        let path = lab.path();
        let write = std::thread::spawn(move || Direct::open(&path).write(turn * CHUNK % MIB, 9));
        eventually("it waits", || lab.disk.waiting() == 1);
        lab.disk.release();
        write.join().unwrap().unwrap();
    }
}

#[test]
fn a_full_queue_of_waiting_requests_is_served_when_they_may_go_on() {
    let lab = Lab::new(64 * MIB);
    lab.disk.chill_all();
    lab.disk.set_cold(Cold::Wait);
    let fio = format!(
        "fio --name=v --filename={} --rw=randwrite --bs=4k --size=16M --io_size=4M --iodepth=256 --ioengine=io_uring \
         --direct=1 --verify=crc32c --verify_fatal=1",
        lab.path().display()
    );
    let fio = std::thread::spawn(move || sh(&fio));
    let mut most = 0;
    eventually("fio ends", || {
        most = most.max(lab.disk.waiting());
        lab.disk.release();
        fio.is_finished()
    });
    fio.join().unwrap();
    assert!(most > 16, "{most} waited at once");
}

#[test]
fn a_standby_starts_though_it_refuses_every_read() {
    let disk = LabDisk::new(8 * MIB);
    disk.chill_all();
    disk.set_cold(Cold::Refuse(IoError::NotResident));
    let lab = Lab::over(disk);
    assert!(!lab.device().scan_cut_short());
    assert_eq!(errno(lab.direct().read(0)), 5);
}

/// A partition table with one Linux partition of 1 MiB at 1 MiB.
fn partition_table() -> [u8; 512] {
    let mut sector = [0; 512];
    let entry = [0, 0, 0, 0, 0x83, 0, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0];
    sector[446..462].copy_from_slice(&entry);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

#[test]
fn a_disk_whose_first_chunk_is_far_away_starts_and_has_its_partitions_later() {
    use std::os::unix::fs::FileExt;
    let disk = LabDisk::new(8 * MIB);
    disk.file().write_all_at(&partition_table(), 0).unwrap();
    disk.chill_all();
    disk.set_cold(Cold::Wait);
    let patient = Options { scan_patience: Duration::from_millis(500), ..options() };
    let begun = Instant::now();
    let device = Device::add(std::sync::Arc::clone(&disk), patient).unwrap();
    assert!(device.scan_cut_short());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let partition = format!("{}p1", device.path().display());
    assert!(!std::path::Path::new(&partition).exists());

    disk.set_cold(Cold::Open);
    reread_partitions(device.path(), LONG).unwrap();
    eventually("the partition is there", || std::path::Path::new(&partition).exists());
    device.stop(LONG).unwrap();
}

#[test]
fn promotion_drops_what_was_cached() {
    use std::os::unix::fs::FileExt;
    let lab = Lab::new(8 * MIB);
    let through_cache = || std::fs::read(lab.path()).unwrap()[4096];
    // A reader holds the device open, or the kernel would drop its cache with the last one.
    let _reader = std::fs::File::open(lab.path()).unwrap();
    assert_eq!(through_cache(), 0);
    lab.disk.file().write_all_at(&[4; 4096], 4096).unwrap();
    assert_eq!(through_cache(), 0, "cached");
    flush_caches(&lab.path(), LONG).unwrap();
    assert_eq!(through_cache(), 4);
}

#[test]
fn stopping_does_not_wait_for_the_engine_for_ever() {
    let lab = Lab::new(8 * MIB);
    lab.disk.chill(2);
    lab.disk.set_cold(Cold::Wait);
    let path = lab.path();
    let reader = std::thread::spawn(move || Direct::open(&path).read(2 * CHUNK));
    let disk = std::sync::Arc::clone(&lab.disk);
    eventually("the read waits", || disk.waiting() == 1);
    let stopped = lab.take().stop(Duration::from_millis(300)).unwrap();
    assert!(stopped.forced);
    assert_eq!(errno(reader.join().unwrap()), 5);
}

#[test]
fn waits_can_be_refused_for_a_while() {
    let lab = Lab::new(8 * MIB);
    lab.disk.chill(0);
    lab.disk.set_cold(Cold::Wait);
    lab.device().refuse_waits(true);
    assert_eq!(errno(lab.direct().read(0)), 5);
    lab.direct().write(CHUNK, 1).unwrap();
    lab.device().refuse_waits(false);
    let path = lab.path();
    let reader = std::thread::spawn(move || Direct::open(&path).read(0));
    eventually("the read waits", || lab.disk.waiting() >= 1);
    lab.disk.release();
    reader.join().unwrap().unwrap();
}
