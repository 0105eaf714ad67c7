//! Switches, tunnels and gateways without a machine: the test is the agent's card, and says what a supervisor would.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use manager::net::neighbour::checksum;
use serde_json::{Value, json};
use test_kit::free_port;

use crate::world::{AGENT, SOON, World, eventually, kill};

pub const CARD_IP: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// An address of every Linux host, which each gateway may reach.
pub const DATA: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);
pub const GATEWAY_MAC: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
/// The same by IPv6.
const CARD_IP6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0x15);
pub const HOST6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 2);
const GATEWAY_MAC6: [u8; 6] = [0x52, 0x56, 0, 0, 0, 2];
pub const BROADCAST: [u8; 6] = [0xff; 6];
const UDP: u8 = 17;
const TCP: u8 = 6;

/// An agent that is known at `a`, and nothing of which runs; its port 7 is home's `inward`.
pub fn world(inward: u16) -> World {
    let world = World::new();
    world.ok(
        "a",
        &["create", AGENT, "--size", "1M", "--memory", "64M", "--vcpus", "1", "--accelerator", "tcg"],
    );
    world.ok("a", &["net", AGENT, "forward", "tcp", &format!("{inward}:7")]);
    world
}

pub fn folder(world: &World, site: &str) -> PathBuf {
    world.home(site).join("agents").join(AGENT)
}

/// A supervisor's connection to the switch of its site, which it keeps: without one the switch would begin a real one.
pub struct Voice(BufReader<UnixStream>);

impl Voice {
    #[track_caller]
    pub fn at(world: &World, site: &str, words: &[Value]) -> Voice {
        let stream = UnixStream::connect(folder(world, site).join("net.sock")).unwrap();
        let mut voice = Voice(BufReader::new(stream));
        words.iter().for_each(|word| voice.say(word));
        voice
    }

    #[track_caller]
    pub fn say(&mut self, word: &Value) {
        writeln!(self.0.get_mut(), "{word}").unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "{\"ok\":null}", "{word}");
    }
}

/// That the agent runs at a site, in this epoch.
pub fn runs(world: &World, site: &str, epoch: u64) -> Voice {
    Voice::at(world, site, &[json!({ "do": "expect" }), json!({ "do": "runs", "epoch": epoch })])
}

/// The agent's card at a site.
pub struct Card {
    pub socket: UnixDatagram,
    pub port: PathBuf,
    pub mac: [u8; 6],
}

impl Card {
    /// The same at a site where it was before.
    pub fn plug_again(world: &World, site: &str) -> Card {
        std::fs::remove_file(folder(world, site).join("card.sock")).ok();
        Card::plug(world, site)
    }

