//! Named tensors in files.
