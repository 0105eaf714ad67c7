//! One viewer's encoder holds up nobody: while it works on a large picture others get at what is shown.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops where something is wrong")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::mpsc;
use vmgl_proxy::display::Display;
use vmgl_proxy::seats::Seat;
use vmgl_proxy::viewer;
use vmgl_rfb::{ClientMessage, Encoding, Framebuffer, Rect, Security, pseudo};

/// A picture that no encoder makes small, or quickly.
fn noise() -> Framebuffer {
    let mut picture = Framebuffer::new(3840, 2160).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    picture.pixels_mut().fill_with(|| random.u32(..) & 0xff_ffff);
    picture
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_large_picture_is_encoded_others_get_at_what_is_shown() {
    let display = Display::new(noise());
    let (mut ours, theirs) = duplex(64 << 10);
    let (said, _heard) = mpsc::channel(16);
    let run = viewer::run(
        Box::new(theirs),
        "test".to_owned(),
        Seat::alone(),
        Security::None,
        false,
        display.clone(),
        said,
    );
    tokio::spawn(run);
    let mut words = b"RFB 003.008\n\x01\x01".to_vec();
    ClientMessage::SetEncodings(vec![Encoding::Zrle.number(), pseudo::COMPRESS_LEVEL + 9]).write(&mut words);
    ours.write_all(&words).await.unwrap();
    // Versions, security, its result; size, format, name.
    let mut greeting = vec![0; 12 + 2 + 4 + 24 + "vmgl-proxy".len()];
    ours.read_exact(&mut greeting).await.unwrap();

    let done = Arc::new(AtomicBool::new(false));
    let (other, over) = (display.clone(), Arc::clone(&done));
    let watch = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            drop(other.lock());
            longest = longest.max(began.elapsed());
            std::thread::yield_now();
        }
        longest
    });
    let began = Instant::now();
    let rect = Rect::new(0, 0, 3840, 2160);
    let mut ask = Vec::new();
    ClientMessage::UpdateRequest { incremental: false, rect }.write(&mut ask);
    ours.write_all(&ask).await.unwrap();
    // The update is written once it is encoded as a whole.
    ours.read_exact(&mut [0; 16]).await.unwrap();
    let encoded = began.elapsed();
    done.store(true, Ordering::Relaxed);
    let longest = watch.join().unwrap();
    eprintln!("encoded in {encoded:?}; what is shown was locked for at most {longest:?}");
    assert!(longest * 3 < encoded, "locked for {longest:?} of {encoded:?}");
}
