//! The commands of the real binary, from outside: answers, JSON contracts, exit codes, and what happens when things are
//! broken. Each test has a config directory of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

#[path = "cli/configuration.rs"]
mod configuration;
#[path = "cli/habits.rs"]
mod habits;
#[path = "cli/imports.rs"]
mod imports;
#[path = "cli/lines.rs"]
mod lines;
#[path = "cli/odd_models.rs"]
mod odd_models;
#[path = "cli/own_settings.rs"]
mod own_settings;
#[path = "cli/parrot.rs"]
mod parrot;
#[path = "cli/quantize.rs"]
mod quantize;
#[path = "cli/quoting.rs"]
mod quoting;
#[path = "cli/remote_info.rs"]
mod remote_info;
#[path = "cli/replay.rs"]
mod replay;
#[path = "cli/roles.rs"]
mod roles;
#[path = "cli/store.rs"]
mod store;
#[path = "cli/templates.rs"]
mod templates;
#[path = "cli/thoughts.rs"]
mod thoughts;
#[path = "cli/two_programs.rs"]
mod two_programs;

/// The program with a config directory that goes with the test.
struct Gibber {
    directory: TempDir,
}

impl Gibber {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["GIBBER_MODEL", "GIBBER_THREADS", "VISUAL", "EDITOR"] {
            command.env_remove(variable);
        }
        // Nothing of this machine's models, whoever runs the tests.
        for variable in [
            "HF_HOME",
            "HF_HUB_CACHE",
            "OLLAMA_MODELS",
            "XDG_CACHE_HOME",
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "XDG_STATE_HOME",
        ] {
            command.env_remove(variable);
        }
        command.env("HOME", self.directory.path());
        command.env("GIBBER_CONFIG_DIR", self.directory.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn run_with_stdin(&self, arguments: &[&str], stdin: &[u8]) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Stdout of a run that succeeds.
    fn stdout(&self, arguments: &[&str]) -> String {
        stdout_of(self.run(arguments))
    }
}

fn stdout_of(output: Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{:?}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The error of a run that ends with this exit code and says nothing on stdout.
fn failure(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    stderr
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn default_model() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/models/SmolLM2-135M-Instruct.Q4_1.gguf"))
}

mod run {
    use super::*;

    const STORY: [&str; 8] = ["run", "--raw", "--temp", "0", "-n", "8", "-p", "Once upon a time, there was a"];
    const STORY_GOES_ON: &str = " small town nestled in the heart of a";

    #[test]
    fn a_question_is_answered() {
        let answer = Gibber::new().stdout(&["run", "--temp", "0", "-p", "What is the capital of France?"]);
        assert_eq!(answer, "The capital of France is Paris.\n");
    }

    #[test]
    fn raw_text_is_continued_and_nothing_is_added() {
        assert_eq!(Gibber::new().stdout(&STORY), STORY_GOES_ON);
    }

    #[test]
    fn the_json_lines_are_tokens_and_then_the_whole() {
        let mut arguments = STORY.to_vec();
        arguments.push("--json");
        let lines = json_lines(&Gibber::new().stdout(&arguments));
        let (done, tokens) = lines.split_last().unwrap();
        assert_eq!(tokens.len(), 8);
        for token in tokens {
            assert_eq!(token["type"], "token");
            assert!(token["logprob"].as_f64().unwrap() <= 0.0);
        }
        let joined: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
        assert_eq!(joined, STORY_GOES_ON);
        assert_eq!(done["type"], "done");
        assert_eq!(done["text"], STORY_GOES_ON);
        assert_eq!(done["finish_reason"], "length");
        let ids: Vec<_> = tokens.iter().map(|token| &token["id"]).collect();
        assert_eq!(done["tokens"].as_array().unwrap().iter().collect::<Vec<_>>(), ids);
        let stats = &done["stats"];
        assert_eq!((stats["completion_tokens"].as_u64(), stats["reused_tokens"].as_u64()), (Some(8), Some(0)));
        for key in
            ["prompt_tokens", "ttft_ms", "prefill_tok_s", "decode_tok_s", "prefill_ms", "forward_ms", "sample_ms"]
        {
            assert!(stats[key].as_f64().unwrap() > 0.0, "{key}: {stats}");
        }
    }

    #[test]
    fn the_prompt_comes_from_arguments_files_and_stdin_one_behind_the_other() {
        let gibber = Gibber::new();
        let file = gibber.write("upon.txt", " upon a time,");
        let arguments = ["run", "--raw", "--temp", "0", "-n", "8", "Once", "-f", file.to_str().unwrap()];
        let output = gibber.run_with_stdin(&arguments, b" there was a");
        assert_eq!(stdout_of(output), STORY_GOES_ON);
    }

    #[test]
    fn without_a_terminal_the_program_alone_runs_what_stdin_says() {
        let output = Gibber::new().run_with_stdin(&["--temp", "0"], b"What is the capital of France?");
        assert_eq!(stdout_of(output), "The capital of France is Paris.\n");
    }

    #[test]
    fn a_stop_text_ends_the_reply_and_is_no_part_of_it() {
        let mut arguments = STORY.to_vec();
        arguments.extend(["--stop", "nestled", "-v"]);
        let output = Gibber::new().run(&arguments);
        assert!(String::from_utf8_lossy(&output.stderr).contains("nestled"), "the statistics name it");
        assert_eq!(stdout_of(output), " small town ");
    }

    #[test]
    fn statistics_are_on_stderr_and_only_when_asked_for() {
        let gibber = Gibber::new();
        assert!(gibber.run(&STORY).stderr.is_empty());
        let mut arguments = STORY.to_vec();
        arguments.push("-v");
        let output = gibber.run(&arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("SmolLM2") && stderr.contains("tok/s"), "{stderr}");
        assert_eq!(stdout_of(output), STORY_GOES_ON);
    }

    #[test]
    fn the_same_seed_gives_the_same_reply() {
        let gibber = Gibber::new();
        let reply = |seed: &str| gibber.stdout(&["run", "-n", "12", "--temp", "1.5", "-s", seed, "Tell me a story."]);
        assert_eq!(reply("7"), reply("7"));
        assert_ne!(reply("7"), reply("8"));
    }

    #[test]
    fn lookup_drafts_the_same_reply() {
        let gibber = Gibber::new();
        let said = "One fox, two dogs, three cats, four birds, five trees. ";
        let text = format!("{said}{said}One fox, two dogs,");
        let run = |lookup: &str, more: &[&str]| {
            let arguments = ["run", "--raw", "--json", "-v", "-n", "40", "--lookup", lookup, "-p", &text];
            let output = gibber.run(&[&arguments[..], more].concat());
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let mut lines = json_lines(&stdout_of(output));
            let stats = lines.last_mut().unwrap()["stats"].take();
            let counts = (stats["accepted_tokens"].as_u64().unwrap(), stats["drafted_tokens"].as_u64().unwrap());
            (lines, counts, stderr)
        };
        for more in [&["--temp", "0"][..], &["--temp", "0.7", "-s", "3", "--repeat-penalty", "1.1"]] {
            let (plain, counts, stderr) = run("off", more);
            assert_eq!((counts, stderr.contains("lookup")), ((0, 0), false), "{stderr}");
            let (drafted, (accepted, all), stderr) = run("on", more);
            assert_eq!(drafted, plain);
            assert!(0 < accepted && accepted <= all, "{accepted} of {all}");
            assert!(stderr.contains(&format!(" · lookup {accepted} of {all}")), "{stderr}");
            assert_eq!(run("auto", more).0, plain);
        }
        let error = failure(&gibber.run(&["run", "--lookup", "maybe", "hi"]), 2);
        assert!(error.contains("off, on, auto"), "{error}");
    }

    #[test]
    fn settings_of_the_file_are_taken_and_flags_come_on_top() {
        let gibber = Gibber::new();
        gibber.write(
            "config.toml",
            "[sampling]\ntemperature = 0.0\n[chat]\nmax_tokens = 3\n[model]\ntemplate = \"raw\"\n",
        );
        let prompt = "Once upon a time, there was a";
        assert_eq!(gibber.stdout(&["run", prompt]), " small town nestled");
        assert_eq!(gibber.stdout(&["run", "-n", "1", prompt]), " small");
    }

    #[test]
    fn no_prompt_is_wrong_usage() {
        let error = failure(&Gibber::new().run(&["run"]), 2);
        assert!(error.contains("there is no prompt"), "{error}");
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        let mut child =
            Gibber::new().command(&["run", "--temp", "0", "-n", "200", "Count to a hundred."]).spawn().unwrap();
        let mut first = [0];
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut first).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }

    #[cfg(unix)]
    #[test]
    fn an_interrupt_ends_the_reply_properly_with_130() {
        let mut child =
            Gibber::new().command(&["run", "--json", "--temp", "0", "Count to a thousand."]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        lines.next().unwrap().unwrap();
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
        let last: Value = serde_json::from_str(&lines.map(Result::unwrap).last().unwrap()).unwrap();
        assert_eq!(last["finish_reason"], "cancelled");
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let error = failure(&Gibber::new().run_with_stdin(&["run"], b"ab\xff"), 1);
        assert_eq!(error, "error: standard input is not UTF-8 text: byte 2 begins no character\n");
    }
}

mod measuring {
    use super::*;

    #[test]
    fn score_gives_each_token_and_the_summary() {
        let output = Gibber::new().run_with_stdin(&["score", "--json"], b"The capital of France is Paris.");
        let lines = json_lines(&stdout_of(output));
        let (summary, tokens) = lines.split_last().unwrap();
        assert!(tokens[0]["logprob"].is_null() && tokens[0]["rank"].is_null());
        let text: String = tokens.iter().map(|token| token["text"].as_str().unwrap()).collect();
        assert_eq!(text, "The capital of France is Paris.");
        let scored: Vec<f64> =
            tokens[1..].iter().map(|token| f64::from(token["logprob"].as_f64().unwrap() as f32)).collect();
        let nll = -scored.iter().sum::<f64>() / scored.len() as f64;
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["tokens"].as_u64().unwrap() as usize, tokens.len());
        assert!((summary["nll"].as_f64().unwrap() - nll).abs() < 1e-9);
        assert!((summary["ppl"].as_f64().unwrap() - nll.exp()).abs() < 1e-6);
        assert_eq!(tokens[tokens.len() - 2]["rank"], 0, "nothing is more probable than Paris");
    }

    #[test]
    fn score_reads_a_file_byte_for_byte() {
        let gibber = Gibber::new();
        let file = gibber.write("text.txt", " a \n\n");
        let lines = json_lines(&gibber.stdout(&["score", "--json", file.to_str().unwrap()]));
        let text: String = lines.iter().filter_map(|line| line["text"].as_str()).collect();
        assert_eq!(text, " a \n\n");
        assert!(gibber.stdout(&["score", file.to_str().unwrap()]).contains("perplexity"));
    }

    #[test]
    fn an_empty_text_cannot_be_scored() {
        let error = failure(&Gibber::new().run(&["score"]), 1);
        assert!(error.contains("empty"), "{error}");
    }

    #[test]
    fn tokenize_gives_ids_and_pieces() {
        let gibber = Gibber::new();
        let value: Value = serde_json::from_str(&gibber.stdout(&["tokenize", "--json", "<|im_start|>in 42"])).unwrap();
        assert_eq!(value["ids"][0], 1, "a special token that is written out is one");
        assert_eq!(value["pieces"], serde_json::json!(["<|im_start|>", "in", " ", "4", "2"]));
        assert_eq!(value["ids"].as_array().unwrap().len(), 5);
        let from_stdin = stdout_of(gibber.run_with_stdin(&["tokenize", "--json", "-"], b"<|im_start|>in 42"));
        assert_eq!(serde_json::from_str::<Value>(&from_stdin).unwrap(), value);
    }

    #[test]
    fn bench_keeps_its_contract() {
        let output =
            Gibber::new().stdout(&["bench", "--synthetic", "tiny", "-p", "16", "-n", "4", "-r", "1", "--json"]);
        let value: Value = serde_json::from_str(&output).unwrap();
        for key in [
            "threads",
            "layers",
            "layers_of_shape",
            "prefill_tok_s",
            "decode_tok_s",
            "bytes_per_token",
            "read_gb_s",
            "peak_read_gb_s",
            "load_ms",
            "ttft_ms",
        ] {
            assert!(value[key].as_f64().unwrap() > 0.0, "{key}: {value}");
        }
        assert_eq!(value["format"], "F32");
        assert!(value["model"].as_str().unwrap().contains("tiny"));
        assert!(value.get("rss_mb").is_some());
        assert!(value["blas_sgemv_tok_s"].as_f64().unwrap() > 0.0);
    }

    #[test]
    fn the_founding_measurement_is_made_again() {
        let gibber = Gibber::new();
        let arguments = ["bench", "--founding", "--synthetic", "tiny"];
        let value: Value = serde_json::from_str(&gibber.stdout(&[&arguments[..], &["--json"]].concat())).unwrap();
        assert_eq!((&value["prompts"], &value["tokens"]), (&4.into(), &120.into()));
        for key in ["wall_s", "tok_s", "threads", "load_ms"] {
            assert!(value[key].as_f64().unwrap() > 0.0, "{key}: {value}");
        }
        let (rate, ratio) = (value["tok_s"].as_f64().unwrap(), value["ratio"].as_f64().unwrap());
        assert!((rate / 1.3 - ratio).abs() < 0.01 && value["founding_tok_s"] == 1.3, "{value}");
        assert_eq!(value["user_s"].is_number(), cfg!(target_os = "linux"), "{value}");
        let text = gibber.stdout(&arguments);
        assert!(text.contains("tiny") && text.contains("times the 1.3 tok/s"), "{text}");
        failure(&gibber.run(&["bench", "--founding", "-n", "3"]), 2);
    }

    #[test]
    fn an_error_is_said_once() {
        let gibber = Gibber::new();
        let missing = gibber.path("missing.txt");
        let error = failure(&gibber.run(&["score", missing.to_str().unwrap()]), 1);
        assert_eq!(
            error,
            format!("error: cannot read {}: No such file or directory (os error 2)\n", missing.display())
        );
        fs::create_dir(gibber.path("config.toml")).unwrap();
        let error = failure(&gibber.run(&["tokenize", "a"]), 1);
        assert_eq!(error.matches("it is a folder").count(), 1, "{error}");
    }

    #[test]
    fn an_unknown_shape_is_answered_with_those_there_are() {
        let error = failure(&Gibber::new().run(&["bench", "--synthetic", "gpt9"]), 1);
        assert!(error.contains("gpt9") && error.contains("gpt2-medium"), "{error}");
    }
}

mod models {
    use super::*;

