//! What of a conversation goes into the prompt otherwise than it stands, since the template does not take it so.

use super::NoteKind;
use super::open_chat::OpenChat;
use crate::chat::MessageId;
use crate::worker::protocol::{Adaptation, TemplateChoice};

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Adapted {
    /// The messages that the last request had to do without.
    uncounted: Vec<MessageId>,
    /// Those of them that the person was told of.
    noted_uncounted: Vec<MessageId>,
    /// With which model and template it was said last that the system message is part of a question.
    noted_system: Option<(String, TemplateChoice)>,
}

impl Adapted {
    /// Another request, of which nothing is known.
    pub(super) fn restart(&mut self) {
        self.uncounted.clear();
    }
}

impl OpenChat {
    /// Whether a message was not in the last prompt, since the template wants question and answer in turn.
    pub(super) fn is_uncounted(&self, id: MessageId) -> bool {
        self.adapted.uncounted.contains(&id)
    }

    /// The engine says it of a request, behind whose entries are the messages `sent`; `place` is its model and template.
    pub(super) fn on_adapted(
        &mut self,
        adaptation: &Adaptation,
        sent: &[Option<MessageId>],
        place: (String, TemplateChoice),
    ) {
        if adaptation.folds_system && self.adapted.noted_system.as_ref() != Some(&place) {
            self.note(NoteKind::Info, Adaptation::FOLDS_SYSTEM.to_owned());
            self.adapted.noted_system = Some(place);
        }
        self.adapted.uncounted =
            adaptation.uncounted.iter().filter_map(|&at| sent.get(at).copied().flatten()).collect();
        let adapted = &mut self.adapted;
        let is_news = adapted.uncounted.iter().any(|id| !adapted.noted_uncounted.contains(id));
        adapted.noted_uncounted.clone_from(&adapted.uncounted);
        if let Some(text) = adaptation.uncounted_text().filter(|_| is_news) {
            self.note(NoteKind::Warning, text);
        }
    }
}
