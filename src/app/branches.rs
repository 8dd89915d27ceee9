//! Branches of a conversation: messages said in other words, siblings walked, questions taken back and brought again,
//! replies whose first words are given. Nothing is ever deleted by any of it.

use super::attachments::split;
use super::commands::escape;
use super::keymap::{Context, KeyAction};
use super::{App, Effect, Moment, NoteKind};
use crate::chat::{Message, MessageId, MessageState, Node, Role, without_line_end};

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
    /// Another conversation is on screen.
    pub(super) fn forget(&mut self) {
        self.editing = None;
        self.undone.clear();
    }
}

impl App {
    /// The message that is being said in other words.
    pub fn editing(&self) -> Option<&Node> {
        self.branches.editing.and_then(|id| self.session.transcript.node(id))
    }

    /// The words that the next reply begins with.
    pub fn begin(&self) -> Option<&str> {
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
        if self.is_busy() {
            return Vec::new();
        }
        let Some(node) = self.session.transcript.node(id) else { return Vec::new() };
        // Models end with spaces and line feeds that nobody means.
        let text = escape(split(&node.message.content).0.trim_end());
        self.branches.editing = Some(id);
        vec![Effect::EditText(text)]
    }

    /// The message that was being edited is sent: it becomes a sibling of what it was, and the conversation goes on there.
    pub(super) fn send_edit(&mut self, id: MessageId, text: &str, now: Moment) -> Vec<Effect> {
        let Some(node) = self.session.transcript.node(id) else { return Vec::new() };
        let (parent, role) = (node.parent, node.message.role);
        let is_question = role == Role::User;
        let refusal = if is_question { self.refusal() } else { self.busy() };
        if let Some(refusal) = refusal {
            self.hint = Some(refusal);
            return vec![Effect::Compose(escape(text))];
        }
        let text = if is_question { self.as_question(text) } else { text };
        let former = self.session.transcript.node(id).map_or("", |node| node.message.content.trim_end());
        let is_same = former == without_line_end(text);
        self.branches.editing = None;
        match (is_question, is_same) {
            (true, true) => self.answer(id, now),
            (true, false) => {
                self.session.transcript.set_head(parent);
                self.ask_question(text, now)
            }
            (false, true) => {
                self.hint = Some("the reply is as it was".to_owned());
                Vec::new()
            }
            (false, false) => {
                let id = self.session.transcript.append_to(parent, Message::new(role, text), MessageState::Complete);
                self.branches.undone.clear();
                self.hint = Some("the reply is what you wrote: ask on, or /continue lets the model go on".to_owned());
                std::iter::once(self.session.put()).chain(self.session.put_message(id)).collect()
            }
        }
    }

    /// A question at the head, and a reply to it.
    pub(super) fn ask_question(&mut self, text: &str, now: Moment) -> Vec<Effect> {
        let id = self.session.transcript.append(Message::new(Role::User, text), MessageState::Complete);
        let mut effects = vec![self.session.put()];
        effects.extend(self.session.put_message(id));
        effects.extend(self.answer(id, now));
        effects
    }

    /// A new reply is on its way, and nothing can be brought again. Gives the words that it begins with.
    pub(super) fn take_begin(&mut self) -> Option<String> {
        self.branches.undone.clear();
        self.branches.begin.take()
    }

    /// Asks for a new reply to a question, which begins with the words that were given for it.
    pub(super) fn answer(&mut self, question: MessageId, now: Moment) -> Vec<Effect> {
        let Some(begin) = self.take_begin() else { return self.ask(Some(question), None, now) };
        let reply = Message::new(Role::Assistant, begin);
        let id = self.session.transcript.append_to(Some(question), reply, MessageState::Cut);
        let mut effects = self.ask(Some(question), Some(id), now);
        effects.insert(0, self.session.put());
        effects.extend(self.session.put_message(id));
        effects
    }

    /// `/begin TEXT`: the first words of the next reply; at once where a question waits for its answer.
    pub(super) fn set_begin(&mut self, argument: &str, now: Moment) -> Vec<Effect> {
        let text = match (argument, self.begin()) {
            ("", Some(begin)) => format!("the next reply begins with {begin:?}; /begin {NOTHING} takes that back"),
            ("", None) => "the next reply begins as the model likes; /begin TEXT gives its first words".to_owned(),
            (NOTHING, _) => {
                self.branches.begin = None;
                "the next reply begins as the model likes".to_owned()
            }
            (begin, _) => {
                self.branches.begin = Some(begin.to_owned());
                let waiting = self.session.transcript.head_node().filter(|node| node.message.role == Role::User);
                if let Some(question) = waiting.map(|node| node.id)
                    && self.refusal().is_none()
                {
                    return self.answer(question, now);
                }
                format!("the next reply begins with {begin:?}: ask, or /regen answers the last question so")
            }
        };
        self.note(NoteKind::Info, text);
        Vec::new()
    }

    /// `/undo`: the last question and its answer go from the path, the question into the composer.
    pub(super) fn undo(&mut self) -> Vec<Effect> {
        if let Some(effects) = self.undelete() {
            return effects;
        }
        let former = self.session.transcript.head();
        let Some(question) = self.session.transcript.undo() else {
            self.note(NoteKind::Info, "there is nothing to take back".to_owned());
            return Vec::new();
        };
        self.branches.undone.push(former);
        self.hint = Some("taken back; /redo brings it again".to_owned());
        vec![self.session.put(), Effect::Compose(escape(split(&question).0))]
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
            None if self.is_busy() => Vec::new(),
            None => {
                self.note(NoteKind::Info, "there is one answer only: /regen makes another".to_owned());
                Vec::new()
            }
        }
    }

    /// Shows another sibling of a message, and what follows it.
    pub(super) fn switch_branch_at(&mut self, id: MessageId, by: isize) -> Vec<Effect> {
        if self.is_busy() {
            return Vec::new();
        }
        if !self.session.transcript.switch_branch(id, by) {
            self.hint = Some("this message has no other versions: editing it makes one".to_owned());
            return Vec::new();
        }
        self.branches.undone.clear();
        vec![self.session.put()]
    }

    /// Whether a reply is running, which the person is told.
    fn is_busy(&mut self) -> bool {
        self.hint = self.busy();
        self.hint.is_some()
    }

    /// What is said where nothing can be changed, since a reply is running.
    pub(super) fn busy(&self) -> Option<String> {
        let how = self.keymap.key(Context::Anywhere, KeyAction::Stop).map(|key| format!(": stop it first ({key})"));
        let what = match &self.comparison {
            Some(comparison) if comparison.is_running() => Some("a comparison"),
            _ => self.generation.is_some().then_some("a reply"),
        };
        what.map(|what| format!("{what} is running{}", how.unwrap_or_default()))
    }
}
