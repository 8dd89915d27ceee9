//! The one table of slash commands: the popup, `/help`, the line REPL and docs/commands.md come from it.

use std::sync::LazyLock;

use gibber_files::quoted;

use super::parameters::{PARAMETERS, ParameterKind};
use super::report::overview;
use super::step::Step;
use super::{Action, App, Effect, FilePurpose, Moment, NoteKind, files};
use Argument::{Needed, Nothing, Optional};

pub use super::slash::{Line, escape, parse};

/// When a command may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At any time.
    Always,
    /// Not while a reply is running.
    Idle,
}

/// What its argument can be completed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completer {
    /// Nothing.
    None,
    /// The names of parameters.
    Parameters,
    /// The names of presets.
    Presets,
    /// What lanes of a comparison are made of: presets, parameters, numbers.
    Variants,
    /// The names of templates.
    Templates,
    /// The names of models, which the front end's surroundings know.
    Models,
    /// The names of models that can be pulled, and of those that are being pulled.
    Pulls,
    /// The names of themes.
    Themes,
    /// The names of filters, one behind the other.
    Samplers,
    /// The names of commands.
    Commands,
    /// These words.
    Words(&'static [&'static str]),
    /// The titles of saved conversations.
    Chats,
    /// The name of a file for this conversation, with one of these endings.
    NewFile(&'static [&'static str]),
    /// Names of files with one of these endings; none are any.
    Files(&'static [&'static str]),
}

/// Whether an argument follows a command, and what it is called in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// None: words behind it are refused, since they were meant to say something.
    Nothing,
    /// One that can be left out.
    Optional(&'static str),
    /// One that it needs.
    Needed(&'static str),
}

/// A command as it was given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    /// Which one.
    pub(super) command: &'static SlashCommand,
    /// What follows its name; as the command's row says, it may be empty or not.
    pub(super) argument: &'a str,
    /// When.
    pub(super) now: Moment,
}

/// What a command does.
type Run = fn(&mut App, Call<'_>) -> Vec<Effect>;

/// A command that begins with `/`.
#[derive(Debug, Clone, Copy)]
pub struct SlashCommand {
    /// Its name, without the slash.
    pub name: &'static str,
    /// Other names, which match exactly too.
    pub aliases: &'static [&'static str],
    /// What follows it.
    pub argument: Argument,
    /// What it does, in a line.
    pub help: &'static str,
    /// When it may be given.
    pub when: When,
    /// What its argument is completed from.
    pub completer: Completer,
    /// Whether only the full screen can do it.
    pub full_screen: bool,
    /// Does it.
    pub(super) run: Run,
}

const fn command(name: &'static str, argument: Argument, help: &'static str, run: Run) -> SlashCommand {
    let (when, completer) = (When::Always, Completer::None);
    SlashCommand { name, aliases: &[], argument, help, when, completer, full_screen: false, run }
}

impl SlashCommand {
    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn idle(mut self) -> Self {
        self.when = When::Idle;
        self
    }

    const fn on_full_screen(mut self) -> Self {
        self.full_screen = true;
        self
    }

    const fn completes(mut self, completer: Completer) -> Self {
        self.completer = completer;
        self
    }

    /// `/name ARGUMENTS`, as help shows it.
    pub fn usage(&self) -> String {
        match self.argument {
            Argument::Nothing => format!("/{}", self.name),
            Argument::Optional(what) | Argument::Needed(what) => format!("/{} {what}", self.name),
        }
    }

    /// Whether something may follow it.
    pub fn takes_argument(&self) -> bool {
        self.argument != Argument::Nothing
    }

    /// Why it cannot be given with this argument: the one place that says so for every command.
    pub fn refusal_of(&self, argument: &str) -> Option<String> {
        match self.argument {
            Argument::Nothing if !argument.is_empty() => Some(format!(
                "nothing was done: `{}` behind /{} has no meaning ({}: {})",
                quoted::shortened(argument),
                self.name,
                self.usage(),
                self.help
            )),
            Argument::Needed(_) if argument.is_empty() => Some(format!("{}: {}", self.usage(), self.help)),
            Argument::Nothing | Argument::Optional(_) | Argument::Needed(_) => None,
        }
    }
}

