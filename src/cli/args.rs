//! The flags, spelled as llama.cpp spells them.

mod llama;
mod numbers;
mod sampling;

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueHint};

use super::text::Kept;
use crate::chat::template::RAW_NAME;
use crate::settings::layers::Given;
use crate::settings::{Settings, Think};
use gibber_engine::{CacheType, FileType, PromptLookup};
pub(super) use llama::{Translated, one_dash_names};
use sampling::Sampling;

/// The help's last lines.
const AFTER_HELP: &str = "\
-sys, -hf, -hff, -ctk and -ctv may be written with one dash, as llama.cpp writes them. Its other flags, short or long, are taken and do
nothing, such as -ngl on a CPU, or are refused by name. The last of a repeated flag counts.

Environment: GIBBER_MODEL and GIBBER_THREADS stand for -m and -t, GIBBER_CONFIG_DIR for --config-dir; GIBBER_MODELS names the folder for models; NO_COLOR turns colours off.
HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and HF_HUB_OFFLINE mean what they mean to Hugging Face's own programs.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "gibber", version, about, after_help = AFTER_HELP, args_override_self = true)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    pub(super) chat: Chat,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// Directory of config.toml, the chats and the prompt history
    #[arg(long, value_name = "DIR", global = true, value_hint = ValueHint::DirPath)]
    pub(super) config_dir: Option<PathBuf>,
    /// No colours
    #[arg(long, global = true)]
    pub(super) no_color: bool,
    /// Draw the full screen in ASCII: no box drawing, blocks or arrows
    #[arg(long, global = true)]
    pub(super) ascii: bool,
    /// Say more on stderr: statistics, what is loaded
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// Ask no other machine for anything: what is not here is an error
    #[arg(long, global = true)]
    pub(super) offline: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Chat in the full screen (the default)
    Chat(Chat),
    /// Chat line by line: for a screen reader, a serial line, a log
    Repl(Chat),
    /// One reply on stdout; what comes on stdin is appended to the prompt
    Run(Run),
    /// Log-probability and rank of each token of a text, and its perplexity
    Score(Score),
    /// The ids and pieces of a text
    Tokenize(Tokenize),
    /// Measure prefill and decode speed, memory, and the share of the memory bandwidth that is reached
    Bench(Bench),
    /// Fetch a model, or go on with one that was cut off: `gibber pull qwen3:0.6b`
    Pull(Pull),
    /// The models that can be named
    #[command(subcommand)]
    Models(Models),
    /// The saved chats
    #[command(subcommand)]
    Sessions(Sessions),
    /// Compute a reply of a saved chat again from what is stored of it, and say whether it is the same
    Replay(Replay),
    /// The settings file
    #[command(subcommand)]
    Config(Config),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write a page for each command into a folder
    Man {
        /// Folder for the pages (made where it is missing); without it the program's own page is printed
        #[arg(value_name = "FOLDER", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
    },
}

/// Which model, and how it runs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Model")]
pub(super) struct Model {
    /// Name (see `gibber models list`) or path: a GGUF file, or a Hugging Face folder
    #[arg(short, long, value_name = "NAME-OR-PATH", value_hint = ValueHint::AnyPath)]
    pub(super) model: Option<String>,
    /// A model of a hub, fetched where it is not here yet (-hf): REPO, or REPO:TYPE such as org/name-GGUF:Q4_K_M
    #[arg(long, value_name = "REPO", conflicts_with = "model")]
    pub(super) hf_repo: Option<String>,
    /// The file of that repository (-hff)
    #[arg(long, value_name = "FILE", requires = "hf_repo")]
    pub(super) hf_file: Option<String>,
    /// Tokens the context holds; 0 is the model's own length, at most 8192
    #[arg(short = 'c', long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::context)]
    pub(super) ctx_size: Option<usize>,
    /// Threads that compute, at most eight a core; 0 is one for each core
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::threads)]
    pub(super) threads: Option<usize>,
    /// Prompt tokens computed in one pass
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::batch)]
    pub(super) batch_size: Option<usize>,
    /// Quantize weights that are floats as they are loaded, and keep the result: q8_0, q6_k, q5_k_m, q4_k_m, iq4_xs, q4_0, ...
    #[arg(long, value_name = "TYPE")]
    quantize: Option<FileType>,
    /// Format of the keys in the KV cache (-ctk); smaller ones take less memory and time
    #[arg(long, value_name = "TYPE", value_parser = cache_type())]
    pub(super) cache_type_k: Option<CacheType>,
    /// Format of the values in the KV cache (-ctv)
    #[arg(long, value_name = "TYPE", value_parser = cache_type())]
    pub(super) cache_type_v: Option<CacheType>,
}

