use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::CacheType;
use crate::load::{LoadOptions, ModelSource, load};

fn model(source: ModelSource, cache: CacheTypes) -> Inference {
    let options = LoadOptions { threads: Some(2), context: Some(128), cache, ..LoadOptions::default() };
    load(&source, &options, &mut |_, _| {}).unwrap().inference
}

fn synthetic(shape: &str) -> Inference {
    model(ModelSource::Synthetic(shape.into()), CacheTypes::default())
}

fn fixture(name: &str) -> Inference {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    model(ModelSource::Path(path), CacheTypes::default())
}

fn prefill(inference: &mut Inference, prompt: &[TokenId]) {
    inference.prefill(prompt, &mut |_| ControlFlow::Continue(())).unwrap();
}

fn bits(inference: &Inference) -> Vec<u32> {
    inference.logits().unwrap().iter().map(|logit| logit.to_bits()).collect()
}

/// Ids below 200, whatever the vocabulary.
fn tokens(n: usize) -> Vec<TokenId> {
    (0..n as u32).map(|i| (i * 97 + 13) % 200).collect()
}

const PROMPT: usize = 21;

/// Tiny models whose layers have a state that cannot be cut.
const RECURRENT: [&str; 4] = ["variant-lfm2", "variant-qwen3-5", "variant-qwen3-next-odd", "variant-lfm2-moe"];

/// The promise of [`Inference::push_with_draft`]: pushes `tokens(70)` with drafts of many lengths that are right
/// for a while, and compares with one push a token.
fn assert_drafts_change_no_bit(mut inference: Inference) {
    let tokens = tokens(70);
    let alone: Vec<Vec<u32>> = {
        prefill(&mut inference, &tokens[..PROMPT]);
        let push = |&token: &TokenId| {
            inference.push(token).unwrap();
            bits(&inference)
        };
        tokens[PROMPT..].iter().map(push).collect()
    };
    for length in [0, 1, 2, 3, 7, 8, LONGEST_DRAFT] {
        for right in BTreeSet::from([0, length.min(1), length / 2, length]) {
            // The same chunks of prefill; what drafts have left in the cache would be read behind them.
            inference.truncate(0);
            prefill(&mut inference, &tokens[..PROMPT]);
            let mut at = PROMPT;
            while at < tokens.len() {
                let mut draft: Vec<TokenId> = tokens[at + 1..].iter().copied().take(length).collect();
                draft.iter_mut().skip(right).for_each(|token| *token = (*token + 1) % 200);
                inference.push_with_draft(tokens[at], &draft).unwrap();
                let came_true = draft.len().min(right);
                for (i, &token) in tokens[at..=at + came_true].iter().enumerate() {
                    if i > 0 {
                        assert!(inference.has_drafted(token));
                        inference.push(token).unwrap();
                    }
                    assert_eq!(inference.held(), &tokens[..=at + i]);
                    assert!(
                        bits(&inference) == alone[at + i - PROMPT],
                        "draft of {length}, {right} right, at {}",
                        at + i
                    );
                }
                at += 1 + came_true;
            }
        }
    }
}

#[test]
fn drafts_change_no_bit_of_packed_weights() {
    for shape in ["tiny:q8_0", "tiny:q4_0", "tiny:q4_1"] {
        assert_drafts_change_no_bit(synthetic(shape));
    }
    for name in ["tiny-llama.Q8_0.gguf", "tiny-llama.Q4_1.gguf"] {
        assert_drafts_change_no_bit(fixture(name));
    }
}

#[test]
fn drafts_change_no_bit_of_floats() {
    assert_drafts_change_no_bit(synthetic("tiny"));
    for name in ["tiny-gpt2", "tiny-llama", "tiny-llama.F32.gguf"].into_iter().chain(RECURRENT) {
        assert_drafts_change_no_bit(fixture(name));
    }
}

#[test]
fn drafts_change_no_bit_of_any_cache() {
    for keys in [CacheType::F32, CacheType::F16, CacheType::Q8_0] {
        let cache = CacheTypes { keys, values: keys };
        assert_drafts_change_no_bit(model(ModelSource::Synthetic("tiny:q8_0".into()), cache));
    }
}

