//! Every message, both ways: what was written is read, however it is cut; and lengths that lie.

#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use bytes::BytesMut;
use proptest::prelude::*;
use vmgl_rfb::{
    ClientMessage, Clipboard, ColourMap, Cursor, CutText, Encoder, Encoding, Fence, Framebuffer, FromServer,
    FromViewer, PixelFormat, ProtocolError, Rect, Screen, ServerEvent, Update, bell, colour_map, cut_text,
    end_of_continuous_updates, fence, limits, pseudo,
};

fn rect() -> impl Strategy<Value = Rect> {
    any::<[u16; 4]>().prop_map(|[x, y, w, h]| Rect { x, y, w, h })
}

fn screens() -> impl Strategy<Value = Vec<Screen>> {
    let screen =
        (any::<u32>(), rect(), any::<u32>()).prop_map(|(id, rect, flags)| Screen { id, rect, flags });
    prop::collection::vec(screen, 0..5)
}

fn message() -> impl Strategy<Value = ClientMessage> {
    let fences = (any::<u32>(), prop::collection::vec(any::<u8>(), 0..=limits::FENCE));
    prop_oneof![
        Just(ClientMessage::SetPixelFormat(PixelFormat::XRGB)),
        prop::collection::vec(any::<i32>(), 0..40).prop_map(ClientMessage::SetEncodings),
        (any::<bool>(), rect())
            .prop_map(|(incremental, rect)| ClientMessage::UpdateRequest { incremental, rect }),
        (any::<bool>(), any::<u32>()).prop_map(|(down, keysym)| ClientMessage::Key { down, keysym }),
        any::<(u8, u16, u16)>().prop_map(|(buttons, x, y)| ClientMessage::Pointer { buttons, x, y }),
        prop::collection::vec(any::<u8>(), 0..60)
            .prop_map(|text| ClientMessage::CutText(CutText::Text(text))),
        any::<(bool, u32, u32)>().prop_map(|(down, keysym, keycode)| ClientMessage::ExtendedKey {
            down,
            keysym,
            keycode
        }),
        (any::<bool>(), rect()).prop_map(|(enable, rect)| ClientMessage::ContinuousUpdates { enable, rect }),
        fences.prop_map(|(flags, payload)| ClientMessage::Fence(Fence { flags, payload })),
        (0..=8192u16, 0..=8192u16, screens())
            .prop_map(|(width, height, screens)| ClientMessage::SetDesktopSize { width, height, screens }),
    ]
}

fn from_viewer(pieces: &[&[u8]]) -> Vec<ClientMessage> {
    let (mut reader, mut input, mut said) = (FromViewer::new(), BytesMut::new(), Vec::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(message) = reader.step(&mut input).unwrap() {
            said.push(message);
        }
    }
    assert!(input.is_empty(), "{} bytes were left", input.len());
    said
}

proptest! {
    #[test]
    fn what_a_client_says_is_heard_however_it_is_cut(said in prop::collection::vec(message(), 1..4)) {
        let mut bytes = Vec::new();
        said.iter().for_each(|message| message.write(&mut bytes));
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            prop_assert_eq!(&from_viewer(&[head, tail]), &said);
        }
    }
}

#[test]
fn a_client_message_that_is_not_complete_is_not_heard() {
    let cases = [
        ClientMessage::SetPixelFormat(PixelFormat::XRGB),
        ClientMessage::SetEncodings(vec![1, -2]),
        ClientMessage::UpdateRequest { incremental: true, rect: Rect::new(1, 2, 3, 4) },
        ClientMessage::Key { down: true, keysym: 5 },
        ClientMessage::Pointer { buttons: 1, x: 2, y: 3 },
        ClientMessage::CutText(CutText::Text(b"text".to_vec())),
        ClientMessage::ExtendedKey { down: true, keysym: 1, keycode: 2 },
        ClientMessage::ContinuousUpdates { enable: true, rect: Rect::new(1, 2, 3, 4) },
        ClientMessage::Fence(Fence { flags: 1, payload: vec![7; 64] }),
        ClientMessage::SetDesktopSize { width: 1, height: 2, screens: Vec::new() },
    ];
    for message in cases {
        let mut bytes = Vec::new();
        message.write(&mut bytes);
        for cut in 0..bytes.len() {
            let mut input = BytesMut::from(&bytes[..cut]);
            assert_eq!(FromViewer::new().step(&mut input).unwrap(), None, "{message:?} cut at {cut}");
        }
    }
}

