//! The conversation as a tree: each answer can have siblings, the path from the root to the head is what is on screen.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Message, Provenance, Role};

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
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name.
    pub id: MessageId,
    /// What it answers; `None` at the root.
    pub parent: Option<MessageId>,
    /// Who said what.
    pub message: Message,
    /// How far it has come.
    pub state: MessageState,
    /// How it came to be; `None` where nobody knows, and for what a person has said.
    pub provenance: Option<Arc<Provenance>>,
}

/// A conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    nodes: Vec<Node>,
    head: Option<MessageId>,
    /// The places of the nodes without a parent.
    roots: Vec<usize>,
    /// The places of each node's answers.
    answers: Vec<Vec<usize>>,
}

impl Transcript {
    /// A conversation from its stored parts.
    ///
    /// A parent that is not among the nodes (a damaged database) counts as none, and a head that is not is the newest
    /// message: a chat with something in it never looks empty. A message that was being generated when the program ended
    /// is cut.
    pub fn from_parts(mut nodes: Vec<Node>, head: Option<MessageId>) -> Self {
        nodes.sort_by_key(|node| node.id);
        for node in &mut nodes {
            if node.state == MessageState::Streaming {
                node.state = MessageState::Cut;
            }
        }
        let known = |id: &MessageId| nodes.binary_search_by_key(id, |node| node.id).is_ok();
        let head = head.and_then(|id| if known(&id) { Some(id) } else { nodes.last().map(|node| node.id) });
        let orphans: Vec<usize> = (0..nodes.len())
            // A parent is always older than its answers; anything else could close a circle.
            .filter(|&at| nodes[at].parent.is_some_and(|parent| parent >= nodes[at].id || !known(&parent)))
            .collect();
        for at in orphans {
            nodes[at].parent = None;
        }
        let mut transcript = Self { nodes, head, roots: Vec::new(), answers: Vec::new() };
        for at in 0..transcript.nodes.len() {
            transcript.index(at);
        }
        transcript
    }

    /// Notes whose answer the node at a place is.
    fn index(&mut self, at: usize) {
        self.answers.push(Vec::new());
        match self.nodes[at].parent.and_then(|parent| self.position(parent)) {
            Some(parent) => self.answers[parent].push(at),
            None => self.roots.push(at),
        }
    }

    /// The places of the answers to `parent` (the roots for `None`), oldest first.
    fn places(&self, parent: Option<MessageId>) -> &[usize] {
        match parent {
            None => &self.roots,
            Some(parent) => self.position(parent).map_or(&[], |at| &self.answers[at]),
        }
    }

    /// Every message, in the order in which they were made.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The last message of the path on screen.
    pub fn head(&self) -> Option<MessageId> {
        self.head
    }

    /// Moves the end of the path on screen; nothing is deleted. An unknown id changes nothing.
    pub fn set_head(&mut self, head: Option<MessageId>) {
        if head.is_none_or(|id| self.node(id).is_some()) {
            self.head = head;
        }
    }

    /// A message by its name.
    pub fn node(&self, id: MessageId) -> Option<&Node> {
        self.position(id).map(|at| &self.nodes[at])
    }

    /// The message at the head.
    pub fn head_node(&self) -> Option<&Node> {
        self.head.and_then(|id| self.node(id))
    }

    /// Appends an answer to the head and makes it the head.
    pub fn append(&mut self, message: Message, state: MessageState) -> MessageId {
        self.append_to(self.head, message, state)
    }

    /// Appends an answer to `parent`, beside those that it has, and makes it the head.
    pub fn append_to(&mut self, parent: Option<MessageId>, message: Message, state: MessageState) -> MessageId {
        let id = MessageId(self.nodes.last().map_or(0, |node| node.id.0 + 1));
        self.nodes.push(Node { id, parent, message, state, provenance: None });
        self.index(self.nodes.len() - 1);
        self.head = Some(id);
        id
    }

