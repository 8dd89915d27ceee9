//! What a model is: `gibber models info`, also of one that is not here.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow};
use serde::Serialize;

use super::args::Model;
use super::models::{can_be_fetched, resolve};
use super::output::Output;
use super::{Context, recommended};
use crate::chat::one_line;
use crate::chat::template::is_template;
use crate::hub::bytes_text;
use gibber_engine::TokenId;
use gibber_engine::convert::format_name;
use gibber_engine::load::{self, LoadOptions, MemoryProbe, ModelFiles};
use gibber_engine::model::SequenceState;
use gibber_engine::sampling::{Recommended, SamplingValues};
use gibber_engine::tokenizer::Tokenizer;

pub(super) fn run(mut context: Context, name: Option<&str>, json: bool, model: &Model) -> Result<()> {
    model.apply(&mut context.settings);
    if model.hf_repo.is_some() {
        context.bring(model)?;
    }
    let name = name.unwrap_or(&context.settings.model.name).to_owned();
    match resolve(&name, &context.paths) {
        Ok(source) => {
            let files = load::open(&source)?;
            let (info, tokenizer) = looked_at(&files, &context);
            shown(&context, &info, tokenizer, json)
        }
        Err(not_here) => of_remote(&context, &name, json, not_here),
    }
}

/// What a model's files say. One of which something is missing runs no more than one without its tokenizer.
fn looked_at(files: &ModelFiles, context: &Context) -> (Info, Result<Tokenizer, String>) {
    let tokenizer = files.check(MemoryProbe::default()).and_then(|()| files.tokenizer());
    let info = Info::new(files, &context.load_options(), recommended::of_files(files, &context.paths));
    (info, tokenizer.map_err(|error| error.to_string()))
}

fn shown(context: &Context, info: &Info, tokenizer: Result<Tokenizer, String>, json: bool) -> Result<()> {
    if json {
        return Output::stdout().json(&info.clone().with_tokenizer(tokenizer));
    }
    print_info(info, tokenizer, context.verbose)
}

/// The same of a model that is not here: its header comes from the hub, and nothing else of it.
fn of_remote(context: &Context, name: &str, json: bool, not_here: anyhow::Error) -> Result<()> {
    let hub = context.hub()?;
    let Ok(reference) = hub.reference(name) else { return Err(not_here) };
    if !can_be_fetched(&hub, name, &reference) {
        return Err(not_here);
    }
    let remote = hub.header(&reference)?;
    let files = remote.header.files.as_ref().map_err(|why| anyhow!("{name} is not here, and cannot be run: {why}"))?;
    let (mut info, tokenizer) = looked_at(files, context);
    info.path = remote.place;
    info.here = false;
    info.fetch = Some(format!("gibber pull {name}"));
    info.fetch_bytes = Some(remote.bytes);
    shown(context, &info, tokenizer.map_err(|why| remote.header.readable(&why)), json)
}

/// What a model is, as `models info --json` says it; the names are those of `models list --json` where both say it.
#[derive(Debug, Clone, Serialize)]
struct Info {
    name: String,
    path: String,
    architecture: &'static str,
    parameters: u64,
    format: String,
    bytes: u64,
    layers: usize,
    width: usize,
    heads: usize,
    kv_heads: usize,
    vocabulary: usize,
    /// Tokens that it was trained for.
    context: usize,
    /// The format of keys and values, and what they take with the context that a chat would have.
    kv_type: String,
    kv_context: usize,
    kv_bytes: u64,
    /// What the state of its recurrent layers takes beside them, and the snapshots of it.
    recurrent_bytes: u64,
    /// What it takes of memory with that context: weights, keys and values, recurrent states, and what a pass is computed in.
    memory_bytes: u64,
    /// How many tensors it has, and how many of each format.
    tensors: usize,
    tensor_formats: BTreeMap<String, usize>,
    /// What the file says about itself, by its keys: texts, numbers, and of lists how long they are.
    metadata: BTreeMap<String, String>,
    has_chat_template: bool,
    /// The same for people.
    #[serde(skip)]
    template: &'static str,
    end_tokens: Vec<EndToken>,
    /// The sampling that is recommended for it, what is otherwise while it thinks, and where that stands.
    sampling: SamplingValues,
    sampling_thinking: SamplingValues,
    sampling_source: String,
    notes: Vec<String>,
    /// Whether it is on this machine; else what fetches it, and how many bytes that are.
    here: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fetch_bytes: Option<u64>,
    runnable: bool,
    /// Why it cannot be run.
    reason: Option<String>,
}

