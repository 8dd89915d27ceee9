//! What the front ends show: the state, to be looked at.

use super::compare::Divergence;
use super::keymap::Keymap;
use super::meter::Meter;
use super::parameters::Parameter;
use super::{
    App, Comparison, Generation, Loading, NextToken, Note, OfferedModel, ReplySummary, SavedChats, Scoring, Section,
    TracedToken,
};
use crate::chat::provenance::ViewPlace;
use crate::chat::{MessageId, Node, Role, Transcript};
use crate::settings::layers::Origin;
use crate::settings::theme::{Styles, Theme};
use crate::settings::{Heat, Settings};
use crate::store::SessionRecord;
use crate::worker::protocol::TemplateChoice;
use gibber_engine::load::ModelInfo;
use gibber_engine::{SamplingParams, TokenId};

/// What is set.
impl App {
    /// All that is set.
    pub fn settings(&self) -> &Settings {
        &self.setup.settings
    }

    /// The keys in force.
    pub fn keymap(&self) -> &Keymap {
        &self.view.keymap
    }

    /// The filters in force.
    pub fn sampling(&self) -> &SamplingParams {
        self.setup.sampling.in_force()
    }

    /// Who has said what is in force of this parameter.
    pub fn origin(&self, parameter: Parameter) -> Origin {
        self.setup.sampling.origin(parameter)
    }

    /// The name of the preset in force, built-in or the person's own; `None` for other values.
    pub fn preset(&self) -> Option<&str> {
        self.setup.preset()
    }

    /// What the filters in force are called: a preset, the model's, or the person's own.
    pub fn sampling_name(&self) -> &str {
        let sampling = &self.setup.sampling;
        let is_models = || sampling.own().is_empty() && !sampling.recommended().is_empty();
        self.preset().unwrap_or(if is_models() { "model" } else { "own" })
    }

    /// The names of all presets, the built-in ones first.
    pub fn preset_names(&self) -> Vec<String> {
        self.setup.preset_names()
    }

    /// The template in force.
    pub fn template(&self) -> &TemplateChoice {
        &self.setup.template
    }

    /// What the heat map shows.
    pub fn heat(&self) -> Heat {
        self.setup.settings.ui.heat
    }
}

/// The chat that is open.
impl App {
    /// The system message; empty is the template's own.
    pub fn system(&self) -> &str {
        self.chat.system()
    }

    /// The conversation.
    pub fn transcript(&self) -> &Transcript {
        self.chat.transcript()
    }

    /// The conversation's record.
    pub fn session(&self) -> &SessionRecord {
        &self.chat.session.record
    }

    /// What the program had to say in it.
    pub fn notes(&self) -> &[Note] {
        self.chat.notes()
    }

    /// Why the last thing the person did could not be done; gone with the next.
    pub fn hint(&self) -> Option<&str> {
        self.chat.hint()
    }

    /// The message that is being said in other words.
    pub fn editing(&self) -> Option<&Node> {
        self.chat.editing()
    }

    /// The words that the next reply begins with.
    pub fn begin(&self) -> Option<&str> {
        self.chat.begin()
    }

    /// The message that a search has led to, in the chat that was opened from it.
    pub fn revealed(&self) -> Option<MessageId> {
        self.chat.revealed
    }

    /// Whether a message is no longer seen by the model, since the context is full.
    pub fn is_dropped(&self, id: MessageId) -> bool {
        self.chat.is_dropped(id) && !self.fits_again(id)
    }

    /// Whether a message was not in the last prompt, since the template wants question and answer in turn.
    pub fn is_uncounted(&self, id: MessageId) -> bool {
        self.chat.is_uncounted(id)
    }

    /// Whether the files of a question are shown whole.
    pub fn shows_files_of(&self, id: MessageId) -> bool {
        self.chat.is_turned(id)
    }

    /// Whether what the model thought before a reply is shown.
    pub fn shows_thought_of(&self, id: MessageId) -> bool {
        self.view.shows_thoughts != self.chat.is_turned(id)
    }

    /// What a file of this chat is called where nobody says otherwise.
    pub(super) fn export_name(&self) -> String {
        self.chat.export_name()
    }
}

/// Its replies.
impl App {
    /// The reply that is running.
    pub fn generation(&self) -> Option<&Generation> {
        self.chat.generation.as_ref()
    }

    /// Whether the running reply waits for the person.
    pub fn is_paused(&self) -> bool {
        self.generation().is_some_and(Generation::is_paused)
    }

    /// The replies to one question that are looked at side by side.
    pub fn comparison(&self) -> Option<&Comparison> {
        self.chat.comparison.as_ref()
    }

    /// The tokens of a lane.
    pub fn variant_tokens(&self, variant: usize) -> &[TracedToken] {
        self.chat.variant_tokens(variant)
    }

    /// Where a lane parts from each of the others.
    pub fn divergences(&self, variant: usize) -> Vec<Divergence> {
        self.chat.divergences(variant)
    }

    /// How a reply of this run ended, and what it cost.
    pub fn summary(&self, id: MessageId) -> Option<&ReplySummary> {
        self.chat.replies.summary(id)
    }

    /// How the last reply on screen ended, and what it cost.
    pub fn last_summary(&self) -> Option<&ReplySummary> {
        self.chat.summary()
    }

