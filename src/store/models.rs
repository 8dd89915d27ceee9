//! Where models lie: in gibber's own folders, and where other programs have put them.
//!
//! Only names and places are found out here; whether a model can be run is the engine's to say. Nothing is downloaded, and
//! nothing in the stores of other programs is changed.

mod complete;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use gibber_hub::HubEnvironment;
use serde_json::Value;

use super::Paths;

/// Folders within folders that are looked into, at most: publisher, repository, and one more.
const DEPTH: usize = 3;
/// The kind of layer of an Ollama model that is its GGUF file.
const OLLAMA_MODEL: &str = "application/vnd.ollama.image.model";
/// Where Ollama's own models come from; their names are written without it.
const OLLAMA_REGISTRY: &str = "registry.ollama.ai";
const OLLAMA_LIBRARY: &str = "library";

/// Whose store a model is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorePlace {
    /// A folder `models` of gibber's own.
    Own,
    /// The cache of `huggingface_hub`.
    HuggingFace,
    /// LM Studio's.
    LmStudio,
    /// Ollama's.
    Ollama,
}

impl StorePlace {
    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Own => "models folder",
            Self::HuggingFace => "Hugging Face cache",
            Self::LmStudio => "LM Studio",
            Self::Ollama => "Ollama",
        }
    }
}

/// A model on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundModel {
    /// What it is called there: `NAME`, `ORGANIZATION/NAME` or `NAME:TAG`.
    pub name: String,
    /// A GGUF file, or a folder with a `config.json`.
    pub path: PathBuf,
    /// Whose store it is in.
    pub place: StorePlace,
    /// What links to it are called: they name it as well, and it stands in the list once.
    pub aliases: Vec<String>,
}

impl FoundModel {
    fn new(name: String, path: PathBuf, place: StorePlace) -> Self {
        Self { name, path, place, aliases: Vec::new() }
    }

    /// Its name and those of the links to it.
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.aliases).map(String::as_str)
    }

    /// Whether `name` is short for one of its names.
    fn is_called(&self, name: &str) -> bool {
        self.names().any(|whole| is_short_for(name, whole))
    }
}

/// Whether `name` is short for `whole`: a few of the names between its slashes that stand together, but not the first alone,
/// which is a person or an organization. `:latest` goes without saying.
fn is_short_for(name: &str, whole: &str) -> bool {
    let whole = whole.strip_suffix(":latest").unwrap_or(whole);
    let name = name.strip_suffix(":latest").unwrap_or(name);
    let (known, asked): (Vec<_>, Vec<_>) = (whole.split('/').collect(), name.split('/').collect());
    let fits = |(first, part): (usize, &[&str])| {
        (known.len() == 1 || first + asked.len() > 1)
            && part.iter().zip(&asked).all(|(known, asked)| known.eq_ignore_ascii_case(asked))
    };
    known.windows(asked.len()).enumerate().any(fits)
}

/// The stores of this machine.
#[derive(Debug, Clone, Default)]
pub struct ModelStores {
    own: Vec<PathBuf>,
    hugging_face: Vec<PathBuf>,
    lm_studio: Vec<PathBuf>,
    ollama: Vec<PathBuf>,
}

impl ModelStores {
    /// Those of `paths` and of the environment, as the programs themselves look for them.
    pub fn new(paths: &Paths) -> Self {
        let home = BaseDirs::new().map(|base| base.home_dir().to_owned());
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        Self::with(paths.model_folders(), home.as_deref(), variable)
    }

    /// The same with an environment of the caller's.
    fn with(own: Vec<PathBuf>, home: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let path = |name: &str| variable(name).map(PathBuf::from);
        let at_home = |folder: &str| home.map(|home| home.join(folder));
        // The folder that pulls go to is the one that is looked into.
        let hub = HubEnvironment::cache_folder(home, &variable);
        let lm_studio = [".lmstudio/models", ".cache/lm-studio/models"];
        let ollama = match path("OLLAMA_MODELS") {
            Some(folder) => vec![folder],
            None => at_home(".ollama/models").into_iter().chain(["/usr/share/ollama/.ollama/models".into()]).collect(),
        };
        Self {
            own,
            hugging_face: hub.into_iter().collect(),
            lm_studio: lm_studio.into_iter().filter_map(at_home).collect(),
            ollama,
        }
    }

