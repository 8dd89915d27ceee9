//! What a model thinks before it answers, also where its template opens the thought.

use super::parrot::{CONTROL, NORMAL, Parrot, USER_DEFINED, string_value};
use super::*;

const MARKS: [(&str, i32); 2] = [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)];

/// A model that thinks for three words in these marks and says `Hello there!`. What opens the thought is the template's.
fn thinker(open: &str, close: &str) -> Vec<u8> {
    let script = ["Okay,", " a", " greeting.", close, "ĊĊ", "Hello", " there", "!", "<|im_end|>"];
    let tokens = [MARKS[0], MARKS[1], (open, NORMAL), (close, NORMAL)];
    Parrot::new(&tokens, &script).with("tokenizer.chat_template", string_value(template(open).as_bytes())).bytes()
}

fn template(open: &str) -> String {
    format!(
        "{{% for m in messages %}}{{{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n{open}\\n' }}}}{{% endif %}}"
    )
}

/// A config directory with such a model as `thinker.gguf`.
fn with_thinker() -> (Gibber, String) {
    let gibber = Gibber::new();
    let model = gibber.write("thinker.gguf", thinker("<think>", "</think>")).display().to_string();
    (gibber, model)
}

/// What the line REPL prints to these lines.
fn repl(gibber: &Gibber, model: &str, more: &[&str], lines: &str) -> String {
    let arguments = [&["repl", "-m", model], more].concat();
    stdout_of(gibber.run_with_stdin(&arguments, lines.as_bytes()))
}

#[test]
fn run_prints_the_answer_alone_whoever_opened_the_thought() {
    for (open, close) in [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thinking>", "</thinking>")] {
        let gibber = Gibber::new();
        let model = gibber.write("thinker.gguf", thinker(open, close)).display().to_string();
        assert_eq!(gibber.stdout(&["run", "-m", &model, "Hi"]), "Hello there!\n", "{open}");
        let output = gibber.run(&["run", "-m", &model, "-v", "Hi"]);
        let notes = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello there!\n", "{open}");
        assert!(notes.contains("thought for 3 words:\nOkay, a greeting.\n"), "{notes}");
    }
}

#[test]
fn the_json_lines_have_the_thought_and_the_answer_beside_the_text() {
    let (gibber, model) = with_thinker();
    let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "--json", "Hi"]));
    let done = lines.last().unwrap();
    assert_eq!(done["text"], "Okay, a greeting.</think>\n\nHello there!", "the texts of the tokens, as ever");
    assert_eq!((&done["thought"], &done["answer"]), (&"Okay, a greeting.".into(), &"Hello there!".into()));
    let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "--json", "--raw", "-n", "2", "Hi\n"]));
    let done = lines.last().unwrap();
    assert_eq!((&done["thought"], &done["answer"]), (&Value::Null, &done["text"]));
}

/// A model that says `script`, by its own ChatML template.
fn saying(gibber: &Gibber, script: &[&str]) -> String {
    let script = [script, &["<|im_end|>"]].concat();
    gibber.write("said.gguf", Parrot::new(&MARKS, &script).bytes()).display().to_string()
}

#[test]
fn a_reply_that_is_cut_behind_the_mark_of_a_thought_says_so() {
    let gibber = Gibber::new();
    let model = saying(&gibber, &["<", "think", ">", "Hm", "</think>", "Hello"]);
    for (tokens, place, thought) in [("3", "inside", ""), ("4", "inside", "Hm"), ("5", "behind", "Hm")] {
        let output = gibber.run(&["run", "-m", &model, "-n", tokens, "Hi"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(&format!("the reply ended {place} its thought (length), without an answer")), "{said}");
        assert_eq!(stdout_of(output), "", "{tokens}");
        let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "-n", tokens, "--json", "Hi"]));
        let done = lines.last().unwrap();
        assert_eq!((&done["thought"], &done["answer"]), (&thought.into(), &"".into()), "{tokens}");
    }
    // What is no mark yet is text.
    assert_eq!(gibber.stdout(&["run", "-m", &model, "-n", "2", "Hi"]), "<think\n");
    let lines = repl(&gibber, &model, &["-n", "3"], "Hi\n");
    assert!(lines.contains("(a thought of 0 words that did not end;"), "{lines}");
}

