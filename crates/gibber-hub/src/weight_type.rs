//! The types of GGUF files, as their names say them.
//!
//! Nothing but the name of a file says which type it is before its header is read, and everybody spells it a little
//! differently: `Model-Q4_K_M.gguf`, `model.q4_k_m.gguf`, `Model-UD-Q4_K_XL-00001-of-00003.gguf`, `BF16/model.gguf`.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::gguf_name::GgufName;

/// A type such as `Q4_K_M`, `UD-Q4_K_XL`, `IQ4_XS` or `BF16`, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightType(String);

/// What stands before a type whose layers have each the bits that they need.
const DYNAMIC: &str = "UD-";

impl WeightType {
    /// The type that is written as `text`, in any case of letters.
    pub fn new(text: &str) -> Option<Self> {
        let upper = text.to_ascii_uppercase();
        let (prefix, base) = match upper.strip_prefix(DYNAMIC) {
            Some(base) => (DYNAMIC, base),
            None => ("", upper.as_str()),
        };
        // What Ollama and older conversions write.
        let base = match base {
            "FP16" => "F16",
            "FP32" => "F32",
            base => base,
        };
        is_base(base).then(|| Self(format!("{prefix}{base}")))
    }

    /// The type of the file at `path`, with slashes: as its name says it, or else the folder that it lies in.
    pub fn of_path(path: &str) -> Option<Self> {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = GgufName::new(file).map_or(file, |name| name.stem());
        Self::in_words(stem).or_else(|| Self::in_words(folder.rsplit('/').next()?))
    }

    /// The last type in a name whose words stand between `-` and `.`.
    fn in_words(name: &str) -> Option<Self> {
        let words: Vec<&str> = name.split(['-', '.', ' ']).collect();
        let found = words.iter().enumerate().rev().find_map(|(at, word)| Some((at, Self::in_word(word)?)))?;
        let is_dynamic = found.0 > 0 && words[found.0 - 1].eq_ignore_ascii_case("ud");
        if is_dynamic { Self::new(&format!("{DYNAMIC}{}", found.1)) } else { Some(found.1) }
    }

    /// The type at the end of a word that may have others before it: `model_q4_k_m`.
    fn in_word(word: &str) -> Option<Self> {
        let begins = std::iter::once(0).chain(word.match_indices('_').map(|(at, _)| at + 1));
        begins.into_iter().find_map(|begin| Self::new(&word[begin..]))
    }

    /// As it is written: `Q4_K_M`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The format of most of its tensors, as ggml calls it, as far as the name says: `Q4_K` of `UD-Q4_K_XL`.
    pub fn base(&self) -> &str {
        let base = self.0.strip_prefix(DYNAMIC).unwrap_or(&self.0);
        match (base, base.split_once("_K_")) {
            (_, Some((bits, _))) => &base[..bits.len() + "_K".len()],
            // Mixes that are called otherwise than what most of their tensors are.
            ("IQ2_M", _) => "IQ2_S",
            ("IQ3_XS" | "IQ3_M", _) => "IQ3_S",
            ("MXFP4_MOE", _) => "MXFP4",
            ("NVFP4_MOE", _) => "NVFP4",
            (base, None) => base,
        }
    }

    /// Whether its weights are floats.
    pub fn is_float(&self) -> bool {
        matches!(self.base(), "F32" | "F16" | "BF16")
    }

    /// Whether `asked` means this type: in any case of letters, and without what makes it a dynamic one.
    pub fn is_called(&self, asked: &Self) -> bool {
        self == asked || self.0.strip_prefix(DYNAMIC) == Some(asked.as_str())
    }
}

/// Whether `text`, in upper case, is a type.
fn is_base(text: &str) -> bool {
    let mut parts = text.split('_');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let digits = |prefix: &str| first.strip_prefix(prefix).filter(|bits| is_digit(bits)).is_some();
    match rest[..] {
        [] => matches!(first, "F32" | "F16" | "BF16" | "F64" | "MXFP4" | "NVFP4") || digits("Q"),
        ["MOE"] => matches!(first, "MXFP4" | "NVFP4"),
        // Q8_0, Q1_0, TQ1_0, PQ2_0, PTQ1_0
        [number] if is_digit(number) => ["Q", "TQ", "PQ", "PTQ"].into_iter().any(digits),
        // Q4_K, IQ4_XS, IQ4_NL
        ["K"] => digits("Q"),
        [size] => digits("IQ") && matches!(size, "XXS" | "XS" | "S" | "M" | "NL"),
        ["K", size] => digits("Q") && matches!(size, "XXS" | "XS" | "S" | "M" | "L" | "XL" | "XXL" | "P"),
        // Q4_0_4_8: laid out for one kind of processor.
        [first_number, rows, columns] => digits("Q") && [first_number, rows, columns].into_iter().all(is_digit),
        _ => false,
    }
}

