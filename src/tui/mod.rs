//! The full screen: one loop that waits for keys, the engine and signals, lets the state machine answer, and draws.

mod ascii;
#[doc(hidden)]
pub mod bench;
mod chat_list;
mod clipboard;
mod composer;
mod context;
mod conversation;
mod editor;
mod event_loop;
mod figures;
mod fuzzy;
mod heat;
mod help;
mod highlight;
mod input;
mod layers;
mod line_input;
mod markdown;
mod mouse;
mod overlay;
mod palette;
mod panels;
mod popup;
mod pull_gauge;
mod screen;
mod step_view;
mod targets;
mod terminal;
mod text;
mod theme;
mod token_view;
mod variants;
mod view;
mod window;

#[cfg(test)]
mod tests;

pub use event_loop::run;

/// How the screen was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// The person left.
    Quit,
    /// A signal ended it; the exit code is 128 and this.
    Signal(i32),
}

/// What can go wrong on the screen itself.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    /// The terminal could not be read or written.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] std::io::Error),
}
