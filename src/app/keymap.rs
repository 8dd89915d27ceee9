//! The one table of key bindings: the full screen's keymap, F1's list and docs/keys.md come from it.
//!
//! Ctrl-M, Ctrl-I and Ctrl-H are never bound: plain terminals send the same bytes for them as for Enter, Tab and
//! Backspace.

mod in_force;

use serde::de::IntoDeserializer;
use serde::de::value::Error;
use serde::{Deserialize, Serialize};

pub use in_force::{KeyProblem, KeyRow, Keymap};

/// A key, without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "a key is what is written on it")]
pub enum Key {
    /// A character; a letter is in lower case where Ctrl or Alt is held.
    Char(char),
    Enter,
    Esc,
    Tab,
    Backspace,
    Delete,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    Home,
    End,
    PageUp,
    PageDown,
    /// A function key, from 1.
    F(u8),
}

/// A key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyPress {
    /// The key.
    pub key: Key,
    /// Whether Ctrl is held.
    pub ctrl: bool,
    /// Whether Alt is held.
    pub alt: bool,
    /// Whether Shift is held; never for a character, which says so itself.
    pub shift: bool,
}

impl KeyPress {
    /// A key without modifiers.
    pub const fn plain(key: Key) -> Self {
        Self { key, ctrl: false, alt: false, shift: false }
    }

    /// From the notation of the table: `Ctrl-J`, `Alt-Enter`, `PgUp`, `F1`, `x`.
    pub fn parse(notation: &str) -> Option<Self> {
        let mut press = Self::plain(Key::Esc);
        let mut rest = notation;
        loop {
            let (modifier, after) = match rest.split_once('-') {
                Some((modifier, after)) if !after.is_empty() => (modifier, after),
                _ => break,
            };
            match modifier {
                "Ctrl" => press.ctrl = true,
                "Alt" => press.alt = true,
                "Shift" => press.shift = true,
                _ => return None,
            }
            rest = after;
        }
        press.key = parse_key(rest, press.ctrl || press.alt)?;
        Some(press)
    }
}

fn parse_key(name: &str, modified: bool) -> Option<Key> {
    let key = match name {
        "Enter" => Key::Enter,
        "Esc" => Key::Esc,
        "Tab" => Key::Tab,
        "Backspace" => Key::Backspace,
        "Del" => Key::Delete,
        "Up" => Key::Up,
        "Down" => Key::Down,
        "Left" => Key::Left,
        "Right" => Key::Right,
        "Home" => Key::Home,
        "End" => Key::End,
        "PgUp" => Key::PageUp,
        "PgDn" => Key::PageDown,
        "Space" => Key::Char(' '),
        _ => {
            let mut characters = name.chars();
            let first = characters.next()?;
            match characters.as_str() {
                "" if modified => Key::Char(first.to_ascii_lowercase()),
                "" => Key::Char(first),
                number if first == 'F' => Key::F(number.parse().ok()?),
                _ => return None,
            }
        }
    };
    Some(key)
}

/// Where a binding holds; one of the focused part comes before one that holds anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Context {
    /// Whatever has the focus.
    Anywhere,
    /// The line that is being written.
    Composer,
    /// The conversation.
    Transcript,
    /// The sampling panel.
    Sampling,
    /// While a reply is paused and nothing is written: before what the focused part has.
    Stepping,
    /// A comparison.
    Lanes,
    /// The conversation as tokens.
    Tokens,
    /// The names that are offered while one writes.
    Completion,
    /// A list over the screen.
    List,
    /// The list of saved chats.
    Chats,
}

impl Context {
    /// Every one, in the order of help.
    pub const ALL: &[Self] = &[
        Self::Composer,
        Self::Completion,
        Self::Anywhere,
        Self::Stepping,
        Self::Transcript,
        Self::Sampling,
        Self::Tokens,
        Self::Lanes,
        Self::List,
        Self::Chats,
    ];

    /// Whose bindings hold here too, behind its own.
    pub fn outer(self) -> Option<Self> {
        match self {
            Self::Anywhere => None,
            Self::Chats => Some(Self::List),
            Self::Composer
            | Self::Transcript
            | Self::Sampling
            | Self::Stepping
            | Self::Lanes
            | Self::Tokens
            | Self::Completion
            | Self::List => Some(Self::Anywhere),
        }
    }

