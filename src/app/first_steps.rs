//! What a person who is here for the first time is shown: a few lines to begin with, and a hint at the moment it is of use.

use super::keymap::Context;
use super::view::View;

/// What is said of the model that comes with the program, which is small so that it is always there.
const DEFAULT_MODEL: &str = "this model is a small one that is always at hand; <models> gets a larger one";

/// What to try, with `<action>` in the place of a key; a line whose action no key does is left out.
const LINES: [&str; 6] = [
    "<send> sends what you write; <new-line> begins a new line",
    "<next-focus> goes to the sliders: they change how it speaks, also while it does",
    "<tokens> shows a reply token by token, with what else might have been said",
    "<pause> pauses a reply, and you choose its tokens",
    "/ lists the commands, <palette> all that can be done, /theme the colours",
    "<help> lists the keys",
];

/// What the last line of the screen says after each of the first replies.
const AFTER_REPLIES: [&str; 2] = [
    "<tokens> shows how each token of this reply was chosen",
    "/regen answers anew; <next-focus> leads to the sliders, so that the next answer is bolder or calmer",
];

/// How far a person who is here for the first time has come.
#[derive(Debug)]
pub(super) struct FirstSteps {
    /// Whether nothing was ever said or kept here, and hints are wanted.
    is_first_run: bool,
    replies: usize,
}

impl FirstSteps {
    pub(super) fn new(is_first_run: bool) -> Self {
        Self { is_first_run, replies: 0 }
    }
}

impl View {
    /// What to try first; empty for a person who has been here before.
    pub(super) fn first_steps(&self, has_default_model: bool) -> Vec<String> {
        if !self.first_steps.is_first_run {
            return Vec::new();
        }
        let of_model = has_default_model.then_some(DEFAULT_MODEL);
        let shown = |line: &str| self.keymap.hints(Context::Composer, line);
        // The last of them is seen on the smallest screen too.
        LINES.into_iter().chain(of_model).map(shown).filter(|line| !line.is_empty()).collect()
    }

    /// What is of use after the first replies, while none is running.
    pub(super) fn tip(&self) -> Option<String> {
        let place = self.first_steps.replies.checked_sub(1).filter(|_| self.first_steps.is_first_run)?;
        let text = self.keymap.hints(Context::Composer, AFTER_REPLIES.get(place)?);
        Some(text).filter(|text| !text.is_empty())
    }

    /// A reply has ended.
    pub(super) fn count_reply(&mut self) {
        self.first_steps.replies += 1;
    }
}
