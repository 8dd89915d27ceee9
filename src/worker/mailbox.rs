//! A request at work: what it tells, and what reaches it meanwhile.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::protocol::{EngineCommand, EngineEvent, RequestId};
use gibber_engine::SamplingParams;
use gibber_engine::sampling::Parameter;

/// The engine's end of the two channels.
#[derive(Debug)]
pub(super) struct Mailbox {
    commands: Receiver<EngineCommand>,
    /// What a [`Mailbox::watcher`] has received before them.
    heard: (Sender<EngineCommand>, Receiver<EngineCommand>),
    events: Sender<EngineEvent>,
    /// Commands that came while a request was at work, in order.
    waiting: VecDeque<EngineCommand>,
    /// The requests that are to stop, of those at work or waiting; with a lane, that one alone.
    cancelled: Vec<(RequestId, Option<usize>)>,
    /// Whether the thread is to end.
    closing: bool,
}

impl Mailbox {
    pub(super) fn new(commands: Receiver<EngineCommand>, events: Sender<EngineEvent>) -> Self {
        let (heard, waiting, cancelled) = (unbounded(), VecDeque::new(), Vec::new());
        Self { commands, heard, events, waiting, cancelled, closing: false }
    }

    /// Tells the front end. Where it is gone, its handle has asked to shut down as well.
    pub(super) fn emit(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }

    /// The next command that opens a request, waiting for it; `None` once the thread is to end.
    pub(super) fn next(&mut self) -> Option<EngineCommand> {
        let command = loop {
            if self.closing {
                return None;
            }
            match self.waiting.pop_front() {
                // What is left of those for a reply that has ended.
                Some(command) if command.request().is_none() => {}
                Some(command) => break command,
                None => {
                    let heard = self.heard.1.try_recv().ok();
                    let command = heard.or_else(|| self.commands.recv().ok())?;
                    self.take_in(command);
                }
            }
        };
        // A request that is closed is not named again.
        let at_work = command.request();
        let is_open = |id: RequestId| Some(id) == at_work || self.waiting.iter().any(|one| one.request() == Some(id));
        self.cancelled.retain(|(id, _)| is_open(*id));
        Some(command)
    }

    /// What is left when the thread ends, for a last word on each.
    pub(super) fn drain(&mut self) -> Vec<RequestId> {
        self.receive();
        self.waiting.drain(..).filter_map(|command| command.request()).collect()
    }

    /// Takes in what has arrived, without waiting.
    fn receive(&mut self) {
        while let Ok(command) = self.heard.1.try_recv().or_else(|_| self.commands.try_recv()) {
            self.take_in(command);
        }
    }

    /// Tells whether one of these requests, which are at work, is to stop: for where these channels are not at hand. What
    /// else it receives is not lost.
    pub(super) fn watcher(&self, ids: &[RequestId]) -> impl FnMut() -> bool + Send + 'static {
        let (commands, heard, ids) = (self.commands.clone(), self.heard.0.clone(), ids.to_vec());
        let mut stops = self.closing || ids.iter().any(|id| self.cancelled.contains(&(*id, None)));
        move || {
            for command in commands.try_iter() {
                stops |= match &command {
                    EngineCommand::Shutdown => true,
                    EngineCommand::Cancel { id } => ids.contains(id),
                    EngineCommand::Load { .. }
                    | EngineCommand::Generate { .. }
                    | EngineCommand::Compare { .. }
                    | EngineCommand::SetSampling { .. }
                    | EngineCommand::Pause { .. }
                    | EngineCommand::Resume { .. }
                    | EngineCommand::Steer { .. }
                    | EngineCommand::Preview { .. }
                    | EngineCommand::Score { .. }
                    | EngineCommand::ScorePrompt { .. }
                    | EngineCommand::Count { .. }
                    | EngineCommand::Prefill { .. }
                    | EngineCommand::DescribeTemplate { .. }
                    | EngineCommand::Measure { .. }
                    | EngineCommand::CancelVariant { .. } => false,
                };
                // Its other end is beside this one.
                let _ = heard.send(command);
            }
            stops
        }
    }

    fn take_in(&mut self, command: EngineCommand) {
        match command {
            EngineCommand::Shutdown => self.closing = true,
            EngineCommand::Cancel { id } => self.cancelled.push((id, None)),
            EngineCommand::CancelVariant { id, variant } => self.cancelled.push((id, Some(variant))),
            command => self.waiting.push_back(command),
        }
    }

    /// Whether the request `id` is to stop.
    pub(super) fn is_cancelled(&mut self, id: RequestId) -> bool {
        self.receive();
        self.closing || self.cancelled.contains(&(id, None))
    }

    /// Whether a lane of the comparison `id` is to stop.
    pub(super) fn is_variant_cancelled(&mut self, id: RequestId, variant: usize) -> bool {
        self.is_cancelled(id) || self.cancelled.contains(&(id, Some(variant)))
    }

    /// Whether the request `id` is to stop, also since another one waits.
    pub(super) fn should_yield(&mut self, id: RequestId) -> bool {
        self.is_cancelled(id) || !self.waiting.is_empty()
    }

    /// The first `Measure` that waits: it is answered out of turn.
    pub(super) fn next_measure(&mut self) -> Option<EngineCommand> {
        self.receive();
        self.take(|command| matches!(command, EngineCommand::Measure { .. }))
    }

    /// The last change of sampling for `id` that waits.
    pub(super) fn new_sampling(&mut self, id: RequestId) -> Option<(SamplingParams, Vec<Parameter>)> {
        let mut latest = None;
        if !self.waiting.is_empty() {
            self.waiting.retain_mut(|command| match command {
                EngineCommand::SetSampling { id: of, sampling, open } if *of == id => {
                    latest = Some((std::mem::take(sampling), std::mem::take(open)));
                    false
                }
                _ => true,
            });
        }
        latest.filter(|(sampling, _)| sampling.validate().is_ok())
    }
}

/// A reply that is paused.
impl Mailbox {
    /// The first command that waits and is `wanted`, out of its turn.
    pub(super) fn take(&mut self, wanted: impl Fn(&EngineCommand) -> bool) -> Option<EngineCommand> {
        let at = self.waiting.iter().position(wanted)?;
        self.waiting.remove(at)
    }

    /// Whether other filters for `id` wait.
    pub(super) fn has_sampling(&self, id: RequestId) -> bool {
        self.waiting.iter().any(|command| matches!(command, EngineCommand::SetSampling { id: of, .. } if *of == id))
    }

    /// Waits until another command has come.
    pub(super) fn wait(&mut self) {
        let heard = self.heard.1.try_recv().ok();
        let command = heard.or_else(|| self.commands.recv().ok()).unwrap_or(EngineCommand::Shutdown);
        self.take_in(command);
    }
}
