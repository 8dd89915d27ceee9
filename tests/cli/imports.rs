//! Files of chats that anybody may have written.

use super::*;

/// What an import of `content` says, and the chat as it is exported again.
fn imported(content: impl AsRef<[u8]>) -> (String, Value) {
    let gibber = Gibber::new();
    let file = gibber.write("talk.json", content);
    let said = gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    assert_eq!(gibber.stdout(&["sessions", "list"]).lines().count(), 1);
    (said, serde_json::from_str(&gibber.stdout(&["sessions", "export", "1"])).unwrap())
}

/// The texts of the path on screen.
fn shown(chat: &Value) -> Vec<String> {
    let messages = chat["messages"].as_array().unwrap();
    let mut path = Vec::new();
    let mut next = chat["head"].clone();
    while let Some(message) = messages.iter().find(|message| !next.is_null() && message["id"] == next) {
        path.insert(0, message["content"].as_str().unwrap().to_owned());
        next = message["parent"].clone();
    }
    path
}

fn ours(head: &str, messages: &str) -> String {
    format!(r#"{{"format":"gibber chat","version":1,"title":"t","head":{head},"messages":[{messages}]}}"#)
}

fn message(id: &str, parent: &str, content: &str) -> String {
    format!(r#"{{"id":{id},"parent":{parent},"role":"user","content":"{content}","state":"complete"}}"#)
}

#[test]
fn whatever_the_ids_are_the_chat_is_there_and_goes_on() {
    let edge = message("4294967295", "null", "a");
    let cases: [(String, &[&str]); 12] = [
        (ours("4294967295", &edge), &["a"]),
        (ours("-1", &[message("-7", "null", "a"), message("-1", "-7", "b")].join(",")), &["a", "b"]),
        (ours("1.5", &[message("0.5", "null", "a"), message("1.5", "0.5", "b")].join(",")), &["a", "b"]),
        (ours("\"y\"", &[message("\"x\"", "null", "a"), message("\"y\"", "\"x\"", "b")].join(",")), &["a", "b"]),
        (ours("1", &[message("\"0\"", "null", "a"), message("1.0", "0", "b")].join(",")), &["a", "b"]),
        (ours("1e300", &[message("1e299", "null", "a"), message("1e300", "1e299", "b")].join(",")), &["a", "b"]),
        (ours("null", &[message("0", "null", "a"), message("1", "0", "b")].join(",")), &["a", "b"]),
        (ours("77", &[message("0", "null", "a"), message("1", "0", "b")].join(",")), &["a", "b"]),
        (ours("5", &message("5", "99", "a")), &["a"]),
        (ours("1", &[message("1", "0", "b"), message("0", "null", "a")].join(",")), &["a", "b"]),
        (ours("null", &[message("0", "1", "a"), message("1", "0", "b")].join(",")), &["b", "a"]),
        (ours("null", &[message("1", "null", "a"), message("1", "1", "b")].join(",")), &["a", "b"]),
    ];
    for (content, expected) in cases {
        let chat = imported(&content).1;
        assert_eq!(shown(&chat), expected, "{content}");
        let ids: Vec<u64> = chat["messages"].as_array().unwrap().iter().map(|m| m["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>(), "{content}");
    }
}

#[test]
fn a_very_long_chat_comes_back_as_it_was() {
    let messages: Vec<String> =
        (0..30_000).map(|id| message(&id.to_string(), &(i64::from(id) - 1).to_string(), &id.to_string())).collect();
    let chat = imported(ours("29999", &messages.join(","))).1;
    let messages = chat["messages"].as_array().unwrap();
    assert_eq!((messages.len(), &messages[29_999]["parent"]), (30_000, &29_998.into()));
}

#[test]
fn a_title_makes_no_rows_of_its_own() {
    let title = r#""title":"a\nb\u001b[31m\u009b\u202e  c""#;
    let content = ours("null", &message("0", "null", "x")).replace(r#""title":"t""#, title);
    let (said, chat) = imported(content);
    assert_eq!((said.lines().count(), &chat["title"]), (1, &"a b [31m c".into()));
    let long = ours("0", &message("0", "null", "x")).replace(r#""t""#, &format!("\"{}\"", "ä".repeat(5000)));
    assert_eq!(imported(long).1["title"].as_str().unwrap().chars().count(), 201);
    let model = ours("0", &message("0", "null", "x")).replace(r#""title""#, r#""model":"m\n   2  forged","title""#);
    assert_eq!(imported(model).1["model"], "m 2 forged");
}

#[test]
fn a_chat_without_a_title_or_a_date_gets_them() {
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let odd = ["null", "0", "-5", "\"yesterday\"", "1e300", "[]"].map(|created| {
        let chat = ours("0", &message("0", "null", "Why is it so?"));
        chat.replace(r#""title":"t""#, &format!(r#""title":null,"created":{created}"#))
    });
    let list = r#"[{"role":"user","content":"Why is it so?"}]"#.to_owned();
    for content in odd.into_iter().chain([list]) {
        let chat = imported(&content).1;
        assert_eq!(chat["title"], "Why is it so?", "{content}");
        assert!((before..before + 3600).contains(&chat["created"].as_u64().unwrap()), "{content}: {}", chat["created"]);
    }
    let dated = ours("0", &message("0", "null", "x")).replace(r#""title""#, r#""created":1700000000.5,"title""#);
    assert_eq!(imported(dated).1["created"], 1_700_000_000);
    let silent = ours("0", &message("0", "null", " ")).replace(r#""t""#, r#""""#);
    assert_eq!(imported(silent).1["title"], "talk", "the name of the file");
}

#[test]
fn what_other_programs_write_is_read() {
    let message = r#"{"role":"user","content":"Hi"},{"role":"assistant","content":"Yes\r\nNo"}"#;
    let parts = r#"[{"role":"developer","content":[{"type":"text","text":"Be brief."}]},
        {"role":"user","content":[{"type":"input_text","text":"Hi"},{"type":"image_url","image_url":{"url":"x"}}]},
        {"role":"assistant","content":null,"tool_calls":[]},
        {"author":"x","role":"assistant","content":{"content_type":"text","parts":["one","two"]}}]"#;
    let bytes_of = |text: &str| text.as_bytes().to_vec();
    let cases: [(Vec<u8>, &[&str]); 6] = [
        (bytes_of(&format!("\u{feff}[{message}]")), &["Hi", "Yes\r\nNo"]),
        (bytes_of(&format!("\r\n[{message}]\r\n").replace("},{", "},\r\n\t{")), &["Hi", "Yes\r\nNo"]),
        (bytes_of(&format!(r#"{{"model":"x","more":[1],"messages":[{message}]}}"#)), &["Hi", "Yes\r\nNo"]),
        (bytes_of(&format!(r#"[{{"messages":[{message}]}}]"#)), &["Hi", "Yes\r\nNo"]),
        (bytes_of(parts), &["Hi\n[image_url]", "", "one\ntwo"]),
        (bytes_of(r#"[{"role":"USER","content":""},{"role":"assistant","content":"x"}]"#), &["", "x"]),
    ];
    for (content, expected) in cases {
        assert_eq!(shown(&imported(&content).1), expected, "{}", String::from_utf8_lossy(&content));
    }
    assert_eq!(imported(parts).1["system"], "Be brief.");
    let node = |name: &str, parent: &str, role: &str, time: u32, text: &str| {
        format!(
            r#""{name}":{{"id":"{name}","parent":{parent},"children":[],"message":{{"author":{{"role":"{role}"}},
            "create_time":{time},"content":{{"content_type":"text","parts":["{text}"]}}}}}}"#
        )
    };
    let nodes = [
        r#""root":{"id":"root","message":null,"parent":null,"children":["a"]}"#.to_owned(),
        node("z", "\"root\"", "user", 1, "Hi"),
        node("tool", "\"z\"", "tool", 2, "{}"),
        node("b", "\"tool\"", "assistant", 3, "first"),
        node("a", "\"tool\"", "assistant", 4, "second"),
    ];
    let export = format!(
        r#"[{{"title":"T","create_time":1700000000.25,"current_node":"b","mapping":{{{}}}}}]"#,
        nodes.join(",")
    );
    let chat = imported(export).1;
    assert_eq!(shown(&chat), ["Hi", "first"]);
    assert_eq!((&chat["created"], chat["messages"].as_array().unwrap().len()), (&1_700_000_000.into(), 3));
}

#[test]
fn what_cannot_be_read_is_said_with_its_place_in_words_of_our_own() {
    let utf16 = "[]".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let long = "x".repeat(50_000);
    let deep = "[".repeat(100_000);
    let cases: Vec<(Vec<u8>, String)> = [
        (String::new(), "it is empty"),
        ("\u{feff} \n".to_owned(), "it is empty"),
        ("[{\"role\":\"user\",\"content\":\"x\"},]".to_owned(), "a comma stands before `]`"),
        ("{\"messages\":[],}".to_owned(), "a comma stands before `}`"),
        ("[\n{\"role\":\"us".to_owned(), "it ends in the middle, on line 2"),
        ("[{'role':1}]".to_owned(), "double quotes"),
        ("[\n// none\n]".to_owned(), "JSON has no comments (line 2"),
        ("[\"a\nb\"]".to_owned(), "a line break"),
        ("[NaN]".to_owned(), "`N` cannot stand there (line 1, column 2)"),
        ("hello".to_owned(), "`h` cannot stand there (line 1"),
        ("[] []".to_owned(), "`[` cannot stand there"),
        (deep, "nested too deeply"),
        ("7".to_owned(), "a list of messages with `role`"),
        ("[]".to_owned(), "it has no messages"),
        ("[{\"role\":\"system\",\"content\":\"x\"}]".to_owned(), "it has no messages"),
        ("[1]".to_owned(), "message 1 is a number"),
        ("[{\"role\":\"user\"}]".to_owned(), "message 1 has no `content`"),
        ("[{\"role\":\"user\",\"content\":5}]".to_owned(), "the `content` of message 1 is a number"),
        ("[{\"role\":7,\"content\":\"\"}]".to_owned(), "the `role` of message 1 is a number"),
        (format!("[{{\"role\":\"{long}\",\"content\":\"\"}}]"), "message 1 has the `role` \"xxx"),
        ("{\"messages\":{}}".to_owned(), "`messages` are an object"),
        ("[{\"messages\":[]},{\"messages\":[]}]".to_owned(), "it holds 2 chats"),
        ("{\"format\":\"gibber chat\",\"version\":\"x\",\"messages\":[]}".to_owned(), "its `version` is a text"),
    ]
    .into_iter()
    .map(|(content, expected)| (content.into_bytes(), expected.to_owned()))
    .chain([
        ([&[0xff, 0xfe], &utf16[..]].concat(), "UTF-16: save it as UTF-8".to_owned()),
        (utf16, "UTF-16: save it as UTF-8".to_owned()),
        (b"[\n\"\xff\"]".to_vec(), "line 2 is not UTF-8".to_owned()),
    ])
    .collect();
    let gibber = Gibber::new();
    for (content, expected) in cases {
        let file = gibber.write("talk.json", &content);
        let error = failure(&gibber.run(&["sessions", "import", file.to_str().unwrap()]), 1);
        let start: String = String::from_utf8_lossy(&content).chars().take(80).collect();
        assert!(error.contains("talk.json: ") && error.contains(&expected), "{start}: {error}");
        assert!(error.len() < 500, "{start}: {error}");
        for word in ["expected", "EOF", "trailing", "recursion", "missing field", "invalid", "untagged"] {
            assert!(!error.contains(word), "{word}: {error}");
        }
        assert_eq!(gibber.stdout(&["sessions", "list"]), "", "{start}");
    }
    let folder = failure(&gibber.run(&["sessions", "import", gibber.directory.path().to_str().unwrap()]), 1);
    assert!(folder.contains("it is a folder"), "{folder}");
}

#[test]
fn messages_that_do_not_say_what_they_answer_are_in_their_order() {
    let bare = |role: &str, content: &str| format!(r#"{{"role":"{role}","content":"{content}"}}"#);
    let messages = [bare("user", "a"), bare("assistant", "b"), bare("user", "c")].join(",");
    assert_eq!(shown(&imported(ours("2", &messages)).1), ["a", "b", "c"]);
}

#[test]
fn a_message_a_line_is_a_list_of_messages() {
    let lines = "{\"role\": \"system\", \"content\": \"Brief.\"}\n{\"role\": \"user\", \"content\": \"a\"}\r\n\n{\"role\": \"assistant\", \"content\": \"b\"}\n";
    let chat = imported(lines).1;
    assert_eq!((shown(&chat), &chat["system"]), (vec!["a".to_owned(), "b".to_owned()], &"Brief.".into()));
    let gibber = Gibber::new();
    let chats = "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n".repeat(3);
    let file = gibber.write("chats.jsonl", chats);
    let error = failure(&gibber.run(&["sessions", "import", file.to_str().unwrap()]), 1);
    assert!(error.contains("it holds 3 chats: put one of them into a file of its own"), "{error}");
    let file = gibber.write("cut.jsonl", &lines[..lines.len() - 5]);
    let error = failure(&gibber.run(&["sessions", "import", file.to_str().unwrap()]), 1);
    assert!(error.contains("line 4, of a file with an object a line, is none by itself: it is not JSON"), "{error}");
}

#[test]
fn half_a_character_is_no_reason_to_lose_a_chat() {
    let of = |content: &str| shown(&imported(format!(r#"[{{"role": "user", "content": "{content}"}}]"#)).1).remove(0);
    assert_eq!(of(r"a\ud83d b"), "a\u{fffd} b");
    assert_eq!(of(r"a\udc00"), "a\u{fffd}");
    assert_eq!(of(r"\ud83d\ud83d\ude00 \\ud83d \u00e9\n"), "\u{fffd}😀 \\ud83d é\n");
}

#[test]
fn parents_without_ids_are_places() {
    let messages = |parents: [&str; 4]| {
        let message = |(at, parent): (usize, &&str)| {
            format!(r#"{{"role": "{}", "content": "m{at}", "parent": {parent}}}"#, ["user", "assistant"][at % 2])
        };
        format!("[{}]", parents.iter().enumerate().map(message).collect::<Vec<_>>().join(","))
    };
    for (parents, expected) in [
        (["null", "0", "1", "0"], &["m0", "m3"][..]),
        (["null", "1", "2", "1"], &["m0", "m3"]),
        (["null", "0", "1", "2"], &["m0", "m1", "m2", "m3"]),
    ] {
        let chat = imported(messages(parents)).1;
        assert_eq!(chat["messages"].as_array().unwrap().len(), 4);
        assert_eq!(shown(&chat), expected, "{parents:?}");
    }
}

#[test]
fn a_chat_can_come_through_a_pipe() {
    let gibber = Gibber::new();
    let chat = br#"[{"role": "user", "content": "Through a pipe"}]"#;
    let said = stdout_of(gibber.run_with_stdin(&["sessions", "import", "-"], chat));
    assert!(said.contains("Through a pipe"), "{said}");
    let error = failure(&gibber.run_with_stdin(&["sessions", "import", "-"], b"["), 1);
    assert!(error.contains("standard input: it is not JSON"), "{error}");
    let file = gibber.write("chat.json", chat);
    let script = format!(
        "'{}' --config-dir '{}' sessions import <(cat '{}')",
        env!("CARGO_BIN_EXE_gibber"),
        gibber.path("").display(),
        file.display()
    );
    let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(stdout_of(output).contains("Through a pipe"));
    assert_eq!(gibber.stdout(&["sessions", "list"]).lines().count(), 2);
}
