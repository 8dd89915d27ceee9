//! What is written, with labels in the place of large pastes.

use std::ops::Range;

/// A text in which labels stand for pastes. Where they stand is kept beside the text: the letters of a label that
/// somebody typed are letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Draft {
    text: String,
    /// In order, apart from each other.
    labels: Vec<Label>,
}

/// A label, and the paste that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Where it stands, in bytes.
    pub(super) range: Range<usize>,
    /// Which paste.
    pub(super) paste: usize,
}

impl From<&str> for Draft {
    /// A text without labels.
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), labels: Vec::new() }
    }
}

impl Draft {
    /// A label by itself.
    pub(super) fn label(text: &str, paste: usize) -> Self {
        Self { text: text.to_owned(), labels: vec![Label { range: 0..text.len(), paste }] }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// Puts `with` in the place of a range. A label that is changed by it is letters from then on.
    pub(super) fn replace(&mut self, range: Range<usize>, with: &Self) {
        let moved = |label: &Label, by: usize| Label {
            range: label.range.start + by - range.end..label.range.end + by - range.end,
            paste: label.paste,
        };
        let before = self.labels.iter().filter(|label| label.range.end <= range.start).cloned();
        let between = with.labels.iter().map(|label| Label {
            range: label.range.start + range.start..label.range.end + range.start,
            paste: label.paste,
        });
        let end = range.start + with.text.len();
        let after = self.labels.iter().filter(|label| label.range.start >= range.end).map(|label| moved(label, end));
        self.labels = before.chain(between).chain(after).collect();
        self.text.replace_range(range, &with.text);
    }

    /// A part of it, with the labels that stand whole in it.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        let inside = |label: &&Label| range.start <= label.range.start && label.range.end <= range.end;
        let labels = self.labels.iter().filter(inside).map(|label| Label {
            range: label.range.start - range.start..label.range.end - range.start,
            paste: label.paste,
        });
        Self { text: self.text[range.clone()].to_owned(), labels: labels.collect() }
    }

    /// Becomes `text`; labels stay where it is the same as before, at its beginning and its end.
    pub(super) fn change_to(&mut self, text: &str) {
        let same = self.text.char_indices().zip(text.char_indices()).find(|(old, new)| old.1 != new.1);
        let start = same.map_or(self.text.len().min(text.len()), |((at, _), _)| at);
        let (old, new) = (&self.text[start..], &text[start..]);
        let tail: usize =
            old.chars().rev().zip(new.chars().rev()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
        self.replace(start..self.text.len() - tail, &text[start..text.len() - tail].into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        let mut draft = Draft::from("a  b");
        draft.replace(2..2, &Draft::label("[x]", 7));
        draft
    }

    fn ranges(draft: &Draft) -> Vec<(usize, usize)> {
        draft.labels().iter().map(|label| (label.range.start, label.range.end)).collect()
    }

    #[test]
    fn labels_go_with_the_text_and_end_where_they_are_changed() {
        let mut moved = draft();
        moved.replace(0..1, &"äää".into());
        assert_eq!((moved.text(), ranges(&moved)), ("äää [x] b", vec![(7, 10)]));
        let mut typed_beside = draft();
        typed_beside.replace(2..2, &"!".into());
        typed_beside.replace(6..6, &"?".into());
        assert_eq!((typed_beside.text(), ranges(&typed_beside)), ("a ![x]? b", vec![(3, 6)]));
        let mut changed = draft();
        changed.replace(3..3, &"y".into());
        assert_eq!((changed.text(), ranges(&changed)), ("a [yx] b", vec![]));
    }

    #[test]
    fn a_part_has_the_labels_that_are_whole_in_it() {
        assert_eq!(ranges(&draft().slice(2..6)), [(0, 3)]);
        assert_eq!(ranges(&draft().slice(3..6)), []);
    }

    #[test]
    fn a_completed_text_keeps_its_labels() {
        let mut draft = draft();
        draft.change_to("a [x] bcd");
        assert_eq!(ranges(&draft), [(2, 5)]);
        draft.change_to("à [x] bcd");
        assert_eq!(ranges(&draft), [(3, 6)]);
        draft.change_to("");
        assert_eq!((draft.text(), ranges(&draft)), ("", vec![]));
    }
}
