//! Inference: pure, synchronous, deterministic. No channel, no terminal, no configuration file, no printing.

pub mod blas;
pub mod caught;
pub mod convert;
pub mod error;
pub mod generate;
pub mod inference;
pub mod kernels;
pub mod load;
pub mod model;
pub mod sampling;
pub mod score;
pub mod synthetic;
pub mod tokenizer;
pub mod weights;

pub use convert::FileType;
pub use error::EngineError;
pub use generate::Lookup;
pub use kernels::attention::{CacheType, CacheTypes};
pub use sampling::SamplingParams;

/// The number of a token in the model's vocabulary.
pub type TokenId = u32;
