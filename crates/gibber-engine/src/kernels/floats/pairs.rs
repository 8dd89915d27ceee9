//! Long prompts times weights in BF16: one instruction multiplies two inputs of each output, where the processor has it.
//!
//! The inputs are rounded to BF16 for it, which loses a fifth of a percent of each: less than the bytes that quantized
//! weights are multiplied with (see [`super::super::tiles`]), and allowed in the same places.
#![allow(unsafe_code)]

use super::super::pool::ThreadPool;

/// Inputs in BF16, two in a word, the first in its lower half; an odd one out is followed by zero.
#[derive(Debug, Default)]
pub struct PairedRows {
    /// `(n, inputs.div_ceil(2))`
    words: Vec<u32>,
    inputs: usize,
}

/// The nearest number of BF16, a tie to the even one, as the lower half of a word.
#[inline(always)]
fn rounded(x: f32) -> u32 {
    let bits = x.to_bits();
    // What is no number must not be rounded up to infinity, or over its sign.
    let quiet = bits | if x.is_nan() { 1 << 22 } else { 0 };
    if x.is_nan() { quiet >> 16 } else { bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16 }
}

impl PairedRows {
    /// Takes over `x`, rows of `inputs` values; keeps its memory.
    pub fn assign(&mut self, pool: &ThreadPool, x: &[f32], inputs: usize) {
        self.inputs = inputs;
        let each = inputs.div_ceil(2);
        self.words.resize(x.len().checked_div(inputs).unwrap_or(0) * each, 0);
        pool.for_each_part(&mut self.words, each, &|_, row, words| {
            let x = &x[row * inputs..][..inputs];
            let (pairs, rest) = x.as_chunks();
            for (word, &[first, second]) in words.iter_mut().zip(pairs) {
                *word = rounded(first) | rounded(second) << 16;
            }
            if let (&[last], Some(word)) = (rest, words.last_mut()) {
                *word = rounded(last);
            }
        });
    }

    /// Values a row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &[u32]> {
        self.words.chunks_exact(self.inputs.div_ceil(2).max(1))
    }
}

/// Whether the processor multiplies pairs.
pub(super) fn are_multiplied() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::accumulate;

