//! The scripted worker's scores of a prompt.

use super::{Actor, EngineEvent, POLL, Prompt, RequestId, SamplingParams, TokenId, distribution, words};
use crate::chat::Message;
use crate::worker::protocol::{PromptToken, TokenScore};

impl Actor {
    /// Scores the words of each message, with a mark of the template before it; where scoring is held, after half the
    /// way and a word from the test.
    pub(super) fn score_prompt(&mut self, id: RequestId, prompt: &Prompt, from: usize, candidates: usize) {
        let tokens = tokens_of(prompt, from, candidates);
        self.context_used = tokens.len();
        let total = tokens.len();
        self.emit(EngineEvent::PrefillProgress { id, reused: 0, done: total / 2, total });
        while self.script.holds_scoring && !self.is_cancelled(id) {
            if self.gate.recv_timeout(POLL).is_ok() {
                break;
            }
        }
        if self.is_cancelled(id) {
            return self.emit(EngineEvent::Failed { id, error: "the scoring was stopped".into() });
        }
        self.emit(EngineEvent::PromptScored { id, tokens, context_used: total });
    }
}

fn tokens_of(prompt: &Prompt, from: usize, candidates: usize) -> Vec<PromptToken> {
    let messages = match prompt {
        Prompt::Raw(_) => &[][..],
        Prompt::Chat { messages, .. } => messages,
    };
    let mut tokens = Vec::new();
    for (at, Message { role, content }) in messages.iter().enumerate().skip(from) {
        push(&mut tokens, at == 0, &format!("<|{}|>", role.as_str()), candidates, None);
        let mut start = 0;
        for word in words(content) {
            push(&mut tokens, false, word, candidates, Some((at, start..start + word.len())));
            start += word.len();
        }
    }
    tokens
}

fn push(
    tokens: &mut Vec<PromptToken>,
    is_first: bool,
    text: &str,
    candidates: usize,
    content: Option<(usize, std::ops::Range<usize>)>,
) {
    let token = tokens.len() as TokenId;
    let shape = distribution(&SamplingParams { top_k: 0, ..SamplingParams::default() }, candidates);
    let score =
        TokenScore { logprob: -1.0, rank: 11 * (token % 2), entropy: shape.entropy, candidates: shape.candidates };
    tokens.push(PromptToken { token, text: text.to_owned(), score: (!is_first).then_some(score), content });
}
