//! `/compare`: one question answered under several settings or seeds side by side, of which one answer is kept. All of
//! them are messages of the conversation from their first token on, so that nothing is lost however it ends.

use std::mem::replace;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::generation::SAVE_INTERVAL;
use super::loading::Engine;
use super::open_chat::OpenChat;
use super::recording::Asked;
use super::setup::Setup;
use super::variants::{VariantSetting, differences};
use super::{Effect, Moment, NoteKind, Phase, ReplySummary, TracedToken};
use crate::chat::{Message, MessageId, MessageState, Role};
use crate::worker::protocol::{
    EngineCommand, EngineEvent, FinishReason, GenerationStats, Prompt, ReplyRef, RequestId, TokenTrace, answers,
    of_loading, of_reply,
};
use gibber_engine::SamplingParams;
use gibber_engine::sampling::Parameter;

/// One of the replies.
#[derive(Debug)]
pub struct Variant {
    /// What it is called: its preset, its parameters or its seed.
    pub label: String,
    /// The parameters in which the lanes differ, with its values.
    pub differences: String,
    /// Its message, from its first token on.
    pub message: Option<MessageId>,
    /// How it ended; `None` while it goes on.
    pub summary: Option<ReplySummary>,
    sampling: Arc<SamplingParams>,
    /// Those of them that are the model's.
    open: Vec<Parameter>,
    /// When its first and its last token came, and how many there are.
    times: Option<(Instant, Instant)>,
    tokens: usize,
    /// Tokens in its context.
    context_used: usize,
}

impl Variant {
    /// `creative: temperature 1.10 · top-k 0`: what it is called, and in what it differs where that says more.
    pub fn heading(&self) -> String {
        match self.differences.as_str() {
            "" => self.label.clone(),
            differences if differences == self.label => self.label.clone(),
            differences => format!("{}: {differences}", self.label),
        }
    }

    /// Tokens a second, the other lanes' turns counted in; `None` before there are two.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = self.times?;
        let seconds = last.duration_since(first).as_secs_f64();
        (seconds > 0.0).then(|| (self.tokens - 1) as f64 / seconds)
    }
}

/// Where a lane parts from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divergence {
    /// The other lane, from 0.
    pub other: usize,
    /// The first token that the other does not have there; `None` where both are the same as far as they have come.
    pub token: Option<usize>,
}

/// Replies to one question, side by side.
#[derive(Debug)]
pub struct Comparison {
    /// The request.
    pub id: RequestId,
    /// The replies: two to four.
    pub variants: Vec<Variant>,
    /// The lane that is looked at: it is the reply of the conversation.
    pub chosen: usize,
    /// How far the prompt has come.
    pub phase: Phase,
    /// Whether the person has asked the lanes to stop.
    pub stopping: bool,
    running: bool,
    /// Whether the chosen lane is kept as soon as it has ended.
    keeps: bool,
    /// What every reply begins with.
    begin: String,
    parent: MessageId,
    former_head: Option<MessageId>,
    sent: Vec<Option<MessageId>>,
    /// Whether the engine has said anything of it.
    has_begun: bool,
    saved: Instant,
}

impl Comparison {
    /// Whether any lane goes on.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether the chosen lane is kept as soon as it has ended.
    pub fn is_kept(&self) -> bool {
        self.keeps
    }

    /// Tokens in the context of the lane that is looked at; `None` before its first one.
    pub(super) fn context_used(&self) -> Option<usize> {
        let variant = self.variants.get(self.chosen)?;
        (variant.tokens > 0).then_some(variant.context_used)
    }

    pub(super) fn save_deadline(&self) -> Option<Instant> {
        self.running.then(|| self.saved + SAVE_INTERVAL)
    }

    fn messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.variants.iter().filter_map(|variant| variant.message)
    }
}

