//! A template's source in words that the engine knows: what Jinja for Python has beyond it, written otherwise.
//!
//! Line ends become line feeds; `a % b`, which formats texts, becomes a filter; `{% generation %}`, by which transformers
//! marks a reply for training, a scope; and a macro that looks at `varargs` or `kwargs` is given them.

use std::ops::Range;

/// The filter that stands for `%`.
pub(super) const PERCENT: &str = "__percent";

/// The function that gives a macro the arguments that it has no names for.
pub(super) const CATCH_ALL: &str = "__catch_all";

/// The function that says what `loop.cycle()` lacks: it has nothing to choose from, which the engine cannot bear.
pub(super) const NOTHING_TO_CYCLE: &str = "__nothing_to_cycle";

/// What such a macro calls them.
pub(super) const REST: [&str; 2] = ["varargs", "kwargs"];

/// `source`, rewritten.
pub(super) fn adapted(source: &str) -> String {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut rewriter = Rewriter { out: String::with_capacity(source.len() + 64), macros: Vec::new() };
    let mut rest = source.as_str();
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        rewriter.out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match &rest[..2] {
            "{#" => {
                let length = rest.find("#}").map_or(rest.len(), |end| end + 2);
                rewriter.out.push_str(&rest[..length]);
                length
            }
            "{{" => rewriter.tag(rest, "}}"),
            _ => rewriter.tag(rest, "%}"),
        };
        rest = &rest[length..];
    }
    rewriter.out + rest
}

/// A macro whose end has not come yet.
struct Macro {
    name: String,
    /// Where its parameters end in what is written, and whether it has any.
    end_of_parameters: Option<(usize, bool)>,
    catches_all: bool,
}

struct Rewriter {
    out: String,
    macros: Vec<Macro>,
}

impl Rewriter {
    /// Writes the tag at the beginning of `rest`, and returns how long it was.
    fn tag(&mut self, rest: &str, close: &str) -> usize {
        let opening = if rest[2..].starts_with('-') || (close == "%}" && rest[2..].starts_with('+')) { 3 } else { 2 };
        let Some(tag) = Tag::read(rest, opening, close) else {
            self.out.push_str(rest);
            return rest.len();
        };
        let words = |at: usize| tag.words.get(at).map_or("", |word| &rest[word.clone()]);
        match (close, words(0)) {
            ("%}", "raw") => return self.raw(rest, tag.end),
            ("%}", word @ ("generation" | "endgeneration")) => {
                self.out.push_str(&rest[..tag.end].replacen(word, &word.replace("generation", "with"), 1));
            }
            ("%}", "macro") => {
                let name = words(1).to_owned();
                self.macros.push(Macro { name, end_of_parameters: None, catches_all: false });
                self.expression(rest, &tag);
            }
            ("%}", "endmacro") => self.end_macro(rest, &tag),
            _ => self.expression(rest, &tag),
        }
        tag.end
    }

    /// What stands between `{% raw %}` and its end is text. The engine drops a line end behind the first, Jinja keeps it.
    fn raw(&mut self, rest: &str, begin: usize) -> usize {
        self.out.push_str(&rest[..begin]);
        if rest[begin..].starts_with('\n') {
            self.out.push('\n');
        }
        let mut at = begin;
        while let Some(found) = rest[at..].find("{%") {
            let tag = &rest[at + found..];
            if tag[2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
                at += found;
                let end = at + tag.find("%}").map_or(tag.len(), |end| end + 2);
                self.out.push_str(&rest[begin..end]);
                return end;
            }
            at += found + 2;
        }
        self.out.push_str(&rest[begin..]);
        rest.len()
    }