fn is_digit(text: &str) -> bool {
    matches!(text.as_bytes(), [digit] if digit.is_ascii_digit())
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for WeightType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_from_the_names_of_files() {
        for (path, expected) in [
            ("Qwen3-4B-Q4_K_M.gguf", Some("Q4_K_M")),
            ("qwen2.5-0.5b-instruct-q4_k_m.gguf", Some("Q4_K_M")),
            ("qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", Some("Q4_K_M")),
            ("Qwen3-8B-UD-Q4_K_XL.gguf", Some("UD-Q4_K_XL")),
            ("UD-IQ1_S/Big-UD-IQ1_S-00001-of-00004.gguf", Some("UD-IQ1_S")),
            ("Llama-3.2-1B-Instruct-IQ4_XS.gguf", Some("IQ4_XS")),
            ("SmolLM2-135M-Instruct.Q4_1.gguf", Some("Q4_1")),
            ("tinyllama-1.1b-chat-v1.0.Q2_K.gguf", Some("Q2_K")),
            ("Llama-3.2-3B-Instruct-f16.gguf", Some("F16")),
            ("Phi-3-mini-4k-instruct-fp16.gguf", Some("F16")),
            ("Phi-3-mini-4k-instruct-q4.gguf", Some("Q4")),
            ("BF16/Model-BF16-00001-of-00002.gguf", Some("BF16")),
            ("Q8_0/model-00001-of-00004.gguf", Some("Q8_0")),
            ("Q8_0/model.gguf", Some("Q8_0")),
            ("gpt-oss-20b-mxfp4.gguf", Some("MXFP4")),
            ("gpt-oss-20b-MXFP4_MOE.gguf", Some("MXFP4_MOE")),
            ("model.i1-IQ3_XXS.gguf", Some("IQ3_XXS")),
            ("ggml-model-q4_0.gguf", Some("Q4_0")),
            ("ggml-model_q5_k_s.gguf", Some("Q5_K_S")),
            ("Model-Q4_0_4_8.gguf", Some("Q4_0_4_8")),
            ("Bonsai-8B-Q1_0.gguf", Some("Q1_0")),
            ("Ternary-Bonsai-8B-PQ2_0.gguf", Some("PQ2_0")),
            ("Model-Q4_K_M-v2.gguf", Some("Q4_K_M")),
            ("Bonsai-8B.gguf", None),
            ("IQ-test-7B.gguf", None),
            ("Qwen3-8B-Q.gguf", None),
            ("model.gguf", None),
        ] {
            assert_eq!(WeightType::of_path(path).as_ref().map(WeightType::as_str), expected, "{path}");
        }
    }

    #[test]
    fn a_type_is_what_it_is_in_any_spelling() {
        let of = |text: &str| WeightType::new(text).unwrap();
        assert_eq!(of("q4_k_m"), of("Q4_K_M"));
        assert_eq!(of("fp16"), of("F16"));
        assert!(of("UD-Q4_K_XL").is_called(&of("q4_k_xl")) && !of("Q4_K_M").is_called(&of("Q4_K_S")));
        assert_eq!([of("UD-Q4_K_XL").base(), of("Q8_0").base(), of("IQ4_XS").base()], ["Q4_K", "Q8_0", "IQ4_XS"]);
        assert_eq!([of("UD-IQ2_M").base(), of("IQ3_XS").base(), of("MXFP4_MOE").base()], ["IQ2_S", "IQ3_S", "MXFP4"]);
        assert!(of("bf16").is_float() && !of("Q8_0").is_float());
        for none in ["", "Q", "Q4_", "latest", "4b", "UD-", "Q44_0", "Q4_K_MM", "_", "Ä"] {
            assert_eq!(WeightType::new(none), None, "{none}");
        }
    }
}
