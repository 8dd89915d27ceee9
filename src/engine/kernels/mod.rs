//! The inner loops, the instruction sets they are compiled for, and the threads that share them.

pub mod isa;
pub mod pool;
pub mod vector;

pub use isa::Isa;
pub use pool::ThreadPool;
