//! The default model's tokenizer against the reference's ids, the tiny ones against what trained them, and texts that
//! are hard to cut.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::*;
use crate::weights::Storage;
use crate::weights::gguf::Gguf;

/// Building it takes a moment, so the tests share it.
static DEFAULT: LazyLock<Tokenizer> = LazyLock::new(|| gguf_tokenizer("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf"));

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

fn gguf_tokenizer(name: &str) -> Tokenizer {
    let path = path(name);
    let storage = Storage::open(&path).unwrap();
    from_gguf(&path, &Gguf::parse(&path, &storage).unwrap().metadata).unwrap()
}

/// The files in `folder`, where `added_tokens` are special tokens.
fn vocab_and_merges(folder: &Path, added_tokens: &[&str]) -> VocabAndMerges {
    let token = |text: &&str| AddedTokenSpec { text: (*text).to_owned(), id: None, special: true };
    VocabAndMerges {
        vocab: folder.join("vocab.json"),
        merges: folder.join("merges.txt"),
        as_qwen2: false,
        added_tokens: added_tokens.iter().map(token).collect(),
        bos: None,
    }
}

fn ids(value: &Value) -> Vec<TokenId> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect()
}

fn json_fixture(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path("tests/fixtures").join(name)).unwrap()).unwrap()
}

#[test]
fn the_default_model_cuts_texts_as_the_reference_does() {
    let reference = json_fixture("smollm2_reference.json");
    assert_eq!(DEFAULT.encode(reference["text"].as_str().unwrap(), true).unwrap(), ids(&reference["ids"]));
    for case in ["greedy_raw", "greedy_chat"].iter().flat_map(|&key| reference[key].as_array().unwrap()) {
        assert_eq!(DEFAULT.encode(case["prompt"].as_str().unwrap(), true).unwrap(), ids(&case["ids"]));
        assert_eq!(DEFAULT.decode(&ids(&case["continuation"])), case["text"].as_str().unwrap());
    }
}

#[test]
fn the_default_model_names_its_special_tokens() {
    assert_eq!(DEFAULT.vocabulary_size(), 49_152);
    assert_eq!(DEFAULT.bos_token(), None);
    assert_eq!(DEFAULT.eos_tokens(), [0, 2]);
    let marked = DEFAULT.encode("a<|im_end|>\n<|im_start|>", false).unwrap();
    assert_eq!(marked[1..], [2, 198, 1]);
    assert!(DEFAULT.is_special(2) && !DEFAULT.is_special(198) && !DEFAULT.is_special(TokenId::MAX));
    assert_eq!(DEFAULT.piece(2), "<|im_end|>");
    assert_eq!(DEFAULT.token_bytes(49_152), b"");
}

#[test]
fn a_part_of_a_character_is_quoted_as_its_bytes() {
    let tokens = DEFAULT.encode("a\n\u{1f9d9}", false).unwrap();
    let quoted: Vec<String> = tokens.iter().map(|&token| DEFAULT.quoted_piece(token)).collect();
    assert_eq!((quoted[0].as_str(), quoted[1].as_str()), ("\"a\"", "\"\\n\""));
    let bytes = quoted[2..].concat().replace('"', "");
    assert_eq!(bytes, "\\xf0\\x9f\\xa7\\x99", "{quoted:?}");
}

#[test]
fn each_digit_is_a_token_of_its_own() {
    let pieces = |text: &str| -> Vec<String> {
        DEFAULT.encode(text, false).unwrap().into_iter().map(|token| DEFAULT.piece(token)).collect()
    };
    assert_eq!(pieces("In 1999"), ["In", " ", "1", "9", "9", "9"]);
    assert_eq!(pieces("3.14x²"), ["3", ".", "1", "4", "x", "²"]);
}

