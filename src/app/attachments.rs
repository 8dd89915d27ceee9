//! Files in a message: `@path` names one, and its text follows the message, between fences, where the model reads it.

use std::ops::Range;

use super::{Effect, OnScreen};

/// Bytes of text that a token does not stand for on the average: the longest ones of vocabularies are runs of blanks. A file
/// with more of them for each token of the context is not even handed to the tokenizer, which counts all others.
const BYTES_PER_TOKEN: usize = 100;

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
pub fn gather(
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
    Effect::Screen(OnScreen::ComposeFile { text: fenced(&name, text), name: name.into_owned() })
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
    /// What is sent of it.
    pub text: &'a str,
}

impl Attachment<'_> {
    /// `notes.md · 312 lines · 10.5 kB`: what stands for it where it is folded.
    pub fn label(&self) -> String {
        let lines = self.text.lines().count();
        let size = match self.text.len() {
            bytes @ ..1000 => format!("{bytes} bytes"),
            bytes => format!("{:.1} kB", bytes as f64 / 1e3),
        };
        format!("{} · {lines} lines · {size}", self.path)
    }
}

/// A file's text in a message, as [`fenced`] writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Block<'a> {
    /// Where it is, with its name and its fences.
    range: Range<usize>,
    file: Attachment<'a>,
}

/// The files' texts in a message, in order.
fn blocks(content: &str) -> Vec<Block<'_>> {
    const OPENING: &str = ":\n```";
    let mut blocks = Vec::new();
    let mut at = 0;
    while let Some(colon) = content[at..].find(OPENING).map(|found| at + found) {
        let start = content[at..colon].rfind('\n').map_or(at, |feed| at + feed + 1);
        let fence_start = colon + ":\n".len();
        let rest = &content[fence_start..];
        let body = fence_start + (rest.len() - rest.trim_start_matches('`').len());
        // The line feed that ends the fence's line may be the one before the closing fence.
        let closing = format!("\n{}", &content[fence_start..body]);
        let ends_a_line = |end: usize| matches!(content.as_bytes().get(end + closing.len()), None | Some(b'\n'));
        let end = content[body..].match_indices(&closing).map(|(found, _)| body + found).find(|&end| ends_a_line(end));
        match end.filter(|_| content[body..].starts_with('\n') && start < colon) {
            Some(end) => {
                let text = content.get(body + 1..end + 1).unwrap_or_default();
                let range = start..(end + closing.len() + 1).min(content.len());
                at = range.end;
                blocks.push(Block { range, file: Attachment { path: &content[start..colon], text } });
            }
            None => at = colon + 1,
        }
    }
    blocks
}

/// A message as it was written, and the files that were attached to it.
pub fn split(content: &str) -> (&str, Vec<Attachment<'_>>) {
    let blocks = blocks(content);
    let (written, attached) = split_at_blocks(content, &blocks);
    (written, attached.iter().map(|block| block.file.clone()).collect())
}

/// What stands at the end of a message, one after the other, and is named in what is before it.
fn split_at_blocks<'a, 'b>(content: &'a str, blocks: &'b [Block<'a>]) -> (&'a str, &'b [Block<'a>]) {
    for first in 0..blocks.len() {
        let attached = &blocks[first..];
        let start = attached[0].range.start;
        let ends = attached.iter().map(|block| block.range.end);
        let next = attached[1..].iter().map(|block| block.range.start).chain([content.len()]);
        let is_at_end = ends.zip(next).all(|(end, next)| content[end..next].trim().is_empty());
        if !is_at_end || !content[..start].ends_with("\n\n") {
            continue;
        }
        let written = content[..start].trim_end_matches('\n');
        let named = mentions(written);
        let is_named = |block: &Block| named.iter().any(|mention| mention.path.starts_with(block.file.path));
        if attached.iter().all(is_named) {
            return (written, attached);
        }
    }
    (content, &[])
}

/// Lines of a file from which on it is folded on screen.
const FOLDED_LINES: usize = 9;

/// Lines of what is written from which on its middle is folded: a paste.
const LONG_TEXT: usize = 61;

/// Lines that are shown of such a text at its beginning and at its end.
const SHOWN_LINES: usize = 4;

/// A part of a question, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A text as it is, and where it is.
    Text(Range<usize>),
    /// A file that a line stands for, or the middle of a long text, which has no name.
    Folded(Attachment<'a>),
}

/// The parts of a question: files that are long, and the middle of a long text, are told from the rest. Without such there
/// is one part.
pub fn pieces(content: &str) -> Vec<Piece<'_>> {
    let blocks = blocks(content);
    let attached = split_at_blocks(content, &blocks).1;
    let is_file = |block: &&Block| {
        let is_attached = attached.first().is_some_and(|first| block.range.start >= first.range.start);
        (is_attached || is_files_name(block.file.path)) && block.file.text.lines().count() >= FOLDED_LINES
    };
    let mut pieces = Vec::new();
    let mut done = 0;
    for block in blocks.iter().filter(is_file) {
        pieces.extend(text_pieces(content, done..block.range.start));
        pieces.push(Piece::Folded(block.file.clone()));
        done = block.range.end;
    }
    match done {
        0 => shortened(content, 0..content.len()),
        _ => {
            pieces.extend(text_pieces(content, done..content.len()));
            pieces
        }
    }
}

