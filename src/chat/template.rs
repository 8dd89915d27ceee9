//! Chat templates: from messages to the text that the model was trained to read.
//!
//! A template is Jinja, as in Hugging Face's `tokenizer_config.json` and in GGUF's metadata. One that comes with a model
//! or from a file is a stranger's program: it runs in a process of its own, the [`Sandbox`]. The built-in ones run here.

mod builtin;
mod contents;
mod engine;
mod filters;
mod functions;
mod helper;
mod json;
mod kinds;
mod macros;
mod methods;
mod percent;
mod python;
mod roles;
mod sandbox;
mod source;
mod wire;

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use super::{Message, Role, thinking};
pub use builtin::{BUILTIN_NAMES, RAW_NAME};
pub use contents::Content;
use engine::{Engine, Failure, Rendering};
pub use helper::{ARGUMENT as HELPER_ARGUMENT, serve};
use roles::Conversation;
pub use roles::{Adaptation, Rendered};
pub use sandbox::Sandbox;
use wire::Request;

/// The largest template: tens of times the longest that is published.
const MAX_SOURCE: usize = 1 << 20;

/// Stands for a reply that is to be continued while a template runs that has nothing to open one. No tokenizer, and no person, writes it.
const REPLY_MARK: &str = "\u{fdd0}reply\u{fdd1}";

/// What can be wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// There is no built-in template of that name.
    #[error("there is no chat template `{0}`: the built-in ones are {list}, anything else is the path of a Jinja file", list = BUILTIN_NAMES.join(", "))]
    Unknown(String),
    /// The file cannot be read.
    #[error("cannot read the chat template {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is not Jinja, or uses something that does not exist.
    #[error("chat template {name}{line}: {reason}", line = line.map(|line| format!(", line {line}")).unwrap_or_default())]
    Jinja {
        /// The template.
        name: String,
        /// Where, from 1.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// It refuses these messages (`raise_exception`).
    #[error("chat template {name} refuses this conversation: {reason}")]
    Refused {
        /// The template.
        name: String,
        /// In the template's words.
        reason: String,
    },
    /// It does more than a template may.
    #[error("chat template {name} was stopped: {reason}")]
    Limit {
        /// The template.
        name: String,
        /// Which limit.
        reason: String,
    },
    /// The template that came with the model fails.
    #[error("{0}: --chat-template chatml (/template chatml in a chat) takes another in its place, --raw none")]
    OfModel(Box<TemplateError>),
    /// It has no tag in it, so that no message could stand in what it writes.
    #[error("chat template {0} is empty: no message would be part of the prompt")]
    Nothing(String),
    /// It leaves out the reply that is to be continued.
    #[error("chat template {0} leaves out the reply that is to be continued: use /regen, or another /template")]
    CannotContinue(String),
}

/// The texts of the model's begin and end tokens; empty where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTexts {
    /// `bos_token`
    pub bos: String,
    /// `eos_token`
    pub eos: String,
}

/// What a template is told beside the messages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderOptions {
    /// The texts of the special tokens.
    pub special: SpecialTexts,
    /// Whether the model is to think before it answers (`enable_thinking`); `None` leaves it to the template.
    pub thinking: Option<bool>,
}

impl TemplateError {
    fn of_model(self) -> Self {
        Self::OfModel(Box::new(self))
    }

    fn new(name: &str, failure: Failure) -> Self {
        let name = name.to_owned();
        match failure {
            Failure::Jinja { line, reason } => Self::Jinja { name, line, reason },
            Failure::Refused(reason) => Self::Refused { name, reason },
            Failure::Limit(reason) => Self::Limit { name, reason },
        }
    }
}

/// A template, and where it runs.
#[derive(Debug)]
pub struct ChatTemplate {
    name: String,
    renderer: Renderer,
    stop: Vec<String>,
    begin: bool,
    /// Whether it came with a model: no choice of the person's.
    is_of_model: bool,
    /// Whether a system message is in what it writes, once that was tried.
    takes_system: OnceLock<bool>,
}

/// Where a template runs.
#[derive(Debug)]
enum Renderer {
    /// In this process, without a limit: a template of our own.
    Here(Box<Engine>),
    /// A stranger's.
    There { sandbox: Sandbox, source: String },
}

