//! The conversation token by token, as the model sees it: the replies of this run as they were drawn, and everything
//! else as it was scored since.

use std::collections::HashMap;

use super::open_chat::OpenChat;
use super::setup::Setup;
use super::{Effect, NoteKind, TracedToken};
use crate::chat::thinking::is_opening;
use crate::chat::{MessageId, Node, Role};
use crate::worker::protocol::{
    Candidate, EngineCommand, EngineEvent, PromptToken, RequestId, TemplateChoice, TokenScore, of_loading, of_reply,
    of_variants,
};
use gibber_engine::TokenId;

/// How many alternatives each token is scored with.
const CANDIDATES: usize = 10;

/// The scores of a chat's messages; the system message has no name.
#[derive(Debug, Default)]
pub(super) struct Scores {
    context: Context,
    of: HashMap<Option<MessageId>, Scored>,
    /// A scoring at work.
    pub(super) at_work: Option<Scoring>,
}

/// What scores depend on beside the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Context {
    model: String,
    system: String,
    template: TemplateChoice,
    thinking: Option<bool>,
}

/// A message that was scored.
#[derive(Debug, Clone)]
struct Scored {
    /// What the template writes before it.
    before: Vec<PromptToken>,
    tokens: Vec<PromptToken>,
    /// Of its text at that time.
    length: usize,
}

/// A scoring at work.
#[derive(Debug)]
pub struct Scoring {
    id: RequestId,
    /// The message behind each entry of the request.
    sent: Vec<Option<MessageId>>,
    from: usize,
    context: Context,
    /// Tokens that are done.
    pub done: usize,
    /// Tokens of the prompt; 0 while not known.
    pub total: usize,
    /// Whether the person has asked it to stop.
    stopping: bool,
}

/// A token of the conversation.
#[derive(Debug, Clone, Copy)]
pub struct InspectedToken<'a> {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Its text; empty inside a character that is split over tokens.
    pub text: &'a str,
    /// Where its text begins in its message; `None` where it is the template's own.
    pub start: Option<usize>,
    /// How probable it was; `None` for the first token of a prompt.
    pub chance: Option<Chance>,
    /// The most probable tokens in its place, most probable first.
    pub candidates: &'a [Candidate],
    /// How it was drawn; `None` where it was only scored.
    pub drawn: Option<&'a TracedToken>,
}

/// How probable a token was, in the model's own distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chance {
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
    /// How many tokens were more probable.
    pub rank: u32,
}

/// A message of the conversation as tokens, as far as they are known.
#[derive(Debug)]
pub struct Section<'a> {
    /// The message; `None` for the system message.
    pub message: Option<MessageId>,
    /// Who said it.
    pub role: Role,
    /// All of its text.
    pub text: &'a str,
    /// What the template writes before it.
    pub before: Vec<InspectedToken<'a>>,
    /// In order; none where nothing is known of them.
    pub tokens: Vec<InspectedToken<'a>>,
    /// Whether nothing more is to be known: not so where it, or a part of it, was not scored.
    pub is_known: bool,
}

impl<'a> InspectedToken<'a> {
    fn drawn(traced: &'a TracedToken) -> Self {
        let trace = &traced.trace;
        let chance = Chance { logprob: trace.logprob, entropy: trace.entropy, rank: trace.rank };
        Self {
            token: trace.token,
            text: &trace.text,
            start: Some(traced.start),
            chance: Some(chance),
            candidates: &trace.candidates,
            drawn: Some(traced),
        }
    }

    fn scored(token: &'a PromptToken) -> Self {
        let chance = |score: &TokenScore| Chance { logprob: score.logprob, entropy: score.entropy, rank: score.rank };
        Self {
            token: token.token,
            text: &token.text,
            start: token.content.as_ref().map(|(_, range)| range.start),
            chance: token.score.as_ref().map(chance),
            candidates: token.score.as_ref().map_or(&[], |score| &score.candidates),
            drawn: None,
        }
    }

