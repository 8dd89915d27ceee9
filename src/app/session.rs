//! A chat as the store has it, and keeping it saved.

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::Rng;

use super::records::Records;
use super::{Effect, Moment};
use crate::chat::provenance::ViewPlace;
use crate::chat::{MessageId, Transcript, without_line_end};
use crate::store::{SessionId, SessionRecord, StoreOp};

/// A conversation, and whether the store knows of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: SessionRecord,
    pub(super) transcript: Transcript,
    stored: bool,
    /// Where its view stands, and where that is stored; not in the record, which would be newer for it.
    pub(super) view: Option<ViewPlace>,
    stored_view: Option<ViewPlace>,
    /// How the replies come to be that are being made.
    pub(super) records: Records,
}

impl Session {
    /// An empty conversation; nothing is saved of it before its first question.
    pub(super) fn fresh(random: &mut Pcg64Mcg, system: &str, now: Moment) -> Self {
        let record = SessionRecord {
            id: SessionId::drawn(random.next_u64()),
            system: without_line_end(system).to_owned(),
            created: now.unix,
            ..SessionRecord::default()
        };
        let transcript = Transcript::default();
        Self { record, transcript, stored: false, view: None, stored_view: None, records: Records::default() }
    }

    /// A conversation from the store.
    pub(super) fn saved(mut record: SessionRecord, transcript: Transcript) -> Self {
        let view = record.settings.view.take();
        Self { record, transcript, stored: true, view, stored_view: view, records: Records::default() }
    }

    /// Writes where the view stands, when the chat is left.
    pub(super) fn put_view(&mut self) -> Option<Effect> {
        let (session, view) = (self.record.id, self.view);
        let is_new = self.stored && std::mem::replace(&mut self.stored_view, view) != view;
        is_new.then_some(Effect::Store(StoreOp::PutView { session, view }))
    }

    /// Writes the record, with the head as it is now.
    pub(super) fn put(&mut self) -> Effect {
        self.stored = true;
        self.record.head = self.transcript.head();
        // What else the chat keeps may be written whole.
        self.stored_view = None;
        Effect::Store(StoreOp::PutSession(self.record.clone()))
    }

    /// Writes the record where the store knows of the conversation.
    pub(super) fn put_if_stored(&mut self) -> Vec<Effect> {
        if self.stored { vec![self.put()] } else { Vec::new() }
    }

    /// Writes a message as it is now.
    pub(super) fn put_message(&self, id: MessageId) -> Option<Effect> {
        let mut node = self.transcript.node(id)?.clone();
        node.provenance = self.records.unfinished(id).or(node.provenance);
        Some(Effect::Store(StoreOp::PutMessage { session: self.record.id, node }))
    }
}

#[cfg(test)]
mod tests {
    use rand_pcg::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn names_of_conversations_are_positive_and_differ() {
        let mut random = Pcg64Mcg::seed_from_u64(0);
        let ids: Vec<i64> = (0..100).map(|_| SessionId::drawn(random.next_u64()).0).collect();
        assert!(ids.iter().all(|&id| id > 0 && id < 1 << 53), "what JavaScript and jq count with exactly");
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }
}
