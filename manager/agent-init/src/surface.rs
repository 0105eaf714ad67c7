//! The surface in a cube of samples on which they have one level: marching tetrahedra, smoothing, normals. Pure.
//!
//! Each cell is cut into six tetrahedra along its diagonal, all cells alike, so that neighbours fit: inside the cube a surface has no
//! holes. Points are shared by the triangles that meet there.

use std::collections::HashMap;

/// Corners of a cell, by the bits of x, y and z; the six ways along edges from the first to the last are the tetrahedra.
const TETRAHEDRA: [[usize; 4]; 6] =
    [[0, 1, 3, 7], [0, 1, 5, 7], [0, 2, 3, 7], [0, 2, 6, 7], [0, 4, 5, 7], [0, 4, 6, 7]];

/// A surface.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Mesh {
    /// In units of a cell's edge.
    pub points: Vec<[f32; 3]>,
    /// By the places of their points.
    pub triangles: Vec<[usize; 3]>,
}

/// Where the samples of a cube with this many along each edge have the level. Too few samples give an empty surface.
#[must_use]
pub fn extract(samples: &[u16], side: usize, level: u16) -> Mesh {
    let mut mesh = Mesh::default();
    if samples.len() < side * side * side {
        return mesh;
    }
    let mut known = HashMap::new();
    let last = side.saturating_sub(1);
    for cell in (0..last).flat_map(|z| (0..last).flat_map(move |y| (0..last).map(move |x| [x, y, z]))) {
        let corner = |bits: usize| {
            let [x, y, z] = [0, 1, 2].map(|axis| cell[axis] + (bits >> axis & 1));
            (z * side + y) * side + x
        };
        let above = (0..8).filter(|bits| samples[corner(*bits)] > level).count();
        if above == 0 || above == 8 {
            continue;
        }
        for tetrahedron in TETRAHEDRA {
            let corners = tetrahedron.map(corner);
            let (inside, outside): (Vec<usize>, Vec<usize>) =
                corners.into_iter().partition(|at| samples[*at] > level);
            let mut point = |a: usize, b: usize| {
                let key = (a.min(b), a.max(b));
                *known.entry(key).or_insert_with(|| {
                    mesh.points.push(between(samples, side, level, key));
                    mesh.points.len() - 1
                })
            };
            let triangles = match (&inside[..], &outside[..]) {
                ([one], [a, b, c]) | ([a, b, c], [one]) => {
                    vec![[a, b, c].map(|other| point(*one, *other))]
                }
                ([a, b], [c, d]) => {
                    let [ac, ad, bc, bd] = [(a, c), (a, d), (b, c), (b, d)].map(|(a, b)| point(*a, *b));
                    vec![[ac, ad, bc], [ad, bc, bd]]
                }
                _ => Vec::new(),
            };
            let within = inside.first().map_or([0.0; 3], |at| place(*at, side));
            let turned = triangles.into_iter().map(|triangle| mesh.turned(triangle, within));
            let turned: Vec<_> = turned.collect();
            mesh.triangles.extend(turned);
        }
    }
    mesh
}

/// Where on the edge between two samples the level is.
fn between(samples: &[u16], side: usize, level: u16, (a, b): (usize, usize)) -> [f32; 3] {
    let [low, high] = [a, b].map(|at| f32::from(samples[at]));
    let part = if low == high { 0.5 } else { (f32::from(level) - low) / (high - low) };
    let (from, to) = (place(a, side), place(b, side));
    [0, 1, 2].map(|axis| from[axis] + part * (to[axis] - from[axis]))
}

/// Where a sample lies.
fn place(at: usize, side: usize) -> [f32; 3] {
    [at % side, at / side % side, at / side / side].map(|n| n as f32)
}

impl Mesh {
    /// Moves every point half of the way to the middle of its neighbours, so many times.
    pub fn smooth(&mut self, passes: u32) {
        for _ in 0..passes {
            let mut sums = vec![([0.0_f32; 3], 0.0_f32); self.points.len()];
            for triangle in &self.triangles {
                for (at, next) in [(0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)] {
                    let (sum, count) = &mut sums[triangle[at]];
                    let neighbour = self.points[triangle[next]];
                    sum.iter_mut().zip(neighbour).for_each(|(sum, part)| *sum += part);
                    *count += 1.0;
                }
            }
            for (point, (sum, count)) in self.points.iter_mut().zip(sums) {
                if count > 0.0 {
                    point.iter_mut().zip(sum).for_each(|(part, sum)| *part = (*part + sum / count) / 2.0);
                }
            }
        }
    }

