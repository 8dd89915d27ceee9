//! What other programs have written to the chat on screen becomes part of it: nothing is replaced, the tree branches. Where
//! they go on from the end of the path on screen, and nothing is at work there, the path goes on with them.

use std::collections::HashMap;

use super::keymap::Keymap;
use super::open_chat::OpenChat;
use super::records::summary_of;
use super::{Effect, NoteKind};
use crate::chat::{MessageId, Node};
use crate::store::{Added, Others, StoreOp, To};

impl OpenChat {
    /// Other programs have written to a chat.
    pub(super) fn on_others_wrote(&mut self, others: Others, keymap: &Keymap) -> Vec<Effect> {
        let Others { session, title, messages } = others;
        if session != self.session.record.id {
            return Vec::new();
        }
        if let Some(title) = title {
            self.session.record.title = title;
        }
        let former_head = self.session.transcript.head();
        let mut names: HashMap<MessageId, MessageId> = HashMap::new();
        let mut taken: Vec<(Node, MessageId)> = Vec::new();
        for Added { to, node } in messages {
            let stored = node.id;
            let parent = match to {
                To::Known(name) => {
                    self.update_message(name, node);
                    continue;
                }
                To::Root => None,
                To::Answer(name) => Some(name),
                To::New(stored) => names.get(&stored).copied(),
            };
            let Node { message, state, provenance, .. } = node;
            let name = self.session.transcript.append_to(parent, message, state);
            if let Some(provenance) = provenance {
                self.session.transcript.set_provenance(name, provenance);
            }
            names.insert(stored, name);
            if let Some(node) = self.session.transcript.node(name) {
                summary_of(node).into_iter().for_each(|summary| self.replies.restore(name, summary));
                taken.push((node.clone(), stored));
            }
        }
        self.session.transcript.set_head(former_head);
        if taken.is_empty() {
            return Vec::new();
        }
        self.note_others(taken.len(), keymap);
        vec![Effect::Store(StoreOp::TakenOver { session, messages: taken })]
    }

    /// Says what has come, and goes on with it where it goes on from what is on screen.
    fn note_others(&mut self, count: usize, keymap: &Keymap) {
        let is_at_work = self.busy(keymap).is_some() || self.comparison.is_some() || self.editing().is_some();
        let follows = !is_at_work && self.session.transcript.follow();
        let messages = if count == 1 { "a message".to_owned() } else { format!("{count} messages") };
        let place = if follows { "" } else { ", in other branches: /branch shows them" };
        self.note(NoteKind::Info, format!("another program has added {messages} to this chat{place}"));
    }

    /// A message was gone on with elsewhere. The one that is being generated is this program's.
    fn update_message(&mut self, name: MessageId, node: Node) {
        if self.generation.as_ref().is_some_and(|running| running.message == Some(name)) {
            return;
        }
        self.session.transcript.set_content(name, node.message.content, node.state);
        if let Some(provenance) = node.provenance {
            self.session.transcript.set_provenance(name, provenance);
        }
        let summary = self.session.transcript.node(name).and_then(summary_of);
        summary.into_iter().for_each(|summary| self.replies.restore(name, summary));
    }
}
