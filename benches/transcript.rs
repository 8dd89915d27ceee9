//! What a long conversation costs on the screen: the first frame, a page of scrolling, a token more.
//!
//! `cargo bench --bench transcript`. 5,000 messages of Markdown at 120x36; a frame goes into memory, not to a terminal.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to say")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use gibber::app::{Action, App, Effect, Moment, SessionId, SessionRecord, Start};
use gibber::chat::{Message, MessageState, Role, Transcript};
use gibber::tui::bench::Stage;
use gibber::worker::WorkerHandle;
use gibber::worker::fake::{FakeWorker, Step};
use gibber::worker::protocol::EngineEvent;

const MESSAGES: usize = 5000;

const REPLY: &str = "## An answer\n\nThe short of it is **yes**, with `some_care`: the long paragraph that follows says \
    why, in words that are *broken* into rows, and names [a place](https://example.org/page) to read on.\n\n\
    1. First, look at the input\n2. Then at the output\n   - and at what lies between\n\n\
    ```rust\nfn main() {\n    let answer = 6 * 7; // as everybody knows\n    println!(\"{answer}\");\n}\n```\n\n\
    | Name | Value |\n|:-----|------:|\n| one | 1 |\n| two | 22 |\n\n> Nobody said it would be easy.\n\n\
    And a last paragraph, which ends what there is to say about the matter for now.";

fn conversation() -> Transcript {
    let mut transcript = Transcript::default();
    for at in 0..MESSAGES {
        let message = match at % 2 {
            0 => Message::new(Role::User, format!("Question {at}: what about it, and why?")),
            _ => Message::new(Role::Assistant, format!("Answer {at}.\n\n{REPLY}")),
        };
        transcript.append(message, MessageState::Complete);
    }
    transcript
}

fn app(transcript: Transcript) -> App {
    let record = SessionRecord {
        id: SessionId(1),
        title: "A long one".to_owned(),
        model: String::new(),
        system: String::new(),
        head: transcript.head(),
        created: 0,
        ..SessionRecord::default()
    };
    App::new(Start { session: Some((record, transcript)), ..Start::default() }, Moment::now())
}

fn stage() -> Stage {
    Stage::new(app(conversation()), 120, 36).expect("memory for a screen")
}

/// A stage on which a reply is running, and the tokens of that reply, which nobody has taken yet.
fn speaking() -> (Stage, Vec<EngineEvent>) {
    let mut app = app(conversation());
    let (worker, _control) = FakeWorker::new().reply([Step::text(REPLY.repeat(200))]).spawn();
    let effects = app.start().into_iter().chain(app.handle(Action::Enter("Go on".to_owned()), Moment::now()));
    submit(&worker, effects.collect());
    let events = std::iter::from_fn(|| worker.events().recv().ok().filter(|event| !event.is_closing()));
    let tokens = events.filter(|event| matches!(event, EngineEvent::Token { .. })).collect();
    (Stage::new(app, 120, 36).expect("memory for a screen"), tokens)
}

fn submit(worker: &WorkerHandle, effects: Vec<Effect>) {
    for effect in effects {
        if let Effect::Submit(command) = effect {
            worker.send(command);
        }
    }
}

fn open(criterion: &mut Criterion) {
    let transcript = conversation();
    criterion.bench_function("open", |bencher| {
        bencher.iter_batched(
            || app(transcript.clone()),
            |app| {
                let mut stage = Stage::new(app, 120, 36).expect("memory for a screen");
                stage.draw();
                stage
            },
            BatchSize::LargeInput,
        );
    });
}

fn scroll(criterion: &mut Criterion) {
    let mut stage = stage();
    (0..2).for_each(|_| stage.draw());
    let mut page = 0_usize;
    criterion.bench_function("page", |bencher| {
        bencher.iter(|| {
            // Up through the conversation, and from its end again.
            stage.press(if page % 2000 == 1999 { "Ctrl-End" } else { "PgUp" });
            stage.draw();
            page += 1;
        });
    });
    criterion.bench_function("idle frame", |bencher| bencher.iter(|| stage.draw()));
}

fn token(criterion: &mut Criterion) {
    let (mut stage, tokens) = speaking();
    (0..2).for_each(|_| stage.draw());
    let mut tokens = tokens.into_iter().cycle();
    criterion.bench_function("token", |bencher| {
        bencher.iter(|| {
            stage.event(tokens.next().expect("a token"));
            stage.draw();
        });
    });
}

criterion_group!(benches, open, scroll, token);
criterion_main!(benches);
