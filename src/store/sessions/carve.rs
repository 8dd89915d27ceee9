//! Rows from the pages of a database whose trees are broken, whatever leads to those pages
//! (<https://sqlite.org/fileformat.html>, 1.6 and 2.1).
//!
//! A page that was given up may still hold what was deleted: those that the file names as free are passed over.

use std::collections::HashSet;
use std::sync::Arc;

use super::{SessionId, SessionRecord};
use crate::chat::rebuild::{Key, LooseMessage};
use crate::chat::{Message, MessageId, MessageState, Role, title};

/// The kinds of pages that hold rows: of a table without row ids (between the pages below it, and the lowest), and of one
/// with them.
const INTERIOR_INDEX: u8 = 0x02;
const LEAF_INDEX: u8 = 0x0a;
const LEAF_TABLE: u8 = 0x0d;

/// Columns that later formats have added.
const ADDED_TO_CHATS: usize = 2;
const ADDED_TO_MESSAGES: usize = 1;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Carved {
    /// With the time of the last change.
    pub(super) chats: Vec<(SessionRecord, i64)>,
    pub(super) messages: Vec<(SessionId, LooseMessage)>,
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Null,
    Integer(i64),
    Text(String),
    Other,
}

/// The rows of chats and messages on all pages of `file`.
pub(super) fn carve(file: &[u8]) -> Carved {
    let pages = Pages::new(file);
    let free = pages.free();
    let mut carved = Carved::default();
    for number in (1..=pages.count()).filter(|number| !free.contains(number)) {
        let Some((page, start)) = pages.page(number).zip(Some(if number == 1 { 100 } else { 0 })) else { continue };
        let Some(&kind) = page.get(start) else { continue };
        let header = if kind == INTERIOR_INDEX { 12 } else { 8 };
        if ![INTERIOR_INDEX, LEAF_INDEX, LEAF_TABLE].contains(&kind) {
            continue;
        }
        for cell in 0..usize::from(word(page, start + 3).unwrap_or(0)) {
            let Some(at) = word(page, start + header + 2 * cell) else { break };
            if let Some((row_id, values)) = pages.row(page, usize::from(at), kind) {
                carved.take(row_id, &values);
            }
        }
    }
    carved
}

impl Carved {
    /// Takes a row that can be one of ours, of any format: what formats add stands behind what was there before.
    fn take(&mut self, row_id: i64, values: &[Value]) {
        use Value::{Integer, Null, Text};
        match values {
            [Null, Text(title), Text(model), Text(system), head, Integer(created), Integer(updated), added @ ..]
                if added.len() <= ADDED_TO_CHATS =>
            {
                let head = match head {
                    Integer(head) => u32::try_from(*head).ok().map(MessageId),
                    _ => None,
                };
                let record = SessionRecord {
                    id: SessionId(row_id),
                    title: title::cleaned(title),
                    model: model.clone(),
                    system: system.clone(),
                    head,
                    created: *created,
                    settings: added.first().and_then(json).unwrap_or_default(),
                };
                self.chats.push((record, *updated));
            }
            [Integer(session), Integer(id), parent, Text(role), Text(content), Text(state), added @ ..]
                if added.len() <= ADDED_TO_MESSAGES =>
            {
                let role = match role.as_str() {
                    "system" => Role::System,
                    "user" => Role::User,
                    "assistant" => Role::Assistant,
                    _ => return,
                };
                let message = LooseMessage {
                    id: Some(Key::Number(*id)),
                    parent: if let Integer(parent) = parent { Some(Key::Number(*parent)) } else { None },
                    message: Message::new(role, content.as_str()),
                    state: if state == "complete" { MessageState::Complete } else { MessageState::Cut },
                    provenance: added.first().and_then(json).map(Arc::new),
                };
                self.messages.push((SessionId(*session), message));
            }
            _ => {}
        }
    }
}

fn json<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    let Value::Text(text) = value else { return None };
    serde_json::from_str(text).ok()
}

/// The pages of a file, counted from 1.
struct Pages<'a> {
    file: &'a [u8],
    size: usize,
}

impl<'a> Pages<'a> {
    fn new(file: &'a [u8]) -> Self {
        let size = word(file, 16).map_or(0, usize::from);
        // 1 stands for 65536; what cannot be is taken as what SQLite makes.
        let size = if size == 1 { 65_536 } else { size };
        Self { file, size: if size >= 512 && size.is_power_of_two() { size } else { 4096 } }
    }

