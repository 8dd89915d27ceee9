//! A pull from a name to a model that is here, as a chat has it carried out in the background.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gibber_engine::FileType;
use gibber_engine::convert::Step;
use gibber_hub::{Cancel, HubError, Limits, PullEvent, Reference};

use super::jobs::Work;
use super::news::{FloatsWish, PullEnd, PullProgress, PullStep};
use super::quantized::check_kind;
use super::{Floats, Here, ModelHub, QuantizeError, time_text};
use crate::store::{ModelStores, Paths};

/// What all pulls of a chat have in common.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folders of this person.
    pub paths: Paths,
    /// Whether no hub is asked (`--offline`).
    pub is_offline: bool,
    /// Threads that quantize; 0 for the usual number.
    pub threads: usize,
}

/// What carries out pulls. The environment is read anew for each: a variable that was wrong is an error of that pull.
pub fn work(place: Place) -> Arc<Work> {
    Arc::new(move |name, floats, report, cancel| {
        let has_come = Cell::new(false);
        let report = |step: PullStep| {
            if let PullStep::Progress(progress) = &step {
                has_come.set(progress.done > 0);
            }
            report(step);
        };
        let pull = Pull { place: &place, name, floats, report: &report, cancel };
        let error = match pull.carry_out() {
            Ok(end) => return end,
            Err(QuantizeError::Hub(error)) => error,
            Err(error @ (QuantizeError::NoFloats { .. } | QuantizeError::ToFloats(_))) => {
                return PullEnd::Failed(error.to_string());
            }
            Err(error @ (QuantizeError::Engine(_) | QuantizeError::Folder { .. })) => {
                return PullEnd::Failed(format!("{error}; the floats are here: /model {name} loads them"));
            }
        };
        match error {
            HubError::Cancelled => PullEnd::Stopped,
            error @ (HubError::WrongHash { .. } | HubError::WrongSize { .. }) => PullEnd::Failed(error.to_string()),
            error if has_come.get() => {
                PullEnd::Failed(format!("{error}; what has come is kept: /pull {name} goes on with it"))
            }
            error => PullEnd::Failed(error.to_string()),
        }
    })
}

/// A pull that is carried out.
struct Pull<'a> {
    place: &'a Place,
    name: &'a str,
    floats: FloatsWish,
    report: &'a dyn Fn(PullStep),
    cancel: &'a Cancel,
}

impl Pull<'_> {
    fn carry_out(&self) -> Result<PullEnd, QuantizeError> {
        let Self { name, report, cancel, .. } = *self;
        if let FloatsWish::Quantize(Some(kind)) = self.floats {
            check_kind(kind)?;
        }
        let hub = ModelHub::new(&self.place.paths, self.place.is_offline)?.with_cancel(cancel);
        let reference = hub.reference(name)?;
        if let Some(path) = hub.find(name, &reference) {
            return self.found(&hub, &reference, path);
        }
        let offer = hub.offer(name, &reference)?;
        if let Some(why) = offer.cannot_run {
            return Ok(PullEnd::Failed(format!(
                "{name} is not pulled: {why}; `gibber pull {name} --yes` fetches it all the same"
            )));
        }
        report(PullStep::Chosen(offer.sentence.clone()));
        let proposed = offer.proposed();
        match (self.floats, proposed) {
            (FloatsWish::Keep, Some(kind)) => report(PullStep::Floats(kind)),
            (FloatsWish::Quantize(_), None) => {
                return Ok(PullEnd::Failed(format!("{name} is quantized already: /pull {name} gets it as it is")));
            }
            (FloatsWish::Keep, None) | (FloatsWish::Quantize(_), Some(_)) => {}
        }
        let Here { path, pulled, unnoted } =
            hub.pull(&offer, &Limits::default(), &|event| report_event(event, report), cancel)?;
        match (self.floats, proposed) {
            (FloatsWish::Quantize(kind), Some(proposed)) => {
                let is_new = pulled.bytes_fetched > 0;
                let floats = Floats { model: path, source: offer.ledger_source(), is_new };
                self.quantized(&hub, &floats, kind.unwrap_or(proposed), unnoted)
            }
            (FloatsWish::Keep, floats) | (FloatsWish::Quantize(_), floats @ None) => {
                Ok(PullEnd::Here { model: name_of(&path, &self.place.paths), note: unnoted, floats })
            }
        }
    }

    /// What was asked for is here already.
    fn found(&self, hub: &ModelHub, reference: &Reference, path: PathBuf) -> Result<PullEnd, QuantizeError> {
        match self.floats {
            FloatsWish::Keep => {
                Ok(PullEnd::Here { model: name_of(&path, &self.place.paths), note: None, floats: None })
            }
            FloatsWish::Quantize(kind) => {
                let (floats, proposed) = hub.floats_here(self.name, reference, path)?;
                self.quantized(hub, &floats, kind.unwrap_or(proposed), None)
            }
        }
    }

    fn quantized(
        &self,
        hub: &ModelHub,
        floats: &Floats,
        kind: FileType,
        unnoted: Option<String>,
    ) -> Result<PullEnd, QuantizeError> {
        let progress = |done, total| PullProgress { done, total, ..PullProgress::default() };
        let mut on_step = |step: &Step<'_>| {
            (self.report)(PullStep::Quantizing(kind, progress(step.done, step.total)));
            if self.cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        (self.report)(PullStep::Quantizing(kind, PullProgress::default()));
        let ControlFlow::Continue(made) = hub.quantize(floats, kind, self.place.threads, &mut on_step)? else {
            return Ok(PullEnd::Stopped);
        };
        let kept = format!("its floats stay here as well: `gibber models remove {}` deletes them", self.name);
        let notes: Vec<String> = made.said.into_iter().chain([kept]).chain(unnoted).chain(made.unnoted).collect();
        let model = name_of(&made.path, &self.place.paths);
        Ok(PullEnd::Here { model, note: Some(notes.join("\n")), floats: None })
    }
}

