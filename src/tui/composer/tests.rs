//! Writing, moving, selecting, undoing.

use super::*;

fn written(text: &str) -> Composer {
    let mut composer = Composer::default();
    for grapheme in text.graphemes(true) {
        composer.insert(grapheme);
    }
    composer
}

#[test]
fn a_grapheme_is_one_step_and_one_deletion() {
    let mut composer = written("ae\u{301}👩‍👩‍👧");
    composer.go(Motion::Left, false);
    composer.delete(Motion::Left);
    assert_eq!(composer.text(), "a👩‍👩‍👧");
    composer.delete(Motion::Right);
    assert_eq!(composer.text(), "a");
}

#[test]
fn words_and_lines_are_moved_over_and_deleted() {
    let mut composer = written("one two, three\nfour");
    composer.delete(Motion::WordLeft);
    assert_eq!(composer.text(), "one two, three\n");
    composer.delete(Motion::Left);
    composer.go(Motion::WordLeft, false);
    composer.delete(Motion::LineStart);
    assert_eq!(composer.text(), "three");
    composer.go(Motion::WordRight, false);
    assert_eq!(composer.cursor, 5);
    let mut composer = written("ab\ncd");
    composer.go(Motion::LineStart, false);
    composer.go(Motion::Left, false);
    composer.delete(Motion::LineEnd);
    assert_eq!(composer.text(), "abcd", "at its end the line is joined with the next");
}

#[test]
fn undo_brings_back_what_was_cleared_and_typing_in_one_piece() {
    let mut composer = written("hello");
    composer.set("");
    composer.undo();
    assert_eq!(composer.text(), "hello");
    composer.undo();
    assert_eq!(composer.text(), "");
    composer.redo();
    composer.redo();
    assert_eq!(composer.text(), "");
    composer.undo();
    assert_eq!(composer.text(), "hello");
    assert_eq!(composer.cursor, 5);
}

#[test]
fn a_huge_paste_can_still_be_cleared_and_undone() {
    let mut composer = Composer::default();
    let paste = "x".repeat(UNDO_BYTES + 1);
    composer.insert(&paste);
    composer.insert("y");
    composer.set("");
    composer.undo();
    assert_eq!(composer.text().len(), paste.len() + 1);
    assert!(composer.undo.len() <= 2);
}

#[test]
fn up_and_down_keep_the_column_over_short_rows() {
    let mut composer = written("abcdef\nx\nghijkl");
    composer.wrap(20);
    composer.go(Motion::Left, false);
    assert!(composer.up(false));
    assert_eq!(composer.cursor, 8);
    assert!(composer.up(false));
    assert_eq!(composer.cursor, 5);
    assert!(!composer.up(false));
    assert!(composer.down(false) && composer.down(false));
    assert_eq!(composer.cursor, 14);
    assert!(!composer.down(false));
}

#[test]
fn the_history_gives_back_what_was_being_written() {
    let history = ["first".to_owned(), "second".to_owned()];
    let mut composer = written("draft");
    composer.history_back(&history);
    composer.history_back(&history);
    composer.history_back(&history);
    assert_eq!(composer.text(), "first");
    composer.history_forward(&history);
    assert_eq!(composer.text(), "second");
    composer.history_forward(&history);
    assert_eq!(composer.text(), "draft");
    composer.history_forward(&history);
    assert_eq!(composer.text(), "draft");
}

#[test]
fn what_is_selected_is_replaced_cut_copied_and_inserted_again() {
    let mut composer = written("one two three");
    composer.go(Motion::WordLeft, true);
    composer.insert("3");
    assert_eq!(composer.text(), "one two 3");
    composer.undo();
    assert_eq!(composer.text(), "one two three");
    composer.go(Motion::LineStart, false);
    composer.go(Motion::WordRight, true);
    assert_eq!(composer.copy().as_deref(), Some("one"));
    assert_eq!(composer.cut().as_deref(), Some("one"));
    assert_eq!(composer.text(), " two three");
    composer.go(Motion::LineEnd, false);
    composer.insert(" ");
    composer.yank();
    assert_eq!(composer.text(), " two three one");
    composer.select_all();
    composer.go(Motion::Left, false);
    assert_eq!((composer.cursor, composer.has_selection()), (0, false), "an arrow leaves the selection at its end");
    composer.select_all();
    composer.delete(Motion::Left);
    assert!(composer.is_empty() && composer.cut().is_none());
}

