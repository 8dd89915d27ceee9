//! What is set: how replies are drawn and asked for, and all settings beside that. Functions that set something from a text
//! return what is said of it: `Ok` where it is set, `Err` why it is not.

use super::keymap::{Context, Keymap};
use super::parameters::{self, Parameter, ParameterValue, SamplingValues, unless_left_out};
use super::template::{describe_template, template_choice};
use crate::chat::provenance::ChatSettings;
use crate::chat::without_line_end;
use crate::settings::layers::{Given, LayeredSampling, LayeredTemplate, Origin};
use crate::settings::{self, Heat, Settings, Think};
use crate::worker::protocol::{GenerationParams, PromptLookup, Stepping, TemplateChoice};
use gibber_engine::SamplingParams;
use gibber_engine::sampling::{PRESET_NAMES, Recommended};

/// How many alternatives of each token the panel may want.
pub(super) const CANDIDATES: usize = 10;

/// What is set.
#[derive(Debug)]
pub(super) struct Setup {
    /// All settings, but for those below as they are now.
    pub(super) settings: Settings,
    /// The filters.
    pub(super) sampling: LayeredSampling,
    templates: LayeredTemplate,
    /// The template in force.
    pub(super) template: TemplateChoice,
    /// What is known of the template of the model that is loaded.
    think_switch: ThinkSwitch,
    /// Whether every reply begins paused.
    steps: bool,
}

/// What a template says of thinking.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ThinkSwitch {
    /// Whether it can be told whether the model is to think.
    pub(super) is_there: bool,
    /// Whether the model thinks where it is not told.
    pub(super) is_on: bool,
}

impl Setup {
    pub(super) fn new(settings: Settings, given: Given) -> Self {
        let sampling = LayeredSampling::new(&settings.sampling, given.sampling);
        let templates = LayeredTemplate::new(&settings.model.template, given.template);
        let template = template_choice(templates.in_force());
        Self { settings, sampling, templates, template, think_switch: ThinkSwitch::default(), steps: false }
    }

    /// All that is set for a reply, with these filters, of which those that are open are the model's.
    pub(super) fn generation_params(&self, sampling: SamplingParams, open: Vec<Parameter>) -> GenerationParams {
        GenerationParams {
            sampling,
            open,
            max_tokens: self.max_tokens(),
            stop: self.settings.chat.stop.clone(),
            candidates: CANDIDATES,
            lookup: self.settings.model.lookup,
            stepping: if self.steps { Stepping::FromStart } else { Stepping::OnDemand },
            replay: None,
        }
    }

    /// The most tokens of a reply.
    pub(super) fn max_tokens(&self) -> Option<usize> {
        let most = self.settings.chat.max_tokens;
        (most > 0).then_some(most)
    }

    /// What a text is as a question: in a templated turn the line end behind it is no part of it.
    pub(super) fn as_question<'a>(&self, text: &'a str) -> &'a str {
        if self.template.is_raw() { text } else { without_line_end(text) }
    }

    /// What the template is told about thinking.
    pub(super) fn thinking(&self) -> Option<bool> {
        self.settings.chat.think.for_template()
    }

    /// The settings that `/save` makes the default, in a chat with this system message.
    pub(super) fn to_save(&self, system: &str) -> Settings {
        let mut settings = self.settings.clone();
        settings.sampling = self.sampling.to_save();
        settings.chat.system = system.to_owned();
        settings.model.template = match &self.template {
            TemplateChoice::Model => String::new(),
            other => describe_template(other),
        };
        settings
    }

    /// `/show`, from the template on.
    pub(super) fn overview(&self, system: &str) -> Vec<String> {
        let system = if system.is_empty() { "(the template's own)" } else { system };
        let mut lines = vec![
            format!("template          {}", describe_template(&self.template)),
            format!("system            {system}"),
            format!("preset            {}", self.preset().unwrap_or("none")),
        ];
        let value = |spec: &parameters::ParameterSpec| self.value_and_origin(spec.parameter);
        lines.extend(parameters::PARAMETERS.iter().map(|spec| format!("{:<17} {}", spec.name, value(spec))));
        let limit = self.max_tokens().map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        lines.push(format!("max-tokens        {limit}"));
        lines.push(format!("lookup            {}", self.settings.model.lookup.as_str()));
        lines.push(format!("think             {}", self.settings.chat.think.name()));
        lines.push(format!("stop              {:?}", self.settings.chat.stop));
        lines
    }
}

/// What comes from the model and from the chat.
impl Setup {
    /// Another model is loaded.
    pub(super) fn on_model(&mut self, recommended: Recommended) {
        self.think_switch = ThinkSwitch::default();
        self.sampling.on_model(recommended);
        self.rethink();
    }

