//! How the program is shown: what a person has chosen to see, and what the screen has to say of the moment.

use super::first_steps::FirstSteps;
use super::keymap::Keymap;
use crate::settings::Settings;

/// What is shown, apart from any chat.
#[derive(Debug)]
pub(super) struct View {
    /// The keys in force.
    pub(super) keymap: Keymap,
    pub(super) first_steps: FirstSteps,
    /// Whether thoughts are shown, or folded to a line.
    pub(super) shows_thoughts: bool,
    /// Whether replies are shown as they were written, not as Markdown.
    pub(super) shows_source: bool,
    /// Whether the next Ctrl-C leaves.
    pub(super) quit_armed: bool,
    /// Ticks up with each change that a front end may want to draw.
    pub(super) revision: u64,
}

impl View {
    pub(super) fn new(settings: &Settings, is_first_run: bool) -> Self {
        Self {
            keymap: Keymap::new(&settings.keys).0,
            first_steps: FirstSteps::new(is_first_run && settings.ui.hints),
            shows_thoughts: false,
            shows_source: !settings.ui.markdown,
            quit_armed: false,
            revision: 0,
        }
    }
}
