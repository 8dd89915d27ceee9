//! A worker that follows a script in place of a model: the front ends' tests drive it, and read what it was asked.
//!
//! It keeps the protocol's promises (one closing event a request, a cancel within one token, a change of sampling while
//! it speaks, a pause between two tokens), so that a front end that works with it works with the real one.
//!
//! ```
//! use gibber::worker::fake::{FakeWorker, Step};
//! use gibber::worker::protocol::{EngineCommand, EngineEvent, RequestId};
//!
//! let (worker, control) = FakeWorker::new().reply([Step::text("Paris is the capital."), Step::Hold]).spawn();
//! worker.send(EngineCommand::Score { id: RequestId(1), text: "a text".into() });
//! assert!(matches!(worker.events().recv().unwrap(), EngineEvent::Scored { .. }));
//! assert!(matches!(control.next_command(), Some(EngineCommand::Score { .. })));
//! ```

mod eager_prefill;
mod prompt_scores;
mod steering;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};

use super::WorkerHandle;
use super::protocol::{
    Adaptation, Distribution, EngineCommand, EngineEvent, FinishReason, GenerationParams, GenerationStats, Prompt,
    PromptFault, RequestId, ScoredToken, Stepping, TokenTrace,
};
use gibber_engine::load::ModelInfo;
use gibber_engine::sampling::{Candidate, Filter, Recommended, SamplingParams};
use gibber_engine::{CacheTypes, TokenId};

/// How often a waiting step looks for a cancel.
const POLL: Duration = Duration::from_millis(1);

/// How long [`FakeControl::next_command`] waits before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// One thing that the worker does during a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Speaks a text, a token for each word.
    Text(String),
    /// Speaks one token of exactly this text (which may be empty, as while a character is split).
    Token(String),
    /// Reports prefill: tokens reused, done and in all.
    Prefill {
        /// Taken from the cache.
        reused: usize,
        /// In the cache by now.
        done: usize,
        /// Of the prompt.
        total: usize,
    },
    /// Says what of the messages is in the prompt otherwise.
    Adapt(Adaptation),
    /// Says that the prompt has opened a thought with this text.
    OpenThought(String),
    /// Says that something is wrong with the prompt.
    Fault(PromptFault),
    /// Says that the context was full and these messages went.
    DropTurns(Vec<usize>),
    /// Waits until [`FakeControl::release`] or the request's cancel.
    Hold,
    /// Waits this long, or until the request's cancel.
    Pause(Duration),
    /// Ends the reply for this reason.
    Finish(FinishReason),
    /// Fails the request.
    Fail(String),
    /// Ends the whole thread, as a crash would.
    Die(String),
}

impl Step {
    /// [`Step::Text`] from anything that is text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }
}

/// A script in the making.
#[derive(Debug, Default)]
pub struct FakeWorker {
    replies: VecDeque<Vec<Step>>,
    comparisons: VecDeque<Vec<Vec<Step>>>,
    loads: VecDeque<Result<ModelInfo, String>>,
    holds_scoring: bool,
    context: Option<usize>,
    slow_prefill: bool,
    no_think_switch: bool,
}

impl FakeWorker {
    /// A worker that loads anything and answers `Generate` with an empty reply once its script has run out.
    pub fn new() -> Self {
        Self::default()
    }

    /// What it does at the next `Generate` that has no script yet. A reply without [`Step::Finish`] ends its turn.
    pub fn reply(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.replies.push_back(steps.into_iter().collect());
        self
    }

    /// What the lanes of the next `Compare` without a script do: a step each in turn, and of a text a word each.
    pub fn variants(mut self, variants: impl IntoIterator<Item = Vec<Step>>) -> Self {
        self.comparisons.push_back(variants.into_iter().collect());
        self
    }

    /// How the next `Load` without a script ends; without one it succeeds with [`sample_model`].
    pub fn load(mut self, outcome: Result<ModelInfo, String>) -> Self {
        self.loads.push_back(outcome);
        self
    }

