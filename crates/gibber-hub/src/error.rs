//! Why something cannot be had from a hub.

use std::io;
use std::path::PathBuf;

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
    /// A part of this program that cannot do it yet.
    #[error("{0} is not possible yet")]
    NotYet(&'static str),
}
