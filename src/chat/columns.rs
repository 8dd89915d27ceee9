//! Rows of lists, in columns as a terminal counts them.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::visible::one_line;

/// A text as a cell of `width` columns: on one line, filled with spaces, or cut at a whole character, with `…` where
/// something is missing.
pub fn cell(text: &str, width: usize) -> String {
    let text = one_line(text);
    if text.width() <= width {
        let spaces = " ".repeat(width - text.width());
        return text + &spaces;
    }
    let mut cut = String::new();
    for grapheme in text.graphemes(true) {
        if cut.width() + grapheme.width() >= width {
            break;
        }
        cut.push_str(grapheme);
    }
    let spaces = " ".repeat(width.saturating_sub(cut.width() + 1));
    cut + "…" + &spaces
}

/// Rows as lines, each column as wide as its widest cell.
pub fn lines<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| one_line(&row[column]).width()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(text, width)| cell(text, width)).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_as_wide_as_a_terminal_draws_them() {
        for text in
            ["plain", "日本語の題名", "e\u{301}te\u{301}", "👩‍👩‍👧 family", "a much longer title than fits", "one\ntwo\t3"]
        {
            assert_eq!(cell(text, 12).width(), 12, "{text:?}");
        }
        assert_eq!(cell("日本語の題名", 6), "日本… ");
        assert_eq!(cell("a\u{1b}[2Jb", 8), "a␛[2Jb  ");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [["名前", "x"], ["name", "y"], ["n", "z"]].map(|row| row.map(str::to_owned));
        assert_eq!(lines(&rows), ["名前  x", "name  y", "n     z"]);
    }
}
