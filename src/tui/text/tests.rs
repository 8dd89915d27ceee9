use ratatui::style::Color;

use super::*;

fn rows(text: &str, width: usize) -> Vec<String> {
    Wrapped::new(text, width).rows().iter().map(|row| row.text.trim_end().to_owned()).collect()
}

#[test]
fn rows_break_between_words_and_words_that_are_too_long_in_themselves() {
    assert_eq!(rows("the quick brown fox", 10), ["the quick", "brown fox"]);
    assert_eq!(rows("a abcdefghijkl b", 5), ["a", "abcde", "fghij", "kl b"]);
    assert_eq!(rows("one\n\ntwo\n", 10), ["one", "", "two", ""]);
    assert_eq!(rows("", 10), [""]);
    assert_eq!(rows("dos\r\nline", 10), ["dos", "line"]);
}

#[test]
fn wide_characters_marks_and_emoji_count_what_the_terminal_gives_them() {
    assert_eq!(rows("日本語日本語", 5), ["日本", "語日", "本語"]);
    assert_eq!(rows("e\u{301}e\u{301}e\u{301}", 2), ["e\u{301}e\u{301}", "e\u{301}"]);
    assert_eq!(rows("👩‍👩‍👧👩‍👩‍👧 x", 4), ["👩‍👩‍👧👩‍👩‍👧", "x"]);
    // Wider than the row: alone on its row, and never an endless loop.
    assert_eq!(rows("日a", 1), ["日", "a"]);
}

#[test]
fn control_characters_are_shown_and_tabs_expanded() {
    assert_eq!(rows("\x1b[2J\x07", 20), ["␛[2J␇"]);
    assert_eq!(rows("a\tb", 20), ["a   b"]);
    assert_eq!(rows("ab\rc", 20), ["ab␍c"]);
    assert_eq!(one_line("a\nb\x1bc"), "a b␛c");
}

#[test]
fn the_cursor_finds_its_place_and_back() {
    let text = "the quick brown\nfox";
    let wrapped = Wrapped::new(text, 10);
    assert_eq!(wrapped.position(text, 0), (0, 0));
    assert_eq!(wrapped.position(text, 10), (1, 0));
    assert_eq!(wrapped.position(text, 15), (1, 5));
    assert_eq!(wrapped.position(text, 16), (2, 0));
    assert_eq!(wrapped.position(text, text.len()), (2, 3));
    assert_eq!(wrapped.offset_at(text, 1, 2), 12);
    assert_eq!(wrapped.offset_at(text, 1, 99), 15);
    assert_eq!(wrapped.offset_at(text, 0, 99), 9, "not the start of the next row");
    assert_eq!(wrapped.offset_at(text, 9, 0), text.len());
}

#[test]
fn what_is_too_long_is_cut_with_a_mark() {
    assert_eq!(fit("abc", 3), "abc");
    assert_eq!(fit("abcd", 3), "ab…");
    assert_eq!(fit("日本語", 4), "日…");
    assert_eq!(fit("abc", 0), "");
}

/// Pieces that are awkward together: spaces, wide and zero-width characters, marks, joiners, controls, line feeds.
const PIECES: [&str; 22] = [
    "a",
    "word",
    "longerword",
    " ",
    "  ",
    "\n",
    "\t",
    "日",
    "本",
    "e\u{301}",
    "\u{301}",
    "👩‍👩‍👧",
    "🇩🇪",
    "\u{200d}",
    "\u{200b}",
    "\x1b",
    "\r",
    "\r\n",
    "\u{202e}",
    "ﾞ",
    "한",
    "-",
];

/// Texts made of the pieces, the same in every run.
fn texts() -> impl Iterator<Item = Vec<&'static str>> {
    let mut state = 1_u32;
    std::iter::repeat_with(move || {
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize
        };
        let length = draw() % 40;
        (0..length).map(|_| PIECES[draw() % PIECES.len()]).collect()
    })
}

