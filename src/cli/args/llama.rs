//! Flags as llama.cpp's programs take them: several letters behind one dash. The parser would read such a word as a
//! one-letter flag with the rest glued to it, and complain of a flag that nobody wrote, or do what nobody asked for: so
//! each is known here, or refused by its own name.

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;

use clap::{Arg, Command, CommandFactory};

use super::Cli;

/// The arguments as clap is to read them.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct Translated {
    /// The arguments, the program's name first.
    pub(in crate::cli) arguments: Vec<OsString>,
    /// What was taken and changes nothing, a sentence each.
    pub(in crate::cli) notices: Vec<String>,
    /// Flags as they stand in `arguments`, and as they were written.
    written: Vec<(&'static str, String)>,
}

/// Words behind a flag that has a value only after `=` which nobody means as a prompt: ollama's levels of thinking. They
/// are refused as values, with those that there are.
const LEVELS: [&str; 4] = ["low", "medium", "high", "none"];

/// What a flag of llama.cpp is here.
#[derive(Debug, Clone, Copy)]
enum Meaning {
    /// This flag.
    Same(&'static str),
    /// Nothing, for this reason; what follows it may be its value.
    NoEffect(Takes, &'static str),
    /// Refused, with this sentence.
    Refused(&'static str),
}

/// Whether a value follows a flag.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Takes {
    Nothing,
    Value,
    /// One of [`SWITCH_VALUES`], or none.
    Switch,
}

/// What stands behind a switch that may say which way.
const SWITCH_VALUES: [&str; 5] = ["on", "off", "auto", "0", "1"];

/// Flags of one meaning; the commands for which they have it, none for all.
struct Row {
    flags: &'static [&'static str],
    commands: &'static [&'static str],
    meaning: Meaning,
}

const fn row(flags: &'static [&'static str], meaning: Meaning) -> Row {
    Row { flags, commands: &[], meaning }
}

const fn row_for(commands: &'static [&'static str], flags: &'static [&'static str], meaning: Meaning) -> Row {
    Row { flags, commands, meaning }
}

const CPU: &str = "everything is computed on the CPU";
const NO_DRAFT_MODEL: &str = "no second model drafts here; --lookup on drafts from what the chat has said";
const NO_DOWNLOAD: &str = "nothing is downloaded: fetch the model's GGUF file, and give its path with -m (what is in \
                           Hugging Face's cache already has a name, see `gibber models list`)";
const NO_IMAGES: &str = "models that see or speak cannot be run, text alone goes in and out";
const NOT_PINNED: &str = "threads are not tied to cores (`taskset` does that); -t says how many there are";
const ONE_AT_A_TIME: &str = "one prompt is computed at a time";
const MEMORY: &str = "the weights are mapped or loaded as the model needs it";

