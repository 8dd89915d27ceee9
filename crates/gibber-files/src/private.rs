//! Folders and files of the program's own, for the user alone: chats, prompts, what was made of models.

use std::fs::{DirBuilder, OpenOptions};
use std::path::Path;

/// Makes `path` and the directories above it, for the user alone (0700), where they are not there yet.
///
/// # Errors
/// What the system says.
pub fn make_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Options that make new files for the user alone (0600).
pub fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
