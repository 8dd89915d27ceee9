//! The typed keys and values of a GGUF file, as slices of it.

use std::collections::HashMap;
use std::path::Path;

use super::reader::{Corrupt, Reader};
use crate::EngineError;

/// The least that a key takes: its length, its type, a byte.
const MIN_KEY_BYTES: usize = 8 + 4 + 1;
/// Arrays of arrays of arrays make no sense, and hostile ones would use up the stack.
const MAX_NESTING: usize = 3;

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A signed integer of any width.
    Signed(i64),
    /// A float of either width.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// What should be text and is not UTF-8: whoever asks for it is told so.
    BrokenString(&'a [u8]),
    /// Values of one type.
    Array(Array<'a>),
}

impl Value<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "an unsigned integer",
            Self::Signed(_) => "a signed integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a truth value",
            Self::String(_) => "a string",
            Self::BrokenString(_) => "a string that is not UTF-8",
            Self::Array(_) => "an array",
        }
    }
}

/// Values of one type in a row, read when they are asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'a> {
    kind: MetadataKind,
    len: usize,
    /// Checked once: exactly `len` values of `kind`.
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// How many values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let (mut reader, kind) = (Reader::new(self.bytes), self.kind);
        (0..self.len).map_while(move |_| kind.read(&mut reader, 0).ok())
    }

    /// The values as text; `None` where they are of another type, or one of them is not UTF-8.
    pub fn strings(&self) -> Option<Vec<&'a str>> {
        let text = |value| match value {
            Value::String(text) => Some(text),
            _ => None,
        };
        (self.kind == MetadataKind::String).then(|| self.iter().map(text).collect::<Option<_>>())?
    }

    /// The values as integers; `None` where they are of another type.
    pub fn integers(&self) -> Option<impl Iterator<Item = i64> + use<'a>> {
        self.kind.is_integer().then(|| {
            self.iter().filter_map(|value| match value {
                Value::Unsigned(number) => i64::try_from(number).ok(),
                Value::Signed(number) => Some(number),
                _ => None,
            })
        })
    }

    /// The values as truth values; `None` where they are of another type.
    pub fn bools(&self) -> Option<impl Iterator<Item = bool> + use<'a>> {
        matches!(self.kind, MetadataKind::Bool).then(|| {
            self.iter().filter_map(|value| match value {
                Value::Bool(truth) => Some(truth),
                _ => None,
            })
        })
    }

    /// The values as floats; `None` where they are of another type.
    pub fn floats(&self) -> Option<impl Iterator<Item = f64> + use<'a>> {
        matches!(self.kind, MetadataKind::F32 | MetadataKind::F64).then(|| {
            self.iter().filter_map(|value| match value {
                Value::Float(number) => Some(number),
                _ => None,
            })
        })
    }
}

/// The types of values, by their numbers in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MetadataKind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl MetadataKind {
    /// In the order of their numbers.
    const ALL: [Self; 13] = [
        Self::U8,
        Self::I8,
        Self::U16,
        Self::I16,
        Self::U32,
        Self::I32,
        Self::F32,
        Self::Bool,
        Self::String,
        Self::Array,
        Self::U64,
        Self::I64,
        Self::F64,
    ];

    fn read_number(reader: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let position = reader.position();
        let number = reader.u32("the type of a value")?;
        usize::try_from(number).ok().and_then(|number| Self::ALL.get(number).copied()).ok_or_else(|| {
            Corrupt::new(format!("there is no type of values with the number {number} (byte {position})"))
        })
    }

    /// The least that a value of this type takes.
    fn min_bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 | Self::String => 8,
            Self::Array => 12,
        }
    }

    fn is_integer(self) -> bool {
        !matches!(self, Self::F32 | Self::F64 | Self::Bool | Self::String | Self::Array)
    }

    fn read<'a>(self, reader: &mut Reader<'a>, nesting: usize) -> Result<Value<'a>, Corrupt> {
        const WHAT: &str = "a value";
        Ok(match self {
            Self::U8 => Value::Unsigned(u8::from_le_bytes(reader.array(WHAT)?).into()),
            Self::U16 => Value::Unsigned(u16::from_le_bytes(reader.array(WHAT)?).into()),
            Self::U32 => Value::Unsigned(u32::from_le_bytes(reader.array(WHAT)?).into()),
            Self::U64 => Value::Unsigned(u64::from_le_bytes(reader.array(WHAT)?)),
            Self::I8 => Value::Signed(i8::from_le_bytes(reader.array(WHAT)?).into()),
            Self::I16 => Value::Signed(i16::from_le_bytes(reader.array(WHAT)?).into()),
            Self::I32 => Value::Signed(i32::from_le_bytes(reader.array(WHAT)?).into()),
            Self::I64 => Value::Signed(i64::from_le_bytes(reader.array(WHAT)?)),
            Self::F32 => Value::Float(f32::from_le_bytes(reader.array(WHAT)?).into()),
            Self::F64 => Value::Float(f64::from_le_bytes(reader.array(WHAT)?)),
            Self::Bool => Value::Bool(reader.array::<1>(WHAT)? != [0]),
            Self::String => {
                let bytes = reader.text("a string")?;
                std::str::from_utf8(bytes).map_or(Value::BrokenString(bytes), Value::String)
            }
            Self::Array => Value::Array(read_array(reader, nesting)?),
        })
    }
}

