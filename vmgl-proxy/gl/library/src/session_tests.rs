//! The library against a renderer that draws nothing: it notes what comes and answers what it must.
//!
//! The process has one state, so these tests need a process each, as `cargo nextest` gives them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use vmgl_gl_stream::{
    Assembler, Caps, ClientHello, Command, Commands, Control, Event, Incoming, Outgoing, Reflection, SPEC,
    ServerHello, Uniform, Verdict, put_out, waited_name,
};

use crate::core::{begin, enter, with_program};
use crate::glx::config::{Config, Visual, of_screen};
use crate::glx::context::Wishes;
use crate::link::{Link, Place};
use crate::{core, entries};

const PATIENCE: Duration = Duration::from_secs(30);
/// A mask that is an error: of the first context's, and another one of the second's.
const FAILS: u32 = 0xbad;

/// What the renderer has seen.
#[derive(Default)]
struct Seen {
    commands: Mutex<Vec<String>>,
    /// The numbers of the commands that the program says to have waited for.
    waited: Mutex<Vec<u32>>,
    changed: Condvar,
}

impl Seen {
    /// Waits until the last command is this one; all of them.
    fn until(&self, last: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut commands = self.commands.lock().unwrap();
        while commands.last().is_none_or(|command| !command.contains(last)) {
            assert!(Instant::now() < deadline, "{last} did not come: {commands:?}");
            commands = self.changed.wait_timeout(commands, Duration::from_millis(100)).unwrap().0;
        }
        commands.clone()
    }

    fn note(&self, command: &Command<'_>) {
        match *command {
            Command::Control(Control::Waited { opcode, .. }) => self.waited.lock().unwrap().push(opcode),
            ref command => self.commands.lock().unwrap().push(format!("{command:?}")),
        }
    }
}

/// Serves connections of one stream; each of the first ends after so many frames.
fn renderer(listener: &UnixListener, seen: &Seen, breaks: &[u64]) {
    let (mut incoming, mut outgoing) = (Incoming::new().unwrap(), Outgoing::new(false).unwrap());
    let mut assembler = Assembler::new();
    for (connection, socket) in (0..).zip(listener.incoming()) {
        let mut socket: UnixStream = socket.unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        let (hello, length) = loop {
            let count = socket.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..count]);
            if let Some(hello) = ClientHello::parse(&bytes).unwrap() {
                break hello;
            }
        };
        let caps = (connection == 0).then(|| {
            let mut caps = Caps::default();
            caps.strings.insert(0x1f02, "4.5 (Compatibility Profile) Test".to_owned());
            caps.integers.insert(0x0d33, vec![8192]);
            caps
        });
        let next = incoming.taken() + 1;
        let answer = ServerHello { spec: SPEC, verdict: Verdict::Welcome, next, caps };
        socket.write_all(&answer.encode()).unwrap();
        if connection > 0 {
            incoming.resume().unwrap();
            let mut again = Vec::new();
            outgoing.resume(hello.next, false, incoming.taken(), &mut again).unwrap();
            socket.write_all(&again).unwrap();
        }
        incoming.feed(&bytes[length..]);
        let ends = breaks.get(connection).map_or(u64::MAX, |frames| incoming.taken() + frames);
        while incoming.taken() < ends
            && serve(&mut socket, &mut incoming, &mut outgoing, &mut assembler, seen)
        {}
    }
}

/// One round of reading; whether the connection goes on.
fn serve(
    socket: &mut UnixStream,
    incoming: &mut Incoming,
    outgoing: &mut Outgoing,
    assembler: &mut Assembler,
    seen: &Seen,
) -> bool {
    let mut out = Vec::new();
    if let Some(frame) = incoming.next_frame().unwrap() {
        let (mut commands, mut events) = (Commands::new(&frame.payload), Vec::new());
        while let Some(command) = assembler.next(&mut commands).unwrap() {
            answer(&command, &mut events);
            seen.note(&command);
        }
        seen.changed.notify_all();
        if events.is_empty() {
            Outgoing::acknowledge(incoming.taken(), &mut out);
        } else {
            outgoing.push(events, incoming.taken(), &mut out).unwrap();
        }
        return socket.write_all(&out).is_ok();
    }
    let mut piece = [0; 4096];
    match socket.read(&mut piece) {
        Ok(count) if count > 0 => incoming.feed(&piece[..count]),
        _ => return false,
    }
    true
}