    /// Each `ScorePrompt` waits half-way for [`FakeControl::release`] or its cancel.
    pub fn hold_scoring(mut self) -> Self {
        self.holds_scoring = true;
        self
    }

    /// How many tokens, which are words, its model's context holds.
    pub fn context(mut self, tokens: usize) -> Self {
        self.context = Some(tokens);
        self
    }

    /// A `Prefill` comes to no end before it is cancelled, or another command comes.
    pub fn slow_prefill(mut self) -> Self {
        self.slow_prefill = true;
        self
    }

    /// Its templates cannot be told whether to think.
    pub fn no_think_switch(mut self) -> Self {
        self.no_think_switch = true;
        self
    }

    /// Starts the thread.
    pub fn spawn(self) -> (WorkerHandle, FakeControl) {
        let (command_tx, command_rx) = unbounded();
        let (event_tx, event_rx) = unbounded();
        let (record_tx, record_rx) = unbounded();
        let (gate_tx, gate_rx) = unbounded();
        let actor = Actor {
            script: self,
            commands: command_rx,
            waiting: VecDeque::new(),
            cancelled: Vec::new(),
            events: event_tx,
            record: record_tx,
            gate: gate_rx,
            context_used: 0,
        };
        let thread = std::thread::spawn(move || actor.run());
        (WorkerHandle::new(command_tx, event_rx, thread), FakeControl { recorded: record_rx, gate: gate_tx })
    }
}

/// The test's hand on a running fake.
#[derive(Debug, Clone)]
pub struct FakeControl {
    recorded: Receiver<EngineCommand>,
    gate: Sender<()>,
}

impl FakeControl {
    /// The next command that the worker received, waiting for it; `None` where none comes (after ten seconds, or once
    /// the worker has ended and all were read).
    pub fn next_command(&self) -> Option<EngineCommand> {
        self.recorded.recv_timeout(PATIENCE).ok()
    }

    /// The commands that the worker has received and nobody has read, without waiting.
    pub fn commands(&self) -> Vec<EngineCommand> {
        self.recorded.try_iter().collect()
    }

    /// Lets one [`Step::Hold`] go on, the present one or the next.
    pub fn release(&self) {
        let _ = self.gate.send(());
    }
}

/// What the fake says that it has loaded.
pub fn sample_model() -> ModelInfo {
    ModelInfo {
        name: "Sample-135M-Instruct".into(),
        architecture: "llama".into(),
        format: "Q4_1".into(),
        hash: "0123456789abcdef0123456789abcdef".into(),
        path: "/models/sample.gguf".into(),
        isa: "portable".into(),
        batch: 512,
        parameters: 134_515_008,
        weight_bytes: 98_000_000,
        vocabulary: 49_152,
        eos_tokens: Vec::new(),
        unread: None,
        notes: Vec::new(),
        context: 8192,
        unshrunk_context: 8192,
        memory_bytes: 0,
        trained_context: 8192,
        cache: CacheTypes::default(),
        cache_bytes: 188_743_680,
        threads: 2,
        has_chat_template: true,
        load_time: Duration::from_millis(42),
        quantized: None,
        recommended: Recommended::default(),
        aliases: Vec::new(),
    }
}

/// Whether the thread goes on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Command,
    End,
}

struct Actor {
    script: FakeWorker,
    commands: Receiver<EngineCommand>,
    waiting: VecDeque<EngineCommand>,
    /// The requests that are to stop; with a lane, that one alone.
    cancelled: Vec<(RequestId, Option<usize>)>,
    events: Sender<EngineEvent>,
    record: Sender<EngineCommand>,
    gate: Receiver<()>,
    context_used: usize,
}

impl Actor {
    fn run(mut self) {
        while let Some(command) = self.next_command() {
            if self.carry_out(command) == Next::End {
                return;
            }
        }
    }

    fn next_command(&mut self) -> Option<EngineCommand> {
        if let Some(command) = self.waiting.pop_front() {
            return Some(command);
        }
        let command = self.commands.recv().ok()?;
        let _ = self.record.send(command.clone());
        Some(command)
    }

