//! `/compare`: one question answered under several settings or seeds side by side, of which one answer is kept. All of
//! them are messages of the conversation from their first token on, so that nothing is lost however it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attachments::mentions;
use super::generation::SAVE_INTERVAL;
use super::lanes::{LaneSetting, differences, split_question};
use super::{App, Effect, Moment, NoteKind, Phase, ReplySummary, TracedToken};
use crate::chat::{Message, MessageId, MessageState, Role, title};
use crate::worker::protocol::{EngineCommand, EngineEvent, FinishReason, Prompt, RequestId, TokenTrace};
use gibber_engine::SamplingParams;

/// The most lanes of a comparison.
pub(super) const MOST_LANES: usize = 4;

/// One of the replies.
#[derive(Debug)]
pub struct Lane {
    /// What it is called: its preset, its parameters or its seed.
    pub label: String,
    /// The parameters in which the lanes differ, with its values.
    pub differences: String,
    /// Its message, from its first token on.
    pub message: Option<MessageId>,
    /// How it ended; `None` while it goes on.
    pub summary: Option<ReplySummary>,
    sampling: Arc<SamplingParams>,
    /// When its first and its last token came, and how many there are.
    times: Option<(Instant, Instant)>,
    tokens: usize,
}

impl Lane {
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
pub struct Parting {
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
    pub lanes: Vec<Lane>,
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

    pub(super) fn save_deadline(&self) -> Option<Instant> {
        self.running.then(|| self.saved + SAVE_INTERVAL)
    }

    fn messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.lanes.iter().filter_map(|lane| lane.message)
    }
}

/// What can be done with them.
impl App {
    /// `/compare [LANE…] [-- TEXT]`.
    pub(super) fn compare(&mut self, argument: &str, now: Moment) -> Vec<Effect> {
        let again = || vec![Effect::Compose(format!("/compare {argument}"))];
        if let Some(refusal) = self.refusal() {
            self.hint = Some(refusal);
            return again();
        }
        let (words, question) = split_question(argument);
        if let Err(error) = self.lane_settings(words) {
            self.note(NoteKind::Error, error);
            return again();
        }
        match question.filter(|question| !question.is_empty()) {
            Some(question) if !mentions(question).is_empty() => {
                vec![Effect::Attach { text: question.to_owned(), lanes: Some(words.to_owned()) }]
            }
            question => self.compare_answers(words, question, now),
        }
    }

    /// Answers a question, or the last one, under the settings that `words` name.
    pub(super) fn compare_answers(&mut self, words: &str, question: Option<&str>, now: Moment) -> Vec<Effect> {
        let settings = match self.lane_settings(words) {
            Ok(settings) => settings,
            Err(error) => {
                self.note(NoteKind::Error, error);
                return Vec::new();
            }
        };
        let mut effects = Vec::new();
        let parent = match question {
            Some(question) => {
                let question = self.as_question(question);
                if self.session.record.title.is_empty() {
                    self.session.record.title = title::of_question(question);
                }
                let id = self.session.transcript.append(Message::new(Role::User, question), MessageState::Complete);
                effects.push(self.session.put());
                effects.extend(self.session.put_message(id));
                id
            }
            None => match self.session.transcript.regenerate_parent() {
                Some(parent) => parent,
                None => {
                    let text = "there is no question to answer yet: /compare … -- TEXT asks one".to_owned();
                    self.note(NoteKind::Info, text);
                    return Vec::new();
                }
            },
        };
        effects.push(self.begin_lanes(parent, settings, now));
        effects
    }

    fn begin_lanes(&mut self, parent: MessageId, settings: Vec<LaneSetting>, now: Moment) -> Effect {
        let former_head = self.session.transcript.head();
        self.session.transcript.set_head(Some(parent));
        let (mut prompt, sent) = self.prompt();
        let begin = self.take_begin().unwrap_or_default();
        if let Prompt::Chat { messages, .. } = &mut prompt
            && !begin.is_empty()
        {
            messages.push(Message::new(Role::Assistant, begin.clone()));
        }
        let id = self.request_id();
        let samplings: Vec<SamplingParams> = settings.iter().map(|setting| setting.sampling.clone()).collect();
        let lane = |setting: LaneSetting| Lane {
            differences: differences(&setting.sampling, samplings.iter()),
            label: setting.label,
            message: None,
            summary: None,
            sampling: Arc::new(setting.sampling),
            times: None,
            tokens: 0,
        };
        let lanes: Vec<Lane> = settings.into_iter().map(lane).collect();
        let params = lanes.iter().map(|lane| self.generation_params(SamplingParams::clone(&lane.sampling)));
        let command = EngineCommand::Compare { id, prompt, lanes: params.collect() };
        self.comparison = Some(Comparison {
            id,
            lanes,
            chosen: 0,
            phase: Phase::Waiting,
            stopping: false,
            running: true,
            keeps: false,
            begin,
            parent,
            former_head,
            sent,
            saved: now.at,
        });
        self.meter.restart();
        self.adapted.restart();
        self.submit(command)
    }

