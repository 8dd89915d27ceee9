//! Branches of a conversation: messages said in other words, siblings walked, questions taken back and brought again,
//! replies whose first words are given. Nothing is ever deleted by any of it.

use super::attachments::split;
use super::keymap::{Context, KeyAction, Keymap};
use super::open_chat::OpenChat;
use super::slash::escape;
use super::{Effect, NoteKind, OnScreen};
use crate::chat::{Message, MessageId, MessageState, Node, Role, title, without_line_end};

/// The argument of `/edit` that means the last reply.
const REPLY: &str = "reply";

/// The argument of `/begin` that takes the words back.
const NOTHING: &str = "-";

/// What the person is doing with the branches, until something is said.
#[derive(Debug, Default)]
pub(super) struct Branches {
    /// The message that is in the composer to be said in other words. The path on screen stays as it is until then.
    editing: Option<MessageId>,
    /// The words that the next reply begins with.
    begin: Option<String>,
    /// Heads that `/undo` has left, the last at the end.
    undone: Vec<Option<MessageId>>,
}

impl Branches {
    /// The words that the next reply begins with, if any: it is on its way, and nothing can be brought again.
    pub(super) fn take_begin(&mut self) -> Option<String> {
        self.undone.clear();
        self.begin.take()
    }

    /// Something was said: nothing is edited any more.
    pub(super) fn end_edit(&mut self) {
        self.editing = None;
    }

    /// Nothing can be brought again.
    pub(super) fn forget_undone(&mut self) {
        self.undone.clear();
    }
}

impl OpenChat {
    /// The message that is being said in other words.
    pub(super) fn editing(&self) -> Option<&Node> {
        self.branches.editing.and_then(|id| self.session.transcript.node(id))
    }

    /// The words that the next reply begins with.
    pub(super) fn begin(&self) -> Option<&str> {
        self.branches.begin.as_deref()
    }

    /// Leaves the message that is being edited as it was; `false` where none is.
    pub(super) fn leave_edit(&mut self) -> bool {
        self.branches.editing.take().is_some()
    }

    /// `/edit [N|reply]`: an earlier question, or the last reply, in other words.
    pub(super) fn edit(&mut self, argument: &str) -> Vec<Effect> {
        let wanted = if argument == REPLY { Role::Assistant } else { Role::User };
        let path = self.session.transcript.path();
        let said: Vec<MessageId> =
            path.into_iter().filter(|node| node.message.role == wanted).map(|node| node.id).collect();
        let place = if matches!(argument, "" | REPLY) { said.len() } else { argument.parse().unwrap_or(0) };
        if let Some(&id) = place.checked_sub(1).and_then(|place| said.get(place)) {
            return self.edit_message(id);
        }
        let text = match (said.len(), wanted) {
            (_, Role::Assistant) => "there is no reply yet".to_owned(),
            (0, _) => "there is no question yet".to_owned(),
            (n, _) => format!("there is no question {argument}: this chat has {n} of them"),
        };
        self.note(NoteKind::Error, text);
        Vec::new()
    }

    /// A message goes into the composer; what is sent then stands beside it.
    pub(super) fn edit_message(&mut self, id: MessageId) -> Vec<Effect> {
        let Some(node) = self.session.transcript.node(id) else { return Vec::new() };
        // Models end with spaces and line feeds that nobody means.
        let text = escape(split(&node.message.content).0.trim_end());
        self.branches.editing = Some(id);
        vec![Effect::Screen(OnScreen::EditText(text))]
    }

    /// `/begin TEXT`: the first words of the next reply; returns the question at the head, if one waits for its answer.
    ///
    /// # Errors
    /// What is said where no words were given.
    pub(super) fn set_begin(&mut self, argument: &str) -> Result<Option<MessageId>, String> {
        match argument {
            "" => return Err(self.begin_text()),
            NOTHING => {
                self.branches.begin = None;
                return Err(self.begin_text());
            }
            begin => self.branches.begin = Some(begin.to_owned()),
        }
        let head = self.transcript().head_node();
        Ok(head.filter(|node| node.message.role == Role::User).map(|node| node.id))
    }

    /// What is said of the first words of the next reply.
    fn begin_text(&self) -> String {
        match self.begin() {
            Some(begin) => format!("the next reply begins with {begin:?}; /begin {NOTHING} takes that back"),
            None => "the next reply begins as the model likes; /begin TEXT gives its first words".to_owned(),
        }
    }

    /// `/undo`: the last question and its answer go from the path, the question into the composer.
    pub(super) fn undo(&mut self) -> Vec<Effect> {
        let former = self.session.transcript.head();
        let Some(question) = self.session.transcript.undo() else {
            self.note(NoteKind::Info, "there is nothing to take back".to_owned());
            return Vec::new();
        };
        self.branches.undone.push(former);
        self.set_hint("taken back; /redo brings it again");
        vec![self.session.put(), Effect::Screen(OnScreen::Compose(escape(split(&question).0)))]
    }

