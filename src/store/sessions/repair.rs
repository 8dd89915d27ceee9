//! A way back from a damaged database: what can be read is put, row by row, into a new one, and the damaged file is kept
//! under another name.
//!
//! Everything is done on a copy, so that the damaged file is as it was until the new one is complete. SQLite's trees are
//! read from both ends, chat by chat and at last message by message, since a reading ends at the first page that is broken.
//! Where the first page is broken, on which everything else is said to be, that of a new database takes its place, of
//! each format in turn: tables are made in one order and mostly lie on the same pages. Then, and where trees are broken,
//! all pages are gone through as well.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Local};
use rusqlite::{Connection, OpenFlags, Params, Row};
use tempfile::TempDir;

use super::super::StoreError;
use super::carve::{Carved, carve};
use super::rows::{Columns, Names};
use super::{Database, SessionId, SessionRecord, connect, transcript_of};
use crate::chat::rebuild::{Key, LooseMessage};
use crate::chat::{MessageId, title};

/// Messages of a chat that are asked for one by one behind the last that was read.
const PROBED: i64 = 64;

/// Messages of a chat that are asked for one by one at most: those beyond are found on their pages.
const MOST_PROBED: i64 = 10_000;

/// What a repair has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// Chats in the new database.
    pub chats: usize,
    /// Messages in it.
    pub messages: usize,
    /// Whether something was found that could not be read.
    pub has_losses: bool,
    /// Where the damaged file is now; `None` where there was no damage, and nothing was done.
    pub kept: Option<PathBuf>,
}

/// Repairs the database at `path`. Where nothing is wrong with it, nothing is done.
///
/// # Errors
/// [`StoreError::Locked`] where another program has it open, [`StoreError::Newer`] where a later version has written it,
/// [`StoreError::Beyond`] where nothing in it can be read, and those of files. The database is as it was then.
pub fn repair(path: &Path) -> Result<Repair, StoreError> {
    gibber_files::open(path).map_err(|source| StoreError::io("read", path, source))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(newer @ StoreError::Newer { .. }) = Database::open_to_read(path) {
        return Err(newer);
    }
    refuse_shared(path)?;
    let scratch = gibber_files::scratch_folder_in(folder).map_err(|source| StoreError::io("write", folder, source))?;
    let copy = copied(path, &scratch)?;
    let salvaged = if is_sound(&copy) { None } else { Some(salvage(&copy, &scratch, path)?) };
    let Some(salvaged) = salvaged else {
        let list = Database::open_to_read(path)?.map_or_else(|| Ok(Vec::new()), |database| database.list())?;
        let messages = list.iter().map(|line| line.messages as usize).sum();
        return Ok(Repair { chats: list.len(), messages, has_losses: false, kept: None });
    };
    let new = scratch.path().join("new.db");
    let mut repair = salvaged.write(&new)?;
    repair.kept = Some(put_in_place(path, &new)?);
    Ok(repair)
}

/// Another program would go on with the damaged file. Damage itself is no reason to refuse.
fn refuse_shared(path: &Path) -> Result<(), StoreError> {
    let Ok(connection) = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return Ok(()) };
    let alone = || {
        connection.pragma_update_and_check(None, "locking_mode", "exclusive", |_| Ok(()))?;
        connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
    };
    match alone().map_err(|error| StoreError::database(path, error)) {
        Err(error @ StoreError::Locked { .. }) => Err(error),
        _ => Ok(()),
    }
}

fn copied(path: &Path, scratch: &TempDir) -> Result<PathBuf, StoreError> {
    let copy = scratch.path().join("copy.db");
    for ending in ["", "-wal"] {
        let source = connect::beside(path, ending);
        if source.exists() {
            fs::copy(&source, connect::beside(&copy, ending))
                .map_err(|error| StoreError::io("copy", &source, error))?;
        }
    }
    Ok(copy)
}

/// Whether SQLite and this program find nothing wrong in it.
fn is_sound(copy: &Path) -> bool {
    let check = || -> Result<bool, StoreError> {
        let Some(database) = Database::open_to_read(copy)? else { return Ok(true) };
        let connection = &database.opened.connection;
        let said: rusqlite::Result<String> = connection.pragma_query_value(None, "integrity_check", |row| row.get(0));
        if said.ok().as_deref() != Some("ok") {
            return Ok(false);
        }
        let list = database.list()?;
        let orphans = "SELECT 1 FROM messages WHERE session NOT IN (SELECT id FROM sessions) LIMIT 1";
        Ok(list.iter().all(|line| line.damage.is_none() && is_chat_sound(&database, line.record.id))
            && database.rows(orphans, [], |_| ())?.is_empty())
    };
    check().unwrap_or(false)
}

fn is_chat_sound(database: &Database, id: SessionId) -> bool {
    database.load(id).is_ok_and(|chat| chat.damage.is_none() && !chat.is_renumbered)
}

/// What was read of a damaged database.
#[derive(Debug, Default)]
struct Salvage {
    /// With the time of the last change.
    chats: BTreeMap<SessionId, (SessionRecord, i64)>,
    /// By chat, in the order of their numbers.
    messages: BTreeMap<SessionId, BTreeMap<MessageKey, LooseMessage>>,
    /// Whether a value was not as it should be.
    has_odd_values: bool,
    /// Whether a page could not be read.
    is_broken: bool,
}

