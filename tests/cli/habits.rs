//! What fingers, pipes, shells and scripts that know other programs do: line ends, flags of llama.cpp, full disks, readers
//! that have enough.

use super::*;

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.\n";

/// The prompt as the model sees it, of a line REPL that reads `lines`.
fn prompt_of(gibber: &Gibber, arguments: &[&str], lines: &str) -> String {
    let arguments = [&["repl", "-n", "1", "--temp", "0"], arguments].concat();
    let output = stdout_of(gibber.run_with_stdin(&arguments, format!("{lines}/prompt\n").as_bytes()));
    let (_, seen) = output.split_once("sees:\n").unwrap();
    seen.split_once("\nas these tokens").unwrap().0.to_owned()
}

#[test]
fn one_line_end_behind_a_question_is_no_part_of_it() {
    let gibber = Gibber::new();
    let file = gibber.write("question.txt", format!("{QUESTION}\n"));
    let file = file.to_str().unwrap();
    let piped = |arguments: &[&str], stdin: &str| stdout_of(gibber.run_with_stdin(arguments, stdin.as_bytes()));
    let run = ["run", "--temp", "0", "-n", "24"];
    for line_end in ["\n", "\r\n"] {
        assert_eq!(piped(&run, &format!("{QUESTION}{line_end}")), ANSWER, "{line_end:?}");
    }
    assert_eq!(gibber.stdout(&[&run[..], &["-f", file]].concat()), ANSWER);
    assert_eq!(piped(&[&run[..], &[QUESTION]].concat(), "\n"), ANSWER, "`echo |` adds nothing");
    assert_eq!(piped(&[&run[..], &["-f", "-"]].concat(), &format!("{QUESTION}\n")), ANSWER);
    let more = piped(&[&run[..], &["--json"]].concat(), &format!("{QUESTION}\n\n"));
    let none = piped(&[&run[..], &["--json"]].concat(), QUESTION);
    let prompt_tokens = |lines: &str| json_lines(lines).pop().unwrap()["stats"]["prompt_tokens"].as_u64();
    assert_eq!(prompt_tokens(&more), prompt_tokens(&none).map(|tokens| tokens + 1), "exactly one goes");
}

#[test]
fn the_line_repl_drops_the_same_line_end_from_lines_files_and_first_messages() {
    let gibber = Gibber::new();
    let file = gibber.write("plum.txt", "PLUM\r\n");
    let seen = prompt_of(&gibber, &[], &format!("{QUESTION}\r\n"));
    assert!(seen.contains(&format!("{QUESTION}<|im_end|>")), "{seen}");
    let seen = prompt_of(&gibber, &["-f", file.to_str().unwrap()], "");
    assert!(seen.contains("user\nPLUM<|im_end|>"), "{seen:?}");
    let seen = prompt_of(&gibber, &[], &format!("Read @{}\n", file.display()));
    assert!(seen.contains("PLUM") && seen.contains("```<|im_end|>"), "{seen:?}");
    let seen = prompt_of(&gibber, &["-sys", "Be brief.\n"], "Hi\n");
    assert!(seen.contains("system\nBe brief.<|im_end|>"), "{seen:?}");
    let seen = prompt_of(&gibber, &["--raw", "-f", file.to_str().unwrap()], "");
    assert!(seen.starts_with("PLUM␍\n"), "raw text stays as it is: {seen:?}");
}

#[test]
fn raw_text_scores_and_tokens_take_every_byte() {
    let gibber = Gibber::new();
    let pieces = |stdin: &str| stdout_of(gibber.run_with_stdin(&["tokenize", "--json", "-"], stdin.as_bytes()));
    assert_ne!(pieces("Paris"), pieces("Paris\n"));
    let prompt_tokens = |stdin: &str| {
        let output = gibber.run_with_stdin(&["run", "--raw", "--json", "-n", "1"], stdin.as_bytes());
        json_lines(&stdout_of(output)).pop().unwrap()["stats"]["prompt_tokens"].as_u64()
    };
    assert_eq!(prompt_tokens("Paris\n\n"), prompt_tokens("Paris").map(|tokens| tokens + 1), "two feeds are one token");
    let scored = stdout_of(gibber.run_with_stdin(&["score", "--json"], b"Paris is\n"));
    assert_eq!(json_lines(&scored).iter().filter_map(|line| line["text"].as_str()).collect::<String>(), "Paris is\n");
}

