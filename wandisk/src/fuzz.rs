//! What another site can send: hellos, frames, requests, rows, chunks. Each target says what holds for any bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;
use wandisk_store::{
    DiskDir, DiskId, DiskMeta, Epoch, Home, KnownSite, LineageId, OpenError, Residency, Row, SiteId, Version,
};

use crate::delta::choice::Way;
use crate::delta::{self, Form, Travels};
use crate::engine::Engine;
use crate::peer::error::{Code, Refusal};
use crate::peer::facts;
use crate::peer::frame::{self, Kind, Message};
use crate::peer::limits::{BODY_MAX, HEAD_MAX, JOINING_MAX, SENTENCE_MAX};
use crate::peer::message::{Ask, Envelope, FactSite, Facts, HelloFields, Progress, SyncOptions};
use crate::peer::packing::{Packer, Unpacker};
use crate::peer::parts::Part;
use crate::peer::pieces::{Cutter, Joiner};
use crate::peer::rows;
use crate::peer::session::{Class, Handler, Parts, ProgressSink, Reply, Session};

const CHUNK: usize = 128 << 10;

/// Ids are fixed: the same seed gives the same inputs.
fn site_id(n: u128) -> SiteId {
    SiteId(Uuid::from_u128(0x1111_2222_3333_4444_8888_0000_0000_0000 + n))
}

fn disk_id() -> DiskId {
    DiskId(Uuid::from_u128(0xaaaa_bbbb_cccc_4444_8888_0000_0000_0001))
}

fn lineage_id() -> LineageId {
    LineageId(Uuid::from_u128(0x5555_6666_7777_4444_8888_0000_0000_0002))
}

fn hello_fields() -> HelloFields {
    HelloFields {
        site: site_id(7),
        name: "a".to_owned(),
        disk: Some(disk_id()),
        program: "0.1.0".to_owned(),
        free_bytes: Some(1),
    }
}

fn some_facts() -> Facts {
    let id = site_id(7);
    Facts {
        uuid: disk_id(),
        name: "d".to_owned(),
        size_bytes: 1 << 30,
        size_counter: 1,
        chunk_size: 128 << 10,
        lineages: vec![lineage_id()],
        forks: Vec::new(),
        epoch: Epoch(1),
        resident: id,
        sites: vec![FactSite { id, name: "a".to_owned(), address: Some("ssh://me@big:2222".to_owned()) }],
        counter: 7,
    }
}

/// A stream that needs no waiting: everything is there.
fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a slice never makes anybody wait")
}

fn bytes_of(messages: Vec<Message>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in messages {
        let mut cutter = Cutter::new(message);
        while let Some(frame) = cutter.next_frame() {
            now(frame::send(&mut bytes, &frame)).unwrap();
        }
    }
    bytes
}

fn request(id: u64, ask: Ask, body: usize) -> Message {
    let envelope = Envelope { to: site_id(7), path: vec![site_id(7)], ask };
    Message::new(Kind::Request, id, (serde_json::to_vec(&envelope).unwrap(), Bytes::from(vec![7; body])))
}

fn frame_seeds() -> Vec<Vec<u8>> {
    let refusal = serde_json::to_vec(&Refusal::new(Code::Rules, "no").hint("ask")).unwrap();
    let progress =
        serde_json::to_vec(&Progress { phase: "chunks".to_owned(), ..Progress::default() }).unwrap();
    let fetch = |id| {
        request(
            id,
            Ask::Fetch {
                chunk: 7,
                version: Version::new(0, 5),
                lineage: lineage_id(),
                demand: true,
                part: Part::of(4096, 8192),
            },
            0,
        )
    };
    let options = SyncOptions { verify: true, no_freeze: false, rate: None };
    vec![
        bytes_of(vec![fetch(1), Message::bare(Kind::Cancel, 1), Message::bare(Kind::Ping, 9), fetch(2)]),
        bytes_of(vec![
            Message::new(Kind::Error, 1, (refusal, Bytes::new())),
            Message::new(Kind::Progress, 2, (progress, Bytes::new())),
            Message::bare(Kind::Pong, 5),
            Message::new(Kind::Bye, 0, (b"that was all".to_vec(), Bytes::new())),
        ]),
        bytes_of(vec![
            request(1, Ask::Offer { facts: some_facts() }, 0),
            request(2, Ask::Sync { options, rows: None, notes: false }, 0),
        ]),
        bytes_of(vec![request(1, Ask::Push { facts: some_facts() }, 100_000)]),
        // What only these can be: two messages in pieces that take turns, and a reply that never ends.
        {
            let mut lanes = [fetch(1), fetch(2)]
                .map(|m| Cutter::new(Message { parts: (m.parts.0, Bytes::from(vec![1; 70_000])), ..m }));
            let mut bytes = Vec::new();
            for turn in [0, 1, 1, 0] {
                if let Some(frame) = lanes[turn].next_frame() {
                    now(frame::send(&mut bytes, &frame)).unwrap();
                }
            }
            bytes
        },
    ]
}