/// A range without the empty lines around it, if anything is left.
fn text_pieces(content: &str, range: Range<usize>) -> Vec<Piece<'_>> {
    let text = &content[range.clone()];
    let start = range.start + (text.len() - text.trim_start_matches('\n').len());
    let end = range.start + text.trim_end().len();
    if start < end { shortened(content, start..end) } else { Vec::new() }
}

/// A text without its middle, if it is long.
fn shortened(content: &str, range: Range<usize>) -> Vec<Piece<'_>> {
    let text = &content[range.clone()];
    if text.lines().count() < LONG_TEXT {
        return vec![Piece::Text(range)];
    }
    let feeds = || text.trim_end().match_indices('\n').map(|(at, _)| range.start + at);
    let head = feeds().nth(SHOWN_LINES - 1).unwrap_or(range.end);
    let tail = feeds().nth_back(SHOWN_LINES - 1).map_or(range.end, |feed| feed + 1);
    if tail <= head {
        return vec![Piece::Text(range)];
    }
    let middle = Attachment { path: "…", text: &content[head + 1..tail] };
    vec![Piece::Text(range.start..head), Piece::Folded(middle), Piece::Text(tail..range.end)]
}

/// Whether what stands over a fenced text can be the name of a file, as `/read` writes it, and not a sentence.
fn is_files_name(name: &str) -> bool {
    let extension = std::path::Path::new(name).extension().and_then(|extension| extension.to_str());
    let has_ending = extension.is_some_and(|ending| ending.len() <= 10 && ending.chars().all(char::is_alphanumeric));
    has_ending || !name.contains(char::is_whitespace)
}

/// A question on lines, with a line in the place of each long file.
pub fn folded(content: &str) -> String {
    let line = |piece: &Piece| match piece {
        Piece::Text(range) => content[range.clone()].to_owned(),
        Piece::Folded(file) => format!("[{}]", file.label()),
    };
    pieces(content).iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A message with the files that it names, as the model reads it. `former` is what stood in its place, where it is said in
/// other words: what that had, and is gone from the disk since, it has still. The context holds `window` tokens; 0 where
/// that is not known.
///
/// # Errors
/// A sentence that says which of the files cannot be sent.
pub(super) fn with_files(
    text: &str,
    mut files: Vec<(String, String)>,
    former: Option<&str>,
    window: usize,
) -> Result<String, String> {
    let too_large = |(_, text): &&(String, String)| window > 0 && text.len() > window * BYTES_PER_TOKEN;
    if let Some((path, text)) = files.iter().find(too_large) {
        return Err(format!(
            "{path} has {} bytes, more than the model's context of {window} tokens can hold: name a smaller file",
            text.len()
        ));
    }
    for file in former.map(|former| split(former).1).unwrap_or_default() {
        let is_named = mentions(text).iter().any(|mention| mention.path.starts_with(file.path));
        if is_named && !files.iter().any(|(path, _)| path == file.path) {
            files.push((file.path.to_owned(), file.text.to_owned()));
        }
    }
    Ok(if files.is_empty() { text.to_owned() } else { attach(text, &files) })
}

fn attach(text: &str, files: &[(String, String)]) -> String {
    let blocks = files.iter().map(|(path, content)| format!("\n\n{}", fenced(path, content)));
    let whole: String = std::iter::once(text.trim_end().to_owned()).chain(blocks).collect();
    whole.trim_end_matches('\n').to_owned() + if files.is_empty() { "" } else { "\n" }
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

    #[test]
    fn long_files_are_folded_wherever_they_stand_and_what_is_written_stays() {
        let long = "line\n".repeat(9);
        let read = fenced("main.rs", &long);
        let whole = attach(
            &format!("{read}\nCompare with @b.txt and @short"),
            &[("b.txt".to_owned(), "x".repeat(999) + "\n" + &long), ("short".to_owned(), "one\ntwo\n".to_owned())],
        );
        assert_eq!(
            folded(&whole),
            "[main.rs · 9 lines · 45 bytes]\nCompare with @b.txt and @short\n[b.txt · 10 lines · 1.0 kB]\n\
             short:\n```\none\ntwo\n```"
        );
        let pasted: String = (1..=100).map(|line| format!("{line}\n")).collect();
        assert_eq!(folded(&format!("{pasted}What?")), "1\n2\n3\n4\n[… · 93 lines · 274 bytes]\n98\n99\n100\nWhat?");
        assert_eq!(folded(&"\n".repeat(100)), "\n".repeat(100));
        let sentence = format!("What does this do:\n```\n{long}```\n");
        let open = format!("main.rs:\n```\n{long}");
        for plain in ["no file", "a.txt:\n```\nshort\n```\n", &sentence, &open, ":\n```\n"] {
            assert_eq!(pieces(plain), [Piece::Text(0..plain.len())], "{plain:?}");
        }
    }
}