    /// Where a user puts models.
    pub fn own_folder(&self) -> Option<&Path> {
        self.own.first().map(PathBuf::as_path)
    }

    /// The folders that are looked into.
    pub fn folders(&self) -> impl Iterator<Item = &Path> {
        [&self.own, &self.hugging_face, &self.lm_studio, &self.ollama].into_iter().flatten().map(PathBuf::as_path)
    }

    /// All models, gibber's own first. A folder that is not there, or cannot be read, has none.
    pub fn models(&self) -> Vec<FoundModel> {
        let own = self.own.iter().flat_map(|folder| nested_models(folder, "", StorePlace::Own, DEPTH));
        let hugging_face = self.hugging_face.iter().flat_map(|hub| hub_models(hub));
        let lm_studio = self.lm_studio.iter().flat_map(|folder| nested_models(folder, "", StorePlace::LmStudio, DEPTH));
        let mut models = each_once(own.chain(hugging_face).chain(lm_studio).collect());
        // Ollama's names are the models, and not its files: several may be of one.
        let ollama = self.ollama.iter().flat_map(|folder| ollama_models(folder));
        models.extend(ollama);
        // One that two stores have under the same name is taken from the first.
        let mut seen = std::collections::HashSet::new();
        models.retain(|model| seen.insert(model.name.clone()));
        models
    }
}

/// Each file (or folder) once: under the name that is no link where there is one, else under the first.
fn each_once(models: Vec<FoundModel>) -> Vec<FoundModel> {
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut once: Vec<FoundModel> = Vec::new();
    for model in models {
        let real = model.path.canonicalize().unwrap_or_else(|_| model.path.clone());
        match places.entry(real) {
            Entry::Vacant(place) => {
                place.insert(once.len());
                once.push(model);
            }
            Entry::Occupied(place) => {
                let known = &mut once[*place.get()];
                let mut other = model;
                if agreement(&other.path, place.key()) > agreement(&known.path, place.key()) {
                    std::mem::swap(known, &mut other);
                }
                known.aliases.extend(std::mem::take(&mut other.aliases));
                known.aliases.push(other.name);
            }
        }
    }
    once
}

/// How many names from the end of `path` on are those of `real`, to which it leads: fewer where it does so by a link.
fn agreement(path: &Path, real: &Path) -> usize {
    path.components().rev().zip(real.components().rev()).take_while(|(name, real)| name == real).count()
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// One model.
    One(FoundModel),
    /// It is short for several, which are these.
    Several(Vec<String>),
    /// None; these names are near.
    None(Vec<String>),
}

/// The model of `models` that `name` stands for: its whole name, or what is short for one alone, in any case of letters.
pub fn find(models: &[FoundModel], name: &str) -> Match {
    let called = models.iter().find(|model| model.name == name);
    if let Some(model) = called.or_else(|| models.iter().find(|model| model.names().any(|alias| alias == name))) {
        return Match::One(model.clone());
    }
    let is_complete = |model: &&FoundModel| model.names().any(|known| known.eq_ignore_ascii_case(name));
    let is_short = |model: &&FoundModel| model.is_called(name);
    let whole: Vec<_> = models.iter().filter(is_complete).collect();
    let short: Vec<_> = models.iter().filter(is_short).collect();
    match (&whole[..], &short[..]) {
        ([model], _) | ([], [model]) => Match::One((*model).clone()),
        ([], []) => Match::None(near(models, name)),
        _ => {
            let several = if whole.is_empty() { short } else { whole };
            Match::Several(several.into_iter().map(|model| model.name.clone()).collect())
        }
    }
}

