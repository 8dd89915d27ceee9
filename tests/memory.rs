//! What large models do to the memory: the real binary, with files of zeros that take no room on the disk.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use gibber_engine::weights::gguf::{Header, padding};
use gibber_engine::weights::{DType, Storage};
use tempfile::TempDir;

const WIDTH: usize = 2048;
/// Bytes of tokens `<0x00>` to `<0xFF>`, the three that come before them, and one word.
const VOCABULARY: usize = 260;

/// A llama in Q4_0, in the shape of one with 7 billion parameters but smaller: zeros, for which the disk keeps nothing.
struct Zeros {
    folder: TempDir,
    file: PathBuf,
    bytes: u64,
}

impl Zeros {
    fn new(layers: usize, inner: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("models/zeros.gguf");
        fs::create_dir(folder.path().join("models")).unwrap();
        let mut header = header(layers, inner);
        let mut bytes = 0;
        for (name, shape) in tensors(layers, inner) {
            let dtype = if shape.len() == 1 { DType::F32 } else { DType::Q4_0 };
            header.tensor(&name, &shape, dtype).unwrap();
            let length = dtype.bytes_of(&shape).unwrap();
            bytes += (length + padding(length).len()) as u64;
        }
        let mut out = File::create(&file).unwrap();
        header.write_to(&mut out).unwrap();
        out.flush().unwrap();
        out.set_len(out.metadata().unwrap().len() + bytes).unwrap();
        Self { folder, file, bytes }
    }

    /// Runs the binary; returns how it ended, what it printed and the most memory it held, in bytes.
    fn run(&self, arguments: &[&str]) -> (ExitStatus, String, u64) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_gibber"))
            .args(arguments)
            .env("HOME", self.folder.path())
            .env("GIBBER_CONFIG_DIR", self.folder.path())
            .env_remove("GIBBER_MODEL")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0;
        let ended = loop {
            peak = most(&status).unwrap_or(peak);
            if let Some(ended) = child.try_wait().unwrap() {
                break ended;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let mut printed = String::new();
        child.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        child.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
        (ended, printed, peak)
    }
}

/// `VmHWM`: the most that was resident so far.
fn most(status: &Path) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

fn header(layers: usize, inner: usize) -> Header {
    let mut header = Header::new();
    header.string("general.architecture", "llama");
    for (key, number) in [
        ("block_count", layers),
        ("context_length", 2048),
        ("embedding_length", WIDTH),
        ("feed_forward_length", inner),
        ("attention.head_count", WIDTH / 64),
        ("attention.head_count_kv", WIDTH / 64),
    ] {
        header.u32(&format!("llama.{key}"), number as u32);
    }
    header.f32("llama.attention.layer_norm_rms_epsilon", 1e-5);
    let mut tokens = ["<unk>", "<s>", "</s>"].map(str::to_owned).to_vec();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.push("▁a".into());
    assert_eq!(tokens.len(), VOCABULARY);
    header.string("tokenizer.ggml.model", "llama");
    header.strings("tokenizer.ggml.tokens", &tokens);
    header.f32s("tokenizer.ggml.scores", &[0.0; VOCABULARY]);
    let mut kinds = vec![6; VOCABULARY];
    kinds[..3].copy_from_slice(&[2, 3, 3]);
    kinds[VOCABULARY - 1] = 1;
    header.i32s("tokenizer.ggml.token_type", &kinds);
    header.u32("tokenizer.ggml.bos_token_id", 1);
    header.u32("tokenizer.ggml.eos_token_id", 2);
    header
}

fn tensors(layers: usize, inner: usize) -> Vec<(String, Vec<usize>)> {
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![VOCABULARY, WIDTH]),
        ("output_norm.weight".to_owned(), vec![WIDTH]),
        ("output.weight".to_owned(), vec![VOCABULARY, WIDTH]),
    ];
    for layer in 0..layers {
        let mut add =
            |name: &str, shape: &[usize]| tensors.push((format!("blk.{layer}.{name}.weight"), shape.to_vec()));
        for name in ["attn_norm", "ffn_norm"] {
            add(name, &[WIDTH]);
        }
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            add(name, &[WIDTH, WIDTH]);
        }
        for name in ["ffn_gate", "ffn_up"] {
            add(name, &[inner, WIDTH]);
        }
        add("ffn_down", &[WIDTH, inner]);
    }
    tensors
}

/// What the program takes without any model.
const PROGRAM: u64 = 100 << 20;

#[test]
fn a_model_takes_the_memory_of_one_copy() {
    let zeros = Zeros::new(14, 5632);
    assert!(zeros.bytes > 3 * PROGRAM, "{}", zeros.bytes);
    let (ended, printed, peak) = zeros.run(&["run", "-m", "zeros", "--raw", "-n", "1", "-c", "128", "-t", "2", "a"]);
    assert!(ended.success(), "{printed}");
    assert!(peak > zeros.bytes, "the peak was missed: {peak} of {}", zeros.bytes);
    assert!(peak < zeros.bytes + PROGRAM, "{peak} bytes for {} of weights", zeros.bytes);
}

#[test]
fn what_a_model_is_can_be_told_without_reading_it() {
    let zeros = Zeros::new(14, 5632);
    for arguments in [&["models", "list"][..], &["models", "info", "zeros"]] {
        let (ended, printed, peak) = zeros.run(arguments);
        assert!(ended.success() && printed.contains("Q4_0") && !printed.contains("cannot be run"), "{printed}");
        assert!(peak < PROGRAM, "{arguments:?} took {peak} bytes");
    }
}

#[test]
fn a_model_larger_than_the_memory_is_refused_before_anything_is_read() {
    let zeros = Zeros::new(64, 1 << 24);
    assert!(zeros.bytes > 3 << 40, "{}", zeros.bytes);
    let (ended, printed, peak) = zeros.run(&["run", "-m", "zeros", "a"]);
    assert_eq!(ended.code(), Some(1), "{printed}");
    let taken =
        format!("its weights take {:.1} GB, and ", Storage::open(&zeros.file).unwrap().bytes().len() as f64 / 1e9);
    assert!(printed.contains(&taken) && printed.contains(" of memory are free"), "{printed}");
    assert!(peak < PROGRAM, "{peak}");
    let (ended, printed, _) = zeros.run(&["models", "list"]);
    assert!(ended.success() && printed.contains("cannot be run: ") && printed.contains(&taken), "{printed}");
}
