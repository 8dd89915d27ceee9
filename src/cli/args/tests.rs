use std::ffi::OsString;

use clap::CommandFactory;

use super::*;
use gibber_engine::sampling::{PARAMETERS, ParameterKind, ParameterValue};

fn try_parse(arguments: &str) -> Result<Cli, String> {
    let arguments = std::iter::once("gibber").chain(arguments.split_whitespace()).map(OsString::from);
    let translated = Translated::new(arguments)?;
    let cli = Cli::try_parse_from(&translated.arguments);
    cli.map_err(|error| translated.describe(&error).unwrap_or_else(|| error.to_string()))
}

fn parse(arguments: &str) -> Cli {
    try_parse(arguments).unwrap()
}

fn settings(arguments: &str) -> Settings {
    let mut settings = Settings::default();
    match parse(arguments).command {
        Some(Command::Run(run)) => {
            let given = run.chat.apply(&mut settings).unwrap();
            settings.sampling = given.sampling.over(&settings.sampling);
            settings.model.template = given.template.unwrap_or_default();
        }
        other => panic!("{other:?}"),
    }
    settings
}

fn error_of(arguments: &str) -> String {
    try_parse(arguments).unwrap_err()
}

#[test]
fn clap_finds_no_fault() {
    Cli::command().debug_assert();
}

#[test]
fn each_flag_sets_its_setting() {
    let changed = settings(
        "run -m m.gguf -c 100 -t 3 -b 64 --temp 0 --top-k 5 --top-p 0.5 --min-p 0.2 --typical 0.9 --repeat-penalty 1.2 \
         --repeat-last-n -1 --presence-penalty -0.5 --frequency-penalty 0.25 -s 7 -n 8 --stop A --stop -B -sys Brief \
         --chat-template chatml -ctk q8_0 -ctv=f32",
    );
    let model = &changed.model;
    assert_eq!((model.name.as_str(), model.context, model.threads, model.batch), ("m.gguf", 100, 3, 64));
    assert_eq!(model.template, "chatml");
    assert_eq!((model.cache_type_k, model.cache_type_v), (CacheType::Q8_0, CacheType::F32));
    let params = &changed.sampling;
    assert_eq!((params.temperature, params.top_k, params.top_p, params.min_p), (0.0, 5, 0.5, 0.2));
    assert_eq!((params.typical_p, params.repeat_penalty, params.repeat_last_n), (0.9, 1.2, -1));
    assert_eq!((params.presence_penalty, params.frequency_penalty, params.seed), (-0.5, 0.25, Some(7)));
    assert_eq!((changed.chat.max_tokens, changed.chat.system.as_str()), (8, "Brief"));
    assert_eq!(changed.chat.stop, ["A", "-B"]);
}

#[test]
fn every_parameter_has_its_flag_and_its_other_names() {
    for spec in &PARAMETERS {
        let (text, expected) = match spec.kind {
            ParameterKind::Number { most, .. } => (most.to_string(), ParameterValue::Number(most)),
            // -1 is another word for 0 where only that can be.
            ParameterKind::Integer { .. } => ("3".to_owned(), ParameterValue::Integer(3)),
            ParameterKind::Seed => ("7".into(), ParameterValue::Seed(Some(7))),
            ParameterKind::Samplers => ("top_k".into(), ParameterValue::Samplers("top_k".parse().unwrap())),
        };
        let names = std::iter::once(spec.flag).chain([spec.name]).chain(spec.aliases.iter().copied());
        for name in names.filter(|name| !name.contains('_')) {
            for arguments in [format!("run --{name} {text} hi"), format!("run --{name}={text} hi")] {
                assert_eq!(spec.parameter.get(&settings(&arguments).sampling), expected, "{arguments}");
            }
        }
        let error = error_of(&format!("run --{} x", spec.flag));
        assert!(error.contains(&format!("--{} <{}>", spec.flag, spec.value_name)), "{error}");
    }
}

#[test]
fn samplers_are_those_of_llama_cpp() {
    let usual = "top_k;typ_p;top_p;min_p;temperature";
    for arguments in
        [format!("run --samplers {usual}"), "run --sampling-seq kypmt".into(), "run --sampler-seq kypmt".into()]
    {
        assert_eq!(settings(&arguments).sampling.samplers.to_string(), usual);
    }
    assert!(
        error_of("run --samplers top_k;tok_p")
            .contains("there is no sampler `tok_p` (did you mean `top_p`?): samplers are ")
    );
}

#[test]
fn no_flag_changes_nothing() {
    let mut settings = Settings::default();
    settings.model.threads = 7;
    settings.sampling.seed = Some(3);
    let before = settings.clone();
    parse("").chat.apply(&mut settings).unwrap();
    assert_eq!(settings, before);
}

#[test]
fn minus_one_is_no_limit_and_a_fresh_seed() {
    for limit in ["-n -1", "-n 0", "-n -2", "--predict -1", "--predict=-2", "--n-predict 0", "--max-tokens -1"] {
        let mut settings = Settings::default();
        settings.chat.max_tokens = 5;
        settings.sampling.seed = Some(3);
        let given = parse(&format!("{limit} -s -1 --top-k -1")).chat.apply(&mut settings).unwrap();
        let sampling = given.sampling.over(&settings.sampling);
        assert_eq!((settings.chat.max_tokens, sampling.seed, sampling.top_k), (0, None, 0), "{limit}");
    }
}

