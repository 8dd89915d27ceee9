//! The scales that stand beside tensors in NVFP4.
//!
//! Its blocks have scales of eight bits, which need one more for the whole tensor: in GGUF a tensor of one number,
//! `blk.3.ffn_up.scale` beside `blk.3.ffn_up.weight`, or of one number for each expert. `.input_scale` says what the
//! activations are to be divided by where they are packed in four bits as well; here they are not.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use super::{DType, TensorEntry};

/// Gives each tensor in NVFP4 the scale that stands beside it, which counts as taken.
pub(super) fn take_scales(tensors: &mut HashMap<String, TensorEntry>) {
    let names: Vec<_> = tensors.values().filter(|entry| entry.tensor.dtype() == DType::NVFP4).map(name).collect();
    for name in names {
        let stem = name.strip_suffix(".weight").unwrap_or(&name);
        if let Some(unused) = tensors.get(&format!("{stem}.input_scale")) {
            unused.taken.store(true, Ordering::Relaxed);
        }
        let beside = [format!("{stem}.scale"), format!("{name}.scale")];
        let Some(scale) = beside.iter().find_map(|name| tensors.get(name)) else { continue };
        let Ok(factors) = scale.tensor.to_f32() else { continue };
        let Some(Ok(tensor)) = tensors.get(&name).map(|entry| entry.tensor.clone().times(factors)) else { continue };
        scale.taken.store(true, Ordering::Relaxed);
        if let Some(entry) = tensors.get_mut(&name) {
            entry.tensor = tensor;
        }
    }
}

fn name(entry: &TensorEntry) -> String {
    entry.tensor.name().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{Storage, Tensor, Weights};
    use super::*;

    fn tensor(name: &str, shape: &[usize], dtype: DType, bytes: Vec<u8>) -> Tensor {
        let len = bytes.len();
        Tensor::new(name.into(), shape.to_vec(), dtype, Storage::from_vec(bytes), 0..len).unwrap()
    }

    fn numbers(name: &str, values: &[f32]) -> Tensor {
        tensor(name, &[values.len()], DType::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Scales of 1 (0x38), codes of 1 (doubled: 2).
    fn ones(name: &str, shape: &[usize]) -> Tensor {
        let blocks = shape.iter().product::<usize>() / 64;
        tensor(name, shape, DType::NVFP4, [[0x38; 4].to_vec(), vec![0x22; 32]].concat().repeat(blocks))
    }

    #[test]
    fn the_scale_beside_a_tensor_counts_for_it_and_for_each_expert() {
        let weights = Weights::new(
            "m.gguf",
            [
                ones("a.weight", &[2, 64]),
                numbers("a.scale", &[0.5]),
                numbers("a.input_scale", &[7.0]),
                ones("experts.weight", &[3, 2, 64]),
                numbers("experts.scale", &[1.0, 2.0, 3.0]),
                ones("alone.weight", &[1, 64]),
            ],
        );
        let values = |name: &str, shape: &[usize]| weights.tensor(name, shape).unwrap().to_f32().unwrap();
        assert_eq!(values("a.weight", &[2, 64]), [0.5; 128]);
        assert_eq!(values("alone.weight", &[1, 64]), [1.0; 64]);
        let experts = weights.tensor("experts.weight", &[3, 2, 64]).unwrap();
        assert_eq!(experts.to_f32().unwrap()[127..129], [1.0, 2.0]);
        let part = experts.part(2, 3).unwrap();
        assert_eq!((part.factor().unwrap(), part.to_f32().unwrap()), (3.0, vec![3.0; 128]));
        assert!(experts.factor().is_err());
        assert!(weights.untaken().is_empty(), "{:?}", weights.untaken());
    }

    #[test]
    fn as_many_scales_as_nothing_has_are_left_alone() {
        let weights = Weights::new("m.gguf", [ones("a.weight", &[2, 64]), numbers("a.scale", &[0.5; 3])]);
        assert_eq!(weights.tensor("a.weight", &[2, 64]).unwrap().factor().unwrap(), 1.0);
    }
}
