//! The full screen.

use crate::app::{App, FrontEndIo};
use crate::worker::WorkerHandle;

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The person left.
    Quit,
    /// A signal ended it; the exit code is 128 and this.
    Signal(i32),
}

/// What can go wrong on the screen itself.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal could not be read or written.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] std::io::Error),
}

/// Runs the full screen until the person leaves. The terminal is as it was when this returns.
///
/// # Errors
/// [`TuiError::Terminal`] where the terminal cannot be read or written.
pub fn run(app: App, worker: WorkerHandle, io: Box<dyn FrontEndIo>) -> Result<ExitReason, TuiError> {
    let _ = (app, worker, io);
    Ok(ExitReason::Quit)
}
