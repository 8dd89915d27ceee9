//! How replies come to be, noted as the engine tells it: what is stored with each of them.

use std::sync::Arc;
use std::time::Duration;

use super::ReplySummary;
use super::loading::Engine;
use super::open_chat::OpenChat;
use super::run_command::describe_template;
use super::setup::Setup;
use crate::chat::provenance::{Alternative, Cost, Ending, Machine, ModelIdentity, Passage, PromptRecord};
use crate::chat::{MessageId, Node, Provenance};
use crate::worker::protocol::{
    EngineEvent, FinishReason, GenerationStats, RequestId, Steer, TokenTrace, answers, of_loading,
};
use gibber_engine::SamplingParams;
use gibber_engine::load::ModelInfo;

/// Tokens that may be chosen and never told: those of a character that is not whole, or of a stop text.
const HELD_BACK: usize = 256;

/// The replies of a chat that are being made.
#[derive(Debug, Default)]
pub(super) struct Records {
    making: Vec<Making>,
}

/// A reply, or more of one, on its way.
#[derive(Debug)]
struct Making {
    request: RequestId,
    variant: usize,
    /// Its message, from its first token on.
    message: Option<MessageId>,
    /// What is known of what it begins with.
    base: Provenance,
    model: ModelIdentity,
    passage: Passage,
    name: Option<String>,
}

