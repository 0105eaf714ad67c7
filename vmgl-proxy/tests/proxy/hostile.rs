//! Viewers and servers that break the rules harm nobody else.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;
use std::time::{Duration, Instant};

use vmgl_rfb::Encoding;

use crate::peers::{Proxy, Viewer, Xvnc, eventually, is, notes, unix};

#[test]
fn viewers_that_break_the_rules_harm_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("a");
    let _told = notes(&server, 0x11);
    let proxy = Proxy::start(dir.path(), &server, &[]);
    let mut good = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    good.sees("the server", is(0x11));
    let begin = b"RFB 003.008\n\x01\x01";
    let session = |bytes: &[u8]| [&begin[..], bytes].concat();
    let bad: [(&str, Vec<u8>); 9] = [
        ("not an RFB peer", b"GET / HTTP/1.1\r\n".to_vec()),
        ("security type 99", b"RFB 003.008\n\x63".to_vec()),
        ("message type 99", session(&[99])),
        ("fence of 255 bytes", session(&[248, 0, 0, 0, 0, 0, 0, 0, 255])),
        ("bad pixel format", session(&[&[0, 0, 0, 0, 7, 7, 0, 1][..], &[0; 12]].concat())),
        ("QEMU message 9", session(&[255, 9])),
        ("beyond the bounds", session(&[251, 0, 255, 255, 255, 255, 1, 0])),
        ("bad clipboard message", session(&[6, 0, 0, 0, 255, 255, 255, 254, 0, 0])),
        ("bad clipboard message", session(&[6, 0, 0, 0, 255, 255, 255, 248, 16, 0, 0, 1, 7, 7, 7, 7])),
    ];
    let end = || proxy.ctl(&["status"]).unwrap()["last_viewer_end"].as_str().map(str::to_owned);
    let _bad = bad.map(|(why, bytes)| {
        let mut stream = UnixStream::connect(&proxy.door).unwrap();
        stream.write_all(&bytes).unwrap();
        eventually(why, || end().filter(|end| end.contains(why)).map(drop));
        stream
    });
    let _half = (0..20).map(|_| UnixStream::connect(&proxy.door).unwrap()).collect::<Vec<_>>();
    let fresh = Viewer::connect(&proxy.door, Encoding::Raw, None);
    fresh.unwrap().sees("the server", is(0x11));
    good.look();
    let count = || proxy.ctl(&["viewers"]).unwrap().as_array().unwrap().len();
    eventually("only the good one is left", || (count() == 1).then_some(()));
}

/// They once held all seats for half a minute.
#[test]
fn connections_that_say_nothing_give_their_seats_to_viewers() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("a");
    let _told = notes(&server, 0x11);
    let proxy = Proxy::start(dir.path(), &server, &[]);
    let mut good = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    good.sees("the server", is(0x11));
    let began = Instant::now();
    let mut silent: Vec<_> =
        (0..=vmgl_proxy::reception::SEATS).map(|_| UnixStream::connect(&proxy.door).unwrap()).collect();
    Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap().sees("the server", is(0x11));
    assert!(began.elapsed() < Duration::from_secs(25), "before the silent ones' time was over");
    good.look();
    let mut said = Vec::new();
    silent[0].read_to_end(&mut said).unwrap();
    assert!(b"RFB 003.008\n".starts_with(&said), "the first one was ended: {said:?}");
    let (newest, mut greeting) = (silent.last_mut().unwrap(), [0; 12]);
    newest.read_exact(&mut greeting).unwrap();
    newest.set_nonblocking(true).unwrap();
    let ended = newest.read(&mut greeting).map_err(|e| e.kind());
    assert_eq!(ended, Err(std::io::ErrorKind::WouldBlock), "the newest still has its time");
}

#[test]
fn a_viewer_that_does_not_read_costs_one_update_and_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "800x600");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let mut good = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    let mut idle = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    for _ in 0..8 {
        for picture in ["plasma:red-blue", "tile:pattern:bricks"] {
            server.paint("800x600", picture);
            let truth = server.truth();
            good.sees(picture, |shown| shown.pixels() == truth);
        }
    }
    let list = proxy.ctl(&["viewers"]).unwrap();
    let sent = list.as_array().unwrap()[1]["bytes"].as_u64().unwrap();
    assert!(sent <= 2 * 800 * 600 * 4, "{sent} bytes for one that reads nothing");
    let truth = server.truth();
    idle.sees("the last picture", |shown| shown.pixels() == truth);
}

#[test]
fn servers_that_break_the_rules_are_left_and_viewers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    let _told = notes(&good, 0x11);
    let proxy = Proxy::start(dir.path(), &good, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the good server", is(0x11));
    let begin = b"RFB 003.008\n\x01\x01\0\0\0\0";
    let format = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
    let init = |w: u16, h: u16| [&begin[..], &w.to_be_bytes(), &h.to_be_bytes(), &format, &[0; 4]].concat();
    let outside = [0, 0, 0, 1, 0, 60, 0, 0, 0, 64, 0, 1, 0, 0, 0, 0];
    let cases: [(&str, Vec<u8>); 5] = [
        ("RFB", b"HTTP/1.1 400 Bad Request\r\n".to_vec()),
        ("65535 x 65535 pixels", init(65535, 65535)),
        ("message", [&init(64, 48)[..], &[77]].concat()),
        ("outside", [&init(64, 48)[..], &outside].concat()),
        ("hung up", begin.to_vec()),
    ];
    for (why, bytes) in cases {
        let listener = UnixListener::bind(&bad).unwrap();
        let server = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(&bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            stream.read_to_end(&mut Vec::new()).unwrap_or_default();
        });
        let refused = proxy.ctl(&["rehome", &unix(&bad)]).unwrap_err();
        assert!(refused.contains(why), "{why}: {refused}");
        server.join().unwrap();
        std::fs::remove_file(&bad).unwrap();
        viewer.look();
    }
    viewer.sees("the good server still", is(0x11));
    assert_eq!(proxy.ctl(&["status"]).unwrap()["phase"], "attached");
}

#[test]
fn only_who_knows_the_password_looks_and_nobody_types_when_viewing_only() {
    let dir = tempfile::tempdir().unwrap();
    let (server, secret) = (dir.path().join("a"), dir.path().join("secret"));
    std::fs::write(&secret, "swordfsh\n").unwrap();
    let told = notes(&server, 0x11);
    let file = secret.to_str().unwrap();
    let proxy = Proxy::start(dir.path(), &server, &["--password-file", file, "--view-only"]);
    for wrong in [None, Some(&b"swordfis"[..])] {
        assert!(Viewer::connect(&proxy.door, Encoding::Raw, wrong).is_err());
    }
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, Some(b"swordfsh")).unwrap();
    viewer.say(&vmgl_rfb::ClientMessage::Key { down: true, keysym: 7 });
    viewer.sees("the server", is(0x11));
    assert!(told.try_recv().is_err(), "the server was told of a key");
    let mode = Command::new("stat").args(["-c", "%a"]).arg(dir.path().join("ctl")).output().unwrap().stdout;
    assert_eq!(mode, b"600\n");
}
