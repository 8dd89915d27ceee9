//! A model's header looked at where the model is not here: its first bytes come by bounded requests for ranges, and are laid
//! into files of the real length, of which the rest takes no room on the disk. The engine opens those as any others, and
//! nothing of the weights is fetched.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use gibber_engine::load::{self, ModelFiles, ModelSource};
use gibber_engine::weights::gguf::Gguf;
use gibber_hub::{Cache, Hub, HubError, Plan, RemoteFile, Result};
use tempfile::TempDir;

/// How much of a file is asked for at first: the keys of most models end in it, but not their vocabulary.
const FIRST: u64 = 256 << 10;
/// How many times as much each further request brings the whole to, and how much more it asks for at the most: a header that
/// ends soon after costs little beyond it.
const GROWTH: u64 = 4;
const STEP: u64 = 2 << 20;
/// The longest header that is fetched. The largest vocabularies that are published take some 20 million bytes.
const LONGEST: u64 = 64 << 20;
/// The most that is fetched of a model, all parts and small files together.
const LONGEST_OF_ALL: u64 = 256 << 20;
/// The largest small file (a tokenizer) that is fetched whole.
const LARGEST_SMALL: u64 = gibber_files::VOCABULARY;

/// The header of a model that is not here. The files lie in a temporary folder as long as this is there.
#[derive(Debug)]
pub struct RemoteHeader {
    /// What the engine says: its shape, tensors, template and tokenizer; or why it cannot be run.
    pub files: std::result::Result<ModelFiles, String>,
    /// Bytes that came over the line.
    pub fetched: u64,
    folder: TempDir,
    /// What the folder is called in what a person reads.
    name: String,
}

impl RemoteHeader {
    /// That of the model in `plan`; what is in the cache is read there, and the hub is asked for the rest.
    ///
    /// # Errors
    /// What the network and the disk do. That a file is broken or of no kind that can be run is no error here.
    pub fn fetch(hub: &Hub, cache: Option<&Cache>, plan: &Plan) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|source| HubError::Io { path: std::env::temp_dir(), source })?;
        let root = folder.path().join(folder_name(plan));
        let mut fetcher = Fetcher { hub, cache, plan, root: &root, fetched: 0 };
        for file in &plan.files {
            fetcher.lay_down(file)?;
        }
        let fetched = fetcher.fetched;
        let name = plan.listing.repository.to_string();
        let opened = load::open(&ModelSource::Path(root.join(&plan.model)));
        let header = Self { files: Err(String::new()), fetched, folder, name };
        Ok(Self { files: opened.map_err(|error| header.readable(&error.to_string())), ..header })
    }

    /// What the engine says as a person reads it: by the names that the files have where they are.
    pub fn readable(&self, text: &str) -> String {
        let inside = self.folder.path().join(self.name.rsplit('/').next().unwrap_or_default());
        text.replace(&inside.display().to_string(), &self.name)
    }
}

/// The folder is called as the repository: of a folder of floats, that is the model's name.
fn folder_name(plan: &Plan) -> String {
    plan.listing.repository.as_str().rsplit('/').next().unwrap_or_default().to_owned()
}

struct Fetcher<'a> {
    hub: &'a Hub,
    cache: Option<&'a Cache>,
    plan: &'a Plan,
    root: &'a Path,
    fetched: u64,
}

/// How much of a file is needed.
enum Needed {
    All,
    /// As far as a header goes.
    Header(fn(&[u8]) -> HeaderEnd),
}

/// Where a header ends, as far as the bytes tell that are here.
#[derive(Debug, PartialEq, Eq)]
enum HeaderEnd {
    /// All of it is here, or it is none: whoever opens the file says which.
    Here,
    /// More is needed; so many bytes in all, where that is known.
    More(Option<u64>),
}

