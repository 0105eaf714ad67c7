//! Mutations: what makes good input bad in the ways that parsers get wrong. Pure, and the same for the same seed.

/// Numbers at which lengths, counts and signs go wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    3,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x10_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_ffff,
];
/// Longest input that is made.
const LEN_MAX: usize = 256 << 10;

/// A source of mutated inputs.
#[derive(Debug)]
pub struct Mutator {
    state: u64,
}

impl Mutator {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Mutator {
        Mutator { state: seed ^ 0x9e37_79b9_7f4a_7c15 }
    }

    /// SplitMix64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.random() % n.max(1) as u64).unwrap_or(0)
    }

    /// Another input: one of `inputs`, changed one to six times; now and then only noise.
    pub fn next(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        if inputs.is_empty() || self.below(16) == 0 {
            let len = self.below(200);
            return (0..len).map(|_| self.byte()).collect();
        }
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(6) {
            self.change(&mut bytes, inputs);
        }
        bytes.truncate(LEN_MAX);
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.random().to_le_bytes()[0]
    }

    fn change(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(9) {
            0 => flip(bytes, at, 1 << self.below(8)),
            1 => {
                let value = self.byte();
                put(bytes, at, &[value]);
            }
            2 | 3 => self.edge(bytes, at),
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..(at + self.below(16)).min(bytes.len()))),
            6 => {
                let some = bytes[at..(at + self.below(64)).min(bytes.len())].to_vec();
                bytes.splice(at..at, some);
            }
            7 => {
                let some: Vec<u8> = (0..self.below(12)).map(|_| self.byte()).collect();
                bytes.splice(at..at, some);
            }
            _ => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }

    /// Writes a number at an edge, or one off it, in a width and an order.
    fn edge(&mut self, bytes: &mut [u8], at: usize) {
        let value = EDGES[self.below(EDGES.len())].wrapping_add(self.random() % 3).wrapping_sub(1);
        let width = 1 << self.below(4);
        let little = value.to_le_bytes();
        let big: Vec<u8> = little[..width].iter().rev().copied().collect();
        if self.below(2) == 0 { put(bytes, at, &little[..width]) } else { put(bytes, at, &big) }
    }
}

fn flip(bytes: &mut [u8], at: usize, bit: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= bit;
    }
}

fn put(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(new) {
        *byte = *new;
    }
}
