//! What the program does with templates that are odd: empty ones, names, such as never end or say nothing of a question.

use super::parrot::{CONTROL, Parrot, string_value};
use super::*;

const CHAT: [(&str, i32); 2] = [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)];

/// A model with `template` for its own.
fn model(gibber: &Gibber, template: &str) -> String {
    let parrot = Parrot::new(&CHAT, &["Hello", "!", "<|im_end|>"]);
    let bytes = parrot.with("tokenizer.chat_template", string_value(template.as_bytes())).bytes();
    gibber.write("parrot.gguf", bytes).to_str().unwrap().to_owned()
}

/// What `/prompt` shows of a chat with one question.
fn prompt(gibber: &Gibber, arguments: &[&str]) -> String {
    let messages = gibber.write("chat.json", r#"[{"role": "user", "content": "Why?"}]"#);
    let typed = format!("/import {}\n/prompt\n", messages.display());
    stdout_of(gibber.run_with_stdin(&[&["repl"], arguments].concat(), typed.as_bytes()))
}

#[test]
fn a_template_that_is_the_name_of_a_built_in_is_that_one() {
    let gibber = Gibber::new();
    for name in ["chatml", " chatml\r\n"] {
        let shown = prompt(&gibber, &["-m", &model(&gibber, name)]);
        assert!(shown.contains("<|im_start|>"), "{name:?}: {shown}");
        assert!(!shown.contains("\"chatml\""), "{name:?}: {shown}");
    }
    let file = gibber.write("name.jinja", "zephyr\n");
    let shown = prompt(&gibber, &["-m", &model(&gibber, ""), "--chat-template", file.to_str().unwrap()]);
    assert!(shown.contains("user"), "{shown}");
}

#[test]
fn an_empty_template_of_a_model_is_none() {
    let gibber = Gibber::new();
    let mut none = Parrot::new(&CHAT, &["Hello", "!", "<|im_end|>"]);
    none.keys.remove("tokenizer.chat_template");
    let none = gibber.write("parrot.gguf", none.bytes());
    let expected = prompt(&gibber, &["-m", none.to_str().unwrap()]);
    for empty in ["", " \n", "no tag at all", "{# nothing #}"] {
        let shown = prompt(&gibber, &["-m", &model(&gibber, empty)]);
        assert_eq!(shown, expected, "{empty:?}");
    }
}

#[test]
fn a_template_of_a_model_without_a_tag_is_said_to_be_none() {
    let gibber = Gibber::new();
    let path = model(&gibber, "<!-- 404 -->");
    let output = gibber.run(&["run", "-m", &path, "Hi"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("warning: the chat template of parrot has no tag"), "{said}");
    assert!(said.contains("a plain one is used"), "{said}");
    stdout_of(output);
    let lines = gibber.run_with_stdin(&["repl", "-m", &path], b"Hi\nAgain\n");
    let all = String::from_utf8_lossy(&lines.stdout).into_owned() + &String::from_utf8_lossy(&lines.stderr);
    assert_eq!(all.matches("has no tag").count(), 1, "{all}");
    let chosen = gibber.run(&["run", "-m", &path, "--chat-template", "plain", "Hi"]);
    assert!(!String::from_utf8_lossy(&chosen.stderr).contains("has no tag"), "a person's choice");
    let info = gibber.stdout(&["models", "info", &path]);
    assert!(info.contains("a text without a tag, which is none (a plain one is used)"), "{info}");
    let info: Value = serde_json::from_str(&gibber.stdout(&["models", "info", &path, "--json"])).unwrap();
    assert_eq!(info["has_chat_template"], false);
    for empty in ["", " \n"] {
        let output = gibber.run(&["run", "-m", &model(&gibber, empty), "Hi"]);
        assert!(!String::from_utf8_lossy(&output.stderr).contains("template"), "{output:?}");
    }
}

#[test]
fn a_panic_of_the_template_engine_is_an_error_with_its_line() {
    let gibber = Gibber::new();
    let run = |template: &str| failure(&gibber.run(&["run", "-m", &model(&gibber, template), "Hi"]), 1);
    let error = run("{% for m in messages %}\n{{ loop.cycle() }}{% endfor %}");
    assert!(error.contains("line 2") && error.contains("loop.cycle() has nothing to choose from"), "{error}");
    // The same by a detour, of which nothing is known before.
    let error = run("{% for m in messages %}{{ loop.cycle(*[]) }}{% endfor %}");
    assert!(error.contains("chat template of parrot") && !error.contains("ended"), "{error}");
    let shown = prompt(
        &gibber,
        &["-m", &model(&gibber, "{% for m in messages %}{{ loop.cycle('a', m.content) }}{% endfor %}")],
    );
    assert!(shown.contains("sees:\na"), "{shown}");
}

#[test]
fn a_template_can_come_through_a_pipe_and_is_there_for_each_question() {
    let gibber = Gibber::new();
    let model = model(&gibber, "{{ raise_exception('not this one') }}");
    let template = gibber.write("piped.jinja", "{% for m in messages %}<{{ m.content }}>{% endfor %}{{ '\\n' }}");
    for flag in ["--chat-template", "--chat-template-file"] {
        let script = format!(
            "'{}' --config-dir '{}' repl -m '{model}' {flag} <(cat '{}')",
            env!("CARGO_BIN_EXE_gibber"),
            gibber.path("").display(),
            template.display()
        );
        let mut child = std::process::Command::new("bash");
        let child = child.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap();
        child.stdin.take().unwrap().write_all(b"One\nTwo\n/prompt\n").unwrap();
        let shown = stdout_of(child.wait_with_output().unwrap());
        assert!(shown.contains("<One><Hello!><Two>"), "{shown}");
    }
}

#[test]
fn an_empty_file_is_no_template() {
    let gibber = Gibber::new();
    let file = gibber.write("empty.jinja", "\n");
    let error =
        failure(&gibber.run(&["run", "-m", &model(&gibber, ""), "--chat-template", file.to_str().unwrap(), "Hi"]), 1);
    assert!(error.contains("empty.jinja is empty"), "{error}");
}

#[test]
fn a_question_that_the_template_leaves_out_is_told_and_one_that_it_changes_is_not() {
    let gibber = Gibber::new();
    let notice = |template: &str| {
        let output = gibber.run(&["run", "-m", &model(&gibber, template), "-n", "3", "Hi there"]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = notice("{% for m in messages %}<|im_start|>{{ m.role }}\n{% endfor %}");
    assert!(said.contains("warning: the chat template of parrot leaves the question out of the prompt"), "{said}");
    for takes in [
        "{{ messages[0].content | upper }}\n",
        "{{ messages[0].content | tojson }}\n",
        "{{ messages[0].content[1:] }}\n",
    ] {
        assert_eq!(notice(takes), "", "{takes}");
    }
    let model = model(&gibber, "{% for m in messages %}<|im_start|>{{ m.role }}\n{% endfor %}");
    let output = gibber.run_with_stdin(&["repl", "-m", &model, "-n", "2"], b"One\nTwo\n");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("leaves the question out").count(), 1, "{said}");
}

#[test]
fn line_ends_of_any_system_are_line_feeds_for_the_model() {
    let gibber = Gibber::new();
    let template = "{% for m in messages %}\r\n<|im_start|>{{ m.role }}\r\n{{ m.content }}<|im_end|>\r{% endfor %}\r\n";
    let shown = prompt(&gibber, &["-m", &model(&gibber, template)]);
    assert!(shown.contains("Why") && !shown.contains("\\r"), "{shown}");
}

#[test]
fn a_template_that_never_ends_is_an_error_and_the_chat_goes_on() {
    let gibber = Gibber::new();
    let endless = "{% set ns = namespace(a=[1]) %}{% for i in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}{{ ns.a | tojson }}";
    let model = model(&gibber, endless);
    let error = failure(&gibber.run(&["run", "-m", &model, "Hi"]), 1);
    assert!(error.contains("chat template of parrot was stopped: it "), "{error}");
    let error =
        stdout_of(gibber.run_with_stdin(&["repl", "-m", &model, "--chat-template", "chatml", "-n", "2"], b"Hi\n"));
    assert!(error.contains("Hello"), "{error}");
}

#[test]
fn a_template_is_found_by_the_name_of_its_file_alone() {
    let gibber = Gibber::new();
    gibber.write("mine", "{% for m in messages %}MINE {{ m.content }}{% endfor %}");
    gibber.write("chatml", "{% for m in messages %}FILE {{ m.content }}{% endfor %}");
    let model = model(&gibber, "");
    let shown = |arguments: &[&str], typed: &str| {
        let mut command = gibber.command(&[&["repl", "-n", "1", "-m", &model], arguments].concat());
        let mut child = command.current_dir(gibber.directory.path()).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    assert!(stdout_of(shown(&["--chat-template", "mine"], "Why?\n/prompt\n")).contains("MINE Why?"));
    assert!(stdout_of(shown(&[], "/template mine\nWhy?\n/prompt\n")).contains("MINE Why?"));
    let built_in = stdout_of(shown(&["--chat-template", "chatml"], "Why?\n/prompt\n"));
    assert!(built_in.contains("<|im_start|>") && !built_in.contains("FILE"), "{built_in}");
    let nowhere = shown(&["--chat-template", "nowhere"], "Why?\n");
    let error = String::from_utf8(nowhere.stderr).unwrap();
    assert!(error.contains("no chat template `nowhere`") || error.contains("no template `nowhere`"), "{error}");
    assert_eq!(nowhere.status.code(), Some(1));
}