    pub fn plug(world: &World, site: &str) -> Card {
        let socket = UnixDatagram::bind(folder(world, site).join("card.sock")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let uuid = world.ok("a", &["ls"])["agents"][0]["uuid"].as_str().unwrap().to_owned();
        let tail = &uuid[uuid.len() - 6..];
        let byte = |at: usize| u8::from_str_radix(&tail[at..at + 2], 16).unwrap();
        let mac = [0x52, 0x54, 0, byte(0), byte(2), byte(4)];
        Card { socket, port: folder(world, site).join("card-port.sock"), mac }
    }

    pub fn send(&self, to: [u8; 6], kind: u16, payload: &[u8]) {
        let frame = [&to[..], &self.mac, &kind.to_be_bytes(), payload].concat();
        // A switch that is just being started again has no socket.
        self.socket.send_to(&frame, &self.port).ok();
    }

    pub fn send_udp(&self, to: Ipv4Addr, ports: (u16, u16), content: &[u8]) {
        let mut body = [ports.0.to_be_bytes(), ports.1.to_be_bytes()].concat();
        body.extend(u16::try_from(8 + content.len()).unwrap().to_be_bytes());
        // No checksum.
        body.extend([0, 0]);
        body.extend(content);
        let from = if to.is_broadcast() { Ipv4Addr::UNSPECIFIED } else { CARD_IP };
        let mac = if to.is_broadcast() { BROADCAST } else { GATEWAY_MAC };
        self.send(mac, 0x0800, &[&head(from, to, body.len(), UDP), &body[..]].concat());
    }

    /// Frames that come until one is what is looked for, sending again and again what asks for it.
    #[track_caller]
    pub fn asks<T>(&self, what: &str, ask: impl Fn(), mut answer: impl FnMut(&[u8]) -> Option<T>) -> T {
        let end = Instant::now() + SOON;
        let mut buffer = [0; 2000];
        loop {
            ask();
            while let Ok(len) = self.socket.recv(&mut buffer) {
                if let Some(found) = answer(&buffer[..len]) {
                    return found;
                }
            }
            assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        }
    }

    pub fn send_udp6(&self, to: Ipv6Addr, port: u16, content: &[u8]) {
        let len = u16::try_from(8 + content.len()).unwrap().to_be_bytes();
        let mut body = [&4444u16.to_be_bytes()[..], &port.to_be_bytes(), &len, &[0, 0], content].concat();
        let sum = checksum(CARD_IP6, to, UDP, &body);
        body[6..8].copy_from_slice(&sum.to_be_bytes());
        let head = [&[0x60, 0, 0, 0][..], &len, &[UDP, 64], &CARD_IP6.octets(), &to.octets()].concat();
        self.send(GATEWAY_MAC6, 0x86dd, &[head, body].concat());
    }

    /// What is sent by UDP comes back from there.
    #[track_caller]
    pub fn echoes(&self, what: &str, to: SocketAddr, content: &[u8]) {
        let to = match to {
            SocketAddr::V4(to) => to,
            SocketAddr::V6(to) => {
                let ask = || self.send_udp6(*to.ip(), to.port(), content);
                return self.asks(what, ask, |frame| {
                    let packet = frame.get(14..).filter(|_| frame[12..14] == [0x86, 0xdd])?;
                    let from_there = packet[6] == UDP && packet[8..24] == to.ip().octets();
                    (from_there && packet.get(48..) == Some(content)).then_some(())
                });
            }
        };
        let ask = || self.send_udp(*to.ip(), (4444, to.port()), content);
        self.asks(what, ask, |frame| content_of(frame, UDP, *to.ip()).filter(|body| &body[8..] == content));
    }

    /// It does not, while something else does (so that there was time).
    #[track_caller]
    fn does_not_echo(&self, what: &str, to: SocketAddr, other: SocketAddr) {
        let SocketAddr::V4(to) = to else { panic!("not IPv4") };
        for n in 0..5u8 {
            self.send_udp(*to.ip(), (4444, to.port()), b"lost");
            let SocketAddr::V4(other) = other else { panic!("not IPv4") };
            let ask = || self.send_udp(*other.ip(), (4444, other.port()), &[n; 4]);
            self.asks(what, ask, |frame| {
                assert!(content_of(frame, UDP, *to.ip()).is_none(), "{what}");
                content_of(frame, UDP, *other.ip()).filter(|body| body[8..] == [n; 4])
            });
        }
    }
}

/// An IPv4 head.
pub fn head(from: Ipv4Addr, to: Ipv4Addr, body: usize, protocol: u8) -> Vec<u8> {
    let all = u16::try_from(20 + body).unwrap();
    let mut head = vec![0x45, 0];
    head.extend(all.to_be_bytes());
    head.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    head.extend(from.octets());
    head.extend(to.octets());
    let words = head.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let sum = !u16::try_from(sum).unwrap();
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    head
}

/// What follows the IPv4 head of a packet of this kind from there.
pub fn content_of(frame: &[u8], protocol: u8, from: Ipv4Addr) -> Option<Vec<u8>> {
    let packet = frame.get(14..).filter(|_| frame[12..14] == [8, 0])?;
    let all = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let fits = packet[9] == protocol && packet[12..16] == from.octets();
    fits.then(|| packet[20..all].to_vec())
}

/// Gives back what comes; tells who asks.
pub fn echo(at: impl Into<IpAddr>) -> (UdpSocket, SocketAddr) {
    let at: IpAddr = at.into();
    let socket = UdpSocket::bind((at, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let echo = socket.try_clone().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((len, from)) = echo.recv_from(&mut buffer) {
            // "who?" is answered with the asker's address.
            let answer = if &buffer[..len] == b"who?" {
                from.to_string().into_bytes()
            } else {
                buffer[..len].to_vec()
            };
            echo.send_to(&answer, from).ok();
        }
    });
    (socket, address)
}

/// As the agent sees a server on home's loopback.
pub fn seen(server: SocketAddr) -> SocketAddr {
    (HOST, server.port()).into()
}

#[test]
fn a_card_at_home_finds_its_gateway_gets_an_address_and_is_reached_by_a_forward() {
    let inward = free_port();
    let world = world(inward);
    let card = Card::plug(&world, "a");
    let _supervisor = runs(&world, "a", 1);

    let who_has =
        [&[0, 1, 8, 0, 6, 4, 0, 1][..], &card.mac, &CARD_IP.octets(), &[0; 6], &HOST.octets()].concat();
    let ask = || card.send(BROADCAST, 0x0806, &who_has);
    let mac = card.asks("the gateway's address", ask, |frame| {
        (frame[12..14] == [8, 6]).then(|| frame[22..28].to_vec())
    });
    assert_eq!(mac, GATEWAY_MAC);

    // DHCP: a discover, with the card's address and the magic number.
    let mut discover = vec![0; 236];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&card.mac);
    discover.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    let ask = || card.send_udp(Ipv4Addr::BROADCAST, (68, 67), &discover);
    let given = card.asks("an offer", ask, |frame| {
        let body = content_of(frame, UDP, HOST).filter(|body| body[..4] == [0, 67, 0, 68])?;
        Some(body[8 + 16..8 + 20].to_vec())
    });
    assert_eq!(given, CARD_IP.octets());

