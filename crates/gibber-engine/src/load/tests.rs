//! Folders and files that say something unusual, contradictory or broken.

mod memory;
mod parts;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::model::{
    Activation, AttentionConfig, DenseConfig, FeedForwardConfig, LayerConfig, NormConfig, NormKind, RopeConfig,
    RopeScaling, RopeStyle, Sizes,
};
use crate::source::display_name;
use crate::weights::{DType, Storage};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// A copy of one of the tiny folders, to be spoiled.
struct Folder(TempDir);

impl Folder {
    fn copy_of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(fixture(name)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        Self(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn remove(self, file: &str) -> Self {
        fs::remove_file(self.path(file)).unwrap();
        self
    }

    fn write(self, file: &str, text: &str) -> Self {
        fs::write(self.path(file), text).unwrap();
        self
    }

    /// Changes one key of a JSON file.
    fn set(self, file: &str, key: &str, value: Value) -> Self {
        let text = fs::read_to_string(self.path(file)).unwrap_or_else(|_| "{}".into());
        let mut json: Value = serde_json::from_str(&text).unwrap();
        json[key] = value;
        self.write(file, &json.to_string())
    }

    fn source(&self) -> ModelSource {
        ModelSource::Path(self.0.path().to_owned())
    }

    fn open(&self) -> Result<ModelFiles, EngineError> {
        open(&self.source())
    }

    /// What loading says, which has to name something in the folder.
    fn error(&self) -> String {
        let error = load(&self.source(), &small(), &mut |_, _| {}).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(self.0.path().to_str().unwrap()), "{error}");
        error
    }
}

fn small() -> LoadOptions {
    LoadOptions { threads: Some(1), ..LoadOptions::default() }
}

fn load_fixture(name: &str) -> LoadedModel {
    load(&ModelSource::Path(fixture(name)), &small(), &mut |_, _| {}).unwrap()
}

#[test]
fn names_lose_their_ending_and_format() {
    for (path, name) in [
        ("models/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("SmolLM2-135M-Instruct-f16.gguf", "SmolLM2-135M-Instruct"),
        ("tiny-Q4_K_M.gguf", "tiny"),
        ("Q4_1.gguf", "Q4_1"),
        ("v1.0.gguf", "v1.0"),
        ("models/gpt2", "gpt2"),
        ("models/gpt2/", "gpt2"),
        ("hub/models--HuggingFaceTB--SmolLM2-135M/snapshots/93efa2f097d58c2a74874c7e644dbc9b0cee75a2", "SmolLM2-135M"),
        ("hub/models--gpt2/snapshots/607a30d783dfa663caf39e06633721c8d4cfcd7e", "gpt2"),
    ] {
        assert_eq!(display_name(Path::new(path)), name, "{path}");
    }
}

#[test]
fn what_a_model_is_can_be_read_without_loading_it() {
    let files = open(&ModelSource::Path(fixture("tiny-llama.Q4_1.gguf"))).unwrap();
    assert_eq!((files.name.as_str(), files.format()), ("tiny-llama", DType::Q4_1));
    assert_eq!((files.bos_token.as_deref(), files.eos_token.as_deref()), (Some("<|im_start|>"), Some("<|im_end|>")));
    assert!(files.chat_template.as_ref().unwrap().contains("add_generation_prompt"));
    let (path, n_ff) = (Path::new("none"), 96);
    let sizes = Sizes {
        n_layer: 2,
        n_head: 4,
        n_kv_head: 2,
        head_dim: 16,
        n_embd: 32,
        n_ff,
        vocab_size: 512,
        trained_context: 128,
    };
    let attention = AttentionConfig { rope: Some(0), ..AttentionConfig::full(sizes.heads()) };
    let dense = DenseConfig { n_ff, activation: Activation::Silu, is_gated: true, bias: false };
    let layer = LayerConfig::pre_norm(attention, FeedForwardConfig::Dense(dense));
    let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
    let expected = ModelConfig {
        layers: sizes.layers(path, |_| layer.clone()).unwrap(),
        ropes: vec![RopeConfig::plain(5000.0, RopeStyle::Interleaved)],
        ..ModelConfig::plain(files.config.family, &sizes, norm)
    };
    assert_eq!(files.config.family.name(), "llama");
    assert_eq!(files.config, expected);
    let folder = open(&ModelSource::Path(fixture("tiny-llama"))).unwrap();
    let ropes = vec![RopeConfig::plain(5000.0, RopeStyle::Half)];
    assert_eq!(folder.config, ModelConfig { ropes, ..expected });
    assert_eq!((folder.parameters(), folder.chat_template), (files.parameters(), files.chat_template));
}

#[test]
fn a_loaded_model_says_what_it_is() {
    let model = load_fixture("tiny-gpt2");
    assert_eq!((model.info.name.as_str(), model.info.architecture.as_str()), ("tiny-gpt2", "gpt2"));
    assert_eq!((model.info.format.as_str(), model.info.vocabulary), ("F32", 512));
    // The masks are no parameters.
    assert_eq!(model.info.parameters, 512 * 32 + 128 * 32 + 2 * (12 * 32 * 32 + 13 * 32) + 2 * 32);
    assert_eq!((model.info.context, model.info.trained_context, model.info.threads), (128, 128, 1));
    assert!(!model.info.has_chat_template);
    let llama = load_fixture("tiny-llama");
    assert_eq!((llama.bos_token.as_deref(), llama.eos_token.as_deref()), (Some("<|im_start|>"), Some("<|im_end|>")));
    assert_eq!(llama.tokenizer.eos_tokens(), [0, 2]);
}

#[test]
fn progress_rises_to_the_end() {
    let mut reports = Vec::new();
    let source = ModelSource::Path(fixture("tiny-llama"));
    load(&source, &small(), &mut |done, total| reports.push((done, total))).unwrap();
    assert!(reports.is_sorted_by_key(|&(done, _)| done));
    let &(done, total) = reports.last().unwrap();
    assert_eq!(done, total);
}

#[test]
fn random_weights_run_and_take_any_text() {
    let model = load(&ModelSource::Synthetic("tiny".into()), &small(), &mut |_, _| {}).unwrap();
    assert_eq!(model.tokenizer.encode("hi", true).unwrap(), [104, 105]);
    assert!(load(&ModelSource::Synthetic("nothing".into()), &small(), &mut |_, _| {}).is_err());
}

#[test]
fn options_that_no_model_can_run_with_are_refused() {
    let source = ModelSource::Path(fixture("tiny-llama"));
    let error = |options: LoadOptions| load(&source, &options, &mut |_, _| {}).map(|_| ()).unwrap_err().to_string();
    let long = error(LoadOptions { context: Some(129), ..small() });
    assert!(long.contains("129 tokens is more than the 128"), "{long}");
    assert!(error(LoadOptions { context: Some(0), ..small() }).contains("holds nothing"));
    assert!(error(LoadOptions { threads: Some(0), ..small() }).contains("0 threads"));
    let short = load(&source, &LoadOptions { context: Some(7), ..small() }, &mut |_, _| {}).unwrap();
    assert_eq!((short.info.context, short.inference.context()), (7, 7));
}

#[test]
fn what_is_no_model_is_told_apart() {
    let open = |path: &Path| open(&ModelSource::Path(path.to_owned())).map(|_| ()).unwrap_err().to_string();
    let missing = fixture("no-such-file.gguf");
    assert!(open(&missing).contains("no-such-file.gguf"));
    assert!(open(&fixture("make_checkpoints.py")).contains("not a GGUF file"));
    assert!(open(&fixture("tiny-llama/model.safetensors")).contains("give the folder"));
    let empty = tempfile::tempdir().unwrap();
    assert!(open(empty.path()).contains("no config.json"));
}

#[test]
fn weights_in_other_containers_are_named() {
    let folder = Folder::copy_of("tiny-gpt2").remove("model.safetensors");
    assert!(folder.error().contains("no model.safetensors"));
    let pickle = folder.write("pytorch_model.bin", "");
    assert!(pickle.error().contains("pytorch_model.bin: its weights are a pickle"));
}

#[test]
fn keys_that_change_the_computation_are_refused_by_name() {
    let gpt2 = [
        ("model_type", json!("mamba")),
        ("activation_function", json!("quick_gelu")),
        ("add_cross_attention", json!(true)),
        ("quantization_config", json!({"bits": 4})),
    ];
    let llama = [
        ("hidden_act", json!("gelu")),
        ("rope_interleaved", json!(true)),
        ("rope_scaling", json!({"type": "dynamic", "factor": 2.0})),
        ("rope_scaling", json!({"factor": 2.0})),
        ("rope_parameters", json!({"rope_type": "default", "partial_rotary_factor": 0.5})),
    ];
    let window = [
        ("layer_types", json!(["sliding_attention", "chunked_attention"])),
        ("layer_types", json!(["sliding_attention"])),
        ("layer_types", json!("full_attention")),
    ];
    for (fixture, cases) in
        [("tiny-gpt2", &gpt2[..]), ("tiny-llama", &llama[..]), ("variant-qwen2-window", &window[..])]
    {
        for (key, value) in cases.iter().cloned() {
            let folder = Folder::copy_of(fixture).set("config.json", key, value);
            let error = folder.open().map(|_| ()).unwrap_err();
            assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("config.json") && error.contains(&format!("`{key}")), "{error}");
        }
    }
}

#[test]
fn of_two_objects_that_describe_the_rotation_the_older_counts() {
    let linear = json!({"rope_type": "linear", "factor": 2.0});
    let halved = RopeScaling::Linear { factor: 2.0 };
    for (older, newer, theta, scaling) in [
        (linear.clone(), json!({"rope_theta": 500.0, "rope_type": "default"}), 5000.0, halved.clone()),
        (linear.clone(), json!({"rope_type": "linear", "factor": 4.0}), 5000.0, halved.clone()),
        (json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 60.0}), linear.clone(), 60.0, halved.clone()),
        (json!({"rope_type": "default"}), linear.clone(), 5000.0, RopeScaling::None),
        (json!(null), linear.clone(), 5000.0, halved.clone()),
        (json!({}), json!({"rope_theta": 500.0}), 500.0, RopeScaling::None),
    ] {
        let folder = Folder::copy_of("tiny-llama").set("config.json", "rope_theta", json!(5000.0));
        let folder = folder.set("config.json", "rope_scaling", older.clone());
        let folder = folder.set("config.json", "rope_parameters", newer.clone());
        let rope = &folder.open().unwrap().config.ropes[0];
        assert_eq!((rope.theta, &rope.scaling), (theta, &scaling), "{older} {newer}");
    }
}

