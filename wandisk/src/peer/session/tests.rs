//! A session against a peer in the test's hands: order, deadlines, bounds. Time stands still unless it is waited for.

use super::*;
use bytes::Bytes;
use futures::FutureExt;
use std::sync::atomic::AtomicUsize;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use wandisk_store::SiteId;

use crate::peer::frame::Frame;
use crate::peer::limits::{FRAME, FRAME_MAX};
use crate::peer::pieces::Cutter;

/// Echoes; a head that begins with `b` is bulk, one that is `wait` is never answered, one that is `big` takes room.
#[derive(Default)]
struct Echo {
    begun: AtomicUsize,
}

const BIG: usize = 4 << 20;

impl Handler for Echo {
    fn class_of(&self, (head, _): &Parts) -> Class {
        if head.starts_with(b"b") { Class::Bulk } else { Class::Demand }
    }

    fn room_for(&self, (head, _): &Parts) -> usize {
        if head == b"big" { BIG } else { SMALL_ANSWER }
    }

    fn handle(
        &self,
        _: HelloFields,
        parts: Parts,
        _: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        async move {
            match parts.0.as_slice() {
                b"wait" => std::future::pending().await,
                b"big" => Ok((Vec::new(), Bytes::from(vec![0; BIG])).into()),
                b"bulk" => Ok(Reply { pack: Pack::Yes, ..parts.into() }),
                _ => Ok(parts.into()),
            }
        }
        .boxed()
    }
}

fn hello(name: &str) -> HelloFields {
    HelloFields {
        site: SiteId::random(),
        name: name.to_owned(),
        disk: None,
        program: String::new(),
        free_bytes: None,
    }
}

async fn pair(buffer: usize) -> (Session, Session) {
    let (left, right) = tokio::io::duplex(buffer);
    let (a, b) = (hello("a"), hello("b"));
    let echo = || Arc::new(Echo::default());
    let both = tokio::join!(Session::start(left, &a, echo()), Session::start(right, &b, echo()));
    (both.0.unwrap(), both.1.unwrap())
}

/// A peer in the test's hands, which speaks frames as it likes.
async fn raw_peer(buffer: usize, echo: &Arc<Echo>) -> (Session, DuplexStream) {
    let (left, mut right) = tokio::io::duplex(buffer);
    let mine = hello("a");
    let start = Session::start(left, &mine, Arc::clone(echo) as Arc<dyn Handler>);
    let greet = async {
        frame::send_hello(&mut right, &hello("b")).await.unwrap();
        frame::read_hello(&mut right).await.unwrap();
    };
    let session = tokio::join!(start, greet).0.unwrap();
    (session, right)
}

async fn say(stream: &mut DuplexStream, kind: Kind, id: u64, head: &[u8], body: usize) {
    let mut cutter = Cutter::new(Message::new(kind, id, (head.to_vec(), Bytes::from(vec![1; body]))));
    while let Some(frame) = cutter.next_frame() {
        frame::send(stream, &frame).await.unwrap();
    }
}

/// The next frame that is no ping.
async fn hear(stream: &mut DuplexStream) -> Frame {
    loop {
        let frame = frame::read(stream).await.unwrap();
        if frame.kind != Kind::Ping {
            return frame;
        }
    }
}

