//! A line that is typed over the screen, such as what a list is searched for: edited with the composer's own keys.

use super::composer::Composer;
use super::text::one_line;
use crate::app::keymap::{Context, Key, KeyPress, Keymap};

/// A text on one line, and the cursor in it.
#[derive(Debug, Default)]
pub(super) struct LineInput(Box<Composer>);

impl LineInput {
    /// A line with a text in it, and the cursor behind that.
    pub(super) fn new(text: &str) -> Self {
        let mut line = Self::default();
        line.insert(text);
        line
    }

    pub(super) fn text(&self) -> &str {
        self.0.text()
    }

    /// Inserts a text at the cursor; what it has of line feeds and the like become spaces.
    pub(super) fn insert(&mut self, text: &str) {
        self.0.insert(&one_line(text));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Does what a key does in the composer, where that stays on the line; returns whether the text is another one then.
    pub(super) fn on_key(&mut self, keymap: &Keymap, press: KeyPress) -> bool {
        let before = self.0.text().to_owned();
        match (keymap.bound(Context::Composer, press), press.key) {
            (Some(action), _) => _ = self.0.edit_line(action),
            (None, Key::Char(character)) if !press.ctrl && !press.alt => {
                self.0.insert(character.encode_utf8(&mut [0; 4]));
            }
            (None, _) => {}
        }
        before != self.0.text()
    }

    /// The line with its cursor.
    pub(super) fn shown(&self) -> String {
        let (before, after) = self.0.text().split_at(self.0.cursor());
        format!("{}▏{}", one_line(before), one_line(after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_the_composer_is() {
        let keymap = Keymap::default();
        let mut line = LineInput::new("the e\u{301}tude");
        let mut keys = |keys: &[&str]| -> String {
            for key in keys {
                line.on_key(&keymap, KeyPress::parse(key).unwrap());
            }
            line.shown()
        };
        assert_eq!(
            keys(&["Left", "Left", "Left", "Left", "Backspace"]),
            "the ▏tude",
            "a letter and its accent are one"
        );
        assert_eq!(keys(&["x", "End", "Ctrl-W"]), "the ▏");
        assert_eq!(keys(&["Ctrl-Z"]), "the xtude▏");
        assert_eq!(keys(&["Home", "Del", "Ctrl-K"]), "▏");
        assert_eq!(keys(&["a", "Ctrl-J", "Enter", "b"]), "ab▏", "what is not of one line does nothing");
    }
}
