//! The state of the screen (focus, composer, scroll, overlays), and what keys do to it and to the program.

use super::ascii::Charset;
use super::chat_list::ChatList;
use super::composer::{Composer, Motion};
use super::conversation::Conversation;
use super::mouse::{Held, MouseTip};
use super::overlay::{Item, Overlay};
use super::palette::palette;
use super::panels::SamplingPanel;
use super::popup::Popup;
use super::targets::Targets;
use super::text::one_line;
use super::theme::Theme;
use super::token_view::TokenView;
use super::variants::VariantsView;
use super::window::{ChatRequest, Choice};
use crate::app::keymap::{Context, KeyAction};
use crate::app::step::Step;
use crate::app::{Action, App, Effect, List, ListRow, Moment, OnScreen};
use crate::chat::MessageId;

/// What only the event loop can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Draw everything anew.
    Redraw,
    /// Take the mouse, or give it back.
    Mouse(bool),
    /// Put a text on the clipboard.
    Copy(String),
    /// Edit a text in the person's editor.
    Edit(String),
    /// Leave.
    Quit,
}

/// What is on the screen beside the state of the program: focus, scrolling, what is written.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) theme: Theme,
    pub(super) charset: Charset,
    pub(super) focus: Context,
    pub(super) composer: Composer,
    pub(super) conversation: Conversation,
    pub(super) variants: VariantsView,
    pub(super) sampling: SamplingPanel,
    pub(super) popup: Popup,
    pub(super) overlays: Vec<Overlay>,
    pub(super) panels: bool,
    pub(super) mouse: bool,
    pub(super) mouse_tip: MouseTip,
    /// What can be clicked besides text.
    pub(super) targets: Targets,
    pub(super) held: Held,
    /// What was being written when a message was taken to be edited.
    draft: Option<String>,
    /// The list of conversations is on screen.
    choosing_session: bool,
}

impl Screen {
    pub(super) fn new(app: &App, theme: Theme) -> Self {
        let ui = &app.settings().ui;
        Self {
            theme,
            charset: Charset::new([""; 3], ui.ascii),
            focus: Context::Composer,
            composer: Composer::default(),
            conversation: Conversation::default(),
            variants: VariantsView::default(),
            sampling: SamplingPanel::default(),
            popup: Popup::default(),
            overlays: Vec::new(),
            panels: ui.panels,
            mouse: ui.mouse,
            mouse_tip: if ui.hints { MouseTip::Due } else { MouseTip::Past },
            targets: Targets::default(),
            held: Held::default(),
            draft: None,
            choosing_session: false,
        }
    }

    /// What is being typed can be completed. What was recalled stands there whole: a list over it would take the keys that
    /// walk the history.
    pub(super) fn update_popup(&mut self, app: &App) {
        if self.composer.is_browsing() {
            self.popup.dismiss(self.composer.text());
        }
        self.popup.update(app, self.composer.text(), self.composer.cursor());
    }

    /// Asks for what the list of completions wants to know.
    pub(super) fn wanted_names(&mut self) -> Vec<Effect> {
        self.popup.take_wanted().into_iter().collect()
    }

    /// A text was pasted: it is never taken for keys.
    pub(super) fn on_paste(&mut self, app: &App, text: &str) -> Vec<Effect> {
        if let Some(overlay) = self.overlays.last_mut() {
            return overlay.paste(text);
        }
        self.focus = Context::Composer;
        // Terminals send the line ends of a paste as carriage returns.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        self.composer.paste(&text);
        self.popup.update(app, self.composer.text(), self.composer.cursor());
        self.wanted_names()
    }

    /// A text takes the place of what was written; undo brings that back.
    pub(super) fn replace_text(&mut self, text: &str) {
        self.composer.set(text);
        self.popup.dismiss(self.composer.text());
    }

