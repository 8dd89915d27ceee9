//! What can go wrong with the files of the config directory.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// An error of the store: each message names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The system names no home directory.
    #[error("no home directory is known for the config directory: name one with --config-dir or GIBBER_CONFIG_DIR")]
    NoHome,
    /// A file or directory could not be made, read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried, such as `write`.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database file is damaged, or is something else.
    #[error("{path} is damaged or is not a chat database: move it away, and a new one is started")]
    Corrupt {
        /// The database.
        path: PathBuf,
    },
    /// The database was written by a later version of the program.
    #[error(
        "{path} has the format {found}, this version knows formats up to {known}: update gibber, or name another directory with --config-dir"
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The last one known.
        known: i64,
    },
    /// Another program holds the database.
    #[error("{path} is in use by another program, which has not let go of it for some time")]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk with {path} is full: make room, and what was not saved is saved then")]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The database may not be written, or not be opened at all.
    #[error("{path} cannot be opened for writing: look at its permissions and those of its directory")]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// There is no such conversation.
    #[error("{path} has no chat with the number {id}")]
    UnknownSession {
        /// The database.
        path: PathBuf,
        /// The number asked for.
        id: i64,
    },
    /// Any other error of the database.
    #[error("{path}: {source}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// An error of the system about `path`.
    pub(super) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::StorageFull => Self::DiskFull { path: path.into() },
            _ => Self::Io { what, path: path.into(), source },
        }
    }

    /// An error of SQLite about the database at `path`.
    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt { path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
            _ => Self::Database { path, source },
        }
    }
}
