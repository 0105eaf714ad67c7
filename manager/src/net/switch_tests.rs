//! What the switch promises, with two or three of them and a made-up clock.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::frame::FRAME_MAX;
use super::super::frame::tests::{AGENT, GATE, arp_request, packet, tcp};
use super::super::neighbour::tests::{packet6, solicitation};
use super::*;

const UDP: u8 = 17;
const REMOTE: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);
const DATA: Ipv4Addr = Ipv4Addr::new(10, 1, 2, 3);
const AGENT6: Ipv6Addr = Ipv6Addr::new(0xfec0, 0, 0, 0, 0x5054, 0xff, 0xfe01, 0x203);
const REMOTE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const DATA6: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, 3);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn anchors() -> Anchors {
    let mut anchors = Anchors::default();
    anchors.set("10.1.0.0/16".parse().unwrap(), Some("big")).unwrap();
    anchors.set("fd00:1::/64".parse().unwrap(), Some("big")).unwrap();
    anchors
}

fn from_agent6(to: Ipv6Addr) -> Vec<u8> {
    packet6(GATE, AGENT, (AGENT6, to), UDP, &[0; 8])
}

/// To the agent, with this number as its content.
fn to_agent(from: Ipv4Addr, n: u8) -> Vec<u8> {
    packet(AGENT, GATE, (from, AGENT_IP), UDP, &[n; 8])
}

fn from_agent(to: Ipv4Addr) -> Vec<u8> {
    packet(GATE, AGENT, (AGENT_IP, to), UDP, &[0; 8])
}

/// A TCP segment of so many bytes from the agent to data at `big`, and the other way.
fn asks(bytes: usize) -> Vec<u8> {
    packet(GATE, AGENT, (AGENT_IP, DATA), 6, &tcp(16, bytes))
}

fn answers(bytes: usize) -> Vec<u8> {
    packet(AGENT, GATE, (DATA, AGENT_IP), 6, &tcp(16, bytes))
}

/// Switches that are wired to each other, and what came out of them at the ends.
struct Net {
    switches: Vec<Switch>,
    now: Duration,
    cards: Vec<(String, Vec<u8>)>,
    gateways: Vec<(String, Vec<u8>)>,
    /// How many frames went through tunnels.
    carried: usize,
}

impl Net {
    /// The agent runs at home, which is `desk`.
    fn new(sites: &[&str]) -> Net {
        let switches = sites.iter().map(|site| Switch::new(site, "desk", AGENT, anchors())).collect();
        let mut net = Net { switches, now: ms(0), cards: vec![], gateways: vec![], carried: 0 };
        net.at("desk", |switch, _, outs| {
            switch.expect();
            switch.runs(1, outs);
        });
        net
    }

    fn at(&mut self, site: &str, act: impl FnOnce(&mut Switch, Duration, &mut Vec<Out>)) {
        let mut outs = Vec::new();
        let now = self.now;
        act(self.switches.iter_mut().find(|s| s.me == site).unwrap(), now, &mut outs);
        let mut waiting: VecDeque<(String, Out)> =
            outs.into_iter().map(|out| (site.to_owned(), out)).collect();
        while let Some((from, out)) = waiting.pop_front() {
            match out {
                Out::Card(frame) => self.cards.push((from, frame)),
                Out::Gateway(frame) => self.gateways.push((from, frame)),
                Out::Link { site, packet } => {
                    self.carried += usize::from(!matches!(packet, Packet::News(_)));
                    let mut outs = Vec::new();
                    let peer = self.switches.iter_mut().find(|s| s.me == site).unwrap();
                    peer.peer_sends(now, &from, packet, &mut outs);
                    waiting.extend(outs.into_iter().map(|out| (site.clone(), out)));
                }
            }
        }
    }

    fn link(&mut self, a: &str, b: &str) {
        self.at(a, |switch, now, outs| switch.link_up(now, b, outs));
        self.at(b, |switch, now, outs| switch.link_up(now, a, outs));
    }

    fn cut(&mut self, a: &str, b: &str) {
        self.at(a, |switch, _, _| switch.link_down(b));
        self.at(b, |switch, _, _| switch.link_down(a));
    }

    fn card(&mut self, site: &str, frame: Vec<u8>) {
        self.at(site, |switch, now, outs| switch.card_sends(now, frame, outs));
    }

