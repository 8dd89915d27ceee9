//! Whatever is drafted, the reply is the same to the last bit, and so is everything that is told of it.

use std::path::Path;

use super::*;

/// What a reply tells, and what it leaves behind; all but times and the counts of drafts.
#[derive(Debug, PartialEq)]
struct Emitted {
    reason: FinishReason,
    tokens: Vec<TokenTrace>,
    context_used: Vec<usize>,
    prefill: Vec<PrefillProgress>,
    draws: usize,
    draws_at_cancel: Option<usize>,
    stats: GenerationStats,
    held: Vec<TokenId>,
    logits: Option<Vec<f32>>,
}

/// Tokens that were drafted, and those that came true.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Drafts {
    drafted: usize,
    accepted: usize,
}

fn emitted(
    model: &mut LoadedModel,
    prompt: &[TokenId],
    options: &GenerateOptions,
    mut script: Script,
    lookup: PromptLookup,
) -> (Emitted, Drafts) {
    let options = GenerateOptions { lookup, ..options.clone() };
    let (reason, stats) = run(model, prompt, &options, &mut script);
    let drafts = Drafts { drafted: stats.drafted_tokens, accepted: stats.accepted_tokens };
    let stats = GenerationStats {
        time_to_first_token: Default::default(),
        prefill_time: Default::default(),
        decode_time: Default::default(),
        forward_time: Default::default(),
        sample_time: Default::default(),
        drafted_tokens: 0,
        accepted_tokens: 0,
        ..stats
    };
    let Script { tokens, context_used, prefill, draws, draws_at_cancel, .. } = script;
    let (held, logits) = (model.inference.held().to_vec(), model.inference.logits().map(<[f32]>::to_vec));
    (Emitted { reason, tokens, context_used, prefill, draws, draws_at_cancel, stats, held, logits }, drafts)
}

fn ids(emitted: &Emitted) -> Vec<TokenId> {
    emitted.tokens.iter().map(|trace| trace.token).collect()
}

/// Runs it without drafts and with them, each from an empty cache, and a second turn after each.
fn assert_same(
    model: &mut LoadedModel,
    prompt: &[TokenId],
    options: &GenerateOptions,
    script: impl Fn() -> Script,
) -> (Emitted, Drafts) {
    let mut both_turns = |lookup| {
        model.inference.truncate(0);
        let (first, drafts) = emitted(model, prompt, options, script(), lookup);
        let next = [&first.held, &prompt[..2]].concat();
        // Where the first turn has filled the context there is no second one.
        let second = (next.len() < model.inference.context())
            .then(|| emitted(model, &next, options, Script::default(), lookup).0);
        (first, second, drafts)
    };
    let (plain, second, none) = both_turns(PromptLookup::Off);
    assert_eq!(none, Drafts::default());
    let (on, second_on, drafts) = both_turns(PromptLookup::On);
    assert_eq!(ids(&on), ids(&plain), "{options:?}");
    assert!(on == plain && second_on == second, "the same tokens, and something else differs: {options:?}");
    let (auto, second_auto, _) = both_turns(PromptLookup::Auto);
    assert!(auto == plain && second_auto == second, "{options:?}");
    assert!(drafts.accepted <= drafts.drafted);
    (plain, drafts)
}

fn synthetic(shape: &str) -> LoadedModel {
    let options = LoadOptions { threads: Some(1), ..LoadOptions::default() };
    load(&ModelSource::Synthetic(shape.into()), &options, &mut |_, _| {}).unwrap()
}

fn fixture(name: &str) -> LoadedModel {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    let options = LoadOptions { threads: Some(2), ..LoadOptions::default() };
    load(&ModelSource::Path(path), &options, &mut |_, _| {}).unwrap()
}

/// Something that was said three times.
fn repetitive() -> Vec<TokenId> {
    let phrase: Vec<TokenId> = (0..11).map(|i| (i * 37 + 5) % 200).collect();
    [&phrase[..], &[1], &phrase, &[2], &phrase].concat()
}

/// Always the most probable token: random weights soon repeat themselves.
fn greedy(max_tokens: usize) -> GenerateOptions {
    with(SamplingParams { temperature: 0.0, ..open() }, 1, max_tokens)
}

fn with(sampling: SamplingParams, seed: u64, max_tokens: usize) -> GenerateOptions {
    GenerateOptions { sampling, candidates: 3, ..options(seed, max_tokens) }
}

/// A little chance: now and then a draft is wrong.
fn cool() -> SamplingParams {
    SamplingParams { temperature: 0.15, top_k: 40, top_p: 0.95, min_p: 0.05, ..open() }
}

#[test]
fn greedy_and_sampled_replies_are_the_same_in_every_format() {
    let models = ["tiny:q8_0", "tiny:q4_0", "tiny:q4_1", "tiny"].map(synthetic).into_iter();
    let files = ["tiny-llama.Q4_1.gguf", "tiny-llama.Q8_0.gguf", "tiny-llama.F32.gguf", "tiny-llama", "tiny-gpt2"];
    let mut all = Drafts::default();
    for mut model in models.chain(files.map(fixture)) {
        for options in [greedy(60), with(cool(), 1, 60), with(cool(), 2, 60), with(open(), 3, 40)] {
            let (_, drafts) = assert_same(&mut model, &repetitive(), &options, Script::default);
            all = Drafts { drafted: all.drafted + drafts.drafted, accepted: all.accepted + drafts.accepted };
        }
    }
    assert!(all.drafted > all.accepted && all.accepted > 50, "that puts it to no test: {all:?}");
}

