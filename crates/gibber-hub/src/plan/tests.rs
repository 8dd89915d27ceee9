use super::*;
use crate::{Oid, Repository};

fn listing(files: &[(&str, u64)]) -> Listing {
    let file = |&(path, size): &(&str, u64)| RemoteFile {
        path: path.to_owned(),
        size,
        oid: Oid::Sha256(format!("{:064x}", size)),
    };
    Listing {
        repository: Repository::new("org/name").unwrap(),
        revision: "main".into(),
        commit: "a".repeat(40),
        files: files.iter().map(file).collect(),
        gated: false,
    }
}

const MB: u64 = 1_000_000;

/// As a converter's repository looks.
fn conversions() -> Listing {
    listing(&[
        (".gitattributes", 1),
        ("README.md", 2),
        ("Model-4B-BF16.gguf", 8000 * MB),
        ("Model-4B-Q8_0.gguf", 4280 * MB),
        ("Model-4B-Q4_K_M.gguf", 2497 * MB),
        ("Model-4B-UD-Q4_K_XL.gguf", 2550 * MB),
        ("Model-4B-IQ4_XS.gguf", 2270 * MB),
        ("Model-4B-Q2_K.gguf", 1670 * MB),
        ("imatrix_unsloth.gguf", 4 * MB),
        ("mmproj-F16.gguf", 800 * MB),
        ("config.json", 1),
    ])
}

fn labels(models: &[GgufModel]) -> Vec<&str> {
    models.iter().map(GgufModel::label).collect()
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.files.iter().map(|file| file.path.as_str()).collect()
}

