//! The user's own themes: files in the folder `themes` of the config directory.

use crate::app::theme_problem;
use crate::settings::Settings;
use crate::settings::theme::{self, Styles, Theme};
use crate::store::Paths;

/// The files of the folder, by name; a folder that is not there has none.
pub(super) fn own(paths: &Paths) -> Vec<Theme> {
    let Ok(entries) = std::fs::read_dir(paths.themes()) else { return Vec::new() };
    let files = entries.flatten().map(|entry| entry.path());
    let mut themes: Vec<Theme> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            let styles = match gibber_files::read_text(&path, gibber_files::SMALL) {
                Ok(text) => Styles::parse(&text, &path).map_err(|error| error.to_string()),
                Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            };
            Some(Theme { name, styles, is_own: true })
        })
        .collect();
    themes.sort_by(|a, b| a.name.cmp(&b.name));
    themes
}

/// What is wrong with the theme of the settings, and with the files of others.
pub(super) fn problems(settings: &Settings, paths: &Paths) -> Vec<String> {
    let broken = own(paths).into_iter().filter(|theme| theme.name != settings.ui.theme);
    problem(settings, paths).into_iter().chain(broken.filter_map(|theme| theme.styles.err())).collect()
}

/// Why the theme of the settings cannot be shown; `None` where it can.
pub(super) fn problem(settings: &Settings, paths: &Paths) -> Option<String> {
    let problem = theme_problem(&theme::with_builtin(own(paths)), &settings.ui.theme)?;
    Some(format!("`ui.theme`: {problem}"))
}
