//! Layers whose norms are all behind what they normalize, as those of OLMo 2 and EXAONE 4.

use super::llama;
use crate::model::{AttentionConfig, LayerConfig, ModelConfig, QkNorm, Sizes, Slot, TensorList, TensorSpec};

/// The tensors of a layer whose norms are behind what they normalize.
pub(super) fn layer_tensors(config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
    let mut list = TensorList::layer_tensors("layers", index);
    let width = [config.n_embd];
    list.weight(Slot::AttentionPostNorm, "post_attention_layernorm", "post_attention_norm", &width);
    list.weight(Slot::FeedForwardPostNorm, "post_feedforward_layernorm", "post_ffw_norm", &width);
    llama::head_norms(&mut list, config, index);
    llama::matrices(&mut list, config, index);
    list.done()
}

/// One of OLMo, whose attention is as `change` leaves it.
pub(super) fn olmo(sizes: &Sizes, bias: bool, change: impl FnOnce(AttentionConfig) -> AttentionConfig) -> LayerConfig {
    let qk_norm = Some(QkNorm::Token);
    let attention = AttentionConfig { qk_norm, qkv_bias: bias, out_bias: bias, ..llama::attention(sizes) };
    layer(sizes, change(attention))
}

/// A layer whose norms are behind what they normalize.
pub(super) fn layer(sizes: &Sizes, attention: AttentionConfig) -> LayerConfig {
    LayerConfig { norm_before: false, norm_after: true, ..llama::layer(sizes, attention, false) }
}
