//! Themes: chosen, looked at, the person's own.

use ratatui::style::Color;

use super::stage::Stage;
use crate::app::Start;
use crate::settings::Settings;
use crate::settings::theme::{Styles, Theme as NamedTheme};
use crate::tui::theme::Theme;
use crate::worker::fake::{FakeWorker, Step};

/// A screen with a question on it.
fn asked() -> Stage {
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("Paris.")]));
    stage.keys("Where?<Enter>");
    stage.pump_to_end();
    stage
}

/// The colour of the person's name over the question.
fn user_color(stage: &mut Stage) -> Color {
    let buffer = stage.buffer();
    let cell = (0..80 * 24).map(|at| &buffer.content[at]).zip(1..).find(|(cell, at)| {
        cell.symbol() == "y" && buffer.content[*at].symbol() == "o" && buffer.content[at + 1].symbol() == "u"
    });
    cell.map(|(cell, _)| cell.fg).unwrap_or_default()
}

fn own(name: &str, text: &str) -> NamedTheme {
    let path = format!("/home/me/.config/gibber/themes/{name}.toml");
    let styles = Styles::parse(text, std::path::Path::new(&path)).map_err(|error| error.to_string());
    NamedTheme { name: name.into(), styles, is_own: true }
}

#[test]
fn a_theme_is_seen_as_soon_as_the_cursor_is_on_it_and_esc_brings_the_former_back() {
    let mut stage = asked();
    assert_eq!(user_color(&mut stage), Color::Green);
    stage.keys("/theme<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("Themes") && shown.contains("▸ dark *") && shown.contains("high-contrast"), "{shown}");
    stage.keys("<Down><Down>");
    assert_eq!(stage.buffer()[(0, 0)].bg, Color::Black, "high-contrast is looked at");
    assert_eq!(user_color(&mut stage), Color::LightGreen, "also the conversation, which stays in view");
    stage.keys("<Esc>");
    assert_eq!(stage.buffer()[(0, 0)].bg, Color::Reset);
    assert_eq!(user_color(&mut stage), Color::Green);
    stage.keys("/theme<Enter>contr<Enter>");
    assert_eq!(user_color(&mut stage), Color::LightGreen);
    assert!(stage.draw().contains("theme high-contrast; /save makes it the default"));
    stage.keys("/save<Enter>");
    assert_eq!(stage.memory.saved.as_ref().unwrap().ui.theme, "high-contrast");
}

#[test]
fn a_background_covers_the_whole_screen() {
    let mut stage = asked();
    stage.keys("/theme light<Enter><F1>");
    let buffer = stage.buffer();
    assert!(buffer.content.iter().all(|cell| cell.bg != Color::Reset && cell.fg != Color::Reset));
    assert_eq!(buffer[(0, 0)].bg, Color::White, "the nearest of the 16 colours");
}

#[test]
fn an_own_theme_is_read_anew_each_time_and_its_mistakes_are_told() {
    let mut stage = asked();
    stage.memory.themes = vec![own("sea", "user = \"#000080\"\nmodel = \"blu\"")];
    stage.keys("/theme sea<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("themes/sea.toml:2: `model` is \"blu\""), "{shown}");
    assert_eq!(user_color(&mut stage), Color::Green, "the former theme stays");
    stage.memory.themes = vec![own("sea", "user = \"blue\"")];
    stage.keys("/theme s<Tab><Enter>");
    assert_eq!(user_color(&mut stage), Color::Blue);
    stage.keys("/theme nosuch<Enter>");
    let shown = stage.draw();
    assert!(shown.contains("there is no theme `nosuch`: it must be dark, light, high-contrast, none, sea"), "{shown}");
    assert_eq!(user_color(&mut stage), Color::Blue);
}

#[test]
fn the_theme_of_the_settings_is_there_from_the_start_unless_colours_are_off() {
    let mut settings = Settings::default();
    settings.ui.theme = "sea".into();
    let start =
        || Start { settings: settings.clone(), themes: vec![own("sea", "title = \"red\"")], ..Start::default() };
    let mut stage = Stage::with_start(80, 24, FakeWorker::new(), Theme::new(true), start());
    assert_eq!(stage.buffer()[(1, 0)].fg, Color::Red);
    let mut stage = Stage::with_start(80, 24, FakeWorker::new(), Theme::new(false), start());
    assert_eq!(stage.buffer()[(1, 0)].fg, Color::Reset);
    stage.keys("/theme light<Enter>");
    assert_eq!(stage.buffer()[(0, 0)].bg, Color::Reset, "NO_COLOR is obeyed");
}

#[test]
fn what_is_wrong_with_the_settings_is_told_in_the_chat() {
    let start = Start { warnings: vec!["`ui.theme`: there is no theme `x`".into()], ..Start::default() };
    let mut stage = Stage::with_start(80, 24, FakeWorker::new(), Theme::new(true), start);
    assert!(stage.draw().contains("! `ui.theme`: there is no theme `x`"));
}

#[test]
fn a_reply_that_is_rendered_already_takes_the_colours_of_the_new_theme() {
    let mut stage = Stage::new(80, 24, FakeWorker::new().reply([Step::text("# Capital\nIt is Paris.")]));
    stage.keys("Where?<Enter>");
    stage.pump_to_end();
    let has = |stage: &mut Stage, color: Color| stage.buffer().content.iter().any(|cell| cell.fg == color);
    assert!(has(&mut stage, Color::Magenta), "the heading");
    stage.keys("/theme high-contrast<Enter>");
    assert!(has(&mut stage, Color::LightMagenta) && !has(&mut stage, Color::Magenta));
}