    /// A chat is opened that keeps this.
    pub(super) fn on_chat(&mut self, kept: &ChatSettings) {
        self.sampling.on_chat(kept.chosen_sampling());
        self.change_template(|templates| templates.on_chat(kept.chosen_template()));
    }

    /// A new chat is begun.
    pub(super) fn on_new_chat(&mut self) {
        self.sampling.on_new_chat();
        self.change_template(LayeredTemplate::on_new_chat);
    }

    /// What a chat keeps of all that.
    pub(super) fn keep_in(&self, kept: &mut ChatSettings) {
        kept.sampling = Some(self.sampling.in_force().into());
        kept.template = Some(describe_template(&self.template));
        kept.choose(&self.sampling.own(), self.templates.own());
    }

    /// A person chooses a template.
    pub(super) fn set_template(&mut self, name: &str) {
        self.change_template(|templates| templates.set(name));
    }

    fn change_template(&mut self, change: impl FnOnce(&mut LayeredTemplate)) {
        change(&mut self.templates);
        let template = template_choice(self.templates.in_force());
        if template != self.template {
            self.template = template;
            self.think_switch = ThinkSwitch::default();
            self.rethink();
        }
    }

    /// What the template says of thinking is known.
    pub(super) fn on_think_switch(&mut self, switch: ThinkSwitch) {
        self.think_switch = switch;
        self.rethink();
    }

    fn rethink(&mut self) {
        let ThinkSwitch { is_there, is_on } = self.think_switch;
        self.sampling.on_thinking(is_there && self.thinking().unwrap_or(is_on));
    }
}

/// One setting after the other.
impl Setup {
    /// `/set max-tokens N`
    pub(super) fn set_max_tokens(&mut self, value: &str) -> Result<String, String> {
        if !value.is_empty() {
            let limit = value.parse().ok().and_then(settings::max_tokens);
            self.settings.chat.max_tokens =
                limit.ok_or_else(|| format!("max-tokens wants {}, not `{value}`", settings::MAX_TOKENS_WANTED))?;
        }
        let limit = self.max_tokens();
        Ok(limit
            .map_or_else(|| "max-tokens: replies have no limit".to_owned(), |limit| format!("max-tokens = {limit}")))
    }

    /// `/set lookup WHEN`
    pub(super) fn set_lookup(&mut self, value: &str) -> Result<String, String> {
        if value.is_empty() {
            return Ok(format!("lookup = {}", self.settings.model.lookup.as_str()));
        }
        let names = PromptLookup::NAMES.join(", ");
        let lookup = PromptLookup::named(value).ok_or_else(|| format!("lookup wants {names}, not `{value}`"))?;
        self.settings.model.lookup = lookup;
        Ok(format!("lookup = {value}, from the next reply on"))
    }

    /// `/set stop [TEXT]`
    pub(super) fn set_stop(&mut self, value: &str) -> String {
        let stop = &mut self.settings.chat.stop;
        if value.is_empty() {
            stop.clear();
            return "no stop texts of your own".to_owned();
        }
        stop.push(value.to_owned());
        format!("stop texts: {stop:?} (/set stop without one forgets them)")
    }

    /// `/think on|off|auto`
    pub(super) fn set_thinking(&mut self, argument: &str) -> Result<String, String> {
        let names = Think::NAMES.join(", ");
        let think =
            Think::of_name(argument).ok_or_else(|| format!("think wants {names}, show or hide, not `{argument}`"))?;
        self.settings.chat.think = think;
        self.rethink();
        Ok(format!("think = {}, from the next reply on", think.name()))
    }

    /// `/step [on|off]`: whether every reply begins paused.
    pub(super) fn set_stepping(&mut self, argument: &str, keymap: &Keymap) -> Result<String, String> {
        self.steps = match argument {
            "" => !self.steps,
            "on" => true,
            "off" => false,
            other => return Err(format!("/step takes `on` or `off`, not `{other}`")),
        };
        let text = match self.steps {
            true => "each reply begins paused: you choose its tokens (/step off ends that)",
            false => "replies run by themselves; <pause> pauses one",
        };
        Ok(keymap.hints(Context::Anywhere, text))
    }

    /// `/heat [MEASURE]`; without one, the next.
    pub(super) fn set_heat(&mut self, argument: &str) -> Result<String, String> {
        let heat = &mut self.settings.ui.heat;
        *heat = match argument {
            "" => heat.next(),
            name => {
                let names = Heat::NAMES.join(", ");
                Heat::of_name(name).ok_or_else(|| format!("heat wants {names}, not `{name}`"))?
            }
        };
        Ok(format!("heat map: {}", heat.name()))
    }

