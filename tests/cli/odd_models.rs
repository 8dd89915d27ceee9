//! Models whose files say something odd: what is in nobody's way is a note, what is wrong is an error that names it.

use super::parrot::{
    CONTROL, NORMAL, Parrot, USER_DEFINED, f32_value, f32s_value, string_value, u32_value, u32s_value,
};
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
    let texts = ["<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<|fim_pad|>"];
    for text in texts {
        for kind in [NORMAL, CONTROL, USER_DEFINED] {
            let parrot = Parrot::new(&[("<|im_start|>", CONTROL), (text, kind)], &["Hello", "!", text]);
            let model = gibber.write("parrot.gguf", parrot.bytes());
            assert_eq!(reply(&gibber, &model, &[]), ("Hello!".into(), "stop".into()), "{text} of type {kind}");
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
    let marked = [CHAT[0], CHAT[1], ("</s>", USER_DEFINED)];
    let marked = Parrot::new(&marked, &["Hello", "</s>", "!", "<|im_end|>"]);
    let model = gibber.write("marked.gguf", marked.bytes());
    assert_eq!(
        reply(&gibber, &model, &[]),
        ("Hello".into(), "stop".into()),
        "somebody has marked it as more than a word"
    );
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

/// What a run of the model says on stderr, which has to name its file.
fn refusal(gibber: &Gibber, parrot: &Parrot) -> String {
    let model = gibber.write("odd.gguf", parrot.bytes());
    let error = failure(&gibber.run(&["run", "-m", model.to_str().unwrap(), "-n", "4", "Hi"]), 1);
    assert!(error.contains("odd.gguf"), "{error}");
    error
}

#[test]
fn numbers_that_cannot_be_are_refused_by_file_and_key() {
    let gibber = Gibber::new();
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    let wrong = |key: &str, numbers: &[f32], more: &dyn Fn(Parrot) -> Parrot| {
        for &number in numbers {
            let error = refusal(&gibber, &more(polite().with(key, f32_value(number))));
            assert!(error.contains(&format!("`{key}` is {}", f64::from(number))), "{error}");
        }
    };
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let same = |parrot: Parrot| parrot;
    wrong(epsilon, &[nan, inf, -1e-5], &same);
    wrong("llama.rope.freq_base", &[nan, inf, 0.0, -10_000.0], &same);
    wrong("llama.rope.scale_linear", &[nan, inf, 0.0, -2.0], &same);
    for kind in ["linear", "yarn"] {
        let scaled = |parrot: Parrot| parrot.with("llama.rope.scaling.type", string_value(kind.as_bytes()));
        wrong("llama.rope.scaling.factor", &[nan, inf, 0.0, -2.0], &scaled);
    }
    let yarn = |parrot: Parrot| {
        let factor = parrot.with("llama.rope.scaling.factor", f32_value(2.0));
        factor.with("llama.rope.scaling.type", string_value(b"yarn"))
    };
    for key in ["attn_factor", "yarn_beta_fast", "yarn_beta_slow"] {
        wrong(&format!("llama.rope.scaling.{key}"), &[nan, inf, -1.0], &yarn);
    }
    let together = yarn(polite()).with("llama.rope.freq_base", f32_value(1.0));
    assert!(refusal(&gibber, &together).contains("numbers of its rotation are impossible together"));
    let mut scores = vec![-1.0; 260];
    scores[7] = nan;
    let pieces = polite().with("tokenizer.ggml.model", string_value(b"llama"));
    let error = refusal(&gibber, &pieces.with("tokenizer.ggml.scores", f32s_value(&scores)));
    assert!(error.contains("`tokenizer.ggml.scores[7]` is NaN"), "{error}");
    let mut factors = polite();
    factors.tensors.push(("rope_freqs.weight".into(), vec![8], vec![1.0, 1.0, nan, 1.0, 1.0, 1.0, 1.0, 1.0]));
    assert!(refusal(&gibber, &factors).contains("tensor `rope_freqs.weight` has the factor NaN"));
    assert_eq!(
        reply(&gibber, &gibber.write("zero.gguf", polite().with(epsilon, f32_value(0.0)).bytes()), &[]).0,
        "Hello!"
    );
}

#[test]
fn a_logit_that_is_no_number_is_an_error_wherever_it_is_met() {
    let gibber = Gibber::new();
    let spoiled = |tensor: &str, at: usize, value: f32| {
        let mut parrot = polite();
        parrot.values(tensor)[at] = value;
        parrot.bytes()
    };
    let row = 64 * 200;
    for (name, file) in [
        ("nan.gguf", spoiled("output.weight", row, f32::NAN)),
        ("inf.gguf", spoiled("output_norm.weight", 5, f32::INFINITY)),
        ("end.gguf", spoiled("output.weight", 64 * 257 + 3, f32::INFINITY)),
        ("all.gguf", spoiled("blk.0.attn_norm.weight", 0, f32::NAN)),
    ] {
        let model = gibber.write(name, file);
        let model = model.to_str().unwrap();
        let commands: [&[&str]; 6] = [
            &["run", "-m", model, "Hi"],
            &["run", "-m", model, "--temp", "0", "--json", "Hi"],
            &["run", "-m", model, "--raw", "--top-k", "0", "--top-p", "1", "--min-p", "0", "Hi"],
            &["score", "-m", model, "-p", "Hi there"],
            &["score", "-m", model, "--json", "-p", "Hi there"],
            &["run", "-m", model, "--quantize", "q8_0", "Hi"],
        ];
        for arguments in commands {
            let output = gibber.run(arguments);
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(1), "{name} {arguments:?}: {stdout}{stderr}");
            let known = stderr.contains("computed no numbers") || stderr.contains("are infinite or no numbers");
            assert!(known, "{name} {arguments:?}: {stderr}");
            assert!(!stdout.contains("done") && !stdout.contains("summary"), "{stdout}");
        }
    }
    let model = gibber.path("nan.gguf");
    let error = failure(&gibber.run(&["run", "-m", model.to_str().unwrap(), "Hi"]), 1);
    assert!(error.contains("token 200") && error.contains("is NaN, as 1 of 260 are"), "{error}");
    assert!(error.starts_with(&format!("error: {}: ", model.display())), "{error}");
}

#[test]
fn the_token_for_which_no_number_is_computed_is_named_with_the_file() {
    let gibber = Gibber::new();
    let mut parrot = polite();
    let at = parrot.id("q").unwrap();
    parrot.values("token_embd.weight")[64 * at + 3] = f32::NAN;
    let model = gibber.write("spoiled.gguf", parrot.bytes());
    let named = format!("{}: the model computed no numbers (NaN) for token {at}, which follows", model.display());
    let model = model.to_str().unwrap();
    for words in
        ["q", "Hi there, q", "Hi there, and so on: q, or so", "Some more words before it, and many behind q: Hi"]
    {
        let error = failure(&gibber.run(&["run", "-m", model, "--raw", words]), 1);
        let place = words.find('q').unwrap();
        assert!(error.contains(&format!("{named} {place} others")), "{words}: {error}");
        let error = failure(&gibber.run(&["score", "-m", model, "-p", &format!("{words}.")]), 1);
        assert!(error.contains(&named), "{words}: {error}");
    }
}

#[test]
fn the_old_key_and_a_factor_without_a_type_scale_the_rotation() {
    let gibber = Gibber::new();
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    let scores = |parrot: Parrot| {
        // Attention that looks: otherwise the rotation would be no matter.
        let mut parrot = parrot.with(epsilon, f32_value(1e-5));
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            let values = parrot.values(&format!("blk.0.{name}.weight"));
            (0..64).for_each(|at| values[at * 64 + (at * 7) % 64] = 0.7);
        }
        let model = gibber.write("rope.gguf", parrot.bytes());
        gibber.stdout(&["score", "-m", model.to_str().unwrap(), "-p", "The licence of work in the year"])
    };
    let (kind, factor) = ("llama.rope.scaling.type", "llama.rope.scaling.factor");
    let reference = scores(polite().with(kind, string_value(b"linear")).with(factor, f32_value(4.0)));
    assert_eq!(scores(polite().with("llama.rope.scale_linear", f32_value(4.0))), reference);
    assert_eq!(scores(polite().with(factor, f32_value(4.0))), reference);
    assert_eq!(scores(polite().with(kind, string_value(b"")).with(factor, f32_value(4.0))), reference);
    let plain = scores(polite());
    assert_ne!(plain, reference);
    assert_eq!(scores(polite().with(kind, string_value(b""))), plain);
    assert_eq!(scores(polite().with(kind, string_value(b"none")).with(factor, f32_value(4.0))), plain);
}

