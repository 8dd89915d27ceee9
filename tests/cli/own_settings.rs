//! What a model brings for the sampling, and what comes before it: flags, `/set`, the chat, config.toml.

use super::parrot::{CONTROL, Parrot, f32_value, string_value, u32_value};
use super::*;

const MARKS: [(&str, i32); 2] = [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL)];

/// A model that says `Hello!`, in the making.
fn parrot() -> Parrot {
    Parrot::new(&MARKS, &["Hello", "!", "<|im_end|>"])
}

/// A config directory with a model as `warm.gguf` that brings temperature 0.6, top-k 20 and a repeat penalty.
fn with_model() -> (Gibber, String) {
    let gibber = Gibber::new();
    let model = parrot()
        .with("general.sampling.temp", f32_value(0.6))
        .with("general.sampling.top_k", u32_value(20))
        .with("general.sampling.penalty_repeat", f32_value(1.25));
    let path = gibber.write("warm.gguf", model.bytes()).display().to_string();
    (gibber, path)
}

/// A copy of a folder of fixtures that says this in its `generation_config.json`.
fn folder_with(gibber: &Gibber, generation: &str) -> String {
    let folder = gibber.path("folder");
    fs::create_dir_all(&folder).unwrap();
    let source = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama"));
    for entry in fs::read_dir(source).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    fs::write(folder.join("generation_config.json"), generation).unwrap();
    folder.display().to_string()
}

/// What `run -v` says of the sampling.
fn sampling_of_run(gibber: &Gibber, arguments: &[&str]) -> String {
    let output = gibber.run(&[&["run", "-v", "-n", "2"], arguments, &["Hi"]].concat());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    said.lines().find(|line| line.starts_with("sampling")).unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// What the line REPL prints to these lines.
fn repl(gibber: &Gibber, arguments: &[&str], lines: &str) -> String {
    stdout_of(gibber.run_with_stdin(&[&["repl", "-n", "2"], arguments].concat(), lines.as_bytes()))
}

/// The line of `/show`, or of `config show`, on this.
fn line_of<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .rfind(|line| line.trim_start_matches("# ").starts_with(name))
        .unwrap_or_else(|| panic!("{name}: {text}"))
}

#[test]
fn a_run_takes_what_a_gguf_file_brings_and_says_so() {
    let (gibber, model) = with_model();
    let said = sampling_of_run(&gibber, &["-m", &model]);
    for part in ["temperature 0.60 (from the model)", "top-k 20 (from the model)", "top-p 0.95 (default)"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.contains("repeat-penalty 1.25 (from the model)"), "{said}");
}