wandisk_fuzz::target!(link_frames, 60_000, frame_seeds(), |bytes: &[u8]| {
    let mut stream = bytes;
    let mut joiner = Joiner::default();
    while let Ok(frame) = now(frame::read(&mut stream)) {
        let Ok(joined) = joiner.take(frame) else { break };
        assert!(joiner.held_bytes() <= JOINING_MAX * (BODY_MAX + HEAD_MAX));
        let Some(message) = joined else { continue };
        assert!(message.fits(), "what is received could have been sent");
        let head = &message.parts.0;
        match message.kind {
            Kind::Request => {
                let Ok(envelope) = serde_json::from_slice::<Envelope>(head) else { continue };
                let again = serde_json::to_vec(&envelope).unwrap();
                serde_json::from_slice::<Envelope>(&again).unwrap();
            }
            Kind::Error => {
                let Ok(refusal) = serde_json::from_slice::<Refusal>(head) else { continue };
                let text = refusal.tamed();
                let all = text.message.clone() + text.hint.as_deref().unwrap_or_default();
                assert!(!all.contains(char::is_control) && all.chars().count() <= 2 * SENTENCE_MAX);
            }
            Kind::Progress => drop(serde_json::from_slice::<Progress>(head).map(Progress::tamed)),
            Kind::Bye => assert!(frame::printable(head).is_ascii()),
            Kind::Reply => {}
            Kind::Cancel | Kind::Ping | Kind::Pong => assert!(head.is_empty()),
        }
    }
});

/// What is packed of messages: a real one, one whose head is longer than all of it, and none.
fn packed_seeds() -> Vec<Vec<u8>> {
    let real = [&2u32.to_le_bytes()[..], b"{}", &noise(1)[..5000]].concat();
    vec![real, [&u32::MAX.to_le_bytes()[..], b"{}"].concat(), Vec::new()]
}

wandisk_fuzz::target!(packed_messages, 12_000, packed_seeds(), {
    let before = peak();
    move |bytes: &[u8]| {
        // As a peer packs it, as one that packs something else does, and as one that packs nothing does.
        let stream = Packer::new(1).unwrap().pack(&bytes[..bytes.len().min(40)], bytes).unwrap();
        let other = zstd::bulk::compress(bytes, 1).unwrap();
        let mut unpacker = Unpacker::default();
        for body in [&stream, &other, bytes, &stream] {
            let parts = (Vec::new(), Bytes::copy_from_slice(body));
            let sent = Message { packed: true, ..Message::new(Kind::Reply, 1, parts) };
            let Ok(message) = unpacker.unpack(sent) else { continue };
            assert!(message.fits() && !message.packed);
        }
        assert!(peak().saturating_sub(before) < 128 << 20, "{} MiB", (peak() - before) >> 20);
    }
});

wandisk_fuzz::target!(
    hellos,
    60_000,
    {
        let mut bytes = Vec::new();
        now(frame::send_hello(&mut bytes, &hello_fields())).unwrap();
        vec![bytes, b"Welcome to Debian\r\n".to_vec()]
    },
    |bytes: &[u8]| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        // What is no hello is shown, and with what comes within a moment: that needs a clock.
        let result = runtime.block_on(frame::read_hello_raw(&mut &bytes[..]));
        match result {
            Ok((fields, raw)) => {
                assert_eq!(raw, bytes[..raw.len()], "passed on as it came");
                assert_eq!(fields.check(), Ok(()));
                assert!(!fields.name.contains(char::is_control));
            }
            Err(e) => assert!(!e.to_string().contains(|c: char| c.is_control()), "{e}"),
        }
    }
);

wandisk_fuzz::target!(
    facts_of_a_disk,
    100_000,
    vec![serde_json::to_vec(&some_facts()).unwrap()],
    |bytes: &[u8]| {
        let Ok(told) = serde_json::from_slice::<Facts>(bytes) else { return };
        if facts::check(&told).is_err() {
            return;
        }
        // A file is made of this, and a program's arguments.
        assert!(told.size_bytes > 0 && told.size_bytes.div_ceil(u64::from(told.chunk_size)) <= 1 << 44);
        assert!(!told.name.contains(['/', '\0']) && !told.name.starts_with('.'));
        let addresses = told.sites.iter().filter_map(|s| s.address.as_deref());
        assert!(addresses.into_iter().all(|a| a.starts_with("ssh://")), "{told:?}");
        assert!(told.sites.len() <= 32 && told.sites.iter().any(|s| s.id == told.resident));
    }
);