#[test]
fn rotations_of_their_own_for_some_layers_are_refused() {
    let each = json!({
        "full_attention": {"rope_type": "default", "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    });
    for key in ["rope_parameters", "rope_scaling"] {
        for value in [each.clone(), json!([1]), json!("linear")] {
            let error = Folder::copy_of("tiny-llama").set("config.json", key, value).open().map(|_| ()).unwrap_err();
            assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("config.json") && error.contains(key) && error.contains("all layers"), "{error}");
        }
    }
}

#[test]
fn numbers_of_a_rotation_that_are_missing_or_impossible_are_named() {
    for (parameters, reason) in [
        (json!({"rope_type": "linear"}), "`rope_parameters.factor` is missing"),
        (json!({"rope_type": "linear", "factor": 0.0}), "`rope_parameters.factor` is 0, it has to be a number above 0"),
        (json!({"rope_type": "linear", "factor": "2"}), "`rope_parameters.factor` is \"2\", it has to be a number"),
        (
            json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64}),
            "`rope_parameters.high_freq_factor` has to be above",
        ),
        (json!({"rope_type": "yarn", "factor": 2.0, "truncate": 1}), "`rope_parameters.truncate` has to be true or"),
        (json!({"rope_theta": 0.0}), "`rope_parameters.rope_theta` is 0, it has to be a number above 0"),
        (json!({"rope_type": "yarn", "factor": -2.0}), "`rope_parameters.factor` is -2"),
        (
            json!({"rope_type": "yarn", "factor": 2.0, "attention_factor": -1.0}),
            "`rope_parameters.attention_factor` is -1",
        ),
        (json!({"rope_type": "yarn", "factor": 2.0, "beta_fast": -32.0}), "`rope_parameters.beta_fast` is -32"),
    ] {
        let error = Folder::copy_of("tiny-llama").set("config.json", "rope_parameters", parameters).error();
        assert!(error.contains(reason) && error.contains("config.json"), "{error}");
    }
}

