//! The switch of an agent at a site: frames and times in, frames and counts out. Pure.
//!
//! It knows where the agent runs by a [`Claim`]: whoever's supervisor lets the agent run claims it, with the epoch of the
//! agent's disk, and claims travel from switch to switch. So two sites never disagree for long, and an old one never wins.
//!
//! While the agent stands (QEMU would lose what it is given) frames for it are held; those of the last [`KEEP`] before it stood are
//! kept beside them, since they may have died in QEMU's sockets. When it runs again here it gets what was held; when another
//! site claims it, all of it goes there, and so does whatever comes later. A frame may come twice; TCP does not mind.
//!
//! Invariants: what is held and kept is bounded; a frame is passed on at most [`HOPS_MAX`] times; nothing that is odd, foreign or
//! from the wrong gateway passes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::anchors::Anchors;
use super::counts::Counts;
use super::frame::{self, ICMP, ICMPV6, Inside, Mac};
use super::kept::Kept;
use super::packet::{Claim, HOPS_MAX, News, Packet};
use super::wait::Waits;
use super::{
    AGENT_IP, GATEWAY_IP, GATEWAY_IP6, GATEWAY_MAC, GATEWAY_MAC6, NAMES_IP, NAMES_IP6, ROUTER_IP6, neighbour,
};

mod needs;

/// Frames that QEMU was given so shortly before it stood are given again.
pub const KEEP: Duration = Duration::from_millis(500);
/// Of those.
const RECENT_MAX_BYTES: usize = 1 << 20;
/// For an agent that stands, or whose site cannot be reached.
pub const HELD_MAX_BYTES: usize = 2 << 20;
/// From the agent, for each gateway that cannot be reached.
pub const BACKLOG_MAX_BYTES: usize = 512 << 10;
/// What waited longer is of no use to anybody when the line is back.
pub const WAIT_MAX: Duration = Duration::from_secs(30);
/// A site that is not home keeps what is left of an agent for so long after it left.
const LEFT_MAX: Duration = Duration::from_secs(60);
/// Addresses that the agent is known by, of both kinds; a new one takes the place of the oldest.
const ADDRESSES_MAX: usize = 16;
/// What every gateway has, the switch answers for.
const GATEWAYS: [Ipv4Addr; 2] = [GATEWAY_IP, NAMES_IP];
const GATEWAYS6: [Ipv6Addr; 3] = [ROUTER_IP6, GATEWAY_IP6, NAMES_IP6];
/// ICMP of IPv6 that tells of errors; the rest is for neighbours and routers.
const ERRORS6: std::ops::Range<u8> = 1..128;

/// What the switch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    /// Gives a frame to the agent's card.
    Card(Vec<u8>),
    /// Gives a frame to the gateway of this site.
    Gateway(Vec<u8>),
    /// Sends to the switch of another site.
    Link {
        /// Its name.
        site: String,
        /// What.
        packet: Packet,
    },
}

/// The state of one.
#[derive(Debug)]
pub struct Switch {
    me: String,
    home: String,
    mac: Mac,
    news: News,
    /// QEMU is expected, or there.
    expected: bool,
    /// QEMU here takes frames.
    takes: bool,
    /// The agent is being moved from here to there.
    ahead: Option<String>,
    left_at: Option<Duration>,
    recent: Kept,
    held: Kept,
    links: BTreeSet<String>,
    backlog: BTreeMap<String, Kept>,
    addresses: VecDeque<IpAddr>,
    counts: Counts,
    waits: Waits,
}

impl Switch {
    /// The switch at site `me` of an agent with this card.
    #[must_use]
    pub fn new(me: &str, home: &str, mac: Mac, anchors: Anchors) -> Switch {
        Switch {
            me: me.to_owned(),
            home: home.to_owned(),
            mac,
            news: News { claim: None, anchors },
            expected: false,
            takes: false,
            ahead: None,
            left_at: None,
            recent: Kept::new(RECENT_MAX_BYTES),
            held: Kept::new(HELD_MAX_BYTES),
            links: BTreeSet::new(),
            backlog: BTreeMap::new(),
            addresses: VecDeque::from([AGENT_IP.into()]),
            counts: Counts::default(),
            waits: Waits::default(),
        }
    }

