use super::*;

const TEXT: &str = r#"
[[family]]
name = "Tale"
aliases = ["tales"]
default = "1b"
architecture = "llama"
licence = "MIT"
context = 2048
good_at = "stories"
sampling = { temperature = 0.7, top_k = 20 }
thinking = { temperature = 0.6 }

[[family.model]]
tag = "1b"
repository = "org/Tale-1B-GGUF"
file = "Tale-1B-{type}.gguf"
type = "q4_k_m"
bytes = 700_000_000

[[family.model]]
tag = "1b-qat"
repository = "org/Tale-1B-qat"
bytes = 2_000_000_000
gated = true
context = 4096
sampling = { temperature = 1.0 }

[[family.model]]
tag = "0.5b"
repository = "org/Tale-0.5B"
bytes = 1_000

[[family]]
name = "lone"
architecture = "gpt2"
licence = "MIT"
context = 1024
good_at = "going on"
[[family.model]]
tag = "82m"
repository = "lone"
bytes = 1
"#;

fn catalogue() -> Catalogue {
    Catalogue::parse(TEXT, Path::new("c.toml")).unwrap()
}

fn found(found: Found<'_>) -> String {
    match found {
        Found::One(entry, None) => entry.full_name(),
        Found::One(entry, Some(weight_type)) => format!("{} {weight_type}", entry.full_name()),
        Found::Family(entries) => format!("family of {}", entries.len()),
        Found::NoTag(entries) => format!("no tag of {}", entries.len()),
        Found::Nothing(near) => format!("nothing near {}", near.join(" ")),
    }
}

#[test]
fn a_model_has_what_its_family_says_where_it_does_not_say_it_itself() {
    let catalogue = catalogue();
    let [one, qat, ..] = &catalogue.entries[..] else { panic!() };
    assert_eq!((one.full_name().as_str(), one.is_default, one.place.line), ("tale:1b", true, 13));
    assert_eq!(one.weight_type.as_ref().map(WeightType::as_str), Some("Q4_K_M"));
    assert_eq!((one.context, one.gated, one.is_floats()), (2048, false, false));
    assert_eq!((qat.context, qat.gated, qat.is_floats(), qat.is_default), (4096, true, true, false));
    assert_eq!(one.sampling.and_then(|sampling| sampling.top_k), Some(20));
    assert_eq!((qat.sampling.unwrap().temperature, qat.sampling.unwrap().top_k), (Some(1.0), None));
    assert_eq!(qat.thinking.unwrap().temperature, Some(0.6));
}

#[test]
fn names_are_understood_as_people_and_ollama_write_them() {
    let catalogue = catalogue();
    for (name, tag, expected) in [
        ("tale", None, "family of 3"),
        ("TALE", None, "family of 3"),
        ("TALE", Some("latest"), "tale:1b"),
        ("tales", None, "family of 3"),
        ("tale", Some("1B"), "tale:1b"),
        ("tale", Some("1b-q8_0"), "tale:1b Q8_0"),
        ("tale", Some("1b-instruct-q4_K_M"), "tale:1b Q4_K_M"),
        ("tale", Some("1b-it"), "tale:1b"),
        ("tale", Some("1b-ud-q4_k_xl"), "tale:1b UD-Q4_K_XL"),
        ("tale", Some("1b-instruct-fp16"), "tale:1b F16"),
        ("tale", Some("1b-qat"), "tale:1b-qat"),
        ("tale", Some("1b-qat-q8_0"), "tale:1b-qat Q8_0"),
        ("tale", Some("q8_0"), "tale:1b Q8_0"),
        ("tale-0.5b", None, "tale:0.5b"),
        ("tale-1b-q8_0", None, "tale:1b Q8_0"),
        ("lone", None, "lone:82m"),
        ("tale", Some("7b"), "no tag of 3"),
        ("tale", Some("1b-base"), "no tag of 3"),
        ("tale", Some("1bq8_0"), "no tag of 3"),
        ("tael", None, "nothing near tale"),
        ("tal", Some("1b"), "nothing near tale"),
        ("gpt5", None, "nothing near "),
    ] {
        assert_eq!(found(catalogue.find(name, tag)), expected, "{name} {tag:?}");
    }
}

#[test]
fn an_entry_of_ones_own_takes_the_place_of_the_one_that_is_called_so() {
    let own = r#"
        [[family]]
        name = "tale"
        default = "0.5b"
        architecture = "llama"
        licence = "mine"
        context = 1
        good_at = "x"
        [[family.model]]
        tag = "0.5b"
        repository = "me/mine"
        bytes = 5
        [[family.model]]
        tag = "9b"
        repository = "me/nine"
        bytes = 9
    "#;
    let both = catalogue().with(Catalogue::parse(own, Path::new("own.toml")).unwrap());
    let names: Vec<String> = both.entries.iter().map(CatalogueEntry::full_name).collect();
    assert_eq!(names, ["tale:1b", "tale:1b-qat", "tale:0.5b", "tale:9b", "lone:82m"]);
    let defaults: Vec<_> = both.entries.iter().filter(|entry| entry.is_default).collect();
    assert_eq!((defaults.len(), defaults[0].repository.as_str()), (1, "me/mine"));
}