    fn emit(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }

    fn carry_out(&mut self, command: EngineCommand) -> Next {
        match command {
            EngineCommand::Load { id, .. } => self.load(id),
            EngineCommand::Generate { id, prompt, params } => return self.generate(id, &prompt, params),
            EngineCommand::Compare { id, prompt, variants } => return self.compare(id, &prompt, variants),
            EngineCommand::SetSampling { .. }
            | EngineCommand::Pause { .. }
            | EngineCommand::Resume { .. }
            | EngineCommand::Steer { .. } => {}
            EngineCommand::Cancel { id } => self.cancelled.push((id, None)),
            EngineCommand::CancelVariant { id, variant } => self.cancelled.push((id, Some(variant))),
            EngineCommand::Preview { id, sampling, candidates, .. } => {
                self.emit(EngineEvent::Distribution { id, distribution: distribution(&sampling, candidates) });
            }
            EngineCommand::Score { id, text, .. } => self.emit(EngineEvent::Scored { id, tokens: score(&text) }),
            EngineCommand::ScorePrompt { id, prompt, from, candidates } => {
                self.score_prompt(id, &prompt, from, candidates);
            }
            EngineCommand::Count { id, prompt, .. } => self.count(id, &prompt),
            EngineCommand::Prefill { id, prompt, .. } => self.prefill(id, &prompt),
            EngineCommand::DescribeTemplate { id, .. } => {
                let can_switch_thinking = !self.script.no_think_switch;
                self.emit(EngineEvent::TemplateDescribed { id, can_switch_thinking, thinks: can_switch_thinking });
            }
            EngineCommand::Measure { id, prompt, draft, .. } => self.measure(id, &prompt, draft),
            EngineCommand::Shutdown => return Next::End,
        }
        Next::Command
    }

    fn load(&mut self, id: RequestId) {
        let outcome = self.script.loads.pop_front().unwrap_or_else(|| Ok(self.sample()));
        match outcome {
            Ok(model) => {
                self.emit(EngineEvent::LoadProgress { id, done: model.weight_bytes, total: model.weight_bytes });
                self.emit(EngineEvent::Loaded { id, model: Box::new(model) });
            }
            Err(error) => self.emit(EngineEvent::Failed { id, error }),
        }
    }

    fn generate(&mut self, id: RequestId, prompt: &Prompt, params: GenerationParams) -> Next {
        let steps = self.script.replies.pop_front().unwrap_or_default();
        let prompt_tokens = words(&plain_text(prompt)).len();
        self.context_used = prompt_tokens;
        let mut reply = Reply::new(id, prompt_tokens, params);
        for step in steps {
            match self.play(&mut reply, step) {
                Played::On => {}
                Played::Finished(reason) => return self.finish(reply, reason),
                Played::Failed(error) => {
                    self.emit(EngineEvent::Failed { id, error });
                    return Next::Command;
                }
                Played::Died(error) => {
                    self.emit(EngineEvent::WorkerDied { error });
                    return Next::End;
                }
                Played::ShutDown => {
                    self.finish(reply, FinishReason::Cancelled);
                    return Next::End;
                }
            }
        }
        match self.rest(&mut reply) {
            Played::Finished(reason) => self.finish(reply, reason),
            Played::ShutDown => {
                self.finish(reply, FinishReason::Cancelled);
                Next::End
            }
            Played::On | Played::Failed(_) | Played::Died(_) => self.finish(reply, FinishReason::EndOfTurn),
        }
    }

