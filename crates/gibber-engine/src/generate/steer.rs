//! A reply that a person steers: at rest between two tokens, a token of their own, the last one taken back.

use super::hold_back::HoldBack;
use super::trace::Steer;
use super::{Inference, Reply, lap};
use crate::sampling::{Dice, Distribution, SamplingParams, Situation, distribution};
use crate::tokenizer::Tokenizer;

/// A reply between two tokens, while it is not computed.
#[derive(Debug)]
pub struct StepPoint<'a> {
    inference: &'a Inference,
    tokenizer: &'a Tokenizer,
    hold: &'a HoldBack,
    /// The random numbers of the next token.
    dice: Dice,
    /// The filters in force.
    pub sampling: &'a SamplingParams,
    /// Tokens chosen so far that are part of the reply, told or not.
    pub tokens: usize,
}

impl StepPoint<'_> {
    /// The distribution of the next token under these filters, with its `n` most probable tokens; `None` where the model
    /// has computed none. At rest it always has: logits that are no numbers end the reply before.
    pub fn distribution(&self, sampling: &SamplingParams, n: usize) -> Option<Distribution> {
        let text_of = |token| self.tokenizer.piece(token);
        let logits = self.inference.logits()?;
        let (history, vocabulary, dice) = (self.inference.held(), self.tokenizer, self.dice);
        distribution(logits, &Situation { history, vocabulary, dice }, sampling, n, text_of)
    }

    /// The text of the tokens that are not told yet: it may become a stop text, or is part of a character.
    pub fn held_back(&self) -> String {
        self.hold.waiting()
    }

    /// Tokens in the cache.
    pub fn context_used(&self) -> usize {
        self.inference.held().len()
    }
}

impl Reply<'_> {
    /// Asks how to go on. The time that takes is a person's where one was waited for; otherwise it is what comes in between
    /// two tokens, and no part of the reply's.
    pub(super) fn steer(&mut self) -> Option<Steer> {
        let rest = StepPoint {
            inference: self.inference,
            tokenizer: self.tokenizer,
            hold: &self.hold,
            dice: self.sampler.dice(),
            sampling: self.sampler.params(),
            tokens: self.sequence.len() - self.prompt,
        };
        let steer = self.control.steer(&rest);
        let took = lap(&mut self.lap);
        if self.control.has_waited() {
            self.stats.paused_time += took;
        }
        steer
    }

    /// Keeps the logits after the prompt. Computed again they would differ in their last bits, since a prompt is computed
    /// many tokens at a time.
    pub(super) fn keep_first_logits(&mut self) {
        if let Some(logits) = self.inference.logits().filter(|_| self.control.may_take_back()) {
            self.first_logits.extend_from_slice(logits);
        }
    }

    /// The last token goes: from the cache, and from what was told where its text is certain no more.
    pub(super) fn take_back(&mut self) {
        if self.traces.pop().is_none() {
            return;
        }
        self.sequence.pop();
        self.stats.steer_log.push((self.chosen, Steer::TakeBack));
        let length = self.sequence.len();
        if length == self.prompt && !self.first_logits.is_empty() {
            self.inference.return_to(length, &self.first_logits);
        } else {
            // The token before it is computed once more, for its logits.
            self.inference.truncate(length - 1);
        }
        self.drafter.restart();
        self.hold_again();
        let emitted = self.stats.completion_tokens;
        self.control.on_taken_back(emitted, self.prompt + emitted);
    }

    /// Holds the tokens back that are not certain by those before them: those that have left since stay told.
    fn hold_again(&mut self) {
        let decoder = self.tokenizer.decode_stream(&self.sequence[..self.prompt]);
        self.hold = HoldBack::new(decoder, &self.options.stop.texts);
        (self.stats.completion_tokens, self.stats.picked_tokens) = (0, 0);
        for trace in &self.traces {
            self.hold.push(trace.clone(), self.tokenizer.token_bytes(trace.token));
            while let Some(emitted) = self.hold.next_certain() {
                self.stats.completion_tokens += 1;
                self.stats.picked_tokens += usize::from(emitted.picked);
            }
        }
    }
}
