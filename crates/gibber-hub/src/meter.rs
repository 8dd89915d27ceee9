//! How far a pull is, as it is told to people.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::{HubError, PullEvent};

/// How often progress is told at most.
const OFTEN: Duration = Duration::from_millis(200);
/// Over how long the speed is measured.
const WINDOW: Duration = Duration::from_secs(10);
/// Before this, a speed would be a guess.
const SHORTEST: Duration = Duration::from_millis(500);

/// A number of bytes, for people: with decimal units, and three digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let count = self.0 as f64;
        match self.0 {
            0..1_000 => write!(f, "{} bytes", self.0),
            1_000..1_000_000 => write!(f, "{:.1} kB", count / 1e3),
            1_000_000..1_000_000_000 => write!(f, "{:.1} MB", count / 1e6),
            _ => write!(f, "{:.2} GB", count / 1e9),
        }
    }
}

/// Counts what comes, and tells it. What is done never becomes less: where something has to come twice, the total grows.
pub(crate) struct Meter<'a> {
    events: &'a dyn Fn(PullEvent),
    counts: RefCell<Counts>,
}

struct Counts {
    done: u64,
    total: u64,
    /// Of `done`, what belongs to the file that is on its way.
    of_file: u64,
    /// What came over the line.
    fetched: u64,
    /// How much had come at a time.
    samples: VecDeque<(Instant, u64)>,
    shown: Option<(Instant, u64, u64)>,
}

impl<'a> Meter<'a> {
    /// Of `total` bytes `here` are here.
    pub(crate) fn new(events: &'a dyn Fn(PullEvent), here: u64, total: u64) -> Self {
        let samples = VecDeque::from([(Instant::now(), 0)]);
        let counts = Counts { done: here, total, of_file: 0, fetched: 0, samples, shown: None };
        Self { events, counts: RefCell::new(counts) }
    }

    pub(crate) fn tell(&self, event: PullEvent) {
        (self.events)(event);
    }

    /// A file is next of which `assumed` bytes were counted as here.
    pub(crate) fn next_file(&self, assumed: u64) {
        self.counts.borrow_mut().of_file = assumed;
    }

    /// Of the file that is next, so many bytes are here after all.
    pub(crate) fn file_begins(&self, here: u64) {
        let mut counts = self.counts.borrow_mut();
        let was = std::mem::replace(&mut counts.of_file, here);
        counts.done += here.saturating_sub(was);
        counts.total += was.saturating_sub(here);
    }

    pub(crate) fn came(&self, bytes: u64) {
        let mut counts = self.counts.borrow_mut();
        counts.done += bytes;
        counts.of_file += bytes;
        counts.fetched += bytes;
        drop(counts);
        self.show();
    }

    /// Bytes came that were here.
    pub(crate) fn skipped(&self, bytes: u64) {
        self.counts.borrow_mut().fetched += bytes;
        self.show();
    }

    /// Bytes that were counted have to come again.
    pub(crate) fn lost(&self, bytes: u64) {
        let mut counts = self.counts.borrow_mut();
        counts.of_file = counts.of_file.saturating_sub(bytes);
        counts.total += bytes;
    }

    /// The file has to come again from the front, because of `error`.
    pub(crate) fn again(&self, path: &str, error: &HubError) {
        let all = self.counts.borrow().of_file;
        self.lost(all);
        self.tell(PullEvent::Retrying {
            path: path.to_owned(),
            reason: error.first_time(),
            attempt: 1,
            wait_seconds: 0.0,
        });
    }

    /// The file that has to come again has another size by now.
    pub(crate) fn resize(&self, was: u64, is: u64) {
        let mut counts = self.counts.borrow_mut();
        counts.total = (counts.total + is).saturating_sub(was).max(counts.done);
    }

    /// Bytes that came over the line.
    pub(crate) fn fetched(&self) -> u64 {
        self.counts.borrow().fetched
    }

    /// Tells how far it is, if that is news and not too soon.
    pub(crate) fn show(&self) {
        let now = Instant::now();
        let is_news = |counts: &Counts| match counts.shown {
            Some((at, done, total)) => {
                (done, total) != (counts.done, counts.total)
                    && (now.duration_since(at) >= OFTEN || counts.done == counts.total)
            }
            None => true,
        };
        if is_news(&self.counts.borrow()) {
            let event = self.counts.borrow_mut().progress(now);
            self.tell(event);
        }
    }
}

impl Counts {
    fn progress(&mut self, now: Instant) -> PullEvent {
        self.shown = Some((now, self.done, self.total));
        self.samples.push_back((now, self.fetched));
        while self.samples.len() > 2 && now.duration_since(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
        }
        let (since, before) = self.samples[0];
        let time = now.duration_since(since);
        #[expect(clippy::cast_precision_loss, reason = "a speed for people")]
        let speed = |bytes: u64| bytes as f64 / time.as_secs_f64();
        let bytes_per_second = if time < SHORTEST { 0.0 } else { speed(self.fetched - before) };
        #[expect(clippy::cast_precision_loss, reason = "a time for people")]
        let left = self.total.saturating_sub(self.done) as f64;
        let seconds_left = (bytes_per_second > 0.0).then(|| left / bytes_per_second);
        PullEvent::Progress { done: self.done, total: self.total, bytes_per_second, seconds_left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(events: &RefCell<Vec<PullEvent>>) -> (u64, u64) {
        match events.borrow().last() {
            Some(PullEvent::Progress { done, total, .. }) => (*done, *total),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_done_never_becomes_less() {
        let events = RefCell::new(Vec::new());
        let tell = |event| events.borrow_mut().push(event);
        let meter = Meter::new(&tell, 40, 100);
        let now = || meter.counts.borrow_mut().progress(Instant::now());
        meter.next_file(40);
        meter.file_begins(30);
        events.borrow_mut().push(now());
        assert_eq!(shown(&events), (40, 110), "ten that were counted have to come");
        meter.came(70);
        events.borrow_mut().push(now());
        assert_eq!(shown(&events), (110, 110));
        meter.again("model.gguf", &HubError::Cancelled);
        meter.file_begins(0);
        events.borrow_mut().push(now());
        assert_eq!(shown(&events), (110, 210), "all of the file");
        meter.came(100);
        assert_eq!(shown(&events), (210, 210));
        assert_eq!(meter.fetched(), 170);
    }

    #[test]
    fn bytes_have_the_unit_that_fits() {
        let shown: Vec<_> = [0, 999, 1_000, 98_765_432, 4_200_000_000].map(|bytes| Bytes(bytes).to_string()).into();
        assert_eq!(shown, ["0 bytes", "999 bytes", "1.0 kB", "98.8 MB", "4.20 GB"]);
    }
}
