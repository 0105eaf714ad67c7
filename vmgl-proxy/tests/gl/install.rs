//! `vmgl-proxy gl install` and `gl check`, as commands: an installation into a folder, looked at by a program that draws.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::agent::built;
use crate::desk::Desk;
use crate::peers::{Xvfb, unix};

fn gl(words: &[&str], display: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
    command.arg("gl").args(words).env("DISPLAY", display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    command.env_remove("VMGL_GL").env_remove("__GLX_VENDOR_LIBRARY_NAME");
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What `gl check --json` found of a way, and whether the command succeeded.
fn check(words: &[&str], display: &str) -> (bool, Vec<Value>) {
    let done = gl(&[["check", "--json"].as_slice(), words].concat(), display);
    let found: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", said(&done)));
    (done.status.success(), found.as_array().unwrap().clone())
}

#[test]
fn an_installation_is_seen_to_be_in_use_and_taken_away_again() {
    let desk = Desk::new("320x240");
    let display = desk.server.display.as_str();
    let dir = tempfile::tempdir().unwrap();
    let prefix = dir.path().join("vmgl");
    let (prefix, library, door) = (prefix.to_str().unwrap(), built(), unix(&desk.door));
    let library = library.to_str().unwrap();
    let install = ["install", "--prefix", prefix, "--library", library, "--to", &door];

    // Nothing is installed: programs get what the machine has, and it is said what to do.
    let (in_use, found) = check(&[], display);
    assert!(!in_use && found.iter().all(|way| way["is_vmgl"] == false), "{found:?}");
    assert!(found[0]["advice"].as_str().unwrap().contains("__GLX_VENDOR_LIBRARY_NAME"), "{found:?}");

    for _ in 0..2 {
        let done = gl(&install, display);
        assert!(done.status.success(), "{}", said(&done));
        assert!(said(&done).contains("GLX: VMGL") && said(&done).contains("EGL: VMGL"), "{}", said(&done));
    }
    let (in_use, found) = check(&["--prefix", prefix], display);
    assert!(in_use && found.iter().all(|way| way["is_vmgl"] == true), "{found:?}");
    // And by a shell that reads the script, as people do.
    let script = format!(". {prefix}/share/vmgl/env.sh && exec \"$0\" gl check --json");
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_vmgl-proxy")]).env("DISPLAY", display);
    assert!(shell.output().unwrap().status.success());

    // No renderer: it is said, and programs draw without it.
    let nowhere = unix(&dir.path().join("nowhere"));
    let lost = gl(&["install", "--prefix", prefix, "--library", library, "--to", &nowhere], display);
    assert!(!lost.status.success() && said(&lost).contains("no renderer at"), "{}", said(&lost));
    let (in_use, found) = check(&["--prefix", prefix], display);
    assert!(!in_use && found[0]["who"].as_str().unwrap().contains("llvmpipe"), "{found:?}");

    let removed = gl(&["install", "--remove", "--prefix", prefix], display);
    assert!(removed.status.success(), "{}", said(&removed));
    assert!(!Path::new(prefix).join("share/vmgl").exists() && !Path::new(prefix).join("lib/vmgl").exists());
}

#[test]
fn where_the_library_stands_in_and_no_desk_answers_that_is_said_though_it_answers_itself() {
    let screen = Xvfb::start("320x240");
    let dir = tempfile::tempdir().unwrap();
    let (prefix, nowhere) = (dir.path().join("vmgl"), unix(&dir.path().join("nowhere")));
    let (prefix, library) = (prefix.to_str().unwrap(), built());
    let words = ["--prefix", prefix, "--library", library.to_str().unwrap(), "--to", &nowhere, "--own-libgl"];
    let done = gl(&[["install"].as_slice(), &words].concat(), &screen.display);
    assert!(!done.status.success() && said(&done).contains("--gl-listen"), "{}", said(&done));
    let (in_use, found) = check(&["--prefix", prefix], &screen.display);
    assert!(!in_use && found.iter().all(|way| way["who"].as_str().unwrap().starts_with("VMGL")), "{found:?}");

    let removed = gl(&["install", "--remove", "--prefix", prefix], &screen.display);
    assert!(removed.status.success() && !Path::new(prefix).join("lib/vmgl").exists(), "{}", said(&removed));
}
