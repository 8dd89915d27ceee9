//! What the windows over the screen have in common: what becomes of a key, what can be chosen, the rows of a list, the
//! frame. No window is known here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Clear, Widget};

use super::text::whole_hints;
use super::theme::Theme;
use crate::app::keymap::{Context, KeyAction};
use crate::app::{Action, List, SessionId};
use crate::chat::MessageId;

/// What became of a key.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It was for the overlay.
    Taken,
    /// It was not.
    Passed,
    /// The overlay is to go.
    Close,
    /// This was chosen, and the overlay is to go.
    Chosen(Choice),
    /// This is to be done, and the overlay stays.
    Act(Action),
    /// The list of chats asks for this, and stays.
    Chats(ChatRequest),
}

/// What can be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    /// A saved conversation.
    Session(SessionId),
    /// A message of one, where something was found.
    Found(SessionId, MessageId),
    /// A row of a list.
    Row(List, String),
    /// A command, whole.
    Command(String),
    /// What a key does in a part of the screen.
    Action(Context, KeyAction),
    /// A text for the composer: an earlier prompt, or a command.
    Text(String),
    /// Another token in the place of one of a reply, to go on from.
    Alternative {
        /// The reply.
        message: MessageId,
        /// The token's place.
        token: usize,
        /// Which of the alternatives to it.
        candidate: usize,
    },
}

/// What the list of saved chats asks of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ChatRequest {
    /// Look for a text.
    Search(String),
    /// Give a chat a title.
    Rename(SessionId, String),
    /// Delete a chat.
    Delete(SessionId),
    /// Bring the one back that was deleted last.
    Restore,
}

/// Rows that Page Up and Page Down go.
const PAGE: usize = 10;

/// The row of a list that a key leads to, `last` being the last one; `None` for keys that do something else.
pub(super) fn row_after(action: KeyAction, row: usize, last: usize) -> Option<usize> {
    Some(match action {
        KeyAction::SelectUp => row.saturating_sub(1),
        KeyAction::SelectDown => (row + 1).min(last),
        KeyAction::PageUp => row.saturating_sub(PAGE),
        KeyAction::PageDown => (row + PAGE).min(last),
        KeyAction::Top => 0,
        KeyAction::Bottom => last,
        _ => return None,
    })
}

/// Clears a box in the middle, draws its border, and returns its inside.
pub(super) fn frame(area: Rect, title: &str, hint: &str, buffer: &mut Buffer, theme: Theme) -> Rect {
    let margin = if area.width > 60 { 4 } else { 0 };
    let outer = Rect {
        x: area.x + margin,
        y: area.y + u16::from(area.height > 16),
        width: (area.width - 2 * margin).min(100),
        height: area.height - 2 * u16::from(area.height > 16),
    };
    Clear.render(outer, buffer);
    let block = Block::bordered()
        .border_style(theme.line())
        .title_style(theme.title())
        .title(title.to_owned())
        .title_bottom(format!(" {} ", whole_hints(hint, usize::from(outer.width).saturating_sub(4))));
    let inner = block.inner(outer);
    block.render(outer, buffer);
    inner
}
