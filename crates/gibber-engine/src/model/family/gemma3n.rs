//! The text part of Gemma 3n (Google DeepMind 2025): several residual streams, of which a layer computes one and predicts the
//! others, a narrow product beside attention, feed-forward parts that are mostly zero, late layers that share keys and values,
//! and what each layer is told of a token.

use serde_json::Value;

use super::{Family, gemma2, gemma3, gemma4, layer_types, rope};
use crate::EngineError;
use crate::keys::{Bound, GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    Activation, AltUpConfig, AttentionConfig, FeedForwardConfig, LayerConfig, ModelConfig, NormConfig, NormKind,
    PerLayerConfig, QkNorm, RopeConfig, Sizes, Slot, TensorList, TensorSpec,
};

/// See the [module](self).
pub(super) struct Gemma3n;

/// Every so many layers one sees all that came before, where nothing else is said.
const USUAL_PERIOD: usize = 5;
/// How many of the first layers have feed-forward parts that are mostly zero, and how much of them is, where nothing else is
/// said.
const USUAL_SPARSE: (usize, f64) = (10, 0.95);
/// What logits stay within, where nothing else is said.
const USUAL_CAP: f64 = 30.0;
/// How many layers have keys and values of their own, which GGUF files do not say.
const OWN_IN_GGUF: usize = 20;
/// The rank of the product beside attention, which GGUF files do not say.
const RANK_KEY: &str = "blk.0.laurel_l.weight";

/// What is said of the layers, beside the sizes.
struct Shape {
    sizes: Sizes,
    windows: Vec<Option<usize>>,
    n_ff: Vec<usize>,
    /// By how many standard deviations above the mean what passes the gate has to be, where the layer is sparse.
    deviations: Vec<Option<f32>>,
    n_shared: usize,
    rank: usize,
}

