//! Models that are split over several GGUF files, named `NAME-00001-of-00005.gguf` and so on (`gguf-split` of llama.cpp).
//!
//! The first part has the metadata of the model; each says which part it is, and of how many.

use std::path::{Path, PathBuf};

use super::Gguf;
use crate::EngineError;
use crate::weights::{Storage, Tensor};

/// How many parts there are.
const COUNT: &str = "split.count";
/// Which part a file is, from 0.
const NUMBER: &str = "split.no";
/// The tensors of all parts.
const TENSORS: &str = "split.tensors.count";
/// Digits of a number in a name.
const DIGITS: usize = 5;
/// More would be a mistake.
const MAX_PARTS: usize = 10_000;

/// The name of a part, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct PartName {
    stem: String,
    /// From 1.
    pub number: usize,
    count: usize,
}

impl PartName {
    /// Of `STEM-00001-of-00005.gguf`.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
        let (rest, count) = name.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let parsed = |digits: &str| digits.parse().ok().filter(|_| digits.len() == DIGITS);
        let (number, count) = (parsed(number)?, parsed(count)?);
        (1..=count).contains(&number).then(|| Self { stem: stem.to_owned(), number, count })
    }

    /// The name without numbers.
    pub fn stem(&self) -> &str {
        &self.stem
    }

    /// Where part `number` lies, beside `path`.
    fn sibling(&self, path: &Path, number: usize) -> PathBuf {
        path.with_file_name(format!("{}-{number:05}-of-{:05}.gguf", self.stem, self.count))
    }
}

/// All files of the model that `path` is a part of, the first one first; of a model in one file just that.
pub fn paths(path: &Path) -> Vec<PathBuf> {
    match PartName::of(path) {
        Some(name) => (1..=name.count.min(MAX_PARTS)).map(|number| name.sibling(path, number)).collect(),
        None => vec![path.to_owned()],
    }
}

/// The first file of a model, and the tensors of all.
#[derive(Debug)]
pub struct Complete {
    /// The file with the metadata.
    pub first: (PathBuf, Storage),
    /// The tensors in the order of the files.
    pub tensors: Vec<Tensor>,
}

/// Opens the model that the file in `storage` is, or is a part of.
///
/// # Errors
/// Those of [`Gguf::parse`]; where a part is missing, is of another model or another number, or where tensors are there
/// twice or are missing.
pub fn open(path: &Path, storage: Storage) -> Result<Complete, EngineError> {
    let count = count(path, &storage)?;
    if count == 1 {
        let tensors = Gguf::parse(path, &storage)?.tensors;
        return Ok(Complete { first: (path.to_owned(), storage), tensors });
    }
    let name = PartName::of(path).filter(|name| name.count == count).ok_or_else(|| {
        let what = format!(
            "`{COUNT}` is {count}, and the name does not end in -00001-of-{count:05}.gguf as those of parts do"
        );
        EngineError::format(path, what)
    })?;
    let mut whole: Option<Complete> = None;
    let mut expected = 0;
    for number in 1..=count {
        let part = name.sibling(path, number);
        let storage = if part == path { storage.clone() } else { open_part(&part, path)? };
        let gguf = Gguf::parse(&part, &storage)?;
        check(&part, &gguf, number, count)?;
        match &mut whole {
            None => {
                expected = gguf.metadata.unsigned(TENSORS)?.unwrap_or(0);
                let tensors = gguf.tensors;
                whole = Some(Complete { first: (part, storage), tensors });
            }
            Some(whole) => {
                if let Some(twice) =
                    gguf.tensors.iter().find(|new| whole.tensors.iter().any(|t| t.name() == new.name()))
                {
                    let what = format!("tensor `{}` is in another part as well", twice.name());
                    return Err(EngineError::format(part, what));
                }
                whole.tensors.extend(gguf.tensors);
            }
        }
    }
    let whole = whole.ok_or_else(|| EngineError::format(path, format!("`{COUNT}` is 0")))?;
    if expected != 0 && expected != whole.tensors.len() as u64 {
        let what = format!("its parts have {} tensors, `{TENSORS}` is {expected}", whole.tensors.len());
        return Err(EngineError::format(path, what));
    }
    Ok(whole)
}

fn count(path: &Path, storage: &Storage) -> Result<usize, EngineError> {
    let count = Gguf::parse(path, storage)?.metadata.unsigned(COUNT)?.unwrap_or(1).max(1);
    usize::try_from(count).ok().filter(|&count| count <= MAX_PARTS).ok_or_else(|| {
        EngineError::format(path, format!("`{COUNT}` is {count}: no model has more than {MAX_PARTS} parts"))
    })
}

fn open_part(part: &Path, asked: &Path) -> Result<Storage, EngineError> {
    if !part.exists() {
        let what = format!("this part is missing; {} is another one of the same model", asked.display());
        return Err(EngineError::format(part, what));
    }
    Storage::open(part)
}

fn check(part: &Path, gguf: &Gguf<'_>, number: usize, count: usize) -> Result<(), EngineError> {
    for (key, expected) in [(COUNT, count), (NUMBER, number - 1)] {
        let found = gguf.metadata.unsigned(key)?;
        if found != Some(expected as u64) {
            let found = found.map_or_else(|| "missing".to_owned(), |found| found.to_string());
            let what = format!("`{key}` is {found}, as part {number} of {count} it has to be {expected}");
            return Err(EngineError::format(part, what));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts_are_taken_apart() {
        let name = PartName::of(Path::new("/a/Big-Q4_K_M-00002-of-00003.gguf")).unwrap();
        assert_eq!((name.stem(), name.number, name.count), ("Big-Q4_K_M", 2, 3));
        let expected = ["1", "2", "3"].map(|n| PathBuf::from(format!("/a/Big-Q4_K_M-0000{n}-of-00003.gguf")));
        assert_eq!(paths(Path::new("/a/Big-Q4_K_M-00002-of-00003.gguf")), expected);
        for other in
            ["a.gguf", "a-1-of-2.gguf", "a-00003-of-00002.gguf", "a-00000-of-00002.gguf", "a-00001-of-00002.bin"]
        {
            assert_eq!(PartName::of(Path::new(other)), None, "{other}");
            assert_eq!(paths(Path::new(other)), [PathBuf::from(other)]);
        }
    }
}
