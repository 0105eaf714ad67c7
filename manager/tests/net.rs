//! Whatever an agent, a gateway or another site sends: it is read or refused, and the switch stays within its bounds.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::time::Duration;

use manager::net::anchors::{Anchors, Prefix};
use manager::net::config::Forward;
use manager::net::frame::{FRAME_MAX, FRAME_MIN, Inside, Mac, arp_answer, look};
use manager::net::neighbour;
use manager::net::packet::{Decoder, News, Packet};
use manager::net::switch::{BACKLOG_MAX_BYTES, HELD_MAX_BYTES, Out, Switch};
use manager::net::tap::packets::{self, Sent};

const AGENT: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);

/// An ARP request, a DHCP packet, a TCP packet, IPv6's question for a neighbour, one that lies.
fn frames() -> Vec<Vec<u8>> {
    let head = |to: [u8; 6], kind: [u8; 2]| [&to[..], &AGENT.0, &kind].concat();
    let ip = |protocol: u8, to: [u8; 4], body: &[u8]| {
        let all = u16::try_from(20 + body.len()).unwrap();
        let mut packet = [&[0x45, 0][..], &all.to_be_bytes(), &[0, 0, 0, 0, 64, protocol, 0, 0]].concat();
        packet.extend([10, 0, 2, 15]);
        packet.extend(to);
        packet.extend(body);
        [head([0x52, 0x55, 10, 0, 2, 2], [8, 0]), packet].concat()
    };
    let mut arp = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &AGENT.0, &[10, 0, 2, 15], &[0; 6]].concat();
    arp.extend([10, 0, 2, 2]);
    let sought =
        [&[0x60, 0, 0, 0, 0, 24, 58, 255][..], &[0xfe; 32], &[135, 0, 0, 0, 0, 0, 0, 0], &[0xfe; 16]]
            .concat();
    let mut lies = ip(6, [10, 1, 2, 3], &[0; 20]);
    lies[16] = 0xff;
    vec![
        [head([0xff; 6], [8, 6]), arp].concat(),
        ip(17, [255; 4], &[0, 68, 0, 67, 0, 8, 0, 0]),
        ip(6, [10, 1, 2, 3], &[0; 20]),
        [head([0x33; 6], [0x86, 0xdd]), sought].concat(),
        ip(6, [1, 2, 3, 4], &[15, 160, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, 2, 255, 255, 0, 0, 0, 0]),
        ip(17, [10, 0, 2, 3], &[15, 160, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]),
        lies,
        vec![0; FRAME_MAX],
    ]
}

fn streams() -> Vec<Vec<u8>> {
    let news = r#"{"claim": {"epoch": 2, "turn": 0, "site": "big", "on": true}, "anchors": {"version": 3, "anchors": [{"prefix": "10.1.0.0/16", "site": "big"}]}}"#;
    let news: News = serde_json::from_str(news).unwrap();
    let mut streams: Vec<Vec<u8>> = frames()
        .into_iter()
        .map(|frame| {
            let (there, back) = (frame.clone(), frame);
            let to = Packet::ToGateway { hops: 0, site: "desk".to_owned(), frame: there };
            [to.encode(), Packet::ToAgent { hops: 1, frame: back }.encode()].concat()
        })
        .collect();
    streams.push([Packet::News(news).encode(), Packet::Alive.encode()].concat());
    streams
}

fn desk() -> Switch {
    let mut anchors = Anchors::default();
    anchors.set("10.1.0.0/16".parse().unwrap(), Some("big")).unwrap();
    let mut switch = Switch::new("desk", "desk", AGENT, anchors);
    switch.expect();
    switch.runs(1, &mut Vec::new());
    switch
}

wandisk_fuzz::target!(a_frame_is_read_within_its_bytes_or_refused, 20_000, frames(), |bytes: &[u8]| {
    match look(bytes) {
        Ok(looked) => {
            assert!((FRAME_MIN..=FRAME_MAX).contains(&bytes.len()));
            let answer = arp_answer(bytes, AGENT);
            assert_eq!(answer.is_some(), matches!(looked.inside, Inside::Arp { request: true, .. }));
            assert!(answer.is_none_or(|answer| look(&answer).is_ok()));
            let answer = neighbour::answer(bytes, AGENT, true);
            let sought = matches!(looked.inside, Inside::Sought { sender, .. } if !sender.is_unspecified());
            assert_eq!(answer.is_some(), sought);
            assert!(answer.is_none_or(|answer| look(&answer).is_ok()));
        }
        Err(_) => assert_eq!((arp_answer(bytes, AGENT), neighbour::answer(bytes, AGENT, true)), (None, None)),
    }
});

