//! What keys do: on screen, and asked of the worker and the store.

use super::stage::Stage;
use crate::app::keymap::Context;
use crate::chat::{Message, MessageState, Role, Transcript};
use crate::store::{SessionId, SessionRecord, StoreOp};
use crate::tui::screen::Request;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent, Prompt};

fn holding() -> FakeWorker {
    FakeWorker::new().reply([Step::text("one two"), Step::Hold, Step::text(" three")])
}

fn texts(command: &EngineCommand) -> Vec<String> {
    match command {
        EngineCommand::Generate { prompt: Prompt::Chat { messages, .. }, .. } => {
            messages.iter().map(|message| message.content.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn enter_sends_and_the_worker_gets_the_whole_path() {
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("Hello.")]));
    stage.keys("Hi<Ctrl-J>there<Enter>");
    assert!(stage.screen.composer.is_empty());
    stage.pump_to_end();
    assert_eq!(texts(&stage.asked()[0]), ["Hi\nthere"]);
    stage.keys("More<Enter>");
    stage.pump_to_end();
    assert_eq!(texts(&stage.asked()[0]), ["Hi\nthere", "Hello.", "More"]);
}

#[test]
fn an_empty_line_sends_nothing() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("<Enter>  <Enter>");
    assert!(stage.app.generation().is_none());
    assert!(stage.memory.stored.is_empty());
}

