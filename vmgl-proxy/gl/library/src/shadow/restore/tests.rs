//! What is given to a new renderer, noted by the shadow of a new context, makes that shadow what the old one is.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::{BTreeMap, HashSet};

use vmgl_gl_stream::{Assembler, Caps, Command, Commands, Data};

use super::{Lost, Sink, context, lists, objects};
use crate::caps::Strings;
use crate::shadow::{Group, State};

impl Sink for Vec<u8> {
    fn put(&mut self, command: &Command<'_>) {
        command.encode(self);
    }

    fn put_bytes(&mut self, commands: &[u8]) {
        self.extend_from_slice(commands);
    }

    fn reply(&mut self) -> u32 {
        1
    }

    fn unheard(&mut self) -> u32 {
        1
    }
}

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 33).unwrap() % most
    }

    fn number(&mut self) -> i32 {
        i32::try_from(self.below(9)).unwrap()
    }

    fn part(&mut self) -> f32 {
        f32::from(u8::try_from(self.below(9)).unwrap()) / 8.0
    }

    fn of(&mut self, all: &[u32]) -> u32 {
        all[usize::try_from(self.below(u32::try_from(all.len()).unwrap())).unwrap()]
    }
}

/// A command of any kind, as bytes: arrays would not live long enough.
fn any(random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let four: Vec<u8> = (0..4).flat_map(|_| random.part().to_le_bytes()).collect();
    let name = |random: &mut Random| random.below(4);
    let command = match random.below(48) {
        0 => Command::Enable { cap: random.of(&[0x0b71, 0x0be2, 0x0b50, 0x4001, 0x0de1, 0x0c60, 0x0d97]) },
        1 => Command::Disable { cap: random.of(&[0x0b71, 0x0be2, 0x0bd0, 0x0de1, 0x0c60, 0x0d97]) },
        2 => Command::BlendFunc { sfactor: random.of(&[1, 0x302]), dfactor: random.of(&[0, 0x303]) },
        3 => Command::Viewport { x: random.number(), y: random.number(), width: 5, height: random.number() },
        4 => Command::ClearColor { red: random.part(), green: random.part(), blue: 0.5, alpha: 1.0 },
        5 => Command::DepthFunc { func: random.of(&[0x201, 0x203]) },
        6 => Command::ColorMask { red: random.below(2), green: 1, blue: random.below(2), alpha: 1 },
        7 => Command::StencilFunc { func: random.of(&[0x200, 0x207]), ref_: random.number(), mask: 7 },
        8 => Command::StencilOpSeparate {
            face: random.of(&[0x404, 0x405, 0x408]),
            sfail: 0,
            dpfail: 1,
            dppass: 2,
        },
        9 => Command::PolygonMode { face: random.of(&[0x404, 0x408]), mode: random.of(&[0x1b01, 0x1b02]) },
        10 => Command::Fogfv { pname: 0x0b66, params: &four },
        11 => Command::LightModelfv { pname: 0x0b53, params: &four },
        12 => Command::Lightfv { light: 0x4000, pname: random.of(&[0x1200, 0x1203]), params: &four },
        13 | 14 => Command::Materialfv {
            face: random.of(&[0x404, 0x405, 0x408]),
            pname: random.of(&[0x1200, 0x1602, 0x1600]),
            params: &four,
        },
        15 => Command::MatrixMode { mode: random.of(&[0x1700, 0x1701, 0x1702]) },
        16 => Command::Translatef { x: random.part(), y: 1.0, z: random.part() },
        17 => Command::Rotatef { angle: random.part() * 90.0, x: 0.0, y: 1.0, z: random.part() },
        18 => Command::PushMatrix,
        19 => Command::PopMatrix,
        20 => Command::LoadIdentity,
        21 | 22 => Command::PushAttrib { mask: random.of(&[0x000f_ffff, 0x40, 0x4000, 0x40000, 0x1]) },
        23 => Command::PopAttrib,
        24 => Command::ActiveTexture { texture: 0x84c0 + random.below(3) },
        25 | 26 => Command::BindTexture { target: 0x0de1, texture: name(random) },
        27 => Command::TexEnvi { target: 0x2300, pname: 0x2200, param: random.number() },
        28 => Command::TexGenfv { coord: 0x2000, pname: random.of(&[0x2501, 0x2502]), params: &four },
        29 => Command::TexParameteri {
            target: 0x0de1,
            pname: random.of(&[0x2800, 0x2801]),
            param: random.number(),
        },
        30 => Command::Color4f { red: random.part(), green: 0.25, blue: random.part(), alpha: 1.0 },
        31 => Command::MultiTexCoord2f { target: 0x84c1, s: random.part(), t: 2.0 },
        32 => Command::VertexAttrib2f { index: 1 + random.below(3), x: random.part(), y: 3.0 },
        33 => Command::BindBuffer { target: random.of(&[0x8892, 0x8893, 0x88ec]), buffer: name(random) },
        34 => Command::BufferData { target: 0x8892, size: 4, data: Data::Memory(&four[..4]), usage: 0x88e4 },
        35 => Command::BindVertexArray { array: name(random) },
        36 => Command::EnableVertexAttribArray { index: random.below(4) },
        37 => Command::VertexAttribDivisor { index: random.below(4), divisor: random.below(3) },
        38 => Command::EnableClientState { array: random.of(&[0x8074, 0x8076, 0x8078]) },
        39 => Command::ClientActiveTexture { texture: 0x84c0 + random.below(3) },
        40 => Command::BindFramebuffer {
            target: random.of(&[0x8d40, 0x8ca8, 0x8ca9]),
            framebuffer: name(random),
        },
        41 => Command::FramebufferTexture2D {
            target: 0x8d40,
            attachment: random.of(&[0x8ce0, 0x821a, 0x8d00]),
            textarget: 0x0de1,
            texture: name(random),
            level: 0,
        },
        42 => Command::PixelStorei { pname: random.of(&[0x0cf5, 0x0d05]), param: 1 << random.below(4) },
        43 => Command::BindSampler { unit: random.below(3), sampler: name(random) },
        44 => {
            Command::SamplerParameteri { sampler: 1 + random.below(3), pname: 0x2801, param: random.number() }
        }
        45 => Command::VertexAttribI4i { index: 1 + random.below(3), x: -random.number(), y: 1, z: 0, w: 2 },
        46 => Command::VertexAttribI2ui { index: 1 + random.below(3), x: u32::MAX - random.below(3), y: 7 },
        _ => Command::ListBase { base: random.below(5) },
    };
    command.encode(&mut out);
    out
}

