//! Python's `%`: the rest of a division, or a text with its places filled in.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use super::python::{self, invalid};

/// `left % right`
pub(super) fn percent(left: &Value, right: &Value) -> Result<Value, Error> {
    match left.as_str() {
        Some(pattern) => filled(pattern, right).map(Value::from),
        None => remainder(left, right),
    }
}

fn remainder(left: &Value, right: &Value) -> Result<Value, Error> {
    let unfit = || invalid(format!("`%` has no meaning between {} and {}", left.kind(), right.kind()));
    let is_number = |value: &Value| matches!(value.kind(), ValueKind::Number | ValueKind::Bool);
    if !is_number(left) || !is_number(right) {
        return Err(unfit());
    }
    match (i128::try_from(left.clone()), i128::try_from(right.clone())) {
        (Ok(a), Ok(b)) if python::as_float(left).is_none() && python::as_float(right).is_none() => {
            // As in Python, the rest has the sign of the divisor.
            let rest = a.checked_rem(b).ok_or_else(|| invalid("integer modulo by zero"))?;
            let rest = if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest };
            Ok(i64::try_from(rest).map_or_else(|_| Value::from(rest), Value::from))
        }
        _ => {
            let (a, b) = (f64::try_from(left.clone())?, f64::try_from(right.clone())?);
            if b == 0.0 {
                return Err(invalid("float modulo by zero"));
            }
            let rest = a % b;
            Ok(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }.into())
        }
    }
}

/// `pattern` with the places filled in, one after the other.
fn filled(pattern: &str, right: &Value) -> Result<String, Error> {
    let arguments: Vec<Value> = if right.is_tuple() { right.try_iter()?.collect() } else { vec![right.clone()] };
    let mut left = arguments.iter();
    let mut next = || left.next().ok_or_else(|| invalid("not enough arguments for format string"));
    let mut out = String::new();
    let mut rest = pattern;
    let mut by_name = false;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let place = SourcePlace::read(after).ok_or_else(|| invalid("incomplete format"))?;
        rest = &after[place.length..];
        if place.conversion == '%' {
            out.push('%');
            continue;
        }
        let mut size = String::new();
        for c in place.size.chars() {
            if c == '*' { size.push_str(&python::str(next()?)?) } else { size.push(c) }
        }
        let value = match place.key {
            Some(key) => {
                by_name = true;
                right.get_item(&key.into())?
            }
            None => next()?.clone(),
        };
        out.push_str(&converted(&size, place.conversion, &value)?);
    }
    let is_complete = by_name || left.next().is_none() || matches!(right.kind(), ValueKind::Map);
    if is_complete { Ok(out + rest) } else { Err(invalid("not all arguments converted during string formatting")) }
}

/// A place of a pattern: `%(key)05.1f` without its sign.
struct SourcePlace<'a> {
    key: Option<&'a str>,
    /// Flags, width and precision.
    size: &'a str,
    conversion: char,
    length: usize,
}

impl<'a> SourcePlace<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (key, begin) = match text.strip_prefix('(') {
            Some(rest) => rest.split_once(')').map(|(key, _)| (Some(key), key.len() + 2))?,
            None => (None, 0),
        };
        let rest = &text[begin..];
        let size = rest.find(|c: char| !matches!(c, '#' | '0'..='9' | '-' | '+' | ' ' | '.' | '*'))?;
        // Lengths of C change nothing.
        let skipped = rest[size..].find(|c| !matches!(c, 'h' | 'l' | 'L'))?;
        let conversion = rest[size + skipped..].chars().next()?;
        let length = begin + size + skipped + conversion.len_utf8();
        Some(Self { key, size: &rest[..size], conversion, length })
    }
}

/// The engine formats numbers and texts; everything else is a text first.
fn converted(size: &str, conversion: char, value: &Value) -> Result<String, Error> {
    let (conversion, value) = match conversion {
        's' => ('s', python::str(value)?.into()),
        'r' | 'a' => ('s', python::repr(value)?.into()),
        'd' | 'i' | 'u' => ('d', integer(value)?),
        other => (other, value.clone()),
    };
    format(FormatStyle::Printf, &format!("%{size}{conversion}"), &[value])
}

/// A number without its fraction.
fn integer(value: &Value) -> Result<Value, Error> {
    match python::as_float(value) {
        Some(number) if number.is_finite() && number.abs() < 1e38 => Ok(Value::from(number.trunc() as i128)),
        _ if matches!(value.kind(), ValueKind::Number | ValueKind::Bool) => {
            Ok(Value::from(i128::try_from(value.clone())?))
        }
        _ => Err(invalid(format!("%d format: a real number is required, not {}", value.kind()))),
    }
}
