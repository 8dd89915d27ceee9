//! What a hub is asked: a repository's files, a file's size and hash, some of its bytes, and names.

use std::ops::Range;
use std::sync::Arc;

use crate::{Body, Cancel, HubEnvironment, HubError, Repository, Result, Retry, TimeOuts};

/// What names the bytes of a file: lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Oid {
    /// SHA-256 of the bytes: 64 digits. Large files have it.
    Sha256(String),
    /// Git's SHA-1 of the bytes with their length before them: 40 digits.
    GitBlob(String),
}

impl Oid {
    /// The digits: the name of the file in the cache.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sha256(digits) | Self::GitBlob(digits) => digits,
        }
    }
}

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path in the repository, with slashes; checked: relative, no `..`, no control characters.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// What names its bytes.
    pub oid: Oid,
}

/// The files of a repository at a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whose they are.
    pub repository: Repository,
    /// The branch, tag or commit that was asked for.
    pub revision: String,
    /// The commit that this is: 40 hexadecimal digits.
    pub commit: String,
    /// All files, in the hub's order.
    pub files: Vec<RemoteFile>,
    /// Whether its makers let in only those who agreed to something.
    pub gated: bool,
}

/// What the hub says about a file without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileHead {
    /// Bytes.
    pub size: u64,
    /// What names its bytes, without quotation marks, where the server says it.
    pub etag: Option<String>,
    /// The commit that it is of, where the server is a hub.
    pub commit: Option<String>,
    /// Whether a part of it can be had.
    pub ranges: bool,
}

/// A hub. Clones share their connections.
#[derive(Clone)]
pub struct Hub {
    environment: Arc<HubEnvironment>,
    cancel: Cancel,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("endpoint", &self.environment.endpoint).finish_non_exhaustive()
    }
}

impl Hub {
    /// The one that `environment` names. Nothing is asked yet.
    ///
    /// # Errors
    /// Where the file of certificates or the proxy cannot be used.
    pub fn new(environment: &HubEnvironment) -> Result<Self> {
        Ok(Self { environment: Arc::new(environment.clone()), cancel: Cancel::new() })
    }

    /// The same hub, whose requests end when `cancel` is asked for, also those that wait for a server that says nothing.
    #[must_use]
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// The same hub, which tells `notice` before it tries again what failed.
    #[must_use]
    pub fn with_notice(&self, notice: Arc<dyn Fn(&Retry) + Send + Sync>) -> Self {
        let _ = notice;
        self.clone()
    }

    /// What it was made of.
    pub fn environment(&self) -> &HubEnvironment {
        &self.environment
    }

    /// How long a server may take.
    pub fn time_outs(&self) -> &TimeOuts {
        &self.environment.time_outs
    }

    /// What ends its requests.
    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The files of `repository` at a branch, tag or commit.
    ///
    /// # Errors
    /// [`HubError::Offline`]; where the repository or the revision does not exist or is closed to this person; what the
    /// network does.
    pub fn list(&self, repository: &Repository, revision: &str) -> Result<Listing> {
        let _ = (repository, revision);
        Err(HubError::NotYet("fetching models"))
    }

    /// What the hub says about the file at `path`.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn head(&self, listing: &Listing, path: &str) -> Result<FileHead> {
        let _ = (listing, path);
        Err(HubError::NotYet("fetching models"))
    }

    /// The bytes `range` of the file at `path`, fewer where it ends before; tried again where the line fails.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn range(&self, listing: &Listing, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        let _ = (listing, path, range);
        Err(HubError::NotYet("fetching models"))
    }

    /// The bytes `range` of the file at `path` as they arrive. Tried once: whoever reads goes on with what is missing, as a
    /// [`crate::Backoff`] says.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn open(&self, listing: &Listing, path: &str, range: Range<u64>) -> Result<Body> {
        let _ = (listing, path, range);
        Err(HubError::NotYet("fetching models"))
    }

    /// What the server of an `https://` address says about the file there.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn head_address(&self, url: &str) -> Result<FileHead> {
        let _ = url;
        Err(HubError::NotYet("fetching models"))
    }

    /// The same as [`Hub::open`] for an address.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn open_address(&self, url: &str, range: Range<u64>) -> Result<Body> {
        let _ = (url, range);
        Err(HubError::NotYet("fetching models"))
    }

    /// Repositories that have `text` in their names, those that are fetched most first; at most twenty.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn search(&self, text: &str) -> Result<Vec<String>> {
        let _ = text;
        Err(HubError::NotYet("searching for models"))
    }
}
