//! The documents say what the program does: their tables come from the program's own, and their flags are those of `--help`.
//!
//! A table that has changed is written into the files by `UPDATE_DOCS=1 cargo test --test docs -- --test-threads 1`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use gibber::app::commands;
use gibber::app::keymap::{BINDINGS, Context, Keymap};
use gibber::app::parameters::{PARAMETERS, ParameterKind, ParameterSpec, ParameterValue, SamplingParams};

/// Every command that has a help of its own.
const COMMANDS: [&[&str]; 14] = [
    &[],
    &["repl"],
    &["run"],
    &["score"],
    &["tokenize"],
    &["bench"],
    &["pull"],
    &["models", "list"],
    &["models", "info"],
    &["models", "verify"],
    &["models", "remove"],
    &["models", "quantize"],
    &["config"],
    &["completions"],
];

/// Where every flag stands.
const FLAGS: &str = "docs/command-line.md";

#[test]
fn every_slash_command_is_documented() {
    let mut table = String::from("| command | also | what it does |\n|---|---|---|\n");
    for command in commands::all() {
        let aliases: Vec<_> = command.aliases.iter().map(|alias| format!("`/{alias}`")).collect();
        let row = [format!("`{}`", command.usage()), aliases.join(" "), command.help.to_owned()];
        table += &markdown_row(&row);
    }
    assert_in("docs/commands.md", "commands", &table);
}

#[test]
fn every_key_is_documented() {
    let keymap = Keymap::default();
    let mut tables = String::new();
    for &context in Context::ALL {
        tables += &format!("| {} | | `[keys.{}]` |\n|---|---|---|\n", context.title(), context.name());
        for binding in BINDINGS.iter().filter(|binding| binding.context == context) {
            let keys: Vec<_> = binding.keys.iter().map(|keys| format!("`{keys}`")).collect();
            let name = format!("`{}`", binding.action.name());
            tables += &markdown_row(&[keys.join(" "), keymap.help(binding), name]);
        }
        tables.push('\n');
    }
    assert_in("docs/keys.md", "keys", tables.trim_end());
}

#[test]
fn the_documents_and_the_help_have_the_same_flags() {
    let in_help: BTreeSet<String> = COMMANDS.iter().flat_map(|command| flags(&help(command))).collect();
    let documented = section(&read(FLAGS), "flags").unwrap();
    let documented: BTreeSet<String> = flags(&documented).into_iter().collect();
    let missing: Vec<_> = in_help.difference(&documented).collect();
    let unknown: Vec<_> = documented.difference(&in_help).collect();
    assert!(missing.is_empty(), "flags of --help that {FLAGS} does not have: {missing:?}");
    assert!(unknown.is_empty(), "flags of {FLAGS} that no --help has: {unknown:?}");
}

#[test]
fn the_flags_of_every_parameter_are_as_the_table_has_them() {
    let cell = |spec: &ParameterSpec| match spec.letter {
        Some(letter) => format!("`-{letter}`, `--{}`", spec.flag),
        None => format!("`--{}`", spec.flag),
    };
    let row = |spec| markdown_row(&[cell(spec), spec.value_name.to_owned(), spec.help.to_owned()]);
    let rows: String = PARAMETERS.iter().map(row).collect();
    let is_ours = |line: &str| PARAMETERS.iter().any(|spec| line.starts_with(&format!("| {} |", cell(spec))));
    let lines = read(FLAGS);
    let lines: Vec<&str> = lines.split_inclusive('\n').collect();
    let first = lines.iter().position(|line| is_ours(line)).unwrap();
    let found: String = lines.iter().copied().filter(|line| is_ours(line)).collect();
    let (before, behind) = lines.split_at(first);
    let behind: String = behind.iter().copied().filter(|line| !is_ours(line)).collect();
    assert_text(FLAGS, &found, &rows, || before.concat() + &rows + &behind);
}

