//! What the line REPL does with lines that nobody types.

use super::*;

/// What lies in the chats' database, in order.
fn said(gibber: &Gibber, role: &str) -> Vec<String> {
    let database = rusqlite::Connection::open(gibber.path("chats.db")).unwrap();
    let mut statement = database.prepare("SELECT content FROM messages WHERE role = ?1 ORDER BY id").unwrap();
    let rows = statement.query_map([role], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn fed(gibber: &Gibber, lines: &str) -> Output {
    gibber.run_with_stdin(&["repl", "-n", "1", "--temp", "0"], lines.as_bytes())
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn files_that_are_read_go_before_the_next_question() {
    let gibber = Gibber::new();
    let paths = ["plum.txt", "pear.txt"].map(|name| gibber.write(name, format!("The word is {name}.\n")));
    let [plum, pear] = paths.map(|path| path.display().to_string());
    let output = fed(&gibber, &format!("/read {plum}\n/read {pear}\n/temperature 0\nWhat is it?\nAnd now?\n"));
    let said = said(&gibber, "user");
    assert!(said[0].starts_with("plum.txt:\n") && said[0].ends_with("What is it?"), "{said:?}");
    assert!(said[0].contains("The word is plum.txt.") && said[0].contains("The word is pear.txt."), "{said:?}");
    assert_eq!(said[1], "And now?");
    assert!(stdout_of(output).contains("plum.txt goes before the next question"));
}

#[test]
fn a_text_whose_quotes_do_not_end_is_asked_at_the_end_of_the_input() {
    let gibber = Gibber::new();
    assert!(fed(&gibber, "First\n\"\"\"\none\ntwo").status.success());
    assert_eq!(said(&gibber, "user"), ["First", "one\ntwo"]);
}

#[test]
fn lines_of_other_systems_are_lines() {
    let gibber = Gibber::new();
    assert!(fed(&gibber, "One\r\n/temperature 0\r\nTwo\r\n").status.success());
    assert_eq!(said(&gibber, "user"), ["One", "Two"]);
}

#[test]
fn what_fails_is_said_on_stderr_and_by_the_exit_code() {
    for (lines, error) in [
        ("/nosuch\nHi\n", "error: "),
        ("/heat\nHi\n", "error: /heat needs the full screen"),
        ("/read /no/such/file\nHi\n", "error: cannot read /no/such/file"),
        ("/model nosuch\nHi\n", "error: "),
    ] {
        let gibber = Gibber::new();
        let output = fed(&gibber, lines);
        let (stdout, stderr) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{lines}: {stdout}{stderr}");
        assert!(stderr.contains(error) && !stdout.contains("error: "), "{lines}: {stdout}{stderr}");
        assert_eq!(said(&gibber, "user"), ["Hi"], "what comes after is asked all the same");
    }
}

#[test]
fn a_model_that_is_not_there_ends_it_before_any_question() {
    let gibber = Gibber::new();
    let output = gibber.run_with_stdin(&["repl", "-m", "nosuch"], b"Hi\nMore\n");
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.starts_with("error: ") && stderr.contains("nosuch"), "{stderr}");
}

#[test]
fn a_line_that_is_no_text_is_an_error_and_the_next_ones_are_asked() {
    let gibber = Gibber::new();
    let output = gibber.run_with_stdin(&["repl", "-n", "1"], b"One\n\xff\xfe\nTwo\n");
    let (_, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("cannot read a line: it is not UTF-8 from byte 1 on"), "{stderr}");
    assert_eq!(said(&gibber, "user"), ["One", "Two"]);
}

#[test]
fn the_lanes_of_each_comparison_are_printed() {
    let gibber = Gibber::new();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");
    let arguments = ["repl", "-m", model, "--chat-template", "plain", "-n", "3", "--seed", "7"];
    let output = stdout_of(gibber.run_with_stdin(&arguments, b"Hi\n/compare 2\n/compare 3\n"));
    for heading in ["lane 1 of 2", "lane 2 of 2", "lane 1 of 3", "lane 2 of 3", "lane 3 of 3"] {
        assert!(output.contains(heading), "{heading}: {output}");
    }
}

/// As on any other model: what is asked for again comes again, and behind what was taken back as behind nothing.
#[test]
fn a_chat_on_a_model_with_recurrent_layers_is_taken_back_and_asked_again() {
    for name in ["variant-qwen3-5", "variant-lfm2"] {
        let gibber = Gibber::new();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        let model = model.to_str().unwrap();
        let chat = |lines: &str| {
            let arguments = ["repl", "-m", model, "-n", "12", "--temp", "0", "--chat-template", "plain"];
            let output = gibber.run_with_stdin(&arguments, lines.as_bytes());
            let (stdout, stderr) = texts(&output);
            assert!(output.status.success(), "{name}: {stdout}{stderr}");
        };
        let info = gibber.stdout(&["models", "info", model]);
        assert!(info.contains("KV cache") && info.contains("MB of states and their snapshots"), "{info}");
        chat("a\n/regen\nb\n/undo\nb\n");
        let replies = said(&gibber, "assistant");
        assert_eq!(replies.len(), 4, "{name}: {replies:?}");
        assert_eq!((&replies[0], &replies[2]), (&replies[1], &replies[3]), "{name}: {replies:?}");
    }
}