#[test]
fn what_is_cut_piece_by_piece_comes_back_as_one() {
    let mut composer = written("one two three");
    composer.kill(Motion::WordLeft);
    composer.kill(Motion::WordLeft);
    assert_eq!(composer.text(), "one ");
    composer.go(Motion::LineStart, false);
    composer.yank();
    assert_eq!(composer.text(), "two threeone ");
    composer.kill(Motion::LineEnd);
    composer.yank();
    assert_eq!(composer.text(), "two threeone ");
}

#[test]
fn a_large_paste_is_one_unit_that_is_sent_whole() {
    let mut composer = written("see ");
    let paste = "line\n".repeat(120);
    composer.paste(&paste);
    assert_eq!(composer.text(), "see [pasted text #1: 120 lines]");
    composer.insert("!");
    composer.go(Motion::Left, false);
    composer.go(Motion::Left, false);
    assert_eq!(composer.cursor, 4, "one step");
    composer.go(Motion::WordRight, false);
    assert_eq!(composer.cursor, composer.text().len() - 1);
    composer.delete(Motion::Left);
    assert_eq!(composer.text(), "see !");
    composer.undo();
    assert!(composer.unfold());
    assert_eq!(composer.text(), format!("see {paste}!"));
    assert!(!composer.unfold());
    composer.undo();
    assert_eq!(composer.full_text(), format!("see {paste}!"));
    let sent = composer.take();
    assert_eq!(sent, format!("see {paste}!"));
    composer.history_back(&[sent]);
    assert_eq!(composer.text(), "see [pasted text #1: 120 lines]!", "it is folded in the history too");
}

#[test]
fn a_label_that_is_typed_is_text() {
    let mut composer = written("");
    let paste = "line\n".repeat(30);
    composer.paste(&paste);
    let label = "[pasted text #1: 30 lines]";
    composer.insert(" is not ");
    label.chars().for_each(|letter| composer.insert(&letter.to_string()));
    assert_eq!(composer.text(), format!("{label} is not {label}"));
    assert_eq!(composer.full_text(), format!("{paste} is not {label}"));
    composer.select_all();
    composer.copy();
    composer.go(Motion::Right, false);
    composer.yank();
    assert_eq!(composer.full_text(), format!("{paste} is not {label}{paste} is not {label}"));
    let sent = composer.take();
    composer.insert(label);
    assert_eq!(composer.full_text(), label);
    composer.history_back(std::slice::from_ref(&sent));
    assert_eq!(composer.full_text(), sent);
}

#[test]
fn a_completion_leaves_the_paste_beside_it_folded() {
    let mut composer = written("");
    let paste = "line\n".repeat(30);
    composer.paste(&paste);
    composer.insert(" @no");
    let completed = format!("{}tes.md ", composer.text());
    composer.set_at(&completed, completed.len());
    assert_eq!(composer.full_text(), format!("{paste} @notes.md "));
}

#[test]
fn the_mouse_puts_the_cursor_and_selects() {
    let mut composer = written("hello\nworld");
    let area = Rect::new(3, 10, 20, 4);
    composer.draw(area, &mut Buffer::empty(Rect::new(0, 0, 40, 20)), Theme::new(true), "");
    assert!(composer.click(4, 11));
    assert_eq!(composer.cursor, 7);
    composer.drag(3 + 4, 10);
    assert_eq!(composer.copy().as_deref(), Some("o\nw"));
    assert!(composer.click(20, 13) && composer.cursor == 11, "below the text is its end");
    assert!(!composer.click(2, 10) && !composer.click(4, 14));
}