    /// Appends to the text of a message.
    pub fn push_text(&mut self, id: MessageId, text: &str) {
        if let Some(at) = self.position(id) {
            self.nodes[at].message.content.push_str(text);
        }
    }

    /// Cuts the text of a message to `length` bytes, or to the whole character before.
    pub fn truncate_text(&mut self, id: MessageId, length: usize) {
        if let Some(at) = self.position(id) {
            let content = &mut self.nodes[at].message.content;
            let length = (0..=length.min(content.len())).rev().find(|&end| content.is_char_boundary(end));
            content.truncate(length.unwrap_or(0));
        }
    }

    /// Takes the newest message out where it has no text but the `beginning` that it was given, and no answers, and moves
    /// the head to what it answers. Returns whether it did.
    pub fn retract(&mut self, id: MessageId, beginning: &str) -> bool {
        let Some(last) = self.nodes.last().filter(|last| last.id == id && last.message.content == beginning) else {
            return false;
        };
        let (at, parent) = (self.nodes.len() - 1, last.parent);
        if self.answers.last().is_none_or(|answers| !answers.is_empty()) {
            return false;
        }
        match parent.and_then(|parent| self.position(parent)) {
            Some(parent) => self.answers[parent].retain(|&answer| answer != at),
            None => self.roots.retain(|&root| root != at),
        }
        self.nodes.pop();
        self.answers.pop();
        if self.head == Some(id) {
            self.head = parent;
        }
        true
    }

    /// Says how far a message has come.
    pub fn set_state(&mut self, id: MessageId, state: MessageState) {
        if let Some(at) = self.position(id) {
            self.nodes[at].state = state;
        }
    }

    /// Says how a message came to be.
    pub fn set_provenance(&mut self, id: MessageId, provenance: impl Into<Arc<Provenance>>) {
        if let Some(at) = self.position(id) {
            self.nodes[at].provenance = Some(provenance.into());
        }
    }

    /// Takes over what somebody else has made of a message since.
    pub fn set_content(&mut self, id: MessageId, content: String, state: MessageState) {
        if let Some(at) = self.position(id) {
            self.nodes[at].message.content = content;
            self.nodes[at].state = state;
        }
    }

    /// The messages from the root to `id`.
    pub fn path_to(&self, id: Option<MessageId>) -> Vec<&Node> {
        let mut path = Vec::new();
        let mut next = id;
        while let Some(node) = next.and_then(|id| self.node(id)) {
            path.push(node);
            next = node.parent;
        }
        path.reverse();
        path
    }

    /// Whether a message is on screen.
    pub fn is_on_path(&self, id: MessageId) -> bool {
        self.from_head().any(|node| node.id == id)
    }

    /// The messages on screen, the last one first: for those that need only the end of a long chat.
    pub fn from_head(&self) -> impl Iterator<Item = &Node> {
        std::iter::successors(self.head_node(), |node| self.node(node.parent?))
    }

    /// The messages from the root to the head: what is on screen.
    pub fn path(&self) -> Vec<&Node> {
        self.path_to(self.head)
    }

    /// The answers to `parent` (the roots for `None`), oldest first.
    pub fn children(&self, parent: Option<MessageId>) -> impl DoubleEndedIterator<Item = &Node> {
        self.places(parent).iter().map(|&at| &self.nodes[at])
    }

    /// Which of how many siblings a message is, from 1; (1, 1) for one without siblings.
    pub fn branch_position(&self, id: MessageId) -> (usize, usize) {
        let Some(node) = self.node(id) else { return (1, 1) };
        // Places are in the order of ids.
        let siblings = self.places(node.parent);
        (siblings.partition_point(|&at| self.nodes[at].id < id) + 1, siblings.len())
    }

    /// The last message on the path that has siblings, and which of how many it is.
    pub fn last_fork(&self) -> Option<(MessageId, usize, usize)> {
        self.from_head().find(|node| self.places(node.parent).len() > 1).map(|node| {
            let (k, n) = self.branch_position(node.id);
            (node.id, k, n)
        })
    }

