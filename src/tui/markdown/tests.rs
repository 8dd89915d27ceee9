use ratatui::style::Modifier;

use super::*;
use crate::tui::text::{Origin, width_of};

fn page(width: usize) -> Page {
    highlight::prepare_now("rust");
    Page { width, theme: Theme::new(true), colors: 1 }
}

fn shown(source: &str, width: usize) -> Vec<String> {
    texts(&Markdown::new(source, false, page(width)))
}

fn texts(markdown: &Markdown) -> Vec<String> {
    markdown.rows().iter().map(|row| row.text.trim_end().to_owned()).collect()
}

const EVERYTHING: &str = "# Title\n\nA *first* paragraph with **bold**, ~~gone~~ and `code`, that is long enough to wrap.\n\
    Second line.\n\n- one\n- two with `x`\n  1. deep\n  2. deeper\n\n     after\n- [x] done\n- [ ] open\n\n\
    > quoted *text*\n>\n> - in a list\n\n| Name | Value |\n|:-----|------:|\n| `a` | 1 |\n| **b** | 22 |\n\n\
    ```rust\nfn main() {\n    println!(\"hi\"); // there\n}\n```\n\n---\n\nSee [the docs](https://example.org/x) or \
    <https://a.b>, and [it][Ref] or [ref].\n\n[ref]: https://c.d\n\n1. a\n\n2. b\n   ```\n   nested\n   ```\n\n## Two\nText right under\n\n<b>html</b>\n\n\
    Last\n===\n";

#[test]
fn a_text_that_grows_is_rendered_as_if_it_had_come_at_once() {
    for width in [24, 60] {
        for step in [1, 3, 7] {
            let mut grown = Markdown::new("", true, page(width));
            for end in (0..=EVERYTHING.len()).step_by(step).filter(|&end| EVERYTHING.is_char_boundary(end)) {
                grown.update(&EVERYTHING[..end], true, page(width));
                assert_eq!(texts(&grown), texts(&Markdown::new(&EVERYTHING[..end], true, page(width))), "{end}");
            }
            grown.update(EVERYTHING, false, page(width));
            assert_eq!(grown.rows(), Markdown::new(EVERYTHING, false, page(width)).rows());
        }
    }
}

#[test]
fn a_token_lays_out_the_last_block_alone() {
    let mut markdown = Markdown::new("", true, page(60));
    let text = "# One\n\nFirst paragraph.\n\n- a list\n\n```rust\nlet x = 1;\n```\n\nThe last of them";
    markdown.update(text, true, page(60));
    for word in [" goes", " on", " and", " on."] {
        let before = markdown.work();
        let longer = format!("{}{word}", markdown.source());
        markdown.update(&longer, true, page(60));
        assert_eq!(markdown.work(), before + 1, "{word}");
    }
    let before = markdown.work();
    let same = markdown.source().to_owned();
    markdown.update(&same, true, page(60));
    assert_eq!(markdown.work(), before, "nothing has changed");
}

#[test]
fn no_row_is_too_wide_and_no_word_is_lost() {
    for width in [1, 2, 5, 11, 16, 23, 30, 47, 80] {
        let rows = shown(EVERYTHING, width);
        for row in rows.iter().filter(|_| width >= 23) {
            assert!(width_of(row) <= width, "{width}: {row:?}");
        }
        let all: String = rows.concat().chars().filter(|c| c.is_alphanumeric()).collect();
        for word in ["Title", "bold", "deeper", "after", "22", "println", "exampleorgx", "httpscd", "nested", "html"] {
            assert!(width < 5 || all.contains(word), "{word} at {width}: {rows:?}");
        }
    }
}

#[test]
fn what_is_drawn_says_where_it_comes_from() {
    let markdown = Markdown::new(EVERYTHING, false, page(40));
    for row in markdown.rows() {
        for (span, piece) in row.pieces() {
            match span.origin {
                Origin::From(at) => assert_eq!(&EVERYTHING[at..at + piece.len()], piece),
                Origin::Whole(start, end) => assert!(EVERYTHING.get(start..end).is_some()),
                Origin::Drawn | Origin::As(_) => {}
            }
        }
    }
}

#[test]
fn styles_are_told_by_modifiers_too() {
    let markdown = Markdown::new("**b** *i* ~~s~~ `c`", false, page(40));
    let row = &markdown.rows()[0];
    let modifiers: Vec<(&str, Modifier)> = row.pieces().map(|(span, text)| (text, span.style.add_modifier)).collect();
    assert!(modifiers.contains(&("b", Modifier::BOLD)), "{modifiers:?}");
    assert!(modifiers.contains(&("i", Modifier::ITALIC)) && modifiers.contains(&("s", Modifier::CROSSED_OUT)));
    assert_eq!(row.text, "b i s `c`");
}

