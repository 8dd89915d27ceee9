//! Code in the colours of its syntax: syntect says what each part is, the theme what that looks like.

use std::collections::HashMap;
use std::sync::LazyLock;

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

use super::theme::SyntaxPart;

mod ready;

#[cfg(test)]
pub(super) use ready::prepare_now;
pub(super) use ready::{news, ready};

/// Read once, at the first code of a known language.
static SYNTAXES: LazyLock<SyntaxSet> = LazyLock::new(SyntaxSet::load_defaults_newlines);

/// Longer lines than this are no code that somebody reads, and cost too much.
const LONGEST_LINE: usize = 2000;

/// What the scopes that begin so are; the first that fits counts.
static PARTS: LazyLock<Vec<(Scope, Option<SyntaxPart>)>> = LazyLock::new(|| {
    use SyntaxPart::{Comment, Keyword, Literal, Name, Number, Type};
    let parts = [
        ("comment", Some(Comment)),
        ("constant.character", Some(Literal)),
        ("string", Some(Literal)),
        ("meta.interpolation", None),
        ("constant", Some(Number)),
        ("keyword.operator", None),
        ("keyword", Some(Keyword)),
        ("storage", Some(Keyword)),
        ("entity.name.function", Some(Name)),
        ("entity.name.tag", Some(Keyword)),
        ("entity.other.attribute-name", Some(Name)),
        ("entity.name", Some(Type)),
        ("entity.other.inherited-class", Some(Type)),
        ("support.function", Some(Name)),
        ("support.macro", Some(Name)),
        ("support.type", Some(Type)),
        ("support.class", Some(Type)),
        ("support.constant", Some(Number)),
        ("variable.function", Some(Name)),
        ("variable.language", Some(Keyword)),
        ("markup.inserted", Some(Literal)),
        ("markup.deleted", Some(Keyword)),
    ];
    parts.into_iter().filter_map(|(name, part)| Some((Scope::new(name).ok()?, part))).collect()
});

/// A line in parts: where each begins in the line, and what it is.
pub(super) type Line = Vec<(usize, Option<SyntaxPart>)>;

/// What was told of a code block so far; it grows line by line.
#[derive(Debug)]
struct Highlighted {
    language: String,
    /// Bytes of its whole lines.
    done: usize,
    lines: Vec<Line>,
    state: ParseState,
    scopes: ScopeStack,
}

/// The code blocks of a text that may still grow, by where they begin in it.
#[derive(Debug, Default)]
pub(super) struct Highlights {
    blocks: HashMap<usize, Highlighted>,
}

/// What is known of the lines of a code block.
#[derive(Debug, PartialEq)]
pub(super) enum Highlighting {
    /// The language is not known, or has nothing to tell.
    Nothing,
    /// The patterns of the language are still being compiled.
    Waiting,
    /// The parts of each line.
    Lines(Vec<Line>),
}

impl Highlights {
    /// The parts of each line of `code`, which begins at `place`; what was told of its whole lines before is not told
    /// again.
    pub(super) fn lines(&mut self, place: usize, language: &str, code: &str) -> Highlighting {
        let Some(syntax) = syntax(language) else { return Highlighting::Nothing };
        if !ready::is_ready(syntax, code) {
            return Highlighting::Waiting;
        }
        let block = self.blocks.entry(place).or_insert_with(|| Highlighted::new(language, syntax));
        if block.language != language || block.done > code.len() {
            *block = Highlighted::new(language, syntax);
        }
        for line in code[block.done..].split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let parts = parts_of(line, &mut block.state, &mut block.scopes);
            block.lines.push(parts);
            block.done += line.len();
        }
        let mut lines = block.lines.clone();
        let last = &code[block.done..];
        if !last.is_empty() {
            lines.push(parts_of(last, &mut block.state.clone(), &mut block.scopes.clone()));
        }
        Highlighting::Lines(lines)
    }

    /// Forgets every block.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    #[cfg(test)]
    pub(super) fn lines_kept(&self) -> usize {
        self.blocks.values().map(|block| block.lines.len()).sum()
    }
}

impl Highlighted {
    fn new(language: &str, syntax: &SyntaxReference) -> Self {
        let (state, scopes) = (ParseState::new(syntax), ScopeStack::new());
        Self { language: language.to_owned(), done: 0, lines: Vec::new(), state, scopes }
    }
}

