//! Causal attention over the KV cache.
//!
//! `cache` says how keys and values lie in memory, in which formats. A token at a time, or a few, read them with loops
//! of their own (`few`, `kernel`); many tokens turn them into floats, a panel at a time, which are multiplied
//! as matrices (`many`).
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod cache;
mod few;
mod kernel;
mod lanes;
mod many;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::isa::Isa;
use super::matrix::{MAX_TOKENS_ONE_BY_ONE, Workspace};
use cache::HeadTiles;
use kernel::Chunk;
use lanes::Portable;
#[cfg(target_arch = "aarch64")]
use neon::Neon;

pub use cache::{CacheTensor, CacheType, CacheTypes, CacheView, Side};

/// What attention needs to know of the model.
#[derive(Debug, Clone, Copy)]
pub struct AttentionShape {
    /// Query heads.
    pub n_head: usize,
    /// Key and value heads; divides `n_head`.
    pub n_kv_head: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// What scores are multiplied with before the softmax.
    pub scale: f32,
    /// What scores stay within, above and below 0: `cap · tanh(score / cap)`.
    pub softcap: Option<f32>,
    /// How many positions, its own counted in, a token attends to; `None` is all of them.
    pub window: Option<usize>,
}

impl AttentionShape {
    /// The positions that the token at `position` attends to.
    fn visible(&self, position: usize) -> Range<usize> {
        let end = position + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// The cache of one layer.
#[derive(Debug, Clone, Copy)]
pub struct KeysValues<'a> {
    /// Head after head, each with room for every position of the context.
    pub keys: CacheView<'a>,
    /// As `keys`.
    pub values: CacheView<'a>,
}

/// `n` new tokens attend to what came before them and to each other, as `request` says; `out` is `(n, n_head · head_dim)`.
///
/// Up to `MAX_TOKENS_ONE_BY_ONE` tokens are each computed as it would be alone, bit by bit.
///
/// # Panics
/// Where a slice is too short, or the cache has another shape or no such positions.
pub fn attend(workspace: &Workspace, request: &Request<'_>, out: &mut [f32]) {
    attend_on(Isa::active(), workspace, request, out);
}

/// What is asked of [`attend`].
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The heads.
    pub shape: &'a AttentionShape,
    /// A score of each query head that takes part in its softmax and stands for no position, `(n_head)`.
    pub sinks: Option<&'a [f32]>,
    /// A row for each token, of which the first `n_head · head_dim` elements are its heads.
    pub queries: &'a [f32],
    /// From one row of the queries to the next.
    pub stride: usize,
    /// Which already holds the keys and values of all `past + n` tokens.
    pub cache: KeysValues<'a>,
    /// How many tokens came before.
    pub past: usize,
}

impl Request<'_> {
    /// Query heads that share a head of keys and values.
    fn group(&self) -> usize {
        self.shape.n_head / self.shape.n_kv_head
    }

    /// The score of a query head that stands for no position; below all others where there is none.
    fn sink(&self, head: usize) -> f32 {
        self.sinks.map_or(f32::NEG_INFINITY, |sinks| sinks[head])
    }

    /// Width of a row of the output.
    fn width(&self) -> usize {
        self.shape.n_head * self.shape.head_dim
    }
}

/// [`attend`] with the loops of `isa`, which the processor must have.
fn attend_on(isa: Isa, workspace: &Workspace, request: &Request<'_>, out: &mut [f32]) {
    let Request { shape, cache, past, .. } = *request;
    let n = out.len() / request.width();
    let capacity = cache.keys.capacity().min(cache.values.capacity());
    assert!(past + n <= capacity, "{past} + {n} positions in a cache of {capacity}");
    assert!(cache.keys.has(Side::Keys, shape.n_kv_head, shape.head_dim), "keys of another shape");
    assert!(request.sinks.is_none_or(|sinks| sinks.len() == shape.n_head), "a sink for each of {} heads", shape.n_head);
    assert!(cache.values.has(Side::Values, shape.n_kv_head, shape.head_dim), "values of another shape");
    if n <= MAX_TOKENS_ONE_BY_ONE {
        few::attend(isa, workspace, request, out);
    } else {
        many::attend(isa, workspace, request, out);
    }
}

/// See [`kernel::attend_chunk`].
fn attend_chunk(isa: Isa, chunk: &Chunk<'_>, partials: &mut [f32]) {
    match isa {
        // SAFETY: the `Avx512` inside shows that the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { avx512::attend_chunk(chunk, partials) },
        // SAFETY: the `Avx2` inside shows that the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { avx2::attend_chunk(chunk, partials) },
        // SAFETY: every 64-bit ARM has NEON.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(_) | Isa::DotProd(_) | Isa::I8mm(_) => unsafe { kernel::attend_chunk::<Neon>(chunk, partials) },
        // SAFETY: instructions of the processor are all that is asked for, and `Portable` is plain Rust.
        _ => unsafe { kernel::attend_chunk::<Portable>(chunk, partials) },
    }
}

/// See [`kernel::expand`].
fn expand(isa: Isa, head: HeadTiles<'_>, Range { start, end }: Range<usize>, out: &mut [f32]) {
    match isa {
        // SAFETY: the `Avx512` inside shows that the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(_) => unsafe { avx512::expand(head, start, end, out) },
        // SAFETY: the `Avx2` inside shows that the processor has what it is compiled for.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(_) => unsafe { avx2::expand(head, start, end, out) },
        // SAFETY: every 64-bit ARM has NEON.
        #[cfg(target_arch = "aarch64")]
        Isa::Neon(_) | Isa::DotProd(_) | Isa::I8mm(_) => unsafe { kernel::expand::<Neon>(head, start, end, out) },
        // SAFETY: instructions of the processor are all that is asked for, and `Portable` is plain Rust.
        _ => unsafe { kernel::expand::<Portable>(head, start, end, out) },
    }
}
