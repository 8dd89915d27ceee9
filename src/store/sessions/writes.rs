//! What is written, in one transaction.

use rusqlite::{OptionalExtension, Transaction, params};

use super::super::{SessionId, SessionRecord};
use crate::chat::provenance::ViewPlace;
use crate::chat::{MessageState, Node};

/// A transaction under way.
#[derive(Debug)]
pub(in crate::store) struct Writes<'a> {
    transaction: Transaction<'a>,
}

impl<'a> Writes<'a> {
    pub(super) fn new(transaction: Transaction<'a>) -> Self {
        Self { transaction }
    }

    pub(super) fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }

    /// Writes a whole record, as it is.
    pub(in crate::store) fn put_session(&self, record: &SessionRecord, now: i64) -> rusqlite::Result<()> {
        let SessionRecord { id, title, model, system, head, created, settings } = record;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO sessions (id, title, model, system, head, created, updated, settings)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET title = ?2, model = ?3, system = ?4, head = ?5, updated = ?7, settings = ?8,
                                            changes = changes + 1",
        )?;
        let settings = (!settings.is_empty()).then(|| json(settings));
        statement.execute(params![id.0, title, model, system, head.map(|head| head.0), created, now, settings])?;
        Ok(())
    }

    pub(in crate::store) fn rename(&self, id: SessionId, title: &str) -> rusqlite::Result<()> {
        let query = "UPDATE sessions SET title = ?2, changes = changes + 1 WHERE id = ?1";
        self.transaction.execute(query, params![id.0, title])?;
        Ok(())
    }

    /// Writes where the view of a chat was left, beside what else it keeps. The chat is no newer for that.
    pub(in crate::store) fn put_view(&self, id: SessionId, view: Option<ViewPlace>) -> rusqlite::Result<()> {
        let query = match view {
            Some(_) => "UPDATE sessions SET settings = json_set(coalesce(settings, '{}'), '$.view', json(?2))",
            None => "UPDATE sessions SET settings = json_remove(settings, '$.view', ?2)",
        };
        let query = format!("{query} WHERE id = ?1 AND (settings IS NULL OR json_valid(settings))");
        let view = view.map_or_else(|| "$.view".to_owned(), |view| json(&view));
        self.transaction.execute(&query, params![id.0, view])?;
        Ok(())
    }

    pub(in crate::store) fn delete(&self, id: SessionId) -> rusqlite::Result<()> {
        self.transaction.execute("DELETE FROM messages WHERE session = ?1", [id.0])?;
        self.transaction.execute("DELETE FROM sessions WHERE id = ?1", [id.0])?;
        Ok(())
    }

    /// Writes a message under its own number, as it is.
    pub(in crate::store) fn put_message(&self, session: SessionId, node: &Node, now: i64) -> rusqlite::Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO messages (session, id, parent, role, content, state, provenance) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (session, id) DO UPDATE SET parent = ?3, role = ?4, content = ?5, state = ?6, provenance = ?7",
        )?;
        let Node { id, parent, message, state, provenance } = node;
        let (role, state) = (message.role.as_str(), state_name(*state));
        let provenance = provenance.as_deref().map(json);
        statement.execute(params![session.0, id.0, parent.map(|id| id.0), role, message.content, state, provenance])?;
        self.touch(session, now)
    }

    /// A chat has changed.
    pub(in crate::store) fn touch(&self, session: SessionId, now: i64) -> rusqlite::Result<()> {
        let query = "UPDATE sessions SET updated = ?2, changes = changes + 1 WHERE id = ?1";
        self.transaction.prepare_cached(query)?.execute(params![session.0, now])?;
        Ok(())
    }
}

/// A message as the database has it.
#[derive(Debug, PartialEq)]
pub(in crate::store) struct MessageRow {
    pub(in crate::store) id: i64,
    pub(in crate::store) parent: Option<i64>,
    pub(in crate::store) role: String,
    pub(in crate::store) content: String,
}

