//! A model that is being loaded, and what its arrival changes.

use std::time::{Duration, Instant};

use super::meter::Meter;
use super::{Effect, Moment, NoteKind};
use crate::worker::protocol::{EngineCommand, RequestId};
use gibber_engine::TokenId;
use gibber_engine::load::ModelInfo;

/// A model on its way.
#[derive(Debug, Clone, PartialEq)]
pub struct Loading {
    /// The request.
    pub id: RequestId,
    /// What was asked for; empty is the default model.
    pub name: String,
    /// Bytes prepared.
    pub done: u64,
    /// Bytes in all; 0 while not known.
    pub total: u64,
    /// How long it has taken by now.
    pub elapsed: Duration,
    /// Whether the person has asked it to stop.
    pub stopping: bool,
    started: Option<Instant>,
}

impl Loading {
    fn new(id: RequestId, name: String) -> Self {
        Self { id, name, done: 0, total: 0, elapsed: Duration::ZERO, stopping: false, started: None }
    }

    pub(super) fn advance(&mut self, done: u64, total: u64, now: Moment) {
        (self.done, self.total) = (done, total);
        self.elapsed = now.at.duration_since(*self.started.get_or_insert(now.at));
    }

    /// From 0 to 100.
    pub fn percent(&self) -> u64 {
        self.done * 100 / self.total.max(1)
    }

    /// How far it is: percent, bytes, and time.
    pub fn progress(&self) -> String {
        let megabytes = |bytes: u64| format!("{:.0}", bytes as f64 / 1e6);
        let seconds = self.elapsed.as_secs_f64();
        format!("{} % · {} of {} MB · {seconds:.1} s", self.percent(), megabytes(self.done), megabytes(self.total))
    }
}

/// The engine, as far as it is known here: its model, the one that is to take its place, and how fast it is.
#[derive(Debug, Default)]
pub(super) struct Engine {
    /// The model that is loaded.
    pub(super) model: Option<ModelInfo>,
    pub(super) loading: Option<Loading>,
    /// What was asked for when the present model was loaded.
    pub(super) asked: String,
    /// Whether its thread has ended.
    pub(super) is_dead: bool,
    /// How long the model took to load, until a reply has waited for it.
    load_time: Duration,
    pub(super) meter: Meter,
}

impl Engine {
    /// The name of the model that is loaded.
    pub(super) fn model_name(&self) -> &str {
        self.model.as_ref().map_or("", |model| &model.name)
    }

    /// What the model's context holds.
    pub(super) fn window(&self) -> usize {
        self.model.as_ref().map_or(0, |model| model.context)
    }

    /// Whether it can answer at once.
    pub(super) fn is_ready(&self) -> bool {
        self.model.is_some() && self.loading.is_none() && !self.is_dead
    }

    /// How long the reply that ends now, or lanes of a comparison, have waited for the model to be loaded.
    pub(super) fn load_time(&self) -> Duration {
        self.load_time
    }

    /// They have ended: the next one finds the model there.
    pub(super) fn was_waited_for(&mut self) {
        self.load_time = Duration::ZERO;
    }

    /// A model is to be loaded.
    pub(super) fn load(&mut self, id: RequestId, name: String) -> Effect {
        self.loading = Some(Loading::new(id, name.clone()));
        Effect::LoadModel { id, name }
    }

    /// Esc while a model takes the place of another: that one stays. The first one is always wanted.
    pub(super) fn stop_loading(&mut self) -> Option<Effect> {
        let is_second = self.model.is_some();
        let loading = self.loading.as_mut().filter(|_| is_second)?;
        loading.stopping = true;
        Some(Effect::Submit(EngineCommand::Cancel { id: loading.id }))
    }

    /// It has come this far.
    pub(super) fn on_progress(&mut self, id: RequestId, done: u64, total: u64, now: Moment) {
        if let Some(loading) = self.loading.as_mut().filter(|loading| loading.id == id) {
            loading.advance(done, total, now);
        }
    }

    /// The model could not be loaded, or is wanted no more; returns what is said of it.
    pub(super) fn on_not_loaded(&mut self, id: RequestId, error: String) -> Option<(NoteKind, String)> {
        let loading = self.loading.take_if(|loading| loading.id == id)?;
        Some(match (loading.stopping, &self.model) {
            (true, Some(model)) => {
                (NoteKind::Info, format!("{} is not loaded: it was stopped, and {} stays", loading.name, model.name))
            }
            (_, Some(_)) => (NoteKind::Error, error),
            (_, None) => (NoteKind::Error, format!("{error}; /model lists the models, /model NAME loads one")),
        })
    }

    /// The model is there, maybe while another one is asked for already; returns what is said of it.
    pub(super) fn on_loaded(&mut self, id: RequestId, model: ModelInfo) -> Vec<String> {
        let seconds = model.load_time.as_secs_f64();
        let replaces = self.model.is_some();
        let mut said = Vec::new();
        if replaces {
            said.push(format!("{} ({}) is loaded, in {seconds:.2} s", model.name, model.format));
        }
        said.extend(model.unread.clone());
        said.extend(model.shrunk());
        said.extend(model.quantized.as_ref().filter(|news| news.is_news).map(|news| news.text.clone()));
        if let Some(loading) = self.loading.take_if(|loading| loading.id == id) {
            self.asked = loading.name;
        }
        self.load_time = model.load_time;
        self.model = Some(model);
        said
    }

    /// Whether this token ends a reply.
    pub(super) fn is_end_token(&self, token: TokenId) -> bool {
        self.model.as_ref().is_some_and(|model| model.eos_tokens.contains(&token))
    }
}
