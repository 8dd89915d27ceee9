//! Once a reply runs, the engine asks for no more memory.
//!
//! What is counted is the decode loop as the engine has it, on every thread: a forward pass ([`Inference::push`], with
//! drafts and without, and with other sequences beside it), its logits, and the draw of the next token. What a token's trace tells (its text, and
//! alternatives where any are asked for) is new memory by its nature, since it is sent away: of that it is only counted
//! that it is not more.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe to write")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use gibber_engine::generate::{
    Control, GenerateOptions, PromptLookup, StopCondition, TokenTrace, Variant, generate, generate_variants,
};
use gibber_engine::inference::{Inference, LONGEST_DRAFT, PrefillProgress};
use gibber_engine::load::{LoadOptions, LoadedModel, ModelSource, load};
use gibber_engine::sampling::Sampler;
use gibber_engine::{EngineError, SamplingParams, TokenId};

/// The system's allocator, and how often it is asked while somebody counts.
struct Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn note() {
    if IS_COUNTING.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it is; counting touches no memory of the caller's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's own promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's own promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller's own promises.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often memory was asked for in `task`, on any thread.
fn allocations(task: impl FnOnce()) -> usize {
    COUNT.store(0, Ordering::SeqCst);
    IS_COUNTING.store(true, Ordering::SeqCst);
    task();
    IS_COUNTING.store(false, Ordering::SeqCst);
    COUNT.load(Ordering::SeqCst)
}

fn model(source: ModelSource, threads: usize) -> LoadedModel {
    let options = LoadOptions { threads: Some(threads), ..LoadOptions::default() };
    load(&source, &options, &mut |_, _| {}).unwrap()
}

fn file(path: &str) -> ModelSource {
    ModelSource::Path(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))
}

const DEFAULT_MODEL: &str = "assets/models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// GPT-2 and Llama, floats and packed weights; each with room for 300 tokens and more.
fn small_models() -> Vec<ModelSource> {
    let synthetic = ["bench", "bench:q8_0"].map(|shape| ModelSource::Synthetic(shape.into()));
    let files = ["tiny-gpt2", "tiny-llama", "tiny-llama.Q4_1.gguf"].map(|name| file(&format!("tests/fixtures/{name}")));
    synthetic.into_iter().chain(files).collect()
}

/// Every filter, and the ways round them.
fn samplings() -> Vec<SamplingParams> {
    let balanced = SamplingParams::default();
    vec![
        SamplingParams { temperature: 0.0, ..balanced.clone() },
        SamplingParams { repeat_penalty: 1.1, typical_p: 0.9, ..balanced.clone() },
        SamplingParams::preset("creative").unwrap(),
        SamplingParams { top_k: 0, top_p: 1.0, ..balanced.clone() },
        SamplingParams {
            repeat_penalty: 1.1,
            samplers: "temperature;top_p;penalties;top_k".parse().unwrap(),
            ..balanced.clone()
        },
        balanced,
    ]
}

/// Samplers that have met the widest distribution there is.
fn samplers(vocabulary: usize) -> Vec<Sampler> {
    let flat = vec![0.0; vocabulary];
    let warm = |params| {
        let mut sampler = Sampler::new(params, 1);
        sampler.draw(&flat, &[1, 2], &Vec::new()).unwrap();
        sampler
    };
    samplings().into_iter().map(warm).collect()
}

fn draw_with_each(samplers: &mut [Sampler], inference: &Inference) -> TokenId {
    let draw =
        |sampler: &mut Sampler| sampler.draw(inference.logits().unwrap(), inference.held(), &Vec::new()).unwrap().token;
    samplers.iter_mut().map(draw).last().unwrap()
}

/// Two pushes and a pass with the longest draft, then many of both: no allocation, though the context grows over the
/// blocks that attention works in.
fn assert_decoding_allocates_nothing(source: ModelSource, threads: usize) {
    let mut model = model(source.clone(), threads);
    let inference = &mut model.inference;
    let vocabulary = inference.model().config().vocab_size;
    let mut samplers = samplers(vocabulary);
    let context = inference.context();
    let prompt: Vec<TokenId> = (0..100.min(context / 2) as u32).map(|i| (i * 7) % 200).collect();
    inference.prefill(&prompt, &mut |_| ControlFlow::Continue(())).unwrap();
    let mut step = |draft: &[TokenId]| {
        let token = draw_with_each(&mut samplers, inference);
        inference.push_with_draft(token, draft).unwrap();
        for &token in &draft[..draft.len() / 2] {
            draw_with_each(&mut samplers, inference);
            inference.push(token).unwrap();
        }
    };
    let draft: Vec<TokenId> = (0..LONGEST_DRAFT as u32).collect();
    for draft in [&[], &draft[..], &draft[..1], &[]] {
        step(draft);
    }
    let steps = if context < 400 { 2 } else { 6 };
    let count = allocations(|| {
        for _ in 0..steps {
            (0..8).for_each(|_| step(&[]));
            step(&draft[..5]);
            step(&draft);
        }
    });
    assert_eq!(count, 0, "{source:?} on {threads} threads");
    assert_company_allocates_nothing(inference, &mut samplers);
}