    fn gateway(&mut self, site: &str, frame: Vec<u8>) {
        self.at(site, |switch, now, outs| switch.gateway_sends(now, frame, outs));
    }

    fn move_to(&mut self, from: &str, to: &str, epoch: u64) {
        self.at(to, |switch, _, _| switch.expect());
        self.at(from, |switch, _, _| switch.moving(to));
        self.at(from, |switch, now, _| switch.stands(now));
        self.at(to, |switch, _, outs| switch.runs(epoch, outs));
        self.at(from, |switch, now, _| switch.left(now, to));
    }

    /// Numbers that the card at a site was given.
    fn numbers(&mut self, site: &str) -> Vec<u8> {
        let cards = std::mem::take(&mut self.cards);
        assert!(cards.iter().all(|(at, _)| at == site), "not only at {site}: {cards:?}");
        cards.into_iter().map(|(_, frame)| *frame.last().unwrap()).collect()
    }

    fn gateway_sites(&mut self) -> Vec<String> {
        std::mem::take(&mut self.gateways).into_iter().map(|(site, _)| site).collect()
    }
}

fn sites(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Asked and answered 66 ms later, four times; how long the agent waited for that, by the counts at `site`.
fn waited_at(net: &mut Net, site: &str) -> u64 {
    for _ in 0..4 {
        net.card(site, asks(100));
        net.now += ms(66);
        net.gateway("big", answers(1000));
        net.now += ms(200);
    }
    let switch = net.switches.iter().find(|switch| switch.me == site).unwrap();
    switch.counts().anchors["big"].waited_us
}

#[test]
fn what_is_far_is_waited_for_and_beside_it_nothing_is() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    assert_eq!(waited_at(&mut net, "desk"), 0, "how far it is is not known");
    net.at("desk", |switch, _, _| switch.set_way("big", ms(66)));
    net.at("big", |switch, _, _| switch.set_way("desk", ms(66)));
    assert_eq!(waited_at(&mut net, "desk"), 4 * 66_000);
    net.move_to("desk", "big", 2);
    assert_eq!(waited_at(&mut net, "big"), 0);
}

#[test]
fn a_frame_goes_to_the_gateway_its_destination_is_anchored_at_directly_where_the_agent_is_there() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.card("desk", from_agent(REMOTE));
    net.card("desk", from_agent(DATA));
    net.card("desk", from_agent(NAMES_IP));
    assert_eq!(net.gateway_sites(), ["desk", "big", "desk"]);
    assert_eq!(net.carried, 1);
    net.move_to("desk", "big", 2);
    net.carried = 0;
    net.card("big", from_agent(DATA));
    net.gateway("big", to_agent(DATA, 1));
    assert_eq!((net.gateway_sites(), net.numbers("big"), net.carried), (vec!["big".to_owned()], vec![1], 0));
    // Broadcasts (DHCP) and the name server's are home's.
    net.card("big", from_agent(Ipv4Addr::BROADCAST));
    net.card("big", from_agent(NAMES_IP));
    net.card("big", from_agent6(NAMES_IP6));
    assert_eq!(net.gateway_sites(), ["desk", "desk", "desk"]);
    net.card("big", from_agent6(REMOTE6));
    net.card("big", from_agent6(DATA6));
    assert_eq!(net.gateway_sites(), ["desk", "big"]);
}

#[test]
fn a_gateway_speaks_for_what_is_anchored_there_and_for_nobody_else() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.gateway("big", to_agent(DATA, 1));
    net.gateway("desk", to_agent(REMOTE, 2));
    assert_eq!(net.numbers("desk"), [1, 2]);
    net.gateway("big", to_agent(REMOTE, 3));
    net.gateway("big", to_agent(GATEWAY_IP, 4));
    net.gateway("big", packet6(AGENT, GATE, (REMOTE6, AGENT6), UDP, &[0; 8]));
    net.gateway("desk", to_agent(DATA, 5));
    assert!(net.numbers("desk").is_empty());
    let dropped = |net: &Net, at: usize| net.switches[at].counts().dropped;
    assert_eq!((dropped(&net, 1).wrong_way, dropped(&net, 0).wrong_way), (3, 1));
    // But errors are told by all.
    net.gateway("big", packet(AGENT, GATE, (GATEWAY_IP, AGENT_IP), ICMP, &[3; 8]));
    assert_eq!(net.numbers("desk").len(), 1);
}

