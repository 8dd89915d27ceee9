//! The state of recurrent layers, which cannot be cut as keys and values are, and how it goes back all the same.
//!
//! A layer's state is what all tokens so far have made of it. To drop some of them it is not enough to move a number: the
//! state has to be one that was kept, or be computed again. Two things are kept. The **log**: the state as it was before
//! the last few tokens (the base), and what those have given to it, so that going back a few tokens (a draft that did not
//! come true, a token that was taken back) is the base and the log once more, without a matrix. And **snapshots** of base
//! and log at the ends of prefills and now and then in between. Because the recurrence goes token by token, all of this has
//! the same bits as the first time.

use std::ops::Range;
use std::sync::Arc;

/// As many tokens can be dropped at any time without a snapshot: a whole draft with the token before it.
pub(super) const KEPT: usize = crate::kernels::matrix::MAX_TOKENS_ONE_BY_ONE;
/// Tokens of the log after which its base moves on.
const MOST_LOGGED: usize = 2 * KEPT;
/// Tokens after which a snapshot is taken where no prefill ends.
const INTERVAL: usize = 256;
/// Bytes that all snapshots of a sequence may take.
const SNAPSHOT_BYTES: usize = 256 << 20;
/// How many there may be, whatever their size.
const SNAPSHOTS: Range<usize> = 2..64;
/// By how much a snapshot at the end of a prefill is worth more than one in between: people go back there.
const BORDER_WORTH: usize = 4;

/// What a recurrent layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecurrentShape {
    /// Values of the state; none where what the last tokens gave is all of it.
    pub(super) state: usize,
    /// Values that a token gives.
    pub(super) input: usize,
    /// How many tokens before a token are read again with it.
    pub(super) reach: usize,
}

impl RecurrentShape {
    fn log_values(&self) -> usize {
        (self.reach + MOST_LOGGED).saturating_mul(self.input)
    }

    fn bytes(&self) -> usize {
        let values = self.state.saturating_mul(2).saturating_add(self.log_values());
        values.saturating_mul(size_of::<f32>())
    }

    fn snapshot_bytes(&self) -> usize {
        self.state.saturating_add(self.log_values()).saturating_mul(size_of::<f32>())
    }
}

/// What the tokens of a pass give to a layer, and those before them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inputs<'a> {
    /// Rows of `width` values, the last of which is of the token before the pass.
    before: &'a [f32],
    /// A row a token, each `stride` values behind the one before.
    rows: &'a [f32],
    stride: usize,
    width: usize,
}

impl<'a> Inputs<'a> {
    /// Of `rows`, each `stride` values behind the one before, the first `width` values are what tokens give.
    pub(super) fn new(rows: &'a [f32], stride: usize, width: usize) -> Self {
        Self { before: &[], rows, stride, width }
    }

    fn after(self, before: &'a [f32]) -> Self {
        Self { before, ..self }
    }

    fn len(&self) -> usize {
        self.rows.len().div_ceil(self.stride.max(1))
    }

    /// What the token `back` tokens before `token` gave.
    pub(super) fn row(&self, token: usize, back: usize) -> &'a [f32] {
        match token.checked_sub(back) {
            Some(row) => &self.rows[row * self.stride..][..self.width],
            None => &self.before[self.before.len() - (back - token) * self.width..][..self.width],
        }
    }
}

/// Takes a state past the tokens of a range of the inputs; with `true` what they read is wanted.
pub(super) type Advance<'a> = dyn FnMut(&mut [f32], &Inputs<'_>, Range<usize>, bool) + 'a;

/// One layer's state.
#[derive(Debug, Clone)]
struct LayerMemory {
    shape: RecurrentShape,
    /// After all tokens.
    live: Vec<f32>,
    /// Before those of the log.
    base: Arc<Vec<f32>>,
    /// What the last tokens gave, and `reach` more before the base.
    log: Vec<f32>,
}

impl LayerMemory {
    fn new(shape: RecurrentShape) -> Self {
        let mut log = Vec::with_capacity(shape.log_values());
        log.resize(shape.reach * shape.input, 0.0);
        Self { shape, live: vec![0.0; shape.state], base: Arc::new(vec![0.0; shape.state]), log }
    }

