//! The state machine that both front ends share: a person's [`Action`]s and the engine's events go in, the state
//! changes, and [`Effect`]s come out. It does no input or output and never looks at the clock.

pub mod attachments;
pub mod commands;
pub mod completion;
pub mod effects;
pub mod files;
pub mod keymap;
pub mod meter;
pub mod note;
pub mod parameters;
pub mod step;
pub mod timeline;

mod adapted;
mod ahead;
mod alternative;
mod branches;
mod chats;
mod compare;
mod copy;
mod first_steps;
mod folding;
mod generation;
pub mod heat;
mod lanes;
mod lists;
mod loading;
mod looking;
mod presets;
mod report;
mod run_command;
mod saved;
mod session;
mod set_command;
mod shown;
mod start;
mod themes;
mod thinking;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ahead::ContextUse;
pub use compare::{Comparison, Lane, Parting};
pub use effects::{Effect, FilePurpose, FrontEndIo, Looked, carry_out};
pub use generation::{Generation, Phase, ReplySummary};
pub use lists::{List, ListRow, ListedModel};
pub use loading::Loading;
pub use looking::{Chance, LookedAt, Scoring, Section};
pub use note::{Note, NoteKind};
pub use parameters::Parameter;
pub use run_command::{describe_template, help_text, template_choice};
pub use saved::SavedChats;
pub use start::{Moment, Start};
pub use themes::theme_problem;

use crate::chat::{MessageId, Transcript};
use crate::settings::Settings;
use crate::settings::theme::{self, Theme};
use crate::store::{SearchHit, SessionSummary, StoreOp};
pub use crate::store::{SessionId, SessionRecord, StoreNews};
use crate::worker::protocol::{Distribution, EngineCommand, EngineEvent, RequestId, TemplateChoice, TokenTrace};
use first_steps::FirstSteps;
use gibber_engine::load::ModelInfo;
use gibber_engine::{SamplingParams, TokenId};
use gibber_files::quoted;
use keymap::Keymap;
use looking::Scores;
use meter::Meter;

/// What the model would say next, or has just said, and with which chance.
#[derive(Debug, Clone, PartialEq)]
pub struct NextToken {
    /// The candidates, before and after the filters.
    pub distribution: Distribution,
    /// The token that was drawn from it; `None` where none has been.
    pub chosen: Option<TokenId>,
}

/// A token of a reply, and how it was chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct TracedToken {
    /// The token, and the candidates of that moment.
    pub trace: TokenTrace,
    /// The sampling in force then.
    pub sampling: Arc<SamplingParams>,
    /// Where its text begins in the reply.
    pub start: usize,
}

