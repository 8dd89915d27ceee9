//! What reaches a terminal, byte for byte, when every text from outside is hostile: names of models, files, templates,
//! presets and chats, what chats and the history have in them, arguments, tokens, errors that quote any of it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use portable_pty::CommandBuilder;

use tempfile::TempDir;

use crate::support::pty::{Terminal, key};

/// Titles, clipboard writes, conceal, a C1 introducer, directions of writing, a carriage return before a lie, a line
/// separator, a byte order mark.
const HOSTILE: &str = "evil\x1b]2;x\x07\x1b]52;c;aGk=\x1b\\\x1b[8m\x08\u{9b}2J\u{9d}0;y\u{9c}\u{202e}\u{2066}\u{200f}\rFORGED\u{7f}\u{2028}\u{feff}end";
/// What a file name can hold of it.
const NAME: &str = "evil\x1b]2;x\x07\x1b[8m\u{9b}2J\u{202e}\rFORGED\nFORGED\u{7f}end";
/// As long as the name in the model's file.
const MODEL: &str = "\x1b]2;\x07\u{202e}\u{9b}";

/// Follows a picture in the line of the line editor.
const MARK: char = '\u{fe02}';

/// A config directory in which everything that has a name has a hostile one.
struct Hostile {
    home: TempDir,
    model: PathBuf,
    text: PathBuf,
}

