//! What is done while the person writes or reads: the prompt is computed before it is sent, and what it takes of the
//! context is counted.
//!
//! Only a front end that calls [`App::look_ahead`] has any of it. Nothing happens before a short pause in the writing,
//! and nothing twice.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use super::attachments::{gather, mentions};
use super::commands::{self, Line};
use super::{App, Effect, Looked, Moment, SessionId};
use crate::chat::{Message, MessageId, Role};
use crate::worker::protocol::{ContextParts, EngineCommand, Prompt, RequestId};

/// A pause in the writing after which it is looked at.
const PAUSE: Duration = Duration::from_millis(150);

/// Where there is no pause, it is looked at this long after it was begun.
const PATIENCE: Duration = Duration::from_millis(600);

/// A place in a conversation.
type Place = (SessionId, Option<MessageId>);

/// What was looked at, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Ahead {
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
    held: Option<Place>,
    files: Files,
}

/// The files that drafts name, as they were read last.
#[derive(Debug, Default)]
struct Files {
    read: Vec<(String, String)>,
    /// Ticks up with each change of them.
    revision: u64,
    /// The draft that they were read for.
    looked: Option<String>,
    /// The draft for which they are being read.
    looking: Option<String>,
}

/// A request, and the prompt that it is about.
#[derive(Debug)]
struct Asked {
    id: RequestId,
    prompt: u64,
    place: Place,
    /// The message behind each entry of the prompt.
    sent: Vec<Option<MessageId>>,
}

#[derive(Debug)]
struct Measured {
    prompt: u64,
    place: Place,
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

impl Ahead {
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

    /// Stops what is being computed; it is tried again later.
    fn give_way(&mut self) -> Option<Effect> {
        let id = self.computing.as_ref().filter(|_| !self.is_stopped)?.id;
        self.is_stopped = true;
        self.tried = None;
        Some(Effect::Submit(EngineCommand::Cancel { id }))
    }
}

impl App {
    /// Looks at what is in the composer, and at the conversation around it. To be called with every change, before
    /// [`App::tick`], by a front end in which the person can read and write while the engine computes.
    pub fn look_ahead(&mut self, composer: &str, now: Moment) -> Vec<Effect> {
        // A reply that is edited is sent to nobody.
        let is_sent = self.editing().is_none_or(|node| node.message.role == Role::User);
        let draft = draft_of(composer).filter(|_| is_sent);
        let prompt = self.fingerprint(draft);
        if self.is_replying() {
            self.ahead.held = Some(self.place());
        }
        if self.ahead.seen == Some(prompt) {
            return Vec::new();
        }
        let goes_on = match (&self.ahead.draft, draft) {
            (Some(before), Some(draft)) => draft.starts_with(before.as_str()),
            (None, _) => true,
            (Some(_), None) => false,
        };
        let same_place = self.ahead.computing.as_ref().is_none_or(|asked| asked.place == self.place());
        self.ahead.seen = Some(prompt);
        self.ahead.draft = draft.map(str::to_owned);
        self.ahead.note_change(now);
        let stop = if goes_on && same_place { None } else { self.ahead.give_way() };
        stop.into_iter().collect()
    }

    /// Asks for what is due.
    pub(super) fn tick_ahead(&mut self, now: Moment) -> Vec<Effect> {
        if self.ahead.due.is_none_or(|due| due > now.at) {
            return Vec::new();
        }
        (self.ahead.due, self.ahead.changed) = (None, None);
        let Some(seen) = self.ahead.seen.filter(|_| self.model.is_some()) else { return Vec::new() };
        if self.loading.is_some() || self.worker_dead {
            return Vec::new();
        }
        if let Some(look) = self.look_at_files(now) {
            return vec![look];
        }
        let mut effects = Vec::new();
        let measured = self.ahead.measured.as_ref().map(|measured| measured.prompt);
        if self.ahead.measuring.is_none() && measured != Some(seen) {
            effects.push(self.ask_to_measure(seen));
        }
        if self.ahead.computing.is_none() && self.ahead.tried != Some(seen) && self.wants_prefill() {
            effects.push(self.ask_to_prefill(seen));
        }
        effects
    }

