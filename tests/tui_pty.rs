//! The real program in a real pseudo-terminal, with the default model: what a person sees and what is left behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

#[allow(dead_code, unreachable_pub, clippy::expect_used)]
#[path = "../crates/gibber-hub/testing/hub/mod.rs"]
mod hub;
#[path = "tui_pty/pulls.rs"]
mod pulls;
#[path = "tui_pty/raw_stream.rs"]
mod raw_stream;
mod support;

use std::time::{Duration, Instant};

use gibber::app::keymap::BINDINGS;
use gibber::chat::{MessageState, Role};
use gibber::store::Database;
use portable_pty::{CommandBuilder, ExitStatus};
use rustix::process::Signal;
use support::pty::{PATIENCE, Terminal, key};

/// Wide enough for the panels at the side.
const WIDE: (u16, u16) = (120, 36);
/// What every terminal has.
const USUAL: (u16, u16) = (80, 24);
/// The least that works.
const SMALL: (u16, u16) = (40, 10);

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.";
/// Continued as it stands and always with the most probable token, counting goes on until the context is full.
const ENDLESS: [&str; 3] = ["--raw", "--temp", "0"];
const OPENING: &str = "1, 2, 3, 4, 5, 6, 7,";

/// The program on a screen of its own, with a config directory of its own.
struct Chat {
    terminal: Terminal,
    home: tempfile::TempDir,
}

impl Chat {
    fn start(size: (u16, u16), arguments: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), size, arguments)
    }

    fn start_in(home: tempfile::TempDir, size: (u16, u16), arguments: &[&str]) -> Self {
        Self::start_with(home, size, arguments, "C.UTF-8")
    }

    fn start_with(home: tempfile::TempDir, size: (u16, u16), arguments: &[&str], locale: &str) -> Self {
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments);
        command.env("GIBBER_CONFIG_DIR", home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", locale);
        // An editor that changes nothing.
        command.env("EDITOR", "true");
        for variable in ["GIBBER_MODEL", "GIBBER_THREADS", "VISUAL", "NO_COLOR", "LC_ALL", "LC_CTYPE"] {
            command.env_remove(variable);
        }
        let chat = Self { terminal: Terminal::start(command, size), home };
        chat.terminal.wait_for("the full screen", |screen| screen.alternate_screen());
        chat
    }

    /// Types a line and enters it, once it stands on the screen.
    fn say(&self, line: &str) {
        self.terminal.press(line);
        // On a narrow screen the line is wrapped: its beginning is enough.
        let beginning: String = line.chars().take(20).collect();
        self.terminal.wait_for_text(&beginning);
        self.terminal.press(key::ENTER);
    }

    /// Starts a reply that does not end by itself, and waits for its first words.
    fn count_without_end(&self) {
        self.say(OPENING);
        self.wait_for_words("8, 9, 10, 11,");
    }

    /// Waits for words, wherever the lines are broken; returns the screen in one line.
    fn wait_for_words(&self, words: &str) -> String {
        flowing(&self.terminal.wait_for_screen(&format!("{words:?}"), |screen| flowing(screen).contains(words)))
    }

    fn stop(&self) {
        self.terminal.press(key::ESC);
        self.wait_for_words("stopped (/continue");
    }

    /// Leaves from wherever the focus is, while no reply is running.
    fn quit(&mut self) {
        self.terminal.press(key::CTRL_C);
        self.wait_for_words("Ctrl-C again quits");
        self.terminal.press(key::CTRL_C);
        assert!(self.ended().success());
    }

    /// Waits for the end, and checks what it leaves behind.
    fn ended(&mut self) -> ExitStatus {
        let status = self.terminal.wait_for_end();
        self.terminal.assert_restored();
        status
    }

    /// Each message of the one saved chat: who, the text, and how it ended.
    fn saved(&self) -> Vec<(Role, String, MessageState)> {
        let database = Database::open(&self.home.path().join("chats.db")).unwrap();
        let sessions = database.list().unwrap();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        let transcript = database.load(sessions[0].record.id).unwrap().transcript;
        let messages = transcript.path().into_iter();
        messages.map(|node| (node.message.role, node.message.content.clone(), node.state)).collect()
    }

    /// The saved question and the part of its reply that was saved.
    fn saved_count(&self) -> String {
        let saved = self.saved();
        let [(Role::User, question, MessageState::Complete), (Role::Assistant, reply, MessageState::Cut)] = &saved[..]
        else {
            panic!("{saved:?}");
        };
        assert_eq!(question, OPENING);
        reply.clone()
    }
}

