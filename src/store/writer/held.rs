//! What this program knows of the chats that it has open or has written to, and what the database has of them.
//!
//! Other programs write to the same chats. Messages therefore get their numbers in the database inside the transaction that
//! adds them, whatever they are called here; what somebody else has changed meanwhile is not replaced, but stands beside
//! what is written here; and what others have added is found and told. Since everything is known here, a database that
//! was deleted can be made anew.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::chat::provenance::ViewPlace;
use crate::chat::{MessageId, MessageState, Node, Role};
use crate::store::sessions::{Database, Writes};
use crate::store::{Added, Others, SessionId, SessionRecord, StoreError, StoredSession, To};

/// The chats, each as it was last read from the database or written to it.
#[derive(Debug, Default)]
pub(in crate::store) struct Held {
    chats: HashMap<SessionId, Chat>,
    /// The chat that is open, as far as that is known.
    open: Option<SessionId>,
    /// What is to be taken back where the transaction under way fails, the last at the end.
    undo: Vec<Undo>,
    /// Chats that others have deleted, and that were written anew; told once they are.
    restored: Vec<String>,
}

#[derive(Debug, Clone, Default)]
struct Chat {
    record: SessionRecord,
    messages: BTreeMap<MessageId, Known>,
    /// How often it had been changed when it was last looked at.
    changes: i64,
    /// Whether this program has written to it.
    is_written: bool,
    /// The numbers of messages of others that were told of, and are not taken over yet.
    reported: HashSet<i64>,
}

/// A message, and its number in the database; `None` where the database may be another one.
#[derive(Debug, Clone)]
struct Known {
    stored: Option<i64>,
    node: Node,
}

#[derive(Debug)]
enum Undo {
    Chat(SessionId, Option<Box<Chat>>),
    Record(SessionId, Box<SessionRecord>, i64, bool),
    Message(SessionId, MessageId, Option<Box<Known>>),
}

/// What is known.
impl Held {
    /// A chat was read from the database, to be gone on with.
    pub(in crate::store) fn opened(&mut self, stored: StoredSession) {
        let StoredSession { mut record, transcript, changes, .. } = stored;
        // It is written by itself.
        record.settings.view = None;
        let id = record.id;
        // The one before it may still be the open one, where a reply is running there.
        let open = self.open;
        self.chats.retain(|id, chat| chat.is_written || Some(*id) == open);
        let known = |node: &Node| (node.id, Known { stored: Some(i64::from(node.id.0)), node: node.clone() });
        let messages = transcript.nodes().iter().map(known).collect();
        self.chats.insert(id, Chat { record, messages, changes, is_written: false, reported: HashSet::new() });
        self.open = Some(id);
    }

    /// Messages of others that were told of have these names here.
    pub(in crate::store) fn taken_over(&mut self, session: SessionId, taken: Vec<(Node, MessageId)>) {
        let Some(chat) = self.chats.get_mut(&session) else { return };
        for (node, stored) in taken {
            let stored = i64::from(stored.0);
            if chat.reported.remove(&stored) {
                chat.messages.insert(node.id, Known { stored: Some(stored), node });
            }
        }
    }

    /// The chat that others are watched for.
    pub(in crate::store) fn open(&self) -> Option<SessionId> {
        self.open.filter(|id| self.chats.contains_key(id))
    }

    /// The titles of chats that others had deleted, and that are there again.
    pub(in crate::store) fn take_restored(&mut self) -> Vec<String> {
        std::mem::take(&mut self.restored)
    }

    /// What is known of a chat: its record, and its messages under the names that they have here.
    pub(in crate::store) fn chat(&self, id: SessionId) -> Option<(&SessionRecord, impl Iterator<Item = &Node>)> {
        self.chats.get(&id).map(|chat| (&chat.record, chat.messages.values().map(|known| &known.node)))
    }

    /// The database is another file than before: where its messages are in it is to be found out.
    pub(in crate::store) fn forget_places(&mut self) {
        for chat in self.chats.values_mut() {
            chat.messages.values_mut().for_each(|known| known.stored = None);
            chat.reported.clear();
        }
    }

    /// Whether the database may lack something that was written to the former one.
    fn is_displaced(chat: &Chat) -> bool {
        chat.messages.values().any(|known| known.stored.is_none())
    }
}

