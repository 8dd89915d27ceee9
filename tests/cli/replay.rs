//! Stored replies are computed again.

use super::*;

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama");

/// Longer than what is computed token by token.
const QUESTION: &str =
    "One fox, two dogs, three cats, four birds, five trees and six stones were on their way. Who was first?";

/// A chat that was held line by line, with a tiny model. The seed is fixed, so that no reply ends before it has begun.
fn held(gibber: &Gibber, model: &str, isa: Option<&str>, flags: &[&str], lines: &str) -> String {
    let mut command = gibber.command(&["repl", "-m", model, "--chat-template", "plain", "--seed", "7"]);
    command.args(flags).stdin(Stdio::piped());
    if let Some(isa) = isa {
        command.env("GIBBER_ISA", isa);
    }
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    stdout_of(child.wait_with_output().unwrap())
}

fn replay(gibber: &Gibber, isa: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = gibber.command(&["replay", "1"]);
    command.args(arguments);
    if let Some(isa) = isa {
        command.env("GIBBER_ISA", isa);
    }
    command.output().unwrap()
}

fn exported(gibber: &Gibber) -> Value {
    serde_json::from_str(&gibber.stdout(&["sessions", "export", "1"])).unwrap()
}

fn replies(chat: &Value) -> Vec<&Value> {
    chat["messages"].as_array().unwrap().iter().filter(|message| message["role"] == "assistant").collect()
}

/// A copy of the tiny model, which can be changed.
fn own_model(gibber: &Gibber) -> std::path::PathBuf {
    let folder = gibber.path("own-model");
    fs::create_dir_all(&folder).unwrap();
    for file in fs::read_dir(TINY).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&file, folder.join(file.file_name().unwrap())).unwrap();
    }
    folder
}

#[test]
fn every_reply_of_a_chat_is_computed_again_bit_by_bit() {
    let gibber = Gibber::new();
    let lines = format!("{QUESTION}\nAnd then?\n/temperature 1.3\nWho?\n/continue\n/replay\n/replay 1\n");
    let said = held(&gibber, TINY, None, &["-n", "6"], &lines);
    assert!(said.contains("reply 3 is identical: ") && said.contains("reply 1 is identical: "), "{said}");
    for number in ["1", "2", "3"] {
        let said = stdout_of(replay(&gibber, None, &[number]));
        assert!(said.contains(&format!("reply {number} is identical: ")), "{said}");
    }
    assert!(stdout_of(replay(&gibber, None, &[])).contains("reply 3 is identical: "), "the last where none is named");
    let error = failure(&replay(&gibber, None, &["4"]), 1);
    assert!(error.contains("there is no reply 4: this chat has 3 of them"), "{error}");
}

#[test]
fn what_made_a_reply_is_stored_exported_and_imported() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "12", "--stop", "zzz"], &format!("{QUESTION}\n"));
    let chat = exported(&gibber);
    let made = &replies(&chat)[0]["provenance"];
    let passage = &made["passages"][0];
    assert_eq!((&passage["seed"], &passage["max_tokens"], &passage["stop"][0]), (&7.into(), &12.into(), &"zzz".into()));
    assert!(!passage["tokens"].as_array().unwrap().is_empty());
    assert_eq!(made["model"]["hash"].as_str().unwrap().len(), 32);
    assert!(made["model"].get("path").is_none(), "where it was tells of this machine");
    assert_eq!((&chat["settings"]["sampling"]["seed"], &chat["settings"]["template"]), (&7.into(), &"plain".into()));
    assert!(made["perplexity"].as_f64().unwrap() > 0.0 && passage["cost"]["prefill_ms"].as_f64().unwrap() > 0.0);
    let file = gibber.write("chat.json", chat.to_string());
    gibber.stdout(&["sessions", "delete", "1"]);
    gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    assert_eq!(exported(&gibber)["messages"], chat["messages"]);
    let said = stdout_of(replay(&gibber, None, &["1", "-m", TINY]));
    assert!(said.contains("reply 1 is identical: "), "{said}");
}

#[test]
fn the_instruction_set_is_told_where_it_is_another_one() {
    let gibber = Gibber::new();
    held(&gibber, TINY, Some("portable"), &["-n", "8"], &format!("{QUESTION}\nWhy?\n"));
    let same = stdout_of(replay(&gibber, Some("portable"), &["2"]));
    assert!(same.starts_with("reply 2 is identical: "), "{same}");
    if !gibber_engine::kernels::isa::Isa::available().iter().any(|isa| isa.as_str() == "avx2") {
        return;
    }
    let other = replay(&gibber, Some("avx2"), &["2"]);
    let said = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(
        said.starts_with("it was computed with the instruction set portable, and is computed with avx2 here"),
        "{said}"
    );
    let is_same = said.contains("reply 2 is identical");
    assert_eq!(other.status.code(), Some(if is_same { 0 } else { 1 }), "{said}");
    assert!(is_same || said.contains("reply 2 differs "), "{said}");
}