#[test]
fn an_epsilon_or_a_base_that_cannot_be_is_named() {
    for (fixture, key, value) in [
        ("tiny-llama", "rms_norm_eps", json!(-1e-5)),
        ("tiny-llama", "rms_norm_eps", json!(1e60)),
        ("tiny-gpt2", "layer_norm_epsilon", json!(-1.0)),
        ("tiny-llama", "rope_theta", json!(0)),
        ("tiny-llama", "rope_theta", json!(-10000.0)),
        ("tiny-llama", "rope_theta", json!(1e39)),
    ] {
        let error = Folder::copy_of(fixture).set("config.json", key, value).error();
        assert!(
            error.contains(&format!("config.json: `{key}` is ")) && error.contains("has to be a number"),
            "{error}"
        );
    }
    let nan = Folder::copy_of("tiny-llama");
    let text = fs::read_to_string(nan.path("config.json")).unwrap().replace("1e-05", "NaN");
    let error = nan.write("config.json", &text).error();
    assert!(error.contains("config.json: `rms_norm_eps` is \"NaN\", it has to be a number"), "{error}");
}

#[test]
fn what_python_takes_for_json_is_taken() {
    let text = |folder: &Folder| fs::read_to_string(folder.path("config.json")).unwrap();
    let folder = Folder::copy_of("tiny-llama");
    let odd = text(&folder).replacen('{', "\u{feff}{\"attention_dropout\": NaN, \"more\": [-Infinity],", 1);
    let folder = folder.write("config.json", &odd);
    let folder = folder.write("generation_config.json", "{\"temperature\": Infinity}");
    assert_eq!(folder.open().unwrap().config.n_layer(), Folder::copy_of("tiny-llama").open().unwrap().config.n_layer());
}

