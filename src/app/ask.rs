//! Asking the model: from a line that is sent to the request that goes to the engine. A question is read with the files that
//! it names, put into the tree, and answered; a reply is asked for anew, beside others, from another token on, or for more.

use super::attachments::{mentions, with_files};
use super::commands::escape;
use super::requests::Owner;
use super::variants::{VariantSetting, split_question};
use super::{App, Effect, Moment, NoteKind, OnScreen};
use crate::chat::{MessageId, Role};
use crate::worker::protocol::{EngineCommand, Prompt};

/// Why nothing can be asked where there is no model. It holds until there is one.
pub(super) const NO_MODEL: &str = "no model is loaded: /model lists the models, /model NAME loads one";

/// A question, or a reply in other words.
impl App {
    /// Says a message, with the files that it names.
    pub(super) fn send(&mut self, text: &str, now: Moment) -> Vec<Effect> {
        let is_reply = self.editing().is_some_and(|node| node.message.role != Role::User);
        if is_reply || mentions(text).is_empty() {
            return self.say(text, now);
        }
        match self.refusal() {
            Some(refusal) => self.give_back(refusal, escape(text)),
            None => vec![Effect::Attach { text: text.to_owned(), variants: None }],
        }
    }

    /// The files that a message names were read. With `variants` it is a question whose answers are compared.
    pub(super) fn on_attached(
        &mut self,
        text: &str,
        variants: Option<&str>,
        files: Result<Vec<(String, String)>, String>,
        now: Moment,
    ) -> Vec<Effect> {
        let former = self.editing().map(|node| node.message.content.as_str());
        let whole = match files.and_then(|files| with_files(text, files, former, self.engine.window())) {
            Ok(whole) => whole,
            Err(error) => {
                self.note(NoteKind::Error, error);
                let line = variants.map_or_else(|| escape(text), |variants| format!("/compare {variants} -- {text}"));
                return vec![Effect::Screen(OnScreen::Compose(line))];
            }
        };
        match variants {
            Some(variants) => self.compare_answers(variants, Some(&whole), now),
            None => self.say(&whole, now),
        }
    }

    /// Says something to the model.
    pub(super) fn say(&mut self, text: &str, now: Moment) -> Vec<Effect> {
        if text.trim().is_empty() {
            return Vec::new();
        }
        if let Some((id, role)) = self.editing().map(|node| (node.id, node.message.role)) {
            return match role {
                Role::User => self.say_again(id, text, now),
                Role::Assistant | Role::System => self.reword_reply(id, text),
            };
        }
        if let Some(refusal) = self.refusal() {
            return self.give_back(refusal, escape(text));
        }
        let question = self.setup.as_question(text);
        let (id, mut effects) = self.chat.put_question(question);
        effects.extend(self.answer(id, now));
        effects
    }

    /// A question in other words stands beside what it was, and the chat goes on there.
    fn say_again(&mut self, id: MessageId, text: &str, now: Moment) -> Vec<Effect> {
        if let Some(refusal) = self.refusal() {
            return self.give_back(refusal, escape(text));
        }
        let text = self.setup.as_question(text);
        self.chat.branches.end_edit();
        if self.chat.reads(id, text) {
            return self.answer(id, now);
        }
        let (id, mut effects) = self.chat.put_question_beside(id, text);
        effects.extend(self.answer(id, now));
        effects
    }

    /// A reply in other words stands beside what it was; nothing is asked.
    fn reword_reply(&mut self, id: MessageId, text: &str) -> Vec<Effect> {
        if let Some(busy) = self.busy() {
            return self.give_back(busy, escape(text));
        }
        self.chat.branches.end_edit();
        if self.chat.reads(id, text) {
            self.chat.set_hint("the reply is as it was");
            return Vec::new();
        }
        self.chat.set_hint("the reply is what you wrote: ask on, or /continue lets the model go on");
        self.chat.put_beside(id, text)
    }

    /// What cannot be done now is given back, with the reason.
    fn give_back(&mut self, refusal: String, line: String) -> Vec<Effect> {
        self.chat.refuse(refusal);
        vec![Effect::Screen(OnScreen::Compose(line))]
    }

