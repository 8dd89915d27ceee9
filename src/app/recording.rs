//! What is noted of a reply while it is made.

use super::loading::Engine;
use super::open_chat::OpenChat;
use super::records::Making;
use super::setup::Setup;
use super::template::describe_template;
use crate::chat::provenance::{Alternative, Machine, ModelIdentity, Passage, PromptRecord};
use crate::chat::{MessageId, Provenance};
use crate::worker::protocol::{EngineEvent, FinishReason, GenerationStats, RequestId, TokenTrace, answers, of_loading};
use gibber_engine::SamplingParams;

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
        setup.keep_in(&mut self.session.record.settings);
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
            EngineEvent::Began { id, variant, stats, .. } => {
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
