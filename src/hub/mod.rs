//! Models from elsewhere, as the program has them: what is pulled, and what a person is told of it meanwhile.

pub mod news;