    fn compare(&mut self, id: RequestId, prompt: &Prompt, variants: Vec<GenerationParams>) -> Next {
        let prompt_tokens = words(&plain_text(prompt)).len();
        let mut scripts = self.script.comparisons.pop_front().unwrap_or_default().into_iter();
        let mut running: Vec<(Reply, VecDeque<Step>)> = Vec::new();
        for (variant, params) in variants.into_iter().enumerate() {
            let reply = Reply { variant: Some(variant), ..Reply::new(id, prompt_tokens, params) };
            running.push((reply, scripts.next().unwrap_or_default().into_iter().flat_map(word_by_word).collect()));
        }
        self.emit(EngineEvent::PrefillProgress { id, reused: 0, done: prompt_tokens, total: prompt_tokens });
        while !running.is_empty() {
            for (mut reply, mut steps) in std::mem::take(&mut running) {
                self.context_used = prompt_tokens + reply.stats.completion_tokens;
                let played = match steps.pop_front() {
                    Some(step) => self.play(&mut reply, step),
                    None => Played::Finished(FinishReason::EndOfTurn),
                };
                match played {
                    Played::On => running.push((reply, steps)),
                    Played::Finished(reason) => self.end_variant(reply, reason),
                    Played::Failed(error) => {
                        self.emit(EngineEvent::Failed { id, error });
                        return Next::Command;
                    }
                    Played::Died(error) => {
                        self.emit(EngineEvent::WorkerDied { error });
                        return Next::End;
                    }
                    Played::ShutDown => return Next::End,
                }
            }
        }
        self.emit(EngineEvent::Compared { id, context_used: self.context_used });
        Next::Command
    }

    fn end_variant(&self, reply: Reply, reason: FinishReason) {
        let (id, variant) = (reply.id, reply.variant.unwrap_or(0));
        self.emit(EngineEvent::VariantFinished { id, variant, reason, stats: reply.into_stats() });
    }

    fn finish(&mut self, reply: Reply, reason: FinishReason) -> Next {
        let (id, context_used) = (reply.id, self.context_used);
        self.emit(EngineEvent::Finished { id, reason, stats: reply.into_stats(), context_used });
        Next::Command
    }

    fn play(&mut self, reply: &mut Reply, step: Step) -> Played {
        let id = reply.id;
        match step {
            Step::Text(text) => {
                for word in words(&text) {
                    let played = self.speak(reply, word);
                    if played != Played::On {
                        return played;
                    }
                }
                Played::On
            }
            Step::Token(text) => self.speak(reply, &text),
            Step::Prefill { reused, done, total } => {
                reply.stats.reused_tokens = reused;
                reply.stats.prompt_tokens = total;
                self.context_used = done;
                self.emit(EngineEvent::PrefillProgress { id, reused, done, total });
                self.check(reply)
            }
            Step::Adapt(adaptation) => {
                self.emit(EngineEvent::Adapted { id, adaptation });
                Played::On
            }
            Step::OpenThought(opening) => {
                self.emit(EngineEvent::ThoughtOpened { id, opening });
                Played::On
            }
            Step::Fault(fault) => {
                self.emit(EngineEvent::PromptFault { id, fault });
                Played::On
            }
            Step::DropTurns(messages) => {
                self.emit(EngineEvent::TurnsDropped { id, messages });
                Played::On
            }
            Step::Hold => {
                let gate = self.gate.clone();
                self.wait(reply, |timeout| !matches!(gate.recv_timeout(timeout), Err(RecvTimeoutError::Timeout)))
            }
            Step::Pause(time) => {
                let end = Instant::now() + time;
                self.wait(reply, |timeout| {
                    std::thread::sleep(timeout);
                    Instant::now() >= end
                })
            }
            Step::Finish(reason) => Played::Finished(reason),
            Step::Fail(error) => Played::Failed(error),
            Step::Die(error) => Played::Died(error),
        }
    }

    fn speak(&mut self, reply: &mut Reply, text: &str) -> Played {
        let played = self.rest(reply);
        if played != Played::On {
            return played;
        }
        let token = match reply.variant {
            // Lanes that say the same have the same tokens.
            Some(_) => text.bytes().fold(0, |id: TokenId, byte| id.wrapping_mul(31).wrapping_add(byte.into())),
            None => reply.stats.completion_tokens as TokenId,
        };
        self.emit_token(reply, token, text, false)
    }

