//! GGUF files that gibber writes, in llama.cpp: it reads them, and predicts what gibber predicts.
//!
//! `GIBBER_PYTHON` names a Python that has the package xllamacpp (`scripts/python.sh` makes one). Without it nothing is
//! shown, which is said; `.ci/run` sets `GIBBER_CI`, and there it is an error.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test fails by panicking, and says what it did not try")]

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gibber_engine::load::{LoadOptions, ModelSource, load};
use gibber_engine::{CacheType, CacheTypes, FileType, TokenId};
use serde_json::{Value, json};

/// The largest difference of a log-probability where both compute in single precision.
const TOLERANCE: f32 = 0.05;
/// The same for quantized weights: llama.cpp rounds activations to 8 bits.
const QUANTIZED_TOLERANCE: f32 = 0.5;
/// How many beginnings of the prompt of a reference are asked about.
const PROMPTS: usize = 5;

/// Fixtures that vary what GGUF has no key for: `gibber models convert` says so.
const NOT_WRITTEN: &[&str] = &[
    "variant-exaone4-window",
    "variant-experts",
    "variant-gemma3n",
    "variant-gpt-oss-listed",
    "variant-gpt2-gelu",
    "variant-gpt2-relu",
    "variant-lfm2-biased",
    "variant-lfm2-moe-scaled",
    "variant-olmoe-normalized",
    "variant-qwen2-moe-sparse",
    "variant-qwen2-window",
    "variant-qwen3-next-odd",
];

/// Fixtures that vary what llama.cpp leaves out or computes in another way than transformers, and gibber, do.
const OTHERWISE: &[(&str, &str)] = &[
    ("variant-gemma2", "it has no output projection of its own there"),
    ("variant-gemma3", "it reads no `attention.scale`"),
    ("variant-gpt-oss", "it rounds where YaRN begins and ends"),
    ("variant-mistral", "it knows no window there"),
    ("variant-mixtral", "it knows no window there"),
    ("variant-mixtral-fused", "it knows no window there"),
    ("variant-phi3-border", "it chooses the factors of longrope by the size of the context"),
    ("variant-phi3-short", "it chooses the factors of longrope by the size of the context"),
];

/// Fixtures whose weights are quantized.
const QUANTIZED: &[&str] = &["variant-gpt-oss-mxfp4"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// llama.cpp, which answers line by line.
struct LlamaCpp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LlamaCpp {
    /// Where there is a Python that has it.
    fn start() -> Option<Self> {
        let Some(python) = std::env::var("GIBBER_PYTHON").ok().filter(|path| !path.is_empty()) else {
            assert!(std::env::var_os("GIBBER_CI").is_none(), "GIBBER_PYTHON names no Python with xllamacpp");
            println!("GIBBER_PYTHON is not set: llama.cpp was not tried");
            return None;
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/llama_cpp.py");
        let command = &mut Command::new(python);
        let mut child = command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { child, input, output: BufReader::new(output) })
    }

    /// The likeliest tokens after each of `prompts`, with their log-probabilities; or why the file is refused.
    fn predict(&mut self, model: &Path, prompts: &[&[TokenId]]) -> Result<Vec<Vec<(TokenId, f32)>>, String> {
        writeln!(self.input, "{}", json!({ "model": model, "prompts": prompts })).unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).map_err(|_| "llama.cpp has ended".to_owned())?;
        match answer["refused"].as_str() {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(serde_json::from_value(answer["top"].clone()).unwrap()),
        }
    }
}

impl Drop for LlamaCpp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What gibber computes from `model`: of some of the beginnings of `ids` the length, and the log-probabilities of the next
/// token. Those after which a part of a character is the likeliest are left out, because llama.cpp says nothing of that.
fn expected(model: &Path, ids: &[TokenId]) -> Vec<(usize, Vec<f32>)> {
    let cache = CacheTypes::both(CacheType::F32);
    let options = LoadOptions { threads: Some(1), cache, ..LoadOptions::default() };
    let mut loaded = load(&ModelSource::Path(model.to_owned()), &options, &mut |_, _| {}).unwrap();
    let mut rows = Vec::new();
    let keep = &mut |i: usize, logits: &[f32]| {
        rows.push((i + 1, log_probabilities(logits)));
        ControlFlow::Continue(())
    };
    loaded.inference.logits_of_all(ids, keep).unwrap();
    rows.retain(|(_, row)| {
        let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let text = loaded.tokenizer.decode(&[best as TokenId]);
        !text.is_empty() && !text.contains('\u{fffd}')
    });
    rows.split_off(rows.len().saturating_sub(PROMPTS))
}

