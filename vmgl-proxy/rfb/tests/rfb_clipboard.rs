//! The extended clipboard, both ways: what was written is read, and lengths that lie.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::Write;

use bytes::BytesMut;
use vmgl_rfb::{
    ClientMessage, Clipboard, CutText, Framebuffer, FromServer, FromViewer, PixelFormat, ProtocolError,
    ServerEvent, cut_text, limits,
};

#[test]
fn clipboard_messages_are_read_as_they_are_written() {
    let text = "two lines\nza\u{17c}\u{f3}\u{142}\u{107} \u{1f600}".to_owned();
    for message in [
        Clipboard::caps(),
        Clipboard::Request(Clipboard::TEXT),
        Clipboard::Peek,
        Clipboard::Notify(0),
        Clipboard::Notify(Clipboard::TEXT),
        Clipboard::Provide(None),
        Clipboard::Provide(Some(String::new())),
        Clipboard::Provide(Some(text)),
    ] {
        let said = CutText::Extended(message);
        let (mut to_viewer, mut to_server) = (Vec::new(), Vec::new());
        cut_text(&said, &mut to_viewer);
        let mut picture = Framebuffer::new(1, 1).unwrap();
        let heard =
            FromServer::new(PixelFormat::XRGB).step(&mut BytesMut::from(&to_viewer[..]), &mut picture);
        assert_eq!(heard, Ok(Some(ServerEvent::CutText(said.clone()))));
        ClientMessage::CutText(said.clone()).write(&mut to_server);
        let heard = FromViewer::new().step(&mut BytesMut::from(&to_server[..]));
        assert_eq!(heard, Ok(Some(ClientMessage::CutText(said))));
    }
}

#[test]
fn clipboard_messages_that_lie_cost_no_memory_and_are_refused_or_left() {
    let pack = |len: u32, bytes: &[u8]| {
        let mut stream = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        stream.write_all(&len.to_be_bytes()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.finish().unwrap()
    };
    let hear = |flags: u32, data: &[u8]| {
        let len = -i32::try_from(data.len() + 4).unwrap();
        let bytes = [&[6, 0, 0, 0][..], &len.to_be_bytes(), &flags.to_be_bytes(), data].concat();
        match FromViewer::new().step(&mut BytesMut::from(&bytes[..])) {
            Ok(Some(ClientMessage::CutText(CutText::Extended(message)))) => Ok(message),
            Err(fault) => Err(fault),
            other => panic!("{other:?}"),
        }
    };
    let (caps, provide) = (0x0100_0001, 0x1000_0001);
    let zeros = vec![0; limits::CUT_TEXT + 1];
    let long = u32::try_from(zeros.len()).unwrap();
    assert_eq!(hear(provide, &pack(long, &zeros)), Ok(Clipboard::Provide(None)));
    assert_eq!(hear(provide, &pack(u32::MAX, b"x")), Ok(Clipboard::Provide(None)));
    assert_eq!(hear(provide, &pack(2, b"\xff\xfe")), Ok(Clipboard::Provide(None)));
    assert!(matches!(hear(provide, &pack(9, b"short")), Err(ProtocolError::Clipboard(_))));
    assert!(matches!(hear(provide, b"no zlib stream"), Err(ProtocolError::Clipboard(_))));
    assert!(matches!(hear(caps, &[]), Err(ProtocolError::Clipboard(_))));
    // Of two actions at once none is done; other formats than text are nothing.
    assert_eq!(hear(0x0600_0001, &[]), Ok(Clipboard::Other));
    assert_eq!(hear(0x1000_0002, b"?"), Ok(Clipboard::Provide(None)));
    // What other makers write: lines ended by CR LF, with a NUL behind.
    let given = Clipboard::Provide(Some("one\ntwo\n".to_owned()));
    assert_eq!(hear(provide, &pack(11, b"one\r\ntwo\r\n\0")), Ok(given));
}
