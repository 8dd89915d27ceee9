//! The engine's thread: takes one command after the other, and gives each exactly one closing event.

mod replaying;
mod steering;
mod variants;

use std::any::Any;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::WorkerHandle;
use super::eager_prefill::{self, FIRST_CHUNK};
use super::last_draws::LastDraws;
use super::loaded::{Loaded, Reader, RequestError, Source};
use super::mailbox::Mailbox;
use super::places::PromptPlace;
use super::protocol::{
    EngineCommand, EngineEvent, GenerationParams, LoadParams, ModelPlace, Prompt, PromptFault, PromptToken, ReplyRef,
    RequestId, TokenTrace,
};
use crate::chat::template::{Adaptation, Rendered, Sandbox};
use gibber_engine::generate::{
    Control, FinishReason, GenerateOptions, GenerationStats, Steer, StepPoint, StopCondition, generate,
};
use gibber_engine::inference::PrefillProgress;
use gibber_engine::load::{LoadOptions, LoadedModel, MemoryProbe, ModelSource, load};
use gibber_engine::sampling::{self, KnownModel, SamplingParams, Situation, fresh_seed};
use gibber_engine::score::{score, score_prompt};
use gibber_engine::{EngineError, TokenId};
use replaying::Replaying;
use steering::StepState;

/// Tokens of a prompt that are scored between two words of it.
const PROGRESS_STEP: usize = 16;

/// What the engine's thread is started with, and no command says.
#[derive(Debug)]
pub struct Resources {
    /// Where the templates of models and files run.
    pub sandbox: Sandbox,
    /// The model that is in the executable, for [`ModelPlace::Embedded`].
    pub embedded: Option<ModelSource>,
    /// How much memory there is.
    pub memory: MemoryProbe,
}

impl From<Sandbox> for Resources {
    fn from(sandbox: Sandbox) -> Self {
        Self { sandbox, embedded: None, memory: MemoryProbe::default() }
    }
}

impl WorkerHandle {
    /// Starts the engine's thread, with no model loaded.
    pub fn spawn(resources: impl Into<Resources>) -> Self {
        let resources = resources.into();
        let (command_tx, command_rx) = unbounded();
        let (event_tx, event_rx) = unbounded();
        let thread = std::thread::spawn(move || main(command_rx, event_tx, resources));
        Self::new(command_tx, event_rx, thread)
    }
}

/// The thread.
fn main(commands: Receiver<EngineCommand>, events: Sender<EngineEvent>, resources: Resources) {
    let worker = Worker {
        mailbox: Mailbox::new(commands, events.clone()),
        loaded: None,
        origin: None,
        draws: LastDraws::default(),
        chunk: FIRST_CHUNK,
        resources,
    };
    with_last_word(&events, || worker.run());
}

/// Runs the thread. Panics of a request are caught further in; one that gets here ends the thread, with a word of it.
fn with_last_word(events: &Sender<EngineEvent>, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        let _ = events.send(EngineEvent::WorkerDied { error: describe_panic(panic.as_ref()) });
    }
}

struct Worker {
    mailbox: Mailbox,
    loaded: Option<Loaded>,
    /// Where the loaded model came from, to have it again.
    origin: Option<Origin>,
    /// What the last tokens of replies were drawn from.
    draws: LastDraws,
    /// How many tokens of a prompt are computed ahead in one go.
    chunk: usize,
    resources: Resources,
}

/// A model that is loaded: where it is, how it runs, and the bytes of its weights.
struct Origin {
    source: ModelSource,
    options: LoadOptions,
    bytes: u64,
    known: Vec<KnownModel>,
}

impl Worker {
    fn run(mut self) {
        while let Some(command) = self.mailbox.next() {
            let Some(id) = command.request() else { continue };
            let sandbox = self.resources.sandbox.clone();
            let watch = sandbox.watch(self.mailbox.watcher(&[id]));
            let outcome = catch_unwind(AssertUnwindSafe(|| self.carry_out(command)));
            drop(watch);
            let closing = match outcome {
                Ok(Ok(event)) => event,
                Ok(Err(error)) => EngineEvent::Failed { id, error: error.to_string() },
                Err(panic) => {
                    // Half a forward pass may be in the cache.
                    if let Some(loaded) = &mut self.loaded {
                        loaded.inference.truncate(0);
                        loaded.variants.clear();
                    }
                    EngineEvent::Failed { id, error: describe_panic(panic.as_ref()) }
                }
            };
            self.mailbox.emit(closing);
        }
        for id in self.mailbox.drain() {
            self.mailbox.emit(EngineEvent::Failed { id, error: "the program is ending".into() });
        }
    }

