//! A program's pictures are seen where its window is seen, and nowhere else; whatever becomes of its renderer, the rest goes on.

use std::process::{Command as Process, Stdio};

use serde_json::json;
use vmgl_gl_stream::{Command, Control, Data, Verdict};
use x11rb::protocol::shape::{ConnectionExt as _, SK, SO};
use x11rb::protocol::xproto::{ClipOrdering, ConfigureWindowAux, ConnectionExt, Rectangle};

use crate::desk::{Desk, pixel};
use crate::peers::{Running, eventually};
use crate::program::{Client, Program};

const GEARS: u64 = 0x1122_3344_5566_7788;
const RED: u32 = 0xff_0000;
const BLUE: u32 = 0x00_00ff;
const GREY: u32 = 0x80_8080;

#[test]
fn pictures_are_where_the_window_is_under_what_covers_it_and_go_with_it() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    client.window((0, 0, 320, 240), GREY);
    let window = client.window((40, 30, 100, 80), 0);
    client.belongs(window, GEARS);
    let mut program = Program::open(&desk.door, GEARS, window, (100, 80));
    assert!(program.paint(RED));
    let of_renderer = |file| std::fs::read_to_string(format!("/proc/{}/{file}", desk.renderer())).unwrap();
    let confined = of_renderer("status");
    assert!(confined.contains("Seccomp:\t2") && confined.contains("NoNewPrivs:\t1"), "{confined}");
    let limits = of_renderer("limits");
    let words =
        |name: &str| limits.lines().find_map(|line| line.strip_prefix(name)).unwrap().split_whitespace();
    for (name, most) in [("Max core file size", 0), ("Max open files", 512), ("Max data size", 4 << 30)] {
        assert_eq!(words(name).nth(1).unwrap().parse::<u64>().unwrap(), most, "{limits}");
    }
    // It has tried itself what it must not be able to do.
    assert_eq!(desk.program()["unconfined"], json!([]));
    desk.sees("the picture", &[((40, 30), RED), ((139, 109), RED), ((39, 30), GREY), ((140, 109), GREY)]);

    // Another window over its corner, which X draws.
    let over = client.window((100, 80, 100, 80), BLUE);
    desk.sees("what covers it", &[((100, 80), BLUE), ((99, 80), RED), ((139, 79), RED)]);
    client.raise(window);
    desk.sees("it on top again", &[((100, 80), RED), ((140, 80), BLUE)]);
    client.raise(over);

    client.configure(window, &ConfigureWindowAux::new().x(10).y(100));
    desk.sees("it elsewhere", &[((40, 30), GREY), ((10, 100), RED), ((109, 100), BLUE), ((99, 179), RED)]);

    // X drew nothing of it: where it has no picture the window is black.
    client.configure(window, &ConfigureWindowAux::new().width(120).height(90));
    desk.sees("it larger and not drawn yet", &[((10, 100), RED), ((10, 185), 0)]);
    program.say(&[Command::Control(Control::ResizeDrawable { drawable: 1, width: 120, height: 90 })]);
    assert!(program.paint(BLUE));
    desk.sees("it larger", &[((10, 100), BLUE), ((10, 185), BLUE)]);

    client.x.unmap_window(window).unwrap();
    client.sync();
    desk.sees("it away", &[((10, 100), GREY), ((10, 185), GREY)]);
    let stat = desk.stat();
    assert_eq!(
        (&stat["programs"][0]["frames"], &stat["programs"][0]["blocking"]),
        (&2.into(), &0.into()),
        "{stat}"
    );
}

#[test]
fn pictures_are_seen_where_their_window_may_be_drawn_in() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    client.window((0, 0, 320, 240), GREY);
    let window = client.window((40, 30, 100, 80), BLUE);
    client.belongs(window, GEARS);
    let mut program = Program::open(&desk.door, GEARS, window, (100, 80));
    assert!(program.paint(RED));
    desk.sees("the picture", &[((40, 30), RED), ((139, 109), RED)]);
    let set = |kind: SK, width: u16, height: u16| {
        let whole = Rectangle { x: 0, y: 0, width, height };
        let unsorted = ClipOrdering::UNSORTED;
        client.x.shape_rectangles(SO::SET, kind, unsorted, window, 0, 0, &[whole]).unwrap();
        client.sync();
    };
    set(SK::CLIP, 50, 80);
    desk.viewer.sees("its left half", |shown| {
        pixel(shown, 40, 30) == RED && pixel(shown, 89, 109) == RED && pixel(shown, 90, 30) != RED
    });
    set(SK::BOUNDING, 100, 40);
    desk.sees(
        "the upper half of that",
        &[((40, 30), RED), ((89, 69), RED), ((40, 70), GREY), ((90, 70), GREY)],
    );
    client.x.shape_mask(SO::SET, SK::CLIP, window, 0, 0, x11rb::NONE).unwrap();
    client.sync();
    desk.sees("all of the upper half", &[((40, 30), RED), ((139, 69), RED), ((139, 70), GREY)]);
}

