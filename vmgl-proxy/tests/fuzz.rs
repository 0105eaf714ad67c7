//! Bytes of any viewer, any server and any watcher of windows against the proxy's own state behind the parsers: nothing panics, what is
//! written for a peer is bounded, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use vmgl_proxy::display::Display;
use vmgl_proxy::gl::scene::Key;
use vmgl_proxy::gl::seen::{self, Report, Seen};
use vmgl_proxy::link::{self, LinkError, Means, Order, Told};
use vmgl_proxy::seats::Seat;
use vmgl_proxy::tap::Tap;
use vmgl_proxy::{Address, viewer};
use vmgl_rfb::{
    ClientMessage, Clipboard, CutText, Encoder, Encoding, Fence, Framebuffer, PixelFormat, Rect, Screen,
    Security, ServerInit, Update, cut_text, fence, pseudo,
};

const PATIENCE: Duration = Duration::from_secs(20);
/// Most bytes that the proxy may write for each byte it is sent: a request of ten bytes for 64 x 48 pixels.
const ANSWER: usize = 2048;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn display() -> Display {
    let mut picture = Framebuffer::new(64, 48).unwrap();
    picture.fill(Rect::new(3, 4, 20, 20), 0xff_8040);
    Display::new(picture)
}

fn viewers() -> Vec<Vec<u8>> {
    let rect = Rect::new(0, 0, 64, 48);
    let can = [Encoding::Tight, Encoding::Zrle, Encoding::Raw].map(|encoding| {
        let all = [
            encoding.number(),
            pseudo::CURSOR,
            pseudo::EXTENDED_DESKTOP_SIZE,
            pseudo::EXTENDED_CLIPBOARD,
            pseudo::FENCE,
            pseudo::CONTINUOUS_UPDATES,
            pseudo::JPEG_QUALITY,
        ];
        ClientMessage::SetEncodings(all.to_vec())
    });
    let text = |message| ClientMessage::CutText(CutText::Extended(message));
    let screen = Screen { id: 1, rect, flags: 0 };
    let words = [
        ClientMessage::SetPixelFormat(PixelFormat::XRGB),
        ClientMessage::UpdateRequest { incremental: false, rect },
        ClientMessage::Pointer { buttons: 1, x: 5, y: 6 },
        ClientMessage::Key { down: true, keysym: 65 },
        ClientMessage::ContinuousUpdates { enable: true, rect },
        ClientMessage::Fence(Fence { flags: 1 << 31, payload: vec![1, 2] }),
        text(Clipboard::caps()),
        text(Clipboard::Notify(1)),
        text(Clipboard::Provide(Some("text".to_owned()))),
        text(Clipboard::Request(1)),
        ClientMessage::SetDesktopSize { width: 80, height: 60, screens: vec![screen] },
        ClientMessage::UpdateRequest { incremental: true, rect },
    ];
    let session = |can: &ClientMessage| {
        let mut bytes = b"RFB 003.008\n\x01\x01".to_vec();
        can.write(&mut bytes);
        words.iter().for_each(|word| word.write(&mut bytes));
        bytes
    };
    can.iter().map(session).collect()
}

wandisk_fuzz::target!(what_a_viewer_does_to_the_proxy, 3000, viewers(), |bytes: &[u8]| {
    runtime().block_on(async {
        let display = display();
        display.lock().set_cut("the server's text".into());
        let (ours, theirs) = duplex(4096);
        let (said, mut heard) = mpsc::channel(1 << 16);
        let run = viewer::run(
            Box::new(theirs),
            "fuzz".to_owned(),
            Seat::alone(),
            Security::None,
            false,
            display.clone(),
            said,
        );
        let serving = tokio::spawn(run);
        let (mut read, mut write) = tokio::io::split(ours);
        let (bytes, most) = (bytes.to_vec(), (bytes.len() + 1024) * ANSWER);
        tokio::spawn(async move {
            write.write_all(&bytes).await.ok();
            write.shutdown().await.ok();
        });
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.ok();
        timeout(PATIENCE, serving).await.expect("it hangs").unwrap().unwrap_err();
        assert!(answer.len() < most, "{} bytes", answer.len());
        assert!(display.lock().viewers.is_empty());
        while heard.recv().await.is_some() {}
    });
});

