//! `gibber run`: one reply on stdout.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::args::{self, RAW_TEMPLATE, Run};
use super::output::{Output, rounded};
use super::session::{Session, unexpected};
use super::{Context, Exit, INTERRUPTED, Usage, text};
use crate::app::{ReplySummary, template_choice};
use crate::chat::thinking::ThoughtFilter;
use crate::chat::{Message, Role};
use crate::engine::TokenId;
use crate::worker::protocol::{
    EngineCommand, EngineEvent, FinishReason, GenerationParams, GenerationStats, Prompt, Stepping, TokenTrace,
};

pub(super) fn run(mut context: Context, arguments: &Run) -> Result<()> {
    arguments.chat.apply(&mut context.settings);
    context.settings.sampling.validate().map_err(|error| Usage(error.to_string()))?;
    let prompt = prompt(&context, arguments)?;
    let params = params(&context);
    let mut session = Session::start(&context)?;
    let mut reply = Reply::new(arguments.json);
    reply.filter = (!is_raw(&context)).then(ThoughtFilter::default);
    let closing = session.ask(
        |id, cancel| EngineCommand::Generate { id, prompt, params, cancel },
        |event| reply.on_event(event, context.verbose),
    )?;
    let EngineEvent::Finished { reason, stats, .. } = closing else { return Err(unexpected(&closing)) };
    reply.finish(&reason, &stats, is_raw(&context))?;
    if context.verbose {
        if let Some(thought) = reply.filter.as_ref().and_then(ThoughtFilter::thought) {
            eprintln!("{}:\n{}", thought.summary(), crate::chat::visible(thought.text));
        }
        let (reason, stats) = (reason.clone(), stats.clone());
        let summary = ReplySummary { reason, stats, draw_time: Duration::ZERO, perplexity: None };
        eprintln!("{}", statistics(&summary));
    }
    if reason == FinishReason::Cancelled { Err(Exit(INTERRUPTED).into()) } else { Ok(()) }
}

fn is_raw(context: &Context) -> bool {
    context.settings.model.template == RAW_TEMPLATE
}

/// What the model is asked: the prompt, the file and stdin, one behind the other.
fn prompt(context: &Context, arguments: &Run) -> Result<Prompt> {
    let template = template_choice(&context.settings.model.template);
    let is_raw = is_raw(context);
    let given = given_text(arguments.text.as_deref(), &arguments.chat.prompt, is_raw)?;
    let piped = Some(text::of_piped_stdin()?).filter(|piped| !piped.is_empty());
    if given.is_none() && piped.is_none() {
        let message = "there is no prompt: give one as an argument, with -p, with -f FILE or on standard input";
        return Err(Usage(message.into()).into());
    }
    let text = joined([given, piped].into_iter().flatten(), is_raw);
    if is_raw {
        return Ok(Prompt::Raw(text));
    }
    let system = Some(&context.settings.chat.system).filter(|system| !system.is_empty());
    let messages = system.map(|system| Message::new(Role::System, system.as_str()));
    let messages = messages.into_iter().chain([Message::new(Role::User, text)]).collect();
    Ok(Prompt::Chat { messages, template, thinking: context.settings.chat.think.for_template() })
}

/// The prompt of the arguments, with the file behind it.
pub(super) fn given_text(argument: Option<&str>, flags: &args::Prompt, is_raw: bool) -> Result<Option<String>> {
    let argument = argument.or(flags.prompt.as_deref()).map(str::to_owned);
    let file = flags.file.as_deref().map(text::of_file).transpose()?;
    let is_given = argument.is_some() || file.is_some();
    let parts = [argument, file].into_iter().flatten();
    Ok(is_given.then(|| joined(parts, is_raw)))
}

/// In a chat, what is appended begins on a line of its own; raw text is joined as it is.
fn joined(parts: impl Iterator<Item = String>, is_raw: bool) -> String {
    parts.fold(String::new(), |mut text, part| {
        if !is_raw && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + &part
    })
}

fn params(context: &Context) -> GenerationParams {
    let chat = &context.settings.chat;
    GenerationParams {
        sampling: context.settings.sampling.clone(),
        max_tokens: (chat.max_tokens > 0).then_some(chat.max_tokens),
        stop: chat.stop.clone(),
        candidates: 0,
        lookup: context.settings.model.lookup,
        stepping: Stepping::Off,
    }
}