const MAIN: &[SlashCommand] = &[
    command("help", Optional("[COMMAND]"), "list keys and commands, or explain one", |app, call| {
        app.help(call.argument)
    })
    .also(&["?"])
    .completes(Completer::Commands),
    command("quit", Nothing, "leave; everything is saved already", |app, call| app.handle(Action::Quit, call.now))
        .also(&["exit", "bye"]),
    command("new", Nothing, "start a new chat", |app, call| app.new_chat(call.now)).idle(),
    command(
        "open",
        Optional("[TEXT]"),
        "list the saved chats, or those with a text in them, and go on with one; a whole title opens that chat",
        |app, call| app.library.open_chat(call.argument),
    )
    .idle()
    .completes(Completer::Chats),
    command("rename", Needed("TITLE"), "give this chat another title", |app, call| app.chat.rename(call.argument)),
    command("delete", Nothing, "delete this chat and begin a new one; /undo brings it back", |app, call| {
        app.delete_chat(call.now)
    })
    .idle(),
    command("search", Needed("TEXT"), "look for a text in all saved chats, and go on with one", |app, call| {
        app.library.search_chats(call.argument)
    })
    .idle()
    .completes(Completer::Chats),
    command(
        "export",
        Optional("[FILE]"),
        "write this chat to a file: .md, .json (every branch) or .txt; without a name to one called as the chat",
        |app, call| app.chat.export(&files::unquoted(call.argument)),
    )
    .completes(Completer::NewFile(&["md", "json", "txt"])),
    command("import", Needed("FILE"), "go on with a chat from a .json file", |_, call| {
        vec![Effect::ReadFile { purpose: FilePurpose::Import, path: files::unquoted(call.argument) }]
    })
    .idle()
    .completes(Completer::Files(&["json"])),
    command("read", Needed("FILE"), "put a file into the question", |_, call| {
        vec![Effect::ReadFile { purpose: FilePurpose::Read, path: files::unquoted(call.argument) }]
    })
    .completes(Completer::Files(&[])),
    command(
        "edit",
        Optional("[N|reply]"),
        "say your last question, your Nth, or the last reply in other words; it becomes a branch",
        |app, call| app.chat.edit(call.argument),
    )
    .idle()
    .completes(Completer::Words(&["reply"])),
    command("regen", Nothing, "answer the last question anew; the former answer stays as a branch", |app, call| {
        app.regenerate(call.now)
    })
    .idle(),
    command(
        "compare",
        Optional("[LANE…] [-- TEXT]"),
        "answer the last question, or TEXT, under 2 to 4 presets, NAME=VALUE or fresh seeds (a number) side by side",
        |app, call| app.compare(call.argument, call.now),
    )
    .idle()
    .completes(Completer::Variants),
    command("undo", Nothing, "take back the last question and its answer (nothing is deleted)", |app, _| app.undo())
        .idle(),
    command("redo", Nothing, "bring again what /undo took back", |app, _| app.chat.redo()).idle(),
    command("begin", Optional("[TEXT]"), "give the first words of the next reply; `-` takes them back", |app, call| {
        app.begin_with(call.argument, call.now)
    })
    .also(&["prefill"]),
    command("continue", Nothing, "go on with a reply that was stopped or cut", |app, call| {
        app.continue_reply(call.now)
    })
    .idle(),
    command("pause", Nothing, "pause the running reply and choose its tokens, or let it go on", |app, call| {
        app.chat.step(Step::TogglePause, call.now)
    })
    .on_full_screen(),
    command("step", Optional("[on|off]"), "begin each reply paused, so that you choose each token", |app, call| {
        let said = app.setup.set_stepping(call.argument, &app.view.keymap);
        app.say_of_it(said);
        Vec::new()
    })
    .on_full_screen(),
    command(
        "branch",
        Optional("[K [N]]"),
        "show the next answer to the same question, or the Kth; with N the Kth wording of your Nth question",
        |app, call| app.chat.branch(call.argument),
    )
    .idle(),
    command(
        "copy",
        Optional("[N|code]"),
        "copy the last reply, the Nth message, or the last code block",
        |app, call| app.chat.copy(call.argument, app.view.shows_thoughts),
    )
    .completes(Completer::Words(&["code"])),
    command("system", Optional("[TEXT]"), "set the system message; `-` takes the template's own", |app, call| {
        app.chat.set_system(call.argument)
    })
    .idle(),
    command(
        "template",
        Optional("[NAME]"),
        "set the chat template: `model`, `raw`, a built-in name or a file",
        |app, call| app.set_template(&files::unquoted(call.argument)),
    )
    .idle()
    .completes(Completer::Templates),
    command(
        "think",
        Optional("[on|off|auto|show|hide]"),
        "let the model think before it answers, or not; show its thoughts, or fold them",
        |app, call| app.think(call.argument),
    )
    .completes(Completer::Words(&["on", "off", "auto", "show", "hide"])),
    command(
        "raw",
        Nothing,
        "on the full screen, show replies as they were written, or as Markdown again",
        |app, call| app.handle(Action::ToggleSource, call.now),
    ),
    command("prompt", Nothing, "show what the model really sees: the prompt of the next reply", |app, _| {
        app.show_prompt()
    }),
    command("model", Optional("[NAME]"), "list the models that are here and those that can be had, or load one by name or path", |app, call| {
        app.model_command(call.argument)
    })
    .idle()
    .completes(Completer::Models),
    command(
        "pull",
        Optional("[NAME | stop [NAME] | quantize [NAME] [TYPE]]"),
        "get a model and load it once it is here, unless the chat has gone on; alone it says how far those are that come",
        |app, call| app.pull_command(call.argument),
    )
    .completes(Completer::Pulls),
    command("set", Needed("NAME VALUE"), "set a parameter, also in the middle of a reply", |app, call| {
        app.set(call.argument)
    })
    .completes(Completer::Parameters),
    command("show", Nothing, "show every setting", |app, _| {
        app.note(NoteKind::Info, overview(&app.setup, &app.engine, &app.chat));
        Vec::new()
    }),
    command(
        "preset",
        Optional("[NAME | save NAME | delete NAME]"),
        "set all sampling parameters at once (`model` is what the model brings), or keep those in force under a name",
        |app, call| app.preset_command(call.argument),
    )
    .completes(Completer::Presets),
    command("stats", Nothing, "show what the reply on screen cost, and where its time went", |app, _| {
        app.chat.stats();
        Vec::new()
    }),
    command(
        "replay",
        Optional("[N]"),
        "compute the last reply, or your chat's Nth, again from what is stored of it, and say whether it is the same",
        |app, call| app.replay(call.argument),
    )
    .idle(),
    command("tokens", Needed("TEXT"), "show the tokens of a text", |app, call| app.show_tokens(call.argument)),
    command(
        "heat",
        Optional("[off|probability|rank|entropy]"),
        "show how sure the model was of each token, or the next measure of it",
        |app, call| {
            app.set_heat(call.argument);
            Vec::new()
        },
    )
    .completes(Completer::Words(&crate::settings::Heat::NAMES))
    .on_full_screen(),
    command(
        "score",
        Nothing,
        "have the model rate each token of this chat that was not drawn in this run",
        |app, _| app.score_path(),
    )
    .idle()
    .on_full_screen(),
    command("theme", Optional("[NAME]"), "choose the colours, or take those of this theme", |_, call| {
        vec![Effect::ReadThemes { wanted: (!call.argument.is_empty()).then(|| call.argument.to_owned()) }]
    })
    .completes(Completer::Themes)
    .on_full_screen(),
    command("save", Nothing, "make the settings the default, in config.toml", |app, _| app.save_settings()),
];

