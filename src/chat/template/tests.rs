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

fn options() -> RenderOptions {
    RenderOptions { special: SpecialTexts { bos: "<s>".into(), eos: "</s>".into() }, thinking: None }
}

/// What the template makes of messages as they are, whether it likes them or not.
fn as_they_are(
    template: &ChatTemplate,
    messages: &[Message],
    options: &RenderOptions,
) -> Result<String, TemplateError> {
    template.run(texts(messages), options, true)
}

fn render(template: &ChatTemplate, messages: &[Message]) -> String {
    template.render(messages, &options()).unwrap()
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
    assert!(template.wants_bos());
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
    assert!(
        error.contains("`chatlm`") && error.contains("chatml, llama2, llama3, mistral, zephyr, dialogpt, plain, raw"),
        "{error}"
    );
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
    let error = template.render(&messages, &RenderOptions::default()).unwrap_err();
    assert!(matches!(error, TemplateError::CannotContinue(_)), "{error}");
}

#[test]
fn blocks_swallow_their_line_as_in_hugging_face() {
    let source = "{{ bos_token }}\n{% for m in messages %}\n    {% if m.role == 'user' %}\nU:{{ m.content }}\n    {% endif %}\n{% endfor %}\n{%- if add_generation_prompt %}A:{% endif %}";
    let template = ChatTemplate::from_source("test", source).unwrap();
    assert_eq!(as_they_are(&template, &question(), &options()).unwrap(), "<s>\nU:Hi\nA:");
}

#[test]
fn errors_name_the_template_the_line_and_the_cause() {
    let error = ChatTemplate::from_source("mine.jinja", "a\n{% if %}").unwrap_err().to_string();
    assert!(error.starts_with("chat template mine.jinja, line 2: syntax error"), "{error}");
    let render = |source: &str| {
        let template = ChatTemplate::from_source("mine", source).unwrap();
        template.render(&question(), &RenderOptions::default()).unwrap_err()
    };
    let error = render("{{ raise_exception('roles must alternate') }}");
    assert_eq!(error.to_string(), "chat template mine refuses this conversation: roles must alternate");
    let error = render("{{ messages | no_such_filter }}").to_string();
    assert!(error.contains("no_such_filter"), "{error}");
    let sandbox = Sandbox::of("/nonexistent/gibber");
    let missing = ChatTemplate::from_file(Path::new("/no/such/file.jinja"), &sandbox).unwrap_err().to_string();
    assert!(missing.contains("/no/such/file.jinja"), "{missing}");
}

/// A long conversation is no attack.
#[test]
fn a_conversation_as_long_as_a_large_context_is_rendered() {
    let words = "words and more of them, ".repeat(80);
    let messages: Vec<Message> =
        (0..2001).map(|i| message(if i % 2 == 0 { Role::User } else { Role::Assistant }, &words)).collect();
    for name in BUILTIN_NAMES {
        let text = render(&ChatTemplate::builtin(name).unwrap(), &messages);
        assert!(text.len() > messages.len() * (words.len() - 1), "{name}");
    }
}

#[test]
fn what_follows_a_thought_is_what_chatml_repeats() {
    let mut messages = conversation();
    messages[2].content = "<think>\nHm.\n</think>\n\nHello.".into();
    let template = ChatTemplate::builtin("chatml").unwrap();
    assert_eq!(render(&template, &messages), render(&template, &conversation()));
}

#[test]
fn a_reply_is_continued_behind_what_opened_it() {
    let source = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}{% if m.role == 'assistant' %}</think>{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant><think>{% endif %}";
    let template = ChatTemplate::from_source("test", source).unwrap();
    let mut messages = question();
    messages.push(message(Role::Assistant, "<think>Hm. "));
    assert_eq!(render(&template, &messages), "<system>Be brief.<user>Hi<assistant><think>Hm. ");
    messages[2].content = "Hello".into();
    assert_eq!(render(&template, &messages), "<system>Be brief.<user>Hi<assistant>Hello", "a reply without a thought");
    // Nothing opens a reply here: the model's own blank serves for the template's.
    let llama2 = ChatTemplate::builtin("llama2").unwrap();
    let asked = "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST]";
    assert_eq!(render(&llama2, &question()), asked);
    messages[2].content = " Hello".into();
    assert_eq!(render(&llama2, &messages), format!("{asked} Hello"));
    messages[2].content = "Hello".into();
    assert_eq!(render(&llama2, &messages), format!("{asked} Hello"));
}

#[test]
fn thinking_is_told_only_where_it_is_chosen() {
    let source = "{{ enable_thinking is defined }}{% if enable_thinking is defined %} {{ enable_thinking }}{% endif %}";
    let template = ChatTemplate::from_source("test", source).unwrap();
    let with = |thinking| template.render(&question(), &RenderOptions { thinking, ..options() }).unwrap();
    assert_eq!([with(None), with(Some(true)), with(Some(false))], ["False", "True True", "True False"]);
}

/// As DeepSeek's distilled models have it: it opens a thought, and leaves those of former turns out.
const OPENS_A_THOUGHT: &str = "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' and '</think>' in m.content %}{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}{% endfor %}{% if add_generation_prompt %}<assistant><think>\n{% endif %}";

