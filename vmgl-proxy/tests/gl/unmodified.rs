//! Programs that know nothing of VMGL, with the library of the agent: what they draw is seen at the desk, as their own
//! machine would have drawn it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use vmgl_rfb::{Framebuffer, Rect};

use crate::agent::{Agent, built};
use crate::desk::Desk;
use crate::peers::{Running, Xvfb, eventually};

/// A command whose OpenGL travels to the desk.
pub(crate) fn travelling(desk: &Desk, program: &Path) -> Command {
    Agent::installed(desk).command(program)
}

/// Starts a program and waits until it says that it has drawn.
pub(crate) fn drawn(mut command: Command) -> Running {
    let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "drawn\n", "{:?}", running.0.try_wait());
    running
}

/// A program of this folder's, built.
pub(crate) fn build(dir: &Path, name: &str, libraries: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gl").join(name).with_extension("c");
    let program = dir.join(name);
    let mut cc = Command::new("cc");
    cc.arg("-O1").arg("-o").arg(&program).arg(source).args(libraries);
    assert!(cc.status().unwrap().success());
    program
}

/// What a program draws by Mesa alone, in the place where both of them have their window.
pub(crate) fn alone(screen: &Xvfb, program: &Path, how: &str) -> Framebuffer {
    let mut local = Command::new(program);
    local.arg(how).env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    let _local = drawn(local);
    let mut truth = Framebuffer::new(320, 240).unwrap();
    truth.pixels_mut().copy_from_slice(&screen.truth());
    let truth = truth.crop(PLACE);
    assert!(truth.pixels().iter().any(|pixel| *pixel != truth.pixels()[0]), "{how} draws something");
    truth
}

const PLACE: Rect = Rect { x: 10, y: 20, w: 300, h: 200 };

#[test]
fn gears_turn_at_the_desk_and_none_of_their_pixels_are_in_the_agent() {
    let mut desk = Desk::new("320x240");
    let mut gears = Agent::installed(&desk).command("glxgears");
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
fn a_program_whose_windows_nobody_watches_has_them_watched() {
    let mut desk = Desk::unwatched("320x240", &[]);
    let gears = |desk: &Desk| {
        let mut gears = Agent::installed(desk).command("glxgears");
        Running(gears.args(["-geometry", "200x150+40+30"]).stdout(Stdio::null()).spawn().unwrap())
    };
    let place = Rect::new(40, 30, 200, 150);
    let coloured =
        |shown: &Framebuffer| shown.crop(place).pixels().iter().filter(|pixel| **pixel != 0).count() > 4000;
    let watchers = |desk: &Desk| {
        let words = format!("gl watch --first --to {}", crate::peers::unix(&desk.door));
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|it| std::fs::read(it.path().join("cmdline")).ok());
        lines.filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(&words)).count()
    };
    let first = gears(&desk);
    desk.viewer.sees("gears", coloured);
    let second = gears(&desk);
    eventually("both programs draw", || {
        (desk.stat()["programs"].as_array().unwrap().len() == 2).then_some(())
    });
    assert_eq!(watchers(&desk), 1);

    // It outlives who started it; one that a person starts takes its place.
    drop((first, second));
    desk.watch();
    eventually("the library's watcher has ended", || (watchers(&desk) == 0).then_some(()));
    let _third = gears(&desk);
    desk.viewer.sees("gears again", coloured);
    assert_eq!(watchers(&desk), 0);
}

