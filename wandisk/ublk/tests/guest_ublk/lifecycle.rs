//! Making and stopping devices.

use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use wandisk_ublk::{Device, DeviceState, End, Options, UblkError, device_info, probe};

use crate::lab::{Direct, LONG, Lab, LabDisk, MARK, MIB, eventually, options, sh};

/// This process's threads that serve devices, by name: others come and go with the tests that ran before.
fn ublk_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("ublk")).count()
}

#[test]
fn a_device_comes_and_goes_without_a_trace() {
    for _ in 0..10 {
        let device = Device::add(LabDisk::new(8 * MIB), options()).unwrap();
        assert!(device.path().exists() && ublk_threads() >= 3);
        let info = device_info(device.id()).unwrap().unwrap();
        assert_eq!((info.state, info.mark, info.queues), (DeviceState::Live, MARK, 2));
        assert!(info.is_served() && !info.awaits_recovery());
        let path = device.path().to_owned();
        assert!(device.stop(LONG).unwrap().id_free);
        assert!(!path.exists());
        eventually("all threads end", || ublk_threads() == 0);
    }
    assert!(!Path::new("/run/ublksrvd").exists(), "no file is left where everybody may write");
}

#[test]
fn requests_are_not_copied_through_the_server_where_the_driver_can_do_without() {
    let lab = Lab::new(8 * MIB);
    let features = probe().unwrap();
    let info = device_info(lab.device().id()).unwrap().unwrap();
    assert_eq!(info.registers_pages, features.registers_pages());
    let uname = sh("uname -r");
    let mut numbers = uname.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    assert_eq!(features.registers_pages(), version >= (6, 16), "{uname}");
}

#[test]
fn the_number_asked_for_is_had_or_refused() {
    let wanted = Options { id: Some(42), ..options() };
    let device = Device::add(LabDisk::new(8 * MIB), wanted).unwrap();
    assert_eq!(device.path(), Path::new("/dev/ublkb42"));
    let again = Options { id: Some(42), ..options() };
    assert!(matches!(Device::add(LabDisk::new(8 * MIB), again), Err(UblkError::IdTaken(42))));
    // libublk's own way of adding deleted the device that had the number when it was refused.
    assert!(device_info(42).unwrap().is_some_and(|d| d.is_served()));
    let other = Device::add(LabDisk::new(8 * MIB), options()).unwrap();
    assert_eq!(other.id(), 0);
    other.stop(LONG).unwrap();
    Direct::open(device.path()).write(0, 1).unwrap();
    device.stop(LONG).unwrap();
}

#[test]
fn too_few_lanes_leave_nothing_behind() {
    let options = Options { first_lane: 7, queues: 2, ..options() };
    let refused = Device::add(LabDisk::new(8 * MIB), options);
    assert!(matches!(refused, Err(UblkError::Lanes { queues: 2, first: 7, lanes: 8 })));
    assert!(device_info(0).unwrap().is_none());
}

#[test]
fn a_file_system_whose_device_is_stopped_is_dead_and_holds_only_the_number() {
    let lab = Lab::new(64 * MIB);
    let (id, dev) = (lab.device().id(), lab.path().display().to_string());
    sh(&format!(
        "mkfs.ext4 -q {dev}; mkdir -p /run/dead; mount {dev} /run/dead; echo here > /run/dead/a; sync"
    ));
    // Requests that wait would be waited for; who only has it open is not.
    let begun = Instant::now();
    let stopped = lab.take().stop(LONG * 10).unwrap();
    assert!(!stopped.forced && !stopped.id_free);
    assert!(begun.elapsed() < LONG);
    assert!(!Path::new(&dev).exists());
    sh(
        "echo 3 > /proc/sys/vm/drop_caches; ! ls /run/dead/lost+found 2>/dev/null; ! touch /run/dead/b 2>/dev/null; umount /run/dead",
    );
    let same = || Device::add(LabDisk::new(8 * MIB), Options { id: Some(id), ..options() });
    let mut again = None;
    eventually("the number is free", || {
        again = same().ok();
        again.is_some()
    });
    again.unwrap().stop(LONG).unwrap();
}

#[test]
fn a_device_that_another_program_stops_says_so() {
    let (told, tell) = mpsc::channel();
    let on_end = Box::new(move |end| told.send(matches!(end, End::StoppedByOthers)).unwrap());
    let options = Options { on_end: Some(on_end), ..options() };
    let device = Device::add(LabDisk::new(8 * MIB), options).unwrap();
    let (id, direct) = (device.id(), Direct::open(device.path()));
    std::thread::spawn(move || {
        let other = libublk::ctrl::UblkCtrl::new_simple(i32::try_from(id).unwrap()).unwrap();
        other.kill_dev().unwrap();
    })
    .join()
    .unwrap();
    assert!(tell.recv_timeout(LONG).unwrap());
    assert!(direct.read(0).is_err());
    drop(direct);
    assert!(device.stop(LONG).unwrap().id_free);
}

#[test]
fn two_devices_do_not_mix() {
    let (one, two) = (Lab::new(8 * MIB), Lab::new(8 * MIB));
    one.direct().write(0, 1).unwrap();
    two.direct().write(0, 2).unwrap();
    assert_eq!(one.direct().read(0).unwrap(), [1; 4096]);
    assert_eq!(two.direct().read(0).unwrap(), [2; 4096]);
}

#[test]
fn the_driver_says_what_it_can() {
    let features = probe().unwrap();
    assert!(features.recovery() && features.unprivileged() && features.bits().is_some());
}

#[test]
fn the_driver_is_loaded_where_it_is_not() {
    sh("modprobe -r ublk_drv; test ! -e /dev/ublk-control");
    assert!(probe().is_ok());
    let device = Device::add(LabDisk::new(8 * MIB), options()).unwrap();
    device.stop(LONG).unwrap();
}
