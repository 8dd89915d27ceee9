//! The thread that owns the engine.

pub mod fake;
pub mod handle;
mod loaded;
pub mod protocol;
mod running;
mod thread;

pub use handle::WorkerHandle;
