//! The life of a reply: asked for, computed, spoken, ended, and saved all along.

use std::mem::replace;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::loading::Engine;
use super::open_chat::OpenChat;
use super::recording::Asked;
use super::setup::Setup;
use super::step::Pause;
use super::summary::{ReplySummary, changes_text, reason_text};
use super::{Effect, Moment, NoteKind, TracedToken};
use crate::chat::{Message, MessageId, MessageState, Role};
use crate::store::StoreOp;
use crate::worker::protocol::{
    Distribution, EngineCommand, EngineEvent, FinishReason, GenerationStats, ReplyRef, RequestId, TokenTrace, answers,
    of_loading, of_variants,
};
use gibber_engine::SamplingParams;

/// A reply that grows is saved this often, so that a kill loses less than a second.
pub(super) const SAVE_INTERVAL: Duration = Duration::from_millis(500);

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

/// The time that a reply takes: it stands still while the person chooses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    started: Instant,
    /// What the person took by now.
    paused: Duration,
    stopped: Option<Instant>,
}

impl Clock {
    fn new(started: Instant) -> Self {
        Self { started, paused: Duration::ZERO, stopped: None }
    }

    /// The person has the word.
    pub(super) fn stop(&mut self, now: Instant) {
        self.stopped.get_or_insert(now);
    }

    /// The engine has it again.
    pub(super) fn go_on(&mut self, now: Instant) {
        self.paused += self.stopped.take().map_or(Duration::ZERO, |stopped| now.duration_since(stopped));
    }

    /// `now` as it would be had nobody been waited for.
    fn at(&self, now: Instant) -> Instant {
        now - self.paused
    }
}

/// What a request had to leave out: what it says is of the branch that the request was of, and of no other.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    messages: Vec<MessageId>,
    /// The last message that was sent.
    last: Option<MessageId>,
}

/// A reply that is running.
#[derive(Debug)]
pub struct Generation {
    /// The request.
    pub id: RequestId,
    /// How far it has come.
    pub phase: Phase,
    /// The time that it takes, without that of the person.
    pub(super) clock: Clock,
    /// After how long its first token came.
    pub first_token: Option<Duration>,
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
    /// What the next token is chosen from, while it waits.
    pub(super) to_come: Option<Distribution>,
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
    /// Whether the engine has said anything of it.
    has_begun: bool,
    pub(super) unsaved_since: Option<Instant>,
    last_save: Option<Instant>,
}

impl Generation {
    /// Whether it waits for the person.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.pause, Pause::Yes { .. })
    }

    /// Whether it waits, and what it waits with is still being computed.
    pub(super) fn is_unsettled(&self) -> bool {
        matches!(self.pause, Pause::Yes { is_settled: false, .. })
    }

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

/// Asking for replies.
impl OpenChat {
    /// Begins an answer to `parent`, or goes on with the message `continued`; returns what is asked of the engine.
    pub(super) fn begin_reply(
        &mut self,
        id: RequestId,
        parent: Option<MessageId>,
        continued: Option<MessageId>,
        setup: &Setup,
        now: Moment,
    ) -> EngineCommand {
        self.comparison = None;
        let former_head = self.session.transcript.head();
        self.session.transcript.set_head(continued.or(parent));
        let (prompt, sent) = self.prompt(setup);
        let before = continued.and_then(|message| self.replies.tokens(message)).unwrap_or_default();
        let picked = before.iter().filter(|token| token.trace.picked).count();
        self.generation = Some(Generation {
            id,
            phase: Phase::Waiting,
            clock: Clock::new(now.at),
            first_token: None,
            message: continued,
            tokens: 0,
            picked,
            stopping: false,
            pause: Pause::default(),
            to_come: None,
            draw_time: Duration::ZERO,
            sampling_log: vec![(0, setup.sampling.in_force().clone())],
            parent,
            former_head,
            opening: String::new(),
            sent,
            has_begun: false,
            unsaved_since: None,
            last_save: None,
        });
        let (name, sampling) = (None, setup.sampling.in_force());
        self.begin_record(&Asked { request: id, variant: 0, name, sampling, continued, begin: 0 }, setup);
        if let Some(message) = continued {
            self.session.transcript.set_state(message, MessageState::Streaming);
        }
        self.adapted.restart();
        let params = setup.generation_params(setup.sampling.in_force().clone(), setup.sampling.open());
        EngineCommand::Generate { id, prompt, params }
    }

