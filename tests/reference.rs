//! The default model against Hugging Face transformers in float32 on the same, dequantized weights
//! (`tests/fixtures/smollm2_reference.json`): tokens, log-probabilities and greedy continuations.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use gibber_engine::inference::Inference;
use gibber_engine::load::{LoadOptions, LoadedModel, ModelSource, load};
use gibber_engine::{CacheType, CacheTypes, TokenId};
use serde_json::Value;

const REFERENCE: &str = include_str!("fixtures/smollm2_reference.json");

/// One model for all tests, one test at a time: two would share the same cores.
fn default_model() -> MutexGuard<'static, LoadedModel> {
    static MODEL: LazyLock<Mutex<LoadedModel>> = LazyLock::new(|| Mutex::new(load_default(CacheTypes::default())));
    MODEL.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load_default(cache: CacheTypes) -> LoadedModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf");
    let options = LoadOptions { context: Some(2048), cache, ..LoadOptions::default() };
    load(&ModelSource::Path(path), &options, &mut |_, _| {}).unwrap()
}

fn reference() -> Value {
    serde_json::from_str(REFERENCE).unwrap()
}

fn ids(value: &Value) -> Vec<TokenId> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as TokenId).collect()
}

/// In double precision, so that only the model's own rounding is measured.
fn log_probability(logits: &[f32], token: TokenId) -> f64 {
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - max).exp()).sum();
    f64::from(logits[token as usize]) - max - sum.ln()
}

fn argmax(logits: &[f32]) -> TokenId {
    let best = logits.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.unwrap().0 as TokenId
}

#[test]
fn the_text_has_the_reference_probability() {
    let reference = reference();
    let mut guard = default_model();
    let model = &mut *guard;
    let tokens = model.tokenizer.encode(reference["text"].as_str().unwrap(), false).unwrap();
    assert_eq!(tokens, ids(&reference["ids"]));
    let expected: Vec<f64> =
        reference["logprob"].as_array().unwrap()[1..].iter().map(|p| p.as_f64().unwrap()).collect();

    let mut found = Vec::with_capacity(expected.len());
    let score = &mut |position: usize, logits: &[f32]| {
        if let Some(&next) = tokens.get(position + 1) {
            found.push(log_probability(logits, next));
        }
        ControlFlow::Continue(())
    };
    model.inference.logits_of_all(&tokens, score).unwrap();

    assert_eq!(found.len(), expected.len());
    let n = expected.len() as f64;
    let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f64>() / n;
    let perplexity = |logprobs: &[f64]| (-logprobs.iter().sum::<f64>() / n).exp();
    let ratio = perplexity(&found) / perplexity(&expected) - 1.0;
    assert!(difference < 0.05, "mean difference of log-probability {difference}");
    assert!(ratio.abs() < 0.003, "perplexity off by {:+.3} %", ratio * 100.0);
}

/// As a reply is generated: one token after another, through the kernels of a single token.
#[test]
fn token_by_token_the_log_probabilities_are_the_references_own() {
    let mut turn = default_model();
    let half = difference_token_by_token(&mut turn.inference);
    assert!(half < 0.002, "mean difference of log-probability with a cache in half precision {half}");
    let mut single = load_default(CacheTypes::both(CacheType::F32));
    let single = difference_token_by_token(&mut single.inference);
    assert!(single < 0.001, "mean difference of log-probability with a cache in single precision {single}");
}

fn difference_token_by_token(inference: &mut Inference) -> f64 {
    const TOKENS: usize = 200;
    let reference = reference();
    let tokens = &ids(&reference["ids"])[..TOKENS];
    let expected = reference["logprob"].as_array().unwrap().iter().map(|x| x.as_f64());
    inference.truncate(0);
    let mut difference = 0.0;
    for (&token, expected) in tokens.iter().zip(expected) {
        if let Some(expected) = expected {
            difference += (log_probability(inference.logits().unwrap(), token) - expected).abs();
        }
        inference.push(token).unwrap();
    }
    difference / (TOKENS - 1) as f64
}

/// A long prompt is computed with rounder activations than a reply: what follows it has to stay near the reference all the
/// same.
#[test]
fn after_a_long_prompt_the_log_probabilities_stay_near_the_reference() {
    const PROMPT: usize = 1257;
    let reference = reference();
    let tokens = ids(&reference["ids"]);
    let expected: Vec<f64> =
        reference["logprob"].as_array().unwrap()[PROMPT..].iter().map(|x| x.as_f64().unwrap()).collect();
    let mut guard = default_model();
    let inference = &mut guard.inference;
    inference.truncate(0);
    inference.prefill(&tokens[..PROMPT], &mut |_| ControlFlow::Continue(())).unwrap();
    let mut found = Vec::with_capacity(expected.len());
    for &token in &tokens[PROMPT..] {
        found.push(log_probability(inference.logits().unwrap(), token));
        inference.push(token).unwrap();
    }
    let n = expected.len() as f64;
    let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).sum::<f64>() / n;
    let mean = found.iter().zip(&expected).map(|(a, b)| a - b).sum::<f64>() / n;
    assert!(difference < 0.03, "mean difference of log-probability {difference}");
    assert!(mean.abs() < 0.01, "log-probabilities lean by {mean}");
}

#[test]
fn greedy_continuations_are_the_reference_ones() {
    let reference = reference();
    let mut guard = default_model();
    let model = &mut *guard;
    let cases = ["greedy_raw", "greedy_chat"].iter().flat_map(|&key| reference[key].as_array().unwrap());
    for case in cases {
        let prompt = model.tokenizer.encode(case["prompt"].as_str().unwrap(), true).unwrap();
        assert_eq!(prompt, ids(&case["ids"]));
        model.inference.prefill(&prompt, &mut |_| ControlFlow::Continue(())).unwrap();
        let expected = ids(&case["continuation"]);
        let found: Vec<_> = expected
            .iter()
            .map(|_| {
                let token = argmax(model.inference.logits().unwrap());
                model.inference.push(token).unwrap();
                token
            })
            .collect();
        assert_eq!(found, expected, "after {}", case["prompt"]);
        assert_eq!(model.tokenizer.decode(&found), case["text"].as_str().unwrap());
    }
}