/// What a person sees of an event. That a file is whole shows in how far the pull is.
fn report_event(event: PullEvent, report: &dyn Fn(PullStep)) {
    let step = match event {
        PullEvent::Planned { total, here, .. } => {
            PullStep::Progress(PullProgress { done: here, total, ..PullProgress::default() })
        }
        PullEvent::Progress { done, total, bytes_per_second, seconds_left } => PullStep::Progress(PullProgress {
            done,
            total,
            bytes_per_second: Some(bytes_per_second).filter(|speed| *speed > 0.0),
            seconds_left: seconds_left.map(|seconds| seconds.ceil() as u64),
        }),
        PullEvent::Waiting { what, .. } => PullStep::Waiting(format!("waiting for {what}")),
        PullEvent::Retrying { reason, wait_seconds, .. } => {
            PullStep::Waiting(format!("{reason}: tried again in {}", time_text(wait_seconds.ceil() as u64)))
        }
        PullEvent::Verified { .. } | PullEvent::Done { .. } => return,
    };
    report(step);
}

/// What a model is called on this machine; its path where no name leads to it.
fn name_of(path: &Path, paths: &Paths) -> String {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let wanted = real(path);
    let found = ModelStores::new(paths).models().into_iter().find(|model| real(&model.path) == wanted);
    found.map_or_else(|| path.display().to_string(), |model| model.name)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn of(folder: &Path) -> Arc<Work> {
        work(Place { paths: Paths::at(folder), is_offline: true, threads: 1 })
    }

    #[test]
    fn a_person_sees_what_waits_and_how_far_it_is() {
        let steps = RefCell::new(Vec::new());
        let report = |event| report_event(event, &|step| steps.borrow_mut().push(step));
        report(PullEvent::Planned { files: 1, total: 100, here: 40 });
        report(PullEvent::Progress { done: 50, total: 100, bytes_per_second: 0.0, seconds_left: None });
        report(PullEvent::Progress { done: 60, total: 100, bytes_per_second: 20.0, seconds_left: Some(1.2) });
        let (path, reason) = ("model.gguf".to_owned(), "the server closed the connection".to_owned());
        report(PullEvent::Retrying { path: path.clone(), reason, attempt: 2, wait_seconds: 1.5 });
        report(PullEvent::Waiting { path: path.clone(), what: "another program".to_owned() });
        report(PullEvent::Done { path, bytes: 100 });
        let progress = |done, bytes_per_second, seconds_left| {
            PullStep::Progress(PullProgress { done, total: 100, bytes_per_second, seconds_left })
        };
        let expected = [
            progress(40, None, None),
            progress(50, None, None),
            progress(60, Some(20.0), Some(2)),
            PullStep::Waiting("the server closed the connection: tried again in 2 s".to_owned()),
            PullStep::Waiting("waiting for another program".to_owned()),
        ];
        assert_eq!(steps.into_inner(), expected);
    }

    #[test]
    fn a_name_that_cannot_be_is_a_failure() {
        let directory = tempfile::tempdir().unwrap();
        let end = of(directory.path())("../../etc", FloatsWish::Keep, &|_| {}, &Cancel::new());
        assert!(matches!(end, PullEnd::Failed(_)), "{end:?}");
    }

    #[test]
    fn floats_are_not_made_floats_on_arrival() {
        let directory = tempfile::tempdir().unwrap();
        let wish = FloatsWish::Quantize(Some(FileType::F16));
        let end = of(directory.path())("org/name", wish, &|_| {}, &Cancel::new());
        assert!(matches!(&end, PullEnd::Failed(error) if error.contains("would leave the weights floats")), "{end:?}");
    }

    #[test]
    fn a_model_is_called_by_its_name_where_it_has_one() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::at(directory.path());
        let folder = paths.model_folders().remove(0);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("small.gguf");
        std::fs::write(&file, "").unwrap();
        assert_eq!(name_of(&file, &paths), "small");
        assert_eq!(name_of(Path::new("/nowhere/x.gguf"), &paths), "/nowhere/x.gguf");
    }
}
