//! An agent with an OpenGL program whose pictures are drawn at its user's desk ([`manager::display::opengl`]): an X server, VMGL's library and
//! a program that numbers its pictures come in its first root, from this machine.
//!
//! What is lost or drawn twice on the way is seen by counting: the program says how many pictures it has drawn, the renderer how
//! many it was given. (Where a picture is seen on the screen is the watcher's business, and tested with `vmgl-proxy`.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_kit::free_port;
use vmgl_proxy::gl::install::library_beside;

use crate::boot::Extra;
use crate::world::{AGENT, SOON, World, beside, eventually, kill, shown};

/// Where the agent has the program.
const PROGRAM: &str = "/usr/bin/numbers";
/// The file that ends it.
const STOP: &str = "/tmp/stop";
/// Keyboards for the X server, which starts with none otherwise.
const KEYBOARDS: &str = "/usr/share/X11/xkb";
/// A picture is so late at most, once the agent has moved, beside the time in which it stood.
const LATE: Duration = Duration::from_secs(40);
/// Commands of a picture: three for each of its stripes, and one that gives it.
const COMMANDS: u64 = 32 * 3 + 1;
/// Commands that there are once, at most.
const COMMANDS_ONCE: u64 = 20;

/// Program, libraries and loader, where the loader looks for them.
fn with_libraries(program: &Path) -> BTreeSet<PathBuf> {
    let done = Command::new("ldd").arg(program).output().unwrap();
    assert!(done.status.success(), "{}: {}", program.display(), shown(&done));
    let said = String::from_utf8(done.stdout).unwrap();
    said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => below(&entry.path(), files),
            kind if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// What the agent needs of this machine, with a program that draws at this port of its home.
fn root(world: &World, port: u16) -> Vec<Extra> {
    let program = world.file("numbers");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agents/numbers.c");
    let mut cc = Command::new("cc");
    cc.arg("-O1").arg("-o").arg(&program).arg(source).args(["-l:libGL.so.1", "-l:libX11.so.6"]);
    assert!(cc.status().unwrap().success(), "numbers.c could not be built");
    // Without what debuggers want it is a fifth as large.
    let library = world.file("library");
    let built = library_beside(&beside("vmgl-proxy")).expect("the library is built with the workspace");
    let strip = Command::new("strip").arg("--strip-debug").arg("-o").arg(&library).arg(built).status();
    assert!(strip.unwrap().success(), "the library could not be stripped");

    let mut needed = BTreeSet::new();
    for name in ["/usr/bin/Xvfb", "/usr/bin/xkbcomp", "/bin/sh", "/bin/sleep"] {
        needed.extend(with_libraries(Path::new(name)));
        needed.insert(PathBuf::from(name));
    }
    needed.extend([&program, &library].into_iter().flat_map(|own| with_libraries(own)));
    let vendors = needed.iter().find(|path| path.ends_with("libGLX.so.0")).expect("libglvnd");
    let vendor = vendors.with_file_name("libGLX_vmgl.so.0");
    let mut keyboards = Vec::new();
    below(Path::new(KEYBOARDS), &mut keyboards);

    let mut files: BTreeMap<PathBuf, (u32, Vec<u8>)> = BTreeMap::new();
    for path in needed.into_iter().chain(keyboards) {
        let content = std::fs::read(&path).unwrap();
        files.insert(path, (0o755, content));
    }
    files.insert(vendor, (0o755, std::fs::read(library).unwrap()));
    files.insert(PROGRAM.into(), (0o755, std::fs::read(program).unwrap()));
    // The door may be opened a little later than the agent begins; a program that finds none has no OpenGL here. Nor is there
    // software that could draw for one whose renderer is away for long.
    let script = format!(
        "Xvfb :0 -screen 0 320x240x24 -extension GLX -nolisten tcp &\n\
         export DISPLAY=:0 __GLX_VENDOR_LIBRARY_NAME=vmgl VMGL_GL={} VMGL_GL_PATIENCE=120\n\
         until {PROGRAM} {STOP} /dev/ttyS0 2> /dev/ttyS0; do sleep 0.3; done\n",
        manager::display::opengl::inside(port)
    );
    files.insert("/begin".into(), (0o755, script.into_bytes()));
    files.insert("/viewer".into(), (0o644, b"/bin/sh\n/begin".to_vec()));
    files.insert("/job".into(), (0o644, format!("/bin/sh\n-c\n: > {STOP}").into_bytes()));
    let files = files.into_iter().map(|(path, (mode, content))| Extra::file(path, mode, content));
    files.chain(["/tmp", "/var/lib/xkb"].map(Extra::folder)).collect()
}

/// What the desk's proxy counts of programs.
fn programs(ctl: &Path) -> Option<Vec<Value>> {
    let mut stream = UnixStream::connect(ctl).ok()?;
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(b"{\"do\":\"gl\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).ok()?;
    let mut stat: Value = serde_json::from_str(&line).ok()?;
    serde_json::from_value(stat["ok"]["programs"].take()).ok()
}

/// Of the program, if it is connected.
fn program(ctl: &Path) -> Option<Value> {
    programs(ctl)?.into_iter().find(|program| program["connected"] == true)
}

/// How many pictures have come, whether or not it is.
fn pictures(ctl: &Path) -> u64 {
    let programs = programs(ctl).unwrap_or_default();
    programs.iter().filter_map(|program| program["frames"].as_u64()).max().unwrap_or(0)
}

#[track_caller]
fn goes_on(ctl: &Path, what: &str) {
    let before = pictures(ctl);
    eventually(what, || pictures(ctl) > before + 10);
}

/// A test that fails shows how the programs at the desk stand.
struct Shown<'a>(&'a Path);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- programs at the desk: {:?}", programs(self.0));
        }
    }
}