    #[test]
    fn the_default_model_is_listed_and_described() {
        let gibber = Gibber::new();
        let list = gibber.stdout(&["models", "list"]);
        let line = list.lines().nth(1).unwrap();
        for part in ["smollm2 ", " llama ", "134.5 M", "Q4_1", "98 MB", "8192", "default model: /"] {
            assert!(line.contains(part), "{part}: {list}");
        }
        let info = gibber.stdout(&["models", "info"]);
        for part in ["llama", "Q4_1", "134515008", "8192 tokens", "23040 bytes a token (f16), 188.7 MB at 8192 tokens"]
        {
            assert!(info.contains(part), "{part}: {info}");
        }
    }

    /// A copy of a fixture, file by file.
    fn copy(fixture: &str, target: &Path) {
        fs::create_dir_all(target).unwrap();
        for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), target.join(file.file_name())).unwrap();
        }
    }

    #[test]
    fn models_of_other_programs_have_names_and_broken_ones_say_why_they_cannot_be_run() {
        let gibber = Gibber::new();
        let hub = gibber.path(".cache/huggingface/hub");
        copy("tiny-llama", &hub.join("models--somebody--tiny/snapshots/1"));
        copy("variant-qwen3", &hub.join("models--somebody--other/snapshots/1"));
        let other = hub.join("models--somebody--other/snapshots/1/config.json");
        let config = fs::read_to_string(&other).unwrap().replace("\"qwen3\"", "\"mamba\"");
        fs::write(other, config).unwrap();
        let blob = gibber.path(".ollama/models/blobs/sha256-0a");
        fs::create_dir_all(blob.parent().unwrap()).unwrap();
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf"), &blob).unwrap();
        let manifest = gibber.path(".ollama/models/manifests/registry.ollama.ai/library/tinyllama/1m");
        fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        let layer = r#"{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:0a"}"#;
        fs::write(manifest, format!("{{\"layers\":[{layer}]}}")).unwrap();
        let rows = json_lines(&gibber.stdout(&["models", "list", "--json"]));
        let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
        let tiny = row("somebody/tiny");
        assert_eq!((&tiny["architecture"], &tiny["format"]), (&"llama".into(), &"F32".into()));
        assert_eq!((&tiny["context"], &tiny["runnable"], &tiny["reason"]), (&128.into(), &true.into(), &Value::Null));
        assert_eq!(row("tinyllama:1m")["format"], "Q8_0");
        assert_eq!(row("somebody/other")["runnable"], false);
        assert!(row("somebody/other")["reason"].as_str().unwrap().contains("`model_type` is mamba"));
        assert!(gibber.stdout(&["models", "list"]).contains("    cannot be run: "));
        for name in ["tiny", "somebody/tiny", "TinyLlama:1M"] {
            let reply = gibber.stdout(&["run", "-m", name, "--raw", "-n", "3", "--temp", "0", "The licence"]);
            assert!(!reply.is_empty(), "{name}");
        }
        assert!(gibber.stdout(&["models", "info", "tinyllama:1m"]).contains("Tiny Llama"));
        let error = failure(&gibber.run(&["run", "-m", "tinylama", "hi"]), 1);
        assert!(
            error.contains("near it are somebody/tiny, tinyllama:1m") && error.contains(".cache/huggingface/hub"),
            "{error}"
        );
        let error = failure(&gibber.run(&["run", "-m", "somebody", "hi"]), 1);
        assert!(error.contains("there is no model `somebody`"), "whose, not which: {error}");
        let error = failure(&gibber.run(&["run", "-m", "nobody/tiny", "hi"]), 1);
        assert!(error.contains("Names are looked up in") && error.contains(".ollama/models"), "{error}");
        let error = failure(&gibber.run(&["run", "-m", "somebody/other", "hi"]), 1);
        assert!(error.contains("`model_type` is mamba"), "{error}");
    }

    #[test]
    fn the_list_says_of_each_model_what_loading_it_says() {
        let gibber = Gibber::new();
        let models = gibber.path("models");
        let copy = |name: &str, fixture: &str| copy(fixture, &models.join(name));
        copy("no-tokenizer", "tiny-llama");
        fs::remove_file(models.join("no-tokenizer/tokenizer.json")).unwrap();
        copy("foreign-tokenizer", "tiny-llama");
        let json = fs::read_to_string(models.join("foreign-tokenizer/tokenizer.json")).unwrap();
        fs::write(models.join("foreign-tokenizer/tokenizer.json"), json.replace("\"BPE\"", "\"WordPiece\"")).unwrap();
        copy("wider", "tiny-llama");
        let json: Value = serde_json::from_str(&fs::read_to_string(models.join("wider/config.json")).unwrap()).unwrap();
        let mut wider = json.clone();
        wider["intermediate_size"] = (json["intermediate_size"].as_u64().unwrap() * 2).into();
        fs::write(models.join("wider/config.json"), wider.to_string()).unwrap();
        copy("shallow", "tiny-llama");
        let mut shallow = json;
        shallow["num_hidden_layers"] = 1.into();
        fs::write(models.join("shallow/config.json"), shallow.to_string()).unwrap();
        copy("people/whole", "tiny-llama");
        fs::write(models.join("text.gguf"), "no model").unwrap();
        let rows = json_lines(&gibber.stdout(&["models", "list", "--json"]));
        for name in ["no-tokenizer", "foreign-tokenizer", "wider", "shallow", "text"] {
            let row = rows.iter().find(|row| row["name"] == name).unwrap();
            assert_eq!(row["runnable"], false, "{row}");
            let error = failure(&gibber.run(&["run", "-m", name, "--raw", "hi"]), 1);
            assert_eq!(error.trim_end(), format!("error: {}", row["reason"].as_str().unwrap()));
        }
        let whole = rows.iter().find(|row| row["name"] == "people/whole").unwrap();
        assert_eq!(whole["runnable"], true, "{whole}");
        fs::create_dir(models.join("others")).unwrap();
        fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf"),
            models.join("others/whole.gguf"),
        )
        .unwrap();
        let error = failure(&gibber.run(&["run", "-m", "whole", "hi"]), 1);
        assert!(error.contains("`whole` is short for several models: write others/whole or people/whole"), "{error}");
        assert!(error.contains(models.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_model_that_is_not_there_is_named() {
        let error = failure(&Gibber::new().run(&["run", "-m", "nowhere", "hi"]), 1);
        assert!(error.starts_with("error: there is no model `nowhere`") && error.contains("smollm2"), "{error}");
    }

    #[test]
    fn the_environment_names_the_model() {
        let gibber = Gibber::new();
        let output = gibber.command(&["tokenize", "a"]).env("GIBBER_MODEL", "nowhere").output().unwrap();
        assert!(failure(&output, 1).contains("nowhere"));
    }

    #[test]
    fn a_truncated_file_is_a_clear_error() {
        let gibber = Gibber::new();
        let mut start = Vec::new();
        fs::File::open(default_model()).unwrap().take(5_000_000).read_to_end(&mut start).unwrap();
        for (name, length) in [("header.gguf", 10), ("metadata.gguf", 100_000), ("weights.gguf", start.len())] {
            let path = gibber.write(name, &start[..length]);
            let error = failure(&gibber.run(&["run", "-m", path.to_str().unwrap(), "hi"]), 1);
            assert!(error.contains(name) && error.lines().count() == 1, "{error}");
            assert!(!error.contains("panic"), "{error}");
        }
    }

    #[test]
    fn a_file_of_another_kind_is_a_clear_error() {
        let gibber = Gibber::new();
        let path = gibber.write("text.gguf", "this is no model".repeat(100));
        let error = failure(&gibber.run(&["score", "-m", path.to_str().unwrap()]), 1);
        assert!(error.contains("text.gguf"), "{error}");
    }
}

mod sessions {
    use super::*;

    const CHAT: &str = r#"[{"role":"system","content":"Be brief."},{"role":"user","content":"Why is the sky blue?"},
        {"role":"assistant","content":"Because of Rayleigh scattering."}]"#;

    #[test]
    fn a_chat_is_imported_listed_found_shown_exported_and_deleted() {
        let gibber = Gibber::new();
        assert_eq!(gibber.stdout(&["sessions", "list"]), "");
        assert_eq!(gibber.stdout(&["sessions", "search", "sky"]), "");
        assert!(!gibber.path("chats.db").exists(), "looking makes no file");
        let file = gibber.write("chat.json", CHAT);
        gibber.stdout(&["sessions", "import", file.to_str().unwrap()]);
        let list = json_lines(&gibber.stdout(&["sessions", "list", "--json"]));
        assert_eq!((list.len(), &list[0]["messages"]), (1, &2.into()));
        let id = list[0]["id"].to_string();
        assert!(gibber.stdout(&["sessions", "list"]).starts_with("   1  "));
        let expected = "System: Be brief.\n\nYou: Why is the sky blue?\n\nAssistant: Because of Rayleigh scattering.\n";
        for name in ["1", &id] {
            assert_eq!(gibber.stdout(&["sessions", "show", name]), expected);
        }
        let hits = json_lines(&gibber.stdout(&["sessions", "search", "RAYLEIGH", "--json"]));
        assert_eq!((hits.len(), &hits[0]["role"]), (1, &"assistant".into()));
        assert_eq!(hits[0]["context"], "Because of Rayleigh scattering.");
        let out = gibber.path("out.md");
        gibber.stdout(&["sessions", "export", "1", out.to_str().unwrap()]);
        assert!(fs::read_to_string(&out).unwrap().contains("## Assistant\n\nBecause of Rayleigh scattering.\n"));
        let error = failure(&gibber.run(&["sessions", "export", "1", out.to_str().unwrap()]), 1);
        assert!(error.contains("out.md is there already") && error.contains("--force"), "{error}");
        let again = gibber.write("again.json", gibber.stdout(&["sessions", "export", &id]));
        gibber.stdout(&["sessions", "delete", &id]);
        assert_eq!(gibber.stdout(&["sessions", "list"]), "");
        gibber.stdout(&["sessions", "import", again.to_str().unwrap()]);
        assert_eq!(gibber.stdout(&["sessions", "show", "1"]), expected);
    }

    #[test]
    fn what_is_no_chat_is_a_clear_error() {
        let gibber = Gibber::new();
        let error = failure(&gibber.run(&["sessions", "show", "7"]), 1);
        assert!(error.contains("there is no chat 7"), "{error}");
        let file = gibber.write("bad.json", "{}");
        let error = failure(&gibber.run(&["sessions", "import", file.to_str().unwrap()]), 1);
        assert!(error.contains("bad.json: it is neither a chat of gibber nor a list of messages"), "{error}");
        let good = gibber.write("good.json", CHAT);
        gibber.stdout(&["sessions", "import", good.to_str().unwrap()]);
        let error = failure(&gibber.run(&["sessions", "export", "1", "chat.pdf"]), 2);
        assert!(error.contains(".json, .md or .txt"), "{error}");
    }
}

