//! How what runs for long is ended from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often a wait looks whether it is to end.
const SLICE: Duration = Duration::from_millis(100);

/// A wish that can be made once: whoever holds a clone of it stops.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// One that nobody has asked for.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everyone who holds it to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits for so long, or less where it is asked for meanwhile; whether the whole time passed.
    pub fn wait(&self, time: Duration) -> bool {
        let start = Instant::now();
        while !self.is_cancelled() {
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(SLICE));
        }
        false
    }
}

impl From<Arc<AtomicBool>> for Cancel {
    fn from(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }
}