    /// Itself, and those whose bindings hold here too.
    fn chain(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |context| context.outer())
    }

    /// Whether the focus can be there: the others are over the screen, or come and go by themselves.
    pub fn takes_focus(self) -> bool {
        matches!(self, Self::Composer | Self::Transcript | Self::Sampling)
    }

    /// Whether a character is written here.
    fn takes_text(self) -> bool {
        matches!(self, Self::Anywhere | Self::Composer | Self::Completion | Self::List | Self::Chats)
    }

    /// Its name in config.toml.
    pub fn name(self) -> String {
        name_of(&self)
    }

    /// Its heading in F1's list.
    pub fn title(self) -> &'static str {
        match self {
            Self::Anywhere => "Anywhere",
            Self::Composer => "Writing",
            Self::Transcript => "Conversation",
            Self::Sampling => "Sampling panel",
            Self::Stepping => "While a reply is paused and nothing is written",
            Self::Lanes => "Comparison",
            Self::Tokens => "Tokens",
            Self::Completion => "While names are offered",
            Self::List => "In a list",
            Self::Chats => "Saved chats",
        }
    }
}

/// What a key does on the full screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // The table below says what each is.
pub enum KeyAction {
    Stop,
    Interrupt,
    Help,
    NextFocus,
    PreviousFocus,
    Redraw,
    NewChat,
    OpenChat,
    Palette,
    /// Shows the models that are here, and those that can be had.
    Models,
    ToggleMouse,
    /// Shows replies as they were written, or as Markdown.
    ToggleSource,
    /// Shows what the model thought, or folds it.
    ToggleThoughts,
    /// Shows what is folded of the marked message, or folds it.
    ToggleFold,
    /// Pauses the running reply, or lets it go on.
    Pause,
    /// Lets the paused reply go on.
    GoOn,
    /// Takes the candidate whose number was pressed.
    PickCandidate,
    DrawToken,
    TakeTokenBack,
    /// Shows the conversation as tokens.
    Tokens,
    /// Goes on to the next measure of the heat map.
    NextHeat,
    TogglePanels,
    PageUp,
    PageDown,
    Top,
    Bottom,
    Send,
    NewLine,
    Editor,
    HistoryBack,
    HistoryForward,
    HistorySearch,
    Undo,
    Redo,
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    DeleteBack,
    DeleteForward,
    DeleteWordBack,
    DeleteWordForward,
    DeleteToStart,
    DeleteToEnd,
    DeleteOrQuit,
    SelectLeft,
    SelectRight,
    SelectWordLeft,
    SelectWordRight,
    SelectToStart,
    SelectToEnd,
    SelectRowUp,
    SelectRowDown,
    SelectAll,
    CopySelected,
    CutSelected,
    InsertCut,
    UnfoldPaste,
    ScrollUp,
    ScrollDown,
    PreviousBranch,
    NextBranch,
    PreviousMessage,
    NextMessage,
    CopyMessage,
    CopyCode,
    EditMessage,
    RegenerateMessage,
    SelectUp,
    SelectDown,
    Decrease,
    Increase,
    DecreaseMuch,
    IncreaseMuch,
    ResetParameter,
    NextPreset,
    PreviousLane,
    NextLane,
    /// Chooses the lane whose number was pressed.
    PickLane,
    KeepLane,
    PreviousToken,
    NextToken,
    ScoreTokens,
    /// Closes the view, and leaves what it has begun going on.
    Leave,
    /// Takes what the cursor is on.
    Choose,
    Complete,
    RenameChat,
    DeleteChat,
    RestoreChat,
}

impl KeyAction {
    /// Its name in config.toml.
    pub fn name(self) -> String {
        name_of(&self)
    }

    /// The action of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        let deserializer: serde::de::value::StrDeserializer<'_, Error> = name.into_deserializer();
        Self::deserialize(deserializer).ok()
    }
}

/// What serde calls a variant without fields.
fn name_of(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        _ => String::new(),
    }
}

/// A row of the table.
#[derive(Debug)]
pub struct Binding {
    /// What it does.
    pub action: KeyAction,
    /// The keys that do it.
    pub keys: &'static [&'static str],
    /// Where the focus has to be for it.
    pub context: Context,
    /// What it does, in words, with `<action>` in the place of another's key.
    pub help: &'static str,
}

const fn bind(context: Context, action: KeyAction, keys: &'static [&'static str], help: &'static str) -> Binding {
    Binding { action, keys, context, help }
}

use Context::{Anywhere, Chats, Completion, Composer, Lanes, List, Sampling, Stepping, Tokens, Transcript};
use KeyAction as A;

