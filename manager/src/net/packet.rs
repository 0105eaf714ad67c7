//! What switches of two sites say to each other over a stream: a length (four bytes, big-endian, as QEMU's own streams of frames),
//! a kind, and the rest. Pure.
//!
//! ```text
//! 0             nothing; so that a dead line is noticed
//! 1 JSON        where the agent runs, and the anchors ([`News`])
//! 2 hops frame  for the agent
//! 3 hops len site frame  from the agent, for the gateway of a site
//! 4 bytes       so much of 1, 2 and 3 has been taken, lengths included, since the stream began (eight bytes, big-endian)
//! ```
//!
//! Invariants: no message is longer than [`MESSAGE_MAX`]; a stream that says anything else ends.

use serde::{Deserialize, Serialize};

use super::anchors::Anchors;
use super::frame::{FRAME_MAX, FRAME_MIN};
use crate::agent::is_name;

/// The longest, without its length: some news.
pub const MESSAGE_MAX: usize = 32 << 10;
/// How often a frame is passed on from site to site: to home, from there, and once more while the agent moves.
pub const HOPS_MAX: u8 = 3;

/// Where the agent runs, as the switch at that site says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The epoch of its disk: there is one site that may write in it.
    pub epoch: u64,
    /// Grows with each change within an epoch.
    pub turn: u64,
    /// The site.
    pub site: String,
    /// It runs, or stands; not: it is off.
    pub on: bool,
}

impl Claim {
    /// Is this one newer?
    #[must_use]
    pub fn beats(&self, other: &Claim) -> bool {
        (self.epoch, self.turn, &self.site) > (other.epoch, other.turn, &other.site)
    }
}

/// What every switch of an agent should know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Where it runs, if that is known.
    pub claim: Option<Claim>,
    /// The anchors.
    pub anchors: Anchors,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// The line is alive.
    Alive,
    /// What is known.
    News(News),
    /// A frame for the agent.
    ToAgent {
        /// How often it was passed on.
        hops: u8,
        /// The frame.
        frame: Vec<u8>,
    },
    /// A frame from the agent.
    ToGateway {
        /// How often it was passed on.
        hops: u8,
        /// Whose gateway.
        site: String,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Bytes of news and frames that were taken since the stream began.
    Taken(u64),
}

/// A stream that says what no switch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what comes through the tunnel cannot be understood")]
pub struct Nonsense;

impl Packet {
    /// The message with its length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        match self {
            Packet::Alive => bytes.push(0),
            Packet::News(news) => {
                bytes.push(1);
                bytes.extend(serde_json::to_vec(news).unwrap_or_default());
            }
            Packet::ToAgent { hops, frame } => {
                bytes.extend([2, *hops]);
                bytes.extend(frame);
            }
            Packet::ToGateway { hops, site, frame } => {
                // A name has at most 64 bytes.
                let len = u8::try_from(site.len()).unwrap_or(u8::MAX);
                bytes.extend([3, *hops, len]);
                bytes.extend(&site.as_bytes()[..usize::from(len)]);
                bytes.extend(frame);
            }
            Packet::Taken(taken) => {
                bytes.push(4);
                bytes.extend(taken.to_be_bytes());
            }
        }
        let len = u32::try_from(bytes.len() - 4).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&len.to_be_bytes());
        bytes
    }

    fn decode(message: &[u8]) -> Result<Packet, Nonsense> {
        let (kind, rest) = message.split_first().ok_or(Nonsense)?;
        match kind {
            0 if rest.is_empty() => Ok(Packet::Alive),
            1 => {
                let news: News = serde_json::from_slice(rest).map_err(|_| Nonsense)?;
                let sound = news.anchors.sound() && news.claim.as_ref().is_none_or(|c| is_name(&c.site));
                if sound { Ok(Packet::News(news)) } else { Err(Nonsense) }
            }
            2 => {
                let (hops, frame) = rest.split_first().ok_or(Nonsense)?;
                Ok(Packet::ToAgent { hops: *hops, frame: sound(frame)? })
            }
            3 => {
                let ([hops, len], rest) = rest.split_first_chunk().ok_or(Nonsense)?;
                let (site, frame) = rest.split_at_checked(usize::from(*len)).ok_or(Nonsense)?;
                let site = std::str::from_utf8(site).ok().filter(|site| is_name(site)).ok_or(Nonsense)?;
                Ok(Packet::ToGateway { hops: *hops, site: site.to_owned(), frame: sound(frame)? })
            }
            4 => Ok(Packet::Taken(u64::from_be_bytes(rest.try_into().map_err(|_| Nonsense)?))),
            _ => Err(Nonsense),
        }
    }
}

