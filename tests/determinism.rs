//! The same seed gives the same reply, whatever the number of threads and however the reply is drafted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow::Continue;
use std::path::Path;
use std::time::Instant;

use gibber_engine::generate::{Control, GenerateOptions, PromptLookup, StopCondition, TokenTrace, generate};
use gibber_engine::inference::Inference;
use gibber_engine::load::{LoadOptions, LoadedModel, ModelSource, load};
use gibber_engine::{FileType, SamplingParams, TokenId};

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

#[test]
fn layers_with_a_state_that_cannot_be_cut() {
    for name in ["variant-qwen3-5", "variant-qwen3-5-moe", "variant-qwen3-next-odd", "variant-lfm2", "variant-lfm2-moe"]
    {
        assert_same_replies(&file(&format!("tests/fixtures/{name}")), 40);
    }
}

/// Goes on behind what is held with the `tokens` at the same places; the bits of the logits after each.
fn logits_behind(inference: &mut Inference, tokens: &[TokenId]) -> Vec<Vec<u32>> {
    let from = inference.held().len();
    let push = |&token: &TokenId| {
        inference.push(token).unwrap();
        inference.logits().unwrap().iter().map(|logit| logit.to_bits()).collect()
    };
    tokens[from..].iter().map(push).collect()
}

/// Weights of 8 bits have other sums where many tokens go together: what is computed again has to go together as before.
#[test]
fn quantized_recurrent_layers_go_on_from_a_cut_as_if_nothing_had_come_behind() {
    for name in ["variant-qwen3-5", "variant-qwen3-5-moe", "variant-qwen3-next", "variant-lfm2"] {
        let options = LoadOptions { threads: Some(2), quantize: Some(FileType::Q8_0), ..LoadOptions::default() };
        let path = file(&format!("tests/fixtures/{name}"));
        let mut inference = load(&path, &options, &mut |_, _| {}).unwrap().inference;
        let tokens: Vec<TokenId> = (0..120).map(|i| (i * 97 + 13) % 200).collect();
        let prompt = 40;
        inference.prefill(&tokens[..prompt], &mut |_| Continue(())).unwrap();
        let expected = logits_behind(&mut inference, &tokens);
        for cut in [119, 100, 70, 45, 41, 40] {
            inference.truncate(cut);
            let mut fork = inference.fork().unwrap();
            assert!(logits_behind(&mut fork, &tokens) == expected[cut - prompt..], "{name}: a fork at {cut}");
            assert!(logits_behind(&mut inference, &tokens) == expected[cut - prompt..], "{name}: cut at {cut}");
        }
        // In the middle of the prompt's pass, from close by and from far away.
        let mut fork = inference.fork().unwrap();
        fork.truncate(0);
        fork.prefill(&tokens[..prompt], &mut |_| Continue(())).unwrap();
        for cut in [38, 30, 7] {
            fork.truncate(cut);
            inference.truncate(cut);
            assert!(
                logits_behind(&mut fork, &tokens) == logits_behind(&mut inference, &tokens),
                "{name}: cut at {cut}"
            );
        }
    }
}
