//! Completion of commands and their arguments, and texts of several lines.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::{Hint, Hinter};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use super::stand_in::{self, revealed};
use crate::app::commands::{self, Completer as Kind, Line};
use crate::app::completion::{self, Completion};
use crate::app::{App, FrontEndIo, Moment, carry_out};
use crate::chat::one_line;

/// Begins and ends a text of several lines.
pub(super) const QUOTES: &str = "\"\"\"";

/// What the line editor completes from.
pub(super) struct Helper {
    app: Rc<RefCell<App>>,
    io: Rc<RefCell<Box<dyn FrontEndIo>>>,
}

impl Helper {
    pub(super) fn new(app: &Rc<RefCell<App>>, io: &Rc<RefCell<Box<dyn FrontEndIo>>>) -> Self {
        Self { app: Rc::clone(app), io: Rc::clone(io) }
    }

    /// What the text before the cursor can become.
    fn candidates(&self, typed: &str) -> Vec<Pair> {
        let typed: &str = &revealed(typed);
        let (mut app, mut io) = (self.app.borrow_mut(), self.io.borrow_mut());
        if let Some(wanted) = completion::wanted(typed, typed.len()) {
            carry_out(&mut app, vec![wanted.effect()], &mut **io, &mut |_| {}, Moment::now());
        }
        let found = completion::complete_at(&app, typed, typed.len()).into_iter();
        let pair = |completion: Completion| Pair {
            display: one_line(&completion.label),
            replacement: stand_in::completed(typed, &completion.line),
        };
        found.filter(|completion| is_for_lines(&completion.line)).map(pair).collect()
    }
}

/// Whether a command can be carried out here, or explained.
fn is_for_lines(line: &str) -> bool {
    let Line::Command { name, argument } = commands::parse(line) else { return true };
    let needs_screen = |name| commands::find(name).is_some_and(|command| command.full_screen);
    let explains = commands::find(name).is_some_and(|command| command.completer == Kind::Commands);
    !(needs_screen(name) || explains && needs_screen(argument))
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok((0, self.candidates(line.get(..pos).unwrap_or_default())))
    }
}

/// Whether a text was begun with three quotes and not ended.
pub(super) fn is_open(text: &str) -> bool {
    text.trim_start().strip_prefix(QUOTES).is_some_and(|text| !text.trim_end().ends_with(QUOTES))
}

impl Validator for Helper {
    /// A text that was begun with three quotes goes on until three more.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Helper {
    type Hint = Unseen;

    fn hint(&self, line: &str, _: usize, _: &Context<'_>) -> Option<Unseen> {
        let count = stand_in::unseen(line);
        let s = if count == 1 { "" } else { "s" };
        (count > 0).then(|| Unseen(format!("  [and {count} control character{s}]")))
    }
}

/// Says that there is more in the line than can be drawn.
pub(super) struct Unseen(String);

impl Hint for Unseen {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Highlighter for Helper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        stand_in::drawn(line)
    }
}

impl rustyline::Helper for Helper {}
