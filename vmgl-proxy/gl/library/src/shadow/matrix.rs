//! Matrices and their stacks, column by column as OpenGL has them.

use std::f64::consts::PI;

pub(crate) type Matrix = [f64; 16];

pub(crate) const IDENTITY: Matrix =
    [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0];

/// `left` times `right`.
pub(crate) fn product(left: &Matrix, right: &Matrix) -> Matrix {
    let mut out = [0.0; 16];
    for (index, value) in out.iter_mut().enumerate() {
        let (column, row) = (index / 4, index % 4);
        *value = (0..4).map(|k| left[k * 4 + row] * right[column * 4 + k]).sum();
    }
    out
}

/// Rows for columns.
pub(crate) fn transpose(matrix: &Matrix) -> Matrix {
    std::array::from_fn(|index| matrix[(index % 4) * 4 + index / 4])
}

/// `glTranslate`.
pub(crate) fn translation(x: f64, y: f64, z: f64) -> Matrix {
    let mut matrix = IDENTITY;
    matrix[12..15].copy_from_slice(&[x, y, z]);
    matrix
}

/// `glScale`.
pub(crate) fn scaling(x: f64, y: f64, z: f64) -> Matrix {
    let mut matrix = IDENTITY;
    (matrix[0], matrix[5], matrix[10]) = (x, y, z);
    matrix
}

/// `glRotate`. About no axis it is nothing.
pub(crate) fn rotation(degrees: f64, x: f64, y: f64, z: f64) -> Matrix {
    let length = (x * x + y * y + z * z).sqrt();
    if length == 0.0 {
        return IDENTITY;
    }
    let (x, y, z) = (x / length, y / length, z / length);
    let (sin, cos) = (degrees * PI / 180.0).sin_cos();
    let rest = 1.0 - cos;
    [
        x * x * rest + cos,
        y * x * rest + z * sin,
        x * z * rest - y * sin,
        0.0,
        x * y * rest - z * sin,
        y * y * rest + cos,
        y * z * rest + x * sin,
        0.0,
        x * z * rest + y * sin,
        y * z * rest - x * sin,
        z * z * rest + cos,
        0.0,
        0.0,
        0.0,
        0.0,
        1.0,
    ]
}

/// `glOrtho`: left, right, bottom, top, near, far.
pub(crate) fn orthogonal([l, r, b, t, n, f]: [f64; 6]) -> Matrix {
    let mut matrix = scaling(2.0 / (r - l), 2.0 / (t - b), -2.0 / (f - n));
    matrix[12..15].copy_from_slice(&[-(r + l) / (r - l), -(t + b) / (t - b), -(f + n) / (f - n)]);
    matrix
}

/// `glFrustum`: left, right, bottom, top, near, far.
pub(crate) fn frustum([l, r, b, t, n, f]: [f64; 6]) -> Matrix {
    let mut matrix = [0.0; 16];
    (matrix[0], matrix[5]) = (2.0 * n / (r - l), 2.0 * n / (t - b));
    (matrix[8], matrix[9]) = ((r + l) / (r - l), (t + b) / (t - b));
    (matrix[10], matrix[11], matrix[14]) = (-(f + n) / (f - n), -1.0, -2.0 * f * n / (f - n));
    matrix
}

/// A stack whose top is what counts.
#[derive(Debug, Clone)]
pub(crate) struct Stack(Vec<Matrix>);

impl Default for Stack {
    fn default() -> Self {
        Self(vec![IDENTITY])
    }
}

/// No renderer's stack is deeper.
const DEEPEST: usize = 64;

impl Stack {
    pub(crate) fn top(&self) -> Matrix {
        self.0.last().copied().unwrap_or(IDENTITY)
    }

    pub(crate) fn depth(&self) -> usize {
        self.0.len()
    }

    /// From the lowest on.
    pub(crate) fn levels(&self) -> &[Matrix] {
        &self.0
    }

    pub(crate) fn load(&mut self, matrix: Matrix) {
        if let Some(top) = self.0.last_mut() {
            *top = matrix;
        }
    }

    pub(crate) fn multiply(&mut self, matrix: &Matrix) {
        let top = self.top();
        self.load(product(&top, matrix));
    }

    pub(crate) fn push(&mut self) {
        if self.0.len() < DEEPEST {
            self.0.push(self.top());
        }
    }

    pub(crate) fn pop(&mut self) {
        if self.0.len() > 1 {
            self.0.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{IDENTITY, Stack, frustum, orthogonal, product, rotation, scaling, translation, transpose};

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12)
    }

    #[test]
    fn a_quarter_turn_about_z_takes_x_to_y() {
        let turn = rotation(90.0, 0.0, 0.0, 5.0);
        assert!(near(&turn[..4], &[0.0, 1.0, 0.0, 0.0]));
        assert!(near(&product(&turn, &rotation(-90.0, 0.0, 0.0, 1.0)), &IDENTITY));
        assert!(near(&rotation(30.0, 0.0, 0.0, 0.0), &IDENTITY));
    }

    #[test]
    fn the_last_that_is_multiplied_is_applied_first() {
        let both = product(&translation(1.0, 2.0, 3.0), &scaling(2.0, 2.0, 2.0));
        assert!(near(&both[12..15], &[1.0, 2.0, 3.0]) && near(&both[..1], &[2.0]));
        assert!(near(&transpose(&transpose(&both)), &both));
    }

    #[test]
    fn the_near_planes_corner_becomes_the_pictures() {
        let view = frustum([-1.0, 1.0, -1.0, 1.0, 1.0, 3.0]);
        // (1, 1, -1, 1): x / w and z / w.
        let (x, z, w) = (view[0] - view[8], -view[10] + view[14], -view[11]);
        assert!(near(&[x / w, z / w], &[1.0, -1.0]));
        let flat = orthogonal([0.0, 10.0, 0.0, 10.0, -1.0, 1.0]);
        assert!(near(&[flat[0] * 10.0 + flat[12]], &[1.0]));
    }

    #[test]
    fn a_stack_keeps_its_last_matrix() {
        let mut stack = Stack::default();
        stack.push();
        stack.multiply(&scaling(2.0, 1.0, 1.0));
        stack.pop();
        stack.pop();
        assert!(stack.depth() == 1 && near(&stack.top(), &IDENTITY));
    }
}
