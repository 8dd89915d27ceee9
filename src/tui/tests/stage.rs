//! A screen on a test terminal, over a scripted worker.

use std::time::Duration;

use crossbeam_channel::{Receiver, never};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::app::attachments::gather;
use crate::app::files::FileEntry;
use crate::app::keymap::{Key, KeyPress};
use crate::app::{
    App, AttachmentsFound, Effect, FilePurpose, FrontEndIo, ListedModel, ModelOffer, Moment, OfferedModel, Outcome,
    SessionId, SessionRecord, Start, carry_out,
};
use crate::chat::{Node, Transcript};
use crate::hub::news::{FloatsWish, PullId, PullNews, PullStep};
use crate::settings::Settings;
use crate::settings::theme::Theme as NamedTheme;
use crate::store::{SearchHit, SessionSummary, StoreNews, StoreOp};
use crate::tui::screen::{Request, Screen};
use crate::tui::theme::Theme;
use crate::tui::view;
use crate::worker::WorkerHandle;
use crate::worker::fake::{FakeControl, FakeWorker};
use crate::worker::protocol::{EngineCommand, EngineEvent, LoadParams, ModelPlace, Prompt};
use gibber_engine::sampling::SamplingValues;

/// Surroundings that remember what they were asked.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) stored: Vec<StoreOp>,
    pub(super) saved: Option<Settings>,
    pub(super) sessions: Vec<(SessionRecord, Transcript)>,
    /// The presets that were saved, and the names of those that were deleted.
    pub(super) presets: Vec<(String, Option<SamplingValues>)>,
    pub(super) themes: Vec<NamedTheme>,
    pub(super) files: std::collections::HashMap<String, String>,
    /// The drafts whose files are to be read.
    pub(super) drafts: Vec<String>,
    /// Whether files take their time.
    pub(super) is_slow: bool,
    /// The pulls that were begun, each with what was wanted, and those that were to stop.
    pub(super) pulls: Vec<(PullId, String)>,
    pub(super) cancelled: Vec<PullId>,
    /// Whether there is no model on this machine.
    pub(super) is_bare: bool,
}

impl FrontEndIo for Memory {
    fn store(&mut self, op: StoreOp) {
        self.stored.push(op);
    }

    fn store_news(&self) -> Receiver<StoreNews> {
        never()
    }

    fn save_settings(&mut self, settings: &Settings) -> Result<String, String> {
        self.saved = Some(settings.clone());
        Ok("/home/me/.config/gibber/config.toml".to_owned())
    }

    fn resolve_model(&mut self, name: &str) -> Result<(ModelPlace, LoadParams), String> {
        match name {
            _ if self.is_bare => Err("the default model is not there".to_owned()),
            "qwen3:0.6b" if self.pulls.is_empty() => Err("there is no model `qwen3:0.6b`".to_owned()),
            "missing" => Err("there is no model `missing`".to_owned()),
            name => Ok((ModelPlace::Synthetic(name.to_owned()), LoadParams::default())),
        }
    }

    fn describe_models(&mut self) -> Vec<ListedModel> {
        let model = |name: &str, detail: &str| ListedModel {
            name: name.to_owned(),
            detail: detail.to_owned(),
            is_default: name == "smollm2",
        };
        if self.is_bare {
            return Vec::new();
        }
        vec![
            model("smollm2", "llama · 134.5 M · Q4_1 · 98 MB"),
            model("gpt2", "gpt2 · 124.4 M · F32 · 548 MB"),
            model(
                "odd",
                "cannot be run: the architecture `mamba` is not known, and this goes on until the end of the reason",
            ),
        ]
    }

    fn offered_models(&mut self) -> Vec<OfferedModel> {
        let model = |name: &str, bytes, about: &str| OfferedModel {
            name: name.to_owned(),
            bytes: Some(bytes),
            about: about.to_owned(),
            cannot_run: None,
        };
        vec![
            model("qwen3:0.6b", 639_446_688, "small, thinks before it answers · apache-2.0"),
            model("gemma3:1b", 806_058_496, "many languages · gated: its licence has to be accepted"),
        ]
    }

    fn offer_for(&mut self, name: &str) -> Option<ModelOffer> {
        let named = self.offered_models().into_iter().find(|model| model.name == name);
        named.map(ModelOffer::One).or_else(|| self.is_bare.then_some(ModelOffer::Any))
    }

    fn pull(&mut self, id: PullId, name: &str, _floats: FloatsWish) {
        self.pulls.push((id, name.to_owned()));
    }

    fn cancel_pull(&mut self, id: PullId) {
        self.cancelled.push(id);
    }

    fn pull_news(&self) -> Receiver<PullNews> {
        never()
    }

    fn save_preset(&mut self, name: &str, params: Option<&SamplingValues>) -> Result<String, String> {
        self.presets.push((name.to_owned(), params.cloned()));
        Ok("/home/me/.config/gibber/config.toml".to_owned())
    }