#[test]
fn a_compositing_manager_is_told_and_hides_no_pictures() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    client.window((0, 0, 320, 240), GREY);
    let window = client.window((40, 30, 100, 80), 0);
    client.belongs(window, GEARS);
    let mut program = Program::open(&desk.door, GEARS, window, (100, 80));
    let told = |desk: &Desk, wanted: bool| {
        eventually("whether there is one", || (desk.stat()["composited"] == wanted).then_some(()));
    };
    // The first announces itself to nobody, the second paints on the server's own window above all others.
    for words in [&["xcompmgr"][..], &["picom", "--backend", "xrender", "--config", "/dev/null"]] {
        told(&desk, false);
        assert!(program.paint(RED));
        desk.sees("the picture", &[((40, 30), RED), ((139, 109), RED)]);
        let mut manager = Process::new(words[0]);
        manager.args(&words[1..]).env("DISPLAY", &desk.server.display).stdout(Stdio::null());
        let manager = Running(manager.stderr(Stdio::null()).spawn().expect("it is installed by xtask setup"));
        told(&desk, true);
        assert!(program.paint(RED ^ BLUE));
        desk.sees(words[0], &[((40, 30), RED ^ BLUE), ((139, 109), RED ^ BLUE), ((140, 109), GREY)]);
        let over = client.window((100, 80, 100, 80), BLUE);
        desk.sees("what covers it", &[((100, 80), BLUE), ((99, 80), RED ^ BLUE), ((139, 79), RED ^ BLUE)]);
        client.x.destroy_window(over).unwrap();
        client.sync();
        desk.sees("it whole", &[((40, 30), RED ^ BLUE), ((139, 109), RED ^ BLUE)]);
        drop(manager);
    }
    told(&desk, false);
}

#[test]
fn each_swap_that_is_seen_is_an_update_for_the_sensors() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    let window = client.window((0, 0, 96, 64), 0);
    client.belongs(window, GEARS);
    let mut program = Program::open(&desk.door, GEARS, window, (96, 64));
    for colour in 1..=20 {
        assert!(program.paint(colour));
    }
    // The same picture again is nothing new to see.
    assert!(program.paint(20));
    desk.sees("the last picture", &[((95, 63), 20)]);
    eventually("20 updates", || (desk.updates(96 * 64) == 20).then_some(()));
}

#[test]
fn a_program_is_shown_in_its_own_window_only() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    client.window((0, 0, 320, 240), GREY);
    let windows = [client.window((0, 0, 50, 50), 0), client.window((100, 0, 50, 50), 0)];
    client.belongs(windows[0], 1);
    client.belongs(windows[1], 2);
    // The second claims the first's window.
    let mut thief = Program::open(&desk.door, 2, windows[0], (50, 50));
    let mut owner = Program::open(&desk.door, 1, windows[0], (50, 50));
    assert!(thief.paint(BLUE));
    assert!(owner.paint(RED));
    desk.sees("the owner's picture", &[((10, 10), RED), ((110, 10), 0)]);
    assert_eq!(desk.stat()["programs"].as_array().unwrap().len(), 2);
    assert!(thief.paint(BLUE));
    let stat = desk.stat();
    assert_eq!((&stat["windows"], &stat["windows_shown"]), (&2.into(), &1.into()), "{stat}");
    desk.sees("the owner's picture still", &[((10, 10), RED)]);
}

#[test]
fn what_two_programs_call_the_same_are_two_objects() {
    const TEXTURE: u32 = 0x0DE1;
    const BUFFER: u32 = 0x8892;
    let desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    let mut programs = [1, 2].map(|id| {
        let window = client.window((0, 0, 50, 50), 0);
        Program::open(&desk.door, id, window, (50, 50))
    });
    // The first has all of them, and the second only some.
    let mine: [&[(u32, [u8; 4])]; 2] =
        [&[(5, [255, 0, 0, 255]), (6, [1, 2, 3, 4])], &[(5, [0, 0, 255, 255])]];
    for (program, mine) in programs.iter_mut().zip(mine) {
        for (name, bytes) in mine {
            program.say(&[
                Command::BindTexture { target: TEXTURE, texture: *name },
                Command::TexImage2D {
                    target: TEXTURE,
                    level: 0,
                    internalformat: 0x8058,
                    width: 1,
                    height: 1,
                    border: 0,
                    format: 0x1908,
                    type_: 0x1401,
                    pixels: Data::Memory(bytes),
                },
                Command::BindBuffer { target: BUFFER, buffer: *name },
                Command::BufferData { target: BUFFER, size: 4, data: Data::Memory(bytes), usage: 0x88E4 },
            ]);
        }
    }
    for (program, mine) in programs.iter_mut().zip(mine) {
        for (name, reply) in [(5, 10), (6, 20), (7, 30)] {
            program.say(&[
                Command::BindTexture { target: TEXTURE, texture: name },
                Command::BindBuffer { target: BUFFER, buffer: name },
            ]);
            let wanted = mine.iter().find(|(is, _)| *is == name).map(|(_, bytes)| *bytes);
            let number = |bytes: Vec<u8>| i32::from_le_bytes(bytes.try_into().unwrap());
            let (target, pname) = (TEXTURE, 0x1000);
            let width = Command::GetTexLevelParameteriv { reply, target, level: 0, pname, params_cap: 4 };
            assert_eq!(number(program.asks(reply, &width)), i32::from(wanted.is_some()), "{name}");
            let Some(bytes) = wanted else { continue };
            let (format, type_, reply) = (0x1908, 0x1401, reply + 1);
            let pixels =
                Command::GetTexImage { reply, target, level: 0, format, type_, pixels_cap: 4, offset: 0 };
            assert_eq!(program.asks(reply, &pixels), bytes, "texture {name}");
            let (target, reply) = (BUFFER, reply + 1);
            let data = Command::GetBufferSubData { reply, target, offset: 0, size: 4, data_cap: 4 };
            assert_eq!(program.asks(reply, &data), bytes, "buffer {name}");
        }
    }
}

