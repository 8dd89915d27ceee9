//! OLMo 2 (OLMo et al. 2025), whose norms are all behind what they normalize, those of queries and keys over all heads of a
//! token.

use super::{Family, gguf, llama, norms_behind, olmo3, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, JsonFile};
use crate::model::{ModelConfig, NormConfig, NormKind, TensorSpec};

/// See the [module](self).
pub(super) struct Olmo2;

impl Family for Olmo2 {
    fn name(&self) -> &'static str {
        "olmo2"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, None, None)?;
        let bias = json.bool("attention_bias")?.unwrap_or(false);
        let usual = llama::Usual { eps: 1e-5, ..llama::USUAL };
        llama::config_from_json_or(&Self, json, &sizes, usual, |_| {
            norms_behind::olmo(&sizes, bias, |attention| attention)
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        if keys.window()?.is_some() {
            return olmo3::Olmo3.config_from_gguf(keys);
        }
        let sizes = gguf::sizes(keys)?;
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        Ok(ModelConfig {
            ropes: vec![rope::from_gguf(keys, sizes.head_dim, self.gguf_rope_style())?],
            layers: sizes.layers(keys.path(), |_| {
                norms_behind::olmo(&sizes, keys.layers_have("attn_q.bias"), |attention| attention)
            })?,
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        })
    }

    fn gguf_shares_output(&self) -> bool {
        false
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        llama::gguf_lacks_biases(config).or_else(|| llama::gguf_lacks(config))
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        norms_behind::layer_tensors(config, index)
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::assert_parity;

    #[test]
    fn norms_behind_alone_from_a_folder_and_a_gguf_file() {
        assert_parity("variant-olmo2");
    }
}
