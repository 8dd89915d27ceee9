//! What a text that is still coming would look like with its end: open emphasis is closed, a line that may become
//! anything is kept back.

use crate::chat::code::ends_with_code;

/// The part of a text in the making that can be shown: a last line of marks alone can still become a rule, a list, a
/// heading, a fence or the line under a table's head, and would jump.
pub(super) fn settled(source: &str) -> &str {
    let start = source.rfind('\n').map_or(0, |at| at + 1);
    let last = source[start..].trim();
    let only_delimiters = !last.is_empty() && last.chars().all(|c| "`~-=*_#>+|: ".contains(c));
    if only_delimiters { &source[..start] } else { source }
}

/// How much of a block in the making to show, and what closes the emphasis that is open there.
pub(super) fn mend(block: &str) -> (usize, String) {
    let whole = (block.len(), String::new());
    if ends_with_code(block) {
        return whole;
    }
    let start = block.rfind('\n').map_or(0, |at| at + 1);
    let line = &block[start..];
    let open = Open::in_line(line);
    let keep = start + line[..open.keep].trim_end().len();
    if open.delimiters.is_empty() && open.keep == line.len() {
        whole
    } else {
        (keep, open.delimiters.iter().rev().map(String::as_str).collect())
    }
}

/// The marks that are open at the end of a line.
struct Open {
    delimiters: Vec<String>,
    /// How much of the line is not a mark that nothing follows yet.
    keep: usize,
}

impl Open {
    fn in_line(line: &str) -> Self {
        let mut open = Self { delimiters: Vec::new(), keep: line.len() };
        let mut at = 0;
        let mut before = ' ';
        while let Some(c) = line[at..].chars().next() {
            let run = line[at..].chars().take_while(|&next| next == c).count();
            match c {
                '\\' => {
                    let escaped = line[at + 1..].chars().next();
                    at += 1 + escaped.map_or(0, char::len_utf8);
                    before = '\\';
                    continue;
                }
                '`' => {
                    let fence = &line[at..at + run];
                    match line[at + run..].find(fence) {
                        Some(close) => at += run + close + run,
                        None if at + run == line.len() => {
                            open.keep = at;
                            return open;
                        }
                        None => {
                            open.delimiters.push(fence.to_owned());
                            return open;
                        }
                    }
                    before = '`';
                    continue;
                }
                '*' | '_' | '~' => open.run(line, at, run, c, before),
                _ => {}
            }
            let length = if matches!(c, '*' | '_' | '~') { run } else { c.len_utf8() };
            at += length;
            before = c;
        }
        open
    }

    /// A run of marks: closes what it can, and opens the rest where a word follows.
    fn run(&mut self, line: &str, at: usize, run: usize, delimiter: char, before: char) {
        let after = line[at + run..].chars().next();
        let mut left = run;
        while let Some(top) = self.delimiters.last().filter(|top| top.starts_with(delimiter) && top.len() <= left) {
            if before.is_whitespace() {
                break;
            }
            left -= top.len();
            self.delimiters.pop();
        }
        if left == 0 {
            return;
        }
        match after {
            None => self.keep = at + run - left,
            Some(after) if !after.is_whitespace() && !before.is_alphanumeric() => {
                if delimiter == '~' && left != 2 {
                    return;
                }
                while left > 0 {
                    let length = left.min(2);
                    self.delimiters.push(delimiter.to_string().repeat(length));
                    left -= length;
                }
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(block: &str) -> String {
        let (keep, closers) = mend(block);
        format!("{}{closers}", &block[..keep])
    }

    #[test]
    fn open_emphasis_is_closed_and_a_mark_that_nothing_follows_waits() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("a **bold", "a **bold**"),
            ("a **bold ", "a **bold**"),
            ("a **bold*", "a **bold**"),
            ("a **bold**", "a **bold**"),
            ("a **", "a"),
            ("*it and **bo", "*it and **bo***"),
            ("***both", "***both***"),
            ("~~gone", "~~gone~~"),
            ("`code", "`code`"),
            ("a `", "a"),
            ("`a` and **b", "`a` and **b**"),
            ("2 * 3", "2 * 3"),
            ("2*3", "2*3"),
            ("snake_case_name", "snake_case_name"),
            ("* item", "* item"),
            (r"\*not", r"\*not"),
            ("**done**\n- **bo", "**done**\n- **bo**"),
            ("```\na **b", "```\na **b"),
            ("- ```\n  a **b", "- ```\n  a **b"),
            ("````\n```\na **b", "````\n```\na **b"),
            ("~~~\n```\n~~~\na **b", "~~~\n```\n~~~\na **b**"),
            ("    a **b", "    a **b"),
            ("é **ü", "é **ü**"),
        ] {
            assert_eq!(mended(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_last_line_of_marks_alone_is_kept_back() {
        for (text, wanted) in [
            ("text\n-", "text\n"),
            ("text\n``", "text\n"),
            ("| a |\n|--", "| a |\n"),
            ("#", ""),
            ("text\n- a", "text\n- a"),
            ("---\n", "---\n"),
            ("", ""),
        ] {
            assert_eq!(settled(text), wanted);
        }
    }
}