fn answer(command: &Command<'_>, events: &mut Vec<u8>) {
    match *command {
        Command::Control(Control::Swap { drawable, serial, .. }) => {
            Event::Swapped { drawable, serial, micros: 0, held: 0 }.encode(events);
        }
        Command::StencilMask { mask: FAILS } => {
            for (context, error) in [(2, 0x0502), (1, 0x0500)] {
                Event::GlError { context, error, opcode: 0, count: 1 }.encode(events);
            }
        }
        Command::Control(Control::ShaderStatus { reply, .. }) => Event::put_reply(events, reply, 1, b"fine"),
        Command::Control(Control::Reflect { reply, .. }) => {
            let view = Uniform { name: "view".to_owned(), locations: vec![3], ..Uniform::default() };
            let mut data = Vec::new();
            Reflection { linked: true, uniforms: vec![view], ..Reflection::default() }.encode(&mut data);
            Event::put_reply(events, reply, 1, &data);
        }
        Command::Control(Control::Ping { serial }) => Event::Pong { serial }.encode(events),
        Command::GetQueryObjectuiv { reply, id, pname, .. } => {
            // Those with even names never end.
            let value = if pname == 0x8867 { id % 2 } else { 7 };
            put(events, reply, &value.to_le_bytes());
        }
        Command::GetQueryObjectui64v { reply, id, .. } => {
            put(events, reply, &(5_000_000_000 + u64::from(id)).to_le_bytes());
        }
        Command::GetQueryObjectiv { reply, .. } => put(events, reply, &[0; 4]),
        Command::CheckFramebufferStatus { reply, .. } => Event::put_reply(events, reply, 0x8cd5, &[]),
        _ => {}
    }
}

fn put(events: &mut Vec<u8>, reply: u32, out: &[u8]) {
    let mut data = Vec::new();
    put_out(&mut data, out);
    Event::put_reply(events, reply, 0, &data);
}

/// A program with a current context, and the renderer it talks to.
fn session(breaks: &'static [u64]) -> (Arc<Seen>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gl.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Seen::default());
    let sees = Arc::clone(&seen);
    std::thread::spawn(move || renderer(&listener, &sees, breaks));
    begun(path);
    (seen, folder)
}

/// A current context of a program whose renderer is there.
fn begun(path: std::path::PathBuf) {
    let (link, caps) = Link::open(Place::Unix(path), "test".to_owned()).unwrap();
    begin(link, caps);
    let configs: &'static [Config] =
        Box::leak(of_screen(0, &[Visual { id: 1, depth: 24 }], 0).into_boxed_slice());
    with_program(|program| {
        let context = program.create(&configs[0], std::ptr::null_mut(), Wishes::default());
        assert!(program.make_current(std::ptr::null_mut(), 0, 0, context));
    });
}

fn function(name: &str) -> *const () {
    entries::find(name).unwrap_or_else(|| panic!("{name} is not in the table"))
}

/// Calls a function of OpenGL's by its name.
macro_rules! gl {
    ($name:literal ($($argument:expr => $type:ty),*) $(-> $ret:ty)?) => {
        // SAFETY: the function of that name has these arguments.
        unsafe {
            std::mem::transmute::<*const (), unsafe extern "C" fn($($type),*) $(-> $ret)?>(function($name))(
                $($argument),*
            )
        }
    };
}

mod errors;
mod pictures;
mod queries;

fn flush() {
    gl!("glFlush"());
}

fn waits() -> u64 {
    with_program(|program| program.wire.waits)
}

