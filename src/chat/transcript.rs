//! The conversation as a tree: each answer can have siblings, the path from the root to the head is what is on screen.

use serde::{Deserialize, Serialize};

use super::Message;

/// Names a message within its conversation; counted up, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MessageId(pub u32);

/// How far a message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It is whole.
    Complete,
    /// It is being generated.
    Streaming,
    /// It was cut: by the person, by an error, by a limit, or by the end of the program.
    Cut,
}

/// A message and its place in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: MessageId,
    /// What it answers; `None` at the root.
    pub parent: Option<MessageId>,
    /// Who said what.
    pub message: Message,
    /// How far it has come.
    pub state: MessageState,
}

/// A conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Transcript {
    nodes: Vec<Node>,
    head: Option<MessageId>,
}

impl Transcript {
    /// A conversation from its stored parts.
    pub fn from_parts(nodes: Vec<Node>, head: Option<MessageId>) -> Self {
        Self { nodes, head }
    }

    /// Every message, in the order in which they were made.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The last message of the path on screen.
    pub fn head(&self) -> Option<MessageId> {
        self.head
    }
}