/// Every command, in the order of help: the table above, and a direct form for each of [`PARAMETERS`].
pub fn all() -> &'static [SlashCommand] {
    static ALL: LazyLock<Vec<SlashCommand>> = LazyLock::new(|| {
        let run: Run = |app, call| app.parameter_command(call);
        let direct = PARAMETERS.iter().map(|spec| {
            let completer = if spec.kind == ParameterKind::Samplers { Completer::Samplers } else { Completer::None };
            command(spec.name, Optional("[VALUE]"), spec.help, run).also(spec.aliases).completes(completer)
        });
        MAIN.iter().copied().chain(direct).collect()
    });
    &ALL
}

/// The command of exactly this name or alias (without the slash).
pub fn find(name: &str) -> Option<&'static SlashCommand> {
    all().iter().find(|command| command.name == name || command.aliases.contains(&name))
}

/// The commands whose name or alias begins with `prefix`, for completion; a prefix is never enough to give one.
pub fn beginning_with(prefix: &str) -> impl Iterator<Item = &'static SlashCommand> {
    all().iter().filter(move |command| {
        command.name.starts_with(prefix) || command.aliases.iter().any(|alias| alias.starts_with(prefix))
    })
}

/// What to say to a line that is a command which the line REPL cannot carry out.
pub fn refuse_on_lines(line: &str) -> Option<String> {
    let Line::Command { name, .. } = parse(line) else { return None };
    let command = find(name).filter(|command| command.full_screen)?;
    Some(format!("/{} needs the full screen: leave, and start `gibber` for it", command.name))
}

