//! What a browser shows is what the server shows, and what is done in it is done there.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_kit::Chromium;
use vmgl_rfb::{ClientMessage, Encoding};

use crate::peers::{Running, Viewer, Xvnc, eventually, notes, unix};
use crate::served::Served;

#[test]
fn a_browser_shows_every_pixel_before_and_after_a_move_beside_a_plain_viewer() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] =
        [("a", "501x303"), ("b", "640x400")].map(|(name, size)| Xvnc::start(dir.path().join(name), size));
    first.paint("501x303", "plasma:red-blue");
    second.paint("640x400", "plasma:green-yellow");
    let proxy = Served::start(dir.path(), &first.path, &[]);
    let mut plain = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    browser.connected();
    // Without a word about the pointer TigerVNC draws it into its picture, where X does not have it.
    browser.clicked(450, 250);
    let truth = first.truth();
    browser.shows("the first server", || truth.clone());
    plain.sees("the first server, beside", |shown| shown.pixels() == truth);
    browser.sees("document.getElementById('figures').textContent.includes('501 × 303')", "true");
    assert_eq!(proxy.viewers(), 2);
    browser.photograph("connected");
    browser.run("window.stayed = true");
    proxy.ctl(&["prepare", &unix(&second.path)]).unwrap();
    proxy.ctl(&["rehome"]).unwrap();
    let truth = second.truth();
    browser.clicked(440, 240);
    browser.shows("the second server", || truth.clone());
    plain.sees("the second server, beside", |shown| shown.pixels() == truth);
    drop(second);
    browser.sees("document.body.dataset.standing", "moving");
    browser.sees("document.getElementById('figures').textContent.includes('frames/s')", "true");
    browser.sees("document.documentElement.scrollWidth <= innerWidth", "true");
    browser.photograph("moving");
    proxy.ctl(&["rehome", &unix(&first.path)]).unwrap();
    let truth = first.truth();
    browser.shows("the first server again", || truth.clone());
    browser.connected();
    assert_eq!(browser.text("window.stayed"), "true");
    assert_eq!(proxy.viewers(), 2, "nobody had to connect again");
}

#[test]
fn a_shell_runs_what_is_typed_into_the_browser() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "640x400");
    let proxy = Served::start(dir.path(), &server.path, &[]);
    let (ready, typed) = (dir.path().join("ready"), dir.path().join("typed"));
    let shell = dir.path().join("shell");
    std::fs::write(&shell, format!("#!/bin/sh\necho > {}\nexec sh\n", ready.display())).unwrap();
    std::fs::set_permissions(&shell, std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut xterm = Command::new("xterm");
    xterm.env("DISPLAY", &server.display).args(["-geometry", "80x24+0+0", "-e"]).arg(&shell);
    let _xterm = Running(xterm.current_dir(&dir).spawn().unwrap());
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    browser.connected();
    eventually("the shell runs", || ready.exists().then_some(()));
    // Without a window manager the window under the pointer has the keys.
    browser.clicked(200, 200);
    browser.typed("echo It is Typed > typed\n");
    eventually("what was typed was done", || {
        (std::fs::read_to_string(&typed).ok()? == "It is Typed\n").then_some(())
    });
    browser.photograph("typed");
}

#[test]
fn keys_and_the_pointer_arrive_and_stay_away_when_viewing_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let told = notes(&server, 0x0033_6699);
    let proxy = Served::start(dir.path(), &server, &[]);
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    browser.connected();
    browser.shows("the server", || vec![0x0033_6699; 64 * 48]);
    // The middle of the window is the middle of the screen, which is scaled to it.
    let middle = browser.run(
        "return [innerWidth, document.querySelector('main').clientHeight].map((side) => Math.round(side / 2))",
    );
    let middle = |n: usize| middle[n].as_i64().unwrap();
    let until = |what: ClientMessage| {
        let patience = Duration::from_secs(60);
        while told.recv_timeout(patience).unwrap_or_else(|_| panic!("never told: {what:?}")) != what {}
    };
    browser.clicked(middle(0), middle(1));
    until(ClientMessage::Pointer { buttons: 1, x: 32, y: 24 });
    until(ClientMessage::Pointer { buttons: 0, x: 32, y: 24 });
    browser.typed("k");
    until(ClientMessage::Key { down: true, keysym: 0x6b });
    until(ClientMessage::Key { down: false, keysym: 0x6b });
    browser.click("#look");
    browser.clicked(middle(0), middle(1));
    browser.typed("z");
    browser.click("#look");
    browser.clicked(middle(0), middle(1));
    browser.click("#cad");
    // What was done in between would have come before.
    let mut came = Vec::new();
    while came.last() != Some(&ClientMessage::Key { down: false, keysym: 0xffe3 }) {
        came.push(told.recv_timeout(Duration::from_secs(60)).unwrap());
    }
    let z = |message: &&ClientMessage| matches!(message, ClientMessage::Key { keysym: 0x7a, .. });
    let press = |message: &&ClientMessage| matches!(message, ClientMessage::Pointer { buttons: 1, .. });
    assert_eq!(came.iter().filter(z).count(), 0, "{came:?}");
    assert_eq!(came.iter().filter(press).count(), 1, "{came:?}");
    let delete = ClientMessage::Key { down: true, keysym: 0xffff };
    assert!(came.contains(&delete), "{came:?}");
}

