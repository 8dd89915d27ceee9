use std::fs;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Result<HubEnvironment> {
    let variable = |name: &str| pairs.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).into());
    HubEnvironment::with(Some(Path::new("/home/me")), variable)
}

fn cache(pairs: &[(&str, &str)]) -> PathBuf {
    environment(pairs).unwrap().cache.unwrap()
}

#[test]
fn the_cache_is_where_other_programs_have_it() {
    for (pairs, folder) in [
        (&[][..], "/home/me/.cache/huggingface/hub"),
        (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
        (&[("HF_HOME", "/hf"), ("XDG_CACHE_HOME", "/xdg")], "/hf/hub"),
        (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/hf")], "/old"),
        (&[("HF_HUB_CACHE", "/cache"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/cache"),
        (&[("HF_HOME", "~/models")], "/home/me/models/hub"),
        (&[("HF_HOME", "$DISK/${NAME}/$MISSING"), ("DISK", "/disk"), ("NAME", "hf")], "/disk/hf/$MISSING/hub"),
        (&[("HF_HOME", "")], "/home/me/.cache/huggingface/hub"),
    ] {
        assert_eq!(cache(pairs), Path::new(folder), "{pairs:?}");
    }
    assert_eq!(HubEnvironment::with(None, |_| None).unwrap().cache, None);
}

#[test]
fn the_cache_is_there_however_wrong_the_rest_is() {
    let wrong = |name: &str| (name == "HF_ENDPOINT").then(|| "nonsense".into());
    assert!(HubEnvironment::with(None, wrong).is_err());
    assert_eq!(HubEnvironment::cache_folder(Some(Path::new("/me")), wrong), Some("/me/.cache/huggingface/hub".into()));
}

#[test]
fn a_token_is_of_the_variable_or_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "  of_the_file\n").unwrap();
    let home = ("HF_HOME", folder.path().to_str().unwrap());
    let token = |pairs: &[(&str, &str)]| environment(pairs).unwrap().token;
    assert_eq!(token(&[home]), Token::new("of_the_file"));
    assert_eq!(token(&[home, ("HF_TOKEN", " of_the_variable\r\n")]), Token::new("of_the_variable"));
    assert_eq!(token(&[home, ("HF_TOKEN", "  ")]), Token::new("of_the_file"));
    assert_eq!(token(&[("HF_TOKEN_PATH", path.to_str().unwrap())]), Token::new("of_the_file"));
    assert_eq!(token(&[home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
    assert_eq!(token(&[home, ("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "true")]), None);
    assert_eq!(token(&[("HF_HOME", "/nowhere")]), None);
}

#[test]
fn a_tokens_file_that_is_none_is_told_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("token")).unwrap();
    let environment = environment(&[("HF_HOME", folder.path().to_str().unwrap())]).unwrap();
    assert_eq!(environment.token, None);
    assert!(environment.token_trouble.unwrap().contains("a folder"));
}

#[test]
fn a_token_is_shown_nowhere() {
    let environment = environment(&[("HF_TOKEN", "hf_secret\u{1}")]).unwrap();
    assert!(!format!("{environment:?}").contains("secret"));
    let error = environment.token.unwrap().header().unwrap_err();
    assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"));
}

#[test]
fn nothing_is_fetched_where_a_variable_says_so() {
    let offline = |pairs: &[(&str, &str)]| environment(pairs).unwrap().offline;
    for value in ["1", "on", "YES", "True"] {
        assert_eq!(offline(&[("HF_HUB_OFFLINE", value)]).as_deref(), Some("HF_HUB_OFFLINE"));
    }
    assert_eq!(offline(&[("TRANSFORMERS_OFFLINE", "1")]).as_deref(), Some("TRANSFORMERS_OFFLINE"));
    for value in ["", "0", "false", "no"] {
        assert_eq!(offline(&[("HF_HUB_OFFLINE", value)]), None);
    }
}

#[test]
fn an_endpoint_is_an_address() {
    let endpoint = |value| environment(&[("HF_ENDPOINT", value)]).map(|environment| environment.endpoint);
    assert_eq!(endpoint("").unwrap(), "https://huggingface.co");
    assert_eq!(endpoint("http://localhost:8123/").unwrap(), "http://localhost:8123");
    assert_eq!(endpoint("https://mirror.example/hub//").unwrap(), "https://mirror.example/hub");
    for wrong in ["huggingface.co", "ftp://hub", "https://me:secret@hub.example", "https://hub.example/?a=secret"] {
        let error = endpoint(wrong).unwrap_err().to_string();
        assert!(error.starts_with("HF_ENDPOINT is '") && !error.contains("secret"), "{error}");
    }
}

#[test]
fn time_outs_are_seconds() {
    let stall =
        |value| environment(&[("HF_HUB_DOWNLOAD_TIMEOUT", value)]).map(|environment| environment.time_outs.stall);
    assert_eq!(stall("7").unwrap(), Duration::from_secs(7));
    assert_eq!(stall("").unwrap(), Duration::from_secs(30));
    for wrong in ["0", "-1", "soon", "1e9"] {
        assert!(stall(wrong).unwrap_err().to_string().contains(wrong));
    }
}

#[test]
fn certificates_of_ones_own_have_a_variable() {
    let of = |pairs: &[(&str, &str)]| environment(pairs).unwrap().certificates.map(|own| (own.variable, own.path));
    let both = [("REQUESTS_CA_BUNDLE", "/b.pem"), ("SSL_CERT_FILE", "/a.pem")];
    assert_eq!(of(&both), Some(("SSL_CERT_FILE".to_owned(), "/a.pem".into())));
    assert_eq!(of(&both[..1]), Some(("REQUESTS_CA_BUNDLE".to_owned(), "/b.pem".into())));
    assert_eq!(of(&[]), None);
}
