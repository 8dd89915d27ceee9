//! `tojson` as transformers has it: Python's `json.dumps`, and nothing escaped for the web.

use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Error, Value};

use super::python::{self, invalid};

/// How deep values may nest.
const MAX_DEPTH: usize = 900;

/// `tojson(value, ensure_ascii=false, indent=none, separators=none, sort_keys=false)`
pub(super) fn to_json(value: &Value, arguments: Rest<Value>, named: Kwargs) -> Result<Value, Error> {
    let given = |at: usize, name: &str| -> Result<Value, Error> {
        match arguments.get(at) {
            Some(value) => Ok(value.clone()),
            None => Ok(named.get::<Option<Value>>(name)?.unwrap_or_default()),
        }
    };
    let indent = given(1, "indent")?;
    let indent = match (indent.as_str(), indent.is_none() || indent.is_undefined()) {
        (_, true) => None,
        (Some(text), _) => Some(text.to_owned()),
        (None, _) => Some(" ".repeat(usize::try_from(indent.clone()).unwrap_or(0))),
    };
    let separators = given(2, "separators")?;
    let (between_items, behind_key) = if separators.is_none() || separators.is_undefined() {
        (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned())
    } else {
        let part = |at: usize| separators.get_item(&at.into()).and_then(|part| python::str(&part));
        (part(0)?, part(1)?)
    };
    let ensure_ascii = given(0, "ensure_ascii")?.is_true();
    let sort_keys = given(3, "sort_keys")?.is_true();
    named.assert_all_used()?;
    let mut writer = Writer { out: String::new(), indent, between_items, behind_key, ensure_ascii, sort_keys };
    writer.value(value, 0)?;
    Ok(writer.out.into())
}

struct Writer {
    out: String,
    indent: Option<String>,
    between_items: String,
    behind_key: String,
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("the value nests too deep for JSON"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.text(value.as_str().unwrap_or_default()),
            ValueKind::Map if !python::is_namespace(value) => self.map(value, depth)?,
            ValueKind::Seq => self.list(value, depth)?,
            // Where Python has an iterator it refuses it; an engine that is lazier has a list there.
            ValueKind::Iterable => self.list(value, depth)?,
            kind => return Err(invalid(format!("a value of type {kind} has no JSON"))),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) {
        match python::as_float(value) {
            Some(number) if number.is_nan() => self.out.push_str("NaN"),
            Some(number) if number.is_infinite() => {
                self.out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
            }
            Some(number) => self.out.push_str(&python::float(number)),
            None => self.out.push_str(&value.to_string()),
        }
    }

    fn list(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut is_empty = true;
        for item in value.try_iter()?.checked() {
            self.begin_item(is_empty, depth + 1);
            is_empty = false;
            self.value(&item?, depth + 1)?;
        }
        self.end(is_empty, depth, ']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut pairs = Vec::new();
        for key in value.try_iter()?.checked() {
            let key = key?;
            let name = match key.kind() {
                ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
                ValueKind::None => "null".into(),
                ValueKind::Bool => if key.is_true() { "true" } else { "false" }.into(),
                ValueKind::Number => python::str(&key)?,
                kind => return Err(invalid(format!("a key of type {kind} has no JSON"))),
            };
            pairs.push((name, value.get_item(&key)?));
        }
        if self.sort_keys {
            pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        }
        self.out.push('{');
        let is_empty = pairs.is_empty();
        for (at, (name, value)) in pairs.iter().enumerate() {
            self.begin_item(at == 0, depth + 1);
            self.text(name);
            self.out.push_str(&self.behind_key);
            self.value(value, depth + 1)?;
        }
        self.end(is_empty, depth, '}');
        Ok(())
    }

    fn begin_item(&mut self, is_first: bool, depth: usize) {
        if !is_first {
            self.out.push_str(&self.between_items);
        }
        self.new_line(depth);
    }

    fn end(&mut self, is_empty: bool, depth: usize, close: char) {
        if !is_empty {
            self.new_line(depth);
        }
        self.out.push(close);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            (0..depth).for_each(|_| self.out.push_str(indent));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' => self.escape(u32::from(c)),
                c if self.ensure_ascii && !(' '..='~').contains(&c) => {
                    let mut units = [0; 2];
                    c.encode_utf16(&mut units).iter().for_each(|&unit| self.escape(unit.into()));
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, unit: u32) {
        self.out.push_str(&format!("\\u{unit:04x}"));
    }
}
