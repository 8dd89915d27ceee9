//! How replies come to be, noted as the engine tells it: what is stored with each of them.

use std::sync::Arc;
use std::time::Duration;

use super::ReplySummary;
use crate::chat::provenance::{Cost, Ending, Machine, ModelIdentity, Passage};
use crate::chat::{MessageId, Node, Provenance};
use crate::worker::protocol::{FinishReason, GenerationStats, RequestId, Steer};
use gibber_engine::SamplingParams;
use gibber_engine::load::ModelInfo;

/// Tokens that may be chosen and never told: those of a character that is not whole, or of a stop text.
const HELD_BACK: usize = 256;

/// The replies of a chat that are being made.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) making: Vec<Making>,
}

/// A reply, or more of one, on its way.
#[derive(Debug)]
pub(super) struct Making {
    pub(super) request: RequestId,
    pub(super) variant: usize,
    /// Its message, from its first token on.
    pub(super) message: Option<MessageId>,
    /// What is known of what it begins with.
    pub(super) base: Provenance,
    pub(super) model: ModelIdentity,
    pub(super) passage: Passage,
    pub(super) name: Option<String>,
}

impl Making {
    pub(super) fn provenance(&self) -> Provenance {
        let mut whole = self.base.clone();
        if whole.model != self.model {
            let former = std::mem::replace(&mut whole.model, self.model.clone());
            for passage in &mut whole.passages {
                passage.model.get_or_insert_with(|| former.clone());
            }
        }
        whole.passages.push(self.passage.clone());
        whole.variant = self.name.clone().or(whole.variant);
        whole.perplexity = None;
        whole
    }

    /// The model and the machine, as they are known once it is computed.
    pub(super) fn made_by(&mut self, model: &ModelInfo) {
        self.model = ModelIdentity {
            name: model.name.clone(),
            hash: model.hash.clone(),
            format: model.format.clone(),
            path: model.path.display().to_string(),
        };
        self.passage.machine = Machine {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            isa: model.isa.clone(),
            cache: model.cache.to_string(),
            quantize: self.passage.machine.quantize.take(),
            context: model.context,
            batch: model.batch,
        };
    }

    pub(super) fn on_began(&mut self, stats: &GenerationStats) {
        self.passage.seed = stats.seed;
        // What was open when it was asked for is known by now.
        if let [(0, sampling), ..] = &stats.sampling_log[..] {
            self.passage.sampling = vec![(0, sampling.into())];
        }
        let prompt = &mut self.passage.prompt;
        prompt.tokens = stats.prompt_tokens;
        prompt.hash = format!("{:016x}", stats.prompt_hash);
        prompt.passes = stats.passes.runs().to_vec();
    }

    pub(super) fn on_ended(&mut self, reason: &FinishReason, stats: &GenerationStats) {
        self.passage.seed = stats.seed;
        self.passage.sampling =
            stats.sampling_log.iter().map(|(chosen, sampling)| (*chosen, sampling.into())).collect();
        let step = |(chosen, steer): &(usize, Steer)| match steer {
            Steer::Pick(token) => Some((*chosen, Some(*token))),
            Steer::TakeBack => Some((*chosen, None)),
            Steer::Draw => None,
        };
        self.passage.steps = stats.steer_log.iter().filter_map(step).collect();
        self.passage.ending = Some(ending(reason));
        self.passage.cost = Some(cost(stats));
    }
}

impl Records {
    pub(super) fn of(&mut self, request: RequestId, variant: usize) -> Option<&mut Making> {
        self.making.iter_mut().find(|making| making.request == request && making.variant == variant)
    }

    /// Those of all lanes of a request.
    pub(super) fn all_of(&mut self, request: RequestId) -> impl Iterator<Item = &mut Making> {
        self.making.iter_mut().filter(move |making| making.request == request)
    }

    /// What is known by now of a message that is being made.
    pub(super) fn unfinished(&self, message: MessageId) -> Option<Arc<Provenance>> {
        let making = self.making.iter().find(|making| making.message == Some(message))?;
        Some(Arc::new(making.provenance()))
    }

