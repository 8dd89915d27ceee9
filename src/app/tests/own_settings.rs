//! What a model brings, what a chat keeps, and what a person sets: which of them is in force, and which is saved.

use super::*;
use crate::app::parameters::{Parameter, SamplingParams, SamplingValues};
use crate::chat::Transcript;
use crate::chat::provenance::ChatSettings;
use crate::settings::layers::{Given, Origin};
use crate::worker::protocol::GenerationParams;
use gibber_engine::load::ModelInfo;
use gibber_engine::sampling::Recommended;

fn values(json: &str) -> SamplingValues {
    serde_json::from_str(json).unwrap()
}

fn model(name: &str, json: &str) -> ModelInfo {
    let recommended = Recommended { values: values(json), source: "its files".into(), ..Recommended::default() };
    ModelInfo { name: name.to_owned(), recommended, ..sample_model() }
}

/// With a model that is loaded, before anything else is said.
fn machine_with(start: Start, model: ModelInfo) -> Machine {
    let now = Moment { at: Instant::now(), unix: 1_790_000_000 };
    let mut app = App::new(start, now);
    let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!("no model is asked for") };
    app.on_event(EngineEvent::Loaded { id, model: Box::new(model) }, now);
    Machine { app, now }
}

/// `/model` loads another one.
fn switch(machine: &mut Machine, model: ModelInfo) {
    let effects = machine.enter("/model other");
    let Some(Effect::LoadModel { id, .. }) = effects.last() else { panic!("{effects:?}") };
    machine.app.on_event(EngineEvent::Loaded { id: *id, model: Box::new(model) }, machine.now);
}

/// What is asked of the engine.
fn asked(effects: &[Effect]) -> &GenerationParams {
    let params = effects.iter().find_map(|effect| match effect {
        Effect::Submit(EngineCommand::Generate { params, .. }) => Some(params),
        _ => None,
    });
    params.unwrap_or_else(|| panic!("nothing is generated: {effects:?}"))
}

/// What the chat on screen would be opened with again.
fn kept(effects: &[Effect]) -> Option<ChatSettings> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Store(StoreOp::PutSession(record)) => Some(record.settings.clone()),
        _ => None,
    })
}

fn open(machine: &mut Machine, settings: ChatSettings) {
    let record = SessionRecord { id: SessionId(5), settings, ..SessionRecord::default() };
    machine.app.on_outcome(Outcome::SessionOpened(Ok((record, Transcript::default()))), machine.now);
}

fn temperature(machine: &Machine) -> (f32, Origin) {
    (machine.app.sampling().temperature, machine.app.origin(Parameter::Temperature))
}

