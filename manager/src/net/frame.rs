//! Ethernet frames, as far as a switch must understand them. Pure.
//!
//! Invariant: whatever the bytes are, [`look`] reads none beyond them, and what it says of a packet lies within the frame.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::neighbour::{FROM_BESIDE, SOLICITATION};

/// The shortest: two addresses and a type.
pub const FRAME_MIN: usize = 14;
/// The longest: a payload of 1500 and one VLAN tag. Gateways have no larger ones.
pub const FRAME_MAX: usize = 1518;

const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const IPV4: u16 = 0x0800;
/// The kind of frames with IPv6 packets.
pub const IPV6: u16 = 0x86dd;
const TCP: u8 = 6;
/// The protocol that tells of errors; IPv6's also finds neighbours and routers.
pub const ICMP: u8 = 1;
/// The same of IPv6.
pub const ICMPV6: u8 = 58;

/// The address of a network card.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// All of them.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Reads `52:54:00:12:34:56`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Mac> {
        let mut bytes = [0; 6];
        let mut words = text.split(':');
        for byte in &mut bytes {
            let word = words.next().filter(|word| word.len() == 2 && !word.starts_with('+'))?;
            *byte = u8::from_str_radix(word, 16).ok()?;
        }
        words.next().is_none().then_some(Mac(bytes))
    }

    /// Broadcast and multicast.
    #[must_use]
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&words.join(":"))
    }
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// ARP for IPv4.
    Arp {
        /// Somebody is looked for.
        request: bool,
        /// Who says it.
        sender: Ipv4Addr,
        /// Who is looked for.
        target: Ipv4Addr,
    },
    /// An IPv4 packet.
    Ipv4 {
        /// Where from.
        from: Ipv4Addr,
        /// Where to.
        to: Ipv4Addr,
        /// Of what kind: 1 is ICMP.
        protocol: u8,
    },
    /// A neighbour is looked for by its IPv6 address, by a card beside.
    Sought {
        /// Who looks; nobody yet, where a card asks whether an address is free.
        sender: Ipv6Addr,
        /// Who is looked for.
        target: Ipv6Addr,
    },
    /// Another IPv6 packet.
    Ipv6 {
        /// Where from.
        from: Ipv6Addr,
        /// Where to.
        to: Ipv6Addr,
        /// Of what kind; that of the first head after IPv6's own.
        protocol: u8,
        /// What ICMP tells of; 0 of other protocols.
        kind: u8,
    },
    /// RARP, which tells switches where a card is.
    Announcement,
    /// Another kind: a tagged one.
    Other,
}

/// A frame that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whom it is for.
    pub to: Mac,
    /// Whom it is from.
    pub from: Mac,
    /// What is in it.
    pub inside: Inside,
}

/// What is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Odd {
    /// Shorter than its head.
    #[error("a frame is shorter than its head")]
    Short,
    /// Longer than any.
    #[error("a frame is longer than {FRAME_MAX} bytes")]
    Long,
    /// Lengths or kinds in it contradict each other.
    #[error("the lengths in a frame contradict each other")]
    Broken,
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn mac(bytes: &[u8], at: usize) -> Option<Mac> {
    Some(Mac(bytes.get(at..at + 6)?.try_into().ok()?))
}

fn ip(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(four.into())
}

fn ip6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let sixteen: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
    Some(sixteen.into())
}

/// Looks at a frame.
///
/// # Errors
/// [`Odd`] for what is none.
pub fn look(frame: &[u8]) -> Result<Look, Odd> {
    if frame.len() > FRAME_MAX {
        return Err(Odd::Long);
    }
    let (Some(to), Some(from), Some(kind)) = (mac(frame, 0), mac(frame, 6), word(frame, 12)) else {
        return Err(Odd::Short);
    };
    let payload = frame.get(FRAME_MIN..).unwrap_or_default();
    let inside = match kind {
        ARP => arp(payload).ok_or(Odd::Broken)?,
        IPV4 => ipv4(payload).ok_or(Odd::Broken)?,
        IPV6 => ipv6(payload).ok_or(Odd::Broken)?,
        RARP => Inside::Announcement,
        _ => Inside::Other,
    };
    Ok(Look { to, from, inside })
}

fn arp(payload: &[u8]) -> Option<Inside> {
    let of_ipv4_over_ethernet = payload.get(..6)? == [0, 1, 8, 0, 6, 4];
    if !of_ipv4_over_ethernet {
        return None;
    }
    Some(Inside::Arp { request: word(payload, 6)? == 1, sender: ip(payload, 14)?, target: ip(payload, 24)? })
}

