//! A limit of bytes a second for several connections together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::Cancel;

/// Bytes that are read at once where nothing limits them.
pub(crate) const CHUNK: usize = 64 << 10;

/// Whoever has read bytes waits until the limit allows them.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: Option<u64>,
    /// When all that was read so far is allowed.
    allowed: Mutex<Option<Instant>>,
}

impl Throttle {
    /// Zero bytes a second count as one.
    pub(crate) fn new(bytes_per_second: Option<u64>) -> Self {
        Self { bytes_per_second: bytes_per_second.map(|rate| rate.max(1)), allowed: Mutex::new(None) }
    }

    /// Bytes to read at once: a twentieth of a second, so that progress is even.
    pub(crate) fn chunk(&self) -> usize {
        let even = |rate: u64| usize::try_from(rate / 20).unwrap_or(CHUNK).clamp(1 << 10, CHUNK);
        self.bytes_per_second.map_or(CHUNK, even)
    }

    /// Waits until `bytes` more are allowed, or `cancel` is asked for.
    pub(crate) fn pay(&self, bytes: usize, cancel: &Cancel) {
        let Some(rate) = self.bytes_per_second else { return };
        #[expect(clippy::cast_precision_loss, reason = "counts of a chunk and of a second")]
        let cost = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let now = Instant::now();
        let until = {
            let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used is not saved up.
            let until = allowed.map_or(now, |at| at.max(now)) + cost;
            *allowed = Some(until);
            until
        };
        cancel.wait(until.saturating_duration_since(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_share_one_limit() {
        let throttle = Throttle::new(Some(100_000));
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5).for_each(|_| throttle.pay(1_000, &Cancel::new())));
            }
        });
        assert!(start.elapsed() >= Duration::from_millis(199), "{:?}", start.elapsed());
    }

    #[test]
    fn whoever_waits_can_be_ended() {
        let cancel = Cancel::new();
        cancel.cancel();
        Throttle::new(Some(0)).pay(1 << 30, &cancel);
        assert_eq!(Throttle::new(Some(1)).chunk(), 1 << 10);
        assert_eq!(Throttle::new(None).chunk(), CHUNK);
    }
}