/// What is written.
impl Held {
    /// A transaction begins.
    pub(in crate::store) fn begin(&mut self) {
        self.undo.clear();
        self.restored.clear();
    }

    /// It has failed: everything is known as it was before.
    pub(in crate::store) fn roll_back(&mut self) {
        self.restored.clear();
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Chat(id, Some(chat)) => drop(self.chats.insert(id, *chat)),
                Undo::Chat(id, None) => drop(self.chats.remove(&id)),
                Undo::Record(id, record, changes, is_written) => {
                    if let Some(chat) = self.chats.get_mut(&id) {
                        (chat.record, chat.changes, chat.is_written) = (*record, changes, is_written);
                    }
                }
                Undo::Message(id, message, known) => {
                    let Some(chat) = self.chats.get_mut(&id) else { continue };
                    match known {
                        Some(known) => drop(chat.messages.insert(message, *known)),
                        None => drop(chat.messages.remove(&message)),
                    }
                }
            }
        }
    }

    /// Writes what the former database had of every chat that this program has written to.
    pub(in crate::store) fn write_displaced(&mut self, writes: &Writes<'_>, now: i64) -> rusqlite::Result<usize> {
        let displaced = |(id, chat): (&SessionId, &Chat)| (chat.is_written && Self::is_displaced(chat)).then_some(*id);
        let ids: Vec<SessionId> = self.chats.iter().filter_map(displaced).collect();
        ids.iter().try_for_each(|id| self.find_places(writes, *id, now))?;
        Ok(ids.len())
    }

    /// Before anything is written to a chat: makes sure that all of it is in the database.
    fn settle(&mut self, writes: &Writes<'_>, id: SessionId, now: i64) -> rusqlite::Result<()> {
        let Some(chat) = self.chats.get(&id).filter(|chat| !chat.messages.is_empty()) else { return Ok(()) };
        if Self::is_displaced(chat) {
            return self.find_places(writes, id, now);
        }
        if writes.changes(id)?.is_none() {
            self.restored.push(chat.record.title.clone());
            return self.find_places(writes, id, now);
        }
        Ok(())
    }

    /// Finds the messages of a chat in a database that may be another one, and writes those that it lacks.
    fn find_places(&mut self, writes: &Writes<'_>, id: SessionId, now: i64) -> rusqlite::Result<()> {
        let Some(mut chat) = self.chats.get(&id).cloned() else { return Ok(()) };
        self.undo.push(Undo::Chat(id, Some(Box::new(chat.clone()))));
        let is_new = writes.changes(id)?.is_none();
        if is_new {
            writes.put_session(&chat.record, now)?;
        }
        let mut rows = writes.messages(id)?;
        let mut places: HashMap<MessageId, i64> = HashMap::new();
        for (&name, known) in &mut chat.messages {
            let parent = known.node.parent.and_then(|parent| places.get(&parent).copied());
            let message = &known.node.message;
            let is_it = |row: &crate::store::sessions::MessageRow| {
                row.parent == parent && row.role == message.role.as_str() && row.content == message.content
            };
            let stored = match rows.iter().position(is_it) {
                Some(at) => rows.swap_remove(at).id,
                None => writes.add_message(id, parent, &known.node)?,
            };
            known.stored = Some(stored);
            places.insert(name, stored);
        }
        if is_new {
            let head = chat.record.head.and_then(|head| places.get(&head).copied());
            writes.update_session(&chat.record, &chat.record, head)?;
        }
        writes.touch(id, now)?;
        chat.changes = if is_new { writes.changes(id)?.unwrap_or(0) } else { -1 };
        self.chats.insert(id, chat);
        Ok(())
    }

    /// Runs `write` on a chat, and notes whether others have changed it as well.
    fn counted(
        &mut self,
        writes: &Writes<'_>,
        id: SessionId,
        now: i64,
        write: impl FnOnce(&mut Self) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.settle(writes, id, now)?;
        let before = writes.changes(id)?;
        write(self)?;
        let after = writes.changes(id)?;
        if let Some(chat) = self.chats.get_mut(&id) {
            self.undo.push(Undo::Record(id, Box::new(chat.record.clone()), chat.changes, chat.is_written));
            chat.is_written = true;
            if before.is_none_or(|before| before == chat.changes) {
                chat.changes = after.unwrap_or(0);
            }
        }
        Ok(())
    }

    /// Writes a record: of one that is there only what was changed here.
    pub(in crate::store) fn put_session(
        &mut self,
        writes: &Writes<'_>,
        record: &SessionRecord,
        now: i64,
    ) -> rusqlite::Result<()> {
        let id = record.id;
        self.open = Some(id);
        self.counted(writes, id, now, |held| {
            let is_there = writes.changes(id)?.is_some();
            match held.chats.get_mut(&id) {
                Some(chat) if is_there => {
                    let stored = |head: MessageId| chat.messages.get(&head).and_then(|known| known.stored);
                    let head = record.head.map(|head| stored(head).unwrap_or_else(|| i64::from(head.0)));
                    writes.update_session(&chat.record, record, head)?;
                    writes.touch(id, now)?;
                    let former = std::mem::replace(&mut chat.record, record.clone());
                    held.undo.push(Undo::Record(id, Box::new(former), chat.changes, chat.is_written));
                }
                Some(chat) => {
                    writes.put_session(record, now)?;
                    let former = std::mem::replace(&mut chat.record, record.clone());
                    held.undo.push(Undo::Record(id, Box::new(former), chat.changes, chat.is_written));
                }
                None => {
                    writes.put_session(record, now)?;
                    held.chats.insert(id, Chat { record: record.clone(), ..Chat::default() });
                    held.undo.push(Undo::Chat(id, None));
                }
            }
            Ok(())
        })
    }

    /// Writes a message: one that others have changed meanwhile stays, and this one stands beside it.
    pub(in crate::store) fn put_message(
        &mut self,
        writes: &Writes<'_>,
        session: SessionId,
        node: &Node,
        now: i64,
    ) -> rusqlite::Result<()> {
        self.counted(writes, session, now, |held| {
            if !held.chats.contains_key(&session) {
                held.undo.push(Undo::Chat(session, None));
            }
            let chat = held.chats.entry(session).or_default();
            chat.record.id = session;
            let known = chat.messages.get(&node.id);
            let stored = match known.and_then(|known| Some((known, known.stored?))) {
                None => None,
                Some((known, stored)) => writes.content(session, stored)?.and_then(|content| {
                    let is_ours = content == known.node.message.content || content == node.message.content;
                    is_ours.then_some(stored)
                }),
            };
            let stored = match stored {
                Some(stored) => {
                    writes.update_message(session, stored, node)?;
                    stored
                }
                None => {
                    let stored = |parent: MessageId| chat.messages.get(&parent).map(|known| known.stored);
                    // Of a chat of which nothing is known, messages are called as they are there.
                    let parent = node.parent.and_then(|id| stored(id).unwrap_or(Some(i64::from(id.0))));
                    writes.add_message(session, parent, node)?
                }
            };
            writes.touch(session, now)?;
            let former = chat.messages.insert(node.id, Known { stored: Some(stored), node: node.clone() });
            held.undo.push(Undo::Message(session, node.id, former.map(Box::new)));
            Ok(())
        })
    }

    /// Deletes a message; one that others have answered stays.
    pub(in crate::store) fn delete_message(
        &mut self,
        writes: &Writes<'_>,
        session: SessionId,
        message: MessageId,
    ) -> rusqlite::Result<()> {
        let Some(known) = self.chats.get_mut(&session).and_then(|chat| chat.messages.remove(&message)) else {
            return Ok(());
        };
        if let Some(stored) = known.stored {
            writes.delete_leaf(session, stored)?;
        }
        self.undo.push(Undo::Message(session, message, Some(Box::new(known))));
        Ok(())
    }

    /// Deletes a chat.
    pub(in crate::store) fn delete(&mut self, writes: &Writes<'_>, id: SessionId) -> rusqlite::Result<()> {
        writes.delete(id)?;
        if let Some(chat) = self.chats.remove(&id) {
            self.undo.push(Undo::Chat(id, Some(Box::new(chat))));
        }
        Ok(())
    }

    /// Writes where the view of a chat was left. What this program knows nothing of is not in view anywhere.
    pub(in crate::store) fn put_view(
        &self,
        writes: &Writes<'_>,
        session: SessionId,
        view: Option<ViewPlace>,
    ) -> rusqlite::Result<()> {
        let Some(chat) = self.chats.get(&session) else { return Ok(()) };
        let stored = |view: ViewPlace| {
            let message = chat.messages.get(&view.message)?.stored?;
            Some(ViewPlace { message: MessageId(u32::try_from(message).ok()?), ..view })
        };
        writes.put_view(session, view.and_then(stored))
    }

    /// Brings back a chat that was deleted. A program that had it open may have saved it again since, under other numbers:
    /// its messages are looked for there like those in a database that may be another one.
    pub(in crate::store) fn restore(
        &mut self,
        writes: &Writes<'_>,
        record: &SessionRecord,
        nodes: &[Node],
        now: i64,
    ) -> rusqlite::Result<()> {
        let known = |node: &Node| (node.id, Known { stored: None, node: node.clone() });
        let messages = nodes.iter().map(known).collect();
        let chat = Chat { record: record.clone(), messages, is_written: true, ..Chat::default() };
        let former = self.chats.insert(record.id, chat);
        self.undo.push(Undo::Chat(record.id, former.map(Box::new)));
        self.find_places(writes, record.id, now)
    }
}

