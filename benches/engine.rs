//! What a token costs: a forward pass per weight format, and the parts of it that are not matrix products.
//!
//! `cargo bench --bench engine`. Random weights of GPT-2's width and one layer's depth, so that a run takes seconds; whole
//! models are measured by `gibber bench`.

#![allow(clippy::expect_used, reason = "a benchmark that cannot be set up has nothing to say")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gibber_engine::inference::Inference;
use gibber_engine::kernels::attention::{AttentionShape, CacheTensor, KeysValues, Request, Side, attend};
use gibber_engine::kernels::pool::default_threads;
use gibber_engine::kernels::{ThreadPool, Workspace, vector};
use gibber_engine::model::Model;
use gibber_engine::sampling::log_softmax_stats;
use gibber_engine::{CacheType, CacheTypes, synthetic};

/// One token, and a prompt of 64, through a small model in each format.
fn forward(criterion: &mut Criterion) {
    for format in ["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"] {
        let (config, weights) = synthetic::build(&format!("bench:{format}")).expect("a known shape");
        let pool = Arc::new(ThreadPool::new(default_threads()));
        let model = Model::load(config, &weights, &pool).expect("all tensors are there");
        let bytes = model.bytes_per_token() as u64;
        let mut inference = Inference::new(model, CacheTypes::default(), 128, 64, pool).expect("memory for the cache");
        let mut group = criterion.benchmark_group("forward");
        group.throughput(Throughput::Bytes(bytes));
        group.bench_function(BenchmarkId::new("token", format), |bencher| {
            bencher.iter(|| {
                inference.truncate(0);
                inference.push(black_box(7)).expect("room for a token");
            });
        });
        let prompt: Vec<u32> = (0..64).collect();
        group.throughput(Throughput::Elements(prompt.len() as u64));
        group.bench_function(BenchmarkId::new("prompt", format), |bencher| {
            bencher.iter(|| {
                inference.truncate(0);
                inference.prefill(black_box(&prompt), &mut |_| ControlFlow::Continue(())).expect("room for the prompt");
            });
        });
    }
}

/// One token attends to a context of 2,048 in the shape of the default model.
fn attention(criterion: &mut Criterion) {
    const DEPTH: usize = 2048;
    let shape = AttentionShape { n_head: 9, n_kv_head: 3, head_dim: 64, scale: 0.125, softcap: None, window: None };
    let query = vec![0.1; shape.n_head * shape.head_dim];
    let mut out = vec![0.0; query.len()];
    let workspace = Workspace::new(Arc::new(ThreadPool::new(default_threads())));
    for kind in CacheType::ALL {
        let cache = |side| {
            let mut cache = CacheTensor::new(side, kind, [shape.n_kv_head, shape.head_dim], DEPTH).expect("memory");
            let width = shape.n_kv_head * shape.head_dim;
            cache.write(workspace.pool(), 0, DEPTH, &vec![0.01; DEPTH * width], width);
            cache
        };
        let (keys, values) = (cache(Side::Keys), cache(Side::Values));
        let cache = KeysValues { keys: keys.view(), values: values.view() };
        criterion.bench_function(&format!("attention/2048/{}", kind.as_str()), |bencher| {
            bencher.iter(|| {
                let queries = black_box(&query[..]);
                let request =
                    Request { shape: &shape, sinks: None, queries, stride: queries.len(), cache, past: DEPTH - 1 };
                attend(&workspace, &request, &mut out)
            });
        });
    }
}

/// What is done with the logits of a vocabulary of 50,257, and with a layer's activations.
fn vectors(criterion: &mut Criterion) {
    let logits: Vec<f32> = (0..50_257).map(|i| (i * 7919 % 1009) as f32 / 50.0).collect();
    criterion.bench_function("softmax statistics", |bencher| bencher.iter(|| log_softmax_stats(black_box(&logits))));
    let mut activations = logits[..3072].to_vec();
    criterion.bench_function("gelu/3072", |bencher| bencher.iter(|| vector::gelu_tanh(black_box(&mut activations))));
}

criterion_group!(benches, forward, attention, vectors);
criterion_main!(benches);
