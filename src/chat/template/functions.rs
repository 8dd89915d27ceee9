//! The environment that Hugging Face gives to its chat templates.

use std::fmt::{Display, Write};

use chrono::format::StrftimeItems;
use chrono::{DateTime, Local, TimeZone};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

/// Goes in front of what `raise_exception` says, to tell it from other errors.
const REFUSAL: &str = "raise_exception: ";

/// Python's methods and spellings, `raise_exception`, `strftime_now` and `tojson`, and blocks that swallow their line's end.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true);
    syntax.lstrip_blocks(true);
    if let Ok(syntax) = syntax.build() {
        environment.set_syntax(syntax);
    }
    // The prompt is no web page: nothing is escaped, whatever the template's name ends in.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.set_formatter(|out, _, value| match value.kind() {
        ValueKind::Bool => write!(out, "{}", if value.is_true() { "True" } else { "False" }).map_err(Error::from),
        ValueKind::None => write!(out, "None").map_err(Error::from),
        ValueKind::Undefined => Ok(()),
        _ => write!(out, "{value}").map_err(Error::from),
    });
    environment.remove_global("debug");
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment
}

/// What `raise_exception` said, where that is the error.
pub(super) fn refusal(error: &Error) -> Option<String> {
    error.detail()?.strip_prefix(REFUSAL).map(str::to_owned)
}

/// `source` with plain scopes for the blocks that transformers' `{% generation %}` marks a reply by, for training.
pub(super) fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag)) = rest.split_once("{%") {
        out.push_str(before);
        out.push_str("{%");
        rest = tag;
        let Some((inside, after)) = tag.split_once("%}") else { break };
        let word = inside.trim_matches(['-', '+']).trim();
        if matches!(word, "generation" | "endgeneration") {
            out.push_str(&inside.replace("generation", "with"));
            out.push_str("%}");
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{message}")))
}

fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // `ensure_ascii` and the like change nothing that a model minds.
    let mut bytes = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Python)),
    };
    written.map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned()))
}

/// JSON as Python's `json.dumps` spaces it: `{"a": 1, "b": 2}`. Models were trained on that.
struct Python;

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        CompactFormatter.begin_object_value(writer)?;
        writer.write_all(b" ")
    }
}

/// Python's `datetime.now().strftime(format)`: local time; directives that are unknown stay as they are.
fn strftime_now(format: &str) -> Result<String, Error> {
    strftime(format, &Local::now())
}

fn strftime(format: &str, moment: &DateTime<impl TimeZone<Offset: Display>>) -> Result<String, Error> {
    let mut text = String::new();
    match write!(text, "{}", moment.format_with_items(StrftimeItems::new_lenient(format))) {
        Ok(()) => Ok(text),
        Err(_) => Err(Error::new(ErrorKind::InvalidOperation, format!("`{format}` is no format of a date"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_python_writes_them() {
        let at = |format: &str, seconds: i64| strftime(format, &DateTime::from_timestamp(seconds, 0).unwrap()).unwrap();
        assert_eq!(at("%Y-%m-%d %H:%M:%S %A %a", 0), "1970-01-01 00:00:00 Thursday Thu");
        assert_eq!(at("%d %b %Y", 951_782_400), "29 Feb 2000");
        assert_eq!(at("%B %-d, %y, %H:%M:%S", 1_767_225_599), "December 31, 25, 23:59:59");
        assert_eq!(at("100%% %!", 0), "100% %!");
        let today = environment().render_str("{{ strftime_now('%Y') }}", ()).unwrap();
        assert_eq!(today, Local::now().format("%Y").to_string());
    }

    #[test]
    fn generation_marks_become_scopes() {
        let source = "a{%- generation -%}b{% endgeneration %}{{ generation }}{% if generation %}{% endif %}";
        let expected = "a{%- with -%}b{% endwith %}{{ generation }}{% if generation %}{% endif %}";
        assert_eq!(without_generation_marks(source), expected);
    }

    #[test]
    fn json_is_spaced_as_python_does_and_not_escaped_for_the_web() {
        let render = |source: &str| environment().render_str(source, ()).unwrap();
        assert_eq!(render("{{ {'a': [1, 'x<y>&é'], 'b': none} | tojson }}"), r#"{"a": [1, "x<y>&é"], "b": null}"#);
        assert_eq!(render("{{ [1] | tojson(indent=2) }}"), "[\n  1\n]");
    }
}
