//! Saved conversations: their names, their deletion, the search in them, and files of them.

use std::path::Path;

use super::session::next_random;
use super::{App, Effect, Moment, NoteKind};
use crate::chat::document::{Document, DocumentFormat};
use crate::chat::title;
use crate::store::{SessionId, SessionRecord, StoreOp};

/// Characters of a title that the name of a file has at most.
const STEM_LENGTH: usize = 50;

impl App {
    /// `/rename TITLE`
    pub(super) fn rename(&mut self, title: &str) -> Vec<Effect> {
        if self.transcript().nodes().is_empty() {
            self.note(NoteKind::Info, "this chat has no question yet: there is nothing to name".to_owned());
            return Vec::new();
        }
        self.session.record.title = title::cleaned(title);
        let text = format!("this chat is called “{}” now", self.session.record.title);
        self.note(NoteKind::Info, text);
        self.session.put_if_stored()
    }

    /// `/delete`: the chat on screen goes from the store, and a new one begins. Until something is said there, `/undo`
    /// brings it back.
    pub(super) fn delete_chat(&mut self, now: Moment) -> Vec<Effect> {
        if self.transcript().nodes().is_empty() {
            self.note(NoteKind::Info, "this chat is empty: there is nothing to delete".to_owned());
            return Vec::new();
        }
        let (record, transcript) = (self.session.record.clone(), self.session.transcript.clone());
        let id = record.id;
        let effects = self.new_chat(now);
        self.note(NoteKind::Info, deletion(&record));
        self.deleted = Some((record, transcript));
        effects.into_iter().chain([Effect::Store(StoreOp::DeleteSession(id))]).collect()
    }

    /// A chat is back: the note of its deletion is no longer true.
    pub(super) fn no_longer_deleted(&mut self, record: &SessionRecord) {
        let text = deletion(record);
        self.notes.retain(|note| note.text != text);
    }

    /// Brings back the chat that was deleted last; `None` where that is not what can be undone now.
    pub(super) fn undelete(&mut self) -> Option<Vec<Effect>> {
        if !self.transcript().nodes().is_empty() {
            return None;
        }
        let (record, transcript) = self.deleted.take()?;
        self.open(record, transcript);
        Some(self.store_all())
    }

    /// Writes the conversation on screen, every message of it.
    fn store_all(&mut self) -> Vec<Effect> {
        let ids: Vec<_> = self.transcript().nodes().iter().map(|node| node.id).collect();
        let mut effects = vec![self.session.put()];
        effects.extend(ids.into_iter().filter_map(|id| self.session.put_message(id)));
        effects
    }

    /// `/export [FILE]`; without a name the file is called as the chat.
    pub(super) fn export(&mut self, path: &str) -> Vec<Effect> {
        if path.is_empty() && self.transcript().nodes().is_empty() {
            self.note(NoteKind::Info, "this chat is empty: there is nothing to export".to_owned());
            return Vec::new();
        }
        let (named, numbered) = if path.is_empty() { (self.export_name(), true) } else { (path.to_owned(), false) };
        let path = named.as_str();
        let Some(format) = DocumentFormat::of_name(path) else {
            let text = format!("the ending of {path:?} names no format: it must be {}", DocumentFormat::ENDINGS);
            self.note(NoteKind::Error, text);
            return Vec::new();
        };
        let document = self.session.record.clone().into_document(self.session.transcript.clone());
        let text = document.to_file(format);
        vec![Effect::WriteFile { path: named, numbered, text }]
    }

    /// What a file of this chat is called where nobody says otherwise.
    pub(super) fn export_name(&self) -> String {
        format!("{}.md", file_stem(&self.session.record.title))
    }

    /// A file of a conversation was read, for `/import`: it becomes one of its own.
    pub(super) fn imported(&mut self, path: &str, text: &str, now: Moment) -> Vec<Effect> {
        let document = match Document::from_json(text) {
            Ok(document) => document.completed(Path::new(path), now.unix),
            Err(reason) => {
                self.note(NoteKind::Error, format!("{path}: {reason}"));
                return Vec::new();
            }
        };
        let id = SessionId::drawn(next_random(&mut self.seed));
        let (record, transcript) = SessionRecord::of_document(id, document);
        self.open(record, transcript);
        self.note(NoteKind::Info, format!("from {path}"));
        self.store_all()
    }
}

/// What is said of a chat that was deleted.
fn deletion(record: &SessionRecord) -> String {
    format!("“{}” is deleted; /undo brings it back", record.title)
}

/// A title as the name of a file, `what-is-the-capital-of-france`: letters and digits, with hyphens between the words.
fn file_stem(title: &str) -> String {
    let lower = title.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let name: String = words.collect::<Vec<_>>().join("-").chars().take(STEM_LENGTH).collect();
    match name.trim_end_matches('-') {
        "" => "chat".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_chat() {
        assert_eq!(file_stem("What is in @src/main.rs, & why?"), "what-is-in-src-main-rs-why");
        assert_eq!(file_stem("Übung 2…"), "übung-2");
        assert_eq!(file_stem("../.. /"), "chat");
        assert_eq!(file_stem(&"word ".repeat(20)).len(), 49);
    }
}
