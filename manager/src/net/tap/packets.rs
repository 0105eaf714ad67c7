//! Packets of the agent's that the kernel in the namespace is not given as they come: the first of a connection, and datagrams; and
//! those that are made here for the agent. Pure.
//!
//! Invariant: whatever the bytes are, none beyond them are read, and no frame is made that is longer than the agent takes.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use crate::net::frame::{FRAME_MIN, IPV6, Inside, Mac, look};
use crate::net::neighbour::checksum;
use crate::net::{GATEWAY_MAC, GATEWAY_MAC6};

/// Bytes of a packet at most.
pub const MTU: usize = 1500;
const IPV4_KIND: u16 = 0x0800;
const TCP: u8 = 6;
const UDP: u8 = 17;
const HEAD4: usize = 20;
const HEAD6: usize = 40;
/// Of TCP's flags.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;
/// DHCP's servers, by either kind of addresses: the namespace has one.
const DHCP: [u16; 2] = [67, 547];

/// What a frame of the agent's is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It opens a connection.
    Opens {
        /// By the agent.
        from: SocketAddr,
        /// To there.
        to: SocketAddr,
    },
    /// A datagram for somebody outside.
    Datagram {
        /// Of the agent's.
        from: SocketAddr,
        /// For whom.
        to: SocketAddr,
        /// Where its content is in the frame.
        content: Range<usize>,
    },
    /// Something else, which is the namespace's business.
    Other,
}

/// A packet's ends, and where its body is in the frame; of one that was cut in pieces there is no body.
fn body(frame: &[u8], inside: Inside) -> Option<(IpAddr, IpAddr, u8, Range<usize>)> {
    let word = |at: usize| Some(usize::from(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?])));
    match inside {
        Inside::Ipv4 { from, to, protocol } => {
            let head = usize::from(frame.get(FRAME_MIN)? & 0x0f) * 4;
            let whole = word(FRAME_MIN + 6)? & 0x3fff == 0;
            let range = FRAME_MIN + head..FRAME_MIN + word(FRAME_MIN + 2)?;
            whole.then_some((from.into(), to.into(), protocol, range))
        }
        Inside::Ipv6 { from, to, protocol, .. } => {
            let begin = FRAME_MIN + HEAD6;
            Some((from.into(), to.into(), protocol, begin..begin + word(FRAME_MIN + 4)?))
        }
        _ => None,
    }
}

/// Reads a frame of the agent's; `None` if it is none.
#[must_use]
pub fn read(frame: &[u8]) -> Option<Sent> {
    let looked = look(frame).ok()?;
    if looked.to.is_group() {
        return Some(Sent::Other);
    }
    let Some((from, to, protocol, at)) = body(frame, looked.inside) else { return Some(Sent::Other) };
    let bytes = frame.get(at.clone())?;
    let port = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (Some(own), Some(other)) = (port(0), port(2)) else { return Some(Sent::Other) };
    let (from, to) = (SocketAddr::new(from, own), SocketAddr::new(to, other));
    Some(match protocol {
        TCP if opens(bytes) => Sent::Opens { from, to },
        UDP if !DHCP.contains(&other) => {
            let len = usize::from(port(4)?);
            // One whose length lies is nobody's.
            if len < 8 || len > bytes.len() {
                return None;
            }
            Sent::Datagram { from, to, content: at.start + 8..at.start + len }
        }
        _ => Sent::Other,
    })
}

fn opens(segment: &[u8]) -> bool {
    segment.len() >= 20 && segment[13] & (FIN | SYN | RST | ACK) == SYN
}

/// The answer to a frame that opens a connection which nobody takes; `None` if it opens none.
#[must_use]
pub fn refusal(frame: &[u8]) -> Option<Vec<u8>> {
    let looked = look(frame).ok()?;
    let Some(Sent::Opens { from, to }) = read(frame) else { return None };
    let (.., at) = body(frame, looked.inside)?;
    let first = u32::from_be_bytes(frame.get(at.start + 4..at.start + 8)?.try_into().ok()?);
    let mut segment = [to.port().to_be_bytes(), from.port().to_be_bytes()].concat();
    segment.extend([0; 4]);
    segment.extend(first.wrapping_add(1).to_be_bytes());
    // Five words of head, no window, and room for the sum.
    segment.extend([5 << 4, RST | ACK, 0, 0, 0, 0, 0, 0]);
    packet(looked.from, to.ip(), from.ip(), TCP, 16, segment)
}

/// A datagram for the agent; `None` if it is too long for one packet, or its ends are of two kinds.
#[must_use]
pub fn datagram(agent: Mac, from: SocketAddr, to: SocketAddr, content: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(8 + content.len()).ok()?;
    let mut bytes = [from.port(), to.port(), len].map(u16::to_be_bytes).concat();
    bytes.extend([0, 0]);
    bytes.extend(content);
    packet(agent, from.ip(), to.ip(), UDP, 6, bytes)
}

