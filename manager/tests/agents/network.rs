//! Connections out of the agent and into it carry data across its moves.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_init::{BLOCK, block, number};
use test_kit::free_port;

use crate::switches::DATA;
use crate::world::{AGENT, SOON, World, eventually};

/// How many blocks came back over a connection, and what was wrong with it.
#[derive(Clone, Default)]
struct Carried {
    blocks: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
    end: Arc<AtomicBool>,
}

impl Carried {
    fn wrong(&self, what: String) {
        if !self.end.load(Ordering::SeqCst) {
            self.wrong.lock().unwrap().push(what);
        }
    }

    #[track_caller]
    fn goes_on(&self, what: &str) {
        let before = self.blocks.load(Ordering::SeqCst);
        eventually(what, || {
            let wrong = self.wrong.lock().unwrap();
            assert!(wrong.is_empty(), "{what}: {wrong:?}");
            self.blocks.load(Ordering::SeqCst) >= before + 10
        });
    }
}

/// Gives back the agent's blocks over one connection, and looks that they come in order.
fn server(at: IpAddr, carried: &Carried) -> u16 {
    let listener = TcpListener::bind((at, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let carried = carried.clone();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let other = carried.clone();
        std::thread::spawn(move || {
            if listener.accept().is_ok() {
                other.wrong("the agent connected a second time".to_owned());
            }
        });
        let mut bytes = vec![0; BLOCK];
        for n in 1.. {
            if let Err(error) = stream.read_exact(&mut bytes).and_then(|()| stream.write_all(&bytes)) {
                return carried.wrong(format!("from the agent: {error}"));
            }
            if number(&bytes) != Some(n) {
                return carried.wrong(format!("from the agent: {:?} instead of {n}", number(&bytes)));
            }
            carried.blocks.store(n, Ordering::SeqCst);
        }
    });
    port
}

/// Sends blocks into the agent over one connection, and looks at what comes back.
fn client(port: u16, carried: &Carried) {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    let carried = carried.clone();
    std::thread::spawn(move || {
        let mut bytes = vec![0; BLOCK];
        for n in 1.. {
            if let Err(error) = stream.write_all(&block(n)).and_then(|()| stream.read_exact(&mut bytes)) {
                return carried.wrong(format!("into the agent: {error}"));
            }
            if number(&bytes) != Some(n) {
                return carried.wrong(format!("into the agent: {:?} instead of {n}", number(&bytes)));
            }
            carried.blocks.store(n, Ordering::SeqCst);
            // A pace, not an order: the agent has one translated processor.
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Two moves, or as many as `SNOWBIRD_MOVES` says.
#[test]
fn connections_out_of_the_agent_and_into_it_survive_its_moves() {
    survive(std::env::var("SNOWBIRD_MOVES").ok().map_or(2, |n| n.parse().unwrap()), "slirp");
}

#[test]
fn so_they_do_by_a_tap() {
    survive(1, "tap");
}

fn survive(moves: usize, gateway: &str) {
    let (out, by_ipv6, into) = (Carried::default(), Carried::default(), Carried::default());
    let ports = [server(Ipv4Addr::LOCALHOST.into(), &out), server(Ipv6Addr::LOCALHOST.into(), &by_ipv6)];
    let words = format!("stream=10.0.2.2:{} stream=[fec0::2]:{}", ports[0], ports[1]);
    let world = World::with_agent_behind(gateway, &words);
    let inward = free_port();
    world.ok("a", &["net", AGENT, "forward", "tcp", &format!("{inward}:7")]);
    out.goes_on("the agent's connection carries data at home");
    by_ipv6.goes_on("and one by IPv6");
    client(inward, &into);
    into.goes_on("a connection into the agent carries data at home");

    let mut at = "a";
    for n in 0..moves {
        let to = if at == "a" { "b" } else { "a" };
        let moved = world.ok("a", &["migrate", AGENT, "--to", to]);
        at = to;
        out.goes_on("the agent's connection goes on after a move");
        by_ipv6.goes_on("the one by IPv6 goes on after a move");
        into.goes_on("the connection into the agent goes on after a move");
        eprintln!("move {n}: {moved}");
        let standing = world.ok(at, &["net", AGENT, "ls"]);
        let passed = &standing["counts"]["anchors"]["a"];
        assert!(
            passed["bytes_in"].as_u64() > Some(0) && passed["bytes_out"].as_u64() > Some(0),
            "{standing}"
        );
        assert_eq!(standing["agent"]["site"], at, "{standing}");
        // Home tells what is counted where the agent is.
        let home = world.ok("a", &["net", AGENT, "ls"]);
        let there = if at == "b" { &home["there"] } else { &home };
        assert_eq!(there["site"], at, "{home}");
        assert_eq!(home["gateway"], "there", "{home}");
    }
    out.end.store(true, Ordering::SeqCst);
    by_ipv6.end.store(true, Ordering::SeqCst);
    into.end.store(true, Ordering::SeqCst);
    world.end_at(at);
    eventually("no switch and no gateway is left", || {
        world.processes("switch").is_empty() && world.processes("snowbird-gateway").is_empty()
    });
}

/// A dataset beside the compute site: the agent's connection to it goes by that site's gateway wherever the agent is, and while it is
/// there home is in nobody's way. (Memory is copied while the agent runs.)
#[test]
fn a_connection_that_is_anchored_at_the_other_site_goes_on_there_without_home_and_comes_back() {
    let (far, out) = (Carried::default(), Carried::default());
    let ports = [server(DATA.into(), &far), server(Ipv4Addr::LOCALHOST.into(), &out)];
    let words = format!("stream={DATA}:{} stream=10.0.2.2:{}", ports[0], ports[1]);
    let world = World::with_newer_qemu(&["a", "b"]);
    world.create_with("96M", &["--size", "8M"], &words, &[]);
    world.ok("a", &["net", AGENT, "anchor", "127.9.0.0/16=b"]);
    let world = world.launch();
    far.goes_on("the anchored connection carries data by the tunnel");
    out.goes_on("and one by home's gateway");
    let passed_by_b = |site: &str| {
        let standing = world.ok(site, &["net", AGENT, "ls"]);
        standing["counts"]["anchors"]["b"]["bytes_in"].as_u64().unwrap_or(0)
    };
    assert!(passed_by_b("a") > 0);

    world.ok("a", &["migrate", AGENT, "--to", "b"]);
    far.goes_on("the anchored connection goes on where it is anchored");
    out.goes_on("the one by home's gateway goes on by the tunnel");
    world.sever();
    far.goes_on("the anchored connection goes on without home");
    assert!(passed_by_b("b") > 0);
    world.cut(false);
    out.goes_on("the one by home's gateway goes on with home");

    world.ok("b", &["migrate", AGENT, "--to", "a"]);
    far.goes_on("the anchored connection goes on by the tunnel again");
    out.goes_on("the one by home's gateway goes on at home");
    far.end.store(true, Ordering::SeqCst);
    out.end.store(true, Ordering::SeqCst);
    world.end_at("a");
}