wandisk_fuzz::target!(a_tunnels_stream_is_cut_into_messages_or_ended, 20_000, streams(), |bytes: &[u8]| {
    let (mut decoder, mut switch, mut outs) = (Decoder::default(), desk(), Vec::new());
    switch.link_up(Duration::ZERO, "big", &mut outs);
    for part in bytes.chunks(7) {
        decoder.feed(part);
        while let Ok(Some(packet)) = decoder.packet() {
            // What is understood is written as it was read, up to how JSON is written.
            if !matches!(packet, Packet::News(_)) {
                let mut again = Decoder::default();
                again.feed(&packet.encode());
                assert_eq!(again.packet().unwrap(), Some(packet.clone()));
            }
            switch.peer_sends(Duration::ZERO, "big", packet, &mut outs);
        }
    }
    assert!(switch.waiting_bytes() <= HELD_MAX_BYTES + (1 << 20) + 2 * BACKLOG_MAX_BYTES);
});

wandisk_fuzz::target!(no_odd_or_foreign_frame_leaves_a_switch, 20_000, frames(), |bytes: &[u8]| {
    let (mut switch, mut outs) = (desk(), Vec::new());
    switch.card_sends(Duration::ZERO, bytes.to_vec(), &mut outs);
    let own = look(bytes).is_ok_and(|looked| looked.from == AGENT);
    assert!(own || outs.is_empty());
    outs.clear();
    switch.gateway_sends(Duration::ZERO, bytes.to_vec(), &mut outs);
    for out in outs {
        match out {
            Out::Card(frame) => {
                let looked = look(&frame).unwrap();
                assert!(looked.to == AGENT || looked.to.is_group());
            }
            Out::Gateway(frame) => {
                let inside = look(&frame).unwrap().inside;
                assert!(matches!(
                    inside,
                    Inside::Arp { request: false, .. } | Inside::Ipv6 { kind: 136, .. }
                ));
            }
            Out::Link { .. } => panic!("there is no link"),
        }
    }
});

wandisk_fuzz::target!(
    prefixes_and_forwards_are_read_or_refused,
    10_000,
    vec![b"10.1.0.0/16".to_vec(), b"fd00:1::/64".to_vec(), b"127.0.0.1:8022:22".to_vec()],
    |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(prefix) = text.parse::<Prefix>() {
            assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }
        if let Some(forward) = Forward::parse(&text) {
            // It becomes a line of a monitor: there is nothing in it but this.
            assert!(forward.rule().chars().all(|c| c.is_ascii_alphanumeric() || ".:-".contains(c)));
        }
    }
);

wandisk_fuzz::target!(a_tap_reads_packets_within_their_bytes, 20_000, frames(), |bytes: &[u8]| {
    let read = packets::read(bytes);
    let refusal = packets::refusal(bytes);
    assert_eq!(refusal.is_some(), matches!(read, Some(Sent::Opens { .. })));
    match &read {
        None => assert!(look(bytes).is_err() || bytes[12..14] == [8, 0] || bytes[12..14] == [0x86, 0xdd]),
        Some(Sent::Datagram { from, to, content }) => {
            let answer = packets::datagram(AGENT, *to, *from, &bytes[content.clone()]).unwrap();
            assert!(matches!(look(&answer), Ok(looked) if looked.to == AGENT));
        }
        Some(Sent::Opens { .. } | Sent::Other) => {}
    }
    // What is made for the agent opens nothing, and is a frame.
    assert!(refusal.is_none_or(|said| packets::read(&said) == Some(Sent::Other)));
    let mut frame = bytes.to_vec();
    packets::for_tap(&mut frame);
    packets::for_agent(&mut frame);
    assert_eq!(frame.len(), bytes.len());
});