#[test]
fn a_size_may_be_a_list_with_the_same_for_each_layer() {
    let gibber = Gibber::new();
    for (key, size) in [("attention.head_count", 4), ("attention.head_count_kv", 4), ("feed_forward_length", 32)] {
        let parrot = polite().with(&format!("llama.{key}"), u32s_value(&[size]));
        assert_eq!(reply(&gibber, &gibber.write("list.gguf", parrot.bytes()), &[]).0, "Hello!", "{key}");
        let error = refusal(&gibber, &polite().with(&format!("llama.{key}"), u32s_value(&[size, size, 2 * size])));
        assert!(error.contains(&format!("`llama.{key}` is {size} in layer 0 and {} in layer 2", 2 * size)), "{error}");
    }
}

#[test]
fn a_broken_name_refuses_no_model() {
    let gibber = Gibber::new();
    for value in [string_value(b"bro\xffken"), u32_value(7), u32s_value(&[1, 2])] {
        let parrot = polite().with("general.name", value.clone()).with("general.author", string_value(b"\xfe"));
        let model = gibber.write("sha256-0123.gguf", parrot.bytes());
        assert_eq!(reply(&gibber, &model, &[]).0, "Hello!");
        let copy = gibber.path("copy.gguf");
        let arguments =
            ["models", "quantize", model.to_str().unwrap(), copy.to_str().unwrap(), "--type", "F16", "--force"];
        gibber.stdout(&arguments);
        assert_eq!(reply(&gibber, &copy, &[]).0, "Hello!");
    }
    let template = refusal(&gibber, &polite().with("tokenizer.chat_template", string_value(b"{{ \xff }}")));
    assert!(template.contains("`tokenizer.chat_template` is a string that is not UTF-8"), "{template}");
}

