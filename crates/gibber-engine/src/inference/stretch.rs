//! Texts that go beyond the first context of a rotation which turns all of their positions otherwise (LongRoPE).

use super::Inference;

impl Inference {
    /// Whether a text of `total` tokens is turned otherwise than shorter ones.
    fn goes_far(&self, total: usize) -> bool {
        self.model.config().long_from().is_some_and(|from| total >= from)
    }

    /// Has the state be that of a text of `total` tokens. Where keys are turned otherwise than so far, because the text goes
    /// beyond the first context or was cut back to within it, it is empty afterwards: what is held is computed anew.
    pub(super) fn turn_for(&mut self, total: usize) {
        let is_far = self.goes_far(total);
        if self.cache.is_far() != is_far {
            self.cache.begin_anew(is_far);
            // As a prompt is, and not one by one, as they may have come.
            self.passes.truncate(0);
            self.held.chunks(self.batch).for_each(|chunk| self.passes.add(chunk.len(), chunk.len()));
        }
    }

    /// How many tokens may be appended before the text goes beyond the first context; after that, any number.
    pub(super) fn before_border(&self) -> usize {
        let border = self.model.config().long_from().filter(|_| !self.cache.is_far());
        border.map_or(usize::MAX, |from| (from - 1).saturating_sub(self.held.len()))
    }
}
