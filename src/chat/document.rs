//! A conversation as a file: JSON, which has every branch and can be read again; Markdown and plain text, which have what
//! is on screen.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::thinking::{Thought, answer_of};
use super::{ChatSettings, MessageId, MessageState, Node, Provenance, Role, Transcript, escape_json, one_line, title};

/// What a JSON file says it is.
pub(super) const FORMAT: &str = "gibber chat";
/// Counted up when older versions would read a file wrongly. Fields that are added change nothing: who does not know them
/// passes over them.
pub(super) const VERSION: u32 = 1;

/// A conversation, apart from where it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Document {
    /// What it is called.
    pub title: String,
    /// The model it was last held with; empty where nobody knows.
    pub model: String,
    /// The system message; empty is the template's own.
    pub system: String,
    /// Seconds since 1970.
    pub created: i64,
    /// Its messages.
    pub transcript: Transcript,
    /// What else it keeps.
    pub settings: ChatSettings,
    /// What of the file that it was read from was left out, and why: in sentences.
    pub left_out: Vec<String>,
}

/// The formats of files, by their endings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentFormat {
    /// `.json`
    Json,
    /// `.md`
    Markdown,
    /// `.txt`
    Text,
}

impl DocumentFormat {
    /// The endings that [`Self::of_name`] knows.
    pub const ENDINGS: &str = ".json, .md or .txt";

    /// The format that a file's name asks for.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "json" => Some(Self::Json),
            "md" | "markdown" => Some(Self::Markdown),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }
}

#[derive(Debug, Serialize)]
struct File<'a> {
    format: &'a str,
    version: u32,
    title: &'a str,
    model: &'a str,
    system: &'a str,
    created: i64,
    #[serde(skip_serializing_if = "ChatSettings::is_empty")]
    settings: &'a ChatSettings,
    /// The last message of the path on screen.
    head: Option<MessageId>,
    messages: Vec<MessageEntry<'a>>,
}

#[derive(Debug, Serialize)]
struct MessageEntry<'a> {
    id: MessageId,
    /// What it answers.
    parent: Option<MessageId>,
    role: Role,
    content: &'a str,
    state: MessageState,
    /// How it came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    provenance: Option<Provenance>,
}

impl Document {
    /// The file in `format`.
    pub fn to_file(&self, format: DocumentFormat) -> String {
        match format {
            DocumentFormat::Json => self.to_json(),
            DocumentFormat::Markdown => self.to_markdown(),
            DocumentFormat::Text => self.to_text(),
        }
    }

    fn to_json(&self) -> String {
        let entries = self.transcript.nodes().iter().map(|node| {
            let Node { id, parent, ref message, state, ref provenance } = *node;
            let provenance = provenance.as_deref().map(Provenance::exported);
            MessageEntry { id, parent, role: message.role, content: &message.content, state, provenance }
        });
        let settings = self.settings.exported();
        let file = File {
            format: FORMAT,
            version: VERSION,
            title: &self.title,
            model: &self.model,
            system: &self.system,
            created: self.created,
            settings: &settings,
            head: self.transcript.head(),
            messages: entries.collect(),
        };
        // People look at files with `cat`, too.
        let mut json = escape_json(&serde_json::to_string_pretty(&file).unwrap_or_default()).into_owned();
        json.push('\n');
        json
    }

    fn to_markdown(&self) -> String {
        let mut text = format!("# {}\n", if self.title.is_empty() { "Chat" } else { &self.title });
        let models = self.models();
        if !models.is_empty() {
            let _ = write!(text, "\n*with {}*\n", models.join(" and "));
        }
        self.for_each(|who, thought, content| {
            let _ = write!(text, "\n## {who}\n");
            if let Some(thought) = thought {
                let quoted: String =
                    thought.text.lines().map(|line| format!("> {line}").trim_end().to_owned() + "\n").collect();
                let _ = write!(text, "\n> *{}*\n>\n{quoted}", thought.summary(false));
            }
            if !content.is_empty() {
                let _ = write!(text, "\n{}\n", content.trim_end());
            }
        });
        text
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let mut say = |who: &str, content: &str| {
            let _ = writeln!(text, "{}{who}: {}", if text.is_empty() { "" } else { "\n" }, content.trim_end());
        };
        self.for_each(|who, thought, content| {
            if let Some(thought) = &thought {
                say(&format!("{who} ({})", thought.summary(false)), &thought.text);
            }
            if thought.is_none() || !content.is_empty() {
                say(who, content);
            }
        });
        text
    }

