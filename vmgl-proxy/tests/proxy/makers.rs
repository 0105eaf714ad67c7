//! Viewers and servers of other makers, pixel by pixel.

use std::path::Path;
use std::process::Command;

use vmgl_rfb::{ClientMessage, Encoding};

use crate::peers::{
    Programs, Proxy, Running, Viewer, X11vnc, Xvfb, Xvnc, eventually, truth_of, unix, vncviewer,
};
use crate::qemu::Qemu;

const SIZE: &str = "501x303";

#[test]
fn tigervncs_viewer_shows_in_every_encoding_what_x_has() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), SIZE);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    let viewers = ["Raw", "Hextile", "ZRLE", "Tight"].map(|encoding| {
        let screen = Xvfb::start(SIZE);
        let words = [&format!("-PreferredEncoding={encoding}")[..], "-ViewOnly=1"];
        let viewer = vncviewer(&screen, &proxy.door, &words);
        (encoding, screen, viewer)
    });
    for picture in ["plasma:red-blue", "tile:pattern:bricks"] {
        server.paint(SIZE, picture);
        let truth = server.truth();
        assert!(truth.iter().any(|pixel| *pixel != truth[0]), "nothing was drawn: {picture}");
        for (encoding, screen, _) in &viewers {
            eventually(&format!("{picture} in {encoding}"), || (screen.truth() == truth).then_some(()));
        }
    }
    let list = proxy.ctl(&["viewers"]).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 4);
}

#[test]
fn tigervncs_viewer_with_a_password_and_jpeg_stays_through_changes_of_maker() {
    let dir = tempfile::tempdir().unwrap();
    let (server, screen) = (Xvnc::start(dir.path().join("vnc"), SIZE), Xvfb::start(SIZE));
    let x11vnc = X11vnc::start(&screen, dir.path().join("x11vnc"), &["-nopw"]);
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "swordfsh\n").unwrap();
    let proxy = Proxy::start(dir.path(), &server.path, &["--password-file", secret.to_str().unwrap()]);
    proxy.attached();
    let passwd = dir.path().join("passwd");
    store_password(&passwd);
    let window = Xvfb::start(SIZE);
    let words = ["-NoJpeg=0", "-QualityLevel=2", "-PreferredEncoding=Tight"];
    let _viewer =
        vncviewer(&window, &proxy.door, &[&words[..], &["-passwd", passwd.to_str().unwrap()]].concat());
    screen.paint(SIZE, "plasma:green-yellow");
    server.paint(SIZE, "plasma:red-blue");
    for to in [&server.path, &x11vnc.path, &server.path, &x11vnc.path] {
        proxy.ctl(&["rehome", &unix(to)]).unwrap();
        let display = if *to == server.path { &server.display } else { &screen.display };
        let truth = truth_of(display);
        eventually("the picture as it is", || (window.truth() == truth).then_some(()));
    }
    assert_eq!(proxy.ctl(&["viewers"]).unwrap().as_array().unwrap().len(), 1);
}

/// TigerVNC's viewer and x11vnc keep passwords in one form.
fn store_password(file: &Path) {
    let made = Command::new("x11vnc").args(["-storepasswd", "swordfsh"]).arg(file).output().unwrap();
    assert!(made.status.success());
}

#[test]
fn programs_of_all_kinds_look_through_x11vnc_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let screen = Xvfb::start("800x600");
    let server = X11vnc::start(&screen, dir.path().join("x11vnc"), &["-nopw"]);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    look(&proxy, &screen.display);
}

#[test]
fn programs_of_all_kinds_look_through_xvnc_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "800x600");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    look(&proxy, &server.display);
}

/// Viewers see the programs move, and what they have drawn when they stop.
fn look(proxy: &Proxy, display: &str) {
    let mut viewers = [Encoding::Zrle, Encoding::Tight, Encoding::Hextile]
        .map(|encoding| Viewer::connect(&proxy.door, encoding, None).unwrap());
    // Where no program looks different because of it.
    viewers[0].say(&ClientMessage::Pointer { buttons: 0, x: 790, y: 250 });
    let programs = Programs::start(display);
    for viewer in &mut viewers {
        let begin = viewer.updates;
        eventually("they move", || {
            viewer.look();
            (viewer.updates > begin + 20).then_some(())
        });
    }
    eventually("all have drawn", || {
        let picture = truth_of(display);
        // A pixel in each program's window is not the background's.
        let at = |x: usize, y: usize, w: usize, h: usize| {
            (y..y + h)
                .flat_map(|y| (x..x + w).map(move |x| (x, y)))
                .any(|(x, y)| picture[y * 800 + x] & 0xff_ffff != 0)
        };
        (at(10, 10, 200, 100) && at(500, 50, 100, 100) && at(500, 350, 200, 100)).then_some(())
    });
    programs.stop();
    for viewer in &mut viewers {
        eventually("what they have drawn", || {
            viewer.look();
            (viewer.picture.pixels() == truth_of(display)).then_some(())
        });
    }
}

