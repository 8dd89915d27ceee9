//! Flags as llama.cpp's programs take them. The parser would read several letters behind one dash as a one-letter flag with
//! the rest glued to it, and complain of a flag that nobody wrote, or do what nobody asked for; of a long flag it would
//! only say that there is none. So each is known here, or refused by its own name.

mod table;

use std::ffi::{OsStr, OsString};
use std::iter::Peekable;

use clap::{Arg, Command, CommandFactory};

use super::Cli;
use table::{Meaning, SWITCH_VALUES, Takes, meaning_of};

/// The arguments as clap is to read them.
#[derive(Debug, Default, PartialEq)]
pub(in crate::cli) struct Translated {
    /// The arguments, the program's name first.
    pub(in crate::cli) arguments: Vec<OsString>,
    /// What was taken and changes nothing, a sentence each.
    pub(in crate::cli) notices: Vec<String>,
    /// Flags as they stand in `arguments`, and as they were written.
    written: Vec<(String, String)>,
}

/// Words behind a flag that has a value only after `=` which nobody means as a prompt: ollama's levels of thinking. They
/// are refused as values, with those that there are.
const LEVELS: [&str; 4] = ["low", "medium", "high", "none"];

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
            None if name.starts_with("--") => of_long(command, name),
            None => check_cluster(command, text)?,
        };
        match flag.and_then(Arg::get_long) {
            // Long flags may have underscores, there.
            Some(long) if name.contains('_') => self.push_as(&format!("--{long}"), name, value),
            _ => self.arguments.push(text.into()),
        }
        Ok(flag.filter(|_| value.is_none()).and_then(|flag| self.expects(flag, following)))
    }

    /// Passes a flag on under another name than the one that was written.
    fn push_as(&mut self, name: &str, written: &str, value: Option<&str>) {
        self.written.push((name.to_owned(), written.to_owned()));
        self.arguments.push(value.map_or_else(|| name.into(), |value| format!("{name}={value}").into()));
    }

    /// `flag`, which was passed on without a value, where what follows is that. Where the parser takes a value behind an
    /// equals sign alone, it is passed on like that.
    fn expects<'a>(
        &mut self,
        flag: &'a Arg,
        following: &mut Peekable<impl Iterator<Item = OsString>>,
    ) -> Option<&'a Arg> {
        if !takes_value(flag) || !flag.is_require_equals_set() {
            return Some(flag).filter(|flag| takes_value(flag));
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
        None
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
        let was_apart = value.is_none();
        match meaning {
            Meaning::Refused(sentence) => Err(format!("{name}: {sentence}")),
            Meaning::Off(values, sentence) => {
                let follows = was_apart.then(|| following.peek()).flatten();
                let value =
                    value.map_or_else(|| follows.map(|next| next.to_string_lossy()), |value| Some(value.into()));
                if !value.is_some_and(|value| values.iter().any(|off| is_same_value(off, &value))) {
                    return Err(format!("{name}: {sentence}"));
                }
                following.next_if(|_| was_apart);
                Ok(None)
            }
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
                self.push_as(long, name, value);
                Ok(Some(own).filter(|_| value.is_none()).and_then(|own| self.expects(own, following)))
            }
        }
    }

    /// What the flag `long` was called on the command line, where that was not its own name.
    pub(in crate::cli) fn written_for(&self, long: &str) -> Option<&str> {
        let of_it = |(name, _): &&(String, String)| name.strip_prefix("--") == Some(long);
        self.written.iter().find(of_it).map(|(_, written)| written.as_str())
    }

    /// An error of clap's in which the flags are called what they were called on the command line.
    pub(in crate::cli) fn describe(&self, error: &clap::Error) -> Option<String> {
        let text = error.render().to_string();
        let said = self.written.iter().fold(text.clone(), |text, (long, written)| text.replace(long, written));
        (said != text).then_some(said)
    }
}

/// The spellings of several letters behind one dash that llama.cpp's programs have for the flag `long` of this one, without
/// the dash.
pub(in crate::cli) fn one_dash_names(long: &str) -> Vec<&'static str> {
    table::one_dash_names(&format!("--{long}"))
}

/// What a flag of llama.cpp's means for a command that has none of the same name, and the digits that were glued to it:
/// `-ngl99`.
fn find<'a>(command: &Command, name: &'a str) -> Option<(&'a str, Meaning, Option<&'a str>)> {
    if let Some(long) = name.strip_prefix("--") {
        let meaning = || meaning_of(command.get_name(), &format!("--{}", long.replace('_', "-")));
        return of_long(command, name).is_none().then(meaning).flatten().map(|meaning| (name, meaning, None));
    }
    let is_own = |name: &str| name.len() == 2 && name.chars().nth(1).is_some_and(|c| of_short(command, c).is_some());
    let of_name = |name: &str| meaning_of(command.get_name(), name).filter(|_| !is_own(name));
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

/// The flag that the command itself has under this name, underscores read as dashes.
fn of_long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    let name = name.strip_prefix("--")?.replace('_', "-");
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(&name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name.as_str()))
    })
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

