//! Lists to choose from: models, presets, and all that can be done.

use super::stage::Stage;
use crate::app::keymap::Context;
use crate::app::parameters::{Parameter, ParameterValue};
use crate::chat::Transcript;
use crate::store::{SessionId, SessionRecord};
use crate::tui::screen::Request;
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent, RequestId};

#[test]
fn a_model_is_chosen_from_the_list_and_the_loaded_one_is_marked() {
    let mut stage = Stage::new(100, 24, FakeWorker::new());
    stage.keys("/model<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("▸ smollm2 *") && shown.contains("llama · 134.5 M · Q4_1 · 98 MB"), "{shown}");
    assert!(shown.contains("cannot be run: the architecture `mamba`"), "{shown}");
    assert!(!shown.contains("reason"), "{shown}");
    stage.keys("<Down><Down>");
    assert!(stage.draw().contains("reason"), "why a file cannot be used is said in full");
    stage.keys("gp");
    assert!(!stage.draw().contains("smollm2 *"));
    stage.keys("<Enter>");
    assert!(matches!(stage.asked()[..], [EngineCommand::Load { .. }]));
    stage.pump(|event| matches!(event, EngineEvent::Loaded { .. }));
    stage.keys("/model<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("▸ gpt2 *") && !shown.contains("smollm2 *"), "{shown}");
    stage.keys("<Enter>");
    assert!(!stage.draw().contains("▸ gpt2") && stage.app.loading().is_none(), "it is loaded already");
}

#[test]
fn loading_shows_percent_bytes_and_time() {
    let mut stage = Stage::new(100, 24, FakeWorker::new());
    stage.keys("/model gpt2<Enter>");
    let id = stage.app.loading().unwrap().id;
    stage.feed(EngineEvent::LoadProgress { id, done: 0, total: 548_000_000 });
    stage.feed(EngineEvent::LoadProgress { id: RequestId(999), done: 1, total: 2 });
    stage.feed(EngineEvent::LoadProgress { id, done: 274_000_000, total: 548_000_000 });
    let shown = stage.draw();
    assert!(shown.contains("loading gpt2 █████░░░░░ 50 % · 274 of 548 MB · 0.0 s"), "{shown}");
    stage.resize(40, 10);
    assert!(stage.draw().contains("loading gpt2: 50 % · 274 of 548 MB"), "{}", stage.draw());
}

#[test]
fn presets_are_saved_chosen_with_their_values_and_deleted() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    stage.keys("/temp 1.3<Enter>/min-p 0.02<Enter>/preset save poet<Enter>");
    assert!(stage.draw().contains("preset poet is saved, in /home/me"));
    let saved = stage.memory.presets.pop().unwrap();
    let temperature = saved.1.unwrap().get(Parameter::Temperature).cloned();
    assert_eq!((saved.0.as_str(), temperature), ("poet", Some(ParameterValue::Number(1.3))));
    stage.keys("/preset precise<Enter>/preset<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("▸ precise *") && shown.contains("temperature 1.30 · top-k 40"), "{shown}");
    stage.keys("poet<Enter>");
    assert_eq!(stage.app.sampling().temperature, 1.3);
    stage.keys("<Tab>p");
    assert_eq!(stage.app.preset(), Some("precise"), "the keys go round from the last");
    stage.keys("<Esc>/preset delete poet<Enter>");
    assert_eq!(stage.memory.presets.pop(), Some(("poet".to_owned(), None)));
    assert!(stage.draw().contains("preset poet is deleted"));
    stage.keys("/preset poet<Enter>");
    assert!(stage.draw().contains("there is no preset `poet`"));
}

#[test]
fn a_preset_that_cannot_be_is_refused() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    for (command, answer) in [
        ("/preset save", "needs a name for the preset: /preset save NAME"),
        ("/preset delete", "needs the name of a preset"),
        ("/preset save two words", "a preset's name has letters"),
        ("/preset save creative", "`creative` is taken"),
        ("/preset delete creative", "`creative` is built in and stays"),
        ("/preset delete poet", "there is no preset of your own yet"),
    ] {
        stage.keys(&format!("{command}<Enter>"));
        assert!(stage.draw().contains(answer), "{command}: {}", stage.draw());
    }
    assert!(stage.memory.presets.is_empty());
}

#[test]
fn the_palette_has_commands_keys_themes_presets_models_and_chats() {
    let mut stage = Stage::new(100, 30, FakeWorker::new().reply([Step::text("Hm.")]));
    let record = SessionRecord {
        id: SessionId(7),
        title: "Capitals of Europe".to_owned(),
        model: "m".to_owned(),
        system: String::new(),
        head: None,
        created: 0,
        ..SessionRecord::default()
    };
    stage.memory.sessions = vec![(record, Transcript::default())];
    let best = |stage: &mut Stage, query: &str| {
        stage.keys(&format!("<Ctrl-P>{query}"));
        let shown = stage.draw();
        shown.lines().find(|line| line.contains('▸')).unwrap_or_default().to_owned()
    };
    for (query, wanted) in [
        ("themcon", "theme high-contrast"),
        ("creative", "preset creative"),
        ("modgpt", "model gpt2"),
        ("europe", "chat Capitals of Europe"),
        ("f2", "show or hide the panels"),
        ("temper", "/temperature [VALUE]"),
    ] {
        let row = best(&mut stage, query);
        assert!(row.contains(wanted), "{query}: {row}");
        stage.keys("<Esc>");
    }
    let panels = stage.screen.panels;
    stage.keys("<Ctrl-P>hide the panels<Enter>");
    assert_eq!(stage.screen.panels, !panels, "a key's action is done");
    stage.keys("<Ctrl-P>the next preset<Enter>");
    assert_eq!((stage.screen.focus, stage.app.preset()), (Context::Sampling, Some("creative")));
    stage.keys("<Ctrl-P>theme light<Enter>");
    assert_eq!(stage.app.settings().ui.theme, "light");
    stage.keys("<Ctrl-P>/temperature<Enter>");
    assert_eq!(stage.screen.composer.text(), "/temperature ", "what wants a value is written");
    stage.keys("<Ctrl-U><Ctrl-P>europe<Enter>");
    assert_eq!(stage.app.session().id, SessionId(7));
    stage.keys("<Ctrl-P>/quit<Enter>");
    assert_eq!(stage.requests.last(), Some(&Request::Quit), "what wants nothing is done");
}

#[test]
fn esc_stops_a_load_and_the_former_model_stays() {
    let mut stage = Stage::new(100, 24, FakeWorker::new());
    stage.keys("/model gpt2<Enter>");
    let [EngineCommand::Load { id, .. }] = &stage.asked()[..] else { panic!("a load is asked for") };
    assert!(stage.draw().contains("Esc stops the loading"));
    stage.keys("<Esc>");
    assert!(matches!(stage.asked()[..], [EngineCommand::Cancel { id: of }] if of == *id));
    stage.feed(EngineEvent::LoadProgress { id: *id, done: 1, total: 2 });
    assert!(stage.draw().contains("gpt2: stopping"));
    stage.feed(EngineEvent::Failed { id: *id, error: "the loading was stopped".into() });
    let shown = stage.draw();
    assert!(shown.contains("gpt2 is not loaded: it was stopped, and Sample-135M-Instruct"), "{shown}");
    assert!(stage.app.loading().is_none() && stage.app.model().is_some());
}

#[test]
fn the_first_model_is_not_stopped_by_a_stray_esc() {
    let mut stage = Stage::unloaded(100, 24, FakeWorker::new(), Theme::new(true));
    let effects = stage.app.start();
    stage.carry_out(effects);
    let [EngineCommand::Load { .. }] = &stage.asked()[..] else { panic!("a load is asked for") };
    stage.keys("<Esc>");
    stage.asked_nothing();
    stage.pump_to_end();
    assert!(stage.app.model().is_some());
}
