//! The line REPL.