/// What can be done with them.
impl OpenChat {
    /// Begins answers to `parent` under these settings; returns what is asked of the engine.
    pub(super) fn begin_variants(
        &mut self,
        id: RequestId,
        parent: MessageId,
        settings: Vec<VariantSetting>,
        setup: &Setup,
        now: Moment,
    ) -> EngineCommand {
        let former_head = self.session.transcript.head();
        self.session.transcript.set_head(Some(parent));
        let (mut prompt, sent) = self.prompt(setup);
        let begin = self.branches.take_begin().unwrap_or_default();
        if let Prompt::Chat { messages, .. } = &mut prompt
            && !begin.is_empty()
        {
            messages.push(Message::new(Role::Assistant, begin.clone()));
        }
        let samplings: Vec<SamplingParams> = settings.iter().map(|setting| setting.sampling.clone()).collect();
        let variant = |setting: VariantSetting| Variant {
            differences: differences(&setting.sampling, samplings.iter()),
            label: setting.label,
            message: None,
            summary: None,
            sampling: Arc::new(setting.sampling),
            open: setting.open,
            times: None,
            tokens: 0,
            context_used: 0,
        };
        let variants: Vec<Variant> = settings.into_iter().map(variant).collect();
        let params = variants
            .iter()
            .map(|variant| setup.generation_params(SamplingParams::clone(&variant.sampling), variant.open.clone()));
        let command = EngineCommand::Compare { id, prompt, variants: params.collect() };
        for (at, variant) in variants.iter().enumerate() {
            let (name, sampling, begin) = (Some(variant.label.as_str()), &*variant.sampling, begin.len());
            self.begin_record(&Asked { request: id, variant: at, name, sampling, continued: None, begin }, setup);
        }
        self.comparison = Some(Comparison {
            id,
            variants,
            chosen: 0,
            phase: Phase::Waiting,
            stopping: false,
            running: true,
            keeps: false,
            begin,
            parent,
            former_head,
            sent,
            has_begun: false,
            saved: now.at,
        });
        self.adapted.restart();
        command
    }

    /// Looks at a lane: it becomes the reply of the conversation.
    pub(super) fn choose_variant(&mut self, variant: usize) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut().filter(|c| variant < c.variants.len() && !c.keeps) else {
            return Vec::new();
        };
        comparison.chosen = variant;
        self.set_head();
        self.session.put_if_stored()
    }

    /// Keeps the chosen lane. Others that go on are stopped; where it goes on itself, it is kept once it has ended.
    pub(super) fn keep_variant(&mut self) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        if !comparison.running {
            return self.close_comparison();
        }
        // Before the first token there is nothing to keep.
        if comparison.variants[comparison.chosen].message.is_none() {
            return Vec::new();
        }
        comparison.keeps = true;
        let (id, chosen) = (comparison.id, comparison.chosen);
        let others = (0..comparison.variants.len()).filter(|&variant| variant != chosen);
        others.map(|variant| Effect::Submit(EngineCommand::CancelVariant { id, variant })).collect()
    }

    /// Stops the lanes; once they have ended, leaves them with the chosen one as the reply.
    pub(super) fn stop_comparison(&mut self) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        if !comparison.running {
            return self.close_comparison();
        }
        comparison.stopping = true;
        vec![Effect::Submit(EngineCommand::Cancel { id: comparison.id })]
    }

    /// The program ends: stops the lanes and saves what there is of them, without waiting for the engine.
    pub(super) fn cut_variants(&mut self) -> Vec<Effect> {
        if !self.comparison.as_ref().is_some_and(Comparison::is_running) {
            return Vec::new();
        }
        let mut effects = self.stop_comparison();
        effects.extend(self.end_running_variants());
        effects
    }

    /// The chosen lane is the end of the conversation; where it has said nothing, another that has.
    fn set_head(&mut self) {
        let Some(comparison) = &self.comparison else { return };
        let nothing = if comparison.running { Some(comparison.parent) } else { comparison.former_head };
        let chosen = comparison.variants.get(comparison.chosen).and_then(|variant| variant.message);
        let head = chosen.or_else(|| comparison.messages().next()).or(nothing);
        self.session.transcript.set_head(head);
    }

    /// Cuts the lanes that go on, and saves them.
    fn end_running_variants(&mut self) -> Vec<Effect> {
        let Some(comparison) = &self.comparison else { return Vec::new() };
        let open = comparison
            .variants
            .iter()
            .filter(|variant| variant.summary.is_none())
            .filter_map(|variant| variant.message);
        let mut effects = Vec::new();
        for message in open.collect::<Vec<_>>() {
            self.session.transcript.set_state(message, MessageState::Cut);
            effects.extend(self.session.put_message(message));
        }
        effects
    }

    /// Leaves the comparison for the conversation.
    fn close_comparison(&mut self) -> Vec<Effect> {
        self.set_head();
        let Some(comparison) = self.comparison.take() else { return Vec::new() };
        let kept = self.session.transcript.head();
        let variant = comparison
            .variants
            .iter()
            .enumerate()
            .find(|(_, variant)| variant.message.is_some() && variant.message == kept);
        if let Some((at, variant)) = variant {
            self.context_used = variant.context_used;
            let branches: Vec<String> = comparison
                .messages()
                .filter(|&message| Some(message) != kept)
                .map(|message| format!("/branch {}", self.session.transcript.branch_position(message).0))
                .collect();
            if !branches.is_empty() {
                let text =
                    format!("lane {} ({}) is kept; {} shows another", at + 1, variant.label, branches.join(" or "));
                self.note(NoteKind::Info, text);
            }
        }
        self.session.put_if_stored()
    }
}

