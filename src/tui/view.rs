//! A frame: where everything is, and what the title, the separators and the status line say.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Style};

use super::context;
use super::overlay::Overlay;
use super::panels;
use super::pull_gauge;
use super::screen::Screen;
use super::step_view;
use super::text::{fit, one_line, whole_hints, width_of};
use super::theme::Theme;
use super::variants;
use crate::app::keymap::Context;
use crate::app::{App, Loading, Phase};
use crate::chat::Role;

/// From this width on the panels are beside the conversation.
const WIDE: u16 = 100;

/// Less than this cannot be used.
const SMALLEST: (u16, u16) = (30, 8);

/// Rows of the composer before it scrolls, as a share of the screen.
const COMPOSER_SHARE: u16 = 3;

/// Where everything is.
#[derive(Debug, Clone, Copy)]
struct Layout {
    title: Rect,
    conversation: Rect,
    /// How far a model is that is being pulled.
    pull: Rect,
    /// The panels, or the line they fold into.
    panels: Option<Panels>,
    /// What can be picked while a reply is paused, where no panel shows it.
    steps: Rect,
    separator: Rect,
    composer: Rect,
    status: Rect,
}

#[derive(Debug, Clone, Copy)]
enum Panels {
    Beside(Rect),
    Folded(Rect),
}

/// Rows of what is not always there, or not always as high.
#[derive(Debug, Clone, Copy)]
struct Rows {
    composer: u16,
    steps: u16,
    pull: u16,
}

/// Draws the whole screen.
pub(super) fn draw(screen: &mut Screen, app: &App, frame: &mut Frame) {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        draw_too_small(area, frame.buffer_mut());
        return;
    }
    let theme = theme_in_force(screen, app);
    screen.theme = theme;
    let wide = area.width >= WIDE && screen.panels;
    let composer_width = area.width - if wide { 6 } else { 3 };
    let rows = screen.composer.height(usize::from(composer_width)) as u16;
    let rows = Rows {
        composer: rows.clamp(1, (area.height / COMPOSER_SHARE).max(1)),
        steps: if wide { 0 } else { step_view::rows(app, area.height) },
        pull: pull_gauge::rows(app),
    };
    let layout = layout(area, wide, screen.panels, rows);
    let buffer = frame.buffer_mut();
    draw_title(app, layout.title, buffer, theme);
    screen.conversation.set_focused(screen.focus == Context::Transcript);
    screen.conversation.draw(app, layout.conversation, buffer, theme);
    let focused = screen.focus == Context::Sampling;
    screen.targets.clear();
    draw_separator(screen, app, layout.separator, buffer, theme);
    match layout.panels {
        Some(Panels::Beside(area)) => {
            draw_borders(&layout, area, buffer, theme);
            panels::draw(app, &mut screen.sampling, focused, area, (buffer, theme), &mut screen.targets);
        }
        Some(Panels::Folded(area)) => {
            panels::draw_folded(app, &screen.sampling, focused, area, (buffer, theme), &mut screen.targets);
        }
        None => {}
    }
    pull_gauge::draw(app, layout.pull, buffer, theme);
    step_view::draw(app, layout.steps, (buffer, theme), &mut screen.targets);
    let cursor = draw_composer(screen, layout.composer, buffer);
    draw_status(screen, app, layout.status, buffer);
    if screen.focus == Context::Composer {
        screen.popup.draw(Rect { y: layout.separator.y, ..layout.composer }, buffer, theme);
    }
    screen.variants.draw(app, Rect { y: area.y + 1, height: area.height - 2, ..area }, buffer, theme);
    for overlay in &mut screen.overlays {
        overlay.draw(app, area, buffer, theme);
    }
    paint_ground(theme.text(), buffer);
    screen.charset.apply(buffer);
    let is_writing = screen.overlays.is_empty() && !screen.variants.is_open();
    if let Some(position) = cursor.filter(|_| is_writing && screen.focus == Context::Composer) {
        frame.set_cursor_position(position);
    }
}

/// The theme that was chosen, or that is being looked at in a list of them.
fn theme_in_force(screen: &Screen, app: &App) -> Theme {
    let looked_at = screen.overlays.last().and_then(Overlay::shown_theme);
    let styles = looked_at.and_then(|name| app.styles_of(name)).or_else(|| app.styles());
    styles.map_or(screen.theme, |styles| screen.theme.with_styles(styles))
}

/// What has no colour of its own gets that of plain text: a theme can have a background.
fn paint_ground(text: Style, buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if let (Color::Reset, Some(color)) = (cell.fg, text.fg) {
            cell.fg = color;
        }
        if let (Color::Reset, Some(color)) = (cell.bg, text.bg) {
            cell.bg = color;
        }
    }
}

fn draw_too_small(area: Rect, buffer: &mut Buffer) {
    let text = format!("gibber needs {}x{}", SMALLEST.0, SMALLEST.1);
    let text = fit(&text, usize::from(area.width)).into_owned();
    if area.height > 0 {
        buffer.set_string(area.x, area.y, text, ratatui::style::Style::new());
    }
}

