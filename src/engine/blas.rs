//! The doorway to the linked BLAS.