    fn emit_token(&mut self, reply: &mut Reply, token: TokenId, text: &str, picked: bool) -> Played {
        let shape = distribution(&reply.sampling, reply.candidates);
        self.context_used += 1;
        reply.stats.completion_tokens += 1;
        reply.stats.picked_tokens += usize::from(picked);
        let place = shape.candidates.iter().position(|candidate| candidate.token == token);
        let trace = TokenTrace {
            token,
            text: text.to_owned(),
            logprob: -0.5,
            entropy: shape.entropy,
            rank: place.unwrap_or(shape.candidates.len()) as u32,
            kept_mass: shape.kept_mass,
            candidates: shape.candidates,
            picked,
        };
        let (id, context_used) = (reply.id, self.context_used);
        self.emit(match reply.variant {
            Some(variant) => EngineEvent::VariantToken { id, variant, trace, context_used },
            None => EngineEvent::Token { id, trace, context_used },
        });
        match reply.max_tokens {
            Some(most) if reply.stats.completion_tokens >= most => Played::Finished(FinishReason::Length),
            _ => Played::On,
        }
    }

    /// Looks for a cancel and for commands, as the real worker does between two tokens.
    fn check(&mut self, reply: &mut Reply) -> Played {
        while let Ok(command) = self.commands.try_recv() {
            let _ = self.record.send(command.clone());
            match command {
                EngineCommand::SetSampling { id, sampling, .. } if id == reply.id => reply.set_sampling(sampling),
                EngineCommand::SetSampling { .. } => {}
                EngineCommand::Pause { id } | EngineCommand::Resume { id } | EngineCommand::Steer { id, .. } => {
                    if id == reply.id && reply.can_pause {
                        reply.steers.push_back(command);
                    }
                }
                EngineCommand::Preview { id, of, sampling, candidates }
                    if reply.is_paused && of.request == reply.id =>
                {
                    self.emit(EngineEvent::Distribution { id, distribution: distribution(&sampling, candidates) });
                }
                EngineCommand::Shutdown => return Played::ShutDown,
                EngineCommand::Measure { id, prompt, draft, .. } => self.measure(id, &prompt, draft),
                other => self.wait_or_cancel(other),
            }
        }
        let is_cancelled = self
            .cancelled
            .iter()
            .any(|(id, variant)| *id == reply.id && (variant.is_none() || *variant == reply.variant));
        if is_cancelled { Played::Finished(FinishReason::Cancelled) } else { Played::On }
    }

    /// Whether the request `id` is to stop; commands that have come are taken in, and measures answered.
    fn is_cancelled(&mut self, id: RequestId) -> bool {
        while let Ok(command) = self.commands.try_recv() {
            let _ = self.record.send(command.clone());
            match command {
                EngineCommand::Measure { id, prompt, draft, .. } => self.measure(id, &prompt, draft),
                other => self.wait_or_cancel(other),
            }
        }
        self.cancelled.contains(&(id, None))
    }

    fn wait_or_cancel(&mut self, command: EngineCommand) {
        match command {
            EngineCommand::Cancel { id } => self.cancelled.push((id, None)),
            EngineCommand::CancelVariant { id, variant } => self.cancelled.push((id, Some(variant))),
            other => self.waiting.push_back(other),
        }
    }

    fn wait(&mut self, reply: &mut Reply, mut over: impl FnMut(Duration) -> bool) -> Played {
        loop {
            let played = self.check(reply);
            if played != Played::On || over(POLL) {
                return played;
            }
        }
    }
}

/// What became of a step.
#[derive(Debug, PartialEq)]
enum Played {
    On,
    Finished(FinishReason),
    Failed(String),
    Died(String),
    ShutDown,
}

struct Reply {
    id: RequestId,
    /// Which of several it is.
    variant: Option<usize>,
    sampling: SamplingParams,
    candidates: usize,
    max_tokens: Option<usize>,
    can_pause: bool,
    is_paused: bool,
    /// What the person wants of it, in order.
    steers: VecDeque<EngineCommand>,
    /// Whether the sampling has changed since it was told that it is paused.
    is_reshaped: bool,
    stats: GenerationStats,
}

