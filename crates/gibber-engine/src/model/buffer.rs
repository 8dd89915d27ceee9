//! Buffers that are used again from pass to pass.

/// `buffer` as `n` rows of `width`; what was in it is of no use any more.
pub(super) fn sized(buffer: &mut Vec<f32>, n: usize, width: usize) -> &mut [f32] {
    buffer.resize(n * width, 0.0);
    buffer
}
