//! The prompt history: one JSON string a line, oldest first, so that an entry of several lines stays whole.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::{StoreError, files};
use gibber_files::private;

/// Entries that are kept.
pub const CAPACITY: usize = 1000;

/// Past this size the file is looked at when it is loaded, and cut to its last [`CAPACITY`] entries.
const COMPACT_OVER_BYTES: u64 = 1 << 20;

/// The last [`CAPACITY`] entries, oldest first; a file that does not exist has none. A damaged line is left out.
///
/// # Errors
/// [`StoreError::Io`] where the file is there and cannot be read.
pub fn load(path: &Path) -> Result<Vec<String>, StoreError> {
    let lines = match last_lines(path) {
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        lines => lines?,
    };
    let mut entries: Vec<String> = lines.iter().filter_map(|line| serde_json::from_slice(line).ok()).collect();
    entries.drain(..entries.len().saturating_sub(CAPACITY));
    Ok(entries)
}

/// The lines of the file, or of its end: what is larger than this program would ever let it become has the newest there.
fn last_lines(path: &Path) -> Result<Vec<Vec<u8>>, StoreError> {
    let read = || {
        let mut file = gibber_files::open(path)?;
        let before = file.metadata()?.len().saturating_sub(gibber_files::LARGE);
        file.seek(SeekFrom::Start(before))?;
        BufReader::new(file.take(gibber_files::LARGE)).split(b'\n').collect::<std::io::Result<Vec<_>>>()
    };
    read().map_err(|error| StoreError::io("read", path, error))
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
        let mut file = gibber_files::open_with(private::options().read(true).append(true).create(true), path)?;
        // What was cut in the middle of a line (by a full disk, or the end of the program) stays alone.
        let before = if ends_in_a_line(&mut file)? { "" } else { "\n" };
        // One write of one line: two programs that append at once do not mix.
        file.write_all(format!("{before}{}\n", serde_json::Value::from(entry)).as_bytes())?;
        file.metadata()
    };
    let size = write().map_err(|error| StoreError::io("write", path, error))?.len();
    if size > COMPACT_OVER_BYTES { compact(path) } else { Ok(()) }
}

/// Whether nothing, or the end of a line, is at the end of `file`.
fn ends_in_a_line(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Keeps the last lines, also those that are no entries: what is in them may be wanted by somebody.
fn compact(path: &Path) -> Result<(), StoreError> {
    let mut lines = last_lines(path)?;
    // Half of the capacity is kept where long entries fill the file, so that not every append rewrites it.
    let mut bytes = 0;
    let fits = |line: &&Vec<u8>| {
        bytes += line.len() as u64 + 1;
        bytes <= COMPACT_OVER_BYTES / 2
    };
    let kept = lines.iter().rev().take(CAPACITY).take_while(fits).count();
    let mut content = lines.split_off(lines.len() - kept).join(&b'\n');
    content.push(b'\n');
    files::write_atomic(path, content)
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
    fn an_entry_after_a_cut_line_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        std::fs::write(&path, b"\"a\"\n\"what was cu").unwrap();
        append(&path, "b").unwrap();
        append(&path, "c").unwrap();
        assert_eq!(load(&path).unwrap(), ["a", "b", "c"]);
        assert_eq!(std::fs::read(&path).unwrap(), b"\"a\"\n\"what was cu\n\"b\"\n\"c\"\n");
    }

    #[test]
    fn what_is_no_entry_is_kept_when_the_file_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("history.jsonl");
        let old = format!("\"old\"\n\"{}\"\n\u{ff}\u{fe} broken\n", "x".repeat(COMPACT_OVER_BYTES as usize));
        std::fs::write(&path, old).unwrap();
        append(&path, "new").unwrap();
        let content = std::fs::read_to_string(&path).unwrap();
        assert_eq!(content, "\u{ff}\u{fe} broken\n\"new\"\n");
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
