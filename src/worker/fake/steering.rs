//! A scripted reply that is paused.

use super::{Actor, POLL, Played, Reply, distribution};
use crate::worker::protocol::{EngineCommand, EngineEvent, FinishReason, Steer};

impl Actor {
    /// Between two tokens: looks for a cancel and for commands, and stays here while the reply is paused. A draw speaks
    /// the next token of the script; a pick speaks a candidate, and the script goes on from where it was.
    pub(super) fn rest(&mut self, reply: &mut Reply) -> Played {
        let played = self.check(reply);
        if played != Played::On {
            return played;
        }
        if reply.is_paused {
            self.emit_paused(reply);
        }
        loop {
            let played = self.check(reply);
            if played != Played::On {
                return played;
            }
            if reply.is_paused && std::mem::take(&mut reply.is_reshaped) {
                self.emit_paused(reply);
            }
            let id = reply.id;
            match reply.steers.pop_front() {
                Some(EngineCommand::Pause { .. }) if !reply.is_paused => {
                    reply.is_paused = true;
                    self.emit_paused(reply);
                }
                Some(EngineCommand::Resume { .. }) if reply.is_paused => {
                    reply.is_paused = false;
                    self.emit(EngineEvent::Resumed { id });
                    return Played::On;
                }
                Some(EngineCommand::Steer { steer, .. }) if reply.is_paused => match self.steer(reply, steer) {
                    Some(played) => return played,
                    None => self.emit_paused(reply),
                },
                Some(_) => {}
                None if reply.is_paused => std::thread::sleep(POLL),
                None => return Played::On,
            }
        }
    }

    /// `None` where the reply stays at rest.
    fn steer(&mut self, reply: &mut Reply, steer: Steer) -> Option<Played> {
        match steer {
            Steer::Draw => return Some(Played::On),
            Steer::Pick(token) => {
                let shown = distribution(&reply.sampling, usize::MAX);
                let text = shown.candidates.iter().find(|candidate| candidate.token == token)?.text.clone();
                let played = self.emit_token(reply, token, &text, true);
                return (played == Played::Finished(FinishReason::Length)).then_some(played);
            }
            Steer::TakeBack if reply.stats.completion_tokens == 0 => {}
            Steer::TakeBack => {
                self.context_used -= 1;
                reply.stats.completion_tokens -= 1;
                let (id, tokens) = (reply.id, reply.stats.completion_tokens);
                self.emit(EngineEvent::TakenBack { id, tokens, context_used: self.context_used });
            }
        }
        None
    }

    fn emit_paused(&self, reply: &mut Reply) {
        reply.is_reshaped = false;
        let distribution = distribution(&reply.sampling, reply.candidates);
        let context_used = self.context_used;
        self.emit(EngineEvent::Paused { id: reply.id, distribution, held_back: String::new(), context_used });
    }
}
