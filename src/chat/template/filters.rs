//! Jinja's filters, where the engine lacks them or has others.

use minijinja::value::{Kwargs, Rest, ValueKind, from_args};
use minijinja::{Environment, Error, Value};

use super::methods;
use super::python;

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_filter("string", |value: &Value| python::str(value));
    environment.add_filter("pprint", |value: &Value| python::repr(value));
    environment.add_filter("join", join);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("indent", indent);
    environment.add_filter("dictsort", dictsort);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("wordcount", |text: &str| wordcount(text));
    environment.add_filter("center", center);
    environment.add_filter("truncate", truncate);
    environment.add_filter("forceescape", minijinja::filters::escape);
}

/// `join(value, d='', attribute=none)`
fn join(value: &Value, separator: Option<Value>, attribute: Option<Value>, named: Kwargs) -> Result<String, Error> {
    let given = |positional: Option<Value>, name: &str| match positional {
        Some(value) => Ok(Some(value)),
        None => named.get::<Option<Value>>(name),
    };
    let separator = given(separator, "d")?.map_or_else(|| Ok(String::new()), |value| python::str(&value))?;
    let attribute = given(attribute, "attribute")?;
    named.assert_all_used()?;
    let Some(attribute) = attribute else { return methods::joined(value, &separator) };
    let mut parts = Vec::new();
    for item in value.try_iter()? {
        let mut part = item;
        for name in python::str(&attribute)?.split('.') {
            let index = name.parse::<usize>().map(Value::from);
            part = part.get_item(&index.unwrap_or_else(|_| name.into()))?;
        }
        parts.push(part);
    }
    methods::joined(&parts.into_iter().collect(), &separator)
}

/// `int(value, default=0, base=10)`
fn int(value: &Value, default: Option<Value>, base: Option<u32>, named: Kwargs) -> Result<Value, Error> {
    let default = default.map_or_else(|| named.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    let base = base.map_or_else(|| named.get::<Option<u32>>("base"), |base| Ok(Some(base)))?.unwrap_or(10);
    named.assert_all_used()?;
    let number = match value.as_str() {
        Some(text) => whole(text, base).or_else(|| truncated(fraction(text)?)),
        None => match python::as_float(value) {
            Some(number) => truncated(number),
            None => i128::try_from(value.clone()).ok(),
        },
    };
    let number = number.map(|number| i64::try_from(number).map_or_else(|_| Value::from(number), Value::from));
    Ok(number.or(default).unwrap_or_else(|| Value::from(0)))
}

fn truncated(number: f64) -> Option<i128> {
    number.is_finite().then_some(number.trunc() as i128)
}

/// Python's `int(text, base)`
fn whole(text: &str, base: u32) -> Option<i128> {
    let text = text.trim();
    let (sign, digits) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (if text.starts_with('-') { -1 } else { 1 }, rest),
        None => (1, text),
    };
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let digits = digits.to_lowercase();
    let digits = digits.strip_prefix(prefix).unwrap_or(&digits);
    let is_well_formed = !digits.starts_with(['_', '-', '+']) && !digits.ends_with('_') && !digits.contains("__");
    if !is_well_formed || !(2..=36).contains(&base) {
        return None;
    }
    i128::from_str_radix(&digits.replace('_', ""), base).ok().map(|number| sign * number)
}

/// Python's `float(text)`
fn fraction(text: &str) -> Option<f64> {
    text.trim().replace('_', "").parse().ok()
}

/// `float(value, default=0.0)`
fn float(value: &Value, default: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let default = default.map_or_else(|| named.get::<Option<Value>>("default"), |value| Ok(Some(value)))?;
    named.assert_all_used()?;
    let number = match value.as_str() {
        Some(text) => fraction(text),
        None => f64::try_from(value.clone()).ok(),
    };
    Ok(number.map(Value::from).or(default).unwrap_or_else(|| Value::from(0.0)))
}

/// `indent(text, width=4, first=false, blank=false)`
fn indent(text: &str, arguments: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let given = |at: usize, name: &str| match arguments.get(at) {
        Some(value) => Ok(Some(value.clone())),
        None => named.get::<Option<Value>>(name),
    };
    let margin = match given(0, "width")? {
        None => " ".repeat(4),
        Some(width) => match width.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(usize::try_from(width)?.min(1 << 20)),
        },
    };
    let first = given(1, "first")?.is_some_and(|value| value.is_true());
    let blank = given(2, "blank")?.is_some_and(|value| value.is_true());
    named.assert_all_used()?;
    let text = format!("{text}\n");
    let lines = methods::lines(&text, false);
    let mut out = String::new();
    for (at, line) in lines.iter().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        if (at > 0 && (blank || !line.is_empty())) || (at == 0 && first) {
            out.push_str(&margin);
        }
        out.push_str(line);
    }
    Ok(out)
}

/// `dictsort(value, case_sensitive=false, by='key', reverse=false)`
fn dictsort(value: &Value, arguments: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let mut all = Vec::new();
    for name in named.args() {
        all.push((name.to_owned(), named.get::<Value>(name)?));
    }
    let names = ["case_sensitive", "by", "reverse"];
    all.extend(names.into_iter().zip(&arguments.0).map(|(name, value)| (name.to_owned(), value.clone())));
    let (named,): (Kwargs,) = from_args(&[all.into_iter().collect::<Kwargs>().into()])?;
    minijinja::filters::dictsort(value, named)
}

/// A text, or the pairs of a map or a list, as they stand in an address.
fn urlencode(value: &Value) -> Result<String, Error> {
    let is_list = matches!(value.kind(), ValueKind::Map | ValueKind::Seq | ValueKind::Iterable);
    if !is_list {
        return Ok(quoted(&python::str(value)?, false));
    }
    let mut parts = Vec::new();
    for item in value.try_iter()? {
        let (key, part) = if value.kind() == ValueKind::Map {
            (item.clone(), value.get_item(&item)?)
        } else {
            (item.get_item_by_index(0)?, item.get_item_by_index(1)?)
        };
        parts.push(format!("{}={}", quoted(&python::str(&key)?, true), quoted(&python::str(&part)?, true)));
    }
    Ok(parts.join("&"))
}

fn quoted(text: &str, in_query: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b'/' if !in_query => out.push('/'),
            b' ' if in_query => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn wordcount(text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()
}

/// `center(text, width=80)`
fn center(text: &str, width: Option<usize>) -> String {
    let width = width.unwrap_or(80).min(1 << 20);
    let missing = width.saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left))
}

/// `truncate(text, length=255, killwords=false, end='...', leeway=5)`
fn truncate(text: &str, arguments: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let given = |at: usize, name: &str| match arguments.get(at) {
        Some(value) => Ok(Some(value.clone())),
        None => named.get::<Option<Value>>(name),
    };
    let number = |value: Option<Value>, or: usize| value.map_or(Ok(or), usize::try_from);
    let length = number(given(0, "length")?, 255)?;
    let cuts_words = given(1, "killwords")?.is_some_and(|value| value.is_true());
    let end = given(2, "end")?.map_or_else(|| Ok("...".to_owned()), |value| python::str(&value))?;
    let leeway = number(given(3, "leeway")?, 5)?;
    named.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text.to_owned());
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = if cuts_words { &kept } else { kept.rsplit_once(' ').map_or(kept.as_str(), |(words, _)| words) };
    Ok(format!("{kept}{end}"))
}
