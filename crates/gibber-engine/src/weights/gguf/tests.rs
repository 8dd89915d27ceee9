//! Files made by hand, whole and broken in every way.

use super::*;

/// Builds a file piece by piece.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn header(version: u32, tensors: u64, keys: u64) -> Self {
        Self::default().raw(b"GGUF").raw(&version.to_le_bytes()).u64(tensors).u64(keys)
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn u32(self, value: u32) -> Self {
        self.raw(&value.to_le_bytes())
    }

    fn u64(self, value: u64) -> Self {
        self.raw(&value.to_le_bytes())
    }

    fn string(self, text: &str) -> Self {
        self.u64(text.len() as u64).raw(text.as_bytes())
    }

    fn key_u32(self, key: &str, value: u32) -> Self {
        self.string(key).u32(4).u32(value)
    }

    fn key_string(self, key: &str, value: &str) -> Self {
        self.string(key).u32(8).string(value)
    }

    fn key_strings(self, key: &str, values: &[&str]) -> Self {
        let start = self.string(key).u32(9).u32(8).u64(values.len() as u64);
        values.iter().fold(start, |writer, value| writer.string(value))
    }

    /// Dimensions fastest first, as in the file.
    fn tensor(self, name: &str, dims: &[u64], ggml_type: u32, offset: u64) -> Self {
        let start = self.string(name).u32(dims.len() as u32);
        dims.iter().fold(start, |writer, &dim| writer.u64(dim)).u32(ggml_type).u64(offset)
    }

    fn pad(mut self, alignment: usize) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
        self
    }

    fn floats(self, values: &[f32]) -> Self {
        values.iter().fold(self, |writer, value| writer.raw(&value.to_le_bytes()))
    }

    fn check<T>(self, check: impl FnOnce(Result<Gguf<'_>, EngineError>) -> T) -> T {
        check(Gguf::parse(Path::new("tiny.gguf"), &Storage::from_vec(self.bytes)))
    }

    fn error(self) -> String {
        self.check(|gguf| gguf.unwrap_err().to_string())
    }
}

/// Two tensors, aligned to 64.
fn tiny(version: u32) -> Writer {
    Writer::header(version, 2, 4)
        .key_string("general.architecture", "llama")
        .key_u32("general.alignment", 64)
        .key_strings("tokens", &["a", "", "ü"])
        .string("flag")
        .u32(7)
        .raw(&[1])
        .tensor("w", &[3, 2], 0, 0)
        .tensor("q", &[32], 3, 64)
        .pad(64)
        .floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
        .pad(64)
        .raw(&[0; 20])
}

