//! Rows, read whatever is in them. SQLite keeps a value of any kind in any column: what another program (or a failing disk)
//! has put there does not hide the rest, and is said.

use rusqlite::Row;
use rusqlite::types::ValueRef;

use super::{SessionId, SessionRecord};
use crate::chat::rebuild::{Key, LooseMessage};
use crate::chat::{Message, MessageId, MessageState, Role, title};
use gibber_files::quoted;

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

    /// What is wrong, in words; `None` for a row that is as it should be.
    pub(super) fn damage(self) -> Option<String> {
        (!self.wrong.is_empty()).then(|| self.wrong.join(", "))
    }

    /// Of `id, title, model, system, head, created`.
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
        }
    }

    /// The time and the count that stand behind a record in the list.
    pub(super) fn updated_and_messages(&mut self) -> (i64, u32) {
        (self.number(6, "updated"), u32::try_from(self.number(7, "messages")).unwrap_or(u32::MAX))
    }

    /// Of `id, parent, role, content, state`.
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
        LooseMessage { id: self.key(0, "id"), parent: self.key(1, "parent"), message, state }
    }

    /// The conversation that a message belongs to, from the column after the message's.
    pub(super) fn session(&mut self) -> SessionId {
        SessionId(self.number(5, "session"))
    }
}

/// The number of a message, with room for those that are still to come.
pub(super) fn message_id(key: &Key) -> Option<MessageId> {
    match key {
        Key::Number(number) => u32::try_from(*number).ok().filter(|&id| id <= u32::MAX / 2).map(MessageId),
        Key::Text(_) => None,
    }
}
