//! The one table of slash commands: the popup, `/help`, the line REPL and the README come from it.

use std::sync::LazyLock;

use super::parameters::{PARAMETERS, Parameter};

/// What a slash command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandId {
    /// Lists keys and commands.
    Help,
    /// Leaves.
    Quit,
    /// Starts a new conversation.
    New,
    /// Goes on with a saved conversation.
    Open,
    /// Names this conversation.
    Rename,
    /// Deletes this conversation.
    Delete,
    /// Looks for a text in all saved conversations.
    Search,
    /// Writes this conversation to a file.
    Export,
    /// Reads a conversation from a file.
    Import,
    /// Puts a file into the question.
    Read,
    /// Says an earlier question, or the last reply, in other words.
    Edit,
    /// Answers the last question anew.
    Regenerate,
    /// Answers the last question under several settings side by side.
    Compare,
    /// Takes back the last question and its answer.
    Undo,
    /// Brings again what was taken back.
    Redo,
    /// Gives the first words of the next reply.
    Begin,
    /// Goes on with a reply that was cut.
    Continue,
    /// Pauses the running reply, or lets it go on.
    Pause,
    /// Whether every reply begins paused.
    Step,
    /// Shows another answer to the same question.
    Branch,
    /// Puts the last reply on the clipboard.
    Copy,
    /// Sets the system message.
    System,
    /// Sets the chat template.
    Template,
    /// Whether the model thinks before it answers, and whether that is shown.
    Think,
    /// Shows replies as they were written, or as Markdown.
    Raw,
    /// Shows what the model really sees.
    Prompt,
    /// Loads another model.
    Model,
    /// Sets a parameter by its name.
    Set,
    /// Sets this parameter.
    Parameter(Parameter),
    /// Shows every setting.
    Show,
    /// Sets all sampling parameters at once.
    Preset,
    /// Shows how sure the model was of each token.
    Heat,
    /// Scores each token of the conversation.
    Score,
    /// Shows what the reply on screen cost.
    Stats,
    /// Counts the tokens of a text.
    Tokens,
    /// Changes the colours.
    Theme,
    /// Makes the settings the default.
    Save,
}

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
    Lanes,
    /// The names of templates.
    Templates,
    /// The names of models, which the front end's surroundings know.
    Models,
    /// The names of themes.
    Themes,
    /// The names of commands.
    Commands,
    /// These words.
    Words(&'static [&'static str]),
    /// The titles of saved conversations.
    Chats,
    /// Names of files with one of these endings; none are any.
    Files(&'static [&'static str]),
}

/// A command that begins with `/`.
#[derive(Debug, Clone, Copy)]
pub struct SlashCommand {
    /// What it does.
    pub id: CommandId,
    /// Its name, without the slash.
    pub name: &'static str,
    /// Other names, which match exactly too.
    pub aliases: &'static [&'static str],
    /// What follows it, as help shows it.
    pub arguments: &'static str,
    /// What it does, in a line.
    pub help: &'static str,
    /// When it may be given.
    pub when: When,
    /// What its argument is completed from.
    pub completer: Completer,
    /// Whether only the full screen can do it.
    pub full_screen: bool,
}

const fn command(id: CommandId, name: &'static str, arguments: &'static str, help: &'static str) -> SlashCommand {
    let (when, completer) = (When::Always, Completer::None);
    SlashCommand { id, name, aliases: &[], arguments, help, when, completer, full_screen: false }
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
        if self.arguments.is_empty() { format!("/{}", self.name) } else { format!("/{} {}", self.name, self.arguments) }
    }
}