/// In llama.cpp's own order, as far as it has one. Flags of one letter are here where no command of this program, or not
/// each, has them.
const ROWS: &[Row] = &[
    row(&["-sys"], Meaning::Same("--system-prompt")),
    row(&["-ctk"], Meaning::Same("--cache-type-k")),
    row(&["-ctv"], Meaning::Same("--cache-type-v")),
    row(&["-no-cnv"], Meaning::Same("--raw")),
    row(&["-r"], Meaning::Same("--stop")),
    row(&["-cnv"], Meaning::NoEffect(Takes::Nothing, "the chat template is used wherever --raw is not given")),
    row_for(&["run"], &["-st"], Meaning::NoEffect(Takes::Nothing, "`gibber run` answers once anyway")),
    row(&["-st"], Meaning::Refused("one question and one answer is `gibber run`")),
    row_for(&["run"], &["-i", "-if", "-ins"], Meaning::Refused("a conversation is `gibber chat` or `gibber repl`")),
    row(&["-i", "-if", "-ins"], Meaning::NoEffect(Takes::Nothing, "a chat waits for you anyway")),
    row(&["-mli"], Meaning::NoEffect(Takes::Nothing, "texts of several lines are always taken")),
    row(&["-co"], Meaning::NoEffect(Takes::Nothing, "colours are used where the terminal has them; see --no-color")),
    row(&["-cml"], Meaning::Refused("write --chat-template chatml")),
    row(&["-hf", "-hfr", "-hff", "-hft", "-mu", "-dr"], Meaning::Refused(NO_DOWNLOAD)),
    row(&["-hfd", "-hfrd", "-md", "-td", "-tbd", "-cd", "-devd", "-ngld"], Meaning::Refused(NO_DRAFT_MODEL)),
    row(&["-ctkd", "-ctvd", "-otd", "-cmoed", "-ncmoed"], Meaning::Refused(NO_DRAFT_MODEL)),
    row(&["-mm", "-mmu", "-mv", "-hfv", "-hfrv", "-hffv"], Meaning::Refused(NO_IMAGES)),
    row(&["-ngl", "-sm", "-ts", "-mg", "-dev", "-ot", "-ncmoe"], Meaning::NoEffect(Takes::Value, CPU)),
    row(&["-cmoe", "-nkvo", "-kvo"], Meaning::NoEffect(Takes::Nothing, CPU)),
    row(&["-fa"], Meaning::NoEffect(Takes::Switch, "attention never holds all its scores in memory")),
    row(&["-tb"], Meaning::NoEffect(Takes::Value, "the threads of -t compute prompts too")),
    row(&["-C", "-Cr", "-Cb", "-Crb"], Meaning::NoEffect(Takes::Value, NOT_PINNED)),
    row(&["-ub"], Meaning::NoEffect(Takes::Value, "-b says how many tokens one pass computes")),
    row(&["-np", "-ns"], Meaning::NoEffect(Takes::Value, ONE_AT_A_TIME)),
    row(&["-cb", "-nocb", "-kvu"], Meaning::NoEffect(Takes::Nothing, ONE_AT_A_TIME)),
    row(&["-dt"], Meaning::NoEffect(Takes::Value, "the KV cache has no holes")),
    row(&["-cram"], Meaning::NoEffect(Takes::Value, "one chat is in memory, with one KV cache")),
    row(&["-mmp", "-dio", "-ndio", "-fit"], Meaning::NoEffect(Takes::Switch, MEMORY)),
    row(&["-fitt", "-fitc"], Meaning::NoEffect(Takes::Value, MEMORY)),
    row(&["-nr", "-rtr"], Meaning::NoEffect(Takes::Nothing, "weights are packed where that pays")),
    row(&["-bs"], Meaning::NoEffect(Takes::Nothing, "tokens are chosen on the CPU")),
    row(&["-lv"], Meaning::NoEffect(Takes::Value, "-v says more on stderr")),
    row(&["-ptc"], Meaning::NoEffect(Takes::Value, "-v prints how many tokens there were")),
    row(
        &["-e"],
        Meaning::Refused("backslashes of a prompt stay as they are; the shell can write line feeds: $'one\\ntwo'"),
    ),
    row(&["-sysf"], Meaning::Refused("write -sys \"$(cat FILE)\"")),
    row(&["-bf"], Meaning::Refused("write -f FILE; with --raw its text is taken byte for byte")),
    row(&["-sp"], Meaning::Refused("special tokens are not printed; `run --json` has the id of each token")),
    row(&["-l"], Meaning::Refused("no logit of a single token can be changed")),
    row(&["-j", "-jf"], Meaning::Refused("a reply cannot be bound to a JSON schema or a grammar")),
    row(&["-gan", "-gaw"], Meaning::Refused("the context is not stretched by groups; -c says how long it is")),
    row(&["-lcs", "-lcd"], Meaning::Refused("prompt lookup keeps no file; --lookup on drafts from the chat itself")),
    row(&["-ld", "-o", "-oe", "-ofreq"], Meaning::Refused("no log or output file is written; the shell can: > FILE")),
    row(&["-cl"], Meaning::Refused("the models that are here: `gibber models list`")),
    row(&["-a", "-to", "-sps"], Meaning::Refused("this program is no server")),
    row(&["-pg"], Meaning::Refused("`gibber bench` measures a prompt of -p tokens, and -n tokens by themselves")),
    row(
        &["-npp", "-ntg", "-npl", "-pps", "-tgs"],
        Meaning::Refused("one sequence at a time is measured: -p, -n and -d"),
    ),
];