#[test]
fn a_model_that_has_changed_or_is_gone_is_told() {
    let gibber = Gibber::new();
    let model = own_model(&gibber);
    held(&gibber, model.to_str().unwrap(), None, &["-n", "8"], "Hi\n");
    assert!(stdout_of(replay(&gibber, None, &[])).starts_with("reply 1 is identical: "));
    let weights = model.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    let changed = replay(&gibber, None, &[]);
    let said = String::from_utf8_lossy(&changed.stdout).into_owned();
    assert!(said.starts_with("the model is another one: "), "{said}");
    fs::rename(&model, gibber.path("elsewhere")).unwrap();
    let error = failure(&replay(&gibber, None, &[]), 1);
    assert!(error.contains("own-model") && error.contains("is not here: -m/--model names"), "{error}");
    bytes[at] ^= 1;
    fs::write(gibber.path("elsewhere/model.safetensors"), &bytes).unwrap();
    let moved = gibber.path("elsewhere");
    assert!(stdout_of(replay(&gibber, None, &["-m", moved.to_str().unwrap()])).contains("reply 1 is identical"));
}

#[test]
fn tokens_behind_an_alternative_that_was_taken_are_not_counted() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "10"], &format!("{QUESTION}\n"));
    let mut chat = exported(&gibber);
    // As if the reply went on otherwise from its second byte on.
    chat["messages"][1]["provenance"]["passages"][0]["end"] = 1.into();
    let file = gibber.write("chat.json", chat.to_string());
    gibber.stdout(&["sessions", "delete", "1"]);
    gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    let said = stdout_of(replay(&gibber, None, &["-m", TINY]));
    assert!(said.contains("reply 1 is identical: 1 token\n"), "{said}");
}

#[test]
fn the_first_token_that_differs_is_told_with_its_place() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "10"], &format!("{QUESTION}\n"));
    let mut chat = exported(&gibber);
    let tokens = chat["messages"][1]["provenance"]["passages"][0]["tokens"].as_array_mut().unwrap();
    let other = if tokens[4] == 40 { 41 } else { 40 };
    tokens[4] = other.into();
    let file = gibber.write("chat.json", chat.to_string());
    gibber.stdout(&["sessions", "delete", "1"]);
    gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    let output = replay(&gibber, None, &["-m", TINY]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("reply 1 differs from token 5 on (after \""), "{said}");
    assert!(said.contains(&format!("(token {other}) was said, and ")), "{said}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_reply_for_which_turns_were_left_out_is_computed_without_them_again() {
    let gibber = Gibber::new();
    let questions: String = (0..7).map(|number| format!("Question number {number} about many things\n")).collect();
    held(&gibber, TINY, None, &["-c", "120", "-n", "12"], &questions);
    let said = stdout_of(replay(&gibber, None, &["7"]));
    assert!(said.contains("the context of 120 tokens had no room for the first "), "{said}");
    assert!(said.contains("reply 7 is identical: "), "{said}");
}

#[test]
fn a_reply_of_which_nothing_is_known_is_told_as_such() {
    let gibber = Gibber::new();
    let chat = serde_json::json!([{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]);
    let file = gibber.write("import.json", chat.to_string());
    gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    let error = failure(&replay(&gibber, None, &[]), 1);
    assert!(error.contains("nobody knows how reply 1 came to be"), "{error}");
    let error = failure(&gibber.run(&["replay", "5"]), 1);
    assert!(error.contains("there is no chat 5"), "{error}");
}

#[test]
fn a_provenance_that_cannot_be_is_no_reason_to_fall() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "5"], "Hi\n");
    let chat = exported(&gibber);
    for (field, value) in [
        ("start", serde_json::json!(u64::MAX)),
        ("end", serde_json::json!(3)),
        ("steps", serde_json::json!([[u64::MAX, 4_000_000_000_u32], [0, null]])),
        ("sampling", serde_json::json!([])),
        ("sampling", serde_json::json!([[u64::MAX, {}], [0, {"temperature": 1e30}]])),
        ("tokens", serde_json::json!([4_000_000_000_u32])),
        ("cost", serde_json::json!({"ttft_ms": -1e300})),
        ("machine", serde_json::json!({"context": u64::MAX, "batch": u64::MAX, "cache": "x"})),
        ("prompt", serde_json::json!({"left_out": 99, "passes": [[4_000_000_000_u32, 1], [1, 4_000_000_000_u32]]})),
    ] {
        let mut odd = chat.clone();
        odd["messages"][1]["provenance"]["passages"][0][field] = value;
        let file = gibber.write("odd.json", odd.to_string());
        let id = gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
        let id = id.split_whitespace().next().unwrap();
        let output = gibber.run(&["replay", id, "-m", TINY]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 1)) && !said.contains("panicked"), "{field}: {said}");
        let lines = format!("/open {id}\n/stats\n");
        let shown = gibber.run_with_stdin(&["repl", "-m", TINY, "-n", "1"], lines.as_bytes());
        let said = String::from_utf8_lossy(&shown.stderr).into_owned();
        assert!(!said.contains("panicked"), "{field}: {said}");
    }
}

