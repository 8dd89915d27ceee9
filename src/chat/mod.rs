//! Conversations: messages, the tree they form, templates that turn them into a prompt, and the context window.

pub mod code;
pub mod columns;
pub mod context_window;
pub mod document;
mod import;
pub mod message;
pub mod provenance;
pub mod rebuild;
pub mod template;
pub mod thinking;
pub mod title;
pub mod transcript;
pub mod visible;

pub use message::{Message, Role, without_line_end};
pub use provenance::{ChatSettings, Provenance};
pub use transcript::{MessageId, MessageState, Node, Transcript};
pub use visible::{escape_json, one_line, visible};
