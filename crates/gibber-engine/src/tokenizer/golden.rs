//! Texts that are hard to cut, against what the reference libraries make of them (`tests/fixtures/make_tokenizers.py`).
//!
//! A megabyte of one letter is among them: where the work grew with its square, these tests would take hours.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::*;
use crate::weights::Storage;
use crate::weights::gguf::Gguf;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tokenizers").join(name)
}

fn json(name: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

fn texts() -> Vec<String> {
    let text = |value: Value| match value {
        Value::String(text) => text,
        long => {
            let times = long["times"].as_u64().unwrap() as usize;
            long["repeat"].as_str().unwrap().repeat(times) + long["then"].as_str().unwrap_or_default()
        }
    };
    json("texts.json").into_iter().map(text).collect()
}

/// As the fixtures hold ids: short lists as they are, of long ones the length and a hash (FNV-1a).
fn written(ids: &[TokenId]) -> Value {
    if ids.len() < 5000 {
        return ids.into();
    }
    let hash = |hash: u64, id: &TokenId| (hash ^ u64::from(*id)).wrapping_mul(0x100_0000_01b3);
    let hash = ids.iter().fold(0xcbf2_9ce4_8422_2325, hash);
    serde_json::json!({"len": ids.len(), "fnv": format!("{hash:016x}")})
}

fn of_gguf(path: &Path) -> Tokenizer {
    let storage = Storage::open(path).unwrap();
    from_gguf(path, &Gguf::parse(path, &storage).unwrap().metadata).unwrap()
}

fn of_json(name: &str) -> Tokenizer {
    from_json(&fixture(name).join("tokenizer.json"), &EosTokens::default()).unwrap()
}

/// The text of `tokens` as it streams; that of a whole reply is the same.
fn streamed(tokenizer: &Tokenizer, tokens: &[TokenId]) -> String {
    let mut stream = tokenizer.decode_stream(&[]);
    let mut text: String = tokens.iter().map(|&token| stream.push(tokenizer.token_bytes(token))).collect();
    text += &stream.flush();
    assert_eq!(text, tokenizer.decode(tokens));
    text
}

/// Compares the ids of each text with those of `golden`, and what they decode to with the text, changed by `kept`.
fn check(tokenizer: &Tokenizer, golden: &str, skip: impl Fn(&str) -> bool, kept: impl Fn(&str) -> String) {
    let golden = json(&format!("{golden}.ids.json"));
    let texts = texts();
    assert_eq!(texts.len(), golden.len());
    for (text, golden) in texts.iter().zip(&golden).filter(|(text, _)| !skip(text)) {
        let tokens = tokenizer.encode(text, false).unwrap();
        assert_eq!(&written(&tokens), golden, "{text:.60?}");
        assert!(
            streamed(tokenizer, &tokens) == kept(text),
            "{text:.60?} decodes to {:.60?}",
            tokenizer.decode(&tokens)
        );
    }
}

fn nothing(_: &str) -> bool {
    false
}

/// Composed, as Qwen2 reads a text (Unicode's NFC by the crate's own tables).
fn composed(text: &str) -> String {
    let mut normalized = tokenizers::NormalizedString::from(text);
    normalized.nfc();
    normalized.get().to_owned()
}

#[test]
fn byte_level_tokenizers_of_gguf_files() {
    for name in ["gpt-2", "llama-bpe", "gpt-4o", "tekken", "default", "smollm-gguf"] {
        check(&of_gguf(&fixture(&format!("{name}.gguf"))), name, nothing, str::to_owned);
    }
    for name in ["qwen2", "qwen35"] {
        check(&of_gguf(&fixture(&format!("{name}.gguf"))), name, nothing, composed);
    }
}

#[test]
fn byte_level_tokenizers_of_tokenizer_json() {
    for name in ["gpt-2", "llama-bpe", "gpt-4o", "tekken", "default", "smollm"] {
        check(&of_json(name), name, nothing, str::to_owned);
    }
    for name in ["qwen2", "qwen35"] {
        check(&of_json(name), name, nothing, composed);
    }
}

#[test]
fn sentence_piece_of_a_gguf_file() {
    // SentencePiece's own library finds no special tokens in a text.
    let has_special = |text: &str| ["<s>", "</s>", "<unk>"].iter().any(|token| text.contains(token));
    let tokenizer = of_gguf(&fixture("spm.gguf"));
    // It writes a space for the sign that stands for one.
    check(&tokenizer, "spm", has_special, |text| text.replace('▁', " "));
    assert_eq!((tokenizer.bos_token(), tokenizer.eos_tokens()), (Some(1), &[2][..]));
    // Behind a special token a space is put, as llama.cpp does.
    assert_eq!(tokenizer.decode(&tokenizer.encode("a<s>a", true).unwrap()), "<s> a<s> a");
}

#[test]
fn sentence_piece_of_tokenizer_json() {
    let unescaped = |text: &str| text.replace('▁', " ");
    let has_special = |text: &str| text.contains("<s>");
    check(&of_json("llama-legacy"), "llama-legacy", has_special, unescaped);
    // These put no space before a text that begins with one: that one is taken for theirs.
    for name in ["llama-first", "unigram"] {
        let kept = |text: &str| unescaped(text).strip_prefix(' ').unwrap_or(&unescaped(text)).to_owned();
        check(&of_json(name), name, has_special, kept);
    }
    // Marks are written as they stand.
    for (name, decoded) in [("llama-legacy", "<s> a<s> a</s>"), ("llama-first", "<s> a<s>a</s>")] {
        let tokenizer = of_json(name);
        assert_eq!((tokenizer.bos_token(), tokenizer.vocabulary_size()), (Some(1), 900));
        assert_eq!(tokenizer.decode(&tokenizer.encode("a<s>a</s>", true).unwrap()), decoded);
    }
}

#[test]
fn merges_of_pieces_that_spell_spaces() {
    let unescaped = |text: &str| text.replace('▁', " ");
    let has_special = |text: &str| text.contains("<s>");
    for tokenizer in [of_gguf(&fixture("gemma4.gguf")), of_json("gemma4")] {
        check(&tokenizer, "gemma4", has_special, unescaped);
    }
    let (gguf, texts) = (of_gguf(&fixture("gemma4.gguf")), texts());
    assert_eq!((gguf.bos_token(), gguf.eos_tokens()), (Some(1), &[2][..]));
    let at = texts.iter().position(|text| text.contains("<s>")).unwrap();
    assert_eq!(written(&gguf.encode(&texts[at], false).unwrap()), json("gemma4.ids.json")[at]);
}

#[test]
fn what_spells_spaces_is_written_with_scores_or_else_with_merges() {
    let mut file: Value =
        serde_json::from_slice(&std::fs::read(fixture("gemma4").join("tokenizer.json")).unwrap()).unwrap();
    file["pre_tokenizer"] = serde_json::json!({
        "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false,
    });
    let (folder, golden) = (tempfile::tempdir().unwrap(), json("gemma4.ids.json"));
    let path = folder.path().join("tokenizer.json");
    let read = |file: &Value| {
        std::fs::write(&path, file.to_string()).unwrap();
        from_json(&path, &EosTokens::default()).unwrap()
    };
    let tokenizer = read(&file);
    assert_eq!(written(&tokenizer.encode(&texts()[4], false).unwrap()), golden[4]);
    assert!(matches!(tokenizer.vocabulary().unwrap().cuts, Cuts::Scores { space_prefix: false, .. }));
    // Another way to make the same piece is no merge.
    let merges = file["model"]["merges"].as_array_mut().unwrap();
    let whole = |pair: &Value| pair[0].as_str().unwrap().to_owned() + pair[1].as_str().unwrap();
    let at = (1..merges.len()).rev().find(|&at| whole(&merges[at]) == whole(&merges[at - 1])).unwrap();
    merges.remove(at);
    assert!(matches!(read(&file).vocabulary().unwrap().cuts, Cuts::Spaced { unknown: Some(0), .. }));
}

#[test]
fn marks_in_a_text_are_found_as_the_reference_finds_them() {
    let texts = texts();
    let at = texts.iter().position(|text| text.contains("<s>")).unwrap();
    for name in ["llama-legacy", "llama-first", "unigram"] {
        let tokens = of_json(name).encode(&texts[at], false).unwrap();
        assert_eq!(written(&tokens), json(&format!("{name}.ids.json"))[at], "{name}");
    }
    let gguf = of_gguf(&fixture("spm.gguf")).encode(&texts[at], false).unwrap();
    assert_eq!(written(&gguf), json("llama-legacy.ids.json")[at]);
}

/// A vocabulary with its merges, whose special tokens stand in `tokenizer_config.json`, is opened as part of a folder
/// (`engine::load`); here only its ids.
#[test]
fn a_vocabulary_and_merges_of_qwen2() {
    let folder = fixture("qwen2-vocab");
    let token =
        |(text, id): (&str, TokenId)| AddedTokenSpec { text: text.into(), id: Some(id), special: text != "<think>" };
    let added_tokens = [("<|endoftext|>", 900), ("<|im_start|>", 901), ("<|im_end|>", 902), ("<think>", 903)];
    let files = VocabAndMerges {
        vocab: folder.join("vocab.json"),
        merges: folder.join("merges.txt"),
        as_qwen2: true,
        added_tokens: added_tokens.map(token).into(),
        bos: None,
    };
    check(&from_vocab_and_merges(&files, &EosTokens::default()).unwrap(), "qwen2-vocab", nothing, composed);
}

#[test]
fn the_vocabulary_of_the_default_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let tokenizer = of_gguf(&path);
    for (text, golden) in texts().iter().zip(json("smollm2.ids.json")) {
        let tokens = tokenizer.encode(text, false).unwrap();
        assert_eq!(written(&tokens), golden, "{text:.60?}");
        // It lacks the bytes of the higher planes, and drops them as the reference does.
        let kept = streamed(&tokenizer, &tokens);
        assert!(kept == *text || text.chars().any(|c| c > '\u{3ffff}'), "{text:.60?} decodes to {kept:.60?}");
    }
}
