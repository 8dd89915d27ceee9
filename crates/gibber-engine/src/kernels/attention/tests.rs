use std::sync::Arc;

use super::cache::TILE;
use super::*;
use crate::kernels::ThreadPool;

/// Positions that the caches of these tests have room for: not a whole number of tiles.
const CAPACITY: usize = 1190;

fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + i / 1009 * 31 + seed * 104_729) % 1009) as f32 / 252.0 - 2.0).collect()
}

fn workspace(threads: usize) -> Workspace {
    Workspace::new(Arc::new(ThreadPool::new(threads)))
}

/// Keys and values of a layer with random contents, and the same in single precision.
struct Cache {
    shape: AttentionShape,
    keys: CacheTensor,
    values: CacheTensor,
    sinks: Option<Vec<f32>>,
    /// `(CAPACITY, n_kv_head, head_dim)`
    exact: [Vec<f32>; 2],
}

impl Cache {
    fn new(types: CacheTypes, n_head: usize, n_kv_head: usize, head_dim: usize) -> Self {
        let shape = AttentionShape {
            n_head,
            n_kv_head,
            head_dim,
            scale: 0.5 / (head_dim as f32).sqrt(),
            softcap: None,
            window: None,
        };
        let width = n_kv_head * head_dim;
        let exact = [numbers(CAPACITY * width, 1), numbers(CAPACITY * width, 2)];
        let pool = ThreadPool::new(1);
        let tensor = |side, kind, rows: &[f32]| {
            let mut tensor = CacheTensor::new(side, kind, [n_kv_head, head_dim], CAPACITY).unwrap();
            tensor.write(&pool, 0, CAPACITY, rows, width);
            tensor
        };
        let keys = tensor(Side::Keys, types.keys, &exact[0]);
        let values = tensor(Side::Values, types.values, &exact[1]);
        Self { shape, keys, values, sinks: None, exact }
    }

    fn layer(&self) -> KeysValues<'_> {
        KeysValues { keys: self.keys.view(), values: self.values.view() }
    }

    /// `n` tokens after `past` others; each has its queries, and something that belongs to others.
    fn attend(&self, isa: Isa, workspace: &Workspace, queries: &[f32], past: usize, n: usize) -> Vec<f32> {
        let stride = queries.len() / n;
        let mut out = vec![f32::NAN; n * self.shape.n_head * self.shape.head_dim];
        let (shape, sinks) = (&self.shape, self.sinks.as_deref());
        let request = Request { shape, sinks, queries, stride, cache: self.layer(), past };
        attend_on(isa, workspace, &request, &mut out);
        out
    }

    fn queries(&self, n: usize) -> Vec<f32> {
        numbers(n * (self.shape.n_head * self.shape.head_dim + 6), 3)
    }

    /// The plain twin: in double precision, from the exact keys and values.
    fn plain(&self, queries: &[f32], past: usize, n: usize) -> Vec<f64> {
        let AttentionShape { n_head, n_kv_head, head_dim: dim, scale, softcap, window } = self.shape;
        let (stride, [keys, values]) = (queries.len() / n, &self.exact);
        let mut out = Vec::new();
        for (token, head) in (0..n * n_head).map(|i| (i / n_head, i % n_head)) {
            let query = &queries[token * stride + head * dim..][..dim];
            let of = |all: &[f32], position: usize, d: usize| {
                f64::from(all[(position * n_kv_head + head * n_kv_head / n_head) * dim + d])
            };
            let score = |position| query.iter().enumerate().map(|(d, &q)| f64::from(q) * of(keys, position, d)).sum();
            let first = window.map_or(0, |window| (past + token + 1).saturating_sub(window));
            let scores: Vec<f64> = (first..past + token + 1).map(score).collect();
            let capped = |score: f64| softcap.map(f64::from).map_or(score, |cap| cap * (score / cap).tanh());
            let weights: Vec<f64> = scores.iter().map(|score| capped(score * f64::from(scale)).exp()).collect();
            let sink = self.sinks.as_ref().map_or(0.0, |sinks| f64::from(sinks[head]).exp());
            let total = weights.iter().sum::<f64>() + sink;
            let value = |d| weights.iter().enumerate().map(|(i, w)| w * of(values, first + i, d)).sum::<f64>() / total;
            out.extend((0..dim).map(value));
        }
        out
    }
}