/// Whatever the text, its tokens spell exactly its bytes, and whatever is cut out of it by tokens streams as characters.
#[test]
fn tokens_spell_the_text_they_came_from() {
    let run = "a".repeat(20_000);
    let spaces = format!("x{}y", " ".repeat(5_000));
    let texts = [
        "",
        " ",
        "👨‍👩‍👧‍👦 🏳️‍🌈 😀",
        "e\u{301}\u{323} nai\u{308}ve ﷽ Ω≈ç√",
        "line\r\nline\rline\n\n\n\ttab",
        "١٢٣ ४५६ ½ ² Ⅷ 漢字かな",
        "\u{0}\u{1b}[31m\u{7f}\u{85}\u{a0}\u{feff}\u{fffd}",
        "<|im_start|>user<|im_end|><|im_end|",
        "it's we'll I'd THEY'RE",
        &run,
        &spaces,
    ];
    let tiny = gguf_tokenizer("tests/fixtures/tiny-llama.F32.gguf");
    for tokenizer in [&*DEFAULT, &tiny] {
        for text in texts {
            let tokens = tokenizer.encode(text, false).unwrap();
            let bytes: Vec<u8> = tokens.iter().flat_map(|&token| tokenizer.token_bytes(token)).copied().collect();
            assert_eq!(bytes, text.as_bytes(), "{text:.40?}");
            let mut stream = DecodeStream::new();
            let mut streamed: String = tokens.iter().map(|&token| stream.push(tokenizer.token_bytes(token))).collect();
            streamed += &stream.flush();
            assert_eq!(streamed, text);
        }
    }
}

#[test]
fn more_blanks_than_can_be_cut_are_an_error() {
    let text = format!("a{}b", " \n".repeat(500_000));
    let error = DEFAULT.encode(&text, false).unwrap_err().to_string();
    assert!(error.contains("1000000 blanks in a row"), "{error}");
    assert!(DEFAULT.encode(&text.replacen(' ', "x", 1), false).is_err());
    assert!(DEFAULT.encode(&format!("{}b", " a".repeat(500_000)), false).is_ok());
}

#[test]
fn an_emoji_that_is_spread_over_tokens_waits_for_its_last_one() {
    let tokens = DEFAULT.encode("🦩", false).unwrap();
    assert!(tokens.len() > 1, "the test needs a character of several tokens");
    let mut stream = DecodeStream::new();
    let texts: Vec<String> = tokens.iter().map(|&token| stream.push(DEFAULT.token_bytes(token))).collect();
    let (last, before) = texts.split_last().unwrap();
    assert!(before.iter().all(String::is_empty));
    assert_eq!(last, "🦩");
}

