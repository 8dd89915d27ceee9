//! Models: what they are, load and forward, nothing else.
//!
//! A [`Family`] knows what its files call things and makes a [`ModelConfig`] of them, which says layer by layer what is
//! computed; the one forward pass ([`Model`]) goes by that. The weights of a model are shared and never change. What changes
//! is apart: the [`SequenceState`] of each sequence, and the [`RunState`] that a pass is computed in. A forward pass appends
//! tokens to one sequence or to several and leaves their final hidden states behind; logits are computed from those on demand, because
//! most positions of a prompt need none.

mod activation;
mod alt_up;
mod attention;
mod buffer;
mod config;
mod decoder;
mod delta_net;
mod dense;
mod experts;
pub mod family;
mod feed_forward_config;
mod kv_cache;
mod layer;
mod linear;
mod pass;
mod per_layer;
mod recurrent;
mod rope;
mod rope_config;
mod run_state;
mod sequence_state;
mod short_conv;
mod tensors;

pub use config::{
    AltUpConfig, AttentionConfig, DeltaNetConfig, HeadSizes, LayerConfig, MixerConfig, ModelConfig, NormConfig,
    NormKind, PerLayerConfig, QkNorm, ShortConvConfig, Sizes, Temperature,
};
pub use decoder::Model;
pub use family::Family;
pub use feed_forward_config::{
    Activation, DenseConfig, ExpertsConfig, FeedForwardConfig, RouterConfig, Scoring, SharedExpertConfig,
};
pub use kv_cache::KvCache;
pub use pass::{MAX_RUNS, Pass, Run};
pub use rope_config::{RopeConfig, RopeScaling, RopeStyle};
pub use run_state::RunState;
pub use sequence_state::SequenceState;
pub use tensors::{
    HeadOrder, LaterTensor, Leftovers, ModelTensors, Part, Piece, Place, Prefix, Slice, Slot, Stored, TensorList,
    TensorSpec, matrices,
};
