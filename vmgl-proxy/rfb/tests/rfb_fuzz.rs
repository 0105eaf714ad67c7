//! Bytes of any peer: nothing panics, and how they are cut makes no difference.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bytes::BytesMut;
use vmgl_rfb::{
    ClientHandshake, ClientMessage, Clipboard, CutText, Encoder, Encoding, Fence, Framebuffer, FromServer,
    FromViewer, PixelFormat, Rect, Security, ServerHandshake, ServerInit, Update, cut_text, fence,
};

/// What `step` says of `bytes` in pieces of so many, and its error if it ends with one.
fn all<T, E>(
    bytes: &[u8],
    piece: usize,
    mut step: impl FnMut(&mut BytesMut) -> Result<Option<T>, E>,
) -> (Vec<T>, Option<E>) {
    let (mut input, mut said) = (BytesMut::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        input.extend_from_slice(piece);
        loop {
            match step(&mut input) {
                Ok(Some(event)) => said.push(event),
                Ok(None) => break,
                Err(error) => return (said, Some(error)),
            }
        }
    }
    (said, None)
}

fn updates(format: PixelFormat) -> Vec<Vec<u8>> {
    let mut picture = Framebuffer::new(40, 40).unwrap();
    for y in 0..40 {
        (0..)
            .zip(picture.row_mut(0, y, 40))
            .for_each(|(x, pixel)| *pixel = (x / 5) * u32::from(y / 3) * 7919);
    }
    let update = |encoding| {
        let mut encoder = Encoder::new(format, None);
        encoder.set_quality(Some(5));
        let mut out = Vec::new();
        let mut update = Update::begin(&mut out);
        update.pixels(&mut encoder, encoding, &picture, Rect::new(1, 2, 37, 33));
        update.copy(0, 0, Rect::new(5, 5, 10, 10));
        update.extended_desktop_size(0, 0, (40, 40), &[]);
        update.end();
        cut_text(&CutText::Text(b"text".to_vec()), &mut out);
        cut_text(&CutText::Extended(Clipboard::Provide(Some("text".to_owned()))), &mut out);
        fence(&Fence { flags: 1, payload: vec![1] }, &mut out);
        out
    };
    Encoding::ALL.into_iter().map(update).collect()
}

fn server_says(format: PixelFormat, bytes: &[u8]) {
    let run = |piece| {
        let mut picture = Framebuffer::new(40, 40).unwrap();
        let mut reader = FromServer::new(format);
        let said = all(bytes, piece, |input| reader.step(input, &mut picture));
        (said, picture)
    };
    let (whole, pieces) = (run(usize::MAX), run(7));
    let ((heard, error), (in_pieces, other)) = (whole.0, pieces.0);
    assert_eq!(heard, in_pieces);
    // Of a broken zlib stream more or less comes out before it is seen: the connection ends anyhow.
    assert_eq!(error.is_some(), other.is_some(), "{error:?} {other:?}");
    // Larger ones are black in the main, and slow to compare.
    if error.is_none() && whole.1.bounds().area() < 1 << 20 {
        assert!(whole.1 == pieces.1, "the pictures differ");
    }
}

wandisk_fuzz::target!(what_a_server_says, 3000, updates(PixelFormat::XRGB), |bytes: &[u8]| {
    server_says(PixelFormat::XRGB, bytes);
});

const SHORT: PixelFormat =
    PixelFormat { bits_per_pixel: 16, depth: 16, max: [31, 63, 31], shift: [11, 5, 0], ..PixelFormat::XRGB };

wandisk_fuzz::target!(what_a_server_says_in_short_pixels, 1500, updates(SHORT), |bytes: &[u8]| {
    server_says(SHORT, bytes);
});

fn viewer_words() -> Vec<Vec<u8>> {
    let rect = Rect::new(1, 2, 3, 4);
    let words = [
        ClientMessage::SetPixelFormat(SHORT),
        ClientMessage::SetEncodings(vec![7, 16, -223, -308]),
        ClientMessage::UpdateRequest { incremental: false, rect },
        ClientMessage::ExtendedKey { down: true, keysym: 65, keycode: 30 },
        ClientMessage::CutText(CutText::Text(b"text".to_vec())),
        ClientMessage::CutText(CutText::Extended(Clipboard::caps())),
        ClientMessage::CutText(CutText::Extended(Clipboard::Notify(Clipboard::TEXT))),
        ClientMessage::CutText(CutText::Extended(Clipboard::Provide(Some("za\u{17c} \n text".to_owned())))),
        ClientMessage::Fence(Fence { flags: 1, payload: vec![1, 2, 3] }),
        ClientMessage::SetDesktopSize { width: 800, height: 600, screens: Vec::new() },
    ];
    let mut all = Vec::new();
    words.iter().for_each(|word| word.write(&mut all));
    let one = |word: &ClientMessage| {
        let mut out = Vec::new();
        word.write(&mut out);
        out
    };
    words.iter().map(one).chain([all.clone()]).collect()
}

wandisk_fuzz::target!(what_a_viewer_says, 20_000, viewer_words(), |bytes: &[u8]| {
    let run = |piece| {
        let mut reader = FromViewer::new();
        all(bytes, piece, |input| reader.step(input))
    };
    let whole = run(usize::MAX);
    assert_eq!(whole, run(1));
    for message in &whole.0 {
        message.write(&mut Vec::new());
    }
});

fn greetings() -> Vec<Vec<u8>> {
    let mut init = Vec::new();
    ServerInit { width: 64, height: 48, format: SHORT, name: "desk".into() }.write(&mut init);
    let begin = |version: &[u8], security: &[u8]| [version, security, &init[..]].concat();
    vec![
        begin(b"RFB 003.008\n", &[1, 1, 0, 0, 0, 0]),
        begin(b"RFB 003.008\n", &[&[1, 2][..], &[5; 16], &[0; 4]].concat()),
        begin(b"RFB 003.003\n", &[0, 0, 0, 1]),
        b"RFB 003.008\n\0\0\0\0\x04full".to_vec(),
        b"RFB 003.008\n\x02\x01".to_vec(),
    ]
}

wandisk_fuzz::target!(how_a_peer_begins, 20_000, greetings(), |bytes: &[u8]| {
    let client = |piece| {
        let (mut hands, mut out) = (ClientHandshake::new(Some(b"secret".to_vec()), true), Vec::new());
        let mut ended = false;
        let said = all(bytes, piece, |input| {
            if ended {
                return Ok(None);
            }
            let step = hands.step(input, &mut out);
            ended = matches!(step, Ok(Some(_)));
            step
        });
        (said, out)
    };
    assert_eq!(client(usize::MAX), client(1));
    let auth = Security::VncAuth { password: b"secret".to_vec(), challenge: [5; 16] };
    for security in [Security::None, auth] {
        let (mut hands, mut out) = (ServerHandshake::new(security), Vec::new());
        let mut input = BytesMut::from(bytes);
        hands.step(&mut input, &mut out).ok();
        assert!(out.len() < 1 << 10, "{} bytes of answer", out.len());
    }
});
