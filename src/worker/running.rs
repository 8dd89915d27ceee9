//! A request at work: what it tells, and what reaches it meanwhile.

use std::collections::VecDeque;

use crossbeam_channel::{Receiver, Sender, select};

use super::protocol::{CancelToken, EngineCommand, EngineEvent, RequestId};
use gibber_engine::SamplingParams;

/// The engine's end of the two channels.
#[derive(Debug)]
pub(super) struct Channels {
    commands: Receiver<EngineCommand>,
    events: Sender<EngineEvent>,
    /// Commands that came while a request was at work, in order.
    waiting: VecDeque<EngineCommand>,
    /// Whether the thread is to end.
    closing: bool,
}

impl Channels {
    pub(super) fn new(commands: Receiver<EngineCommand>, events: Sender<EngineEvent>) -> Self {
        Self { commands, events, waiting: VecDeque::new(), closing: false }
    }

    /// Tells the front end. Where it is gone, its handle has asked to shut down as well.
    pub(super) fn emit(&self, event: EngineEvent) {
        let _ = self.events.send(event);
    }

    /// The next command to carry out, waiting for it; `None` once the thread is to end.
    pub(super) fn next(&mut self) -> Option<EngineCommand> {
        if self.closing {
            return None;
        }
        let command = match self.waiting.pop_front() {
            Some(command) => command,
            None => self.commands.recv().ok()?,
        };
        self.closing = matches!(command, EngineCommand::Shutdown);
        (!self.closing).then_some(command)
    }

    /// What is left when the thread ends, for a last word on each.
    pub(super) fn drain(&mut self) -> Vec<RequestId> {
        self.receive();
        self.waiting.drain(..).filter_map(|command| command.request()).collect()
    }

    /// Takes in what has arrived, without waiting.
    fn receive(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            match command {
                EngineCommand::Shutdown => self.closing = true,
                command => self.waiting.push_back(command),
            }
        }
    }

    /// Whether the thread is to end.
    pub(super) fn is_closing(&mut self) -> bool {
        self.receive();
        self.closing
    }

    /// Whether the request of this token is to stop.
    pub(super) fn is_cancelled(&mut self, cancel: &CancelToken) -> bool {
        self.receive();
        self.closing || cancel.is_cancelled()
    }

    /// Whether the request of this token is to stop, also since another one waits.
    pub(super) fn is_wanted(&mut self, cancel: &CancelToken) -> bool {
        self.is_cancelled(cancel) || !self.waiting.is_empty()
    }

    /// The first `Measure` that waits: it is answered out of turn.
    pub(super) fn next_measure(&mut self) -> Option<EngineCommand> {
        self.receive();
        self.take(|command| matches!(command, EngineCommand::Measure { .. }))
    }

    /// The last change of sampling for `id` that waits.
    pub(super) fn new_sampling(&mut self, id: RequestId) -> Option<SamplingParams> {
        let mut latest = None;
        if !self.waiting.is_empty() {
            self.waiting.retain_mut(|command| match command {
                EngineCommand::SetSampling { id: of, sampling } if *of == id => {
                    latest = Some(std::mem::take(sampling));
                    false
                }
                _ => true,
            });
        }
        latest.filter(|sampling| sampling.validate().is_ok())
    }
}

/// A reply that is paused.
impl Channels {
    /// The first command that waits and is `wanted`, out of its turn.
    pub(super) fn take(&mut self, wanted: impl Fn(&EngineCommand) -> bool) -> Option<EngineCommand> {
        let at = self.waiting.iter().position(wanted)?;
        self.waiting.remove(at)
    }

    /// Whether other filters for `id` wait.
    pub(super) fn has_sampling(&self, id: RequestId) -> bool {
        self.waiting.iter().any(|command| matches!(command, EngineCommand::SetSampling { id: of, .. } if *of == id))
    }

    /// Waits until another command has come, or the request of this token is to stop.
    pub(super) fn wait(&mut self, cancel: &CancelToken) {
        let received = select! {
            recv(self.commands) -> command => command.unwrap_or(EngineCommand::Shutdown),
            recv(cancel.cancelled()) -> _ => return,
        };
        match received {
            EngineCommand::Shutdown => self.closing = true,
            command => self.waiting.push_back(command),
        }
    }
}
