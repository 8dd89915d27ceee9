//! Tiny checkpoints against what Hugging Face transformers computes from them (`tests/fixtures/make_checkpoints.py`):
//! from the file on disk to logits and text, whatever way the prompt is cut into chunks.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use gibber_engine::convert::Conversion;
use gibber_engine::inference::Inference;
use gibber_engine::kernels::ThreadPool;
use gibber_engine::load::{LoadOptions, LoadedModel, ModelSource, load};
use gibber_engine::weights::{Storage, safetensors};
use gibber_engine::{CacheType, CacheTypes, FileType, TokenId};

/// The largest difference of a logit, of a standard deviation of nearly 3, where the arithmetic is in single precision.
const TOLERANCE: f32 = 1e-3;
/// The same for quantized weights, which are multiplied with activations rounded to 16 bits. The greedy choices of the
/// reference lead by more than twice as much.
const QUANTIZED_TOLERANCE: f32 = 3.5e-3;
/// The same where the KV cache is in half precision.
const HALF_TOLERANCE: f32 = 2e-2;
/// The same where it is Q8_0.
const EIGHT_BIT_TOLERANCE: f32 = 0.3;
/// The prompt at once, and in chunks that divide it and that do not.
const CHUNKS: [usize; 5] = [512, 1, 3, 7, 16];

