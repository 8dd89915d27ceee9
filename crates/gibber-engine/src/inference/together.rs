//! Several sequences that go on side by side.

use std::{array, iter, slice};

use super::{BeforeLast, Inference};
use crate::model::{MAX_RUNS, Pass, Run};
use crate::{EngineError, TokenId};

/// A sequence, and what comes next in it.
type Next<'a> = (&'a mut Inference, TokenId);

impl Inference {
    /// As [`Self::push`] of each token to the sequence beside it, in one forward pass for all of them, which reads the
    /// weights once. Logits and caches are the same bit by bit as one by one. The sequences are [forks](Self::fork) of one
    /// model; of more than a pass takes, as many as it takes go together. Drafts are forgotten, and nothing is learned for
    /// [`Self::pace`].
    ///
    /// # Errors
    /// Those of [`Self::push`], of any of them: then none of those that go together has got its token.
    pub fn push_together<'a>(sequences: impl Iterator<Item = Next<'a>>) -> Result<(), EngineError> {
        let mut sequences = sequences.fuse();
        while let Some((first, token)) = sequences.next() {
            first.push_with(token, &mut array::from_fn(|_| sequences.next()))?;
        }
        Ok(())
    }

    /// [`Self::push_together`] of no more than go together; they are computed in the state of this one.
    fn push_with(&mut self, token: TokenId, others: &mut [Option<Next<'_>>; MAX_RUNS - 1]) -> Result<(), EngineError> {
        self.check_next(token)?;
        others.iter().flatten().try_for_each(|(other, token)| other.check_next(*token))?;
        self.turn_for(self.held.len() + 1);
        others.iter_mut().flatten().for_each(|(other, _)| other.turn_for(other.held.len() + 1));
        let aside = self.set_logits_aside();
        self.catch_up();
        let mut others_aside = [BeforeLast::Gone; MAX_RUNS - 1];
        for ((other, _), aside) in others.iter_mut().flatten().zip(&mut others_aside) {
            *aside = other.set_logits_aside();
            other.catch_up();
        }
        let first = Run { cache: &mut self.cache, tokens: slice::from_ref(&token), counted: 1 };
        let runs = iter::once(first).chain(others.iter_mut().flatten().map(run_of));
        self.model.forward(&mut self.state, &mut Pass::together(runs));
        let mut tokens = [token; MAX_RUNS];
        let mut n = 1;
        for (_, token) in others.iter().flatten() {
            tokens[n] = *token;
            n += 1;
        }
        self.check_computed(&tokens[..n])?;
        self.held.push(token);
        self.passes.add(1, 1);
        self.cache.note(self.held.len(), false);
        self.keep_logits(0, 1 + others.iter().flatten().count());
        self.before_last = aside;
        let vocab = self.model.config().vocab_size;
        let rows = self.logits.chunks_exact(vocab).skip(1).zip(others_aside);
        for ((other, token), (logits, aside)) in others.iter_mut().flatten().zip(rows) {
            other.held.push(*token);
            other.passes.add(1, 1);
            other.cache.note(other.held.len(), false);
            other.logits[..vocab].copy_from_slice(logits);
            (other.row, other.before_last) = (Some(0), aside);
        }
        Ok(())
    }
}

fn run_of<'a>((sequence, token): &'a mut Next<'_>) -> Run<'a> {
    Run { cache: &mut sequence.cache, tokens: slice::from_ref(token), counted: 1 }
}