#[test]
fn a_second_thought_of_a_reply_is_no_part_of_its_answer() {
    let gibber = Gibber::new();
    let model =
        saying(&gibber, &["<think>", "one", "</think>", "Hello ", "<", "think", ">", "two", "</", "think>", "there"]);
    assert_eq!(gibber.stdout(&["run", "-m", &model, "Hi"]), "Hello there\n");
    let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "--json", "Hi"]));
    let done = lines.last().unwrap();
    assert_eq!((&done["thought"], &done["answer"]), (&"one\n\ntwo".into(), &"Hello there".into()));
    assert!(repl(&gibber, &model, &[], "Hi\n").contains("Hello there"));
    let shown = gibber.stdout(&["sessions", "show", "1"]);
    assert!(shown.contains("Assistant (thought for 2 words): one\n\ntwo\n\nAssistant: Hello there\n"), "{shown}");
}

#[test]
fn what_stands_on_channels_is_thought_but_for_the_last() {
    let gibber = Gibber::new();
    // What comes next depends on the last token alone: none may come twice.
    let next = ["<|start|>assistant", "<|channel|>final<|message|>", "Hello"];
    let model = saying(&gibber, &[&["<|channel|>", "analysis", "<|message|>", "Hm"], &next[..]].concat());
    assert_eq!(gibber.stdout(&["run", "-m", &model, "Hi"]), "Hello\n");
    let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "--json", "Hi"]));
    assert_eq!(lines.last().unwrap()["answer"], "Hello");
    assert!(repl(&gibber, &model, &[], "Hi\n").contains("Hello\n"));
}

#[test]
fn a_stored_reply_that_has_lost_the_beginning_of_its_thought_is_shown_without_it() {
    let gibber = Gibber::new();
    let chat = r#"[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hm.\n</think>\n\nFour."}]"#;
    let chat = gibber.write("chat.json", chat).display().to_string();
    gibber.stdout(&["sessions", "import", &chat]);
    let shown = gibber.stdout(&["sessions", "show", "1"]);
    assert!(shown.contains("Assistant (thought for 1 word): Hm.\n\nAssistant: Four.\n"), "{shown}");
    let lines = stdout_of(gibber.run_with_stdin(&["repl"], b"/open Hi\n"));
    assert!(lines.contains("Four.") && !lines.contains("</think>"), "{lines}");
}

