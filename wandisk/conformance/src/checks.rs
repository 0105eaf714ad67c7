//! The checks. Each panics with what it found; a test calls them and need not say more.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, clippy::print_stderr, reason = "these are tests")]

use crate::client::{Client, ClientError, Target};
use crate::rng::Rng;

const K: u64 = 1024;

/// All of them, the random ones with this seed.
pub fn run_all(target: &dyn Target, seed: u64) {
    reads_what_was_written(target);
    neighbours_are_left_alone(target);
    the_disk_ends_where_it_says(target);
    zeroed_ranges_read_as_zeros(target);
    clients_see_each_other(target);
    clients_at_once_do_not_mix(target);
    agrees_with_a_model(target, seed, 400);
}

fn len(n: u64) -> usize {
    usize::try_from(n).unwrap()
}

fn read(client: &mut dyn Client, offset: u64, bytes: u64) -> Vec<u8> {
    let mut buffer = vec![0xa5; len(bytes)];
    client.read(offset, &mut buffer).unwrap();
    buffer
}

/// Some bytes that differ at every offset of a small disk.
fn pattern(offset: u64, bytes: u64) -> Vec<u8> {
    Rng::new(offset ^ bytes << 32).bytes(len(bytes))
}

fn wipe(client: &mut dyn Client, offset: u64, bytes: u64) {
    client.zero(offset, bytes, true).unwrap();
}

/// Sizes from the smallest to several chunks, at offsets across page and chunk borders.
pub fn reads_what_was_written(target: &dyn Target) {
    let mut client = target.open().unwrap();
    let unit = target.alignment();
    let sizes = [unit, 512, 513 * unit, 4 * K, 64 * K - unit, 128 * K, 128 * K + unit, 1024 * K];
    let offsets = [0, unit, 4 * K - unit, 128 * K - unit, 256 * K, 1024 * K + 512];
    for size in sizes {
        for offset in offsets {
            let size = size.next_multiple_of(unit);
            let data = pattern(offset, size);
            client.write(offset, &data, size == 512).unwrap();
            assert!(read(&mut *client, offset, size) == data, "{size} bytes at {offset} read back as others");
        }
    }
    client.flush().unwrap();
    wipe(&mut *client, 0, 4096 * K);
}

/// A write changes its own bytes and no others.
pub fn neighbours_are_left_alone(target: &dyn Target) {
    let mut client = target.open().unwrap();
    let unit = target.alignment();
    let around = pattern(7, 384 * K);
    client.write(0, &around, false).unwrap();
    for (offset, size) in [(unit, unit), (4 * K - unit, 2 * unit), (128 * K - unit, 128 * K + 2 * unit)] {
        let mut expected = around.clone();
        let data = pattern(offset + 1, size);
        expected[len(offset)..len(offset + size)].copy_from_slice(&data);
        client.write(offset, &data, false).unwrap();
        assert!(read(&mut *client, 0, 384 * K) == expected, "{size} bytes at {offset} changed others");
        client.write(0, &around, false).unwrap();
    }
    wipe(&mut *client, 0, 384 * K);
}

/// The last bytes are there; past them nothing is, and the client that asked goes on.
pub fn the_disk_ends_where_it_says(target: &dyn Target) {
    let mut client = target.open().unwrap();
    let (size, unit) = (target.size(), target.alignment());
    let data = pattern(3, unit);
    client.write(size - unit, &data, true).unwrap();
    assert_eq!(read(&mut *client, size - unit, unit), data);
    if target.refuses_past_the_end() {
        let mut buffer = vec![0; len(2 * unit)];
        assert!(matches!(client.read(size - unit, &mut buffer), Err(ClientError::Refused(_))));
        assert!(matches!(client.write(size, &buffer, false), Err(ClientError::Refused(_))));
        assert!(matches!(client.trim(size - unit, 2 * unit), Err(ClientError::Refused(_))));
        assert!(matches!(client.zero(size, unit, true), Err(ClientError::Refused(_))));
    }
    assert_eq!(read(&mut *client, size - unit, unit), data, "a refused request changed something");
    wipe(&mut *client, size - unit, unit);
}