#[test]
fn the_example_has_every_parameter_as_the_table_has_it() {
    let mut section = String::from("[sampling]\n");
    for spec in &PARAMETERS {
        let value = match spec.parameter.get(&SamplingParams::default()) {
            ParameterValue::Number(number) => format!("{number:?}"),
            ParameterValue::Integer(number) => number.to_string(),
            ParameterValue::Seed(seed) => seed.map_or_else(|| "-1".to_owned(), |seed| seed.to_string()),
            ParameterValue::Samplers(samplers) => format!("\"{samplers}\""),
        };
        let range = match spec.kind {
            ParameterKind::Number { least, most } => format!(" From {least} to {most}."),
            ParameterKind::Integer { .. } | ParameterKind::Seed | ParameterKind::Samplers => String::new(),
        };
        let (first, rest) = spec.help.split_at(1);
        section += &format!("# {}{rest}.{range}\n# {} = {value}\n", first.to_uppercase(), spec.key);
    }
    let example = read("config.example.toml");
    let start = example.find("[sampling]\n").unwrap();
    let end = start + example[start..].find("\n\n").unwrap() + 1;
    let whole = || format!("{}{section}{}", &example[..start], &example[end..]);
    assert_text("config.example.toml", &example[start..end], &section, whole);
}

#[test]
fn the_files_that_documents_point_to_are_there() {
    let documents = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let others = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    for document in documents.chain(others) {
        let text = std::fs::read_to_string(&document).unwrap();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        for target in targets.filter(|target| !target.starts_with("http") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap();
            assert!(document.with_file_name(file).exists(), "{} points to {target}", document.display());
        }
    }
}

#[test]
fn the_figures_of_the_readme_are_those_that_were_measured() {
    let measured = read("docs/measured.md");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<_> = measured.lines().filter(|line| line.starts_with("| ")).map(cells).collect();
    for line in
        section(&read("README.md"), "speed").unwrap().lines().filter(|line| line.contains(" Q") || line.contains(" F"))
    {
        let shown = cells(line);
        let name = shown[1].replace(" (included)", "");
        let row =
            rows.iter().find(|row| row.get(1).is_some_and(|cell| cell.starts_with(&name))).expect("a row of its own");
        assert!(shown[2..].iter().all(|figure| row.contains(figure)), "{line}\n{row:?}");
    }
}

/// Checks what stands between `<!-- NAME -->` and `<!-- /NAME -->`, or writes it there where that was asked for.
fn assert_in(file: &str, name: &str, expected: &str) {
    let text = read(file);
    let expected = format!("\n{}\n", expected.trim_end());
    let actual = section(&text, name).unwrap_or_else(|| panic!("{file} has no <!-- {name} -->"));
    let marked = |text: &str| format!("<!-- {name} -->{text}<!-- /{name} -->");
    assert_text(file, &actual, &expected, || text.replacen(&marked(&actual), &marked(&expected), 1));
}

/// Checks a part of a file, or writes the file as it is to be where that was asked for.
fn assert_text(file: &str, actual: &str, expected: &str, whole: impl FnOnce() -> String) {
    if actual != expected && std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(root().join(file), whole()).unwrap();
    }
    let update = "UPDATE_DOCS=1 cargo test --test docs -- --test-threads 1";
    assert_eq!(actual, expected, "a table that {file} shows has changed: {update}");
}

fn section(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<!-- {name} -->"))?;
    rest.split_once(&format!("<!-- /{name} -->")).map(|(section, _)| section.to_owned())
}

fn markdown_row(cells: &[String]) -> String {
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_gibber")).args(command).arg("--help").output().unwrap();
    assert!(output.status.success(), "gibber {command:?} --help: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The long flags in a text. Every program has `--help` and `--version`.
fn flags(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-' && !c.is_ascii_digit());
    words
        .filter(|word| word.strip_prefix("--").is_some_and(|name| name.starts_with(|c: char| c.is_ascii_lowercase())))
        .filter(|word| !matches!(*word, "--help" | "--version"))
        .map(str::to_owned)
        .collect()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