#[test]
fn ipv6_neighbours_are_answered_for_by_the_switch_and_only_homes_router_speaks_as_one() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.move_to("desk", "big", 2);
    // Home is away, and the way out is known all the same.
    net.cut("desk", "big");
    for target in [ROUTER_IP6, GATEWAY_IP6, NAMES_IP6] {
        net.card("big", solicitation(AGENT, AGENT6, target));
        let (_, answer) = net.cards.pop().unwrap();
        assert_eq!(frame::look(&answer).unwrap().from, GATEWAY_MAC6, "{target}");
    }
    net.link("desk", "big");
    assert!(net.gateway_sites().is_empty(), "nobody else was asked");
    // A gateway looks for the agent: for an address that was seen, wherever the agent is.
    net.card("big", from_agent6(DATA6));
    net.card("big", from_agent6(REMOTE6));
    net.gateway_sites();
    for site in ["desk", "big"] {
        net.gateway(site, solicitation(GATE, ROUTER_IP6, AGENT6));
        let (at, answer) = net.gateways.pop().unwrap();
        assert_eq!((at.as_str(), frame::look(&answer).unwrap().from), (site, AGENT));
    }
    // What the agent may not have said yet it is asked itself, by home's.
    let unseen = Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 9);
    net.gateway("big", solicitation(GATE, ROUTER_IP6, unseen));
    assert!(net.cards.is_empty());
    // (A real one goes to many receivers; this one is what the agent's card takes.)
    let everybody = Mac([0x33, 0x33, 0, 0, 0, 1]);
    let routers_word = packet6(everybody, GATE, (ROUTER_IP6, "ff02::1".parse().unwrap()), ICMPV6, &[134; 16]);
    net.gateway("big", routers_word.clone());
    assert!(net.cards.is_empty(), "a router that is not home's");
    net.gateway("desk", routers_word);
    // Errors are told by all.
    net.gateway("big", packet6(AGENT, GATE, (ROUTER_IP6, AGENT6), ICMPV6, &[1; 8]));
    net.gateway("big", packet6(AGENT, GATE, (DATA6, AGENT6), UDP, &[7; 8]));
    assert_eq!(net.numbers("big"), [134, 1, 7]);
}

#[test]
fn arp_is_answered_by_the_switch_on_both_sides_and_goes_nowhere() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    for target in [GATEWAY_IP, NAMES_IP] {
        net.card("desk", arp_request(AGENT, AGENT_IP, target));
        let (_, answer) = net.cards.pop().unwrap();
        let sender = Inside::Arp { request: false, sender: target, target: AGENT_IP };
        assert_eq!(frame::look(&answer).unwrap().inside, sender);
    }
    net.card("desk", arp_request(AGENT, AGENT_IP, Ipv4Addr::new(10, 0, 2, 77)));
    net.card("desk", arp_request(AGENT, Ipv4Addr::UNSPECIFIED, AGENT_IP));
    assert!(net.cards.is_empty() && net.gateways.is_empty());
    // A gateway asks for the agent: by the address that DHCP gives, or one that was seen.
    let own = Ipv4Addr::new(10, 0, 2, 99);
    for (target, answers) in [(AGENT_IP, 1), (own, 0)] {
        net.gateway("big", arp_request(GATE, GATEWAY_IP, target));
        assert_eq!(net.gateway_sites().len(), answers, "{target}");
    }
    net.card("desk", packet(GATE, AGENT, (own, DATA), UDP, &[0; 8]));
    net.gateway_sites();
    net.gateway("big", arp_request(GATE, GATEWAY_IP, own));
    assert_eq!(net.gateway_sites(), ["big"]);
    assert!(net.cards.is_empty());
}

#[test]
fn only_frames_of_the_agents_own_card_leave_it_and_odd_ones_do_not_pass() {
    let mut net = Net::new(&["desk"]);
    net.card("desk", packet(GATE, GATE, (AGENT_IP, REMOTE), UDP, &[0; 8]));
    net.card("desk", vec![0; 13]);
    net.card("desk", vec![0; FRAME_MAX + 1]);
    net.gateway("desk", to_agent(REMOTE, 0)[..30].to_vec());
    net.gateway("desk", packet(GATE, GATE, (REMOTE, AGENT_IP), UDP, &[0; 8]));
    assert!(net.cards.is_empty() && net.gateways.is_empty());
    let dropped = net.switches[0].counts().dropped;
    assert_eq!((dropped.foreign, dropped.odd), (2, 3));
}

