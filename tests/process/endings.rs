//! How the program ends: by signals, and with files that change under it.

use gibber::chat::{MessageState, Role};
use gibber::store::Database;
use gibber_signals::mapped::CHANGED;

use super::parrot::{Parrot, u32_value};
use super::*;

const QUESTION: &str = "What is the licence about?";

/// The weights of a model, cut short where they are: `cp new model.safetensors` begins so.
fn cut(model: &Path) {
    let weights = model.join("model.safetensors");
    fs::OpenOptions::new().write(true).open(weights).unwrap().set_len(0).unwrap();
}

/// The questions that are saved.
fn saved_questions(home: &Home) -> Vec<(String, MessageState)> {
    let database = Database::open(&home.path("chats.db")).unwrap();
    let chats = database.list().unwrap();
    let nodes = chats.iter().flat_map(|chat| database.load(chat.record.id).unwrap().transcript.nodes().to_vec());
    let questions = nodes.filter(|node| node.message.role == Role::User);
    questions.map(|node| (node.message.content.clone(), node.state)).collect()
}

#[test]
fn a_fatal_signal_gives_the_screen_back_and_stays_what_it_is() {
    let signals = [Signal::QUIT, Signal::ABORT, Signal::BUS, Signal::SEGV, Signal::XFSZ, Signal::USR1, Signal::ALARM];
    for signal in signals {
        let home = Home::new();
        let mut terminal = home.screen(&["-n", "3"]);
        terminal.signal(signal);
        let status = ended(&mut terminal);
        assert!(status.signal().is_some(), "{signal:?}: {status:?}");
    }
}

#[test]
fn a_fatal_signal_while_a_line_is_read_gives_the_terminal_back() {
    let home = Home::new();
    let mut terminal = home.terminal(&["repl", "-n", "3"]);
    terminal.wait_for_text(">");
    terminal.press("half a line");
    terminal.wait_for_text("half a line");
    assert!(terminal.is_raw());
    terminal.signal(Signal::QUIT);
    assert!(ended(&mut terminal).signal().is_some());
}

/// The model is cut short, a question is asked, and the program ends with a sentence and the question saved.
fn ends_with_the_chat_saved(home: &Home, model: &Path, mut terminal: Terminal) {
    cut(model);
    say(&terminal, QUESTION);
    let status = ended(&mut terminal);
    assert_eq!(status.exit_code(), 1, "{status:?}: {}", terminal.contents());
    // What it wrote last may still be on its way.
    terminal.wait_for_screen("the sentence", |screen| {
        let screen = screen.replace('\n', "");
        screen.contains("error: ") && screen.contains(&CHANGED[..60])
    });
    assert_eq!(saved_questions(home), [(QUESTION.to_owned(), MessageState::Complete)]);
}

#[test]
fn a_model_that_is_cut_short_ends_the_screen_with_the_chat_saved() {
    let home = Home::new();
    let model = home.model("model");
    let terminal = home.screen(&["-n", "3", "-m", model.to_str().unwrap()]);
    terminal.wait_for_text("is ready");
    ends_with_the_chat_saved(&home, &model, terminal);
}

#[test]
fn a_model_that_is_cut_short_ends_the_line_mode_too() {
    let home = Home::new();
    let model = home.model("model");
    let terminal = home.terminal(&["repl", "-n", "3", "-m", model.to_str().unwrap()]);
    terminal.wait_for_text(">");
    ends_with_the_chat_saved(&home, &model, terminal);
}

#[test]
fn what_is_said_of_it_stands_on_a_line_of_its_own_behind_half_a_reply() {
    let home = Home::new();
    let model = home.path("parrot.gguf");
    // Says one word until the model is cut under it.
    let parrot = Parrot::new(&[], &[" word"]).with("llama.context_length", u32_value(100_000));
    fs::write(&model, parrot.bytes()).unwrap();
    let mut terminal = home.terminal(&["run", "-m", model.to_str().unwrap(), "-c", "100000", "Hi"]);
    terminal.wait_for_text("word word word");
    fs::OpenOptions::new().write(true).open(&model).unwrap().set_len(0).unwrap();
    assert_eq!(ended(&mut terminal).exit_code(), 1);
    terminal.wait_for_text("error: ");
    let written = String::from_utf8(terminal.written()).unwrap();
    let (before, _) = written.split_once("error: ").unwrap();
    assert!(before.ends_with("word\r\n"), "{:?}", &before[before.len().saturating_sub(40)..]);
}
