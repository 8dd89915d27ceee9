//! Names that stand for pipes, devices and folders, where a file is meant.

use std::io::Write;

use super::*;

#[test]
fn a_pipe_in_the_place_of_a_file_is_an_error_that_names_it() {
    let home = Home::new();
    let pipe = home.pipe("pipe");
    let cases: Vec<Vec<String>> = vec![
        vec!["run".into(), "-m".into(), pipe.clone(), "hi".into()],
        vec!["run".into(), "--chat-template".into(), pipe.clone(), "hi".into()],
        vec!["sessions".into(), "import".into(), pipe.clone()],
        vec!["models".into(), "quantize".into(), pipe.clone(), home.text("out.gguf"), "--type".into(), "q8_0".into()],
    ];
    let models =
        ["config.json", "tokenizer.json", "generation_config.json", "tokenizer_config.json", "chat_template.jinja"]
            .map(|file| (home.model_with_pipe(&format!("model-{file}"), file), file));
    let of_models = models.iter().map(|(model, _)| vec!["run".into(), "-m".into(), model.clone(), "hi".into()]);
    for arguments in cases.into_iter().chain(of_models) {
        let error = home.failure(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(error.contains("it is a named pipe") && error.contains(home.0.path().to_str().unwrap()), "{error}");
    }
}

#[test]
fn the_files_of_the_config_directory_may_be_anything() {
    let home = Home::new();
    home.pipe("config.toml");
    let error = home.failure(&["run", "hi"]);
    assert!(error.contains("config.toml: it is a named pipe"), "{error}");

    let home = Home::new();
    home.pipe("history.jsonl");
    home.pipe("chats.db");
    let output = home.run(&["repl", "-n", "3", "-p", "hi"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "what was said could not be saved: {said}");
    assert!(said.contains("history.jsonl: it is a named pipe"), "{said}");
    assert!(said.contains("chats.db: it is a named pipe"), "{said}");
}

#[test]
fn a_history_that_is_the_null_device_is_empty_and_stays() {
    let home = Home::new();
    std::os::unix::fs::symlink("/dev/null", home.path("history.jsonl")).unwrap();
    std::os::unix::fs::symlink("/dev/null", home.path("config.toml")).unwrap();
    let output = home.run(&["repl", "-n", "3", "-p", "hi"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    assert!(home.path("history.jsonl").is_symlink());
}

#[test]
fn what_never_ends_is_read_to_a_limit() {
    let home = Home::new();
    for arguments in [&["run", "-f", "/dev/zero"][..], &["score", "/dev/zero"], &["sessions", "import", "/dev/zero"]] {
        let error = home.failure(arguments);
        assert!(error.contains("/dev/zero: it is a device"), "{error}");
    }
    let mut child = home.command(&["run"]).stdin(fs::File::open("/dev/zero").unwrap()).spawn().unwrap();
    child.stdin.take();
    let error = String::from_utf8(finished(child).stderr).unwrap();
    assert!(error.contains("standard input: it has more than the 67108864 bytes"), "{error}");
}

#[test]
fn a_pipe_is_read_where_the_command_line_means_one() {
    let home = Home::new();
    let ids = |arguments: &[&str], stdin: Stdio| {
        let output = finished(home.command(arguments).stdin(stdin).spawn().unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    fs::write(home.path("text"), "in a river").unwrap();
    let expected = ids(&["tokenize", "-f", &home.text("text")], Stdio::null());
    for name in ["-", "/dev/stdin", "/dev/fd/0"] {
        let mut command = home.command(&["tokenize", "-f", name]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"in a river").unwrap();
        assert_eq!(String::from_utf8(finished(child).stdout).unwrap(), expected, "{name}");
    }
    // As a shell's `<(command)`.
    let script =
        format!("printf 'in a river' | {} tokenize -f /dev/fd/3 3<&0 </dev/null", env!("CARGO_BIN_EXE_gibber"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, value) in home.environment() {
        shell.env(name, value);
    }
    assert_eq!(String::from_utf8(finished(shell.spawn().unwrap()).stdout).unwrap(), expected);
    // A named pipe is waited for.
    let pipe = home.pipe("pipe");
    let child = home.command(&["tokenize", "-f", &pipe]).spawn().unwrap();
    fs::write(&pipe, "in a river").unwrap();
    assert_eq!(String::from_utf8(finished(child).stdout).unwrap(), expected);
}

#[test]
fn the_screen_lives_on_whatever_a_name_stands_for() {
    let home = Home::new();
    let pipe = home.pipe("pipe");
    let mut terminal = home.screen(&["-n", "3"]);
    let lines = [format!("/read {pipe}"), format!("/import {pipe}"), format!("/model {pipe}"), format!("see @{pipe}.")];
    for (number, line) in lines.iter().enumerate() {
        say(&terminal, line);
        terminal.wait_for_screen(line, |screen| screen.matches("it is a named pipe").count() > number);
        terminal.press("\x15");
    }
    terminal.press("\x15");
    terminal.press(key::CTRL_D);
    assert!(ended(&mut terminal).success());
}

#[test]
fn what_is_no_file_is_not_replaced_by_one() {
    let home = Home::new();
    let (pipe, null) = (home.pipe("pipe.gguf"), home.path("null.gguf"));
    std::os::unix::fs::symlink("/dev/null", &null).unwrap();
    for target in [pipe.as_str(), null.to_str().unwrap()] {
        let model = tiny().to_str().unwrap().to_owned();
        let error = home.failure(&["models", "quantize", &model, target, "--type", "q8_0", "--force"]);
        assert!(error.contains(target) && error.contains("is no regular file"), "{error}");
    }
    assert!(null.is_symlink());
}
