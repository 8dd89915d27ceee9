//! What the tests of families have in common: tiny models against what Hugging Face transformers computes from them
//! (`tests/fixtures/make_checkpoints.py`).

use serde_json::{Value, json};
use std::collections::HashSet;
use std::ops::ControlFlow::Continue;
use std::path::{Path, PathBuf};

use crate::convert::Conversion;
use crate::kernels::ThreadPool;
use crate::load::{LoadOptions, LoadedModel, ModelSource, load, open};
use crate::model::{ModelConfig, RopeScaling, TensorSpec};
use crate::weights::{DType, Storage, Tensor, safetensors};
use crate::{CacheType, CacheTypes, FileType, TokenId};

/// The largest difference of a logit, of a standard deviation of 3 to 5.
const TOLERANCE: f32 = 1e-3;

/// What transformers computed.
struct Reference {
    ids: Vec<TokenId>,
    greedy: Vec<TokenId>,
    /// One row a token of the prompt.
    logits: Vec<Vec<f32>>,
}

pub(super) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

impl Reference {
    fn read(name: &str) -> Self {
        let json = std::fs::read_to_string(fixture(&format!("{name}.reference.json"))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ids = |key: &str| json[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect();
        let path = fixture(&format!("{name}.reference.safetensors"));
        let tensors = safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
        let (values, width) = (tensors[0].to_f32().unwrap(), tensors[0].shape()[1]);
        let logits = values.chunks_exact(width).map(<[f32]>::to_vec).collect();
        Self { ids: ids("ids"), greedy: ids("greedy"), logits }
    }

    /// That the model at `path` computes the same, in whatever pieces the prompt comes.
    fn assert_same(&self, path: &Path) {
        for batch in [512, 1, 3, 16] {
            let mut inference = loaded(path, batch).inference;
            let mut checked = 0;
            let check = &mut |position: usize, logits: &[f32]| {
                assert_close(logits, &self.logits[position]);
                checked += 1;
                Continue(())
            };
            inference.logits_of_all(&self.ids, check).unwrap();
            assert_eq!(checked, self.ids.len());
            inference.truncate(0);
            inference.prefill(&self.ids, &mut |_| Continue(())).unwrap();
            for &expected in &self.greedy {
                let logits = inference.logits().unwrap();
                let best = (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap().0;
                assert_eq!(best, expected, "{} in pieces of {batch}", path.display());
                inference.push(best).unwrap();
            }
        }
    }
}

/// The model at `path`, which computes prompts `batch` tokens at a time.
pub(super) fn loaded(path: &Path, batch: usize) -> LoadedModel {
    let cache = CacheTypes::both(CacheType::F32);
    let options = LoadOptions { threads: Some(2), batch, cache, ..LoadOptions::default() };
    load(&ModelSource::Path(path.to_owned()), &options, &mut |_, _| {}).unwrap()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(found.len() == expected.len() && off <= TOLERANCE, "a logit differs by {off}");
}

/// The tensors of the fixture `name`, all of them F32: names, shapes and bytes.
pub(super) fn tensors_of(name: &str) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let path = fixture(name).join("model.safetensors");
    let tensors = safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
    assert!(tensors.iter().all(|tensor| tensor.dtype() == DType::F32));
    let of = |tensor: Tensor| (tensor.name().to_owned(), tensor.shape().to_vec(), tensor.bytes().to_vec());
    tensors.into_iter().map(of).collect()
}

/// Writes `tensors` as the one file of a folder.
pub(super) fn write_tensors(path: &Path, tensors: &[(String, Vec<usize>, Vec<u8>)]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, bytes) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({"dtype": "F32", "shape": shape, "data_offsets": offsets}));
        data.extend(bytes);
    }
    let header = Value::Object(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&length[..], header.as_bytes(), &data].concat()).unwrap();
}

/// The ids of the prompt of the fixture `name` and of its continuation.
pub(super) fn text_of(name: &str) -> Vec<TokenId> {
    let Reference { ids, greedy, .. } = Reference::read(name);
    [ids, greedy].concat()
}

/// That the model at `path` computes what is the reference of the fixture `name`.
pub(super) fn assert_same(name: &str, path: &Path) {
    Reference::read(name).assert_same(path);
}