impl Family for Gemma3n {
    fn name(&self) -> &'static str {
        "gemma3n"
    }

    fn is_called(&self, name: &str) -> bool {
        name == "gemma3n_text"
    }

    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError> {
        json.require_one_of("hidden_activation", &["gelu_pytorch_tanh"])?;
        json.require_bool("attention_bias", false)?;
        json.require_bool("use_bidirectional_attention", false)?;
        let shape = Shape::from_json(json)?;
        let told = PerLayerConfig {
            width: json.size("hidden_size_per_layer_input")?.unwrap_or(256),
            vocab_size: json.size("vocab_size_per_layer_input")?.unwrap_or(262_144),
        };
        let streams = AltUpConfig {
            n: json.size("altup_num_inputs")?.unwrap_or(4),
            active: json.size("altup_active_idx")?.unwrap_or(0),
            scales_out: json.bool("altup_correct_scale")?.unwrap_or(true),
        };
        let eps = json.number("rms_norm_eps", Bound::Zero)?.unwrap_or(1e-6) as f32;
        let config = ModelConfig {
            ropes: gemma3::ropes_from_json(json, shape.sizes.trained_context)?.into(),
            logits_softcap: gemma2::cap_from_json(json, "final_logit_softcapping", Some(USUAL_CAP))?,
            tied: json.bool("tie_word_embeddings")?.unwrap_or(true),
            ..ModelConfig::plain(&Self, &shape.sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        };
        shape.config(json.path(), config, told, streams)
    }

    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
        let shape = Shape::from_gguf(keys)?;
        let rows = keys.weights().find(gemma4::PER_LAYER_TABLE)?.shape().first().copied().unwrap_or(0);
        let told = PerLayerConfig { width: keys.size("embedding_length_per_layer_input")?, vocab_size: rows };
        let streams = AltUpConfig {
            n: keys.optional_size("altup.num_inputs")?.unwrap_or(4),
            active: keys.optional_size("altup.active_idx")?.unwrap_or(0),
            scales_out: keys.layers_have("altup_correct_scale.weight"),
        };
        let eps = keys.required_number("attention.layer_norm_rms_epsilon", Bound::Zero)? as f32;
        let local = keys.number("rope.freq_base_swa", Bound::AboveZero)?.unwrap_or(gemma3::USUAL_LOCAL_THETA) as f32;
        let cap = keys.number("final_logit_softcapping", Bound::Zero)?.unwrap_or(USUAL_CAP);
        let config = ModelConfig {
            ropes: vec![
                rope::from_gguf(keys, shape.sizes.head_dim, self.gguf_rope_style())?,
                RopeConfig::plain(local, self.gguf_rope_style()),
            ],
            logits_softcap: Some(cap as f32).filter(|&cap| cap > 0.0),
            tied: keys.is_tied(),
            ..ModelConfig::plain(&Self, &shape.sizes, NormConfig { kind: NormKind::RmsNorm, eps })
        };
        shape.config(keys.path(), config, told, streams)
    }

    fn is_left_over(&self, config: &ModelConfig, name: &str) -> bool {
        // Which published files have, whether it is used or not.
        let is_unused_scale = name.ends_with(".altup.correct_output_scale");
        is_unused_scale && config.streams.is_some_and(|streams| !streams.scales_out)
            || gemma4::is_unused_projection(config, name)
    }

    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        let mut specs = gemma4::global_tensors(config);
        let Some(streams) = config.streams else { return specs };
        let mut list = TensorList::global_tensors();
        for (slot, hugging_face, gguf) in [
            (Slot::StreamIn, "altup_projections", "altup_proj"),
            (Slot::StreamOut, "altup_unembed_projections", "altup_unembd_proj"),
        ] {
            for index in 0..streams.n - 1 {
                let name = format!("{hugging_face}.{index}");
                list.weight(slot, &name, gguf, &[config.n_embd; 2]).slice(index, streams.n - 1);
            }
        }
        specs.extend(list.done());
        specs
    }

    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        let mut specs = gemma4::layer_tensors(config, index);
        let (layer, embd) = (&config.layers[index], config.n_embd);
        let mut list = TensorList::layer_tensors("layers", index);
        if let Some(AltUpConfig { n, scales_out, .. }) = config.streams {
            for (slot, hugging_face, gguf, shape) in [
                (Slot::AltUpCorrection, "altup.correction_coefs", "altup_correct_coef", vec![n, n]),
                (Slot::AltUpPrediction, "altup.prediction_coefs", "altup_predict_coef", vec![n * n, n]),
                (Slot::AltUpRouter, "altup.modality_router", "altup_router", vec![n, embd]),
                (Slot::AltUpRouterNorm, "altup.router_norm", "altup_router_norm", vec![embd]),
            ] {
                list.weight(slot, hugging_face, gguf, &shape);
            }
            if scales_out {
                list.weight(Slot::AltUpScale, "altup.correct_output_scale", "altup_correct_scale", &[embd]).bare();
            }
        }
        if let Some(rank) = layer.laurel {
            list.weight(Slot::LaurelLeft, "laurel.linear_left", "laurel_l", &[rank, embd]);
            list.weight(Slot::LaurelRight, "laurel.linear_right", "laurel_r", &[embd, rank]);
            list.weight(Slot::LaurelNorm, "laurel.post_laurel_norm", "laurel_post_norm", &[embd]);
        }
        specs.extend(list.done());
        specs
    }

    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        gemma4::put_gguf_keys(writer, config);
        if let Some(AltUpConfig { n, active, .. }) = config.streams {
            writer.sizes(&[("altup.num_inputs", n), ("altup.active_idx", active)]);
        }
        let deviations = |layer: &LayerConfig| {
            let Activation::SparseGeluTanh { deviations } = layer.feed_forward.unit().activation else { return 0.0 };
            deviations
        };
        writer.numbers("activation_sparsity_scale", &config.layers.iter().map(deviations).collect::<Vec<_>>());
    }

    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        let own = config.attentions().filter(|attention| attention.shares.is_none()).count();
        if own != OWN_IN_GGUF {
            return Some("how many layers have keys and values of their own, unless they are 20 as in E2B and E4B");
        }
        let is_usual = config.streams.is_some_and(|streams| streams.n == 4)
            && config.per_layer_input.is_some_and(|told| told.width == 256)
            && config.layers.iter().all(|layer| layer.laurel == Some(64));
        let usual =
            "sizes other than those of E2B and E4B (`altup_num_inputs`, `hidden_size_per_layer_input`, `laurel_rank`)";
        (!is_usual).then_some(usual)
    }
}