fn largest_difference(found: &[f32], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    // A maximum would lose what is not a number.
    found.iter().zip(exact).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, |a, b| if b <= a { a } else { b })
}

/// How far a result may be from the plain twin. Keys and values lie within ±2, scores within a few times that: a half has
/// an error of 2^-11 of each of them, a whole number of Q8_0 one of 2 / 254.
fn bound(types: CacheTypes) -> f64 {
    let of = |kind| match kind {
        CacheType::F32 => 3e-6,
        CacheType::F16 => 1.5e-3,
        CacheType::Q8_0 => 1.5e-2,
    };
    of(types.keys) + of(types.values)
}

fn all_types() -> impl Iterator<Item = CacheTypes> {
    CacheType::ALL.into_iter().flat_map(|keys| CacheType::ALL.map(|values| CacheTypes { keys, values }))
}

#[test]
fn a_sink_takes_its_part_of_the_softmax_and_nothing_is_read_for_it() {
    let workspace = workspace(2);
    // Far below the scores, among them, far above.
    for sinks in [[-30.0, 0.5, 2.0], [0.0, 60.0, -100.0]] {
        for window in [None, Some(40)] {
            let mut cache = Cache::new(CacheTypes::both(CacheType::F32), 3, 1, 20);
            (cache.sinks, cache.shape.window) = (Some(sinks.into()), window);
            for (past, n) in [(0, 1), (300, 3), (1100, 1), (0, 17), (510, 70)] {
                let queries = cache.queries(n);
                let exact = cache.plain(&queries, past, n);
                for isa in Isa::available() {
                    let off = largest_difference(&cache.attend(isa, &workspace, &queries, past, n), &exact);
                    assert!(off <= 1e-5, "{isa:?}, {n} tokens after {past}, sinks {sinks:?}: {off}");
                }
            }
        }
    }
}

#[test]
fn every_format_and_instruction_set_attends_as_the_plain_twin_does() {
    let workspace = workspace(2);
    let cases = [(0, 1), (1, 1), (31, 1), (32, 1), (63, 2), (64, 1), (300, 3), (1100, 1), (0, 17), (40, 40), (510, 70)];
    for types in all_types() {
        for (n_head, n_kv_head, head_dim) in [(3, 3, 8), (9, 3, 64), (2, 1, 20)] {
            let cache = Cache::new(types, n_head, n_kv_head, head_dim);
            for (past, n) in cases {
                let queries = cache.queries(n);
                let exact = cache.plain(&queries, past, n);
                for isa in Isa::available() {
                    let found = cache.attend(isa, &workspace, &queries, past, n);
                    let difference = largest_difference(&found, &exact);
                    let case = format!("{types}, {isa:?}, {n_head}/{n_kv_head} heads of {head_dim}, {past} + {n}");
                    assert!(difference < bound(types), "{case}: {difference}");
                }
            }
        }
    }
}

#[test]
fn a_window_hides_what_lies_before_it() {
    let workspace = workspace(2);
    for types in [CacheTypes::both(CacheType::F32), CacheTypes::both(CacheType::F16), CacheTypes::both(CacheType::Q8_0)]
    {
        for window in [1, 7, 32, 33, 100, 600, 5000] {
            let mut cache = Cache::new(types, 6, 2, 24);
            cache.shape.window = Some(window);
            for (past, n) in
                [(0, 1), (31, 1), (40, 3), (700, 1), (1100, 5), (0, 40), (10, 100), (600, 130), (0, CAPACITY)]
            {
                let queries = cache.queries(n);
                let exact = cache.plain(&queries, past, n);
                for isa in Isa::available() {
                    let difference = largest_difference(&cache.attend(isa, &workspace, &queries, past, n), &exact);
                    let case = format!("{types}, {isa:?}, {past} + {n} in a window of {window}");
                    assert!(difference < bound(types), "{case}: {difference}");
                }
            }
            let queries = cache.queries(3);
            let stride = queries.len() / 3;
            let together = cache.attend(Isa::active(), &workspace, &queries, 640, 3);
            let alone = queries.chunks_exact(stride).enumerate();
            let alone = alone.flat_map(|(i, queries)| cache.attend(Isa::active(), &workspace, queries, 640 + i, 1));
            assert!(alone.eq(together), "{types}, window of {window}");
        }
    }
}