    /// Looks at a lane: it becomes the reply of the conversation.
    pub(super) fn choose_lane(&mut self, lane: usize) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut().filter(|c| lane < c.lanes.len() && !c.keeps) else {
            return Vec::new();
        };
        comparison.chosen = lane;
        self.settle_head();
        self.session.put_if_stored()
    }

    /// Keeps the chosen lane. Others that go on are stopped; where it goes on itself, it is kept once it has ended.
    pub(super) fn keep_lane(&mut self) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        if !comparison.running {
            return self.close_comparison();
        }
        // Before the first token there is nothing to keep.
        if comparison.lanes[comparison.chosen].message.is_none() {
            return Vec::new();
        }
        comparison.keeps = true;
        let (id, chosen) = (comparison.id, comparison.chosen);
        let others = (0..comparison.lanes.len()).filter(|&lane| lane != chosen);
        others.map(|lane| Effect::Submit(EngineCommand::CancelLane { id, lane })).collect()
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
    pub(super) fn cut_lanes(&mut self) -> Vec<Effect> {
        if !self.comparison.as_ref().is_some_and(Comparison::is_running) {
            return Vec::new();
        }
        let mut effects = self.stop_comparison();
        effects.extend(self.end_running_lanes());
        effects
    }

    /// The chosen lane is the end of the conversation; where it has said nothing, another that has.
    fn settle_head(&mut self) {
        let Some(comparison) = &self.comparison else { return };
        let nothing = if comparison.running { Some(comparison.parent) } else { comparison.former_head };
        let chosen = comparison.lanes.get(comparison.chosen).and_then(|lane| lane.message);
        let head = chosen.or_else(|| comparison.messages().next()).or(nothing);
        self.session.transcript.set_head(head);
    }

    /// Cuts the lanes that go on, and saves them.
    fn end_running_lanes(&mut self) -> Vec<Effect> {
        let Some(comparison) = &self.comparison else { return Vec::new() };
        let open = comparison.lanes.iter().filter(|lane| lane.summary.is_none()).filter_map(|lane| lane.message);
        let mut effects = Vec::new();
        for message in open.collect::<Vec<_>>() {
            self.session.transcript.set_state(message, MessageState::Cut);
            effects.extend(self.session.put_message(message));
        }
        effects
    }

    /// Leaves the comparison for the conversation.
    fn close_comparison(&mut self) -> Vec<Effect> {
        self.settle_head();
        let Some(comparison) = self.comparison.take() else { return Vec::new() };
        let kept = self.session.transcript.head();
        let lane = comparison.lanes.iter().enumerate().find(|(_, lane)| lane.message.is_some() && lane.message == kept);
        if let Some((at, lane)) = lane {
            self.last_summary.clone_from(&lane.summary);
            let branches: Vec<String> = comparison
                .messages()
                .filter(|&message| Some(message) != kept)
                .map(|message| format!("/branch {}", self.session.transcript.branch_position(message).0))
                .collect();
            if !branches.is_empty() {
                let text = format!("lane {} ({}) is kept; {} shows another", at + 1, lane.label, branches.join(" or "));
                self.note(NoteKind::Info, text);
            }
        }
        self.session.put_if_stored()
    }
}

/// What becomes of them.
impl App {
    pub(super) fn is_compared(&self, event: &EngineEvent) -> bool {
        self.comparison.as_ref().is_some_and(|comparison| event.request() == Some(comparison.id))
    }

