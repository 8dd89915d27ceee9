//! A reply that is paused: it holds its logits, and waits for what the person wants.

use super::super::eager_prefill::answer_measures;
use super::super::protocol::{EngineCommand, EngineEvent, GenerationParams, RequestId, Stepping};
use super::{ActiveReply, RequestError, check, count};
use gibber_engine::generate::{Steer, StepPoint};

/// Whether a reply is paused, and whether it may be.
#[derive(Debug, Default)]
pub(super) struct StepState {
    pub(super) can_be: bool,
    is_paused: bool,
    /// Whether the person was waited for before the last token that was chosen.
    pub(super) has_waited: bool,
    /// How many candidates the person sees.
    candidates: usize,
}

impl StepState {
    pub(super) fn new(params: &GenerationParams) -> Self {
        let GenerationParams { stepping, candidates, .. } = *params;
        let is_paused = stepping == Stepping::FromStart;
        Self { can_be: stepping != Stepping::Off, is_paused, has_waited: false, candidates }
    }
}

impl ActiveReply<'_, '_> {
    /// How the next token is chosen: drawn at once, or, while the reply is paused, as the person says. `None` where
    /// something else has come meanwhile: other filters, a cancel, the end of the thread.
    pub(super) fn next_steer(&mut self, rest: &StepPoint<'_>) -> Option<Steer> {
        if !self.pause.can_be {
            return Some(Steer::Draw);
        }
        self.pause.has_waited = self.pause.is_paused;
        if self.pause.is_paused {
            self.emit_paused(rest);
        }
        let id = self.id;
        loop {
            answer_measures(self.mailbox, self.reader, id);
            if self.pause.is_paused && (self.mailbox.is_cancelled(id) || self.mailbox.has_sampling(id)) {
                return None;
            }
            let is_paused = self.pause.is_paused;
            match self.mailbox.take(|command| concerns(command, id, is_paused)) {
                Some(EngineCommand::Pause { .. }) if !is_paused => {
                    (self.pause.is_paused, self.pause.has_waited) = (true, true);
                    self.emit_paused(rest);
                }
                Some(EngineCommand::Resume { .. }) if is_paused => {
                    self.pause.is_paused = false;
                    self.mailbox.emit(EngineEvent::Resumed { id });
                    return Some(Steer::Draw);
                }
                Some(EngineCommand::Steer { steer, .. }) if is_paused => return Some(steer),
                Some(command) => self.answer(command, rest),
                None if is_paused => self.mailbox.wait(),
                None => return Some(Steer::Draw),
            }
        }
    }

    fn emit_paused(&self, rest: &StepPoint<'_>) {
        if let Some(distribution) = rest.distribution(rest.sampling, self.pause.candidates) {
            let (held_back, context_used) = (rest.held_back(), rest.context_used());
            self.mailbox.emit(EngineEvent::Paused { id: self.id, distribution, held_back, context_used });
        }
    }

    /// Closes a request that needs nothing but what is held.
    fn answer(&self, command: EngineCommand, rest: &StepPoint<'_>) {
        let (id, answer) = match command {
            EngineCommand::Preview { id, sampling, candidates, .. } => {
                let distribution = check(&sampling).map(|()| rest.distribution(&sampling, candidates));
                let event = |distribution| EngineEvent::Distribution { id, distribution };
                (id, distribution.map_err(Into::into).and_then(|found| found.map(event).ok_or(RequestError::NoLogits)))
            }
            EngineCommand::Count { id, prompt, max_tokens } => (id, count(self.reader, id, &prompt, max_tokens)),
            // A pause of a reply that is paused, or a step of one that is not: [`concerns`] lets nothing else through.
            _ => return,
        };
        self.mailbox.emit(answer.unwrap_or_else(|error| EngineEvent::Failed { id, error: error.to_string() }));
    }
}

/// Whether a command is for the reply `id` between two tokens, or can be answered there.
fn concerns(command: &EngineCommand, id: RequestId, is_paused: bool) -> bool {
    match command {
        EngineCommand::Pause { id: of } | EngineCommand::Resume { id: of } | EngineCommand::Steer { id: of, .. } => {
            *of == id
        }
        // Of another reply it waits, as everything else does.
        EngineCommand::Preview { of, .. } => is_paused && of.request == id,
        EngineCommand::Count { .. } => is_paused,
        EngineCommand::Load { .. }
        | EngineCommand::Generate { .. }
        | EngineCommand::Compare { .. }
        | EngineCommand::SetSampling { .. }
        | EngineCommand::Score { .. }
        | EngineCommand::ScorePrompt { .. }
        | EngineCommand::Prefill { .. }
        | EngineCommand::DescribeTemplate { .. }
        | EngineCommand::Measure { .. }
        | EngineCommand::Cancel { .. }
        | EngineCommand::CancelVariant { .. }
        | EngineCommand::Shutdown => false,
    }
}
