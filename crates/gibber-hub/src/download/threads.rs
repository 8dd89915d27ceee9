//! The threads of one file's transfer, and what they share.

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::Xxh3;

use super::{Wanted, disk_error};
use crate::hash::{Digests, Hasher};
use crate::journal::Partial;
use crate::segments::{REQUEST, Segment, SegmentMap};
use crate::throttle::Throttle;
use crate::{Backoff, Body, Cancel, Hub, HubError, Result, Retry};

/// Bytes of a segment: what a program that is killed loses of each range, and how many lines a journal has.
const SEGMENT: u64 = 256 << 10;
/// How long bytes of a slow line wait for their line in the journal.
const LONGEST_OPEN: Duration = Duration::from_secs(5);
/// How often what is there is sent to the disk.
const SYNC: Duration = Duration::from_secs(5);
/// How often whoever has nothing to do looks whether it is to end.
const IDLE: Duration = Duration::from_millis(100);

/// What a thread reports.
pub(super) enum News {
    /// So many bytes came and are written.
    Came(u64),
    /// So many that an earlier run wrote are not what they were.
    Lost(u64),
    /// So many came once more, since the server knows no ranges.
    Skipped(u64),
    Retry(Retry),
    /// The server has another file, of this size where it says one.
    Changed(Option<u64>),
    Failed(HubError),
    Complete(Digests),
}

/// Whether the server sends parts of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ranges {
    /// Nobody has asked yet: the first thread finds out, and the others wait.
    Unknown,
    Known,
    /// The first thread reads from the front, and the others have nothing to do.
    None,
}

impl Ranges {
    fn or_known(self) -> Self {
        if self == Self::Unknown { Self::Known } else { self }
    }
}

struct State {
    map: SegmentMap,
    ranges: Ranges,
}

/// Why a thread goes no further.
enum Halt {
    /// It is the end of it all.
    News(News),
    /// The line or the server failed, which may pass.
    Trouble(HubError),
}

impl From<HubError> for Halt {
    fn from(error: HubError) -> Self {
        Self::Trouble(error)
    }
}

type Step<T> = std::result::Result<T, Halt>;

/// One file on its way.
pub(super) struct Transfer<'a> {
    wanted: &'a Wanted<'a>,
    hub: &'a Hub,
    partial: &'a Partial,
    throttle: &'a Throttle,
    stop: &'a Cancel,
    target: &'a Path,
    state: Mutex<State>,
    changed: Condvar,
}

impl<'a> Transfer<'a> {
    pub(super) fn new(
        wanted: &'a Wanted<'a>,
        hub: &'a Hub,
        partial: &'a Partial,
        map: SegmentMap,
        throttle: &'a Throttle,
        stop: &'a Cancel,
        target: &'a Path,
    ) -> Self {
        let state = Mutex::new(State { map, ranges: Ranges::Unknown });
        Self { wanted, hub, partial, throttle, stop, target, state, changed: Condvar::new() }
    }

    /// Ends all threads.
    pub(super) fn end(&self) {
        self.stop.cancel();
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self, source: std::io::Error) -> Halt {
        Halt::News(News::Failed(disk_error(self.target, source)))
    }

    /// Fetches what is missing until it is to end; the first of the threads has the number 0.
    pub(super) fn fetch(&self, number: usize, news: &Sender<News>) {
        let mut backoff = Backoff::new(self.hub.time_outs());
        while !self.stop.is_cancelled() {
            let done = match self.next_task(number) {
                Task::Wait => continue,
                Task::End => return,
                Task::Request(range) => {
                    let done = self.request(range.clone(), &mut backoff, news);
                    let mut state = self.state();
                    state.map.release(range);
                    self.changed.notify_all();
                    done
                }
                Task::ReadAll => self.read_all(&mut backoff, news),
            };
            let trouble = match done {
                Ok(()) => continue,
                Err(Halt::Trouble(error)) => error,
                Err(Halt::News(end)) => return drop(news.send(end)),
            };
            if self.stop.is_cancelled() {
                return;
            }
            match backoff.after(&trouble) {
                Some(retry) => {
                    let wait = retry.wait;
                    let _ = news.send(News::Retry(retry));
                    self.stop.wait(wait);
                }
                None => return drop(news.send(News::Failed(trouble))),
            }
        }
    }