    /// Nothing has come yet.
    fn reset(&mut self) {
        self.live.fill(0.0);
        set(&mut self.base, &self.live);
        self.log.clear();
        self.log.resize(self.shape.reach * self.shape.input, 0.0);
    }

    /// Of the log, only the first `tokens` tokens stay.
    fn truncate_log(&mut self, tokens: usize) {
        self.log.truncate((self.shape.reach + tokens) * self.shape.input);
    }

    /// Takes the state past the tokens of `inputs`, which come `logged` tokens behind the base. Where it `is_stale`, it is
    /// made from base and log first.
    fn advance(&mut self, inputs: Inputs<'_>, logged: usize, is_stale: bool, advance: &mut Advance<'_>) {
        let Self { shape, live, base, log } = self;
        let n = inputs.len();
        let (before, rows) = log.split_at(shape.reach * shape.input);
        let (replay, new) = (Inputs::new(rows, shape.input, shape.input).after(before), inputs.after(log));
        // Where there is no state but the log, there is nothing to make again.
        let has_state = shape.state > 0;
        if is_stale && has_state {
            live.copy_from_slice(base);
            advance(live, &replay, 0..logged, false);
        }
        let moves = base_moves(logged, n);
        if moves > logged {
            advance(live, &new, 0..moves - logged, true);
            set(base, live);
        } else if moves > 0 && has_state {
            let base: &mut Vec<f32> = Arc::make_mut(base);
            advance(base, &replay, 0..moves, false);
        }
        advance(live, &new, moves.saturating_sub(logged)..n, true);
        let logged_rows = shape.reach + logged;
        log.drain(..moves.min(logged_rows) * shape.input);
        (moves.saturating_sub(logged_rows)..n).for_each(|token| log.extend_from_slice(inputs.row(token, 0)));
    }
}

/// How many tokens the base moves on with `n` more behind the `logged`.
fn base_moves(logged: usize, n: usize) -> usize {
    if logged + n > MOST_LOGGED { logged + n - KEPT } else { 0 }
}

/// `base` becomes a copy of `live`, in place where nobody else has it.
fn set(base: &mut Arc<Vec<f32>>, live: &[f32]) {
    match Arc::get_mut(base) {
        Some(base) => base.copy_from_slice(live),
        None => *base = Arc::new(live.to_vec()),
    }
}

/// The state of the recurrent layers of a sequence.
#[derive(Debug, Clone)]
pub(super) struct Recurrent {
    /// Which of `layers` belongs to each layer of the model.
    places: Vec<Option<usize>>,
    layers: Vec<LayerMemory>,
    /// Tokens before those of the log.
    base: usize,
    /// Tokens that came.
    len: usize,
    /// Whether what is live is of other tokens, so that base and log have to be gone through.
    is_stale: bool,
    /// Whether a pass has begun and not ended: the layers are at different tokens.
    is_torn: bool,
    snapshots: Snapshots,
}

impl Recurrent {
    /// The state of layers of these shapes before the first token; `None` where no layer has one.
    pub(super) fn new(shapes: &[Option<RecurrentShape>]) -> Option<Self> {
        let layers: Vec<_> = shapes.iter().flatten().map(|&shape| LayerMemory::new(shape)).collect();
        let mut next = 0..layers.len();
        let places = shapes.iter().map(|shape| shape.and_then(|_| next.next())).collect();
        let most = Snapshots::most(shapes);
        let snapshots = Snapshots { list: Vec::with_capacity(most + 1), most };
        (!layers.is_empty()).then_some(Self {
            places,
            layers,
            base: 0,
            len: 0,
            is_stale: false,
            is_torn: false,
            snapshots,
        })
    }

    /// Bytes of memory that it takes at the most, its snapshots included, where it holds `tokens` tokens.
    pub(super) fn bytes_for(shapes: &[Option<RecurrentShape>], tokens: usize) -> usize {
        let sum = |bytes: fn(&RecurrentShape) -> usize| {
            shapes.iter().flatten().fold(0_usize, |sum, shape| sum.saturating_add(bytes(shape)))
        };
        // One at the end of the prompt, and those on the way.
        let snapshots = Snapshots::most(shapes).min(1 + tokens / INTERVAL);
        sum(RecurrentShape::bytes).saturating_add(sum(RecurrentShape::snapshot_bytes).saturating_mul(snapshots))
    }

