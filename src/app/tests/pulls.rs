//! Models that are pulled while the chat goes on: one owner, which news find or do not.

use super::super::{ModelOffer, OfferedModel, Outcome, PullStage};
use super::*;
use crate::hub::news::{FloatsWish, PullEnd, PullId, PullNews, PullProgress, PullStep};
use gibber_engine::FileType;

fn news(machine: &mut Machine, id: u64, step: PullStep) -> Vec<Effect> {
    tell(machine, id, step, false)
}

fn tell(machine: &mut Machine, id: u64, step: PullStep, is_typing: bool) -> Vec<Effect> {
    let news = PullNews { id: PullId(id), name: "tiny".to_owned(), step };
    machine.app.on_outcome(Outcome::PullNews { news, is_typing }, machine.now)
}

fn progress(done: u64, total: u64) -> PullStep {
    PullStep::Progress(PullProgress { done, total, ..PullProgress::default() })
}

fn here() -> PullStep {
    PullStep::Ended(PullEnd::Here { model: "tiny".to_owned(), note: None, floats: None })
}

/// The pulls that the effects begin.
fn begun(effects: &[Effect]) -> Vec<(u64, &str)> {
    let pull = |effect| match effect {
        &Effect::Pull { id, ref name, .. } => Some((id.0, name.as_str())),
        _ => None,
    };
    effects.iter().filter_map(pull).collect()
}

fn loads(effects: &[Effect]) -> bool {
    effects.iter().any(|effect| matches!(effect, Effect::LoadModel { name, .. } if name == "tiny"))
}

#[test]
fn what_was_asked_for_is_loaded_where_nothing_else_was_done() {
    let mut machine = Machine::new();
    machine.say("Q", "A");
    assert_eq!(begun(&machine.enter("/pull tiny")), [(1, "tiny")]);
    assert!(news(&mut machine, 1, progress(50, 100)).is_empty());
    assert_eq!((machine.app.pulls()[0].percent(), &machine.app.pulls()[0].stage), (50, &PullStage::Running));
    assert!(loads(&news(&mut machine, 1, here())));
    assert!(machine.app.pulls().is_empty());
}

#[test]
fn a_chat_that_went_on_keeps_its_model() {
    let went_on: [fn(&mut Machine); 4] = [
        |machine| machine.say("Q", "A"),
        |machine| drop(machine.enter("Q")),
        |machine| drop(machine.enter("/model other")),
        |machine| {
            machine.say("Q", "A");
            machine.enter("/new");
        },
    ];
    for go_on in went_on {
        let mut machine = Machine::new();
        machine.enter("/pull tiny");
        go_on(&mut machine);
        assert!(!loads(&news(&mut machine, 1, here())));
        assert_eq!(machine.last_note(), "tiny is here: /model tiny loads it");
    }
}

#[test]
fn nothing_is_loaded_in_the_middle_of_a_line_but_where_there_is_no_model() {
    let mut machine = Machine::new();
    machine.enter("/pull tiny");
    assert!(!loads(&tell(&mut machine, 1, here(), true)));
    let now = machine.now;
    let mut app = App::new(Start::default(), now);
    let Some(Effect::LoadModel { id, .. }) = app.start().pop() else { panic!("no model is asked for") };
    app.on_event(EngineEvent::Failed { id, error: "it is not there".to_owned() }, now);
    let mut machine = Machine { app, now };
    machine.enter("/pull tiny");
    assert!(loads(&tell(&mut machine, 1, here(), true)));
}

#[test]
fn one_is_pulled_after_the_other_and_the_same_one_once() {
    let mut machine = Machine::new();
    assert_eq!(begun(&machine.enter("/pull tiny")), [(1, "tiny")]);
    assert!(begun(&machine.enter("/pull tiny")).is_empty());
    assert!(machine.last_note().contains("on its way already"), "{}", machine.last_note());
    assert!(begun(&machine.enter("/pull second")).is_empty());
    assert!(machine.last_note().contains("second is pulled after tiny"), "{}", machine.last_note());
    machine.enter("/pull");
    assert!(
        machine.last_note().contains("tiny: the hub is asked\nsecond: waits for its turn"),
        "{}",
        machine.last_note()
    );
    let effects = news(&mut machine, 1, PullStep::Ended(PullEnd::Failed("the disk is full".to_owned())));
    assert_eq!(begun(&effects), [(2, "second")], "a failure does not hold up the next");
    assert_eq!(machine.last_note(), "the disk is full");
}

