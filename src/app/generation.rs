//! The life of a reply: asked for, computed, spoken, ended, and saved all along.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::commands::escape;
use super::parameters::{PARAMETERS, Parameter};
use super::step::Pause;
use super::{App, Effect, Moment, NextToken, NoteKind, TracedToken};
use crate::chat::{Message, MessageId, MessageState, Role, title, without_line_end};
use crate::store::StoreOp;
use crate::worker::protocol::{
    Distribution, EngineCommand, EngineEvent, FinishReason, GenerationParams, GenerationStats, Prompt, RequestId,
    TokenTrace,
};
use gibber_engine::SamplingParams;

/// A reply that grows is saved this often, so that a kill loses less than a second.
pub(super) const SAVE_INTERVAL: Duration = Duration::from_millis(500);

/// How many alternatives of each token the panel may want.
const CANDIDATES: usize = 10;

/// How far a reply has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The engine has not begun.
    Waiting,
    /// The prompt is being computed.
    Prefill {
        /// Tokens taken from the cache.
        reused: usize,
        /// Tokens in the cache by now.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// Tokens come.
    Decoding,
}

/// A reply that is running.
#[derive(Debug)]
pub struct Generation {
    /// The request.
    pub id: RequestId,
    /// How far it has come.
    pub phase: Phase,
    /// When it was asked for.
    pub started: Instant,
    /// When its first token came.
    pub first_token: Option<Instant>,
    /// Its message, from its first token on.
    pub message: Option<MessageId>,
    /// Tokens so far.
    pub tokens: usize,
    /// Those of its message's tokens that the person picked, also before it went on.
    pub picked: usize,
    /// Whether the person has asked it to stop.
    pub stopping: bool,
    /// Whether it waits for the person.
    pub pause: Pause,
    /// Time that was spent drawing frames while it ran.
    pub(super) draw_time: Duration,
    /// The filters on the way, as in [`GenerationStats::sampling_log`]: (tokens before them, the filters).
    sampling_log: Vec<(usize, SamplingParams)>,
    parent: Option<MessageId>,
    former_head: Option<MessageId>,
    /// What the prompt has opened a thought with; its message begins with it.
    opening: String,
    /// The message behind each entry of the request, for `TurnsDropped`.
    sent: Vec<Option<MessageId>>,
    pub(super) unsaved_since: Option<Instant>,
    last_save: Option<Instant>,
}

impl Generation {
    /// When what has come is to be saved.
    pub(super) fn save_deadline(&self) -> Option<Instant> {
        let unsaved = self.unsaved_since?;
        Some(self.last_save.map_or(unsaved, |at| at + SAVE_INTERVAL))
    }

    /// Only `tokens` tokens are left: what was changed after them acts from there on.
    pub(super) fn keep_changes_within(&mut self, tokens: usize) {
        for (at, _) in &mut self.sampling_log {
            *at = (*at).min(tokens);
        }
    }

    /// `temperature 1.20 from token 28`: what was changed on the way, as far as this end knows; empty for nothing.
    pub fn changes(&self) -> String {
        changes_text(&self.sampling_log)
    }
}

/// How a reply ended, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplySummary {
    /// Why it ended.
    pub reason: FinishReason,
    /// What it cost.
    pub stats: GenerationStats,
    /// Time that the front end spent drawing frames meanwhile, beside the engine.
    pub draw_time: Duration,
    /// How surprising the reply was to the model itself, as far as it was generated in this run.
    pub perplexity: Option<f32>,
}

impl ReplySummary {
    /// Why it ended, in words.
    pub fn stop(&self) -> String {
        reason_text(&self.reason)
    }