    /// Does what only the screen does.
    pub(super) fn carry_out(&mut self, app: &App, wishes: Vec<OnScreen>) -> Vec<Request> {
        let mut requests = Vec::new();
        for wish in wishes {
            match wish {
                OnScreen::CopyText(text) => requests.push(Request::Copy(text)),
                OnScreen::Compose(text) => {
                    // What is being written stays.
                    if self.composer.is_empty() {
                        self.composer.give_back(&text);
                        // It was just given: no popup over the answer to it.
                        self.popup.dismiss(&text);
                    }
                }
                OnScreen::ComposeFile { name, text } => {
                    if self.composer.is_empty() {
                        self.composer.set_file(&name, &text);
                        self.popup.dismiss(self.composer.text());
                    }
                }
                OnScreen::EditText(text) => self.begin_edit(&text),
                OnScreen::ShowHelp => self.overlays.push(Overlay::help(app.keymap())),
                OnScreen::ShowPalette => self.overlays.push(palette(app)),
                OnScreen::ShowList(list) => self.overlays.push(list_overlay(app, list)),
                OnScreen::Quit => requests.push(Request::Quit),
            }
        }
        self.end_edit(app);
        self.show_sessions(app);
        // The names of files have come.
        self.popup.update(app, self.composer.text(), self.composer.cursor());
        requests
    }

    /// A message is in the composer, to be said in other words.
    fn begin_edit(&mut self, text: &str) {
        self.focus = Context::Composer;
        if self.draft.is_none() {
            self.draft = Some(self.composer.full_text());
        }
        self.composer.set(text);
        self.popup.dismiss(text);
    }

    /// Brings back what was being written before a message was edited.
    pub(super) fn end_edit(&mut self, app: &App) {
        if app.editing().is_none()
            && let Some(draft) = self.draft.take()
            && self.composer.full_text() != draft
        {
            self.composer.set(&draft);
        }
    }

    /// Puts the list of conversations on screen once it has come, and keeps it as it is.
    fn show_sessions(&mut self, app: &App) {
        let Some(saved) = app.saved() else { return };
        if !self.choosing_session {
            self.overlays.push(Overlay::Chats(ChatList::new(saved)));
            self.choosing_session = true;
        } else if let Some(Overlay::Chats(list)) = self.overlays.last_mut() {
            list.update(saved);
        }
    }

    /// What is asked for in the list of chats.
    pub(super) fn chat_request(&mut self, app: &mut App, request: ChatRequest, now: Moment) -> Vec<Effect> {
        match request {
            ChatRequest::Search(text) => vec![Effect::SearchSessions(text)],
            ChatRequest::Rename(session, title) => app.handle(Action::RenameSaved(session, title), now),
            ChatRequest::Delete(session) => app.handle(Action::DeleteSaved(session), now),
            ChatRequest::Restore => app.handle(Action::RestoreSaved, now),
        }
    }

    pub(super) fn close_overlay(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        self.overlays.pop();
        if std::mem::take(&mut self.choosing_session) { app.handle(Action::CloseList, now) } else { Vec::new() }
    }

    pub(super) fn choose(&mut self, app: &mut App, choice: Choice, now: Moment) -> (Vec<Effect>, Vec<Request>) {
        self.overlays.pop();
        let effects = match choice {
            Choice::Session(id) => {
                self.choosing_session = false;
                app.handle(Action::ChooseSession(id), now)
            }
            Choice::Found(session, message) => {
                self.choosing_session = false;
                app.handle(Action::ChooseFound(session, message), now)
            }
            Choice::Alternative { message, token, candidate } => {
                self.conversation.go_to_end();
                app.handle(Action::TakeAlternative { message, token, candidate }, now)
            }
            // It is loaded already.
            Choice::Row(List::Models, name) if is_present(app, &name) => Vec::new(),
            Choice::Row(list, name) => app.handle(Action::Enter(list.command(&name)), now),
            Choice::Command(line) => app.handle(Action::Enter(line), now),
            Choice::Action(context, action) => {
                if context.takes_focus() {
                    self.focus = context;
                }
                return self.act(app, action, now);
            }
            Choice::Text(text) => {
                self.focus = Context::Composer;
                self.composer.recall(&text);
                self.popup.dismiss(self.composer.text());
                Vec::new()
            }
        };
        (effects, Vec::new())
    }

