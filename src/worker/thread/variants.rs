//! `Compare`: one prompt, several replies at a time.

use std::cell::RefCell;
use std::time::Instant;

use super::{Worker, check, emit_fault, emit_remarks, options_of, shorter};
use crate::worker::eager_prefill::answer_measures;
use crate::worker::loaded::{Loaded, Reader, RequestError, Source};
use crate::worker::mailbox::Mailbox;
use crate::worker::protocol::{
    EngineEvent, FinishReason, GenerationParams, GenerationStats, Prompt, ReplyRef, RequestId, TokenTrace,
};
use gibber_engine::generate::{Control, Variant, generate_variants};
use gibber_engine::inference::PrefillProgress;
use gibber_engine::sampling::{Dice, SamplingParams};
use gibber_engine::{EngineError, TokenId};

impl Worker {
    pub(super) fn compare(
        &mut self,
        id: RequestId,
        prompt: &Prompt,
        mut variants: Vec<GenerationParams>,
    ) -> Result<EngineEvent, RequestError> {
        let asked = Instant::now();
        variants.iter().try_for_each(|variant| check(&variant.sampling))?;
        let Self { mailbox, loaded, draws, .. } = self;
        let loaded = loaded.as_mut().ok_or(RequestError::NoModel)?;
        let longest = variants.iter().map(|variant| variant.max_tokens.unwrap_or(usize::MAX)).max().unwrap_or(1);
        let (source, tokens) = loaded.reader.request(prompt, Some(longest))?;
        for variant in &mut variants {
            let sampling = std::mem::take(&mut variant.sampling);
            variant.sampling = loaded.reader.sampling(sampling, &variant.open, &source)?;
        }
        loaded.prune_forks(&tokens);
        emit_fault(mailbox, id, loaded.reader.new_fault(&source)?);
        let Loaded { inference, variants: left, reader } = loaded;
        emit_remarks(mailbox, id, reader.remarks(&source)?);
        let mailbox = RefCell::new(mailbox);
        let variant = |(variant, params)| {
            let source = source.clone();
            let options = options_of(params, &source, asked);
            let control =
                ActiveVariant { id, variant, mailbox: &mailbox, reader, source, emitted: None, dice: Dice::default() };
            Variant { options, control }
        };
        let mut variants: Vec<_> = variants.into_iter().enumerate().map(variant).collect();
        if let Some(first) = variants.first() {
            first.control.emit_dropped();
        }
        let outcome = generate_variants(inference, &reader.tokenizer, tokens, &mut variants);
        let emitted: Vec<(Option<usize>, Dice)> =
            variants.iter().map(|variant| (variant.control.emitted, variant.control.dice)).collect();
        let first = variants.into_iter().next().map(|variant| variant.control.source);
        if let Some(source) = first {
            reader.remember(&source);
        }
        *left = outcome?;
        let of_variants = std::iter::once(&*inference).chain(&*left);
        for (variant, (inference, (emitted, dice))) in of_variants.zip(emitted).enumerate() {
            draws.keep(ReplyRef { request: id, variant }, inference, emitted, dice);
        }
        Ok(EngineEvent::Compared { id, context_used: inference.held().len() })
    }
}

/// A lane at work, as the reply loop sees the world.
struct ActiveVariant<'a, 'p> {
    id: RequestId,
    variant: usize,
    /// Shared by the lanes, of which one is at work at a time.
    mailbox: &'a RefCell<&'a mut Mailbox>,
    reader: &'a Reader,
    source: Source<'p>,
    /// Tokens in its context with the last one that was told.
    emitted: Option<usize>,
    /// The random numbers of that token, once the lane has ended.
    dice: Dice,
}

impl ActiveVariant<'_, '_> {
    fn emit(&self, event: EngineEvent) {
        self.mailbox.borrow().emit(event);
    }

    fn emit_dropped(&self) {
        let messages = self.source.dropped();
        if !messages.is_empty() {
            self.emit(EngineEvent::TurnsDropped { id: self.id, messages });
        }
    }
}

impl Control for ActiveVariant<'_, '_> {
    fn on_prefill(&mut self, PrefillProgress { reused, done, total }: PrefillProgress) {
        self.emit(EngineEvent::PrefillProgress { id: self.id, reused, done, total });
    }

    fn on_start(&mut self, stats: &GenerationStats) {
        self.emit(EngineEvent::Began {
            id: self.id,
            variant: self.variant,
            stats: Box::new(stats.clone()),
            recorded: Vec::new(),
        });
    }

    fn on_token(&mut self, trace: TokenTrace, context_used: usize) {
        self.emitted = Some(context_used);
        self.emit(EngineEvent::VariantToken { id: self.id, variant: self.variant, trace, context_used });
    }

    fn is_cancelled(&mut self) -> bool {
        let mailbox = &mut *self.mailbox.borrow_mut();
        answer_measures(mailbox, self.reader, self.id);
        mailbox.is_variant_cancelled(self.id, self.variant)
    }

    fn new_sampling(&mut self, _tokens: usize) -> Option<SamplingParams> {
        None
    }

    fn make_room(&mut self, reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        let tokens = shorter(self.reader, &mut self.source, reply)?;
        if tokens.is_some() {
            self.emit_dropped();
        }
        Ok(tokens)
    }

    fn on_end(&mut self, reason: FinishReason, stats: GenerationStats) {
        self.dice = stats.last_dice();
        self.emit(EngineEvent::VariantFinished { id: self.id, variant: self.variant, reason, stats });
    }
}
