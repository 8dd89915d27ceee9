//! What goes to the clipboard: messages as they were written, and the code in them.

use super::open_chat::OpenChat;
use super::{Effect, NoteKind, OnScreen};
use crate::chat::code::code_blocks;
use crate::chat::thinking::{Thought, answer_of};
use crate::chat::{MessageId, Node, Role};

impl OpenChat {
    /// `/copy [N|code]`: the last reply, the Nth message, or the last code block of the last reply.
    pub(super) fn copy(&mut self, argument: &str, thoughts: bool) -> Vec<Effect> {
        let path = self.transcript().path();
        let reply = path.iter().rev().find(|node| node.message.role == Role::Assistant);
        let numbered = argument.parse::<usize>().ok().and_then(|number| path.get(number.checked_sub(1)?));
        let text = match (argument, reply) {
            (_, _) if numbered.is_some() => {
                Ok(numbered.map(|node| self.shown_text(node, thoughts)).unwrap_or_default())
            }
            ("" | "code", None) => Err("there is no reply to copy yet".to_owned()),
            ("", Some(node)) => Ok(self.shown_text(node, thoughts)),
            ("code", Some(node)) => code_blocks(&answer_of(&node.message.content))
                .pop()
                .ok_or_else(|| "the last reply has no code block".to_owned()),
            (other, _) => {
                let last = path.len();
                Err(format!("/copy takes nothing, `code`, or the number of a message up to {last}, not `{other}`"))
            }
        };
        match text {
            Ok(text) => self.copied("", text),
            Err(error) => {
                self.note(NoteKind::Error, error);
                Vec::new()
            }
        }
    }

    /// The whole of a message.
    pub(super) fn copy_message(&mut self, id: MessageId, thoughts: bool) -> Vec<Effect> {
        let text = self.transcript().node(id).map(|node| self.shown_text(node, thoughts));
        text.map_or_else(Vec::new, |text| self.copied("", text))
    }

    /// A code block of a message, counted from 0 and round the end.
    pub(super) fn copy_code(&mut self, id: MessageId, number: usize) -> Vec<Effect> {
        let Some(node) = self.transcript().node(id) else { return Vec::new() };
        let mut blocks = code_blocks(&answer_of(&node.message.content));
        if blocks.is_empty() {
            self.set_hint("this message has no code block");
            return Vec::new();
        }
        let (at, count) = (number % blocks.len(), blocks.len());
        let text = blocks.swap_remove(at);
        let which = if count > 1 { format!("code block {} of {count}: ", at + 1) } else { String::new() };
        self.copied(&which, text)
    }

    /// A message as it was written; a reply without its thought, unless that is shown (`thoughts` are, but for those that
    /// are turned) or nothing else is there.
    fn shown_text(&self, node: &Node, thoughts: bool) -> String {
        let content = &node.message.content;
        match Thought::of(content).filter(|_| node.message.role == Role::Assistant) {
            Some(thought) if thoughts == self.is_turned(node.id) && !thought.answer.is_empty() => {
                thought.answer.into_owned()
            }
            _ => content.clone(),
        }
    }

    fn copied(&mut self, which: &str, text: String) -> Vec<Effect> {
        self.note(NoteKind::Info, format!("copied {which}{} characters", text.chars().count()));
        vec![Effect::Screen(OnScreen::CopyText(text))]
    }
}
