//! All that a sequence has left behind: keys and values of its tokens, and the state of recurrent layers.

use super::config::{LayerConfig, MixerConfig, ModelConfig};
use super::kv_cache::KvCache;
use super::recurrent::{Recurrent, RecurrentShape};
use crate::EngineError;
use crate::kernels::attention::CacheTypes;

/// The state of a sequence. Keys and values can be cut anywhere; where there are recurrent layers, [`Self::truncate`] goes
/// back to where their state can be had, and says how far that is.
#[derive(Debug)]
pub struct SequenceState {
    kv: KvCache,
    recurrent: Option<Recurrent>,
}

impl SequenceState {
    /// That of no tokens, with room for `capacity`.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no memory for it.
    pub fn new(config: &ModelConfig, types: CacheTypes, capacity: usize) -> Result<Self, EngineError> {
        Ok(Self { kv: KvCache::new(config, types, capacity)?, recurrent: Recurrent::new(&shapes(config)) })
    }

    /// Bytes of memory that `tokens` tokens take at the most: keys and values, recurrent states, and the snapshots of those.
    pub fn bytes_for(config: &ModelConfig, types: CacheTypes, tokens: usize) -> usize {
        let recurrent = Self::recurrent_bytes_for(config, tokens);
        KvCache::bytes_for(config, types, tokens).saturating_add(recurrent)
    }

    /// How many of those are of recurrent states and their snapshots.
    pub fn recurrent_bytes_for(config: &ModelConfig, tokens: usize) -> usize {
        Recurrent::bytes_for(&shapes(config), tokens)
    }

    /// Bytes of memory that it takes for `tokens` of its tokens, whatever it holds now; as [`Self::bytes_for`].
    pub fn bytes(&self, tokens: usize) -> usize {
        let recurrent = self.recurrent.as_ref().map_or(0, |recurrent| recurrent.bytes(tokens));
        self.kv.bytes(tokens).saturating_add(recurrent)
    }

    /// Tokens it is after.
    pub fn len(&self) -> usize {
        self.kv.len()
    }

    /// Whether it is that of no tokens.
    pub fn is_empty(&self) -> bool {
        self.kv.is_empty()
    }

    /// Tokens it has room for.
    pub fn capacity(&self) -> usize {
        self.kv.capacity()
    }

    /// Whether its keys are turned as in a text that goes beyond a rotation's first context.
    pub fn is_far(&self) -> bool {
        self.kv.is_far()
    }

    /// Is that of no tokens again, whose keys are from now on turned so, or not.
    pub(crate) fn begin_anew(&mut self, is_far: bool) {
        self.truncate(0);
        self.kv.begin_anew(is_far);
    }

    /// The formats of keys and values.
    pub fn types(&self) -> CacheTypes {
        self.kv.types()
    }

    /// Forgets all but the first `tokens` tokens, and where the state of recurrent layers after those is not to be had, some
    /// more: then [`Self::len`] is lower, and the tokens between have to come again.
    pub fn truncate(&mut self, tokens: usize) {
        let reached = self.recurrent.as_mut().map_or(tokens, |recurrent| recurrent.truncate(tokens));
        self.kv.truncate(reached);
    }

    /// Is what the first `tokens` tokens of `other` have left, or, as after [`Self::truncate`], somewhat fewer.
    ///
    /// # Panics
    /// Where `other` is of another model, format or capacity.
    pub(crate) fn copy_from(&mut self, other: &Self, tokens: usize) {
        self.recurrent.clone_from(&other.recurrent);
        self.kv.copy_from(&other.kv, tokens);
        self.truncate(tokens);
    }

    /// The first `tokens` tokens are certain, and the end of a pass, or of a whole prompt (`is_border`): a good place to come
    /// back to.
    pub(crate) fn note(&mut self, tokens: usize, is_border: bool) {
        if let Some(recurrent) = &mut self.recurrent {
            recurrent.note(tokens, is_border);
        }
    }

    /// A pass begins.
    pub(super) fn begin(&mut self) {
        if let Some(recurrent) = &mut self.recurrent {
            recurrent.begin();
        }
    }

    /// Counts `tokens` more tokens, written in every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.kv.advance(tokens);
        if let Some(recurrent) = &mut self.recurrent {
            recurrent.advance(tokens);
        }
    }

    /// Keys and values.
    pub(super) fn kv(&mut self) -> &mut KvCache {
        &mut self.kv
    }

    /// The state of recurrent layers, where there are any.
    pub(super) fn recurrent(&mut self) -> Option<&mut Recurrent> {
        self.recurrent.as_mut()
    }
}

/// What each layer keeps beside keys and values.
fn shapes(config: &ModelConfig) -> Vec<Option<RecurrentShape>> {
    let shape = |layer: &LayerConfig| match &layer.mixer {
        MixerConfig::Attention(_) => None,
        MixerConfig::DeltaNet(net) => Some(RecurrentShape {
            state: net.shape().state(),
            input: net.conv_width() + 2 * net.n_value_head,
            reach: net.kernel - 1,
        }),
        MixerConfig::ShortConv(conv) => Some(RecurrentShape { state: 0, input: config.n_embd, reach: conv.kernel - 1 }),
    };
    config.layers.iter().map(shape).collect()
}
