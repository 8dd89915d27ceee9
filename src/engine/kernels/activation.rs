//! Activations in 8 bits: what a quantized weight is multiplied with.

/// Values a block; the quantized weight formats have blocks of the same size.
pub const BLOCK: usize = 32;

/// A vector as signed bytes with a scale for each block of [`BLOCK`]: `x[i] ≈ scale[i / 32] · quant[i]`.
#[derive(Debug, Default, Clone)]
pub struct QuantizedVector {
    /// One byte a value, within ±127.
    pub quants: Vec<i8>,
    /// One scale a block.
    pub scales: Vec<f32>,
    /// One sum of the block's bytes each: what a weight's offset is multiplied with.
    pub sums: Vec<i32>,
}

impl QuantizedVector {
    /// Takes over `x`, whose length is a whole number of blocks; keeps its memory.
    pub fn assign(&mut self, x: &[f32]) {
        debug_assert!(x.len().is_multiple_of(BLOCK));
        self.quants.resize(x.len(), 0);
        self.scales.resize(x.len() / BLOCK, 0.0);
        self.sums.resize(x.len() / BLOCK, 0);
        super::vector::quantize_blocks(x, &mut self.quants, &mut self.scales, &mut self.sums);
    }

    /// Values it holds.
    pub fn len(&self) -> usize {
        self.quants.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.quants.is_empty()
    }

    /// The values it stands for.
    pub fn to_f32(&self) -> Vec<f32> {
        let value = |(i, &q): (usize, &i8)| f32::from(q) * self.scales[i / BLOCK];
        self.quants.iter().enumerate().map(value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_to_half_a_step_and_sums_are_exact() {
        let x: Vec<f32> = (0..96).map(|i| ((i * 37 % 64) as f32 - 31.5) * 0.3f32.powi(i / 32)).collect();
        let mut quantized = QuantizedVector::default();
        quantized.assign(&x);
        for (i, (found, exact)) in quantized.to_f32().iter().zip(&x).enumerate() {
            let step = quantized.scales[i / BLOCK];
            assert!((found - exact).abs() <= step * 0.5001, "element {i}: {found} instead of {exact}, step {step}");
        }
        for (block, &sum) in quantized.quants.chunks(BLOCK).zip(&quantized.sums) {
            assert_eq!(sum, block.iter().map(|&q| i32::from(q)).sum::<i32>());
        }
    }

    #[test]
    fn a_block_of_zeros_and_one_of_tiny_values_stay_finite() {
        let mut x = vec![0.0; 64];
        x[40] = 1e-42;
        let mut quantized = QuantizedVector::default();
        quantized.assign(&x);
        assert!(quantized.to_f32().iter().all(|v| v.is_finite() && v.abs() <= 1e-41));
    }
}
