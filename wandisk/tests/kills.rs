//! kill -9 at every step of the store: the real program, real files, a real SQLite.
//!
//! The keeper is killed at its N-th failpoint (`store/src/failpoint.rs`), for every N of a run. What the next keeper serves
//! must be exactly what was acknowledged, flushed or not (law L4); only the request that was under way may be there, or not.
//!
//! And an end in order, of a keeper whose home is gone and was made anew: it takes nothing of the new one's along.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr, reason = "these are tests")]

mod framework;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use framework::*;

const SIZE: u64 = 64 * KIB;
/// Runs at a time: they wait more than they work.
const AT_A_TIME: usize = 3;
/// Failpoints after the last request: the keeper ends in order.
const ENDING: u64 = 12;

/// A request: its Python, the range it changes and to what.
struct Request {
    code: String,
    range: std::ops::Range<usize>,
    to: u8,
}

fn write(to: u8, offset: u64, len: u64, flags: &str) -> Request {
    let code = format!("h.pwrite(bytes([{to}]) * {len}, {offset}{flags})");
    Request { code, range: span(offset, len), to }
}

fn trim(offset: u64, len: u64) -> Request {
    Request { code: format!("h.trim({len}, {offset})"), range: span(offset, len), to: 0 }
}

fn flush() -> Request {
    Request { code: "h.flush()".to_owned(), range: 0..0, to: 0 }
}

fn span(offset: u64, len: u64) -> std::ops::Range<usize> {
    usize::try_from(offset).unwrap()..usize::try_from(offset + len).unwrap()
}

/// Chunks are of 4 KiB: parts, whole ones, trims, new and old, with and without a flush.
fn requests() -> Vec<Request> {
    let fua = ", nbd.CMD_FLAG_FUA";
    vec![
        write(1, 1024, 1024, ""),
        write(2, 4096, 8192, ""),
        flush(),
        write(3, 512, 2048, ""),
        trim(4096, 4096),
        write(4, 16384, 512, fua),
        write(5, 6144, 4096, ""),
        trim(8192, 8192),
        flush(),
        write(6, 0, 4096, ""),
        trim(512, 1024),
        write(7, 4096, 512, ""),
    ]
}

/// The requests one after the other; each is told of when it was acknowledged.
fn script(requests: &[Request]) -> String {
    let steps = requests.iter().enumerate().map(|(i, r)| format!("{}; print({i}, flush=True)\n", r.code));
    steps.collect()
}

/// One run that is killed at failpoint `n`; `false` if its requests came to their end first.
fn killed_at(n: u64) -> bool {
    let world = World::new();
    let site = world.site("a");
    site.ok(["create", "d", "--size", "64K", "--chunk-size", "4K"]);
    let requests = requests();
    let attached = site
        .command(["--json", "attach", "d", "--nbd"])
        .env("WANDISK_FAILPOINT", n.to_string())
        .output()
        .unwrap();
    let mut acknowledged = 0;
    if attached.status.success() {
        let pid = processes_in(world.path());
        let told: Value = serde_json::from_slice(&attached.stdout).unwrap();
        let export = Export::new(told["uri"].as_str().unwrap());
        let output = export.try_python(&script(&requests));
        acknowledged = String::from_utf8_lossy(&output.stdout).lines().count();
        if acknowledged == requests.len() {
            site.run(["detach", "d"]);
        }
        if acknowledged < requests.len() {
            eventually("the keeper is dead", SOON, || pid.iter().all(|p| gone(*p)));
        }
    }
    let log = std::fs::read_to_string(site.disk_file("d", "keeper.log")).unwrap_or_default();
    assert!(!log.contains("panicked"), "failpoint {n}: {log}");
    // The recovery is killed as well, at a step that moves with N.
    let recovery = n % 7 + 1;
    site.command(["attach", "d", "--nbd"]).env("WANDISK_FAILPOINT", recovery.to_string()).output().unwrap();
    site.run(["detach", "d"]);

    let export = site.attach("d");
    let copy = world.file("copy");
    export.copy_to(&copy);
    let found = std::fs::read(&copy).unwrap();
    let mut promised = vec![0u8; usize::try_from(SIZE).unwrap()];
    requests[..acknowledged].iter().for_each(|r| promised[r.range.clone()].fill(r.to));
    let mut also = promised.clone();
    if let Some(r) = requests.get(acknowledged) {
        also[r.range.clone()].fill(r.to);
    }
    for (at, byte) in found.iter().enumerate() {
        assert!(
            *byte == promised[at] || *byte == also[at],
            "killed at failpoint {n} after {acknowledged} requests: byte {at} is {byte}, not {}",
            promised[at]
        );
    }
    // And what was read stays, in order and after one more death.
    site.kill_keeper("d");
    let copy = world.file("again");
    site.attach("d").copy_to(&copy);
    assert!(
        std::fs::read(&copy).unwrap() == found,
        "killed at failpoint {n}: it did not stay as it was read"
    );
    acknowledged < requests.len()
}

