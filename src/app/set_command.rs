//! `/set`, presets, and the settings that `/save` makes the default.

use super::commands::SlashCommand;
use super::parameters::{PARAMETERS, Parameter};
use super::{App, Effect, NoteKind};
use crate::settings::Settings;
use crate::worker::protocol::{Lookup, TemplateChoice};

impl App {
    /// `/set NAME VALUE`, also `/set parameter NAME VALUE`.
    pub(super) fn set(&mut self, command: &SlashCommand, argument: &str) -> Vec<Effect> {
        let argument = argument.strip_prefix("parameter ").unwrap_or(argument).trim_start();
        let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        let value = value.trim();
        match (name, value) {
            ("", _) => self.missing(command),
            ("max-tokens" | "num_predict" | "predict", _) => {
                self.set_max_tokens(value);
                Vec::new()
            }
            ("lookup", _) => {
                self.set_lookup(value);
                Vec::new()
            }
            ("think" | "nothink", _) => {
                let on = if name == "nothink" { "off" } else { "on" };
                self.think(if value.is_empty() { on } else { value })
            }
            ("stop", _) => {
                self.set_stop(value);
                Vec::new()
            }
            ("system", _) => self.set_system(value),
            _ => match Parameter::named(name) {
                Some(parameter) if value.is_empty() => {
                    self.show_parameter(parameter);
                    Vec::new()
                }
                Some(parameter) => self.set_parameter(parameter, value),
                None => {
                    let names: Vec<&str> = PARAMETERS.iter().map(|spec| spec.name).collect();
                    let text = format!(
                        "there is no parameter `{name}`: it must be {}, max-tokens, lookup, think or stop",
                        names.join(", ")
                    );
                    self.note(NoteKind::Error, text);
                    Vec::new()
                }
            },
        }
    }

    pub(super) fn set_max_tokens(&mut self, value: &str) {
        match value.parse() {
            Ok(limit) => {
                self.settings.chat.max_tokens = limit;
                let text =
                    if limit == 0 { "replies have no limit".to_owned() } else { format!("max-tokens = {limit}") };
                self.note(NoteKind::Info, text);
            }
            Err(_) => {
                let text = format!("max-tokens wants a whole number (0 is no limit), not `{value}`");
                self.note(NoteKind::Error, text);
            }
        }
    }

    pub(super) fn set_lookup(&mut self, value: &str) {
        match Lookup::named(value) {
            Some(lookup) => {
                self.settings.model.lookup = lookup;
                self.note(NoteKind::Info, format!("lookup = {value}, from the next reply on"));
            }
            None => {
                let text = format!("lookup wants {}, not `{value}`", Lookup::NAMES.join(", "));
                self.note(NoteKind::Error, text);
            }
        }
    }

    pub(super) fn set_stop(&mut self, value: &str) {
        if value.is_empty() {
            self.settings.chat.stop.clear();
            return self.note(NoteKind::Info, "no stop texts of your own".to_owned());
        }
        self.settings.chat.stop.push(value.to_owned());
        let text = format!("stop texts: {:?} (/set stop without one forgets them)", self.settings.chat.stop);
        self.note(NoteKind::Info, text);
    }

    pub(super) fn show_parameter(&mut self, parameter: Parameter) {
        let spec = parameter.spec();
        let text = format!("{} = {}: {}", spec.name, parameter.display(self.sampling()), spec.help);
        self.note(NoteKind::Info, text);
    }

    /// Sets a parameter from a text.
    pub(super) fn set_parameter(&mut self, parameter: Parameter, text: &str) -> Vec<Effect> {
        let mut changed = self.sampling.clone();
        match parameter.parse_into(&mut changed, text) {
            Ok(()) => {
                let shown = parameter.display(&changed);
                let effects = self.change_sampling(|params| *params = changed);
                self.note(NoteKind::Info, format!("{} = {shown}{}", parameter.spec().name, self.when_it_acts()));
                effects
            }
            Err(error) => {
                self.note(NoteKind::Error, error.to_string());
                Vec::new()
            }
        }
    }

    /// From when a change acts.
    pub(super) fn when_it_acts(&self) -> String {
        match self.generation() {
            Some(generation) => format!(", from token {} of this reply on", generation.tokens + 1),
            None => String::new(),
        }
    }

    pub(super) fn settings_to_save(&self) -> Settings {
        let mut settings = self.settings.clone();
        settings.sampling = self.sampling.clone();
        settings.chat.system.clone_from(&self.session.record.system);
        settings.model.template = match &self.template {
            TemplateChoice::Model => String::new(),
            TemplateChoice::Builtin(name) => name.clone(),
            TemplateChoice::File(path) => path.display().to_string(),
        };
        settings
    }
}
