//! A tap as the agent's gateway: what the agent sees of it, that connections survive moves by it, and that nothing of it stays. The agent
//! is the test, with a card that it writes frames to or with the kernel's own network behind it; `network.rs` has a real one.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use manager::net::neighbour::checksum;
use serde_json::json;
use test_kit::{CARD, Stack, free_port};

use crate::switches::{CARD_IP, Card, HOST, HOST6, Voice, content_of, echo, folder, runs, seen, world};
use crate::world::{AGENT, World, eventually, kill};

const UDP: u8 = 17;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// An agent that "runs" at home, whose gateway there is a tap.
fn with_tap(inward: u16) -> World {
    let world = world(inward);
    let told = world.ok("a", &["net", AGENT, "gateway", "tap"]);
    assert_eq!(
        (&told["gateway"], &told["site"], &told["changed"]),
        (&json!("tap"), &json!("a"), &json!(true))
    );
    world
}

fn runs_at_home(world: &World) -> Voice {
    let voice = runs(world, "a", 1);
    let standing = || world.ok("a", &["net", AGENT, "ls"])["gateway"].clone();
    eventually("the gateway is there", || standing() == "there");
    voice
}

/// Moves it; the new site's supervisor takes the place of the old one's.
fn moves(world: &World, voice: &mut Voice, epoch: u64, to: &str, plug: impl FnOnce()) {
    voice.say(&json!({ "do": "moving", "to": to }));
    voice.say(&json!({ "do": "stands" }));
    eventually("the other site's switch is there", || folder(world, to).join("net.sock").exists());
    plug();
    let there = runs(world, to, epoch);
    voice.say(&json!({ "do": "left", "to": to }));
    *voice = there;
}

#[test]
fn a_tap_shows_the_agent_what_libslirp_does_and_leaves_nothing_behind() {
    let inward = free_port();
    let world = with_tap(inward);
    let card = Card::plug(&world, "a");
    let mut voice = runs_at_home(&world);
    let given = offered(&card);
    assert_eq!(given, CARD_IP.octets());

    let ((_four, at4), (_six, at6)) = (echo(Ipv4Addr::LOCALHOST), echo(Ipv6Addr::LOCALHOST));
    card.echoes("a server on home's loopback", seen(at4), b"hello");
    card.echoes("one by IPv6", (HOST6, at6.port()).into(), b"hello six");
    let router = card.asks(
        "a router's word",
        || card.send([0x33, 0x33, 0, 0, 0, 2], 0x86dd, &solicitation()),
        |frame| {
            let packet = frame.get(14..).filter(|_| frame[12..14] == [0x86, 0xdd])?;
            (packet[6] == ICMPV6 && packet.get(40) == Some(&134)).then(|| packet[8..24].to_vec())
        },
    );
    assert_eq!(router, "fe80::2".parse::<Ipv6Addr>().unwrap().octets());

    // A connection that nobody takes is refused as if it were asked there.
    let mut segment =
        [&5000u16.to_be_bytes()[..], &free_port().to_be_bytes(), &[0, 0, 0, 9], &[0; 4]].concat();
    segment.extend([0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    let opens = [&crate::switches::head(CARD_IP, HOST, segment.len(), TCP), &segment[..]].concat();
    let said = card.asks(
        "a refusal",
        || card.send(crate::switches::GATEWAY_MAC, 0x0800, &opens),
        |frame| content_of(frame, TCP, HOST).filter(|body| body[2..4] == 5000u16.to_be_bytes()),
    );
    assert_eq!((said[13], &said[8..12]), (0x14, &[0, 0, 0, 10][..]));

    let mut into = None;
    eventually("the forward is there", || {
        into = TcpStream::connect((Ipv4Addr::LOCALHOST, inward)).ok();
        into.is_some()
    });
    card.asks(
        "a connection by the forward",
        || (),
        |frame| content_of(frame, TCP, HOST).filter(|body| body[2..4] == [0, 7]),
    );

    // It is killed: its namespace and what is in it are gone, and the next one is as the first.
    let first = world.processes("snowbird-gateway");
    let servers = running_servers(&world, 1);
    assert_eq!(first.len(), 1, "{first:?}");
    first.iter().copied().for_each(kill);
    eventually("what it started is gone", || gone(&servers));
    card.echoes("by the next gateway", seen(at4), b"again");
    assert_eq!(offered(&card), CARD_IP.octets());
    eventually("the forward is there again", || TcpStream::connect((Ipv4Addr::LOCALHOST, inward)).is_ok());

    // The other kind, and nothing is to be changed at the agent.
    let servers = running_servers(&world, 1);
    world.ok("a", &["net", AGENT, "gateway", "slirp"]);
    card.echoes("by libslirp", seen(at4), b"slirp");
    eventually("the namespace is gone", || gone(&servers));
    world.ok("a", &["net", AGENT, "gateway", "tap"]);
    card.echoes("by a tap again", seen(at4), b"tap");
    assert_eq!(world.ok("a", &["net", AGENT, "gateway", "tap"])["changed"], false);

    let servers = running_servers(&world, 1);
    voice.say(&json!({ "do": "ended" }));
    eventually("nothing of it is left", || {
        let ours = ["switch", "snowbird-gateway"].map(|name| world.processes(name)).concat();
        ours.is_empty() && gone(&servers)
    });
}

/// The DHCP servers of this world's gateways, when there are that many. (A gateway carries before its server has begun.)
fn running_servers(world: &World, many: usize) -> Vec<i32> {
    let mut there = Vec::new();
    eventually("the DHCP servers run", || {
        there = servers(world);
        there.len() == many
    });
    there
}

/// The DHCP servers of this world's gateways, which are in no folder.
fn servers(world: &World) -> Vec<i32> {
    let gateways = world.processes("snowbird-gateway");
    let parent = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse::<i32>().ok()
    };
    let named =
        |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "dnsmasq\n");
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // Each is a child of its guard's.
    let ours = |pid: i32| parent(pid).and_then(parent).is_some_and(|gateway| gateways.contains(&gateway));
    pids.filter(|pid| named(*pid) && ours(*pid)).collect()
}