#[test]
fn scores_stay_within_their_soft_cap() {
    let workspace = workspace(2);
    for types in all_types() {
        for (cap, scale) in [(0.5, 1.0), (3.0, 1.0), (50.0, 0.2)] {
            let mut cache = Cache::new(types, 6, 2, 24);
            (cache.shape.softcap, cache.shape.scale) = (Some(cap), scale);
            for (past, n, window) in [(0, 1, None), (70, 3, Some(33)), (300, 40, Some(100)), (510, 70, None)] {
                cache.shape.window = window;
                let queries = cache.queries(n);
                let exact = cache.plain(&queries, past, n);
                for isa in Isa::available() {
                    let difference = largest_difference(&cache.attend(isa, &workspace, &queries, past, n), &exact);
                    // Where scores are large, so are the errors of rounded keys.
                    let bound = bound(types) * if cap > 1.0 { 6.0 } else { 1.0 };
                    assert!(difference < bound, "{types}, {isa:?}, {past} + {n} within {cap}: {difference}");
                }
            }
        }
    }
}

#[test]
fn heads_of_any_width_and_groups_of_any_size() {
    let workspace = workspace(2);
    for kind in CacheType::ALL {
        let types = CacheTypes::both(kind);
        let widths = [1, 2, 5, 16, 33, 80, 100, 128].map(|dim| (2, 1, dim));
        let groups = [1, 2, 3, 4, 5, 6, 7, 8, 11].map(|group| (2 * group, 2, 12));
        for (n_head, n_kv_head, head_dim) in widths.into_iter().chain(groups) {
            let cache = Cache::new(types, n_head, n_kv_head, head_dim);
            for (past, n) in [(70, 2), (10, 20)] {
                let queries = cache.queries(n);
                let exact = cache.plain(&queries, past, n);
                for isa in Isa::available() {
                    let difference = largest_difference(&cache.attend(isa, &workspace, &queries, past, n), &exact);
                    let case = format!("{types}, {isa:?}, {n_head}/{n_kv_head} heads of {head_dim}, {past} + {n}");
                    assert!(difference < bound(types), "{case}: {difference}");
                }
            }
        }
    }
}

