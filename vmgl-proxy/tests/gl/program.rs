//! A program of the agent's that says itself what the library says for others: an X window, and commands to a renderer.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use vmgl_gl_stream::{
    ClientHello, Command, Commands, Control, Event as Word, Incoming, Outgoing, Outs, SPEC, ServerHello,
    Verdict,
};
use x11rb::connection::Connection;
use x11rb::protocol::Event;
use x11rb::protocol::xproto::{
    AtomEnum, ChangeWindowAttributesAux, ConfigureWindowAux, ConnectionExt, CreateWindowAux, EventMask,
    PropMode, StackMode, WindowClass,
};
use x11rb::rust_connection::RustConnection;
use x11rb::wrapper::ConnectionExt as _;

use crate::peers::eventually;

/// A client of an X server with windows of its own.
pub(crate) struct Client {
    pub(crate) x: RustConnection,
    root: u32,
}

impl Client {
    pub(crate) fn new(display: &str) -> Self {
        let (x, screen) = x11rb::connect(Some(display)).unwrap();
        let root = x.setup().roots[screen].root;
        Self { x, root }
    }

    /// A window of one colour that no window manager touches, on top of all.
    pub(crate) fn window(&self, (x, y, w, h): (i16, i16, u16, u16), colour: u32) -> u32 {
        let window = self.x.generate_id().unwrap();
        let looks = CreateWindowAux::new().background_pixel(colour).override_redirect(1);
        let class = WindowClass::INPUT_OUTPUT;
        self.x.create_window(24, window, self.root, x, y, w, h, 0, class, 0, &looks).unwrap();
        self.x.map_window(window).unwrap();
        self.sync();
        window
    }

    pub(crate) fn configure(&self, window: u32, how: &ConfigureWindowAux) {
        self.x.configure_window(window, how).unwrap();
        self.sync();
    }

    pub(crate) fn raise(&self, window: u32) {
        self.configure(window, &ConfigureWindowAux::new().stack_mode(StackMode::ABOVE));
    }

    /// Says that the program's pictures belong into the window.
    pub(crate) fn belongs(&self, window: u32, program: u64) {
        let atom = self.x.intern_atom(false, b"_VMGL_STREAM").unwrap().reply().unwrap().atom;
        let halves = [program, program >> 32].map(|half| u32::try_from(half & 0xffff_ffff).unwrap());
        self.x.change_property32(PropMode::REPLACE, window, atom, AtomEnum::CARDINAL, &halves).unwrap();
        self.sync();
    }

    /// A window that is drawn in by a program with the library.
    pub(crate) fn of_a_program(&self) -> u32 {
        let atom = self.x.intern_atom(false, b"_VMGL_STREAM").unwrap().reply().unwrap().atom;
        let all = self.x.query_tree(self.root).unwrap().reply().unwrap().children;
        let is = |window: &u32| {
            let kind = AtomEnum::CARDINAL;
            let said = self.x.get_property(false, *window, atom, kind, 0, 2).unwrap().reply().unwrap();
            said.value_len == 2
        };
        all.into_iter().find(is).expect("a program has a window")
    }

    /// Is told from now on when a window is to be drawn anew.
    pub(crate) fn hears_exposures(&self, window: u32) {
        let looks = ChangeWindowAttributesAux::new().event_mask(EventMask::EXPOSURE);
        self.x.change_window_attributes(window, &looks).unwrap();
        self.sync();
    }

    /// Whether it was told so.
    pub(crate) fn is_exposed(&self, window: u32) -> bool {
        while let Some(event) = self.x.poll_for_event().unwrap() {
            if matches!(event, Event::Expose(it) if it.window == window) {
                return true;
            }
        }
        false
    }

    pub(crate) fn sync(&self) {
        self.x.get_input_focus().unwrap().reply().unwrap();
    }
}

/// A connection to a renderer.
pub(crate) struct Program {
    stream: UnixStream,
    outgoing: Outgoing,
    incoming: Incoming,
    pub(crate) hello: ServerHello,
    /// Answers, errors and all else that the renderer said, as it is shown for debugging.
    pub(crate) heard: Vec<String>,
    /// What answers wrote, by the question's number.
    answers: HashMap<u32, Vec<u8>>,
    serial: u32,
}

/// The id of a program's stream.
pub(crate) fn stream_of(program: u64) -> [u8; 16] {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&program.to_le_bytes());
    id
}

impl Program {
    pub(crate) fn connect(door: &Path, program: u64) -> Self {
        Self::with(
            door,
            &ClientHello {
                spec: SPEC,
                stream: stream_of(program),
                next: 1,
                last: 0,
                pid: std::process::id(),
                name: "test".to_owned(),
            },
        )
    }

