//! Jinja's tests of what a value is, where the engine answers otherwise.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

use super::python::is_view;
use super::python::{is_macro, is_namespace};

pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.add_test("iterable", is_iterable);
    environment.add_test("sequence", is_sequence);
    environment.add_test("mapping", |value: &Value| value.kind() == ValueKind::Map && !is_other(value));
    environment.add_test("callable", |value: &Value| value.kind() == ValueKind::Plain || is_macro(value));
}

/// Namespaces and macros have attributes, and are no maps to a template.
fn is_other(value: &Value) -> bool {
    is_namespace(value) || is_macro(value)
}

/// Whether a loop over it is no error; over what is undefined, it is none.
fn is_iterable(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Undefined | ValueKind::String | ValueKind::Bytes | ValueKind::Seq | ValueKind::Iterable => true,
        ValueKind::Map => !is_other(value),
        _ => false,
    }
}

/// Whether it has a length and parts: what a filter makes as it is asked for has none, a dictionary's keys are no parts.
fn is_sequence(value: &Value) -> bool {
    match value.kind() {
        ValueKind::Iterable => value.len().is_some() && !is_view(value),
        _ => is_iterable(value),
    }
}
