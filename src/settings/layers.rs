//! Who has said what of the sampling, and who wins: this run's `/set` over its flags, those over what the open chat keeps,
//! that over config.toml, that over what is recommended for the model, that over the program's defaults.

use std::fmt;

use gibber_engine::SamplingParams;
use gibber_engine::sampling::{PARAMETERS, Parameter, ParameterValue, Recommended, SamplingValues};

/// Who has said what is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// Nobody: it is the program's default.
    Program,
    /// What is recommended for the model.
    Model,
    /// config.toml.
    Config,
    /// The chat, which was left so.
    Chat,
    /// A flag.
    Flag,
    /// The person, in this run.
    Set,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Program => "default",
            Self::Model => "from the model",
            Self::Config => "from config.toml",
            Self::Chat => "kept by this chat",
            Self::Flag => "a flag",
            Self::Set => "set here",
        })
    }
}

/// What the command line says of things that chats keep as well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    /// The sampling.
    pub sampling: SamplingValues,
    /// The chat template.
    pub template: Option<String>,
}

/// The sampling with what everybody says of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayeredSampling {
    model: Recommended,
    /// Whether the model thinks before the next reply.
    thinks: bool,
    config: SamplingValues,
    chat: SamplingValues,
    flags: SamplingValues,
    set: SamplingValues,
    /// What comes of all that.
    in_force: SamplingParams,
}

impl LayeredSampling {
    /// Before there is a model and a chat. A key of config.toml that stands at the program's default says nothing: people
    /// have copied the whole example.
    pub fn new(config: &SamplingParams, flags: SamplingValues) -> Self {
        let layers = Self { config: SamplingValues::differing(config), flags, ..Self::default() };
        layers.resolved()
    }

    /// The filters as they are now.
    pub fn in_force(&self) -> &SamplingParams {
        &self.in_force
    }

    /// Who has said what is in force of this parameter.
    pub fn origin(&self, parameter: Parameter) -> Origin {
        let by_person = self.persons().into_iter().rev().find(|(_, said)| said.has(parameter));
        match by_person {
            Some((origin, _)) => origin,
            None if self.of_model().has(parameter) => Origin::Model,
            None => Origin::Program,
        }
    }

    /// The parameters that no person has chosen: what they are is for the model to say.
    pub fn open(&self) -> Vec<Parameter> {
        if self.is_exact() {
            return Vec::new();
        }
        let parameters = PARAMETERS.iter().map(|spec| spec.parameter);
        parameters.filter(|parameter| self.origin(*parameter) <= Origin::Model).collect()
    }

    /// What a chat with these filters keeps: what a person has chosen for it.
    pub fn own(&self) -> SamplingValues {
        merged([&self.chat, &self.flags, &self.set])
    }

    /// What is recommended for the model that is loaded.
    pub fn recommended(&self) -> &Recommended {
        &self.model
    }

    /// Whether the model thinks before the next reply, as far as that changes the filters.
    pub fn is_of_thinking(&self) -> bool {
        self.thinks && self.model.has_modes()
    }

    /// Another model is there.
    pub fn on_model(&mut self, recommended: Recommended) {
        self.change(|layers| layers.model = recommended);
    }

    /// The model thinks before the next reply, or does not.
    pub fn on_thinking(&mut self, thinks: bool) {
        self.change(|layers| layers.thinks = thinks);
    }

    /// A chat that keeps this is open. What was set before is of the chat before.
    pub fn on_chat(&mut self, own: SamplingValues) {
        self.change(|layers| (layers.chat, layers.set) = (own, SamplingValues::default()));
    }

    /// A new chat is begun with what was set in this run; what the one before had kept goes with that.
    pub fn on_new_chat(&mut self) {
        self.change(|layers| layers.chat = SamplingValues::default());
    }

    /// A person sets a parameter.
    pub fn set(&mut self, parameter: Parameter, value: ParameterValue) {
        self.change(|layers| layers.set.set(parameter, value));
    }

    /// A person turns a parameter. Where it does not move nothing is set.
    pub fn turn(&mut self, parameter: Parameter, turn: impl FnOnce(&mut SamplingParams)) {
        let mut turned = self.in_force.clone();
        turn(&mut turned);
        if parameter.get(&turned) != parameter.get(&self.in_force) {
            self.set(parameter, parameter.get(&turned));
        }
    }

