//! Names of files as they are being typed: in `@path`, and in the arguments of commands.

use std::borrow::Cow;

use super::Completion;
use crate::app::App;
use crate::app::attachments::{Mention, mentions};
use crate::app::commands::{self, Completer, Line};
use crate::app::files::{FileEntry, unquoted};
use crate::app::variants::split_question;

/// Names that the list shows at most.
const MOST: usize = 200;

/// The person's own folder.
const HOME: &str = "~";

/// A path in the making, and the text around it.
struct Typed<'a> {
    path: Cow<'a, str>,
    kind: TypedKind<'a>,
}

enum TypedKind<'a> {
    Mention(Mention<'a>),
    /// Of a command: what stands before the path, and the endings that files must have (none: any).
    Argument(&'a str, &'static [&'static str]),
}

/// The path that the cursor is at the end of.
fn typed_at(text: &str, cursor: usize) -> Option<Typed<'_>> {
    if let Line::Command { name, .. } = commands::parse(text) {
        let endings = match commands::find(name)?.completer {
            Completer::Files(endings) | Completer::NewFile(endings) => endings,
            Completer::Models => &["gguf", "safetensors"],
            Completer::Templates => &["jinja"],
            // In the question that it asks.
            Completer::Variants if split_question(&text[..cursor]).1.is_some() => return mention_at(text, cursor),
            Completer::None
            | Completer::Parameters
            | Completer::Presets
            | Completer::Variants
            | Completer::Pulls
            | Completer::Themes
            | Completer::Samplers
            | Completer::Commands
            | Completer::Words(_)
            | Completer::Chats => return None,
        };
        let start = text.find(' ')? + 1;
        let written = text[start..].trim_start();
        let before = &text[..text.len() - written.len()];
        let path = open_path(written)?;
        let is_one_line = !text.contains('\n') && cursor == text.len();
        let is_meant =
            matches!(commands::find(name)?.completer, Completer::Files(_) | Completer::NewFile(_)) || is_path(&path);
        return (is_one_line && is_meant).then_some(Typed { path, kind: TypedKind::Argument(before, endings) });
    }
    mention_at(text, cursor)
}

/// The `@path` that the cursor is at the end of.
fn mention_at(text: &str, cursor: usize) -> Option<Typed<'_>> {
    let mention = mentions(text).into_iter().find(|mention| mention.range.end == cursor)?;
    let is_open = !mention.is_quoted || !mention.is_closed;
    is_open.then_some(Typed { path: mention.path.into(), kind: TypedKind::Mention(mention) })
}

/// Whether a name can only be meant as a path.
fn is_path(name: &str) -> bool {
    name == HOME || ["/", "~/", "./", "../"].iter().any(|start| name.starts_with(start))
}

/// A path that is being written; `None` where its second quote is there.
fn open_path(written: &str) -> Option<Cow<'_, str>> {
    let Some(quote) = written.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return Some(if written.contains("\\ ") { unquoted(written).into() } else { written.into() });
    };
    let path = &written[quote.len_utf8()..];
    (!path.contains(quote)).then_some(path.into())
}

/// A path's folder, with the slash at its end, and the name in it.
fn parts(path: &str) -> (&str, &str) {
    path.split_at(path.rfind('/').map_or(0, |at| at + 1))
}

/// The folder whose names complete what is typed at the cursor; empty for the one that the program runs in.
pub(super) fn folder_at(text: &str, cursor: usize) -> Option<String> {
    typed_at(text, cursor).map(|typed| parts(&typed.path).0.to_owned())
}

/// The paths that the one at the cursor can become, from what is known of its folder.
pub(super) fn complete(app: &App, text: &str, cursor: usize) -> Vec<Completion> {
    let Some(typed) = typed_at(text, cursor) else { return Vec::new() };
    if typed.path == HOME {
        let home = FileEntry { name: HOME.to_owned(), is_folder: true };
        return vec![completion(&typed, HOME, &home, text)];
    }
    let (folder, name) = parts(&typed.path);
    let listing = &app.catalog.listing;
    if listing.folder != folder {
        return Vec::new();
    }
    let lower = name.to_lowercase();
    let fits = |entry: &&FileEntry| {
        let is_shown = !entry.name.starts_with('.') || name.starts_with('.');
        let has_ending = match typed.kind {
            TypedKind::Argument(_, endings) if !endings.is_empty() && !entry.is_folder => {
                endings.iter().any(|ending| entry.name.to_lowercase().ends_with(&format!(".{ending}")))
            }
            TypedKind::Argument(..) | TypedKind::Mention(_) => true,
        };
        is_shown && has_ending && entry.name.to_lowercase().starts_with(&lower)
    };
    let entries = listing.entries.iter().filter(fits).take(MOST);
    entries.map(|entry| completion(&typed, &format!("{folder}{}", entry.name), entry, text)).collect()
}

fn completion(typed: &Typed, path: &str, entry: &FileEntry, text: &str) -> Completion {
    let slash = if entry.is_folder { "/" } else { "" };
    let label = format!("{}{slash}", entry.name);
    let (line, cursor) = match &typed.kind {
        TypedKind::Argument(before, _) => {
            // The quote that ends it comes with the file.
            let has_spaces = path.contains(char::is_whitespace);
            let is_quoted = has_spaces || text[before.len()..].starts_with(['"', '\'']);
            let quote = if is_quoted { "\"" } else { "" };
            let end = if entry.is_folder { slash } else { quote };
            let line = format!("{before}{quote}{path}{end}");
            (line.clone(), line.len())
        }
        TypedKind::Mention(mention) => {
            let after = &text[mention.range.end..];
            let is_quoted = mention.is_quoted || path.contains(char::is_whitespace);
            let quote = if is_quoted { "\"" } else { "" };
            // A file's name is whole: what comes next is another word.
            let end = match (entry.is_folder, after.starts_with(char::is_whitespace)) {
                (true, _) => "/".to_owned(),
                (false, true) => quote.to_owned(),
                (false, false) => format!("{quote} "),
            };
            let before = format!("{}@{quote}{path}{end}", &text[..mention.range.start]);
            (format!("{before}{after}"), before.len())
        }
    };
    Completion { line, cursor, label, help: String::new() }
}

/// The first name like this one that is free in the folder that was looked into: `chat-2.md` after `chat.md`.
pub(super) fn free_name(app: &App, name: &str) -> String {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_taken = |name: &String| app.catalog.listing.entries.iter().any(|entry| entry.name == *name);
    let numbered = (2..).map(|number: u32| format!("{stem}-{number}.{ending}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

/// Whether Enter has nothing to complete at the cursor: no name is begun, or a whole one is there.
pub fn is_complete(app: &App, text: &str, cursor: usize) -> bool {
    let Some(typed) = typed_at(text, cursor) else { return true };
    let (_, name) = parts(&typed.path);
    name.is_empty() || app.catalog.listing.entries.iter().any(|entry| entry.name == name && !entry.is_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_be_quoted() {
        for written in ["my file.txt", "\"my file.txt\"", "'my file.txt'", "my\\ file.txt"] {
            assert_eq!(unquoted(written), "my file.txt");
        }
        assert_eq!(unquoted("\"a"), "\"a");
        assert_eq!(unquoted("\""), "\"");
        assert_eq!(open_path("my\\ fi").as_deref(), Some("my fi"));
        assert_eq!(open_path("\"my fi").as_deref(), Some("my fi"));
        assert_eq!(open_path("\"my file\""), None);
    }
}