/// Walks over an array, so that reading it later cannot fail.
fn read_array<'a>(reader: &mut Reader<'a>, nesting: usize) -> Result<Array<'a>, Corrupt> {
    if nesting == MAX_NESTING {
        return Err(Corrupt::new(format!("arrays in arrays, {MAX_NESTING} deep (byte {})", reader.position())));
    }
    let kind = MetadataKind::read_number(reader)?;
    let len = reader.u64("the length of an array")?;
    let len = reader.count(len, kind.min_bytes(), "the values of an array")?;
    let start = reader.position();
    match kind {
        MetadataKind::String | MetadataKind::Array => {
            for _ in 0..len {
                kind.read(reader, nesting + 1)?;
            }
        }
        MetadataKind::U8
        | MetadataKind::I8
        | MetadataKind::U16
        | MetadataKind::I16
        | MetadataKind::U32
        | MetadataKind::I32
        | MetadataKind::F32
        | MetadataKind::Bool
        | MetadataKind::U64
        | MetadataKind::I64
        | MetadataKind::F64 => {
            reader.bytes(len * kind.min_bytes(), "an array")?;
        }
    }
    Ok(Array { kind, len, bytes: reader.since(start) })
}

/// The keys and values of a file.
#[derive(Debug)]
pub struct Metadata<'a> {
    path: &'a Path,
    values: HashMap<&'a str, Value<'a>>,
    /// Each key with the number of its type and its value as they stand in the file, in the order of the file.
    raw: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Metadata<'a> {
    pub(super) fn read(path: &'a Path, reader: &mut Reader<'a>, count: u64) -> Result<Self, Corrupt> {
        let count = reader.count(count, MIN_KEY_BYTES, "metadata keys")?;
        let mut values = HashMap::new();
        let mut raw = Vec::new();
        for _ in 0..count {
            let key = reader.string("a metadata key")?;
            let start = reader.position();
            let value = MetadataKind::read_number(reader)
                .and_then(|kind| kind.read(reader, 0))
                .map_err(|error| Corrupt::new(format!("metadata key `{key}`: {error}")))?;
            if values.insert(key, value).is_some() {
                return Err(Corrupt::new(format!("metadata key `{key}` is there twice")));
            }
            raw.push((key, reader.since(start)));
        }
        Ok(Self { path, values, raw })
    }

    /// The keys in the order of the file, each with the bytes of its value, the number of its type before them.
    pub fn raw(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.raw.iter().copied()
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.values.get(key)
    }

    /// The text under `key`, if there is one.
    ///
    /// # Errors
    /// [`EngineError::Format`] where the value is of another type; so with all that follow.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, EngineError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(*text),
            _ => None,
        })
    }

    /// The number under `key`: an integer of any type that is not negative.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, EngineError> {
        self.typed(key, "an integer of at least 0", |value| match value {
            Value::Unsigned(number) => Some(*number),
            Value::Signed(number) => u64::try_from(*number).ok(),
            _ => None,
        })
    }

    /// The integer under `key`, of any type. One beyond `i64` is the largest of those.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn integer(&self, key: &str) -> Result<Option<i64>, EngineError> {
        self.typed(key, "an integer", |value| match value {
            Value::Unsigned(number) => Some(i64::try_from(*number).unwrap_or(i64::MAX)),
            Value::Signed(number) => Some(*number),
            _ => None,
        })
    }

    /// The float under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        self.typed(key, "a float", |value| match value {
            Value::Float(number) => Some(*number),
            _ => None,
        })
    }

    /// The truth value under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn bool(&self, key: &str) -> Result<Option<bool>, EngineError> {
        self.typed(key, "a truth value", |value| match value {
            Value::Bool(truth) => Some(*truth),
            _ => None,
        })
    }

    /// The texts under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&'a str>>, EngineError> {
        self.typed(key, "an array of strings in UTF-8", |value| match value {
            Value::Array(array) => array.strings(),
            _ => None,
        })
    }

    /// The integers under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>, EngineError> {
        self.typed(key, "an array of integers", |value| match value {
            Value::Array(array) => array.integers().map(Iterator::collect),
            _ => None,
        })
    }

    /// The truth values under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn bools(&self, key: &str) -> Result<Option<Vec<bool>>, EngineError> {
        self.typed(key, "an array of truth values", |value| match value {
            Value::Array(array) => array.bools().map(Iterator::collect),
            _ => None,
        })
    }

    /// The floats under `key`.
    ///
    /// # Errors
    /// As [`Self::string`].
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f64>>, EngineError> {
        self.typed(key, "an array of floats", |value| match value {
            Value::Array(array) => array.floats().map(Iterator::collect),
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        pick: impl FnOnce(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, EngineError> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match pick(value) {
            Some(picked) => Ok(Some(picked)),
            None => {
                let reason = format!("metadata key `{key}` is {}, it has to be {expected}", value.type_name());
                Err(EngineError::format(self.path, reason))
            }
        }
    }
}
