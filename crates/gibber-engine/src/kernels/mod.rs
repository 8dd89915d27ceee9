//! The inner loops, the instruction sets they are compiled for, and the threads that share them.

pub mod activation;
pub mod arena;
pub mod attention;
mod block;
mod cores;
mod dense;
pub mod floats;
pub mod isa;
pub mod matrix;
pub mod packed;
pub mod pool;
mod prefetch;
pub mod recurrence;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod registers;
pub mod rotary;
mod sum_tables;
pub mod table;
pub mod tiles;
pub mod vector;

pub use isa::Isa;
pub use matrix::{Share, WeightMatrix, Workspace, multiply_each};
pub use packed::Packer;
pub use pool::ThreadPool;
pub use table::Table;
