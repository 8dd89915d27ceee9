//! The ways to multiply that this project began with, side by side on the matrices of GPT-2 small: its four weight shapes
//! and its vocabulary projection, one token at a time and 512 at once.
//!
//! `cargo bench --bench matmul` prints the two tables of the README; with `-- --quick` in half a minute, with fewer
//! repetitions and 64 tokens. As one of the tests (without `--bench`) it only checks, on small shapes, that all approaches
//! compute the same numbers; that is checked on the real ones before each measurement, too.
//!
//! The approaches take turns, round after round, and the medians are shown: on a machine that is shared, what slows one
//! down then slows the others too. At one token the weights change from product to product, so that they come from
//! memory, as they do in a model. What a library fixes once a process, its number of threads, is measured in a process of
//! its own; so is faer, which takes longer to compile than the rest of the program and is a package by itself
//! (`benches/faer`), built when it is needed.

#![allow(unsafe_code, reason = "two libraries take pointers")]
#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to say")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it finds is printed")]
#![allow(missing_docs, unreachable_pub, reason = "nobody imports a benchmark")]

mod approaches;
mod case;
mod measure;
mod own;
mod runner;
mod table;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use case::Case;
use gibber_engine::kernels::ThreadPool;
use gibber_engine::kernels::pool::default_threads;
use measure::Local;
use runner::{Remote, Runner};
use table::TimingRow;

/// `[inputs, outputs]`: queries, keys and values; the attention's output; the two halves of the feed-forward part; the
/// vocabulary.
const SHAPES: [[usize; 2]; 5] = [[768, 2304], [768, 768], [768, 3072], [3072, 768], [768, VOCABULARY]];
const VOCABULARY: usize = 50_257;
/// More would take minutes, and be no faster a token.
const MOST_TOKENS_OF_VOCABULARY: usize = 128;
/// Small enough for a test. Rows are whole blocks of the quantized formats; outputs are not a multiple of anything.
const TEST_SHAPES: [[usize; 2]; 2] = [[96, 101], [64, 33]];

/// Weights of a case at one token, in single precision: more than any cache holds, and one vocabulary projection.
const BYTES_OF_COPIES: usize = 160_000_000;

/// In this order.
const NAMES: [&str; 8] =
    ["plain loop", "rayon", "matrixmultiply", "faer", "BLAS sgemm", "BLAS sgemv", "BLAS dgemm", "gibber"];

