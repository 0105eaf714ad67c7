//! A server that is killed leaves a device whose users wait for the next server, and notice nothing but the wait.
//!
//! The servers are this program itself, started again to run [`serves_for_the_others`] alone.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;
use wandisk_ublk::{Device, DeviceState, UblkError, delete_orphan, device_info, find};

use crate::lab::{Direct, LONG, Lab, LabDisk, MARK, MIB, eventually, options, sh};

/// What a server serves: the file, its size, and the device to recover.
const SERVE: &str = "SERVE";

/// Not a test by itself: serves as it is told until its standard input says `stop` or ends.
#[test]
fn serves_for_the_others() {
    let Ok(told) = std::env::var(SERVE) else { return };
    let [path, recover] = told.split(',').collect::<Vec<_>>()[..] else { panic!("{told}") };
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let disk = LabDisk::over(file, size, false, None);
    let device = match recover.parse() {
        Ok(id) => Device::recover(disk, id, options()).unwrap(),
        Err(_) => Device::add(disk, options()).unwrap(),
    };
    println!("DEVICE {} {}", device.id(), device.path().display());
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    if line.trim() == "leave" {
        device.leave().unwrap();
    } else {
        device.stop(LONG).unwrap();
    }
}

struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    id: u32,
    path: PathBuf,
}

impl Server {
    fn start(file: &Path, recover: Option<u32>) -> Server {
        let recover = recover.map_or("add".into(), |id| id.to_string());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["death::serves_for_the_others", "--exact", "--nocapture"])
            .env(SERVE, format!("{},{recover}", file.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = stdout.find_map(|l| l.split_once("DEVICE ").map(|(_, d)| d.to_owned()));
        let said = said.expect("the server said why not");
        // Or it could not say that it ended.
        std::thread::spawn(move || stdout.for_each(drop));
        let (id, path) = said.split_once(' ').unwrap();
        let (id, path) = (id.parse().unwrap(), path.into());
        Server { stdin: child.stdin.take(), child, id, path }
    }

    fn kill(mut self) -> u32 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.id
    }

    fn end(mut self, word: &str) -> u32 {
        writeln!(self.stdin.take().unwrap(), "{word}").unwrap();
        assert!(self.child.wait().unwrap().success());
        self.id
    }
}

fn file(bytes: u64) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir_in("/scratch").unwrap();
    let path = dir.path().join("data.img");
    std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    (dir, path)
}

#[test]
fn io_goes_on_after_its_server_was_killed() {
    let (_dir, file) = file(64 * MIB);
    let mut server = Server::start(&file, None);
    let fio = format!(
        "fio --name=v --filename={} --rw=randwrite --bsrange=4k-64k --size=64M --io_size=256M --iodepth=32 --verify=crc32c \
         --verify_fatal=1 --ioengine=io_uring --direct=1 --randseed=3",
        server.path.display()
    );
    let fio = std::thread::spawn(move || sh(&fio));
    let stat = format!("/sys/block/ublkb{}/stat", server.id);
    let requests = || -> u64 {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.split_whitespace()
            .enumerate()
            .filter(|(n, _)| matches!(n, 0 | 4))
            .map(|(_, v)| v.parse::<u64>().unwrap())
            .sum()
    };
    for _ in 0..4 {
        let before = requests();
        eventually("fio gets on", || requests() > before + 300 || fio.is_finished());
        assert!(!fio.is_finished(), "fio ended too early for this test");
        let id = server.kill();
        server = Server::start(&file, Some(id));
    }
    fio.join().unwrap();
    server.end("stop");
}

#[test]
fn a_mounted_file_system_outlives_its_server() {
    let (_dir, file) = file(256 * MIB);
    let server = Server::start(&file, None);
    let dev = server.path.display().to_string();
    sh(&format!(
        "mkfs.ext4 -q {dev}; mkdir -p /run/outlive; mount {dev} /run/outlive; echo before > /run/outlive/a"
    ));
    let id = server.kill();
    let writer =
        std::thread::spawn(|| sh("head -c 8M /dev/urandom > /run/outlive/b; sync; cksum < /run/outlive/b"));
    let server = Server::start(&file, Some(id));
    let sum = writer.join().unwrap();
    let id = server.kill();
    let server = Server::start(&file, Some(id));
    sh("sync; echo 3 > /proc/sys/vm/drop_caches");
    assert_eq!(sh("cat /run/outlive/a; cksum < /run/outlive/b"), format!("before\n{sum}"));
    sh(&format!("umount /run/outlive; e2fsck -fn {dev}"));
    server.end("stop");
}

