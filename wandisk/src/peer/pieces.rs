//! Messages cut into frames, and frames joined to messages. Pure.
//!
//! A long message travels in pieces, so that one that somebody waits for goes between them. The pieces of a message have
//! its kind and id; the first has the head, all but the last say that more follows.
//!
//! Invariant: what is joined is bounded before it grows: [`BODY_MAX`] a message, [`JOINING_MAX`] messages.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, Kind, Message};
use super::limits::{BODY_MAX, FRAME_MAX, JOINING_MAX};

/// A message that is being sent.
#[derive(Debug)]
pub struct Cutter {
    kind: Kind,
    id: u64,
    packed: bool,
    head: Option<Vec<u8>>,
    left: Bytes,
}

impl Cutter {
    /// Of a message.
    #[must_use]
    pub fn new(message: Message) -> Cutter {
        let (head, left) = message.parts;
        Cutter { kind: message.kind, id: message.id, packed: message.packed, head: Some(head), left }
    }

    /// The next frame; none after the last.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.head.is_none() && self.left.is_empty() {
            return None;
        }
        let head = self.head.take().unwrap_or_default();
        let room = FRAME_MAX.saturating_sub(head.len()).min(self.left.len());
        let piece = self.left.split_to(room);
        let (kind, id, packed) = (self.kind, self.id, self.packed);
        Some(Frame { kind, id, more: !self.left.is_empty(), packed, head, piece })
    }
}

/// What is wrong with a frame that follows others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The first pieces of too many messages.
    #[error("the far side began more messages at a time than it may")]
    TooMany,
    /// A body without end.
    #[error("the far side sent a message that is too long")]
    TooLong,
    /// A later piece that looks like a first one.
    #[error("the far side sent a piece with a head in the middle of a message")]
    Head,
    /// A message of packed pieces and others.
    #[error("the far side sent a message of which only a part is packed")]
    Packed,
}

#[derive(Debug)]
struct Joining {
    kind: Kind,
    id: u64,
    packed: bool,
    head: Vec<u8>,
    body: BytesMut,
}

/// Messages that are coming.
#[derive(Debug, Default)]
pub struct Joiner {
    joining: Vec<Joining>,
}

impl Joiner {
    /// Takes a frame; gives the message that it completes.
    ///
    /// # Errors
    /// [`JoinError`]: the peer breaks a rule.
    pub fn take(&mut self, frame: Frame) -> Result<Option<Message>, JoinError> {
        let Frame { kind, id, more, packed, head, piece } = frame;
        let at = self.joining.iter().position(|j| (j.kind, j.id) == (kind, id));
        let Some(at) = at else {
            if !more {
                return Ok(Some(Message { kind, id, packed, parts: (head, piece) }));
            }
            if self.joining.len() >= JOINING_MAX {
                return Err(JoinError::TooMany);
            }
            self.joining.push(Joining { kind, id, packed, head, body: BytesMut::from(&piece[..]) });
            return Ok(None);
        };
        if !head.is_empty() {
            return Err(JoinError::Head);
        }
        let joining = &mut self.joining[at];
        if joining.packed != packed {
            return Err(JoinError::Packed);
        }
        if joining.body.len() + piece.len() > BODY_MAX {
            return Err(JoinError::TooLong);
        }
        joining.body.extend_from_slice(&piece);
        if more {
            return Ok(None);
        }
        let Joining { kind, id, packed, head, body } = self.joining.swap_remove(at);
        Ok(Some(Message { kind, id, packed, parts: (head, body.freeze()) }))
    }

    /// Bytes kept for messages that are not complete.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.joining.iter().map(|j| j.head.len() + j.body.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(id: u64, len: usize) -> Message {
        Message::new(Kind::Reply, id, (b"{}".to_vec(), Bytes::from(vec![7; len])))
    }

    fn frames(message: Message) -> Vec<Frame> {
        let mut cutter = Cutter::new(message);
        std::iter::from_fn(|| cutter.next_frame()).collect()
    }

    fn piece(id: u64, more: bool) -> Frame {
        Frame {
            kind: Kind::Reply,
            id,
            more,
            packed: false,
            head: Vec::new(),
            piece: Bytes::from(vec![0; FRAME_MAX]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn messages_survive_being_cut_and_mixed(first in 0usize..300_000, second in 0usize..300_000, turns: Vec<bool>) {
            let (one, two) = (message(1, first), message(2, second));
            let (mut a, mut b) = (frames(one.clone()).into_iter(), frames(two.clone()).into_iter());
            let (mut joiner, mut got, mut turns) = (Joiner::default(), Vec::new(), turns.into_iter());
            loop {
                let (x, y) = if turns.next().unwrap_or(true) { (&mut a, &mut b) } else { (&mut b, &mut a) };
                let Some(frame) = x.next().or_else(|| y.next()) else { break };
                prop_assert!(frame.head.len() + frame.piece.len() <= FRAME_MAX);
                got.extend(joiner.take(frame).unwrap());
            }
            got.sort_by_key(|m| m.id);
            prop_assert_eq!(got, vec![one, two]);
            prop_assert_eq!(joiner.held_bytes(), 0);
        }
    }

    #[test]
    fn a_message_without_end_is_refused_at_the_bound() {
        let mut joiner = Joiner::default();
        let refused = (0..).find_map(|_| joiner.take(piece(1, true)).err());
        assert_eq!(refused, Some(JoinError::TooLong));
        assert!(joiner.held_bytes() <= BODY_MAX);
    }

    #[test]
    fn two_messages_at_a_time_and_no_third() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.take(piece(1, true)), Ok(None));
        assert_eq!(joiner.take(piece(2, true)), Ok(None));
        assert_eq!(joiner.take(piece(3, true)), Err(JoinError::TooMany));
        assert!(joiner.take(piece(4, false)).unwrap().is_some(), "one that is whole needs no room");
    }

    #[test]
    fn a_second_head_is_refused() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.take(piece(1, true)), Ok(None));
        assert_eq!(joiner.take(Frame { head: b"{}".to_vec(), ..piece(1, false) }), Err(JoinError::Head));
    }

    #[test]
    fn a_message_is_packed_as_a_whole_or_not() {
        let mut joiner = Joiner::default();
        assert_eq!(joiner.take(piece(1, true)), Ok(None));
        assert_eq!(joiner.take(Frame { packed: true, ..piece(1, false) }), Err(JoinError::Packed));
    }
}