    /// The same of this one.
    pub(super) fn bytes(&self, tokens: usize) -> usize {
        let shapes: Vec<_> = self.layers.iter().map(|layer| Some(layer.shape)).collect();
        Self::bytes_for(&shapes, tokens)
    }

    /// Tokens that it is after.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Goes back to the first `tokens` tokens, or to the nearest state before that can be had, and forgets those behind.
    /// Returns after how many tokens that is.
    pub(super) fn truncate(&mut self, tokens: usize) -> usize {
        self.snapshots.truncate(tokens);
        if self.is_torn || tokens < self.base {
            self.restore();
        } else if tokens < self.len {
            let logged = tokens - self.base;
            self.layers.iter_mut().for_each(|layer| layer.truncate_log(logged));
            (self.len, self.is_stale) = (tokens, true);
        }
        self.len
    }

    /// Goes back to the last snapshot, or to the start.
    fn restore(&mut self) {
        self.is_torn = false;
        let Some(snapshot) = self.snapshots.list.last() else {
            self.layers.iter_mut().for_each(LayerMemory::reset);
            (self.base, self.len, self.is_stale) = (0, 0, false);
            return;
        };
        for (layer, copy) in self.layers.iter_mut().zip(snapshot.layers.iter()) {
            layer.base = Arc::clone(&copy.base);
            layer.log.clear();
            layer.log.extend_from_slice(&copy.log);
            layer.truncate_log(snapshot.end - snapshot.base);
        }
        (self.base, self.len, self.is_stale) = (snapshot.base, snapshot.end, true);
    }

    /// A pass begins: each layer is to be taken past the same tokens, and then [`Self::advance`] called.
    pub(super) fn begin(&mut self) {
        self.is_torn = true;
    }

    /// Takes the state of layer `index` of the model past the tokens of `inputs`; `advance` does it, for a part of them or of
    /// those that came before at a time.
    pub(super) fn advance_layer(&mut self, index: usize, inputs: Inputs<'_>, advance: &mut Advance<'_>) {
        if let Some(place) = self.places[index] {
            self.layers[place].advance(inputs, self.len - self.base, self.is_stale, advance);
        }
    }

    /// `tokens` more have come, in every layer.
    pub(super) fn advance(&mut self, tokens: usize) {
        self.base += base_moves(self.len - self.base, tokens);
        self.len += tokens;
        (self.is_stale, self.is_torn) = (false, false);
    }

    /// The first `tokens` tokens, all of which are certain, are the end of a prompt (`is_border`), or of any pass: takes a
    /// snapshot, where it is time for one. Those before `tokens` are what a pass ended with.
    pub(super) fn note(&mut self, tokens: usize, is_border: bool) {
        let last = self.snapshots.list.last().map_or(0, |last| last.end);
        let is_due = if is_border { tokens > last } else { tokens >= last + INTERVAL };
        if self.is_torn || !is_due || tokens < self.base || tokens > self.len {
            return;
        }
        let copy = |layer: &LayerMemory| LayerCopy { base: Arc::clone(&layer.base), log: layer.log.clone() };
        let layers = self.layers.iter().map(copy).collect();
        self.snapshots.push(Snapshot { base: self.base, end: tokens, is_border, layers });
    }
}

/// A state that can be gone back to.
#[derive(Debug, Clone)]
struct Snapshot {
    /// Tokens before those of the log.
    base: usize,
    /// Up to how many tokens it is one of the sequence as that is now.
    end: usize,
    is_border: bool,
    layers: Arc<[LayerCopy]>,
}

#[derive(Debug)]
struct LayerCopy {
    base: Arc<Vec<f32>>,
    log: Vec<f32>,
}

/// Snapshots, by their ends.
#[derive(Debug, Clone)]
struct Snapshots {
    list: Vec<Snapshot>,
    most: usize,
}

impl Snapshots {
    /// How many there may be.
    fn most(shapes: &[Option<RecurrentShape>]) -> usize {
        let bytes = shapes.iter().flatten().fold(0_usize, |sum, shape| sum.saturating_add(shape.snapshot_bytes()));
        (SNAPSHOT_BYTES / bytes.max(1)).clamp(SNAPSHOTS.start, SNAPSHOTS.end)
    }

