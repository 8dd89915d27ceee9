//! The formats of whole files, and which of them each tensor gets.
//!
//! Names, numbers and mixes are those of llama.cpp (`llama_ftype` in `llama.h`, `llama-quant.cpp`), so that a file means
//! here what its name says there.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

use crate::weights::DType;

/// The format that a whole file is quantized to: one for all its matrices, or a mix in which those that matter most have
/// more bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(non_camel_case_types, reason = "the formats are called Q4_K_M everywhere else")]
pub enum FileType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// 4 bits with a scale for 32 values.
    Q4_0,
    /// 4 bits with a scale and a minimum.
    Q4_1,
    /// 5 bits with a scale.
    Q5_0,
    /// 5 bits with a scale and a minimum.
    Q5_1,
    /// 8 bits with a scale.
    Q8_0,
    /// K-quants of 2 bits, some of 3 and 4.
    Q2_K,
    /// K-quants of 3 bits.
    Q3_K_S,
    /// K-quants of 3 bits, some of 4 and 5.
    Q3_K_M,
    /// K-quants of 3 bits, some of 5.
    Q3_K_L,
    /// K-quants of 4 bits, a few of 5.
    Q4_K_S,
    /// K-quants of 4 bits, some of 6.
    Q4_K_M,
    /// K-quants of 5 bits.
    Q5_K_S,
    /// K-quants of 5 bits, some of 6.
    Q5_K_M,
    /// K-quants of 6 bits.
    Q6_K,
    /// 4 bits, not linear, with a scale for 32 values.
    IQ4_NL,
    /// 4 bits, not linear, with scales of scales.
    IQ4_XS,
    /// Experts as floats of 4 bits with a power of two for 32 values; all else as Q8_0.
    MXFP4_MOE,
    /// Three values, in 2 bits.
    TQ2_0,
    /// Three values, five a byte.
    TQ1_0,
    /// 2 bits with a scale for 64 values.
    Q2_0,
    /// A sign, with a scale for 128 values.
    Q1_0,
}

use FileType::*;

/// Each with its name, its number under `general.file_type`, and the format of most of its matrices.
const TABLE: [(FileType, &str, u32, DType); 24] = [
    (F32, "F32", 0, DType::F32),
    (F16, "F16", 1, DType::F16),
    (BF16, "BF16", 32, DType::BF16),
    (Q8_0, "Q8_0", 7, DType::Q8_0),
    (Q6_K, "Q6_K", 18, DType::Q6_K),
    (Q5_K_M, "Q5_K_M", 17, DType::Q5_K),
    (Q5_K_S, "Q5_K_S", 16, DType::Q5_K),
    (Q5_1, "Q5_1", 9, DType::Q5_1),
    (Q5_0, "Q5_0", 8, DType::Q5_0),
    (Q4_K_M, "Q4_K_M", 15, DType::Q4_K),
    (Q4_K_S, "Q4_K_S", 14, DType::Q4_K),
    (Q4_1, "Q4_1", 3, DType::Q4_1),
    (Q4_0, "Q4_0", 2, DType::Q4_0),
    (Q3_K_L, "Q3_K_L", 13, DType::Q3_K),
    (Q3_K_M, "Q3_K_M", 12, DType::Q3_K),
    (Q3_K_S, "Q3_K_S", 11, DType::Q3_K),
    (Q2_K, "Q2_K", 10, DType::Q2_K),
    (IQ4_NL, "IQ4_NL", 25, DType::IQ4_NL),
    (IQ4_XS, "IQ4_XS", 30, DType::IQ4_XS),
    (MXFP4_MOE, "MXFP4_MOE", 38, DType::MXFP4),
    (TQ2_0, "TQ2_0", 37, DType::TQ2_0),
    (TQ1_0, "TQ1_0", 36, DType::TQ1_0),
    (Q2_0, "Q2_0", 41, DType::Q2_0),
    (Q1_0, "Q1_0", 40, DType::Q1_0),
];

