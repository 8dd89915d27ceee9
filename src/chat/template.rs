//! Chat templates: from messages to the text that the model was trained to read.
//!
//! A template is Jinja, as in Hugging Face's `tokenizer_config.json` and in GGUF's metadata. It comes with a model, from
//! strangers, so its output, its work and its recursion are limited.

mod builtin;
mod functions;

use std::io;
use std::path::Path;

use minijinja::{Environment, ErrorKind, Value, context};

use super::{Message, Role};
pub use builtin::BUILTIN_NAMES;

/// The most text that a template may produce, in bytes: tens of times the longest context.
const MAX_OUTPUT: usize = 8 << 20;

/// The most that a template may compute, in minijinja's units (about an instruction each).
const FUEL: u64 = 5_000_000;

/// How deep macros and blocks may nest.
const MAX_DEPTH: usize = 100;

/// The largest template that is read from a file.
const MAX_SOURCE: u64 = 1 << 20;

/// Stands for the reply that is to be continued while the template runs. No tokenizer, and no person, writes it.
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

/// A compiled template.
#[derive(Debug)]
pub struct ChatTemplate {
    name: String,
    environment: Environment<'static>,
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
        let size = std::fs::metadata(path).map_err(error)?.len();
        if size > MAX_SOURCE {
            let reason = format!("it has {size} bytes, and a template may have {MAX_SOURCE}");
            return Err(TemplateError::Limit { name, reason });
        }
        let source = std::fs::read_to_string(path).map_err(error)?;
        Self::from_source(&name, &source)
    }

    /// A template from its text. `name` is for messages.
    ///
    /// # Errors
    /// [`TemplateError::Jinja`] where it does not compile.
    pub fn from_source(name: &str, source: &str) -> Result<Self, TemplateError> {
        let mut environment = functions::environment();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_DEPTH);
        environment.add_template_owned(name.to_owned(), source.to_owned()).map_err(|error| describe(name, &error))?;
        Ok(Self { name: name.to_owned(), environment, stop: Vec::new(), begin: false })
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
    pub fn render(&self, messages: &[Message], special: &SpecialTexts) -> Result<String, TemplateError> {
        match messages.split_last() {
            Some((reply, before)) if reply.role == Role::Assistant => {
                // Templates trim, split and wrap a message's text. The mark shows where it would begin; there the reply
                // is written as it stands, and what the template puts behind it is left off.
                let marked = before.iter().map(|message| (message.role, message.content.as_str()));
                let marked = marked.chain([(Role::Assistant, REPLY_MARK)]);
                let mut text = self.run(marked, special, false)?;
                let at = text.rfind(REPLY_MARK).ok_or_else(|| TemplateError::CannotContinue(self.name.clone()))?;
                text.truncate(at);
                text.push_str(&reply.content);
                Ok(text)
            }
            _ => self.run(messages.iter().map(|message| (message.role, message.content.as_str())), special, true),
        }
    }

    fn run<'a>(
        &self,
        messages: impl Iterator<Item = (Role, &'a str)>,
        special: &SpecialTexts,
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Value> =
            messages.map(|(role, content)| context! { role => role.as_str(), content => content }).collect();
        let variables = context! {
            messages => messages,
            bos_token => special.bos.as_str(),
            eos_token => special.eos.as_str(),
            add_generation_prompt => add_generation_prompt,
        };
        let mut output = Limited::default();
        let template = self.environment.get_template(&self.name).map_err(|error| describe(&self.name, &error))?;
        match template.render_captured_to(variables, &mut output) {
            Ok(_) => Ok(String::from_utf8_lossy(&output.bytes).into_owned()),
            Err(_) if output.full => {
                let reason = format!("it writes more than {MAX_OUTPUT} bytes");
                Err(TemplateError::Limit { name: self.name.clone(), reason })
            }
            Err(error) => Err(describe(&self.name, &error)),
        }
    }
}

/// Takes a template's output up to a limit.
#[derive(Debug, Default)]
struct Limited {
    bytes: Vec<u8>,
    full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::Error::other("too much output"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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