#[test]
fn values_out_of_their_range_are_wrong_usage() {
    for (arguments, expected) in [
        ("run -n -3", "1 or more, or -1 (also 0) for no limit"),
        ("run -n some", "1 or more, or -1 (also 0) for no limit"),
        ("run -s -2", "seed wants a whole number from 0 on, or `random` (-1)"),
        ("run --temp 9", "temperature = 9 is out of range: it must be from 0 to 5"),
        ("run -b 0", "must be a whole number from 1 to 65536"),
        ("run -b -4", "must be a whole number from 1 to 65536"),
        ("run -c -1", "or 0 for the model's own length"),
        ("score -c -1", "or 0 for the model's own length"),
        ("run -c 4k", "or 0 for the model's own length"),
        ("run -t four", "or 0 for one for each core"),
        ("bench -t -2", "or 0 for one for each core"),
        ("models quantize a b --type q8_0 -t -2", "or 0 for one for each core"),
        ("run --temp hot", "temperature wants a number, such as 0.7, not `hot`"),
        ("run --top-k -2", "top-k wants a whole number from -1 on, not `-2`"),
        ("run --top-k 1.5", "top-k wants a whole number from -1 on, not `1.5`"),
        ("run --repeat-last-n -2", "repeat-last-n wants a whole number from -1 on, not `-2`"),
        ("bench -d -1", "must be a whole number, 0 or more"),
        ("bench -r -1", "1 or more"),
        ("run -ctk q4_0", "possible values: f32, f16, q8_0"),
        ("bench -p 0", "1 or more"),
        ("run --raw --chat-template chatml", "cannot be used with"),
        ("bench --synthetic gpt2 -m x", "cannot be used with"),
    ] {
        let error = error_of(arguments);
        assert!(error.contains(expected), "{arguments}: {error}");
    }
}

#[test]
fn any_number_of_threads_is_taken_and_capped_later() {
    for (threads, expected) in [("2000", 2000), ("99999999999999999999", 999_999_999), ("-1", 0), ("0", 0)] {
        let mut settings = Settings::default();
        settings.model.threads = 7;
        parse(&format!("-t {threads}")).chat.apply(&mut settings).unwrap();
        assert_eq!(settings.model.threads, expected);
    }
}

#[test]
fn the_common_flags_stand_before_or_after_the_command() {
    for arguments in ["--config-dir d -v run", "run --config-dir d -v"] {
        let common = parse(arguments).common;
        assert_eq!((common.config_dir, common.verbose), (Some("d".into()), true), "{arguments}");
    }
}

#[test]
fn an_error_names_the_flag_that_was_written() {
    let error = error_of("run -ctk q4_0");
    assert!(error.contains("-ctk") && !error.contains("--cache-type-k"), "{error}");
    let error = error_of("run --n_predict many");
    assert!(error.contains("--n_predict") && !error.contains("--predict"), "{error}");
}

#[test]
fn long_flags_of_llama_cpp_set_what_they_set_there() {
    let changed = settings(
        "run --n-predict 8 --temperature 0.5 --typical_p=0.9 --reverse-prompt A --ctx_size 100 --cache_type_k q8_0 \
         --chat-template-file x.jinja --reasoning off --system Brief",
    );
    assert_eq!((changed.chat.max_tokens, changed.sampling.temperature, changed.sampling.typical_p), (8, 0.5, 0.9));
    assert_eq!((changed.chat.stop, changed.model.context), (vec!["A".to_owned()], 100));
    assert_eq!((changed.model.cache_type_k, changed.chat.think), (CacheType::Q8_0, Think::Off));
    assert_eq!((changed.model.template.as_str(), changed.chat.system.as_str()), ("x.jinja", "Brief"));
}

#[test]
fn the_last_of_a_repeated_flag_counts_and_files_are_several() {
    let changed = settings("run -n 1 -n 2 --temp 0 --temp 1 -v -v --think on --think off hi");
    assert_eq!((changed.chat.max_tokens, changed.sampling.temperature), (2, 1.0));
    assert_eq!(changed.chat.think, Think::Off);
    match parse("run -f a -f b").command {
        Some(Command::Run(run)) => assert_eq!(run.chat.prompt.file, [PathBuf::from("a"), PathBuf::from("b")]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rate_is_bytes_a_second_in_thousands() {
    for (text, expected) in
        [("500k", 500_000), ("2M", 2_000_000), ("1.5MB/s", 1_500_000), ("1g", 1_000_000_000), ("4096", 4096)]
    {
        match parse(&format!("pull x --limit-rate {text}")).command {
            Some(Command::Pull(pull)) => assert_eq!(pull.limit_rate, Some(expected), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    for text in ["fast", "", "0", "-1", "999", "1e9", "k", "1kk", "inf", "nan", "99999999999999999999"] {
        assert!(error_of(&format!("pull x --limit-rate={text}")).contains("such as 500k or 2M"), "{text}");
    }
}

#[test]
fn a_model_is_named_one_way_at_a_time() {
    for arguments in [
        "run -m x -hf org/name",
        "models info x -m y",
        "models info x -hf org/name",
        "models verify x -m y",
        "models remove x -m y",
        "pull x -hf org/name",
        "bench --synthetic gpt2 -hf org/name",
        "pull x --list --dry-run",
    ] {
        assert!(error_of(arguments).contains("cannot be used with"), "{arguments}");
    }
    match parse("models pull -hf org/name:Q8_0 -y").command {
        Some(Command::Models(Models::Pull(pull))) => {
            assert_eq!((pull.hf_repo.as_deref(), pull.yes), (Some("org/name:Q8_0"), true));
        }
        other => panic!("{other:?}"),
    }
}
