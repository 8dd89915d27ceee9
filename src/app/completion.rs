//! What a slash command that is being typed can become: the popup of the full screen and Tab of the line REPL.

mod paths;

use std::collections::HashSet;

use super::commands::{self, Completer, Line};
use super::parameters::{PARAMETERS, Samplers};
use super::template::template_names;
use super::{App, Effect};
use crate::settings::Think;
use crate::worker::protocol::PromptLookup;

use paths::free_name;
pub use paths::is_complete;

/// Titles of chats that are offered at most.
const MOST_CHATS: usize = 200;

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The line as it would be.
    pub line: String,
    /// Where the cursor is to be in it.
    pub cursor: usize,
    /// What is shown.
    pub label: String,
    /// What it does, in a line.
    pub help: String,
}

/// What is to be looked up for the ways to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The names in a folder; empty is the one that the program runs in.
    Folder(String),
    /// The saved conversations.
    Chats,
}

impl Wanted {
    /// What looks it up.
    pub fn effect(self) -> Effect {
        match self {
            Self::Folder(folder) => Effect::ListFiles(folder),
            Self::Chats => Effect::ReadChats,
        }
    }
}

/// What completes the text at the cursor, and lies outside of the state.
pub fn wanted(text: &str, cursor: usize) -> Option<Wanted> {
    if let Line::Command { name, .. } = commands::parse(text)
        && text.contains(' ')
        && commands::find(name).is_some_and(|command| command.completer == Completer::Chats)
    {
        return Some(Wanted::Chats);
    }
    paths::folder_at(text, cursor).map(Wanted::Folder)
}

/// The ways to go on with `text` at the cursor: those of a command, and of a file's name.
pub fn complete_at(app: &App, text: &str, cursor: usize) -> Vec<Completion> {
    let named = complete(app, text);
    named.into_iter().chain(paths::complete(app, text, cursor)).collect()
}

/// The ways to go on with `line`; none where it is a message, or whole.
pub fn complete(app: &App, line: &str) -> Vec<Completion> {
    if line.contains('\n') {
        return Vec::new();
    }
    let Line::Command { name, .. } = commands::parse(line) else { return Vec::new() };
    match line[1..].split_once(' ') {
        None => names(name),
        Some((name, argument)) => arguments(app, name, argument),
    }
}

fn names(prefix: &str) -> Vec<Completion> {
    // What is called so comes before what is also called so.
    let (called, also): (Vec<&commands::SlashCommand>, Vec<_>) =
        commands::beginning_with(prefix).partition(|command| command.name.starts_with(prefix));
    called
        .into_iter()
        .chain(also)
        .map(|command| {
            // An alias that was typed stays; it is a name too.
            let name = if command.name.starts_with(prefix) {
                command.name
            } else {
                command.aliases.iter().find(|alias| alias.starts_with(prefix)).unwrap_or(&command.name)
            };
            let space = if command.takes_argument() { " " } else { "" };
            let label = if name == command.name { command.usage() } else { format!("/{name} = /{}", command.name) };
            completion(format!("/{name}{space}"), label, command.help.to_owned())
        })
        .collect()
}