/// Names with `name` in them, or that begin as it does.
fn near(models: &[FoundModel], name: &str) -> Vec<String> {
    let wanted = name.to_lowercase();
    let beginning: String = wanted.chars().take(3).collect();
    let is_near = |model: &&FoundModel| {
        let known = model.name.to_lowercase();
        known.contains(&wanted)
            || known.split(['/', ':']).any(|part| !beginning.is_empty() && part.starts_with(&beginning))
    };
    models.iter().filter(is_near).map(|model| model.name.clone()).take(8).collect()
}

/// The entries of a folder in the order of their names.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn text(name: Option<&std::ffi::OsStr>) -> String {
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether it is a GGUF file that stands for a model: not one of its later parts, nor the eyes of another.
fn is_gguf_model(path: &Path) -> bool {
    let name = text(path.file_name());
    let is_first = |(stem, number, count): (&str, usize, &str)| {
        let before = |number| path.with_file_name(format!("{stem}-{number:05}-of-{count}.gguf"));
        // Where the first is missing, loading any of the others tells so.
        !(1..number).any(|number| before(number).exists())
    };
    name.ends_with(".gguf")
        && !name.starts_with("mmproj")
        && path.is_file()
        && part(&text(path.file_stem())).is_none_or(is_first)
}

/// Takes `STEM-00002-of-00005` apart.
fn part(stem: &str) -> Option<(&str, usize, &str)> {
    let (rest, count) = stem.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let is_number = |digits: &str| digits.len() == 5 && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(number) && is_number(count)).then(|| Some((stem, number.parse().ok()?, count)))?
}

fn is_folder_model(path: &Path) -> bool {
    path.join("config.json").is_file()
}

/// The name of a GGUF file, without the numbers of a part.
fn gguf_name(path: &Path) -> String {
    let stem = text(path.file_stem());
    part(&stem).map_or(stem.as_str(), |(name, ..)| name).to_owned()
}

/// `models--ORGANIZATION--NAME/snapshots/COMMIT`, of which `refs/main` names the one in use. What is half there is no model:
/// `huggingface_hub` writes the ref first.
fn hub_models(hub: &Path) -> Vec<FoundModel> {
    let mut models = Vec::new();
    for repository in entries(hub) {
        let folder = text(repository.file_name());
        let Some(name) = folder.strip_prefix("models--").map(|name| name.replace("--", "/")) else { continue };
        let before = models.len();
        for snapshot in snapshots(&repository) {
            let of_snapshot = snapshot_models(&snapshot, &name);
            // The newer commit's is meant where two have it.
            let is_new = |model: &FoundModel, known: &[FoundModel]| known.iter().all(|known| known.name != model.name);
            models.extend(of_snapshot.into_iter().filter(|model| is_new(model, &models[before..])).collect::<Vec<_>>());
        }
    }
    models
}

/// The models of a commit of the repository `name`, all of whose files are here.
fn snapshot_models(snapshot: &Path, name: &str) -> Vec<FoundModel> {
    let folder = (is_folder_model(snapshot) && complete::is_complete_folder(snapshot))
        .then(|| FoundModel::new(name.to_owned(), snapshot.to_owned(), StorePlace::HuggingFace));
    let files = gguf_models(snapshot, name, StorePlace::HuggingFace, 2);
    let files = files.into_iter().filter(|model| complete::is_complete_gguf(&model.path));
    folder.into_iter().chain(files).collect()
}

/// The commits of a repository that are here: the one in use first, then those that were added last.
fn snapshots(repository: &Path) -> Vec<PathBuf> {
    let folder = repository.join("snapshots");
    let commit = gibber_files::read_text(&repository.join("refs/main"), gibber_files::SMALL)
        .ok()
        .map(|commit| commit.trim().to_owned());
    let main =
        commit.filter(|commit| !commit.is_empty() && !commit.contains(['/', '\\'])).map(|commit| folder.join(commit));
    let mut snapshots: Vec<_> = entries(&folder).into_iter().filter(|path| path.is_dir()).collect();
    let time = |path: &PathBuf| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    snapshots.sort_by_key(|path| (Some(path) == main.as_ref(), time(path)));
    snapshots.reverse();
    snapshots
}

