//! Which instruction set the inner loops use; chosen once, at run time.

use std::sync::OnceLock;

/// Shows that the processor has AVX2, FMA and F16C: only [`Isa::available`] makes one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Avx2(());

/// Shows that the processor has AVX-512 (F, BW, DQ, VL) and VNNI, beside what [`Avx2`] shows: only [`Isa::available`] makes
/// one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Avx512(());

/// An instruction set that some kernels are written for. Kernels take the value inside as the proof that the processor
/// has their instructions, so that safe code cannot reach those that it lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// Plain Rust: every processor.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2(Avx2),
    /// x86-64 with AVX-512 (F, BW, DQ, VL) and its VNNI instructions, beside those of [`Self::Avx2`].
    Avx512(Avx512),
}

/// The names of the instruction sets, the plain one first.
const NAMES: [&str; 3] = ["portable", "avx2", "avx512"];

impl Avx512 {
    /// It shows that as well.
    pub fn avx2(self) -> Avx2 {
        Avx2(())
    }
}

impl Isa {
    /// The best one this processor has; `GIBBER_ISA` (`portable`, `avx2`, `avx512`) asks for a lesser one, which is how the tests and
    /// a doubtful measurement reach it.
    pub fn active() -> Self {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            let available = Self::available();
            let asked = std::env::var("GIBBER_ISA").ok();
            let asked = available.iter().find(|isa| Some(isa.as_str()) == asked.as_deref());
            asked.or(available.last()).copied().unwrap_or(Self::Portable)
        })
    }

    /// Every instruction set that this processor can run, the plain one first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(not(target_arch = "x86_64"), expect(unused_mut, reason = "there are no others"))]
        let mut available = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
            available.push(Self::Avx2(Avx2(())));
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if has_avx512 {
                available.push(Self::Avx512(Avx512(())));
            }
        }
        available
    }

    /// What `GIBBER_ISA` can be on this processor.
    pub fn available_names() -> &'static [&'static str] {
        // Each of them has the ones before it.
        &NAMES[..Self::available().len()]
    }

    /// Its name in `GIBBER_ISA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => NAMES[0],
            Self::Avx2(_) => NAMES[1],
            Self::Avx512(_) => NAMES[2],
        }
    }
}