#[test]
fn what_the_shadow_knows_is_answered_without_waiting() {
    let (seen, _folder) = session(&[]);
    let mut names = [0_u32; 2];
    gl!("glGenTextures"(2 => i32, names.as_mut_ptr() => *mut u32));
    assert_eq!(names, [1, 2]);
    gl!("glBindTexture"(0x0de1 => u32, 2 => u32));
    let mut value = -1;
    for (name, wanted) in [(0x8069, 2), (0x0d33, 8192), (0x0b46, 0x0901)] {
        gl!("glGetIntegerv"(name => u32, &raw mut value => *mut i32));
        assert_eq!(value, wanted, "{name:#x}");
    }
    assert_eq!(gl!("glIsTexture"(2 => u32) -> u8), 1);
    gl!("glTexImage2D"(
        0x0de1 => u32, 0 => i32, 0x8058 => i32, 3 => i32, 2 => i32, 0 => i32, 0x1908 => u32, 0x1401 => u32,
        std::ptr::null() => *const c_void
    ));
    gl!("glGetTexLevelParameteriv"(0x0de1 => u32, 0 => i32, 0x1000 => u32, &raw mut value => *mut i32));
    assert_eq!(value, 3, "its width");
    let mut bits = 0.0_f32;
    gl!("glGetTexLevelParameterfv"(0x0de1 => u32, 0 => i32, 0x805c => u32, &raw mut bits => *mut f32));
    assert!((bits - 8.0).abs() < f32::EPSILON, "of red");
    gl!("glGetLightiv"(0x4000 => u32, 0x1206 => u32, &raw mut value => *mut i32));
    assert_eq!(value, 180, "a light for all sides");
    gl!("glGetMaterialiv"(0x0404 => u32, 0x1600 => u32, [0_i32; 4].as_mut_ptr() => *mut i32));
    assert_eq!(gl!("glGetError"() -> u32), 0);
    gl!("glFinish"());
    let commands = seen.until("TexImage2D");
    assert!(
        commands.iter().any(|it| it.starts_with("GenTextures { n: 2, textures: [1, 0, 0, 0, 2,")),
        "{commands:?}"
    );
    assert_eq!(waits(), 0);
}

#[test]
fn arrays_in_the_programs_memory_go_with_the_drawing() {
    let (seen, _folder) = session(&[]);
    // Three numbers of four each: the fourth is not the vertex's.
    let vertices: Vec<f32> = (0_u8..40).map(f32::from).collect();
    gl!("glEnableClientState"(0x8074 => u32));
    gl!("glVertexPointer"(3 => i32, 0x1406 => u32, 16 => i32, vertices.as_ptr().cast() => *const c_void));
    let indices = [7_u16, 8, 9];
    gl!("glDrawElements"(4 => u32, 3 => i32, 0x1403 => u32, indices.as_ptr().cast() => *const c_void));
    flush();
    let commands = seen.until("DrawElements");
    let sent: Vec<u8> =
        [28.0_f32, 29.0, 30.0, 32.0, 33.0, 34.0, 36.0, 37.0, 38.0].map(f32::to_le_bytes).concat();
    let pointer = format!("VertexPointer {{ size: 3, type_: 5126, stride: 0, pointer: Memory({sent:?}) }}");
    assert!(commands.contains(&pointer), "{commands:?}");
    assert!(commands.last().unwrap().contains("Memory([0, 0, 1, 0, 2, 0])"), "{commands:?}");
}

#[test]
fn pixels_travel_without_the_padding_of_the_programs_rows() {
    let (seen, _folder) = session(&[]);
    let pixels: Vec<u8> = vec![1, 1, 1, 9, 2, 2, 2, 9];
    gl!("glTexImage2D"(
        0x0de1 => u32, 0 => i32, 0x1907 => i32, 1 => i32, 2 => i32, 0 => i32, 0x1907 => u32, 0x1401 => u32,
        pixels.as_ptr().cast() => *const c_void
    ));
    flush();
    let commands = seen.until("TexImage2D");
    assert!(commands.last().unwrap().contains("Memory([1, 1, 1, 2, 2, 2])"), "{commands:?}");
}

#[test]
fn what_is_written_into_a_mapped_buffer_is_sent_when_it_is_unmapped() {
    let (seen, _folder) = session(&[]);
    gl!("glBindBuffer"(0x8892 => u32, 5 => u32));
    gl!("glBufferData"(0x8892 => u32, 4 => isize, std::ptr::null() => *const c_void, 0x88e4 => u32));
    let place = gl!("glMapBuffer"(0x8892 => u32, 0x88b9 => u32) -> *mut u8);
    // SAFETY: the buffer has four bytes.
    unsafe { place.copy_from_nonoverlapping([1, 2, 3, 4].as_ptr(), 4) };
    assert_eq!(gl!("glUnmapBuffer"(0x8892 => u32) -> u8), 1);
    let mut back = [0_u8; 2];
    gl!("glGetBufferSubData"(0x8892 => u32, 1 => isize, 2 => isize, back.as_mut_ptr().cast() => *mut c_void));
    assert_eq!(back, [2, 3]);
    flush();
    assert!(seen.until("BufferSubData").last().unwrap().contains("Memory([1, 2, 3, 4])"));
    assert_eq!(waits(), 0);
}

