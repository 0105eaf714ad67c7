//! Viewers of every kind, old ones above all, see what the server shows.

use vmgl_rfb::{ClientMessage, Encoder, Encoding, Framebuffer, PixelFormat, Version, pseudo};

use crate::peers::{Kind, Proxy, Viewer, Xvnc, eventually, is, notes, unix};

const SIZE: &str = "301x203";

const FORMATS: [PixelFormat; 6] = [
    PixelFormat { big_endian: true, ..PixelFormat::XRGB },
    PixelFormat { shift: [8, 16, 24], ..PixelFormat::XRGB },
    PixelFormat { bits_per_pixel: 16, depth: 16, max: [31, 63, 31], shift: [11, 5, 0], ..PixelFormat::XRGB },
    PixelFormat {
        bits_per_pixel: 16,
        depth: 15,
        big_endian: true,
        true_colour: true,
        max: [31; 3],
        shift: [10, 5, 0],
    },
    PixelFormat { bits_per_pixel: 8, depth: 8, max: [7, 7, 3], shift: [0, 3, 6], ..PixelFormat::XRGB },
    PixelFormat {
        bits_per_pixel: 8,
        depth: 8,
        big_endian: false,
        true_colour: false,
        max: [0; 3],
        shift: [0; 3],
    },
];

#[test]
fn every_pixel_format_shows_the_nearest_it_can_say() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), SIZE);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    server.paint(SIZE, "plasma:red-blue");
    let truth = server.truth();
    for format in FORMATS {
        let encoder = Encoder::new(format, None);
        let nearest: Vec<u32> = truth.iter().map(|colour| encoder.seen(*colour)).collect();
        for encoding in Encoding::ALL {
            let kind = Kind::of(encoding).in_format(format);
            let mut viewer = Viewer::of(&proxy.door, kind).unwrap();
            viewer.sees(&format!("{format:?} in {encoding:?}"), |shown| shown.pixels() == nearest);
        }
    }
}

#[test]
fn viewers_of_every_version_look_with_and_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let (server, secret) = (dir.path().join("a"), dir.path().join("secret"));
    let _told = notes(&server, 0x11);
    std::fs::write(&secret, "swordfsh\n").unwrap();
    let start = |name: &str, more: &[&str]| {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        Proxy::start(&dir, &server, more)
    };
    let open = start("open", &[]);
    let shut = start("shut", &["--password-file", secret.to_str().unwrap()]);
    for version in [Version::V3_3, Version::V3_7, Version::V3_8] {
        let kind = |password: Option<&[u8]>| Kind {
            version,
            password: password.map(<[u8]>::to_vec),
            ..Kind::of(Encoding::Raw)
        };
        Viewer::of(&open.door, kind(None)).unwrap().sees("the server", is(0x11));
        Viewer::of(&shut.door, kind(Some(b"swordfsh"))).unwrap().sees("the server", is(0x11));
        assert!(Viewer::of(&shut.door, kind(Some(b"other"))).is_err(), "{version:?}");
    }
    let end = || shut.ctl(&["status"]).unwrap()["last_viewer_end"].as_str().map(str::to_owned);
    eventually("it is said why", || end().filter(|why| why.contains("password is wrong")).map(drop));
}

#[test]
fn a_picture_with_loss_becomes_exact_once_it_is_still() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), SIZE);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let kind = Kind::of(Encoding::Tight).can(pseudo::JPEG_QUALITY + 2);
    let mut viewer = Viewer::of(&proxy.door, kind).unwrap();
    let mut exact = Viewer::connect(&proxy.door, Encoding::Tight, None).unwrap();
    for picture in ["plasma:red-blue", "plasma:green-yellow"] {
        server.paint(SIZE, picture);
        let truth = server.truth();
        exact.sees(picture, |shown| shown.pixels() == truth);
        let near = |shown: &Framebuffer| {
            let wrong = shown.pixels().iter().zip(&truth).filter(|(a, b)| a != b).count();
            (truth.len() / 100..truth.len()).contains(&wrong)
        };
        viewer.sees("it with loss at first", near);
        viewer.sees("it as it is in the end", |shown| shown.pixels() == truth);
        let updates = viewer.updates;
        (0..30).for_each(|_| viewer.look());
        assert_eq!(viewer.updates, updates, "what is exact is sent again");
    }
}

#[test]
fn a_viewer_that_draws_no_cursor_has_it_in_its_picture_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), SIZE);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    server.paint(SIZE, "tile:pattern:bricks");
    server.run(&["xsetroot", "-cursor_name", "gumby"]);
    let mut drawer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    let old = Kind::only(&[Encoding::Hextile.number(), pseudo::DESKTOP_SIZE]);
    let mut old = Viewer::of(&proxy.door, old).unwrap();
    // At the edge, in the midst, and half outside.
    for (x, y) in [(0, 0), (150, 100), (298, 201), (151, 101)] {
        drawer.say(&ClientMessage::Pointer { buttons: 0, x, y });
        let truth = server.truth();
        drawer.sees("the screen without a cursor", |shown| shown.pixels() == truth);
        eventually(&format!("the screen with a cursor at ({x}, {y})"), || {
            drawer.look();
            old.look();
            let cursor = drawer.cursor.as_ref().filter(|cursor| cursor.visible.contains(&true))?;
            let mut with = drawer.picture.clone();
            cursor.draw((x, y), &mut with, (0, 0));
            (old.picture == with).then_some(())
        });
    }
    assert!(old.picture != drawer.picture, "the cursor is not to be seen");
    // A server that draws its own: no other beside it, for neither.
    let other = dir.path().join("other");
    let _told = notes(&other, 0x11);
    proxy.ctl(&["rehome", &unix(&other)]).unwrap();
    old.sees("a screen that is all of one colour", is(0x11));
    eventually("the cursor is taken away", || {
        drawer.look();
        drawer.cursor.as_ref().is_some_and(|cursor| cursor.width == 0).then_some(())
    });
}
