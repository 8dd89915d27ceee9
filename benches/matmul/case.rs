//! What is multiplied, and whether a result is right.

use std::fmt;

/// `tokens` inputs of `inputs` values times a matrix with `outputs` columns. There are several copies of the matrix, used
/// in turn: a model's layers follow each other, so that none is still in the cache when its next token comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    pub inputs: usize,
    pub outputs: usize,
    pub tokens: usize,
    pub copies: usize,
}

impl Case {
    /// The form in which processes tell each other about it.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<usize> = text.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [inputs, outputs, tokens, copies] = numbers[..] else { return None };
        Some(Self { inputs, outputs, tokens, copies })
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.inputs, self.outputs, self.tokens, self.copies)
    }
}

/// The numbers of a case: the same in every process.
#[derive(Debug)]
pub struct Data {
    pub case: Case,
    /// `(copies, inputs, outputs)`, row-major as GPT-2's files are.
    pub weights: Vec<Vec<f32>>,
    /// `(tokens, inputs)`
    pub x: Vec<f32>,
}

impl Data {
    pub fn new(case: Case) -> Self {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let weights = (0..case.copies).map(|_| random.floats(case.inputs * case.outputs)).collect();
        Self { case, weights, x: random.floats(case.tokens * case.inputs) }
    }

    /// The copy that [`Self::check`] looks at.
    pub fn checked_copy(&self) -> usize {
        self.case.copies - 1
    }

    /// Compares `out` `(tokens, outputs)`, the product with [`Self::checked_copy`], with sums in double precision: the
    /// first token and the last. `weights` are those that were really multiplied, where they are not the case's own.
    ///
    /// # Errors
    /// How far it is off, where the error's root mean square is more than `tolerance` times that of the product.
    pub fn check(&self, out: &[f32], weights: Option<&[f32]>, tolerance: f64) -> Result<(), String> {
        let Case { inputs, outputs, tokens, .. } = self.case;
        let weights = weights.unwrap_or(&self.weights[self.checked_copy()]);
        let (mut error, mut size) = (0.0, 0.0);
        for token in [0, tokens - 1] {
            let mut exact = vec![0.0; outputs];
            for (x, row) in self.x[token * inputs..][..inputs].iter().zip(weights.chunks_exact(outputs)) {
                exact.iter_mut().zip(row).for_each(|(sum, w)| *sum += f64::from(*x) * f64::from(*w));
            }
            for (found, exact) in out[token * outputs..][..outputs].iter().zip(exact) {
                error += (f64::from(*found) - exact).powi(2);
                size += exact * exact;
            }
        }
        let off = (error / size).sqrt();
        if off <= tolerance { Ok(()) } else { Err(format!("off by {off:.1e}, where {tolerance:.0e} is allowed")) }
    }
}

/// Xorshift (Marsaglia 2003).
struct Random(u64);

impl Random {
    /// Within ±0.5.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }
}
