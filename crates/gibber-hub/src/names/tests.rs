use super::*;

fn parsed(text: &str) -> Reference {
    Reference::parse(text, HUGGING_FACE).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hub(repository: &str, pick: Option<&str>, revision: Option<&str>) -> Reference {
    let (pick, revision) = (pick.map(str::to_owned), revision.map(str::to_owned));
    Reference::Hub { repository: Repository::new(repository).unwrap(), pick, revision }
}

#[test]
fn a_repository_a_type_and_a_revision_are_told_apart() {
    for (text, pick, revision) in [
        ("org/Name-1.5B_GGUF", None, None),
        ("org/Name-1.5B_GGUF:Q4_K_M", Some("Q4_K_M"), None),
        ("org/Name-1.5B_GGUF@v1.0", None, Some("v1.0")),
        (
            "org/Name-1.5B_GGUF:sub/model-00001-of-00002.gguf@refs/pr/1",
            Some("sub/model-00001-of-00002.gguf"),
            Some("refs/pr/1"),
        ),
        ("org/Name-1.5B_GGUF@v2:Q8_0", Some("Q8_0"), Some("v2")),
        ("hf.co/org/Name-1.5B_GGUF:q8_0", Some("q8_0"), None),
        ("HF.co/org/Name-1.5B_GGUF", None, None),
        ("huggingface.co/org/Name-1.5B_GGUF:latest", Some("latest"), None),
        ("hf:org/Name-1.5B_GGUF:Q8_0", Some("Q8_0"), None),
        ("hf://org/Name-1.5B_GGUF", None, None),
        ("hf:org/Name-1.5B_GGUF/model.gguf", Some("model.gguf"), None),
        ("  org/Name-1.5B_GGUF  ", None, None),
        ("https://huggingface.co/org/Name-1.5B_GGUF", None, None),
        ("https://huggingface.co/org/Name-1.5B_GGUF/", None, None),
        ("https://hf.co/org/Name-1.5B_GGUF/tree/main", None, None),
        ("https://huggingface.co/org/Name-1.5B_GGUF/tree/v2/Q4_K_M", Some("Q4_K_M"), Some("v2")),
        ("https://huggingface.co/org/Name-1.5B_GGUF/resolve/main/a/b.gguf?download=true", Some("a/b.gguf"), None),
        ("https://huggingface.co/org/Name-1.5B_GGUF/blob/refs%2Fpr%2F3/b.gguf", Some("b.gguf"), Some("refs/pr/3")),
    ] {
        assert_eq!(parsed(text), hub("org/Name-1.5B_GGUF", pick, revision), "{text}");
    }
    assert_eq!(parsed("hf:gpt2"), hub("gpt2", None, None));
    assert_eq!(
        parsed("https://huggingface.co/gpt2/resolve/main/model.safetensors"),
        hub("gpt2", Some("model.safetensors"), None)
    );
}

#[test]
fn a_word_without_a_slash_is_a_short_name_in_any_case() {
    let short = |name: &str, tag: Option<&str>| Reference::Catalogue { name: name.into(), tag: tag.map(str::to_owned) };
    assert_eq!(parsed("qwen3"), short("qwen3", None));
    assert_eq!(parsed("Qwen3:0.6B"), short("qwen3", Some("0.6b")));
    assert_eq!(parsed("qwen3:0.6b-q8_0"), short("qwen3", Some("0.6b-q8_0")));
    assert_eq!(parsed("https://ollama.com/library/Qwen3:0.6b"), short("qwen3", Some("0.6b")));
    assert_eq!(parsed("registry.ollama.ai/library/llama3.2"), short("llama3.2", None));
}

#[test]
fn an_address_elsewhere_is_fetched_as_it_stands() {
    let digits = "ab".repeat(32);
    let at =
        |url: &str, sha256: Option<&str>| Reference::Address { url: url.into(), sha256: sha256.map(str::to_owned) };
    let url = "https://example.org/models/a.gguf";
    assert_eq!(parsed(url), at(url, None));
    assert_eq!(parsed(&format!("{url}#sha256={}", digits.to_uppercase())), at(url, Some(&digits)));
    assert_eq!(parsed("https://example.org/A.GGUF?key=1"), at("https://example.org/A.GGUF?key=1", None));
    // Who gives a hash means this file.
    let of_hub = format!("{HUGGING_FACE}/org/name/resolve/main/a.gguf");
    assert_eq!(parsed(&format!("{of_hub}#sha256={digits}")), at(&of_hub, Some(&digits)));
}

#[test]
fn http_is_for_this_machine_and_the_endpoint_alone() {
    let endpoint = "http://hub.lan:8080/mirror";
    let of = |text: &str| Reference::parse(text, endpoint);
    assert_eq!(
        of("http://hub.lan:8080/mirror/org/name/resolve/main/a.gguf").unwrap(),
        hub("org/name", Some("a.gguf"), None)
    );
    assert_eq!(of("https://huggingface.co/org/name").unwrap(), hub("org/name", None, None));
    for loopback in ["http://127.0.0.1:81/a.gguf", "http://localhost/a.gguf", "http://[::1]:5/a.gguf"] {
        assert!(matches!(of(loopback), Ok(Reference::Address { .. })), "{loopback}");
    }
    for other in [
        "http://hub.lan:8080/a.gguf",
        "http://hub.lan:8080/mirror2/a.gguf",
        "http://example.org/a.gguf",
        "http://huggingface.co/org/name/resolve/main/a.gguf",
        "http://127.0.0.1.example.org/a.gguf",
        "http://localhost.example.org/a.gguf",
    ] {
        let error = of(other).unwrap_err().to_string();
        assert!(error.contains("https://"), "{other}: {error}");
    }
}

#[test]
fn what_can_be_no_model_says_what_to_write() {
    for text in [
        "",
        " ",
        "a b",
        "org/../etc",
        "org/name:../../etc/passwd",
        "org/name:/etc/passwd",
        "org/name:a//b",
        "org/name@../x",
        "org/name@",
        "org/name:",
        "./model.gguf",
        "/abs/model.gguf",
        "~/model.gguf",
        "folder/",
        "-/name",
        "name@v1",
        "name:a:b",
        "ftp://example.org/a.gguf",
        "https://example.org/a.bin",
        "https://example.org",
        "https:///a.gguf",
        "https://huggingface.co/datasets/org/name",
        "datasets/name",
        "https://example.org/a.gguf#sha256=12",
        "https://example.org/a.gguf#md5=12",
        "org/na\u{7}me",
        "örg/name",
    ] {
        let error = Reference::parse(text, HUGGING_FACE).expect_err(text).to_string();
        assert!(!error.contains('\u{7}') && error.len() < 500, "{text}: {error}");
    }
    let secret = Reference::parse("https://me:secret@example.org/a.gguf", HUGGING_FACE).unwrap_err().to_string();
    assert!(!secret.contains("secret"), "{secret}");
}

#[test]
fn a_reference_is_written_as_it_can_be_typed() {
    let digits = "0a".repeat(32);
    for text in [
        "org/name",
        "org/name:Q4_K_M@v1",
        "hf:gpt2",
        "qwen3:0.6b",
        "qwen3",
        &format!("https://example.org/a.gguf#sha256={digits}"),
    ] {
        assert_eq!(parsed(text).to_string(), text);
    }
}
