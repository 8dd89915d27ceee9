//! What each slash command does.

use std::path::{Path, PathBuf};

use super::commands::{self, CommandId, Line, SlashCommand, When};
use super::step::Step;
use super::{Action, App, CountFor, Effect, FilePurpose, Moment, NoteKind, files};
use crate::chat::template::BUILTIN_NAMES;
use crate::worker::protocol::{Prompt, TemplateChoice};

impl App {
    /// A line from the composer or the prompt.
    pub(super) fn enter(&mut self, line: &str, now: Moment) -> Vec<Effect> {
        if line.trim().is_empty() {
            self.leave_edit();
            return Vec::new();
        }
        let mut effects = self.remember(line);
        effects.extend(match commands::parse(line) {
            Line::Message(text) => self.send(text, now),
            Line::Command { name, argument } => match commands::find(name) {
                None => {
                    self.note(NoteKind::Error, commands::unknown(name));
                    vec![Effect::Compose(line.to_owned())]
                }
                Some(command) if command.when == When::Idle && self.busy().is_some() => {
                    let text = format!("/{} has to wait: {}", command.name, self.busy().unwrap_or_default());
                    self.hint = Some(text);
                    vec![Effect::Compose(line.to_owned())]
                }
                Some(command) => {
                    self.leave_edit();
                    self.run(command, argument, now)
                }
            },
        });
        effects
    }

    /// A command that a key stands for: no line of the person's, so that it is neither remembered nor given back.
    pub(super) fn give(&mut self, name: &str, now: Moment) -> Vec<Effect> {
        let Some(command) = commands::find(name) else { return Vec::new() };
        if let (When::Idle, Some(busy)) = (command.when, self.busy()) {
            self.hint = Some(format!("/{} has to wait: {busy}", command.name));
            return Vec::new();
        }
        self.leave_edit();
        self.run(command, "", now)
    }

    fn run(&mut self, command: &SlashCommand, argument: &str, now: Moment) -> Vec<Effect> {
        match command.id {
            CommandId::Help => return self.help(argument),
            CommandId::Quit => return self.handle(Action::Quit, now),
            CommandId::New => return self.new_chat(now),
            CommandId::Open => return self.open_chat(argument),
            CommandId::Rename | CommandId::Search | CommandId::Import | CommandId::Read if argument.is_empty() => {
                return self.missing(command);
            }
            CommandId::Rename => return self.rename(argument),
            CommandId::Delete => return self.delete_chat(now),
            CommandId::Search => return self.search_chats(argument),
            CommandId::Export => return self.export(&files::unquoted(argument)),
            CommandId::Import => {
                return vec![Effect::ReadFile { purpose: FilePurpose::Import, path: files::unquoted(argument) }];
            }
            CommandId::Read => {
                return vec![Effect::ReadFile { purpose: FilePurpose::Read, path: files::unquoted(argument) }];
            }
            CommandId::Edit => return self.edit(argument),
            CommandId::Regenerate => return self.regenerate(now),
            CommandId::Compare => return self.compare(argument, now),
            CommandId::Continue => return self.continue_reply(now),
            CommandId::Pause => return self.step(Step::TogglePause),
            CommandId::Step => self.set_stepping(argument),
            CommandId::Undo => return self.undo(),
            CommandId::Redo => return self.redo(),
            CommandId::Begin => return self.set_begin(argument, now),
            CommandId::Branch => return self.branch(argument),
            CommandId::Copy => return self.copy(argument),
            CommandId::System => return self.set_system(argument),
            CommandId::Prompt => return self.count(CountFor::Prompt, self.prompt().0),
            CommandId::Tokens if argument.is_empty() => return self.missing(command),
            CommandId::Tokens => return self.count(CountFor::Tokens, Prompt::Raw(argument.to_owned())),
            CommandId::Model if argument.is_empty() => return vec![Effect::ListModels],
            CommandId::Model => {
                let mut effects = self.stop_scoring();
                effects.push(self.load_model(files::unquoted(argument)));
                return effects;
            }
            CommandId::Set => return self.set(command, argument),
            CommandId::Parameter(parameter) if argument.is_empty() => self.show_parameter(parameter),
            CommandId::Parameter(parameter) => return self.set_parameter(parameter, argument),
            CommandId::Preset => return self.preset_command(argument),
            CommandId::Template => return self.set_template(&files::unquoted(argument)),
            CommandId::Raw => return self.handle(Action::ToggleSource, now),
            CommandId::Think => return self.think(argument),
            CommandId::Heat => return self.set_heat(argument),
            CommandId::Score => return self.score_path(),
            CommandId::Show => self.show(),
            CommandId::Stats => self.stats(),
            CommandId::Theme => {
                return vec![Effect::ReadThemes { wanted: (!argument.is_empty()).then(|| argument.to_owned()) }];
            }
            CommandId::Save => return vec![Effect::SaveSettings(Box::new(self.settings_to_save()))],
        }
        Vec::new()
    }

