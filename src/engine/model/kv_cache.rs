//! The keys and values of the tokens so far.

use super::config::ModelConfig;
use crate::engine::kernels::attention::KeysValues;

/// Keys and values of every layer, allocated once, appended in place, cut by moving one number.
///
/// Both are `(n_layer, n_kv_head, capacity, head_dim)`, so that a head reads its positions one after another. The system
/// hands out the memory page by page as it is first written: a context that is not used costs nothing.
#[derive(Debug)]
pub struct KvCache {
    keys: Vec<f32>,
    values: Vec<f32>,
    n_kv_head: usize,
    head_dim: usize,
    capacity: usize,
    len: usize,
}

impl KvCache {
    /// An empty cache with room for `capacity` tokens.
    pub fn new(config: &ModelConfig, capacity: usize) -> Self {
        let size = config.n_layer * config.n_kv_head * capacity * config.head_dim;
        Self {
            keys: vec![0.0; size],
            values: vec![0.0; size],
            n_kv_head: config.n_kv_head,
            head_dim: config.head_dim,
            capacity,
            len: 0,
        }
    }

    /// Tokens it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens it has room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets all but the first `len` tokens; does nothing where it holds fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Writes the keys and values of one token of one layer, `(n_kv_head · head_dim)` each, at position `position`. The
    /// position counts only after [`Self::advance`].
    ///
    /// # Panics
    /// Where the position lies behind the capacity.
    pub(super) fn write(&mut self, layer: usize, position: usize, keys: &[f32], values: &[f32]) {
        assert!(position < self.capacity, "position {position} in a cache of {}", self.capacity);
        let heads = keys.chunks_exact(self.head_dim).zip(values.chunks_exact(self.head_dim));
        for (head, (key, value)) in heads.enumerate().take(self.n_kv_head) {
            let at = ((layer * self.n_kv_head + head) * self.capacity + position) * self.head_dim;
            self.keys[at..at + self.head_dim].copy_from_slice(key);
            self.values[at..at + self.head_dim].copy_from_slice(value);
        }
    }

    /// Counts `tokens` more positions, written in every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// One layer's keys and values.
    pub(super) fn layer(&self, layer: usize) -> KeysValues<'_> {
        let size = self.n_kv_head * self.capacity * self.head_dim;
        let range = layer * size..(layer + 1) * size;
        KeysValues { keys: &self.keys[range.clone()], values: &self.values[range] }
    }
}
