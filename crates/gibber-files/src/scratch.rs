//! Files on their way to a name that another file may have.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use tempfile::{NamedTempFile, TempDir};

/// Makes an empty file in the folder of `target`, since a rename does not cross file systems; `options` say for whom it
/// is. It goes when this is dropped, unless it was given its name ([`NamedTempFile::persist`]). Its own name is short
/// whatever that of `target`, and nobody else's.
///
/// # Errors
/// What the system says; nobody has heard of the file's own name, and no error mentions it.
pub fn scratch_beside(target: &Path, options: &OpenOptions) -> io::Result<NamedTempFile<File>> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut options = options.clone();
    let make = |path: &Path| options.write(true).create_new(true).open(path);
    tempfile::Builder::new().prefix(".gibber-").suffix(".tmp").make_in(folder, make)
}

/// Makes a folder in `folder`, for the user alone; it goes when this is dropped.
///
/// # Errors
/// What the system says; nobody has heard of the folder's own name, and no error mentions it.
pub fn scratch_folder_in(folder: &Path) -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(".gibber-").tempdir_in(folder).map_err(nameless)
}

/// What the system says of a scratch file or folder, without its name: nobody has heard of that.
pub fn nameless(error: io::Error) -> io::Error {
    let said = error.to_string();
    let cause = said.rsplit_once(" at path ").map_or(said.as_str(), |(cause, _)| cause);
    io::Error::new(error.kind(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn it_goes_with_its_owner_or_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("x".repeat(250));
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let (mut one, other) = [(); 2].map(|()| scratch_beside(&target, &OpenOptions::new()).unwrap()).into();
        assert_eq!(files(), 2, "two at once have names of their own");
        one.as_file_mut().write_all(b"text").unwrap();
        one.persist(&target).unwrap();
        drop(other);
        assert_eq!((files(), std::fs::read_to_string(&target).unwrap().as_str()), (1, "text"));
    }

    #[test]
    fn an_error_does_not_name_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = scratch_beside(&folder.path().join("missing/file"), &OpenOptions::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.raw_os_error().is_some() && !error.to_string().contains(".gibber-"), "{error}");
        let error = scratch_folder_in(&folder.path().join("missing")).unwrap_err();
        assert_eq!(error.to_string(), io::Error::from_raw_os_error(2).to_string());
    }
}