/// No such server is there any more. (A process that has not been waited for has no command line.)
fn gone(servers: &[i32]) -> bool {
    let runs = |pid: &i32| std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty());
    !servers.iter().any(runs)
}

/// A packet that looks for a router.
fn solicitation() -> Vec<u8> {
    let (from, to): (Ipv6Addr, Ipv6Addr) = ("fe80::15".parse().unwrap(), "ff02::2".parse().unwrap());
    let mut body = [133, 0, 0, 0, 0, 0, 0, 0];
    let sum = checksum(from, to, ICMPV6, &body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let head = [0x60, 0, 0, 0, 0, 8, ICMPV6, 255];
    [&head[..], &from.octets(), &to.octets(), &body].concat()
}

/// The address that DHCP offers.
fn offered(card: &Card) -> Vec<u8> {
    let mut discover = vec![0; 236];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&card.mac);
    discover.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    let ask = || card.send_udp(Ipv4Addr::BROADCAST, (68, 67), &discover);
    card.asks("an offer", ask, |frame| {
        let body = content_of(frame, UDP, HOST).filter(|body| body[..4] == [0, 67, 0, 68])?;
        Some(body[8 + 16..8 + 20].to_vec())
    })
}

#[test]
fn each_site_has_a_tap_of_its_own_and_two_at_one_host_do_not_meet() {
    let world = with_tap(free_port());
    // Known at b by home's word alone; chosen from home.
    let told = world.ok("a", &["net", AGENT, "gateway", "tap", "--at", "b"]);
    assert_eq!((&told["site"], &told["changed"]), (&json!("b"), &json!(true)));
    assert!(world.fails("a", &["net", AGENT, "gateway", "tap", "--at", "x"]).contains("no site named"));
    let at_a = Card::plug(&world, "a");
    let mut voice = runs_at_home(&world);
    let (_home, home) = echo(Ipv4Addr::LOCALHOST);
    let (_data, data) = echo(Ipv4Addr::new(127, 9, 0, 1));
    at_a.echoes("home's tap", seen(home), b"one");
    world.ok("a", &["net", AGENT, "anchor", "127.9.0.0/16=b"]);
    at_a.echoes("the other site's tap", data, b"two");
    // Two namespaces on this host have the same addresses.
    let servers = running_servers(&world, 2);
    voice.say(&json!({ "do": "ended" }));
    eventually("nothing of it is left", || gone(&servers));
}

