//! What a generation tells: each token, why it ended, what it cost.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::TokenId;
use crate::inference::Passes;
use crate::sampling::{Candidate, Dice, SamplingParams};

/// How the next token is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steer {
    /// By the sampling in force.
    Draw,
    /// By a person: this one, whatever the filters say. An id outside the vocabulary is passed over.
    Pick(TokenId),
    /// Not at all: the last token goes. Without effect before the reply's first token.
    TakeBack,
}

/// Why a reply ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinishReason {
    /// The model ended its turn.
    EndOfTurn,
    /// A stop text was met.
    StopString(String),
    /// `max_tokens` was reached.
    Length,
    /// The person stopped it.
    Cancelled,
    /// The context is full, and nothing is left to drop.
    Context,
}

impl FinishReason {
    /// The word of the JSON contract: `stop`, `length`, `cancelled` or `context`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::EndOfTurn | Self::StopString(_) => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
            Self::Context => "context",
        }
    }
}

/// One generated token, and how it came to be chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenTrace {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Its text; empty while a character is split over tokens, the whole character with the last of them.
    pub text: String,
    /// Natural logarithm of its probability in the model's own distribution, before any filter.
    pub logprob: f32,
    /// Entropy of that distribution, in nats.
    pub entropy: f32,
    /// How many tokens are more probable in it: 0 for the most probable.
    pub rank: u32,
    /// Mass of that distribution that the filters kept, 0 to 1; 1 where no candidates were asked for.
    pub kept_mass: f32,
    /// The most probable tokens of that moment, most probable first.
    pub candidates: Vec<Candidate>,
    /// Whether a person picked it; otherwise it was drawn.
    pub picked: bool,
}

/// What a generation cost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GenerationStats {
    /// With those that the cache already held.
    pub prompt_tokens: usize,
    /// Those of them that were in the KV cache already.
    pub reused_tokens: usize,
    /// Tokens of the reply.
    pub completion_tokens: usize,
    /// From the command to the first token.
    pub time_to_first_token: Duration,
    /// What computing the rest of the prompt took.
    pub prefill_time: Duration,
    /// Time from the first token to the last. Where other replies are generated beside it (a lane), what they take on
    /// the way is part of it: it is how long one waits for this reply.
    pub decode_time: Duration,
    /// Time in forward passes after prefill. A pass that lanes share counts for each of them, whole: each waits for it
    /// from its begin to its end.
    pub forward_time: Duration,
    /// Time in sampling: the filters, the draw, and the candidates that are listed.
    pub sample_time: Duration,
    /// Time at rest, while a person chose tokens; part of none of the others.
    pub paused_time: Duration,
    /// Tokens that were guessed by lookup and computed in one pass with the token before them.
    pub drafted_tokens: usize,
    /// Those of them that came true.
    pub accepted_tokens: usize,
    /// The seed that was used, also when it was drawn afresh.
    pub seed: u64,
    /// Each change of sampling: (tokens chosen before it, the filters from then on). The first entry is the start.
    /// Without take-backs the tokens chosen are those of the reply; a token that was taken back counts all the same.
    pub sampling_log: Vec<(usize, SamplingParams)>,
    /// What a person did to the tokens: (tokens chosen before it, a pick or a take-back). With the seed and
    /// `sampling_log` it replays the reply.
    pub steer_log: Vec<(usize, Steer)>,
    /// Tokens of the reply that a person picked.
    pub picked_tokens: usize,
    /// The tokens of the prompt, as a hash.
    pub prompt_hash: u64,
    /// How the prompt was computed. With the seed and both logs it replays the reply bit by bit.
    pub passes: Passes,
}

impl GenerationStats {
    /// Prompt tokens computed a second; 0 where none was.
    pub fn prefill_tokens_per_second(&self) -> f64 {
        rate(self.prompt_tokens.saturating_sub(self.reused_tokens), self.prefill_time)
    }

    /// Tokens generated a second after the first one; 0 where there is no second one.
    pub fn decode_tokens_per_second(&self) -> f64 {
        rate(self.completion_tokens.saturating_sub(1), self.decode_time)
    }
}

/// Where a reply's tokens stand among all that were chosen.
impl GenerationStats {
    /// The place in the reply, from 0, of the first token that was chosen after `chosen` others and has stayed.
    pub fn place_of(&self, chosen: usize) -> usize {
        self.stayed(chosen).partition_point(|&token| token < chosen)
    }

    /// The random numbers that filters had for the last token of the reply.
    pub fn last_dice(&self) -> Dice {
        let last = self.completion_tokens.saturating_sub(1);
        // A token that was taken back makes room for another one.
        let stayed = self.stayed(last + self.steer_log.len());
        Dice::new(self.seed, stayed.get(last).copied().unwrap_or(last) as u64)
    }

    /// The tokens that have stayed, each as the number of those that were chosen before it; up to the one that was chosen
    /// after `chosen` others.
    fn stayed(&self, chosen: usize) -> Vec<usize> {
        let last = self.steer_log.last().map_or(0, |entry| entry.0).max(chosen);
        let mut takes = self.steer_log.iter().filter(|(_, steer)| *steer == Steer::TakeBack).peekable();
        let mut stayed = Vec::with_capacity(last + 1);
        for token in 0..=last {
            while takes.next_if(|(at, _)| *at <= token).is_some() {
                stayed.pop();
            }
            stayed.push(token);
        }
        stayed
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if count == 0 || seconds <= 0.0 { 0.0 } else { count as f64 / seconds }
}
