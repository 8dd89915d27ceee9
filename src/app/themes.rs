//! `/theme`: which themes there are, and which is in force.

use super::{App, Effect, List, NoteKind};
use crate::settings::theme::{self, Styles, Theme};

impl App {
    /// The themes that can be named, as far as they were read.
    pub fn themes(&self) -> &[Theme] {
        &self.themes
    }

    /// What a theme looks like; `None` where there is none of that name, or its file is broken.
    pub fn styles_of(&self, name: &str) -> Option<&Styles> {
        self.themes.iter().find(|theme| theme.name == name)?.styles.as_ref().ok()
    }

    /// What the theme in force looks like; `None` is the default.
    pub fn styles(&self) -> Option<&Styles> {
        self.styles_of(&self.settings.ui.theme)
    }

    /// The themes have been read: one is put in force, or the person chooses.
    pub(super) fn themes_read(&mut self, own: Vec<Theme>, wanted: Option<String>) -> Vec<Effect> {
        self.themes = theme::with_builtin(own);
        let Some(name) = wanted else { return vec![Effect::ShowList(List::Themes)] };
        match theme_problem(&self.themes, &name) {
            Some(problem) => self.note(NoteKind::Error, problem),
            None => {
                self.note(NoteKind::Info, format!("theme {name}; /save makes it the default"));
                self.settings.ui.theme = name;
            }
        }
        Vec::new()
    }
}

/// Why a theme cannot be put in force, in a sentence; `None` where it can.
pub fn theme_problem(themes: &[Theme], name: &str) -> Option<String> {
    match themes.iter().find(|theme| theme.name == name) {
        Some(theme) => theme.styles.as_ref().err().cloned(),
        None => {
            let names: Vec<&str> = themes.iter().map(|theme| theme.name.as_str()).collect();
            Some(format!("there is no theme `{name}`: it must be {}", names.join(", ")))
        }
    }
}