/// The syntax of a fence's language; plain text has none.
fn syntax(language: &str) -> Option<&'static SyntaxReference> {
    let name = language.to_ascii_lowercase();
    let name = match name.as_str() {
        "" | "text" | "txt" | "plain" | "plaintext" | "output" | "console" => return None,
        "shell" | "zsh" | "shell-session" => "bash",
        "typescript" | "ts" | "tsx" | "jsx" | "javascript" | "node" => "js",
        "jsonc" | "json5" => "json",
        "python3" | "py3" => "python",
        "golang" => "go",
        "kotlin" | "kt" | "swift" | "dart" => "java",
        "c#" | "csharp" => "cs",
        "cuda" | "arduino" => "cpp",
        name => name,
    };
    SYNTAXES.find_syntax_by_token(name)
}

fn parts_of(line: &str, state: &mut ParseState, scopes: &mut ScopeStack) -> Line {
    let mut parts = vec![(0, None)];
    if line.len() > LONGEST_LINE {
        return parts;
    }
    let Ok(changes) = state.parse_line(line, &SYNTAXES) else { return parts };
    let part = |scopes: &ScopeStack| {
        let known = |scope: &Scope| PARTS.iter().find(|(prefix, _)| prefix.is_prefix_of(*scope));
        scopes.as_slice().iter().rev().find_map(known).and_then(|&(_, part)| part)
    };
    if let Some(first) = parts.first_mut() {
        first.1 = part(scopes);
    }
    for (at, change) in changes {
        if scopes.apply(&change).is_err() {
            return parts;
        }
        match parts.last_mut() {
            Some(last) if last.0 == at => last.1 = part(scopes),
            _ => parts.push((at, part(scopes))),
        }
    }
    parts.dedup_by_key(|(_, part)| *part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn highlighted(highlights: &mut Highlights, language: &str, code: &str) -> Vec<Line> {
        prepare_now(language);
        match highlights.lines(7, language, code) {
            Highlighting::Lines(lines) => lines,
            other => panic!("{other:?}"),
        }
    }

    fn shown(language: &str, code: &str) -> Vec<(SyntaxPart, String)> {
        let lines = highlighted(&mut Highlights::default(), language, code);
        let mut shown = Vec::new();
        for (line, parts) in code.split_inclusive('\n').zip(lines) {
            let ends = parts.iter().skip(1).map(|(start, _)| *start).chain([line.len()]);
            let pieces =
                parts.iter().zip(ends).filter_map(|((start, part), end)| Some((*part.as_ref()?, &line[*start..end])));
            shown.extend(pieces.map(|(part, text)| (part, text.trim().to_owned())));
        }
        shown
    }

    #[test]
    fn parts_of_code_are_told() {
        let parts = shown("rust", "// why\nfn main() { let x = \"a\"; 42 }\n");
        for part in [
            (SyntaxPart::Comment, "// why"),
            (SyntaxPart::Keyword, "fn"),
            (SyntaxPart::Name, "main"),
            (SyntaxPart::Literal, "\"a\""),
            (SyntaxPart::Number, "42"),
        ] {
            assert!(parts.contains(&(part.0, part.1.to_owned())), "{part:?} in {parts:?}");
        }
        assert!(shown("Python", "def f(): return None\n").contains(&(SyntaxPart::Keyword, "return".to_owned())));
        assert_eq!(Highlights::default().lines(0, "no-such-language", "x"), Highlighting::Nothing);
    }

    #[test]
    fn whole_lines_are_told_once_and_the_last_goes_on() {
        let mut highlights = Highlights::default();
        let code = "/* one\ntwo */ let x = 1;\n";
        for end in 1..=code.len() {
            let grown = highlighted(&mut highlights, "rust", &code[..end]);
            assert_eq!(grown, highlighted(&mut Highlights::default(), "rust", &code[..end]), "{end}");
            assert_eq!(highlights.lines_kept(), code[..end].matches('\n').count());
        }
    }

    #[test]
    fn the_patterns_of_a_language_are_compiled_by_another_thread() {
        let before = ready();
        // No other test has code in it.
        assert_eq!(Highlights::default().lines(0, "lua", "local x = 1\n"), Highlighting::Waiting);
        while !matches!(Highlights::default().lines(0, "lua", "local x = 1\n"), Highlighting::Lines(_)) {
            news().recv_timeout(std::time::Duration::from_millis(20)).ok();
        }
        assert!(ready() > before);
    }
}
