//! A program goes from one desk to another, or from software in the agent to a desk: by plan, with what only its renderer had, or
//! because it finds another desk where the first one was.

use std::process::Command;

use vmgl_rfb::Framebuffer;

use crate::agent::Agent;
use crate::desk::Desk;
use crate::life::{Live, PLACE, SIZE, alone, build, cut, kill, same};
use crate::peers::eventually;
use crate::relay::Relay;
use crate::unmodified::travelling;

const KEPT: &str = "what was drawn into a texture and a renderbuffer";

fn program(dir: &tempfile::TempDir, mut command: Command) -> Live {
    command.env("VMGL_GL_PATIENCE", "120");
    Live::start(command, "kept", dir.path())
}

/// A desk shows this picture of the program's.
fn sees(desk: &mut Desk, what: &str, truth: &Framebuffer) {
    desk.viewer.sees(what, |shown| same(&shown.crop(PLACE), truth));
}

/// No program is there, and what the last one drew is seen no more.
fn is_left(desk: &mut Desk) {
    eventually("nobody draws at the desk", || desk.program().is_null().then_some(()));
    let agents_own = cut(&desk.server.truth());
    desk.viewer.sees("what the agent itself shows", |shown| shown.crop(PLACE) == agents_own);
}

#[test]
fn a_program_that_is_sent_to_another_desk_has_there_what_was_drawn_at_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let live = build(dir.path());
    let truth = alone(&live, "kept", &[2, 3, 4]);
    let mut first = Desk::new(SIZE);
    let mut second = first.another();
    let mut far = program(&dir, travelling(&first, &live));
    far.draw(2);
    sees(&mut first, "the first picture", &truth[0]);
    first.send_to(&second.door);
    far.tells("restored in");
    assert!(far.log().contains("lost: nothing"), "{}", far.log());
    far.draw(3);
    sees(&mut second, KEPT, &truth[1]);
    is_left(&mut first);

    // It stays there, also without a renderer that it knows.
    kill(&second.renderer());
    eventually("another renderer there", || (far.log().matches("restored in").count() == 2).then_some(()));
    far.draw(4);
    eventually("it draws there", || second.program().is_object().then_some(()));

    // And it may be sent back.
    second.send_to(&first.door);
    eventually("it is restored here", || (far.log().matches("restored in").count() == 3).then_some(()));
    far.draw(3);
    eventually("it draws here again", || (first.program()["frames"].as_u64()? > 0).then_some(()));
    is_left(&mut second);
}

#[test]
fn a_program_that_finds_nobody_at_the_other_desk_stays_with_all_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let live = build(dir.path());
    let truth = alone(&live, "kept", &[2, 3]);
    let mut desk = Desk::new(SIZE);
    let mut far = program(&dir, travelling(&desk, &live));
    far.draw(2);
    let renderer = desk.renderer();
    desk.send_to(&dir.path().join("nobody"));
    far.tells("there is no other renderer");
    far.draw(3);
    sees(&mut desk, KEPT, &truth[1]);
    assert_eq!(desk.renderer(), renderer);
}

#[test]
fn a_desk_that_is_left_gives_all_it_has_to_the_one_that_comes_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let live = build(dir.path());
    let truth = alone(&live, "kept", &[2, 3]);
    let mut first = Desk::unwatched(SIZE, &[]);
    let mut second = first.another();
    let relay = Relay::to(&first.door);
    let mut command = travelling(&first, &live);
    command.env("VMGL_GL", &relay.address);
    let mut far = program(&dir, command);
    far.draw(2);
    sees(&mut first, "the first picture", &truth[0]);
    first.leave();
    eventually("its watcher was let go", || (first.stat()["watched"] == false).then_some(()));
    relay.leads_to(&second.door);
    far.tells("restored in");
    assert!(far.log().contains("lost: nothing"), "{}", far.log());
    far.draw(3);
    sees(&mut second, KEPT, &truth[1]);
    is_left(&mut first);
}

#[test]
fn a_program_that_finds_another_desk_where_the_first_was_is_rebuilt_there_and_says_what_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let live = build(dir.path());
    let truth = alone(&live, "shaders", &[1, 2]);
    let mut first = Desk::unwatched(SIZE, &[]);
    let mut second = first.another();
    let relay = Relay::to(&first.door);
    let mut command = travelling(&first, &live);
    command.env("VMGL_GL", &relay.address).env("VMGL_GL_PATIENCE", "120");
    let mut far = Live::start(command, "shaders", dir.path());
    far.draw(1);
    sees(&mut first, "the first picture", &truth[0]);
    relay.leads_to(&second.door);
    far.tells("restored in");
    assert!(far.log().contains("what was drawn into textures"), "{}", far.log());
    far.draw(2);
    sees(&mut second, "the second picture", &truth[1]);
}

#[test]
fn a_program_that_drew_in_software_takes_what_it_drew_along_to_the_desk() {
    let dir = tempfile::tempdir().unwrap();
    let live = build(dir.path());
    let truth = alone(&live, "kept", &[2, 3]);
    let mut desk = Desk::new(SIZE);
    let relay = Relay::to(&desk.door);
    relay.shut(true);
    let mut command = Agent::standing_in(&desk).command(&live);
    command.env("VMGL_GL", &relay.address);
    let mut far = program(&dir, command);
    far.draw(2);
    eventually("it is on the agent's own screen", || {
        same(&cut(&desk.server.truth()), &truth[0]).then_some(())
    });
    relay.shut(false);
    far.tells("restored in");
    assert!(far.log().contains("lost: nothing"), "{}", far.log());
    far.draw(3);
    sees(&mut desk, KEPT, &truth[1]);
}
