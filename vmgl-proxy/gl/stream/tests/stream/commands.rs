//! Every command of the registry comes back from the wire as it was put there, long arrays and all; and no commands of a
//! program's make the decoder panic or take memory without bound.

use std::collections::BTreeSet;

use vmgl_gl_stream::{
    Assembler, COMMANDS, Command, Commands, Control, Data, DecodeError, Shelved, limits, opcode_name, size,
};

use crate::programs;

/// Numbers for a command's arguments.
struct Source<'a> {
    random: fastrand::Rng,
    bytes: &'a [u8],
}

/// Enough of OpenGL's names that every rule of a length finds one it likes.
const ENUMERANTS: &[u32] = &[
    0x0b66, 0x0b62, 0x1200, 0x1202, 0x1204, 0x1205, 0x1600, 0x1601, 0x0b53, 0x0b51, 0x2201, 0x2200, 0x2501,
    0x2500, 0x1004, 0x2801, 0x8e46, 0x8129, 0x8126, 0x8e50, 0x1800, 0x1801, 0x1401, 0x1403, 0x1405, 0x1406,
    0x1907, 0x1908, 0x84f9, 0x84fa, 0x8363, 0x0d97, 0x0db4, 0x0d90, 0x0de1, 0x1a00,
];

impl<'a> Source<'a> {
    fn u32(&mut self) -> u32 {
        self.random.u32(..) >> self.random.u32(..32)
    }

    fn i32(&mut self) -> i32 {
        self.random.i32(-1..9)
    }

    fn f32(&mut self) -> f32 {
        self.random.f32()
    }

    fn f64(&mut self) -> f64 {
        self.random.f64()
    }

    fn i64(&mut self) -> i64 {
        self.random.i64(-1..3000)
    }

    fn u64(&mut self) -> u64 {
        self.random.u64(..)
    }

    fn enumerant(&mut self) -> u32 {
        *self.random.choice(ENUMERANTS).unwrap()
    }

    fn bytes(&mut self, wanted: Option<Option<usize>>) -> Option<&'a [u8]> {
        let length = match wanted {
            Some(wanted) => wanted?,
            None => self.random.usize(..200),
        };
        self.bytes.get(..length)
    }

    fn data(&mut self, wanted: Option<Option<usize>>) -> Option<Data<'a>> {
        Some(match self.random.u8(..3) {
            0 => Data::Null,
            1 => Data::Offset(self.u64()),
            _ => Data::Memory(self.bytes(wanted)?),
        })
    }

    fn capacity(&mut self, wanted: Option<Option<usize>>) -> Option<u32> {
        match wanted {
            Some(wanted) => u32::try_from(wanted?).ok(),
            None => Some(self.random.u32(..1000)),
        }
    }
}

include!(concat!(env!("OUT_DIR"), "/sample.rs"));

