//! Completion of commands and their arguments, and texts of several lines.

use rustyline::Context;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use crate::app::App;
use crate::app::commands::{self, Completer as Kind};
use crate::app::completion::begins;
use crate::app::parameters::PARAMETERS;
use crate::chat::template::BUILTIN_NAMES;

/// Begins and ends a text of several lines.
pub(super) const QUOTES: &str = "\"\"\"";

/// What the line editor knows of the chat.
#[derive(Debug, Default)]
pub(super) struct Helper {
    presets: Vec<String>,
    models: Vec<String>,
}

impl Helper {
    /// What can be named now.
    pub(super) fn learn(&mut self, app: &App, models: Vec<String>) {
        self.presets = app.preset_names();
        self.models = models;
    }

    fn arguments(&self, kind: Kind) -> Vec<&str> {
        match kind {
            // Themes are for the full screen.
            Kind::None | Kind::Themes | Kind::Files(_) => Vec::new(),
            Kind::Words(words) => words.to_vec(),
            Kind::Parameters => PARAMETERS.iter().map(|spec| spec.name).collect(),
            Kind::Presets | Kind::Lanes => self.presets.iter().map(String::as_str).collect(),
            Kind::Templates => ["model"].into_iter().chain(BUILTIN_NAMES).collect(),
            Kind::Models => self.models.iter().map(String::as_str).collect(),
            Kind::Commands => {
                commands::all().iter().filter(|command| !command.full_screen).map(|command| command.name).collect()
            }
        }
    }
}

impl Completer for Helper {
    type Candidate = Pair;

    fn complete(&self, line: &str, pos: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        Ok(self.candidates(line.get(..pos).unwrap_or_default()))
    }
}

impl Helper {
    /// Where the word begins that is completed, and what it can become.
    fn candidates(&self, typed: &str) -> (usize, Vec<Pair>) {
        let Some(command) = typed.strip_prefix('/') else { return (0, Vec::new()) };
        let Some((name, argument)) = command.split_once(' ') else {
            let found = commands::beginning_with(command).filter(|command| !command.full_screen);
            let pair = |command: &commands::SlashCommand| Pair {
                display: format!("/{}", command.name),
                replacement: format!("/{}{}", command.name, if command.arguments.is_empty() { "" } else { " " }),
            };
            return (0, found.map(pair).collect());
        };
        // Of several words the last one is completed.
        let argument = argument.rsplit(' ').next().filter(|_| name == "compare").unwrap_or(argument);
        let names = commands::find(name).map(|command| self.arguments(command.completer)).unwrap_or_default();
        let pair = |name: &str| Pair { display: name.to_owned(), replacement: name.to_owned() };
        let found = names.into_iter().filter(|name| begins(name, argument)).map(pair).collect();
        (typed.len() - argument.len(), found)
    }
}

impl Validator for Helper {
    /// A text that was begun with three quotes goes on until three more.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let is_open =
            context.input().trim_start().strip_prefix(QUOTES).is_some_and(|text| !text.trim_end().ends_with(QUOTES));
        Ok(if is_open { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Helper {
    type Hint = String;
}

impl Highlighter for Helper {}

impl rustyline::Helper for Helper {}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(typed: &str) -> (usize, Vec<String>) {
        let helper = Helper { presets: vec!["precise".into(), "poet".into()], models: vec!["smollm2".into()] };
        let (start, pairs) = helper.candidates(typed);
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn commands_and_their_arguments_are_completed() {
        assert_eq!(completed("/und"), (0, vec!["/undo".into()]));
        assert_eq!(completed("/preset p"), (8, vec!["precise".into(), "poet".into()]));
        assert_eq!(completed("/compare precise p"), (17, vec!["precise".into(), "poet".into()]));
        assert_eq!(completed("/model s"), (7, vec!["smollm2".into()]));
        assert_eq!(completed("/set temp").1, ["temperature"]);
    }

    #[test]
    fn a_message_is_not_completed() {
        assert!(completed("undo").1.is_empty());
        assert!(completed("/nothing x").1.is_empty());
    }
}