    /// A person wants a parameter as it was before anything was said of it in the chat or on the command line.
    pub fn reset(&mut self, parameter: Parameter) {
        self.change(|layers| {
            for layer in [&mut layers.chat, &mut layers.flags, &mut layers.set] {
                layer.remove(parameter);
            }
        });
    }

    /// A person chooses a preset: what it says nothing of is as if nothing had been said, but for the seed.
    pub fn choose_preset(&mut self, preset: &SamplingValues) {
        self.change(|layers| {
            for layer in [&mut layers.chat, &mut layers.flags, &mut layers.set] {
                let seed = layer.remove(Parameter::Seed);
                *layer = SamplingValues::default();
                seed.into_iter().for_each(|seed| layer.set(Parameter::Seed, seed));
            }
            layers.set.extend(preset);
        });
    }

    /// The preset of the model's own sampling: what config.toml says otherwise is as the model has it, all else is left to the
    /// model anyway.
    pub fn of_the_model(&self) -> SamplingValues {
        let (model, default) = (self.model.of(self.thinks), SamplingParams::default());
        let mut values = SamplingValues::default();
        for (parameter, _) in self.config.iter().filter(|(parameter, _)| *parameter != Parameter::Seed) {
            let own = model.get(parameter).cloned();
            values.set(parameter, own.unwrap_or_else(|| parameter.get(&default)));
        }
        values
    }

    /// Whether the filters are those that a preset would give, whatever the seed.
    pub fn is_preset(&self, preset: &SamplingValues) -> bool {
        let mut chosen = self.clone();
        chosen.choose_preset(preset);
        SamplingParams { seed: None, ..chosen.in_force } == SamplingParams { seed: None, ..self.in_force.clone() }
    }

    /// The `[sampling]` that makes all that a person has chosen the default; nothing of it is the model's.
    pub fn to_save(&self) -> SamplingParams {
        self.by_person().over(&SamplingParams::default())
    }

    /// What a person has chosen and config.toml cannot say, since it is the program's default and the model recommends
    /// another value.
    pub fn unsaved(&self) -> Vec<Parameter> {
        let (default, model) = (SamplingParams::default(), self.of_model());
        let is_unsaved = |parameter: Parameter, value: &ParameterValue| {
            *value == parameter.get(&default) && model.get(parameter).is_some_and(|recommended| recommended != value)
        };
        let chosen = self.by_person();
        chosen
            .iter()
            .filter(|(parameter, value)| is_unsaved(*parameter, value))
            .map(|(parameter, _)| parameter)
            .collect()
    }

    /// What a person has chosen, the weakest first.
    fn persons(&self) -> [(Origin, &SamplingValues); 4] {
        [
            (Origin::Config, &self.config),
            (Origin::Chat, &self.chat),
            (Origin::Flag, &self.flags),
            (Origin::Set, &self.set),
        ]
    }

    /// What the model says, where it is asked.
    fn of_model(&self) -> SamplingValues {
        if self.is_exact() { SamplingValues::default() } else { self.model.of(self.thinks) }
    }

    /// Whether a person has chosen the likeliest token each time: that is what the model itself says, without anything that
    /// is recommended for its draws.
    fn is_exact(&self) -> bool {
        let chosen = self.by_person();
        chosen.has(Parameter::Temperature) && chosen.over(&SamplingParams::default()).is_greedy()
    }

    fn by_person(&self) -> SamplingValues {
        merged(self.persons().map(|(_, said)| said))
    }

    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        let mut values = self.of_model();
        values.extend(&self.by_person());
        self.in_force = values.over(&SamplingParams::default());
    }

    fn resolved(mut self) -> Self {
        self.change(|_| {});
        self
    }
}

/// What each says over what those before it say.
fn merged<const N: usize>(layers: [&SamplingValues; N]) -> SamplingValues {
    let mut values = SamplingValues::default();
    layers.into_iter().for_each(|layer| values.extend(layer));
    values
}