    /// The filters are these from the next token on; returns the request of the reply that is running.
    pub(super) fn change_of_sampling(&mut self, sampling: &SamplingParams) -> Option<RequestId> {
        let generation = self.generation.as_mut()?;
        generation.sampling_log.push((generation.tokens, sampling.clone()));
        self.session.records.on_resampled(generation.id, generation.tokens, sampling);
        Some(generation.id)
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
}

/// What becomes of them.
impl OpenChat {
    pub(super) fn on_reply_event(
        &mut self,
        event: EngineEvent,
        now: Moment,
        setup: &Setup,
        engine: &mut Engine,
    ) -> Vec<Effect> {
        let has_begun = self.generation.as_mut().is_none_or(|generation| replace(&mut generation.has_begun, true));
        if !has_begun {
            self.on_first_event(&event);
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
                self.on_turns_dropped(&messages, &sent)
            }
            EngineEvent::Adapted { adaptation, .. } => {
                let sent = self.generation.as_ref().map(|generation| generation.sent.clone()).unwrap_or_default();
                self.on_adapted(&adaptation, &sent, (engine.model_name().to_owned(), setup.template.clone()));
                Vec::new()
            }
            EngineEvent::ThoughtOpened { opening, .. } => {
                if let Some(generation) = self.generation.as_mut() {
                    generation.opening = opening;
                }
                Vec::new()
            }
            EngineEvent::Began { stats, .. } => {
                if let (Some(generation), Some(first)) = (self.generation.as_mut(), stats.sampling_log.first()) {
                    generation.sampling_log[0] = first.clone();
                }
                Vec::new()
            }
            EngineEvent::Token { trace, context_used, .. } => {
                self.context_used = context_used;
                self.on_token(trace, now, setup.sampling.in_force(), engine)
            }
            EngineEvent::Finished { reason, stats, context_used, .. } => {
                // The last token is part of the chat, whether the cache has it or, after the last draw, does without it.
                if self.generation.as_ref().is_none_or(|generation| generation.tokens == 0) {
                    self.context_used = context_used;
                }
                self.on_finished(reason, stats, engine)
            }
            EngineEvent::Failed { error, .. } => self.on_reply_failed(error),
            EngineEvent::Paused { distribution, held_back, context_used, .. } => {
                self.on_paused(distribution, held_back, context_used, now);
                Vec::new()
            }
            EngineEvent::Resumed { .. } => {
                self.on_resumed(now);
                Vec::new()
            }
            EngineEvent::TakenBack { tokens, context_used, .. } => {
                self.context_used = context_used;
                self.on_taken_back(tokens, now);
                Vec::new()
            }
            of_loading!() | of_variants!() | answers!() | EngineEvent::WorkerDied { .. } => Vec::new(),
        }
    }

