//! What viewers see through the proxy is what the server shows.

use std::sync::atomic::Ordering;
use std::time::Duration;

use vmgl_rfb::{ClientMessage, Encoding};

use crate::peers::{Proxy, Viewer, Xvnc, counts, is};
use crate::qemu::Qemu;

#[test]
fn viewers_of_every_encoding_see_at_once_what_x_shows() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "501x303");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewers: Vec<_> = Encoding::ALL
        .into_iter()
        .map(|encoding| (encoding, Viewer::connect(&proxy.door, encoding, None).unwrap()))
        .collect();
    for picture in ["tile:pattern:checkerboard", "plasma:red-blue", "tile:pattern:bricks"] {
        server.paint("501x303", picture);
        let truth = server.truth();
        assert!(truth.iter().any(|pixel| *pixel != truth[0]), "nothing was drawn: {picture}");
        for (encoding, viewer) in &mut viewers {
            viewer.sees(&format!("{picture} in {encoding:?}"), |shown| shown.pixels() == truth);
        }
    }
}

#[test]
fn a_new_size_reaches_viewers_with_its_picture() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "501x303");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    viewer.sees("the first size", |shown| shown.width() == 501);
    server.run(&["xrandr", "-s", "800x600"]);
    server.paint("800x600", "plasma:green-yellow");
    let truth = server.truth();
    assert_eq!(truth.len(), 800 * 600);
    viewer.sees("the new size", |shown| shown.pixels() == truth);
}

#[test]
fn a_server_that_says_its_size_each_time_is_not_asked_for_the_whole_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("a");
    let (told, wholes) = counts(&server, 0x11);
    let proxy = Proxy::start(dir.path(), &server, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the server", is(0x11));
    // Each key is a way there after the answers before it.
    for keysym in 1..100 {
        let key = ClientMessage::Key { down: true, keysym };
        viewer.say(&key);
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(key));
        viewer.say(&ClientMessage::Key { down: false, keysym });
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }
    assert_eq!(wholes.load(Ordering::SeqCst), 1, "its first picture is the one that is shown");
}

#[test]
fn a_server_without_continuous_updates_is_asked_and_all_it_changes_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let vnc = dir.path().join("vnc");
    let mut qemu = Qemu::start(dir.path(), &vnc);
    // From the first screen on, which has another size: what the BIOS writes comes while it is looked at.
    let proxy = Proxy::start(dir.path(), &vnc, &[]);
    let mut viewers = [Encoding::Zrle, Encoding::Tight]
        .map(|encoding| Viewer::connect(&proxy.door, encoding, None).unwrap());
    let (width, truth) = qemu.stopped();
    for viewer in &mut viewers {
        viewer.sees("the BIOS's text", |shown| shown.pixels() == truth);
        assert_eq!(usize::from(viewer.picture.width()), width);
    }
}