    /// The models that wrote what is on screen, each once, in the order in which they first did. Of replies of which nobody
    /// knows it, that is the one it was last held with.
    fn models(&self) -> Vec<String> {
        let mut models: Vec<String> = Vec::new();
        let path = self.transcript.path();
        let replies: Vec<&&Node> = path.iter().filter(|node| node.message.role == Role::Assistant).collect();
        let is_unknown = replies.is_empty() || replies.iter().any(|reply| writers(reply).is_empty());
        let last = Some(self.model.clone()).filter(|model| is_unknown && !model.is_empty());
        for name in replies.iter().flat_map(|reply| writers(reply)).chain(last) {
            if !models.contains(&name) {
                models.push(name);
            }
        }
        models
    }

    /// The system message and what is on screen, each with who says it, and what was thought before it.
    fn for_each(&self, mut say: impl FnMut(&str, Option<Thought<'_>>, &str)) {
        if !self.system.is_empty() {
            say("System", None, &self.system);
        }
        let are_several = self.models().len() > 1;
        for node in self.transcript.path() {
            let who = match node.message.role {
                Role::System => Cow::from("System"),
                Role::User => Cow::from("You"),
                Role::Assistant => match writers(node) {
                    writers if are_several && !writers.is_empty() => {
                        format!("Assistant ({})", writers.join(", then ")).into()
                    }
                    _ => Cow::from("Assistant"),
                },
            };
            let who = who.as_ref();
            let content = &node.message.content;
            match Thought::of(content).filter(|_| node.message.role == Role::Assistant) {
                Some(thought) => {
                    let answer = thought.answer.clone();
                    say(who, Some(thought).filter(|thought| !thought.is_absent()), &answer);
                }
                None => say(who, None, content),
            }
        }
    }

    /// What a file may leave out: a title (of the first question, or the name of the `file`), and the time, which is then
    /// that of the import, `now` in seconds since 1970.
    #[must_use]
    pub fn completed(mut self, file: &Path, now: i64) -> Self {
        if self.title.is_empty() {
            let first =
                self.transcript.path().first().map(|node| title::of_question(&answer_of(&node.message.content)));
            let stem = || title::cleaned(&file.file_stem().unwrap_or_default().to_string_lossy());
            self.title = first.filter(|title| !title.is_empty()).unwrap_or_else(stem);
        }
        if self.created <= 0 {
            self.created = now;
        }
        self
    }
}

/// The names of the models that wrote a reply, as far as that is known.
fn writers(node: &Node) -> Vec<String> {
    let writers = node.provenance.as_deref().map(Provenance::writers).unwrap_or_default();
    writers.into_iter().map(one_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Message;
    use crate::chat::provenance::{ModelIdentity, Passage};

    /// A question with two answers, of which the first is on screen, and a follow-up that was cut.
    fn document() -> Document {
        let mut transcript = Transcript::default();
        let question = transcript.append(Message::new(Role::User, "Why?\n"), MessageState::Complete);
        transcript.append(Message::new(Role::Assistant, "Because \u{1F600}."), MessageState::Complete);
        let second = transcript.append_to(Some(question), Message::new(Role::Assistant, "No idea"), MessageState::Cut);
        transcript.switch_branch(second, -1);
        let (title, model) = ("Why? | *a*".to_owned(), "tiny".to_owned());
        let settings = ChatSettings { template: Some("chatml".into()), ..ChatSettings::default() };
        let made = Provenance { variant: Some("creative".into()), ..Provenance::default() };
        transcript.set_provenance(second, made);
        Document {
            title,
            model,
            system: "Be brief.".into(),
            created: 1_790_000_000,
            transcript,
            settings,
            left_out: Vec::new(),
        }
    }

    #[test]
    fn json_has_every_branch_and_comes_back_as_it_was() {
        let document = document();
        let json = document.to_file(DocumentFormat::Json);
        assert_eq!(Document::from_json(&json).unwrap(), document);
        assert!(json.contains("No idea") && json.contains("\"state\": \"cut\""), "{json}");
    }

    #[test]
    fn markdown_and_text_have_what_is_on_screen() {
        let markdown = document().to_file(DocumentFormat::Markdown);
        let expected = "# Why? | *a*\n\n*with tiny*\n\n## System\n\nBe brief.\n\n## You\n\nWhy?\n\n## Assistant\n\nBecause \u{1F600}.\n";
        assert_eq!(markdown, expected);
        let text = document().to_file(DocumentFormat::Text);
        assert_eq!(text, "System: Be brief.\n\nYou: Why?\n\nAssistant: Because \u{1F600}.\n");
    }

    #[test]
    fn where_several_models_wrote_each_reply_is_headed_with_its_own() {
        let of = |names: &[&str]| {
            let model = |name: &str| ModelIdentity { name: name.into(), ..ModelIdentity::default() };
            let passage = |name: &&str| Passage { model: Some(model(name)), ..Passage::default() };
            let last = model(names.last().unwrap());
            Provenance { model: last, passages: names.iter().map(passage).collect(), ..Provenance::default() }
        };
        let mut chat = Document { model: "two".into(), ..Document::default() };
        for (question, writers) in [("A?", &["one"][..]), ("B?", &["one", "two"]), ("C?", &["two"]), ("D?", &[])] {
            chat.transcript.append(Message::new(Role::User, question), MessageState::Complete);
            let id = chat.transcript.append(Message::new(Role::Assistant, "Yes."), MessageState::Complete);
            if !writers.is_empty() {
                chat.transcript.set_provenance(id, of(writers));
            }
        }
        let markdown = chat.to_file(DocumentFormat::Markdown);
        let headings: Vec<&str> =
            markdown.lines().filter(|line| line.contains("with") || line.contains("Ass")).collect();
        let expected = [
            "*with one and two*",
            "## Assistant (one)",
            "## Assistant (one, then two)",
            "## Assistant (two)",
            "## Assistant",
        ];
        assert_eq!(headings, expected);
        let text = chat.to_file(DocumentFormat::Text);
        assert!(text.contains("Assistant (one): Yes.\n") && text.contains("Assistant (one, then two): Yes."), "{text}");
    }

    #[test]
    fn a_chat_of_one_model_names_the_one_that_wrote_it() {
        let mut chat = Document { model: "loaded since".into(), ..Document::default() };
        chat.transcript.append(Message::new(Role::User, "A?"), MessageState::Complete);
        let id = chat.transcript.append(Message::new(Role::Assistant, "Yes."), MessageState::Complete);
        let model = ModelIdentity { name: "one".into(), ..ModelIdentity::default() };
        chat.transcript.set_provenance(id, Provenance { model, ..Provenance::default() });
        let markdown = chat.to_file(DocumentFormat::Markdown);
        assert!(markdown.contains("*with one*\n") && markdown.contains("## Assistant\n"), "{markdown}");
    }

    #[test]
    fn lists_of_messages_are_read_and_other_files_are_not() {
        let messages =
            r#"[{"role":"system","content":"S"},{"role":"user","content":"Q"},{"role":"assistant","content":"A"}]"#;
        for json in [messages.to_owned(), format!("{{\"model\":\"x\",\"messages\":{messages}}}")] {
            let document = Document::from_json(&json).unwrap();
            assert_eq!((document.system.as_str(), document.transcript.path().len()), ("S", 2), "{json}");
        }
        for (json, reason) in [
            ("{", "it is not JSON"),
            ("{}", "neither a chat of gibber nor a list"),
            (r#"[{"role":"robot","content":""}]"#, "message 1 has the `role` \"robot\""),
            (r#"{"format":"gibber chat","version":9,"messages":[]}"#, "a newer version of gibber (format 9)"),
            (r#"{"format":"gibber chat","version":1,"messages":[{"id":-1}]}"#, "message 1 has no `role`"),
        ] {
            let error = Document::from_json(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn endings_name_formats() {
        for (name, format) in [
            ("a.json", Some(DocumentFormat::Json)),
            ("b.c.md", Some(DocumentFormat::Markdown)),
            ("/x.y/d.txt", Some(DocumentFormat::Text)),
            ("e.pdf", None),
            ("json", None),
        ] {
            assert_eq!(DocumentFormat::of_name(name), format, "{name}");
        }
    }
}