fn decoded(bytes: &[u8], mut check: impl FnMut(Command<'_>)) {
    let (mut assembler, mut commands) = (Assembler::new(), Commands::new(bytes));
    while let Some(command) = assembler.next(&mut commands).unwrap() {
        check(command);
    }
}

fn first() -> u16 {
    Command::Accum { op: 0, value: 0.0 }.opcode()
}

#[test]
fn every_command_comes_back_from_the_wire_as_it_was() {
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let pool: Vec<u8> = (0..limits::ARRAY * 2).map(|n| n.to_le_bytes()[0]).collect();
    let mut source = Source { random: fastrand::Rng::with_seed(seed), bytes: &pool };
    let mut unseen: BTreeSet<u16> =
        (0..COMMANDS.len()).map(|n| first() + u16::try_from(n).unwrap()).collect();
    // Strides that leave no gap are found by no chance.
    let points = &pool[..2 * 3 * 4 * 8];
    let (target, uorder, vorder, vstride) = (0x0db0, 2, 3, 4);
    let map = Command::Map2d {
        target,
        u1: 0.0,
        u2: 1.0,
        ustride: 12,
        uorder,
        v1: 0.5,
        v2: 1.5,
        vstride,
        vorder,
        points,
    };
    let points = &points[..2 * 3 * 4 * 4];
    let map_of_floats = Command::Map2f {
        target,
        u1: 0.0,
        u2: 1.0,
        ustride: 12,
        uorder,
        v1: 0.5,
        v2: 1.5,
        vstride,
        vorder,
        points,
    };
    for command in [map, map_of_floats] {
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        decoded(&bytes, |back| assert_eq!(back, command));
        unseen.remove(&command.opcode());
    }
    for _ in 0..2000 {
        for &opcode in &unseen.clone() {
            let Some(command) = sample(opcode, &mut source) else { continue };
            unseen.remove(&opcode);
            assert_eq!(command.opcode(), opcode);
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            assert_eq!(bytes.len() % 4, 0);
            let mut seen = 0;
            decoded(&bytes, |back| {
                assert_eq!(back, command);
                seen += 1;
            });
            assert_eq!(seen, 1, "{}", opcode_name(opcode));
        }
        if unseen.is_empty() {
            return;
        }
    }
    let names: Vec<_> = unseen.into_iter().map(opcode_name).collect();
    panic!("no arguments were found for {names:?}");
}

#[test]
fn an_array_that_is_too_long_for_a_command_goes_ahead_in_parts() {
    let pixels: Vec<u8> = (0..512 * 512 * 4_u32).map(|n| n.to_le_bytes()[1]).collect();
    let image = Command::TexImage2D {
        target: 0x0de1,
        level: 0,
        internalformat: 0x8058,
        width: 512,
        height: 512,
        border: 0,
        format: 0x1908,
        type_: 0x1401,
        pixels: Data::Memory(&pixels),
    };
    let small = Command::Begin { mode: 7 };
    let mut bytes = Vec::new();
    for command in [image, small, image] {
        command.encode(&mut bytes);
    }
    let mut seen = Vec::new();
    decoded(&bytes, |command| seen.push(command == image || command == small));
    assert_eq!(seen, [true; 3]);
}

#[test]
fn two_arrays_of_one_command_that_are_both_too_long_go_ahead_one_after_the_other() {
    let n = u32::try_from(limits::ARRAY / 4 + 1).unwrap();
    let textures: Vec<u8> = (0..n).flat_map(u32::to_le_bytes).collect();
    let priorities: Vec<u8> = (0..n).flat_map(|n| (n as f32).to_le_bytes()).collect();
    let n = n.cast_signed();
    let command = Command::PrioritizeTextures { n, textures: &textures, priorities: &priorities };
    let mut bytes = Vec::new();
    command.encode(&mut bytes);
    decoded(&bytes, |back| assert!(back == command));
}

#[test]
fn parts_that_no_array_takes_are_refused() {
    let mut bytes = Vec::new();
    Command::Control(Control::Part { data: &[7; 8] }).encode(&mut bytes);
    Command::Begin { mode: 7 }.encode(&mut bytes);
    let error = Assembler::new().next(&mut Commands::new(&bytes)).unwrap_err();
    assert_eq!(error, DecodeError::Long(8));
}

#[test]
fn an_array_of_another_length_than_its_arguments_ask_for_is_refused() {
    let wrong = Command::Fogfv { pname: 0x0b66, params: &[0; 12] };
    let mut bytes = Vec::new();
    wrong.encode(&mut bytes);
    let error = Assembler::new().next(&mut Commands::new(&bytes)).unwrap_err();
    assert_eq!(error, DecodeError::Length { command: "glFogfv", is: 12, wanted: Some(16) });
}

#[test]
fn parts_without_an_end_are_bounded() {
    let data = vec![0; limits::PART];
    let mut bytes = Vec::new();
    for _ in 0..64 {
        Command::Control(Control::Part { data: &data }).encode(&mut bytes);
    }
    let mut assembler = Assembler::new();
    let rounds = limits::PENDING / (64 * limits::PART);
    for _ in 0..rounds {
        assert_eq!(assembler.next(&mut Commands::new(&bytes)).unwrap(), None);
    }
    assert_eq!(
        assembler.next(&mut Commands::new(&bytes)).unwrap_err(),
        DecodeError::Limit("an array in parts")
    );
}

fn seeds() -> Vec<Vec<u8>> {
    let pool: Vec<u8> = (0..4096_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut source = Source { random: fastrand::Rng::with_seed(7), bytes: &pool };
    let some = (first()..).take(COMMANDS.len()).step_by(23);
    let mut seeds: Vec<Vec<u8>> = vec![Vec::new()];
    for opcode in some {
        if let Some(command) = (0..50).find_map(|_| sample(opcode, &mut source)) {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            seeds[0].extend_from_slice(&bytes);
            seeds.push(bytes);
        }
    }
    let create =
        Control::CreateDrawable { drawable: 1, kind: 0, window: 5, width: 300, height: 300, config: 1 };
    let mut bytes = Vec::new();
    for control in
        [create, Control::Part { data: &[1; 9] }, Control::Swap { drawable: 1, serial: 2, interval: 1 }]
    {
        Command::Control(control).encode(&mut bytes);
    }
    seeds.push(bytes);
    seeds
}

wandisk_fuzz::target!(
    what_a_program_sends,
    10_000,
    [seeds(), programs::payloads()].concat(),
    |bytes: &[u8]| {
        let (mut assembler, mut commands) = (Assembler::new(), Commands::new(bytes));
        let (mut shelved, mut other) = (Shelved::new(), Assembler::new());
        let (mut once, mut again) = (Vec::new(), Vec::new());
        while let Ok(Some(command)) = assembler.next(&mut commands) {
            once.clear();
            command.encode(&mut once);
            // To somebody else, who keeps what is long.
            let mut sent = once.clone();
            shelved.spare(&mut sent, 0);
            let back = other.next(&mut Commands::new(&sent)).unwrap().unwrap();
            again.clear();
            back.encode(&mut again);
            assert!(
                again == once,
                "{} comes back as {}",
                opcode_name(command.opcode()),
                opcode_name(back.opcode())
            );
        }
    }
);
