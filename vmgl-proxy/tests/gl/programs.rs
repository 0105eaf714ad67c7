//! Real programs, unmodified: a picture that each draws by the library at the desk, beside the one that it draws on a
//! screen of its own by Mesa alone.
//!
//! Each time some are tried; `VMGL_PROGRAMS=all` (or parts of names, with commas) tries the others, judges each scene of
//! glmark2 by its own `--validate`, and pictures of recorded calls by apitrace, and prints the table of docs/gl-programs.md:
//! `VMGL_PROGRAMS=all cargo test -p vmgl-proxy --test gl programs -- --nocapture`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use vmgl_rfb::ClientMessage;

use crate::agent::Agent;
use crate::cases::{CASES, Case, How};
use crate::desk::Desk;
use crate::judge::Verdict;
use crate::peers::{Running, Xvfb};

pub(crate) const SCREEN: &str = "800x600";
/// Where X puts the pointer of such a screen.
const MIDDLE: (u16, u16) = (400, 300);
/// Longest start of a program, in software.
const START: Duration = Duration::from_secs(120);
/// How long a picture that is there may take to be seen.
const SEEN: Duration = Duration::from_secs(60);
/// Time after which a program that draws when there is something new has come to rest.
const REST: Duration = Duration::from_secs(2);
/// Time after which a picture that was shown is on its own screen.
const SHOWN: Duration = Duration::from_millis(300);

