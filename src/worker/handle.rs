//! The front ends' end of the two channels.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::protocol::{EngineCommand, EngineEvent};

/// Sends commands to the engine's thread and receives its events. Dropping it shuts the thread down and waits for it.
#[derive(Debug)]
pub struct WorkerHandle {
    commands: Sender<EngineCommand>,
    events: Receiver<EngineEvent>,
    thread: Option<JoinHandle<()>>,
}

impl WorkerHandle {
    /// A handle over two channels and the thread behind them.
    pub fn new(commands: Sender<EngineCommand>, events: Receiver<EngineEvent>, thread: JoinHandle<()>) -> Self {
        Self { commands, events, thread: Some(thread) }
    }

    /// Sends a command. Where the thread is gone it is dropped: [`EngineEvent::WorkerDied`] was, or will be, received.
    pub fn send(&self, command: EngineCommand) {
        let _ = self.commands.send(command);
    }

    /// Where events arrive, in order.
    pub fn events(&self) -> &Receiver<EngineEvent> {
        &self.events
    }
}

impl Drop for WorkerHandle {
    fn drop(&mut self) {
        let _ = self.commands.send(EngineCommand::Shutdown);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
