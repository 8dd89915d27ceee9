//! A plan carried out.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Cache, Cancel, Hub, HubError, Plan, Result};

/// What a pull may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Ranges of one file that are fetched at once.
    pub connections: usize,
    /// For all of them together; none means as fast as it comes.
    pub bytes_per_second: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 4, bytes_per_second: None }
    }
}

/// What a pull ended with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What `-m` takes.
    pub path: PathBuf,
    /// Bytes that came over the line.
    pub bytes_fetched: u64,
    /// Bytes that were here before.
    pub bytes_here: u64,
}

/// What a pull says while it runs: the contract of `gibber pull --json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum PullEvent {
    /// What is going to be fetched.
    Planned {
        /// How many files.
        files: usize,
        /// Bytes of all of them.
        total: u64,
        /// Bytes that are here already.
        here: u64,
    },
    /// Something else has to end first: another program that fetches the same file.
    Waiting {
        /// The file.
        path: String,
        /// For what.
        what: String,
    },
    /// How far it is. `done` never becomes smaller.
    Progress {
        /// Bytes.
        done: u64,
        /// Bytes; more than planned where something has to be fetched twice.
        total: u64,
        /// Over the last seconds.
        bytes_per_second: f64,
        /// None until it can be told.
        seconds_left: Option<f64>,
    },
    /// Something failed and is tried again.
    Retrying {
        /// The file.
        path: String,
        /// What happened.
        reason: String,
        /// From 1 on.
        attempt: u32,
        /// Before it is tried.
        wait_seconds: f64,
    },
    /// A file has the hash that it is to have.
    Verified {
        /// The file.
        path: String,
        /// 64 hexadecimal digits.
        sha256: String,
    },
    /// A file is in its place.
    Done {
        /// The file.
        path: String,
        /// Its size.
        bytes: u64,
    },
}

/// Fetches the files of `plan` into `cache`; what is there already is not fetched again.
///
/// # Errors
/// What the network and the disk do; a file whose hash is wrong twice; [`HubError::Cancelled`]. What was fetched by then
/// stays, and the next pull goes on from it.
pub fn pull(
    hub: &Hub,
    cache: &Cache,
    plan: &Plan,
    limits: &Limits,
    progress: &dyn Fn(PullEvent),
    cancel: &Cancel,
) -> Result<Pulled> {
    let _ = (hub, cache, plan, limits, progress, cancel);
    Err(HubError::NotYet("fetching models"))
}
