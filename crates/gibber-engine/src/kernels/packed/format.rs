//! The quantized formats: how a file stores a block, how the packed form lays it out, and what a quant stands for.
//!
//! The file layouts are those of ggml (`ggml-common.h`, decoded in `ggml-quants.c`).

use crate::kernels::activation::{BLOCK, STEP};
use crate::weights::DType;
use crate::weights::codebook::{IQ1_VALUES, IQ2_VALUES, IQ3_S_VALUES, IQ3_XXS_VALUES};
use crate::weights::dequantize::{E2M1_DOUBLED, IQ4_VALUES};

/// Rows that stand side by side.
pub const ROWS: usize = 16;
/// Bytes of a vector of steps: [`STEP`] columns of [`ROWS`] rows.
pub(in crate::kernels) const VECTOR: usize = STEP * ROWS;
/// Columns that share the half-precision scales of a K-quant.
const SUPER_BLOCK: usize = 256;

/// How the scales of a packed group are stored and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Scales {
    /// A half-precision scale for so many blocks of 32.
    Half(usize),
    /// A half-precision scale and minimum for each block of 32.
    F16Minimum,
    /// A half-precision scale of scales and one of minimums for 256 columns; a byte of each for 32.
    SuperMinimum,
    /// A half-precision scale for 256 columns, divided by so much; a signed byte for 32.
    Super(u8),
    /// A half-precision scale for 256 columns, divided by so much; a signed byte for 16.
    SuperHalves(u8),
    /// As [`Self::SuperMinimum`], but with four bits of each for 16 columns, in one byte.
    SuperHalvesMinimum,
    /// A power of two for each block of 32: a byte, its exponent with a bias of 128.
    Exponent,
    /// Half a float of eight bits (E4M3, its sign always 0) for 16 columns.
    Float8Halves,
}

impl Scales {
    /// Whether each sixteen columns of a block have a scale of their own.
    pub(in crate::kernels) const fn has_halves(self) -> bool {
        matches!(self, Self::SuperHalves(_) | Self::SuperHalvesMinimum | Self::Float8Halves)
    }

    /// Whether a minimum is added to the scaled quants.
    pub(in crate::kernels) const fn has_minimum(self) -> bool {
        matches!(self, Self::F16Minimum | Self::SuperMinimum | Self::SuperHalvesMinimum)
    }

    /// Blocks of 32 that share half-precision numbers.
    const fn sharing(self) -> usize {
        match self {
            Self::Half(blocks) => blocks,
            Self::F16Minimum | Self::Exponent | Self::Float8Halves => 1,
            Self::Super(_) | Self::SuperMinimum | Self::SuperHalves(_) | Self::SuperHalvesMinimum => {
                SUPER_BLOCK / BLOCK
            }
        }
    }

    /// Bytes of the half-precision numbers that are shared, before the bytes of the blocks.
    const fn f16_bytes(self) -> usize {
        match self {
            Self::Half(_) | Self::Super(_) | Self::SuperHalves(_) => 2 * ROWS,
            Self::F16Minimum | Self::SuperMinimum | Self::SuperHalvesMinimum => 4 * ROWS,
            Self::Exponent | Self::Float8Halves => 0,
        }
    }

    /// Bytes that a block of 32 adds behind those.
    const fn block_bytes(self) -> usize {
        match self {
            Self::Half(_) | Self::F16Minimum => 0,
            Self::Super(_) | Self::Exponent => ROWS,
            Self::SuperMinimum | Self::SuperHalves(_) | Self::SuperHalvesMinimum | Self::Float8Halves => 2 * ROWS,
        }
    }

    /// Where the scales of block `block` lie: its half-precision numbers, and its own bytes (0 where it has none).
    #[inline(always)]
    pub(in crate::kernels) const fn offsets(self, block: usize) -> (usize, usize) {
        let sharing = self.sharing();
        let start = block / sharing * (self.f16_bytes() + sharing * self.block_bytes());
        if self.block_bytes() == 0 {
            return (start, 0);
        }
        (start, start + self.f16_bytes() + block % sharing * self.block_bytes())
    }

