//! A reply that is computed again: the same filters and picks at the same places.

use super::super::protocol::{Replay, Steer};
use gibber_engine::{SamplingParams, TokenId};

/// How far it is.
#[derive(Debug)]
pub(super) struct Replaying {
    replay: Replay,
    /// The entries of its logs that come next. The first of the filters is the start.
    sampling: usize,
    step: usize,
    /// Tokens chosen by now, and those emitted.
    chosen: usize,
    emitted: usize,
}

impl Replaying {
    pub(super) fn new(replay: Replay) -> Self {
        Self { replay, sampling: 1, step: 0, chosen: 0, emitted: 0 }
    }

    /// The tokens that it had.
    pub(super) fn recorded(&self) -> &[TokenId] {
        &self.replay.tokens
    }

    /// Whether it takes tokens back.
    pub(super) fn takes_back(&self) -> bool {
        self.replay.steps.iter().any(|(_, step)| *step == Steer::TakeBack)
    }

    /// The filters that were put in force after `chosen` tokens.
    pub(super) fn new_sampling(&mut self, chosen: usize) -> Option<SamplingParams> {
        let mut latest = None;
        while let Some((_, sampling)) = self.replay.sampling.get(self.sampling).filter(|(at, _)| *at <= chosen) {
            latest = Some(sampling.clone());
            self.sampling += 1;
        }
        latest.filter(|sampling| sampling.validate().is_ok())
    }

    /// How the next token was chosen.
    pub(super) fn next_step(&mut self) -> Steer {
        let step = match self.replay.steps.get(self.step) {
            Some((at, step)) if *at <= self.chosen => {
                self.step += 1;
                *step
            }
            _ => Steer::Draw,
        };
        self.chosen += usize::from(step != Steer::TakeBack);
        step
    }

    /// So many tokens are emitted by now.
    pub(super) fn set_emitted(&mut self, tokens: usize) {
        self.emitted = tokens;
    }

    /// One more token is emitted.
    pub(super) fn emitted_one(&mut self) {
        self.emitted += 1;
    }

    /// Whether all of it is computed; of one that ended by itself, whether it has gone on for longer.
    pub(super) fn is_done(&self) -> bool {
        let most = self.replay.tokens.len() + usize::from(self.replay.ends);
        self.step >= self.replay.steps.len() && self.emitted >= most
    }
}
