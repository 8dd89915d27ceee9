//! A stored reply is computed again from what is known of how it came to be: is it the same?

use super::open_chat::OpenChat;
use super::records::{samplings, steers};
use super::requests::Owner;
use super::template::template_choice;
use super::{App, Effect, NoteKind};
use crate::chat::provenance::{Ending, Passage};
use crate::chat::{Message, Provenance, Role, Transcript, one_line};
use crate::worker::protocol::{
    EngineCommand, EngineEvent, FinishReason, GenerationParams, Passes, Prompt, PromptLookup, Replay, RequestId,
    Stepping, TokenTrace, answers, of_loading, of_variants,
};
use gibber_engine::SamplingParams;
use gibber_engine::load::ModelInfo;

/// Characters before a difference that are shown with it.
const SHOWN_BEFORE: usize = 30;

/// A reply that is to be computed again.
#[derive(Debug)]
pub struct ReplayPlan {
    /// Its number on the path, from 1.
    number: usize,
    provenance: Provenance,
    /// All of its text.
    text: String,
    /// What was said before it.
    before: Vec<Message>,
    /// The passage that comes next, and what was found by now.
    next: usize,
    tokens: usize,
    notes: Vec<String>,
    found: Vec<TokenTrace>,
    prompt_hash: Option<u64>,
    /// The texts of the passage's tokens.
    recorded: Vec<String>,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayOutcome {
    /// Whether all of it is the same.
    pub is_identical: bool,
    /// In sentences: what there is to know of it, and at last whether it is the same.
    pub lines: Vec<String>,
}

impl ReplayPlan {
    /// Of the `number`th reply on the path on screen, from 1; of the last one for `None`.
    ///
    /// # Errors
    /// A sentence: there is no such reply, or nobody knows how it came to be.
    pub fn new(transcript: &Transcript, number: Option<usize>) -> Result<Self, String> {
        let path = transcript.path();
        let replies: Vec<usize> = (0..path.len()).filter(|at| path[*at].message.role == Role::Assistant).collect();
        let count = replies.len();
        let number = number.unwrap_or(count);
        let Some(&at) = number.checked_sub(1).and_then(|place| replies.get(place)) else {
            return Err(match count {
                0 => "there is no reply yet that could be computed again".to_owned(),
                _ => {
                    format!("there is no reply {number}: this chat has {count} of them on the branch that is on screen")
                }
            });
        };
        let node = path[at];
        let unknown = || {
            format!(
                "nobody knows how reply {number} came to be: it was imported, written by hand, or made by a version of gibber that did not keep that"
            )
        };
        let provenance = node.provenance.as_deref().ok_or_else(unknown)?.clone();
        if provenance.passages.is_empty() {
            return Err(unknown());
        }
        if provenance.passages.iter().any(|passage| passage.sampling.iter().any(|(_, it)| it.known().is_none())) {
            return Err(format!("reply {number} was made with filters that this version does not know: update gibber"));
        }
        let before = path[..at].iter().map(|node| node.message.clone()).collect();
        let text = node.message.content.clone();
        let (notes, found) = (Vec::new(), Vec::new());
        Ok(Self {
            number,
            provenance,
            text,
            before,
            next: 0,
            tokens: 0,
            notes,
            found,
            prompt_hash: None,
            recorded: Vec::new(),
        })
    }

    /// Its number on the path, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// How it came to be.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    fn passage(&self) -> &Passage {
        &self.provenance.passages[self.next]
    }

