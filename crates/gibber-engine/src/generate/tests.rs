mod prompt_lookup;
mod steer;
mod variants;

use super::*;
use crate::load::{LoadOptions, LoadedModel, ModelSource, load};

/// Random weights, 512 tokens of which the first 256 are bytes, a context of 128.
fn tiny(batch: usize) -> LoadedModel {
    let options = LoadOptions { threads: Some(1), batch, ..LoadOptions::default() };
    load(&ModelSource::Synthetic("tiny".into()), &options, &mut |_, _| {}).unwrap()
}

/// Does what it is told at a certain token, and notes what it hears.
#[derive(Default)]
struct Script {
    /// Cancel once this many tokens were told.
    cancel_after_tokens: Option<usize>,
    /// Cancel once this many tokens are in the cache.
    cancel_in_prefill: Option<usize>,
    /// Changes of sampling, by the tokens before them.
    changes: Vec<(usize, SamplingParams)>,
    /// Prompts to go on from when the context is full.
    rooms: Vec<Vec<TokenId>>,
    tokens: Vec<TokenTrace>,
    context_used: Vec<usize>,
    prefill: Vec<PrefillProgress>,
    draws: usize,
    /// Draws when the cancel was first seen.
    draws_at_cancel: Option<usize>,
}

impl Script {
    fn text(&self) -> String {
        self.tokens.iter().map(|trace| trace.text.as_str()).collect()
    }

    fn ids(&self) -> Vec<TokenId> {
        self.tokens.iter().map(|trace| trace.token).collect()
    }
}

impl Control for Script {
    fn on_prefill(&mut self, progress: PrefillProgress) {
        self.prefill.push(progress);
    }

    fn on_token(&mut self, trace: TokenTrace, context_used: usize) {
        self.tokens.push(trace);
        self.context_used.push(context_used);
    }

    fn is_cancelled(&mut self) -> bool {
        let done = self.prefill.last().map_or(0, |progress| progress.done);
        let cancelled = self.cancel_after_tokens.is_some_and(|n| self.tokens.len() >= n)
            || self.cancel_in_prefill.is_some_and(|n| done >= n);
        if cancelled {
            self.draws_at_cancel.get_or_insert(self.draws);
        }
        cancelled
    }

    fn new_sampling(&mut self, tokens: usize) -> Option<SamplingParams> {
        self.draws += 1;
        self.changes.iter().find(|(at, _)| *at == tokens).map(|(_, sampling)| sampling.clone())
    }

    fn make_room(&mut self, _reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        Ok((!self.rooms.is_empty()).then(|| self.rooms.remove(0)))
    }
}

/// The flat distribution of random weights, nothing filtered.
fn open() -> SamplingParams {
    SamplingParams { temperature: 1.5, top_k: 0, top_p: 1.0, min_p: 0.0, ..SamplingParams::default() }
}

fn options(seed: u64, max_tokens: usize) -> GenerateOptions {
    GenerateOptions {
        sampling: open(),
        seed,
        stop: StopCondition { max_tokens: Some(max_tokens), texts: Vec::new() },
        candidates: 0,
        lookup: PromptLookup::Off,
        asked: Instant::now(),
    }
}

fn run(
    model: &mut LoadedModel,
    prompt: &[TokenId],
    options: &GenerateOptions,
    script: &mut Script,
) -> (FinishReason, GenerationStats) {
    generate(&mut model.inference, &model.tokenizer, prompt.to_vec(), options, script).unwrap()
}

const PROMPT: &[TokenId] = &[72, 101, 108, 108, 111];

/// Invariant 2: whatever bytes a model speaks, the texts joined are those of the tokens, each token is told, and the
/// cache holds the prompt and the reply.
#[test]
fn the_texts_joined_are_the_decoded_tokens() {
    let mut model = tiny(512);
    for seed in 0..8 {
        let mut script = Script::default();
        let (reason, stats) = run(&mut model, PROMPT, &options(seed, 60), &mut script);
        assert_eq!(reason, FinishReason::Length);
        assert_eq!(stats.completion_tokens, 60);
        assert_eq!(script.text(), model.tokenizer.decode(&script.ids()), "seed {seed}");
        assert!(script.tokens.iter().any(|trace| trace.text.contains('\u{fffd}')), "random bytes are no UTF-8");
        assert_eq!(script.context_used, (6..=65).collect::<Vec<_>>());
        // The last token was never needed to predict another.
        let sequence = [PROMPT, &script.ids()].concat();
        assert_eq!(model.inference.held(), &sequence[..64]);
    }
}