    /// Where its text ends in its message.
    pub fn end(&self) -> usize {
        self.start.unwrap_or(0) + self.text.len()
    }
}

/// What is seen.
impl OpenChat {
    /// The messages on screen as tokens, the system message first, as far as they are known with `context`.
    pub(super) fn sections(&self, context: &Context) -> Vec<Section<'_>> {
        let system = Some(self.system()).filter(|system| !system.is_empty());
        let system = system.map(|text| self.section(None, Role::System, text, context));
        let path = self.transcript().path();
        let section = |node: &Node| {
            let node = self.transcript().node(node.id)?;
            Some(self.section(Some(node.id), node.message.role, &node.message.content, context))
        };
        let messages = path.into_iter().filter_map(section);
        system.into_iter().chain(messages).collect()
    }

    /// One message as tokens.
    pub(super) fn section<'a>(
        &'a self,
        message: Option<MessageId>,
        role: Role,
        text: &'a str,
        context: &Context,
    ) -> Section<'a> {
        let drawn = message.and_then(|id| self.replies.tokens(id)).unwrap_or_default();
        // Only what is still said so.
        let stands = |traced: &TracedToken| text[traced.start.min(text.len())..].starts_with(&traced.trace.text);
        let drawn = if drawn.iter().all(stands) { drawn } else { &[] };
        let scored = self.scored(message, context);
        let first = drawn.first().map_or(usize::MAX, |traced| traced.start);
        // What the template has opened a thought with is no choice of the model's.
        let is_given = first == 0 || text.get(..first).is_some_and(is_opening);
        let is_known = is_given || scored.is_some_and(|scored| scored.length >= first.min(text.len()));
        let head = scored.filter(|_| first > 0).map_or(&[][..], |scored| &scored.tokens);
        let head = head.iter().map(InspectedToken::scored).filter(|token| token.end() <= first.min(text.len()));
        let tokens = head.chain(drawn.iter().map(InspectedToken::drawn)).collect();
        let before = scored.map_or(&[][..], |scored| &scored.before).iter().map(InspectedToken::scored).collect();
        Section { message, role, text, before, tokens, is_known }
    }

    fn scored(&self, message: Option<MessageId>, context: &Context) -> Option<&Scored> {
        self.scores.of.get(&message).filter(|_| self.scores.context == *context && !context.model.is_empty())
    }

    /// What scores depend on now.
    pub(super) fn scoring_context(&self, setup: &Setup, model: &str) -> Context {
        Context {
            model: model.to_owned(),
            system: self.system().to_owned(),
            template: setup.template.clone(),
            thinking: setup.thinking(),
        }
    }
}

/// What is done.
impl OpenChat {
    /// Has the model read the chat on screen and rate each token that it has not yet; `None` where none is left.
    pub(super) fn begin_scoring(&mut self, id: RequestId, setup: &Setup, model: &str) -> Option<EngineCommand> {
        let (prompt, sent) = self.prompt(setup);
        let context = self.scoring_context(setup, model);
        let is_new = |message: &Option<MessageId>| {
            self.scored(*message, &context).is_none_or(|scored| scored.length != self.text_of(*message).len())
        };
        let from = sent.iter().position(is_new)?;
        let scoring = Scoring { id, sent, from, context, done: 0, total: 0, stopping: false };
        self.scores.at_work = Some(scoring);
        Some(EngineCommand::ScorePrompt { id, prompt, from, candidates: CANDIDATES })
    }

    /// The text of a message, or the system message.
    fn text_of(&self, message: Option<MessageId>) -> &str {
        match message {
            Some(id) => self.transcript().node(id).map_or("", |node| node.message.content.as_str()),
            None => self.system(),
        }
    }