fn gone(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

#[test]
fn a_keeper_killed_at_any_step_of_its_store_loses_nothing_acknowledged() {
    let (next, last) = (AtomicU64::new(1), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n > last.load(Ordering::SeqCst) {
                        break;
                    }
                    if !killed_at(n) {
                        last.fetch_min(n + ENDING, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    let tried = last.load(Ordering::SeqCst);
    eprintln!("killed at {tried} failpoints");
    assert!(tried > 40, "a run passes more than {tried} failpoints");
}

/// What makes a disk; copied while no keeper has it.
const FILES: [&str; 2] = ["data.img", "table.db"];

fn copy_files(from: &Path, to: &Path) {
    for file in FILES {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// In order: the table is one file then.
fn end_keeper(site: &Site) {
    let pid = site.keeper("d");
    kill(pid, rustix::process::Signal::TERM);
    eventually("the keeper has ended", SOON, || gone(pid));
}

#[test]
fn a_replica_that_goes_back_to_a_kept_moment_gets_there_whatever_step_kills_it() {
    let world = World::new();
    let (a, b) = world.pair();
    let image = Image::noise(&world, "i", 2 * MIB, 1, 31);
    a.ok(["create", "d", "--from", image.name()]);
    let [then, now] = ["then", "now"].map(|name| world.file(name));
    let mut at = Vec::new();
    for copy in [&then, &now] {
        a.ok(["sync", "d", "--site", "b"]);
        a.attach("d").write(9, 0, MIB);
        a.detach("d");
        at.push(b.status("d")["consistent_at"].clone());
        // In this order: to ask how a stands starts a keeper at b.
        end_keeper(&a);
        end_keeper(&b);
        std::fs::create_dir(copy).unwrap();
        copy_files(&b.disk_file("d", ""), copy);
    }
    let moment = b.disk_file("d", "moment");
    for n in 1.. {
        copy_files(&now, &b.disk_file("d", ""));
        std::fs::create_dir(&moment).unwrap();
        copy_files(&then, &moment);
        std::fs::write(moment.join("go-back"), b"").unwrap();
        // The keeper that it starts is killed at its step N.
        let killed = b.command(["status", "d"]).env("WANDISK_FAILPOINT", n.to_string()).output().unwrap();
        assert_eq!(b.status("d")["consistent_at"], at[0], "killed at step {n}, not {}", at[1]);
        end_keeper(&b);
        assert!(!moment.exists(), "killed at step {n}");
        let data = b.data("d");
        tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", image.name(), data.to_str().unwrap()]);
        if killed.status.success() {
            eprintln!("killed at {n} steps");
            assert!(n > 5, "to go back takes more than {n} steps");
            break;
        }
    }
}

#[test]
fn a_keeper_that_ends_leaves_the_socket_of_a_disk_that_was_made_anew_at_its_place() {
    let world = World::new();
    let old = world.site("a");
    old.ok(["create", "d", "--size", "1M"]);
    let ending = old.keeper("d");
    // It sees nothing of what happens meanwhile.
    kill(ending, rustix::process::Signal::STOP);
    std::fs::remove_dir_all(old.home()).unwrap();
    let new = world.site("a");
    new.ok(["create", "d", "--size", "1M"]);
    new.attach("d");
    let keeper = new.keeper("d");
    assert_ne!(keeper, ending);

    kill(ending, rustix::process::Signal::TERM);
    kill(ending, rustix::process::Signal::CONT);
    eventually("the old keeper has ended", SOON, || gone(ending));
    assert!(new.disk_file("d", "control.sock").exists(), "the new keeper's socket was taken away");
    assert_eq!(new.keeper("d"), keeper);
}

#[test]
fn a_keeper_whose_home_was_made_anew_ends_by_itself() {
    let world = World::new();
    let old = world.site("a");
    old.ok(["create", "d", "--size", "1M"]);
    old.attach("d");
    let ending = old.keeper("d");
    kill(ending, rustix::process::Signal::STOP);
    std::fs::remove_dir_all(old.home()).unwrap();
    let new = world.site("a");
    new.ok(["create", "d", "--size", "1M"]);
    kill(ending, rustix::process::Signal::CONT);
    // Attached, it would stay for ever as the keeper of files that nobody can reach.
    eventually("the old keeper has ended", SOON, || gone(ending));
    new.attach("d").write(9, 0, MIB);
    new.detach("d");
}