    pub(super) fn act(&mut self, app: &mut App, action: KeyAction, now: Moment) -> (Vec<Effect>, Vec<Request>) {
        // A value that was being typed counts as soon as something else is done; only Esc forgets it.
        let mut effects = if action == KeyAction::DeleteBack { Vec::new() } else { self.end_typing(app, action, now) };
        let mut requests = Vec::new();
        match action {
            KeyAction::Stop => effects.extend(self.stop(app, now)),
            KeyAction::DeleteOrQuit if self.composer.is_empty() => effects.extend(app.handle(Action::Quit, now)),
            KeyAction::Send => {
                let line = self.composer.take();
                self.conversation.go_to_end();
                effects.extend(app.handle(Action::Enter(line), now));
            }
            KeyAction::Palette => effects.extend(app.handle(Action::OpenPalette, now)),
            KeyAction::Models => effects.extend(app.handle(Action::Give("model"), now)),
            KeyAction::NewChat => effects.extend(app.handle(Action::Give("new"), now)),
            KeyAction::OpenChat => effects.extend(app.handle(Action::Give("open"), now)),
            KeyAction::PreviousBranch => effects.extend(self.walk_branches(app, -1, now)),
            KeyAction::NextBranch => effects.extend(self.walk_branches(app, 1, now)),
            KeyAction::CopyMessage => effects.extend(self.act_on_message(app, now, Action::CopyMessage)),
            KeyAction::EditMessage => effects.extend(self.act_on_message(app, now, Action::EditMessage)),
            KeyAction::CopyCode => effects.extend(self.copy_code(app, now)),
            KeyAction::RegenerateMessage => effects.extend(self.regenerate(app, now)),
            KeyAction::Decrease => effects.extend(self.nudge(app, -1, false, now)),
            KeyAction::Increase => effects.extend(self.nudge(app, 1, false, now)),
            KeyAction::DecreaseMuch => effects.extend(self.nudge(app, -1, true, now)),
            KeyAction::IncreaseMuch => effects.extend(self.nudge(app, 1, true, now)),
            KeyAction::ResetParameter => {
                effects.extend(app.handle(Action::ResetParameter(self.sampling.parameter()), now));
            }
            KeyAction::NextPreset => effects.extend(app.handle(Action::NextPreset, now)),
            KeyAction::Pause => effects.extend(app.handle(Action::Step(Step::TogglePause), now)),
            KeyAction::GoOn => effects.extend(app.handle(Action::Step(Step::GoOn), now)),
            KeyAction::DrawToken => effects.extend(app.handle(Action::Step(Step::Draw), now)),
            KeyAction::TakeTokenBack => effects.extend(app.handle(Action::Step(Step::TakeBack), now)),
            KeyAction::ToggleSource => effects.extend(app.handle(Action::ToggleSource, now)),
            KeyAction::NextHeat => effects.extend(app.handle(Action::NextHeat, now)),
            KeyAction::ToggleFold => {
                let message = self.conversation.unfold_marked();
                effects.extend(message.map_or_else(Vec::new, |id| app.handle(Action::ToggleFold(id), now)));
            }
            KeyAction::ToggleThoughts => effects.extend(app.handle(Action::ToggleThoughts, now)),
            KeyAction::Redraw => requests.push(Request::Redraw),
            KeyAction::ToggleMouse => {
                self.mouse = !self.mouse;
                requests.push(Request::Mouse(self.mouse));
            }
            KeyAction::Editor => requests.push(Request::Edit(self.composer.full_text())),
            KeyAction::CopySelected | KeyAction::CutSelected => {
                effects.extend(app.handle(Action::Other, now));
                let is_cut = action == KeyAction::CutSelected;
                let text = if is_cut { self.composer.cut() } else { self.composer.copy() };
                requests.extend(text.map(Request::Copy));
            }
            KeyAction::Interrupt if app.generation().is_none() && self.composer.has_selection() => {
                effects.extend(app.handle(Action::Other, now));
                requests.extend(self.composer.copy().map(Request::Copy));
                self.composer.deselect();
            }
            KeyAction::Interrupt => effects.extend(self.interrupt(app, now)),
            screen => {
                effects.extend(app.handle(Action::Other, now));
                self.act_on_screen(app, screen);
            }
        }
        (effects, requests)
    }

    /// What concerns the screen alone.
    fn act_on_screen(&mut self, app: &App, action: KeyAction) {
        match action {
            KeyAction::Help => self.overlays.push(Overlay::help(app.keymap())),
            KeyAction::Tokens => self.overlays.push(Overlay::Tokens(TokenView::of(app))),
            KeyAction::HistorySearch => self.overlays.push(Overlay::history(app.history())),
            KeyAction::TogglePanels => self.panels = !self.panels,
            KeyAction::NextFocus => self.move_focus(1),
            KeyAction::PreviousFocus => self.move_focus(-1),
            KeyAction::PageUp => self.conversation.scroll_page(-1),
            KeyAction::PageDown => self.conversation.scroll_page(1),
            KeyAction::ScrollUp => self.conversation.scroll(-1),
            KeyAction::ScrollDown => self.conversation.scroll(1),
            KeyAction::Top => self.conversation.go_to_start(),
            KeyAction::Bottom => self.conversation.go_to_end(),
            KeyAction::PreviousMessage => self.conversation.mark(app, -1),
            KeyAction::NextMessage => self.conversation.mark(app, 1),
            KeyAction::SelectUp => self.sampling.select(-1),
            KeyAction::SelectDown => self.sampling.select(1),
            KeyAction::LineStart if self.composer.is_empty() => self.conversation.go_to_start(),
            KeyAction::LineEnd if self.composer.is_empty() => self.conversation.go_to_end(),
            writing => self.act_on_composer(app, writing),
        }
    }