/// What a person did, or what came back from outside.
#[derive(Debug)]
pub enum Action {
    /// Entered a line: a message or a slash command.
    Enter(String),
    /// Pressed the key that stands for this command (without the slash).
    Give(&'static str),
    /// Wants the running reply to stop.
    Stop,
    /// Pressed Ctrl-C with nothing typed: stops the reply; otherwise a hint, and the second one in a row leaves.
    Interrupt,
    /// Wants to leave.
    Quit,
    /// Turned a parameter by this many steps.
    Nudge {
        /// Which.
        parameter: Parameter,
        /// How many steps, down if negative.
        steps: i32,
        /// Whether they are large ones.
        large: bool,
    },
    /// Typed a parameter's value.
    SetParameter {
        /// Which.
        parameter: Parameter,
        /// What was typed.
        text: String,
    },
    /// Moved a parameter's slider to this place, 0 to 1.
    Slide(Parameter, f64),
    /// Wants the default of a parameter back.
    ResetParameter(Parameter),
    /// Wants the next preset.
    NextPreset,
    /// Wants another token in the place of one of a reply, and to go on from there; the reply stays as a branch.
    TakeAlternative {
        /// The reply.
        message: MessageId,
        /// The token's place.
        token: usize,
        /// Which of the alternatives to it.
        candidate: usize,
    },
    /// Wants a token of the running reply chosen, or the reply paused.
    Step(step::Step),
    /// Wants each token of the conversation on screen scored that is not known yet.
    ScorePath,
    /// Wants the scoring that is at work to stop.
    StopScoring,
    /// Wants the next measure of the heat map.
    NextHeat,
    /// Wants what the model thought shown, or folded.
    ToggleThoughts,
    /// Wants what is folded of a message shown, or folded again.
    ToggleFold(MessageId),
    /// Wants replies shown as they were written, or as Markdown.
    ToggleSource,
    /// Wants a message on the clipboard, as it was written.
    CopyMessage(MessageId),
    /// Wants a code block of a message on the clipboard, counted from 0.
    CopyCode(MessageId, usize),
    /// Wants another answer beside this one, or to this question.
    RegenerateAt(MessageId),
    /// Wants another answer to the same question on screen.
    SwitchBranch(isize),
    /// Wants another sibling of this message on screen, and what follows it.
    SwitchBranchAt(MessageId, isize),
    /// Wants to say this message, a question or a reply, in other words; what is sent stands beside it.
    EditMessage(MessageId),
    /// Looks at this lane of a comparison.
    ChooseLane(usize),
    /// Keeps the lane of a comparison that is looked at; the others stay as branches.
    KeepLane,
    /// Chose a saved conversation.
    ChooseSession(SessionId),
    /// Chose a message in which something was found, in a saved conversation.
    ChooseFound(SessionId, MessageId),
    /// Gave a conversation of the list another title.
    RenameSaved(SessionId, String),
    /// Wants a conversation of the list deleted.
    DeleteSaved(SessionId),
    /// Wants the one back that was deleted last.
    RestoreSaved,
    /// The outcome of [`Effect::TakeSession`]: a conversation that is to be deleted.
    SessionTaken(Result<(SessionRecord, Transcript), String>),
    /// Wants the list of saved conversations no more.
    CloseList,
    /// Did something that concerns the front end only: a hint that waited for the next key goes.
    Other,
    /// The outcome of [`Effect::SearchSessions`]: what was looked for, and the messages that have it.
    SessionsFound {
        /// What was looked for.
        text: String,
        /// Where it is.
        hits: Result<Vec<SearchHit>, String>,
    },
    /// The outcome of [`Effect::ReadFile`]: what it was read for, the file, and its text.
    FileRead {
        /// What it was read for.
        purpose: FilePurpose,
        /// The file, as it was named.
        path: String,
        /// Its text, or a sentence that says why not.
        text: Result<String, String>,
    },
    /// The outcome of [`Effect::Attach`]: the message, and the files that it names.
    Attached {
        /// The message.
        text: String,
        /// The lanes, where its answers are to be compared.
        lanes: Option<String>,
        /// Each file as it was named, and its text; or a sentence that says which cannot be read.
        files: Result<Vec<(String, String)>, String>,
    },
    /// The outcome of [`Effect::ListFiles`].
    FilesListed {
        /// The folder, as it was named.
        folder: String,
        /// What is in it.
        entries: Vec<files::FileEntry>,
    },
    /// The outcome of [`Effect::ReadChats`]: the newest first.
    ChatsRead(Vec<SessionRecord>),
    /// The outcome of [`Effect::WriteFile`]: where it is.
    FileWritten(Result<String, String>),
    /// The outcome of [`Effect::SaveSettings`].
    SettingsSaved(Result<String, String>),
    /// The outcome of [`Effect::ReadThemes`].
    ThemesRead {
        /// The person's own.
        own: Vec<Theme>,
        /// The one that is to be put in force.
        wanted: Option<String>,
    },
    /// The outcome of [`Effect::ListModels`].
    ModelsListed(Vec<ListedModel>),
    /// Wants all that can be done in one list.
    OpenPalette,
    /// The outcome of [`Effect::ReadPalette`].
    PaletteRead {
        /// The names of the models.
        models: Vec<String>,
        /// The person's own themes.
        themes: Vec<Theme>,
        /// The saved conversations, the newest first.
        sessions: Vec<SessionRecord>,
    },
    /// The outcome of [`Effect::SavePreset`].
    PresetSaved {
        /// The preset.
        name: String,
        /// Whether it is there now, or was deleted.
        is_there: bool,
        /// Where, or why not.
        outcome: Result<String, String>,
    },
    /// The outcome of [`Effect::ListSessions`].
    SessionsListed(Result<Vec<SessionSummary>, String>),
    /// The outcome of [`Effect::OpenSession`].
    SessionOpened(Result<(SessionRecord, Transcript), String>),
    /// The store's thread could not write.
    StoreNews(StoreNews),
    /// Something failed in the front end.
    Failed(String),
}

/// What a [`EngineCommand::Count`] was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CountFor {
    Tokens,
    Prompt,
}