#[test]
fn stopping_asks_what_runs_and_forgets_what_waits() {
    let mut machine = Machine::new();
    for name in ["tiny", "second", "third"] {
        machine.enter(&format!("/pull {name}"));
    }
    assert!(!machine.enter("/pull stop second").iter().any(|effect| matches!(effect, Effect::CancelPull(_))));
    assert_eq!(machine.last_note(), "second is not pulled");
    let effects = machine.enter("/pull stop");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CancelPull(PullId(1)))));
    assert_eq!(machine.app.pulls().len(), 1, "what runs is there until it has ended");
    news(&mut machine, 1, progress(1, 2));
    assert_eq!(machine.app.pulls()[0].stage, PullStage::Stopping);
    assert!(news(&mut machine, 1, PullStep::Ended(PullEnd::Stopped)).is_empty());
    assert!(machine.last_note().contains("tiny is stopped at 0 of 0 kB, which are kept"), "{}", machine.last_note());
    machine.enter("/pull stop");
    assert_eq!(machine.last_note(), "nothing was stopped: no model is on its way");
}

#[test]
fn late_news_finds_nobody() {
    let mut machine = Machine::new();
    machine.enter("/pull tiny");
    news(&mut machine, 1, PullStep::Ended(PullEnd::Stopped));
    machine.enter("/pull tiny");
    let notes = machine.app.notes().len();
    for step in [progress(70, 100), PullStep::Waiting("the server".to_owned()), here()] {
        assert!(news(&mut machine, 1, step).is_empty());
    }
    assert_eq!((machine.app.notes().len(), machine.app.pulls()[0].percent()), (notes, 0));
    assert!(loads(&news(&mut machine, 2, here())));
}

#[test]
fn progress_never_goes_backwards() {
    let mut machine = Machine::new();
    machine.enter("/pull tiny");
    let mut last = (0, 0);
    for (done, total) in [(10, 100), (60, 100), (40, 100), (100, 100), (100, 200), (150, 200), (0, 0), (200, 200)] {
        news(&mut machine, 1, progress(done * 1_000_000, total * 1_000_000));
        let pull = &machine.app.pulls()[0];
        let now = (pull.progress.unwrap().done, pull.percent());
        assert!(now >= last && now.1 >= last.1, "{now:?} after {last:?}");
        last = now;
    }
    assert_eq!(last, (200_000_000, 100));
}

#[test]
fn a_model_that_can_be_had_is_offered_in_the_place_of_an_error() {
    let mut machine = Machine::new();
    let Some(Effect::LoadModel { id, .. }) = machine.enter("/model tiny").pop() else { panic!("nothing is loaded") };
    let model = OfferedModel { name: "tiny".to_owned(), bytes: None, about: String::new(), cannot_run: None };
    let offer = ModelOffer::One(model);
    let effects = machine.app.on_outcome(Outcome::ModelMissing { id, offer }, machine.now);
    assert!(matches!(&effects[..], [Effect::Screen(OnScreen::Compose(line))] if line == "/pull tiny"));
    assert!(machine.app.loading().is_none());
    assert_eq!(machine.last_note(), "tiny is not here: /pull tiny gets it, and loads it");
}

/// Floats that came and were not quantized.
fn floats_here() -> PullStep {
    PullStep::Ended(PullEnd::Here { model: "tiny".to_owned(), note: None, floats: Some(FileType::Q8_0) })
}

fn wishes(effects: &[Effect]) -> Vec<(u64, FloatsWish)> {
    let wish = |effect: &Effect| match effect {
        &Effect::Pull { id, floats, .. } => Some((id.0, floats)),
        _ => None,
    };
    effects.iter().filter_map(wish).collect()
}