/// Answers everything with itself.
struct Echo;

impl Handler for Echo {
    fn handle(
        &self,
        _: HelloFields,
        parts: Parts,
        _: ProgressSink,
    ) -> BoxFuture<'static, Result<Reply, Refusal>> {
        async move { Ok(parts.into()) }.boxed()
    }
}

wandisk_fuzz::target!(
    sessions,
    6_000,
    {
        let mut reply = frame_seeds();
        reply.push(bytes_of(vec![Message::new(
            Kind::Reply,
            1,
            (b"{}".to_vec(), Bytes::from(vec![1; 70_000])),
        )]));
        reply
    },
    |bytes: &[u8]| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (ours, mut theirs) = tokio::io::duplex(1 << 20);
            let (mine, yours) = (hello_fields(), hello_fields());
            let start = Session::start(ours, &mine, Arc::new(Echo));
            let greet = async { frame::send_hello(&mut theirs, &yours).await.unwrap() };
            let session = tokio::join!(start, greet).0.unwrap();
            let (mut hear, mut say) = tokio::io::split(theirs);
            let talk = async {
                say.write_all(bytes).await.ok();
                say.shutdown().await.ok();
            };
            let asked = session.request((b"{}".to_vec(), Bytes::new()), Class::Demand, None);
            let drain = tokio::spawn(async move { tokio::io::copy(&mut hear, &mut tokio::io::sink()).await });
            let (why, _, _) = tokio::join!(session.closed(), talk, asked);
            drain.abort();
            // A task that died of a panic would leave the end of it to silence.
            assert!(!why.contains("silent") && !why.contains("for a frame"), "{why}");
        });
    }
);

fn raw_rows() -> Vec<Vec<u8>> {
    let row =
        |counter, holders, owner| Row { version: Version::new(0, counter), holders, owner, ..Row::default() };
    let packed =
        rows::pack(&[(0, row(1, 1, 0)), (7, row(9, 3, 1)), (1 << 40, row(2, u32::MAX, 31))]).unwrap();
    let unpacked = zstd::bulk::decompress(&packed, 1 << 20).unwrap();
    let ranges = rows::pack_ranges(&[0..3, 9..10, 1 << 40..1 << 44]).unwrap();
    vec![unpacked, zstd::bulk::decompress(&ranges, 1 << 20).unwrap(), vec![0; 24 * 100]]
}

wandisk_fuzz::target!(rows_of_a_foreign_table, 20_000, raw_rows(), |bytes: &[u8]| {
    let numbers = [2u8, 0, 5];
    let packed = zstd::bulk::compress(bytes, 1).unwrap();
    for body in [bytes, &packed] {
        if let Some(rows) = rows::unpack(body, &numbers) {
            assert!(rows.len() <= rows::ROWS_MAX);
            for row in rows {
                assert!(numbers.contains(&row.owner), "a site that nobody told of");
                assert_eq!(row.holders & !0b10_0101, 0, "holders that nobody told of");
            }
        }
        if let Some(pairs) = rows::unpack_versions(body) {
            assert!(pairs.len() <= rows::ROWS_MAX);
        }
        if let Some(ranges) = rows::unpack_ranges(body, 1 << 44) {
            let ours = [0..100, 1 << 43..(1 << 43) + 100];
            assert!(rows::common(&ours, &ranges).count() <= 200);
        }
    }
});

fn noise(seed: u64) -> Vec<u8> {
    let mut out = vec![0; CHUNK];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Peak of this process's memory in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default() << 10
}

/// librsync deltas: real ones, and "copy everything" many times.
fn deltas() -> Vec<Vec<u8>> {
    let (old, mut new) = (noise(1), noise(1));
    new[5000..9000].copy_from_slice(&noise(2)[..4000]);
    let description = delta::describe_basis(Way::Rolling, Some(&old)).unwrap();
    let (hash, new) = (blake3::hash(&new), Bytes::from(new));
    let (form, body) = delta::encode(&new, hash.as_bytes(), &description, Travels::Alone).unwrap();
    assert_eq!(form, Form::Delta);
    let mut copies = 0x7273_0236u32.to_be_bytes().to_vec();
    for _ in 0..50 {
        copies.extend([0x4f, 0, 0, 0, 0, 0, 2, 0, 0]);
    }
    copies.push(0);
    vec![zstd::bulk::decompress(&body, 1 << 20).unwrap(), copies]
}