    let (_server, address) = echo(Ipv4Addr::LOCALHOST);
    card.echoes("a server on home's loopback", seen(address), b"hello");

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
    let refused = world.fails("a", &["net", AGENT, "forward", "tcp", &format!("{inward}:9")]);
    assert!(refused.contains("leads somewhere already"), "{refused}");
    world.ok("a", &["net", AGENT, "unforward", "tcp", &inward.to_string()]);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, inward)).is_err());
}

#[test]
fn frames_follow_the_agent_and_anchored_ones_take_the_short_way() {
    let world = world(free_port());
    let at_a = Card::plug(&world, "a");
    let mut supervisor = runs(&world, "a", 1);
    let (_server, address) = echo(Ipv4Addr::LOCALHOST);
    let home = seen(address);
    let (_data, data) = echo(DATA);
    at_a.echoes("home's gateway", home, b"one");

    // Anchored at b, which had nothing of the agent: its switch and gateway begin, and the way is by the tunnel.
    let changed = world.ok("a", &["net", AGENT, "anchor", "127.9.0.0/16=b"]);
    assert_eq!(changed["breaks_connections"], true);
    at_a.echoes("what is anchored at the other site", data, b"two");
    // By IPv6, too.
    let ((_server6, address6), (_data6, data6)) = (echo(Ipv6Addr::LOCALHOST), echo(Ipv6Addr::LOCALHOST));
    let home6: SocketAddr = (HOST6, address6.port()).into();
    at_a.echoes("home's gateway by IPv6", home6, b"six one");
    world.ok("a", &["net", AGENT, "anchor", "::1/128=b"]);
    at_a.echoes("what is anchored at the other site by IPv6", data6, b"six two");
    assert!(world.fails("b", &["net", AGENT, "anchor", "10.1.0.0/16=b"]).contains("at its home"));
    assert!(world.fails("a", &["net", AGENT, "anchor", "10.1.0.0/16=x"]).contains("no site named"));
    cut(&world, true);
    at_a.does_not_echo("by home's gateway, which is not its anchor", data, home);
    let passed = world.ok("a", &["net", AGENT, "ls"]);
    assert!(passed["counts"]["anchors"]["b"]["bytes_in"].as_u64() > Some(0), "{passed}");
    assert!(passed["anchors"]["anchors"].to_string().contains("::1/128"), "{passed}");
    cut(&world, false);
    at_a.echoes("after the line came back", data, b"three");

    // It moves: what home's gateway sends while it stands waits for it.
    supervisor.say(&json!({ "do": "moving", "to": "b" }));
    supervisor.say(&json!({ "do": "stands" }));
    let waiting = || world.ok("a", &["net", AGENT, "ls"])["waiting_bytes"].as_u64().unwrap();
    let before = waiting();
    at_a.send_udp(HOST, (5555, home.port()), b"who?");
    eventually("the answer is held", || waiting() > before);
    let at_b = Card::plug(&world, "b");
    let mut other = runs(&world, "b", 2);
    supervisor.say(&json!({ "do": "left", "to": "b" }));
    let to_5555 =
        |frame: &[u8]| content_of(frame, UDP, HOST).filter(|body| body[2..4] == 5555u16.to_be_bytes());
    let peer = at_b.asks("what came while it stood", || (), to_5555);
    at_b.echoes("home's gateway from the other site", home, b"four");
    at_b.echoes("what is anchored where it is now", data, b"five");
    at_b.echoes("home's gateway from the other site by IPv6", home6, b"six four");
    at_b.echoes("what is anchored where it is now by IPv6", data6, b"six five");

    // Home goes away: what is anchored here goes on, and nothing else does.
    cut(&world, true);
    at_b.does_not_echo("home's gateway while home is away", home, data);
    cut(&world, false);
    at_b.echoes("home's gateway again", home, b"six");

    // Its switch dies: the next one is begun by whoever comes, and finds the gateway with all its connections.
    let switch = world.processes("switch").into_iter().filter(|pid| runs_at(&world, *pid, "a"));
    switch.for_each(kill);
    at_b.echoes("home's gateway by another switch", home, b"seven");
    let ask = || at_b.send_udp(HOST, (5555, home.port()), b"who?");
    let again = at_b.asks("the same connection", ask, to_5555);
    assert_eq!(again[8..], peer[8..]);

    other.say(&json!({ "do": "ended" }));
    eventually("nothing of it is left", || {
        world.processes("switch").is_empty() && world.processes("snowbird-gateway").is_empty()
    });
}