/// Lets everything else go as far as it can: time stands still until all wait.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_ask_and_are_answered() {
    let (a, b) = pair(1 << 16).await;
    let body = Bytes::from(vec![7; 1 << 20]);
    let there = a.request((b"x".to_vec(), body.clone()), Class::Bulk, None).await.unwrap();
    let back = b.request((b"y".to_vec(), Bytes::new()), Class::Demand, None).await.unwrap();
    assert_eq!((there.parts.1, back.parts.0.as_slice()), (body, b"y".as_slice()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_told_to_whoever_waits() {
    let (a, b) = pair(1 << 16).await;
    let asker = a.clone();
    let waiting =
        tokio::spawn(
            async move { asker.request((b"wait".to_vec(), Bytes::new()), Class::Demand, None).await },
        );
    b.close("it was enough");
    assert!(matches!(waiting.await.unwrap(), Err(RequestError::Broken(_))));
    assert_eq!(a.closed().await, "it was enough");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_session_lets_go_of_a_stream_that_nobody_reads() {
    let (left, mut right) = tokio::io::duplex(4096);
    let mine = hello("a");
    let mut said = Vec::new();
    frame::send_hello(&mut said, &mine).await.unwrap();
    let hello_len = said.len();
    let start = Session::start(left, &mine, Arc::new(Echo::default()));
    let greet = async { frame::send_hello(&mut right, &hello("b")).await.unwrap() };
    let (session, ()) = tokio::join!(start, greet);
    let session = session.unwrap();
    let asker = session.clone();
    tokio::spawn(async move {
        asker.request((b"x".to_vec(), Bytes::from(vec![0; 1 << 20])), Class::Bulk, None).await
    });
    // The first ping and the first KiB of the request, so that the rest of it is stuck half-way.
    right.read_exact(&mut vec![0; hello_len + 1024]).await.unwrap();
    session.close("nobody reads");
    // Nothing is ever read here; that the stream is let go of shows when writing to it fails.
    let let_go = async {
        while right.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), let_go).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_somebody_waits_for_waits_for_one_piece_of_bulk() {
    let (_session, mut peer) = raw_peer(1024, &Arc::default()).await;
    say(&mut peer, Kind::Request, 1, b"b", 0).await;
    assert!(!hear(&mut peer).await.more, "an answer without a body is one frame");
    let bulk = async |peer: &mut DuplexStream| {
        // Read while it is written: neither end may wait for the other.
        let body = Frame {
            kind: Kind::Request,
            id: 2,
            more: true,
            packed: false,
            head: b"b".to_vec(),
            piece: Bytes::new(),
        };
        frame::send(peer, &body).await.unwrap();
        for left in (0..16).rev() {
            let piece = Bytes::from(vec![1; FRAME_MAX]);
            let frame =
                Frame { kind: Kind::Request, id: 2, more: left > 0, packed: false, head: Vec::new(), piece };
            frame::send(peer, &frame).await.unwrap();
        }
    };
    bulk(&mut peer).await;
    // The first piece of the answer is on the link, the second stuck in it when the question comes.
    assert!(hear(&mut peer).await.more);
    settle().await;
    say(&mut peer, Kind::Request, 3, b"x", 0).await;
    settle().await;
    let mut pieces_before = 0;
    while hear(&mut peer).await.id != 3 {
        pieces_before += 1;
    }
    assert!(pieces_before <= 1, "it waited for {pieces_before} pieces of {FRAME_MAX} bytes");
}

#[tokio::test(start_paused = true)]
async fn a_slow_frame_is_not_silence() {
    let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
    let mut bytes = Vec::new();
    let frame = Frame {
        kind: Kind::Request,
        id: 1,
        more: false,
        packed: false,
        head: b"x".to_vec(),
        piece: vec![1; 60_000].into(),
    };
    frame::send(&mut bytes, &frame).await.unwrap();
    // 40 s for one frame, twice what silence may last; a byte comes every ten seconds at least.
    for part in bytes.chunks(bytes.len() / 4) {
        tokio::time::sleep(Duration::from_secs(10)).await;
        peer.write_all(part).await.unwrap();
    }
    settle().await;
    assert!(!session.is_closed());
    assert_eq!(hear(&mut peer).await.piece.len(), 60_000);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session_and_so_does_a_frame_without_end() {
    let (session, _peer) = raw_peer(1 << 20, &Arc::default()).await;
    assert_eq!(session.closed().await, "the far side was silent for too long");
    let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
    let began = Instant::now();
    let mut bytes = Vec::new();
    let frame = Frame {
        kind: Kind::Request,
        id: 1,
        more: false,
        packed: false,
        head: b"x".to_vec(),
        piece: vec![1; 100].into(),
    };
    frame::send(&mut bytes, &frame).await.unwrap();
    for byte in &bytes {
        if session.is_closed() {
            break;
        }
        peer.write_all(&[*byte]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let why = session.closed().await;
    assert!(why.contains("for a frame") && began.elapsed() < 2 * FRAME, "{why} after {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_stops_its_own_requests_and_is_cut() {
    let echo = Arc::new(Echo::default());
    let (session, mut peer) = raw_peer(64 << 10, &echo).await;
    for id in 1..=200 {
        say(&mut peer, Kind::Request, id, b"big", 0).await;
    }
    settle().await;
    let begun = echo.begun.load(Ordering::Relaxed);
    assert_eq!(begun, ANSWERS_MAX / BIG, "each of 4 MiB, 200 asked for");
    let silence = async {
        loop {
            say(&mut peer, Kind::Ping, 1, b"", 0).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
    };
    let why = tokio::select! {
        why = session.closed() => why,
        () = silence => String::new(),
    };
    assert!(why.contains("takes nothing"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn whoever_answers_what_was_not_asked_is_cut() {
    for (kind, head) in [
        (Kind::Reply, b"{}".as_slice()),
        (Kind::Error, br#"{"code":"rules","message":"no","hint":null}"#),
        (Kind::Progress, br#"{"phase":"x","total":0,"done":0,"bytes":0}"#),
    ] {
        let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
        say(&mut peer, kind, 1, head, 0).await;
        assert_eq!(session.closed().await, "the far side answered what was not asked");
    }
    let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
    say(&mut peer, Kind::Pong, u64::MAX / 2, b"", 0).await;
    assert_eq!(session.closed().await, "the far side answered a ping that was not sent");
}

#[tokio::test(start_paused = true)]
async fn requests_without_end_are_cut_by_number_and_by_bytes() {
    for (count, body, why) in [(600, 0, "512 requests"), (40, 4 << 20, "bytes")] {
        let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
        let flood = async {
            for id in 1..=count {
                let head = b"wait";
                let mut cutter =
                    Cutter::new(Message::new(Kind::Request, id, (head.to_vec(), vec![0; body].into())));
                while let Some(frame) = cutter.next_frame() {
                    if frame::send(&mut peer, &frame).await.is_err() {
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(9), flood).await.ok();
        assert!(session.closed().await.contains(why), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_says_cannot_steer_a_terminal() {
    let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
    let asked =
        tokio::spawn(
            async move { session.request((b"q".to_vec(), Bytes::new()), Class::Demand, None).await },
        );
    let id = hear(&mut peer).await.id;
    let said = format!("no\u{1b}[2J\nforged{}", "x".repeat(5000));
    let refusal = serde_json::to_vec(&Refusal::new(Code::Rules, said)).unwrap();
    say(&mut peer, Kind::Error, id, &refusal, 0).await;
    let Err(RequestError::Refused(refusal)) = asked.await.unwrap() else { panic!("it was refused") };
    assert!(refusal.message.starts_with("no [2J forged") && refusal.message.len() <= 1000, "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn a_session_is_in_use_while_either_end_waits() {
    let (a, b) = pair(1 << 16).await;
    let asker = a.clone();
    let asked =
        tokio::spawn(
            async move { asker.request((b"wait".to_vec(), Bytes::new()), Class::Demand, None).await },
        );
    settle().await;
    assert!(!a.is_unused() && !b.is_unused());
    asked.abort();
    settle().await;
    assert!(a.is_unused() && b.is_unused());
}

/// A body that packs about as text does, other words each time.
fn words(seed: u64) -> Bytes {
    let mut random = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    let mut letters = vec![0; 40_000];
    random.fill(&mut letters);
    letters.into_iter().flat_map(|n| format!("{} ", n % 50).into_bytes()).collect::<Vec<u8>>().into()
}

/// Bulk answers that give way share a stream, and what somebody waits for goes past them as it is.
#[tokio::test(flavor = "multi_thread")]
async fn bulk_answers_are_packed_together_and_come_as_they_were() {
    let (a, b) = pair(1 << 16).await;
    let asked = (0..24u64).map(|n| {
        let (a, class) = (a.clone(), if n % 4 == 3 { Class::Demand } else { Class::Bulk });
        let head = if class == Class::Demand { b"x".to_vec() } else { b"bulk".to_vec() };
        async move {
            let body = words(n % 3);
            let answered = a.request((head, body.clone()), class, None).await.unwrap();
            assert_eq!(answered.parts.1, body);
            (class, answered.on_the_wire, body.len())
        }
    });
    let all = futures::future::join_all(asked).await;
    let packed = |class| -> (usize, usize) {
        let of_class = all.iter().filter(|(c, ..)| *c == class);
        of_class.fold((0, 0), |sum, (_, wire, plain)| (sum.0 + wire, sum.1 + plain))
    };
    let (wire, plain) = packed(Class::Demand);
    assert_eq!(wire, plain, "nothing is packed");
    let (wire, plain) = packed(Class::Bulk);
    assert!(wire * 5 < plain, "{wire} of {plain}: each came at least six times");
    drop(b);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_none_ends_the_session() {
    let (session, mut peer) = raw_peer(1 << 20, &Arc::default()).await;
    let frame = Frame {
        kind: Kind::Request,
        id: 1,
        more: false,
        packed: true,
        head: Vec::new(),
        piece: Bytes::from_static(b"no stream at all"),
    };
    frame::send(&mut peer, &frame).await.unwrap();
    assert_eq!(session.closed().await, "the far side sent a packed message that is none");
}

/// A stream rests when nothing is packed for a while; what comes after begins anew, and is understood.
#[tokio::test(start_paused = true)]
async fn a_stream_that_rested_goes_on() {
    let (a, _b) = pair(1 << 20).await;
    for _ in 0..3 {
        let body = words(1);
        let answered = a.request((b"bulk".to_vec(), body.clone()), Class::Bulk, None).await.unwrap();
        assert_eq!(answered.parts.1, body);
        assert!(answered.on_the_wire * 2 < body.len(), "what was packed before the rest is not needed");
        tokio::time::sleep(2 * super::super::limits::PACKER_IDLE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_silent_since_a_newer_session_began_is_heard_when_asked() {
    let (older, _far) = pair(1 << 16).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (newer, _newer_far) = pair(1 << 16).await;
    settle().await;
    assert!(!older.heard_since(&newer), "its next ping is seconds away");
    older.ping();
    settle().await;
    assert!(older.heard_since(&newer));
}

#[tokio::test(start_paused = true)]
async fn a_link_that_gets_wider_is_used_whole_a_round_trip_later() {
    let (older, _far) = pair(1 << 16).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (newer, _newer_far) = pair(1 << 16).await;
    settle().await;
    let mut of_site = vec![older.clone()];
    crate::peer::peers::take_in(&mut of_site, newer.clone());
    settle().await;
    assert!(older.heard_since(&newer), "its next ping is seconds away");
}
