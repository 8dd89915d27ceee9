//! The families of models: what is known of each stands in its file, and nowhere else.
//!
//! A family says what Hugging Face and GGUF call it, reads its configuration from either, names its tensors, and says
//! what a GGUF file of it needs. Loading, conversion, synthetic models and the benchmark walk the list below; the forward
//! pass goes by the [`ModelConfig`] that came of it. A new family is a file and a line here.

mod exaone4;
mod experts;
mod gemma2;
mod gemma3;
mod gemma3n;
mod gemma4;
mod gguf;
mod gpt2;
mod gpt_oss;
mod granite;
mod layer_types;
mod lfm2;
mod lfm2_moe;
mod llama;
mod ministral3;
mod mistral;
mod mixtral;
mod norms_behind;
mod olmo2;
mod olmo3;
mod olmoe;
mod phi3;
mod qwen2;
mod qwen2_moe;
mod qwen3;
mod qwen3_5;
mod qwen3_moe;
pub mod rope;
mod smollm3;
#[cfg(test)]
mod tests;
pub mod wrapped;

use std::fmt;

use experts::ExpertNames;

use super::config::ModelConfig;
use super::rope_config::{RopeScaling, RopeStyle};
use super::tensors::{Prefix, TensorSpec};
use crate::EngineError;
use crate::keys::{GgufKeys, GgufWriter, JsonFile};
use wrapped::Wrapped;

/// All there are. Of those that GGUF calls alike, the first reads such files.
const FAMILIES: &[&dyn Family] = &[
    &gpt2::Gpt2,
    &llama::Llama,
    &mistral::Mistral,
    &qwen2::Qwen2,
    &qwen3::Qwen3,
    &smollm3::SmolLm3,
    &gemma2::Gemma2,
    &gemma3::Gemma3,
    &gemma3n::Gemma3n,
    &gemma4::Gemma4,
    &olmo2::Olmo2,
    &lfm2::Lfm2,
    &lfm2_moe::Lfm2Moe,
    &gpt_oss::GptOss,
    &mixtral::Mixtral,
    &olmoe::Olmoe,
    &qwen2_moe::Qwen2Moe,
    &olmo3::Olmo3,
    &phi3::Phi3,
    &granite::Granite,
    &ministral3::Ministral3,
    &exaone4::Exaone4,
    &qwen3_moe::Qwen3Moe,
    &qwen3_5::Qwen35,
    &qwen3_5::Qwen35Moe,
    &qwen3_5::Qwen3Next,
];

/// What is known of a family of models. The default is as Llama has it, which most are built like.
pub trait Family: Sync {
    /// What `model_type` of a Hugging Face configuration calls it, and people.
    fn name(&self) -> &'static str;

    /// Whether a configuration whose `model_type` is `name` is of this family.
    fn is_called(&self, name: &str) -> bool {
        name == self.name()
    }

    /// What `general.architecture` of a GGUF file calls it.
    fn gguf_name(&self) -> &'static str {
        self.name()
    }

    /// Its shape as `config.json` says it. Where a key is absent, the default of transformers' configuration class holds, as
    /// there. Keys that change what is computed and that the engine does not know are errors.
    ///
    /// # Errors
    /// Where a key is missing, or has a value that is impossible or not supported.
    fn config_from_json(&self, json: &JsonFile) -> Result<ModelConfig, EngineError>;

    /// Its shape as the keys of a GGUF file say it, and its tensors, of what no key says.
    ///
    /// # Errors
    /// As [`Self::config_from_json`].
    fn config_from_gguf(&self, keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError>;

    /// The tensors that are there once.
    fn global_tensors(&self, config: &ModelConfig) -> Vec<TensorSpec> {
        llama::global_tensors(config)
    }

    /// The tensors of layer `index`.
    fn layer_tensors(&self, config: &ModelConfig, index: usize) -> Vec<TensorSpec> {
        llama::layer_tensors(config, index)
    }

    /// What may stand before the names of a Hugging Face folder; the first that does counts.
    fn prefixes(&self) -> &'static [Prefix] {
        &[
            // Of text models that are wrapped, in transformers 5 and 4.
            Prefix { body: "model.language_model.", head: "" },
            Prefix { body: "language_model.model.", head: "language_model." },
            Prefix { body: "model.", head: "" },
        ]
    }

    /// Whether the tensor `name` of a Hugging Face folder, without the prefix, or of a GGUF file is no weight: something that
    /// older versions of transformers saved along, or that is not computed with.
    fn is_left_over(&self, _config: &ModelConfig, name: &str) -> bool {
        name.ends_with(".rotary_emb.inv_freq")
    }

    /// What Hugging Face calls the experts of a layer, where there are any.
    fn expert_names(&self) -> ExpertNames {
        experts::USUAL
    }

    /// Whether it reads weights of a Hugging Face folder that are quantized in this way (`quant_method`).
    fn reads_quantized(&self, _method: &str) -> bool {
        false
    }

    /// Which pairs the rotation turns in a GGUF file, whose rows may be in another order ([`super::Stored::InHalves`]).
    fn gguf_rope_style(&self) -> RopeStyle {
        RopeStyle::Half
    }

    /// Whether the pairs between which YaRN blends are whole ones in a GGUF file, which has no key for it.
    fn gguf_rounds_yarn(&self) -> bool {
        true
    }

    /// Whether llama.cpp reads, in files of this architecture, tensors that say what frequencies scaled in this way are divided
    /// by: it refuses files with tensors that it does not know.
    fn gguf_divides(&self, scaling: &RopeScaling) -> bool {
        let _ = scaling;
        false
    }

    /// Whether llama.cpp takes the embedding for the output projection where a file has none.
    fn gguf_shares_output(&self) -> bool {
        true
    }

    /// Writes the keys of a GGUF file.
    fn put_gguf_keys(&self, writer: &mut GgufWriter<'_>, config: &ModelConfig) {
        llama::put_gguf_keys(writer, config);
    }

    /// What of `config` GGUF has no key for, beside the numbers of a rotation, so that a program that reads the file would
    /// compute something else.
    fn gguf_lacks(&self, config: &ModelConfig) -> Option<&'static str> {
        llama::gguf_lacks(config)
    }

    /// How a GGUF file cuts texts that does not say it.
    fn unnamed_pre_tokenizer(&self) -> &'static str {
        "default"
    }

    /// Shapes for models of random weights, by name.
    fn synthetic(&self) -> Vec<(&'static str, ModelConfig)> {
        Vec::new()
    }
}

