//! How a chunk's bytes travel: the smallest of zero, same, librsync delta, zstd, raw.
//!
//! Pure: bytes in, bytes out. What comes from a peer is foreign: every output is bounded by the chunk's size, and
//! the caller compares the result's BLAKE3 before anything is stored.

use std::io::{Cursor, Read};

use bytes::Bytes;
use librsync::SignatureType;
use librsync::whole::signature_with_options;
use serde::{Deserialize, Serialize};

/// Block length of signatures in bytes: filesystems change 4 KiB blocks in place, half of it finds smaller edits.
const BLOCK_LEN: usize = 2048;
/// Bytes of strong sum a block. The whole result is checked by BLAKE3, so a collision costs a second fetch.
const STRONG_LEN: usize = 8;
/// Chunks below this are sent whole: their signature would not pay.
const DELTA_MIN_CHUNK: usize = 16 << 10;
/// Speed before size: the link is compressed at line rate even by a slow core.
const ZSTD_LEVEL: i32 = 1;

/// How the body of an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// All zeros; no body.
    Zero,
    /// The asker's basis is it already; no body.
    Same,
    /// zstd of a librsync delta against the asker's basis.
    Delta,
    /// zstd of the bytes.
    Zstd,
    /// The bytes.
    Raw,
}

/// Why a body could not be turned into a chunk.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Too long, too short, or not what its form says.
    #[error("the far side sent a {form:?} body that does not make a chunk")]
    Malformed {
        /// The form it claimed.
        form: Form,
    },
    /// librsync failed on bytes of our own.
    #[error("librsync could not compute")]
    Librsync(#[from] librsync::Error),
    /// zstd failed on bytes of our own.
    #[error("zstd could not compute")]
    Zstd(#[source] std::io::Error),
}

/// What the asker tells of its basis: BLAKE3 and, if a delta may pay, a signature. Empty without a basis.
///
/// # Errors
/// If librsync fails.
pub fn describe_basis(basis: Option<&[u8]>) -> Result<Vec<u8>, DeltaError> {
    let Some(basis) = basis else { return Ok(Vec::new()) };
    let mut out = blake3::hash(basis).as_bytes().to_vec();
    if basis.len() >= DELTA_MIN_CHUNK {
        signature_with_options(
            &mut Cursor::new(basis),
            &mut out,
            BLOCK_LEN,
            STRONG_LEN,
            SignatureType::Blake2,
        )?;
    }
    Ok(out)
}

/// Largest description that a chunk of `chunk_size` can have; longer ones are refused before they are read.
#[must_use]
pub fn description_max(chunk_size: usize) -> usize {
    32 + 64 + chunk_size.div_ceil(BLOCK_LEN) * (4 + 32)
}

/// The smallest answer for `bytes` to an asker whose basis is described by `basis`.
///
/// # Errors
/// If librsync or zstd fail; a description that is not one only costs the delta.
pub fn encode(bytes: &Bytes, hash: &[u8; 32], basis: &[u8]) -> Result<(Form, Bytes), DeltaError> {
    if basis.len() >= 32 && basis[..32] == hash[..] {
        return Ok((Form::Same, Bytes::new()));
    }
    let mut best = (Form::Raw, bytes.len());
    let mut body = Vec::new();
    if basis.len() > 32
        && let Some(delta) = delta_against(bytes, &basis[32..])
    {
        let packed = zstd::bulk::compress(&delta, ZSTD_LEVEL).map_err(DeltaError::Zstd)?;
        if packed.len() < best.1 {
            best = (Form::Delta, packed.len());
            body = packed;
        }
    }
    // A delta below a quarter is not beaten by compression often enough to pay for trying.
    if best.1 > bytes.len() / 4 {
        let packed = zstd::bulk::compress(bytes, ZSTD_LEVEL).map_err(DeltaError::Zstd)?;
        if packed.len() < best.1 {
            best = (Form::Zstd, packed.len());
            body = packed;
        }
    }
    if best.0 == Form::Raw {
        return Ok((Form::Raw, bytes.clone()));
    }
    Ok((best.0, Bytes::from(body)))
}

/// `None` if the signature is not one: it is foreign, and a literal serves as well.
fn delta_against(bytes: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    let mut delta = Vec::new();
    librsync::whole::delta(&mut Cursor::new(bytes), &mut Cursor::new(signature), &mut delta).ok()?;
    Some(delta)
}

/// Turns an answer back into the chunk's bytes; `None` for zero. The caller checks the hash.
///
/// # Errors
/// [`DeltaError::Malformed`] for anything that does not make exactly `chunk_size` bytes.
pub fn decode(
    form: Form,
    body: &[u8],
    basis: Option<&[u8]>,
    chunk_size: usize,
) -> Result<Option<Vec<u8>>, DeltaError> {
    let malformed = || DeltaError::Malformed { form };
    let bytes = match form {
        Form::Zero if body.is_empty() => return Ok(None),
        Form::Same if body.is_empty() => basis.ok_or_else(malformed)?.to_vec(),
        Form::Zero | Form::Same => return Err(malformed()),
        Form::Raw => body.to_vec(),
        Form::Zstd => zstd::bulk::decompress(body, chunk_size).map_err(|_| malformed())?,
        Form::Delta => {
            // A delta without a match is longer than the chunk by its commands only.
            let delta =
                zstd::bulk::decompress(body, chunk_size + chunk_size / 8 + 64).map_err(|_| malformed())?;
            apply(&delta, basis.ok_or_else(malformed)?, chunk_size).ok_or_else(malformed)?
        }
    };
    if bytes.len() == chunk_size { Ok(Some(bytes)) } else { Err(malformed()) }
}

/// Applies a foreign delta; reads one byte more than a chunk at most, however much the delta would make.
fn apply(delta: &[u8], basis: &[u8], chunk_size: usize) -> Option<Vec<u8>> {
    let (mut basis, mut delta) = (Cursor::new(basis), Cursor::new(delta));
    let patch = librsync::Patch::new(&mut basis, &mut delta).ok()?;
    let mut bytes = Vec::with_capacity(chunk_size + 1);
    patch.take(chunk_size as u64 + 1).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHUNK: usize = 128 << 10;

    fn noise(seed: u64, len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
        out
    }

    fn travel(new: &[u8], basis: Option<&[u8]>) -> (Form, usize, Option<Vec<u8>>) {
        let description = describe_basis(basis).unwrap();
        assert!(description.len() <= description_max(CHUNK));
        let (form, body) =
            encode(&Bytes::copy_from_slice(new), blake3::hash(new).as_bytes(), &description).unwrap();
        let back = decode(form, &body, basis, CHUNK).unwrap();
        (form, body.len(), back)
    }

    #[test]
    fn a_few_changed_blocks_travel_as_a_small_delta() {
        let old = noise(1, CHUNK);
        let mut new = old.clone();
        for block in [3, 17, 30] {
            new[block * 4096..(block + 1) * 4096].copy_from_slice(&noise(2, 4096));
        }
        let (form, bytes, back) = travel(&new, Some(&old));
        assert_eq!((form, back), (Form::Delta, Some(new)));
        assert!(bytes < 3 * 4096 + 200, "{bytes} bytes for three blocks");
    }

    #[test]
    fn each_kind_of_chunk_takes_its_form() {
        let random = noise(1, CHUNK);
        assert_eq!(travel(&random, None).0, Form::Raw);
        assert_eq!(travel(&random, Some(&random)).0, Form::Same);
        assert_eq!(travel(&random, Some(&noise(2, CHUNK))).0, Form::Raw);
        let text = b"snowbird ".repeat(CHUNK / 9 + 1)[..CHUNK].to_vec();
        assert_eq!(travel(&text, None).0, Form::Zstd);
    }

    #[test]
    fn a_delta_that_grows_without_end_is_cut_at_the_chunk() {
        // "Copy the whole basis" a thousand times: 8 bytes of command each.
        let basis = noise(1, CHUNK);
        let mut delta = 0x7273_0236u32.to_be_bytes().to_vec();
        for _ in 0..1000 {
            delta.push(0x4f); // copy, 4-byte offset, 4-byte length
            delta.extend_from_slice(&0u32.to_be_bytes());
            delta.extend_from_slice(&u32::try_from(CHUNK).unwrap().to_be_bytes());
        }
        delta.push(0);
        let body = zstd::bulk::compress(&delta, 1).unwrap();
        assert!(matches!(decode(Form::Delta, &body, Some(&basis), CHUNK), Err(DeltaError::Malformed { .. })));
    }

    #[test]
    fn a_zstd_bomb_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        assert!(decode(Form::Zstd, &bomb, None, CHUNK).is_err());
        assert!(decode(Form::Delta, &bomb, Some(&noise(1, CHUNK)), CHUNK).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn foreign_bodies_make_a_chunk_or_an_error(body in prop::collection::vec(any::<u8>(), 0..4000), which in 0usize..5) {
            let form = [Form::Zero, Form::Same, Form::Delta, Form::Zstd, Form::Raw][which];
            let basis = noise(1, CHUNK);
            if let Ok(Some(bytes)) = decode(form, &body, Some(&basis), CHUNK) {
                prop_assert_eq!(bytes.len(), CHUNK);
            }
            let raw_delta = [&0x7273_0236u32.to_be_bytes()[..], &body].concat();
            let packed = zstd::bulk::compress(&raw_delta, 1).unwrap();
            if let Ok(Some(bytes)) = decode(Form::Delta, &packed, Some(&basis), CHUNK) {
                prop_assert_eq!(bytes.len(), CHUNK);
            }
        }

        #[test]
        fn foreign_signatures_only_cost_the_delta(description in prop::collection::vec(any::<u8>(), 0..2000)) {
            let bytes = noise(7, CHUNK);
            let (form, body) = encode(&Bytes::copy_from_slice(&bytes), blake3::hash(&bytes).as_bytes(), &description).unwrap();
            prop_assert_eq!(form, Form::Raw);
            prop_assert_eq!(body, bytes);
        }
    }
}
