//! What there is to choose from: models, themes, earlier prompts, names of files.

use super::files::Listing;
use super::{Effect, List, ListedModel, OfferedModel, OnScreen};
use crate::settings::theme::{self, Styles, Theme};
use crate::store::StoreOp;

/// What can be named, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The names of the models.
    pub(super) models: Vec<String>,
    /// The models as they were described last.
    pub(super) listed: Vec<ListedModel>,
    /// Those that can be pulled.
    pub(super) offered: Vec<OfferedModel>,
    pub(super) themes: Vec<Theme>,
    /// Earlier prompts, oldest first.
    pub(super) history: Vec<String>,
    /// The folder that was looked into last.
    pub(super) listing: Listing,
}

impl Catalog {
    pub(super) fn new(
        models: Vec<String>,
        offered: Vec<OfferedModel>,
        own_themes: Vec<Theme>,
        history: Vec<String>,
    ) -> Self {
        let themes = theme::with_builtin(own_themes);
        Self { models, offered, themes, history, ..Self::default() }
    }

    /// Remembers a line for Up, Down and Ctrl-R.
    pub(super) fn remember(&mut self, line: &str) -> Vec<Effect> {
        if self.history.last().is_some_and(|last| last == line) {
            return Vec::new();
        }
        self.history.push(line.to_owned());
        vec![Effect::Store(StoreOp::AppendHistory(line.to_owned()))]
    }

    /// What a theme looks like; `None` where there is none of that name, or its file is broken.
    pub(super) fn styles_of(&self, name: &str) -> Option<&Styles> {
        self.themes.iter().find(|theme| theme.name == name)?.styles.as_ref().ok()
    }

    /// The person's own themes were read.
    pub(super) fn set_themes(&mut self, own: Vec<Theme>) {
        self.themes = theme::with_builtin(own);
    }

    /// The models have been described.
    pub(super) fn on_models_listed(&mut self, listed: Vec<ListedModel>, offered: Vec<OfferedModel>) -> Vec<Effect> {
        self.models = listed.iter().map(|model| model.name.clone()).collect();
        self.listed = listed;
        self.offered = offered;
        vec![Effect::Screen(OnScreen::ShowList(List::Models))]
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
