//! Screens as SVG: text in a monospaced font on a dark ground. A moving picture draws each row once for each thing that it
//! showed, and shows it for as long as it stood there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use vt100::{Cell, Color, Screen};

use crate::recorder::Frame;

/// A cell, in pixels.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 17.0;
/// Around the screen.
const MARGIN: f32 = 12.0;
const FOREGROUND: &str = "#d5d8de";
const BACKGROUND: &str = "#16181d";
/// How long the last frame of a moving picture stays.
const REST: Duration = Duration::from_millis(2500);

/// The 16 ANSI colours.
const ANSI: [&str; 16] = [
    "#2b2e36", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d5d8de", "#7b828f", "#ff7b86",
    "#b5e890", "#ffd68a", "#82c4ff", "#dd9bf0", "#7fd6e0", "#ffffff",
];

/// One screen.
pub(crate) fn still(frame: &Frame) -> String {
    let (rows, columns) = size(&frame.screen);
    let drawn: String = (0..rows).map(|row| draw_row(&frame.screen, row, columns)).collect();
    document(rows, columns, "", &drawn)
}

/// Every screen, one after another, again and again.
pub(crate) fn moving(frames: &[Frame]) -> String {
    let (rows, columns) = frames.last().map_or((0, 0), |frame| size(&frame.screen));
    let total = frames.last().map_or(Duration::ZERO, |frame| frame.at) + REST;
    let (mut drawn, mut styles) = (String::new(), String::new());
    let mut count = 0;
    for row in 0..rows {
        for (picture, times) in pictures_of(frames, row, columns, total) {
            if picture.is_empty() {
                continue;
            }
            let stays_to_the_end = times.last().is_some_and(|&(_, end)| end == total);
            if times == [(Duration::ZERO, total)] {
                drawn.push_str(&picture);
                continue;
            }
            let keys = keyframes(&times, total);
            let _ = writeln!(styles, "@keyframes k{count}{{{keys}}}.k{count}{{animation-name:k{count}}}");
            // Where nothing moves, the last screen is shown.
            let at_rest = if stays_to_the_end { "" } else { " hidden" };
            let _ = writeln!(drawn, "<g class=\"m k{count}{at_rest}\">{picture}</g>");
            count += 1;
        }
    }
    let seconds = total.as_secs_f32();
    let common = format!(".m{{animation:{seconds:.2}s step-end infinite}}.hidden{{visibility:hidden}}\n");
    document(rows, columns, &(common + &styles), &drawn)
}

/// What a row showed, each with the times at which it did.
fn pictures_of(
    frames: &[Frame],
    row: u16,
    columns: u16,
    total: Duration,
) -> BTreeMap<String, Vec<(Duration, Duration)>> {
    let mut pictures: BTreeMap<String, Vec<(Duration, Duration)>> = BTreeMap::new();
    for (at, frame) in frames.iter().enumerate() {
        let end = frames.get(at + 1).map_or(total, |next| next.at);
        let times = pictures.entry(draw_row(&frame.screen, row, columns)).or_default();
        match times.last_mut() {
            Some(last) if last.1 == frame.at => last.1 = end,
            _ => times.push((frame.at, end)),
        }
    }
    pictures
}

fn keyframes(times: &[(Duration, Duration)], total: Duration) -> String {
    let percent = |at: Duration| at.as_secs_f32() / total.as_secs_f32() * 100.0;
    let mut keys = String::new();
    if times[0].0 > Duration::ZERO {
        keys.push_str("0%{visibility:hidden}");
    }
    for &(start, end) in times {
        let _ = write!(keys, "{:.3}%{{visibility:visible}}", percent(start));
        if end < total {
            let _ = write!(keys, "{:.3}%{{visibility:hidden}}", percent(end));
        }
    }
    keys
}

fn size(screen: &Screen) -> (u16, u16) {
    let (rows, columns) = screen.size();
    (rows.get(), columns.get())
}

fn document(rows: u16, columns: u16, styles: &str, drawn: &str) -> String {
    let (width, height) = (f32::from(columns) * WIDTH + 2.0 * MARGIN, f32::from(rows) * HEIGHT + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xml:space=\"preserve\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\">\n\
         <style>text{{font:13.95px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;white-space:pre;fill:{FOREGROUND}}}\n\
         {styles}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n{drawn}</svg>\n"
    )
}

/// How a cell looks, apart from its text.
#[derive(Debug, Clone, PartialEq)]
struct Look {
    fill: String,
    ground: String,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

impl Look {
    fn of(cell: &Cell) -> Self {
        let (fill, ground) = (color(cell.fgcolor(), FOREGROUND), color(cell.bgcolor(), BACKGROUND));
        let (fill, ground) = if cell.inverse() { (ground, fill) } else { (fill, ground) };
        let (bold, dim) = (cell.bold(), cell.dim());
        Self { fill, ground, bold, dim, italic: cell.italic(), underline: cell.underline() }
    }
}

/// A row as runs of cells that look alike. Each run is told its width, so that no font moves what follows.
fn draw_row(screen: &Screen, row: u16, columns: u16) -> String {
    let mut drawn = String::new();
    let mut column = 0;
    while column < columns {
        let Some(first) = screen.cell(row, column) else { break };
        let look = Look::of(first);
        let (start, mut text) = (column, String::new());
        while column < columns
            && let Some(cell) = screen.cell(row, column).filter(|cell| Look::of(cell) == look)
        {
            if !cell.is_wide_continuation() {
                text.push_str(if cell.has_contents() { cell.contents() } else { " " });
            }
            column += 1;
        }
        draw_run(&mut drawn, row, start, column - start, &text, &look);
    }
    drawn
}

fn draw_run(drawn: &mut String, row: u16, start: u16, columns: u16, text: &str, look: &Look) {
    let (x, y) = (MARGIN + f32::from(start) * WIDTH, MARGIN + f32::from(row) * HEIGHT);
    let width = f32::from(columns) * WIDTH;
    if look.ground != BACKGROUND {
        let ground = &look.ground;
        let _ = write!(
            drawn,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{ground}\"/>"
        );
    }
    if text.trim().is_empty() && !look.underline {
        return;
    }
    let mut style = String::new();
    if look.fill != FOREGROUND {
        let _ = write!(style, " fill=\"{}\" style=\"fill:{}\"", look.fill, look.fill);
    }
    for (is_on, attribute) in [
        (look.bold, " font-weight=\"bold\""),
        (look.dim, " opacity=\"0.6\""),
        (look.italic, " font-style=\"italic\""),
        (look.underline, " text-decoration=\"underline\""),
    ] {
        if is_on {
            style.push_str(attribute);
        }
    }
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let y = y + HEIGHT * 0.75;
    let _ = write!(
        drawn,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{width:.1}\" lengthAdjust=\"spacingAndGlyphs\"{style}>{text}</text>"
    );
}

fn color(color: Color, default: &str) -> String {
    match color {
        Color::Default => default.to_owned(),
        Color::Idx(index @ 0..16) => ANSI[usize::from(index)].to_owned(),
        Color::Idx(index @ 16..232) => {
            let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
            let index = index - 16;
            format!("#{:02x}{:02x}{:02x}", level(index / 36), level(index / 6 % 6), level(index % 6))
        }
        Color::Idx(index) => {
            let grey = 8 + 10 * (index - 232);
            format!("#{grey:02x}{grey:02x}{grey:02x}")
        }
        Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}