impl ChatTemplate {
    /// A built-in template, one of [`BUILTIN_NAMES`].
    ///
    /// # Errors
    /// [`TemplateError::Unknown`]
    pub fn builtin(name: &str) -> Result<Self, TemplateError> {
        let builtin = builtin::find(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        let engine = Engine::compile(builtin.source).map_err(|failure| TemplateError::new(name, failure))?;
        let stop = builtin.stop.iter().map(|&stop| stop.to_owned()).collect();
        Ok(Self { stop, begin: builtin.begin, ..Self::new(name, Renderer::Here(Box::new(engine))) })
    }

    /// A template from a file.
    ///
    /// # Errors
    /// [`TemplateError::Io`], and those of [`ChatTemplate::of_stranger`].
    pub fn from_file(path: &Path, sandbox: &Sandbox) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let error = |source| TemplateError::Io { path: name.clone(), source };
        let source = gibber_files::read_text(path, MAX_SOURCE as u64).map_err(error)?;
        Self::of_stranger(&name, &source, sandbox)
    }

    /// A template from its text; a built-in one where that is only its name, as some converters write it. `name` is for
    /// messages. Whether it compiles is known when it is rendered.
    ///
    /// # Errors
    /// [`TemplateError::Nothing`]; [`TemplateError::Limit`] where it is too long.
    pub fn of_stranger(name: &str, source: &str, sandbox: &Sandbox) -> Result<Self, TemplateError> {
        if BUILTIN_NAMES.contains(&source.trim()) {
            return Self::builtin(source.trim());
        }
        if !is_template(source) {
            return Err(TemplateError::Nothing(name.to_owned()));
        }
        if source.len() > MAX_SOURCE {
            let reason = format!("it has {} bytes, and a template may have {MAX_SOURCE}", source.len());
            return Err(TemplateError::Limit { name: name.to_owned(), reason });
        }
        let renderer = Renderer::There { sandbox: sandbox.clone(), source: source.to_owned() };
        Ok(Self::new(name, renderer))
    }

    /// The template that came with a model: an error of it says what can be used in its place.
    ///
    /// # Errors
    /// As [`ChatTemplate::of_stranger`].
    pub fn of_model(model: &str, source: &str, sandbox: &Sandbox) -> Result<Self, TemplateError> {
        match Self::of_stranger(&format!("of {model}"), source, sandbox) {
            Ok(template) => Ok(Self { is_of_model: true, ..template }),
            Err(nothing @ TemplateError::Nothing(_)) => Err(nothing),
            Err(error) => Err(error.of_model()),
        }
    }

    fn new(name: &str, renderer: Renderer) -> Self {
        let takes_system = OnceLock::new();
        Self { name: name.to_owned(), renderer, stop: Vec::new(), begin: false, is_of_model: false, takes_system }
    }

    /// A template of a test's own, which runs in the test.
    #[cfg(test)]
    pub(crate) fn from_source(name: &str, source: &str) -> Result<Self, TemplateError> {
        let engine = Engine::compile(source).map_err(|failure| TemplateError::new(name, failure))?;
        Ok(Self::new(name, Renderer::Here(Box::new(engine))))
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Texts that end a reply under this template, where no end token does.
    pub fn stop_strings(&self) -> &[String] {
        &self.stop
    }

    /// Whether the tokenizer is to put its begin token in front. Templates that come with a model write it themselves.
    pub fn wants_bos(&self) -> bool {
        self.begin
    }

    /// The prompt for `messages`. Where the last one is the model's own, the text ends exactly after it, so that the
    /// reply goes on; otherwise it ends where a reply begins. What the template does not take as it is goes in otherwise:
    /// [`ChatTemplate::rendered`] says what.
    ///
    /// # Errors
    /// All but [`TemplateError::Unknown`] and [`TemplateError::Io`].
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String, TemplateError> {
        Ok(self.adapted(messages, options)?.1)
    }

    /// The prompt for `before`, and behind it `reply` as it stands: as the model wrote it, so that the text is the one
    /// that it has read and written so far.
    fn render_up_to(&self, before: &[Message], reply: &str, options: &RenderOptions) -> Result<String, TemplateError> {
        let open = self.run(texts(before), options, true);
        if let Ok(open) = &open
            && let Ok(closed) = self.run(texts(before), options, false)
            && closed != *open
        {
            return Ok(thinking::behind(open, own_end(open, &closed), reply));
        }
        // The template has nothing that opens a reply: the mark shows where one would stand.
        let marked = texts(before).chain([(Role::Assistant, REPLY_MARK.into())]);
        let mut text = self.run(marked, options, false)?;
        let at = text.rfind(REPLY_MARK).ok_or_else(|| TemplateError::CannotContinue(self.name.clone()))?;
        text.truncate(at);
        // Where it only puts a blank there, a blank of the model's own serves.
        if let Ok(open) = open
            && text.strip_prefix(&open).is_some_and(|rest| rest.trim().is_empty())
            && reply.starts_with(char::is_whitespace)
        {
            text = open;
        }
        text.push_str(reply);
        Ok(text)
    }

    /// What `open`, the prompt of a conversation, opens a thought with at its end.
    fn opening(
        &self,
        conversation: &Conversation,
        open: &str,
        options: &RenderOptions,
    ) -> Result<String, TemplateError> {
        if thinking::opening(open).is_none() {
            return Ok(String::new());
        }
        let closed = self.run(texts(&conversation.messages), options, false)?;
        Ok(thinking::opening(&open[own_end(open, &closed)..]).unwrap_or_default().to_owned())
    }

    /// Whether it does something else where the model is to think than where it is not.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn can_switch_thinking(&self, options: &RenderOptions) -> Result<bool, TemplateError> {
        Ok(self.asked_to_think(Some(true), options)? != self.asked_to_think(Some(false), options)?)
    }

