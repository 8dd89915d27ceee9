use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use super::schema::{self, ValueKind};
use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn parse(text: &str) -> Result<Settings, SettingsError> {
    Settings::parse(text, Path::new("config.toml"))
}

fn values(json: &str) -> SamplingValues {
    serde_json::from_str(json).unwrap()
}

fn error_of(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// The example with each of its keys put in force.
fn example_in_force() -> String {
    let is_key = |line: &str| {
        let name = line.strip_prefix("# ").and_then(|line| line.split_once(" = ")).map(|(name, _)| name);
        name.is_some_and(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    };
    let sections = EXAMPLE.split("# Your own presets").next().unwrap();
    let rest = EXAMPLE.split("[ui]").nth(1).unwrap();
    let lines = sections.lines().chain(["[ui]"]).chain(rest.lines());
    lines.map(|line| if is_key(line) { &line[2..] } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_sets_nothing_until_a_key_is_put_in_force() {
    let document: toml_edit::DocumentMut = EXAMPLE.parse().unwrap();
    for (name, section) in document.iter() {
        assert!(section.as_table().unwrap().is_empty(), "[{name}] sets something");
    }
    assert_eq!(parse(EXAMPLE).unwrap(), Settings::default());
}

#[test]
fn the_example_has_every_key_with_its_default() {
    let example = example_in_force();
    assert_eq!(parse(&example).unwrap(), Settings::default());
    let document: toml_edit::DocumentMut = example.parse().unwrap();
    for section in &schema::SECTIONS {
        let written: BTreeSet<&str> = document[section.name].as_table().unwrap().iter().map(|(key, _)| key).collect();
        let known: BTreeSet<&str> = section.keys.iter().map(|key| key.name).collect();
        assert_eq!(written, known, "[{}]", section.name);
        for (key, _) in document[section.name].as_table().unwrap().iter() {
            let line = EXAMPLE.lines().position(|line| line.starts_with(&format!("# {key} ="))).unwrap();
            assert!(EXAMPLE.lines().nth(line - 1).unwrap().starts_with('#'), "{key} has no comment above it");
        }
    }
}

#[test]
fn the_schema_is_what_the_structs_hold() {
    let seeded = SamplingParams { seed: Some(1), ..SamplingParams::default() };
    let settings = Settings { sampling: seeded, ..Settings::default() };
    let document: toml_edit::DocumentMut = toml::to_string(&settings).unwrap().parse().unwrap();
    let mut sections: Vec<&str> = schema::SECTIONS.iter().map(|section| section.name).collect();
    sections.extend([schema::PRESETS, schema::KEYS]);
    assert_eq!(
        document.iter().map(|(name, _)| name).collect::<BTreeSet<_>>(),
        sections.into_iter().collect::<BTreeSet<_>>()
    );
    for section in &schema::SECTIONS {
        let held: BTreeSet<&str> = document[section.name].as_table().unwrap().iter().map(|(key, _)| key).collect();
        assert_eq!(held, section.keys.iter().map(|key| key.name).collect(), "[{}]", section.name);
    }
}

#[test]
fn an_empty_text_is_the_defaults() {
    assert_eq!(parse("").unwrap(), Settings::default());
}

#[test]
fn values_are_taken_from_any_way_of_writing_them() {
    let settings = parse("sampling.top_p = 1\nmodel = { threads = 2 }\n[presets.mine]\ntop_k = 7\nseed = -1").unwrap();
    assert_eq!((settings.sampling.top_p, settings.model.threads), (1.0, 2));
    assert_eq!(settings.presets["mine"], values(r#"{"top_k":7}"#), "what a preset leaves out it says nothing of");
}

#[test]
fn a_seed_of_minus_one_is_a_fresh_one() {
    for fresh in ["-1", "\"random\""] {
        let text = format!("[sampling]\nseed = {fresh}\n[presets.mine]\nseed = {fresh}");
        let settings = parse(&text).unwrap();
        assert_eq!(
            (settings.sampling.seed, settings.presets["mine"].get(gibber_engine::sampling::Parameter::Seed)),
            (None, None),
            "{fresh}"
        );
    }
    assert_eq!(parse("[sampling]\nseed = 42").unwrap().sampling.seed, Some(42));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_known_ones() {
    let error = error_of("# mine\n[ui]\nmouse = true\npannels = false\n");
    let known = "`mouse`, `panels`, `hints`, `ascii`, `markdown`, `theme`, `heat`";
    assert_eq!(error, format!("config.toml:4: unknown key `ui.pannels`; [ui] has {known}"));
    let error = error_of("[smapling]\n");
    assert!(
        error.starts_with("config.toml:1: unknown section `smapling`; the sections are `model`, `chat`"),
        "{error}"
    );
}

#[test]
fn a_bad_value_is_named_with_what_is_allowed() {
    for (text, expected) in [
        (
            "[model]\nthreads = \"two\"",
            "config.toml:2: `model.threads` is \"two\": it must be a whole number from 0 to 1024",
        ),
        ("[model]\nbatch = 0", "config.toml:2: `model.batch` is 0: it must be a whole number from 1 to 65536"),
        (
            "[chat]\nmax_tokens = -3",
            "config.toml:2: `chat.max_tokens` is -3: it must be a whole number: 1 or more, or -1 (also 0) for no limit",
        ),
        (
            "[sampling]\nseed = \"any\"",
            "config.toml:2: `sampling.seed` is \"any\": it must be a whole number, 0 or more, or -1 (\"random\") for a \
             fresh seed for each reply",
        ),
        (
            "[model]\nlookup = true",
            "config.toml:2: `model.lookup` is true: it must be one of \"off\", \"on\", \"auto\"",
        ),
        ("[ui]\nmouse = 1", "config.toml:2: `ui.mouse` is 1: it must be true or false"),
        (
            "[chat]\nstop = [\"\"]",
            "config.toml:2: `chat.stop` is [\"\"]: it must be a list of strings that are not empty, such as [\"User:\"]",
        ),
        (
            "[sampling]\n\ntemperature = 9",
            "config.toml:3: `sampling.temperature` is 9: it must be a number from 0 to 5",
        ),
        (
            "[sampling]\ntemperature = nan",
            "config.toml:2: `sampling.temperature` is nan: it must be a number from 0 to 5",
        ),
        ("[presets.x]\ntop_p = 1.5", "config.toml:2: `presets.x.top_p` is 1.5: it must be a number from 0 to 1"),
        ("model = 3", "config.toml:1: `model` must be a section, [model]"),
    ] {
        assert_eq!(error_of(text), expected);
    }
}

#[test]
fn every_problem_is_listed_in_the_order_of_the_file() {
    let error = error_of("[ui]\nmouse = 3\n[model]\nname = 1\n");
    assert_eq!(
        error.lines().map(|line| line.split(": ").next().unwrap()).collect::<Vec<_>>(),
        ["config.toml:2", "config.toml:4"]
    );
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    let error = error_of("[ui]\nmouse = = true\n");
    assert!(error.starts_with("config.toml:2: this is not TOML: "), "{error}");
}

#[test]
fn every_number_of_the_schema_has_a_range() {
    for key in schema::SAMPLING.keys.iter().filter(|key| matches!(key.kind, ValueKind::Number { .. })) {
        let error = error_of(&format!("[sampling]\n{} = 1e9", key.name));
        assert!(error.contains("it must be a number from "), "{}: {error}", key.name);
    }
}

#[test]
fn a_missing_file_is_the_defaults_and_an_unreadable_one_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(Settings::load(&directory.path().join("config.toml")).unwrap(), Settings::default());
    let error = Settings::load(directory.path()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}

#[test]
fn what_is_no_limit_elsewhere_is_none_in_the_file() {
    for limit in ["0", "-1", "-2"] {
        let text = format!("[chat]\nmax_tokens = {limit}\n[sampling]\ntop_k = -1\n");
        let settings = parse(&text).unwrap();
        assert_eq!((settings.chat.max_tokens, settings.sampling.top_k), (0, 0), "{limit}");
    }
}

#[test]
fn an_instruction_set_that_there_is_not_is_told_with_those_that_there_are() {
    let error =
        Settings::default().apply_environment(|name| (name == "GIBBER_ISA").then(|| "nope".into())).unwrap_err();
    let expected = "the environment variable GIBBER_ISA is \"nope\": it must be one of \"portable\"";
    assert!(error.to_string().starts_with(expected), "{error}");
    let portable = |name: &str| (name == "GIBBER_ISA").then(|| OsString::from("portable"));
    Settings::default().apply_environment(portable).unwrap();
}

#[test]
fn the_environment_comes_after_the_file() {
    let mut settings = parse("[model]\nname = \"a\"\nthreads = 1").unwrap();
    let variables = |name: &str| match name {
        "GIBBER_MODEL" => Some(OsString::from("b")),
        "GIBBER_THREADS" => Some(OsString::from("")),
        _ => None,
    };
    settings.apply_environment(variables).unwrap();
    assert_eq!((settings.model.name.as_str(), settings.model.threads), ("b", 1));
    let error = settings.apply_environment(|name| (name == "GIBBER_THREADS").then(|| "many".into())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the environment variable GIBBER_THREADS is \"many\": it must be a whole number from 0 to 1024"
    );
}

mod saving {
    use super::*;

    fn updated(text: &str, settings: &Settings) -> String {
        let written = edit::updated(text, Path::new("config.toml"), settings).unwrap();
        assert_eq!(&parse(&written).unwrap(), settings, "{written}");
        written
    }

    #[test]
    fn nothing_changed_leaves_the_text_as_it_is() {
        let text = "# mine\n[sampling]\n  temperature  =  0.80 # warm\n";
        assert_eq!(updated(text, &parse(text).unwrap()), text);
        assert_eq!(updated(EXAMPLE, &Settings::default()), EXAMPLE);
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# top\n[ui]\nmouse = true # wheel\n\n[sampling]\n# how warm\ntemperature = 0.5 # warm\ntop_k = 3\n";
        let mut settings = parse(text).unwrap();
        settings.sampling.temperature = 1.1;
        settings.sampling.min_p = 0.1;
        assert_eq!(
            updated(text, &settings),
            "# top\n[ui]\nmouse = true # wheel\n\n[sampling]\n# how warm\ntemperature = 1.1 # warm\ntop_k = 3\nmin_p = 0.1\n"
        );
    }

    #[test]
    fn only_what_differs_from_the_defaults_enters_an_empty_file() {
        let mut settings = Settings::default();
        settings.chat.system = "Be \"brief\".\nVery.".into();
        settings.chat.stop = vec!["User:".into()];
        let written = updated("", &settings);
        assert!(!written.contains("[sampling]") && !written.contains("max_tokens"), "{written}");
    }

    #[test]
    fn comments_at_the_end_stay_above_what_is_new() {
        let mut settings = Settings::default();
        settings.sampling.top_k = 3;
        assert_eq!(updated("# mine\n", &settings), "# mine\n\n[sampling]\ntop_k = 3\n");
        let poet = Settings { presets: [("poet".into(), values(r#"{"top_k":3}"#))].into(), ..Settings::default() };
        assert!(updated("# mine\n", &poet).starts_with("# mine\n\n[presets.poet]\n"));
        let text = "[ui]\nmouse = true\n# the end\n";
        assert_eq!(updated(text, &settings), format!("{text}\n[sampling]\ntop_k = 3\n"));
    }

    #[test]
    fn a_seed_that_is_fresh_again_is_written_as_minus_one() {
        let mut settings = parse("[sampling]\nseed = 4\n").unwrap();
        settings.sampling.seed = None;
        assert_eq!(updated("[sampling]\nseed = 4\n", &settings), "[sampling]\nseed = -1\n");
    }

    #[test]
    fn presets_are_added_and_changed() {
        let text = "[presets.a]\ntop_k = 1 # one\n";
        let mut settings = parse(text).unwrap();
        settings.presets.insert("a".into(), values(r#"{"top_k":2}"#));
        settings.presets.insert("b".into(), values(r#"{"temperature":0}"#));
        let written = updated(text, &settings);
        assert!(written.contains("top_k = 2 # one"), "{written}");
        assert!(written.contains("[presets.b]"), "{written}");
    }

    #[test]
    fn an_invalid_file_is_not_overwritten() {
        let error = edit::updated("[ui]\nx = 1\n", Path::new("config.toml"), &Settings::default()).unwrap_err();
        assert!(matches!(error, SettingsError::Invalid { .. }));
    }

    #[test]
    fn a_seed_too_large_for_toml_is_an_error() {
        let sampling = SamplingParams { seed: Some(u64::MAX), ..SamplingParams::default() };
        let settings = Settings { sampling, ..Settings::default() };
        let error = edit::updated("", Path::new("config.toml"), &settings).unwrap_err();
        assert!(matches!(error, SettingsError::Unwritable { .. }), "{error}");
    }
}

#[test]
fn a_preset_is_written_and_taken_out_and_the_comments_stay() {
    let path = Path::new("config.toml");
    let text = "# mine\n[ui]\nmouse = true # yes\n\n[presets.dry]\ntemperature = 0.1 # cold\n";
    let poet = values(r#"{"temperature":1.3,"min_p":0.02}"#);
    let with = edit::with_preset(text, path, "poet", Some(&poet)).unwrap();
    assert!(with.starts_with(text.trim_end()), "{with}");
    assert_eq!(parse(&with).unwrap().presets["poet"], poet);
    let hotter = edit::with_preset(&with, path, "dry", Some(&values(r#"{"temperature":0.2}"#))).unwrap();
    assert!(hotter.contains("temperature = 0.2 # cold"), "{hotter}");
    let without = edit::with_preset(&with, path, "poet", None).unwrap();
    assert_eq!(without.trim_end(), text.trim_end());
    assert_eq!(edit::with_preset("", path, "poet", None).unwrap(), "");
    assert!(edit::with_preset("broken = ", path, "poet", None).is_err());
}

mod shown {
    use gibber_engine::sampling::Recommended;

    use super::super::layers::LayeredSampling;
    use super::super::origins::{Stage, text_with_origins, without_effect};
    use super::*;

    #[test]
    fn each_value_is_told_with_its_source_and_the_text_reads_as_the_settings() {
        let of_file =
            parse("[model]\nbatch = 64\n[sampling]\ntop_k = 7\ntop_p = 0.95\n[presets.x]\nmin_p = 0.5\n").unwrap();
        let mut of_environment = of_file.clone();
        of_environment.model.threads = 3;
        let mut sampling = LayeredSampling::new(&of_environment.sampling, SamplingValues::default());
        let recommended = Recommended {
            values: values(r#"{"temperature":0.6,"top_k":20}"#),
            thinking: values(r#"{"temperature":0.7}"#),
            source: "generation_config.json".into(),
            notes: vec![],
        };
        sampling.on_model(recommended);
        let stages = [
            Stage { source: "config.toml", settings: of_file },
            Stage { source: "the environment", settings: of_environment.clone() },
        ];
        let text = text_with_origins(&stages, &sampling).unwrap();
        for line in [
            "batch = 64 # config.toml",
            "threads = 3 # the environment",
            "context = 0 # default",
            "# temperature = 0.6 # from the model (generation_config.json)",
            "top_k = 7 # config.toml",
            "top_p = 0.95 # default",
            "seed = -1 # default",
            "# while the model thinks: temperature 0.70",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(parse(&text).unwrap(), of_environment);
    }

    #[test]
    fn keys_that_stand_at_the_default_are_those_without_effect() {
        let text = "[sampling]\ntop_k = 40\ntop_p = 0.5\nseed = -1\ntemperature = 0.80\n";
        assert_eq!(without_effect(text), ["temperature", "top_k", "seed"]);
        assert!(without_effect(EXAMPLE).is_empty() && without_effect("").is_empty());
    }
}
