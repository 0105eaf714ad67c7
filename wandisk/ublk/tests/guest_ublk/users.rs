//! Who uses a device, and a server that is no user of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wandisk_ublk::{Device, Isolation, Opener, in_use, isolate_mounts};

use crate::lab::{Direct, LONG, Lab, LabDisk, MIB, eventually, options, sh};

/// Tells the program to run only [`isolates_for_the_others`] of this file.
const ISOLATE: &str = "ISOLATE";
/// Tells the program to run only [`serves_without_privileges`] of this file.
const UNPRIVILEGED: &str = "UNPRIVILEGED";

fn itself(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]);
    command
}

fn sleeper(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_device_that_nobody_uses_is_free() {
    let lab = Lab::new(8 * MIB);
    assert!(in_use(lab.device().id()).unwrap().is_free());
    // Our own files do not count.
    let _own = lab.direct();
    assert!(in_use(lab.device().id()).unwrap().is_free());
}

#[test]
fn a_process_that_has_it_open_is_named() {
    let lab = Lab::new(8 * MIB);
    let mut cat =
        sleeper(Command::new("bash").arg("-c").arg(format!("exec 7< {}; read", lab.path().display())));
    let opener = Opener { pid: cat.id(), name: "bash".into() };
    eventually("it is open", || !in_use(lab.device().id()).unwrap().is_free());
    let usage = in_use(lab.device().id()).unwrap();
    assert_eq!(usage.openers, [opener]);
    assert!(!usage.claimed);
    cat.kill().unwrap();
    cat.wait().unwrap();
    assert!(in_use(lab.device().id()).unwrap().is_free());
}

#[test]
fn mounts_are_named_in_every_namespace() {
    let lab = Lab::new(64 * MIB);
    let dev = lab.path().display().to_string();
    sh(&format!("mkfs.ext4 -q {dev}; mkdir -p '/run/my mount'; mount {dev} '/run/my mount'"));
    let usage = in_use(lab.device().id()).unwrap();
    assert!(usage.claimed);
    assert_eq!(usage.mounts[0].path, Path::new("/run/my mount"));
    assert!(usage.to_string().starts_with("mounted at /run/my mount"));
    sh("umount '/run/my mount'");
    assert!(in_use(lab.device().id()).unwrap().is_free());

    let script = format!("mount {dev} /mnt && read");
    let mut hidden = sleeper(Command::new("unshare").args(["--mount", "bash", "-c", &script]));
    eventually("it is mounted", || !in_use(lab.device().id()).unwrap().mounts.is_empty());
    let usage = in_use(lab.device().id()).unwrap();
    assert!(usage.mounts.iter().any(|m| m.path == Path::new("/mnt") && m.seen_by.is_some()), "{usage:?}");
    drop(hidden.stdin.take());
    hidden.wait().unwrap();
    eventually("the namespace is gone", || in_use(lab.device().id()).unwrap().is_free());
}

#[test]
fn what_the_kernel_stacks_on_it_claims_it() {
    let lab = Lab::new(64 * MIB);
    let dev = lab.path().display().to_string();
    sh(&format!("mkswap {dev} >/dev/null; swapon {dev}"));
    let usage = in_use(lab.device().id()).unwrap();
    assert!(usage.claimed && usage.mounts.is_empty(), "{usage:?}");
    sh(&format!("swapoff {dev}"));
    assert!(in_use(lab.device().id()).unwrap().is_free());
}

/// Not a test by itself: lets go of mounts on ublk devices, says which, and waits for its standard input's end.
#[test]
fn isolates_for_the_others() {
    let Ok(keep) = std::env::var(ISOLATE) else { return };
    // A test runs on a thread of its own, and the namespace is that thread's: it looks for itself.
    let isolation = isolate_mounts(&[Path::new(&keep)]).unwrap();
    let Isolation::Isolated { mut detached } = isolation else { panic!("{isolation:?}") };
    detached.sort();
    let seen = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let left: Vec<_> = seen.lines().filter(|l| l.contains("/dev/ublkb")).collect();
    println!("DETACHED {detached:?} LEFT {}", left.len());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let seen = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    println!("AT LAST {}", seen.lines().filter(|l| l.contains("/run/iso")).count());
}

/// A server kept every file system busy that was mounted when it began: unmounted by everyone else, it was still in use.
#[test]
fn what_others_unmount_a_server_does_not_hold() {
    let lab = Lab::new(64 * MIB);
    let dev = lab.path().display().to_string();
    sh("mount --make-rshared /; mkdir -p /run/iso3 /run/iso4; mount -t tmpfs none /run/iso3");
    let mut server = itself("users::isolates_for_the_others")
        .env(ISOLATE, "/run")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let mut told = |word: &str| lines.find_map(|line| line.ok().filter(|line| line.contains(word))).unwrap();
    told("DETACHED");
    sh(&format!("mkfs.ext4 -q {dev}; mount {dev} /run/iso4"));
    let usage = in_use(lab.device().id()).unwrap();
    assert_eq!(usage.mounts.len(), 1, "a mount is named once: {usage:?}");
    sh("umount /run/iso3 /run/iso4");
    assert!(in_use(lab.device().id()).unwrap().is_free());
    drop(server.stdin.take());
    assert!(told("AT LAST").ends_with(" 0"));
    assert!(server.wait().unwrap().success());
    sh("mount --make-rprivate /");
}

#[test]
fn a_server_lets_go_of_mounts_on_ublk_devices_for_itself_alone() {
    let (one, two) = (Lab::new(64 * MIB), Lab::new(64 * MIB));
    for (lab, at) in [(&one, "/run/iso1"), (&two, "/run/iso2")] {
        let dev = lab.path().display().to_string();
        sh(&format!(
            "mkfs.ext4 -q {dev}; mkdir -p {at}; mount {dev} {at}; mount --make-shared {at}; mkdir {at}/store"
        ));
    }
    let out = itself("users::isolates_for_the_others").env(ISOLATE, "/run/iso2/store").output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        said.contains("DETACHED [\"/run/iso1\"] LEFT 1"),
        "{said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    // Here they are mounted as before.
    sh("mountpoint -q /run/iso1; mountpoint -q /run/iso2; umount /run/iso1 /run/iso2");
}

/// Not a test by itself: makes a device as whoever runs it, and uses it.
#[test]
fn serves_without_privileges() {
    let Ok(dir) = std::env::var(UNPRIVILEGED) else { return };
    let file = tempfile::tempfile_in(dir).unwrap();
    let device = Device::add(LabDisk::over(file, 8 * MIB, false, None), options()).unwrap();
    let info = wandisk_ublk::device_info(device.id()).unwrap().unwrap();
    assert!(info.unprivileged && info.owner == (4711, 4711), "{info:?}");
    let direct = Direct::open(device.path());
    direct.write(MIB, 5).unwrap();
    assert_eq!(direct.read(MIB).unwrap(), [5; 4096]);
    drop(direct);
    device.stop(LONG).unwrap();
    println!("SERVED");
}

#[test]
fn a_user_without_privileges_has_devices_too() {
    let dir = tempfile::tempdir_in("/scratch").unwrap();
    sh(&format!(
        "chmod 755 /scratch; chmod 777 {}; modprobe ublk_drv; chmod 666 /dev/ublk-control",
        dir.path().display()
    ));
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new("setpriv")
        .args(["--reuid=4711", "--regid=4711", "--clear-groups", "--no-new-privs"])
        .arg(program)
        .args(["users::serves_without_privileges", "--exact", "--nocapture"])
        .env(UNPRIVILEGED, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // What the udev rule does where there is udev.
    while child.try_wait().unwrap().is_none() {
        let nodes = std::fs::read_dir("/dev").unwrap().flatten();
        let made = nodes.filter(|n| n.file_name().to_string_lossy().starts_with("ublk"));
        for node in made.filter(|n| n.file_name() != "ublk-control") {
            // It may be gone again.
            std::os::unix::fs::chown(node.path(), Some(4711), Some(4711)).ok();
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let out = child.wait_with_output().unwrap();
    assert!(
        String::from_utf8_lossy(&out.stdout).contains("SERVED"),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
    sh("chmod 600 /dev/ublk-control");
}