#[test]
fn a_device_can_be_left_and_taken_over() {
    let (_dir, file) = file(8 * MIB);
    let server = Server::start(&file, None);
    let path = server.path.clone();
    let direct = Direct::open(&path);
    direct.write(4096, 3).unwrap();
    let id = server.end("leave");
    assert!(device_info(id).unwrap().unwrap().awaits_recovery());
    let reader = std::thread::spawn(move || direct.read(4096));
    let server = Server::start(&file, Some(id));
    assert_eq!(reader.join().unwrap().unwrap(), [3; 4096]);
    server.end("stop");
}

#[test]
fn leaving_and_recovering_work_within_one_process() {
    let lab = Lab::new(8 * MIB);
    let (id, disk) = (lab.device().id(), std::sync::Arc::clone(&lab.disk));
    let direct = lab.direct();
    direct.write(0, 6).unwrap();
    lab.take().leave().unwrap();
    let device = Device::recover(disk, id, options()).unwrap();
    assert_eq!(direct.read(0).unwrap(), [6; 4096]);
    drop(direct);
    assert!(device.stop(LONG).unwrap().id_free);
}

#[test]
fn only_its_own_disk_may_recover_a_device() {
    let (_dir, file) = file(8 * MIB);
    let server = Server::start(&file, None);
    let id = server.id;
    let disk = || LabDisk::new(8 * MIB);
    assert!(matches!(Device::recover(disk(), id, options()), Err(UblkError::Served { .. })));
    let id = server.kill();
    let other = wandisk_ublk::Options { mark: MARK + 1, ..options() };
    assert!(matches!(Device::recover(disk(), id, other), Err(UblkError::OtherDisk(_))));
    let grown = LabDisk::new(9 * MIB);
    assert!(matches!(Device::recover(grown, id, options()), Err(UblkError::Reshaped { .. })));
    assert!(matches!(Device::recover(disk(), id + 100, options()), Err(UblkError::NoSuchDevice(_))));
    // What was refused has changed nothing.
    Server::start(&file, Some(id)).end("stop");
}

#[test]
fn an_orphan_is_found_by_its_mark_and_its_users_get_errors_when_it_goes() {
    let (_dir, file) = file(8 * MIB);
    let server = Server::start(&file, None);
    let direct = Direct::open(&server.path);
    let id = server.id;
    assert!(matches!(delete_orphan(id, MARK, LONG), Err(UblkError::Served { .. })));
    let id = server.kill();
    let reader = std::thread::spawn(move || direct.read(0).is_err());
    let found: Vec<u32> = find(MARK).unwrap().iter().map(|d| d.id).collect();
    assert_eq!(found, [id]);
    assert!(find(MARK + 1).unwrap().is_empty());
    assert!(matches!(delete_orphan(id, MARK + 1, LONG), Err(UblkError::OtherDisk(_))));
    delete_orphan(id, MARK, LONG).unwrap();
    assert!(reader.join().unwrap());
    assert!(device_info(id).unwrap().is_none());
    assert!(delete_orphan(id, MARK, LONG).unwrap(), "it is gone already");
}

#[test]
fn a_device_that_does_not_outlive_its_server_is_gone_with_it() {
    let device = {
        let options = wandisk_ublk::Options { recoverable: false, ..options() };
        Device::add(LabDisk::new(8 * MIB), options).unwrap()
    };
    let id = device.id();
    let direct = Direct::open(device.path());
    device.leave().unwrap();
    eventually("the kernel has noticed", || {
        device_info(id).unwrap().is_none_or(|d| d.state == DeviceState::Dead)
    });
    assert!(direct.read(0).is_err());
    drop(direct);
    assert!(matches!(
        Device::recover(LabDisk::new(8 * MIB), id, options()),
        Err(UblkError::NotRecoverable(_))
    ));
    assert!(delete_orphan(id, MARK, LONG).unwrap());
}