/// Invariant 4.
#[test]
fn seed_and_log_replay_the_reply_and_a_change_acts_on_the_next_token() {
    let mut model = tiny(512);
    let greedy = SamplingParams { temperature: 0.0, ..open() };
    let mut plain = Script::default();
    run(&mut model, PROMPT, &options(3, 40), &mut plain);
    let mut changed =
        Script { changes: vec![(10, greedy.clone()), (15, open()), (15, greedy.clone())], ..Script::default() };
    let (_, stats) = run(&mut model, PROMPT, &options(3, 40), &mut changed);
    assert_eq!(stats.seed, 3);
    assert_eq!(stats.sampling_log, [(0, open()), (10, greedy), (15, open())]);
    let (before, after) = (plain.ids(), changed.ids());
    assert_eq!(before[..10], after[..10]);
    assert_ne!(before[10], after[10], "a flat distribution and its best token");

    let (first, log) = (stats.sampling_log[0].1.clone(), stats.sampling_log[1..].to_vec());
    let mut replay = Script { changes: log, ..Script::default() };
    let again = GenerateOptions { sampling: first, ..options(stats.seed, 40) };
    run(&mut tiny(7), PROMPT, &again, &mut replay);
    assert_eq!(replay.ids(), after, "on a fresh model, too");
}

/// Invariant 3, the loop's part: not one token more.
#[test]
fn a_cancel_takes_effect_before_the_next_token() {
    let mut model = tiny(512);
    for n in [0, 1, 7] {
        let mut script = Script { cancel_after_tokens: Some(n), ..Script::default() };
        let (reason, stats) = run(&mut model, PROMPT, &options(1, 50), &mut script);
        assert_eq!(reason, FinishReason::Cancelled);
        assert_eq!(script.draws_at_cancel, Some(script.draws), "nothing is drawn after it");
        assert_eq!(script.tokens.len(), script.draws, "what was drawn before is told");
        assert_eq!(stats.completion_tokens, script.tokens.len());
        assert_eq!(script.text(), model.tokenizer.decode(&script.ids()));
        assert!(model.inference.held().len() <= PROMPT.len() + script.tokens.len());
    }
}

#[test]
fn a_cancel_takes_effect_before_the_next_chunk_of_prefill() {
    let mut model = tiny(10);
    let prompt: Vec<TokenId> = (0..100).collect();
    let mut script = Script { cancel_in_prefill: Some(30), ..Script::default() };
    let (reason, stats) = run(&mut model, &prompt, &options(1, 50), &mut script);
    assert_eq!((reason, stats.completion_tokens), (FinishReason::Cancelled, 0));
    assert_eq!(model.inference.held(), &prompt[..30], "three chunks of ten, and they stay");
    assert_eq!(script.prefill.last().map(|p| (p.done, p.total)), Some((30, 100)));

    let mut script = Script::default();
    let (_, stats) = run(&mut model, &prompt, &options(1, 1), &mut script);
    assert_eq!(stats.reused_tokens, 30, "the next request goes on from there");
}

/// Invariant 5.
#[test]
fn only_what_is_new_is_computed() {
    let mut model = tiny(512);
    let mut script = Script::default();
    run(&mut model, PROMPT, &options(5, 10), &mut script);
    // The next turn: all of the last one, and three tokens more.
    let next = [PROMPT, &script.ids(), &[1, 2, 3]].concat();
    let mut second = Script::default();
    let (_, stats) = run(&mut model, &next, &options(5, 10), &mut second);
    assert_eq!(stats.reused_tokens, PROMPT.len() + 9, "all that was computed: the last token drawn was not");
    assert_eq!(stats.prompt_tokens, next.len());
    let mut fresh = Script::default();
    run(&mut tiny(512), &next, &options(5, 10), &mut fresh);
    assert_eq!(second.ids(), fresh.ids(), "and the reply is the same as without");
}

