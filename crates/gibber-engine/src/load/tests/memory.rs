//! What a model takes of memory is counted before it is loaded.

use std::sync::atomic::AtomicU64;

use super::*;

#[test]
fn the_context_shrinks_to_what_there_is_memory_for_unless_it_was_named() {
    static AVAILABLE: AtomicU64 = AtomicU64::new(0);
    fn available() -> Option<u64> {
        Some(AVAILABLE.load(Ordering::Relaxed))
    }
    let folder = Folder::copy_of("tiny-llama").set("config.json", "max_position_embeddings", 16_384.into());
    let source = ModelSource::Path(folder.0.path().to_owned());
    let files = open(&source).unwrap();
    let need =
        |context| MemoryNeed::of(&files.config, files.weights.total_bytes(), context, RunShape::default()).total();
    let outcome = |available_bytes: u64, context: Option<usize>| {
        AVAILABLE.store(available_bytes, Ordering::Relaxed);
        let options = LoadOptions { memory: MemoryProbe(available), context, ..small() };
        load(&source, &options, &mut |_, _| {}).map(|model| model.info)
    };
    let whole = outcome(need(DEFAULT_CONTEXT), None).unwrap();
    assert_eq!((whole.context, whole.shrunk()), (DEFAULT_CONTEXT, None));
    for bytes in [need(DEFAULT_CONTEXT) - 1, need(2000), need(512)] {
        let info = outcome(bytes, None).unwrap();
        assert!(need(info.context) <= bytes && need(info.context + 256) > bytes, "{} in {bytes}", info.context);
        assert_eq!(info.memory_bytes, need(info.context));
        let said = info.shrunk().unwrap();
        assert!(said.contains(&format!("{} tokens instead of {DEFAULT_CONTEXT}", info.context)), "{said}");
    }
    assert_eq!(outcome(need(2000), Some(2000)).unwrap().context, 2000);
    let named = outcome(need(2000), Some(2300)).unwrap_err().to_string();
    assert!(named.contains("with a context of 2300 tokens") && named.contains("-c/--ctx-size"), "{named}");
    let none = outcome(need(512) - 1, None).unwrap_err().to_string();
    assert!(none.contains("with a context of 512 tokens"), "{none}");
    let weights = outcome(1000, None).unwrap_err().to_string();
    assert!(weights.contains("its weights take "), "{weights}");
    AVAILABLE.store(need(512) - 1, Ordering::Relaxed);
    assert!(matches!(files.check(MemoryProbe(available)), Err(EngineError::NoMemory { context: 512, .. })));
}

#[test]
fn quantizing_takes_the_memory_of_what_comes_of_it() {
    fn some() -> Option<u64> {
        Some(200_000)
    }
    let source = ModelSource::Path(fixture("tiny-llama"));
    let kept = tempfile::tempdir().unwrap();
    let outcome = |quantize: Option<FileType>, is_kept: bool| {
        let quantized_folder = is_kept.then(|| kept.path().to_owned());
        let options = LoadOptions { memory: MemoryProbe(some), batch: 4, quantize, quantized_folder, ..small() };
        load(&source, &options, &mut |_, _| {}).map(|model| model.info.weight_bytes)
    };
    let needed = |outcome: Result<u64, EngineError>| match outcome {
        Err(EngineError::NoMemory { weights, available: 200_000, .. }) => weights,
        other => panic!("{other:?}"),
    };
    let floats = needed(outcome(None, true));
    let once = outcome(Some(FileType::Q8_0), true).unwrap();
    assert!(once * 3 < floats, "{once} of {floats}");
    assert_eq!(needed(outcome(Some(FileType::Q8_0), false)), 2 * once, "held twice where no file keeps it");
}