impl Hostile {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = |name: String| home.path().join(name);
        let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama.Q8_0.gguf");
        let mut bytes = fs::read(fixture).unwrap();
        let at = bytes.windows(10).position(|window| window == b"Tiny Llama").unwrap();
        bytes[at..at + 10].copy_from_slice(MODEL.as_bytes());
        fs::create_dir(path("models".into())).unwrap();
        fs::create_dir(path("themes".into())).unwrap();
        let model = path(format!("models/{NAME}.gguf"));
        fs::write(&model, bytes).unwrap();
        fs::write(path(format!("themes/{NAME}.toml")), format!("{HOSTILE} = 1")).unwrap();
        let text = path(format!("{NAME}.txt"));
        fs::write(&text, HOSTILE).unwrap();
        // Names with control characters are not offered.
        fs::write(path("evil\u{202e}.txt".into()), "text").unwrap();
        let template = format!("{{{{ raise_exception({}) }}}}", serde_json::to_string(HOSTILE).unwrap());
        fs::write(path(format!("{NAME}.jinja")), template).unwrap();
        let quoted = toml::Value::String(HOSTILE.into());
        let system =
            format!("[chat]\nsystem = \"\\u001b[8m\"\nstop = [{quoted}]\n[presets.{quoted}]\ntemperature = 0.5\n");
        fs::write(path("config.toml".into()), system).unwrap();
        let history = serde_json::to_string(&format!("asked {HOSTILE}")).unwrap();
        fs::write(path("history.jsonl".into()), format!("{history}\n")).unwrap();
        let content = serde_json::to_string(HOSTILE).unwrap();
        let title = serde_json::to_string(NAME).unwrap();
        let chat = format!(
            r#"{{"format":"gibber chat","version":1,"title":{title},"model":{content},"system":{content},"created":1,"head":1,
            "messages":[{{"id":0,"parent":null,"role":"user","content":{content},"state":"complete"}},
                        {{"id":1,"parent":0,"role":"assistant","content":{content},"state":"complete"}}]}}"#
        );
        fs::write(path("chat.json".into()), chat).unwrap();
        let hostile = Self { model, text, home };
        hostile.quietly(&["sessions", "import", &hostile.path("chat.json")]);
        hostile
    }

    fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    fn model(&self) -> &str {
        self.model.to_str().unwrap()
    }

    /// Runs a command on pipes; returns stdout.
    fn quietly(&self, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments).stdin(Stdio::null()).env("GIBBER_CONFIG_DIR", self.home.path());
        command.env("HOME", self.home.path()).output().unwrap().stdout
    }

    fn start(&self, arguments: &[&str]) -> Terminal {
        let mut command = CommandBuilder::new("sh");
        // The mark comes after all that the program has written.
        command.args(["-c", r#""$0" "$@"; code=$?; printf '\nthe end\n'; exit $code"#, env!("CARGO_BIN_EXE_gibber")]);
        command.args(arguments);
        command.cwd(self.home.path());
        command.env("GIBBER_CONFIG_DIR", self.home.path());
        command.env("HOME", self.home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        for variable in ["GIBBER_MODEL", "GIBBER_THREADS", "LC_ALL", "LC_CTYPE", "HF_HOME", "OLLAMA_MODELS"] {
            command.env_remove(variable);
        }
        Terminal::start(command, (100, 60))
    }

    /// Runs a command on a terminal to its end; returns what it wrote, which is harmless.
    fn run(&self, arguments: &[&str]) -> String {
        let mut terminal = self.start(arguments);
        terminal.wait_for_text("the end");
        terminal.wait_for_end();
        harmless(&terminal.written(), &format!("{arguments:?}"))
    }
}

/// Fails on anything that steers a terminal but the CSI sequences that this program draws with.
fn harmless(written: &[u8], what: &str) -> String {
    let text = String::from_utf8(written.to_vec()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let around =
        |at: usize| text[..at].chars().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<String>();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let is_harmless = match character {
            '\x1b' => characters.next_if(|(_, next)| *next == '[').is_some(),
            '\n' | '\r' | '\t' => true,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' => false,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}' => false,
            other => !other.is_control(),
        };
        assert!(is_harmless, "{what}: {character:?} after {:?}", around(at));
    }
    // Nothing here is concealed or written over.
    assert!(!text.contains("\x1b[8m") && !text.contains("\rFORGED"), "{what}: {text:?}");
    text
}

#[test]
fn replies_and_what_is_said_about_them_are_harmless() {
    let hostile = Hostile::new();
    let (model, text) = (hostile.model(), hostile.text.to_str().unwrap());
    let short = ["run", "-v", "--raw", "-n", "40", "--temp", "5", "-s", "3", "-m", model];
    let said = hostile.run(&[&short[..], &[HOSTILE]].concat());
    assert!(said.contains("FORGED FORGED␡end · llama"), "{said:?}");
    let lines = hostile.run(&[&short[..], &["--json", HOSTILE]].concat());
    assert!(lines.contains(r#""type":"done""#), "{lines:?}");
    for arguments in [
        &["run", "-m", model, "-n", "1", "--chat-template", &hostile.path(&format!("{NAME}.jinja")), "x"][..],
        &["run", "-m", model, "-n", "1", "--chat-template", HOSTILE, "x"],
        &["run", "-m", HOSTILE, "x"],
        &["run", "-f", HOSTILE, "x"],
        &["score", "-v", "-m", model, text],
        &["score", "--json", "-m", model, text],
        &["score", HOSTILE],
        &["tokenize", "-v", "-m", model, HOSTILE],
        &["tokenize", "--json", "-m", model, HOSTILE],
        &["bench", "-v", "-m", model, "-p", "4", "-n", "2", "-r", "1"],
        &["bench", "--json", "-m", model, "-p", "4", "-n", "2", "-r", "1"],
        &["bench", "--synthetic", HOSTILE],
    ] {
        assert!(!hostile.run(arguments).is_empty(), "{arguments:?}");
    }
}

#[test]
fn arguments_that_are_wrong_are_quoted_harmlessly() {
    let hostile = Hostile::new();
    let flag = format!("--{HOSTILE}");
    for arguments in [
        &[HOSTILE][..],
        &[&flag],
        &["run", &flag, "x"],
        &["run", "--temp", HOSTILE],
        &["run", "--seed", HOSTILE],
        &["run", "--lookup", HOSTILE],
        &["run", "--quantize", HOSTILE],
        &["run", "-ctk", HOSTILE],
        &["completions", HOSTILE],
        &["--config-dir", HOSTILE, "config", "check"],
    ] {
        let said = hostile.run(arguments);
        assert!(said.contains("evil") && said.contains('␛'), "{arguments:?}: {said:?}");
    }
    // The help has clap's styles.
    assert!(hostile.run(&["--help"]).contains("\x1b["));
}

#[test]
fn lists_have_one_row_for_each_name() {
    let hostile = Hostile::new();
    let target = hostile.path(&format!("{HOSTILE}.gguf"));
    for arguments in [
        &["models", "list"][..],
        &["models", "list", "--json"],
        &["models", "info", hostile.model()],
        &["models", "quantize", "-v", "--type", "q4_0", hostile.model(), &target],
        &["sessions", "list"],
        &["sessions", "list", "--json"],
        &["sessions", "search", "FORGED"],
        &["sessions", "search", "--json", "FORGED"],
        &["sessions", "import", &hostile.path("chat.json")],
    ] {
        let said = hostile.run(arguments);
        assert!(said.contains("FORGED") && !said.contains("\nFORGED"), "{arguments:?}: {said:?}");
    }
    for arguments in [
        &["sessions", "show", "1"][..],
        &["sessions", "export", "1"],
        &["sessions", "export", "1", &format!("{HOSTILE}.md")],
        &["sessions", "show", HOSTILE],
        &["sessions", "delete", "1"],
        &["config", "show"],
        &["config", "check"],
        &["config", "path"],
    ] {
        assert!(!hostile.run(arguments).is_empty(), "{arguments:?}");
    }
}

#[test]
fn what_goes_into_a_pipe_is_what_it_is() {
    let hostile = Hostile::new();
    let shown = String::from_utf8(hostile.quietly(&["sessions", "show", "1"])).unwrap();
    assert!(shown.contains(HOSTILE), "{shown:?}");
    let export = ["sessions", "export", "1"];
    let piped: serde_json::Value = serde_json::from_slice(&hostile.quietly(&export)).unwrap();
    assert_eq!(piped["messages"][0]["content"], HOSTILE);
    let on_terminal = hostile.run(&export);
    let json = on_terminal.split("\r\nthe end").next().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(json).unwrap(), piped);
}

/// Until then the terminal itself takes the keys.
fn wait_for_prompt(repl: &Terminal) {
    repl.wait_for_screen("the prompt", |screen| screen.trim_end().ends_with("\n>"));
}

#[test]
fn the_line_repl_recalls_harmlessly_and_sends_what_was_meant() {
    let hostile = Hostile::new();
    let mut repl = hostile.start(&["repl", "-v", "-n", "2", "-sys", "x", "-m", hostile.model()]);
    repl.wait_for_text("/help lists the commands");
    wait_for_prompt(&repl);
    repl.press("\x1b[A");
    repl.wait_for_text(&format!("asked evil␛{MARK}]2;x␇{MARK}"));
    // Something before it, something after it, and it is asked.
    repl.press("\x01well \x05!\r");
    repl.wait_for_text("tok/s");
    wait_for_prompt(&repl);
    repl.press("\x12asked");
    repl.wait_for_text("(reverse-i-search)`asked': well asked evil␛");
    repl.press("\x07");
    for (line, shown) in [
        ("/model \t", "/model"),
        ("/open \t", "/open"),
        ("/preset \t", "/preset"),
        ("/read evil\t", "/read evil<U+202E>"),
    ] {
        repl.press(&format!("\x15{line}"));
        repl.wait_for_text(shown);
    }
    repl.press("\x15");
    for line in ["/stats", "/show", "/prompt", "/template", "/preset", "/theme", "/model nosuch", "/tokens evil"] {
        repl.press(&format!("{line}\r"));
        repl.wait_for_screen(line, |screen| {
            screen.contains(&format!("> {line}\n")) && screen.trim_end().ends_with("\n>")
        });
    }
    repl.press("/search FORGED\r");
    repl.wait_for_text("number of the chat");
    repl.press("1\r");
    wait_for_prompt(&repl);
    repl.paste("pasted \u{9b}2J\u{202e}\x08 text");
    repl.wait_for_text("[and 3 control characters]");
    repl.press("\x15/edit\r");
    // As the line editor draws it: without the mark it stands above, in the chat that was opened.
    repl.wait_for_screen("the question", |screen| {
        screen.rsplit("\n> ").next().is_some_and(|line| line.contains(&format!("evil␛{MARK}")))
    });
    repl.press("\x15");
    repl.press(key::CTRL_D);
    assert!(repl.wait_for_end().success());
    harmless(&repl.written(), "repl");
    let history = fs::read_to_string(hostile.home.path().join("history.jsonl")).unwrap();
    let asked: String = serde_json::from_str(history.lines().nth(1).unwrap()).unwrap();
    assert_eq!(asked, format!("well asked {HOSTILE}!"));
}

#[test]
fn the_full_screen_shows_hostile_texts_harmlessly() {
    let hostile = Hostile::new();
    let mut chat = hostile.start(&["-n", "3", "-sys", "x", "-m", hostile.model()]);
    chat.wait_for_text("is ready");
    chat.press("\x1b[A");
    chat.wait_for_text("asked evil␛]2;x␇");
    chat.press(key::CTRL_C);
    chat.paste(&format!("pasted {}", HOSTILE.replace('\x1b', "")));
    chat.wait_for_text("pasted evil");
    chat.press(key::ENTER);
    chat.wait_for_text("stop: ");
    chat.press("\x14");
    chat.wait_for_text("Token");
    chat.press(key::ESC);
    chat.wait_for_screen("the chat", |screen| !screen.contains("Token 3 of"));
    chat.press("\x10");
    chat.wait_for_text("Commands");
    chat.press("evil");
    chat.wait_for_text("> evil");
    chat.press(key::CTRL_C);
    chat.wait_for_screen("the chat", |screen| !screen.contains("Commands"));
    chat.press(key::CTRL_O);
    chat.wait_for_text("FORGED FORGED␡end");
    chat.press(key::ENTER);
    // Which of the two is the first depends on whether this one is saved by now.
    chat.wait_for_screen("the chat that was opened", |screen| !screen.contains("Saved chats"));
    for line in ["/model \t", "/read evil\t", "/preset \t", "/theme \t"] {
        chat.press(line);
        chat.wait_for_text(line.trim());
        chat.press(key::CTRL_C);
    }
    chat.press("\x15/quit\r");
    assert!(chat.wait_for_end().success());
    chat.assert_restored();
    harmless(&chat.written(), "full screen");
}
