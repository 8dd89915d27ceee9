//! Safetensors weights that are split over several files, with an index that says which tensor is in which
//! (`model.safetensors.index.json`, as transformers writes it).

use std::collections::{BTreeMap, HashSet};
use std::path::{Component, Path};

use serde_json::Value;

use super::{Storage, Tensor, disguise, safetensors};
use crate::EngineError;
use crate::json;

/// The name of an index.
pub const INDEX: &str = "model.safetensors.index.json";

/// The tensors of the files that the index at `path` names; they lie beside it.
///
/// # Errors
/// Where the index or a file cannot be read, is broken, or names what is not there; where it names a file elsewhere.
pub fn open(path: &Path) -> Result<Vec<Tensor>, EngineError> {
    let text = gibber_files::read(path, gibber_files::LARGE)
        .map_err(|source| EngineError::Io { path: path.to_owned(), source })?;
    disguise::refuse(path, &text)?;
    let broken = |what: String| EngineError::format(path, format!("not an index of weights (`weight_map`): {what}"));
    let index = json::object(&text).map_err(broken)?;
    let weight_map = index.get("weight_map").and_then(Value::as_object);
    let weight_map = weight_map.ok_or_else(|| broken("it is missing".to_owned()))?;
    let mut by_file = BTreeMap::<&str, Vec<&str>>::new();
    for (tensor, file) in weight_map {
        let file = file.as_str().ok_or_else(|| broken(format!("it names no file for `{tensor}`")))?;
        by_file.entry(file).or_default().push(tensor);
    }
    let mut tensors = Vec::with_capacity(weight_map.len());
    for (file, names) in by_file {
        // An index may come from anybody: it has no say about files elsewhere.
        if !matches!(Path::new(file).components().collect::<Vec<_>>()[..], [Component::Normal(_)]) {
            let what = format!("`weight_map` names the file {file:?}, which is not beside the index");
            return Err(EngineError::format(path, what));
        }
        let shard = path.with_file_name(file);
        if !shard.exists() {
            let what = format!("this part of the weights is missing; {} names it", path.display());
            return Err(EngineError::format(shard, what));
        }
        let of_shard = safetensors::parse(&shard, &Storage::open(&shard)?)?;
        let there: HashSet<&str> = of_shard.iter().map(Tensor::name).collect();
        if let Some(name) = names.iter().find(|name| !there.contains(*name)) {
            let what = format!("tensor `{name}` is not in this file; {} says that it is", path.display());
            return Err(EngineError::format(shard, what));
        }
        tensors
            .extend(of_shard.into_iter().filter(|tensor| weight_map.get(tensor.name()).is_some_and(|at| at == file)));
    }
    Ok(tensors)
}