/// The screen's words with one space between them, however the lines are broken.
fn flowing(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// How many tokens the status line counts in the running reply.
fn tokens(screen: &str) -> usize {
    let status = screen.lines().last().unwrap_or_default();
    let count = status.split(" tokens").next().and_then(|before| before.split(' ').next_back());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// Speaks, turns the temperature in the middle of the reply, stops it, leaves.
fn visit(size: (u16, u16)) {
    let mut chat = Chat::start(size, &ENDLESS);
    chat.count_without_end();
    // From the composer to the panels, which are a single line on a narrow screen.
    chat.terminal.press(key::TAB);
    chat.terminal.wait_for_screen("the sampling panel", |screen| screen.contains('▸'));
    chat.terminal.press(key::RIGHT);
    chat.terminal.wait_for_screen("the temperature", |screen| {
        screen.lines().any(|line| line.contains("temp") && line.contains("0.05"))
    });
    assert!(chat.terminal.contents().contains("Esc stop"), "the reply went on:\n{}", chat.terminal.contents());
    let shown = chat.terminal.contents();
    // More than can have been on their way, or in one draft, when the engine was told.
    chat.terminal.wait_for_screen("more of the reply", |screen| tokens(screen) > tokens(&shown) + 40);
    chat.stop();
    chat.wait_for_words("temperature 0.05, repeat-penalty 1.10 from token");
    chat.quit();
    let reply = chat.saved_count();
    assert!(reply.starts_with(" 8, 9, 10, 11,"), "{reply:?}");
}

#[test]
fn a_visit_on_a_wide_screen() {
    visit(WIDE);
}

#[test]
fn a_visit_on_a_usual_screen() {
    visit(USUAL);
}

#[test]
fn a_visit_on_a_small_screen() {
    visit(SMALL);
}

#[test]
fn nothing_but_ascii_is_written_where_the_locale_or_the_flag_says_so() {
    for (locale, arguments) in [("C", &[][..]), ("C.UTF-8", &["--ascii"])] {
        let home = tempfile::tempdir().unwrap();
        let mut chat = Chat::start_with(home, WIDE, arguments, locale);
        chat.wait_for_words("is ready");
        chat.terminal.press("\x10");
        chat.terminal.wait_for_text("Commands");
        chat.terminal.press(key::ESC);
        chat.terminal.wait_for_screen("the chat", |screen| !screen.contains("Commands"));
        chat.quit();
        assert!(chat.terminal.written().is_ascii(), "{locale} {arguments:?}");
    }
}

#[test]
fn a_question_is_answered_and_a_resize_loses_nothing() {
    let mut chat = Chat::start(WIDE, &["--temp", "0"]);
    chat.say(QUESTION);
    let screen = chat.wait_for_words(ANSWER);
    assert!(screen.contains(QUESTION) && screen.contains("Throughput"), "{screen}");
    chat.wait_for_words("stop: end of turn");
    chat.terminal.press("a word that is not sent");
    for size in [SMALL, USUAL, WIDE] {
        chat.terminal.resize(size.0, size.1);
        // The highest row is drawn to the end of the new width.
        chat.terminal.wait_for("a frame of the new size", |screen| {
            screen.cell(0, size.0 - 1).is_some_and(|cell| cell.contents() == "─")
                && screen.contents().contains("that is not sent")
        });
    }
    chat.wait_for_words(ANSWER);
    chat.terminal.press(key::CTRL_C);
    chat.terminal.wait_for_text("Ask something");
    chat.quit();
    let saved = chat.saved();
    assert_eq!(saved[1], (Role::Assistant, ANSWER.to_owned(), MessageState::Complete));
}

/// Both may be waiting when the program looks.
#[test]
fn no_key_is_left_behind_by_a_resize() {
    let mut chat = Chat::start(USUAL, &[]);
    chat.terminal.wait_for_text("Ask something");
    for (count, size) in (1..=60).zip([SMALL, USUAL].into_iter().cycle()) {
        chat.terminal.resize(size.0, size.1);
        chat.terminal.press("λ");
        chat.terminal.wait_for("each key", |screen| screen.contents().matches('λ').count() == count);
    }
    chat.terminal.press(key::CTRL_C);
    chat.terminal.wait_for_text("Ask something");
    chat.quit();
}

#[test]
fn a_resize_in_the_middle_of_a_reply_does_not_stop_it() {
    let mut chat = Chat::start(USUAL, &ENDLESS);
    chat.count_without_end();
    chat.terminal.resize(20, 5);
    chat.terminal.wait_for_text("gibber needs 30x8");
    chat.terminal.resize(SMALL.0, SMALL.1);
    chat.wait_for_words("Esc stop");
    chat.stop();
    chat.quit();
}

#[test]
fn a_reply_survives_that_the_program_is_killed() {
    let mut chat = Chat::start(USUAL, &ENDLESS);
    chat.count_without_end();
    // What stood on the screen reaches the database while the reply goes on.
    let deadline = Instant::now() + PATIENCE;
    while !chat.saved().get(1).is_some_and(|(_, reply, _)| reply.contains("8, 9, 10, 11,")) {
        assert!(Instant::now() < deadline, "not saved: {:?}", chat.saved());
        std::thread::yield_now();
    }
    chat.terminal.signal(Signal::KILL);
    chat.terminal.wait_for_end();
    let reply = chat.saved_count();

    let mut again = Chat::start_in(chat.home, USUAL, &[]);
    again.terminal.press(key::CTRL_O);
    again.terminal.wait_for_text(OPENING);
    again.terminal.press(key::ENTER);
    let end: String = flowing(&reply).chars().rev().take(15).collect();
    again.wait_for_words(&end.chars().rev().collect::<String>());
    again.quit();
}

#[test]
fn signals_leave_the_terminal_and_the_chat_in_order() {
    for (signal, number) in [(Signal::TERM, 15), (Signal::HUP, 1)] {
        let mut chat = Chat::start(USUAL, &ENDLESS);
        chat.count_without_end();
        chat.terminal.signal(signal);
        assert_eq!(chat.ended().exit_code(), 128 + number, "{signal:?}");
        assert!(chat.saved_count().starts_with(" 8, 9, 10, 11,"), "{signal:?}");
    }
}

#[test]
fn a_window_that_is_closed_loses_nothing_that_was_said() {
    let mut chat = Chat::start(USUAL, &ENDLESS);
    chat.count_without_end();
    assert_eq!(chat.terminal.hang_up().exit_code(), 128 + 1);
    assert!(chat.saved_count().starts_with(" 8, 9, 10, 11,"));
}

#[test]
fn a_terminal_that_answers_no_question_is_drawn_all_the_same() {
    let mut chat = Chat::start(WIDE, &[]);
    chat.terminal.answer_nothing();
    chat.wait_for_words("is ready");
    // The screen is blank before it is drawn again.
    let clears = |chat: &Chat| chat.terminal.written().windows(4).filter(|window| window == b"\x1b[2J").count();
    for (draft, redraw) in [("one", "\x0c"), ("two", "\x07"), ("three", "")] {
        chat.terminal.press(draft);
        chat.terminal.wait_for_text(draft);
        let before = clears(&chat);
        match redraw {
            "" => chat.terminal.signal(Signal::CONT),
            key => chat.terminal.press(key),
        }
        chat.terminal.wait_for_screen("another frame", |screen| clears(&chat) > before && screen.contains(draft));
    }
    chat.terminal.wait_for_text("> onetwothree");
    assert!(!chat.terminal.written().windows(4).any(|window| window == b"\x1b[6n"), "nothing was asked");
    chat.terminal.press(key::CTRL_C);
    chat.terminal.wait_for_text("> Ask something");
    chat.quit();
}

#[test]
fn keys_that_interrupt_the_editor_are_for_the_editor() {
    for (key, name) in [(key::CTRL_C, "INT"), ("\x1c", "QUIT")] {
        let home = tempfile::tempdir().unwrap();
        let editor = home.path().join("edit.sh");
        let script = "trap 'printf edited > \"$1\"; exit 0' NAME\necho editing\nwhile :; do sleep 0.1; done\n";
        std::fs::write(&editor, script.replace("NAME", name)).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.env("GIBBER_CONFIG_DIR", home.path());
        command.env("TERM", "xterm-256color");
        command.env("EDITOR", format!("exec sh {}", editor.display()));
        let mut terminal = Terminal::start(command, WIDE);
        terminal.wait_for_text("is ready");
        terminal.press("a draft");
        terminal.wait_for_text("> a draft");
        terminal.press("\x07");
        terminal.wait_for_text("editing");
        terminal.press(key);
        terminal.wait_for_text("> edited");
        terminal.press(key::CTRL_C);
        terminal.wait_for_text("> Ask something");
        terminal.press(key::CTRL_D);
        assert!(terminal.wait_for_end().success(), "{name}");
    }
}

#[test]
fn the_wheel_scrolls_and_never_becomes_a_key() {
    let mut chat = Chat::start(USUAL, &[]);
    chat.wait_for_words("is ready");
    chat.terminal.press("a draft");
    chat.terminal.wait_for_text("> a draft");
    let written = String::from_utf8(chat.terminal.written()).unwrap();
    assert!(written.contains("\x1b[?1007l") && written.contains("\x1b[?1000h"), "{written:?}");
    chat.terminal.press("\x1b[<64;5;5M");
    chat.wait_for_words("F3 leaves the mouse to the terminal");
    chat.terminal.press("!");
    chat.terminal.wait_for_text("> a draft!");
    chat.terminal.press("\x1bOR");
    chat.terminal.wait_for("the mouse to be given back", |screen| {
        screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    });
    chat.terminal.press(key::CTRL_C);
    chat.quit();
    let written = String::from_utf8(chat.terminal.written()).unwrap();
    assert!(written.rfind("\x1b[?1007r") > written.rfind("\x1b[?1007l"), "the wheel is as it was");
}

#[test]
fn ctrl_c_stops_then_clears_then_quits() {
    let mut chat = Chat::start(USUAL, &ENDLESS);
    chat.count_without_end();
    chat.terminal.press(key::CTRL_C);
    chat.wait_for_words("stopped (/continue");
    chat.terminal.press("half a thought");
    chat.terminal.wait_for_text("> half a thought");
    chat.terminal.press(key::CTRL_C);
    chat.terminal.wait_for_text("> Ask something");
    chat.terminal.press(key::CTRL_Z);
    chat.terminal.wait_for_text("> half a thought");
    chat.terminal.press(key::CTRL_C);
    chat.terminal.wait_for_text("> Ask something");
    chat.quit();
}

#[test]
fn the_other_ways_out_restore_the_terminal_too() {
    for keys in [key::CTRL_D, "/quit\r"] {
        let mut chat = Chat::start(USUAL, &[]);
        chat.terminal.wait_for_text("Ask something");
        chat.terminal.press(keys);
        assert!(chat.ended().success(), "{keys:?}");
    }
}

#[test]
fn a_model_that_is_not_there_is_told_on_a_terminal_in_order() {
    let mut chat = Chat::start(USUAL, &["-m", "/nowhere/model.gguf"]);
    chat.wait_for_words("/nowhere/model.gguf");
    chat.quit();
}

#[test]
fn help_has_every_key() {
    let chat = Chat::start((120, 130), &[]);
    chat.terminal.press("\x1bOP"); // F1
    chat.terminal.wait_for_screen("every key", |screen| {
        BINDINGS.iter().all(|binding| binding.keys.iter().all(|keys| screen.contains(keys)))
    });
}

#[test]
fn keys_are_on_the_screen_while_the_model_computes() {
    let chat = Chat::start(USUAL, &ENDLESS);
    chat.count_without_end();
    for end in 1..=20 {
        let written = &"abcdefghijklmnopqrst"[..end];
        let pressed = Instant::now();
        chat.terminal.press(&written[end - 1..]);
        chat.terminal.wait_for_text(&format!("> {written}"));
        // Far more than a person accepts, and far less than a loop that waits for tokens or for the disk would need.
        assert!(pressed.elapsed() < Duration::from_secs(2), "{written:?} took {:?}", pressed.elapsed());
    }
    assert!(chat.terminal.contents().contains("Esc stop"), "the reply had ended");
}

#[test]
fn nothing_in_a_paste_or_a_reply_reaches_the_terminal_raw() {
    // Random weights: at a high temperature every byte that there is comes soon.
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-gpt2");
    let mut chat = Chat::start(
        WIDE,
        &["-m", model, "--raw", "--temp", "5", "--seed", "7", "--top-k", "0", "--top-p", "1", "--min-p", "0"],
    );
    chat.terminal.wait_for_text("Ask something");
    chat.terminal.paste("evil\x1b]0;owned\x07\x1b[31m\x08\u{9b}2J\u{202e}");
    chat.terminal.wait_for_text("]0;owned");
    chat.terminal.press(key::ENTER);
    chat.wait_for_words("stop: ");
    chat.quit();
    // What the store's thread has still to write when the reply ends is written by now.
    let reply = chat.saved().remove(1).1;
    assert!(reply.chars().filter(|c| c.is_control()).count() > 3, "a tame reply: {reply:?}");
    assert_eq!(chat.terminal.requests(), Vec::<String>::new());
    assert_drawn_by_csi_alone(&chat.terminal.written());
}

/// Checks that nothing but CSI sequences controls the terminal: no other control character of either kind.
fn assert_drawn_by_csi_alone(written: &[u8]) {
    let text = String::from_utf8(written.to_vec()).unwrap();
    for (at, character) in text.char_indices().filter(|(_, character)| character.is_control()) {
        let after: String = text[at..].chars().skip(1).take(12).collect();
        assert!(character == '\x1b' && after.starts_with('['), "{character:?} before {after:?}");
    }
    assert!(!text.contains('\u{202e}'), "a mark that turns the line round");
}

#[test]
fn the_line_repl_asks_every_line_that_arrives_in_one_write() {
    for term in ["xterm-256color", "dumb"] {
        let home = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(["repl", "-n", "1"]);
        command.env("GIBBER_CONFIG_DIR", home.path());
        command.env("TERM", term);
        let mut terminal = Terminal::start(command, WIDE);
        terminal.wait_for_screen("the first line", |screen| screen.trim_end().ends_with("\n>"));
        terminal.press("One apple\rTwo pears\rThree plums\r/quit\r");
        assert!(terminal.wait_for_end().success(), "{term}");
        let database = Database::open(&home.path().join("chats.db")).unwrap();
        let chats = database.list().unwrap();
        let chat = database.load(chats[0].record.id).unwrap();
        let asked = chat.transcript.path().into_iter().filter(|node| node.message.role == Role::User);
        let asked: Vec<&str> = asked.map(|node| node.message.content.as_str()).collect();
        assert_eq!(asked, ["One apple", "Two pears", "Three plums"], "{term}");
    }
}

#[test]
fn the_line_repl_completes_commands_titles_and_paths() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("my notes.md"), "The Seine\n").unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
    command.args(["repl", "-n", "1"]);
    command.env("GIBBER_CONFIG_DIR", home.path().join("config"));
    command.env("TERM", "xterm-256color");
    command.cwd(home.path());
    let mut terminal = Terminal::start(command, WIDE);
    // What is typed before the line editor has the terminal would be the terminal's to edit.
    let prompt = |what: &str| terminal.wait_for_screen(what, |screen| screen.trim_end().ends_with("\n>"));
    let enter = |typed: &str, shown: &str| {
        terminal.press(typed);
        terminal.wait_for_text(shown);
        terminal.press(key::ENTER);
        prompt(shown)
    };
    prompt("the first line");
    enter("/und\t", "> /undo");
    // Not what only the full screen can do: that would be /theme.
    enter("/th\t", "> /think");
    enter("See @my\t", "> See @\"my notes.md\"");
    enter("/new", "> /new");
    let opened = enter("/open see\t", "> /open See @\"my notes.md\"");
    assert_eq!(opened.matches("> See @").count(), 2, "the chat is shown:\n{opened}");
    terminal.press("/read m\t");
    terminal.wait_for_text("> /read \"my notes.md\"");
    terminal.press(key::ENTER);
    terminal.wait_for_text("> my notes.md:");
    terminal.press(key::CTRL_C);
    prompt("an empty line");
    terminal.press(key::CTRL_D);
    assert!(terminal.wait_for_end().success());
}

