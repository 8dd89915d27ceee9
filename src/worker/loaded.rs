//! The model that is loaded, and how a prompt becomes its tokens.

use std::sync::Arc;

use crate::chat::Message;
use crate::chat::context_window::ContextWindow;
use crate::chat::template::{ChatTemplate, RenderOptions, Rendered, Sandbox, SpecialTexts, TemplateError, is_template};
use gibber_engine::inference::Inference;
use gibber_engine::load::LoadedModel;
use gibber_engine::sampling::{Parameter, Recommended, SamplingParams};
use gibber_engine::tokenizer::Tokenizer;
use gibber_engine::{EngineError, TokenId};

use super::places::{PromptPlace, places};
use super::protocol::{Prompt, PromptFault, TemplateChoice};

/// The template of models that were never taught one.
const FALLBACK_TEMPLATE: &str = "plain";

/// Bytes of text that a token never stands for on the average: only a text with more of them for each token of the context
/// is worth counting before anything is done with it.
const BYTES_PER_TOKEN: usize = 8;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("no model is loaded: choose one with /model or -m/--model")]
    NoModel,
    #[error("what the last token of that reply was drawn from is kept no more")]
    NoLogits,
    #[error("this program has no model inside: name one with -m/--model")]
    NotEmbedded,
    #[error("the scoring was stopped")]
    Cancelled,
    #[error("{0}; the model before it was given up for it and cannot be loaded again: choose one with /model")]
    Lost(EngineError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// Turns of a conversation that were left out, and what they were: the same conversation goes on without them.
#[derive(Debug, Default)]
struct LeftOut {
    beginning: Vec<Message>,
    turns: usize,
}

/// A model: what computes, apart from what reads a conversation, so that both can be at work together.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) inference: Inference,
    /// The lanes of the last comparison but the one in `inference`, until a reply is asked for: only its prompt says which
    /// of them was kept.
    pub(super) variants: Vec<Inference>,
    pub(super) reader: Reader,
}

/// What turns a conversation into tokens.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) tokenizer: Arc<Tokenizer>,
    name: String,
    chat_template: Option<String>,
    special: SpecialTexts,
    pub(super) sandbox: Sandbox,
    pub(super) context: usize,
    trained_context: usize,
    left_out: LeftOut,
    /// The sampling that is recommended for the model.
    recommended: Recommended,
    /// Names of templates of which it was said what is wrong with their prompts, and of a model whose own is none.
    faulty: Vec<String>,
}

/// How a prompt is turned into tokens, and again when the context has filled up.
#[derive(Clone)]
pub(super) enum Source<'a> {
    Raw(&'a str),
    Chat {
        template: Arc<ChatTemplate>,
        /// Whether it stands in for one of the model's that is none.
        stands_in: bool,
        window: ContextWindow<'a>,
        messages: &'a [Message],
        thinking: Option<bool>,
    },
}

impl Loaded {
    /// Strangers' templates run in `sandbox`.
    pub(super) fn new(model: LoadedModel, sandbox: &Sandbox) -> Self {
        // GPT-2's files do not spell their end token out.
        let end = || model.tokenizer.eos_tokens().first().map(|&end| model.tokenizer.piece(end));
        let eos = model.eos_token.or_else(end).unwrap_or_default();
        if model.chat_template.is_some() {
            sandbox.warm();
        }
        let reader = Reader {
            tokenizer: model.tokenizer,
            name: model.info.name,
            chat_template: model.chat_template,
            special: SpecialTexts { bos: model.bos_token.unwrap_or_default(), eos },
            sandbox: sandbox.clone(),
            context: model.inference.context(),
            trained_context: model.info.trained_context,
            left_out: LeftOut::default(),
            recommended: model.info.recommended,
            faulty: Vec::new(),
        };
        Self { inference: model.inference, variants: Vec::new(), reader }
    }

    /// Goes on from the lane that shares most with `prompt`.
    pub(super) fn adopt_fork(&mut self, prompt: &[TokenId]) {
        let here = self.inference.shared_with(prompt);
        let there = self.variants.iter_mut().map(|variant| (variant.shared_with(prompt), variant));
        if let Some((shared, variant)) = there.max_by_key(|(shared, _)| *shared)
            && shared > here
        {
            std::mem::swap(&mut self.inference, variant);
        }
    }

    /// As [`Self::adopt_fork`], and gives the other lanes up.
    pub(super) fn prune_forks(&mut self, prompt: &[TokenId]) {
        self.adopt_fork(prompt);
        self.variants.clear();
    }
}

impl Reader {
    /// How much of the context a conversation takes once turns have been dropped from it.
    fn target(&self) -> usize {
        self.context / 4 * 3
    }

