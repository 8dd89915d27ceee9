//! Files that are named in messages and in the arguments of commands.

use super::stage::Stage;
use crate::app::keymap::Context;
use crate::tui::screen::Request;
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, Prompt};

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
                 my plan.md:\n```\nplan\n```";
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

#[test]
fn a_long_file_is_a_line_in_the_conversation_until_it_is_unfolded() {
    let mut stage = stage();
    let long: String = (1..=40).map(|line| format!("row {line}\n")).collect();
    stage.memory.files.insert("long.txt".to_owned(), long.clone());
    stage.keys("Sum up @long.txt and @notes.txt<Enter>");
    let whole = stage.question();
    let shown = stage.draw();
    assert!(shown.contains("▸ long.txt · 40 lines · 271 bytes · Enter shows it once marked"), "{shown}");
    assert!(!shown.contains("row 1") && shown.contains("river"), "a short one stays as it is: {shown}");
    // Without a mark the key goes to the composer, as every other.
    stage.keys("<Tab><Tab><Enter>");
    assert_eq!(stage.screen.focus, Context::Composer);
    stage.keys("<Tab><Tab>[<Enter>");
    assert!(stage.draw().contains("! nothing is folded in this message"));
    stage.keys("[<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("┃Sum up") && shown.contains("row 20") && !shown.contains("▸ long.txt"), "{shown}");
    stage.keys("c<Space>");
    assert_eq!(stage.requests, [Request::Copy(whole.clone())], "what is copied is whole");
    assert!(stage.draw().contains("▸ long.txt") && !stage.draw().contains("row 20"));
    stage.keys("<Esc>/export chat.txt<Enter>");
    assert!(stage.memory.files["chat.txt"].contains(&long), "and so is what is exported");
}

#[test]
fn a_long_file_that_is_read_is_folded_while_one_writes_and_in_the_conversation() {
    let mut stage = stage();
    let long = "x\n".repeat(30);
    stage.memory.files.insert("src/long.rs".to_owned(), long.clone());
    stage.keys("/read src/long.rs<Enter>");
    assert_eq!(stage.screen.composer.text(), "[long.rs #1: 33 lines]\n");
    stage.keys("Explain<Enter>");
    assert_eq!(stage.question(), format!("long.rs:\n```\n{long}```\nExplain"));
    let shown = stage.draw();
    assert!(shown.contains("▸ long.rs · 30 lines · 60 bytes") && shown.contains("Explain"), "{shown}");
}

#[test]
fn the_question_of_a_comparison_has_its_files() {
    let variants = ["One.", "Two."].map(|text| vec![Step::text(text)]);
    let mut stage = Stage::new(100, 30, FakeWorker::new().variants(variants));
    stage.memory.files.insert("notes.txt".to_owned(), "river\n".to_owned());
    stage.memory.files.insert("picture.png".to_owned(), "\0".to_owned());
    stage.keys("/compare 2 -- See @picture.png<Esc><Enter>");
    assert!(stage.draw().contains("cannot read picture.png: it is not a text file"));
    assert_eq!(stage.screen.composer.text(), "/compare 2 -- See @picture.png");
    stage.keys("<Ctrl-C>/compare 2 -- See @no<Tab>");
    assert_eq!(stage.screen.composer.text(), "/compare 2 -- See @notes.txt ");
    stage.keys("<Enter>");
    let commands = stage.asked();
    let Some(EngineCommand::Compare { prompt: Prompt::Chat { messages, .. }, .. }) = commands.last() else {
        panic!("{commands:?}")
    };
    assert_eq!(messages.last().unwrap().content, "See @notes.txt\n\nnotes.txt:\n```\nriver\n```");
    assert_eq!(stage.app.session().title, "See @notes.txt");
}

#[test]
fn paths_with_spaces_are_quoted_and_home_is_a_folder() {
    let mut stage = stage();
    stage.memory.files.insert("my docs/a b.txt".to_owned(), "deep\n".to_owned());
    for path in ["\"my plan.md\"", "my\\ plan.md", "my plan.md", "'my plan.md'"] {
        stage.keys(&format!("/read {path}<Esc><Enter>"));
        assert_eq!(stage.screen.composer.text(), "my plan.md:\n```\nplan\n```\n", "{path}");
        stage.keys("<Ctrl-C>");
    }
    for begun in ["\"my d", "my\\ d", "my d", "my"] {
        stage.keys(&format!("/read {begun}<Tab>"));
        assert_eq!(stage.screen.composer.text(), "/read \"my docs/", "{begun}");
        stage.keys("<Tab>");
        assert_eq!(stage.screen.composer.text(), "/read \"my docs/a b.txt\"");
        stage.keys("<Enter>");
        assert!(stage.screen.composer.text().contains("deep"), "what Tab wrote can be read");
        stage.keys("<Ctrl-C>");
    }
    stage.memory.files.insert("~/letter.txt".to_owned(), "Dear\n".to_owned());
    stage.keys("/read ~<Tab>l<Tab>");
    assert_eq!(stage.screen.composer.text(), "/read ~/letter.txt");
    stage.keys("<Ctrl-C>@~<Tab><Tab>");
    assert_eq!(stage.screen.composer.text(), "@~/letter.txt ");
}

#[test]
fn a_chat_is_exported_under_its_own_name_and_nothing_is_overwritten() {
    let mut stage = stage();
    stage.keys("/export<Enter>");
    assert!(stage.draw().contains("this chat is empty: there is nothing to export"));
    stage.keys("Is it, really?<Enter>");
    stage.question();
    stage.keys("/export <Tab>");
    assert_eq!(stage.screen.composer.text(), "/export is-it-really.md");
    stage.keys("<Enter>/export<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("is-it-really.md is written") && shown.contains("is-it-really-2.md is written"), "{shown}");
    stage.keys("/export <Tab>");
    assert_eq!(stage.screen.composer.text(), "/export is-it-really-3.md", "a name that is free");
    stage.keys("<Ctrl-C>/export is-it-really.md<Enter>");
    assert!(stage.draw().contains("is-it-really.md is there already: choose another name"));
}
