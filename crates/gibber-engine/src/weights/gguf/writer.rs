//! GGUF files of version 3, written from one end to the other.

use std::io::{self, Write};

use super::{DEFAULT_ALIGNMENT, MAGIC};
use crate::weights::DType;

const VERSION: u32 = 3;

// The numbers of the types of values (`docs/gguf.md`).
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// What stands before the values: keys, and the table of tensors, whose values are to be written after it in the same
/// order, each followed by [`padding`].
#[derive(Debug, Default)]
pub struct Header {
    n_keys: u64,
    keys: Vec<u8>,
    n_tensors: u64,
    table: Vec<u8>,
    /// Where the values of the next tensor begin, from the first one's.
    offset: u64,
}

impl Header {
    /// A header that says nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A key whose value is written as it stood in another file: its type's number and its bytes.
    pub fn raw(&mut self, key: &str, typed_value: &[u8]) {
        self.n_keys += 1;
        put_string(&mut self.keys, key);
        self.keys.extend_from_slice(typed_value);
    }

    fn value(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.raw(key, &[&kind.to_le_bytes(), value].concat());
    }

    /// A text.
    pub fn string(&mut self, key: &str, text: &str) {
        let mut value = Vec::with_capacity(8 + text.len());
        put_string(&mut value, text);
        self.value(key, STRING, &value);
    }

    /// A number.
    pub fn u32(&mut self, key: &str, number: u32) {
        self.value(key, U32, &number.to_le_bytes());
    }

    /// A number that may be negative.
    pub fn i32(&mut self, key: &str, number: i32) {
        self.value(key, I32, &number.to_le_bytes());
    }

    /// A float.
    pub fn f32(&mut self, key: &str, number: f32) {
        self.value(key, F32, &number.to_le_bytes());
    }

    /// A truth value.
    pub fn bool(&mut self, key: &str, truth: bool) {
        self.value(key, BOOL, &[truth.into()]);
    }

    /// Texts.
    pub fn strings<S: AsRef<str>>(&mut self, key: &str, texts: &[S]) {
        let mut values = array(STRING, texts.len());
        texts.iter().for_each(|text| put_string(&mut values, text.as_ref()));
        self.value(key, ARRAY, &values);
    }

    /// Truth values.
    pub fn bools(&mut self, key: &str, truths: &[bool]) {
        let mut values = array(BOOL, truths.len());
        values.extend(truths.iter().map(|&truth| u8::from(truth)));
        self.value(key, ARRAY, &values);
    }

    /// Signed numbers.
    pub fn i32s(&mut self, key: &str, numbers: &[i32]) {
        let mut values = array(I32, numbers.len());
        numbers.iter().for_each(|number| values.extend_from_slice(&number.to_le_bytes()));
        self.value(key, ARRAY, &values);
    }

    /// Floats.
    pub fn f32s(&mut self, key: &str, numbers: &[f32]) {
        let mut values = array(F32, numbers.len());
        numbers.iter().for_each(|number| values.extend_from_slice(&number.to_le_bytes()));
        self.value(key, ARRAY, &values);
    }

    /// A tensor of `shape` (row-major), the next one behind those that were named before. `None` where a row is not whole
    /// blocks, or the format is unknown to GGUF.
    pub fn tensor(&mut self, name: &str, shape: &[usize], dtype: DType) -> Option<()> {
        let (ggml_type, bytes) = (dtype.ggml_type()?, dtype.bytes_of(shape)?);
        self.n_tensors += 1;
        put_string(&mut self.table, name);
        self.table.extend_from_slice(&u32::try_from(shape.len()).ok()?.to_le_bytes());
        for &dim in shape.iter().rev() {
            self.table.extend_from_slice(&(dim as u64).to_le_bytes());
        }
        self.table.extend_from_slice(&ggml_type.to_le_bytes());
        self.table.extend_from_slice(&self.offset.to_le_bytes());
        self.offset = (self.offset + bytes as u64).next_multiple_of(DEFAULT_ALIGNMENT);
        Some(())
    }

    /// Writes everything up to where the values of the first tensor belong.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(&self.n_tensors.to_le_bytes());
        start.extend_from_slice(&self.n_keys.to_le_bytes());
        for part in [&start, &self.keys, &self.table] {
            out.write_all(part)?;
        }
        out.write_all(padding(start.len() + self.keys.len() + self.table.len()))
    }
}

/// The zeros that belong behind `length` bytes.
pub fn padding(length: usize) -> &'static [u8] {
    const ZEROS: [u8; DEFAULT_ALIGNMENT as usize] = [0; DEFAULT_ALIGNMENT as usize];
    &ZEROS[..length.next_multiple_of(ZEROS.len()) - length]
}

fn array(kind: u32, len: usize) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(len as u64).to_le_bytes());
    bytes
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{Gguf, Value};
    use super::*;
    use crate::weights::Storage;

    #[test]
    fn what_is_written_is_read_again() {
        let mut header = Header::new();
        header.string("general.architecture", "llama");
        header.u32("a.number", 7);
        header.f32("a.float", 0.5);
        header.bool("a.truth", true);
        header.strings("some.texts", &["", "Ġtown", "漢字"]);
        header.i32s("some.numbers", &[-1, 3]);
        header.tensor("one", &[3], DType::F32).unwrap();
        header.tensor("two", &[2, 32], DType::Q8_0).unwrap();
        assert_eq!(header.tensor("three", &[2, 31], DType::Q8_0), None);
        assert_eq!(header.tensor("four", &[1], DType::Bool), None);
        let mut bytes = Vec::new();
        header.write_to(&mut bytes).unwrap();
        for (value, length) in [(1u8, 12), (2, 68)] {
            bytes.extend(std::iter::repeat_n(value, length));
            bytes.extend_from_slice(padding(length));
        }
        let storage = Storage::from_vec(bytes);
        let gguf = Gguf::parse(Path::new("t.gguf"), &storage).unwrap();
        assert_eq!(gguf.metadata.string("general.architecture").unwrap(), Some("llama"));
        assert_eq!(gguf.metadata.unsigned("a.number").unwrap(), Some(7));
        assert_eq!(gguf.metadata.get("a.float"), Some(&Value::Float(0.5)));
        assert_eq!(gguf.metadata.bool("a.truth").unwrap(), Some(true));
        assert_eq!(gguf.metadata.strings("some.texts").unwrap(), Some(vec!["", "Ġtown", "漢字"]));
        assert_eq!(gguf.metadata.integers("some.numbers").unwrap(), Some(vec![-1, 3]));
        let [one, two] = &gguf.tensors[..] else { panic!("{:?}", gguf.tensors) };
        assert_eq!((one.name(), one.shape(), one.bytes()), ("one", &[3][..], &[1; 12][..]));
        assert_eq!((two.name(), two.shape(), two.bytes()), ("two", &[2, 32][..], &[2; 68][..]));
    }

    #[test]
    fn the_keys_of_a_file_can_be_copied_as_they_stand() {
        let mut first = Header::new();
        first.strings("some.texts", &["a", "b"]);
        first.u32("a.number", 7);
        let bytes_of = |header: &Header| {
            let mut bytes = Vec::new();
            header.write_to(&mut bytes).unwrap();
            bytes
        };
        let bytes = bytes_of(&first);
        let storage = Storage::from_vec(bytes.clone());
        let gguf = Gguf::parse(Path::new("t.gguf"), &storage).unwrap();
        let mut second = Header::new();
        gguf.metadata.raw().for_each(|(key, typed_value)| second.raw(key, typed_value));
        assert_eq!(bytes_of(&second), bytes);
    }
}