    /// `27 tok · 182 tok/s · first token 31 ms · perplexity 3.1 · stop: end of turn`, and what was changed on the way;
    /// before the stop, where there are any, how many tokens of the drafts came true, `lookup 12 of 20`, and how many the
    /// person picked, `3 picked`.
    pub fn line(&self) -> String {
        let stats = &self.stats;
        let mut line = format!("{} tok", stats.completion_tokens);
        let rate = stats.decode_tokens_per_second();
        if rate > 0.0 {
            line.push_str(&format!(" · {rate:.0} tok/s"));
        }
        if stats.completion_tokens > 0 {
            line.push_str(&format!(" · first token {} ms", stats.time_to_first_token.as_millis()));
        }
        if let Some(perplexity) = self.perplexity {
            line.push_str(&format!(" · perplexity {perplexity:.1}"));
        }
        if stats.drafted_tokens > 0 {
            line.push_str(&format!(" · lookup {} of {}", stats.accepted_tokens, stats.drafted_tokens));
        }
        if stats.picked_tokens > 0 {
            line.push_str(&format!(" · {} picked", stats.picked_tokens));
        }
        line.push_str(" · stop: ");
        line.push_str(&reason_text(&self.reason));
        let log = stats.sampling_log.iter().map(|(chosen, sampling)| (stats.place_of(*chosen), sampling.clone()));
        let changes = changes_text(&log.collect::<Vec<_>>());
        if !changes.is_empty() {
            line.push_str(&format!(" · {changes}"));
        }
        line
    }
}

fn reason_text(reason: &FinishReason) -> String {
    match reason {
        FinishReason::EndOfTurn => "end of turn".to_owned(),
        FinishReason::StopString(text) => format!("stop text {text:?}"),
        FinishReason::Length => "length (/continue goes on)".to_owned(),
        FinishReason::Cancelled => "stopped (/continue goes on)".to_owned(),
        FinishReason::Context => "the context is full".to_owned(),
    }
}

/// The changes in a log of filters, each with the first token that it acted on, counted from 1.
fn changes_text(log: &[(usize, SamplingParams)]) -> String {
    // A slider that is held down makes many entries between two tokens: the last of them acts.
    let acting: Vec<&(usize, SamplingParams)> = log
        .iter()
        .enumerate()
        .filter(|&(at, entry)| log.get(at + 1).is_none_or(|next| next.0 > entry.0))
        .map(|(_, entry)| entry)
        .collect();
    let texts: Vec<String> = acting
        .windows(2)
        .map(|pair| (changes_between(&pair[0].1, &pair[1].1), pair[1].0 + 1))
        .filter(|(changes, _)| !changes.is_empty())
        .map(|(changes, token)| format!("{changes} from token {token}"))
        .collect();
    texts.join(" · ")
}

/// `temperature 1.20, top-k 5`: what differs, with its new value.
fn changes_between(before: &SamplingParams, after: &SamplingParams) -> String {
    let changed = |parameter: &Parameter| parameter.value(before) != parameter.value(after);
    let texts: Vec<String> = PARAMETERS
        .iter()
        .map(|spec| spec.parameter)
        .filter(changed)
        .map(|parameter| format!("{} {}", parameter.spec().name, parameter.display(after)))
        .collect();
    texts.join(", ")
}

/// Asking for replies.
impl App {
    /// Says something to the model.
    pub(super) fn say(&mut self, text: &str, now: Moment) -> Vec<Effect> {
        if text.trim().is_empty() {
            return Vec::new();
        }
        if let Some(id) = self.editing().map(|node| node.id) {
            return self.send_edit(id, text, now);
        }
        if let Some(refusal) = self.refusal() {
            self.hint = Some(refusal);
            return vec![Effect::Compose(escape(text))];
        }
        let text = self.as_question(text);
        let first = self.session.transcript.nodes().is_empty();
        if first || self.session.record.title.is_empty() {
            self.session.record.title = title::of_question(text);
        }
        self.ask_question(text, now)
    }

