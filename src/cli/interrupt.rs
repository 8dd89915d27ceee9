//! Ctrl-C for the commands that are not interactive.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use gibber_signals::ending;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::INTERRUPTED;

/// The one of this process, once there is one: two would each do what the other is to.
static INSTALLED: Mutex<Option<Interrupt>> = Mutex::new(None);

/// The first Ctrl-C cancels the request that runs, so that what there is of it is finished properly, unless that takes too
/// long; one without a request, or a second one, ends the program at once.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    /// Stops what runs, which may take so long to end.
    stop: Arc<Mutex<Option<(Stop, Duration)>>>,
    has_come: Arc<AtomicBool>,
    /// Whether somebody else listens now.
    is_released: Arc<AtomicBool>,
    patience: Duration,
}

type Stop = Box<dyn FnOnce() + Send>;

impl Interrupt {
    /// Takes over SIGINT, until it is released.
    /// A request that is cancelled may take `patience` to end.
    pub(super) fn install(patience: Duration) -> Result<Self> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let interrupt = match &*installed {
            Some(interrupt) => interrupt.clone(),
            None => installed.insert(Self::start()?).clone(),
        };
        interrupt.is_released.store(false, Ordering::Release);
        Ok(Self { patience, ..interrupt })
    }

    fn start() -> Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT]).context("cannot listen for Ctrl-C")?;
        let listener = interrupt.clone();
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                for _ in signals.forever() {
                    listener.come();
                }
            })
            .context("cannot start a thread to listen for Ctrl-C")?;
        Ok(interrupt)
    }

    fn come(&self) {
        if self.is_released.load(Ordering::Acquire) {
            return;
        }
        match self.take() {
            Some((stop, patience)) => {
                self.has_come.store(true, Ordering::Release);
                stop();
                end_after(patience);
            }
            None => ending::exit(INTERRUPTED),
        }
    }

    /// From now on Ctrl-C calls `stop`.
    pub(super) fn watch(&self, stop: impl FnOnce() + Send + 'static) {
        *self.stop.lock().unwrap_or_else(PoisonError::into_inner) = Some((Box::new(stop), self.patience));
    }

    /// What ran is over: from now on Ctrl-C ends the program.
    pub(super) fn rest(&self) {
        let _ = self.take();
    }

    /// From now on Ctrl-C is somebody else's, who listens as well.
    pub(super) fn release() {
        if let Some(interrupt) = &*INSTALLED.lock().unwrap_or_else(PoisonError::into_inner) {
            interrupt.rest();
            interrupt.is_released.store(true, Ordering::Release);
        }
    }

    /// Whether Ctrl-C has stopped something.
    pub(super) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::Acquire)
    }

    fn take(&self) -> Option<(Stop, Duration)> {
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
