//! `gibber bench`: how fast a model runs here, beside what the machine's memory and its BLAS could do in the same run.

mod founding;
mod yardstick;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use gibber_signals::ending;
use serde::Serialize;

use super::args::Bench;
use super::interrupt::Interrupt;
use super::output::{Output, rounded};
use super::{Context, models};
use crate::chat::one_line;
use gibber_engine::inference::Inference;
use gibber_engine::load::{self, ModelInfo, ModelSource};
use gibber_engine::{TokenId, synthetic};
use yardstick::{BlasYardstick, StreamingRead};

/// Tokens computed before anything is measured, so that pages are mapped and threads awake.
const WARM_UP: usize = 8;

pub(super) fn run(mut context: Context, arguments: &Bench) -> Result<()> {
    arguments.model.apply(&mut context.settings);
    let source = match &arguments.synthetic {
        Some(shape) => ModelSource::Synthetic(shape.clone()),
        None if arguments.founding && !arguments.model.is_named() => ModelSource::Synthetic(founding::SHAPE.into()),
        None => {
            context.bring(&arguments.model)?;
            models::resolve(&context.settings.model.name, &context.paths)?
        }
    };
    if let Some(warning) = super::thread_warning(&context.settings) {
        tell!("warning: {warning}");
    }
    let mut options = context.load_options();
    if !arguments.founding {
        options.context.get_or_insert(arguments.n_prompt.max(arguments.n_depth.max(1) + arguments.n_gen));
    }
    // Ctrl-C ends the program with the exit code that it has everywhere.
    let _interrupt = Interrupt::install(ending::PATIENCE)?;
    let loaded = load::load(&source, &options, &mut |_, _| {})?;
    models::say_news(&loaded.info, context.verbose);
    if arguments.founding {
        return print(&founding::measure(loaded.inference, &loaded.tokenizer, &loaded.info)?, arguments.json);
    }
    let all_layers = arguments.synthetic.as_deref().map(synthetic::layers).transpose()?;
    let report = measure(loaded.inference, &loaded.info, arguments)?;
    print(&Report { layers_of_shape: all_layers.unwrap_or(report.layers), ..report }, arguments.json)
}

fn print(report: &(impl Serialize + std::fmt::Display), json: bool) -> Result<()> {
    let mut output = Output::stdout();
    if json { output.json(report) } else { output.text(&report.to_string()) }
}