fn ipv4(payload: &[u8]) -> Option<Inside> {
    let first = *payload.first()?;
    let head = usize::from(first & 0x0f) * 4;
    let all = usize::from(word(payload, 2)?);
    if first >> 4 != 4 || head < 20 || all < head || all > payload.len() {
        return None;
    }
    Some(Inside::Ipv4 { from: ip(payload, 12)?, to: ip(payload, 16)?, protocol: *payload.get(9)? })
}

fn ipv6(payload: &[u8]) -> Option<Inside> {
    let body = payload.get(40..40 + usize::from(word(payload, 4)?))?;
    let (protocol, hops) = (*payload.get(6)?, *payload.get(7)?);
    let (from, to) = (ip6(payload, 8)?, ip6(payload, 24)?);
    if payload.first()? >> 4 != 6 {
        return None;
    }
    let kind = if protocol == ICMPV6 { *body.first()? } else { 0 };
    if kind == SOLICITATION && hops == FROM_BESIDE {
        return Some(Inside::Sought { sender: from, target: ip6(body, 8)? });
    }
    Some(Inside::Ipv6 { from, to, protocol, kind })
}

/// Bytes of the TCP segment in a frame, and one more where it begins a connection; 0 of anything else, and of a part of a packet.
#[must_use]
pub fn segment_bytes(frame: &[u8]) -> usize {
    segment(frame).unwrap_or(0)
}

fn segment(frame: &[u8]) -> Option<usize> {
    let packet = frame.get(FRAME_MIN..)?;
    let segment = match word(frame, 12)? {
        IPV4 => {
            // More fragments follow, or this is not the first.
            let in_parts = word(packet, 6)? & 0x3fff != 0;
            let head = usize::from(packet.first()? & 0x0f) * 4;
            let all = packet.get(head..usize::from(word(packet, 2)?))?;
            if in_parts || *packet.get(9)? != TCP {
                return None;
            }
            all
        }
        IPV6 if *packet.get(6)? == TCP => packet.get(40..40 + usize::from(word(packet, 4)?))?,
        _ => return None,
    };
    let head = usize::from(segment.get(12)? >> 4) * 4;
    let begins = usize::from(segment.get(13)? >> 1 & 1);
    Some(segment.len().checked_sub(head)? + begins)
}

