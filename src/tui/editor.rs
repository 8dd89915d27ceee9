//! The person's editor.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Edits `text` in `$VISUAL`, `$EDITOR` or `vi`, in a file that only its owner can read.
///
/// # Errors
/// One clear sentence; the text that was there is unchanged then.
pub(super) fn edit(text: &str) -> Result<String, String> {
    let file = Draft::create(text).map_err(|error| format!("cannot write a file for the editor: {error}"))?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os).filter(|editor| !editor.is_empty());
    let editor = editor.unwrap_or_else(|| OsString::from("vi"));
    let name = editor.to_string_lossy().into_owned();
    // Through a shell, since editors are set with their arguments: `code --wait`.
    let mut script = editor;
    script.push(" \"$1\"");
    let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(&file.path).status();
    match status {
        Ok(status) if status.success() => {
            let edited = gibber_files::read_text(&file.path, gibber_files::LARGE)
                .map_err(|error| format!("cannot read what the editor wrote, {}: {error}", file.path.display()))?;
            // Editors end a file with a line feed that nobody typed.
            Ok(edited.strip_suffix('\n').unwrap_or(&edited).to_owned())
        }
        Ok(status) => Err(format!("the editor `{name}` ended with {status}: the text is as it was")),
        Err(error) => Err(format!("the editor `{name}` cannot be started: {error}; set $EDITOR")),
    }
}

/// A file that goes when it is dropped.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn create(text: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir();
        for number in 0..1000 {
            let path = folder.join(format!("gibber-{}-{number}.txt", std::process::id()));
            match create_private(&path) {
                Ok(mut file) => {
                    let draft = Self { path };
                    file.write_all(text.as_bytes())?;
                    return Ok(draft);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is full of drafts", folder.display())))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn create_private(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
