//! Commands that set something: `/set`, the parameters by their names, presets, `/think`.

use gibber_files::nearest::nearest;

use super::parameters::{PARAMETERS, Parameter, unless_left_out};
use super::requests::Owner;
use super::setup::{CANDIDATES, ThinkSwitch};
use super::{App, Effect, List, NoteKind, OnScreen};
use crate::settings::layers::LayeredSampling;
use crate::worker::protocol::{EngineCommand, EngineEvent};
use gibber_engine::SamplingParams;
use gibber_engine::sampling::SamplingValues;

/// What `/set` sets beside the parameters.
const OTHER_NAMES: [&str; 7] = ["max-tokens", "num_predict", "lookup", "think", "nothink", "stop", "system"];

/// Every name that `/set` takes.
fn all_names() -> impl Iterator<Item = &'static str> {
    let names = PARAMETERS.iter().flat_map(|spec| std::iter::once(spec.name).chain(spec.aliases.iter().copied()));
    names.chain(OTHER_NAMES)
}

impl App {
    /// `/set NAME VALUE`, also `/set parameter NAME VALUE`.
    pub(super) fn set(&mut self, argument: &str) -> Vec<Effect> {
        let argument = argument.strip_prefix("parameter ").unwrap_or(argument).trim_start();
        let (name, value) = argument.split_once(char::is_whitespace).unwrap_or((argument, ""));
        let value = value.trim();
        let said = match (name, value) {
            ("max-tokens" | "num_predict" | "predict", _) => self.setup.set_max_tokens(value),
            ("lookup", _) => self.setup.set_lookup(value),
            ("think", _) => return self.think(if value.is_empty() { "on" } else { value }),
            ("nothink", _) => return self.think(if value.is_empty() { "off" } else { value }),
            ("stop", _) => Ok(self.setup.set_stop(value)),
            ("system", _) => return self.chat.set_system(value),
            _ => match Parameter::named(name) {
                Some(parameter) if value.is_empty() => Ok(self.setup.parameter_text(parameter)),
                Some(parameter) => return self.set_parameter(parameter, value),
                None => {
                    let names: Vec<&str> = PARAMETERS.iter().map(|spec| spec.name).collect();
                    let names = names.join(", ");
                    let near = nearest(name, all_names()).map(|near| format!(" (did you mean `{near}`?)"));
                    let near = near.unwrap_or_default();
                    Err(format!(
                        "there is no parameter `{name}`{near}: it must be {names}, max-tokens, lookup, think or stop"
                    ))
                }
            },
        };
        self.say_of_it(said);
        Vec::new()
    }

    /// What is said of something that was set, or could not be.
    pub(super) fn say_of_it(&mut self, said: Result<String, String>) {
        match said {
            Ok(text) => self.note(NoteKind::Info, text),
            Err(error) => self.note(NoteKind::Error, error),
        }
    }

    /// Sets a parameter from a text.
    pub(super) fn set_parameter(&mut self, parameter: Parameter, text: &str) -> Vec<Effect> {
        match parameter.spec().parse(text) {
            Ok(value) => {
                let effects = self.change_sampling(|sampling| sampling.set(parameter, value));
                let shown = parameter.display(self.sampling());
                let (when, reached) = (self.when_it_acts(), unless_left_out(parameter, self.sampling()));
                self.note(NoteKind::Info, format!("{} = {shown}{when}{reached}", parameter.spec().name));
                effects
            }
            Err(error) => {
                self.note(NoteKind::Error, error.to_string());
                Vec::new()
            }
        }
    }

    /// From when a change acts.
    fn when_it_acts(&self) -> String {
        match self.generation() {
            Some(generation) => format!(", from token {} of this reply on", generation.tokens + 1),
            None => String::new(),
        }
    }

    /// New filters, from the next token on where a reply is running.
    pub(super) fn change_sampling(&mut self, change: impl FnOnce(&mut LayeredSampling)) -> Vec<Effect> {
        let before = self.setup.sampling.clone();
        change(&mut self.setup.sampling);
        if self.setup.sampling == before {
            return Vec::new();
        }
        let mut effects = if self.sampling() == before.in_force() { Vec::new() } else { self.resample() };
        effects.extend(self.chat.keep_settings(&self.setup));
        effects
    }

    /// The filters in force are others.
    fn resample(&mut self) -> Vec<Effect> {
        let (sampling, open) = (self.sampling().clone(), self.setup.sampling.open());
        let on_screen = self.chat.last_draw().map(|(message, _)| message);
        self.chat.replies.forget_reshaped_but(on_screen);
        match self.chat.change_of_sampling(&sampling) {
            Some(id) => vec![Effect::Submit(EngineCommand::SetSampling { id, sampling, open })],
            None => self.preview_sampling(sampling),
        }
    }

    /// Asks how the distribution that is on screen, of the last token of the reply there, looks with the sampling as it is
    /// now: from the logits that the engine has kept, without a forward pass.
    fn preview_sampling(&mut self, sampling: SamplingParams) -> Vec<Effect> {
        let Some((message, of)) = self.chat.last_draw().filter(|_| self.engine.is_ready()) else { return Vec::new() };
        let id = self.requests.of_chat(Owner::Preview(message), self.chat.id());
        vec![Effect::Submit(EngineCommand::Preview { id, of, sampling, candidates: CANDIDATES })]
    }

