//! Phi-3, Phi-3.5 and Phi-4-mini (Abdin et al. 2024): Llama with its matrices fused, a rotation that may turn a part of each
//! head only, and longrope.

use super::{Family, gguf, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, JsonFile};
use crate::model::{
    AttentionConfig, FeedForwardConfig, ModelConfig, NormConfig, NormKind, RopeConfig, RopeScaling, RopeStyle, Sizes,
    Slot, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Phi3;

/// Tokens of the first context, where nothing else is said.
const USUAL_ORIGINAL_CONTEXT: usize = 4096;
/// Phi-4-mini: layers, heads, key-value heads, width, width of the feed-forward part, vocabulary, context.
const SHAPE_OF_4_MINI: [usize; 7] = [32, 24, 8, 3072, 8192, 200_064, 131_072];

impl Family for Phi3 {
    fn name(&self) -> &'static str {
        "phi3"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_bool("attention_bias", false)?;
        json.require_bool("mlp_bias", false)?;
        let sizes = llama::sizes_from_json(json, None, None)?;
        let window = layer_types::window_of_all(json)?;
        let usual = rope::Usual {
            trained_context: sizes.trained_context,
            theta: 10_000.0,
            partial: Some(rope::Partial { head_dim: sizes.head_dim, share: 1.0 }),
            original_context: Some(USUAL_ORIGINAL_CONTEXT),
        };
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-5) as f32;
        Ok(ModelConfig {
            ropes: vec![rope::from_json_as(json, &usual)?],
            layers: sizes.layers(json.path(), |_| {
                let attention = AttentionConfig { window, ..llama::attention(&sizes) };
                llama::layer(&sizes, attention, false)
            })?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(false),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let sizes = gguf::sizes_of_partial(keys)?;
        gguf::refuse_experts(keys)?;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let attention = AttentionConfig { window: keys.window()?, ..llama::attention(&sizes) };
        Ok(ModelConfig {
            ropes: vec![rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?],
            layers: sizes.layers(keys.path(), |_| llama::layer(&sizes, attention, false))?,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        let (layer, embd) = (&config.layers[index], config.n_embd);
        list.weight(Slot::AttentionNorm, "input_layernorm", "attn_norm", &[embd]);
        list.weight(Slot::FeedForwardNorm, "post_attention_layernorm", "ffn_norm", &[embd]);
        if let Some(attention) = layer.attention() {
            let (q, kv) = (attention.heads.q_width(), attention.heads.kv_width());
            list.weight(Slot::QueriesKeysValues, "self_attn.qkv_proj", "attn_qkv", &[q + 2 * kv, embd]);
            list.weight(Slot::AttentionOut, "self_attn.o_proj", "attn_output", &[embd, q]);
        }
        if let FeedForwardConfig::Dense(dense) = &layer.feed_forward {
            // The gate before what it is multiplied with, in either kind of file.
            list.weight(Slot::FeedForwardIn, "mlp.gate_up_proj", "ffn_up", &[2 * dense.n_ff, embd]);
            list.weight(Slot::FeedForwardOut, "mlp.down_proj", "ffn_down", &[embd, dense.n_ff]);
        }
        list.done()
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        matches!(scaling, RopeScaling::LongRope { .. })
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes::of(SHAPE_OF_4_MINI);
        let rope = RopeConfig { width: Some(96), ..RopeConfig::plain(10_000.0, RopeStyle::Half) };
        let layer = |_| llama::layer(&sizes, llama::attention(&sizes), false);
        let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
        let layers = (0..sizes.n_layer).map(layer).collect();
        let config = ModelConfig { ropes: vec![rope], layers, tied: true, ..ModelConfig::plain(&Self, &sizes, norm) };
        vec![("phi4-mini", config)]
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_parity, fixture, loaded, text_of};
    use std::ops::ControlFlow::Continue;

    #[test]
    fn fused_matrices_and_a_part_of_each_head_turned_within_the_first_context() {
        assert_parity("variant-phi3-short");
    }

    #[test]
    fn beyond_the_first_context_and_across_its_border() {
        assert_parity("variant-phi3-long");
        assert_parity("variant-phi3-border");
    }

    #[test]
    fn going_back_over_the_border_and_forth_is_a_fresh_computation() {
        let (path, text) = (fixture("variant-phi3-border"), text_of("variant-phi3-border"));
        let logits_after = |tokens: usize| {
            let mut fresh = loaded(&path, 16).inference;
            fresh.prefill(&text[..tokens], &mut |_| Continue(())).unwrap();
            fresh.logits().unwrap().to_vec()
        };
        let mut inference = loaded(&path, 16).inference;
        let assert_fresh = |found: &crate::inference::Inference| {
            assert_eq!(found.held(), &text[..found.held().len()]);
            let pairs = found.logits().unwrap().iter().zip(logits_after(found.held().len()));
            let off = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(off < 1e-3, "after {} tokens: {off}", found.held().len());
        };
        inference.prefill(&text[..57], &mut |_| Continue(())).unwrap();
        for &token in &text[57..66] {
            inference.push(token).unwrap();
            assert_fresh(&inference);
        }
        inference.truncate(55);
        for at in 55..63 {
            // Drafts end at the border.
            inference.push_with_draft(text[at], &text[at + 1..at + 5]).unwrap();
            assert_fresh(&inference);
        }
        inference.truncate(59);
        let mut other = inference.fork().unwrap();
        inference.push(text[59]).unwrap();
        assert_fresh(&inference);
        // One beyond the border, one within it, in one pass.
        let sequences = [(&mut inference, text[60]), (&mut other, text[59])];
        crate::inference::Inference::push_together(sequences.into_iter()).unwrap();
        assert_fresh(&inference);
        assert_fresh(&other);
        inference.prefill(&text[..58], &mut |_| Continue(())).unwrap();
        assert_fresh(&inference);
        inference.prefill(&text[..70], &mut |_| Continue(())).unwrap();
        assert_fresh(&inference);
    }
}