    /// The tag as it is, but for each `%` with a filter in its place and without the signs that change nothing.
    fn expression(&mut self, rest: &str, tag: &Tag) {
        let words: Vec<&str> = tag.words.iter().map(|word| &rest[word.clone()]).collect();
        let (mut before, mut after) = (vec![0; words.len()], vec![0; words.len()]);
        let is_percent = |at: usize| words[at] == "%";
        for at in (0..words.len()).filter(|&at| is_percent(at)) {
            before[left_operand(&words, at)] += 1;
            after[right_operand(&words, at)] += 1;
        }
        let parameters_end = (words.first() == Some(&"macro")).then(|| words.iter().rposition(|&word| word == ")"));
        let mut copied = 0;
        for (at, word) in tag.words.iter().enumerate() {
            self.out.push_str(&rest[copied..word.start]);
            copied = word.end;
            if parameters_end == Some(Some(at))
                && let Some(last) = self.macros.last_mut()
            {
                last.end_of_parameters = Some((self.out.len(), words[at - 1] != "("));
            }
            self.out.extend(std::iter::repeat_n('(', before[at]));
            match words[at] {
                "%" => self.out.push_str(&format!(")|{PERCENT}(")),
                "+" if is_sign(&words, at) => {}
                ")" if words[..at].ends_with(&["loop", ".", "cycle", "("]) => {
                    self.out.push_str(&format!("{NOTHING_TO_CYCLE}())"));
                }
                word => self.out.push_str(word),
            }
            self.out.extend(std::iter::repeat_n(')', after[at]));
            let is_name = REST.contains(&words[at]) && at.checked_sub(1).is_none_or(|at| words[at] != ".");
            if is_name && let Some(last) = self.macros.last_mut() {
                last.catches_all = true;
            }
        }
        self.out.push_str(&rest[copied..tag.end]);
    }

    /// Where a macro ends that looks at the rest of its arguments, it is wrapped in what passes them.
    fn end_macro(&mut self, rest: &str, tag: &Tag) {
        let text = &rest[..tag.end];
        match self.macros.pop() {
            Some(Macro { name, end_of_parameters: Some((at, has_parameters)), catches_all: true }) => {
                let comma = if has_parameters { ", " } else { "" };
                let [positional, named] = REST;
                self.out.insert_str(at, &format!("{comma}{positional}=(), {named}={{}}"));
                // What the tag does to the text behind it is left to the last of the two.
                let close = tag.words.last().map_or(0, |word| word.end);
                let (body, close) = (&text[..close], text[close..].trim_start());
                self.out.push_str(&format!("{body} %}}{{% set {name} = {CATCH_ALL}({name}) {close}"));
            }
            _ => self.out.push_str(text),
        }
    }
}

/// The names, numbers, texts and signs of a tag, and where it ends.
struct Tag {
    words: Vec<Range<usize>>,
    end: usize,
}

impl Tag {
    /// The tag at the beginning of `rest`; `None` where it is never closed.
    fn read(rest: &str, opening: usize, close: &str) -> Option<Self> {
        let mut words = Vec::new();
        let (mut at, mut depth) = (opening, 0usize);
        loop {
            let here = &rest[at..];
            if depth == 0 {
                let endings = [close.to_owned(), format!("-{close}"), format!("+{close}")];
                let endings = if close == "%}" { &endings[..] } else { &endings[..2] };
                if let Some(ending) = endings.iter().find(|ending| here.starts_with(ending.as_str())) {
                    return Some(Self { words, end: at + ending.len() });
                }
            }
            let first = here.chars().next()?;
            match first {
                '{' | '[' | '(' => depth += 1,
                '}' | ']' | ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            let length = word_length(here, first);
            if !first.is_whitespace() {
                words.push(at..at + length);
            }
            at += length;
        }
    }
}

/// The length of the word at the beginning of `rest`.
fn word_length(rest: &str, first: char) -> usize {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    match first {
        '"' | '\'' => text_length(rest, first),
        c if is_name(c) => {
            let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
            let exponent = c.is_ascii_digit() && !rest.starts_with("0x") && rest[..length].ends_with(['e', 'E']);
            let signed = exponent && rest[length..].starts_with(['+', '-']);
            if signed {
                rest[length + 1..].find(|c| !is_name(c)).map_or(rest.len(), |n| length + 1 + n)
            } else {
                length
            }
        }
        c => ["==", "!=", "<=", ">=", "//", "**"]
            .into_iter()
            .find(|sign| rest.starts_with(sign))
            .map_or(c.len_utf8(), str::len),
    }
}

/// The length of the text at the beginning of `rest`, its quotes included.
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

/// Words that end an operand of `%`: they bind less than it does.
const LOOSER: [&str; 24] = [
    "~", "==", "!=", "<", ">", "<=", ">=", "=", ",", ":", "and", "or", "not", "in", "is", "if", "else", "elif", "set",
    "for", "call", "filter", "with", "do",
];

/// Signs of the same strength: they end the operand on the right, and belong to the one on the left.
const EQUAL: [&str; 4] = ["*", "/", "//", "%"];

/// Whether the word is a name where it could be a keyword: of an attribute, a filter.
fn is_looser(words: &[&str], at: usize) -> bool {
    match words[at] {
        "+" | "-" => !is_sign(words, at),
        word => LOOSER.contains(&word) && at.checked_sub(1).is_none_or(|before| !matches!(words[before], "." | "|")),
    }
}

/// Whether `+` or `-` at `at` is a number's sign: nothing that it could add to stands before it.
fn is_sign(words: &[&str], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return true };
    matches!(words[before], "(" | "[" | "{" | "+" | "-" | "**" | "print" | "return")
        || EQUAL.contains(&words[before])
        || is_looser(words, before)
}

