//! The chain of filters, and what they leave of a distribution.
//!
//! The filters act in the order that the parameters give them. Each sees what those before it have left, as a [`Race`]: it
//! changes logits, or cuts tokens. As long as none has cut anything the vocabulary is looked at as a whole, in a few
//! vectorized passes; the first one that cuts has only those tokens listed that it leaves.

use std::cmp::Ordering;

use super::stats::{LogSoftmaxStats, log_softmax_stats};
use super::{Dice, Filter, SamplingParams};
use crate::TokenId;
use crate::kernels::vector;

/// Logits looked at together when the best are sought: most chunks have none above the threshold.
const CHUNK: usize = 32;

/// The tokens that a filter may ask for.
pub trait Vocabulary {
    /// How many there are.
    fn size(&self) -> usize;

    /// What a token stands for; not always whole characters.
    fn bytes_of(&self, token: TokenId) -> &[u8];
}

/// Tokens by what they stand for.
impl Vocabulary for Vec<Vec<u8>> {
    fn size(&self) -> usize {
        self.len()
    }

    fn bytes_of(&self, token: TokenId) -> &[u8] {
        self.get(token as usize).map_or(&[], Vec::as_slice)
    }
}

/// What a filter may look at beside the logits.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// The prompt and the reply so far.
    pub history: &'a [TokenId],
    /// The tokens of the model.
    pub vocabulary: &'a dyn Vocabulary,
    /// Random numbers, the same ones whenever this place of the reply is met.
    pub dice: Dice,
}

/// A filter's function.
pub(super) type Run = fn(&mut Race<'_>, &SamplingParams, &Situation<'_>);

/// What a filter does.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// It changes logits.
    Changes(Run),
    /// It takes tokens out. Where the most probable token is taken anyway it has nothing to do.
    Cuts(Run),
}

/// A token that is still in the race, with its logit as the filters have made it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct TokenLogit {
    pub(super) token: TokenId,
    pub(super) logit: f32,
}

/// Most probable first, and of equals the lower id: an order without ties, so that a draw is repeatable.
pub(super) fn by_rank(a: &TokenLogit, b: &TokenLogit) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.token.cmp(&b.token))
}

/// What the filters left of a distribution. The buffers live as long as the sampler: a token allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// Those kept, in the order of their ids, then those that were cut, the last filter's first.
    entries: Vec<TokenLogit>,
    /// How many of `entries` are kept.
    kept: usize,
    /// Where in `entries` what each filter cut begins, in the order of the filters.
    cuts: Vec<(usize, Filter)>,
    /// What cut the tokens that are not among `entries`; `None` for temperature 0.
    others: Option<Filter>,
    /// Probability of each kept entry.
    weights: Vec<f32>,
    /// The logits of all tokens, where a filter has changed them.
    changed: Vec<f32>,
    /// When each token was last met, in rounds, and where it is among `entries`.
    met: Vec<(u32, u32)>,
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
    /// Runs the filters. At least one token is kept where any logit is a number; none otherwise.
    pub(super) fn run(&mut self, logits: &[f32], params: &SamplingParams, situation: &Situation<'_>) {
        let filters = params.samplers.iter().map(|filter| (filter, filter.act()));
        self.run_each(filters, logits, params, situation);
    }

    /// As [`Self::run`], with these filters.
    pub(super) fn run_each(
        &mut self,
        filters: impl Iterator<Item = (Filter, Act)>,
        logits: &[f32],
        params: &SamplingParams,
        situation: &Situation<'_>,
    ) {
        self.cuts.clear();
        let is_greedy = params.is_greedy();
        let mut race = Race::new(self, logits);
        for (filter, act) in filters {
            if is_greedy && filter == Filter::Temperature {
                break;
            }
            race.acting = filter;
            match act {
                Act::Cuts(_) if is_greedy => {}
                Act::Cuts(run) | Act::Changes(run) => run(&mut race, params, situation),
            }
        }
        if is_greedy { race.take_best() } else { race.weigh() }
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

    fn next_round(&mut self, vocabulary: usize) {
        self.round = self.round.wrapping_add(1);
        if self.met.len() != vocabulary || self.round == 0 {
            self.met.clear();
            self.met.resize(vocabulary, (0, 0));
            self.round = 1;
        }
    }
}

/// A distribution on its way through the filters.
#[derive(Debug)]
pub(super) struct Race<'a> {
    chain: &'a mut Chain,
    logits: &'a [f32],
    /// Whether `chain.changed` stands for `logits`.
    is_changed: bool,
    /// Whether the tokens that are left are listed in `chain.entries`.
    is_listed: bool,
    /// Divides the logits, which are kept as they are as long as nobody asks for their probabilities: so they are divided
    /// once, and last, in the usual order.
    divisor: f32,
    /// The filter at work.
    acting: Filter,
}

