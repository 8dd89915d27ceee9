//! The measurement that this program was founded on, made again: four short prompts, about thirty new tokens each, on
//! GPT-2 small.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use super::{most_probable, prefill};
use crate::chat::one_line;
use crate::cli::output::rounded;
use gibber_engine::inference::Inference;
use gibber_engine::load::ModelInfo;
use gibber_engine::tokenizer::Tokenizer;

/// The model where none is named.
pub(super) const SHAPE: &str = "gpt2";

const PROMPTS: [&str; 4] = [
    "The history of the steam engine begins",
    "In a small village by the sea, there lived",
    "The most important thing about a good map is",
    "When the first snow of the year had fallen,",
];

/// New tokens of each prompt.
const NEW_TOKENS: usize = 30;

/// Tokens a second that were reached at the founding: 120 tokens in 92 s of wall time, 424 s of user time.
const FOUNDING_TOK_S: f64 = 1.3;

/// What was measured. The times are those of the prompts and their continuations, without loading.
#[derive(Debug, Serialize)]
pub(super) struct Founding {
    model: String,
    format: String,
    threads: usize,
    prompts: usize,
    tokens: usize,
    wall_s: f64,
    /// Processor time that the program itself used, on all threads; `None` where the system does not say.
    user_s: Option<f64>,
    tok_s: f64,
    founding_tok_s: f64,
    ratio: f64,
    load_ms: f64,
}

/// Continues each prompt from an empty cache, always with the most probable token, whatever it says.
pub(super) fn measure(mut inference: Inference, tokenizer: &Tokenizer, info: &ModelInfo) -> Result<Founding> {
    let (start, user_at_start) = (Instant::now(), user_seconds());
    for prompt in PROMPTS {
        let mut token = prefill(&mut inference, &tokenizer.encode(prompt, true)?)?;
        for _ in 1..NEW_TOKENS {
            inference.push(token)?;
            token = most_probable(&inference)?;
        }
    }
    let wall_s = start.elapsed().as_secs_f64();
    let user_s = user_at_start.zip(user_seconds()).map(|(start, end)| rounded(end - start));
    let tokens = PROMPTS.len() * NEW_TOKENS;
    let tok_s = tokens as f64 / wall_s;
    Ok(Founding {
        model: info.name.clone(),
        format: info.format.clone(),
        threads: info.threads,
        prompts: PROMPTS.len(),
        tokens,
        wall_s: rounded(wall_s),
        user_s,
        tok_s: rounded(tok_s),
        founding_tok_s: FOUNDING_TOK_S,
        ratio: rounded(tok_s / FOUNDING_TOK_S),
        load_ms: rounded(info.load_time.as_secs_f64() * 1e3),
    })
}

/// User time of this process so far, where the system says (Linux, `proc(5)`).
#[cfg(target_os = "linux")]
fn user_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses; the fields behind it begin with the third.
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks: f64 = fields.split_ascii_whitespace().nth(14 - 3)?.parse().ok()?;
    Some(ticks / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(not(target_os = "linux"))]
fn user_seconds() -> Option<f64> {
    None
}

impl std::fmt::Display for Founding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} · {} · {} threads", one_line(&self.model), self.format, self.threads)?;
        writeln!(f, "tokens   {:>9} after {} prompts", self.tokens, self.prompts)?;
        writeln!(f, "wall     {:>9.2} s", self.wall_s)?;
        if let Some(user_s) = self.user_s {
            writeln!(f, "user     {user_s:>9.2} s")?;
        }
        let (tok_s, founding, ratio) = (self.tok_s, self.founding_tok_s, self.ratio);
        writeln!(f, "rate     {tok_s:>9.1} tok/s: {ratio:.1} times the {founding} tok/s of the founding")?;
        writeln!(f, "start    loaded in {:.0} ms, which is not counted above", self.load_ms)
    }
}