#[test]
fn a_command_takes_the_place_of_a_question_that_the_line_repl_gives_back() {
    let home = tempfile::tempdir().unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
    command.args(["repl", "-n", "1"]);
    command.env("GIBBER_CONFIG_DIR", home.path());
    command.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(command, WIDE);
    terminal.wait_for_screen("the first line", |screen| screen.trim_end().ends_with("\n>"));
    terminal.press("One apple\r");
    terminal.wait_for_screen("the answer", |screen| screen.contains("stop:") && screen.trim_end().ends_with("\n>"));
    terminal.press("/undo\r");
    terminal.wait_for_screen("the question", |screen| screen.trim_end().ends_with("> One apple"));
    terminal.press("/redo\r");
    terminal.wait_for_screen("an empty line", |screen| screen.trim_end().ends_with("\n>"));
    terminal.press("/undo\r");
    terminal.wait_for_screen("the question", |screen| screen.trim_end().ends_with("> One apple"));
    terminal.press("?\r");
    terminal.wait_for_screen("the answer", |screen| screen.trim_end().ends_with("\n>"));
    terminal.press("/quit\r");
    assert!(terminal.wait_for_end().success());
    let database = Database::open(&home.path().join("chats.db")).unwrap();
    let chat = database.load(database.list().unwrap()[0].record.id).unwrap();
    let asked = chat.transcript.nodes().iter().filter(|node| node.message.role == Role::User);
    let asked: Vec<&str> = asked.map(|node| node.message.content.as_str()).collect();
    assert_eq!(asked, ["One apple", "One apple?"], "a command was said to the model");
}

