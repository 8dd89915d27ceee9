//! Activations as whole numbers: what a quantized weight is multiplied with.
//!
//! Eight bits, as other engines take them, put an error of half a percent on each step; it changes which of two close
//! candidates wins. Here a value takes sixteen bits, split over two bytes, each of which is multiplied by the same
//! instruction: the weights are read from memory once, and memory is what the time goes into.
//!
//! A long prompt is bound by multiplications, not by memory. There one byte is enough for most matrices: an error in one
//! of hundreds of positions is averaged out by attention, and it is not the position whose candidates are compared.
pub use super::block::{BLOCK, Block, HIGH};
pub(super) use super::block::{STEP, STEPS};
use super::isa::Isa;
use super::sum_tables::SumTables;
use super::vector;

/// A vector in blocks of [`BLOCK`] values.
#[derive(Debug, Default, Clone)]
pub struct QuantizedVector {
    blocks: Vec<Block>,
    /// What weights of few bits can make of them, where that was asked for.
    sums: SumTables,
}

impl QuantizedVector {
    /// Takes over `x`, whose length is a whole number of blocks, for the kernels of `isa`; keeps its memory.
    pub fn assign(&mut self, isa: Isa, x: &[f32]) {
        // The kernels of AVX2 alone read the pairs.
        self.assign_for(matches!(isa, Isa::Avx2(_)), x);
    }

    fn assign_for(&mut self, with_pairs: bool, x: &[f32]) {
        debug_assert!(x.len().is_multiple_of(BLOCK));
        self.sums.clear();
        self.blocks.resize(x.len() / BLOCK, Block::ZERO);
        vector::quantize_blocks(x, with_pairs, &mut self.blocks);
    }

    /// Has the tables of sums ready, for products that look them up.
    pub(super) fn prepare_sums(&mut self, isa: Isa) {
        self.sums.prepare(isa, &self.blocks);
    }

    /// The tables of sums, for each block one after another, and what their numbers count; none where they were not prepared.
    #[cfg(any(test, target_arch = "x86_64"))]
    pub(super) fn sums(&self) -> (&[super::sum_tables::SumTable], &[f32]) {
        self.sums.get()
    }

    /// As [`Self::assign`], for the kernels of every instruction set.
    #[cfg(test)]
    pub(super) fn assign_for_all(&mut self, x: &[f32]) {
        self.assign_for(true, x);
        self.prepare_sums(Isa::active());
    }

    /// One for each [`BLOCK`] values, in order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The values it stands for.
    pub fn to_f32(&self) -> Vec<f32> {
        self.blocks.iter().flat_map(|block| (0..BLOCK).map(|i| block.whole(i) as f32 * block.scale)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_to_half_a_step_and_sums_are_exact() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut quantized = QuantizedVector { blocks: vec![Block::ZERO; 3], ..QuantizedVector::default() };
        vector::quantize_blocks(&x, true, &mut quantized.blocks);
        for (i, (found, exact)) in quantized.to_f32().iter().zip(&x).enumerate() {
            let step = quantized.blocks()[i / BLOCK].scale;
            assert!((found - exact).abs() <= step * 0.5001, "element {i}: {found} instead of {exact}, step {step}");
        }
        for block in quantized.blocks() {
            let half = |half: usize| (16 * half..16 * (half + 1)).map(|i| block.whole(i)).sum::<i32>();
            assert_eq!(block.sums, [half(0), half(1)]);
            let pairs = (0..BLOCK).map(|i| block.whole(i / 4 * 4 + [0, 2, 1, 3][i % 4]) as i16);
            assert!(pairs.eq(block.pairs), "{block:?}");
            assert!(block.low.iter().all(|low| *low != -128), "{block:?}");
        }
    }

    #[test]
    fn the_largest_value_is_kept_and_fits() {
        let mut quantized = QuantizedVector::default();
        quantized.assign(Isa::active(), &[[-7.5; BLOCK / 2], [7.5; BLOCK / 2]].concat());
        assert_eq!((quantized.blocks()[0].high[0], quantized.blocks()[0].low[0]), (-127, 0));
        assert!(quantized.to_f32().iter().all(|v| (v.abs() - 7.5).abs() < 1e-5));
    }

    #[test]
    fn a_block_of_zeros_and_one_of_tiny_values_stay_finite() {
        let mut x = vec![0.0; 64];
        x[40] = 1e-42;
        let mut quantized = QuantizedVector::default();
        quantized.assign(Isa::active(), &x);
        assert!(quantized.to_f32().iter().all(|v| v.is_finite() && v.abs() <= 1e-41));
    }
}