#[test]
fn the_temperature_is_turned_while_it_speaks() {
    let mut stage = Stage::new(120, 30, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.asked();
    stage.keys("<Tab><Right><Right>");
    let changes: Vec<f32> = (0..2)
        .flat_map(|_| stage.asked())
        .map(|command| match command {
            EngineCommand::SetSampling { sampling, .. } => sampling.temperature,
            other => panic!("{other:?}"),
        })
        .take(2)
        .collect();
    assert_eq!(changes.last(), Some(&0.9));
    let shown = stage.draw();
    assert!(shown.contains("temperature 0.90 from token 3"), "{shown}");
    stage.release();
    stage.pump_to_end();
    let line = stage.app.last_summary().unwrap().line();
    assert!(line.ends_with("temperature 0.90 from token 3"), "{line}");
}

#[test]
fn a_value_is_typed_into_the_panel() {
    let mut stage = Stage::new(120, 30, FakeWorker::new());
    stage.keys("<Tab>1.2");
    assert!(stage.draw().contains("1.2▏"));
    stage.keys("<Enter>");
    assert_eq!(stage.app.sampling().temperature, 1.2);
    stage.keys("<Down>5<Down>");
    assert_eq!(stage.app.sampling().top_k, 5, "going on takes the value too");
    stage.keys("7<Esc>");
    assert_eq!(stage.app.sampling().top_p, 0.95, "Esc does not");
    assert_eq!(stage.screen.focus, Context::Sampling);
    stage.keys("9<Enter>");
    assert!(stage.draw().contains("out of range"));
    stage.keys("<Shift-Left>");
    assert_eq!(stage.app.sampling().top_p, 0.9);
    stage.keys("<Del>");
    assert_eq!(stage.app.sampling().top_p, 0.95);
    stage.keys("p");
    assert_eq!(stage.app.preset(), Some("precise"));
    stage.keys("hello");
    assert_eq!(stage.screen.composer.text(), "hello", "text goes where text belongs");
}

#[test]
fn esc_stops_and_keeps_what_was_said_and_what_is_written() {
    let mut stage = Stage::new(80, 24, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.keys("my next question<Esc>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("one two") && shown.contains("stopped"), "{shown}");
    assert_eq!(stage.screen.composer.text(), "my next question");
    let last = stage.memory.stored.iter().rev().find_map(|op| match op {
        StoreOp::PutMessage { node, .. } => Some(node.clone()),
        _ => None,
    });
    let node = last.unwrap();
    assert_eq!((node.message.content.as_str(), node.state), ("one two", MessageState::Cut));
}

#[test]
fn a_question_during_a_reply_is_not_lost() {
    let mut stage = Stage::new(80, 24, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(1);
    stage.keys("another<Enter>");
    assert_eq!(stage.screen.composer.text(), "another");
    assert!(stage.draw().contains("a reply is running"));
    stage.keys("<Ctrl-U>/new<Enter>");
    assert!(stage.draw().contains("/new has to wait"));
    assert_eq!(stage.screen.composer.text(), "/new");
    stage.release();
}

#[test]
fn ctrl_c_stops_then_clears_then_asks_and_then_quits() {
    let mut stage = Stage::new(80, 24, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.keys("text<Ctrl-C>");
    stage.pump_to_end();
    assert_eq!(stage.screen.composer.text(), "text");
    stage.keys("<Ctrl-C>");
    assert_eq!(stage.screen.composer.text(), "");
    stage.keys("<Ctrl-Z>");
    assert_eq!(stage.screen.composer.text(), "text");
    stage.keys("<Ctrl-C><Ctrl-C>");
    assert!(stage.draw().contains("Ctrl-C again quits"));
    assert!(!stage.requests.contains(&Request::Quit));
    stage.keys("x<Backspace><Ctrl-C>");
    assert!(!stage.requests.contains(&Request::Quit), "another key takes the hint back");
    stage.keys("<Ctrl-C>");
    assert!(stage.requests.contains(&Request::Quit));
}

#[test]
fn ctrl_d_quits_only_where_nothing_is_written() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("ab<Home><Ctrl-D>");
    assert_eq!(stage.screen.composer.text(), "b");
    assert!(stage.requests.is_empty());
    stage.keys("<Ctrl-D><Ctrl-D>");
    assert_eq!(stage.requests, [Request::Quit]);
}

#[test]
fn quitting_in_the_middle_of_a_reply_saves_what_there_is() {
    let mut stage = Stage::new(80, 24, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(2);
    stage.keys("/quit<Enter>");
    assert_eq!(stage.requests, [Request::Quit]);
    let Some(StoreOp::PutMessage { node, .. }) = stage.memory.stored.last() else { panic!("{:?}", stage.memory) };
    assert_eq!((node.message.content.as_str(), node.state), ("one two", MessageState::Cut));
}

#[test]
fn names_are_completed_by_tab_and_enter_and_given_only_whole() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("/qui<Enter>");
    assert_eq!(stage.screen.composer.text(), "/quit", "completed, not given");
    assert!(stage.requests.is_empty());
    stage.keys("<Enter>");
    assert_eq!(stage.requests, [Request::Quit]);
    stage.keys("/temper<Tab>");
    assert_eq!(stage.screen.composer.text(), "/temperature ");
    stage.keys("0.3<Enter>");
    assert_eq!(stage.app.sampling().temperature, 0.3);
    stage.keys("/pre<Tab>c<Tab><Enter>");
    assert_eq!(stage.app.preset(), Some("creative"));
}

#[test]
fn an_unknown_command_is_answered_with_the_nearest_and_stays() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("/undoo<Enter>");
    assert_eq!(stage.screen.composer.text(), "/undoo");
    assert!(stage.draw().contains("did you mean /undo?"));
    assert!(stage.app.transcript().nodes().is_empty());
}

#[test]
fn up_and_down_walk_through_the_prompts_and_ctrl_r_searches_them() {
    let script = FakeWorker::new().reply([Step::text("a")]).reply([Step::text("b")]);
    let mut stage = Stage::new(80, 24, script);
    stage.keys("first question<Enter>");
    stage.pump_to_end();
    stage.keys("second<Enter>");
    stage.pump_to_end();
    stage.keys("draft<Up>");
    assert_eq!(stage.screen.composer.text(), "second");
    stage.keys("<Up>");
    assert_eq!(stage.screen.composer.text(), "first question");
    stage.keys("<Down><Down>");
    assert_eq!(stage.screen.composer.text(), "draft");
    stage.keys("<Ctrl-R>ques");
    assert!(stage.draw().contains("▸ first question"));
    stage.keys("<Enter>");
    assert_eq!(stage.screen.composer.text(), "first question");
}

#[test]
fn the_history_is_walked_past_commands_and_files() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.memory.files.insert("notes.txt".to_owned(), "text".to_owned());
    for line in ["/show", "see @notes.txt<Esc>", "/heat off", "/stats"] {
        stage.keys(&format!("{line}<Enter>"));
        if line.starts_with("see") {
            stage.pump_to_end();
        }
    }
    stage.keys("draft");
    for expected in ["/stats", "/heat off", "see @notes.txt", "/show", "/show"] {
        stage.keys("<Up>");
        assert_eq!(stage.screen.composer.text(), expected);
        assert!(!stage.screen.popup.is_open(), "no list takes the keys: {expected}");
    }
    stage.keys("<Down><Down><Down><Down>");
    assert_eq!(stage.screen.composer.text(), "draft", "it is not lost");
    stage.keys("<Ctrl-U><Up><Up><Backspace>");
    assert_eq!(stage.screen.composer.text(), "/heat of");
    assert!(stage.screen.popup.is_open(), "what is changed is being typed");
    stage.keys("<Esc><Ctrl-U><Ctrl-R>show<Enter>");
    assert_eq!((stage.screen.composer.text(), stage.screen.popup.is_open()), ("/show", false));
}

#[test]
fn a_paste_is_text_whatever_is_in_it() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.paste("line one\r\nline two\rline three\n");
    assert_eq!(stage.screen.composer.text(), "line one\nline two\nline three\n");
    assert!(stage.app.generation().is_none());
}

#[test]
fn long_lines_wrap_in_the_composer_and_the_cursor_follows() {
    let mut stage = Stage::new(40, 12, FakeWorker::new());
    stage.keys("the quick brown fox jumps over the lazy dog and on");
    let shown = stage.draw();
    assert!(shown.contains("> the quick brown fox jumps over the"), "{shown}");
    assert!(shown.contains("  lazy dog and on"), "{shown}");
    let end = stage.cursor();
    stage.keys("<Up>");
    let up = stage.cursor();
    assert_eq!((up.x, up.y + 1), (end.x, end.y));
}

#[test]
fn a_saved_chat_is_opened_from_the_list() {
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("Rome.")]));
    let mut transcript = Transcript::default();
    transcript.append(Message::new(Role::User, "And of Italy?"), MessageState::Complete);
    let record = |id: i64, title: &str| SessionRecord {
        id: SessionId(id),
        title: title.to_owned(),
        model: "m".to_owned(),
        system: String::new(),
        head: transcript.head(),
        created: 0,
        ..SessionRecord::default()
    };
    stage.memory.sessions =
        vec![(record(1, "Capitals"), transcript.clone()), (record(2, "Rivers"), Transcript::default())];
    stage.keys("<Ctrl-O>");
    let shown = stage.draw();
    assert!(shown.contains("▸ Capitals") && shown.contains("  Rivers"), "{shown}");
    stage.keys("<Esc>");
    assert!(!stage.draw().contains("Saved chats"));
    stage.keys("<Ctrl-O>cap<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("And of Italy?") && shown.contains("Capitals"), "{shown}");
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("Rome."));
    let session = |op: &StoreOp| match op {
        StoreOp::PutMessage { session, .. } => Some(*session),
        _ => None,
    };
    assert_eq!(stage.memory.stored.iter().rev().find_map(session), Some(SessionId(1)));
}