impl Shape {
    fn from_json(json: &JsonFile) -> Result<Self, EngineError> {
        let size = |key: &str, usual: usize| Ok::<_, EngineError>(json.size(key)?.unwrap_or(usual));
        let sizes = Sizes {
            n_layer: size("num_hidden_layers", 35)?,
            n_head: size("num_attention_heads", 8)?,
            n_kv_head: size("num_key_value_heads", 2)?,
            head_dim: size("head_dim", 256)?,
            n_embd: size("hidden_size", 2048)?,
            n_ff: 1,
            vocab_size: size("vocab_size", 262_400)?,
            trained_context: size("max_position_embeddings", 32_768)?,
        };
        sizes.bounded(json.path())?;
        let windows = layer_types::windows(json, sizes.n_layer, Some(512), is_local)?;
        let widths = listed(json, "intermediate_size", sizes.n_layer, Value::as_u64)?;
        let sparsity = listed(json, "activation_sparsity_pattern", sizes.n_layer, Value::as_f64)?;
        let is_usually_sparse = |layer| sizes.n_layer > USUAL_SPARSE.0 && layer < USUAL_SPARSE.0;
        let usual = |layer| if is_usually_sparse(layer) { USUAL_SPARSE.1 } else { 0.0 };
        let share = |layer: usize| sparsity.as_ref().map_or_else(|| usual(layer), |shares| shares[layer]);
        let layers = 0..sizes.n_layer;
        if let Some(share) = layers.clone().map(share).find(|share| !(0.0..1.0).contains(share)) {
            let supported = "from 0 on, below 1, for each layer";
            return Err(json.unsupported("activation_sparsity_pattern", &share.to_string(), supported));
        }
        let deviations = |layer| Some(share(layer)).filter(|&share| share > 0.0).map(|share| quantile(share) as f32);
        let width = |layer: usize| widths.as_ref().map_or(16_384, |widths| usize::try_from(widths[layer]).unwrap_or(0));
        Ok(Self {
            windows: layers.clone().map(windows).collect(),
            n_ff: layers.clone().map(width).collect(),
            deviations: layers.map(deviations).collect(),
            n_shared: size("num_kv_shared_layers", 15)?,
            rank: size("laurel_rank", 64)?,
            sizes,
        })
    }

    fn from_gguf(keys: &GgufKeys<'_>) -> Result<Self, EngineError> {
        let n_layer = keys.size("block_count")?;
        let sizes = Sizes {
            n_layer,
            n_head: keys.size("attention.head_count")?,
            n_kv_head: keys.optional_sizes("attention.head_count_kv", n_layer)?.map_or(0, |counts| counts[0]),
            head_dim: keys.size("attention.key_length")?,
            n_embd: keys.size("embedding_length")?,
            n_ff: 1,
            vocab_size: keys.vocabulary()?,
            trained_context: keys.size("context_length")?,
        };
        sizes.bounded(keys.path())?;
        let window = keys.window()?;
        let pattern = keys.bools("attention.sliding_window_pattern", n_layer)?;
        let has_window = |layer: usize| pattern.as_ref().map_or_else(|| is_local(layer), |pattern| pattern[layer]);
        let scales = keys.numbers("activation_sparsity_scale", n_layer)?;
        let usual = |layer| if layer < USUAL_SPARSE.0 { quantile(USUAL_SPARSE.1) as f32 } else { 0.0 };
        let deviations = |layer: usize| scales.as_ref().map_or_else(|| usual(layer), |scales| scales[layer]);
        let n_ff = keys.optional_sizes("feed_forward_length", n_layer)?;
        Ok(Self {
            windows: (0..n_layer).map(|layer| window.filter(|_| has_window(layer))).collect(),
            n_ff: n_ff.ok_or_else(|| keys.missing("feed_forward_length"))?,
            deviations: (0..n_layer).map(|layer| Some(deviations(layer)).filter(|&by| by != 0.0)).collect(),
            n_shared: n_layer.saturating_sub(OWN_IN_GGUF),
            rank: keys.weights().find(RANK_KEY)?.shape().first().copied().unwrap_or(0),
            sizes,
        })
    }

