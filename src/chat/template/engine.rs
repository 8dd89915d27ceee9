//! Compiles a template and renders it, in whichever process it is called: nothing here is limited but the output.

use std::borrow::Cow;
use std::io;

use minijinja::{Environment, Value, context};
use serde::{Deserialize, Serialize};

use super::{functions, source};

/// The template's name inside the engine; people are told the one that it has outside.
const NAME: &str = "chat";

/// How deep macros and blocks may nest.
const MAX_DEPTH: usize = 500;

/// Why there is no text, in what crosses the boundary of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Failure {
    /// It is not Jinja, or uses something that does not exist.
    Jinja { line: Option<usize>, reason: String },
    /// `raise_exception`, in the template's words.
    Refused(String),
    /// It does more than a template may.
    Limit(String),
}

/// What a template is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rendering<'a> {
    /// Role and text of each message.
    pub(super) messages: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) bos: Cow<'a, str>,
    pub(super) eos: Cow<'a, str>,
    pub(super) thinking: Option<bool>,
    pub(super) add_generation_prompt: bool,
}

/// A compiled template.
#[derive(Debug)]
pub(super) struct Engine {
    environment: Environment<'static>,
    /// What the template calls the least effort (`reasoning_effort`): of some it is none at all.
    least_effort: &'static str,
}

impl Engine {
    pub(super) fn compile(source: &str) -> Result<Self, Failure> {
        let mut environment = functions::environment();
        environment.set_recursion_limit(MAX_DEPTH);
        let knows_none = ["'none'", "\"none\""].iter().any(|none| source.contains(none));
        let least_effort = if knows_none { "none" } else { "low" };
        let source = source::adapted(source);
        environment.add_template_owned(NAME, source).map_err(|error| describe(&error))?;
        Ok(Self { environment, least_effort })
    }

    /// The text, which may have `max_output` bytes.
    pub(super) fn render(&self, rendering: &Rendering<'_>, max_output: usize) -> Result<String, Failure> {
        let mut output = Limited { bytes: Vec::new(), max: max_output, full: false };
        let template = self.environment.get_template(NAME).map_err(|error| describe(&error))?;
        let outcome = template.render_captured_to(self.variables(rendering), &mut output).map(|_| ());
        match outcome {
            Ok(()) => Ok(String::from_utf8_lossy(&output.bytes).into_owned()),
            Err(_) if output.full => Err(Failure::Limit(format!("it writes more than {max_output} bytes"))),
            Err(error) => Err(describe(&error)),
        }
    }

    fn variables(&self, rendering: &Rendering<'_>) -> Value {
        let message = |(role, content): &(Cow<'_, str>, Cow<'_, str>)| {
            context! { role => role.as_ref(), content => content.as_ref() }
        };
        let messages: Vec<Value> = rendering.messages.iter().map(message).collect();
        let thinking = match rendering.thinking {
            // Qwen's name for it, Granite's and DeepSeek's, and gpt-oss's, whose models think in any case.
            Some(thinking) => {
                let effort = if thinking { "high" } else { self.least_effort };
                context! { enable_thinking => thinking, thinking => thinking, reasoning_effort => effort }
            }
            None => context! {},
        };
        context! {
            messages => messages,
            // No tools, and no documents to search: not the same to a template as if it were not told.
            tools => (),
            documents => (),
            bos_token => rendering.bos.as_ref(),
            eos_token => rendering.eos.as_ref(),
            add_generation_prompt => rendering.add_generation_prompt,
            ..thinking
        }
    }
}

fn describe(error: &minijinja::Error) -> Failure {
    if let Some(reason) = functions::refusal(error) {
        return Failure::Refused(reason);
    }
    let reason = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    Failure::Jinja { line: error.line(), reason }
}

/// Takes a template's output up to a limit.
#[derive(Debug)]
struct Limited {
    bytes: Vec<u8>,
    max: usize,
    full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if part.len() > self.max - self.bytes.len() {
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