#[test]
fn a_programs_uniforms_are_asked_for_once() {
    let (_seen, _folder) = session(&[]);
    let shader = gl!("glCreateShader"(0x8b31 => u32) -> u32);
    let text = c"void main() {}";
    gl!("glShaderSource"(shader => u32, 1 => i32, &text.as_ptr() => *const *const i8, std::ptr::null() => *const i32));
    gl!("glCompileShader"(shader => u32));
    let program = gl!("glCreateProgram"() -> u32);
    gl!("glAttachShader"(program => u32, shader => u32));
    gl!("glLinkProgram"(program => u32));
    assert_eq!(waits(), 0);
    let mut status = 0;
    gl!("glGetShaderiv"(shader => u32, 0x8b81 => u32, &raw mut status => *mut i32));
    assert_eq!(status, 1);
    for _ in 0..5 {
        assert_eq!(gl!("glGetUniformLocation"(program => u32, c"view".as_ptr() => *const i8) -> i32), 3);
        assert_eq!(gl!("glGetUniformLocation"(program => u32, c"none".as_ptr() => *const i8) -> i32), -1);
    }
    assert_eq!(waits(), 2, "one of the shader, one of the program");
}

#[test]
fn what_the_program_has_waited_for_is_told_by_its_number() {
    let (seen, _folder) = session(&[]);
    let shader = gl!("glCreateShader"(0x8b31 => u32) -> u32);
    let program = gl!("glCreateProgram"() -> u32);
    gl!("glCompileShader"(shader => u32));
    gl!("glLinkProgram"(program => u32));
    let mut status = 0;
    gl!("glGetShaderiv"(shader => u32, 0x8b81 => u32, &raw mut status => *mut i32));
    gl!("glGetProgramiv"(program => u32, 0x8b82 => u32, &raw mut status => *mut i32));
    gl!("glBindFramebuffer"(0x8d40 => u32, 1 => u32));
    gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32);
    gl!("glStencilMask"(1 => u32));
    flush();
    seen.until("StencilMask { mask: 1 }");
    let names = |opcode: &u32| waited_name(u16::try_from(*opcode).unwrap()).unwrap();
    let waited: Vec<_> = seen.waited.lock().unwrap().iter().map(names).collect();
    assert_eq!(waited, ["glCompileShader", "glLinkProgram", "glCheckFramebufferStatus"]);
}

#[test]
fn a_framebuffers_status_is_asked_again_only_after_a_change() {
    let (_seen, _folder) = session(&[]);
    gl!("glBindFramebuffer"(0x8d40 => u32, 1 => u32));
    for waited in [1, 1] {
        assert_eq!(gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32), 0x8cd5);
        assert_eq!(waits(), waited);
    }
    gl!("glFramebufferTexture2D"(0x8d40 => u32, 0x8ce0 => u32, 0x0de1 => u32, 1 => u32, 0 => i32));
    gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32);
    assert_eq!(waits(), 2);
}

#[test]
fn a_function_that_is_not_there_is_an_error_and_nothing_worse() {
    let (_seen, _folder) = session(&[]);
    gl!("glDispatchCompute"(1 => u32, 1 => u32, 1 => u32));
    assert_eq!(gl!("glGetError"() -> u32), 0x0502);
    assert_eq!(gl!("glRenderMode"(0x1c02 => u32) -> i32), 0);
    assert_eq!(gl!("glGetError"() -> u32), 0x0502);
    assert_eq!(gl!("glGetError"() -> u32), 0);
}

#[test]
fn a_broken_connection_loses_no_command_and_repeats_none() {
    let (seen, _folder) = session(&[3, 1, 4]);
    for n in 0..200_u32 {
        gl!("glStencilMask"(n => u32));
        flush();
    }
    let commands = seen.until("StencilMask { mask: 199 }");
    let masks: Vec<_> = commands.iter().filter(|it| it.starts_with("StencilMask")).collect();
    let wanted: Vec<_> = (0..200).map(|n| format!("StencilMask {{ mask: {n} }}")).collect();
    assert!(masks.iter().copied().eq(wanted.iter()), "{masks:?}");
}

