//! The seeded draw, and the same distribution shown without one.

use std::hash::{BuildHasher, Hasher, RandomState};

use rand_pcg::Pcg32;
use rand_pcg::rand_core::Rng;

use super::chain::{Chain, Fate, TokenLogit, select_top};
use super::stats::{LogSoftmaxStats, log_softmax_stats, rank_of};
use super::{Candidate, Dice, Distribution, SamplingParams, Situation, Vocabulary};
use crate::TokenId;

/// Which of the generator's sequences is used: the default of the PCG library.
const STREAM: u64 = 0x0a02_bdbf_7bb3_c0a7;

/// A token that was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Natural logarithm of its probability in the model's own distribution.
    pub logprob: f32,
    /// Entropy of that distribution, in nats.
    pub entropy: f32,
    /// How many tokens are more probable in it.
    pub rank: u32,
}

/// Chooses tokens: the chain of filters, then a draw with its own generator.
///
/// # The sequence of a seed
/// The generator is PCG32 (`pcg32_srandom(seed, STREAM)` of the reference implementation). Each call of
/// [`Sampler::draw`] (and of [`Sampler::take`]) takes one 64-bit number from it, also at temperature 0, so that the n-th token of a reply always
/// meets the n-th number, whatever the filters were before. Its upper 53 bits are a fraction `u` of 1, and the token is
/// the first one, in the order of ids, at which the running sum of the probabilities exceeds `u`. Nothing else is
/// random but what filters draw from the [`Dice`] of the same seed: the same logits, parameters and seed give the same
/// tokens.
#[derive(Debug)]
pub struct Sampler {
    params: SamplingParams,
    generator: Pcg32,
    /// Those of the next token.
    dice: Dice,
    chain: Chain,
    stats: LogSoftmaxStats,
    /// The most probable tokens, in the making.
    top: Vec<TokenLogit>,
}

impl Sampler {
    /// A sampler at the start of `seed`'s sequence. `params.seed` is not looked at: see [`fresh_seed`].
    pub fn new(params: SamplingParams, seed: u64) -> Self {
        let stats = log_softmax_stats(&[]);
        let (generator, dice) = (Pcg32::new(seed, STREAM), Dice::new(seed, 0));
        Self { params, generator, dice, chain: Chain::default(), stats, top: Vec::new() }
    }

    /// The filters in use.
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// The random numbers of the next token, for filters that draw some.
    pub fn dice(&self) -> Dice {
        self.dice
    }

    /// Changes the filters from the next draw on. The generator goes on where it is: a new seed is for a new reply.
    pub fn set_params(&mut self, params: SamplingParams) {
        self.params = params;
    }

