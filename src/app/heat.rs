//! The heat map: how sure the model was of each token, shown in the conversation.

use super::Chance;
use crate::settings::Heat;

/// Bounds of the levels of probability, from the least sure on: below the first is level 0.
pub const PROBABILITIES: [f32; 4] = [0.02, 0.1, 0.4, 0.8];

/// The greatest ranks of the levels, from the surest on, counted from 1: a rank beyond the last is level 0.
pub const RANKS: [u32; 4] = [1, 2, 5, 10];

/// Bounds of the levels of entropy in nats, from the surest on: above the last is level 0.
pub const ENTROPIES: [f32; 4] = [0.4, 1.2, 2.5, 4.0];

impl Heat {
    /// How sure of a token the model was by this measure, from 0 to 4.
    pub fn level(self, chance: Chance) -> usize {
        let beyond = match self {
            Self::Off => 0,
            Self::Probability => {
                let probability = chance.logprob.exp();
                return PROBABILITIES.iter().filter(|&&bound| probability >= bound).count();
            }
            Self::Rank => RANKS.iter().filter(|&&most| chance.rank >= most).count(),
            Self::Entropy => ENTROPIES.iter().filter(|&&bound| chance.entropy > bound).count(),
        };
        RANKS.len() - beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_measure_has_its_levels() {
        let of = |heat: Heat, probability: f32, rank: u32, entropy: f32| {
            heat.level(Chance { logprob: probability.ln(), entropy, rank })
        };
        let probabilities = [0.001, 0.05, 0.2, 0.5, 0.95].map(|p| of(Heat::Probability, p, 0, 9.0));
        assert_eq!(probabilities, [0, 1, 2, 3, 4]);
        let ranks = [10, 9, 5, 4, 2, 1, 0];
        assert_eq!(ranks.map(|rank| of(Heat::Rank, 0.5, rank, 1.0)), [0, 1, 1, 2, 2, 3, 4]);
        assert_eq!([5.0, 3.0, 2.0, 1.0, 0.1].map(|e| of(Heat::Entropy, 0.5, 0, e)), [0, 1, 2, 3, 4]);
    }
}