impl fmt::Debug for dyn Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for dyn Family {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

/// All there are.
pub fn all() -> impl Iterator<Item = &'static dyn Family> {
    FAMILIES.iter().copied()
}

/// What `config.json` says of a model.
#[derive(Debug)]
pub struct Described {
    /// Its shape.
    pub config: ModelConfig,
    /// What of the repository is not read, for people, where the model is wrapped.
    pub unread: Option<String>,
}

/// What `config.json` says.
///
/// # Errors
/// Where its family is not known, and those of [`Family::config_from_json`].
pub fn config_from_json(json: &JsonFile) -> Result<Described, EngineError> {
    let Some(name) = json.string("model_type")? else {
        return Err(EngineError::format(json.path(), "`model_type` is missing"));
    };
    match wrapped::text_model(json, name)? {
        Some(Wrapped { text, kind, unread }) => {
            Ok(Described { config: text_config_from_json(&text, &kind)?, unread: Some(unread) })
        }
        None => Ok(Described { config: text_config_from_json(json, name)?, unread: None }),
    }
}

fn text_config_from_json(json: &JsonFile, name: &str) -> Result<ModelConfig, EngineError> {
    match all().find(|family| family.is_called(name)) {
        Some(family) => {
            refuse_quantized(family, json)?;
            family.config_from_json(json)
        }
        None => Err(json.unsupported("model_type", name, &listed(all().map(|family| family.name()), "or"))),
    }
}

/// Refuses weights that are quantized in a way that the family does not read.
fn refuse_quantized(family: &dyn Family, json: &JsonFile) -> Result<(), EngineError> {
    let Some(quantization) = json.section("quantization_config")? else { return Ok(()) };
    match quantization.string("quant_method")? {
        Some(method) if family.reads_quantized(method) => Ok(()),
        method => {
            let method = method.map(|method| format!(" ({method})")).unwrap_or_default();
            let what = format!("`quantization_config` is set{method}: supported are F32, F16 and BF16 weights");
            Err(EngineError::unsupported(json.path(), what))
        }
    }
}

/// The shape that the keys of a GGUF file say.
///
/// # Errors
/// Where its family is not known, and those of [`Family::config_from_gguf`].
pub fn config_from_gguf(keys: &GgufKeys<'_>) -> Result<ModelConfig, EngineError> {
    let name = keys.architecture();
    match of_gguf(name) {
        Some(family) => family.config_from_gguf(keys),
        None => {
            let known = listed(all().map(|family| family.gguf_name()), "and");
            let what = format!("its architecture is `{name}` (general.architecture): {known} are supported");
            Err(EngineError::unsupported(keys.path(), what))
        }
    }
}

/// What of `config` GGUF has no key for, so that a program that reads the file would compute something else.
pub fn gguf_lacks(config: &ModelConfig) -> Option<&'static str> {
    config.family.gguf_lacks(config).or_else(|| rope::gguf_lacks(config))
}

/// Whether a GGUF file of `config` has an output projection, be it a copy of the embedding.
pub fn gguf_has_output(config: &ModelConfig) -> bool {
    !config.tied || !config.family.gguf_shares_output()
}

/// Who reads the GGUF files that say this name.
pub fn of_gguf(name: &str) -> Option<&'static dyn Family> {
    all().find(|family| family.gguf_name() == name)
}

/// `a, b or c`, each once.
fn listed(all: impl Iterator<Item = &'static str>, last: &str) -> String {
    let mut names = Vec::new();
    all.for_each(|name| {
        if !names.contains(&name) {
            names.push(name)
        }
    });
    match names.split_last() {
        Some((end, [])) => (*end).to_owned(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
        None => String::new(),
    }
}
