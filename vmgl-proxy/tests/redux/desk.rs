//! A screen with a calculator, a clock beside its keys and an editor in a terminal; hands that work there; and
//! a path to it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use vmgl_proxy::wan;
use vmgl_rfb::{ClientMessage, Encoding};

use crate::peers::{Running, Viewer, Xvnc, eventually, unix};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vmgl-proxy");
const SIZE: (u16, u16) = (640, 400);
const SIZE_WORDS: &str = "640x400";
/// Where the calculator's result is, and the line of the editor's text, as x, y, width, height; the text
/// without the cursor at its end, which blinks.
pub(crate) const RESULT: [usize; 4] = [24, 16, 198, 26];
pub(crate) const TEXT: [usize; 4] = [293, 13, 88, 12];
/// The calculator, and its keys.
pub(crate) const CALCULATOR: [&str; 3] = ["xcalc", "-geometry", "226x304+10+10"];
pub(crate) const FOUR: (u16, u16) = (80, 255);
pub(crate) const FIVE: (u16, u16) = (124, 255);

/// The programs and the server end with it.
pub(crate) struct Desk {
    pub(crate) server: Xvnc,
    programs: Vec<Running>,
}

impl Desk {
    /// A screen with nothing on it.
    pub(crate) fn bare(folder: &Path) -> Self {
        let server = Xvnc::start(folder.join("vnc"), SIZE_WORDS);
        server.run(&["xsetroot", "-solid", "#224466"]);
        Self { server, programs: Vec::new() }
    }

    /// A screen with its programs, drawn.
    pub(crate) fn set(folder: &Path) -> Self {
        let mut desk = Self::bare(folder);
        let file = folder.join("text");
        let file = file.to_str().unwrap();
        let editor =
            ["xterm", "-bc", "-geometry", "50x20+290+10", "-e", "vi", "-u", "NONE", "-i", "NONE", "-n"];
        // One after the other: who comes last is above.
        desk.start(&CALCULATOR);
        desk.draws(RESULT);
        desk.start(&[&editor[..], &[file]].concat());
        // Its seconds are within the snapshots of the calculator's keys, and never the same again.
        let clock = ["xclock", "-digital", "-strftime", "%d %H:%M:%S", "-update", "1", "-geometry"];
        desk.start(&[&clock[..], &["150x20+40+222"]].concat());
        // The editor's column of marks.
        desk.draws([293, 26, 12, 40]);
        let clock = [110, 226, 40, 14];
        let began = desk.part(clock);
        eventually("the clock goes", || (desk.part(clock) != began).then_some(()));
        desk
    }

    pub(crate) fn start(&mut self, words: &[&str]) {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DISPLAY", &self.server.display).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}; xtask setup installs it", words[0]));
        self.programs.push(Running(child));
    }

    /// Waits until there is something on a part of the screen.
    pub(crate) fn draws(&self, part: [usize; 4]) {
        eventually("the program is there", || {
            let all = self.part(part);
            all.iter().any(|pixel| *pixel != all[0]).then_some(())
        });
    }

    /// What is on a part of the screen.
    pub(crate) fn part(&self, [x, y, w, h]: [usize; 4]) -> Vec<u32> {
        let truth = self.server.truth();
        let rows = truth.chunks(usize::from(SIZE.0)).skip(y).take(h);
        rows.flat_map(|row| row[x..x + w].iter().copied()).collect()
    }
}

/// The hands of a user, at a viewer.
pub(crate) struct Hands {
    viewer: Viewer,
    at: (u16, u16),
}

impl Hands {
    pub(crate) fn at(door: &Path) -> Self {
        Self { viewer: Viewer::connect(door, Encoding::Zrle, None).unwrap(), at: (320, 200) }
    }

    /// A user's rhythm: what is recorded is when something was done, so this time is no order of anything.
    pub(crate) fn rest(&mut self, ms: u64) {
        let until = std::time::Instant::now() + Duration::from_millis(ms);
        while std::time::Instant::now() < until {
            self.viewer.look();
        }
    }

    fn point(&mut self, buttons: u8) {
        let (x, y) = self.at;
        self.viewer.say(&ClientMessage::Pointer { buttons, x, y });
    }

    /// Moves there in some steps.
    pub(crate) fn go(&mut self, to: (u16, u16)) {
        let from = self.at;
        for step in 1..=8u32 {
            let between = |a: u16, b: u16| {
                u16::try_from((u32::from(a) * (8 - step) + u32::from(b) * step) / 8).unwrap()
            };
            self.at = (between(from.0, to.0), between(from.1, to.1));
            self.point(0);
            self.rest(20);
        }
    }

    pub(crate) fn click(&mut self, at: (u16, u16)) {
        self.go(at);
        self.rest(250);
        self.point(1);
        self.rest(120);
        self.point(0);
        self.rest(200);
    }

    pub(crate) fn types(&mut self, text: &str) {
        for letter in text.chars() {
            let keysym = if letter == '\u{1b}' { 0xff1b } else { u32::from(letter) };
            for down in [true, false] {
                self.viewer.say(&ClientMessage::Key { down, keysym });
                self.rest(50);
            }
        }
    }
}

/// Records what `work` does.
pub(crate) fn record(folder: &Path, desk: &Desk, work: impl FnOnce(&mut Hands)) -> PathBuf {
    let (door, out) = (folder.join("door"), folder.join("work.session"));
    let mut child: Child = Command::new(PROGRAM)
        .args(["record", "--upstream", &unix(&desk.server.path), "--listen", &unix(&door), "--json", "--out"])
        .arg(&out)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut child = Running(child);
    assert!(said.next().unwrap().unwrap().starts_with("listening "));
    let mut hands = Hands::at(&door);
    work(&mut hands);
    // The recording ends with its viewer.
    drop(hands);
    let summary: Value = serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
    assert!(child.0.wait().unwrap().success());
    assert!(summary["inputs"].as_u64().unwrap() > 0, "{summary}");
    out
}

/// Replays a session to the server at `to`.
pub(crate) fn replay(to: &Path, session: &Path, more: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(["replay", "--json", "--to", &unix(to)])
        .arg(session)
        .args(more)
        .output()
        .unwrap()
}

/// A path to `to`: its near end, which lasts as long as the runtime that is given back.
pub(crate) fn path_to(to: &Path, near: &Path, round_trip_ms: u64) -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let [near, to] = [near, to].map(|path| unix(path).parse::<vmgl_proxy::Address>().unwrap());
    let jitter = Duration::from_millis(12);
    let path = wan::Path {
        delay: Duration::from_millis(round_trip_ms) / 2,
        jitter,
        rate: Some(12_500_000),
        seed: round_trip_ms,
    };
    let listener = runtime.block_on(near.listen()).unwrap();
    runtime.spawn(wan::serve(listener, to, path));
    runtime
}
