//! What a person chooses from: the full screen shows it as a list, the line REPL as text.

use super::App;
use super::parameters::in_force;
use crate::chat::columns::lines;
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

impl List {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Themes => "Themes",
            Self::Models => "Models",
            Self::Presets => "Presets",
        }
    }

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
            List::Models => self.catalog.listed.iter().map(|model| self.model_row(model)).collect(),
            List::Presets => self.setup.preset_names().into_iter().map(|name| self.preset_row(name)).collect(),
        }
    }

    fn theme_row(&self, theme: &Theme) -> ListRow {
        let detail = match (&theme.styles, theme.is_own) {
            (Err(error), _) => error.clone(),
            (Ok(_), true) => "your own".to_owned(),
            (Ok(_), false) => String::new(),
        };
        ListRow { name: theme.name.clone(), detail, is_present: theme.name == self.setup.settings.ui.theme }
    }

    fn model_row(&self, model: &ListedModel) -> ListRow {
        let asked = self.engine.asked.as_str();
        let is_present = self.engine.model.is_some() && (model.name == asked || asked.is_empty() && model.is_default);
        ListRow { name: model.name.clone(), detail: model.detail.clone(), is_present }
    }

    fn preset_row(&self, name: String) -> ListRow {
        let detail = self.setup.preset_named(&name).as_ref().map(in_force).unwrap_or_default();
        let is_present = self.setup.preset() == Some(name.as_str());
        ListRow { name, detail, is_present }
    }

    /// A list as text, a row a line.
    pub fn list_text(&self, list: List) -> String {
        let rows = self.rows_of(list);
        let names: Vec<[String; 2]> = rows.iter().map(|row| [row.name.clone(), row.detail.clone()]).collect();
        let mark = |row: &ListRow| if row.is_present { "*" } else { " " };
        let lines: String =
            rows.iter().zip(lines(&names)).map(|(row, line)| format!("{} {line}\n", mark(row))).collect();
        let paths = if list == List::Models { "; so does a path to a GGUF file or a Hugging Face folder" } else { "" };
        format!("{}:\n{lines}{} chooses one{paths}\n", list.title(), list.command("NAME"))
    }
}