    fn count(&self) -> usize {
        self.file.len() / self.size
    }

    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.size)?;
        self.file.get(start..start.checked_add(self.size)?)
    }

    /// The pages that the file says are free.
    fn free(&self) -> HashSet<usize> {
        let mut free = HashSet::new();
        let mut trunk = number(self.file, 32);
        while let Some(page) = trunk.and_then(|trunk| self.page(trunk)) {
            if !free.insert(trunk.unwrap_or(0)) {
                break;
            }
            let count = number(page, 4).unwrap_or(0).min(self.size / 4);
            free.extend((0..count).filter_map(|leaf| number(page, 8 + 4 * leaf)));
            trunk = number(page, 0);
        }
        free
    }

    /// The row in the cell that begins `at` a place of `page`, and its number.
    fn row(&self, page: &[u8], at: usize, kind: u8) -> Option<(i64, Vec<Value>)> {
        let at = if kind == INTERIOR_INDEX { at + 4 } else { at };
        let (length, at) = varint(page, at)?;
        let (row_id, at) = if kind == LEAF_TABLE { varint(page, at)? } else { (0, at) };
        let length = usize::try_from(length).ok().filter(|&length| length <= self.file.len())?;
        let payload = self.payload(page, at, length, kind == LEAF_TABLE)?;
        Some((row_id, values(&payload)?))
    }

    /// What begins `at` a place of `page`, and goes on in pages of its own where it is long.
    fn payload(&self, page: &[u8], at: usize, length: usize, is_table: bool) -> Option<Vec<u8>> {
        let fits = if is_table { self.size - 35 } else { (self.size - 12) * 64 / 255 - 23 };
        let least = (self.size - 12) * 32 / 255 - 23;
        if length <= fits {
            return page.get(at..at.checked_add(length)?).map(<[u8]>::to_vec);
        }
        let fitting = least + (length - least) % (self.size - 4);
        let local = if fitting <= fits { fitting } else { least };
        let mut payload = page.get(at..at + local)?.to_vec();
        let mut next = number(page, at + local)?;
        while payload.len() < length {
            let page = self.page(next)?;
            let part = (length - payload.len()).min(self.size - 4);
            payload.extend_from_slice(page.get(4..4 + part)?);
            next = number(page, 0)?;
        }
        Some(payload)
    }
}

/// The values of a record.
fn values(record: &[u8]) -> Option<Vec<Value>> {
    let (header, mut at) = varint(record, 0)?;
    let mut body = usize::try_from(header).ok()?;
    let header = record.get(..body)?;
    let mut values = Vec::new();
    while at < header.len() {
        let (kind, next) = varint(header, at)?;
        at = next;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            long => usize::try_from(long.checked_sub(12)? / 2).ok()?,
        };
        let bytes = record.get(body..body.checked_add(length)?)?;
        body += length;
        values.push(match kind {
            0 => Value::Null,
            8 | 9 => Value::Integer(kind - 8),
            1..=6 => Value::Integer(integer(bytes)),
            text if text >= 13 && text % 2 == 1 => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => Value::Other,
        });
    }
    Some(values)
}

/// Two's complement, the highest byte first.
fn integer(bytes: &[u8]) -> i64 {
    let sign = if bytes.first().is_some_and(|&first| first >= 0x80) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, &byte| (number << 8) | i64::from(byte))
}

/// A number of one to nine bytes, the highest first, and where it ends.
fn varint(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let mut number = 0_i64;
    for (length, &byte) in bytes.get(at..)?.iter().take(9).enumerate() {
        if length == 8 {
            return Some(((number << 8) | i64::from(byte), at + 9));
        }
        number = (number << 7) | i64::from(byte & 0x7f);
        if byte < 0x80 {
            return Some((number, at + length + 1));
        }
    }
    None
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_be_bytes(bytes.get(at..)?.first_chunk().copied()?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::{Node, Transcript};
    use crate::store::Database;

    #[test]
    fn every_row_is_found_without_its_tree() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chats.db");
        let mut database = Database::open(&path).unwrap();
        for id in 0..50 {
            let content = |id: usize| "ä".repeat(id * 300) + "end";
            let node = |at: u32| Node {
                id: MessageId(at),
                parent: at.checked_sub(1).map(MessageId),
                message: Message::new(Role::User, content(at as usize)),
                state: MessageState::Complete,
                provenance: None,
            };
            let transcript = Transcript::from_parts((0..20).map(node).collect(), None);
            let record = SessionRecord {
                id: SessionId(i64::MAX - id),
                title: format!("chat {id}"),
                created: 1_790_000_000 + id,
                ..SessionRecord::default()
            };
            database.put(&record, &transcript).unwrap();
        }
        drop(database);
        let carved = carve(&std::fs::read(&path).unwrap());
        assert_eq!((carved.chats.len(), carved.messages.len()), (50, 1000));
        assert!(carved.chats.iter().any(|(chat, _)| chat.title == "chat 7" && chat.created == 1_790_000_007));
        assert!(
            carved.messages.iter().all(|(_, loose)| loose.message.content.ends_with("äend") || loose.parent.is_none())
        );
    }

    #[test]
    fn no_bytes_are_too_odd() {
        let mut state = 7_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        for length in [0, 1, 99, 100, 4095, 4096, 65_536] {
            let mut bytes: Vec<u8> = (0..length).map(|_| noise()).collect();
            for start in (0..length).step_by(4096) {
                bytes[start] = [INTERIOR_INDEX, LEAF_INDEX, LEAF_TABLE][start / 4096 % 3];
            }
            carve(&bytes);
        }
    }
}