    /// Why no reply can be asked for now.
    pub(super) fn refusal(&self) -> Option<String> {
        if let Some(busy) = self.busy() {
            return Some(busy);
        }
        if self.engine.is_dead {
            return Some("the engine has stopped: start gibber again to go on".to_owned());
        }
        let no_model = self.engine.model.is_none() && self.engine.loading.is_none();
        no_model.then(|| NO_MODEL.to_owned())
    }

    /// Whether no reply can be asked for now; the person is told why.
    fn is_refused(&mut self) -> bool {
        let refusal = self.refusal();
        if let Some(refusal) = &refusal {
            self.chat.refuse(refusal.as_str());
        }
        refusal.is_some()
    }
}

/// A reply.
impl App {
    /// `/regen`: answers the last question anew, beside the answers that it has.
    pub(super) fn regenerate(&mut self, now: Moment) -> Vec<Effect> {
        if self.is_refused() {
            return Vec::new();
        }
        match self.transcript().regenerate_parent() {
            Some(parent) => self.answer(parent, now),
            None => {
                self.note(NoteKind::Info, "there is no question to answer yet".to_owned());
                Vec::new()
            }
        }
    }

    /// Answers a question anew, that of a reply or the message itself; what was answered stays as a branch.
    pub(super) fn regenerate_at(&mut self, id: MessageId, now: Moment) -> Vec<Effect> {
        if self.is_refused() {
            return Vec::new();
        }
        let Some(node) = self.transcript().node(id) else { return Vec::new() };
        let question = if node.message.role == Role::Assistant { node.parent } else { Some(id) };
        question.map_or_else(Vec::new, |question| self.answer(question, now))
    }

    /// `/continue`: goes on with the reply at the head.
    pub(super) fn continue_reply(&mut self, now: Moment) -> Vec<Effect> {
        if self.is_refused() {
            return Vec::new();
        }
        let head = self.transcript().head_node().map(|node| (node.id, node.parent, node.message.role));
        match head {
            Some((id, parent, Role::Assistant)) => self.ask(parent, Some(id), now),
            Some((id, _, Role::User)) => self.answer(id, now),
            _ => {
                self.note(NoteKind::Info, "there is no reply to go on with".to_owned());
                Vec::new()
            }
        }
    }

    /// `/begin TEXT`: the first words of the next reply; at once where a question waits for its answer.
    pub(super) fn begin_with(&mut self, argument: &str, now: Moment) -> Vec<Effect> {
        let text = match self.chat.set_begin(argument) {
            Ok(Some(question)) if self.refusal().is_none() => return self.answer(question, now),
            Ok(_) => {
                format!("the next reply begins with {argument:?}: ask, or /regen answers the last question so")
            }
            Err(text) => text,
        };
        self.note(NoteKind::Info, text);
        Vec::new()
    }

    /// Goes on from an alternative to a token of a reply, which stays as a branch.
    pub(super) fn take_alternative(&mut self, place: (MessageId, usize, usize), now: Moment) -> Vec<Effect> {
        if self.is_refused() {
            return Vec::new();
        }
        let context = self.chat.scoring_context(&self.setup, self.engine.model_name());
        match self.chat.take_alternative(place, &context, &self.engine) {
            Ok(taken) => {
                let more = taken.goes_on.map(|(parent, id)| self.ask(parent, Some(id), now));
                taken.effects.into_iter().chain(more.into_iter().flatten()).collect()
            }
            Err(refusal) => {
                self.chat.set_hint(refusal);
                Vec::new()
            }
        }
    }

    /// Asks for a new reply to a question, which begins with the words that were given for it.
    fn answer(&mut self, question: MessageId, now: Moment) -> Vec<Effect> {
        let Some(begin) = self.chat.branches.take_begin() else { return self.ask(Some(question), None, now) };
        let id = self.chat.put_begin(question, begin);
        let mut effects = self.ask(Some(question), Some(id), now);
        effects.insert(0, self.chat.session.put());
        effects.extend(self.chat.session.put_message(id));
        effects
    }

