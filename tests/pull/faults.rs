//! A hub that misbehaves: each time one clear sentence, within seconds, and the next pull goes on.

use std::time::Duration;

use rustix::process::Signal;

use super::hub::{Fault, Rule};
use super::*;

/// What the hub says no to, and the words that a person has to read.
#[test]
fn each_refusal_is_one_sentence_that_says_what_to_do() {
    let machine = Machine::new();
    machine.hub.make_gated("org/tiny-GGUF");
    machine.hub.make_private("org/tiny");
    for (name, words) in [
        ("org/tiny-GGUF", &["is gated", "org/tiny-GGUF"][..]),
        ("org/tiny", &["has no repository 'org/tiny'", "HF_TOKEN"]),
        ("org/nothing", &["has no repository 'org/nothing'"]),
    ] {
        let error = machine.failure(&["pull", name], 1);
        assert!(words.iter().all(|word| error.contains(word)), "{name}: {error}");
        assert_eq!(error.lines().filter(|line| line.starts_with("error: ")).count(), 1, "{error}");
    }
    let machine = Machine::new();
    for (name, words) in [
        ("org/tiny-GGUF:Q2_K", &["Q2_K", "Q8_0"][..]),
        ("org/tiny-GGUF@nowhere", &["no branch, tag or commit 'nowhere'"]),
        ("qwen99", &["no model has this short name"]),
    ] {
        let error = machine.failure(&["pull", name], 1);
        assert!(words.iter().all(|word| error.contains(word)), "{name}: {error}");
    }
}

#[test]
fn a_short_name_that_leads_nowhere_names_its_line() {
    let machine = Machine::new();
    let error = machine.failure(&["pull", "qwen3:0.6b"], 1);
    assert!(error.contains("catalogue.toml:") && error.contains("has no repository"), "{error}");
    assert_eq!(error.matches("has no repository").count(), 1, "once: {error}");
    machine.hub.commit("mirror/Qwen3-0.6B-gguf-copy", &[("README.md", b"# A copy")]);
    let error = machine.failure(&["pull", "qwen3:0.6b"], 1);
    assert!(error.contains("is it 'mirror/Qwen3-0.6B-gguf-copy'?"), "{error}");
}

#[test]
fn a_server_that_is_gone_is_named() {
    let mut machine = Machine::new();
    machine.hub.stop();
    let error = machine.failure(&["pull", "org/tiny-GGUF:Q8_0"], 1);
    assert!(error.contains("cannot be reached"), "{error}");
    let error = machine.failure(&["pull", "org/tiny-GGUF:Q8_0", "--offline"], 1);
    assert!(error.contains("--offline"), "{error}");
}

#[test]
fn what_is_wrong_twice_is_refused_with_both_values() {
    let machine = Machine::new();
    machine.hub.rule(Rule::on("model.safetensors").method("GET").fault(Fault::WrongByte(100_000)));
    let error = machine.failure(&["pull", "org/tiny"], 1);
    let told = error.lines().find(|line| line.starts_with("error: ")).unwrap();
    let sums = told.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).count();
    assert_eq!(sums, 2, "{error}");
    machine.hub.forget_rules();
    machine.stdout(&["pull", "org/tiny"]);
    assert!(machine.stdout(&["models", "verify", "org/tiny"]).contains("is sound"));
}

#[test]
fn cuts_stalls_and_slow_servers_are_gone_on_from() {
    for fault in [Fault::CutAfter(20_000), Fault::StallAfter(20_000), Fault::Reset, Fault::status(503), Fault::NoRanges]
    {
        let machine = Machine::new();
        machine.hub.rule(Rule::on("model.safetensors").method("GET").once().fault(fault.clone()));
        let output = machine.run(&["pull", "org/tiny"]);
        assert!(output.status.success(), "{fault:?}: {}", stderr_of(&output));
        assert!(machine.stdout(&["models", "verify", "org/tiny"]).contains("is sound"), "{fault:?}");
    }
}

#[test]
fn ctrl_c_leaves_what_the_next_pull_goes_on_from() {
    let machine = Machine::new();
    stop_one(&machine);
    machine.hub.forget_asked();
    let last = machine.json(&["pull", "org/tiny-GGUF:F32", "--json"]).pop().unwrap();
    assert_eq!(last["type"], "pulled");
    assert!(machine.stdout(&["models", "verify", "org/tiny-GGUF"]).contains("is sound"));
}

#[test]
fn what_a_stopped_pull_has_left_can_be_removed() {
    let machine = Machine::new();
    stop_one(&machine);
    let blobs = machine.repository("org/tiny-GGUF").join("blobs");
    let listed = machine.stdout(&["models", "list"]);
    let line = listed.lines().find(|line| line.starts_with("begun: ")).unwrap();
    for part in
        ["of 268 kB", "`gibber pull org/tiny-GGUF:tiny.F32.gguf`", "`gibber models remove org/tiny-GGUF:tiny.F32.gguf`"]
    {
        assert!(line.contains(part), "{line}");
    }
    let begun = || files_below(&blobs).iter().any(|name| name.contains("gibber-part"));
    // Nobody can be asked; it is of another type; nothing is to be done.
    assert!(machine.failure(&["models", "remove", "org/tiny-GGUF"], 2).contains("--yes"));
    machine.failure(&["models", "remove", "org/tiny-GGUF:Q8_0", "--yes"], 1);
    assert!(
        machine.stdout(&["models", "remove", "org/tiny-GGUF:F32", "--dry-run"]).contains("would remove what a pull")
    );
    assert!(begun());
    let removed = machine.stdout(&["models", "remove", "org/tiny-GGUF:tiny.F32.gguf", "--yes"]);
    assert!(removed.contains("what a pull of org/tiny-GGUF:tiny.F32.gguf had begun"), "{removed}");
    assert!(!begun());
    assert!(!files_below(&blobs).iter().any(|name| name.contains("gibber-part")));
}