#[test]
fn a_thought_that_the_template_opens_is_told() {
    let template = ChatTemplate::from_source("test", OPENS_A_THOUGHT).unwrap();
    let opening = |messages: &[Message]| template.rendered(messages, &options()).unwrap().opening;
    assert_eq!(opening(&question()), "<think>\n");
    assert_eq!(opening(&[message(Role::User, "What is <think>")]), "<think>\n");
    let mut continued = question();
    continued.push(message(Role::Assistant, "<think>\nHm"));
    assert_eq!(opening(&continued), "", "it was told with the first of the reply");
    for name in BUILTIN_NAMES {
        let template = ChatTemplate::builtin(name).unwrap();
        let asked = [message(Role::User, "What is <think>")];
        assert_eq!(template.rendered(&asked, &options()).unwrap().opening, "", "{name}: a person's words open none");
    }
}

#[test]
fn a_thought_that_was_cut_is_ended_in_the_next_turn() {
    let template = ChatTemplate::from_source("test", OPENS_A_THOUGHT).unwrap();
    let mut messages = conversation();
    messages[2].content = "<think>\nHm".into();
    let expected = "<system>Be brief.<user>Hi<assistant>\n\n<user>How are you?<assistant><think>\n";
    assert_eq!(render(&template, &messages), expected);
    let contents = template.contents(&messages, &options(), expected);
    assert_eq!(contents.len(), 4, "{contents:?}");
    let keeps = ChatTemplate::from_source("keeps", "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}");
    let keeps = keeps.unwrap();
    let prompt = render(&keeps, &messages);
    assert_eq!(prompt, "<system>Be brief.<user>Hi<assistant><think>\nHm\n</think>\n\n<user>How are you?");
    let contents = keeps.contents(&messages, &options(), &prompt);
    assert_eq!((contents.len(), &prompt[contents[2].range.clone()]), (4, "<think>\nHm"));
}

#[test]
fn a_switch_for_thinking_is_found_by_rendering() {
    let has_switch = |source: &str| {
        let template = ChatTemplate::from_source("test", source).unwrap();
        template.can_switch_thinking(&options()).unwrap()
    };
    assert!(has_switch("{{ messages[0].content }}{% if not enable_thinking %}<think></think>{% endif %}"));
    assert!(has_switch("{% if thinking is defined and thinking %}think{% endif %}"));
    assert!(!has_switch("{{ messages[0].content }}{# enable_thinking #}"));
    assert!(!has_switch(OPENS_A_THOUGHT));
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.jinja");
    std::fs::write(&path, vec![b' '; 1 + MAX_SOURCE]).unwrap();
    let read = ChatTemplate::from_file(&path, &Sandbox::of("/nonexistent/gibber"));
    let error = read.unwrap_err().to_string();
    assert!(error.contains("t.jinja") && error.contains("no more than 1048576 are read"), "{error}");
}

#[test]
fn where_the_process_cannot_be_started_the_error_says_so_and_nothing_runs_here() {
    let template = ChatTemplate::of_stranger("mine", "{{ 1 }}", &Sandbox::of("/nonexistent/gibber")).unwrap();
    let error = template.render(&question(), &options()).unwrap_err().to_string();
    assert!(error.starts_with("chat template mine was stopped: the process in which templates"), "{error}");
}

#[derive(serde::Deserialize)]
struct Golden {
    template: String,
    bos: Option<String>,
    eos: String,
    messages: Vec<Message>,
    thinking: Option<bool>,
    text: Option<String>,
    refused: Option<String>,
}

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn whole_templates_become_what_transformers_makes_of_them() {
    let golden: Vec<Golden> = serde_json::from_str(&fixture("golden.json")).unwrap();
    assert!(golden.len() > 50);
    for Golden { template: name, bos, eos, messages, thinking, text, refused } in golden {
        let template = ChatTemplate::from_source(&name, &fixture(&format!("{name}.jinja"))).unwrap();
        let special = SpecialTexts { bos: bos.unwrap_or_default(), eos };
        // One writes today's date where it is given none, as it was when these were made.
        let today = chrono::Local::now().format("%d %b %Y").to_string();
        match as_they_are(&template, &messages, &RenderOptions { special, thinking }) {
            Ok(rendered) => assert_eq!(Some(rendered.replace(&today, "26 Jul 2024")), text, "{name}"),
            Err(TemplateError::Refused { reason, .. }) => assert_eq!(Some(reason), refused, "{name}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[derive(serde::Deserialize)]
struct Snippet {
    source: String,
    text: Option<String>,
}

#[test]
fn pieces_of_templates_become_what_jinja_makes_of_them() {
    let snippets: Vec<Snippet> = serde_json::from_str(&fixture("snippets.json")).unwrap();
    assert!(snippets.len() > 700);
    let messages = [
        (Role::System, " Be b'rief. "),
        (Role::User, "Hi \"you\" é\n"),
        (Role::Assistant, "<think>\nhm\n</think>\n\nHello"),
        (Role::User, "<b>Bye</b> & so"),
    ]
    .map(|(role, text)| Message::new(role, text));
    let rendered = |source: &str| {
        let template = ChatTemplate::from_source("snippet", source).ok()?;
        as_they_are(&template, &messages, &options()).ok()
    };
    let other: Vec<String> = snippets
        .iter()
        .map(|Snippet { source, text }| (source, text, rendered(source)))
        .filter(|(_, expected, rendered)| rendered != *expected)
        .map(|(source, expected, rendered)| format!("{source:?}\n  not {expected:?}\n  but {rendered:?}"))
        .collect();
    assert!(other.is_empty(), "{}", other.join("\n"));
}
