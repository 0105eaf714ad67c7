//! Each kind of request does what it says, to the bytes and to the engine.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use wandisk_conformance::{Client, FileClient, Target};
use wandisk_io::{IoError, ZeroMode};
use wandisk_ublk::Device;

use crate::lab::{Asked, CHUNK, Cold, Lab, LabDisk, MIB, errno, options, sh};

struct BlockDevice(PathBuf, u64);

impl Target for BlockDevice {
    fn open(&self) -> io::Result<Box<dyn Client>> {
        Ok(Box::new(FileClient::open(&self.0)?))
    }
    fn size(&self) -> u64 {
        self.1
    }
    fn alignment(&self) -> u64 {
        512
    }
    fn refuses_past_the_end(&self) -> bool {
        // The block layer refuses before we see it.
        false
    }
}

#[test]
fn it_conforms() {
    let lab = Lab::new(16 * MIB);
    wandisk_conformance::run_all(&BlockDevice(lab.path(), 16 * MIB), 0x5b0d);
}

#[test]
fn it_conforms_where_every_chunk_is_cold() {
    let lab = Lab::new(16 * MIB);
    lab.disk.chill_all();
    wandisk_conformance::run_all(&BlockDevice(lab.path(), 16 * MIB), 0xc01d);
}

#[test]
fn what_fio_writes_it_reads_back() {
    let lab = Lab::new(64 * MIB);
    sh(&format!(
        "fio --name=v --filename={} --rw=randrw --bsrange=512-512k --size=64M --io_size=96M --iodepth=48 \
         --ioengine=io_uring --direct=1 --verify=crc32c --verify_fatal=1 --numjobs=1 --randseed=11",
        lab.path().display()
    ));
}

#[test]
fn the_block_layer_knows_the_disk() {
    let lab = Lab::over(LabDisk::new(8 * MIB + 512));
    let queue = format!("/sys/block/ublkb{}/queue", lab.device().id());
    let of = |name: &str| sh(&format!("cat {queue}/{name}")).trim().to_owned();
    assert_eq!(sh(&format!("blockdev --getsize64 {}", lab.path().display())).trim(), "8389120");
    assert_eq!([of("logical_block_size"), of("physical_block_size")], ["512", "4096"]);
    assert_eq!([of("minimum_io_size"), of("optimal_io_size")], ["4096", "131072"]);
    assert_eq!([of("discard_granularity"), of("fua"), of("write_cache")], ["4096", "1", "write back"]);
    let last = File::open(lab.path()).unwrap();
    let mut sector = [1; 512];
    last.read_exact_at(&mut sector, 8 * MIB).unwrap();
    assert_eq!(sector, [0; 512]);
}

#[test]
fn a_flush_makes_the_disk_flush() {
    let lab = Lab::new(8 * MIB);
    let direct = lab.direct();
    direct.write(0, 7).unwrap();
    lab.disk.asked();
    direct.flush().unwrap();
    assert_eq!(lab.disk.asked(), [Asked::Flush]);
    lab.disk.set_flush_error(Some(IoError::Io));
    assert_eq!(errno(direct.flush()), 5);
}

#[test]
fn a_fua_write_is_flushed_before_it_is_answered() {
    let lab = Lab::new(8 * MIB);
    sh(&format!(
        "dd if=/dev/urandom of={} bs=4096 count=3 oflag=direct,dsync conv=notrunc status=none",
        lab.path().display()
    ));
    let flushes = lab.disk.asked().iter().filter(|a| **a == Asked::Flush).count();
    assert!(flushes >= 3, "{flushes}");
}

#[test]
fn discards_and_zeroes_arrive_as_what_they_are() {
    let lab = Lab::new(8 * MIB);
    let path = lab.path();
    let fill = || {
        sh(&format!("dd if=/dev/urandom of={} bs=1M count=2 oflag=direct status=none", path.display()));
        lab.disk.file().sync_all().unwrap();
        lab.disk.asked();
        lab.disk.file().metadata().unwrap().blocks()
    };
    let full = fill();
    sh(&format!("blkdiscard -f -o 65536 -l 1048576 {}", path.display()));
    assert_eq!(lab.disk.asked(), [Asked::Zero(65536, MIB, ZeroMode::Trim)]);
    assert!(lab.disk.file().metadata().unwrap().blocks() < full, "a discard gives space back");
    for (flag, mode) in [("-p", ZeroMode::ZeroMayPunch), ("-z", ZeroMode::ZeroAllocated)] {
        fill();
        sh(&format!("fallocate {flag} -n -o 4096 -l 12288 {}", path.display()));
        // fallocate(1) flushes as well.
        assert_eq!(lab.disk.asked()[0], Asked::Zero(4096, 12288, mode), "fallocate {flag}");
        assert_eq!(lab.direct().read(8192).unwrap(), [0; 4096]);
    }
}