#[test]
fn all_three_kinds_of_files_give_the_same_ids() {
    let folder = path("tests/fixtures");
    let gguf = gguf_tokenizer("tests/fixtures/tiny-llama.F32.gguf");
    let json = from_json(
        &folder.join("tiny-gpt2-prefixed/tokenizer.json"),
        &EosTokens { ids: vec![(0, String::new())], texts: vec![] },
    )
    .unwrap();
    let added_tokens = &["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
    let pair = vocab_and_merges(&folder.join("tiny-gpt2"), added_tokens);
    let pair =
        from_vocab_and_merges(&pair, &EosTokens { ids: vec![], texts: vec![("<|endoftext|>".into(), String::new())] })
            .unwrap();
    for text in ["The licence of naïve work", "1999\r\n\t<|im_end|> 漢字", "  two  blanks  "] {
        let expected = json.encode(text, false).unwrap();
        assert_eq!(gguf.encode(text, false).unwrap(), expected);
        assert_eq!(pair.encode(text, false).unwrap(), expected);
    }
    assert_eq!(
        (json.eos_tokens(), pair.eos_tokens()),
        (&[0, 2][..], &[0, 2][..]),
        "<|im_end|> ends a reply by its name"
    );
    for token in 0..512 {
        assert_eq!(gguf.token_bytes(token), json.token_bytes(token));
        assert_eq!(pair.token_bytes(token), json.token_bytes(token));
    }
    assert!([&gguf, &json, &pair].iter().all(|tokenizer| tokenizer.vocabulary_size() == 512));
}

#[test]
fn a_begin_token_comes_where_the_configuration_asks_for_it_and_only_then() {
    let json = from_json(
        &path("tests/fixtures/tiny-llama/tokenizer.json"),
        &EosTokens { ids: vec![(2, String::new())], texts: vec![] },
    )
    .unwrap();
    let gguf = gguf_tokenizer("tests/fixtures/tiny-llama.F32.gguf");
    for tokenizer in [json, gguf] {
        assert_eq!(tokenizer.bos_token(), Some(1));
        let plain = tokenizer.encode("of", false).unwrap();
        let begun = tokenizer.encode("of", true).unwrap();
        assert_eq!((begun[0], &begun[1..]), (1, &plain[..]));
        assert_eq!(tokenizer.encode("", true).unwrap(), [1]);
    }
    assert!(DEFAULT.encode("", true).unwrap().is_empty());
}

#[test]
fn a_vocabulary_of_bytes_takes_any_text() {
    let tokenizer = of_bytes(300).unwrap();
    let tokens = tokenizer.encode("ü 1\n", true).unwrap();
    assert_eq!(tokens, "ü 1\n".bytes().map(TokenId::from).collect::<Vec<_>>());
    assert_eq!(tokenizer.decode(&tokens), "ü 1\n");
    assert_eq!((tokenizer.vocabulary_size(), tokenizer.piece(299)), (300, " 299".into()));
    assert!(of_bytes(255).is_err());
}

/// `tokenizer.json` of the tiny Llama after `change`, read.
fn changed_json(change: impl FnOnce(&mut Value)) -> String {
    let mut json = json_fixture("tiny-llama/tokenizer.json");
    change(&mut json);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let error = from_json(&path, &EosTokens::default()).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_tokenizer_json_of_another_kind_is_refused_by_name() {
    assert!(changed_json(|json| json["model"]["type"] = json!("WordPiece")).contains("type WordPiece"));
    assert!(
        changed_json(|json| json["decoder"] =
            json!({"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true}))
        .contains("ByteLevel")
    );
    assert!(changed_json(|json| json["model"]["dropout"] = json!(0.1)).contains("`dropout`"));
    let affix = changed_json(|json| json["model"]["continuing_subword_prefix"] = json!("##"));
    assert!(affix.contains("`continuing_subword_prefix`"), "{affix}");
}

#[test]
fn a_broken_tokenizer_json_is_an_error_and_never_a_panic() {
    let merge = changed_json(|json| json["model"]["merges"] = json!([["<|endoftext|>", "<|endoftext|>"]]));
    assert!(merge.contains("needs `<|endoftext|><|endoftext|>`"), "{merge}");
    assert!(changed_json(|json| json["model"]["merges"] = json!(["a"])).contains("no merge of two pieces"));
    assert!(changed_json(|json| json["model"]["vocab"]["huge"] = json!(4_000_000_000u32)).contains("4000000000"));
    assert!(changed_json(|json| json["model"]["vocab"] = json!(7)).contains("`model.vocab`"));
    assert!(changed_json(|json| *json = json!([])).contains("not a tokenizer"));
    assert!(changed_json(|json| json["model"]["merges"] = json!([[]])).contains("`model.merges[0]` is []"));
    assert!(changed_json(|json| json["model"]["vocab"] = json!({})).contains("`model.vocab` is empty"));
}

#[test]
fn a_broken_vocabulary_or_merge_list_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let files = vocab_and_merges(folder.path(), &[]);
    let read = |vocab_text: &str, merges_text: &str| {
        std::fs::write(&files.vocab, vocab_text).unwrap();
        std::fs::write(&files.merges, merges_text).unwrap();
        from_vocab_and_merges(&files, &EosTokens::default()).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(read(r#"{"a":0,"b":1,"ab":2}"#, "#version: 0.2\na b\n"), Ok(()));
    assert!(read("[1]", "").unwrap_err().contains("vocab.json: not a vocabulary"));
    assert!(read("{}", "").unwrap_err().contains("vocab.json: not a vocabulary: it is empty"));
    assert!(read(r#"{"a":-1}"#, "").unwrap_err().contains("`a` has the id -1"));
    assert!(read(r#"{"a":0}"#, "#version: 0.2\na b c\n").unwrap_err().contains("line 2: `a b c`"));
    assert!(read(r#"{"a":0,"b":1}"#, "a b\n").unwrap_err().contains("needs `ab`"));
}