    /// Notes in what `model`, with which it is computed now, differs from that which wrote it.
    pub fn compare_model(&mut self, model: &ModelInfo) {
        let passage = &self.provenance.passages[0];
        let (was, machine) = (self.provenance.model_of(passage), &passage.machine);
        let mut notes = Vec::new();
        if !was.hash.is_empty() && was.hash != model.hash {
            notes.push(format!(
                "the model is another one: {} ({}, hash {}) wrote this reply, and {} ({}, hash {}) is loaded",
                one_line(&was.name),
                one_line(&was.format),
                one_line(short(&was.hash)),
                one_line(&model.name),
                model.format,
                short(&model.hash)
            ));
        }
        if machine.isa != model.isa {
            notes.push(format!(
                "it was computed with the instruction set {}, and is computed with {} here: sums are rounded otherwise, so that tokens may differ",
                one_line(&machine.isa),
                model.isa
            ));
        }
        let cache = model.cache.to_string();
        if machine.cache != cache {
            notes.push(format!(
                "keys and values were kept as {}, and are kept as {cache} here",
                one_line(&machine.cache)
            ));
        }
        if machine.context != model.context {
            notes.push(format!(
                "the context had {} tokens, and has {} here: turns may be left out elsewhere",
                machine.context, model.context
            ));
        }
        if machine.version != env!("CARGO_PKG_VERSION") {
            let (then, now) = (one_line(&machine.version), env!("CARGO_PKG_VERSION"));
            notes.push(format!("gibber {then} computed it, and this is {now}"));
        }
        let models = self.provenance.passages.iter().map(|passage| self.provenance.model_of(passage));
        if let Some(other) = models.into_iter().find(|other| other.hash != was.hash) {
            notes.push(format!(
                "a part of it was written by {} ({}): one model computes all of it here",
                one_line(&other.name),
                one_line(&other.format)
            ));
        }
        if passage.prompt.left_out > 0 {
            let messages = match passage.prompt.left_out {
                1 => "message".to_owned(),
                n => format!("{n} messages"),
            };
            notes.push(format!(
                "the context of {} tokens had no room for the first {messages} of the chat: the model does not see them here either",
                machine.context
            ));
        }
        self.notes = notes;
    }

    /// What the engine is asked for next; `None` once all of it is computed.
    pub fn request(&self) -> Option<(Prompt, GenerationParams)> {
        let passage = self.provenance.passages.get(self.next)?;
        let record = &passage.prompt;
        let system = (!record.system.is_empty()).then(|| Message::new(Role::System, record.system.as_str()));
        let kept = self.before.iter().skip(record.left_out).cloned();
        let mut messages: Vec<Message> = system.into_iter().chain(kept).collect();
        if passage.is_continued {
            let given = self.text.get(..passage.start).unwrap_or(&self.text);
            messages.push(Message::new(Role::Assistant, given));
        }
        let prompt = Prompt::Chat { messages, template: template_choice(&record.template), thinking: record.thinking };
        let sampling = samplings(passage);
        let start = sampling.first().map(|(_, sampling)| sampling.clone()).unwrap_or_default();
        let ends = passage.end.is_none() && passage.ending.as_ref().is_some_and(|ending| *ending != Ending::Stopped);
        let replay = Replay {
            sampling,
            steps: steers(passage),
            passes: Passes::new(record.passes.clone()),
            tokens: passage.tokens.clone(),
            ends,
        };
        let params = GenerationParams {
            sampling: SamplingParams { seed: Some(passage.seed), ..start },
            open: Vec::new(),
            max_tokens: passage.max_tokens,
            stop: passage.stop.clone(),
            candidates: 0,
            lookup: PromptLookup::Off,
            stepping: Stepping::Off,
            replay: Some(Box::new(replay)),
        };
        Some((prompt, params))
    }

