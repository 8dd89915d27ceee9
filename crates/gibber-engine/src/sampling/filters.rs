//! What each filter does. A new one needs its function here, its row in [`table`](super::table), and a test.

use super::SamplingParams;
use super::chain::{Race, Situation, TokenLogit};

/// Repeat penalty (Keskar et al. 2019), presence and frequency penalty, over the last tokens of the history.
pub(super) fn penalties(race: &mut Race<'_>, params: &SamplingParams, situation: &Situation<'_>) {
    let SamplingParams { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, .. } = *params;
    let history = situation.history;
    let last_n = usize::try_from(repeat_last_n).unwrap_or(history.len()).min(history.len());
    if last_n == 0 || (repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0) {
        return;
    }
    race.edit(&history[history.len() - last_n..], |logit, is_first| {
        if is_first {
            *logit = if *logit > 0.0 { *logit / repeat_penalty } else { *logit * repeat_penalty };
            *logit -= presence_penalty;
        }
        *logit -= frequency_penalty;
    });
}

/// Top-n-sigma (Tang et al. 2024): those whose logit is at most n standard deviations below the best. A temperature moves
/// all of these numbers alike, so it does not matter whether it has acted.
pub(super) fn top_n_sigma(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    if params.top_n_sigma <= 0.0 || race.len() <= 1 {
        return;
    }
    let logits = race.logits();
    let finite = || logits.iter().filter(|logit| logit.is_finite()).map(|&logit| f64::from(logit));
    let count = finite().count() as f64;
    let mean = finite().sum::<f64>() / count;
    let variance = finite().map(|logit| (logit - mean).powi(2)).sum::<f64>() / count;
    let distance = params.top_n_sigma * variance.sqrt() as f32;
    let least = race.best() - distance;
    race.keep_from(least);
}

/// The k most probable tokens.
pub(super) fn top_k(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    if params.top_k > 0 {
        race.keep_top(params.top_k as usize);
    }
}

/// Locally typical sampling (Meister et al. 2022): those whose surprise is nearest the entropy, up to a mass over p.
pub(super) fn typical_p(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    let p = params.typical_p;
    if p >= 1.0 {
        return;
    }
    race.list();
    if race.len() <= 1 {
        return;
    }
    let stats = race.stats();
    let distance = |entry: &TokenLogit| (-stats.log_probability(entry.logit) - stats.entropy).abs();
    let order = |a: &TokenLogit, b: &TokenLogit| distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token));
    race.keep_leading(&stats, order, |mass| mass > p);
}

/// Nucleus sampling (Holtzman et al. 2019): the fewest most probable ones whose mass reaches p.
pub(super) fn top_p(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    let p = params.top_p;
    if p < 1.0 && race.len() > 1 {
        race.keep_most_probable(|mass| mass >= p);
    }
}

/// Those at least p times as probable as the best.
pub(super) fn min_p(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    if params.min_p > 0.0 && race.len() > 1 {
        let distance = params.min_p.min(1.0).ln() * race.divisor();
        let least = race.best() + distance;
        race.keep_from(least);
    }
}

/// Divides the logits. What temperature 0 does is the chain's to say.
pub(super) fn temperature(race: &mut Race<'_>, params: &SamplingParams, _: &Situation<'_>) {
    race.heat(params.temperature);
}
