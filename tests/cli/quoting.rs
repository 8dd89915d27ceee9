//! Errors about values that are far too long: they quote enough of them, and no more.

use super::*;

/// What a run says that fails: a few lines, each of which a person can read.
fn short_error(output: &Output) -> String {
    let error = failure(output, if output.status.code() == Some(2) { 2 } else { 1 });
    for line in error.lines() {
        let length = line.chars().count();
        assert!(length < 1100, "{length}: {}", line.chars().take(200).collect::<String>());
    }
    assert!(error.lines().count() < 20 && error.contains("characters left out"), "{error}");
    error
}

#[test]
fn long_values_of_the_command_line_are_shortened() {
    let long = "ä".repeat(50_000);
    let long = long.as_str();
    let gibber = Gibber::new();
    let think = format!("--think={long}");
    for arguments in [
        &["run", "--temp", long, "x"][..],
        &["run", "--cache-type-k", long, "x"],
        &["run", &think, "x"],
        &["run", "-m", long, "x"],
        &["run", "--chat-template", long, "x"],
        &["run", "-f", long],
        &["sessions", "show", long],
        &["sessions", "import", long],
        &["models", "info", long],
        &[long],
    ] {
        let error = short_error(&gibber.run(arguments));
        assert!(error.contains("ää"), "{error}");
    }
}

#[test]
fn long_values_of_files_and_of_the_environment_are_shortened() {
    let long = "x".repeat(50_000);
    let gibber = Gibber::new();
    for text in [
        format!("[sampling]\ntemperature = \"{long}\"\n"),
        format!("[sampling]\n{long} = 1\n"),
        format!("[{long}]\n"),
        format!("[keys]\nhelp = \"{long}\"\n"),
        format!("[model]\nquantize = '''\n{}'''\n", "x\n".repeat(25_000)),
    ] {
        gibber.write("config.toml", &text);
        let error = short_error(&gibber.run(&["config", "check"]));
        assert!(error.contains("config.toml:"), "{error}");
    }
    fs::remove_file(gibber.path("config.toml")).unwrap();
    let error = short_error(&gibber.command(&["config", "show"]).env("GIBBER_THREADS", &long).output().unwrap());
    assert!(error.contains("GIBBER_THREADS"), "{error}");

    let fixture = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny-llama"));
    let folder = gibber.path("model");
    fs::create_dir(&folder).unwrap();
    for entry in fs::read_dir(fixture).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let config = fs::read_to_string(fixture.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["hidden_act"] = long.clone().into();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let error = short_error(&gibber.run(&["run", "-m", folder.to_str().unwrap(), "x"]));
    assert!(error.contains("config.json") && error.contains("hidden_act"), "{error}");
}
