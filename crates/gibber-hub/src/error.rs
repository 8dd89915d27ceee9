//! Why something cannot be had from a hub.

use std::io;
use std::path::PathBuf;

use crate::meter::Bytes;

/// What this crate gives back.
pub type Result<T> = std::result::Result<T, HubError>;

/// What went wrong, each in a sentence that says what to do. None holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A variable of the environment has a value that cannot be used.
    #[error("{variable} is '{value}', which cannot be used: {why}")]
    Environment {
        /// Its name.
        variable: String,
        /// What it is, without what is secret in it.
        value: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// A name that no repository, file, revision or address has.
    #[error("'{name}' cannot be used: {why}")]
    Name {
        /// As it was given.
        name: String,
        /// What is wrong with it, and what it looks like.
        why: String,
    },
    /// Something would have to be fetched, and a variable says that nothing is.
    #[error(
        "{what} is not on this machine, and nothing is fetched because {variable} is set: unset it, or copy the file here"
    )]
    Offline {
        /// What was to be fetched.
        what: String,
        /// The variable that says so.
        variable: String,
    },
    /// What a repository has cannot be used.
    #[error("{repository}: {why}")]
    Repository {
        /// Its name.
        repository: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
    /// A catalogue has something in it that cannot be used.
    #[error("{}:{line}: {why}", path.display())]
    Catalogue {
        /// Its file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// The person stopped it.
    #[error("stopped; what was fetched is kept, and the same command goes on from there")]
    Cancelled,
    /// A file or folder of this machine.
    #[error("{}: {source}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file system on which programs cannot wait for each other.
    #[error(
        "{}: this file system has no locks, so that two programs could write one file: set HF_HOME to a folder on another",
        path.display()
    )]
    NoLocks {
        /// The lock's file.
        path: PathBuf,
    },
    /// There is less room than what is still to come.
    #[error(
        "{what} needs {needed} more in {}, and {free} are free there: make room{elsewhere}",
        folder.display()
    )]
    NoRoom {
        /// What is to be fetched.
        what: String,
        /// Where to.
        folder: PathBuf,
        /// Bytes that are still to come.
        needed: Bytes,
        /// Bytes that are free.
        free: Bytes,
        /// How another folder is named, after a comma.
        elsewhere: &'static str,
    },
    /// The disk, or what a person may use of it, came to its end.
    #[error("{}: {source}; what was fetched is kept: make room, and the same command goes on from there", path.display())]
    DiskFull {
        /// The file that was being written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// An answer ended before what was asked for had come.
    #[error("{path}: the server's answer ended at byte {at}, before all that was asked for had come")]
    Cut {
        /// The file, or its address.
        path: String,
        /// The first byte that did not come.
        at: u64,
    },
    /// The server has another file there than when it was first asked, twice.
    #[error("{path}: the server has another file there each time that it is asked: try again later")]
    Changed {
        /// The file, or its address.
        path: String,
    },
    /// A file has another size than it is to have, twice.
    #[error(
        "{path}: it should have {expected} bytes, and the server sends one of {actual}, also the second time: nothing of it is kept"
    )]
    WrongSize {
        /// The file, or its address.
        path: String,
        /// Bytes that it should have.
        expected: u64,
        /// Bytes that the server says it has.
        actual: u64,
    },
    /// A file has other bytes than it is to have, twice.
    #[error(
        "{path}: its hash should be {expected}, and is {actual}, also the second time: nothing of it is kept; somebody changed it on the way, or the server is not the right one"
    )]
    WrongHash {
        /// The file, or its address.
        path: String,
        /// What was promised.
        expected: String,
        /// What came.
        actual: String,
    },
    /// What is at an address is no GGUF file.
    #[error("{url}: this is no GGUF file (it begins with {begins}): give the address of the file itself")]
    NotGguf {
        /// The address.
        url: String,
        /// Its first bytes, quoted.
        begins: String,
    },
    /// Another file has the name that a file at an address would get.
    #[error("{}: {why}: move it away, and the same command fetches the file", path.display())]
    Occupied {
        /// The file that is there.
        path: PathBuf,
        /// How it is another.
        why: String,
    },
    /// The list of what was fetched was written by a later gibber.
    #[error("{}: a newer gibber has written it (version {version}): update this one, or move the file away", path.display())]
    NewerLedger {
        /// The list's file.
        path: PathBuf,
        /// Of its form.
        version: u64,
    },
    /// The list of what was fetched cannot be read.
    #[error("{}: {why}; it is what gibber fetched: mend it, or move it away to begin a new one", path.display())]
    BrokenLedger {
        /// The list's file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A part of this program that cannot do it yet.
    #[error("{0} is not possible yet")]
    NotYet(&'static str),
}
