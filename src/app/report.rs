//! What `/show`, `/stats`, `/prompt` and `/tokens` tell.

use super::loading::Engine;
use super::open_chat::OpenChat;
use super::setup::Setup;
use super::{NoteKind, timeline};
use crate::worker::protocol::{EngineEvent, of_loading, of_prompt, of_reply, of_variants};
use gibber_engine::TokenId;

/// Tokens of a text that `/tokens` lists before it stops.
const TOKENS_SHOWN: usize = 200;

/// `/show`.
pub(super) fn overview(setup: &Setup, engine: &Engine, chat: &OpenChat) -> String {
    let mut lines = Vec::new();
    match &engine.model {
        Some(model) => {
            lines.push(format!(
                "model             {} · {} · {} · {} threads · context {} of {}",
                model.name, model.architecture, model.format, model.threads, model.context, model.trained_context
            ));
            let share = chat.context_used() as f64 / model.context as f64;
            let full = model.cache_bytes as f64 / 1e6;
            lines.push(format!("KV cache          {} · {:.1} of {full:.1} MB used", model.cache, share * full));
        }
        None => lines.push("model             none is loaded".to_owned()),
    }
    lines.extend(setup.overview(chat.system()));
    lines.join("\n")
}

impl OpenChat {
    /// `/stats`: what the reply on screen cost, and where its time went.
    pub(super) fn stats(&mut self) {
        let Some(summary) = self.summary().filter(|_| self.generation.is_none()) else {
            let text = match self.reply_on_screen() {
                Some(_) if self.generation.is_some() => "the reply is still running: what it cost is known at its end",
                Some(_) => "nothing is known of what this reply cost",
                None => "there was no reply yet",
            };
            return self.note(NoteKind::Info, text.to_owned());
        };
        let stats = &summary.stats;
        let (used, context) = summary.context;
        let perplexity = summary.perplexity.map_or_else(|| "not known".to_owned(), |value| format!("{value:.2}"));
        let mut lines = vec![
            format!("reply       {}", summary.line()),
            format!("decode      {:.1} tok/s", stats.decode_tokens_per_second()),
            format!(
                "prompt      {} tok for this reply, {} of them reused · prefill {:.0} tok/s",
                stats.prompt_tokens,
                stats.reused_tokens,
                stats.prefill_tokens_per_second()
            ),
            format!("perplexity  {perplexity} · seed {}", stats.seed),
            format!("context     {used} / {context} at its end"),
            "where the time went:".to_owned(),
        ];
        lines.extend(timeline::rows(summary).into_iter().map(|row| format!("  {row}")));
        self.note(NoteKind::Info, lines.join("\n"));
    }
}

impl OpenChat {
    /// The engine has counted the tokens of something, which `text_of` makes a note of: of the text, the tokens, their texts,
    /// and the messages that are left out.
    pub(super) fn on_counted(
        &mut self,
        event: EngineEvent,
        text_of: fn(&str, &[TokenId], &[String], &[usize]) -> String,
    ) {
        match event {
            EngineEvent::Counted { text, tokens, pieces, dropped, .. } => {
                self.note(NoteKind::Info, text_of(&text, &tokens, &pieces, &dropped));
            }
            EngineEvent::Failed { error, .. } => self.note(NoteKind::Error, error),
            EngineEvent::Distribution { .. }
            | EngineEvent::Scored { .. }
            | EngineEvent::PromptScored { .. }
            | EngineEvent::Prefilled { .. }
            | EngineEvent::TemplateDescribed { .. }
            | EngineEvent::Measured { .. }
            | of_loading!()
            | of_prompt!()
            | of_reply!()
            | of_variants!()
            | EngineEvent::WorkerDied { .. } => {}
        }
    }
}

/// `/prompt`: what the model is to see next, without the messages `dropped`, and its tokens.
pub(super) fn prompt_text(text: &str, tokens: &[TokenId], pieces: &[String], dropped: &[usize]) -> String {
    let without = match dropped.len() {
        0 => String::new(),
        1 => " (without a message that the context has no room for)".to_owned(),
        n => format!(" (without {n} messages that the context has no room for)"),
    };
    let (count, listed) = (tokens.len(), list_of_tokens(tokens, pieces));
    format!("the next prompt has {count} tokens; the model sees{without}:\n{text}\n\nas these tokens:\n{listed}")
}

/// `/tokens`: how a text is cut.
pub(super) fn tokens_text(_text: &str, tokens: &[TokenId], pieces: &[String], _dropped: &[usize]) -> String {
    format!("{} tokens: {}", tokens.len(), list_of_tokens(tokens, pieces))
}

/// Each token as its id and its text: `504 "The"`; of very many the first and the last.
fn list_of_tokens(tokens: &[TokenId], pieces: &[String]) -> String {
    let mut shown: Vec<String> = tokens.iter().zip(pieces).map(|(token, piece)| format!("{token} {piece}")).collect();
    if shown.len() > TOKENS_SHOWN {
        let left_out = shown.len() - TOKENS_SHOWN;
        let half = TOKENS_SHOWN / 2;
        shown.splice(half..half + left_out, [format!("… {left_out} more …")]);
    }
    shown.join("  ")
}
