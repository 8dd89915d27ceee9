//! What the front ends and the engine's thread say to each other: plain data, both ways.
//!
//! A command that asks for work carries a [`RequestId`] that the asker chose; every event about that work carries the
//! same id. The invariants, each guarded by a test:
//!
//! 1. Exactly one closing event a request ([`EngineEvent::is_closing`]), also after a cancel or a panic, and nothing for
//!    that request after it.
//! 2. The texts of the tokens joined are the decoded reply, whatever way a character was split over tokens. Where the
//!    prompt has opened a thought ([`EngineEvent::ThoughtOpened`]), the reply begins with that text.
//! 3. A cancel takes effect within one token or one prefill chunk, stops a template that is at work on the prompt, and can
//!    never hit a later request: it names the one that it is for ([`EngineCommand::Cancel`]).
//! 4. A change of sampling takes effect at the next token; the seed plus the log of changes
//!    ([`GenerationStats::sampling_log`]) and of what a person picked and took back ([`GenerationStats::steer_log`])
//!    replays the same reply exactly.
//! 5. A turn that shares a prefix with the last one, token by token, computes only what is new.
//! 6. A cancelled reply keeps its text, and the KV cache is cut to what the transcript holds.
//! 7. A panic in the engine ends that request with an error, and the program lives on.
//!
//! A reply that is paused holds its logits and waits for the next command; all seven hold meanwhile. A cancel ends it at
//! once, and `Preview` and `Count` are answered at once; other requests wait for the reply's end, as they always do.

mod groups;

use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::chat::Message;
pub use crate::chat::template::Adaptation;
use crate::chat::template::RAW_NAME;
use gibber_engine::load::{CancelFlag, LoadOptions, MemoryProbe, ModelInfo};
use gibber_engine::sampling::{KnownModel, Parameter, SamplingParams};
use gibber_engine::{CacheTypes, FileType, TokenId};

pub use gibber_engine::generate::{FinishReason, GenerationStats, PromptLookup, Steer, TokenTrace};
pub use gibber_engine::inference::Passes;
pub use gibber_engine::sampling::{Candidate, Distribution};
pub use gibber_engine::score::{ScoredToken, TokenScore};
pub(crate) use groups::{answers, of_loading, of_prompt, of_reply, of_variants};

/// Names a request; the asker counts them up, and never uses one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// Names a reply: that of a `Generate`, or one of the lanes of a `Compare`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplyRef {
    /// What asked for it.
    pub request: RequestId,
    /// Which lane, from 0; 0 where there are none.
    pub variant: usize,
}

/// Where a model is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelPlace {
    /// A GGUF file, or a Hugging Face folder.
    Path(PathBuf),
    /// In the executable: the engine's thread was given it when it was started.
    Embedded,
    /// Random weights of a known shape, for measuring: `gpt2`, `gpt2-medium`, …
    Synthetic(String),
}

/// How a model is loaded; what each means, [`gibber_engine::load::LoadOptions`] says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct LoadParams {
    pub threads: Option<usize>,
    pub context: Option<usize>,
    pub batch: usize,
    pub quantize: Option<FileType>,
    pub quantized_folder: Option<PathBuf>,
    pub cache: CacheTypes,
    /// Models of which it is known what is recommended for them, beside what their files say.
    pub known: Vec<KnownModel>,
}

impl LoadParams {
    /// What the engine is told of them.
    pub fn options(&self, memory: MemoryProbe) -> LoadOptions {
        let Self { threads, context, batch, quantize, quantized_folder, cache, known: _ } = self.clone();
        LoadOptions {
            threads,
            context,
            may_shrink: true,
            batch,
            quantize,
            quantized_folder,
            cache,
            memory,
            cancel: CancelFlag::default(),
        }
    }
}

impl Default for LoadParams {
    fn default() -> Self {
        let LoadOptions { threads, context, batch, quantize, quantized_folder, cache, .. } = LoadOptions::default();
        Self { threads, context, batch, quantize, quantized_folder, cache, known: Vec::new() }
    }
}

/// Whether a person may choose the tokens of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Stepping {
    /// Never: [`EngineCommand::Pause`] has no effect, and nothing is kept for taking tokens back.
    #[default]
    Off,
    /// From the first [`EngineCommand::Pause`] on.
    OnDemand,
    /// From the first token on: the reply begins paused.
    FromStart,
}

/// Which chat template turns messages into a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum TemplateChoice {
    /// The model's own, or the plain one where it has none.
    #[default]
    Model,
    /// A built-in one, by name (see `chat::template::BUILTIN_NAMES`).
    Builtin(String),
    /// A Jinja file of the user's.
    File(PathBuf),
}