    /// Of each, what is behind `tokens` tokens is no state of the sequence any more.
    fn truncate(&mut self, tokens: usize) {
        self.list.retain_mut(|snapshot| {
            snapshot.end = snapshot.end.min(tokens);
            snapshot.base <= tokens
        });
        // Of several that end there now, the first reaches furthest back.
        self.list.dedup_by_key(|snapshot| snapshot.end);
    }

    /// Adds one that ends behind all others. Where there are too many, the one goes that saves least: what would have to be
    /// computed again without it, by how far back it is.
    fn push(&mut self, snapshot: Snapshot) {
        let now = snapshot.end;
        self.list.push(snapshot);
        if self.list.len() <= self.most {
            return;
        }
        let worth = |at: usize| {
            let before = at.checked_sub(1).map_or(0, |before| self.list[before].end);
            let gap = (self.list[at + 1].end - before) * if self.list[at].is_border { BORDER_WORTH } else { 1 };
            gap as f64 / (now - self.list[at].end) as f64
        };
        let least = (0..self.list.len() - 1).min_by(|&a, &b| worth(a).total_cmp(&worth(b)));
        if let Some(least) = least {
            self.list.remove(least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: RecurrentShape = RecurrentShape { state: 2, input: 1, reach: 3 };

    /// A recurrence that depends on all that came, in order, and on the three inputs before each.
    fn step(state: &mut [f32], inputs: &Inputs<'_>, range: Range<usize>, seen: &mut Vec<(f32, f32)>, is_wanted: bool) {
        for token in range {
            let sum: f32 = (0..=3).map(|back| inputs.row(token, back)[0] * (back + 1) as f32).sum();
            state[0] = state[0] * 0.9 + sum;
            state[1] = state[1] * 0.5 - state[0];
            if is_wanted {
                seen.push((state[0], state[1]));
            }
        }
    }

    fn push(recurrent: &mut Recurrent, tokens: &[f32]) -> Vec<(f32, f32)> {
        let mut seen = Vec::new();
        // A second value beside each, which is none of the inputs.
        let rows: Vec<f32> = tokens.iter().flat_map(|&token| [token, f32::NAN]).collect();
        recurrent.begin();
        recurrent.advance_layer(1, Inputs::new(&rows, 2, 1), &mut |state, inputs, range, is_wanted| {
            step(state, inputs, range, &mut seen, is_wanted);
        });
        recurrent.advance(tokens.len());
        seen
    }

    fn empty() -> Recurrent {
        Recurrent::new(&[None, Some(SHAPE)]).unwrap()
    }

    fn tokens(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i * 7 % 11) as f32 - 5.0).collect()
    }

    /// What is read after each of `tokens`, one by one.
    fn alone(tokens: &[f32]) -> Vec<(f32, f32)> {
        let mut recurrent = empty();
        tokens.chunks(1).flat_map(|token| push(&mut recurrent, token)).collect()
    }

    #[test]
    fn any_pieces_give_the_same_bits() {
        let tokens = tokens(300);
        let expected = alone(&tokens);
        for pieces in [&[300][..], &[1, 299], &[33, 1, 1, 40, 16, 16, 17, 176], &[32, 32, 16, 220], &[16; 18]] {
            let mut recurrent = empty();
            let mut seen = Vec::new();
            for &piece in pieces {
                let at = seen.len();
                seen.extend(push(&mut recurrent, &tokens[at..at + piece]));
            }
            assert_eq!(seen, expected[..seen.len()], "{pieces:?}");
        }
    }

    #[test]
    fn the_last_tokens_can_be_dropped_at_any_time_without_a_snapshot() {
        let tokens = tokens(200);
        let expected = alone(&tokens);
        for piece in [1, 5, 16, 17, 40, 100] {
            let mut recurrent = empty();
            let mut at = 0;
            while at + piece <= tokens.len() {
                assert_eq!(push(&mut recurrent, &tokens[at..at + piece]), expected[at..at + piece]);
                let back = KEPT.min(at + piece);
                // Others came, and were dropped; more than once.
                for dropped in [1, back / 2, back] {
                    assert_eq!(recurrent.truncate(at + piece - dropped), at + piece - dropped, "pieces of {piece}");
                    push(&mut recurrent, &vec![9.0; dropped]);
                    assert_eq!(recurrent.truncate(at + piece - dropped), at + piece - dropped);
                    let again = push(&mut recurrent, &tokens[at + piece - dropped..at + piece]);
                    assert_eq!(again, expected[at + piece - dropped..at + piece]);
                }
                at += piece;
            }
        }
    }

    #[test]
    fn further_back_is_the_nearest_snapshot_or_the_start() {
        let tokens = tokens(1100);
        let expected = alone(&tokens);
        let mut recurrent = empty();
        let at = |recurrent: &mut Recurrent, from: usize, to: usize, is_border: bool| {
            assert_eq!(recurrent.len(), from);
            assert_eq!(push(recurrent, &tokens[from..to]), expected[from..to]);
            recurrent.note(to, is_border);
        };
        at(&mut recurrent, 0, 100, true);
        at(&mut recurrent, 100, 120, true);
        at(&mut recurrent, 120, 300, false);
        at(&mut recurrent, 300, 400, false);
        at(&mut recurrent, 400, 1000, true);
        // Within the log of a snapshot, between two, within another.
        let ends = |recurrent: &Recurrent| recurrent.snapshots.list.iter().map(|s| s.end).collect::<Vec<_>>();
        assert_eq!(ends(&recurrent), [100, 120, 400, 1000]);
        let fork = recurrent.clone();
        for (to, reached) in
            [(999, 999), (900, 400), (399, 399), (384, 384), (383, 120), (119, 119), (101, 100), (85, 85), (83, 0)]
        {
            let mut recurrent = fork.clone();
            assert_eq!(recurrent.truncate(to), reached, "to {to}");
            assert!(ends(&recurrent).iter().all(|&end| end <= to));
            at(&mut recurrent, reached, reached + 50, false);
            assert_eq!(recurrent.truncate(reached), reached);
            at(&mut recurrent, reached, reached + 1, false);
        }
        at(&mut { fork }, 1000, 1000, false);
    }

    #[test]
    fn a_pass_that_did_not_end_leaves_nothing_behind() {
        let tokens = tokens(200);
        let expected = alone(&tokens);
        let mut recurrent = empty();
        push(&mut recurrent, &tokens[..100]);
        recurrent.note(100, true);
        push(&mut recurrent, &tokens[100..110]);
        recurrent.begin();
        recurrent.advance_layer(1, Inputs::new(&[1.0; 60], 1, 1), &mut |state, _, _, _| state.fill(7.0));
        assert_eq!(recurrent.truncate(110), 100);
        assert_eq!(push(&mut recurrent, &tokens[100..200]), expected[100..200]);
    }

    #[test]
    fn snapshots_are_few_and_those_of_prompts_stay_longest() {
        let big = RecurrentShape { state: 1 << 23, input: 1, reach: 0 };
        assert_eq!(Snapshots::most(&[Some(big); 3]), 2);
        assert_eq!(Snapshots::most(&[Some(big), None]), 7);
        assert_eq!(Snapshots::most(&[Some(SHAPE)]), 64);
        let bytes = Recurrent::bytes_for(&[Some(big), None, Some(big)], 100);
        assert_eq!(bytes >> 20, 2 * (2 * 32 + 32), "state, base, and one snapshot");
        assert_eq!(Recurrent::bytes_for(&[None], 100_000), 0);
        let mut recurrent = empty();
        recurrent.snapshots.most = 8;
        for border in 0..40 {
            push(&mut recurrent, &tokens(300));
            recurrent.note((border + 1) * 300, border % 10 == 0);
        }
        let list = &recurrent.snapshots.list;
        assert_eq!((list.len(), list[7].end), (8, 12_000));
        assert!(list.is_sorted_by(|a, b| a.end < b.end));
        assert!(
            list.iter().filter(|snapshot| snapshot.is_border).count() >= 3,
            "{:?}",
            list.iter().map(|s| s.end).collect::<Vec<_>>()
        );
    }
}