    /// Carries out a command and returns its closing event.
    fn carry_out(&mut self, command: EngineCommand) -> Result<EngineEvent, RequestError> {
        match command {
            EngineCommand::Load { id, place, params } => self.load(id, place, params),
            EngineCommand::Generate { id, prompt, params } => {
                let outcome = self.generate(id, &prompt, params);
                self.or_cancelled(id, outcome)
            }
            EngineCommand::Compare { id, prompt, variants } => self.compare(id, &prompt, variants),
            EngineCommand::Preview { id, of, sampling, candidates } => self.preview(id, of, &sampling, candidates),
            EngineCommand::Score { id, text } => self.score(id, &text),
            EngineCommand::ScorePrompt { id, prompt, from, candidates } => {
                self.score_prompt(id, &prompt, from, candidates)
            }
            EngineCommand::Count { id, prompt, max_tokens } => count(&self.loaded()?.reader, id, &prompt, max_tokens),
            EngineCommand::Prefill { id, prompt, max_tokens } => self.prefill(id, &prompt, max_tokens),
            EngineCommand::DescribeTemplate { id, template } => {
                let (can_switch_thinking, thinks) = self.loaded()?.reader.describe_thinking(&template)?;
                Ok(EngineEvent::TemplateDescribed { id, can_switch_thinking, thinks })
            }
            EngineCommand::Measure { id, prompt, draft, max_tokens } => {
                let parts = self.loaded()?.reader.measure(&prompt, draft, max_tokens)?;
                Ok(EngineEvent::Measured { id, parts })
            }
            // None of these opens a request.
            EngineCommand::SetSampling { .. }
            | EngineCommand::Pause { .. }
            | EngineCommand::Resume { .. }
            | EngineCommand::Steer { .. }
            | EngineCommand::Cancel { .. }
            | EngineCommand::CancelVariant { .. }
            | EngineCommand::Shutdown => Err(RequestError::Cancelled),
        }
    }

    fn loaded(&mut self) -> Result<&mut Loaded, RequestError> {
        self.loaded.as_mut().ok_or(RequestError::NoModel)
    }

    fn load(&mut self, id: RequestId, place: ModelPlace, params: LoadParams) -> Result<EngineEvent, RequestError> {
        let options = &params.options(self.resources.memory);
        let source = &self.source(place)?;
        if let Some(loaded) = &mut self.loaded {
            loaded.variants.clear();
        }
        // The model in use stays until the new one is there, so that nothing is lost where it cannot be loaded; unless
        // there is no memory for both, as long a context as the new one has alone included.
        let first = LoadOptions { may_shrink: options.may_shrink && self.loaded.is_none(), ..options.clone() };
        let mut model = match self.read(id, source, &first) {
            Err(EngineError::NoMemory { needed, available, .. }) if self.frees(needed.saturating_sub(available)) => {
                self.loaded = None;
                match self.read(id, source, options) {
                    Ok(model) => model,
                    Err(error) if self.restore() => return Err(error.into()),
                    Err(error) => return Err(RequestError::Lost(error)),
                }
            }
            Err(EngineError::NoMemory { .. }) if first.may_shrink != options.may_shrink => {
                self.read(id, source, options)?
            }
            outcome => outcome?,
        };
        model.info.recommend(&params.known);
        let info = Box::new(model.info.clone());
        let (source, options, known) = (source.clone(), options.clone(), params.known);
        self.origin = Some(Origin { source, options, bytes: info.memory_bytes, known });
        self.loaded = Some(Loaded::new(model, &self.resources.sandbox));
        self.draws.forget();
        Ok(EngineEvent::Loaded { id, model: info })
    }

    fn source(&self, place: ModelPlace) -> Result<ModelSource, RequestError> {
        match place {
            ModelPlace::Path(path) => Ok(ModelSource::Path(path)),
            ModelPlace::Embedded => self.resources.embedded.clone().ok_or(RequestError::NotEmbedded),
            ModelPlace::Synthetic(shape) => Ok(ModelSource::Synthetic(shape)),
        }
    }

    /// Reads a model, and tells how far it is.
    fn read(&mut self, id: RequestId, source: &ModelSource, options: &LoadOptions) -> Result<LoadedModel, EngineError> {
        let mailbox = &mut self.mailbox;
        load(source, options, &mut |done, total| {
            mailbox.emit(EngineEvent::LoadProgress { id, done, total });
            if mailbox.is_cancelled(id) {
                options.cancel.set();
            }
        })
    }

    /// Whether the model in use holds as many bytes.
    fn frees(&self, bytes: u64) -> bool {
        self.loaded.is_some() && self.origin.as_ref().is_some_and(|origin| origin.bytes >= bytes)
    }

