//! What of the context is taken by what: the bar with its legend in the panel, the numbers of the folded line, and what
//! the composer's line says of the draft.

use super::figures::grouped;
use crate::app::{App, ContextUse};

/// The parts of the bar, in order, each with its mark. The marks differ also where nothing has a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    System,
    Turns,
    Draft,
    Free,
}

impl Part {
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::System => "░",
            Self::Turns => "█",
            Self::Draft => "▒",
            Self::Free => "·",
        }
    }
}

/// A bar of `width` columns: how many each part has. What takes anything has one column at least.
pub(super) fn bar(context: &ContextUse, width: usize) -> [(Part, usize); 4] {
    let mut left = width;
    let mut columns = |tokens: usize| {
        let share = (tokens * width + context.window / 2).checked_div(context.window).unwrap_or(0);
        let columns = share.max(usize::from(tokens > 0)).min(left);
        left -= columns;
        columns
    };
    // What is being written is seen however little is left for it.
    let draft = columns(context.draft);
    let system = columns(context.system);
    let turns = columns(context.turns);
    [(Part::System, system), (Part::Turns, turns), (Part::Draft, draft), (Part::Free, left)]
}

/// `context 214+12 / 8 192`
pub(super) fn numbers(context: &ContextUse) -> String {
    let used = grouped(context.system + context.turns);
    match context.draft {
        0 => format!("context {used:>6} / {}", grouped(context.window)),
        draft => format!("context {used}+{} / {}", grouped(draft), grouped(context.window)),
    }
}

/// The two rows under the bar; the flag marks a warning.
pub(super) fn legend(context: &ContextUse) -> [(String, bool); 2] {
    let entry = |part: Part, name: &str, tokens: usize| format!("{} {name} {:<6}", part.mark(), grouped(tokens));
    let first = match context.going {
        0 => (
            format!("{} {}", entry(Part::System, "system", context.system), entry(Part::Turns, "chat", context.turns)),
            false,
        ),
        going => (format!("! sending drops {}", turns(going)), true),
    };
    let second = match context.room() {
        Some(free) => {
            (format!("{} {}", entry(Part::Draft, "draft ", context.draft), entry(Part::Free, "free", free)), false)
        }
        None => (format!("! {} too many to be sent", grouped(excess(context))), true),
    };
    [first, second]
}

/// `214+12/8192`, and what would go, for a narrow screen.
pub(super) fn short(context: &ContextUse) -> String {
    let used = context.system + context.turns;
    let draft = if context.draft > 0 { format!("+{}", context.draft) } else { String::new() };
    let going = if context.going > 0 { format!(" −{}", turns(context.going)) } else { String::new() };
    format!("{used}{draft}/{}{going}", context.window)
}

/// What the line over the composer says of the draft: its tokens, whether the model has read them already, and what
/// would become of it; the flag marks a warning.
pub(super) fn draft(app: &App) -> Option<(String, bool)> {
    let tokens = grouped(app.draft_tokens()?);
    let context = app.context_use();
    Some(match (context.room(), context.going) {
        (None, _) => (format!(" ! {tokens} tok · {} too many to be sent ", grouped(excess(&context))), true),
        (_, going) if going > 0 => (format!(" ! {tokens} tok · sending drops {} ", turns(going)), true),
        _ if app.draft_is_read() => (format!(" {tokens} tok · read "), false),
        _ => (format!(" {tokens} tok "), false),
    })
}

fn excess(context: &ContextUse) -> usize {
    (context.system + context.turns + context.draft).saturating_sub(context.window)
}

fn turns(count: usize) -> String {
    if count == 1 { "1 turn".to_owned() } else { format!("{count} turns") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(context: &ContextUse, width: usize) -> String {
        bar(context, width).iter().map(|(part, columns)| part.mark().repeat(*columns)).collect()
    }

    #[test]
    fn every_part_is_seen_and_the_bar_is_as_wide_as_it_may_be() {
        let context = ContextUse { system: 31, turns: 4000, draft: 12, window: 8192, ..ContextUse::default() };
        assert_eq!(columns(&context, 20), "░██████████▒········");
        assert_eq!(columns(&ContextUse { window: 8192, ..ContextUse::default() }, 4), "····");
        assert_eq!(columns(&ContextUse { draft: 9000, ..context }, 5), "▒▒▒▒▒");
        assert_eq!(columns(&ContextUse::default(), 3), "···");
    }

    #[test]
    fn the_legend_fits_the_panel() {
        let full = ContextUse { system: 8192, turns: 8192, draft: 8192, window: 32_768, dropped: 12, going: 12 };
        for context in [full, ContextUse { going: 0, ..full }, ContextUse { window: 8192, ..full }] {
            for (row, _) in legend(&context) {
                assert!(super::super::text::width_of(row.trim_end()) <= 28, "{row}");
            }
            assert!(super::super::text::width_of(&numbers(&context)) <= 29, "{}", numbers(&context));
        }
    }
}