#[test]
fn nothing_but_a_line_end_is_no_prompt() {
    let error = failure(&Gibber::new().run_with_stdin(&["run"], b"\n"), 2);
    assert!(error.contains("there is no prompt"), "{error}");
}

#[test]
fn an_empty_prompt_is_none_wherever_it_stands() {
    let gibber = Gibber::new();
    for arguments in [&["run", ""][..], &["run", "-p", ""], &["run", " \t\n"], &["run", "--raw", ""]] {
        let error = failure(&gibber.run(arguments), 2);
        assert!(error.contains("the prompt is empty"), "{arguments:?}: {error}");
    }
    let error = failure(&gibber.run_with_stdin(&["run"], b" \n\n"), 2);
    assert!(error.contains("there is no prompt"), "{error}");
    assert_eq!(stdout_of(gibber.run_with_stdin(&["run", "", "--temp", "0"], QUESTION.as_bytes())), ANSWER);
}

#[cfg(unix)]
#[test]
fn what_is_written_to_nobody_is_an_error() {
    let gibber = Gibber::new();
    let closed = |arguments: &[&str]| {
        let mut command = gibber.command(&[]);
        let program = command.get_program().to_owned();
        command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" >&-"]).arg(program).args(arguments);
        command.env("HOME", gibber.directory.path()).env("GIBBER_CONFIG_DIR", gibber.directory.path());
        command.stdin(Stdio::null()).output().unwrap()
    };
    let model = default_model().to_str().unwrap();
    for arguments in [
        &["run", "-m", model, "-n", "1", "Hi"][..],
        &["run", "-m", model, "-n", "1", "--json", "Hi"],
        &["repl", "-m", model],
        &["tokenize", "-m", model, "Hi"],
        &["models", "info", model],
        &["config", "path"],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["--version"],
    ] {
        let error = failure(&closed(arguments), 1);
        assert!(error.contains("cannot write to standard output: it is closed"), "{arguments:?}: {error}");
    }
    // What goes nowhere by a person's wish is no error, however it was opened.
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    assert!(gibber.command(&["--version"]).stdout(null).status().unwrap().success());
}

#[test]
fn a_file_of_long_words_is_refused_by_its_tokens_alone() {
    let gibber = Gibber::new();
    let ask = |words: &str| {
        let file = gibber.write("words.txt", words);
        let line = format!("Read @{}\n", file.display());
        gibber.run_with_stdin(&["repl", "-n", "1", "-c", "1024"], line.as_bytes())
    };
    let output = ask(&" international".repeat(800));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = ask(&" international".repeat(2000));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("tokens") && error.contains("1024"), "{error}");
    let output = ask(&" international".repeat(10_000));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("words.txt has 140000 bytes") && error.contains("1024 tokens"), "{error}");
}

#[test]
fn what_cannot_fit_says_its_length_and_the_context() {
    let gibber = Gibber::new();
    let text = "All work and no play makes Jack a dull boy.\n".repeat(40_000);
    let counted = stdout_of(gibber.run_with_stdin(&["tokenize", "--json", "-"], text.as_bytes()));
    let count = serde_json::from_str::<Value>(&counted).unwrap()["ids"].as_array().unwrap().len();
    // The last line end is none of a question's.
    for (arguments, count) in [(&["run", "-c", "256"][..], count - 1), (&["run", "-c", "256", "--raw"], count)] {
        let error = failure(&gibber.run_with_stdin(arguments, text.as_bytes()), 1);
        let length = format!("{count} tokens long and the context holds 256");
        assert!(error.contains(&length) && !error.contains("template"), "{error}");
    }
    // More than a template may write: it is not the template's fault.
    let error = failure(&gibber.run_with_stdin(&["run"], text.repeat(6).as_bytes()), 1);
    assert!(error.contains("tokens long and the context holds 8192") && !error.contains("template"), "{error}");
}

