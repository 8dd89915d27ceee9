//! Whether all of a model is there: a download that was stopped leaves some of its files.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{part, text};

/// What lists the files among which a folder's weights are divided.
const INDEX: &str = "model.safetensors.index.json";

/// Whether a folder with a `config.json` has weights, and all files that its index names. Weights of another form count:
/// whoever loads them is told what is to be done.
pub(super) fn is_complete_folder(folder: &Path) -> bool {
    let is_weights = |name: &str| name.ends_with(".bin") || name == "model.safetensors";
    if has_file(folder, is_weights) {
        return true;
    }
    let index = gibber_files::read(&folder.join(INDEX), gibber_files::LARGE).ok();
    let index = index.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some(map) = index.as_ref().and_then(|index| index.get("weight_map")?.as_object()) else { return false };
    let mut names: Vec<&str> = map.values().filter_map(Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    !names.is_empty() && names.into_iter().all(|name| folder.join(name).is_file())
}

fn has_file(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter(|entry| is_wanted(&text(Some(&entry.file_name())))).any(|entry| entry.path().is_file())
}

/// Whether all parts are there of the GGUF file that `path` is the first or only one of.
pub(super) fn is_complete_gguf(path: &Path) -> bool {
    let stem = text(path.file_stem());
    let Some((stem, _, count)) = part(&stem) else { return true };
    let is_there = |number: usize| path.with_file_name(format!("{stem}-{number:05}-of-{count}.gguf")).is_file();
    count.parse().is_ok_and(|count| (1..=count).all(is_there))
}