/// The agent goes from home to site `b`: its card there, and the supervisors' connections at both.
fn moved(world: &World) -> (Card, Voice, Voice) {
    let mut supervisor = runs(world, "a", 1);
    supervisor.say(&json!({ "do": "moving", "to": "b" }));
    supervisor.say(&json!({ "do": "stands" }));
    eventually("the other site's switch is there", || folder(world, "b").join("net.sock").exists());
    let card = Card::plug(world, "b");
    let other = runs(world, "b", 2);
    supervisor.say(&json!({ "do": "left", "to": "b" }));
    (card, supervisor, other)
}

/// The agent runs away from home when that is lost for good: the site that takes its place leads the agent's network from then on.
#[test]
fn a_running_agent_has_the_gateway_of_the_home_that_takes_the_place_of_a_lost_one() {
    let world = world(free_port());
    let (card, _supervisor, mut other) = moved(&world);
    let (_server, address) = echo(Ipv4Addr::LOCALHOST);
    card.echoes("home's gateway", seen(address), b"one");
    let gateways = |site: &str| {
        let all = world.processes("snowbird-gateway").into_iter();
        all.filter(|pid| runs_at(&world, *pid, site)).collect::<Vec<_>>()
    };
    assert_eq!((gateways("a").len(), gateways("b").len()), (1, 0));

    cut(&world, true);
    let at_home = |pid: &i32| runs_at(&world, *pid, "a");
    world.processes("switch").into_iter().filter(at_home).for_each(kill);
    gateways("a").into_iter().for_each(kill);
    let told = world.ok("b", &["home", AGENT, "--to", "b", "--force"]);
    assert_eq!((&told["home"], &told["lost"]), (&json!("b"), &json!("a")), "{told}");
    card.echoes("the gateway of the new home", seen(address), b"two");
    assert_eq!((gateways("a").len(), gateways("b").len()), (0, 1));
    other.say(&json!({ "do": "ended" }));
    eventually("nothing of it is left", || {
        world.processes("switch").is_empty() && world.processes("snowbird-gateway").is_empty()
    });
}

/// Another home is said while the agent runs at a site that is neither: its network goes by that one at once, or once the one before is
/// out of reach.
fn goes_by_its_new_home(words: &[&str], leaves: bool) {
    let world = world(free_port());
    world.add_third();
    let (card, _supervisor, mut other) = moved(&world);
    let (_server, address) = echo(Ipv4Addr::LOCALHOST);
    card.echoes("home's gateway", seen(address), b"one");
    let gateways = |site: &str| {
        let all = world.processes("snowbird-gateway").into_iter();
        all.filter(|pid| runs_at(&world, *pid, site)).count()
    };
    let told = world.ok("a", &[&["home", AGENT, "--to", "c"], words].concat());
    assert_eq!((&told["home"], &told["missed"]), (&json!("c"), &json!([])), "{told}");
    if leaves {
        card.echoes("home's gateway, as before", seen(address), b"two");
        assert_eq!((gateways("a"), gateways("c")), (1, 0));
        cut(&world, true);
        world.processes_at("a", "").into_iter().for_each(kill);
    }
    card.echoes("the gateway of the new home", seen(address), b"three");
    eventually("it is the only one", || (gateways("a"), gateways("c")) == (0, 1));
    other.say(&json!({ "do": "ended" }));
    eventually("nothing of it is left", || {
        world.processes("switch").is_empty() && world.processes("snowbird-gateway").is_empty()
    });
}

#[test]
fn a_running_agent_has_the_gateway_of_its_new_home_at_once_if_that_is_said() {
    goes_by_its_new_home(&["--network"], false);
}

#[test]
fn a_running_agent_has_the_gateway_of_its_new_home_when_the_one_before_is_gone() {
    goes_by_its_new_home(&[], true);
}

fn runs_at(world: &World, pid: i32, site: &str) -> bool {
    std::fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(world.home(site)))
}

/// Cuts the link, and ends what goes through it.
fn cut(world: &World, cut: bool) {
    world.cut(cut);
    if cut {
        let links = std::fs::read_to_string(world.file("links")).unwrap();
        let there = world.processes("host");
        links.lines().filter_map(|pid| pid.parse().ok()).filter(|pid| there.contains(pid)).for_each(kill);
    }
}