    // ---- What the supervisor says.

    /// A QEMU of the agent is, or will soon be, at this site.
    pub fn expect(&mut self) {
        self.expected = true;
        self.left_at = None;
    }

    /// The agent is being moved from here to `to`.
    pub fn moving(&mut self, to: &str) {
        self.ahead = Some(to.to_owned());
    }

    /// The agent stands; what it is given from now on would be lost.
    pub fn stands(&mut self, now: Duration) {
        if self.takes {
            self.recent.forget_before(now.saturating_sub(KEEP));
        }
        self.takes = false;
    }

    /// The agent runs here; its disk is in this epoch.
    pub fn runs(&mut self, epoch: u64, outs: &mut Vec<Out>) {
        self.expected = true;
        self.takes = true;
        self.ahead = None;
        let claim = match &self.news.claim {
            Some(known) if known.site == self.me && known.on && known.epoch >= epoch => known.clone(),
            // What wandisk lets run here runs here, whatever was said.
            Some(known) if known.epoch >= epoch => self.claimed(known.epoch, known.turn + 1),
            _ => self.claimed(epoch, 0),
        };
        if self.news.claim.as_ref() != Some(&claim) {
            self.counts = Counts::default();
            self.waits.forget();
            self.recent.clear();
            self.news.claim = Some(claim);
            self.tell(None, outs);
        }
        for frame in self.held.take() {
            self.counts.replayed += 1;
            self.give(None, frame, outs);
        }
    }

    fn claimed(&self, epoch: u64, turn: u64) -> Claim {
        Claim { epoch, turn, site: self.me.clone(), on: true }
    }

    /// The agent has been given to site `to`, which says by a claim when it runs there.
    pub fn left(&mut self, now: Duration, to: &str) {
        self.expected = false;
        self.takes = false;
        self.left_at = Some(now);
        if self.claim_elsewhere().is_none() {
            self.ahead = Some(to.to_owned());
        }
    }

    /// The agent's QEMU at this site has ended, and there is no other.
    pub fn ended(&mut self, outs: &mut Vec<Out>) {
        self.expected = false;
        self.takes = false;
        self.ahead = None;
        self.recent.clear();
        self.held.clear();
        if let Some(claim) = &mut self.news.claim
            && claim.site == self.me
            && claim.on
        {
            claim.on = false;
            claim.turn += 1;
            self.tell(None, outs);
        }
    }

    /// The agent has another home.
    pub fn set_home(&mut self, home: &str) {
        home.clone_into(&mut self.home);
    }

    /// The agent runs there, says somebody; its claim, once there is one, knows better. It is looked for there for a while.
    pub fn hears_of(&mut self, now: Duration, site: &str) {
        if self.news.claim.is_none() && site != self.me {
            self.ahead = Some(site.to_owned());
            self.left_at = Some(now);
        }
    }

    /// Other anchors, by the user at home.
    pub fn set_anchors(&mut self, anchors: Anchors, outs: &mut Vec<Out>) {
        self.take_anchors(anchors);
        self.tell(None, outs);
    }

    fn take_anchors(&mut self, anchors: Anchors) {
        self.news.anchors = anchors;
        let (anchors, home) = (&self.news.anchors.anchors, &self.home);
        self.backlog.retain(|site, _| site == home || anchors.iter().any(|anchor| anchor.site == *site));
    }

    /// Time passes: a site that has given the agent away does not wait for ever for what it has given it to.
    pub fn tick(&mut self, now: Duration) {
        let long_ago = self.left_at.is_some_and(|left| left + LEFT_MAX < now);
        if long_ago && (self.me != self.home || self.news.claim.is_none()) && !self.expected {
            self.ahead = None;
            self.left_at = None;
            self.recent.clear();
            self.held.clear();
        }
    }

    // ---- Links.