fn track(state: &mut State, group: &mut Group, bytes: &[u8]) {
    let (mut assembler, mut commands) = (Assembler::new(), Commands::new(bytes));
    while let Some(command) = assembler.next(&mut commands).unwrap() {
        state.track(group, &command);
    }
}

fn begin() -> (State, Group) {
    (State::new(Strings::new(&Caps::default(), (0, 0)), 0, 0), Group::default())
}

/// All that counts, in an order of its own.
fn told(state: &State, group: &Group) -> Vec<String> {
    let arrays: BTreeMap<_, _> = state.array_objects.iter().collect();
    let buffers: BTreeMap<_, _> = group.stored.iter().collect();
    let pieces = state.kept.since(&super::super::kept::Kept::default());
    let mut pieces: Vec<_> =
        pieces.iter().map(|it| format!("{} {:?} {:?}", it.unit, it.matrix, it.bytes)).collect();
    // Those of which none says anything of another come in any order.
    pieces.sort_unstable();
    let framebuffers: BTreeMap<_, _> = state
        .framebuffers
        .iter()
        .filter(|(_, it)| !it.made.is_empty())
        .map(|(name, it)| (name, &it.made))
        .collect();
    let mut told = vec![
        format!("{:?}", state.values),
        format!("{:?}", state.attributes),
        format!("{:?} {:?}", state.modelview, state.projection),
        format!("{:?} {:?}", state.active, state.client_active),
        format!("{:?} {:?}", state.buffers, state.array_object),
        format!("{:?} {:?}", state.draw_framebuffer, state.read_framebuffer),
        format!("{:?} {:?}", state.unpack, state.pack),
        format!("{framebuffers:?}"),
        format!("{buffers:?}"),
        format!("{:?}", group.sampler_parameters),
    ];
    told.extend(state.units.iter().map(|unit| format!("{unit:?}")));
    told.extend(
        arrays
            .iter()
            .filter(|(_, it)| it.elements != 0 || it.all().any(|a| a.enabled || a.divisor != 0))
            .map(|it| format!("{it:?}")),
    );
    told.extend(pieces);
    let parameters = group.kept_textures.iter().filter(|(_, it)| !it.parameters.is_empty());
    told.extend(parameters.map(|(name, it)| format!("{name:?} {:?}", it.parameters)));
    told
}

#[test]
fn a_state_that_is_given_to_another_renderer_is_the_same_there() {
    for seed in 1..400_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (mut state, mut group) = begin();
        for _ in 0..random.below(60) {
            let bytes = any(&mut random);
            track(&mut state, &mut group, &bytes);
        }
        let (mut given, mut lost) = (Vec::new(), Lost::default());
        assert!(objects(&group, &HashSet::new(), &mut given, &mut lost).is_empty());
        lists(&group, &mut given, &mut lost);
        context(&state, &mut given, &mut lost);
        let (mut other, mut others) = begin();
        track(&mut other, &mut others, &given);
        // And so is each state that was pushed before.
        loop {
            let (was, is) = (told(&state, &group), told(&other, &others));
            for (was, is) in was.iter().zip(&is) {
                assert_eq!(was, is, "seed {seed}");
            }
            assert_eq!((was.len(), state.depths()), (is.len(), other.depths()), "seed {seed}");
            if state.depths().0 == 0 {
                break;
            }
            for (state, group) in [(&mut state, &mut group), (&mut other, &mut others)] {
                state.track(group, &Command::PopAttrib);
            }
        }
    }
}
