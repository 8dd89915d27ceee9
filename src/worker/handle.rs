//! The front ends' end of the two channels.

use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};
use gibber_signals::ending::{self, ends_within};

use super::protocol::{EngineCommand, EngineEvent, RequestId};

/// Sends commands to the engine's thread and receives its events. Dropping it shuts the thread down and waits
/// for it, but not for ever: what hangs there (a drive that is gone) must not keep the program.
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

    /// What cancels the request `id`, from any thread.
    pub fn canceller(&self, id: RequestId) -> impl FnOnce() + Send + use<> {
        let commands = self.commands.clone();
        move || _ = commands.send(EngineCommand::Cancel { id })
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
            // One that goes on is left behind: it ends with the process.
            if ends_within(&thread, ending::PATIENCE) {
                let _ = thread.join();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_hangs_is_left_behind() {
        let (commands, received) = crossbeam_channel::unbounded();
        let (_sender, events) = crossbeam_channel::unbounded();
        let (release, hold) = crossbeam_channel::bounded::<()>(0);
        let (done, is_done) = crossbeam_channel::bounded(1);
        let thread = std::thread::spawn(move || {
            let _ = hold.recv();
            let _ = done.send(());
        });
        drop(WorkerHandle::new(commands, events, thread));
        assert!(matches!(received.try_recv(), Ok(EngineCommand::Shutdown)));
        assert!(is_done.is_empty(), "it goes on");
        drop(release);
        is_done.recv().unwrap();
    }
}