/// Splits the screen: from the bottom up, the conversation takes what is left.
fn layout(area: Rect, wide: bool, panels: bool, rows: Rows) -> Layout {
    let row = |y: u16, height: u16| Rect { x: area.x, y, width: area.width, height };
    let title = row(area.y, 1);
    let status = row(area.bottom() - 1, 1);
    let composer = row(status.y - rows.composer, rows.composer);
    let separator = row(composer.y - 1, 1);
    let folded = (panels && !wide).then(|| row(separator.y - 1, 1));
    let end = folded.map_or(separator.y, |line| line.y) - rows.steps;
    let steps = Rect { x: area.x + 1, width: area.width - 2, ..row(end, rows.steps) };
    let main = row(title.bottom(), end - title.bottom());
    if !wide {
        let conversation = Rect { x: main.x + 1, width: main.width - 2, ..main };
        let (conversation, pull) = split_off(conversation, rows.pull);
        let composer = Rect { x: composer.x + 1, width: composer.width - 1, ..composer };
        let panels = folded.map(Panels::Folded);
        return Layout { title, conversation, pull, panels, steps, separator, composer, status };
    }
    let beside = Rect { x: main.right() - 1 - panels::WIDTH, width: panels::WIDTH, ..main };
    let conversation = Rect { x: main.x + 2, width: beside.x - main.x - 4, ..main };
    let (conversation, pull) = split_off(conversation, rows.pull);
    let composer = Rect { x: composer.x + 2, width: composer.width - 4, ..composer };
    Layout { title, conversation, pull, panels: Some(Panels::Beside(beside)), steps, separator, composer, status }
}

/// Takes so many rows off the end.
fn split_off(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    let height = area.height - rows;
    (Rect { height, ..area }, Rect { y: area.y + height, height: rows, ..area })
}

/// ` SmolLM2-135M-Instruct · Q4_1 ────── capital of France · branch 2/3 ─`
fn draw_title(app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
    let width = usize::from(area.width);
    let left = match (app.model(), app.loading()) {
        (_, Some(loading)) if loading.total > 0 => loading_text(loading, width),
        (_, Some(_)) => " loading the model ".to_owned(),
        (Some(model), None) => format!(" {} · {} ", one_line(&model.name), model.format),
        (None, None) => " no model ".to_owned(),
    };
    let left = fit(&left, width);
    buffer.set_string(area.x, area.y, "─".repeat(width), theme.line());
    buffer.set_string(area.x, area.y, &left, theme.title());
    let mut right = match app.session().title.as_str() {
        "" => "new chat".to_owned(),
        title => one_line(title),
    };
    if let Some((_, k, n)) = app.transcript().last_fork() {
        right.push_str(&format!(" · branch {k}/{n}"));
    }
    let room = width.saturating_sub(width_of(&left) + 6);
    if room >= 8 {
        let right = format!(" {} ", fit(&right, room));
        let x = width - width_of(&right) - 1;
        buffer.set_string(area.x + x as u16, area.y, right, theme.text());
    }
}

/// ` loading gpt2 ━━━━──── 45 % · 247 of 548 MB · 1.2 s `; the bar where there is room.
fn loading_text(loading: &Loading, width: usize) -> String {
    const BAR: u64 = 10;
    let name = if loading.name.is_empty() { "the model".to_owned() } else { one_line(&loading.name) };
    let filled = (loading.percent() * BAR / 100).min(BAR) as usize;
    let bar = format!("{}{}", "█".repeat(filled), "░".repeat(BAR as usize - filled));
    let (name, progress) = (fit(&name, width / 3), loading.progress());
    if loading.stopping {
        return format!(" {name}: stopping ");
    }
    let whole = format!(" loading {name} {bar} {progress} ");
    if width_of(&whole) <= width { whole } else { format!(" loading {name}: {progress} ") }
}

fn draw_borders(layout: &Layout, panels: Rect, buffer: &mut Buffer, theme: Theme) {
    let style = theme.line();
    let (left, middle, right) = (layout.title.x, panels.x - 1, layout.title.right() - 1);
    for y in panels.y..panels.bottom() {
        for x in [left, middle, right] {
            buffer.set_string(x, y, "│", style);
        }
    }
    // What is written into the line goes over its mark.
    let is_free = buffer.cell((middle, layout.separator.y)).is_none_or(|cell| cell.symbol() == "─");
    let foot = if is_free { Some((middle, "┴")) } else { None };
    for (x, mark) in [(left, "├"), (right, "┤")].into_iter().chain(foot) {
        buffer.set_string(x, layout.separator.y, mark, style);
    }
    for y in layout.composer.y..layout.composer.bottom() {
        buffer.set_string(left, y, "│", style);
        buffer.set_string(right, y, "│", style);
    }
}

