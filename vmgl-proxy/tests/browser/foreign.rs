//! Requests that the proxy's page does not send: refused in bounds, while viewers stay.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use vmgl_rfb::Encoding;

use crate::peers::{Viewer, eventually, is, notes};
use crate::served::Served;

/// Longest wait for an answer or an end; above every deadline of the door's.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(at: &str) -> TcpStream {
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the proxy ends the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => all.extend_from_slice(&piece[..n]),
            Err(fault) => {
                assert_ne!(fault.kind(), std::io::ErrorKind::WouldBlock, "the proxy keeps it open");
                break;
            }
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// What is answered to a request whose connection is to be closed.
fn answered(at: &str, request: &str) -> String {
    let mut stream = connect(at);
    // The proxy may have hung up before it read everything.
    let _sent = stream.write_all(request.as_bytes());
    rest(&mut stream)
}

/// A request for the WebSocket.
fn handshake(at: &str, more: &str) -> String {
    format!(
        "GET /websockify HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A WebSocket on which the proxy's first word has been read.
fn socket(at: &str, more: &str) -> (TcpStream, String) {
    let mut stream = connect(at);
    stream.write_all(handshake(at, more).as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let mut hello = [0; 14];
    stream.read_exact(&mut hello).unwrap();
    assert_eq!(&hello, b"\x82\x0cRFB 003.008\n");
    (stream, String::from_utf8(head).unwrap())
}

/// A frame of a client's, masked by zeros.
fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let len = u16::try_from(body.len()).unwrap();
    [&[kind, 0xfe][..], &len.to_be_bytes(), &[0; 4], body].concat()
}

#[test]
fn only_our_own_page_and_those_who_are_no_browser_are_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &["--ws-name", "desk.example"]);
    let at = &proxy.at;
    let (_stream, head) = socket(at, &format!("Origin: http://{at}\r\nSec-WebSocket-Protocol: binary\r\n"));
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n"), "{head}");
    assert!(head.contains("sec-websocket-protocol: binary\r\n"), "{head}");
    let (_stream, head) = socket(at, "");
    assert!(!head.to_ascii_lowercase().contains("sec-websocket-protocol"), "{head}");
    for origin in ["http://evil.example", "null", "http://127.0.0.1", "http://127.0.0.1:1"] {
        let said = answered(at, &handshake(at, &format!("Origin: {origin}\r\nConnection: close\r\n")));
        assert!(said.starts_with("HTTP/1.1 403 "), "{origin}: {said}");
    }
    let get =
        |host: &str| answered(at, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    for host in ["desk.example:80", "localhost", at] {
        assert!(get(host).starts_with("HTTP/1.1 200 "), "{host}");
    }
    // A name of somebody else's that leads here, which makes its page "the same origin" to a browser.
    assert!(get("evil.example").starts_with("HTTP/1.1 403 "));
    let rebound = handshake("evil.example", "Origin: http://evil.example\r\n");
    assert!(answered(at, &rebound.replace("Upgrade\r\n", "Upgrade, close\r\n")).starts_with("HTTP/1.1 403 "));
}

#[test]
fn nothing_but_what_belongs_to_the_page_is_served_and_with_its_policy() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &[]);
    let ask = |method: &str, path: &str| {
        let close = "Connection: close\r\n";
        answered(&proxy.at, &format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{close}\r\n"))
    };
    let page = ask("GET", "/");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<title>Snowbird</title>"), "{page}");
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{page}");
    assert!(page.contains("frame-ancestors 'none'"), "{page}");
    assert!(
        ask("GET", "/novnc/core/rfb.js").starts_with("HTTP/1.1 200 "),
        "noVNC is installed by xtask setup"
    );
    let head = ask("HEAD", "/");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let paths = ["/../etc/passwd", "/novnc/../../package.json", "/novnc/%2e%2e/package.json", "//etc/passwd"];
    for path in
        paths.into_iter().chain(["/novnc/package.json", "/novnc/core", "/page", "/novnc/core/rfb.js/"])
    {
        assert!(ask("GET", path).starts_with("HTTP/1.1 404 "), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"] {
        assert!(ask(method, "/").starts_with("HTTP/1.1 405 "), "{method}");
    }
    let state = ask("GET", "/state?id=nobody");
    assert!(state.contains("\"updates\":null") && state.contains("\"full\":false"), "{state}");
    assert!(ask("GET", "/websockify").starts_with("HTTP/1.1 400 "));
}

#[test]
fn broken_requests_and_frames_end_their_connection_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &[]);
    let mut good = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    good.sees("the server", is(0x11));
    let long = "x".repeat(1 << 20);
    let many = "A: b\r\n".repeat(10_000);
    let requests = [
        "\0\u{1}\u{2} garbage \r\n\r\n".to_owned(),
        "RFB 003.008\n".repeat(2) + "\r\n\r\n",
        format!("GET /{long} HTTP/1.1\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
    ];
    for request in requests {
        let said = answered(&proxy.at, &request);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    let frames: [(&str, Vec<u8>); 7] = [
        ("text", frame(0x81, b"RFB 003.008\n")),
        ("not masked", b"\x82\x0cRFB 003.008\n".to_vec()),
        ("a huge frame", vec![0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ("reserved bits", frame(0xf2, b"x")),
        ("a continuation of nothing", frame(0x80, b"x")),
        (
            "a message in too many parts",
            [frame(0x02, &[0; 60_000]), frame(0, &[0; 60_000]).repeat(9)].concat(),
        ),
        ("no RFB", frame(0x82, b"GET / HTTP/1.1\r\n")),
    ];
    for (what, bytes) in frames {
        let (mut stream, _) = socket(&proxy.at, "");
        let _sent = stream.write_all(&bytes);
        rest(&mut stream);
        good.look();
        eventually(what, || (proxy.viewers() == 1).then_some(()));
    }
    // In parts, with pings in between: that is allowed.
    let (mut stream, _) = socket(&proxy.at, "");
    for part in [frame(0x02, b"RFB 003"), frame(0x89, b"?"), frame(0x80, b".008\n")] {
        stream.write_all(&part).unwrap();
    }
    let mut said = Vec::new();
    while !said.windows(4).any(|four| four == [0x82, 2, 1, 1]) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
    }
    assert!(said.windows(3).any(|three| three == [0x8a, 1, b'?']), "no pong: {said:?}");
}

#[test]
fn those_who_never_finish_are_ended_and_hold_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &[]);
    let half = "GET / HTTP/1.1\r\nHost: localhost\r\nX-Half: ";
    let mut idle: Vec<_> = ["", "G", half]
        .into_iter()
        .cycle()
        .take(60)
        .map(|begin| {
            let mut stream = connect(&proxy.at);
            stream.write_all(begin.as_bytes()).unwrap();
            stream
        })
        .collect();
    let began = Instant::now();
    let page = answered(&proxy.at, "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    let mut plain = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    plain.sees("the server", is(0x11));
    for stream in &mut idle {
        let said = rest(stream);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert!(began.elapsed() < PATIENCE, "one after the other");
}

#[test]
fn seats_are_counted_over_both_doors() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("vnc");
    let _told = notes(&server, 0x11);
    let proxy = Served::start(dir.path(), &server, &[]);
    let mut plain = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    plain.sees("the server", is(0x11));
    let seats = vmgl_proxy::reception::SEATS;
    let known = || {
        let mut browser = socket(&proxy.at, "").0;
        browser.write_all(&frame(0x82, b"RFB 003.008\n\x01\x01")).unwrap();
        browser
    };
    let mut browsers: Vec<_> = (1..seats).map(|_| known()).collect();
    eventually("all of them are let in", || (proxy.viewers() == seats).then_some(()));
    let close = "Connection: close\r\n";
    let said = answered(&proxy.at, &handshake(&proxy.at, close));
    assert!(said.starts_with("HTTP/1.1 503 "), "{said}");
    drop(browsers.pop());
    eventually("the seat is free again", || {
        let state = format!("GET /state HTTP/1.1\r\nHost: localhost\r\n{close}\r\n");
        answered(&proxy.at, &state).contains("\"full\":false").then_some(())
    });
    browsers.push(socket(&proxy.at, "").0);
}