#[test]
fn what_a_download_left_instead_of_a_file_is_named() {
    let gibber = Gibber::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let accidents = [
        (pointer, "a Git LFS pointer"),
        ("<!DOCTYPE html>\n<html><body>Sign in</body></html>", "an HTML page"),
        ("", "the file is empty"),
        ("Entry not found", "the text \"Entry not found\""),
    ];
    for (content, what) in accidents {
        let model = gibber.write("model.gguf", content);
        let error = failure(&gibber.run(&["run", "-m", model.to_str().unwrap(), "Hi"]), 1);
        assert!(error.contains("model.gguf: ") && error.contains(what), "{error}");
        let out = gibber.path("out.gguf");
        let quantize = ["models", "quantize", model.to_str().unwrap(), out.to_str().unwrap(), "--type", "q8_0"];
        let error = failure(&gibber.run(&quantize), 1);
        assert!(error.contains("model.gguf: ") && error.contains(what), "{error}");
    }
    for file in ["config.json", "tokenizer.json", "model.safetensors", "tokenizer_config.json"] {
        for (content, what) in &accidents[..3] {
            let folder = tempfile::tempdir().unwrap();
            for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama")).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
            }
            fs::write(folder.path().join(file), content).unwrap();
            let error = failure(&gibber.run(&["run", "-m", folder.path().to_str().unwrap(), "Hi"]), 1);
            assert!(error.contains(&format!("{file}: {what}")), "{error}");
        }
    }
}

#[test]
fn escape_codes_in_the_name_of_a_model_do_not_reach_the_terminal() {
    let gibber = Gibber::new();
    let model = gibber.write("evil\u{1b}]0;pwned\u{7}\u{1b}[31m.gguf", polite().bytes());
    let model = model.to_str().unwrap();
    let run = gibber.run(&["run", "-m", model, "-v", "-n", "4", "Hi"]);
    let info = gibber.run(&["models", "info", model]);
    for bytes in [&run.stderr, &info.stdout] {
        let text = String::from_utf8_lossy(bytes);
        assert!(text.contains("evil␛]0;pwned␇␛[31m") && !text.contains('\u{1b}'), "{text:?}");
    }
}

