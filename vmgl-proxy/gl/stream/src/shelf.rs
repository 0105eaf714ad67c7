//! Long arrays that come again (a texture or an array of vertices that a program gives with each picture): the receiver keeps
//! them on a shelf, and they go over the line once.
//!
//! What parts have gathered is put on a place of the shelf ([`Control::Keep`]) and taken from there later ([`Control::Take`]). Only the
//! sender compares contents, by BLAKE3, and only it decides what goes ([`Control::Clear`], or another array on the same
//! place): the receiver believes nothing but numbers that it checks. The compressor's own history reaches back 4 MiB; this
//! reaches back [`limits::SHELF`].
//!
//! Invariant: both sides have the same on each place, because frames come once and in order. A stream that begins anew
//! begins with empty shelves.
//! Invariant: a shelf has at most [`limits::SHELF`] bytes and [`limits::PLACES`] places, whatever the sender says.

use std::collections::{BTreeMap, HashMap};

use crate::control::{self, Control};
use crate::{Commands, DecodeError, Reader, limits};

type Hash = [u8; 32];

/// The receiver's side.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    places: BTreeMap<u32, Vec<u8>>,
    bytes: usize,
}

impl Shelf {
    /// Whether a command is about the shelf; it is then carried out.
    pub(crate) fn hears(
        &mut self,
        opcode: u16,
        body: &[u8],
        gathered: &mut Vec<u8>,
    ) -> Result<bool, DecodeError> {
        if !matches!(opcode, control::KEEP | control::TAKE | control::CLEAR) {
            return Ok(false);
        }
        let mut reader = Reader::new(body);
        let place = reader.u32()?;
        if usize::try_from(place).is_ok_and(|place| place >= limits::PLACES) {
            return Err(DecodeError::Limit("a place on the shelf"));
        }
        match opcode {
            control::KEEP => self.keep(place, gathered)?,
            control::TAKE => self.take(place, reader.u32()?, gathered)?,
            _ => self.clear(place),
        }
        reader.end()?;
        Ok(true)
    }

    fn keep(&mut self, place: u32, gathered: &[u8]) -> Result<(), DecodeError> {
        self.clear(place);
        if gathered.is_empty() || self.bytes + gathered.len() > limits::SHELF {
            return Err(DecodeError::Limit("what is kept on the shelf"));
        }
        self.bytes += gathered.len();
        self.places.insert(place, gathered.to_vec());
        Ok(())
    }

    fn take(&self, place: u32, length: u32, gathered: &mut Vec<u8>) -> Result<(), DecodeError> {
        let kept = self.places.get(&place).ok_or(DecodeError::Value("an empty place on the shelf"))?;
        if usize::try_from(length).ok() != Some(kept.len()) {
            return Err(DecodeError::Value("the length of what is on the shelf"));
        }
        if gathered.len() + kept.len() > limits::PENDING {
            return Err(DecodeError::Limit("an array in parts"));
        }
        gathered.extend_from_slice(kept);
        Ok(())
    }

    fn clear(&mut self, place: u32) {
        if let Some(gone) = self.places.remove(&place) {
            self.bytes -= gone.len();
        }
    }
}

#[derive(Debug)]
struct Known {
    place: u32,
    length: usize,
    /// When it was wanted last.
    last: u64,
}

/// The sender's side: what is on the other's shelf.
#[derive(Debug, Default)]
pub struct Shelved {
    known: HashMap<Hash, Known>,
    bytes: usize,
    clock: u64,
    /// Places that nothing is on any more.
    free: Vec<u32>,
}

impl Shelved {
    /// Nothing is on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A command has just been put, from `start` on. Where a long array goes ahead of it in parts that the other side has
    /// already, they are taken away again; else the other side is told to keep them.
    pub fn spare(&mut self, out: &mut Vec<u8>, start: usize) {
        let Some((hash, length, end)) = out.get(start..).and_then(parts) else { return };
        self.clock += 1;
        let mut between = Vec::new();
        if let Some(known) = self.known.get_mut(&hash) {
            known.last = self.clock;
            let length = u32::try_from(length).unwrap_or(u32::MAX);
            Control::Take { place: known.place, length }.encode(&mut between);
            out.splice(start..start + end, between);
        } else if length <= limits::SHELF {
            self.make_room(length, &mut between);
            let fresh = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
            let place = self.free.pop().unwrap_or(fresh);
            Control::Keep { place }.encode(&mut between);
            self.known.insert(hash, Known { place, length, last: self.clock });
            self.bytes += length;
            out.splice(start + end..start + end, between);
        }
    }

    /// What was not wanted for longest goes.
    fn make_room(&mut self, length: usize, out: &mut Vec<u8>) {
        while self.bytes + length > limits::SHELF || self.known.len() >= limits::PLACES {
            let Some(hash) = self.known.iter().min_by_key(|(_, it)| it.last).map(|(hash, _)| *hash) else {
                return;
            };
            if let Some(gone) = self.known.remove(&hash) {
                self.bytes -= gone.length;
                self.free.push(gone.place);
                Control::Clear { place: gone.place }.encode(out);
            }
        }
    }
}

