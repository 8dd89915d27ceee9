//! One chat takes the place of another: begun, opened, imported, deleted and brought back.

use std::path::Path;

use rand_pcg::rand_core::Rng;

use super::chats::deletion;
use super::session::Session;
use super::{App, Effect, Moment, NoteKind};
use crate::chat::Transcript;
use crate::chat::document::Document;
use crate::store::{SessionId, SessionRecord, StoreOp};

impl App {
    /// Starts a new chat; the former one stays in the store.
    pub(super) fn new_chat(&mut self, now: Moment) -> Vec<Effect> {
        let mut fresh = Session::fresh(&mut self.random, self.chat.system(), now);
        fresh.record.model = self.engine.model_name().to_owned();
        self.setup.on_new_chat();
        self.replace_chat(fresh)
    }

    /// Goes on with a saved chat; `None` while a reply is running, which the person is told.
    fn open(&mut self, record: SessionRecord, transcript: Transcript) -> Option<Vec<Effect>> {
        if let Some(busy) = self.busy() {
            self.chat.refuse(busy);
            return None;
        }
        let template = self.setup.template.clone();
        self.setup.on_chat(&record.settings);
        let mut effects = self.replace_chat(Session::saved(record, transcript));
        if self.setup.template != template {
            effects.extend(self.ask_for_think_switch());
        }
        Some(effects)
    }

    /// All that was asked for the former chat is stopped, and its answers find nobody.
    fn replace_chat(&mut self, session: Session) -> Vec<Effect> {
        self.requests.forget_chat(self.chat.id());
        let left = self.chat.session.put_view();
        left.into_iter().chain(self.chat.replace(session)).collect()
    }

    /// A chosen chat has come.
    pub(super) fn on_chat_opened(&mut self, record: SessionRecord, transcript: Transcript) -> Vec<Effect> {
        let (wanted, id) = (self.library.take_wanted(), record.id);
        let Some(mut effects) = self.open(record, transcript) else { return Vec::new() };
        effects.push(Effect::Store(StoreOp::Opened(id)));
        if let Some(message) = wanted {
            self.chat.reveal(message);
        }
        effects
    }

    /// A file of a chat was read, for `/import`: it becomes one of its own.
    pub(super) fn on_imported(&mut self, path: &str, text: &str, now: Moment) -> Vec<Effect> {
        let document = match Document::from_json(text) {
            Ok(document) => document.completed(Path::new(path), now.unix),
            Err(reason) => {
                self.note(NoteKind::Error, format!("{path}: {reason}"));
                return Vec::new();
            }
        };
        let id = SessionId::drawn(self.random.next_u64());
        let left_out = document.left_out.clone();
        let (record, transcript) = SessionRecord::of_document(id, document);
        let Some(mut effects) = self.open(record, transcript) else { return Vec::new() };
        self.note(NoteKind::Info, format!("from {path}"));
        if !left_out.is_empty() {
            self.note(NoteKind::Warning, left_out.join("\n"));
        }
        effects.extend(self.chat.store_all());
        effects
    }

    /// `/delete`: the chat on screen goes from the store, and a new one begins. Until something is said there, `/undo`
    /// brings it back.
    pub(super) fn delete_chat(&mut self, now: Moment) -> Vec<Effect> {
        if self.transcript().nodes().is_empty() {
            self.note(NoteKind::Info, "this chat is empty: there is nothing to delete".to_owned());
            return Vec::new();
        }
        let (record, transcript) = (self.chat.session.record.clone(), self.chat.session.transcript.clone());
        let id = record.id;
        let mut effects = self.new_chat(now);
        self.note(NoteKind::Info, deletion(&record));
        self.library.keep_deleted(record, transcript);
        effects.push(Effect::Store(StoreOp::DeleteSession(id)));
        effects
    }

    /// A chat of the list is to be deleted: it is read first, so that it can come back.
    pub(super) fn delete_saved(&mut self, id: SessionId, now: Moment) -> Vec<Effect> {
        if id != self.chat.id() {
            return vec![Effect::TakeSession(id)];
        }
        if self.chat.generation.is_some() {
            if let Some(busy) = self.busy() {
                self.chat.refuse(busy);
            }
            return Vec::new();
        }
        self.library.leave_entry(id);
        self.delete_chat(now)
    }

    /// `/undo`: brings back the chat that was deleted last; otherwise takes back the last question.
    pub(super) fn undo(&mut self) -> Vec<Effect> {
        let deleted = if self.transcript().nodes().is_empty() { self.library.take_deleted() } else { None };
        let Some((record, transcript)) = deleted else { return self.chat.undo() };
        let restore = Effect::Store(StoreOp::Restore { record: record.clone(), nodes: transcript.nodes().to_vec() });
        let Some(mut effects) = self.open(record, transcript) else { return Vec::new() };
        effects.extend([restore, self.chat.session.put()]);
        effects
    }
}