    /// Bytes of the scales of `blocks` blocks of [`ROWS`] rows.
    const fn total_bytes(self, blocks: usize) -> usize {
        blocks.div_ceil(self.sharing()) * self.f16_bytes() + blocks * self.block_bytes()
    }
}

/// What a code of a format stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Codes {
    /// Itself.
    Numbers,
    /// Itself, each of its two bits in a plane of its own, which is laid out as codes of one bit are.
    Planes,
    /// Twice itself: a bit for two values on both sides of 0, which have no whole number between them.
    Doubled,
    /// One of 16 numbers of so many bits.
    Table(&'static [u8; 16], usize),
}

/// `values` with `offset` added to each, so that none is negative.
const fn quants(values: [i8; 16], offset: i32) -> [u8; 16] {
    let mut quants = [0; 16];
    let mut code = 0;
    while code < quants.len() {
        let quant = values[code] as i32 + offset;
        assert!(quant >= 0 && quant < 256);
        quants[code] = quant as u8;
        code += 1;
    }
    quants
}

const IQ4_QUANTS: [u8; 16] = quants(IQ4_VALUES, 128);
const E2M1_QUANTS: [u8; 16] = quants(E2M1_DOUBLED, 12);
const IQ1_QUANTS: [u8; 16] = quants(IQ1_VALUES, 9);
const IQ2_QUANTS: [u8; 16] = quants(IQ2_VALUES, 43);
const IQ3_XXS_QUANTS: [u8; 16] = quants(IQ3_XXS_VALUES, 62);
const IQ3_S_QUANTS: [u8; 16] = quants(IQ3_S_VALUES, 15);

/// A format as the kernels are compiled for it: everything is known at compile time.
pub(in crate::kernels) trait Quant {
    /// Bits of a code.
    const BITS: usize;
    /// What the codes stand for: the quants.
    const CODES: Codes;
    /// What is taken from a quant before it is scaled.
    const OFFSET: i32;
    /// How it is scaled.
    const SCALES: Scales;
    /// Bits of a quant.
    const QUANT_BITS: usize = quant_bits(Self::BITS, Self::CODES);
    /// Bytes of the codes of a packed block.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    const QUANT_BYTES: usize = Self::BITS * VECTOR;
    /// Vectors of the plane of low bits, before that of the high ones.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    const LOW_VECTORS: usize = low_bits(Self::BITS);
}

const fn quant_bits(bits: usize, codes: Codes) -> usize {
    match codes {
        Codes::Numbers | Codes::Planes => bits,
        Codes::Doubled => bits + 1,
        Codes::Table(_, bits) => bits,
    }
}

/// Bits in the plane of low bits: what is over lies in a second plane.
pub(in crate::kernels) const fn low_bits(bits: usize) -> usize {
    match bits {
        1 => 0,
        2 | 3 => 2,
        4..=6 => 4,
        bits => bits,
    }
}