/// Trimmed (in its granularity of 4 KiB) and zeroed ranges read as zeros, at once and to everybody.
pub fn zeroed_ranges_read_as_zeros(target: &dyn Target) {
    let (mut client, mut other) = (target.open().unwrap(), target.open().unwrap());
    let around = pattern(11, 512 * K);
    let zero_ways: [fn(&mut dyn Client, u64, u64); 3] = [
        |c, at, n| c.trim(at, n).unwrap(),
        |c, at, n| c.zero(at, n, true).unwrap(),
        |c, at, n| c.zero(at, n, false).unwrap(),
    ];
    for (way, zero) in zero_ways.iter().enumerate() {
        for (offset, size) in [(4 * K, 4 * K), (124 * K, 8 * K), (128 * K, 128 * K), (60 * K, 300 * K)] {
            client.write(0, &around, false).unwrap();
            zero(&mut *client, offset, size);
            let mut expected = around.clone();
            expected[len(offset)..len(offset + size)].fill(0);
            assert!(read(&mut *client, 0, 512 * K) == expected, "way {way}: {size} bytes at {offset}");
            assert!(
                read(&mut *other, 0, 512 * K) == expected,
                "way {way}: {size} bytes at {offset}, elsewhere"
            );
        }
    }
    wipe(&mut *client, 0, 512 * K);
}

/// What one client was told is written, another reads; and may flush.
pub fn clients_see_each_other(target: &dyn Target) {
    let (mut one, mut other) = (target.open().unwrap(), target.open().unwrap());
    for turn in 0..16 {
        let data = pattern(turn, 8 * K);
        one.write(turn * 4 * K, &data, false).unwrap();
        other.flush().unwrap();
        assert!(read(&mut *other, turn * 4 * K, 8 * K) == data, "turn {turn}");
        std::mem::swap(&mut one, &mut other);
    }
    wipe(&mut *one, 0, 128 * K);
}

/// Clients that work at the same time on ranges of their own, unaligned ones side by side, do not disturb each other.
pub fn clients_at_once_do_not_mix(target: &dyn Target) {
    let unit = target.alignment();
    // Ranges meet inside pages and chunks.
    let share = 48 * K + 3 * unit;
    std::thread::scope(|scope| {
        for number in 0..4u64 {
            let mut client = target.open().unwrap();
            scope.spawn(move || {
                for round in 0..32 {
                    let data = pattern(number << 8 | round, share);
                    client.write(number * share, &data, round % 8 == 0).unwrap();
                    assert!(
                        read(&mut *client, number * share, share) == data,
                        "client {number}, round {round}"
                    );
                }
            });
        }
    });
    wipe(&mut *target.open().unwrap(), 0, 4 * share);
}

/// A random sequence of everything, against an array in memory.
pub fn agrees_with_a_model(target: &dyn Target, seed: u64, steps: u32) {
    eprintln!("seed {seed}");
    let mut rng = Rng::new(seed);
    let unit = target.alignment();
    let span = 4096 * K;
    let mut model = vec![0u8; len(span)];
    let mut clients = [target.open().unwrap(), target.open().unwrap()];
    wipe(&mut *clients[0], 0, span);
    for step in 0..steps {
        let client = &mut *clients[len(rng.below(2))];
        // Short ranges mostly, so that they meet.
        let longest = [4 * K, 64 * K, 300 * K, 1024 * K][len(rng.below(4))];
        let size = (1 + rng.below(longest)).next_multiple_of(unit);
        let offset = rng.below((span - size) / unit + 1) * unit;
        let range = len(offset)..len(offset + size);
        match rng.below(8) {
            0..3 => {
                let data = rng.bytes(len(size));
                client.write(offset, &data, rng.below(8) == 0).unwrap();
                model[range].copy_from_slice(&data);
            }
            3 => {
                client.zero(offset, size, rng.below(2) == 0).unwrap();
                model[range].fill(0);
            }
            4 => {
                // What a trim does outside its granularity is the disk's own business.
                let (from, to) = (offset.next_multiple_of(4 * K), (offset + size) / (4 * K) * (4 * K));
                if from < to {
                    client.trim(from, to - from).unwrap();
                    model[len(from)..len(to)].fill(0);
                }
            }
            5 => client.flush().unwrap(),
            _ => assert!(
                read(client, offset, size) == model[range],
                "seed {seed}, step {step}: {size} bytes at {offset} differ from the model"
            ),
        }
    }
    assert!(read(&mut *clients[0], 0, span) == model, "seed {seed}: the end differs from the model");
    wipe(&mut *clients[0], 0, span);
}