    /// `/redo`: what `/undo` took back comes again.
    pub(super) fn redo(&mut self) -> Vec<Effect> {
        let Some(head) = self.branches.undone.pop() else {
            self.note(NoteKind::Info, "nothing was taken back that could come again".to_owned());
            return Vec::new();
        };
        self.session.transcript.set_head(head);
        vec![self.session.put()]
    }

    /// `/branch [K [N]]`: the next answer, or the Kth; with N the Kth wording of the Nth question.
    pub(super) fn branch(&mut self, argument: &str) -> Vec<Effect> {
        if argument.is_empty() {
            return self.switch_branch(1);
        }
        let (wanted, question) = match argument.split_once(char::is_whitespace) {
            None => (argument, None),
            Some((wanted, question)) => (wanted, Some(question.trim())),
        };
        if question.is_some_and(|question| question.contains(char::is_whitespace)) {
            let text =
                "/branch takes two numbers at most: /branch K, or /branch K N for the Kth wording of your Nth question";
            self.note(NoteKind::Error, text.to_owned());
            return Vec::new();
        }
        let at = match question {
            None => self.transcript().last_fork().map(|(id, _, _)| id),
            Some(number) => self.question(number),
        };
        let (k, n) = at.map_or((1, 1), |id| self.transcript().branch_position(id));
        match (wanted.parse::<usize>(), at) {
            (Ok(wanted), Some(id)) if (1..=n).contains(&wanted) => {
                if wanted == k {
                    return Vec::new();
                }
                self.switch_branch_at(id, wanted as isize - k as isize)
            }
            (_, None) if question.is_some() => {
                let text = format!("there is no question {}", question.unwrap_or_default());
                self.note(NoteKind::Error, text);
                Vec::new()
            }
            _ => {
                self.note(NoteKind::Error, format!("/branch wants a number from 1 to {n}, not `{wanted}`"));
                Vec::new()
            }
        }
    }

    /// The question of this number on the path, from 1.
    fn question(&self, number: &str) -> Option<MessageId> {
        let place = number.parse::<usize>().ok()?.checked_sub(1)?;
        let path = self.transcript().path();
        path.into_iter().filter(|node| node.message.role == Role::User).nth(place).map(|node| node.id)
    }

    /// Shows another answer to the same question: at the last message that has siblings.
    pub(super) fn switch_branch(&mut self, by: isize) -> Vec<Effect> {
        match self.session.transcript.last_fork() {
            Some((id, _, _)) => self.switch_branch_at(id, by),
            None => {
                self.note(NoteKind::Info, "there is one answer only: /regen makes another".to_owned());
                Vec::new()
            }
        }
    }

    /// Shows another sibling of a message, and what follows it.
    pub(super) fn switch_branch_at(&mut self, id: MessageId, by: isize) -> Vec<Effect> {
        if !self.session.transcript.switch_branch(id, by) {
            self.set_hint("this message has no other versions: editing it makes one");
            return Vec::new();
        }
        self.branches.undone.clear();
        vec![self.session.put()]
    }

    /// What is said where nothing can be changed, since a reply is running.
    pub(super) fn busy(&self, keymap: &Keymap) -> Option<String> {
        let how = keymap.key(Context::Anywhere, KeyAction::Stop).map(|key| format!(": stop it first ({key})"));
        self.running().map(|what| format!("{what} is running{}", how.unwrap_or_default()))
    }
}

/// What is said, put into the tree.
impl OpenChat {
    /// A question at the head, of which the chat has its title where it has none.
    pub(super) fn put_question(&mut self, text: &str) -> (MessageId, Vec<Effect>) {
        if self.transcript().nodes().is_empty() || self.session.record.title.is_empty() {
            self.session.record.title = title::of_question(text);
        }
        let id = self.session.transcript.append(Message::new(Role::User, text), MessageState::Complete);
        let effects = std::iter::once(self.session.put()).chain(self.session.put_message(id)).collect();
        (id, effects)
    }

    /// A question beside another one.
    pub(super) fn put_question_beside(&mut self, id: MessageId, text: &str) -> (MessageId, Vec<Effect>) {
        let parent = self.transcript().node(id).and_then(|node| node.parent);
        self.session.transcript.set_head(parent);
        self.put_question(text)
    }

    /// What a person makes of a reply, beside it.
    pub(super) fn put_beside(&mut self, id: MessageId, text: &str) -> Vec<Effect> {
        let Some((parent, role)) = self.transcript().node(id).map(|node| (node.parent, node.message.role)) else {
            return Vec::new();
        };
        let id = self.session.transcript.append_to(parent, Message::new(role, text), MessageState::Complete);
        self.branches.forget_undone();
        std::iter::once(self.session.put()).chain(self.session.put_message(id)).collect()
    }

    /// The words that a reply to `question` begins with.
    pub(super) fn put_begin(&mut self, question: MessageId, begin: String) -> MessageId {
        let reply = Message::new(Role::Assistant, begin);
        self.session.transcript.append_to(Some(question), reply, MessageState::Cut)
    }

    /// Whether a message reads so, but for blanks at its end.
    pub(super) fn reads(&self, id: MessageId, text: &str) -> bool {
        let content = self.transcript().node(id).map(|node| node.message.content.trim_end());
        content == Some(without_line_end(text))
    }
}
