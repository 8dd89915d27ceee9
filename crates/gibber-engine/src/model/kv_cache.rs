//! The keys and values of the tokens so far.

use super::config::{AttentionConfig, HeadSizes, LayerConfig, MixerConfig, ModelConfig};
use crate::EngineError;
use crate::kernels::ThreadPool;
use crate::kernels::attention::{CacheTensor, CacheTypes, KeysValues, Side};

/// Keys and values of every layer that has attention, allocated once, appended in place, cut by moving one number.
#[derive(Debug)]
pub struct KvCache {
    types: CacheTypes,
    capacity: usize,
    /// Of each layer of the model; `None` where it keeps none.
    layers: Vec<Option<LayerCache>>,
    len: usize,
    /// Whether the keys are turned as in a text that goes beyond a rotation's first context.
    is_far: bool,
}

/// The keys and values of one layer.
#[derive(Debug)]
struct LayerCache {
    keys: CacheTensor,
    values: CacheTensor,
}

impl LayerCache {
    fn new(heads: HeadSizes, types: CacheTypes, capacity: usize) -> Result<Self, EngineError> {
        let shape = [heads.n_kv_head, heads.head_dim];
        Ok(Self {
            keys: CacheTensor::new(Side::Keys, types.keys, shape, capacity)?,
            values: CacheTensor::new(Side::Values, types.values, shape, capacity)?,
        })
    }

    fn bytes_for(heads: HeadSizes, types: CacheTypes, tokens: usize) -> usize {
        let of = |side, kind| CacheTensor::bytes_for(side, kind, heads.n_kv_head, heads.head_dim, tokens);
        of(Side::Keys, types.keys).saturating_add(of(Side::Values, types.values))
    }
}

impl KvCache {
    /// An empty cache with room for `capacity` tokens.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no memory for it.
    pub fn new(config: &ModelConfig, types: CacheTypes, capacity: usize) -> Result<Self, EngineError> {
        let layer = |layer: &LayerConfig| match &layer.mixer {
            MixerConfig::Attention(AttentionConfig { shares: Some(_), .. }) => Ok(None),
            MixerConfig::Attention(attention) => LayerCache::new(attention.heads, types, capacity).map(Some),
            MixerConfig::DeltaNet(_) | MixerConfig::ShortConv(_) => Ok(None),
        };
        let layers = config.layers.iter().map(layer).collect::<Result<_, _>>()?;
        Ok(Self { types, capacity, layers, len: 0, is_far: false })
    }

    /// Bytes of memory that `tokens` tokens take.
    pub fn bytes_for(config: &ModelConfig, types: CacheTypes, tokens: usize) -> usize {
        let own = config.attentions().filter(|attention| attention.shares.is_none());
        let layers = own.map(|attention| LayerCache::bytes_for(attention.heads, types, tokens));
        layers.fold(0, usize::saturating_add)
    }

    fn caches(&self) -> impl Iterator<Item = &LayerCache> {
        self.layers.iter().flatten()
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

    /// Whether the keys are turned as in a text that goes beyond a rotation's first context (`RopeScaling::LongRope`).
    pub fn is_far(&self) -> bool {
        self.is_far
    }

    /// From now on they are, or are not: those that it holds are of no use any more.
    pub(super) fn begin_anew(&mut self, is_far: bool) {
        (self.len, self.is_far) = (0, is_far);
    }

    /// The formats of keys and values.
    pub fn types(&self) -> CacheTypes {
        self.types
    }

    /// Bytes of memory that `tokens` of its tokens take, whatever it holds now.
    pub fn bytes(&self, tokens: usize) -> usize {
        self.caches().map(|layer| layer.keys.bytes(tokens) + layer.values.bytes(tokens)).sum()
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
        (self.len, self.is_far) = (len.min(other.len), other.is_far);
        assert_eq!(self.layers.len(), other.layers.len(), "a cache of another model");
        for (layer, other) in self.layers.iter_mut().flatten().zip(other.caches()) {
            layer.keys.copy_from(&other.keys, self.len);
            layer.values.copy_from(&other.values, self.len);
        }
    }

    /// Writes the keys and values of `n` tokens of one layer behind those that it holds. They count only after
    /// [`Self::advance`]. Token `t` has its keys, `(n_kv_head · head_dim)`, from `keys[t * stride]` on, its values likewise.
    ///
    /// # Panics
    /// Where it has no room for them, a slice is too short, or the layer keeps none.
    pub(super) fn write(
        &mut self,
        pool: &ThreadPool,
        layer: usize,
        n: usize,
        keys: &[f32],
        values: &[f32],
        stride: usize,
    ) {
        let Some(cache) = &mut self.layers[layer] else { panic!("layer {layer} keeps no keys and values") };
        cache.keys.write(pool, self.len, n, keys, stride);
        cache.values.write(pool, self.len, n, values, stride);
    }

    /// Counts `tokens` more positions, written in every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }

    /// One layer's keys and values.
    ///
    /// # Panics
    /// Where the layer keeps none.
    pub(super) fn layer(&self, layer: usize) -> KeysValues<'_> {
        let Some(cache) = &self.layers[layer] else { panic!("layer {layer} keeps no keys and values") };
        KeysValues { keys: cache.keys.view(), values: cache.values.view() }
    }
}
