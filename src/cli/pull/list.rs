//! `gibber pull --list`: what can be had.

use anyhow::Result;
use serde::Serialize;

use super::{Work, parsed};
use crate::chat::columns::lines;
use crate::chat::one_line;
use crate::cli::output::Output;
use crate::hub::{Choice, ModelHub, bytes_text};

/// A choice as JSON.
#[derive(Serialize)]
struct ChoiceRow<'a> {
    name: &'a str,
    bytes: Option<u64>,
    note: &'a str,
    fits: Option<bool>,
    /// Whether the engine knows what it is made of.
    runnable: bool,
}

/// The catalogue, or what there is of `name`.
pub(super) fn run(hub: &ModelHub, name: Option<&str>, json: bool) -> Result<()> {
    let mut output = Output::stdout();
    let choices = match name {
        None => hub.catalogue(),
        Some(name) => {
            let reference = parsed(hub, name)?;
            let work = Work::begin(hub)?;
            work.hub.choices(name, &reference)?
        }
    };
    if json {
        let row = |choice: &Choice| {
            let Choice { name, bytes, note, fits, is_unknown } = choice.clone();
            output.json(&ChoiceRow { name: &name, bytes, note: &note, fits, runnable: !is_unknown })
        };
        return choices.iter().try_for_each(row);
    }
    let headings = ["NAME", "SIZE", ""].map(str::to_owned);
    let table: Vec<[String; 3]> = std::iter::once(headings).chain(choices.iter().map(columns)).collect();
    lines(&table).iter().try_for_each(|line| output.line(line))
}

fn columns(choice: &Choice) -> [String; 3] {
    let note = match choice.fits {
        _ if choice.is_unknown => choice.note.clone(),
        Some(false) if choice.note.is_empty() => "more than this machine's memory".to_owned(),
        Some(false) => format!("{}; more than this machine's memory", choice.note),
        Some(true) | None => choice.note.clone(),
    };
    [one_line(&choice.name), choice.bytes.map(bytes_text).unwrap_or_default(), one_line(&note)]
}
