//! What each flag of llama.cpp's programs is here.

/// What a flag of llama.cpp is here.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// This flag.
    Same(&'static str),
    /// Nothing, for this reason; what follows it may be its value.
    NoEffect(Takes, &'static str),
    /// Taken with one of these values, which say that it is off, or that nothing changes; refused with any other, with this
    /// sentence.
    Off(&'static [&'static str], &'static str),
    /// Refused, with this sentence.
    Refused(&'static str),
}

/// Whether a value follows a flag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Takes {
    Nothing,
    Value,
    /// One of [`SWITCH_VALUES`], or none.
    Switch,
}

/// What stands behind a switch that may say which way.
pub(super) const SWITCH_VALUES: [&str; 5] = ["on", "off", "auto", "0", "1"];

/// Flags of one meaning; the commands for which they have it, none for all. A flag that ends with `*` stands for every flag
/// that begins as it does.
pub(super) struct FlagRow {
    pub(super) flags: &'static [&'static str],
    pub(super) commands: &'static [&'static str],
    pub(super) meaning: Meaning,
}

const fn row(flags: &'static [&'static str], meaning: Meaning) -> FlagRow {
    FlagRow { flags, commands: &[], meaning }
}

const fn row_for(commands: &'static [&'static str], flags: &'static [&'static str], meaning: Meaning) -> FlagRow {
    FlagRow { flags, commands, meaning }
}

/// The meaning of `name` for `command`.
pub(super) fn meaning_of(command: &str, name: &str) -> Option<Meaning> {
    let is_named = |flag: &&str| match flag.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => *flag == name,
    };
    let is_for = |row: &&FlagRow| row.commands.is_empty() || row.commands.contains(&command);
    ROWS.iter().filter(is_for).find(|row| row.flags.iter().any(&is_named)).map(|row| row.meaning)
}

/// The names behind one dash of what is the flag `own` here, for any command.
pub(super) fn one_dash_names(own: &str) -> Vec<&'static str> {
    let is_it = |row: &&FlagRow| row.commands.is_empty() && matches!(row.meaning, Meaning::Same(flag) if flag == own);
    let names = ROWS.iter().filter(is_it).flat_map(|row| row.flags);
    let of_one_dash = names.filter(|name| !name.starts_with("--") && name.len() > 2);
    of_one_dash.filter_map(|name| name.strip_prefix('-')).collect()
}

use Meaning::{NoEffect, Off, Refused, Same};
use Takes::{Nothing, Switch, Value};

const CPU: &str = "everything is computed on the CPU";
const NO_DRAFT_MODEL: &str = "no second model drafts here; --lookup on drafts from what the chat has said";
const NO_PRESET: &str = "there is no such set of flags here: -hf REPO or -m NAME names a model, and `gibber pull --list` \
                         shows which have short names";
const NO_DOCKER: &str =
    "models are fetched from a hub of Hugging Face's kind or from a plain https:// address: -hf REPO";
const NO_TOKEN: &str = "everybody on this machine can read a command line: put the token into the environment variable \
                        HF_TOKEN, or into the file that `hf auth login` writes";
const NO_IMAGES: &str = "models that see or speak cannot be run, text alone goes in and out";
const NOT_PINNED: &str = "threads are not tied to cores (`taskset` does that); -t says how many there are";
const NO_PRIORITY: &str = "the system says whose turn it is (`nice` changes that)";
const ONE_AT_A_TIME: &str = "one prompt is computed at a time";
const MEMORY: &str = "the weights are mapped or loaded as the model needs it";
const IN_TURNS: &str = "where the context is full, whole turns are left out of the prompt, the oldest first, and the \
                        system message stays";