/// The parts that commands begin with: their hash, their bytes, and where they end.
fn parts(bytes: &[u8]) -> Option<(Hash, usize, usize)> {
    let mut commands = Commands::new(bytes);
    let (mut hasher, mut length, mut end) = (blake3::Hasher::new(), 0, 0);
    while let Ok(Some((opcode, body))) = commands.next_raw()
        && opcode == control::PART
        && let Ok(part) = Reader::new(body).array()
    {
        hasher.update(part);
        length += part.len();
        end += 4 + body.len();
    }
    (length > 0).then(|| (*hasher.finalize().as_bytes(), length, end))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

    use super::Shelved;
    use crate::{Assembler, Command, Commands, Control, Data, DecodeError, limits};

    fn buffer(data: &[u8]) -> Command<'_> {
        let size = i64::try_from(data.len()).unwrap();
        Command::BufferData { target: 0x8892, size, data: Data::Memory(data), usage: 0x88e4 }
    }

    /// Both sides, and how many bytes went over.
    #[derive(Default)]
    struct Both {
        sender: Shelved,
        receiver: Assembler,
    }

    impl Both {
        fn send(&mut self, data: &[u8]) -> usize {
            let mut bytes = Vec::new();
            buffer(&[1; 8]).encode(&mut bytes);
            let start = bytes.len();
            buffer(data).encode(&mut bytes);
            self.sender.spare(&mut bytes, start);
            let mut commands = Commands::new(&bytes);
            assert_eq!(self.receiver.next(&mut commands).unwrap().unwrap(), buffer(&[1; 8]));
            assert_eq!(self.receiver.next(&mut commands).unwrap().unwrap(), buffer(data));
            assert!(self.receiver.next(&mut commands).unwrap().is_none());
            bytes.len()
        }
    }

    fn array(seed: u64, length: usize) -> Vec<u8> {
        let mut array = vec![7; length];
        array[length - 8..].copy_from_slice(&seed.to_le_bytes());
        array
    }

    #[test]
    fn an_array_that_comes_again_goes_over_the_line_once() {
        let mut both = Both::default();
        let (one, two) = (array(1, 1 << 20), array(2, limits::ARRAY + 1));
        assert!(both.send(&one) > 1 << 20);
        assert!(both.send(&two) > limits::ARRAY);
        for again in [&one, &two, &one] {
            assert!(both.send(again) < 200);
        }
        // Another of the same length is another.
        assert!(both.send(&array(3, 1 << 20)) > 1 << 20);
        // What is short goes as it is.
        let short = array(4, limits::ARRAY);
        assert!(both.send(&short) > limits::ARRAY && both.send(&short) > limits::ARRAY);
    }

    #[test]
    fn what_was_not_wanted_for_longest_makes_room() {
        let (mut both, each) = (Both::default(), limits::SHELF / 4);
        let all: Vec<_> = (0..5).map(|seed| array(seed, each)).collect();
        for one in &all[..4] {
            assert!(both.send(one) > each);
        }
        assert!(both.send(&all[0]) < 200);
        assert!(both.send(&all[4]) > each, "the second has gone for it");
        assert!(both.send(&all[0]) < 200 && both.send(&all[2]) < 200);
        assert!(both.send(&all[1]) > each);
        // What is larger than the shelf is not kept.
        let large = array(9, limits::SHELF + 1);
        assert!(both.send(&large) > limits::SHELF && both.send(&large) > limits::SHELF);
        assert!(both.send(&all[1]) < 200);
    }

    #[test]
    fn places_are_used_again_and_never_more_than_there_are() {
        let mut both = Both::default();
        for seed in 0..limits::PLACES as u64 + 30 {
            assert!(both.send(&array(seed, limits::ARRAY + 4)) > limits::ARRAY);
        }
    }

    fn fault(bytes: &[u8]) -> DecodeError {
        let (mut assembler, mut commands) = (Assembler::new(), Commands::new(bytes));
        loop {
            match assembler.next(&mut commands) {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it was believed"),
                Err(fault) => return fault,
            }
        }
    }

    #[test]
    fn what_a_hostile_sender_says_of_the_shelf_is_refused() {
        let part = vec![7; limits::PART];
        let put = |controls: &[Control<'_>]| {
            let mut bytes = Vec::new();
            controls.iter().for_each(|control| control.encode(&mut bytes));
            bytes
        };
        let gathered = Control::Part { data: &part };
        let length = u32::try_from(part.len()).unwrap();
        let places = u32::try_from(limits::PLACES).unwrap();
        for wrong in [
            put(&[Control::Take { place: 0, length }]),
            put(&[Control::Keep { place: 0 }]),
            put(&[gathered, Control::Keep { place: places }]),
            put(&[gathered, Control::Keep { place: 0 }, Control::Take { place: 0, length: length - 1 }]),
            put(&[
                gathered,
                Control::Keep { place: 0 },
                Control::Clear { place: 0 },
                Control::Take { place: 0, length },
            ]),
        ] {
            assert!(matches!(fault(&wrong), DecodeError::Limit(_) | DecodeError::Value(_)), "{wrong:?}");
        }
        // More than the shelf holds, by places with more and more on them; and more than may be gathered, by one that is taken often.
        let mut many = Vec::new();
        for place in 0..64 {
            gathered.encode(&mut many);
            Control::Keep { place }.encode(&mut many);
        }
        assert!(matches!(fault(&many), DecodeError::Limit(_)));
        let mut often = put(&[gathered, Control::Keep { place: 0 }]);
        (0..=limits::PENDING / limits::PART)
            .for_each(|_| Control::Take { place: 0, length }.encode(&mut often));
        assert!(matches!(fault(&often), DecodeError::Limit(_)));
        let long = [&put(&[Control::Clear { place: 1 }])[..2], &[2, 0, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert_eq!(fault(&long), DecodeError::Long(4));
    }
}
