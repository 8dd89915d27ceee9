//! What is said of models on their way, line by line: what they are, now and then how far, and how they end. A line a second
//! would be in the way of whoever types, and of a screen reader.

use std::time::{Duration, Instant};

use crate::app::{Pull, floats_hint, floats_question, floats_stay, here, stopped};
use crate::hub::news::{PullEnd, PullId, PullNews, PullStep};

/// Time between two lines of how far a pull is.
const INTERVAL: Duration = Duration::from_secs(10);

/// Of which pull it was said last how far it is, or that it has begun, and when.
#[derive(Debug, Default)]
pub(super) struct PullLines {
    last: Option<(PullId, Instant)>,
    /// Those that go on once their floats are here.
    going_on: Vec<PullId>,
    /// The one whose floats are being quantized.
    quantizing: Option<PullId>,
}

impl PullLines {
    /// How things stand while the next line is read.
    pub(super) fn follow(&mut self, pulls: &[Pull]) {
        self.going_on = pulls.iter().filter(|pull| pull.goes_on_with_floats()).map(|pull| pull.id).collect();
    }

    /// The line for what is new; `None` where it is not worth one.
    pub(super) fn line(&mut self, news: &PullNews, now: Instant) -> Option<String> {
        let name = &news.name;
        match &news.step {
            PullStep::Chosen(what) | PullStep::Waiting(what) => Some(format!("{name}: {what}")),
            PullStep::Floats(kind) => Some(floats_question(name, *kind)),
            PullStep::Progress(progress) => self.is_due(news.id, now).then(|| format!("{name}: {}", progress.line())),
            PullStep::Quantizing(kind, progress) => {
                self.quantizing = Some(news.id);
                self.is_due(news.id, now).then(|| format!("{name}: {} · quantized to {kind}", progress.line()))
            }
            PullStep::Ended(PullEnd::Here { floats: Some(_), .. }) if self.going_on.contains(&news.id) => None,
            PullStep::Ended(PullEnd::Here { note, floats, .. }) => {
                let more = note.clone().into_iter().chain(floats.map(floats_hint));
                Some(std::iter::once(here(name)).chain(more).collect::<Vec<_>>().join("\n"))
            }
            PullStep::Ended(PullEnd::Stopped) if self.quantizing == Some(news.id) => Some(floats_stay(name)),
            PullStep::Ended(PullEnd::Stopped) => Some(stopped(name, "")),
            PullStep::Ended(PullEnd::Failed(error)) => Some(format!("error: {error}")),
        }
    }

    /// Whether it is time for another line of a pull. Nothing is said where it begins: that was told.
    fn is_due(&mut self, id: PullId, now: Instant) -> bool {
        let before = self.last.filter(|(of, _)| *of == id).map(|(_, at)| at);
        let is_due = before.is_some_and(|at| now.duration_since(at) >= INTERVAL);
        if is_due || before.is_none() {
            self.last = Some((id, now));
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::news::PullProgress;

    #[test]
    fn how_far_a_pull_is_is_said_every_ten_seconds_and_its_end_at_once() {
        let (mut lines, start) = (PullLines::default(), Instant::now());
        let mut said = Vec::new();
        let mut tell = |id, step, seconds| {
            let news = PullNews { id: PullId(id), name: "tiny".to_owned(), step };
            said.extend(lines.line(&news, start + Duration::from_secs(seconds)));
        };
        let progress = |done| PullStep::Progress(PullProgress { done, total: 100_000_000, ..PullProgress::default() });
        for second in 0..25 {
            tell(1, progress(second * 1_000_000), second);
        }
        tell(1, PullStep::Ended(PullEnd::Stopped), 25);
        tell(2, progress(26_000_000), 26);
        tell(2, PullStep::Ended(PullEnd::Here { model: "tiny".to_owned(), note: None, floats: None }), 27);
        let expected = [
            "tiny: 10 % · 10 of 100 MB",
            "tiny: 20 % · 20 of 100 MB",
            "tiny is stopped; /pull tiny goes on with it",
            "tiny is here: /model tiny loads it",
        ];
        assert_eq!(said, expected);
    }
}