/// Short names that stand for a mix.
const ALIASES: [(&str, FileType); 4] = [("Q3_K", Q3_K_M), ("Q4_K", Q4_K_M), ("Q5_K", Q5_K_M), ("MXFP4", MXFP4_MOE)];

/// The number under `general.quantization_version` (`GGML_QNT_VERSION` in `ggml.h`).
pub(super) const QUANTIZATION_VERSION: u32 = 2;

/// What a tensor is for, as far as the mixes care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The projection to the vocabulary: `output`, or the embedding where it serves as that.
    Output,
    /// The embedding where it is nothing else.
    Embedding,
    AttentionQkv,
    AttentionValue,
    AttentionOutput,
    FeedForwardDown,
    /// The second step of all experts of a layer.
    ExpertsDown,
    /// Another step of all experts of a layer.
    Experts,
    Other,
}

impl Part {
    /// The part that the tensor of this GGUF name is.
    pub(super) fn of(name: &str, has_output: bool) -> Self {
        match name {
            "output.weight" => return Self::Output,
            "token_embd.weight" if !has_output => return Self::Output,
            "token_embd.weight" => return Self::Embedding,
            _ => {}
        }
        let segment = name.strip_suffix(".weight").and_then(|name| name.rsplit('.').next());
        match segment {
            Some("attn_qkv") => Self::AttentionQkv,
            Some("attn_v") => Self::AttentionValue,
            Some("attn_output") => Self::AttentionOutput,
            Some("ffn_down") => Self::FeedForwardDown,
            Some("ffn_down_exps") => Self::ExpertsDown,
            Some(step) if step.ends_with("_exps") => Self::Experts,
            _ => Self::Other,
        }
    }
}

/// What the mixes go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TensorPlace {
    pub(super) part: Part,
    pub(super) layer: usize,
    pub(super) n_layer: usize,
    /// Query heads that share a key-value head.
    pub(super) n_gqa: usize,
}

impl FileType {
    /// All of them, most bits first.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// Its name as llama.cpp spells it.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Its name as flags and settings spell it.
    pub fn flag(self) -> String {
        self.name().to_ascii_lowercase()
    }

    /// Its number under `general.file_type`.
    pub fn number(self) -> u32 {
        self.row().2
    }

    /// The format of most matrices.
    pub fn base(self) -> DType {
        self.row().3
    }

    fn row(self) -> &'static (Self, &'static str, u32, DType) {
        // Each variant has a row (tested), so that the first is never taken for another.
        TABLE.iter().find(|row| row.0 == self).unwrap_or(&TABLE[0])
    }

    /// The format of a matrix whose rows could have any.
    pub(super) fn format_of(self, place: TensorPlace) -> DType {
        let base = self.base();
        let TensorPlace { part, layer, n_layer, n_gqa } = place;
        let plain = matches!(self, F32 | F16 | BF16 | Q8_0);
        match part {
            _ if plain => base,
            Part::Experts | Part::ExpertsDown if self == MXFP4_MOE => base,
            _ if self == MXFP4_MOE => DType::Q8_0,
            Part::Embedding if matches!(self, TQ1_0 | TQ2_0 | Q2_0) => DType::Q4_K,
            Part::Output => DType::Q6_K,
            Part::AttentionValue => match self {
                Q2_K if n_gqa >= 4 => DType::Q4_K,
                Q2_K => DType::Q3_K,
                Q3_K_M if layer < 2 => DType::Q5_K,
                Q3_K_M => DType::Q4_K,
                Q3_K_L => DType::Q5_K,
                Q4_K_M | Q5_K_M if wants_more_bits(layer, n_layer) => DType::Q6_K,
                Q4_K_S if layer < 4 => DType::Q5_K,
                IQ4_NL | IQ4_XS if n_gqa >= 4 => DType::Q5_K,
                _ => base,
            },
            Part::AttentionQkv => match self {
                Q3_K_M | Q3_K_L => DType::Q4_K,
                Q4_K_M => DType::Q5_K,
                Q5_K_M => DType::Q6_K,
                _ => base,
            },
            Part::AttentionOutput => match self {
                Q2_K => DType::Q3_K,
                Q3_K_M => DType::Q4_K,
                Q3_K_L => DType::Q5_K,
                _ => base,
            },
            Part::FeedForwardDown | Part::ExpertsDown => match self {
                Q2_K => DType::Q3_K,
                Q3_K_M if layer < n_layer / 16 => DType::Q5_K,
                Q3_K_M => DType::Q4_K,
                Q3_K_L => DType::Q5_K,
                Q4_K_M | Q5_K_M if wants_more_bits(layer, n_layer) => DType::Q6_K,
                Q4_K_S | IQ4_NL | IQ4_XS if layer < n_layer / 8 => DType::Q5_K,
                _ => base,
            },
            Part::Embedding | Part::Experts | Part::Other => base,
        }
    }
}

