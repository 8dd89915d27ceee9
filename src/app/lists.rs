//! What a person chooses from: the full screen shows it as a list, the line REPL as text.

use super::App;

/// Something to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Themes.
    Themes,
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

impl List {
    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Themes => "Themes",
        }
    }

    /// The line that chooses a row.
    pub fn command(self, name: &str) -> String {
        match self {
            Self::Themes => format!("/theme {name}"),
        }
    }
}

impl App {
    /// The rows of a list.
    pub fn rows_of(&self, list: List) -> Vec<ListRow> {
        match list {
            List::Themes => self.theme_rows(),
        }
    }

    fn theme_rows(&self) -> Vec<ListRow> {
        let detail = |theme: &crate::settings::theme::Theme| match (&theme.styles, theme.is_own) {
            (Err(error), _) => error.clone(),
            (Ok(_), true) => "your own".to_owned(),
            (Ok(_), false) => String::new(),
        };
        let row = |theme: &crate::settings::theme::Theme| ListRow {
            name: theme.name.clone(),
            detail: detail(theme),
            is_present: theme.name == self.settings.ui.theme,
        };
        self.themes.iter().map(row).collect()
    }

    /// A list as text, a row a line.
    pub fn list_text(&self, list: List) -> String {
        let rows = self.rows_of(list);
        let width = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
        let line = |row: &ListRow| {
            let mark = if row.is_present { "*" } else { " " };
            format!("{mark} {:<width$}  {}", row.name, row.detail).trim_end().to_owned() + "\n"
        };
        let lines: String = rows.iter().map(line).collect();
        format!("{}:\n{lines}{} chooses one\n", list.title(), list.command("NAME"))
    }
}