#[test]
fn an_incomplete_model_is_refused_before_anything_is_written() {
    let gibber = Gibber::new();
    for tensor in ["blk.0.ffn_up.weight", "output_norm.weight", "token_embd.weight", "blk.0.attn_k.weight"] {
        let model = gibber.write("part.gguf", polite().without_tensor(tensor).bytes());
        let (model, out) = (model.to_str().unwrap(), gibber.path("out.gguf"));
        let error = failure(&gibber.run(&["models", "quantize", model, out.to_str().unwrap(), "--type", "q8_0"]), 1);
        assert!(error.contains("part.gguf: tensor `") && error.contains(tensor), "{error}");
        let error = failure(&gibber.run(&["run", "-m", model, "--quantize", "q8_0", "Hi"]), 1);
        assert!(error.contains("part.gguf: tensor `") && error.contains(tensor), "{error}");
        assert!(!out.exists() && !gibber.path("cache").exists(), "nothing is left");
    }
    let other = polite().with("general.architecture", string_value(b"newer")).with("newer.block_count", u32_value(3));
    let model = gibber.write("newer.gguf", other.bytes());
    let out = gibber.path("out.gguf");
    let arguments = ["models", "quantize", model.to_str().unwrap(), out.to_str().unwrap(), "--type", "q8_0"];
    let error = failure(&gibber.run(&arguments), 1);
    assert!(error.contains("newer.gguf: tensor `blk.1.*` is missing") && !out.exists(), "{error}");
    let mut nan = polite();
    nan.values("output.weight")[70] = f32::NAN;
    let model = gibber.write("nan.gguf", nan.bytes());
    for error in [
        failure(
            &gibber.run(&["models", "quantize", model.to_str().unwrap(), out.to_str().unwrap(), "--type", "q8_0"]),
            1,
        ),
        failure(&gibber.run(&["run", "-m", model.to_str().unwrap(), "--quantize", "q8_0", "Hi"]), 1),
    ] {
        assert!(error.contains("nan.gguf: tensor `output.weight` has values that are infinite"), "{error}");
    }
    let kept = fs::read_dir(gibber.path("cache")).into_iter().flatten().flatten();
    let kept: Vec<_> = kept.map(|entry| entry.file_name()).filter(|name| name != "lock").collect();
    assert!(!out.exists() && kept.is_empty(), "{kept:?}");
}

/// A copy of a folder of the fixtures whose tokenizer.json is changed.
fn folder_with(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    let path = folder.path().join("tokenizer.json");
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
    folder
}

