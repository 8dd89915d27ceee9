//! What a hub is asked: a repository's files, a file's size and hash, some of its bytes, and names.

mod listing;
mod refusal;

use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::http::StatusCode;

use crate::http::{Address, Answer, Client, LARGEST, Question, encoded, encoded_path, etag, number, read_all};
use crate::{Backoff, Body, Cancel, HubEnvironment, HubError, Repository, Result, Retry, TimeOuts};

pub use listing::{Listing, Oid, RemoteFile};

/// Bytes of an answer in JSON.
const JSON: usize = 64 << 20;
/// An answer in JSON takes so many times as long as a server may be silent, at most.
const JSON_TIME: u32 = 20;
/// Repositories that a search finds.
const FOUND: usize = 20;
/// Bytes that are read and thrown away to get at a range, where a server knows none.
const SKIPPED: u64 = 64 << 20;

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

type Notice = Arc<dyn Fn(&Retry) + Send + Sync>;

/// A hub. Clones share their connections.
#[derive(Clone)]
pub struct Hub {
    environment: Arc<HubEnvironment>,
    client: Arc<Client>,
    cancel: Cancel,
    notice: Option<Notice>,
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
    /// [`HubError::Environment`] where the endpoint or a proxy cannot be used.
    pub fn new(environment: &HubEnvironment) -> Result<Self> {
        let environment = Arc::new(environment.clone());
        let client = Arc::new(Client::new(Arc::clone(&environment))?);
        Ok(Self { environment, client, cancel: Cancel::new(), notice: None })
    }

    /// The same hub, whose requests end when `cancel` is asked for, also those that wait for a server that says nothing.
    #[must_use]
    pub fn with_cancel(&self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self.clone() }
    }

    /// The same hub, which tells `notice` before it tries again what failed.
    #[must_use]
    pub fn with_notice(&self, notice: Arc<dyn Fn(&Retry) + Send + Sync>) -> Self {
        Self { notice: Some(notice), ..self.clone() }
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
        self.refuse_offline(|| format!("the list of files of {repository}"))?;
        self.listing(repository, revision).map_err(|error| self.explained(error, repository, revision))
    }

    /// What the hub says about the file at `path`.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn head(&self, listing: &Listing, path: &str) -> Result<FileHead> {
        self.refuse_offline(|| path.to_owned())?;
        let address = self.file(listing, path)?;
        // The hub knows the size, and whoever has the bytes may refuse to be asked for it.
        let known = self.again(|| {
            let answer = self.client.ask(&Question { stays: true, ..Question::head(address.clone()) }, &self.cancel)?;
            Ok(file_head(&answer))
        });
        match known.map_err(|error| self.of_file(error, listing, path))? {
            Some(head) => Ok(head),
            None => self.head_of(&address).map_err(|error| self.of_file(error, listing, path)),
        }
    }

    /// The bytes `range` of the file at `path`, fewer where it ends before; tried again where the line fails.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn range(&self, listing: &Listing, path: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.refuse_offline(|| path.to_owned())?;
        let size = listing.files.iter().find(|file| file.path == path).map_or(u64::MAX, |file| file.size);
        let range = range.start..range.end.min(size);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        self.again(|| {
            let mut body = self.open(listing, path, range.clone())?;
            read_range(&mut body, path, &range)
        })
    }

    /// The bytes `range` of the file at `path` as they arrive. Tried once: whoever reads goes on with what is missing, as a
    /// [`crate::Backoff`] says.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn open(&self, listing: &Listing, path: &str, range: Range<u64>) -> Result<Body> {
        self.refuse_offline(|| path.to_owned())?;
        let address = self.file(listing, path)?;
        let answer = self.client.ask(&Question::range(address, range.clone()), &self.cancel);
        Body::new(answer.map_err(|error| self.of_file(error, listing, path))?, path.to_owned(), &range)
    }

    /// What the server of an `https://` address says about the file there.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn head_address(&self, url: &str) -> Result<FileHead> {
        let address = Address::new(url)?;
        self.refuse_offline(|| address.shown())?;
        self.head_of(&address)
    }

    /// The same as [`Hub::open`] for an address.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn open_address(&self, url: &str, range: Range<u64>) -> Result<Body> {
        let address = Address::new(url)?;
        let shown = address.shown();
        self.refuse_offline(|| shown.clone())?;
        Body::new(self.client.ask(&Question::range(address, range.clone()), &self.cancel)?, shown, &range)
    }

    /// Repositories that have `text` in their names, those that are fetched most first; at most twenty.
    ///
    /// # Errors
    /// Those of [`Hub::list`].
    pub fn search(&self, text: &str) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Found {
            id: String,
        }
        self.refuse_offline(|| format!("the hub's list of models with '{text}' in their names"))?;
        let text = encoded(text);
        let target = format!("/api/models?search={text}&sort=downloads&direction=-1&limit={FOUND}");
        let found: Vec<Found> = self.json(&self.address(&target)?)?.0;
        // Names that no repository has are not shown to anybody.
        let names = found.into_iter().filter(|found| Repository::new(&found.id).is_ok()).map(|found| found.id);
        Ok(names.take(FOUND).collect())
    }

    fn refuse_offline(&self, what: impl Fn() -> String) -> Result<()> {
        match &self.environment.offline {
            Some(variable) => Err(HubError::Offline { what: what(), variable: variable.clone() }),
            None => Ok(()),
        }
    }

    /// The same hub for questions beside the matter: asked once.
    #[must_use]
    pub fn briefly(&self) -> Self {
        let mut environment = (*self.environment).clone();
        environment.time_outs.retries = 0;
        Self { environment: Arc::new(environment), notice: None, ..self.clone() }
    }

    fn address(&self, target: &str) -> Result<Address> {
        Address::new(&format!("{}{target}", self.environment.endpoint))
    }

    /// Where the file at `path` is.
    fn file(&self, listing: &Listing, path: &str) -> Result<Address> {
        let (repository, commit) = (listing.repository.as_str(), encoded(&listing.commit));
        self.address(&format!("/{repository}/resolve/{commit}/{}", encoded_path(path)))
    }

    /// Does it until it works, or trying again makes no sense.
    fn again<T>(&self, mut once: impl FnMut() -> Result<T>) -> Result<T> {
        let mut backoff = Backoff::new(self.time_outs());
        loop {
            let error = match once() {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let Some(retry) = backoff.after(&error) else { return Err(error) };
            tracing::debug!(?retry, "trying again");
            if let Some(notice) = &self.notice {
                notice(&retry);
            }
            if !self.cancel.wait(retry.wait) {
                return Err(HubError::Cancelled);
            }
        }
    }

    /// What the answer in JSON says, and where the next page is.
    fn json<T: DeserializeOwned>(&self, address: &Address) -> Result<(T, Option<Address>)> {
        self.again(|| {
            let answer = self.client.ask(&Question::get(address.clone()), &self.cancel)?;
            let url = address.shown();
            let next = listing::next_page(&answer, address)?;
            let bytes = read_all(answer, &url, JSON, self.time_outs().stall.saturating_mul(JSON_TIME))?;
            let value = serde_json::from_slice(&bytes)
                .map_err(|error| HubError::Malformed { url, why: not_json(&bytes, &error) })?;
            Ok((value, next))
        })
    }

    /// What is at `address`, where it is asked for: its head, or the first byte of it.
    fn head_of(&self, address: &Address) -> Result<FileHead> {
        self.again(|| {
            match self.client.ask(&Question::head(address.clone()), &self.cancel) {
                Ok(answer) => {
                    if let Some(head) = file_head(&answer) {
                        return Ok(head);
                    }
                }
                // What is signed for being fetched is not signed for this.
                Err(HubError::Status { status: 403 | 405 | 501, .. }) => {}
                Err(error) => return Err(error),
            }
            let range = 0..1;
            let answer = self.client.ask(&Question::range(address.clone(), range.clone()), &self.cancel)?;
            let ranges = answer.status == StatusCode::PARTIAL_CONTENT;
            let body = Body::new(answer, address.shown(), &range)?;
            let size = body.size.ok_or_else(|| HubError::Malformed {
                url: address.shown(),
                why: "it does not say how long the file is".to_owned(),
            })?;
            Ok(FileHead { size, etag: body.etag, commit: None, ranges })
        })
    }
}

