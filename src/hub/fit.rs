//! Which of a model's types this machine has the memory for.
//!
//! Counted are weights, keys and values of a context of [`CONTEXT`] tokens, and what a pass is computed in. The best type
//! that fits is taken: the one with most bits, so long as it is no float (8 bits are as good in less memory and twice as
//! fast) and leaves half of the memory to others; where none leaves as much, the best that fits at all.

use gibber_engine::load::{LoadOptions, MemoryNeed};
use gibber_engine::model::ModelConfig;
use gibber_engine::weights::DType;
use gibber_hub::{GgufModel, WeightType};

use super::bytes_text;

/// Tokens of the context that is counted.
pub const CONTEXT: usize = 4096;
/// For a model of which nothing is known but the size of its weights: an eighth more, and this much.
const UNKNOWN_EXTRA: u64 = 200_000_000;
/// What a pass is computed in where the model's shape is not known: most of it are logits.
const UNKNOWN_SCRATCH: u64 = 50_000_000;

/// What is known of a model beside the size of its weights.
#[derive(Debug, Clone)]
pub enum Shape {
    /// Its header was read.
    Read(Box<ModelConfig>),
    /// The catalogue says what the keys and values of a token take, and for how many tokens it was trained.
    Catalogue {
        /// Bytes a token, at F16.
        kv: u64,
        /// Tokens.
        context: usize,
    },
    /// Nothing.
    Unknown,
}

impl Shape {
    /// Whether what it says of memory is not what the engine will count.
    pub fn is_estimate(&self) -> bool {
        match self {
            Self::Read(_) => false,
            Self::Catalogue { .. } | Self::Unknown => true,
        }
    }

    /// What it takes with so many bytes of weights.
    pub fn need(&self, weights: u64) -> MemoryNeed {
        match self {
            Self::Read(config) => {
                let options = LoadOptions { context: Some(CONTEXT), ..LoadOptions::default() };
                options.need(config, weights)
            }
            Self::Catalogue { kv, context } => {
                let cache = kv.saturating_mul(CONTEXT.min(*context) as u64);
                MemoryNeed { weights, cache, scratch: UNKNOWN_SCRATCH }
            }
            Self::Unknown => MemoryNeed { weights, cache: weights / 8, scratch: UNKNOWN_EXTRA },
        }
    }
}

/// What it takes, for people.
pub fn amount(need: &MemoryNeed, is_estimate: bool) -> String {
    let total = bytes_text(need.total());
    if is_estimate { format!("about {total}") } else { total }
}

/// What the engine makes of a type, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeMark {
    /// It can be computed with, or its name says nothing.
    Computed,
    /// Some of its tensors may be of formats that cannot.
    Mixed,
    /// It cannot.
    NotComputed,
}

/// What the engine makes of a type.
pub fn mark(weight_type: Option<&WeightType>) -> TypeMark {
    let Some(kind) = weight_type else { return TypeMark::Computed };
    // `Q4`, as some call one of 4 bits, whichever it is.
    let is_vague = kind.base().len() == 2;
    if !is_vague && !DType::computable().any(|dtype| dtype.name() == kind.base()) {
        return TypeMark::NotComputed;
    }
    if kind.as_str() == kind.base() || !kind.as_str().starts_with("UD-") { TypeMark::Computed } else { TypeMark::Mixed }
}

/// A type that could be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place among the models that were given.
    pub index: usize,
    /// What it takes.
    pub need: MemoryNeed,
    /// Whether that is an estimate.
    pub is_estimate: bool,
    /// What the engine makes of it.
    pub mark: TypeMark,
    /// Whether there is memory for it; `None` where nobody knows how much there is.
    pub fits: Option<bool>,
}

/// Each of `models` with what it takes of the `available` bytes.
pub fn candidates(models: &[GgufModel], shape: &Shape, available: Option<u64>) -> Vec<Candidate> {
    let candidate = |(index, model): (usize, &GgufModel)| {
        let need = shape.need(model.bytes);
        let fits = available.map(|available| need.total() <= available);
        Candidate { index, need, is_estimate: shape.is_estimate(), mark: mark(model.weight_type.as_ref()), fits }
    };
    models.iter().enumerate().map(candidate).collect()
}

/// The one to take of `models`, which come the largest first: `wished`, where that fits, or else the best. `None` where the
/// engine can compute with none.
pub fn choose<'a>(
    models: &[GgufModel],
    candidates: &'a [Candidate],
    wished: Option<&WeightType>,
    available: Option<u64>,
) -> Option<&'a Candidate> {
    let kind = |candidate: &Candidate| models[candidate.index].weight_type.as_ref();
    let runnable: Vec<&Candidate> = candidates.iter().filter(|one| one.mark != TypeMark::NotComputed).collect();
    let fits = |candidate: &&&Candidate| candidate.fits != Some(false);
    let is_wished = |candidate: &&&Candidate| wished.is_some() && kind(candidate) == wished;
    if let Some(wished) = runnable.iter().filter(is_wished).find(fits) {
        return Some(wished);
    }
    // No larger one than was wished for: it would fit even less.
    let limit = runnable.iter().find(is_wished).map(|candidate| candidate.need.weights);
    let allowed = |candidate: &&&Candidate| limit.is_none_or(|limit| candidate.need.weights < limit);
    let is_float = |candidate: &&Candidate| kind(candidate).is_some_and(WeightType::is_float);
    let leaves_half =
        |candidate: &&Candidate| available.is_none_or(|available| candidate.need.total() <= available / 2);
    let fitting: Vec<&Candidate> = runnable.iter().filter(allowed).filter(fits).copied().collect();
    let best = |test: &dyn Fn(&&Candidate) -> bool| {
        // What may hold formats that cannot be computed with is taken where nothing else is there.
        let plain = fitting.iter().find(|one| one.mark == TypeMark::Computed && test(one));
        plain.or_else(|| fitting.iter().find(|one| test(one))).copied()
    };
    best(&|one| !is_float(one) && leaves_half(one))
        .or_else(|| best(&|one| !is_float(one)))
        .or_else(|| best(&|_| true))
        .or_else(|| runnable.last().copied())
}

/// `Q4_K_M: 1.2 of 5.4 GB of memory`, with what does not fit said so; "about" where it is an estimate.
pub fn line(label: &str, need: &MemoryNeed, is_estimate: bool, available: Option<u64>) -> String {
    let total = amount(need, is_estimate);
    match available {
        None => format!("{label}: {total} of memory with a context of {CONTEXT}"),
        Some(available) if need.total() > available => {
            format!("{label}: needs {total} of memory with a context of {CONTEXT}, {} are free", bytes_text(available))
        }
        Some(available) => {
            format!("{label}: {total} of {} of memory with a context of {CONTEXT}", bytes_text(available))
        }
    }
}

#[cfg(test)]
mod tests;
