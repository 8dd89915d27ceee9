//! Locks between programs: `flock` on a file that stays, as Python's `filelock` takes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags};
use rustix::io::Errno;

use crate::{Cancel, HubError, Result};

/// How often it is tried again whether the lock is free.
const POLL: Duration = Duration::from_millis(100);

/// A lock that is held until this is dropped, or the process ends.
#[derive(Debug)]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock at `path`, whose folder is made, unless somebody else holds it.
    ///
    /// # Errors
    /// What the system says; [`HubError::NoLocks`] where the file system has none.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>> {
        let wrong = |source| HubError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| HubError::Io { path: folder.to_owned(), source })?;
        }
        loop {
            let file = open(path).map_err(wrong)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK | Errno::ACCESS) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(Errno::NOSYS | Errno::NOTSUP | Errno::NOLCK) => {
                    return Err(HubError::NoLocks { path: path.to_owned() });
                }
                Err(error) => return Err(wrong(error.into())),
            }
            // Whoever held it may have removed the file: then another has locked the new one of that name.
            if is_at(&file, path).map_err(wrong)? {
                return Ok(Some(Self { _file: file }));
            }
        }
    }

    /// The same, waiting for whoever holds it; `waiting` is called once where that is so.
    ///
    /// # Errors
    /// Those of [`FileLock::try_take`]; [`HubError::Cancelled`].
    pub(crate) fn take(path: &Path, cancel: &Cancel, waiting: impl FnOnce()) -> Result<Self> {
        let mut waiting = Some(waiting);
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            if !cancel.wait(POLL) {
                return Err(HubError::Cancelled);
            }
        }
    }
}

/// Opens it for everyone of the group, as `huggingface_hub` does; one that belongs to somebody else is only read.
fn open(path: &Path) -> io::Result<File> {
    let options = |write: bool| {
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(write).mode(0o664).custom_flags(flags());
        options.open(path)
    };
    match options(true) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied && path.exists() => options(false),
        opened => opened,
    }
}

/// No link is followed, and nothing that is no file blocks whoever opens it.
fn flags() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_gets_it_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".locks/models--a--b/abc.lock");
        let held = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(FileLock::try_take(&path).unwrap().is_some());
        assert!(path.exists(), "others wait at the same file");
    }

    #[test]
    fn a_lock_whose_file_was_removed_keeps_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.lock");
        let old = FileLock::try_take(&path).unwrap().unwrap();
        fs::remove_file(&path).unwrap();
        let new = FileLock::try_take(&path).unwrap().unwrap();
        assert!(FileLock::try_take(&path).unwrap().is_none());
        drop((old, new));
    }

    #[test]
    fn waiting_is_told_once_and_can_be_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.lock");
        let _held = FileLock::try_take(&path).unwrap().unwrap();
        let (cancel, mut told) = (Cancel::new(), 0);
        let ended = FileLock::take(&path, &cancel, || {
            told += 1;
            cancel.cancel();
        });
        assert!(matches!(ended, Err(HubError::Cancelled)));
        assert_eq!(told, 1);
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc.lock");
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        assert!(matches!(FileLock::try_take(&path), Err(HubError::Io { .. })));
        assert!(!folder.path().join("elsewhere").exists());
    }
}
