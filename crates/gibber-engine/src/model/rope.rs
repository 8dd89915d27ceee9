//! Rotary position embedding (Su et al. 2021): each pair of values of a head is turned by an angle that grows with the
//! position, faster for earlier pairs.

use super::rope_config::{RopeConfig, RopeStyle};
use crate::kernels::rotary;

/// How far each value of a head is turned at each position: a table that is computed as far as positions were needed, and
/// kept.
#[derive(Debug)]
pub(super) struct Rope {
    style: RopeStyle,
    /// Values of a head, of which the first are turned.
    head_dim: usize,
    /// Of texts within the first context, and of all where that makes no difference.
    near: Angles,
    /// Of texts that go beyond it.
    far: Option<Angles>,
}

/// The angles of one set of frequencies.
#[derive(Debug)]
struct Angles {
    /// Radians a position, one for each pair of a head.
    frequencies: Vec<f64>,
    /// What turned values are multiplied with.
    magnitude: f64,
    /// `(positions, 2, turned values)`: for each value what it is multiplied with, and what its partner is multiplied with.
    table: Vec<f32>,
}

impl Rope {
    /// Tables for heads of `head_dim` values, with room for `context` positions; none of them is computed yet.
    pub(super) fn new(config: &RopeConfig, head_dim: usize, context: usize) -> Self {
        let angles = |(frequencies, magnitude): (Vec<f64>, f64)| {
            let table = Vec::with_capacity(context * 4 * frequencies.len());
            Angles { frequencies, magnitude, table }
        };
        let near = angles(config.frequencies(head_dim));
        Self { style: config.style, head_dim, near, far: config.long_frequencies(head_dim).map(angles) }
    }

    /// Computes the tables for the positions below `near`, and below `far` in texts beyond the first context, where that was
    /// not done before.
    pub(super) fn reach(&mut self, near: usize, far: usize) {
        self.near.reach(self.style, near);
        match &mut self.far {
            Some(angles) => angles.reach(self.style, far),
            None => self.near.reach(self.style, far),
        }
    }

    /// Turns each head of `heads`, `(heads, head_dim)`, in place, as at `position`; `is_far` says that the text goes beyond the
    /// first context.
    ///
    /// # Panics
    /// Where the table does not reach there.
    pub(super) fn rotate(&self, heads: &mut [f32], position: usize, is_far: bool) {
        let angles = self.far.as_ref().filter(|_| is_far).unwrap_or(&self.near);
        let (own, others) = angles.at(position);
        match self.style {
            RopeStyle::Interleaved => rotary::rotate_interleaved(heads, self.head_dim, own, others),
            RopeStyle::Half => rotary::rotate_half(heads, self.head_dim, own, others),
        }
    }
}

impl Angles {
    /// Computes the table for the positions below `end`, where that was not done before: angles in double precision
    /// before they are rounded, because positions times frequencies grow large.
    fn reach(&mut self, style: RopeStyle, end: usize) {
        let pairs = self.frequencies.len();
        for position in self.table.len() / (4 * pairs).max(1)..end {
            let at = self.table.len();
            self.table.resize(at + 4 * pairs, 0.0);
            let (own, others) = self.table[at..].split_at_mut(2 * pairs);
            for (pair, frequency) in self.frequencies.iter().enumerate() {
                let (sin, cos) = (frequency * position as f64).sin_cos();
                let (sin, cos) = (sin * self.magnitude, cos * self.magnitude);
                let (first, second) = match style {
                    RopeStyle::Interleaved => (2 * pair, 2 * pair + 1),
                    RopeStyle::Half => (pair, pair + pairs),
                };
                (own[first], own[second]) = (cos as f32, cos as f32);
                (others[first], others[second]) = (-sin as f32, sin as f32);
            }
        }
    }

    /// What the turned values of a head are multiplied with at `position`, and what their partners are.
    fn at(&self, position: usize) -> (&[f32], &[f32]) {
        let width = 2 * self.frequencies.len();
        self.table[position * 2 * width..][..2 * width].split_at(width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RopeConfig;

    fn rope(style: RopeStyle, head_dim: usize) -> Rope {
        let mut rope = Rope::new(&RopeConfig::plain(10_000.0, style), head_dim, 0);
        rope.reach(3, 0);
        rope.reach(2, 1);
        rope.reach(0, 6);
        rope
    }

    #[test]
    fn both_styles_turn_the_same_pairs_of_reordered_heads() {
        for dim in [2, 6, 8, 20, 64] {
            let (interleaved, half) = (rope(RopeStyle::Interleaved, dim), rope(RopeStyle::Half, dim));
            let mut a: Vec<f32> = (1..=3 * dim).map(|x| x as f32).collect();
            // Of each head, value 2p + s of the one is value p + s · dim / 2 of the other.
            let reordered = |a: &[f32]| -> Vec<f32> {
                let at = |i: usize| i / dim * dim + i % (dim / 2) * 2 + i % dim / (dim / 2);
                (0..3 * dim).map(|i| a[at(i)]).collect()
            };
            let mut b = reordered(&a);
            interleaved.rotate(&mut a, 5, false);
            half.rotate(&mut b, 5, false);
            assert_eq!(b, reordered(&a), "{dim}");
        }
    }

    #[test]
    fn what_lies_behind_the_turned_values_of_a_head_stays() {
        for style in [RopeStyle::Interleaved, RopeStyle::Half] {
            for (dim, width) in [(20, 12), (32, 16), (24, 2), (10, 6)] {
                let config = RopeConfig { width: Some(width), ..RopeConfig::plain(10_000.0, style) };
                let mut partial = Rope::new(&config, dim, 6);
                partial.reach(6, 0);
                let x: Vec<f32> = (1..=3 * dim).map(|x| x as f32).collect();
                let mut turned = x.clone();
                partial.rotate(&mut turned, 5, false);
                for (head, before) in turned.chunks_exact(dim).zip(x.chunks_exact(dim)) {
                    let mut first = before[..width].to_vec();
                    rope(style, width).rotate(&mut first, 5, false);
                    assert_eq!(head, [&first, &before[width..]].concat(), "{style:?}: {width} of {dim}");
                }
            }
        }
    }

    #[test]
    fn the_first_pair_turns_by_one_radian_a_position_and_position_zero_stays() {
        let rope = rope(RopeStyle::Interleaved, 4);
        let mut x = [1.0, 0.0, 0.0, 1.0];
        rope.rotate(&mut x, 0, false);
        assert_eq!(x, [1.0, 0.0, 0.0, 1.0]);
        rope.rotate(&mut x, 2, false);
        let (sin, cos) = 2.0f32.sin_cos();
        let (sin2, cos2) = 0.02f32.sin_cos();
        for (found, exact) in x.iter().zip([cos, sin, -sin2, cos2]) {
            assert!((found - exact).abs() < 1e-6, "{x:?}");
        }
    }
}
