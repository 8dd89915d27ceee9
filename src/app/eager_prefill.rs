//! What is done while the person writes or reads: the prompt is computed before it is sent, and what it takes of the
//! context is counted.
//!
//! Only a front end that calls [`App::on_draft`] has any of it. Nothing happens before a short pause in the writing,
//! and nothing twice.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::attachments::{gather, mentions, with_files};
use super::requests::Owner;
use super::slash::{self, Line};
use super::{App, AttachmentsFound, Effect, Moment, SessionId};
use crate::chat::{Message, MessageId, Role};
use crate::worker::protocol::{
    ContextParts, EngineCommand, EngineEvent, Prompt, RequestId, of_loading, of_prompt, of_reply, of_variants,
};

/// A pause in the writing after which it is looked at.
const PAUSE: Duration = Duration::from_millis(150);

/// Where there is no pause, it is looked at this long after it was begun.
const PATIENCE: Duration = Duration::from_millis(600);

/// A place in a conversation.
type ChatPlace = (SessionId, Option<MessageId>);

/// What was looked at, and what is under way.
#[derive(Debug, Default)]
pub(super) struct EagerPrefill {
    /// Stands for the prompt that would be sent now.
    seen: Option<u64>,
    /// The message that is being written.
    draft: Option<String>,
    /// The first change that was not looked at yet.
    changed: Option<Instant>,
    due: Option<Instant>,
    measuring: Option<Asked>,
    /// What was measured last.
    measured: Option<Measured>,
    computing: Option<Asked>,
    /// Whether what is being computed has been asked to stop.
    is_stopped: bool,
    /// The prompt that was computed to its end.
    computed: Option<u64>,
    /// The prompt that is not to be asked for again.
    tried: Option<u64>,
    /// The conversation that the engine's cache holds.
    held: Option<ChatPlace>,
    files: Files,
}

/// The files that drafts name, as they were read last.
#[derive(Debug, Default)]
struct Files {
    read: Vec<(String, String)>,
    /// Ticks up with each change of them.
    revision: u64,
    /// The draft that they were read for.
    attachments_found: Option<String>,
    /// The draft for which they are being read.
    reading_for: Option<String>,
}

/// A request, and the prompt that it is about.
#[derive(Debug)]
struct Asked {
    id: RequestId,
    prompt: u64,
    /// Stands for what would be sent without the draft.
    chat: u64,
    place: ChatPlace,
    /// The message behind each entry of the prompt.
    sent: Vec<Option<MessageId>>,
}

#[derive(Debug)]
struct Measured {
    prompt: u64,
    chat: u64,
    parts: ContextParts,
    /// The messages that would be left out.
    dropped: Vec<MessageId>,
}

/// What of the context is taken, and what would be if the draft were sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ContextUse {
    /// Tokens of the system message.
    pub system: usize,
    /// Tokens of the turns that the model sees.
    pub turns: usize,
    /// Tokens that the draft adds.
    pub draft: usize,
    /// Tokens that the context holds.
    pub window: usize,
    /// Turns that the model no longer sees if the draft is sent.
    pub dropped: usize,
    /// Those of them that it sees now.
    pub going: usize,
}

impl ContextUse {
    /// Tokens left for the reply; `None` where the prompt does not fit.
    pub fn room(&self) -> Option<usize> {
        self.window.checked_sub(self.system + self.turns + self.draft)
    }
}