    /// `config`, with the layers.
    fn config(
        &self,
        path: &std::path::Path,
        config: ModelConfig,
        told: PerLayerConfig,
        streams: AltUpConfig,
    ) -> Result<ModelConfig, EngineError> {
        let sources = gemma4::sources(path, &self.windows, self.n_shared)?;
        let layer = |index: usize| {
            let window = self.windows[index];
            let attention = AttentionConfig {
                window,
                rope: Some(usize::from(window.is_some())),
                scale: 1.0,
                qk_norm: Some(QkNorm::Head),
                v_norm: true,
                shares: sources[index],
                ..AttentionConfig::full(self.sizes.heads())
            };
            let layer = gemma2::layer(&Sizes { n_ff: self.n_ff[index], ..self.sizes }, attention);
            let mut dense = *layer.feed_forward.unit();
            if let Some(deviations) = self.deviations[index] {
                dense.activation = Activation::SparseGeluTanh { deviations };
            }
            LayerConfig { feed_forward: FeedForwardConfig::Dense(dense), laurel: Some(self.rank), ..layer }
        };
        Ok(ModelConfig {
            layers: self.sizes.layers(path, layer)?,
            embedding_scale: (self.sizes.n_embd as f32).sqrt(),
            per_layer_input: Some(told),
            streams: Some(streams),
            ..config
        })
    }
}

fn is_local(layer: usize) -> bool {
    !(layer + 1).is_multiple_of(USUAL_PERIOD)
}

/// A number of each layer: a list, or one for all of them.
fn listed<T: Copy>(
    json: &JsonFile,
    key: &str,
    n_layer: usize,
    number: fn(&Value) -> Option<T>,
) -> Result<Option<Vec<T>>, EngineError> {
    let Some(value) = json.get(key) else { return Ok(None) };
    let list = match value.as_array() {
        Some(list) => list.iter().map(number).collect::<Option<Vec<_>>>().filter(|list| list.len() == n_layer),
        None => number(value).map(|number| vec![number; n_layer]),
    };
    let supported = format!("a number, or one for each of {n_layer} layers");
    list.map(Some).ok_or_else(|| json.unsupported(key, &value.to_string(), &supported))
}

/// The number of standard deviations above the mean that `share` of all values of a normal distribution are below: by halving.
fn quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if below(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// The share of a normal distribution below `x`: by the series of Marsaglia (2004).
fn below(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 1.0);
    while term.abs() > 1e-18 && n < 1e4 {
        n += 2.0;
        term *= x * x / n;
        sum += term;
    }
    0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::quantile;
    use crate::model::family::tests::{assert_same, fixture, loaded};

    #[test]
    fn several_streams_and_sparse_parts() {
        assert_same("variant-gemma3n", &fixture("variant-gemma3n"));
    }

    #[test]
    fn a_scale_that_is_not_used_is_left_over() {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "vocab.json", "merges.txt", "model.safetensors"] {
            std::fs::copy(fixture("variant-gemma3n").join(file), folder.path().join(file)).unwrap();
        }
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config["altup_correct_scale"] = false.into();
        std::fs::write(&path, config.to_string()).unwrap();
        loaded(folder.path(), 16).inference.prefill(&[5, 6], &mut |_| std::ops::ControlFlow::Continue(())).unwrap();
    }

    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (share, expected) in [(0.95, 1.644_853_626_951_472_2), (0.5, 0.0), (0.1, -1.281_551_565_544_600_4)] {
            assert!((quantile(share) - expected).abs() < 1e-9, "{share}: {}", quantile(share));
        }
    }
}
