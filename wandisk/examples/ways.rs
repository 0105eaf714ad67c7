//! What each way of bringing a chunk costs, in bytes and processor time, on chunks of several kinds: the figures of ADR 16.
//!
//! `cargo run --release -p wandisk --example ways -- FILE`: the file is what chunks are cut from that are no noise.

use std::time::Instant;

use bytes::Bytes;
use wandisk::delta::choice::Way;
use wandisk::delta::{self, Form, Travels};
use wandisk::peer::packing::Packer;

const CHUNK: usize = 128 << 10;
const BLOCK: usize = 4096;
/// Chunks of each kind.
const CHUNKS: usize = 256;

type Failure = Box<dyn std::error::Error>;

/// Old and new bytes of a chunk; no old ones: never seen.
type Pair = (Option<Vec<u8>>, Vec<u8>);

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// One block of the chunk replaced by another of its kind.
fn one_block(old: Vec<u8>, other: &[u8]) -> Pair {
    let mut new = old.clone();
    new[7 * BLOCK..8 * BLOCK].copy_from_slice(&other[..BLOCK]);
    (Some(old), new)
}

/// A hundred bytes inserted in the middle.
fn shifted(old: Vec<u8>, other: &[u8]) -> Pair {
    let mut new = [&old[..CHUNK / 2], &other[..100], &old[CHUNK / 2..]].concat();
    new.truncate(CHUNK);
    (Some(old), new)
}

#[expect(clippy::print_stdout, reason = "it prints a table")]
fn main() -> Result<(), Failure> {
    let file = std::env::args().nth(1).ok_or("name a file of bytes that are no noise")?;
    let file = std::fs::read(file)?;
    let of_file = |n: usize| -> Vec<u8> {
        let chunks = (file.len() / CHUNK).max(1);
        file.iter()
            .skip(n % chunks * CHUNK)
            .take(CHUNK)
            .copied()
            .chain(std::iter::repeat(0))
            .take(CHUNK)
            .collect()
    };
    let random = |n: usize| noise(n as u64, CHUNK);
    type Kind<'a> = (&'static str, &'a dyn Fn(usize) -> Pair);
    let kinds: [Kind<'_>; 6] = [
        ("noise, never seen", &|n| (None, random(n))),
        ("noise, one block of 32 new", &|n| one_block(random(n), &noise(n as u64 + 9999, BLOCK))),
        ("file, never seen", &|n| (None, of_file(n))),
        ("file, as it was", &|n| (Some(of_file(n)), of_file(n))),
        ("file, one block of 32 new", &|n| one_block(of_file(n), &of_file(n + 1))),
        ("file, 100 bytes inserted", &|n| shifted(of_file(n), &of_file(n + 1))),
    ];
    println!(
        "{:<28}{:<10}{:<14}{:>12}{:>12}{:>10}{:>10}",
        "a chunk of 128 KiB", "way", "form", "described", "answer", "us there", "us here"
    );
    for (name, pair) in kinds {
        let pairs: Vec<Pair> = (0..CHUNKS).map(pair).collect();
        for way in [Way::Whole, Way::Blocks, Way::Rolling] {
            if way != Way::Whole && pairs[0].0.is_none() {
                continue;
            }
            for (level, travels) in
                [(0, Travels::Alone), (3, Travels::Together), (6, Travels::Together), (9, Travels::Together)]
            {
                if let Some(row) = measure(&pairs, way, level, travels)? {
                    println!("{name:<28}{row}");
                }
            }
        }
    }
    Ok(())
}

/// A row of the table; none where a stream has no part in it.
fn measure(pairs: &[Pair], way: Way, level: i32, travels: Travels) -> Result<Option<String>, Failure> {
    let mut packer = Packer::new(level.max(1))?;
    let (mut described, mut answered, mut here, mut there) = (0, 0, 0.0, 0.0);
    let (mut forms, mut streamed) = ([0usize; Form::ALL.len()], false);
    for (old, new) in pairs {
        let began = Instant::now();
        let description = delta::describe_basis(way, old.as_deref())?;
        here += began.elapsed().as_secs_f64();
        let (bytes, hash) = (Bytes::copy_from_slice(new), *blake3::hash(new).as_bytes());
        let began = Instant::now();
        let (form, body) = delta::encode(&bytes, &hash, &description, travels)?;
        let packs = travels == Travels::Together && delta::gives_way(form, &body);
        let packed = if packs { packer.pack(&[], &body)?.len() } else { body.len() };
        there += began.elapsed().as_secs_f64();
        let began = Instant::now();
        let made = delta::decode(form, &body, old.as_deref(), CHUNK)?;
        here += began.elapsed().as_secs_f64();
        if made.as_ref() != Some(new) && form != Form::Zero {
            return Err("a chunk is not what it was".into());
        }
        described += description.len();
        answered += packed;
        forms[form as usize] += 1;
        streamed |= packs;
    }
    if travels == Travels::Together && !streamed {
        return Ok(None);
    }
    let most = Form::ALL.into_iter().max_by_key(|form| forms[*form as usize]).unwrap_or(Form::Raw);
    let form = if streamed { format!("{}, {level}", most.name()) } else { most.name().to_owned() };
    let a_chunk = |sum: usize| sum / pairs.len();
    let us = |seconds: f64| seconds * 1e6 / pairs.len() as f64;
    Ok(Some(format!(
        "{:<10}{form:<14}{:>12}{:>12}{:>10.0}{:>10.0}",
        format!("{way:?}").to_lowercase(),
        a_chunk(described),
        a_chunk(answered),
        us(there),
        us(here)
    )))
}
