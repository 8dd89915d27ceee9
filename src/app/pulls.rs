//! Models that are pulled while the chat goes on: which there are, how far each is, and what its arrival changes.
//!
//! One is pulled at a time, so that the first is here as soon as it can be; others wait in the order in which they were
//! asked for. This is the only place that knows of them: what runs in the background tells it news, and news of a pull that
//! is not there finds nobody.

use super::{App, Effect, NoteKind, OfferedModel, OnScreen};
use crate::chat::MessageId;
use crate::hub::bytes_text;
use crate::hub::news::{PullEnd, PullId, PullNews, PullProgress, PullStep};
use crate::store::SessionId;
use crate::worker::protocol::RequestId;

/// What can be had in the place of a model that is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelOffer {
    /// This one, which was named.
    One(OfferedModel),
    /// The default one is not on this machine, and maybe none: one of the list.
    Any,
}

/// A model on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Pull {
    /// Which.
    pub id: PullId,
    /// What was asked for.
    pub name: String,
    /// What it does.
    pub stage: PullStage,
    /// How much of it is here, once that is known.
    pub progress: Option<PullProgress>,
    /// From 0 to 100; never less than before.
    percent: u64,
    /// How things stood when it was asked for.
    since: Situation,
}

/// What a pull does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullStage {
    /// Others come first.
    Queued,
    /// The hub is asked what there is.
    Asking,
    /// It comes.
    Running,
    /// It waits for this.
    Waiting(String),
    /// The person wants it no more.
    Stopping,
}

/// Where the person is: what has changed of it since a model was asked for says that they have gone on without it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Situation {
    chat: SessionId,
    head: Option<MessageId>,
    /// The name under which a model was asked for, the one that is being loaded or the one that is.
    model: String,
}

impl Pull {
    fn new(id: PullId, name: String, since: Situation) -> Self {
        Self { id, name, stage: PullStage::Queued, progress: None, percent: 0, since }
    }

    /// From 0 to 100; never less than before.
    pub fn percent(&self) -> u64 {
        self.percent
    }

    fn advance(&mut self, progress: PullProgress) {
        let former = self.progress.unwrap_or_default();
        // What is fetched again is fetched besides: bytes that were told stay told.
        let done = progress.done.max(former.done);
        let total = progress.total.max(done);
        let progress = PullProgress { done, total, ..progress };
        self.progress = Some(progress);
        self.percent = self.percent.max(progress.percent());
        if self.stage != PullStage::Stopping {
            self.stage = PullStage::Running;
        }
    }

    /// How much is here, such as `120 of 484 MB`; empty while that is not known.
    pub fn bytes(&self) -> String {
        self.progress.as_ref().map_or_else(String::new, PullProgress::bytes)
    }

    /// How fast it comes; empty while it does not.
    pub fn speed(&self) -> String {
        self.coming().map_or_else(String::new, PullProgress::speed)
    }

    /// How long that will take; empty while it is not known.
    pub fn time_left(&self) -> String {
        self.coming().map_or_else(String::new, PullProgress::time_left)
    }

    fn coming(&self) -> Option<&PullProgress> {
        self.progress.as_ref().filter(|_| self.stage == PullStage::Running)
    }

    /// What it does where that is not to fetch bytes.
    pub fn state(&self) -> Option<&str> {
        match &self.stage {
            PullStage::Queued => Some("waits for its turn"),
            PullStage::Asking => Some("the hub is asked"),
            PullStage::Running => None,
            PullStage::Waiting(what) => Some(what),
            PullStage::Stopping => Some("stopping"),
        }
    }

    /// Name, how far it is, and what it does.
    pub fn line(&self) -> String {
        let share = self.progress.map_or_else(String::new, |_| format!("{} %", self.percent));
        let parts = [share, self.bytes(), self.speed(), self.time_left(), self.state().unwrap_or_default().to_owned()];
        let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", self.name, known.join(" · "))
    }
}

/// What is to be said of a pull.
#[derive(Debug)]
enum PullReport {
    /// What its name stands for.
    Chosen(String),
    /// How it has ended.
    Ended(PullEnd),
}

/// The pulls, that which runs first.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    last: u64,
    queue: Vec<Pull>,
}

