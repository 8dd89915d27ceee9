//! Inference of language models on the CPU: pure, synchronous, deterministic. No channel, no terminal, no configuration
//! file, no printing.
//!
//! A model is loaded from a GGUF file or a Hugging Face folder, a prompt becomes tokens, and a reply is generated token by
//! token, each told with how it was chosen:
//!
//! ```
//! use gibber_engine::generate::{GenerateOptions, TokenTrace, generate};
//! use gibber_engine::load::{LoadOptions, ModelSource, load};
//!
//! # fn main() -> Result<(), gibber_engine::EngineError> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/tiny-llama.Q8_0.gguf");
//! let source = ModelSource::Path(path.into());
//! let mut model = load(&source, &LoadOptions::default(), &mut |_done, _total| {})?;
//! let prompt = model.tokenizer.encode("Once upon a time", true)?;
//!
//! let mut options = GenerateOptions { seed: 1, ..GenerateOptions::default() };
//! options.stop.max_tokens = Some(20);
//! let mut text = String::new();
//! let mut on_token = |token: TokenTrace| text.push_str(&token.text);
//! let (_reason, stats) = generate(&mut model.inference, &model.tokenizer, prompt, &options, &mut on_token)?;
//! println!("{text}\n{} tokens in {:?}", stats.completion_tokens, stats.decode_time);
//! # assert!(!text.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! What stands where: [`source`] finds out what a file is ([`keys`], [`weights`], [`tokenizer`]) and [`load`] makes it run;
//! [`model::family`] has a file for each family of models with all that is known of it, and [`model`] is the one forward
//! pass over [`kernels`] and, behind a doorway of its own, the linked BLAS ([`blas`]); [`inference`] owns the state of a
//! sequence; [`sampling`] draws tokens and [`generate`] makes replies of them; [`convert`] quantizes; [`score`] says what a
//! text's tokens are worth. The kernels work in the widest instruction set that the processor has, or in the one that the
//! environment variable `GIBBER_ISA` names.

pub mod blas;
pub mod caught;
pub mod convert;
pub mod error;
pub mod generate;
pub mod inference;
mod json;
pub mod kernels;
pub mod keys;
pub mod load;
mod memory;
pub mod model;
pub mod sampling;
pub mod score;
pub mod source;
pub mod synthetic;
pub mod tokenizer;
pub mod weights;

pub use convert::FileType;
pub use error::EngineError;
pub use generate::PromptLookup;
pub use kernels::attention::{CacheType, CacheTypes};
pub use sampling::SamplingParams;

/// The number of a token in the model's vocabulary.
pub type TokenId = u32;
