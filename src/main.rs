//! The binary: parse, call the library, print the error, exit code; nothing else.
#![forbid(unsafe_code)]
#![allow(missing_docs)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gibber::cli::main()
}
