//! Templates as a person names them.

use std::path::{Path, PathBuf};

use crate::chat::template::BUILTIN_NAMES;
use crate::worker::protocol::TemplateChoice;

/// The templates that can be named.
pub(super) fn template_names() -> Vec<&'static str> {
    std::iter::once("model").chain(BUILTIN_NAMES).collect()
}

/// The template that a name or a path stands for; empty and `model` are the model's own.
pub fn template_choice(name: &str) -> TemplateChoice {
    match name {
        "" | "model" => TemplateChoice::Model,
        name if is_path(name) => TemplateChoice::File(PathBuf::from(name)),
        name => TemplateChoice::Builtin(name.to_owned()),
    }
}

fn is_path(name: &str) -> bool {
    let looks_like_one = name.contains('/') || name.contains(std::path::MAIN_SEPARATOR) || name.ends_with(".jinja");
    looks_like_one || (!BUILTIN_NAMES.contains(&name) && Path::new(name).is_file())
}

pub(super) fn check_template(name: &str) -> Result<(), String> {
    if is_path(name) || template_names().contains(&name) {
        return Ok(());
    }
    Err(format!("there is no template `{name}`: it must be {} or a file", template_names().join(", ")))
}

/// A template as a person names it.
pub fn describe_template(choice: &TemplateChoice) -> String {
    match choice {
        TemplateChoice::Model => "model".to_owned(),
        TemplateChoice::Builtin(name) => name.clone(),
        TemplateChoice::File(path) => path.display().to_string(),
    }
}