    /// Takes in what the engine tells of it. Returns what has come of it, once that is known.
    pub fn on_event(&mut self, event: &EngineEvent) -> Option<ReplayOutcome> {
        match event {
            EngineEvent::Began { stats, recorded, .. } => {
                self.prompt_hash = Some(stats.prompt_hash);
                self.recorded.clone_from(recorded);
            }
            EngineEvent::Token { trace, .. } => self.found.push(trace.clone()),
            EngineEvent::TakenBack { tokens, .. } => self.found.truncate(*tokens),
            EngineEvent::Finished { reason, .. } => return self.on_finished(reason),
            EngineEvent::TurnsDropped { .. }
            | EngineEvent::Adapted { .. }
            | EngineEvent::ThoughtOpened { .. }
            | EngineEvent::PromptFault { .. }
            | EngineEvent::PrefillProgress { .. }
            | EngineEvent::Paused { .. }
            | EngineEvent::Resumed { .. }
            | of_loading!()
            | of_variants!()
            | answers!()
            | EngineEvent::Failed { .. }
            | EngineEvent::WorkerDied { .. } => {}
        }
        None
    }

    fn on_finished(&mut self, reason: &FinishReason) -> Option<ReplayOutcome> {
        let found = std::mem::take(&mut self.found);
        let hash = self.prompt_hash.take().map(|hash| format!("{hash:016x}"));
        let passage = self.passage();
        let recorded = &passage.prompt.hash;
        // What another model read is another prompt, and that was said.
        let is_ours =
            self.provenance.model_of(passage).hash == self.provenance.model_of(&self.provenance.passages[0]).hash;
        if is_ours && hash.as_ref().is_some_and(|hash| !recorded.is_empty() && hash != recorded) {
            let note = format!(
                "the prompt is not the one of {} tokens that this reply was made from: the chat template, the tokenizer or the messages before it have changed",
                passage.prompt.tokens
            );
            self.notes.push(note);
        }
        match self.compare(&found, reason) {
            Ok(tokens) => self.tokens += tokens,
            Err(difference) => return Some(self.outcome(false, difference)),
        }
        self.next += 1;
        if self.next < self.provenance.passages.len() {
            return None;
        }
        let tokens = if self.tokens == 1 { "1 token".to_owned() } else { format!("{} tokens", self.tokens) };
        Some(self.outcome(true, format!("reply {} is identical: {tokens}", self.number)))
    }

    fn outcome(&mut self, is_identical: bool, verdict: String) -> ReplayOutcome {
        let mut lines = std::mem::take(&mut self.notes);
        lines.push(verdict);
        ReplayOutcome { is_identical, lines }
    }

    /// How many tokens of the passage the reply has, which are those that were computed: what stands behind an alternative
    /// that was taken is no part of it.
    ///
    /// # Errors
    /// Where what was computed differs from what is stored, in words.
    fn compare(&self, found: &[TokenTrace], reason: &FinishReason) -> Result<usize, String> {
        let passage = self.passage();
        let mut at = passage.start.min(self.text.len());
        for (place, token) in passage.tokens.iter().enumerate() {
            if passage.end.is_some_and(|end| at >= end) {
                return Ok(place);
            }
            match found.get(place) {
                Some(trace) if trace.token == *token => at += trace.text.len(),
                other => return Err(self.differs(place, at, other, reason)),
            }
        }
        let goes_on = found.get(passage.tokens.len()).filter(|_| passage.end.is_none());
        let was_stopped = matches!(passage.ending, None | Some(Ending::Stopped));
        match goes_on {
            Some(trace) if !was_stopped => Err(format!(
                "reply {} differs after token {}{}: it ended there, and goes on with {:?} here",
                self.number,
                self.tokens + passage.tokens.len(),
                self.place(at),
                trace.text
            )),
            Some(_) | None => Ok(passage.tokens.len()),
        }
    }

    fn differs(&self, place: usize, at: usize, found: Option<&TokenTrace>, reason: &FinishReason) -> String {
        let number = self.tokens + place + 1;
        let token = self.passage().tokens[place];
        // Without a text where this model has no such token.
        let said = self.recorded.get(place).map(|text| format!("{text:?} ")).unwrap_or_default();
        let said = format!("{said}(token {token})");
        let here = match found {
            Some(trace) => format!("{:?} (token {}) is said here", trace.text, trace.token),
            None if *reason == FinishReason::Cancelled => "it was stopped here".to_owned(),
            None => format!("it ends here ({})", reason.as_str()),
        };
        format!("reply {} differs from token {number} on{}: {said} was said, and {here}", self.number, self.place(at))
    }

