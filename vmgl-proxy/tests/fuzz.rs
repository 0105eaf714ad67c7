//! Bytes of any viewer and any server against the proxy's own state behind the parsers: nothing panics, what is
//! written for a peer is bounded, and nothing is left behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops where something is wrong")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;
use vmgl_proxy::display::Display;
use vmgl_proxy::link::{self, LinkError, Means, Order, Told};
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
        let run =
            viewer::run(Box::new(theirs), "fuzz".to_owned(), Security::None, false, display.clone(), said);
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
