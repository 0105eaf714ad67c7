//! A second judge: what programs call is recorded on a screen of its own by apitrace, and played again there and by way of
//! the desk. The pictures that glretrace reads back behind each are compared: the very same calls must give the same
//! pictures, and `glReadPixels` must give them to the program.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::agent::Agent;
use crate::cases::{CASES, Case};
use crate::desk::Desk;
use crate::judge::Verdict;
use crate::peers::{Xvfb, eventually};
use crate::programs::{SCREEN, Stage};

/// Those of which a trace is made, and whether that is done each time.
const TRACED: &[(&str, bool)] = &[
    ("glxgears", true),
    ("molecule", false),
    ("glmark2 texture", false),
    ("glmark2 terrain", false),
    ("glmark2-es2 shading", false),
    ("Neverball", false),
    ("Extreme Tux Racer", false),
];

/// Records a program up to the picture at which it stands still.
fn record(stage: &Stage, case: &Case, trace: &Path) {
    let screen = Xvfb::start(SCREEN);
    let mut command = Command::new(case.words[0]);
    command.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1").env("TRACE_FILE", trace);
    let mut started = stage.start_with(case, command, &[wrapper(case)]);
    started.stands().unwrap();
    let id = started.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    eventually("the recorded program ends", || started.ended());
}

/// Apitrace's library for programs of that kind.
fn wrapper(case: &Case) -> PathBuf {
    let name = if case.style.contains("EGL") { "egltrace.so" } else { "glxtrace.so" };
    let arch = format!("/usr/lib/{}-linux-gnu/apitrace/wrappers", std::env::consts::ARCH);
    Path::new(&arch).join(name)
}

/// A picture, by its width, height and pixels.
type Picture = (usize, usize, Vec<u32>);

/// What is read back behind each picture when the calls are made again.
fn replay(mut command: Command, trace: &Path) -> Vec<Picture> {
    command.args(["--headless", "-s", "-"]).arg(trace).stdin(Stdio::null());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    pictures(&done.stdout)
}

/// Portable pixmaps, one after the other.
fn pictures(mut bytes: &[u8]) -> Vec<Picture> {
    let mut all = Vec::new();
    while let Some(rest) = bytes.strip_prefix(b"P6\n") {
        let mut numbers = Vec::new();
        let mut at = rest;
        while numbers.len() < 3 {
            let (line, behind) = at.split_at(at.iter().position(|byte| *byte == b'\n').unwrap());
            let line = std::str::from_utf8(line).unwrap();
            if !line.starts_with('#') {
                numbers.extend(line.split_whitespace().map(|word| word.parse::<usize>().unwrap()));
            }
            at = &behind[1..];
        }
        let (width, height) = (numbers[0], numbers[1]);
        let (pixels, behind) = at.split_at(width * height * 3);
        let pixels = pixels.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b]));
        all.push((width, height, pixels.collect()));
        bytes = behind;
    }
    assert!(bytes.is_empty(), "not a pixmap: {:?}", &bytes[..bytes.len().min(20)]);
    all
}

#[test]
fn calls_that_were_recorded_give_the_same_pictures_at_the_desk() {
    let all = std::env::var("VMGL_PROGRAMS").is_ok_and(|asked| asked == "all");
    let stage = Stage::new();
    let desk = Desk::new(SCREEN);
    let agent = Agent::installed(&desk);
    let folder = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    for (name, _) in TRACED.iter().filter(|(_, always)| all || *always) {
        let case = CASES.iter().find(|case| case.name == *name).unwrap();
        let trace = folder.path().join("trace");
        record(&stage, case, &trace);
        let program = if case.style.contains("EGL") { "eglretrace" } else { "glretrace" };
        let screen = Xvfb::start(SCREEN);
        let mut alone = Command::new(program);
        alone.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
        let (alone, far) = (replay(alone, &trace), replay(agent.command(program), &trace));
        assert!(alone.len() > 2, "{name}: {} pictures", alone.len());
        let sizes = |all: &[Picture]| all.iter().map(|(w, h, _)| (*w, *h)).collect::<Vec<_>>();
        assert_eq!(sizes(&alone), sizes(&far), "{name}");
        // Played alone, the first is read back before its window has its size.
        let verdicts = alone.iter().zip(&far).skip(1).map(|(a, b)| Verdict::of(&a.2, &b.2));
        // A picture of which nothing is drawn yet says nothing.
        let judged: Vec<_> = verdicts.filter(|verdict| verdict.drawn > 400).collect();
        let same = judged.iter().filter(|verdict| verdict.is_same()).count();
        let worst = judged.iter().max_by_key(|verdict| verdict.unlike);
        let worst = worst.map(ToString::to_string).unwrap_or_default();
        println!("| {name} | {} pictures | {same} same | worst: {worst} |", judged.len());
        if judged.is_empty() || same < judged.len() {
            failed.push(format!("{name}: {same} of {} ({worst})", judged.len()));
        }
        std::fs::remove_file(&trace).unwrap();
    }
    assert!(failed.is_empty(), "{failed:#?}");
}