/// One of the words of [`PromptLookup`].
fn parse_lookup() -> impl TypedValueParser<Value = PromptLookup> {
    PossibleValuesParser::new(PromptLookup::NAMES).map(|name| PromptLookup::named(&name).unwrap_or_default())
}

fn parse_think() -> impl TypedValueParser<Value = Think> {
    // Ollama's words for it are names as well.
    let names = Think::NAMES.map(|name| match Think::of_name(name) {
        Some(Think::On) => PossibleValue::new(name).aliases(["true", "yes"]),
        Some(Think::Off) => PossibleValue::new(name).aliases(["false", "no"]),
        Some(Think::Auto) | None => PossibleValue::new(name),
    });
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "yes" => Think::On,
        "no" => Think::Off,
        name => Think::of_name(name).unwrap_or_default(),
    })
}

/// What the model is asked, and how it is put.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Prompt")]
pub(super) struct Prompt {
    /// The prompt (in a chat: the first message)
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) prompt: Option<String>,
    /// A file whose text is appended to the prompt; may be given several times
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) file: Vec<PathBuf>,
    /// The system message (-sys)
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system_prompt: Option<String>,
    /// The most tokens of the reply; -1 (also 0) is no limit
    #[arg(short = 'n', long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::predict)]
    predict: Option<usize>,
    /// A text that ends the reply; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,
    /// No chat template: the model continues the text as it stands
    #[arg(long, conflicts_with_all = ["chat_template", "system_prompt"])]
    raw: bool,
    /// Draft the reply from what the chat has said already, and check several tokens in one pass (llama.cpp calls this
    /// lookup decoding): the same text, sooner where it repeats itself. `auto` drafts where that pays
    #[arg(long, value_name = "WHEN", value_parser = parse_lookup())]
    lookup: Option<PromptLookup>,
    /// Chat template: chatml, llama2, llama3, mistral, zephyr, dialogpt, plain, raw, or a Jinja file
    #[arg(long, value_name = "NAME-OR-FILE", value_hint = ValueHint::FilePath)]
    chat_template: Option<String>,
    /// Whether a model that can think before it answers does: on, off, or auto, as its chat template has it
    #[arg(long, value_name = "WHEN", value_parser = parse_think(), num_args = 0..=1, require_equals = true, default_missing_value = "on")]
    think: Option<Think>,
}

/// `gibber chat`, `gibber repl`, and `gibber` alone.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Chat {
    #[command(flatten)]
    pub(super) prompt: Prompt,
    #[command(flatten)]
    pub(super) model: Model,
    #[command(flatten)]
    pub(super) sampling: Sampling,
}

/// `gibber run`
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The prompt
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    pub(super) text: Option<String>,
    /// One JSON object a line: each token, then the whole with its statistics
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) chat: Chat,
}

/// `gibber replay`
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The chat: its number in the list, or its id
    pub(super) chat: String,
    /// The number of the reply on the branch that is on screen; the last one where none is given
    #[arg(value_name = "N")]
    pub(super) number: Option<usize>,
    #[command(flatten)]
    pub(super) model: Model,
}

/// `gibber score`
#[derive(Debug, Args)]
pub(super) struct Score {
    /// The text, taken byte for byte; `-` or nothing is stdin
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "prompt")]
    pub(super) file: Option<PathBuf>,
    /// The text itself
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(super) prompt: Option<String>,
    /// One JSON object a line: each token, then the summary
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: Model,
}

/// `gibber tokenize`
#[derive(Debug, Args)]
pub(super) struct Tokenize {
    /// The text, taken byte for byte; `-` or nothing is stdin
    #[arg(value_name = "TEXT")]
    pub(super) text: Option<String>,
    /// A file with the text
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "text")]
    pub(super) file: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: Model,
}

/// `gibber bench`
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// Tokens of the prompt
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512, allow_negative_numbers = true, value_parser = numbers::count)]
    pub(super) n_prompt: usize,
    /// Tokens generated, by themselves
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128, allow_negative_numbers = true, value_parser = numbers::count)]
    pub(super) n_gen: usize,
    /// Tokens that the context holds before those of -n are generated
    #[arg(short = 'd', long, value_name = "N", default_value_t = 0, allow_negative_numbers = true, value_parser = numbers::count_or_none::<usize>)]
    pub(super) n_depth: usize,
    /// Repetitions; the medians are shown
    #[arg(short, long, value_name = "N", default_value_t = 3, allow_negative_numbers = true, value_parser = numbers::count)]
    pub(super) repetitions: usize,
    /// The measurement that this program was founded on, instead: 4 prompts of 30 new tokens each on GPT-2 small, of
    /// random weights where -m names no model
    #[arg(long, conflicts_with_all = ["n_prompt", "n_gen", "n_depth", "repetitions"])]
    pub(super) founding: bool,
    /// Random weights of a known shape: `gpt2`, `gpt2-medium`, ..., with a format after a colon: `gpt2:q8_0`
    #[arg(long, value_name = "SHAPE", conflicts_with_all = ["model", "hf_repo"])]
    pub(super) synthetic: Option<String>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: Model,
}