/// The kernel's own network behind the agent's card, with the addresses that it would be given.
fn stack(card: Card) -> Stack {
    let lines = format!(
        "address add {CARD_IP}/24 dev {CARD}\nroute add default via {HOST}\n\
         address add fec0::15/64 dev {CARD} nodad\nroute add default via fe80::2 dev {CARD}\n"
    );
    Stack::behind(card.socket, card.port, card.mac, &lines)
}

/// A connection's two ends carry bytes, both ways.
#[track_caller]
fn carries(what: &str, one: &mut TcpStream, other: &mut TcpStream) {
    let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let (mut write, mut read) = (one.try_clone().unwrap(), other.try_clone().unwrap());
    let (there, back) = (bytes.clone(), bytes.clone());
    let sends = std::thread::spawn(move || write.write_all(&there));
    let mut came = vec![0; bytes.len()];
    read.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    read.read_exact(&mut came).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(came == bytes && sends.join().unwrap().is_ok(), "{what}");
    let mut answer = other.try_clone().unwrap();
    let sends = std::thread::spawn(move || answer.write_all(&back));
    one.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    one.read_exact(&mut came).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(came == bytes && sends.join().unwrap().is_ok(), "{what}");
}

#[test]
fn connections_by_a_tap_survive_moves_and_end_as_they_would_without_it() {
    let inward = free_port();
    let world = with_tap(inward);
    let stack = stack(Card::plug(&world, "a"));
    let mut voice = runs_at_home(&world);
    let connect =
        |to: SocketAddr| stack.inside(move || TcpStream::connect_timeout(&to, Duration::from_secs(60)));

    let (server, server6) = (
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap(),
    );
    let seen = |server: &TcpListener, at: IpAddr| SocketAddr::new(at, server.local_addr().unwrap().port());
    let mut out = connect(seen(&server, HOST.into())).unwrap();
    let mut at_home = server.accept().unwrap().0;
    // As libslirp does it: the server's neighbour.
    assert!(at_home.peer_addr().unwrap().ip().is_loopback());
    let mut out6 = connect(seen(&server6, HOST6.into())).unwrap();
    let mut at_home6 = server6.accept().unwrap().0;
    let listens = stack.inside(|| TcpListener::bind((CARD_IP, 7)).unwrap());
    let mut into = TcpStream::connect((Ipv4Addr::LOCALHOST, inward)).unwrap();
    let (mut in_agent, from) = listens.accept().unwrap();
    assert_eq!(from.ip(), HOST);
    let all = |out: &mut TcpStream, at_home: &mut TcpStream, what: &str| carries(what, out, at_home);
    all(&mut out, &mut at_home, "a connection out of the agent");
    all(&mut out6, &mut at_home6, "one by IPv6");
    all(&mut in_agent, &mut into, "one into the agent");

    let refused = connect((HOST, free_port()).into()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);

    for (epoch, to) in [(2, "b"), (3, "a")] {
        moves(&world, &mut voice, epoch, to, || {
            let card = Card::plug_again(&world, to);
            stack.plug(card.socket, card.port);
        });
        all(&mut out, &mut at_home, "the connection out of the agent goes on");
        all(&mut out6, &mut at_home6, "the one by IPv6 goes on");
        all(&mut in_agent, &mut into, "the one into the agent goes on");
    }

    // One half ends, and the other goes on; one is broken, and so is the other.
    out.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(at_home.read(&mut [0; 9]).unwrap(), 0);
    at_home.write_all(b"last").unwrap();
    let mut last = [0; 4];
    out.read_exact(&mut last).unwrap();
    assert_eq!(&last, b"last");
    rustix::net::sockopt::set_socket_linger(&into, Some(Duration::ZERO)).unwrap();
    drop(into);
    let broken = in_agent.read(&mut [0; 9]).unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
}