#[derive(Debug, Clone, Serialize)]
struct EndToken {
    id: TokenId,
    text: String,
}

impl Info {
    fn new(files: &ModelFiles, options: &LoadOptions, recommended: Recommended) -> Self {
        let config = &files.config;
        let need = options.need(config, files.held_bytes());
        let kv_context = options.context.unwrap_or(load::DEFAULT_CONTEXT).min(config.trained_context);
        let recurrent_bytes = SequenceState::recurrent_bytes_for(config, kv_context) as u64;
        Self {
            name: files.name.clone(),
            path: files.path.display().to_string(),
            architecture: config.family.name(),
            parameters: files.parameters(),
            format: format_name(files),
            bytes: files.weights.total_bytes(),
            layers: config.n_layer(),
            width: config.n_embd,
            heads: config.first_heads().map_or(0, |heads| heads.n_head),
            kv_heads: config.first_heads().map_or(0, |heads| heads.n_kv_head),
            vocabulary: config.vocab_size,
            context: config.trained_context,
            kv_type: options.cache.to_string(),
            kv_context,
            kv_bytes: need.cache.saturating_sub(recurrent_bytes),
            recurrent_bytes,
            memory_bytes: need.total(),
            tensors: files.weights.iter().count(),
            tensor_formats: formats(files),
            metadata: files.metadata().into_iter().collect(),
            has_chat_template: files.chat_template.as_deref().is_some_and(is_template),
            template: match files.chat_template.as_deref() {
                Some(source) if is_template(source) => "its own",
                Some(source) if !source.trim().is_empty() => {
                    "a text without a tag, which is none (a plain one is used)"
                }
                _ => "none (a plain one is used)",
            },
            end_tokens: Vec::new(),
            sampling: recommended.values,
            sampling_thinking: recommended.thinking,
            sampling_source: recommended.source,
            notes: files.unread.clone().into_iter().chain(recommended.notes).collect(),
            here: true,
            fetch: None,
            fetch_bytes: None,
            runnable: false,
            reason: None,
        }
    }

