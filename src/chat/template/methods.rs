//! Methods of Python's texts, lists and dictionaries that published templates call.

use minijinja::value::{Kwargs, Tuple, ValueKind, from_args};
use minijinja::{Error, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use super::python::{self, invalid};

/// The method `name` of `value`: what is wrong or missing in the engine's own collection, and that collection.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let own = match value.kind() {
        ValueKind::String => of_text(value.as_str().unwrap_or_default(), name, arguments)?,
        ValueKind::Seq => of_list(value, name, arguments)?,
        ValueKind::Map => of_map(value, name, arguments)?,
        _ => None,
    };
    own.map_or_else(|| unknown_method_callback(state, value, name, arguments), Ok)
}

fn of_map(value: &Value, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    let keys = || value.try_iter().map(Iterator::collect::<Vec<_>>);
    let items = match name {
        "copy" => return Ok(Some(value.clone())),
        "keys" => keys()?,
        "values" => keys()?.iter().map(|key| value.get_item(key)).collect::<Result<_, _>>()?,
        "items" => {
            let pair = |key: Value| Ok(Tuple::from([key.clone(), value.get_item(&key)?]).into());
            keys()?.into_iter().map(pair).collect::<Result<_, Error>>()?
        }
        _ => return Ok(None),
    };
    let () = from_args(arguments)?;
    Ok(Some(Value::from_object(python::View { name: name.to_owned(), items })))
}

fn of_list(value: &Value, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    match name {
        "index" => {
            let (item, start, end): (&Value, Option<i64>, Option<i64>) = from_args(arguments)?;
            let (start, end) = bounds(value.len().unwrap_or(0), start, end);
            for (at, other) in value.try_iter()?.enumerate().take(end).skip(start) {
                if other == *item {
                    return Ok(Some(at.into()));
                }
            }
            Err(invalid(format!("{} is not in list", python::repr(item)?)))
        }
        "copy" => Ok(Some(value.clone())),
        _ => Ok(None),
    }
}

fn of_text(text: &str, name: &str, arguments: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match name {
        "find" | "rfind" | "index" | "rindex" | "count" => search(text, name, arguments)?,
        "startswith" | "endswith" => {
            let (affix, start, end): (&Value, Option<i64>, Option<i64>) = from_args(arguments)?;
            if start.is_none() && end.is_none() {
                return Ok(None);
            }
            let (_, part) = window(text, start, end);
            let affix = affix.as_str().ok_or_else(|| invalid(format!("{name} with a range takes a text")))?;
            if name == "startswith" { part.starts_with(affix) } else { part.ends_with(affix) }.into()
        }
        "split" | "rsplit" => split(text, arguments, name == "rsplit")?,
        "splitlines" => splitlines(text, arguments)?,
        "partition" | "rpartition" => {
            let (separator,): (&str,) = from_args(arguments)?;
            let found = if name == "partition" { text.split_once(separator) } else { text.rsplit_once(separator) };
            let parts = match found {
                Some((before, after)) => [before, separator, after],
                None if name == "partition" => [text, "", ""],
                None => ["", "", text],
            };
            Tuple::from(parts.map(Value::from)).into()
        }
        "strip" | "lstrip" | "rstrip" => {
            let (set,): (Option<&str>,) = from_args(arguments)?;
            let is_cut = |c: char| set.map_or_else(|| is_space(c), |set| set.contains(c));
            let text = if name == "rstrip" { text } else { text.trim_start_matches(is_cut) };
            if name == "lstrip" { text } else { text.trim_end_matches(is_cut) }.into()
        }
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(arguments)?;
            let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            rest.unwrap_or(text).into()
        }
        "join" => {
            let (items,): (&Value,) = from_args(arguments)?;
            joined(items, text)?.into()
        }
        "ljust" | "rjust" | "center" | "zfill" => padded(text, name, arguments)?,
        "expandtabs" => expanded(text, arguments)?,
        "translate" => translated(text, arguments)?,
        "swapcase" => {
            let swapped = |c: char| -> String {
                if c.is_uppercase() { c.to_lowercase().collect() } else { c.to_uppercase().collect() }
            };
            text.chars().map(swapped).collect::<String>().into()
        }
        "casefold" => text.to_lowercase().replace('ß', "ss").into(),
        "title" => title(text).into(),
        _ => return Ok(quality(text, name).map(Value::from)),
    }))
}

/// What `is…` says of a text.
fn quality(text: &str, name: &str) -> Option<bool> {
    let all = |is_so: fn(char) -> bool| !text.is_empty() && text.chars().all(is_so);
    Some(match name {
        "isspace" => all(is_space),
        "isdecimal" => all(|c| c.is_ascii_digit() || is_other_digit(c, false)),
        "isdigit" => all(|c| c.is_ascii_digit() || is_other_digit(c, true)),
        "isprintable" => text.chars().all(python::is_printable),
        "isidentifier" => {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            all(|c| c.is_alphanumeric() || c == '_') && text.chars().all(is_name) && !text.starts_with(char::is_numeric)
        }
        "istitle" => text.chars().any(char::is_alphabetic) && title(text) == text,
        _ => return None,
    })
}

/// Digits of other scripts, and raised and lowered ones where `any` is meant.
fn is_other_digit(c: char, any: bool) -> bool {
    let decimal =
        matches!(c, '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}' | '\u{966}'..='\u{96f}' | '\u{ff10}'..='\u{ff19}');
    decimal || (any && matches!(c, '²' | '³' | '¹' | '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{2080}'..='\u{2089}'))
}

/// Whitespace as Python counts it: the four separators of ASCII as well.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// Each letter that follows none in upper case, the others in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase())
        } else {
            out.extend(c.to_uppercase())
        }
        in_word = c.is_alphabetic();
    }
    out
}

