//! The keys and values of the tokens so far.

use super::config::ModelConfig;
use crate::EngineError;
use crate::kernels::ThreadPool;
use crate::kernels::attention::{CacheTensor, CacheTypes, KeysValues, Side};

/// Keys and values of every layer, allocated once, appended in place, cut by moving one number.
#[derive(Debug)]
pub struct KvCache {
    keys: CacheTensor,
    values: CacheTensor,
    len: usize,
}

impl KvCache {
    /// An empty cache with room for `capacity` tokens.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no memory for it.
    pub fn new(config: &ModelConfig, types: CacheTypes, capacity: usize) -> Result<Self, EngineError> {
        let shape = [config.n_layer(), config.n_kv_head, config.head_dim];
        Ok(Self {
            keys: CacheTensor::new(Side::Keys, types.keys, shape, capacity)?,
            values: CacheTensor::new(Side::Values, types.values, shape, capacity)?,
            len: 0,
        })
    }

    /// Bytes of memory that `tokens` tokens take.
    pub fn bytes_for(config: &ModelConfig, types: CacheTypes, tokens: usize) -> usize {
        let heads = config.n_layer().saturating_mul(config.n_kv_head);
        let of = |side, kind| CacheTensor::bytes_for(side, kind, heads, config.head_dim, tokens);
        of(Side::Keys, types.keys).saturating_add(of(Side::Values, types.values))
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
        self.keys.capacity()
    }

    /// The formats of keys and values.
    pub fn types(&self) -> CacheTypes {
        CacheTypes { keys: self.keys.cache_type(), values: self.values.cache_type() }
    }

    /// Bytes of memory that `tokens` of its tokens take, whatever it holds now.
    pub fn bytes(&self, tokens: usize) -> usize {
        self.keys.bytes(tokens) + self.values.bytes(tokens)
    }

    /// Forgets all but the first `len` tokens; does nothing where it holds fewer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Holds what the first `len` tokens of `other` are, and nothing else.
    ///
    /// # Panics
    /// Where `other` has another shape, format or capacity.
    pub(crate) fn copy_from(&mut self, other: &Self, len: usize) {
        self.len = len.min(other.len);
        self.keys.copy_from(&other.keys, self.len);
        self.values.copy_from(&other.values, self.len);
    }

    /// Writes the keys and values of `n` tokens of one layer behind those that it holds. They count only after
    /// [`Self::advance`]. Token `t` has its keys, `(n_kv_head · head_dim)`, from `keys[t * stride]` on, its values likewise.
    ///
    /// # Panics
    /// Where it has no room for them, or a slice is too short.
    pub(super) fn write(
        &mut self,
        pool: &ThreadPool,
        layer: usize,
        n: usize,
        keys: &[f32],
        values: &[f32],
        stride: usize,
    ) {
        self.keys.write(pool, layer, self.len, n, keys, stride);
        self.values.write(pool, layer, self.len, n, values, stride);
    }

    /// Counts `tokens` more positions, written in every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// One layer's keys and values.
    pub(super) fn layer(&self, layer: usize) -> KeysValues<'_> {
        KeysValues { keys: self.keys.layer(layer), values: self.values.layer(layer) }
    }
}
