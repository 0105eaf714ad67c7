//! Who has an IPv6 address (RFC 4861): the answer to a card that looks for a neighbour, as [`super::frame::arp_answer`] is to one
//! that looks for an IPv4 address. Pure.

use std::net::Ipv6Addr;

use super::frame::{ICMPV6, IPV6, Inside, Mac, look};

/// "Somebody is looked for", and "it is me".
pub(super) const SOLICITATION: u8 = 135;
pub(super) const ADVERTISEMENT: u8 = 136;
/// What comes from a neighbour has passed no router.
pub(super) const FROM_BESIDE: u8 = 255;
/// In an advertisement: by a router; because it was asked for; in place of what was known.
const ROUTER: u8 = 0x80;
const ASKED: u8 = 0x40;
const INSTEAD: u8 = 0x20;
/// The option that says the address of its sender's card, in eights of bytes with its head.
const CARD_OF_TARGET: [u8; 2] = [2, 1];

/// The answer to a solicitation: `owner` has the address that was looked for, and is a router or not (whoever was one and is none any
/// more is no way out for the card).
///
/// `None` if the frame is no solicitation, or nobody is to be told: a card that only asks whether an address is free.
#[must_use]
pub fn answer(request: &[u8], owner: Mac, router: bool) -> Option<Vec<u8>> {
    let looked = look(request).ok()?;
    let Inside::Sought { sender, target } = looked.inside else { return None };
    if sender.is_unspecified() {
        return None;
    }
    let flags = ASKED | INSTEAD | if router { ROUTER } else { 0 };
    let mut said = vec![ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0];
    said.extend(target.octets());
    said.extend(CARD_OF_TARGET);
    said.extend(owner.0);
    let sum = checksum(target, sender, ICMPV6, &said);
    said[2..4].copy_from_slice(&sum.to_be_bytes());
    let len = u16::try_from(said.len()).ok()?;
    let mut frame = Vec::with_capacity(14 + 40 + said.len());
    frame.extend(looked.from.0);
    frame.extend(owner.0);
    frame.extend(IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(len.to_be_bytes());
    frame.extend([ICMPV6, FROM_BESIDE]);
    frame.extend(target.octets());
    frame.extend(sender.octets());
    frame.extend(said);
    Some(frame)
}

/// The sum over a packet's body and what of its head belongs to it (RFC 8200, 8.1).
#[must_use]
pub fn checksum(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: &[u8]) -> u16 {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
    let head = [&from.octets()[..], &to.octets(), &len, &[0, 0, 0, protocol]].concat();
    let words = head.chunks(2).chain(body.chunks(2));
    let mut sum: u64 = words.map(|two| u64::from(two[0]) << 8 | u64::from(*two.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::net::frame::Look;
    use crate::net::frame::tests::{AGENT, GATE, frame};

    /// An IPv6 packet in a frame.
    pub(crate) fn packet6(
        to: Mac,
        from: Mac,
        ips: (Ipv6Addr, Ipv6Addr),
        protocol: u8,
        body: &[u8],
    ) -> Vec<u8> {
        let mut head = vec![0x60, 0, 0, 0];
        head.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        head.extend([protocol, FROM_BESIDE]);
        head.extend(ips.0.octets());
        head.extend(ips.1.octets());
        head.extend(body);
        frame(to, from, IPV6, &head)
    }

    pub(crate) fn solicitation(from: Mac, sender: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
        let mut body = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
        body.extend(target.octets());
        packet6(Mac([0x33, 0x33, 0xff, 0, 0, 1]), from, (sender, target), ICMPV6, &body)
    }

    fn ip(text: &str) -> Ipv6Addr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_looks_for_a_neighbour_is_told_its_card_and_whether_it_is_a_router() {
        let (agent, gate) = (ip("fec0::15"), ip("fe80::2"));
        let request = solicitation(AGENT, agent, gate);
        assert_eq!(look(&request).unwrap().inside, Inside::Sought { sender: agent, target: gate });
        for (router, flags) in [(true, 0xe0), (false, 0x60)] {
            let said = answer(&request, GATE, router).unwrap();
            let inside = Inside::Ipv6 { from: gate, to: agent, protocol: ICMPV6, kind: ADVERTISEMENT };
            assert_eq!(look(&said), Ok(Look { to: AGENT, from: GATE, inside }));
            assert_eq!((said[14 + 40 + 4], &said[said.len() - 6..]), (flags, &GATE.0[..]));
            // A sum over what has its sum in it is none.
            assert_eq!(checksum(gate, agent, ICMPV6, &said[14 + 40..]), 0);
            assert_eq!(answer(&said, GATE, router), None, "an answer is not answered");
        }
        assert_eq!(answer(&solicitation(AGENT, Ipv6Addr::UNSPECIFIED, gate), GATE, true), None);
    }
}