#[test]
fn a_hostile_tokenizer_json_is_one_sentence_with_file_and_field() {
    let gibber = Gibber::new();
    let replace = |pattern: Value| serde_json::json!({"type": "Replace", "pattern": pattern, "content": "aaaaaaaaaa"});
    let ten = replace(serde_json::json!({"String": "a"}));
    let cases = [
        (
            "normalizer",
            serde_json::json!({"type": "Sequence", "normalizers": vec![ten; 10]}),
            "`normalizer.normalizers[4]`",
        ),
        (
            "normalizer",
            replace(serde_json::json!({"Regex": "^"})),
            "`normalizer` (Replace) fails on the text \"a\": `pattern` matches the empty text",
        ),
        ("normalizer", serde_json::json!({"type": "Prepend", "prepend": ""}), "`normalizer.prepend` is empty"),
        (
            "normalizer",
            serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "/P///wAAAAAAAAAA"}),
            "`normalizer.precompiled_charsmap` has a tree",
        ),
        ("pre_tokenizer", serde_json::json!({"type": "FixedLength", "length": 0}), "`pre_tokenizer.length` is 0"),
        (
            "post_processor",
            serde_json::json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "x", "type_id": 0}}],
                "pair": [], "special_tokens": {}}),
            "`post_processor.special_tokens.x.ids` is missing",
        ),
    ];
    for (key, value, what) in cases {
        let folder = folder_with(|json| json[key] = value);
        let error = failure(&gibber.run(&["run", "-m", folder.path().to_str().unwrap(), "Hi"]), 1);
        assert!(error.contains("tokenizer.json: ") && error.contains(what), "{error}");
        assert!(error.lines().count() == 1 && !error.contains("panicked"), "{error}");
        let models = gibber.path("models");
        fs::create_dir_all(&models).unwrap();
        fs::rename(folder.path(), models.join("hostile")).unwrap();
        fs::write(models.join("fine.gguf"), polite().bytes()).unwrap();
        let output = gibber.run(&["models", "list"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let list = stdout_of(output);
        assert!(list.contains("fine ") && list.contains("hostile") && list.contains(what), "{list}");
        assert_eq!(said, "");
        fs::remove_dir_all(models).unwrap();
    }
}

#[test]
fn a_text_of_which_a_tokenizer_makes_far_more_is_refused_in_no_time() {
    let gibber = Gibber::new();
    let doubling = serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"});
    let folder = folder_with(|json| {
        json["normalizer"] = serde_json::json!({"type": "Sequence", "normalizers": vec![doubling; 10]});
    });
    let model = folder.path().to_str().unwrap();
    let tokens = |text: &str| gibber.run(&["tokenize", "-m", model, text]);
    let error = failure(&tokens(&"a".repeat(5000)), 1);
    assert!(error.contains("tokenizer.json: its `normalizer` makes 160000 bytes of 5000"), "{error}");
    stdout_of(tokens(&"The licence of work. ".repeat(250).replace('a', "e")));
}

#[test]
fn a_token_before_each_text_that_is_not_there_is_named_with_file_and_field() {
    let gibber = Gibber::new();
    let folder = folder_with(|json| {
        json["post_processor"] =
            serde_json::json!({"type": "BertProcessing", "cls": ["<s>", 99_999], "sep": ["</s>", 1]});
    });
    let error = failure(&gibber.run(&["tokenize", "-m", folder.path().to_str().unwrap(), "Hi"]), 1);
    let said =
        "tokenizer.json: `post_processor` puts the token 99999 before a text, which the vocabulary does not have";
    assert!(error.contains(said), "{error}");
}

#[test]
fn lengths_to_pad_or_cut_to_are_nothing_to_a_prompt() {
    let gibber = Gibber::new();
    let folder = folder_with(|json| {
        json["padding"] = serde_json::json!({"strategy": {"Fixed": 1_000_000_000_000u64}, "direction": "Right",
            "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"});
        json["truncation"] =
            serde_json::json!({"max_length": 1, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
    });
    let plain = folder_with(|_| {});
    let ids = |folder: &TempDir| {
        gibber.stdout(&["tokenize", "-m", folder.path().to_str().unwrap(), "--json", "The licence of work"])
    };
    assert_eq!(ids(&folder), ids(&plain));
}

#[test]
fn a_model_of_which_a_part_is_missing_is_described_and_said_not_to_run() {
    let gibber = Gibber::new();
    for name in ["blk.0.ffn_up.weight", "output_norm.weight", "blk.0.attn_q.weight"] {
        let model = gibber.write("part.gguf", polite().without_tensor(name).bytes());
        let model = model.to_str().unwrap();
        let run = failure(&gibber.run(&["run", "-m", model, "Hi"]), 1);
        let reason = run.trim_start_matches("error: ").trim();
        assert!(reason.contains(name), "{run}");
        let info = gibber.stdout(&["models", "info", model]);
        assert!(info.contains("architecture   llama") && info.contains(reason), "{name}: {info}");
        let info: Value = serde_json::from_str(&gibber.stdout(&["models", "info", model, "--json"])).unwrap();
        assert!(info.to_string().contains(name), "{info}");
    }
    // What is not supported is not missing.
    let model = gibber.write("whole.gguf", polite().bytes());
    assert!(!gibber.stdout(&["models", "info", model.to_str().unwrap()]).contains("cannot"));
}