    pub(super) fn missing(&mut self, command: &SlashCommand) -> Vec<Effect> {
        self.note(NoteKind::Error, format!("{}: {}", command.usage(), command.help));
        Vec::new()
    }

    fn help(&mut self, argument: &str) -> Vec<Effect> {
        let name = argument.trim_start_matches('/');
        if name.is_empty() {
            return vec![Effect::ShowHelp];
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

    pub(super) fn set_system(&mut self, argument: &str) -> Vec<Effect> {
        match argument {
            "" => {
                let text = match self.system() {
                    "" => "the system message is the template's own; /system TEXT sets one".to_owned(),
                    system => format!("system message: {system}"),
                };
                self.note(NoteKind::Info, text);
                return Vec::new();
            }
            "-" => {
                self.session.record.system.clear();
                self.note(NoteKind::Info, "the system message is the template's own again".to_owned());
            }
            text => {
                self.session.record.system = text.to_owned();
                self.note(NoteKind::Info, "the system message is set, from the next reply on".to_owned());
            }
        }
        self.session.put_if_stored()
    }

    fn set_template(&mut self, argument: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !argument.is_empty() {
            if let Err(error) = check_template(argument) {
                self.note(NoteKind::Error, error);
                return effects;
            }
            self.template = template_choice(argument);
            effects = self.ask_for_think_switch();
        }
        let text = format!(
            "template: {} (there are: {}, or a Jinja file)",
            describe_template(&self.template),
            template_names().join(", ")
        );
        self.note(NoteKind::Info, text);
        effects
    }
}

/// The templates that can be named.
pub(super) fn template_names() -> Vec<&'static str> {
    std::iter::once("model").chain(BUILTIN_NAMES).collect()
}

/// The template that a name or a path stands for; empty and `model` are the model's own.
pub fn template_choice(name: &str) -> TemplateChoice {
    match name {
        "" | "model" => TemplateChoice::Model,
        name if is_path(name) => TemplateChoice::File(PathBuf::from(name)),
        name => TemplateChoice::Builtin(name.to_owned()),
    }
}

fn is_path(name: &str) -> bool {
    let looks_like_one = name.contains('/') || name.contains(std::path::MAIN_SEPARATOR) || name.ends_with(".jinja");
    looks_like_one || (!BUILTIN_NAMES.contains(&name) && Path::new(name).is_file())
}

fn check_template(name: &str) -> Result<(), String> {
    if is_path(name) || template_names().contains(&name) {
        return Ok(());
    }
    Err(format!("there is no template `{name}`: it must be {} or a file", template_names().join(", ")))
}

/// A template as a person names it.
pub fn describe_template(choice: &TemplateChoice) -> String {
    match choice {
        TemplateChoice::Model => "model".to_owned(),
        TemplateChoice::Builtin(name) => name.clone(),
        TemplateChoice::File(path) => path.display().to_string(),
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
