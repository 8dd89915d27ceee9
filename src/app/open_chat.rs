//! The chat that is open: all that belongs to it alone. It is replaced whole when another is opened or begun, so that nothing
//! of one chat is ever seen in another.

use std::collections::HashSet;
use std::time::Instant;

use super::adapted::Adapted;
use super::branches::Branches;
use super::eager_prefill::EagerPrefill;
use super::generation::Dropped;
use super::inspector::Scores;
use super::records::summary_of;
use super::replay::Replaying;
use super::replies::{NextToken, Replies};
use super::session::Session;
use super::setup::Setup;
use super::{Comparison, Effect, Generation, Moment, Note, NoteKind, ReplySummary};
use crate::chat::{Message, MessageId, Role, Transcript};
use crate::store::SessionId;
use crate::worker::protocol::{Prompt, ReplyRef};
use gibber_files::quoted;

/// What the program has to say in a chat.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Vec<Note>,
    /// The number of the next one; it goes on over all chats.
    next: u64,
    /// What is said of the last thing the person did, mostly why it could not be done; gone with the next.
    hint: Option<Hint>,
}

#[derive(Debug)]
struct Hint {
    text: String,
    holds: Holds,
}

/// How long a hint is true, where the person does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// For good.
    Always,
    /// As long as something is running in this chat.
    WhileBusy,
    /// As long as the next candidates of a paused reply are still being computed.
    WhileUnsettled,
}

/// A chat, and all that is known of it in this run.
#[derive(Debug)]
pub(super) struct OpenChat {
    pub(super) session: Session,
    pub(super) branches: Branches,
    notes: Notes,
    /// What is known of the replies beside their texts.
    pub(super) replies: Replies,
    /// The reply that is running.
    pub(super) generation: Option<Generation>,
    /// The replies that are looked at side by side.
    pub(super) comparison: Option<Comparison>,
    /// The reply that is computed again.
    pub(super) replaying: Option<Replaying>,
    /// What everything else was found to be, and the scoring at work.
    pub(super) scores: Scores,
    /// What the last request had to leave out.
    pub(super) dropped: Dropped,
    pub(super) adapted: Adapted,
    /// Tokens in the context, as they were told last.
    pub(super) context_used: usize,
    /// What is done while the person writes.
    pub(super) eager_prefill: EagerPrefill,
    /// The messages that are shown the other way: files that are not folded, thoughts that are not as the others.
    pub(super) turned: HashSet<MessageId>,
    /// The message that a search has led to.
    pub(super) revealed: Option<MessageId>,
}

impl OpenChat {
    /// A chat of which nothing is known yet but what is stored.
    pub(super) fn new(session: Session) -> Self {
        let mut replies = Replies::of_chat_with(&session.record.model);
        for node in session.transcript.nodes() {
            summary_of(node).into_iter().for_each(|summary| replies.restore(node.id, summary));
        }
        Self {
            branches: Branches::default(),
            notes: Notes::default(),
            replies,
            generation: None,
            comparison: None,
            replaying: None,
            scores: Scores::default(),
            dropped: Dropped::default(),
            adapted: Adapted::default(),
            context_used: 0,
            eager_prefill: EagerPrefill::default(),
            turned: HashSet::new(),
            revealed: None,
            session,
        }
    }

    /// Another one takes the place of `self`; returns what stops the requests of this one.
    pub(super) fn replace(&mut self, session: Session) -> Vec<Effect> {
        let effects = self.stop_scoring().into_iter().chain(self.eager_prefill.give_way()).collect();
        let next = self.notes.next;
        *self = Self::new(session);
        self.notes.next = next;
        effects
    }

    pub(super) fn id(&self) -> SessionId {
        self.session.record.id
    }

    pub(super) fn transcript(&self) -> &Transcript {
        &self.session.transcript
    }

    /// The system message; empty is the template's own.
    pub(super) fn system(&self) -> &str {
        &self.session.record.system
    }

    /// Shows the message that a search has led to.
    pub(super) fn reveal(&mut self, message: MessageId) {
        self.session.transcript.show(message);
        self.revealed = Some(message);
    }

    /// What is running, so that nothing can be changed.
    pub(super) fn running(&self) -> Option<&'static str> {
        match &self.comparison {
            Some(comparison) if comparison.is_running() => Some("a comparison"),
            _ if self.replaying.is_some() => Some("a replay"),
            _ => self.generation.is_some().then_some("a reply"),
        }
    }

    /// Whether a reply, or a comparison, is on its way or on screen.
    pub(super) fn is_replying(&self) -> bool {
        self.generation.is_some() || self.comparison.is_some()
    }

    /// What the model is to go on from, and the message behind each entry of it.
    pub(super) fn prompt(&self, setup: &Setup) -> (Prompt, Vec<Option<MessageId>>) {
        let path = self.session.transcript.path();
        let system = self.system();
        let system = (!system.is_empty()).then(|| (Message::new(Role::System, system), None));
        let turns = path.into_iter().map(|node| (node.message.clone(), Some(node.id)));
        let (messages, sent) = system.into_iter().chain(turns).unzip();
        (Prompt::Chat { messages, template: setup.template.clone(), thinking: setup.thinking() }, sent)
    }
}