/// The GGUF files in `folder` and those within it, named by their way from there behind `prefix`.
fn gguf_models(folder: &Path, prefix: &str, place: StorePlace, depth: usize) -> Vec<FoundModel> {
    let mut models = nested_models(folder, prefix, place, depth);
    models.retain(|model| model.path.extension().is_some_and(|end| end == "gguf"));
    models
}

/// The models in `folder` and those within it, `depth` folders deep, named by their way from there behind `prefix`.
fn nested_models(folder: &Path, prefix: &str, place: StorePlace, depth: usize) -> Vec<FoundModel> {
    let mut models = Vec::new();
    let way = folder.canonicalize().into_iter().collect();
    walk(folder, prefix, place, depth, way, &mut models);
    models
}

/// Goes on in `folder`; `way` are the folders that lead there, into which no link leads back.
fn walk(folder: &Path, prefix: &str, place: StorePlace, depth: usize, way: Vec<PathBuf>, models: &mut Vec<FoundModel>) {
    for path in entries(folder) {
        let name = |name: String| if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if is_gguf_model(&path) {
            models.push(FoundModel::new(name(gguf_name(&path)), path, place));
        } else if path.is_dir() {
            let Ok(real) = path.canonicalize() else { continue };
            if way.contains(&real) {
                continue;
            }
            let name = name(text(path.file_name()));
            if is_folder_model(&path) {
                models.push(FoundModel::new(name.clone(), path.clone(), place));
            }
            if depth > 1 {
                let way = way.iter().cloned().chain([real]).collect();
                walk(&path, &name, place, depth - 1, way, models);
            }
        }
    }
}

/// `manifests/REGISTRY/NAMESPACE/NAME/TAG`, which name a file in `blobs` by its checksum.
fn ollama_models(folder: &Path) -> Vec<FoundModel> {
    let mut models = Vec::new();
    for registry in entries(&folder.join("manifests")) {
        for namespace in entries(&registry) {
            for (model, tag) in
                entries(&namespace).iter().flat_map(|model| entries(model).into_iter().map(|tag| (model.clone(), tag)))
            {
                let Some(path) = ollama_blob(folder, &tag) else { continue };
                let mut name = format!("{}:{}", text(model.file_name()), text(tag.file_name()));
                let (of_namespace, of_registry) = (text(namespace.file_name()), text(registry.file_name()));
                if of_namespace != OLLAMA_LIBRARY {
                    name = format!("{of_namespace}/{name}");
                }
                if of_registry != OLLAMA_REGISTRY {
                    name = format!("{of_registry}/{name}");
                }
                models.push(FoundModel::new(name, path, StorePlace::Ollama));
            }
        }
    }
    models
}

