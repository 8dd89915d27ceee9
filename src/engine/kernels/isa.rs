//! Which instruction set the inner loops use; chosen once, at run time.

use std::sync::OnceLock;

/// An instruction set that some kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust: every processor.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and its VNNI instructions, beside those of [`Self::Avx2`].
    Avx512,
}

impl Isa {
    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The best one this processor has; `GIBBER_ISA` (`portable`, `avx2`, `avx512`) asks for a lesser one, which is how the tests and
    /// a doubtful measurement reach it.
    pub fn active() -> Self {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            let best = Self::detect();
            let asked = std::env::var("GIBBER_ISA").ok().and_then(|name| Self::from_name(&name));
            asked.map_or(best, |asked| asked.min(best))
        })
    }

    /// Every instruction set that this processor can run, the plain one first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|&isa| isa <= Self::detect()).collect()
    }

    /// Its name in `GIBBER_ISA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|isa| isa.as_str() == name)
    }

    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            return if avx512 { Self::Avx512 } else { Self::Avx2 };
        }
        Self::Portable
    }
}
