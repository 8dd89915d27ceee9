//! The prompt history: one JSON string a line, oldest first, so that an entry of several lines stays whole.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{StoreError, files};

/// Entries that are kept.
pub const CAPACITY: usize = 1000;

/// Past this size the file is looked at when it is loaded, and cut to its last [`CAPACITY`] entries.
const COMPACT_OVER_BYTES: u64 = 1 << 20;

/// The last [`CAPACITY`] entries, oldest first; a file that does not exist has none. A damaged line is left out.
///
/// # Errors
/// [`StoreError::Io`] where the file is there and cannot be read.
pub fn load(path: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::io("read", path, error);
    let mut file = match gibber_files::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    // Of what is larger than this program would ever let it become, the end has the newest.
    let before = file.metadata().map_err(failed)?.len().saturating_sub(gibber_files::LARGE);
    file.seek(SeekFrom::Start(before)).map_err(failed)?;
    let mut entries = Vec::new();
    for line in BufReader::new(file.take(gibber_files::LARGE)).split(b'\n') {
        entries.extend(serde_json::from_slice::<String>(&line.map_err(failed)?).ok());
    }
    entries.drain(..entries.len().saturating_sub(CAPACITY));
    Ok(entries)
}

/// Adds an entry at the end. An empty one is left out.
///
/// # Errors
/// [`StoreError::Io`], or [`StoreError::DiskFull`].
pub fn append(path: &Path, entry: &str) -> Result<(), StoreError> {
    if entry.trim().is_empty() {
        return Ok(());
    }
    let write = || {
        let mut file = gibber_files::open_with(files::private_options().append(true).create(true), path)?;
        // One write of one line: two programs that append at once do not mix.
        file.write_all(format!("{}\n", serde_json::Value::from(entry)).as_bytes())?;
        file.metadata()
    };
    let size = write().map_err(|error| StoreError::io("write", path, error))?.len();
    if size > COMPACT_OVER_BYTES { compact(path) } else { Ok(()) }
}

fn compact(path: &Path) -> Result<(), StoreError> {
    let entries = load(path)?;
    // Half of the capacity is kept where long entries fill the file, so that not every append rewrites it.
    let mut kept = Vec::new();
    let mut bytes = 0;
    for entry in entries.iter().rev() {
        let line = format!("{}\n", serde_json::Value::from(entry.as_str()));
        bytes += line.len() as u64;
        if bytes > COMPACT_OVER_BYTES / 2 {
            break;
        }
        kept.push(line);
    }
    kept.reverse();
    files::write_atomic(path, &kept.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_whole_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        assert_eq!(load(&path).unwrap(), Vec::<String>::new());
        let entries = ["one", "two\nlines \u{1b}[31m \"quoted\"", "日本語"];
        for entry in entries {
            append(&path, entry).unwrap();
        }
        append(&path, " \n").unwrap();
        assert_eq!(load(&path).unwrap(), entries);
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), entries.len());
    }

    #[test]
    fn a_damaged_line_does_not_hide_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        std::fs::write(&path, b"\"a\"\n\xff\xfe\n{\"cut\n\"b\"\n").unwrap();
        assert_eq!(load(&path).unwrap(), ["a", "b"]);
    }

    #[test]
    fn only_the_last_entries_are_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let all: String = (0..CAPACITY + 5).map(|i| format!("\"{i}\"\n")).collect();
        std::fs::write(&path, all).unwrap();
        let entries = load(&path).unwrap();
        assert_eq!((entries.len(), entries[0].as_str()), (CAPACITY, "5"));
    }

    #[test]
    fn the_file_does_not_grow_without_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let long = "x".repeat(300_000);
        for i in 0..8 {
            append(&path, &format!("{i}{long}")).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= COMPACT_OVER_BYTES + 300_010);
        assert!(load(&path).unwrap().last().unwrap().starts_with('7'));
    }
}