    /// `/save`: what a person has chosen becomes the default; what is the model's stays the model's.
    pub(super) fn save_settings(&mut self) -> Vec<Effect> {
        let unsaved = self.setup.sampling.unsaved();
        if !unsaved.is_empty() {
            let value =
                |parameter: &Parameter| format!("{} = {}", parameter.spec().name, parameter.display(self.sampling()));
            let values: Vec<String> = unsaved.iter().map(value).collect();
            let text = format!(
                "not saved: {}: that is this program's default, which counts as unset in config.toml, so that a new chat \
                 has the model's own again; /preset save NAME keeps it under a name",
                values.join(", ")
            );
            self.note(NoteKind::Warning, text);
        }
        vec![Effect::SaveSettings(Box::new(self.setup.to_save(self.chat.system())))]
    }

    /// `/preset [NAME]`, `/preset save NAME`, `/preset delete NAME`.
    pub(super) fn preset_command(&mut self, argument: &str) -> Vec<Effect> {
        let outcome = match argument.split_once(char::is_whitespace).unwrap_or((argument, "")) {
            ("", _) => return vec![Effect::Screen(OnScreen::ShowList(List::Presets))],
            ("save", name) => {
                let name = name.trim();
                self.setup.save_preset(name).map(|values| (name, Some(values)))
            }
            ("delete", name) => {
                let name = name.trim();
                self.setup.delete_preset(name).map(|()| (name, None))
            }
            _ => return self.set_preset(argument),
        };
        match outcome {
            Ok((name, values)) => vec![Effect::SavePreset { name: name.to_owned(), values }],
            Err(problem) => {
                self.note(NoteKind::Error, problem);
                Vec::new()
            }
        }
    }

    fn set_preset(&mut self, name: &str) -> Vec<Effect> {
        match self.setup.preset_named(name) {
            Some(preset) => {
                let effects = self.apply_preset(&preset);
                self.note(NoteKind::Info, format!("preset {name}{}", self.when_it_acts()));
                effects
            }
            None => {
                let names = self.setup.preset_names().join(", ");
                self.note(NoteKind::Error, format!("there is no preset `{name}`: it must be {names}"));
                Vec::new()
            }
        }
    }

    /// config.toml has been written, or not.
    pub(super) fn on_preset_saved(&mut self, name: &str, is_there: bool, outcome: Result<String, String>) {
        let said = match outcome {
            Ok(path) if is_there => Ok(format!("preset {name} is saved, in {path}")),
            Ok(path) => Ok(format!("preset {name} is deleted from {path}")),
            Err(error) => Err(format!("only until you leave: {error}")),
        };
        self.say_of_it(said);
    }

    /// The preset after the one in force.
    pub(super) fn next_preset(&mut self) -> Vec<Effect> {
        let next = self.setup.preset_named(&self.setup.next_preset());
        next.map(|preset| self.apply_preset(&preset)).unwrap_or_default()
    }

    fn apply_preset(&mut self, preset: &SamplingValues) -> Vec<Effect> {
        self.change_sampling(|sampling| sampling.choose_preset(preset))
    }

    /// `/think [on|off|auto|show|hide]`: whether the model is to think before it answers, and whether that is shown.
    pub(super) fn think(&mut self, argument: &str) -> Vec<Effect> {
        match argument {
            "show" | "hide" => self.show_thoughts(argument == "show"),
            "" => {
                let shown = if self.shows_thoughts() { "shown" } else { "folded" };
                let think = self.setup.settings.chat.think.name();
                self.note(NoteKind::Info, format!("think = {think}; thoughts are {shown}"));
            }
            _ => {
                let said = self.setup.set_thinking(argument);
                let is_set = said.is_ok();
                self.say_of_it(said);
                return if is_set { self.ask_for_think_switch() } else { Vec::new() };
            }
        }
        Vec::new()
    }

    /// Where the person wants the model to think, or not to, or it has another sampling while it does: asks what its
    /// template can be told.
    pub(super) fn ask_for_think_switch(&mut self) -> Vec<Effect> {
        let has_modes = self.setup.sampling.recommended().has_modes();
        if self.engine.model.is_none() || (self.setup.thinking().is_none() && !has_modes) {
            return Vec::new();
        }
        self.requests.forget(Owner::ThinkSwitch);
        let id = self.requests.of_program(Owner::ThinkSwitch);
        vec![Effect::Submit(EngineCommand::DescribeTemplate { id, template: self.setup.template.clone() })]
    }

    /// What the template can be told about thinking. One that fails is an error of the reply that is asked for.
    pub(super) fn on_think_switch(&mut self, event: &EngineEvent) {
        let EngineEvent::TemplateDescribed { can_switch_thinking, thinks, .. } = *event else { return };
        self.setup.on_think_switch(ThinkSwitch { is_there: can_switch_thinking, is_on: thinks });
        if !can_switch_thinking && self.setup.thinking().is_some() {
            self.note(NoteKind::Info, self.setup.settings.chat.think.without_switch());
        }
    }
}
