//! The thread that owns the engine.

pub mod handle;
pub mod protocol;

pub use handle::WorkerHandle;
