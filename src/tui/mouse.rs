//! The mouse: what a click, a drag and the wheel do there.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Rect;

use super::conversation::Released;
use super::screen::{Request, Screen};
use super::targets::{Target, slider_fraction};
use crate::app::keymap::{Context, Key, KeyPress};
use crate::app::parameters::PARAMETERS;
use crate::app::step::Step;
use crate::app::{Action, App, Effect, Moment};

/// Rows that a notch of the mouse wheel scrolls.
const WHEEL: isize = 3;

/// Where the button was pressed that is still held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Held {
    /// Nowhere, or where a drag does nothing.
    #[default]
    Nothing,
    Conversation,
    Composer,
    /// On the slider of this parameter, which was drawn here.
    Slider(usize, Rect),
}

/// What the last line says of the mouse when it is used for the first time: a person who wants to mark something as
/// everywhere else has to learn how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MouseTip {
    /// It was not used yet.
    Due,
    /// Until the next key.
    Shown,
    /// It was read, or nobody wants it.
    Past,
}

impl MouseTip {
    /// The text, with the actions whose keys stand in it.
    const TEXT: &str = "<toggle-mouse> leaves the mouse to the terminal · with Shift held the terminal marks text";

    /// What is to be said now.
    pub(super) fn text(self) -> Option<&'static str> {
        (self == Self::Shown).then_some(Self::TEXT)
    }

    /// A key was pressed.
    pub(super) fn on_key(&mut self) {
        if *self == Self::Shown {
            *self = Self::Past;
        }
    }

    fn on_mouse(&mut self) {
        if *self == Self::Due {
            *self = Self::Shown;
        }
    }
}

impl Screen {
    /// The mouse was used.
    pub(super) fn on_mouse(&mut self, app: &mut App, event: MouseEvent, now: Moment) -> (Vec<Effect>, Vec<Request>) {
        let (x, y) = (event.column, event.row);
        self.mouse_tip.on_mouse();
        let mut requests = Vec::new();
        let effects = match event.kind {
            MouseEventKind::ScrollUp => self.on_wheel(app, x, y, true, now),
            MouseEventKind::ScrollDown => self.on_wheel(app, x, y, false, now),
            _ if !self.overlays.is_empty() => Vec::new(),
            MouseEventKind::Down(MouseButton::Left) => self.on_press(app, x, y, now),
            MouseEventKind::Drag(MouseButton::Left) => self.on_drag(app, x, y, now),
            MouseEventKind::Up(MouseButton::Left) => {
                self.held = Held::Nothing;
                match self.conversation.release(app) {
                    Released::Selected(text) => requests.push(Request::Copy(text)),
                    Released::Clicked => self.focus = Context::Transcript,
                    Released::Nothing => {}
                }
                Vec::new()
            }
            _ => Vec::new(),
        };
        (effects, requests)
    }

    /// The wheel scrolls what is under it, and turns a parameter.
    fn on_wheel(&mut self, app: &mut App, x: u16, y: u16, up: bool, now: Moment) -> Vec<Effect> {
        let by = if up { -WHEEL } else { WHEEL };
        if let Some(overlay) = self.overlays.last_mut() {
            overlay.on_key(app, KeyPress::plain(if up { Key::Up } else { Key::Down }));
            return Vec::new();
        }
        if self.variants.is_open() {
            self.variants.scroll_at(x, y, by);
            return Vec::new();
        }
        let Some((_, Target::Parameter(row) | Target::Slider(row))) = self.targets.at(x, y) else {
            self.conversation.scroll(by);
            return Vec::new();
        };
        let mut effects = self.commit_typed(app, now);
        let parameter = PARAMETERS[row].parameter;
        effects.extend(app.handle(Action::Nudge { parameter, steps: if up { 1 } else { -1 }, large: false }, now));
        effects
    }

    fn on_press(&mut self, app: &mut App, x: u16, y: u16, now: Moment) -> Vec<Effect> {
        if self.variants.is_open() {
            let variant = self.variants.variant_at(x, y);
            return variant.map_or_else(Vec::new, |variant| app.handle(Action::ChooseVariant(variant), now));
        }
        // A value that was being typed counts as soon as something else is done.
        let mut effects = self.commit_typed(app, now);
        match self.targets.at(x, y) {
            Some((_, Target::Candidate(place))) if app.is_paused() => {
                effects.extend(app.handle(Action::Step(Step::Pick(place)), now));
            }
            Some((_, Target::Candidate(_))) => {}
            Some((area, Target::Slider(row))) => {
                self.held = Held::Slider(row, area);
                self.choose_parameter(row);
                effects.extend(slide(app, row, area, x, now));
            }
            Some((_, Target::Parameter(row))) => self.choose_parameter(row),
            None if self.composer.click(x, y) => {
                self.held = Held::Composer;
                self.focus = Context::Composer;
            }
            None => {
                self.held = Held::Conversation;
                self.conversation.press(app, x, y, now.at);
            }
        }
        effects
    }

    fn choose_parameter(&mut self, row: usize) {
        self.focus = Context::Sampling;
        self.sampling.choose(row);
    }

    fn on_drag(&mut self, app: &mut App, x: u16, y: u16, now: Moment) -> Vec<Effect> {
        match self.held {
            Held::Nothing => {}
            Held::Composer => self.composer.drag(x, y),
            Held::Conversation => self.conversation.drag(x, y),
            Held::Slider(row, area) => return slide(app, row, area, x, now),
        }
        Vec::new()
    }
}

/// Sets a parameter to where its slider, which is at `area`, was clicked; beyond an end it is that end's.
fn slide(app: &mut App, row: usize, area: Rect, x: u16, now: Moment) -> Vec<Effect> {
    app.handle(Action::Slide(PARAMETERS[row].parameter, slider_fraction(area, x)), now)
}
