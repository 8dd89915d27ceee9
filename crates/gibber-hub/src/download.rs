//! One file: several ranges at once, resumed where they ended, checked, and put in its place.
//!
//! Threads ask for the first bytes that nobody asked for, a request at a time, so that what is there grows from the front.
//! Another reads what has come in order, proves the segments that an earlier run left, and computes the hash meanwhile: by
//! the time the last byte is there, little is left to be hashed, and no segment is believed.
//!
//! A server that knows no ranges is read from the front by one thread; what is there is skipped.

mod threads;

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::hash::{Digests, Hasher};
use crate::journal::{Identity, Partial};
use crate::meter::Meter;
use crate::segments::{REQUEST, SegmentMap};
use crate::throttle::Throttle;
use crate::{Body, Cancel, Hub, HubError, Limits, Listing, Oid, PullEvent, Result, Retry};
use threads::{News, Transfer};

/// How often the thread of the caller looks up.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that are worth a connection of their own.
const PER_CONNECTION: u64 = 4 * REQUEST;
/// Bytes a second that are worth one, where they are limited.
const RATE_PER_CONNECTION: u64 = 256 << 10;

/// Where a file's bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum Source<'a> {
    /// A file of a repository.
    Hub { hub: &'a Hub, listing: &'a Listing, path: &'a str },
    /// What is at an address, and what its server calls it.
    Address { hub: &'a Hub, url: &'a str, etag: Option<&'a str> },
}

impl Source<'_> {
    /// As people know it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Hub { path, .. } => path,
            Self::Address { url, .. } => url,
        }
    }

    fn hub(&self) -> &Hub {
        match self {
            Self::Hub { hub, .. } | Self::Address { hub, .. } => hub,
        }
    }

    /// Asks for some of its bytes; whoever reads them is ended by the hub's own `cancel`.
    fn open(&self, hub: &Hub, range: Range<u64>) -> Result<Body> {
        match self {
            Self::Hub { listing, path, .. } => hub.open(listing, path, range),
            Self::Address { url, .. } => hub.open_address(url, range),
        }
    }

    /// Whether the server calls the bytes by another name than before. A hub's files are those of a commit, and have a hash.
    fn is_changed(&self, body: &Body) -> bool {
        match self {
            Self::Hub { .. } => false,
            Self::Address { etag, .. } => matches!((etag, &body.etag), (Some(was), Some(is)) if was != is),
        }
    }
}

/// A file that is to be here.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    pub(crate) source: Source<'a>,
    /// Bytes.
    pub(crate) size: u64,
    /// What names its bytes, where that is known.
    pub(crate) oid: Option<&'a Oid>,
    /// What an unfinished one is known by.
    pub(crate) identity: Identity,
}

/// What a pull may use and whom it tells.
pub(crate) struct Means<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) throttle: &'a Throttle,
    pub(crate) meter: &'a Meter<'a>,
    pub(crate) cancel: &'a Cancel,
}

/// What came of trying once.
enum Outcome {
    Complete(Digests),
    /// The server has another file by now, of this size where it says one.
    Changed(Option<u64>),
}

/// Fetches `wanted` to `target`, whose lock the caller holds, and gives its SHA-256. What is there of it counts.
///
/// # Errors
/// What the network and the disk do, [`HubError::Cancelled`]: what came stays. [`HubError::WrongHash`] or
/// [`HubError::WrongSize`] where the file was another one twice; nothing of it stays.
pub(crate) fn fetch(wanted: &Wanted<'_>, target: &Path, means: &Means<'_>) -> Result<String> {
    let disk = |source| disk_error(target, source);
    let mut is_repetition = false;
    loop {
        let (partial, segments) = Partial::open(target, &wanted.identity).map_err(disk)?;
        let error = match transfer(wanted, &partial, segments, means, target)? {
            Outcome::Complete(digests) => match wanted.oid {
                Some(oid) if digests.of_kind(oid) != oid.as_str() => HubError::WrongHash {
                    path: wanted.source.name().to_owned(),
                    expected: oid.as_str().to_owned(),
                    actual: digests.of_kind(oid).to_owned(),
                },
                Some(_) | None => {
                    partial.finish(target, wanted.size).map_err(disk)?;
                    return Ok(digests.sha256);
                }
            },
            Outcome::Changed(size) => {
                let path = wanted.source.name().to_owned();
                match size.filter(|size| *size != wanted.size) {
                    Some(actual) => HubError::WrongSize { path, expected: wanted.size, actual },
                    None => HubError::Changed { path },
                }
            }
        };
        partial.discard().map_err(disk)?;
        // What an address has by now, its server has to say first.
        let is_another = matches!(error, HubError::Changed { .. } | HubError::WrongSize { .. })
            && matches!(wanted.source, Source::Address { .. });
        if is_repetition || is_another {
            return Err(error);
        }
        is_repetition = true;
        means.meter.again(wanted.source.name(), &error);
    }
}