    /// Stops the scoring that is at work; what else is asked of the engine need not wait for it.
    pub(super) fn stop_scoring(&mut self) -> Vec<Effect> {
        let Some(scoring) = self.scores.at_work.as_mut() else { return Vec::new() };
        scoring.stopping = true;
        vec![Effect::Submit(EngineCommand::Cancel { id: scoring.id })]
    }

    /// An event of the scoring at work.
    pub(super) fn on_scoring_event(&mut self, event: EngineEvent) {
        let Some(scoring) = self.scores.at_work.as_mut() else { return };
        match event {
            EngineEvent::PrefillProgress { done, total, .. } => (scoring.done, scoring.total) = (done, total),
            EngineEvent::PromptScored { tokens, context_used, .. } => {
                self.context_used = context_used;
                if let Some(scoring) = self.scores.at_work.take() {
                    self.keep_scores(scoring, &tokens);
                }
            }
            EngineEvent::Failed { error, .. } => {
                let stopped = scoring.stopping;
                self.scores.at_work = None;
                if !stopped {
                    self.note(NoteKind::Error, error);
                }
            }
            EngineEvent::TurnsDropped { .. }
            | EngineEvent::Adapted { .. }
            | EngineEvent::ThoughtOpened { .. }
            | EngineEvent::PromptFault { .. }
            | EngineEvent::Began { .. }
            | EngineEvent::Distribution { .. }
            | EngineEvent::Scored { .. }
            | EngineEvent::Counted { .. }
            | EngineEvent::Prefilled { .. }
            | EngineEvent::TemplateDescribed { .. }
            | EngineEvent::Measured { .. }
            | of_loading!()
            | of_reply!()
            | of_variants!()
            | EngineEvent::WorkerDied { .. } => {}
        }
    }

    fn keep_scores(&mut self, scoring: Scoring, tokens: &[PromptToken]) {
        let Scoring { sent, from, context, .. } = scoring;
        if self.scores.context != context {
            (self.scores.context, self.scores.of) = (context, HashMap::new());
        }
        let mut before = Vec::new();
        // A message that the model does not see is known as well: to have none.
        let mut scored: Vec<Scored> = sent[from..].iter().map(|message| self.unseen(*message)).collect();
        for token in tokens {
            let message = token.content.as_ref().and_then(|(at, _)| at.checked_sub(from));
            match message.and_then(|at| scored.get_mut(at)) {
                Some(scored) => {
                    scored.before.append(&mut before);
                    scored.tokens.push(token.clone());
                }
                None => before.push(token.clone()),
            }
        }
        self.scores.of.extend(sent[from..].iter().copied().zip(scored));
    }

    fn unseen(&self, message: Option<MessageId>) -> Scored {
        Scored { before: Vec::new(), tokens: Vec::new(), length: self.text_of(message).len() }
    }

    /// What is known of a message before the alternative `chosen` (its place among those to the token, and where it
    /// begins) is known of its sibling `to` as well, which begins the same and goes on with the alternative.
    pub(super) fn share_scores(&mut self, from: MessageId, to: MessageId, start: usize, chosen: usize) {
        let Some(mut scored) = self.scores.of.get(&Some(from)).cloned() else { return };
        let begins = |token: &PromptToken| token.content.as_ref().map_or(0, |(_, range)| range.start);
        let at = scored.tokens.partition_point(|token| begins(token) < start);
        let replaced = scored.tokens.drain(at..).next();
        scored.length = start;
        if let Some((message, score)) = replaced.and_then(|token| Some((token.content?.0, token.score?)))
            && let Some(candidate) = score.candidates.get(chosen)
        {
            scored.length += candidate.text.len();
            let (token, text, logprob) = (candidate.token, candidate.text.clone(), candidate.before.ln());
            let score = TokenScore { logprob, rank: chosen as u32, ..score };
            let content = Some((message, start..scored.length));
            scored.tokens.push(PromptToken { token, text, score: Some(score), content });
        }
        self.scores.of.insert(Some(to), scored);
    }
}
