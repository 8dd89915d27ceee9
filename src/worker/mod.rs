//! The thread that owns the engine.

mod eager_prefill;
#[cfg(any(test, feature = "test-support"))]
pub mod fake;
pub mod handle;
mod last_draws;
mod loaded;
mod mailbox;
mod places;
pub mod protocol;
mod thread;

pub use handle::WorkerHandle;
pub use thread::Resources;
