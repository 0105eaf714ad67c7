//! Alone on the machine, since time is counted.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use vmgl_bench::stream::Door;
use vmgl_bench::watch::{self, Report};
use vmgl_bench::{source, stamp};
use vmgl_proxy::{Address, wan};
use vmgl_rfb::Encoding;

struct Proxy(Child, Address);

impl Drop for Proxy {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn proxy(dir: &Path, upstream: &Address) -> Proxy {
    let door = Address::Unix(dir.join("door"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"))
        .args(["serve", "--upstream", &upstream.to_string(), "--listen", &door.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening "), "{line}");
    Proxy(child, door)
}

/// A server of so many frames a second, each of so many bytes, at the end of a line; the line's near end.
fn far(dir: &Path, settings: source::Settings, path: wan::Path) -> Address {
    let [server, near] = ["server", "near"].map(|name| Address::Unix(dir.join(name)));
    let door = Door::open(&server).unwrap();
    thread::spawn(move || source::serve(&door, settings));
    let at = near.clone();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { wan::serve(at.listen().await.unwrap(), server, path).await })
    });
    let near_path = dir.join("near");
    let began = Instant::now();
    while !near_path.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "the line is never there");
        thread::sleep(Duration::from_millis(5));
    }
    near
}

fn sixty(bytes: usize, plain: bool) -> source::Settings {
    source::Settings { hertz: 60, height: stamp::height_of(bytes), size: (320, 240), plain }
}

fn look(at: &Address, seconds: u64) -> Report {
    let time = Duration::from_secs(seconds);
    let settings =
        watch::Settings { encoding: Encoding::Zrle, pushes: false, before: Duration::from_secs(1), time };
    let report = watch::look(at, settings).unwrap();
    assert_eq!((report.ended.as_deref(), report.torn), (None, 0));
    report
}

#[test]
fn a_distant_server_is_asked_ahead_where_a_plain_viewer_waits() {
    for plain in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = wan::Path { delay: Duration::from_millis(50), ..wan::Path::default() };
        let near = far(dir.path(), sixty(1500, plain), path);
        let proxy = proxy(dir.path(), &near);
        let proxied = look(&proxy.1, 3).frames_per_second();
        assert!(proxied > 40.0, "{proxied} FPS by the proxy, plain: {plain}");
        let pulled = look(&near, 2).frames_per_second();
        assert!(pulled < 12.0, "{pulled} FPS by asking for each at 100 ms");
    }
}

#[test]
fn frames_do_not_grow_old_on_a_line_that_is_too_thin_for_all() {
    let dir = tempfile::tempdir().unwrap();
    // A frame takes 50 ms; a third of them fit.
    let path = wan::Path { delay: Duration::from_millis(30), rate: Some(600_000), ..wan::Path::default() };
    let near = far(dir.path(), sixty(30_000, true), path);
    let proxy = proxy(dir.path(), &near);
    let report = look(&proxy.1, 6);
    let ages = report.ages_us();
    let mut last: Vec<u64> = ages[ages.len() / 2..].to_vec();
    last.sort_unstable();
    let median = last[last.len() / 2] / 1000;
    // 60 ms and two frames are 160 ms; a queue that fills grows beyond 500.
    assert!(median < 350, "{median} ms old");
    assert!(report.frames_per_second() > 10.0, "{} FPS", report.frames_per_second());
}

/// How often threads of a process went to sleep so far.
fn sleeps(id: u32) -> u64 {
    let tasks: Vec<PathBuf> =
        std::fs::read_dir(format!("/proc/{id}/task")).unwrap().map(|task| task.unwrap().path()).collect();
    let of = |task: &PathBuf| {
        let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.map_or(0, |count| count.trim().parse().unwrap())
    };
    tasks.iter().map(of).sum()
}

#[test]
fn a_screen_that_is_still_leaves_the_proxy_asleep() {
    for plain in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let still = source::Settings { hertz: 0, ..sixty(1500, plain) };
        let near = far(dir.path(), still, wan::Path::default());
        let proxy = proxy(dir.path(), &near);
        let at = proxy.1.clone();
        let viewer = thread::spawn(move || look(&at, 6));
        thread::sleep(Duration::from_secs(3));
        let before = sleeps(proxy.0.id());
        thread::sleep(Duration::from_secs(3));
        let woke = sleeps(proxy.0.id()) - before;
        assert!(woke < 3 * 30, "woken {woke} times in 3 s, plain: {plain}");
        viewer.join().unwrap();
    }
}