/// The chat template with what everybody says of it, as names: a built-in one's, a file's, or `model` for the model's own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayeredTemplate {
    config: String,
    chat: Option<String>,
    flag: Option<String>,
    set: Option<String>,
}

impl LayeredTemplate {
    /// Before there is a chat.
    pub fn new(config: &str, flag: Option<String>) -> Self {
        Self { config: config.to_owned(), flag, ..Self::default() }
    }

    /// The one in force.
    pub fn in_force(&self) -> &str {
        self.own().unwrap_or(&self.config)
    }

    /// What a chat with it keeps: what a person has chosen for it.
    pub fn own(&self) -> Option<&str> {
        [&self.set, &self.flag, &self.chat].into_iter().find_map(Option::as_deref)
    }

    /// A person chooses one.
    pub fn set(&mut self, name: &str) {
        self.set = Some(name.to_owned());
    }

    /// A chat that keeps this is open.
    pub fn on_chat(&mut self, own: Option<String>) {
        (self.chat, self.set) = (own, None);
    }

    /// A new chat is begun.
    pub fn on_new_chat(&mut self) {
        self.chat = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(json: &str) -> SamplingValues {
        serde_json::from_str(json).unwrap()
    }

    fn recommended(json: &str) -> Recommended {
        Recommended { values: values(json), ..Recommended::default() }
    }

    fn temperature(layers: &LayeredSampling) -> (f32, Origin) {
        (layers.in_force().temperature, layers.origin(Parameter::Temperature))
    }

    #[test]
    fn each_layer_comes_before_all_that_are_weaker() {
        let config = SamplingParams { temperature: 0.2, ..SamplingParams::default() };
        let mut layers = LayeredSampling::new(&SamplingParams::default(), SamplingValues::default());
        assert_eq!(temperature(&layers), (0.8, Origin::Program));
        layers.on_model(recommended(r#"{"temperature":0.1}"#));
        assert_eq!(temperature(&layers), (0.1, Origin::Model));
        let mut layers = LayeredSampling::new(&config, SamplingValues::default());
        layers.on_model(recommended(r#"{"temperature":0.1}"#));
        assert_eq!(temperature(&layers), (0.2, Origin::Config));
        layers.on_chat(values(r#"{"temperature":0.3}"#));
        assert_eq!(temperature(&layers), (0.3, Origin::Chat));
        let mut layers = LayeredSampling::new(&config, values(r#"{"temperature":0.4}"#));
        layers.on_model(recommended(r#"{"temperature":0.1}"#));
        layers.on_chat(values(r#"{"temperature":0.3}"#));
        assert_eq!(temperature(&layers), (0.4, Origin::Flag));
        layers.set(Parameter::Temperature, ParameterValue::Number(0.5));
        assert_eq!(temperature(&layers), (0.5, Origin::Set), "what is done last in a chat acts");
        layers.reset(Parameter::Temperature);
        assert_eq!(temperature(&layers), (0.2, Origin::Config));
    }

    #[test]
    fn a_value_at_the_default_counts_where_a_person_gives_it_and_not_in_the_file() {
        let model = || recommended(r#"{"temperature":0.6}"#);
        let mut layers = LayeredSampling::new(&SamplingParams::default(), SamplingValues::default());
        layers.on_model(model());
        assert_eq!(temperature(&layers), (0.6, Origin::Model));
        let mut layers = LayeredSampling::new(&SamplingParams::default(), values(r#"{"temperature":0.8}"#));
        layers.on_model(model());
        assert_eq!(temperature(&layers), (0.8, Origin::Flag));
        assert_eq!((layers.unsaved(), layers.to_save().temperature), (vec![Parameter::Temperature], 0.8));
    }

    #[test]
    fn nothing_is_the_models_where_a_person_wants_the_likeliest_token_each_time() {
        let mut layers = LayeredSampling::new(&SamplingParams::default(), values(r#"{"temperature":0}"#));
        layers.on_model(recommended(r#"{"repeat_penalty":1.1,"temperature":0.6}"#));
        assert_eq!(*layers.in_force(), SamplingParams { temperature: 0.0, ..SamplingParams::default() });
        assert_eq!((layers.open(), layers.origin(Parameter::RepeatPenalty)), (vec![], Origin::Program));
        let mut layers = LayeredSampling::new(&SamplingParams::default(), SamplingValues::default());
        layers.on_model(recommended(r#"{"repeat_penalty":1.1,"temperature":0}"#));
        assert_eq!(layers.in_force().repeat_penalty, 1.1, "the model that is greedy by itself keeps its penalty");
    }

    #[test]
    fn the_defaults_change_with_the_model_and_what_was_set_stays() {
        let mut layers = LayeredSampling::default().resolved();
        layers.on_model(recommended(r#"{"temperature":0.6,"top_k":20}"#));
        layers.set(Parameter::TopK, ParameterValue::Integer(7));
        layers.on_model(recommended(r#"{"temperature":0.3,"top_k":50,"min_p":0.2}"#));
        let sampling = layers.in_force();
        assert_eq!((sampling.temperature, sampling.top_k, sampling.min_p), (0.3, 7, 0.2));
        assert!(layers.open().contains(&Parameter::Temperature) && !layers.open().contains(&Parameter::TopK));
        assert_eq!(layers.to_save(), SamplingParams { top_k: 7, ..SamplingParams::default() }, "nothing of the model");
        assert_eq!(layers.own(), values(r#"{"top_k":7}"#));
    }

    #[test]
    fn another_set_is_in_force_while_the_model_thinks() {
        let mut layers = LayeredSampling::default().resolved();
        let thinking = values(r#"{"temperature":0.6,"top_p":0.95}"#);
        layers.on_model(Recommended { thinking, ..recommended(r#"{"temperature":0.7,"top_p":0.8,"top_k":20}"#) });
        let now = |layers: &LayeredSampling| {
            (layers.in_force().temperature, layers.in_force().top_p, layers.in_force().top_k)
        };
        assert_eq!(now(&layers), (0.7, 0.8, 20));
        layers.on_thinking(true);
        assert_eq!((now(&layers), layers.is_of_thinking()), ((0.6, 0.95, 20), true));
        layers.set(Parameter::TopP, ParameterValue::Number(0.5));
        layers.on_thinking(false);
        assert_eq!(now(&layers), (0.7, 0.5, 20));
    }

    #[test]
    fn a_preset_says_what_it_names_and_leaves_the_rest_to_the_model() {
        let mut layers = LayeredSampling::new(&SamplingParams::default(), values(r#"{"repeat_penalty":1.5,"seed":4}"#));
        layers.on_model(recommended(r#"{"repeat_penalty":1.1,"temperature":0.6}"#));
        let creative = SamplingValues::preset("creative").unwrap();
        assert!(!layers.is_preset(&creative));
        layers.choose_preset(&creative);
        let sampling = layers.in_force();
        assert_eq!((sampling.temperature, sampling.repeat_penalty, sampling.seed), (1.1, 1.1, Some(4)));
        assert!(layers.is_preset(&creative) && !layers.is_preset(&SamplingValues::preset("precise").unwrap()));
    }

    #[test]
    fn what_was_set_goes_with_the_chat_that_is_left_and_into_the_one_that_is_begun() {
        let mut layers = LayeredSampling::default().resolved();
        layers.set(Parameter::TopK, ParameterValue::Integer(7));
        layers.on_new_chat();
        assert_eq!(layers.in_force().top_k, 7);
        layers.on_chat(values(r#"{"temperature":0.3}"#));
        assert_eq!((layers.in_force().top_k, layers.in_force().temperature), (40, 0.3));
        layers.on_new_chat();
        assert_eq!(temperature(&layers), (0.8, Origin::Program), "a new chat keeps nothing of another");
    }

    #[test]
    fn a_template_is_that_of_the_strongest_who_names_one() {
        let mut template = LayeredTemplate::new("chatml", None);
        assert_eq!((template.in_force(), template.own()), ("chatml", None));
        template.on_chat(Some("llama3".into()));
        assert_eq!(template.in_force(), "llama3");
        let mut template = LayeredTemplate { flag: Some("zephyr".into()), ..template };
        assert_eq!(template.in_force(), "zephyr");
        template.set("model");
        assert_eq!((template.in_force(), template.own()), ("model", Some("model")));
    }
}