    /// Goes `by` siblings on from `id` (round the end) and down to the newest leaf there. Returns whether it moved.
    pub fn switch_branch(&mut self, id: MessageId, by: isize) -> bool {
        let Some(parent) = self.node(id).map(|node| node.parent) else { return false };
        let siblings: Vec<MessageId> = self.children(parent).map(|node| node.id).collect();
        if siblings.len() < 2 {
            return false;
        }
        let at = siblings.iter().position(|&sibling| sibling == id).unwrap_or(0);
        let next = (at as isize + by).rem_euclid(siblings.len() as isize) as usize;
        self.head = Some(self.newest_leaf(siblings[next]));
        true
    }

    /// Moves the head so that `id` is on the path, where it is not.
    pub fn show(&mut self, id: MessageId) {
        if self.node(id).is_some() && !self.path().iter().any(|node| node.id == id) {
            self.head = Some(self.newest_leaf(id));
        }
    }

    /// Goes on from the head to the newest reply below it; returns whether there is one. A question that waits for its
    /// answer is nothing to go on from.
    pub fn follow(&mut self) -> bool {
        let Some(head) = self.head else { return false };
        let mut leaf = self.node(self.newest_leaf(head));
        while let Some(node) = leaf.filter(|node| node.id > head && node.message.role != Role::Assistant) {
            leaf = node.parent.and_then(|parent| self.node(parent));
        }
        let reply = leaf.map(|node| node.id).filter(|id| *id > head);
        self.head = reply.or(self.head);
        reply.is_some()
    }

    /// Where a new answer beside the one at the head would hang: the question. `None` where there is nothing to answer.
    pub fn regenerate_parent(&self) -> Option<MessageId> {
        let head = self.head_node()?;
        match head.message.role {
            Role::Assistant => head.parent,
            Role::User => Some(head.id),
            Role::System => None,
        }
    }

    /// Moves the head to before the last question, and returns that question; nothing is deleted.
    pub fn undo(&mut self) -> Option<String> {
        let question = self.path().into_iter().rev().find(|node| node.message.role == Role::User)?;
        let (parent, text) = (question.parent, question.message.content.clone());
        self.head = parent;
        Some(text)
    }

    fn newest_leaf(&self, from: MessageId) -> MessageId {
        let mut leaf = from;
        while let Some(child) = self.children(Some(leaf)).next_back() {
            leaf = child.id;
        }
        leaf
    }

