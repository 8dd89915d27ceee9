//! Which way imports go between the layers of the program: the map in `src/lib.rs`, checked. What the engine may import,
//! Cargo checks: it is a crate of its own.
//!
//! Reads every path into the program's crate (`use crate::…`, grouped or not, `crate::…` in the code, `super::super::…`)
//! and into the engine's (`gibber_engine::…`) and fails on one that the map forbids. That each `unsafe` block says what
//! makes it sound is clippy's `undocumented_unsafe_blocks`; the program forbids the word, and of the engine only a few
//! modules may use it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers, and what each may import. A path is allowed where it is, or lies under, one of these; a layer may always
/// import from itself.
const MAY_IMPORT: [(&str, &[&str]); 9] = [
    ("chat", PARAMETERS),
    ("settings", PARAMETERS),
    ("store", &["chat", "engine::SamplingParams"]),
    ("worker", &["engine", "chat"]),
    ("hub", &["engine", "store"]),
    (
        "app",
        &[
            "settings",
            "chat",
            "store",
            "worker::protocol",
            "hub::news",
            "hub::bytes_text",
            "hub::name_problem",
            "engine::FileType",
            "engine::TokenId",
            "engine::SamplingParams",
            "engine::sampling",
            "engine::load",
        ],
    ),
    ("tui", FRONT_END),
    ("repl", FRONT_END),
    ("cli", &["app", "chat", "engine", "hub", "repl", "settings", "store", "tui", "worker"]),
];

/// The engine's plain parameter types.
const PARAMETERS: &[&str] = &[
    "engine::CacheType",
    "engine::FileType",
    // What `GIBBER_ISA` may say.
    "engine::kernels::Isa",
    "engine::PromptLookup",
    "engine::SamplingParams",
    "engine::sampling",
    "engine::TokenId",
];

/// A front end turns keys into actions and state into a screen; it never sees the engine.
const FRONT_END: &[&str] = &[
    "app",
    "chat",
    "hub::news",
    "settings",
    "worker::protocol",
    "worker::handle",
    "worker::WorkerHandle",
    "store::paths",
];

/// Where the engine may be `unsafe`: the doorway to BLAS, the kernels with their thread pool, the memory map.
const MAY_BE_UNSAFE: [&str; 3] =
    ["crates/gibber-engine/src/blas.rs", "crates/gibber-engine/src/kernels", "crates/gibber-engine/src/weights"];

/// Ways to open a file without asking what it is: `gibber_files` asks.
const UNGUARDED_READS: [&str; 4] = ["fs::read(", "fs::read_to_string(", "File::open(", "OpenOptions::new().read"];

/// Who reads files of the system itself, not of people.
const MAY_READ_UNGUARDED: [&str; 5] = [
    "src/chat/template/helper.rs",
    "crates/gibber-engine/src/memory.rs",
    "crates/gibber-engine/src/kernels/cores.rs",
    "src/cli/bench.rs",
    "src/cli/bench/founding.rs",
];

#[test]
fn files_of_people_are_read_through_one_door() {
    let is_guarded = |path: &Path| !is_test(path) && !MAY_READ_UNGUARDED.iter().any(|room| path == Path::new(room));
    let sources = sources();
    let sources = sources.iter().filter(|(path, _)| is_guarded(path));
    let broken: Vec<_> = sources.flat_map(|(path, source)| unguarded_reads(path, source)).collect();
    assert!(broken.is_empty(), "read with gibber_files:\n{}", broken.join("\n"));
}

#[test]
fn an_unguarded_read_is_caught() {
    let path = Path::new("src/cli/text.rs");
    assert_eq!(unguarded_reads(path, "fn f() { std::fs::read(path); File::open(path); }").len(), 2);
    let in_tests = "// fs::read(\n#[cfg(test)]\nmod tests { fn f() { fs::read(path); } }";
    assert_eq!(unguarded_reads(path, in_tests), Vec::<String>::new());
}

fn unguarded_reads(file: &Path, source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().map(without_comments_and_texts).unwrap_or_default();
    let reads = UNGUARDED_READS.iter().filter(|read| code.contains(**read));
    reads.map(|read| format!("{}: {read}...)", file.display())).collect()
}