/// What transformers computed.
struct Reference {
    prompt: String,
    ids: Vec<TokenId>,
    greedy: Vec<TokenId>,
    greedy_text: String,
    /// One row a token of the prompt.
    logits: Vec<f32>,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Reference {
    fn read(name: &str) -> Self {
        let json = std::fs::read_to_string(fixture(&format!("{name}.reference.json"))).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let text = |key: &str| json[key].as_str().unwrap().to_owned();
        let ids = |key: &str| json[key].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect();
        let path = fixture(&format!("{name}.reference.safetensors"));
        let tensors = safetensors::parse(&path, &Storage::open(&path).unwrap()).unwrap();
        let logits = tensors.iter().find(|tensor| tensor.name() == "logits").unwrap().to_f32().unwrap();
        Self {
            prompt: text("prompt"),
            ids: ids("ids"),
            greedy: ids("greedy"),
            greedy_text: text("greedy_text"),
            logits,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.logits.chunks_exact(self.logits.len() / self.ids.len())
    }
}

fn load_tiny(file: &str, batch: usize, cache: CacheType) -> LoadedModel {
    let options = LoadOptions { threads: Some(2), batch, cache: CacheTypes::both(cache), ..LoadOptions::default() };
    load(&ModelSource::Path(fixture(file)), &options, &mut |_, _| {}).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn argmax(logits: &[f32]) -> TokenId {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.unwrap().0 as TokenId
}

fn prefill(inference: &mut Inference, ids: &[TokenId]) {
    inference.prefill(ids, &mut |_| ControlFlow::Continue(())).unwrap();
}

fn greedy(inference: &mut Inference, tokens: usize) -> Vec<TokenId> {
    (0..tokens)
        .map(|_| {
            let token = argmax(inference.logits().unwrap());
            inference.push(token).unwrap();
            token
        })
        .collect()
}

/// The largest difference between the logits of every position and the reference: all at once without a cache, token by
/// token with it, and at the end of the prompt for every way of cutting it.
fn worst_difference(file: &str, cache: CacheType, reference: &Reference) -> f32 {
    let mut worst = 0.0f32;
    for batch in CHUNKS {
        let mut model = load_tiny(file, batch, cache);
        let rows: Vec<_> = reference.rows().collect();
        let all = &mut |position: usize, logits: &[f32]| {
            worst = worst.max(largest_difference(logits, rows[position]));
            ControlFlow::Continue(())
        };
        model.inference.logits_of_all(&reference.ids, all).unwrap();
        model.inference.truncate(0);
        prefill(&mut model.inference, &reference.ids);
        worst = worst.max(largest_difference(model.inference.logits().unwrap(), rows[rows.len() - 1]));
        model.inference.truncate(0);
        prefill(&mut model.inference, &reference.ids[..1]);
        for (position, row) in rows.iter().enumerate() {
            worst = worst.max(largest_difference(model.inference.logits().unwrap(), row));
            if let Some(&next) = reference.ids.get(position + 1) {
                model.inference.push(next).unwrap();
            }
        }
    }
    worst
}

/// Logits and text with a cache in single precision, logits with one in half precision as well.
fn assert_parity(file: &str, reference: &str, tolerance: f32) {
    let reference = Reference::read(reference);
    assert_logits(file, CacheType::F16, &reference, HALF_TOLERANCE);
    assert_exact_parity(file, &reference, tolerance);
}

fn assert_logits(file: &str, cache: CacheType, reference: &Reference, tolerance: f32) {
    let worst = worst_difference(file, cache, reference);
    assert!(worst <= tolerance, "{file} with a cache in {cache:?}: a logit differs by {worst}");
}

/// Logits and text with a cache in single precision.
fn assert_exact_parity(file: &str, reference: &Reference, tolerance: f32) {
    assert_logits(file, CacheType::F32, reference, tolerance);
    for batch in CHUNKS {
        let mut model = load_tiny(file, batch, CacheType::F32);
        let ids = model.tokenizer.encode(&reference.prompt, true).unwrap();
        assert_eq!(ids, reference.ids, "{file}");
        prefill(&mut model.inference, &ids);
        let continuation = greedy(&mut model.inference, reference.greedy.len());
        assert_eq!(continuation, reference.greedy, "{file} in chunks of {batch}");
        assert_eq!(model.tokenizer.decode(&continuation), reference.greedy_text, "{file}");
    }
}

#[test]
fn gpt2_as_it_was_published() {
    assert_parity("tiny-gpt2", "tiny-gpt2", TOLERANCE);
}

#[test]
fn gpt2_with_the_prefix_in_half_precision() {
    assert_parity("tiny-gpt2-prefixed", "tiny-gpt2-prefixed", TOLERANCE);
}

#[test]
fn llama_from_a_folder() {
    assert_parity("tiny-llama", "tiny-llama", TOLERANCE);
}

#[test]
fn llama_from_a_gguf_file() {
    assert_parity("tiny-llama.F32.gguf", "tiny-llama", TOLERANCE);
}

#[test]
fn llama_from_a_gguf_file_in_sixteen_bits() {
    assert_parity("tiny-llama.BF16.gguf", "tiny-llama.BF16", TOLERANCE);
}

#[test]
fn llama_from_quantized_gguf_files() {
    for name in ["tiny-llama.Q8_0", "tiny-llama.Q4_1"] {
        assert_parity(&format!("{name}.gguf"), name, QUANTIZED_TOLERANCE);
    }
}

/// One for each variant of an architecture.
const VARIANTS: [&str; 8] =
    ["gpt2-relu", "gpt2-gelu", "llama-biased-linear", "llama3", "mistral", "qwen2", "qwen2-window", "qwen3"];

#[test]
fn every_variant_from_a_folder() {
    for variant in VARIANTS {
        let name = format!("variant-{variant}");
        assert_exact_parity(&name, &Reference::read(&name), TOLERANCE);
    }
}

#[test]
fn every_variant_that_gguf_has_keys_for_from_a_gguf_file() {
    let folder = tempfile::tempdir().unwrap();
    for variant in VARIANTS {
        let (name, out) = (format!("variant-{variant}"), folder.path().join(format!("{variant}.gguf")));
        let source = ModelSource::Path(fixture(&name));
        let made = Conversion::new(&source, FileType::F32);
        if ["gpt2-relu", "gpt2-gelu", "qwen2-window"].contains(&variant) {
            let error = made.unwrap_err().to_string();
            assert!(error.contains("GGUF cannot say") && error.contains(&name), "{error}");
        } else {
            let flow = made.unwrap().write_file(&out, false, &ThreadPool::new(2), &mut |_| ControlFlow::Continue(()));
            assert!(flow.unwrap().is_continue());
            assert_exact_parity(out.to_str().unwrap(), &Reference::read(&name), TOLERANCE);
        }
    }
}

#[test]
fn a_cache_of_eight_bits_is_close() {
    for (file, reference) in [("tiny-gpt2", "tiny-gpt2"), ("tiny-llama.F32.gguf", "tiny-llama")] {
        let worst = worst_difference(file, CacheType::Q8_0, &Reference::read(reference));
        assert!(worst <= EIGHT_BIT_TOLERANCE, "{file}: a logit differs by {worst}");
    }
}

#[test]
fn a_turn_that_goes_back_gives_the_same_logits_as_a_fresh_one() {
    let reference = Reference::read("tiny-llama");
    let mut model = load_tiny("tiny-llama.F32.gguf", 7, CacheType::F32);
    prefill(&mut model.inference, &reference.ids);
    greedy(&mut model.inference, 9);
    prefill(&mut model.inference, &reference.ids);
    let last = reference.rows().last().unwrap();
    assert!(largest_difference(model.inference.logits().unwrap(), last) <= TOLERANCE);
}

/// A folder with a Llama of one layer whose rows are whole blocks of every format: 256 values. Its tokenizer is tiny-gpt2's.
fn wide_llama(folder: &Path) {
    let (width, vocabulary) = (256, 512);
    let mut state = 7_u64;
    let mut random = |count: usize, scale: f32, middle: f32| -> Vec<u8> {
        let mut value = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f32 / (1u32 << 31) as f32 * 2.0 - 1.0
        };
        (0..count).flat_map(|_| (middle + scale * value()).to_le_bytes()).collect()
    };
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocabulary, width], random(vocabulary * width, 0.5, 0.0)),
        ("model.norm.weight".to_owned(), vec![width], random(width, 0.2, 1.0)),
    ];
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((format!("model.layers.0.{norm}.weight"), vec![width], random(width, 0.2, 1.0)));
    }
    for (name, rows) in [("q", 256), ("k", 128), ("v", 128), ("o", 256)] {
        let name = format!("model.layers.0.self_attn.{name}_proj.weight");
        tensors.push((name, vec![rows, width], random(rows * width, 0.1, 0.0)));
    }
    for name in ["gate", "up", "down"] {
        let name = format!("model.layers.0.mlp.{name}_proj.weight");
        tensors.push((name, vec![width, width], random(width * width, 0.1, 0.0)));
    }
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    ::safetensors::serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "model_type": "llama", "hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "vocab_size": vocabulary,
        "tie_word_embeddings": true,
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    for file in ["vocab.json", "merges.txt"] {
        std::fs::copy(fixture("tiny-gpt2").join(file), folder.join(file)).unwrap();
    }
}