impl<'a> Race<'a> {
    fn new(chain: &'a mut Chain, logits: &'a [f32]) -> Self {
        // Tokens without any probability are nobody's cut: they count as the first one's.
        let acting = Filter::TopK;
        Self { chain, logits, is_changed: false, is_listed: false, divisor: 1.0, acting }
    }

    /// How many tokens are left.
    pub(super) fn len(&self) -> usize {
        if self.is_listed { self.chain.kept } else { self.logits.len() }
    }

    /// The logits that are left, without those that are not listed, in no order.
    pub(super) fn logits(&mut self) -> &[f32] {
        if !self.is_listed {
            return if self.is_changed { &self.chain.changed } else { self.logits };
        }
        self.chain.scratch.clear();
        self.chain.scratch.extend(self.chain.entries[..self.chain.kept].iter().map(|entry| entry.logit));
        &self.chain.scratch
    }

    /// Maximum, normalizer and entropy of what is left.
    pub(super) fn stats(&mut self) -> LogSoftmaxStats {
        self.divide();
        log_softmax_stats(self.logits())
    }

    /// The greatest logit.
    pub(super) fn best(&mut self) -> f32 {
        vector::max(self.logits())
    }

    /// What the logits are still to be divided by: a distance between two of them is so many times as large.
    pub(super) fn divisor(&self) -> f32 {
        self.divisor
    }

    /// Divides all logits by this, before their probabilities are asked for.
    pub(super) fn heat(&mut self, temperature: f32) {
        self.divisor *= temperature;
    }

    /// Carries out the division that is due.
    fn divide(&mut self) {
        let divisor = std::mem::replace(&mut self.divisor, 1.0);
        if divisor == 1.0 {
            return;
        }
        // A divisor next to zero must not make an infinity of what is a number.
        let divided = |logit: f32| (logit / divisor).min(f32::MAX);
        if self.is_listed {
            self.chain.entries[..self.chain.kept].iter_mut().for_each(|entry| entry.logit = divided(entry.logit));
        } else {
            self.change();
            self.chain.changed.iter_mut().for_each(|logit| *logit = divided(*logit));
        }
    }

    /// Makes `chain.changed` stand for the logits.
    fn change(&mut self) {
        if !std::mem::replace(&mut self.is_changed, true) {
            self.chain.changed.clear();
            self.chain.changed.extend_from_slice(self.logits);
        }
    }

    /// Shows `edit` the logit of each of `tokens` that is left, one after the other, and whether it is met for the first
    /// time.
    pub(super) fn edit(&mut self, tokens: &[TokenId], mut edit: impl FnMut(&mut f32, bool)) {
        self.divide();
        self.chain.next_round(self.logits.len());
        let places = if self.is_listed {
            // Two rounds: what is listed, and what has been met.
            let round = self.chain.round;
            for (at, entry) in self.chain.entries[..self.chain.kept].iter().enumerate() {
                if let Some(met) = self.chain.met.get_mut(entry.token as usize) {
                    *met = (round, at as u32);
                }
            }
            self.chain.next_round(self.logits.len());
            Some(round)
        } else {
            self.change();
            None
        };
        let Chain { entries, changed, met, round, .. } = &mut *self.chain;
        for &token in tokens {
            let Some(met) = met.get_mut(token as usize) else { continue };
            let is_first = met.0 != *round;
            match places {
                None => {
                    met.0 = *round;
                    edit(&mut changed[token as usize], is_first);
                }
                Some(listed) if met.0 == listed || met.0 == *round => {
                    met.0 = *round;
                    edit(&mut entries[met.1 as usize].logit, is_first);
                }
                Some(_) => {}
            }
        }
    }

    /// Lists the tokens that are left; where nothing was cut, all that have a probability.
    pub(super) fn list(&mut self) {
        if !self.is_listed {
            self.keep_top(usize::MAX);
            self.chain.others = Some(Filter::TopK);
        }
    }

    /// Keeps the `k` most probable tokens.
    pub(super) fn keep_top(&mut self, k: usize) {
        let k = k.min(self.len());
        if self.is_listed {
            let entries = &mut self.chain.entries[..self.chain.kept];
            if k < entries.len() && k > 0 {
                entries.select_nth_unstable_by(k - 1, by_rank);
            }
            return self.cut_to(k.max(1));
        }
        let logits = if self.is_changed { &self.chain.changed } else { self.logits };
        select_top(logits, k, &mut self.chain.entries);
        self.listed();
    }

