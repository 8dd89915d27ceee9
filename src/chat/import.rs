//! Reading conversations from JSON that anybody may have written: an own export, or what other programs write. Messages are
//! taken as they can be understood; what cannot be is said in words, with the place in the file.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::document::{Document, FORMAT, VERSION};
use super::rebuild::{self, Key, LooseMessage};
use super::{ChatSettings, Message, MessageState, Provenance, Role, Transcript, title};
use gibber_files::quoted;

/// The last second of the year 9999: what is later is no date of a chat.
const LAST_SECOND: i64 = 253_402_300_799;

/// What a file should be.
const WANTED: &str =
    "it is neither a chat of gibber nor a list of messages with `role` (system, user or assistant) and `content`";

impl Document {
    /// The conversation in a JSON file: one of [`Self::to_file`]'s, or a list of messages with `role` and `content`, as
    /// other programs write it. Messages are numbered anew; without a valid head the newest is the last on screen.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the file, where, and what to do.
    pub fn from_json(text: &str) -> Result<Self, String> {
        document(text)
    }

    /// The text of a file for [`Self::from_json`].
    ///
    /// # Errors
    /// A sentence that says what is wrong with its encoding, where, and what to do.
    pub fn text_of(bytes: &[u8]) -> Result<&str, String> {
        text_of(bytes)
    }
}

/// The text of a file.
///
/// # Errors
/// A sentence about its encoding.
fn text_of(bytes: &[u8]) -> Result<&str, String> {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err("it is in UTF-16: save it as UTF-8 and import that".to_owned());
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].split(|&byte| byte == b'\n').count();
        format!("line {line} is not UTF-8: save it as UTF-8 and import that")
    })
}

/// The conversation in a JSON file.
///
/// # Errors
/// A sentence that says what is wrong, where, and what to do.
fn document(text: &str) -> Result<Document, String> {
    // Some editors begin a file with the mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => in_other_ways(text, &error)?,
    };
    match value {
        Value::Array(list) if list.iter().any(|item| item.get("messages").or(item.get("mapping")).is_some()) => {
            let count = list.len();
            match list.into_iter().next() {
                Some(Value::Object(chat)) if count == 1 => chat_of(chat),
                _ => Err(format!("it holds {count} chats: put one of them into a file of its own and import that")),
            }
        }
        Value::Array(list) => messages_of(list, Map::new(), false),
        Value::Object(chat) => chat_of(chat),
        other => Err(format!("{WANTED}, but {}", kind_of(&other))),
    }
}

/// What is in a text that is nearly JSON: a value a line, or halves of characters where JavaScript has cut one, which become
/// U+FFFD. `error` is what is wrong with it as JSON.
fn in_other_ways(text: &str, error: &serde_json::Error) -> Result<Value, String> {
    let whole = with_whole_characters(text);
    if let Ok(value) = serde_json::from_str(&whole) {
        return Ok(value);
    }
    let mut lines = whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let first = lines.next().and_then(|(_, line)| serde_json::from_str(line).ok());
    let Some(first @ Value::Object(_)) = first else { return Err(not_json(text, error)) };
    let mut values = vec![first];
    for (at, line) in lines {
        values.push(serde_json::from_str(line).map_err(|error| {
            format!("line {}, of a file with an object a line, is none by itself: {}", at + 1, not_json(line, &error))
        })?);
    }
    Ok(Value::Array(values))
}

/// `text` with U+FFFD for each escape of half a character that the other half does not stand beside.
fn with_whole_characters(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let (escape, length) = match (unit(rest), rest.get(6..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (&rest[..12], 12),
            (Some(0xd800..=0xdfff), _) => ("\\ufffd", 6),
            _ => {
                // Whatever is escaped is passed over with it: a backslash begins no other.
                let length = rest.chars().take(2).map(char::len_utf8).sum();
                (&rest[..length], length)
            }
        };
        out.push_str(escape);
        rest = &rest[length..];
    }
    out + rest
}

/// The number of an escape such as `\u00e9` at the beginning of a text.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))
}