#[test]
fn flags_of_llama_cpp_are_taken_or_refused_by_their_own_names() {
    let gibber = Gibber::new();
    let run = |flags: &[&str]| gibber.run(&[&["run", "--temp", "0"], flags, &[QUESTION]].concat());
    for flags in [
        &["-ngl", "99"][..],
        &["-ngl99"],
        &["-fa"],
        &["-fa", "on"],
        &["-tb", "2"],
        &["-st"],
        &["-cnv"],
        &["-ub", "512", "-np", "1", "-mli", "-co"],
        &["--n-gpu-layers", "99", "--jinja", "--single-turn", "--conversation"],
        &["--flash-attn", "on", "--no-mmap", "--color", "--no-warmup"],
    ] {
        let output = run(flags);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let name = flags[0].trim_end_matches("99");
        assert!(stderr.contains(&format!("warning: {name} changes nothing")), "{flags:?}: {stderr}");
        assert_eq!(stdout_of(output), ANSWER, "{flags:?}");
    }
    for flags in [
        &["-hft", "x"][..],
        &["-dr", "some/model"],
        &["-md", "x"],
        &["-jf", "x"],
        &["-e"],
        &["--hf-token", "x"],
        &["--in-prefix", "A"],
        &["--mirostat", "2"],
    ] {
        let error = failure(&run(flags), 2);
        assert!(error.starts_with(&format!("error: {}: ", flags[0])), "{error}");
    }
    let error = failure(&gibber.run(&["-md", "org/repo"]), 2);
    assert!(error.starts_with("error: -md: "), "{error}");
    let error = failure(&run(&["-ctk", "q3"]), 2);
    assert!(error.contains("'-ctk") && !error.contains("--cache-type-k"), "{error}");
    let error = failure(&run(&["-temp", "0"]), 2);
    assert!(error.contains("-temp") && error.contains("--temp") && !error.contains("--threads"), "{error}");
    let raw = gibber.stdout(&["run", "--raw", "--temp", "0", "-n", "1", QUESTION]);
    for flags in [["-no-cnv", "-n", "1"], ["--no-conversation", "--n-predict", "1"]] {
        assert_eq!(stdout_of(run(&flags)), raw, "{flags:?}");
    }
    let stopped = stdout_of(run(&["--reverse-prompt", " is", "--temperature=0"]));
    assert_eq!(stopped, "The capital of France\n");
}

#[test]
fn a_flag_before_the_command_is_called_what_it_was_called() {
    let gibber = Gibber::new();
    for (flag, said) in [("-ctk", "-ctk"), ("--n-predict", "--n-predict"), ("-n", "-n/--predict"), ("--temp", "--temp")]
    {
        let value = if flag == "-ctk" { "q8_0" } else { "1" };
        let error = failure(&gibber.run(&[flag, value, "run", "hi"]), 2);
        assert!(error.starts_with(&format!("error: {said} must stand behind the command: gibber run -")), "{error}");
        assert!(flag != "-ctk" || !error.contains("--cache-type-k"), "{error}");
    }
}

#[test]
fn think_off_is_no_question() {
    let gibber = Gibber::new();
    assert_eq!(gibber.stdout(&["run", "--temp", "0", "--think", "off", QUESTION]), ANSWER);
    assert_eq!(gibber.stdout(&["run", "--temp", "0", "--think", "false", QUESTION]), ANSWER);
    let error = failure(&gibber.run(&["run", "--think", "off"]), 2);
    assert!(error.contains("there is no prompt"), "{error}");
    let error = failure(&gibber.run(&["run", "--think", "high"]), 2);
    assert!(error.contains("high") && error.contains("auto, on, off"), "{error}");
}