/// The answer to an ARP request: `owner` has the address that was looked for.
///
/// `None` if the frame is no request.
#[must_use]
pub fn arp_answer(request: &[u8], owner: Mac) -> Option<Vec<u8>> {
    let look = look(request).ok()?;
    let Inside::Arp { request: true, sender, target } = look.inside else { return None };
    let asker = mac(request, FRAME_MIN + 8)?;
    let mut answer = Vec::with_capacity(60);
    answer.extend(look.from.0);
    answer.extend(owner.0);
    answer.extend(ARP.to_be_bytes());
    answer.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    answer.extend(owner.0);
    answer.extend(target.octets());
    answer.extend(asker.0);
    answer.extend(sender.octets());
    // The shortest frame of a wire.
    answer.resize(60, 0);
    Some(answer)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const AGENT: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
    pub(crate) const GATE: Mac = Mac([0x52, 0x55, 10, 0, 2, 2]);

    pub(crate) fn frame(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
        [&to.0[..], &from.0, &kind.to_be_bytes(), payload].concat()
    }

    /// An IPv4 packet of this protocol in a frame.
    pub(crate) fn packet(
        to: Mac,
        from: Mac,
        ips: (Ipv4Addr, Ipv4Addr),
        protocol: u8,
        body: &[u8],
    ) -> Vec<u8> {
        let all = u16::try_from(20 + body.len()).unwrap();
        let mut head = vec![0x45, 0];
        head.extend(all.to_be_bytes());
        head.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
        head.extend(ips.0.octets());
        head.extend(ips.1.octets());
        head.extend(body);
        frame(to, from, IPV4, &head)
    }

    pub(crate) fn arp_request(from: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
        let mut payload = vec![0, 1, 8, 0, 6, 4, 0, 1];
        payload.extend(from.0);
        payload.extend(sender.octets());
        payload.extend([0; 6]);
        payload.extend(target.octets());
        frame(Mac::BROADCAST, from, ARP, &payload)
    }

    #[test]
    fn a_packet_is_read_and_one_whose_lengths_lie_is_broken() {
        let ips = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 1, 2, 3));
        let good = packet(GATE, AGENT, ips, 17, &[0, 68, 0, 67, 0, 8, 0, 0]);
        let inside = Inside::Ipv4 { from: ips.0, to: ips.1, protocol: 17 };
        assert_eq!(look(&good), Ok(Look { to: GATE, from: AGENT, inside }));
        // What comes after the packet is padding.
        assert_eq!(look(&[&good[..], &[0; 20]].concat()).unwrap().inside, inside);
        type Change = fn(&mut Vec<u8>);
        let changes: [(&str, Change); 5] = [
            ("version 6", |f| f[14] = 0x65),
            ("a head of 16", |f| f[14] = 0x44),
            ("a head beyond the packet", |f| f[14] = 0x4f),
            ("a packet beyond the frame", |f| f[17] = 200),
            ("a packet within its head", |f| f[17] = 19),
        ];
        for (name, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            assert_eq!(look(&bad), Err(Odd::Broken), "{name}");
        }
        assert_eq!(look(&good[..13]), Err(Odd::Short));
        assert_eq!(look(&vec![0; FRAME_MAX + 1]), Err(Odd::Long));
        assert_eq!(look(&frame(GATE, AGENT, ARP, &[0; 27])), Err(Odd::Broken));
    }

    #[test]
    fn an_ipv6_packet_is_read_and_one_whose_lengths_lie_is_broken() {
        let (from, to) = (Ipv6Addr::LOCALHOST, Ipv6Addr::from(7));
        let mut head = vec![0x60, 0, 0, 0, 0, 2, ICMPV6, 64];
        head.extend([from.octets(), to.octets()].concat());
        let good = frame(GATE, AGENT, IPV6, &[&head[..], &[3, 0], &[0; 9]].concat());
        let inside = Inside::Ipv6 { from, to, protocol: ICMPV6, kind: 3 };
        assert_eq!(look(&good).unwrap().inside, inside);
        for (name, at, value) in
            [("version 4", 14, 0x45), ("a body beyond the frame", 19, 12), ("an empty one", 19, 0)]
        {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(look(&bad), Err(Odd::Broken), "{name}");
        }
        assert_eq!(look(&good[..14 + 39]), Err(Odd::Broken));
        // Cut short, whoever looks for a neighbour looks for nobody.
        let mut short = good.clone();
        (short[21], short[54]) = (255, 135);
        assert_eq!(look(&short), Err(Odd::Broken));
    }

    /// A TCP segment with these flags and so many bytes.
    pub(crate) fn tcp(flags: u8, bytes: usize) -> Vec<u8> {
        let mut segment = vec![0; 20 + bytes];
        (segment[12], segment[13]) = (0x50, flags);
        segment
    }

    #[test]
    fn bytes_of_a_segment_are_those_behind_its_head_and_a_connection_that_begins_is_one() {
        const SYN: u8 = 2;
        const ACK: u8 = 16;
        let ips = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 1, 2, 3));
        let of = |flags, bytes| packet(GATE, AGENT, ips, TCP, &tcp(flags, bytes));
        assert_eq!(segment_bytes(&of(ACK, 0)), 0);
        assert_eq!(segment_bytes(&[of(ACK, 0), vec![0; 6]].concat()), 0, "padding");
        assert_eq!((segment_bytes(&of(ACK, 700)), segment_bytes(&of(SYN | ACK, 0))), (700, 1));
        let mut head = vec![0x60, 0, 0, 0, 0, 25, TCP, 64];
        head.extend([0; 32]);
        assert_eq!(segment_bytes(&frame(GATE, AGENT, IPV6, &[head, tcp(ACK, 5)].concat())), 5);
        // What is no whole segment has none.
        let (mut part, mut long) = (of(ACK, 700), of(ACK, 7));
        part[20] = 0x20;
        long[46] = 0xf0;
        let cut = of(ACK, 700)[..100].to_vec();
        for other in [part, long, cut, packet(GATE, AGENT, ips, 17, &[0; 40]), vec![], vec![0; 40]] {
            assert_eq!(segment_bytes(&other), 0, "{other:?}");
        }
    }

    #[test]
    fn an_arp_request_is_answered_to_whoever_asked() {
        let (agent, gate) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(10, 0, 2, 2));
        let request = arp_request(AGENT, agent, gate);
        let answer = arp_answer(&request, GATE).unwrap();
        let inside = Inside::Arp { request: false, sender: gate, target: agent };
        assert_eq!(look(&answer), Ok(Look { to: AGENT, from: GATE, inside }));
        assert_eq!(&answer[22..28], &GATE.0);
        assert_eq!(arp_answer(&answer, GATE), None, "an answer is not answered");
    }

    #[test]
    fn an_address_of_a_card_is_six_bytes() {
        assert_eq!(Mac::parse("52:54:00:01:02:03"), Some(AGENT));
        for bad in ["", "52:54:00:01:02", "52:54:00:01:02:03:04", "52:54:00:01:02:3", "52:54:00:01:02:+3"] {
            assert_eq!(Mac::parse(bad), None, "{bad}");
        }
        assert!(Mac::BROADCAST.is_group() && !AGENT.is_group());
    }
}