/// What is said in it.
impl OpenChat {
    pub(super) fn note(&mut self, kind: NoteKind, text: String) {
        let text = match kind {
            NoteKind::Info => text,
            NoteKind::Warning | NoteKind::Error => quoted::lines(&text).into_owned(),
        };
        let after = self.session.transcript.head();
        self.notes.list.push(Note { number: self.notes.next, after, kind, text });
        self.notes.next += 1;
    }

    pub(super) fn notes(&self) -> &[Note] {
        &self.notes.list
    }

    /// What was said of something is no longer true.
    pub(super) fn unsay(&mut self, text: &str) {
        self.notes.list.retain(|note| note.text != text);
    }

    /// A message is no more: what was said behind it stands at the head.
    pub(super) fn move_notes_of(&mut self, message: MessageId) {
        let head = self.session.transcript.head();
        for note in self.notes.list.iter_mut().filter(|note| note.after == Some(message)) {
            note.after = head;
        }
    }

    pub(super) fn set_hint(&mut self, text: impl Into<String>) {
        self.set_hint_that(Holds::Always, text);
    }

    /// A hint that goes by itself once it is no longer true.
    pub(super) fn set_hint_that(&mut self, holds: Holds, text: impl Into<String>) {
        self.notes.hint = Some(Hint { text: text.into(), holds });
    }

    /// Why something cannot be done now. While something is running, that is why.
    pub(super) fn refuse(&mut self, text: impl Into<String>) {
        let holds = if self.running().is_some() { Holds::WhileBusy } else { Holds::Always };
        self.set_hint_that(holds, text);
    }

    pub(super) fn clear_hint(&mut self) {
        self.notes.hint = None;
    }

    pub(super) fn hint(&self) -> Option<&str> {
        let hint = self.notes.hint.as_ref()?;
        let is_true = match hint.holds {
            Holds::Always => true,
            Holds::WhileBusy => self.running().is_some(),
            Holds::WhileUnsettled => self.generation.as_ref().is_some_and(Generation::is_unsettled),
        };
        is_true.then_some(hint.text.as_str())
    }
}

/// The reply on screen.
impl OpenChat {
    /// The last reply of the path on screen.
    pub(super) fn reply_on_screen(&self) -> Option<MessageId> {
        self.session.transcript.from_head().find(|node| node.message.role == Role::Assistant).map(|node| node.id)
    }

    /// How it ended, and what it cost.
    pub(super) fn summary(&self) -> Option<&ReplySummary> {
        self.replies.summary(self.reply_on_screen()?)
    }

    /// It, and of whom the engine knows what its last token was drawn from.
    pub(super) fn last_draw(&self) -> Option<(MessageId, ReplyRef)> {
        let message = self.reply_on_screen()?;
        Some((message, self.replies.source(message)?))
    }

    /// What the next token of a paused reply is chosen from; otherwise how the last one of the reply on screen was.
    pub(super) fn next_token(&self) -> Option<NextToken<'_>> {
        let to_come = self.generation.as_ref().and_then(|generation| generation.to_come.as_ref());
        match to_come {
            Some(distribution) => Some(NextToken::to_come(distribution)),
            None => self.replies.last_token(self.reply_on_screen()?),
        }
    }

    /// Tokens in the context.
    pub(super) fn context_used(&self) -> usize {
        let of_reply = match &self.comparison {
            Some(comparison) => comparison.context_used(),
            None => self.summary().filter(|_| self.generation.is_none()).map(|summary| summary.context.0),
        };
        of_reply.unwrap_or(self.context_used)
    }

    /// How many turns these messages are.
    pub(super) fn turns_among(&self, messages: &[MessageId]) -> usize {
        let is_question =
            |id: &&MessageId| self.transcript().node(**id).is_some_and(|node| node.message.role == Role::User);
        messages.iter().filter(is_question).count().max(usize::from(!messages.is_empty()))
    }
}

/// What goes on in it.
impl OpenChat {
    /// It is spoken to with another model from now on.
    pub(super) fn on_model(&mut self, name: String) {
        self.eager_prefill.forget();
        self.context_used = 0;
        self.session.record.model = name;
    }

    /// The engine is gone: what is running ends.
    pub(super) fn on_worker_died(&mut self, text: String) -> Vec<Effect> {
        (self.scores.at_work, self.replaying) = (None, None);
        if self.generation.is_some() {
            return self.on_reply_failed(text);
        }
        if self.comparison.as_ref().is_some_and(Comparison::is_running) {
            return self.on_comparison_failed(text);
        }
        self.note(NoteKind::Error, text);
        Vec::new()
    }

    /// When what has come is to be saved.
    pub(super) fn save_deadline(&self) -> Option<Instant> {
        let variants = self.comparison.as_ref().and_then(Comparison::save_deadline);
        variants.or_else(|| self.generation.as_ref().and_then(Generation::save_deadline))
    }

    /// Saves it.
    pub(super) fn save_what_is_due(&mut self, now: Moment) -> Vec<Effect> {
        match self.save_deadline() {
            Some(deadline) if deadline <= now.at && self.comparison.is_some() => self.save_variants(now),
            Some(deadline) if deadline <= now.at => self.save_reply(now),
            _ => Vec::new(),
        }
    }

    /// The program ends: what is running is stopped, and what there is of it saved, without waiting for the engine.
    pub(super) fn cut(&mut self) -> Vec<Effect> {
        let mut effects = self.stop_replay().unwrap_or_default();
        effects.extend(self.cut_reply());
        effects.extend(self.cut_variants());
        effects
    }
}
