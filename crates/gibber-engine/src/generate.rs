//! The reply loop: prefill, then a token at a time until something ends it.
//!
//! It is synchronous and knows no channel: who runs it gives a [`Control`] that is told what happens, and asked between
//! two tokens whether anything has changed.

mod hold_back;
mod prompt_lookup;
mod steer;
mod trace;
mod variants;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::inference::{Inference, PrefillProgress};
use super::sampling::{Draw, Sampler, SamplingParams, log_softmax_stats, not_numbers};
use super::tokenizer::Tokenizer;
use super::{EngineError, TokenId};
use hold_back::HoldBack;
use prompt_lookup::Drafter;
pub use prompt_lookup::PromptLookup;
pub use steer::StepPoint;
pub use trace::{FinishReason, GenerationStats, Steer, TokenTrace};
pub use variants::{Variant, generate_variants};

/// What ends a reply, beside the model's own end token.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StopCondition {
    /// The most tokens; `None` for no limit but the context.
    pub max_tokens: Option<usize>,
    /// Texts that end the reply and are not part of it. Empty ones are passed over.
    pub texts: Vec<String>,
}

/// How a reply is generated.
#[derive(Debug, Clone)]
pub struct GenerateOptions {
    /// The filters at the start.
    pub sampling: SamplingParams,
    /// Of the draws; `sampling.seed` is not looked at.
    pub seed: u64,
    /// What ends it.
    pub stop: StopCondition,
    /// How many alternatives each token's trace lists.
    pub candidates: usize,
    /// Whether tokens are drafted from those before. It changes nothing but the time that the reply takes.
    pub lookup: PromptLookup,
    /// When the reply was asked for: the time to the first token counts from here.
    pub asked: Instant,
}

impl Default for GenerateOptions {
    /// The sampling of [`SamplingParams::default`], seed 0, no limit but the context, no alternatives, asked for now.
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            seed: 0,
            stop: StopCondition::default(),
            candidates: 0,
            lookup: PromptLookup::default(),
            asked: Instant::now(),
        }
    }
}

/// What the reply loop tells, and what it asks. A closure that takes each token is one, too.
pub trait Control {
    /// Prefill has come this far.
    fn on_prefill(&mut self, _progress: PrefillProgress) {}

    /// The prompt is computed, and the first token is chosen next: `stats` has the seed, and how the prompt was computed.
    fn on_start(&mut self, stats: &GenerationStats) {
        let _ = stats;
    }

    /// A token is certain. `context_used` counts the prompt and the reply up to it.
    fn on_token(&mut self, trace: TokenTrace, context_used: usize);

    /// Whether to stop. Asked before each token and each chunk of prefill.
    fn is_cancelled(&mut self) -> bool {
        false
    }

    /// New filters from the next token on, the one that is chosen after `chosen` others.
    fn new_sampling(&mut self, _chosen: usize) -> Option<SamplingParams> {
        None
    }

    /// The context is full with a reply of `reply` tokens: a shorter prompt to go on from, or `None` where there is
    /// none.
    ///
    /// # Errors
    /// Where the shorter prompt cannot be made.
    fn make_room(&mut self, _reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        Ok(None)
    }

    /// One of several replies has ended; told by [`generate_variants`] alone.
    fn on_end(&mut self, _reason: FinishReason, _stats: GenerationStats) {}

    /// Whether [`Control::steer`] may want tokens back: how each was chosen is kept for that.
    fn may_take_back(&self) -> bool {
        false
    }

    /// Whether a person was waited for in the last [`Control::steer`]: that is no time of the reply.
    fn has_waited(&self) -> bool {
        false
    }

    /// How the next token is chosen. It may wait for as long as a person thinks; `None` where something has changed
    /// meanwhile (the filters, or whether to stop), which is then asked for first.
    fn steer(&mut self, rest: &StepPoint<'_>) -> Option<Steer> {
        let _ = rest;
        Some(Steer::Draw)
    }

    /// Of the tokens that were told, only the first `tokens` are part of the reply any more.
    fn on_taken_back(&mut self, tokens: usize, context_used: usize) {
        let _ = (tokens, context_used);
    }
}

