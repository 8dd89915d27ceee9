//! The person's editor.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::Command;

use tempfile::TempPath;

/// Edits `text` in `$VISUAL`, `$EDITOR` or `vi`, in a file that only its owner can read.
///
/// # Errors
/// One clear sentence; the text that was there is unchanged then.
pub(super) fn edit(text: &str) -> Result<String, String> {
    let path = draft(text).map_err(|error| format!("cannot write a file for the editor: {error}"))?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os).filter(|editor| !editor.is_empty());
    let editor = editor.unwrap_or_else(|| OsString::from("vi"));
    let name = editor.to_string_lossy().into_owned();
    // Through a shell, since editors are set with their arguments: `code --wait`.
    let mut script = editor;
    script.push(" \"$1\"");
    let status = Command::new("sh").arg("-c").arg(script).arg("sh").arg(&path).status();
    match status {
        Ok(status) if status.success() => {
            let edited = gibber_files::read_text(&path, gibber_files::LARGE)
                .map_err(|error| format!("cannot read what the editor wrote, {}: {error}", path.display()))?;
            // Editors end a file with a line feed that nobody typed.
            Ok(edited.strip_suffix('\n').unwrap_or(&edited).to_owned())
        }
        Ok(status) => Err(format!("the editor `{name}` ended with {status}: the text is as it was")),
        Err(error) => Err(format!("the editor `{name}` cannot be started: {error}; set $EDITOR")),
    }
}

/// A file for the user alone, which goes when this is dropped; the editor may put another in its place.
fn draft(text: &str) -> io::Result<TempPath> {
    let mut file = tempfile::Builder::new().prefix("gibber-").suffix(".txt").tempfile()?;
    file.write_all(text.as_bytes())?;
    Ok(file.into_temp_path())
}