#[test]
fn floats_are_quantized_where_the_person_agrees_while_they_come() {
    let mut machine = Machine::new();
    assert_eq!(wishes(&machine.enter("/pull tiny")), [(1, FloatsWish::Keep)]);
    let effects = news(&mut machine, 1, PullStep::Floats(FileType::Q8_0));
    assert!(matches!(&effects[..], [Effect::Screen(OnScreen::Compose(line))] if line == "/pull quantize"));
    assert!(machine.last_note().contains("quantize them to Q8_0 once they are here"), "{}", machine.last_note());
    assert!(begun(&machine.enter("/pull quantize")).is_empty(), "it goes on meanwhile");
    assert_eq!(machine.last_note(), "the weights of tiny are quantized to Q8_0 once they are here");
    news(&mut machine, 1, progress(100, 100));
    let effects = news(&mut machine, 1, floats_here());
    assert_eq!(wishes(&effects), [(1, FloatsWish::Quantize(Some(FileType::Q8_0)))], "it goes on with them");
    assert!(!loads(&effects));
    let step = PullProgress { done: 40, total: 100, ..PullProgress::default() };
    news(&mut machine, 1, PullStep::Quantizing(FileType::Q8_0, step));
    assert_eq!(machine.app.pulls()[0].line(), "tiny: 40 % · 0 of 0 kB · quantized to Q8_0");
    assert!(loads(&news(&mut machine, 1, here())), "what was made of them is loaded");
}

#[test]
fn quantizing_is_stopped_and_the_floats_stay() {
    let mut machine = Machine::new();
    machine.enter("/pull quantize f16");
    assert!(machine.last_note().contains("would leave the weights floats"), "{}", machine.last_note());
    machine.enter("/pull quantize tiny q8_0");
    let step = PullProgress { done: 40, total: 100, ..PullProgress::default() };
    news(&mut machine, 1, PullStep::Quantizing(FileType::Q8_0, step));
    let effects = machine.enter("/pull stop");
    assert!(effects.iter().any(|effect| matches!(effect, Effect::CancelPull(PullId(1)))));
    assert!(!loads(&news(&mut machine, 1, PullStep::Ended(PullEnd::Stopped))));
    assert!(machine.last_note().contains("its floats are here, /model tiny loads them"), "{}", machine.last_note());
}

#[test]
fn floats_stay_where_nobody_agrees_and_can_be_quantized_later() {
    let mut machine = Machine::new();
    machine.enter("/pull quantize");
    assert!(machine.last_note().contains("/pull quantize NAME"), "{}", machine.last_note());
    machine.enter("/pull tiny");
    news(&mut machine, 1, PullStep::Floats(FileType::Q4_K_M));
    assert!(loads(&news(&mut machine, 1, floats_here())));
    let wish = FloatsWish::Quantize(Some(FileType::Q4_K_M));
    assert_eq!(wishes(&machine.enter("/pull quantize")), [(2, wish)], "what fits was said when it came");
    news(&mut machine, 2, PullStep::Ended(PullEnd::Stopped));
    for (line, wish) in [
        ("/pull quantize q6_k", FloatsWish::Quantize(Some(FileType::Q6_K))),
        ("/pull quantize org/tiny", FloatsWish::Quantize(None)),
        ("/pull quantize org/tiny q4_0", FloatsWish::Quantize(Some(FileType::Q4_0))),
    ] {
        let effects = machine.enter(line);
        let [(id, found)] = wishes(&effects)[..] else { panic!("{line}: {effects:?}") };
        assert_eq!(found, wish, "{line}");
        news(&mut machine, id, PullStep::Ended(PullEnd::Stopped));
    }
}

#[test]
fn what_can_be_no_model_is_not_said_to_be_pulled() {
    let mut machine = Machine::new();
    for name in ["../../etc", "/tmp/x.gguf", "ftp://host/x.gguf", "a b"] {
        let notes = machine.app.notes().len();
        let effects = machine.enter(&format!("/pull {name}"));
        assert!(begun(&effects).is_empty() && machine.app.pulls().is_empty(), "{name}: {effects:?}");
        assert_eq!(machine.app.notes().len(), notes + 1, "{name}: one sentence");
        assert!(!machine.last_note().contains("is being pulled"), "{}", machine.last_note());
    }
}

#[test]
fn what_cannot_be_run_yet_says_why_and_is_not_pulled() {
    let mut machine = Machine::new();
    let cannot_run = Some("models of the architecture odd cannot be run yet".to_owned());
    let model = OfferedModel { name: "odd:1b".to_owned(), bytes: None, about: String::new(), cannot_run };
    machine.app.on_outcome(Outcome::ModelsListed { here: Vec::new(), offered: vec![model] }, machine.now);
    assert!(begun(&machine.enter("/pull odd:1b")).is_empty() && machine.app.pulls().is_empty());
    let note = machine.last_note();
    assert!(note.contains("the architecture odd cannot be run yet") && note.contains("--yes"), "{note}");
}
