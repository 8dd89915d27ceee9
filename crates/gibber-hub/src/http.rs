//! Requests.

use std::time::Duration;

use crate::{HubError, Result, TimeOuts};

/// What is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// What went wrong, for people.
    pub reason: String,
    /// The how many-th repetition it is, from 1 on.
    pub attempt: u32,
    /// How long is waited before it.
    pub wait: Duration,
}

/// Whether, and when, what failed is tried again.
#[derive(Debug, Clone)]
pub struct Backoff {
    time_outs: TimeOuts,
    attempt: u32,
}

impl Backoff {
    /// One for something that has not failed yet.
    pub fn new(time_outs: &TimeOuts) -> Self {
        Self { time_outs: *time_outs, attempt: 0 }
    }

    /// What to do about `error`: wait and try again, or nothing where it would not help or was tried often enough.
    pub fn after(&mut self, error: &HubError) -> Option<Retry> {
        let _ = (error, self.time_outs, self.attempt);
        None
    }

    /// Something came: what fails from now on has not been tried before.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// The bytes of a file as they arrive.
#[derive(Debug)]
#[non_exhaustive]
pub struct Body {
    /// Which byte of the file comes first: what was asked for, or 0 where the server knows no ranges.
    pub start: u64,
    /// The length of the whole file, where the server says it.
    pub size: Option<u64>,
    /// What names these bytes, without quotation marks: the SHA-256 of a large file.
    pub etag: Option<String>,
}

impl Body {
    /// The next bytes into `buffer`; 0 only where all that was promised has come.
    ///
    /// # Errors
    /// A cut, a stall, or [`HubError::Cancelled`].
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let _ = buffer;
        Err(HubError::NotYet("fetching models"))
    }
}
