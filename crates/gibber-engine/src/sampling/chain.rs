//! The filters, in llama.cpp's order: penalties, top-k, typical-p, top-p, min-p, temperature.

use std::cmp::Ordering;

use super::stats::{LogSoftmaxStats, log_softmax_stats};
use super::{Filter, SamplingParams};
use crate::TokenId;
use crate::kernels::vector;

/// Logits looked at together when the best are sought: most chunks have none above the threshold.
const CHUNK: usize = 32;

/// A token that is still in the race, with its logit after the penalties.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Entry {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// Most probable first, and of equals the lower id: an order without ties, so that a draw is repeatable.
fn by_rank(a: &Entry, b: &Entry) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// What the filters left of a distribution. The buffers live as long as the sampler: a token allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Those kept, in the order of their ids, then those that were cut, the last filter's first.
    entries: Vec<Entry>,
    /// How many of `entries` are kept.
    kept: usize,
    /// Where in `entries` what each filter cut begins, in the order of the filters.
    cuts: Vec<(usize, Filter)>,
    /// What cut the tokens that are not among `entries`; `None` for temperature 0.
    others: Option<Filter>,
    /// Probability of each kept entry.
    weights: Vec<f32>,
    /// The logits after the penalties, where any penalty is on.
    penalized: Vec<f32>,
    /// When each token was last seen by the penalties, in rounds.
    seen: Vec<u32>,
    round: u32,
    /// Logits of the entries, side by side for the vectorized pass.
    scratch: Vec<f32>,
}

/// What became of a token in the chain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// Kept with this probability.
    Kept(f32),
    /// Cut by this filter; `None` by temperature 0, which leaves one.
    Cut(Option<Filter>),
}

impl Chain {
    /// Runs all filters. At least one token is kept where any logit is a number; none otherwise.
    pub(super) fn run(&mut self, logits: &[f32], history: &[TokenId], params: &SamplingParams) {
        self.cuts.clear();
        let penalized = self.penalize(logits, history, params).then(|| std::mem::take(&mut self.penalized));
        self.select(penalized.as_deref().unwrap_or(logits), params);
        if let Some(buffer) = penalized {
            self.penalized = buffer;
        }
        if params.temperature <= 0.0 {
            self.weights.clear();
            self.weights.resize(self.kept, 1.0);
            return;
        }
        self.typical_p(params.typical_p);
        self.top_p(params.top_p);
        self.min_p(params.min_p);
        self.weigh(params.temperature);
    }

    /// Fills `entries` with the tokens that the filters are to look at one by one, as few as will do.
    fn select(&mut self, logits: &[f32], params: &SamplingParams) {
        self.others = Some(Filter::TopK);
        if params.temperature <= 0.0 {
            self.others = None;
            select_top(logits, 1, &mut self.entries);
        } else if params.top_k > 0 {
            select_top(logits, logits.len().min(params.top_k as usize), &mut self.entries);
        } else if params.typical_p < 1.0 || (params.top_p >= 1.0 && params.min_p <= 0.0) {
            select_top(logits, logits.len(), &mut self.entries);
        } else if params.top_p < 1.0 {
            return self.select_nucleus(logits, params.top_p);
        } else {
            self.others = Some(Filter::MinP);
            select_from(logits, log_softmax_stats(logits).max + params.min_p.min(1.0).ln(), &mut self.entries);
        }
        self.kept = self.entries.len();
    }

    /// Top-p of a whole vocabulary: the nucleus is sought among the best few, then among more. What the others weigh is
    /// known from the vectorized pass.
    fn select_nucleus(&mut self, logits: &[f32], p: f32) {
        self.others = Some(Filter::TopP);
        let stats = log_softmax_stats(logits);
        let mut n = 256;
        loop {
            select_top(logits, n.min(logits.len()), &mut self.entries);
            let nucleus = leading_mass(&mut self.entries, &stats, by_rank, |mass| mass >= p);
            if nucleus.is_some() || n >= logits.len() {
                self.kept = self.entries.len();
                self.cut_to(nucleus.unwrap_or(self.kept), Filter::TopP);
                return;
            }
            n *= 8;
        }
    }