#[test]
fn a_stop_text_is_no_part_of_the_reply_or_the_cache() {
    let mut model = tiny(512);
    let mut free = Script::default();
    run(&mut model, PROMPT, &options(2, 40), &mut free);
    // Stop at the text of the 21st token and the first character of the next that has one.
    let whole = free.text();
    let before: String = free.tokens[..20].iter().map(|trace| trace.text.as_str()).collect();
    let stop: String = whole[before.len()..].chars().take(6).collect();
    let expected = &whole[..whole.find(&stop).unwrap()];
    let mut script = Script::default();
    let mut stopping = options(2, 40);
    stopping.stop.texts = vec!["never said".into(), stop.clone()];
    let (reason, stats) = run(&mut model, PROMPT, &stopping, &mut script);
    assert_eq!(reason, FinishReason::StopString(stop));
    assert_eq!(script.text(), expected);
    assert_eq!(stats.completion_tokens, script.tokens.len());
    assert_eq!(model.inference.held(), [PROMPT, &script.ids()].concat());
}

#[test]
fn a_full_context_ends_the_reply_or_goes_on_from_a_shorter_prompt() {
    let mut model = tiny(512);
    let prompt: Vec<TokenId> = (0..120).collect();
    let mut script = Script::default();
    let (reason, stats) = run(&mut model, &prompt, &options(1, 100), &mut script);
    assert_eq!(reason, FinishReason::Context);
    assert_eq!(stats.completion_tokens, 128 - 120 + 1, "the last one is drawn from a full cache");

    let shorter: Vec<TokenId> = (60..120).collect();
    let mut script = Script { rooms: vec![shorter.clone()], ..Script::default() };
    let (reason, stats) = run(&mut model, &prompt, &options(1, 40), &mut script);
    assert_eq!((reason, stats.completion_tokens), (FinishReason::Length, 40));
    assert_eq!(model.inference.held(), [&shorter[..], &script.ids()[..39]].concat());
    assert_eq!(script.text(), model.tokenizer.decode(&script.ids()));

    // A shorter prompt that leaves no room for what was said is of no use.
    let mut script = Script { rooms: vec![(0..119).collect()], ..Script::default() };
    let (reason, _) = run(&mut model, &prompt, &options(1, 40), &mut script);
    assert_eq!(reason, FinishReason::Context);
}

#[test]
fn a_limit_of_no_tokens_computes_the_prompt_only() {
    let mut model = tiny(512);
    let mut script = Script::default();
    let (reason, stats) = run(&mut model, PROMPT, &options(1, 0), &mut script);
    assert_eq!((reason, stats.completion_tokens), (FinishReason::Length, 0));
    assert_eq!(model.inference.held(), PROMPT);
}

#[test]
fn candidates_are_listed_as_asked_for() {
    let mut model = tiny(512);
    let mut script = Script::default();
    run(&mut model, PROMPT, &GenerateOptions { candidates: 5, ..options(1, 3) }, &mut script);
    for trace in &script.tokens {
        assert_eq!(trace.candidates.len(), 5);
        assert!(trace.candidates.is_sorted_by(|a, b| a.before >= b.before));
        assert!(trace.logprob < 0.0 && trace.entropy > 0.0 && trace.entropy <= 512f32.ln() + 1e-4);
        let chosen = trace.candidates.iter().find(|candidate| candidate.token == trace.token);
        assert!(chosen.is_none_or(|chosen| (chosen.before.ln() - trace.logprob).abs() < 1e-4));
    }
}

#[test]
fn a_rank_is_a_place_among_all_tokens() {
    let mut model = tiny(512);
    let everything = model.inference.model().config().vocab_size;
    let mut script = Script::default();
    run(&mut model, PROMPT, &GenerateOptions { candidates: everything, ..options(1, 12) }, &mut script);
    let place = |trace: &TokenTrace| trace.candidates.iter().position(|candidate| candidate.token == trace.token);
    let ranks: Vec<_> = script.tokens.iter().map(|trace| Some(trace.rank as usize)).collect();
    assert_eq!(ranks, script.tokens.iter().map(place).collect::<Vec<_>>());
    assert!(ranks.iter().any(|rank| *rank > Some(10)), "{ranks:?}");
}

#[test]
fn a_prompt_of_nothing_or_too_much_is_an_error() {
    let mut model = tiny(512);
    let mut attempt = |prompt: Vec<TokenId>| {
        generate(&mut model.inference, &model.tokenizer, prompt, &options(1, 5), &mut Script::default()).unwrap_err()
    };
    assert!(matches!(attempt(vec![]), EngineError::Invalid(_)));
    assert!(matches!(attempt(vec![1; 129]), EngineError::ContextFull { tokens: 129, context: 128, .. }));
    assert!(matches!(attempt(vec![9999]), EngineError::Invalid(_)));
}
