//! The chats, in one SQLite database: a row for each conversation, a row for each message of its tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags, Row, Transaction, params};

use super::search::{Text, Texts};
use super::{SessionId, SessionRecord, StoreError, files};
use crate::chat::{Message, MessageId, MessageState, Node, Role, Transcript};

/// How long a write waits for another program that holds the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// The steps from an empty file to the present format; `PRAGMA user_version` counts those that were taken. Steps are
/// added, never changed.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE sessions (
        id      INTEGER PRIMARY KEY,
        title   TEXT NOT NULL,
        model   TEXT NOT NULL,
        system  TEXT NOT NULL,
        head    INTEGER,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL
    );
    CREATE TABLE messages (
        session INTEGER NOT NULL,
        id      INTEGER NOT NULL,
        parent  INTEGER,
        role    TEXT NOT NULL,
        content TEXT NOT NULL,
        state   TEXT NOT NULL,
        PRIMARY KEY (session, id)
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_update ON sessions (updated DESC);
"];

/// A line of the list of chats.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionSummary {
    /// The conversation.
    pub record: SessionRecord,
    /// Seconds since 1970 of its last change.
    pub updated: i64,
    /// How many messages its tree has.
    pub messages: u32,
}

/// A message in which something was found.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchHit {
    /// The conversation.
    pub record: SessionRecord,
    /// The message.
    pub message: MessageId,
    /// Who said it.
    pub role: Role,
    /// The words around what was found, on one line.
    pub context: String,
}

/// A conversation with its messages.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSession {
    /// The conversation.
    pub record: SessionRecord,
    /// Its messages. One that was being generated when the program died is [`MessageState::Cut`].
    pub transcript: Transcript,
}

/// The open database.
#[derive(Debug)]
pub struct Database {
    connection: Connection,
    path: PathBuf,
}

