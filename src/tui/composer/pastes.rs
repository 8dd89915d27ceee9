//! Large pastes, which are folded in the composer: a label stands for each until it is sent.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// A paste of more lines than this is folded.
const MAX_LINES: usize = 10;

/// A paste of more bytes than this is folded.
const MAX_BYTES: usize = 2000;

/// An earlier prompt of more lines than this is folded: a paste of another run.
const HUGE_LINES: usize = 60;

/// An earlier prompt of more bytes than this is folded.
const HUGE_BYTES: usize = 8000;

/// Characters, as a reader counts them, of an earlier prompt that its label has.
const LABEL_LENGTH: usize = 24;

/// What was pasted and folded in this run: each with the label that stands for it.
#[derive(Debug, Default)]
pub(super) struct Pastes {
    folded: Vec<(String, String)>,
}

impl Pastes {
    /// Whether a text that was written earlier is folded when it comes back.
    pub(super) fn is_huge(text: &str) -> bool {
        text.len() > HUGE_BYTES || text.lines().count() > HUGE_LINES
    }

    /// Whether a text is folded when it is pasted.
    pub(super) fn is_large(text: &str) -> bool {
        text.len() > MAX_BYTES || text.lines().count() > MAX_LINES
    }

    /// Folds a text; returns its label.
    pub(super) fn fold(&mut self, text: &str) -> String {
        self.fold_as(text, |number| format!("pasted text #{number}"))
    }

    /// Folds a file's text.
    pub(super) fn fold_file(&mut self, name: &str, text: &str) -> String {
        let name = crate::tui::text::one_line(name);
        self.fold_as(text, |number| format!("{name} #{number}"))
    }

    /// Folds an earlier prompt, whose label has its first words.
    pub(super) fn fold_prompt(&mut self, text: &str) -> String {
        let line = crate::tui::text::one_line(text.trim_start().lines().next().unwrap_or_default());
        let mut words: String = line.graphemes(true).take(LABEL_LENGTH).collect();
        words.truncate(words.trim_end().len());
        self.fold_as(text, |number| format!("{words}… #{number}"))
    }

    fn fold_as(&mut self, text: &str, name: impl FnOnce(usize) -> String) -> String {
        if let Some((label, _)) = self.folded.iter().find(|(_, content)| content == text) {
            return label.clone();
        }
        let size = match text.lines().count() {
            1 => format!("{} characters", text.chars().count()),
            lines => format!("{lines} lines"),
        };
        let label = format!("[{}: {size}]", name(self.folded.len() + 1));
        self.folded.push((label.clone(), text.to_owned()));
        label
    }

    /// Where labels are in `text`, in order, and what each stands for.
    pub(super) fn places(&self, text: &str) -> Vec<(Range<usize>, &str)> {
        let mut places: Vec<(Range<usize>, &str)> = Vec::new();
        for (label, content) in &self.folded {
            places.extend(text.match_indices(label).map(|(at, _)| (at..at + label.len(), content.as_str())));
        }
        places.sort_by_key(|(range, _)| range.start);
        places
    }

    /// `text` with what its labels stand for.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut whole = String::with_capacity(text.len());
        let mut done = 0;
        for (range, content) in self.places(text) {
            whole.push_str(&text[done..range.start]);
            whole.push_str(content);
            done = range.end;
        }
        whole.push_str(&text[done..]);
        whole
    }

    /// `text` with labels in the place of what was folded before.
    pub(super) fn refold(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (label, content) in &self.folded {
            if text.contains(content) {
                text = text.replace(content, label);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_how_much_it_stands_for_and_gives_it_back() {
        let mut pastes = Pastes::default();
        let lines = "line\n".repeat(11);
        let long = "ä".repeat(1001);
        assert!(Pastes::is_large(&lines) && Pastes::is_large(&long));
        assert!(!Pastes::is_large(&"line\n".repeat(10)));
        assert_eq!(pastes.fold(&lines), "[pasted text #1: 11 lines]");
        assert_eq!(pastes.fold(&long), "[pasted text #2: 1001 characters]");
        assert_eq!(pastes.fold(&lines), "[pasted text #1: 11 lines]", "the same text has one label");
        let text = "a [pasted text #2: 1001 characters] b [pasted text #1: 11 lines]";
        let whole = format!("a {long} b {lines}");
        assert_eq!(pastes.expand(text), whole);
        assert_eq!(pastes.refold(&whole), text);
        assert_eq!(pastes.expand("[pasted text #3: 11 lines]"), "[pasted text #3: 11 lines]");
    }
}