fn sound(frame: &[u8]) -> Result<Vec<u8>, Nonsense> {
    if (FRAME_MIN..=FRAME_MAX).contains(&frame.len()) { Ok(frame.to_vec()) } else { Err(Nonsense) }
}

/// Cuts a stream into messages. It holds at most one message and what was read with it.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    at: usize,
    taken: u64,
}

impl Decoder {
    /// Takes what was read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message, if it is there as a whole.
    ///
    /// # Errors
    /// [`Nonsense`]; nothing of the stream is of use after it.
    pub fn packet(&mut self) -> Result<Option<Packet>, Nonsense> {
        let Some((len, rest)) = self.bytes.get(self.at..).and_then(|rest| rest.split_first_chunk::<4>())
        else {
            return Ok(None);
        };
        let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| Nonsense)?;
        if len > MESSAGE_MAX {
            return Err(Nonsense);
        }
        let Some(message) = rest.get(..len) else { return Ok(None) };
        let packet = Packet::decode(message)?;
        self.at += 4 + len;
        if !matches!(packet, Packet::Alive | Packet::Taken(_)) {
            self.taken += 4 + len as u64;
        }
        Ok(Some(packet))
    }

    /// Bytes of news and frames so far: what [`Packet::Taken`] says.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Packet> {
        let claim = Some(Claim { epoch: 3, turn: 1, site: "big".to_owned(), on: true });
        let anchors =
            serde_json::from_str(r#"{"version": 2, "anchors": [{"prefix": "10.1.0.0/16", "site": "big"}]}"#);
        vec![
            Packet::Alive,
            Packet::News(News { claim, anchors: anchors.unwrap() }),
            Packet::ToAgent { hops: 1, frame: vec![7; 60] },
            Packet::ToGateway { hops: 0, site: "big".to_owned(), frame: vec![8; FRAME_MAX] },
            Packet::Taken(0x0102_0304_0506_0708),
        ]
    }

    #[test]
    fn a_stream_is_cut_into_what_was_sent_however_it_comes() {
        let stream: Vec<u8> = all().iter().flat_map(Packet::encode).collect();
        for step in [1, 2, 7, 64, stream.len()] {
            let (mut decoder, mut heard) = (Decoder::default(), Vec::new());
            for part in stream.chunks(step) {
                decoder.feed(part);
                while let Some(packet) = decoder.packet().unwrap() {
                    heard.push(packet);
                }
            }
            assert_eq!(heard, all(), "in steps of {step}");
            // That it lives, and what was taken, need not be said to have been taken.
            let counted: usize = all()[1..4].iter().map(|packet| packet.encode().len()).sum();
            assert_eq!(decoder.taken(), counted as u64);
        }
    }

    #[test]
    fn what_no_switch_says_ends_the_stream() {
        let long = u32::try_from(MESSAGE_MAX + 1).unwrap().to_be_bytes();
        let message = |body: &[u8]| [&u32::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat();
        for bad in [
            long.to_vec(),
            message(&[]),
            message(&[0, 0]),
            message(&[9]),
            message(&[4, 0, 0, 0, 1]),
            message(b"\x01{}x"),
            message(b"\x01{\"claim\": {\"epoch\": 1, \"turn\": 0, \"site\": \"../x\", \"on\": true}, \"anchors\": {\"version\": 0, \"anchors\": []}}"),
            message(&[2, 0, 1, 2]),
            message(&[&[2, 0][..], &[0; FRAME_MAX + 1]].concat()),
            message(&[3, 0, 200, b'a']),
            message(&[&[3, 0, 1, b'/'][..], &[0; 60]].concat()),
        ] {
            let mut decoder = Decoder::default();
            decoder.feed(&bad);
            assert_eq!(decoder.packet(), Err(Nonsense), "{bad:?}");
        }
    }
}