#[test]
fn penalties_look_at_what_was_drawn_and_not_at_what_was_drafted() {
    let mut model = synthetic("tiny:q8_0");
    let mut drafted = 0;
    for (repeat_penalty, presence_penalty, frequency_penalty) in [(1.3, 0.0, 0.0), (1.0, 0.4, 0.1), (0.8, 0.0, -0.1)] {
        for repeat_last_n in [-1, 3, 64] {
            let sampling = SamplingParams {
                repeat_penalty,
                presence_penalty,
                frequency_penalty,
                repeat_last_n,
                temperature: 0.1,
                ..open()
            };
            drafted += assert_same(&mut model, &repetitive(), &with(sampling, 4, 50), Script::default).1.drafted;
        }
    }
    assert!(drafted > 20, "{drafted}");
}

/// Invariant 4 of the protocol, inside a draft as well.
#[test]
fn a_change_of_sampling_acts_on_the_next_token_inside_a_draft() {
    let mut model = synthetic("tiny:q8_0");
    let (plain, _) = assert_same(&mut model, &repetitive(), &greedy(60), Script::default);
    for at in 20..36 {
        let changes = vec![(at, open()), (at + 2, cool()), (at + 9, greedy(0).sampling)];
        let script = || Script { changes: changes.clone(), ..Script::default() };
        let (changed, _) = assert_same(&mut model, &repetitive(), &greedy(60), script);
        assert_eq!(changed.tokens[..at], plain.tokens[..at]);
        assert_ne!(changed.tokens[at..at + 2], plain.tokens[at..at + 2], "a flat distribution and its best token");
        assert_eq!(changed.stats.sampling_log.len(), 4);
    }
}

#[test]
fn a_cancel_takes_effect_at_the_next_token_inside_a_draft() {
    let mut model = synthetic("tiny:q8_0");
    for n in 0..40 {
        let script = || Script { cancel_after_tokens: Some(n), ..Script::default() };
        let (emitted, _) = assert_same(&mut model, &repetitive(), &greedy(60), script);
        assert_eq!((emitted.reason, emitted.draws_at_cancel), (FinishReason::Cancelled, Some(emitted.draws)));
    }
}

#[test]
fn every_limit_of_tokens_is_kept_and_nothing_is_drafted_beyond_it() {
    let mut model = synthetic("tiny:q8_0");
    for n in 0..40 {
        let (emitted, drafts) = assert_same(&mut model, &repetitive(), &greedy(n), Script::default);
        assert_eq!((emitted.reason, emitted.tokens.len()), (FinishReason::Length, n));
        assert!(drafts.drafted < n.max(1), "{n} tokens: {drafts:?}");
    }
}

#[test]
fn a_stop_text_inside_a_draft_ends_the_reply_there() {
    let mut model = synthetic("tiny:q8_0");
    let (plain, _) = assert_same(&mut model, &repetitive(), &greedy(60), Script::default);
    let whole: String = plain.tokens.iter().map(|trace| trace.text.as_str()).collect();
    let characters: Vec<char> = whole.chars().collect();
    for at in (0..characters.len() - 4).step_by(3) {
        let mut options = greedy(60);
        options.stop.texts = vec![characters[at..at + 4].iter().collect(), "never said".into()];
        let (emitted, _) = assert_same(&mut model, &repetitive(), &options, Script::default);
        assert!(matches!(emitted.reason, FinishReason::StopString(_)));
    }
}

#[test]
fn the_models_own_end_is_met_with_drafts_as_without() {
    let mut model = fixture("tiny-llama.Q8_0.gguf");
    let mut ended = 0;
    for seed in 0..60 {
        let sampling = SamplingParams { temperature: 0.7, ..open() };
        let (emitted, _) = assert_same(&mut model, &repetitive(), &with(sampling, seed, 60), Script::default);
        ended += usize::from(emitted.reason == FinishReason::EndOfTurn);
    }
    assert!(ended > 0, "no reply of these seeds ends by itself");
}

#[test]
fn a_full_context_is_met_at_the_same_token() {
    let mut model = synthetic("tiny:q8_0");
    let prompt = [repetitive(), repetitive()].concat();
    let (emitted, drafts) = assert_same(&mut model, &prompt, &greedy(300), Script::default);
    assert_eq!((emitted.reason, emitted.tokens.len()), (FinishReason::Context, 128 - prompt.len() + 1));
    assert!(drafts.accepted > 0);
    let shorter = || Script { rooms: vec![repetitive(), repetitive()[..20].to_vec()], ..Script::default() };
    let (emitted, _) = assert_same(&mut model, &prompt, &greedy(100), shorter);
    assert_eq!((emitted.reason, emitted.tokens.len()), (FinishReason::Length, 100));
}

/// `on` does not look at the clock: what it drafts is repeatable.
#[test]
fn always_on_drafts_the_same_each_time() {
    let mut model = synthetic("tiny:q8_0");
    let mut counts = || {
        model.inference.truncate(0);
        emitted(&mut model, &repetitive(), &greedy(60), Script::default(), PromptLookup::On).1
    };
    let first = counts();
    assert!(first.accepted > 10, "{first:?}");
    assert_eq!(counts(), first);
}
