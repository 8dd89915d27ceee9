//! What a reply cost, in words.

use std::time::Duration;

use super::parameters::{PARAMETERS, Parameter};
use crate::worker::protocol::{FinishReason, GenerationStats};
use gibber_engine::SamplingParams;

/// How a reply ended, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplySummary {
    /// Why it ended.
    pub reason: FinishReason,
    /// What it cost.
    pub stats: GenerationStats,
    /// Time that the front end spent drawing frames meanwhile, beside the engine.
    pub draw_time: Duration,
    /// How long the model took to load, where this was the first reply to wait for it.
    pub load_time: Duration,
    /// Tokens in the context at its end, and what the context holds.
    pub context: (usize, usize),
    /// How surprising the reply was to the model itself, as far as it was generated in this run.
    pub perplexity: Option<f32>,
}

impl ReplySummary {
    /// Of which only this is known.
    pub fn new(reason: FinishReason, stats: GenerationStats) -> Self {
        let (draw_time, load_time) = (Duration::ZERO, Duration::ZERO);
        Self { reason, stats, draw_time, load_time, context: (0, 0), perplexity: None }
    }

    /// Why it ended, in words.
    pub fn stop(&self) -> String {
        reason_text(&self.reason)
    }

    /// `27 tok · 182 tok/s · first token 31 ms · perplexity 3.1 · stop: end of turn`, and what was changed on the way;
    /// before the stop, where there are any, how many tokens of the drafts came true, `lookup 12 of 20`, and how many the
    /// person picked, `3 picked`.
    pub fn line(&self) -> String {
        let stats = &self.stats;
        let mut line = format!("{} tok", stats.completion_tokens);
        let rate = stats.decode_tokens_per_second();
        if rate > 0.0 {
            line.push_str(&format!(" · {rate:.0} tok/s"));
        }
        if stats.completion_tokens > 0 {
            line.push_str(&format!(" · first token {} ms", stats.time_to_first_token.as_millis()));
        }
        if let Some(perplexity) = self.perplexity {
            line.push_str(&format!(" · perplexity {perplexity:.1}"));
        }
        if stats.drafted_tokens > 0 {
            line.push_str(&format!(" · lookup {} of {}", stats.accepted_tokens, stats.drafted_tokens));
        }
        if stats.picked_tokens > 0 {
            line.push_str(&format!(" · {} picked", stats.picked_tokens));
        }
        line.push_str(" · stop: ");
        line.push_str(&reason_text(&self.reason));
        let log = stats.sampling_log.iter().map(|(chosen, sampling)| (stats.place_of(*chosen), sampling.clone()));
        let changes = changes_text(&log.collect::<Vec<_>>());
        if !changes.is_empty() {
            line.push_str(&format!(" · {changes}"));
        }
        line
    }
}

pub(super) fn reason_text(reason: &FinishReason) -> String {
    match reason {
        FinishReason::EndOfTurn => "end of turn".to_owned(),
        FinishReason::StopString(text) => format!("stop text {text:?}"),
        FinishReason::Length => "length (/continue goes on)".to_owned(),
        FinishReason::Cancelled => "stopped (/continue goes on)".to_owned(),
        FinishReason::Context => "the context is full".to_owned(),
    }
}

/// The changes in a log of filters, each with the first token that it acted on, counted from 1.
pub(super) fn changes_text(log: &[(usize, SamplingParams)]) -> String {
    // A slider that is held down makes many entries between two tokens: the last of them acts.
    let acting: Vec<&(usize, SamplingParams)> = log
        .iter()
        .enumerate()
        .filter(|&(at, entry)| log.get(at + 1).is_none_or(|next| next.0 > entry.0))
        .map(|(_, entry)| entry)
        .collect();
    let texts: Vec<String> = acting
        .windows(2)
        .map(|pair| (changes_between(&pair[0].1, &pair[1].1), pair[1].0 + 1))
        .filter(|(changes, _)| !changes.is_empty())
        .map(|(changes, token)| format!("{changes} from token {token}"))
        .collect();
    texts.join(" · ")
}

/// `temperature 1.20, top-k 5`: what differs, with its new value.
fn changes_between(before: &SamplingParams, after: &SamplingParams) -> String {
    let changed = |parameter: &Parameter| parameter.get(before) != parameter.get(after);
    let texts: Vec<String> = PARAMETERS
        .iter()
        .map(|spec| spec.parameter)
        .filter(changed)
        .map(|parameter| format!("{} {}", parameter.spec().name, parameter.display(after)))
        .collect();
    texts.join(", ")
}