fn arguments(app: &App, name: &str, argument: &str) -> Vec<Completion> {
    let Some(command) = commands::find(name) else { return Vec::new() };
    if command.completer == Completer::Variants {
        return variants(app, name, argument);
    }
    if command.completer == Completer::Samplers {
        return samplers(name, argument);
    }
    if command.completer == Completer::Chats {
        return chats(app, name, argument.trim_start());
    }
    let candidates: Vec<(String, String)> = match command.completer {
        Completer::NewFile(_) if !app.transcript().nodes().is_empty() => {
            vec![(free_name(app, &app.export_name()), "called as this chat".to_owned())]
        }
        Completer::None
        | Completer::Variants
        | Completer::Samplers
        | Completer::Chats
        | Completer::NewFile(_)
        | Completer::Files(_) => Vec::new(),
        Completer::Words(words) => words.iter().map(|word| ((*word).to_owned(), String::new())).collect(),
        Completer::Parameters => settable(argument),
        Completer::Presets => {
            let names = app.preset_names().into_iter().map(|name| (name, String::new()));
            let save = ("save ".to_owned(), "keep the filters in force under a name".to_owned());
            names.chain([save, ("delete ".to_owned(), "delete one of your own".to_owned())]).collect()
        }
        Completer::Templates => template_names().into_iter().map(|name| (name.to_owned(), String::new())).collect(),
        Completer::Models => app.models().iter().map(|name| (name.clone(), String::new())).collect(),
        Completer::Pulls => pulls(app),
        Completer::Themes => app.themes().iter().map(|theme| (theme.name.clone(), String::new())).collect(),
        Completer::Commands => {
            commands::all().iter().map(|command| (command.name.to_owned(), command.help.to_owned())).collect()
        }
    };
    candidates
        .into_iter()
        .filter(|(candidate, _)| begins(candidate, argument) && candidate != argument)
        .map(|(candidate, help)| completion(format!("/{name} {candidate}"), candidate.trim_end().to_owned(), help))
        .collect()
}

/// What `/pull` takes: a model that can be had, or `stop` or `quantize` and one that is on its way.
fn pulls(app: &App) -> Vec<(String, String)> {
    let on_its_way =
        app.pulls().iter().map(|pull| (format!("stop {}", pull.name), "stop it; what has come is kept".to_owned()));
    let offered = app.offered().iter().map(|model| (model.name.clone(), model.detail()));
    let quantize = ("quantize".to_owned(), "write floats in fewer bits: faster, in less memory".to_owned());
    on_its_way.chain([quantize]).chain(offered).collect()
}

fn completion(line: String, label: String, help: String) -> Completion {
    Completion { cursor: line.len(), line, label, help }
}

/// What `/set` takes: parameters, and the values of what is no number.
fn settable(argument: &str) -> Vec<(String, String)> {
    let values = |name: &str, values: &[&str]| -> Vec<(String, String)> {
        values.iter().map(|value| (format!("{name} {value}"), String::new())).collect()
    };
    if argument.starts_with("lookup ") {
        return values("lookup", &PromptLookup::NAMES);
    }
    if argument.starts_with("think ") {
        return values("think", &Think::NAMES);
    }
    let parameters = PARAMETERS.iter().map(|spec| (format!("{} ", spec.name), spec.help.to_owned()));
    let others = [
        ("max-tokens ", "tokens of a reply at most; 0 is no limit"),
        ("lookup ", "guess from what was said before"),
        ("think ", "let the model think before it answers"),
        ("stop ", "a text that ends a reply"),
    ];
    parameters.chain(others.map(|(name, help)| (name.to_owned(), help.to_owned()))).collect()
}

/// The word that is being typed of several: a lane, or a part of one after a comma.
fn variants(app: &App, name: &str, argument: &str) -> Vec<Completion> {
    if argument.split_whitespace().any(|word| word == "--") {
        return Vec::new();
    }
    let start = argument.rfind([' ', ',']).map_or(0, |at| at + 1);
    let (before, typed) = argument.split_at(start);
    let words = app.setup.variant_words().into_iter().filter(|(word, _)| word.starts_with(typed) && word != typed);
    words.map(|(word, help)| completion(format!("/{name} {before}{word}"), word, help)).collect()
}

/// The filter that is being typed behind those that stand there, each of which acts once.
fn samplers(name: &str, argument: &str) -> Vec<Completion> {
    let start = argument.rfind(';').map_or(0, |at| at + 1);
    let (before, typed) = argument.split_at(start);
    let is_new = |filter: &str| !before.split(';').any(|other| other == filter);
    let every = Samplers::default();
    let names = every.iter().map(|filter| filter.name()).filter(|filter| is_new(filter));
    let whole = ["default"].into_iter().filter(|_| before.is_empty());
    let fitting = names.chain(whole).filter(|candidate| candidate.starts_with(typed) && *candidate != typed);
    fitting.map(|word| completion(format!("/{name} {before}{word}"), word.to_owned(), String::new())).collect()
}

