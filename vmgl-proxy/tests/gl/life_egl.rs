//! What a program lives through that draws by EGL: the same as one of GLX's ([`crate::life`]), with OpenGL ES 1 and 3 (textures
//! whose room is made at once, transform feedback) and with selections.

use std::path::{Path, PathBuf};
use std::process::Command;

use vmgl_rfb::Framebuffer;

use crate::desk::Desk;
use crate::life::{Live, PLACE, SIZE, alone_with, cut, kill, same};
use crate::peers::eventually;
use crate::relay::Relay;
use crate::unmodified::{build, travelling};

fn draw_egl(dir: &Path) -> PathBuf {
    build(dir, "draw_egl", &["-l:libEGL.so.1", "-l:libX11.so.6"])
}

fn alone(program: &Path, how: &str) -> Vec<Framebuffer> {
    let mut local = Command::new(program);
    local.arg("live");
    alone_with(local, how, &[1, 2, 3])
}

#[test]
fn by_egl_too_a_program_whose_renderer_is_killed_draws_on_as_if_nothing_had_been() {
    let dir = tempfile::tempdir().unwrap();
    let program = draw_egl(dir.path());
    let mut desk = Desk::new(SIZE);
    for how in ["es1", "es3", "select"] {
        let truth = alone(&program, how);
        assert!(truth[0] != truth[1] && truth[1] != truth[2], "{how} draws others");
        let mut command = travelling(&desk, &program);
        command.arg("live");
        let mut far = Live::start(command, how, dir.path());
        for (picture, truth) in (1..).zip(&truth) {
            far.draw(picture);
            desk.viewer.sees(&format!("{how} {picture}"), |shown| same(&shown.crop(PLACE), truth));
            kill(&desk.renderer());
            far.tells("restored in");
            std::fs::write(&far.log, "").unwrap();
        }
        drop(far);
        eventually("its end is known", || desk.program().is_null().then_some(()));
    }
}

#[test]
fn by_egl_too_a_program_whose_desk_is_away_is_drawn_in_software_until_the_desk_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let program = draw_egl(dir.path());
    let truth = alone(&program, "es3");
    let mut desk = Desk::new(SIZE);
    let relay = Relay::to(&desk.door);
    let mut command = travelling(&desk, &program);
    command.arg("live").env("VMGL_GL", &relay.address).env("VMGL_GL_PATIENCE", "1");
    command.env("VMGL_PROXY", env!("CARGO_BIN_EXE_vmgl-proxy"));
    let mut far = Live::start(command, "es3", dir.path());
    far.draw(1);
    desk.viewer.sees("the first picture", |shown| same(&shown.crop(PLACE), &truth[0]));
    relay.shut(true);
    far.tells("restored in");
    assert!(far.log().contains("OpenGL is drawn in software here"), "{}", far.log());
    far.draw(2);
    eventually("it in the agent's own screen", || same(&cut(&desk.server.truth()), &truth[1]).then_some(()));
    desk.viewer.sees("it by VNC, too", |shown| same(&shown.crop(PLACE), &truth[1]));
    relay.shut(false);
    eventually("it is restored there", || (far.log().matches("restored in").count() == 2).then_some(()));
    far.draw(3);
    desk.viewer.sees("the desk's picture", |shown| same(&shown.crop(PLACE), &truth[2]));
}