    fn act_on_composer(&mut self, app: &App, action: KeyAction) {
        let composer = &mut self.composer;
        match action {
            KeyAction::NewLine => composer.insert("\n"),
            KeyAction::Left
            | KeyAction::Right
            | KeyAction::WordLeft
            | KeyAction::WordRight
            | KeyAction::LineStart
            | KeyAction::LineEnd
            | KeyAction::SelectLeft
            | KeyAction::SelectRight
            | KeyAction::SelectWordLeft
            | KeyAction::SelectWordRight
            | KeyAction::SelectToStart
            | KeyAction::SelectToEnd
            | KeyAction::Undo
            | KeyAction::Redo
            | KeyAction::DeleteBack
            | KeyAction::DeleteForward
            | KeyAction::DeleteOrQuit
            | KeyAction::DeleteWordBack
            | KeyAction::DeleteWordForward
            | KeyAction::DeleteToStart
            | KeyAction::DeleteToEnd
            | KeyAction::SelectAll
            | KeyAction::InsertCut => _ = composer.edit_line(action),
            KeyAction::HistoryBack => {
                if !composer.up(false) {
                    composer.history_back(app.history());
                }
            }
            KeyAction::HistoryForward => {
                if !composer.down(false) {
                    composer.history_forward(app.history());
                }
            }
            KeyAction::SelectRowUp => {
                if !composer.up(true) {
                    composer.go(Motion::LineStart, true);
                }
            }
            KeyAction::SelectRowDown => {
                if !composer.down(true) {
                    composer.go(Motion::LineEnd, true);
                }
            }
            KeyAction::UnfoldPaste => drop(composer.unfold()),
            // The layers above end these.
            KeyAction::PickCandidate
            | KeyAction::PreviousLane
            | KeyAction::NextLane
            | KeyAction::PickLane
            | KeyAction::KeepLane
            | KeyAction::PreviousToken
            | KeyAction::NextToken
            | KeyAction::ScoreTokens
            | KeyAction::Leave
            | KeyAction::Choose
            | KeyAction::Complete
            | KeyAction::RenameChat
            | KeyAction::DeleteChat
            | KeyAction::RestoreChat => {}
            // What is done before one comes here.
            KeyAction::Stop
            | KeyAction::Interrupt
            | KeyAction::Help
            | KeyAction::NextFocus
            | KeyAction::PreviousFocus
            | KeyAction::Redraw
            | KeyAction::NewChat
            | KeyAction::OpenChat
            | KeyAction::Palette
            | KeyAction::Models
            | KeyAction::ToggleMouse
            | KeyAction::ToggleSource
            | KeyAction::ToggleThoughts
            | KeyAction::ToggleFold
            | KeyAction::Pause
            | KeyAction::GoOn
            | KeyAction::DrawToken
            | KeyAction::TakeTokenBack
            | KeyAction::Tokens
            | KeyAction::NextHeat
            | KeyAction::TogglePanels
            | KeyAction::PageUp
            | KeyAction::PageDown
            | KeyAction::Top
            | KeyAction::Bottom
            | KeyAction::Send
            | KeyAction::Editor
            | KeyAction::HistorySearch
            | KeyAction::CopySelected
            | KeyAction::CutSelected
            | KeyAction::ScrollUp
            | KeyAction::ScrollDown
            | KeyAction::PreviousBranch
            | KeyAction::NextBranch
            | KeyAction::PreviousMessage
            | KeyAction::NextMessage
            | KeyAction::CopyMessage
            | KeyAction::CopyCode
            | KeyAction::EditMessage
            | KeyAction::RegenerateMessage
            | KeyAction::SelectUp
            | KeyAction::SelectDown
            | KeyAction::Decrease
            | KeyAction::Increase
            | KeyAction::DecreaseMuch
            | KeyAction::IncreaseMuch
            | KeyAction::ResetParameter
            | KeyAction::NextPreset => {}
        }
    }