/// The first and the last eighth of the layers, and every third between.
fn wants_more_bits(layer: usize, n_layer: usize) -> bool {
    let eighth = n_layer / 8;
    layer < eighth || layer >= 7 * n_layer / 8 || (layer - eighth) % 3 == 2
}

/// `wanted`, or where rows of `cols` values are not whole blocks of it, the nearest format that fits.
pub(super) fn fitting(wanted: DType, cols: usize) -> DType {
    let fallback = match wanted {
        DType::Q2_K | DType::Q3_K => DType::Q4_0,
        DType::Q4_K => DType::Q5_0,
        DType::Q5_K => DType::Q5_1,
        DType::Q6_K => DType::Q8_0,
        DType::IQ4_XS => DType::IQ4_NL,
        DType::TQ1_0 | DType::TQ2_0 | DType::Q1_0 | DType::Q2_0 => DType::Q4_0,
        DType::MXFP4 => DType::Q8_0,
        _ => DType::F16,
    };
    [wanted, fallback].into_iter().find(|dtype| cols.is_multiple_of(dtype.block_size())).unwrap_or(DType::F16)
}

impl fmt::Display for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FileType {
    type Err = String;

    /// By its name, in letters of either case.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| name.eq_ignore_ascii_case(text);
        let full = TABLE.iter().find(|row| named(row.1)).map(|row| row.0);
        full.or_else(|| ALIASES.iter().find(|(alias, _)| named(alias)).map(|&(_, kind)| kind)).ok_or_else(|| {
            let known: Vec<_> = Self::all().map(Self::flag).collect();
            format!("there is no such format; the formats are {}", known.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: TensorPlace = TensorPlace { part: Part::Other, layer: 0, n_layer: 12, n_gqa: 1 };

    #[test]
    fn names_lead_back_in_either_case_and_each_has_a_row() {
        for kind in FileType::all() {
            assert_eq!(kind.flag().parse(), Ok(kind));
            assert_eq!(format!("{kind:?}"), kind.name());
        }
        assert_eq!("q4_k".parse(), Ok(Q4_K_M));
        let error = "q4_7".parse::<FileType>().unwrap_err();
        assert!(error.contains("q4_k_m") && error.contains("bf16"), "{error}");
    }

    #[test]
    fn the_mixes_are_those_that_their_names_stand_for() {
        let layers = |kind: FileType, part| -> String {
            let format = |layer| kind.format_of(TensorPlace { part, layer, ..PLACE });
            let digit = |layer| format(layer).name().chars().nth(1).unwrap();
            (0..12).map(digit).collect()
        };
        assert_eq!(layers(Q4_K_M, Part::AttentionValue), "644644644666");
        assert_eq!(layers(Q4_K_M, Part::Other), "4".repeat(12));
        assert_eq!(layers(Q4_K_S, Part::AttentionValue), "555544444444");
        assert_eq!(layers(Q4_K_S, Part::FeedForwardDown), "544444444444");
        assert_eq!(layers(Q5_K_M, Part::AttentionQkv), "6".repeat(12));
        assert_eq!(layers(Q3_K_M, Part::AttentionOutput), "4".repeat(12));
        assert_eq!(Q2_K.format_of(TensorPlace { part: Part::AttentionValue, n_gqa: 4, ..PLACE }), DType::Q4_K);
        for kind in [Q4_0, Q5_1, Q6_K, Q4_K_M] {
            assert_eq!(kind.format_of(TensorPlace { part: Part::Output, ..PLACE }), DType::Q6_K);
        }
        assert_eq!(Q8_0.format_of(TensorPlace { part: Part::Output, ..PLACE }), DType::Q8_0);
    }

    /// As llama.cpp's own tool writes them, of 16 layers with four query heads to a key-value head.
    #[test]
    fn the_low_bit_types_mix_in_what_llama_cpp_does() {
        let place = |part, layer| TensorPlace { part, layer, n_layer: 16, n_gqa: 4 };
        for (kind, base) in [(IQ4_NL, DType::IQ4_NL), (IQ4_XS, DType::IQ4_XS)] {
            assert_eq!(kind.format_of(place(Part::AttentionValue, 9)), DType::Q5_K);
            for down in [Part::FeedForwardDown, Part::ExpertsDown] {
                assert_eq!([1, 2].map(|layer| kind.format_of(place(down, layer))), [DType::Q5_K, base]);
            }
        }
        for (kind, embedding) in [
            (IQ4_XS, DType::IQ4_XS),
            (TQ1_0, DType::Q4_K),
            (TQ2_0, DType::Q4_K),
            (Q2_0, DType::Q4_K),
            (Q1_0, DType::Q1_0),
        ] {
            assert_eq!(kind.format_of(place(Part::Output, 0)), DType::Q6_K);
            assert_eq!(kind.format_of(place(Part::Embedding, 0)), embedding);
            assert_eq!(kind.format_of(place(Part::Experts, 0)), kind.base());
        }
        for part in [Part::Output, Part::Embedding, Part::AttentionValue, Part::FeedForwardDown, Part::Other] {
            assert_eq!(MXFP4_MOE.format_of(place(part, 0)), DType::Q8_0);
        }
        assert_eq!(MXFP4_MOE.format_of(place(Part::ExpertsDown, 0)), DType::MXFP4);
    }

    #[test]
    fn parts_are_told_by_their_names() {
        assert_eq!(Part::of("blk.7.attn_v.weight", true), Part::AttentionValue);
        assert_eq!(Part::of("token_embd.weight", true), Part::Embedding);
        assert_eq!(Part::of("blk.7.ffn_down_exps.weight", true), Part::ExpertsDown);
        assert_eq!(Part::of("blk.7.ffn_gate_up_exps.weight", true), Part::Experts);
        assert_eq!(Part::of("token_embd.weight", false), Part::Output);
        assert_eq!(Part::of("blk.0.ffn_down.bias", true), Part::Other);
    }

    #[test]
    fn rows_that_are_no_whole_blocks_get_a_format_that_fits() {
        assert_eq!(fitting(DType::Q6_K, 768), DType::Q6_K);
        assert_eq!(fitting(DType::Q6_K, 576), DType::Q8_0);
        assert_eq!(fitting(DType::Q4_K, 576), DType::Q5_0);
        assert_eq!(fitting(DType::Q4_K, 80), DType::F16);
        assert_eq!(fitting(DType::Q4_0, 80), DType::F16);
        assert_eq!(fitting(DType::IQ4_XS, 288), DType::IQ4_NL);
        assert_eq!(fitting(DType::TQ2_0, 288), DType::Q4_0);
    }
}
