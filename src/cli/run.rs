//! `gibber run`: one reply on stdout.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::args::{self, Run};
use super::output::{Output, rounded};
use super::session::{Session, unexpected};
use super::{Context, Exit, INTERRUPTED, Usage, text};
use crate::app::{ReplySummary, template_choice};
use crate::chat::thinking::ThoughtFilter;
use crate::chat::{Message, Role, without_line_end};
use crate::settings::layers::{LayeredSampling, Origin};
use crate::worker::protocol::{
    Adaptation, EngineCommand, EngineEvent, FinishReason, GenerationParams, GenerationStats, Prompt, Stepping,
    TokenTrace, answers, of_loading, of_variants,
};
use gibber_engine::TokenId;
use gibber_engine::sampling::{PARAMETERS, ParameterSpec};

pub(super) fn run(mut context: Context, arguments: &Run) -> Result<()> {
    let given = arguments.chat.apply(&mut context.settings)?;
    let mut sampling = LayeredSampling::new(&context.settings.sampling, given.sampling);
    if let Some(template) = given.template {
        context.settings.model.template = template;
    }
    let prompt = prompt(&context, arguments)?;
    let params = params(&context, &sampling);
    context.bring(&arguments.chat.model)?;
    let mut session = Session::start(&context)?;
    session.recommend(&context, &mut sampling);
    if context.verbose {
        tell!("{}", describe_sampling(&sampling));
    }
    let mut reply = Reply::new(arguments.json);
    reply.filter = (!is_raw(&context)).then(ThoughtFilter::default);
    let closing = session
        .ask(|id| EngineCommand::Generate { id, prompt, params }, |event| reply.on_event(event, context.verbose))?;
    let EngineEvent::Finished { reason, stats, .. } = closing else { return Err(unexpected(&closing)) };
    reply.finish(&reason, &stats, is_raw(&context))?;
    if !arguments.json && reply.is_thought_alone() {
        let is_over = reply.filter.as_ref().is_some_and(|filter| !filter.is_inside());
        tell!("{}", no_answer(&reason, is_over, context.verbose));
    }
    if context.verbose {
        if let Some(thought) = reply.filter.as_ref().and_then(ThoughtFilter::thought) {
            tell!("{}:\n{}", thought.summary(false), thought.text);
        }
        let (reason, stats) = (reason.clone(), stats.clone());
        let summary = ReplySummary::new(reason, stats);
        tell!("{}", statistics(&summary));
    }
    if reason == FinishReason::Cancelled { Err(Exit(INTERRUPTED).into()) } else { Ok(()) }
}

/// What is said where the reply is a thought and nothing else.
fn no_answer(reason: &FinishReason, is_over: bool, verbose: bool) -> String {
    let more = match reason {
        FinishReason::Length => "; -n N allows more tokens",
        FinishReason::Context => "; -c N makes the context larger",
        FinishReason::EndOfTurn | FinishReason::StopString(_) | FinishReason::Cancelled => "",
    };
    let shown = if verbose { "" } else { "; -v shows the thought" };
    let place = if is_over { "behind" } else { "inside" };
    format!("the reply ended {place} its thought ({}), without an answer{more}{shown}", reason.as_str())
}

fn is_raw(context: &Context) -> bool {
    template_choice(&context.settings.model.template).is_raw()
}

/// What the model is asked: the prompt, the file and stdin, one behind the other.
fn prompt(context: &Context, arguments: &Run) -> Result<Prompt> {
    let template = template_choice(&context.settings.model.template);
    let is_raw = template.is_raw();
    let argument = arguments.text.as_deref().or(arguments.chat.prompt.prompt.as_deref());
    let mut parts = given_parts(argument, &arguments.chat.prompt)?;
    parts.push(text::of_piped_stdin()?);
    let text = joined(parts, is_raw);
    // A chat has nothing to say to blanks, which raw text may well begin with.
    let is_empty = if is_raw { text.is_empty() } else { text.trim().is_empty() };
    if is_empty {
        let message = match argument {
            Some(_) => "the prompt is empty: say something in it, with -f FILE or on standard input",
            None => "there is no prompt: give one as an argument, with -p, with -f FILE or on standard input",
        };
        return Err(Usage(message.into()).into());
    }
    if is_raw {
        return Ok(Prompt::Raw(text));
    }
    let system = Some(without_line_end(&context.settings.chat.system)).filter(|system| !system.is_empty());
    let messages = system.map(|system| Message::new(Role::System, system));
    let messages = messages.into_iter().chain([Message::new(Role::User, without_line_end(&text))]).collect();
    Ok(Prompt::Chat { messages, template, thinking: context.settings.chat.think.for_template() })
}

/// The first message of a chat: the prompt of the arguments, with the file behind it.
pub(super) fn given_text(flags: &args::Prompt, is_raw: bool) -> Result<Option<String>> {
    let parts = given_parts(flags.prompt.as_deref(), flags)?;
    Ok((!parts.is_empty()).then(|| joined(parts, is_raw)))
}

fn given_parts(argument: Option<&str>, flags: &args::Prompt) -> Result<Vec<String>> {
    let argument = argument.map(|text| Ok(text.to_owned())).into_iter();
    argument.chain(flags.file.iter().map(|file| text::of_file(file))).collect()
}

/// In a chat each part begins on a line of its own, and one that is nothing but a line end is no part. Raw text is joined
/// as it is.
fn joined(parts: Vec<String>, is_raw: bool) -> String {
    if is_raw {
        return parts.concat();
    }
    let parts = parts.into_iter().filter(|part| !without_line_end(part).is_empty());
    parts.reduce(|text, part| format!("{}\n{part}", without_line_end(&text))).unwrap_or_default()
}

