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
    let told = |template: &str| {
        let output = gibber.run(&["run", "-m", &model(&gibber, template), "-n", "3", "Hi there"]);
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let said = told("{% for m in messages %}<|im_start|>{{ m.role }}\n{% endfor %}");
    assert!(said.contains("warning: the chat template of parrot leaves the question out of the prompt"), "{said}");
    for takes in [
        "{{ messages[0].content | upper }}\n",
        "{{ messages[0].content | tojson }}\n",
        "{{ messages[0].content[1:] }}\n",
    ] {
        assert_eq!(told(takes), "", "{takes}");
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