    /// What a text is as a question: in a templated turn the line end behind it is no part of it.
    pub(super) fn as_question<'a>(&self, text: &'a str) -> &'a str {
        if self.template.is_raw() { text } else { without_line_end(text) }
    }

    /// Answers the last question anew, beside the answers that it has.
    pub(super) fn regenerate(&mut self, now: Moment) -> Vec<Effect> {
        if let Some(refusal) = self.refusal() {
            self.hint = Some(refusal);
            return Vec::new();
        }
        match self.session.transcript.regenerate_parent() {
            Some(parent) => self.answer(parent, now),
            None => {
                self.note(NoteKind::Info, "there is no question to answer yet".to_owned());
                Vec::new()
            }
        }
    }

    /// Goes on with the reply at the head.
    pub(super) fn continue_reply(&mut self, now: Moment) -> Vec<Effect> {
        if let Some(refusal) = self.refusal() {
            self.hint = Some(refusal);
            return Vec::new();
        }
        let head = self.session.transcript.head_node().map(|node| (node.id, node.parent, node.message.role));
        match head {
            Some((id, parent, Role::Assistant)) => self.ask(parent, Some(id), now),
            Some((id, _, Role::User)) => self.answer(id, now),
            _ => {
                self.note(NoteKind::Info, "there is no reply to go on with".to_owned());
                Vec::new()
            }
        }
    }

    /// Why no reply can be asked for now.
    pub(super) fn refusal(&self) -> Option<String> {
        if let Some(busy) = self.busy() {
            return Some(busy);
        }
        if self.worker_dead {
            return Some("the engine has stopped: start gibber again to go on".to_owned());
        }
        let no_model = self.model.is_none() && self.loading.is_none();
        no_model.then(|| "no model is loaded: /model lists the models, /model NAME loads one".to_owned())
    }

    /// Asks for an answer to `parent`, or for more of the message `continued`.
    pub(super) fn ask(&mut self, parent: Option<MessageId>, continued: Option<MessageId>, now: Moment) -> Vec<Effect> {
        self.comparison = None;
        let former_head = self.session.transcript.head();
        self.session.transcript.set_head(continued.or(parent));
        let id = self.request_id();
        let (prompt, sent) = self.prompt();
        let before = continued.and_then(|message| self.tokens_of(message)).unwrap_or_default();
        let picked = before.iter().filter(|token| token.trace.picked).count();
        self.generation = Some(Generation {
            id,
            phase: Phase::Waiting,
            started: now.at,
            first_token: None,
            message: continued,
            tokens: 0,
            picked,
            stopping: false,
            pause: Pause::default(),
            draw_time: Duration::ZERO,
            sampling_log: vec![(0, self.sampling.clone())],
            parent,
            former_head,
            opening: String::new(),
            sent,
            unsaved_since: None,
            last_save: None,
        });
        if let Some(message) = continued {
            self.session.transcript.set_state(message, MessageState::Streaming);
        }
        self.meter.restart();
        self.adapted.restart();
        let params = self.generation_params(self.sampling.clone());
        let mut effects = self.stop_scoring();
        effects.push(self.submit(EngineCommand::Generate { id, prompt, params }));
        effects
    }

    /// All that is set for a reply, with these filters.
    pub(super) fn generation_params(&self, sampling: SamplingParams) -> GenerationParams {
        let chat = &self.settings.chat;
        GenerationParams {
            sampling,
            max_tokens: (chat.max_tokens > 0).then_some(chat.max_tokens),
            stop: chat.stop.clone(),
            candidates: CANDIDATES,
            lookup: self.settings.model.lookup,
            stepping: self.stepping(),
        }
    }

    /// What the model is to go on from, and the message behind each entry of it.
    pub(super) fn prompt(&self) -> (Prompt, Vec<Option<MessageId>>) {
        let path = self.session.transcript.path();
        let system = &self.session.record.system;
        let system = (!system.is_empty()).then(|| (Message::new(Role::System, system.clone()), None));
        let turns = path.into_iter().map(|node| (node.message.clone(), Some(node.id)));
        let (messages, sent) = system.into_iter().chain(turns).unzip();
        let thinking = self.settings.chat.think.for_template();
        (Prompt::Chat { messages, template: self.template.clone(), thinking }, sent)
    }

    /// Stops the running reply, or the scoring that is at work.
    pub(super) fn stop(&mut self) -> Vec<Effect> {
        let Some(generation) = self.generation.as_mut() else { return self.stop_scoring() };
        generation.stopping = true;
        vec![Effect::Submit(EngineCommand::Cancel { id: generation.id })]
    }

    /// The program ends: stops the running reply and saves what there is of it, without waiting for the engine.
    pub(super) fn cut_reply(&mut self) -> Vec<Effect> {
        let mut effects = self.stop();
        if let Some(id) = self.generation.as_ref().and_then(|generation| generation.message) {
            self.session.transcript.set_state(id, MessageState::Cut);
            effects.extend(self.session.put_message(id));
        }
        effects
    }

    /// New filters, from the next token on where a reply is running.
    pub(super) fn change_sampling(&mut self, change: impl FnOnce(&mut SamplingParams)) -> Vec<Effect> {
        let before = self.sampling.clone();
        change(&mut self.sampling);
        if self.sampling == before {
            return Vec::new();
        }
        let Some(generation) = self.generation.as_mut() else { return self.preview_sampling() };
        generation.sampling_log.push((generation.tokens, self.sampling.clone()));
        let (id, sampling) = (generation.id, self.sampling.clone());
        vec![self.submit(EngineCommand::SetSampling { id, sampling })]
    }
}