/// Where the operand on the left of `at` begins.
fn left_operand(words: &[&str], at: usize) -> usize {
    let mut depth = 0usize;
    let mut begin = at;
    while let Some(before) = begin.checked_sub(1) {
        match words[before] {
            ")" | "]" | "}" => depth += 1,
            "(" | "[" | "{" if depth == 0 => break,
            "(" | "[" | "{" => depth -= 1,
            _ if depth == 0 && is_looser(words, before) => break,
            _ => {}
        }
        begin = before;
    }
    begin
}

/// Where the operand on the right of `at` ends: its last word.
fn right_operand(words: &[&str], at: usize) -> usize {
    let mut depth = 0usize;
    let mut end = at;
    while end + 1 < words.len() {
        let next = end + 1;
        match words[next] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" if depth == 0 => break,
            ")" | "]" | "}" => depth -= 1,
            word if depth == 0 && (EQUAL.contains(&word) || is_looser(words, next)) => break,
            _ => {}
        }
        end = next;
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_marks_become_scopes() {
        let source = "a{%- generation -%}b{% endgeneration %}{{ generation }}{% if generation %}{% endif %}";
        let expected = "a{%- with -%}b{% endwith %}{{ generation }}{% if generation %}{% endif %}";
        assert_eq!(adapted(source), expected);
    }

    #[test]
    fn every_line_end_is_a_line_feed() {
        assert_eq!(adapted("a\r\nb\rc\n{{ '\r\n' }}"), "a\nb\nc\n{{ '\n' }}");
    }

    #[test]
    fn a_percent_sign_takes_what_binds_as_strongly() {
        for (source, expected) in [
            ("{{ a % b }}", "{{ (a )|__percent( b) }}"),
            ("{{ x + a.b['%'] * 2 % -c|d(1) - y }}", "{{ x + (a.b['%'] * 2 )|__percent( -c|d(1)) - y }}"),
            ("{{ a % b % c }}", "{{ ((a )|__percent( b) )|__percent( c) }}"),
            ("{%- if not '%s' % (a % 2) == b -%}", "{%- if not ('%s' )|__percent( ((a )|__percent( 2))) == b -%}"),
            ("{{ [a % 2, {b: c % 3}] }}", "{{ [(a )|__percent( 2), {b: (c )|__percent( 3)}] }}"),
            ("{{ 1e-5 % 2 }}", "{{ (1e-5 )|__percent( 2) }}"),
            ("{{ loop.cycle() }}", "{{ loop.cycle(__nothing_to_cycle()) }}"),
            ("{{ loop.cycle(1) ~ loop . cycle( ) }}", "{{ loop.cycle(1) ~ loop . cycle( __nothing_to_cycle()) }}"),
            ("a % b {# a % b #}{% raw %}{{ a % b }}{% endraw %}", "a % b {# a % b #}{% raw %}{{ a % b }}{% endraw %}"),
        ] {
            assert_eq!(adapted(source), expected);
        }
    }

    #[test]
    fn a_macro_that_looks_at_the_rest_of_its_arguments_is_given_them() {
        let source = "{% macro f(a) %}{{ varargs }}{% endmacro -%} x{% macro g() %}{{ a.kwargs }}{% endmacro %}";
        let expected = "{% macro f(a, varargs=(), kwargs={}) %}{{ varargs }}{% endmacro %}{% set f = __catch_all(f) -%} x\
                        {% macro g() %}{{ a.kwargs }}{% endmacro %}";
        assert_eq!(adapted(source), expected);
    }

    #[test]
    fn what_is_never_closed_stays_as_it_is() {
        for source in ["{{ a % b", "{% raw %}{{", "{# x", "{{ 'a % }}", "{%", "{{", "é{% macro", "{% endmacro %}"] {
            assert_eq!(adapted(source), source);
        }
    }
}
