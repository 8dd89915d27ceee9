//! The state machine that both front ends share: a person's [`Action`]s and the engine's events go in, the state
//! changes, and [`Effect`]s come out. It does no input or output and never looks at the clock.
//!
//! Each part of the state has one owner: the chat that is open (`open_chat`: replaced whole when another is opened or
//! begun), the others (`saved`), the engine (`loading`), models on their way (`pulls`), what is set (`setup`), what there is to choose from (`catalog`)
//! and how it is shown (`view`). `requests` says who waits for which answer of the engine; an answer to a chat that was left
//! finds nobody. What touches several owners is in `ask`, `opening`, `run_command`, `set_command` and `eager_prefill`; what the front
//! ends look at is in `shown`.

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
mod alternative;
mod ask;
mod branches;
mod carry_out;
mod catalog;
mod chats;
mod compare;
mod copy;
mod eager_prefill;
mod first_steps;
mod folding;
mod generation;
pub mod heat;
mod inspector;
mod lists;
mod loading;
mod open_chat;
mod opening;
mod others;
mod outcome;
mod pulls;
mod recording;
mod records;
mod replay;
mod replies;
mod report;
mod requests;
mod run_command;
mod saved;
mod session;
mod set_command;
mod setup;
mod shown;
mod slash;
mod start;
mod summary;
mod template;
mod variants;
mod view;

use std::time::{Duration, Instant};

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::SeedableRng;

pub use crate::settings::layers::Origin;
pub use carry_out::{FrontEndIo, carry_out};
pub use catalog::theme_problem;
pub use compare::{Comparison, Divergence, Variant};
pub use eager_prefill::ContextUse;
pub use effects::{AttachmentsFound, Effect, FilePurpose, OnScreen};
pub use generation::{Generation, Phase};
pub use inspector::{Chance, InspectedToken, Scoring, Section};
pub use lists::{List, ListRow, ListedModel, OfferedModel};
pub use loading::Loading;
pub use note::{Note, NoteKind};
pub use outcome::Outcome;
pub use parameters::Parameter;
pub use pulls::{ModelOffer, Pull, PullStage, floats_hint, floats_question, floats_stay, here, stopped};
pub use replay::{ReplayOutcome, ReplayPlan};
pub use replies::{NextToken, TracedToken};
pub use run_command::help_text;
pub use saved::SavedChats;
pub use start::{Moment, Start};
pub use summary::ReplySummary;
pub use template::{describe_template, template_choice};

use crate::chat::MessageId;
use crate::chat::provenance::ViewPlace;
pub use crate::store::{SessionId, SessionRecord, StoreNews};
use crate::worker::protocol::{EngineCommand, EngineEvent, RequestId, answers, of_prompt, of_reply, of_variants};
use catalog::Catalog;
use gibber_engine::load::ModelInfo;
use loading::Engine;
use open_chat::OpenChat;
use pulls::Pulls;
use report::{prompt_text, tokens_text};
use requests::{Owner, Requests};
use saved::Library;
use session::Session;
use setup::Setup;
use view::View;

/// What a person did, and wants.
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
    ChooseVariant(usize),
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
    /// Wants the list of saved conversations no more.
    CloseList,
    /// Did something that concerns the front end only: a hint that waited for the next key goes.
    Other,
    /// Wants all that can be done in one list.
    OpenPalette,
}

/// The state of the program: its owners, each of which has what belongs together, and what goes on between them.
#[derive(Debug)]
pub struct App {
    /// What is set.
    setup: Setup,
    /// The engine and its model.
    engine: Engine,
    /// The models that are on their way.
    pulls: Pulls,
    /// Who waits for which of its answers.
    requests: Requests,
    /// The chat that is open.
    chat: OpenChat,
    /// The others.
    library: Library,
    /// What there is to choose from.
    catalog: Catalog,
    /// How all of it is shown.
    view: View,
    /// What is said first, once it has been started.
    opening: Option<(String, Moment)>,
    /// Names of chats, and seeds of lanes, are drawn from it.
    random: Pcg64Mcg,
}

impl App {
    /// The state at the start; [`App::start`] says what to do first.
    pub fn new(start: Start, now: Moment) -> Self {
        let Start { settings, given, history, models, offered, session, message, themes, is_first_run, warnings, seed } =
            start;
        let mut setup = Setup::new(settings, given);
        let settings = &setup.settings;
        let mut random = Pcg64Mcg::seed_from_u64(seed);
        let session = match session {
            Some((record, transcript)) => Session::saved(record, transcript),
            None => Session::fresh(&mut random, &settings.chat.system, now),
        };
        let view = View::new(settings, is_first_run);
        setup.on_chat(&session.record.settings);
        let mut chat = OpenChat::new(session);
        for warning in warnings {
            chat.note(NoteKind::Warning, warning);
        }
        Self {
            view,
            setup,
            engine: Engine::default(),
            pulls: Pulls::default(),
            requests: Requests::default(),
            chat,
            library: Library::default(),
            catalog: Catalog::new(models, offered, themes, history),
            opening: message.map(|message| (message, now)),
            random,
        }
    }

