//! `/preset`: sampling parameters under a name, built-in or the person's own.

use super::{App, Effect, List, NoteKind};
use gibber_engine::SamplingParams;
use gibber_engine::sampling::PRESET_NAMES;

impl App {
    /// `/preset [NAME]`, `/preset save NAME`, `/preset delete NAME`.
    pub(super) fn preset_command(&mut self, argument: &str) -> Vec<Effect> {
        match argument.split_once(char::is_whitespace).unwrap_or((argument, "")) {
            ("", _) => vec![Effect::ShowList(List::Presets)],
            ("save", name) => self.save_preset(name.trim()),
            ("delete", name) => self.delete_preset(name.trim()),
            _ => self.set_preset(argument),
        }
    }

    fn set_preset(&mut self, name: &str) -> Vec<Effect> {
        match self.preset_named(name) {
            Some(preset) => {
                let effects = self.apply_preset(preset);
                self.note(NoteKind::Info, format!("preset {name}{}", self.when_it_acts()));
                effects
            }
            None => {
                let text = format!("there is no preset `{name}`: it must be {}", self.preset_names().join(", "));
                self.note(NoteKind::Error, text);
                Vec::new()
            }
        }
    }

    fn save_preset(&mut self, name: &str) -> Vec<Effect> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let problem = if name.is_empty() || !name.chars().all(is_name) {
            Some(format!("a preset's name has letters, digits, - and _, and not `{name}`"))
        } else if PRESET_NAMES.contains(&name) || ["save", "delete"].contains(&name) {
            Some(format!("`{name}` is taken: choose another name for the preset"))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.note(NoteKind::Error, problem);
            return Vec::new();
        }
        let params = self.sampling.clone();
        self.settings.presets.insert(name.to_owned(), params.clone());
        vec![Effect::SavePreset { name: name.to_owned(), params: Some(Box::new(params)) }]
    }

    fn delete_preset(&mut self, name: &str) -> Vec<Effect> {
        if self.settings.presets.remove(name).is_none() {
            let own: Vec<&str> = self.settings.presets.keys().map(String::as_str).collect();
            let text = match (PRESET_NAMES.contains(&name), own.is_empty()) {
                (true, _) => format!("`{name}` is built in and stays"),
                (false, true) => "there is no preset of your own yet: /preset save NAME makes one".to_owned(),
                (false, false) => format!("there is no preset `{name}` of your own: it must be {}", own.join(", ")),
            };
            self.note(NoteKind::Error, text);
            return Vec::new();
        }
        vec![Effect::SavePreset { name: name.to_owned(), params: None }]
    }

    /// config.toml has been written, or not.
    pub(super) fn preset_saved(&mut self, name: &str, is_there: bool, outcome: Result<String, String>) {
        match outcome {
            Ok(path) if is_there => self.note(NoteKind::Info, format!("preset {name} is saved, in {path}")),
            Ok(path) => self.note(NoteKind::Info, format!("preset {name} is deleted from {path}")),
            Err(error) => self.note(NoteKind::Error, format!("only until you leave: {error}")),
        }
    }

    /// The preset after the one in force.
    pub(super) fn next_preset(&mut self) -> Vec<Effect> {
        let names = self.preset_names();
        let at = self.preset().and_then(|preset| names.iter().position(|name| name == preset));
        let next = &names[at.map_or(0, |at| (at + 1) % names.len())];
        self.preset_named(next).map(|preset| self.apply_preset(preset)).unwrap_or_default()
    }

    /// A preset without a seed leaves the seed as it is.
    fn apply_preset(&mut self, preset: SamplingParams) -> Vec<Effect> {
        self.change_sampling(|params| {
            let seed = preset.seed.or(params.seed);
            *params = SamplingParams { seed, ..preset };
        })
    }

    /// The filters of a preset; the person's own come first.
    pub(super) fn preset_named(&self, name: &str) -> Option<SamplingParams> {
        self.settings.presets.get(name).cloned().or_else(|| SamplingParams::preset(name))
    }

    /// The names of all presets, the built-in ones first.
    pub fn preset_names(&self) -> Vec<String> {
        let own = self.settings.presets.keys().filter(|name| !PRESET_NAMES.contains(&name.as_str()));
        PRESET_NAMES.iter().map(|name| (*name).to_owned()).chain(own.cloned()).collect()
    }
}