/// The promise of [`Inference::push_together`]: sequences of many lengths, more than a pass takes, one with a draft that
/// nobody wants any more, each beside a fork of it that goes on alone.
fn assert_company_changes_no_bit(mut inference: Inference) {
    let tokens = tokens(70);
    prefill(&mut inference, &tokens[..PROMPT]);
    let mut sequences: Vec<Inference> = (0..MAX_TOKENS_ONE_BY_ONE + 3).map(|_| inference.fork().unwrap()).collect();
    for (length, sequence) in sequences.iter_mut().enumerate() {
        tokens[..length * 2].iter().for_each(|&token| sequence.push(token).unwrap());
    }
    sequences[1].push_with_draft(8, &[9, 10, 11]).unwrap();
    let mut alone: Vec<Inference> = sequences.iter().map(|sequence| sequence.fork().unwrap()).collect();
    for round in 0..12 {
        // Each says something else, and one or the other pauses.
        let said = |at: usize| tokens[(at * 5 + round) % tokens.len()];
        let speaks = |at: &usize| !(at + round).is_multiple_of(4);
        let together = sequences.iter_mut().enumerate().filter(|(at, _)| speaks(at));
        Inference::push_together(together.map(|(at, sequence)| (sequence, said(at)))).unwrap();
        for at in (0..alone.len()).filter(speaks) {
            alone[at].push(said(at)).unwrap();
        }
        for (at, (together, alone)) in sequences.iter().zip(&alone).enumerate() {
            assert_eq!(together.held(), alone.held());
            assert!(bits(together) == bits(alone), "sequence {at} in round {round}");
        }
    }
}

#[test]
fn company_changes_no_bit() {
    for shape in ["tiny", "tiny:q8_0", "tiny:q4_0", "tiny:q4_1"] {
        assert_company_changes_no_bit(synthetic(shape));
    }
    let names = ["tiny-gpt2", "tiny-llama", "tiny-llama.BF16.gguf", "tiny-llama.Q8_0.gguf", "variant-qwen2-window"];
    for name in names.into_iter().chain(RECURRENT) {
        assert_company_changes_no_bit(fixture(name));
    }
}

#[test]
fn what_cannot_come_next_leaves_all_that_go_together_as_they_were() {
    let mut full = synthetic("tiny:q8_0");
    prefill(&mut full, &tokens(128));
    let mut other = full.fork().unwrap();
    prefill(&mut other, &tokens(127));
    let before = bits(&other);
    let error = Inference::push_together([(&mut other, 1), (&mut full, 2)].into_iter());
    assert!(matches!(error, Err(EngineError::ContextFull { tokens: 129, .. })));
    full.return_to(100, &vec![0.0; 512]);
    let error = Inference::push_together([(&mut full, 1), (&mut other, 512)].into_iter());
    assert!(matches!(error, Err(EngineError::Invalid(_))));
    assert_eq!((full.held().len(), other.held().len()), (100, 127));
    assert_eq!(bits(&other), before);
    Inference::push_together(std::iter::empty()).unwrap();
}

#[test]
fn a_draft_is_no_part_of_what_is_held() {
    let mut inference = synthetic("tiny:q8_0");
    prefill(&mut inference, &[1, 2, 3]);
    inference.push_with_draft(4, &[5, 6]).unwrap();
    assert_eq!(inference.held(), [1, 2, 3, 4]);
    assert!(inference.has_drafted(5) && !inference.has_drafted(6));
    let after_four = bits(&inference);
    inference.truncate(4);
    assert!(!inference.has_drafted(5), "it is cut with what lies behind");
    assert_eq!(bits(&inference), after_four, "the logits after what is held stay");
    inference.push_with_draft(5, &[6]).unwrap();
    inference.truncate(4);
    assert_eq!(inference.logits(), None);
}