const NO_CONSTRAINT: &str = "a reply cannot be bound to a JSON schema or a grammar";
const NO_SUCH_SAMPLING: &str = "there is no such way to choose tokens here; --help lists those that there are";
const ROPE: &str = "positions are scaled as the model's file says";
const NO_GROUPS: &str = "the context is not stretched by groups; -c says how long it is";
const NO_ADAPTER: &str = "a model is run as its file is: an adapter has to be merged into it before";
const NO_SERVER: &str = "this program is no server";
const NO_LOG: &str = "no log or output file is written; the shell can: > FILE";
const TEMPLATE_WRITES: &str =
    "the chat template writes what stands around a question; with --raw you write it yourself";
const VERBOSE: &str = "-v says more on stderr";
const TIMINGS: &str = "-v prints the times, `run --json` has them";
const NO_PROMPT_SHOWN: &str = "the prompt is not printed; /prompt in a chat shows it";
const NO_PROMPT_CACHE: &str = "no prompt is kept on the disk; what a chat has computed stays in memory";
const BACKSLASHES: &str = "backslashes of a prompt stay as they are; the shell can write line feeds: $'one\\ntwo'";
const THOUGHTS_APART: &str = "what is thought is told apart from the answer (`run --json` has both)";
const NO_BUDGET: &str = "a thought cannot be bound to a number of tokens; --think off asks for none";