    /// Asks for an answer to `parent`, or for more of the message `continued`.
    fn ask(&mut self, parent: Option<MessageId>, continued: Option<MessageId>, now: Moment) -> Vec<Effect> {
        let id = self.requests.of_chat(Owner::Reply, self.chat.id());
        self.engine.meter.restart();
        let mut effects = self.chat.stop_scoring();
        let command = self.chat.begin_reply(id, parent, continued, &self.setup, now);
        effects.push(Effect::Submit(command));
        effects
    }
}

/// Several replies beside each other.
impl App {
    /// `/compare [VARIANT…] [-- TEXT]`.
    pub(super) fn compare(&mut self, argument: &str, now: Moment) -> Vec<Effect> {
        let again = format!("/compare {argument}");
        if let Some(refusal) = self.refusal() {
            return self.give_back(refusal, again);
        }
        let (words, question) = split_question(argument);
        let settings = match question {
            Some("") => {
                Err("there is no question behind --: write it, or leave -- out to answer the last one".to_owned())
            }
            _ => self.variant_settings(words),
        };
        if let Err(error) = settings {
            self.note(NoteKind::Error, error);
            return vec![Effect::Screen(OnScreen::Compose(again))];
        }
        match question {
            Some(question) if !mentions(question).is_empty() => {
                vec![Effect::Attach { text: question.to_owned(), variants: Some(words.to_owned()) }]
            }
            question => self.compare_answers(words, question, now),
        }
    }

    fn variant_settings(&mut self, words: &str) -> Result<Vec<VariantSetting>, String> {
        self.setup.variant_settings(words, &mut self.random)
    }

    /// Answers a question, or the last one, under the settings that `words` name.
    fn compare_answers(&mut self, words: &str, question: Option<&str>, now: Moment) -> Vec<Effect> {
        let settings = match self.variant_settings(words) {
            Ok(settings) => settings,
            Err(error) => {
                self.note(NoteKind::Error, error);
                return Vec::new();
            }
        };
        let (parent, mut effects) = match question {
            Some(question) => self.chat.put_question(self.setup.as_question(question)),
            None => match self.transcript().regenerate_parent() {
                Some(parent) => (parent, Vec::new()),
                None => {
                    let text = "there is no question to answer yet: /compare … -- TEXT asks one".to_owned();
                    self.note(NoteKind::Info, text);
                    return Vec::new();
                }
            },
        };
        let id = self.requests.of_chat(Owner::Comparison, self.chat.id());
        self.engine.meter.restart();
        effects.push(Effect::Submit(self.chat.begin_variants(id, parent, settings, &self.setup, now)));
        effects
    }
}

/// What is asked of the engine beside replies.
impl App {
    /// `/score`: has the model read the chat on screen and rate each token that it has not yet.
    pub(super) fn score_path(&mut self) -> Vec<Effect> {
        if self.chat.scores.at_work.is_some() || self.is_refused() {
            return Vec::new();
        }
        let id = self.requests.of_chat(Owner::Scoring, self.chat.id());
        match self.chat.begin_scoring(id, &self.setup, self.engine.model_name()) {
            Some(command) => vec![Effect::Submit(command)],
            None => {
                self.requests.owner(id, true);
                self.chat.set_hint("every token is scored already");
                Vec::new()
            }
        }
    }

    /// `/prompt`: what the model would be asked now.
    pub(super) fn show_prompt(&mut self) -> Vec<Effect> {
        let (prompt, _) = self.chat.prompt(&self.setup);
        self.count(Owner::Prompt, prompt)
    }

    /// `/tokens TEXT`
    pub(super) fn show_tokens(&mut self, text: &str) -> Vec<Effect> {
        self.count(Owner::Tokens, Prompt::Raw(text.to_owned()))
    }

    fn count(&mut self, owner: Owner, prompt: Prompt) -> Vec<Effect> {
        let (id, max_tokens) = (self.requests.of_chat(owner, self.chat.id()), self.setup.max_tokens());
        vec![Effect::Submit(EngineCommand::Count { id, prompt, max_tokens })]
    }

    /// Another model is to take the place of the present one.
    pub(super) fn load_model(&mut self, name: String) -> Vec<Effect> {
        let id = self.requests.of_program(Owner::Load);
        let mut effects = self.chat.stop_scoring();
        effects.push(self.engine.load(id, name));
        effects
    }
}
