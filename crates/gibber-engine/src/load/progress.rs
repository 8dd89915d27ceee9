//! How far a load is, and the step of it that quantizes.

use std::ops::ControlFlow;
use std::path::Path;

use super::{CancelFlag, ModelFiles, ModelSource, Quantized};
use crate::kernels::ThreadPool;
use crate::{EngineError, FileType, convert};

/// Two steps told as one: the bytes of weights that are done, out of those of the source.
pub(super) struct Progress<'a> {
    pub(super) total: u64,
    /// What was done before the weights are loaded.
    pub(super) before: u64,
    pub(super) cancel: &'a CancelFlag,
    pub(super) on_progress: &'a mut dyn FnMut(u64, u64),
}

impl Progress<'_> {
    /// Quantizing takes nine tenths of a load, where it is not done already.
    pub(super) fn quantize(
        &mut self,
        files: &mut ModelFiles,
        source: &ModelSource,
        kind: FileType,
        cache: Option<&Path>,
        pool: &ThreadPool,
    ) -> Result<Option<Quantized>, EngineError> {
        let share = self.total / 10 * 9;
        convert::cache::quantize(files, source, kind, cache, pool, &mut |done, total| {
            self.before = scaled(done, total, share);
            (self.on_progress)(self.before, self.total);
            if self.cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    }

    pub(super) fn load(&mut self, done: u64, total: u64) {
        (self.on_progress)(self.before + scaled(done, total, self.total - self.before), self.total);
    }
}

/// `done` of `total`, in the measure where all of it is `whole`.
fn scaled(done: u64, total: u64, whole: u64) -> u64 {
    if done >= total { whole } else { (done as f64 / total as f64 * whole as f64) as u64 }
}