/// The chat of an object with its messages and what is known of it.
fn chat_of(mut chat: Map<String, Value>) -> Result<Document, String> {
    let is_ours = chat.get("format").is_some_and(|format| format == FORMAT);
    if is_ours {
        check_version(chat.get("version"))?;
    }
    if let Some(Value::Object(nodes)) = chat.get("mapping") {
        return mapping(nodes, &chat);
    }
    let messages = match chat.remove("messages") {
        Some(Value::Array(messages)) => messages,
        Some(other) => return Err(format!("its `messages` are {}, not a list", kind_of(&other))),
        None if is_ours => return Err("it has no `messages`".to_owned()),
        None => return Err(WANTED.to_owned()),
    };
    messages_of(messages, chat, is_ours)
}

/// The chat of a list of messages, and what else is known of it.
fn messages_of(messages: Vec<Value>, chat: Map<String, Value>, is_ours: bool) -> Result<Document, String> {
    // A list in which nobody says what is answered is in its order, whoever wrote it; in other programs' files nothing may
    // be written where nothing is known.
    let says_it = |parent: &Value| is_ours || !parent.is_null();
    let is_tree = messages.iter().any(|message| message.get("parent").is_some_and(says_it));
    if is_tree { tree(messages, chat) } else { linear(messages, chat) }
}

fn check_version(version: Option<&Value>) -> Result<(), String> {
    match version.map(|version| (version, version.as_f64())) {
        Some((_, Some(known))) if known <= f64::from(VERSION) => Ok(()),
        Some((version, Some(_))) => {
            let version = version.to_string();
            let version = quoted::shortened(&version);
            Err(format!("it was written by a newer version of gibber (format {version}): update gibber"))
        }
        None => Ok(()),
        Some((version, None)) => Err(format!("its `version` is {}, not a number", kind_of(version))),
    }
}

/// Messages that say what they answer.
fn tree(messages: Vec<Value>, chat: Map<String, Value>) -> Result<Document, String> {
    let (count, mut left_out) = (messages.len(), Vec::new());
    let loose = |(at, value): (usize, Value)| {
        let (id, parent) = (value.get("id").and_then(key), value.get("parent").and_then(key));
        let (state, message) = (state(value.get("state")), message(at, &value)?);
        let provenance = kept_provenance(at, &value, &message, count, &mut left_out).map(Arc::new);
        Ok(LooseMessage { id, parent, message, state, provenance })
    };
    let mut messages = messages.into_iter().enumerate().map(loose).collect::<Result<Vec<_>, String>>()?;
    number_by_place(&mut messages);
    let head = chat.get("head").and_then(key);
    let document = of(text_or_nothing(&chat, "system"), rebuild::transcript(messages, head.as_ref()), &chat)?;
    Ok(Document { left_out, ..document })
}

/// Messages of which none has a name and whose parents are numbers mean their places, counted from 0, or from 1 where that
/// alone can be: nothing answers itself or what comes later.
fn number_by_place(messages: &mut [LooseMessage]) {
    let are_nameless = messages.iter().all(|message| message.id.is_none());
    let comes_before = |first: i64| {
        messages.iter().zip(first..).all(|(message, place)| match message.parent {
            None => true,
            Some(Key::Number(parent)) => (first..place).contains(&parent),
            Some(Key::Text(_)) => false,
        })
    };
    let Some(first) = [0, 1].into_iter().find(|&first| are_nameless && comes_before(first)) else { return };
    for (message, place) in messages.iter_mut().zip(first..) {
        message.id = Some(Key::Number(place));
    }
}

/// The nodes of an export of ChatGPT, by their names. Those without anything that a person or the model says (the root, tools)
/// are left out: what answers them answers what they answer.
fn mapping(nodes: &Map<String, Value>, chat: &Map<String, Value>) -> Result<Document, String> {
    let said: HashMap<&str, (f64, Message)> =
        nodes.iter().filter_map(|(name, node)| Some((name.as_str(), said_in(node)?))).collect();
    let mut known = HashMap::new();
    let mut messages: Vec<(f64, LooseMessage)> = Vec::new();
    for (name, (time, message)) in &said {
        let parent = nearest(nodes, &said, &mut known, above(nodes, name)).map(|name| Key::Text(name.to_owned()));
        let (id, message) = (Some(Key::Text((*name).to_owned())), message.clone());
        let (state, provenance) = (MessageState::Complete, None);
        messages.push((*time, LooseMessage { id, parent, message, state, provenance }));
    }
    let name_of = |loose: &LooseMessage| format!("{:?}", loose.id);
    messages.sort_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| name_of(x).cmp(&name_of(y))));
    let head = nearest(nodes, &said, &mut known, chat.get("current_node").and_then(Value::as_str));
    let head = head.map(|name| Key::Text(name.to_owned()));
    let messages = messages.into_iter().map(|(_, message)| message).collect();
    of(String::new(), rebuild::transcript(messages, head.as_ref()), chat)
}

