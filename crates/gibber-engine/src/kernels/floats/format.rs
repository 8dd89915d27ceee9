//! The float formats, and their values as single precision.

use half::{bf16, f16};

use crate::weights::DType;

/// A weight format whose values are computed in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatFormat {
    /// Single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    BF16,
}

impl FloatFormat {
    /// The format of a file's tensor; `None` where its values are no floats.
    pub const fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::F32 => Some(Self::F32),
            DType::F16 => Some(Self::F16),
            DType::BF16 => Some(Self::BF16),
            _ => None,
        }
    }

    /// Bytes of a value.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }

    /// The value that begins at `bytes[0]`, little-endian.
    #[inline(always)]
    pub(super) fn value(self, bytes: &[u8]) -> f32 {
        match self {
            Self::F32 => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            Self::F16 => f16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
            Self::BF16 => bf16::from_le_bytes([bytes[0], bytes[1]]).to_f32(),
        }
    }

    /// The values of `bytes`, into `out`.
    pub fn widen(self, bytes: &[u8], out: &mut [f32]) {
        for (out, value) in out.iter_mut().zip(bytes.chunks_exact(self.size())) {
            *out = self.value(value);
        }
    }
}
