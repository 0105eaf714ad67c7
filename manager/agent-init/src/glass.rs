//! The picture of the agent's own VNC server: made from how many keys were pressed, so that whoever looks knows what it should see.

/// Its size in pixels.
pub const WIDTH: u16 = 64;
/// Its size in pixels.
pub const HEIGHT: u16 = 48;

/// All pixels, row by row, after so many keys.
#[must_use]
pub fn picture(keys: usize) -> Vec<u32> {
    let tint = u32::try_from(keys * 37 % 256).unwrap_or(0);
    let rows = (0..u32::from(HEIGHT)).flat_map(|y| (0..u32::from(WIDTH)).map(move |x| (x, y)));
    rows.map(|(x, y)| ((x * 4) << 16) | ((y * 5) << 8) | tint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_makes_another_picture() {
        let pictures: Vec<_> = (0..200).map(picture).collect();
        assert_eq!(pictures[0].len(), usize::from(WIDTH) * usize::from(HEIGHT));
        assert!(pictures.windows(2).all(|two| two[0] != two[1]));
    }
}