/// The filters that act, and who has said so.
fn describe_sampling(sampling: &LayeredSampling) -> String {
    let acts = |spec: &&ParameterSpec| {
        spec.parameter.acts(sampling.in_force()) || sampling.origin(spec.parameter) != Origin::Program
    };
    let shown = |spec: &ParameterSpec| {
        let (value, origin) = (spec.parameter.display(sampling.in_force()), sampling.origin(spec.parameter));
        format!("{} {value} ({origin})", spec.name)
    };
    let shown: Vec<String> = PARAMETERS.iter().filter(acts).map(shown).collect();
    let thinking = if sampling.is_of_thinking() { " (while it thinks)" } else { "" };
    format!("sampling{thinking}: {}", shown.join(" · "))
}

fn params(context: &Context, sampling: &LayeredSampling) -> GenerationParams {
    let chat = &context.settings.chat;
    GenerationParams {
        sampling: sampling.in_force().clone(),
        open: sampling.open(),
        max_tokens: (chat.max_tokens > 0).then_some(chat.max_tokens),
        stop: chat.stop.clone(),
        candidates: 0,
        lookup: context.settings.model.lookup,
        stepping: Stepping::Off,
        replay: None,
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
    /// Of a chat it tells the answer from what was thought before it: on stdout stands the answer. `None` for raw text.
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
    /// What was thought before the answer; none where nothing was.
    thought: Option<&'a str>,
    /// What was said without it.
    answer: &'a str,
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
            EngineEvent::Adapted { adaptation, .. } => {
                if adaptation.folds_system {
                    tell!("{}", Adaptation::FOLDS_SYSTEM);
                }
                Ok(())
            }
            EngineEvent::ThoughtOpened { opening, .. } => {
                if let Some(filter) = &mut self.filter {
                    filter.push(&opening);
                }
                Ok(())
            }
            EngineEvent::Token { trace, .. } => self.token(&trace),
            EngineEvent::PromptFault { fault, .. } => {
                tell!("warning: {fault}");
                Ok(())
            }
            EngineEvent::TurnsDropped { .. } => {
                if verbose {
                    tell!("the context was full: earlier turns are no longer part of the prompt");
                }
                Ok(())
            }
            EngineEvent::PrefillProgress { .. }
            | EngineEvent::Began { .. }
            | EngineEvent::Paused { .. }
            | EngineEvent::Resumed { .. }
            | EngineEvent::TakenBack { .. }
            | EngineEvent::Finished { .. }
            | of_loading!()
            | of_variants!()
            | answers!()
            | EngineEvent::Failed { .. }
            | EngineEvent::WorkerDied { .. } => Ok(()),
        }
    }

    fn token(&mut self, trace: &TokenTrace) -> Result<()> {
        self.tokens.push(trace.token);
        self.text.push_str(&trace.text);
        if self.json {
            if let Some(filter) = &mut self.filter {
                filter.push(&trace.text);
            }
            return self.output.json(&TokenLine { id: trace.token, text: &trace.text, logprob: trace.logprob });
        }
        let said = match &mut self.filter {
            Some(filter) => filter.push(&trace.text).into_owned(),
            None => trace.text.clone(),
        };
        self.tell_what_was_thought()?;
        self.output.text(&said)
    }

    /// What was printed was a thought, and nobody could know: the answer begins on a line of its own.
    fn tell_what_was_thought(&mut self) -> Result<()> {
        let Some(thought) = self.filter.as_mut().and_then(ThoughtFilter::take_unmarked) else { return Ok(()) };
        let said = format!(
            "what was printed so far was a thought, of which nothing marked the beginning: {}",
            thought.summary(false)
        );
        self.output.end_line()?;
        tell!("{said}");
        Ok(())
    }

    /// A reply ends its line; text that was continued ends where it ends, so that pieces can be put together.
    fn finish(&mut self, reason: &FinishReason, stats: &GenerationStats, is_raw: bool) -> Result<()> {
        if !self.json {
            let rest = self.filter.as_mut().map(|filter| filter.rest().into_owned()).unwrap_or_default();
            self.tell_what_was_thought()?;
            self.output.text(&rest)?;
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
        let filter = self.filter.as_ref();
        let thought = filter.and_then(ThoughtFilter::thought).map(|thought| thought.text);
        let answer = filter.map_or(self.text.as_str().into(), ThoughtFilter::answer);
        self.output.json(&DoneLine {
            text: &self.text,
            tokens: &self.tokens,
            finish_reason: reason.as_str(),
            thought: thought.as_deref(),
            answer: &answer,
            stats,
        })
    }

    fn is_thought_alone(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.thought().is_some() && filter.answer().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn join(parts: &[&str], is_raw: bool) -> String {
        joined(parts.iter().map(|part| (*part).to_owned()).collect(), is_raw)
    }

    #[test]
    fn parts_begin_lines_in_a_chat_and_raw_text_stays_byte_for_byte() {
        assert_eq!(join(&["Sum up:", "a\nb\n"], false), "Sum up:\na\nb\n");
        assert_eq!(join(&["Sum up:\n", " a\r\n", "b"], false), "Sum up:\n a\nb");
        assert_eq!(join(&["a\n\n", "b"], false), "a\n\nb", "an empty line of the text stays");
        assert_eq!(join(&["Hi", "\n"], false), "Hi", "an empty line that was piped is nothing");
        assert_eq!(join(&["Once", " upon\n", "\n"], true), "Once upon\n\n");
    }

    #[test]
    fn the_json_lines_keep_their_contract() {
        let token = TokenLine { id: 5, text: " a\u{1b}", logprob: -0.5 };
        let expected = r#"{"type":"token","id":5,"text":" a\u001b","logprob":-0.5}"#;
        assert_eq!(serde_json::to_string(&token).unwrap(), expected);
    }
}