#[test]
fn a_run_takes_what_a_generation_config_brings() {
    let gibber = Gibber::new();
    let text =
        r#"{"do_sample": true, "temperature": 0.3, "top_p": 0.7, "repetition_penalty": 1.05, "eos_token_id": [2, 0]}"#;
    let model = folder_with(&gibber, text);
    let said = sampling_of_run(&gibber, &["-m", &model]);
    assert!(
        said.contains("temperature 0.30 (from the model)") && said.contains("top-p 0.70 (from the model)"),
        "{said}"
    );
    folder_with(&gibber, r#"{"do_sample": false, "temperature": 0.3, "top_p": 0.7, "eos_token_id": [2, 0]}"#);
    let said = sampling_of_run(&gibber, &["-m", &model]);
    assert!(said.contains("temperature 0.00 (from the model)") && said.contains("top-p 0.95 (default)"), "{said}");
}

#[test]
fn each_source_comes_before_those_that_are_weaker() {
    let (gibber, model) = with_model();
    let run = |more: &[&str]| sampling_of_run(&gibber, &[&["-m", &model], more].concat());
    gibber.write("config.toml", "[sampling]\ntemperature = 0.5\ntop_k = 40\n");
    let said = run(&[]);
    assert!(said.contains("temperature 0.50 (from config.toml)"), "{said}");
    assert!(said.contains("top-k 20 (from the model)"), "a key at the program's default counts as unset: {said}");
    let said = run(&["--temp", "0.8", "--top-k", "40"]);
    assert!(said.contains("temperature 0.80 (a flag)") && said.contains("top-k 40 (a flag)"), "{said}");
}

#[test]
fn the_likeliest_token_each_time_is_what_the_model_says_without_what_it_brings() {
    let (gibber, model) = with_model();
    let said = sampling_of_run(&gibber, &["-m", &model, "--temp", "0"]);
    assert!(said.contains("temperature 0.00 (a flag)") && !said.contains("from the model"), "{said}");
}

#[test]
fn values_out_of_range_are_ignored_and_named_with_the_file() {
    let gibber = Gibber::new();
    let model = folder_with(&gibber, r#"{"temperature": -3, "top_p": 0.7, "eos_token_id": [2, 0]}"#);
    let output = gibber.run(&["run", "-n", "2", "-m", &model, "Hi"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let expected = "generation_config.json: `temperature` = -3 is ignored: temperature = -3 is out of range: it must be from 0 to 5";
    assert!(said.contains(expected), "{said}");
    let shown = gibber.stdout(&["models", "info", &model]);
    assert!(
        shown.contains(expected) && line_of(&shown, "sampling").contains("top-p 0.70 (generation_config.json)"),
        "{shown}"
    );
}

#[test]
fn a_models_settings_are_told_before_it_is_run() {
    let (gibber, model) = with_model();
    let shown = gibber.stdout(&["models", "info", &model]);
    let expected = "temperature 0.60 · top-k 20 · repeat-penalty 1.25 (general.sampling)";
    assert!(line_of(&shown, "sampling").ends_with(expected), "{shown}");
    let info = &json_lines(&gibber.stdout(&["models", "info", "--json", &model]))[0];
    assert_eq!(info["sampling"], serde_json::json!({"temperature": 0.6, "top_k": 20, "repeat_penalty": 1.25}));
}

#[test]
fn the_settings_in_use_are_shown_with_where_they_come_from() {
    let (gibber, model) = with_model();
    gibber.write("config.toml", format!("[model]\nname = {model:?}\n[sampling]\ntop_k = 7\nmin_p = 0.05\n"));
    let shown = gibber.command(&["config", "show"]).env("GIBBER_THREADS", "2").output().unwrap();
    let shown = stdout_of(shown);
    assert_eq!(line_of(&shown, "temperature ="), "# temperature = 0.6 # from the model (general.sampling)");
    assert_eq!(line_of(&shown, "top_k ="), "top_k = 7 # config.toml");
    assert_eq!(line_of(&shown, "min_p ="), "min_p = 0.05 # default");
    assert_eq!(line_of(&shown, "threads ="), "threads = 2 # the environment");
    let checked = gibber.stdout(&["config", "check"]);
    assert!(
        checked.contains("is valid\n") && checked.contains("config.toml:5: `sampling.min_p` stands at the default"),
        "{checked}"
    );
}

#[test]
fn a_chat_is_gone_on_with_as_it_was_left() {
    let (gibber, model) = with_model();
    let shown = repl(&gibber, &["-m", &model], "Hi\n/set temperature 0.3\n/template chatml\n/show\n");
    assert_eq!(line_of(&shown, "temperature "), "temperature       0.30 (set here)");
    let shown = repl(&gibber, &["-m", &model], "/show\n/open Hi\n/show\n");
    let of_new = shown.lines().find(|line| line.starts_with("temperature ")).unwrap();
    assert_eq!(of_new, "temperature       0.60 (from the model)", "a new chat has nothing of another");
    assert_eq!(line_of(&shown, "temperature "), "temperature       0.30 (kept by this chat)");
    assert_eq!(line_of(&shown, "template "), "template          chatml");
    assert_eq!(line_of(&shown, "top-k "), "top-k             20 (from the model)");
    let shown = repl(&gibber, &["-m", &model, "--temp", "0.9"], "/open Hi\n/show\n");
    assert_eq!(line_of(&shown, "temperature "), "temperature       0.90 (a flag)");
}

#[test]
fn with_another_model_come_its_settings_and_what_was_set_stays() {
    let (gibber, warm) = with_model();
    let cold = parrot().with("general.sampling.temp", f32_value(0.2)).with("general.sampling.top_k", u32_value(5));
    let cold = gibber.write("cold.gguf", cold.bytes()).display().to_string();
    let shown = repl(&gibber, &["-m", &warm], &format!("/set top-k 9\n/model {cold}\nHi\n/show\n"));
    assert_eq!(line_of(&shown, "temperature "), "temperature       0.20 (from the model)");
    assert_eq!(line_of(&shown, "top-k "), "top-k             9 (set here)");
    assert_eq!(line_of(&shown, "repeat-penalty "), "repeat-penalty    1.00");
}

#[test]
fn only_what_a_person_has_set_is_saved() {
    let (gibber, model) = with_model();
    repl(&gibber, &["-m", &model], "Hi\n/set min-p 0.2\n/save\n");
    let text = fs::read_to_string(gibber.path("config.toml")).unwrap();
    assert!(text.contains("min_p = 0.2") && !text.contains("temperature") && !text.contains("top_k"), "{text}");
}

#[test]
fn another_set_is_taken_while_the_model_thinks() {
    let gibber = Gibber::new();
    let template = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}{% endfor %}{{ '<|im_start|>assistant\\n' }}{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}";
    let model = parrot()
        .with("general.name", string_value(b"Qwen3 0.6B"))
        .with("general.sampling.temp", f32_value(0.6))
        .with("tokenizer.chat_template", string_value(template.as_bytes()));
    let model = gibber.write("thinker.gguf", model.bytes()).display().to_string();
    let said = sampling_of_run(&gibber, &["-m", &model]);
    assert!(said.starts_with("sampling (while it thinks): temperature 0.60"), "the template thinks by itself: {said}");
    assert!(said.contains("top-p 0.95 (from the model)"), "{said}");
    let said = sampling_of_run(&gibber, &["-m", &model, "--think=off"]);
    assert!(
        said.contains("temperature 0.70 (from the model)") && said.contains("top-p 0.80 (from the model)"),
        "{said}"
    );
    let said = sampling_of_run(&gibber, &["-m", &model, "--think=on", "--temp", "0.4"]);
    assert!(said.contains("temperature 0.40 (a flag)") && said.contains("top-k 20 (from the model)"), "{said}");
}

#[test]
fn what_is_converted_brings_what_the_folder_brought() {
    let gibber = Gibber::new();
    let model = folder_with(&gibber, r#"{"temperature": 0.3, "top_k": 11, "eos_token_id": [2, 0]}"#);
    let target = gibber.path("small.gguf").display().to_string();
    gibber.stdout(&["models", "quantize", "--type", "q8_0", &model, &target]);
    let said = sampling_of_run(&gibber, &["-m", &target]);
    assert!(said.contains("temperature 0.30 (from the model)") && said.contains("top-k 11 (from the model)"), "{said}");
}

#[test]
fn the_default_model_has_settings_against_loops() {
    let gibber = Gibber::new();
    let shown = gibber.stdout(&["models", "info"]);
    assert!(line_of(&shown, "sampling").contains("repeat-penalty 1.10"), "{shown}");
    let shown = gibber.stdout(&["config", "show"]);
    assert!(line_of(&shown, "repeat_penalty =").starts_with("# repeat_penalty = 1.1 # from the model"), "{shown}");
}
