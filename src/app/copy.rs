//! What goes to the clipboard: messages as they were written, and the code in them.

use super::open_chat::OpenChat;
use super::{Effect, NoteKind, OnScreen};
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
                .last()
                .map(|code| (*code).to_owned())
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
        let answer = answer_of(&node.message.content);
        let blocks = code_blocks(&answer);
        if blocks.is_empty() {
            self.set_hint("this message has no code block");
            return Vec::new();
        }
        let (at, count) = (number % blocks.len(), blocks.len());
        let text = blocks[at].to_owned();
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

/// The texts of the fenced code blocks (CommonMark), without their fences; the last may have no end, as in a reply that
/// was cut.
fn code_blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let fence = line.trim_start();
        let fence_is = |mark: &str| fence.starts_with(mark);
        match open {
            Some((start, mark)) if fence_is(mark) => {
                blocks.push(&text[start..at]);
                open = None;
            }
            Some(_) => {}
            None => open = ["```", "~~~"].into_iter().find(|mark| fence_is(mark)).map(|mark| (at + line.len(), mark)),
        }
        at += line.len();
    }
    blocks.extend(open.map(|(start, _)| &text[start..]));
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_blocks_are_found_in_order_and_the_last_may_be_open() {
        assert_eq!(code_blocks("a\n```rust\nx\n```\nb\n~~~\n```\n~~~\n```\nend"), ["x\n", "```\n", "end"]);
        assert_eq!(code_blocks("none `here`"), Vec::<&str>::new());
    }
}
