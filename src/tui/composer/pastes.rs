//! Large pastes, which are folded in the composer: a label stands for each until it is sent.

use unicode_segmentation::UnicodeSegmentation;

use super::draft::Draft;

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

/// What was pasted and folded in this run: each with the text of its label.
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
    pub(super) fn fold(&mut self, text: &str) -> Draft {
        self.fold_as(text, |number| format!("pasted text #{number}"))
    }

    /// Folds a file's text.
    pub(super) fn fold_file(&mut self, name: &str, text: &str) -> Draft {
        let name = crate::tui::text::one_line(name);
        self.fold_as(text, |number| format!("{name} #{number}"))
    }

    /// Folds an earlier prompt, whose label has its first words.
    pub(super) fn fold_prompt(&mut self, text: &str) -> Draft {
        let line = crate::tui::text::one_line(text.trim_start().lines().next().unwrap_or_default());
        let mut words: String = line.graphemes(true).take(LABEL_LENGTH).collect();
        words.truncate(words.trim_end().len());
        self.fold_as(text, |number| format!("{words}… #{number}"))
    }

    fn fold_as(&mut self, text: &str, name: impl FnOnce(usize) -> String) -> Draft {
        if let Some((paste, (label, _))) = self.folded.iter().enumerate().find(|(_, (_, content))| content == text) {
            return Draft::label(label, paste);
        }
        let size = match text.lines().count() {
            1 => format!("{} characters", text.chars().count()),
            lines => format!("{lines} lines"),
        };
        let label = format!("[{}: {size}]", name(self.folded.len() + 1));
        self.folded.push((label.clone(), text.to_owned()));
        Draft::label(&label, self.folded.len() - 1)
    }

    /// What a label stands for.
    pub(super) fn content(&self, paste: usize) -> &str {
        self.folded.get(paste).map_or("", |(_, content)| content)
    }

    /// A draft with what its labels stand for.
    pub(super) fn expand(&self, draft: &Draft) -> String {
        let mut whole = String::with_capacity(draft.text().len());
        let mut done = 0;
        for label in draft.labels() {
            whole.push_str(&draft.text()[done..label.range.start]);
            whole.push_str(self.content(label.paste));
            done = label.range.end;
        }
        whole.push_str(&draft.text()[done..]);
        whole
    }

    /// `text` with labels in the place of what was folded before.
    pub(super) fn refold(&self, text: &str) -> Draft {
        let mut draft = Draft::from(text);
        for (paste, (label, content)) in self.folded.iter().enumerate() {
            let mut from = 0;
            while let Some(at) = draft.text()[from..].find(content).map(|at| from + at) {
                draft.replace(at..at + content.len(), &Draft::label(label, paste));
                from = at + label.len();
            }
        }
        draft
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
        assert_eq!(pastes.fold(&lines).text(), "[pasted text #1: 11 lines]");
        assert_eq!(pastes.fold(&long).text(), "[pasted text #2: 1001 characters]");
        assert_eq!(pastes.fold(&lines).text(), "[pasted text #1: 11 lines]", "the same text has one label");
        let whole = format!("a {long} b {lines}");
        let draft = pastes.refold(&whole);
        assert_eq!(draft.text(), "a [pasted text #2: 1001 characters] b [pasted text #1: 11 lines]");
        assert_eq!(pastes.expand(&draft), whole);
        assert_eq!(pastes.expand(&draft.text().into()), draft.text(), "the same letters, typed, are letters");
    }
}