    /// The order of a triangle's points in which its normal leads away from a place.
    fn turned(&self, triangle: [usize; 3], from: [f32; 3]) -> [usize; 3] {
        let [first, second, third] = triangle;
        let away = less(self.points[first], from);
        let along: f32 = self.normal(triangle).iter().zip(away).map(|(a, b)| a * b).sum();
        if along < 0.0 { [first, third, second] } else { triangle }
    }

    /// As long as twice the triangle's area.
    fn normal(&self, triangle: [usize; 3]) -> [f32; 3] {
        let [a, b, c] = triangle.map(|at| self.points[at]);
        let (u, v) = (less(b, a), less(c, a));
        [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]]
    }

    /// Each point's, of length 1 (0 where triangles have no area); they lead to where samples are below the level.
    #[must_use]
    pub fn normals(&self) -> Vec<[f32; 3]> {
        let mut normals = vec![[0.0_f32; 3]; self.points.len()];
        for triangle in &self.triangles {
            let cross = self.normal(*triangle);
            for at in triangle {
                normals[*at].iter_mut().zip(cross).for_each(|(sum, part)| *sum += part);
            }
        }
        for normal in &mut normals {
            let length = normal.iter().map(|part| part * part).sum::<f32>().sqrt();
            if length > 0.0 {
                *normal = normal.map(|part| part / length);
            }
        }
        normals
    }
}

fn less(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: usize = 16;

    /// How far each sample is from the middle, scaled.
    fn ball() -> Vec<u16> {
        let place = |n: usize| n as f32 - 7.5;
        let all = (0..SIDE * SIDE * SIDE)
            .map(|at| [at % SIDE, at / SIDE % SIDE, at / SIDE / SIDE].map(place))
            .map(|[x, y, z]| (x * x + y * y + z * z).sqrt() * 1000.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 13000")]
        all.map(|distance| distance as u16).collect()
    }

    #[test]
    fn the_surface_of_a_ball_is_closed_and_where_it_should_be() {
        let mesh = extract(&ball(), SIDE, 5000);
        let mut edges = HashMap::new();
        for [a, b, c] in &mesh.triangles {
            for (one, other) in [(a, b), (b, c), (a, c)] {
                *edges.entry((one.min(other), one.max(other))).or_insert(0) += 1;
            }
        }
        assert!(edges.values().all(|triangles| *triangles == 2));
        // Euler: one closed surface without handles.
        assert_eq!(mesh.points.len() + mesh.triangles.len() - edges.len(), 2);
        for [x, y, z] in &mesh.points {
            let distance = [x, y, z].map(|part| (part - 7.5).powi(2)).iter().sum::<f32>().sqrt();
            assert!((distance - 5.0).abs() < 0.2, "{distance}");
        }
    }

    #[test]
    fn smoothing_shrinks_a_ball_a_little_and_normals_lead_to_where_it_is_less() {
        let mut mesh = extract(&ball(), SIDE, 5000);
        mesh.smooth(3);
        let far =
            |[x, y, z]: &[f32; 3]| [x, y, z].map(|part| (part - 7.5).powi(2)).iter().sum::<f32>().sqrt();
        let mean = mesh.points.iter().map(far).sum::<f32>() / mesh.points.len() as f32;
        assert!((4.0..5.0).contains(&mean), "{mean}");
        for (point, normal) in mesh.points.iter().zip(mesh.normals()) {
            let along: f32 = point.iter().zip(normal).map(|(part, way)| (part - 7.5) * way).sum();
            // Samples grow with the distance.
            assert!(along < -0.9 * far(point), "{point:?} {normal:?}");
        }
    }

    #[test]
    fn what_is_level_everywhere_or_cut_short_has_no_surface() {
        assert_eq!(extract(&vec![7; SIDE * SIDE * SIDE], SIDE, 7), Mesh::default());
        assert_eq!(extract(&ball()[1..], SIDE, 5000), Mesh::default());
    }
}
