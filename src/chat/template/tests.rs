use super::*;

fn message(role: Role, content: &str) -> Message {
    Message::new(role, content)
}

fn question() -> Vec<Message> {
    vec![message(Role::System, "Be brief."), message(Role::User, "Hi")]
}

fn conversation() -> Vec<Message> {
    let mut messages = question();
    messages.extend([message(Role::Assistant, "Hello."), message(Role::User, "How are you?")]);
    messages
}

fn render(template: &ChatTemplate, messages: &[Message]) -> String {
    template.render(messages, &SpecialTexts { bos: "<s>".into(), eos: "</s>".into() }).unwrap()
}

#[test]
fn chatml_as_it_is_known() {
    let template = ChatTemplate::builtin("chatml").unwrap();
    assert_eq!(
        render(&template, &conversation()),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n\
         <|im_start|>user\nHow are you?<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn plain_reads_like_a_play_and_stops_at_the_next_speaker() {
    let template = ChatTemplate::builtin("plain").unwrap();
    assert_eq!(
        render(&template, &conversation()),
        "Be brief.\n\nUser: Hi\nAssistant: Hello.\nUser: How are you?\nAssistant:"
    );
    assert_eq!(template.stop_strings(), ["\nUser:", "\nAssistant:"]);
    assert!(template.wants_begin_token());
    let mut spaced = conversation();
    spaced[2].content = " Hello.".into();
    assert_eq!(render(&template, &spaced), render(&template, &conversation()), "a space of the model's own serves");
}

#[test]
fn raw_is_the_texts_and_nothing_else() {
    let template = ChatTemplate::builtin("raw").unwrap();
    assert_eq!(render(&template, &[message(Role::User, " Once upon\n")]), " Once upon\n");
}

#[test]
fn every_builtin_name_is_there_and_no_other() {
    for name in BUILTIN_NAMES {
        assert_eq!(ChatTemplate::builtin(name).unwrap().name(), name);
    }
    let error = ChatTemplate::builtin("chatlm").unwrap_err().to_string();
    assert!(error.contains("`chatlm`") && error.contains("chatml, plain, raw"), "{error}");
}

#[test]
fn a_reply_is_continued_right_behind_its_last_character() {
    // One that trims, one that splits, one that wraps.
    let sources = [
        "{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}{% endfor %}",
        "{% for m in messages %}[{{ m.role }}]{{ m.content.split('</think>')[-1].lstrip() }}{{ eos_token }}{% endfor %}",
        "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] + eos_token }}{% endfor %}\n",
    ];
    let mut messages = question();
    messages.push(message(Role::Assistant, "Hello, \n "));
    for source in sources {
        let template = ChatTemplate::from_source("test", source).unwrap();
        assert_eq!(render(&template, &messages), "[system]Be brief.</s>[user]Hi</s>[assistant]Hello, \n ", "{source}");
    }
}

#[test]
fn a_template_that_hides_the_reply_cannot_continue_it() {
    let template = ChatTemplate::from_source("mute", "{{ messages[0].content }}").unwrap();
    let messages = [message(Role::User, "a"), message(Role::Assistant, "b")];
    let error = template.render(&messages, &SpecialTexts::default()).unwrap_err();
    assert!(matches!(error, TemplateError::CannotContinue(_)), "{error}");
}

#[test]
fn blocks_swallow_their_line_as_in_hugging_face() {
    let source = "{{ bos_token }}\n{% for m in messages %}\n    {% if m.role == 'user' %}\nU:{{ m.content }}\n    {% endif %}\n{% endfor %}\n{%- if add_generation_prompt %}A:{% endif %}";
    let template = ChatTemplate::from_source("test", source).unwrap();
    assert_eq!(render(&template, &question()), "<s>\nU:Hi\nA:");
}

#[test]
fn errors_name_the_template_the_line_and_the_cause() {
    let error = ChatTemplate::from_source("mine.jinja", "a\n{% if %}").unwrap_err().to_string();
    assert!(error.starts_with("chat template mine.jinja, line 2: syntax error"), "{error}");
    let render = |source: &str| {
        let template = ChatTemplate::from_source("mine", source).unwrap();
        template.render(&question(), &SpecialTexts::default()).unwrap_err()
    };
    let error = render("{{ raise_exception('roles must alternate') }}");
    assert_eq!(error.to_string(), "chat template mine refuses this conversation: roles must alternate");
    let error = render("{{ messages | no_such_filter }}").to_string();
    assert!(error.contains("no_such_filter"), "{error}");
    let missing = ChatTemplate::from_file(Path::new("/no/such/file.jinja")).unwrap_err().to_string();
    assert!(missing.contains("/no/such/file.jinja"), "{missing}");
}

#[test]
fn a_hostile_template_is_stopped() {
    let bombs = [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% set ns = namespace(x='0123456789abcdef') %}{% for i in range(40) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}",
        "{% for a in range(90000) %}{{ messages[0].content }}0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}",
        "{{ 'x' * 99999999999 }}",
        "{% include 'mine' %}",
    ];
    for source in bombs {
        let template = ChatTemplate::from_source("mine", source).unwrap();
        assert!(template.render(&question(), &SpecialTexts::default()).is_err(), "{source}");
    }
}

#[test]
fn a_file_is_read_and_one_too_large_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.jinja");
    std::fs::write(&path, "{{ messages[1].content }}").unwrap();
    assert_eq!(render(&ChatTemplate::from_file(&path).unwrap(), &question()), "Hi");
    std::fs::write(&path, vec![b' '; 1 + (1 << 20)]).unwrap();
    assert!(matches!(ChatTemplate::from_file(&path), Err(TemplateError::Limit { .. })));
}