/// Every binding, in the order of help.
pub const BINDINGS: &[Binding] = &[
    bind(Composer, A::Send, &["Enter"], "send"),
    bind(Composer, A::NewLine, &["Ctrl-J", "Alt-Enter", "Shift-Enter"], "new line"),
    bind(Composer, A::HistoryBack, &["Up"], "line up; on the first line the prompt before"),
    bind(Composer, A::HistoryForward, &["Down"], "line down; on the last line the prompt after"),
    bind(Composer, A::HistorySearch, &["Ctrl-R"], "search the prompts"),
    bind(Composer, A::Editor, &["Ctrl-G"], "edit in $EDITOR"),
    bind(Composer, A::Undo, &["Ctrl-Z"], "undo an edit"),
    bind(Composer, A::Redo, &["Ctrl-Y"], "redo it"),
    bind(Composer, A::Left, &["Left", "Ctrl-B"], "a character left"),
    bind(Composer, A::Right, &["Right", "Ctrl-F"], "a character right"),
    bind(Composer, A::WordLeft, &["Ctrl-Left", "Alt-Left", "Alt-B"], "a word left"),
    bind(Composer, A::WordRight, &["Ctrl-Right", "Alt-Right", "Alt-F"], "a word right"),
    bind(Composer, A::LineStart, &["Home", "Ctrl-A"], "to the start of the line"),
    bind(Composer, A::LineEnd, &["End", "Ctrl-E"], "to the end of the line"),
    bind(Composer, A::DeleteBack, &["Backspace", "Shift-Backspace"], "delete the character before"),
    bind(Composer, A::DeleteForward, &["Del"], "delete the character after"),
    bind(Composer, A::DeleteWordBack, &["Ctrl-W", "Alt-Backspace", "Ctrl-Backspace"], "delete the word before"),
    bind(Composer, A::DeleteWordForward, &["Alt-D", "Ctrl-Del"], "delete the word after"),
    bind(Composer, A::DeleteToStart, &["Ctrl-U"], "delete to the start of the line"),
    bind(Composer, A::DeleteToEnd, &["Ctrl-K"], "delete to the end of the line"),
    bind(Composer, A::SelectLeft, &["Shift-Left"], "select a character to the left"),
    bind(Composer, A::SelectRight, &["Shift-Right"], "select a character to the right"),
    bind(Composer, A::SelectWordLeft, &["Ctrl-Shift-Left", "Alt-Shift-Left"], "select a word to the left"),
    bind(Composer, A::SelectWordRight, &["Ctrl-Shift-Right", "Alt-Shift-Right"], "select a word to the right"),
    bind(Composer, A::SelectToStart, &["Shift-Home"], "select to the start of the line"),
    bind(Composer, A::SelectToEnd, &["Shift-End"], "select to the end of the line"),
    bind(Composer, A::SelectRowUp, &["Shift-Up"], "select a line up"),
    bind(Composer, A::SelectRowDown, &["Shift-Down"], "select a line down"),
    bind(Composer, A::SelectAll, &["Alt-A"], "select all"),
    bind(Composer, A::CopySelected, &["Alt-W"], "copy what is selected (<interrupt> does too)"),
    bind(Composer, A::CutSelected, &["Ctrl-X"], "cut what is selected"),
    bind(Composer, A::InsertCut, &["Ctrl-V"], "insert what was cut, copied or deleted by words and lines"),
    bind(Composer, A::UnfoldPaste, &["Alt-E"], "show a pasted text whole that is folded"),
    bind(Composer, A::DeleteOrQuit, &["Ctrl-D"], "with nothing written: quit; otherwise delete the character after"),
    bind(Completion, A::SelectUp, &["Up"], "the name above"),
    bind(Completion, A::SelectDown, &["Down"], "the name below"),
    bind(Completion, A::Complete, &["Tab"], "complete the name"),
    bind(Completion, A::Choose, &["Enter"], "complete the name; where it stands there whole, send"),
    bind(Completion, A::Stop, &["Esc"], "offer no more"),
    bind(Anywhere, A::Stop, &["Esc"], "stop the reply, close a list; never loses text"),
    bind(
        Anywhere,
        A::Interrupt,
        &["Ctrl-C"],
        "stop the reply; with text: copy what is selected, or clear it (<undo> brings it back); twice: quit",
    ),
    bind(Anywhere, A::NextFocus, &["Tab"], "to the next part: writing, panels, conversation"),
    // The Linux console sends Alt-Tab for Shift-Tab.
    bind(Anywhere, A::PreviousFocus, &["Shift-Tab", "Alt-Tab"], "to the part before"),
    bind(Anywhere, A::PageUp, &["PgUp"], "scroll the conversation a page up"),
    bind(Anywhere, A::PageDown, &["PgDn"], "a page down"),
    bind(Anywhere, A::Top, &["Ctrl-Home"], "to its start (with nothing written also <line-start>)"),
    bind(Anywhere, A::Bottom, &["Ctrl-End"], "to its end (with nothing written also <line-end>)"),
    bind(Anywhere, A::NewChat, &["Ctrl-N"], "new chat"),
    bind(Anywhere, A::OpenChat, &["Ctrl-O"], "open a saved chat"),
    bind(Anywhere, A::Palette, &["Ctrl-P"], "all commands"),
    bind(Anywhere, A::Models, &["F7", "Alt-M"], "models: those that are here, and those that can be had"),
    bind(Anywhere, A::Help, &["F1"], "this list"),
    bind(Anywhere, A::TogglePanels, &["F2"], "show or hide the panels"),
    bind(Anywhere, A::ToggleMouse, &["F3"], "the mouse scrolls, selects and clicks, or is left to the terminal"),
    bind(Anywhere, A::ToggleSource, &["F4"], "replies as Markdown, or as they were written"),
    bind(
        Anywhere,
        A::Tokens,
        &["Ctrl-T"],
        "the chat as tokens: what else might have been said, and going on from there",
    ),
    bind(Anywhere, A::NextHeat, &["F6"], "heat map: how sure the model was, by probability, rank, entropy; off"),
    bind(Anywhere, A::ToggleThoughts, &["Alt-T"], "show the model's thoughts, or fold them"),
    bind(Anywhere, A::Pause, &["F5"], "pause the reply, or let it go on"),
    bind(Anywhere, A::Redraw, &["Ctrl-L"], "draw the screen anew"),
    bind(
        Stepping,
        A::PickCandidate,
        &["1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "the candidate of this number comes next, also one that the filters have cut",
    ),
    bind(Stepping, A::DrawToken, &["Space"], "draw one token by the sampling in force"),
    bind(Stepping, A::TakeTokenBack, &["Backspace", "Shift-Backspace"], "take the last token back"),
    bind(Stepping, A::GoOn, &["Enter"], "let the reply go on (<stop> stops it)"),
    bind(Transcript, A::ScrollUp, &["Up", "k"], "a line up"),
    bind(Transcript, A::ScrollDown, &["Down", "j"], "a line down"),
    bind(Transcript, A::Top, &["Home"], "to the start"),
    bind(Transcript, A::Bottom, &["End"], "to the end"),
    bind(Transcript, A::PreviousMessage, &["[", "Shift-Up"], "mark the message before"),
    bind(Transcript, A::NextMessage, &["]", "Shift-Down"], "mark the next message; after the last, none"),
    bind(
        Transcript,
        A::ToggleFold,
        &["Enter", "Space"],
        "show what is folded of the marked message (a long file or paste, a thought), or fold it",
    ),
    bind(Transcript, A::CopyMessage, &["c"], "copy the marked message, or the last"),
    bind(Transcript, A::CopyCode, &["b"], "copy its code block; again: its next one"),
    bind(Transcript, A::EditMessage, &["e"], "say it in other words, and go on from there"),
    bind(Transcript, A::RegenerateMessage, &["r"], "answer anew, beside the answers that there are"),
    bind(Transcript, A::PreviousBranch, &["Left"], "the version before of the marked message, or of the last answer"),
    bind(Transcript, A::NextBranch, &["Right"], "the next version of it"),
    bind(Sampling, A::SelectUp, &["Up"], "the parameter above"),
    bind(Sampling, A::SelectDown, &["Down"], "the parameter below"),
    bind(Sampling, A::Decrease, &["Left"], "less"),
    bind(Sampling, A::Increase, &["Right"], "more"),
    bind(Sampling, A::DecreaseMuch, &["Shift-Left", "Ctrl-Left"], "much less"),
    bind(Sampling, A::IncreaseMuch, &["Shift-Right", "Ctrl-Right"], "much more"),
    bind(Sampling, A::ResetParameter, &["Del"], "back to the default"),
    bind(Sampling, A::NextPreset, &["p"], "the next preset"),
    bind(Tokens, A::PreviousToken, &["Left"], "the token before"),
    bind(Tokens, A::NextToken, &["Right"], "the next token"),
    bind(Tokens, A::PageUp, &["PgUp"], "ten tokens back"),
    bind(Tokens, A::PageDown, &["PgDn"], "ten tokens on"),
    bind(Tokens, A::Top, &["Home"], "to the first token of the message"),
    bind(Tokens, A::Bottom, &["End"], "to the last token of the message"),
    bind(Tokens, A::PreviousMessage, &["Shift-Tab", "Alt-Tab"], "the message before"),
    bind(Tokens, A::NextMessage, &["Tab"], "the next message"),
    bind(Tokens, A::SelectUp, &["Up"], "the alternative above"),
    bind(Tokens, A::SelectDown, &["Down"], "the alternative below"),
    bind(Tokens, A::Choose, &["Enter"], "go on from the alternative; score a message whose tokens are not known"),
    bind(Tokens, A::ScoreTokens, &["s"], "score all that was not drawn in this run"),
    bind(Tokens, A::Leave, &["q"], "back to the chat; scoring goes on"),
    bind(Tokens, A::Stop, &["Esc"], "stop scoring; then, back to the chat"),
    bind(Lanes, A::PreviousLane, &["Left", "Shift-Tab"], "the lane before"),
    bind(Lanes, A::NextLane, &["Right", "Tab"], "the next lane"),
    bind(Lanes, A::PickLane, &["1", "2", "3", "4"], "the lane of this number"),
    bind(Lanes, A::KeepLane, &["Enter"], "keep the lane and stop the others, which stay as branches"),
    bind(Lanes, A::Stop, &["Esc"], "stop all lanes; then leave them, with the chosen one kept"),
    bind(Lanes, A::ScrollUp, &["Up", "k"], "a line up"),
    bind(Lanes, A::ScrollDown, &["Down", "j"], "a line down"),
    bind(Lanes, A::Top, &["Home"], "to the start"),
    bind(Lanes, A::Bottom, &["End"], "to the end"),
    bind(List, A::SelectUp, &["Up"], "a row up"),
    // As in a shell, Ctrl-R again goes to the next older prompt.
    bind(List, A::SelectDown, &["Down", "Ctrl-R"], "a row down"),
    bind(List, A::PageUp, &["PgUp"], "ten rows up"),
    bind(List, A::PageDown, &["PgDn"], "ten rows down"),
    bind(List, A::Top, &["Home"], "to the first row"),
    bind(List, A::Bottom, &["End"], "to the last row"),
    bind(List, A::Choose, &["Enter"], "take it (what is typed is searched for)"),
    bind(Chats, A::RenameChat, &["Ctrl-E"], "give the chat another title"),
    bind(Chats, A::DeleteChat, &["Del"], "delete the chat"),
    bind(Chats, A::RestoreChat, &["Ctrl-Z"], "bring back the chat that was deleted last"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_notation_is_understood_and_no_key_does_two_things() {
        let mut seen = HashMap::new();
        for row in BINDINGS {
            for keys in row.keys {
                let press = KeyPress::parse(keys).unwrap_or_else(|| panic!("{keys}"));
                assert_eq!(seen.insert((row.context, press), row.action), None, "{keys} in {:?}", row.context);
            }
        }
    }

    #[test]
    fn keys_that_plain_terminals_cannot_tell_apart_are_not_bound() {
        for row in BINDINGS {
            for keys in row.keys {
                let press = KeyPress::parse(keys).unwrap();
                let letter = matches!(press.key, Key::Char('m' | 'i' | 'h'));
                assert!(!(press.ctrl && letter), "{keys}");
            }
        }
    }

    #[test]
    fn the_focused_part_comes_first() {
        let keymap = Keymap::default();
        let up = KeyPress::plain(Key::Up);
        assert_eq!(keymap.action(Context::Composer, up), Some(KeyAction::HistoryBack));
        assert_eq!(keymap.action(Context::Sampling, up), Some(KeyAction::SelectUp));
        let help = KeyPress::parse("F1").unwrap();
        assert_eq!(keymap.action(Context::Sampling, help), Some(KeyAction::Help));
        assert_eq!(KeyPress::parse("Hyper-x"), None);
        assert_eq!(KeyPress::parse("Ctrl-J").unwrap().key, Key::Char('j'));
        assert_eq!(KeyPress::parse("-").unwrap().key, Key::Char('-'));
    }
}