    fn themes(&mut self) -> Vec<NamedTheme> {
        self.themes.clone()
    }

    fn models(&mut self) -> Vec<String> {
        vec!["SmolLM2-135M-Instruct".to_owned(), "gpt2".to_owned()]
    }

    fn sessions(&mut self) -> Result<Vec<SessionSummary>, String> {
        let line = |(record, transcript): &(SessionRecord, Transcript)| SessionSummary {
            record: record.clone(),
            updated: 1_790_000_000 - 7200,
            messages: transcript.nodes().len() as u32,
            damage: None,
        };
        Ok(self.sessions.iter().map(line).collect())
    }

    fn search_sessions(&mut self, text: &str) -> Result<Vec<SearchHit>, String> {
        let wanted = text.trim().to_lowercase();
        let nodes =
            self.sessions.iter().flat_map(|(record, transcript)| transcript.nodes().iter().map(move |n| (record, n)));
        let has = nodes.filter(|(_, node)| !wanted.is_empty() && node.message.content.to_lowercase().contains(&wanted));
        let hit = |(record, node): (&SessionRecord, &Node)| SearchHit {
            record: record.clone(),
            message: node.id,
            role: node.message.role,
            context: node.message.content.clone(),
        };
        Ok(has.map(hit).collect())
    }

    fn read_file(&mut self, path: &str, _: FilePurpose) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| format!("cannot read {path}: there is no such file"))
    }

    fn find_file(&mut self, path: &str) -> Result<Option<String>, String> {
        match self.files.get(path) {
            Some(text) if text.contains('\0') => Err(format!("cannot read {path}: it is not a text file")),
            text => Ok(text.cloned()),
        }
    }

    fn look_up_attachments(&mut self, text: String) {
        self.drafts.push(text);
    }

    fn attachments_found(&self) -> Receiver<AttachmentsFound> {
        never()
    }

    fn list_files(&mut self, folder: &str) -> Vec<FileEntry> {
        let inside = self.files.keys().filter_map(|path| path.strip_prefix(folder));
        let names: std::collections::BTreeSet<&str> =
            inside.map(|path| path.split_inclusive('/').next().unwrap_or(path)).collect();
        let entry =
            |name: &str| FileEntry { name: name.trim_end_matches('/').to_owned(), is_folder: name.ends_with('/') };
        names.into_iter().map(entry).collect()
    }

    fn write_file(&mut self, path: &str, text: &str, numbered: bool) -> Result<String, String> {
        if self.files.contains_key(path) {
            let error = || format!("{path} is there already: choose another name");
            let (stem, ending) = path.rsplit_once('.').filter(|_| numbered).ok_or_else(error)?;
            return self.write_file(&format!("{stem}-2.{ending}"), text, numbered);
        }
        self.files.insert(path.to_owned(), text.to_owned());
        Ok(format!("/home/me/{path}"))
    }

    fn open_session(&mut self, id: SessionId) -> Result<(SessionRecord, Transcript), String> {
        self.sessions.iter().find(|(record, _)| record.id == id).cloned().ok_or_else(|| "gone".to_owned())
    }
}

/// The whole front end but for the real terminal.
pub(super) struct Stage {
    pub(super) app: App,
    pub(super) screen: Screen,
    pub(super) memory: Memory,
    pub(super) requests: Vec<Request>,
    worker: WorkerHandle,
    control: FakeControl,
    terminal: Terminal<TestBackend>,
    pub(super) now: Moment,
}

impl Stage {
    /// A screen of this size whose model is loaded.
    pub(super) fn new(width: u16, height: u16, script: FakeWorker) -> Self {
        let mut stage = Self::unloaded(width, height, script, Theme::new(true));
        stage.start();
        stage
    }

    pub(super) fn unloaded(width: u16, height: u16, script: FakeWorker, theme: Theme) -> Self {
        Self::with_start(width, height, script, theme, Start { seed: 1, ..Start::default() })
    }

    /// A screen over a program that starts with this.
    pub(super) fn with_start(width: u16, height: u16, script: FakeWorker, theme: Theme, start: Start) -> Self {
        let now = Moment { at: std::time::Instant::now(), unix: 1_790_000_000 };
        let app = App::new(start, now);
        let screen = Screen::new(&app, theme);
        let (worker, control) = script.spawn();
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let (memory, requests) = (Memory::default(), Vec::new());
        Self { app, screen, memory, requests, worker, control, terminal, now }
    }

    pub(super) fn start(&mut self) {
        let effects = self.app.start();
        self.carry_out(effects);
        self.pump_to_end();
        self.control.commands();
    }