/// Where a range of Python's begins and ends in something of `length` parts: both within it.
fn bounds(length: usize, start: Option<i64>, end: Option<i64>) -> (usize, usize) {
    let at = |index: i64| {
        let index = if index < 0 { length as i64 + index } else { index };
        index.clamp(0, length as i64) as usize
    };
    (at(start.unwrap_or(0)), at(end.unwrap_or(i64::MAX)))
}

/// The part of a text between two indices of characters, and how many characters stand before it.
fn window(text: &str, start: Option<i64>, end: Option<i64>) -> (usize, &str) {
    if start.is_none() && end.is_none() {
        return (0, text);
    }
    let (start, end) = bounds(text.chars().count(), start, end);
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    (start, &text[byte(start)..byte(end.max(start))])
}

fn search(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(arguments)?;
    let (before, part) = window(text, start, end);
    if name == "count" {
        return Ok(part.matches(wanted).count().into());
    }
    let found = if name.starts_with('r') { part.rfind(wanted) } else { part.find(wanted) };
    match found {
        Some(byte) => Ok((before + part[..byte].chars().count()).into()),
        None if name.ends_with("find") => Ok((-1).into()),
        None => Err(invalid("substring not found")),
    }
}

fn split(text: &str, arguments: &[Value], from_the_end: bool) -> Result<Value, Error> {
    let (separator, most, named): (Option<Value>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = match separator {
        Some(separator) => Some(separator),
        None => named.get("sep")?,
    };
    let most = match most {
        Some(most) => Some(most),
        None => named.get("maxsplit")?,
    };
    named.assert_all_used()?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match separator.filter(|separator| !separator.is_none()) {
        None => split_at_space(text, most, from_the_end),
        Some(separator) => {
            let separator = separator.as_str().ok_or_else(|| invalid("a text is split at a text"))?;
            if separator.is_empty() {
                return Err(invalid("empty separator"));
            }
            if from_the_end {
                let mut parts: Vec<&str> = text.rsplitn(most.saturating_add(1), separator).collect();
                parts.reverse();
                parts
            } else {
                text.splitn(most.saturating_add(1), separator).collect()
            }
        }
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The words of a text; what is left after `most` cuts stays one.
fn split_at_space(text: &str, most: usize, from_the_end: bool) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_matches(is_space);
    while parts.len() < most && !rest.is_empty() {
        let cut = if from_the_end { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = cut else { break };
        let (before, after) = rest.split_at(at);
        if from_the_end {
            parts.push(after.trim_start_matches(is_space));
            rest = before.trim_end_matches(is_space);
        } else {
            parts.push(before);
            rest = after.trim_start_matches(is_space);
        }
    }
    if !rest.is_empty() {
        parts.push(rest);
    }
    if from_the_end {
        parts.reverse();
    }
    parts
}

/// The lines of a text: with what ended them, where `keepends` is true.
pub(super) fn lines(text: &str, keepends: bool) -> Vec<&str> {
    let is_end = |c: char| {
        matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}')
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let tail = &rest[at..];
        let line_end = if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(1, char::len_utf8) };
        lines.push(&rest[..if keepends { at + line_end } else { at }]);
        rest = &rest[at + line_end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn splitlines(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (keepends, named): (Option<bool>, Kwargs) = from_args(arguments)?;
    let keepends = match keepends {
        Some(keepends) => keepends,
        None => named.get::<Option<bool>>("keepends")?.unwrap_or(false),
    };
    Ok(lines(text, keepends).into_iter().map(Value::from).collect())
}

/// The texts of `items`, with `separator` between them.
pub(super) fn joined(items: &Value, separator: &str) -> Result<String, Error> {
    let mut out = String::new();
    for (at, item) in items.try_iter()?.checked().enumerate() {
        if at > 0 {
            out.push_str(separator);
        }
        let item = item?;
        match item.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&python::str(&item)?),
        }
    }
    Ok(out)
}

fn padded(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(arguments)?;
    let missing = usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count());
    let width = usize::try_from(width).unwrap_or(0);
    let fill = if name == "zfill" { '0' } else { fill.unwrap_or(' ') };
    let (left, right) = match name {
        "ljust" => (0, missing),
        // As Python does it: the odd one goes to the left where the width is odd.
        "center" => {
            let left = missing / 2 + (missing & width & 1);
            (left, missing - left)
        }
        _ => (missing, 0),
    };
    let (sign, digits) = match text.chars().next() {
        Some('-' | '+') if name == "zfill" => text.split_at(1),
        _ => ("", text),
    };
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    Ok(sign.chars().chain(fill(left)).chain(digits.chars()).chain(fill(right)).collect::<String>().into())
}

fn expanded(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (size,): (Option<usize>,) = from_args(arguments)?;
    let size = size.unwrap_or(8);
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' => {
                let spaces = if size == 0 { 0 } else { size - column % size };
                out.extend(std::iter::repeat_n(' ', spaces));
                column += spaces;
            }
            c => {
                out.push(c);
                column = if matches!(c, '\n' | '\r') { 0 } else { column + 1 };
            }
        }
    }
    Ok(out.into())
}

fn translated(text: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (table,): (&Value,) = from_args(arguments)?;
    let mut out = String::new();
    for c in text.chars() {
        let to = table.get_item(&Value::from(u32::from(c)))?;
        match to.kind() {
            ValueKind::Undefined => out.push(c),
            ValueKind::None => {}
            ValueKind::Number => out.extend(u32::try_from(to).ok().and_then(char::from_u32)),
            _ => out.push_str(&python::str(&to)?),
        }
    }
    Ok(out.into())
}