#[test]
fn what_is_not_written_is_as_in_transformers() {
    let config = |folder: Folder| folder.open().unwrap().config;
    let without = |fixture: &str, key: &str| Folder::copy_of(fixture).set("config.json", key, Value::Null);
    let windows = |config: ModelConfig| -> Vec<_> { config.layers.iter().map(|l| l.window()).collect() };
    assert_eq!(windows(config(without("variant-mistral", "sliding_window"))), [None, None]);
    assert_eq!(windows(config(without("variant-qwen2-window", "layer_types"))), [None, Some(9)]);
    let kinds = json!(["sliding_attention", "full_attention"]);
    let turned = Folder::copy_of("variant-qwen2-window").set("config.json", "layer_types", kinds);
    assert_eq!(windows(config(turned)), [Some(9), None]);
    assert_eq!(config(without("variant-qwen2", "num_key_value_heads")).first_heads().unwrap().n_kv_head, 4);
    assert_eq!(config(without("variant-qwen3", "head_dim")).first_heads().unwrap().head_dim, 128);
    let zero = Folder::copy_of("variant-mistral").set("config.json", "sliding_window", json!(0)).error();
    assert!(zero.contains("`sliding_window` is 0"), "{zero}");
}

#[test]
fn impossible_shapes_are_refused() {
    for (key, value, reason) in [
        ("n_head", json!(5), "cannot be split over 5 heads"),
        ("n_head", json!(0), "cannot be split over 0 heads"),
        ("n_layer", json!(0), "0 layers"),
        ("n_layer", json!(4_000_000_000_u32), "4000000000 layers"),
        ("n_embd", json!("wide"), "`n_embd` is \"wide\""),
        ("vocab_size", Value::Null, "`vocab_size` is missing"),
    ] {
        let error = Folder::copy_of("tiny-gpt2").set("config.json", key, value).error();
        assert!(error.contains(reason), "{error}");
    }
    let error = Folder::copy_of("tiny-llama").set("config.json", "num_key_value_heads", json!(3)).error();
    assert!(error.contains("4 heads cannot share 3 key-value heads"), "{error}");
    let error = Folder::copy_of("tiny-llama").set("config.json", "head_dim", json!(15)).error();
    assert!(error.contains("cannot be rotated in pairs"), "{error}");
    assert!(Folder::copy_of("tiny-llama").write("config.json", "{").error().contains("not a JSON object"));
}