/// What others have written.
impl Held {
    /// What others have made of a chat since it was last looked at; `None` for nothing. What `is_awaited` is still to be
    /// written by this program.
    ///
    /// # Errors
    /// Those of the database.
    pub(in crate::store) fn others(
        &mut self,
        database: &Database,
        id: SessionId,
        is_awaited: impl Fn(MessageId) -> bool,
    ) -> Result<Option<Others>, StoreError> {
        let Some(chat) = self.chats.get_mut(&id) else { return Ok(None) };
        let Some(changes) = database.changes(id)?.filter(|changes| *changes != chat.changes) else { return Ok(None) };
        let StoredSession { record, transcript, is_renumbered, .. } = database.load(id)?;
        if is_renumbered {
            return Ok(None);
        }
        let names: HashMap<i64, MessageId> =
            chat.messages.iter().filter_map(|(name, known)| Some((known.stored?, *name))).collect();
        let (mut messages, mut is_complete, mut new) = (Vec::new(), true, HashSet::new());
        for node in transcript.nodes() {
            let stored = i64::from(node.id.0);
            if let Some(name) = names.get(&stored) {
                is_complete &= !is_awaited(*name);
                if let Some(known) = chat.messages.get_mut(name).filter(|_| !is_awaited(*name)) {
                    messages.extend(changed(known, node).then(|| Added { to: To::Known(*name), node: node.clone() }));
                    let (parent, id) = (known.node.parent, known.node.id);
                    known.node = Node { parent, id, ..node.clone() };
                }
                continue;
            }
            if chat.reported.contains(&stored) {
                continue;
            }
            let parent = node.parent.map(|parent| i64::from(parent.0));
            let to = match parent.map(|parent| (parent, names.get(&parent))) {
                None => To::Root,
                Some((_, Some(name))) => To::Answer(*name),
                Some((parent, None)) if new.contains(&parent) => To::New(MessageId(parent as u32)),
                // What it answers was told of, and is not taken over yet.
                Some(_) => {
                    is_complete = false;
                    continue;
                }
            };
            new.insert(stored);
            messages.push(Added { to, node: node.clone() });
        }
        chat.reported.extend(new);
        if is_complete {
            chat.changes = changes;
        }
        let title = (record.title != chat.record.title).then(|| record.title.clone());
        chat.record.title.clone_from(&record.title);
        let others = Others { session: id, title, messages };
        Ok((others.title.is_some() || !others.messages.is_empty()).then_some(others))
    }
}

/// Whether others have made something else of a message. That a reply was streaming when it was read changes nothing.
fn changed(known: &Known, node: &Node) -> bool {
    let is_streaming = |state: MessageState| state != MessageState::Complete;
    let same_state = is_streaming(known.node.state) == is_streaming(node.state);
    let same_provenance = match (&known.node.provenance, &node.provenance) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b) || a == b,
        (None, None) => true,
        _ => node.message.role != Role::Assistant,
    };
    known.node.message != node.message || !same_state || !same_provenance
}