#[test]
fn what_cannot_be_used_is_told_with_its_line() {
    let wrong = |from: &str, to: &str| {
        let error = Catalogue::parse(&TEXT.replacen(from, to, 1), Path::new("mine/c.toml")).unwrap_err();
        error.to_string()
    };
    for (from, to, expected) in [
        ("name = \"Tale\"", "name = Tale", "mine/c.toml:3:"),
        ("context = 2048", "contxt = 2048", "mine/c.toml:8: unknown field `contxt`"),
        ("tag = \"1b\"", "tag = \"1 b\"", "mine/c.toml:13: `tag` is \"1 b\""),
        ("org/Tale-1B-GGUF", "org/../etc", "mine/c.toml:13: 'org/../etc' cannot be used"),
        ("type = \"q4_k_m\"", "type = \"fast\"", "mine/c.toml:13: "),
        ("type = \"q4_k_m\"", "", "mine/c.toml:13: `file` and `type` belong together"),
        ("{type}.gguf", "Q4_K_M.gguf", "mine/c.toml:13: `file` is"),
        ("bytes = 700_000_000", "", "mine/c.toml:13: `bytes` is missing"),
        ("licence = \"MIT\"", "", "`licence` is missing"),
        ("default = \"1b\"", "default = \"3b\"", "mine/c.toml:2: `default` is \"3b\""),
        ("tag = \"1b-qat\"", "tag = \"1B\"", "mine/c.toml:20: tale:1b is there already, in line 13"),
        ("top_k = 20", "top_k = -1", "mine/c.toml:10:"),
        ("top_k = 20", "top_kk = 1", "mine/c.toml:10:"),
    ] {
        let said = wrong(from, to);
        assert!(said.contains(expected), "{to}: {said}");
    }
}

/// The catalogue that comes with the program, beside which this crate lies.
fn shipped() -> Catalogue {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/catalogue.toml");
    Catalogue::parse(&std::fs::read_to_string(&path).unwrap(), &path).unwrap()
}

#[test]
fn the_catalogue_of_the_program_can_be_read_and_each_family_has_a_default() {
    let catalogue = shipped();
    for entry in &catalogue.entries {
        let name = entry.full_name();
        let family = catalogue.family(&entry.name);
        assert_eq!(family.iter().filter(|other| other.is_default).count(), 1, "{name}");
        assert!(entry.good_at.split(' ').count() <= 5, "{name}: {}", entry.good_at);
        assert!(entry.bytes > 100_000_000 && entry.context >= 1024, "{name}");
        assert_eq!(entry.file.is_some(), entry.weight_type.is_some(), "{name}");
    }
}

#[test]
fn each_entry_of_the_program_says_where_it_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/catalogue.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| line.starts_with("[[")) {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
        assert!(above.into_iter().any(|line| line.contains("https://")), "line {}", at + 1);
    }
}

#[test]
fn what_people_type_for_ollama_is_in_the_catalogue() {
    let catalogue = shipped();
    for (typed, expected) in [
        ("qwen3:0.6b", "qwen3:0.6b"),
        ("qwen3:0.6b-q8_0", "qwen3:0.6b Q8_0"),
        ("qwen3:8b-q4_K_M", "qwen3:8b Q4_K_M"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("llama3.2:1b-instruct-q8_0", "llama3.2:1b Q8_0"),
        ("qwen2.5:0.5b", "qwen2.5:0.5b"),
        ("qwen2.5-coder:7b", "qwen2.5-coder:7b"),
        ("gemma3:1b", "gemma3:1b"),
        ("gemma3:1b-it-qat", "gemma3:1b-it-qat"),
        ("gemma3:4b-it-q4_K_M", "gemma3:4b Q4_K_M"),
        ("deepseek-r1:1.5b", "deepseek-r1:1.5b"),
        ("smollm2:135m-instruct-fp16", "smollm2:135m F16"),
        ("gpt2-medium", "gpt2:medium"),
        ("gpt2-xl", "gpt2:xl"),
        ("distilgpt2", "distilgpt2:82m"),
        ("granite4:micro-h", "granite4:micro-h"),
        ("gpt-oss:20b", "gpt-oss:20b"),
        ("phi4-mini", "phi4-mini:3.8b"),
        ("qwen3:4b-instruct-2507-q4_K_M", "qwen3:4b-instruct-2507 Q4_K_M"),
        ("Qwen3", "family of 8"),
    ] {
        let (name, tag) = typed.split_once(':').map_or((typed, None), |(name, tag)| (name, Some(tag)));
        assert_eq!(found(catalogue.find(name, tag)), expected, "{typed}");
    }
}
