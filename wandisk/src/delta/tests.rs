//! Chunks there and back, in every form, from friends and from others.

use super::*;
use proptest::prelude::*;

const CHUNK: usize = 128 << 10;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// The form, the length of the answer, and what it makes.
fn travel(way: Way, new: &[u8], basis: Option<&[u8]>) -> (Form, usize, Option<Vec<u8>>) {
    travel_as(Travels::Alone, way, new, basis)
}

fn travel_as(travels: Travels, way: Way, new: &[u8], basis: Option<&[u8]>) -> (Form, usize, Option<Vec<u8>>) {
    let description = describe_basis(way, basis).unwrap();
    assert_eq!(description.len(), basis.map_or(0, |basis| description_len(way, basis.len())));
    let hash = blake3::hash(new);
    let (form, body) = encode(&Bytes::copy_from_slice(new), hash.as_bytes(), &description, travels).unwrap();
    let back = decode(form, &body, basis, CHUNK).unwrap();
    (form, body.len(), back)
}

fn with_blocks(old: &[u8], blocks: &[usize]) -> Vec<u8> {
    let mut new = old.to_vec();
    for block in blocks {
        new[block * 4096..(block + 1) * 4096].copy_from_slice(&noise(100 + *block as u64, 4096));
    }
    new
}

#[test]
fn a_few_changed_blocks_travel_as_little_more_than_themselves() {
    let old = noise(1, CHUNK);
    let new = with_blocks(&old, &[0, 17, 31]);
    let (form, bytes, back) = travel(Way::Blocks, &new, Some(&old));
    assert_eq!((form, back.as_ref()), (Form::Blocks, Some(&new)));
    assert_eq!(bytes, 4 + 3 * 4096, "a bitmap and three blocks");
    let (form, bytes, back) = travel(Way::Rolling, &new, Some(&old));
    assert_eq!((form, back.as_ref()), (Form::Delta, Some(&new)));
    assert!(bytes < 3 * 4096 + 200, "{bytes} bytes for three blocks");
}

#[test]
fn a_description_of_blocks_is_four_bytes_a_block() {
    assert_eq!(describe_basis(Way::Blocks, Some(&noise(1, CHUNK))).unwrap().len(), 1 + 32 * 4);
}

#[test]
fn each_kind_of_chunk_takes_its_form() {
    let random = noise(1, CHUNK);
    let text = b"snowbird ".repeat(CHUNK / 9 + 1)[..CHUNK].to_vec();
    assert_eq!(travel(Way::Blocks, &random, None).0, Form::Raw);
    assert_eq!(travel(Way::Blocks, &text, None).0, Form::Zstd);
    for way in [Way::Blocks, Way::Rolling] {
        assert_eq!(travel(way, &random, Some(&random)).0, Form::Same);
        assert_eq!(travel(way, &random, Some(&noise(2, CHUNK))).0, Form::Raw);
    }
}

#[test]
fn what_gives_way_is_left_to_the_stream_where_nobody_waits() {
    let (random, text) = (noise(1, CHUNK), b"snowbird ".repeat(CHUNK / 9 + 1)[..CHUNK].to_vec());
    let (form, bytes, back) = travel_as(Travels::Together, Way::Blocks, &text, None);
    assert_eq!((form, bytes, back.as_ref()), (Form::Stream, CHUNK, Some(&text)));
    assert!(gives_way(form, &text));
    let (form, _, back) = travel_as(Travels::Together, Way::Blocks, &random, None);
    assert_eq!((form, back.as_ref()), (Form::Raw, Some(&random)));
    assert!(!gives_way(form, &random));
    let mut new = random.clone();
    new[4096..3 * 4096].copy_from_slice(&text[..2 * 4096]);
    let (form, bytes, back) = travel_as(Travels::Together, Way::Blocks, &new, Some(&random));
    assert_eq!((form, bytes, back.as_ref()), (Form::Blocks, 4 + 2 * 4096, Some(&new)));
    assert!(gives_way(form, &text[..2 * 4096]) && !gives_way(form, &random));
}

#[test]
fn what_has_shifted_is_small_by_a_signature_only() {
    let old = noise(1, CHUNK);
    let new = [&noise(2, 100), &old[..CHUNK - 100]].concat();
    assert!(travel(Way::Rolling, &new, Some(&old)).1 < 4096);
    assert_eq!(travel(Way::Blocks, &new, Some(&old)).1, CHUNK);
}