/// Everything a server can say, with what is heard of it.
fn server_words() -> (Vec<u8>, Vec<ServerEvent>) {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(PixelFormat::XRGB, None);
    let picture = Framebuffer::new(20, 20).unwrap();
    let cursor = Cursor {
        width: 3,
        height: 2,
        hot_x: 2,
        hot_y: 1,
        pixels: (0..6).collect(),
        visible: vec![true, false, true, true, true, false],
    };
    let screens = vec![Screen { id: 9, rect: Rect::new(0, 0, 20, 20), flags: 1 }];
    bell(&mut out);
    cut_text(&CutText::Text(b"text".to_vec()), &mut out);
    cut_text(&CutText::Text(Vec::new()), &mut out);
    let word = Fence { flags: Fence::REQUEST, payload: b"mark".to_vec() };
    fence(&word, &mut out);
    end_of_continuous_updates(&mut out);
    colour_map(&ColourMap::default(), &mut out);
    let mut update = Update::begin(&mut out);
    update.cursor(&encoder, &cursor);
    for encoding in Encoding::ALL {
        update.pixels(&mut encoder, encoding, &picture, Rect::new(1, 1, 18, 18));
    }
    update.copy(0, 0, Rect::new(5, 5, 10, 10));
    update.mark(Rect::new(4, 3, 0, 0), pseudo::POINTER_POS);
    update.mark(Rect::default(), pseudo::QEMU_EXTENDED_KEY);
    update.mark(Rect::new(1, 0, 0, 0), pseudo::QEMU_POINTER_MOTION);
    update.end();
    let mut update = Update::begin(&mut out);
    update.extended_desktop_size(1, 0, (20, 20), &screens);
    update.end();
    let mut update = Update::begin(&mut out);
    update.desktop_size(30, 10);
    update.end();
    let mut heard = vec![
        ServerEvent::Bell,
        ServerEvent::CutText(CutText::Text(b"text".to_vec())),
        ServerEvent::CutText(CutText::Text(Vec::new())),
        ServerEvent::Fence(word),
        ServerEvent::EndOfContinuousUpdates,
        ServerEvent::ColourMap,
        ServerEvent::Cursor(cursor),
    ];
    heard.extend(Encoding::ALL.map(|_| ServerEvent::Damage(Rect::new(1, 1, 18, 18))));
    heard.extend([
        ServerEvent::Damage(Rect::new(5, 5, 10, 10)),
        ServerEvent::PointerPos { x: 4, y: 3 },
        ServerEvent::ExtendedKeys,
        ServerEvent::PointerAbsolute(true),
        ServerEvent::UpdateEnd,
        ServerEvent::ExtendedDesktopSize { reason: 1, status: 0, width: 20, height: 20, screens },
        ServerEvent::UpdateEnd,
        ServerEvent::DesktopSize { width: 30, height: 10 },
        ServerEvent::UpdateEnd,
    ]);
    (out, heard)
}

fn from_server(pieces: &[&[u8]]) -> Result<(Vec<ServerEvent>, Framebuffer), ProtocolError> {
    let mut picture = Framebuffer::new(20, 20).unwrap();
    let (mut reader, mut input) = (FromServer::new(PixelFormat::XRGB), BytesMut::new());
    let mut heard = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(event) = reader.step(&mut input, &mut picture)? {
            heard.push(event);
        }
    }
    Ok((heard, picture))
}

#[test]
fn what_a_server_says_is_heard_however_it_is_cut_and_never_before_it_is_complete() {
    let (bytes, all) = server_words();
    let whole = from_server(&[&bytes]).unwrap();
    assert_eq!(whole.0, all);
    for cut in 0..bytes.len() {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(from_server(&[head, tail]).unwrap(), whole, "cut at {cut}");
        let part = from_server(&[head]).unwrap().0;
        assert!(part.len() < all.len() && all.starts_with(&part), "{part:?} of {cut} bytes");
    }
}

#[test]
fn a_refused_size_changes_nothing_and_a_status_counts_only_for_who_asked() {
    let size = |reason: u16, status: u16, side: u16| {
        let mut out = Vec::new();
        let mut update = Update::begin(&mut out);
        update.extended_desktop_size(reason, status, (side, 10), &[]);
        update.end();
        let (heard, picture) = from_server(&[&out]).unwrap();
        let ServerEvent::ExtendedDesktopSize { status, .. } = heard[0] else { panic!("{heard:?}") };
        (status, picture.width())
    };
    assert_eq!(size(1, 3, 30), (3, 20));
    assert_eq!(size(1, 1, 65535), (1, 20));
    assert_eq!(size(0, 3, 30), (0, 30));
    assert_eq!(size(2, 1, 30), (0, 30));
    assert_eq!(size(7, 0, 30), (0, 30));
}

