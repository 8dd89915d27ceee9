//! What each slash command does.

use std::path::{Path, PathBuf};

use super::commands::{self, CommandId, Line, SlashCommand, When};
use super::report::overview;
use super::step::Step;
use super::{Action, App, Effect, FilePurpose, List, Moment, NoteKind, files, theme_problem};
use crate::chat::template::BUILTIN_NAMES;
use crate::settings::theme::Theme;
use crate::worker::protocol::TemplateChoice;

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
            Line::Command { name, argument } => match commands::find(name) {
                None => {
                    self.note(NoteKind::Error, commands::unknown(name));
                    vec![Effect::Compose(line.to_owned())]
                }
                Some(command) => match self.has_to_wait(command) {
                    Some(text) => {
                        self.chat.set_hint(text);
                        vec![Effect::Compose(line.to_owned())]
                    }
                    None => {
                        self.chat.leave_edit();
                        self.run(command, argument, now)
                    }
                },
            },
        });
        effects
    }

    /// A command that a key stands for: no line of the person's, so that it is neither remembered nor given back.
    pub(super) fn give(&mut self, name: &str, now: Moment) -> Vec<Effect> {
        let Some(command) = commands::find(name) else { return Vec::new() };
        if let Some(text) = self.has_to_wait(command) {
            self.chat.set_hint(text);
            return Vec::new();
        }
        self.chat.leave_edit();
        self.run(command, "", now)
    }

    /// Why a command cannot be carried out while a reply is running.
    fn has_to_wait(&self, command: &SlashCommand) -> Option<String> {
        let busy = self.busy().filter(|_| command.when == When::Idle)?;
        Some(format!("/{} has to wait: {busy}", command.name))
    }

    fn run(&mut self, command: &SlashCommand, argument: &str, now: Moment) -> Vec<Effect> {
        match command.id {
            CommandId::Help => return self.help(argument),
            CommandId::Quit => return self.handle(Action::Quit, now),
            CommandId::New => return self.new_chat(now),
            CommandId::Open => return self.library.open_chat(argument),
            CommandId::Rename | CommandId::Search | CommandId::Import | CommandId::Read if argument.is_empty() => {
                return self.missing(command);
            }
            CommandId::Rename => return self.chat.rename(argument),
            CommandId::Delete => return self.delete_chat(now),
            CommandId::Search => return self.library.search_chats(argument),
            CommandId::Export => return self.chat.export(&files::unquoted(argument)),
            CommandId::Import => {
                return vec![Effect::ReadFile { purpose: FilePurpose::Import, path: files::unquoted(argument) }];
            }
            CommandId::Read => {
                return vec![Effect::ReadFile { purpose: FilePurpose::Read, path: files::unquoted(argument) }];
            }
            CommandId::Edit => return self.chat.edit(argument),
            CommandId::Regenerate => return self.regenerate(now),
            CommandId::Compare => return self.compare(argument, now),
            CommandId::Continue => return self.continue_reply(now),
            CommandId::Pause => return self.chat.step(Step::TogglePause, now),
            CommandId::Step => {
                let said = self.setup.set_stepping(argument, &self.view.keymap);
                self.say_of_it(said);
            }
            CommandId::Undo => return self.undo(),
            CommandId::Redo => return self.chat.redo(),
            CommandId::Begin => return self.begin_with(argument, now),
            CommandId::Branch => return self.chat.branch(argument),
            CommandId::Copy => return self.chat.copy(argument, self.view.shows_thoughts),
            CommandId::System => return self.chat.set_system(argument),
            CommandId::Prompt => return self.show_prompt(),
            CommandId::Tokens if argument.is_empty() => return self.missing(command),
            CommandId::Tokens => return self.show_tokens(argument),
            CommandId::Model if argument.is_empty() => return vec![Effect::ListModels],
            CommandId::Model => return self.load_model(files::unquoted(argument)),
            CommandId::Set => return self.set(command, argument),
            CommandId::Parameter(parameter) if argument.is_empty() => {
                self.note(NoteKind::Info, self.setup.parameter_text(parameter));
            }
            CommandId::Parameter(parameter) => return self.set_parameter(parameter, argument),
            CommandId::Preset => return self.preset_command(argument),
            CommandId::Template => return self.set_template(&files::unquoted(argument)),
            CommandId::Raw => return self.handle(Action::ToggleSource, now),
            CommandId::Think => return self.think(argument),
            CommandId::Heat => self.set_heat(argument),
            CommandId::Score => return self.score_path(),
            CommandId::Show => self.note(NoteKind::Info, overview(&self.setup, &self.engine, &self.chat)),
            CommandId::Stats => self.chat.stats(),
            CommandId::Theme => {
                return vec![Effect::ReadThemes { wanted: (!argument.is_empty()).then(|| argument.to_owned()) }];
            }
            CommandId::Save => return vec![Effect::SaveSettings(Box::new(self.setup.to_save(self.chat.system())))],
        }
        Vec::new()
    }

    pub(super) fn missing(&mut self, command: &SlashCommand) -> Vec<Effect> {
        self.note(NoteKind::Error, format!("{}: {}", command.usage(), command.help));
        Vec::new()
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
    pub(super) fn themes_read(&mut self, own: Vec<Theme>, wanted: Option<String>) -> Vec<Effect> {
        self.catalog.set_themes(own);
        let Some(name) = wanted else { return vec![Effect::ShowList(List::Themes)] };
        match theme_problem(&self.catalog.themes, &name) {
            Some(problem) => self.note(NoteKind::Error, problem),
            None => {
                self.note(NoteKind::Info, format!("theme {name}; /save makes it the default"));
                self.setup.settings.ui.theme = name;
            }
        }
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

    fn set_template(&mut self, argument: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !argument.is_empty() {
            if let Err(error) = check_template(argument) {
                self.note(NoteKind::Error, error);
                return effects;
            }
            self.setup.template = template_choice(argument);
            effects = self.ask_for_think_switch();
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
