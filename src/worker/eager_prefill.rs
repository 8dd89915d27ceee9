//! What is done before a reply is asked for: the prompt is computed in short chunks, and measured.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::loaded::{Reader, RequestError, Source};
use super::mailbox::Mailbox;
use super::protocol::{ContextParts, EngineCommand, EngineEvent, Prompt, RequestId, TemplateChoice};
use crate::chat::{Message, Role};
use gibber_engine::inference::{Inference, PrefillProgress};
use gibber_engine::{EngineError, TokenId};

/// How long a chunk may take: what comes meanwhile waits for it.
const CHUNK_TIME: Duration = Duration::from_millis(25);

/// Tokens of the first chunk, before any was timed.
pub(super) const FIRST_CHUNK: usize = 16;

/// Computes all but the last of `tokens`, in chunks that a command which comes meanwhile does not wait long for.
/// `chunk` is the length of the next one, learned from those before it.
///
/// # Errors
/// Those of [`Inference::prefill_eagerly`].
pub(super) fn prefill(
    inference: &mut Inference,
    reader: &Reader,
    tokens: &[TokenId],
    chunk: &mut usize,
    mailbox: &mut Mailbox,
    id: RequestId,
) -> Result<PrefillProgress, EngineError> {
    let mut begun: Option<(Instant, usize)> = None;
    inference.prefill_eagerly(tokens, &mut |progress| {
        if let Some((begun, before)) = begun {
            *chunk = chunk_after(*chunk, progress.done - before, begun.elapsed());
        }
        answer_measures(mailbox, reader, id);
        begun = Some((Instant::now(), progress.done));
        if mailbox.should_yield(id) { 0 } else { *chunk }
    })
}

/// The length of a chunk after one of `tokens` tokens, of `chunk` that were allowed, took `time`.
fn chunk_after(chunk: usize, tokens: usize, time: Duration) -> usize {
    // A short one, as at the end of a prompt, says little of others.
    if tokens < chunk && time <= CHUNK_TIME {
        return chunk;
    }
    let fitting = tokens as f64 * CHUNK_TIME.as_secs_f64() / time.as_secs_f64().max(1e-6);
    (fitting as usize).clamp(1, 2 * chunk)
}

/// Answers the `Measure`s that have come while `at_work` is. A template that is stopped with either is.
pub(super) fn answer_measures(mailbox: &mut Mailbox, reader: &Reader, at_work: RequestId) {
    while let Some(EngineCommand::Measure { id, prompt, draft, max_tokens }) = mailbox.next_measure() {
        let _watch = reader.sandbox.watch(mailbox.watcher(&[id, at_work]));
        // A fault here is not to end what is at work.
        let outcome = catch_unwind(AssertUnwindSafe(|| reader.measure(&prompt, draft, max_tokens)));
        mailbox.emit(match outcome {
            Ok(Ok(parts)) => EngineEvent::Measured { id, parts },
            Ok(Err(error)) => EngineEvent::Failed { id, error: error.to_string() },
            Err(_) => EngineEvent::Failed { id, error: "a fault in the program stopped the measuring".into() },
        });
    }
}

impl Reader {
    /// What a request of `prompt` takes of the context. With `draft` its last message is told apart.
    pub(super) fn measure(
        &self,
        prompt: &Prompt,
        draft: bool,
        max_tokens: Option<usize>,
    ) -> Result<ContextParts, RequestError> {
        let context = self.context;
        if let Prompt::Chat { messages, template, thinking } = prompt
            && messages.iter().all(|message| message.role == Role::System)
        {
            return self.measure_system(messages, template, *thinking);
        }
        let (source, tokens) = self.request(prompt, max_tokens)?;
        let Source::Chat { template, window, thinking, .. } = &source else {
            let total = tokens.len();
            return Ok(ContextParts { draft: total, draft_text: total, context, ..ContextParts::default() });
        };
        let kept = window.kept();
        let uncounted = template.rendered(&kept, &self.options(*thinking))?.adaptation.uncounted;
        let counted = kept.into_iter().enumerate().filter(|(at, _)| !uncounted.contains(at));
        let kept: Vec<Message> = counted.map(|(_, message)| message).collect();
        // Where the text of a message begins is where the tokens change with it.
        let begins = |at: usize, messages: &[Message]| -> Result<usize, RequestError> {
            let mut others = messages.to_vec();
            let same_start = others[at].content.trim_start().starts_with('0');
            others[at].content = if same_start { "1" } else { "0" }.to_owned();
            Ok(shared(&self.encode(template, &others, *thinking)?, &tokens))
        };
        let first = kept.iter().position(|message| message.role != Role::System).unwrap_or(0);
        let system = begins(first, &kept[..=first])?;
        let last = kept.len() - 1;
        let (written, draft_text) = match kept.last().filter(|_| draft) {
            Some(message) => {
                let begin = if last == first { system } else { begins(last, &kept)? };
                (begin, self.tokenizer.encode(&message.content, false)?.len())
            }
            None => (tokens.len(), 0),
        };
        let system = system.min(written);
        Ok(ContextParts {
            system,
            turns: written - system,
            draft: tokens.len() - written,
            draft_text,
            dropped: window.dropped(),
            context,
        })
    }

    /// Of a conversation in which nothing was said yet.
    fn measure_system(
        &self,
        messages: &[Message],
        template: &TemplateChoice,
        thinking: Option<bool>,
    ) -> Result<ContextParts, RequestError> {
        let template = self.template(template)?;
        let asked = |text: &str| {
            let messages = [messages, &[Message::new(Role::User, text)]].concat();
            self.encode(&template, &messages, thinking)
        };
        let system = shared(&asked("0")?, &asked("1")?);
        Ok(ContextParts { system, context: self.context, ..ContextParts::default() })
    }
}

/// Tokens that both begin with.
fn shared(a: &[TokenId], b: &[TokenId]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_take_about_the_time_that_they_may() {
        assert_eq!(chunk_after(16, 16, CHUNK_TIME), 16);
        assert_eq!(chunk_after(16, 16, CHUNK_TIME / 2), 32);
        assert_eq!(chunk_after(16, 16, CHUNK_TIME / 100), 32, "it grows step by step");
        assert_eq!(chunk_after(32, 32, CHUNK_TIME * 4), 8);
        assert_eq!(chunk_after(16, 16, CHUNK_TIME * 1000), 1, "and is never nothing");
        assert_eq!(chunk_after(64, 3, CHUNK_TIME / 3), 64, "the rest of a prompt says nothing");
        assert_eq!(chunk_after(64, 3, CHUNK_TIME * 3), 1, "unless it took too long");
    }
}
