//! Programs of a system without libglvnd, for which the library stands in: as their libEGL, libGLESv2 and so on. (As their libGL:
//! [`crate::unmodified`]; in a system that has no other: [`crate::unpacked`].)
//!
//! The hazard: whoever then draws in software in the agent looks for a libEGL, too, and finds the library, which would have
//! itself be drawn for.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use vmgl_proxy::gl::install::{self, For, Layout, Parts};

use crate::agent::{Agent, built};
use crate::desk::Desk;
use crate::life::{Live, PLACE, SIZE, alone_with, cut, same};
use crate::peers::{Xvfb, eventually, unix};
use crate::relay::Relay;
use crate::unmodified::{alone, build, drawn};

const BY_EGL: [&str; 2] = ["-l:libEGL.so.1", "-l:libX11.so.6"];
/// Runs what follows with the folder `$0` as /opt, where renderers may read: elsewhere a sandbox would hide it from them.
const AS_OPT: &str = r#"mount --bind "$0" /opt && exec "$@""#;

/// A folder with the library under all its names.
fn stand_ins(dir: &Path) -> PathBuf {
    let (prefix, library) = (dir.join("agent"), built());
    let parts = Parts { library: &library, to: None, proxy: None };
    install::install(&Layout::new(&For::Prefix(prefix.clone()), parts).unwrap().with_own_libgl()).unwrap();
    prefix.join("lib/vmgl")
}

#[test]
fn a_program_whose_libegl_is_the_library_draws_at_the_desk_what_it_draws_alone() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "draw_egl", &BY_EGL);
    let screen = Xvfb::start(SIZE);
    let mut desk = Desk::new(SIZE);
    let agent = Agent::standing_in(&desk);
    let preloaded = || {
        let mut command = Command::new(&program);
        command.env("LD_PRELOAD", built()).env("VMGL_GL", unix(&desk.door));
        command.env("DISPLAY", &desk.server.display);
        command
    };
    let ways = [
        (agent.command(&program), "es1"),
        (agent.command(&program), "es3"),
        (agent.command(&program), "select"),
        (preloaded(), "es3"),
    ];
    for (mut command, how) in ways {
        let truth = alone(&screen, &program, how);
        command.arg(how);
        let far = drawn(command);
        desk.viewer.sees(how, |shown| shown.crop(PLACE) == truth);
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", far.0.id())).unwrap();
        assert!(!maps.contains("/libEGL_mesa"), "{how}: no vendor was asked");
        drop(far);
        desk.viewer.sees("the window is gone", |shown| shown.crop(PLACE) != truth);
    }
}

#[test]
fn what_libglvnd_would_answer_the_library_answers_and_all_of_egl_can_be_linked_with() {
    let dir = tempfile::tempdir().unwrap();
    let stand_ins = stand_ins(dir.path());
    let folder = stand_ins.to_str().unwrap();
    // All names are looked for at once, so that one that is not exported is noticed.
    let linked = ["-L", folder, "-l:libEGL.so.1", "-l:libGLESv2.so.2", "-l:libX11.so.6", "-Wl,-z,now"];
    let program = build(dir.path(), "asks_egl", &linked);
    let desk = Desk::new(SIZE);
    let done = Agent::standing_in(&desk).command(&program).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "asked\n", "{done:?}");
}

#[test]
fn where_no_desk_answers_the_systems_libegl_draws_and_not_what_stands_in_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let stand_ins = stand_ins(dir.path());
    let old = build(dir.path(), "draw", &["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    let new = build(dir.path(), "draw_egl", &BY_EGL);
    for (program, how) in [(&old, "lists"), (&new, "es3")] {
        let truth = alone(&Xvfb::start(SIZE), program, how);
        let (screen, log) = (Xvfb::start(SIZE), dir.path().join(how));
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", AS_OPT]).arg(&stand_ins);
        command.arg(program).arg(how).env("DISPLAY", &screen.display).env("LD_LIBRARY_PATH", "/opt");
        command.env("VMGL_GL", unix(&dir.path().join("nowhere")));
        command.env("VMGL_PROXY", env!("CARGO_BIN_EXE_vmgl-proxy")).stderr(File::create(&log).unwrap());
        let _here = drawn(command);
        eventually("it is on the agent's own screen", || same(&cut(&screen.truth()), &truth).then_some(()));
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(said.contains("OpenGL is drawn in software here"), "{said}");
    }
}

#[test]
fn a_program_that_began_without_a_desk_goes_to_it_when_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "draw_egl", &BY_EGL);
    let mut local = Command::new(&program);
    local.arg("live");
    let truth = alone_with(local, "es3", &[1, 2]);
    let mut desk = Desk::new(SIZE);
    let relay = Relay::to(&desk.door);
    relay.shut(true);
    let mut command = Agent::standing_in(&desk).command(&program);
    command.arg("live").env("VMGL_GL", &relay.address);
    let mut it = Live::start(command, "es3", dir.path());
    it.draw(1);
    eventually("it is on the agent's own screen", || {
        same(&cut(&desk.server.truth()), &truth[0]).then_some(())
    });
    relay.shut(false);
    it.tells("restored in");
    it.draw(2);
    desk.viewer.sees("the desk's picture", |shown| same(&shown.crop(PLACE), &truth[1]));
}

#[test]
fn a_program_for_which_nobody_can_draw_is_told_so_and_has_no_display() {
    let dir = tempfile::tempdir().unwrap();
    let stand_ins = stand_ins(dir.path());
    let program = build(dir.path(), "draw_egl", &BY_EGL);
    let screen = Xvfb::start(SIZE);
    let nowhere = dir.path().join("nowhere");
    for place in [unix(&nowhere), "no place".to_owned()] {
        let mut command = Command::new(&program);
        command.arg("es3").env("DISPLAY", &screen.display).env("LD_LIBRARY_PATH", &stand_ins);
        command.env("VMGL_GL", &place).env("VMGL_PROXY", &nowhere);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains(&place) && said.contains("this program has no OpenGL"), "{said}");
        assert_eq!(done.status.code(), Some(1), "as it ends without a display: {said}");
    }
}