impl EagerPrefill {
    /// When it wants to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// Another model is there: nothing is known of it.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    fn note_change(&mut self, now: Moment) {
        let first = *self.changed.get_or_insert(now.at);
        self.due = Some((now.at + PAUSE).min(first + PATIENCE));
    }

    /// An answer to one of its requests.
    pub(super) fn on_event(&mut self, event: EngineEvent, now: Moment) {
        match event {
            EngineEvent::Prefilled { id, done, total, .. } => self.on_prefilled(id, done, total, now),
            EngineEvent::Measured { id, parts } => self.on_measured(id, parts, now),
            EngineEvent::Failed { id, .. } => self.on_failed(id),
            EngineEvent::Distribution { .. }
            | EngineEvent::Scored { .. }
            | EngineEvent::PromptScored { .. }
            | EngineEvent::Counted { .. }
            | EngineEvent::TemplateDescribed { .. }
            | of_loading!()
            | of_prompt!()
            | of_reply!()
            | of_variants!()
            | EngineEvent::WorkerDied { .. } => {}
        }
    }

    /// What was computed of a prompt.
    fn on_prefilled(&mut self, id: RequestId, done: usize, total: usize, now: Moment) {
        let Some(asked) = self.computing.take_if(|asked| asked.id == id) else { return };
        if done == total && !self.is_stopped {
            self.held = Some(asked.place);
            self.computed = Some(asked.prompt);
        } else {
            self.tried = None;
        }
        if self.tried != self.seen {
            self.note_change(now);
        }
    }

    /// What a prompt takes of the context.
    fn on_measured(&mut self, id: RequestId, parts: ContextParts, now: Moment) {
        let Some(asked) = self.measuring.take_if(|asked| asked.id == id) else { return };
        let dropped = parts.dropped.iter().filter_map(|&at| asked.sent.get(at).copied().flatten()).collect();
        if self.seen != Some(asked.prompt) {
            self.note_change(now);
        }
        self.measured = Some(Measured { prompt: asked.prompt, chat: asked.chat, parts, dropped });
    }

    /// A request has failed: what a draft cannot do is said when it is sent.
    fn on_failed(&mut self, id: RequestId) {
        let is_it = |asked: &mut Asked| asked.id == id;
        self.computing.take_if(is_it);
        self.measuring.take_if(is_it);
    }

    /// Stops what is being computed; it is tried again later.
    pub(super) fn give_way(&mut self) -> Option<Effect> {
        let id = self.computing.as_ref().filter(|_| !self.is_stopped)?.id;
        self.is_stopped = true;
        self.tried = None;
        Some(Effect::Submit(EngineCommand::Cancel { id }))
    }
}

