//! Which rows of a list are meant by what was typed: all lists over the screen ask here.

use nucleo_matcher::pattern::{AtomKind, CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};

/// How the rows that match are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As in the list; what has the words as they are typed comes before what has their letters.
    List,
    /// The best match first.
    Best,
}

/// The words of a search, in any case of letters.
#[derive(Debug)]
pub(super) struct Words(Vec<String>);

impl Words {
    pub(super) fn of(query: &str) -> Self {
        Self(query.split_whitespace().map(str::to_lowercase).collect())
    }

    /// Whether a text has each of them, whole or within longer ones.
    pub(super) fn are_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.0.iter().all(|word| text.contains(word))
    }
}

/// The places of the rows that match `query`: those whose label does, in `order`, and then those that only mention each
/// word. A row is (label, detail).
pub(super) fn matching<'a>(query: &str, rows: impl Iterator<Item = (&'a str, &'a str)>, order: Order) -> Vec<usize> {
    let words = Words::of(query);
    let pattern = Pattern::new(name(query), CaseMatching::Ignore, Normalization::Smart, AtomKind::Fuzzy);
    let mut config = Config::DEFAULT;
    config.prefer_prefix = true;
    let mut matcher = Matcher::new(config);
    let mut buffer = Vec::new();
    // (what comes first, place): the least first.
    let mut found: Vec<((u8, u32), usize)> = Vec::new();
    for (place, (label, detail)) in rows.enumerate() {
        let score = pattern.score(Utf32Str::new(name(label), &mut buffer), &mut matcher);
        let rank = match (score, order) {
            (Some(_), Order::List) if words.are_in(label) => (0, 0),
            (Some(score), Order::List) => (1, u32::MAX - score),
            (Some(score), Order::Best) => (0, u32::MAX - score),
            (None, _) if words.are_in(&format!("{label} {detail}")) => (2, 0),
            (None, _) => continue,
        };
        found.push((rank, place));
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, place)| place).collect()
}

/// The slash of a command is not part of its name.
fn name(text: &str) -> &str {
    text.strip_prefix('/').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(query: &str, order: Order) -> Vec<&'static str> {
        const ROWS: [(&str, &str); 5] = [
            ("/top-k VALUE", "keeps the k likeliest tokens"),
            ("/template [NAME]", "set the chat template"),
            ("/tokens TEXT", "show the tokens of a text"),
            ("/stats", "show what the last reply cost"),
            ("the reply as tokens", "Ctrl-T"),
        ];
        matching(query, ROWS.into_iter(), order).into_iter().map(|place| ROWS[place].0).collect()
    }

    #[test]
    fn the_best_comes_first_and_what_only_mentions_it_last() {
        assert_eq!(found("tokens", Order::Best), ["/tokens TEXT", "the reply as tokens", "/top-k VALUE"]);
        assert_eq!(found("tmpl", Order::Best), ["/template [NAME]"], "the letters in their order are enough");
        assert_eq!(found("reply token", Order::Best), ["the reply as tokens"]);
        assert_eq!(found("ctrl-t", Order::Best), ["the reply as tokens"]);
        assert_eq!(found("", Order::Best).len(), 5);
        assert!(found("zzz", Order::Best).is_empty());
    }

    #[test]
    fn a_list_that_has_an_order_keeps_it() {
        assert_eq!(found("t", Order::List)[..3], ["/top-k VALUE", "/template [NAME]", "/tokens TEXT"]);
        assert_eq!(found("sts", Order::List)[0], "/stats");
    }
}
