//! How fast tokens come: the figure of the moment, and its course.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The figure of the moment looks back this far.
const WINDOW: Duration = Duration::from_millis(1500);

/// The course gets a point this often.
const INTERVAL: Duration = Duration::from_millis(250);

/// Tokens that are drained together come so close after each other. They are one sample: what is between them says nothing
/// about how fast they were made.
const LUMP: Duration = Duration::from_millis(5);

/// Points that are kept: more than any panel is wide.
const POINTS: usize = 60;

/// Counts tokens as they arrive.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    /// (when, tokens by then), oldest first.
    samples: VecDeque<(Instant, usize)>,
    count: usize,
    course: VecDeque<f64>,
    last_point: Option<Instant>,
}

impl Meter {
    /// A token came.
    pub fn token(&mut self, now: Instant) {
        self.count += 1;
        match self.samples.back_mut() {
            Some((at, count)) if now.duration_since(*at) < LUMP => *count = self.count,
            _ => self.samples.push_back((now, self.count)),
        }
        while self.samples.len() > 2 && now.duration_since(self.samples[1].0) > WINDOW {
            self.samples.pop_front();
        }
        let Some(rate) = self.rate() else { return };
        match (self.last_point, self.course.back_mut()) {
            // The newest point grows with its interval: a rate over a few milliseconds is mostly chance.
            (Some(at), Some(point)) if now.duration_since(at) < INTERVAL => *point = rate,
            _ => {
                self.last_point = Some(now);
                self.course.push_back(rate);
                if self.course.len() > POINTS {
                    self.course.pop_front();
                }
            }
        }
    }

    /// Tokens a second over the last moment; `None` before there are two samples.
    pub fn rate(&self) -> Option<f64> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let seconds = last.0.duration_since(first.0).as_secs_f64();
        (seconds > 0.0).then(|| (last.1 - first.1) as f64 / seconds)
    }

    /// Tokens that came.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The rates so far, oldest first, one for each quarter of a second.
    pub fn course(&self) -> impl ExactSizeIterator<Item = f64> + DoubleEndedIterator {
        self.course.iter().copied()
    }

    /// A reply begins: the figure starts afresh, the course goes on.
    pub fn restart(&mut self) {
        self.samples.clear();
        self.count = 0;
        self.last_point = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_that_are_drained_one_after_the_other_are_no_faster() {
        let start = Instant::now();
        let mut meter = Meter::default();
        for lump in 0..10 {
            for token in 0..6 {
                meter.token(start + Duration::from_micros(60_000 * lump + 20 * token));
            }
        }
        assert!(meter.course().all(|rate| (rate - 100.0).abs() < 4.0), "{:?}", meter.course().collect::<Vec<_>>());
        assert!((meter.rate().unwrap() - 100.0).abs() < 4.0, "{:?}", meter.rate());
    }

    #[test]
    fn a_steady_stream_has_its_rate_also_when_drained_in_lumps() {
        let start = Instant::now();
        let mut meter = Meter::default();
        assert_eq!(meter.rate(), None);
        for lump in 0..40 {
            for _ in 0..5 {
                meter.token(start + Duration::from_millis(50 * lump));
            }
        }
        assert!((meter.rate().unwrap() - 100.0).abs() < 4.0, "{:?}", meter.rate());
        assert_eq!(meter.count(), 200);
        assert!((6..=9).contains(&meter.course().len()));
        meter.restart();
        assert_eq!((meter.rate(), meter.count()), (None, 0));
        assert!(meter.course().len() > 0);
    }
}