    /// There is a link to this site now.
    pub fn link_up(&mut self, now: Duration, site: &str, outs: &mut Vec<Out>) {
        self.links.insert(site.to_owned());
        outs.push(Out::Link { site: site.to_owned(), packet: Packet::News(self.news.clone()) });
        self.flush_to_agent(now, outs);
        let waiting: Vec<String> = self.backlog.keys().cloned().collect();
        for gateway in waiting {
            let Some(hop) = self.hop(&gateway) else { continue };
            let Some(mut frames) = self.backlog.remove(&gateway) else { continue };
            frames.drop_before(now.saturating_sub(WAIT_MAX));
            self.counts.dropped.waited += frames.dropped();
            for frame in frames.take() {
                let packet = Packet::ToGateway { hops: 0, site: gateway.clone(), frame };
                outs.push(Out::Link { site: hop.clone(), packet });
            }
        }
    }

    /// How long the way to this site is, there and back.
    pub fn set_way(&mut self, site: &str, way: Duration) {
        self.waits.set_way(site, way);
    }

    /// There is none any more.
    pub fn link_down(&mut self, site: &str) {
        self.links.remove(site);
    }

    // ---- Frames.

    /// A frame from the agent's card.
    pub fn card_sends(&mut self, now: Duration, frame: Vec<u8>, outs: &mut Vec<Out>) {
        let Ok(look) = frame::look(&frame) else {
            self.counts.dropped.odd += 1;
            return;
        };
        if look.from != self.mac {
            self.counts.dropped.foreign += 1;
            return;
        }
        let site = match look.inside {
            Inside::Arp { request, sender, target } => {
                self.learn(sender.into());
                // Every gateway would answer the same: the switch does it, so that home need not be awake.
                if request
                    && GATEWAYS.contains(&target)
                    && let Some(answer) = frame::arp_answer(&frame, GATEWAY_MAC)
                {
                    outs.push(Out::Card(answer));
                }
                return;
            }
            Inside::Ipv4 { from, to, .. } => {
                self.learn(from.into());
                self.news.anchors.site_of(to.into()).unwrap_or(&self.home).to_owned()
            }
            Inside::Sought { sender, target } => {
                self.learn(sender.into());
                if GATEWAYS6.contains(&target)
                    && let Some(answer) = neighbour::answer(&frame, GATEWAY_MAC6, true)
                {
                    outs.push(Out::Card(answer));
                    return;
                }
                self.home.clone()
            }
            Inside::Ipv6 { from, to, .. } => {
                self.learn(from.into());
                self.news.anchors.site_of(to.into()).unwrap_or(&self.home).to_owned()
            }
            // For switches; ours are told by claims.
            Inside::Announcement => return,
            Inside::Other => self.home.clone(),
        };
        self.counts.add_out(&site, frame.len());
        if site != self.me {
            self.waits.asks(now, &site, &frame);
        }
        self.send_to_gateway(now, &site, 0, frame, outs);
    }

    /// A frame from this site's gateway.
    pub fn gateway_sends(&mut self, now: Duration, frame: Vec<u8>, outs: &mut Vec<Out>) {
        let Ok(look) = frame::look(&frame) else {
            self.counts.dropped.odd += 1;
            return;
        };
        let at_home = self.me == self.home;
        match look.inside {
            Inside::Arp { request, target, .. } => {
                if request
                    && self.addresses.contains(&target.into())
                    && let Some(answer) = frame::arp_answer(&frame, self.mac)
                {
                    outs.push(Out::Gateway(answer));
                }
                return;
            }
            Inside::Ipv4 { from, protocol, .. } => {
                let tells_of_an_error = protocol == ICMP && from == GATEWAY_IP;
                if !tells_of_an_error && !self.speaks_for(from.into()) {
                    self.counts.dropped.wrong_way += 1;
                    return;
                }
            }
            Inside::Sought { target, .. } if self.addresses.contains(&target.into()) => {
                outs.extend(neighbour::answer(&frame, self.mac, false).map(Out::Gateway));
                return;
            }
            Inside::Ipv6 { from, protocol, kind, .. } => {
                let tells_of_an_error =
                    protocol == ICMPV6 && ERRORS6.contains(&kind) && GATEWAYS6.contains(&from);
                if !tells_of_an_error && !self.speaks_for(from.into()) {
                    self.counts.dropped.wrong_way += 1;
                    return;
                }
            }
            Inside::Sought { .. } | Inside::Other | Inside::Announcement if !at_home => {
                self.counts.dropped.wrong_way += 1;
                return;
            }
            Inside::Sought { .. } | Inside::Other | Inside::Announcement => {}
        }
        if look.to != self.mac && !look.to.is_group() {
            self.counts.dropped.foreign += 1;
            return;
        }
        self.send_to_agent(now, 0, frame, outs);
    }