    /// Asks for the model, and says what was to be said first; to be called once, after the first frame is on screen.
    pub fn start(&mut self) -> Vec<Effect> {
        let name = self.setup.settings.model.name.clone();
        let mut effects = self.load_model(name);
        if let Some((message, now)) = self.opening.take() {
            effects.extend(self.say(&message, now));
        }
        effects
    }

    /// What a person did.
    pub fn handle(&mut self, action: Action, now: Moment) -> Vec<Effect> {
        // What else waits for a template is stopped with the rest.
        let of_templates = match action {
            Action::Stop | Action::Interrupt => self.requests.of_templates().collect(),
            _ => Vec::new(),
        };
        let mut effects = self.act(action, now);
        effects.extend(of_templates.into_iter().map(|id| Effect::Submit(EngineCommand::Cancel { id })));
        self.give_way(effects)
    }

    fn act(&mut self, action: Action, now: Moment) -> Vec<Effect> {
        self.view.revision += 1;
        let armed = std::mem::take(&mut self.view.quit_armed);
        self.chat.clear_hint();
        match action {
            Action::Enter(line) => self.enter(&line, now),
            Action::Give(name) => self.give_by_key(name, now),
            Action::Stop | Action::Interrupt if self.generation().is_none() && self.chat.leave_edit() => Vec::new(),
            Action::Interrupt if armed => self.quit(),
            Action::Stop if self.comparison().is_some() => self.chat.stop_comparison(),
            Action::Interrupt if self.comparison().is_some_and(|variants| !variants.stopping) => {
                self.chat.stop_comparison()
            }
            Action::Stop | Action::Interrupt if self.chat.is_replaying() => self.chat.stop_replay().unwrap_or_default(),
            Action::Stop => match self.generation() {
                None => self.engine.stop_loading().map_or_else(|| self.chat.stop(), |stop| vec![stop]),
                Some(_) => self.chat.stop(),
            },
            Action::Interrupt if self.generation().is_some_and(|running| !running.stopping) => self.chat.stop(),
            Action::Interrupt if self.is_counting() => Vec::new(),
            Action::Interrupt => {
                self.view.quit_armed = true;
                Vec::new()
            }
            Action::Quit => self.quit(),
            Action::Nudge { parameter, steps, large } => self
                .change_sampling(|sampling| sampling.turn(parameter, |params| parameter.nudge(params, steps, large))),
            Action::Slide(parameter, place) => {
                self.change_sampling(|sampling| sampling.turn(parameter, |params| parameter.slide(params, place)))
            }
            Action::ResetParameter(parameter) => self.change_sampling(|sampling| sampling.reset(parameter)),
            Action::SetParameter { parameter, text } => self.set_parameter(parameter, &text),
            Action::NextPreset => self.next_preset(),
            Action::Step(step) => self.chat.step(step, now),
            Action::ToggleSource => {
                self.view.shows_source = !self.view.shows_source;
                Vec::new()
            }
            Action::ToggleThoughts => {
                self.show_thoughts(!self.view.shows_thoughts);
                Vec::new()
            }
            Action::ToggleFold(message) => {
                self.chat.toggle_fold(message);
                Vec::new()
            }
            Action::TakeAlternative { message, token, candidate } => {
                self.take_alternative((message, token, candidate), now)
            }
            Action::ScorePath => self.score_path(),
            Action::StopScoring => self.chat.stop_scoring(),
            Action::NextHeat => {
                self.set_heat("");
                Vec::new()
            }
            Action::CopyMessage(message) => self.chat.copy_message(message, self.view.shows_thoughts),
            Action::CopyCode(message, number) => self.chat.copy_code(message, number),
            Action::RegenerateAt(message) => self.regenerate_at(message, now),
            Action::SwitchBranch(by) => self.when_idle(|chat| chat.switch_branch(by)),
            Action::SwitchBranchAt(message, by) => self.when_idle(|chat| chat.switch_branch_at(message, by)),
            Action::EditMessage(message) => self.when_idle(|chat| chat.edit_message(message)),
            Action::ChooseVariant(variant) => self.chat.choose_variant(variant),
            Action::KeepLane => self.chat.keep_variant(),
            Action::ChooseSession(id) => self.library.choose_chat(id, None),
            Action::CloseList => self.library.close_list(),
            Action::Other => Vec::new(),
            Action::OpenPalette => vec![Effect::ReadPalette],
            Action::ChooseFound(id, message) => self.library.choose_chat(id, Some(message)),
            Action::RenameSaved(id, title) => self.library.rename(id, &title, &mut self.chat),
            Action::DeleteSaved(id) => self.delete_saved(id, now),
            Action::RestoreSaved => self.library.restore(&mut self.chat),
        }
    }