#[test]
fn metadata_and_tensors_are_read() {
    for version in [2, 3] {
        tiny(version).check(|gguf| {
            let gguf = gguf.unwrap();
            assert_eq!(gguf.metadata.string("general.architecture").unwrap(), Some("llama"));
            assert_eq!(gguf.metadata.strings("tokens").unwrap().unwrap(), ["a", "", "ü"]);
            assert_eq!(gguf.metadata.bool("flag").unwrap(), Some(true));
            assert_eq!(gguf.metadata.string("nothing").unwrap(), None);
            let [w, q] = &gguf.tensors[..] else { panic!("two tensors") };
            assert_eq!((w.name(), w.shape(), w.dtype()), ("w", &[2, 3][..], DType::F32));
            assert_eq!(w.to_f32().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            assert_eq!((q.name(), q.shape(), q.dtype()), ("q", &[32][..], DType::Q4_1));
        });
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_never_a_panic() {
    let whole = tiny(3).bytes;
    for length in 0..whole.len() {
        let cut = Writer { bytes: whole[..length].to_vec() };
        let error = cut.error();
        assert!(error.starts_with("tiny.gguf: "), "{length}: {error}");
    }
}

#[test]
fn any_single_byte_may_be_wrong_without_a_panic() {
    let whole = tiny(3).bytes;
    for position in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes[position] = value;
            Writer { bytes }.check(|gguf| drop(gguf));
        }
    }
}

#[test]
fn another_magic_or_version_is_named() {
    assert!(Writer::default().raw(b"GGJT\x03\0\0\0").error().contains("does not begin with `GGUF`"));
    for version in [0, 1, 4, 700] {
        let error = Writer::header(version, 0, 0).error();
        assert!(error.contains(&format!("GGUF version {version}: versions 2 and 3 are supported")), "{error}");
    }
    assert!(Writer::header(3u32.swap_bytes(), 0, 0).error().contains("big-endian"));
}

#[test]
fn absurd_counts_are_refused_before_anything_is_allocated() {
    for absurd in [u64::MAX, u64::MAX / 24, 1 << 40] {
        let errors = [
            Writer::header(3, absurd, 0).error(),
            Writer::header(3, 0, absurd).error(),
            Writer::header(3, 0, 1).u64(absurd).raw(&[0; 64]).error(),
            Writer::header(3, 0, 1).string("key").u32(8).u64(absurd).raw(&[0; 64]).error(),
            Writer::header(3, 0, 1).string("key").u32(9).u32(8).u64(absurd).raw(&[0; 64]).error(),
            Writer::header(3, 0, 1).string("key").u32(9).u32(0).u64(absurd).raw(&[0; 64]).error(),
        ];
        for error in errors {
            assert!(error.contains("truncated or corrupt"), "{error}");
        }
    }
}

#[test]
fn tensors_outside_the_file_or_of_impossible_shape_are_refused() {
    let one = |dims: &[u64], ggml_type, offset| {
        Writer::header(3, 1, 0).tensor("w", dims, ggml_type, offset).pad(32).raw(&[0; 64]).error()
    };
    assert!(one(&[17], 0, 0).contains("tensor `w` (68 bytes at 64 + 0) lies outside the file"));
    assert!(one(&[1], 0, 64).contains("lies outside the file"));
    assert!(one(&[1], 0, u64::MAX - 31).contains("lies outside the file"));
    assert!(one(&[1], 0, 4).contains("not at a multiple of 32"));
    assert!(one(&[u64::MAX, 2], 0, 0).contains("cannot have the dimensions"));
    assert!(one(&[33], 2, 0).contains("cannot have the dimensions"));
    assert!(one(&[1; 5], 0, 0).contains("5 dimensions"));
    assert!(one(&[32], 4, 0).contains("format number 4"));
}

#[test]
fn duplicates_and_broken_values_are_refused() {
    let twice = Writer::header(3, 2, 0).tensor("w", &[1], 0, 0).tensor("w", &[1], 0, 0).pad(32).raw(&[0; 4]);
    assert!(twice.error().contains("tensor `w` is there twice"));
    let keys = Writer::header(3, 0, 2).key_u32("k", 1).key_u32("k", 2);
    assert!(keys.error().contains("metadata key `k` is there twice"));
    assert!(
        Writer::header(3, 0, 1).string("k").u32(13).u64(0).error().contains("no type of values with the number 13")
    );
    assert!(Writer::header(3, 0, 1).u64(2).raw(b"\xff\xfe").u32(4).u32(0).u64(0).error().contains("not UTF-8"));
    assert!(Writer::header(3, 0, 1).key_u32("general.alignment", 0).error().contains("no alignment"));
    let nested = (0..40).fold(Writer::header(3, 0, 1).string("k"), |writer, _| writer.u32(9)).u64(1);
    assert!(nested.error().contains("metadata key `k`"));
}

#[test]
fn nested_arrays_end_somewhere() {
    // An array of one array of one array, and so on, well formed but for its depth.
    let deep = (0..40).fold(Writer::header(3, 0, 1).string("k").u32(9), |writer, _| writer.u32(9).u64(1));
    assert!(deep.raw(&[0; 64]).error().contains("arrays in arrays"));
}

#[test]
fn a_value_of_another_type_names_the_key_and_both_types() {
    tiny(3).check(|gguf| {
        let error = gguf.unwrap().metadata.unsigned("general.architecture").unwrap_err().to_string();
        assert_eq!(
            error,
            "tiny.gguf: metadata key `general.architecture` is a string, it has to be an integer of at least 0"
        );
    });
}

#[test]
fn tensors_that_lie_upon_each_other_are_refused() {
    let file = |second: u64| {
        let start =
            Writer::header(3, 3, 0).tensor("a", &[16], 0, 0).tensor("none", &[0], 0, 0).tensor("b", &[8], 0, second);
        Storage::from_vec(start.pad(32).floats(&[0.0; 32]).bytes)
    };
    let parse = |second| {
        Gguf::parse(Path::new("m.gguf"), &file(second)).map(|gguf| gguf.tensors.len()).map_err(|e| e.to_string())
    };
    assert_eq!(parse(64), Ok(3));
    for second in [0, 32] {
        let error = parse(second).unwrap_err();
        assert!(error.contains("m.gguf: tensors `") && error.contains("lie upon each other"), "{error}");
        assert!(error.contains("`a` (bytes ") && error.contains("`b` (bytes "), "{error}");
    }
}

#[test]
fn blocks_of_another_size_than_the_number_says_are_told_from_a_fork() {
    // Two rows of 128 weights: 36 bytes in Q1_0 (41), 64 in NVFP4 (40) would be 72.
    let file = |number: u32, bytes: usize| {
        let tensors = Writer::header(3, 2, 0).tensor("a", &[128, 2], number, 0).tensor("b", &[8], 0, bytes as u64);
        tensors.pad(32).raw(&vec![0; bytes]).floats(&[0.0; 64])
    };
    assert_eq!(file(41, 64).check(|gguf| gguf.unwrap().tensors.len()), 2);
    for (number, bytes, name) in [(41, 96, "Q1_0"), (40, 64, "NVFP4"), (42, 64, "Q2_0")] {
        let error = file(number, bytes).error();
        assert!(error.contains("`a`") && error.contains("`b`"), "{error}");
        assert!(error.contains(&format!("format number {number} is not {name}")), "{error}");
    }
    let error = file(36, 64).error();
    assert!(error.contains("`a` has the format number 36") && error.contains("llama.cpp"), "{error}");
}