/// A packet in a frame from the gateway; its body's sum is at `sum`.
fn packet(
    agent: Mac,
    from: IpAddr,
    to: IpAddr,
    protocol: u8,
    sum: usize,
    mut body: Vec<u8>,
) -> Option<Vec<u8>> {
    let (card, kind, head) = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let all = u16::try_from(HEAD4 + body.len()).ok()?;
            let ends = [from.octets(), to.octets()].concat();
            let len = u16::try_from(body.len()).ok()?.to_be_bytes();
            let told = sum_of(&[&ends, &[0, protocol], &len, &body]);
            // None is said as a sum that is the same.
            let told = if protocol == UDP && told == 0 { u16::MAX } else { told };
            body.get_mut(sum..sum + 2)?.copy_from_slice(&told.to_be_bytes());
            // Not to be cut in pieces, through 64 routers.
            let mut head =
                [&[0x45, 0][..], &all.to_be_bytes(), &[0, 0, 0x40, 0, 64, protocol, 0, 0], &ends].concat();
            let told = sum_of(&[&head]).to_be_bytes();
            head.get_mut(10..12)?.copy_from_slice(&told);
            (GATEWAY_MAC, IPV4_KIND, head)
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let told = checksum(from, to, protocol, &body);
            let told = if protocol == UDP && told == 0 { u16::MAX } else { told };
            body.get_mut(sum..sum + 2)?.copy_from_slice(&told.to_be_bytes());
            let len = u16::try_from(body.len()).ok()?.to_be_bytes();
            let head = [&[0x60, 0, 0, 0][..], &len, &[protocol, 64], &from.octets(), &to.octets()].concat();
            (GATEWAY_MAC6, IPV6, head)
        }
        _ => return None,
    };
    let fits = head.len() + body.len() <= MTU;
    fits.then(|| [&agent.0[..], &card.0, &kind.to_be_bytes(), &head, &body].concat())
}

