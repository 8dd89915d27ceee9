//! The same seed gives the same reply, whatever the number of threads and however the reply is drafted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::Instant;

use gibber_engine::generate::{Control, GenerateOptions, PromptLookup, StopCondition, TokenTrace, generate};
use gibber_engine::load::{LoadOptions, LoadedModel, ModelSource, load};
use gibber_engine::{SamplingParams, TokenId};

/// Threads that are compared with one; three are more than many machines have cores.
const THREADS: [usize; 2] = [2, 3];

/// Longer than what is computed token by token, and with something to repeat.
const PROMPT: &str = "\
One fox, two dogs, three cats, four birds, five trees. One fox, two dogs, three cats, four birds, five trees. One fox,";

/// Notes each token with the bits of its log-probability.
#[derive(Default)]
struct Notes(Vec<(TokenId, u32)>);

impl Control for Notes {
    fn on_token(&mut self, trace: TokenTrace, _: usize) {
        self.0.push((trace.token, trace.logprob.to_bits()));
    }
}

fn model(source: &ModelSource, threads: usize) -> LoadedModel {
    let options = LoadOptions { threads: Some(threads), ..LoadOptions::default() };
    load(source, &options, &mut |_, _| {}).unwrap()
}

fn file(path: &str) -> ModelSource {
    ModelSource::Path(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

/// Greedy and with a seed, each from an empty cache: the replies, and the tokens of drafts that came true.
fn replies(model: &mut LoadedModel, tokens: usize, lookup: PromptLookup) -> (Vec<Notes>, usize) {
    let prompt = model.tokenizer.encode(PROMPT, true).unwrap();
    let prompt = &prompt[..prompt.len().min(model.inference.context() - tokens)];
    let mut accepted = 0;
    let mut reply = |temperature: f32, seed: u64| {
        let options = GenerateOptions {
            sampling: SamplingParams { temperature, ..SamplingParams::default() },
            seed,
            stop: StopCondition { max_tokens: Some(tokens), texts: Vec::new() },
            candidates: 0,
            lookup,
            asked: Instant::now(),
        };
        let mut notes = Notes::default();
        model.inference.truncate(0);
        let (_, stats) =
            generate(&mut model.inference, &model.tokenizer, prompt.to_vec(), &options, &mut notes).unwrap();
        accepted += stats.accepted_tokens;
        notes
    };
    let replies = vec![reply(0.0, 0), reply(0.7, 1)];
    (replies, accepted)
}

/// Compares with one thread and no drafts; returns how many tokens of drafts came true.
fn assert_same_replies(source: &ModelSource, tokens: usize) -> usize {
    let (expected, _) = replies(&mut model(source, 1), tokens, PromptLookup::Off);
    let mut drafts_came_true = 0;
    for threads in THREADS {
        let mut model = model(source, threads);
        for lookup in [PromptLookup::Off, PromptLookup::On] {
            let (found, accepted) = replies(&mut model, tokens, lookup);
            drafts_came_true += accepted;
            for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert!(!expected.0.is_empty());
                assert_eq!(found.0, expected.0, "reply {i} of {source:?}, {threads} threads, lookup {lookup:?}");
            }
        }
    }
    drafts_came_true
}

#[test]
fn the_default_models_replies() {
    let drafts_came_true = assert_same_replies(&file("assets/models/SmolLM2-135M-Instruct.Q4_1.gguf"), 24);
    assert!(drafts_came_true > 0, "drafts were not put to the test");
}

#[test]
fn packed_weights() {
    let mut drafts_came_true = 0;
    for shape in ["bench:q8_0", "bench:q4_0", "tiny:q4_1"] {
        drafts_came_true += assert_same_replies(&ModelSource::Synthetic(shape.into()), 40);
    }
    assert!(drafts_came_true > 0, "drafts were not put to the test");
    for name in ["tiny-llama.Q8_0.gguf", "tiny-llama.Q4_1.gguf"] {
        assert_same_replies(&file(&format!("tests/fixtures/{name}")), 40);
    }
}

#[test]
fn floats_in_rows_and_in_columns() {
    let mut drafts_came_true = 0;
    for shape in ["tiny", "bench"] {
        drafts_came_true += assert_same_replies(&ModelSource::Synthetic(shape.into()), 40);
    }
    assert!(drafts_came_true > 0, "drafts were not put to the test");
    for name in ["tiny-gpt2", "tiny-llama", "tiny-llama.F32.gguf"] {
        assert_same_replies(&file(&format!("tests/fixtures/{name}")), 40);
    }
}