#[test]
fn imports_go_the_way_the_map_says() {
    let sources = sources();
    let below_src = sources.iter().filter_map(|(path, source)| Some((path.strip_prefix("src").ok()?, source)));
    // A layer's tests put a stage around it: they may play the other parts.
    let checked = below_src.filter(|(path, _)| !is_test(path));
    let broken: Vec<_> = checked.flat_map(|(path, source)| forbidden_imports(path, source)).collect();
    assert!(broken.is_empty(), "forbidden imports:\n{}", broken.join("\n"));
}

#[test]
fn no_modules_of_a_folder_import_each_other_by_any_way() {
    let mut broken = Vec::new();
    for (root, files) in crates() {
        broken.extend(circles(&files).into_iter().map(|circle| format!("{root}: {circle}")));
    }
    assert!(broken.is_empty(), "modules that import each other:\n{}", broken.join("\n"));
}

#[test]
fn a_circle_of_imports_is_caught_however_long_it_is() {
    let of = |sources: &[(&str, &str)]| {
        circles(&sources.iter().map(|(path, source)| (PathBuf::from(path), (*source).to_owned())).collect::<Vec<_>>())
    };
    assert_eq!(of(&[("a.rs", "use super::b::X;"), ("b.rs", "use super::c;"), ("c.rs", "")]).len(), 0);
    assert_eq!(
        of(&[("a.rs", "use super::{b::X, c};"), ("b.rs", ""), ("c.rs", "fn f() { super::a::g() }")]),
        ["a <-> c"]
    );
    let long = [("a.rs", "use super::b;"), ("b.rs", "use super::c;"), ("c/d.rs", "use super::super::a;")];
    assert_eq!(of(&long).len(), 3);
    let deep = [("t/a.rs", "use crate::t::b;"), ("t/b.rs", "// super::a\nuse crate::{t::{a::X, c}};"), ("t/c.rs", "")];
    assert_eq!(of(&deep), ["t::a <-> t::b"]);
    // What is deep in one folder and names what is deep in another ties these folders.
    assert_eq!(of(&[("a/b.rs", "use crate::c::d::E;"), ("c/d.rs", "use super::super::a::F;")]), ["a <-> c"]);
    // Methods in a file of their own are part of the module that has the type.
    let methods = [("a.rs", "pub struct A; use super::b;"), ("b.rs", "use super::a::A;\nimpl A {\n}"), ("c.rs", "")];
    assert_eq!(of(&methods).len(), 0);
    let with_other = [methods[0], methods[1], ("c.rs", "use super::b; use super::a;")];
    assert_eq!(of(&with_other).len(), 0);
    let through_other = [methods[0], ("b.rs", "use super::c;\nimpl A {\n}"), ("c.rs", "use super::a;")];
    assert_eq!(of(&through_other), ["a <-> c"]);
}

/// The program and each of its crates: the folder of its sources, and these, with their paths below it.
fn crates() -> Vec<(String, Vec<(PathBuf, String)>)> {
    let mut roots = vec![PathBuf::from("src")];
    roots.extend(
        fs::read_dir(root().join("crates"))
            .unwrap()
            .map(|entry| Path::new("crates").join(entry.unwrap().file_name()).join("src")),
    );
    let of = |folder: PathBuf| {
        let sources = sources_below(&folder).into_iter();
        let below = sources.map(|(path, source)| (path.strip_prefix(&folder).unwrap().to_owned(), source));
        (folder.display().to_string(), below.filter(|(path, _)| !is_test(path)).collect())
    };
    roots.into_iter().map(of).collect()
}

/// A file of a crate, as far as imports go.
struct Module {
    path: Vec<String>,
    /// The paths into its crate, from the crate's root.
    imports: Vec<Vec<String>>,
    /// The types that it has.
    types: Vec<String>,
    /// The types that it has methods of.
    methods: Vec<String>,
}

impl Module {
    fn new(path: &Path, source: &str) -> Self {
        let code = source.split("#[cfg(test)]\nmod tests").next().map(without_comments_and_texts).unwrap_or_default();
        let path = module_of(path);
        let paths = crate_paths(&code, &path).into_iter().chain(parent_paths(&code, &path));
        let imports = paths.map(|path| path.split("::").map(str::to_owned).collect()).collect();
        let names_after = |words: &[&str]| {
            let starts =
                words.iter().flat_map(|word| code.match_indices(word).map(|(at, word)| &code[at + word.len()..]));
            starts.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
        };
        let (types, methods) =
            (names_after(&["struct ", "enum "]), names_after(&["\nimpl ", "\nimpl<'_> ", "\nimpl<'a> "]));
        Self { path, imports, types, methods }
    }
}