    pub(super) fn encode(
        &self,
        template: &ChatTemplate,
        messages: &[Message],
        thinking: Option<bool>,
    ) -> Result<Vec<TokenId>, RequestError> {
        let text = template.render(messages, &self.options(thinking))?;
        Ok(self.tokenizer.encode(&text, template.wants_bos())?)
    }

    pub(super) fn options(&self, thinking: Option<bool>) -> RenderOptions {
        RenderOptions { special: self.special.clone(), thinking }
    }

    /// What is kept free for a reply, at the least, before old turns are dropped: an eighth of the context.
    pub(super) fn room_for_reply(&self) -> usize {
        (self.context / 8).max(1)
    }

    /// Prepares `prompt`: compiles its template, and leaves out the turns that this conversation did without before,
    /// where it is still too long to have them back.
    pub(super) fn source<'a>(&self, prompt: &'a Prompt) -> Result<Source<'a>, RequestError> {
        match prompt {
            Prompt::Raw(text) => {
                self.check_length(&[text])?;
                Ok(Source::Raw(text))
            }
            Prompt::Chat { messages, template, thinking } => {
                let thinking = *thinking;
                let stands_in = *template == TemplateChoice::Model && self.has_no_template();
                let template = Arc::new(self.template(template)?);
                let mut window = ContextWindow::new(messages);
                self.check_length(&window.least())?;
                if self.left_out.turns > 0
                    && messages.starts_with(&self.left_out.beginning)
                    && self.encode(&template, messages, thinking)?.len() > self.target()
                {
                    window.drop_turns(self.left_out.turns);
                }
                Ok(Source::Chat { template, stands_in, window, messages, thinking })
            }
        }
    }

    /// Refuses texts that fill more than the context by themselves, before a template sees them: it would be blamed for
    /// their length, or work on them for long.
    fn check_length(&self, texts: &[&str]) -> Result<(), EngineError> {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        if bytes / BYTES_PER_TOKEN <= self.context {
            return Ok(());
        }
        let tokens = texts.iter().map(|text| self.tokenizer.count(text)).sum::<Result<usize, EngineError>>()?;
        let (context, trained) = (self.context, self.trained_context);
        if tokens > context { Err(EngineError::ContextFull { tokens, context, trained }) } else { Ok(()) }
    }

    /// Remembers what a conversation does without by now.
    pub(super) fn remember(&mut self, source: &Source<'_>) {
        let Source::Chat { window, messages, .. } = source else { return };
        let end = window.dropped().last().map_or(0, |last| last + 1);
        self.left_out = LeftOut { beginning: messages[..end].to_vec(), turns: window.dropped_turns() };
    }

    /// What is computed for a reply to `prompt` of at most `max_tokens` tokens: the tokens, and the source that they are
    /// of, which knows what was left out.
    pub(super) fn request<'a>(
        &self,
        prompt: &'a Prompt,
        max_tokens: Option<usize>,
    ) -> Result<(Source<'a>, Vec<TokenId>), RequestError> {
        let mut source = self.source(prompt)?;
        let room = max_tokens.unwrap_or(usize::MAX).clamp(1, self.room_for_reply());
        let tokens = self.tokens(&mut source, room)?;
        Ok((source, tokens))
    }

    pub(super) fn template(&self, choice: &TemplateChoice) -> Result<ChatTemplate, TemplateError> {
        match choice {
            TemplateChoice::Builtin(name) => ChatTemplate::builtin(name),
            TemplateChoice::File(path) => ChatTemplate::from_file(path, &self.sandbox),
            TemplateChoice::Model => match self.own_template() {
                None | Some(Err(TemplateError::Nothing(_))) => ChatTemplate::builtin(FALLBACK_TEMPLATE),
                Some(own) => own,
            },
        }
    }

    /// Whether what came with the model for a template is a text that is none.
    fn has_no_template(&self) -> bool {
        self.chat_template.as_deref().is_some_and(|source| !source.trim().is_empty() && !is_template(source))
    }

    /// The model's own, where it has one.
    fn own_template(&self) -> Option<Result<ChatTemplate, TemplateError>> {
        let source = self.chat_template.as_deref()?;
        Some(ChatTemplate::of_model(&self.name, source, &self.sandbox))
    }

    /// The name of the template of `source` where it leaves the question out of the prompt; told once for each.
    pub(super) fn new_fault(&mut self, source: &Source<'_>) -> Result<Option<PromptFault>, RequestError> {
        let Source::Chat { template, stands_in, window, thinking, .. } = source else { return Ok(None) };
        if *stands_in && !self.faulty.contains(&self.name) {
            self.faulty.push(self.name.clone());
            return Ok(Some(PromptFault::NoTemplate { model: self.name.clone() }));
        }
        if self.faulty.iter().any(|name| name == template.name()) {
            return Ok(None);
        }
        let (kept, options) = (window.kept(), self.options(*thinking));
        let prompt = template.render(&kept, &options)?;
        if !template.leaves_out_question(&kept, &options, &prompt) {
            return Ok(None);
        }
        self.faulty.push(template.name().to_owned());
        Ok(Some(PromptFault::QuestionLeftOut { template: template.name().to_owned() }))
    }

    /// What is left of `source` as text, as its tokens are read from it.
    pub(super) fn text(&self, source: &Source<'_>) -> Result<String, RequestError> {
        match source {
            Source::Raw(text) => Ok((*text).to_owned()),
            Source::Chat { template, window, thinking, .. } => {
                Ok(template.render(&window.kept(), &self.options(*thinking))?)
            }
        }
    }

    /// The tokens of `source`, with as many turns dropped as it takes to leave `room` tokens free; some more where any
    /// has to go, so that the next turns fit as well.
    pub(super) fn tokens(&self, source: &mut Source<'_>, room: usize) -> Result<Vec<TokenId>, RequestError> {
        match source {
            Source::Raw(text) => Ok(self.tokenizer.encode(text, true)?),
            Source::Chat { template, window, thinking, .. } => {
                let thinking = *thinking;
                let limit = self.context.saturating_sub(room);
                window.fit(limit, limit.min(self.target()), |messages| self.encode(template, messages, thinking))
            }
        }
    }
}