#[test]
fn a_thought_that_does_not_end_is_said() {
    let (gibber, model) = with_thinker();
    let output = gibber.run(&["run", "-m", &model, "-n", "3", "Hi"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("the reply ended inside its thought (length), without an answer; -n N allows more"),
        "{said}"
    );
    let lines = json_lines(&gibber.stdout(&["run", "-m", &model, "-n", "3", "--json", "Hi"]));
    assert_eq!(lines.last().unwrap()["finish_reason"], "length");
    let output = repl(&gibber, &model, &["-n", "3"], "Hi\n");
    assert!(output.contains("(a thought of 3 words that did not end;"), "{output}");
}

#[test]
fn a_stored_chat_an_export_and_a_copy_tell_the_thought_from_the_answer() {
    let (gibber, model) = with_thinker();
    let file = gibber.path("chat.md");
    let first =
        repl(&gibber, &model, &[], &format!("Hi\n/regen\n/copy\n/export {}\n/compare 2 -- Again\n", file.display()));
    let exported = fs::read_to_string(&file).unwrap();
    assert!(exported.contains("\n> *thought for 3 words*\n>\n> Okay, a greeting.\n\nHello there!\n"), "{exported}");
    assert!(!first.contains("think>") && !first.contains("Okay,"), "{first}");
    assert_eq!(first.matches("(thought for 3 words;").count(), 4, "{first}");
    assert_eq!(first.matches("Hello there!").count(), 5, "each reply and the copy: {first}");
    let again = repl(&gibber, &model, &[], "/open Hi\n/think show\n/branch\n");
    assert!(again.contains("(thought for 3 words; /think show shows such)\nHello there!\n"), "{again}");
    let shown = gibber.stdout(&["sessions", "show", "1"]);
    assert!(
        shown.contains("Assistant (thought for 3 words): Okay, a greeting.\n\nAssistant: Hello there!\n"),
        "{shown}"
    );
    let found = gibber.stdout(&["sessions", "search", "greeting"]);
    assert!(found.contains("assistant: Okay, a greeting. Hello there!"), "{found}");
    assert!(gibber.stdout(&["sessions", "search", "think"]).is_empty());
    let json = gibber.stdout(&["sessions", "export", "1"]);
    assert!(json.contains(r"<think>\nOkay, a greeting.</think>\n\nHello there!"), "all of the turn is kept: {json}");
}

#[test]
fn a_reply_that_was_cut_in_its_thought_goes_on_in_it() {
    let gibber = Gibber::new();
    // Each is one token wherever it stands.
    let script = ["Okay,", "hm.", "So.", "</think>", "Hello", "-there", "<|im_end|>"];
    let tokens: Vec<(&str, i32)> =
        MARKS.into_iter().chain(script[..6].iter().map(|text| (*text, USER_DEFINED))).collect();
    let parrot =
        Parrot::new(&tokens, &script).with("tokenizer.chat_template", string_value(template("<think>").as_bytes()));
    let model = gibber.write("thinker.gguf", parrot.bytes()).display().to_string();
    let text = repl(&gibber, &model, &["-n", "2"], "Hi\n/continue\n/continue\n/prompt\n");
    assert_eq!(text.matches("that did not end").count(), 1, "{text}");
    assert!(text.contains("\n(thought for 1 word; /think show shows such)\n"), "{text}");
    assert!(text.contains("\nHello-there\n"), "each piece of the answer once: {text}");
    assert!(text.contains("assistant\n<think>\nOkay,hm.So.</think>Hello-there"), "{text}");
}

#[test]
fn a_thought_that_was_cut_ends_before_the_next_question() {
    let (gibber, model) = with_thinker();
    let text = repl(&gibber, &model, &["-n", "2"], "Hi\nMore\n/prompt\n");
    let expected =
        "<|im_start|>assistant\n<think>\nOkay, a\n</think>\n\n<|im_end|>\n<|im_start|>user\nMore<|im_end|>\n";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn words_that_a_reply_begins_with_are_printed_and_take_the_place_of_a_thought() {
    let (gibber, model) = with_thinker();
    let text = repl(&gibber, &model, &["-n", "1"], "/begin Well, now\nHi\n/prompt\n/begin <think>Hm.\n/regen\n");
    assert!(text.contains("\nWell, now"), "{text}");
    assert!(text.contains("<|im_start|>assistant\nWell, now"), "{text}");
    assert!(text.contains("(a thought of"), "{text}");
}

#[test]
fn a_template_without_a_switch_for_thinking_is_said() {
    let (gibber, model) = with_thinker();
    let sentence = "the chat template has no switch for thinking: think = off changes nothing";
    let output = gibber.run(&["run", "-m", &model, "--think=off", "Hi"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains(sentence), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello there!\n");
    let text = repl(&gibber, &model, &[], "/think off\n");
    assert_eq!(text.matches(sentence).count(), 1, "{text}");
    assert!(repl(&gibber, &model, &["--think=off"], "/stats\n").contains(sentence));
    assert!(!repl(&gibber, &model, &[], "/think auto\n/think show\n").contains("no switch"));
    let switched = template("<think>").replace("<think>", "' + ('<think></think>' if not enable_thinking) + '");
    let switched = gibber.write("switched.jinja", switched).display().to_string();
    let text = repl(&gibber, &model, &["--chat-template", &switched], "/think off\n");
    assert!(text.contains("think = off, from the next") && !text.contains("no switch"), "{text}");
}

#[test]
fn a_thought_without_a_beginning_is_told_from_the_answer_when_it_ends() {
    let gibber = Gibber::new();
    let model = saying(&gibber, &["Hm", ", two.Ċ", "</", "think>", "ĊĊ", "Four"]);
    let output = gibber.run(&["run", "-m", &model, "Hi"]);
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(notes.contains("was a thought, of which nothing marked the beginning: thought for 2 words"), "{notes}");
    assert_eq!(stdout_of(output), "Hm, two.\nFour\n");
    let lines = repl(&gibber, &model, &[], "Hi\n");
    assert!(lines.contains("Hm, two.\n(thought for 2 words, above: nothing marked its beginning)\nFour\n"), "{lines}");
}
