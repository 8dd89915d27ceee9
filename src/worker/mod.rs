//! The thread that owns the engine.

mod ahead;
pub mod fake;
pub mod handle;
mod loaded;
mod places;
pub mod protocol;
mod running;
mod thread;

pub use handle::WorkerHandle;
