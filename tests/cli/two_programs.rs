//! Several programs with one database of chats, and a database that goes away.

use std::process::{Child, ChildStdin};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::*;

/// As long as a test waits for something that has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// A line REPL with a tiny model, line by line.
struct Repl {
    child: Child,
    stdin: ChildStdin,
    said: Receiver<String>,
}

impl Repl {
    fn start(gibber: &Gibber) -> Self {
        let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
        let mut command = gibber.command(&["repl", "-m", model, "--chat-template", "plain", "-n", "3", "--seed", "7"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (sender, said) = channel();
        let [stdout, stderr]: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in [stdout, stderr] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                BufReader::new(stream).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
            });
        }
        let stdin = child.stdin.take().unwrap();
        let repl = Self { child, stdin, said };
        repl.until("/help lists the commands");
        repl
    }

    /// Reads until a line has `wanted` in it; returns what was read.
    fn until(&self, wanted: &str) -> String {
        let mut text = String::new();
        while let Ok(line) = self.said.recv_timeout(PATIENCE) {
            text = text + &line + "\n";
            if line.contains(wanted) {
                return text;
            }
        }
        panic!("nobody says {wanted}:\n{text}");
    }

    fn say(&mut self, line: &str, wanted: &str) -> String {
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.until(wanted)
    }

    /// Asks, and waits for the statistics behind the answer.
    fn ask(&mut self, question: &str) -> String {
        self.say(question, " tok · ")
    }

    fn end(mut self) -> String {
        drop(self.stdin);
        let text = self.said.iter().collect::<Vec<_>>().join("\n");
        self.child.wait().unwrap();
        text
    }
}

/// Waits until the first chat of the list has so many messages, none of which is being generated.
fn wait_for(gibber: &Gibber, messages: i64) {
    let until = std::time::Instant::now() + PATIENCE;
    let count = "SELECT count(*) FROM messages WHERE state != 'streaming'";
    let stored =
        || rusqlite::Connection::open(gibber.path("chats.db"))?.query_row(count, [], |row| row.get::<_, i64>(0));
    while stored().ok() != Some(messages) {
        assert!(std::time::Instant::now() < until, "{messages} messages: {:?}", stored());
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn exported(gibber: &Gibber) -> Value {
    serde_json::from_str(&gibber.stdout(&["sessions", "export", "1"])).unwrap()
}

fn questions(chat: &Value) -> Vec<&str> {
    let messages = chat["messages"].as_array().unwrap().iter();
    messages.filter(|message| message["role"] == "user").map(|message| message["content"].as_str().unwrap()).collect()
}

#[test]
fn two_programs_in_one_chat_take_turns_and_lose_nothing() {
    let gibber = Gibber::new();
    let mut one = Repl::start(&gibber);
    one.ask("First");
    one.say("/rename T", "is called");
    wait_for(&gibber, 2);
    let mut two = Repl::start(&gibber);
    two.say("/open T", "First");
    two.ask("From two");
    wait_for(&gibber, 4);
    let said = one.ask("From one");
    assert!(said.contains("another program has added 2 messages to this chat\n"), "{said}");
    one.say("/rename TA", "is called");
    wait_for(&gibber, 6);
    let said = two.ask("From two again");
    assert!(said.contains("another program has added 2 messages"), "{said}");
    one.end();
    two.end();
    let chat = exported(&gibber);
    assert_eq!(questions(&chat), ["First", "From two", "From one", "From two again"]);
    assert_eq!(chat["title"], "TA");
    let shown = gibber.stdout(&["sessions", "show", "1"]);
    assert!(questions(&chat).iter().all(|question| shown.contains(question)), "they are one path: {shown}");
    let mut ids: Vec<u64> =
        chat["messages"].as_array().unwrap().iter().map(|message| message["id"].as_u64().unwrap()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 8);
}

#[test]
fn a_database_that_is_deleted_under_a_program_is_made_anew() {
    let gibber = Gibber::new();
    let mut repl = Repl::start(&gibber);
    repl.ask("Hi");
    wait_for(&gibber, 2);
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(gibber.path(&format!("chats.db{ending}")));
    }
    let said = repl.ask("Again");
    let said = said + &repl.end();
    assert!(said.contains("was deleted or moved away") && said.contains("made anew"), "{said}");
    let chat = exported(&gibber);
    assert_eq!((questions(&chat), chat["title"].as_str()), (vec!["Hi", "Again"], Some("Hi")));
    assert_eq!(chat["messages"].as_array().unwrap().len(), 4);
}

#[test]
fn a_database_that_is_replaced_keeps_what_is_in_it_and_gains_the_chat() {
    let gibber = Gibber::new();
    for question in ["Old one", "Old two"] {
        let mut repl = Repl::start(&gibber);
        repl.ask(question);
        repl.end();
    }
    let (database, backup) = (gibber.path("chats.db"), gibber.path("backup.db"));
    fs::rename(&database, &backup).unwrap();
    let mut repl = Repl::start(&gibber);
    repl.ask("Hi");
    wait_for(&gibber, 2);
    // The logs of the one before stay where they are, as after `mv`.
    fs::rename(&backup, &database).unwrap();
    let said = repl.ask("Again");
    let said = said + &repl.end();
    assert!(said.contains("was replaced while gibber was running"), "{said}");
    let chats = json_lines(&gibber.stdout(&["sessions", "list", "--json"]));
    let mut titles: Vec<_> = chats.iter().map(|chat| chat["title"].as_str().unwrap()).collect();
    titles.sort_unstable();
    assert_eq!(titles, ["Hi", "Old one", "Old two"]);
    let found = gibber.stdout(&["sessions", "search", "Again"]);
    assert!(found.contains("Again"), "{found}");
}

#[test]
fn a_chat_that_another_program_deletes_is_saved_again_where_it_goes_on() {
    let gibber = Gibber::new();
    let mut repl = Repl::start(&gibber);
    repl.ask("Hi");
    wait_for(&gibber, 2);
    gibber.stdout(&["sessions", "delete", "1"]);
    let said = repl.ask("Again");
    let said = said + &repl.end();
    assert!(said.contains("another program has deleted the chat “Hi”"), "{said}");
    assert_eq!(questions(&exported(&gibber)), ["Hi", "Again"]);
}

#[test]
fn a_deleted_chat_comes_back_once_though_another_program_saved_it() {
    let gibber = Gibber::new();
    let mut one = Repl::start(&gibber);
    one.ask("Hi");
    one.say("/rename T", "is called");
    wait_for(&gibber, 2);
    let mut two = Repl::start(&gibber);
    two.say("/open T", "Hi");
    two.ask("From two");
    wait_for(&gibber, 4);
    one.say("/delete", "/undo brings it back");
    wait_for(&gibber, 0);
    two.ask("Two again");
    wait_for(&gibber, 6);
    one.say("/undo\n/show", "max-tokens");
    one.ask("From one");
    wait_for(&gibber, 8);
    one.end();
    two.end();
    assert_eq!(questions(&exported(&gibber)), ["Hi", "From two", "Two again", "From one"]);
}

#[test]
fn a_chat_begun_with_new_says_its_model() {
    let gibber = Gibber::new();
    let mut repl = Repl::start(&gibber);
    repl.ask("One");
    repl.say("/new\n/show", "max-tokens");
    repl.ask("Two");
    repl.end();
    let chats = json_lines(&gibber.stdout(&["sessions", "list", "--json"]));
    assert_eq!(chats.len(), 2);
    assert!(chats.iter().all(|chat| chat["model"] == chats[0]["model"] && chat["model"] != ""), "{chats:?}");
}
