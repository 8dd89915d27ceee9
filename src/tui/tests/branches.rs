//! Messages said in other words, siblings walked, questions taken back and brought again, and replies begun for the model.

use super::stage::Stage;
use crate::app::Action;
use crate::chat::{MessageId, MessageState, Role};
use crate::worker::fake::{FakeWorker, Step, sample_model};
use crate::worker::protocol::{EngineCommand, FinishReason, Prompt};
use gibber_engine::load::ModelInfo;

/// A chat of two questions with answers `a1` and `a2`; more replies are `b1`, `b2`.
fn two_turns() -> Stage {
    let replies = ["a1", "a2", "b1", "b2"];
    let script = replies.into_iter().fold(FakeWorker::new(), |script, text| script.reply([Step::text(text)]));
    let mut stage = Stage::new(100, 30, script);
    for question in ["One", "Two"] {
        stage.keys(&format!("{question}<Enter>"));
        stage.pump_to_end();
    }
    stage.asked();
    stage
}

fn act(stage: &mut Stage, action: Action) {
    let now = crate::app::Moment::now();
    let effects = stage.app.handle(action, now);
    stage.carry_out(effects);
}

fn id_of(stage: &Stage, text: &str) -> MessageId {
    let nodes = stage.app.transcript().nodes();
    nodes.iter().find(|node| node.message.content == text).expect("such a message").id
}

fn path(stage: &Stage) -> Vec<String> {
    stage.app.transcript().path().iter().map(|node| node.message.content.clone()).collect()
}

fn prompts(stage: &Stage) -> Vec<Vec<String>> {
    let asked = stage.asked();
    let prompts = asked.into_iter().filter_map(|command| match command {
        EngineCommand::Generate { prompt: Prompt::Chat { messages, .. }, .. } => Some(messages),
        _ => None,
    });
    prompts.map(|messages| messages.into_iter().map(|message| message.content).collect()).collect()
}

#[test]
fn an_edit_that_is_left_changes_nothing_and_gives_the_draft_back() {
    let mut stage = two_turns();
    stage.keys("a draft");
    let question = id_of(&stage, "One");
    act(&mut stage, Action::EditMessage(question));
    let shown = stage.draw();
    assert!(shown.contains("> One") && shown.contains("editing a question") && shown.contains("Esc leaves"), "{shown}");
    assert!(shown.contains("you · being edited"), "{shown}");
    stage.keys(" changed<Esc>");
    assert_eq!(stage.screen.composer.text(), "a draft");
    assert_eq!(path(&stage), ["One", "a1", "Two", "a2"]);
    assert!(!stage.draw().contains("editing"));
    stage.keys("<Ctrl-Z>");
    assert_eq!(stage.screen.composer.text(), "One changed", "nothing that was written is lost");
    for leave in ["<Ctrl-C>", "<Ctrl-U><Enter>"] {
        act(&mut stage, Action::EditMessage(question));
        stage.keys(leave);
        assert!(stage.app.editing().is_none(), "{leave}");
        assert_eq!(path(&stage), ["One", "a1", "Two", "a2"], "{leave}");
    }
}

#[test]
fn an_earlier_question_in_other_words_is_a_sibling_and_the_draft_waits() {
    let mut stage = two_turns();
    stage.keys("a draft");
    let question = id_of(&stage, "One");
    act(&mut stage, Action::EditMessage(question));
    stage.keys(" more<Enter>");
    assert_eq!(stage.screen.composer.text(), "a draft");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["One more", "b1"]);
    assert_eq!(prompts(&stage), [["One more"]]);
    let edited = id_of(&stage, "One more");
    assert_eq!(stage.app.transcript().branch_position(edited), (2, 2));
    act(&mut stage, Action::SwitchBranchAt(edited, 1));
    assert_eq!(path(&stage), ["One", "a1", "Two", "a2"]);
}

