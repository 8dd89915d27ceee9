//! A model, its KV cache and the logits of the last position: everything a reply needs, behind four verbs.

mod pace;
mod passes;
mod stretch;
mod together;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::error::about;
use super::kernels::ThreadPool;
use super::kernels::attention::CacheTypes;
use super::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;
use super::model::{Model, ModelConfig, Pass, RunState, SequenceState};
use super::{EngineError, TokenId};
pub(super) use pace::LEAST_GAIN;
pub use pace::Pace;
pub use passes::Passes;

/// Positions whose logits are computed at a time when all are asked for.
const LOGITS_AT_A_TIME: usize = 32;

/// The most tokens of a draft. With the token before it that is one pass of as many tokens as the kernels compute with
/// the same sums as one token alone: each position's logits have the same bits, whatever was guessed behind it.
pub const LONGEST_DRAFT: usize = MAX_TOKENS_ONE_BY_ONE - 1;

/// How far a prefill has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrefillProgress {
    /// Tokens of the prompt that were in the cache already.
    pub reused: usize,
    /// Tokens of the prompt in the cache by now, the reused ones included.
    pub done: usize,
    /// Tokens of the prompt.
    pub total: usize,
}

/// A model at work on one sequence of tokens.
#[derive(Debug)]
pub struct Inference {
    model: Arc<Model>,
    /// What the weights were read from; empty where that is no file.
    file: Arc<str>,
    /// What `held` has left, a draft behind it included; or less of it, where the state of recurrent layers could not be cut to
    /// just that: [`Self::catch_up`] computes the rest before the next pass.
    cache: SequenceState,
    state: RunState,
    batch: usize,
    held: Vec<TokenId>,
    /// How they were computed.
    passes: Passes,
    /// The last draft. What of it has not come true yet stands in the cache behind `held`.
    draft: Vec<TokenId>,
    /// `(1 + LONGEST_DRAFT, vocab_size)`: after the token before the draft, and after each token of the draft.
    logits: Vec<f32>,
    /// The row of `logits` after `held`: so many tokens of the draft have come true.
    row: Option<usize>,
    /// As `logits`, of the pass before: the two take turns.
    former: Vec<f32>,
    before_last: BeforeLast,
    pace: Pace,
}

/// Where the logits are that the last token of `held` was chosen from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeforeLast {
    /// Nowhere any more.
    Gone,
    /// In this row of `former`.
    Former(usize),
    /// In `logits`, in the row before the one after `held`: the token was drafted.
    Drafted,
}

impl Inference {
    /// `model` with an empty cache of `context` tokens, kept as `types` says; prompts are computed `batch` tokens at a
    /// time, by `pool`.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no memory for the cache.
    pub fn new(
        model: Model,
        types: CacheTypes,
        context: usize,
        batch: usize,
        pool: Arc<ThreadPool>,
    ) -> Result<Self, EngineError> {
        let cache = SequenceState::new(model.config(), types, context)?;
        let state = model.new_state(context, pool);
        // The system hands out the rows page by page: those of drafts cost nothing where there are none.
        let [logits, former] = [(); 2].map(|()| vec![0.0; (1 + LONGEST_DRAFT) * model.config().vocab_size]);
        let before_last = BeforeLast::Gone;
        let (held, draft) = (Vec::with_capacity(context), Vec::with_capacity(LONGEST_DRAFT));
        let model = Arc::new(model);
        let (file, batch, passes) = (Arc::from(""), batch.max(1), Passes::default());
        let (row, pace) = (None, Pace::default());
        Ok(Self { model, file, cache, state, batch, held, passes, draft, logits, row, former, before_last, pace })
    }

    /// About the bytes that passes of `batch` tokens are computed in, the logits that are kept included.
    pub fn scratch_bytes(config: &ModelConfig, batch: usize) -> usize {
        RunState::bytes_for(config, batch, 2 * (1 + LONGEST_DRAFT))
    }

    /// The same with the file that the weights were read from, for errors.
    #[must_use]
    pub fn of_file(self, path: &Path) -> Self {
        Self { file: path.display().to_string().into(), ..self }
    }