#[test]
fn a_terminal_on_which_nothing_can_be_drawn_gets_the_line_mode() {
    for term in [Some("dumb"), Some("Network"), Some("unknown"), Some(""), None] {
        let home = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(["--temp", "0"]);
        command.env("GIBBER_CONFIG_DIR", home.path());
        match term {
            Some(term) => command.env("TERM", term),
            None => command.env_remove("TERM"),
        }
        let mut terminal = Terminal::start(command, WIDE);
        terminal.wait_for_text("the chat goes line by line");
        terminal.wait_for_text("/help lists the commands");
        terminal.wait_for_screen("the prompt", |screen| screen.trim_end().ends_with('>'));
        terminal.press(QUESTION);
        terminal.press(key::ENTER);
        terminal.wait_for_text(ANSWER);
        terminal.wait_for_screen("the next prompt", |screen| screen.trim_end().ends_with("\n>"));
        terminal.press(key::CTRL_D);
        assert!(terminal.wait_for_end().success(), "{term:?}");
        assert!(!terminal.written().contains(&b'\x1b'), "{term:?}");
    }
}

#[test]
fn a_paste_is_asked_without_its_last_line_end() {
    let mut chat = Chat::start(WIDE, &["--temp", "0"]);
    chat.terminal.paste(&format!("{QUESTION}\r"));
    chat.terminal.wait_for_text(QUESTION);
    chat.terminal.press(key::ENTER);
    chat.wait_for_words(ANSWER);
    chat.wait_for_words("end of turn");
    chat.quit();
    assert_eq!(chat.saved()[0].1, QUESTION);
}