/// The pairs of modules side by side in a folder that lead to each other by the paths that they name; a name that the
/// folder itself hands on (`pub use`) is the folder's. Methods in a file of their own are part of the module beside it that
/// has their type.
fn circles(files: &[(PathBuf, String)]) -> Vec<String> {
    let modules: Vec<Module> = files.iter().map(|(path, source)| Module::new(path, source)).collect();
    let mut folders: BTreeSet<&[String]> =
        modules.iter().filter_map(|module| module.path.split_last()).map(|(_, folder)| folder).collect();
    let inner: Vec<&[String]> =
        folders.iter().flat_map(|folder| (0..folder.len()).map(|depth| &folder[..depth])).collect();
    folders.extend(inner);
    folders.into_iter().flat_map(|folder| circles_in(folder, &modules)).collect()
}

fn circles_in(folder: &[String], modules: &[Module]) -> Vec<String> {
    let child = |path: &[String]| path.strip_prefix(folder)?.first().cloned();
    let inside = || modules.iter().filter_map(|module| Some((child(&module.path)?, module)));
    let children: BTreeSet<String> = inside().map(|(name, _)| name).collect();
    let mut room_of: BTreeMap<&String, &String> = BTreeMap::new();
    for (name, module) in modules
        .iter()
        .filter(|module| module.path.len() == folder.len() + 1)
        .filter_map(|module| Some((child(&module.path)?, module)))
    {
        let has_type = |other: &Module, name: &String| {
            other.path != module.path && other.path.len() == module.path.len() && other.types.contains(name)
        };
        let owner = module
            .methods
            .iter()
            .filter(|name| !module.types.contains(name))
            .find_map(|name| inside().find(|(_, other)| has_type(other, name)).map(|(owner, _)| owner));
        if let Some(owner) = owner {
            room_of.insert(children.get(&name).unwrap(), children.get(&owner).unwrap());
        }
    }
    let room = |name: &String| {
        let mut name = children.get(name)?;
        for _ in 0..children.len() {
            name = room_of.get(name).copied().unwrap_or(name);
        }
        Some(name)
    };
    let mut imports: BTreeMap<&String, BTreeSet<&String>> = BTreeMap::new();
    for (name, module) in inside() {
        let Some(from) = room(&name) else { continue };
        let found = module.imports.iter().filter_map(|path| room(&child(path)?));
        imports.entry(from).or_default().extend(found.filter(|to| *to != from));
    }
    let leads = |from: &String, to: &String| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(next) = open.pop().and_then(|module| imports.get(module)) {
            open.extend(next.iter().copied().filter(|module| seen.insert(*module)));
        }
        seen.contains(to)
    };
    let rooms: Vec<&String> = imports.keys().copied().collect();
    let pairs = rooms.iter().enumerate().flat_map(|(at, a)| rooms[at + 1..].iter().map(move |b| (*a, *b)));
    let full = |name: &String| [folder, std::slice::from_ref(name)].concat().join("::");
    pairs.filter(|(a, b)| leads(a, b) && leads(b, a)).map(|(a, b)| format!("{} <-> {}", full(a), full(b))).collect()
}

/// Every path that starts with `super::` or `self::`, from the crate's root.
fn parent_paths(code: &str, module: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (at, start) in code.match_indices("super::").chain(code.match_indices("self::")) {
        let before = &code[..at];
        if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let rest = code[at..].trim_start_matches("super::").trim_start_matches("self::");
        let up = if start == "self::" { 0 } else { (code.len() - at - rest.len()) / "super::".len() };
        let Some(depth) = module.len().checked_sub(up) else { continue };
        let mut below = Vec::new();
        spread(rest, "", &mut below);
        let parent = module[..depth].join("::");
        found.extend(below.into_iter().map(|path| if parent.is_empty() { path } else { format!("{parent}::{path}") }));
    }
    found
}

#[test]
fn unsafe_stays_in_its_modules_and_dead_code_is_deleted() {
    let broken: Vec<_> = sources().iter().flat_map(|(path, source)| forbidden_words(path, source)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn the_engine_and_the_signal_handlers_are_unsafe_and_the_rest_forbids_it() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("src/lib.rs"));
    for file in crates.chain([root().join("src/lib.rs"), root().join("src/main.rs")]) {
        let may = file.iter().any(|part| part == "gibber-signals" || part == "gibber-engine");
        let forbids = fs::read_to_string(&file).unwrap().contains("#![forbid(unsafe_code)]");
        assert!(may != forbids, "{}", file.display());
    }
}

