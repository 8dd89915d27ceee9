//! The model's own distribution in three numbers, in one vectorized pass over the logits.

/// Lanes that the compiler turns into vector registers.
const LANES: usize = 16;

/// Logits added up in f32 before the sums go on in f64: 64 additions a lane cost no more than 1e-6 of accuracy.
const BLOCK: usize = 64 * LANES;

/// Below this, `e^x` is 0 here: 1e-38 of the most probable token.
const LEAST_EXPONENT: f32 = -87.0;

/// Maximum, normalizer and entropy of `softmax(logits)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogSoftmaxStats {
    /// The greatest logit; negative infinity where none is a number greater than that.
    pub max: f32,
    /// `ln Σ e^logit`: a logit minus this is the log-probability of its token.
    pub log_sum_exp: f32,
    /// Of the distribution, in nats.
    pub entropy: f32,
}

impl LogSoftmaxStats {
    /// The log-probability of a token with this logit, in nats.
    pub fn log_probability(&self, logit: f32) -> f32 {
        finite(logit) - self.log_sum_exp
    }

    /// The probability of a token with this logit.
    pub fn probability(&self, logit: f32) -> f32 {
        exp(self.log_probability(logit))
    }
}

/// Maximum, normalizer and entropy of `softmax(logits)`, to 1e-5. A logit that is not a number counts as negative
/// infinity, one of positive infinity as the greatest finite number.
pub fn log_softmax_stats(logits: &[f32]) -> LogSoftmaxStats {
    let max = maximum(logits);
    if max == f32::NEG_INFINITY {
        return LogSoftmaxStats { max, log_sum_exp: max, entropy: 0.0 };
    }
    // With d = logit - max: S = Σ e^d, and the entropy is ln S - Σ d e^d / S.
    let (mut mass, mut weighted) = (0f64, 0f64);
    for block in logits.chunks(BLOCK) {
        let (m, w) = block_sums(block, max);
        mass += f64::from(m);
        weighted += f64::from(w);
    }
    let log_mass = mass.ln();
    let log_sum_exp = (f64::from(max) + log_mass) as f32;
    LogSoftmaxStats { max, log_sum_exp, entropy: (log_mass - weighted / mass).max(0.0) as f32 }
}

fn maximum(logits: &[f32]) -> f32 {
    let chunks = logits.chunks_exact(LANES);
    let rest = chunks.remainder();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = greater(*lane, logit);
        }
    }
    finite(lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, &logit| greater(max, logit)))
}

/// The greater one; `max` where `logit` is not a number.
#[inline(always)]
fn greater(max: f32, logit: f32) -> f32 {
    if logit > max { logit } else { max }
}

/// Positive infinity becomes the greatest finite number.
#[inline(always)]
fn finite(logit: f32) -> f32 {
    if logit > f32::MAX { f32::MAX } else { logit }
}

/// `(Σ e^d, Σ d e^d)` with `d = logit - max`.
fn block_sums(block: &[f32], max: f32) -> (f32, f32) {
    let chunks = block.chunks_exact(LANES);
    let rest = chunks.remainder();
    let (mut mass, mut weighted) = ([0.0; LANES], [0.0; LANES]);
    for chunk in chunks {
        for l in 0..LANES {
            let (e, ed) = terms(chunk[l], max);
            mass[l] += e;
            weighted[l] += ed;
        }
    }
    for (l, &logit) in rest.iter().enumerate() {
        let (e, ed) = terms(logit, max);
        mass[l] += e;
        weighted[l] += ed;
    }
    (mass.iter().sum(), weighted.iter().sum())
}

#[inline(always)]
fn terms(logit: f32, max: f32) -> (f32, f32) {
    let difference = finite(logit) - max;
    // Also where the difference is not a number.
    let d = if difference > LEAST_EXPONENT { difference } else { LEAST_EXPONENT };
    let e = exp(d);
    (e, d * e)
}

/// `e^x` for `x <= 88` to 2 units in the last place, without a call and without a fused multiply-add, so that the same
/// logits give the same draw on every machine: `2^n · e^r` with `|r| <= ln 2 / 2` and a polynomial of degree 6
/// (coefficients of the Cephes library's `expf`). It is 0 from -87 down.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and taking away 1.5 * 2^23 rounds to the nearest whole number.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(LEAST_EXPONENT, 88.0);
    let rounded = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    p = p * (r * r) + (r + 1.0);
    // The low bits of `rounded` are the whole number: moved into the exponent's place they are 2^n.
    let scale = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
    if x > LEAST_EXPONENT { p * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same in f64 with the library's exponential.
    fn reference(logits: &[f32]) -> (f64, f64) {
        let max = logits.iter().fold(f64::NEG_INFINITY, |m, &l| m.max(f64::from(l)));
        let exps: Vec<f64> = logits.iter().map(|&l| (f64::from(l) - max).exp()).collect();
        let mass: f64 = exps.iter().sum();
        let entropy = exps.iter().map(|e| e / mass).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum();
        (max + mass.ln(), entropy)
    }

    /// Numbers that look like a model's logits: a wide bell and a few that stand out.
    fn logits(n: usize, spread: f32) -> Vec<f32> {
        let mut state = 12345u32;
        let mut uniform = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32
        };
        (0..n).map(|_| (uniform() + uniform() + uniform() + uniform() - 2.0) * spread).collect()
    }

    #[test]
    fn agrees_with_f64_at_every_size_and_spread() {
        for n in [1, 2, 15, 16, 17, 1023, 1024, 1025, 49_152, 50_257] {
            for spread in [0.0, 0.1, 3.0, 20.0, 400.0] {
                let logits = logits(n, spread);
                let stats = log_softmax_stats(&logits);
                let (log_sum_exp, entropy) = reference(&logits);
                let tolerance = 1e-5 * log_sum_exp.abs().max(1.0);
                assert!((f64::from(stats.log_sum_exp) - log_sum_exp).abs() < tolerance, "n {n} spread {spread}");
                assert!((f64::from(stats.entropy) - entropy).abs() < 1e-5 * entropy.max(1.0), "n {n} spread {spread}");
            }
        }
    }

    #[test]
    fn what_is_not_a_number_weighs_nothing() {
        let stats = log_softmax_stats(&[1.0, f32::NAN, f32::NEG_INFINITY, 1.0]);
        assert_eq!(stats.max, 1.0);
        assert!((stats.log_sum_exp - (1.0 + 2f32.ln())).abs() < 1e-6);
        assert!((stats.entropy - 2f32.ln()).abs() < 1e-6);
        assert_eq!(stats.probability(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn infinity_takes_everything() {
        let stats = log_softmax_stats(&[3.0, f32::INFINITY, 3.0]);
        assert_eq!((stats.entropy, stats.probability(f32::INFINITY), stats.probability(3.0)), (0.0, 1.0, 0.0));
    }

    #[test]
    fn nothing_at_all_has_no_maximum() {
        for none in [&[][..], &[f32::NAN], &[f32::NEG_INFINITY; 40]] {
            assert_eq!(log_softmax_stats(none).max, f32::NEG_INFINITY);
        }
    }

    #[test]
    fn the_exponential_is_exact_to_a_millionth_over_its_whole_range() {
        for i in -8690..8800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) - exact).abs() <= 5e-7 * exact, "e^{x}");
        }
        assert_eq!((exp(0.0), exp(-87.0), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
    }
}
