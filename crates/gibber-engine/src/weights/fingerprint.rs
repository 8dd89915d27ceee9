//! A hash of all that is in the files of a model.

use xxhash_rust::xxh3::Xxh3;

use super::{Tensor, Weights};

/// Bytes that are hashed before their memory is given back: a model need not fit twice.
const PART: usize = 4 << 20;

impl Weights {
    /// The 128 bits of XXH3 over `config`, what stands before the first tensor in each file (the metadata), and each tensor
    /// by name: its format, its shape, its bytes. It tells models apart, and is no proof against forgery.
    pub(crate) fn fingerprint(&self, config: &[u8]) -> String {
        let mut tensors: Vec<&Tensor> = self.iter().collect();
        tensors.sort_unstable_by_key(|tensor| tensor.name());
        let mut hash = Xxh3::new();
        hash.update(config);
        if let Some(first) = tensors.iter().min_by_key(|tensor| tensor.range().start) {
            hash.update(first.before());
        }
        for tensor in tensors {
            hash.update(format!("{} {} {:?}", tensor.name(), tensor.dtype(), tensor.shape()).as_bytes());
            let bytes = tensor.bytes();
            for (part, start) in bytes.chunks(PART).zip((0..).step_by(PART)) {
                hash.update(part);
                tensor.release_part(start..start + part.len());
            }
            // The model may stop asking: nobody waits for the rest then.
            if self.is_closed() {
                break;
            }
        }
        format!("{:032x}", hash.digest128())
    }
}