impl Reply {
    fn new(id: RequestId, prompt_tokens: usize, params: GenerationParams) -> Self {
        let stats = GenerationStats {
            prompt_tokens,
            seed: params.sampling.seed.unwrap_or(7),
            sampling_log: vec![(0, params.sampling.clone())],
            ..GenerationStats::default()
        };
        let GenerationParams { sampling, max_tokens, candidates, stepping, .. } = params;
        Self {
            id,
            variant: None,
            sampling,
            candidates,
            max_tokens,
            can_pause: stepping != Stepping::Off,
            is_paused: stepping == Stepping::FromStart,
            steers: VecDeque::new(),
            is_reshaped: false,
            stats,
        }
    }

    fn set_sampling(&mut self, sampling: SamplingParams) {
        self.stats.sampling_log.push((self.stats.completion_tokens, sampling.clone()));
        self.sampling = sampling;
        self.is_reshaped = true;
    }

    /// Round figures that do not change from run to run: 31 ms to the first token, 100 tokens a second.
    fn into_stats(self) -> GenerationStats {
        let tokens = self.stats.completion_tokens as u32;
        GenerationStats {
            time_to_first_token: Duration::from_millis(31),
            prefill_time: Duration::from_millis(20),
            decode_time: Duration::from_millis(10) * tokens.saturating_sub(1),
            forward_time: Duration::from_millis(9) * tokens.saturating_sub(1),
            sample_time: Duration::from_millis(1) * tokens,
            ..self.stats
        }
    }
}

/// A text cut before each space that follows something else: the parts joined are the text.
fn words(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut previous = ' ';
    for (at, character) in text.char_indices() {
        if at > start && character.is_whitespace() && !previous.is_whitespace() {
            parts.push(&text[start..at]);
            start = at;
        }
        previous = character;
    }
    if start < text.len() {
        parts.push(&text[start..]);
    }
    parts
}

/// A step in steps of a token each.
fn word_by_word(step: Step) -> Vec<Step> {
    match step {
        Step::Text(text) => words(&text).into_iter().map(|word| Step::Token(word.to_owned())).collect(),
        other => vec![other],
    }
}

fn plain_text(prompt: &Prompt) -> String {
    match prompt {
        Prompt::Raw(text) => text.clone(),
        Prompt::Chat { messages, .. } => {
            messages.iter().map(|message| format!("{}: {}\n", message.role.as_str(), message.content)).collect()
        }
    }
}

fn score(text: &str) -> Vec<ScoredToken> {
    words(text)
        .into_iter()
        .enumerate()
        .map(|(i, word)| ScoredToken {
            token: i as TokenId,
            text: word.to_owned(),
            logprob: (i > 0).then_some(-1.0),
            rank: (i > 0).then_some(0),
        })
        .collect()
}

/// Three fixed candidates; of them top-k cuts what it would.
fn distribution(sampling: &SamplingParams, n: usize) -> Distribution {
    const SHARES: [(&str, f32); 3] = [(" Seine", 0.6), (" river", 0.3), (" banks", 0.1)];
    let kept = match sampling.top_k {
        0 => SHARES.len(),
        k => SHARES.len().min(k as usize),
    };
    let kept_mass: f32 = SHARES[..kept].iter().map(|(_, share)| share).sum();
    let candidate = |(i, (text, share)): (usize, &(&str, f32))| Candidate {
        token: i as TokenId,
        text: (*text).to_owned(),
        before: *share,
        after: if i < kept { share / kept_mass } else { 0.0 },
        cut_by: (i >= kept).then_some(Filter::TopK),
    };
    Distribution { entropy: 0.9, kept_mass, candidates: SHARES.iter().enumerate().map(candidate).take(n).collect() }
}

#[cfg(test)]
mod tests;