#[test]
fn what_came_in_the_last_half_second_and_while_it_stood_is_given_again_where_it_runs_next() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    for n in 0..10 {
        net.now = ms(u64::from(n) * 100);
        net.gateway("desk", to_agent(REMOTE, n));
    }
    assert_eq!(net.numbers("desk").len(), 10);
    net.at("desk", |switch, now, _| switch.stands(now));
    // It stands for long; what was kept before stays.
    for n in 10..13 {
        net.now = ms(u64::from(n) * 1000);
        net.gateway("desk", to_agent(REMOTE, n));
    }
    assert!(net.numbers("desk").is_empty());
    net.at("big", |switch, _, outs| {
        switch.expect();
        switch.runs(2, outs);
    });
    assert_eq!(net.numbers("big"), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    // What comes late to the old site goes on.
    net.gateway("desk", to_agent(REMOTE, 20));
    assert_eq!(net.numbers("big"), [20]);
    assert_eq!(net.switches[0].counts().replayed, 9);
}

#[test]
fn a_move_that_was_given_up_gives_what_was_held_where_it_was() {
    let mut net = Net::new(&["desk", "big"]);
    net.at("big", |switch, _, _| switch.expect());
    net.link("desk", "big");
    net.gateway("desk", to_agent(REMOTE, 1));
    net.at("desk", |switch, _, _| switch.moving("big"));
    net.at("desk", |switch, now, _| switch.stands(now));
    net.gateway("desk", to_agent(REMOTE, 2));
    net.at("desk", |switch, _, outs| switch.runs(1, outs));
    assert_eq!(net.numbers("desk"), [1, 2]);
    assert!(!net.switches[0].wants().contains("elsewhere"));
}

#[test]
fn the_claim_of_the_newer_epoch_wins_however_late_the_older_one_comes() {
    let mut net = Net::new(&["desk", "big", "far"]);
    net.link("desk", "big");
    net.link("desk", "far");
    net.move_to("desk", "big", 2);
    net.move_to("big", "far", 3);
    let old = News {
        claim: Some(Claim { epoch: 2, turn: 9, site: "big".to_owned(), on: true }),
        ..News::default()
    };
    net.at("desk", |switch, now, outs| switch.peer_sends(now, "big", Packet::News(old), outs));
    net.gateway("desk", to_agent(REMOTE, 1));
    assert_eq!(net.numbers("far"), [1]);
    // All know, though two of them have no link.
    assert!(net.switches.iter().all(|switch| switch.news.claim.as_ref().unwrap().site == "far"));
    // A switch that was restarted hears it from the others, and what its supervisor says counts.
    net.switches[2] = Switch::new("far", "desk", AGENT, Anchors::default());
    net.at("far", |switch, _, outs| switch.runs(3, outs));
    net.link("desk", "far");
    assert_eq!(net.switches[2].news.anchors, anchors());
    net.gateway("desk", to_agent(REMOTE, 2));
    assert_eq!(net.numbers("far"), [2]);
}

#[test]
fn a_source_without_a_way_back_to_home_is_passed_through() {
    // Home knows nobody but `big`; `far` has been reached from `big`.
    let mut net = Net::new(&["desk", "big", "far"]);
    net.link("desk", "big");
    net.move_to("desk", "big", 2);
    net.link("big", "far");
    net.move_to("big", "far", 3);
    assert_eq!(net.switches[0].wants(), sites(&["big", "far"]));
    net.link("desk", "far");
    net.cut("desk", "big");
    net.card("far", from_agent(REMOTE));
    assert_eq!(net.gateway_sites(), ["desk"]);
    // An anchor that `far` cannot reach is reached over home.
    net.cut("big", "far");
    net.link("desk", "big");
    net.card("far", from_agent(DATA));
    net.gateway("big", to_agent(DATA, 5));
    assert_eq!((net.gateway_sites(), net.numbers("far")), (vec!["big".to_owned()], vec![5]));
}