fn cache_type() -> impl TypedValueParser<Value = CacheType> {
    PossibleValuesParser::new(CacheType::NAMES).map(|name| CacheType::from_name(&name).unwrap_or_default())
}

/// `gibber sessions`
#[derive(Debug, Subcommand)]
pub(super) enum Sessions {
    /// The chats, the newest first: number, id, title, model
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// A chat as text
    Show {
        /// Its number in the list, or its id
        chat: String,
    },
    /// The messages that have a text in them
    Search {
        /// What is looked for, in any case of letters
        text: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Write a chat to a file
    Export {
        /// Its number in the list, or its id
        chat: String,
        /// The file: .json (every branch), .md or .txt; nothing is JSON on stdout
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
        /// Replace a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Add a chat from a JSON file: an exported one, or a list of messages with `role` and `content`
    Import {
        /// The file, or a pipe such as `<(command)`; `-` is stdin
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Give a chat another title
    Rename {
        /// Its number in the list, or its id
        chat: String,
        /// The title
        title: String,
    },
    /// Delete a chat
    Delete {
        /// Its number in the list, or its id
        chat: String,
    },
    /// Put what can be read of a damaged database into a new one; the damaged file is kept under another name
    Repair,
}

/// `gibber pull` and `gibber models pull`
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Pull {
    /// What is to be fetched: `NAME:TAG` of the catalogue, `REPO[:FILE-OR-TYPE][@REVISION]` of the hub, or
    /// https://HOST/FILE.gguf#sha256=SUM
    #[arg(value_name = "NAME", conflicts_with = "hf_repo")]
    pub(super) name: Option<String>,
    /// A repository of the hub (-hf), as NAME has it
    #[arg(long, value_name = "REPO")]
    pub(super) hf_repo: Option<String>,
    /// The file of that repository (-hff)
    #[arg(long, value_name = "FILE", requires = "hf_repo")]
    pub(super) hf_file: Option<String>,
    /// Fetch nothing, and list what can be had: the catalogue, or of NAME its sizes or types
    #[arg(short, long, conflicts_with_all = ["dry_run", "update", "quantize", "limit_rate"])]
    pub(super) list: bool,
    /// Fetch nothing, and say what would be
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Fetch what has changed since it was fetched: NAME, or everything that was fetched
    #[arg(long)]
    pub(super) update: bool,
    /// The most bytes a second, such as 500k or 2M
    #[arg(long, value_name = "RATE", value_parser = numbers::rate)]
    pub(super) limit_rate: Option<u64>,
    /// Quantize the weights of a model of floats once they are here, into a GGUF file beside the other models
    #[arg(long, value_name = "TYPE")]
    pub(super) quantize: Option<FileType>,
    /// Ask nothing: the weights of a model of floats stay as they are
    #[arg(short, long)]
    pub(super) yes: bool,
    /// One JSON object a line: what happens, as it happens
    #[arg(long)]
    pub(super) json: bool,
}

/// `gibber models verify`
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Verify {
    /// Name or path; nothing is the model of the settings
    #[arg(value_name = "NAME-OR-PATH", conflicts_with_all = ["model", "hf_repo"], value_hint = ValueHint::AnyPath)]
    pub(super) name: Option<String>,
    /// One JSON object a line: each file, then the whole
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) model: Model,
}

/// `gibber models remove`
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Remove {
    /// Name or path
    #[arg(value_name = "NAME-OR-PATH", required_unless_present = "model", conflicts_with = "model", value_hint = ValueHint::AnyPath)]
    pub(super) name: Option<String>,
    /// The same
    #[arg(short, long, value_name = "NAME-OR-PATH", value_hint = ValueHint::AnyPath)]
    pub(super) model: Option<String>,
    /// Remove it without a question
    #[arg(short, long)]
    pub(super) yes: bool,
    /// Remove nothing, and say what would be
    #[arg(long, conflicts_with = "yes")]
    pub(super) dry_run: bool,
    /// Remove also what gibber has not fetched
    #[arg(long)]
    pub(super) force: bool,
    /// One JSON object: what was removed, and what stays
    #[arg(long)]
    pub(super) json: bool,
}

/// `gibber models`
#[derive(Debug, Subcommand)]
pub(super) enum Models {
    /// The models of this machine: names that -m takes, what each is, and whether it can be run
    #[command(visible_alias = "ls")]
    List {
        /// Only those of which the hub has a newer version
        #[arg(long)]
        outdated: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Fetch a model: `gibber pull`
    Pull(Pull),
    /// Compare the files of a model with their checksums, and load it
    Verify(Verify),
    /// Delete a model that was fetched, and say what that frees
    #[command(visible_alias = "rm")]
    Remove(Remove),
    /// What a model is
    Info {
        /// Name or path; nothing is the model of the settings
        #[arg(value_name = "NAME-OR-PATH", conflicts_with_all = ["model", "hf_repo"], value_hint = ValueHint::AnyPath)]
        name: Option<String>,
        /// One JSON object
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        model: Model,
    },
    /// Write a model as a GGUF file in another format
    Quantize(Quantize),
    /// Write a model as one GGUF file, its weights as they are: a Hugging Face folder, or a GGUF file in several parts
    Convert(Written),
}

/// `gibber models quantize`
#[derive(Debug, Args)]
pub(super) struct Quantize {
    #[command(flatten)]
    pub(super) out: Written,
    /// Format: q8_0, q6_k, q5_k_m, q5_k_s, q5_1, q5_0, q4_k_m, q4_k_s, q4_1, q4_0, q3_k_l, q3_k_m, q3_k_s, q2_k, iq4_nl,
    /// iq4_xs, mxfp4_moe, tq2_0, tq1_0, q2_0, q1_0, f16, bf16 or f32
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) kind: FileType,
}

/// What is written, and where: `gibber models convert`
#[derive(Debug, Args)]
pub(super) struct Written {
    /// Name or path: a GGUF file, or a Hugging Face folder
    #[arg(value_name = "IN")]
    pub(super) source: String,
    /// The GGUF file to be written
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(super) target: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub(super) force: bool,
    /// Threads that compute; 0 is one for each core
    #[arg(short, long, value_name = "N", allow_negative_numbers = true, value_parser = numbers::threads)]
    pub(super) threads: Option<usize>,
}

/// `gibber config`
#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Where config.toml is
    Path,
    /// The settings in use, with who has said what; with -m those for that model
    Show(Model),
    /// Open config.toml in $VISUAL or $EDITOR
    Edit,
    /// Check config.toml
    Check,
}

impl Model {
    /// Whether the command line says which.
    pub(super) fn is_named(&self) -> bool {
        self.model.is_some() || self.hf_repo.is_some()
    }

