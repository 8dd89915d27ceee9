//! The environment that Hugging Face gives to its chat templates.

use std::fmt::{Display, Write};

use chrono::format::StrftimeItems;
use chrono::{DateTime, Local, TimeZone};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Value};

use super::methods::method;
use super::python::NAMESPACE_MARK;
use super::{filters, json, kinds, macros, percent, python, source};

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
    minijinja_contrib::add_to_environment(&mut environment);
    environment.set_unknown_method_callback(method);
    environment.set_formatter(|out, _, value| match value.as_str() {
        Some(text) => out.write_str(text).map_err(Error::from),
        None => out.write_str(&python::str(value)?).map_err(Error::from),
    });
    environment.remove_global("debug");
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_function("namespace", namespace);
    environment.add_function("dict", dict);
    environment.add_function("cycler", |items: Rest<Value>| minijinja_contrib::globals::cycler(items.0));
    environment.add_function(source::NOTHING_TO_CYCLE, nothing_to_cycle);
    environment.add_function(source::CATCH_ALL, macros::catch_all);
    environment.add_filter(source::PERCENT, percent::percent);
    environment.add_filter("tojson", json::to_json);
    filters::add_to(&mut environment);
    kinds::add_to(&mut environment);
    environment
}

/// What `raise_exception` said, where that is the error.
pub(super) fn refusal(error: &Error) -> Option<String> {
    error.detail()?.strip_prefix(REFUSAL).map(str::to_owned)
}

fn raise_exception(message: &Value) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, format!("{REFUSAL}{}", python::str(message)?)))
}

/// What Jinja for Python says of `loop.cycle()`.
fn nothing_to_cycle() -> Result<Value, Error> {
    Err(Error::new(ErrorKind::MissingArgument, "loop.cycle() has nothing to choose from"))
}

/// Jinja's `namespace`, which takes a map and names, is true also where it is empty, and is no map.
fn namespace(first: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    let mut values = pairs(first, &named)?;
    values.push((NAMESPACE_MARK.into(), true.into()));
    minijinja::functions::namespace(Some(Value::from_pairs(values).into()))
}

/// Python's `dict`.
fn dict(first: Option<Value>, named: Kwargs) -> Result<Value, Error> {
    Ok(Value::from_pairs(pairs(first, &named)?))
}

/// The pairs of a map, or of a list of pairs, and those of the named arguments.
fn pairs(first: Option<Value>, named: &Kwargs) -> Result<Vec<(Value, Value)>, Error> {
    let mut pairs = Vec::new();
    if let Some(values) = first {
        let is_map = values.kind() == ValueKind::Map;
        for item in values.try_iter()?.checked() {
            let item = item?;
            let (key, value) = if is_map {
                let value = values.get_item(&item)?;
                (item, value)
            } else {
                (item.get_item_by_index(0)?, item.get_item_by_index(1)?)
            };
            pairs.push((key, value));
        }
    }
    for name in named.args() {
        pairs.push((name.into(), named.get(name)?));
    }
    Ok(pairs)
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
}