    pub(crate) fn with(door: &Path, hello: &ClientHello) -> Self {
        let mut stream = UnixStream::connect(door).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(&hello.encode()).unwrap();
        let mut bytes = Vec::new();
        let (hello, length) = loop {
            if let Some(done) = ServerHello::parse(&bytes).unwrap() {
                break done;
            }
            let mut piece = [0; 4096];
            let got = stream.read(&mut piece).unwrap();
            assert!(got > 0, "hung up");
            bytes.extend_from_slice(&piece[..got]);
        };
        let mut incoming = Incoming::new().unwrap();
        incoming.feed(&bytes[length..]);
        let outgoing = Outgoing::new(true).unwrap();
        Self { stream, outgoing, incoming, hello, heard: Vec::new(), answers: HashMap::new(), serial: 0 }
    }

    /// A context and a drawable of that window, both number 1, and current.
    pub(crate) fn open(door: &Path, program: u64, window: u32, (width, height): (u32, u32)) -> Self {
        let mut this = Self::connect(door, program);
        assert_eq!(this.hello.verdict, Verdict::Welcome);
        this.say(&[
            Command::Control(Control::CreateContext {
                context: 1,
                share: 0,
                api: 0,
                major: 0,
                minor: 0,
                flags: 0,
                config: 0,
            }),
            Command::Control(Control::CreateDrawable {
                drawable: 1,
                kind: 0,
                window,
                width,
                height,
                config: 0,
            }),
            Command::Control(Control::MakeCurrent { context: 1, draw: 1, read: 1 }),
        ]);
        this
    }

    pub(crate) fn say(&mut self, commands: &[Command<'_>]) {
        assert!(self.try_say(commands), "the renderer is gone");
    }

    /// Whether they could be sent.
    pub(crate) fn try_say(&mut self, commands: &[Command<'_>]) -> bool {
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        commands.iter().for_each(|command| command.encode(&mut payload));
        self.outgoing.push(payload, self.incoming.taken(), &mut bytes).unwrap();
        self.stream.write_all(&bytes).is_ok()
    }

    /// Sends bytes that are none of the protocol's making.
    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Fills the drawable with a colour, `0xRRGGBB`, and shows it; false when the renderer is gone.
    pub(crate) fn paint(&mut self, colour: u32) -> bool {
        let part = |shift: u32| f32::from(u8::try_from(colour >> shift & 0xff).unwrap()) / 255.0;
        self.serial += 1;
        let serial = self.serial;
        self.try_say(&[
            Command::ClearColor { red: part(16), green: part(8), blue: part(0), alpha: 0.5 },
            Command::Clear { mask: 0x4000 },
            Command::Control(Control::Swap { drawable: 1, serial, interval: 0 }),
        ]) && self.hears(&format!("serial: {serial},"))
    }

    /// Waits for a word with this in it; false when the renderer is gone.
    pub(crate) fn hears(&mut self, what: &str) -> bool {
        loop {
            if let Some(at) = self.heard.iter().position(|word| word.contains(what)) {
                self.heard.drain(..=at);
                return true;
            }
            if !self.read() {
                return false;
            }
        }
    }

    /// Reads once; false when the renderer is gone.
    pub(crate) fn read(&mut self) -> bool {
        let mut piece = vec![0; 64 << 10];
        let got = match self.stream.read(&mut piece) {
            Ok(got) => got,
            Err(late) if late.kind() == ErrorKind::WouldBlock => panic!("the renderer says nothing"),
            Err(_) => 0,
        };
        self.incoming.feed(&piece[..got]);
        while let Some(frame) = self.incoming.next_frame().unwrap() {
            let mut commands = Commands::new(&frame.payload);
            while let Some(event) = Word::next(&mut commands).unwrap() {
                if let Word::Reply { reply, data, .. } = event {
                    self.answers.entry(reply).or_default().extend_from_slice(data);
                }
                self.heard.push(format!("{event:?}"));
            }
        }
        got > 0
    }

    /// The first array of the answer to a question, whose number is a new one.
    pub(crate) fn asks(&mut self, reply: u32, question: &Command<'_>) -> Vec<u8> {
        self.say(std::slice::from_ref(question));
        assert!(self.hears(&format!("Reply {{ reply: {reply},")), "the renderer is gone");
        let data = self.answers.remove(&reply).unwrap();
        Outs::new(&data).next().unwrap_or_default().to_vec()
    }

    /// Waits until the renderer hangs up.
    pub(crate) fn ends(&mut self) {
        eventually("the renderer hangs up", || (!self.read()).then_some(()));
    }
}
