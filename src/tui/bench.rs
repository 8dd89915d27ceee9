//! The screen without a terminal, for `benches/transcript.rs` to measure.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::screen::Screen;
use super::theme::{Colors, Theme};
use super::view;
use crate::app::keymap::KeyPress;
use crate::app::{App, Moment};
use crate::worker::protocol::EngineEvent;

/// A screen that draws into memory.
#[derive(Debug)]
pub struct Stage {
    app: App,
    screen: Screen,
    terminal: Terminal<TestBackend>,
}

impl Stage {
    /// A screen of this size over `app`; nothing is drawn yet. `None` where there is no memory for it.
    pub fn new(app: App, width: u16, height: u16) -> Option<Self> {
        let screen = Screen::new(&app, Theme::in_colors(Colors::Ansi));
        Some(Self { app, screen, terminal: Terminal::new(TestBackend::new(width, height)).ok()? })
    }

    /// Draws a frame.
    pub fn draw(&mut self) {
        let Self { app, screen, terminal } = self;
        let _ = terminal.draw(|frame| view::draw(screen, app, frame));
    }

    /// Presses a key in the notation of the table; one that is not understood does nothing.
    pub fn press(&mut self, key: &str) {
        if let Some(press) = KeyPress::parse(key) {
            self.screen.on_key(&mut self.app, press, Moment::now());
        }
    }

    /// Takes an event of the engine.
    pub fn event(&mut self, event: EngineEvent) {
        self.app.on_event(event, Moment::now());
    }

    /// How many blocks of Markdown were laid out up to now.
    pub fn blocks_laid_out(&self) -> usize {
        self.screen.conversation.work()
    }
}