    /// Chooses the next token. `history` is the prompt and the reply so far. `None` where a logit is NaN or positive
    /// infinity, or all are negative infinity.
    pub fn draw(&mut self, logits: &[f32], history: &[TokenId], vocabulary: &dyn Vocabulary) -> Option<Draw> {
        let fraction = (self.generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        self.shape_next(logits, history, vocabulary)?;
        let token = self.pick(fraction)?;
        Some(self.drawn(token, logits))
    }

    /// Takes a token that somebody else has chosen, in the place of a draw: it meets a number too, so that the draws
    /// after it meet theirs. `None` as for a draw.
    pub fn take(
        &mut self,
        token: TokenId,
        logits: &[f32],
        history: &[TokenId],
        vocabulary: &dyn Vocabulary,
    ) -> Option<Draw> {
        self.generator.next_u64();
        self.shape_next(logits, history, vocabulary)?;
        Some(self.drawn(token, logits))
    }

    fn drawn(&self, token: TokenId, logits: &[f32]) -> Draw {
        let logprob = self.stats.log_probability(logits[token as usize]);
        Draw { token, logprob, entropy: self.stats.entropy, rank: rank_of(logits, token) }
    }

    /// The `n` most probable tokens of the model's own distribution at the last [`Sampler::draw`], most probable first,
    /// and what the filters made of each. `logits` are those of that draw; `text_of` gives a token's text.
    pub fn candidates(&mut self, logits: &[f32], n: usize, text_of: impl Fn(TokenId) -> String) -> Vec<Candidate> {
        rank_top(logits, n, &mut self.top);
        let candidate = |entry: &TokenLogit| {
            let (after, cut_by) = match self.chain.fate(entry.token) {
                Fate::Kept(probability) => (probability, None),
                Fate::Cut(filter) => (0.0, filter),
            };
            let before = self.stats.probability(entry.logit);
            Candidate { token: entry.token, text: text_of(entry.token), before, after, cut_by }
        };
        self.top.iter().map(candidate).collect()
    }

    /// Runs the filters for the next token.
    fn shape_next(&mut self, logits: &[f32], history: &[TokenId], vocabulary: &dyn Vocabulary) -> Option<()> {
        let next = self.dice.next();
        let dice = std::mem::replace(&mut self.dice, next);
        self.shape(logits, &Situation { history, vocabulary, dice })
    }

    /// `None` where the logits are no distribution.
    fn shape(&mut self, logits: &[f32], situation: &Situation<'_>) -> Option<()> {
        self.stats = log_softmax_stats(logits);
        self.stats.are_numbers().then(|| self.chain.run(logits, &self.params, situation))
    }

    fn pick(&self, fraction: f64) -> Option<TokenId> {
        let mut sum = 0f64;
        let mut last = None;
        for (token, weight) in self.chain.kept() {
            sum += f64::from(weight);
            if fraction < sum {
                return Some(token);
            }
            // Rounding may leave the sum a little short of 1.
            if weight > 0.0 {
                last = Some(token);
            }
        }
        last
    }

    /// Mass of the model's own distribution that is kept.
    pub fn kept_mass(&self, logits: &[f32]) -> f32 {
        let mass = |(token, _)| f64::from(self.stats.probability(logits[token as usize]));
        (self.chain.kept().map(mass).sum::<f64>() as f32).min(1.0)
    }
}

/// The distribution that [`Sampler::draw`] would draw from in this situation, with the `n` most probable tokens; `None` as
/// for a draw.
pub fn distribution(
    logits: &[f32],
    situation: &Situation<'_>,
    params: &SamplingParams,
    n: usize,
    text_of: impl Fn(TokenId) -> String,
) -> Option<Distribution> {
    let mut sampler = Sampler::new(params.clone(), 0);
    sampler.shape(logits, situation)?;
    let candidates = sampler.candidates(logits, n, text_of);
    Some(Distribution { entropy: sampler.stats.entropy, kept_mass: sampler.kept_mass(logits), candidates })
}

/// The `n` most probable tokens of the model's own distribution, most probable first, with nothing filtered; `stats` are
/// those of `logits`.
pub fn most_probable(
    logits: &[f32],
    stats: &LogSoftmaxStats,
    n: usize,
    text_of: impl Fn(TokenId) -> String,
) -> Vec<Candidate> {
    let mut top = Vec::new();
    rank_top(logits, n, &mut top);
    let candidate = |entry: &TokenLogit| {
        let probability = stats.probability(entry.logit);
        let (token, text) = (entry.token, text_of(entry.token));
        Candidate { token, text, before: probability, after: probability, cut_by: None }
    };
    top.iter().map(candidate).collect()
}

/// The `n` tokens of the greatest logits, the greatest first; of equal ones the lowest id.
fn rank_top(logits: &[f32], n: usize, top: &mut Vec<TokenLogit>) {
    select_top(logits, n.min(logits.len()), top);
    top.sort_unstable_by(|a, b| b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token)));
}

/// A seed that nobody chose: 32 bits, so that it is quickly typed again.
pub fn fresh_seed() -> u64 {
    drawn() >> 32
}

/// A number that nobody can foresee, drawn afresh with each call: the standard library keys its hash maps from the
/// system's random numbers.
pub fn drawn() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
