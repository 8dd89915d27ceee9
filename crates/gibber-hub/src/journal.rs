//! A partial file and the journal of what is in it, from which a download goes on.
//!
//! The bytes are in `NAME.gibber-part`, each at its own place, with holes where they have not come yet. So no other program
//! may take its length for how far it is: that is why it has a suffix of its own. Beside it, `NAME.gibber-part.journal` has a
//! line of what the file is to become, and a line for every segment that was written: where it begins and ends, the checksum
//! of its bytes, and a checksum of the line itself with the first one.
//!
//! A segment's line is written after its bytes, so that a kill loses no more than the segments that were being written. A
//! loss of power can lose either of them in any order, in spite of that; so what a line promises counts once the bytes are
//! read and have its checksum (see [`crate::download`]), and both files go to the disk every few seconds, the bytes first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::segments::Segment;

/// What a partial file's name ends with.
const SUFFIX: &str = ".gibber-part";
/// What the name of its journal ends with.
const JOURNAL_SUFFIX: &str = ".gibber-part.journal";
/// Of one that is being written.
const NEW_JOURNAL_SUFFIX: &str = ".gibber-part.journal-new";
/// Bytes of a segment at most: it is held in memory to be checked.
pub(crate) const LONGEST: u64 = 1 << 20;

/// What a partial file is to become: one that began as something else is begun anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Of the journal's form.
    version: u32,
    /// The file, as people know it: a path in a repository, or an address.
    pub(crate) path: String,
    /// Bytes of the whole file.
    pub(crate) size: u64,
    /// What names its bytes: a hash, or whatever the server calls them by.
    pub(crate) content: String,
}

impl Identity {
    pub(crate) fn new(path: impl Into<String>, size: u64, content: impl Into<String>) -> Self {
        Self { version: 1, path: path.into(), size, content: content.into() }
    }
}

/// A partial file with its journal. Whoever has it holds the lock of the file that it becomes.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    bytes: File,
    journal_path: PathBuf,
    journal: Mutex<File>,
    /// Checksum of the line that says what it becomes.
    salt: u64,
}

impl Partial {
    /// Opens what there is of `target`, or begins it; the segments are what the journal promises.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(target: &Path, identity: &Identity) -> io::Result<(Self, Vec<Segment>)> {
        let (path, journal_path) = (with_suffix(target, SUFFIX), with_suffix(target, JOURNAL_SUFFIX));
        let segments = promised(&path, &journal_path, identity);
        if segments.is_empty() {
            // In this order: a journal never stands beside bytes that are not its own.
            remove(&journal_path)?;
            remove(&path)?;
        }
        let options = |truncate| OpenOptions::new().read(true).write(true).create(true).truncate(truncate).clone();
        let bytes = gibber_files::open_with(&mut options(false), &path)?;
        // What does not count is left behind with the old journal.
        let (head, new_path) = (head(identity), with_suffix(target, NEW_JOURNAL_SUFFIX));
        let salt = xxh3_64(&head);
        let lines: String = segments.iter().map(|segment| line(segment, salt)).collect();
        let mut journal = gibber_files::open_with(&mut options(true), &new_path)?;
        journal.write_all(&head)?;
        journal.write_all(lines.as_bytes())?;
        fs::rename(&new_path, &journal_path)?;
        Ok((Self { path, bytes, journal_path, journal: Mutex::new(journal), salt }, segments))
    }

    /// Writes bytes that begin at `at`.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.bytes.write_all_at(bytes, at)
    }

    /// Says that the bytes of `segment` are written.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn record(&self, segment: &Segment) -> io::Result<()> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        journal.write_all(line(segment, self.salt).as_bytes())
    }

    /// The bytes of `segment`, if they are those that its line promised.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn proven(&self, segment: &Segment) -> io::Result<Option<Vec<u8>>> {
        proven(&self.bytes, segment)
    }

    /// Sends what is written to the disk, the bytes before the lines that promise them.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // Lines that come meanwhile are of later bytes: their turn is next.
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        self.bytes.sync_data()?;
        journal.sync_data()
    }

    /// Gives the complete file its name, which may be another's until then.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn finish(self, target: &Path, size: u64) -> io::Result<()> {
        self.bytes.set_len(size)?;
        self.bytes.sync_all()?;
        fs::rename(&self.path, target)?;
        remove(&self.journal_path)?;
        sync_folder(target)
    }

    /// Removes it: nothing of it is any good.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn discard(self) -> io::Result<()> {
        remove(&self.journal_path)?;
        remove(&self.path)
    }
}