#[test]
fn contexts_of_two_threads_do_not_mix_their_states() {
    let (seen, _folder) = session(&[]);
    gl!("glStencilMask"(1 => u32));
    let other = std::thread::spawn(|| {
        with_program(|program| {
            let config: &'static Config = program.handles.values().next().unwrap().config;
            let context = program.create(config, std::ptr::null_mut(), Wishes::default());
            assert!(program.make_current(std::ptr::null_mut(), 0, 0, context));
        });
        gl!("glStencilMask"(2 => u32));
        let mut mask = 0;
        gl!("glGetIntegerv"(0x0b98 => u32, &raw mut mask => *mut i32));
        mask
    });
    assert_eq!(other.join().unwrap(), 2);
    gl!("glStencilMask"(4 => u32));
    let mut mask = 0;
    gl!("glGetIntegerv"(0x0b98 => u32, &raw mut mask => *mut i32));
    assert_eq!(mask, 4);
    flush();
    // Each call came to its own context.
    let (mut at, mut masks) = (String::new(), BTreeMap::<String, Vec<String>>::new());
    for command in seen.until("StencilMask { mask: 4 }") {
        if command.contains("MakeCurrent") {
            at = command;
        } else if command.starts_with("StencilMask") {
            masks.entry(at.clone()).or_default().push(command);
        }
    }
    let counts: Vec<_> = masks.values().map(Vec::len).collect();
    assert_eq!(counts, [2, 1], "{masks:?}");
}

#[test]
fn without_a_context_calls_do_nothing() {
    assert_eq!(core::current(), 0);
    gl!("glBegin"(7 => u32));
    assert_eq!(gl!("glGetError"() -> u32), 0);
    assert!(gl!("glGetString"(0x1f02 => u32) -> *const u8).is_null());
    let reached: u32 = enter(|_cx| 1);
    assert_eq!(reached, 0);
}

/// Serves one stream that dies with its first question, then another that is new.
fn forgetful(listener: &UnixListener, seen: &Seen) {
    let mut streams = Vec::new();
    for socket in listener.incoming() {
        let mut socket: UnixStream = socket.unwrap();
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        let (hello, length) = loop {
            let count = socket.read(&mut piece).unwrap();
            bytes.extend_from_slice(&piece[..count]);
            if let Some(hello) = ClientHello::parse(&bytes).unwrap() {
                break hello;
            }
        };
        let is_new = hello.last == 0;
        let verdict = if is_new { Verdict::Welcome } else { Verdict::Unknown };
        let answer = ServerHello { spec: SPEC, verdict, next: 1, caps: is_new.then(Caps::default) };
        socket.write_all(&answer.encode()).unwrap();
        if !is_new {
            continue;
        }
        assert!(!streams.contains(&hello.stream), "another stream");
        assert!(streams.iter().all(|it: &[u8; 16]| it[..8] == hello.stream[..8]), "of the same program");
        streams.push(hello.stream);
        let (mut incoming, mut outgoing) = (Incoming::new().unwrap(), Outgoing::new(false).unwrap());
        let mut assembler = Assembler::new();
        incoming.feed(&bytes[length..]);
        if streams.len() > 1 {
            while serve(&mut socket, &mut incoming, &mut outgoing, &mut assembler, seen) {}
            continue;
        }
        let mut asked = false;
        while !asked {
            let count = socket.read(&mut piece).unwrap();
            incoming.feed(&piece[..count]);
            while let Some(frame) = incoming.next_frame().unwrap() {
                let mut commands = Commands::new(&frame.payload);
                while let Some(command) = assembler.next(&mut commands).unwrap() {
                    asked |= matches!(command, Command::CheckFramebufferStatus { .. });
                    seen.note(&command);
                }
            }
        }
    }
}

#[test]
fn a_question_that_a_renderer_takes_along_is_asked_of_the_next_which_is_given_all_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gl.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let seen = Arc::new(Seen::default());
    let sees = Arc::clone(&seen);
    std::thread::spawn(move || forgetful(&listener, &sees));
    begun(path);
    gl!("glStencilMask"(5 => u32));
    gl!("glBindFramebuffer"(0x8d40 => u32, 1 => u32));
    // The first renderer has heard it when it dies, and its answer is cut off.
    assert_eq!(gl!("glCheckFramebufferStatus"(0x8d40 => u32) -> u32), 0x8cd5);
    flush();
    let commands = seen.until("CheckFramebufferStatus");
    let at = |what: &str| commands.iter().rposition(|it| it.contains(what)).unwrap();
    let asked = commands.iter().filter(|it| it.starts_with("CheckFramebufferStatus")).count();
    assert_eq!(asked, 2, "{commands:?}");
    let order = [
        at("Restore { begin: 1 }"),
        at("CreateContext"),
        at("StencilMaskSeparate { face: 1028, mask: 5 }"),
        at("BindFramebuffer { target: 36009, framebuffer: 1 }"),
        at("Restore { begin: 0 }"),
        at("CheckFramebufferStatus"),
    ];
    assert!(order.is_sorted(), "{order:?} {commands:?}");
}
