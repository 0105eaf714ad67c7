//! Keys and buttons arrive as a real server's own, through changes of servers.

use std::path::Path;

use vmgl_rfb::{ClientMessage, Encoding, pseudo};

use crate::guest::Guest;
use crate::peers::{Kind, Proxy, Viewer, Xvnc, eventually, unix};

/// A key of the viewer's keyboard that says `a` and is where `z` is on QEMU's.
fn key(down: bool) -> ClientMessage {
    ClientMessage::ExtendedKey { down, keysym: 0x61, keycode: 0x2c }
}

fn plain(keysym: u32, down: bool) -> ClientMessage {
    ClientMessage::Key { down, keysym }
}

fn holds(server: &Xvnc, held: &[&str]) {
    eventually(&format!("{held:?} and nothing else is held"), || (server.held() == held).then_some(()));
}

#[test]
fn scan_codes_reach_qemu_and_a_key_that_is_held_is_pressed_in_the_next_of_another_size() {
    let dir = tempfile::tempdir().unwrap();
    let [mut text, mut graphics] = [("text", false), ("graphics", true)]
        .map(|(name, graphics)| Guest::start(&dir.path().join(name), graphics));
    let proxy = Proxy::start(dir.path(), &text.vnc, &[]);
    proxy.attached();
    let kind = Kind::of(Encoding::Zrle).can(pseudo::QEMU_EXTENDED_KEY);
    let mut viewer = Viewer::of(&proxy.door, kind).unwrap();
    let (width, truth) = text.qemu.dump().unwrap();
    viewer.sees("the text", |shown| shown.pixels() == truth);
    viewer.say(&key(true));
    viewer.say(&key(false));
    viewer.say(&plain(0x62, true));
    text.heard(&[0x2c, 0xac, 0x30]);
    proxy.ctl(&["rehome", &unix(&graphics.vnc)]).unwrap();
    let (other, truth) = graphics.qemu.dump().unwrap();
    assert_ne!(width, other, "both have one size");
    viewer.sees("the graphics", |shown| shown.pixels() == truth);
    assert_eq!(usize::from(viewer.picture.width()), other);
    graphics.heard(&[0x30]);
    viewer.say(&plain(0x62, false));
    viewer.say(&key(true));
    graphics.heard(&[0x30, 0xb0, 0x2c]);
    // Without a server in between: what is let go there is let go at the next.
    let refused = proxy.ctl(&["rehome", "unix:/nowhere/at/all"]).unwrap_err();
    assert!(refused.contains("No such file"), "{refused}");
    drop(graphics);
    eventually("no server is there", || (proxy.ctl(&["status"]).unwrap()["phase"] == "away").then_some(()));
    viewer.say(&key(false));
    eventually("what was let go waits", || {
        (proxy.ctl(&["status"]).unwrap()["waiting"].as_u64() > Some(0)).then_some(())
    });
    let before = text.keys().len();
    proxy.ctl(&["rehome", &unix(&text.vnc)]).unwrap();
    let (_, truth) = text.qemu.dump().unwrap();
    viewer.sees("the text again", |shown| shown.pixels() == truth);
    eventually("pressed and let go", || text.keys()[before..].ends_with(&[0x2c, 0xac]).then_some(()));
}

#[test]
fn x_holds_what_viewers_hold_through_a_change_of_servers() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| Xvnc::start(dir.path().join(name), "400x300"));
    let proxy = Proxy::start(dir.path(), &a.path, &[]);
    proxy.attached();
    let mut viewers = [(); 2].map(|()| Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap());
    viewers[0].say(&plain(0x61, true));
    viewers[1].say(&plain(0x62, true));
    viewers[1].say(&ClientMessage::Pointer { buttons: 1, x: 30, y: 40 });
    let held = ["key[38]", "key[56]", "button[1]"];
    holds(&a, &held);
    proxy.ctl(&["prepare", &unix(&b.path)]).unwrap();
    proxy.ctl(&["rehome"]).unwrap();
    holds(&b, &held);
    eventually("the old one holds no key", || {
        (!a.held().iter().any(|key| key.starts_with("key"))).then_some(())
    });
    viewers[0].say(&plain(0x61, false));
    holds(&b, &["key[56]", "button[1]"]);
    let [first, second] = viewers;
    drop(second);
    holds(&b, &[]);
    drop(first);
}

#[test]
fn two_proxies_at_one_server_know_nothing_of_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| Xvnc::start(dir.path().join(name), "400x300"));
    let start = |name: &str| {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir).unwrap();
        Proxy::start(&dir, &a.path, &[])
    };
    let proxies = ["one", "two"].map(start);
    proxies.iter().for_each(Proxy::attached);
    let connect = |path: &Path| Viewer::connect(path, Encoding::Zrle, None).unwrap();
    let mut viewers = [connect(&proxies[0].door), connect(&proxies[1].door)];
    viewers[0].say(&plain(0x61, true));
    viewers[1].say(&plain(0x62, true));
    holds(&a, &["key[38]", "key[56]"]);
    proxies[0].ctl(&["rehome", &unix(&b.path)]).unwrap();
    holds(&b, &["key[38]"]);
    holds(&a, &["key[56]"]);
    for (viewer, server, picture) in [(0, &b, "plasma:red-blue"), (1, &a, "tile:pattern:bricks")] {
        server.paint("400x300", picture);
        let truth = server.truth();
        viewers[viewer].sees(picture, |shown| shown.pixels() == truth);
    }
}

#[test]
fn a_viewer_is_heard_while_a_large_picture_is_on_its_way_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "800x600");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    eventually("a picture is on its way", || {
        let list = proxy.ctl(&["viewers"]).unwrap();
        (list[0]["bytes"].as_u64() > Some(800 * 600 * 3)).then_some(())
    });
    // Nothing of it is read.
    viewer.say(&plain(0x61, true));
    holds(&server, &["key[38]"]);
}