impl Fetcher<'_> {
    /// Puts a file into its place: all of it, or its header and then nothing up to its length.
    fn lay_down(&mut self, file: &RemoteFile) -> Result<()> {
        let path = self.root.join(&file.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|source| HubError::Io { path: folder.to_owned(), source })?;
        }
        let needed = needed(&file.path);
        let limit = match needed {
            Needed::All if file.size > LARGEST_SMALL => return Err(self.too_large(file)),
            Needed::All => file.size,
            Needed::Header(_) => LONGEST.min(file.size),
        };
        // What a pull that was stopped has left needs not come again.
        let mut bytes = match (&needed, self.cache) {
            (Needed::Header(_), Some(cache)) => cache.front(&self.plan.listing, file, limit),
            (Needed::Header(_) | Needed::All, _) => Vec::new(),
        };
        loop {
            let wanted = match &needed {
                Needed::All => limit,
                Needed::Header(end) => match (bytes.is_empty(), end(&bytes)) {
                    (true, _) => FIRST,
                    (false, HeaderEnd::Here) => break,
                    (false, HeaderEnd::More(Some(length))) => length,
                    (false, HeaderEnd::More(None)) => {
                        let here = bytes.len() as u64;
                        here.saturating_mul(GROWTH).min(here.saturating_add(STEP))
                    }
                },
            };
            let wanted = wanted.min(limit);
            let here = bytes.len() as u64;
            if wanted <= here {
                break;
            }
            let more = self.bytes(file, here..wanted)?;
            if more.is_empty() {
                break;
            }
            if self.fetched > LONGEST_OF_ALL {
                return Err(self.too_large(file));
            }
            bytes.extend_from_slice(&more);
        }
        write_sparse(&path, &bytes, file.size).map_err(|source| HubError::Io { path, source })
    }

    /// Some bytes of a file, from where it is.
    fn bytes(&mut self, file: &RemoteFile, range: Range<u64>) -> Result<Vec<u8>> {
        if let Some(path) = self.cache.and_then(|cache| cache.find(&self.plan.listing, file)) {
            return read_range(&path, &range).map_err(|source| HubError::Io { path, source });
        }
        let bytes = self.hub.range(&self.plan.listing, &file.path, range)?;
        self.fetched = self.fetched.saturating_add(bytes.len() as u64);
        Ok(bytes)
    }

    fn too_large(&self, file: &RemoteFile) -> HubError {
        HubError::Repository {
            repository: self.plan.listing.repository.to_string(),
            why: format!(
                "{} has {} bytes, and no more than {LONGEST_OF_ALL} are fetched to look at a model",
                file.path, file.size
            ),
        }
    }
}

fn needed(path: &str) -> Needed {
    match path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "gguf" => Needed::Header(gguf_end),
        "safetensors" => Needed::Header(safetensors_end),
        _ => Needed::All,
    }
}

fn gguf_end(bytes: &[u8]) -> HeaderEnd {
    if !Gguf::is_gguf(bytes) || Gguf::header_length(bytes).is_some() { HeaderEnd::Here } else { HeaderEnd::More(None) }
}

/// The first 8 bytes say how long the header is.
fn safetensors_end(bytes: &[u8]) -> HeaderEnd {
    let Some(length) = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length)) else {
        return HeaderEnd::More(Some(8));
    };
    let whole = length.saturating_add(8);
    if whole <= bytes.len() as u64 || whole > LONGEST { HeaderEnd::Here } else { HeaderEnd::More(Some(whole)) }
}

/// The bytes `range` of the file at `path`, fewer where it ends before.
fn read_range(path: &Path, range: &Range<u64>) -> std::io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (gibber_files::open(path)?, Vec::new());
    file.seek(SeekFrom::Start(range.start))?;
    file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file of `length` bytes that begins with `bytes`; the rest takes no room.
fn write_sparse(path: &PathBuf, bytes: &[u8], length: u64) -> std::io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.set_len(length)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes[..bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_header_ends_is_told_from_its_bytes() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf");
        let gguf = fs::read(path).unwrap();
        let end = Gguf::header_length(&gguf).unwrap();
        assert!(end < gguf.len());
        for (length, expected) in [(end, HeaderEnd::Here), (end - 1, HeaderEnd::More(None)), (8, HeaderEnd::More(None))]
        {
            assert_eq!(gguf_end(&gguf[..length]), expected, "{length}");
        }
        assert_eq!(gguf_end(b"<html>"), HeaderEnd::Here, "no header will come");
        let mut weights = 20u64.to_le_bytes().to_vec();
        assert_eq!(safetensors_end(&weights[..3]), HeaderEnd::More(Some(8)));
        assert_eq!(safetensors_end(&weights), HeaderEnd::More(Some(28)));
        weights.resize(28, b' ');
        assert_eq!(safetensors_end(&weights), HeaderEnd::Here);
        assert_eq!(safetensors_end(&u64::MAX.to_le_bytes()), HeaderEnd::Here, "no header is as long");
    }

    #[test]
    fn a_sparse_file_has_its_length_and_takes_no_room() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.gguf");
        write_sparse(&path, b"GGUF", 1 << 32).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.len(), 1 << 32);
        assert!(metadata.blocks() * 512 < 1 << 20, "{}", metadata.blocks());
    }
}