/// One step at a time, with numbers of the database: for who knows what it has.
impl Writes<'_> {
    /// How often a chat has been changed; `None` where there is none.
    pub(in crate::store) fn changes(&self, session: SessionId) -> rusqlite::Result<Option<i64>> {
        let mut statement = self.transaction.prepare_cached("SELECT changes FROM sessions WHERE id = ?1")?;
        statement.query_row([session.0], |row| row.get(0)).optional()
    }

    /// The text of a message; `None` where there is none.
    pub(in crate::store) fn content(&self, session: SessionId, id: i64) -> rusqlite::Result<Option<String>> {
        let query = "SELECT content FROM messages WHERE session = ?1 AND id = ?2";
        self.transaction.prepare_cached(query)?.query_row([session.0, id], |row| row.get(0)).optional()
    }

    /// The messages of a chat, as far as they are as they should be, in the order of their numbers.
    pub(in crate::store) fn messages(&self, session: SessionId) -> rusqlite::Result<Vec<MessageRow>> {
        let query = "SELECT id, parent, role, content FROM messages WHERE session = ?1 ORDER BY id";
        let mut statement = self.transaction.prepare_cached(query)?;
        let read = |row: &rusqlite::Row<'_>| {
            let [id, parent] = [row.get::<_, Option<i64>>(0), row.get(1)];
            let (role, content) = (row.get(2), row.get(3));
            Ok((id.ok().flatten(), parent.ok().flatten(), role.ok(), content.ok()))
        };
        let rows = statement.query_map([session.0], read)?.collect::<rusqlite::Result<Vec<_>>>()?;
        let row = |(id, parent, role, content): (Option<i64>, Option<i64>, Option<String>, Option<String>)| {
            Some(MessageRow { id: id?, parent, role: role?, content: content? })
        };
        Ok(rows.into_iter().filter_map(row).collect())
    }

    /// Adds a message, under a number that none has, and that is higher than all; returns it.
    pub(in crate::store) fn add_message(
        &self,
        session: SessionId,
        parent: Option<i64>,
        node: &Node,
    ) -> rusqlite::Result<i64> {
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO messages (session, id, parent, role, content, state, provenance)
             SELECT ?1, coalesce(max(id) + 1, 0), ?2, ?3, ?4, ?5, ?6 FROM messages WHERE session = ?1
             RETURNING id",
        )?;
        let Node { message, state, provenance, .. } = node;
        let (role, state, provenance) = (message.role.as_str(), state_name(*state), provenance.as_deref().map(json));
        statement.query_row(params![session.0, parent, role, message.content, state, provenance], |row| row.get(0))
    }

    /// Writes what has become of a message.
    pub(in crate::store) fn update_message(&self, session: SessionId, id: i64, node: &Node) -> rusqlite::Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "UPDATE messages SET content = ?3, state = ?4, provenance = ?5 WHERE session = ?1 AND id = ?2",
        )?;
        let Node { message, state, provenance, .. } = node;
        statement.execute(params![
            session.0,
            id,
            message.content,
            state_name(*state),
            provenance.as_deref().map(json)
        ])?;
        Ok(())
    }

    /// Deletes a message that nothing answers.
    pub(in crate::store) fn delete_leaf(&self, session: SessionId, id: i64) -> rusqlite::Result<()> {
        self.transaction.execute(
            "DELETE FROM messages WHERE session = ?1 AND id = ?2
             AND NOT EXISTS (SELECT 1 FROM messages WHERE session = ?1 AND parent = ?2)",
            [session.0, id],
        )?;
        Ok(())
    }

    /// Writes the end of the path on screen, and of the rest of a record what is no longer as it was in `former`.
    pub(in crate::store) fn update_session(
        &self,
        former: &SessionRecord,
        record: &SessionRecord,
        head: Option<i64>,
    ) -> rusqlite::Result<()> {
        let id = record.id.0;
        self.transaction.execute("UPDATE sessions SET head = ?2 WHERE id = ?1", params![id, head])?;
        for (column, before, after) in [
            ("title", &former.title, &record.title),
            ("model", &former.model, &record.model),
            ("system", &former.system, &record.system),
        ] {
            if before != after {
                self.transaction
                    .execute(&format!("UPDATE sessions SET {column} = ?2 WHERE id = ?1"), params![id, after])?;
            }
        }
        if former.settings != record.settings {
            let query = "UPDATE sessions SET settings = ?2 WHERE id = ?1";
            self.transaction.execute(query, params![id, json(&record.settings)])?;
        }
        Ok(())
    }
}

/// As it is kept in a column.
fn json(value: &impl serde::Serialize) -> String {
    // Nothing that is kept so fails to be written: texts are the keys of all its maps.
    serde_json::to_string(value).unwrap_or_default()
}

fn state_name(state: MessageState) -> &'static str {
    match state {
        MessageState::Complete => "complete",
        MessageState::Streaming => "streaming",
        MessageState::Cut => "cut",
    }
}
