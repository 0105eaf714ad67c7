//! A viewer on a text screen: points in space as characters that are denser the nearer they are, and what its keys do. Pure.

use std::fmt::Write as _;

/// Characters of a picture.
pub const COLUMNS: usize = 48;
/// Lines of a picture.
pub const ROWS: usize = 22;
/// From far to near.
const SHADES: &[u8] = b".,:;+*o%#@";
/// By one frame, in radians.
const TURN: f32 = 0.05;

/// From where it is looked, and at which step.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// To the side, in radians.
    pub yaw: f32,
    /// Up, in radians.
    pub tilt: f32,
    /// Of the earthquake.
    pub step: usize,
}

impl Look {
    /// One frame of what a key does: `a` and `d` turn, `w` and `s` tilt. Another key does nothing.
    #[must_use]
    pub fn turned(self, key: u8) -> Look {
        let (yaw, tilt) = match key {
            b'a' => (-TURN, 0.0),
            b'd' => (TURN, 0.0),
            b'w' => (0.0, TURN),
            b's' => (0.0, -TURN),
            _ => (0.0, 0.0),
        };
        Look { yaw: self.yaw + yaw, tilt: self.tilt + tilt, ..self }
    }

    /// What a key does once: `n` goes to the next of so many steps.
    #[must_use]
    pub fn stepped(self, key: u8, steps: usize) -> Look {
        let step = if key == b'n' { (self.step + 1) % steps.max(1) } else { self.step };
        Look { step, ..self }
    }

    /// The picture of points within the unit cube around 0, for a terminal: from its upper left corner.
    #[must_use]
    pub fn frame(self, points: &[[f32; 3]]) -> String {
        let mut nearest = vec![None::<f32>; COLUMNS * ROWS];
        let ((sin_y, cos_y), (sin_t, cos_t)) = (self.yaw.sin_cos(), self.tilt.sin_cos());
        for [x, y, z] in points {
            let (across, deep) = (x * cos_y + z * sin_y, z * cos_y - x * sin_y);
            let (up, deep) = (y * cos_t - deep * sin_t, deep * cos_t + y * sin_t);
            let cell = place(across, COLUMNS).zip(place(-up, ROWS));
            if let Some(cell) = cell.and_then(|(column, row)| nearest.get_mut(row * COLUMNS + column)) {
                *cell = Some(cell.map_or(deep, |other| other.min(deep)));
            }
        }
        let mut text = "\x1b[H".to_owned();
        for row in nearest.chunks(COLUMNS) {
            text.extend(row.iter().map(|deep| deep.map_or(' ', shade)));
            text.push_str("\r\n");
        }
        write!(text, "step {}  yaw {:6.2}  tilt {:6.2}", self.step, self.yaw, self.tilt).ok();
        text
    }
}

/// Of a coordinate from -1 to 1, among so many.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to the number of cells")]
fn place(at: f32, cells: usize) -> Option<usize> {
    let part = (at + 1.0) / 2.0;
    (0.0..1.0).contains(&part).then_some((part * cells as f32) as usize)
}

fn shade(deep: f32) -> char {
    let at = place(-deep, SHADES.len()).unwrap_or(0);
    SHADES.get(at).map_or(' ', |shade| char::from(*shade))
}

/// Reads points, three numbers a line, with an empty line after each step's. What is no point is left out.
#[must_use]
pub fn steps(text: &str) -> Vec<Vec<[f32; 3]>> {
    let point = |line: &str| {
        let mut numbers = line.split(' ').map(|number| number.parse::<f32>().ok().filter(|n| n.is_finite()));
        Some([numbers.next()??, numbers.next()??, numbers.next()??])
    };
    let steps = text.split("\n\n").map(|step| step.lines().filter_map(point).collect::<Vec<_>>());
    steps.filter(|step| !step.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearer_hides_what_is_behind_and_turning_moves_it() {
        let look = Look::default();
        let two = look.frame(&[[0.0, 0.0, 0.9], [0.0, 0.0, -0.9]]);
        assert_eq!(two.matches('@').count(), 1, "{two}");
        assert!(!two.contains('.') || two.matches('.').count() == 2, "the far one is hidden: {two}");
        let side = look.frame(&[[0.5, 0.0, 0.0]]);
        let turned = (0..10).fold(look, |look, _| look.turned(b'd'));
        assert_ne!(side, turned.frame(&[[0.5, 0.0, 0.0]]));
        assert_eq!(look.turned(b'x'), look);
        assert_eq!(look.stepped(b'n', 3).stepped(b'n', 3).stepped(b'n', 3), look);
    }

    #[test]
    fn a_picture_is_of_one_size_wherever_points_are() {
        let lines = |points: &[[f32; 3]]| {
            let frame = Look::default().frame(points);
            frame.lines().map(str::len).take(ROWS).collect::<Vec<_>>()
        };
        assert_eq!(lines(&[]), lines(&[[9.0, -9.0, 9.0], [-1.0, 1.0, 1.0], [0.1, 0.1, 0.1]]));
    }

    #[test]
    fn steps_are_read_and_what_is_no_point_is_left_out() {
        let read = steps("0 0.5 1\nnothing\n1 1 nan\n-1 0 0\n\n0 0 0\n");
        assert_eq!(read, [vec![[0.0, 0.5, 1.0], [-1.0, 0.0, 0.0]], vec![[0.0; 3]]]);
    }
}
