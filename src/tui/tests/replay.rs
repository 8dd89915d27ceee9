//! A reply is computed again; and what is stored of replies is seen after reopening.

use super::stage::Stage;
use crate::store::{SessionId, SessionRecord, StoreOp};
use crate::worker::fake::{FakeWorker, Step};
use crate::worker::protocol::{EngineCommand, EngineEvent};

fn answered(script: FakeWorker) -> Stage {
    let mut stage = Stage::new(110, 30, script);
    stage.keys("Why?<Enter>");
    stage.pump_to_end();
    stage.asked();
    stage
}

fn say(text: &str) -> [Step; 1] {
    [Step::text(text)]
}

#[test]
fn a_reply_is_computed_again_and_compared() {
    let script = FakeWorker::new().reply(say("one two")).reply(say("one two")).reply(say("one two three"));
    let mut stage = answered(script);
    let before = stage.app.transcript().clone();
    stage.keys("/replay<Enter>");
    let asked = stage.asked();
    let replays =
        |command: &EngineCommand| matches!(command, EngineCommand::Generate { params, .. } if params.replay.is_some());
    assert!(asked.iter().any(replays), "{asked:?}");
    stage.keys("more<Enter>");
    assert!(stage.draw().contains("a replay is running: stop it first (Esc)"), "{}", stage.draw());
    stage.keys("<Ctrl-U>");
    stage.pump_to_end();
    assert!(stage.draw().contains("reply 1 is identical: 2 tokens"), "{}", stage.draw());
    stage.keys("/replay 1<Enter>");
    stage.pump_to_end();
    let shown = stage.draw();
    assert!(shown.contains("reply 1 differs after token 2 (after \"one two\"): it ended there, and goes"), "{shown}");
    assert_eq!(stage.app.transcript(), &before, "nothing is said by it");
    stage.keys("/replay x<Enter>");
    assert!(stage.draw().contains("/replay wants the number of a reply, not `x`"));
}

#[test]
fn esc_stops_a_replay() {
    let script = FakeWorker::new().reply(say("one two")).reply([Step::text("one"), Step::Hold, Step::text(" two")]);
    let mut stage = answered(script);
    stage.keys("/replay<Enter>");
    stage.pump(|event| matches!(event, EngineEvent::Token { .. }));
    stage.keys("<Esc>");
    stage.pump_to_end();
    assert!(stage.draw().contains("the replay was stopped"), "{}", stage.draw());
    assert!(stage.app.generation().is_none());
}

#[test]
fn what_a_reply_cost_is_seen_after_reopening() {
    let mut stage = answered(FakeWorker::new().reply(say("one two")));
    let footer = |stage: &mut Stage| {
        let shown = stage.draw();
        shown.lines().find(|line| line.contains(" tok · ") && line.contains("stop:")).map(str::to_owned)
    };
    let expected = footer(&mut stage).expect("a footer");
    let record: SessionRecord = stage
        .memory
        .stored
        .iter()
        .rev()
        .find_map(|op| if let StoreOp::PutSession(record) = op { Some(record.clone()) } else { None })
        .expect("it was stored");
    let made = stage.memory.stored.iter().rev().find_map(|op| match op {
        StoreOp::PutMessage { node, .. } => node.provenance.clone(),
        _ => None,
    });
    let made = made.expect("it says how it came to be");
    assert_eq!((made.model.name.as_str(), made.passages.len()), ("Sample-135M-Instruct", 1));
    assert_eq!(made.passages[0].machine.isa, "portable");
    let transcript = stage.app.transcript().clone();
    stage.memory.sessions = vec![(SessionRecord { id: SessionId(77), ..record }, transcript)];
    stage.keys("/new<Enter>");
    assert_eq!(footer(&mut stage), None);
    stage.keys("<Ctrl-O><Enter>");
    assert_eq!(stage.app.session().id, SessionId(77));
    assert_eq!(footer(&mut stage), Some(expected));
}