/// In llama.cpp's own order, as far as it has one. Flags of one letter, and longer ones that are this program's own as well,
/// are here where no command of this program, or not each, has them.
pub(super) const ROWS: &[FlagRow] = &[
    row(&["-sys", "--system"], Same("--system-prompt")),
    row(&["-ctk"], Same("--cache-type-k")),
    row(&["-ctv"], Same("--cache-type-v")),
    row(&["--n-predict", "--max-tokens", "--num-predict"], Same("--predict")),
    row(&["--log-verbose"], Same("--verbose")),
    row(&["--chat-template-file"], Same("--chat-template")),
    row(&["-rea", "--reasoning"], Same("--think")),
    row(&["-no-cnv", "--no-conversation"], Same("--raw")),
    row(&["-r", "--reverse-prompt"], Same("--stop")),
    row(&["-cnv", "--conversation"], NoEffect(Nothing, "the chat template is used wherever --raw is not given")),
    row_for(&["run"], &["-st", "--single-turn"], NoEffect(Nothing, "`gibber run` answers once anyway")),
    row(&["-st", "--single-turn"], Refused("one question and one answer is `gibber run`")),
    row_for(
        &["run"],
        &["-i", "-if", "-ins", "--interactive", "--interactive-first", "--instruct"],
        Refused("a conversation is `gibber chat` or `gibber repl`"),
    ),
    row(
        &["-i", "-if", "-ins", "--interactive", "--interactive-first", "--instruct"],
        NoEffect(Nothing, "a chat waits for you anyway"),
    ),
    row(&["-mli", "--multiline-input"], NoEffect(Nothing, "texts of several lines are always taken")),
    row(&["-co", "--color"], NoEffect(Switch, "colours are used where the terminal has them; see --no-color")),
    row(&["--simple-io"], NoEffect(Nothing, "`gibber repl` is the chat in plain lines")),
    row(&["-cml", "--chatml"], Refused("write --chat-template chatml")),
    row(&["--jinja", "--no-jinja"], NoEffect(Nothing, "a chat template is always run as Jinja")),
    row(
        &["--chat-template-kwargs"],
        Off(&["{}", ""], "of what a template can be told, --think on and --think off are passed on"),
    ),
    row(&["--reasoning-format"], NoEffect(Value, THOUGHTS_APART)),
    row(&["--reasoning-effort"], Refused("models are not told how hard to think; --think says whether they do")),
    row(&["--reasoning-budget"], Off(&["-1"], NO_BUDGET)),
    row(&["--reasoning-budget-*"], Refused(NO_BUDGET)),
    row(
        &["--reasoning-preserve", "--no-reasoning-preserve"],
        NoEffect(Nothing, "the chat template says which thoughts stay"),
    ),
    row(&["--skip-chat-parsing"], Refused("the text of all tokens is in `run --json`, thoughts and answer")),
    row(&["--no-skip-chat-parsing"], NoEffect(Nothing, THOUGHTS_APART)),
    // Ollama's.
    row(&["--hidethinking"], NoEffect(Nothing, THOUGHTS_APART)),
    row(&["--keepalive"], NoEffect(Value, "the model is in memory as long as the program runs")),
    row(&["--nowordwrap"], NoEffect(Nothing, "`gibber run` and `gibber repl` break no lines")),
    row(&["--in-prefix", "--in-suffix", "--in-prefix-bos"], Refused(TEMPLATE_WRITES)),
    row(&["-hf", "-hfr", "--hf-repo", "-mu", "--model-url"], Same("--hf-repo")),
    row(&["-hff", "--hf-file"], Same("--hf-file")),
    row(&["-hft", "--hf-token"], Refused(NO_TOKEN)),
    row(&["-dr", "--docker-repo"], Refused(NO_DOCKER)),
    row(&["--gpt-oss-*", "--vision-*", "--embd-*", "--fim-*"], Refused(NO_PRESET)),
    row(&["-hfd", "-hfrd", "-md", "-td", "-tbd", "-cd", "-devd", "-ngld"], Refused(NO_DRAFT_MODEL)),
    row(&["-ctkd", "-ctvd", "-otd", "-cmoed", "-ncmoed"], Refused(NO_DRAFT_MODEL)),
    row(&["-Cd", "-Crd", "-Cbd", "--hf-repo-draft", "--model-draft", "--threads-draft"], Refused(NO_DRAFT_MODEL)),
    row(&["--threads-batch-draft", "--ctx-size-draft", "--device-draft"], Refused(NO_DRAFT_MODEL)),
    row(&["--draft", "--draft-max", "--draft-n", "--spec-draft-n-max"], Off(&["0"], NO_DRAFT_MODEL)),
    row(&["--spec-type"], Off(&["none"], NO_DRAFT_MODEL)),
    row(&["--gpu-layers-draft", "--n-gpu-layers-draft", "--draft*", "--spec-*"], Refused(NO_DRAFT_MODEL)),
    row(&["--cache-type-k-draft", "--cache-type-v-draft", "--override-tensor-draft"], Refused(NO_DRAFT_MODEL)),
    row(&["--cpu-moe-draft", "--n-cpu-moe-draft", "--cpu-*-draft", "--prio-*draft"], Refused(NO_DRAFT_MODEL)),
    row(&["-mm", "-mmu", "-mv", "-mmdev", "-hfv", "-hfrv", "-hffv"], Refused(NO_IMAGES)),
    row(&["--no-mmproj", "--no-mmproj-auto", "--no-mmproj-offload"], NoEffect(Nothing, NO_IMAGES)),
    row(&["--mmproj*", "--image*", "--audio", "--video"], Refused(NO_IMAGES)),
    row(&["--hf-repo-v", "--hf-file-v", "--model-vocoder"], Refused(NO_IMAGES)),
    row(&["-ngl", "-sm", "-ts", "-mg", "-dev", "-ot", "-ncmoe"], NoEffect(Value, CPU)),
    row(&["--n-gpu-layers", "--gpu-layers", "--split-mode", "--tensor-split"], NoEffect(Value, CPU)),
    row(&["--main-gpu", "--device", "--override-tensor", "--n-cpu-moe"], NoEffect(Value, CPU)),
    row(&["-cmoe", "-nkvo", "-kvo", "--cpu-moe", "--no-kv-offload", "--kv-offload"], NoEffect(Nothing, CPU)),
    row(&["--op-offload", "--no-op-offload", "--no-host", "--list-devices"], NoEffect(Nothing, CPU)),
    row(&["-fa", "--flash-attn"], NoEffect(Switch, "attention never holds all its scores in memory")),
    row(&["-tb", "--threads-batch"], NoEffect(Value, "the threads of -t compute prompts too")),
    row(&["-C", "-Cr", "-Cb", "-Crb", "--cpu-mask*", "--cpu-range*", "--cpu-strict*"], NoEffect(Value, NOT_PINNED)),
    row(&["--prio", "--prio-batch", "--poll", "--poll-batch"], NoEffect(Value, NO_PRIORITY)),
    row(&["--numa"], NoEffect(Value, NOT_PINNED)),
    row(&["-ub", "--ubatch-size"], NoEffect(Value, "-b says how many tokens one pass computes")),
    row(&["-np", "-ns", "--parallel", "--sequences"], NoEffect(Value, ONE_AT_A_TIME)),
    row(&["-cb", "-nocb", "--cont-batching", "--no-cont-batching"], NoEffect(Nothing, ONE_AT_A_TIME)),
    row(&["-kvu", "--kv-unified", "--no-kv-unified"], NoEffect(Nothing, ONE_AT_A_TIME)),
    row(&["-dt", "--defrag-thold"], NoEffect(Value, "the KV cache has no holes")),
    row(&["-cram", "--cache-ram"], NoEffect(Value, "one chat is in memory, with one KV cache")),
    row(
        &["-ctxcp", "--ctx-checkpoints", "--swa-checkpoints"],
        NoEffect(Value, "one chat is in memory, with one KV cache"),
    ),
    row(&["--swa-full"], NoEffect(Nothing, "the KV cache keeps what a chat may come back to")),
    row(&["--cache-prompt", "--no-cache-prompt"], NoEffect(Nothing, "what a chat has computed stays in memory")),
    row(&["--keep"], NoEffect(Value, IN_TURNS)),
    row(&["--context-shift", "--no-context-shift"], NoEffect(Nothing, IN_TURNS)),
    row(&["-mmp", "-dio", "-ndio", "-fit", "--fit"], NoEffect(Switch, MEMORY)),
    row(&["-fitt", "-fitc", "-lm", "--fit-target", "--fit-ctx", "--load-mode"], NoEffect(Value, MEMORY)),
    row(&["--mlock", "--mmap", "--no-mmap", "--direct-io", "--no-direct-io"], NoEffect(Switch, MEMORY)),
    row(&["--check-tensors"], NoEffect(Nothing, "what cannot be computed with is an error wherever it shows")),
    row(&["--warmup", "--no-warmup"], NoEffect(Nothing, "a model is ready once it is loaded")),
    row(&["-nr", "-rtr", "--repack", "--no-repack"], NoEffect(Nothing, "weights are packed where that pays")),
    row(&["-bs", "--backend-sampling"], NoEffect(Nothing, "tokens are chosen on the CPU")),
    row(&["--override-kv"], Refused("a model's file counts as it is; `models quantize` writes another")),
    row(&["--rope-freq-base", "--yarn-orig-ctx"], Off(&["0"], ROPE)),
    row(&["--rope-scale", "--rope-freq-scale"], Off(&["0", "1"], ROPE)),
    row(&["--yarn-ext-factor", "--yarn-attn-factor", "--yarn-beta-*"], Off(&["-1"], ROPE)),
    row(&["--rope-scaling", "--yarn-*"], Refused(ROPE)),
    row(&["--lora*", "--control-vector*"], Refused(NO_ADAPTER)),
    row(&["-lv", "--verbosity", "--log-verbosity"], NoEffect(Value, VERBOSE)),
    row(&["--log-disable", "--log-prefix", "--no-log-prefix"], NoEffect(Nothing, VERBOSE)),
    row(&["--log-timestamps", "--no-log-timestamps"], NoEffect(Nothing, VERBOSE)),
    row(&["--log-colors"], NoEffect(Switch, VERBOSE)),
    row(&["--perf", "--no-perf", "--show-timings", "--no-show-timings"], NoEffect(Nothing, TIMINGS)),
    row(&["-ptc", "--print-token-count"], NoEffect(Value, "-v prints how many tokens there were")),
    row(&["--display-prompt", "--no-display-prompt", "--verbose-prompt"], NoEffect(Nothing, NO_PROMPT_SHOWN)),
    row(&["--prompt-cache"], NoEffect(Value, NO_PROMPT_CACHE)),
    row(&["--prompt-cache-all", "--prompt-cache-ro"], NoEffect(Nothing, NO_PROMPT_CACHE)),
    row(&["-e", "--escape"], Refused(BACKSLASHES)),
    row(&["--no-escape"], NoEffect(Nothing, BACKSLASHES)),
    row(&["-sysf", "--system-prompt-file"], Refused("write -sys \"$(cat FILE)\"")),
    row(&["-bf", "--binary-file"], Refused("write -f FILE; with --raw its text is taken byte for byte")),
    row(&["-sp", "--special"], Refused("special tokens are not printed; `run --json` has the id of each token")),
    row(&["--ignore-eos"], Refused("an end token always ends the reply; /continue in a chat goes on behind it")),
    row(&["-l", "--logit-bias"], Refused("no logit of a single token can be changed")),
    row(&["-j", "-jf", "--json-schema", "--json-schema-file"], Refused(NO_CONSTRAINT)),
    row(&["--grammar", "--format"], Off(&[""], NO_CONSTRAINT)),
    row(&["--grammar-file"], Refused(NO_CONSTRAINT)),
    row(&["--mirostat", "--dynatemp-range", "--xtc-probability"], Off(&["0"], NO_SUCH_SAMPLING)),
    row(&["--dry-multiplier", "--dry-penalty-last-n", "--top-a"], Off(&["0"], NO_SUCH_SAMPLING)),
    row(&["--dry-sequence-breaker"], Off(&["none"], NO_SUCH_SAMPLING)),
    row(&["--xtc-threshold", "--tfs"], Off(&["1"], NO_SUCH_SAMPLING)),
    row(&["--adaptive-target"], Off(&["-1"], NO_SUCH_SAMPLING)),
    row(
        &[
            "--sampling-method",
            "--mirostat*",
            "--dry-base",
            "--dry-allowed-length",
            "--xtc-*",
            "--dynatemp-*",
            "--adaptive-*",
        ],
        Refused(NO_SUCH_SAMPLING),
    ),
    row(&["-gan", "--grp-attn-n"], Off(&["1"], NO_GROUPS)),
    row(&["-gaw", "--grp-attn-w"], Refused(NO_GROUPS)),
    row(
        &["-lcs", "-lcd", "--lookup-cache-static", "--lookup-cache-dynamic"],
        Refused("prompt lookup keeps no file; --lookup on drafts from the chat itself"),
    ),
    row(&["-ld", "-o", "-oe", "-ofreq", "--log-file", "--logdir", "--output"], Refused(NO_LOG)),
    row(&["--output-file", "--log-prompts-dir"], Refused(NO_LOG)),
    row(&["-cl", "--cache-list"], Refused("the models that are here: `gibber models list`")),
    row(&["--completion-bash"], Refused("the completions of a shell: `gibber completions bash`")),
    row(&["--usage"], Refused("the flags are listed by --help")),
    row(&["--license"], Refused("the licences lie beside the program's source")),
    row(&["-a", "-to", "-sps", "--alias", "--timeout", "--host", "--port", "--api-key*"], Refused(NO_SERVER)),
    row(&["--no-webui", "--no-slots"], NoEffect(Nothing, NO_SERVER)),
    row(&["--server-base", "--rpc", "--slots", "--metrics", "--props", "--webui", "--ssl-*"], Refused(NO_SERVER)),
    row(&["--slot-*", "--embedding", "--embeddings", "--rerank", "--reranking", "--pooling"], Refused(NO_SERVER)),
    row(&["-pg"], Refused("`gibber bench` measures a prompt of -p tokens, and -n tokens by themselves")),
    row(&["-npp", "-ntg", "-npl", "-pps", "-tgs"], Refused("one sequence at a time is measured: -p, -n and -d")),
];
