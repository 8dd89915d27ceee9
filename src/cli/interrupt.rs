//! Ctrl-C for the commands that are not interactive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use gibber_signals::ending;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::INTERRUPTED;
/// The first Ctrl-C cancels the request that runs, so that what there is of it is finished properly, unless that takes too
/// long; one without a request, or a second one, ends the program at once.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    /// Stops what runs.
    stop: Arc<Mutex<Option<Stop>>>,
    has_come: Arc<AtomicBool>,
}

type Stop = Box<dyn FnOnce() + Send>;

impl Interrupt {
    /// Takes over SIGINT for the rest of the process.
    /// A request that is cancelled may take `patience` to end.
    pub(super) fn install(patience: Duration) -> Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT]).context("cannot listen for Ctrl-C")?;
        let listener = interrupt.clone();
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                for _ in signals.forever() {
                    match listener.take() {
                        Some(stop) => {
                            listener.has_come.store(true, Ordering::Release);
                            stop();
                            end_after(patience);
                        }
                        None => ending::exit(INTERRUPTED),
                    }
                }
            })
            .context("cannot start a thread to listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// From now on Ctrl-C calls `stop`.
    pub(super) fn watch(&self, stop: impl FnOnce() + Send + 'static) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(stop));
    }

    /// Whether Ctrl-C has stopped something.
    pub(super) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<Stop> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Ends the program if it has not ended by then.
fn end_after(patience: Duration) {
    // Without this thread a second Ctrl-C is still there.
    let _ = std::thread::Builder::new().name("leaving".into()).spawn(move || {
        std::thread::sleep(patience);
        ending::exit(INTERRUPTED)
    });
}
