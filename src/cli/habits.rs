//! Commands that people know from elsewhere, with what they are here.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::chat::one_line;

/// What ollama and llama.cpp call it, and what it is called here.
const COMMANDS: [(&[&str], &str); 8] = [
    (&["list", "ls"], "gibber models list"),
    (&["rm", "remove", "delete"], "gibber models remove NAME"),
    (&["show", "info"], "gibber models info NAME"),
    (&["verify", "check"], "gibber models verify NAME"),
    (&["quantize"], "gibber models quantize IN OUT --type TYPE"),
    (&["convert"], "gibber models convert IN OUT"),
    (&["perplexity", "ppl"], "gibber score FILE"),
    (&["cli"], "gibber chat"),
];

/// What is said where a command is none here, and is one elsewhere.
pub(super) fn hint(error: &clap::Error) -> Option<String> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let named = error.context().find_map(|(kind, value)| match (kind, value) {
        (ContextKind::InvalidSubcommand, ContextValue::String(name)) => Some(name),
        _ => None,
    })?;
    let (_, command) = COMMANDS.iter().find(|(names, _)| names.contains(&named.as_str()))?;
    Some(format!("there is no command `{}`: it is `{command}` here", one_line(named)))
}
