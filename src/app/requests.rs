//! Who waits for which answer of the engine. An answer finds its owner or nobody: what a chat has asked for is forgotten with
//! the chat.

use std::collections::HashMap;

use crate::chat::MessageId;
use crate::store::SessionId;
use crate::worker::protocol::RequestId;

/// What was asked, which says who gets the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// The model that is being loaded.
    Load,
    /// What the template can be told about thinking.
    ThinkSwitch,
    /// The running reply.
    Reply,
    /// Replies that are looked at side by side.
    Comparison,
    /// A reply that is computed again.
    Replay,
    /// The scores of a chat.
    Scoring,
    /// What the last token of this reply was drawn from.
    Preview(MessageId),
    /// `/prompt`.
    Prompt,
    /// `/tokens`.
    Tokens,
    /// What is computed before it is sent.
    Prefill,
    /// What that would take of the context.
    Measure,
}

/// A request that is open.
#[derive(Debug)]
struct Asked {
    owner: Owner,
    /// The chat that it is of; `None` where it concerns the program.
    chat: Option<SessionId>,
}

/// The requests that are open, each with its owner.
#[derive(Debug, Default)]
pub(super) struct Requests {
    last: u64,
    open: HashMap<RequestId, Asked>,
}

impl Requests {
    /// Opens a request of a chat.
    pub(super) fn of_chat(&mut self, owner: Owner, chat: SessionId) -> RequestId {
        self.ask(Asked { owner, chat: Some(chat) })
    }

    /// Opens a request of the program.
    pub(super) fn of_program(&mut self, owner: Owner) -> RequestId {
        self.ask(Asked { owner, chat: None })
    }

    /// Nobody waits for an answer of this kind any more.
    pub(super) fn forget(&mut self, owner: Owner) {
        self.open.retain(|_, asked| asked.owner != owner);
    }

    /// Whether an answer of this kind is waited for.
    pub(super) fn is_open(&self, owner: Owner) -> bool {
        self.open.values().any(|asked| asked.owner == owner)
    }

    /// The requests that nothing but a template at work answers: a person who stops something means them as well.
    pub(super) fn of_templates(&self) -> impl Iterator<Item = RequestId> {
        let is_one = |asked: &Asked| match asked.owner {
            Owner::ThinkSwitch | Owner::Prompt | Owner::Measure | Owner::Prefill => true,
            Owner::Load
            | Owner::Reply
            | Owner::Comparison
            | Owner::Replay
            | Owner::Scoring
            | Owner::Preview(_)
            | Owner::Tokens => false,
        };
        self.open.iter().filter(move |(_, asked)| is_one(asked)).map(|(id, _)| *id)
    }

    fn ask(&mut self, asked: Asked) -> RequestId {
        self.last += 1;
        let id = RequestId(self.last);
        self.open.insert(id, asked);
        id
    }

    /// Who an answer is for; nobody where it comes too late. With the closing one the request is over.
    pub(super) fn owner(&mut self, id: RequestId, is_closing: bool) -> Option<Owner> {
        match is_closing {
            true => self.open.remove(&id).map(|asked| asked.owner),
            false => self.open.get(&id).map(|asked| asked.owner),
        }
    }

    /// A chat is left: nobody waits for its answers any more.
    pub(super) fn forget_chat(&mut self, chat: SessionId) {
        self.open.retain(|_, asked| asked.chat != Some(chat));
    }

    /// The engine is gone: there are no answers.
    pub(super) fn forget_all(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_finds_its_owner_or_nobody() {
        let mut requests = Requests::default();
        let (here, there) = (SessionId(1), SessionId(2));
        let reply = requests.of_chat(Owner::Reply, here);
        let load = requests.of_program(Owner::Load);
        let measure = requests.of_chat(Owner::Measure, there);
        assert_eq!(requests.owner(reply, false), Some(Owner::Reply));
        requests.forget_chat(here);
        assert_eq!(requests.owner(reply, true), None, "it was left");
        assert_eq!(requests.owner(measure, true), Some(Owner::Measure));
        assert_eq!(requests.owner(measure, true), None, "it was closed");
        let switch = requests.of_program(Owner::ThinkSwitch);
        requests.forget(Owner::ThinkSwitch);
        assert_eq!((requests.owner(load, true), requests.owner(switch, true)), (Some(Owner::Load), None));
    }
}
