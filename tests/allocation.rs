//! Once a reply is on its way, a token asks the system for no memory: the figures of the first are those of the last.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unsafe_code, reason = "an allocator is unsafe by its interface")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use gibber::engine::load::{LoadOptions, ModelSource, load};
use gibber::engine::{CacheType, CacheTypes};

/// The system's allocator, which counts what it is asked for.
struct Counting;

static REQUESTS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        REQUESTS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_token_allocates_nothing_once_the_first_has_come() {
    let files = ["tiny-llama.F32.gguf", "tiny-llama.Q8_0.gguf", "tiny-llama.Q4_1.gguf"].map(|name| {
        ModelSource::Path(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name))
    });
    let synthetic = ["tiny", "tiny:q8_0", "tiny:q4_0"].map(|name| ModelSource::Synthetic(name.into()));
    for source in files.into_iter().chain(synthetic) {
        for kind in CacheType::ALL {
            let options = LoadOptions { threads: Some(2), cache: CacheTypes::both(kind), ..LoadOptions::default() };
            let mut inference = load(&source, &options, &mut |_, _| {}).unwrap().inference;
            inference.prefill(&[1, 2, 3], &mut |_| ControlFlow::Continue(())).unwrap();
            inference.push(4).unwrap();
            let before = REQUESTS.load(Ordering::Relaxed);
            (5..100).for_each(|token| inference.push(token).unwrap());
            let requests = REQUESTS.load(Ordering::Relaxed) - before;
            assert_eq!(requests, 0, "{source:?} with a cache in {kind:?}");
        }
    }
}
