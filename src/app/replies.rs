//! What is known of the replies of a chat beside their texts: how each token was chosen, what each cost, and who wrote it.

use std::collections::HashMap;
use std::sync::Arc;

use super::ReplySummary;
use crate::chat::{MessageId, Node};
use crate::worker::protocol::{Candidate, Distribution, EngineEvent, ReplyRef, TokenTrace};
use gibber_engine::{SamplingParams, TokenId};

/// What the model would say next, or has just said, and with which chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NextToken<'a> {
    /// Entropy of the model's own distribution, in nats.
    pub entropy: f32,
    /// Mass of it that the filters keep, 0 to 1.
    pub kept_mass: f32,
    /// The candidates, before and after the filters; most probable first.
    pub candidates: &'a [Candidate],
    /// The token that was drawn from them; `None` where none has been.
    pub chosen: Option<TokenId>,
}

/// A token of a reply, and how it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct TracedToken {
    /// The token, and the candidates of that moment.
    pub trace: TokenTrace,
    /// The sampling in force then.
    pub sampling: Arc<SamplingParams>,
    /// Where its text begins in the reply.
    pub start: usize,
}

/// What is known of a reply.
#[derive(Debug, Default)]
struct Reply {
    /// Its tokens, as far as they were generated in this run.
    tokens: Vec<TracedToken>,
    /// How it ended, and what it cost.
    summary: Option<ReplySummary>,
    /// The models that wrote it, one after the other; mostly there is one.
    models: Vec<String>,
    /// Of whom the engine knows what its last token was drawn from.
    source: Option<ReplyRef>,
    /// That distribution under other filters than it was drawn with.
    reshaped: Option<Distribution>,
}

/// The replies of a chat.
#[derive(Debug, Default)]
pub(super) struct Replies {
    of: HashMap<MessageId, Reply>,
    /// The model of the chat as it came from the store: of replies that say none themselves.
    model_before: String,
}

impl Replies {
    /// Those of a chat that was last spoken to with `model`; empty where that is not known.
    pub(super) fn of_chat_with(model: &str) -> Self {
        Self { of: HashMap::new(), model_before: model.to_owned() }
    }

    /// The tokens of a reply, as far as they were generated in this run.
    pub(super) fn tokens(&self, id: MessageId) -> Option<&[TracedToken]> {
        self.of.get(&id).map(|reply| reply.tokens.as_slice())
    }

    pub(super) fn summary(&self, id: MessageId) -> Option<&ReplySummary> {
        self.of.get(&id)?.summary.as_ref()
    }

    /// The model that wrote a reply; `None` where nobody knows.
    pub(super) fn writer(&self, node: &Node) -> Option<String> {
        if let Some(models @ [_, ..]) = self.of.get(&node.id).map(|reply| reply.models.as_slice()) {
            return Some(models.join(" + "));
        }
        let stored = node.provenance.as_ref().map(|provenance| provenance.writers().join(" + ")).unwrap_or_default();
        let known = if stored.is_empty() { self.model_before.clone() } else { stored };
        Some(known).filter(|model| !model.is_empty())
    }

    /// A model begins a reply.
    pub(super) fn begin(&mut self, id: MessageId, model: &str) {
        self.of.entry(id).or_default().models = vec![model.to_owned()];
    }

    /// A model goes on with a reply.
    pub(super) fn go_on(&mut self, node: &Node, model: &str) {
        let before = self.writer(node);
        let reply = self.of.entry(node.id).or_default();
        if reply.models.is_empty() {
            reply.models.extend(before);
        }
        if reply.models.last().is_none_or(|last| last != model) {
            reply.models.push(model.to_owned());
        }
    }

    /// A reply begins as another did, which was written by the same model.
    pub(super) fn begin_as(&mut self, id: MessageId, other: &Node, tokens: Vec<TracedToken>) {
        let models = self.writer(other).into_iter().collect();
        self.of.insert(id, Reply { tokens, models, ..Reply::default() });
    }

    /// A token was added to a reply.
    pub(super) fn push(&mut self, id: MessageId, token: TracedToken) {
        let reply = self.of.entry(id).or_default();
        (reply.source, reply.reshaped) = (None, None);
        reply.tokens.push(token);
    }

    /// The last `count` tokens of a reply go; returns them.
    pub(super) fn take_back(&mut self, id: MessageId, count: usize) -> Vec<TracedToken> {
        let tokens = &mut self.of.entry(id).or_default().tokens;
        tokens.split_off(tokens.len().saturating_sub(count))
    }

