//! The patterns of a syntax, compiled before the screen needs them: syntect compiles each where it is first looked for,
//! which takes some 40 ms for a language and 100 ms for C++. The screen shows such code plain until a thread is done.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded};
use syntect::parsing::{ParseState, ScopeStack, SyntaxReference};

use super::parts_of;

/// What most languages have a pattern for, so that little is left to be compiled when more code comes.
const SAMPLE: &str = "\nclass function def f(a, b) { return \"x\" + 'y' + 1; } // c # c\nif (a) { b[0] = c.d; }\n";

/// The syntaxes that were asked for by their names, and whether they can be used.
static KNOWN: LazyLock<Mutex<HashMap<&'static str, bool>>> = LazyLock::new(Mutex::default);

/// Tells of each that can.
static NEWS: LazyLock<(Sender<()>, Receiver<()>)> = LazyLock::new(|| bounded(1));

/// How many syntaxes can be used.
pub(in crate::tui) fn ready() -> usize {
    known().values().filter(|&&is_ready| is_ready).count()
}

/// Where it is told that one more can be used.
pub(in crate::tui) fn news() -> &'static Receiver<()> {
    &NEWS.1
}

/// Whether a syntax can be used; the first time that it is asked for a thread begins to see to that, with this code.
pub(super) fn is_ready(syntax: &'static SyntaxReference, code: &str) -> bool {
    let name = syntax.name.as_str();
    if let Some(&is_ready) = known().get(name) {
        return is_ready;
    }
    known().insert(name, false);
    let code = format!("{SAMPLE}{code}");
    let compile = move || {
        for text in [SAMPLE, &code[SAMPLE.len()..]] {
            read(syntax, text);
        }
        use_it(name);
    };
    if std::thread::Builder::new().name("syntax".to_owned()).spawn(compile).is_err() {
        // Then the screen has to wait for it.
        use_it(name);
    }
    false
}

fn known() -> MutexGuard<'static, HashMap<&'static str, bool>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(syntax: &SyntaxReference, text: &str) {
    let (mut state, mut scopes) = (ParseState::new(syntax), ScopeStack::new());
    for line in text.split_inclusive('\n') {
        parts_of(line, &mut state, &mut scopes);
    }
}

fn use_it(name: &'static str) {
    known().insert(name, true);
    // One that was told and not heard yet is enough.
    let _ = NEWS.0.try_send(());
}

/// Has the syntax of a language ready before it is asked for.
#[cfg(test)]
pub(in crate::tui) fn prepare_now(language: &str) {
    if let Some(syntax) = super::syntax(language) {
        read(syntax, SAMPLE);
        use_it(&syntax.name);
    }
}
