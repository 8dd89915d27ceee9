//! `/think`: whether the model is to think before it answers, and whether that is shown.

use super::{App, Effect, NoteKind};
use crate::settings::Think;
use crate::worker::protocol::{EngineCommand, RequestId};

impl App {
    pub(super) fn think(&mut self, argument: &str) -> Vec<Effect> {
        match argument {
            "show" | "hide" => self.show_thoughts(argument == "show"),
            "" => {
                let shown = if self.shows_thoughts { "shown" } else { "folded" };
                let text = format!("think = {}; thoughts are {shown}", self.settings.chat.think.name());
                self.note(NoteKind::Info, text);
            }
            _ => match Think::of_name(argument) {
                Some(think) => {
                    self.settings.chat.think = think;
                    self.note(NoteKind::Info, format!("think = {}, from the next reply on", think.name()));
                    return self.ask_for_think_switch();
                }
                None => {
                    let text = format!("think wants {}, show or hide, not `{argument}`", Think::NAMES.join(", "));
                    self.note(NoteKind::Error, text);
                }
            },
        }
        Vec::new()
    }

    /// Where the person wants the model to think, or not to: asks whether its template can be told so.
    pub(super) fn ask_for_think_switch(&mut self) -> Vec<Effect> {
        if self.model.is_none() || self.settings.chat.think.for_template().is_none() {
            return Vec::new();
        }
        let id = self.request_id();
        self.think_switch = Some(id);
        vec![self.submit(EngineCommand::DescribeTemplate { id, template: self.template.clone() })]
    }

    pub(super) fn template_described(&mut self, id: RequestId, can_switch_thinking: bool) {
        let is_asked = self.think_switch.take_if(|asked| *asked == id).is_some();
        let think = self.settings.chat.think;
        if is_asked && !can_switch_thinking && think.for_template().is_some() {
            self.note(NoteKind::Info, think.without_switch());
        }
    }
}
