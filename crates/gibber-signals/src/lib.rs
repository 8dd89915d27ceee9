//! How the program ends by a signal.
//!
//! * [`terminal`]: a signal that ends the program finds the terminal in raw mode. While a screen is held, a handler gives
//!   it back first, and the signal then does what it does by default: exit status and core dump are its own.
//! * [`mapped`]: a file that is cut short while it is mapped into memory ends a program with SIGBUS. Whoever holds the chat
//!   is told, so that it is saved; everybody else ends with a sentence.
//! * [`stdout`]: what a handler, and whoever says an error, has to know of standard output.
//! * [`ending`]: the signals that ask the program to leave, and the bound on how long it may take for that.
//!
//! Beside the engine, this is the only place with `unsafe`: installing a handler is so by its nature. What runs in a
//! handler uses atomics and calls that `signal-safety(7)` lists, nothing else.
#![allow(unsafe_code, reason = "handlers of signals are installed through libc; each block says what makes it sound")]

pub mod ending;
pub mod mapped;
pub mod stdout;
mod system;
pub mod terminal;

/// From now on, a mapped file that changes ends the program with a sentence and the exit code 1.
pub fn watch_mapped_files() {
    mapped::watch();
    terminal::install_for_mapped_files();
}