    /// What the weights were read from; empty where that is no file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The same sequence once more, to go on with in another way: the model and its threads are shared, the keys and
    /// values of what is held are copied, and so are the logits after it.
    ///
    /// # Errors
    /// [`EngineError::Invalid`] where the system has no memory for another cache.
    pub fn fork(&self) -> Result<Self, EngineError> {
        let mut cache = SequenceState::new(self.model.config(), self.cache.types(), self.context())?;
        cache.copy_from(&self.cache, self.held.len());
        let state = self.model.new_state(self.context(), self.state.shared_pool());
        let vocab = self.model.config().vocab_size;
        let mut logits = vec![0.0; (1 + LONGEST_DRAFT) * vocab];
        if let Some(known) = self.logits() {
            logits[..vocab].copy_from_slice(known);
        }
        let mut held = Vec::with_capacity(self.context());
        held.extend_from_slice(&self.held);
        Ok(Self {
            model: Arc::clone(&self.model),
            file: Arc::clone(&self.file),
            cache,
            state,
            batch: self.batch,
            held,
            passes: self.passes.clone(),
            draft: Vec::with_capacity(LONGEST_DRAFT),
            logits,
            row: self.row.map(|_| 0),
            former: vec![0.0; (1 + LONGEST_DRAFT) * vocab],
            before_last: BeforeLast::Gone,
            pace: self.pace.clone(),
        })
    }

    /// Its weights and configuration.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Tokens the context holds.
    pub fn context(&self) -> usize {
        self.cache.capacity()
    }

    /// What the tokens in the context have left: keys and values, and the state of recurrent layers.
    pub fn cache(&self) -> &SequenceState {
        &self.cache
    }

    /// The threads that compute.
    pub fn pool(&self) -> &ThreadPool {
        self.state.pool()
    }

    /// The tokens whose keys and values are in the cache; a draft that has not come true is not among them.
    pub fn held(&self) -> &[TokenId] {
        &self.held
    }

    /// Keeps the first `tokens` tokens of the cache, and nothing of a draft. The logits are gone unless that is all of
    /// them.
    pub fn truncate(&mut self, tokens: usize) {
        if tokens < self.held.len() {
            self.held.truncate(tokens);
            self.passes.truncate(tokens);
            (self.row, self.before_last) = (None, BeforeLast::Gone);
        }
        self.forget_draft();
    }

    /// Keeps the first `tokens` tokens of the cache, of which `logits`, `(vocab_size)`, are known to be those of the next.
    pub fn return_to(&mut self, tokens: usize, logits: &[f32]) {
        self.truncate(tokens);
        self.draft.clear();
        self.logits[..logits.len()].copy_from_slice(logits);
        (self.row, self.before_last) = (Some(0), BeforeLast::Gone);
    }

    /// Cuts the cache to what is held; the logits after that stay.
    fn forget_draft(&mut self) {
        let after_held = self.row.unwrap_or(0);
        self.draft.truncate(after_held);
        // Also where the two differ for another reason, as after a panic in the middle of a forward pass.
        self.cache.truncate(self.held.len());
    }

    /// As [`Self::truncate`] of a prompt that goes on behind `tokens`, but gives up as well what would have to be computed
    /// again before that could: it is computed as part of the prompt. Returns the tokens that are left.
    fn truncate_to_state(&mut self, tokens: usize) -> usize {
        self.truncate(tokens);
        self.truncate(self.cache.len());
        self.held.len()
    }

    /// Computes what the state lacks of the tokens that are held, in the passes in which they were computed: it is the same
    /// then, bit by bit, as if nothing had come behind them.
    fn catch_up(&mut self) {
        let have = self.cache.len();
        if have >= self.held.len() {
            return;
        }
        for (part, length) in self.passes.parts(have) {
            passes::compute_as(&self.model, &mut self.state, &mut self.cache, &self.held[part], length);
        }
        self.cache.note(self.held.len(), false);
    }

    /// Forgets the draft and the logits.
    fn forget_all_but_held(&mut self) {
        (self.row, self.before_last) = (None, BeforeLast::Gone);
        self.forget_draft();
    }

    /// As [`Self::forget_all_but_held`], before a pass for the token that was chosen from the logits: they are kept, and
    /// the pass writes into the other buffer. Returns where they are once the token is held.
    fn set_logits_aside(&mut self) -> BeforeLast {
        let row = self.row;
        self.forget_all_but_held();
        std::mem::swap(&mut self.logits, &mut self.former);
        row.map_or(BeforeLast::Gone, BeforeLast::Former)
    }