/// Fetches what is missing, and hashes all.
fn transfer(
    wanted: &Wanted<'_>,
    partial: &Partial,
    segments: Vec<crate::segments::Segment>,
    means: &Means<'_>,
    target: &Path,
) -> Result<Outcome> {
    let map = SegmentMap::new(wanted.size, segments);
    let missing = wanted.size - map.bytes();
    means.meter.file_begins(map.bytes());
    let stop = Cancel::new();
    let hub = wanted.source.hub().with_cancel(&stop);
    let (sender, news) = mpsc::channel();
    let transfer = Transfer::new(wanted, &hub, partial, map, means.throttle, &stop, target);
    thread::scope(|scope| {
        let (transfer, hashed) = (&transfer, sender.clone());
        let hasher = Hasher::new(wanted.oid, wanted.size);
        scope.spawn(move || transfer.hash(hasher, &hashed));
        for number in 0..connections(means.limits, missing) {
            let sender = sender.clone();
            scope.spawn(move || transfer.fetch(number, &sender));
        }
        let outcome = follow(&news, wanted, means);
        // What reads, waits or hashes ends by this.
        transfer.end();
        outcome
    })
}

/// How many connections are worth it.
fn connections(limits: &Limits, missing: u64) -> usize {
    let by_rate = limits.bytes_per_second.map_or(u64::MAX, |rate| rate / RATE_PER_CONNECTION);
    let most = missing.div_ceil(PER_CONNECTION).min(by_rate).max(1);
    limits.connections.clamp(1, 32).min(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Tells what the threads report until the file is there, or cannot be.
fn follow(news: &mpsc::Receiver<News>, wanted: &Wanted<'_>, means: &Means<'_>) -> Result<Outcome> {
    let mut told_until = Instant::now();
    loop {
        if means.cancel.is_cancelled() {
            return Err(HubError::Cancelled);
        }
        match news.recv_timeout(TICK) {
            Ok(News::Came(bytes)) => means.meter.came(bytes),
            Ok(News::Lost(bytes)) => means.meter.lost(bytes),
            Ok(News::Skipped(bytes)) => means.meter.skipped(bytes),
            // What ends one connection mostly ends all: it is told once for each wait.
            Ok(News::Retry(_)) if Instant::now() < told_until => {}
            Ok(News::Retry(retry)) => {
                told_until = Instant::now() + retry.wait;
                tell_retry(wanted, means, retry);
            }
            Ok(News::Changed(size)) => return Ok(Outcome::Changed(size)),
            Ok(News::Failed(error)) => return Err(error),
            Ok(News::Complete(digests)) => {
                means.meter.show();
                return Ok(Outcome::Complete(digests));
            }
            Err(RecvTimeoutError::Timeout) => means.meter.show(),
            // They report what they end with; without that the file is not there.
            Err(RecvTimeoutError::Disconnected) => return Err(HubError::Cancelled),
        }
    }
}

fn tell_retry(wanted: &Wanted<'_>, means: &Means<'_>, retry: Retry) {
    let (path, wait_seconds) = (wanted.source.name().to_owned(), retry.wait.as_secs_f64());
    means.meter.tell(PullEvent::Retrying { path, reason: retry.reason, attempt: retry.attempt, wait_seconds });
}

/// What the disk did to the file that is to become `target`.
pub(crate) fn disk_error(target: &Path, source: io::Error) -> HubError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let path = target.to_owned();
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => HubError::DiskFull { path, source },
        _ => HubError::Io { path, source },
    }
}
