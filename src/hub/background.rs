//! A pull from a name to a model that is here, as a chat has it carried out in the background.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use gibber_hub::{Cancel, HubError, Limits, PullEvent};

use super::jobs::Work;
use super::news::{PullEnd, PullProgress, PullStep};
use super::{Here, ModelHub, time_text};
use crate::store::{ModelStores, Paths};

/// What carries out pulls, with the folders of this person; `is_offline` says that no hub is asked (`--offline`). The environment is read anew for each: a variable that was
/// wrong is an error of that pull.
pub fn work(paths: Paths, is_offline: bool) -> Arc<Work> {
    Arc::new(move |name, report, cancel| {
        let has_come = Cell::new(false);
        let report = |step: PullStep| {
            if let PullStep::Progress(progress) = &step {
                has_come.set(progress.done > 0);
            }
            report(step);
        };
        match pull(&paths, is_offline, name, &report, cancel) {
            Ok(end) => end,
            Err(HubError::Cancelled) => PullEnd::Stopped,
            Err(error @ (HubError::WrongHash { .. } | HubError::WrongSize { .. })) => {
                PullEnd::Failed(error.to_string())
            }
            Err(error) if has_come.get() => {
                PullEnd::Failed(format!("{error}; what has come is kept: /pull {name} goes on with it"))
            }
            Err(error) => PullEnd::Failed(error.to_string()),
        }
    })
}

fn pull(
    paths: &Paths,
    is_offline: bool,
    name: &str,
    report: &dyn Fn(PullStep),
    cancel: &Cancel,
) -> gibber_hub::Result<PullEnd> {
    let hub = ModelHub::new(paths, is_offline)?.with_cancel(cancel);
    let reference = hub.reference(name)?;
    if let Some(path) = hub.find(name, &reference) {
        return Ok(PullEnd::Here { model: name_of(&path, paths), note: None });
    }
    let offer = hub.offer(name, &reference)?;
    if let Some(why) = offer.cannot_run {
        return Ok(PullEnd::Failed(format!(
            "{name} is not pulled: {why}; `gibber pull {name} --yes` fetches it all the same"
        )));
    }
    report(PullStep::Chosen(offer.sentence.clone()));
    let Here { path, unnoted, .. } =
        hub.pull(&offer, &Limits::default(), &|event| report_event(event, report), cancel)?;
    let model = name_of(&path, paths);
    let floats = offer
        .is_floats
        .then(|| format!("its weights are floats: `gibber pull {name} --quantize q8_0` makes a faster one of it"));
    let notes: Vec<String> = unnoted.into_iter().chain(floats).collect();
    Ok(PullEnd::Here { model, note: (!notes.is_empty()).then(|| notes.join("\n")) })
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
        let end = work(Paths::at(directory.path()), true)("../../etc", &|_| {}, &Cancel::new());
        assert!(matches!(end, PullEnd::Failed(_)), "{end:?}");
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