#[test]
fn a_question_that_is_sent_as_it_was_is_answered_anew() {
    let mut stage = two_turns();
    stage.keys("/edit 1<Enter><Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["One", "b1"]);
    let answer = id_of(&stage, "b1");
    assert_eq!(stage.app.transcript().branch_position(answer), (2, 2));
}

#[test]
fn a_reply_in_other_words_is_what_the_model_goes_on_from() {
    let mut stage = two_turns();
    let reply = id_of(&stage, "a1");
    act(&mut stage, Action::EditMessage(reply));
    assert!(stage.draw().contains("editing a reply"));
    stage.keys(", or so<Enter>");
    assert!(stage.app.generation().is_none(), "nothing is asked");
    assert_eq!(path(&stage), ["One", "a1, or so"]);
    assert!(stage.draw().contains("/continue lets the model go on"));
    let edited = id_of(&stage, "a1, or so");
    assert_eq!(stage.app.transcript().node(edited).unwrap().state, MessageState::Complete);
    stage.keys("Next<Enter>");
    stage.pump_to_end();
    assert_eq!(prompts(&stage), [["One", "a1, or so", "Next"]]);
    stage.keys("/edit reply<Enter>!<Enter>/continue<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["One", "a1, or so", "Next", "b1!b2"]);
    assert_eq!(prompts(&stage), [["One", "a1, or so", "Next", "b1!"]]);
}

#[test]
fn a_message_that_begins_with_a_slash_is_edited_as_a_message() {
    let script = FakeWorker::new().reply([Step::text("a")]).reply([Step::text("b")]);
    let mut stage = Stage::new(100, 30, script);
    stage.keys("//etc is a folder<Enter>");
    stage.pump_to_end();
    stage.keys("/edit<Enter>");
    assert_eq!(stage.screen.composer.text(), "//etc is a folder");
    stage.keys("?<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["/etc is a folder?", "b"]);
    stage.keys("/undo<Enter>");
    assert_eq!(stage.screen.composer.text(), "//etc is a folder?");
}

#[test]
fn siblings_are_walked_at_any_message() {
    let mut stage = two_turns();
    stage.keys("/edit 1<Enter>!<Enter>");
    stage.pump_to_end();
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["One!", "b2"]);
    assert!(stage.draw().lines().next().unwrap().contains("branch 2/2"));
    stage.keys("/branch 1<Enter>");
    assert_eq!(path(&stage), ["One!", "b1"], "the last fork");
    stage.keys("/branch 1 1<Enter>");
    assert_eq!(path(&stage), ["One", "a1", "Two", "a2"], "the first question");
    stage.keys("/branch 3 1<Enter>");
    assert!(stage.draw().contains("/branch wants a number from 1 to 2"));
    let lonely = id_of(&stage, "a2");
    act(&mut stage, Action::SwitchBranchAt(lonely, 1));
    assert!(stage.draw().contains("no other versions"));
}

#[test]
fn what_was_taken_back_comes_again() {
    let mut stage = two_turns();
    stage.keys("/undo<Enter>");
    assert!(stage.draw().contains("/redo brings it again"));
    stage.keys("<Ctrl-C>/undo<Enter><Ctrl-C>");
    assert!(path(&stage).is_empty());
    stage.keys("/redo<Enter>");
    assert_eq!(path(&stage), ["One", "a1"]);
    stage.keys("/redo<Enter>");
    assert_eq!(path(&stage), ["One", "a1", "Two", "a2"]);
    stage.keys("/redo<Enter>");
    assert!(stage.draw().contains("nothing was taken back"));
    stage.keys("/undo<Enter><End>!<Enter>");
    stage.pump_to_end();
    stage.keys("/redo<Enter>");
    assert_eq!(path(&stage), ["One", "a1", "Two!", "b1"], "what is said since stays");
}

#[test]
fn the_first_words_of_a_reply_are_given() {
    let mut stage = two_turns();
    stage.keys("/begin Sure,<Enter>");
    assert!(stage.draw().contains("the next reply begins: Sure,"), "{}", stage.draw());
    stage.keys("Three<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage)[4..], ["Three", "Sure,b1"]);
    assert_eq!(prompts(&stage)[0][4..], ["Three", "Sure,"], "the model goes on from them");
    let reply = stage.app.transcript().head_node().unwrap();
    assert_eq!((reply.message.role, reply.state), (Role::Assistant, MessageState::Complete));
    assert!(stage.app.begin().is_none(), "for one reply");
    stage.keys("/prefill No<Enter>/regen<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage)[4..], ["Three", "Nob2"]);
    stage.keys("/begin x<Enter>/begin -<Enter>");
    assert!(stage.app.begin().is_none());
}

#[test]
fn a_question_that_waits_is_answered_at_once_from_the_given_words() {
    let script = FakeWorker::new().reply([Step::Hold]).reply([Step::text(" it is.")]);
    let mut stage = Stage::new(100, 30, script);
    stage.keys("Question<Enter>");
    stage.asked();
    stage.keys("<Esc>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["Question"]);
    stage.keys("/begin Yes,<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["Question", "Yes, it is."]);
}

#[test]
fn what_is_typed_takes_the_place_of_a_text_that_was_given_back() {
    let mut stage = two_turns();
    stage.keys("/undo<Enter>");
    assert_eq!(stage.screen.composer.text(), "Two");
    stage.keys("/redo<Enter>");
    assert_eq!(path(&stage), ["One", "a1", "Two", "a2"]);
    assert!(stage.app.generation().is_none(), "nothing was said to the model");
    // Also one that nobody has taken back: it could not be done.
    stage.keys("/undoo<Enter>/undo<Enter><Right>?<Enter>");
    stage.pump_to_end();
    assert_eq!(path(&stage), ["One", "a1", "Two?", "b1"], "an arrow goes to its end");
}

/// The candidates in the panel: rows of what was cut, and of what was not.
fn panel(stage: &mut Stage) -> (bool, bool) {
    let shown = stage.draw();
    (shown.contains("kept 100.0 %"), shown.contains("top-k ░"))
}

#[test]
fn the_next_token_is_that_of_the_reply_on_screen() {
    let script = FakeWorker::new().reply([Step::text("a1")]).reply([Step::text("a2 and more")]);
    let mut stage = Stage::new(120, 30, script);
    stage.keys("One<Enter>");
    stage.pump_to_end();
    stage.keys("/top-k 2<Enter>");
    stage.pump_to_end();
    assert_eq!(panel(&mut stage), (false, true), "reshaped");
    stage.keys("/regen<Enter>");
    stage.pump_to_end();
    assert_eq!(panel(&mut stage), (false, true));
    stage.keys("/top-k 1<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("kept 60.0 %"));
    let asked = |stage: &Stage| {
        let last = |command| match command {
            EngineCommand::Preview { of, sampling, .. } => Some((of, sampling.top_k)),
            _ => None,
        };
        stage.asked().into_iter().filter_map(last).next_back()
    };
    let second = asked(&stage).expect("a preview").0;
    act(&mut stage, Action::SwitchBranch(-1));
    let shown = stage.draw();
    assert!(shown.contains("kept 100.0 %"), "as it was drawn, not as filters before those in force have it: {shown}");
    stage.keys("/top-k 3<Enter>");
    stage.pump_to_end();
    assert_eq!(panel(&mut stage), (true, false));
    let (first, top_k) = asked(&stage).expect("a preview");
    assert!(first != second && top_k == 3, "{first:?}");
    act(&mut stage, Action::SwitchBranch(1));
    assert!(stage.draw().contains("kept 90.0 %"), "{}", stage.draw());
    // Words of one's own were drawn from nothing.
    stage.keys("/edit reply<Enter>!<Enter>");
    assert!(stage.draw().contains("shown while it speaks"), "{}", stage.draw());
    stage.asked_nothing();
    stage.keys("/top-k 4<Enter>");
    stage.asked_nothing();
}

#[test]
fn a_reply_keeps_the_model_that_wrote_it() {
    let other = ModelInfo { name: "Other-1B".to_owned(), ..sample_model() };
    let script = FakeWorker::new()
        .load(Ok(sample_model()))
        .reply([Step::text("one"), Step::Finish(FinishReason::Length)])
        .load(Ok(other))
        .reply([Step::text("two")])
        .reply([Step::text(" more")]);
    let mut stage = Stage::new(100, 40, script);
    stage.keys("Q<Enter>");
    stage.pump_to_end();
    stage.keys("/model other<Enter>");
    stage.pump_to_end();
    stage.keys("R<Enter>");
    stage.pump_to_end();
    let heading = |shown: &str, name: &str| shown.lines().filter(|line| line.contains(name)).count();
    let shown = stage.draw();
    // In the second one's case in the title and in the note too.
    assert_eq!((heading(&shown, "Sample-135M-Instruct"), heading(&shown, "Other-1B")), (1, 3), "{shown}");
    stage.keys("<Ctrl-T><Shift-Tab><Shift-Tab>");
    assert!(stage.draw().contains("Token 1 of 1 · Sample-135M-Instruct"), "{}", stage.draw());
    stage.keys("<Esc>/undo<Enter>/continue<Enter>");
    stage.pump_to_end();
    assert!(stage.draw().contains("Sample-135M-Instruct + Other-1B"), "both wrote it: {}", stage.draw());
}
