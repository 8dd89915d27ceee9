//! What can go wrong with the files of the config directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    #[error(
        "{path} is damaged or is not a chat database: `gibber sessions repair` puts what can still be read into a new one, and keeps the damaged file"
    )]
    Corrupt {
        /// The database.
        path: PathBuf,
    },
    /// Nothing in the database can be read any more.
    #[error("nothing in {path} can be read as chats: it is left as it is; move it away, and a new one is started")]
    Beyond {
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
    /// No room is left where the database is.
    #[error("the disk with {path} is full: make room on it")]
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
    /// The system failed to write.
    #[error("{path} cannot be written: the disk is full or failing, or a limit is reached: make room on it")]
    Unwritable {
        /// The database.
        path: PathBuf,
    },
    /// The system failed to read.
    #[error(
        "{path} cannot be read: the disk may be failing, or its network drive be gone; copy the file elsewhere while that works"
    )]
    Unreadable {
        /// The database.
        path: PathBuf,
    },
    /// The file system has no locks.
    #[error(
        "{path} cannot be locked, as network drives often cannot: name a directory on a local disk with --config-dir"
    )]
    NoLocks {
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
    #[error("{path} cannot be used: {what}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

impl StoreError {
    /// Whether it may be over in a moment, without anybody's help.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Io { source, .. } => !matches!(
                source.kind(),
                ErrorKind::PermissionDenied
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::NotADirectory
                    | ErrorKind::IsADirectory
                    | ErrorKind::InvalidInput
            ),
            Self::Locked { .. } | Self::DiskFull { .. } | Self::Unwritable { .. } => true,
            Self::NoHome
            | Self::Corrupt { .. }
            | Self::Beyond { .. }
            | Self::Newer { .. }
            | Self::ReadOnly { .. }
            | Self::Unreadable { .. }
            | Self::NoLocks { .. }
            | Self::UnknownSession { .. }
            | Self::Database { .. } => false,
        }
    }

    /// An error of the system about `path`.
    pub(super) fn io(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull { path: path.into() }
            }
            _ => Self::Io { what, path: path.into(), source },
        }
    }

    /// An error of SQLite about the database at `path`.
    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        match source {
            // A table that is missing is how it says that the database is another program's.
            rusqlite::Error::SqliteFailure(error, Some(said)) if said.starts_with("no such ") => {
                tracing::debug!(%error, said);
                Self::Corrupt { path: path.into() }
            }
            rusqlite::Error::SqliteFailure(error, said) => {
                // The number is for who mends the program.
                tracing::debug!(%error, ?said);
                Self::of_code(path, error)
            }
            error => {
                tracing::debug!(%error);
                Self::Database { path: path.into(), what: "it answers otherwise than a chat database does" }
            }
        }
    }

    fn of_code(path: &Path, error: rusqlite::ffi::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let path = path.to_owned();
        let what = match error.code {
            Code::DatabaseCorrupt | Code::NotADatabase => return Self::Corrupt { path },
            Code::DatabaseBusy | Code::DatabaseLocked => return Self::Locked { path },
            Code::DiskFull => return Self::DiskFull { path },
            Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied => return Self::ReadOnly { path },
            Code::SystemIoFailure => return Self::of_io(path, error.extended_code),
            Code::FileLockingProtocolFailed | Code::NoLargeFileSupport => return Self::NoLocks { path },
            Code::OutOfMemory => "the memory is not enough for it",
            Code::TooBig => "a message is longer than a database can hold",
            Code::OperationAborted | Code::OperationInterrupted => "the work on it was broken off: try again",
            Code::SchemaChanged => "another program has changed its format: start again",
            Code::ConstraintViolation | Code::TypeMismatch => "it refuses what does not fit its format",
            Code::AuthorizationForStatementDenied => "the access to it was denied",
            Code::InternalMalfunction | Code::ApiMisuse | Code::ParameterOutOfRange | Code::NotFound => {
                "the database library met a fault of its own"
            }
            // The enumeration may grow; codes that nobody knows end here as well.
            _ => "the database library refused the work on it",
        };
        Self::Database { path, what }
    }

    /// An error of the system, by what SQLite was about.
    fn of_io(path: PathBuf, extended: i32) -> Self {
        use rusqlite::ffi;
        match extended {
            ffi::SQLITE_IOERR_LOCK
            | ffi::SQLITE_IOERR_UNLOCK
            | ffi::SQLITE_IOERR_RDLOCK
            | ffi::SQLITE_IOERR_CHECKRESERVEDLOCK
            | ffi::SQLITE_IOERR_SHMLOCK => Self::NoLocks { path },
            ffi::SQLITE_IOERR_NOMEM => Self::Database { path, what: "the memory is not enough for it" },
            ffi::SQLITE_IOERR_READ
            | ffi::SQLITE_IOERR_SHORT_READ
            | ffi::SQLITE_IOERR_FSTAT
            | ffi::SQLITE_IOERR_ACCESS
            | ffi::SQLITE_IOERR_CORRUPTFS
            | ffi::SQLITE_IOERR_DATA => Self::Unreadable { path },
            _ => Self::Unwritable { path },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_database_is_a_sentence_with_its_file() {
        let extended = (0..=40).flat_map(|kind| (0..=40).map(move |detail| kind | detail << 8));
        for code in extended {
            for said in [None, Some("disk I/O error".to_owned())] {
                let failure = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), said);
                let text = StoreError::database(Path::new("/c/chats.db"), failure).to_string();
                assert!(text.contains("/c/chats.db ") && text.len() > 40, "{code}: {text}");
                assert!(!text.contains(|c: char| c.is_ascii_digit()) && !text.contains("Error"), "{code}: {text}");
            }
        }
    }

    #[test]
    fn a_log_whose_index_finds_no_room_is_a_full_disk() {
        let failure = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(4874), None);
        let text = StoreError::database(Path::new("chats.db"), failure).to_string();
        assert!(text.contains("the disk is full") && text.contains("make room"), "{text}");
    }
}