/// When, and what; `None` for a node in which a person or the model says nothing.
fn said_in(node: &Value) -> Option<(f64, Message)> {
    let message = node.get("message")?;
    let role = role(message.get("author")?.get("role")?.as_str()?)?;
    let content = content_of(message.get("content")?).ok().filter(|content| !content.is_empty())?;
    let time = message.get("create_time").and_then(Value::as_f64).unwrap_or_default();
    Some((time, Message::new(role, content)))
}

fn above<'a>(nodes: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    nodes.get(name)?.get("parent")?.as_str()
}

/// The first node from `name` upwards in which something is said; what was `known` on the way is not looked for again.
fn nearest<'a>(
    nodes: &'a Map<String, Value>,
    said: &HashMap<&str, (f64, Message)>,
    known: &mut HashMap<&'a str, Option<&'a str>>,
    name: Option<&'a str>,
) -> Option<&'a str> {
    let (mut next, mut way) = (name, Vec::new());
    let found = loop {
        match next {
            Some(name) if !said.contains_key(name) => match known.insert(name, None) {
                // Nothing as well where the way is a circle.
                Some(before) => {
                    known.insert(name, before);
                    break before;
                }
                None => way.push(name),
            },
            found => break found,
        }
        next = next.and_then(|name| above(nodes, name));
    };
    known.extend(way.into_iter().map(|name| (name, found)));
    found
}

/// Messages one after the other. A system message at their beginning is that of the chat.
fn linear(messages: Vec<Value>, chat: Map<String, Value>) -> Result<Document, String> {
    let mut transcript = Transcript::default();
    let mut system = text_or_nothing(&chat, "system");
    let (count, mut left_out) = (messages.len(), Vec::new());
    for (at, value) in messages.into_iter().enumerate() {
        let message = message(at, &value)?;
        if message.role == Role::System && transcript.nodes().is_empty() && system.is_empty() {
            system = message.content;
        } else {
            let provenance = kept_provenance(at, &value, &message, count, &mut left_out);
            let id = transcript.append(message, state(value.get("state")));
            if let Some(provenance) = provenance {
                transcript.set_provenance(id, provenance);
            }
        }
    }
    Ok(Document { left_out, ..of(system, transcript, &chat)? })
}

fn of(system: String, transcript: Transcript, chat: &Map<String, Value>) -> Result<Document, String> {
    if transcript.nodes().is_empty() {
        return Err("it has no messages of a person or a model".to_owned());
    }
    let created = chat.get("created").or_else(|| chat.get("create_time")).and_then(Value::as_f64);
    let created = created.map_or(0, |seconds| seconds as i64);
    Ok(Document {
        title: title::cleaned(&text_or_nothing(chat, "title")),
        // It stands in a list as well.
        model: title::cleaned(&text_or_nothing(chat, "model")),
        system,
        created: if (1..=LAST_SECOND).contains(&created) { created } else { 0 },
        transcript,
        settings: chat
            .get("settings")
            .and_then(|settings| ChatSettings::deserialize(settings).ok())
            .unwrap_or_default()
            .exported(),
        left_out: Vec::new(),
    })
}

fn text_or_nothing(chat: &Map<String, Value>, name: &str) -> String {
    chat.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// A name that a message has or refers to: 1, "1" and 1.0 are the same.
fn key(value: &Value) -> Option<Key> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.parse().map_or_else(|_| Key::Text(text.clone()), Key::Number)),
        Value::Number(number) => {
            let exact = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15);
            let integer = number.as_i64().or(exact.map(|float| float as i64));
            Some(integer.map_or_else(|| Key::Text(number.to_string()), Key::Number))
        }
        other => Some(Key::Text(other.to_string())),
    }
}

/// How a message of the file's `count` came to be, where the file says so. What is not understood, or cannot be, is left
/// out: that is said in `left_out`.
fn kept_provenance(
    at: usize,
    value: &Value,
    message: &Message,
    count: usize,
    left_out: &mut Vec<String>,
) -> Option<Provenance> {
    let written = value.get("provenance").filter(|written| !written.is_null())?;
    let fault = match Provenance::deserialize(written) {
        Err(_) => "it is not understood, or was written by a later version".to_owned(),
        Ok(_) if message.role != Role::Assistant => "it is no reply".to_owned(),
        Ok(provenance) => match provenance.fault(&message.content, count) {
            None => return Some(provenance),
            Some(fault) => fault,
        },
    };
    left_out.push(format!("how message {} came to be is left out: {fault}", at + 1));
    None
}