#[test]
fn every_layer_of_the_crate_is_in_the_table() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules = library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    for module in modules {
        assert!(MAY_IMPORT.iter().any(|(layer, _)| *layer == module), "`{module}` is missing in MAY_IMPORT");
    }
}

#[test]
fn a_forbidden_import_is_caught_however_it_is_written() {
    let cases = [
        ("tui/mod.rs", "use gibber_engine::Engine;"),
        ("tui/mod.rs", "use gibber_engine::{self, TokenId};"),
        ("tui/mod.rs", "use gibber_engine as engine;"),
        ("tui/mod.rs", "use crate::{app::App, cli::{self, Args}};"),
        ("tui/mod.rs", "pub(crate) use crate::{\n    repl::Printer,\n};"),
        ("tui/draw/panel.rs", "use super::super::super::cli::Args;"),
        ("repl/mod.rs", "fn load() { let model = gibber_engine::load(); }"),
        ("app/mod.rs", "use crate::worker::handle::WorkerHandle;"),
        ("store/mod.rs", "use crate::settings::Settings;"),
        ("chat/mod.rs", "use gibber_engine::Engine;"),
        ("cli/mod.rs", "use crate::elsewhere::Thing;"),
    ];
    for (path, source) in cases {
        assert!(!forbidden_imports(Path::new(path), source).is_empty(), "{path}: {source}");
    }
}

#[test]
fn an_allowed_import_is_not_caught() {
    let cases = [
        ("tui/draw/mod.rs", "use crate::tui::text::Line; use super::super::Screen;"),
        ("tui/mod.rs", "// use gibber_engine::Engine;\nconst TEXT: &str = \"gibber_engine::load\";"),
        ("tui/mod.rs", "use crate::{app::{App, Action}, worker::{handle::WorkerHandle, protocol::*}};"),
        ("settings/mod.rs", "use gibber_engine::SamplingParams;"),
        ("worker/mod.rs", "use gibber_engine::{self, load::LoadOptions as Options};"),
    ];
    for (path, source) in cases {
        assert_eq!(forbidden_imports(Path::new(path), source), Vec::<String>::new(), "{path}: {source}");
    }
}

#[test]
fn a_forbidden_word_is_caught() {
    let unsafe_here = "fn f() { unsafe { g() } }";
    assert_eq!(forbidden_words(Path::new("crates/gibber-engine/src/model/mod.rs"), unsafe_here).len(), 1);
    assert_eq!(forbidden_words(Path::new("crates/gibber-engine/src/kernels/dot.rs"), unsafe_here).len(), 0);
    assert_eq!(forbidden_words(Path::new("src/tui/mod.rs"), "// unsafe { }\nlet text = r#\"unsafe\"#;").len(), 0);
    assert_eq!(forbidden_words(Path::new("src/tui/mod.rs"), "#[allow(dead_code)]\nfn f() {}").len(), 1);
}

/// Whether a file has tests alone.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "golden.rs")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Every source file of the program and of the engine: its path below the project's root, and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let found: Vec<_> =
        ["src", "crates/gibber-engine/src"].iter().flat_map(|folder| sources_below(Path::new(folder))).collect();
    assert!(found.len() > 20, "only {} source files were found", found.len());
    found
}

/// The source files below a folder of the project, in order.
fn sources_below(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut folders = vec![root().join(folder)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The imports of one file that the map forbids, each as a line for the person who reads the failure.
fn forbidden_imports(file: &Path, source: &str) -> Vec<String> {
    let module = module_of(file);
    let Some(layer) = module.first().cloned() else {
        return Vec::new(); // main.rs and lib.rs put the layers together.
    };
    let allowed = MAY_IMPORT.iter().find(|(name, _)| *name == layer).map_or(&[][..], |(_, allowed)| allowed);
    let is_allowed = |path: &str| {
        let lies_under =
            |room: &str| path == room || path.strip_prefix(room).is_some_and(|rest| rest.starts_with("::"));
        lies_under(&layer) || allowed.iter().any(|room| lies_under(room))
    };
    let imports = crate_paths(&without_comments_and_texts(source), &module);
    // `use crate::engine::{self}` is an import of the whole layer.
    let imports = imports.iter().map(|path| path.strip_suffix("::self").unwrap_or(path));
    imports
        .filter(|path| !is_allowed(path))
        .map(|path| format!("src/{}: {layer} must not import crate::{path}", file.display()))
        .collect()
}

fn forbidden_words(file: &Path, source: &str) -> Vec<String> {
    let code = without_comments_and_texts(source);
    let mut broken = Vec::new();
    let has_unsafe = code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    if has_unsafe && !MAY_BE_UNSAFE.iter().any(|room| file.starts_with(room)) {
        broken.push(format!("{}: `unsafe` outside {}", file.display(), MAY_BE_UNSAFE.join(", ")));
    }
    // A stage that tests of several crates share has more than each of them needs.
    if code.contains("(dead_code") && !is_test(file) {
        broken.push(format!("{}: dead code is deleted, not allowed", file.display()));
    }
    broken
}

/// The module that a file is: `["engine", "model"]` for `engine/model/mod.rs`; empty for the roots.
fn module_of(file: &Path) -> Vec<String> {
    let mut parts: Vec<_> = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "main" | "lib")) {
        parts.pop();
    }
    parts
}