fn servers() -> Vec<Vec<u8>> {
    let session = |encoding| {
        let mut bytes = b"RFB 003.008\n\x01\x01\0\0\0\0".to_vec();
        let name = "fuzz".to_owned();
        ServerInit { width: 64, height: 48, format: PixelFormat::XRGB, name }.write(&mut bytes);
        let picture = display().lock().picture.clone();
        let mut encoder = Encoder::new(PixelFormat::XRGB, None);
        cut_text(&CutText::Extended(Clipboard::caps()), &mut bytes);
        cut_text(&CutText::Extended(Clipboard::Notify(1)), &mut bytes);
        fence(&Fence { flags: 1 << 31, payload: vec![1] }, &mut bytes);
        for size in [(64, 48), (80, 60)] {
            let mut update = Update::begin(&mut bytes);
            update.extended_desktop_size(0, 0, size, &[]);
            update.end();
            let mut update = Update::begin(&mut bytes);
            update.pixels(&mut encoder, encoding, &picture, picture.bounds());
            update.end();
        }
        cut_text(&CutText::Extended(Clipboard::Provide(Some("text".to_owned()))), &mut bytes);
        bytes
    };
    [Encoding::Zrle, Encoding::Tight, Encoding::Raw].map(session).to_vec()
}

wandisk_fuzz::target!(what_a_server_does_to_the_proxy, 1500, servers(), |bytes: &[u8]| {
    runtime().block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vnc");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let display = display();
        let tap = Tap::new(None).unwrap();
        let means = Means { display: display.clone(), tap, password: None, pull: false };
        let (orders, taken) = mpsc::channel(4);
        let (tell, mut told) = mpsc::channel(64);
        orders.send(Order::Show).await.unwrap();
        let link = tokio::spawn(link::run(1, Address::Unix(path), means, taken, tell));
        let (mut stream, _) = listener.accept().await.unwrap();
        let (bytes, most) = (bytes.to_vec(), (bytes.len() + 1024) * ANSWER);
        let server = tokio::spawn(async move {
            stream.write_all(&bytes).await.ok();
            stream.shutdown().await.ok();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
            answer.len()
        });
        timeout(PATIENCE, link).await.expect("it hangs").unwrap();
        let answer = server.await.unwrap();
        assert!(answer < most, "{answer} bytes");
        let mut end = None;
        while let Some((_, word)) = told.recv().await {
            if let Told::Gone(why) = word {
                end = Some(why);
            }
        }
        assert!(end.is_some_and(|end| !matches!(end, LinkError::LetGo)), "it was let go");
        assert!(display.lock().picture.bounds().area() <= vmgl_rfb::limits::PIXELS);
    });
});

/// Colours of windows' pictures: no other pixel has them.
const WINDOWS: [u32; 2] = [0x01_0203, 0x04_0506];

fn watchers() -> Vec<Vec<u8>> {
    let seen = |window, x, y, rects: &[Rect]| {
        let (width, height) = (30, 20);
        Seen { window, program: 9, x, y, width, height, rects: rects.to_vec() }
    };
    let near = seen(0, -5, 4, &[Rect::new(0, 4, 20, 20)]);
    let parts = [Rect::new(30, 10, 10, 10), Rect::new(40, 15, 30, 40)];
    let far = seen(1, 28, 8, &parts);
    let all = [
        Report { windows: vec![near.clone(), far.clone()], is_composited: false },
        Report { windows: vec![far], is_composited: true },
        Report::default(),
        Report { windows: vec![near], is_composited: false },
    ];
    let session: Vec<Vec<u8>> = all.iter().map(seen::write).collect();
    vec![session.concat(), session[0].clone()]
}

wandisk_fuzz::target!(what_a_watcher_says_of_windows, 5_000, watchers(), |bytes: &[u8]| {
    let display = display();
    let mut shown = display.lock();
    let below = shown.picture.clone();
    for (window, colour) in (0..).zip(WINDOWS) {
        let mut picture = Framebuffer::new(30, 20).unwrap();
        picture.fill(picture.bounds(), colour);
        shown.overlay(|scene| scene.picture(Key { program: 9, window }, picture).0);
    }
    let mut rest = bytes;
    while let Some((head, body)) = rest.split_first_chunk::<4>() {
        let Ok(length) = seen::length(*head) else { break };
        let Some((body, behind)) = body.split_at_checked(length) else { break };
        rest = behind;
        let Ok(report) = seen::read(body) else { break };
        let written = seen::write(&report);
        assert_eq!(seen::read(&written[4..]).as_ref(), Ok(&report), "what is read is written the same");
        let windows = report.windows.clone();
        shown.overlay(|scene| scene.report(report.windows));
        // A window's picture is where the window is seen, and nowhere else; all else is what is below.
        for (x, y) in (0..64).flat_map(|x| (0..48).map(move |y| (x, y))) {
            let (pixel, place) = (shown.picture.row(x, y, 1)[0], Rect::new(x, y, 1, 1));
            let its = |seen: &&Seen| WINDOWS.get(seen.window as usize) == Some(&pixel) && seen.program == 9;
            let is_seen =
                || windows.iter().filter(its).flat_map(|it| &it.rects).any(|it| it.contains(&place));
            assert!(pixel == below.row(x, y, 1)[0] || is_seen(), "{pixel:x} at {x}, {y}: {windows:?}");
        }
    }
});