/// What to say to a name that is no command's.
pub fn unknown(name: &str) -> String {
    let hint = match nearest(name) {
        Some(near) => format!("did you mean /{near}?"),
        None => "/help lists the commands".to_owned(),
    };
    format!("there is no command /{name}: {hint} (a message that begins with a slash is written with two)")
}

/// The name or alias nearest to a mistyped one, where one is near enough to be meant.
pub fn nearest(name: &str) -> Option<&'static str> {
    let beginning = name.to_lowercase();
    let names =
        || all().iter().flat_map(|command| std::iter::once(command.name).chain(command.aliases.iter().copied()));
    let longer = names().find(|candidate| beginning.len() > 1 && candidate.starts_with(&beginning));
    longer.or_else(|| gibber_files::nearest::nearest(name, names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_commands() {
        let mut names: Vec<&str> =
            all().iter().flat_map(|c| std::iter::once(c.name).chain(c.aliases.iter().copied())).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(all().iter().all(|command| !command.help.is_empty()));
    }

    #[test]
    fn names_match_exactly_and_never_by_prefix() {
        assert_eq!(find("quit").map(|c| c.name), Some("quit"));
        assert_eq!(find("?").map(|c| c.name), Some("help"));
        assert_eq!(find("temp").map(|c| c.name), Some("temperature"));
        for wrong in ["qui", "QUIT", "quit ", "te", ""] {
            assert!(find(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn an_argument_is_needed_optional_or_refused_as_the_row_says() {
        for command in all() {
            let (without, with) = (command.refusal_of(""), command.refusal_of("mychat"));
            match command.argument {
                Nothing => assert!(without.is_none() && with.unwrap().contains("`mychat`"), "/{}", command.name),
                Optional(_) => assert!(without.is_none() && with.is_none(), "/{}", command.name),
                Needed(what) => assert!(without.unwrap().contains(what) && with.is_none(), "/{}", command.name),
            }
        }
    }

    #[test]
    fn a_line_is_a_command_or_a_message() {
        assert_eq!(parse("hello /quit"), Line::Message("hello /quit"));
        assert_eq!(parse("//etc is a folder"), Line::Message("/etc is a folder"));
        assert_eq!(parse(&escape("/etc is a folder")), Line::Message("/etc is a folder"));
        assert_eq!(escape("hello"), "hello");
        assert_eq!(parse("/set  temp 1 "), Line::Command { name: "set", argument: "temp 1" });
        assert_eq!(parse("/system be\nbrief"), Line::Command { name: "system", argument: "be\nbrief" });
        assert_eq!(parse("/"), Line::Command { name: "", argument: "" });
    }

    #[test]
    fn a_mistyped_name_is_answered_with_the_nearest() {
        assert_eq!(nearest("quti"), Some("quit"));
        assert_eq!(nearest("temprature"), Some("temperature"));
        assert_eq!(nearest("reg"), Some("regen"));
        assert_eq!(nearest("zzzzzz"), None);
        assert!(unknown("undoo").contains("did you mean /undo?"));
        assert!(unknown("etc/passwd").contains("/help"));
    }
}