impl<F: FnMut(TokenTrace)> Control for F {
    fn on_token(&mut self, trace: TokenTrace, _context_used: usize) {
        self(trace);
    }
}

/// Generates a reply to `prompt`. Afterwards the cache of `inference` holds no more than the prompt and the reply.
///
/// End tokens end the reply and are no part of it. A token that was cut by a stop text belongs to the reply where any of
/// its text does.
///
/// # Errors
/// Those of [`Inference::prefill`] and of [`Control::make_room`]; [`EngineError::Invalid`] where the model computes
/// nothing that is a number. Tokens that were told stay told.
pub fn generate(
    inference: &mut Inference,
    tokenizer: &Tokenizer,
    prompt: Vec<TokenId>,
    options: &GenerateOptions,
    control: &mut dyn Control,
) -> Result<(FinishReason, GenerationStats), EngineError> {
    let mut reply = Reply::new(inference, tokenizer, prompt, options, control);
    let reason = reply.run();
    reply.finish();
    Ok((reason?, reply.stats))
}

/// The 64 bits of FNV-1a (Fowler, Noll and Vo) over the ids.
fn hash(tokens: &[TokenId]) -> u64 {
    let bytes = tokens.iter().flat_map(|token| token.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A reply in the making.
struct Reply<'a> {
    inference: &'a mut Inference,
    tokenizer: &'a Tokenizer,
    options: &'a GenerateOptions,
    control: &'a mut dyn Control,
    sampler: Sampler,
    drafter: Drafter,
    hold: HoldBack,
    /// What the cache is to hold: the prompt, then what was drawn.
    sequence: Vec<TokenId>,
    /// How much of it is the prompt.
    prompt: usize,
    /// How each token of the reply was chosen, where some may be taken back.
    traces: Vec<TokenTrace>,
    /// The logits after the prompt, to come back to; empty where they are not kept.
    first_logits: Vec<f32>,
    /// Tokens that were chosen, those that were taken back included.
    chosen: usize,
    /// When the time was last shared out.
    lap: Instant,
    /// When the first token was drawn, and how long the reply had been at rest by then.
    first_token: Option<(Instant, Duration)>,
    stats: GenerationStats,
}

impl<'a> Reply<'a> {
    fn new(
        inference: &'a mut Inference,
        tokenizer: &'a Tokenizer,
        mut prompt: Vec<TokenId>,
        options: &'a GenerateOptions,
        control: &'a mut dyn Control,
    ) -> Self {
        let context = inference.context();
        let stats = GenerationStats {
            prompt_tokens: prompt.len(),
            prompt_hash: hash(&prompt),
            seed: options.seed,
            sampling_log: vec![(0, options.sampling.clone())],
            ..GenerationStats::default()
        };
        // The last token is drawn from a full context.
        let room = (context + 1).saturating_sub(prompt.len());
        let prompt_tokens = prompt.len();
        let hold = HoldBack::new(tokenizer.decode_stream(&prompt), &options.stop.texts);
        prompt.reserve(room);
        Self {
            inference,
            tokenizer,
            options,
            control,
            sampler: Sampler::new(options.sampling.clone(), options.seed),
            drafter: Drafter::new(options.lookup, context),
            hold,
            prompt: prompt_tokens,
            sequence: prompt,
            traces: Vec::new(),
            first_logits: Vec::new(),
            chosen: 0,
            lap: Instant::now(),
            first_token: None,
            stats,
        }
    }

    fn run(&mut self) -> Result<FinishReason, EngineError> {
        let mut end = self.start()?;
        loop {
            if let Some(reason) = end {
                return Ok(reason);
            }
            end = self.step()?;
        }
    }

    /// Computes the prompt.
    fn start(&mut self) -> Result<Option<FinishReason>, EngineError> {
        let started = Instant::now();
        let progress = self.prefill()?;
        self.stats.prefill_time = started.elapsed();
        self.stats.reused_tokens = progress.reused;
        self.stats.passes = self.inference.passes().clone();
        self.keep_first_logits();
        self.control.on_start(&self.stats);
        Ok((progress.done < progress.total).then_some(FinishReason::Cancelled))
    }

    /// Goes on by a token, unless something ends the reply.
    fn step(&mut self) -> Result<Option<FinishReason>, EngineError> {
        if let Some(reason) = self.make_ready()? {
            return Ok(Some(reason));
        }
        if let Some(last) = self.due() {
            self.push(last)?;
        }
        self.stats.forward_time += lap(&mut self.lap);
        self.go_on()
    }

    /// Up to the pass for the next token, which has room then, unless something ends the reply.
    fn make_ready(&mut self) -> Result<Option<FinishReason>, EngineError> {
        if self.control.is_cancelled() {
            return Ok(Some(FinishReason::Cancelled));
        }
        self.lap = Instant::now();
        if self.options.stop.max_tokens.is_some_and(|most| self.drawn() >= most) {
            return Ok(Some(FinishReason::Length));
        }
        match self.due() {
            Some(_) if self.sequence.len() > self.inference.context() => self.make_room(),
            _ => Ok(None),
        }
    }

    /// The token that was drawn last, where it is not in the cache yet: the logits after it are what the next one takes.
    fn due(&self) -> Option<TokenId> {
        self.sequence.last().copied().filter(|_| self.inference.held().len() < self.sequence.len())
    }

    /// Chooses the next token; its logits are there.
    fn go_on(&mut self) -> Result<Option<FinishReason>, EngineError> {
        self.update_sampling();
        if self.control.may_take_back() {
            self.check_numbers()?;
        }
        match self.steer() {
            Some(steer) => self.follow(steer),
            None => Ok(None),
        }
    }

    /// Does what was asked for. What a person's token takes beside the pass for it is the time of sampling.
    fn follow(&mut self, steer: Steer) -> Result<Option<FinishReason>, EngineError> {
        let picked = match steer {
            Steer::TakeBack => {
                self.take_back();
                return Ok(None);
            }
            Steer::Pick(token) if token as usize >= self.inference.model().config().vocab_size => return Ok(None),
            Steer::Pick(token) => Some(token),
            Steer::Draw => None,
        };
        let reason = self.choose(picked)?;
        self.stats.sample_time += lap(&mut self.lap);
        self.note_time();
        Ok(reason)
    }

    /// Tokens drawn so far.
    fn drawn(&self) -> usize {
        self.sequence.len() - self.prompt
    }

    fn prefill(&mut self) -> Result<PrefillProgress, EngineError> {
        let control = &mut *self.control;
        if control.is_cancelled() {
            return Ok(PrefillProgress { reused: 0, done: 0, total: self.sequence.len().max(1) });
        }
        self.inference.prefill(&self.sequence, &mut |progress| {
            control.on_prefill(progress);
            if control.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    /// The context is full: goes on from a shorter prompt, and computes it and the reply so far.
    fn make_room(&mut self) -> Result<Option<FinishReason>, EngineError> {
        let reply = self.drawn();
        let Some(shorter) = self.control.make_room(reply)?.filter(|p| p.len() + reply < self.inference.context())
        else {
            return Ok(Some(FinishReason::Context));
        };
        self.sequence.splice(..self.prompt, shorter.iter().copied());
        self.prompt = shorter.len();
        self.first_logits.clear();
        self.drafter.restart();
        let progress = self.prefill()?;
        self.stats.forward_time += lap(&mut self.lap);
        Ok((progress.done < progress.total).then_some(FinishReason::Cancelled))
    }

    /// Computes the logits after `last`, in one pass with what may come then; nothing where it was drafted itself.
    fn push(&mut self, last: TokenId) -> Result<(), EngineError> {
        self.drafter.follow(&self.sequence);
        if self.inference.has_drafted(last) {
            self.stats.accepted_tokens += 1;
            return self.inference.push(last);
        }
        let room = self.inference.context() - self.sequence.len();
        // A pass gives one draw more than the draft is long.
        let wanted = self.options.stop.max_tokens.map_or(room, |most| most.saturating_sub(self.drawn() + 1));
        let (eos, pace) = (self.tokenizer.eos_tokens(), self.inference.pace());
        let draft = self.drafter.draft(&self.sequence, room.min(wanted), eos, pace);
        self.stats.drafted_tokens += draft.len();
        self.inference.push_with_draft(last, draft)
    }

    /// Draws a token, or takes the one that was picked, and lets out what is certain by it.
    fn choose(&mut self, picked: Option<TokenId>) -> Result<Option<FinishReason>, EngineError> {
        let trace = self.next_trace(picked)?;
        if let Some(token) = picked {
            self.stats.steer_log.push((self.chosen, Steer::Pick(token)));
        }
        self.chosen += 1;
        let token = trace.token;
        if self.tokenizer.eos_tokens().contains(&token) {
            return Ok(Some(FinishReason::EndOfTurn));
        }
        self.sequence.push(token);
        if self.control.may_take_back() {
            self.traces.push(trace.clone());
        }
        let stopped = self.hold.push(trace, self.tokenizer.token_bytes(token));
        while let Some(trace) = self.hold.next_certain() {
            self.emit(trace);
        }
        Ok(stopped.map(FinishReason::StopString))
    }

    /// The next token, without its text.
    fn next_trace(&mut self, picked: Option<TokenId>) -> Result<TokenTrace, EngineError> {
        let logits = self.inference.logits().ok_or_else(|| self.not_numbers(&[]))?;
        let draw = match picked {
            None => self.sampler.draw(logits, self.inference.held(), self.tokenizer),
            Some(token) => self.sampler.take(token, logits, self.inference.held(), self.tokenizer),
        };
        let draw = draw.ok_or_else(|| self.not_numbers(logits))?;
        let (candidates, kept_mass) = match self.options.candidates {
            0 => (Vec::new(), 1.0),
            n => {
                let candidates = self.sampler.candidates(logits, n, |token| self.tokenizer.piece(token));
                (candidates, self.sampler.kept_mass(logits))
            }
        };
        let Draw { token, logprob, entropy, rank } = draw;
        let (text, picked) = (String::new(), picked.is_some());
        Ok(TokenTrace { token, text, logprob, entropy, rank, kept_mass, candidates, picked })
    }

    fn not_numbers(&self, logits: &[f32]) -> EngineError {
        not_numbers(logits, self.sequence.len(), self.inference.file(), |token| self.tokenizer.piece(token))
    }

    /// Nobody is to be shown, or asked about, a distribution that is none.
    fn check_numbers(&self) -> Result<(), EngineError> {
        match self.inference.logits() {
            Some(logits) if !log_softmax_stats(logits).are_numbers() => Err(self.not_numbers(logits)),
            _ => Ok(()),
        }
    }

    fn update_sampling(&mut self) {
        if let Some(sampling) = self.control.new_sampling(self.chosen) {
            self.stats.sampling_log.push((self.chosen, sampling.clone()));
            self.sampler.set_params(sampling);
        }
    }

    /// A token was chosen, at the end of the last lap. What a person takes to think is no time of the reply.
    fn note_time(&mut self) {
        let (now, rest) = (self.lap, self.stats.paused_time);
        match self.first_token {
            None => {
                self.first_token = Some((now, rest));
                self.stats.time_to_first_token = (now - self.options.asked).saturating_sub(rest);
            }
            Some((first, before)) => self.stats.decode_time = (now - first).saturating_sub(rest - before),
        }
    }

    fn emit(&mut self, trace: TokenTrace) {
        self.stats.completion_tokens += 1;
        self.stats.picked_tokens += usize::from(trace.picked);
        self.control.on_token(trace, self.prompt + self.stats.completion_tokens);
    }

    /// Lets out what is left, and cuts the cache to the prompt and the reply.
    fn finish(&mut self) {
        let rest: Vec<TokenTrace> = self.hold.finish().collect();
        rest.into_iter().for_each(|trace| self.emit(trace));
        self.inference.truncate(self.prompt + self.stats.completion_tokens);
    }
}

/// The time since `since`, which is now from here on.
fn lap(since: &mut Instant) -> Duration {
    let now = Instant::now();
    now - std::mem::replace(since, now)
}

#[cfg(test)]
mod tests;
