//! Models that are pulled while the chat goes on: which there are, how far each is, and what its arrival changes.
//!
//! One is pulled at a time, so that the first is here as soon as it can be; others wait in the order in which they were
//! asked for. This is the only place that knows of them: what runs in the background tells it news, and news of a pull that
//! is not there finds nobody.

use super::{App, Effect, NoteKind, OfferedModel, OnScreen};
use crate::chat::MessageId;
use crate::hub::news::{FloatsWish, PullEnd, PullId, PullNews, PullProgress, PullStep};
use crate::hub::{bytes_text, name_problem};
use crate::store::SessionId;
use crate::worker::protocol::RequestId;
use gibber_engine::FileType;

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
    /// What is to become of its weights, where they are floats.
    floats: FloatsWish,
    /// What they are best quantized to, once it is known that they are floats.
    proposed: Option<FileType>,
    /// Whether they are here, and are being quantized.
    is_quantizing: bool,
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
    /// It is here, and its weights are quantized to this.
    Quantizing(FileType),
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
    fn new(id: PullId, name: String, floats: FloatsWish, since: Situation) -> Self {
        Self {
            id,
            name,
            stage: PullStage::Queued,
            progress: None,
            percent: 0,
            floats,
            proposed: None,
            is_quantizing: false,
            since,
        }
    }

    /// From now on this part of its weights is quantized: that is counted anew.
    fn quantize(&mut self, kind: FileType, progress: PullProgress) {
        self.is_quantizing = true;
        if self.stage == PullStage::Stopping {
            return;
        }
        if self.stage != PullStage::Quantizing(kind) {
            (self.progress, self.percent) = (None, 0);
        }
        self.advance(progress);
        self.stage = PullStage::Quantizing(kind);
    }

    /// From 0 to 100; never less than before.
    pub fn percent(&self) -> u64 {
        self.percent
    }

    /// Whether it goes on once its floats are here: they are quantized then.
    pub fn goes_on_with_floats(&self) -> bool {
        self.floats != FloatsWish::Keep
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
    pub fn state(&self) -> Option<String> {
        let said = match &self.stage {
            PullStage::Queued => "waits for its turn".to_owned(),
            PullStage::Asking => "the hub is asked".to_owned(),
            PullStage::Running => return None,
            PullStage::Waiting(what) => what.clone(),
            PullStage::Quantizing(kind) => format!("quantized to {kind}"),
            PullStage::Stopping => "stopping".to_owned(),
        };
        Some(said)
    }

    /// Name, how far it is, and what it does.
    pub fn line(&self) -> String {
        let share = self.progress.map_or_else(String::new, |_| format!("{} %", self.percent));
        let parts = [share, self.bytes(), self.speed(), self.time_left(), self.state().unwrap_or_default()];
        let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{}: {}", self.name, known.join(" · "))
    }
}

/// What is to be said of a pull.
#[derive(Debug)]
enum PullReport {
    /// What its name stands for.
    Chosen(String),
    /// Its weights are floats: may they be quantized to this?
    Floats(FileType),
    /// How it has ended.
    Ended(PullEnd),
}

/// The pulls, that which runs first.
#[derive(Debug, Default)]
pub(super) struct Pulls {
    last: u64,
    queue: Vec<Pull>,
    /// The model of floats that came last and was not quantized, and what it is best quantized to.
    floats_here: Option<(String, FileType)>,
}

impl Pulls {
    pub(super) fn all(&self) -> &[Pull] {
        &self.queue
    }

    /// Puts a model behind those that come first; `None` where it is on its way already.
    fn put(&mut self, name: &str, floats: FloatsWish, since: Situation) -> Option<&Pull> {
        let is_same = |pull: &Pull| pull.name == name && pull.stage != PullStage::Stopping;
        if self.queue.iter().any(is_same) {
            return None;
        }
        self.last += 1;
        self.queue.push(Pull::new(PullId(self.last), name.to_owned(), floats, since));
        self.queue.last()
    }

    /// Begins with the first, where that has not begun.
    fn begin_next(&mut self) -> Option<Effect> {
        let first = self.queue.first_mut().filter(|pull| pull.stage == PullStage::Queued)?;
        first.stage = PullStage::Asking;
        Some(Effect::Pull { id: first.id, name: first.name.clone(), floats: first.floats })
    }

    /// The one of this name, or the first of which it was asked whether its floats may be quantized, is to be quantized once
    /// it is here; `None` where there is none.
    fn agree(&mut self, name: &str, kind: Option<FileType>) -> Option<&Pull> {
        let is_meant = |pull: &&mut Pull| match name.is_empty() {
            true => pull.proposed.is_some() && pull.stage != PullStage::Stopping,
            false => pull.name == name && pull.stage != PullStage::Stopping,
        };
        let pull = self.queue.iter_mut().find(is_meant)?;
        pull.floats = FloatsWish::Quantize(kind.or(pull.proposed));
        Some(pull)
    }