#[test]
fn a_window_closed_on_the_line_repl_loses_nothing_that_was_said() {
    let home = tempfile::tempdir().unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
    command.args(["repl", "--raw", "--temp", "0"]);
    command.env("GIBBER_CONFIG_DIR", home.path());
    command.env("TERM", "xterm-256color");
    let mut terminal = Terminal::start(command, USUAL);
    terminal.wait_for_text("/help lists the commands");
    terminal.wait_for_screen("the prompt", |screen| screen.trim_end().ends_with("\n>"));
    terminal.press(&format!("{OPENING}\r"));
    terminal.wait_for_screen("a running reply", |screen| flowing(screen).contains("8, 9, 10, 11,"));
    assert_eq!(terminal.hang_up().exit_code(), 128 + 1);
    let database = Database::open(&home.path().join("chats.db")).unwrap();
    let chat = database.load(database.list().unwrap()[0].record.id).unwrap();
    let last = chat.transcript.path().pop().unwrap();
    assert!(last.message.content.starts_with(" 8, 9, 10, 11,"), "{:?}", last.message.content);
}

#[test]
fn the_line_repl_says_at_once_that_something_cannot_be_saved() {
    for term in ["xterm-256color", "dumb"] {
        let home = tempfile::tempdir().unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(["repl", "-n", "1"]);
        command.env("GIBBER_CONFIG_DIR", home.path());
        command.env("TERM", term);
        let mut terminal = Terminal::start(command, WIDE);
        let last_line = |wanted: &str| {
            terminal.wait_for_screen(wanted, |screen| screen.trim_end().ends_with(&format!("\n{wanted}")))
        };
        last_line(">");
        let _ = Database::open(&home.path().join("chats.db")).unwrap();
        let other = rusqlite::Connection::open(home.path().join("chats.db")).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        terminal.press("One apple\r");
        terminal.wait_for_text("in use by another program");
        let draws = term != "dumb";
        if draws {
            terminal.press("half a line");
            last_line("> half a line");
        }
        other.execute_batch("ROLLBACK").unwrap();
        terminal.wait_for_text("saved now");
        last_line(if draws { "> half a line" } else { ">" });
        if draws {
            terminal.press(key::CTRL_C);
            last_line(">");
        }
        terminal.press(key::CTRL_D);
        assert_eq!(terminal.wait_for_end().exit_code(), 0, "{term}");
        assert_eq!(terminal.contents().matches("saved now").count(), 1, "once:\n{}", terminal.contents());
    }
}