/// What was being generated when the file was written, nobody goes on with.
fn state(state: Option<&Value>) -> MessageState {
    match state.and_then(Value::as_str) {
        Some("cut" | "streaming") => MessageState::Cut,
        _ => MessageState::Complete,
    }
}

fn message(at: usize, value: &Value) -> Result<Message, String> {
    let number = at + 1;
    let Value::Object(fields) = value else {
        return Err(format!("message {number} is {}, not an object with `role` and `content`", kind_of(value)));
    };
    let role = match fields.get("role") {
        Some(Value::String(name)) => role(name).ok_or_else(|| {
            let name = quoted::shortened(name);
            format!("message {number} has the `role` \"{name}\": it must be \"system\", \"user\" or \"assistant\"")
        })?,
        Some(other) => return Err(format!("the `role` of message {number} is {}, not a text", kind_of(other))),
        None => return Err(format!("message {number} has no `role`: system, user or assistant")),
    };
    let content = match fields.get("content") {
        Some(content) => content_of(content).map_err(|found| {
            format!("the `content` of message {number} is {found}, not a text or a list of parts with `text`")
        })?,
        None => return Err(format!("message {number} has no `content`")),
    };
    Ok(Message::new(role, content))
}

fn role(name: &str) -> Option<Role> {
    match name.to_ascii_lowercase().as_str() {
        // What OpenAI calls the system message of later models.
        "system" | "developer" => Some(Role::System),
        "user" | "human" => Some(Role::User),
        "assistant" | "model" | "ai" => Some(Role::Assistant),
        _ => None,
    }
}

/// A text; the texts of parts, as APIs write them, one below the other; nothing for null. The error is what it is instead.
fn content_of(content: &Value) -> Result<String, &'static str> {
    match content {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => Ok(parts.iter().map(part_of).collect::<Result<Vec<_>, _>>()?.join("\n")),
        Value::Object(fields) if fields.contains_key("parts") => content_of(&fields["parts"]),
        other => Err(kind_of(other)),
    }
}

/// The text of a part; what is no text (an image) leaves its kind behind.
fn part_of(part: &Value) -> Result<String, &'static str> {
    let (text, kind) = match part {
        Value::String(text) => return Ok(text.clone()),
        Value::Object(part) => (part.get("text"), part.get("type").or_else(|| part.get("content_type"))),
        other => return Err(kind_of(other)),
    };
    // Some write the text of a part as an object with a `value`.
    let text = text.and_then(|text| text.as_str().or_else(|| text.get("value")?.as_str()));
    match (text, kind.and_then(Value::as_str)) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(kind)) => Ok(format!("[{}]", quoted::shortened(kind))),
        (None, None) => Err("a list with a part that has no text"),
    }
}

/// For people.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Where a text stops being JSON, and at what.
fn not_json(text: &str, error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    if error.is_eof() {
        return format!(
            "it is not JSON: it ends in the middle, on line {line}; the file may be cut: export the chat again"
        );
    }
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    // A line break where none may be counts as the beginning of the next line.
    let at = text.floor_char_boundary((start + column).saturating_sub(1).min(text.len()));
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|&c| c != '\n').count() + 1;
    let found = text[at..].chars().next();
    let before = text[..at].trim_end().chars().next_back();
    let what = match found {
        Some(closing @ (']' | '}')) if before == Some(',') => {
            format!("a comma stands before `{closing}`, and nothing comes after it")
        }
        Some('[' | '{') if text[..at].matches(['[', '{']).count() > 100 => "it is nested too deeply".to_owned(),
        Some('\'') => "a text must stand in \"double quotes\"".to_owned(),
        Some('/' | '#') => "JSON has no comments".to_owned(),
        Some(c) if c.is_control() => "a line break or another control character stands inside a text".to_owned(),
        Some(c) => format!("`{c}` cannot stand there"),
        None => "something is missing".to_owned(),
    };
    format!("it is not JSON: {what} (line {line}, column {column}); mend that place, or export the chat again")
}