    /// Something from the switch of another site.
    pub fn peer_sends(&mut self, now: Duration, peer: &str, packet: Packet, outs: &mut Vec<Out>) {
        match packet {
            // Tunnels' ends keep those to themselves.
            Packet::Alive | Packet::Taken(_) => {}
            Packet::News(news) => self.heard(now, peer, news, outs),
            Packet::ToAgent { hops, frame } => match frame::look(&frame) {
                Ok(look) if look.to == self.mac || look.to.is_group() => {
                    self.send_to_agent(now, hops, frame, outs);
                }
                Ok(_) => self.counts.dropped.foreign += 1,
                Err(_) => self.counts.dropped.odd += 1,
            },
            Packet::ToGateway { hops, site, frame } => match frame::look(&frame) {
                Ok(look) if look.from == self.mac => {
                    match look.inside {
                        Inside::Ipv4 { from, .. } => self.learn(from.into()),
                        Inside::Ipv6 { from, .. } => self.learn(from.into()),
                        Inside::Sought { sender, .. } => self.learn(sender.into()),
                        _ => {}
                    }
                    self.send_to_gateway(now, &site, hops, frame, outs);
                }
                Ok(_) => self.counts.dropped.foreign += 1,
                Err(_) => self.counts.dropped.odd += 1,
            },
        }
    }

    /// Is this site's gateway the one for this sender?
    fn speaks_for(&self, sender: IpAddr) -> bool {
        self.news.anchors.site_of(sender).unwrap_or(&self.home) == self.me
    }

    /// Gateways ask for the agent's addresses; these are what is answered for.
    fn learn(&mut self, address: IpAddr) {
        if self.addresses.front() == Some(&address) || address.is_unspecified() {
            return;
        }
        match self.addresses.iter().position(|known| *known == address) {
            Some(at) => drop(self.addresses.remove(at)),
            None => self.addresses.truncate(ADDRESSES_MAX - 1),
        }
        self.addresses.push_front(address);
    }

    fn heard(&mut self, now: Duration, peer: &str, news: News, outs: &mut Vec<Out>) {
        let mut changed = false;
        // Home alone changes them, so there is one order.
        if news.anchors.version > self.news.anchors.version && self.me != self.home {
            self.take_anchors(news.anchors);
            changed = true;
        }
        if let Some(claim) = news.claim
            && self.news.claim.as_ref().is_none_or(|known| claim.beats(known))
        {
            changed = true;
            let mine = claim.site == self.me;
            let off = !claim.on;
            self.news.claim = Some(claim);
            if !mine {
                self.stands(now);
            } else if off && self.takes {
                // Said by a switch of this site that is no more; the supervisor knows better.
                if let Some(claim) = &mut self.news.claim {
                    claim.on = true;
                    claim.turn += 1;
                }
                self.tell(Some(peer), outs);
                self.tell_one(peer, outs);
                return;
            }
            if off {
                self.recent.clear();
                self.held.clear();
            }
            if self.ahead.is_some() && !mine {
                self.ahead = None;
            }
        }
        if changed {
            self.tell(Some(peer), outs);
        }
        self.flush_to_agent(now, outs);
    }

    /// Tells all but one what is known.
    fn tell(&self, but: Option<&str>, outs: &mut Vec<Out>) {
        for site in self.links.iter().filter(|site| Some(site.as_str()) != but) {
            self.tell_one(site, outs);
        }
    }

