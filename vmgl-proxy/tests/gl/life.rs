//! What a program lives through: its line to the desk breaks, its renderer is killed, hangs or is replaced, no renderer is there.
//! It goes on, and what it draws next is what it would have drawn without any of that.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use vmgl_rfb::{Framebuffer, Rect};

use crate::desk::Desk;
use crate::peers::{Running, Xvfb, eventually};
use crate::program::Client;
use crate::relay::Relay;
use crate::unmodified::travelling;

pub(crate) const PLACE: Rect = Rect { x: 10, y: 20, w: 300, h: 200 };
pub(crate) const SIZE: &str = "320x240";

/// `live.c`, which draws what it is told.
pub(crate) struct Live {
    running: Running,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    pub(crate) log: PathBuf,
}

impl Live {
    pub(crate) fn start(mut command: Command, how: &str, dir: &Path) -> Self {
        let log = dir.join(format!("log-{how}"));
        command.arg(how).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { running: Running(child), to, from, log }
    }

    pub(crate) fn draw(&mut self, picture: u32) {
        writeln!(self.to, "{picture}").unwrap();
        let mut said = String::new();
        self.from.read_line(&mut said).unwrap();
        let ended = self.running.0.try_wait();
        assert_eq!(said, format!("drawn {picture}\n"), "{ended:?} {}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Waits until the library has told this.
    pub(crate) fn tells(&self, what: &str) {
        eventually(what, || self.log().contains(what).then_some(()));
    }
}

/// It, built.
pub(crate) fn build(dir: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gl/live.c");
    let program = dir.join("live");
    let mut cc = Command::new("cc");
    cc.arg("-O1").arg("-o").arg(&program).arg(source).args(["-l:libGL.so.1", "-l:libX11.so.6", "-lm"]);
    assert!(cc.status().unwrap().success());
    program
}

pub(crate) fn cut(pixels: &[u32]) -> Framebuffer {
    let mut shown = Framebuffer::new(320, 240).unwrap();
    shown.pixels_mut().copy_from_slice(pixels);
    shown.crop(PLACE)
}

/// These pictures as the program's own machine draws them, one after the other.
pub(crate) fn alone(program: &Path, how: &str, pictures: &[u32]) -> Vec<Framebuffer> {
    alone_with(Command::new(program), how, pictures)
}

/// Of a program that is told more than how.
pub(crate) fn alone_with(mut local: Command, how: &str, pictures: &[u32]) -> Vec<Framebuffer> {
    let dir = tempfile::tempdir().unwrap();
    let screen = Xvfb::start(SIZE);
    local.env("DISPLAY", &screen.display).env("LIBGL_ALWAYS_SOFTWARE", "1");
    let mut local = Live::start(local, how, dir.path());
    let shown = |picture: &u32| {
        local.draw(*picture);
        cut(&screen.truth())
    };
    let shown: Vec<_> = pictures.iter().map(shown).collect();
    for picture in &shown {
        assert!(picture.pixels().iter().any(|pixel| *pixel != picture.pixels()[0]), "{how} draws something");
    }
    shown
}

/// Whether two pictures are the same. Matrices that were computed there are given to the next renderer as they were
/// computed here: what comes of that may differ by a step of a colour, and at an edge by a pixel.
pub(crate) fn same(shown: &Framebuffer, truth: &Framebuffer) -> bool {
    let steps =
        |a: u32, b: u32| (0..3).map(|part| (a >> (part * 8) & 0xff).abs_diff(b >> (part * 8) & 0xff)).max();
    let both = || shown.pixels().iter().zip(truth.pixels());
    let far = both().filter(|(a, b)| steps(**a, **b).is_some_and(|steps| steps > 2)).count();
    far <= truth.pixels().len() / 1000
}

pub(crate) fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
}

#[test]
fn a_program_whose_renderer_is_killed_draws_its_next_picture_as_if_nothing_had_been() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let mut desk = Desk::new(SIZE);
    for how in ["fixed", "shaders", "core", "compatible", "apart"] {
        let truth = alone(&program, how, &[1, 2, 3]);
        assert!(truth[0] != truth[1] && truth[1] != truth[2], "{how} draws others");
        let mut far = Live::start(travelling(&desk, &program), how, dir.path());
        for (picture, truth) in (1..).zip(&truth) {
            far.draw(picture);
            desk.viewer.sees(&format!("{how} {picture}"), |shown| same(&shown.crop(PLACE), truth));
            kill(&desk.renderer());
            // Of the others, what was drawn into textures only their renderers had.
            far.tells(if matches!(how, "shaders" | "core") { "restored in" } else { "lost: nothing" });
            std::fs::write(&far.log, "").unwrap();
        }
        drop(far);
        eventually("its end is known", || desk.program().is_null().then_some(()));
    }
}