#[test]
fn while_home_is_away_frames_wait_bounded_and_the_anchored_go_on() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.move_to("desk", "big", 2);
    net.cut("desk", "big");
    net.card("big", from_agent(DATA));
    assert_eq!(net.gateway_sites(), ["big"]);
    let big = vec![0; 1400];
    for n in 0..2000u64 {
        net.now = ms(n);
        net.card("big", packet(GATE, AGENT, (AGENT_IP, REMOTE), UDP, &big));
        net.gateway("desk", packet(AGENT, GATE, (REMOTE, AGENT_IP), UDP, &big));
    }
    assert!(net.switches[1].waiting_bytes() <= BACKLOG_MAX_BYTES);
    assert!(net.switches[0].waiting_bytes() <= HELD_MAX_BYTES + RECENT_MAX_BYTES);
    assert!(net.gateways.is_empty() && net.cards.is_empty());
    net.link("desk", "big");
    let waited = BACKLOG_MAX_BYTES / (1400 + 34 + 64);
    assert_eq!(net.gateway_sites().len(), waited);
    assert!(net.numbers("big").len() > 1000);
    let counts = net.switches[1].counts();
    assert_eq!(usize::try_from(counts.dropped.waited).unwrap(), 2000 - waited);
    // What waited for too long is of no use.
    net.cut("desk", "big");
    net.card("big", from_agent(REMOTE));
    net.now += WAIT_MAX + ms(1);
    net.link("desk", "big");
    assert!(net.gateways.is_empty());
}

#[test]
fn bytes_are_counted_by_anchor_where_the_agent_is_and_begin_anew_when_it_comes() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.card("desk", from_agent(DATA));
    net.card("desk", from_agent(REMOTE));
    net.gateway("big", to_agent(DATA, 1));
    let of = |net: &Net, at: usize, site: &str| {
        net.switches[at].counts().anchors.get(site).copied().unwrap_or_default()
    };
    let len = from_agent(DATA).len() as u64;
    let data = of(&net, 0, "big");
    assert_eq!((data.bytes_out, data.frames_out, data.bytes_in, data.frames_in), (len, 1, len, 1));
    assert_eq!((of(&net, 0, "desk").bytes_out, of(&net, 0, "desk").bytes_in), (len, 0));
    assert!(net.switches[1].counts().anchors.is_empty());
    net.move_to("desk", "big", 2);
    net.card("big", from_agent(REMOTE));
    assert_eq!(of(&net, 1, "desk").frames_out, 1);
    // So late that nothing is given again, which would count, too.
    net.now += KEEP + ms(1);
    net.move_to("big", "desk", 3);
    assert!(net.switches[0].counts().anchors.is_empty());
}

#[test]
fn tunnels_are_wanted_by_those_who_need_them_and_nobody_keeps_a_switch_for_nothing() {
    let mut net = Net::new(&["desk", "big", "far"]);
    let [desk, big, far] = [0, 1, 2];
    // Home has one to where destinations are anchored, even before the agent goes there.
    assert_eq!(net.switches[desk].wants(), sites(&["big"]));
    assert!(net.switches[desk].wants_gateway() && !net.switches[far].wants_gateway());
    assert!(net.switches[far].is_idle());
    net.at("far", |switch, _, _| switch.expect());
    assert_eq!(net.switches[far].wants(), sites(&["desk", "big"]));
    net.link("desk", "far");
    net.link("desk", "big");
    net.move_to("desk", "far", 2);
    assert_eq!(net.switches[desk].wants(), sites(&["big", "far"]));
    assert!(net.switches[big].wants_gateway(), "something is anchored there");
    assert_eq!(net.switches[big].wants(), sites(&["desk", "far"]));
    // It is off: nobody needs anything.
    net.at("far", |switch, _, outs| switch.ended(outs));
    for switch in &net.switches {
        assert!(switch.is_idle() && !switch.wants_gateway(), "{switch:?}");
    }
    net.gateway("desk", to_agent(REMOTE, 1));
    assert_eq!(net.switches[desk].counts().dropped.nobody, 1);
    // It begins again where it was, in the same epoch of its disk.
    net.at("far", |switch, _, outs| {
        switch.expect();
        switch.runs(2, outs);
    });
    net.gateway("desk", to_agent(REMOTE, 2));
    assert_eq!(net.numbers("far"), [2]);
}