/// The plain twin: `sums[t][lane] += Σ weights[i][lane] · x[t][i]`.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn accumulate_plainly(weights: &[u8], x: &[&[u32]], sums: &mut [super::Lanes]) {
    for (x, sums) in x.iter().zip(sums) {
        for (input, step) in weights.chunks_exact(2 * super::LANES).enumerate() {
            let word = x[input / 2];
            let x = f32::from_bits(if input % 2 == 0 { word << 16 } else { word & 0xffff_0000 });
            for (sum, weight) in sums.iter_mut().zip(step.as_chunks().0) {
                *sum += half::bf16::from_le_bytes(*weight).to_f32() * x;
            }
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) use accumulate_plainly as accumulate;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::super::{LANES, Lanes};

    /// Bytes of an input's weights.
    const STEP: usize = 2 * LANES;

    /// `sums[t][lane] += Σ weights[i][lane] · x[t][i]`, with [`LANES`] weights in BF16 for each `i`.
    ///
    /// # Panics
    /// Where the weights are not as many steps as the inputs have values, or the processor does not multiply pairs.
    pub(in super::super) fn accumulate(weights: &[u8], x: &[&[u32]], sums: &mut [Lanes]) {
        assert!(super::are_multiplied() && is_x86_feature_detected!("avx512bw"));
        let (x8, rest) = x.as_chunks::<8>();
        let (sums8, sums) = sums.split_at_mut(8 * x8.len());
        // SAFETY: the processor has these instructions, as was asserted.
        unsafe {
            for (x, sums) in x8.iter().zip(sums8.as_chunks_mut::<8>().0) {
                tile(weights, x, sums);
            }
            for (x, sums) in rest.iter().zip(sums) {
                tile(weights, &[x], std::array::from_mut(sums));
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn tile<const T: usize>(weights: &[u8], x: &[&[u32]; T], sums: &mut [Lanes; T]) {
        let steps = weights.len() / STEP;
        assert!(x.iter().all(|x| x.len() == steps.div_ceil(2)) && weights.len() == steps * STEP, "{steps} steps");
        // Steps are interleaved within each 128 bits: outputs stand in another order until the end.
        let mut acc = [[_mm512_setzero_ps(); 2]; T];
        for (acc, sums) in acc.iter_mut().zip(&*sums) {
            // SAFETY: a token's sums are `LANES` values.
            let (a, b) = unsafe { (_mm512_loadu_ps(sums.as_ptr()), _mm512_loadu_ps(sums.as_ptr().add(LANES / 2))) };
            *acc = [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b)];
        }
        for pair in 0..steps.div_ceil(2) {
            // SAFETY: the first step of the pair is in `weights`, and the second where there are as many.
            let (first, second) = unsafe {
                let at = weights.as_ptr().add(2 * pair * STEP);
                let second =
                    if 2 * pair + 1 < steps { _mm512_loadu_si512(at.add(STEP).cast()) } else { _mm512_setzero_si512() };
                (_mm512_loadu_si512(at.cast()), second)
            };
            let low = _mm512_unpacklo_epi16(first, second);
            let high = _mm512_unpackhi_epi16(first, second);
            for (acc, x) in acc.iter_mut().zip(x) {
                // SAFETY: every input has a word for each pair, as was asserted; a register of words is one of pairs.
                unsafe {
                    let x = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*x.get_unchecked(pair) as i32));
                    acc[0] = _mm512_dpbf16_ps(acc[0], std::mem::transmute::<__m512i, __m512bh>(low), x);
                    acc[1] = _mm512_dpbf16_ps(acc[1], std::mem::transmute::<__m512i, __m512bh>(high), x);
                }
            }
        }
        for ([low, high], sums) in acc.into_iter().zip(sums) {
            let a = _mm512_shuffle_f32x4::<0x44>(low, high);
            let b = _mm512_shuffle_f32x4::<0xee>(low, high);
            // SAFETY: as for the loads above.
            unsafe {
                _mm512_storeu_ps(sums.as_mut_ptr(), _mm512_shuffle_f32x4::<0xd8>(a, a));
                _mm512_storeu_ps(sums.as_mut_ptr().add(LANES / 2), _mm512_shuffle_f32x4::<0xd8>(b, b));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LANES, Lanes};
    use super::*;

    #[test]
    fn inputs_are_the_nearest_of_bf16() {
        let values =
            [1.0, -1.003_906_3, 3.140_625, 1e-40, -0.0, f32::MAX, f32::INFINITY, f32::NAN, 0.1, -2.7, 65_535.0];
        let mut rows = PairedRows::default();
        rows.assign(&ThreadPool::new(2), &[values, values].concat(), values.len());
        assert_eq!(rows.rows().count(), 2);
        for row in rows.rows() {
            let halves = row.iter().flat_map(|word| [(word & 0xffff) as u16, (word >> 16) as u16]);
            let found: Vec<u16> = halves.collect();
            let exact: Vec<u16> = values.iter().map(|&x| half::bf16::from_f32(x).to_bits()).chain([0]).collect();
            assert_eq!(found, exact);
        }
    }

    #[test]
    fn pairs_are_multiplied_as_the_plain_twin_does() {
        if !are_multiplied() {
            return;
        }
        let number = |i: usize| (i * 7919 % 1009) as f32 / 504.5 - 1.0;
        for (n, inputs) in [(1, 1), (8, 2), (11, 7), (17, 192), (3, 0)] {
            let weights: Vec<u8> =
                (0..inputs * LANES).flat_map(|i| half::bf16::from_f32(number(i)).to_le_bytes()).collect();
            let mut rows = PairedRows::default();
            let x: Vec<f32> = (0..n * inputs).map(|i| number(i + 5)).collect();
            rows.assign(&ThreadPool::new(1), &x, inputs);
            let mut x: Vec<&[u32]> = rows.rows().collect();
            x.resize(n, &[]);
            let mut found: Vec<Lanes> = (0..n).map(|t| std::array::from_fn(|lane| number(t * LANES + lane))).collect();
            let mut exact = found.clone();
            accumulate(&weights, &x, &mut found);
            accumulate_plainly(&weights, &x, &mut exact);
            for (found, exact) in found.as_flattened().iter().zip(exact.as_flattened()) {
                assert!((found - exact).abs() < 1e-4, "{n} times {inputs}: {found} not {exact}");
            }
        }
    }
}
