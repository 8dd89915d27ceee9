//! What the scripted worker does before a reply is asked for: a token a word.

use super::super::protocol::{ContextParts, EngineEvent, Prompt, RequestId};
use super::{Actor, POLL, plain_text, sample_model, words};
use crate::chat::context_window::ContextWindow;
use crate::chat::{Message, Role};
use gibber_engine::TokenId;
use gibber_engine::load::ModelInfo;

impl Actor {
    /// What it says that it has loaded.
    pub(super) fn sample(&self) -> ModelInfo {
        let sample = sample_model();
        ModelInfo { context: self.script.context.unwrap_or(sample.context), ..sample }
    }

    pub(super) fn prefill(&mut self, id: RequestId, prompt: &Prompt) {
        let total = words(&plain_text(prompt)).len();
        let mut done = total;
        while self.script.slow_prefill && !self.is_cancelled(id) && self.waiting.is_empty() {
            done = 0;
            std::thread::sleep(POLL);
        }
        self.emit(EngineEvent::Prefilled { id, reused: 0, done, total });
    }

    pub(super) fn measure(&self, id: RequestId, prompt: &Prompt, draft: bool) {
        self.emit(EngineEvent::Measured { id, parts: self.parts(prompt, draft) });
    }

    pub(super) fn count(&self, id: RequestId, prompt: &Prompt) {
        let (text, dropped) = match prompt {
            Prompt::Raw(_) => (plain_text(prompt), Vec::new()),
            Prompt::Chat { messages, template, thinking } => {
                let (window, _) = self.fit(messages);
                let kept = Prompt::Chat { messages: window.kept(), template: template.clone(), thinking: *thinking };
                (plain_text(&kept), window.dropped())
            }
        };
        let pieces: Vec<String> = words(&text).iter().map(|word| format!("{word:?}")).collect();
        let tokens = (0..pieces.len() as TokenId).collect();
        self.emit(EngineEvent::Counted { id, text, tokens, pieces, dropped });
    }

    /// As the real worker does it: an eighth of the context is kept free, and turns go until three quarters are left.
    /// Returns what is left, with its tokens.
    fn fit<'a>(&self, messages: &'a [Message]) -> (ContextWindow<'a>, usize) {
        let context = self.sample().context;
        let mut window = ContextWindow::new(messages);
        let fitted: Result<Vec<()>, ()> =
            window.fit(context - context / 8, context / 4 * 3, |messages| Ok(vec![(); size(messages)]));
        (window, fitted.map_or(0, |tokens| tokens.len()))
    }

    fn parts(&self, prompt: &Prompt, draft: bool) -> ContextParts {
        let context = self.sample().context;
        let Prompt::Chat { messages, .. } = prompt else { return ContextParts { context, ..ContextParts::default() } };
        let (window, tokens) = self.fit(messages);
        let (system, said): (Vec<Message>, Vec<Message>) =
            window.kept().into_iter().partition(|message| message.role == Role::System);
        let written = if draft { &said[said.len().saturating_sub(1)..] } else { &[] };
        ContextParts {
            system: size(&system),
            turns: tokens - size(&system) - size(written),
            draft: size(written),
            draft_text: written.iter().map(|message| words(&message.content).len()).sum(),
            dropped: window.dropped(),
            context,
        }
    }
}

fn size(messages: &[Message]) -> usize {
    messages.iter().map(|message| words(&format!("{}: {}\n", message.role.as_str(), message.content)).len()).sum()
}