fn convert(source: &Path, kind: FileType, out: &Path) {
    let conversion = Conversion::new(&ModelSource::Path(source.to_owned()), kind).unwrap();
    let flow = conversion.write_file(out, false, &ThreadPool::new(2), &mut |_| ControlFlow::Continue(()));
    assert!(flow.unwrap().is_continue());
}

/// The logits after a short prompt, which is computed with activations of sixteen bits, and those at the end of one that is
/// so long that they may take eight.
fn logits_of(file: &Path) -> [Vec<f32>; 2] {
    let mut model = load_tiny(file.to_str().unwrap(), 512, CacheType::F32);
    [12, 128].map(|length| {
        let ids: Vec<TokenId> = (0..length).map(|i| i * 37 % 512).collect();
        model.inference.truncate(0);
        prefill(&mut model.inference, &ids);
        model.inference.logits().unwrap().to_vec()
    })
}

#[test]
fn every_quantized_format_computes_what_its_dequantized_weights_do() {
    // Of logits with a standard deviation of about 5. Sixteen bits lose 1/64516 of a block's largest activation at each
    // step, eight bits 1/254.
    const BOUNDS: [f32; 2] = [2e-3, 0.3];
    let folder = tempfile::tempdir().unwrap();
    wide_llama(folder.path());
    for kind in FileType::all() {
        let [quantized, floats] = ["", ".F32"].map(|form| folder.path().join(format!("{kind}{form}.gguf")));
        convert(folder.path(), kind, &quantized);
        convert(&quantized, FileType::F32, &floats);
        for ((found, exact), bound) in logits_of(&quantized).iter().zip(logits_of(&floats)).zip(BOUNDS) {
            let difference = largest_difference(found, &exact);
            assert!(difference <= bound, "{kind}: a logit differs by {difference}");
            assert!(exact.iter().fold(0.0f32, |most, logit| most.max(logit.abs())) > 5.0, "{kind}: logits are flat");
        }
    }
}
