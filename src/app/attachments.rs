//! Files in a message: `@path` names one, and its text follows the message, between fences, where the model reads it.

use std::ops::Range;

use super::commands::escape;
use super::{App, Effect, Moment, NoteKind};
use crate::chat::Role;

/// Bytes of text that a token never stands for on the average: a file with more of them for each token of the context
/// cannot fit.
const BYTES_PER_TOKEN: usize = 8;

/// Marks that may follow a name without being part of it.
const PUNCTUATION: &[char] = &['.', ',', ';', ':', '!', '?', ')', ']', '}', '\'', '"'];

/// A file that a message names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mention<'a> {
    /// Where it stands, with its `@` and its quotes.
    pub range: Range<usize>,
    /// What it names.
    pub path: &'a str,
    /// Whether it stands between quotes, so that it may have spaces.
    pub is_quoted: bool,
    /// Whether it has an end: the second quote, or a space.
    pub is_closed: bool,
}

/// What `text` names with `@path` or `@"path with spaces"`, at the beginning of words.
pub fn mentions(text: &str) -> Vec<Mention<'_>> {
    let mut mentions = Vec::new();
    let mut done = 0;
    for (at, _) in text.match_indices('@') {
        let begins_a_word = text[..at].chars().next_back().is_none_or(|c| c.is_whitespace() || "([{".contains(c));
        if at < done || !begins_a_word {
            continue;
        }
        let rest = &text[at + 1..];
        let mention = match rest.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find(['"', '\n']);
                let is_closed = end.is_some_and(|end| quoted[end..].starts_with('"'));
                let path = &quoted[..end.unwrap_or(quoted.len())];
                let range = at..at + 2 + path.len() + usize::from(is_closed);
                Mention { range, path, is_quoted: true, is_closed }
            }
            None => {
                let end = rest.find(char::is_whitespace);
                let path = &rest[..end.unwrap_or(rest.len())];
                Mention { range: at..at + 1 + path.len(), path, is_quoted: false, is_closed: end.is_some() }
            }
        };
        done = mention.range.end;
        mentions.push(mention);
    }
    mentions
}

/// Reads the files that `text` names: each with its path as it was named, once. What names no file is left out.
///
/// # Errors
/// What `read` says of a file that is there and cannot be read.
pub(super) fn gather(
    text: &str,
    read: &mut dyn FnMut(&str) -> Result<Option<String>, String>,
) -> Result<Vec<(String, String)>, String> {
    let mut files: Vec<(String, String)> = Vec::new();
    for mention in mentions(text) {
        let bare = if mention.is_quoted { mention.path } else { mention.path.trim_end_matches(PUNCTUATION) };
        for path in [mention.path, bare] {
            if path.is_empty() || files.iter().any(|(known, _)| known == path) {
                break;
            }
            if let Some(content) = read(path)? {
                files.push((path.to_owned(), content));
                break;
            }
        }
    }
    Ok(files)
}

/// A file's text between fences, so that the model sees where it ends.
fn fenced(name: &str, text: &str) -> String {
    let fence = fence_for(text);
    let end = if text.ends_with('\n') { "" } else { "\n" };
    format!("{name}:\n{fence}\n{text}{end}{fence}\n")
}

/// A file's text, put into the composer.
pub(super) fn compose_file(path: &str, text: &str) -> Effect {
    let name = std::path::Path::new(path).file_name().unwrap_or_default().to_string_lossy();
    Effect::Compose(fenced(&name, text))
}

/// A fence that the text does not have.
fn fence_for(text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    fence
}

/// A file that was attached to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// Its name, as the message names it.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A message as it was written, and the files that were attached to it.
pub fn split(content: &str) -> (&str, Vec<Attachment<'_>>) {
    let starts = content.match_indices("\n\n").map(|(at, _)| at);
    for at in starts {
        let written = &content[..at];
        let named = mentions(written);
        if named.is_empty() {
            continue;
        }
        let attached = parse_attachments(&content[at..]);
        let is_named = |file: &Attachment| named.iter().any(|mention| mention.path.starts_with(file.path));
        if let Some(files) = attached.filter(|files| files.iter().all(is_named)) {
            return (written, files);
        }
    }
    (content, Vec::new())
}

/// What [`attach`] appends, and nothing else.
fn parse_attachments(mut text: &str) -> Option<Vec<Attachment<'_>>> {
    let mut files = Vec::new();
    while !text.trim_end().is_empty() {
        let (path, rest) = text.trim_start_matches('\n').split_once(":\n```")?;
        let more = rest.len() - rest.trim_start_matches('`').len();
        let fence = format!("\n{}\n", "`".repeat(3 + more));
        // The line feed that ends the fence's line may be the one before the closing fence, in an empty file.
        let body = rest.get(more..)?;
        let end = body.find(&fence)?;
        let content = body.get(1..end + 1).unwrap_or_default();
        if path.contains('\n') {
            return None;
        }
        files.push(Attachment { path, text: content });
        text = &body[end + fence.len()..];
    }
    (!files.is_empty()).then_some(files)
}

