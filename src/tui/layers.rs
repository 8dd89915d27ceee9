//! Which part of the screen a key is for: an ordered list of layers, from what lies on top down to the text that is being
//! written. The first one that takes a key ends its way.

use super::screen::{Request, Screen};
use super::window::Outcome;
use crate::app::keymap::{Context, Key, KeyAction, KeyPress};
use crate::app::step::Step;
use crate::app::{Action, App, Effect, Moment};

/// What a key led to: what the program carries out, and what only the event loop can do.
pub(super) type Done = (Vec<Effect>, Vec<Request>);

/// A part of the screen that may take a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// The list or view that was opened last.
    Overlay,
    /// Replies side by side. They are there alone: every key ends here.
    Comparison,
    /// The names that are offered while one writes.
    Completion,
    /// A reply that is paused, where nothing is written.
    Stepping,
    /// What the focused part has keys for, and what has one anywhere.
    Bindings,
    /// What no key is bound to: a character is written, or is part of a value.
    Typing,
}

impl Layer {
    /// Every layer, in the order in which they are asked.
    pub(super) const ALL: [Self; 6] =
        [Self::Overlay, Self::Comparison, Self::Completion, Self::Stepping, Self::Bindings, Self::Typing];

    /// Does what the key stands for here; `None` leaves it to the layers below.
    fn on_key(self, screen: &mut Screen, app: &mut App, press: KeyPress, now: Moment) -> Option<Done> {
        match self {
            Self::Overlay => screen.overlay_key(app, press, now),
            Self::Comparison => screen.comparison_key(app, press, now),
            Self::Completion => screen.completion_key(app, press),
            Self::Stepping => screen.stepping_key(app, press, now),
            Self::Bindings => screen.bound_key(app, press, now),
            Self::Typing => Some((screen.typed_key(app, press, now), Vec::new())),
        }
    }
}

impl Screen {
    /// A key was pressed.
    pub(super) fn on_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Done {
        self.mouse_tip.on_key();
        let mut layers = Layer::ALL.into_iter();
        let done = layers.find_map(|layer| layer.on_key(self, app, press, now));
        let (mut effects, requests) = done.unwrap_or_default();
        self.end_edit(app);
        self.update_popup(app);
        effects.extend(self.wanted_names());
        (effects, requests)
    }

    fn overlay_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Option<Done> {
        let effects = match self.overlays.last_mut()?.on_key(app, press) {
            Outcome::Passed => return None,
            Outcome::Taken => Vec::new(),
            Outcome::Close => self.close_overlay(app, now),
            Outcome::Chosen(choice) => return Some(self.choose(app, choice, now)),
            Outcome::Chats(request) => self.chat_request(app, request, now),
            Outcome::Act(action) => app.handle(action, now),
        };
        Some((effects, Vec::new()))
    }

    /// The keys of the conversation and of writing have to wait while replies are compared.
    fn comparison_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Option<Done> {
        app.comparison()?;
        let action = app.keymap().action(Context::Lanes, press);
        Some(action.and_then(|action| self.compare(app, action, press, now)).unwrap_or_default())
    }

    /// Does what the key stands for in a comparison; `None` where it stands for nothing there.
    pub(super) fn compare(&mut self, app: &mut App, action: KeyAction, press: KeyPress, now: Moment) -> Option<Done> {
        let comparison = app.comparison()?;
        let (chosen, count) = (comparison.chosen, comparison.variants.len());
        let wish = match action {
            KeyAction::PreviousLane => Action::ChooseVariant((chosen + count - 1) % count),
            KeyAction::NextLane => Action::ChooseVariant((chosen + 1) % count),
            KeyAction::PickLane => Action::ChooseVariant(app.keymap().place(Context::Lanes, press)?),
            KeyAction::KeepLane => Action::KeepLane,
            KeyAction::Stop | KeyAction::Interrupt => Action::Stop,
            KeyAction::Help
            | KeyAction::Tokens
            | KeyAction::Redraw
            | KeyAction::ToggleMouse
            | KeyAction::ToggleSource
            | KeyAction::ToggleThoughts => return Some(self.act(app, action, now)),
            _ => return self.variants.scroll_by_key(action).then(Done::default),
        };
        Some((app.handle(wish, now), Vec::new()))
    }

    fn completion_key(&mut self, app: &App, press: KeyPress) -> Option<Done> {
        let is_there = self.focus == Context::Composer && self.popup.is_open();
        match app.keymap().bound(Context::Completion, press).filter(|_| is_there)? {
            KeyAction::SelectUp => self.popup.select(-1),
            KeyAction::SelectDown => self.popup.select(1),
            KeyAction::Stop => self.popup.dismiss(self.composer.text()),
            KeyAction::Complete => self.complete(app),
            // A whole name is given; the beginning of one is completed, and never given.
            KeyAction::Choose if !self.popup.is_complete(self.composer.text()) => self.complete(app),
            _ => return None,
        }
        Some(Done::default())
    }

    fn complete(&mut self, app: &App) {
        if let Some((line, cursor)) = self.popup.chosen().map(|(line, cursor)| (line.to_owned(), cursor)) {
            self.composer.set_at(&line, cursor);
            self.popup.update(app, &line, cursor);
        }
    }

    /// In the sampling panel digits and the like are a value's.
    fn stepping_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Option<Done> {
        let is_free = match self.focus {
            Context::Sampling => press.key == Key::Char(' ') && !self.sampling.is_typing(),
            _ => self.composer.is_empty(),
        };
        match app.keymap().bound(Context::Stepping, press).filter(|_| is_free && app.is_paused())? {
            KeyAction::PickCandidate => {
                let place = app.keymap().place(Context::Stepping, press)?;
                Some((app.handle(Action::Step(Step::Pick(place)), now), Vec::new()))
            }
            action => Some(self.act(app, action, now)),
        }
    }

    fn bound_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Option<Done> {
        match app.keymap().action(self.focus, press)? {
            // Where nothing is marked the key is one for writing.
            KeyAction::ToggleFold if self.conversation.marked().is_none() => None,
            action => Some(self.act(app, action, now)),
        }
    }

    fn typed_key(&mut self, app: &mut App, press: KeyPress, now: Moment) -> Vec<Effect> {
        let mut effects = app.handle(Action::Other, now);
        if self.focus == Context::Sampling && !press.ctrl && !press.alt {
            match press.key {
                Key::Enter => {
                    effects.extend(self.commit_typed(app, now));
                    return effects;
                }
                Key::Backspace => {
                    self.sampling.backspace();
                    return effects;
                }
                Key::Char(character) if self.sampling.type_char(character) => return effects,
                _ => {}
            }
        }
        if let (Key::Char(character), false, false) = (press.key, press.ctrl, press.alt) {
            effects.extend(self.commit_typed(app, now));
            self.focus = Context::Composer;
            self.composer.insert(character.encode_utf8(&mut [0; 4]));
        } else if press.key == Key::Enter {
            self.focus = Context::Composer;
        }
        effects
    }
}
