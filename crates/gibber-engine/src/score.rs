//! The log-probability and rank of each token of a text or of a prompt.

use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

use super::inference::Inference;
use super::sampling::{Candidate, LogSoftmaxStats, log_softmax_stats, most_probable, not_numbers, rank_of};
use super::{EngineError, TokenId};

/// A token of a scored text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredToken {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Its text (lossy where a character is split).
    pub text: String,
    /// Natural logarithm of its probability given all before it; `None` for the first.
    pub logprob: Option<f32>,
    /// How many tokens were more probable; `None` for the first.
    pub rank: Option<u32>,
}

/// What the model made of a token before it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenScore {
    /// Natural logarithm of its probability.
    pub logprob: f32,
    /// How many tokens were more probable.
    pub rank: u32,
    /// Entropy of the distribution, in nats.
    pub entropy: f32,
    /// The most probable tokens in its place, most probable first; nothing is filtered.
    pub candidates: Vec<Candidate>,
}

/// Scores the tokens of a prompt from `from` on given all before them, as a prefill computes it, with `candidates`
/// alternatives each; `text_of` gives a token's text. The first token of a prompt has no score: the scores are those of
/// the tokens from `from.max(1)` on. The cache of `inference` holds the prompt afterwards, with the logits of the next
/// token.
///
/// `on_progress(done)` is called as [`Inference::prefill_with_logits`] goes on, with the tokens scored or passed over;
/// where it breaks, the scores so far are returned.
///
/// # Errors
/// Those of [`Inference::prefill_with_logits`]; [`EngineError::Invalid`] where the model computes what is no number.
pub fn score_prompt(
    inference: &mut Inference,
    prompt: &[TokenId],
    from: usize,
    candidates: usize,
    text_of: impl Fn(TokenId) -> String,
    on_progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<TokenScore>, EngineError> {
    let mut scores = Vec::with_capacity(prompt.len().saturating_sub(from));
    let file = inference.file().to_owned();
    let mut failed = None;
    inference.prefill_with_logits(prompt, from, &mut |i, logits| {
        if let Some(&token) = prompt.get(i + 1) {
            let stats = log_softmax_stats(logits);
            if !stats.are_numbers() {
                failed = Some(not_numbers(logits, i + 1, &file, &text_of));
                return ControlFlow::Break(());
            }
            let (logprob, rank) = rate(&stats, logits, token);
            let candidates = most_probable(logits, &stats, candidates, &text_of);
            scores.push(TokenScore { logprob, rank, entropy: stats.entropy, candidates });
        }
        on_progress((i + 2).min(prompt.len()))
    })?;
    failed.map_or(Ok(scores), Err)
}

/// Scores each token given those before it; `text_of` gives a token's text.
///
/// A text longer than the context is read in windows, each half of which overlaps the one before: every token but those
/// of the first window is scored with half a context or more in front of it.
///
/// `on_progress(done)` is called after each token; where it breaks, the tokens scored so far are returned.
///
/// # Errors
/// Those of [`Inference::logits_of_all`]; [`EngineError::Invalid`] for a context of one token, which predicts nothing, and
/// where the model computes what is no number.
pub fn score(
    inference: &mut Inference,
    tokens: &[TokenId],
    text_of: impl Fn(TokenId) -> String,
    on_progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Vec<ScoredToken>, EngineError> {
    let mut scored: Vec<ScoredToken> = Vec::with_capacity(tokens.len());
    let Some(&first) = tokens.first() else { return Ok(scored) };
    scored.push(ScoredToken { token: first, text: text_of(first), logprob: None, rank: None });
    let context = inference.context();
    if context < 2 {
        return Err(EngineError::Invalid(format!(
            "a context of {context} token is too short to score a text (-c/--ctx-size)"
        )));
    }
    let (step, file) = (context / 2, inference.file().to_owned());
    let mut start = 0;
    let mut flow = ControlFlow::Continue(());
    let mut failed = None;
    while scored.len() < tokens.len() && flow.is_continue() {
        let window = &tokens[start..tokens.len().min(start + context)];
        inference.logits_of_all(window, &mut |i, logits| {
            let position = start + i + 1;
            if position >= scored.len() && position < start + window.len() {
                let token = tokens[position];
                let stats = log_softmax_stats(logits);
                if !stats.are_numbers() {
                    failed = Some(not_numbers(logits, position, &file, &text_of));
                    flow = ControlFlow::Break(());
                    return flow;
                }
                let (logprob, rank) = rate(&stats, logits, token);
                scored.push(ScoredToken { token, text: text_of(token), logprob: Some(logprob), rank: Some(rank) });
            }
            flow = on_progress(scored.len());
            flow
        })?;
        start += step;
    }
    failed.map_or(Ok(scored), Err)
}

/// Log-probability and rank of `token`; `stats` are those of `logits`.
fn rate(stats: &LogSoftmaxStats, logits: &[f32], token: TokenId) -> (f32, u32) {
    (stats.log_probability(logits[token as usize]), rank_of(logits, token))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{LoadOptions, LoadedModel, ModelSource, load};

    fn tiny(context: usize) -> LoadedModel {
        let options = LoadOptions { threads: Some(1), context: Some(context), ..LoadOptions::default() };
        load(&ModelSource::Synthetic("tiny".into()), &options, &mut |_, _| {}).unwrap()
    }

    fn scores(context: usize, tokens: &[TokenId]) -> Vec<ScoredToken> {
        let mut model = tiny(context);
        let tokenizer = model.tokenizer.clone();
        score(&mut model.inference, tokens, |token| tokenizer.piece(token), &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// The same by hand: prefill up to each token and look its logit up.
    fn by_hand(tokens: &[TokenId], at: usize, from: usize) -> (f32, u32) {
        let mut model = tiny(128);
        model.inference.prefill(&tokens[from..at], &mut |_| ControlFlow::Continue(())).unwrap();
        let logits = model.inference.logits().unwrap();
        let exact: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
        let target = exact[tokens[at] as usize];
        let rank = exact.iter().filter(|&&other| other > target).count() as u32;
        ((target - exact.iter().map(|logit| logit.exp()).sum::<f64>().ln()) as f32, rank)
    }

    fn text(n: u32) -> Vec<TokenId> {
        (0..n).map(|i| (i * 97 + 13) % 512).collect()
    }

    fn assert_near(found: &ScoredToken, (logprob, rank): (f32, u32)) {
        assert!((found.logprob.unwrap() - logprob).abs() < 1e-3, "{found:?}, by hand {logprob}");
        assert!(found.rank.unwrap().abs_diff(rank) <= 1, "{found:?}, by hand {rank}");
    }

    #[test]
    fn each_token_is_scored_given_all_before_it() {
        let tokens = text(40);
        let found = scores(128, &tokens);
        assert_eq!(found.iter().map(|scored| scored.token).collect::<Vec<_>>(), tokens);
        assert_eq!((found[0].logprob, found[0].rank), (None, None));
        for at in [1, 2, 17, 39] {
            assert_near(&found[at], by_hand(&tokens, at, 0));
        }
    }

    #[test]
    fn a_long_text_is_read_in_windows_that_overlap_by_half() {
        let tokens = text(100);
        let found = scores(32, &tokens);
        assert_eq!(found.len(), 100, "each token once");
        assert_near(&found[31], by_hand(&tokens, 31, 0));
        assert_near(&found[32], by_hand(&tokens, 32, 16));
        assert_near(&found[47], by_hand(&tokens, 47, 16));
        assert_near(&found[48], by_hand(&tokens, 48, 32));
        assert_near(&found[99], by_hand(&tokens, 99, 80));
    }

    #[test]
    fn short_texts_and_short_contexts() {
        assert!(scores(128, &[]).is_empty());
        assert_eq!(scores(128, &[7]).len(), 1);
        for (context, n) in [(2, 9), (3, 9), (9, 9), (8, 9)] {
            assert_eq!(scores(context, &text(n)).len(), n as usize, "context {context}");
        }
        let mut model = tiny(1);
        let error = score(&mut model.inference, &text(5), |_| String::new(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(error, Err(EngineError::Invalid(_))));
    }

    fn prompt_scores(model: &mut LoadedModel, prompt: &[TokenId], from: usize) -> Vec<TokenScore> {
        let tokenizer = model.tokenizer.clone();
        let text_of = |token| tokenizer.piece(token);
        score_prompt(&mut model.inference, prompt, from, 5, text_of, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    #[test]
    fn a_prompt_is_scored_as_its_tokens_would_be_drawn_and_stays_in_the_cache() {
        let mut model = tiny(128);
        let tokens = text(40);
        let found = prompt_scores(&mut model, &tokens, 0);
        assert_eq!(found.len(), 39, "the first has nothing before it");
        assert_eq!(model.inference.held(), tokens);
        let after = model.inference.logits().unwrap().to_vec();
        for at in [1, 17, 39] {
            let (logprob, rank) = by_hand(&tokens, at, 0);
            let score = &found[at - 1];
            assert!((score.logprob - logprob).abs() < 2e-3 && score.rank.abs_diff(rank) <= 1, "{at}: {score:?}");
            assert_eq!(score.candidates.len(), 5);
            assert!(score.candidates.is_sorted_by(|a, b| a.before >= b.before && a.cut_by.is_none()));
            assert!(score.entropy > 0.0);
        }
        let mut fresh = tiny(128);
        fresh.inference.prefill(&tokens, &mut |_| ControlFlow::Continue(())).unwrap();
        let expected = fresh.inference.logits().unwrap();
        assert!(after.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "what follows is as after a prefill");
    }

    #[test]
    fn what_is_known_of_a_prompt_is_not_computed_again() {
        let mut model = tiny(128);
        let tokens = text(60);
        let whole = prompt_scores(&mut model, &tokens, 0);
        for held in [0, 10, 29, 30, 45, 60] {
            model.inference.truncate(0);
            if held > 0 {
                model.inference.prefill(&tokens[..held], &mut |_| ControlFlow::Continue(())).unwrap();
            }
            let rest = prompt_scores(&mut model, &tokens, 30);
            assert_eq!(rest.len(), 30, "{held} held");
            for (found, expected) in rest.iter().zip(&whole[29..]) {
                assert!((found.logprob - expected.logprob).abs() < 2e-3, "{held} held: {found:?}, {expected:?}");
            }
            assert_eq!(model.inference.held(), tokens);
            assert!(model.inference.logits().is_some());
        }
    }

    #[test]
    fn scoring_a_prompt_stops_where_it_is_told_and_holds_what_was_computed() {
        let mut model = tiny(128);
        let tokens = text(50);
        let stop = &mut |done| if done == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let found = score_prompt(&mut model.inference, &tokens, 0, 0, |_| String::new(), stop).unwrap();
        assert_eq!(found.len(), 8);
        let held = model.inference.held().to_vec();
        assert!(tokens.starts_with(&held));
        let next = prompt_scores(&mut model, &tokens, 0);
        assert_eq!(next.len(), 49);
        let none = score_prompt(&mut model.inference, &[], 0, 0, |_| String::new(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(none, Err(EngineError::Invalid(_))));
    }

    #[test]
    fn it_stops_where_it_is_told() {
        let mut model = tiny(128);
        let stop_at_9 = &mut |done| if done == 9 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        let found = score(&mut model.inference, &text(50), |_| String::new(), stop_at_9).unwrap();
        assert_eq!(found.len(), 9);
    }
}