fn attach(text: &str, files: &[(String, String)]) -> String {
    let blocks = files.iter().map(|(path, content)| format!("\n\n{}", fenced(path, content)));
    let whole: String = std::iter::once(text.trim_end().to_owned()).chain(blocks).collect();
    whole.trim_end_matches('\n').to_owned() + if files.is_empty() { "" } else { "\n" }
}

impl App {
    /// Says a message, with the files that it names.
    pub(super) fn send(&mut self, text: &str, now: Moment) -> Vec<Effect> {
        let is_reply = self.editing().is_some_and(|node| node.message.role != Role::User);
        if is_reply || mentions(text).is_empty() {
            return self.say(text, now);
        }
        match self.refusal() {
            Some(refusal) => {
                self.hint = Some(refusal);
                vec![Effect::Compose(escape(text))]
            }
            None => vec![Effect::Attach(text.to_owned())],
        }
    }

    /// The files that a message names were read.
    pub(super) fn attached(
        &mut self,
        text: &str,
        files: Result<Vec<(String, String)>, String>,
        now: Moment,
    ) -> Vec<Effect> {
        let files = files.and_then(|files| self.fitting(files));
        let mut files = match files {
            Ok(files) => files,
            Err(error) => {
                self.note(NoteKind::Error, error);
                return vec![Effect::Compose(escape(text))];
            }
        };
        // What a question that is edited had, and is gone from the disk since, it has still.
        let former = self.editing().map(|node| split(&node.message.content).1).unwrap_or_default();
        for file in former {
            let is_named = mentions(text).iter().any(|mention| mention.path.starts_with(file.path));
            if is_named && !files.iter().any(|(path, _)| path == file.path) {
                files.push((file.path.to_owned(), file.text.to_owned()));
            }
        }
        let whole = if files.is_empty() { text.to_owned() } else { attach(text, &files) };
        self.say(&whole, now)
    }

    fn fitting(&self, files: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
        let (_, context) = self.context();
        let too_large = |text: &str| context > 0 && text.len() > context * BYTES_PER_TOKEN;
        match files.iter().find(|(_, text)| too_large(text)) {
            None => Ok(files),
            Some((path, text)) => Err(format!(
                "{path} has {} bytes, more than the model's context of {context} tokens can hold: name a smaller file",
                text.len()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<&str> {
        mentions(text).into_iter().map(|mention| mention.path).collect()
    }

    #[test]
    fn files_are_named_at_the_beginning_of_words() {
        assert_eq!(paths("read @a.txt and (@src/b.rs) @\"my file.txt\"!"), ["a.txt", "src/b.rs)", "my file.txt"]);
        assert_eq!(paths("me@example.org"), Vec::<&str>::new());
        assert_eq!(paths("@"), [""]);
        let open = mentions("@\"my fi");
        assert!(open[0].is_quoted && !open[0].is_closed);
        assert_eq!(open[0].range, 0..7);
        assert_eq!(mentions("x @\"a b\" c")[0].range, 2..8);
    }

    #[test]
    fn a_name_is_tried_with_and_without_what_may_follow_it() {
        let mut asked = Vec::new();
        let mut read = |path: &str| {
            asked.push(path.to_owned());
            Ok((path == "a.txt").then(|| "text".to_owned()))
        };
        let files = gather("(@a.txt), @a.txt. and @nobody", &mut read).unwrap();
        assert_eq!(files, [("a.txt".to_owned(), "text".to_owned())]);
        assert_eq!(asked, ["a.txt),", "a.txt", "a.txt.", "nobody", "nobody"]);
        let failed = gather("@big", &mut |_| Err("too large".to_owned()));
        assert_eq!(failed, Err("too large".to_owned()));
    }

    #[test]
    fn what_was_attached_is_told_from_what_was_written() {
        let files = [("a.txt", "one\n```\ntwo"), ("empty", ""), ("b c.md", "x\n\ny\n")];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let written = "Compare @a.txt, @empty\n\nand @\"b c.md\".";
        let whole = attach(written, &files);
        let (text, attached) = split(&whole);
        assert_eq!(text, written);
        let attached: Vec<(&str, &str)> = attached.iter().map(|file| (file.path, file.text)).collect();
        assert_eq!(attached, [("a.txt", "one\n```\ntwo\n"), ("empty", "\n"), ("b c.md", "x\n\ny\n")]);
        for plain in ["@a.txt", "no file\n\na.txt:\n```\nx\n```\n", "@a.txt\n\nb.txt:\n```\nx\n```\n"] {
            assert_eq!(split(plain), (plain, Vec::new()), "{plain:?}");
        }
    }
}