/// This program, when it is asked to serve one approach to another one of itself.
const SERVE: &str = "--serve";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let result = match arguments.iter().position(|argument| argument == SERVE) {
        Some(at) => serve(arguments.get(at + 1).map_or("", String::as_str)),
        None if has("--list") => Ok(()),
        None if !has("--bench") || has("--test") => check(),
        None => compare(has("--quick")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(what: &str) -> Result<(), String> {
    let approach = match what {
        "matrixmultiply" => approaches::matrixmultiply(1),
        "blas" => approaches::blas_with_its_own_threads(default_threads()),
        _ => return Err(format!("`{what}` cannot be served")),
    };
    measure::serve(vec![approach]).map_err(|error| error.to_string())
}

/// All approaches but faer.
fn runners() -> Result<Vec<Box<dyn Runner>>, String> {
    let pool = Arc::new(ThreadPool::new(default_threads()));
    let mut here = approaches::here(&pool);
    here.extend(own::approaches(&pool));
    let program = env::current_exe().map_err(|error| error.to_string())?;
    let threads = default_threads().to_string();
    let mut matrixmultiply = Command::new(&program);
    matrixmultiply.args([SERVE, "matrixmultiply"]).env("MATMUL_NUM_THREADS", "1");
    let mut blas = Command::new(&program);
    blas.args([SERVE, "blas"]).envs(["OPENBLAS_NUM_THREADS", "BLIS_NUM_THREADS"].map(|name| (name, &threads)));
    let [matrixmultiply, blas] = [Remote::new(&mut matrixmultiply)?, Remote::new(&mut blas)?];
    Ok(vec![Box::new(Local::new(here)), Box::new(matrixmultiply), Box::new(blas)])
}

/// Builds `benches/faer`, and starts it.
fn faer() -> Result<Remote, String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = root.join("target/faer");
    let mut build = Command::new(&cargo);
    build.args(["build", "--release", "--locked", "--manifest-path"]).arg(root.join("benches/faer/Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    eprintln!("building benches/faer (the first time takes minutes) ...");
    let built = build.stdout(Stdio::null()).status().map_err(|error| format!("{}: {error}", cargo.display()))?;
    if !built.success() {
        return Err("benches/faer could not be built".into());
    }
    Remote::new(&mut Command::new(target.join("release/matmul-faer")))
}

/// That all approaches compute the same numbers.
fn check() -> Result<(), String> {
    for mut runner in runners()? {
        for [inputs, outputs] in TEST_SHAPES {
            for tokens in [1, 2, 37] {
                runner.start(Case { inputs, outputs, tokens, copies: 2 })?;
            }
        }
    }
    println!("matmul: all approaches compute the same numbers");
    Ok(())
}

fn compare(quick: bool) -> Result<(), String> {
    let mut runners = runners()?;
    match faer() {
        Ok(faer) => runners.push(Box::new(faer)),
        Err(error) => eprintln!("faer is left out: {error}"),
    }
    println!("{} · {} threads\n", processor(), default_threads());
    for tokens in [1, if quick { 64 } else { 512 }] {
        println!("{}", compare_at(tokens, quick, &mut runners)?);
    }
    Ok(())
}

fn compare_at(tokens: usize, quick: bool, runners: &mut [Box<dyn Runner>]) -> Result<String, String> {
    let cases = SHAPES.map(|[inputs, outputs]| {
        let tokens = if outputs == VOCABULARY { tokens.min(MOST_TOKENS_OF_VOCABULARY) } else { tokens };
        let copies = if tokens == 1 { (BYTES_OF_COPIES / (4 * inputs * outputs)).max(1) } else { 1 };
        Case { inputs, outputs, tokens, copies }
    });
    let mut rows: Vec<TimingRow> = Vec::new();
    for case in cases {
        // What takes seconds varies little.
        let rounds = if quick {
            2
        } else if table::operations(&case) > 1e10 {
            3
        } else {
            7
        };
        eprintln!("{} x {}, {tokens} tokens, {rounds} rounds", case.inputs, case.outputs);
        rows_of(case, rounds, runners, &mut rows)?;
    }
    let place = |row: &TimingRow| NAMES.iter().position(|name| row.approach.name.starts_with(name));
    rows.sort_by_key(|row| (place(row), row.approach.name.clone(), row.approach.threads));
    rows.retain(|row| row.times.iter().any(Option::is_some));
    Ok(table::markdown(&cases, &rows))
}

/// Adds the times of a case to the row of each approach.
fn rows_of(
    case: Case,
    rounds: usize,
    runners: &mut [Box<dyn Runner>],
    rows: &mut Vec<TimingRow>,
) -> Result<(), String> {
    for runner in runners.iter_mut() {
        runner.start(case)?;
    }
    let mut times: Vec<Vec<Duration>> = Vec::new();
    for _ in 0..rounds {
        let mut at = 0;
        for runner in runners.iter_mut() {
            for (index, approach) in runner.approaches().into_iter().enumerate() {
                if times.len() == at {
                    times.push(Vec::new());
                }
                if rows.len() == at {
                    rows.push(TimingRow { approach: approach.clone(), times: Vec::new() });
                }
                if !approach.one_token || case.tokens == 1 {
                    times[at].push(runner.time(index)? / case.copies as u32);
                    thread::sleep(runner.settle());
                }
                at += 1;
            }
        }
    }
    for (row, mut times) in rows.iter_mut().zip(times) {
        times.sort_unstable();
        row.times.push(times.get(times.len() / 2).copied());
    }
    Ok(())
}

/// What the system calls the processor.
fn processor() -> String {
    let cpu_info = std::fs::read_to_string("/proc/cpuinfo").ok();
    let line = cpu_info.as_deref().and_then(|cpu_info| cpu_info.lines().find(|line| line.starts_with("model name")));
    line.and_then(|line| line.split_once(':')).map_or(env::consts::ARCH, |(_, name)| name.trim()).to_owned()
}