impl TemplateChoice {
    /// Whether nothing is put around the text, which the model goes on with as it stands.
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Builtin(name) if name == RAW_NAME)
    }
}

/// What the model is asked to go on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Prompt {
    /// A conversation, rendered by a template. Ends with a user's message (a reply is asked for) or with an assistant's
    /// (that reply is continued).
    Chat {
        /// System message first, if any.
        messages: Vec<Message>,
        /// How they are rendered.
        template: TemplateChoice,
        /// Whether the model is to think before it answers, where it can; `None` leaves it to the template.
        thinking: Option<bool>,
    },
    /// Text that is continued as it stands.
    Raw(String),
}

/// What a generation is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GenerationParams {
    /// The filters at the start; [`EngineCommand::SetSampling`] changes them on the way.
    pub sampling: SamplingParams,
    /// Those of them that nobody has set: what is recommended for the model takes their place.
    pub open: Vec<Parameter>,
    /// The most tokens to generate; `None` until the model ends its turn or the context is full.
    pub max_tokens: Option<usize>,
    /// Texts that end the reply; they are not part of it. The template's own are added.
    pub stop: Vec<String>,
    /// How many alternatives each [`TokenTrace`] lists; 0 for none.
    pub candidates: usize,
    /// Whether the reply is drafted from what the chat has said already: the same reply, maybe sooner.
    pub lookup: PromptLookup,
    /// Whether a person may choose its tokens.
    pub stepping: Stepping,
    /// What an earlier reply was made by, where it is to be computed again: from an empty cache, with the same filters and
    /// picks at the same places. What else comes meanwhile but a cancel has no effect.
    pub replay: Option<Box<Replay>>,
}

/// What, beside the prompt and the parameters, a reply was made by.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// As [`GenerationStats::sampling_log`].
    pub sampling: Vec<(usize, SamplingParams)>,
    /// As [`GenerationStats::steer_log`].
    pub steps: Vec<(usize, Steer)>,
    /// As [`GenerationStats::passes`].
    pub passes: Passes,
    /// Its tokens.
    pub tokens: Vec<TokenId>,
    /// Whether it ended by itself. One that was stopped is stopped there again.
    pub ends: bool,
}

impl Default for GenerationParams {
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            open: Vec::new(),
            max_tokens: None,
            stop: Vec::new(),
            candidates: 10,
            lookup: PromptLookup::default(),
            stepping: Stepping::default(),
            replay: None,
        }
    }
}

/// A token of a prompt that was scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptToken {
    /// Its id in the vocabulary.
    pub token: TokenId,
    /// Its text; empty while a character is split over tokens, the whole character with the last of them.
    pub text: String,
    /// What the model made of it before it came; `None` for the first token of a prompt.
    pub score: Option<TokenScore>,
    /// The message that it is part of (an index into `Prompt::Chat::messages`), and its bytes there; `None` where it is
    /// the template's own.
    pub content: Option<(usize, Range<usize>)>,
}

/// What a prompt takes of the context, in tokens. A part ends where the text of the next one begins, so that the marks of
/// the template between two parts count with the first; what follows the last text counts with that.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ContextParts {
    /// What stands before the first message that is no system message.
    pub system: usize,
    /// The messages that are kept, without the draft.
    pub turns: usize,
    /// The message that is being written, and the opening of the reply to it.
    pub draft: usize,
    /// Its text alone.
    pub draft_text: usize,
    /// Indices of the messages that would be left out, ascending.
    pub dropped: Vec<usize>,
    /// What the context holds.
    pub context: usize,
}

impl ContextParts {
    /// Tokens of the prompt.
    pub fn total(&self) -> usize {
        self.system + self.turns + self.draft
    }

    /// Tokens left for the reply; `None` where the prompt does not fit at all.
    pub fn room(&self) -> Option<usize> {
        self.context.checked_sub(self.total())
    }
}

