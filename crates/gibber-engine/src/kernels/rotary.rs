//! Rotation of pairs of values, for the rotary position embedding.
//!
//! Each value becomes `value · own + partner · other`, with factors that were looked up: `own` is a cosine, `other` a sine
//! with the sign that the value's place in its pair asks for.
#![allow(unsafe_code)]

use super::vector::compiled_per_isa;

const LANES: usize = 8;

#[inline(always)]
fn rotate_interleaved_body<const FMA: bool>(heads: &mut [f32], head_dim: usize, own: &[f32], other: &[f32]) {
    for head in heads.chunks_exact_mut(head_dim) {
        let mut chunks = head[..own.len()].chunks_exact_mut(LANES);
        let (mut own_chunks, mut other_chunks) = (own.chunks_exact(LANES), other.chunks_exact(LANES));
        for ((x, own), other) in (&mut chunks).zip(&mut own_chunks).zip(&mut other_chunks) {
            let before: [f32; LANES] = std::array::from_fn(|i| x[i]);
            for i in 0..LANES {
                x[i] = before[i] * own[i] + before[i ^ 1] * other[i];
            }
        }
        let rest = chunks.into_remainder().chunks_exact_mut(2);
        let factors = own_chunks.remainder().chunks_exact(2).zip(other_chunks.remainder().chunks_exact(2));
        for (x, (own, other)) in rest.zip(factors) {
            (x[0], x[1]) = (x[0] * own[0] + x[1] * other[0], x[1] * own[1] + x[0] * other[1]);
        }
    }
}

compiled_per_isa! {
    /// Turns the first values of each head of `heads`, `(heads, head_dim)`, whose pairs are neighbours: as many as `own` and
    /// `other` have.
    pub fn rotate_interleaved(heads: &mut [f32], head_dim: usize, own: &[f32], other: &[f32]) = rotate_interleaved_body
}

#[inline(always)]
fn rotate_half_body<const FMA: bool>(heads: &mut [f32], head_dim: usize, own: &[f32], other: &[f32]) {
    let pairs = own.len() / 2;
    let ((own_a, own_b), (other_a, other_b)) = (own.split_at(pairs), other.split_at(pairs));
    for head in heads.chunks_exact_mut(head_dim) {
        let (a, b) = head[..2 * pairs].split_at_mut(pairs);
        for i in 0..pairs {
            (a[i], b[i]) = (a[i] * own_a[i] + b[i] * other_a[i], b[i] * own_b[i] + a[i] * other_b[i]);
        }
    }
}

compiled_per_isa! {
    /// The same where a pair is one value of each half of what is turned.
    pub fn rotate_half(heads: &mut [f32], head_dim: usize, own: &[f32], other: &[f32]) = rotate_half_body
}