    fn next_task(&self, number: usize) -> Task {
        let mut state = self.state();
        let task = match state.ranges {
            Ranges::None if number > 0 => return Task::End,
            Ranges::Unknown if number > 0 => None,
            Ranges::None => state.map.next_gap().map(|_| Task::ReadAll),
            Ranges::Unknown | Ranges::Known => state.map.claim(REQUEST).map(Task::Request),
        };
        task.unwrap_or_else(|| {
            // What others fetch may fail, and what an earlier run left may turn out wrong.
            drop(self.changed.wait_timeout(state, IDLE));
            Task::Wait
        })
    }

    /// Opens the file at `range`; whatever comes is of the file that is wanted.
    fn open(&self, range: Range<u64>) -> Step<Body> {
        let body = match self.wanted.source.open(self.hub, range) {
            // The file ends before this range.
            Err(HubError::Status { status: 416, .. }) => return Err(Halt::News(News::Changed(None))),
            opened => opened?,
        };
        let other_size = body.size.filter(|size| *size != self.wanted.size);
        if other_size.is_some() || self.wanted.source.is_changed(&body) {
            return Err(Halt::News(News::Changed(other_size)));
        }
        Ok(body)
    }

    /// Fetches `range`, which nobody else fetches.
    fn request(&self, range: Range<u64>, backoff: &mut Backoff, news: &Sender<News>) -> Step<()> {
        let mut stream = Stream::new(self, self.open(range.clone())?);
        if stream.at != range.start {
            self.state().ranges = Ranges::None;
            return Ok(());
        }
        self.write(&mut stream, range.clone(), backoff, news)?;
        // To the end of an answer, so that the next request can use its connection; a server that goes on behind what was
        // asked for knows no ranges.
        let goes_on = stream.goes_on();
        if goes_on && range.end >= self.wanted.size {
            return Err(Halt::News(News::Changed(None)));
        }
        let mut state = self.state();
        let was_first = state.ranges == Ranges::Unknown;
        state.ranges = if goes_on { Ranges::None } else { state.ranges.or_known() };
        drop(state);
        self.changed.notify_all();
        if goes_on && was_first { self.read_on(stream, backoff, news) } else { Ok(()) }
    }

    /// Reads the whole file from the front, and keeps what is missing.
    fn read_all(&self, backoff: &mut Backoff, news: &Sender<News>) -> Step<()> {
        let stream = Stream::new(self, self.open(0..self.wanted.size)?);
        self.read_on(stream, backoff, news)
    }

    /// Reads `stream` to the end, and keeps what is missing.
    fn read_on(&self, mut stream: Stream<'_>, backoff: &mut Backoff, news: &Sender<News>) -> Step<()> {
        let missing: Vec<_> = std::iter::from_fn(|| self.state().map.claim(u64::MAX)).collect();
        let done = missing.iter().try_for_each(|gap| {
            while stream.at < gap.start {
                let skipped = stream.skip(gap.start)?;
                let _ = news.send(News::Skipped(skipped));
            }
            self.write(&mut stream, gap.clone(), backoff, news)
        });
        let mut state = self.state();
        missing.into_iter().for_each(|gap| state.map.release(gap));
        let is_complete = state.map.next_gap().is_none();
        drop(state);
        done?;
        let is_longer = is_complete && stream.at == self.wanted.size && stream.goes_on();
        if is_longer { Err(Halt::News(News::Changed(None))) } else { Ok(()) }
    }

    /// Writes the bytes of `range`, at whose start `stream` is.
    fn write(
        &self,
        stream: &mut Stream<'_>,
        range: Range<u64>,
        backoff: &mut Backoff,
        news: &Sender<News>,
    ) -> Step<()> {
        let mut writer = Writer::new(self, range.start, news);
        while writer.at < range.end {
            let bytes = stream.next(range.end - writer.at)?;
            if bytes.is_empty() {
                return Err(Halt::Trouble(HubError::Cut { path: self.wanted.source.name().to_owned(), at: writer.at }));
            }
            writer.write(bytes)?;
            backoff.reset();
        }
        writer.close()
    }

    /// Hashes what has come in order until all of it is there and proven.
    pub(super) fn hash(&self, mut hasher: Hasher, news: &Sender<News>) {
        let (mut at, mut synced) = (0, Instant::now());
        while at < self.wanted.size {
            if self.stop.is_cancelled() {
                return;
            }
            match self.hash_segment(at, &mut hasher, news) {
                Ok(ControlFlow::Continue(end)) => at = end,
                Ok(ControlFlow::Break(())) => {}
                Err(error) => return drop(news.send(News::Failed(error))),
            }
            if synced.elapsed() >= SYNC {
                if let Err(error) = self.partial.sync() {
                    return drop(news.send(News::Failed(disk_error(self.target, error))));
                }
                synced = Instant::now();
            }
        }
        let _ = news.send(News::Complete(hasher.finish()));
    }