/// From a front end to the engine's thread; `id` is that of the request.
#[expect(missing_docs, reason = "the request's `id` says itself what it is")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EngineCommand {
    /// Load a model in place of the one that is loaded. Closes with `Loaded` or `Failed`; after a failure the former
    /// model is still there.
    Load {
        id: RequestId,
        /// Where it is.
        place: ModelPlace,
        /// Threads, context size, batch size.
        params: LoadParams,
    },
    /// Generate a reply. Closes with `Finished` or `Failed`.
    Generate {
        id: RequestId,
        /// What to go on from.
        prompt: Prompt,
        /// How it is sampled, and when it ends.
        params: GenerationParams,
    },
    /// Generate several replies to one prompt side by side: the prompt is computed once, then one forward pass gives each
    /// lane a token. What a lane says is what `Generate` says with its parameters and seed; its `lookup` matters only once
    /// no other lane is left. What was computed for the lanes is kept until the next `Generate`, `Compare` or `Load`:
    /// whichever of them the conversation goes on from, its reply need not be computed again. Closes with `Compared` or
    /// `Failed`.
    Compare {
        id: RequestId,
        /// What to go on from.
        prompt: Prompt,
        /// How each lane is generated. Its sampling is not changed on the way, and it cannot be paused.
        variants: Vec<GenerationParams>,
    },
    /// Change the sampling of the running generation `id` from its next token on; without effect once that has closed.
    SetSampling {
        /// The generation.
        id: RequestId,
        /// From now on.
        sampling: SamplingParams,
        /// As [`GenerationParams::open`].
        open: Vec<Parameter>,
    },
    /// Pause the running generation `id` before its next token; without effect where [`Stepping`] is off, and once it has
    /// closed. While it is paused, `Paused` tells of each change.
    Pause {
        /// The generation.
        id: RequestId,
    },
    /// Let the paused generation `id` go on; without effect where it is not paused.
    Resume {
        /// The generation.
        id: RequestId,
    },
    /// Draw, pick or take back a token of the paused generation `id`, which stays paused; without effect where it is
    /// not.
    Steer {
        /// The generation.
        id: RequestId,
        /// What to do.
        steer: Steer,
    },
    /// Re-shape the distribution that the last token of a reply was drawn from (while the reply is paused: that of the
    /// token to come), from logits that are still kept: no forward pass. Closes with `Distribution`, or with `Failed` where
    /// they are kept no more.
    Preview {
        id: RequestId,
        /// The reply.
        of: ReplyRef,
        /// The filters to show.
        sampling: SamplingParams,
        /// How many candidates to list.
        candidates: usize,
    },
    /// Log-probability and rank of each token of a text. Closes with `Scored` or `Failed`.
    Score {
        id: RequestId,
        /// Taken byte for byte; special tokens written out in it are parsed as such.
        text: String,
    },
    /// Score the tokens of a prompt as the model sees it: rendered, and without the turns that the context has no room
    /// for. The cache holds the prompt afterwards. Closes with `PromptScored` or `Failed`.
    ScorePrompt {
        id: RequestId,
        /// What to score.
        prompt: Prompt,
        /// The first message whose tokens are wanted, with those of the template before it; 0 for all tokens.
        from: usize,
        /// How many alternatives to list for each token.
        candidates: usize,
    },
    /// Render a prompt as a reply to it would be asked for, without the turns that the context has no room for, and count
    /// its tokens, without running the model. Closes with `Counted` or `Failed`.
    Count {
        id: RequestId,
        /// What to render.
        prompt: Prompt,
        /// As in [`GenerationParams::max_tokens`].
        max_tokens: Option<usize>,
    },
    /// Compute a prompt before its reply is asked for, so that its first token comes sooner: all but the last token of
    /// what `Generate` with the same prompt and `max_tokens` would compute. It gives way by itself to every command that
    /// comes after it, but for `Measure`, within one short chunk. Closes with `Prefilled` or `Failed`.
    Prefill {
        id: RequestId,
        /// What `Generate` is to be asked.
        prompt: Prompt,
        /// As in [`GenerationParams::max_tokens`].
        max_tokens: Option<usize>,
    },
    /// Say what a template can do with the model that is loaded. Closes with `TemplateDescribed` or `Failed`.
    DescribeTemplate {
        id: RequestId,
        /// The one that is asked about.
        template: TemplateChoice,
    },
    /// Say what of the context a prompt would take if a reply to it were asked for now. Nothing is computed by the model,
    /// and it is answered also while a reply runs, between two of its tokens. Closes with `Measured` or `Failed`.
    Measure {
        id: RequestId,
        /// What `Generate` would be asked.
        prompt: Prompt,
        /// Whether its last message is still being written.
        draft: bool,
        /// As in [`GenerationParams::max_tokens`].
        max_tokens: Option<usize>,
    },
    /// Stop the request `id`, whether it runs or waits; of a comparison every lane. It is closed as its kind says; without
    /// effect once that has happened.
    Cancel {
        /// The request.
        id: RequestId,
    },
    /// Stop one lane of the comparison `id`; the others go on.
    CancelVariant {
        /// The comparison.
        id: RequestId,
        /// Which lane, from 0.
        variant: usize,
    },
    /// End the thread.
    Shutdown,
}

