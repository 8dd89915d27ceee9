//! What the front ends show: the state, to be looked at.

use super::keymap::Keymap;
use super::meter::Meter;
use super::{App, Comparison, Generation, Loading, NextToken, Note, ReplySummary, TracedToken, parameters};
use crate::chat::{MessageId, Transcript};
use crate::settings::Settings;
use crate::store::SessionRecord;
use crate::worker::protocol::TemplateChoice;
use gibber_engine::SamplingParams;
use gibber_engine::load::ModelInfo;

impl App {
    /// All that is set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The keys in force.
    pub fn keymap(&self) -> &Keymap {
        &self.keymap
    }

    /// The filters in force.
    pub fn sampling(&self) -> &SamplingParams {
        &self.sampling
    }

    /// The name of the preset in force, built-in or the person's own; `None` for other values.
    pub fn preset(&self) -> Option<&str> {
        let seedless = SamplingParams { seed: None, ..self.sampling.clone() };
        let own = self.settings.presets.iter().find(|(_, params)| **params == self.sampling || **params == seedless);
        own.map(|(name, _)| name.as_str()).or_else(|| parameters::preset_of(&self.sampling))
    }

    /// The template in force.
    pub fn template(&self) -> &TemplateChoice {
        &self.template
    }

    /// The system message; empty is the template's own.
    pub fn system(&self) -> &str {
        &self.session.record.system
    }

    /// The conversation.
    pub fn transcript(&self) -> &Transcript {
        &self.session.transcript
    }

    /// The conversation's record.
    pub fn session(&self) -> &SessionRecord {
        &self.session.record
    }

    /// The model that is loaded.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.model.as_ref()
    }

    /// The model that is being loaded.
    pub fn loading(&self) -> Option<&Loading> {
        self.loading.as_ref()
    }

    /// The reply that is running.
    pub fn generation(&self) -> Option<&Generation> {
        self.generation.as_ref()
    }

    /// The replies to one question that are looked at side by side.
    pub fn comparison(&self) -> Option<&Comparison> {
        self.comparison.as_ref()
    }

    /// How a reply of this run ended, and what it cost.
    pub fn summary(&self, id: MessageId) -> Option<&ReplySummary> {
        self.summaries.get(&id)
    }

    /// How the last reply ended, and what it cost.
    pub fn last_summary(&self) -> Option<&ReplySummary> {
        self.last_summary.as_ref()
    }

    /// Tokens in the context: (used, available).
    pub fn context(&self) -> (usize, usize) {
        (self.context_used, self.model.as_ref().map_or(0, |model| model.context))
    }

    /// Whether a message is no longer seen by the model, since the context is full.
    pub fn is_dropped(&self, id: MessageId) -> bool {
        self.dropped.contains(&id)
    }

    /// How fast tokens come.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// How the last token was chosen.
    pub fn next_token(&self) -> Option<&NextToken> {
        self.next_token.as_ref()
    }

    /// What the program had to say in this conversation.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Earlier prompts, oldest first.
    pub fn history(&self) -> &[String] {
        &self.history
    }

    /// The models that can be named, as far as they were listed.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// The saved conversations, as they were read last.
    pub fn recent(&self) -> &[SessionRecord] {
        &self.recent
    }

    /// Whether the next Ctrl-C leaves.
    pub fn quit_armed(&self) -> bool {
        self.quit_armed
    }

    /// The tokens of a reply of this run, as far as they were generated in it.
    pub fn tokens_of(&self, message: MessageId) -> Option<&[TracedToken]> {
        self.tokens.get(&message).map(Vec::as_slice)
    }

    /// Whether what the model thought is shown, or folded to a line.
    pub fn shows_thoughts(&self) -> bool {
        self.shows_thoughts
    }

    /// Whether replies are shown as they were written, not as Markdown.
    pub fn shows_source(&self) -> bool {
        self.shows_source
    }

    /// Why the last thing the person did could not be done; gone with the next.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Changes whenever the state may have.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}
