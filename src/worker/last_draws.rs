//! What the last token of each reply was drawn from: to be seen under other filters while its reply is on screen, without
//! a forward pass and whatever was computed since.

use std::collections::VecDeque;

use super::protocol::ReplyRef;
use gibber_engine::TokenId;
use gibber_engine::inference::Inference;
use gibber_engine::sampling::Dice;

/// Bytes that are kept, at most; those of the newest reply whatever they are. A vocabulary of 50,000 takes 200 kB a reply.
const MOST_BYTES: usize = 64 << 20;

/// The logits that a token was drawn from, and the tokens before it.
#[derive(Debug)]
pub(super) struct LastDraw {
    reply: ReplyRef,
    logits: Vec<f32>,
    before: Vec<TokenId>,
    /// The random numbers that filters had there.
    pub(super) dice: Dice,
}

/// Those of the replies that came last.
#[derive(Debug, Default)]
pub(super) struct LastDraws {
    kept: VecDeque<LastDraw>,
}

impl LastDraw {
    fn bytes(&self) -> usize {
        size_of_val(&self.logits[..]) + size_of_val(&self.before[..])
    }

    /// The logits, and the tokens before them.
    pub(super) fn parts(&self) -> (&[f32], &[TokenId]) {
        (&self.logits, &self.before)
    }
}

impl LastDraws {
    /// Keeps what the last token of `reply` was drawn from, with which the context held `emitted` tokens; nothing where it
    /// has none, or where its end was cut by a stop text of several tokens.
    pub(super) fn keep(&mut self, reply: ReplyRef, inference: &Inference, emitted: Option<usize>, dice: Dice) {
        let place = emitted.and_then(|emitted| emitted.checked_sub(1));
        let known = place.and_then(|place| Some((inference.logits_after(place)?, inference.held().get(..place)?)));
        let Some((logits, before)) = known else { return };
        self.kept.push_back(LastDraw { reply, logits: logits.to_vec(), before: before.to_vec(), dice });
        let mut bytes: usize = self.kept.iter().map(LastDraw::bytes).sum();
        while bytes > MOST_BYTES && self.kept.len() > 1 {
            bytes -= self.kept.pop_front().map_or(0, |oldest| oldest.bytes());
        }
    }

    /// What the last token of a reply was drawn from.
    pub(super) fn of(&self, reply: ReplyRef) -> Option<&LastDraw> {
        self.kept.iter().rev().find(|draw| draw.reply == reply)
    }

    /// Another model is there.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }
}