/// Numbers come in their order, and before what should have been one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum MessageKey {
    Number(i64),
    Text(String),
}

impl MessageKey {
    fn of(message: &LooseMessage) -> Option<Self> {
        Some(match message.id.as_ref()? {
            Key::Number(number) => Self::Number(*number),
            Key::Text(text) => Self::Text(text.clone()),
        })
    }
}

/// What can be read of `copy`; `path` is for errors.
fn salvage(copy: &Path, scratch: &TempDir, path: &Path) -> Result<Salvage, StoreError> {
    let failed = |source| StoreError::io("read", copy, source);
    let mut found = Salvage::of(copy);
    if found.is_empty() {
        found = with_first_pages_of_new_ones(copy, scratch)?;
    }
    if found.is_broken {
        found.add(carve(&gibber_files::read(copy, u64::MAX - 1).map_err(failed)?));
    }
    if found.is_empty() { Err(StoreError::Beyond { path: path.into() }) } else { Ok(found) }
}

/// What can be read of `copy` with the first page of a new database over its own: of that format with which most of it can
/// be. Tables may lie elsewhere all the same, where the database has come from another format.
fn with_first_pages_of_new_ones(copy: &Path, scratch: &TempDir) -> Result<Salvage, StoreError> {
    let mut best = Salvage::default();
    for format in connect::formats() {
        let patched = scratch.path().join(format!("format-{format}.db"));
        let template = scratch.path().join(format!("template-{format}.db"));
        connect::make(&template, format)?;
        let failed = |source| StoreError::io("write", &patched, source);
        for ending in ["", "-wal"] {
            let source = connect::beside(copy, ending);
            if source.exists() {
                fs::copy(&source, connect::beside(&patched, ending)).map_err(failed)?;
            }
        }
        put_first_page(&template, &patched).map_err(failed)?;
        let found = Salvage::of(&patched);
        if found.count() > best.count() {
            best = found;
        }
    }
    best.is_broken = true;
    Ok(best)
}

/// Puts the first page of `template` over that of `copy`.
fn put_first_page(template: &Path, copy: &Path) -> std::io::Result<()> {
    let mut page = gibber_files::read(template, gibber_files::SMALL)?;
    // Bytes 16 and 17 are the size of a page; what bytes 92 to 95 hold says whether the number of pages is believed
    // (https://sqlite.org/fileformat.html, 1.3): the size of the file counts instead.
    page.truncate(usize::from(u16::from_be_bytes([page[16], page[17]])));
    page[92..96].fill(0xff);
    fs::OpenOptions::new().write(true).open(copy)?.write_all(&page)
}

