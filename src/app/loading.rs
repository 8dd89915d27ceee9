//! A model that is being loaded, and what its arrival changes.

use std::time::{Duration, Instant};

use super::{App, Effect, Moment, NoteKind};
use crate::worker::protocol::{EngineCommand, RequestId};
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

impl App {
    pub(super) fn load_model(&mut self, name: String) -> Effect {
        let id = self.request_id();
        self.loading = Some(Loading::new(id, name.clone()));
        Effect::LoadModel { id, name }
    }

    /// Esc while a model takes the place of another: that one stays. The first one is always wanted.
    pub(super) fn stop_loading(&mut self) -> Option<Effect> {
        let is_second = self.model.is_some() && self.generation.is_none();
        let loading = self.loading.as_mut().filter(|_| is_second)?;
        loading.stopping = true;
        Some(Effect::Submit(EngineCommand::Cancel { id: loading.id }))
    }

    /// The model could not be loaded, or is wanted no more.
    pub(super) fn not_loaded(&mut self, loading: &Loading, error: &str) {
        match (loading.stopping, &self.model) {
            (true, Some(model)) => {
                let text = format!("{} is not loaded: it was stopped, and {} stays", loading.name, model.name);
                self.note(NoteKind::Info, text);
            }
            (_, Some(_)) => self.note(NoteKind::Error, error.to_owned()),
            (_, None) => {
                self.note(NoteKind::Error, format!("{error}; /model lists the models, /model NAME loads one"));
            }
        }
    }

    pub(super) fn loaded(&mut self, id: RequestId, model: ModelInfo) -> Vec<Effect> {
        if self.loading.as_ref().is_some_and(|loading| loading.id == id) {
            let first = self.model.is_none();
            let seconds = model.load_time.as_secs_f64();
            self.model_asked = self.loading.take().map(|loading| loading.name).unwrap_or_default();
            self.ahead.forget();
            self.context_used = 0;
            self.next_token = None;
            if !first {
                let text = format!("{} ({}) is loaded, in {seconds:.2} s", model.name, model.format);
                self.note(NoteKind::Info, text);
            }
            if let Some(quantized) = model.quantized.as_ref().filter(|quantized| quantized.is_news) {
                self.note(NoteKind::Info, quantized.text.clone());
            }
            self.session.record.model.clone_from(&model.name);
            self.model = Some(model);
            return self.ask_for_think_switch();
        }
        Vec::new()
    }
}