impl Translated {
    /// Reads the arguments of the process.
    ///
    /// # Errors
    /// A sentence that names a flag which is not taken.
    pub(in crate::cli) fn new(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut root = Cli::command();
        root.build();
        let mut arguments = arguments.peekable();
        let mut translated = Self { arguments: arguments.next().into_iter().collect(), ..Self::default() };
        let (mut command, mut expecting): (&Command, Option<&Arg>) = (&root, None);
        while let Some(argument) = arguments.next() {
            let text = argument.to_str().unwrap_or_default();
            if text == "--" {
                translated.arguments.push(argument);
                translated.arguments.extend(arguments);
                break;
            }
            let is_flag = text.len() > 1 && text.starts_with('-') && !is_number(&argument);
            let is_value = expecting.take().is_some_and(|flag| !is_flag || flag.is_allow_hyphen_values_set());
            if is_value || !is_flag {
                if let Some(subcommand) = command.find_subcommand(text).filter(|_| !is_value) {
                    command = subcommand;
                }
                translated.arguments.push(argument);
                continue;
            }
            expecting = translated.flag(command, text, &mut arguments)?;
        }
        Ok(translated)
    }

    /// Takes a flag; returns it where a value of its own is to follow.
    fn flag<'a>(
        &mut self,
        command: &'a Command,
        text: &str,
        following: &mut Peekable<impl Iterator<Item = OsString>>,
    ) -> Result<Option<&'a Arg>, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let flag = match find(command, name) {
            Some((name, meaning, glued)) => {
                let value = value.or(glued);
                return self.foreign(command, name, meaning, value, following);
            }
            None if name.starts_with("--") => command.get_arguments().find(|arg| arg.get_long() == name.get(2..)),
            None => check_cluster(command, text)?,
        };
        self.arguments.push(text.into());
        let Some(flag) = flag.filter(|flag| value.is_none() && takes_value(flag)) else { return Ok(None) };
        if !flag.is_require_equals_set() {
            return Ok(Some(flag));
        }
        // What can only be meant as its value is, without an equals sign too.
        let names = flag.get_possible_values();
        let is_meant = |next: &OsString| {
            let word = next.to_string_lossy();
            names.iter().any(|name| name.matches(&word, true))
                || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(&word))
        };
        if let (Some(next), Some(written)) = (following.next_if(is_meant), self.arguments.last_mut()) {
            written.push("=");
            written.push(next);
        }
        Ok(None)
    }

    /// Takes a flag of llama.cpp's.
    fn foreign<'a>(
        &mut self,
        command: &'a Command,
        name: &str,
        meaning: Meaning,
        value: Option<&str>,
        following: &mut Peekable<impl Iterator<Item = OsString>>,
    ) -> Result<Option<&'a Arg>, String> {
        match meaning {
            Meaning::Refused(sentence) => Err(format!("{name}: {sentence}")),
            Meaning::NoEffect(takes, why) => {
                self.notices.push(format!("{name} changes nothing: {why}"));
                let is_value = |next: &OsString| match takes {
                    Takes::Nothing => false,
                    Takes::Value => !next.as_encoded_bytes().starts_with(b"-") || is_number(next),
                    Takes::Switch => SWITCH_VALUES.iter().any(|value| next == OsStr::new(value)),
                };
                if value.is_none() {
                    following.next_if(is_value);
                }
                Ok(None)
            }
            Meaning::Same(long) => {
                let own = command.get_arguments().find(|arg| arg.get_long() == long.get(2..));
                let own = own.ok_or_else(|| format!("{name}: {} takes no such flag", called(command)))?;
                self.written.push((long, name.to_owned()));
                self.arguments.push(value.map_or_else(|| long.into(), |value| format!("{long}={value}").into()));
                Ok(Some(own).filter(|own| value.is_none() && takes_value(own)))
            }
        }
    }

    /// An error of clap's in which the flags are called what they were called on the command line.
    pub(in crate::cli) fn describe(&self, error: &clap::Error) -> Option<String> {
        let text = error.render().to_string();
        let said = self.written.iter().fold(text.clone(), |text, (long, written)| text.replace(long, written));
        (said != text).then_some(said)
    }
}