    /// Makes the cache hold exactly `prompt`, computing only what follows the prefix it shares with [`Self::held`] (the
    /// last token is always computed, for its logits). `on_progress` is called before the first chunk and after each;
    /// where it breaks, the cache keeps the chunks done, and `Ok(progress)` says how far it came
    /// (`done < total`).
    ///
    /// # Errors
    /// [`EngineError::ContextFull`] where the prompt is longer than the context; [`EngineError::Invalid`] where it is
    /// empty, has an id outside the vocabulary, or the model computes what is no number.
    pub fn prefill(
        &mut self,
        prompt: &[TokenId],
        on_progress: &mut dyn FnMut(PrefillProgress) -> ControlFlow<()>,
    ) -> Result<PrefillProgress, EngineError> {
        self.check(prompt)?;
        self.turn_for(prompt.len());
        let shared = self.shared_with(prompt);
        let whole = shared == prompt.len() && shared == self.held.len() && self.row.is_some();
        let reused = if whole {
            self.truncate(shared);
            shared
        } else {
            self.truncate_to_state(shared.min(prompt.len() - 1))
        };
        let batch = self.batch;
        let mut chunk = |progress| if on_progress(progress).is_continue() { batch } else { 0 };
        self.fill(prompt, reused, true, &mut chunk)
    }

    /// Computes what [`Self::prefill`] of `prompt` will need, but for its last token, and no logits. `chunk` is asked
    /// before the first chunk and after each how many tokens the next one is to have; with 0 the cache keeps the chunks
    /// done. Where all of it is in the cache already, the cache and the logits stay as they are.
    ///
    /// # Errors
    /// Those of [`Self::prefill`].
    pub fn prefill_eagerly(
        &mut self,
        prompt: &[TokenId],
        chunk: &mut dyn FnMut(PrefillProgress) -> usize,
    ) -> Result<PrefillProgress, EngineError> {
        self.check(prompt)?;
        let wanted = &prompt[..prompt.len() - 1];
        self.turn_for(prompt.len());
        let reused = self.shared_with(wanted);
        if reused == wanted.len() {
            return Ok(PrefillProgress { reused, done: reused, total: reused });
        }
        let reused = self.truncate_to_state(reused);
        self.fill(wanted, reused, false, chunk)
    }

    /// Tokens that both `prompt` and [`Self::held`] begin with.
    pub fn shared_with(&self, prompt: &[TokenId]) -> usize {
        prompt.iter().zip(&self.held).take_while(|(a, b)| a == b).count()
    }

    /// Computes what follows the first `reused` tokens of `prompt`, in chunks as long as `chunk` says, until it says 0;
    /// with `logits`, also those after the last token.
    fn fill(
        &mut self,
        prompt: &[TokenId],
        reused: usize,
        logits: bool,
        chunk: &mut dyn FnMut(PrefillProgress) -> usize,
    ) -> Result<PrefillProgress, EngineError> {
        let mut progress = PrefillProgress { reused, done: reused, total: prompt.len() };
        let mut next = chunk(progress);
        while progress.done < prompt.len() && next > 0 {
            let end = prompt.len().min(progress.done + next);
            self.forward(&prompt[progress.done..end])?;
            if logits && end == prompt.len() {
                self.keep_logits(end - progress.done - 1, 1);
            }
            if end == prompt.len() {
                self.cache.note(end, logits);
            }
            progress.done = end;
            next = chunk(progress);
        }
        Ok(progress)
    }

    /// Appends one token and computes the logits of the next. Nothing is left to compute where a draft foretold it.
    ///
    /// # Errors
    /// [`EngineError::ContextFull`] where the cache is full; [`EngineError::Invalid`] for an id outside the vocabulary, and
    /// where the model computes what is no number.
    pub fn push(&mut self, token: TokenId) -> Result<(), EngineError> {
        self.push_with_draft(token, &[])
    }

    /// How long a push takes, with a draft and without one.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Whether the draft of the last [`Self::push_with_draft`] foretells that `token` comes next.
    pub fn has_drafted(&self, token: TokenId) -> bool {
        self.row.is_some_and(|row| self.draft.get(row) == Some(&token))
    }

