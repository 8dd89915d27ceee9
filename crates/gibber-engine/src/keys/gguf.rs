//! The keys of a GGUF file that stand under the name of its architecture (`docs/gguf.md` in ggml has their meaning).

use std::path::Path;

use super::Bound;
use crate::EngineError;
use crate::weights::Weights;
use crate::weights::gguf::{Header, Metadata, Value};

/// Has a row for each token in every architecture.
const EMBEDDING: &str = "token_embd.weight";
/// The output projection, where it is not the embedding.
const OUTPUT: &str = "output.weight";

/// The keys under the architecture's name, and the tensors, which say what no key says.
#[derive(Debug)]
pub struct GgufKeys<'a> {
    path: &'a Path,
    metadata: &'a Metadata<'a>,
    weights: &'a Weights,
    architecture: &'a str,
}

impl<'a> GgufKeys<'a> {
    /// Those of the file at `path`.
    ///
    /// # Errors
    /// Where no key says what the architecture is.
    pub fn new(path: &'a Path, metadata: &'a Metadata<'a>, weights: &'a Weights) -> Result<Self, EngineError> {
        match metadata.string("general.architecture")? {
            Some(architecture) => Ok(Self { path, metadata, weights, architecture }),
            None => Err(EngineError::format(path, "metadata key `general.architecture` is missing")),
        }
    }

    /// The file.
    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// What the file calls its architecture.
    pub fn architecture(&self) -> &'a str {
        self.architecture
    }

    /// Its tensors.
    pub fn weights(&self) -> &'a Weights {
        self.weights
    }

    /// Whether the first layer has a tensor of this name: what a model has is not always said by a key.
    pub fn layers_have(&self, name: &str) -> bool {
        self.weights.contains(&format!("blk.0.{name}"))
    }

    /// Whether the output projection is the embedding.
    pub fn is_tied(&self) -> bool {
        !self.weights.contains(OUTPUT)
    }

    /// Rows of the embedding.
    ///
    /// # Errors
    /// Where there is none.
    pub fn vocabulary(&self) -> Result<usize, EngineError> {
        Ok(self.weights.find(EMBEDDING)?.shape().first().copied().unwrap_or(0))
    }

    /// How many positions, its own counted in, a token sees in the layers that have a window.
    ///
    /// # Errors
    /// Where the value is no size.
    pub fn window(&self) -> Result<Option<usize>, EngineError> {
        Ok(self.optional_size("attention.sliding_window")?.filter(|&positions| positions > 0))
    }

    /// A size that has to be there.
    ///
    /// # Errors
    /// Where it is missing or is none.
    pub fn size(&self, key: &str) -> Result<usize, EngineError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    /// A size, or a list that has it once for each layer.
    ///
    /// # Errors
    /// Where the value is none, or differs between layers.
    pub fn optional_size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        let full = self.key(key);
        let size = match self.metadata.get(&full) {
            Some(Value::Array(_)) => {
                self.same_in_every_layer(key, &self.metadata.integers(&full)?.unwrap_or_default())?
            }
            _ => self.metadata.unsigned(&full)?,
        };
        // What does not fit is too large for any model as well.
        Ok(size.map(|size| usize::try_from(size).unwrap_or(usize::MAX)))
    }

    /// A size for each of `n_layer` layers: a list, or one for all of them.
    ///
    /// # Errors
    /// Where the value is no size or list of sizes, or the list has another length.
    pub fn optional_sizes(&self, key: &str, n_layer: usize) -> Result<Option<Vec<usize>>, EngineError> {
        let full = self.key(key);
        if !matches!(self.metadata.get(&full), Some(Value::Array(_))) {
            return Ok(self.optional_size(key)?.map(|size| vec![size; n_layer]));
        }
        let list = self.metadata.integers(&full)?.unwrap_or_default();
        if list.len() != n_layer {
            let reason = format!("`{full}` has {} entries for {n_layer} layers", list.len());
            return Err(EngineError::format(self.path, reason));
        }
        let sizes =
            list.iter().map(|&size| usize::try_from(size).map_err(|_| self.unsupported(key, &size.to_string())));
        sizes.collect::<Result<_, _>>().map(Some)
    }

    /// A number of each of `n_layer` layers.
    ///
    /// # Errors
    /// Where the value is none, a number is not finite, or the list has another length.
    pub fn numbers(&self, key: &str, n_layer: usize) -> Result<Option<Vec<f32>>, EngineError> {
        let full = self.key(key);
        let Some(numbers) = self.metadata.floats(&full)? else { return Ok(None) };
        if numbers.len() != n_layer || numbers.iter().any(|&number| !(number as f32).is_finite()) {
            let reason = format!("`{full}` has to be a list of {n_layer} numbers, one for each layer");
            return Err(EngineError::format(self.path, reason));
        }
        Ok(Some(numbers.into_iter().map(|number| number as f32).collect()))
    }

    /// A switch of each of `n_layer` layers.
    ///
    /// # Errors
    /// Where the value is none, or the list has another length.
    pub fn bools(&self, key: &str, n_layer: usize) -> Result<Option<Vec<bool>>, EngineError> {
        let full = self.key(key);
        match self.metadata.bools(&full)? {
            Some(truths) if truths.len() != n_layer => {
                let reason = format!("`{full}` has {} entries for {n_layer} layers", truths.len());
                Err(EngineError::format(self.path, reason))
            }
            truths => Ok(truths),
        }
    }

    fn same_in_every_layer(&self, key: &str, sizes: &[i64]) -> Result<Option<u64>, EngineError> {
        let Some((&first, rest)) = sizes.split_first() else {
            return Err(EngineError::format(self.path, format!("`{}` is an empty list", self.key(key))));
        };
        match rest.iter().position(|&size| size != first) {
            Some(at) => {
                let what = format!("{first} in layer 0 and {} in layer {}", rest[at], at + 1);
                Err(self.unsupported(key, &what))
            }
            None => u64::try_from(first).map(Some).map_err(|_| self.unsupported(key, &first.to_string())),
        }
    }

    /// A number within its bound.
    ///
    /// # Errors
    /// Where the value is none, or out of its bound.
    pub fn number(&self, key: &str, bound: Bound) -> Result<Option<f64>, EngineError> {
        match self.metadata.float(&self.key(key))? {
            Some(number) if !bound.holds(number) => {
                let reason = format!("`{}` is {number}, it has to be {bound}", self.key(key));
                Err(EngineError::format(self.path, reason))
            }
            number => Ok(number),
        }
    }

    /// A number that has to be there, within its bound.
    ///
    /// # Errors
    /// Those of [`Self::number`], and where it is missing.
    pub fn required_number(&self, key: &str, bound: Bound) -> Result<f64, EngineError> {
        self.number(key, bound)?.ok_or_else(|| self.missing(key))
    }

    /// A text.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, EngineError> {
        self.metadata.string(&self.key(key))
    }

    /// A switch.
    ///
    /// # Errors
    /// Where the value is none.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, EngineError> {
        self.metadata.bool(&self.key(key))
    }

    /// That the key is not there.
    pub fn missing(&self, key: &str) -> EngineError {
        EngineError::format(self.path, format!("metadata key `{}` is missing", self.key(key)))
    }

    /// That its value is nothing that is computed here.
    pub fn unsupported(&self, key: &str, value: &str) -> EngineError {
        EngineError::unsupported(self.path, format!("`{}` is {value}, which is not supported", self.key(key)))
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }
}

