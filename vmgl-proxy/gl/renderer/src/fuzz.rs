//! Whatever a program sends, as far as OpenGL: decoded, its names and arrays looked at as for a real one, and given to one that
//! draws nothing and looks, too.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod fake;
mod look;
#[path = "../../stream/tests/stream/programs.rs"]
mod programs;

use vmgl_gl_stream::{Assembler, Command, Commands, Control, Data, opcode_name};

use crate::gl::Gl;
use crate::hands::{Hands, State};
use crate::names::Names;

/// An input that has had so many bytes read and written is at its end.
const SPENT: usize = 32 << 20;
/// Most bytes of an answer: what a program says that it has room for.
const ANSWER: usize = vmgl_gl_stream::limits::ANSWER;

/// A program's two contexts: one of one sample a pixel, one of several. They share their objects.
struct Program {
    gl: Gl,
    names: Names,
    own: [Names; look::CONTEXTS],
    states: [State; look::CONTEXTS],
    current: usize,
}

impl Program {
    fn new() -> Self {
        look::begin();
        let gl = fake::gl();
        let states = [false, true].map(|multisampled| {
            look::make_current(multisampled.into());
            State::new(&gl, false, multisampled)
        });
        look::make_current(0);
        Self { gl, names: Names::default(), own: Default::default(), states, current: 0 }
    }

    fn carry_out(&mut self, command: Command<'_>) {
        if let Command::Control(control) = command {
            if let Control::MakeCurrent { context, .. } = control {
                self.current = context as usize % look::CONTEXTS;
                look::make_current(self.current);
            }
            return;
        }
        let (name, reply) = (opcode_name(command.opcode()), command.reply());
        let bound = look::context(|it| it.bound.clone());
        let (own, state) = (&mut self.own[self.current], &mut self.states[self.current]);
        let done = Hands { gl: &self.gl, names: &mut self.names, own, state }.execute(command);
        assert_eq!(look::wrong(), None, "{name}");
        assert!(look::is_tight(), "{name} leaves gaps in pixels");
        let is_bind = name.starts_with("glBind") || name.starts_with("glDelete");
        assert!(is_bind || look::context(|it| it.bound == bound), "{name} leaves something else bound");
        if let Ok(answer) = done {
            assert_eq!(answer.as_ref().map(|it| it.reply), reply, "{name}");
            for out in answer.iter().flat_map(|it| &it.outs) {
                assert!(out.len() <= ANSWER, "{name}");
                look::spend(out.len());
            }
        }
    }
}

fn is_spent(command: &Command<'_>) -> bool {
    // Each name of a range is looked for.
    if let Command::DeleteLists { range, .. } = command {
        look::spend(usize::try_from(*range).unwrap_or(0).min(crate::names::MOST) * 16);
    }
    look::spent() > SPENT
}

/// What no program of those that are kept does.
fn unusual() -> Vec<u8> {
    let word = |numbers: &[u32]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let (names, other, indices) = (word(&[1, 2]), word(&[3]), word(&[0, 1, 2, 3]));
    let buffer = |target, buffer| Command::BindBuffer { target, buffer };
    let pixels = |reply| Command::ReadPixels {
        reply,
        x: 0,
        y: 0,
        width: 4,
        height: 4,
        format: 0x1908,
        type_: 0x1401,
        pixels_cap: 64,
        offset: 8,
    };
    let elements = |indices| Command::DrawElements { mode: 4, count: 4, type_: 0x1405, indices };
    let point = |pointer| Command::VertexPointer { size: 2, type_: 0x1406, stride: 0, pointer };
    let image = |pixels| Command::TexImage2D {
        target: 0x0de1,
        level: 0,
        internalformat: 0x1908,
        width: 2,
        height: 2,
        border: 0,
        format: 0x1908,
        type_: 0x1401,
        pixels,
    };
    let current = |context| Command::Control(Control::MakeCurrent { context, draw: 1, read: 1 });
    let commands = [
        Command::GenBuffers { n: 2, buffers: &names },
        Command::GenTextures { n: 1, textures: &other },
        Command::PixelStorei { pname: 0x0cf2, param: 7 },
        Command::PushClientAttrib { mask: 1 },
        image(Data::Memory(&indices)),
        point(Data::Memory(&indices)),
        elements(Data::Memory(&indices)),
        buffer(0x8892, 1),
        buffer(0x8893, 1),
        buffer(0x88ec, 2),
        buffer(0x88eb, 2),
        point(Data::Offset(16)),
        elements(Data::Offset(4)),
        image(Data::Offset(4)),
        pixels(1),
        current(1),
        Command::GenFramebuffers { n: 1, framebuffers: &other },
        pixels(2),
        Command::BindFramebuffer { target: 0x8d40, framebuffer: 3 },
        pixels(3),
        current(0),
        Command::PopClientAttrib {},
        Command::DeleteBuffers { n: 2, buffers: &names },
        pixels(4),
        Command::SelectBuffer { size: 16 },
        Command::RenderMode { reply: 5, mode: 0x1c02 },
        Command::SelectBuffer { size: 8 },
        Command::FeedbackBuffer { size: 8, type_: 0x0600 },
        Command::RenderMode { reply: 6, mode: 0x1c01 },
        Command::RenderMode { reply: 7, mode: 0x1c00 },
        Command::GetPixelMapusv { reply: 8, map: 0x0c70, values_cap: 1000 },
        Command::GetTexImage {
            reply: 9,
            target: 0x0de1,
            level: 0,
            format: 0x1907,
            type_: 0x1406,
            pixels_cap: 16,
            offset: 0,
        },
        Command::GetCompressedTexImage { reply: 10, target: 0x0de1, level: 0, img_cap: 200, offset: 0 },
        Command::GenLists { range: 3, list: 7 },
        Command::CallLists { n: 2, type_: 0x1405, lists: &names },
        Command::DeleteLists { list: 8, range: 9 },
        Command::FenceSync { condition: 0x9117, flags: 0, sync: 5 },
        Command::DeleteSync { sync: 5 },
    ];
    let mut bytes = Vec::new();
    commands.iter().for_each(|command| command.encode(&mut bytes));
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    [programs::payloads(), vec![unusual()]].concat()
}

wandisk_fuzz::target!(what_a_program_has_drawn, 1_500, seeds(), |bytes: &[u8]| {
    // In memory of its own, so that a tool sees where it ends.
    let bytes = bytes.to_vec();
    let (mut program, mut assembler) = (Program::new(), Assembler::new());
    let mut commands = Commands::new(&bytes);
    while let Ok(Some(command)) = assembler.next(&mut commands) {
        if is_spent(&command) {
            break;
        }
        program.carry_out(command);
    }
});

/// What the target looks for is there to be found: a real name in place of the program's own, and pixels with gaps.
#[test]
fn a_fake_of_opengl_sees_names_that_it_never_gave_and_gaps() {
    let gl = Program::new().gl;
    let call = gl.BindTexture.unwrap();
    // SAFETY: a call without pointers.
    unsafe { call(0x0de1, 3) };
    assert_eq!(look::wrong(), Some("a name that was never given for its class"));

    let gl = Program::new().gl;
    let (call, store, pixels) = (gl.TexImage2D.unwrap(), gl.PixelStorei.unwrap(), [0_u8; 16]);
    // SAFETY: as many pixels as are said.
    unsafe {
        store(0x0cf2, 7);
        call(0x0de1, 0, 0x1908, 2, 2, 0, 0x1908, 0x1401, pixels.as_ptr());
    }
    assert_eq!(look::wrong(), Some("pixels of the wire are read with gaps"));
}