mod usage {
    use super::*;

    #[test]
    fn wrong_usage_ends_with_2() {
        for arguments in [
            &["--no-such-flag"][..],
            &["frobnicate"],
            &["run", "--temp", "warm"],
            &["run", "--temp", "9", "hi"],
            &["run", "-n", "-3", "hi"],
            &["run", "-ctk", "q4_0", "hi"],
            &["chat"],
        ] {
            failure(&Gibber::new().run(arguments), 2);
        }
    }

    #[test]
    fn a_flag_before_the_command_is_not_silently_dropped() {
        let error = failure(&Gibber::new().run(&["-m", "x", "tokenize", "a"]), 2);
        assert!(error.contains("--model must stand behind the command"), "{error}");
    }

    #[test]
    fn help_names_every_command_and_the_flags_of_one_dash() {
        let help = Gibber::new().stdout(&["--help"]);
        for word in [
            "chat",
            "repl",
            "run",
            "score",
            "tokenize",
            "bench",
            "models",
            "config",
            "completions",
            "-sys",
            "-ctk",
            "130",
        ] {
            assert!(help.contains(word), "{word}");
        }
    }

    #[test]
    fn there_is_a_manual_page_for_each_command() {
        let gibber = Gibber::new();
        assert!(gibber.stdout(&["man"]).contains(".TH gibber 1"));
        let folder = gibber.path("man/man1");
        gibber.stdout(&["man", folder.to_str().unwrap()]);
        for (page, word) in [("gibber.1", "temp"), ("gibber-run.1", "system"), ("gibber-sessions-export.1", "export")] {
            assert!(fs::read_to_string(folder.join(page)).unwrap().contains(word), "{page}");
        }
        let file = gibber.write("file", "");
        let file = file.to_str().unwrap();
        let error = failure(&gibber.run(&["man", file]), 1);
        assert!(error.contains(file) && error.contains("cannot be written there"), "{error}");
    }