impl Making {
    fn provenance(&self) -> Provenance {
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
    fn made_by(&mut self, model: &ModelInfo) {
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

    fn on_began(&mut self, stats: &GenerationStats) {
        self.passage.seed = stats.seed;
        let prompt = &mut self.passage.prompt;
        prompt.tokens = stats.prompt_tokens;
        prompt.hash = format!("{:016x}", stats.prompt_hash);
        prompt.passes = stats.passes.runs().to_vec();
    }

    fn on_ended(&mut self, reason: &FinishReason, stats: &GenerationStats) {
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
    fn of(&mut self, request: RequestId, variant: usize) -> Option<&mut Making> {
        self.making.iter_mut().find(|making| making.request == request && making.variant == variant)
    }

    /// Those of all lanes of a request.
    fn all_of(&mut self, request: RequestId) -> impl Iterator<Item = &mut Making> {
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

/// What is asked for, of which a record is made.
pub(super) struct Asked<'a> {
    pub(super) request: RequestId,
    pub(super) variant: usize,
    /// What it is called in a comparison.
    pub(super) name: Option<&'a str>,
    pub(super) sampling: &'a SamplingParams,
    /// The message that it goes on with.
    pub(super) continued: Option<MessageId>,
    /// Bytes that a message which is still to come begins with, as they were given for it.
    pub(super) begin: usize,
}

impl OpenChat {
    /// A reply is asked for.
    pub(super) fn begin_record(&mut self, asked: &Asked<'_>, setup: &Setup) {
        let kept = &mut self.session.record.settings;
        kept.sampling = Some((&setup.sampling).into());
        kept.template = Some(describe_template(&setup.template));
        let continued = asked.continued.and_then(|id| self.session.transcript.node(id));
        let start = continued.map_or(asked.begin, |node| node.message.content.len());
        let quantize = &setup.settings.model.quantize;
        let passage = Passage {
            start,
            is_continued: start > 0,
            machine: Machine { quantize: (!quantize.is_empty()).then(|| quantize.clone()), ..Machine::default() },
            prompt: PromptRecord {
                system: self.session.record.system.clone(),
                template: describe_template(&setup.template),
                thinking: setup.thinking(),
                ..PromptRecord::default()
            },
            max_tokens: setup.max_tokens(),
            stop: setup.settings.chat.stop.clone(),
            sampling: vec![(0, asked.sampling.into())],
            ..Passage::default()
        };
        let base = continued.and_then(|node| node.provenance.as_deref().cloned()).unwrap_or_default();
        self.session.records.making.push(Making {
            request: asked.request,
            variant: asked.variant,
            message: asked.continued,
            base,
            model: ModelIdentity::default(),
            passage,
            name: asked.name.map(str::to_owned),
        });
    }

    /// Notes what the engine tells of a reply; before anything else is made of it, since a reply that has ended is written.
    pub(super) fn record(&mut self, event: &EngineEvent, engine: &Engine) {
        let records = &mut self.session.records;
        let add = |making: Option<&mut Making>, trace: &TokenTrace| {
            if let Some(making) = making {
                making.passage.tokens.push(trace.token);
            }
        };
        match event {
            // Told before the first token, and again where the context has filled up on the way.
            EngineEvent::TurnsDropped { id, messages } => records
                .all_of(*id)
                .filter(|making| making.passage.prompt.tokens == 0)
                .for_each(|making| making.passage.prompt.left_out = messages.len()),
            EngineEvent::ThoughtOpened { id, opening } => records
                .all_of(*id)
                .filter(|making| !making.passage.is_continued)
                .for_each(|making| making.passage.start = opening.len()),
            EngineEvent::Began { id, variant, stats } => {
                if let Some(making) = records.of(*id, *variant) {
                    making.on_began(stats);
                    engine.model.iter().for_each(|model| making.made_by(model));
                }
            }
            EngineEvent::Token { id, trace, .. } => add(records.of(*id, 0), trace),
            EngineEvent::VariantToken { id, variant, trace, .. } => add(records.of(*id, *variant), trace),
            EngineEvent::TakenBack { id, tokens, .. } => {
                if let Some(making) = records.of(*id, 0) {
                    making.passage.tokens.truncate(*tokens);
                }
            }
            EngineEvent::Finished { id, reason, stats, .. } => self.end_record(*id, 0, Some((reason, stats)), engine),
            EngineEvent::VariantFinished { id, variant, reason, stats } => {
                self.end_record(*id, *variant, Some((reason, stats)), engine);
            }
            EngineEvent::Failed { id, .. } => {
                let variants: Vec<usize> = records.all_of(*id).map(|making| making.variant).collect();
                variants.into_iter().for_each(|variant| self.end_record(*id, variant, None, engine));
            }
            EngineEvent::Adapted { .. }
            | EngineEvent::PromptFault { .. }
            | EngineEvent::PrefillProgress { .. }
            | EngineEvent::Paused { .. }
            | EngineEvent::Resumed { .. }
            | EngineEvent::Compared { .. }
            | of_loading!()
            | answers!()
            | EngineEvent::WorkerDied { .. } => {}
        }
    }

    /// Which messages the replies at work have become.
    pub(super) fn bind_records(&mut self) {
        let records = &mut self.session.records;
        let mut bind = |request, variant, message: Option<MessageId>| {
            if let Some(making) = records.of(request, variant) {
                making.message = message;
            }
        };
        if let Some(generation) = &self.generation {
            bind(generation.id, 0, generation.message);
        }
        if let Some(comparison) = &self.comparison {
            for (at, variant) in comparison.variants.iter().enumerate() {
                bind(comparison.id, at, variant.message);
            }
        }
    }

    fn end_record(
        &mut self,
        request: RequestId,
        variant: usize,
        end: Option<(&FinishReason, &GenerationStats)>,
        engine: &Engine,
    ) {
        let making = &mut self.session.records.making;
        let Some(at) = making.iter().position(|making| making.request == request && making.variant == variant) else {
            return;
        };
        let mut making = making.swap_remove(at);
        let Some(message) = making.message else { return };
        if let Some((reason, stats)) = end {
            making.on_ended(reason, stats);
        }
        if making.model.name.is_empty() {
            engine.model.iter().for_each(|model| making.made_by(model));
        }
        let perplexity = self.replies.perplexity(message);
        self.session.transcript.set_provenance(message, Provenance { perplexity, ..making.provenance() });
    }

    /// Says of a reply that begins as another did, and goes on from `start` with another token, how it came to be.
    pub(super) fn record_alternative(&mut self, from: MessageId, to: MessageId, alternative: Alternative) {
        let former = self.session.transcript.node(from).and_then(|node| node.provenance.as_deref());
        let mut provenance = former.map(|former| former.beginning(alternative.start)).unwrap_or_default();
        provenance.alternatives.push(alternative);
        self.session.transcript.set_provenance(to, provenance);
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
