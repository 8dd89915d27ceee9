//! Stops a load, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a load is to stop; every clone is the same.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// The load ends with [`crate::EngineError::Cancelled`] at the next tensor, if it is not done before.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether [`CancelFlag::set`] was called.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What is loaded, and how, is the same whoever may stop it.
impl PartialEq for CancelFlag {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for CancelFlag {}
