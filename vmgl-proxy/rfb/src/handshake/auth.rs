//! VNC authentication: a challenge encrypted with the password by DES.

use des::Des;
use des::cipher::{BlockEncrypt, KeyInit};

/// Bytes of a challenge.
pub(super) const CHALLENGE: usize = 16;

/// The right answer to a challenge: only the first eight bytes of the password count, and each has its
/// bits turned round, as the protocol has had it from its first implementation on.
pub(super) fn answer(password: &[u8], challenge: &[u8; CHALLENGE]) -> [u8; CHALLENGE] {
    let mut key = [0; 8];
    for (to, from) in key.iter_mut().zip(password) {
        *to = from.reverse_bits();
    }
    let cipher = Des::new(&key.into());
    let mut answer = *challenge;
    for block in answer.chunks_exact_mut(8) {
        cipher.encrypt_block(block.into());
    }
    answer
}

/// Whether both are the same, in a time that does not depend on where they differ.
pub(super) fn same(a: &[u8; CHALLENGE], b: &[u8]) -> bool {
    b.len() == CHALLENGE && a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_des_with_the_bits_of_the_key_turned_round() {
        // FIPS 81's example key, 0123456789abcdef, bytes turned round; plain text "Now is t".
        let password = [0x80, 0xc4, 0xa2, 0xe6, 0x91, 0xd5, 0xb3, 0xf7];
        let answer = answer(&password, b"Now is tNow is t");
        let block = [0x3f, 0xa4, 0x0e, 0x8a, 0x98, 0x4d, 0x48, 0x15];
        assert_eq!(answer, [block, block].concat()[..]);
        assert!(same(&answer, &answer));
        assert!(!same(&answer, &[0; 16]));
        assert!(!same(&answer, &answer[..15]));
    }
}