#[test]
fn a_draft_ends_where_the_context_does() {
    let mut inference = synthetic("tiny:q8_0");
    prefill(&mut inference, &tokens(126));
    inference.push_with_draft(7, &[8, 9, 10]).unwrap();
    assert!(inference.has_drafted(8));
    inference.push(8).unwrap();
    assert!(!inference.has_drafted(9), "there was no room for it");
    assert!(matches!(inference.push_with_draft(9, &[10]), Err(EngineError::ContextFull { tokens: 129, .. })));
    assert_eq!(inference.held().len(), 128);
}

#[test]
fn a_draft_outside_the_vocabulary_is_refused_and_changes_nothing() {
    let mut inference = synthetic("tiny:q8_0");
    prefill(&mut inference, &[1, 2, 3]);
    let before = bits(&inference);
    assert!(matches!(inference.push_with_draft(4, &[5, 512]), Err(EngineError::Invalid(_))));
    assert_eq!((inference.held(), bits(&inference)), (&[1, 2, 3][..], before));
}

/// Chunks of up to as many tokens as are computed one by one have the bits of single tokens: whatever chunks a prompt was
/// computed in ahead, and wherever that was stopped and begun anew, its logits are the same.
#[test]
fn a_prompt_that_was_computed_ahead_in_any_chunks_has_the_same_logits() {
    let mut inference = synthetic("tiny:q4_1");
    let prompt = tokens(60);
    prefill(&mut inference, &prompt[..1]);
    prompt[1..].iter().for_each(|&token| inference.push(token).unwrap());
    let alone = bits(&inference);
    for chunk in [1, 5, MAX_TOKENS_ONE_BY_ONE] {
        inference.truncate(0);
        let mut asked = 0;
        let stopped = inference.prefill_eagerly(&prompt, &mut |_| {
            asked += 1;
            if asked > 2 { 0 } else { chunk }
        });
        let done = 2 * chunk;
        assert_eq!(stopped.unwrap(), PrefillProgress { reused: 0, done, total: 59 });
        assert_eq!((inference.held().len(), inference.logits()), (done, None));
        let went_on = inference.prefill_eagerly(&prompt, &mut |_| chunk);
        assert_eq!(went_on.unwrap(), PrefillProgress { reused: done, done: 59, total: 59 });
        prefill(&mut inference, &prompt);
        assert_eq!(bits(&inference), alone, "chunks of {chunk}");
        inference.prefill_eagerly(&prompt[..40], &mut |_| panic!("there is nothing to compute")).unwrap();
        assert_eq!(bits(&inference), alone, "what is there already is left as it is");
    }
}

/// What [`Inference::prefill_in_passes`] promises: a prompt that has come about in any way is computed again, from nothing,
/// with the same bits; and in another way it has others, so that this is worth noting.
#[test]
fn a_prompt_is_computed_again_in_the_passes_that_it_was_computed_in() {
    let others = [synthetic("tiny:q4_1"), synthetic("tiny"), fixture("tiny-llama.Q8_0.gguf")];
    for mut inference in others.into_iter().chain(RECURRENT.map(fixture)) {
        let prompt = tokens(100);
        // Thirty at once, of which ten stay; one by one; ahead in chunks; and the rest.
        prefill(&mut inference, &tokens(30).iter().map(|token| token + 1).collect::<Vec<_>>());
        prefill(&mut inference, &prompt[..30]);
        inference.truncate(10);
        prompt[10..25].iter().for_each(|&token| inference.push(token).unwrap());
        let mut chunks = [17, 3, 20, 0].into_iter();
        inference.prefill_eagerly(&prompt[..80], &mut |_| chunks.next().unwrap_or(0)).unwrap();
        prefill(&mut inference, &prompt);
        assert_eq!(inference.passes().tokens(), prompt.len());
        let expected = (bits(&inference), inference.passes().clone());
        assert_eq!(expected.1.runs(), [(10, 30), (15, 1), (17, 17), (3, 1), (20, 20), (35, 35)]);
        let next = |inference: &mut Inference| {
            inference.push(5).unwrap();
            bits(inference)
        };
        let after = next(&mut inference);
        let go_on = &mut |_| ControlFlow::Continue(());
        inference.prefill_in_passes(&prompt, &expected.1, go_on).unwrap();
        assert_eq!((bits(&inference), inference.passes().clone()), expected);
        assert_eq!(next(&mut inference), after, "the cache is the same as well");
        // Passes of something else: the prompt is computed all the same.
        for runs in [
            vec![],
            vec![(99, 1)],
            vec![(100, 99)],
            vec![(100, u32::MAX)],
            vec![(u32::MAX, 1), (100, 1)],
            vec![(0, 20), (100, 1)],
        ] {
            inference.prefill_in_passes(&prompt, &Passes::new(runs), go_on).unwrap();
            assert_eq!(inference.held(), prompt);
            assert!(inference.logits().is_some());
        }
        let mut stop = |_| ControlFlow::Break(());
        let stopped = inference.prefill_in_passes(&prompt, &expected.1, &mut stop).unwrap();
        assert_eq!((stopped.done, stopped.total), (0, 100));
    }
}