    #[test]
    fn completions_are_printed() {
        assert!(Gibber::new().stdout(&["completions", "bash"]).contains("--system-prompt"));
    }
}

mod repl {
    use super::*;

    #[test]
    fn lines_are_answered_and_saved() {
        let gibber = Gibber::new();
        let lines = b"/temperature 0\nWhat is the capital of France?\n/stats\n/quit\n";
        let output = stdout_of(gibber.run_with_stdin(&["repl"], lines));
        assert!(output.contains("\nThe capital of France is Paris.\n["), "{output}");
        let history = fs::read_to_string(gibber.path("history.jsonl")).unwrap();
        assert!(history.contains("\"What is the capital of France?\""), "{history}");
        let database = rusqlite::Connection::open(gibber.path("chats.db")).unwrap();
        let saved: String =
            database.query_row("SELECT content FROM messages WHERE role = 'assistant'", [], |row| row.get(0)).unwrap();
        assert_eq!(saved, "The capital of France is Paris.");
    }

    #[test]
    fn three_quotes_hold_a_message_of_several_lines() {
        let gibber = Gibber::new();
        gibber.write("config.toml", "[chat]\nmax_tokens = 1\n");
        stdout_of(gibber.run_with_stdin(&["repl"], b"\"\"\"\none\ntwo\n\"\"\"\n"));
        let database = rusqlite::Connection::open(gibber.path("chats.db")).unwrap();
        let asked: String =
            database.query_row("SELECT content FROM messages WHERE role = 'user'", [], |row| row.get(0)).unwrap();
        assert_eq!(asked, "one\ntwo");
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_that_cannot_be_made_does_not_stop_the_chat() {
        let gibber = Gibber::new();
        let directory = gibber.path("config");
        std::os::unix::fs::symlink(gibber.path("missing/target"), &directory).unwrap();
        let arguments = ["repl", "--temp", "0", "-n", "4", "--config-dir", directory.to_str().unwrap()];
        let output = gibber.run_with_stdin(&arguments, b"What is the capital of France?\nWhat else?\n");
        assert!(String::from_utf8_lossy(&output.stdout).contains("The capital of France"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("error: cannot make the directory"), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
    }

    #[test]
    fn a_damaged_database_does_not_stop_the_chat_and_is_left_alone() {
        let gibber = Gibber::new();
        let damaged = "no database ".repeat(1000);
        gibber.write("chats.db", &damaged);
        let output =
            gibber.run_with_stdin(&["repl", "--temp", "0", "-n", "4"], b"What is the capital of France?\nMore?\n");
        assert!(String::from_utf8_lossy(&output.stdout).contains("The capital of France"), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is damaged"), "{output:?}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(fs::read_to_string(gibber.path("chats.db")).unwrap(), damaged);
    }
}