/// What is seen of them.
impl App {
    /// Asks how the distribution that is on screen looks with the sampling as it is now: from the logits that the engine
    /// still holds, without a forward pass.
    fn preview_sampling(&mut self) -> Vec<Effect> {
        if self.next_token.is_none() || self.model.is_none() || self.loading.is_some() || self.worker_dead {
            return Vec::new();
        }
        let (id, sampling) = (self.request_id(), self.sampling.clone());
        self.preview = Some(id);
        vec![self.submit(EngineCommand::Preview { id, sampling, candidates: CANDIDATES })]
    }
}

/// What becomes of them.
impl App {
    pub(super) fn on_reply_event(&mut self, event: EngineEvent, now: Moment) -> Vec<Effect> {
        let running = self.running();
        if running.is_none() || event.request() != running {
            return Vec::new();
        }
        match event {
            EngineEvent::PrefillProgress { reused, done, total, .. } => {
                self.context_used = done;
                if let Some(generation) = self.generation.as_mut() {
                    generation.phase = Phase::Prefill { reused, done, total };
                }
                Vec::new()
            }
            EngineEvent::PromptFault { fault, .. } => {
                self.note(NoteKind::Warning, fault.to_string());
                Vec::new()
            }
            EngineEvent::TurnsDropped { messages, .. } => {
                let sent = self.generation.as_ref().map(|generation| generation.sent.clone()).unwrap_or_default();
                self.turns_dropped(&messages, &sent)
            }
            EngineEvent::Adapted { adaptation, .. } => {
                let sent = self.generation.as_ref().map(|generation| generation.sent.clone()).unwrap_or_default();
                self.on_adapted(&adaptation, &sent);
                Vec::new()
            }
            EngineEvent::ThoughtOpened { opening, .. } => {
                if let Some(generation) = self.generation.as_mut() {
                    generation.opening = opening;
                }
                Vec::new()
            }
            EngineEvent::Token { trace, context_used, .. } => {
                self.context_used = context_used;
                self.token(trace, now)
            }
            EngineEvent::Finished { reason, stats, context_used, .. } => {
                self.context_used = context_used;
                let draw_time = self.generation.as_ref().map_or(Duration::ZERO, |generation| generation.draw_time);
                self.finished(ReplySummary { reason, stats, draw_time, perplexity: None })
            }
            EngineEvent::Paused { distribution, held_back, context_used, .. } => {
                self.paused(distribution, held_back, context_used);
                Vec::new()
            }
            EngineEvent::Resumed { .. } => {
                self.resumed();
                Vec::new()
            }
            EngineEvent::TakenBack { tokens, context_used, .. } => {
                self.context_used = context_used;
                self.taken_back(tokens, now);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn token(&mut self, trace: TokenTrace, now: Moment) -> Vec<Effect> {
        self.meter.token(now.at);
        let Some(generation) = self.generation.as_mut() else { return Vec::new() };
        generation.phase = Phase::Decoding;
        generation.tokens += 1;
        generation.picked += usize::from(trace.picked);
        generation.first_token.get_or_insert(now.at);
        let mut effects = Vec::new();
        let message = match generation.message {
            Some(message) => message,
            None => {
                let reply = Message::new(Role::Assistant, generation.opening.as_str());
                let id = self.session.transcript.append_to(generation.parent, reply, MessageState::Streaming);
                generation.message = Some(id);
                effects.push(self.session.put());
                id
            }
        };
        let start = self.session.transcript.node(message).map_or(0, |node| node.message.content.len());
        self.session.transcript.push_text(message, &trace.text);
        if !trace.text.is_empty() {
            generation.unsaved_since.get_or_insert(now.at);
        }
        let tokens = self.tokens.entry(message).or_default();
        let same = tokens.last().filter(|last| *last.sampling == self.sampling);
        let sampling = same.map_or_else(|| Arc::new(self.sampling.clone()), |last| Arc::clone(&last.sampling));
        tokens.push(TracedToken { trace: trace.clone(), sampling, start });
        let TokenTrace { token, entropy, kept_mass, candidates, .. } = trace;
        let distribution = Distribution { entropy, kept_mass, candidates };
        self.next_token = Some(NextToken { distribution, chosen: Some(token) });
        if generation.save_deadline().is_some_and(|deadline| deadline <= now.at) {
            effects.extend(self.save_reply(now));
        }
        effects
    }

    /// Writes what there is of the running reply.
    pub(super) fn save_reply(&mut self, now: Moment) -> Vec<Effect> {
        let Some(generation) = self.generation.as_mut() else { return Vec::new() };
        let Some(message) = generation.message else { return Vec::new() };
        generation.unsaved_since = None;
        generation.last_save = Some(now.at);
        self.session.put_message(message).into_iter().collect()
    }

    fn finished(&mut self, mut summary: ReplySummary) -> Vec<Effect> {
        let Some(generation) = self.generation.take() else { return Vec::new() };
        if let Some(message) = generation.message.filter(|_| generation.tokens == 0)
            && self.session.transcript.retract(message, &generation.opening)
        {
            return self.retracted(message);
        }
        let mut effects = Vec::new();
        summary.perplexity = generation.message.and_then(|message| self.perplexity_of(message));
        match generation.message {
            Some(message) => {
                let whole = matches!(summary.reason, FinishReason::EndOfTurn | FinishReason::StopString(_));
                let state = if whole { MessageState::Complete } else { MessageState::Cut };
                self.session.transcript.set_state(message, state);
                effects.extend(self.session.put_message(message));
                self.summaries.insert(message, summary.clone());
            }
            None => {
                self.session.transcript.set_head(generation.former_head);
                let text = match summary.reason {
                    FinishReason::Cancelled => "stopped before the first token: /regen asks again".to_owned(),
                    ref reason => format!("the model said nothing (stop: {})", reason_text(reason)),
                };
                self.note(NoteKind::Info, text);
            }
        }
        if summary.reason == FinishReason::Context {
            let text = "the context is full and nothing is left to drop: /new starts afresh".to_owned();
            self.note(NoteKind::Warning, text);
        }
        self.last_summary = Some(summary);
        effects
    }

    /// A reply ended after every token of it was taken back: the question is without a reply again.
    fn retracted(&mut self, message: MessageId) -> Vec<Effect> {
        self.tokens.remove(&message);
        let head = self.session.transcript.head();
        for note in self.notes.iter_mut().filter(|note| note.after == Some(message)) {
            note.after = head;
        }
        let text = "every token was taken back: /regen asks again";
        self.note(NoteKind::Info, text.to_owned());
        let session = self.session.record.id;
        vec![Effect::Store(StoreOp::DeleteMessage { session, message }), self.session.put()]
    }

    pub(super) fn reply_failed(&mut self, id: RequestId, error: String) -> Vec<Effect> {
        if self.generation.as_ref().is_none_or(|generation| generation.id != id) {
            return Vec::new();
        }
        let Some(generation) = self.generation.take() else { return Vec::new() };
        let mut effects = Vec::new();
        match generation.message {
            Some(message) => {
                self.session.transcript.set_state(message, MessageState::Cut);
                effects.extend(self.session.put_message(message));
            }
            None => self.session.transcript.set_head(generation.former_head),
        }
        self.note(NoteKind::Error, error);
        effects
    }

    /// How many turns these messages are.
    pub(super) fn turns_among(&self, messages: &[MessageId]) -> usize {
        let is_question =
            |id: &&MessageId| self.session.transcript.node(**id).is_some_and(|node| node.message.role == Role::User);
        messages.iter().filter(is_question).count().max(usize::from(!messages.is_empty()))
    }

    /// The engine does without these entries of a request, behind which are the messages `sent`.
    pub(super) fn turns_dropped(&mut self, indices: &[usize], sent: &[Option<MessageId>]) -> Vec<Effect> {
        let dropped: Vec<MessageId> = indices.iter().filter_map(|&at| sent.get(at).copied().flatten()).collect();
        let news = dropped.iter().any(|id| !self.dropped.contains(id));
        self.dropped = dropped;
        if news {
            let text = match self.turns_among(&self.dropped) {
                0 | 1 => "the context is full: the first turn is no longer seen by the model".to_owned(),
                n => format!("the context is full: the first {n} turns are no longer seen by the model"),
            };
            self.note(NoteKind::Warning, text);
        }
        Vec::new()
    }
}
