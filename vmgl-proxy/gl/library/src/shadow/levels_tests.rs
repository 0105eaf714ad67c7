//! What is known of levels, and what is left to the renderer.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use vmgl_gl_stream::{Command, Data};

use super::*;

const RGBA8: i32 = 0x8058;
const RGBA: u32 = 0x1908;
const BYTE: u32 = 0x1401;

/// A context of that profile, and what its renderer can.
struct Asker {
    state: State,
    group: Group,
    caps: Caps,
}

impl Asker {
    fn new(api: u32) -> Self {
        let mut caps = Caps::default();
        caps.strings.insert(0x1f02, "4.5 Test".to_owned());
        for name in [0x0d33, 0x8073, 0x84f8, 0x851c, 0x88ff] {
            caps.integers.insert(name, vec![1024]);
        }
        let state = State::new(Strings::new(&caps, (0, 0)), api, 0);
        Self { state, group: Group::default(), caps }
    }

    fn does(&mut self, command: &Command<'_>) {
        self.state.track(&mut self.group, command);
    }

    fn makes(&mut self, level: i32, internal: i32, [width, height]: [i32; 2], pixels: Data<'_>) {
        self.does(&image(TEXTURE_2D, level, internal, [width, height], (RGBA, BYTE), pixels));
    }

    fn is(&mut self, level: i32, name: u32) -> Option<i32> {
        self.state.get_level(&self.group, &self.caps, (TEXTURE_2D, level), name)
    }
}

fn image(
    target: u32,
    level: i32,
    internalformat: i32,
    [width, height]: [i32; 2],
    (format, type_): (u32, u32),
    pixels: Data<'_>,
) -> Command<'_> {
    Command::TexImage2D { target, level, internalformat, width, height, border: 0, format, type_, pixels }
}

#[test]
fn of_a_format_that_names_its_bits_everything_is_known() {
    let mut it = Asker::new(0);
    it.makes(1, RGBA8, [8, 4], Data::Null);
    let names = [
        WIDTH,
        HEIGHT,
        DEPTH,
        INTERNAL_FORMAT,
        BORDER,
        COMPRESSED,
        RED_SIZE,
        ALPHA_SIZE,
        DEPTH_SIZE,
        SAMPLES,
    ];
    assert_eq!(names.map(|name| it.is(1, name).unwrap()), [8, 4, 1, RGBA8, 0, 0, 8, 8, 0, 0]);
    assert_eq!(it.is(1, RED_TYPE), Some(UNSIGNED_NORMALIZED.cast_signed()));
    // Nobody has made the level below; what its format is drivers say in two ways.
    assert_eq!([WIDTH, RED_SIZE, INTERNAL_FORMAT].map(|name| it.is(0, name)), [Some(0), Some(0), None]);
    for (internal, colours, kind) in
        [(0x8234, [16, 0, 0, 0], UNSIGNED_INT), (0x823b, [32, 32, 0, 0], INT), (0x8239, [16, 16, 0, 0], INT)]
    {
        assert_eq!(bits(internal).unwrap(), (colours, [0, 0], kind), "{internal:#x}");
    }
}

#[test]
fn what_a_driver_chooses_is_asked_there() {
    let mut it = Asker::new(0);
    it.makes(0, RGBA.cast_signed(), [8, 4], Data::Null);
    assert_eq!([WIDTH, RED_SIZE, INTERNAL_FORMAT].map(|name| it.is(0, name)), [Some(8), None, None]);
    it.makes(0, 0x8056, [8, 4], Data::Null);
    assert_eq!([INTERNAL_FORMAT, RED_SIZE].map(|name| it.is(0, name)), [Some(0x8056), None]);
    it.does(&Command::GenerateMipmap { target: TEXTURE_2D });
    assert_eq!((it.is(0, WIDTH), it.is(1, WIDTH)), (Some(8), None));
    // A proxy.
    assert_eq!(it.state.get_level(&it.group, &it.caps, (0x8064, 0), WIDTH), None);
}

