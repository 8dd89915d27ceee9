//! What is folded to a line on screen: the long files and pastes of a question, what the model thought before a reply.

use super::App;
use super::attachments::{Piece, pieces};
use crate::chat::thinking::Thought;
use crate::chat::{MessageId, Node, Role};

impl App {
    /// Shows what is folded of a message, or folds it again.
    pub(super) fn toggle_fold(&mut self, id: MessageId) {
        if !self.transcript().node(id).is_some_and(has_folds) {
            self.hint = Some("nothing is folded in this message".to_owned());
        } else if !self.turned.remove(&id) {
            self.turned.insert(id);
        }
    }

    /// Shows all thoughts, or folds them.
    pub(super) fn show_thoughts(&mut self, shown: bool) {
        self.shows_thoughts = shown;
        let transcript = &self.session.transcript;
        self.turned.retain(|&id| transcript.node(id).is_some_and(|node| node.message.role == Role::User));
    }

    /// Whether the files of a question are shown whole.
    pub fn shows_files_of(&self, id: MessageId) -> bool {
        self.turned.contains(&id)
    }

    /// Whether what the model thought before a reply is shown.
    pub fn shows_thought_of(&self, id: MessageId) -> bool {
        self.shows_thoughts != self.turned.contains(&id)
    }
}

fn has_folds(node: &Node) -> bool {
    let content = &node.message.content;
    match node.message.role {
        Role::User => pieces(content).iter().any(|piece| matches!(piece, Piece::Folded(_))),
        _ => Thought::of(content).is_some_and(|thought| !thought.is_absent()),
    }
}