/// Measures the longest time without a picture at the desk.
struct Gap {
    end: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Duration>,
}

impl Gap {
    fn measure(ctl: &Path) -> Gap {
        let (end, ctl) = (Arc::new(AtomicBool::new(false)), ctl.to_owned());
        let ends = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let (mut count, mut since, mut longest) = (0, Instant::now(), Duration::ZERO);
            while !ends.load(Ordering::SeqCst) {
                let now = pictures(&ctl);
                longest = longest.max(since.elapsed());
                if now > count {
                    (count, since) = (now, Instant::now());
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            longest
        });
        Gap { end, thread }
    }

    fn longest(self) -> Duration {
        self.end.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

#[test]
fn an_agents_opengl_is_drawn_at_the_desk_through_its_moves_each_picture_once() {
    let (port, world) = (free_port(), World::new());
    let root = root(&world, port);
    let world = world.with_agent_that_has(&root, "256M");
    let mut view = world.command("a", &["view", AGENT, "--print", &format!("--gl={port}")]);
    // What a test that fails shows of the proxy.
    let view = view.env("RUST_LOG", "vmgl_proxy=info").output().unwrap();
    let view: Value = serde_json::from_slice(&view.stdout).unwrap();
    assert_eq!(view["gl"], format!("tcp:10.0.2.2:{port}"), "{view}");
    let ctl = world.home("a").join("agents").join(AGENT).join("view.ctl");
    let _shown = Shown(&ctl);
    let first = eventually_some("the agent's program draws at the desk", || program(&ctl));
    goes_on(&ctl, "pictures come while it is at home");

    for (to, from) in [("b", "a"), ("a", "b")] {
        let gap = Gap::measure(&ctl);
        let moved = world.ok("a", &["migrate", AGENT, "--to", to]);
        goes_on(&ctl, "pictures come after the move");
        let longest = gap.longest();
        let stood = Duration::from_millis(moved["suspended_ms"].as_u64().unwrap());
        eprintln!("from {from} to {to}: no picture for {longest:?}, the agent stood for {stood:?}; {moved}");
        assert!(longest < stood + LATE, "{longest:?} without a picture: {moved}");
        if to == "b" {
            // Its line breaks while it is away: the stream goes on where it was.
            world.processes("snowbird-gateway").into_iter().for_each(kill);
            goes_on(&ctl, "pictures come by another gateway");
            let sentence = world.fails("b", &["view", AGENT, "--print", "--gl"]);
            assert!(sentence.contains("drawn at its home"), "{sentence}");
        }
    }
    let named = |program: &Value| [program["pid"].clone(), program["renderer_pid"].clone()];
    let last = eventually_some("it is connected", || program(&ctl));
    assert_eq!(named(&last), named(&first), "the same program, the same renderer: {last}");

    world.judge.say("a", "job");
    let said = eventually_some("the program says what it has drawn", || world.judge.begins("a", "drew "));
    let drawn = said.split([' ', ',']).nth(1).and_then(|number| number.parse::<u64>().ok());
    assert!(said.ends_with(", errors 0"), "{said}");
    eventually("each picture has come", || Some(pictures(&ctl)) >= drawn);
    let last = program(&ctl).unwrap();
    assert_eq!((last["frames"].as_u64(), &last["errors"]), (drawn, &0.into()), "{last}");
    let once =
        last["commands"].as_u64().zip(drawn).and_then(|(all, drawn)| all.checked_sub(drawn * COMMANDS));
    assert!(once.is_some_and(|once| once < COMMANDS_ONCE), "{last}");

    // It draws nothing any more, and notices all the same that its line broke.
    world.processes("snowbird-gateway").into_iter().for_each(kill);
    eventually("the desk hears that the line broke", || program(&ctl).is_none());
    let again = eventually_some("it comes by another gateway without drawing", || program(&ctl));
    assert_eq!(named(&again), named(&first), "the same program, the same renderer: {again}");

    // The next proxy has the same door, and the program finds it.
    world.processes("vmgl-proxy").into_iter().for_each(kill);
    eventually("another renderer draws for the program", || {
        program(&ctl).is_some_and(|program| program["renderer_pid"] != first["renderer_pid"])
    });
    world.ok("a", &["view", AGENT, "--print", "--no-gl"]);
    assert_eq!(world.ok("a", &["status", AGENT])["view"]["gl"], Value::Null);
    world.end_at("a");
}

#[test]
fn an_agents_opengl_is_drawn_at_its_new_home_with_its_network() {
    let (port, world) = (free_port(), World::new());
    let root = root(&world, port);
    let world = world.with_agent_that_has(&root, "256M");
    let view = world.ok("a", &["view", AGENT, "--print", &format!("--gl={port}")]);
    let [old, new] = ["a", "b"].map(|site| world.home(site).join("agents").join(AGENT).join("view.ctl"));
    let _shown = (Shown(&old), Shown(&new));
    eventually_some("the agent's program draws at home", || program(&old));
    goes_on(&old, "pictures come at home");

    let told = world.ok("a", &["home", AGENT, "--to", "b", "--network"]);
    assert_eq!((&told["home"], &told["missed"]), (&json!("b"), &json!([])), "{told}");
    eventually_some("it draws at its new home", || program(&new));
    goes_on(&new, "pictures come at the new home");
    assert_eq!(program(&old), None);
    assert_eq!(world.ok("b", &["status", AGENT])["view"]["gl"], view["gl"]);
    let said = eventually_some("it says what it lost", || world.judge.begins("a", "vmgl: another renderer"));
    assert!(said.ends_with("lost: nothing"), "{said}");
    world.end_at("a");
}

#[track_caller]
fn eventually_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let mut found = None;
    eventually(what, || {
        found = look();
        found.is_some()
    });
    found.unwrap()
}