#[test]
fn a_hot_spot_outside_its_cursor_is_moved_inside() {
    let hot = |w: u16, h: u16| {
        let mut bytes = vec![0, 0, 0, 1];
        bytes.extend([65535, 3, w, h].into_iter().flat_map(u16::to_be_bytes));
        bytes.extend(pseudo::CURSOR.to_be_bytes());
        bytes.extend(vec![0; usize::from(w * h) * 4 + usize::from(h)]);
        match &from_server(&[&bytes]).unwrap().0[0] {
            ServerEvent::Cursor(cursor) => (cursor.hot_x, cursor.hot_y),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(hot(8, 2), (7, 1));
    assert_eq!(hot(0, 0), (0, 0));
}

#[test]
fn an_update_of_more_rectangles_than_it_can_say_goes_on_in_another() {
    let mut encoder = Encoder::new(PixelFormat::XRGB, None);
    let picture = Framebuffer::new(20, 20).unwrap();
    let mut out = Vec::new();
    let mut update = Update::begin(&mut out);
    for _ in 0..70_000 {
        update.pixels(&mut encoder, Encoding::Raw, &picture, Rect::new(3, 3, 1, 1));
    }
    update.end();
    let (heard, _) = from_server(&[&out]).unwrap();
    let ends = heard.iter().filter(|event| **event == ServerEvent::UpdateEnd).count();
    assert_eq!((heard.len() - ends, ends), (70_000, 2));
}

#[test]
fn rre_is_never_longer_than_raw() {
    let mut noise = Framebuffer::new(40, 40).unwrap();
    for y in 0..40 {
        (0..)
            .zip(noise.row_mut(0, y, 40))
            .for_each(|(x, pixel)| *pixel = (x * 7919) ^ (u32::from(y) * 104_729));
    }
    let mut encoder = Encoder::new(PixelFormat::XRGB, None);
    let mut len = |encoding| {
        let mut out = Vec::new();
        let mut update = Update::begin(&mut out);
        update.pixels(&mut encoder, encoding, &noise, noise.bounds());
        update.end();
        out.len()
    };
    assert!(len(Encoding::Rre) <= len(Encoding::Raw));
}

#[test]
fn lengths_that_lie_cost_no_memory_and_are_refused_or_read_past() {
    let viewer = |bytes: &[u8]| FromViewer::new().step(&mut BytesMut::from(bytes));
    assert_eq!(viewer(&[248, 0, 0, 0, 0, 0, 0, 0, 65]), Err(ProtocolError::Fence(65)));
    assert_eq!(viewer(&[251, 0, 255, 255, 0, 1, 0, 0]), Err(ProtocolError::Size { width: 65535, height: 1 }));
    assert_eq!(viewer(&[255, 9]), Err(ProtocolError::QemuMessage(9)));
    assert_eq!(viewer(&[7]), Err(ProtocolError::Message(7)));
    assert!(matches!(viewer(&[0; 20]), Err(ProtocolError::PixelFormat(_))));
    let Ok(Some(ClientMessage::SetEncodings(kept))) =
        viewer(&[&[2, 0, 255, 255][..], &[0; 65535 * 4]].concat())
    else {
        panic!("a list of encodings is not heard");
    };
    assert_eq!(kept.len(), limits::ENCODINGS);
    let server = |bytes: &[u8]| from_server(&[bytes]).map(|(heard, _)| heard);
    assert_eq!(server(&[248, 0, 0, 0, 0, 0, 0, 0, 200]), Err(ProtocolError::Fence(200)));
    assert_eq!(server(&[9]), Err(ProtocolError::Message(9)));
    // Colours beyond the map are read past.
    assert_eq!(server(&[&[1, 0, 255, 255, 0, 2][..], &[7; 12]].concat()), Ok(vec![ServerEvent::ColourMap]));
    // Cut text is kept up to its bound and the rest, or an extended one, is read past.
    let long = limits::CLIPBOARD + 1000;
    let text = |length: i32| [&[3, 0, 0, 0][..], &length.to_be_bytes(), &vec![b'x'; long], &[2]].concat();
    let heard = server(&text(i32::try_from(long).unwrap())).unwrap();
    let [ServerEvent::CutText(CutText::Text(kept)), ServerEvent::Bell] = &heard[..] else {
        panic!("not text and bell")
    };
    assert_eq!(kept.len(), limits::CUT_TEXT);
    let heard = server(&text(-i32::try_from(long).unwrap())).unwrap();
    assert_eq!(heard, [ServerEvent::CutText(CutText::Extended(Clipboard::Other)), ServerEvent::Bell]);
    assert_eq!(server(&text(i32::MIN)), Ok(Vec::new()));
    assert_eq!(server(&text(i32::MAX)), Ok(Vec::new()));
}