/// Stops a pull with Ctrl-C once something of the file is here; from then on the hub is quick.
fn stop_one(machine: &Machine) {
    machine.hub.behave(|manners| manners.bytes_per_second = Some(20_000));
    let mut command = machine.command(&["pull", "org/tiny-GGUF:F32"]);
    let running = Running::start(&mut command);
    let blobs = machine.repository("org/tiny-GGUF").join("blobs");
    wait_until("the first bytes", || files_below(&blobs).iter().any(|name| name.ends_with(".gibber-part")));
    wait_until("some of them", || machine.hub.asked_for("tiny.F32.gguf").iter().any(|asked| asked.method == "GET"));
    running.signal(Signal::INT);
    let output = running.ended();
    assert_eq!(output.status.code(), Some(130), "{}", stderr_of(&output));
    let told = stderr_of(&output);
    assert!(told.contains("stopped; what was fetched is kept, and the same command goes on from there"), "{told}");
    machine.hub.behave(|manners| manners.bytes_per_second = None);
}

#[test]
fn two_programs_that_want_one_file_wait_for_each_other() {
    let machine = Machine::new();
    machine.hub.behave(|manners| manners.bytes_per_second = Some(100_000));
    let pull = || Running::start(&mut machine.command(&["pull", "org/tiny-GGUF:F32", "--json"]));
    let (one, other) = (pull(), pull());
    let outputs = [one.ended(), other.ended()];
    let fetched: Vec<u64> = outputs
        .iter()
        .map(|output| serde_json::from_str::<Value>(stdout_of(output).lines().last().unwrap()).unwrap())
        .map(|last| last["bytes_fetched"].as_u64().unwrap())
        .collect();
    assert_eq!(fetched.iter().sum::<u64>(), 268_000, "{fetched:?}");
}

#[test]
fn a_token_is_sent_to_its_hub_and_shown_to_nobody() {
    let machine = Machine::new();
    machine.hub.make_private("org/tiny-GGUF");
    machine.hub.behave(|manners| {
        manners.token = Some(TOKEN.to_owned());
        manners.bytes_per_second = Some(60_000);
    });
    let second = TestHub::start();
    machine.hub.send_on_to(&second);
    second.behave(|manners| manners.bytes_per_second = Some(60_000));
    let with_token = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.env("HF_TOKEN", TOKEN).env("GIBBER_LOG", "trace");
        command
    };
    let running = Running::start(&mut with_token(&["pull", "-v", "org/tiny-GGUF:F32"]));
    wait_until("the second server to be asked", || !second.asked().is_empty());
    let line = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&line).contains(TOKEN));
    let output = running.ended();
    assert!(output.status.success(), "{}", stderr_of(&output));
    assert!(
        machine
            .hub
            .asked()
            .iter()
            .any(|asked| asked.header("authorization").is_some_and(|value| value.contains(TOKEN)))
    );
    assert!(second.asked().iter().all(|asked| asked.header("authorization").is_none()), "not to others");
    let shown = with_token(&["config", "show"]).output().unwrap();
    let failed = with_token(&["pull", "org/nothing"]).output().unwrap();
    let wrong = with_token(&["pull", "org/tiny"]).env("HF_TOKEN", format!("{TOKEN}\u{7f}x")).output().unwrap();
    for output in [output, shown, failed, wrong] {
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr_of(&output));
        assert!(!said.contains(TOKEN), "{said}");
    }
    for name in files_below(machine.home.path()) {
        let content = fs::read(machine.path(&name)).unwrap_or_default();
        assert!(!content.windows(TOKEN.len()).any(|bytes| bytes == TOKEN.as_bytes()), "{name}");
    }
}

#[test]
fn a_limit_of_speed_is_kept() {
    let machine = Machine::new();
    let started = std::time::Instant::now();
    machine.stdout(&["pull", "org/tiny-GGUF:F32", "--limit-rate", "100k"]);
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
}

#[test]
fn with_json_a_failure_is_an_event_too() {
    let machine = Machine::new();
    for (arguments, code, words) in [
        (&["pull", "org/nothing", "--json"][..], 1, "has no repository 'org/nothing'"),
        (&["pull", "org/tiny-GGUF:Q8_0", "--quantize", "q4_0", "--json"], 1, "is quantized already"),
        (&["pull", "../x", "--json"], 2, "that is a path"),
        (&["pull", "--json"], 2, "say what is to be fetched"),
    ] {
        let output = machine.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&last["type"], &last["exit_code"]), (&Value::from("failed"), &Value::from(code)), "{stdout}");
        assert!(last["error"].as_str().unwrap().contains(words), "{stdout}");
        assert!(stderr_of(&output).contains(words), "{arguments:?}");
    }
}

#[test]
fn who_reads_no_more_events_ends_the_pull() {
    use std::io::BufRead;
    let machine = Machine::new();
    machine.hub.behave(|manners| manners.bytes_per_second = Some(20_000));
    let mut child = machine.command(&["pull", "org/tiny-GGUF:F32", "--json"]).spawn().unwrap();
    let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("planned"));
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr_of(&output)), (Some(0), String::new()));
    assert!(machine.stdout(&["models", "list"]).contains("begun: "), "it was not fetched to its end");
}