#[test]
fn gears_turn_on_however_often_their_renderer_is_killed() {
    let mut desk = Desk::new(SIZE);
    let mut gears = travelling(&desk, Path::new("glxgears"));
    gears.args(["-geometry", "200x150+40+30"]).stdout(Stdio::null());
    let mut gears = Running(gears.spawn().unwrap());
    let place = Rect::new(40, 30, 200, 150);
    for _ in 0..3 {
        let before = eventually("pictures", || {
            let stat = desk.program();
            (stat["frames"].as_u64()? > 20).then_some(stat)
        });
        assert_eq!(before["errors"], 0, "{before}");
        kill(&before["renderer_pid"].to_string());
        eventually("another renderer", || {
            let now = desk.program();
            (now["renderer_pid"].is_u64() && now["renderer_pid"] != before["renderer_pid"]).then_some(())
        });
        assert!(gears.0.try_wait().unwrap().is_none(), "it goes on");
    }
    // Red, green and blue, lit as they were.
    let lit = |shown: &Framebuffer| {
        let inside = shown.crop(place);
        let has = |wanted: fn(u32, u32, u32) -> bool| {
            let is = |pixel: &&u32| wanted(*pixel >> 16 & 0xff, *pixel >> 8 & 0xff, *pixel & 0xff);
            inside.pixels().iter().filter(is).count() > 200
        };
        has(|r, g, b| r > 2 * g && r > 2 * b && r > 60)
            && has(|r, g, b| g > 2 * r && g > b && g > 60)
            && has(|r, g, b| b > 2 * g && b > 2 * r && b > 60)
    };
    desk.viewer.sees("gears", lit);
}

#[test]
fn a_line_that_breaks_anywhere_loses_no_command_and_repeats_none() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let mut desk = Desk::new(SIZE);
    let last = 24;
    for how in ["fixed", "shaders"] {
        let pictures: Vec<u32> = (1..=last).collect();
        let truth = alone(&program, how, &pictures);
        let relay = Relay::to(&desk.door);
        let mut command = travelling(&desk, &program);
        command.env("VMGL_GL", &relay.address);
        let mut far = Live::start(command, how, dir.path());
        let mut renderer = None;
        for picture in pictures {
            far.draw(picture);
            renderer.get_or_insert_with(|| desk.renderer());
            // A program that is not held by its pace would be through before the line is there again.
            eventually("the pictures before", || {
                (desk.program()["frames"].as_u64()? + 2 >= u64::from(picture)).then_some(())
            });
            if relay.breaks() < 8 && relay.is_whole() {
                relay.break_after(rng.usize(1..400));
            }
        }
        relay.break_after(usize::MAX);
        desk.viewer.sees(how, |shown| shown.crop(PLACE) == truth[truth.len() - 1]);
        // One that was drawn before looks like the last.
        let stat = eventually("all pictures", || Some(desk.program()).filter(|it| it["frames"] == last));
        assert!(relay.breaks() >= 4, "{}", relay.breaks());
        let wanted = (last.into(), 0.into(), renderer.unwrap());
        let is = (stat["frames"].clone(), stat["errors"].clone(), stat["renderer_pid"].to_string());
        assert_eq!(is, wanted, "seed {seed} {how} {stat} {}", far.log());
        drop(far);
        eventually("its end is known", || desk.program().is_null().then_some(()));
    }
}

#[test]
fn without_a_renderer_from_the_start_a_program_draws_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let truth = alone(&program, "fixed", &[1]);
    let desk = Desk::new(SIZE);
    let mut command = travelling(&desk, &program);
    command.env("VMGL_GL", crate::peers::unix(&dir.path().join("nobody")));
    command.env("LIBGL_ALWAYS_SOFTWARE", "1");
    let mut here = Live::start(command, "fixed", dir.path());
    here.draw(1);
    assert!(here.log().contains("OpenGL is drawn in software here"), "{}", here.log());
    eventually("it in the agent's own screen", || (cut(&desk.server.truth()) == truth[0]).then_some(()));
}

#[test]
fn a_program_whose_desk_is_away_is_drawn_in_software_until_the_desk_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let truth = alone(&program, "shaders", &[1, 2, 3]);
    let mut desk = Desk::with(SIZE, &["--gl-limit", "8"]);
    let relay = Relay::to(&desk.door);
    let mut command = travelling(&desk, &program);
    command.env("VMGL_GL", &relay.address).env("VMGL_GL_PATIENCE", "1");
    command.env("VMGL_PROXY", env!("CARGO_BIN_EXE_vmgl-proxy"));
    let mut far = Live::start(command, "shaders", dir.path());
    far.draw(1);
    desk.viewer.sees("the first picture", |shown| shown.crop(PLACE) == truth[0]);
    relay.shut(true);
    far.tells("restored in");
    assert!(far.log().contains("OpenGL is drawn in software here"), "{}", far.log());
    far.draw(2);
    eventually("it in the agent's own screen", || (cut(&desk.server.truth()) == truth[1]).then_some(()));
    desk.viewer.sees("it by VNC, too", |shown| shown.crop(PLACE) == truth[1]);
    relay.shut(false);
    far.tells("is back");
    eventually("it is restored there", || (far.log().matches("restored in").count() == 2).then_some(()));
    far.draw(3);
    desk.viewer.sees("the desk's picture", |shown| shown.crop(PLACE) == truth[2]);
    assert!(cut(&desk.server.truth()) == truth[1], "the last one is below");
}

