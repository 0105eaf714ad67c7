//! How a chunk's bytes travel: the smallest of zero, same, changed blocks, librsync delta, zstd or the connection's stream, raw.
//!
//! `blocks` are deltas of blocks that stay in their places, `choice` predicts which way costs least, `ledger` keeps what
//! that goes by.
//!
//! Bytes in, bytes out. What comes from a peer is foreign: every output is bounded by the chunk's size, and
//! the caller compares the result's BLAKE3 before anything is stored.

mod blocks;
pub mod choice;
mod ledger;

use bytes::Bytes;
use std::io::{Cursor, Read};

use librsync::SignatureType;
use librsync::whole::signature_with_options;
use serde::{Deserialize, Serialize};

use choice::Way;
pub use ledger::Ledger;

/// Block length of signatures in bytes: filesystems change 4 KiB blocks in place, half of it finds smaller edits.
const BLOCK_LEN: usize = 2048;
/// Bytes of strong sum a block. The whole result is checked by BLAKE3, so a collision costs a second fetch.
const STRONG_LEN: usize = 8;
/// A signature's own header: magic, block length, length of a strong sum.
const SIGNATURE_HEADER: usize = 12;
/// First byte of a description: short hashes of aligned blocks follow.
const OF_BLOCKS: u8 = 1;
/// First byte of a description: BLAKE3 and a librsync signature follow.
const OF_ROLLING: u8 = 2;

/// How the body of an answer is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// All zeros; no body.
    Zero,
    /// The asker's basis is it already; no body.
    Same,
    /// The blocks that the asker's basis has not.
    Blocks,
    /// zstd of a librsync delta against the asker's basis.
    Delta,
    /// zstd of the bytes.
    Zstd,
    /// The bytes, which the connection packs together with what went before.
    Stream,
    /// The bytes.
    Raw,
}

impl Form {
    /// All of them, in their order.
    pub const ALL: [Form; 7] =
        [Form::Zero, Form::Same, Form::Blocks, Form::Delta, Form::Zstd, Form::Stream, Form::Raw];

    /// Its name, as on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Form::Zero => "zero",
            Form::Same => "same",
            Form::Blocks => "blocks",
            Form::Delta => "delta",
            Form::Zstd => "zstd",
            Form::Stream => "stream",
            Form::Raw => "raw",
        }
    }
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

/// What the asker tells of its basis; nothing without one.
///
/// # Errors
/// If librsync fails.
pub fn describe_basis(way: Way, basis: Option<&[u8]>) -> Result<Vec<u8>, DeltaError> {
    let Some(basis) = basis else { return Ok(Vec::new()) };
    let mut out = Vec::with_capacity(description_len(way, basis.len()));
    match way {
        Way::Whole => {}
        Way::Blocks => {
            out.push(OF_BLOCKS);
            blocks::describe(basis, &mut out);
        }
        Way::Rolling => {
            out.push(OF_ROLLING);
            out.extend_from_slice(blake3::hash(basis).as_bytes());
            let kind = SignatureType::Blake2;
            signature_with_options(&mut Cursor::new(basis), &mut out, BLOCK_LEN, STRONG_LEN, kind)?;
        }
    }
    Ok(out)
}

/// Length of the description of a basis of so many bytes.
fn description_len(way: Way, len: usize) -> usize {
    match way {
        Way::Whole => 0,
        Way::Blocks => 1 + blocks::hashes_len(len),
        Way::Rolling => 1 + 32 + SIGNATURE_HEADER + len.div_ceil(BLOCK_LEN) * (4 + STRONG_LEN),
    }
}

/// Largest description that a chunk of `chunk_size` can have; longer ones are refused before they are read.
#[must_use]
pub fn description_max(chunk_size: usize) -> usize {
    description_len(Way::Rolling, chunk_size).max(description_len(Way::Blocks, chunk_size))
}

/// How an answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Travels {
    /// Alone: somebody waits for it.
    Alone,
    /// With others, which are packed together where they give way.
    Together,
}

