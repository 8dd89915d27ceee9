//! What `/show`, `/stats`, `/prompt` and `/tokens` tell.

use super::parameters::PARAMETERS;
use super::run_command::describe_template;
use super::{App, CountFor, Effect, NoteKind, timeline};
use crate::chat::MessageId;
use crate::worker::protocol::{EngineCommand, Prompt, RequestId};
use gibber_engine::TokenId;

/// Tokens of a text that `/tokens` lists before it stops.
const TOKENS_SHOWN: usize = 200;

impl App {
    pub(super) fn show(&mut self) {
        let mut lines = Vec::new();
        match self.model() {
            Some(model) => {
                lines.push(format!(
                    "model             {} · {} · {} · {} threads · context {} of {}",
                    model.name, model.architecture, model.format, model.threads, model.context, model.trained_context
                ));
                let (used, full) = (self.context().0 as f64 / model.context as f64, model.cache_bytes as f64 / 1e6);
                let used = used * full;
                lines.push(format!("KV cache          {} · {used:.1} of {full:.1} MB used", model.cache));
            }
            None => lines.push("model             none is loaded".to_owned()),
        }
        lines.push(format!("template          {}", describe_template(&self.template)));
        let system = if self.system().is_empty() { "(the template's own)" } else { self.system() };
        lines.push(format!("system            {system}"));
        lines.push(format!("preset            {}", self.preset().unwrap_or("none")));
        for spec in &PARAMETERS {
            lines.push(format!("{:<17} {}", spec.name, spec.parameter.display(self.sampling())));
        }
        let limit = match self.settings.chat.max_tokens {
            0 => "no limit".to_owned(),
            limit => limit.to_string(),
        };
        lines.push(format!("max-tokens        {limit}"));
        lines.push(format!("lookup            {}", self.settings.model.lookup.as_str()));
        lines.push(format!("think             {}", self.settings.chat.think.name()));
        lines.push(format!("stop              {:?}", self.settings.chat.stop));
        self.note(NoteKind::Info, lines.join("\n"));
    }

    pub(super) fn stats(&mut self) {
        let Some(summary) = self.last_summary() else {
            return self.note(NoteKind::Info, "there was no reply yet".to_owned());
        };
        let stats = &summary.stats;
        let (used, context) = self.context();
        let perplexity = summary.perplexity.map_or_else(|| "not known".to_owned(), |value| format!("{value:.2}"));
        let mut lines = vec![
            format!("reply       {}", summary.line()),
            format!("decode      {:.1} tok/s", stats.decode_tokens_per_second()),
            format!(
                "prompt      {} tok, {} of them reused · prefill {:.0} tok/s",
                stats.prompt_tokens,
                stats.reused_tokens,
                stats.prefill_tokens_per_second()
            ),
            format!("perplexity  {perplexity} · seed {}", stats.seed),
            format!("context     {used} / {context}"),
            "where the time went:".to_owned(),
        ];
        let load = self.model().map(|model| model.load_time).unwrap_or_default();
        lines.extend(timeline::rows(summary, load).into_iter().map(|row| format!("  {row}")));
        self.note(NoteKind::Info, lines.join("\n"));
    }

    /// How surprising a reply was to the model itself: the inverse of its tokens' probability, in the geometric mean; as
    /// far as it was generated in this run.
    pub fn perplexity_of(&self, message: MessageId) -> Option<f32> {
        let tokens = self.tokens_of(message).filter(|tokens| !tokens.is_empty())?;
        let mean = tokens.iter().map(|token| token.trace.logprob).sum::<f32>() / tokens.len() as f32;
        Some((-mean).exp())
    }

    pub(super) fn count(&mut self, why: CountFor, prompt: Prompt) -> Vec<Effect> {
        let id = self.request_id();
        self.counts.insert(id, why);
        vec![self.submit(EngineCommand::Count { id, prompt })]
    }

    pub(super) fn counted(&mut self, id: RequestId, text: &str, tokens: &[TokenId], pieces: &[String]) -> Vec<Effect> {
        let Some(why) = self.counts.remove(&id) else { return Vec::new() };
        let listed = list_of_tokens(tokens, pieces);
        let note = match why {
            CountFor::Prompt => {
                format!("{} tokens; the model sees:\n{text}\n\nas these tokens:\n{listed}", tokens.len())
            }
            CountFor::Tokens => format!("{} tokens: {listed}", tokens.len()),
        };
        self.note(NoteKind::Info, note);
        Vec::new()
    }
}

/// Each token as its id and its text: `504 "The"`; of very many the first and the last.
fn list_of_tokens(tokens: &[TokenId], pieces: &[String]) -> String {
    let mut shown: Vec<String> = tokens.iter().zip(pieces).map(|(token, piece)| format!("{token} {piece:?}")).collect();
    if shown.len() > TOKENS_SHOWN {
        let left_out = shown.len() - TOKENS_SHOWN;
        let half = TOKENS_SHOWN / 2;
        shown.splice(half..half + left_out, [format!("… {left_out} more …")]);
    }
    shown.join("  ")
}
