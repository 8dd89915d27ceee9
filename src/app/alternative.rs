//! Going on from another token in the place of one that was said.

use super::inspector::Context;
use super::loading::Engine;
use super::open_chat::OpenChat;
use super::{Effect, MessageId, TracedToken};
use crate::chat::{Message, MessageState, Role, provenance};
use crate::worker::protocol::TokenTrace;
use gibber_engine::TokenId;

impl OpenChat {
    /// Takes the alternative `candidate` in the place of `token` of the reply `message`, which stays as a branch: a reply
    /// that begins as it did is at the head then. What comes before the alternative is in the engine's cache still.
    pub(super) fn take_alternative(
        &mut self,
        (message, token, candidate): (MessageId, usize, usize),
        context: &Context,
        engine: &Engine,
    ) -> Result<Alternative, String> {
        let Taken { parent, reply, start, tokens, is_end, chosen } =
            self.alternative((message, token, candidate), context, engine)?;
        let state = if is_end { MessageState::Complete } else { MessageState::Cut };
        let id = self.session.transcript.append_to(parent, Message::new(Role::Assistant, reply), state);
        self.session.transcript.set_head(Some(id));
        self.share_scores(message, id, start, candidate);
        if let Some(node) = self.session.transcript.node(message) {
            self.replies.begin_as(id, node, tokens);
        }
        if !is_end {
            let taken = provenance::Alternative { start, token: chosen, rank: candidate as u32 };
            self.record_alternative(message, id, taken);
        }
        let effects = std::iter::once(self.session.put()).chain(self.session.put_message(id)).collect();
        Ok(Alternative { effects, goes_on: (!is_end).then_some((parent, id)) })
    }

    /// The reply up to the alternative, with it.
    fn alternative(
        &self,
        (message, token, candidate): (MessageId, usize, usize),
        context: &Context,
        engine: &Engine,
    ) -> Result<Taken, String> {
        let gone = || "that reply is not there any more".to_owned();
        let node = self.session.transcript.node(message).ok_or_else(gone)?;
        let section = self.section(Some(message), node.message.role, &node.message.content, context);
        let place = section.tokens.get(token).ok_or_else(gone)?;
        // The candidates are in the order of their ranks.
        let rank = candidate as u32;
        let candidate = place.candidates.get(candidate).ok_or_else(gone)?;
        let start = place.start.unwrap_or(0);
        let before = section.text.get(..start).ok_or_else(gone)?;
        // The bytes of a character that is not whole yet are in no text.
        if token > 0 && section.tokens[token - 1].text.is_empty() {
            return Err("this token is inside a character: go to the first token of it".to_owned());
        }
        let is_end = engine.is_end_token(candidate.token);
        if !is_end && (candidate.text.is_empty() || candidate.text.contains(char::REPLACEMENT_CHARACTER)) {
            return Err("that token is a part of a character, and no text by itself: choose another".to_owned());
        }
        let traced = self.replies.tokens(message).unwrap_or_default();
        let kept = section.tokens[..token].iter().filter(|token| token.drawn.is_some()).count();
        let mut tokens: Vec<TracedToken> = traced.iter().take(kept).cloned().collect();
        let mut reply = before.to_owned();
        if !is_end {
            reply.push_str(&candidate.text);
            tokens.extend(place.drawn.map(|drawn| {
                let trace = TokenTrace {
                    token: candidate.token,
                    text: candidate.text.clone(),
                    logprob: candidate.before.ln(),
                    rank,
                    picked: true,
                    ..drawn.trace.clone()
                };
                TracedToken { trace, ..drawn.clone() }
            }));
        }
        Ok(Taken { parent: node.parent, reply, start, tokens, is_end, chosen: candidate.token })
    }
}

/// What comes of an alternative that was taken.
pub(super) struct Alternative {
    /// What saves it.
    pub(super) effects: Vec<Effect>,
    /// The question, and the reply that is to be gone on with; `None` where the alternative has ended it.
    pub(super) goes_on: Option<(Option<MessageId>, MessageId)>,
}

/// A reply that begins as another did.
struct Taken {
    parent: Option<MessageId>,
    reply: String,
    /// Where the alternative begins in it.
    start: usize,
    /// Those of its tokens that were drawn.
    tokens: Vec<TracedToken>,
    /// Whether the alternative ends the reply.
    is_end: bool,
    /// The alternative.
    chosen: TokenId,
}