    /// Keeps the tokens whose logit is `least` or more.
    pub(super) fn keep_from(&mut self, least: f32) {
        if !self.is_listed {
            let logits = if self.is_changed { &self.chain.changed } else { self.logits };
            select_from(logits, least, &mut self.chain.entries);
            return self.listed();
        }
        let entries = &mut self.chain.entries[..self.chain.kept];
        let mut kept = 0;
        for at in 0..entries.len() {
            if entries[at].logit >= least {
                entries.swap(kept, at);
                kept += 1;
            }
        }
        self.cut_to(kept);
    }

    /// Keeps the first tokens of `order` until their mass is `enough`; `stats` are those of what is left.
    pub(super) fn keep_leading(
        &mut self,
        stats: &LogSoftmaxStats,
        order: impl Fn(&TokenLogit, &TokenLogit) -> Ordering,
        enough: impl Fn(f32) -> bool,
    ) {
        self.list();
        let kept = leading_mass(&mut self.chain.entries[..self.chain.kept], stats, order, enough);
        self.cut_to(kept.unwrap_or(self.chain.kept));
    }

    /// Keeps the most probable tokens until their mass is `enough`. Of a whole vocabulary they are sought among the best
    /// few, then among more. What the others weigh is known from the vectorized pass.
    pub(super) fn keep_most_probable(&mut self, enough: impl Fn(f32) -> bool) {
        let stats = self.stats();
        if self.is_listed {
            return self.keep_leading(&stats, by_rank, enough);
        }
        let mut n = 256;
        loop {
            self.is_listed = false;
            self.keep_top(n);
            let nucleus = leading_mass(&mut self.chain.entries, &stats, by_rank, &enough);
            if nucleus.is_some() || n >= self.logits.len() {
                return self.cut_to(nucleus.unwrap_or(self.chain.kept));
            }
            n *= 8;
        }
    }

    /// Those that the filter at work leaves are now listed.
    fn listed(&mut self) {
        self.is_listed = true;
        self.chain.kept = self.chain.entries.len();
        self.chain.others = Some(self.acting);
    }

    fn cut_to(&mut self, kept: usize) {
        if kept < self.chain.kept {
            self.chain.kept = kept;
            self.chain.cuts.push((kept, self.acting));
        }
    }

    /// The end of the race under temperature 0.
    fn take_best(mut self) {
        self.is_listed = false;
        self.keep_top(1);
        self.chain.others = None;
        self.chain.weights.clear();
        self.chain.weights.resize(self.chain.kept, 1.0);
    }

    /// The end of the race: the probabilities of what is left.
    fn weigh(mut self) {
        self.list();
        let Chain { entries, kept, weights, .. } = self.chain;
        let entries = &mut entries[..*kept];
        entries.sort_unstable_by_key(|entry| entry.token);
        let best = entries.iter().fold(f32::NEG_INFINITY, |best, entry| best.max(entry.logit));
        weights.clear();
        weights.extend(entries.iter().map(|entry| vector::exp_portable((entry.logit - best) / self.divisor)));
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let scale = (1.0 / total) as f32;
        weights.iter_mut().for_each(|weight| *weight *= scale);
    }
}

/// Puts the `k` entries of the greatest logits into `out`, in no order. What is not a number, and negative infinity, is
/// left out.
pub(super) fn select_top(logits: &[f32], k: usize, out: &mut Vec<TokenLogit>) {
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
fn select_from(logits: &[f32], least: f32, out: &mut Vec<TokenLogit>) {
    out.clear();
    for (n, chunk) in logits.chunks(CHUNK).enumerate() {
        if chunk.iter().fold(false, |any, &logit| any | (logit >= least)) {
            push_where(chunk, n * CHUNK, |logit| logit >= least, out);
        }
    }
    out.retain(|entry| entry.logit > f32::NEG_INFINITY);
}

fn push_where(chunk: &[f32], first: usize, wanted: impl Fn(f32) -> bool, out: &mut Vec<TokenLogit>) {
    for (i, &logit) in chunk.iter().enumerate() {
        if wanted(logit) {
            // Adding zero makes -0 a 0: the two are equal in a rank, as they are to a comparison.
            out.push(TokenLogit { token: (first + i) as TokenId, logit: logit.min(f32::MAX) + 0.0 });
        }
    }
}

/// Keeps the first `k` by rank, and returns the last one's logit.
fn shrink_to_top(entries: &mut Vec<TokenLogit>, k: usize) -> f32 {
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
    entries: &mut [TokenLogit],
    stats: &LogSoftmaxStats,
    order: impl Fn(&TokenLogit, &TokenLogit) -> Ordering,
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
