//! Pictures that go off, and how many of them are waited for.

use std::sync::mpsc::channel;

use vmgl_gl_stream::{Command, Control};

use super::{PATIENCE, session};
use crate::core::with_program;
use crate::glx::drawable::Kind;
use crate::glx::entries::set_interval;
use crate::glx::x::Geometry;

/// The window, for X.
const WINDOW_ID: u64 = 7;

#[test]
fn a_picture_that_was_shown_before_its_program_waits_is_not_waited_for() {
    let (_seen, _folder) = session(&[]);
    let (link, drawable) = with_program(|program| {
        let drawable = program.add(WINDOW_ID, Kind::Window, Geometry { width: 8, height: 8 }, None);
        Some((program.wire.link.clone(), drawable))
    })
    .unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for serial in 1..=4 {
            with_program(|program| {
                program.swap(WINDOW_ID);
                program.wire.put(&Command::Control(Control::Ping { serial }));
                program.wire.flush();
            });
            // Answers come in order: by now it was heard that the picture is there.
            assert!(link.pong(serial));
            link.swap(drawable);
        }
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).expect("the program goes on");
}

#[test]
fn an_interval_that_is_told_before_its_window_is_drawn_on_is_kept() {
    let (_seen, _folder) = session(&[]);
    set_interval(Some(WINDOW_ID), 2);
    let interval = with_program(|program| {
        program.add(WINDOW_ID, Kind::Window, Geometry { width: 8, height: 8 }, None);
        program.drawables.get(&WINDOW_ID).map(|it| it.interval)
    });
    assert_eq!(interval, Some(2));
}