/// What becomes of them.
impl OpenChat {
    pub(super) fn on_variants_event(
        &mut self,
        event: EngineEvent,
        now: Moment,
        setup: &Setup,
        engine: &mut Engine,
    ) -> Vec<Effect> {
        let has_begun = self.comparison.as_mut().is_none_or(|comparison| replace(&mut comparison.has_begun, true));
        if !has_begun {
            self.on_first_event(&event);
        }
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        match event {
            EngineEvent::PrefillProgress { reused, done, total, .. } => {
                self.context_used = done;
                if comparison.messages().next().is_none() {
                    comparison.phase = Phase::Prefill { reused, done, total };
                }
                Vec::new()
            }
            EngineEvent::PromptFault { fault, .. } => {
                self.note(NoteKind::Warning, fault.to_string());
                Vec::new()
            }
            EngineEvent::TurnsDropped { messages, .. } => {
                let sent = comparison.sent.clone();
                self.on_turns_dropped(&messages, &sent)
            }
            EngineEvent::Adapted { adaptation, .. } => {
                let sent = comparison.sent.clone();
                self.on_adapted(&adaptation, &sent, (engine.model_name().to_owned(), setup.template.clone()));
                Vec::new()
            }
            EngineEvent::ThoughtOpened { opening, .. } => {
                comparison.begin = opening;
                Vec::new()
            }
            EngineEvent::VariantToken { variant, trace, context_used, .. } => {
                self.context_used = context_used;
                self.on_variant_token(variant, trace, context_used, now, engine)
            }
            EngineEvent::VariantFinished { variant, reason, stats, .. } => {
                self.on_variant_finished(variant, reason, stats, engine)
            }
            EngineEvent::Compared { .. } => self.on_compared(engine),
            EngineEvent::Failed { error, .. } => self.on_comparison_failed(error),
            EngineEvent::Began { .. } | of_loading!() | of_reply!() | answers!() | EngineEvent::WorkerDied { .. } => {
                Vec::new()
            }
        }
    }

    fn on_variant_token(
        &mut self,
        variant: usize,
        trace: TokenTrace,
        context_used: usize,
        now: Moment,
        engine: &mut Engine,
    ) -> Vec<Effect> {
        engine.meter.token(now.at);
        let model = engine.model_name();
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        let (parent, begin) = (comparison.parent, comparison.begin.as_str());
        let Some(variant) = comparison.variants.get_mut(variant) else { return Vec::new() };
        comparison.phase = Phase::Decoding;
        let (first, _) = variant.times.unwrap_or((now.at, now.at));
        variant.times = Some((first, now.at));
        variant.tokens += 1;
        variant.context_used = context_used;
        let message = *variant.message.get_or_insert_with(|| {
            let reply = Message::new(Role::Assistant, begin);
            let id = self.session.transcript.append_to(Some(parent), reply, MessageState::Streaming);
            self.replies.begin(id, model);
            id
        });
        let start = self.session.transcript.node(message).map_or(0, |node| node.message.content.len());
        self.session.transcript.push_text(message, &trace.text);
        let sampling = Arc::clone(&variant.sampling);
        let is_first = variant.tokens == 1;
        self.replies.push(message, TracedToken { trace, sampling, start });
        let due = now.at >= comparison.saved + SAVE_INTERVAL;
        if is_first {
            self.set_head();
        }
        if is_first || due { self.save_variants(now) } else { Vec::new() }
    }