/// How many bytes of `target` a journal promises.
pub(crate) fn promised_bytes(target: &Path, identity: &Identity) -> u64 {
    let segments = promised(&with_suffix(target, SUFFIX), &with_suffix(target, JOURNAL_SUFFIX), identity);
    crate::segments::SegmentMap::new(identity.size, segments).bytes()
}

/// The bytes from the front of `target` that are here and are those that its journal promises, up to about `most`.
pub(crate) fn front(target: &Path, identity: &Identity, most: u64) -> Vec<u8> {
    let path = with_suffix(target, SUFFIX);
    let mut segments = promised(&path, &with_suffix(target, JOURNAL_SUFFIX), identity);
    segments.sort_by_key(|segment| segment.start);
    let (Ok(file), mut front) = (gibber_files::open(&path), Vec::new()) else { return Vec::new() };
    for segment in segments.into_iter().take_while(|segment| segment.start < most) {
        if segment.start == front.len() as u64 {
            match proven(&file, &segment) {
                Ok(Some(bytes)) => front.extend(bytes),
                Ok(None) | Err(_) => break,
            }
        }
    }
    front
}

/// The bytes of `segment` in a partial file, if they are those that its line promised.
fn proven(file: &File, segment: &Segment) -> io::Result<Option<Vec<u8>>> {
    let length = (segment.end - segment.start).min(LONGEST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, segment.start) {
        Ok(()) => Ok((xxh3_64(&bytes) == segment.checksum).then_some(bytes)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// The partial files in `folder`: what each was to become, and how it says that it is known.
pub(crate) fn partial_files(folder: &Path) -> Vec<(PathBuf, Identity)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let of_entry = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let target = folder.join(name.strip_suffix(JOURNAL_SUFFIX)?);
        let text = gibber_files::read(&entry.path(), gibber_files::LARGE).ok()?;
        Some((target, identity_of(&text)?))
    };
    entries.filter_map(of_entry).collect()
}

/// Whether there is anything of a partial file of `target`.
pub(crate) fn has_partial(target: &Path) -> bool {
    [JOURNAL_SUFFIX, SUFFIX].iter().any(|suffix| with_suffix(target, suffix).symlink_metadata().is_ok())
}

/// Removes what there is of `target`, whose lock the caller holds.
///
/// # Errors
/// What the system says.
pub(crate) fn remove_partial(target: &Path) -> io::Result<()> {
    [NEW_JOURNAL_SUFFIX, JOURNAL_SUFFIX, SUFFIX].iter().try_for_each(|suffix| remove(&with_suffix(target, suffix)))
}

/// What the journal at `path` promises of the file that it is beside.
fn promised(bytes: &Path, path: &Path, identity: &Identity) -> Vec<Segment> {
    let Ok(text) = gibber_files::read(path, gibber_files::LARGE) else { return Vec::new() };
    if identity_of(&text).as_ref() != Some(identity) {
        return Vec::new();
    }
    let length = bytes.symlink_metadata().map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
    let salt = xxh3_64(&head(identity));
    let lines = text.split(|byte| *byte == b'\n').skip(1);
    lines.filter_map(|line| segment(line, salt)).filter(|segment| segment.end <= length.min(identity.size)).collect()
}

/// What the partial file at `path` is to become, as far as its journal says it.
pub(crate) fn becomes(path: &Path) -> Option<Identity> {
    let journal = path.to_str()?.strip_suffix(SUFFIX).map(|target| format!("{target}{JOURNAL_SUFFIX}"))?;
    identity_of(&gibber_files::read(Path::new(&journal), gibber_files::LARGE).ok()?)
}

fn identity_of(journal: &[u8]) -> Option<Identity> {
    serde_json::from_slice(journal.split(|byte| *byte == b'\n').next()?).ok()
}

fn head(identity: &Identity) -> Vec<u8> {
    // Numbers and texts: there is nothing in it that could not be written.
    serde_json::to_vec(identity).unwrap_or_default()
}

/// The line begins with what ends the one before it, which may be half there.
fn line(segment: &Segment, salt: u64) -> String {
    let text = format!("{} {} {:016x}", segment.start, segment.end, segment.checksum);
    format!("\n{text} {:016x}", checksum_of(&text, salt))
}

fn segment(line: &[u8], salt: u64) -> Option<Segment> {
    let (text, sum) = std::str::from_utf8(line).ok()?.rsplit_once(' ')?;
    if u64::from_str_radix(sum, 16).ok()? != checksum_of(text, salt) || sum.len() != 16 {
        return None;
    }
    let mut words = text.split(' ');
    let (start, end) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let checksum = u64::from_str_radix(words.next()?, 16).ok()?;
    (start < end && end - start <= LONGEST && words.next().is_none()).then_some(Segment { start, end, checksum })
}

fn checksum_of(text: &str, salt: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), salt)
}

