//! Programs that know nothing of VMGL, with the library of the agent: what they draw is seen at the desk, as their own
//! machine would have drawn it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmgl_rfb::{Framebuffer, Rect};

use crate::desk::Desk;
use crate::peers::{Running, Xvfb, eventually};

/// The library, as a program of the agent finds it.
fn library(dir: &Path) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_vmgl-proxy")).parent().unwrap();
    let found = ["deps/libGLX_vmgl.so", "libGLX_vmgl.so"].map(|name| built.join(name));
    let when = |path: &PathBuf| path.metadata().and_then(|it| it.modified()).ok();
    let newest =
        found.into_iter().filter(|path| path.exists()).max_by_key(when).expect("the library is built");
    let folder = dir.join("vmgl");
    std::fs::create_dir_all(&folder).unwrap();
    let _there = std::os::unix::fs::symlink(newest, folder.join("libGLX_vmgl.so.0"));
    folder
}

/// A command whose OpenGL travels to the desk.
pub(crate) fn travelling(desk: &Desk, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("DISPLAY", &desk.server.display).env("VMGL_GL", crate::peers::unix(&desk.door));
    command.env("__GLX_VENDOR_LIBRARY_NAME", "vmgl");
    command.env("LD_LIBRARY_PATH", library(desk.door.parent().unwrap()));
    command
}

/// Starts a program and waits until it says that it has drawn.
fn drawn(mut command: Command) -> Running {
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "drawn\n", "{:?}", running.0.try_wait());
    running
}

/// `draw.c`, built.
fn draw(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gl/draw.c");
    let program = dir.join("draw");
    let mut cc = Command::new("cc");
    cc.arg("-O1").arg("-o").arg(&program).arg(source).args(["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    assert!(cc.status().unwrap().success());
    program
}

#[test]
fn gears_turn_at_the_desk_and_none_of_their_pixels_are_in_the_agent() {
    let mut desk = Desk::new("320x240");
    let mut gears = travelling(&desk, Path::new("glxgears"));
    gears.args(["-geometry", "200x150+40+30"]).stdout(Stdio::null());
    let gears = Running(gears.spawn().unwrap());
    let place = Rect::new(40, 30, 200, 150);
    let coloured = |shown: &Framebuffer| {
        let inside = shown.crop(place);
        inside.pixels().iter().filter(|pixel| **pixel != 0).count() > 4000
    };
    desk.viewer.sees("gears", coloured);
    let first = desk.viewer.picture.crop(place);
    desk.viewer.sees("gears that have turned", |shown| coloured(shown) && shown.crop(place) != first);
    let outside = |x: u16, y: u16| !place.contains(&Rect::new(x, y, 1, 1));
    let shown = &desk.viewer.picture;
    let around = (0..320).flat_map(|x| (0..240).map(move |y| (x, y))).filter(|(x, y)| outside(*x, *y));
    let root = shown.row(0, 0, 1)[0];
    assert!(
        around.into_iter().all(|(x, y)| shown.row(x, y, 1)[0] == root),
        "nothing is drawn beside the window"
    );

    // The agent's own screen has none of it, and no frame waited for the desk.
    let truth = Framebuffer::new(320, 240).map(|mut it| {
        it.pixels_mut().copy_from_slice(&desk.server.truth());
        it
    });
    let inside = truth.unwrap().crop(place);
    assert!(inside.pixels().iter().all(|pixel| *pixel == inside.pixels()[0]), "X has drawn in the window");
    let before = desk.stat()["programs"][0].clone();
    let frames = |stat: &serde_json::Value| stat["frames"].as_u64().unwrap();
    let after = eventually("thirty frames more", || {
        let now = desk.stat()["programs"][0].clone();
        (frames(&now) >= frames(&before) + 30).then_some(now)
    });
    assert_eq!(after["blocking"], before["blocking"], "{after}");
    assert_eq!(after["errors"], 0, "{after}");
    drop(gears);
    desk.viewer.sees("no gears", |shown| shown.crop(place).pixels().iter().all(|pixel| *pixel == root));
}

#[test]
fn pictures_are_those_of_the_same_program_without_a_desk() {
    let dir = tempfile::tempdir().unwrap();
    let program = draw(dir.path());
    let screen = Xvfb::start("320x240");
    let place = Rect::new(10, 20, 300, 200);
    for how in ["lists", "arrays", "shaders"] {
        let mut local = Command::new(&program);
        local.arg(how).env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
        let local = drawn(local);
        let mut truth = Framebuffer::new(320, 240).unwrap();
        truth.pixels_mut().copy_from_slice(&screen.truth());
        let truth = truth.crop(place);
        assert!(truth.pixels().iter().any(|pixel| *pixel != truth.pixels()[0]), "{how} draws something");
        drop(local);

        let mut desk = Desk::new("320x240");
        let mut far = travelling(&desk, &program);
        far.arg(how);
        let _far = drawn(far);
        // The same software draws both: not a pixel may differ.
        desk.viewer.sees(how, |shown| shown.crop(place) == truth);
        let stat = desk.stat()["programs"][0].clone();
        assert_eq!((&stat["frames"], &stat["errors"]), (&1.into(), &0.into()), "{stat}");
    }
}