    /// Writes what there is of the lanes that go on.
    pub(super) fn save_variants(&mut self, now: Moment) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        comparison.saved = now.at;
        let open = comparison
            .variants
            .iter()
            .filter(|variant| variant.summary.is_none())
            .filter_map(|variant| variant.message);
        let messages: Vec<MessageId> = open.collect();
        let mut effects = vec![self.session.put()];
        effects.extend(messages.into_iter().filter_map(|message| self.session.put_message(message)));
        effects
    }

    fn on_variant_finished(
        &mut self,
        at: usize,
        reason: FinishReason,
        stats: GenerationStats,
        engine: &Engine,
    ) -> Vec<Effect> {
        let (load_time, window) = (engine.load_time(), engine.window());
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        let request = comparison.id;
        let Some(variant) = comparison.variants.get_mut(at) else { return Vec::new() };
        let perplexity = variant.message.and_then(|message| self.replies.perplexity(message));
        let context = (variant.context_used, window);
        let summary = ReplySummary { reason, stats, draw_time: Duration::ZERO, load_time, context, perplexity };
        variant.summary = Some(summary.clone());
        let Some(message) = variant.message else { return Vec::new() };
        let whole = matches!(summary.reason, FinishReason::EndOfTurn | FinishReason::StopString(_));
        self.session.transcript.set_state(message, if whole { MessageState::Complete } else { MessageState::Cut });
        self.replies.end(message, summary, ReplyRef { request, variant: at });
        self.session.put_message(message).into_iter().collect()
    }

    fn on_compared(&mut self, engine: &mut Engine) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        comparison.running = false;
        let (silent, keeps) = (comparison.messages().next().is_none(), comparison.keeps);
        // All of them have waited for it.
        engine.was_waited_for();
        if silent {
            self.note(NoteKind::Info, "no lane has said anything: /compare asks again".to_owned());
        }
        if silent || keeps {
            return self.close_comparison();
        }
        self.set_head();
        self.session.put_if_stored()
    }

    /// The lanes can go on no more; what they have said stays.
    pub(super) fn on_comparison_failed(&mut self, error: String) -> Vec<Effect> {
        let mut effects = self.end_running_variants();
        if let Some(comparison) = self.comparison.as_mut() {
            comparison.running = false;
        }
        effects.extend(self.close_comparison());
        self.note(NoteKind::Error, error);
        effects
    }
}

/// What is seen of them.
impl OpenChat {
    /// The tokens of a lane.
    pub(super) fn variant_tokens(&self, variant: usize) -> &[TracedToken] {
        let variant = self.comparison.as_ref().and_then(|comparison| comparison.variants.get(variant));
        variant.and_then(|variant| variant.message).and_then(|message| self.replies.tokens(message)).unwrap_or_default()
    }

    /// Where a lane parts from each of the others.
    pub(super) fn divergences(&self, variant: usize) -> Vec<Divergence> {
        let Some(comparison) = &self.comparison else { return Vec::new() };
        let has_ended =
            |variant: usize| comparison.variants.get(variant).is_some_and(|variant| variant.summary.is_some());
        let others = (0..comparison.variants.len()).filter(|&other| other != variant);
        let divergence = |other| {
            let (one, two) =
                ((self.variant_tokens(variant), has_ended(variant)), (self.variant_tokens(other), has_ended(other)));
            Divergence { other, token: divergence(one, two) }
        };
        others.map(divergence).collect()
    }
}

/// The first place where two replies have not the same token; each comes with whether it has ended.
fn divergence((one, one_ended): (&[TracedToken], bool), (two, two_ended): (&[TracedToken], bool)) -> Option<usize> {
    let same = |(a, b): &(&TracedToken, &TracedToken)| a.trace.token == b.trace.token;
    let common = one.iter().zip(two).take_while(same).count();
    let goes_on = |tokens: &[TracedToken]| tokens.len() > common;
    let parts = match (goes_on(one), goes_on(two)) {
        (true, true) => true,
        (true, false) => two_ended,
        (false, true) => one_ended,
        (false, false) => false,
    };
    parts.then_some(common)
}

#[cfg(test)]
mod tests;
