//! Work that may panic on what a stranger's file says, and must not end the program or write over a screen.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

thread_local! {
    /// How many catchers this thread is in.
    static CATCHERS: Cell<usize> = const { Cell::new(0) };
}

/// Does `work`; a panic in it becomes an error with what was said. Nothing of it is printed once [`keep_quiet`] was called.
///
/// # Errors
/// The message of the panic.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CATCHERS.set(CATCHERS.get() + 1);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CATCHERS.set(CATCHERS.get() - 1);
    outcome.map_err(|panic| message(panic.as_ref()))
}

/// Whether a panic of this thread would be caught: who has a hook of their own says nothing of it then.
pub fn is_catching() -> bool {
    CATCHERS.get() > 0
}

/// From now on the process prints no panics that are caught here. To be called once, before there are other hooks.
pub fn keep_quiet() {
    let former = take_hook();
    set_hook(Box::new(move |info| {
        if !is_catching() {
            former(info);
        }
    }));
}

fn message(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    said.unwrap_or("no word of why").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_what_it_said() {
        assert_eq!(caught(|| 7), Ok(7));
        assert_eq!(caught(|| -> u8 { panic!("of {}", "this") }), Err("of this".to_owned()));
        assert_eq!(caught(is_catching), Ok(true));
        assert!(!is_catching());
    }
}