    /// Over what the file and the environment say.
    pub(super) fn apply(&self, settings: &mut Settings) {
        let model = &mut settings.model;
        set(&mut model.name, self.model.clone());
        set(&mut model.context, self.ctx_size);
        set(&mut model.threads, self.threads);
        set(&mut model.quantize, self.quantize.map(FileType::flag));
        set(&mut model.batch, self.batch_size);
        set(&mut model.cache_type_k, self.cache_type_k);
        set(&mut model.cache_type_v, self.cache_type_v);
    }
}

impl Chat {
    /// Over what the file and the environment say. Returns what chats keep as well: that is not in `settings`.
    ///
    /// # Errors
    /// Where the chat template is a pipe that cannot be read.
    pub(super) fn apply(&self, settings: &mut Settings) -> anyhow::Result<Given> {
        self.model.apply(settings);
        let template = if self.prompt.raw { Some(RAW_NAME.to_owned()) } else { self.prompt.template()? };
        set(&mut settings.chat.system, self.prompt.system_prompt.clone());
        set(&mut settings.chat.max_tokens, self.prompt.predict);
        set(&mut settings.model.lookup, self.prompt.lookup);
        set(&mut settings.chat.think, self.prompt.think);
        if !self.prompt.stop.is_empty() {
            settings.chat.stop = self.prompt.stop.clone();
        }
        Ok(Given { sampling: self.sampling.values().clone(), template })
    }
}

impl Prompt {
    /// The chat template that was named. A pipe is read once, for good: a template is looked at again and again.
    fn template(&self) -> anyhow::Result<Option<String>> {
        let Some(name) = &self.chat_template else { return Ok(None) };
        let kept = Kept::of_pipe(Path::new(name))?;
        // What is kept is needed to the end of the program.
        Ok(Some(kept.map_or_else(|| name.clone(), |kept| Box::leak(Box::new(kept)).path())))
    }
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}

#[cfg(test)]
mod tests;
