//! LFM2 with experts (Liquid AI 2025) in all layers but the first few: scores by the sigmoid, a bias that moves the choice
//! alone.

use super::experts::ExpertNames;
use super::{Family, experts, lfm2};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    ExpertsConfig, LayerConfig, ModelConfig, NormConfig, NormKind, Part, RopeConfig, RopeStyle, RouterConfig, Scoring,
    ShortConvConfig, Sizes, Slot, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Lfm2Moe;

/// Where the weights of the chosen are divided by their sum, this is added to it.
const ADDED_TO_SUM: f32 = 1e-6;
/// The sigmoid, as `expert_gating_func` has it (`llama_expert_gating_func_type`).
const SIGMOID: usize = 2;
const NAMES: ExpertNames = ExpertNames { block: ["feed_forward", "feed_forward"], steps: ["w1", "w3", "w2"] };

impl Family for Lfm2Moe {
    fn name(&self) -> &'static str {
        "lfm2_moe"
    }

    fn gguf_name(&self) -> &'static str {
        "lfm2moe"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
        let n_ff = size("intermediate_size", 7168)?;
        let sizes = lfm2::sizes_from_json(json, n_ff, 2048)?;
        let has_attention = lfm2::attention_from_json(json, sizes.n_layer)?;
        let conv = lfm2::conv_from_json(json)?;
        let adds_up = json.bool("norm_topk_prob")?.unwrap_or(true);
        let router = RouterConfig {
            scoring: Scoring::Sigmoid,
            bias: false,
            choice_bias: json.bool("use_expert_bias")?.unwrap_or(true),
            normalized: adds_up.then_some(ADDED_TO_SUM),
            scale: json.number("routed_scaling_factor", Bound::Zero)?.unwrap_or(1.0) as f32,
            expert_scales: false,
        };
        let width = size("moe_intermediate_size", 1792)?;
        let experts = experts::plain(size("num_experts", 32)?, size("num_experts_per_tok", 4)?, width, router);
        let dense = size("num_dense_layers", 2)?;
        let layers = sizes.layers(json.path(), |index| {
            layer(&sizes, has_attention(index), conv, (index >= dense).then_some(experts))
        })?;
        lfm2::config_from_json(&Self, json, &sizes, layers)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        if let Some(other) = keys.optional_size("expert_gating_func")?.filter(|&kind| kind != SIGMOID) {
            return Err(keys.unsupported("expert_gating_func", &other.to_string()));
        }
        let router = router(keys.weights().iter().any(|tensor| tensor.name().ends_with(".exp_probs_b.bias")));
        let width = keys.size("expert_feed_forward_length")?;
        let experts = experts::plain(keys.size("expert_count")?, keys.size("expert_used_count")?, width, router);
        lfm2::config_from_gguf(&Self, keys, |sizes, index, has_attention, conv| {
            layer(sizes, has_attention, conv, experts::layer_has(keys, index).then_some(experts))
        })
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        lfm2::global_tensors(config)
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut list = TensorList::layer_tensors("layers", index);
        lfm2::mixer_tensors(&mut list, config, index);
        lfm2::dense_tensors(&mut list, config, index);
        if let Some(experts) = config.layers[index].feed_forward.experts() {
            experts::tensors(&mut list, experts, config.n_embd, NAMES);
            if experts.router.choice_bias {
                let names = ["feed_forward.expert_bias", "exp_probs_b.bias"];
                list.named(Slot::ChoiceBias, Part::Bias, names, &[experts.n_expert]);
            }
        }
        list.done()
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        lfm2::put_gguf_keys(writer, config);
        experts::put_gguf_keys(writer, config);
        writer.sizes(&[("leading_dense_block_count", dense_layers(config)), ("expert_gating_func", SIGMOID)]);
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let routers = || config.layers.iter().filter_map(|layer| layer.feed_forward.experts()).map(|it| it.router);
        if routers().any(|it| it != router(it.choice_bias)) {
            return Some("what becomes of the scores of experts (`norm_topk_prob`, `routed_scaling_factor`)");
        }
        if routers().any(|it| !it.choice_bias) {
            return Some("that no bias moves the choice of experts (`use_expert_bias`)");
        }
        if routers().next().is_none() {
            return Some("that no layer has experts (`num_dense_layers`)");
        }
        lfm2::gguf_lacks(config)
    }

    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        let sizes = Sizes::of([24, 32, 8, 2048, 7168, 65_536, 128_000]);
        let conv = ShortConvConfig { kernel: 3, bias: false };
        let experts = experts::plain(32, 4, 1792, router(true));
        let has_attention = |index: usize| [2, 6, 10, 14, 18, 21].contains(&index);
        let layer = |index| layer(&sizes, has_attention(index), conv, (index >= 2).then_some(experts));
        let ropes = vec![RopeConfig::plain(1e6, RopeStyle::Half)];
        let norm = NormConfig { kind: NormKind::RmsNorm, eps: 1e-5 };
        let layers = (0..sizes.n_layer).map(layer).collect();
        vec![("lfm2-8b-a1b", ModelConfig { ropes, layers, tied: true, ..ModelConfig::plain(&Self, &sizes, norm) })]
    }
}

/// As GGUF files have it.
fn router(choice_bias: bool) -> RouterConfig {
    let normalized = Some(ADDED_TO_SUM);
    RouterConfig { scoring: Scoring::Sigmoid, bias: false, choice_bias, normalized, scale: 1.0, expert_scales: false }
}

fn layer(sizes: &Sizes, has_attention: bool, conv: ShortConvConfig, experts: Option<ExpertsConfig>) -> LayerConfig {
    let layer = lfm2::layer(sizes, has_attention, conv);
    match experts {
        Some(experts) => experts::with(layer, experts),
        None => layer,
    }
}

fn dense_layers(config: &ModelConfig) -> usize {
    config.layers.iter().take_while(|layer| layer.feed_forward.experts().is_none()).count()
}

#[cfg(test)]
mod tests {
    use crate::model::family::tests::{assert_gguf_refused, assert_parity, assert_same, fixture};

    #[test]
    fn experts_that_are_chosen_with_a_bias_and_weighed_without() {
        assert_parity("variant-lfm2-moe");
    }

    #[test]
    fn weights_of_experts_that_do_not_add_up_and_are_scaled() {
        assert_same("variant-lfm2-moe-scaled", &fixture("variant-lfm2-moe-scaled"));
        assert_gguf_refused("variant-lfm2-moe-scaled", "`routed_scaling_factor`");
    }
}