impl App {
    /// Looks at what is in the composer, and at the conversation around it. To be called with every change, before
    /// [`App::tick`], by a front end in which the person can read and write while the engine computes.
    pub fn on_draft(&mut self, composer: &str, now: Moment) -> Vec<Effect> {
        // A reply that is edited is sent to nobody.
        let is_sent = self.editing().is_none_or(|node| node.message.role == Role::User);
        let draft = draft_of(composer).filter(|_| is_sent);
        let prompt = self.fingerprint(draft);
        if self.chat.is_replying() {
            self.chat.eager_prefill.held = Some(self.place());
        }
        if self.chat.eager_prefill.seen == Some(prompt) {
            return Vec::new();
        }
        let goes_on = match (&self.chat.eager_prefill.draft, draft) {
            (Some(before), Some(draft)) => draft.starts_with(before.as_str()),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let same_place = self.chat.eager_prefill.computing.as_ref().is_none_or(|asked| asked.place == self.place());
        self.chat.eager_prefill.seen = Some(prompt);
        self.chat.eager_prefill.draft = draft.map(str::to_owned);
        self.chat.eager_prefill.note_change(now);
        let stop = if goes_on && same_place { None } else { self.chat.eager_prefill.give_way() };
        stop.into_iter().collect()
    }

    /// Asks for what is due.
    pub(super) fn tick_prefill(&mut self, now: Moment) -> Vec<Effect> {
        if self.chat.eager_prefill.due.is_none_or(|due| due > now.at) {
            return Vec::new();
        }
        (self.chat.eager_prefill.due, self.chat.eager_prefill.changed) = (None, None);
        let Some(seen) = self.chat.eager_prefill.seen.filter(|_| self.engine.model.is_some()) else {
            return Vec::new();
        };
        if self.engine.loading.is_some() || self.engine.is_dead {
            return Vec::new();
        }
        if let Some(look) = self.look_up_files(now) {
            return vec![look];
        }
        let mut effects = Vec::new();
        let measured = self.chat.eager_prefill.measured.as_ref().map(|measured| measured.prompt);
        if self.chat.eager_prefill.measuring.is_none() && measured != Some(seen) {
            effects.push(self.ask_to_measure(seen));
        }
        if self.chat.eager_prefill.computing.is_none()
            && self.chat.eager_prefill.tried != Some(seen)
            && self.wants_prefill()
        {
            effects.push(self.ask_to_prefill(seen));
        }
        effects
    }

    /// Has the files read that the draft names, where that was not done for it. It is waited for, but not for long: a
    /// slow file is counted once it has come.
    fn look_up_files(&mut self, now: Moment) -> Option<Effect> {
        let draft = self.chat.eager_prefill.draft.as_ref().filter(|draft| !mentions(draft).is_empty())?;
        let files = &mut self.chat.eager_prefill.files;
        if files.reading_for.is_some() || files.attachments_found.as_ref() == Some(draft) {
            return None;
        }
        files.reading_for = Some(draft.clone());
        self.chat.eager_prefill.due = Some(now.at + PATIENCE);
        Some(Effect::LookUpAttachments(draft.clone()))
    }

    /// The files that a draft names have come.
    pub fn attachments_found(&mut self, attachments_found: AttachmentsFound, now: Moment) {
        let files = &mut self.chat.eager_prefill.files;
        if files.reading_for.take_if(|reading_for| *reading_for == attachments_found.text).is_none() {
            return;
        }
        // What cannot be sent is told once it is to be sent.
        let read = attachments_found.files.unwrap_or_default();
        if files.read != read {
            (files.read, files.revision) = (read, files.revision + 1);
        }
        files.attachments_found = Some(attachments_found.text);
        self.chat.eager_prefill.due = Some(now.at);
    }

    /// A draft with the files that it names, as far as they are known.
    fn with_known_files(&self, draft: &str) -> String {
        let known = &self.chat.eager_prefill.files.read;
        let mut find = |path: &str| Ok(known.iter().find(|(name, _)| name == path).map(|(_, text)| text.clone()));
        let files = gather(draft, &mut find);
        let former = self.editing().map(|node| node.message.content.as_str());
        let whole = files.and_then(|files| with_files(draft, files, former, self.engine.window()));
        whole.unwrap_or_else(|_| draft.to_owned())
    }

    fn ask_to_measure(&mut self, prompt: u64) -> Effect {
        let asked = self.asked(Owner::Measure, prompt);
        let id = asked.id;
        self.chat.eager_prefill.measuring = Some(asked);
        let (prompt, draft) = (self.next_prompt(), self.chat.eager_prefill.draft.is_some());
        Effect::Submit(EngineCommand::Measure { id, prompt, draft, max_tokens: self.setup.max_tokens() })
    }

    fn ask_to_prefill(&mut self, prompt: u64) -> Effect {
        let asked = self.asked(Owner::Prefill, prompt);
        let id = asked.id;
        self.chat.eager_prefill.computing = Some(asked);
        self.chat.eager_prefill.tried = Some(prompt);
        self.chat.eager_prefill.is_stopped = false;
        let (prompt, max_tokens) = (self.next_prompt(), self.setup.max_tokens());
        Effect::Submit(EngineCommand::Prefill { id, prompt, max_tokens })
    }

    /// A draft is computed, and a conversation that was opened or switched to. With a seed that is set nothing is: its
    /// replies are to be the same to the last bit, however the prompt was written.
    fn wants_prefill(&self) -> bool {
        let is_new =
            self.chat.eager_prefill.held != Some(self.place()) && self.chat.session.transcript.head().is_some();
        self.setup.settings.chat.prefill_ahead
            && !self.chat.is_replying()
            && self.sampling().seed.is_none()
            && (self.chat.eager_prefill.draft.is_some() || is_new)
    }

    /// Puts a stop to the computing before anything else that the engine is asked for.
    pub(super) fn give_way(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        if effects.iter().any(|effect| matches!(effect, Effect::Submit(_) | Effect::LoadModel { .. })) {
            effects.splice(0..0, self.chat.eager_prefill.give_way());
        }
        effects
    }

    fn asked(&mut self, owner: Owner, prompt: u64) -> Asked {
        let (chat, place, sent) = (self.fingerprint(None), self.place(), self.chat.prompt(&self.setup).1);
        Asked { id: self.requests.of_chat(owner, self.chat.id()), prompt, chat, place, sent }
    }

    /// What would be sent now.
    fn next_prompt(&self) -> Prompt {
        let (mut prompt, sent) = self.chat.prompt(&self.setup);
        if let (Prompt::Chat { messages, .. }, Some(draft)) = (&mut prompt, &self.chat.eager_prefill.draft) {
            // A question that is edited stands where it stood.
            let edited = self.editing().map(|node| Some(node.id));
            let place = edited.and_then(|id| sent.iter().position(|sent| *sent == id));
            messages.truncate(place.unwrap_or(messages.len()));
            let question = self.with_known_files(draft);
            messages.push(Message::new(Role::User, self.setup.as_question(&question)));
        }
        prompt
    }

    fn place(&self) -> ChatPlace {
        (self.chat.id(), self.chat.session.transcript.head())
    }

    /// A number that changes with what would be sent.
    fn fingerprint(&self, draft: Option<&str>) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.place().hash(&mut hasher);
        let state = (self.chat.is_replying(), self.engine.model.is_some() && self.engine.loading.is_none());
        let chat = &self.setup.settings.chat;
        let edited = self.editing().map(|node| node.id);
        (state, edited, self.chat.system(), &self.setup.template, chat.think.for_template(), chat.max_tokens, draft)
            .hash(&mut hasher);
        if draft.is_some() {
            self.chat.eager_prefill.files.revision.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What is seen of it.
impl App {
    /// What of the context is taken by what.
    pub fn context_use(&self) -> ContextUse {
        let (held, window) = self.context();
        let Some(Measured { parts, dropped, .. }) = &self.chat.eager_prefill.measured else {
            return ContextUse { turns: held, window, ..ContextUse::default() };
        };
        let is_current = self.measured_now().is_some();
        let used = if is_current { parts.system + parts.turns } else { held };
        let system = parts.system.min(used);
        let draft = if self.chat.eager_prefill.draft.is_some() { parts.draft } else { 0 };
        let (dropped, going) = match is_current {
            true => {
                let going: Vec<MessageId> = dropped.iter().copied().filter(|id| !self.is_dropped(*id)).collect();
                (self.chat.turns_among(dropped), self.chat.turns_among(&going))
            }
            false => (self.chat.turns_among(self.chat.dropped()), 0),
        };
        ContextUse { system, turns: used - system, draft, window, dropped, going }
    }

    /// What was measured last, where it is of the chat as it is now; the draft may be another.
    fn measured_now(&self) -> Option<&Measured> {
        let measured = self.chat.eager_prefill.measured.as_ref().filter(|_| !self.chat.is_replying())?;
        (measured.chat == self.fingerprint(None)).then_some(measured)
    }

    /// Whether there is room for a message again that the last prompt did without.
    pub(super) fn fits_again(&self, id: MessageId) -> bool {
        self.measured_now().is_some_and(|measured| !measured.dropped.contains(&id))
    }

    /// Tokens of the message that is being written, as it was when they were counted last.
    pub fn draft_tokens(&self) -> Option<usize> {
        let counted = self
            .chat
            .eager_prefill
            .measured
            .as_ref()
            .map(|measured| measured.parts.draft_text)
            .filter(|count| *count > 0);
        counted.filter(|_| self.chat.eager_prefill.draft.is_some())
    }

    /// Whether the model has read the message that is being written, to its end.
    pub fn draft_is_read(&self) -> bool {
        self.chat.eager_prefill.draft.is_some()
            && self.chat.eager_prefill.computed.is_some()
            && self.chat.eager_prefill.computed == self.chat.eager_prefill.seen
    }
}

/// The message that a text in the composer would be; `None` for a command, and for nothing.
fn draft_of(composer: &str) -> Option<&str> {
    match slash::parse(composer) {
        Line::Message(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}