    /// The same for people, as far as it needs no tokenizer.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let a_token = self.kv_bytes / self.kv_context.max(1) as u64;
        let cache = self.kv_bytes as f64 / 1e6;
        let formats = self.tensor_formats.iter().map(|(format, count)| format!("{count} {format}"));
        let formats = formats.collect::<Vec<_>>().join(", ");
        let of_tokenizer = ["tokenizer.ggml.model", "tokenizer.ggml.pre"].map(|key| self.metadata.get(key));
        let of_tokenizer = of_tokenizer.into_iter().flatten().map(String::as_str).collect::<Vec<_>>();
        let mut rows = vec![
            ("name", self.name.clone()),
            ("file", self.path.clone()),
            ("architecture", self.architecture.into()),
            ("format", self.format.clone()),
            ("parameters", format!("{} ({:.1} million)", self.parameters, self.parameters as f64 / 1e6)),
            ("weights", format!("{} bytes", self.bytes)),
            ("tensors", format!("{} ({formats})", self.tensors)),
            ("layers", self.layers.to_string()),
            ("width", self.width.to_string()),
            ("heads", format!("{} ({} for keys and values)", self.heads, self.kv_heads)),
            ("vocabulary", self.vocabulary.to_string()),
            ("context", format!("{} tokens", self.context)),
            (
                "KV cache",
                format!("{a_token} bytes a token ({}), {cache:.1} MB at {} tokens", self.kv_type, self.kv_context),
            ),
            ("recurrent", format!("{:.1} MB of states and their snapshots", self.recurrent_bytes as f64 / 1e6)),
            ("memory", format!("{} at {} tokens", bytes_text(self.memory_bytes), self.kv_context)),
            ("chat template", self.template.into()),
        ];
        if self.recurrent_bytes == 0 {
            rows.retain(|(name, _)| *name != "recurrent");
        }
        if !of_tokenizer.is_empty() {
            rows.push(("tokenizer", of_tokenizer.join(", ")));
        }
        rows
    }

    fn with_tokenizer(mut self, tokenizer: Result<Tokenizer, String>) -> Self {
        match tokenizer {
            Ok(tokenizer) => {
                let end = |&id: &TokenId| EndToken { id, text: tokenizer.piece(id) };
                self.end_tokens = tokenizer.eos_tokens().iter().map(end).collect();
                self.notes.extend_from_slice(tokenizer.notes());
                self.runnable = true;
            }
            Err(error) => self.reason = Some(error),
        }
        self
    }
}

fn print_info(info: &Info, tokenizer: Result<Tokenizer, String>, verbose: bool) -> Result<()> {
    let mut output = Output::stdout();
    let of_tokenizer = match tokenizer {
        Ok(tokenizer) => tokenizer_rows(&tokenizer),
        Err(error) => vec![("cannot be run", error)],
    };
    let not_here = info.fetch.iter().map(|command| {
        let size = bytes_text(info.fetch_bytes.unwrap_or(info.bytes));
        ("not here", format!("its header was read and nothing fetched; `{command}` fetches it ({size})"))
    });
    let rows =
        info.rows().into_iter().chain(sampling_rows(info)).chain(of_tokenizer).chain(not_here).collect::<Vec<_>>();
    for (key, value) in &rows {
        output.line(&format!("{key:<14} {}", one_line(value)))?;
    }
    let metadata = info.metadata.iter().filter(|_| verbose);
    metadata.into_iter().try_for_each(|(key, value)| output.line(&format!("{} = {}", one_line(key), one_line(value))))
}

/// The sampling that is recommended, and what of that cannot be taken.
fn sampling_rows(info: &Info) -> Vec<(&'static str, String)> {
    let sampling = match info.sampling.is_empty() {
        true => "nothing is recommended".to_owned(),
        false => format!("{} ({})", info.sampling, info.sampling_source),
    };
    let thinking =
        (!info.sampling_thinking.is_empty()).then(|| ("while it thinks", info.sampling_thinking.to_string()));
    let notes = info.notes.iter().map(|note| ("note", note.clone()));
    std::iter::once(("sampling", sampling)).chain(thinking).chain(notes).collect()
}

/// What ends a reply, and what is odd about the tokenizer.
fn tokenizer_rows(tokenizer: &Tokenizer) -> Vec<(&'static str, String)> {
    let end = |&id: &TokenId| format!("{} ({id})", tokenizer.piece(id));
    let ends: Vec<String> = tokenizer.eos_tokens().iter().map(end).collect();
    let ends = if ends.is_empty() { "none: a reply ends at its length".to_owned() } else { ends.join(", ") };
    let notes = tokenizer.notes().iter().map(|note| ("note", note.clone()));
    std::iter::once(("end tokens", ends)).chain(notes).collect()
}

/// How many tensors there are of each format.
fn formats(files: &ModelFiles) -> BTreeMap<String, usize> {
    let mut formats = BTreeMap::new();
    files.weights.iter().for_each(|tensor| *formats.entry(tensor.dtype().to_string()).or_default() += 1);
    formats
}
