//! Where the files of a user are.

use std::path::{Path, PathBuf};

use directories::ProjectDirs;

use super::{StoreError, files};

/// The environment variable that names the config directory.
pub const CONFIG_DIR_VARIABLE: &str = "GIBBER_CONFIG_DIR";

/// The environment variable that names the folder for models, such as one on a larger disk.
pub const MODELS_VARIABLE: &str = "GIBBER_MODELS";

/// The config directory, and where else models are looked for. Nothing is made before something is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    directory: PathBuf,
    data: Option<PathBuf>,
    /// The system's place for what can be made anew; `None` where the directory was named, which then has it as well.
    cache: Option<PathBuf>,
    /// The same for what a program says about itself.
    state: Option<PathBuf>,
    /// The folder for models, where one was named: it takes the place of all others of gibber's own.
    models: Option<PathBuf>,
}

impl Paths {
    /// The directory that `flag` names (`--config-dir`), else `GIBBER_CONFIG_DIR`, else the system's usual place.
    ///
    /// # Errors
    /// [`StoreError::NoHome`] where the system names no home directory and none was given.
    pub fn new(flag: Option<&Path>) -> Result<Self, StoreError> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // What is written down of it is to be found from any directory.
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        let models = variable(MODELS_VARIABLE).map(absolute);
        let project = ProjectDirs::from("", "", "gibber");
        let named = flag.map(Path::to_owned).or(variable(CONFIG_DIR_VARIABLE));
        let cache = project.as_ref().filter(|_| named.is_none()).map(|project| project.cache_dir().to_owned());
        let state = project.as_ref().filter(|_| named.is_none());
        let state = state.map(|project| project.state_dir().unwrap_or(project.data_local_dir()).to_owned());
        let directory = named
            .or_else(|| project.as_ref().map(|project| project.config_dir().to_owned()))
            .ok_or(StoreError::NoHome)?;
        let data = project.map(|project| project.data_dir().to_owned());
        Ok(Self { directory: absolute(directory), data, cache, state, models })
    }

    /// A config directory alone.
    pub fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), data: None, cache: None, state: None, models: None }
    }

    /// The config directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// `config.toml`.
    pub fn config(&self) -> PathBuf {
        self.directory.join("config.toml")
    }

    /// The database of the chats.
    pub fn database(&self) -> PathBuf {
        self.directory.join("chats.db")
    }

    /// The prompt history.
    pub fn history(&self) -> PathBuf {
        self.directory.join("history.jsonl")
    }

    /// The folder of the user's own themes.
    pub fn themes(&self) -> PathBuf {
        self.directory.join("themes")
    }

    /// The folder of what can be made anew, such as quantized weights: the system's, or one in a config directory that was
    /// named.
    pub fn cache(&self) -> PathBuf {
        self.cache.clone().unwrap_or_else(|| self.directory.join("cache"))
    }

    /// The log of faults: in the system's place for state, or in a config directory that was named.
    pub fn log(&self) -> PathBuf {
        self.state.as_ref().unwrap_or(&self.directory).join("gibber.log")
    }

    /// The folder for models that are fetched or made: in the system's place for data, or in a config directory that was named;
    /// or the one that `GIBBER_MODELS` names.
    pub fn own_models(&self) -> PathBuf {
        self.models.clone().unwrap_or_else(|| self.fetched_to().join("models"))
    }

    /// Whether `GIBBER_MODELS` names the folder for models.
    pub fn has_named_models(&self) -> bool {
        self.models.is_some()
    }

    /// The list of what was fetched, beside the folder for it.
    pub fn ledger(&self) -> PathBuf {
        self.fetched_to().join("pulled.json")
    }

    fn fetched_to(&self) -> &Path {
        // A directory that was named has everything.
        self.data.as_deref().filter(|_| self.cache.is_some()).unwrap_or(&self.directory)
    }

    /// The folders in which models are found by name, in the order of the search: in the config directory, and in the
    /// system's place for data; or the one that `GIBBER_MODELS` names.
    pub fn model_folders(&self) -> Vec<PathBuf> {
        if let Some(models) = &self.models {
            return vec![models.clone()];
        }
        let mut folders = vec![self.directory.join("models")];
        folders.extend(self.data.iter().map(|data| data.join("models")));
        folders.dedup();
        folders
    }

    /// Makes the config directory, for the user alone.
    ///
    /// # Errors
    /// [`StoreError::Io`], or [`StoreError::DiskFull`].
    pub fn ensure(&self) -> Result<(), StoreError> {
        files::private_directory(&self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_comes_first_and_nothing_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let wanted = directory.path().join("mine");
        let paths = Paths::new(Some(&wanted)).unwrap();
        assert_eq!(paths.directory(), wanted);
        assert_eq!(paths.config(), wanted.join("config.toml"));
        assert_eq!(paths.model_folders()[0], wanted.join("models"));
        assert_eq!(paths.cache(), wanted.join("cache"));
        assert_eq!(paths.log(), wanted.join("gibber.log"));
        assert!(!wanted.exists());
        let relative = Paths::new(Some(Path::new("mine"))).unwrap();
        assert_eq!(relative.directory(), std::env::current_dir().unwrap().join("mine"));
        paths.ensure().unwrap();
        assert!(wanted.is_dir());
    }
}
