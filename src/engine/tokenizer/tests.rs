use std::path::Path;
use std::time::Instant;

use super::*;
use crate::engine::weights::Storage;
use crate::engine::weights::gguf::Gguf;

const MODEL: &str = "assets/models/SmolLM2-135M-Instruct.Q4_1.gguf";

#[test]
fn time_it() {
    let path = Path::new(MODEL);
    let storage = Storage::open(path).unwrap();
    for _ in 0..3 {
        let t = Instant::now();
        let gguf = Gguf::parse(path, &storage).unwrap();
        println!("gguf {:?}", t.elapsed());
        let t = Instant::now();
        let tok = from_gguf(path, &gguf.metadata).unwrap();
        println!("tok {:?}", t.elapsed());
        let t = Instant::now();
        println!("{:?} {:?}", tok.encode("What is the capital of France?<|im_end|>\n123", true), t.elapsed());
    }
}