impl Reader {
    /// What is to be known of the prompt of `source` before a reply to it comes, with indices of all its messages.
    pub(super) fn remarks(&self, source: &Source<'_>) -> Result<Rendered, RequestError> {
        let Source::Chat { template, window, messages, thinking, .. } = source else { return Ok(Rendered::default()) };
        let mut rendered = template.rendered(&window.kept(), &self.options(*thinking))?;
        let dropped = window.dropped();
        let kept: Vec<usize> = (0..messages.len()).filter(|at| !dropped.contains(at)).collect();
        rendered.adaptation.uncounted.iter_mut().for_each(|at| *at = kept[*at]);
        Ok(rendered)
    }

    /// Whether the template can be told whether the model is to think, and whether it thinks where it is not told.
    pub(super) fn describe_thinking(&self, template: &TemplateChoice) -> Result<(bool, bool), RequestError> {
        let (template, options) = (self.template(template)?, self.options(None));
        Ok((template.can_switch_thinking(&options)?, template.thinks(&options)?))
    }

    /// The sampling of a reply to `source`: of the parameters that are `open`, what is recommended for the model.
    pub(super) fn sampling(
        &self,
        sampling: SamplingParams,
        open: &[Parameter],
        source: &Source<'_>,
    ) -> Result<SamplingParams, RequestError> {
        if open.is_empty() || self.recommended.is_empty() {
            return Ok(sampling);
        }
        let thinks = match source {
            // Strangers' templates are asked where it makes a difference.
            Source::Chat { template, thinking, .. } if self.recommended.has_modes() => {
                template.thinks(&self.options(*thinking))?
            }
            Source::Chat { .. } | Source::Raw(_) => false,
        };
        let recommended = self.recommended.of(thinks);
        let mut sampling = sampling;
        for parameter in open {
            if let Some(value) = recommended.get(*parameter) {
                parameter.set(&mut sampling, value.clone());
            }
        }
        Ok(sampling)
    }

    /// Where each of `tokens`, those of `source`, stands: which message of the prompt it is part of.
    pub(super) fn places(&self, source: &Source<'_>, tokens: &[TokenId]) -> Result<Vec<PromptPlace>, RequestError> {
        let Source::Chat { template, window, messages, thinking, .. } = source else {
            let Source::Raw(text) = source else { return Ok(Vec::new()) };
            return Ok(places(&self.tokenizer, text, &[], tokens));
        };
        let (kept, options, dropped) = (window.kept(), self.options(*thinking), window.dropped());
        let text = template.render(&kept, &options)?;
        let mut contents = template.contents(&kept, &options, &text);
        let indices: Vec<usize> = (0..messages.len()).filter(|at| !dropped.contains(at)).collect();
        contents.iter_mut().for_each(|content| content.message = indices[content.message]);
        Ok(places(&self.tokenizer, &text, &contents, tokens))
    }
}

impl Source<'_> {
    /// Texts that end a reply, beside those of the request.
    pub(super) fn stop_strings(&self) -> &[String] {
        match self {
            Self::Raw(_) => &[],
            Self::Chat { template, .. } => template.stop_strings(),
        }
    }

    /// Indices of the messages that are left out.
    pub(super) fn dropped(&self) -> Vec<usize> {
        match self {
            Self::Raw(_) => Vec::new(),
            Self::Chat { window, .. } => window.dropped(),
        }
    }
}