/// The repetitions of everything, in turn: what slows this machine down meanwhile slows all of it down.
fn measure(mut inference: Inference, info: &ModelInfo, arguments: &Bench) -> Result<Report> {
    let Bench { n_prompt, n_gen, n_depth, repetitions, .. } = *arguments;
    let vocabulary = u32::try_from(info.vocabulary)?;
    let tokens = |count: usize| (0..count as u32).map(|i| i.wrapping_mul(2_654_435_761) % vocabulary).collect();
    let (prompt, depth): (Vec<TokenId>, Vec<TokenId>) = (tokens(n_prompt), tokens(n_depth.max(1)));
    time_prefill(&mut inference, &prompt[..n_prompt.min(WARM_UP)])?;
    time_decode(&mut inference, &depth[..1], n_gen.min(WARM_UP))?;
    let mut memory = StreamingRead::new();
    let mut blas: Option<BlasYardstick> = None;
    let (mut prefills, mut decodes, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sgemvs, mut sgemms) = (Vec::new(), Vec::new());
    let mut rss_mb = None;
    let mut kv_used_bytes = 0;
    for _ in 0..repetitions {
        let prefill = time_prefill(&mut inference, &prompt)?;
        let decode = time_decode(&mut inference, &depth, n_gen)?;
        kv_used_bytes = inference.cache().bytes(inference.cache().len());
        // Before the yardsticks take memory of their own.
        rss_mb = rss_mb.or_else(resident_megabytes);
        prefills.push(prefill.as_secs_f64());
        decodes.push(decode.as_secs_f64());
        reads.push(memory.gigabytes_per_second(inference.pool()));
        if info.format == "F32" {
            let blas = blas.get_or_insert_with(|| BlasYardstick::new(inference.model().config(), n_prompt));
            sgemvs.push(blas.token(inference.pool()).as_secs_f64());
            sgemms.push(blas.prompt(inference.pool()).as_secs_f64());
        }
    }
    let bytes_per_token = inference.model().bytes_per_token();
    let decode_tok_s = n_gen as f64 / median(&mut decodes);
    let prefill_seconds = median(&mut prefills);
    let rate =
        |tokens: usize, mut times: Vec<f64>| (!times.is_empty()).then(|| rounded(tokens as f64 / median(&mut times)));
    Ok(Report {
        model: info.name.clone(),
        format: info.format.clone(),
        threads: info.threads,
        layers: inference.model().config().n_layer(),
        layers_of_shape: inference.model().config().n_layer(),
        n_prompt,
        n_gen,
        n_depth,
        repetitions,
        prefill_tok_s: rounded(n_prompt as f64 / prefill_seconds),
        decode_tok_s: rounded(decode_tok_s),
        bytes_per_token,
        kv_type: inference.cache().types().to_string(),
        kv_used_bytes,
        kv_full_bytes: inference.cache().bytes(inference.context()),
        read_gb_s: rounded(decode_tok_s * bytes_per_token as f64 / 1e9),
        peak_read_gb_s: rounded(reads.into_iter().fold(0.0, f64::max)),
        load_ms: rounded(info.load_time.as_secs_f64() * 1e3),
        ttft_ms: rounded(prefill_seconds * 1e3),
        rss_mb,
        blas_sgemv_tok_s: rate(1, sgemvs),
        blas_sgemm_tok_s: rate(n_prompt, sgemms),
    })
}

/// The time of a prompt from an empty cache up to the choice of the first token.
fn time_prefill(inference: &mut Inference, prompt: &[TokenId]) -> Result<Duration> {
    let start = Instant::now();
    prefill(inference, prompt)?;
    Ok(start.elapsed())
}

/// Computes the prompt from an empty cache, and returns what comes next.
fn prefill(inference: &mut Inference, prompt: &[TokenId]) -> Result<TokenId> {
    inference.truncate(0);
    inference.prefill(prompt, &mut |_| ControlFlow::Continue(()))?;
    most_probable(inference)
}

/// The time of `n_gen` tokens after `depth`, which is computed before the clock starts.
fn time_decode(inference: &mut Inference, depth: &[TokenId], n_gen: usize) -> Result<Duration> {
    let mut token = prefill(inference, depth)?;
    let start = Instant::now();
    for _ in 0..n_gen {
        inference.push(token)?;
        token = most_probable(inference)?;
    }
    Ok(start.elapsed())
}

fn most_probable(inference: &Inference) -> Result<TokenId> {
    let logits = inference.logits().ok_or_else(|| anyhow!("the model gave no logits"))?;
    let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(token, _)| token);
    Ok(TokenId::try_from(best)?)
}

/// Of an even number of values the mean of the two in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Memory that this process has in RAM, where the system says (Linux, `proc(5)`).
fn resident_megabytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(rounded(kibibytes * 1024.0 / 1e6))
}