    /// ` (after "…the capital of")`
    fn place(&self, at: usize) -> String {
        let before = self.text.get(..at).unwrap_or_default();
        if before.is_empty() {
            return String::new();
        }
        let start = before.char_indices().rev().nth(SHOWN_BEFORE - 1).map_or(0, |(start, _)| start);
        let more = if start > 0 { "…" } else { "" };
        format!(" (after \"{more}{}\")", one_line(&before[start..]))
    }
}

/// The first digits of a hash.
fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// A reply that is being computed again.
#[derive(Debug)]
pub(super) struct Replaying {
    id: RequestId,
    plan: ReplayPlan,
    is_stopping: bool,
}

impl OpenChat {
    /// Whether a reply is being computed again, and is not to stop.
    pub(super) fn is_replaying(&self) -> bool {
        self.replaying.as_ref().is_some_and(|replaying| !replaying.is_stopping)
    }

    /// Stops it, where there is one.
    pub(super) fn stop_replay(&mut self) -> Option<Vec<Effect>> {
        let replaying = self.replaying.as_mut()?;
        replaying.is_stopping = true;
        Some(vec![Effect::Submit(EngineCommand::Cancel { id: replaying.id })])
    }
}

impl App {
    /// `/replay [N]`: computes the Nth reply on screen, or the last one, again.
    pub(super) fn replay(&mut self, argument: &str) -> Vec<Effect> {
        match self.plan_replay(argument) {
            Ok(plan) => {
                let text = format!("reply {} is computed again…", plan.number());
                self.note(NoteKind::Info, text);
                self.ask_replay(plan)
            }
            Err(error) => {
                self.note(NoteKind::Error, error);
                Vec::new()
            }
        }
    }

    fn plan_replay(&self, argument: &str) -> Result<ReplayPlan, String> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let model = self.engine.model.as_ref().filter(|_| self.engine.is_ready());
        let model = model.ok_or("the model is still being loaded: try again in a moment")?;
        let number = match argument {
            "" => None,
            text => Some(text.parse().map_err(|_| format!("/replay wants the number of a reply, not `{text}`"))?),
        };
        let mut plan = ReplayPlan::new(self.transcript(), number)?;
        plan.compare_model(model);
        Ok(plan)
    }

    fn ask_replay(&mut self, plan: ReplayPlan) -> Vec<Effect> {
        let Some((prompt, params)) = plan.request() else { return Vec::new() };
        let id = self.requests.of_chat(Owner::Replay, self.chat.id());
        self.chat.replaying = Some(Replaying { id, plan, is_stopping: false });
        let mut effects = self.chat.stop_scoring();
        effects.push(Effect::Submit(EngineCommand::Generate { id, prompt, params }));
        effects
    }

    /// What the engine tells of a reply that is computed again.
    pub(super) fn on_replay_event(&mut self, event: &EngineEvent) -> Vec<Effect> {
        let Some(mut replaying) = self.chat.replaying.take() else { return Vec::new() };
        if let EngineEvent::Failed { error, .. } = event {
            self.note(NoteKind::Error, error.clone());
            return Vec::new();
        }
        let outcome = replaying.plan.on_event(event);
        let is_end = event.is_closing();
        match outcome {
            _ if is_end && replaying.is_stopping => self.note(NoteKind::Info, "the replay was stopped".to_owned()),
            Some(outcome) => {
                let kind = if outcome.is_identical { NoteKind::Info } else { NoteKind::Warning };
                self.note(kind, outcome.lines.join("\n"));
            }
            None if is_end => return self.ask_replay(replaying.plan),
            None => self.chat.replaying = Some(replaying),
        }
        Vec::new()
    }
}