    fn end_typing(&mut self, app: &mut App, action: KeyAction, now: Moment) -> Vec<Effect> {
        if matches!(action, KeyAction::Stop | KeyAction::Interrupt) { Vec::new() } else { self.commit_typed(app, now) }
    }

    pub(super) fn commit_typed(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        match self.sampling.take_typed() {
            Some(text) => app.handle(Action::SetParameter { parameter: self.sampling.parameter(), text }, now),
            None => Vec::new(),
        }
    }

    fn nudge(&mut self, app: &mut App, steps: i32, large: bool, now: Moment) -> Vec<Effect> {
        app.handle(Action::Nudge { parameter: self.sampling.parameter(), steps, large }, now)
    }

    /// Ctrl-C: stops the reply; with text, clears it; otherwise the program asks for a second one.
    fn interrupt(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        let is_editing = app.editing().is_some();
        if app.generation().is_none() && !is_editing && !self.composer.is_empty() {
            self.composer.set("");
            return app.handle(Action::Other, now);
        }
        app.handle(Action::Interrupt, now)
    }

    /// Esc: forgets a typed value, stops the reply, or goes back to writing.
    fn stop(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        if self.sampling.is_typing() {
            self.sampling.take_typed();
            return app.handle(Action::Other, now);
        }
        if app.generation().is_none() {
            self.focus = Context::Composer;
            if self.composer.deselect() {
                return app.handle(Action::Other, now);
            }
        }
        app.handle(Action::Stop, now)
    }

    /// Another version of the marked message, or of the last answer that has some.
    fn walk_branches(&mut self, app: &mut App, by: isize, now: Moment) -> Vec<Effect> {
        let Some(message) = self.conversation.marked() else { return app.handle(Action::SwitchBranch(by), now) };
        let effects = app.handle(Action::SwitchBranchAt(message, by), now);
        self.conversation.mark_sibling(app, message);
        effects
    }

    /// What is done to the marked message, or to the last one.
    fn act_on_message(&self, app: &mut App, now: Moment, act: impl FnOnce(MessageId) -> Action) -> Vec<Effect> {
        let message = self.conversation.marked().or(app.transcript().head());
        app.handle(message.map_or(Action::Other, act), now)
    }

    /// Another answer beside this one, at whose end one then is.
    fn regenerate(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        let effects = self.act_on_message(app, now, Action::RegenerateAt);
        self.conversation.go_to_end();
        effects
    }

    fn copy_code(&mut self, app: &mut App, now: Moment) -> Vec<Effect> {
        let message = self.conversation.marked().or(app.transcript().head());
        let action = message.map_or(Action::Other, |id| Action::CopyCode(id, self.conversation.next_code(id)));
        app.handle(action, now)
    }

    fn move_focus(&mut self, by: isize) {
        const ORDER: [Context; 3] = [Context::Composer, Context::Sampling, Context::Transcript];
        let at = ORDER.iter().position(|&part| part == self.focus).unwrap_or(0) as isize;
        self.focus = ORDER[(at + by).rem_euclid(ORDER.len() as isize) as usize];
    }
}

fn is_present(app: &App, model: &str) -> bool {
    app.rows_of(List::Models).iter().any(|row| row.is_present && row.name == model)
}

/// Stands over what has to be pulled.
const OFFERED: &str = "can be had: Enter pulls it, and loads it once it is here";

/// A list with the cursor on what is in force.
fn list_overlay(app: &App, list: List) -> Overlay {
    let rows = app.rows_of(list);
    let present = rows.iter().position(|row| row.is_present);
    Overlay::picker_at(list.title(), rows.into_iter().map(|row| item_of(list, row)).collect(), present.unwrap_or(0))
}

/// What has to be pulled stands under a heading of its own.
fn item_of(list: List, row: ListRow) -> Item {
    let ListRow { name, detail, is_present, is_offered } = row;
    Item {
        label: format!("{}{}", one_line(&name), if is_present { " *" } else { "" }),
        choice: if is_offered { Choice::Command(format!("/pull {name}")) } else { Choice::Row(list, name) },
        detail: one_line(&detail),
        heading: is_offered.then_some(OFFERED),
    }
}
