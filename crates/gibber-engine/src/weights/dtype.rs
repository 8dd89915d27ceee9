//! The formats that weights are stored in.

use std::fmt;

/// One row a format: its variant, its number in GGUF (`ggml_type` in ggml's `ggml.h`), its name, values a block, bytes a block.
macro_rules! formats {
    ($($(#[$doc:meta])* $variant:ident: $id:expr, $name:literal, $values:literal, $bytes:literal;)*) => {
        /// How the values of a tensor are stored: in blocks of [`DType::block_size`] values, each
        /// [`DType::block_bytes`] long.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(non_camel_case_types, reason = "the formats are called Q4_0 and IQ2_XXS everywhere else")]
        pub enum DType { $($(#[$doc])* $variant,)* }

        impl DType {
            /// Every format there is a name for.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name as llama.cpp and Hugging Face spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Values a block; 1 where each value stands alone.
            pub const fn block_size(self) -> usize {
                match self { $(Self::$variant => $values,)* }
            }

            /// Bytes that [`Self::block_size`] values take.
            pub const fn block_bytes(self) -> usize {
                match self { $(Self::$variant => $bytes,)* }
            }

            /// Its number in a GGUF file; `None` where GGUF does not know it.
            pub const fn ggml_type(self) -> Option<u32> {
                match self { $(Self::$variant => $id,)* }
            }
        }
    };
}

formats! {
    /// IEEE 754 single precision.
    F32: Some(0), "F32", 1, 4;
    /// IEEE 754 half precision.
    F16: Some(1), "F16", 1, 2;
    /// The upper half of a single.
    BF16: Some(30), "BF16", 1, 2;
    /// 4 bits, a half-precision scale for 32.
    Q4_0: Some(2), "Q4_0", 32, 18;
    /// 4 bits, a half-precision scale and minimum for 32.
    Q4_1: Some(3), "Q4_1", 32, 20;
    /// 5 bits with a scale.
    Q5_0: Some(6), "Q5_0", 32, 22;
    /// 5 bits with a scale and a minimum.
    Q5_1: Some(7), "Q5_1", 32, 24;
    /// 8 bits, a half-precision scale for 32.
    Q8_0: Some(8), "Q8_0", 32, 34;
    /// 8 bits with a scale and a sum.
    Q8_1: Some(9), "Q8_1", 32, 36;
    /// K-quant of 2 bits.
    Q2_K: Some(10), "Q2_K", 256, 84;
    /// K-quant of 3 bits.
    Q3_K: Some(11), "Q3_K", 256, 110;
    /// K-quant of 4 bits.
    Q4_K: Some(12), "Q4_K", 256, 144;
    /// K-quant of 5 bits.
    Q5_K: Some(13), "Q5_K", 256, 176;
    /// K-quant of 6 bits.
    Q6_K: Some(14), "Q6_K", 256, 210;
    /// K-quant of 8 bits.
    Q8_K: Some(15), "Q8_K", 256, 292;
    /// Codebook of 2 bits.
    IQ2_XXS: Some(16), "IQ2_XXS", 256, 66;
    /// Codebook of 2 bits.
    IQ2_XS: Some(17), "IQ2_XS", 256, 74;
    /// Codebook of 3 bits.
    IQ3_XXS: Some(18), "IQ3_XXS", 256, 98;
    /// Codebook of 1 bit.
    IQ1_S: Some(19), "IQ1_S", 256, 50;
    /// 4 bits, not linear.
    IQ4_NL: Some(20), "IQ4_NL", 32, 18;
    /// Codebook of 3 bits.
    IQ3_S: Some(21), "IQ3_S", 256, 110;
    /// Codebook of 2 bits.
    IQ2_S: Some(22), "IQ2_S", 256, 82;
    /// 4 bits, not linear.
    IQ4_XS: Some(23), "IQ4_XS", 256, 136;
    /// Codebook of 1 bit.
    IQ1_M: Some(29), "IQ1_M", 256, 56;
    /// Three values, packed.
    TQ1_0: Some(34), "TQ1_0", 256, 54;
    /// Three values in 2 bits.
    TQ2_0: Some(35), "TQ2_0", 256, 66;
    /// 4-bit floats with a shared exponent.
    MXFP4: Some(39), "MXFP4", 32, 17;
    /// 4-bit floats with a scale of 8 bits for 16.
    NVFP4: Some(40), "NVFP4", 64, 36;
    /// A sign, a half-precision scale for 128.
    Q1_0: Some(41), "Q1_0", 128, 18;
    /// 2 bits, a half-precision scale for 64.
    Q2_0: Some(42), "Q2_0", 64, 18;
    /// Double precision.
    F64: Some(28), "F64", 1, 8;
    /// Signed integers of 8 bits.
    I8: Some(24), "I8", 1, 1;
    /// Signed integers of 16 bits.
    I16: Some(25), "I16", 1, 2;
    /// Signed integers of 32 bits.
    I32: Some(26), "I32", 1, 4;
    /// Signed integers of 64 bits.
    I64: Some(27), "I64", 1, 8;
    /// Unsigned integers of 8 bits.
    U8: None, "U8", 1, 1;
    /// Unsigned integers of 16 bits.
    U16: None, "U16", 1, 2;
    /// Unsigned integers of 32 bits.
    U32: None, "U32", 1, 4;
    /// Unsigned integers of 64 bits.
    U64: None, "U64", 1, 8;
    /// A byte, 0 or 1.
    Bool: None, "BOOL", 1, 1;
    /// 8-bit floats, 4 bits of exponent.
    F8_E4M3: None, "F8_E4M3", 1, 1;
    /// 8-bit floats, 5 bits of exponent.
    F8_E5M2: None, "F8_E5M2", 1, 1;
}

impl DType {
    /// The format with this number in a GGUF file.
    pub fn from_ggml_type(id: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.ggml_type() == Some(id))
    }

    /// Whether the engine can compute with it, be it by widening it to floats first.
    pub const fn is_computable(self) -> bool {
        use DType::*;
        match self {
            F32 | F16 | BF16 => true,
            Q8_0 | Q4_0 | Q4_1 | Q5_0 | Q5_1 | Q2_K | Q3_K | Q4_K | Q5_K | Q6_K => true,
            IQ4_NL | IQ4_XS | TQ1_0 | TQ2_0 | Q1_0 | Q2_0 | MXFP4 | NVFP4 => true,
            IQ2_XXS | IQ2_XS | IQ2_S | IQ3_XXS | IQ3_S | IQ1_S | IQ1_M => true,
            Q8_1 | Q8_K => false,
            F64 | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64 | Bool | F8_E4M3 | F8_E5M2 => false,
        }
    }

    /// The formats the engine can compute with.
    pub fn computable() -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(|dtype| dtype.is_computable())
    }

    /// Bytes that `shape` (row-major) takes in this format; `None` where that overflows, or a row is not whole blocks.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        if !shape.last().copied().unwrap_or(1).is_multiple_of(self.block_size()) {
            return None;
        }
        let values = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))?;
        (values / self.block_size()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_from_blocks_and_refuse_broken_rows() {
        assert_eq!(DType::F32.bytes_of(&[2, 3]), Some(24));
        assert_eq!(DType::Q4_1.bytes_of(&[3, 64]), Some(3 * 2 * 20));
        assert_eq!(DType::Q8_0.bytes_of(&[64, 3]), None);
        assert_eq!(DType::F32.bytes_of(&[usize::MAX, 2]), None);
        assert_eq!(DType::F32.bytes_of(&[]), Some(4));
    }

    #[test]
    fn numbers_of_gguf_are_unique_and_lead_back() {
        for &dtype in DType::ALL {
            if let Some(id) = dtype.ggml_type() {
                assert_eq!(DType::from_ggml_type(id), Some(dtype));
            }
        }
        assert_eq!(DType::from_ggml_type(4), None);
    }
}