#[test]
fn statistics_are_shown_again_after_reopening() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "9", "--seed", "11"], &format!("{QUESTION}\n/rename T\n"));
    let said = held(&gibber, TINY, None, &["-n", "2"], "/open T\n/stats\n");
    assert!(said.contains(" tok · ") && said.contains("seed 11"), "{said}");
}

#[test]
fn variants_of_a_comparison_say_what_they_were_called() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "6"], "/compare seed=3 creative -- Hi\n");
    let chat = exported(&gibber);
    let variants: Vec<&str> =
        replies(&chat).iter().map(|reply| reply["provenance"]["lane"].as_str().unwrap()).collect();
    assert_eq!(variants, ["seed 3", "creative"]);
    assert!(stdout_of(replay(&gibber, None, &[])).contains("reply 1 is identical"));
}

#[test]
fn what_cannot_be_is_told_when_a_chat_is_imported() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "4"], "Hi\nAnd?\n");
    let mut chat = exported(&gibber);
    chat["messages"][1]["provenance"]["passages"][0]["start"] = 900.into();
    chat["messages"][3]["provenance"]["passages"] = "none".into();
    let file = gibber.write("chat.json", chat.to_string());
    gibber.stdout(&["sessions", "delete", "1"]);
    let output = gibber.run(&["sessions", "import", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("chat.json: how message 2 came to be is left out: a part of it is to begin"), "{said}");
    assert!(said.contains("how message 4 came to be is left out: it is not understood"), "{said}");
    stdout_of(output);
    let error = failure(&replay(&gibber, None, &["1", "-m", TINY]), 1);
    assert!(error.contains("nobody knows how reply 1 came to be"), "{error}");
}

#[test]
fn a_difference_shows_the_token_that_was_said_and_what_it_reads() {
    let gibber = Gibber::new();
    held(&gibber, TINY, None, &["-n", "6"], "Hi\n");
    let mut chat = exported(&gibber);
    let tokens = &mut chat["messages"][1]["provenance"]["passages"][0]["tokens"];
    let other = u64::from(tokens[2] != 65) + 64;
    tokens[2] = other.into();
    let file = gibber.write("chat.json", chat.to_string());
    gibber.stdout(&["sessions", "delete", "1"]);
    gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
    let output = replay(&gibber, None, &["-m", TINY]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let text = |id: u64| {
        let made = gibber_engine::load::open(&gibber_engine::load::ModelSource::Path(TINY.into())).unwrap();
        made.tokenizer().unwrap().piece(id as u32)
    };
    let expected = format!("{:?} (token {other}) was said, and ", text(other));
    assert!(said.contains("differs from token 3 on") && said.contains(&expected), "{expected}: {said}");
}

#[test]
fn a_reply_that_two_models_wrote_is_told_when_it_is_computed_again() {
    let gibber = Gibber::new();
    let other = own_model(&gibber);
    let weights = other.join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&weights, &bytes).unwrap();
    let lines = format!("Hi\n/model {}\n/continue\n", other.display());
    held(&gibber, TINY, None, &["-n", "4"], &lines);
    let chat = exported(&gibber);
    assert_eq!(replies(&chat)[0]["provenance"]["passages"].as_array().map(Vec::len), Some(2));
    let said = String::from_utf8_lossy(&replay(&gibber, None, &["1", "-m", TINY]).stdout).into_owned();
    assert!(said.starts_with("a part of it was written by "), "{said}");
    assert!(
        said.contains("one model computes all of it here") && !said.contains("the prompt is not the one"),
        "{said}"
    );
}
