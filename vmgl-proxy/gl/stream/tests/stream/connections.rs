//! No bytes of a connection's make what reads them panic or take memory without bound; and what is put into frames arrives,
//! however the connection cuts and breaks.

use vmgl_gl_stream::{
    Assembler, Block, Caps, ClientHello, Command, Commands, Control, Data, Event, Incoming, Outgoing, Outs,
    Reflection, ServerHello, Shelved, Uniform, Variable, Verdict, limits, put_out,
};

use crate::programs;

/// Reads a payload as both sides do.
fn heard(payload: &[u8], assembler: &mut Assembler) {
    let mut commands = Commands::new(payload);
    while let Ok(Some(event)) = Event::next(&mut commands) {
        if let Event::Reply { data, .. } = event {
            assert!(Outs::new(data).map(<[u8]>::len).sum::<usize>() <= data.len());
            let _read = Reflection::decode(data).is_ok();
        }
    }
    let mut commands = Commands::new(payload);
    while let Ok(Some(_)) = assembler.next(&mut commands) {}
}

/// What a renderer says: its hello, and answers.
fn renderer(packed: bool) -> Vec<u8> {
    let mut caps = Caps::default();
    caps.strings.insert(0x1f00, "somebody".to_owned());
    caps.integers.insert(0x0d33, vec![16384]);
    caps.floats.insert(0x846d, vec![1.0, 255.0]);
    caps.extensions.push("GL_ARB_multitexture".to_owned());
    let mut bytes = ServerHello { spec: 7, verdict: Verdict::Welcome, next: 1, caps: Some(caps) }.encode();
    let (mut payload, mut data, mut told) = (Vec::new(), Vec::new(), Vec::new());
    put_out(&mut data, &[7; 40]);
    put_out(&mut data, b"last");
    let variable = Variable { name: "position".to_owned(), kind: 0x8b52, size: 1, location: 0 };
    let uniform =
        Uniform { name: "lights[0]".to_owned(), kind: 0x8b52, locations: vec![4, 5], ..Uniform::default() };
    let block = Block { name: "Matrices".to_owned(), uniforms: vec![1, 2], ..Block::default() };
    Reflection {
        linked: true,
        log: "a warning".to_owned(),
        attributes: vec![variable.clone()],
        uniforms: vec![uniform],
        blocks: vec![block],
        varyings: vec![variable],
    }
    .encode(&mut told);
    Event::put_reply(&mut payload, 1, 3, &data);
    Event::put_reply(&mut payload, 2, 0, &told);
    for event in [
        Event::Swapped { drawable: 1, serial: 2, micros: 1 << 40, held: 1 << 33 },
        Event::Pong { serial: 9 },
        Event::GlError { context: 1, error: 0x502, opcode: 300, count: 2 },
        Event::Lost { what: 2 },
        Event::Leave { away: 0, to: b"unix:/run/gl" },
    ] {
        event.encode(&mut payload);
    }
    Outgoing::new(packed).unwrap().push(payload, 3, &mut bytes).unwrap();
    Outgoing::acknowledge(4, &mut bytes);
    bytes
}

/// A program that keeps a long array at the desk, and takes it from there.
fn shelf() -> Vec<u8> {
    let hello = ClientHello { spec: 7, stream: [3; 16], next: 1, last: 0, pid: 42, name: "a".to_owned() };
    let (mut bytes, mut payload) = (hello.encode(), Vec::new());
    let array = vec![5; limits::ARRAY + 4];
    let size = i64::try_from(array.len()).unwrap();
    let whole = Command::BufferData { target: 0x8892, size, data: Data::Memory(&array), usage: 0x88e4 };
    let mut shelved = Shelved::new();
    for _ in 0..2 {
        let start = payload.len();
        whole.encode(&mut payload);
        shelved.spare(&mut payload, start);
    }
    Command::Control(Control::Clear { place: 0 }).encode(&mut payload);
    Outgoing::new(true).unwrap().push(payload, 0, &mut bytes).unwrap();
    bytes
}

fn seeds() -> Vec<Vec<u8>> {
    [programs::lines(), vec![renderer(false), renderer(true), shelf()]].concat()
}

wandisk_fuzz::target!(what_a_connection_brings, 5_000, seeds(), |bytes: &[u8]| {
    let programs = ClientHello::parse(bytes).ok().flatten().map(|(hello, length)| {
        assert!(hello.name.len() <= 3 * limits::NAME);
        length
    });
    let renderers = ServerHello::parse(bytes).ok().flatten().map(|(_, length)| length);
    let bytes = &bytes[programs.or(renderers).unwrap_or(0)..];
    let (mut incoming, mut assembler) = (Incoming::new().unwrap(), Assembler::new());
    for piece in bytes.chunks(11 + bytes.len() % 1009) {
        incoming.feed(piece);
        loop {
            match incoming.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.payload.len() <= limits::FRAME);
                    assert_eq!(frame.seq, incoming.taken());
                    heard(&frame.payload, &mut assembler);
                }
                Ok(None) => break,
                // The connection is of no more use.
                Err(_) => return,
            }
        }
    }
});

fn receive(incoming: &mut Incoming, bytes: &[u8], piece: usize, all: &mut Vec<u8>) {
    for piece in bytes.chunks(piece) {
        incoming.feed(piece);
        while let Some(frame) = incoming.next_frame().unwrap() {
            all.extend_from_slice(&frame.payload);
        }
    }
}

/// Of so many frames one is cut, for as long as there were few: a new connection takes memory of its own.
const EACH: usize = 8;

/// What programs sent, with words ahead that say how it goes over.
fn sent() -> Vec<Vec<u8>> {
    const WAYS: [[u8; 4]; 4] = [[0, 10, 3, 100], [1, 200, 40, 30], [7, 0, 9, 255], [2, 90, 1, 0]];
    let payloads = programs::payloads();
    let both = payloads.iter().zip(WAYS.iter().cycle());
    both.map(|(payload, way)| [way.as_slice(), payload.as_slice()].concat()).collect()
}

wandisk_fuzz::target!(what_is_sent_arrives_however_it_goes_over, 500, sent(), |bytes: &[u8]| {
    let Some((&[how, piece, each, cut], bytes)) = bytes.split_first_chunk::<4>() else { return };
    let [packed, packed_again, acknowledges] = [1, 2, 4].map(|bit| how & bit != 0);
    let piece = 1 + 16 * usize::from(piece);
    let (mut outgoing, mut incoming) = (Outgoing::new(packed).unwrap(), Incoming::new().unwrap());
    let (mut line, mut all) = (Vec::new(), Vec::new());
    for (number, payload) in (0_usize..).zip(bytes.chunks(64 + 64 * usize::from(each))) {
        outgoing.push(payload.to_vec(), 0, &mut line).unwrap();
        if number < 3 * EACH && number % EACH == usize::from(cut) % EACH {
            // The connection breaks in the middle of what is on its way, and another one goes on.
            let arrives = line.len() * usize::from(cut) / 255;
            receive(&mut incoming, &line[..arrives], piece, &mut all);
            if acknowledges {
                outgoing.acked(incoming.taken());
            }
            incoming.resume().unwrap();
            line.clear();
            outgoing.resume(incoming.taken() + 1, packed_again, 0, &mut line).unwrap();
        }
    }
    receive(&mut incoming, &line, piece, &mut all);
    assert!(all == bytes, "{} of {} bytes arrived", all.len(), bytes.len());
    assert_eq!(incoming.taken(), outgoing.last());
});