    /// Hashes the segment that begins at `at`, and gives its end; waits a little where it has not come.
    fn hash_segment(&self, at: u64, hasher: &mut Hasher, news: &Sender<News>) -> Result<ControlFlow<(), u64>> {
        let state = self.state();
        let Some(segment) = state.map.at(at) else {
            drop(self.changed.wait_timeout(state, IDLE));
            return Ok(ControlFlow::Break(()));
        };
        drop(state);
        let proven = self.partial.proven(&segment).map_err(|error| disk_error(self.target, error))?;
        if let Some(bytes) = proven {
            hasher.update(&bytes);
            return Ok(ControlFlow::Continue(segment.end));
        }
        self.state().map.remove(at);
        self.changed.notify_all();
        let _ = news.send(News::Lost(segment.end - segment.start));
        Ok(ControlFlow::Break(()))
    }
}

/// What a thread does next.
enum Task {
    Wait,
    End,
    Request(Range<u64>),
    ReadAll,
}

/// Writes bytes that follow one another, and records them a segment at a time; also what was not complete when it went.
struct Writer<'t> {
    transfer: &'t Transfer<'t>,
    news: &'t Sender<News>,
    /// Of the segment that is open.
    start: u64,
    /// Behind what was written.
    at: u64,
    checksum: Xxh3,
    opened: Instant,
}

impl<'t> Writer<'t> {
    fn new(transfer: &'t Transfer<'t>, start: u64, news: &'t Sender<News>) -> Self {
        Self { transfer, news, start, at: start, checksum: Xxh3::new(), opened: Instant::now() }
    }

    fn write(&mut self, bytes: &[u8]) -> Step<()> {
        self.transfer.partial.write_at(bytes, self.at).map_err(|error| self.transfer.disk(error))?;
        self.checksum.update(bytes);
        self.at += bytes.len() as u64;
        let _ = self.news.send(News::Came(bytes.len() as u64));
        if self.at - self.start >= SEGMENT || self.opened.elapsed() >= LONGEST_OPEN { self.close() } else { Ok(()) }
    }

    /// Records what was written since the last time.
    fn close(&mut self) -> Step<()> {
        let segment = Segment { start: self.start, end: self.at, checksum: self.checksum.digest() };
        if segment.start == segment.end {
            return Ok(());
        }
        (self.start, self.checksum, self.opened) = (self.at, Xxh3::new(), Instant::now());
        let recorded = self.transfer.partial.record(&segment);
        self.transfer.state().map.insert(segment);
        self.transfer.changed.notify_all();
        recorded.map_err(|error| self.transfer.disk(error))
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // Where this fails, the bytes are fetched again.
        let _ = self.close();
    }
}

/// The bytes of an answer, in their own time where that is limited.
struct Stream<'t> {
    transfer: &'t Transfer<'t>,
    body: Body,
    /// What was read, and not given away yet.
    buffer: Vec<u8>,
    left: Range<usize>,
    /// Of the next byte, in the file.
    at: u64,
}

impl<'t> Stream<'t> {
    fn new(transfer: &'t Transfer<'t>, body: Body) -> Self {
        let at = body.start;
        Self { transfer, body, buffer: vec![0; transfer.throttle.chunk()], left: 0..0, at }
    }

    /// The next bytes, at most `most`; none at the end.
    fn next(&mut self, most: u64) -> Step<&[u8]> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        if self.left.is_empty() {
            let count = self.body.read(&mut self.buffer[..most])?;
            self.transfer.throttle.pay(count, self.transfer.stop);
            self.left = 0..count;
        }
        let given = self.left.start..self.left.end.min(self.left.start + most);
        self.left.start = given.end;
        self.at += given.len() as u64;
        Ok(&self.buffer[given])
    }

    /// Whether there is more. Where it cannot be told, what is there is all.
    fn goes_on(&mut self) -> bool {
        if self.left.is_empty() {
            let count = self.body.read(&mut self.buffer).unwrap_or_default();
            self.left = 0..count;
        }
        !self.left.is_empty()
    }

    /// Reads some of what lies before `to`; how much.
    fn skip(&mut self, to: u64) -> Step<u64> {
        match self.next(to - self.at)?.len() {
            0 => Err(Halt::Trouble(HubError::Cut { path: self.transfer.wanted.source.name().to_owned(), at: self.at })),
            count => Ok(count as u64),
        }
    }
}