#[test]
fn frames_go_by_the_home_that_is_said_and_who_is_cut_off_from_the_one_before_knows_it() {
    let mut net = Net::new(&["desk", "big", "laptop"]);
    net.link("desk", "big");
    net.move_to("desk", "big", 2);
    assert!(net.switches[..2].iter().all(|switch| !switch.is_cut_off()));
    net.cut("desk", "big");
    assert!(net.switches[..2].iter().all(Switch::is_cut_off));
    net.at("laptop", |switch, now, _| {
        switch.set_home("laptop");
        switch.hears_of(now, "big");
    });
    assert_eq!(net.switches[2].wants(), sites(&["big"]));
    net.at("big", |switch, _, _| switch.set_home("laptop"));
    net.link("laptop", "big");
    net.card("big", from_agent(REMOTE));
    net.gateway("laptop", to_agent(REMOTE, 1));
    assert_eq!((net.gateway_sites(), net.numbers("big")), (vec!["laptop".to_owned()], vec![1]));
    net.at("desk", |switch, _, _| switch.set_home("laptop"));
    assert!(net.switches[0].is_idle() && !net.switches[0].wants_gateway());
}

#[test]
fn a_new_home_that_never_hears_of_the_agent_does_not_look_for_it_for_ever() {
    let mut net = Net::new(&["desk", "laptop"]);
    net.at("laptop", |switch, now, _| {
        switch.set_home("laptop");
        switch.hears_of(now, "desk");
    });
    assert!(!net.switches[1].is_idle());
    net.now += LEFT_MAX + ms(1);
    net.at("laptop", |switch, now, _| switch.tick(now));
    assert!(net.switches[1].is_idle());
}

#[test]
fn a_site_that_gave_the_agent_away_and_hears_nothing_does_not_wait_for_ever() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    net.move_to("desk", "big", 2);
    // `far` has taken it and died before it said so; nothing is anchored at `big`.
    net.at("desk", |switch, _, outs| switch.set_anchors(Anchors { version: 9, anchors: vec![] }, outs));
    net.at("big", |switch, now, _| switch.left(now, "far"));
    assert!(!net.switches[1].is_idle());
    net.now += LEFT_MAX + ms(1);
    net.at("big", |switch, now, _| switch.tick(now));
    assert!(net.switches[1].wants().is_empty());
}

#[test]
fn changed_anchors_are_homes_to_say_and_all_hear_of_them() {
    let mut net = Net::new(&["desk", "big"]);
    net.link("desk", "big");
    let mut changed = anchors();
    changed.set("10.1.0.0/16".parse().unwrap(), None).unwrap();
    net.at("desk", |switch, _, outs| switch.set_anchors(changed.clone(), outs));
    assert_eq!(net.switches[1].news.anchors, changed);
    let mut other = changed.clone();
    other.set("10.9.0.0/16".parse().unwrap(), Some("big")).unwrap();
    let news = News { claim: None, anchors: other };
    net.at("desk", |switch, now, outs| switch.peer_sends(now, "big", Packet::News(news), outs));
    assert_eq!(net.switches[0].news.anchors, changed);
}

proptest! {
    /// Whatever happens: bounds hold, and no frame goes round.
    #[test]
    fn nothing_grows_and_nothing_goes_round(acts in proptest::collection::vec((0..3usize, 0..9u8, any::<u8>()), 1..200)) {
        let names = ["desk", "big", "far"];
        let mut net = Net::new(&names);
        let mut epoch = 1;
        for (at, act, n) in acts {
            let (site, other) = (names[at], names[(at + 1 + usize::from(n) % 2) % 3]);
            net.now += ms(u64::from(n));
            match act {
                0 => net.card(site, from_agent(if n % 2 == 0 { DATA } else { REMOTE })),
                1 => net.gateway(site, to_agent(if n % 2 == 0 { DATA } else { REMOTE }, n)),
                2 => net.link(site, other),
                3 => net.cut(site, other),
                4 => net.at(site, |switch, now, _| switch.stands(now)),
                5 => {
                    epoch += u64::from(n % 2);
                    net.at(site, |switch, _, outs| switch.runs(epoch, outs));
                }
                6 => net.at(site, |switch, _, outs| switch.ended(outs)),
                7 => net.at(site, |switch, _, _| switch.moving(other)),
                _ => net.at(site, |switch, now, _| switch.left(now, other)),
            }
            for switch in &net.switches {
                prop_assert!(switch.waiting_bytes() <= HELD_MAX_BYTES + RECENT_MAX_BYTES + 2 * BACKLOG_MAX_BYTES);
                prop_assert!(!switch.wants().contains(&switch.me));
            }
        }
        // A frame of the last act at most times the hops.
        prop_assert!(net.carried <= 200 * 400);
    }
}