/// The line over the composer says where one is in the conversation, when not at its end.
fn draw_separator(screen: &Screen, app: &App, area: Rect, buffer: &mut Buffer, theme: Theme) {
    buffer.set_string(area.x, area.y, "─".repeat(usize::from(area.width)), theme.line());
    if screen.focus == Context::Transcript {
        buffer.set_stringn(area.x + 2, area.y, " conversation ", usize::from(area.width) - 2, theme.chosen());
    }
    if let Some(begin) = app.begin().filter(|_| screen.focus != Context::Transcript) {
        let text = format!(" the next reply begins: {} ", one_line(begin));
        let room = usize::from(area.width).saturating_sub(16);
        buffer.set_string(area.x + 2, area.y, fit(&text, room), theme.accent());
    }
    let mut end = usize::from(area.width).saturating_sub(2);
    let mut put = |text: &str, style| {
        let text = fit(text, end);
        end = end.saturating_sub(width_of(&text));
        buffer.set_string(area.x + end as u16, area.y, &text, style);
    };
    if let Some((text, warns)) = context::draft(app) {
        put(&text, if warns { theme.warning() } else { theme.text() });
    }
    let below = screen.conversation.rows_below();
    if below > 0 {
        put(&format!(" ↓ {below} more "), theme.warning());
    }
}

fn draw_composer(screen: &mut Screen, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let theme = screen.theme;
    buffer.set_string(
        area.x,
        area.y,
        ">",
        if screen.focus == Context::Composer { theme.title() } else { theme.faint() },
    );
    let text = Rect { x: area.x + 2, width: area.width.saturating_sub(2), ..area };
    screen.composer.draw(text, buffer, theme, "Ask something, or type / for commands")
}

fn draw_status(screen: &Screen, app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = screen.theme;
    let width = usize::from(area.width);
    buffer.set_string(area.x, area.y, "─".repeat(width), theme.line());
    let (text, style) = status_text(screen, app, theme);
    let shown = whole_hints(&text, width.saturating_sub(2));
    buffer.set_string(area.x, area.y, format!(" {shown} "), style);
}

/// What the keys do now, with `<action>` in the place of a key.
fn editing_hints(role: Role) -> &'static str {
    match role {
        Role::User => "editing a question · <stop> leaves it · <send> asks it beside the former",
        Role::Assistant | Role::System => "editing a reply · <stop> leaves it · <send> puts it beside the former",
    }
}

fn status_text(screen: &Screen, app: &App, theme: Theme) -> (String, Style) {
    let hints = |text: &str| app.keymap().hints(screen.focus, text);
    if app.quit_armed() {
        return (hints("<interrupt> again quits (everything is saved)"), theme.warning());
    }
    if let Some(hint) = app.hint() {
        return (format!("! {hint}"), theme.warning());
    }
    if let Some(text) = step_view::status(app, screen.focus, !screen.composer.is_empty()) {
        return (text, theme.warning());
    }
    if let Some(comparison) = app.comparison() {
        return (variants::status(app, comparison), theme.accent());
    }
    if let Some(generation) = app.generation() {
        let text = match (generation.stopping, generation.phase) {
            (true, _) => "stopping".to_owned(),
            (false, Phase::Waiting) => "<stop> stop · waiting for the model".to_owned(),
            (false, Phase::Prefill { done, total, .. }) => format!("<stop> stop · reading the prompt {done}/{total}"),
            (false, Phase::Decoding) => {
                format!("<stop> stop · {} tokens · <next-focus> panels turn it while it speaks", generation.tokens)
            }
        };
        return (hints(&text), theme.accent());
    }
    if let Some(node) = app.editing() {
        return (hints(editing_hints(node.message.role)), theme.accent());
    }
    if app.model().is_some() && app.loading().is_some_and(|loading| !loading.stopping) {
        return (hints("<stop> stops the loading · you can type meanwhile"), theme.accent());
    }
    if let Some(tip) = screen.mouse_tip.text().map(hints).filter(|tip| !tip.is_empty()) {
        return (tip, theme.accent());
    }
    if let Some(tip) = app.tip().filter(|_| screen.focus == Context::Composer) {
        return (tip, theme.accent());
    }
    let text = match screen.focus {
        Context::Sampling => {
            "<decrease>/<increase> turn · <decrease-much>/<increase-much> large steps · <select-up>/<select-down> choose \
             · digits type a value · <reset-parameter> default · <next-preset> preset · <next-focus> next"
        }
        Context::Transcript => {
            "<scroll-up>/<scroll-down> scroll · <previous-message> <next-message> mark · <copy-message> copy \
             · <copy-code> code · <edit-message> edit · <regenerate-message> again \
             · <previous-branch>/<next-branch> versions · <toggle-fold> unfold · <next-focus> next · <stop> write"
        }
        Context::Composer
        | Context::Anywhere
        | Context::Stepping
        | Context::Lanes
        | Context::Tokens
        | Context::Completion
        | Context::List
        | Context::Chats => {
            "<send> send · / commands · <help> help · <next-focus> panels · <new-line> new line · <palette> palette"
        }
    };
    (hints(text), theme.faint())
}