    /// What is said of a parameter.
    pub(super) fn parameter_text(&self, parameter: Parameter) -> String {
        let spec = parameter.spec();
        let (value, reached) = (self.value_and_origin(parameter), unless_left_out(parameter, self.sampling.in_force()));
        format!("{} = {value}{reached}: {}", spec.name, spec.help)
    }

    /// `0.60 (from the model)`.
    fn value_and_origin(&self, parameter: Parameter) -> String {
        let value = parameter.display(self.sampling.in_force());
        match self.sampling.origin(parameter) {
            Origin::Program => value,
            Origin::Model if self.sampling.is_of_thinking() => format!("{value} ({}, while it thinks)", Origin::Model),
            origin => format!("{value} ({origin})"),
        }
    }
}

/// The preset of what the model's makers recommend.
const MODEL_PRESET: &str = "model";

/// Whether a preset comes with the program.
fn is_built_in(name: &str) -> bool {
    PRESET_NAMES.contains(&name) || name == MODEL_PRESET
}

/// Presets: sampling parameters under a name, built-in or the person's own.
impl Setup {
    /// The name of the preset in force, built-in or the person's own; `None` for other values.
    pub(super) fn preset(&self) -> Option<&str> {
        let own = self.settings.presets.iter().map(|(name, values)| (name.as_str(), values.clone()));
        let built_in = PRESET_NAMES.into_iter().filter_map(|name| Some((name, SamplingValues::preset(name)?)));
        let of_model = [(MODEL_PRESET, self.sampling.of_the_model())];
        let all = own.chain(of_model.into_iter().filter(|_| !self.sampling.recommended().is_empty())).chain(built_in);
        all.into_iter().find(|(_, values)| self.sampling.is_preset(values)).map(|(name, _)| name)
    }

    /// What a preset says; the person's own come first.
    pub(super) fn preset_named(&self, name: &str) -> Option<SamplingValues> {
        let of_model = || (name == MODEL_PRESET).then(|| self.sampling.of_the_model());
        self.settings.presets.get(name).cloned().or_else(|| SamplingValues::preset(name)).or_else(of_model)
    }

    /// The filters as a preset would make them.
    pub(super) fn with_preset(&self, preset: &SamplingValues) -> SamplingParams {
        let mut sampling = self.sampling.clone();
        sampling.choose_preset(preset);
        sampling.in_force().clone()
    }

    /// The names of all presets, the built-in ones first.
    pub(super) fn preset_names(&self) -> Vec<String> {
        let own = self.settings.presets.keys().filter(|name| !is_built_in(name));
        PRESET_NAMES.into_iter().chain([MODEL_PRESET]).map(str::to_owned).chain(own.cloned()).collect()
    }

    /// The name of the preset after the one in force.
    pub(super) fn next_preset(&self) -> String {
        let names = self.preset_names();
        let at = self.preset().and_then(|preset| names.iter().position(|name| name == preset));
        names[at.map_or(0, |at| (at + 1) % names.len())].clone()
    }

    /// Keeps the filters in force under a name, whoever has said them; returns them.
    pub(super) fn save_preset(&mut self, name: &str) -> Result<SamplingValues, String> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() {
            return Err("/preset save needs a name for the preset: /preset save NAME".to_owned());
        }
        if !name.chars().all(is_name) {
            return Err(format!("a preset's name has letters, digits, - and _, and not `{name}`"));
        }
        if is_built_in(name) || ["save", "delete"].contains(&name) {
            return Err(format!("`{name}` is taken: choose another name for the preset"));
        }
        let mut values = SamplingValues::all(self.sampling.in_force());
        if values.get(Parameter::Seed) == Some(&ParameterValue::Seed(None)) {
            values.remove(Parameter::Seed);
        }
        self.settings.presets.insert(name.to_owned(), values.clone());
        Ok(values)
    }

    /// Forgets a preset of the person's own.
    pub(super) fn delete_preset(&mut self, name: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err("/preset delete needs the name of a preset: /preset delete NAME".to_owned());
        }
        if self.settings.presets.remove(name).is_some() {
            return Ok(());
        }
        let own: Vec<&str> = self.settings.presets.keys().map(String::as_str).collect();
        Err(match (is_built_in(name), own.is_empty()) {
            (true, _) => format!("`{name}` is built in and stays"),
            (false, true) => "there is no preset of your own yet: /preset save NAME makes one".to_owned(),
            (false, false) => format!("there is no preset `{name}` of your own: it must be {}", own.join(", ")),
        })
    }
}