    fn tell_one(&self, site: &str, outs: &mut Vec<Out>) {
        outs.push(Out::Link { site: site.to_owned(), packet: Packet::News(self.news.clone()) });
    }

    /// The next site on the way to one.
    fn hop(&self, site: &str) -> Option<String> {
        if self.links.contains(site) {
            return Some(site.to_owned());
        }
        let by_home = self.me != self.home && self.links.contains(&self.home);
        by_home.then(|| self.home.clone())
    }

    fn send_to_gateway(&mut self, now: Duration, site: &str, hops: u8, frame: Vec<u8>, outs: &mut Vec<Out>) {
        if site == self.me {
            outs.push(Out::Gateway(frame));
        } else if hops >= HOPS_MAX {
            self.counts.dropped.lost += 1;
        } else if let Some(hop) = self.hop(site) {
            let packet = Packet::ToGateway { hops: hops + 1, site: site.to_owned(), frame };
            outs.push(Out::Link { site: hop, packet });
        } else if hops == 0 {
            let waiting = self.backlog.entry(site.to_owned());
            waiting.or_insert_with(|| Kept::new(BACKLOG_MAX_BYTES)).push(now, frame);
        } else {
            self.counts.dropped.lost += 1;
        }
    }

    fn send_to_agent(&mut self, now: Duration, hops: u8, frame: Vec<u8>, outs: &mut Vec<Out>) {
        let Some(claim) = self.news.claim.as_ref().filter(|claim| claim.on) else {
            self.counts.dropped.nobody += 1;
            return;
        };
        if claim.site == self.me {
            if self.takes {
                self.recent.forget_before(now.saturating_sub(KEEP));
                self.recent.push(now, frame.clone());
                self.give(Some(now), frame, outs);
            } else {
                self.held.push(now, frame);
            }
        } else if hops >= HOPS_MAX {
            self.counts.dropped.lost += 1;
        } else if let Some(hop) = self.hop(&claim.site) {
            outs.push(Out::Link { site: hop, packet: Packet::ToAgent { hops: hops + 1, frame } });
        } else {
            self.held.push(now, frame);
        }
    }

    /// What came just now may have been waited for.
    fn give(&mut self, now: Option<Duration>, frame: Vec<u8>, outs: &mut Vec<Out>) {
        let site = match frame::look(&frame).map(|look| look.inside) {
            Ok(Inside::Ipv4 { from, .. }) => self.news.anchors.site_of(from.into()),
            Ok(Inside::Ipv6 { from, .. }) => self.news.anchors.site_of(from.into()),
            _ => None,
        };
        let site = site.unwrap_or(&self.home);
        self.counts.add_in(site, frame.len());
        if let (Some(now), Some(hop)) = (now.filter(|_| site != self.me), self.hop(site)) {
            self.counts.add_waited(site, self.waits.comes(now, site, &hop, &frame));
        }
        outs.push(Out::Card(frame));
    }

    /// What was kept for the agent goes to where it runs now.
    fn flush_to_agent(&mut self, now: Duration, outs: &mut Vec<Out>) {
        let Some(hop) = self.claim_elsewhere().and_then(|site| self.hop(site)) else { return };
        self.held.drop_before(now.saturating_sub(WAIT_MAX));
        for frame in self.recent.take().into_iter().chain(self.held.take()) {
            self.counts.replayed += 1;
            outs.push(Out::Link { site: hop.clone(), packet: Packet::ToAgent { hops: 1, frame } });
        }
    }

    // ---- What is told.

    /// Counts since the agent came, or this switch began.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts.clone();
        counts.dropped.waited += self.held.dropped() + self.backlog.values().map(Kept::dropped).sum::<u64>();
        counts
    }

    /// Where the agent runs, and the anchors.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    /// Sites that there is a link to.
    #[must_use]
    pub fn links(&self) -> &BTreeSet<String> {
        &self.links
    }

    /// Bytes that wait, for the agent or for gateways.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.recent.bytes() + self.held.bytes() + self.backlog.values().map(Kept::bytes).sum::<usize>()
    }
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
