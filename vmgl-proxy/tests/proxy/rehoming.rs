//! Servers change, viewers stay.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use vmgl_rfb::{ClientMessage, Encoding};

use crate::peers::{PATIENCE, Proxy, Running, Viewer, Xvnc, eventually, is, notes, unix};

fn key(keysym: u32, down: bool) -> ClientMessage {
    ClientMessage::Key { down, keysym }
}

/// Two servers, a colour each, that note what they are told, and a proxy that shows the first.
fn two(dir: &Path) -> ([PathBuf; 2], [Receiver<ClientMessage>; 2], Proxy) {
    let [a, b] = ["a", "b"].map(|name| dir.join(name));
    let told = [notes(&a, 0x11), notes(&b, 0x22)];
    let proxy = Proxy::start(dir, &a, &[]);
    ([a, b], told, proxy)
}

#[test]
fn a_hundred_rehomes_under_load_disconnect_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let servers = ["a", "b"].map(|name| Xvnc::start(dir.path().join(name), "501x303"));
    let load = |server: &Xvnc| {
        let mut xterm = std::process::Command::new("xterm");
        let noise = "while :; do od -An -N96 -tx1 /dev/urandom; done";
        Running(xterm.env("DISPLAY", &server.display).args(["-e", "sh", "-c", noise]).spawn().unwrap())
    };
    let proxy = Proxy::start(dir.path(), &servers[0].path, &[]);
    proxy.attached();
    let mut viewers = [Encoding::Zrle, Encoding::Tight, Encoding::Raw]
        .map(|encoding| Viewer::connect(&proxy.door, encoding, None).unwrap());
    // Without a word about the pointer TigerVNC draws it into its picture, where X does not have it.
    viewers[0].say(&ClientMessage::Pointer { buttons: 0, x: 3, y: 4 });
    let loads = [load(&servers[0]), load(&servers[1])];
    for n in 1..=100 {
        let to = unix(&servers[n % 2].path);
        if n % 3 == 0 {
            proxy.ctl(&["prepare", &to]).unwrap();
            proxy.ctl(&["rehome"]).unwrap();
        } else {
            proxy.ctl(&["rehome", &to]).unwrap();
        }
        viewers.iter_mut().for_each(Viewer::look);
    }
    assert_eq!(proxy.ctl(&["status"]).unwrap()["rehomes"], 100);
    assert_eq!(proxy.ctl(&["viewers"]).unwrap().as_array().unwrap().len(), 3);
    drop(loads);
    servers[0].paint("501x303", "plasma:red-blue");
    // The programs' windows go away when X notices: what is true is asked each time.
    for viewer in &mut viewers {
        eventually("the last server's picture", || {
            viewer.look();
            (viewer.picture.pixels() == servers[0].truth()).then_some(())
        });
    }
}

#[test]
fn held_keys_are_pressed_again_and_those_let_go_in_the_gap_are_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let ([_, b], [told_a, told_b], proxy) = two(dir.path());
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the first server", is(0x11));
    viewer.say(&key(7, true));
    viewer.say(&ClientMessage::Pointer { buttons: 1, x: 3, y: 4 });
    assert_eq!(told_a.recv_timeout(PATIENCE), Ok(key(7, true)));
    told_a.recv_timeout(PATIENCE).unwrap();
    proxy.ctl(&["rehome", &unix(&b)]).unwrap();
    viewer.sees("the second server", is(0x22));
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(key(7, true)));
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(ClientMessage::Pointer { buttons: 1, x: 3, y: 4 }));
    drop(viewer);
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(key(7, false)));
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(ClientMessage::Pointer { buttons: 0, x: 3, y: 4 }));
    assert!(told_a.try_recv().is_err(), "the old server was told something after the move");
}

#[test]
fn what_is_typed_while_the_old_server_stands_is_told_to_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let ([_, b], [told_a, told_b], proxy) = two(dir.path());
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the first server", is(0x11));
    assert_eq!(proxy.ctl(&["hold"]).unwrap()["held"], true);
    viewer.say(&key(7, true));
    viewer.say(&key(7, false));
    eventually("the keys wait", || (proxy.ctl(&["status"]).unwrap()["waiting"] == 2).then_some(()));
    let status = proxy.ctl(&["rehome", &unix(&b)]).unwrap();
    assert_eq!((&status["held"], &status["upstream"]), (&false.into(), &unix(&b).into()));
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(key(7, true)));
    assert_eq!(told_b.recv_timeout(PATIENCE), Ok(key(7, false)));
    assert!(told_a.try_recv().is_err(), "the old server was told something");
}

#[test]
fn a_move_that_fails_or_is_cancelled_stays_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let ([a, b], _told, proxy) = two(dir.path());
    proxy.attached();
    let refused = proxy.ctl(&["rehome", "unix:/nowhere/at/all"]).unwrap_err();
    assert!(refused.contains("No such file"), "{refused}");
    assert_eq!(proxy.ctl(&["prepare", &unix(&b)]).unwrap()["phase"], "prepared");
    assert_eq!(proxy.ctl(&["cancel"]).unwrap()["phase"], "attached");
    assert_eq!(proxy.ctl(&["status"]).unwrap()["upstream"], unix(&a));
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the old server", is(0x11));
}

#[test]
fn a_server_that_dies_is_waited_for_while_viewers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vnc");
    let first = Xvnc::start(path.clone(), "501x303");
    let proxy = Proxy::start(dir.path(), &path, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    viewer.sees("the first", |shown| shown.width() == 501);
    drop(first);
    eventually("the proxy is without a server", || {
        (proxy.ctl(&["status"]).unwrap()["phase"] == "away").then_some(())
    });
    let _gone = std::fs::remove_file(&path);
    let second = Xvnc::start(path, "400x200");
    // Questions that come faster than it tries do not keep it from trying.
    proxy.attached();
    second.paint("400x200", "plasma:red-blue");
    let truth = second.truth();
    viewer.sees("the second", |shown| shown.pixels() == truth);
}