    /// One has come as floats. Where the person has agreed since it was asked for, it goes on with them, before all others.
    fn resume_with_floats(&mut self, mut pull: Pull) -> Option<Effect> {
        if pull.floats == FloatsWish::Keep {
            self.floats_here = pull.proposed.map(|kind| (pull.name, kind));
            return None;
        }
        pull.stage = PullStage::Asking;
        let effect = Effect::Pull { id: pull.id, name: pull.name.clone(), floats: pull.floats };
        self.queue.insert(0, pull);
        Some(effect)
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
            PullStep::Quantizing(kind, progress) => pull.quantize(kind, progress),
            PullStep::Floats(kind) => {
                pull.proposed = Some(kind);
                return Some((pull.clone(), PullReport::Floats(kind)));
            }
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

    /// `/pull [NAME | stop [NAME] | quantize [NAME] [TYPE]]`
    pub(super) fn pull_command(&mut self, argument: &str) -> Vec<Effect> {
        match argument.split_once(char::is_whitespace).unwrap_or((argument, "")) {
            ("", _) => self.tell_of_pulls(),
            ("stop", name) => return self.stop_pulls(name.trim()),
            ("quantize", rest) => return self.quantize_pulled(rest),
            _ => return self.pull(argument, FloatsWish::Keep),
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

    fn pull(&mut self, name: &str, floats: FloatsWish) -> Vec<Effect> {
        if let Some(problem) = name_problem(name) {
            self.note(NoteKind::Error, problem);
            // It can be mended.
            let command = if floats == FloatsWish::Keep { "/pull" } else { QUANTIZE };
            return vec![Effect::Screen(OnScreen::Compose(format!("{command} {name}")))];
        }
        if let Some(why) = self.why_not(name) {
            let text = format!("{name} is not pulled: {why}; `gibber pull {name} --yes` fetches it all the same");
            self.note(NoteKind::Error, text);
            return Vec::new();
        }
        let since = self.situation();
        if self.pulls.put(name, floats, since).is_none() {
            self.note(NoteKind::Info, format!("{name} is on its way already; /pull says how far it is"));
            return Vec::new();
        }
        let next = self.pulls.begin_next();
        let text = match (&next, self.pulls().first()) {
            (None, Some(first)) => format!("{name} is pulled after {}; /pull stop {name} takes it back", first.name),
            _ if floats != FloatsWish::Keep => format!("{name} is being quantized; the chat goes on meanwhile"),
            _ => format!("{name} is being pulled; the chat goes on meanwhile"),
        };
        self.note(NoteKind::Info, text);
        next.into_iter().collect()
    }

    /// Why the engine cannot run what the list offers under a name.
    fn why_not(&self, name: &str) -> Option<&str> {
        self.catalog.offered.iter().find(|model| model.name == name)?.cannot_run.as_deref()
    }

    /// `/pull quantize [NAME] [TYPE]`: yes to what was asked of a model of floats that comes, or has come.
    fn quantize_pulled(&mut self, rest: &str) -> Vec<Effect> {
        let (name, kind) = name_and_type(rest);
        if let Some(kind) = kind.filter(|kind| kind.base().block_size() == 1) {
            let text = format!("{kind} would leave the weights floats: q8_0, q4_k_m, ... make them smaller");
            self.note(NoteKind::Error, text);
            return Vec::new();
        }
        let here = self.pulls.floats_here.clone();
        if let Some(pull) = self.pulls.agree(name, kind) {
            let to = match pull.floats {
                FloatsWish::Quantize(Some(kind)) => format!(" to {kind}"),
                FloatsWish::Quantize(None) | FloatsWish::Keep => String::new(),
            };
            let text = format!("the weights of {} are quantized{to} once they are here", pull.name);
            self.note(NoteKind::Info, text);
            return Vec::new();
        }
        match (name, here) {
            ("", Some((name, proposed))) => self.pull(&name, FloatsWish::Quantize(kind.or(Some(proposed)))),
            ("", None) => {
                let text = "no model of floats has come in this chat: /pull quantize NAME says which is meant";
                self.note(NoteKind::Error, text.to_owned());
                Vec::new()
            }
            (name, _) => self.pull(name, FloatsWish::Quantize(kind)),
        }
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
            PullReport::Floats(kind) => {
                self.note(NoteKind::Info, floats_question(&pull.name, kind));
                return vec![Effect::Screen(OnScreen::Compose(QUANTIZE.to_owned()))];
            }
            PullReport::Ended(end) => end,
        };
        if let PullEnd::Here { floats: Some(kind), note, .. } = &end
            && let Some(effect) =
                self.pulls.resume_with_floats(Pull { proposed: pull.proposed.or(Some(*kind)), ..pull.clone() })
        {
            note.iter().for_each(|note| self.note(NoteKind::Info, note.clone()));
            return vec![effect];
        }
        let mut effects: Vec<Effect> = self.pulls.begin_next().into_iter().collect();
        match end {
            PullEnd::Here { model, note, floats } => {
                note.into_iter().for_each(|note| self.note(NoteKind::Info, note));
                floats.into_iter().for_each(|kind| self.note(NoteKind::Info, floats_hint(kind)));
                effects.extend(self.on_pulled(&pull, model, is_typing));
            }
            PullEnd::Stopped if pull.is_quantizing => self.note(NoteKind::Info, floats_stay(&pull.name)),
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

/// Yes to what was asked of floats.
const QUANTIZE: &str = "/pull quantize";

/// What is asked of a model whose weights are floats, while it comes.
pub fn floats_question(name: &str, kind: FileType) -> String {
    format!(
        "{name}: its weights are floats; quantize them to {kind} once they are here (faster, in less memory)? {QUANTIZE} \
         says yes"
    )
}

/// What is said of floats that are here and were not quantized.
pub fn floats_hint(kind: FileType) -> String {
    format!("its weights are floats: {QUANTIZE} makes {kind} of them, which is faster and takes less memory")
}

/// What is said of floats that are here, where quantizing them was stopped.
pub fn floats_stay(name: &str) -> String {
    format!("{name} is not quantized: its floats are here, /model {name} loads them, {QUANTIZE} {name} begins again")
}

/// A name, a type of weights, or both, in this order.
fn name_and_type(text: &str) -> (&str, Option<FileType>) {
    let text = text.trim();
    let (before, last) = text.rsplit_once(char::is_whitespace).unwrap_or(("", text));
    match last.parse() {
        Ok(kind) => (before.trim(), Some(kind)),
        Err(_) => (text, None),
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