    /// Has the files read that the draft names, where that was not done for it. It is waited for, but not for long: a
    /// slow file is counted once it has come.
    fn look_at_files(&mut self, now: Moment) -> Option<Effect> {
        let draft = self.ahead.draft.as_ref().filter(|draft| !mentions(draft).is_empty())?;
        let files = &mut self.ahead.files;
        if files.looking.is_some() || files.looked.as_ref() == Some(draft) {
            return None;
        }
        files.looking = Some(draft.clone());
        self.ahead.due = Some(now.at + PATIENCE);
        Some(Effect::Look(draft.clone()))
    }

    /// The files that a draft names have come.
    pub fn looked(&mut self, looked: Looked, now: Moment) {
        let files = &mut self.ahead.files;
        if files.looking.take_if(|looking| *looking == looked.text).is_none() {
            return;
        }
        // What cannot be sent is told once it is to be sent.
        let read = looked.files.unwrap_or_default();
        if files.read != read {
            (files.read, files.revision) = (read, files.revision + 1);
        }
        files.looked = Some(looked.text);
        self.ahead.due = Some(now.at);
    }

    /// A draft with the files that it names, as far as they are known.
    fn with_known_files(&self, draft: &str) -> String {
        let known = &self.ahead.files.read;
        let mut find = |path: &str| Ok(known.iter().find(|(name, _)| name == path).map(|(_, text)| text.clone()));
        let files = gather(draft, &mut find);
        files.and_then(|files| self.with_files(draft, files)).unwrap_or_else(|_| draft.to_owned())
    }

    fn ask_to_measure(&mut self, prompt: u64) -> Effect {
        let asked = self.asked(prompt);
        let id = asked.id;
        self.ahead.measuring = Some(asked);
        let (prompt, draft) = (self.next_prompt(), self.ahead.draft.is_some());
        self.submit(EngineCommand::Measure { id, prompt, draft, max_tokens: self.max_tokens() })
    }

    fn ask_to_prefill(&mut self, prompt: u64) -> Effect {
        let asked = self.asked(prompt);
        let id = asked.id;
        self.ahead.computing = Some(asked);
        self.ahead.tried = Some(prompt);
        self.ahead.is_stopped = false;
        self.submit(EngineCommand::Prefill { id, prompt: self.next_prompt(), max_tokens: self.max_tokens() })
    }

    /// A draft is computed, and a conversation that was opened or switched to. With a seed that is set nothing is: its
    /// replies are to be the same to the last bit, however the prompt was written.
    fn wants_prefill(&self) -> bool {
        let is_new = self.ahead.held != Some(self.place()) && !self.session.transcript.path().is_empty();
        self.settings.chat.prefill_ahead
            && !self.is_replying()
            && self.sampling.seed.is_none()
            && (self.ahead.draft.is_some() || is_new)
    }

    pub(super) fn prefilled(&mut self, id: RequestId, done: usize, total: usize, now: Moment) {
        let Some(asked) = self.ahead.computing.take_if(|asked| asked.id == id) else { return };
        if done == total && !self.ahead.is_stopped {
            self.ahead.held = Some(asked.place);
            self.ahead.computed = Some(asked.prompt);
        } else {
            self.ahead.tried = None;
        }
        if self.ahead.tried != self.ahead.seen {
            self.ahead.note_change(now);
        }
    }

    pub(super) fn measured(&mut self, id: RequestId, parts: ContextParts, now: Moment) {
        let Some(asked) = self.ahead.measuring.take_if(|asked| asked.id == id) else { return };
        let dropped = parts.dropped.iter().filter_map(|&at| asked.sent.get(at).copied().flatten()).collect();
        if self.ahead.seen != Some(asked.prompt) {
            self.ahead.note_change(now);
        }
        self.ahead.measured = Some(Measured { prompt: asked.prompt, place: asked.place, parts, dropped });
    }