/// Writes keys under the architecture's name.
#[derive(Debug)]
pub struct GgufWriter<'a> {
    header: &'a mut Header,
    architecture: &'a str,
}

impl<'a> GgufWriter<'a> {
    /// Under the name `architecture`.
    pub fn new(header: &'a mut Header, architecture: &'a str) -> Self {
        Self { header, architecture }
    }

    /// Sizes by key.
    pub fn sizes(&mut self, sizes: &[(&str, usize)]) {
        for &(key, size) in sizes {
            // No size of a model is beyond `load`'s limit, which is far below.
            self.header.u32(&self.key(key), u32::try_from(size).unwrap_or(u32::MAX));
        }
    }

    /// A list of sizes, mostly one for each layer.
    pub fn size_list(&mut self, key: &str, sizes: &[usize]) {
        let sizes: Vec<_> = sizes.iter().map(|&size| i32::try_from(size).unwrap_or(i32::MAX)).collect();
        self.header.i32s(&self.key(key), &sizes);
    }

    /// A number for each layer.
    pub fn numbers(&mut self, key: &str, numbers: &[f32]) {
        self.header.f32s(&self.key(key), numbers);
    }

    /// A switch for each layer.
    pub fn layer_bools(&mut self, key: &str, truths: &[bool]) {
        self.header.bools(&self.key(key), truths);
    }

    /// Writes `key` as a float of 32 bits.
    pub fn number(&mut self, key: &str, number: f32) {
        self.header.f32(&self.key(key), number);
    }

    /// A switch.
    pub fn bool(&mut self, key: &str, truth: bool) {
        self.header.bool(&self.key(key), truth);
    }

    /// A text.
    pub fn string(&mut self, key: &str, text: &str) {
        self.header.string(&self.key(key), text);
    }

    fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }
}