/// What a flag of llama.cpp's means for a command that has none of the same name, and the digits that were glued to it:
/// `-ngl99`.
fn find<'a>(command: &Command, name: &'a str) -> Option<(&'a str, Meaning, Option<&'a str>)> {
    let is_own = |name: &str| name.len() == 2 && name.chars().nth(1).is_some_and(|c| of_short(command, c).is_some());
    let of_name = |name: &str| {
        let is_for = |row: &&Row| row.commands.is_empty() || row.commands.contains(&command.get_name());
        ROWS.iter().filter(is_for).find(|row| row.flags.contains(&name) && !is_own(name)).map(|row| row.meaning)
    };
    if let Some(meaning) = of_name(name) {
        return Some((name, meaning, None));
    }
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let meaning = of_name(bare).filter(|_| bare.len() > 2 && bare.len() < name.len())?;
    Some((bare, meaning, Some(&name[bare.len()..])))
}

/// Letters behind one dash are switches, and at last perhaps a flag with its value: `-vt4`. Returns the flag whose value is
/// still to come.
///
/// # Errors
/// A sentence, where it is no such word.
fn check_cluster<'a>(command: &'a Command, text: &str) -> Result<Option<&'a Arg>, String> {
    let word = text[1..].split('=').next().unwrap_or_default();
    if word.chars().nth(1).is_none() {
        return Ok(word.chars().next().and_then(|c| of_short(command, c)));
    }
    let unknown = || {
        let long = command.get_arguments().filter_map(Arg::get_long).find(|long| *long == word);
        let hint = match long {
            Some(long) => format!(", but there is --{long}"),
            None if word.contains(char::is_whitespace) => ": a text that begins with a dash goes behind --".to_owned(),
            None => String::new(),
        };
        format!("{} has no flag -{word}{hint}", called(command))
    };
    if command.get_arguments().any(|arg| arg.get_long() == Some(word)) {
        return Err(unknown());
    }
    for (at, letter) in text[1..].char_indices() {
        let flag = of_short(command, letter).ok_or_else(unknown)?;
        if !takes_value(flag) {
            continue;
        }
        let glued = &text[1 + at + letter.len_utf8()..];
        let glued = glued.strip_prefix('=').unwrap_or(glued);
        return match glued {
            "" => Ok(Some(flag)),
            glued if wants_number(flag) && !glued.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
                Err(unknown())
            }
            _ => Ok(None),
        };
    }
    Ok(None)
}

fn of_short(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| arg.get_short() == Some(letter))
}

fn takes_value(flag: &Arg) -> bool {
    flag.get_action().takes_values()
}

/// Whether a flag's value is a number, which no letter begins.
fn wants_number(flag: &Arg) -> bool {
    let names = flag.get_value_names().unwrap_or_default();
    names.iter().any(|name| ["N", "SEED"].contains(&name.as_str()))
}

fn is_number(text: &OsStr) -> bool {
    text.to_str().is_some_and(|text| text.parse::<f64>().is_ok())
}