    /// Presses keys: `hello<Enter>`, `<Ctrl-C>`, `<Shift-Right>`; `<lt>` is `<`.
    pub(super) fn keys(&mut self, notation: &str) {
        let mut rest = notation;
        while let Some(first) = rest.chars().next() {
            let end = rest.find('>').filter(|_| first == '<');
            let press = match end {
                Some(end) if &rest[1..end] == "lt" => KeyPress::plain(Key::Char('<')),
                Some(end) => KeyPress::parse(&rest[1..end]).unwrap_or_else(|| panic!("{}", &rest[..=end])),
                None => KeyPress::plain(Key::Char(first)),
            };
            rest = &rest[end.map_or(first.len_utf8(), |end| end + 1)..];
            let (effects, requests) = self.screen.on_key(&mut self.app, press, self.now);
            self.carry_out(effects);
            self.requests.extend(requests);
        }
    }

    /// Pastes a text, as the terminal tells it.
    pub(super) fn paste(&mut self, text: &str) {
        let effects = self.screen.on_paste(&self.app, text);
        self.carry_out(effects);
    }

    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) {
        let worker = &self.worker;
        let mut send = |command| worker.send(command);
        let left = carry_out(&mut self.app, effects, &mut self.memory, &mut send, self.now);
        let requests = self.screen.carry_out(&self.app, left);
        self.requests.extend(requests);
    }

    /// Lets time pass, as the loop does: what is in the composer is looked at, and what is due is done.
    pub(super) fn pass(&mut self, milliseconds: u64) {
        let effects = self.app.on_draft(&self.screen.composer.full_text(), self.now);
        self.carry_out(effects);
        self.now.at += Duration::from_millis(milliseconds);
        let effects = self.app.tick(self.now);
        self.carry_out(effects);
        if !self.memory.is_slow && !self.memory.drafts.is_empty() {
            self.read_drafts();
            self.pass(200);
        }
    }

    /// The files of drafts have been read.
    pub(super) fn read_drafts(&mut self) {
        for text in std::mem::take(&mut self.memory.drafts) {
            let files = gather(&text, &mut |path| self.memory.find_file(path));
            self.app.attachments_found(AttachmentsFound { text, files }, self.now);
        }
    }

    /// The first pull that was begun tells something.
    pub(super) fn pull_tells(&mut self, step: PullStep) {
        let (id, name) = self.memory.pulls[0].clone();
        let effects =
            self.app.on_outcome(Outcome::PullNews { news: PullNews { id, name, step }, is_typing: false }, self.now);
        self.carry_out(effects);
    }

    /// Feeds one event, ten milliseconds after the last.
    pub(super) fn feed(&mut self, event: EngineEvent) {
        self.now.at += Duration::from_millis(10);
        let effects = self.app.on_event(event, self.now);
        self.carry_out(effects);
    }

    /// Feeds the worker's events until `last` is one that was wanted.
    pub(super) fn pump(&mut self, last: impl Fn(&EngineEvent) -> bool) {
        loop {
            let event = self.worker.events().recv_timeout(Duration::from_secs(10)).expect("an event");
            let found = last(&event);
            self.feed(event);
            if found {
                return;
            }
        }
    }

    /// Feeds the worker's events until a request is closed.
    pub(super) fn pump_to_end(&mut self) {
        self.pump(EngineEvent::is_closing);
    }

    /// Feeds events until this many tokens have come.
    pub(super) fn pump_tokens(&mut self, count: usize) {
        for _ in 0..count {
            self.pump(|event| matches!(event, EngineEvent::Token { .. }));
        }
    }

    /// What the worker was asked since the last time, waiting for at least one command; a test that waits in vain fails,
    /// see [`Self::asked_nothing`].
    pub(super) fn asked(&self) -> Vec<EngineCommand> {
        let first = self.control.next_command().expect("a command");
        std::iter::once(first).chain(self.control.commands()).collect()
    }

    /// Nothing was asked of the worker since the last time.
    pub(super) fn asked_nothing(&self) {
        assert!(self.control.commands().is_empty());
    }

    /// The last question that the worker was asked, once it was answered.
    pub(super) fn question(&mut self) -> String {
        self.pump_to_end();
        let questions = self.asked().into_iter().rev().find_map(|command| match command {
            EngineCommand::Generate { prompt: Prompt::Chat { messages, .. }, .. } => messages.last().cloned(),
            _ => None,
        });
        questions.expect("a question").content
    }

    pub(super) fn release(&self) {
        self.control.release();
    }

    /// Draws, and returns the rows.
    pub(super) fn draw(&mut self) -> String {
        self.terminal.draw(|frame| view::draw(&mut self.screen, &self.app, frame)).unwrap();
        if let Some((session, view)) = self.screen.conversation.view() {
            self.app.on_view(session, view);
        }
        self.terminal.backend().to_string()
    }

    /// The buffer with its styles.
    pub(super) fn buffer(&mut self) -> ratatui::buffer::Buffer {
        self.draw();
        self.terminal.backend().buffer().clone()
    }

    /// Where the cursor is, if it is shown.
    pub(super) fn cursor(&mut self) -> ratatui::layout::Position {
        self.draw();
        ratatui::backend::Backend::get_cursor_position(self.terminal.backend_mut()).unwrap()
    }

    pub(super) fn resize(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
    }
}
