//! The chats, in one SQLite database: a row for each conversation, a row for each message of its tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::Row;

use super::texts::{SearchHit, Text, Texts};
use super::{SessionId, SessionRecord, StoreError};
use crate::chat::rebuild::{self, LooseMessage};
use crate::chat::{MessageId, Node, Transcript};
use connect::Opened;
pub(super) use connect::{Identity, identity, logs, put_aside};
use rows::{Columns, Names};
pub(super) use writes::{MessageRow, Writes};

mod carve;
mod connect;
pub mod repair;
mod rows;
mod writes;

/// A line of the list of chats.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSummary {
    /// The conversation.
    pub record: SessionRecord,
    /// Seconds since 1970 of its last change.
    pub updated: i64,
    /// How many messages its tree has.
    pub messages: u32,
    /// What is wrong with it in the database, in words; the rest of it is as it was saved.
    pub damage: Option<String>,
}

/// A conversation with its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// The conversation.
    pub record: SessionRecord,
    /// Its messages. One that was being generated when the program died is [`MessageState::Cut`](crate::chat::MessageState::Cut).
    pub transcript: Transcript,
    /// What is wrong with it in the database, in words; the rest of it is as it was saved.
    pub damage: Option<String>,
    /// Whether its messages had to be numbered anew: before anything is added to it, all of it is to be written again.
    pub is_renumbered: bool,
    /// How often it had been changed when it was read, where the database counts that.
    pub changes: i64,
}

/// The open database.
#[derive(Debug)]
pub struct Database {
    opened: Opened,
    path: PathBuf,
}

