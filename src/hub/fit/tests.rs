use gibber_hub::{Listing, Oid, RemoteFile, Repository, gguf_models};

use super::*;

const MB: u64 = 1_000_000;

/// A repository of Qwen3-4B's sizes.
fn models() -> Vec<GgufModel> {
    let files = [
        ("M-BF16.gguf", 8050),
        ("M-Q8_0.gguf", 4280),
        ("M-UD-Q6_K_XL.gguf", 3700),
        ("M-Q6_K.gguf", 3310),
        ("M-Q4_K_M.gguf", 2497),
        ("M-PQ2_0.gguf", 2270),
        ("M-Q2_K.gguf", 1670),
        ("M-PTQ1_0.gguf", 1100),
    ];
    let file = |&(path, size): &(&str, u64)| RemoteFile {
        path: path.into(),
        size: size * MB,
        oid: Oid::Sha256("0".repeat(64)),
    };
    gguf_models(&Listing {
        repository: Repository::new("org/m").unwrap(),
        revision: "main".into(),
        commit: "a".repeat(40),
        files: files.iter().map(file).collect(),
        gated: false,
    })
}

fn chosen(wished: Option<&str>, available: Option<u64>) -> String {
    let models = models();
    let shape = Shape::Catalogue { kv: 147_456, context: 40_960 };
    let candidates = candidates(&models, &shape, available);
    let wished = wished.map(|wished| WeightType::new(wished).unwrap());
    let chosen = choose(&models, &candidates, wished.as_ref(), available).unwrap();
    let fits = if chosen.fits == Some(false) { " (too large)" } else { "" };
    format!("{}{fits}", models[chosen.index].label())
}

#[test]
fn the_best_type_that_fits_is_taken_and_one_that_cannot_run_never() {
    for (available, expected) in [
        (None, "Q8_0"),
        (Some(64_000), "Q8_0"),
        // Half of it would not hold Q8_0.
        (Some(9_000), "Q6_K"),
        (Some(7_000), "Q4_K_M"),
        (Some(5_000), "Q2_K"),
        // Half holds none: then the best that fits at all.
        (Some(4_000), "Q6_K"),
        (Some(3_300), "Q4_K_M"),
        (Some(2_400), "Q2_K"),
        (Some(1_000), "Q2_K (too large)"),
    ] {
        assert_eq!(chosen(None, available.map(|megabytes| megabytes * MB)), expected, "{available:?}");
    }
}

#[test]
fn the_type_that_was_wished_for_is_taken_where_it_fits() {
    for (wished, available, expected) in [
        ("Q4_K_M", Some(64_000), "Q4_K_M"),
        ("Q4_K_M", Some(3_300), "Q4_K_M"),
        ("Q4_K_M", Some(3_000), "Q2_K"),
        ("Q8_0", Some(5_000), "Q8_0"),
        ("Q5_K_M", Some(64_000), "Q8_0"),
        ("PQ2_0", Some(64_000), "Q8_0"),
    ] {
        assert_eq!(chosen(Some(wished), available.map(|megabytes| megabytes * MB)), expected, "{wished} {available:?}");
    }
}

#[test]
fn types_are_marked_by_what_the_engine_computes_with() {
    let of = |text: &str| mark(WeightType::new(text).as_ref());
    for text in [
        "Q4_K_M",
        "Q8_0",
        "BF16",
        "Q4_0",
        "Q2_K",
        "Q6_K",
        "F32",
        "Q4",
        "IQ4_XS",
        "Q1_0",
        "MXFP4",
        "MXFP4_MOE",
        "IQ1_S",
        "IQ3_M",
    ] {
        assert_eq!(of(text), TypeMark::Computed, "{text}");
    }
    for text in ["Q1_K", "PTQ1_0", "PQ2_0", "Q4_0_4_8"] {
        assert_eq!(of(text), TypeMark::NotComputed, "{text}");
    }
    assert_eq!([of("UD-Q4_K_XL"), of("UD-IQ2_M"), mark(None)], [TypeMark::Mixed, TypeMark::Mixed, TypeMark::Computed]);
}

#[test]
fn weights_cache_and_scratch_are_counted_with_a_context_of_4096() {
    let need = Shape::Catalogue { kv: 1000, context: 2048 }.need(5 * MB);
    assert_eq!((need.weights, need.cache), (5 * MB, 2_048_000), "no more than it was trained for");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-llama.Q8_0.gguf");
    let files = gibber_engine::load::open(&gibber_engine::load::ModelSource::Path(path)).unwrap();
    let config = files.config;
    let per_token = (config.attentions().map(|attention| attention.heads.kv_width()).sum::<usize>() * 4) as u64;
    let context = CONTEXT.min(config.trained_context) as u64;
    let need = Shape::Read(Box::new(config)).need(1);
    assert_eq!(need.cache, per_token * context);
    assert!(need.scratch > 0 && need.total() == 1 + need.cache + need.scratch);
}

#[test]
fn what_it_takes_is_said_in_a_line() {
    let need = MemoryNeed { weights: 1_100 * MB, cache: 90 * MB, scratch: 10 * MB };
    let said = line("Q4_K_M", &need, false, Some(5_400 * MB));
    assert_eq!(said, "Q4_K_M: 1.2 GB of 5.4 GB of memory with a context of 4096");
    let short = line("Q8_0", &need, false, Some(1_000 * MB));
    assert_eq!(short, "Q8_0: needs 1.2 GB of memory with a context of 4096, 1.0 GB are free");
    let estimated = line("Q8_0", &need, true, Some(5_400 * MB));
    assert_eq!(estimated, "Q8_0: about 1.2 GB of 5.4 GB of memory with a context of 4096");
}