/// Titles of which a word begins with what was typed.
fn chats(app: &App, name: &str, typed: &str) -> Vec<Completion> {
    let lower = typed.to_lowercase();
    let begins = |title: &str| {
        let title = title.to_lowercase();
        title.starts_with(&lower) || title.contains(&format!(" {lower}"))
    };
    let mut seen = HashSet::new();
    let titles = app.recent().iter().map(|record| record.title.as_str());
    titles
        .filter(|&title| !title.is_empty() && title != typed && begins(title) && seen.insert(title))
        .take(MOST_CHATS)
        .map(|title| completion(format!("/{name} {title}"), title.to_owned(), String::new()))
        .collect()
}

/// Whether `candidate` begins with what was typed, or one of the names between its slashes does, as in
/// `openai-community/gpt2`.
fn begins(candidate: &str, typed: &str) -> bool {
    candidate.starts_with(typed) || candidate.match_indices('/').any(|(at, _)| candidate[at + 1..].starts_with(typed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Moment, Start};

    fn lines(line: &str) -> Vec<String> {
        let app = App::new(Start::default(), Moment::now());
        complete(&app, line).into_iter().map(|completion| completion.line).collect()
    }

    #[test]
    fn names_are_completed_from_their_beginning() {
        assert_eq!(
            lines("/re"),
            ["/rename ", "/read ", "/regen", "/redo", "/replay ", "/repeat-penalty ", "/repeat-last-n "]
        );
        assert_eq!(lines("/by"), ["/bye"]);
        assert_eq!(lines("hello"), Vec::<String>::new());
        assert_eq!(lines("//re"), Vec::<String>::new());
        assert!(lines("/").len() > 20);
    }

    #[test]
    fn models_are_completed_from_the_beginning_of_any_part() {
        let models = ["smollm2", "openai-community/gpt2", "gpt2:latest"].map(str::to_owned).to_vec();
        let app = App::new(Start { models, ..Start::default() }, Moment::now());
        let lines = |line| complete(&app, line).into_iter().map(|completion| completion.line).collect::<Vec<_>>();
        assert_eq!(lines("/model gp"), ["/model openai-community/gpt2", "/model gpt2:latest"]);
        assert_eq!(lines("/model open"), ["/model openai-community/gpt2"]);
        assert_eq!(lines("/model ").len(), 3);
    }

    #[test]
    fn arguments_are_completed_too() {
        assert_eq!(lines("/preset c"), ["/preset creative"]);
        assert_eq!(lines("/preset creative"), Vec::<String>::new());
        assert_eq!(lines("/set rep"), ["/set repeat-penalty ", "/set repeat-last-n "]);
        assert_eq!(lines("/set think o"), ["/set think on", "/set think off"]);
        assert_eq!(lines("/set loo"), ["/set lookup "]);
        assert_eq!(lines("/think sh"), ["/think show"]);
        assert_eq!(lines("/copy "), ["/copy code"]);
        assert_eq!(lines("/compare precise cr"), ["/compare precise creative"]);
        assert_eq!(lines("/compare creative,te"), ["/compare creative,temperature="]);
        assert_eq!(lines("/compare precise -- cr"), Vec::<String>::new());
        assert_eq!(lines("/system x"), Vec::<String>::new());
        assert_eq!(lines("/samplers top_k;te"), ["/samplers top_k;temperature"]);
        assert_eq!(lines("/samplers top_k;top_k"), Vec::<String>::new());
        assert_eq!(lines("/samplers d"), ["/samplers default"]);
    }
}
