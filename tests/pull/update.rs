//! What has changed on the hub since it was fetched.

use super::*;

#[test]
fn a_newer_commit_is_told_and_fetched_and_the_old_one_goes_with_it() {
    let machine = Machine::new();
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let current = "everything that was fetched is as the hub has it";
    assert!(machine.stdout(&["models", "list", "--outdated"]).contains(current));
    assert!(machine.stdout(&["pull", "--update"]).contains(current));
    for arguments in [&["models", "list", "--outdated", "--json"][..], &["pull", "--update", "--json"]] {
        let row = &machine.json(arguments)[0];
        assert_eq!((&row["type"], &row["current"]), (&Value::from("compared"), &Value::from(1)), "{arguments:?}");
    }

    let newer = fixture("tiny-llama.BF16.gguf");
    let commit = machine.hub.commit("org/tiny-GGUF", &[("tiny.Q8_0.gguf", &newer)]);
    let row = &machine.json(&["models", "list", "--outdated", "--json"])[0];
    assert_eq!((&row["name"], &row["newest"]), (&Value::from("org/tiny-GGUF:Q8_0"), &Value::from(commit.clone())));
    assert!(machine.stdout(&["models", "list", "--outdated"]).contains(&commit[..10]));
    assert!(machine.stdout(&["pull", "--update", "--dry-run"]).contains("would fetch 141 kB"));
    let output = machine.run(&["pull", "--update"]);
    assert!(stdout_of(&output).contains("is here (141 kB fetched)"), "{output:?}");
    assert!(stderr_of(&output).contains("what was fetched before is still in"), "{}", stderr_of(&output));
    assert!(machine.stdout(&["models", "list", "--outdated"]).contains(current));
    assert!(machine.stdout(&["models", "info", "-m", "org/tiny-GGUF:Q8_0"]).contains("BF16"));
    let removed = machine.stdout(&["models", "remove", "org/tiny-GGUF", "--yes"]);
    assert!(removed.contains("223 kB freed"), "both versions: {removed}");
    assert!(!machine.repository("org/tiny-GGUF").exists());
}

#[test]
fn a_model_of_an_address_is_said_not_to_be_looked_at() {
    let machine = Machine::new();
    let address = machine.plain_address();
    machine.stdout(&["pull", &address]);
    let output = machine.run(&["models", "list", "--outdated"]);
    assert_eq!(stdout_of(&output), "");
    assert!(stderr_of(&output).contains(&format!("{address}: not looked at")), "{output:?}");
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    let output = machine.run(&["pull", "--update"]);
    assert!(stdout_of(&output).contains("everything else that was fetched is as the hub has it"), "{output:?}");
    let row = &machine.json(&["pull", "--update", "--json"])[0];
    assert_eq!((&row["not_looked_at"][0], &row["current"]), (&Value::from(address), &Value::from(1)));
}

#[test]
fn only_what_was_fetched_can_be_brought_up_to_date() {
    let machine = Machine::new();
    let error = machine.failure(&["pull", "--update", "org/tiny"], 1);
    assert!(error.contains("was not fetched by gibber"), "{error}");
    machine.stdout(&["pull", "org/tiny-GGUF:Q8_0"]);
    machine.hub.make_private("org/tiny-GGUF");
    let error = machine.failure(&["models", "list", "--outdated"], 1);
    assert!(error.contains("org/tiny-GGUF:Q8_0: ") && error.contains("no repository"), "{error}");
    let error = machine.failure(&["pull", "--update", "--offline"], 1);
    assert!(
        error.contains("only the hub can say") && error.contains("because of --offline: leave that out"),
        "{error}"
    );
    let output = machine.command(&["models", "list", "--outdated"]).env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert!(stderr_of(&output).contains("because HF_HUB_OFFLINE is set: unset it"), "{}", stderr_of(&output));
}
