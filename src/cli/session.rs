//! The worker with a model loaded, asked one thing at a time.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use gibber_signals::ending;

use super::Context;
use super::interrupt::Interrupt;
use super::output::StatusLine;
use crate::app::template_choice;
use crate::settings::layers::LayeredSampling;
use crate::worker::WorkerHandle;
use crate::worker::protocol::{EngineCommand, EngineEvent, LoadParams, ModelPlace, RequestId};
use gibber_engine::FileType;
use gibber_engine::load::ModelInfo;

/// A load that is over before is not worth a line.
const UNTOLD: Duration = Duration::from_millis(300);

/// A worker and its model.
pub(super) struct Session {
    worker: WorkerHandle,
    interrupt: Interrupt,
    last: RequestId,
    model: Option<ModelInfo>,
}

impl Session {
    /// Starts the worker and loads the model of the settings.
    pub(super) fn start(context: &Context) -> Result<Self> {
        if let Some(warning) = super::thread_warning(&context.settings) {
            tell!("warning: {warning}");
        }
        let place = super::models::place(&context.settings.model.name, &context.paths)?;
        let mut session = Self {
            worker: WorkerHandle::spawn(super::resources()),
            interrupt: Interrupt::install(ending::PATIENCE)?,
            last: RequestId(0),
            model: None,
        };
        let info = session.load(place, context.load_params())?;
        super::models::say_news(&info, context.verbose);
        if context.verbose {
            tell!("{}", super::models::headline(&info));
            info.notes.iter().for_each(|note| tell!("note: {note}"));
        }
        session.model = Some(info);
        Ok(session)
    }

    /// The model that is loaded.
    pub(super) fn model(&self) -> Option<&ModelInfo> {
        self.model.as_ref()
    }

    /// Gives the sampling what is recommended for the model, and says what of that cannot be taken. Says where the person
    /// wants the model to think, or not to, and its template cannot be told.
    pub(super) fn recommend(&mut self, context: &Context, sampling: &mut LayeredSampling) {
        let recommended = self.model.as_ref().map(|model| model.recommended.clone()).unwrap_or_default();
        recommended.notes.iter().for_each(|note| tell!("note: {note}"));
        let (think, template) = (context.settings.chat.think, template_choice(&context.settings.model.template));
        let is_asked = think.for_template().is_some() || recommended.has_modes();
        sampling.on_model(recommended);
        if template.is_raw() || !is_asked {
            return;
        }
        let described = self.ask(|id| EngineCommand::DescribeTemplate { id, template }, |_| Ok(()));
        // A template that fails is an error of what is asked next.
        if let Ok(EngineEvent::TemplateDescribed { can_switch_thinking, thinks, .. }) = described {
            if !can_switch_thinking && think.for_template().is_some() {
                tell!("{}", think.without_switch());
            }
            sampling.on_thinking(can_switch_thinking && think.for_template().unwrap_or(thinks));
        }
    }

    /// Whether Ctrl-C has stopped what was asked.
    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupt.has_come()
    }

    fn load(&mut self, place: ModelPlace, params: LoadParams) -> Result<ModelInfo> {
        let mut progress = Progress::new(params.quantize);
        let closing = self.ask(
            |id| EngineCommand::Load { id, place, params },
            |event| {
                progress.show(&event);
                Ok(())
            },
        );
        progress.line.clear();
        match closing? {
            EngineEvent::Loaded { model, .. } => Ok(*model),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends the command that `make` builds and shows each event before the closing one, which is returned. Ctrl-C cancels
    /// it.
    ///
    /// # Errors
    /// What the worker says has failed, and what `on_event` returns: the request is cancelled then.
    pub(super) fn ask(
        &mut self,
        make: impl FnOnce(RequestId) -> EngineCommand,
        mut on_event: impl FnMut(EngineEvent) -> Result<()>,
    ) -> Result<EngineEvent> {
        self.last = RequestId(self.last.0 + 1);
        let id = self.last;
        let command = make(id);
        if !matches!(command, EngineCommand::Load { .. }) {
            self.interrupt.watch(self.worker.canceller(id));
        }
        self.worker.send(command);
        loop {
            let event = self.worker.events().recv().map_err(|_| anyhow!("the engine's thread has ended"))?;
            match event {
                EngineEvent::WorkerDied { error } => return Err(anyhow!("the engine's thread has ended: {error}")),
                event if event.request() != Some(id) => {}
                EngineEvent::Failed { error, .. } => return Err(anyhow!(error)),
                event if event.is_closing() => return Ok(event),
                event => on_event(event).inspect_err(|_| self.worker.send(EngineCommand::Cancel { id }))?,
            }
        }
    }
}

/// A line on the terminal for loads that take a while because weights are quantized.
struct Progress {
    kind: Option<FileType>,
    started: Instant,
    line: StatusLine,
}

impl Progress {
    fn new(kind: Option<FileType>) -> Self {
        Self { kind, started: Instant::now(), line: StatusLine::new() }
    }

    fn show(&mut self, event: &EngineEvent) {
        if let (Some(kind), &EngineEvent::LoadProgress { done, total, .. }) = (self.kind, event)
            && self.started.elapsed() > UNTOLD
        {
            self.line.show(&format!("quantizing to {kind}: {} %", done * 100 / total.max(1)));
        }
    }
}

/// An answer of another kind than the question: a fault of the worker.
pub(super) fn unexpected(event: &EngineEvent) -> anyhow::Error {
    anyhow!("the engine answered something else than it was asked: {event:?}")
}