/// The state of the program.
#[derive(Debug)]
pub struct App {
    settings: Settings,
    keymap: Keymap,
    first_steps: FirstSteps,
    sampling: SamplingParams,
    template: TemplateChoice,
    session: session::Session,
    model: Option<ModelInfo>,
    loading: Option<Loading>,
    worker_dead: bool,
    generation: Option<Generation>,
    comparison: Option<Comparison>,
    summaries: HashMap<MessageId, ReplySummary>,
    last_summary: Option<ReplySummary>,
    context_used: usize,
    /// Messages that the last request had to leave out.
    dropped: Vec<MessageId>,
    meter: Meter,
    next_token: Option<NextToken>,
    /// The tokens of the replies of this run, as they were chosen.
    tokens: HashMap<MessageId, Vec<TracedToken>>,
    /// What everything else was found to be.
    scores: Scores,
    scoring: Option<Scoring>,
    /// The request whose distribution is waited for.
    preview: Option<RequestId>,
    counts: HashMap<RequestId, CountFor>,
    adapted: adapted::Adapted,
    /// The request that asks whether the template can be told to think.
    think_switch: Option<RequestId>,
    notes: Vec<Note>,
    next_note: u64,
    next_request: u64,
    history: Vec<String>,
    saved: Option<SavedChats>,
    /// What a search has found, until the list of chats is there.
    search: saved::Search,
    /// The message that a chat is opened for, until it is there.
    reveal_next: Option<MessageId>,
    revealed: Option<MessageId>,
    models: Vec<String>,
    /// The models as they were described last.
    listed: Vec<ListedModel>,
    /// What was asked for when the present model was loaded.
    model_asked: String,
    /// Saved conversations, as they were read last.
    recent: Vec<SessionRecord>,
    themes: Vec<Theme>,
    quit_armed: bool,
    opening: Option<(String, Moment)>,
    hint: Option<String>,
    /// Whether thoughts are shown, or folded to a line.
    shows_thoughts: bool,
    /// The messages that are shown the other way: files that are not folded, thoughts that are not as the others.
    turned: HashSet<MessageId>,
    /// Whether every reply begins paused.
    steps: bool,
    /// Whether replies are shown as they were written, not as Markdown.
    shows_source: bool,
    /// The conversation that was deleted last, until something is said.
    deleted: Option<(SessionRecord, Transcript)>,
    branches: branches::Branches,
    listing: files::Listing,
    seed: u64,
    ahead: ahead::Ahead,
    /// Ticks up with each change that a front end may want to draw.
    revision: u64,
}

impl App {
    /// The state at the start; [`App::start`] says what to do first.
    pub fn new(start: Start, now: Moment) -> Self {
        let Start { settings, history, models, session, message, themes, is_first_run, warnings, seed } = start;
        let mut seed = seed;
        let session = match session {
            Some((record, transcript)) => session::Session::saved(record, transcript),
            None => session::Session::fresh(&mut seed, &settings.chat.system, now),
        };
        let mut app = Self {
            first_steps: FirstSteps::new(is_first_run && settings.ui.hints),
            keymap: Keymap::new(&settings.keys).0,
            sampling: settings.sampling.clone(),
            template: run_command::template_choice(&settings.model.template),
            shows_source: !settings.ui.markdown,
            settings,
            session,
            model: None,
            loading: None,
            worker_dead: false,
            generation: None,
            comparison: None,
            summaries: HashMap::new(),
            last_summary: None,
            context_used: 0,
            dropped: Vec::new(),
            meter: Meter::default(),
            next_token: None,
            tokens: HashMap::new(),
            scores: Scores::default(),
            scoring: None,
            preview: None,
            counts: HashMap::new(),
            adapted: adapted::Adapted::default(),
            think_switch: None,
            notes: Vec::new(),
            next_note: 0,
            next_request: 1,
            history,
            saved: None,
            search: saved::Search::default(),
            reveal_next: None,
            revealed: None,
            models,
            listed: Vec::new(),
            model_asked: String::new(),
            recent: Vec::new(),
            themes: theme::with_builtin(themes),
            quit_armed: false,
            opening: message.map(|message| (message, now)),
            hint: None,
            shows_thoughts: false,
            turned: HashSet::new(),
            steps: false,
            deleted: None,
            branches: branches::Branches::default(),
            listing: files::Listing::default(),
            seed,
            ahead: ahead::Ahead::default(),
            revision: 0,
        };
        for warning in warnings {
            app.note(NoteKind::Warning, warning);
        }
        app
    }