    fn position(&self, id: MessageId) -> Option<usize> {
        // Ids are counted up: a message is at its own number unless some are missing.
        let at = id.0 as usize;
        match self.nodes.get(at) {
            Some(node) if node.id == id => Some(at),
            _ => self.nodes.binary_search_by_key(&id, |node| node.id).ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> Message {
        Message::new(Role::User, text)
    }

    fn model(text: &str) -> Message {
        Message::new(Role::Assistant, text)
    }

    fn texts(transcript: &Transcript) -> Vec<&str> {
        transcript.path().iter().map(|node| node.message.content.as_str()).collect()
    }

    fn conversation() -> (Transcript, MessageId, MessageId) {
        let mut t = Transcript::default();
        let question = t.append(user("q"), MessageState::Complete);
        let answer = t.append(model("a1"), MessageState::Complete);
        (t, question, answer)
    }

    #[test]
    fn a_second_answer_is_a_sibling_and_the_first_is_still_there() {
        let (mut t, question, first) = conversation();
        assert_eq!(t.regenerate_parent(), Some(question));
        let second = t.append_to(t.regenerate_parent(), model("a2"), MessageState::Streaming);
        assert_eq!(texts(&t), ["q", "a2"]);
        assert_eq!(t.branch_position(first), (1, 2));
        assert_eq!(t.branch_position(second), (2, 2));
        assert_eq!(t.last_fork(), Some((second, 2, 2)));
        assert!(t.switch_branch(second, 1), "round the end");
        assert_eq!(texts(&t), ["q", "a1"]);
        assert!(t.switch_branch(first, -1));
        assert_eq!(texts(&t), ["q", "a2"]);
    }

    #[test]
    fn a_branch_is_entered_at_its_newest_leaf() {
        let (mut t, question, first) = conversation();
        t.append(user("q2"), MessageState::Complete);
        t.append(model("b"), MessageState::Complete);
        let second = t.append_to(Some(question), model("a2"), MessageState::Complete);
        assert_eq!(texts(&t), ["q", "a2"]);
        t.switch_branch(second, -1);
        assert_eq!(texts(&t), ["q", "a1", "q2", "b"]);
        assert_eq!(t.last_fork(), Some((first, 1, 2)));
    }

    #[test]
    fn undo_moves_the_head_before_the_last_question_and_deletes_nothing() {
        let (mut t, _, answer) = conversation();
        t.append(user("q2"), MessageState::Complete);
        t.append(model("b"), MessageState::Complete);
        assert_eq!(t.undo().as_deref(), Some("q2"));
        assert_eq!(t.head(), Some(answer));
        assert_eq!(t.undo().as_deref(), Some("q"));
        assert_eq!(t.head(), None);
        assert_eq!(t.undo(), None);
        assert_eq!(t.nodes().len(), 4);
        let again = t.append(user("other"), MessageState::Complete);
        assert_eq!(t.branch_position(again), (2, 2), "a new first question is a branch of the root");
    }

    #[test]
    fn text_grows_and_a_reply_without_siblings_is_one_of_one() {
        let (mut t, _, answer) = conversation();
        t.push_text(answer, " and more");
        t.set_state(answer, MessageState::Cut);
        assert_eq!(t.node(answer).unwrap().message.content, "a1 and more");
        assert_eq!(t.node(answer).unwrap().state, MessageState::Cut);
        assert_eq!(t.branch_position(answer), (1, 1));
        assert!(!t.switch_branch(answer, 1));
        assert_eq!(t.last_fork(), None);
    }

    #[test]
    fn what_others_add_below_the_head_is_followed_to_its_last_reply() {
        let (mut t, _, answer) = conversation();
        assert!(!t.follow());
        let question = t.append(user("q2"), MessageState::Complete);
        t.set_head(Some(answer));
        assert!(!t.follow(), "a question waits for its answer");
        assert_eq!(t.head(), Some(answer));
        let reply = t.append_to(Some(question), model("b"), MessageState::Complete);
        t.append(user("q3"), MessageState::Complete);
        t.set_head(Some(answer));
        assert!(t.follow());
        assert_eq!(t.head(), Some(reply));
    }

    #[test]
    fn a_question_without_an_answer_can_be_answered() {
        let mut t = Transcript::default();
        assert_eq!(t.regenerate_parent(), None);
        let question = t.append(user("q"), MessageState::Complete);
        assert_eq!(t.regenerate_parent(), Some(question));
    }

    #[test]
    fn damaged_parts_make_a_tree_that_can_be_walked() {
        let node = |id: u32, parent: Option<u32>| Node {
            id: MessageId(id),
            parent: parent.map(MessageId),
            message: user(&id.to_string()),
            state: MessageState::Streaming,
            provenance: None,
        };
        let t = Transcript::from_parts(vec![node(7, Some(3)), node(3, Some(7)), node(9, Some(5))], Some(MessageId(7)));
        assert_eq!(texts(&t), ["3", "7"]);
        assert!(t.nodes().iter().all(|node| node.state == MessageState::Cut));
        let without_head = Transcript::from_parts(vec![node(1, None), node(2, Some(1))], Some(MessageId(4)));
        assert_eq!(texts(&without_head), ["1", "2"]);
    }
}