fn ollama_blob(folder: &Path, manifest: &Path) -> Option<PathBuf> {
    let manifest: Value = serde_json::from_slice(&gibber_files::read(manifest, gibber_files::SMALL).ok()?).ok()?;
    let layers = manifest.get("layers")?.as_array()?;
    let model = layers.iter().find(|layer| layer.get("mediaType").and_then(Value::as_str) == Some(OLLAMA_MODEL))?;
    let digest = model.get("digest")?.as_str()?;
    let is_checksum = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = digest.strip_prefix("sha256:").filter(|digits| is_checksum(digits))?;
    Some(folder.join("blobs").join(format!("sha256-{digits}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, file: &str, content: &str) -> PathBuf {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A machine with something in every store.
    fn stores(root: &Path) -> ModelStores {
        put(root, "own/tiny/config.json", "{}");
        put(root, "own/small.gguf", "");
        put(root, "own/notes.txt", "");
        put(root, "own/people/best-of-7b.gguf", "");
        put(root, "own/half-00002-of-00003.gguf", "");
        put(root, "own/half-00003-of-00003.gguf", "");
        put(root, "own/big-00001-of-00002.gguf", "");
        put(root, "own/big-00002-of-00002.gguf", "");
        let hub = ".cache/huggingface/hub";
        put(root, &format!("{hub}/models--openai-community--gpt2/refs/main"), "abc\n");
        put(root, &format!("{hub}/models--openai-community--gpt2/snapshots/abc/config.json"), "{}");
        put(root, &format!("{hub}/models--openai-community--gpt2/snapshots/abc/model.safetensors"), "");
        put(root, &format!("{hub}/models--openai-community--gpt2/snapshots/old/config.json"), "{}");
        put(root, &format!("{hub}/models--a--quants/snapshots/1/q4/Model-Q4_0.gguf"), "");
        put(root, &format!("{hub}/datasets--a--b/snapshots/1/config.json"), "{}");
        put(root, &format!("{hub}/models--empty--repo/refs/main"), "gone");
        put(root, ".lmstudio/models/publisher/repo/Model-Q8_0.gguf", "");
        put(root, ".lmstudio/models/publisher/repo/mmproj-Model.gguf", "");
        let manifests = ".ollama/models/manifests/registry.ollama.ai";
        let manifest = |digest: &str| format!(r#"{{"layers":[{{"mediaType":"{OLLAMA_MODEL}","digest":"{digest}"}}]}}"#);
        put(root, &format!("{manifests}/library/llama3.2/1b"), &manifest("sha256:12ab"));
        put(root, &format!("{manifests}/library/gpt2/latest"), &manifest("sha256:12ab"));
        put(root, &format!("{manifests}/somebody/own/latest"), &manifest("sha256:12ab"));
        put(root, &format!("{manifests}/library/hostile/latest"), &manifest("sha256:../../../etc/passwd"));
        put(root, &format!("{manifests}/library/broken/latest"), "{");
        put(root, ".ollama/models/blobs/sha256-12ab", "");
        ModelStores::with(vec![root.join("own")], Some(root), |_| None)
    }

    #[test]
    fn every_store_is_looked_into() {
        let root = tempfile::tempdir().unwrap();
        let found = stores(root.path()).models();
        let names: Vec<_> = found.iter().map(|model| (model.name.as_str(), model.place)).collect();
        assert_eq!(
            names,
            [
                ("big", StorePlace::Own),
                ("half", StorePlace::Own),
                ("people/best-of-7b", StorePlace::Own),
                ("small", StorePlace::Own),
                ("tiny", StorePlace::Own),
                ("a/quants/q4/Model-Q4_0", StorePlace::HuggingFace),
                ("openai-community/gpt2", StorePlace::HuggingFace),
                ("publisher/repo/Model-Q8_0", StorePlace::LmStudio),
                ("gpt2:latest", StorePlace::Ollama),
                ("llama3.2:1b", StorePlace::Ollama),
                ("somebody/own:latest", StorePlace::Ollama),
            ]
        );
        let gpt2 = found.iter().find(|model| model.name == "openai-community/gpt2").unwrap();
        assert!(gpt2.path.ends_with("snapshots/abc"), "{gpt2:?}");
        assert!(found[0].path.ends_with("big-00001-of-00002.gguf"));
        assert!(found[1].path.ends_with("half-00002-of-00003.gguf"));
        assert!(found.iter().any(|model| model.path.ends_with("blobs/sha256-12ab")));
    }

    #[test]
    fn a_name_is_whole_or_short_for_one() {
        let root = tempfile::tempdir().unwrap();
        let models = stores(root.path()).models();
        let one = |name: &str| match find(&models, name) {
            Match::One(model) => model.name,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(one("openai-community/gpt2"), "openai-community/gpt2");
        assert_eq!(one("OpenAI-Community/GPT2"), "openai-community/gpt2");
        assert_eq!(one("llama3.2:1b"), "llama3.2:1b");
        for short in ["model-q8_0", "publisher/repo", "repo", "repo/Model-Q8_0"] {
            assert_eq!(one(short), "publisher/repo/Model-Q8_0", "{short}");
        }
        for short in ["own", "own:latest", "somebody/own"] {
            assert_eq!(one(short), "somebody/own:latest", "{short}");
        }
        assert!(matches!(find(&models, "publisher"), Match::None(_)), "whose models, not which");
        let several = vec!["openai-community/gpt2".to_owned(), "gpt2:latest".to_owned()];
        assert_eq!(find(&models, "gpt2"), Match::Several(several));
        assert_eq!(find(&models, "llama3.2"), Match::None(vec!["llama3.2:1b".to_owned()]));
        assert_eq!(find(&models, "zephyr"), Match::None(Vec::new()));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_another_name_and_a_loop_of_links_ends() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        put(root, "own/real/deep/small.gguf", "x");
        put(root, "own/tiny/config.json", "{}");
        put(root, "elsewhere/far.gguf", "x");
        for (target, link) in [
            (".", "own/loop"),
            ("..", "own/real/up"),
            ("../..", "own/real/deep/top"),
            ("real", "own/a-copy"),
            ("real/deep/small.gguf", "own/alias.gguf"),
            ("../elsewhere/far.gguf", "own/linked.gguf"),
            ("../elsewhere", "own/others"),
            ("nowhere", "own/gone.gguf"),
            ("self", "own/self"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let models = ModelStores::with(vec![root.join("own")], None, |_| None).models();
        let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
        assert_eq!(names, ["real/deep/small", "others/far", "tiny"]);
        for alias in ["alias", "a-copy/deep/small", "linked", "real/deep/small"] {
            assert!(matches!(find(&models, alias), Match::One(_)), "{alias}");
        }
        let deep = "d/".repeat(200);
        put(root, &format!("own/{deep}far.gguf"), "x");
        assert_eq!(ModelStores::with(vec![root.join("own")], None, |_| None).models().len(), 3);
    }

    #[test]
    fn what_is_half_there_is_no_model_until_the_rest_comes() {
        let directory = tempfile::tempdir().unwrap();
        let snapshots = |commit: &str| format!(".cache/huggingface/hub/models--org--name/snapshots/{commit}");
        let (main, old) = (snapshots("main"), snapshots("old"));
        let names = || {
            let models = ModelStores::with(Vec::new(), Some(directory.path()), |_| None).models();
            models.into_iter().map(|model| (model.name, model.path.ends_with("main"))).collect::<Vec<_>>()
        };
        put(directory.path(), ".cache/huggingface/hub/models--org--name/refs/main", "main");
        let index = r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors", "c": "one.safetensors"}}"#;
        for (file, text) in [("config.json", "{}"), ("model.safetensors.index.json", index), ("one.safetensors", "")] {
            put(directory.path(), &format!("{main}/{file}"), text);
            assert_eq!(names(), [], "{file}");
        }
        put(directory.path(), &format!("{old}/config.json"), "{}");
        put(directory.path(), &format!("{old}/model.safetensors"), "");
        let folder = "org/name".to_owned();
        assert_eq!(names(), [(folder.clone(), false)], "the one before is complete");
        put(directory.path(), &format!("{main}/two.safetensors"), "");
        assert_eq!(names(), [(folder.clone(), true)]);
        put(directory.path(), &format!("{main}/Q8-00001-of-00002.gguf"), "");
        put(directory.path(), &format!("{old}/Q4.gguf"), "");
        let file = |name: &str| (format!("org/name/{name}"), false);
        assert_eq!(names(), [(folder.clone(), true), file("Q4")], "also what an earlier commit had");
        put(directory.path(), &format!("{main}/Q8-00002-of-00002.gguf"), "");
        assert_eq!(names(), [(folder, true), file("Q8"), file("Q4")]);
    }

    #[test]
    fn variables_name_other_places() {
        let variable = |name: &str| match name {
            "HF_HOME" => Some("/hf".into()),
            "OLLAMA_MODELS" => Some("/ollama".into()),
            _ => None,
        };
        let stores = ModelStores::with(vec!["/own".into()], None, variable);
        let folders: Vec<_> = stores.folders().collect();
        assert_eq!(folders, ["/own", "/hf/hub", "/ollama"].map(Path::new));
        let stores = ModelStores::with(Vec::new(), None, |name| (name == "HF_HUB_CACHE").then(|| "/hub".into()));
        assert_eq!(stores.folders().next(), Some(Path::new("/hub")));
    }
}