    /// Asks for the model, and says what was to be said first; to be called once, after the first frame is on screen.
    pub fn start(&mut self) -> Vec<Effect> {
        let name = self.settings.model.name.clone();
        let mut effects = vec![self.load_model(name)];
        if let Some((message, now)) = self.opening.take() {
            effects.extend(self.say(&message, now));
        }
        effects
    }

    /// What a person did.
    pub fn handle(&mut self, action: Action, now: Moment) -> Vec<Effect> {
        let effects = self.act(action, now);
        self.give_way(effects)
    }

    fn act(&mut self, action: Action, now: Moment) -> Vec<Effect> {
        self.revision += 1;
        let armed = std::mem::take(&mut self.quit_armed);
        self.hint = None;
        match action {
            Action::Enter(line) => self.enter(&line, now),
            Action::Give(name) => self.give(name, now),
            Action::Stop | Action::Interrupt if self.generation.is_none() && self.leave_edit() => Vec::new(),
            Action::Interrupt if armed => self.quit(),
            Action::Stop if self.comparison.is_some() => self.stop_comparison(),
            Action::Interrupt if self.comparison.as_ref().is_some_and(|lanes| !lanes.stopping) => {
                self.stop_comparison()
            }
            Action::Stop => match self.stop_loading() {
                Some(stop) => vec![stop],
                None => self.stop(),
            },
            Action::Interrupt if self.generation.as_ref().is_some_and(|running| !running.stopping) => self.stop(),
            Action::Interrupt => {
                self.quit_armed = true;
                Vec::new()
            }
            Action::Quit => self.quit(),
            Action::Nudge { parameter, steps, large } => self.change_sampling(|p| parameter.nudge(p, steps, large)),
            Action::Slide(parameter, place) => self.change_sampling(|p| parameter.slide(p, place)),
            Action::ResetParameter(parameter) => self.change_sampling(|p| parameter.reset(p)),
            Action::SetParameter { parameter, text } => self.set_parameter(parameter, &text),
            Action::NextPreset => self.next_preset(),
            Action::Step(step) => self.step(step),
            Action::ToggleSource => {
                self.shows_source = !self.shows_source;
                Vec::new()
            }
            Action::ToggleThoughts => {
                self.show_thoughts(!self.shows_thoughts);
                Vec::new()
            }
            Action::ToggleFold(message) => {
                self.toggle_fold(message);
                Vec::new()
            }
            Action::TakeAlternative { message, token, candidate } => {
                self.take_alternative(message, token, candidate, now)
            }
            Action::ScorePath => self.score_path(),
            Action::StopScoring => self.stop_scoring(),
            Action::NextHeat => {
                self.next_heat();
                Vec::new()
            }
            Action::CopyMessage(message) => self.copy_message(message),
            Action::CopyCode(message, number) => self.copy_code(message, number),
            Action::RegenerateAt(message) => self.regenerate_at(message, now),
            Action::SwitchBranch(by) => self.switch_branch(by),
            Action::SwitchBranchAt(message, by) => self.switch_branch_at(message, by),
            Action::EditMessage(message) => self.edit_message(message),
            Action::ChooseLane(lane) => self.choose_lane(lane),
            Action::KeepLane => self.keep_lane(),
            Action::ChooseSession(id) => self.choose_chat(id, None),
            Action::CloseList => self.close_list(),
            Action::Other => Vec::new(),
            Action::OpenPalette => vec![Effect::ReadPalette],
            Action::PaletteRead { models, themes, sessions } => {
                (self.models, self.recent) = (models, sessions);
                self.themes = theme::with_builtin(themes);
                vec![Effect::ShowPalette]
            }
            Action::ModelsListed(models) => self.models_listed(models),
            Action::ThemesRead { own, wanted } => self.themes_read(own, wanted),
            Action::FileRead { purpose: FilePurpose::Import, path, text: Ok(text) } => self.imported(&path, &text, now),
            Action::FileRead { purpose: FilePurpose::Read, path, text: Ok(text) } => {
                vec![attachments::compose_file(&path, &text)]
            }
            Action::Attached { text, lanes, files } => self.attached(&text, lanes.as_deref(), files, now),
            Action::ChooseFound(id, message) => self.choose_chat(id, Some(message)),
            Action::RenameSaved(id, title) => self.rename_saved(id, &title),
            Action::DeleteSaved(id) => self.delete_saved(id, now),
            Action::RestoreSaved => self.restore_saved(),
            Action::SessionTaken(Ok((record, transcript))) => self.chat_taken(record, transcript),
            Action::SessionsListed(Ok(list)) => self.chats_listed(list, now),
            Action::SessionsFound { text, hits: Ok(hits) } => self.found(text, hits),
            outcome => self.take_outcome(outcome),
        }
    }

