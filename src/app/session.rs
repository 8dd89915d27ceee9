//! A chat as the store has it, and keeping it saved.

use super::records::Records;
use super::{Effect, Moment};
use crate::chat::{MessageId, Transcript, without_line_end};
use crate::store::{SessionId, SessionRecord, StoreOp};

/// A conversation, and whether the store knows of it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) record: SessionRecord,
    pub(super) transcript: Transcript,
    stored: bool,
    /// How the replies come to be that are being made.
    pub(super) records: Records,
}

impl Session {
    /// An empty conversation; nothing is saved of it before its first question.
    pub(super) fn fresh(seed: &mut u64, system: &str, now: Moment) -> Self {
        let record = SessionRecord {
            id: SessionId::drawn(next_random(seed)),
            system: without_line_end(system).to_owned(),
            created: now.unix,
            ..SessionRecord::default()
        };
        Self { record, transcript: Transcript::default(), stored: false, records: Records::default() }
    }

    /// A conversation from the store.
    pub(super) fn saved(record: SessionRecord, transcript: Transcript) -> Self {
        Self { record, transcript, stored: true, records: Records::default() }
    }

    /// Writes the record, with the head as it is now.
    pub(super) fn put(&mut self) -> Effect {
        self.stored = true;
        self.record.head = self.transcript.head();
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

/// SplitMix64 (Steele, Lea and Flood 2014): the next number after `state`.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_conversations_are_positive_and_differ() {
        let mut seed = 0;
        let ids: Vec<i64> = (0..100).map(|_| SessionId::drawn(next_random(&mut seed)).0).collect();
        assert!(ids.iter().all(|&id| id > 0 && id < 1 << 53), "what JavaScript and jq count with exactly");
        assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 100);
    }
}