    /// What the engine's thread says: its owner gets it.
    pub fn on_event(&mut self, event: EngineEvent, now: Moment) -> Vec<Effect> {
        self.view.revision += 1;
        let Some(id) = event.request() else {
            let EngineEvent::WorkerDied { error } = event else { return Vec::new() };
            return self.on_worker_died(&error);
        };
        let Some(owner) = self.requests.owner(id, event.is_closing()) else { return Vec::new() };
        match owner {
            Owner::Load => return self.on_load_event(id, event, now),
            Owner::ThinkSwitch => self.on_think_switch(&event),
            Owner::Reply => {
                if matches!(event, EngineEvent::Finished { .. }) {
                    self.view.count_reply();
                }
                self.chat.record(&event, &self.engine);
                let effects = self.chat.on_reply_event(event, now, &self.setup, &mut self.engine);
                self.chat.bind_records();
                return effects;
            }
            Owner::Comparison => {
                self.chat.record(&event, &self.engine);
                let effects = self.chat.on_variants_event(event, now, &self.setup, &mut self.engine);
                self.chat.bind_records();
                return effects;
            }
            Owner::Replay => return self.on_replay_event(&event),
            Owner::Scoring => self.chat.on_scoring_event(event),
            Owner::Preview(message) => self.chat.replies.on_preview(message, event),
            Owner::Prompt => self.chat.on_counted(event, prompt_text),
            Owner::Tokens => self.chat.on_counted(event, tokens_text),
            Owner::Prefill | Owner::Measure => self.chat.eager_prefill.on_event(event, now),
        }
        Vec::new()
    }

    /// The model that is being loaded has come further, or to an end.
    fn on_load_event(&mut self, id: RequestId, event: EngineEvent, now: Moment) -> Vec<Effect> {
        match event {
            EngineEvent::LoadProgress { done, total, .. } => self.engine.on_progress(id, done, total, now),
            EngineEvent::Loaded { model, .. } => return self.on_loaded(id, *model),
            EngineEvent::Failed { error, .. } => {
                if let Some((kind, text)) = self.engine.on_not_loaded(id, error) {
                    self.note(kind, text);
                }
            }
            of_prompt!() | of_reply!() | of_variants!() | answers!() | EngineEvent::WorkerDied { .. } => {}
        }
        Vec::new()
    }

    /// Another model is there: nothing is known of what it would make of the chat.
    fn on_loaded(&mut self, id: RequestId, model: ModelInfo) -> Vec<Effect> {
        let (name, recommended) = (model.name.clone(), model.recommended.clone());
        for text in self.engine.on_loaded(id, model) {
            self.note(NoteKind::Info, text);
        }
        for text in &recommended.notes {
            self.note(NoteKind::Warning, text.clone());
        }
        self.setup.on_model(recommended);
        self.chat.on_model(name);
        if self.chat.hint() == Some(ask::NO_MODEL) {
            self.chat.clear_hint();
        }
        self.ask_for_think_switch()
    }

    fn on_worker_died(&mut self, error: &str) -> Vec<Effect> {
        self.engine.is_dead = true;
        self.engine.loading = None;
        self.requests.forget_all();
        let text = format!("the engine has stopped: {error}. Everything is saved; start gibber again to go on");
        self.chat.on_worker_died(text)
    }

    /// Time has passed: saves what is due. To be called when [`App::deadline`] is reached.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = self.chat.save_what_is_due(now);
        effects.extend(self.tick_prefill(now));
        effects
    }

    /// The front end has drawn a frame, which took this long.
    pub fn on_drawn(&mut self, took: Duration) {
        if let Some(generation) = self.chat.generation.as_mut() {
            generation.draw_time += took;
        }
    }

    /// The front end shows this chat from here on; `None` is at its end.
    pub fn on_view(&mut self, session: SessionId, view: Option<ViewPlace>) {
        if self.chat.id() == session {
            self.chat.session.view = view;
        }
    }

    /// When [`App::tick`] wants to be called.
    pub fn deadline(&self) -> Option<Instant> {
        [self.chat.save_deadline(), self.chat.eager_prefill.deadline()].into_iter().flatten().min()
    }

    /// Leaves; what is running is stopped and what there is of it saved.
    fn quit(&mut self) -> Vec<Effect> {
        let mut effects = self.chat.cut();
        effects.extend(self.chat.session.put_view());
        effects.push(Effect::Screen(OnScreen::Quit));
        effects
    }

    /// What is said where nothing can be changed, since a reply is running.
    fn busy(&self) -> Option<String> {
        self.chat.busy(&self.view.keymap)
    }

    /// Changes the chat, unless a reply is running: the person is told.
    fn when_idle(&mut self, change: impl FnOnce(&mut OpenChat) -> Vec<Effect>) -> Vec<Effect> {
        match self.busy() {
            Some(busy) => {
                self.chat.refuse(busy);
                Vec::new()
            }
            None => change(&mut self.chat),
        }
    }

    fn note(&mut self, kind: NoteKind, text: String) {
        self.chat.note(kind, text);
    }
}

#[cfg(test)]
mod tests;