/// That the model in the fixtures' folder `name` computes what transformers does, as a folder and as a GGUF file.
pub(super) fn assert_parity(name: &str) {
    let reference = Reference::read(name);
    reference.assert_same(&fixture(name));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.gguf");
    let conversion = Conversion::new(&ModelSource::Path(fixture(name)), FileType::F32).unwrap();
    assert!(conversion.write_file(&path, false, &ThreadPool::new(1), &mut |_| Continue(())).unwrap().is_continue());
    reference.assert_same(&path);
}

/// That the model in the fixtures' folder `name` is not written to a GGUF file, for want of a way to say `what`.
pub(super) fn assert_gguf_refused(name: &str, what: &str) {
    let error = Conversion::new(&ModelSource::Path(fixture(name)), FileType::F32).unwrap_err().to_string();
    assert!(error.contains("GGUF cannot say") && error.contains(what), "{error}");
}

#[test]
fn a_family_computes_what_transformers_does_from_either_kind_of_file() {
    for variant in ["llama3", "llama-biased-linear", "mistral", "qwen2", "qwen3"] {
        assert_parity(&format!("variant-{variant}"));
    }
}

/// The shape that the fixture's configuration says after `change`.
fn config_of(name: &str, change: impl FnOnce(&mut Value)) -> crate::model::ModelConfig {
    let text = std::fs::read(fixture(name).join("config.json")).unwrap();
    let mut json: Value = serde_json::from_slice(&text).unwrap();
    change(&mut json);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    std::fs::write(&path, json.to_string()).unwrap();
    super::config_from_json(&crate::keys::JsonFile::read(path).unwrap().unwrap()).unwrap().config
}

#[test]
fn configurations_of_transformers_4_say_the_same() {
    for name in ["gemma2", "granite", "ministral3", "exaone4", "exaone4-window", "phi3-long", "phi3-short", "qwen2"] {
        let name = format!("variant-{name}");
        let older = config_of(&name, |json| {
            let mut rope = json.as_object_mut().unwrap().remove("rope_parameters").unwrap();
            let rope = rope.as_object_mut().unwrap();
            json["rope_theta"] = rope.remove("rope_theta").unwrap();
            if let Some(share) = rope.remove("partial_rotary_factor") {
                json["partial_rotary_factor"] = share;
            }
            if rope["rope_type"] == "longrope" {
                rope.remove("original_max_position_embeddings");
            }
            if rope["rope_type"] != "default" {
                rope.insert("type".into(), rope["rope_type"].clone());
                rope.remove("rope_type");
                json["rope_scaling"] = Value::Object(rope.clone());
            }
            json.as_object_mut().unwrap().remove("layer_types");
        });
        assert_eq!(older, config_of(&name, |_| {}), "{name}");
    }
    // By kinds of layers, of which older ones say one rotation, scaled in the layers without a window.
    let older = config_of("variant-olmo3", |json| {
        let mut rope = json["rope_parameters"]["full_attention"].clone();
        json["rope_theta"] = rope.as_object_mut().unwrap().remove("rope_theta").unwrap();
        json["rope_scaling"] = rope;
        json.as_object_mut().unwrap().remove("rope_parameters");
        json.as_object_mut().unwrap().remove("layer_types");
    });
    // Which have the usual base, whatever is said.
    let mut newer = config_of("variant-olmo3", |_| {});
    newer.ropes[1].theta = 5e5;
    assert_eq!(older, newer);
    let older = config_of("variant-gemma4-keys", |json| {
        json.as_object_mut().unwrap().remove("per_layer_config");
        (json["global_head_dim"], json["num_global_key_value_heads"]) = (16.into(), 1.into());
    });
    assert_eq!(older, config_of("variant-gemma4-keys", |_| {}));
}

#[test]
fn a_description_names_each_tensor_once_and_random_weights_are_all() {
    for (name, config) in super::all().flat_map(|family| family.synthetic()) {
        let layers = (0..config.n_layer()).flat_map(|layer| config.family.layer_tensors(&config, layer));
        let specs: Vec<_> = config.family.global_tensors(&config).into_iter().chain(layers).collect();
        let named = |spec: &TensorSpec| (spec.hugging_face.clone(), format!("{:?} {:?}", spec.otherwise, spec.order));
        let names: HashSet<_> = specs.iter().map(named).collect();
        assert_eq!(names.len(), specs.len(), "{name}");
        let places: HashSet<_> = specs.iter().map(|spec| (&spec.gguf, spec.slice.map(|slice| slice.index))).collect();
        assert_eq!(places.len(), specs.len(), "{name}");
        config.check(Path::new(name)).unwrap();
    }
    let (config, weights) = crate::synthetic::build("tiny").unwrap();
    crate::model::Model::check(config, &weights).unwrap();
    assert!(weights.untaken().is_empty());
}

