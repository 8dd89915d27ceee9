//! Giving slash commands, and what those do that stand nowhere else.

use super::commands::{self, Call, Line, When};
use super::template::{check_template, describe_template, template_names};
use super::{App, Effect, List, Moment, NoteKind, OnScreen, files, theme_problem};
use crate::settings::theme::Theme;

impl App {
    /// A line from the composer or the prompt.
    pub(super) fn enter(&mut self, line: &str, now: Moment) -> Vec<Effect> {
        if line.trim().is_empty() {
            self.chat.leave_edit();
            return Vec::new();
        }
        let mut effects = self.catalog.remember(line);
        effects.extend(match commands::parse(line) {
            Line::Message(text) => self.send(text, now),
            Line::Command { name, argument } => match self.give(name, argument, now) {
                Some(effects) => effects,
                // What cannot be given can be mended.
                None => vec![Effect::Screen(OnScreen::Compose(line.to_owned()))],
            },
        });
        effects
    }

    /// A command that a key stands for: no line of the person's, so that it is neither remembered nor given back.
    pub(super) fn give_by_key(&mut self, name: &str, now: Moment) -> Vec<Effect> {
        self.give(name, "", now).unwrap_or_default()
    }

    /// Gives a command; `None`, and a word why, where it cannot be given so or now.
    fn give(&mut self, name: &str, argument: &str, now: Moment) -> Option<Vec<Effect>> {
        let Some(command) = commands::find(name) else {
            self.note(NoteKind::Error, commands::unknown(name));
            return None;
        };
        if let Some(refusal) = command.refusal_of(argument) {
            self.note(NoteKind::Error, refusal);
            return None;
        }
        if let (When::Idle, Some(busy)) = (command.when, self.busy()) {
            self.chat.refuse(format!("/{} has to wait: {busy}", command.name));
            return None;
        }
        self.chat.leave_edit();
        Some((command.run)(self, Call { command, argument, now }))
    }

    /// `/model [NAME]`
    pub(super) fn model_command(&mut self, argument: &str) -> Vec<Effect> {
        if argument.is_empty() { vec![Effect::ListModels] } else { self.load_model(files::unquoted(argument)) }
    }

    /// The direct form of `/set`, such as `/temperature 0.7`: the command is called as the parameter.
    pub(super) fn parameter_command(&mut self, call: Call<'_>) -> Vec<Effect> {
        self.set(&format!("{} {}", call.command.name, call.argument))
    }

    /// `/heat [MEASURE]`; without one, the next.
    pub(super) fn set_heat(&mut self, argument: &str) {
        match self.setup.set_heat(argument) {
            Ok(hint) => self.chat.set_hint(hint),
            Err(error) => self.note(NoteKind::Error, error),
        }
    }

    /// Shows all thoughts, or folds them.
    pub(super) fn show_thoughts(&mut self, shown: bool) {
        self.view.shows_thoughts = shown;
        self.chat.treat_thoughts_alike();
    }

    /// The themes have been read: one is put in force, or the person chooses.
    pub(super) fn on_themes_read(&mut self, own: Vec<Theme>, wanted: Option<String>) -> Vec<Effect> {
        self.catalog.set_themes(own);
        let Some(name) = wanted else { return vec![Effect::Screen(OnScreen::ShowList(List::Themes))] };
        match theme_problem(&self.catalog.themes, &name) {
            Some(problem) => self.note(NoteKind::Error, problem),
            None => {
                self.note(NoteKind::Info, format!("theme {name}; /save makes it the default"));
                self.setup.settings.ui.theme = name;
            }
        }
        Vec::new()
    }

    pub(super) fn help(&mut self, argument: &str) -> Vec<Effect> {
        let name = argument.trim_start_matches('/');
        if name.is_empty() {
            return vec![Effect::Screen(OnScreen::ShowHelp)];
        }
        match commands::find(name) {
            Some(command) => {
                let aliases: String = command.aliases.iter().map(|alias| format!(", /{alias}")).collect();
                self.note(NoteKind::Info, format!("{}{aliases}: {}", command.usage(), command.help));
            }
            None => self.note(NoteKind::Error, commands::unknown(name)),
        }
        Vec::new()
    }

    pub(super) fn set_template(&mut self, argument: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !argument.is_empty() {
            if let Err(error) = check_template(argument) {
                self.note(NoteKind::Error, error);
                return effects;
            }
            self.setup.set_template(argument);
            effects = self.ask_for_think_switch();
            effects.extend(self.chat.keep_settings(&self.setup));
        }
        let text = format!(
            "template: {} (there are: {}, or a Jinja file)",
            describe_template(&self.setup.template),
            template_names().join(", ")
        );
        self.note(NoteKind::Info, text);
        effects
    }
}

/// The whole of `/help` where there is no full screen.
pub fn help_text() -> String {
    let mut text = String::new();
    for command in commands::all().iter().filter(|command| !command.full_screen) {
        let aliases: String = command.aliases.iter().map(|alias| format!(" /{alias}")).collect();
        text.push_str(&format!("  {:<24} {}", command.usage(), command.help));
        if !aliases.is_empty() {
            text.push_str(&format!(" (also{aliases})"));
        }
        text.push('\n');
    }
    text
}