    /// Whether the request that failed was one of these: what a draft cannot do is said when it is sent.
    pub(super) fn ahead_failed(&mut self, id: RequestId) -> bool {
        let is_it = |asked: &mut Asked| asked.id == id;
        self.ahead.computing.take_if(is_it).is_some() || self.ahead.measuring.take_if(is_it).is_some()
    }

    /// Puts a stop to the computing before anything else that the engine is asked for.
    pub(super) fn give_way(&mut self, mut effects: Vec<Effect>) -> Vec<Effect> {
        if effects.iter().any(|effect| matches!(effect, Effect::Submit(_) | Effect::LoadModel { .. })) {
            effects.splice(0..0, self.ahead.give_way());
        }
        effects
    }

    fn asked(&mut self, prompt: u64) -> Asked {
        Asked { id: self.request_id(), prompt, place: self.place(), sent: self.prompt().1 }
    }

    /// What would be sent now.
    fn next_prompt(&self) -> Prompt {
        let (mut prompt, sent) = self.prompt();
        if let (Prompt::Chat { messages, .. }, Some(draft)) = (&mut prompt, &self.ahead.draft) {
            // A question that is edited stands where it stood.
            let edited = self.editing().map(|node| Some(node.id));
            let place = edited.and_then(|id| sent.iter().position(|sent| *sent == id));
            messages.truncate(place.unwrap_or(messages.len()));
            let question = self.with_known_files(draft);
            messages.push(Message::new(Role::User, self.as_question(&question)));
        }
        prompt
    }

    fn max_tokens(&self) -> Option<usize> {
        let most = self.settings.chat.max_tokens;
        (most > 0).then_some(most)
    }

    fn is_replying(&self) -> bool {
        self.generation.is_some() || self.comparison.is_some()
    }

    fn place(&self) -> Place {
        (self.session.record.id, self.session.transcript.head())
    }

    /// A number that changes with what would be sent.
    fn fingerprint(&self, draft: Option<&str>) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.place().hash(&mut hasher);
        let state = (self.is_replying(), self.model.is_some() && self.loading.is_none());
        let chat = &self.settings.chat;
        let edited = self.editing().map(|node| node.id);
        (state, edited, self.system(), &self.template, chat.think.for_template(), chat.max_tokens, draft)
            .hash(&mut hasher);
        if draft.is_some() {
            self.ahead.files.revision.hash(&mut hasher);
        }
        hasher.finish()
    }
}

/// What is seen of it.
impl App {
    /// What of the context is taken by what.
    pub fn context_use(&self) -> ContextUse {
        let (held, window) = self.context();
        let Some(Measured { parts, place, dropped, .. }) = &self.ahead.measured else {
            return ContextUse { turns: held, window, ..ContextUse::default() };
        };
        let is_current = *place == self.place() && !self.is_replying();
        let used = if is_current { parts.system + parts.turns } else { held };
        let system = parts.system.min(used);
        let draft = if self.ahead.draft.is_some() { parts.draft } else { 0 };
        let (dropped, going) = match is_current {
            true => {
                let going: Vec<MessageId> = dropped.iter().copied().filter(|id| !self.is_dropped(*id)).collect();
                (self.turns_among(dropped), self.turns_among(&going))
            }
            false => (self.turns_among(&self.dropped), 0),
        };
        ContextUse { system, turns: used - system, draft, window, dropped, going }
    }

    /// Tokens of the message that is being written, as it was when they were counted last.
    pub fn draft_tokens(&self) -> Option<usize> {
        let counted = self.ahead.measured.as_ref().map(|measured| measured.parts.draft_text).filter(|count| *count > 0);
        counted.filter(|_| self.ahead.draft.is_some())
    }

    /// Whether the model has read the message that is being written, to its end.
    pub fn draft_is_read(&self) -> bool {
        self.ahead.draft.is_some() && self.ahead.computed.is_some() && self.ahead.computed == self.ahead.seen
    }
}

/// The message that a text in the composer would be; `None` for a command, and for nothing.
fn draft_of(composer: &str) -> Option<&str> {
    match commands::parse(composer) {
        Line::Message(text) if !text.trim().is_empty() => Some(text),
        _ => None,
    }
}