wandisk_fuzz::target!(chunks_of_every_form, 12_000, deltas(), {
    let basis = noise(1);
    let before = peak();
    move |bytes: &[u8]| {
        let packed = zstd::bulk::compress(bytes, 1).unwrap();
        for form in Form::ALL {
            // The last one: three blocks that differ, packed.
            for body in [bytes, &packed, &[&[7, 0, 0, 0], &packed[..]].concat()] {
                if let Ok(Some(made)) = delta::decode(form, body, Some(&basis), CHUNK) {
                    assert_eq!(made.len(), CHUNK);
                }
            }
        }
        // A chunk, its basis, a delta, and what librsync needs, many times over; not what a delta claims.
        assert!(peak().saturating_sub(before) < 64 << 20, "{} MiB", (peak() - before) >> 20);
    }
});

wandisk_fuzz::target!(
    descriptions_of_a_basis,
    5_000,
    vec![
        delta::describe_basis(Way::Blocks, Some(&noise(1))).unwrap(),
        delta::describe_basis(Way::Rolling, Some(&noise(1))).unwrap(),
        delta::describe_basis(Way::Rolling, Some(&noise(1)[..16 << 10])).unwrap()
    ],
    {
        let bytes = noise(1);
        let hash = *blake3::hash(&bytes).as_bytes();
        let before = peak();
        move |description: &[u8]| {
            let description = &description[..description.len().min(delta::description_max(CHUNK))];
            let (form, body) =
                delta::encode(&Bytes::copy_from_slice(&bytes), &hash, description, Travels::Alone).unwrap();
            assert!(body.len() <= CHUNK, "{form:?}");
            assert!(peak().saturating_sub(before) < 64 << 20, "{} MiB", (peak() - before) >> 20);
        }
    }
);

/// A replica of 128 chunks at a site of its own, and the folder that it lives in.
fn replica() -> (tempfile::TempDir, DiskDir) {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::init(&folder.path().join("home"), "here").unwrap();
    let resident = site_id(1);
    let here = KnownSite::named(home.id(), "here");
    let meta = DiskMeta {
        resident,
        residency: Residency::Replica,
        sites: vec![KnownSite::named(resident, "there"), here.clone()],
        ..DiskMeta::new(disk_id(), 128 * CHUNK as u64, 128 << 10, lineage_id(), here)
    };
    let dir = home.disk("d").unwrap();
    dir.create(&meta, |_, _, _, _| Ok::<(), OpenError>(())).unwrap();
    (folder, dir)
}

fn table_seeds() -> Vec<Vec<u8>> {
    let row = |counter, zero| Row { version: Version::new(0, counter), holders: 1, zero, ..Row::default() };
    let unpacked = |rows: &[(u64, Row)]| zstd::bulk::decompress(&rows::pack(rows).unwrap(), 1 << 20).unwrap();
    let many: Vec<(u64, Row)> = (0..128).map(|c| (c, row(c + 1, c % 3 == 0))).collect();
    vec![unpacked(&[(0, row(1, false)), (7, row(9, true)), (127, row(3, false))]), unpacked(&many)]
}

/// Rows of a foreign table go into the real one: whatever they are, each is taken whole or refused whole, and what is
/// in memory is what a restart reads.
#[test]
fn a_foreign_table_is_taken_or_refused() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (_folder, dir) = replica();
    let open = || {
        runtime.block_on(async {
            let lock = dir.lock().unwrap();
            tokio::spawn({
                let dir = dir.clone();
                async move { Engine::open(&dir, lock, tokio::runtime::Handle::current()).await.unwrap() }
            })
            .await
            .unwrap()
        })
    };
    let engine = open();
    let kept = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    wandisk_fuzz::run(&kept, "foreign_table", 1_500, table_seeds(), |bytes| {
        let body = zstd::bulk::compress(bytes, 1).unwrap();
        let Some(rows) = rows::unpack(&body, &[0, 1]) else { return };
        let before = engine.table_mark();
        let adopting = Arc::clone(&engine);
        let adopted = runtime
            .block_on(async { tokio::spawn(async move { adopting.adopt_rows(&rows).await }).await.unwrap() });
        if adopted.is_err() {
            assert_eq!(engine.table_mark(), before, "a table that makes no sense changes nothing");
        }
    });
    let (digest, _) = engine.table_mark();
    let all = engine.rows_since(0, 0, usize::MAX);
    assert!(!all.is_empty() && all.iter().all(|(chunk, row)| *chunk < 128 && usize::from(row.owner) < 2));
    runtime.block_on(engine.close()).unwrap();
    drop(engine);
    let again = open();
    assert_eq!((again.table_mark().0, again.rows_since(0, 0, usize::MAX)), (digest, all));
}
