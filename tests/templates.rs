//! Chat templates of strangers, rendered as the program renders them: by the real binary in a process of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use gibber::chat::template::{ChatTemplate, RenderOptions, Sandbox, SpecialTexts, TemplateError};
use gibber::chat::{Message, Role};

#[cfg(target_os = "linux")]
#[path = "templates/process.rs"]
mod process;

const BINARY: &str = env!("CARGO_BIN_EXE_gibber");

fn question() -> Vec<Message> {
    vec![Message::new(Role::User, "Hi")]
}

fn options() -> RenderOptions {
    RenderOptions { special: SpecialTexts { bos: "<s>".into(), eos: "</s>".into() }, thinking: None }
}

fn render(sandbox: &Sandbox, source: &str) -> Result<String, TemplateError> {
    ChatTemplate::of_stranger("mine", source, sandbox)?.render(&question(), &options())
}

/// What a template is told that was stopped; the next one is rendered as if nothing had been.
fn stopped(sandbox: &Sandbox, source: &str) -> String {
    let error = render(sandbox, source).unwrap_err();
    assert!(matches!(error, TemplateError::Limit { .. }), "{source}: {error}");
    assert_eq!(render(sandbox, "{{ messages[-1].content }}").unwrap(), "Hi", "{source}");
    error.to_string()
}

/// A small value that takes 2^60 steps to walk.
const ENDLESS: &str = "{% set ns = namespace(a=[1], b=[1]) %}{% for i in range(60) %}\
                       {% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}{% endfor %}";

fn endless(uses: &[&str]) {
    let sandbox = Sandbox::of(BINARY);
    for source in uses {
        let error = stopped(&sandbox, &format!("{ENDLESS}{source}"));
        assert!(error.starts_with("chat template mine was stopped: it "), "{source}: {error}");
    }
}

#[test]
fn an_endless_value_is_not_walked_for_ever_when_it_is_compared_or_searched() {
    endless(&["{{ ns.b in [ns.a] }}", "{{ {ns.a: 1, ns.b: 2} | length }}"]);
}

#[test]
fn an_endless_value_is_not_walked_for_ever_when_it_is_written() {
    endless(&["{% set x = ns.a ~ '' %}", "{{ raise_exception(ns.a) }}"]);
}

#[test]
fn an_endless_value_is_not_walked_for_ever_by_filters() {
    endless(&["{% set x = [ns.a, ns.b] | sort %}", "{% set x = [ns.a, ns.b] | unique | list %}"]);
}

#[test]
fn what_grows_without_an_end_is_stopped() {
    let sandbox = Sandbox::of(BINARY);
    for source in [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='0123456789abcdef') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(a=[1, 2]) %}{% for i in range(60) %}{% set ns.a = ns.a + ns.a %}{% endfor %}{{ ns.a | list | length }}",
        "{% set ns = namespace(x='a' * 1000) %}{% for i in range(9) %}{% set ns.x = ns.x.replace('a', ns.x) %}{% endfor %}",
        "{{ ([[1] * 9000] * 9000) | tojson }}",
    ] {
        stopped(&sandbox, source);
    }
}

#[test]
fn too_much_text_is_an_error_that_says_so() {
    let sandbox = Sandbox::of(BINARY);
    let error = stopped(&sandbox, "{% set s = 'x' * 100000 %}{% for a in range(9000) %}{{ s }}{% endfor %}");
    assert!(error.contains("it writes more than 8"), "{error}");
    let error = stopped(
        &sandbox,
        "{% set s = 'x' * 90000000 %}{% set ns = namespace(a=[]) %}{% for i in range(99) %}{% set ns.a = ns.a + [s ~ i] %}{% endfor %}",
    );
    assert!(error.contains("takes more memory"), "{error}");
}

