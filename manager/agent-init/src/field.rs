//! A made-up earthquake: how fast the ground moves in a cube, step by step. What `cargo xtask bench paper` serves as a dataset.
//!
//! Three sources send waves that grow weaker with the distance; a sample is 0 for the fastest motion one way, 65535 the other.

/// Samples along each edge of the cube.
pub const SIDE: usize = 80;
/// Bytes of a step.
pub const STEP_BYTES: usize = SIDE * SIDE * SIDE * 2;

/// Where a source is, in parts of the cube's edge; waves along an edge; how far they are before.
const SOURCES: [([f32; 3], f32, f32); 3] =
    [([0.3, 0.4, 0.2], 3.0, 0.0), ([0.7, 0.6, 0.5], 4.0, 0.3), ([0.5, 0.2, 0.8], 5.0, 0.7)];
/// Of a wave's length, from one step to the next.
const PACE: f32 = 0.15;

/// The samples of a step, 16 bits each, little-endian; x changes first, then y.
#[must_use]
pub fn step(number: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(STEP_BYTES);
    let part = |at: usize| at as f32 / (SIDE - 1) as f32;
    for z in 0..SIDE {
        for y in 0..SIDE {
            for x in 0..SIDE {
                let at = [part(x), part(y), part(z)];
                let speed: f32 = SOURCES.iter().map(|source| wave(at, source, number)).sum();
                bytes.extend(sample(speed).to_le_bytes());
            }
        }
    }
    bytes
}

fn wave(at: [f32; 3], (source, waves, ahead): &([f32; 3], f32, f32), step: u16) -> f32 {
    let square: f32 = at.iter().zip(source).map(|(a, b)| (a - b) * (a - b)).sum();
    let distance = square.sqrt();
    let turns = waves * distance - PACE * f32::from(step) + ahead;
    (turns * std::f32::consts::TAU).sin() / (1.0 + 4.0 * distance)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float that fits: it is clamped"
)]
fn sample(speed: f32) -> u16 {
    (f32::from(u16::MAX) * (0.5 + speed / 6.0)).clamp(0.0, f32::from(u16::MAX)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_its_size_moves_both_ways_and_is_not_the_next_one() {
        let (first, second) = (step(0), step(1));
        assert_eq!(first.len(), STEP_BYTES);
        assert_ne!(first, second);
        let samples = first.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let (low, high) = (samples.clone().min().unwrap(), samples.max().unwrap());
        assert!(low < 20_000 && high > 45_000, "{low} to {high}");
    }
}