fn log_probabilities(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::MIN, f32::max);
    let sum: f32 = logits.iter().map(|logit| (logit - largest).exp()).sum();
    logits.iter().map(|logit| logit - largest - sum.ln()).collect()
}

/// The largest difference of a log-probability between llama.cpp on `file` and gibber on `model`.
fn difference(llama: &mut LlamaCpp, file: &Path, model: &Path, ids: &[TokenId]) -> Result<f32, String> {
    let expected = expected(model, ids);
    assert!(!expected.is_empty(), "{}", model.display());
    let prompts: Vec<&[TokenId]> = expected.iter().map(|(length, _)| &ids[..*length]).collect();
    let found = llama.predict(file, &prompts)?;
    assert_eq!(found.len(), prompts.len());
    let pairs = found.iter().zip(&expected).flat_map(|(top, (_, expected))| {
        assert!(!top.is_empty());
        top.iter().map(|&(id, found)| (found - expected[id as usize]).abs())
    });
    Ok(pairs.fold(0.0, f32::max))
}

/// The prompt of its reference, or of another one with the same tokenizer.
fn ids(name: &str) -> Vec<TokenId> {
    let read = |name: &str| std::fs::read_to_string(fixture(&format!("{name}.reference.json")));
    let json = read(name).or_else(|_| read("variant-qwen3")).unwrap();
    serde_json::from_value(serde_json::from_str::<Value>(&json).unwrap()["ids"].clone()).unwrap()
}

fn gibber(arguments: &[&str], file: &Path) -> std::process::Output {
    let folder = file.parent().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gibber"));
    command.arg("--config-dir").arg(folder.join("config")).args(arguments).arg(file).output().unwrap()
}

/// The checkpoints that are folders.
fn checkpoints() -> Vec<String> {
    let entries = std::fs::read_dir(fixture("")).unwrap().map(Result::unwrap);
    let folders = entries.filter(|entry| entry.path().join("config.json").is_file());
    let mut names: Vec<_> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_family_is_written_as_llama_cpp_reads_it() {
    let Some(mut llama) = LlamaCpp::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for name in checkpoints() {
        // By another name: llama.cpp expects certain tokens of what is called phi3.
        let (source, file) = (folder.path().join("model"), folder.path().join(format!("{name}.gguf")));
        let _ = std::fs::remove_file(&source);
        std::os::unix::fs::symlink(fixture(&name), &source).unwrap();
        let output = gibber(&["models", "convert", source.to_str().unwrap()], &file);
        let is_written = output.status.success();
        if is_written == NOT_WRITTEN.contains(&name.as_str()) {
            faults.push(format!("{name}: written: {is_written}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        if !is_written || OTHERWISE.iter().any(|(otherwise, _)| *otherwise == name) {
            continue;
        }
        let tolerance = if QUANTIZED.contains(&name.as_str()) { QUANTIZED_TOLERANCE } else { TOLERANCE };
        match difference(&mut llama, &file, &source, &ids(&name)) {
            Ok(worst) if worst <= tolerance => println!("{name}: {worst}"),
            Ok(worst) => faults.push(format!("{name}: log-probabilities differ by {worst}")),
            Err(reason) => faults.push(format!("{name}: refused: {reason}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_type_is_written_as_llama_cpp_reads_it() {
    let Some(mut llama) = LlamaCpp::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (source, ids) = (fixture("tiny-llama"), ids("tiny-llama"));
    let mut faults = Vec::new();
    for file_type in FileType::all() {
        let name = &file_type.flag();
        let file = folder.path().join(format!("{name}.gguf"));
        let output = gibber(&["models", "quantize", "--type", name, source.to_str().unwrap()], &file);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        match difference(&mut llama, &file, &file, &ids) {
            Ok(worst) if worst <= QUANTIZED_TOLERANCE => println!("{name}: {worst}"),
            Ok(worst) => faults.push(format!("{name}: log-probabilities differ by {worst}")),
            Err(reason) => faults.push(format!("{name}: refused: {reason}")),
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