#[test]
fn a_configuration_that_does_not_fit_the_weights_names_the_tensor() {
    let wider = Folder::copy_of("tiny-gpt2").set("config.json", "n_inner", json!(100)).error();
    assert!(wider.contains("has the shape [32, 128], the configuration asks for [32, 100]"), "{wider}");
    let deeper = Folder::copy_of("tiny-llama").set("config.json", "num_hidden_layers", json!(3)).error();
    assert!(deeper.contains("tensor `model.layers.2.") && deeper.contains("is missing"), "{deeper}");
    let shallower = Folder::copy_of("tiny-llama").set("config.json", "num_hidden_layers", json!(1)).error();
    assert!(
        shallower.contains("tensor `model.layers.1.") && shallower.contains("is not part of a llama"),
        "{shallower}"
    );
}

#[test]
fn a_tied_model_has_no_use_for_an_output_projection_and_another_needs_one() {
    let tied = Folder::copy_of("tiny-llama").set("config.json", "tie_word_embeddings", json!(true));
    let parameters = |folder: &Folder| load(&folder.source(), &small(), &mut |_, _| {}).unwrap().info.parameters;
    let all = load_fixture("tiny-llama").info.parameters;
    assert_eq!(parameters(&tied), all, "a projection that is not the embedding is computed with, as in transformers");
    let path = tied.path("model.safetensors");
    let tensors = crate::weights::safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
    let embedding = tensors.iter().find(|tensor| tensor.name() == "model.embed_tokens.weight").unwrap();
    let views = tensors.iter().map(|tensor| {
        let values = if tensor.name() == "lm_head.weight" { embedding } else { tensor };
        let shape = values.shape().to_vec();
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, values.bytes()).unwrap();
        (tensor.name().to_owned(), view)
    });
    let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
    fs::write(&path, bytes).unwrap();
    assert_eq!(parameters(&tied), all - 512 * 32);
    let untied = Folder::copy_of("tiny-gpt2").set("config.json", "tie_word_embeddings", json!(false));
    assert!(untied.error().contains("tensor `lm_head.weight` is missing"));
}

