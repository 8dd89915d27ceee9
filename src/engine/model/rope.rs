//! Rotary position embedding (Su et al. 2021): each pair of values of a head is turned by an angle that grows with the
//! position, faster for earlier pairs.

use super::config::RopeStyle;

/// The frequencies of a model, and the angles of the positions at hand.
#[derive(Debug)]
pub(super) struct Rope {
    style: RopeStyle,
    /// Radians a position, one for each pair of a head.
    frequencies: Vec<f64>,
}

/// Cosine and sine of each pair's angle at one position.
pub(super) type Angles = Vec<(f32, f32)>;

impl Rope {
    pub(super) fn new(style: RopeStyle, head_dim: usize, theta: f32) -> Self {
        let frequency = |pair| f64::from(theta).powf(-2.0 * pair as f64 / head_dim as f64);
        Self { style, frequencies: (0..head_dim / 2).map(frequency).collect() }
    }

    /// The angles at `position`, in double precision before they are rounded: positions times frequencies grow large.
    pub(super) fn angles(&self, position: usize) -> Angles {
        let angle = |frequency: &f64| {
            let (sin, cos) = (frequency * position as f64).sin_cos();
            (cos as f32, sin as f32)
        };
        self.frequencies.iter().map(angle).collect()
    }

    /// Turns each head of `heads`, `(heads, head_dim)`, in place.
    pub(super) fn rotate(&self, heads: &mut [f32], angles: &Angles) {
        let pairs = self.frequencies.len();
        for head in heads.chunks_exact_mut(2 * pairs) {
            match self.style {
                RopeStyle::Interleaved => {
                    for (pair, &(cos, sin)) in head.chunks_exact_mut(2).zip(angles) {
                        let (a, b) = (pair[0], pair[1]);
                        (pair[0], pair[1]) = (a * cos - b * sin, a * sin + b * cos);
                    }
                }
                RopeStyle::Half => {
                    let (first, second) = head.split_at_mut(pairs);
                    for ((a, b), &(cos, sin)) in first.iter_mut().zip(second).zip(angles) {
                        (*a, *b) = (*a * cos - *b * sin, *a * sin + *b * cos);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_turn_the_same_pairs_of_reordered_heads() {
        let (interleaved, half) =
            (Rope::new(RopeStyle::Interleaved, 8, 10_000.0), Rope::new(RopeStyle::Half, 8, 10_000.0));
        let mut a: Vec<f32> = (1..=8).map(|x| x as f32).collect();
        // Value 2p + s of the one is value p + 4s of the other.
        let mut b: Vec<f32> = (0..8).map(|i| a[i % 4 * 2 + i / 4]).collect();
        interleaved.rotate(&mut a, &interleaved.angles(5));
        half.rotate(&mut b, &half.angles(5));
        assert_eq!(b, (0..8).map(|i| a[i % 4 * 2 + i / 4]).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_pair_turns_by_one_radian_a_position_and_position_zero_stays() {
        let rope = Rope::new(RopeStyle::Interleaved, 4, 10_000.0);
        let mut x = [1.0, 0.0, 0.0, 1.0];
        rope.rotate(&mut x, &rope.angles(0));
        assert_eq!(x, [1.0, 0.0, 0.0, 1.0]);
        rope.rotate(&mut x, &rope.angles(2));
        let (sin, cos) = 2.0f32.sin_cos();
        let (sin2, cos2) = 0.02f32.sin_cos();
        for (found, exact) in x.iter().zip([cos, sin, -sin2, cos2]) {
            assert!((found - exact).abs() < 1e-6, "{x:?}");
        }
    }
}