#[test]
fn more_threads_than_can_serve_are_capped_wherever_they_come_from() {
    let gibber = Gibber::new();
    let run = ["run", "--temp", "0", "-n", "3", QUESTION];
    let check = |output: Output| {
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("512 threads") && stderr.contains("-t/--threads"), "{stderr}");
        assert_eq!(stdout_of(output), "The capital of\n");
    };
    check(gibber.run(&[&run[..], &["-t", "512"]].concat()));
    let output = gibber.run(&[&run[..], &["-t", "99999999999999999999"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("999999999 threads"), "{output:?}");
    assert_eq!(stdout_of(output), "The capital of\n");
    assert_eq!(stdout_of(gibber.run(&[&run[..], &["-t", "-1"]].concat())), "The capital of\n");
    check(gibber.command(&run).env("GIBBER_THREADS", "512").output().unwrap());
    gibber.write("config.toml", "[model]\nthreads = 512\n");
    check(gibber.run(&run));
    let warned = String::from_utf8(gibber.run_with_stdin(&["repl"], b"").stderr).unwrap();
    assert!(warned.contains("warning: 512 threads"), "{warned}");
}

#[test]
fn an_export_makes_no_directories() {
    let gibber = Gibber::new();
    stdout_of(gibber.run_with_stdin(&["repl", "-n", "1"], b"Hi\n"));
    let target = gibber.path("nosuch/x.md");
    let target = target.to_str().unwrap();
    let error = failure(&gibber.run(&["sessions", "export", "1", target]), 1);
    assert!(error.contains(target) && error.contains("there is no directory"), "{error}");
    let output = gibber.run_with_stdin(&["repl", "-n", "1"], format!("Hi\n/export {target}\n").as_bytes());
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("there is no directory"), "{said}");
    assert!(!gibber.path("nosuch").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn what_could_not_be_written_is_named() {
    let gibber = Gibber::new();
    stdout_of(gibber.run_with_stdin(&["repl", "-n", "1"], b"Hi\n"));
    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for arguments in [
        &["run", "-n", "2", "hi"][..],
        &["run", "-n", "2", "--json", "hi"],
        &["score", "-p", "hi there"],
        &["tokenize", "hi"],
        &["models", "list"],
        &["models", "info"],
        &["sessions", "list"],
        &["sessions", "show", "1"],
        &["sessions", "export", "1"],
        &["config", "show"],
        &["config", "path"],
        &["completions", "bash"],
        &["man"],
        &["bench", "--synthetic", "tiny", "-p", "8", "-n", "2", "-r", "1"],
        &["--help"],
        &["run", "--help"],
        &["--version"],
        &["repl", "-p", "hi", "-n", "2"],
    ] {
        let output = gibber.command(arguments).stdout(full()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("cannot write to standard output: "), "{arguments:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
    // Nobody is left to be told.
    let output = gibber.command(&["run", "-v", "-n", "1", "hi"]).stderr(full()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn completion_scripts_end_quietly_where_the_reader_has_enough() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let gibber = Gibber::new();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = gibber.command(&["completions", shell]).stdout(writer).output().unwrap();
        assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{shell}");
        assert!(gibber.stdout(&["completions", shell]).contains("gibber"), "{shell}");
    }
}

#[test]
fn models_info_takes_the_model_as_everything_else_does() {
    let gibber = Gibber::new();
    let path = default_model().to_str().unwrap();
    let by_flag = gibber.stdout(&["models", "info", "-m", path]);
    assert_eq!(by_flag, gibber.stdout(&["models", "info", path]));
    let info: Value = serde_json::from_str(&gibber.stdout(&["models", "info", "-m", path, "--json"])).unwrap();
    let listed = json_lines(&gibber.stdout(&["models", "list", "--json"])).remove(0);
    for key in ["architecture", "parameters", "format", "bytes", "context", "path", "runnable", "reason"] {
        assert_eq!(info[key], listed[key], "{key}");
    }
    assert_eq!(
        (info["layers"].as_u64(), info["heads"].as_u64(), info["kv_heads"].as_u64()),
        (Some(30), Some(9), Some(3))
    );
    assert!(info["end_tokens"].as_array().unwrap().iter().any(|end| end["text"] == "<|im_end|>"), "{info}");
    let error = failure(&gibber.run(&["models", "info", "x", "-m", "y"]), 2);
    assert!(error.contains("cannot be used with"), "{error}");
}

#[test]
fn lists_are_padded_by_columns_and_titles_are_said_as_they_are() {
    use unicode_width::UnicodeWidthStr;
    let gibber = Gibber::new();
    for question in
        ["日本語の題名とても長いので切られるべきものですがどうでしょうかねえ", "Say \"hi\"", "e\u{301}te\u{301} 👩‍👩‍👧"]
    {
        stdout_of(gibber.run_with_stdin(&["repl", "-n", "1"], format!("{question}\n").as_bytes()));
    }
    let list = gibber.stdout(&["sessions", "list"]);
    let model_at = |line: &str| line.split_once("SmolLM2").unwrap().0.width();
    assert_eq!(list.lines().map(model_at).collect::<Vec<_>>(), [4 + 2 + 19 + 2 + 60 + 2; 3], "{list}");
    let number = list.lines().find(|line| line.contains("Say")).unwrap().split_whitespace().next().unwrap();
    let deleted = gibber.stdout(&["sessions", "delete", number]);
    assert_eq!(deleted, "“Say \"hi\"” is deleted\n");
}

#[test]
fn what_the_log_is_to_hold_is_said_in_a_word_that_it_knows() {
    let gibber = Gibber::new();
    let error = failure(&gibber.command(&["run", "x"]).env("GIBBER_LOG", "loud").output().unwrap(), 2);
    assert!(error.contains("GIBBER_LOG is `loud`") && error.contains("debug"), "{error}");
}

#[test]
fn the_log_has_what_is_asked_for_and_without_a_fault_there_is_none() {
    let gibber = Gibber::new();
    gibber.write("chats.db", "no database at all, and long enough to be read as a page of one".repeat(80));
    let (log, lines) = (gibber.path("gibber.log"), gibber.write("lines", "/open\n"));
    let repl = |gibber: &Gibber| {
        let mut command = gibber.command(&["repl"]);
        command.stdin(std::fs::File::open(&lines).unwrap());
        command
    };
    assert_eq!(repl(&gibber).output().unwrap().status.code(), Some(1));
    assert!(!log.exists());
    assert_eq!(repl(&gibber).env("GIBBER_LOG", "debug").output().unwrap().status.code(), Some(1));
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("DEBUG"), "{written}");
}

#[test]
fn words_that_a_command_has_no_use_for_are_an_error_and_change_nothing() {
    let gibber = Gibber::new();
    let lines = b"/set temp 0.3\n/save mychat\n/quit now\n/undo 2\n/set temp\n";
    let output = gibber.run_with_stdin(&["repl"], lines);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    for (word, command) in [("mychat", "save"), ("now", "quit"), ("2", "undo")] {
        assert!(error.contains(&format!("nothing was done: `{word}` behind /{command} has no meaning")), "{error}");
    }
    assert!(said.contains("temperature = 0.30 (set here): "), "what follows is read on: {said}");
    assert!(!gibber.path("config.toml").exists(), "no settings were written");
}

#[test]
fn samplers_are_named_in_their_order_as_llama_cpp_names_them() {
    let gibber = Gibber::new();
    let run = |samplers: &str| {
        let shape = ["--temp", "5", "--top-k", "1", "--samplers", samplers];
        gibber.stdout(&[&["run", "-s", "3", "-n", "24"], &shape[..], &[QUESTION]].concat())
    };
    assert_eq!(run("top_k;typ_p;top_p;min_p;temperature"), ANSWER);
    assert_eq!(run("temperature;top_k"), ANSWER);
    assert_eq!(run("edskypmxt"), ANSWER, "all of llama.cpp's letters, those of what is off included");
    assert_ne!(run("temperature"), ANSWER, "top-k is left out");
    gibber.write("config.toml", "[sampling]\nsamplers = [\"top_k\", \"temperature\"]\ntop_k = 1\ntemperature = 5.0\n");
    assert_eq!(gibber.stdout(&["run", "-n", "24", QUESTION]), ANSWER);
    gibber.write("config.toml", "[sampling]\nsamplers = \"top_k;tok_p\"\n");
    let error = failure(&gibber.run(&["run", QUESTION]), 1);
    assert!(error.contains("config.toml:2: `sampling.samplers` is \"top_k;tok_p\": it must be penalties, "), "{error}");
    let error = failure(&gibber.run(&["run", "--samplers", "tok_p", QUESTION]), 2);
    assert!(error.contains("there is no sampler `tok_p`"), "{error}");
}

#[test]
fn commands_of_other_programs_are_told_what_they_are_here() {
    let gibber = Gibber::new();
    for (words, command) in [
        (&["list"][..], "gibber models list"),
        (&["ls"], "gibber models list"),
        (&["rm", "x"], "gibber models remove NAME"),
        (&["show", "x"], "gibber models info NAME"),
        (&["quantize", "a", "b"], "gibber models quantize IN OUT --type TYPE"),
    ] {
        let error = failure(&gibber.run(words), 2);
        assert!(error.contains(&format!("it is `{command}` here")), "{words:?}: {error}");
    }
    assert_eq!(gibber.stdout(&["models", "ls"]), gibber.stdout(&["models", "list"]));
}

#[test]
fn shells_complete_flags_behind_one_dash_as_well() {
    let gibber = Gibber::new();
    for (shell, spelled) in [("bash", " -hf "), ("zsh", "'-hf="), ("fish", "-o hf"), ("elvish", "cand -hf ")] {
        let script = gibber.stdout(&["completions", shell]);
        assert!(script.contains(spelled) && !script.contains("one-dash"), "{shell}");
    }
    assert!(gibber.stdout(&["man"]).contains("\\-hf"), "{}", gibber.stdout(&["man"]));
}