    /// The kept tokens with their probabilities, in the order of their ids.
    pub(super) fn kept(&self) -> impl Iterator<Item = (TokenId, f32)> {
        self.entries[..self.kept].iter().map(|entry| entry.token).zip(self.weights.iter().copied())
    }

    /// What became of `token`.
    pub(super) fn fate(&self, token: TokenId) -> Fate {
        match self.entries.iter().position(|entry| entry.token == token) {
            Some(at) if at < self.kept => Fate::Kept(self.weights[at]),
            // What an earlier filter cut stands behind what a later one did.
            Some(at) => Fate::Cut(self.cuts.iter().find(|(start, _)| *start <= at).map(|(_, filter)| *filter)),
            None => Fate::Cut(self.others),
        }
    }

    /// Writes the penalized logits, and says whether any penalty is on.
    fn penalize(&mut self, logits: &[f32], history: &[TokenId], params: &SamplingParams) -> bool {
        let SamplingParams { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, .. } = *params;
        let last_n = usize::try_from(repeat_last_n).unwrap_or(history.len()).min(history.len());
        if last_n == 0 || (repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0) {
            return false;
        }
        self.penalized.clear();
        self.penalized.extend_from_slice(logits);
        self.next_round(logits.len());
        for &token in &history[history.len() - last_n..] {
            let Some(logit) = self.penalized.get_mut(token as usize) else { continue };
            let seen = &mut self.seen[token as usize];
            if *seen != self.round {
                *seen = self.round;
                *logit = if *logit > 0.0 { *logit / repeat_penalty } else { *logit * repeat_penalty };
                *logit -= presence_penalty;
            }
            *logit -= frequency_penalty;
        }
        true
    }

    fn next_round(&mut self, vocabulary: usize) {
        self.round = self.round.wrapping_add(1);
        if self.seen.len() != vocabulary || self.round == 0 {
            self.seen.clear();
            self.seen.resize(vocabulary, 0);
            self.round = 1;
        }
    }

    fn stats(&mut self) -> LogSoftmaxStats {
        self.scratch.clear();
        self.scratch.extend(self.entries[..self.kept].iter().map(|entry| entry.logit));
        log_softmax_stats(&self.scratch)
    }

    fn cut_to(&mut self, kept: usize, filter: Filter) {
        if kept < self.kept {
            self.kept = kept;
            self.cuts.push((kept, filter));
        }
    }

    /// Locally typical sampling (Meister et al. 2022): those whose surprise is nearest the entropy, up to a mass over p.
    fn typical_p(&mut self, p: f32) {
        if p >= 1.0 || self.kept <= 1 {
            return;
        }
        let stats = self.stats();
        let distance = |entry: &Entry| (-stats.log_probability(entry.logit) - stats.entropy).abs();
        let order = |a: &Entry, b: &Entry| distance(a).total_cmp(&distance(b)).then(a.token.cmp(&b.token));
        let kept = leading_mass(&mut self.entries[..self.kept], &stats, order, |mass| mass > p);
        self.cut_to(kept.unwrap_or(self.kept), Filter::TypicalP);
    }

    /// Nucleus sampling (Holtzman et al. 2019): the fewest most probable ones whose mass reaches p.
    fn top_p(&mut self, p: f32) {
        if p >= 1.0 || self.kept <= 1 || self.others == Some(Filter::TopP) {
            return;
        }
        let stats = self.stats();
        let kept = leading_mass(&mut self.entries[..self.kept], &stats, by_rank, |mass| mass >= p);
        self.cut_to(kept.unwrap_or(self.kept), Filter::TopP);
    }

    /// Those at least p times as probable as the best.
    fn min_p(&mut self, p: f32) {
        if p <= 0.0 || self.kept <= 1 {
            return;
        }
        let entries = &mut self.entries[..self.kept];
        let best = entries.iter().fold(f32::NEG_INFINITY, |best, entry| best.max(entry.logit));
        let least = best + p.min(1.0).ln();
        let mut kept = 0;
        for at in 0..entries.len() {
            if entries[at].logit >= least {
                entries.swap(kept, at);
                kept += 1;
            }
        }
        self.cut_to(kept, Filter::MinP);
    }