#[test]
fn settings_are_saved_and_a_missing_model_leaves_the_old_one() {
    let mut stage = Stage::new(80, 24, FakeWorker::new());
    stage.keys("/temp 0.4<Enter>/save<Enter>");
    assert_eq!(stage.memory.saved.as_ref().map(|settings| settings.sampling.temperature), Some(0.4));
    assert!(stage.draw().contains("config.toml"));
    stage.keys("/model missing<Enter>");
    assert!(stage.draw().contains("there is no model `missing`"));
    assert!(stage.app.model().is_some() && stage.app.loading().is_none());
    stage.keys("/model gpt2<Enter>");
    assert!(stage.draw().contains("loading the model"));
    stage.pump(|event| matches!(event, EngineEvent::Loaded { .. }));
    assert!(stage.draw().contains("is loaded"));
}

#[test]
fn the_last_reply_is_copied_and_the_mouse_toggled() {
    let reply = "Here:\n```rust\nfn main() {}\n```\nDone.";
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::Token(reply.into())]));
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.keys("/copy<Enter>/copy code<Enter><F3>");
    let wanted = [Request::Copy(reply.to_owned()), Request::Copy("fn main() {}\n".to_owned()), Request::Mouse(false)];
    assert_eq!(stage.requests, wanted);
}

#[test]
fn code_within_longer_fences_and_lists_is_copied_without_its_marks() {
    for (reply, wanted) in [
        ("````md\n```rust\nx\n```\n````\nSo.", "```rust\nx\n```\n"),
        ("1. so:\n\n   ~~~\n   ls\n   ~~~\n", "ls\n"),
        ("> ```\n> quoted\n> ```", "quoted\n"),
    ] {
        let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::Token(reply.into())]));
        stage.keys("Q<Enter>");
        stage.pump_to_end();
        stage.keys("/copy code<Enter>");
        assert_eq!(stage.requests, [Request::Copy(wanted.to_owned())], "{reply}");
    }
}

#[test]
fn the_token_view_shows_alternatives_and_goes_on_from_one() {
    let script = FakeWorker::new().reply([Step::text("one two three")]).reply([Step::text(" more")]);
    let mut stage = Stage::new(100, 30, script);
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.asked();
    stage.keys("<Ctrl-T>");
    let shown = stage.draw();
    assert!(shown.contains("Token 3 of 3") && shown.contains("rank") && shown.contains("temperature 0.80"), "{shown}");
    stage.keys("<Left>");
    let shown = stage.draw();
    assert!(shown.contains("Token 2 of 3") && shown.contains("◂ said") && shown.contains("river"), "{shown}");
    // The first of the candidates, in the place of the second token.
    stage.keys("<Enter>");
    let asked = stage.asked();
    let last = texts(asked.last().unwrap());
    assert_eq!(last.last().unwrap(), "one Seine", "{last:?}");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("one Seine more") && shown.contains("branch 2/2"), "{shown}");
    stage.keys("/branch<Enter>");
    assert!(stage.draw().contains("one two three"));
}

#[test]
fn a_key_that_stands_for_a_command_leaves_nothing_in_the_composer_or_the_history() {
    let mut stage = Stage::new(80, 24, holding());
    stage.keys("Q<Enter>");
    stage.pump_tokens(1);
    stage.keys("<Ctrl-O><Ctrl-N>");
    assert!(stage.screen.composer.is_empty());
    assert!(stage.draw().contains("/new has to wait"));
    assert_eq!(stage.app.history(), ["Q"]);
    stage.release();
    stage.pump_to_end();
    stage.keys("<Ctrl-N><Up>");
    assert_eq!(stage.screen.composer.text(), "Q");
}
