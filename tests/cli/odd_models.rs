//! Models whose files say something odd: what is in nobody's way is a note, what is wrong is an error that names it.

use super::parrot::{CONTROL, NORMAL, Parrot, USER_DEFINED, u32_value};
use super::*;

const CHAT: [(&str, i32); 3] = [("<|im_start|>", CONTROL), ("<|im_end|>", CONTROL), ("</s>", NORMAL)];

/// A model that says `Hello!` and ends its turn.
fn polite() -> Parrot {
    Parrot::new(&CHAT, &["Hello", "!", "<|im_end|>"])
}

/// The text of a reply and why it ended.
fn reply(gibber: &Gibber, model: &Path, more: &[&str]) -> (String, String) {
    let arguments = [&["run", "-m", model.to_str().unwrap(), "--json", "-n", "12", "Hi"], more].concat();
    let lines = json_lines(&gibber.stdout(&arguments));
    let done = lines.last().unwrap();
    (done["text"].as_str().unwrap().to_owned(), done["finish_reason"].as_str().unwrap().to_owned())
}

#[test]
fn an_end_mark_of_any_type_ends_a_reply_and_is_not_shown() {
    let gibber = Gibber::new();
    let marks = ["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<|fim_pad|>"];
    for mark in marks {
        for kind in [NORMAL, CONTROL, USER_DEFINED] {
            let parrot = Parrot::new(&[("<|im_start|>", CONTROL), (mark, kind)], &["Hello", "!", mark]);
            let model = gibber.write("parrot.gguf", parrot.bytes());
            assert_eq!(reply(&gibber, &model, &[]), ("Hello!".into(), "stop".into()), "{mark} of type {kind}");
        }
    }
    let model = gibber.path("parrot.gguf");
    let info = gibber.stdout(&["models", "info", model.to_str().unwrap()]);
    assert!(info.contains("end tokens     <|fim_pad|> (257)"), "{info}");
    let ids = gibber.stdout(&["tokenize", "-m", model.to_str().unwrap(), "--json", "<|fim_pad|>"]);
    assert!(ids.contains("\"ids\":[257]"), "{ids}");
}

#[test]
fn a_word_that_looks_like_an_end_does_not_end_a_reply_of_a_model_with_another() {
    let gibber = Gibber::new();
    let parrot = Parrot::new(&CHAT, &["<s>x", "</s>", "!", "<|im_end|>"]);
    let model = gibber.write("html.gguf", parrot.bytes());
    assert_eq!(reply(&gibber, &model, &[]), ("<s>x</s>!".into(), "stop".into()));
    let only = Parrot::new(&[("</s>", NORMAL)], &["Hello", "</s>"]);
    let model = gibber.write("only.gguf", only.bytes());
    assert_eq!(reply(&gibber, &model, &[]), ("Hello".into(), "stop".into()), "nothing else could end it");
    let named = Parrot::new(&CHAT, &["Hello", "</s>"]);
    let id = named.id("</s>").unwrap() as u32;
    let model = gibber.write("named.gguf", named.with("tokenizer.ggml.eos_token_id", u32_value(id)).bytes());
    assert_eq!(reply(&gibber, &model, &[]), ("Hello".into(), "stop".into()));
}

#[test]
fn special_tokens_outside_the_vocabulary_are_notes_until_they_are_used() {
    let gibber = Gibber::new();
    let keys = ["bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id"];
    let odd =
        || keys.iter().fold(polite(), |parrot, key| parrot.with(&format!("tokenizer.ggml.{key}"), u32_value(50256)));
    let model = gibber.write("odd.gguf", odd().bytes());
    assert_eq!(reply(&gibber, &model, &[]), ("Hello!".into(), "stop".into()));
    let model = model.to_str().unwrap();
    let output = gibber.run(&["run", "-m", model, "-v", "-n", "4", "Hi"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let note = "odd.gguf: `tokenizer.ggml.eos_token_id` is 50256, the vocabulary has";
    assert!(output.status.success() && stderr.contains(note), "{stderr}");
    let info = gibber.stdout(&["models", "info", model]);
    assert!(info.contains(note) && info.contains("<|im_end|> (257)"), "{info}");
    let begins = odd().with("tokenizer.ggml.add_bos_token", vec![7, 0, 0, 0, 1]);
    let model = gibber.write("begins.gguf", begins.bytes());
    let error = failure(&gibber.run(&["run", "-m", model.to_str().unwrap(), "--raw", "Hi"]), 1);
    assert!(error.contains("begins.gguf") && error.contains("`tokenizer.ggml.bos_token_id` is 50256"), "{error}");
}