    /// What came back from outside.
    fn take_outcome(&mut self, outcome: Action) -> Vec<Effect> {
        match outcome {
            Action::ChatsRead(chats) => self.recent = chats,
            Action::FilesListed { folder, entries } => self.listing = files::Listing { folder, entries },
            Action::SettingsSaved(Ok(path)) => {
                self.note(NoteKind::Info, format!("the settings are now the default, in {path}"))
            }
            Action::StoreNews(StoreNews::Saved) => {
                self.note(NoteKind::Info, "what could not be saved is saved now".to_owned());
            }
            Action::SettingsSaved(Err(error))
            | Action::StoreNews(StoreNews::Failed(error) | StoreNews::Lost(error))
            | Action::Failed(error) => self.note(NoteKind::Error, error),
            Action::PresetSaved { name, is_there, outcome } => self.preset_saved(&name, is_there, outcome),
            Action::SessionOpened(Ok((record, transcript))) => self.chat_opened(record, transcript),
            Action::FileWritten(Ok(path)) => self.note(NoteKind::Info, format!("{path} is written")),
            Action::SessionsListed(Err(error))
            | Action::SessionsFound { hits: Err(error), .. }
            | Action::SessionTaken(Err(error))
            | Action::FileRead { text: Err(error), .. }
            | Action::FileWritten(Err(error))
            | Action::SessionOpened(Err(error)) => self.note(NoteKind::Error, error),
            _ => {}
        }
        Vec::new()
    }

    /// What the engine's thread says.
    pub fn on_event(&mut self, event: EngineEvent, now: Moment) -> Vec<Effect> {
        self.revision += 1;
        if self.on_scoring_event(&event) {
            return Vec::new();
        }
        match event {
            EngineEvent::LoadProgress { id, done, total } => {
                if let Some(loading) = self.loading.as_mut().filter(|loading| loading.id == id) {
                    loading.advance(done, total, now);
                }
                Vec::new()
            }
            EngineEvent::Loaded { id, model } => self.loaded(id, *model),
            EngineEvent::Counted { id, text, tokens, pieces } => self.counted(id, &text, &tokens, &pieces),
            EngineEvent::Failed { id, error } => self.failed(id, error),
            EngineEvent::WorkerDied { error } => self.worker_died(&error),
            EngineEvent::Distribution { id, distribution } => {
                if self.preview == Some(id) {
                    self.preview = None;
                    self.next_token = Some(NextToken { distribution, chosen: None });
                }
                Vec::new()
            }
            EngineEvent::Prefilled { id, done, total, .. } => {
                self.prefilled(id, done, total, now);
                Vec::new()
            }
            EngineEvent::Measured { id, parts } => {
                self.measured(id, parts, now);
                Vec::new()
            }
            EngineEvent::TemplateDescribed { id, can_switch_thinking } => {
                self.template_described(id, can_switch_thinking);
                Vec::new()
            }
            EngineEvent::Scored { .. } | EngineEvent::PromptScored { .. } => Vec::new(),
            lanes if self.is_compared(&lanes) => self.on_lanes_event(lanes, now),
            reply => {
                let is_end = matches!(reply, EngineEvent::Finished { .. });
                let effects = self.on_reply_event(reply, now);
                if is_end {
                    self.count_reply();
                }
                effects
            }
        }
    }