/// What was measured: medians over the repetitions, but for `peak_read_gb_s`, which is the best.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    format: String,
    threads: usize,
    /// Layers that were measured.
    layers: usize,
    /// Layers of the model: of a shape that does not fit into memory twice, only as many are measured as do.
    layers_of_shape: usize,
    n_prompt: usize,
    n_gen: usize,
    n_depth: usize,
    repetitions: usize,
    prefill_tok_s: f64,
    decode_tok_s: f64,
    bytes_per_token: usize,
    /// Format of the KV cache.
    kv_type: String,
    /// What the KV cache takes after the tokens were generated.
    kv_used_bytes: usize,
    /// What it takes where the context is full.
    kv_full_bytes: usize,
    read_gb_s: f64,
    peak_read_gb_s: f64,
    load_ms: f64,
    ttft_ms: f64,
    rss_mb: Option<f64>,
    blas_sgemv_tok_s: Option<f64>,
    blas_sgemm_tok_s: Option<f64>,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let percent = |part: f64, whole: f64| format!("{:.0} %", 100.0 * part / whole);
        writeln!(f, "{} · {} · {} threads", one_line(&self.model), self.format, self.threads)?;
        if self.layers < self.layers_of_shape {
            let (layers, all) = (self.layers, self.layers_of_shape);
            writeln!(f, "layers   {layers} of {all}: the weights of all do not fit into this machine's memory twice")?;
        }
        let (prompt, generated) = (self.n_prompt, self.n_gen);
        let depth = if self.n_depth > 0 { format!(" after {}", self.n_depth) } else { String::new() };
        writeln!(f, "prefill  {prompt:>5} tokens  {:>9.1} tok/s", self.prefill_tok_s)?;
        writeln!(f, "decode   {generated:>5} tokens  {:>9.1} tok/s{depth}", self.decode_tok_s)?;
        let share = percent(self.read_gb_s, self.peak_read_gb_s);
        let (read, peak, megabytes) = (self.read_gb_s, self.peak_read_gb_s, self.bytes_per_token as f64 / 1e6);
        writeln!(
            f,
            "memory   {megabytes:.1} MB a token: {read:.1} GB/s of the {peak:.1} GB/s that this machine reads ({share})"
        )?;
        let (used, full) = (self.kv_used_bytes as f64 / 1e6, self.kv_full_bytes as f64 / 1e6);
        writeln!(f, "KV cache {used:.1} MB in {}, {full:.1} MB where the context is full", self.kv_type)?;
        if let (Some(sgemv), Some(sgemm)) = (self.blas_sgemv_tok_s, self.blas_sgemm_tok_s) {
            let (decode, prefill) = (percent(self.decode_tok_s, sgemv), percent(self.prefill_tok_s, sgemm));
            writeln!(
                f,
                "BLAS     sgemv alone {sgemv:.1} tok/s (decode reaches {decode}), sgemm alone {sgemm:.1} tok/s (prefill reaches {prefill})"
            )?;
        }
        let resident = self.rss_mb.map_or(String::new(), |rss| format!(" · {rss:.0} MB resident"));
        writeln!(f, "start    loaded in {:.0} ms · first token after {:.0} ms{resident}", self.load_ms, self.ttft_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_value_in_the_middle() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0]), 2.5);
    }

    #[test]
    fn a_synthetic_model_is_measured_with_its_yardsticks() {
        let options = load::LoadOptions { threads: Some(2), context: Some(40), batch: 16, ..Default::default() };
        let loaded = load::load(&ModelSource::Synthetic("tiny".into()), &options, &mut |_, _| {}).unwrap();
        let arguments = Bench {
            n_prompt: 20,
            n_gen: 4,
            n_depth: 3,
            repetitions: 2,
            founding: false,
            synthetic: None,
            json: true,
            model: super::super::args::Model::default(),
        };
        let report = measure(loaded.inference, &loaded.info, &arguments).unwrap();
        assert!(report.prefill_tok_s > 0.0 && report.decode_tok_s > 0.0 && report.peak_read_gb_s > 0.0);
        assert!(report.blas_sgemv_tok_s.is_some() && report.blas_sgemm_tok_s.is_some(), "the model is F32");
        assert!(report.to_string().contains("sgemv"));
        assert!(!report.to_string().contains("layers"), "all of them were measured");
        let fewer = Report { layers_of_shape: 48, ..report };
        assert!(fewer.to_string().contains("layers   2 of 48: "), "{fewer}");
    }
}
