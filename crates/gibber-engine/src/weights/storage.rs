//! The bytes of a file, shared by every tensor in it.

use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use crate::EngineError;

/// Bytes that stay where they are for as long as anybody holds them: a memory map, a part of the executable, or memory.
#[derive(Clone)]
pub struct Storage(StorageKind);

#[derive(Clone)]
enum StorageKind {
    Mapped(Arc<Mmap>),
    Static(&'static [u8]),
    Owned(Arc<Vec<u8>>),
}

impl Storage {
    /// Maps the file at `path` into memory.
    ///
    /// # Errors
    /// [`EngineError::Io`] where it cannot be opened or mapped, or is no file; [`EngineError::Format`] where it is empty.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let io = |source| EngineError::Io { path: path.to_owned(), source };
        let file = gibber_files::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(EngineError::format(path, "the file is empty"));
        }
        // SAFETY: a map is sound as long as nobody shrinks or writes the file under it. Like every program that maps
        // weights, we rely on model files not being edited in place while they are in use; the map is read-only and
        // never handed out as anything but bytes and floats, for which every bit pattern is valid.
        #[allow(unsafe_code, reason = "mapping a file is unsafe by its nature")]
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Ok(Self(StorageKind::Mapped(Arc::new(map))))
    }

    /// Bytes that are part of the executable.
    pub fn from_static(bytes: &'static [u8]) -> Self {
        Self(StorageKind::Static(bytes))
    }

    /// Bytes in memory.
    pub fn from_vec(bytes: Vec<u8>) -> Self {
        Self(StorageKind::Owned(Arc::new(bytes)))
    }

    /// All the bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            StorageKind::Mapped(map) => map,
            StorageKind::Static(bytes) => bytes,
            StorageKind::Owned(bytes) => bytes,
        }
    }

    /// Gives the memory of `range` back to the system where that is a map of a file: what is read again comes from the file
    /// again. For bytes that were copied into another form.
    pub(super) fn release(&self, range: Range<usize>) {
        #[cfg(target_os = "linux")]
        if let StorageKind::Mapped(map) = &self.0
            && map.get(range.clone()).is_some()
        {
            // SAFETY: the map is of a file and is never written, so its pages hold what the file does, before and after. The
            // range is in the map, as was looked; whole pages are meant, and a neighbour's bytes on the first and last are
            // read again.
            #[allow(unsafe_code, reason = "the system's advice about a map is unsafe by its nature")]
            // Where the advice is not taken, the memory stays in use until the map goes.
            let _ = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = range;
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            StorageKind::Mapped(_) => "mapped",
            StorageKind::Static(_) => "static",
            StorageKind::Owned(_) => "owned",
        };
        write!(f, "Storage({kind}, {} bytes)", self.bytes().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_outlives_the_path_it_came_from() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        std::fs::write(&path, b"abc").unwrap();
        let storage = Storage::open(&path).unwrap();
        drop(folder);
        assert_eq!(storage.bytes(), b"abc");
    }

    #[test]
    fn what_was_released_can_still_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| i as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        for storage in [Storage::open(&path).unwrap(), Storage::from_vec(bytes.clone())] {
            storage.release(5000..90_001);
            storage.release(0..0);
            assert!(storage.bytes() == bytes);
        }
    }

    #[test]
    fn no_file_an_empty_file_and_a_folder_are_errors_that_name_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(matches!(Storage::open(&missing), Err(EngineError::Io { path, .. }) if path == missing));
        let empty = folder.path().join("empty");
        std::fs::write(&empty, b"").unwrap();
        assert!(Storage::open(&empty).unwrap_err().to_string().ends_with("empty: the file is empty"));
        assert!(Storage::open(folder.path()).unwrap_err().to_string().contains("it is a folder"));
    }
}