/// The internal format, the sizes, the pixels' format and type, and the pixels.
type Upload = (i32, [i32; 2], (u32, u32), Data<'static>);

#[test]
fn what_the_renderer_may_have_refused_is_asked_there() {
    let mut it = Asker::new(0);
    let refused: [Upload; 7] = [
        (RGBA8, [1025, 4], (RGBA, BYTE), Data::Null),
        (RGBA8, [0, 4], (RGBA, BYTE), Data::Null),
        // Colours for depth and for integers, three of them in a type of four.
        (0x81a6, [8, 4], (RGBA, BYTE), Data::Null),
        (0x8d7c, [8, 4], (RGBA, BYTE), Data::Null),
        (RGBA8, [8, 4], (0x1907, 0x8035), Data::Null),
        // A format that nobody knows; a buffer that may be too short.
        (0x1234, [8, 4], (RGBA, BYTE), Data::Null),
        (RGBA8, [8, 4], (RGBA, BYTE), Data::Offset(0)),
    ];
    for (internal, sizes, pixels, data) in refused {
        it.makes(0, RGBA8, [2, 2], Data::Null);
        assert_eq!(it.is(0, WIDTH), Some(2));
        it.does(&image(TEXTURE_2D, 0, internal, sizes, pixels, data));
        assert_eq!(it.is(0, WIDTH), None, "{internal:#x} {sizes:?} {pixels:x?}");
    }
    // A face that is no square, levels that there are not, a name of older profiles, and none of any in OpenGL ES.
    it.does(&image(0x8515, 0, RGBA8, [8, 4], (RGBA, BYTE), Data::Null));
    let face = it.state.get_level(&it.group, &it.caps, (0x8515, 0), WIDTH);
    assert_eq!((face, it.is(-1, WIDTH), it.is(11, WIDTH)), (None, None, None));
    let mut core = Asker::new(1);
    core.makes(0, RGBA8, [8, 4], Data::Null);
    assert_eq!((core.is(0, WIDTH), core.is(0, BORDER)), (Some(8), None));
    core.makes(0, 0x8045, [8, 4], Data::Null);
    assert_eq!(core.is(0, WIDTH), None, "luminance with alpha");
    let mut es = Asker::new(2);
    es.makes(0, RGBA8, [8, 4], Data::Null);
    assert_eq!(es.is(0, WIDTH), None);
    // A renderer that may not have all of these formats.
    it.makes(0, RGBA8, [8, 4], Data::Null);
    it.caps.strings.insert(0x1f02, "3.2 Test".to_owned());
    assert_eq!(it.is(0, WIDTH), None);
}

#[test]
fn levels_that_are_made_at_once_are_known_if_the_lowest_is_in_bounds() {
    let stored = |width| Command::TexStorage2D {
        target: TEXTURE_2D,
        levels: 3,
        internalformat: 0x8058,
        width,
        height: 8,
    };
    let mut it = Asker::new(1);
    it.does(&Command::BindTexture { target: TEXTURE_2D, texture: 7 });
    it.does(&stored(16));
    assert_eq!([WIDTH, HEIGHT, ALPHA_SIZE].map(|name| it.is(2, name)), [Some(4), Some(2), Some(8)]);
    assert_eq!(it.is(3, WIDTH), Some(0));
    // They stay when they are made of the lowest.
    it.does(&Command::GenerateMipmap { target: TEXTURE_2D });
    assert_eq!(it.is(2, WIDTH), Some(4));
    it.does(&Command::BindTexture { target: TEXTURE_2D, texture: 8 });
    it.does(&stored(1026));
    assert_eq!(it.is(2, WIDTH), None);
    // Texture 0 has no such.
    it.does(&Command::BindTexture { target: TEXTURE_2D, texture: 0 });
    it.does(&stored(16));
    assert_eq!(it.is(0, WIDTH), None);
}

#[test]
fn packed_pixels_are_as_many_as_their_blocks_where_the_renderer_has_the_format() {
    let mut it = Asker::new(0);
    let given = |internalformat, data| Command::CompressedTexImage2D {
        target: TEXTURE_2D,
        level: 0,
        internalformat,
        width: 6,
        height: 4,
        border: 0,
        image_size: 32,
        data: Data::Memory(data),
    };
    it.does(&given(0x83f3, &[0; 32]));
    assert_eq!(it.is(0, WIDTH), None, "no such extension");
    it.caps.extensions.push("GL_EXT_texture_compression_s3tc".to_owned());
    let names = [WIDTH, COMPRESSED, COMPRESSED_IMAGE_SIZE, INTERNAL_FORMAT, RED_SIZE];
    assert_eq!(names.map(|name| it.is(0, name)), [Some(6), Some(1), Some(32), Some(0x83f3), None]);
    it.does(&given(0x8dbd, &[0; 16]));
    assert_eq!(it.is(0, WIDTH), None, "half of it");
}

#[test]
fn what_was_drawn_in_a_window_can_be_copied_and_of_other_framebuffers_the_renderer_knows() {
    let copy = Command::CopyTexImage2D {
        target: TEXTURE_2D,
        level: 0,
        internalformat: 0x8058,
        x: 0,
        y: 0,
        width: 8,
        height: 4,
        border: 0,
    };
    let mut it = Asker::new(0);
    it.does(&copy);
    assert_eq!(it.is(0, WIDTH), None, "there is no window");
    it.state.drawable = (1, false);
    it.does(&copy);
    assert_eq!(it.is(0, WIDTH), Some(8));
    it.does(&Command::BindFramebuffer { target: 0x8d40, framebuffer: 3 });
    it.does(&copy);
    assert_eq!(it.is(0, WIDTH), None);
}

#[test]
fn a_texture_of_another_kind_or_that_another_context_deleted_is_not_answered_for() {
    let mut it = Asker::new(0);
    it.does(&Command::BindTexture { target: TEXTURE_3D, texture: 7 });
    it.does(&Command::BindTexture { target: TEXTURE_2D, texture: 7 });
    assert_eq!(it.is(0, WIDTH), None);
    it.does(&Command::BindTexture { target: TEXTURE_2D, texture: 8 });
    assert_eq!(it.is(0, WIDTH), Some(0));
    let mut other = State::new(Strings::new(&it.caps, (0, 0)), 0, 0);
    other.track(&mut it.group, &Command::DeleteTextures { n: 1, textures: &8_u32.to_le_bytes() });
    assert_eq!(it.is(0, WIDTH), None);
}
