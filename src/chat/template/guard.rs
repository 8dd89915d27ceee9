//! What keeps a stranger's template within bounds, beyond the fuel that minijinja counts.
//!
//! Fuel bounds the instructions and the bytes they make. It does not bound what one method makes at a stroke ([`Work`]),
//! the text that leaves ([`Limited`]), how deep an expression or a value nests, which is walked by recursion
//! ([`on_deep_stack`]), and values that contain themselves ([`check_source`]).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use minijinja::{Error, ErrorKind};

use super::TemplateError;

/// The most text that a template may produce, in bytes: tens of times the longest context.
pub(super) const MAX_OUTPUT: usize = 8 << 20;

/// The largest template: several times the longest that is published.
pub(super) const MAX_SOURCE: usize = 128 << 10;

/// The most names and signs between two marks: the template engine's compiler takes a time that grows with their square.
const MAX_EXPRESSION: usize = 4_000;

/// Bytes that methods may read and make in one run.
const MAX_WORK: usize = 256 << 20;

/// Room for expressions and values as deep as source and fuel let them become. What is not used takes no memory.
const DEEP_STACK: usize = 512 << 20;

/// What is left of the bytes that methods may read and make.
#[derive(Debug, Clone)]
pub(super) struct Work(Arc<AtomicUsize>);

impl Default for Work {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(MAX_WORK)))
    }
}

impl Work {
    /// Takes `bytes` off.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), Error> {
        let taken = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(|_| ()).map_err(|_| Error::from(ErrorKind::OutOfFuel))
    }

    /// For a new run.
    pub(super) fn refill(&self) {
        self.0.store(MAX_WORK, Ordering::Relaxed);
    }
}

/// Takes a template's output up to a limit.
#[derive(Debug, Default)]
pub(super) struct Limited {
    pub(super) bytes: Vec<u8>,
    pub(super) full: bool,
}

impl io::Write for Limited {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + part.len() > MAX_OUTPUT {
            self.full = true;
            return Err(io::Error::other("too much output"));
        }
        self.bytes.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs `work` where recursion has room.
///
/// # Errors
/// [`TemplateError::Limit`] where the system has no room for such a stack, or `work` panics.
pub(super) fn on_deep_stack<T: Send>(
    name: &str,
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    let stopped = |reason: String| TemplateError::Limit { name: name.to_owned(), reason };
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(DEEP_STACK).spawn_scoped(scope, work);
        let thread = thread.map_err(|error| stopped(format!("the system gives it no thread to run in: {error}")))?;
        thread.join().unwrap_or_else(|_| Err(stopped("the template engine failed on it".into())))
    })
}

/// Refuses a source that is too long, and one that uses a namespace as a value: only so can a value contain itself, and
/// whoever prints such a one never comes to an end.
///
/// # Errors
/// [`TemplateError::Limit`]
pub(super) fn check_source(name: &str, source: &str) -> Result<(), TemplateError> {
    let limit = |reason: String| Err(TemplateError::Limit { name: name.to_owned(), reason });
    if source.len() > MAX_SOURCE {
        return limit(format!("it has {} bytes, and a template may have {MAX_SOURCE}", source.len()));
    }
    let Some(words) = words(source) else {
        return limit(format!("an expression in it has more than {MAX_EXPRESSION} parts"));
    };
    let namespaces: Vec<&str> = words.windows(4).filter(|w| is_new_namespace(w)).map(|w| w[1]).collect();
    for (at, &word) in words.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).map_or("", |at| words[at]);
        let after = words.get(at + 1).copied().unwrap_or_default();
        let is_fine = match word {
            _ if before(1) == "." => true,
            "namespace" => after == "(" && before(1) == "=" && before(3) == "set",
            word if namespaces.contains(&word) => {
                after == "."
                    || after == "["
                    || (after == "=" && before(1) == "set" && words.get(at + 2) == Some(&"namespace"))
            }
            _ => true,
        };
        if !is_fine {
            return limit(format!("it uses the namespace `{word}` otherwise than by its attributes"));
        }
    }
    Ok(())
}

/// `set NAME = namespace`
fn is_new_namespace(words: &[&str]) -> bool {
    words[0] == "set" && words[2] == "=" && words[3] == "namespace"
}

/// The names and signs between the marks of a template, without texts and comments; `None` where there are too many
/// between two of them. Where a mark is never closed the template does not compile.
fn words(source: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let close = match &rest[at..at + 2] {
            "{%" => "%}",
            "{{" => "}}",
            _ => {
                rest = rest[at..].split_once("#}").map_or("", |(_, after)| after);
                continue;
            }
        };
        let before = words.len();
        rest = expression_words(&rest[at + 2..], close, &mut words);
        if words.len() - before > MAX_EXPRESSION {
            return None;
        }
    }
    Some(words)
}

/// Adds the words up to `close`, and returns what follows.
fn expression_words<'a>(mut rest: &'a str, close: &str, words: &mut Vec<&'a str>) -> &'a str {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut depth = 0usize;
    while let Some(first) = rest.chars().next() {
        if depth == 0 && rest.starts_with(close) {
            return &rest[close.len()..];
        }
        let length = match first {
            '"' | '\'' => text_length(rest, first),
            c if is_name(c) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        match first {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if !first.is_whitespace() {
            words.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    rest
}

/// Length of the text at the beginning of `rest`, its quotes included.
fn text_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_has_only_so_many_parts() {
        let sum = |terms: usize| format!("{{{{ 0{} }}}}", "+1".repeat(terms));
        assert!(check_source("t", &sum(MAX_EXPRESSION / 2 - 1).repeat(3)).is_ok());
        assert!(check_source("t", &sum(MAX_EXPRESSION / 2)).unwrap_err().to_string().contains("more than 4000 parts"));
    }

    #[test]
    fn a_namespace_is_used_by_its_attributes_and_in_no_other_way() {
        let fine = [
            "{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}{{ ns['a'] }} ns {# ns #}{{ 'ns' }}{{ x.ns }}",
            "{%- set ns=namespace(found=false) -%}{% if not ns.found %}{{ \"it\\\"s ns\" }}{% endif %}",
            "{{ {'a': {'b': 1}} }}",
        ];
        for source in fine {
            assert!(check_source("t", source).is_ok(), "{source}");
        }
        let set = "{% set ns = namespace() %}";
        for source in [
            "{% set ns.x = ns %}",
            "{% set ns.x = [ns] %}",
            "{{ ns }}",
            "{{ ns|tojson }}",
            "{% set a = ns %}",
            "{{ f(ns) }}",
            "{% for a in [ns] %}{% endfor %}",
            "{{ namespace() }}",
            "{% set f = namespace %}",
            "{% set a, b = namespace(), 1 %}",
            "{{ {'a': ns} }}",
        ] {
            let error = check_source("t", &format!("{set}{source}")).unwrap_err().to_string();
            assert!(error.contains("otherwise than by its attributes"), "{source}: {error}");
        }
    }
}