    /// As [`Self::push`], and computes in the same pass what follows if the tokens after `token` should be those of
    /// `draft`, of which at most [`LONGEST_DRAFT`] are used, and no more than the context has room for. As long as
    /// [`Self::push`] then gets just those tokens, it finds its logits there; with the first other token the rest of the
    /// draft is cut from the cache. Logits and cache are the same bit by bit with any draft and with none.
    ///
    /// # Errors
    /// Those of [`Self::push`], for the draft as well.
    pub fn push_with_draft(&mut self, token: TokenId, draft: &[TokenId]) -> Result<(), EngineError> {
        if let Some(row) = self.row
            && self.draft.get(row) == Some(&token)
        {
            self.held.push(token);
            self.passes.add(1, 1);
            (self.row, self.before_last) = (Some(row + 1), BeforeLast::Drafted);
            self.pace.note_accepted();
            return Ok(());
        }
        self.check_next(token)?;
        self.turn_for(self.held.len() + 1);
        let room = (self.context() - self.held.len()).min(self.before_border()) - 1;
        let draft = &draft[..draft.len().min(LONGEST_DRAFT).min(room)];
        self.check_ids(draft)?;
        let started = Instant::now();
        let aside = self.set_logits_aside();
        self.catch_up();
        let mut pass = [token; 1 + LONGEST_DRAFT];
        pass[1..=draft.len()].copy_from_slice(draft);
        self.model.forward(&mut self.state, &mut Pass::new(&mut self.cache, &pass[..=draft.len()]));
        // Of the draft, the logits will tell where it comes true.
        if self.state.first_not_finite(1, self.model.config().n_embd).is_some() && !draft.is_empty() {
            // Whether it is the draft's fault, the token shows by itself.
            return self.push_with_draft(token, &[]);
        }
        self.check_computed(&[token])?;
        self.held.push(token);
        self.passes.add(1, 1);
        self.cache.note(self.held.len(), false);
        self.draft.extend_from_slice(draft);
        self.keep_logits(0, 1 + draft.len());
        self.before_last = aside;
        self.pace.note_pass(1 + draft.len(), started.elapsed());
        Ok(())
    }

    /// The logits of the next token, `(vocab_size)`; `None` before the first prefill and after a cut.
    pub fn logits(&self) -> Option<&[f32]> {
        let vocab = self.model.config().vocab_size;
        self.row.map(|row| &self.logits[row * vocab..][..vocab])
    }

    /// The logits after the first `tokens` tokens of [`Self::held`], `(vocab_size)`: known after all of them, and after a
    /// push after all but the last, which was chosen from them.
    pub fn logits_after(&self, tokens: usize) -> Option<&[f32]> {
        let vocab = self.model.config().vocab_size;
        match (self.held.len().checked_sub(tokens)?, self.before_last, self.row) {
            (0, _, _) => self.logits(),
            (1, BeforeLast::Former(row), _) => self.former.get(row * vocab..(row + 1) * vocab),
            (1, BeforeLast::Drafted, Some(row)) => self.logits.get(row.checked_sub(1)? * vocab..row * vocab),
            _ => None,
        }
    }

