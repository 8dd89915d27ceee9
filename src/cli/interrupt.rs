//! Ctrl-C for the commands that are not interactive.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::INTERRUPTED;
use crate::worker::protocol::CancelToken;

/// The first Ctrl-C cancels the request that runs, so that what there is of it is finished properly; one without a request,
/// or a second one, ends the program at once.
#[derive(Debug, Clone)]
pub(super) struct Interrupt {
    running: Arc<Mutex<Option<CancelToken>>>,
}

impl Interrupt {
    /// Takes over SIGINT for the rest of the process.
    pub(super) fn install() -> Result<Self> {
        let interrupt = Self { running: Arc::default() };
        let mut signals = Signals::new([SIGINT]).context("cannot listen for Ctrl-C")?;
        let listener = interrupt.clone();
        std::thread::Builder::new()
            .name("interrupt".into())
            .spawn(move || {
                for _ in signals.forever() {
                    match listener.take() {
                        Some(cancel) => cancel.cancel(),
                        None => std::process::exit(INTERRUPTED.into()),
                    }
                }
            })
            .context("cannot start a thread to listen for Ctrl-C")?;
        Ok(interrupt)
    }

    /// From now on Ctrl-C cancels this request.
    pub(super) fn watch(&self, cancel: &CancelToken) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(cancel.clone());
    }

    fn take(&self) -> Option<CancelToken> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