/// Nobody reads what it prints: the signal comes while it does.
#[test]
fn a_signal_that_comes_while_the_line_repl_prints_still_ends_it() {
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
    command.args(["repl", "-n", "1", "--config-dir"]).arg(home.path());
    let chat = serde_json::json!([{"role": "user", "content": "Long?"}, {"role": "assistant", "content": "long ".repeat(60_000)}]);
    let file = home.path().join("long.json");
    std::fs::write(&file, chat.to_string()).unwrap();
    let mut program = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(format!("/import {}\n/open Long?\n", file.display()).as_bytes()).unwrap();
    let mut stdout = program.stdout.take().unwrap();
    let deadline = Instant::now() + PATIENCE;
    // A pipe of a few thousand bytes is full.
    while rustix::io::ioctl_fionread(&stdout).unwrap() < 4096 {
        assert!(Instant::now() < deadline, "nothing is printed");
        std::thread::yield_now();
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&program), Signal::TERM).unwrap();
    std::thread::spawn(move || stdout.read_to_end(&mut Vec::new()));
    // The pipe stays open: only the signal can end it.
    let (sender, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(program.wait().unwrap()));
    let status = ended.recv_timeout(PATIENCE).expect("it has not ended");
    assert_eq!(status.code(), Some(143));
    drop(stdin);
}
