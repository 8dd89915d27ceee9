//! Which layers have a sliding window, as Hugging Face configurations say it.

use serde_json::Value;

use crate::EngineError;
use crate::keys::JsonFile;

/// How many positions, its own counted in, a token sees in each of `n_layer` layers; `None` is all of them.
///
/// `sliding_window` says how many, and in its absence `usual`, which is `None` where no layer has a window whatever the key
/// says. `layer_types` says in which layers, and in its absence `by_default`.
///
/// # Errors
/// Where the window is no size or nothing at all, and where the list has another length, or a layer that is neither
/// `full_attention` nor `sliding_attention`.
pub(super) fn windows(
    json: &JsonFile,
    n_layer: usize,
    usual: Option<usize>,
    by_default: impl Fn(usize) -> bool,
) -> Result<impl Fn(usize) -> Option<usize>, EngineError> {
    let positions = match usual {
        Some(usual) if !json.is_null("sliding_window") => Some(json.size("sliding_window")?.unwrap_or(usual)),
        _ => None,
    };
    if positions == Some(0) {
        return Err(EngineError::format(json.path(), "`sliding_window` is 0: a token has to see itself"));
    }
    let listed = if positions.is_some() { listed(json, n_layer)? } else { None };
    Ok(move |layer: usize| {
        let has_window = listed.as_ref().map_or_else(|| by_default(layer), |listed| listed.get(layer) == Some(&true));
        positions.filter(|_| has_window)
    })
}

/// How many positions a token sees in every layer, of a family that knows no `layer_types`; `None`, where `sliding_window` is not
/// given, is all of them.
///
/// # Errors
/// Where the window is no size or nothing at all.
pub(super) fn window_of_all(json: &JsonFile) -> Result<Option<usize>, EngineError> {
    match json.size("sliding_window")? {
        Some(0) => Err(EngineError::format(json.path(), "`sliding_window` is 0: a token has to see itself")),
        window => Ok(window),
    }
}

/// Whether each layer has a window, where there is a list that says it.
fn listed(json: &JsonFile, n_layer: usize) -> Result<Option<Vec<bool>>, EngineError> {
    let Some(value) = json.get("layer_types") else { return Ok(None) };
    let has_window = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let kinds = value.as_array().and_then(|kinds| kinds.iter().map(has_window).collect::<Option<Vec<_>>>());
    match kinds.filter(|kinds| kinds.len() == n_layer) {
        Some(kinds) => Ok(Some(kinds)),
        None => {
            let supported = format!("full_attention or sliding_attention for each of {n_layer} layers");
            Err(json.unsupported("layer_types", &value.to_string(), &supported))
        }
    }
}
