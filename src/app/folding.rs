//! What is folded to a line on screen: the long files and pastes of a question, what the model thought before a reply.

use super::attachments::{Piece, pieces};
use super::open_chat::OpenChat;
use crate::chat::thinking::Thought;
use crate::chat::{MessageId, Node, Role};

impl OpenChat {
    /// Shows what is folded of a message, or folds it again.
    pub(super) fn toggle_fold(&mut self, id: MessageId) {
        if !self.transcript().node(id).is_some_and(has_folds) {
            self.set_hint("nothing is folded in this message");
        } else if !self.turned.remove(&id) {
            self.turned.insert(id);
        }
    }

    /// All thoughts are to be shown, or to be folded.
    pub(super) fn treat_thoughts_alike(&mut self) {
        let transcript = &self.session.transcript;
        self.turned.retain(|&id| transcript.node(id).is_some_and(|node| node.message.role == Role::User));
    }

    /// Whether a message is shown the other way than those of its kind.
    pub(super) fn is_turned(&self, id: MessageId) -> bool {
        self.turned.contains(&id)
    }
}

fn has_folds(node: &Node) -> bool {
    let content = &node.message.content;
    match node.message.role {
        Role::User => pieces(content).iter().any(|piece| matches!(piece, Piece::Folded(_))),
        Role::Assistant | Role::System => Thought::of(content).is_some_and(|thought| !thought.is_absent()),
    }
}
