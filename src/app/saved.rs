//! The list of saved chats: searched in full text, chosen from, and what can be done to a chat in it.

use std::collections::HashMap;

use super::chats::deletion;
use super::open_chat::OpenChat;
use super::{Effect, Moment, NoteKind};
use crate::chat::{MessageId, Transcript, title};
use crate::store::{SearchHit, SessionId, SessionRecord, SessionSummary, StoreOp};

/// Saved chats, while the person is choosing one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SavedChats {
    /// The chats, the one that was changed last first.
    pub chats: Vec<SessionSummary>,
    /// What is looked for in them; empty for nothing.
    pub query: String,
    /// Where it was found.
    pub hits: Vec<SearchHit>,
    /// When they were listed, in seconds since 1970.
    pub at: i64,
    /// Counts the changes, so that whoever shows them need not look for any.
    pub changes: u64,
}

/// The saved chats: the list of them, what is looked for in them, and what was deleted.
#[derive(Debug, Default)]
pub(super) struct Library {
    /// The list, while the person is choosing from it.
    pub(super) saved: Option<SavedChats>,
    /// What a search has found, until the list is there.
    search: Search,
    /// The message that a chat is opened for, until it is there.
    wanted: Option<MessageId>,
    /// The chats as they were read last.
    pub(super) recent: Vec<SessionRecord>,
    /// The chat that was deleted last, until something is said.
    deleted: Option<(SessionRecord, Transcript)>,
}

/// A search, until the list of chats is there.
#[derive(Debug, Default)]
pub(super) struct Search {
    query: String,
    hits: Vec<SearchHit>,
    /// Whether a chat that is called so is opened at once.
    opens: bool,
}

impl SavedChats {
    /// The chats that are called so or have what is looked for in them, each with the places.
    pub fn found(&self) -> impl Iterator<Item = (&SessionSummary, Vec<&SearchHit>)> {
        let query = self.query.trim().to_lowercase();
        let mut hits_of: HashMap<SessionId, Vec<&SearchHit>> = HashMap::new();
        for hit in &self.hits {
            hits_of.entry(hit.record.id).or_default().push(hit);
        }
        self.chats.iter().filter_map(move |chat| {
            let hits = hits_of.remove(&chat.record.id).unwrap_or_default();
            let is_called_so = chat.record.title.to_lowercase().contains(&query);
            (is_called_so || !hits.is_empty()).then_some((chat, hits))
        })
    }
}

impl Library {
    pub(super) fn close_list(&mut self) -> Vec<Effect> {
        match self.saved.take() {
            // What was read for the search is no longer needed.
            Some(saved) if !saved.query.is_empty() => vec![Effect::SearchSessions(String::new())],
            _ => Vec::new(),
        }
    }

    /// `/open [TEXT]`: a whole title opens its chat.
    pub(super) fn open_chat(&mut self, text: &str) -> Vec<Effect> {
        let effects = self.search_chats(text);
        self.search.opens = true;
        effects
    }

    /// `/search TEXT`.
    pub(super) fn search_chats(&mut self, text: &str) -> Vec<Effect> {
        self.search = Search::default();
        if text.is_empty() { vec![Effect::ListSessions] } else { vec![Effect::SearchSessions(text.to_owned())] }
    }

    /// The saved chats were listed; what is to be said of them is said in `chat`.
    pub(super) fn on_chats_listed(
        &mut self,
        chats: Vec<SessionSummary>,
        chat: &mut OpenChat,
        now: Moment,
    ) -> Vec<Effect> {
        if chats.is_empty() {
            chat.note(NoteKind::Info, "no chat is saved yet".to_owned());
            return Vec::new();
        }
        for SessionSummary { record, damage, .. } in &chats {
            if let Some(damage) = damage {
                let text = format!("the chat {:?} is damaged: {damage}; the rest of it is read", record.title);
                chat.note(NoteKind::Warning, text);
            }
        }
        let Search { query, hits, opens } = std::mem::take(&mut self.search);
        let id: Option<i64> = query.trim().trim_matches('"').parse().ok();
        let is_called_so = |chat: &&SessionSummary| chat.record.title == query || Some(chat.record.id.0) == id;
        let called_so: Vec<_> = chats.iter().filter(|chat| opens && is_called_so(chat)).collect();
        // What was read for the search is no longer needed where no list opens.
        let no_more = Effect::SearchSessions(String::new());
        if let [chat] = called_so[..] {
            let mut effects = self.choose_chat(chat.record.id, None);
            effects.push(no_more);
            return effects;
        }
        let saved = SavedChats { chats, query, hits, at: now.unix, changes: 0 };
        if saved.found().next().is_none() {
            chat.note(NoteKind::Info, "no chat has that in it".to_owned());
            return vec![no_more];
        }
        self.saved = Some(saved);
        Vec::new()
    }

