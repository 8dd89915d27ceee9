//! The thread that owns the engine.

pub mod fake;
pub mod handle;
pub mod protocol;

pub use handle::WorkerHandle;