/// What the headers say about a file; none where they do not tell its size.
fn file_head(answer: &Answer) -> Option<FileHead> {
    let length = answer.header("content-length").filter(|_| answer.status.is_success());
    let size = number(answer.header("x-linked-size").or(length)).filter(|size| *size <= LARGEST)?;
    let commit = answer.header("x-repo-commit").and_then(listing::commit);
    // What a hub sends on to knows ranges, as far as anybody can tell before asking.
    let ranges = answer.status.is_redirection() || answer.header("accept-ranges") == Some("bytes");
    Some(FileHead { size, etag: etag(&answer.headers), commit, ranges })
}

/// All bytes of `range`, of which `body` begins with the first or with that of the file.
fn read_range(body: &mut Body, path: &str, range: &Range<u64>) -> Result<Vec<u8>> {
    let mut skip = range.start.saturating_sub(body.start);
    if skip > SKIPPED {
        let why = "it sends no parts of files".to_owned();
        return Err(HubError::Malformed { url: path.to_owned(), why });
    }
    let wanted = range.end - range.start;
    let (mut bytes, mut block) = (Vec::new(), vec![0; 64 << 10]);
    while (bytes.len() as u64) < wanted {
        let count = body.read(&mut block)?;
        if count == 0 {
            break;
        }
        let from = usize::try_from(skip).map_or(count, |skip| skip.min(count));
        skip -= from as u64;
        bytes.extend_from_slice(&block[from..count]);
    }
    bytes.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
    Ok(bytes)
}

/// Why an answer is none of a hub's.
fn not_json(bytes: &[u8], error: &serde_json::Error) -> String {
    if bytes.trim_ascii_start().starts_with(b"<") {
        return "it is a web page and no list; is there a page to log in at between here and the hub?".to_owned();
    }
    crate::http::printable(&error.to_string())
}