#[test]
fn what_a_model_brings_is_shown_as_such_and_goes_with_it() {
    let mut machine = machine_with(Start::default(), model("One", r#"{"temperature":0.6,"top_k":20}"#));
    machine.enter("/set top-k 7");
    machine.enter("/show");
    let shown = machine.last_note();
    for line in ["temperature       0.60 (from the model)", "top-k             7 (set here)", "top-p             0.95"]
    {
        assert!(shown.lines().any(|found| found == line), "{line} is not in\n{shown}");
    }
    machine.enter("/set temperature");
    assert!(machine.last_note().starts_with("temperature = 0.60 (from the model): divides"), "{}", machine.last_note());
    switch(&mut machine, model("Two", r#"{"temperature":0.3,"top_k":50}"#));
    assert_eq!((temperature(&machine), machine.app.sampling().top_k), ((0.3, Origin::Model), 7));
    switch(&mut machine, sample_model());
    assert_eq!((temperature(&machine), machine.app.sampling().top_k), ((0.8, Origin::Program), 7));
}

#[test]
fn a_reset_goes_back_to_what_the_model_brings() {
    let mut machine = machine_with(Start::default(), model("One", r#"{"temperature":0.6}"#));
    let nudge = Action::Nudge { parameter: Parameter::Temperature, steps: 2, large: false };
    machine.app.handle(nudge, machine.now);
    assert_eq!(temperature(&machine), (0.7, Origin::Set));
    machine.app.handle(Action::ResetParameter(Parameter::Temperature), machine.now);
    assert_eq!(temperature(&machine), (0.6, Origin::Model));
}

#[test]
fn what_nobody_has_set_is_left_to_the_model_also_while_it_is_loaded() {
    let now = Moment { at: Instant::now(), unix: 0 };
    let given = Given { sampling: values(r#"{"top_k":3}"#), ..Given::default() };
    let mut app = App::new(Start { given, ..Start::default() }, now);
    app.start();
    let effects = app.handle(Action::Enter("Q".into()), now);
    let params = asked(&effects);
    assert!(params.open.contains(&Parameter::Temperature) && !params.open.contains(&Parameter::TopK));
    assert_eq!(params.sampling.top_k, 3);
}

#[test]
fn values_that_cannot_be_are_told_once_the_model_is_there() {
    let mut brought = model("One", "{}");
    brought.recommended.notes = vec!["generation_config.json: `temperature` = 70 is ignored: out of range".into()];
    let machine = machine_with(Start::default(), brought);
    assert_eq!(machine.last_note(), "generation_config.json: `temperature` = 70 is ignored: out of range");
}

#[test]
fn a_chat_is_opened_with_the_sampling_and_the_template_that_it_was_left_with() {
    let mut machine = machine_with(Start::default(), model("One", r#"{"top_k":20}"#));
    machine.say("Q", "A");
    let of_set = kept(&machine.enter("/set temperature 0.3")).expect("a change is kept at once");
    let of_template = kept(&machine.enter("/template chatml")).unwrap();
    assert_eq!((of_set.chosen_sampling(), of_set.chosen_template()), (values(r#"{"temperature":0.3}"#), None));
    let mut other = machine_with(Start::default(), model("Two", r#"{"top_k":50,"temperature":0.9}"#));
    other.enter("/set min-p 0.2");
    open(&mut other, of_template);
    assert_eq!(temperature(&other), (0.3, Origin::Chat));
    let sampling = other.app.sampling();
    assert_eq!((sampling.top_k, sampling.min_p), (50, 0.05), "the rest is the model's and the program's");
    assert_eq!(*other.app.template(), template_choice("chatml"));
    other.enter("/new");
    assert_eq!((temperature(&other), other.app.template()), ((0.9, Origin::Model), &template_choice("")));
}

#[test]
fn a_chat_of_an_earlier_version_keeps_what_was_not_the_default() {
    let sampling = SamplingParams { temperature: 0.4, ..SamplingParams::default() };
    let settings =
        ChatSettings { sampling: Some((&sampling).into()), template: Some("model".into()), ..ChatSettings::default() };
    let mut machine = machine_with(Start::default(), model("One", r#"{"top_k":20}"#));
    open(&mut machine, settings);
    assert_eq!((temperature(&machine), machine.app.sampling().top_k), ((0.4, Origin::Chat), 20));
}

#[test]
fn a_flag_comes_before_the_chat_and_the_chat_before_the_file() {
    let mut settings = Settings::default();
    (settings.sampling.temperature, settings.sampling.top_k) = (0.1, 9);
    let given = Given { sampling: values(r#"{"top_p":0.5}"#), template: Some("zephyr".into()) };
    let start = Start { settings, given, ..Start::default() };
    let mut machine = machine_with(start, model("One", r#"{"temperature":0.6,"top_k":20,"min_p":0.3}"#));
    let mut chat = ChatSettings::default();
    chat.choose(&values(r#"{"temperature":0.2,"top_p":0.4}"#), Some("chatml"));
    open(&mut machine, chat);
    let origins = [Parameter::TopP, Parameter::Temperature, Parameter::TopK, Parameter::MinP, Parameter::Typical];
    let origins = origins.map(|parameter| (parameter.display(machine.app.sampling()), machine.app.origin(parameter)));
    let expected = [
        ("0.50", Origin::Flag),
        ("0.20", Origin::Chat),
        ("9", Origin::Config),
        ("0.30", Origin::Model),
        ("1.00", Origin::Program),
    ];
    assert_eq!(origins, expected.map(|(value, origin)| (value.to_owned(), origin)));
    assert_eq!(*machine.app.template(), template_choice("zephyr"));
}

#[test]
fn what_a_model_brings_is_not_saved_as_a_persons_own() {
    let mut machine = machine_with(Start::default(), model("One", r#"{"temperature":0.6,"repeat_penalty":1.1}"#));
    machine.enter("/top-k 7");
    machine.enter("/repeat-penalty 1");
    let effects = machine.enter("/save");
    let Some(Effect::SaveSettings(settings)) = effects.last() else { panic!("{effects:?}") };
    assert_eq!(settings.sampling, SamplingParams { top_k: 7, ..SamplingParams::default() });
    let note = machine.last_note();
    assert!(
        note.starts_with("not saved: repeat-penalty = 1.00: that is this program's default, which counts as unset"),
        "{note}"
    );
}

#[test]
fn lanes_of_presets_leave_to_the_model_what_the_presets_do_not_name() {
    let mut machine = machine_with(Start::default(), model("One", r#"{"temperature":0.6,"repeat_penalty":1.1}"#));
    machine.say("Q", "A");
    let effects = machine.enter("/compare temp=0.1 creative");
    let Some(Effect::Submit(EngineCommand::Compare { variants, .. })) = effects.last() else { panic!("{effects:?}") };
    let found =
        variants.iter().map(|lane| (lane.sampling.temperature, lane.sampling.repeat_penalty)).collect::<Vec<_>>();
    assert_eq!(found, [(0.1, 1.1), (1.1, 1.1)]);
    let is_open = |lane: &GenerationParams| {
        !lane.open.contains(&Parameter::Temperature) && lane.open.contains(&Parameter::RepeatPenalty)
    };
    assert!(variants.iter().all(is_open), "{variants:?}");
}

#[test]
fn another_set_is_in_force_while_the_model_thinks() {
    let mut thinker = model("One", r#"{"temperature":0.7,"top_p":0.8}"#);
    thinker.recommended.thinking = values(r#"{"temperature":0.6,"top_p":0.95}"#);
    let now = Moment { at: Instant::now(), unix: 0 };
    let mut app = App::new(Start::default(), now);
    let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!("no model is asked for") };
    let effects = app.on_event(EngineEvent::Loaded { id, model: Box::new(thinker) }, now);
    let mut machine = Machine { app, now };
    let describe = |machine: &mut Machine, effects: &[Effect]| {
        let [.., Effect::Submit(EngineCommand::DescribeTemplate { id, .. })] = effects else { panic!("{effects:?}") };
        let event = EngineEvent::TemplateDescribed { id: *id, can_switch_thinking: true, thinks: true };
        machine.app.on_event(event, machine.now);
    };
    assert_eq!(temperature(&machine).0, 0.7);
    describe(&mut machine, &effects);
    assert_eq!(temperature(&machine), (0.6, Origin::Model), "auto, with a template that thinks by itself");
    machine.enter("/show");
    assert!(machine.last_note().contains("0.60 (from the model, while it thinks)"), "{}", machine.last_note());
    machine.enter("/think off");
    assert_eq!((temperature(&machine).0, machine.app.sampling().top_p), (0.7, 0.8));
    let effects = machine.enter("/think on");
    describe(&mut machine, &effects);
    assert_eq!((temperature(&machine).0, machine.app.sampling().top_p), (0.6, 0.95));
}

#[test]
fn a_preset_leads_back_to_what_the_model_brings() {
    let mut settings = Settings::default();
    settings.sampling.temperature = 0.2;
    let mut machine =
        machine_with(Start { settings, ..Start::default() }, model("One", r#"{"temperature":0.6,"top_k":20}"#));
    assert_eq!(temperature(&machine), (0.2, Origin::Config));
    for line in ["/set top-k 7", "/set seed 5", "/preset creative", "/set min-p 0.3"] {
        machine.enter(line);
    }
    machine.enter("/preset model");
    assert!(machine.last_note().starts_with("preset model"), "{}", machine.last_note());
    let sampling = machine.app.sampling();
    assert_eq!((sampling.temperature, sampling.top_k, sampling.min_p), (0.6, 20, SamplingParams::default().min_p));
    assert_eq!(sampling.seed, Some(5), "a seed is no filter");
    assert_eq!(machine.app.origin(Parameter::TopK), Origin::Model);
    assert_eq!(machine.app.preset(), Some("model"));
    assert!(machine.app.preset_names().contains(&"model".to_owned()));
    machine.enter("/preset save model");
    assert!(machine.last_note().contains("is taken"), "{}", machine.last_note());
}

#[test]
fn a_context_that_has_become_shorter_is_said() {
    let shrunk = ModelInfo { context: 1024, unshrunk_context: 8192, ..sample_model() };
    let machine = machine_with(Start::default(), shrunk);
    assert!(machine.last_note().contains("1024 tokens instead of 8192"), "{}", machine.last_note());
}