#[test]
fn servers_of_every_version_let_the_proxy_in_with_and_without_a_password() {
    let dir = tempfile::tempdir().unwrap();
    let (secret, passwd) = (dir.path().join("secret"), dir.path().join("passwd"));
    std::fs::write(&secret, "swordfsh\n").unwrap();
    store_password(&passwd);
    let passwd = passwd.to_str().unwrap();
    let screen = Xvfb::start(SIZE);
    screen.paint(SIZE, "plasma:red-blue");
    let x11vnc = |name: &str, more: &[&str]| X11vnc::start(&screen, dir.path().join(name), more);
    let xvnc = |name: &str, more: &[&str]| Xvnc::with(dir.path().join(name), SIZE, more);
    let (a, b) = (
        x11vnc("a", &["-nopw", "-rfbversion", "3.7"]),
        x11vnc("b", &["-rfbauth", passwd, "-rfbversion", "3.3"]),
    );
    let c = xvnc("c", &["-SecurityTypes", "VncAuth", "-PasswordFile", passwd]);
    let d = xvnc("d", &["-SecurityTypes", "None", "-Protocol3.3=1"]);
    let e = x11vnc("e", &["-rfbauth", passwd, "-rfbversion", "3.7"]);
    [&c, &d].into_iter().for_each(|server| server.paint(SIZE, "tile:pattern:checkerboard"));
    let proxy = Proxy::start(dir.path(), &a.path, &["--upstream-password-file", secret.to_str().unwrap()]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    viewer.say(&ClientMessage::Pointer { buttons: 0, x: 3, y: 4 });
    for (path, display) in [
        (&a.path, &screen.display),
        (&b.path, &screen.display),
        (&c.path, &c.display),
        (&d.path, &d.display),
        (&e.path, &screen.display),
    ] {
        proxy.ctl(&["rehome", &unix(path)]).unwrap();
        let truth = truth_of(display);
        viewer.sees(&path.display().to_string(), |shown| shown.pixels() == truth);
    }
    // Without the password it is said what is wrong.
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let proxy = Proxy::start(&other, &a.path, &[]);
    let refused = proxy.ctl(&["rehome", &unix(&c.path)]).unwrap_err();
    assert!(refused.contains("password"), "{refused}");
}

#[test]
fn vncdotool_captures_types_and_clicks() {
    let vncdo = target().join("peers/bin/vncdo");
    assert!(vncdo.exists(), "vncdotool is installed by xtask setup");
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), SIZE);
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    server.paint(SIZE, "plasma:red-blue");
    let run = |words: &[&str]| {
        let mut vncdo = Command::new(&vncdo);
        let done = vncdo.arg("-s").arg(&proxy.door).args(words).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let file = dir.path().join("picture.png");
    let capture = || {
        run(&["move", "5", "5", "capture", file.to_str().unwrap()]);
        let rgb = Command::new("convert").arg(&file).args(["-depth", "8", "rgb:-"]).output().unwrap().stdout;
        let pixels = rgb.as_chunks::<3>().0.iter().map(|[r, g, b]| u32::from_be_bytes([0, *r, *g, *b]));
        pixels.collect::<Vec<_>>()
    };
    let truth = server.truth();
    eventually("the picture in its file", || {
        // It draws no cursor: that is in the picture, and nowhere else.
        let picture = capture();
        let differ = |at: &usize| picture[*at] != truth[*at];
        let outside = (0..truth.len()).filter(differ).filter(|at| at % 501 > 30 || at / 501 > 30).count();
        (picture.len() == truth.len() && outside == 0).then_some(())
    });
    let typed = dir.path().join("typed");
    let read = format!("read line; echo \"$line\" > {}", typed.display());
    let mut xterm = Command::new("xterm");
    xterm.args(["-geometry", "40x10+0+0", "-e", "sh", "-c", &read]).env("DISPLAY", &server.display);
    let _xterm = Running(xterm.spawn().unwrap());
    eventually("the terminal is there", || (server.truth() != truth).then_some(()));
    run(&["move", "50", "50", "type", "hello", "key", "enter"]);
    eventually("what was typed", || (std::fs::read(&typed).ok()? == b"hello\n").then_some(()));
    let mut click = Command::new(&vncdo);
    click.arg("-s").arg(&proxy.door).args([
        "move",
        "60",
        "70",
        "mousedown",
        "1",
        "pause",
        "3",
        "mouseup",
        "1",
    ]);
    let mut click = Running(click.spawn().unwrap());
    eventually("the button is held", || (server.held() == ["button[1]"]).then_some(()));
    let place = String::from_utf8(server.run(&["xinput", "query-state", "TigerVNC pointer"])).unwrap();
    assert!(place.contains("valuator[0]=60") && place.contains("valuator[1]=70"), "{place}");
    assert!(click.0.wait().unwrap().success());
    eventually("the button is let go", || server.held().is_empty().then_some(()));
}

/// The folder of what was built.
fn target() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vmgl-proxy")).ancestors().nth(2).unwrap()
}

#[test]
fn qemu_xvnc_and_x11vnc_follow_each_other_whatever_their_sizes() {
    let dir = tempfile::tempdir().unwrap();
    let vnc = dir.path().join("qemu");
    let mut qemu = Qemu::start(dir.path(), &vnc);
    let screen = Xvfb::start("640x200");
    screen.paint("640x200", "plasma:red-blue");
    let (xvnc, x11vnc) =
        (Xvnc::start(dir.path().join("a"), SIZE), X11vnc::start(&screen, dir.path().join("b"), &["-nopw"]));
    xvnc.paint(SIZE, "tile:pattern:bricks");
    let (_, qemus) = qemu.stopped();
    let proxy = Proxy::start(dir.path(), &vnc, &[]);
    let mut viewers = [Encoding::Zrle, Encoding::Tight, Encoding::Raw]
        .map(|encoding| Viewer::connect(&proxy.door, encoding, None).unwrap());
    viewers[0].say(&ClientMessage::Pointer { buttons: 0, x: 3, y: 4 });
    let servers = [(&vnc, qemus), (&xvnc.path, xvnc.truth()), (&x11vnc.path, screen.truth())];
    for n in [0, 1, 0, 2, 1, 2, 0] {
        let (path, truth) = &servers[n];
        proxy.ctl(&["rehome", &unix(path)]).unwrap();
        for viewer in &mut viewers {
            viewer.sees(&path.display().to_string(), |shown| shown.pixels() == *truth);
        }
    }
}