    /// A reply has ended; `source` is of whom the engine knows its last token.
    pub(super) fn end(&mut self, id: MessageId, summary: ReplySummary, source: ReplyRef) {
        let reply = self.of.entry(id).or_default();
        (reply.summary, reply.source) = (Some(summary), Some(source));
    }

    /// What is stored of how a reply ended.
    pub(super) fn restore(&mut self, id: MessageId, summary: ReplySummary) {
        self.of.entry(id).or_default().summary = Some(summary);
    }

    /// A reply is no more.
    pub(super) fn forget(&mut self, id: MessageId) {
        self.of.remove(&id);
    }

    /// Of whom the engine knows what the last token of a reply was drawn from.
    pub(super) fn source(&self, id: MessageId) -> Option<ReplyRef> {
        self.of.get(&id)?.source
    }

    /// What the last token of a reply was drawn from, under the filters in force by now. Where the engine has kept it no
    /// longer, what is on screen stays.
    pub(super) fn on_preview(&mut self, id: MessageId, event: EngineEvent) {
        if let (EngineEvent::Distribution { distribution, .. }, Some(reply)) = (event, self.of.get_mut(&id)) {
            reply.reshaped = Some(distribution);
        }
    }

    /// The filters have changed: what those before made of the replies that are not on screen is how none was drawn, nor
    /// what is in force.
    pub(super) fn forget_reshaped_but(&mut self, on_screen: Option<MessageId>) {
        let others = self.of.iter_mut().filter(|(id, _)| Some(**id) != on_screen);
        others.for_each(|(_, reply)| reply.reshaped = None);
    }

    /// How the last token of a reply was chosen.
    pub(super) fn last_token(&self, id: MessageId) -> Option<NextToken<'_>> {
        let reply = self.of.get(&id)?;
        let trace = &reply.tokens.last()?.trace;
        let chosen = Some(trace.token);
        Some(match &reply.reshaped {
            Some(distribution) => NextToken { chosen, ..NextToken::to_come(distribution) },
            None => {
                NextToken { entropy: trace.entropy, kept_mass: trace.kept_mass, candidates: &trace.candidates, chosen }
            }
        })
    }

    /// How surprising a reply was to the model itself: the inverse of its tokens' probability, in the geometric mean; as
    /// far as it was generated in this run.
    pub(super) fn perplexity(&self, id: MessageId) -> Option<f32> {
        let tokens = self.tokens(id).filter(|tokens| !tokens.is_empty())?;
        let mean = tokens.iter().map(|token| token.trace.logprob).sum::<f32>() / tokens.len() as f32;
        Some((-mean).exp())
    }
}

impl<'a> NextToken<'a> {
    /// What a token is yet to be chosen from.
    pub(super) fn to_come(distribution: &'a Distribution) -> Self {
        let Distribution { entropy, kept_mass, candidates } = distribution;
        Self { entropy: *entropy, kept_mass: *kept_mass, candidates, chosen: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::provenance::{ModelIdentity, Passage, Provenance};
    use crate::chat::{Message, MessageState, Role, Transcript};

    #[test]
    fn a_reply_says_who_wrote_it_from_whatever_is_known() {
        let mut transcript = Transcript::default();
        let id = transcript.append(Message::new(Role::Assistant, "a"), MessageState::Complete);
        let writer = |replies: &Replies, transcript: &Transcript| replies.writer(transcript.node(id)?);
        assert_eq!(writer(&Replies::default(), &transcript), None);
        let mut replies = Replies::of_chat_with("the chat's");
        assert_eq!(writer(&replies, &transcript).as_deref(), Some("the chat's"));
        let model = |name: &str| ModelIdentity { name: name.to_owned(), ..ModelIdentity::default() };
        let passage = |name: Option<&str>| Passage { model: name.map(model), ..Passage::default() };
        let passages = vec![passage(Some("One")), passage(None), passage(None)];
        transcript.set_provenance(id, Provenance { model: model("Two"), passages, ..Provenance::default() });
        assert_eq!(writer(&replies, &transcript).as_deref(), Some("One + Two"));
        replies.go_on(transcript.node(id).unwrap(), "Three");
        assert_eq!(writer(&replies, &transcript).as_deref(), Some("One + Two + Three"));
    }
}
