//! A conversation from messages of which nothing is certain: those of a file that somebody else has written, or of a
//! damaged database. Ids are only names there; the tree gets numbers of its own.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Message, MessageId, MessageState, Node, Provenance, Transcript};

/// What a message is called where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// A whole number.
    Number(i64),
    /// Anything else, as text.
    Text(String),
}

/// A message and what it says of its place.
#[derive(Debug, Clone, PartialEq)]
pub struct LooseMessage {
    /// Its name; `None` where it has none.
    pub id: Option<Key>,
    /// What it answers; `None` at the root.
    pub parent: Option<Key>,
    /// Who said what.
    pub message: Message,
    /// How far it has come.
    pub state: MessageState,
    /// How it came to be, where that is known.
    pub provenance: Option<Arc<Provenance>>,
}

/// The conversation that `messages` make, numbered from 0 so that every message comes after what it answers, and otherwise
/// in their order. A name that several have stands for the nearest one before. What answers nothing that is there, or
/// itself by a detour, is at the root. A head that is not there is the newest message.
pub fn transcript(messages: Vec<LooseMessage>, head: Option<&Key>) -> Transcript {
    let places = places(&messages);
    let parents = parents(&messages, &places);
    let order = order(&parents);
    let mut numbers = vec![0; messages.len()];
    for (number, &at) in order.iter().enumerate() {
        numbers[at] = number;
    }
    let id = |at: usize| u32::try_from(numbers[at]).ok().map(MessageId);
    let head = head.and_then(|key| places.get(key)?.last()).and_then(|&at| id(at));
    let mut messages: Vec<Option<LooseMessage>> = messages.into_iter().map(Some).collect();
    let nodes = order.iter().filter_map(|&at| {
        let LooseMessage { message, state, provenance, .. } = messages[at].take()?;
        // A parent that comes later closes a circle, which is cut there.
        let parent = parents[at].filter(|&parent| numbers[parent] < numbers[at]).and_then(id);
        Some(Node { id: id(at)?, parent, message, state, provenance })
    });
    let nodes: Vec<Node> = nodes.collect();
    let head = head.or(nodes.last().map(|node| node.id));
    Transcript::from_parts(nodes, head)
}

/// The places of the messages that each name stands for.
fn places(messages: &[LooseMessage]) -> HashMap<Key, Vec<usize>> {
    let mut places: HashMap<Key, Vec<usize>> = HashMap::new();
    for (at, message) in messages.iter().enumerate() {
        if let Some(id) = &message.id {
            places.entry(id.clone()).or_default().push(at);
        }
    }
    places
}

/// The place of what each message answers.
fn parents(messages: &[LooseMessage], places: &HashMap<Key, Vec<usize>>) -> Vec<Option<usize>> {
    let parent = |(at, message): (usize, &LooseMessage)| {
        let found = places.get(message.parent.as_ref()?)?;
        let before = found.partition_point(|&place| place < at);
        before.checked_sub(1).and_then(|last| found.get(last)).or_else(|| found.first()).copied()
    };
    messages.iter().enumerate().map(parent).collect()
}

/// The places, each after its parent's.
fn order(parents: &[Option<usize>]) -> Vec<usize> {
    let mut order = Vec::with_capacity(parents.len());
    let mut is_seen = vec![false; parents.len()];
    for first in 0..parents.len() {
        let mut chain = Vec::new();
        let mut next = Some(first);
        // A circle ends where it began.
        while let Some(at) = next.filter(|&at| !is_seen[at]) {
            is_seen[at] = true;
            chain.push(at);
            next = parents[at];
        }
        order.extend(chain.into_iter().rev());
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Role;

    fn loose(id: i64, parent: Option<i64>) -> LooseMessage {
        let message = Message::new(Role::User, id.to_string());
        LooseMessage {
            id: Some(Key::Number(id)),
            parent: parent.map(Key::Number),
            message,
            state: MessageState::Complete,
            provenance: None,
        }
    }

    fn path(transcript: &Transcript) -> Vec<&str> {
        transcript.path().iter().map(|node| node.message.content.as_str()).collect()
    }

    #[test]
    fn ids_at_the_edge_become_numbers_from_zero() {
        let far = [loose(i64::from(u32::MAX), None), loose(-7, Some(i64::from(u32::MAX))), loose(i64::MAX, Some(-7))];
        let mut tree = transcript(far.to_vec(), Some(&Key::Number(i64::MAX)));
        assert_eq!(path(&tree), ["4294967295", "-7", "9223372036854775807"]);
        let next = tree.append(Message::new(Role::User, "next"), MessageState::Complete);
        assert_eq!(next, MessageId(3));
    }

    #[test]
    fn an_answer_may_stand_before_its_question() {
        let tree = transcript(vec![loose(2, Some(1)), loose(1, Some(0)), loose(0, None)], Some(&Key::Number(2)));
        assert_eq!(path(&tree), ["0", "1", "2"]);
    }

    #[test]
    fn a_circle_is_cut_and_nothing_is_lost() {
        for length in [1, 2, 3, 100_000] {
            let circle: Vec<_> = (0..length).map(|id| loose(id, Some((id + 1) % length))).collect();
            let tree = transcript(circle, None);
            assert_eq!(tree.nodes().len(), length as usize);
            assert_eq!(tree.path().len(), length as usize, "{length}");
        }
    }

    #[test]
    fn a_name_that_two_have_is_the_one_before() {
        let tree = transcript(vec![loose(1, None), loose(2, Some(1)), loose(1, Some(2)), loose(3, Some(1))], None);
        assert_eq!(path(&tree), ["1", "2", "1", "3"]);
    }

    #[test]
    fn a_head_that_is_not_there_is_the_newest_message() {
        let nodes = vec![loose(0, None), loose(1, Some(0)), loose(2, Some(0))];
        for head in [None, Some(Key::Number(77)), Some(Key::Text("x".into()))] {
            assert_eq!(path(&transcript(nodes.clone(), head.as_ref())), ["0", "2"], "{head:?}");
        }
        assert_eq!(path(&transcript(nodes, Some(&Key::Number(1)))), ["0", "1"]);
        assert_eq!(transcript(Vec::new(), None).head(), None);
    }

    #[test]
    fn a_parent_that_is_not_there_is_the_root() {
        assert_eq!(path(&transcript(vec![loose(5, Some(99))], None)), ["5"]);
    }
}
