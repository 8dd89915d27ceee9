//! What a person chooses from: the full screen shows it as a list, the line REPL as text.

use super::App;
use super::parameters::in_force;
use crate::chat::columns::lines;
use crate::hub::bytes_text;
use crate::settings::theme::Theme;

/// Something to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Themes.
    Themes,
    /// Models of this machine.
    Models,
    /// Presets of sampling.
    Presets,
}

/// A row of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRow {
    /// What is chosen.
    pub name: String,
    /// What is known of it.
    pub detail: String,
    /// Whether it is the one in force.
    pub is_present: bool,
    /// Whether it has to be pulled first.
    pub is_offered: bool,
}

/// A model of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedModel {
    /// What it is called here.
    pub name: String,
    /// Its architecture, format and size; or why it cannot be run.
    pub detail: String,
    /// Whether it is the one that is loaded where none was named.
    pub is_default: bool,
}

/// A model that can be pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedModel {
    /// What `/pull` takes.
    pub name: String,
    /// What is to be fetched, as far as that is known.
    pub bytes: Option<u64>,
    /// What it is good at, its licence, and what stands in its way.
    pub about: String,
    /// Why this engine cannot run it, if so.
    pub cannot_run: Option<String>,
}

impl OfferedModel {
    /// Its size and what is known of it.
    pub fn detail(&self) -> String {
        let size = self.bytes.map(bytes_text);
        size.into_iter()
            .chain(Some(self.about.clone()).filter(|about| !about.is_empty()))
            .collect::<Vec<_>>()
            .join(" · ")
    }
}

impl List {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Themes => "Themes",
            Self::Models => "Models",
            Self::Presets => "Presets",
        }
    }

    /// What stands over the rows that have to be pulled.
    pub const OFFERED: &str = "can be had";

    /// The line that chooses a row.
    pub fn command(self, name: &str) -> String {
        let command = match self {
            Self::Themes => "theme",
            Self::Models => "model",
            Self::Presets => "preset",
        };
        format!("/{command} {name}")
    }
}

impl App {
    /// The rows of a list.
    pub fn rows_of(&self, list: List) -> Vec<ListRow> {
        match list {
            List::Themes => self.catalog.themes.iter().map(|theme| self.theme_row(theme)).collect(),
            List::Models => self.model_rows(),
            List::Presets => self.setup.preset_names().into_iter().map(|name| self.preset_row(name)).collect(),
        }
    }

    fn theme_row(&self, theme: &Theme) -> ListRow {
        let detail = match (&theme.styles, theme.is_own) {
            (Err(error), _) => error.clone(),
            (Ok(_), true) => "your own".to_owned(),
            (Ok(_), false) => String::new(),
        };
        ListRow {
            name: theme.name.clone(),
            detail,
            is_present: theme.name == self.setup.settings.ui.theme,
            is_offered: false,
        }
    }

    /// Those that are here, then those that can be had.
    fn model_rows(&self) -> Vec<ListRow> {
        let here = self.catalog.listed.iter().map(|model| self.model_row(model));
        here.chain(self.catalog.offered.iter().map(|model| self.offered_row(model))).collect()
    }

    /// One that is on its way says how far it is.
    fn offered_row(&self, model: &OfferedModel) -> ListRow {
        let coming = self.pulls().iter().find(|pull| pull.name == model.name);
        let state = coming.map(|pull| format!("on its way, {} % · ", pull.percent())).unwrap_or_default();
        let detail = state + &model.detail();
        ListRow { name: model.name.clone(), detail, is_present: false, is_offered: true }
    }

    fn model_row(&self, model: &ListedModel) -> ListRow {
        let asked = self.engine.asked.as_str();
        let is_present = self.engine.model.is_some() && (model.name == asked || asked.is_empty() && model.is_default);
        ListRow { name: model.name.clone(), detail: model.detail.clone(), is_present, is_offered: false }
    }

    fn preset_row(&self, name: String) -> ListRow {
        let detail =
            self.setup.preset_named(&name).map(|preset| in_force(&self.setup.with_preset(&preset))).unwrap_or_default();
        let is_present = self.setup.preset() == Some(name.as_str());
        ListRow { name, detail, is_present, is_offered: false }
    }

    /// A list as text, a row a line.
    pub fn list_text(&self, list: List) -> String {
        let rows = self.rows_of(list);
        let names: Vec<[String; 2]> = rows.iter().map(|row| [row.name.clone(), row.detail.clone()]).collect();
        let mark = |row: &ListRow| if row.is_present { "*" } else { " " };
        let shown: Vec<(bool, String)> = rows
            .iter()
            .zip(lines(&names))
            .map(|(row, line)| (row.is_offered, format!("{} {line}\n", mark(row))))
            .collect();
        let part = |wanted: bool| -> String {
            shown.iter().filter(|(is_offered, _)| *is_offered == wanted).map(|(_, line)| line.as_str()).collect()
        };
        let (here, offered) = (part(false), part(true));
        let paths = if list == List::Models { "; so does a path to a GGUF file or a Hugging Face folder" } else { "" };
        let mut text = match (here.is_empty(), offered.is_empty()) {
            (true, false) => String::new(),
            _ => format!("{}:\n{here}{} chooses one{paths}\n", list.title(), list.command("NAME")),
        };
        if !offered.is_empty() {
            text += &format!("These {}:\n{offered}/pull NAME gets one and loads it\n", List::OFFERED);
        }
        text
    }
}
