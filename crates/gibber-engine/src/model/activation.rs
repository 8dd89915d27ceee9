//! The activations of feed-forward parts, as the kernels have them.

use super::feed_forward_config::Activation;
use crate::kernels::vector;

impl Activation {
    /// It, of each value of a row.
    pub(super) fn in_place(self, x: &mut [f32]) {
        match self {
            Self::GeluTanh => vector::gelu_tanh(x),
            Self::Gelu => vector::gelu(x),
            Self::Relu => vector::relu(x),
            Self::Silu => silu(x),
            Self::SparseGeluTanh { deviations } => {
                above(x, deviations);
                vector::gelu_tanh(x);
            }
            Self::ClampedSwish { alpha, limit } => x.iter_mut().for_each(|x| *x = clamped_swish(*x, alpha, limit)),
        }
    }

    /// `out = activation(gate) · up`.
    pub(super) fn gate(self, gate: &[f32], up: &[f32], out: &mut [f32]) {
        match self {
            Self::Silu => vector::silu_mul(gate, up, out),
            Self::ClampedSwish { alpha, limit } => {
                for ((gate, up), out) in gate.iter().zip(up).zip(out) {
                    *out = clamped_swish(*gate, alpha, limit) * (up.clamp(-limit, limit) + 1.0);
                }
            }
            Self::GeluTanh | Self::Gelu | Self::Relu | Self::SparseGeluTanh { .. } => {
                out.copy_from_slice(gate);
                self.in_place(out);
                out.iter_mut().zip(up).for_each(|(out, up)| *out *= up);
            }
        }
    }
}

/// What of each value is above the mean of all by so many standard deviations.
fn above(x: &mut [f32], deviations: f32) {
    let n = x.len().max(1) as f32;
    let mean = x.iter().sum::<f32>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
    let least = mean + variance.sqrt() * deviations;
    x.iter_mut().for_each(|x| *x = (*x - least).max(0.0));
}

fn silu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
}

fn clamped_swish(x: f32, alpha: f32, limit: f32) -> f32 {
    let x = x.min(limit);
    x / (1.0 + (-alpha * x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_its_activation_times_what_is_gated() {
        let x: Vec<f32> = (-20..=20).map(|i| i as f32 / 4.0).collect();
        let up: Vec<f32> = (0..x.len()).map(|i| 1.0 - i as f32 / 9.0).collect();
        for activation in [Activation::GeluTanh, Activation::Gelu, Activation::Relu, Activation::Silu] {
            let (mut activated, mut gated) = (x.clone(), vec![0.0; x.len()]);
            activation.in_place(&mut activated);
            activation.gate(&x, &up, &mut gated);
            for ((gated, activated), up) in gated.iter().zip(&activated).zip(&up) {
                assert!((gated - activated * up).abs() < 1e-6, "{activation:?}: {gated}, {activated} · {up}");
            }
            assert!(activated[0].abs() < 0.04 && (activated[40] - 5.0).abs() < 0.04, "{activation:?}: {activated:?}");
        }
    }

    #[test]
    fn a_clamped_gate_holds_both_sides_and_adds_one_to_what_it_gates() {
        let clamped = Activation::ClampedSwish { alpha: 1.702, limit: 7.0 };
        let mut out = [0.0; 4];
        clamped.gate(&[0.5, 9.0, -9.0, 1.0], &[0.25, 20.0, -20.0, 0.0], &mut out);
        let swish = |x: f32| x / (1.0 + (-1.702 * x).exp());
        for (found, expected) in out.iter().zip([swish(0.5) * 1.25, swish(7.0) * 8.0, swish(-9.0) * -6.0, swish(1.0)]) {
            assert!((found - expected).abs() < 1e-6, "{out:?}");
        }
    }
}