#[test]
fn yarn_that_a_gguf_file_would_be_read_to_blend_otherwise_is_not_written() {
    for (name, rounds) in [("variant-qwen2", true), ("variant-gpt-oss", false)] {
        let mut config = open(&ModelSource::Path(fixture(name))).unwrap().config;
        assert_eq!(super::gguf_lacks(&config), None, "{name}");
        for rope in &mut config.ropes {
            let RopeScaling::Yarn { truncate, .. } = &mut rope.scaling else { panic!("{name}: {rope:?}") };
            *truncate = !rounds;
        }
        assert!(super::gguf_lacks(&config).unwrap().contains("`truncate`"), "{name}");
    }
}

/// The configuration that the fixture `name` is read as with other values for some keys; null is as if they were not there.
fn changed(name: &str, values: &[(&str, Value)]) -> ModelConfig {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    config_of(name, |json| json.as_object_mut().unwrap().extend(values))
}

#[test]
fn what_olmo2_leaves_out_is_as_in_transformers() {
    assert_eq!(changed("variant-olmo2", &[("rms_norm_eps", Value::Null)]).norm.eps, 1e-5);
}

#[test]
fn families_that_know_one_window_alone_do_not_ask_which_layers_have_it() {
    for (name, layers) in [("variant-mixtral", 2), ("variant-phi3-short", 2), ("variant-ministral3", 2)] {
        let kinds = ["full_attention", "sliding_attention"].repeat(layers / 2);
        let window = |config: ModelConfig| config.attentions().map(|attention| attention.window).collect::<Vec<_>>();
        let found = window(changed(name, &[("layer_types", json!(kinds)), ("sliding_window", json!(7))]));
        assert!(found.iter().all(|&window| window == Some(7)), "{name}: {found:?}");
    }
}

#[test]
fn rotations_that_gemma3_and_olmo3_leave_out_are_as_in_transformers() {
    let thetas = |config: ModelConfig| config.ropes.iter().map(|rope| rope.theta).collect::<Vec<_>>();
    let flat = json!({"rope_type": "default", "rope_theta": 500.0});
    let kinds = json!({"full_attention": {"rope_type": "linear", "factor": 2.0}});
    for (name, usual) in
        [("variant-gemma3", [1e6, 1e4]), ("variant-gemma3n", [1e6, 1e4]), ("variant-olmo3", [5e5, 5e5])]
    {
        assert_eq!(thetas(changed(name, &[("rope_parameters", flat.clone())])), usual, "{name}");
        let beside = changed(name, &[("rope_parameters", kinds.clone()), ("rope_theta", json!(300.0))]);
        assert_eq!(thetas(beside), [300.0, usual[1]], "{name}");
        let older = changed(name, &[("rope_parameters", Value::Null), ("rope_theta", json!(300.0))]);
        assert_eq!(thetas(older), [300.0, usual[1]], "{name}");
    }
}

#[test]
fn queries_of_ministral3_grow_beyond_the_context_that_is_said_beside() {
    let said = json!({"rope_type": "default", "rope_theta": 500.0, "llama_4_scaling_beta": 0.5,
        "original_max_position_embeddings": 16});
    let temperature = |config: &ModelConfig| config.attentions().next().unwrap().temperature.unwrap();
    let config = changed("variant-ministral3", &[("rope_parameters", said)]);
    assert_eq!((temperature(&config).beta, temperature(&config).original_context), (0.5, 16));
    assert!(super::gguf_lacks(&config).unwrap().contains("queries grow"));
    // With nothing but a base, all is as in the class.
    let config = changed("variant-ministral3", &[("rope_parameters", Value::Null), ("rope_theta", json!(500.0))]);
    assert_eq!((temperature(&config).beta, temperature(&config).original_context), (0.1, 16_384));
    assert_eq!(config.ropes[0].theta, 1e6);
}

