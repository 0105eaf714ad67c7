//! Viewers and servers that send without end, or never read: memory stays bounded, and others are served.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use vmgl_rfb::Encoding;

use crate::peers::{Proxy, Viewer, Xvnc, eventually, is, notes, unix};

/// What the proxy may need in debug builds with a small picture, in bytes.
const MEMORY: u64 = 96 << 20;
const BEGIN: &[u8] = b"RFB 003.008\n\x01\x01";

/// Writes until so many bytes are written, the other end takes no more, or it hangs up; it reads nothing.
fn flood(door: &Path, piece: &[u8], most: usize) -> UnixStream {
    // Keys go on to the server, which is not what is tried here.
    let most = if piece.first() == Some(&4) { 64 << 10 } else { most };
    let mut stream = UnixStream::connect(door).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = stream.write(BEGIN).unwrap();
    while written < most {
        match stream.write(piece) {
            Ok(n) => written += n,
            Err(fault) if [ErrorKind::WouldBlock, ErrorKind::BrokenPipe].contains(&fault.kind()) => break,
            Err(fault) => panic!("{fault}"),
        }
    }
    stream
}

fn repeat(bytes: &[u8], times: usize) -> Vec<u8> {
    bytes.repeat(times)
}

/// An extended clipboard message that gives a text of 1 GiB of zeros.
fn bomb(kind: u8) -> Vec<u8> {
    let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
    stream.write_all(&(1u32 << 20).to_be_bytes()).unwrap();
    let zeros = vec![0; 1 << 20];
    (0..1024).for_each(|_| stream.write_all(&zeros).unwrap());
    let packed = stream.finish().unwrap();
    let len = i32::try_from(packed.len() + 4).unwrap();
    [&[kind, 0, 0, 0][..], &(-len).to_be_bytes(), &[0x10, 0, 0, 1], &packed].concat()
}

#[test]
fn viewers_that_flood_or_never_read_cost_little_and_harm_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let server = Xvnc::start(dir.path().join("vnc"), "800x600");
    let proxy = Proxy::start(dir.path(), &server.path, &[]);
    proxy.attached();
    server.paint("800x600", "plasma:red-blue");
    let truth = server.truth();
    let mut good = Viewer::connect(&proxy.door, Encoding::Zrle, None).unwrap();
    good.sees("the picture", |shown| shown.pixels() == truth);
    let list = |count: u16| [&[2, 0][..], &count.to_be_bytes(), &vec![0xff; usize::from(count) * 4]].concat();
    let request = |n: u16| {
        [&[3, 0][..], &n.to_be_bytes(), &[0, 0], &(800 - n).to_be_bytes(), &(500 + n).to_be_bytes()].concat()
    };
    let fence = [&[248, 0, 0, 0, 0x80, 0, 0, 7, 64][..], &[7; 64]].concat();
    let pushes = |on: u8| [150, on, 0, 0, 0, 0, 3, 32, 2, 88];
    let format = [&[0, 0, 0, 0, 8, 8, 0, 0][..], &[0; 12]].concat();
    let text = [&[6, 0, 0, 0][..], &(1u32 << 20).to_be_bytes(), &vec![b'x'; 1 << 20]].concat();
    let endless = [&[6, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff][..], &vec![b'x'; 1 << 20]].concat();
    let key = repeat(&[4, 1, 0, 0, 0, 0, 0, 0x61, 4, 0, 0, 0, 0, 0, 0, 0x61], 20);
    let clipboard = [2, 0, 0, 1, 0xc0, 0xa1, 0xe5, 0xce];
    let pieces: Vec<Vec<u8>> = vec![
        repeat(&list(u16::MAX), 4),
        repeat(&list(3), 1000),
        (0..500).flat_map(request).collect(),
        repeat(&fence, 1000),
        repeat(&[pushes(1), pushes(0)].concat(), 1000),
        repeat(&format, 1000),
        repeat(&text, 4),
        endless,
        key,
        [&clipboard[..], &bomb(6)].concat(),
    ];
    let _open: Vec<UnixStream> = pieces.iter().map(|piece| flood(&proxy.door, piece, 4 << 20)).collect();
    let _half: Vec<UnixStream> = (0..20).map(|_| flood(&proxy.door, &[], 0)).collect();
    let memory = proxy.memory();
    assert!(memory < MEMORY, "{} MiB", memory >> 20);
    server.paint("800x600", "tile:pattern:bricks");
    let truth = server.truth();
    good.sees("the next picture", |shown| shown.pixels() == truth);
}

/// A server that says `init` for 64 x 48 pixels and then `piece` again and again, until it is left.
fn endless(path: &Path, piece: Vec<u8>, most: usize) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
        let format = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];
        let begin = [&b"RFB 003.008\n\x01\x01\0\0\0\0\0\x40\0\x30"[..], &format, &[0; 4]].concat();
        let mut written = 0;
        let mut bytes = &begin[..];
        while written < most {
            match stream.write(bytes) {
                Ok(n) => written += n,
                Err(_) => return,
            }
            bytes = &piece;
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap_or_default();
    })
}

#[test]
fn servers_that_flood_cost_little_and_viewers_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (good, bad) = (dir.path().join("good"), dir.path().join("bad"));
    let _told = notes(&good, 0x11);
    let proxy = Proxy::start(dir.path(), &good, &[]);
    let mut viewer = Viewer::connect(&proxy.door, Encoding::Raw, None).unwrap();
    viewer.sees("the good server", is(0x11));
    let rect =
        |encoding: i32| [&[0, 0, 0, 1, 0, 0, 0, 0, 0, 64, 0, 48][..], &encoding.to_be_bytes()].concat();
    let bomb_rect = {
        let mut stream = ZlibEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..16).for_each(|_| stream.write_all(&zeros).unwrap());
        let packed = stream.finish().unwrap();
        let len = u32::try_from(packed.len()).unwrap();
        [&rect(6)[..], &len.to_be_bytes(), &packed].concat()
    };
    let screens = [&rect(-308)[..], &[255, 0, 0, 0], &[7; 255 * 16]].concat();
    let cursor = [&[0, 0, 0, 1, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff][..], &(-239i32).to_be_bytes()].concat();
    let text = [&[3, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff][..], &vec![b'x'; 1 << 20]].concat();
    let colours = [&[1, 0, 0xff, 0xff, 0x10, 0][..], &[7; 6 * 4096]].concat();
    let cases: [(&str, Vec<u8>); 7] = [
        ("fill it exactly", bomb_rect),
        ("hung up", screens.repeat(20)),
        ("beyond the bounds", cursor),
        ("hung up", text),
        ("hung up", colours),
        ("hung up", [&[248, 0, 0, 0, 0x80, 0, 0, 7, 8][..], &[7; 8]].concat().repeat(1000)),
        ("hung up", bomb(3)),
    ];
    for (why, piece) in cases {
        let server = endless(&bad, piece, 8 << 20);
        let refused = proxy.ctl(&["rehome", &unix(&bad)]).unwrap_err();
        assert!(refused.contains(why), "{why}: {refused}");
        server.join().unwrap();
        std::fs::remove_file(&bad).unwrap();
        viewer.look();
    }
    let memory = proxy.memory();
    assert!(memory < MEMORY, "{} MiB", memory >> 20);
    eventually("the good server is shown still", || {
        viewer.look();
        is(0x11)(&viewer.picture).then_some(())
    });
}