    pub(super) fn on_lanes_event(&mut self, event: EngineEvent, now: Moment) -> Vec<Effect> {
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
                self.turns_dropped(&messages, &sent)
            }
            EngineEvent::Adapted { adaptation, .. } => {
                let sent = comparison.sent.clone();
                self.on_adapted(&adaptation, &sent);
                Vec::new()
            }
            EngineEvent::ThoughtOpened { opening, .. } => {
                comparison.begin = opening;
                Vec::new()
            }
            EngineEvent::LaneToken { lane, trace, context_used, .. } => {
                self.context_used = context_used;
                self.lane_token(lane, trace, now)
            }
            EngineEvent::LaneFinished { lane, reason, stats, .. } => {
                self.lane_finished(lane, ReplySummary { reason, stats, draw_time: Duration::ZERO, perplexity: None })
            }
            EngineEvent::Compared { context_used, .. } => {
                self.context_used = context_used;
                self.compared()
            }
            _ => Vec::new(),
        }
    }

    fn lane_token(&mut self, lane: usize, trace: TokenTrace, now: Moment) -> Vec<Effect> {
        self.meter.token(now.at);
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        let (parent, begin) = (comparison.parent, comparison.begin.as_str());
        let Some(lane) = comparison.lanes.get_mut(lane) else { return Vec::new() };
        comparison.phase = Phase::Decoding;
        let (first, _) = lane.times.unwrap_or((now.at, now.at));
        lane.times = Some((first, now.at));
        lane.tokens += 1;
        let message = *lane.message.get_or_insert_with(|| {
            let reply = Message::new(Role::Assistant, begin);
            self.session.transcript.append_to(Some(parent), reply, MessageState::Streaming)
        });
        let start = self.session.transcript.node(message).map_or(0, |node| node.message.content.len());
        self.session.transcript.push_text(message, &trace.text);
        let sampling = Arc::clone(&lane.sampling);
        let is_first = lane.tokens == 1;
        self.tokens.entry(message).or_default().push(TracedToken { trace, sampling, start });
        let due = now.at >= comparison.saved + SAVE_INTERVAL;
        if is_first {
            self.settle_head();
        }
        if is_first || due { self.save_lanes(now) } else { Vec::new() }
    }

    /// Writes what there is of the lanes that go on.
    pub(super) fn save_lanes(&mut self, now: Moment) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        comparison.saved = now.at;
        let open = comparison.lanes.iter().filter(|lane| lane.summary.is_none()).filter_map(|lane| lane.message);
        let messages: Vec<MessageId> = open.collect();
        let mut effects = vec![self.session.put()];
        effects.extend(messages.into_iter().filter_map(|message| self.session.put_message(message)));
        effects
    }

    fn lane_finished(&mut self, lane: usize, mut summary: ReplySummary) -> Vec<Effect> {
        let message = self.comparison.as_ref().and_then(|comparison| comparison.lanes.get(lane)?.message);
        summary.perplexity = message.and_then(|message| self.perplexity_of(message));
        let comparison = self.comparison.as_mut();
        let Some(lane) = comparison.and_then(|comparison| comparison.lanes.get_mut(lane)) else { return Vec::new() };
        lane.summary = Some(summary.clone());
        let Some(message) = message else { return Vec::new() };
        let whole = matches!(summary.reason, FinishReason::EndOfTurn | FinishReason::StopString(_));
        self.session.transcript.set_state(message, if whole { MessageState::Complete } else { MessageState::Cut });
        self.summaries.insert(message, summary);
        self.session.put_message(message).into_iter().collect()
    }

    fn compared(&mut self) -> Vec<Effect> {
        let Some(comparison) = self.comparison.as_mut() else { return Vec::new() };
        comparison.running = false;
        let (silent, keeps) = (comparison.messages().next().is_none(), comparison.keeps);
        // The logits that the engine holds are of one lane, maybe not the one that is looked at.
        self.next_token = None;
        if silent {
            self.note(NoteKind::Info, "no lane has said anything: /compare asks again".to_owned());
        }
        if silent || keeps {
            return self.close_comparison();
        }
        self.settle_head();
        self.session.put_if_stored()
    }

    /// The lanes can go on no more; what they have said stays.
    pub(super) fn comparison_failed(&mut self, error: String) -> Vec<Effect> {
        let mut effects = self.end_running_lanes();
        if let Some(comparison) = self.comparison.as_mut() {
            comparison.running = false;
        }
        effects.extend(self.close_comparison());
        self.note(NoteKind::Error, error);
        effects
    }
}

/// What is seen of them.
impl App {
    /// The tokens of a lane.
    pub fn lane_tokens(&self, lane: usize) -> &[TracedToken] {
        let lane = self.comparison.as_ref().and_then(|comparison| comparison.lanes.get(lane));
        lane.and_then(|lane| lane.message).and_then(|message| self.tokens_of(message)).unwrap_or_default()
    }

    /// Where a lane parts from each of the others.
    pub fn partings(&self, lane: usize) -> Vec<Parting> {
        let Some(comparison) = &self.comparison else { return Vec::new() };
        let has_ended = |lane: usize| comparison.lanes.get(lane).is_some_and(|lane| lane.summary.is_some());
        let others = (0..comparison.lanes.len()).filter(|&other| other != lane);
        let parting = |other| {
            let (one, two) = ((self.lane_tokens(lane), has_ended(lane)), (self.lane_tokens(other), has_ended(other)));
            Parting { other, token: parting(one, two) }
        };
        others.map(parting).collect()
    }
}

/// The first place where two replies have not the same token; each comes with whether it has ended.
fn parting((one, one_ended): (&[TracedToken], bool), (two, two_ended): (&[TracedToken], bool)) -> Option<usize> {
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
