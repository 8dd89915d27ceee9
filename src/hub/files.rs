//! Which files a model on this machine consists of, and what is known of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use gibber_engine::weights::gguf::parts;
use gibber_hub::{LedgerEntry, Oid};

/// Folders within a model's folder that are looked into.
const DEPTH: usize = 4;

/// A file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFile {
    /// The name that the model has it under: often a link.
    pub path: PathBuf,
    /// What its bytes are called, where somebody has written that down.
    pub expected: Option<Oid>,
}

/// The files of the model at `path`, a GGUF file (any of its parts) or a folder: those that are there, and those that were
/// fetched with it and are not there any more.
pub fn files_of(path: &Path, ledger: &[LedgerEntry]) -> Vec<ModelFile> {
    let mut paths: BTreeSet<PathBuf> = match path.is_dir() {
        true => folder_files(path),
        false => parts::paths(path).into_iter().collect(),
    };
    let known: Vec<(PathBuf, Oid)> = ledger.iter().filter(|entry| entry.model == path).flat_map(recorded).collect();
    paths.extend(known.iter().map(|(path, _)| path.clone()));
    let expected = |path: &PathBuf| {
        let recorded = known.iter().find(|(known, _)| known == path).map(|(_, oid)| oid.clone());
        recorded.or_else(|| by_name_of_blob(path))
    };
    paths.iter().map(|path| ModelFile { path: path.clone(), expected: expected(path) }).collect()
}

/// The files of an entry by their places, with what their bytes are called.
fn recorded(entry: &LedgerEntry) -> Vec<(PathBuf, Oid)> {
    let Some(root) = root_of(entry) else { return Vec::new() };
    let file = |file: &gibber_hub::LedgerFile| {
        let is_below = Path::new(&file.path).components().all(|part| matches!(part, Component::Normal(_)));
        Some((root.join(&file.path), oid(&file.blob)?)).filter(|_| is_below)
    };
    entry.files.iter().filter_map(file).collect()
}

/// The folder from which the paths of an entry's files count.
fn root_of(entry: &LedgerEntry) -> Option<PathBuf> {
    let Some(first) = entry.files.first() else { return Some(entry.model.clone()) };
    if entry.model.is_dir() {
        return Some(entry.model.clone());
    }
    // A GGUF file's own path in the repository is the end of where it is.
    let depth = Path::new(&first.path).components().count();
    entry.model.ancestors().nth(depth).map(Path::to_owned)
}

/// What a folder's model is read from, or was fetched with it: GGUF files beside it are models of their own.
fn folder_files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    walk(folder, DEPTH, &mut files);
    files.retain(|path| path.extension().is_none_or(|end| end != "gguf"));
    files
}

fn walk(folder: &Path, depth: usize, files: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 1 => walk(&entry.path(), depth - 1, files),
            Ok(kind) if !kind.is_dir() => {
                files.insert(entry.path());
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The caches of Hugging Face's programs and of Ollama call a file what its bytes are called.
fn by_name_of_blob(path: &Path) -> Option<Oid> {
    let target = path.canonicalize().ok()?;
    if target.parent()?.file_name()? != "blobs" {
        return None;
    }
    let name = target.file_name()?.to_str()?;
    oid(name.strip_prefix("sha256-").unwrap_or(name))
}

fn oid(digits: &str) -> Option<Oid> {
    let is_hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match digits.len() {
        64 if is_hexadecimal => Some(Oid::Sha256(digits.to_ascii_lowercase())),
        40 if is_hexadecimal => Some(Oid::GitBlob(digits.to_ascii_lowercase())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gibber_hub::{LedgerFile, LedgerSource};

    fn put(path: &Path) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
        path.to_owned()
    }

    fn entry(model: &Path, files: &[&str]) -> LedgerEntry {
        let file = |path: &&str| LedgerFile { path: (*path).to_owned(), size: 1, blob: "a".repeat(64) };
        LedgerEntry {
            name: "name".into(),
            source: LedgerSource::Address { url: "https://host/x".into() },
            model: model.to_owned(),
            files: files.iter().map(file).collect(),
            time: 0,
        }
    }

    #[test]
    fn a_split_model_has_all_its_parts_also_those_that_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let second = put(&folder.path().join("m-00002-of-00003.gguf"));
        let names: Vec<_> = files_of(&second, &[]).into_iter().map(|file| file.path).collect();
        assert_eq!(names.len(), 3);
        assert!(names[0].ends_with("m-00001-of-00003.gguf") && !names[0].exists());
    }

    #[test]
    fn what_was_fetched_and_is_gone_is_a_file_of_it_too() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(&root.join("config.json"));
        put(&root.join("other.gguf"));
        let files = files_of(root, &[entry(root, &["config.json", "model.safetensors", "../escape"])]);
        let names: Vec<_> = files.iter().map(|file| file.path.strip_prefix(root).unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["config.json", "model.safetensors"]);
        assert!(files.iter().all(|file| file.expected == Some(Oid::Sha256("a".repeat(64)))));
        let deep = put(&root.join("q4/m.gguf"));
        let files = files_of(&deep, &[entry(&deep, &["q4/m.gguf"])]);
        assert_eq!((files.len(), &files[0].path), (1, &deep));
    }

    #[test]
    fn a_blob_says_itself_what_it_is_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let sum = "0123456789abcdef".repeat(4);
        for name in [sum.clone(), format!("sha256-{sum}")] {
            let blob = put(&folder.path().join("blobs").join(name));
            assert_eq!(files_of(&blob, &[])[0].expected, Some(Oid::Sha256(sum.clone())));
        }
        let plain = put(&folder.path().join("plain.gguf"));
        assert_eq!(files_of(&plain, &[])[0].expected, None);
    }
}