impl Pulls {
    pub(super) fn all(&self) -> &[Pull] {
        &self.queue
    }

    /// Puts a model behind those that come first; `None` where it is on its way already.
    fn put(&mut self, name: &str, since: Situation) -> Option<&Pull> {
        let is_same = |pull: &Pull| pull.name == name && pull.stage != PullStage::Stopping;
        if self.queue.iter().any(is_same) {
            return None;
        }
        self.last += 1;
        self.queue.push(Pull::new(PullId(self.last), name.to_owned(), since));
        self.queue.last()
    }

    /// Begins with the first, where that has not begun.
    fn begin_next(&mut self) -> Option<Effect> {
        let first = self.queue.first_mut().filter(|pull| pull.stage == PullStage::Queued)?;
        first.stage = PullStage::Asking;
        Some(Effect::Pull { id: first.id, name: first.name.clone() })
    }

    /// Stops those of this name, or all where it is empty; one that has not begun is gone at once. Returns the names.
    fn stop(&mut self, name: &str) -> (Vec<String>, Vec<Effect>) {
        let is_meant = |pull: &Pull| (name.is_empty() || pull.name == name) && pull.stage != PullStage::Stopping;
        let names = self.queue.iter().filter(|pull| is_meant(pull)).map(|pull| pull.name.clone()).collect();
        self.queue.retain(|pull| !is_meant(pull) || pull.stage != PullStage::Queued);
        let running = self.queue.iter_mut().filter(|pull| is_meant(pull));
        let stop = |pull: &mut Pull| {
            pull.stage = PullStage::Stopping;
            Effect::CancelPull(pull.id)
        };
        (names, running.map(stop).collect())
    }

    /// Takes news in; returns those that are more than how far a pull is, with the pull. One that has ended is here no more.
    fn on_news(&mut self, id: PullId, step: PullStep) -> Option<(Pull, PullReport)> {
        let place = self.queue.iter().position(|pull| pull.id == id && pull.stage != PullStage::Queued)?;
        let pull = &mut self.queue[place];
        match step {
            PullStep::Chosen(what) => return Some((pull.clone(), PullReport::Chosen(what))),
            PullStep::Waiting(what) if pull.stage != PullStage::Stopping => pull.stage = PullStage::Waiting(what),
            PullStep::Waiting(_) => {}
            PullStep::Progress(progress) => pull.advance(progress),
            PullStep::Ended(end) => return Some((self.queue.remove(place), PullReport::Ended(end))),
        }
        None
    }
}

impl App {
    /// The models that are on their way, that which is pulled now first.
    pub fn pulls(&self) -> &[Pull] {
        self.pulls.all()
    }

    /// `/pull [NAME | stop [NAME]]`
    pub(super) fn pull_command(&mut self, argument: &str) -> Vec<Effect> {
        match argument.split_once(char::is_whitespace).unwrap_or((argument, "")) {
            ("", _) => self.tell_of_pulls(),
            ("stop", name) => return self.stop_pulls(name.trim()),
            _ => return self.pull(argument),
        }
        Vec::new()
    }

    fn tell_of_pulls(&mut self) {
        let lines: Vec<String> = self.pulls().iter().map(Pull::line).collect();
        let text = match lines.is_empty() {
            true => "no model is on its way: /pull NAME gets one, /model lists those that can be had".to_owned(),
            false => format!("{}\n/pull stop stops {}", lines.join("\n"), if lines.len() == 1 { "it" } else { "them" }),
        };
        self.note(NoteKind::Info, text);
    }

    fn pull(&mut self, name: &str) -> Vec<Effect> {
        let since = self.situation();
        if self.pulls.put(name, since).is_none() {
            self.note(NoteKind::Info, format!("{name} is on its way already; /pull says how far it is"));
            return Vec::new();
        }
        let next = self.pulls.begin_next();
        let text = match (&next, self.pulls().first()) {
            (None, Some(first)) => format!("{name} is pulled after {}; /pull stop {name} takes it back", first.name),
            _ => format!("{name} is being pulled; the chat goes on meanwhile"),
        };
        self.note(NoteKind::Info, text);
        next.into_iter().collect()
    }

