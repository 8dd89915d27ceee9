//! Mixtral (Jiang et al. 2024): Mistral with experts. GGUF calls it as it calls Llama, which reads such files.

use super::experts::{self, ExpertNames};
use super::{Family, layer_types, llama, rope};
use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use crate::model::{AttentionConfig, ModelConfig, QkNorm, RopeScaling, RopeStyle, RouterConfig};

/// See the [module](self).
pub(super) struct Mixtral;

impl Family for Mixtral {
    fn name(&self) -> &'static str {
        "mixtral"
    }

    fn gguf_name(&self) -> &'static str {
        "llama"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let sizes = llama::sizes_from_json(json, Some(8), None)?;
        let experts = experts::plain(
            json.size("num_local_experts")?.or(json.size("num_experts")?).unwrap_or(8),
            json.size("num_experts_per_tok")?.unwrap_or(2),
            sizes.n_ff,
            RouterConfig::softmax(true),
        );
        let window = layer_types::window_of_all(json)?;
        let usual = llama::Usual { theta: 1e6, eps: 1e-5 };
        llama::config_from_json_or(&Self, json, &sizes, usual, |_| {
            let attention = AttentionConfig { window, ..llama::attention(&sizes) };
            experts::with(llama::layer(&sizes, attention, false), experts)
        })
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        llama::config_with_experts(&Self, keys, true, QkNorm::Head)
    }

    fn expert_names(&self) -> ExpertNames {
        ExpertNames { block: ["block_sparse_moe", "mlp"], steps: ["w1", "w3", "w2"] }
    }

    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        rope::divides_as_llama(scaling)
    }

    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Interleaved
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
    }
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_parity, assert_same, fixture};

    #[test]
    fn experts_under_names_of_their_own_and_a_window() {
        assert_parity("variant-mixtral");
    }

    #[test]
    fn experts_as_transformers_holds_them_in_memory() {
        assert_same("variant-mixtral", &fixture("variant-mixtral-fused"));
    }
}