#[test]
fn a_renderer_that_is_killed_under_load_ends_its_pictures_and_nothing_else() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    client.window((0, 0, 320, 240), GREY);
    let window = client.window((0, 0, 64, 64), BLUE);
    client.belongs(window, GEARS);
    let mut program = Program::open(&desk.door, GEARS, window, (64, 64));
    assert!(program.paint(RED));
    desk.sees("the picture", &[((5, 5), RED)]);
    let renderer = desk.renderer();
    let killed =
        std::thread::spawn(move || Process::new("kill").args(["-KILL", &renderer]).status().unwrap());
    while program.paint(RED) {}
    assert!(killed.join().unwrap().success());
    desk.sees("what X drew below", &[((5, 5), BLUE)]);

    // The same program comes again, and is told that nothing of it is known.
    let mut hello = vmgl_gl_stream::ClientHello {
        spec: vmgl_gl_stream::SPEC,
        stream: crate::program::stream_of(GEARS),
        next: 1,
        last: 12,
        pid: 1,
        name: "test".to_owned(),
    };
    assert_eq!(Program::with(&desk.door, &hello).hello.verdict, Verdict::Unknown);
    hello.spec ^= 1;
    assert_eq!(Program::with(&desk.door, &hello).hello.verdict, Verdict::OtherSpec);
    let mut again = Program::open(&desk.door, GEARS, window, (64, 64));
    assert!(again.paint(RED));
    desk.sees("a picture again", &[((5, 5), RED)]);
}

#[test]
fn nonsense_in_a_stream_costs_the_program_its_renderer_and_nobody_else_anything() {
    let mut desk = Desk::new("320x240");
    let client = Client::new(&desk.server.display);
    let window = client.window((0, 0, 64, 64), 0);
    client.belongs(window, GEARS);
    let mut good = Program::open(&desk.door, GEARS, window, (64, 64));

    // Names, enums and memory that make no sense are errors of OpenGL's.
    let mut odd = Program::open(&desk.door, 2, 1, (8, 8));
    odd.say(&[
        Command::UseProgram { program: 77 },
        Command::Enable { cap: 0xffff_ffff },
        Command::Control(Control::MakeCurrent { context: 9, draw: 9, read: 9 }),
        Command::Control(Control::Swap { drawable: 9, serial: 1, interval: 0 }),
        Command::Control(Control::Ping { serial: 1 }),
    ]);
    assert!(odd.hears("Pong"));
    assert!(odd.hears("error: 1282"), "{:?}", odd.heard);
    assert!(odd.paint(RED), "it goes on");
    // What it says to have waited for is told by its name, and what is no command is not.
    let opcode = Command::CheckFramebufferStatus { reply: 0, target: 0 }.opcode();
    for opcode in [0xffff_ffff, 3, opcode.into(), opcode.into()] {
        odd.say(&[Command::Control(Control::Waited { opcode, micros: 2500 })]);
    }
    let waits = json!({ "glCheckFramebufferStatus": { "times": 2, "milliseconds": 5 } });
    eventually("what was waited for", || {
        let stat = desk.stat();
        stat["programs"].as_array()?.iter().any(|it| it["waits"] == waits).then_some(())
    });
    // Who asks what makes no sense waits for an answer all the same.
    odd.say(&[
        Command::GetUniformiv { reply: 5, program: 77, location: 0, params_cap: 4 },
        Command::Control(Control::Reflect { program: 77, reply: 6 }),
    ]);
    assert!(odd.hears("Reply { reply: 5,") && odd.hears("Reply { reply: 6,"));

    odd.say_bytes(&[0xff; 64]);
    odd.ends();
    assert!(good.paint(RED));
    desk.sees("the other's picture", &[((5, 5), RED)]);
}