/// What a command is called: `gibber run`.
fn called(command: &Command) -> String {
    format!("`{}`", command.get_bin_name().unwrap_or(command.get_name()).replace("gibber-", "gibber "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translate(line: &str) -> Result<Translated, String> {
        Translated::new(std::iter::once("gibber").chain(line.split_whitespace()).map(OsString::from))
    }

    fn words(line: &str) -> String {
        let words = translate(line).unwrap().arguments;
        words[1..].iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn no_flag_stands_in_the_table_twice_for_one_command() {
        let mut root = Cli::command();
        root.build();
        for (at, row) in ROWS.iter().enumerate() {
            for flag in row.flags {
                let earlier = ROWS[..at].iter().find(|earlier| earlier.flags.contains(flag));
                assert!(earlier.is_none_or(|earlier| !earlier.commands.is_empty()), "{flag}");
                if let Meaning::Same(long) = row.meaning {
                    let has = |command: &Command| command.get_arguments().any(|arg| arg.get_long() == Some(&long[2..]));
                    assert!(root.get_subcommands().any(has), "{long}");
                }
            }
        }
    }

    #[test]
    fn flags_that_are_known_here_take_their_own_names() {
        assert_eq!(
            words("run -sys Brief -ctk q8_0 -ctv=f32 -no-cnv x"),
            "run --system-prompt Brief --cache-type-k q8_0 --cache-type-v=f32 --raw x"
        );
        assert_eq!(words("run -r User: hi"), "run --stop User: hi");
        assert_eq!(words("bench -r 2"), "bench -r 2", "a flag of the command's own");
    }

    #[test]
    fn what_changes_nothing_goes_with_its_value_and_is_said() {
        for (line, flag) in [
            ("run -ngl 99 hi", "-ngl"),
            ("run -ngl=99 hi", "-ngl"),
            ("run -ngl99 hi", "-ngl"),
            ("run -ngl -1 hi", "-ngl"),
            ("run -fa hi", "-fa"),
            ("run -fa on hi", "-fa"),
            ("run -tb 2 hi", "-tb"),
            ("run -st hi", "-st"),
            ("run -cnv hi", "-cnv"),
        ] {
            let translated = translate(line).unwrap();
            assert_eq!(translated.arguments[1..], ["run", "hi"], "{line}");
            assert!(
                translated.notices[0].starts_with(&format!("{flag} changes nothing: ")),
                "{:?}",
                translated.notices
            );
        }
    }

    #[test]
    fn what_is_not_there_is_refused_by_its_name() {
        for (line, name) in [
            ("-hf org/repo", "-hf"),
            ("run -hfr=org/repo", "-hfr"),
            ("-st -p hi", "-st"),
            ("run -md draft.gguf", "-md"),
            ("run -e hi", "-e"),
            ("run -jf x.json", "-jf"),
            ("score -sys x", "-sys"),
            ("run -temp 0 hi", "-temp"),
            ("run -model x", "-model"),
            ("-help", "-help"),
            ("run -hx", "-hx"),
            ("run -vx", "-vx"),
            ("run -xyz", "-xyz"),
        ] {
            let error = translate(line).unwrap_err();
            let is_named = error.split([' ', ':', ',']).any(|word| word == name);
            assert!(is_named, "{line}: {error}");
        }
    }

    #[test]
    fn words_that_only_look_like_flags_are_left_alone() {
        for line in [
            "run -p -hf",
            "run --stop -st hi",
            "run -sys -fa -- x",
            "run -- -hf -ngl",
            "run -t4 -n8 -c2048 -s-1 -mtiny hi",
            "run --presence-penalty -0.5 --repeat-last-n -1 hi",
            "run -vt4 hi",
            "run --think=off hi",
            "--config-dir run tokenize -",
        ] {
            let expected = line.replace("-sys", "--system-prompt");
            assert_eq!(words(line), expected);
        }
    }

    #[test]
    fn a_word_that_can_only_be_the_flags_value_is_it() {
        assert_eq!(words("run --think off hi"), "run --think=off hi");
        assert_eq!(words("run --think false hi"), "run --think=false hi");
        assert_eq!(words("run --think ON hi"), "run --think=ON hi");
        assert_eq!(words("run --think high hi"), "run --think=high hi");
        assert_eq!(words("run --think hi"), "run --think hi");
    }
}
