//! Values as Python prints them.

use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};

/// A key that every namespace has, by which it is told from a map.
pub(super) const NAMESPACE_MARK: &str = "\u{fdd0}namespace\u{fdd1}";

/// Whether it is what `namespace()` makes.
pub(super) fn is_namespace(value: &Value) -> bool {
    value.kind() == ValueKind::Map && value.get_attr(NAMESPACE_MARK).is_ok_and(|mark| !mark.is_undefined())
}

/// `str(value)`
pub(super) fn str(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_owned()),
        None if value.is_undefined() => Ok(String::new()),
        None => repr(value),
    }
}

/// `repr(value)`
pub(super) fn repr(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write_repr(&mut out, value)?;
    Ok(out)
}

fn write_repr(out: &mut String, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => write_text(out, value.as_str().unwrap_or_default()),
        ValueKind::Number => match as_float(value) {
            Some(number) => out.push_str(&float(number)),
            None => write!(out, "{value}")?,
        },
        ValueKind::Iterable if is_view(value) => write!(out, "{value}")?,
        ValueKind::Seq | ValueKind::Iterable => {
            let (open, close) = if value.is_tuple() { ('(', ')') } else { ('[', ']') };
            out.push(open);
            let mut items = 0;
            for item in value.try_iter()?.checked() {
                out.push_str(if items == 0 { "" } else { ", " });
                write_repr(out, &item?)?;
                items += 1;
            }
            out.push_str(if value.is_tuple() && items == 1 { "," } else { "" });
            out.push(close);
        }
        ValueKind::Map if is_macro(value) => write!(out, "{value}")?,
        ValueKind::Map => write_map(out, value)?,
        // Objects of the engine, and kinds to come.
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

/// Whether it is a macro, or a loop: they have attributes as maps have keys.
pub(super) fn is_macro(value: &Value) -> bool {
    value.as_object().is_some_and(|object| {
        let name = object.type_name();
        name.ends_with("::Macro") || name.ends_with("::Loop") || name.ends_with("::CatchAll")
    })
}

fn write_map(out: &mut String, value: &Value) -> Result<(), Error> {
    let is_namespace = is_namespace(value);
    out.push_str(if is_namespace { "<Namespace {" } else { "{" });
    let mut is_first = true;
    for key in value.try_iter()?.checked() {
        let key = key?;
        if is_namespace && key.as_str() == Some(NAMESPACE_MARK) {
            continue;
        }
        out.push_str(if is_first { "" } else { ", " });
        is_first = false;
        write_repr(out, &key)?;
        out.push_str(": ");
        write_repr(out, &value.get_item(&key)?)?;
    }
    out.push_str(if is_namespace { "}>" } else { "}" });
    Ok(())
}

/// The number of a value that is one with a fraction.
pub(super) fn as_float(value: &Value) -> Option<f64> {
    if value.kind() != ValueKind::Number || value.is_integer() { None } else { f64::try_from(value.clone()).ok() }
}

/// The shortest digits that stand for it; from 1e16 on, and below 1e-4, with an exponent of two digits or more.
pub(super) fn float(number: f64) -> String {
    if !number.is_finite() {
        return if number.is_nan() {
            "nan".into()
        } else if number > 0.0 {
            "inf".into()
        } else {
            "-inf".into()
        };
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        let text = number.to_string();
        return if text.contains('.') { text } else { text + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn write_text(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let escaped = match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                };
                out.push_str(&escaped);
            }
        }
    }
    out.push(quote);
}

/// Whether Python prints the character of a text inside a list as it is.
pub(super) fn is_printable(c: char) -> bool {
    let code = u32::from(c);
    let is_format = matches!(code, 0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
        | 0x202a..=0x202e | 0x2060..=0x206f | 0xfeff | 0xfff9..=0xfffb | 0xe000..=0xf8ff | 0xe0000..=0x10_ffff);
    c == ' ' || !(c.is_control() || c.is_whitespace() || is_format)
}

/// An error of the kind that Python calls TypeError.
pub(super) fn invalid(reason: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.into())
}

/// The keys, the values or both of a dictionary: printed with what they are called.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: String,
    pub(super) items: Vec<Value>,
}

impl Object for View {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.items.clone())
    }

    fn render(self: &Arc<Self>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = repr(&self.items.iter().cloned().collect()).map_err(|_| fmt::Error)?;
        write!(out, "dict_{}({items})", self.name)
    }
}

/// Whether it is what `keys`, `values` or `items` returned.
pub(super) fn is_view(value: &Value) -> bool {
    value.downcast_object_ref::<View>().is_some()
}