#[test]
fn a_few_tokens_read_what_each_would_read_alone_bit_by_bit() {
    let workspace = workspace(2);
    for types in all_types() {
        let cache = Cache::new(types, 6, 2, 24);
        for past in [0, 25, 60, 130, 1020, 1170] {
            for n in [2, 3, MAX_TOKENS_ONE_BY_ONE] {
                let queries = cache.queries(n);
                let stride = queries.len() / n;
                for isa in Isa::available() {
                    let together = cache.attend(isa, &workspace, &queries, past, n);
                    let alone = (0..n).flat_map(|token| {
                        let queries = &queries[token * stride..][..stride];
                        cache.attend(isa, &workspace, queries, past + token, 1)
                    });
                    assert!(alone.eq(together), "{types}, {isa:?}, {past} + {n}");
                }
            }
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    for types in [CacheTypes::default(), CacheTypes::both(CacheType::Q8_0)] {
        let cache = Cache::new(types, 6, 2, 40);
        for (past, n) in [(0, 1), (500, 1), (1100, 5), (3, 100), (600, 130)] {
            let queries = cache.queries(n);
            let with = |threads| cache.attend(Isa::active(), &workspace(threads), &queries, past, n);
            let one = with(1);
            assert!([2, 3, 7].into_iter().all(|threads| with(threads) == one), "{types}, {past} + {n}");
        }
    }
}

#[test]
fn writing_token_by_token_or_many_at_once_is_the_same() {
    let (n_kv_head, head_dim, stride, n) = (3, 40, 3 * 40 + 5, 100);
    let rows = numbers(n * stride, 4);
    for kind in CacheType::ALL {
        for side in [Side::Keys, Side::Values] {
            let tensor = || CacheTensor::new(side, kind, [n_kv_head, head_dim], n + 9).unwrap();
            let (mut one, mut many) = (tensor(), tensor());
            for (token, row) in rows.chunks_exact(stride).enumerate() {
                one.write(&ThreadPool::new(1), 7 + token, 1, row, stride);
            }
            many.write(&ThreadPool::new(2), 7, n, &rows, stride);
            for head in 0..n_kv_head {
                let tiles = |tensor: &CacheTensor| tensor.view().head(head).tiles(0, n + 9).to_vec();
                assert!(tiles(&one) == tiles(&many), "{kind:?}, {side:?}, head {head}");
            }
        }
    }
}

#[test]
fn what_is_written_is_what_is_read_to_the_formats_precision() {
    let (head_dim, n) = (50, 70);
    let rows = numbers(n * head_dim, 5);
    for (kind, bound) in [(CacheType::F32, 0.0), (CacheType::F16, 2.0_f32.powi(-11)), (CacheType::Q8_0, 0.5 / 126.9)] {
        for side in [Side::Keys, Side::Values] {
            let mut tensor = CacheTensor::new(side, kind, [1, head_dim], n).unwrap();
            tensor.write(&ThreadPool::new(1), 0, n, &rows, head_dim);
            let head = tensor.view().head(0);
            for isa in Isa::available() {
                let (whole, row) = (n.next_multiple_of(TILE), head.layout.row());
                let mut floats = vec![f32::NAN; whole * if side == Side::Keys { head_dim } else { row }];
                expand(isa, head, 0..n, &mut floats);
                for (position, d) in (0..n).flat_map(|position| (0..head_dim).map(move |d| (position, d))) {
                    let found = floats[if side == Side::Keys { d * whole + position } else { position * row + d }];
                    let exact = rows[position * head_dim + d];
                    assert!((found - exact).abs() <= 2.0 * bound, "{kind:?}, {side:?}, {isa:?}: {found} for {exact}");
                }
            }
        }
    }
}

#[test]
fn numbers_that_a_format_does_not_have_become_its_nearest() {
    let row = [1e6, -1e30, 1e-30, 0.0, f32::INFINITY];
    for (kind, largest) in [(CacheType::F16, 65504.0), (CacheType::Q8_0, 127.0 * 65504.0)] {
        let mut tensor = CacheTensor::new(Side::Values, kind, [1, 5], 1).unwrap();
        tensor.write(&ThreadPool::new(1), 0, 1, &row, 5);
        let mut floats = vec![f32::NAN; TILE * 16];
        expand(Isa::Portable, tensor.view().head(0), 0..1, &mut floats);
        assert!(floats[..5].iter().all(|x| x.is_finite() && x.abs() <= largest), "{kind:?}: {:?}", &floats[..5]);
        assert_eq!(floats[1], -largest, "{kind:?}");
    }
}

#[test]
fn scores_that_would_overflow_a_plain_softmax_stay_finite() {
    let workspace = workspace(1);
    for types in all_types() {
        let mut cache = Cache::new(types, 1, 1, 8);
        cache.shape.scale = 100.0;
        for n in [1, 2, 20] {
            let out = cache.attend(Isa::active(), &workspace, &cache.queries(n), 290, n);
            assert!(out.iter().all(|v| v.is_finite() && v.abs() <= 2.01), "{types}: {out:?}");
        }
    }
}

#[test]
fn memory_is_what_the_formats_ask_for_and_a_context_that_has_no_room_is_an_error() {
    let bytes = |kind| CacheTensor::new(Side::Keys, kind, [3, 64], 8192).unwrap().bytes(8192);
    assert_eq!(CacheType::ALL.map(bytes), [3 * 64 * 8192 * 4, 3 * 64 * 8192 * 2, 3 * 68 * 8192]);
    for shape in [[1 << 24, 1 << 12], [usize::MAX >> 40, 1 << 24]] {
        let error = CacheTensor::new(Side::Values, CacheType::F32, shape, 1 << 24).unwrap_err().to_string();
        assert!(error.contains("a context of 16777216 tokens, whose values take"), "{error}");
    }
}
