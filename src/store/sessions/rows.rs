//! Rows, read whatever is in them. SQLite keeps a value of any kind in any column: what another program (or a failing disk)
//! has put there does not hide the rest, and is said.

use std::sync::Arc;

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::{SessionId, SessionRecord};
use crate::chat::rebuild::{Key, LooseMessage};
use crate::chat::{ChatSettings, Message, MessageId, MessageState, Provenance, Role, title};
use gibber_files::quoted;

/// What is read of a chat, and of a message, in the order in which [`Columns`] takes it. Databases of the first format lack
/// some of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    /// Of [`Columns::record`].
    pub(super) chat: &'static str,
    /// Of [`Columns::message`].
    pub(super) message: &'static str,
}

impl Names {
    /// Those of a database of this format.
    pub(super) fn of(format: i64) -> Self {
        match format {
            ..2 => Self {
                chat: "id, title, model, system, head, created, NULL",
                message: "id, parent, role, content, state, NULL",
            },
            _ => Self {
                chat: "id, title, model, system, head, created, settings",
                message: "id, parent, role, content, state, provenance",
            },
        }
    }
}

/// Reads the columns of a row, and notes those that are not as they should be.
pub(super) struct Columns<'r> {
    row: &'r Row<'r>,
    wrong: Vec<String>,
}

impl<'r> Columns<'r> {
    pub(super) fn of(row: &'r Row<'r>) -> Self {
        Self { row, wrong: Vec::new() }
    }

    fn value(&self, at: usize) -> ValueRef<'r> {
        self.row.get_ref(at).unwrap_or(ValueRef::Null)
    }

    fn note(&mut self, name: &str, expected: &str, found: ValueRef<'_>) {
        let found = match found {
            ValueRef::Null => "nothing",
            ValueRef::Integer(_) => "another number",
            ValueRef::Real(_) => "a fraction",
            ValueRef::Text(_) => "a text",
            ValueRef::Blob(_) => "bytes",
        };
        self.wrong.push(format!("`{name}` holds {found} where {expected} belongs"));
    }

    fn text(&mut self, at: usize, name: &str) -> String {
        let value = self.value(at);
        let text = match value {
            ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => return text.to_owned(),
                Err(_) => {
                    self.wrong.push(format!("`{name}` holds bytes that are no text"));
                    return String::from_utf8_lossy(bytes).into_owned();
                }
            },
            ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Null => String::new(),
        };
        self.note(name, "a text", value);
        text
    }

    fn number(&mut self, at: usize, name: &str) -> i64 {
        match self.value(at) {
            ValueRef::Integer(number) => number,
            other => {
                self.note(name, "a number", other);
                0
            }
        }
    }

    /// The name of a message, or `None` for nothing.
    fn key(&mut self, at: usize, name: &str) -> Option<Key> {
        let value = self.value(at);
        let key = match value {
            ValueRef::Null => return None,
            ValueRef::Integer(number) => Key::Number(number),
            ValueRef::Real(number) => Key::Text(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Key::Text(String::from_utf8_lossy(bytes).into_owned()),
        };
        if message_id(&key).is_none() {
            self.note(name, "the number of a message", value);
        }
        Some(key)
    }

    /// What is kept as JSON; nothing where nothing is.
    fn json<T: serde::de::DeserializeOwned>(&mut self, at: usize, name: &str) -> Option<T> {
        let text = match self.value(at) {
            ValueRef::Null => return None,
            ValueRef::Text(bytes) => bytes,
            other => {
                self.note(name, "a text", other);
                return None;
            }
        };
        let read = serde_json::from_slice(text);
        if read.is_err() {
            self.wrong.push(format!("`{name}` is not in a form that this version reads"));
        }
        read.ok()
    }

    /// What is wrong, in words; `None` for a row that is as it should be.
    pub(super) fn damage(self) -> Option<String> {
        (!self.wrong.is_empty()).then(|| self.wrong.join(", "))
    }

    /// Of [`Names::chat`].
    pub(super) fn record(&mut self) -> SessionRecord {
        SessionRecord {
            id: SessionId(self.number(0, "id")),
            title: title::cleaned(&self.text(1, "title")),
            // It stands in the same list.
            model: title::cleaned(&self.text(2, "model")),
            system: self.text(3, "system"),
            // One that cannot be is one that is not there: the transcript takes the newest message.
            head: self.key(4, "head").map(|key| message_id(&key).unwrap_or(MessageId(u32::MAX))),
            created: self.number(5, "created"),
            settings: self.json::<ChatSettings>(6, "settings").unwrap_or_default(),
        }
    }

    /// The time and the count that stand behind a record in the list.
    pub(super) fn updated_and_messages(&mut self) -> (i64, u32) {
        (self.number(7, "updated"), u32::try_from(self.number(8, "messages")).unwrap_or(u32::MAX))
    }

    /// Of [`Names::message`].
    pub(super) fn message(&mut self) -> LooseMessage {
        let role = match self.text(2, "role").as_str() {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            "user" => Role::User,
            other => {
                self.wrong.push(format!("`role` is `{}`, which is none", quoted::shortened(other)));
                Role::User
            }
        };
        // What is still streaming in the file was cut by the end of the program that wrote it.
        let state = match self.text(4, "state").as_str() {
            "complete" => MessageState::Complete,
            _ => MessageState::Cut,
        };
        let message = Message::new(role, self.text(3, "content"));
        let provenance = self.json::<Provenance>(5, "provenance").map(Arc::new);
        LooseMessage { id: self.key(0, "id"), parent: self.key(1, "parent"), message, state, provenance }
    }

    /// The conversation that a message belongs to, from the column after the message's.
    pub(super) fn session(&mut self) -> SessionId {
        SessionId(self.number(6, "session"))
    }
}

/// The number of a message, with room for those that are still to come.
pub(super) fn message_id(key: &Key) -> Option<MessageId> {
    match key {
        Key::Number(number) => u32::try_from(*number).ok().filter(|&id| id <= u32::MAX / 2).map(MessageId),
        Key::Text(_) => None,
    }
}
