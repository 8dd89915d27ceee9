//! Ctrl-P: all that can be done, in one list: commands, what keys do, themes, presets, models, saved chats.

use super::fuzzy::Order;
use super::overlay::{Item, Overlay};
use super::text::one_line;
use super::window::Choice;
use crate::app::keymap::{Context, KeyAction, KeyRow};
use crate::app::{App, List, OfferedModel, Pull, SessionRecord, commands};

/// Saved chats in the list, the newest first.
const CHATS: usize = 20;

/// The list.
pub(super) fn palette(app: &App) -> Overlay {
    let mut items: Vec<Item> = commands::all().iter().map(command).collect();
    let keymap = app.keymap();
    let can_be_done = |row: &&KeyRow| match row.binding.context {
        Context::Anywhere => row.binding.action != KeyAction::Palette,
        // Of these keys each takes its own candidate.
        Context::Stepping => app.is_paused() && row.binding.action != KeyAction::PickCandidate,
        context => context.takes_focus(),
    };
    let rows = keymap.rows().iter().filter(can_be_done);
    items.extend(rows.map(|row| key(row, keymap.help(row.binding))));
    for (list, kind) in [(List::Presets, "preset"), (List::Themes, "theme")] {
        items.extend(app.rows_of(list).into_iter().map(|row| named(list, kind, &row.name, &row.detail)));
    }
    items.extend(app.models().iter().map(|name| named(List::Models, "model", name, "")));
    items.extend(app.pulls().iter().map(stop));
    items.extend(app.offered().iter().map(offered));
    items.extend(app.recent().iter().take(CHATS).map(chat));
    Overlay::picker("Commands", items).ordered(Order::Best)
}

/// A command that takes nothing is given at once; others go into the composer.
fn command(command: &commands::SlashCommand) -> Item {
    let choice = if command.takes_argument() {
        Choice::Text(format!("/{} ", command.name))
    } else {
        Choice::Command(format!("/{}", command.name))
    };
    Item { choice, label: command.usage(), detail: command.help.to_owned(), heading: None }
}

fn key(row: &KeyRow, label: String) -> Item {
    let place = match row.binding.context {
        Context::Anywhere => String::new(),
        context => format!(" ({})", context.title()),
    };
    Item {
        choice: Choice::Action(row.binding.context, row.binding.action),
        label,
        detail: format!("{}{place}", row.keys.join(" · ")),
        heading: None,
    }
}

fn named(list: List, kind: &str, name: &str, detail: &str) -> Item {
    Item {
        choice: Choice::Row(list, name.to_owned()),
        label: format!("{kind} {}", one_line(name)),
        detail: one_line(detail),
        heading: None,
    }
}

/// A model on its way is wanted no more.
fn stop(pull: &Pull) -> Item {
    Item {
        choice: Choice::Command(format!("/pull stop {}", pull.name)),
        label: format!("stop pulling {}", one_line(&pull.name)),
        detail: "what has come is kept".to_owned(),
        heading: None,
    }
}

fn offered(model: &OfferedModel) -> Item {
    Item {
        choice: Choice::Command(format!("/pull {}", model.name)),
        label: format!("pull {}", one_line(&model.name)),
        detail: one_line(&model.detail()),
        heading: None,
    }
}

fn chat(record: &SessionRecord) -> Item {
    let title = if record.title.is_empty() { "(without a title)" } else { &record.title };
    let label = format!("chat {}", one_line(title));
    Item { choice: Choice::Session(record.id), label, detail: one_line(&record.model), heading: None }
}