/// The sum over parts of which all but the last are even (RFC 1071).
fn sum_of(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u64 = words.map(|two| u64::from(two[0]) << 8 | u64::from(*two.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// A frame of the agent's as the tap's one card is to see it: the agent knows the gateway by two addresses of cards.
pub fn for_tap(frame: &mut [u8]) {
    if let Some(to) = frame.get_mut(..6)
        && to == GATEWAY_MAC6.0
    {
        to.copy_from_slice(&GATEWAY_MAC.0);
    }
}

/// And one of the tap's as the agent is to see it.
pub fn for_agent(frame: &mut [u8]) {
    let is_ipv6 = frame.get(12..14) == Some(&IPV6.to_be_bytes()[..]);
    if let Some(from) = frame.get_mut(6..12).filter(|_| is_ipv6)
        && from == GATEWAY_MAC.0
    {
        from.copy_from_slice(&GATEWAY_MAC6.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::net::frame::tests::{AGENT, packet as packet4};
    use crate::net::neighbour::tests::packet6;

    const FOUR: (Ipv4Addr, Ipv4Addr) = (Ipv4Addr::new(10, 0, 2, 15), Ipv4Addr::new(1, 2, 3, 4));

    fn six() -> (Ipv6Addr, Ipv6Addr) {
        ("fec0::15".parse().unwrap(), "2001:db8::7".parse().unwrap())
    }

    fn segment(flags: u8) -> Vec<u8> {
        let mut segment =
            [&4000u16.to_be_bytes()[..], &80u16.to_be_bytes(), &[0, 0, 0, 9, 0, 0, 0, 0]].concat();
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment
    }

    fn udp(port: u16, content: &[u8]) -> Vec<u8> {
        let len = u16::try_from(8 + content.len()).unwrap();
        [&4000u16.to_be_bytes()[..], &port.to_be_bytes(), &len.to_be_bytes(), &[0, 0], content].concat()
    }

    fn ends(frame: &[u8]) -> (SocketAddr, SocketAddr) {
        match read(frame).unwrap() {
            Sent::Opens { from, to } | Sent::Datagram { from, to, .. } => (from, to),
            Sent::Other => panic!("it has no ends"),
        }
    }

    #[test]
    fn the_first_packet_of_a_connection_is_known_and_no_other() {
        let four = |body: &[u8]| packet4(GATEWAY_MAC, AGENT, FOUR, TCP, body);
        let six = |body: &[u8]| packet6(GATEWAY_MAC6, AGENT, six(), TCP, body);
        for frame in [&four as &dyn Fn(&[u8]) -> Vec<u8>, &six] {
            let (from, to) = ends(&frame(&segment(SYN)));
            assert_eq!((from.port(), to.port()), (4000, 80));
            for flags in [SYN | ACK, ACK, RST, FIN | ACK, SYN | RST, 0] {
                assert_eq!(read(&frame(&segment(flags))), Some(Sent::Other), "{flags}");
            }
            assert_eq!(read(&frame(&segment(SYN)[..19])), Some(Sent::Other));
        }
        // A piece of a packet has no ports.
        let mut piece = packet4(GATEWAY_MAC, AGENT, FOUR, TCP, &segment(SYN));
        piece[FRAME_MIN + 6] = 0x20;
        assert_eq!(read(&piece), Some(Sent::Other));
        assert_eq!(read(&piece[..20]), None);
    }

    #[test]
    fn who_is_refused_hears_it_in_a_packet_that_is_right() {
        let asked = packet4(GATEWAY_MAC, AGENT, FOUR, TCP, &segment(SYN));
        let said = refusal(&asked).unwrap();
        let inside = Inside::Ipv4 { from: FOUR.1, to: FOUR.0, protocol: TCP };
        let looked = look(&said).unwrap();
        assert_eq!((looked.to, looked.from, looked.inside), (AGENT, GATEWAY_MAC, inside));
        let (head, segment_said) = said[FRAME_MIN..].split_at(HEAD4);
        assert_eq!(sum_of(&[head]), 0);
        let ends = [FOUR.1.octets(), FOUR.0.octets()].concat();
        assert_eq!(sum_of(&[&ends, &[0, TCP], &[0, 20], segment_said]), 0);
        assert_eq!((&segment_said[8..12], segment_said[13]), (&[0, 0, 0, 10][..], RST | ACK));
        assert_eq!(refusal(&said), None, "a refusal is not refused");

        let said = refusal(&packet6(GATEWAY_MAC6, AGENT, six(), TCP, &segment(SYN))).unwrap();
        assert_eq!(look(&said).unwrap().from, GATEWAY_MAC6);
        assert_eq!(checksum(six().1, six().0, TCP, &said[FRAME_MIN + HEAD6..]), 0);
    }

    #[test]
    fn a_datagram_is_read_as_it_was_made_and_one_that_lies_or_is_too_long_is_none() {
        for (from, to) in [("1.2.3.4:53", "10.0.2.15:4000"), ("[2001:db8::7]:53", "[fec0::15]:4000")] {
            let (from, to): (SocketAddr, SocketAddr) = (from.parse().unwrap(), to.parse().unwrap());
            for content in [&b""[..], b"odd", b"even"] {
                let frame = datagram(AGENT, from, to, content).unwrap();
                let Some(Sent::Datagram { from: read_from, to: read_to, content: at }) = read(&frame) else {
                    panic!("{frame:?}")
                };
                assert_eq!((read_from, read_to, &frame[at]), (from, to, content));
            }
            let head = if from.is_ipv4() { HEAD4 } else { HEAD6 };
            assert!(datagram(AGENT, from, to, &vec![1; MTU - head - 8]).is_some());
            assert!(datagram(AGENT, from, to, &vec![1; MTU - head - 7]).is_none());
        }
        let sent = |body: &[u8]| read(&packet4(GATEWAY_MAC, AGENT, FOUR, UDP, body));
        let mut lies = udp(53, b"four");
        lies[5] = 13;
        assert_eq!(sent(&lies), None);
        lies[5] = 7;
        assert_eq!(sent(&lies), None);
        for port in DHCP {
            assert_eq!(sent(&udp(port, b"")), Some(Sent::Other), "{port}");
        }
        let to_all = packet4(Mac::BROADCAST, AGENT, FOUR, UDP, &udp(5353, b""));
        assert_eq!(read(&to_all), Some(Sent::Other));
    }

    #[test]
    fn the_two_cards_that_the_agent_knows_are_one_at_the_tap() {
        let mut frame = packet6(GATEWAY_MAC6, AGENT, six(), TCP, &segment(ACK));
        for_tap(&mut frame);
        assert_eq!(look(&frame).unwrap().to, GATEWAY_MAC);
        let mut back = packet6(AGENT, GATEWAY_MAC, six(), TCP, &segment(ACK));
        for_agent(&mut back);
        assert_eq!(look(&back).unwrap().from, GATEWAY_MAC6);
        let mut four = packet4(AGENT, GATEWAY_MAC, FOUR, TCP, &segment(ACK));
        let same = four.clone();
        for_agent(&mut four);
        for_tap(&mut four);
        assert_eq!(four, same);
        for_tap(&mut []);
        for_agent(&mut []);
    }
}