const MAIN: &[SlashCommand] = &[
    command(CommandId::Help, "help", "[COMMAND]", "list keys and commands, or explain one")
        .also(&["?"])
        .completes(Completer::Commands),
    command(CommandId::Quit, "quit", "", "leave; everything is saved already").also(&["exit", "bye"]),
    command(CommandId::New, "new", "", "start a new chat").idle(),
    command(
        CommandId::Open,
        "open",
        "[TEXT]",
        "list the saved chats, or those with a text in them, and go on with one; a whole title opens that chat",
    )
    .idle()
    .completes(Completer::Chats),
    command(CommandId::Rename, "rename", "TITLE", "give this chat another title"),
    command(CommandId::Delete, "delete", "", "delete this chat and begin a new one; /undo brings it back").idle(),
    command(CommandId::Search, "search", "TEXT", "look for a text in all saved chats, and go on with one")
        .idle()
        .completes(Completer::Chats),
    command(
        CommandId::Export,
        "export",
        "[FILE]",
        "write this chat to a file: .md, .json (every branch) or .txt; without a name to one called as the chat",
    )
    .completes(Completer::Files(&["md", "json", "txt"])),
    command(CommandId::Import, "import", "FILE", "go on with a chat from a .json file")
        .idle()
        .completes(Completer::Files(&["json"])),
    command(CommandId::Read, "read", "FILE", "put a file into the question").completes(Completer::Files(&[])),
    command(
        CommandId::Edit,
        "edit",
        "[N|reply]",
        "say your last question, your Nth, or the last reply in other words; it becomes a branch",
    )
    .idle()
    .completes(Completer::Words(&["reply"])),
    command(CommandId::Regenerate, "regen", "", "answer the last question anew; the former answer stays as a branch")
        .idle(),
    command(
        CommandId::Compare,
        "compare",
        "[LANE…] [-- TEXT]",
        "answer the last question, or TEXT, under 2 to 4 presets, NAME=VALUE or fresh seeds (a number) side by side",
    )
    .idle()
    .completes(Completer::Lanes),
    command(CommandId::Undo, "undo", "", "take back the last question and its answer (nothing is deleted)").idle(),
    command(CommandId::Redo, "redo", "", "bring again what /undo took back").idle(),
    command(CommandId::Begin, "begin", "TEXT", "give the first words of the next reply; `-` takes them back")
        .also(&["prefill"]),
    command(CommandId::Continue, "continue", "", "go on with a reply that was stopped or cut").idle(),
    command(CommandId::Pause, "pause", "", "pause the running reply and choose its tokens, or let it go on")
        .on_full_screen(),
    command(CommandId::Step, "step", "[on|off]", "begin each reply paused, so that you choose each token")
        .on_full_screen(),
    command(
        CommandId::Branch,
        "branch",
        "[K [N]]",
        "show the next answer to the same question, or the Kth; with N the Kth wording of your Nth question",
    )
    .idle(),
    command(CommandId::Copy, "copy", "[N|code]", "copy the last reply, the Nth message, or the last code block")
        .completes(Completer::Words(&["code"])),
    command(CommandId::System, "system", "TEXT", "set the system message; `-` takes the template's own").idle(),
    command(
        CommandId::Template,
        "template",
        "[NAME]",
        "set the chat template: `model`, `raw`, a built-in name or a file",
    )
    .idle()
    .completes(Completer::Templates),
    command(
        CommandId::Think,
        "think",
        "[on|off|auto|show|hide]",
        "let the model think before it answers, or not; show its thoughts, or fold them",
    )
    .completes(Completer::Words(&["on", "off", "auto", "show", "hide"])),
    command(CommandId::Raw, "raw", "", "on the full screen, show replies as they were written, or as Markdown again"),
    command(CommandId::Prompt, "prompt", "", "show what the model really sees"),
    command(CommandId::Model, "model", "[NAME]", "list the models, or load one by name or path")
        .idle()
        .completes(Completer::Models),
    command(CommandId::Set, "set", "NAME VALUE", "set a parameter, also in the middle of a reply")
        .completes(Completer::Parameters),
    command(CommandId::Show, "show", "", "show every setting"),
    command(
        CommandId::Preset,
        "preset",
        "[NAME | save NAME | delete NAME]",
        "set all sampling parameters at once, or keep those in force under a name",
    )
    .completes(Completer::Presets),
    command(CommandId::Stats, "stats", "", "show what the reply on screen cost, and where its time went"),
    command(CommandId::Tokens, "tokens", "TEXT", "show the tokens of a text"),
    command(
        CommandId::Heat,
        "heat",
        "[off|probability|rank|entropy]",
        "show how sure the model was of each token, or the next measure of it",
    )
    .completes(Completer::Words(&crate::settings::Heat::NAMES))
    .on_full_screen(),
    command(
        CommandId::Score,
        "score",
        "",
        "have the model rate each token of this chat that was not drawn in this run",
    )
    .idle()
    .on_full_screen(),
    command(CommandId::Theme, "theme", "[NAME]", "choose the colours, or take those of this theme")
        .completes(Completer::Themes)
        .on_full_screen(),
    command(CommandId::Save, "save", "", "make the settings the default, in config.toml"),
];

/// Every command, in the order of help: the table above, and a direct form for each of [`PARAMETERS`].
pub fn all() -> &'static [SlashCommand] {
    static ALL: LazyLock<Vec<SlashCommand>> = LazyLock::new(|| {
        let direct = PARAMETERS.iter().map(|spec| {
            command(CommandId::Parameter(spec.parameter), spec.name, "VALUE", spec.help).also(spec.aliases)
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

/// A line as the person meant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'a> {
    /// Something to say to the model.
    Message(&'a str),
    /// A command: its name without the slash, and what follows.
    Command {
        /// The name as typed.
        name: &'a str,
        /// What follows, without the space between and at the end.
        argument: &'a str,
    },
}

/// Tells a command from a message. A message that begins with a slash is written with two.
pub fn parse(line: &str) -> Line<'_> {
    let Some(rest) = line.strip_prefix('/') else { return Line::Message(line) };
    if rest.starts_with('/') {
        return Line::Message(rest);
    }
    let (name, argument) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    Line::Command { name, argument: argument.trim() }
}

/// A message as it is to be written so that [`parse`] gives it back.
pub fn escape(message: &str) -> String {
    if message.starts_with('/') { format!("/{message}") } else { message.to_owned() }
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
    let name = name.to_lowercase();
    let names =
        || all().iter().flat_map(|command| std::iter::once(command.name).chain(command.aliases.iter().copied()));
    if name.len() > 1
        && let Some(longer) = names().find(|candidate| candidate.starts_with(&name))
    {
        return Some(longer);
    }
    names()
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 2.min(candidate.len() / 2))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
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
        assert_eq!(find("quit").map(|c| c.id), Some(CommandId::Quit));
        assert_eq!(find("?").map(|c| c.id), Some(CommandId::Help));
        assert_eq!(find("temp").map(|c| c.id), Some(CommandId::Parameter(Parameter::Temperature)));
        for wrong in ["qui", "QUIT", "quit ", "te", ""] {
            assert!(find(wrong).is_none(), "{wrong:?}");
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