fn with_suffix(target: &Path, suffix: &str) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A new name in a folder is there after a loss of power once the folder is on the disk.
pub(crate) fn sync_folder(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity::new("model.gguf", 1000, "abc")
    }

    fn written(partial: &Partial, start: u64, bytes: &[u8]) -> Segment {
        partial.write_at(bytes, start).unwrap();
        let segment = Segment { start, end: start + bytes.len() as u64, checksum: xxh3_64(bytes) };
        partial.record(&segment).unwrap();
        segment
    }

    #[test]
    fn what_is_recorded_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        let (partial, none) = Partial::open(&target, &identity()).unwrap();
        assert!(none.is_empty());
        let segments = [written(&partial, 500, b"later"), written(&partial, 0, b"first")];
        partial.sync().unwrap();
        drop(partial);
        for _ in 0..2 {
            let (partial, known) = Partial::open(&target, &identity()).unwrap();
            assert_eq!(known, segments);
            assert_eq!(partial.proven(&known[0]).unwrap().unwrap(), b"later");
        }
        assert_eq!(promised_bytes(&target, &identity()), 10);
        assert_eq!(front(&target, &identity(), 1000), b"first", "and not what stands behind a hole");
        assert_eq!(partial_files(folder.path()), [(target, identity())]);
    }

    #[test]
    fn nothing_counts_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        let (partial, _) = Partial::open(&target, &identity()).unwrap();
        let kept = written(&partial, 0, b"first");
        let lost = written(&partial, 10, b"other");
        // As after a loss of power: the line is there, and its bytes are not.
        partial.write_at(&[0; 5], 10).unwrap();
        let beyond = Segment { start: 900, end: 950, checksum: 1 };
        partial.record(&beyond).unwrap();
        drop(partial);
        // A line that is half there, one that was changed, one of another file.
        let journal = with_suffix(&target, JOURNAL_SUFFIX);
        let mut text = fs::read_to_string(&journal).unwrap();
        let (whole, other) = (line(&kept, xxh3_64(&head(&identity()))), line(&lost, 7));
        text += &format!("{other}{}\nx{}", whole.replace("\n0 5", "\n0 6"), &whole[..whole.len() - 3]);
        fs::write(&journal, text).unwrap();
        let (partial, known) = Partial::open(&target, &identity()).unwrap();
        assert_eq!(known, [kept, lost], "what lies behind the end of the file is not promised");
        assert!(partial.proven(&kept).unwrap().is_some());
        assert!(partial.proven(&lost).unwrap().is_none());
    }

    #[test]
    fn a_line_behind_one_that_is_half_there_counts() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        let (partial, _) = Partial::open(&target, &identity()).unwrap();
        partial.journal.lock().unwrap().write_all(b"\n12 1").unwrap();
        let segment = written(&partial, 0, b"first");
        drop(partial);
        assert_eq!(Partial::open(&target, &identity()).unwrap().1, [segment]);
    }

    #[test]
    fn another_file_of_the_name_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        let (partial, _) = Partial::open(&target, &identity()).unwrap();
        written(&partial, 0, b"first");
        drop(partial);
        let (partial, known) = Partial::open(&target, &Identity::new("model.gguf", 1000, "abd")).unwrap();
        assert!(known.is_empty());
        assert_eq!(fs::metadata(&partial.path).unwrap().len(), 0);
        partial.discard().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_complete_one_gets_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("abc");
        let (partial, _) = Partial::open(&target, &Identity::new("a", 5, "x")).unwrap();
        written(&partial, 0, b"first");
        partial.finish(&target, 5).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
