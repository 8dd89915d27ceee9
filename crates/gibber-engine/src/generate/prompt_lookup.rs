//! Prompt lookup: a reply that repeats what the chat has said before is drafted from there, and the model checks several
//! tokens of the draft in one pass (Saxena 2023, "Prompt Lookup Decoding"; llama.cpp calls it lookup decoding; the check
//! is speculative decoding, Leviathan et al. 2023).
//!
//! The check is stricter than theirs: the sampler draws from each position's logits in order, exactly as it would
//! without a draft, and the draft is right as far as it says what was drawn. So whatever is guessed here, when, and of
//! what length, the reply is the same to the last bit; only its time differs.

mod ngrams;
mod odds;

use serde::{Deserialize, Serialize};

use crate::TokenId;
use crate::inference::{LEAST_GAIN, LONGEST_DRAFT, Pace};
use ngrams::{Match, NgramIndex};
use odds::Odds;

/// Whether tokens of a reply are drafted by prompt lookup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PromptLookup {
    /// Never.
    Off,
    /// Wherever the last tokens stood before and drafts were right often enough, whatever a draft costs on this machine.
    On,
    /// Where the time that passes have taken says that it pays.
    #[default]
    Auto,
}

impl PromptLookup {
    /// What the flags and config.toml call them.
    pub const NAMES: [&str; 3] = ["off", "on", "auto"];

    /// The one of exactly this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::Auto].into_iter().find(|lookup| lookup.as_str() == name)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Auto => "auto",
        }
    }
}

/// What a token more in a pass is taken to cost, in passes of one token, where nobody looks at the clock.
const NOMINAL_COST: f32 = 0.25;

/// Drafts what may come next.
#[derive(Debug)]
pub(super) struct Drafter {
    mode: PromptLookup,
    index: NgramIndex,
    odds: Odds,
    /// The place that the reply follows at present.
    found: Option<Match>,
    /// Tokens taken in.
    seen: usize,
    draft: Vec<TokenId>,
}

impl Drafter {
    /// For at most `context` tokens.
    pub(super) fn new(mode: PromptLookup, context: usize) -> Self {
        let index = NgramIndex::new(if mode == PromptLookup::Off { 0 } else { context });
        Self { mode, index, odds: Odds::new(), found: None, seen: 0, draft: Vec::with_capacity(LONGEST_DRAFT) }
    }

    /// Forgets the tokens: others stand in their place now.
    pub(super) fn restart(&mut self) {
        self.index.clear();
        self.found = None;
        self.seen = 0;
    }

    /// Takes in what `tokens`, the prompt and the reply, has got behind what was taken in before.
    pub(super) fn follow(&mut self, tokens: &[TokenId]) {
        if self.mode == PromptLookup::Off {
            return;
        }
        let followed = self.found.take().filter(|_| tokens.len() == self.seen + 1);
        self.seen = tokens.len();
        self.index.extend(tokens);
        // As long as what was found goes on, nothing longer can be found.
        self.found = match followed {
            Some(found) => {
                let is_right = tokens.last() == Some(&tokens[found.next]);
                self.odds.note(found.length, is_right);
                if is_right { Some(found.one_on()) } else { self.index.longest_match(tokens) }
            }
            None => self.index.longest_match(tokens),
        };
    }

    /// A guess at what comes after `tokens`, which were taken in: at most `most` tokens, none of them one of `eos`;
    /// empty where no guess is worth its cost.
    pub(super) fn draft(&mut self, tokens: &[TokenId], most: usize, eos: &[TokenId], pace: &Pace) -> &[TokenId] {
        self.draft.clear();
        if let Some(found) = self.found {
            let most = most.min(LONGEST_DRAFT);
            let length = match (self.mode, pace.least_gain()) {
                (PromptLookup::Off, _) | (PromptLookup::Auto, None) => 0,
                (PromptLookup::On, _) => {
                    self.best_length(found, most, LEAST_GAIN, |length| 1.0 + NOMINAL_COST * length as f32)
                }
                (PromptLookup::Auto, Some(gain)) => {
                    self.best_length(found, most, gain, |length| pace.relative_cost(1 + length))
                }
            };
            for at in found.next..found.next + length {
                // What is repeated may reach into the draft itself.
                let token = tokens.get(at).copied().unwrap_or_else(|| self.draft[at - tokens.len()]);
                if eos.contains(&token) {
                    break;
                }
                self.draft.push(token);
            }
        }
        &self.draft
    }

    /// The length, up to `most`, that promises the most tokens for their cost; 0 where none promises `least_gain` times as
    /// many as without a draft. `cost(length)` is that of a pass with such a draft, in passes of one token.
    fn best_length(&self, found: Match, most: usize, least_gain: f32, cost: impl Fn(usize) -> f32) -> usize {
        let (mut best, mut best_gain) = (0, least_gain);
        let (mut tokens, mut chance) = (1.0, 1.0);
        for length in 1..=most {
            chance *= self.odds.of(found.length + length - 1);
            tokens += chance;
            let gain = tokens / cost(length);
            if gain > best_gain {
                (best, best_gain) = (length, gain);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests;
