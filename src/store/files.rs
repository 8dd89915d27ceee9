//! Files that are private to the user, and are never seen half written.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use super::StoreError;
use gibber_files::private;

/// Makes `path` and the directories above it, for the user alone (0700), where they are not there yet.
///
/// # Errors
/// [`StoreError::Io`], or [`StoreError::DiskFull`].
pub fn private_directory(path: &Path) -> Result<(), StoreError> {
    private::make_directory(path).map_err(|source| StoreError::io("make the directory", path, source))
}

/// Replaces a file of the program's own as [`replace`] does; its directory is made where it is missing.
///
/// # Errors
/// [`StoreError::Io`], or [`StoreError::DiskFull`]; the file is as it was then.
pub fn write_atomic(path: &Path, content: impl AsRef<[u8]>) -> Result<(), StoreError> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if let Some(directory) = target.parent() {
        private_directory(directory)?;
    }
    replace(path, content)
}

/// Replaces the file at `path` by `content` in one step: whoever reads it sees the old text or the new one, also when the
/// program or the machine dies on the way. A symbolic link stays one. No directory is made: one that a person names and
/// that is not there is a mistake.
///
/// # Errors
/// [`StoreError::Io`], or [`StoreError::DiskFull`]; the file is as it was then.
pub fn replace(path: &Path, content: impl AsRef<[u8]>) -> Result<(), StoreError> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = target.parent().filter(|directory| !directory.as_os_str().is_empty());
    if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
        let reason = format!("there is no directory {}", directory.display());
        return Err(StoreError::io("write", path, std::io::Error::new(std::io::ErrorKind::NotFound, reason)));
    }
    if target.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return write_in_place(&target, content.as_ref()).map_err(|source| StoreError::io("write", path, source));
    }
    write_beside(&target, content.as_ref()).map_err(|source| StoreError::io("write", path, source))
}

fn write_beside(target: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut scratch = gibber_files::scratch_beside(target, &private::options())?;
    scratch.as_file_mut().write_all(content)?;
    scratch.as_file().sync_all()?;
    scratch.persist(target).map(drop).map_err(|failed| failed.error)
}

/// What is no file is not replaced by one: the null device takes what is written to it, anything else is an error.
fn write_in_place(target: &Path, content: &[u8]) -> std::io::Result<()> {
    gibber_files::open_with(OpenOptions::new().write(true), target)?.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/config.toml");
        write_atomic(&path, "one").unwrap();
        write_atomic(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_for_the_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a/b/config.toml");
        write_atomic(&path, "x").unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_name_may_be_as_long_as_the_system_allows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x".repeat(255));
        replace(&path, "x").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("dotfiles.toml"), directory.path().join("config.toml"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomic(&link, "new").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        assert!(link.is_symlink());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let directory = tempfile::tempdir().unwrap();
        let null = directory.path().join("config.toml");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        write_atomic(&null, "x").unwrap();
        assert_eq!(std::fs::read_to_string(&null).unwrap(), "");
        let socket = directory.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let error = write_atomic(&socket, "x").unwrap_err().to_string();
        assert!(error.contains("socket: it is a socket"), "{error}");
    }

    #[test]
    fn no_directory_is_made_for_a_file_that_a_person_names() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("nosuch/chat.md");
        let error = replace(&path, "x").unwrap_err().to_string();
        assert!(error.contains("chat.md: there is no directory ") && error.ends_with("nosuch"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_error_names_the_file_and_leaves_no_scratch() {
        let directory = tempfile::tempdir().unwrap();
        let taken = directory.path().join("taken");
        std::fs::create_dir_all(taken.join("inside")).unwrap();
        let error = write_atomic(&taken, "x").unwrap_err().to_string();
        assert!(error.starts_with("cannot write ") && error.contains("taken"), "{error}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