#[test]
fn no_row_is_wider_than_the_screen_and_nothing_is_lost() {
    for (pieces, width) in texts().take(3000).zip((1..=30).cycle()) {
        let text = pieces.concat();
        let wrapped = Wrapped::new(&text, width);
        let mut at = 0;
        for row in wrapped.rows() {
            let between = &text[at..row.start];
            assert!(between.is_empty() || is_line_feed(between), "{text:?} at {width}: lost {between:?}");
            at = row.end;
            // A single grapheme can be wider than a very narrow screen.
            let shown = row.text.trim_end_matches(' ');
            let single = text[row.start..row.end].trim_end_matches([' ', '\t']).graphemes(true).count() <= 1;
            assert!(width_of(shown) <= width || single, "{text:?} at {width}: {shown:?}");
            assert!(!row.text.contains(char::is_control), "{:?}", row.text);
        }
        assert_eq!(at, text.len(), "{text:?} at {width}");
    }
}

#[test]
fn a_text_that_grows_is_broken_as_if_it_had_come_at_once() {
    for (pieces, width) in texts().take(2000).zip((1..=30).cycle()) {
        let mut text = String::new();
        let mut grown = Wrapped::new("", width);
        for piece in pieces {
            text.push_str(piece);
            grown.extend(&text, &[]);
        }
        assert_eq!(grown.rows(), Wrapped::new(&text, width).rows(), "{text:?} at {width}");
    }
}

const RED: Style = Style::new().fg(Color::Red);
const BLUE: Style = Style::new().fg(Color::Blue);

#[test]
fn styles_go_on_over_breaks_and_say_where_their_text_comes_from() {
    let text = "one two\tthree \x1b four";
    let spans = source_spans(text.len(), BLUE, [(4..9, RED)]);
    let wrapped = Wrapped::styled(text, &spans, 6);
    let rows: Vec<Vec<(Style, &str)>> =
        wrapped.rows().iter().map(|row| row.pieces().map(|(span, piece)| (span.style, piece)).collect()).collect();
    let wanted: [&[(Style, &str)]; 4] =
        [&[(BLUE, "one ")], &[(RED, "two ")], &[(RED, "t"), (BLUE, "hree ")], &[(BLUE, "␛"), (BLUE, " four")]];
    assert_eq!(rows, wanted);
    assert_eq!(wrapped.rows()[3].spans[0].origin, Origin::Whole(14, 15), "a picture stands for the whole of it");
    assert_eq!(wrapped.rows()[3].spans[1].origin, Origin::From(15));
}

#[test]
fn every_byte_of_a_source_is_told_by_the_spans_of_its_rows() {
    for (pieces, width) in texts().take(2000).zip((1..=30).cycle()) {
        let text = pieces.concat();
        let third = (0..=text.len() / 3).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        let wrapped = Wrapped::styled(&text, &source_spans(text.len(), BLUE, [(third..text.len(), RED)]), width);
        let mut spelled = String::new();
        for row in wrapped.rows() {
            spelled.push_str(&text[spelled.len()..row.start]);
            for (span, piece) in row.pieces() {
                match span.origin {
                    Origin::From(from) => spelled.push_str(&text[from..from + piece.len()]),
                    Origin::Whole(from, to) => spelled.push_str(&text[from..to]),
                    Origin::Drawn | Origin::As(_) => panic!("nothing was drawn beside it"),
                }
            }
        }
        assert_eq!(spelled, text, "{text:?} at {width}");
        assert_eq!(wrapped.rows().len(), Wrapped::new(&text, width).rows().len());
    }
}

#[test]
fn plain_lines_are_broken_as_those_that_are_measured() {
    const PLAIN: [&str; 6] = ["a", "word", "longerword", " ", "  ", "-"];
    let plain = texts().map(|pieces| pieces.iter().map(|piece| PLAIN[piece.len() % PLAIN.len()]).collect::<String>());
    for (text, width) in plain.take(3000).zip((1..=30).cycle()) {
        let broken = Wrapped::new(&text, width);
        // What follows takes the whole line the other way, and is a row of its own.
        let measured = Wrapped::new(&format!("{text}\t"), width);
        let rows = |wrapped: &Wrapped| -> Vec<String> {
            wrapped.rows().iter().map(|row| row.text.trim_end().to_owned()).collect()
        };
        assert_eq!(rows(&broken), rows(&measured), "{text:?} at {width}");
    }
}