#[test]
fn a_shader_that_does_not_end_costs_a_program_its_renderer_and_then_the_desk() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let truth = alone(&program, "endless", &[1, 3]);
    let mut desk = Desk::with(SIZE, &["--gl-limit", "8"]);
    let mut command = travelling(&desk, &program);
    command.env("VMGL_PROXY", env!("CARGO_BIN_EXE_vmgl-proxy"));
    let mut far = Live::start(command, "endless", dir.path());
    far.draw(1);
    desk.viewer.sees("the first picture", |shown| shown.crop(PLACE) == truth[0]);
    far.draw(2);
    far.tells("restored in");
    far.draw(2);
    far.tells("OpenGL is drawn in software here");
    eventually("it is restored here", || (far.log().matches("restored in").count() == 2).then_some(()));
    far.draw(3);
    eventually("it in the agent's own screen", || (cut(&desk.server.truth()) == truth[1]).then_some(()));
    assert_eq!(desk.stat()["renderers_ended"], 2);
}

#[test]
fn before_renderers_are_replaced_what_only_they_have_is_brought_home() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let truth = alone(&program, "kept", &[2, 3, 4]);
    let mut desk = Desk::new(SIZE);
    let mut far = Live::start(travelling(&desk, &program), "kept", dir.path());
    far.draw(2);
    desk.viewer.sees("the first picture", |shown| shown.crop(PLACE) == truth[0]);
    let before = desk.renderer();
    desk.renew();
    far.tells("restored in");
    far.draw(3);
    desk.viewer
        .sees("what was drawn into a texture and a renderbuffer", |shown| shown.crop(PLACE) == truth[1]);
    eventually("another renderer", || (desk.renderer() != before).then_some(()));
    assert!(far.log().contains("lost: nothing"), "{}", far.log());

    // Without notice it is lost, and named.
    kill(&desk.renderer());
    eventually("it is named", || far.log().contains("what was drawn into textures").then_some(()));
    far.draw(4);
}

#[test]
fn textures_that_are_given_anew_with_each_picture_travel_once_to_each_renderer() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let truth = alone(&program, "again", &[1, 2, 3, 4]);
    let mut desk = Desk::new(SIZE);
    let relay = Relay::to(&desk.door);
    let mut command = travelling(&desk, &program);
    command.env("VMGL_GL", &relay.address);
    let mut far = Live::start(command, "again", dir.path());
    let picture = |desk: &mut Desk, far: &mut Live, number: u32| {
        far.draw(number);
        let truth = &truth[usize::try_from(number).unwrap() - 1];
        desk.viewer.sees(&format!("picture {number}"), |shown| same(&shown.crop(PLACE), truth));
        let counted = |program: serde_json::Value| {
            (program["frames"].as_u64()? > 0).then_some(())?;
            program["packed_bytes"].as_u64()
        };
        eventually("bytes are counted", || counted(desk.program()))
    };
    let first = picture(&mut desk, &mut far, 1);
    assert!(first > 8 << 20, "{first}");
    let second = picture(&mut desk, &mut far, 2) - first;
    assert!(second < 64 << 10, "{second}");
    kill(&desk.renderer());
    far.tells("restored in");
    // The next one has none of them.
    let third = picture(&mut desk, &mut far, 3);
    let fourth = picture(&mut desk, &mut far, 4) - third;
    assert!(third > 7 << 20 && fourth < 64 << 10, "{third} {fourth}");
}

#[test]
fn a_window_that_becomes_larger_and_smaller_is_drawn_in_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let pictures = [1, 2, 3, 1];
    let truth = alone(&program, "resized", &pictures);
    let mut desk = Desk::new(SIZE);
    let mut far = Live::start(travelling(&desk, &program), "resized", dir.path());
    for (picture, truth) in pictures.into_iter().zip(&truth) {
        // The first may begin before the library has heard from X of the new size.
        far.draw(picture);
        far.draw(picture);
        desk.viewer.sees(&format!("picture {picture}"), |shown| shown.crop(PLACE) == *truth);
    }
}

#[test]
fn a_function_that_is_not_there_is_named_once_in_the_programs_log() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let desk = Desk::new(SIZE);
    let mut far = Live::start(travelling(&desk, &program), "absent", dir.path());
    far.draw(1);
    far.draw(2);
    assert_eq!(
        far.log().matches("glDispatchCompute is not there; the program calls it").count(),
        1,
        "{}",
        far.log()
    );
}

#[test]
fn after_a_loss_a_program_is_asked_to_draw_its_window_anew() {
    let dir = tempfile::tempdir().unwrap();
    let program = build(dir.path());
    let desk = Desk::new(SIZE);
    let mut far = Live::start(travelling(&desk, &program), "fixed", dir.path());
    far.draw(1);
    let client = Client::new(&desk.server.display);
    let window = client.of_a_program();
    client.hears_exposures(window);
    kill(&desk.renderer());
    far.tells("restored in");
    eventually("the window is exposed", || client.is_exposed(window).then_some(()));
}
