//! Safetensors files: the header is parsed and checked by the `safetensors` crate, the values stay where they are.

use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::{DType, Storage, Tensor, disguise};
use crate::EngineError;

/// The tensors of the file in `storage`; `path` is named in errors.
///
/// # Errors
/// [`EngineError::Format`] where the file is truncated or corrupt; [`EngineError::Unsupported`] for a format nobody here
/// has a name for.
pub fn parse(path: &Path, storage: &Storage) -> Result<Vec<Tensor>, EngineError> {
    let bytes = storage.bytes();
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| disguise::mistaken(path, bytes, &format!("a whole safetensors file: {error}")))?;
    // The 8 bytes before the header hold its length.
    let data_start = 8 + header;
    let tensors = metadata.tensors();
    let mut parsed = Vec::with_capacity(tensors.len());
    for (name, info) in tensors {
        let Some(dtype) = dtype(info.dtype) else {
            let what = format!("tensor `{name}` has the format {}, which is not known here", info.dtype);
            return Err(EngineError::unsupported(path, what));
        };
        let range = data_start + info.data_offsets.0..data_start + info.data_offsets.1;
        parsed.push(Tensor::new(name, info.shape.clone(), dtype, storage.clone(), range)?);
    }
    Ok(parsed)
}

fn dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F64 => DType::F64,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::U8 => DType::U8,
        Dtype::U16 => DType::U16,
        Dtype::U32 => DType::U32,
        Dtype::U64 => DType::U64,
        Dtype::BOOL => DType::Bool,
        Dtype::F8_E4M3 => DType::F8_E4M3,
        Dtype::F8_E5M2 => DType::F8_E5M2,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    const HEADER: &str = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"m":{"dtype":"BOOL","shape":[4],"data_offsets":[24,28]}}"#;

    #[test]
    fn tensors_are_found_where_the_header_says() {
        let storage = Storage::from_vec(file(HEADER, 28));
        let mut tensors = parse(Path::new("m.safetensors"), &storage).unwrap();
        tensors.sort_by(|a, b| a.name().cmp(b.name()));
        assert_eq!((tensors[0].shape(), tensors[0].dtype(), tensors[0].bytes().len()), (&[2, 3][..], DType::F32, 24));
        assert_eq!((tensors[1].name(), tensors[1].dtype()), ("m", DType::Bool));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_and_never_a_panic() {
        let whole = file(HEADER, 28);
        for length in 1..whole.len() {
            let storage = Storage::from_vec(whole[..length].to_vec());
            let error = parse(Path::new("m.safetensors"), &storage).unwrap_err().to_string();
            assert!(error.starts_with("m.safetensors: not a whole safetensors file"), "{length}: {error}");
        }
    }

    #[test]
    fn tensors_that_lie_upon_each_other_are_refused() {
        let overlapping = HEADER.replace("[24,28]", "[20,24]");
        let error =
            parse(Path::new("m.safetensors"), &Storage::from_vec(file(&overlapping, 24))).unwrap_err().to_string();
        assert!(error.starts_with("m.safetensors: not a whole safetensors file") && error.contains("`m`"), "{error}");
    }

    #[test]
    fn shapes_that_do_not_fit_their_bytes_are_refused() {
        let header = r#"{"a":{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,24]}}"#;
        assert!(parse(Path::new("m"), &Storage::from_vec(file(header, 24))).is_err());
        let header = r#"{"a":{"dtype":"F32","shape":[7],"data_offsets":[0,24]}}"#;
        assert!(parse(Path::new("m"), &Storage::from_vec(file(header, 24))).is_err());
    }
}
