//! What a name means of what is here: what it says, and of the folders in force.

use super::support::catalogue::family;
use super::*;

/// With a short name of the person's own, and a model of other files in the same repository.
fn with_short_name() -> Machine {
    let machine = Machine::new();
    let (q4, bf16, q8) =
        (fixture("tiny-llama.Q4_1.gguf"), fixture("tiny-llama.BF16.gguf"), fixture("tiny-llama.Q8_0.gguf"));
    let files: [(&str, &[u8]); 3] =
        [("tiny-llama.Q4_1.gguf", &q4), ("tiny-llama.BF16.gguf", &bf16), ("other.Q8_0.gguf", &q8)];
    machine.hub.commit("org/mine-GGUF", &files);
    let catalogue = family("mine", "1b", "org/mine-GGUF", "tiny-llama.{type}.gguf", "Q4_1", 53_728);
    fs::write(machine.path("catalogue.toml"), catalogue).unwrap();
    machine
}

#[test]
fn a_short_name_means_its_own_type_and_no_other_that_is_left() {
    let machine = with_short_name();
    for name in ["mine:1b", "mine:1b-bf16", "org/mine-GGUF:other.Q8_0.gguf"] {
        machine.stdout(&["pull", name]);
    }
    let removed = machine.stdout(&["models", "remove", "mine:1b", "--yes"]);
    assert!(removed.contains("tiny-llama.Q4_1") && removed.contains("54 kB freed"), "{removed}");
    let left = files_below(&machine.repository("org/mine-GGUF"));
    for name in ["mine:1b", "mine", "mine:1b-q8_0", "mine:1b-q4_1", "org/mine-GGUF:Q4_1"] {
        let error = machine.failure(&["models", "remove", name, "--yes"], 1);
        assert!(error.contains(&format!("{name} is not on this machine: `gibber pull {name}` fetches it")), "{error}");
        machine.failure(&["models", "verify", name], 1);
        machine.failure(&["run", "--raw", "-n", "1", "-m", name, "Once"], 1);
    }
    assert_eq!(files_below(&machine.repository("org/mine-GGUF")), left);
    // What has its name may be had by it.
    assert!(machine.stdout(&["models", "verify", "mine:1b-bf16"]).contains("is sound"));
    machine.stdout(&["models", "remove", "mine:1b-bf16", "--yes"]);
    assert!(
        machine.stdout(&["models", "remove", "org/mine-GGUF", "--yes"]).contains("other.Q8_0"),
        "the only one left"
    );
}

#[test]
fn what_lies_in_another_cache_is_neither_meant_nor_removed() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let elsewhere =
        |arguments: &[&str]| machine.command(arguments).env("HF_HOME", machine.path("elsewhere")).output().unwrap();
    for name in ["org/tiny-GGUF", "org/tiny-GGUF:Q8_0"] {
        let output = elsewhere(&["models", "remove", name, "--yes"]);
        assert!(stderr_of(&output).contains("is not on this machine"), "{output:?}");
    }
    assert!(!stdout_of(&elsewhere(&["models", "list", "--outdated"])).contains("tiny"));
    assert!(stderr_of(&elsewhere(&["pull", "--update", "org/tiny-GGUF:Q8_0"])).contains("was not fetched by gibber"));
    let removed = machine.stdout(&["models", "remove", "org/tiny-GGUF:Q8_0", "--yes"]);
    assert!(removed.contains("tiny.Q8_0.gguf)") && removed.contains("/hf/hub/models--org--tiny-GGUF/"), "{removed}");
}

#[test]
fn what_was_fetched_is_known_whatever_way_its_folders_were_named() {
    let machine = Machine::new();
    let address = machine.plain_address();
    let relative = |arguments: &[&str]| {
        let arguments = [&["--config-dir", "conf"][..], arguments].concat();
        let mut command = machine.command(&arguments);
        command.current_dir(machine.home.path()).env("HF_HOME", "cache").env_remove("GIBBER_CONFIG_DIR");
        stdout_of(&command.output().unwrap())
    };
    relative(&["pull", &address]);
    relative(&["pull", "org/tiny", "--quantize", "q8_0"]);
    let listed = relative(&["models", "list"]);
    assert_eq!(listed.matches(", pulled: ").count(), 3, "{listed}");
    for name in ["mine", "org/tiny-Q8_0", "org/tiny"] {
        assert!(relative(&["models", "remove", name, "--yes"]).contains("removed"), "{name}");
    }
}

#[test]
fn a_family_is_not_said_to_be_what_can_be_pulled() {
    let machine = Machine::new();
    let error = machine.failure(&["run", "-m", "qwen3", "hi"], 1);
    assert!(error.contains("write one of qwen3:0.6b, ") && error.contains("`gibber pull qwen3:0.6b`"), "{error}");
}

#[test]
fn a_model_that_cannot_be_noted_is_here_all_the_same() {
    let machine = Machine::new();
    // Nothing can be written where a folder is.
    fs::create_dir(machine.path("pulled.json")).unwrap();
    let output = machine.run(&["pull", "org/tiny-GGUF:Q8_0"]);
    assert!(stdout_of(&output).contains("is here (82 kB fetched): gibber -m org/tiny-GGUF"), "{output:?}");
    let told = stderr_of(&output);
    assert!(told.contains("warning: the model is here (") && told.contains("could not be noted in "), "{told}");
    assert!(told.contains("pulled.json"), "{told}");
}

#[test]
fn a_cache_whose_path_is_no_text_is_one_like_others() {
    use std::os::unix::ffi::OsStringExt;
    let machine = Machine::new();
    let mut cache = machine.path("caf").into_os_string().into_vec();
    cache.push(0xe9);
    let cache = std::ffi::OsString::from_vec(cache);
    let run = |arguments: &[&str]| machine.command(arguments).env("HF_HOME", &cache).output().unwrap();
    let output = run(&["pull", "org/tiny-GGUF:Q8_0"]);
    assert!(stdout_of(&output).contains("is here") && !stderr_of(&output).contains("warning"), "{output:?}");
    assert!(stdout_of(&run(&["models", "list"])).contains(", pulled: "));
    assert!(stdout_of(&run(&["models", "remove", "org/tiny-GGUF:Q8_0", "--yes"])).contains("82 kB freed"));
}

#[test]
fn what_nothing_says_the_checksum_of_is_not_called_sound() {
    let machine = Machine::new();
    fs::create_dir(machine.path("models")).unwrap();
    fs::write(machine.path("models/mine.gguf"), fixture("tiny-llama.Q4_1.gguf")).unwrap();
    let said = machine.stdout(&["models", "verify", "mine"]);
    assert!(said.contains("mine loads; nothing says what its checksum should be") && !said.contains("sound"), "{said}");
}

#[test]
fn a_dry_run_says_what_would_go_and_removes_nothing() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let said = machine.stdout(&["models", "remove", "org/tiny-GGUF", "--dry-run"]);
    assert!(said.contains("would remove org/tiny-GGUF") && said.contains("82 kB freed"), "{said}");
    assert!(said.contains("/blobs/"), "all that would go: {said}");
    let row = &machine.json(&["models", "remove", "org/tiny-GGUF", "--dry-run", "--json"])[0];
    assert_eq!((&row["dry_run"], &row["freed"]), (&Value::from(true), &Value::from(81504)));
    assert!(machine.stdout(&["models", "verify", "org/tiny-GGUF"]).contains("is sound"));
}