#[test]
fn unfinished_text_looks_like_what_it_will_be() {
    let streamed = |source: &str| texts(&Markdown::new(source, true, page(40)));
    assert_eq!(streamed("a **bo"), ["a bo"]);
    assert_eq!(streamed("a `co"), ["a `co`"]);
    assert_eq!(streamed("text\n-"), ["text"]);
    assert_eq!(streamed("```rust\nlet a"), ["┌ rust", "│ let a"]);
    assert_eq!(streamed("| a | b |\n|---|"), ["| a | b |"]);
    assert_eq!(streamed("| a | b |\n|---|---|\n| 1"), ["a │ b", "──┼──", "1 │"]);
    assert_eq!(shown("a **bo", 40), ["a **bo"], "as it is where no more comes");
}

#[test]
fn code_lines_wrap_under_their_indentation() {
    let rows = shown("```\n    let number = something(else);\n```", 24);
    assert_eq!(rows, ["│     let number =", "│     something(else);"]);
    let wide = shown("```\n日本語日本語日本語\n```", 18);
    assert_eq!(wide, ["│ 日本語日本語日本", "│ 語"]);
}

#[test]
fn tables_fit_their_columns_to_the_width() {
    let table = "| Name | What it is |\n|---|--:|\n| tea | a hot drink made of leaves |\n| 水 | water |\n";
    assert_eq!(
        shown(table, 60),
        [
            "Name │                 What it is",
            "─────┼───────────────────────────",
            "tea  │ a hot drink made of leaves",
            "水   │                      water"
        ]
    );
    let narrow = shown(table, 24);
    assert!(narrow.iter().all(|row| width_of(row) <= 24) && narrow[0].contains('│'), "{narrow:#?}");
    let fields = shown(table, 9);
    assert_eq!(fields[0], "Name: tea", "{fields:#?}");
}

#[test]
fn colours_come_once_they_may() {
    let code = "```rust\nfn main() {}\n```";
    let later = Page { colors: 0, ..page(40) };
    let mut markdown = Markdown::new(code, false, later);
    let styles = |markdown: &Markdown| markdown.rows()[1].spans.len();
    let before = styles(&markdown);
    markdown.update(code, false, page(40));
    assert!(styles(&markdown) > before);
}

#[test]
fn a_link_whose_address_comes_later_gets_it_then() {
    let text = "See [the docs][1], [Rust  Book][] and [one].\n\nMore, `a[0]` and [2].\n\n";
    let mut markdown = Markdown::new(text, true, page(80));
    assert_eq!(texts(&markdown)[0], "See [the docs][1], [Rust  Book][] and [one].");
    let with = format!("{text}[1]: https://a.b/c\n[rust book]: <https://d.e> \"Title\"\n[^2]: note\n\nEnd");
    let before = markdown.work();
    markdown.update(&with, true, page(80));
    let shown = texts(&markdown);
    assert_eq!(shown[0], "See the docs (https://a.b/c), Rust  Book (https://d.e) and [one].");
    assert_eq!(shown[2], "More, `a[0]` and [2].");
    assert!(shown.contains(&"[1]: https://a.b/c".to_owned()), "nothing is lost: {shown:#?}");
    assert_eq!(markdown.work(), before + 3, "the two blocks that are new, and the one that waited");
    assert_eq!(markdown.rows(), Markdown::new(&with, true, page(80)).rows());
}

#[test]
fn long_lines_html_and_footnotes_are_shown_at_every_width() {
    let word = "word ".repeat(800);
    let unbroken = "x".repeat(4000);
    let table =
        format!("| {} |\n|{}\n| {} |", ["head"; 12].join(" | "), "--|".repeat(12), ["a cell of text"; 12].join(" | "));
    let nested: String =
        (0..12).map(|depth| format!("{}- deep{depth} down in the list\n", "  ".repeat(depth))).collect();
    let samples = [
        word,
        unbroken.clone(),
        format!("```\n{unbroken}"),
        format!("```rust\nlet a = \"{unbroken}\";\n```"),
        table,
        nested,
        "<div class=\"a\">\n<b>text</b> in <i>html</i>\n</div>\n\n<!-- note -->\n\nA<br>B".to_owned(),
        "A claim.[^1]\n\n[^1]: The source of it.\n\n- [ ] open\n- [x] done\n  - [ ] within".to_owned(),
    ];
    for sample in &samples {
        for width in [40, 80, 120] {
            for streams in [false, true] {
                let markdown = Markdown::new(sample, streams, page(width));
                let rows = texts(&markdown);
                for row in &rows {
                    assert!(width_of(row) <= width, "{width}: {row:?}");
                }
                let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).count();
                let (written, seen) = (letters(sample), rows.iter().map(|row| letters(row)).sum::<usize>());
                assert!(seen + 3 >= written, "{width}: {rows:#?}");
            }
        }
    }
}