fn statistics(summary: &ReplySummary) -> String {
    let stats = &summary.stats;
    format!(
        "{} · prompt {} tok, {:.0} tok/s · seed {}",
        summary.line(),
        stats.prompt_tokens,
        stats.prefill_tokens_per_second(),
        stats.seed
    )
}

/// The reply as it comes.
#[derive(Debug)]
struct Reply {
    output: Output,
    json: bool,
    text: String,
    tokens: Vec<TokenId>,
    /// On stdout stands the answer of a chat, not what was thought before it; raw text and JSON have everything.
    filter: Option<ThoughtFilter>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "token")]
struct TokenLine<'a> {
    id: TokenId,
    text: &'a str,
    logprob: f32,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "done")]
struct DoneLine<'a> {
    text: &'a str,
    tokens: &'a [TokenId],
    finish_reason: &'a str,
    stats: StatsObject,
}

#[derive(Serialize)]
struct StatsObject {
    prompt_tokens: usize,
    reused_tokens: usize,
    completion_tokens: usize,
    ttft_ms: f64,
    prefill_tok_s: f64,
    decode_tok_s: f64,
    drafted_tokens: usize,
    accepted_tokens: usize,
    prefill_ms: f64,
    forward_ms: f64,
    sample_ms: f64,
    seed: u64,
    /// The seed again: programs that count with floats round it where it is a long one.
    seed_str: String,
}

fn milliseconds(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1000.0)
}

impl Reply {
    fn new(json: bool) -> Self {
        Self { output: Output::stdout(), json, text: String::new(), tokens: Vec::new(), filter: None }
    }

    fn on_event(&mut self, event: EngineEvent, verbose: bool) -> Result<()> {
        match event {
            EngineEvent::Token { trace, .. } => self.token(&trace),
            EngineEvent::TurnsDropped { .. } if verbose => {
                eprintln!("the context was full: earlier turns are no longer part of the prompt");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn token(&mut self, trace: &TokenTrace) -> Result<()> {
        self.tokens.push(trace.token);
        self.text.push_str(&trace.text);
        if self.json {
            self.output.json(&TokenLine { id: trace.token, text: &trace.text, logprob: trace.logprob })
        } else {
            let text = match &mut self.filter {
                Some(filter) => filter.push(&trace.text),
                None => &trace.text,
            };
            self.output.text(text)
        }
    }

    /// A reply ends its line; text that was continued ends where it ends, so that pieces can be put together.
    fn finish(&mut self, reason: &FinishReason, stats: &GenerationStats, is_raw: bool) -> Result<()> {
        if !self.json {
            if let Some(filter) = &self.filter {
                self.output.text(filter.rest())?;
            }
            return if is_raw && !self.output.is_terminal() { Ok(()) } else { self.output.end_line() };
        }
        let stats = StatsObject {
            prompt_tokens: stats.prompt_tokens,
            reused_tokens: stats.reused_tokens,
            completion_tokens: stats.completion_tokens,
            ttft_ms: milliseconds(stats.time_to_first_token),
            prefill_tok_s: rounded(stats.prefill_tokens_per_second()),
            decode_tok_s: rounded(stats.decode_tokens_per_second()),
            drafted_tokens: stats.drafted_tokens,
            accepted_tokens: stats.accepted_tokens,
            prefill_ms: milliseconds(stats.prefill_time),
            forward_ms: milliseconds(stats.forward_time),
            sample_ms: milliseconds(stats.sample_time),
            seed: stats.seed,
            seed_str: stats.seed.to_string(),
        };
        self.output.json(&DoneLine { text: &self.text, tokens: &self.tokens, finish_reason: reason.as_str(), stats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(parts: &[&str], is_raw: bool) -> String {
        joined(parts.iter().map(|part| (*part).to_owned()), is_raw)
    }

    #[test]
    fn what_is_appended_begins_a_line_in_a_chat_and_nothing_is_added_to_raw_text() {
        assert_eq!(join(&["Sum up:", "a\nb\n"], false), "Sum up:\na\nb\n");
        assert_eq!(join(&["Sum up:\n", " a"], false), "Sum up:\n a");
        assert_eq!(join(&["Once", " upon\n"], true), "Once upon\n");
        assert_eq!(join(&[" as it is \n"], false), " as it is \n");
    }

    #[test]
    fn the_json_lines_keep_their_contract() {
        let token = TokenLine { id: 5, text: " a\u{1b}", logprob: -0.5 };
        let expected = r#"{"type":"token","id":5,"text":" a\u001b","logprob":-0.5}"#;
        assert_eq!(serde_json::to_string(&token).unwrap(), expected);
    }
}
