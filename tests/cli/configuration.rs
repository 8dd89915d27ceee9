//! `gibber config`, and what the settings file may say.

use super::*;

#[test]
fn a_bad_key_stops_every_command_with_file_and_line() {
    let gibber = Gibber::new();
    let path = gibber.write("config.toml", "[sampling]\ntemprature = 1.0\n");
    let expected = format!("error: {}:2: unknown key `sampling.temprature`", path.display());
    for command in [&["run", "hi"][..], &["models", "list"], &["config", "check"], &["config", "show"]] {
        let error = failure(&gibber.run(command), 1);
        assert!(error.starts_with(&expected), "{command:?}: {error}");
    }
    assert_eq!(gibber.stdout(&["config", "path"]).trim_end(), path.to_str().unwrap());
}

#[test]
fn the_flag_comes_before_the_environment() {
    let (gibber, other) = (Gibber::new(), Gibber::new());
    let directory = other.directory.path().to_str().unwrap();
    assert!(gibber.stdout(&["config", "path", "--config-dir", directory]).starts_with(directory));
    assert!(gibber.stdout(&["--config-dir", directory, "config", "path"]).starts_with(directory));
}

#[test]
fn what_is_shown_can_be_read_back() {
    let gibber = Gibber::new();
    gibber.write("config.toml", "[model]\nthreads = 2\n");
    let shown = gibber.stdout(&["config", "show"]);
    assert!(shown.contains("threads = 2"), "{shown}");
    gibber.write("config.toml", &shown);
    assert_eq!(gibber.stdout(&["config", "show"]), shown);
}

#[cfg(unix)]
#[test]
fn the_editor_gets_the_documented_defaults() {
    let gibber = Gibber::new();
    let output = gibber.command(&["config", "edit"]).env("EDITOR", "grep -c temperature").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read_to_string(gibber.path("config.toml")).unwrap(), include_str!("../../config.example.toml"));
    let output = gibber.run(&["config", "edit"]);
    assert!(failure(&output, 2).contains("EDITOR"));
}

#[test]
fn a_command_that_writes_nothing_leaves_no_trace() {
    let gibber = Gibber::new();
    let directory = gibber.path("never");
    gibber.stdout(&["tokenize", "a", "--config-dir", directory.to_str().unwrap()]);
    assert!(!directory.exists());
}

#[test]
fn a_theme_that_is_not_there_or_is_broken_is_told() {
    let gibber = Gibber::new();
    gibber.write("config.toml", "[ui]\ntheme = \"sea\"\n");
    let error = failure(&gibber.run(&["config", "check"]), 1);
    assert!(error.contains("`ui.theme`: there is no theme `sea`: it must be dark, light"), "{error}");
    fs::create_dir(gibber.path("themes")).unwrap();
    let path = gibber.write("themes/sea.toml", "accent = \"#00f0ff\"\nusr = \"red\"\n");
    let error = failure(&gibber.run(&["config", "check"]), 1);
    assert!(error.contains(&format!("{}:2: unknown role `usr`", path.display())), "{error}");
    gibber.write("themes/sea.toml", "accent = \"#00f0ff\"\n");
    assert!(gibber.stdout(&["config", "check"]).contains("is valid"));
}

#[test]
fn keys_that_cannot_be_are_named_with_file_and_line() {
    let gibber = Gibber::new();
    let text =
        "[keys]\nhelp = [\"F10\"]\nsned = [\"Ctrl-S\"]\n\n[keys.composer]\nsend = [\"Ctrl-M\"]\nundo = [\"Ctrl-J\"]\n";
    let path = gibber.write("config.toml", text);
    let error = failure(&gibber.run(&["config", "check"]), 1);
    let place = |line: usize| format!("{}:{line}: `keys.", path.display());
    for (line, what) in [
        (3, "sned`: there is no action"),
        (6, "composer.send`: terminals send the same for Ctrl-M as for Enter"),
        (7, "composer.undo`: Ctrl-J is the key of `new-line` too"),
    ] {
        assert!(error.contains(&format!("{}{what}", place(line))), "{error}");
    }
    assert!(!error.contains("keys.help"), "{error}");
    gibber.write("config.toml", "[keys]\nhelp = \"F10\"\n");
    let error = failure(&gibber.run(&["config", "check"]), 1);
    assert!(error.contains("config.toml:2: `keys.help` is \"F10\": it must be a list of keys"), "{error}");
    gibber.write("config.toml", "[keys]\nhelp = [\"F10\"]\n");
    assert!(gibber.stdout(&["config", "check"]).contains("is valid"));
    assert!(gibber.stdout(&["config", "show"]).contains("F10"));
}

#[test]
fn the_settings_of_another_model_are_shown_with_what_it_brings() {
    let gibber = Gibber::new();
    let model = gibber.path("own");
    let tiny = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama");
    fs::create_dir(&model).unwrap();
    for file in fs::read_dir(tiny).unwrap().map(|file| file.unwrap()) {
        fs::copy(file.path(), model.join(file.file_name())).unwrap();
    }
    fs::write(model.join("generation_config.json"), "{\"temperature\": 0.55, \"top_k\": 17}").unwrap();
    gibber.write("config.toml", "[sampling]\ntop_k = 9\n");
    let shown = gibber.stdout(&["config", "show", "-m", model.to_str().unwrap(), "-c", "128"]);
    for line in ["# temperature = 0.55 # from the model", "top_k = 9 # config.toml", "context = 128 # a flag"] {
        assert!(shown.contains(line), "{line} is not in\n{shown}");
    }
    assert!(!gibber.stdout(&["config", "show"]).contains("0.55"));
}