#[test]
fn what_a_gguf_file_could_not_be_read_back_from_is_not_written() {
    let scaled = json!({"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "linear", "factor": 2.0}});
    let stretched = json!({"full_attention": {"rope_type": "linear", "factor": 2.0}});
    let one_kind = json!(["linear_attention"].repeat(4));
    for (name, key, value, what) in [
        ("variant-gemma3", "rope_parameters", scaled, "layers with a window is scaled"),
        ("variant-gemma2", "attn_logit_softcapping", Value::Null, "nothing is capped"),
        ("variant-gemma2", "final_logit_softcapping", Value::Null, "nothing is capped"),
        ("variant-gemma4", "rope_parameters", stretched, "unless it is `proportional`"),
        ("variant-qwen3-5", "layer_types", one_kind, "which layers have attention"),
        ("variant-lfm2-moe", "num_dense_layers", json!(99), "no layer has experts"),
    ] {
        let lacks = super::gguf_lacks(&changed(name, &[(key, value)]));
        assert!(lacks.is_some_and(|lacks| lacks.contains(what)), "{name}: {lacks:?}");
    }
}

#[test]
fn what_llama_cpp_knows_no_biases_or_divided_frequencies_of_is_not_written() {
    let llama3 = json!({"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64});
    for (name, is_written) in [("variant-llama3", true), ("variant-granite", true), ("variant-qwen3", false)] {
        let lacks = super::gguf_lacks(&changed(name, &[("rope_parameters", llama3.clone())]));
        assert_eq!(lacks.is_none(), is_written, "{name}: {lacks:?}");
    }
    for (name, is_written) in [("variant-llama3", true), ("variant-qwen3", false), ("variant-olmo2", false)] {
        let lacks = super::gguf_lacks(&changed(name, &[("attention_bias", json!(true))]));
        assert_eq!(lacks.is_none(), is_written, "{name}: {lacks:?}");
    }
    let lacks = super::gguf_lacks(&changed("variant-gpt-oss", &[("attention_bias", json!(false))]));
    assert!(lacks.is_some_and(|lacks| lacks.contains("no biases")), "{lacks:?}");
}

#[test]
fn a_file_has_the_embedding_twice_where_llama_cpp_asks_for_an_output_projection() {
    let folder = tempfile::tempdir().unwrap();
    for (name, has_copy) in [("variant-olmo2", true), ("variant-gemma3", false)] {
        let source = folder.path().join(name);
        std::fs::create_dir(&source).unwrap();
        for file in ["vocab.json", "merges.txt"] {
            std::fs::copy(fixture(name).join(file), source.join(file)).unwrap();
        }
        let config = std::fs::read_to_string(fixture(name).join("config.json")).unwrap();
        let config = config.replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
        std::fs::write(source.join("config.json"), config).unwrap();
        let tied: Vec<_> = tensors_of(name).into_iter().filter(|(name, ..)| name != "lm_head.weight").collect();
        write_tensors(&source.join("model.safetensors"), &tied);
        let file = folder.path().join(format!("{name}.gguf"));
        let conversion = Conversion::new(&ModelSource::Path(source.clone()), FileType::F32).unwrap();
        let written = conversion.write_file(&file, false, &ThreadPool::new(1), &mut |_| Continue(())).unwrap();
        assert!(written.is_continue());
        let files = open(&ModelSource::Path(file.clone())).unwrap();
        assert_eq!(files.weights.contains("output.weight"), has_copy, "{name}");
        let text = text_of(name);
        let [found, expected] = [&file, &source].map(|path| {
            let mut inference = loaded(path, 16).inference;
            inference.prefill(&text, &mut |_| Continue(())).unwrap();
            inference.logits().unwrap().to_vec()
        });
        assert_close(&found, &expected);
    }
}

#[test]
fn windows_that_smollm3_lists_need_no_switch() {
    let kinds = ["sliding_attention", "full_attention"].repeat(3);
    let values =
        [("layer_types", json!(kinds[..5])), ("sliding_window", json!(7)), ("use_sliding_window", json!(false))];
    let windows: Vec<_> = changed("variant-smollm3", &values).attentions().map(|attention| attention.window).collect();
    assert_eq!(windows, [Some(7), None, Some(7), None, Some(7)]);
    let none = changed("variant-smollm3", &[("layer_types", Value::Null), ("sliding_window", json!(7))]);
    assert!(none.attentions().all(|attention| attention.window.is_none()));
}