    /// Temperature, and the probabilities of what is left.
    fn weigh(&mut self, temperature: f32) {
        let entries = &mut self.entries[..self.kept];
        entries.sort_unstable_by_key(|entry| entry.token);
        let best = entries.iter().fold(f32::NEG_INFINITY, |best, entry| best.max(entry.logit));
        self.weights.clear();
        self.weights.extend(entries.iter().map(|entry| vector::exp_portable((entry.logit - best) / temperature)));
        let total: f64 = self.weights.iter().map(|&weight| f64::from(weight)).sum();
        let scale = (1.0 / total) as f32;
        self.weights.iter_mut().for_each(|weight| *weight *= scale);
    }
}

/// Puts the `k` entries of the greatest logits into `out`, in no order. What is not a number, and negative infinity, is
/// left out.
pub(super) fn select_top(logits: &[f32], k: usize, out: &mut Vec<Entry>) {
    out.clear();
    if k == 0 {
        return;
    }
    let limit = 2 * k + CHUNK;
    // As many as ever stand there, so that no other logits need more.
    out.reserve((limit + CHUNK).min(logits.len()));
    let mut threshold = f32::NEG_INFINITY;
    for (n, chunk) in logits.chunks(CHUNK).enumerate() {
        // Without a branch inside, this becomes a few vector comparisons.
        if !chunk.iter().fold(false, |any, &logit| any | (logit > threshold)) {
            continue;
        }
        push_where(chunk, n * CHUNK, |logit| logit > threshold, out);
        if out.len() >= limit {
            threshold = shrink_to_top(out, k);
        }
    }
    shrink_to_top(out, k);
}

/// Puts the entries whose logit is `least` or more into `out`.
fn select_from(logits: &[f32], least: f32, out: &mut Vec<Entry>) {
    out.clear();
    for (n, chunk) in logits.chunks(CHUNK).enumerate() {
        if chunk.iter().fold(false, |any, &logit| any | (logit >= least)) {
            push_where(chunk, n * CHUNK, |logit| logit >= least, out);
        }
    }
    out.retain(|entry| entry.logit > f32::NEG_INFINITY);
}

fn push_where(chunk: &[f32], first: usize, wanted: impl Fn(f32) -> bool, out: &mut Vec<Entry>) {
    for (i, &logit) in chunk.iter().enumerate() {
        if wanted(logit) {
            // Adding zero makes -0 a 0: the two are equal in a rank, as they are to a comparison.
            out.push(Entry { token: (first + i) as TokenId, logit: logit.min(f32::MAX) + 0.0 });
        }
    }
}

/// Keeps the first `k` by rank, and returns the last one's logit.
fn shrink_to_top(entries: &mut Vec<Entry>, k: usize) -> f32 {
    if entries.len() > k {
        entries.select_nth_unstable_by(k - 1, by_rank);
        entries.truncate(k);
        return entries[k - 1].logit;
    }
    f32::NEG_INFINITY
}

/// How many entries, from the first of `order` on, it takes until their mass is `enough`; those come first afterwards.
/// `None` where all are not enough. Sorts no more than it needs: the answer is most often among the first few of many.
fn leading_mass(
    entries: &mut [Entry],
    stats: &LogSoftmaxStats,
    order: impl Fn(&Entry, &Entry) -> Ordering,
    enough: impl Fn(f32) -> bool,
) -> Option<usize> {
    let (mut sorted, mut step, mut mass) = (0, 64, 0f64);
    while sorted < entries.len() {
        let rest = &mut entries[sorted..];
        let n = step.min(rest.len());
        if n < rest.len() {
            rest.select_nth_unstable_by(n, &order);
        }
        rest[..n].sort_unstable_by(&order);
        for (i, entry) in rest[..n].iter().enumerate() {
            mass += f64::from(stats.probability(entry.logit));
            if enough(mass as f32) {
                return Some(sorted + i + 1);
            }
        }
        sorted += n;
        step *= 4;
    }
    None
}
