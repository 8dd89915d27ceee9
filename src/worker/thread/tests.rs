//! What needs a fault inside the thread; the protocol's other promises are tested from outside, in `tests/protocol.rs`.

mod scores;

use super::*;
use crate::worker::protocol::{FinishReason, Prompt, Stepping};
use std::time::Duration;

fn sandbox() -> Sandbox {
    Sandbox::of_nothing()
}

/// A generation of this name meets a fault before its first token, one of the next name in its middle.
const FAULT_AT_ONCE: RequestId = RequestId(666);
const FAULT_ON_THE_WAY: RequestId = RequestId(667);

thread_local! {
    static ASKED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub(super) fn panic_on_demand(id: RequestId) {
    let asked = ASKED.replace(ASKED.get() + 1);
    if id == FAULT_AT_ONCE {
        panic!("as asked for");
    }
    if id == FAULT_ON_THE_WAY && asked > 8 {
        ASKED.set(0);
        panic!("in the middle");
    }
    if id.0 < FAULT_AT_ONCE.0 {
        ASKED.set(0);
    }
}

fn request(worker: &WorkerHandle, command: EngineCommand) -> Vec<EngineEvent> {
    let id = command.request();
    worker.send(command);
    let mut events = Vec::new();
    loop {
        let event = worker.events().recv_timeout(Duration::from_secs(60)).expect("an event");
        assert_eq!(event.request(), id, "{event:?}");
        let closing = event.is_closing();
        events.push(event);
        if closing {
            return events;
        }
    }
}

fn generate(id: RequestId) -> EngineCommand {
    let sampling = SamplingParams { seed: Some(1), ..SamplingParams::default() };
    EngineCommand::Generate {
        id,
        prompt: Prompt::Raw("Once upon a time".into()),
        params: GenerationParams { sampling, max_tokens: Some(20), ..GenerationParams::default() },
    }
}

/// Invariant 7, and 1 for a panic.
#[test]
fn a_panic_ends_its_request_with_an_error_and_the_next_one_is_served() {
    let worker = WorkerHandle::spawn(sandbox());
    let place = ModelPlace::Synthetic("tiny".into());
    let loaded = request(&worker, EngineCommand::Load { id: RequestId(1), place, params: LoadParams::default() });
    assert!(matches!(loaded.last(), Some(EngineEvent::Loaded { .. })), "{loaded:?}");
    let reply = |id| {
        let events = request(&worker, generate(RequestId(id)));
        let Some(EngineEvent::Finished { reason: FinishReason::Length, stats, .. }) = events.last() else {
            panic!("{events:?}")
        };
        let tokens = events.iter().filter_map(|event| match event {
            EngineEvent::Token { trace, .. } => Some(trace.token),
            _ => None,
        });
        (tokens.collect::<Vec<_>>(), stats.reused_tokens)
    };
    let (before, _) = reply(2);
    for (fault, said) in [(FAULT_AT_ONCE, "as asked for"), (FAULT_ON_THE_WAY, "in the middle")] {
        let events = request(&worker, generate(fault));
        let Some(EngineEvent::Failed { error, .. }) = events.last() else { panic!("{events:?}") };
        assert!(error.contains(said), "{error}");
        assert_eq!(reply(3), (before.clone(), 0), "the cache starts anew, and the reply is the same");
    }
}

/// Invariant 7 for a reply that is paused.
#[test]
fn a_panic_while_a_reply_is_paused_ends_it_with_an_error() {
    let worker = WorkerHandle::spawn(sandbox());
    let place = ModelPlace::Synthetic("tiny".into());
    request(&worker, EngineCommand::Load { id: RequestId(1), place, params: LoadParams::default() });
    let EngineCommand::Generate { id, prompt, mut params } = generate(FAULT_ON_THE_WAY) else { panic!() };
    params.stepping = Stepping::FromStart;
    // Each step asks once more whether to stop: the fault is met between two of them.
    let mut steers = vec![EngineCommand::Generate { id, prompt, params }];
    steers.extend((0..12).map(|_| EngineCommand::Steer { id, steer: Steer::Draw }));
    steers.into_iter().for_each(|command| worker.send(command));
    let events: Vec<_> = std::iter::from_fn(|| worker.events().recv_timeout(Duration::from_secs(60)).ok())
        .take_while(|event| !matches!(event, EngineEvent::Failed { .. }))
        .collect();
    assert!(events.iter().any(|event| matches!(event, EngineEvent::Paused { .. })), "{events:?}");
    assert!(matches!(request(&worker, generate(RequestId(3))).last(), Some(EngineEvent::Finished { .. })));
}

#[test]
fn a_fault_outside_a_request_is_told_before_the_thread_ends() {
    let (event_tx, events) = unbounded();
    std::thread::spawn(move || with_last_word(&event_tx, || panic!("out of the blue"))).join().unwrap();
    let EngineEvent::WorkerDied { error } = events.recv().unwrap() else { panic!("no last word") };
    assert!(error.contains("out of the blue"), "{error}");
    assert!(events.recv().is_err(), "nothing follows");
}
