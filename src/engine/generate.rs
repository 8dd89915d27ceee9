//! The reply loop: prefill, then a token at a time until something ends it.

mod trace;

pub use trace::{FinishReason, GenerationStats, TokenTrace};
