//! Which instruction set the inner loops use; chosen once, at run time.

use std::sync::OnceLock;

/// Shows that the processor has AVX2, FMA and F16C: only [`Isa::available`] makes one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Avx2(());

/// Shows that the processor has AVX-512 (F, BW, DQ, VL) and VNNI, beside what [`Avx2`] shows: only [`Isa::available`] makes
/// one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Avx512(());

/// Shows that the processor is a 64-bit ARM, all of which have NEON: only [`Isa::available`] makes one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neon(());

/// Shows that the processor multiplies four bytes a lane at once (`sdot`), beside what [`Neon`] shows: only
/// [`Isa::available`] makes one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DotProd(());

/// Shows that the processor multiplies matrices of bytes (`usmmla`) and bytes with and without a sign (`usdot`), beside
/// what [`DotProd`] shows: only [`Isa::available`] makes one, after it has looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct I8mm(());

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
    /// 64-bit ARM: its NEON instructions of 2011.
    Neon(Neon),
    /// 64-bit ARM with dot products of bytes, beside those of [`Self::Neon`]: most from 2018 on.
    DotProd(DotProd),
    /// 64-bit ARM with products of matrices of bytes, beside those of [`Self::DotProd`]: most from 2022 on.
    I8mm(I8mm),
}

impl Avx512 {
    /// It shows that as well.
    pub fn avx2(self) -> Avx2 {
        Avx2(())
    }
}

impl DotProd {
    /// It shows that as well.
    pub fn neon(self) -> Neon {
        Neon(())
    }
}

impl I8mm {
    /// It shows that as well.
    pub fn neon(self) -> Neon {
        Neon(())
    }

    /// It shows that as well.
    pub fn dot_prod(self) -> DotProd {
        DotProd(())
    }
}

impl Isa {
    /// The best one this processor has; `GIBBER_ISA` (one of [`Self::available_names`]) asks for a lesser one, which is how
    /// the tests and a doubtful measurement reach it.
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
        let mut available = vec![Self::Portable];
        available.extend(Self::beyond_portable());
        available
    }

    /// Those of an x86-64, each with the ones before it.
    #[cfg(target_arch = "x86_64")]
    fn beyond_portable() -> Vec<Self> {
        if !(is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")) {
            return Vec::new();
        }
        let has_avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        let avx512 = has_avx512.then_some(Self::Avx512(Avx512(())));
        std::iter::once(Self::Avx2(Avx2(()))).chain(avx512).collect()
    }

    /// Those of a 64-bit ARM, each with the ones before it.
    #[cfg(target_arch = "aarch64")]
    fn beyond_portable() -> Vec<Self> {
        use std::arch::is_aarch64_feature_detected;

        let has_dotprod = is_aarch64_feature_detected!("dotprod");
        let dotprod = has_dotprod.then_some(Self::DotProd(DotProd(())));
        let i8mm = (has_dotprod && is_aarch64_feature_detected!("i8mm")).then_some(Self::I8mm(I8mm(())));
        std::iter::once(Self::Neon(Neon(()))).chain(dotprod).chain(i8mm).collect()
    }

    /// There are no others.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn beyond_portable() -> Vec<Self> {
        Vec::new()
    }

    /// What `GIBBER_ISA` can be on this processor.
    pub fn available_names() -> &'static [&'static str] {
        static NAMES: OnceLock<Vec<&'static str>> = OnceLock::new();
        NAMES.get_or_init(|| Self::available().into_iter().map(Self::as_str).collect())
    }

    /// Its name in `GIBBER_ISA`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2(_) => "avx2",
            Self::Avx512(_) => "avx512",
            Self::Neon(_) => "neon",
            Self::DotProd(_) => "dotprod",
            Self::I8mm(_) => "i8mm",
        }
    }
}