/// Where somebody waits: harder packing of one chunk saves a slow line less time than it takes.
const LEVEL_ALONE: i32 = 3;
/// Tells noise from what gives way.
const LEVEL_TRIED: i32 = 1;

/// The smallest answer for `bytes` to an asker whose basis is described by `basis`.
///
/// # Errors
/// If librsync or zstd fail; a description that is not one only costs the delta.
pub fn encode(
    bytes: &Bytes,
    hash: &[u8; 32],
    basis: &[u8],
    travels: Travels,
) -> Result<(Form, Bytes), DeltaError> {
    let mut best = (Form::Raw, bytes.len());
    let mut body = Vec::new();
    match basis.split_first() {
        Some((&OF_BLOCKS, hashes)) => {
            if let Some((bitmap, changed)) = blocks::differing(bytes, hashes) {
                if changed.is_empty() {
                    return Ok((Form::Same, Bytes::new()));
                }
                // Of all blocks the whole chunk is made below: it is the same without a bitmap.
                if changed.len() < bytes.len() {
                    body = match travels {
                        Travels::Alone => blocks::join(bitmap, changed, Some(LEVEL_ALONE))?,
                        Travels::Together => blocks::join(bitmap, changed, None)?,
                    };
                    if travels == Travels::Together {
                        return Ok((Form::Blocks, body.into()));
                    }
                    best = (Form::Blocks, body.len());
                }
            }
        }
        Some((&OF_ROLLING, rest)) if rest.len() > 32 => {
            let (whole, signature) = rest.split_at(32);
            if whole == hash {
                return Ok((Form::Same, Bytes::new()));
            }
            if let Some(delta) = delta_against(bytes, signature) {
                let packed = zstd::bulk::compress(&delta, LEVEL_ALONE).map_err(DeltaError::Zstd)?;
                if packed.len() < best.1 {
                    best = (Form::Delta, packed.len());
                    body = packed;
                }
            }
        }
        _ => {}
    }
    // A delta below a quarter is not beaten by compression often enough to pay for trying.
    if best.1 > bytes.len() / 4 {
        match travels {
            Travels::Alone => {
                if let Some(packed) = pack(bytes, LEVEL_ALONE)?.filter(|packed| packed.len() < best.1) {
                    return Ok((Form::Zstd, packed.into()));
                }
            }
            // What a delta has come to is compared with what the chunk alone would: the stream does better than that.
            Travels::Together => {
                if tried(bytes)? < (best.1 as f64).min(bytes.len() as f64 * WORTH_PACKING) {
                    return Ok((Form::Stream, bytes.clone()));
                }
            }
        }
    }
    if best.0 == Form::Raw {
        return Ok((Form::Raw, bytes.clone()));
    }
    Ok((best.0, body.into()))
}

/// Bytes shorter than a zstd frame of noise saves are not worth unpacking.
const WORTH_PACKING: f64 = 0.97;

/// What a quick try makes of bytes.
fn tried(bytes: &[u8]) -> Result<f64, DeltaError> {
    Ok(zstd::bulk::compress(bytes, LEVEL_TRIED).map_err(DeltaError::Zstd)?.len() as f64)
}

/// Is the body of an answer to be packed together with others?
#[must_use]
pub fn gives_way(form: Form, body: &[u8]) -> bool {
    match form {
        Form::Stream => true,
        Form::Blocks => tried(body).is_ok_and(|len| len < body.len() as f64 * WORTH_PACKING),
        Form::Zero | Form::Same | Form::Delta | Form::Zstd | Form::Raw => false,
    }
}

/// zstd of the bytes if that is shorter.
fn pack(bytes: &[u8], level: i32) -> Result<Option<Vec<u8>>, DeltaError> {
    let packed = zstd::bulk::compress(bytes, level).map_err(DeltaError::Zstd)?;
    Ok(Some(packed).filter(|packed| packed.len() < bytes.len()))
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
        Form::Raw | Form::Stream => body.to_vec(),
        Form::Zstd => zstd::bulk::decompress(body, chunk_size).map_err(|_| malformed())?,
        Form::Blocks => blocks::apply(body, basis.ok_or_else(malformed)?).ok_or_else(malformed)?,
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
mod tests;