/// Sequences that go on together: once the first pass of so many is made, no allocation.
fn assert_company_allocates_nothing(inference: &mut Inference, samplers: &mut [Sampler]) {
    inference.truncate(20);
    inference.push(1).unwrap();
    let mut forks = [inference.fork().unwrap(), inference.fork().unwrap()];
    let mut together = |samplers: &mut [Sampler]| {
        let mut choose = |sequence: &Inference| draw_with_each(samplers, sequence);
        let next = std::iter::once(&mut *inference).chain(&mut forks).map(|sequence| {
            let token = choose(sequence);
            (sequence, token)
        });
        Inference::push_together(next).unwrap();
    };
    together(samplers);
    assert_eq!(allocations(|| (0..20).for_each(|_| together(samplers))), 0);
}

/// One test alone: the count is everybody's, also that of the test harness when another test has ended.
#[test]
fn a_reply_asks_for_no_memory_but_what_it_sends_away() {
    decoding_allocates_nothing();
    a_token_that_is_told_costs_no_more_than_its_text();
    a_token_of_a_variant_costs_no_more_than_its_text();
}

fn decoding_allocates_nothing() {
    for source in small_models() {
        for threads in [1, 2] {
            assert_decoding_allocates_nothing(source.clone(), threads);
        }
    }
    assert_decoding_allocates_nothing(file(DEFAULT_MODEL), 2);
}

/// Counts from a token of the reply on.
struct Listener {
    from: usize,
    tokens: usize,
    count: usize,
}

impl Control for Listener {
    fn on_prefill(&mut self, _: PrefillProgress) {}

    fn on_token(&mut self, _: TokenTrace, _: usize) {
        self.tokens += 1;
        if self.tokens == self.from {
            COUNT.store(0, Ordering::SeqCst);
            IS_COUNTING.store(true, Ordering::SeqCst);
        }
        self.count = COUNT.load(Ordering::SeqCst);
    }

    fn is_cancelled(&mut self) -> bool {
        false
    }

    fn new_sampling(&mut self, _: usize) -> Option<SamplingParams> {
        None
    }

    fn make_room(&mut self, _: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        Ok(None)
    }
}

/// The whole loop of a reply, drafts and stop texts included.
fn a_token_that_is_told_costs_no_more_than_its_text() {
    const FROM: usize = 3;
    const TOKENS: usize = 30;
    let mut model = model(file(DEFAULT_MODEL), 2);
    let said = "One fox, two dogs, three cats, four birds, five trees. ";
    let prompt = model.tokenizer.encode(&format!("{said}{said}One fox, two dogs,"), false).unwrap();
    for lookup in [PromptLookup::Off, PromptLookup::On] {
        let options = GenerateOptions {
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            seed: 1,
            stop: StopCondition { max_tokens: Some(TOKENS), texts: vec!["never said".into()] },
            candidates: 0,
            lookup,
            asked: Instant::now(),
        };
        let mut listener = Listener { from: FROM, tokens: 0, count: 0 };
        let (_, stats) =
            generate(&mut model.inference, &model.tokenizer, prompt.clone(), &options, &mut listener).unwrap();
        IS_COUNTING.store(false, Ordering::SeqCst);
        assert_eq!(stats.completion_tokens, TOKENS);
        assert_eq!(stats.accepted_tokens > 0, lookup == PromptLookup::On);
        assert!(listener.count <= TOKENS - FROM, "{} allocations, {lookup:?}", listener.count);
    }
}

/// The whole loop of lanes, of which one ends before the others.
fn a_token_of_a_variant_costs_no_more_than_its_text() {
    const FROM: usize = 3;
    const TOKENS: usize = 20;
    let mut model = model(file(DEFAULT_MODEL), 2);
    let prompt = model.tokenizer.encode("Once upon a time", false).unwrap();
    let variant = |(seed, tokens): (usize, usize)| Variant {
        options: GenerateOptions {
            sampling: SamplingParams { temperature: 0.0, ..SamplingParams::default() },
            seed: seed as u64,
            stop: StopCondition { max_tokens: Some(tokens), texts: vec!["never said".into()] },
            candidates: 0,
            lookup: PromptLookup::Off,
            asked: Instant::now(),
        },
        // All count what is everybody's, from the same round on.
        control: Listener { from: if seed == 0 { FROM } else { 0 }, tokens: 0, count: 0 },
    };
    let mut variants: Vec<Variant<Listener>> = [TOKENS, TOKENS, 10].into_iter().enumerate().map(variant).collect();
    generate_variants(&mut model.inference, &model.tokenizer, prompt, &mut variants).unwrap();
    IS_COUNTING.store(false, Ordering::SeqCst);
    let emitted: Vec<usize> = variants.iter().map(|variant| variant.control.tokens).collect();
    assert_eq!(emitted, [TOKENS, TOKENS, 10]);
    let count = variants[1].control.count;
    assert!(count <= emitted.iter().sum::<usize>() - 3 * FROM + 2, "{count} allocations");
}
