//! Chat templates: from messages to the text that the model was trained to read.
//!
//! A template is Jinja, as in Hugging Face's `tokenizer_config.json` and in GGUF's metadata. It comes with a model, from
//! strangers, so its output, its work and its recursion are limited.

mod builtin;
mod contents;
mod functions;
mod guard;

use std::io;
use std::path::Path;

use minijinja::{Environment, ErrorKind, Value, context};

use super::{Message, Role};
pub use builtin::BUILTIN_NAMES;
pub use contents::Content;
use guard::{Limited, MAX_OUTPUT, MAX_SOURCE, Work};

/// What a template may compute, in minijinja's units: an instruction, or 64 bytes that are made or looked through.
const FUEL: u64 = 300_000;

/// What it may compute more for each message.
const FUEL_PER_MESSAGE: u64 = 3_000;

/// How deep macros and blocks may nest.
const MAX_DEPTH: usize = 100;

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

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
    work: Work,
    stop: Vec<String>,
    begin: bool,
}

impl ChatTemplate {
    /// A built-in template, one of [`BUILTIN_NAMES`].
    ///
    /// # Errors
    /// [`TemplateError::Unknown`]
    pub fn builtin(name: &str) -> Result<Self, TemplateError> {
        let builtin = builtin::find(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        let mut template = Self::from_source(name, builtin.source)?;
        template.stop = builtin.stop.iter().map(|&stop| stop.to_owned()).collect();
        template.begin = builtin.begin;
        Ok(template)
    }

    /// A template from a file.
    ///
    /// # Errors
    /// [`TemplateError::Io`]; [`TemplateError::Jinja`] where it does not compile.
    pub fn from_file(path: &Path) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let error = |source| TemplateError::Io { path: name.clone(), source };
        let source = gibber_files::read_text(path, MAX_SOURCE as u64).map_err(error)?;
        Self::from_source(&name, &source)
    }

    /// A template from its text. `name` is for messages.
    ///
    /// # Errors
    /// [`TemplateError::Jinja`] where it does not compile; [`TemplateError::Limit`] where it is too long.
    pub fn from_source(name: &str, source: &str) -> Result<Self, TemplateError> {
        guard::check_source(name, source)?;
        let work = Work::default();
        let mut environment = functions::environment(&work);
        environment.set_recursion_limit(MAX_DEPTH);
        let source = functions::without_generation_marks(source);
        let environment = guard::on_deep_stack(name, move || {
            environment.add_template_owned(name.to_owned(), source).map_err(|error| describe(name, &error))?;
            Ok(environment)
        })?;
        Ok(Self { name: name.to_owned(), environment, work, stop: Vec::new(), begin: false })
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
    pub fn wants_begin_token(&self) -> bool {
        self.begin
    }

    /// The prompt for `messages`. Where the last one is the model's own, the text ends exactly after it, so that the
    /// reply goes on; otherwise it ends where a reply begins.
    ///
    /// # Errors
    /// All but [`TemplateError::Unknown`] and [`TemplateError::Io`].
    pub fn render(&self, messages: &[Message], options: &RenderOptions) -> Result<String, TemplateError> {
        match messages.split_last() {
            Some((reply, before)) if reply.role == Role::Assistant => {
                self.render_up_to(before, &reply.content, options)
            }
            _ => self.run(texts(messages), options, true),
        }
    }

    /// The prompt for `before`, and behind it `reply` as it stands: as the model wrote it, so that the text is the one
    /// that it has read and written so far.
    fn render_up_to(&self, before: &[Message], reply: &str, options: &RenderOptions) -> Result<String, TemplateError> {
        let open = self.run(texts(before), options, true);
        if let Ok(open) = &open
            && self.run(texts(before), options, false).is_ok_and(|closed| closed != *open)
        {
            return Ok(format!("{open}{reply}"));
        }
        // The template has nothing that opens a reply: the mark shows where one would stand.
        let marked = texts(before).chain([(Role::Assistant, REPLY_MARK)]);
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

    fn run<'a>(
        &self,
        messages: impl Iterator<Item = (Role, &'a str)>,
        options: &RenderOptions,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let mut bytes = 0;
        let message = |(role, content): (Role, &str)| {
            bytes += content.len() as u64;
            context! { role => role.as_str(), content => content }
        };
        let messages: Vec<Value> = messages.map(message).collect();
        let fuel = FUEL + FUEL_PER_MESSAGE * messages.len() as u64 + bytes / 4;
        let thinking = match options.thinking {
            Some(thinking) => context! { enable_thinking => thinking },
            None => context! {},
        };
        let variables = context! {
            messages => messages,
            // No tools, and no documents to search: not the same to a template as if it were not told.
            tools => (),
            documents => (),
            bos_token => options.special.bos.as_str(),
            eos_token => options.special.eos.as_str(),
            add_generation_prompt => add_generation_prompt,
            ..thinking
        };
        guard::on_deep_stack(&self.name, move || self.run_with_fuel(variables, fuel))
    }

    fn run_with_fuel(&self, variables: Value, fuel: u64) -> Result<String, TemplateError> {
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        self.work.refill();
        let mut output = Limited::default();
        let template = environment.get_template(&self.name).map_err(|error| describe(&self.name, &error))?;
        let outcome = template.render_captured_to(variables, &mut output).map(|_| ());
        match outcome {
            Ok(()) => Ok(String::from_utf8_lossy(&output.bytes).into_owned()),
            Err(_) if output.full => {
                let reason = format!("it writes more than {MAX_OUTPUT} bytes");
                Err(TemplateError::Limit { name: self.name.clone(), reason })
            }
            Err(error) => Err(describe(&self.name, &error)),
        }
    }
}

fn texts(messages: &[Message]) -> impl Iterator<Item = (Role, &str)> {
    messages.iter().map(|message| (message.role, message.content.as_str()))
}

fn describe(name: &str, error: &minijinja::Error) -> TemplateError {
    let name = name.to_owned();
    if let Some(reason) = functions::refusal(error) {
        return TemplateError::Refused { name, reason };
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return TemplateError::Limit { name, reason: "it computes for too long".into() };
    }
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    TemplateError::Jinja { name, line: error.line(), reason }
}

#[cfg(test)]
mod tests;
