//! Templates that do not take every role, or want them in turn.

use super::parrot::{CONTROL, Parrot, string_value};
use super::*;

const REFUSES: &str = "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}";
const DROPS: &str = "{% if m.role == 'system' %}{% continue %}{% endif %}";
const ALTERNATES: &str =
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}";

fn template(rules: &str) -> String {
    format!(
        "{{% for m in messages %}}{rules}{{{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '<|im_start|>assistant\\n' }}}}{{% endif %}}"
    )
}

/// A model that says `Hello!`, with such a template of its own.
fn polite(gibber: &Gibber, rules: &str) -> String {
    let parrot = Parrot::new(&[("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)], &["Hello", "!", "<|im_end|>"]);
    let parrot = parrot.with("tokenizer.chat_template", string_value(template(rules).as_bytes()));
    gibber.write("polite.gguf", parrot.bytes()).display().to_string()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_system_message_is_in_the_first_question_where_it_has_no_place_of_its_own() {
    let sentence = "the chat template has no place for a system message";
    for rules in [REFUSES, DROPS] {
        let gibber = Gibber::new();
        let model = polite(&gibber, rules);
        let output = gibber.run(&["run", "-m", &model, "-sys", "Be brief.", "Hi"]);
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(0), "Hello!\n"), "{stderr}");
        assert_eq!(stderr.matches(sentence).count(), 1, "{stderr}");
        let lines = b"/system Be brief.\nHi\nMore\n/prompt\n";
        let (stdout, stderr) = texts(&gibber.run_with_stdin(&["repl", "-m", &model], lines));
        assert_eq!(stdout.matches(sentence).count(), 1, "once a chat: {stdout}{stderr}");
        assert!(
            stdout.contains("<|im_start|>user\nBe brief.\n\nHi<|im_end|>\n<|im_start|>assistant\nHello!"),
            "{stdout}"
        );
        let (_, stderr) = texts(&gibber.run(&["run", "-m", &model, "Hi"]));
        assert!(!stderr.contains(sentence), "there is none: {stderr}");
    }
}

#[test]
fn a_question_without_an_answer_is_not_in_the_prompt_where_roles_alternate() {
    let gibber = Gibber::new();
    let model = polite(&gibber, ALTERNATES);
    let chat = r#"[{"role":"assistant","content":"Welcome"},{"role":"user","content":"Once"},{"role":"user","content":"Two"},
        {"role":"assistant","content":"2"},{"role":"assistant","content":"3"},{"role":"user","content":"Four"}]"#;
    let file = gibber.write("chat.json", chat).display().to_string();
    let lines = format!("/import {file}\n/regen\n/prompt\n");
    let output = gibber.run_with_stdin(&["repl", "-m", &model], lines.as_bytes());
    let (stdout, stderr) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let greeting = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\nWelcome<|im_end|>\n<|im_start|>user\nTwo";
    assert!(stdout.contains(greeting), "{stdout}");
    let expected = "<|im_start|>user\nTwo<|im_end|>\n<|im_start|>assistant\n2\n\n3<|im_end|>\n<|im_start|>user\nFour<|im_end|>\n<|im_start|>assistant\nHello!";
    assert!(stdout.contains(expected), "{stdout}");
    let warning = "wants question and answer in turn: a message without an answer is not in the prompt";
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
}

#[test]
fn a_template_of_a_model_that_fails_names_what_can_be_used_in_its_place() {
    let gibber = Gibber::new();
    let model = polite(&gibber, "{{ raise_exception('never') }}");
    let error = failure(&gibber.run(&["run", "-m", &model, "Hi"]), 1);
    assert!(error.contains("refuses this conversation: never") && error.contains("--chat-template chatml"), "{error}");
    assert!(error.contains("--raw"), "{error}");
    assert_eq!(gibber.stdout(&["run", "-m", &model, "--chat-template", "chatml", "Hi"]), "Hello!\n");
    let broken = gibber.write("broken.jinja", "{{ raise_exception('never') }}").display().to_string();
    let error = failure(&gibber.run(&["run", "-m", &model, "--chat-template", &broken, "Hi"]), 1);
    assert!(!error.contains("--chat-template chatml"), "a file that the person chose: {error}");
}