#[test]
fn a_folder_without_its_embedding_is_told_so_in_its_own_words() {
    for (name, missing) in
        [("tiny-llama", "model.embed_tokens.weight"), ("tiny-gpt2-prefixed", "transformer.wte.weight")]
    {
        let folder = Folder::copy_of(name);
        let path = folder.path("model.safetensors");
        let tensors = crate::weights::safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
        let views = tensors.iter().filter(|tensor| tensor.name() != missing).map(|tensor| {
            let shape = tensor.shape().to_vec();
            // Masks of one byte are among them.
            let dtype = match tensor.bytes().len() / tensor.len() {
                1 => safetensors::Dtype::U8,
                2 => safetensors::Dtype::F16,
                _ => safetensors::Dtype::F32,
            };
            let view = safetensors::tensor::TensorView::new(dtype, shape, tensor.bytes()).unwrap();
            (tensor.name().to_owned(), view)
        });
        let bytes = safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap();
        fs::write(&path, bytes).unwrap();
        let error = folder.error();
        assert!(error.contains(&format!("model.safetensors: tensor `{missing}` is missing")), "{error}");
        let quantize = Some("q8_0".parse().unwrap());
        let options = LoadOptions { quantize, ..small() };
        let error = load(&folder.source(), &options, &mut |_, _| {}).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{missing}` is missing")), "{error}");
    }
}

#[test]
fn the_plain_rotation_may_be_written_in_three_ways() {
    let theta = |folder: Folder| folder.open().unwrap().config.ropes[0].theta;
    let fresh = || Folder::copy_of("tiny-llama").set("config.json", "rope_parameters", Value::Null);
    assert_eq!(theta(fresh()), 10_000.0);
    assert_eq!(theta(fresh().set("config.json", "rope_theta", json!(5e5))), 5e5);
    let both = fresh().set("config.json", "rope_theta", json!(2e4)).set(
        "config.json",
        "rope_scaling",
        json!({"rope_type": "default"}),
    );
    assert_eq!(theta(both), 2e4);
}

#[test]
fn a_token_without_an_embedding_is_an_error_only_where_it_is_used() {
    let vocab: serde_json::Map<String, Value> =
        (0..512).map(|id| (format!("t{id}"), json!(id))).chain([("<|x|>".to_owned(), json!(512))]).collect();
    let folder = Folder::copy_of("tiny-gpt2")
        .write("merges.txt", "")
        .write("vocab.json", &json!(vocab).to_string())
        .write("added_tokens.json", r#"{"<|x|>": 512, "t1": 1}"#);
    let model = load(&folder.source(), &small(), &mut |_, _| {}).unwrap();
    let note = model.info.notes.iter().find(|note| note.contains("513 tokens")).unwrap();
    assert!(note.contains("vocab.json") && note.contains("embeddings for 512"), "{note}");
    assert_eq!(model.tokenizer.encode("t1", true).unwrap(), [1]);
    let copy = folder.path("copy.gguf");
    let conversion = convert::Conversion::new(&folder.source(), "f16".parse().unwrap()).unwrap();
    let flow = conversion.write_file(&copy, false, &ThreadPool::new(1), &mut |_| std::ops::ControlFlow::Continue(()));
    assert!(flow.unwrap().is_continue());
    let copied = load(&ModelSource::Path(copy), &small(), &mut |_, _| {}).unwrap();
    assert_eq!((copied.tokenizer.vocabulary_size(), copied.info.notes), (512, vec![]));
    let error = model.tokenizer.encode("t1<|x|>", true).unwrap_err().to_string();
    assert!(error.contains("`<|x|>` (512") && error.contains("vocab.json"), "{error}");
}

#[test]
fn special_tokens_that_are_not_there_are_notes() {
    let config = "tokenizer_config.json";
    let folder = Folder::copy_of("tiny-gpt2")
        .set("config.json", "eos_token_id", json!(50256))
        .set("config.json", "bos_token_id", json!(50256))
        .set("generation_config.json", "eos_token_id", json!([2, 50257, -1]))
        .set(config, "pad_token", json!("<pad>"))
        .set(config, "eos_token", json!("</s>"));
    let tokenizer = folder.open().unwrap().tokenizer().unwrap();
    assert!(tokenizer.eos_tokens().contains(&2) && !tokenizer.eos_tokens().contains(&50256));
    let notes = tokenizer.notes().join("\n");
    for what in [
        "/config.json: `eos_token_id` is 50256",
        "generation_config.json: `eos_token_id` is 50257",
        "`eos_token_id` is -1",
        "tokenizer_config.json: `eos_token` is `</s>`",
    ] {
        assert!(notes.contains(what), "{what}: {notes}");
    }
    assert!(tokenizer.encode("a", true).is_ok());
    let begins = folder.set(config, "add_bos_token", json!(true)).set(config, "bos_token", json!("<s>"));
    let tokenizer = begins.open().unwrap().tokenizer().unwrap();
    assert!(tokenizer.encode("a", false).is_ok());
    let error = tokenizer.encode("a", true).unwrap_err().to_string();
    assert!(error.contains("begins with `<s>`") && error.contains("vocab.json"), "{error}");
}

#[test]
fn end_marks_go_by_their_text_whatever_a_tokenizer_json_calls_them() {
    let change = |change: &dyn Fn(&mut Value)| {
        let folder = Folder::copy_of("tiny-llama")
            .remove("tokenizer_config.json")
            .set("config.json", "eos_token_id", Value::Null)
            .set("generation_config.json", "eos_token_id", Value::Null);
        let mut json: Value =
            serde_json::from_str(&fs::read_to_string(folder.path("tokenizer.json")).unwrap()).unwrap();
        change(&mut json);
        folder.write("tokenizer.json", &json.to_string()).open().unwrap().tokenizer().unwrap()
    };
    let not_special = change(&|json| {
        json["added_tokens"].as_array_mut().unwrap().iter_mut().for_each(|token| token["special"] = json!(false));
    });
    let not_added = change(&|json| json["added_tokens"] = json!([]));
    for tokenizer in [not_special, not_added] {
        assert_eq!(tokenizer.eos_tokens(), [0, 2]);
        assert!(tokenizer.is_special(2));
        assert_eq!(tokenizer.encode("<|im_end|>", false).unwrap(), [2]);
    }
}

#[test]
fn a_tokenizer_is_looked_for_under_all_its_names() {
    let none = Folder::copy_of("tiny-llama").remove("tokenizer.json");
    assert!(none.error().contains("there is no tokenizer in this folder"));
    assert!(none.write("tokenizer.model", "").error().contains("SentencePiece"));
    let openai = Folder::copy_of("tiny-gpt2");
    fs::rename(openai.path("vocab.json"), openai.path("encoder.json")).unwrap();
    fs::rename(openai.path("merges.txt"), openai.path("vocab.bpe")).unwrap();
    let tokenizer = openai.open().unwrap().tokenizer().unwrap();
    assert_eq!(tokenizer.eos_tokens(), [0, 2]);
    assert!(tokenizer.is_special(0));
}

#[test]
fn special_tokens_come_from_the_configuration() {
    let config = "tokenizer_config.json";
    let folder = Folder::copy_of("tiny-gpt2")
        .set(config, "add_bos_token", json!(true))
        .set(config, "bos_token", json!("<|im_start|>"))
        .set(config, "eos_token", json!({"content": "<|im_end|>"}));
    let tokenizer = folder.open().unwrap().tokenizer().unwrap();
    assert_eq!((tokenizer.bos_token(), tokenizer.eos_tokens()), (Some(1), &[0, 2][..]));
    let list = Folder::copy_of("tiny-gpt2").set("config.json", "eos_token_id", json!("end"));
    assert!(list.error().contains("`eos_token_id` has to be a token id or a list"));
}

#[test]
fn a_chat_template_may_stand_in_three_places() {
    let template = |folder: &Folder| folder.open().unwrap().chat_template;
    let folder = Folder::copy_of("tiny-gpt2");
    assert_eq!(template(&folder), None);
    let named = json!([{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]);
    let folder = folder.set("tokenizer_config.json", "chat_template", named);
    assert_eq!(template(&folder).as_deref(), Some("D"));
    let folder = folder.set("tokenizer_config.json", "chat_template", json!([{"name": "rag", "template": "R"}]));
    assert_eq!(template(&folder).as_deref(), Some("R"));
    let folder = folder.set("tokenizer_config.json", "chat_template", json!({"default": "O", "tools": "T"}));
    assert_eq!(template(&folder).as_deref(), Some("O"));
    let folder = folder.set("tokenizer_config.json", "chat_template", json!("K"));
    assert_eq!(template(&folder).as_deref(), Some("K"));
    // Without a tag it is no template.
    let folder = folder.write("chat_template.jinja", "J");
    assert_eq!(template(&folder).as_deref(), Some("K"));
    let folder = folder.write("chat_template.jinja", "{{ J }}");
    assert_eq!(template(&folder).as_deref(), Some("{{ J }}"));
}

/// The tiny GGUF file after each stretch of its bytes is cut off or overwritten: an error, or a model that runs.
#[test]
fn a_damaged_gguf_file_never_panics() {
    let whole = fs::read(fixture("tiny-llama.Q4_1.gguf")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.gguf");
    let load_bytes = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        load(&ModelSource::Path(path.clone()), &small(), &mut |_, _| {}).map(|_| ()).map_err(|e| e.to_string())
    };
    for length in (0..whole.len()).step_by(1499) {
        let error = load_bytes(&whole[..length]).unwrap_err();
        assert!(error.contains("damaged.gguf"), "{length}: {error}");
    }
    for position in (0..whole.len() / 3).step_by(211) {
        let mut bytes = whole.clone();
        bytes[position..position + 8].fill(0xff);
        if let Err(error) = load_bytes(&bytes) {
            assert!(error.contains("damaged.gguf"), "{position}: {error}");
        }
    }
}

#[test]
fn what_ends_a_reply_is_collected_from_everywhere() {
    let folder = Folder::copy_of("tiny-gpt2")
        .set("config.json", "eos_token_id", json!([7, 9]))
        .set("generation_config.json", "eos_token_id", json!([9, 11]))
        .set("tokenizer_config.json", "additional_special_tokens", json!(["<|im_end|>"]));
    assert_eq!(folder.open().unwrap().tokenizer().unwrap().eos_tokens(), [0, 2, 7, 9, 11]);
}

#[test]
fn the_class_of_a_tokenizer_says_how_a_vocabulary_is_used() {
    let config = "tokenizer_config.json";
    let ids = |folder: &Folder| folder.open().unwrap().tokenizer().unwrap().encode("2024 e\u{301}", false).unwrap();
    let gpt2 = Folder::copy_of("tiny-gpt2");
    let plain = ids(&gpt2);
    let gpt2 = gpt2.set(config, "tokenizer_class", json!("GPT2TokenizerFast"));
    assert_eq!(ids(&gpt2), plain);
    let qwen2 = gpt2.set(config, "tokenizer_class", json!("Qwen2Tokenizer"));
    assert_ne!(ids(&qwen2), plain, "the accent is composed");
    let error = qwen2.set(config, "tokenizer_class", json!("RobertaTokenizer")).error();
    assert!(
        error.contains("tokenizer_config.json") && error.contains("`tokenizer_class` is RobertaTokenizer"),
        "{error}"
    );
    let prefix = Folder::copy_of("tiny-gpt2").set(config, "add_prefix_space", json!(true)).error();
    assert!(prefix.contains("`add_prefix_space`"), "{prefix}");
}

#[test]
fn added_tokens_have_the_ids_that_the_configuration_gives_them() {
    let config = "tokenizer_config.json";
    let tokenizer = |folder: &Folder| folder.open().unwrap().tokenizer().unwrap();
    let think =
        json!({"300": {"content": "<think>", "special": false}, "2": {"content": "<|im_end|>", "special": true}});
    // The vocabulary has something else at 300 already; a token of the same id stands beside it.
    let folder = Folder::copy_of("tiny-gpt2").set(config, "added_tokens_decoder", think);
    let found = tokenizer(&folder);
    assert_eq!(found.encode("a<think>", false).unwrap()[1..], [300]);
    assert!(!found.is_special(300) && found.is_special(2));
    let older = Folder::copy_of("tiny-gpt2").write("added_tokens.json", r#"{"<think>": 300}"#);
    assert_eq!(tokenizer(&older).encode("<think>", false).unwrap(), [300]);
    let other = older.set(config, "added_tokens_decoder", json!({"7": {"content": "<|im_end|>"}})).error();
    assert!(other.contains("`<|im_end|>` has another id"), "{other}");
    let broken =
        Folder::copy_of("tiny-gpt2").set(config, "added_tokens_decoder", json!({"x": {"content": "a"}})).error();
    assert!(broken.contains("`added_tokens_decoder`"), "{broken}");
}

#[test]
fn a_load_is_stopped_at_the_next_tensor_and_leaves_nothing_behind() {
    let source = ModelSource::Path(fixture("tiny-llama"));
    let folder = tempfile::tempdir().unwrap();
    let quantize = Some("q8_0".parse().unwrap());
    let quantized_folder = Some(folder.path().to_owned());
    let options = LoadOptions { quantize, quantized_folder, ..small() };
    let outcome = load(&source, &options, &mut |_, _| options.cancel.set());
    assert!(matches!(outcome, Err(EngineError::Cancelled)));
    let files = std::fs::read_dir(folder.path()).unwrap().flatten();
    let left: Vec<_> = files.map(|entry| entry.file_name()).filter(|name| name != "lock").collect();
    assert!(left.is_empty(), "{left:?}");
    let options = small();
    options.cancel.set();
    assert!(matches!(load(&source, &options, &mut |_, _| {}), Err(EngineError::Cancelled)));
}
