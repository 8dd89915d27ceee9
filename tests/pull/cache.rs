//! What is removed and checked, and what is not gibber's to touch.

use super::*;

/// What another program has put into the shared cache: a snapshot with a link to a blob.
fn of_others(machine: &Machine, repository: &str) -> PathBuf {
    let folder = machine.repository(repository);
    let commit = "c".repeat(40);
    let snapshot = folder.join("snapshots").join(&commit);
    fs::create_dir_all(folder.join("blobs")).unwrap();
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(folder.join("refs/main"), &commit).unwrap();
    let blob = "d".repeat(64);
    fs::write(folder.join("blobs").join(&blob), fixture("tiny-llama.Q8_0.gguf")).unwrap();
    std::os::unix::fs::symlink(format!("../../blobs/{blob}"), snapshot.join("model.gguf")).unwrap();
    folder
}

#[test]
fn what_others_have_fetched_is_used_and_not_touched_without_force() {
    let machine = Machine::new();
    let folder = of_others(&machine, "other/model");
    assert!(!machine.stdout(&["run", "--offline", "--raw", "-n", "4", "-m", "other/model", "Once"]).is_empty());
    let error = machine.failure(&["models", "remove", "other/model", "--yes"], 1);
    assert!(error.contains("was not fetched by gibber") && error.contains("--force"), "{error}");
    assert!(folder.exists());
    let row = &machine.json(&["models", "remove", "other/model", "--yes", "--force", "--json"])[0];
    assert_eq!((row["type"].as_str(), row["freed"].as_u64()), (Some("removed"), Some(81504)));
    assert!(!folder.exists());
}

#[test]
fn a_file_of_other_bytes_is_found_out_and_fetched_anew() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let blobs = machine.repository("org/tiny-GGUF").join("blobs");
    let blob = blobs.join(&files_below(&blobs)[0]);
    let mut bytes = fs::read(&blob).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, bytes).unwrap();
    let output = machine.run(&["models", "verify", "org/tiny-GGUF", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["result"], &lines[1]["ok"]), (&Value::from("wrong"), &Value::from(false)));
    assert_eq!((&lines[1]["loads"], &lines[1]["type"]), (&Value::from(true), &Value::from("done")));
    let said = machine.run(&["models", "verify", "org/tiny-GGUF"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains("WRONG"), "{said:?}");
    machine.stdout(&["models", "remove", "org/tiny-GGUF", "--yes"]);
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    assert!(machine.stdout(&["models", "verify", "org/tiny-GGUF"]).contains("is sound"));
}

#[test]
fn a_file_that_is_gone_is_missed() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny"]);
    let snapshots = machine.repository("org/tiny").join("snapshots");
    let config = files_below(&snapshots).into_iter().find(|name| name.ends_with("tokenizer.json")).unwrap();
    fs::remove_file(snapshots.join(config)).unwrap();
    let output = machine.run(&["models", "verify", "org/tiny"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("MISSING") && said.contains("tokenizer.json") && said.contains("does not load"), "{said}");
}

#[test]
fn a_hard_link_frees_nothing_and_that_is_said() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let blobs = machine.repository("org/tiny-GGUF").join("blobs");
    fs::hard_link(blobs.join(&files_below(&blobs)[0]), machine.path("mine.gguf")).unwrap();
    let output = machine.run(&["models", "remove", "org/tiny-GGUF", "--yes"]);
    assert!(stderr_of(&output).contains("a hard link") && stdout_of(&output).contains("0 B freed"), "{output:?}");
    assert!(machine.path("mine.gguf").exists());
}

#[test]
fn the_model_of_the_settings_and_the_included_one_are_told() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    fs::write(machine.path("config.toml"), "[model]\nname = \"org/tiny-GGUF\"\n").unwrap();
    let output = machine.run(&["models", "remove", "org/tiny-GGUF", "--yes"]);
    assert!(stderr_of(&output).contains("the model of your settings"), "{}", stderr_of(&output));
    let error = machine.failure(&["models", "remove", "smollm2", "--yes", "--force"], 1);
    assert!(error.contains("comes with the program"), "{error}");
    let error = machine.failure(&["models", "remove", "nothing-of-this-name", "--yes"], 1);
    assert!(error.contains("there is no model"), "{error}");
}

#[test]
fn nothing_is_deleted_where_nobody_can_be_asked() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    for arguments in [&["models", "remove", "org/tiny-GGUF"][..], &["models", "rm", "org/tiny-GGUF", "--json"]] {
        let error = machine.failure(arguments, 2);
        assert!(error.contains("--yes"), "{error}");
    }
    assert!(machine.stdout(&["models", "verify", "org/tiny-GGUF"]).contains("is sound"));
}
