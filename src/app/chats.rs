//! The name of a chat, and files of it.

use super::open_chat::OpenChat;
use super::setup::Setup;
use super::{Effect, NoteKind};
use crate::chat::document::DocumentFormat;
use crate::chat::title;
use crate::store::SessionRecord;

/// Characters of a title that the name of a file has at most.
const STEM_LENGTH: usize = 50;

impl OpenChat {
    /// Keeps what is set for this chat with it.
    pub(super) fn keep_settings(&mut self, setup: &Setup) -> Vec<Effect> {
        let mut kept = self.session.record.settings.clone();
        setup.keep_in(&mut kept);
        if kept == self.session.record.settings {
            return Vec::new();
        }
        self.session.record.settings = kept;
        self.session.put_if_stored()
    }

    /// `/rename TITLE`
    pub(super) fn rename(&mut self, title: &str) -> Vec<Effect> {
        if self.transcript().nodes().is_empty() {
            self.note(NoteKind::Info, "this chat has no question yet: there is nothing to name".to_owned());
            return Vec::new();
        }
        let title = title::cleaned(title);
        self.note(NoteKind::Info, format!("this chat is called “{title}” now"));
        self.set_title(title)
    }

    pub(super) fn set_title(&mut self, title: String) -> Vec<Effect> {
        self.session.record.title = title;
        self.session.put_if_stored()
    }

    /// `/system TEXT`
    pub(super) fn set_system(&mut self, argument: &str) -> Vec<Effect> {
        let text = match argument {
            "" => {
                let text = match self.system() {
                    "" => "the system message is the template's own; /system TEXT sets one".to_owned(),
                    system => format!("system message: {system}"),
                };
                self.note(NoteKind::Info, text);
                return Vec::new();
            }
            "-" => {
                self.session.record.system.clear();
                "the system message is the template's own again"
            }
            text => {
                self.session.record.system = text.to_owned();
                "the system message is set, from the next reply on"
            }
        };
        self.note(NoteKind::Info, text.to_owned());
        self.session.put_if_stored()
    }

    /// Writes the conversation on screen, every message of it.
    pub(super) fn store_all(&mut self) -> Vec<Effect> {
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
}

/// What is said of a chat that was deleted.
pub(super) fn deletion(record: &SessionRecord) -> String {
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