#[test]
fn a_browser_asks_for_the_password_and_connects_again_when_the_proxy_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let (server, secret) = (dir.path().join("vnc"), dir.path().join("secret"));
    std::fs::write(&secret, "swordfsh\n").unwrap();
    let _told = notes(&server, 0x0011_2233);
    let file = secret.to_str().unwrap();
    let proxy = Served::start(dir.path(), &server, &["--password-file", file]);
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    let asked = "document.getElementById('ask').open";
    browser.sees(asked, "true");
    browser.photograph("password");
    browser.fill("#password", "wrong");
    browser.click("#ask button.first");
    browser.sees("document.getElementById('ask-why').textContent.includes('asks for')", "false");
    browser.sees(asked, "true");
    browser.fill("#password", "swordfsh");
    browser.click("#ask button.first");
    browser.connected();
    browser.shows("the server", || vec![0x0011_2233; 64 * 48]);
    let at = proxy.at.clone();
    drop(proxy);
    browser.sees("document.getElementById('notice-title').textContent", "Disconnected");
    browser.sees("document.body.dataset.standing", "gone");
    browser.photograph("disconnected");
    let program = Path::new(env!("CARGO_BIN_EXE_vmgl-proxy"));
    let _proxy = Served::start_program(program, dir.path(), &server, &at, &["--password-file", file]);
    browser.connected();
    browser.sees("document.getElementById('notice').hidden", "true");
}

#[test]
fn the_pages_field_and_the_servers_clipboard_are_one() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "640x400");
    let proxy = Served::start(dir.path(), &server.path, &[]);
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    browser.connected();
    browser.click("#clips-open");
    browser.fill("#clip", "from the page: \u{17c}\u{f3}\u{142}w");
    eventually("the page's text is pasted", || {
        let text = server.run(&["timeout", "5", "xclip", "-selection", "clipboard", "-o"]);
        (String::from_utf8(text).unwrap() == "from the page: \u{17c}\u{f3}\u{142}w").then_some(())
    });
    let mut xclip = Command::new("xclip");
    xclip.args(["-selection", "clipboard", "-i"]).env("DISPLAY", &server.display);
    let mut xclip = xclip.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    xclip.stdin.take().unwrap().write_all("caf\u{e9}\nsecond line".as_bytes()).unwrap();
    assert!(xclip.wait().unwrap().success());
    browser.sees("document.getElementById('clip').value", "caf\u{e9}\nsecond line");
    browser.photograph("clipboard");
}

#[test]
fn a_page_of_another_origin_may_not_look() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &[]);
    let browser = Chromium::start();
    let elsewhere = page_elsewhere();
    // Pages without a policy of their own: what keeps them from connecting is the proxy.
    for page in ["data:text/html,<title>elsewhere</title>", &elsewhere] {
        browser.open(page);
        browser.sees("document.title", "elsewhere");
        browser.run(&format!(
            "window.end = 'none'; const socket = new WebSocket('ws://{}/websockify');
             socket.onopen = () => window.end = 'open'; socket.onerror = () => window.end = 'refused';",
            proxy.at
        ));
        browser.sees("window.end", "refused");
        browser.run(&format!(
            "window.end = 'none';
             fetch('http://{}/state').then(() => window.end = 'read', () => window.end = 'kept');",
            proxy.at
        ));
        browser.sees("window.end", "kept");
    }
    assert_eq!(proxy.viewers(), 0);
    // The same from the proxy's own page is let in: it was the origin that counted.
    browser.open(&format!("http://{}/", proxy.at));
    browser.connected();
    assert_eq!(proxy.viewers(), 1);
}

/// A page of this host at another port.
fn page_elsewhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _request = stream.read(&mut [0; 4096]);
            let page = "<title>elsewhere</title>";
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length";
            let _sent = write!(stream, "{head}: {}\r\n\r\n{page}", page.len());
        }
    });
    format!("http://{at}/")
}

#[test]
fn the_page_says_how_to_get_novnc_where_it_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    // A program without the modules beside it, as one that was just built elsewhere.
    let program = dir.path().join("vmgl-proxy");
    std::fs::copy(env!("CARGO_BIN_EXE_vmgl-proxy"), &program).unwrap();
    let proxy = Served::start_program(&program, dir.path(), &server, "127.0.0.1:0", &[]);
    let browser = Chromium::start();
    browser.open(&format!("http://{}/", proxy.at));
    if vmgl_proxy::web::shelf::usual_places(Some(&program)).iter().any(|place| place.exists()) {
        return browser.connected();
    }
    browser.sees("document.getElementById('notice-title').textContent", "noVNC cannot be loaded");
    let text = browser.text("document.getElementById('notice-text').textContent");
    assert!(text.contains("npm install @novnc/novnc"), "{text}");
    browser.photograph("missing");
}