impl Salvage {
    fn of(copy: &Path) -> Self {
        let mut salvage = Self::default();
        let Ok(connection) = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE) else {
            return Self { is_broken: true, ..salvage };
        };
        // So that a file which is shorter than it says is read as far as it goes.
        let _ = connection.pragma_update(None, "writable_schema", true);
        let names = Names::of(connect::format(&connection).unwrap_or(1));
        let ids = salvage.ids(&connection);
        for id in ids {
            salvage.read_chat(&connection, names, id);
            salvage.read_messages(&connection, names, id);
        }
        salvage
    }

    /// Chats and messages.
    fn count(&self) -> usize {
        self.chats.len() + self.messages.values().map(BTreeMap::len).sum::<usize>()
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Takes what is not there yet.
    fn add(&mut self, carved: Carved) {
        for (record, updated) in carved.chats {
            self.chats.entry(record.id).or_insert((record, updated));
        }
        for (id, message) in carved.messages {
            if let Some(place) = MessageKey::of(&message) {
                self.messages.entry(id).or_default().entry(place).or_insert(message);
            }
        }
    }

    /// Reads until a page is broken; whether none was.
    fn each(
        &mut self,
        connection: &Connection,
        query: &str,
        values: impl Params,
        mut take: impl FnMut(&mut Self, &Row<'_>),
    ) -> bool {
        let run = || -> rusqlite::Result<()> {
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query(values)?;
            while let Some(row) = rows.next()? {
                take(self, row);
            }
            Ok(())
        };
        let is_complete = run().is_ok();
        self.is_broken |= !is_complete;
        is_complete
    }

    /// The chats that anything speaks of: the table and its index, and the messages.
    fn ids(&mut self, connection: &Connection) -> BTreeSet<i64> {
        let mut ids = BTreeSet::new();
        for query in [
            "SELECT id FROM sessions NOT INDEXED ORDER BY id",
            "SELECT id FROM sessions NOT INDEXED ORDER BY id DESC",
            "SELECT id FROM sessions INDEXED BY sessions_by_update ORDER BY updated DESC",
            "SELECT id FROM sessions INDEXED BY sessions_by_update ORDER BY updated",
            "SELECT session FROM messages ORDER BY session, id",
            "SELECT session FROM messages ORDER BY session DESC, id DESC",
            "SELECT session FROM messages NOT INDEXED",
        ] {
            self.each(connection, query, [], |_, row| ids.extend(row.get::<_, i64>(0).ok()));
        }
        ids
    }

    fn read_chat(&mut self, connection: &Connection, names: Names, id: i64) {
        let query = format!("SELECT {}, updated, 0 FROM sessions NOT INDEXED WHERE id = ?1", names.chat);
        self.each(connection, &query, [id], |salvage, row| {
            let mut columns = Columns::of(row);
            let record = columns.record();
            let (updated, _) = columns.updated_and_messages();
            salvage.has_odd_values |= columns.damage().is_some();
            salvage.chats.insert(record.id, (record, updated));
        });
    }

    fn read_messages(&mut self, connection: &Connection, names: Names, id: i64) {
        let columns = format!("SELECT {} FROM messages WHERE session = ?1", names.message);
        let [up, down] = ["ORDER BY id", "ORDER BY id DESC"].map(|order| format!("{columns} {order}"));
        let take = move |salvage: &mut Self, row: &Row<'_>| salvage.take_message(SessionId(id), row);
        if self.each(connection, &up, [id], take) {
            return;
        }
        self.each(connection, &down, [id], take);
        let known = self.messages.get(&SessionId(id));
        let last = known.and_then(|messages| {
            messages.keys().rev().find_map(|place| match place {
                MessageKey::Number(number) => Some(*number),
                MessageKey::Text(_) => None,
            })
        });
        for message in 0..=last.unwrap_or(0).clamp(0, MOST_PROBED) + PROBED {
            if !self.has(id, message) {
                self.each(connection, &format!("{columns} AND id = ?2"), [id, message], take);
            }
        }
    }

    fn has(&self, id: i64, message: i64) -> bool {
        self.messages.get(&SessionId(id)).is_some_and(|messages| messages.contains_key(&MessageKey::Number(message)))
    }

    fn take_message(&mut self, id: SessionId, row: &Row<'_>) {
        let mut columns = Columns::of(row);
        let message = columns.message();
        self.has_odd_values |= columns.damage().is_some();
        let Some(place) = MessageKey::of(&message) else { return };
        self.messages.entry(id).or_default().insert(place, message);
    }

    /// Writes everything into a new database.
    fn write(mut self, path: &Path) -> Result<Repair, StoreError> {
        let mut database = Database::open(path)?;
        let mut repair =
            Repair { chats: 0, messages: 0, has_losses: self.is_broken || self.has_odd_values, kept: None };
        let ids: BTreeSet<SessionId> = self.chats.keys().chain(self.messages.keys()).copied().collect();
        for id in ids {
            let messages: Vec<LooseMessage> = self.messages.remove(&id).unwrap_or_default().into_values().collect();
            let known = self.chats.remove(&id);
            let head = known.as_ref().and_then(|(record, _)| record.head);
            // One whose own row is lost ends with its newest message.
            let head = if known.is_none() { Some(MessageId(u32::MAX)) } else { head };
            let transcript = transcript_of(messages, head).0;
            let (mut record, updated) = known.unwrap_or_else(|| (nameless(id), now()));
            if record.title.is_empty() {
                let first = transcript.nodes().first();
                record.title = first.map_or_else(String::new, |node| title::of_question(&node.message.content));
            }
            record.head = transcript.head();
            database.in_transaction(|writes| {
                transcript.nodes().iter().try_for_each(|node| writes.put_message(id, node, updated))?;
                writes.put_session(&record, updated)
            })?;
            repair.chats += 1;
            repair.messages += transcript.nodes().len();
        }
        // A rename takes the file alone: nothing may be left in its log.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: Vec<bool> = database.rows(checkpoint, [], |row| row.get::<_, i64>(0).unwrap_or(1) != 0)?;
        if busy.contains(&true) {
            return Err(StoreError::Unwritable { path: path.into() });
        }
        Ok(repair)
    }
}

/// The record of a chat of which only messages are left.
fn nameless(id: SessionId) -> SessionRecord {
    SessionRecord { id, created: now(), ..SessionRecord::default() }
}

fn now() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs() as i64)
}

/// Gives the damaged file another name, and its own to the `new` one. Returns the name that it has now.
fn put_in_place(path: &Path, new: &Path) -> Result<PathBuf, StoreError> {
    let at = DateTime::<Local>::from(SystemTime::now()).format("%Y-%m-%d-%H%M%S");
    let mut kept = path.with_file_name(format!("chats-damaged-{at}.db"));
    while kept.exists() {
        kept.set_file_name(format!("chats-damaged-{at}-{}.db", std::process::id()));
    }
    let rename = |from: &Path, to: &Path| fs::rename(from, to).map_err(|source| StoreError::io("rename", from, source));
    rename(path, &kept)?;
    for ending in ["-wal", "-shm"] {
        let former = connect::beside(path, ending);
        if former.exists() {
            rename(&former, &connect::beside(&kept, ending))?;
        }
    }
    if let Err(error) = rename(new, path) {
        rename(&kept, path)?;
        return Err(error);
    }
    Ok(kept)
}