impl Database {
    /// Opens the database at `path`, makes it (for the user alone) where it is missing, and brings it to the present
    /// format.
    ///
    /// # Errors
    /// Every [`StoreError`] but `NoHome` and `UnknownSession`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { opened: connect::to_write(path)?, path: path.into() })
    }

    /// Opens the database at `path` to read from it: that works on a full disk and in a folder that may not be written, and
    /// waits for nobody who writes. `None` where there is none yet.
    ///
    /// # Errors
    /// Every [`StoreError`] but `NoHome` and `UnknownSession`.
    pub fn open_to_read(path: &Path) -> Result<Option<Self>, StoreError> {
        Ok(connect::to_read(path)?.map(|opened| Self { opened, path: path.into() }))
    }

    /// Writes all that `write` does, or nothing of it.
    pub(super) fn in_transaction(
        &mut self,
        write: impl FnOnce(&Writes<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let Self { opened, path } = self;
        let run = || {
            let transaction = opened.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let writes = Writes::new(transaction);
            write(&writes)?;
            writes.commit()
        };
        run().map_err(|error| StoreError::database(path, error))
    }

    /// The chats, the one that was changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn list(&self) -> Result<Vec<SessionSummary>, StoreError> {
        let query = format!(
            "SELECT {}, updated, (SELECT count(*) FROM messages WHERE session = sessions.id)
             FROM sessions ORDER BY updated DESC, id",
            self.names()?.chat
        );
        self.rows(&query, [], |row| {
            let mut columns = Columns::of(row);
            let record = columns.record();
            let (updated, messages) = columns.updated_and_messages();
            SessionSummary { record, updated, messages, damage: columns.damage() }
        })
    }

    /// A chat with its messages.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], and as the database's.
    pub fn load(&self, id: SessionId) -> Result<StoredSession, StoreError> {
        // Before the rest: what is changed meanwhile is read again then.
        let changes = self.changes(id)?.unwrap_or(0);
        let names = self.names()?;
        let record = format!("SELECT {} FROM sessions WHERE id = ?1", names.chat);
        let found = self.rows(&record, [id.0], |row| {
            let mut columns = Columns::of(row);
            (columns.record(), columns.damage())
        })?;
        let unknown = || StoreError::UnknownSession { path: self.path.clone(), id: id.0 };
        let (record, damage) = found.into_iter().next().ok_or_else(unknown)?;
        let messages = format!("SELECT {} FROM messages WHERE session = ?1 ORDER BY id", names.message);
        let rows = self.rows(&messages, [id.0], |row| {
            let mut columns = Columns::of(row);
            (columns.message(), columns.damage())
        })?;
        let (messages, damages): (Vec<LooseMessage>, Vec<Option<String>>) = rows.into_iter().unzip();
        let damage = damage.or_else(|| {
            let (at, damage) = damages.into_iter().enumerate().find_map(|(at, damage)| Some((at, damage?)))?;
            Some(format!("in message {}, {damage}", at + 1))
        });
        let (transcript, is_renumbered) = transcript_of(messages, record.head);
        Ok(StoredSession { record, transcript, damage, is_renumbered, changes })
    }

    /// The messages that have `text` in them, in any case of letters; the chats that were changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn search(&self, text: &str) -> Result<Vec<SearchHit>, StoreError> {
        Ok(self.texts()?.find(text))
    }

    /// What is in the files of the database and could not be read with it, a sentence.
    pub fn misses(&self) -> Option<&str> {
        self.opened.misses.as_deref()
    }

    /// The copy of the database as it was before it was brought to the present format, where [`Self::open`] has done that.
    pub fn former(&self) -> Option<&Path> {
        self.opened.former.as_deref()
    }

    /// As [`Self::former`], once.
    pub(super) fn take_former(&mut self) -> Option<PathBuf> {
        self.opened.former.take()
    }

    /// What its format calls what is read; another program may bring it to a later one meanwhile.
    fn names(&self) -> Result<Names, StoreError> {
        connect::format(&self.opened.connection).map(Names::of).map_err(|error| self.failed(error))
    }

    /// Whether others can write while this is open, and are seen to.
    pub(super) fn is_shared(&self) -> bool {
        self.opened.is_shared
    }

    /// How often a chat has been changed; `None` where there is none, or where the database is of a format that does not
    /// count.
    pub(super) fn changes(&self, id: SessionId) -> Result<Option<i64>, StoreError> {
        if connect::format(&self.opened.connection).map_err(|error| self.failed(error))? < 2 {
            return Ok(None);
        }
        let found = self.rows("SELECT changes FROM sessions WHERE id = ?1", [id.0], |row| row.get(0).unwrap_or(0))?;
        Ok(found.into_iter().next())
    }

    /// A number that is another one after somebody else has written.
    pub(super) fn version(&self) -> Result<i64, StoreError> {
        let version = self.opened.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.failed(error))
    }

    /// The text of every message.
    pub(super) fn texts(&self) -> Result<Texts, StoreError> {
        let chats: Vec<SessionRecord> = self.list()?.into_iter().map(|summary| summary.record).collect();
        let places: HashMap<SessionId, usize> = chats.iter().enumerate().map(|(at, chat)| (chat.id, at)).collect();
        // Of how they came to be nothing is looked for.
        let names = Names::of(1).message;
        let all = format!("SELECT {names}, session FROM messages ORDER BY session, id");
        let messages = self.rows(&all, [], |row| {
            let mut columns = Columns::of(row);
            (columns.session(), columns.message())
        })?;
        let text = |(session, message): (SessionId, LooseMessage)| {
            let chat = *places.get(&session)?;
            // One with a number that cannot be is found, and leads to the end of its chat.
            let id = message.id.as_ref().and_then(rows::message_id).unwrap_or(MessageId(u32::MAX));
            Some(Text::new(chat, id, message.message.role, &message.message.content))
        };
        let mut texts: Vec<Text> = messages.into_iter().filter_map(text).collect();
        texts.sort_by_key(|text| text.chat);
        Ok(Texts::new(chats, texts))
    }

    /// Writes a whole conversation.
    ///
    /// # Errors
    /// As the database's.
    pub fn put(&mut self, record: &SessionRecord, transcript: &Transcript) -> Result<(), StoreError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64);
        self.in_transaction(|writes| {
            writes.put_session(record, now)?;
            transcript.nodes().iter().try_for_each(|node| writes.put_message(record.id, node, now))
        })
    }

    /// Gives a conversation another title.
    ///
    /// # Errors
    /// As the database's.
    pub fn rename(&mut self, id: SessionId, title: &str) -> Result<(), StoreError> {
        self.in_transaction(|writes| writes.rename(id, title))
    }

    /// Deletes a conversation with its messages.
    ///
    /// # Errors
    /// As the database's.
    pub fn delete(&mut self, id: SessionId) -> Result<(), StoreError> {
        self.in_transaction(|writes| writes.delete(id))
    }

    fn rows<T>(
        &self,
        query: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> T,
    ) -> Result<Vec<T>, StoreError> {
        let run = || {
            let mut statement = self.opened.connection.prepare(query)?;
            statement.query_map(parameters, |row| Ok(read(row)))?.collect::<rusqlite::Result<Vec<T>>>()
        };
        run().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }
}

/// The tree of stored messages, and whether they had to be numbered anew.
fn transcript_of(messages: Vec<LooseMessage>, head: Option<MessageId>) -> (Transcript, bool) {
    let id_of = |message: &LooseMessage| message.id.as_ref().and_then(rows::message_id);
    if messages.iter().any(|message| id_of(message).is_none()) {
        let head = head.map(|head| rebuild::Key::Number(head.0.into()));
        return (rebuild::transcript(messages, head.as_ref()), true);
    }
    let node = |loose: LooseMessage| {
        let (id, parent) = (id_of(&loose)?, loose.parent.as_ref().and_then(rows::message_id));
        let LooseMessage { message, state, provenance, .. } = loose;
        Some(Node { id, parent, message, state, provenance })
    };
    (Transcript::from_parts(messages.into_iter().filter_map(node).collect(), head), false)
}

#[cfg(test)]
mod tests;
