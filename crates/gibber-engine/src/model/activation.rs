//! The activations of feed-forward parts, as the kernels have them.

use super::config::Activation;
use crate::kernels::vector;

impl Activation {
    /// It, of each value of a row.
    pub(super) fn in_place(self) -> fn(&mut [f32]) {
        match self {
            Self::GeluTanh => vector::gelu_tanh,
            Self::Gelu => vector::gelu,
            Self::Relu => vector::relu,
            Self::Silu => silu,
        }
    }

    /// `out = activation(gate) · up`.
    pub(super) fn gate(self) -> fn(&[f32], &[f32], &mut [f32]) {
        match self {
            Self::Silu => vector::silu_mul,
            Self::GeluTanh => |gate, up, out| multiplied(gate, up, out, vector::gelu_tanh),
            Self::Gelu => |gate, up, out| multiplied(gate, up, out, vector::gelu),
            Self::Relu => |gate, up, out| multiplied(gate, up, out, vector::relu),
        }
    }
}

fn silu(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
}

fn multiplied(gate: &[f32], up: &[f32], out: &mut [f32], activation: fn(&mut [f32])) {
    out.copy_from_slice(gate);
    activation(out);
    out.iter_mut().zip(up).for_each(|(out, up)| *out *= up);
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
            activation.in_place()(&mut activated);
            activation.gate()(&x, &up, &mut gated);
            for ((gated, activated), up) in gated.iter().zip(&activated).zip(&up) {
                assert!((gated - activated * up).abs() < 1e-6, "{activation:?}: {gated}, {activated} · {up}");
            }
            assert!(activated[0].abs() < 0.04 && (activated[40] - 5.0).abs() < 0.04, "{activation:?}: {activated:?}");
        }
    }
}