impl EngineCommand {
    /// The request that it opens, which one event closes; `None` for those that open none.
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::Load { id, .. }
            | Self::Generate { id, .. }
            | Self::Compare { id, .. }
            | Self::Preview { id, .. }
            | Self::Score { id, .. }
            | Self::ScorePrompt { id, .. }
            | Self::Count { id, .. }
            | Self::Prefill { id, .. }
            | Self::DescribeTemplate { id, .. }
            | Self::Measure { id, .. } => Some(*id),
            Self::SetSampling { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Steer { .. }
            | Self::Cancel { .. }
            | Self::CancelVariant { .. }
            | Self::Shutdown => None,
        }
    }
}

/// What is wrong with a prompt to which there is a reply all the same; its text is one sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum PromptFault {
    /// It is the same whatever the question says.
    #[error(
        "the chat template {template} leaves the question out of the prompt, so the model does not see it: choose another one (--chat-template chatml, /template chatml)"
    )]
    QuestionLeftOut {
        /// What the template is called.
        template: String,
    },
    /// The template that came with the model is a text without a tag: a plain one stands in for it.
    #[error(
        "the chat template of {model} has no tag, so that no message would be part of the prompt: a plain one is used (--chat-template chatml, /template chatml take another)"
    )]
    NoTemplate {
        /// What the model is called.
        model: String,
    },
}