/// Goes on from `at` to `end` with `tokens(128)`, as `expected` after each.
fn assert_goes_on(inference: &mut Inference, at: usize, end: usize, expected: &[Vec<u32>]) {
    for (position, &token) in tokens(128).iter().enumerate().take(end).skip(at) {
        inference.push(token).unwrap();
        assert!(bits(inference) == expected[position], "token {position}, behind {at}");
    }
}

/// Wherever a sequence is cut, however far back, it goes on as if nothing had ever stood behind the cut: by truncation, in a
/// fork, behind another text, or as a prompt that shares its beginning.
#[test]
fn what_is_cut_goes_on_as_if_nothing_had_come_behind_it() {
    for mut inference in [synthetic("tiny:q8_0")].into_iter().chain(RECURRENT.map(fixture)) {
        let tokens = tokens(128);
        prefill(&mut inference, &tokens[..PROMPT]);
        let mut expected = vec![Vec::new(); PROMPT];
        for &token in &tokens[PROMPT..] {
            inference.push(token).unwrap();
            expected.push(bits(&inference));
        }
        for cut in [127, 120, 112, 90, 60, 40, 22, PROMPT] {
            inference.truncate(cut);
            assert_eq!(inference.held(), &tokens[..cut]);
            let mut fork = inference.fork().unwrap();
            // Something else comes, is taken back step by step, and what was first comes again.
            (0..9).take(128 - cut).for_each(|token| fork.push(token).unwrap());
            while fork.held().len() > cut {
                let logits = vec![0.0; fork.model().config().vocab_size];
                fork.return_to(fork.held().len() - 1, &logits);
            }
            assert_goes_on(&mut fork, cut, 128, &expected);
            assert_goes_on(&mut inference, cut, cut + 1, &expected);
            fork.truncate(cut);
            assert_goes_on(&mut fork, cut, 128.min(cut + 20), &expected);
            assert_goes_on(&mut inference, cut + 1, 128, &expected);
        }
        // Within the first pass, from far away and from close by.
        for cut in [5, 20] {
            let next = |inference: &mut Inference| {
                inference.truncate(cut);
                let pass = tokens[cut..30].iter().map(|&token| {
                    inference.push(token).unwrap();
                    bits(inference)
                });
                pass.collect::<Vec<_>>()
            };
            let mut other = inference.fork().unwrap();
            let far = next(&mut other);
            other.truncate(0);
            prefill(&mut other, &tokens[..PROMPT]);
            assert!(far == next(&mut other), "cut at {cut}");
        }
        inference.truncate(0);
        prefill(&mut inference, &tokens[..PROMPT]);
        assert_goes_on(&mut inference, PROMPT, 100, &expected);
        let (mut told, prompt) = (None, [&tokens[..70], &[tokens[70] + 1, 1, 2][..]].concat());
        let on_progress = &mut |progress: PrefillProgress| {
            told.get_or_insert(progress.reused);
            ControlFlow::Continue(())
        };
        inference.prefill(&prompt, on_progress).unwrap();
        assert_eq!(inference.held(), prompt);
        assert!(told.is_some_and(|reused| reused <= 70), "{told:?}");
        let (after, passes) = (bits(&inference), inference.passes().clone());
        inference.prefill_in_passes(&prompt, &passes, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(bits(&inference) == after, "the passes that were noted are those that were made");
    }
}