    /// A model is not here, and can be had: whoever wants it has only to press Enter, or to choose.
    pub(super) fn on_model_missing(&mut self, id: RequestId, offer: ModelOffer) -> Vec<Effect> {
        self.requests.owner(id, true);
        self.engine.loading.take_if(|loading| loading.id == id);
        match offer {
            ModelOffer::One(model) => {
                let size = model.bytes.map_or_else(String::new, |bytes| format!(", {}", bytes_text(bytes)));
                let text = format!("{} is not here: /pull {} gets it{size}, and loads it", model.name, model.name);
                self.note(NoteKind::Error, text);
                vec![Effect::Screen(OnScreen::Compose(format!("/pull {}", model.name)))]
            }
            ModelOffer::Any => {
                let text = match self.catalog.models.is_empty() {
                    true => "no model is here yet: /pull NAME gets one that can be had, /model lists them",
                    false => "the default model is not here: /model NAME loads another one, /pull NAME gets one",
                };
                self.note(NoteKind::Warning, text.to_owned());
                vec![Effect::ListModels]
            }
        }
    }

    fn stop_pulls(&mut self, name: &str) -> Vec<Effect> {
        let (names, effects) = self.pulls.stop(name);
        if names.is_empty() {
            let what = if name.is_empty() { "no model is".to_owned() } else { format!("{name} is not") };
            self.note(NoteKind::Info, format!("nothing was stopped: {what} on its way"));
        } else if effects.is_empty() {
            self.note(NoteKind::Info, format!("{} is not pulled", names.join(" and ")));
        }
        effects
    }

    /// Where the person is.
    fn situation(&self) -> Situation {
        let loading = self.engine.loading.as_ref().map(|loading| &loading.name);
        Situation {
            chat: self.session().id,
            head: self.transcript().head(),
            model: loading.unwrap_or(&self.engine.asked).clone(),
        }
    }

    /// Something is new of a pull. Where the person may be in the middle of a line (`is_typing`), nothing takes the place of
    /// a model that is there.
    pub(super) fn on_pull_news(&mut self, news: PullNews, is_typing: bool) -> Vec<Effect> {
        let Some((pull, report)) = self.pulls.on_news(news.id, news.step) else { return Vec::new() };
        let end = match report {
            PullReport::Chosen(what) => {
                self.note(NoteKind::Info, format!("{}: {what}", pull.name));
                return Vec::new();
            }
            PullReport::Ended(end) => end,
        };
        let mut effects: Vec<Effect> = self.pulls.begin_next().into_iter().collect();
        match end {
            PullEnd::Here { model, note } => {
                note.into_iter().for_each(|note| self.note(NoteKind::Info, note));
                effects.extend(self.on_pulled(&pull, model, is_typing));
            }
            PullEnd::Stopped => self.note(NoteKind::Info, stopped(&pull.name, &pull.bytes())),
            PullEnd::Failed(error) => self.note(NoteKind::Error, error),
        }
        effects
    }

    /// A model is here. It is loaded where the person has done nothing else since they asked for it: no model changes
    /// under a reply that runs, or a chat that went on.
    fn on_pulled(&mut self, pull: &Pull, model: String, is_typing: bool) -> Vec<Effect> {
        let has_none = self.engine.model.is_none() && self.engine.loading.is_none();
        let is_waiting = !is_typing
            && self.engine.loading.is_none()
            && self.busy().is_none()
            && self.comparison().is_none()
            && pull.since == self.situation();
        if self.engine.is_dead || !(has_none || is_waiting) {
            self.note(NoteKind::Info, here(&pull.name));
            return Vec::new();
        }
        self.load_model(model)
    }
}

/// What is said of a model that is here, and not loaded.
pub fn here(name: &str) -> String {
    format!("{name} is here: /model {name} loads it")
}

/// What is said of a pull that was stopped, of which these bytes are here, as far as that is known.
pub fn stopped(name: &str, bytes: &str) -> String {
    let kept = if bytes.is_empty() { String::new() } else { format!(" at {bytes}, which are kept") };
    format!("{name} is stopped{kept}; /pull {name} goes on with it")
}
