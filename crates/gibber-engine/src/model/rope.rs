//! Rotary position embedding (Su et al. 2021): each pair of values of a head is turned by an angle that grows with the
//! position, faster for earlier pairs.

use super::rope_config::{RopeConfig, RopeStyle};
use crate::kernels::rotary;

/// How far each value of a head is turned at each position: a table that is computed as far as positions were needed, and
/// kept.
#[derive(Debug)]
pub(super) struct Rope {
    style: RopeStyle,
    /// Radians a position, one for each pair of a head.
    frequencies: Vec<f64>,
    /// What turned values are multiplied with.
    magnitude: f64,
    /// `(positions, 2, head_dim)`: for each value what it is multiplied with, and what its partner is multiplied with.
    table: Vec<f32>,
}

impl Rope {
    /// A table for heads of `head_dim` values, with room for `context` positions; none of it is computed yet.
    pub(super) fn new(config: &RopeConfig, head_dim: usize, context: usize) -> Self {
        let (frequencies, magnitude) = config.frequencies(head_dim);
        Self { style: config.style, frequencies, magnitude, table: Vec::with_capacity(context * 2 * head_dim) }
    }

    /// Computes the table for the positions below `end`, where that was not done before: angles in double precision
    /// before they are rounded, because positions times frequencies grow large.
    pub(super) fn reach(&mut self, end: usize) {
        let pairs = self.frequencies.len();
        for position in self.table.len() / (4 * pairs).max(1)..end {
            let at = self.table.len();
            self.table.resize(at + 4 * pairs, 0.0);
            let (own, others) = self.table[at..].split_at_mut(2 * pairs);
            for (pair, frequency) in self.frequencies.iter().enumerate() {
                let (sin, cos) = (frequency * position as f64).sin_cos();
                let (sin, cos) = (sin * self.magnitude, cos * self.magnitude);
                let (first, second) = match self.style {
                    RopeStyle::Interleaved => (2 * pair, 2 * pair + 1),
                    RopeStyle::Half => (pair, pair + pairs),
                };
                (own[first], own[second]) = (cos as f32, cos as f32);
                (others[first], others[second]) = (-sin as f32, sin as f32);
            }
        }
    }

    /// Turns each head of `heads`, `(heads, head_dim)`, in place, as at `position`.
    ///
    /// # Panics
    /// Where the table does not reach there.
    pub(super) fn rotate(&self, heads: &mut [f32], position: usize) {
        let dim = 2 * self.frequencies.len();
        let (own, others) = self.table[position * 2 * dim..][..2 * dim].split_at(dim);
        match self.style {
            RopeStyle::Interleaved => rotary::rotate_interleaved(heads, own, others),
            RopeStyle::Half => rotary::rotate_half(heads, own, others),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RopeConfig;

    fn rope(style: RopeStyle, head_dim: usize) -> Rope {
        let (frequencies, magnitude) = RopeConfig::plain(10_000.0, style).frequencies(head_dim);
        let mut rope = Rope { style, frequencies, magnitude, table: Vec::new() };
        rope.reach(3);
        rope.reach(2);
        rope.reach(6);
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
            interleaved.rotate(&mut a, 5);
            half.rotate(&mut b, 5);
            assert_eq!(b, reordered(&a), "{dim}");
        }
    }

    #[test]
    fn the_first_pair_turns_by_one_radian_a_position_and_position_zero_stays() {
        let rope = rope(RopeStyle::Interleaved, 4);
        let mut x = [1.0, 0.0, 0.0, 1.0];
        rope.rotate(&mut x, 0);
        assert_eq!(x, [1.0, 0.0, 0.0, 1.0]);
        rope.rotate(&mut x, 2);
        let (sin, cos) = 2.0f32.sin_cos();
        let (sin2, cos2) = 0.02f32.sin_cos();
        for (found, exact) in x.iter().zip([cos, sin, -sin2, cos2]) {
            assert!((found - exact).abs() < 1e-6, "{x:?}");
        }
    }
}