impl Database {
    /// Opens the database at `path`, makes it (for the user alone) where it is missing, and brings it to the present
    /// format.
    ///
    /// # Errors
    /// Every [`StoreError`] but `NoHome` and `UnknownSession`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            files::private_directory(directory)?;
        }
        // SQLite would make the file with the process's umask; the files it makes beside it take this one's mode.
        gibber_files::open_with(files::private_options().append(true).create(true), path)
            .map_err(|source| StoreError::io("open", path, source))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| StoreError::database(path, error))?;
        let mut database = Self { connection, path: path.into() };
        database.configure().map_err(|error| StoreError::database(path, error))?;
        database.migrate()?;
        Ok(database)
    }

    fn configure(&self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(BUSY_TIMEOUT)?;
        // A commit then survives the death of the process at once, and that of the machine after a checkpoint; readers
        // and the writer do not wait for each other.
        self.connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        self.connection.pragma_update(None, "synchronous", "normal")
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let Self { connection, path } = self;
        let failed = |error| StoreError::database(path, error);
        // Takes the lock before it looks, so that two programs that start at once do not both migrate.
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(failed)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let known = MIGRATIONS.len() as i64;
        let Some(steps) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
            return Err(StoreError::Newer { path: path.clone(), found, known });
        };
        for step in steps {
            transaction.execute_batch(step).map_err(failed)?;
        }
        transaction.pragma_update(None, "user_version", known).map_err(failed)?;
        transaction.commit().map_err(failed)
    }

    /// Writes all that `write` does, or nothing of it.
    pub(super) fn in_transaction(
        &mut self,
        write: impl FnOnce(&Writes<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let Self { connection, path } = self;
        let run = || {
            let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            let writes = Writes { transaction };
            write(&writes)?;
            writes.transaction.commit()
        };
        run().map_err(|error| StoreError::database(path, error))
    }

    /// The chats, the one that was changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn list(&self) -> Result<Vec<SessionSummary>, StoreError> {
        let run = || {
            let mut statement = self.connection.prepare(
                "SELECT id, title, model, system, head, created, updated,
                        (SELECT count(*) FROM messages WHERE session = sessions.id)
                 FROM sessions ORDER BY updated DESC, id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(SessionSummary { record: record_of(row)?, updated: row.get(6)?, messages: row.get(7)? })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        run().map_err(|error| self.failed(error))
    }

    /// A chat with its messages.
    ///
    /// # Errors
    /// [`StoreError::UnknownSession`], and as the database's.
    pub fn load(&self, id: SessionId) -> Result<StoredSession, StoreError> {
        let record = self
            .connection
            .query_row("SELECT id, title, model, system, head, created FROM sessions WHERE id = ?1", [id.0], record_of)
            .map_err(|error| match error {
                rusqlite::Error::QueryReturnedNoRows => {
                    StoreError::UnknownSession { path: self.path.clone(), id: id.0 }
                }
                error => self.failed(error),
            })?;
        let run = || {
            let mut statement = self
                .connection
                .prepare("SELECT id, parent, role, content, state FROM messages WHERE session = ?1 ORDER BY id")?;
            statement.query_map([id.0], node_of)?.collect::<rusqlite::Result<Vec<Node>>>()
        };
        let nodes = run().map_err(|error| self.failed(error))?;
        let head = record.head.filter(|head| nodes.iter().any(|node| node.id == *head));
        let transcript = Transcript::from_parts(nodes, head);
        Ok(StoredSession { record, transcript })
    }

    /// The messages that have `text` in them, in any case of letters; the chats that were changed last first.
    ///
    /// # Errors
    /// As the database's.
    pub fn search(&self, text: &str) -> Result<Vec<SearchHit>, StoreError> {
        Ok(self.texts()?.find(text))
    }

    /// A number that is another one after somebody else has written.
    pub(super) fn version(&self) -> Result<i64, StoreError> {
        let version = self.connection.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.failed(error))
    }

    /// The text of every message.
    pub(super) fn texts(&self) -> Result<Texts, StoreError> {
        let chats: Vec<SessionRecord> = self.list()?.into_iter().map(|summary| summary.record).collect();
        let places: HashMap<SessionId, usize> = chats.iter().enumerate().map(|(at, chat)| (chat.id, at)).collect();
        let run = || {
            let mut statement = self
                .connection
                .prepare("SELECT id, parent, role, content, state, session FROM messages ORDER BY session, id")?;
            let rows = statement.query_map([], |row| Ok((SessionId(row.get(5)?), node_of(row)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        let nodes = run().map_err(|error| self.failed(error))?;
        let text = |(session, node): (SessionId, Node)| {
            let chat = *places.get(&session)?;
            Some(Text::new(chat, node.id, node.message.role, node.message.content))
        };
        let mut texts: Vec<Text> = nodes.into_iter().filter_map(text).collect();
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

    /// Deletes a conversation with its messages.
    ///
    /// # Errors
    /// As the database's.
    pub fn delete(&mut self, id: SessionId) -> Result<(), StoreError> {
        self.in_transaction(|writes| writes.delete(id))
    }

    fn failed(&self, error: rusqlite::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Writes<'a> {
    transaction: Transaction<'a>,
}

impl Writes<'_> {
    pub(super) fn put_session(&self, record: &SessionRecord, now: i64) -> rusqlite::Result<()> {
        let SessionRecord { id, title, model, system, head, created } = record;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO sessions (id, title, model, system, head, created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET title = ?2, model = ?3, system = ?4, head = ?5, updated = ?7",
        )?;
        statement.execute(params![id.0, title, model, system, head.map(|head| head.0), created, now])?;
        Ok(())
    }

    pub(super) fn delete(&self, id: SessionId) -> rusqlite::Result<()> {
        self.transaction.execute("DELETE FROM messages WHERE session = ?1", [id.0])?;
        self.transaction.execute("DELETE FROM sessions WHERE id = ?1", [id.0])?;
        Ok(())
    }

    pub(super) fn delete_message(&self, session: SessionId, message: MessageId) -> rusqlite::Result<()> {
        self.transaction
            .execute("DELETE FROM messages WHERE session = ?1 AND id = ?2", [session.0, message.0.into()])?;
        Ok(())
    }

    pub(super) fn put_message(&self, session: SessionId, node: &Node, now: i64) -> rusqlite::Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO messages (session, id, parent, role, content, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (session, id) DO UPDATE SET parent = ?3, role = ?4, content = ?5, state = ?6",
        )?;
        let Node { id, parent, message, state } = node;
        let (role, state) = (message.role.as_str(), state_name(*state));
        statement.execute(params![session.0, id.0, parent.map(|id| id.0), role, message.content, state])?;
        let mut statement = self.transaction.prepare_cached("UPDATE sessions SET updated = ?2 WHERE id = ?1")?;
        statement.execute(params![session.0, now])?;
        Ok(())
    }
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        id: SessionId(row.get(0)?),
        title: row.get(1)?,
        model: row.get(2)?,
        system: row.get(3)?,
        head: row.get::<_, Option<u32>>(4)?.map(MessageId),
        created: row.get(5)?,
    })
}

fn node_of(row: &Row<'_>) -> rusqlite::Result<Node> {
    let role = match row.get_ref(2)?.as_str()? {
        "system" => Role::System,
        "assistant" => Role::Assistant,
        _ => Role::User,
    };
    // What is still streaming in the file was cut by the end of the program that wrote it.
    let state = match row.get_ref(4)?.as_str()? {
        "complete" => MessageState::Complete,
        _ => MessageState::Cut,
    };
    Ok(Node {
        id: MessageId(row.get(0)?),
        parent: row.get::<_, Option<u32>>(1)?.map(MessageId),
        message: Message::new(role, row.get::<_, String>(3)?),
        state,
    })
}

fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Complete => "complete",
        MessageState::Streaming => "streaming",
        MessageState::Cut => "cut",
    }
}

#[cfg(test)]
mod tests;