    /// Whether the model thinks before a reply that is asked for with `options`, as far as the template decides that.
    pub fn thinks(&self, options: &RenderOptions) -> Result<bool, TemplateError> {
        if !self.can_switch_thinking(options)? {
            return Ok(false);
        }
        match options.thinking {
            Some(thinking) => Ok(thinking),
            None => Ok(self.asked_to_think(None, options)? == self.asked_to_think(Some(true), options)?),
        }
    }

    fn asked_to_think(&self, thinking: Option<bool>, options: &RenderOptions) -> Result<String, TemplateError> {
        self.render(&[Message::new(Role::User, "?")], &RenderOptions { thinking, ..options.clone() })
    }

    /// Whether `prompt`, which [`ChatTemplate::render`] has made of `messages`, is the same whatever the question at their
    /// end says.
    pub fn leaves_out_question(&self, messages: &[Message], options: &RenderOptions, prompt: &str) -> bool {
        let Some((question, before)) = messages.split_last().filter(|(last, _)| last.role == Role::User) else {
            return false;
        };
        let asked = question.content.trim();
        if asked.is_empty() || prompt.contains(asked) {
            return false;
        }
        let other = [before, &[Message::new(Role::User, format!("{REPLY_MARK}{asked}"))]].concat();
        self.render(&other, options).is_ok_and(|other| other == prompt)
    }

    fn run<'a>(
        &self,
        messages: impl Iterator<Item = (Role, Cow<'a, str>)>,
        options: &RenderOptions,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let rendering = Rendering {
            messages: messages.map(|(role, content)| (role.as_str().into(), content)).collect(),
            bos: options.special.bos.as_str().into(),
            eos: options.special.eos.as_str().into(),
            thinking: options.thinking,
            add_generation_prompt,
        };
        let text = match &self.renderer {
            Renderer::Here(engine) => engine.render(&rendering, usize::MAX),
            Renderer::There { sandbox, source } => sandbox.ask(&Request { source: source.into(), rendering }),
        };
        text.map_err(|failure| TemplateError::new(&self.name, failure))
    }
}

/// Whether a text can be a template: something in it stands for something else, or it is the name of a built-in one.
pub fn is_template(source: &str) -> bool {
    source.contains("{{") || source.contains("{%") || BUILTIN_NAMES.contains(&source.trim())
}

/// The messages as they go into a prompt.
fn texts(messages: &[Message]) -> impl Iterator<Item = (Role, Cow<'_, str>)> {
    messages.iter().map(|message| match message.role {
        Role::Assistant => (message.role, thinking::closed(&message.content)),
        Role::System | Role::User => (message.role, message.content.as_str().into()),
    })
}

/// Where in `open`, a prompt, what opens the reply begins: behind `closed`, the prompt without it. 0 where that cannot be told.
fn own_end(open: &str, closed: &str) -> usize {
    if open.starts_with(closed) { closed.len() } else { 0 }
}

#[cfg(test)]
mod tests;
