use super::*;
use crate::worker::protocol::Steer;
use crate::worker::protocol::{LoadParams, ModelPlace};

fn generate(id: u64) -> EngineCommand {
    EngineCommand::Generate {
        id: RequestId(id),
        prompt: Prompt::Raw("a prompt".into()),
        params: GenerationParams::default(),
    }
}

/// Events up to and including the closing one.
fn events_of_request(worker: &WorkerHandle) -> Vec<EngineEvent> {
    let mut events = Vec::new();
    while let Ok(event) = worker.events().recv_timeout(PATIENCE) {
        let last = event.is_closing() || event.request().is_none();
        events.push(event);
        if last {
            break;
        }
    }
    events
}

fn spoken(events: &[EngineEvent]) -> String {
    events
        .iter()
        .filter_map(|event| match event {
            EngineEvent::Token { trace, .. } => Some(trace.text.as_str()),
            _ => None,
        })
        .collect()
}

#[test]
fn speaks_its_text_word_by_word_and_closes_once() {
    let (worker, control) = FakeWorker::new().reply([Step::text("It is Paris,  of course.\n")]).spawn();
    worker.send(generate(1));
    let events = events_of_request(&worker);
    assert_eq!(spoken(&events), "It is Paris,  of course.\n");
    assert_eq!(events.len(), 6 + 1, "five words, a line end and the closing event: {events:?}");
    let Some(EngineEvent::Finished { reason: FinishReason::EndOfTurn, stats, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(stats.completion_tokens, 6);
    assert!(matches!(control.next_command(), Some(EngineCommand::Generate { id: RequestId(1), .. })));
}

#[test]
fn a_held_reply_can_be_changed_and_cancelled() {
    let (worker, control) = FakeWorker::new().reply([Step::text("one"), Step::Hold, Step::text(" two")]).spawn();
    worker.send(generate(1));
    assert!(matches!(control.next_command(), Some(EngineCommand::Generate { .. })));
    let first = worker.events().recv_timeout(PATIENCE).unwrap();
    assert_eq!(spoken(&[first]), "one");
    let sampling = SamplingParams { temperature: 0.1, ..SamplingParams::default() };
    worker.send(EngineCommand::SetSampling { id: RequestId(1), sampling: sampling.clone(), open: vec![] });
    assert!(matches!(control.next_command(), Some(EngineCommand::SetSampling { .. })));
    worker.send(EngineCommand::Cancel { id: RequestId(1) });
    let events = events_of_request(&worker);
    assert_eq!(spoken(&events), "", "it is held");
    let Some(EngineEvent::Finished { reason: FinishReason::Cancelled, stats, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!(stats.sampling_log.last(), Some(&(1, sampling)));
}

#[test]
fn released_it_goes_on_and_later_commands_wait_their_turn() {
    let (worker, control) = FakeWorker::new().reply([Step::Hold, Step::text("done")]).spawn();
    worker.send(generate(1));
    worker.send(EngineCommand::Score { id: RequestId(2), text: String::new() });
    control.release();
    let events = events_of_request(&worker);
    assert!(events.iter().all(|event| event.request() == Some(RequestId(1))), "{events:?}");
    assert!(matches!(events_of_request(&worker)[..], [EngineEvent::Scored { id: RequestId(2), .. }]));
}

#[test]
fn fails_dies_and_refuses_to_load_as_told() {
    let (worker, _control) = FakeWorker::new()
        .load(Err("no such file".into()))
        .reply([Step::Fail("out of luck".into())])
        .reply([Step::Die("the end".into())])
        .spawn();
    worker.send(EngineCommand::Load {
        id: RequestId(1),
        place: ModelPlace::Path("x.gguf".into()),
        params: LoadParams::default(),
    });
    worker.send(generate(2));
    worker.send(generate(3));
    assert!(matches!(events_of_request(&worker)[..], [EngineEvent::Failed { id: RequestId(1), .. }]));
    assert!(matches!(events_of_request(&worker)[..], [EngineEvent::Failed { id: RequestId(2), .. }]));
    assert!(matches!(events_of_request(&worker)[..], [EngineEvent::WorkerDied { .. }]));
    assert!(worker.events().recv_timeout(PATIENCE).is_err(), "nothing follows the death");
}

#[test]
fn a_paused_reply_waits_for_steps_and_is_cancelled_at_once() {
    let (worker, _control) = FakeWorker::new().reply([Step::text("one two three")]).spawn();
    let id = RequestId(1);
    let params = GenerationParams { stepping: Stepping::FromStart, ..GenerationParams::default() };
    worker.send(EngineCommand::Generate { id, prompt: Prompt::Raw("a prompt".into()), params });
    for steer in [Steer::Draw, Steer::Pick(1), Steer::TakeBack, Steer::Draw] {
        worker.send(EngineCommand::Steer { id, steer });
    }
    let mut events = Vec::new();
    while events.iter().filter(|event| matches!(event, EngineEvent::Paused { .. })).count() < 5 {
        events.push(worker.events().recv_timeout(PATIENCE).unwrap());
    }
    assert_eq!(spoken(&events), "one river two");
    assert!(events.iter().any(|event| matches!(event, EngineEvent::TakenBack { tokens: 1, .. })), "{events:?}");
    worker.send(EngineCommand::Cancel { id });
    let rest = events_of_request(&worker);
    let [EngineEvent::Finished { reason: FinishReason::Cancelled, stats, .. }] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!(stats.completion_tokens, 2);
}

#[test]
fn variants_speak_a_word_each_in_turn_and_one_event_closes_them() {
    let scripts = [vec![Step::text("one two")], vec![Step::text("one"), Step::Finish(FinishReason::Length)]];
    let (worker, _control) = FakeWorker::new().variants(scripts).spawn();
    let (prompt, variants) = (Prompt::Raw("a prompt".into()), vec![GenerationParams::default(); 2]);
    worker.send(EngineCommand::Compare { id: RequestId(1), prompt, variants });
    let events = events_of_request(&worker);
    let emitted: Vec<String> = events
        .iter()
        .filter_map(|event| match event {
            EngineEvent::VariantToken { variant, trace, .. } => Some(format!("{variant}{}", trace.text)),
            EngineEvent::VariantFinished { variant, reason, .. } => Some(format!("{variant} {}", reason.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(emitted, ["0one", "1one", "0 two", "1 length", "0 stop"]);
    assert!(matches!(events.last(), Some(EngineEvent::Compared { .. })));
}
