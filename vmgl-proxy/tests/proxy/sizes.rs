//! Sizes: who wants another is answered, and who cannot be told sees what fits.

use vmgl_rfb::{ClientMessage, Encoding, Rect, Screen, ServerEvent, pseudo};

use crate::peers::{Kind, Proxy, Viewer, Xvnc, eventually, is, notes, unix};

fn want(width: u16, height: u16) -> ClientMessage {
    let screens = vec![Screen { id: 0, rect: Rect::new(0, 0, width, height), flags: 0 }];
    ClientMessage::SetDesktopSize { width, height, screens }
}

fn extended() -> Kind {
    Kind::of(Encoding::Zrle).can(pseudo::EXTENDED_DESKTOP_SIZE)
}

/// Waits for a word about the size for this reason; its status and size.
fn answer(viewer: &mut Viewer, wanted: u16) -> (u16, u16, u16) {
    eventually(&format!("a size for reason {wanted}"), || {
        viewer.look();
        let heard = std::mem::take(&mut viewer.heard);
        heard.iter().find_map(|event| match event {
            ServerEvent::ExtendedDesktopSize { reason, status, width, height, .. } if *reason == wanted => {
                Some((*status, *width, *height))
            }
            _ => None,
        })
    })
}

#[test]
fn a_size_that_is_granted_is_told_to_all_and_who_wanted_it_knows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("a"), "400x300");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewers = [(); 2].map(|()| Viewer::of(&proxy.door, extended()).unwrap());
    viewers[0].say(&want(640, 480));
    assert_eq!(answer(&mut viewers[0], 1).0, 0);
    assert_eq!(answer(&mut viewers[1], 2).0, 0);
    for viewer in &mut viewers {
        viewer.sees("the new size", |shown| (shown.width(), shown.height()) == (640, 480));
    }
}

#[test]
fn a_size_that_is_refused_is_so_to_the_one_who_wanted_it() {
    let dir = tempfile::tempdir().unwrap();
    let words = ["-SecurityTypes", "None", "-AcceptSetDesktopSize=0"];
    let server = Xvnc::with(dir.path().join("a"), "400x300", &words);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewers = [(); 2].map(|()| Viewer::of(&proxy.door, extended()).unwrap());
    viewers[0].say(&want(640, 480));
    let (status, width, height) = answer(&mut viewers[0], 1);
    assert_ne!(status, 0);
    assert_eq!((width, height), (400, 300));
    viewers[1].look();
    let told = |event: &ServerEvent| matches!(event, ServerEvent::ExtendedDesktopSize { reason: 1.., .. });
    assert!(!viewers[1].heard.iter().any(told), "{:?}", viewers[1].heard);
}

#[test]
fn where_nobody_can_change_the_size_the_proxy_says_no() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("a"), "400x300");
    let proxy = Proxy::start(dir.path(), &server.path, &["--view-only"]);
    proxy.attached();
    let mut viewer = Viewer::of(&proxy.door, extended()).unwrap();
    viewer.say(&want(640, 480));
    assert_eq!(answer(&mut viewer, 1), (1, 400, 300));
}

#[test]
fn who_cannot_be_told_of_sizes_keeps_a_frame_with_what_fits() {
    let dir = tempfile::tempdir().unwrap();
    let first = Xvnc::start(dir.path().join("a"), "400x300");
    let second = Xvnc::start(dir.path().join("b"), "501x203");
    let third = dir.path().join("c");
    let _told = notes(&third, 0x33);
    let proxy = Proxy::start(dir.path(), &first.path, &[]);
    proxy.attached();
    let mut fixed = Viewer::of(&proxy.door, Kind::only(&[Encoding::Zrle.number(), pseudo::CURSOR])).unwrap();
    let mut other = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    first.paint("400x300", "plasma:red-blue");
    let truth = first.truth();
    fixed.sees("the first", |shown| shown.pixels() == truth);
    proxy.ctl(&["rehome", &unix(&second.path)]).unwrap();
    second.paint("501x203", "plasma:green-yellow");
    let truth = second.truth();
    other.sees("the second", |shown| shown.pixels() == truth);
    let framed = |picture: &[u32], width: usize, at: usize| {
        let (x, y) = (at % 400, at / 400);
        if x < width { picture.get(y * width + x).copied().unwrap_or(0) } else { 0 }
    };
    let frame: Vec<u32> = (0..400 * 300).map(|at| framed(&truth, 501, at)).collect();
    fixed.sees("what fits of the second", |shown| shown.pixels() == frame);
    proxy.ctl(&["rehome", &unix(&third)]).unwrap();
    other.sees("the third", is(0x33));
    let frame: Vec<u32> = (0..400 * 300).map(|at| framed(&[0x33; 64 * 48], 64, at)).collect();
    fixed.sees("the third in black", |shown| shown.pixels() == frame);
}