    /// Runs over `tokens` from an empty cache, which is empty again afterwards, and shows the logits after each position, in order:
    /// `on_logits(i, logits)` are those that predict token `i + 1`. Stops where it breaks.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn logits_of_all(
        &mut self,
        tokens: &[TokenId],
        on_logits: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.check(tokens)?;
        self.turn_for(tokens.len());
        self.truncate(0);
        self.state.set_exact(true);
        let result = self.logits_of_each(tokens, on_logits);
        self.state.set_exact(false);
        // No prompt goes on from what was computed otherwise than prompts are.
        self.truncate(0);
        result
    }

    /// As [`Self::prefill`], and shows the logits after each position from the one before `from` on, in order:
    /// `on_logits(i, logits)` are those that predict token `i + 1`. The cache then holds the prompt as a prefill leaves
    /// it, with the logits of the next token; where `on_logits` breaks, it holds what was computed.
    ///
    /// # Errors
    /// Those of [`Self::prefill`].
    pub fn prefill_with_logits(
        &mut self,
        prompt: &[TokenId],
        from: usize,
        on_logits: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        self.check(prompt)?;
        self.turn_for(prompt.len());
        let shared = self.shared_with(prompt);
        self.truncate_to_state(shared.min(from.saturating_sub(1)).min(prompt.len() - 1));
        // What comes before `from` and is not held is computed with the rest, its logits unseen.
        let first = from.saturating_sub(1);
        let held = self.held.len();
        self.logits_of_each(&prompt[held..], &mut |i, logits| match i < first {
            true => ControlFlow::Continue(()),
            false => on_logits(i, logits),
        })?;
        if self.held.len() == prompt.len() {
            self.keep_logits((prompt.len() - held - 1) % self.batch, 1);
            self.cache.note(prompt.len(), true);
        }
        Ok(())
    }

    fn logits_of_each(
        &mut self,
        tokens: &[TokenId],
        on_logits: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        let vocab = self.model.config().vocab_size;
        let mut logits = vec![0.0; LOGITS_AT_A_TIME.min(tokens.len()) * vocab];
        for chunk in tokens.chunks(self.batch) {
            let start = self.held.len();
            self.forward(chunk)?;
            for first in (0..chunk.len()).step_by(LOGITS_AT_A_TIME) {
                let count = LOGITS_AT_A_TIME.min(chunk.len() - first);
                let logits = &mut logits[..count * vocab];
                self.model.logits(&mut self.state, first, count, logits);
                for (i, logits) in logits.chunks_exact(vocab).enumerate() {
                    if on_logits(start + first + i, logits).is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Appends tokens that are certain.
    fn forward(&mut self, tokens: &[TokenId]) -> Result<(), EngineError> {
        self.forward_as(tokens, tokens.len())
    }

    /// Whether the last pass, of `tokens`, computed numbers. What is none would stand in the cache for all that follows; it
    /// goes from there.
    fn check_computed(&mut self, tokens: &[TokenId]) -> Result<(), EngineError> {
        if self.state.first_not_finite(tokens.len(), self.model.config().n_embd).is_none() {
            return Ok(());
        }
        self.forget_all_but_held();
        let row = self.first_not_computed(tokens);
        let (token, place) = (tokens[row], self.held.len() + row);
        Err(EngineError::Invalid(about(
            &self.file,
            &format!(
                "the model computed no numbers (NaN) for token {token}, which follows {place} others: its weights are damaged, or not what its configuration says; take another copy of it"
            ),
        )))
    }

    /// Which of `tokens`, whose pass behind those that are held computes what is no number, is the first of which that is
    /// so: in one pass all of them share the sums of the kernels, so that the rows before it may be no numbers either.
    fn first_not_computed(&mut self, tokens: &[TokenId]) -> usize {
        let (mut good, mut bad) = (0, tokens.len());
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            self.catch_up();
            self.model.forward(&mut self.state, &mut Pass::new(&mut self.cache, &tokens[..middle]));
            match self.state.first_not_finite(middle, self.model.config().n_embd) {
                None => good = middle,
                Some(_) => bad = middle,
            }
            self.cache.truncate(self.held.len());
        }
        self.forget_all_but_held();
        good
    }

    /// Computes the logits after `count` tokens of the last pass, from its token `first` on, the one that `held` ends
    /// with.
    fn keep_logits(&mut self, first: usize, count: usize) {
        let vocab = self.model.config().vocab_size;
        self.model.logits(&mut self.state, first, count, &mut self.logits[..count * vocab]);
        self.row = Some(0);
    }

    /// Whether `token` can come next.
    fn check_next(&self, token: TokenId) -> Result<(), EngineError> {
        if self.held.len() >= self.context() {
            return Err(self.context_full(self.held.len() + 1));
        }
        self.check_ids(&[token])
    }

    fn check(&self, prompt: &[TokenId]) -> Result<(), EngineError> {
        if prompt.is_empty() {
            return Err(EngineError::Invalid("there is nothing to go on from: the prompt has no tokens".into()));
        }
        if prompt.len() > self.context() {
            return Err(self.context_full(prompt.len()));
        }
        self.check_ids(prompt)
    }

    fn check_ids(&self, tokens: &[TokenId]) -> Result<(), EngineError> {
        let vocab = self.model.config().vocab_size;
        match tokens.iter().find(|&&token| token as usize >= vocab) {
            Some(token) => Err(EngineError::Invalid(format!(
                "token {token} is outside the model's vocabulary of {vocab}: the tokenizer belongs to another model"
            ))),
            None => Ok(()),
        }
    }

    fn context_full(&self, tokens: usize) -> EngineError {
        let trained = self.model.config().trained_context;
        EngineError::ContextFull { tokens, context: self.context(), trained }
    }
}

#[cfg(test)]
mod tests;