#[test]
fn changed_blocks_of_text_are_packed() {
    let old = noise(1, CHUNK);
    let mut new = old.clone();
    new[4096..3 * 4096].copy_from_slice(&b"a word ".repeat(2000)[..2 * 4096]);
    let (form, bytes, back) = travel(Way::Blocks, &new, Some(&old));
    assert_eq!((form, back), (Form::Blocks, Some(new)));
    assert!(bytes < 100, "{bytes}");
}

#[test]
fn two_blocks_with_one_hash_make_a_chunk_that_its_blake3_refuses() {
    let old = noise(1, CHUNK);
    let new = with_blocks(&old, &[3]);
    let mut description = describe_basis(Way::Blocks, Some(&old)).unwrap();
    let of_new = describe_basis(Way::Blocks, Some(&new)).unwrap();
    description[1 + 3 * 4..1 + 4 * 4].copy_from_slice(&of_new[1 + 3 * 4..1 + 4 * 4]);
    let hash = *blake3::hash(&new).as_bytes();
    let (form, body) = encode(&Bytes::copy_from_slice(&new), &hash, &description, Travels::Alone).unwrap();
    let made = decode(form, &body, Some(&old), CHUNK).unwrap().unwrap();
    assert_eq!((form, made == old), (Form::Same, true));
    assert_ne!(blake3::hash(&made).as_bytes(), &hash);
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
    let of_blocks = [&[0xff; 4][..], &bomb].concat();
    assert!(decode(Form::Zstd, &bomb, None, CHUNK).is_err());
    assert!(decode(Form::Delta, &bomb, Some(&noise(1, CHUNK)), CHUNK).is_err());
    assert!(decode(Form::Blocks, &of_blocks, Some(&noise(1, CHUNK)), CHUNK).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn foreign_bodies_make_a_chunk_or_an_error(body in prop::collection::vec(any::<u8>(), 0..4000), which in 0..Form::ALL.len()) {
        let form = Form::ALL[which];
        let basis = noise(1, CHUNK);
        if let Ok(Some(bytes)) = decode(form, &body, Some(&basis), CHUNK) {
            prop_assert_eq!(bytes.len(), CHUNK);
        }
        let raw_delta = [&0x7273_0236u32.to_be_bytes()[..], &body].concat();
        let packed = zstd::bulk::compress(&raw_delta, 1).unwrap();
        if let Ok(Some(bytes)) = decode(Form::Delta, &packed, Some(&basis), CHUNK) {
            prop_assert_eq!(bytes.len(), CHUNK);
        }
        let packed = [&[3, 0, 0, 0][..], &zstd::bulk::compress(&body, 1).unwrap()].concat();
        if let Ok(Some(bytes)) = decode(Form::Blocks, &packed, Some(&basis), CHUNK) {
            prop_assert_eq!(bytes.len(), CHUNK);
        }
    }

    #[test]
    fn foreign_descriptions_only_cost_the_delta(kind in 0u8..4, rest in prop::collection::vec(any::<u8>(), 0..2000)) {
        let bytes = noise(7, CHUNK);
        let description = [&[kind][..], &rest].concat();
        let (form, body) = encode(&Bytes::copy_from_slice(&bytes), blake3::hash(&bytes).as_bytes(), &description, Travels::Alone).unwrap();
        prop_assert_eq!(form, Form::Raw);
        prop_assert_eq!(body, bytes);
    }

    #[test]
    fn any_blocks_may_change_and_the_chunk_comes_back(changed in prop::collection::btree_set(0usize..32, 0..32), text in any::<bool>()) {
        let old = if text { b"some words ".repeat(CHUNK / 11 + 1)[..CHUNK].to_vec() } else { noise(1, CHUNK) };
        let new = with_blocks(&old, &changed.into_iter().collect::<Vec<_>>());
        for way in [Way::Whole, Way::Blocks, Way::Rolling] {
            for travels in [Travels::Alone, Travels::Together] {
                prop_assert_eq!(travel_as(travels, way, &new, Some(&old)).2, Some(new.clone()));
            }
        }
    }
}
