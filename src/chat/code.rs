//! The code in a text, as Markdown (CommonMark) has it: what the screen shows as code is what is copied.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// What of Markdown is understood beyond CommonMark, wherever a message is read as such.
pub const MARKDOWN: Options =
    Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH).union(Options::ENABLE_TASKLISTS);

/// The texts of the code blocks, fenced or indented, in order: without their fences, and without the marks of the list or
/// the quotation that they are part of. The last may have no end, as in a reply that was cut; one without any text is left
/// out.
pub fn code_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for event in Parser::new_ext(text, MARKDOWN) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => open = Some(String::new()),
            Event::Text(part) => open.iter_mut().for_each(|block| block.push_str(&part)),
            Event::End(TagEnd::CodeBlock) => blocks.extend(open.take().filter(|block| !block.trim().is_empty())),
            _ => {}
        }
    }
    blocks
}

/// Where the fenced code blocks are, with their fences.
pub(super) fn fenced_ranges(text: &str) -> Vec<Range<usize>> {
    let is_fenced = |event: &Event| matches!(event, Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))));
    ranges(text).filter(|(event, _)| is_fenced(event)).map(|(_, range)| range).collect()
}

/// Whether a text ends within a code block, or with one.
pub fn ends_with_code(text: &str) -> bool {
    let end = text.trim_end().len();
    ranges(text).any(|(event, range)| matches!(event, Event::Start(Tag::CodeBlock(_))) && range.end >= end)
}

fn ranges(text: &str) -> impl Iterator<Item = (Event<'_>, Range<usize>)> {
    Parser::new_ext(text, MARKDOWN).into_offset_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_blocks_are_found_as_markdown_has_them() {
        let none: [&str; 0] = [];
        for (text, wanted) in [
            ("a\n```rust\nx\n```\nb\n~~~\n```\n~~~\n```\nend", &["x\n", "```\n", "end"][..]),
            ("````markdown\n```rust\nx\n```\n````\nend", &["```rust\nx\n```\n"]),
            ("~~~~\na\n~~~\nb\n~~~~~\nend", &["a\n~~~\nb\n"]),
            ("```\na\n``` no end\nb\n```", &["a\n``` no end\nb\n"]),
            ("1. do\n   ```sh\n   ls\n     -l\n   ```\n2. or\n\n   ```\n   cd\n   ```", &["ls\n  -l\n", "cd\n"]),
            ("> ```\n> quoted\n>\n> twice\n> ```\nend", &["quoted\n\ntwice\n"]),
            ("> ```\n> quoted\nend", &["quoted\n"]),
            ("text:\n\n    fn f() {}\n\n    g()\n\nend", &["fn f() {}\n\ng()\n"]),
            ("```python title=\"a b\" {1,3}\nx\n```", &["x\n"]),
            ("``` a`b\nno fence\n", &none),
            ("```one line```", &none),
            ("none `here`", &none),
            ("```\nx\n```\n\n```rust\n", &["x\n"]),
            ("```\r\nx\r\ny\r\n```\r\n", &["x\ny\n"]),
            ("    ```\n    shown\n    ```", &["```\nshown\n```"]),
        ] {
            assert_eq!(code_blocks(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_text_ends_within_code_until_something_follows_it() {
        for open in
            ["```\na **b", "- ```\n  a **b", "````\n```\na **b", "> ~~~\n> a **b\n", "x\n\n    a **b", "```\na\n```"]
        {
            assert!(ends_with_code(open), "{open:?}");
        }
        for closed in ["", "`a", "```\na\n```\nb **c", "> ~~~\n> a\nb", "````\n```\n````\n**c"] {
            assert!(!ends_with_code(closed), "{closed:?}");
        }
    }
}