/// Every path that starts at the crate's root, or at the engine's, which is the layer `engine` here; groups spread out:
/// `app::App`, `engine::TokenId`.
fn crate_paths(code: &str, module: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        if !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            spread(&code[start + "crate::".len()..], "", &mut found);
        }
    }
    for (start, name) in code.match_indices("gibber_engine") {
        let begins = !code[..start].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[start + name.len()..];
        match rest.strip_prefix("::") {
            Some(rest) if begins => _ = spread(rest, "engine", &mut found),
            None if begins && !rest.starts_with('_') => found.push("engine".to_owned()),
            _ => {}
        }
    }
    let supers = "super::";
    for (start, _) in code.match_indices(supers) {
        let before = &code[..start];
        if before.ends_with(supers) || before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = code[start..].trim_start_matches(supers);
        let up = (code.len() - start - rest.len()) / supers.len();
        // From an inner `mod tests`, one more is needed than counted here: what looks like the root is then the file.
        if up >= module.len() {
            let mut paths = Vec::new();
            spread(rest, "", &mut paths);
            let is_layer = |path: &String| MAY_IMPORT.iter().any(|(layer, _)| path.split("::").next() == Some(layer));
            found.extend(paths.into_iter().filter(is_layer));
        }
    }
    found
}

/// Spreads `a::{b, c::d}` at the start of `code` into `a::b` and `a::c::d`; returns what follows it.
fn spread<'a>(code: &'a str, prefix: &str, found: &mut Vec<String>) -> &'a str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            match rest.strip_prefix('}') {
                Some(after) => return after,
                None if rest.is_empty() => return rest,
                None => rest = spread(rest, prefix, found),
            }
        }
    }
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '*').unwrap_or(code.len());
    let (name, rest) = code.split_at(end);
    let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}::{name}") };
    match rest.strip_prefix("::") {
        Some(rest) if !rest.starts_with('<') => spread(rest, &path, found),
        _ => {
            found.push(path);
            let renamed = rest.trim_start().strip_prefix("as ").map(|rest| rest.trim_start());
            let rest = renamed.map_or(rest, |rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
            // A stray character must not stop the walk through a group.
            if rest.len() == code.len() { rest.get(1..).unwrap_or("") } else { rest }
        }
    }
}

/// The code alone: comments, texts and characters are left out.
fn without_comments_and_texts(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| raw_text(rest)).or_else(|| quoted(rest));
        match skipped {
            Some(length) => {
                code.push(' ');
                rest = &rest[length..];
            }
            None => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    code
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    let inner = rest.strip_prefix("/*")?;
    Some(inner.find("*/").map_or(rest.len(), |end| end + 4))
}

fn raw_text(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    let inner = inner[hashes..].strip_prefix('"')?;
    let closing = format!("\"{}", "#".repeat(hashes));
    Some(inner.find(&closing).map_or(rest.len(), |end| rest.len() - inner.len() + end + closing.len()))
}

/// A text, or a character; the quote of a lifetime is neither.
fn quoted(rest: &str) -> Option<usize> {
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    if quote == '\'' {
        let mut inner = rest[1..].chars();
        let (first, second) = (inner.next()?, inner.next()?);
        if first != '\\' && second != '\'' {
            return None;
        }
    }
    let mut escaped = false;
    let closing = rest[1..].find(|c| {
        let closes = c == quote && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    });
    Some(closing.map_or(rest.len(), |end| end + 2))
}