    /// The model that wrote a reply, as far as that is known; otherwise the one that is loaded.
    pub fn writer_of(&self, id: MessageId) -> Option<String> {
        let node = self.transcript().node(id)?;
        self.chat.replies.writer(node).or_else(|| self.model().map(|model| model.name.clone()))
    }

    /// The tokens of a reply of this run, as far as they were generated in it.
    pub fn tokens_of(&self, message: MessageId) -> Option<&[TracedToken]> {
        self.chat.replies.tokens(message)
    }

    /// How surprising a reply was to the model itself: the inverse of its tokens' probability, in the geometric mean; as
    /// far as it was generated in this run.
    pub fn perplexity_of(&self, message: MessageId) -> Option<f32> {
        self.chat.replies.perplexity(message)
    }

    /// What the next token of a paused reply is chosen from; otherwise how the last one of the reply on screen was.
    pub fn next_token(&self) -> Option<NextToken<'_>> {
        self.chat.next_token()
    }

    /// The messages on screen as tokens, the system message first.
    pub fn sections(&self) -> Vec<Section<'_>> {
        self.chat.sections(&self.chat.scoring_context(&self.setup, self.engine.model_name()))
    }

    /// One message as tokens.
    pub fn section<'a>(&'a self, message: Option<MessageId>, role: Role, text: &'a str) -> Section<'a> {
        let context = self.chat.scoring_context(&self.setup, self.engine.model_name());
        self.chat.section(message, role, text, &context)
    }

    /// Where the view of the chat stands, or was left when it was open before; `None` is at its end.
    pub fn view_place(&self) -> Option<ViewPlace> {
        self.chat.session.view
    }

    /// The filters that the token at byte `start` of a stored reply was drawn with, as far as that is recorded.
    pub fn recorded_sampling(&self, section: &Section, start: usize) -> Option<&SamplingParams> {
        let node = self.transcript().node(section.message?)?;
        let passage = node.provenance.as_deref()?.passage_at(start)?;
        let is_of_it =
            |token: &&super::InspectedToken| token.start.is_some_and(|at| (passage.start..start).contains(&at));
        passage.sampling_after(section.tokens.iter().filter(is_of_it).count())
    }

    /// Whether the person waits for the prompt that was asked to be shown.
    pub fn is_counting(&self) -> bool {
        self.requests.is_open(super::requests::Owner::Prompt)
    }

    /// The scoring that is at work.
    pub fn scoring(&self) -> Option<&Scoring> {
        self.chat.scores.at_work.as_ref()
    }
}

/// The engine.
impl App {
    /// The model that is loaded.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.engine.model.as_ref()
    }

    /// The model that is being loaded.
    pub fn loading(&self) -> Option<&Loading> {
        self.engine.loading.as_ref()
    }

    /// Tokens in the context: (used, available).
    pub fn context(&self) -> (usize, usize) {
        (self.chat.context_used(), self.engine.window())
    }

    /// How fast tokens come.
    pub fn meter(&self) -> &Meter {
        &self.engine.meter
    }

    /// Whether this token ends a reply.
    pub fn is_end_token(&self, token: TokenId) -> bool {
        self.engine.is_end_token(token)
    }
}

/// What there is to choose from.
impl App {
    /// Earlier prompts, oldest first.
    pub fn history(&self) -> &[String] {
        &self.catalog.history
    }

    /// The models that can be named, as far as they were listed.
    pub fn models(&self) -> &[String] {
        &self.catalog.models
    }

    /// The models that can be pulled, as far as they were listed.
    pub fn offered(&self) -> &[OfferedModel] {
        &self.catalog.offered
    }

    /// The themes that can be named, as far as they were read.
    pub fn themes(&self) -> &[Theme] {
        &self.catalog.themes
    }

    /// What a theme looks like; `None` where there is none of that name, or its file is broken.
    pub fn styles_of(&self, name: &str) -> Option<&Styles> {
        self.catalog.styles_of(name)
    }

    /// What the theme in force looks like; `None` is the default.
    pub fn styles(&self) -> Option<&Styles> {
        self.catalog.styles_of(&self.settings().ui.theme)
    }

    /// The saved conversations, as they were read last.
    pub fn recent(&self) -> &[SessionRecord] {
        &self.library.recent
    }

    /// The saved chats, while the person is choosing one.
    pub fn saved(&self) -> Option<&SavedChats> {
        self.library.saved.as_ref()
    }
}

/// How all of it is shown.
impl App {
    /// Whether what the model thought is shown, or folded to a line.
    pub fn shows_thoughts(&self) -> bool {
        self.view.shows_thoughts
    }

    /// Whether replies are shown as they were written, not as Markdown.
    pub fn shows_source(&self) -> bool {
        self.view.shows_source
    }

    /// Whether the next Ctrl-C leaves.
    pub fn quit_armed(&self) -> bool {
        self.view.quit_armed
    }

    /// What to try first; empty for a person who has been here before.
    pub fn first_steps(&self) -> Vec<String> {
        self.view.first_steps(self.engine.model.is_some() && self.engine.asked.is_empty())
    }

    /// What is of use after the first replies, until the next one begins.
    pub fn tip(&self) -> Option<String> {
        if self.generation().is_some() { None } else { self.view.tip() }
    }

    /// Changes whenever the state may have.
    pub fn revision(&self) -> u64 {
        self.view.revision
    }
}