    /// Time has passed: saves what is due. To be called when [`App::deadline`] is reached.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = match self.save_deadline() {
            Some(deadline) if deadline <= now.at && self.comparison.is_some() => self.save_lanes(now),
            Some(deadline) if deadline <= now.at => self.save_reply(now),
            _ => Vec::new(),
        };
        effects.extend(self.tick_ahead(now));
        effects
    }

    /// The front end has drawn a frame, which took this long.
    pub fn drew(&mut self, took: Duration) {
        if let Some(generation) = self.generation.as_mut() {
            generation.draw_time += took;
        }
    }

    /// When [`App::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        [self.save_deadline(), self.ahead.deadline()].into_iter().flatten().min()
    }

    fn save_deadline(&self) -> Option<Instant> {
        let lanes = self.comparison.as_ref().and_then(Comparison::save_deadline);
        lanes.or_else(|| self.generation.as_ref().and_then(Generation::save_deadline))
    }

    fn failed(&mut self, id: RequestId, error: String) -> Vec<Effect> {
        if let Some(loading) = self.loading.take_if(|loading| loading.id == id) {
            self.not_loaded(&loading, &error);
            return Vec::new();
        }
        if self.preview == Some(id) {
            // The logits are gone: what is on screen stays.
            self.preview = None;
            return Vec::new();
        }
        // A template that fails is an error of the reply that is asked for.
        if self.think_switch.take_if(|asked| *asked == id).is_some() || self.ahead_failed(id) {
            return Vec::new();
        }
        if self.counts.remove(&id).is_some() {
            self.note(NoteKind::Error, error);
            return Vec::new();
        }
        if self.comparison.as_ref().is_some_and(|comparison| comparison.id == id) {
            return self.comparison_failed(error);
        }
        self.reply_failed(id, error)
    }

    fn worker_died(&mut self, error: &str) -> Vec<Effect> {
        self.worker_dead = true;
        self.loading = None;
        self.scoring = None;
        let text = format!("the engine has stopped: {error}. Everything is saved; start gibber again to go on");
        match self.generation.as_ref().map(|generation| generation.id) {
            None if self.comparison.as_ref().is_some_and(Comparison::is_running) => self.comparison_failed(text),
            Some(id) => self.reply_failed(id, text),
            None => {
                self.note(NoteKind::Error, text);
                Vec::new()
            }
        }
    }

    /// Leaves; a reply that is running is stopped and what there is of it saved.
    fn quit(&mut self) -> Vec<Effect> {
        let mut effects = self.cut_reply();
        effects.extend(self.cut_lanes());
        effects.push(Effect::Quit);
        effects
    }

    fn request_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        id
    }

    fn note(&mut self, kind: NoteKind, text: String) {
        let text = match kind {
            NoteKind::Info => text,
            NoteKind::Warning | NoteKind::Error => quoted::lines(&text).into_owned(),
        };
        let after = self.session.transcript.head();
        self.notes.push(Note { number: self.next_note, after, kind, text });
        self.next_note += 1;
    }

    /// Remembers a line for Up, Down and Ctrl-R.
    fn remember(&mut self, line: &str) -> Vec<Effect> {
        if self.history.last().is_some_and(|last| last == line) {
            return Vec::new();
        }
        self.history.push(line.to_owned());
        vec![Effect::Store(StoreOp::AppendHistory(line.to_owned()))]
    }

    fn submit(&self, command: EngineCommand) -> Effect {
        Effect::Submit(command)
    }
}

#[cfg(test)]
mod tests;