    /// Loads the model again that was given up for one that failed; returns whether it is back.
    fn restore(&mut self) -> bool {
        if let Some(Origin { source, options, known, .. }) = &self.origin {
            self.loaded = load(source, options, &mut |_, _| {}).ok().map(|mut model| {
                model.info.recommend(known);
                Loaded::new(model, &self.resources.sandbox)
            });
        }
        self.loaded.is_some()
    }

    fn generate(
        &mut self,
        id: RequestId,
        prompt: &Prompt,
        mut params: GenerationParams,
    ) -> Result<EngineEvent, RequestError> {
        let asked = Instant::now();
        check(&params.sampling)?;
        let Self { mailbox, loaded, draws, .. } = self;
        let loaded = loaded.as_mut().ok_or(RequestError::NoModel)?;
        let (source, tokens) = loaded.reader.request(prompt, params.max_tokens)?;
        params.sampling = loaded.reader.sampling(params.sampling, &params.open, &source)?;
        loaded.prune_forks(&tokens);
        emit_fault(mailbox, id, loaded.reader.new_fault(&source)?);
        let Loaded { inference, reader, .. } = loaded;
        emit_remarks(mailbox, id, reader.remarks(&source)?);
        let pause = StepState::new(&params);
        let replay = params.replay.as_deref().cloned();
        let options = options_of(params, &source, asked);
        let passes = replay.as_ref().map(|replay| replay.passes.clone());
        let replaying = replay.map(Replaying::new);
        let mut running = ActiveReply { id, mailbox, reader, source, pause, emitted: None, replaying };
        running.emit_dropped();
        if let Some(passes) = &passes {
            inference.prefill_in_passes(&tokens, passes, &mut |progress| {
                running.on_prefill(progress);
                if running.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
        }
        let outcome = generate(inference, &reader.tokenizer, tokens, &options, &mut running);
        let ActiveReply { source, emitted, .. } = running;
        // What a reply that is computed again does without says nothing of the conversation, and nothing of it is on screen.
        if passes.is_none() {
            reader.remember(&source);
            let dice = outcome.as_ref().map(|(_, stats)| stats.last_dice()).unwrap_or_default();
            draws.keep(ReplyRef { request: id, variant: 0 }, inference, emitted, dice);
        }
        let (reason, stats) = outcome?;
        Ok(EngineEvent::Finished { id, reason, stats, context_used: inference.held().len() })
    }

    /// A template that was stopped since nobody waits for the reply any more is the end of that reply, and no error.
    fn or_cancelled(
        &mut self,
        id: RequestId,
        outcome: Result<EngineEvent, RequestError>,
    ) -> Result<EngineEvent, RequestError> {
        match outcome {
            Err(RequestError::Template(_)) if self.mailbox.is_cancelled(id) => {
                let context_used = self.loaded.as_ref().map_or(0, |loaded| loaded.inference.held().len());
                let (reason, stats) = (FinishReason::Cancelled, GenerationStats::default());
                Ok(EngineEvent::Finished { id, reason, stats, context_used })
            }
            outcome => outcome,
        }
    }

    fn preview(
        &mut self,
        id: RequestId,
        of: ReplyRef,
        sampling: &SamplingParams,
        candidates: usize,
    ) -> Result<EngineEvent, RequestError> {
        check(sampling)?;
        let Loaded { inference, reader, .. } = self.loaded.as_ref().ok_or(RequestError::NoModel)?;
        let draw = self.draws.of(of).ok_or(RequestError::NoLogits)?;
        let (logits, held) = draw.parts();
        let text_of = |token| reader.tokenizer.piece(token);
        let situation = Situation { history: held, vocabulary: &*reader.tokenizer, dice: draw.dice };
        let distribution = sampling::distribution(logits, &situation, sampling, candidates, text_of)
            .ok_or_else(|| sampling::not_numbers(logits, held.len(), inference.file(), text_of))?;
        Ok(EngineEvent::Distribution { id, distribution })
    }

    fn prefill(
        &mut self,
        id: RequestId,
        prompt: &Prompt,
        max_tokens: Option<usize>,
    ) -> Result<EngineEvent, RequestError> {
        let Self { mailbox, loaded, chunk, .. } = self;
        let loaded = loaded.as_mut().ok_or(RequestError::NoModel)?;
        eager_prefill::answer_measures(mailbox, &loaded.reader, id);
        if mailbox.should_yield(id) {
            return Ok(EngineEvent::Prefilled { id, reused: 0, done: 0, total: 0 });
        }
        let (_, tokens) = loaded.reader.request(prompt, max_tokens)?;
        loaded.adopt_fork(&tokens);
        let Loaded { inference, reader, .. } = loaded;
        let progress = eager_prefill::prefill(inference, reader, &tokens, chunk, mailbox, id)?;
        let PrefillProgress { reused, done, total } = progress;
        Ok(EngineEvent::Prefilled { id, reused, done, total })
    }

    fn score(&mut self, id: RequestId, text: &str) -> Result<EngineEvent, RequestError> {
        let Self { mailbox, loaded, .. } = self;
        let Loaded { inference, reader, .. } = loaded.as_mut().ok_or(RequestError::NoModel)?;
        let tokens = reader.tokenizer.encode(text, true)?;
        let mut cancelled = false;
        let scored = score(inference, &tokens, |token| reader.tokenizer.piece(token), &mut |_| {
            eager_prefill::answer_measures(mailbox, reader, id);
            cancelled = mailbox.is_cancelled(id);
            if cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if cancelled { Err(RequestError::Cancelled) } else { Ok(EngineEvent::Scored { id, tokens: scored }) }
    }

    fn score_prompt(
        &mut self,
        id: RequestId,
        prompt: &Prompt,
        from: usize,
        candidates: usize,
    ) -> Result<EngineEvent, RequestError> {
        let Self { mailbox, loaded, .. } = self;
        let Loaded { inference, reader, .. } = loaded.as_mut().ok_or(RequestError::NoModel)?;
        let mut source = reader.source(prompt)?;
        // As much as a reply that is running may hold.
        let tokens = reader.tokens(&mut source, 0)?;
        let places = reader.places(&source, &tokens)?;
        let before = |place: &PromptPlace| place.content.as_ref().is_some_and(|(message, _)| *message < from);
        let first = places.iter().rposition(before).map_or(0, |last| last + 1);
        let pause = StepState::default();
        let running = ActiveReply { id, mailbox, reader, source, pause, emitted: None, replaying: None };
        running.emit_dropped();
        let total = tokens.len();
        let mut cancelled = false;
        let text_of = |token| running.reader.tokenizer.piece(token);
        let scores = score_prompt(inference, &tokens, first, candidates, text_of, &mut |done| {
            eager_prefill::answer_measures(running.mailbox, running.reader, id);
            cancelled = running.mailbox.is_cancelled(id);
            if done % PROGRESS_STEP == 0 {
                running.mailbox.emit(EngineEvent::PrefillProgress { id, reused: first, done, total });
            }
            if cancelled { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        if cancelled {
            return Err(RequestError::Cancelled);
        }
        // The first token of a prompt has none.
        let none = (first == 0).then_some(None);
        let scores = none.into_iter().chain(scores.into_iter().map(Some));
        let tokens = tokens.into_iter().zip(places).skip(first).zip(scores);
        let tokens = tokens.map(|((token, place), score)| {
            let PromptPlace { text, content } = place;
            PromptToken { token, text, score, content }
        });
        let tokens = tokens.collect();
        Ok(EngineEvent::PromptScored { id, tokens, context_used: total })
    }
}

fn count(
    reader: &Reader,
    id: RequestId,
    prompt: &Prompt,
    max_tokens: Option<usize>,
) -> Result<EngineEvent, RequestError> {
    let (source, tokens) = match prompt {
        // A text is counted however long it is.
        Prompt::Raw(text) => (Source::Raw(text), reader.tokenizer.encode(text, true)?),
        Prompt::Chat { .. } => reader.request(prompt, max_tokens)?,
    };
    let text = reader.text(&source)?;
    let pieces = tokens.iter().map(|&token| reader.tokenizer.quoted_piece(token)).collect();
    Ok(EngineEvent::Counted { id, text, tokens, pieces, dropped: source.dropped() })
}

fn check(sampling: &SamplingParams) -> Result<(), EngineError> {
    sampling.validate().map_err(|error| EngineError::Invalid(error.to_string()))
}

/// What the reply loop is told of `params`.
fn options_of(params: GenerationParams, source: &Source<'_>, asked: Instant) -> GenerateOptions {
    GenerateOptions {
        seed: params.sampling.seed.unwrap_or_else(fresh_seed),
        sampling: params.sampling,
        stop: StopCondition { max_tokens: params.max_tokens, texts: [&params.stop, source.stop_strings()].concat() },
        candidates: params.candidates,
        lookup: params.lookup,
        asked,
    }
}

/// The tokens of `source` once more, with fewer turns, so that a reply of `reply` tokens can go on; `None` where no turn
/// is left to drop.
fn shorter(reader: &Reader, source: &mut Source<'_>, reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
    let before = source.dropped().len();
    let tokens = reader.tokens(source, reply + reader.room_for_reply()).map_err(|error| match error {
        RequestError::Engine(error) => error,
        other => EngineError::Invalid(other.to_string()),
    })?;
    Ok((source.dropped().len() > before).then_some(tokens))
}

fn emit_remarks(mailbox: &Mailbox, id: RequestId, remarks: Rendered) {
    let Rendered { opening, adaptation, .. } = remarks;
    if adaptation != Adaptation::default() {
        mailbox.emit(EngineEvent::Adapted { id, adaptation });
    }
    if !opening.is_empty() {
        mailbox.emit(EngineEvent::ThoughtOpened { id, opening });
    }
}

fn emit_fault(mailbox: &Mailbox, id: RequestId, fault: Option<PromptFault>) {
    if let Some(fault) = fault {
        mailbox.emit(EngineEvent::PromptFault { id, fault });
    }
}

/// A generation at work, as the reply loop sees the world.
struct ActiveReply<'a, 'p> {
    id: RequestId,
    mailbox: &'a mut Mailbox,
    reader: &'a Reader,
    source: Source<'p>,
    pause: StepState,
    /// Tokens in the context with the last one that was emitted.
    emitted: Option<usize>,
    /// Of a reply that is computed again.
    replaying: Option<Replaying>,
}

impl ActiveReply<'_, '_> {
    fn emit_dropped(&self) {
        let messages = self.source.dropped();
        if !messages.is_empty() {
            self.mailbox.emit(EngineEvent::TurnsDropped { id: self.id, messages });
        }
    }
}

impl Control for ActiveReply<'_, '_> {
    fn on_prefill(&mut self, PrefillProgress { reused, done, total }: PrefillProgress) {
        self.mailbox.emit(EngineEvent::PrefillProgress { id: self.id, reused, done, total });
    }

    fn on_start(&mut self, stats: &GenerationStats) {
        let recorded = self.replaying.as_ref().map(Replaying::recorded).unwrap_or_default();
        let recorded = recorded.iter().map(|token| self.reader.tokenizer.piece(*token)).collect();
        self.mailbox.emit(EngineEvent::Began { id: self.id, variant: 0, stats: Box::new(stats.clone()), recorded });
    }

    fn on_token(&mut self, trace: TokenTrace, context_used: usize) {
        self.emitted = Some(context_used);
        if let Some(replaying) = &mut self.replaying {
            replaying.emitted_one();
        }
        self.mailbox.emit(EngineEvent::Token { id: self.id, trace, context_used });
    }

    fn is_cancelled(&mut self) -> bool {
        #[cfg(test)]
        tests::panic_on_demand(self.id);
        eager_prefill::answer_measures(self.mailbox, self.reader, self.id);
        self.mailbox.is_cancelled(self.id) || self.replaying.as_ref().is_some_and(Replaying::is_done)
    }

    fn may_take_back(&self) -> bool {
        self.replaying.as_ref().map_or(self.pause.can_be, Replaying::takes_back)
    }

    fn has_waited(&self) -> bool {
        self.pause.has_waited
    }

    fn steer(&mut self, rest: &StepPoint<'_>) -> Option<Steer> {
        match &mut self.replaying {
            Some(replaying) => Some(replaying.next_step()),
            None => self.next_steer(rest),
        }
    }

    fn on_taken_back(&mut self, tokens: usize, context_used: usize) {
        self.emitted = (tokens > 0).then_some(context_used);
        if let Some(replaying) = &mut self.replaying {
            replaying.set_emitted(tokens);
        }
        self.mailbox.emit(EngineEvent::TakenBack { id: self.id, tokens, context_used });
    }

    fn new_sampling(&mut self, chosen: usize) -> Option<SamplingParams> {
        match &mut self.replaying {
            Some(replaying) => replaying.new_sampling(chosen),
            None => {
                let (sampling, open) = self.mailbox.new_sampling(self.id)?;
                // A template that fails now has not failed for the prompt.
                self.reader.sampling(sampling.clone(), &open, &self.source).ok().or(Some(sampling))
            }
        }
    }

    fn make_room(&mut self, reply: usize) -> Result<Option<Vec<TokenId>>, EngineError> {
        let tokens = shorter(self.reader, &mut self.source, reply)?;
        if tokens.is_some() {
            self.emit_dropped();
        }
        Ok(tokens)
    }
}

/// What a panic said.
fn describe_panic(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a fault in the program stopped this: {}", said.unwrap_or("nothing more is known"))
}

#[cfg(test)]
mod tests;
