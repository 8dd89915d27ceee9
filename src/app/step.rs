//! A reply token by token: the person pauses it, picks what comes next, and takes tokens back.

use super::open_chat::{Holds, OpenChat};
use super::{Effect, Moment};
use crate::worker::protocol::{Distribution, EngineCommand, Steer};
use gibber_engine::TokenId;

/// Why nothing is picked while a step is being taken.
const UNSETTLED: &str = "the next candidates are still being computed: pick once they are there";

/// What a person does to a reply that is paused, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Pauses it, or lets it go on.
    TogglePause,
    /// Lets it go on.
    GoOn,
    /// Takes the candidate of this place in the list of the token to come, from 0.
    Pick(usize),
    /// Has one token drawn by the sampling in force.
    Draw,
    /// Takes the last token back.
    TakeBack,
}

/// Whether a running reply waits for the person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Pause {
    /// It runs.
    #[default]
    No,
    /// It was asked to wait.
    Asked,
    /// It waits.
    Yes {
        /// The text of tokens that were chosen and not told yet: it may become a stop text, or is part of a character.
        held_back: String,
        /// Whether what is on screen is what it waits with; not while a step is being taken.
        is_settled: bool,
    },
}

impl OpenChat {
    /// What the person does to the running reply.
    pub(super) fn step(&mut self, step: Step, now: Moment) -> Vec<Effect> {
        let Some(generation) = self.generation.as_mut().filter(|generation| !generation.stopping) else {
            if step == Step::TogglePause {
                self.set_hint("no reply is running: with /step on each begins paused");
            }
            return Vec::new();
        };
        let id = generation.id;
        let is_paused = matches!(generation.pause, Pause::Yes { .. });
        let is_settled = matches!(generation.pause, Pause::Yes { is_settled: true, .. });
        let command = match step {
            Step::TogglePause if generation.pause == Pause::No => {
                generation.pause = Pause::Asked;
                EngineCommand::Pause { id }
            }
            Step::TogglePause | Step::GoOn if generation.pause == Pause::Asked || is_paused => {
                generation.pause = Pause::No;
                generation.clock.go_on(now.at);
                EngineCommand::Resume { id }
            }
            Step::Pick(place) if is_settled => match self.candidate_at(place) {
                Some(token) => EngineCommand::Steer { id, steer: Steer::Pick(token) },
                None => {
                    self.set_hint(format!("there is no candidate {}", place + 1));
                    return Vec::new();
                }
            },
            // Of a list that is about to change nothing is picked: the person would not have seen it.
            Step::Pick(_) if is_paused => {
                self.set_hint_that(Holds::WhileUnsettled, UNSETTLED);
                return Vec::new();
            }
            Step::Draw if is_paused => EngineCommand::Steer { id, steer: Steer::Draw },
            Step::TakeBack if is_paused => EngineCommand::Steer { id, steer: Steer::TakeBack },
            Step::TogglePause | Step::GoOn | Step::Pick(_) | Step::Draw | Step::TakeBack => return Vec::new(),
        };
        if let (EngineCommand::Steer { .. }, Some(generation)) = (&command, self.generation.as_mut())
            && let Pause::Yes { is_settled, .. } = &mut generation.pause
        {
            *is_settled = false;
            generation.clock.go_on(now.at);
        }
        vec![Effect::Submit(command)]
    }

    /// The candidate of this place in the list of the token to come.
    fn candidate_at(&self, place: usize) -> Option<TokenId> {
        let next = self.next_token().filter(|next| next.chosen.is_none())?;
        next.candidates.get(place).map(|candidate| candidate.token)
    }

    pub(super) fn on_paused(
        &mut self,
        distribution: Distribution,
        held_back: String,
        context_used: usize,
        now: Moment,
    ) {
        self.context_used = context_used;
        if let Some(generation) = self.generation.as_mut() {
            generation.pause = Pause::Yes { held_back, is_settled: true };
            generation.clock.stop(now.at);
            generation.to_come = Some(distribution);
        }
    }

    pub(super) fn on_resumed(&mut self, now: Moment) {
        if let Some(generation) = self.generation.as_mut() {
            generation.pause = Pause::No;
            generation.clock.go_on(now.at);
            generation.to_come = None;
        }
    }

    /// Of the tokens of this reply only the first `left` are part of it any more.
    pub(super) fn on_taken_back(&mut self, left: usize, now: Moment) {
        let Some(generation) = self.generation.as_mut() else { return };
        let gone = generation.tokens.saturating_sub(left);
        generation.tokens = generation.tokens.min(left);
        generation.keep_changes_within(left);
        let Some(message) = generation.message.filter(|_| gone > 0) else { return };
        generation.unsaved_since.get_or_insert(now.at);
        let taken = self.replies.take_back(message, gone);
        generation.picked -= taken.iter().filter(|token| token.trace.picked).count().min(generation.picked);
        let bytes: usize = taken.iter().map(|token| token.trace.text.len()).sum();
        let length = self.session.transcript.node(message).map_or(0, |node| node.message.content.len());
        self.session.transcript.truncate_text(message, length.saturating_sub(bytes));
    }
}
