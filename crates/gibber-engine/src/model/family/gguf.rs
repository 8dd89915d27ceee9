//! What GGUF files of all architectures say alike.

use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, share};
use crate::model::{ModelConfig, Sizes};

/// The sizes of the model.
///
/// # Errors
/// Where one is missing or none, and where the file asks for a variant that is computed for no architecture here.
pub(super) fn sizes(keys: &GgufKeys<'_>) -> Result<Sizes, EngineError> {
    let sizes = sizes_of_partial(keys)?;
    refuse_other_lengths(keys, sizes.head_dim, "rope.dimension_count")?;
    Ok(sizes)
}

/// As [`sizes`], of an architecture that may turn a part of each head.
///
/// # Errors
/// Those of [`sizes`].
pub(super) fn sizes_of_partial(keys: &GgufKeys<'_>) -> Result<Sizes, EngineError> {
    let n_kv_head = keys.optional_size("attention.head_count_kv")?;
    partial_sizes_with(keys, n_kv_head.map_or_else(|| keys.size("attention.head_count"), Ok)?)
}

/// As [`sizes`], with as many heads of keys and values a layer as are given.
///
/// # Errors
/// Those of [`sizes`].
pub(super) fn sizes_with(keys: &GgufKeys<'_>, n_kv_head: usize) -> Result<Sizes, EngineError> {
    let sizes = partial_sizes_with(keys, n_kv_head)?;
    refuse_other_lengths(keys, sizes.head_dim, "rope.dimension_count")?;
    Ok(sizes)
}

fn partial_sizes_with(keys: &GgufKeys<'_>, n_kv_head: usize) -> Result<Sizes, EngineError> {
    let n_head = keys.size("attention.head_count")?;
    let n_embd = keys.size("embedding_length")?;
    // Each head has a width of its own, or an even share of the embedding.
    let head_dim = match keys.optional_size("attention.key_length")? {
        Some(length) => length,
        None => share(keys.path(), n_embd, n_head)?,
    };
    refuse_other_lengths(keys, head_dim, "attention.value_length")?;
    Ok(Sizes {
        n_layer: keys.size("block_count")?,
        n_head,
        n_kv_head,
        head_dim,
        n_embd,
        n_ff: match keys.optional_size("feed_forward_length")? {
            Some(width) => width,
            // Where all layers have experts, some files say nothing else.
            None => {
                keys.optional_size("expert_feed_forward_length")?.ok_or_else(|| keys.missing("feed_forward_length"))?
            }
        },
        vocab_size: keys.vocabulary()?,
        trained_context: keys.size("context_length")?,
    })
}

/// Refuses what would compute something else.
fn refuse_other_lengths(keys: &GgufKeys<'_>, head_dim: usize, key: &str) -> Result<(), EngineError> {
    match keys.optional_size(key)?.filter(|&length| length != head_dim) {
        Some(length) => Err(keys.unsupported(key, &format!("{length}, beside heads of {head_dim} values"))),
        None => Ok(()),
    }
}

/// Refuses experts, for a family that has none.
pub(super) fn refuse_experts(keys: &GgufKeys<'_>) -> Result<(), EngineError> {
    match keys.optional_size("expert_count")?.filter(|&experts| experts > 0) {
        Some(experts) => Err(keys.unsupported("expert_count", &experts.to_string())),
        None => Ok(()),
    }
}

/// Writes the sizes that every architecture has keys for.
pub(super) fn put_sizes(writer: &mut GgufWriter<'_>, config: &ModelConfig) {
    // Of layers that have experts it is the width of one, where no layer has none.
    let (dense, sparse): (Vec<_>, Vec<_>) =
        config.layers.iter().map(|layer| &layer.feed_forward).partition(|part| part.experts().is_none());
    let widths = if dense.is_empty() { sparse } else { dense }.into_iter().map(|part| part.unit().n_ff);
    writer.sizes(&[
        ("block_count", config.n_layer()),
        ("context_length", config.trained_context),
        ("embedding_length", config.n_embd),
        ("feed_forward_length", widths.max().unwrap_or(0)),
        ("attention.head_count", config.first_heads().map_or(0, |heads| heads.n_head)),
    ]);
}
