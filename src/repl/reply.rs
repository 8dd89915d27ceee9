//! A reply as it comes, in lines: what is thought before the answer is a line that stands for it.

use std::borrow::Cow;

use super::ReplError;
use super::printer::Printer;
use crate::app::App;
use crate::chat::MessageId;
use crate::chat::thinking::{Thought, ThoughtFilter};

/// How far the text of a reply is printed.
#[derive(Debug, Default)]
pub(super) struct ReplyPrinted {
    bytes: usize,
    /// It, as far as it is thought.
    thoughts: ThoughtFilter,
    /// Whether its thought had come to its end before anything of it was printed here.
    thought_before: bool,
}

impl ReplyPrinted {
    /// A reply is asked for. Where it goes on with one that is on screen (messages up to `last` are), nothing of that is
    /// printed again.
    pub(super) fn begin(app: &App, last: Option<MessageId>) -> Self {
        let continued = app.generation().and_then(|generation| generation.message);
        let continued = continued.filter(|message| last.is_some_and(|last| *message <= last));
        let mut printed = Self::default();
        if let Some(node) = continued.and_then(|message| app.transcript().node(message)) {
            let text = &node.message.content;
            printed.thoughts.push(text);
            printed.bytes = text.len();
            printed.thought_before = !printed.thoughts.is_inside();
        }
        printed
    }

    /// Prints what is new of `text`, the whole reply.
    pub(super) fn print(&mut self, text: &str, app: &App, printer: &mut Printer) -> Result<(), ReplError> {
        let new = text.get(self.bytes..).unwrap_or_default();
        self.bytes = text.len();
        if app.shows_thoughts() {
            self.thoughts.push(new);
            return Ok(printer.text(new)?);
        }
        let answer = self.thoughts.push(new).into_owned();
        self.say_what_was_thought(printer)?;
        Ok(printer.text(&answer)?)
    }

    /// What stands above was a thought, and nobody could know.
    fn say_what_was_thought(&mut self, printer: &mut Printer) -> Result<(), ReplError> {
        match self.thoughts.take_unmarked() {
            Some(thought) => {
                Ok(printer.line(&format!("({}, above: nothing marked its beginning)", thought.summary(false)))?)
            }
            None => Ok(()),
        }
    }

    /// The reply has ended.
    pub(super) fn end(&mut self, app: &App, printer: &mut Printer) -> Result<(), ReplError> {
        if !app.shows_thoughts() {
            let rest = self.thoughts.rest().into_owned();
            self.say_what_was_thought(printer)?;
            printer.text(&rest)?;
            let is_told = self.thought_before || self.thoughts.is_unmarked();
            if let Some(thought) = self.thoughts.thought().filter(|_| !is_told) {
                printer.line(&thought_line(&thought))?;
            }
        }
        *self = Self::default();
        Ok(())
    }
}

/// Stands for a thought that is not shown.
fn thought_line(thought: &Thought<'_>) -> String {
    format!("({}; /think show shows such)", thought.summary(false))
}

/// What is printed of a message that was said before: a line that stands for its thought, and the rest.
pub(super) fn parts<'a>(content: &'a str, app: &App) -> (Option<String>, Cow<'a, str>) {
    match Thought::of(content).filter(|_| !app.shows_thoughts()) {
        None => (None, content.into()),
        Some(thought) => ((!thought.is_absent()).then(|| thought_line(&thought)), thought.answer),
    }
}