    /// Other filters were put in force after `tokens` tokens, as far as this end knows.
    pub(super) fn on_resampled(&mut self, request: RequestId, tokens: usize, sampling: &SamplingParams) {
        if let Some(making) = self.of(request, 0) {
            making.passage.sampling.push((tokens, sampling.into()));
        }
    }
}

/// How many tokens of a passage can have been chosen. A file may say anything: what is said to come later never does.
fn most_chosen(passage: &Passage) -> usize {
    passage.tokens.len().saturating_add(passage.steps.len()).saturating_add(HELD_BACK)
}

/// What a person did to the tokens of a passage, as the engine takes it.
pub(super) fn steers(passage: &Passage) -> Vec<(usize, Steer)> {
    let steps = passage.steps.iter().filter(|(at, _)| *at <= most_chosen(passage));
    steps.map(|(at, step)| (*at, step.map_or(Steer::TakeBack, Steer::Pick))).collect()
}

/// The filters of a passage, as far as they are known.
pub(super) fn samplings(passage: &Passage) -> Vec<(usize, SamplingParams)> {
    let samplings = passage.sampling.iter().filter(|(at, _)| *at <= most_chosen(passage));
    samplings.filter_map(|(at, sampling)| Some((*at, sampling.known()?.clone()))).collect()
}

fn ending(reason: &FinishReason) -> Ending {
    match reason {
        FinishReason::EndOfTurn => Ending::EndOfTurn,
        FinishReason::StopString(text) => Ending::StopText(text.clone()),
        FinishReason::Length => Ending::Length,
        FinishReason::Cancelled => Ending::Stopped,
        FinishReason::Context => Ending::Context,
    }
}

fn reason(ending: &Ending) -> FinishReason {
    match ending {
        Ending::EndOfTurn => FinishReason::EndOfTurn,
        Ending::StopText(text) => FinishReason::StopString(text.clone()),
        Ending::Length => FinishReason::Length,
        Ending::Stopped => FinishReason::Cancelled,
        Ending::Context => FinishReason::Context,
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Nothing for what no time can be.
fn duration(milliseconds: f64) -> Duration {
    Duration::try_from_secs_f64(milliseconds / 1e3).unwrap_or_default()
}

fn cost(stats: &GenerationStats) -> Cost {
    Cost {
        reused_tokens: stats.reused_tokens,
        ttft_ms: milliseconds(stats.time_to_first_token),
        prefill_ms: milliseconds(stats.prefill_time),
        decode_ms: milliseconds(stats.decode_time),
        forward_ms: milliseconds(stats.forward_time),
        sample_ms: milliseconds(stats.sample_time),
        paused_ms: milliseconds(stats.paused_time),
        drafted_tokens: stats.drafted_tokens,
        accepted_tokens: stats.accepted_tokens,
        picked_tokens: stats.picked_tokens,
    }
}

/// What the last passage of a stored reply cost, as it was shown when it ended; `None` where that is not known.
pub(super) fn summary_of(node: &Node) -> Option<ReplySummary> {
    let provenance = node.provenance.as_deref()?;
    let passage = provenance.passages.last().filter(|passage| passage.end.is_none())?;
    let (ending, cost) = (passage.ending.as_ref()?, passage.cost.as_ref()?);
    let stats = GenerationStats {
        prompt_tokens: passage.prompt.tokens,
        reused_tokens: cost.reused_tokens,
        completion_tokens: passage.tokens.len(),
        time_to_first_token: duration(cost.ttft_ms),
        prefill_time: duration(cost.prefill_ms),
        decode_time: duration(cost.decode_ms),
        forward_time: duration(cost.forward_ms),
        sample_time: duration(cost.sample_ms),
        paused_time: duration(cost.paused_ms),
        drafted_tokens: cost.drafted_tokens,
        accepted_tokens: cost.accepted_tokens,
        seed: passage.seed,
        sampling_log: samplings(passage),
        steer_log: steers(passage),
        picked_tokens: cost.picked_tokens,
        ..GenerationStats::default()
    };
    let perplexity = provenance.perplexity;
    let context = (passage.prompt.tokens.saturating_add(passage.tokens.len()), passage.machine.context);
    Some(ReplySummary { perplexity, context, ..ReplySummary::new(reason(ending), stats) })
}