#[test]
fn what_a_file_that_was_cut_does_not_have_is_not_made_up() {
    let cut = tempfile::tempfile_in("/scratch").unwrap();
    cut.set_len(MIB + 1000).unwrap();
    let lab = Lab::over(LabDisk::over(cut, 4 * MIB, false, None));
    assert_eq!(lab.direct().read(MIB - CHUNK).unwrap(), [0; 4096]);
    for at in [MIB, 2 * MIB] {
        assert_eq!(lab.direct().read(at).unwrap_err().raw_os_error(), Some(5));
    }
    lab.direct().write(2 * MIB, 5).unwrap();
    assert_eq!(lab.direct().read(2 * MIB).unwrap(), [5; 4096]);
}

#[test]
fn a_read_only_disk_cannot_be_opened_for_writing() {
    let file = tempfile::tempfile_in("/scratch").unwrap();
    file.set_len(4 * MIB).unwrap();
    let lab = Lab::over(LabDisk::over(file, 4 * MIB, true, None));
    let path = lab.path();
    assert_eq!(sh(&format!("blockdev --getro {}", path.display())).trim(), "1");
    let writable = OpenOptions::new().write(true).open(&path);
    // Opening is allowed for the sake of ioctls; writing is not.
    let refused = writable.and_then(|f| f.write_all_at(&[1; 512], 0).and_then(|()| f.sync_all()));
    assert!(refused.is_err());
    assert_eq!(File::open(&path).unwrap().read_at(&mut [0; 512], 0).unwrap(), 512);
}

#[test]
fn each_error_of_the_engine_reaches_the_caller() {
    let lab = Lab::new(8 * MIB);
    lab.disk.chill(0);
    let direct = lab.direct();
    let told = [
        (IoError::Io, 5),
        (IoError::NotResident, 5),
        (IoError::TimedOut, 5),
        (IoError::NoSpace, 28),
        // The block layer has no word for this.
        (IoError::ReadOnly, 5),
        (IoError::Invalid, 22),
    ];
    for (error, expected) in told {
        lab.disk.set_cold(Cold::Refuse(error));
        assert_eq!(errno(direct.read(0)), expected, "{error:?}");
        assert_eq!(errno(direct.write(0, 1)), expected, "{error:?}");
    }
    lab.disk.set_cold(Cold::Open);
    direct.write(0, 3).unwrap();
    assert_eq!(direct.read(0).unwrap(), [3; 4096]);
}

#[test]
fn a_full_store_says_so_and_works_again_when_there_is_room() {
    let dir = tempfile::tempdir_in("/scratch").unwrap();
    let mount = dir.path().join("small");
    let at = mount.display().to_string();
    sh(&format!("mkdir {at} && mount -t tmpfs -o size=1M tmpfs {at} && truncate -s 8M {at}/data.img"));
    let file = OpenOptions::new().read(true).write(true).open(mount.join("data.img")).unwrap();
    {
        let lab = Lab::over(LabDisk::over(file, 8 * MIB, false, None));
        let direct = lab.direct();
        let wrote: Vec<io::Result<()>> = (0..512).map(|n| direct.write(n * 4096, 8)).collect();
        let failed: Vec<_> = wrote.iter().filter_map(|w| w.as_ref().err()?.raw_os_error()).collect();
        assert!(!failed.is_empty() && failed.iter().all(|e| *e == 28), "{failed:?}");
        sh(&format!("mount -o remount,size=16M {at}"));
        direct.write(MIB, 6).unwrap();
        assert_eq!(direct.read(MIB).unwrap(), [6; 4096]);
    }
    sh(&format!("umount {at}"));
}

#[test]
fn many_queues_and_shallow_ones_serve() {
    for (queues, depth, max_io) in [(1, 1, 4096), (4, 3, 64 << 10), (2, 256, 1 << 20)] {
        let disk = LabDisk::new(8 * MIB);
        let options = wandisk_ublk::Options { queues, depth, max_io, ..options() };
        let device = Device::add(disk, options).unwrap();
        sh(&format!(
            "fio --name=v --filename={} --rw=randwrite --bs=16k --size=8M --iodepth=16 --numjobs=1 \
             --ioengine=io_uring --direct=1 --verify=crc32c --verify_fatal=1",
            device.path().display()
        ));
        device.stop(crate::lab::LONG).unwrap();
    }
}
