//! What a confined process can do no more. Each test confines a thread, not the test: the sandbox is a thread's and its
//! children's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};

use framework::*;
use wandisk::sandbox::{Confined, Level, enter};

const ALL: Confined = Confined { files: true, calls: true, amounts: true };

fn inside<T: Send>(level: Level<'_>, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let confined = scope.spawn(|| {
            // Named, since a kernel without Landlock or seccomp makes a hollow promise.
            assert_eq!(enter(level), ALL, "this kernel cannot confine a process");
            work()
        });
        confined.join().unwrap()
    })
}

fn is_denied<T>(what: &str, result: std::io::Result<T>) {
    let kind = result.err().map(|e| e.kind());
    assert_eq!(kind, Some(ErrorKind::PermissionDenied), "{what}");
}

#[test]
fn whoever_carries_bytes_opens_nothing() {
    let world = World::new();
    fs::write(world.file("mine"), "x").unwrap();
    let (mut here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    inside(Level::Streams, || {
        is_denied("a file of the system", File::open("/etc/passwd"));
        is_denied("a file of this user", File::open(world.file("mine")));
        is_denied("a new file", File::create(world.file("new")));
        is_denied("a folder", fs::read_dir("/"));
        is_denied("a program", Command::new("/bin/true").stdin(Stdio::null()).status());
        is_denied("a TCP connection", std::net::TcpStream::connect("127.0.0.1:1"));
        is_denied("a TCP listener", std::net::TcpListener::bind("127.0.0.1:0"));
        is_denied("a unix socket", std::os::unix::net::UnixStream::connect(world.file("none")));
        is_denied("removal", fs::remove_file(world.file("mine")));
        is_denied("a rename", rename(&world.file("mine"), &world.file("yours")));
        here.write_all(b"bytes").unwrap();
        std::thread::scope(|s| {
            s.spawn(|| is_denied("a child's file", File::open("/etc/passwd"))).join().unwrap();
        });
    });
    let mut got = [0; 5];
    there.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"bytes");
    assert!(File::open("/etc/passwd").is_ok(), "only the thread is confined");
}

fn rename(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    Ok(rustix::fs::rename(from, to)?)
}

#[test]
fn whoever_talks_about_the_site_has_its_home_and_no_more() {
    let world = World::new();
    let home = world.file("home");
    fs::create_dir(&home).unwrap();
    inside(Level::Home(&home), || {
        fs::create_dir(home.join("disks")).unwrap();
        fs::write(home.join("disks/x"), "x").unwrap();
        rename(&home.join("disks/x"), &home.join("disks/y")).unwrap();
        assert_eq!(fs::read_to_string(home.join("disks/y")).unwrap(), "x");
        is_denied("a file of the system", File::open("/etc/passwd"));
        is_denied("a file beside the home", File::create(world.file("beside")));
        is_denied("out of the home", rename(&home.join("disks/y"), &world.file("y")));
        is_denied("a program", Command::new("/bin/true").stdin(Stdio::null()).status());
        is_denied("a TCP connection", std::net::TcpStream::connect("127.0.0.1:1"));
        // It can only become tighter.
        assert_eq!(enter(Level::Streams), ALL);
        is_denied("a file of the home", File::open(home.join("disks/y")));
    });
}

/// A thread, and all that it starts, on a kernel that does not know these system calls.
fn without<T: Send>(calls: &[libc::c_long], work: impl FnOnce() -> T + Send) -> T {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    let unknown = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let rules = calls.iter().map(|call| (*call, Vec::new())).collect();
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter: BpfProgram =
        SeccompFilter::new(rules, SeccompAction::Allow, unknown, arch).unwrap().try_into().unwrap();
    std::thread::scope(|scope| {
        let old = scope.spawn(move || {
            seccompiler::apply_filter(&filter).unwrap();
            work()
        });
        old.join().unwrap()
    })
}

const LANDLOCK: [libc::c_long; 3] =
    [libc::SYS_landlock_create_ruleset, libc::SYS_landlock_add_rule, libc::SYS_landlock_restrict_self];

#[test]
fn without_landlock_the_filter_of_system_calls_still_holds() {
    let confined = without(&LANDLOCK, || {
        let confined = enter(Level::Streams);
        is_denied("a file of the system", File::open("/etc/passwd"));
        is_denied("a program", Command::new("/bin/true").stdin(Stdio::null()).status());
        is_denied("a TCP connection", std::net::TcpStream::connect("127.0.0.1:1"));
        confined
    });
    assert_eq!(confined, Confined { files: false, ..ALL });
}

#[test]
fn without_seccomp_files_are_still_out_of_reach() {
    let confined = without(&[libc::SYS_seccomp], || {
        let confined = enter(Level::Streams);
        is_denied("a file of the system", File::open("/etc/passwd"));
        is_denied("a TCP connection", std::net::TcpStream::connect("127.0.0.1:1"));
        confined
    });
    assert_eq!(confined, Confined { calls: false, ..ALL });
}

#[test]
fn with_neither_amounts_are_bounded_and_the_work_goes_on() {
    let calls: Vec<libc::c_long> = LANDLOCK.into_iter().chain([libc::SYS_seccomp]).collect();
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "1M"]);
    let confined = without(&calls, || {
        a.ok(["sync", "d", "--site", "b"]);
        enter(Level::Home(a.home()))
    });
    assert_eq!(confined, Confined { files: false, calls: false, amounts: true });
    let log = fs::read_to_string(b.home().join("serve.log")).unwrap();
    for what in ["files", "system calls"] {
        let told = |line: &&str| line.contains("WARN") && line.contains(&format!("what=\"{what}\""));
        assert!(log.lines().any(|line| told(&line)), "{what} is not told as missing in: {log}");
    }
    assert!(!log.contains("what=\"amounts\""), "{log}");
}

/// The line of `/proc/PID/status`.
fn state_of(pid: u32, line: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let found = status.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(':'));
    found.unwrap_or_default().trim().to_owned()
}

#[test]
fn serve_is_confined_before_it_hears_its_peer_and_the_keeper_is_not() {
    let world = World::new();
    let a = world.site("a");
    a.ok(["create", "d", "--size", "1M"]);
    let uuid = a.status("d")["uuid"].as_str().unwrap().to_owned();
    let keeper = a.keeper("d");
    let mut command = a.serve_command();
    command.args(["--disk", &uuid]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut serve = command.spawn().unwrap();
    eventually("serve is confined though nothing was said to it", SOON, || {
        state_of(serve.id(), "Seccomp") == "2" && state_of(serve.id(), "NoNewPrivs") == "1"
    });
    assert_eq!(state_of(keeper, "Seccomp"), "0", "it starts the programs of links");
    drop(serve.stdin.take());
    let output = serve.wait_with_output().unwrap();
    assert!(shown(&output).contains("not a wandisk"), "{}", shown(&output));
}

#[test]
fn a_disk_is_made_moved_and_synced_through_confined_serves() {
    let world = World::new();
    let (a, b) = world.pair();
    a.ok(["create", "d", "--size", "4M"]);
    let export = a.attach("d");
    export.write(7, 0, MIB);
    a.detach("d");
    a.ok(["move", "d", "--to", "b"]);
    let export = b.attach("d");
    export.reads(7, 0, MIB);
    b.detach("d");
    b.ok(["sync", "d", "--site", "a"]);
    for site in [&a, &b] {
        let log = fs::read_to_string(site.home().join("serve.log")).unwrap_or_default();
        assert!(!log.contains("sandbox") && !log.contains("cannot confine"), "{log}");
    }
}