/// One row a format: its bits, what its codes are, its offset, its scales.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident: $bits:literal, $codes:expr, $offset:literal, $scales:expr;)*) => {
        /// A weight format that is computed in whole numbers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "the formats are called Q4_K everywhere else")]
        pub enum PackedFormat { $($(#[$doc])* $name,)* }

        $(
            #[allow(non_camel_case_types, reason = "as the format")]
            pub(in crate::kernels) struct $name;

            impl Quant for $name {
                const BITS: usize = $bits;
                const CODES: Codes = $codes;
                const OFFSET: i32 = $offset;
                const SCALES: Scales = $scales;
            }
        )*

        impl PackedFormat {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The one for a file's format; `None` where that is not computed in whole numbers.
            pub fn of(dtype: DType) -> Option<Self> {
                match dtype {
                    $(DType::$name => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The file's format.
            pub const fn dtype(self) -> DType {
                match self { $(Self::$name => DType::$name,)* }
            }

            pub(in crate::kernels) const fn bits(self) -> usize {
                match self { $(Self::$name => $name::BITS,)* }
            }

            pub(in crate::kernels) const fn codes(self) -> Codes {
                match self { $(Self::$name => $name::CODES,)* }
            }

            /// Bits of a quant.
            pub(in crate::kernels) const fn quant_bits(self) -> usize {
                match self { $(Self::$name => $name::QUANT_BITS,)* }
            }

            pub(in crate::kernels) const fn offset(self) -> i32 {
                match self { $(Self::$name => $name::OFFSET,)* }
            }

            pub(in crate::kernels) const fn scales(self) -> Scales {
                match self { $(Self::$name => $name::SCALES,)* }
            }
        }
    };
}

formats! {
    /// 4 bits: `scale · (q - 8)`.
    Q4_0: 4, Codes::Numbers, 8, Scales::Half(1);
    /// 4 bits: `scale · q + minimum`.
    Q4_1: 4, Codes::Numbers, 0, Scales::F16Minimum;
    /// 5 bits: `scale · (q - 16)`.
    Q5_0: 5, Codes::Numbers, 16, Scales::Half(1);
    /// 5 bits: `scale · q + minimum`.
    Q5_1: 5, Codes::Numbers, 0, Scales::F16Minimum;
    /// 8 bits: `scale · q`, stored as `q + 128`.
    Q8_0: 8, Codes::Numbers, 128, Scales::Half(1);
    /// 2 bits.
    Q2_K: 2, Codes::Numbers, 0, Scales::SuperHalvesMinimum;
    /// 3 bits.
    Q3_K: 3, Codes::Numbers, 4, Scales::SuperHalves(1);
    /// 4 bits.
    Q4_K: 4, Codes::Numbers, 0, Scales::SuperMinimum;
    /// 5 bits.
    Q5_K: 5, Codes::Numbers, 0, Scales::SuperMinimum;
    /// 6 bits.
    Q6_K: 6, Codes::Numbers, 32, Scales::SuperHalves(1);
    /// 4 bits, not linear.
    IQ4_NL: 4, Codes::Table(&IQ4_QUANTS, 8), 128, Scales::Half(1);
    /// 4 bits, not linear.
    IQ4_XS: 4, Codes::Table(&IQ4_QUANTS, 8), 128, Scales::Super(1);
    /// Three values: `scale · (q - 1)`, here with 2 bits each.
    TQ1_0: 2, Codes::Planes, 1, Scales::Half(8);
    /// Three values: `scale · (q - 1)`.
    TQ2_0: 2, Codes::Planes, 1, Scales::Half(8);
    /// A sign: `scale · (2 · bit - 1)`.
    Q1_0: 1, Codes::Doubled, 1, Scales::Half(4);
    /// 2 bits: `scale · (q - 1)`.
    Q2_0: 2, Codes::Planes, 1, Scales::Half(2);
    /// Floats of 4 bits, doubled, times half a power of two.
    MXFP4: 4, Codes::Table(&E2M1_QUANTS, 5), 12, Scales::Exponent;
    /// Floats of 4 bits, doubled, times half a float of 8 bits.
    NVFP4: 4, Codes::Table(&E2M1_QUANTS, 5), 12, Scales::Float8Halves;
    /// Entries of a codebook, of three magnitudes and a sign: here with 3 bits a value. (Quants of 7 bits are multiplied as
    /// those of 8.)
    IQ2_XXS: 3, Codes::Table(&IQ2_QUANTS, 8), 43, Scales::Super(8);
    /// As IQ2_XXS.
    IQ2_XS: 3, Codes::Table(&IQ2_QUANTS, 8), 43, Scales::SuperHalves(8);
    /// As IQ2_XXS.
    IQ2_S: 3, Codes::Table(&IQ2_QUANTS, 8), 43, Scales::SuperHalves(8);
    /// Entries of a codebook, of eight magnitudes and a sign: here with 4 bits a value.
    IQ3_XXS: 4, Codes::Table(&IQ3_XXS_QUANTS, 8), 62, Scales::Super(4);
    /// As IQ3_XXS.
    IQ3_S: 4, Codes::Table(&IQ3_S_QUANTS, 5), 15, Scales::Super(1);
    /// Entries of a codebook, of three values that are moved up or down: here with 3 bits a value.
    IQ1_S: 3, Codes::Table(&IQ1_QUANTS, 5), 9, Scales::Super(8);
    /// As IQ1_S.
    IQ1_M: 3, Codes::Table(&IQ1_QUANTS, 5), 9, Scales::SuperHalves(8);
}

/// Calls a kernel compiled for the format: `for_format!(format => kernel(a, b))` is `kernel::<F>(a, b)`.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! for_format {
    ($format:expr => $kernel:ident($($arg:expr),* $(,)?)) => {
        match $format {
            $crate::kernels::packed::PackedFormat::Q4_0 => $kernel::<format::Q4_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q4_1 => $kernel::<format::Q4_1>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q5_0 => $kernel::<format::Q5_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q5_1 => $kernel::<format::Q5_1>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q8_0 => $kernel::<format::Q8_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q2_K => $kernel::<format::Q2_K>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q3_K => $kernel::<format::Q3_K>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q4_K => $kernel::<format::Q4_K>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q5_K => $kernel::<format::Q5_K>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q6_K => $kernel::<format::Q6_K>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ4_NL => $kernel::<format::IQ4_NL>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ4_XS => $kernel::<format::IQ4_XS>($($arg),*),
            $crate::kernels::packed::PackedFormat::TQ1_0 => $kernel::<format::TQ1_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::TQ2_0 => $kernel::<format::TQ2_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q1_0 => $kernel::<format::Q1_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::Q2_0 => $kernel::<format::Q2_0>($($arg),*),
            $crate::kernels::packed::PackedFormat::MXFP4 => $kernel::<format::MXFP4>($($arg),*),
            $crate::kernels::packed::PackedFormat::NVFP4 => $kernel::<format::NVFP4>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ2_XXS => $kernel::<format::IQ2_XXS>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ2_XS => $kernel::<format::IQ2_XS>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ2_S => $kernel::<format::IQ2_S>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ3_XXS => $kernel::<format::IQ3_XXS>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ3_S => $kernel::<format::IQ3_S>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ1_S => $kernel::<format::IQ1_S>($($arg),*),
            $crate::kernels::packed::PackedFormat::IQ1_M => $kernel::<format::IQ1_M>($($arg),*),
        }
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(in crate::kernels) use for_format;

/// Where the quants of a group of `blocks` blocks begin, after the scales: at a cache line.
#[inline(always)]
pub(in crate::kernels) const fn quants_at(scales: Scales, blocks: usize) -> usize {
    scales.total_bytes(blocks).next_multiple_of(64)
}

impl PackedFormat {
    /// Bytes of a group of [`ROWS`] rows of `blocks` blocks.
    pub(in crate::kernels) const fn group_bytes(self, blocks: usize) -> usize {
        quants_at(self.scales(), blocks) + blocks * self.bits() * VECTOR
    }
}

/// The body once for each of the four steps of a block, with `$step` a constant: kernels are unrolled whatever the compiler
/// thinks of their length.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! for_each_step {
    ($step:ident => $body:block) => {{
        const $step: usize = 0;
        $body
    }
    {
        const $step: usize = 1;
        $body
    }
    {
        const $step: usize = 2;
        $body
    }
    {
        const $step: usize = 3;
        $body
    }};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(in crate::kernels) use for_each_step;
