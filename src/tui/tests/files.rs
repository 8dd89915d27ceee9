//! Files that are named in messages and in the arguments of commands.

use super::stage::Stage;
use crate::worker::fake::{FakeWorker, Step};

fn stage() -> Stage {
    let script = FakeWorker::new().reply([Step::text("Yes.")]).reply([Step::text("No.")]);
    let mut stage = Stage::new(100, 30, script);
    for (path, text) in [
        ("notes.txt", "river\n"),
        ("my plan.md", "plan"),
        ("src/main.rs", "fn main() {}\n"),
        ("src/mod.rs", ""),
        (".hidden", "secret"),
        ("picture.png", "\0"),
    ] {
        stage.memory.files.insert(path.to_owned(), text.to_owned());
    }
    stage
}

#[test]
fn a_name_after_an_at_sign_is_completed_folder_by_folder() {
    let mut stage = stage();
    stage.keys("see @");
    let shown = stage.draw();
    assert!(shown.contains("▸ my plan.md") && shown.contains("  notes.txt") && shown.contains("  src/"), "{shown}");
    assert!(!shown.contains(".hidden"), "{shown}");
    stage.keys("S<Tab>");
    assert_eq!(stage.screen.composer.text(), "see @src/");
    let shown = stage.draw();
    assert!(shown.contains("▸ main.rs") && shown.contains("  mod.rs"), "{shown}");
    stage.keys("m<Down><Enter>");
    assert_eq!(stage.screen.composer.text(), "see @src/mod.rs ");
    stage.keys("and @my<Enter>");
    assert_eq!(stage.screen.composer.text(), "see @src/mod.rs and @\"my plan.md\" ");
    stage.keys("@.h<Tab>");
    assert!(stage.screen.composer.text().ends_with("@.hidden "), "hidden ones when asked for");
    assert!(stage.app.generation().is_none());
}

#[test]
fn a_file_that_is_named_goes_with_the_message() {
    let mut stage = stage();
    stage.keys("What is in @notes.txt, @\"my plan.md\"? Ask @nobody.<Esc><Enter>");
    let whole = "What is in @notes.txt, @\"my plan.md\"? Ask @nobody.\n\nnotes.txt:\n```\nriver\n```\n\n\n\
                 my plan.md:\n```\nplan\n```\n";
    assert_eq!(stage.question(), whole);
    assert_eq!(stage.app.session().title, "What is in @notes.txt, @\"my plan.md\"? Ask @nobody.");
    stage.keys("<Up>");
    assert_eq!(stage.screen.composer.text(), "What is in @notes.txt, @\"my plan.md\"? Ask @nobody.");
    // In other words, with the file as it is now, and with one that is gone.
    stage.memory.files.insert("notes.txt".to_owned(), "lake\n".to_owned());
    stage.memory.files.remove("my plan.md");
    stage.keys("<Ctrl-C>/edit<Enter>!<Enter>");
    let edited = stage.question();
    assert!(edited.contains("nobody.!\n\nnotes.txt:\n```\nlake\n```"), "{edited}");
    assert!(edited.contains("my plan.md:\n```\nplan\n```"), "what was attached stays: {edited}");
    assert_eq!(edited.matches("notes.txt:").count(), 1, "{edited}");
}

#[test]
fn what_cannot_be_attached_is_told_and_the_message_stays() {
    let mut stage = stage();
    stage.keys("Look at @picture.png<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("cannot read picture.png: it is not a text file"), "{shown}");
    assert_eq!(stage.screen.composer.text(), "Look at @picture.png");
    stage.keys("<Ctrl-C>");
    stage.memory.files.insert("big.txt".to_owned(), "x".repeat(1 << 20));
    stage.keys("Read @big.txt<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("big.txt has 1048576 bytes") && shown.contains("> Read @big.txt"), "{shown}");
    assert!(stage.app.transcript().nodes().is_empty());
}

#[test]
fn the_arguments_of_commands_are_completed_with_files() {
    let mut stage = stage();
    stage.memory.files.insert("chat.json".to_owned(), String::new());
    stage.keys("/read src/ma<Tab>");
    assert_eq!(stage.screen.composer.text(), "/read src/main.rs");
    stage.keys("<Ctrl-C>/import ");
    let shown = stage.draw();
    assert!(shown.contains("chat.json") && shown.contains("src/") && !shown.contains("notes.txt"), "{shown}");
    stage.keys("<Ctrl-C>/read my<Tab><Enter>");
    assert!(stage.screen.composer.text().contains("plan.md:\n```\nplan"), "spaces need no quotes there");
}