fn planned(offer: Result<Offer>) -> Plan {
    match offer.unwrap() {
        Offer::Plan(plan) => plan,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_types_of_a_repository_are_its_models_and_nothing_beside_them() {
    let Offer::Types(models) = offer(&conversions(), None, None).unwrap() else { panic!() };
    assert_eq!(labels(&models), ["BF16", "Q8_0", "UD-Q4_K_XL", "Q4_K_M", "IQ4_XS", "Q2_K"]);
}

#[test]
fn a_type_a_file_or_its_name_is_that_one_alone() {
    for pick in ["Q4_K_M", "q4_k_m", "Model-4B-Q4_K_M.gguf", "model-4b-q4_k_m.gguf", "Model-4B-Q4_K_M"] {
        let plan = planned(offer(&conversions(), Some(pick), None));
        assert_eq!((paths(&plan), plan.model.to_str()), (vec!["Model-4B-Q4_K_M.gguf"], Some("Model-4B-Q4_K_M.gguf")));
        assert!(!plan.is_folder() && plan.bytes() == 2497 * MB, "{pick}");
    }
    assert_eq!(paths(&planned(offer(&conversions(), Some("q4_k_xl"), None))), ["Model-4B-UD-Q4_K_XL.gguf"]);
    let error = offer(&conversions(), Some("Q5_K_M"), None).unwrap_err().to_string();
    assert!(error.contains("org/name") && error.contains("'Q5_K_M'") && error.contains("Q4_K_M, Q8_0"), "{error}");
}

#[test]
fn a_split_model_comes_whole_and_in_order() {
    let listing = listing(&[
        ("Q4_K_M/Big-Q4_K_M-00002-of-00003.gguf", 20),
        ("Q4_K_M/Big-Q4_K_M-00001-of-00003.gguf", 10),
        ("Q4_K_M/Big-Q4_K_M-00003-of-00003.gguf", 30),
        ("Q8_0/Big-Q8_0-00001-of-00002.gguf", 100),
        ("Q2_K/Big-Q2_K.gguf", 5),
    ]);
    let Offer::Types(models) = offer(&listing, None, None).unwrap() else { panic!() };
    assert_eq!(labels(&models), ["Q4_K_M", "Q2_K"], "of Q8_0 a part is missing");
    let parts = ["1", "2", "3"].map(|number| format!("Q4_K_M/Big-Q4_K_M-0000{number}-of-00003.gguf"));
    for pick in ["Q4_K_M", "Q4_K_M/", "Big-Q4_K_M-00002-of-00003.gguf", "Q4_K_M/Big-Q4_K_M"] {
        let plan = planned(offer(&listing, Some(pick), None));
        assert_eq!(paths(&plan), parts, "{pick}");
        assert_eq!((plan.model.to_str(), plan.bytes()), (Some(parts[0].as_str()), 60));
    }
}

#[test]
fn a_pattern_keeps_other_models_of_the_repository_out() {
    let listing = listing(&[
        ("Model-4B-Q8_0.gguf", 400),
        ("model-4b-q4_k_m-00001-of-00002.gguf", 100),
        ("model-4b-q4_k_m-00002-of-00002.gguf", 100),
        ("Draft-0.1B-Q8_0.gguf", 10),
    ]);
    let Offer::Types(models) = offer(&listing, None, Some("Model-4B-{type}.gguf")).unwrap() else { panic!() };
    assert_eq!(labels(&models), ["Q8_0", "Q4_K_M"]);
    assert_eq!(paths(&planned(offer(&listing, Some("q8_0"), Some("Model-4B-{type}.gguf")))), ["Model-4B-Q8_0.gguf"]);
    let Offer::Types(both) = offer(&listing, Some("q8_0"), None).unwrap() else { panic!() };
    assert_eq!(both.len(), 2, "without the pattern both are called so");
    let Offer::Types(all) = offer(&listing, None, Some("Renamed-{type}.gguf")).unwrap() else { panic!() };
    assert_eq!(all.len(), 3, "a pattern that fits nothing says nothing");
}

/// As the makers' repository of a small model looks.
fn floats_in_one_file() -> Listing {
    listing(&[
        ("64.tflite", 9000),
        ("config.json", 1),
        ("flax_model.msgpack", 9000),
        ("generation_config.json", 1),
        ("merges.txt", 3),
        ("model.safetensors", 500),
        ("onnx/decoder_model.onnx", 9000),
        ("onnx/config.json", 1),
        ("pytorch_model.bin", 9000),
        ("README.md", 8),
        ("tokenizer.json", 5),
        ("tokenizer_config.json", 1),
        ("vocab.json", 4),
    ])
}

#[test]
fn of_floats_only_what_the_engine_reads_is_fetched() {
    let plan = planned(offer(&floats_in_one_file(), None, None));
    let expected =
        ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"];
    assert_eq!(paths(&plan), expected);
    assert!(plan.is_folder());
}

#[test]
fn without_tokenizer_json_its_older_files_come() {
    let mut listing = floats_in_one_file();
    listing.files.retain(|file| file.path != "tokenizer.json");
    assert!(paths(&planned(offer(&listing, None, None))).ends_with(&["vocab.json", "merges.txt", "model.safetensors"]));
    listing.files.retain(|file| file.path != "merges.txt");
    assert!(paths(&planned(offer(&listing, None, None))).ends_with(&["tokenizer_config.json", "model.safetensors"]));
}

#[test]
fn of_split_floats_the_index_says_which_parts_are_fetched() {
    let listing = listing(&[
        ("config.json", 1),
        ("model.safetensors.index.json", 2),
        ("model-00001-of-00002.safetensors", 100),
        ("model-00002-of-00002.safetensors", 100),
        ("consolidated.safetensors", 200),
        ("tokenizer.json", 5),
    ]);
    let Offer::Index(floats) = offer(&listing, None, None).unwrap() else { panic!() };
    assert_eq!(floats.index().unwrap().path, "model.safetensors.index.json");
    let index = br#"{"weight_map":{"a":"model-00002-of-00002.safetensors","b":"model-00001-of-00002.safetensors",
        "c":"model-00002-of-00002.safetensors"}}"#;
    let plan = floats.plan(&listing, Some(index)).unwrap();
    let end = ["model.safetensors.index.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert!(paths(&plan).ends_with(&end) && plan.bytes() == 208, "{:?}", paths(&plan));
    for (index, what) in [
        (&b"{}"[..], "has no `weight_map`"),
        (br#"{"weight_map":{}}"#, "names 0 files"),
        (br#"{"weight_map":{"a":1}}"#, "names 1 as a file"),
        (br#"{"weight_map":{"a":"../b"}}"#, "\"../b\", which the repository does not have"),
        (br#"{"weight_map":{"a":"model-3.safetensors"}}"#, "does not have"),
        (b"<html>", "cannot be read"),
    ] {
        let error = floats.plan(&listing, Some(index)).unwrap_err().to_string();
        assert!(error.contains("org/name") && error.contains(what), "{error}");
    }
}

#[test]
fn where_a_repository_has_both_the_word_says_which() {
    let mut listing = floats_in_one_file();
    listing.files.extend(conversions().files);
    let Offer::Types(models) = offer(&listing, None, None).unwrap() else { panic!() };
    assert_eq!(models.len(), 6);
    for pick in ["safetensors", "model.safetensors"] {
        assert!(planned(offer(&listing, Some(pick), None)).is_folder(), "{pick}");
    }
    assert_eq!(paths(&planned(offer(&listing, Some("bf16"), None))), ["Model-4B-BF16.gguf"]);
    assert!(planned(offer(&floats_in_one_file(), Some("f16"), None)).is_folder(), "it has nothing but floats");
}

#[test]
fn a_repository_without_a_model_says_what_it_has() {
    let only = |files: &[(&str, u64)]| offer(&listing(files), None, None).unwrap_err().to_string();
    let pickle = only(&[("config.json", 1), ("pytorch_model.bin", 9)]);
    assert!(pickle.contains("neither a GGUF model nor model.safetensors; it has pickles (.bin)"), "{pickle}");
    let incomplete = only(&[("a-00001-of-00002.gguf", 1)]);
    assert!(incomplete.contains("parts are missing"), "{incomplete}");
    assert!(only(&[("README.md", 1)]).ends_with("neither a GGUF model nor model.safetensors"));
    assert!(only(&[]).contains("org/name"));
}

#[test]
fn a_type_or_a_file_of_floats_is_answered_with_what_to_type() {
    let said = |pick: &str| offer(&floats_in_one_file(), Some(pick), None).unwrap_err().to_string();
    let (quantized, small, unknown) = (said("q4_k_m"), said("config.json"), said("nothing.gguf"));
    assert!(quantized.contains("its weights are floats: `gibber pull org/name --quantize q4_k_m`"), "{quantized}");
    assert!(small.contains("'config.json' is no model file of its own"), "{small}");
    assert!(unknown.contains("it has no 'nothing.gguf'"), "{unknown}");
    for error in [quantized, small, unknown] {
        assert!(!error.contains("neither") && error.contains("`gibber pull org/name"), "{error}");
    }
}