/// Whether two values say the same: as numbers, where they are some.
fn is_same_value(one: &str, other: &str) -> bool {
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
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
    use super::table::ROWS;
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
        let covers =
            |one: &str, other: &str| one == other || one.strip_suffix('*').is_some_and(|one| other.starts_with(one));
        for (at, row) in ROWS.iter().enumerate() {
            for flag in row.flags {
                let earlier = ROWS[..at].iter().find(|earlier| earlier.flags.iter().any(|one| covers(one, flag)));
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
        assert_eq!(words("-hf org/repo:Q8_0 -hff x.gguf"), "--hf-repo org/repo:Q8_0 --hf-file x.gguf");
        assert_eq!(words("run -hfr=org/repo"), "run --hf-repo=org/repo");
        assert_eq!(words("run -mu https://x/y.gguf hi"), "run --hf-repo https://x/y.gguf hi");
        assert_eq!(words("pull -hf org/repo"), "pull --hf-repo org/repo");
        assert_eq!(words("models pull -hf org/repo"), "models pull --hf-repo org/repo");
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
            ("run --jinja hi", "--jinja"),
            ("run --n-gpu-layers 99 hi", "--n-gpu-layers"),
            ("run --n_gpu_layers=99 hi", "--n_gpu_layers"),
            ("run --gpu-layers -1 hi", "--gpu-layers"),
            ("run --flash-attn hi", "--flash-attn"),
            ("run --flash-attn auto hi", "--flash-attn"),
            ("run --threads-batch 2 hi", "--threads-batch"),
            ("run --conversation hi", "--conversation"),
            ("run --single-turn hi", "--single-turn"),
            ("run --no-mmap hi", "--no-mmap"),
            ("run --color hi", "--color"),
            ("run --no-display-prompt hi", "--no-display-prompt"),
            ("run --cpu-mask-batch ff hi", "--cpu-mask-batch"),
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
            ("-hft hf_secret", "-hft"),
            ("run --hf-token=hf_secret", "--hf-token"),
            ("run -dr some/model", "-dr"),
            ("run --gpt-oss-20b-default", "--gpt-oss-20b-default"),
            ("tokenize -md x", "-md"),
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
            ("run --in-prefix A", "--in-prefix"),
            ("run --in_suffix A", "--in_suffix"),
            ("run --mirostat 2", "--mirostat"),
            ("run --mirostat-lr 2", "--mirostat-lr"),
            ("run --spec-draft-n-max 2", "--spec-draft-n-max"),
            ("run --model-draft x", "--model-draft"),
            ("run --grammar x", "--grammar"),
            ("run --lora x", "--lora"),
            ("run --rope-freq-base 1", "--rope-freq-base"),
            ("run --mmproj x", "--mmproj"),
            ("--host 0.0.0.0 --port 80", "--host"),
            ("--interactive-first --ignore-eos", "--ignore-eos"),
            ("run --interactive", "--interactive"),
            ("tokenize --n-predict 1", "--n-predict"),
        ] {
            let error = translate(line).unwrap_err();
            let is_named = error.split([' ', ':', ',']).any(|word| word == name);
            assert!(is_named, "{line}: {error}");
        }
    }

    #[test]
    fn what_only_says_off_is_taken_and_any_other_value_refused_by_name() {
        for (flag, off, on) in [
            ("--mirostat", "0", "2"),
            ("--dry-multiplier", "0.0", "0.8"),
            ("--dry_multiplier", "0", "0.8"),
            ("--dry-penalty-last-n", "0", "-1"),
            ("--xtc-probability", "0", "0.5"),
            ("--xtc-threshold", "1.0", "0.1"),
            ("--dynatemp-range", "0", "0.5"),
            ("--adaptive-target", "-1", "0.4"),
            ("--tfs", "1", "0.9"),
            ("--top-a", "0", "0.2"),
            ("--grp-attn-n", "1", "4"),
            ("-gan", "1", "4"),
            ("--rope-scale", "1", "4"),
            ("--yarn-ext-factor", "-1", "1"),
            ("--reasoning-budget", "-1", "0"),
            ("--draft-max", "0", "8"),
            ("--spec-type", "none", "ngram"),
            ("--chat-template-kwargs", "{}", "{\"a\":1}"),
        ] {
            for line in [format!("run {flag} {off} hi"), format!("run {flag}={off} hi")] {
                assert_eq!(words(&line), "run hi", "{line}");
                assert!(translate(&line).unwrap().notices.is_empty(), "nothing is to be said of it");
            }
            for line in [format!("run {flag} {on} hi"), format!("run {flag}={on} hi"), format!("run {flag}")] {
                let error = translate(&line).unwrap_err();
                assert!(error.starts_with(&format!("{flag}: ")), "{line}: {error}");
            }
        }
        assert_eq!(words("run --no-mmproj hi"), "run hi");
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
            "run -p --jinja --no-color --stop --mirostat x",
            "run -- --jinja --hf-repo",
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
