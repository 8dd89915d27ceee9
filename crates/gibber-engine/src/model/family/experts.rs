//! What families say of their experts: which layers have some, what they are called, what GGUF says of them.

use serde_json::Value;

use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use crate::model::{
    DenseConfig, ExpertsConfig, FeedForwardConfig, LayerConfig, ModelConfig, Part, Piece, RouterConfig,
    SharedExpertConfig, Slice, Slot, TensorList,
};

/// What Hugging Face calls the experts of a layer.
#[derive(Debug, Clone, Copy)]
pub struct ExpertNames {
    /// What holds the router and the experts, as published and as transformers 5 has it in memory.
    pub block: [&'static str; 2],
    /// The gate, what it is multiplied with, and the second step.
    pub steps: [&'static str; 3],
}

/// As most families call them.
pub(super) const USUAL: ExpertNames =
    ExpertNames { block: ["mlp", "mlp"], steps: ["gate_proj", "up_proj", "down_proj"] };

/// The layers that have experts as `decoder_sparse_step` and `mlp_only_layers` say it.
///
/// # Errors
/// Where one of the two is nothing that it can be.
pub(super) fn layers_from_json(json: &JsonFile) -> Result<impl Fn(usize) -> bool, EngineError> {
    let step = json.size("decoder_sparse_step")?.unwrap_or(1);
    if step == 0 {
        return Err(EngineError::format(json.path(), "`decoder_sparse_step` is 0: it has to be at least 1"));
    }
    let key = "mlp_only_layers";
    let wrong = |value: &Value| json.unsupported(key, &value.to_string(), "a list of layers");
    let dense = match json.get(key) {
        None => Vec::new(),
        Some(value) => {
            let layers =
                value.as_array().and_then(|layers| layers.iter().map(Value::as_i64).collect::<Option<Vec<_>>>());
            layers.ok_or_else(|| wrong(value))?
        }
    };
    Ok(move |index: usize| {
        (index + 1).is_multiple_of(step) && !dense.iter().any(|&layer| usize::try_from(layer) == Ok(index))
    })
}

/// Experts of SwiGLU, of which `n_used` of `n_expert` are chosen.
pub(super) fn plain(n_expert: usize, n_used: usize, n_ff: usize, router: RouterConfig) -> ExpertsConfig {
    ExpertsConfig { n_expert, n_used, expert: DenseConfig::swiglu(n_ff, false), router, shared: None, has_norms: false }
}

/// An expert of SwiGLU that every token goes through, as much as its gate says.
pub(super) fn gated(n_ff: usize) -> SharedExpertConfig {
    SharedExpertConfig { dense: DenseConfig::swiglu(n_ff, false), is_gated: true }
}

/// The layer with these experts in place of its feed-forward part.
pub(super) fn with(layer: LayerConfig, experts: ExpertsConfig) -> LayerConfig {
    LayerConfig { feed_forward: FeedForwardConfig::Experts(experts), ..layer }
}

/// The experts as the keys of a GGUF file say it, where there are any: each as wide as its key says, or as `usual_width` is.
/// The weights of the chosen are normalized where the architecture `is_normalized` and no key says otherwise.
///
/// # Errors
/// Where a key is missing or impossible, or asks for another kind of score.
pub(super) fn from_gguf(
    keys: &GgufKeys<'_>,
    usual_width: usize,
    is_normalized: bool,
) -> Result<Option<ExpertsConfig>, EngineError> {
    let Some(n_expert) = keys.optional_size("expert_count")?.filter(|&count| count > 0) else { return Ok(None) };
    // 1 is the softmax over all, 3 the softmax over the chosen (`llama_expert_gating_func_type`).
    let gating = keys.optional_size("expert_gating_func")?;
    if let Some(other) = gating.filter(|kind| ![0, 1, 3].contains(kind)) {
        return Err(keys.unsupported("expert_gating_func", &other.to_string()));
    }
    let is_normalized = gating == Some(3) || keys.bool("expert_weights_norm")?.unwrap_or(is_normalized);
    let scale = keys.number("expert_weights_scale", crate::keys::Bound::Zero)?.filter(|&scale| scale != 0.0);
    let router = RouterConfig { scale: scale.unwrap_or(1.0) as f32, ..RouterConfig::softmax(is_normalized) };
    let n_ff = keys.optional_size("expert_feed_forward_length")?.filter(|&width| width > 0).unwrap_or(usual_width);
    let shared = shared_from_gguf(keys, usual_width)?;
    Ok(Some(ExpertsConfig { shared, ..plain(n_expert, keys.size("expert_used_count")?, n_ff, router) }))
}

/// The expert that every token goes through, where the layers that have experts have one.
fn shared_from_gguf(keys: &GgufKeys<'_>, usual_width: usize) -> Result<Option<SharedExpertConfig>, EngineError> {
    let has = |name: &str| keys.weights().iter().any(|tensor| tensor.name().ends_with(name));
    if !has(".ffn_down_shexp.weight") {
        return Ok(None);
    }
    let width = keys.optional_size("expert_shared_feed_forward_length")?.filter(|&width| width > 0);
    let shared = gated(width.unwrap_or(usual_width));
    Ok(Some(SharedExpertConfig { is_gated: has(".ffn_gate_inp_shexp.weight"), ..shared }))
}

/// Whether the layer of a GGUF file has experts.
pub(super) fn layer_has(keys: &GgufKeys<'_>, index: usize) -> bool {
    keys.weights().contains(&format!("blk.{index}.ffn_gate_inp.weight"))
}

/// Writes what a GGUF file says of experts.
pub(super) fn put_gguf_keys(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    put_sizes(writer, config);
    let Some(experts) = config.layers.iter().find_map(|layer| layer.feed_forward.experts()) else { return };
    if let Some(shared) = &experts.shared {
        writer.sizes(&[("expert_shared_feed_forward_length", shared.dense.n_ff)]);
    }
}

/// Writes how many experts there are, how many of them are chosen, and how wide they are.
pub(super) fn put_sizes(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    let Some(experts) = config.layers.iter().find_map(|layer| layer.feed_forward.experts()) else { return };
    writer.sizes(&[
        ("expert_count", experts.n_expert),
        ("expert_used_count", experts.n_used),
        ("expert_feed_forward_length", experts.expert.n_ff),
    ]);
}

/// What GGUF cannot say of the experts of an architecture whose weights `are_normalized`.
pub(super) fn gguf_lacks(config: &ModelConfig, are_normalized: bool) -> Option<&'static str> {
    let mut layers = config.layers.iter().map(|layer| layer.feed_forward.experts());
    if layers.clone().any(|experts| experts.is_none()) {
        return Some("which layers have no experts (`mlp_only_layers`, `decoder_sparse_step`)");
    }
    let is_other = |experts: &ExpertsConfig| experts.router.normalized.is_some() != are_normalized;
    let what = "whether the weights of a token's experts add up to one (`norm_topk_prob`)";
    layers.any(|experts| experts.is_some_and(is_other)).then_some(what)
}

/// The tensors of the experts of a layer, and of what chooses them.
pub(super) fn tensors(list: &mut TensorList, experts: &ExpertsConfig, embd: usize, names: ExpertNames) {
    let ExpertsConfig { n_expert, router, shared, .. } = *experts;
    let [published, held] = names.block;
    list.weight(Slot::Router, &format!("{published}.gate"), "ffn_gate_inp", &[n_expert, embd]).bias(router.bias);
    if published != held {
        list.otherwise((&format!("{held}.gate.weight"), None), None);
    }
    for index in 0..n_expert {
        expert(list, &experts.expert, embd, names, Slice { index, of: n_expert });
    }
    let Some(SharedExpertConfig { dense, is_gated }) = shared else { return };
    for (step, gguf, slot, shape) in [
        ("gate_proj", "ffn_gate_shexp", Slot::SharedExpertIn, [dense.n_ff, embd]),
        ("up_proj", "ffn_up_shexp", Slot::SharedExpertIn, [dense.n_ff, embd]),
        ("down_proj", "ffn_down_shexp", Slot::SharedExpertOut, [embd, dense.n_ff]),
    ] {
        list.weight(slot, &format!("{published}.shared_expert.{step}"), gguf, &shape);
    }
    if is_gated {
        let names = [format!("{published}.shared_expert_gate.weight"), "ffn_gate_inp_shexp.weight".to_owned()];
        list.named(Slot::SharedExpertGate, Part::Weight, [&names[0], &names[1]], &[embd]);
    }
}

/// The matrices of one expert: one by one as they are published, or with those of the others as transformers 5 holds them.
fn expert(list: &mut TensorList, dense: &DenseConfig, embd: usize, names: ExpertNames, slice: Slice) {
    let ([published, held], [gate, up, down], n_ff) = (names.block, names.steps, dense.n_ff);
    let both = "ffn_gate_up_exps.weight";
    for (name, gguf, slot, shape, fused, (first, times)) in [
        (gate, "ffn_gate_exps", Slot::FeedForwardIn, [n_ff, embd], ("gate_up_proj", Some(both)), (0, 2)),
        (up, "ffn_up_exps", Slot::FeedForwardIn, [n_ff, embd], ("gate_up_proj", Some(both)), (n_ff, 2)),
        (down, "ffn_down_exps", Slot::FeedForwardOut, [embd, n_ff], ("down_proj", None), (0, 1)),
    ] {
        let piece = Piece { slice, first, step: 1, times, is_transposed: false };
        list.weight(slot, &format!("{published}.experts.{}.{name}", slice.index), gguf, &shape)
            .slice(slice.index, slice.of)
            .otherwise((&format!("{held}.experts.{}", fused.0), fused.1), Some(piece));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{ModelSource, open};
    use crate::model::ModelTensors;
    use crate::model::family::tests::fixture;
    use crate::weights::{DType, Storage, Tensor, Weights};

    fn sparse(json: &str) -> Result<Vec<usize>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        std::fs::write(&path, json).unwrap();
        let json = JsonFile::read(path).unwrap().unwrap();
        let is_sparse = layers_from_json(&json).map_err(|error| error.to_string())?;
        Ok((0..6).filter(|&index| is_sparse(index)).collect())
    }

    #[test]
    fn a_gguf_file_may_have_the_gate_and_what_it_gates_in_one_tensor() {
        let files = open(&ModelSource::Path(fixture("variant-mixtral"))).unwrap();
        let tensor = |name: &str, shape: &[usize]| {
            let values = 0..shape.iter().product::<usize>();
            let bytes: Vec<u8> = values.flat_map(|value| (value as f32).to_le_bytes()).collect();
            let len = bytes.len();
            Tensor::new(name.into(), shape.into(), DType::F32, Storage::from_vec(bytes), 0..len).unwrap()
        };
        // Of five experts, each 28 wide for rows of 32.
        let both = tensor("blk.0.ffn_gate_up_exps.weight", &[5, 2 * 28, 32]);
        let weights = Weights::new("x.gguf", [tensor("token_embd.weight", &[1]), both]);
        let tensors = ModelTensors::new(&files.config, &weights);
        for (name, first) in [("ffn_gate_exps", 0), ("ffn_up_exps", 28)] {
            let name = format!("blk.0.{name}.weight");
            let specs = tensors.layer_tensors(0);
            let spec = specs.iter().filter(|spec| spec.gguf == name).nth(3).unwrap();
            let start = (3 * 2 * 28 + first) * 32;
            let expected: Vec<_> = (start..start + 28 * 32).map(|value| value as f32).collect();
            assert_eq!(tensors.values(spec).unwrap(), expected, "{name}");
        }
    }

    #[test]
    fn layers_without_experts_are_listed_or_come_at_every_step() {
        assert_eq!(sparse("{}"), Ok(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(sparse(r#"{"decoder_sparse_step": 2}"#), Ok(vec![1, 3, 5]));
        assert_eq!(sparse(r#"{"decoder_sparse_step": 2, "mlp_only_layers": [3, 9, -1]}"#), Ok(vec![1, 5]));
        assert_eq!(sparse(r#"{"mlp_only_layers": null}"#).map(|layers| layers.len()), Ok(6));
        assert!(sparse(r#"{"mlp_only_layers": ["first"]}"#).unwrap_err().contains("a list of layers"));
        assert!(sparse(r#"{"decoder_sparse_step": 0}"#).unwrap_err().contains("`decoder_sparse_step` is 0"));
    }
}