    /// A search has ended; where no list is open yet, one opens if there is something to show: chats may also be called
    /// so.
    pub(super) fn on_found(&mut self, query: String, hits: Vec<SearchHit>) -> Vec<Effect> {
        if let Some(saved) = &mut self.saved {
            (saved.query, saved.hits) = (query, hits);
            saved.changes += 1;
            return Vec::new();
        }
        if query.trim().is_empty() {
            return Vec::new();
        }
        (self.search.query, self.search.hits) = (query, hits);
        vec![Effect::ListSessions]
    }

    /// A chat was chosen, and in it a message where something was found.
    pub(super) fn choose_chat(&mut self, id: SessionId, message: Option<MessageId>) -> Vec<Effect> {
        self.wanted = message;
        let mut effects = self.close_list();
        effects.push(Effect::OpenSession(id));
        effects
    }

    /// The message that a chat was opened for.
    pub(super) fn take_wanted(&mut self) -> Option<MessageId> {
        self.wanted.take()
    }

    /// Gives a chat of the list, which may be the one on screen, another title.
    pub(super) fn rename(&mut self, id: SessionId, title: &str, chat: &mut OpenChat) -> Vec<Effect> {
        let title = title::cleaned(title);
        let Some(saved) = self.saved.as_mut() else { return Vec::new() };
        let Some(entry) = saved.chats.iter_mut().find(|entry| entry.record.id == id) else { return Vec::new() };
        if title.is_empty() {
            return Vec::new();
        }
        entry.record.title.clone_from(&title);
        saved.changes += 1;
        if id == chat.id() {
            return chat.set_title(title);
        }
        vec![Effect::Store(StoreOp::Rename { session: id, title })]
    }

    /// A chat of the list that is to be deleted was read.
    pub(super) fn on_chat_taken(&mut self, record: SessionRecord, transcript: Transcript) -> Vec<Effect> {
        let id = record.id;
        self.leave_entry(id);
        self.keep_deleted(record, transcript);
        vec![Effect::Store(StoreOp::DeleteSession(id))]
    }

    /// A chat is deleted: it can come back.
    pub(super) fn keep_deleted(&mut self, record: SessionRecord, transcript: Transcript) {
        self.deleted = Some((record, transcript));
    }

    pub(super) fn take_deleted(&mut self) -> Option<(SessionRecord, Transcript)> {
        self.deleted.take()
    }

    /// A chat is no longer in the list.
    pub(super) fn leave_entry(&mut self, id: SessionId) {
        if let Some(saved) = &mut self.saved {
            saved.chats.retain(|chat| chat.record.id != id);
            saved.hits.retain(|hit| hit.record.id != id);
            saved.changes += 1;
        }
    }

    /// The chat that was deleted last comes back into the list.
    pub(super) fn restore(&mut self, chat: &mut OpenChat) -> Vec<Effect> {
        let Some((record, transcript)) = self.take_deleted() else { return Vec::new() };
        chat.unsay(&deletion(&record));
        let nodes = transcript.nodes().to_vec();
        let effects = vec![Effect::Store(StoreOp::Restore { record: record.clone(), nodes })];
        if let Some(saved) = &mut self.saved {
            let messages = u32::try_from(transcript.nodes().len()).unwrap_or(u32::MAX);
            saved.chats.insert(0, SessionSummary { record, updated: saved.at, messages, damage: None });
            saved.changes += 1;
        }
        effects
    }
}
