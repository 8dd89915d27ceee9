//! The real program in a real pseudo-terminal, with the default model: what a person sees and what is left behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

mod support;
