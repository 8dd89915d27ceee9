//! The quantized formats: how a file stores a block, how the packed form lays it out, and what a quant stands for.
//!
//! The file layouts are those of ggml (`ggml-common.h`, decoded in `ggml-quants.c`).

use crate::kernels::activation::{BLOCK, STEP};
use crate::weights::DType;

/// Rows that stand side by side.
pub const ROWS: usize = 16;
/// Bytes of a vector of steps: [`STEP`] columns of [`ROWS`] rows.
pub(in crate::kernels) const VECTOR: usize = STEP * ROWS;
/// Columns that share the half-precision scales of a K-quant.
const SUPER_BLOCK: usize = 256;

/// How the scales of a packed group are stored and what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernels) enum Scales {
    /// A half-precision scale for each block of 32.
    Half,
    /// A half-precision scale and minimum for each block of 32.
    F16Minimum,
    /// A half-precision scale of scales and one of minimums for 256 columns; a byte of each for 32.
    SuperMinimum,
    /// A half-precision scale for 256 columns, a signed byte for 16.
    SuperHalves,
    /// As [`Self::SuperMinimum`], but with four bits of each for 16 columns, in one byte.
    SuperHalvesMinimum,
}

impl Scales {
    /// Whether each sixteen columns of a block have a scale of their own.
    pub(in crate::kernels) const fn has_halves(self) -> bool {
        matches!(self, Self::SuperHalves | Self::SuperHalvesMinimum)
    }

    /// Whether a minimum is added to the scaled quants.
    pub(in crate::kernels) const fn has_minimum(self) -> bool {
        matches!(self, Self::F16Minimum | Self::SuperMinimum | Self::SuperHalvesMinimum)
    }

    /// Bytes of half-precision numbers before the bytes of the blocks: for a block of 32, or for 256 columns.
    pub(in crate::kernels) const fn f16_bytes(self) -> usize {
        match self {
            Self::Half | Self::SuperHalves => 2 * ROWS,
            Self::F16Minimum | Self::SuperMinimum | Self::SuperHalvesMinimum => 4 * ROWS,
        }
    }

    /// Bytes that a block of 32 adds behind those, in the formats of 256 columns.
    pub(in crate::kernels) const fn block_bytes(self) -> usize {
        match self {
            Self::Half | Self::F16Minimum => 0,
            Self::SuperMinimum | Self::SuperHalves | Self::SuperHalvesMinimum => 2 * ROWS,
        }
    }

    const fn is_super(self) -> bool {
        self.block_bytes() > 0
    }

    /// Where the scales of block `block` lie: its half-precision numbers, and its own bytes (0 where it has none).
    #[inline(always)]
    pub(in crate::kernels) const fn offsets(self, block: usize) -> (usize, usize) {
        if !self.is_super() {
            return (block * self.f16_bytes(), 0);
        }
        let blocks = SUPER_BLOCK / BLOCK;
        let start = block / blocks * (self.f16_bytes() + blocks * self.block_bytes());
        (start, start + self.f16_bytes() + block % blocks * self.block_bytes())
    }

    /// Bytes of the scales of `blocks` blocks of [`ROWS`] rows.
    const fn total_bytes(self, blocks: usize) -> usize {
        let per_block = if self.is_super() { blocks * self.block_bytes() } else { 0 };
        let halves = if self.is_super() { blocks.div_ceil(SUPER_BLOCK / BLOCK) } else { blocks };
        halves * self.f16_bytes() + per_block
    }
}

/// A format as the kernels are compiled for it: everything is known at compile time.
pub(in crate::kernels) trait Quant {
    /// Bits of a quant.
    const BITS: usize;
    /// What is taken from a quant before it is scaled.
    const OFFSET: i32;
    /// How it is scaled.
    const SCALES: Scales;
    /// Bytes of the quants of a packed block.
    #[cfg(target_arch = "x86_64")]
    const QUANT_BYTES: usize = Self::BITS * VECTOR;
    /// Vectors of the plane of low bits, before that of the high ones.
    #[cfg(target_arch = "x86_64")]
    const LOW_VECTORS: usize = low_bits(Self::BITS);
}

/// Bits in the plane of low bits: what is over lies in a second plane.
pub(in crate::kernels) const fn low_bits(bits: usize) -> usize {
    match bits {
        2 | 3 => 2,
        4..=6 => 4,
        bits => bits,
    }
}

/// One row a format: its bits, its offset, its scales.
macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident: $bits:literal, $offset:literal, $scales:ident;)*) => {
        /// A weight format that is computed in whole numbers.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(non_camel_case_types, reason = "the formats are called Q4_K everywhere else")]
        pub enum PackedFormat { $($(#[$doc])* $name,)* }

        $(
            #[allow(non_camel_case_types, reason = "as the format")]
            pub(in crate::kernels) struct $name;

            impl Quant for $name {
                const BITS: usize = $bits;
                const OFFSET: i32 = $offset;
                const SCALES: Scales = Scales::$scales;
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
    Q4_0: 4, 8, Half;
    /// 4 bits: `scale · q + minimum`.
    Q4_1: 4, 0, F16Minimum;
    /// 5 bits: `scale · (q - 16)`.
    Q5_0: 5, 16, Half;
    /// 5 bits: `scale · q + minimum`.
    Q5_1: 5, 0, F16Minimum;
    /// 8 bits: `scale · q`, stored as `q + 128`.
    Q8_0: 8, 128, Half;
    /// 2 bits.
    Q2_K: 2, 0, SuperHalvesMinimum;
    /// 3 bits.
    Q3_K: 3, 4, SuperHalves;
    /// 4 bits.
    Q4_K: 4, 0, SuperMinimum;
    /// 5 bits.
    Q5_K: 5, 0, SuperMinimum;
    /// 6 bits.
    Q6_K: 6, 32, SuperHalves;
}

/// Calls a kernel compiled for the format: `for_format!(format => kernel(a, b))` is `kernel::<F>(a, b)`.
#[cfg(target_arch = "x86_64")]
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
        }
    };
}
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
pub(in crate::kernels) use for_each_step;