    fn on_token(
        &mut self,
        trace: TokenTrace,
        now: Moment,
        sampling: &SamplingParams,
        engine: &mut Engine,
    ) -> Vec<Effect> {
        let Some(generation) = self.generation.as_mut() else { return Vec::new() };
        let at = generation.clock.at(now.at);
        engine.meter.token(at);
        let model = engine.model_name();
        generation.phase = Phase::Decoding;
        generation.to_come = None;
        generation.tokens += 1;
        generation.picked += usize::from(trace.picked);
        generation.first_token.get_or_insert(at.duration_since(generation.clock.started));
        let mut effects = Vec::new();
        let message = match generation.message {
            Some(message) => {
                if let Some(node) = self.session.transcript.node(message).filter(|_| generation.tokens == 1) {
                    self.replies.go_on(node, model);
                }
                message
            }
            None => {
                let reply = Message::new(Role::Assistant, generation.opening.as_str());
                let id = self.session.transcript.append_to(generation.parent, reply, MessageState::Streaming);
                generation.message = Some(id);
                self.replies.begin(id, model);
                effects.push(self.session.put());
                id
            }
        };
        let start = self.session.transcript.node(message).map_or(0, |node| node.message.content.len());
        self.session.transcript.push_text(message, &trace.text);
        if !trace.text.is_empty() {
            generation.unsaved_since.get_or_insert(now.at);
        }
        let same = self.replies.tokens(message).and_then(<[_]>::last).filter(|last| *last.sampling == *sampling);
        let sampling = same.map_or_else(|| Arc::new(sampling.clone()), |last| Arc::clone(&last.sampling));
        self.replies.push(message, TracedToken { trace, sampling, start });
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

    fn on_finished(&mut self, reason: FinishReason, stats: GenerationStats, engine: &mut Engine) -> Vec<Effect> {
        let Some(generation) = self.generation.take() else { return Vec::new() };
        let load_time = engine.load_time();
        engine.was_waited_for();
        if let Some(message) = generation.message.filter(|_| generation.tokens == 0)
            && self.session.transcript.retract(message, &generation.opening)
        {
            return self.on_retracted(message);
        }
        let mut effects = Vec::new();
        let is_full = reason == FinishReason::Context;
        match generation.message {
            Some(message) => {
                let whole = matches!(reason, FinishReason::EndOfTurn | FinishReason::StopString(_));
                let state = if whole { MessageState::Complete } else { MessageState::Cut };
                self.session.transcript.set_state(message, state);
                effects.extend(self.session.put_message(message));
                let (draw_time, perplexity) = (generation.draw_time, self.replies.perplexity(message));
                let context = (self.context_used, engine.window());
                let summary = ReplySummary { reason, stats, draw_time, load_time, context, perplexity };
                self.replies.end(message, summary, ReplyRef { request: generation.id, variant: 0 });
            }
            None => {
                self.session.transcript.set_head(generation.former_head);
                let text = match reason {
                    FinishReason::Cancelled => "stopped before the first token: /regen asks again".to_owned(),
                    ref reason => format!("the model said nothing (stop: {})", reason_text(reason)),
                };
                self.note(NoteKind::Info, text);
            }
        }
        if is_full {
            let text = "the context is full and nothing is left to drop: /new starts afresh".to_owned();
            self.note(NoteKind::Warning, text);
        }
        effects
    }

    /// A reply ended after every token of it was taken back: the question is without a reply again.
    fn on_retracted(&mut self, message: MessageId) -> Vec<Effect> {
        self.replies.forget(message);
        self.move_notes_of(message);
        let text = "every token was taken back: /regen asks again";
        self.note(NoteKind::Info, text.to_owned());
        let session = self.session.record.id;
        vec![Effect::Store(StoreOp::DeleteMessage { session, message }), self.session.put()]
    }

    pub(super) fn on_reply_failed(&mut self, error: String) -> Vec<Effect> {
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

    /// The first event of a request that is answered. What its prompt leaves out is told before anything else: where it is
    /// not, that is nothing.
    pub(super) fn on_first_event(&mut self, event: &EngineEvent) {
        if !matches!(event, EngineEvent::TurnsDropped { .. }) {
            self.dropped = Dropped::default();
        }
    }

    /// Messages that the last request had to leave out, where it was of the branch on screen.
    pub(super) fn dropped(&self) -> &[MessageId] {
        if self.dropped.last.is_some_and(|last| self.transcript().is_on_path(last)) {
            &self.dropped.messages
        } else {
            &[]
        }
    }

    pub(super) fn is_dropped(&self, id: MessageId) -> bool {
        // Mostly there are none, and no path is walked.
        self.dropped.messages.contains(&id) && self.dropped().contains(&id)
    }

    /// The engine does without these entries of a request, behind which are the messages `sent`.
    pub(super) fn on_turns_dropped(&mut self, indices: &[usize], sent: &[Option<MessageId>]) -> Vec<Effect> {
        let dropped: Vec<MessageId> = indices.iter().filter_map(|&at| sent.get(at).copied().flatten()).collect();
        let news = dropped.iter().any(|id| !self.dropped.messages.contains(id));
        self.dropped = Dropped { messages: dropped, last: sent.iter().rev().copied().flatten().next() };
        if news {
            let text = match self.turns_among(&self.dropped.messages) {
                0 | 1 => "the context is full: the first turn is no longer seen by the model".to_owned(),
                n => format!("the context is full: the first {n} turns are no longer seen by the model"),
            };
            self.note(NoteKind::Warning, text);
        }
        Vec::new()
    }
}