/// What programs are started with.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    still: PathBuf,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let still = folder.path().join("still.so");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&still);
        cc.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gl/still.c")).arg("-ldl");
        assert!(cc.status().unwrap().success());
        Self { folder, still }
    }

    /// Starts a program; `command` has the environment of its screen.
    fn start(&self, case: &Case, command: Command) -> Started {
        self.start_with(case, command, &[])
    }

    /// The same with more libraries before it.
    pub(crate) fn start_with(&self, case: &Case, mut command: Command, before: &[PathBuf]) -> Started {
        let scenes = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gl/scenes/");
        command.args(case.words[1..].iter().map(|word| word.replace("SCENES/", scenes)));
        let home = tempfile::tempdir_in(self.folder.path()).unwrap();
        let (told, log) = (home.path().join("told"), home.path().join("log"));
        command.current_dir(home.path()).env("HOME", home.path());
        // Without a card for sound some complain of it so fast that they fill the disk.
        command.env("SDL_AUDIODRIVER", "dummy").env("ALSOFT_DRIVERS", "null");
        command.env("XDG_CONFIG_HOME", home.path()).env("LC_ALL", "C.UTF-8").env_remove("XDG_RUNTIME_DIR");
        if let How::Picture(picture) = case.how {
            let all: Vec<_> =
                [&self.still].into_iter().chain(before).map(|path| path.display().to_string()).collect();
            command.env("LD_PRELOAD", all.join(" ")).env("STILL_TOLD", &told);
            command.env("STILL_PICTURE", picture.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let running = command.spawn().map(Running);
        Started { running: running.map_err(|fault| fault.to_string()), told, log, _home: home, how: case.how }
    }
}

/// A program that was started.
pub(crate) struct Started {
    running: Result<Running, String>,
    told: PathBuf,
    log: PathBuf,
    _home: tempfile::TempDir,
    how: How,
}

impl Started {
    pub(crate) fn id(&self) -> u32 {
        self.running.as_ref().unwrap().0.id()
    }

    /// Why it is no longer there.
    pub(crate) fn ended(&mut self) -> Option<String> {
        match &mut self.running {
            Err(fault) => Some(fault.clone()),
            Ok(running) => {
                let status = running.0.try_wait().unwrap()?;
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                Some(format!("it ended ({status}): {}", log.lines().last().unwrap_or("without a word")))
            }
        }
    }

    /// Waits until it stands still; then it has shown what is compared. One that draws at will is waited for by its looks.
    pub(crate) fn stands(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while self.how != How::Rest && !self.told.exists() {
            if let Some(why) = self.ended() {
                return Err(why);
            }
            if began.elapsed() > START {
                return Err("it does not come to that picture".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

/// The same program on a screen of its own.
fn truth(stage: &Stage, case: &Case) -> Result<Vec<u32>, String> {
    let screen = Xvfb::start(SCREEN);
    let mut command = Command::new(case.words[0]);
    command.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    let mut started = stage.start(case, command);
    started.stands()?;
    let rest = if case.how == How::Rest { REST } else { SHOWN };
    let (began, mut seen, mut since) = (Instant::now(), Vec::new(), Instant::now());
    loop {
        let now = screen.truth();
        let drawn = Verdict::of(&now, &now).is_same();
        if now != seen {
            (seen, since) = (now, Instant::now());
        } else if drawn && since.elapsed() > rest {
            return Ok(seen);
        }
        if let Some(why) = started.ended() {
            return Err(why);
        }
        if began.elapsed() > START {
            return Err("it draws nothing that stays, on a screen of its own".to_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is seen of it at the desk when it stands still there, compared with the truth.
fn far(stage: &Stage, desk: &mut Desk, agent: &Agent, case: &Case, truth: &[u32]) -> Result<Verdict, String> {
    let mut started = stage.start(case, agent.command(case.words[0]));
    started.stands()?;
    let began = Instant::now();
    let (patience, rest, pictures) = match case.how {
        How::Rest => (START, REST, 0),
        How::Picture(pictures) => (SEEN, SHOWN, pictures),
    };
    let (mut seen, mut since, mut all_are_drawn) = (Vec::new(), Instant::now(), false);
    let verdict = loop {
        desk.viewer.look();
        let shown = desk.viewer.picture.pixels();
        let verdict = Verdict::of(truth, shown);
        // The last picture but one may be within what is allowed of the last, too.
        if shown != seen || !all_are_drawn {
            (seen, since) = (shown.to_vec(), Instant::now());
            all_are_drawn = desk.frames(started.id()) >= pictures.into();
        }
        let stays = since.elapsed() > rest;
        if verdict.different == 0 || verdict.is_same() && stays || began.elapsed() > patience {
            break verdict;
        }
        if let Some(why) = started.ended() {
            return Err(why);
        }
    };
    keep(case, truth, desk.viewer.picture.pixels());
    let known = desk.stat()["programs"].as_array().is_some_and(|all| !all.is_empty());
    drop(started);
    desk.viewer.sees("the program's window is gone", |shown| {
        shown.pixels().iter().all(|pixel| *pixel == shown.pixels()[0])
    });
    if known { Ok(verdict) } else { Err("it did not draw by the library".to_owned()) }
}

/// Leaves both pictures in the folder `VMGL_PROGRAMS_PICTURES`, to be looked at by people.
fn keep(case: &Case, truth: &[u32], far: &[u32]) {
    let Some(folder) = std::env::var_os("VMGL_PROGRAMS_PICTURES") else { return };
    for (side, picture) in [("alone", truth), ("desk", far)] {
        let mut ppm = b"P6 800 600 255\n".to_vec();
        ppm.extend(picture.iter().flat_map(|pixel| pixel.to_be_bytes().into_iter().skip(1)));
        let name = format!("{}-{side}.ppm", case.name.replace(' ', "-"));
        std::fs::write(Path::new(&folder).join(name), ppm).unwrap();
    }
}

fn version(package: &str) -> String {
    let asked = Command::new("dpkg-query").args(["-W", "-f=${Version}", package]).output();
    let version = asked.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default();
    if version.is_empty() { "?".to_owned() } else { version }
}

/// Which are tried: those of each time, or those that were asked for.
fn wanted(case: &Case, asked: Option<&str>) -> bool {
    match asked {
        None => case.always,
        Some("all") => true,
        Some(parts) => parts.split(',').any(|part| case.name.contains(part)),
    }
}

#[test]
fn programs_of_others_draw_at_the_desk_what_they_draw_alone() {
    let asked = std::env::var("VMGL_PROGRAMS").ok();
    let stage = Stage::new();
    let mut desk = Desk::new(SCREEN);
    let agent = Agent::installed(&desk);
    // A pointer that is elsewhere than its viewer has said is drawn into the picture by the server.
    desk.viewer.say(&ClientMessage::Pointer { buttons: 0, x: MIDDLE.0, y: MIDDLE.1 });
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| wanted(case, asked.as_deref())) {
        let began = Instant::now();
        let verdict = truth(&stage, case).and_then(|truth| far(&stage, &mut desk, &agent, case, &truth));
        let (is_same, told) = match &verdict {
            Ok(verdict) => (verdict.is_same(), verdict.to_string()),
            Err(why) => (false, why.clone()),
        };
        let drawn = match case.how {
            How::Picture(picture) => format!("picture {picture}"),
            How::Rest => "at rest".to_owned(),
        };
        let word = if is_same { "same" } else { "**not the same**" };
        println!("| {} | {} | {} | {drawn} | {word}: {told} |", case.name, version(case.package), case.style);
        eprintln!("{}: {:.1} s", case.name, began.elapsed().as_secs_f64());
        if !is_same {
            failed.push(format!("{}: {told}", case.name));
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// What glmark2 says of each of its scenes; it judges some pixels of each itself.
fn validated(command: &mut Command) -> Vec<String> {
    let done = command.args(["--validate", "-s", "300x240"]).stderr(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    said.lines().filter(|line| line.contains("Validation:")).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn every_scene_of_glmark2_is_valid_by_its_own_judgement() {
    if std::env::var("VMGL_PROGRAMS").is_err() {
        return;
    }
    let desk = Desk::new(SCREEN);
    let agent = Agent::installed(&desk);
    for program in ["glmark2", "glmark2-es2"] {
        let scenes = validated(&mut agent.command(program));
        let failures: Vec<_> = scenes.iter().filter(|line| line.contains("Failure")).collect();
        let unknown = scenes.iter().filter(|line| line.contains("Unknown")).count();
        println!(
            "{program} --validate: {} scenes, {unknown} without a judgement, failed: {failures:?}",
            scenes.len()
        );
        assert!(scenes.len() > 20 && failures.is_empty(), "{program}: {scenes:#?}");
    }
}

#[test]
fn programs_that_ask_what_there_is_are_told_of_the_library_and_end_well() {
    let desk = Desk::new("320x240");
    let agent = Agent::installed(&desk);
    let asked: [(&[&str], &str); 3] = [
        (&["glxinfo", "-l"], "OpenGL vendor string: VMGL"),
        (&["glxinfo", "-B"], "OpenGL core profile version string: 3.3 VMGL"),
        (&["es2_info"], "EGL_VENDOR: VMGL"),
    ];
    for (words, told) in asked {
        let done = agent.command(words[0]).args(&words[1..]).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains(told), "{words:?}: {:?}\n{said}", done.status);
    }
}

#[test]
fn whoever_looks_at_each_visual_hears_which_has_several_samples() {
    // As SFML's programs do, and take the first that has what they want. Who finds no such extension asks for no samples.
    let desk = Desk::new("320x240");
    let agent = Agent::installed(&desk);
    let done = agent.command("glxinfo").arg("-v").output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let visuals = said.split_once("GLX Visuals").and_then(|(_, rest)| rest.split_once("GLXFBConfigs"));
    let visuals = visuals.unwrap_or_else(|| panic!("{said}")).0;
    assert!(visuals.contains("multiSample=0 ") && visuals.contains("multiSample=4 "), "{visuals}");
}