/// From the engine's thread to the front end; `id` is that of the request.
#[expect(missing_docs, reason = "the request's `id` says itself what it is")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum EngineEvent {
    /// A model is being loaded.
    LoadProgress {
        id: RequestId,
        /// Bytes prepared.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A model is loaded. Closing.
    Loaded {
        id: RequestId,
        /// What is known of it, for people and for the context meter.
        model: Box<ModelInfo>,
    },
    /// The context was full: these messages of the request are no longer part of the prompt.
    TurnsDropped {
        id: RequestId,
        /// Indices into `Prompt::Chat::messages`, ascending; all that are dropped by now.
        messages: Vec<usize>,
    },
    /// What of the request's messages is in the prompt otherwise than it stands; told once, before the first token, where
    /// there is any of it.
    Adapted {
        id: RequestId,
        /// What, with indices into `Prompt::Chat::messages`.
        adaptation: Adaptation,
    },
    /// The prompt has opened the thought that the reply begins with, such as `<think>` and a line feed: what the model says
    /// goes on from this text, which is part of the reply. Told once, before the first token; of `Compare` for all lanes.
    ThoughtOpened {
        id: RequestId,
        /// What the template wrote.
        opening: String,
    },
    /// The prompt does not say what it should, and the reply is to it all the same. Told once for a template.
    PromptFault {
        id: RequestId,
        /// What is wrong.
        fault: PromptFault,
    },
    /// The prompt is being computed.
    PrefillProgress {
        id: RequestId,
        /// Tokens taken from the KV cache.
        reused: usize,
        /// Tokens in the cache by now, the reused ones included.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// The prompt is computed, and the first token of the reply (or of this lane of `Compare`) is chosen next: its seed and
    /// how its prompt was computed are known. Told once.
    Began {
        id: RequestId,
        /// Which lane, from 0; 0 where there is one reply.
        variant: usize,
        /// What is known by now.
        stats: Box<GenerationStats>,
        /// The texts of [`Replay::tokens`], where a reply is computed again.
        recorded: Vec<String>,
    },
    /// A token of the reply.
    Token {
        id: RequestId,
        /// The token and how it was chosen.
        trace: TokenTrace,
        /// Tokens in the KV cache by now (prompt and reply).
        context_used: usize,
    },
    /// A generation is paused before a token: told when that begins, and again after each change (a token, a take-back,
    /// other filters).
    Paused {
        id: RequestId,
        /// What the token to come is chosen from, with the sampling in force.
        distribution: Distribution,
        /// The text of tokens that were chosen and not told yet: it may become a stop text, or is part of a character.
        held_back: String,
        /// Tokens in the KV cache.
        context_used: usize,
    },
    /// A paused generation goes on.
    Resumed { id: RequestId },
    /// A token was taken back: of those that were told only the first `tokens` are part of the reply any more. One that
    /// was part of a character, or may become a stop text, may be told again later.
    TakenBack {
        id: RequestId,
        /// Tokens of this request that are left.
        tokens: usize,
        /// Tokens in the context by now (prompt and reply).
        context_used: usize,
    },
    /// Answer to `Preview`. Closing.
    Distribution {
        id: RequestId,
        /// Under the filters that were asked for.
        distribution: Distribution,
    },
    /// Answer to `Score`. Closing.
    Scored {
        id: RequestId,
        /// Each token of the text.
        tokens: Vec<ScoredToken>,
    },
    /// Answer to `ScorePrompt`. Closing.
    PromptScored {
        id: RequestId,
        /// The tokens that were wanted, in order.
        tokens: Vec<PromptToken>,
        /// Tokens in the KV cache now: those of the whole prompt.
        context_used: usize,
    },
    /// Answer to `Count`. Closing.
    Counted {
        id: RequestId,
        /// The prompt as the model sees it.
        text: String,
        /// How the model reads it.
        tokens: Vec<TokenId>,
        /// The text of each in quotes, as people are shown it: of a part of a character its bytes, `"\xf0"`.
        pieces: Vec<String>,
        /// Indices of the messages that are left out, ascending.
        dropped: Vec<usize>,
    },
    /// A prompt was computed ahead, or as much of it as there was time for. Closing.
    Prefilled {
        id: RequestId,
        /// Tokens that were in the KV cache already.
        reused: usize,
        /// Tokens of the prompt in the cache by now.
        done: usize,
        /// Tokens that can be computed ahead: all but the last one of the prompt.
        total: usize,
    },
    /// Answer to `DescribeTemplate`. Closing.
    TemplateDescribed {
        id: RequestId,
        /// Whether it can be told that the model is to think, or not to (`Prompt::Chat::thinking`).
        can_switch_thinking: bool,
        /// Whether the model thinks where it can be told and is not.
        thinks: bool,
    },
    /// Answer to `Measure`. Closing.
    Measured {
        id: RequestId,
        /// What takes how much.
        parts: ContextParts,
    },
    /// A generation ended. Closing.
    Finished {
        id: RequestId,
        /// Why.
        reason: FinishReason,
        /// What it cost.
        stats: GenerationStats,
        /// Tokens in the KV cache (prompt and reply).
        context_used: usize,
    },
    /// A token of a lane of `Compare`.
    VariantToken {
        id: RequestId,
        /// Which lane, from 0.
        variant: usize,
        /// The token and how it was chosen.
        trace: TokenTrace,
        /// Tokens in that lane's KV cache by now (prompt and reply).
        context_used: usize,
    },
    /// A lane of `Compare` ended; the others go on.
    VariantFinished {
        id: RequestId,
        /// Which lane, from 0.
        variant: usize,
        /// Why.
        reason: FinishReason,
        /// What it cost. Its times are those that it waited: what lanes share counts for each of them.
        stats: GenerationStats,
    },
    /// Every lane of `Compare` has ended, and has been told to. Closing.
    Compared {
        id: RequestId,
        /// Tokens in the KV cache of the first lane: the prompt and its reply.
        context_used: usize,
    },
    /// A request failed; the worker lives on. Closing.
    Failed {
        id: RequestId,
        /// One clear sentence.
        error: String,
    },
    /// The thread itself is gone; no request will be answered.
    WorkerDied {
        /// What is known of the cause.
        error: String,
    },
}

impl EngineEvent {
    /// The request it is about; `None` for [`EngineEvent::WorkerDied`].
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::LoadProgress { id, .. }
            | Self::Loaded { id, .. }
            | Self::TurnsDropped { id, .. }
            | Self::Adapted { id, .. }
            | Self::ThoughtOpened { id, .. }
            | Self::PromptFault { id, .. }
            | Self::PrefillProgress { id, .. }
            | Self::Began { id, .. }
            | Self::Token { id, .. }
            | Self::Paused { id, .. }
            | Self::Resumed { id }
            | Self::TakenBack { id, .. }
            | Self::Distribution { id, .. }
            | Self::Scored { id, .. }
            | Self::PromptScored { id, .. }
            | Self::Counted { id, .. }
            | Self::Prefilled { id, .. }
            | Self::TemplateDescribed { id, .. }
            | Self::Measured { id, .. }
            | Self::Finished { id, .. }
            | Self::VariantToken { id, .. }
            | Self::VariantFinished { id, .. }
            | Self::Compared { id, .. }
            | Self::Failed { id, .. } => Some(*id),
            Self::WorkerDied { .. } => None,
        }
    }

    /// Whether it is the last event of its request.
    pub fn is_closing(&self) -> bool {
        match self {
            answers!() | Self::Loaded { .. } | Self::Finished { .. } | Self::Compared { .. } | Self::Failed { .. } => {
                true
            }
            of_prompt!()
            | Self::LoadProgress { .. }
            | Self::Token { .. }
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::TakenBack { .. }
            | Self::VariantToken { .. }
            | Self::VariantFinished { .. }
            | Self::WorkerDied { .. } => false,
        }
    }
}