/// Each would take time, the stack or a file, or is no template: an error or a text, and the next one is rendered.
#[test]
fn whatever_a_source_is_the_next_template_is_rendered() {
    let sandbox = Sandbox::of(BINARY);
    let chain = |part: &str| format!("{{{{ a{} }}}}", part.repeat(20_000 / part.len()));
    let sources = [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}".into(),
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}".into(),
        "{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns.x | tojson }}".into(),
        "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}".into(),
        "{% include '/etc/passwd' %}".into(),
        "{% import 'mine' as m %}".into(),
        "{{ '{:>99999999999}'.format(1) }}".into(),
        "{{ '%99999999999d' | format(1) }}".into(),
        "{{ 'a' | indent(99999999999) }}".into(),
        "{{ [1] * 99999999999 }}".into(),
        "{{ 'x' * 99999999999 }}".into(),
        "{{ debug() }}{{".into(),
        format!("{{{{ {}1{} }}}}", "(".repeat(50_000), ")".repeat(50_000)),
        "{% if 1 %}".repeat(3_000),
        chain("+1"),
        chain(".b"),
        chain("|upper"),
        chain("[0]"),
        chain(" and a"),
        chain("()"),
        format!("{{{{ {}a }}}}", "-".repeat(20_000)),
        format!("{{{{ {}a }}}}", "not ".repeat(5_000)),
        format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(2_000)),
    ];
    for source in sources {
        let outcome = render(&sandbox, &source);
        assert!(outcome.as_ref().map_or(0, String::len) < 200_000, "{source:.60}");
        assert_eq!(render(&sandbox, "{{ messages[-1].content }}").unwrap(), "Hi", "{source:.60}");
    }
}

#[test]
fn a_program_that_answers_nonsense_or_nothing_is_an_error() {
    let error = render(&Sandbox::of("/usr/bin/yes"), "{{ 1 }}").unwrap_err().to_string();
    assert!(error.contains("something else than a text"), "{error}");
    let error = render(&Sandbox::of("/bin/false"), "{{ 1 }}").unwrap_err().to_string();
    assert!(error.contains("the process that runs it has ended"), "{error}");
}

#[test]
fn errors_cross_the_boundary_as_they_are() {
    let sandbox = Sandbox::of(BINARY);
    let error = render(&sandbox, "{{ raise_exception('roles must alternate') }}").unwrap_err();
    assert_eq!(error.to_string(), "chat template mine refuses this conversation: roles must alternate");
    let error = render(&sandbox, "a\n{% if %}").unwrap_err().to_string();
    assert!(error.starts_with("chat template mine, line 2: syntax error"), "{error}");
}

/// A person types on while a template hangs: it is not tried again with each letter, and is where there is less to do.
#[test]
fn a_template_that_was_stopped_is_tried_again_only_with_less() {
    let sandbox = Sandbox::of(BINARY);
    let source = format!("{ENDLESS}{{% if messages[0].content != 'a' %}}{{{{ ns.a | tojson }}}}{{% endif %}}fine");
    let template = ChatTemplate::of_stranger("mine", &source, &sandbox).unwrap();
    let asked = |text: &str| template.render(&[Message::new(Role::User, text)], &options());
    let error = asked("abc").unwrap_err().to_string();
    assert_eq!(asked("abcd").unwrap_err().to_string(), error);
    assert_eq!(asked("a").unwrap(), "fine");
}

/// A draft is measured, computed ahead and sent with the same messages.
#[test]
fn the_same_messages_are_rendered_once() {
    let sandbox = Sandbox::of(BINARY);
    let now = |text: &str| render(&sandbox, &format!("{text}{{{{ strftime_now('%f') }}}}")).unwrap();
    let first = now("a");
    assert_ne!(now("b")[1..], first[1..]);
    assert_eq!(now("a"), first);
}

/// A long conversation is no attack, nor is a template that looks at each character of it.
#[test]
fn a_long_conversation_is_rendered_character_by_character() {
    let sandbox = Sandbox::of(BINARY);
    let walks = "{% for m in messages %}{% for c in m.content %}{% if c == '<' %}&lt;{% elif c == '>' %}&gt;\
                 {% else %}{{ c }}{% endif %}{% endfor %}{% endfor %}";
    let template = ChatTemplate::of_stranger("mine", walks, &sandbox).unwrap();
    let text = "words & <é>, and more of them; ".repeat(20_000);
    let rendered = template.render(&[Message::new(Role::User, text.clone())], &options()).unwrap();
    assert_eq!(rendered, text.replace('<', "&lt;").replace('>', "&gt;"));
}

/// Whoever asked for it has gone: the process is stopped at once, and nothing is remembered of the template.
#[test]
fn a_rendering_that_is_no_longer_wanted_is_stopped() {
    let sandbox = Sandbox::of(BINARY);
    let source = format!("{ENDLESS}{{{{ ns.a == ns.b }}}}");
    let watch = sandbox.watch(|| true);
    let error = render(&sandbox, &source).unwrap_err().to_string();
    assert!(error.contains("no longer wanted"), "{error}");
    drop(watch);
    assert_eq!(render(&sandbox, "{{ messages[-1].content }}").unwrap(), "Hi");
    let error = render(&sandbox, &source).unwrap_err().to_string();
    assert!(error.contains("computes for too long"), "{error}");
}
