//! A server's life: how it comes to its socket, whom it lets in, how it ends.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::cold_disk::{ColdDisk, Rule};
use support::raw::{EXPORT_NAME, READ, Raw, WRITE, option_bytes, request_bytes};
use support::{CHUNK, MIB, SOON, Served, run, serve, whole_file};
use wandisk_nbd::{Address, MAX_CONNECTIONS, NbdError, Server};

fn bind(path: &std::path::Path) -> Result<Server<wandisk_io::WholeFile>, NbdError> {
    Server::bind(&Address::Unix(path.into()), Arc::new(whole_file(MIB, false)), "disk", 0..4)
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let served = Served::file(MIB);
    let metadata = std::fs::metadata(&served.socket).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(served.handle.stop(SOON).abandoned, 0);
    assert!(!served.socket.exists());
}

#[test]
fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    // A listener that is dropped leaves its file, as a killed server does.
    drop(UnixListener::bind(&path).unwrap());
    let server = bind(&path).unwrap();
    assert!(matches!(bind(&path), Err(NbdError::Live { .. })));
    let handle = server.spawn().unwrap();
    assert!(matches!(bind(&path), Err(NbdError::Live { .. })));
    assert_eq!(handle.stop(SOON).abandoned, 0);
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(bind(&path), Err(NbdError::NotASocket { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_server_removes_no_socket_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = bind(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
}

#[test]
fn a_path_may_be_longer_than_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let deep: PathBuf = (0..8).fold(folder.path().into(), |p, _| p.join("a-rather-long-name-of-a-folder"));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("nbd.sock");
    let handle = bind(&path).unwrap().spawn().unwrap();
    assert!(matches!(bind(&path), Err(NbdError::Live { .. })));
    // Clients have the same trouble; they get there by another name.
    let short = folder.path().join("short");
    std::os::unix::fs::symlink(&deep, &short).unwrap();
    assert_eq!(Raw::connect(&short.join("nbd.sock")).call(0, READ, 0, 512, b"").error, 0);
    assert_eq!(handle.stop(SOON).abandoned, 0);
    assert!(!path.exists());
}

#[test]
fn lanes_must_be_the_disks() {
    let folder = tempfile::tempdir().unwrap();
    for lanes in [0..0, 3..5] {
        let address = Address::Unix(folder.path().join("s"));
        let bound = Server::bind(&address, Arc::new(whole_file(MIB, false)), "disk", lanes);
        assert!(matches!(bound, Err(NbdError::Lanes { .. })));
    }
}

#[test]
fn over_tcp_the_uri_tells_the_port_that_was_given() {
    let handle = serve(Arc::new(whole_file(MIB, false)), "tcp:127.0.0.1:0");
    let uri = handle.uri();
    assert!(!uri.ends_with(":0"), "{uri}");
    assert_eq!(run("nbdinfo", &["--size", &uri]).trim(), MIB.to_string());
    let port = uri.strip_prefix("nbd://").unwrap().to_owned();
    assert_eq!(handle.stop(SOON).abandoned, 0);
    assert!(TcpStream::connect(port).is_err(), "nobody listens any more");
}

#[test]
fn so_many_clients_may_come_and_no_more() {
    let served = Served::file(MIB);
    let mut clients: Vec<Raw> = (0..MAX_CONNECTIONS).map(|_| served.client()).collect();
    assert_eq!(served.handle.connections(), MAX_CONNECTIONS);
    let mut one_more = [0; 1];
    let refused = std::io::Read::read(&mut UnixStream::connect(&served.socket).unwrap(), &mut one_more);
    assert!(matches!(refused, Ok(0)), "{refused:?}");
    for client in &mut clients {
        assert_eq!(client.call(0, READ, 0, 512, b"").error, 0);
    }
    // Good-bye makes room, once the server has noticed.
    let disc = 2;
    let mut leaving = clients.pop().unwrap();
    leaving.request(0, disc, 0, 0, b"");
    leaving.assert_closed();
    while served.handle.connections() == MAX_CONNECTIONS {
        std::thread::yield_now();
    }
}

#[test]
fn a_stop_answers_what_is_in_flight() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    client.request(0, READ, u64::from(CHUNK), 512, b"");
    disk.until_waiting(1);
    std::thread::scope(|scope| {
        let stopped = scope.spawn(|| served.handle.stop(SOON));
        // The socket goes first, so from here on the stop waits for the one request.
        while served.socket.exists() {
            std::thread::yield_now();
        }
        disk.let_go();
        assert_eq!(client.answer(512).error, 0);
        client.assert_closed();
        assert_eq!(stopped.join().unwrap().abandoned, 0);
    });
}

#[test]
fn a_stop_does_not_wait_for_ever() {
    let disk = ColdDisk::new(8);
    disk.cool(1, Some(Rule::Wait));
    let served = Served::disk(disk.clone());
    let mut client = served.client();
    client.request(0, WRITE, u64::from(CHUNK), 4, b"data");
    client.request(0, READ, u64::from(CHUNK), 4, b"");
    disk.until_waiting(2);
    assert_eq!(served.handle.stop(Duration::from_millis(10)).abandoned, 2);
    client.assert_closed();
    disk.let_go();
}

#[test]
fn a_stop_comes_to_an_end_though_a_client_goes_on_asking() {
    let handle = serve(Arc::new(whole_file(MIB, false)), "tcp:127.0.0.1:0");
    let mut stream = TcpStream::connect(handle.uri().strip_prefix("nbd://").unwrap()).unwrap();
    stream.write_all(&[&[0, 0, 0, 3], &option_bytes(EXPORT_NAME, b"")[..]].concat()).unwrap();
    stream.read_exact(&mut [0; 28]).unwrap();
    let mut answers = stream.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let requests = request_bytes(0, READ, 1, 0, 512).repeat(100);
            while stream.write_all(&requests).is_ok() {}
        });
        let mut first = [0; 528];
        answers.read_exact(&mut first).unwrap();
        scope.spawn(move || while answers.read(&mut [0; 1 << 16]).is_ok_and(|n| n > 0) {});
        let start = Instant::now();
        assert_eq!(handle.stop(SOON).abandoned, 0);
        assert!(start.elapsed() < SOON);
    });
}

#[test]
fn a_stop_ends_handshakes_and_idle_clients() {
    let served = Served::file(MIB);
    let (mut early, mut idle) = (Raw::open(&served.socket), served.client());
    assert_eq!(served.handle.stop(SOON).abandoned, 0);
    early.assert_closed();
    idle.assert_closed();
}

#[test]
fn a_server_that_was_stopped_before_it_served_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = bind(&folder.path().join("s")).unwrap();
    assert_eq!(server.handle().stop(SOON).abandoned, 0);
    server.serve().unwrap();
}