#[test]
fn pictures_are_those_of_the_same_program_without_a_desk() {
    let dir = tempfile::tempdir().unwrap();
    let old = build(dir.path(), "draw", &["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    let new = build(dir.path(), "draw_egl", &["-l:libEGL.so.1", "-l:libX11.so.6"]);
    let screen = Xvfb::start("320x240");
    let mut desk = Desk::new("320x240");
    let agent = Agent::installed(&desk);
    let ways: [(&PathBuf, &[&str]); 2] =
        [(&old, &["lists", "arrays", "letters", "shaders"]), (&new, &["es1", "es3", "select"])];
    for (program, how) in ways.iter().flat_map(|(program, all)| all.iter().map(move |how| (program, how))) {
        let truth = alone(&screen, program, how);
        let mut far = agent.command(program);
        far.arg(how);
        let far = drawn(far);
        // The same software draws both: not a pixel may differ.
        desk.viewer.sees(how, |shown| shown.crop(PLACE) == truth);
        let pid = far.0.id();
        let stat = desk.stat()["programs"].clone();
        let stat = stat.as_array().unwrap().iter().find(|it| it["pid"] == pid).unwrap().clone();
        assert_eq!((&stat["frames"], &stat["errors"]), (&1.into(), &0.into()), "{stat}");
        drop(far);
        desk.viewer.sees("the window is gone", |shown| shown.crop(PLACE) != truth);
    }

    // A window with several samples a pixel has smooth edges, and the program reads them so.
    let mut far = agent.command(&new);
    far.arg("samples");
    let _far = drawn(far);
    let colours = |shown: &Framebuffer| {
        shown.crop(PLACE).pixels().iter().copied().collect::<std::collections::HashSet<_>>().len()
    };
    desk.viewer.sees("three colours on a fourth, and those between", |shown| colours(shown) > 8);
}

#[test]
fn a_program_of_a_system_without_libglvnd_draws_by_the_library_as_its_libgl() {
    let mut desk = Desk::new("320x240");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(built(), folder.path().join("libGL.so.1")).unwrap();
    let mut gears = Command::new("glxgears");
    gears.args(["-geometry", "200x150+40+30"]).stdout(Stdio::null()).env("DISPLAY", &desk.server.display);
    gears.env("VMGL_GL", crate::peers::unix(&desk.door)).env("LD_LIBRARY_PATH", folder.path());
    let gears = Running(gears.spawn().unwrap());
    let place = Rect::new(40, 30, 200, 150);
    desk.viewer
        .sees("gears", |shown| shown.crop(place).pixels().iter().filter(|pixel| **pixel != 0).count() > 4000);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", gears.0.id())).unwrap();
    assert!(!maps.contains("libGLdispatch"), "libglvnd has no part in it");
}

#[test]
fn a_program_that_the_library_is_preloaded_into_draws_by_it_and_nobody_is_asked_for_vendors() {
    let mut desk = Desk::new("320x240");
    let mut gears = Command::new("glxgears");
    gears.args(["-geometry", "200x150+40+30"]).stdout(Stdio::null()).env("DISPLAY", &desk.server.display);
    gears.env("VMGL_GL", crate::peers::unix(&desk.door)).env("LD_PRELOAD", built());
    gears.env_remove("__GLX_VENDOR_LIBRARY_NAME");
    let _gears = Running(gears.spawn().unwrap());
    let place = Rect::new(40, 30, 200, 150);
    desk.viewer
        .sees("gears", |shown| shown.crop(place).pixels().iter().filter(|pixel| **pixel != 0).count() > 4000);
}

/// What a program says that asks for its state, until it says that it is done; it stays.
fn asked(mut command: Command, what: &str) -> (Running, Vec<String>) {
    let mut running = Running(command.arg(what).stdout(Stdio::piped()).spawn().unwrap());
    let lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.take_while(|line| line != "asked").collect();
    (running, said)
}

/// The numbers of a line, and what stands before them.
fn numbers(line: &str) -> (&str, Vec<f64>) {
    let (what, numbers) = line.split_once(": ").unwrap_or((line, ""));
    (what, numbers.split(' ').filter_map(|number| number.parse().ok()).collect())
}

/// Runs a program that asks, here and at a desk: both are told the same. What the one at the desk has waited for, and how many
/// answers each got.
fn asks_alike(what: &str) -> (serde_json::Map<String, serde_json::Value>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path(), "asks", &["-l:libGL.so.1", "-l:libX11.so.6"]);
    let screen = Xvfb::start("320x240");
    let desk = Desk::new("320x240");
    let mut local = Command::new(&program);
    local.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    let (_alone, truth) = asked(local, what);
    let (far, said) = asked(travelling(&desk, &program), what);
    assert_eq!(said.len(), truth.len());
    let mut when = "";
    for (here, there) in said.iter().zip(&truth) {
        let ((name, is), (wanted, should)) = (numbers(here), numbers(there));
        when = if is.is_empty() { name } else { when };
        let is_same = is.iter().zip(&should).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs().max(1.0));
        assert!(name == wanted && is.len() == should.len() && is_same, "{when}: {here} instead of {there}");
    }
    let stat = eventually("its picture is counted, and what it waited for", || {
        let stat = desk.stat();
        let programs = stat["programs"].as_array()?;
        let its = programs.iter().find(|it| it["pid"] == far.0.id() && it["frames"] == 1)?;
        Some(its.clone())
    });
    (stat["waits"].as_object().unwrap().clone(), truth.len())
}

#[test]
fn lights_and_materials_are_answered_as_the_renderer_would_without_asking_it() {
    let (waits, answers) = asks_alike("lights");
    assert!(answers > 300, "{answers}");
    let of_these = |name: &String| name.starts_with("glGetLight") || name.starts_with("glGetMaterial");
    assert!(!waits.keys().any(of_these), "{waits:?}");
}

#[test]
fn levels_of_textures_are_answered_as_the_renderer_would_without_asking_it() {
    let (waits, answers) = asks_alike("levels");
    assert!(answers > 1000, "{answers}");
    assert!(!waits.keys().any(|name| name.starts_with("glGetTexLevel")), "{waits:?}");
}

#[test]
fn what_a_driver_chooses_of_a_level_is_asked_of_the_renderer_and_counted() {
    let (waits, answers) = asks_alike("chosen");
    assert!(answers > 400, "{answers}");
    assert!(waits.contains_key("glGetTexLevelParameteriv"), "{waits:?}");
}
