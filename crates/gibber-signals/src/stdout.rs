//! What the standard library does not tell of standard output.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::system;

/// Whether there was none when the program was started.
static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether a line was begun on the terminal there.
static IN_LINE: AtomicBool = AtomicBool::new(false);

/// Runs before anything of Rust does: Rust puts the null device in the place of a stream that is closed, and whatever is
/// written to it is lost without a word.
extern "C" fn before_main() {
    WAS_CLOSED.store(system::is_closed(libc::STDOUT_FILENO), Ordering::Relaxed);
}

/// The list of functions that the loader calls before `main`.
#[used]
#[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
static BEFORE_MAIN: extern "C" fn() = before_main;

/// To be asked before something is written.
///
/// # Errors
/// Where the program was started without a standard output (`>&-`): what is written would reach nobody.
pub fn check() -> io::Result<()> {
    if WAS_CLOSED.load(Ordering::Relaxed) { Err(io::Error::other("it is closed")) } else { Ok(()) }
}

/// Remembers whether the terminal there is in the middle of a line: an error that is said on the same terminal then begins
/// one of its own, also where a handler of signals says it.
pub fn set_in_line(is_in_line: bool) {
    IN_LINE.store(is_in_line, Ordering::Release);
}

/// Whether a line was begun, which is ended with this: by whoever asks.
pub fn take_line() -> bool {
    IN_LINE.swap(false, Ordering::AcqRel)
}
